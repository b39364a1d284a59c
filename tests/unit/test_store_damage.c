/* Flipped bits: in rows they are reported, never served and mended by a good copy; in indexes they cost a
 * rebuild and nothing else. Copies of a database are told from the original. */
#include "store/store_keys.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_model.h"

#include "pure/crypto.h"

typedef struct {
    fixture x;
    store_core *s;
    model m;
    prop_rng r;
    bool damaged[MODEL_EVENTS_MAX];
} world;

static world w;

static store_opening opening(void)
{
    return (store_opening){.inode = 7,
                           .birth_ns = 8,
                           .machine = bytes_str("host"),
                           .random_epoch = 1000,
                           .random_incarnation = 40,
                           .index_lag_bytes = 700};
}

static void append_chain(feed_id feed, int *tip, size_t n)
{
    model_append_row rows[32];
    append_row built[32];
    seal_sig seals[32];
    append_reply out, expected;
    for (size_t i = 0; i < n; i++) {
        *tip = model_make(&w.m, &w.r, feed, *tip);
        rows[i] = (model_append_row){*tip, true, i + 1 == n};
    }
    model_rows(&w.m, rows, n, built, seals);
    append_request req = {.rows = MSG_LIST_OF(built, n), .allow_fork = true};
    cr_assert_eq(model_append(&w.m, rows, n, true, &expected), ERR_OK);
    cr_assert_eq(store_begin(w.s), ERR_OK);
    cr_assert_eq(store_append(w.s, &req, (wall_ms){5}, &out), ERR_OK);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

static void world_init(fixture_kind kind)
{
    static const feed_id feeds[] = {1, 2, 0x10002};
    store_opening how = opening();
    cr_assert_eq(crypto_start(), ERR_OK);
    w.r = prop_begin("store_damage");
    model_init(&w.m);
    memset(w.damaged, 0, sizeof w.damaged);
    fixture_init(&w.x, kind);
    cr_assert_eq(store_open(&w.s, w.x.kv, &how), ERR_OK);
    int tips[3] = {-1, -1, -1};
    for (int i = 0; i < 30; i++) {
        size_t f = prop_below(&w.r, 3);
        append_chain(feeds[f], &tips[f], 1 + prop_below(&w.r, 20));
    }
    int fork = w.m.events[tips[0]].parent;
    append_chain(feeds[0], &fork, 3);
}

static void world_release(void)
{
    store_close(&w.s);
    w.x.kv = NULL;
    fixture_release(&w.x);
}

static void flip(kv_table table, bytes key)
{
    kv_txn *txn;
    bytes value;
    uint8_t copy[4096];
    cr_assert_eq(kv_begin(w.x.kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_get(txn, table, key, &value), ERR_OK);
    cr_assert(value.len <= sizeof copy && value.len != 0);
    memcpy(copy, value.p, value.len);
    uint64_t bit = prop_below(&w.r, value.len * 8);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    cr_assert_eq(kv_put(txn, table, key, bytes_of(copy, value.len)), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
}

static void flip_row(uint64_t offset)
{
    store_key key;
    key_offset(&key, offset);
    flip(KV_LOG, key_view(&key));
    w.damaged[offset - 1] = true;
}

/* Every row is there, good or flagged, and never wrong. */
static uint64_t fetch_and_check(const char *category)
{
    fetch_request req = {.max = 64, .category = bytes_str(category)};
    rows_reply out;
    stored_row row;
    uint64_t bad = 0;
    do {
        cr_assert_eq(store_fetch(w.s, &req, &out), ERR_OK);
        while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
            const model_event *e = &w.m.events[w.m.log[row.offset - 1].event];
            cr_assert_eq((row.flags & ROW_DAMAGED) != 0, w.damaged[row.offset - 1]);
            if (!w.damaged[row.offset - 1]) {
                model_check_row(&w.m, &row);
                continue;
            }
            bad++;
            cr_assert_eq(row.body.len, 0);
            if (w.m.log[row.offset - 1].target == 0)
                cr_assert(row.feed == e->feed && row.seq == e->seq);
        }
        req.after = out.next;
    } while (!out.caught_up);
    return bad;
}

static void check_damage(uint64_t expected)
{
    damage_reply out;
    damage_row row;
    cr_assert_eq(store_damage(w.s, &out), ERR_OK);
    cr_assert_eq(out.rows.n, expected);
    while (msg_list_next(&damage_row_desc, &out.rows, &row)) {
        const model_event *e = &w.m.events[w.m.log[row.offset - 1].event];
        cr_assert(w.damaged[row.offset - 1] && row.feed == e->feed && row.seq == e->seq);
    }
}

/* A peer sends a whole chain again. */
static void resend(int tip)
{
    static model_append_row rows[512];
    static append_row built[512];
    static seal_sig seals[512];
    append_reply out;
    int way[512];
    size_t n = 0;
    for (int at = tip; at >= 0 && n < 512; at = w.m.events[at].parent)
        way[n++] = at;
    for (size_t i = 0; i < n; i++) {
        int event = way[n - 1 - i];
        const model_slot *slot = &w.m.log[model_held(&w.m, event) - 1];
        rows[i] = (model_append_row){event, (slot->flags & ROW_COUNTS) != 0, slot->sealed};
    }
    model_rows(&w.m, rows, n, built, seals);
    append_request req = {.rows = MSG_LIST_OF(built, n), .allow_fork = true};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    err_t e = store_append(w.s, &req, (wall_ms){5}, &out);
    cr_assert_eq(e, ERR_OK, "%s", err_name(e));
    cr_assert_eq(out.appended, 0);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

/* Every mended row was announced; the model learns the announcements. */
static void learn_announced(void)
{
    fetch_request req = {.after = w.m.head, .max = 4096};
    rows_reply out;
    stored_row row;
    cr_assert_eq(store_fetch(w.s, &req, &out), ERR_OK);
    while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
        cr_assert(row.flags & ROW_CHANGED && w.damaged[row.parent - 1]);
        w.damaged[row.parent - 1] = false;
        w.m.log[w.m.head] = w.m.log[row.parent - 1];
        w.m.log[w.m.head].flags |= ROW_CHANGED;
        w.m.log[w.m.head].sealed = false;
        w.m.log[w.m.head++].target = row.parent;
    }
}

/* ---- forks ---- */

static err_t resend_rows(const int *way, size_t n)
{
    model_append_row rows[32];
    append_row built[32];
    seal_sig seals[32];
    append_reply out;
    for (size_t i = 0; i < n; i++)
        rows[i] = (model_append_row){way[i], true, w.m.log[model_held(&w.m, way[i]) - 1].sealed};
    model_rows(&w.m, rows, n, built, seals);
    append_request req = {.rows = MSG_LIST_OF(built, n), .allow_fork = true};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    err_t e = store_append(w.s, &req, (wall_ms){5}, &out);
    cr_assert_eq(store_commit(w.s), ERR_OK);
    cr_assert_eq(out.appended, 0);
    return e;
}

/* Both events after the fork are damaged: which of them a row is, only what follows can tell. */
Test(store_damage, damage_at_a_fork_is_mended_on_the_right_branch)
{
    int a[10], b[10];
    store_opening how = opening();
    for (int all = 0; all < 2; all++) {
        cr_assert_eq(crypto_start(), ERR_OK);
        w.r = prop_begin("store_damage fork");
        model_init(&w.m);
        memset(w.damaged, 0, sizeof w.damaged);
        fixture_init(&w.x, IN_MEMORY);
        cr_assert_eq(store_open(&w.s, w.x.kv, &how), ERR_OK);
        for (int i = 0; i < 10; i++) {
            a[i] = i == 0 ? -1 : a[i - 1];
            append_chain(1, &a[i], 1);
        }
        memcpy(b, a, sizeof b);
        for (int i = 5; i < 10; i++) {
            b[i] = b[i - 1];
            append_chain(1, &b[i], 1);
        }
        for (int i = 5; i < (all ? 9 : 6); i++) {
            flip_row(model_held(&w.m, a[i]));
            flip_row(model_held(&w.m, b[i]));
        }
        check_damage(0);
        cr_assert_eq(fetch_and_check(""), all ? 8 : 2);
        if (all) /* too short to tell */
            cr_assert_eq(resend_rows(b, 7), ERR_DAMAGED);
        cr_assert_eq(resend_rows(b, 10), ERR_OK);
        cr_assert_eq(resend_rows(a, 10), ERR_OK);
        check_damage(0);
        learn_announced();
        model_compare(&w.m, w.s, &w.r);
        world_release();
    }
}

static void flips_are_mended(fixture_kind kind)
{
    world_init(kind);
    for (int round = 0; round < 4; round++) {
        uint64_t n = 0;
        for (int i = 0; i < 12; i++) { /* single ones, and whole pages */
            uint64_t at = 1 + prop_below(&w.r, w.m.head);
            for (uint64_t k = prop_below(&w.r, 6) + 1; k > 0 && at <= w.m.head; k--, at++)
                if (!w.damaged[at - 1] && w.m.log[at - 1].target == 0) {
                    flip_row(at);
                    n++;
                }
        }
        cr_assert_eq(fetch_and_check(""), n);
        (void)fetch_and_check("c1");
        check_damage(n);
        for (int e = 0; e < w.m.n_events; e++)
            if (!model_has_next(&w.m, e, w.m.events[e].feed))
                resend(e);
        check_damage(0);
        learn_announced();
        model_compare(&w.m, w.s, &w.r);
    }
    world_release();
}

Test(store_damage, flipped_rows_are_flagged_and_mended_in_memory, .timeout = 60)
{
    flips_are_mended(IN_MEMORY);
}

Test(store_damage, flipped_rows_are_flagged_and_mended_in_lmdb, .timeout = 60)
{
    flips_are_mended(IN_LMDB);
}

Test(store_damage, flipped_rows_are_flagged_and_mended_in_a_file, .timeout = 60)
{
    flips_are_mended(IN_FILE);
}

Test(store_damage, scrub_finds_what_nobody_reads, .timeout = 60)
{
    store_scrubbed out;
    world_init(IN_MEMORY);
    flip_row(3);
    flip_row(w.m.head);
    uint64_t found = 0;
    do {
        cr_assert_eq(store_scrub(w.s, 10, (wall_ms){9}, &out), ERR_OK);
        found += out.damaged;
    } while (!out.pass_ended);
    cr_assert_eq(found, 2);
    check_damage(2);
    store_kv *copy = store_mem_copy(w.x.kv); /* before tending: nothing was written */
    kv_free(copy);
    cr_assert_not(store_tend(w.s, 1000000) && store_tend(w.s, 1000000));
    copy = store_mem_copy(w.x.kv);
    store_close(&w.s);
    w.x.kv = copy;
    store_opening how = opening();
    cr_assert_eq(store_open(&w.s, copy, &how), ERR_OK);
    check_damage(2); /* remembered */
    world_release();
}

/* A row that passes its checksum but is not what the chain says: a mistake before the checksum. */
Test(store_damage, scrub_rehashes_the_chain)
{
    kv_txn *txn;
    store_key key;
    bytes content;
    stored_row row;
    buf b;
    store_scrubbed out;
    world_init(IN_MEMORY);
    key_offset(&key, 5);
    buf_init(&b, 4096);
    cr_assert_eq(kv_begin(w.x.kv, true, &txn), ERR_OK);
    cr_assert_eq(table_get(txn, KV_LOG, &key, &content), ERR_OK);
    cr_assert_eq(msg_decode(&stored_row_desc, content, &row, NULL), ERR_OK);
    row.id.b[9] ^= 1;
    buf_add_u64be(&b, 0);
    cr_assert_eq(msg_encode(&stored_row_desc, &row, &b), ERR_OK);
    sum_close(KV_LOG, key_view(&key), &b);
    cr_assert_eq(kv_put(txn, KV_LOG, key_view(&key), buf_view(&b)), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
    buf_release(&b);
    cr_assert_eq(store_scrub(w.s, 1000000, (wall_ms){9}, &out), ERR_OK);
    cr_assert_eq(out.damaged, 1);
    cr_assert_eq(out.bad_offset, 5);
    w.damaged[4] = true;
    cr_assert_eq(fetch_and_check(""), 1);
    world_release();
}

static void flip_some_index(kv_table table)
{
    kv_txn *txn;
    kv_cursor c;
    uint8_t keys[64][KV_KEY_MAX];
    size_t lens[64], n = 0;
    cr_assert_eq(kv_begin(w.x.kv, false, &txn), ERR_OK);
    err_t e = kv_first(txn, table, bytes_of(NULL, 0), &c);
    for (; e == ERR_OK && n < 64; e = kv_next(&c), n++) {
        memcpy(keys[n], c.key.p, c.key.len);
        lens[n] = c.key.len;
    }
    kv_done(&c);
    kv_abort(txn);
    cr_assert(n != 0);
    size_t i = prop_below(&w.r, n);
    flip(table, bytes_of(keys[i], lens[i]));
}

Test(store_damage, damaged_indexes_are_built_anew, .timeout = 60)
{
    static const kv_table tables[] = {KV_FEED, KV_HEAD, KV_STREAM, KV_CATEGORY};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (int scrubbed = 0; scrubbed < 2; scrubbed++) {
            store_scrubbed out;
            store_opening how = opening();
            world_init(IN_MEMORY);
            while (store_tend(w.s, 1000))
                ;
            flip_some_index(tables[t]);
            store_kv *copy = store_mem_copy(w.x.kv);
            if (tables[t] == KV_HEAD) { /* read at start only */
                store_close(&w.s);
                w.x.kv = copy;
                cr_assert_eq(store_open(&w.s, copy, &how), ERR_OK);
            } else {
                kv_free(copy);
                while (store_scrub(w.s, 1000000, (wall_ms){9}, &out) != ERR_OK)
                    ;
            }
            model_compare(&w.m, w.s, &w.r);
            world_release();
        }
}

static uint64_t stream_rows(const model_event *e)
{
    read_stream_request req = {
        .category = bytes_str(e->category), .stream = bytes_str(e->stream), .max = 4096};
    rows_reply out;
    stored_row row;
    uint64_t n = 0;
    cr_assert_eq(store_read_stream(w.s, &req, &out), ERR_OK);
    cr_assert(out.caught_up);
    while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
        const model_event *held = &w.m.events[w.m.log[row.offset - 1].event];
        cr_assert(strcmp(held->category, e->category) == 0 && strcmp(held->stream, e->stream) == 0);
        n++;
    }
    return n;
}

static uint64_t stream_rows_expected(const model_event *e)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < w.m.head; i++) {
        const model_event *o = &w.m.events[w.m.log[i].event];
        n += w.m.log[i].target == 0 && !o->opaque && strcmp(o->category, e->category) == 0 &&
             strcmp(o->stream, e->stream) == 0;
    }
    return n;
}

/* Nothing of the stream index reaches the disk before it is tended. */
static void open_lagging(void)
{
    store_opening how = opening();
    how.index_lag_bytes = 1u << 20;
    cr_assert_eq(store_open(&w.s, w.x.kv, &how), ERR_OK);
}

static void crash(void)
{
    store_kv *left = store_mem_copy(w.x.kv);
    store_close(&w.s);
    w.x.kv = left;
    open_lagging();
}

/* What is damaged when the stream index is made up again after a crash enters it when it is mended, out of order. */
Test(store_damage, a_row_mended_after_a_crash_is_in_its_stream, .timeout = 60)
{
    int tip = -1;
    world_init(IN_MEMORY);
    store_close(&w.s);
    w.x.kv = store_mem_new();
    model_init(&w.m);
    open_lagging();
    for (int i = 0; i < 20; i++)
        append_chain(1, &tip, 20);
    for (uint64_t at = 1; at <= w.m.head; at += 1 + prop_below(&w.r, 6))
        flip_row(at);
    crash();
    resend(tip);
    check_damage(0);
    for (int round = 0; round < 3; round++) {
        for (int e = 0; e < w.m.n_events; e++)
            if (!w.m.events[e].opaque)
                cr_assert_eq(stream_rows(&w.m.events[e]), stream_rows_expected(&w.m.events[e]));
        while (round == 1 && store_tend(w.s, 1000))
            ;
        crash();
    }
    world_release();
}

/* ---- whose database it is ---- */

static store_hello_reply hello_of(store_core *s)
{
    store_hello_reply out;
    cr_assert_eq(store_hello(s, &out), ERR_OK);
    return out;
}

static store_hello_reply reopened(store_opening how, uint64_t epoch)
{
    store_kv *copy = store_mem_copy(w.x.kv);
    how.random_epoch = epoch;
    store_close(&w.s);
    w.x.kv = copy;
    cr_assert_eq(store_open(&w.s, copy, &how), ERR_OK);
    return hello_of(w.s);
}

Test(store_damage, copies_get_a_new_epoch_and_incarnation)
{
    world_init(IN_MEMORY);
    store_opening same = opening(), inode = same, birth = same, host = same, unknown = same;
    inode.inode = 70;
    birth.birth_ns = 80;
    birth.inode = host.inode = 70;
    host.machine = birth.machine = bytes_str("other");
    unknown = (store_opening){.random_incarnation = 40, .index_lag_bytes = 700};
    store_hello_reply h = hello_of(w.s);
    cr_assert(h.epoch == 1000 && h.incarnation == 0 && !h.copied);
    h = reopened(same, 1);
    cr_assert(h.epoch == 1000 && h.incarnation == 0 && !h.copied);
    h = reopened(unknown, 2);
    cr_assert(h.epoch == 1000 && !h.copied);
    h = reopened(inode, 3);
    cr_assert(h.epoch == 3 && h.incarnation == 40 && h.copied);
    h = reopened(inode, 4);
    cr_assert(h.epoch == 3 && h.incarnation == 40 && !h.copied);
    h = reopened(host, 5);
    cr_assert(h.epoch == 5 && h.copied);
    h = reopened(birth, 6);
    cr_assert(h.epoch == 6 && h.copied);
    model_compare(&w.m, w.s, &w.r);
    world_release();
}

Test(store_damage, a_damaged_meta_copy_is_no_loss)
{
    store_key key;
    store_opening how = opening();
    world_init(IN_MEMORY);
    key_text(&key, "state/0");
    flip(KV_META, key_view(&key));
    key_text(&key, "identity/1");
    flip(KV_META, key_view(&key));
    store_hello_reply h = reopened(how, 9);
    cr_assert(h.epoch == 1000 && !h.copied && h.head == w.m.head);
    key_text(&key, "state/0");
    flip(KV_META, key_view(&key));
    key_text(&key, "state/1");
    flip(KV_META, key_view(&key));
    h = reopened(how, 10);
    cr_assert(h.epoch == 10 && h.incarnation == 40 && h.copied && h.head == w.m.head);
    model_compare(&w.m, w.s, &w.r);
    world_release();
}

Test(store_damage, another_format_is_refused)
{
    kv_txn *txn;
    store_core *s;
    store_opening how = opening();
    store_kv *kv = store_mem_new();
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_put(txn, KV_META, bytes_str("format"), bytes_str("something")), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
    cr_assert_eq(store_open(&s, kv, &how), ERR_FOREIGN_DB);
    kv_free(kv);
}
