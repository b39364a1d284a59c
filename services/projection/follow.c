#include "projection/follow_impl.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define BEHIND_ROWS 65536u /* further behind than this, and than a quarter of the log: build anew */
#define LOOK_MS     100u   /* between two looks at a store that is being filled */
#define LOOKS_MAX   100u
#define FILLING     4096u /* rows that arrive between two looks */
#define FACT_VOID   "void_mark"

const char *follow_end_text(follow_end why)
{
    static const char *const texts[] = {
        [FOLLOW_EPOCH] = "the store is another one than before",
        [FOLLOW_BEHIND] = "it is far behind the store",
        [FOLLOW_MEANING] = "a removal changed which references count",
        [FOLLOW_GONE] = "its file was deleted",
        [FOLLOW_DAMAGED] = "its file is damaged",
        [FOLLOW_FAILED] = "it cannot be written",
    };
    return texts[why];
}

/* ---- life ---- */

static void release(follow *f)
{
    view_db_close(&f->db);
    batch_release(&f->batch);
    kept_release(&f->kept);
    buf_release(&f->held.raw);
    if (f->fold != NULL)
        fold_stream_free(&f->fold);
    if (f->people != NULL)
        people_free(&f->people);
    if (f->forks != NULL)
        forks_free(&f->forks);
}

follow *follow_new(const follow_setup *setup, view_db *db, bool fresh)
{
    follow *f = calloc(1, sizeof *f);
    if (f == NULL) {
        view_db_close(&db);
        return NULL;
    }
    f->setup = *setup;
    f->db = db;
    f->fresh = fresh;
    buf_init(&f->held.raw, MESSAGE_MAX_BYTES);
    kept_init(&f->kept);
    batch_init(&f->batch);
    f->forks = forks_new();
    f->people = people_new(&setup->dataset, setup->seed);
    if (f->forks != NULL && f->people != NULL)
        f->fold = fold_stream_new(f->forks, f->people);
    if (f->fold == NULL) {
        release(f);
        free(f);
        return NULL;
    }
    if (!fresh) {
        f->at = view_db_position(db);
        f->void_mark = view_db_fact(db, FACT_VOID);
        f->remains = view_db_fact(db, FOLLOW_FACT_REMAINS) != 0;
    }
    follow_step(f, FOLLOW_HELLO);
    return f;
}

void follow_free(follow **at)
{
    follow *f = *at;
    *at = NULL;
    if (f == NULL)
        return;
    f->round++;
    release(f);
    f->dead = true;
    if (f->pending == 0) /* else the last answer frees it */
        free(f);
}

/* ---- questions ---- */

/* Begins anew, with what the file has, after so long. */
static void try_later(follow *f, uint32_t after_ms)
{
    follow_drop_round(f);
    f->phase = FOLLOW_HELLO;
    f->caught_up = false;
    f->retry_at.ms = clock_mono().ms + after_ms;
    service_wake(f->setup.service, f->retry_at);
}

/* Answers that say what went wrong over there. Nothing is asked from in here: our own client may be about to go. */
static void refused(follow *f, err_t e, const char *text)
{
    if (e == ERR_EPOCH) {
        follow_end_for(f, FOLLOW_EPOCH);
        return;
    }
    if (!err_is_transient(e)) {
        log_warn("the store answers: %s", text);
        snprintf(f->trouble, sizeof f->trouble, "the store answers: %.120s", text);
    }
    try_later(f, e == ERR_TIMEOUT ? 0 : RETRY_MS);
}

static void free_ask(ask *a)
{
    if (a->kept != NULL) {
        kept_release(a->kept);
        free(a->kept);
    }
    free(a);
}

void follow_answer(void *ctx, err_t e, const char *text, const void *reply)
{
    ask *a = ctx;
    follow *f = a->f;
    f->pending--;
    if (f->dead) {
        if (f->pending == 0)
            free(f);
    } else if (a->round == f->round && !f->over) {
        if (e == ERR_OK)
            a->take(f, a, reply);
        else
            refused(f, e, text);
    }
    free_ask(a);
}

ask *follow_ask_new(follow *f, ask_taken *take, const ask *like)
{
    ask *a = calloc(1, sizeof *a);
    if (a == NULL) {
        follow_trouble(f, ERR_NO_MEMORY);
        return NULL;
    }
    if (like != NULL)
        *a = *like;
    a->f = f;
    a->round = f->round;
    a->take = take;
    return a;
}

void follow_asked(ask *a, err_t e)
{
    follow *f = a->f;
    if (e == ERR_OK) {
        f->pending++;
        return;
    }
    free_ask(a);
    follow_trouble(f, e);
}

void follow_drop_round(follow *f)
{
    f->round++;
    f->fetching = false;
    f->held.full = false;
    batch_drop(f);
}

void follow_end_for(follow *f, follow_end why)
{
    follow_drop_round(f);
    f->over = true;
    f->why = why;
}

void follow_trouble(follow *f, err_t e)
{
    snprintf(f->trouble, sizeof f->trouble, "cannot write %.60s: %.80s",
             f->fresh ? "the new file" : "its file", err_text(e));
    log_warn("%s (%s)", f->trouble, view_db_error(f->db));
    f->stuck = e;
    if (e == ERR_DAMAGED) {
        follow_end_for(f, FOLLOW_DAMAGED);
    } else if (f->fresh) {
        follow_end_for(f, FOLLOW_FAILED);
    } else if (!view_db_present(f->db)) {
        follow_end_for(f, FOLLOW_GONE);
    } else {
        try_later(f, RETRY_MS);
    }
}

bool follow_same_epoch(follow *f, uint64_t epoch)
{
    if (epoch == f->epoch)
        return true;
    follow_end_for(f, FOLLOW_EPOCH);
    return false;
}

void follow_tick(follow *f, mono_ms now)
{
    if (f->over || f->retry_at.ms == 0)
        return;
    if (now.ms < f->retry_at.ms) {
        service_wake(f->setup.service, f->retry_at);
        return;
    }
    f->retry_at.ms = 0;
    follow_step(f, FOLLOW_HELLO);
}

/* ---- what was erased ---- */

void follow_purge(follow *f)
{
    if (!f->remains || !f->caught_up || f->batch.open || f->held.full)
        return;
    err_t e = view_db_purge(f->db, FOLLOW_FACT_REMAINS);
    f->remains = e != ERR_OK;
    if (e !=
        ERR_OK) /* somebody reads it, or the disk is full: again with the next answer of the store */
        log_debug("remains of erased values stay in the view for now: %s", view_db_error(f->db));
}

/* ---- phases before rows come ---- */

/* Building reads each stream once, following reads one again for nearly every row. */
bool follow_is_behind(const follow *f)
{
    uint64_t lag = f->head > f->at.offset ? f->head - f->at.offset : 0;
    return lag > BEHIND_ROWS && lag > f->head / 4;
}

bool follow_gives_way(follow *f, uint64_t head, uint64_t at)
{
    uint64_t before = f->looked_head;
    f->looked_head = head;
    if (head <= BEHIND_ROWS || head <= at + f->setup.batch || f->looks == LOOKS_MAX ||
        (before != 0 && head - before <= FILLING))
        return false;
    f->looks++;
    snprintf(f->trouble, sizeof f->trouble, "waiting while the store is being filled");
    try_later(f, LOOK_MS);
    return true;
}

static void take_hello(follow *f, ask *a, const void *reply)
{
    const store_hello_reply *r = reply;
    bool other = f->fresh && f->epoch != 0 &&
                 f->epoch != r->epoch; /* half of the file is from the one before */
    (void)a;
    f->head = r->head;
    f->epoch = r->epoch;
    if (other) {
        follow_end_for(f, FOLLOW_EPOCH);
    } else if (!f->fresh && (f->at.epoch != r->epoch || f->at.offset > r->head)) {
        follow_end_for(f, FOLLOW_EPOCH);
    } else if (follow_gives_way(f, r->head, f->at.offset)) {
        return;
    } else if (f->fresh) {
        f->trouble[0] = '\0';
        f->at = (view_position){r->epoch, r->head, 0};
        follow_step(f, r->head > 0 ? FOLLOW_PLACE : FOLLOW_TIPS);
    } else if (follow_is_behind(f)) {
        follow_end_for(f, FOLLOW_BEHIND);
    } else {
        follow_step(f, FOLLOW_TIPS);
    }
}

/* The id of the row at the head, which the position of a new file needs. */
static void take_place(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    msg_list rows = r->rows;
    stored_row row;
    (void)a;
    if (!follow_same_epoch(f, r->epoch))
        return;
    if (msg_list_next(&stored_row_desc, &rows, &row) && row.offset == f->at.offset)
        f->at.prefix = get_u64be(row.id.b);
    follow_step(f, FOLLOW_TIPS);
}

static void take_tips(follow *f, ask *a, const void *reply)
{
    (void)a;
    err_t e = forks_set_tips(f->forks, reply);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        follow_step(f, FOLLOW_MEMBERS);
}

static void ask_place(follow *f)
{
    fetch_request req = {.epoch = f->epoch, .after = f->at.offset - 1, .max = 1};
    FOLLOW_ASK(f, fetch, &req, take_place, NULL);
}

static err_t store_members(follow *f, uint64_t mark)
{
    TRY(view_db_begin(f->db));
    TRY(view_db_set_fact(f->db, FACT_VOID, mark));
    TRY(people_store(f->people, f->db));
    return view_db_commit(f->db, &f->at);
}

static void have_members(follow *f)
{
    uint64_t mark = people_void_mark(f->people);
    if (!f->fresh && mark != f->void_mark) {
        follow_end_for(f, FOLLOW_MEANING);
        return;
    }
    f->void_mark = mark;
    err_t e = store_members(f, mark);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        follow_step(f, FOLLOW_FORKS);
}

static void have_forks(follow *f)
{
    follow_step(f, f->fresh ? FOLLOW_SCAN : FOLLOW_LIVE);
}

void follow_step(follow *f, follow_phase next)
{
    f->phase = next;
    switch (next) {
    case FOLLOW_HELLO:
        FOLLOW_ASK(f, store_hello, &(store_hello_request){0}, take_hello, NULL);
        break;
    case FOLLOW_PLACE:
        ask_place(f);
        break;
    case FOLLOW_TIPS:
        FOLLOW_ASK(f, tips, &(tips_request){0}, take_tips, NULL);
        break;
    case FOLLOW_MEMBERS:
        follow_read_members(f, have_members);
        break;
    case FOLLOW_FORKS:
        follow_load_forks(f, have_forks);
        break;
    case FOLLOW_SCAN:
        follow_scan(f);
        break;
    case FOLLOW_LIVE:
        f->trouble[0] = '\0';
        follow_fetch(f);
        break;
    }
}

/* ---- one stream, forked feeds ---- */

void follow_read_stream(follow *f, bytes category, bytes stream, ask_taken *take, const ask *like)
{
    read_stream_request req = {
        .category = category, .stream = stream, .from = like->from, .max = STREAM_PAGE};
    FOLLOW_ASK(f, read_stream, &req, take, like);
}

static void load_next(follow *f);

static void take_feed(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    msg_list rows = r->rows;
    stored_row row;
    feed_id feed = a->stream;
    err_t e = ERR_OK;
    if (!follow_same_epoch(f, r->epoch))
        return;
    while (e == ERR_OK && msg_list_next(&stored_row_desc, &rows, &row))
        e = forks_load_row(f->forks, &row);
    if (e != ERR_OK) {
        follow_trouble(f, e);
    } else if (r->next != 0) {
        read_feed_request req = {
            .feed = feed, .from_seq = r->next, .to_seq = UINT64_MAX, .max = STREAM_PAGE};
        FOLLOW_ASK(f, read_feed, &req, take_feed, &(ask){.stream = feed});
    } else {
        forks_load_end(f->forks, feed);
        load_next(f);
    }
}

static void load_next(follow *f)
{
    feed_id feed;
    if (!forks_wants(f->forks, &feed)) {
        err_t e = forks_label(f->forks);
        if (e != ERR_OK)
            follow_trouble(f, e);
        else
            f->then(f);
        return;
    }
    forks_load_begin(f->forks, feed);
    read_feed_request req = {.feed = feed, .from_seq = 1, .to_seq = UINT64_MAX, .max = STREAM_PAGE};
    FOLLOW_ASK(f, read_feed, &req, take_feed, &(ask){.stream = feed});
}

void follow_load_forks(follow *f, void (*then)(follow *f))
{
    f->then = then;
    load_next(f);
}

/* ---- telling ---- */

bool follow_over(const follow *f, follow_end *why)
{
    *why = f->why;
    return f->over;
}

const view_db *follow_db(const follow *f)
{
    return f->db;
}

view_position follow_position(const follow *f)
{
    return f->fresh ? (view_position){0} : f->at;
}

uint64_t follow_head(const follow *f)
{
    return f->head;
}

bool follow_caught_up(const follow *f)
{
    return f->phase == FOLLOW_LIVE && f->caught_up;
}

err_t follow_stuck(const follow *f)
{
    return f->stuck;
}

follow_counts follow_counted(const follow *f)
{
    return f->counts;
}

static bool is_silent(const follow *f)
{
    return clnt_heard(f->setup.store).ms + SILENT_MS < clock_mono().ms;
}

bool follow_state(const follow *f, buf *out)
{
    if (f->over)
        buf_add_str(out, follow_end_text(f->why));
    else if (f->trouble[0] != '\0' && f->phase != FOLLOW_LIVE)
        buf_add_str(out, f->trouble);
    else if (f->phase == FOLLOW_HELLO || is_silent(f))
        buf_add_str(out, "waiting for store");
    else if (f->phase != FOLLOW_LIVE)
        buf_addf(out, f->fresh ? "rebuilding: %llu of %llu rows" : "starting",
                 (unsigned long long)f->counts.rows, (unsigned long long)f->head);
    else if (!f->caught_up)
        buf_addf(out, "catching up: %llu of %llu rows", (unsigned long long)f->at.offset,
                 (unsigned long long)f->head);
    else
        buf_add_str(out, "live");
    return f->phase == FOLLOW_LIVE && !f->over && !is_silent(f);
}
