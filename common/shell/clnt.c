#include "shell/clnt.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define CALLS_MAX     4096u
#define BUCKETS       256u /* calls by id; a power of two */
#define SPARE_MAX     256u
#define SPARE_BYTES   4096u /* a bigger request gives its memory back */
#define REPEAT_MS     2000u
#define FULL_QUEUE_MS 50u
#define REPLY_SIZE    1024u

typedef struct call {
    struct call *next, *before; /* by age */
    struct call *in_bucket;
    uint64_t id;
    const msg_desc *request;
    buf message; /* packed; kept to be sent again */
    mono_ms deadline, repeat;
    clnt_done *done;
    void *ctx;
} call;

struct clnt {
    bus *bus;
    const char *name;
    void *socket;
    bus_outbox outbox;
    call *oldest, *newest; /* repeats keep the order of the requests */
    call *buckets[BUCKETS];
    call *spare;
    size_t waiting, n_spare;
    uint64_t next_id;
    mono_ms due; /* no call has to be repeated or given up before */
    mono_ms heard;
    /* the last clnt_call's answer, which its caller's struct borrows */
    bus_frame kept;
    bool has_kept;
};

clnt *clnt_adopt(bus *b, const char *name, void *socket)
{
    clnt *c = socket != NULL ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        bus_close(socket);
        return NULL;
    }
    c->bus = b;
    c->name = name;
    c->socket = socket;
    bus_outbox_init(&c->outbox, b, socket);
    c->next_id =
        random_u64() >> 16; /* a restarted client must not take answers meant for its predecessor */
    return c;
}

clnt *clnt_new(bus *b, const char *name, const char *endpoint)
{
    void *socket = bus_socket(b, ZMQ_DEALER);
    if (socket != NULL && zmq_connect(socket, endpoint) == 0)
        return clnt_adopt(b, name, socket);
    bus_close(socket);
    return NULL;
}

/* ---- calls ---- */

static call *new_call(clnt *c)
{
    call *k = c->spare;
    if (k == NULL) {
        k = calloc(1, sizeof *k);
        if (k != NULL)
            buf_init(&k->message, PACK_FRAME_MAX_BYTES);
        return k;
    }
    c->spare = k->next;
    c->n_spare--;
    return k;
}

static void call_free(clnt *c, call *k)
{
    if (c->n_spare == SPARE_MAX || k->message.cap > SPARE_BYTES) {
        buf_release(&k->message);
        free(k);
        return;
    }
    buf_clear(&k->message);
    k->next = c->spare;
    c->spare = k;
    c->n_spare++;
}

static call **bucket_of(clnt *c, uint64_t id)
{
    return &c->buckets[id & (BUCKETS - 1)];
}

static void add_call(clnt *c, call *k)
{
    k->before = c->newest;
    k->next = NULL;
    *(c->newest != NULL ? &c->newest->next : &c->oldest) = k;
    c->newest = k;
    k->in_bucket = *bucket_of(c, k->id);
    *bucket_of(c, k->id) = k;
    c->waiting++;
}

static call *take_call(clnt *c, uint64_t id)
{
    call **at = bucket_of(c, id);
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->in_bucket;
    call *k = *at;
    if (k == NULL)
        return NULL;
    *at = k->in_bucket;
    *(k->before != NULL ? &k->before->next : &c->oldest) = k->next;
    *(k->next != NULL ? &k->next->before : &c->newest) = k->before;
    c->waiting--;
    return k;
}

static void drop_kept(clnt *c)
{
    if (c->has_kept)
        bus_frame_release(&c->kept);
    c->has_kept = false;
}

void clnt_free(clnt *c)
{
    if (c == NULL)
        return;
    while (c->oldest != NULL) {
        call *k = take_call(c, c->oldest->id);
        k->done(k->ctx, ERR_STOPPING, err_text(ERR_STOPPING), NULL);
        call_free(c, k);
    }
    while (c->spare != NULL) {
        call *k = c->spare;
        c->spare = k->next;
        buf_release(&k->message);
        free(k);
    }
    drop_kept(c);
    bus_outbox_release(&c->outbox);
    bus_close(c->socket);
    free(c);
}

/* ---- sending ---- */

static void call_by(clnt *c, mono_ms at)
{
    if (at.ms < c->due.ms)
        c->due = at;
}

static void transmit(clnt *c, call *k, mono_ms now)
{
    /* A full queue or a missing service is cured by the repeat. */
    err_t e = bus_post_packed(&c->outbox, NULL, buf_view(&k->message));
    k->repeat.ms = now.ms + (e == ERR_OK ? REPEAT_MS : FULL_QUEUE_MS);
    call_by(c, k->repeat.ms < k->deadline.ms ? k->repeat : k->deadline);
}

void clnt_flush(clnt *c)
{
    if (bus_flush(&c->outbox) == ERR_OK)
        return;
    mono_ms soon = {clock_mono().ms + FULL_QUEUE_MS}; /* which of them were lost is not known */
    for (call *k = c->oldest; k != NULL; k = k->next)
        if (k->repeat.ms > soon.ms)
            k->repeat = soon;
    call_by(c, soon);
}

static err_t pack_call(clnt *c, call *k, const msg_desc *request, const void *msg)
{
    msg_envelope envelope = {PROTO_VERSION, request->id, c->next_id + 1, c->bus->dataset};
    size_t at = pack_begin(&k->message, &envelope);
    err_t e = msg_encode(request, msg, &k->message), packed = pack_end(&k->message, at);
    return e != ERR_OK ? e : packed;
}

err_t clnt_send(clnt *c, const msg_desc *request, const void *msg, uint32_t timeout_ms,
                clnt_done *done, void *ctx)
{
    if (c->waiting >= CALLS_MAX)
        return ERR_BUSY;
    call *k = new_call(c);
    if (k == NULL)
        return ERR_NO_MEMORY;
    err_t e = pack_call(c, k, request, msg);
    if (e != ERR_OK) {
        call_free(c, k);
        return e;
    }
    mono_ms now = clock_mono();
    k->id = ++c->next_id;
    k->request = request;
    k->deadline.ms = now.ms + timeout_ms;
    k->done = done;
    k->ctx = ctx;
    if (c->waiting == 0)
        c->due = k->deadline;
    add_call(c, k);
    transmit(c, k, now);
    return ERR_OK;
}

/* ---- receiving ---- */

static void finish_error(call *k, const bus_frame *f)
{
    error_reply reply;
    char text[ERROR_TEXT_MAX_BYTES + 1];
    err_t e = msg_decode(&error_reply_desc, f->body, &reply, NULL);
    if (e == ERR_OK)
        e = reply.code > 0 && reply.code < ERR_COUNT ? (err_t)reply.code : ERR_BUG;
    snprintf(text, sizeof text, "%.*s", (int)reply.text.len, (const char *)reply.text.p);
    k->done(k->ctx, e, text[0] != '\0' ? text : err_text(e), NULL);
}

static void finish(call *k, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t reply[REPLY_SIZE];
    if (f->envelope.type == error_reply_desc.id) {
        finish_error(k, f);
        return;
    }
    const msg_desc *desc = k->request->reply;
    err_t e = f->envelope.version != PROTO_VERSION ? ERR_VERSION
              : f->envelope.type != desc->id       ? ERR_UNKNOWN_TYPE
              : desc->size > sizeof reply          ? ERR_BUG
                                                   : msg_decode(desc, f->body, reply, NULL);
    k->done(k->ctx, e, err_text(e), e == ERR_OK ? reply : NULL);
}

static void answer(clnt *c, const bus_frame *f)
{
    call *k = take_call(c, f->envelope.request);
    if (k == NULL)
        return; /* the answer to a repeat */
    finish(k, f);
    call_free(c, k);
}

static void receive_all(clnt *c)
{
    bus_frame f;
    err_t e;
    while ((e = bus_recv(c->socket, false, &f)) != ERR_NOT_FOUND) {
        if (e != ERR_OK)
            continue;
        c->heard = clock_mono();
        do
            answer(c, &f);
        while (bus_next(&f));
        bus_frame_release(&f);
    }
}

static void expire(clnt *c, call *k)
{
    char text[128];
    snprintf(text, sizeof text, "no answer from %s in time: is it running? (cairn status)",
             c->name);
    (void)take_call(c, k->id);
    k->done(k->ctx, ERR_TIMEOUT, text, NULL);
    call_free(c, k);
}

static call *first_expired(const clnt *c, mono_ms now)
{
    for (call *k = c->oldest; k != NULL; k = k->next)
        if (k->deadline.ms <= now.ms)
            return k;
    return NULL;
}

static void repeat_and_expire(clnt *c, mono_ms now)
{
    call *late;
    while ((late = first_expired(c, now)) != NULL)
        expire(c, late); /* its callback may send: so the search starts over */
    c->due.ms = UINT64_MAX;
    for (call *k = c->oldest; k != NULL; k = k->next) {
        if (k->repeat.ms <= now.ms)
            transmit(c, k, now);
        call_by(c, k->repeat.ms < k->deadline.ms ? k->repeat : k->deadline);
    }
}

mono_ms clnt_pump(clnt *c)
{
    receive_all(c);
    mono_ms now = clock_mono(), next = {now.ms + 60000};
    if (c->waiting != 0 && c->due.ms <= now.ms)
        repeat_and_expire(c, now);
    clnt_flush(c);
    return c->waiting != 0 && c->due.ms < next.ms ? c->due : next;
}

mono_ms clnt_due(const clnt *c)
{
    return c->waiting != 0 ? c->due : (mono_ms){UINT64_MAX};
}

void *clnt_socket(clnt *c)
{
    return c->socket;
}

size_t clnt_waiting(const clnt *c)
{
    return c->waiting;
}

mono_ms clnt_heard(const clnt *c)
{
    return c->heard;
}

/* ---- one call without a loop ---- */

/* Keeps the frame when it holds the answer to `k`; other answers are late ones and dropped. */
static bool keep_answer(clnt *c, const call *k)
{
    do
        if (c->kept.envelope.request == k->id) {
            c->has_kept = true;
            return true;
        }
    while (bus_next(&c->kept));
    bus_frame_release(&c->kept);
    return false;
}

static err_t await(clnt *c, call *k)
{
    for (;;) {
        mono_ms now = clock_mono();
        if (k->deadline.ms <= now.ms)
            return ERR_TIMEOUT;
        if (k->repeat.ms <= now.ms)
            transmit(c, k, now);
        clnt_flush(c);
        uint64_t until = k->repeat.ms < k->deadline.ms ? k->repeat.ms : k->deadline.ms;
        zmq_pollitem_t item = {.socket = c->socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, until > now.ms ? (long)(until - now.ms) : 0);
        err_t e;
        while ((e = bus_recv(c->socket, false, &c->kept)) != ERR_NOT_FOUND)
            if (e == ERR_OK && keep_answer(c, k))
                return ERR_OK;
    }
}

typedef struct {
    err_t e;
    void *reply;
    size_t size;
    buf *text;
} call_result;

static void copy_result(void *ctx, err_t e, const char *text, const void *reply)
{
    call_result *r = ctx;
    r->e = e;
    if (e == ERR_OK && r->reply != NULL)
        memcpy(r->reply, reply, r->size);
    if (e != ERR_OK && r->text != NULL)
        buf_add_str(r->text, text);
}

err_t clnt_call(clnt *c, const msg_desc *request, const void *msg, uint32_t timeout_ms, void *reply,
                buf *text)
{
    drop_kept(c);
    call_result r = {ERR_OK, reply, request->reply->size, text};
    err_t e = clnt_send(c, request, msg, timeout_ms, copy_result, &r);
    if (e != ERR_OK) {
        if (text != NULL)
            buf_add_str(text, err_text(e));
        return e;
    }
    call *k = c->newest;
    e = await(c, k);
    if (e != ERR_OK) {
        expire(c, k);
        return r.e;
    }
    (void)take_call(c, k->id);
    finish(k, &c->kept);
    call_free(c, k);
    return r.e;
}
