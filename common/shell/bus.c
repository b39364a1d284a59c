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

static err_t take_route(bus_frame *f, zmq_msg_t *m)
{
    f->route.len = 0;
    if (zmq_msg_size(m) > sizeof f->route.b || !zmq_msg_more(m))
        return ERR_MALFORMED;
    f->route.len = (uint8_t)zmq_msg_size(m);
    memcpy(f->route.b, zmq_msg_data(m), f->route.len);
    return ERR_OK;
}

static err_t take_envelope(bus_frame *f, zmq_msg_t *m)
{
    note_peer(f, m);
    if (!zmq_msg_more(m))
        return ERR_MALFORMED;
    return msg_envelope_decode(bytes_of(zmq_msg_data(m), zmq_msg_size(m)), &f->envelope);
}

/* Receives the next part into `m` and judges it; after a failure the rest of the message is gone
 * too. */
static err_t next_part(void *socket, zmq_msg_t *m, bus_frame *f,
                       err_t (*take)(bus_frame *, zmq_msg_t *))
{
    zmq_msg_init(m);
    if (recv_part(m, socket) < 0) {
        zmq_msg_close(m);
        return ERR_NOT_FOUND;
    }
    err_t e = take(f, m);
    if (e != ERR_OK) {
        drain(socket, m);
        e = ERR_MALFORMED;
    }
    zmq_msg_close(m);
    return e;
}

err_t bus_recv(void *socket, bool router, bus_frame *f)
{
    zmq_msg_t part, *body = (zmq_msg_t *)(void *)f->opaque;
    f->route.len = 0;
    if (router)
        TRY(next_part(socket, &part, f, take_route));
    TRY(next_part(socket, &part, f, take_envelope));
    zmq_msg_init(body);
    if (recv_part(body, socket) < 0 || zmq_msg_more(body)) {
        drain(socket, body);
        zmq_msg_close(body);
        return ERR_MALFORMED;
    }
    f->body = bytes_of(zmq_msg_data(body), zmq_msg_size(body));
    return ERR_OK;
}

void bus_frame_release(bus_frame *f)
{
    zmq_msg_close((zmq_msg_t *)(void *)f->opaque);
    f->body = bytes_of(NULL, 0);
}

static err_t send_part(void *socket, bytes part, int more)
{
    int rc;
    do
        rc = zmq_send(socket, part.p, part.len, ZMQ_DONTWAIT | more);
    while (rc < 0 && errno == EINTR);
    if (rc >= 0)
        return ERR_OK;
    return errno == EAGAIN ? ERR_BUSY : ERR_UNREACHABLE;
}

/* Big bodies are handed over to libzmq instead of being copied once more. */
static void free_body(void *data, void *hint)
{
    (void)hint;
    free(data);
}

static err_t send_owned(void *socket, buf *body)
{
    zmq_msg_t m;
    if (body->len < 1024 || zmq_msg_init_data(&m, body->p, body->len, free_body, NULL) != 0) {
        err_t e = send_part(socket, buf_view(body), 0);
        buf_release(body);
        return e;
    }
    *body = (buf){0};
    int rc;
    do
        rc = zmq_msg_send(&m, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc >= 0)
        return ERR_OK;
    zmq_msg_close(&m);
    return errno == EAGAIN ? ERR_BUSY : ERR_UNREACHABLE;
}

static err_t send_head(bus *b, void *socket, const bus_route *route, uint16_t type,
                       uint64_t request)
{
    uint8_t room[64];
    buf head = {.p = room, .cap = sizeof room, .max = sizeof room};
    msg_envelope e = {PROTO_VERSION, type, request, b->dataset};
    TRY(msg_envelope_encode(&e, &head));
    if (route != NULL)
        TRY(send_part(socket, bytes_of(route->b, route->len), ZMQ_SNDMORE));
    return send_part(socket, buf_view(&head), ZMQ_SNDMORE);
}

err_t bus_send_body(bus *b, void *socket, const bus_route *route, uint16_t type, uint64_t request,
                    bytes body)
{
    TRY(send_head(b, socket, route, type, request));
    return send_part(socket, body, 0);
}

err_t bus_send(bus *b, void *socket, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg)
{
    buf body;
    buf_init(&body, MESSAGE_MAX_BYTES);
    err_t e = msg_encode(desc, msg, &body);
    if (e == ERR_OK)
        e = send_head(b, socket, route, desc->id, request);
    if (e != ERR_OK) {
        buf_release(&body);
        return e;
    }
    return send_owned(socket, &body);
}
