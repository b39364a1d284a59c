#include "shell/clnt.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define CALLS_MAX  4096u
#define REPEAT_MS  2000u
#define REPLY_SIZE 1024u

typedef struct call {
    struct call *next;
    uint64_t id;
    const msg_desc *request;
    buf body; /* kept to be sent again */
    mono_ms deadline, repeat;
    clnt_done *done;
    void *ctx;
} call;

struct clnt {
    bus *bus;
    const char *name;
    void *socket;
    call *calls, **tail; /* oldest first: repeats keep the order of the requests */
    size_t waiting;
    uint64_t next_id;
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
    c->tail = &c->calls;
    c->name = name;
    c->socket = socket;
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

static void call_free(clnt *c, call *k)
{
    buf_release(&k->body);
    free(k);
    c->waiting--;
}

static void drop_kept(clnt *c)
{
    if (c->has_kept)
        bus_frame_release(&c->kept);
    c->has_kept = false;
}

static call *take_call(clnt *c, uint64_t id)
{
    for (call **at = &c->calls; *at != NULL; at = &(*at)->next)
        if ((*at)->id == id) {
            call *k = *at;
            *at = k->next;
            if (k->next == NULL)
                c->tail = at;
            return k;
        }
    return NULL;
}

void clnt_free(clnt *c)
{
    if (c == NULL)
        return;
    while (c->calls != NULL) {
        call *k = take_call(c, c->calls->id);
        k->done(k->ctx, ERR_STOPPING, err_text(ERR_STOPPING), NULL);
        call_free(c, k);
    }
    drop_kept(c);
    bus_close(c->socket);
    free(c);
}

static void transmit(clnt *c, call *k, mono_ms now)
{
    /* A full queue or a missing service is cured by the repeat. */
    err_t e = bus_send_body(c->bus, c->socket, NULL, k->request->id, k->id, buf_view(&k->body));
    k->repeat.ms = now.ms + (e == ERR_OK ? REPEAT_MS : 50);
}

err_t clnt_send(clnt *c, const msg_desc *request, const void *msg, uint32_t timeout_ms,
                clnt_done *done, void *ctx)
{
    if (c->waiting >= CALLS_MAX)
        return ERR_BUSY;
    call *k = calloc(1, sizeof *k);
    if (k == NULL)
        return ERR_NO_MEMORY;
    buf_init(&k->body, MESSAGE_MAX_BYTES);
    err_t e = msg_encode(request, msg, &k->body);
    if (e != ERR_OK) {
        buf_release(&k->body);
        free(k);
        return e;
    }
    mono_ms now = clock_mono();
    k->id = ++c->next_id;
    k->request = request;
    k->deadline.ms = now.ms + timeout_ms;
    k->done = done;
    k->ctx = ctx;
    *c->tail = k;
    c->tail = &k->next;
    c->waiting++;
    transmit(c, k, now);
    return ERR_OK;
}

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

static void receive_all(clnt *c)
{
    bus_frame f;
    err_t e;
    while ((e = bus_recv(c->socket, false, &f)) != ERR_NOT_FOUND) {
        if (e != ERR_OK)
            continue;
        c->heard = clock_mono();
        call *k = take_call(c, f.envelope.request);
        if (k != NULL) { /* else the answer to a repeat */
            finish(k, &f);
            call_free(c, k);
        }
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
    for (call *k = c->calls; k != NULL; k = k->next)
        if (k->deadline.ms <= now.ms)
            return k;
    return NULL;
}

mono_ms clnt_pump(clnt *c)
{
    receive_all(c);
    mono_ms now = clock_mono(), next = {now.ms + 60000};
    call *late;
    while ((late = first_expired(c, now)) != NULL)
        expire(c, late); /* its callback may send: so the search starts over */
    for (call *k = c->calls; k != NULL; k = k->next) {
        if (k->repeat.ms <= now.ms)
            transmit(c, k, now);
        uint64_t at = k->repeat.ms < k->deadline.ms ? k->repeat.ms : k->deadline.ms;
        next.ms = at < next.ms ? at : next.ms;
    }
    return next;
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

/* Waits for the answer to `k` and keeps its frame; other answers are late ones and dropped. */
static err_t await(clnt *c, call *k)
{
    for (;;) {
        mono_ms now = clock_mono();
        if (k->deadline.ms <= now.ms)
            return ERR_TIMEOUT;
        if (k->repeat.ms <= now.ms)
            transmit(c, k, now);
        uint64_t until = k->repeat.ms < k->deadline.ms ? k->repeat.ms : k->deadline.ms;
        zmq_pollitem_t item = {.socket = c->socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, until > now.ms ? (long)(until - now.ms) : 0);
        err_t e;
        while ((e = bus_recv(c->socket, false, &c->kept)) != ERR_NOT_FOUND) {
            if (e != ERR_OK)
                continue;
            c->has_kept = true;
            if (c->kept.envelope.request == k->id)
                return ERR_OK;
            drop_kept(c);
        }
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
    TRY(clnt_send(c, request, msg, timeout_ms, copy_result, &r));
    call *k = c->calls;
    while (k->next != NULL)
        k = k->next;
    err_t e = await(c, k);
    if (e != ERR_OK) {
        expire(c, k);
        return r.e;
    }
    (void)take_call(c, k->id);
    finish(k, &c->kept);
    call_free(c, k);
    return r.e;
}
