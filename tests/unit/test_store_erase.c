/* Erasure in the store: what is hidden and for how long, what comes back and what never does, and that nothing of a tail
 * stays behind in the file. */
#include "store/store_keys.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_model.h"

#include "pure/crypto.h"
#include "pure/run.h"

#include <fcntl.h>
#include <lmdb.h>

typedef struct {
    fixture x;
    store_core *s;
    model m;
    prop_rng r;
} world;

static world w;

static void open_store(void)
{
    store_opening how = {.inode = 7, .birth_ns = 8, .random_epoch = 1000, .random_incarnation = 40};
    cr_assert_eq(store_open(&w.s, w.x.kv, &how), ERR_OK);
}

static void world_init(fixture_kind kind)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    w.r = prop_begin("store_erase");
    model_init(&w.m);
    fixture_init(&w.x, kind);
    open_store();
}

static void world_release(void)
{
    store_close(&w.s);
    w.x.kv = NULL;
    fixture_release(&w.x);
}

/* As after a crash between two groups. */
static void reopen(void)
{
    buf why;
    buf_init(&why, 1024);
    store_kv *copy = w.x.kind == IN_MEMORY ? store_mem_copy(w.x.kv) : NULL;
    store_close(&w.s);
    w.x.kv = copy;
    if (w.x.kind != IN_MEMORY)
        cr_assert_eq(fixture_open(&w.x, &why), ERR_OK);
    buf_release(&why);
    open_store();
}

static void append(const append_row *rows, size_t n, append_reply *out)
{
    append_request req = {.rows = MSG_LIST_OF(rows, n)};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    cr_assert_eq(store_append(w.s, &req, (wall_ms){1000}, out), ERR_OK);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

#define MONTH_MS ((uint64_t)ERASE_KEEP_MS)

static void erase(uint64_t offset, bool hidden, bool at_once)
{
    erase_request req = {.offset = offset, .hidden = hidden, .at_once = at_once};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    cr_assert_eq(store_erase(w.s, &req, (wall_ms){2000}), ERR_OK);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

/* Row 1, whose event is the first of the model; what it is beside counting. */
static unsigned state_of_first(bool *whole)
{
    rows_reply out;
    stored_row row;
    fetch_request fetch = {.max = 1};
    const model_event *e = &w.m.events[0];
    cr_assert_eq(store_fetch(w.s, &fetch, &out), ERR_OK);
    cr_assert(msg_list_next(&stored_row_desc, &out.rows, &row));
    *whole = bytes_eq(row.body, bytes_of(e->body, e->body_len));
    return row.flags & (ROW_HIDDEN | ROW_ERASED);
}

static void expect_first(unsigned flags, uint64_t head)
{
    bool whole;
    store_scrubbed scrubbed;
    cr_assert_eq(state_of_first(&whole), flags);
    cr_assert_eq(whole, (flags & ROW_ERASED) == 0);
    cr_assert_eq(store_head(w.s), head);
    cr_assert_eq(store_scrub(w.s, 100, (wall_ms){3000}, &scrubbed), ERR_OK);
    cr_assert(scrubbed.pass_ended && scrubbed.damaged == 0); /* the id still follows */
}

static uint32_t tails_gone(uint64_t now)
{
    uint32_t gone;
    cr_assert_eq(store_tails(w.s, (wall_ms){now}, &gone), ERR_OK);
    return gone;
}

static bool run_is_erased(void)
{
    run_reply out;
    run r;
    run_item item;
    const model_event *e = &w.m.events[0];
    run_request req = {
        .feed = e->feed, .tip_seq = e->seq, .tip_id = e->id, .max_bytes = RUN_MAX_BYTES};
    cr_assert_eq(store_run(w.s, &req, &out), ERR_OK);
    cr_assert_eq(run_decode(out.run, &r), ERR_OK);
    run_iter it = run_items(&r);
    cr_assert(run_next(&it, &item));
    return item.erased;
}

static void one_sealed_event(fixture_kind kind)
{
    append_reply out;
    append_row row;
    seal_sig seal;
    world_init(kind);
    int e = model_make(&w.m, &w.r, 1, -1);
    model_append_row made = {e, true, true};
    model_rows(&w.m, &made, 1, &row, &seal);
    append(&row, 1, &out);
}

Test(store_erase, a_hidden_event_is_kept_a_month_and_handed_on_without_its_tail)
{
    one_sealed_event(IN_MEMORY);
    cr_assert(!run_is_erased());
    for (int i = 0; i < 2; i++) /* the second time changes nothing */
        erase(1, true, false);
    expect_first(ROW_HIDDEN, 2);
    cr_assert(run_is_erased());
    cr_assert_eq(tails_gone(5000),
                 0); /* the month begins at the first look with a clock that is right */
    cr_assert_eq(tails_gone(5000 + MONTH_MS - 1), 0);
    reopen();
    cr_assert_eq(tails_gone(5000 + MONTH_MS - 1), 0);
    expect_first(ROW_HIDDEN, 2);
    cr_assert_eq(tails_gone(5000 + MONTH_MS), 1);
    expect_first(ROW_HIDDEN | ROW_ERASED, 3);
    cr_assert_eq(tails_gone(5000 + 2 * MONTH_MS), 0);
    cr_assert(run_is_erased());
    reopen();
    expect_first(ROW_HIDDEN | ROW_ERASED, 3);
    world_release();
}

Test(store_erase, a_clock_that_was_ahead_does_not_keep_a_tail_for_ever)
{
    one_sealed_event(IN_MEMORY);
    erase(1, true, false);
    cr_assert_eq(tails_gone(1000 * MONTH_MS), 0);
    reopen();
    cr_assert_eq(tails_gone(5000), 0);
    cr_assert_eq(tails_gone(5000 + MONTH_MS), 1);
    world_release();
}

Test(store_erase, an_erasure_that_counts_no_more_shows_the_event_again)
{
    one_sealed_event(IN_MEMORY);
    erase(1, true, false);
    erase(1, false, false);
    expect_first(0, 3);
    cr_assert(!run_is_erased());
    cr_assert_eq(tails_gone(1), 0);
    cr_assert_eq(tails_gone(1 + 2 * MONTH_MS), 0);
    expect_first(0, 3);
    world_release();
}

/* A whole copy gives a missing tail back, and never one that is hidden. */
Test(store_erase, a_missing_tail_heals_and_a_hidden_one_stays_away)
{
    append_reply out;
    append_row row;
    seal_sig seal;
    one_sealed_event(IN_MEMORY);
    model_append_row made = {0, true, true};
    model_rows(&w.m, &made, 1, &row, &seal);
    erase(1, true, true);
    expect_first(ROW_HIDDEN | ROW_ERASED, 2);
    for (int i = 0; i < 2; i++) {
        append(&row, 1, &out);
        cr_assert(out.appended == 0 && out.duplicates == 1);
        if (i == 1)
            break;
        expect_first(ROW_HIDDEN | ROW_ERASED, 2);
        erase(1, false, false);
        expect_first(ROW_ERASED, 3);
    }
    expect_first(0, 4);
    world_release();
}

static size_t rows_under(const char *name)
{
    rows_reply out;
    fetch_request req = {.max = 10, .category = bytes_str(name)};
    cr_assert_eq(store_fetch(w.s, &req, &out), ERR_OK);
    return out.rows.n;
}

/* As it arrives: an erased form, and the erasure of something. Both are found again without a walk over the log, also
 * after the indexes were built anew. */
Test(store_erase, erasures_and_what_lacks_its_tail_are_found)
{
    static const uint8_t erasure[] = {0x97, 1,   2,   0x90, 0xa1, 'f', 0xa1, 's', 0xab, 'e', 'v',
                                      'e',  'n', 't', '.',  'e',  'r', 'a',  's', 'e',  0xc0};
    uint8_t tailless[9 + 36] = {0x97, 1, 2, 0x90, 0xa1, 'f', 0xa1, 's', 0xa1};
    append_reply out;
    world_init(IN_MEMORY);
    append_row rows[2] = {{.feed = 1, .seq = 1, .body = bytes_of(erasure, sizeof erasure)},
                          {.feed = 1, .seq = 2, .flags = ROW_ERASED}};
    rows[0].id.b[0] = 1;
    rows[1].prev = rows[0].id;
    rows[1].id.b[0] = 2;
    rows[1].body = bytes_of(tailless, sizeof tailless);
    append(rows, 2, &out);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rows_under("/erase"), 1);
        cr_assert_eq(rows_under("/tailless"), 1);
        cr_assert_eq(rows_under("f"), 2);
        kv_txn *txn; /* without one of them, all are built anew at the next opening */
        cr_assert_eq(kv_begin(w.x.kv, true, &txn), ERR_OK);
        cr_assert_eq(kv_put(txn, KV_META, bytes_str("rebuild"), bytes_str("")), ERR_OK);
        cr_assert_eq(kv_clear(txn, KV_CATEGORY), ERR_OK);
        cr_assert_eq(kv_commit(txn), ERR_OK);
        reopen();
    }
    world_release();
}

/* ---- damage and erasure ---- */

static void damage(uint64_t offset)
{
    kv_txn *txn;
    store_key key;
    bytes value;
    uint8_t bad[512];
    key_offset(&key, offset);
    cr_assert_eq(kv_begin(w.x.kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_get(txn, KV_LOG, key_view(&key), &value), ERR_OK);
    memcpy(bad, value.p, value.len);
    bad[value.len - 1] ^= 1;
    cr_assert_eq(kv_put(txn, KV_LOG, key_view(&key), bytes_of(bad, value.len)), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
}

/* The copy that mends a row does not know that it is hidden here, nor that its tail had to go. */
Test(store_erase, what_mends_a_damaged_row_does_not_bring_its_tail_back)
{
    append_reply out;
    append_row row;
    seal_sig seal;
    for (int gone = 0; gone < 2; gone++) {
        one_sealed_event(IN_MEMORY);
        model_append_row made = {0, true, true};
        model_rows(&w.m, &made, 1, &row, &seal);
        erase(1, true, gone != 0);
        damage(1);
        bool whole;
        cr_assert_eq(state_of_first(&whole), 0); /* it is damaged, nothing else is known */
        append(&row, 1, &out);
        expect_first(gone ? ROW_HIDDEN | ROW_ERASED : ROW_HIDDEN, 3);
        cr_assert(run_is_erased());
        world_release();
    }
}

/* ---- the file ---- */

#define SECRET "the patient's name is Quetzal"

/* Bodies of many sizes, some in pages of their own, with the secret in every second tail. */
static size_t make_body(uint8_t *out, unsigned i)
{
    uint8_t head[] = {0x97, 1, 2, 0x90, 0xa1, 'f', 0xa1, (uint8_t)('a' + i % 7), 0xa1, 'k', 0xda};
    size_t n = sizeof head, text = 256 + (size_t)prop_below(&w.r, i % 5 == 0 ? 9000 : 900);
    memcpy(out, head, n);
    out[n++] = (uint8_t)(text >> 8);
    out[n++] = (uint8_t)text;
    for (size_t k = 0; k < text; k++)
        out[n + k] = (uint8_t)('a' + (i + k) % 26);
    size_t at = prop_below(&w.r, text - sizeof SECRET);
    if (i % 2 == 1)
        memcpy(out + n + at, SECRET, sizeof SECRET - 1);
    return n + text;
}

static void append_bodies(unsigned from, unsigned n)
{
    static event_id last;
    uint8_t body[10000];
    append_reply out;
    for (unsigned i = from; i < from + n; i++) {
        append_row row = {.feed = 1, .seq = i, .flags = ROW_COUNTS, .prev = last};
        row.body = bytes_of(body, make_body(body, i));
        put_u32be(row.id.b, i);
        append(&row, 1, &out);
        last = row.id;
    }
}

/* Any eight bytes of it in a row. */
static size_t remains(void)
{
    char path[128];
    static uint8_t file[32u << 20];
    fixture_path(&w.x, path, fixture_file(w.x.kind));
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, file, sizeof file);
    close(fd);
    cr_assert(n > 0 && (size_t)n < sizeof file);
    size_t found = 0;
    for (size_t k = 0; k + 8 < sizeof SECRET; k++)
        for (const uint8_t *p = file;
             (p = memmem(p, (size_t)(file + n - p), SECRET + k, 8)) != NULL; p++)
            found++;
    return found;
}

static void wipe(void)
{
    bool more = store_has_remains(w.s);
    cr_assert(more);
    for (unsigned i = 0; more; i++) {
        cr_assert_eq(store_wipe(w.s, 16, &more), ERR_OK);
        if (i % 3 == 1) /* what is committed in between moves pages */
            cr_assert_eq(store_probe(w.s), ERR_OK);
    }
    cr_assert(!store_has_remains(w.s));
}

static void expect_rows(unsigned n)
{
    store_scrubbed scrubbed;
    rows_reply out;
    stored_row row;
    fetch_request req = {.max = 1};
    for (unsigned seq = 1; seq <= n; req.after = out.next) {
        cr_assert_eq(store_fetch(w.s, &req, &out), ERR_OK);
        cr_assert(msg_list_next(&stored_row_desc, &out.rows, &row));
        cr_assert_eq(row.flags & ROW_DAMAGED, 0);
        seq += (row.flags & ROW_CHANGED) == 0;
    }
    cr_assert_eq(store_scrub(w.s, 1, (wall_ms){1}, &scrubbed), ERR_OK);
}

/* Whatever was rewritten, moved and freed before: nothing of the tails is in the file, and all else is. */
static void nothing_of_a_tail_stays(fixture_kind kind)
{
    world_init(kind);
    append_bodies(1, 150);
    while (store_tend(w.s, 50))
        ;
    for (unsigned i = 1; i <= 150; i += 2)
        erase(i, true, i % 3 == 0);
    uint32_t gone;
    cr_assert_eq(store_tails(w.s, (wall_ms){5000}, &gone), ERR_OK);
    cr_assert_eq(store_tails(w.s, (wall_ms){5000 + MONTH_MS}, &gone), ERR_OK);
    cr_assert_eq(gone, 50);
    cr_assert(remains() > 0, "this shows nothing: no remains are kept");
    wipe();
    cr_assert_eq(remains(), 0);
    expect_rows(150);
    reopen();
    append_bodies(151, 20);
    expect_rows(170);
    cr_assert(remains() > 0);
    for (unsigned i = 151; i <= 170; i += 2) {
        rows_reply out;
        read_feed_request req = {.feed = 1, .from_seq = i, .to_seq = i, .max = 1};
        stored_row row;
        cr_assert_eq(store_read_feed(w.s, &req, &out), ERR_OK);
        cr_assert(msg_list_next(&stored_row_desc, &out.rows, &row));
        erase(row.offset, true, true);
    }
    reopen(); /* the wish outlives the process */
    wipe();
    cr_assert_eq(remains(), 0);
    expect_rows(170);
    world_release();
}

Test(store_erase, nothing_of_a_tail_stays_in_lmdb, .timeout = 120)
{
    nothing_of_a_tail_stays(IN_LMDB);
}

Test(store_erase, nothing_of_a_tail_stays_in_a_file, .timeout = 120)
{
    nothing_of_a_tail_stays(IN_FILE);
}

/* An older state that somebody reads, say a backup, is not touched. */
Test(store_erase, a_backup_under_way_is_waited_for)
{
    char dir[128];
    bool more;
    MDB_env *other;
    MDB_txn *reader;
    world_init(IN_LMDB);
    append_bodies(1, 2);
    erase(1, true, true);
    cr_assert_eq(store_wipe(w.s, 1, &more), ERR_OK);
    fixture_path(&w.x, dir, "log");
    cr_assert_eq(mdb_env_create(&other), 0);
    cr_assert_eq(mdb_env_open(other, dir, MDB_RDONLY | MDB_NOTLS, 0600), 0);
    cr_assert_eq(mdb_txn_begin(other, NULL, MDB_RDONLY, &reader), 0);
    cr_assert_eq(store_probe(w.s), ERR_OK);
    cr_assert_eq(store_wipe(w.s, 1000, &more), ERR_BUSY);
    mdb_txn_abort(reader);
    mdb_env_close(other);
    while (more)
        cr_assert_eq(store_wipe(w.s, 1000, &more), ERR_OK);
    cr_assert_eq(remains(), 0);
    world_release();
}
