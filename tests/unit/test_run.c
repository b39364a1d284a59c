#include "tests/unit/prop_event.h"

static buf buf_for_run(void)
{
    buf b;
    buf_init(&b, RUN_MAX_BYTES);
    return b;
}

static err_t check_bytes(bytes in, const prop_author *a, const event_id *start, run_verdict *v)
{
    run r;
    *v = (run_verdict){0};
    err_t e = run_decode(in, &r);
    return e != ERR_OK ? e : run_check(&r, &a->dataset, &a->key.public, start, NULL, NULL, v);
}

static void keep_id(void *ctx, uint32_t index, const event_id *id, const event_view *v)
{
    (void)v;
    ((event_id *)ctx)[index] = *id;
}

Test(run, comes_back_as_it_was_written)
{
    prop_rng rng = prop_begin("run round trip");
    prop_author a = prop_author_of(1, 0x40003);
    for (int i = 0; i < 60; i++) {
        uint32_t n = 1 + (uint32_t)prop_below(&rng, 40), k = 0;
        uint64_t first = a.first_seq;
        event_id before = a.before, ids[40];
        buf b = buf_for_run();
        run r;
        run_item item;
        run_verdict v;
        prop_run(&rng, &a, n, 1 + (uint32_t)prop_below(&rng, 9), (unsigned)prop_below(&rng, 4), &b);
        bytes exact = prop_exact(buf_view(&b));
        cr_assert_eq(run_decode(exact, &r), ERR_OK);
        cr_assert(r.feed == 0x40003 && r.first_seq == first && r.count == n);
        cr_assert(event_id_eq(&r.previous, &before));
        for (run_iter it = run_items(&r); run_next(&it, &item); k++)
            cr_assert_eq(item.seq, first + k);
        cr_assert_eq(k, n);
        cr_assert_eq(run_check(&r, &a.dataset, &a.key.public, &before, keep_id, ids, &v), ERR_OK);
        cr_assert(v.bad_index == n && v.sealed == n);
        cr_assert(event_id_eq(&v.last, &a.before) && event_id_eq(&ids[n - 1], &a.before));
        cr_assert_eq(run_check(&r, &a.dataset, &a.key.public, NULL, NULL, NULL, &v), ERR_OK);
        prop_free(exact);
        buf_release(&b);
    }
}

Test(run, refuses_every_flipped_bit)
{
    prop_rng rng = prop_begin("run bit flips");
    prop_author a = prop_author_of(2, 3);
    for (int i = 0; i < 4; i++) { /* the first begins at seq 1, the others do not */
        buf b = buf_for_run();
        run_verdict v;
        prop_run(&rng, &a, 3, 2, i == 3 ? 2 : 0, &b);
        for (size_t bit = 0; bit < 8 * b.len; bit++) {
            b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_assert_neq(check_bytes(buf_view(&b), &a, NULL, &v), ERR_OK, "bit %zu", bit);
            b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        cr_assert_eq(check_bytes(buf_view(&b), &a, NULL, &v), ERR_OK);
        buf_release(&b);
    }
}

Test(run, refuses_every_truncation_and_what_follows)
{
    prop_rng rng = prop_begin("run truncation");
    prop_author a = prop_author_of(2, 3);
    buf b = buf_for_run();
    run r;
    prop_run(&rng, &a, 5, 2, 0, &b);
    for (size_t n = 0; n < b.len; n++) {
        bytes cut = prop_exact(bytes_of(b.p, n));
        cr_assert_eq(run_decode(cut, &r), ERR_TRUNCATED);
        prop_free(cut);
    }
    buf_add_u8(&b, 0);
    cr_assert_eq(run_decode(buf_view(&b), &r), ERR_TRAILING);
    buf_release(&b);
}

Test(run, belongs_to_one_author_dataset_and_place)
{
    prop_rng rng = prop_begin("run of another");
    prop_author a = prop_author_of(1, 3), stranger = prop_author_of(9, 3), other_ds = a;
    other_ds.dataset.b[5] ^= 1;
    event_id wrong = {{1}};
    run_verdict v;
    for (int i = 0; i < 2; i++) {
        buf b = buf_for_run();
        event_id before = a.before;
        err_t want = i == 0 ? ERR_BAD_CHAIN : ERR_BAD_SEAL; /* at seq 1 the root tells already */
        prop_run(&rng, &a, 4, 4, 0, &b);
        cr_expect_eq(check_bytes(buf_view(&b), &a, &before, &v), ERR_OK);
        cr_expect_eq(check_bytes(buf_view(&b), &a, &wrong, &v), ERR_BAD_CHAIN);
        cr_expect(v.bad_index == 0 && v.sealed == 0);
        cr_expect_eq(check_bytes(buf_view(&b), &stranger, NULL, &v), want);
        cr_expect_eq(check_bytes(buf_view(&b), &other_ds, NULL, &v), want);
        buf_release(&b);
    }
}

Test(run, names_the_first_bad_event_and_what_was_good_before)
{
    prop_rng rng = prop_begin("run verdict");
    prop_author a = prop_author_of(1, 3);
    buf b = buf_for_run();
    run r;
    run_item item;
    run_verdict v;
    event_id ids[10];
    prop_run(&rng, &a, 10, 3, 0, &b);
    cr_assert_eq(run_decode(buf_view(&b), &r), ERR_OK);
    run_iter it = run_items(&r);
    for (int i = 0; i < 5; i++)
        cr_assert(run_next(&it, &item));
    ((uint8_t *)(uintptr_t)item.data.p)[0] = 0xc1; /* the fifth: index 4 */
    cr_expect_eq(run_check(&r, &a.dataset, &a.key.public, NULL, keep_id, ids, &v), ERR_MALFORMED);
    cr_expect(v.bad_index == 4 && v.sealed == 3 && event_id_eq(&v.last, &ids[2]));
    buf_release(&b);
}

/* A run of genesis, as the founder's node makes it; returns the dataset id. */
static dataset_id genesis_run(const crypto_signer *founder, const dataset_id *claimed, buf *out)
{
    event_fields f = {.category = bytes_str("cairn"),
                      .stream = bytes_str("members"),
                      .kind = bytes_str("genesis"),
                      .payload = bytes_of("\x80", 1)};
    buf body;
    event_view v;
    run_writer w;
    seal_sig seal;
    event_id root, id;
    dataset_id ds;
    uint32_t count;
    buf_init(&body, 1000);
    cr_assert_eq(event_build(&f, &body), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&body), &v), ERR_OK);
    chain_start_genesis(&root, &founder->public);
    chain_genesis_id(&ds, &founder->public, v.head, v.tail);
    memcpy(id.b, ds.b, sizeof id.b);
    cr_assert_eq(chain_sign(&seal, founder, claimed ? claimed : &ds, 1, 1, &id), ERR_OK);
    cr_assert_eq(run_begin(&w, out, 1, 1, &root), ERR_OK);
    cr_assert_eq(run_add(&w, buf_view(&body), false, &seal), ERR_OK);
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    buf_release(&body);
    return ds;
}

Test(run, begins_the_dataset_with_its_own_genesis_only)
{
    prop_author a = prop_author_of(6, 1);
    buf b = buf_for_run();
    run_verdict v;
    a.dataset = genesis_run(&a.key, NULL, &b);
    cr_expect_eq(check_bytes(buf_view(&b), &a, NULL, &v), ERR_OK);
    a.dataset.b[0] ^= 1; /* a seal for this dataset does not make another genesis its own */
    buf_clear(&b);
    genesis_run(&a.key, &a.dataset, &b);
    cr_expect_eq(check_bytes(buf_view(&b), &a, NULL, &v), ERR_BAD_CHAIN);
    buf_release(&b);
}

/* `n` equal events of about `payload_bytes`, sealed after every `every`-th and at the end. */
static err_t stretch(uint32_t n, size_t payload_bytes, uint32_t every, bool erase, run_verdict *v)
{
    static uint8_t zeros[EVENT_MAX_BYTES];
    prop_author a = prop_author_of(1, 3);
    buf payload, body, erased, b = buf_for_run();
    event_view view;
    event_id id = a.before;
    run_writer w;
    uint32_t count;
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&body, EVENT_MAX_BYTES);
    buf_init(&erased, EVENT_MAX_BYTES);
    mp_put_bin(&payload, bytes_of(zeros, payload_bytes));
    event_fields f = {.category = bytes_str("c"),
                      .stream = bytes_str("s"),
                      .kind = bytes_str("k"),
                      .payload = buf_view(&payload)};
    cr_assert_eq(event_build(&f, &body), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&body), &view), ERR_OK);
    uint8_t hash[32];
    crypto_digest(hash, view.tail);
    cr_assert_eq(event_write_erased(&view, hash, &erased), ERR_OK);
    bytes data = erase ? buf_view(&erased) : buf_view(&body);
    cr_assert_eq(run_begin(&w, &b, 3, 1, &id), ERR_OK);
    for (uint32_t i = 1; i <= n; i++) {
        seal_sig s;
        chain_next_event(&id, &id, i, &view);
        cr_assert_eq(chain_sign(&s, &a.key, &a.dataset, 3, i, &id), ERR_OK);
        cr_assert_eq(run_add(&w, data, erase, i % every == 0 || i == n ? &s : NULL), ERR_OK);
    }
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    err_t e = check_bytes(buf_view(&b), &a, NULL, v);
    buf_release(&payload);
    buf_release(&body);
    buf_release(&erased);
    buf_release(&b);
    return e;
}

Test(run, wants_a_seal_every_256_events)
{
    run_verdict v;
    cr_expect_eq(stretch(256, 3, 256, false, &v), ERR_OK);
    cr_expect_eq(stretch(300, 3, 256, false, &v), ERR_OK);
    cr_expect_eq(stretch(257, 3, 257, false, &v), ERR_UNSEALED);
    cr_expect_eq(v.bad_index, 256);
    cr_expect_eq(stretch(256 + 257, 3, 256, false, &v), ERR_OK);
}

Test(run, wants_a_seal_every_64_kib_as_written)
{
    run_verdict v;
    const size_t around =
        1 + 3 + 3 * 2 + 3; /* all but the payload's bytes, so that two bodies are 64 KiB */
    cr_expect_eq(stretch(2, EVENT_MAX_BYTES / 2 - around, 2, false, &v), ERR_OK);
    cr_expect_eq(stretch(2, EVENT_MAX_BYTES / 2 - around, 2, true, &v), ERR_OK);
    cr_expect_eq(stretch(2, EVENT_MAX_BYTES / 2 - around + 1, 2, false, &v), ERR_UNSEALED);
    cr_expect_eq(stretch(2, EVENT_MAX_BYTES / 2 - around + 1, 2, true, &v), ERR_UNSEALED);
    cr_expect(v.bad_index == 1 && v.sealed == 0);
    cr_expect_eq(stretch(4, EVENT_MAX_BYTES / 2 - around, 2, true, &v), ERR_OK);
    cr_expect_eq(stretch(1, EVENT_MAX_BYTES - around, 1, false, &v), ERR_OK);
    cr_expect_eq(stretch(100, 0, 100, true, &v), ERR_OK, "36 bytes stand for 2: not counted");
}

Test(run, is_cut_after_its_last_seal)
{
    static const seal_sig seal;
    event_id id = {{1}};
    buf b = buf_for_run();
    run_writer w;
    run r;
    uint32_t count;
    bytes data = bytes_str("not looked into");
    buf_add_str(&b, "before");
    cr_assert_eq(run_begin(&w, &b, 3, 5, &id), ERR_OK);
    cr_assert_eq(run_add(&w, data, false, NULL), ERR_OK);
    cr_expect_eq(run_end(&w, &count), ERR_UNSEALED);
    cr_expect(b.len == 6 && count == 0);
    cr_assert_eq(run_begin(&w, &b, 3, 5, &id), ERR_OK);
    cr_assert_eq(run_add(&w, data, false, NULL), ERR_OK);
    cr_assert_eq(run_add(&w, data, false, &seal), ERR_OK);
    cr_assert_eq(run_add(&w, data, false, NULL), ERR_OK);
    cr_expect_eq(run_end(&w, &count), ERR_OK);
    cr_expect_eq(count, 2);
    cr_expect_eq(run_decode(bytes_of(b.p + 6, b.len - 6), &r), ERR_OK);
    cr_expect_eq(r.count, 2);
    buf_release(&b);
}

Test(run, says_when_it_is_full_and_stays_whole)
{
    static uint8_t body[EVENT_MAX_BYTES];
    static const seal_sig seal;
    event_id id = {{1}};
    buf b;
    run_writer w;
    run r;
    uint32_t n = 0, count;
    buf_init(&b, 2 * RUN_MAX_BYTES);
    cr_assert_eq(run_begin(&w, &b, 3, 1, &id), ERR_OK);
    while (run_add(&w, bytes_of(body, sizeof body), false, &seal) == ERR_OK)
        n++;
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    cr_expect(n == count && n == 15 && b.len <= RUN_MAX_BYTES);
    cr_expect_eq(run_decode(buf_view(&b), &r), ERR_OK);
    buf_clear(&b);
    cr_assert_eq(run_begin(&w, &b, 3, 1, &id), ERR_OK);
    for (n = 0; run_add(&w, bytes_of(body, 1), false, &seal) == ERR_OK;)
        n++;
    cr_expect_eq(n, RUN_MAX_EVENTS);
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    cr_expect_eq(run_decode(buf_view(&b), &r), ERR_OK);
    put_u32be(b.p + 16, count + 1);
    cr_expect_eq(run_decode(buf_view(&b), &r), ERR_TOO_LARGE);
    buf_release(&b);
}

Test(run, knows_its_version_codec_and_bounds)
{
    prop_rng rng = prop_begin("run header");
    prop_author a = prop_author_of(1, 3);
    buf b = buf_for_run();
    run r;
    prop_run(&rng, &a, 1, 1, 0, &b);
    static const struct {
        size_t at;
        uint8_t value;
        err_t want;
    } rows[] = {{0, 2, ERR_VERSION},       {1, 1, ERR_VERSION},         {2, 1, ERR_VERSION},
                {3, 1, ERR_VERSION},       {8, 0x80, ERR_OUT_OF_RANGE}, {15, 0, ERR_OUT_OF_RANGE},
                {19, 0, ERR_OUT_OF_RANGE}, {19, 2, ERR_TRUNCATED},      {20, 1, ERR_TRUNCATED},
                {56, 0x80, ERR_TRAILING},  {57, 0xff, ERR_TRUNCATED},   {56, 0x60, ERR_MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t was = b.p[rows[i].at];
        b.p[rows[i].at] = rows[i].value;
        err_t e = run_decode(buf_view(&b), &r);
        cr_expect_eq(e, rows[i].want, "row %zu: %s", i, err_name(e));
        b.p[rows[i].at] = was;
    }
    cr_expect_eq(run_decode(buf_view(&b), &r), ERR_OK);
    buf_release(&b);
}

Test(run, without_a_seal_at_its_end_is_no_run)
{
    prop_rng rng = prop_begin("run unsealed");
    prop_author a = prop_author_of(1, 3);
    buf b = buf_for_run();
    run r;
    run_item item;
    prop_run(&rng, &a, 4, 2, 0, &b);
    cr_assert_eq(run_decode(buf_view(&b), &r), ERR_OK);
    for (run_iter it = run_items(&r); run_next(&it, &item);)
        continue;
    ((uint8_t *)(uintptr_t)item.data.p)[-4] &= 0xbf;
    b.len -= SEAL_BYTES;
    put_u32be(b.p + 20, (uint32_t)(b.len - RUN_HEADER_BYTES));
    cr_expect_eq(run_decode(buf_view(&b), &r), ERR_UNSEALED);
    buf_release(&b);
}
