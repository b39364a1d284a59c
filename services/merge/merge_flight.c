/* Batches on their way to the store. Whatever arrived in one turn goes into one append; a few appends are under way at
 * once, each chained on the one before. Answers go out only after the store's commit. Things that must see everything
 * committed (an expectation, a change of the roster) wait until nothing is in flight. */
#include "merge/merge_service.h"

#include "shell/clock.h"

#include <stdlib.h>

#define FLIGHTS_MAX 6u

/* ---- flights ---- */

static flight *make_flight(merge_service *m)
{
    flight *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->m = m;
    f->idem = calloc(BATCH_MAX_EVENTS, sizeof *f->idem);
    if (f->idem != NULL && merge_batch_init(&f->batch) == ERR_OK)
        return f;
    free(f->idem);
    free(f);
    return NULL;
}

flight *merge_flight_new(merge_service *m)
{
    flight *f = m->spare;
    if (f != NULL)
        m->spare = f->next;
    else
        f = make_flight(m);
    if (f == NULL)
        return NULL;
    f->next = NULL;
    f->waiters = NULL;
    f->last_waiter = &f->waiters;
    f->salt = (uint32_t)random_u64();
    return f;
}

void merge_flight_recycle(merge_service *m, flight *f)
{
    merge_batch_clear(&f->batch);
    f->n_idem = 0;
    f->sent = f->again = f->done = false;
    f->next = m->spare;
    m->spare = f;
}

static void flight_free(flight *f)
{
    merge_batch_release(&f->batch);
    free(f->idem);
    free(f);
}

static waiter *add_waiter(flight *f, const service_call *call)
{
    waiter *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    if (call != NULL)
        w->call = *call;
    else
        w->kind = WAIT_NOBODY;
    *f->last_waiter = w;
    f->last_waiter = &w->next;
    return w;
}

/* ---- answers ---- */

void merge_drop_idem(merge_service *m, idem_op *op)
{
    for (idem_op **at = &m->idem; *at != NULL; at = &(*at)->next)
        if (*at == op) {
            *at = op->next;
            break;
        }
    buf_release(&op->body);
    free(op);
}

static void reply_emit(merge_service *m, const flight *f, const waiter *w, uint64_t first_offset)
{
    emitted_row few[8], *rows = few;
    if (w->count > sizeof few / sizeof few[0])
        rows = calloc(w->count, sizeof *rows);
    emit_reply reply = {.last_offset = first_offset + w->first + w->count - 1};
    for (size_t i = 0; rows != NULL && i < w->count; i++) {
        const append_row *r = &f->batch.rows[w->first + i];
        size_t k = w->first + i;
        rows[i] = (emitted_row){.feed = r->feed,
                                .seq = r->seq,
                                .prefix = get_u16be(r->id.b),
                                .stream = bytes_of(r->body.p + f->batch.parts[k].stream_at,
                                                   f->batch.parts[k].stream_len)};
    }
    reply.events = MSG_LIST_OF(rows, rows != NULL ? w->count : 0);
    service_reply(m->s, &w->call, &reply);
    reply.repeated = true;
    for (size_t i = 1; w->idem != NULL && i < w->idem->n_calls; i++)
        service_reply(m->s, &w->idem->calls[i], &reply);
    if (rows != few)
        free(rows);
}

static void answer(merge_service *m, const flight *f, const waiter *w, const append_reply *reply)
{
    switch (w->kind) {
    case WAIT_EMIT:
        reply_emit(m, f, w, reply->first_offset);
        break;
    case WAIT_INGEST:
        service_reply(m->s, &w->call, &w->ingest);
        break;
    case WAIT_ADD:
        service_reply(m->s, &w->call, &(member_add_reply){.number = w->number});
        break;
    case WAIT_OK:
        service_reply(m->s, &w->call, &(ok_reply){0});
        break;
    case WAIT_REPLACE:
        service_reply(m->s, &w->call, &(founder_replace_reply){0});
        break;
    case WAIT_RADIO:
        service_reply(m->s, &w->call, &(radio_key_reply){.epoch = w->epoch, .boxes = w->number});
        break;
    case WAIT_NOBODY:
        break;
    }
}

/* Takes every waiter of a flight; `reply` is NULL when it failed. */
static void dismiss(merge_service *m, flight *f, const append_reply *reply, err_t e,
                    const char *text)
{
    while (f->waiters != NULL) {
        waiter *w = f->waiters;
        f->waiters = w->next;
        if (reply != NULL)
            answer(m, f, w, reply);
        else if (w->kind != WAIT_NOBODY)
            service_fail(m->s, &w->call, e, "%s", text);
        for (size_t i = 1; reply == NULL && w->idem != NULL && i < w->idem->n_calls; i++)
            service_fail(m->s, &w->idem->calls[i], e, "%s", text);
        if (w->idem != NULL)
            merge_drop_idem(m, w->idem);
        free(w);
    }
}

/* ---- sending ---- */

static void on_appended(void *ctx, err_t e, const char *text, const void *reply);

static void send_flight(merge_service *m, flight *f)
{
    f->again = false;
    f->sent = true;
    err_t e = store_clnt_append(m->store, &f->request, on_appended, f);
    if (e != ERR_OK)
        on_appended(f, e, err_text(e), NULL);
}

static void unlink_flight(merge_service *m, flight *f)
{
    for (flight **at = &m->flights; *at != NULL; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            m->n_flights--;
            return;
        }
}

static void commit_flight(merge_service *m, flight *f, const append_reply *reply)
{
    err_t e = merge_core_committed(m->core, &f->batch);
    if (e != ERR_OK) /* it is written, but we have not seen all of what follows from it */
        m->reload = true;
    dismiss(m, f, reply, ERR_OK, NULL);
    service_count(m->s, COUNT_BATCHES, 1);
    if (m->mend && !f->batch.local)
        merge_ask_damage(m); /* it may have mended some */
    service_ring(m->s, merge_core_frontier_version(m->core));
}

/* What was chained on a failed batch fails too; then everything is read afresh. */
static void fail_flight(merge_service *m, flight *f, err_t e, const char *text)
{
    log_warn("append of %zu events failed: %s", f->batch.n, text);
    service_count(m->s, COUNT_FAILED, 1);
    m->reload = true;
    dismiss(m, f, NULL, e, text);
}

static void settle(merge_service *m, flight *f, err_t e, const char *text,
                   const append_reply *reply)
{
    unlink_flight(m, f);
    if (e == ERR_OK)
        commit_flight(m, f, reply);
    else
        fail_flight(m, f, e, text);
    merge_flight_recycle(m, f);
}

static void on_appended(void *ctx, err_t e, const char *text, const void *reply)
{
    flight *f = ctx;
    merge_service *m = f->m;
    if (e == ERR_CONFLICT && f != m->flights && !m->reload) {
        f->again =
            true; /* an earlier batch was lost with a store that died; it is being repeated */
        return;
    }
    if (e == ERR_OK && f != m->flights) { /* the store died between a commit and its answer */
        f->done = true;
        f->reply = *(const append_reply *)reply;
        return;
    }
    settle(m, f, e, text, reply);
    while (m->flights != NULL && m->flights->done)
        settle(m, m->flights, ERR_OK, NULL, &m->flights->reply);
    if (m->flights != NULL && m->flights->again)
        send_flight(m, m->flights);
}

static err_t launch(merge_service *m, flight *f)
{
    err_t e = merge_core_close(m->core, &f->batch, &f->request);
    if (e != ERR_OK) {
        fail_flight(m, f, e, err_text(e));
        merge_flight_recycle(m, f);
        return e;
    }
    f->request.idem = MSG_LIST_OF(f->idem, f->n_idem);
    f->request.writer = m->writer;
    flight **at = &m->flights;
    while (*at != NULL)
        at = &(*at)->next;
    *at = f;
    f->next = NULL;
    m->n_flights++;
    m->barrier |= f->batch.roster || f->batch.fork; /* both make the core look at the store again */
    send_flight(m, f);
    return ERR_OK;
}

static void launch_open(merge_service *m)
{
    flight *f = m->open;
    m->open = NULL;
    if (f != NULL)
        (void)!launch(m, f);
}

void merge_launch_for(merge_service *m, flight *f, const service_call *call, wait_kind kind,
                      member_no number)
{
    waiter *w = add_waiter(f, call);
    if (w != NULL) {
        w->kind = kind;
        w->number = number;
    }
    (void)!launch(m, f);
}

void merge_launch_radio(merge_service *m, flight *f, const service_call *call, uint8_t epoch,
                        uint16_t boxes)
{
    waiter *w = add_waiter(f, call);
    if (w != NULL && call != NULL) {
        w->kind = WAIT_RADIO;
        w->number = boxes;
        w->epoch = epoch;
    }
    (void)!launch(m, f);
}

/* ---- what comes in ---- */

bool merge_must_wait(const merge_service *m)
{
    return m->barrier || m->reload || merge_core_overtaken(m->core) || m->first_held != NULL ||
           m->n_flights >= FLIGHTS_MAX;
}

static void keep_idem(flight *f, const idem_op *op, size_t first, size_t count)
{
    f->idem[f->n_idem++] =
        (idem_row){.key = bytes_str(op->key), .first = (uint32_t)first, .count = (uint32_t)count};
}

void merge_accept_emit(merge_service *m, const service_call *call, const emit_request *in,
                       idem_op *idem)
{
    buf why;
    size_t first = 0;
    err_t e = ERR_OK;
    waiter *w = NULL;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    for (int attempt = 0; attempt < 2;
         attempt++) { /* a full batch is launched and a new one begun */
        if (m->open == NULL)
            m->open = merge_flight_new(m);
        e = m->open == NULL ? ERR_NO_MEMORY
                            : merge_core_emit(m->core, clock_wall(), m->open->salt, in,
                                              &m->open->batch, &first, &why);
        if (e != ERR_BUSY || m->n_flights >= FLIGHTS_MAX)
            break;
        launch_open(m);
    }
    if (e == ERR_OK)
        w = add_waiter(m->open, call);
    if (w == NULL) {
        service_fail(m->s, call, e != ERR_OK ? e : ERR_NO_MEMORY, why.len > 0 ? "%.*s" : NULL,
                     (int)why.len, (const char *)why.p);
        if (idem != NULL)
            merge_drop_idem(m, idem);
    } else {
        w->kind = WAIT_EMIT;
        w->first = first;
        w->count = in->events.n;
        w->idem = idem;
        if (idem != NULL)
            keep_idem(m->open, idem, first, w->count);
        service_count(m->s, COUNT_EMITTED, w->count);
    }
    buf_release(&why);
}

static void answer_ingest(merge_service *m, const service_call *call, const ingest_reply *out)
{
    service_count(m->s, COUNT_DUPLICATES, out->duplicates);
    service_count(m->s, COUNT_REFUSED, out->refused);
    if (call != NULL)
        service_reply(m->s, call, out);
}

void merge_ingest_now(merge_service *m, const service_call *call, bytes run, member_no peer)
{
    ingest_reply out;
    flight *f = merge_flight_new(m);
    err_t e = f == NULL
                  ? ERR_NO_MEMORY
                  : merge_core_ingest(m->core, clock_wall(), run, peer, m->mend, &f->batch, &out);
    if (e != ERR_OK || f->batch.n == 0) {
        if (e == ERR_OK)
            answer_ingest(m, call, &out);
        else if (call != NULL)
            service_fail(m->s, call, e, NULL);
        m->reload |= e != ERR_OK && e != ERR_NOT_READY;
        if (f != NULL)
            merge_flight_recycle(m, f);
        return;
    }
    waiter *w = add_waiter(f, call);
    if (w != NULL && call != NULL) {
        w->kind = WAIT_INGEST;
        w->ingest = out;
    }
    service_count(m->s, COUNT_ACCEPTED, out.accepted);
    (void)!launch(m, f);
}

/* ---- one at a time ---- */

void merge_exclusive(merge_service *m, const service_call *call, const void *msg)
{
    held *h = calloc(1, sizeof *h);
    if (h != NULL) {
        buf_init(&h->body, MESSAGE_MAX_BYTES);
        h->call = *call;
        if (msg_encode(call->desc, msg, &h->body) == ERR_OK) {
            *m->last_held = h;
            m->last_held = &h->next;
            return;
        }
        buf_release(&h->body);
        free(h);
    }
    service_fail(m->s, call, ERR_NO_MEMORY, NULL);
}

/* It may have brought the heir's key. */
static void free_held(held *h)
{
    if (h->body.p != NULL)
        crypto_wipe(h->body.p, h->body.len);
    buf_release(&h->body);
    free(h);
}

static held *take_held(merge_service *m)
{
    held *h = m->first_held;
    m->first_held = h->next;
    if (m->first_held == NULL)
        m->last_held = &m->first_held;
    return h;
}

static void run_held(merge_service *m)
{
    _Alignas(max_align_t) uint8_t msg[512];
    held *h = take_held(m);
    if (msg_decode(h->call.desc, buf_view(&h->body), msg, NULL) == ERR_OK)
        merge_run_exclusive(m, &h->call, msg);
    else
        service_fail(m->s, &h->call, ERR_BUG, NULL);
    crypto_wipe(msg, sizeof msg);
    free_held(h);
}

/* These must see everything before them committed; the others only must not overtake a change of the roster. */
static bool needs_idle(const merge_service *m, const held *h)
{
    emit_request in;
    if (h->call.desc == &ingest_request_desc)
        return false;
    if (h->call.desc != &emit_request_desc)
        return true;
    return msg_decode(&emit_request_desc, buf_view(&h->body), &in, NULL) == ERR_OK &&
           (in.expect > 0 || merge_core_needs_founder(m->core, &in));
}

static bool is_idle(const merge_service *m)
{
    return m->open == NULL && m->n_flights == 0;
}

static void serve_held(merge_service *m)
{
    while (m->first_held != NULL && m->ready && !m->reload && !m->barrier &&
           !merge_core_overtaken(m->core) && m->n_flights < FLIGHTS_MAX &&
           (is_idle(m) || !needs_idle(m, m->first_held)))
        run_held(m);
}

static void serve_idle(merge_service *m)
{
    buf run;
    member_no peer;
    m->barrier = false;
    if (m->reload || !m->ready)
        return; /* the tick loads again */
    if (merge_core_overtaken(m->core)) {
        log_warn("another copy of this node has written to its feeds: beginning a new incarnation");
        m->reload |= merge_core_new_incarnation(m->core, (uint16_t)random_u64()) != ERR_OK;
    }
    buf_init(&run, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    while (!m->barrier && m->n_flights < FLIGHTS_MAX && merge_core_released(m->core, &run, &peer)) {
        merge_ingest_now(m, NULL, buf_view(&run), peer);
        buf_clear(&run);
    }
    buf_release(&run);
}

void merge_turn(service *s, void *self)
{
    merge_service *m = self;
    if (m->open != NULL && m->open->batch.n == 0) {
        merge_flight_recycle(m, m->open);
        m->open = NULL;
    }
    if (is_idle(m))
        serve_idle(m);
    serve_held(m);
    if (m->open != NULL && m->open->batch.n > 0 && m->n_flights < FLIGHTS_MAX && !m->reload)
        launch_open(m);
    if (m->reload && is_idle(m))
        service_wake(s, clock_mono());
}

void merge_flights_free(merge_service *m)
{
    while (m->first_held != NULL)
        free_held(take_held(m));
    if (m->open != NULL) {
        dismiss(m, m->open, NULL, ERR_STOPPING, err_text(ERR_STOPPING));
        merge_flight_recycle(m, m->open);
    }
    while (m->flights != NULL) {
        flight *f = m->flights;
        m->flights = f->next;
        dismiss(m, f, NULL, ERR_STOPPING, err_text(ERR_STOPPING));
        merge_flight_recycle(m, f);
    }
    while (m->idem != NULL)
        merge_drop_idem(m, m->idem);
    while (m->spare != NULL) {
        flight *f = m->spare;
        m->spare = f->next;
        flight_free(f);
    }
}
