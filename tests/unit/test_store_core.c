/* The store against a plain array, on every storage: random groups of appends (in chain order, twice,
 * with gaps, forked), verdicts and seals, some groups lost, the store reopened now and then. */
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_model.h"

#include "pure/crypto.h"

#define ROWS_MAX 24

typedef struct {
    fixture x;
    store_core *s;
    model m, before; /* now; before the open group */
    prop_rng r;
    uint64_t epoch;
} world;

static const feed_id feeds[] = {1, 2, 3, 0x10002, 0x40003};

static store_opening opening(const world *w)
{
    return (store_opening){.inode = 7,
                           .birth_ns = 8,
                           .machine = bytes_str("host"),
                           .random_epoch = 1000 + w->epoch,
                           .random_incarnation = 40,
                           .index_lag_bytes = 700};
}

static void open_store(world *w)
{
    store_opening how = opening(w);
    cr_assert_eq(store_open(&w->s, w->x.kv, &how), ERR_OK);
}

static void world_init(world *w, fixture_kind kind, uint64_t variant)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    w->r = prop_begin("store_core");
    w->r.state += variant << 32;
    w->epoch = 1;
    model_init(&w->m);
    fixture_init(&w->x, kind);
    open_store(w);
}

static void world_release(world *w)
{
    store_close(&w->s);
    w->x.kv = NULL;
    fixture_release(&w->x);
}

/* As after a crash between two groups. */
static void reopen(world *w)
{
    buf why;
    buf_init(&why, 1024);
    store_kv *copy = w->x.kind == IN_MEMORY ? store_mem_copy(w->x.kv) : NULL;
    store_close(&w->s);
    w->x.kv = copy;
    if (w->x.kind != IN_MEMORY)
        cr_assert_eq(fixture_open(&w->x, &why), ERR_OK);
    buf_release(&why);
    open_store(w);
}

/* ---- one random request ---- */

static int pick_parent(world *w, feed_id feed)
{
    int best = -1;
    for (int i = 0; i < 6; i++) {
        int at = w->m.n_events != 0 ? (int)prop_below(&w->r, (uint64_t)w->m.n_events) : -1;
        if (at >= 0 && w->m.events[at].feed == feed && at > best)
            best = at;
    }
    for (int i = w->m.n_events; i-- > 0;) /* mostly a tip that is held */
        if (w->m.events[i].feed == feed && model_held(&w->m, i) != 0 &&
            !model_has_next(&w->m, i, feed) && prop_below(&w->r, 12) != 0)
            return i;
    return best;
}

/* A way down to `event` from some ancestor, as a run would repeat it. */
static size_t repeat_rows(world *w, model_append_row *rows, size_t n, int event)
{
    int way[ROWS_MAX];
    size_t len = 0, limit = 1 + prop_below(&w->r, ROWS_MAX / 2);
    for (; event >= 0 && len < limit && n + len < ROWS_MAX; event = w->m.events[event].parent)
        way[len++] = event;
    while (len > 0)
        rows[n++] =
            (model_append_row){way[--len], prop_below(&w->r, 5) != 0, prop_below(&w->r, 4) == 0};
    return n;
}

static size_t random_rows(world *w, model_append_row *rows)
{
    size_t n = 0;
    feed_id feed = feeds[prop_below(&w->r, sizeof feeds / sizeof feeds[0])];
    int at = pick_parent(w, feed);
    if (prop_below(&w->r, 4) == 0 && w->m.n_events != 0)
        n = repeat_rows(w, rows, n, (int)prop_below(&w->r, (uint64_t)w->m.n_events));
    for (uint64_t more = 1 + prop_below(&w->r, 10); more > 0 && n < ROWS_MAX; more--) {
        if (prop_below(&w->r, 8) == 0) { /* another feed in between, or a fork within the request */
            feed = feeds[prop_below(&w->r, sizeof feeds / sizeof feeds[0])];
            at = pick_parent(w, feed);
        }
        if (w->m.n_events == MODEL_BASE_MAX)
            break;
        at = model_make(&w->m, &w->r, feed, at);
        if (prop_below(&w->r, 40) == 0)
            continue; /* made but not sent: a gap */
        rows[n++] = (model_append_row){at, prop_below(&w->r, 5) != 0, prop_below(&w->r, 4) == 0};
        if (prop_below(&w->r, 30) == 0 && n < ROWS_MAX) {
            rows[n] = rows[prop_below(&w->r, n)];
            n++;
        }
    }
    return n;
}

static void append_some(world *w)
{
    model_append_row rows[ROWS_MAX];
    append_row built[ROWS_MAX];
    seal_sig seals[ROWS_MAX];
    append_reply out, expected;
    size_t n = random_rows(w, rows);
    bool allow = prop_below(&w->r, 3) != 0;
    model_rows(&w->m, rows, n, built, seals);
    append_request req = {.rows = MSG_LIST_OF(built, n), .allow_fork = allow};
    err_t want = model_append(&w->m, rows, n, allow, &expected);
    err_t got = store_append(w->s, &req, (wall_ms){5}, &out);
    cr_assert_eq(got, want, "%s, not %s", err_name(got), err_name(want));
    cr_assert_eq(out.appended, expected.appended);
    cr_assert_eq(out.duplicates, expected.duplicates);
    cr_assert_eq(out.first_offset, expected.first_offset);
}

static void judge_some(world *w)
{
    verdict_row rows[8];
    uint32_t n = (uint32_t)prop_below(&w->r, 8);
    if (w->m.head == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t offset = 1 + prop_below(&w->r, w->m.head);
        if (w->m.log[offset - 1].target != 0)
            offset = w->m.log[offset - 1].target;
        rows[i] = (verdict_row){.offset = offset, .counts = prop_below(&w->r, 2) == 0};
    }
    verdict_request req = {.verdicts = MSG_LIST_OF(rows, n)};
    cr_assert_eq(store_verdicts(w->s, &req, (wall_ms){6}), ERR_OK);
    for (uint32_t i = 0; i < n; i++)
        model_verdict(&w->m, rows[i].offset, rows[i].counts);
}

static void seal_some(world *w)
{
    if (w->m.n_events == 0)
        return;
    int event = (int)prop_below(&w->r, (uint64_t)w->m.n_events);
    const model_event *e = &w->m.events[event];
    uint64_t held = model_held(&w->m, event);
    seal_request req = {.feed = e->feed, .seq = e->seq, .id = e->id};
    model_seal(&req.seal, e);
    cr_assert_eq(store_seal(w->s, &req), held != 0 ? ERR_OK : ERR_NOT_FOUND);
    if (held != 0)
        w->m.log[held - 1].sealed = true;
}

static void group(world *w)
{
    w->before = w->m;
    cr_assert_eq(store_begin(w->s), ERR_OK);
    for (uint64_t n = 1 + prop_below(&w->r, 4); n > 0; n--) {
        uint64_t what = prop_below(&w->r, 10);
        if (what < 7)
            append_some(w);
        else if (what < 9)
            judge_some(w);
        else
            seal_some(w);
    }
    if (prop_below(&w->r, 5) != 0) {
        cr_assert_eq(store_commit(w->s), ERR_OK);
        return;
    }
    /* lost: what was made may still come later */
    if (w->x.kind == IN_MEMORY && prop_below(&w->r, 2) == 0) {
        store_mem_fail(w->x.kv, 0, ERR_FULL);
        cr_assert_eq(store_commit(w->s), ERR_FULL);
        store_mem_fail(w->x.kv, 0, ERR_OK);
    } else {
        store_abort(w->s);
    }
    int made = w->m.n_events;
    memcpy(w->before.events, w->m.events, sizeof w->m.events);
    w->m = w->before;
    w->m.n_events = made;
}

static void scrub_all(world *w)
{
    store_scrubbed out;
    do {
        err_t e = store_scrub(w->s, 50, (wall_ms){9}, &out);
        cr_assert_eq(e, ERR_OK, "%s", err_name(e));
    } while (!out.pass_ended);
    damage_reply damage;
    cr_assert_eq(store_damage(w->s, &damage), ERR_OK);
    cr_assert_eq(damage.rows.n, 0);
}

static world w;

static void random_history(fixture_kind kind, uint64_t variant, int rounds)
{
    world_init(&w, kind, variant);
    for (int i = 0; i < rounds && w.m.n_events + 60 < MODEL_BASE_MAX; i++) {
        group(&w);
        for (uint64_t n = prop_below(&w.r, 3); n > 0; n--) /* often not to the end */
            (void)store_tend(w.s, 1 + (uint32_t)prop_below(&w.r, 20));
        if (prop_below(&w.r, 4) == 0)
            reopen(&w);
        if (i % 3 == 0)
            model_compare(&w.m, w.s, &w.r);
    }
    scrub_all(&w);
    model_compare(&w.m, w.s, &w.r);
    world_release(&w);
}

Test(store_core, random_histories_in_memory, .timeout = 100)
{
    for (uint64_t variant = 0; variant < 6; variant++)
        random_history(IN_MEMORY, variant, 60);
}

Test(store_core, random_history_in_lmdb, .timeout = 100)
{
    random_history(IN_LMDB, 6, 60);
}

Test(store_core, random_history_in_a_file, .timeout = 100)
{
    random_history(IN_FILE, 7, 60);
}

/* ---- idempotency keys and the clock ---- */

static void append_with_key(const char *key, uint64_t clock_ms, wall_ms now)
{
    append_row rows[2];
    seal_sig seals[2];
    append_reply out, expected;
    model_append_row made[2];
    static int tip = -1;
    tip = w.m.n_events == 0 ? -1 : tip;
    for (int i = 0; i < 2; i++) {
        tip = model_make(&w.m, &w.r, 1, tip);
        made[i] = (model_append_row){tip, true, true};
    }
    model_rows(&w.m, made, 2, rows, seals);
    cr_assert_eq(model_append(&w.m, made, 2, false, &expected), ERR_OK);
    idem_row idem = {.key = bytes_str(key), .first = 1, .count = 1};
    append_request req = {.rows = MSG_LIST_OF(rows, 2),
                          .idem = MSG_LIST_OF(&idem, 1),
                          .clock_wall_ms = clock_ms,
                          .clock_counter = 3};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    cr_assert_eq(store_append(w.s, &req, now, &out), ERR_OK);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

static uint64_t idem_offset(const char *key)
{
    idem_request req = {.key = bytes_str(key)};
    idem_reply out;
    ref_row ref;
    cr_assert_eq(store_idem(w.s, &req, &out), ERR_OK);
    if (out.refs.n == 0)
        return 0;
    cr_assert(out.refs.n == 1 && msg_list_next(&ref_row_desc, &out.refs, &ref));
    const model_event *e = &w.m.events[w.m.log[out.first_offset - 1].event];
    cr_assert(ref.feed == e->feed && ref.seq == e->seq && ref.prefix == get_u16be(e->id.b));
    return out.first_offset;
}

Test(store_core, idempotency_keys_live_for_a_month_and_clocks_never_go_back)
{
    store_hello_reply hello;
    store_scrubbed scrubbed;
    world_init(&w, IN_MEMORY, 9);
    append_with_key("first", 500, (wall_ms){1000});
    append_with_key("second", 400, (wall_ms){1000 + IDEM_KEEP_MS / 2});
    cr_assert_eq(idem_offset("first"), 2);
    cr_assert_eq(idem_offset("second"), 4);
    cr_assert_eq(idem_offset("third"), 0);
    cr_assert_eq(store_hello(w.s, &hello), ERR_OK);
    cr_assert(hello.clock_wall_ms == 500 && hello.clock_counter == 3);
    reopen(&w);
    cr_assert_eq(store_hello(w.s, &hello), ERR_OK);
    cr_assert(hello.clock_wall_ms == 500 && hello.clock_counter == 3);
    wall_ms later = {1001 + IDEM_KEEP_MS};
    for (int i = 0; i < 4; i++)
        cr_assert_eq(store_scrub(w.s, 2, later, &scrubbed), ERR_OK);
    cr_assert_eq(idem_offset("first"), 0);
    cr_assert_eq(idem_offset("second"), 4);
    world_release(&w);
}

/* ---- one by one, what random histories rarely meet ---- */

static void append_rows(const model_append_row *made, size_t n, bool allow_fork)
{
    append_row rows[32];
    seal_sig seals[32];
    append_reply out, expected;
    model_rows(&w.m, made, n, rows, seals);
    cr_assert_eq(model_append(&w.m, made, n, allow_fork, &expected), ERR_OK);
    append_request req = {.rows = MSG_LIST_OF(rows, n), .allow_fork = allow_fork};
    cr_assert_eq(store_begin(w.s), ERR_OK);
    cr_assert_eq(store_append(w.s, &req, (wall_ms){1}, &out), ERR_OK);
    cr_assert_eq(store_commit(w.s), ERR_OK);
}

/* The branch that carries the seal counts nowhere: the frontier is on the one before it. */
Test(store_core, a_seal_on_a_branch_that_does_not_count_covers_what_it_forked_from)
{
    tips_reply out;
    tip_row tip;
    world_init(&w, IN_MEMORY, 11);
    int first = model_make(&w.m, &w.r, 1, -1), second = model_make(&w.m, &w.r, 1, first);
    int other = model_make(&w.m, &w.r, 1, first);
    append_rows((model_append_row[]){{first, true, false}, {second, true, false}}, 2, false);
    append_rows((model_append_row[]){{other, false, true}}, 1, true);
    cr_assert_eq(store_tips(w.s, &out), ERR_OK);
    uint64_t sealed = 0;
    while (msg_list_next(&tip_row_desc, &out.tips, &tip))
        sealed += tip.sealed_seq;
    cr_assert_eq(sealed, 1);
    model_compare(&w.m, w.s, &w.r);
    reopen(&w);
    model_compare(&w.m, w.s, &w.r);
    world_release(&w);
}

/* An answer of a scan ends between two streams, unless one is larger than any answer. */
Test(store_core, scans_do_not_cut_streams)
{
    static uint8_t big[60000];
    event_id last = {{0}};
    append_reply done;
    world_init(&w, IN_MEMORY, 12);
    cr_assert_eq(store_begin(w.s), ERR_OK);
    for (uint64_t i = 0; i < 90; i++) { /* streams of 1, 5, 10 and 74 rows of 50 kB */
        char stream = i < 1 ? 'a' : i < 6 ? 'b' : i < 16 ? 'c' : 'd';
        uint8_t head[] = {0x97, 1, 2, 0x90, 0xa1, 'f', 0xa1, (uint8_t)stream};
        memcpy(big, head, sizeof head);
        append_row row = {.feed = 1, .seq = i + 1, .prev = last, .body = bytes_of(big, 50000)};
        put_u64be(row.id.b, i + 1);
        last = row.id;
        append_request req = {.rows = MSG_LIST_OF(&row, 1)};
        cr_assert_eq(store_append(w.s, &req, (wall_ms){1}, &done), ERR_OK);
    }
    cr_assert_eq(store_commit(w.s), ERR_OK);
    scan_request req = {.max = 1000};
    scan_reply out;
    uint32_t counts[16] = {0}, n = 0;
    do {
        cr_assert_eq(store_scan(w.s, &req, &out), ERR_OK);
        cr_assert(out.rows.raw.len <= FETCH_MAX_BYTES);
        counts[n++] = out.rows.n;
        req = (scan_request){
            .category = out.category, .stream = out.stream, .position = out.position, .max = 1000};
    } while (!out.done && n < 16);
    cr_assert_eq(counts[0], 16); /* a, b, c whole: 800 kB */
    cr_assert_eq(counts[1], 20); /* of d what fits */
    cr_assert_eq(counts[2], 20);
    cr_assert_eq(counts[3] + counts[4], 34);
    world_release(&w);
}
