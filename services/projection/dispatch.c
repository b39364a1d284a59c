#include "projection/projection.h"

#include "projection/view_sql.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DIGEST_SLICE_BYTES (4u << 20)
#define NICENESS           5 /* a view can be made again: what brings events in goes first */

/* ---- waiting ---- */

static void defer(projection *p, const service_call *call, service_handler *handle, const void *msg,
                  uint64_t min_offset, bool digest)
{
    err_t e = waiters_add(&p->waiters, p->service, call, handle, msg, min_offset, digest);
    if (e != ERR_OK)
        service_fail(p->service, call, e, NULL);
}

/* A view that cannot be written does not wait for its disk: who asks may take what it has (min_offset 0). */
static err_t stuck(const projection *p, char words[ERROR_TEXT_MAX_BYTES])
{
    err_t e = p->live != NULL && p->reader != NULL ? follow_stuck(p->live) : ERR_OK;
    if (e != ERR_FULL && e != ERR_READ_ONLY && e != ERR_IO)
        return ERR_OK;
    snprintf(words, ERROR_TEXT_MAX_BYTES,
             "the record view cannot be written (%s): it shows the log up to row %llu", err_text(e),
             (unsigned long long)p->position.offset);
    return e;
}

/* False when the request had to be put aside until the view is there and has this offset. */
static bool may_answer(projection *p, const service_call *call, service_handler *handle,
                       const void *msg, uint64_t min_offset)
{
    if (p->reader != NULL && p->position.epoch != 0 && p->position.offset >= min_offset) {
        service_count(p->service, COUNT_QUERIES, 1);
        return true;
    }
    char words[ERROR_TEXT_MAX_BYTES];
    err_t e = stuck(p, words);
    if (e != ERR_OK)
        service_fail(p->service, call, e, "%s", words);
    else
        defer(p, call, handle, msg, min_offset, false);
    return false;
}

static void failed(projection *p, const service_call *call, err_t e)
{
    if (e == ERR_DAMAGED)
        p->unreadable = true;
    log_warn("%s: %s", call->desc->name, err_text(e));
    service_fail(p->service, call, e, NULL);
}

/* ---- queries ---- */

static void on_records(service *s, void *self, const service_call *call, const void *msg)
{
    const records_request *req = msg;
    projection *p = self;
    records_reply reply;
    if (!may_answer(p, call, on_records, msg, req->min_offset))
        return;
    err_t e = view_read_records(p->reader, req, &reply);
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        failed(p, call, e);
}

static void say_not_found(service *s, const service_call *call, const record_request *req, err_t e,
                          const buf *why)
{
    if (e == ERR_NOT_FOUND)
        service_fail(s, call, e, "there is no record %.*s%s%.*s here", (int)req->record.len,
                     (const char *)req->record.p, req->form.len > 0 ? " of form " : "",
                     (int)req->form.len, (const char *)req->form.p);
    else
        service_fail(s, call, e, "several forms have a record %.*s (%.*s): say which",
                     (int)req->record.len, (const char *)req->record.p, (int)why->len,
                     (const char *)why->p);
}

static void on_record(service *s, void *self, const service_call *call, const void *msg)
{
    const record_request *req = msg;
    projection *p = self;
    record_reply reply;
    buf why;
    if (!may_answer(p, call, on_record, msg, req->min_offset))
        return;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = view_read_record(p->reader, req, &reply, &why);
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else if (e == ERR_NOT_FOUND || e == ERR_CONFLICT)
        say_not_found(s, call, req, e, &why);
    else
        failed(p, call, e);
    buf_release(&why);
}

static void on_forms(service *s, void *self, const service_call *call, const void *msg)
{
    const forms_request *req = msg;
    projection *p = self;
    forms_reply reply;
    if (!may_answer(p, call, on_forms, msg, req->min_offset))
        return;
    err_t e = view_read_forms(p->reader, &reply);
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        failed(p, call, e);
}

static void on_canonical(service *s, void *self, const service_call *call, const void *msg)
{
    const canonical_request *req = msg;
    projection *p = self;
    canonical_reply reply;
    if (!may_answer(p, call, on_canonical, msg, req->min_offset))
        return;
    err_t e = view_read_canonical(p->reader, req, &reply);
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        failed(p, call, e);
}

/* ---- how it stands, and the digest ---- */

static bool digest_is_current(const projection *p)
{
    return p->has_digest && p->digest_at.epoch == p->position.epoch &&
           p->digest_at.offset == p->position.offset;
}

static void answer_views(projection *p, const service_call *call, bool with_digest)
{
    char path[VIEW_PATH_MAX];
    buf state;
    view_row row = {.name = bytes_str(PROJECTION_NAME), .position = p->position.offset};
    buf_init(&state, ERROR_TEXT_MAX_BYTES);
    (void)projection_state(p, &state);
    view_file_link(p->dir, path);
    row.file = bytes_str(path);
    row.state = buf_view(&state);
    row.head = p->live != NULL ? follow_head(p->live) : p->next != NULL ? follow_head(p->next) : 0;
    if (row.head < row.position)
        row.head = row.position;
    err_t e = p->reader != NULL ? view_read_totals(p->reader, &row) : ERR_OK;
    views_reply reply = {.views = MSG_LIST_OF(&row, 1)};
    if (with_digest) {
        reply.digest = p->digest;
        row.position = p->digest_at.offset;
    }
    if (e == ERR_OK)
        service_reply(p->service, call, &reply);
    else
        failed(p, call, e);
    buf_release(&state);
}

static err_t begin_digest(projection *p)
{
    if (p->job.reader != NULL)
        return ERR_OK;
    TRY(view_reader_open(&p->job.reader, p->path));
    p->job.at = p->position;
    service_wake(p->service, clock_mono());
    err_t e = view_digest_begin(p->job.reader, &p->job.at.offset);
    if (e != ERR_OK)
        view_reader_close(&p->job.reader);
    return e;
}

static void on_views(service *s, void *self, const service_call *call, const void *msg)
{
    const views_request *req = msg;
    projection *p = self;
    (void)s;
    if (!req->with_digest && req->min_offset == 0) { /* how it stands can always be told */
        answer_views(p, call, false);
        return;
    }
    if (!may_answer(p, call, on_views, msg, req->min_offset))
        return;
    if (!req->with_digest || digest_is_current(p)) {
        answer_views(p, call, req->with_digest);
        return;
    }
    err_t e = begin_digest(p);
    if (e == ERR_OK)
        defer(p, call, on_views, msg, req->min_offset, true);
    else
        failed(p, call, e);
}

/* Those who asked get the digest of then, even if the view has moved on meanwhile; only who needs more waits on. */
static void finish_digest(projection *p)
{
    waiter asked[WAITERS_MAX];
    size_t n = 0;
    view_reader_close(&p->job.reader);
    p->digest_at = p->job.at;
    p->has_digest = true;
    service_count(p->service, COUNT_DIGESTS, 1);
    for (size_t i = 0; i < p->waiters.n;)
        if (p->waiters.at[i].digest && p->waiters.at[i].min_offset <= p->digest_at.offset) {
            asked[n++] = p->waiters.at[i];
            p->waiters.at[i] = p->waiters.at[--p->waiters.n];
        } else {
            i++;
        }
    for (size_t i = 0; i < n; i++) {
        answer_views(p, &asked[i].call, true);
        buf_release(&asked[i].body);
    }
    waiters_run(&p->waiters, p->service, p, p->position.offset, true);
}

static void work_on_digest(projection *p)
{
    bool done = false;
    if (p->job.reader == NULL)
        return;
    err_t e = view_digest_step(p->job.reader, DIGEST_SLICE_BYTES, &done, &p->digest);
    if (e != ERR_OK) {
        log_warn("the view's digest: %s", err_text(e));
        p->unreadable = p->unreadable || e == ERR_DAMAGED;
        view_reader_close(&p->job.reader);
    } else if (done) {
        finish_digest(p);
    } else {
        service_wake(p->service, clock_mono());
    }
}

/* ---- rebuilding ---- */

static void on_rebuild(service *s, void *self, const service_call *call, const void *msg)
{
    const rebuild_request *req = msg;
    projection *p = self;
    if (!bytes_is(req->name, PROJECTION_NAME)) {
        service_fail(s, call, ERR_NOT_FOUND,
                     "there is no projection %.*s: there is " PROJECTION_NAME, (int)req->name.len,
                     (const char *)req->name.p);
        return;
    }
    if (service_same_call(call, &p->rebuilt)) {
        service_reply(s, call, &(ok_reply){0});
        return;
    }
    for (size_t i = 0; i < p->n_rebuilds; i++)
        if (service_same_call(call, &p->rebuilds[i]))
            return;
    if (p->n_rebuilds == REBUILDS_MAX) {
        service_fail(s, call, ERR_BUSY, NULL);
        return;
    }
    p->rebuilds[p->n_rebuilds++] = *call;
    p->build_at.ms = 0;
    projection_build(p);
}

/* ---- the service ---- */

static err_t start(service *s, void **self, buf *why)
{
    projection *p = calloc(1, sizeof *p);
    if (p == NULL)
        return ERR_NO_MEMORY;
    view_sql_start();
    (void)!nice(NICENESS);
    p->service = s;
    p->dir = service_dir(s);
    p->seed = random_u64();
    p->store = service_client(s, "store");
    if (p->store == NULL) {
        buf_add_str(why, "cannot open a socket to the store");
        free(p);
        return ERR_IO;
    }
    *self = p;
    err_t e = projection_open(p);
    if (e != ERR_OK)
        buf_addf(why, "cannot open the record view: %s", err_text(e));
    return e;
}

static void turn(service *s, void *self)
{
    projection *p = self;
    (void)s;
    projection_turn(p);
    work_on_digest(p);
}

static void tick(service *s, void *self)
{
    projection *p = self;
    mono_ms now = clock_mono();
    buf state;
    char words[ERROR_TEXT_MAX_BYTES];
    if (p->live != NULL)
        follow_tick(p->live, now);
    if (p->next != NULL)
        follow_tick(p->next, now);
    if (p->build_at.ms > now.ms)
        service_wake(s, p->build_at);
    buf_init(&state, ERROR_TEXT_MAX_BYTES);
    (void)projection_state(p, &state);
    buf_add_u8(&state, 0);
    err_t e = stuck(p, words);
    if (e != ERR_OK)
        waiters_fail(&p->waiters, s, p->position.offset, e, words);
    waiters_expire(&p->waiters, s, now, state.err == ERR_OK ? (const char *)state.p : "");
    buf_release(&state);
}

static bool health(void *self, buf *state)
{
    bool ready = projection_state(self, state);
    if (ready && bytes_is(buf_view(state), "live"))
        buf_clear(state); /* all is well */
    return ready;
}

static void stop(service *s, void *self)
{
    projection *p = self;
    (void)s;
    projection_close(p);
    free(p);
}

static const service_route routes[] = {
    {&records_request_desc, on_records},     {&record_request_desc, on_record},
    {&forms_request_desc, on_forms},         {&views_request_desc, on_views},
    {&canonical_request_desc, on_canonical}, {&rebuild_request_desc, on_rebuild},
};

static const char *const counters[] = {
    [COUNT_ROWS] = "folded_rows",       [COUNT_STREAMS] = "folded_streams",
    [COUNT_READS] = "refolded_streams", [COUNT_COMMITS] = "commits",
    [COUNT_QUERIES] = "queries",        [COUNT_REBUILDS] = "rebuilds",
    [COUNT_DIGESTS] = "digests",
};

const service_def projection_def = {
    .name = "projection",
    .doc = "Keeps the record view: a SQLite file that follows the log, for people and for `cairn`. "
           "It can be deleted at\n"
           "any time; it is built anew from the store.",
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .counters = counters,
    .n_counters = sizeof counters / sizeof counters[0],
    .start = start,
    .turn = turn,
    .tick = tick,
    .health = health,
    .stop = stop,
};
