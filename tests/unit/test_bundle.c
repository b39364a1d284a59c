#include "pure/bundle.h"

#include "tests/unit/prop_event.h"

#define RUNS 6

typedef struct {
    buf file;
    dataset_id dataset;
    bundle_progress written;
    size_t offset
        [RUNS +
         2]; /* of header, runs, end, and the end of the file: offset[i] is where run i begins */
} stick;

static stick make_stick(prop_rng *rng)
{
    stick s = {0};
    prop_author a = prop_author_of(1, 3);
    s.dataset = a.dataset;
    buf_init(&s.file, 1 << 24);
    cr_assert_eq(bundle_begin(&s.written, &a.dataset, &s.file), ERR_OK);
    for (int i = 0; i < RUNS; i++) {
        buf b;
        run r;
        buf_init(&b, RUN_MAX_BYTES);
        prop_run(rng, &a, 1 + (uint32_t)prop_below(rng, 5), 3, 5, &b);
        cr_assert_eq(run_decode(buf_view(&b), &r), ERR_OK);
        s.offset[i] = s.file.len;
        cr_assert_eq(bundle_add(&s.written, &r, &s.file), ERR_OK);
        buf_release(&b);
    }
    s.offset[RUNS] = s.file.len;
    cr_assert_eq(bundle_end(&s.written, &s.file), ERR_OK);
    cr_assert_eq(s.written.bytes, s.file.len);
    return s;
}

typedef struct {
    unsigned calls, fail_at;
    uint64_t events, next_seq;
} sink;

static err_t take(void *context, const run *r)
{
    sink *k = context;
    if (k->fail_at > 0 && k->calls + 1 == k->fail_at)
        return ERR_FULL;
    k->calls++;
    k->events += r->count;
    k->next_seq = r->first_seq + r->count;
    return ERR_OK;
}

static err_t feed_in_chunks(bundle_reader *r, bytes in, prop_rng *rng, size_t most)
{
    err_t e = ERR_OK;
    while (in.len > 0 && e == ERR_OK) {
        size_t n = 1 + prop_below(rng, most);
        n = n < in.len ? n : in.len;
        bytes chunk = prop_exact(bytes_of(in.p, n));
        e = bundle_feed(r, chunk);
        prop_free(chunk);
        in = bytes_of(in.p + n, in.len - n);
    }
    return e;
}

Test(bundle, comes_back_whole_in_any_chunks)
{
    prop_rng rng = prop_begin("bundle chunks");
    stick s = make_stick(&rng);
    for (size_t most = 1; most < 100000; most *= 7) {
        bundle_reader r;
        sink k = {0};
        bundle_reader_init(&r, most % 2 ? &s.dataset : NULL, take, &k);
        cr_assert_eq(feed_in_chunks(&r, buf_view(&s.file), &rng, most), ERR_OK);
        cr_assert_eq(bundle_finish(&r), ERR_OK);
        cr_assert(k.calls == RUNS && k.events == s.written.events);
        cr_assert_eq(r.progress.bytes, s.file.len);
        cr_assert_eq(memcmp(r.progress.dataset.b, s.dataset.b, 32), 0);
        bundle_reader_release(&r);
    }
    buf_release(&s.file);
}

/* How many records, the header counted, are whole in the first n bytes. */
static unsigned whole_before(const stick *s, size_t n)
{
    unsigned runs = 0;
    while (runs < RUNS && s->offset[runs + 1] <= n)
        runs++;
    return runs;
}

Test(bundle, cut_short_tells_what_was_whole_and_goes_on_from_there)
{
    prop_rng rng = prop_begin("bundle cut");
    stick s = make_stick(&rng);
    for (size_t n = 0; n < s.file.len; n += 1 + prop_below(&rng, 13)) {
        bundle_reader r, again;
        sink k = {0};
        bundle_reader_init(&r, &s.dataset, take, &k);
        cr_assert_eq(feed_in_chunks(&r, bytes_of(s.file.p, n), &rng, 4000), ERR_OK);
        cr_assert_eq(bundle_finish(&r), ERR_TRUNCATED);
        cr_assert(k.calls == whole_before(&s, n) && r.progress.runs == k.calls);
        cr_assert_eq(r.progress.bytes, n < BUNDLE_HEADER_BYTES ? 0 : s.offset[k.calls]);
        bundle_reader_resume(&again, &r.progress, take, &k);
        uint64_t from = r.progress.bytes;
        cr_assert_eq(bundle_feed(&again, bytes_of(s.file.p + from, s.file.len - from)), ERR_OK);
        cr_assert_eq(bundle_finish(&again), ERR_OK);
        cr_assert(k.calls == RUNS && k.events == s.written.events);
        bundle_reader_release(&r);
        bundle_reader_release(&again);
    }
    buf_release(&s.file);
}

Test(bundle, of_another_dataset_is_refused)
{
    prop_rng rng = prop_begin("bundle dataset");
    stick s = make_stick(&rng);
    dataset_id other = {{1}};
    bundle_reader r;
    sink k = {0};
    bundle_reader_init(&r, &other, take, &k);
    cr_expect_eq(bundle_feed(&r, buf_view(&s.file)), ERR_DATASET);
    cr_expect_eq(bundle_finish(&r), ERR_DATASET);
    cr_expect_eq(k.calls, 0);
    bundle_reader_release(&r);
    buf_release(&s.file);
}

Test(bundle, notices_every_flipped_bit)
{
    prop_rng rng = prop_begin("bundle bit flips");
    stick s = make_stick(&rng);
    for (size_t bit = 0; bit < 8 * s.file.len; bit += 1 + prop_below(&rng, 5)) {
        bundle_reader r;
        sink k = {0};
        s.file.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bundle_reader_init(&r, &s.dataset, take, &k);
        err_t fed = bundle_feed(&r, buf_view(&s.file)), end = bundle_finish(&r);
        cr_assert(fed == end || fed == ERR_OK);
        cr_assert_neq(end, ERR_OK, "bit %zu", bit);
        cr_assert(r.progress.bytes <= bit / 8, "bit %zu was passed as whole", bit);
        bundle_reader_release(&r);
        s.file.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_release(&s.file);
}

Test(bundle, stops_where_its_taker_does_and_goes_on_later)
{
    prop_rng rng = prop_begin("bundle taker");
    stick s = make_stick(&rng);
    bundle_reader r, again;
    sink k = {.fail_at = 4};
    bundle_reader_init(&r, &s.dataset, take, &k);
    cr_expect_eq(bundle_feed(&r, buf_view(&s.file)), ERR_FULL);
    cr_expect_eq(bundle_feed(&r, buf_view(&s.file)), ERR_FULL, "it sticks");
    cr_expect(k.calls == 3 && r.progress.runs == 3 && r.progress.bytes == s.offset[3]);
    k.fail_at = 0;
    bundle_reader_resume(&again, &r.progress, take, &k);
    cr_expect_eq(bundle_feed(&again, bytes_of(s.file.p + s.offset[3], s.file.len - s.offset[3])),
                 ERR_OK);
    cr_expect(bundle_finish(&again) == ERR_OK && k.calls == RUNS);
    bundle_reader_release(&r);
    bundle_reader_release(&again);
    buf_release(&s.file);
}

static err_t feed_all(bytes in)
{
    bundle_reader r;
    sink k = {0};
    bundle_reader_init(&r, NULL, take, &k);
    err_t e = bundle_feed(&r, in);
    e = e != ERR_OK ? e : bundle_finish(&r);
    bundle_reader_release(&r);
    return e;
}

Test(bundle, is_nothing_else)
{
    prop_rng rng = prop_begin("bundle strangers");
    stick s = make_stick(&rng);
    uint8_t page[4096] = "%PDF-1.4";
    cr_expect_eq(feed_all(bytes_of(page, sizeof page)), ERR_MALFORMED);
    cr_expect_eq(feed_all(bytes_of("", 0)), ERR_TRUNCATED);
    buf_add_u8(&s.file, 0);
    cr_expect_eq(feed_all(buf_view(&s.file)), ERR_TRAILING);
    s.file.len--;
    /* A run taken out: every record is whole, but the counts at the end tell. */
    size_t at = s.offset[2], next = s.offset[3];
    memmove(s.file.p + at, s.file.p + next, s.file.len - next);
    s.file.len -= next - at;
    cr_expect_eq(feed_all(buf_view(&s.file)), ERR_MALFORMED);
    put_u32be(s.file.p + s.offset[0] + 4, RUN_MAX_BYTES + 1);
    cr_expect_eq(feed_all(buf_view(&s.file)), ERR_TOO_LARGE);
    s.file.p[11] = 2;
    cr_expect_eq(feed_all(buf_view(&s.file)), ERR_VERSION);
    buf_release(&s.file);
}

Test(bundle, believes_none_of_the_counts_at_its_end)
{
    prop_rng rng = prop_begin("bundle counts");
    stick s = make_stick(&rng);
    for (size_t count = 0; count < 3; count++) {
        uint8_t *record = s.file.p + s.offset[RUNS], sum[CRYPTO_HASH_BYTES];
        for (unsigned lie = 0; lie < 2; lie++) {
            record[8 + 8 * count + 7] ^= 1; /* there and back */
            crypto_digest(sum, bytes_of(record, 8 + 24));
            memcpy(record + 8 + 24, sum, CHECKSUM_BYTES);
            cr_expect_eq(feed_all(buf_view(&s.file)), lie == 0 ? ERR_MALFORMED : ERR_OK,
                         "count %zu", count);
        }
    }
    buf_release(&s.file);
}
