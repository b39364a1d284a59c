#include "shell/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

_Static_assert(sizeof(zmq_msg_t) <= sizeof(((bus_frame *)0)->opaque), "the body's zmq_msg_t fits");

err_t bus_init(bus *b, const dataset_id *dataset)
{
    *b = (bus){.context = zmq_ctx_new()};
    if (b->context == NULL)
        return ERR_NO_MEMORY;
    if (dataset != NULL)
        b->dataset = *dataset;
    return ERR_OK;
}

void bus_release(bus *b)
{
    if (b->context != NULL)
        while (zmq_ctx_term(b->context) != 0 && errno == EINTR)
            continue;
    b->context = NULL;
}

void *bus_socket(bus *b, int type)
{
    static const struct {
        int option, value;
    } rows[] = {
        {ZMQ_LINGER, 500},         {ZMQ_SNDHWM, 1024},
        {ZMQ_RCVHWM, 1024},        {ZMQ_IPV6, 1},
        {ZMQ_RECONNECT_IVL, 50},   {ZMQ_RECONNECT_IVL_MAX, 1000},
        {ZMQ_HANDSHAKE_IVL, 5000}, {ZMQ_SNDTIMEO, 0},
        {ZMQ_RCVTIMEO, 0},
    };
    void *s = zmq_socket(b->context, type);
    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        (void)zmq_setsockopt(s, rows[i].option, &rows[i].value, sizeof rows[i].value);
    int64_t most = MESSAGE_MAX_BYTES + 1024;
    (void)zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &most, sizeof most);
    int mandatory = 1;
    if (type == ZMQ_ROUTER)
        (void)zmq_setsockopt(s, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    return s;
}

void bus_close(void *socket)
{
    if (socket != NULL)
        (void)zmq_close(socket);
}

static int recv_part(zmq_msg_t *m, void *socket)
{
    int rc;
    do
        rc = zmq_msg_recv(m, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Reads and forgets the rest of a multipart message, so that the next read starts at a first frame.
 */
static void drain(void *socket, zmq_msg_t *last)
{
    while (zmq_msg_more(last)) {
        zmq_msg_close(last);
        zmq_msg_init(last);
        if (recv_part(last, socket) < 0)
            return;
    }
}

static void note_peer(bus_frame *f, zmq_msg_t *m)
{
    const char *user = zmq_msg_gets(m, "User-Id"), *from = zmq_msg_gets(m, "Peer-Address");
    uint8_t key[TRANSPORT_KEY_BYTES];
    memset(f->user_key, 0, sizeof f->user_key);
    if (user != NULL && strlen(user) == 40 && zmq_z85_decode(key, user) != NULL)
        memcpy(f->user_key, key, sizeof key);
    f->peer_address[0] = '\0';
    if (from != NULL && strlen(from) < sizeof f->peer_address)
        memcpy(f->peer_address, from, strlen(from) + 1);
}

/* Receives the next part into `m`; a multipart message has no more of them than `last` says. After a
 * failure the rest of the message is gone too. */
static err_t next_part(void *socket, zmq_msg_t *m, bool last)
{
    zmq_msg_init(m);
    if (recv_part(m, socket) < 0) {
        zmq_msg_close(m);
        return ERR_NOT_FOUND;
    }
    if ((zmq_msg_more(m) != 0) != last)
        return ERR_OK;
    drain(socket, m);
    zmq_msg_close(m);
    return ERR_MALFORMED;
}

static err_t take_route(void *socket, bus_frame *f)
{
    zmq_msg_t m;
    f->route.len = 0;
    TRY(next_part(socket, &m, false));
    bool fits = zmq_msg_size(&m) <= sizeof f->route.b;
    if (fits) {
        f->route.len = (uint8_t)zmq_msg_size(&m);
        memcpy(f->route.b, zmq_msg_data(&m), f->route.len);
    } else {
        drain(socket, &m);
    }
    zmq_msg_close(&m);
    return fits ? ERR_OK : ERR_MALFORMED;
}

err_t bus_recv(void *socket, bool router, bus_frame *f)
{
    zmq_msg_t *m = (zmq_msg_t *)(void *)f->opaque;
    f->route.len = 0;
    if (router)
        TRY(take_route(socket, f));
    TRY(next_part(socket, m, true));
    f->rest = bytes_of(zmq_msg_data(m), zmq_msg_size(m));
    if (pack_check(f->rest) != ERR_OK || !bus_next(f)) {
        bus_frame_release(f);
        return ERR_MALFORMED;
    }
    note_peer(f, m);
    return ERR_OK;
}

bool bus_next(bus_frame *f)
{
    return pack_take(&f->rest, &f->envelope, &f->body) == ERR_OK;
}

void bus_frame_release(bus_frame *f)
{
    zmq_msg_close((zmq_msg_t *)(void *)f->opaque);
    f->body = f->rest = bytes_of(NULL, 0);
}

/* ---- sending ---- */

#define HAND_OVER_BYTES 16384u /* so much is handed over to libzmq instead of being copied again */

static void free_frame(void *data, void *hint)
{
    (void)hint;
    free(data);
}

static err_t make_part(zmq_msg_t *m, buf *frame)
{
    if (frame->len >= HAND_OVER_BYTES &&
        zmq_msg_init_data(m, frame->p, frame->len, free_frame, NULL) == 0) {
        *frame = (buf){.max = frame->max};
        return ERR_OK;
    }
    if (zmq_msg_init_size(m, frame->len) != 0)
        return ERR_NO_MEMORY;
    memcpy(zmq_msg_data(m), frame->p, frame->len);
    frame->len = 0;
    return ERR_OK;
}

static err_t send_part(void *socket, zmq_msg_t *m, int more)
{
    int rc;
    do
        rc = zmq_msg_send(m, socket, ZMQ_DONTWAIT | more);
    while (rc < 0 && errno == EINTR);
    if (rc >= 0)
        return ERR_OK;
    err_t e = errno == EAGAIN ? ERR_BUSY : ERR_UNREACHABLE;
    zmq_msg_close(m);
    return e;
}

static err_t send_route(void *socket, const bus_route *route)
{
    zmq_msg_t m;
    if (zmq_msg_init_size(&m, route->len) != 0)
        return ERR_NO_MEMORY;
    memcpy(zmq_msg_data(&m), route->b, route->len);
    return send_part(socket, &m, ZMQ_SNDMORE);
}

/* Empties `frame`, whose memory may go to libzmq. */
static err_t send_frame(void *socket, const bus_route *route, buf *frame)
{
    zmq_msg_t m;
    TRY(make_part(&m, frame));
    err_t e = route != NULL && route->len != 0 ? send_route(socket, route) : ERR_OK;
    if (e == ERR_OK)
        return send_part(socket, &m, 0);
    zmq_msg_close(&m);
    return e;
}

/* ---- one message ---- */

static msg_envelope envelope_of(const bus *b, uint16_t type, uint64_t request)
{
    return (msg_envelope){PROTO_VERSION, type, request, b->dataset};
}

static err_t put_message(const bus *b, buf *frame, const msg_desc *desc, uint64_t request,
                         const void *msg)
{
    msg_envelope envelope = envelope_of(b, desc->id, request);
    size_t at = pack_begin(frame, &envelope);
    err_t e = msg_encode(desc, msg, frame), packed = pack_end(frame, at);
    if (e != ERR_OK)
        frame->len = at;
    return e != ERR_OK ? e : packed;
}

err_t bus_send_body(bus *b, void *socket, const bus_route *route, uint16_t type, uint64_t request,
                    bytes body)
{
    buf frame;
    msg_envelope envelope = envelope_of(b, type, request);
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    (void)buf_reserve(&frame, PACK_HEAD_MAX_BYTES + body.len);
    size_t at = pack_begin(&frame, &envelope);
    buf_add_bytes(&frame, body);
    err_t e = pack_end(&frame, at);
    if (e == ERR_OK)
        e = send_frame(socket, route, &frame);
    buf_release(&frame);
    return e;
}

err_t bus_send(bus *b, void *socket, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg)
{
    buf frame;
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    err_t e = put_message(b, &frame, desc, request, msg);
    if (e == ERR_OK)
        e = send_frame(socket, route, &frame);
    buf_release(&frame);
    return e;
}

/* ---- many messages ---- */

void bus_outbox_init(bus_outbox *o, bus *b, void *socket)
{
    *o = (bus_outbox){.bus = b, .socket = socket};
    for (size_t i = 0; i < BUS_PACKS; i++)
        buf_init(&o->packs[i].frame, PACK_FRAME_MAX_BYTES);
}

void bus_outbox_release(bus_outbox *o)
{
    for (size_t i = 0; i < BUS_PACKS; i++)
        buf_release(&o->packs[i].frame);
}

static void flush_pack(bus_outbox *o, size_t i)
{
    if (o->packs[i].messages == 0)
        return;
    o->packs[i].messages = 0;
    err_t e = send_frame(o->socket, &o->packs[i].route, &o->packs[i].frame);
    o->packs[i].frame.len = 0;
    o->failed = o->failed == ERR_OK ? e : o->failed;
}

static bool is_route(const bus_route *a, const bus_route *b)
{
    return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

/* The pack for a peer: the one that is open, else one that is made free. */
static size_t pack_for(bus_outbox *o, const bus_route *route)
{
    size_t spare = (o->last + 1) % BUS_PACKS;
    for (size_t k = 0; k < BUS_PACKS; k++) {
        size_t i = (o->last + k) % BUS_PACKS;
        if (o->packs[i].messages != 0 && is_route(&o->packs[i].route, route))
            return o->last = i;
        if (o->packs[i].messages == 0)
            spare = i;
    }
    flush_pack(o, spare);
    o->packs[spare].route = *route;
    return o->last = spare;
}

static void close_message(bus_outbox *o, size_t i)
{
    if (++o->packs[i].messages == PACK_MAX_MESSAGES || o->packs[i].frame.len >= PACK_BYTES)
        flush_pack(o, i);
}

static const bus_route nowhere;

err_t bus_post(bus_outbox *o, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg)
{
    size_t i = pack_for(o, route != NULL ? route : &nowhere);
    err_t e = put_message(o->bus, &o->packs[i].frame, desc, request, msg);
    if (e == ERR_TOO_LARGE && o->packs[i].messages != 0) { /* beside the others */
        flush_pack(o, i);
        e = put_message(o->bus, &o->packs[i].frame, desc, request, msg);
    }
    if (e == ERR_OK)
        close_message(o, i);
    return e;
}

err_t bus_post_packed(bus_outbox *o, const bus_route *route, bytes message)
{
    size_t i = pack_for(o, route != NULL ? route : &nowhere);
    buf *frame = &o->packs[i].frame;
    if (frame->len + message.len > PACK_FRAME_MAX_BYTES)
        flush_pack(o, i);
    buf_add_bytes(frame, message);
    err_t e = frame->err;
    frame->err = ERR_OK;
    if (e == ERR_OK)
        close_message(o, i);
    return e;
}

err_t bus_flush(bus_outbox *o)
{
    for (size_t i = 0; i < BUS_PACKS; i++)
        flush_pack(o, i);
    err_t e = o->failed;
    o->failed = ERR_OK;
    return e;
}
