#include "gossip/zap.h"

#include <stdio.h>
#include <zmq.h>

#define ENDPOINT   "inproc://zeromq.zap.01"
#define PARTS      9u
#define PART_BYTES 256u

/* Routing id, empty, version, request id, domain, address, identity, mechanism, CURVE key. */
enum {
    AT_ROUTE,
    AT_EMPTY,
    AT_VERSION,
    AT_REQUEST,
    AT_DOMAIN,
    AT_ADDRESS,
    AT_IDENTITY,
    AT_MECHANISM,
    AT_KEY
};

typedef struct {
    uint8_t b[PART_BYTES];
    size_t len;
} part;

void *zap_open(bus *b)
{
    void *s = bus_socket(b, ZMQ_ROUTER);
    if (s != NULL && zmq_bind(s, ENDPOINT) == 0)
        return s;
    bus_close(s);
    return NULL;
}

/* False when nothing waits. *ok only if there were exactly the parts of a CURVE request. */
static bool take(void *socket, part parts[PARTS], bool *ok)
{
    size_t n = 0;
    int more = 1;
    *ok = true;
    while (more) {
        uint8_t spare[PART_BYTES];
        uint8_t *to = n < PARTS ? parts[n].b : spare;
        int len = zmq_recv(socket, to, PART_BYTES, ZMQ_DONTWAIT);
        size_t size = sizeof more;
        if (len < 0)
            return false;
        if (n >= PARTS || len > (int)PART_BYTES)
            *ok = false;
        else
            parts[n].len = (size_t)len;
        n++;
        (void)zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
    }
    *ok = *ok && n == PARTS && parts[AT_KEY].len == TRANSPORT_KEY_BYTES &&
          bytes_is(bytes_of(parts[AT_MECHANISM].b, parts[AT_MECHANISM].len), "CURVE");
    return true;
}

static void text_of(char out[PART_BYTES + 1], const part *p)
{
    memcpy(out, p->b, p->len);
    out[p->len] = '\0';
}

static void answer(void *socket, const part parts[PARTS], bool allowed)
{
    char user[64] = "";
    const char *status = allowed ? "200" : "400", *words = allowed ? "OK" : "not a member";
    if (allowed)
        zmq_z85_encode(user, parts[AT_KEY].b, TRANSPORT_KEY_BYTES);
    const bytes out[] = {
        bytes_of(parts[AT_ROUTE].b, parts[AT_ROUTE].len),
        bytes_str(""),
        bytes_str("1.0"),
        bytes_of(parts[AT_REQUEST].b, parts[AT_REQUEST].len),
        bytes_str(status),
        bytes_str(words),
        bytes_str(user),
        bytes_str(""),
    };
    size_t n = sizeof out / sizeof out[0];
    for (size_t i = 0; i < n; i++) /* a handshake that has ended meanwhile needs no answer */
        if (zmq_send(socket, out[i].p, out[i].len, ZMQ_DONTWAIT | (i + 1 < n ? ZMQ_SNDMORE : 0)) <
            0)
            return;
}

static bool judge(const part parts[PARTS], zap_allow *allow, void *ctx)
{
    char domain[PART_BYTES + 1], address[PART_BYTES + 1];
    transport_key key;
    text_of(domain, &parts[AT_DOMAIN]);
    text_of(address, &parts[AT_ADDRESS]);
    memcpy(key.b, parts[AT_KEY].b, sizeof key.b);
    return allow(ctx, domain, &key, address);
}

void zap_serve(void *socket, zap_allow *allow, void *ctx)
{
    for (;;) {
        part parts[PARTS] = {0};
        bool ok;
        if (!take(socket, parts, &ok))
            return;
        if (ok || parts[AT_REQUEST].len > 0)
            answer(socket, parts, ok && judge(parts, allow, ctx));
    }
}
