/* ZeroMQ as Cairn uses it: one context per process, linger, high-water marks and size limits set in
 * one place (libzmq's defaults hang, drop or hoard), EINTR hidden, every ZeroMQ message one frame that
 * holds one or more of ours (proto/pack.h). */
#ifndef CAIRN_BUS_H
#define CAIRN_BUS_H

#include "proto/pack.h"

typedef struct {
    void *context;
    dataset_id dataset; /* put into every envelope */
} bus;

/* NULL context when libzmq cannot make one. */
err_t bus_init(bus *b, const dataset_id *dataset) CAIRN_CHECK;
/* Every socket must be closed before; never hangs longer than the linger (500 ms). */
void bus_release(bus *b);

/* A socket of ZMQ type `type` with Cairn's options; NULL only when out of sockets or memory. */
void *bus_socket(bus *b, int type);
void bus_close(void *socket);

/* ROUTER sockets put the routing id in front; `len` is 0 for other sockets. */
typedef struct {
    uint8_t len;
    uint8_t b[32];
} bus_route;

/* A received frame and the message in it that is looked at. Views borrow until bus_frame_release. */
typedef struct {
    bus_route route;
    msg_envelope envelope;
    bytes body;
    bytes rest;                            /* messages that follow */
    uint8_t user_key[TRANSPORT_KEY_BYTES]; /* the CURVE key the other side proved, all zero without
                                              CURVE */
    char peer_address[64];                 /* "192.168.1.7", empty for ipc */
    uint8_t opaque[128];
} bus_frame;

/* Takes the next waiting frame without blocking and looks at its first message: ERR_OK (release it),
 * ERR_NOT_FOUND (none waits), or ERR_MALFORMED (one was taken and dropped: it is not as ours are;
 * `route` tells from whom). */
err_t bus_recv(void *socket, bool router, bus_frame *f) CAIRN_CHECK;
/* Looks at the next message of the frame; false after the last, or when the next is malformed. */
bool bus_next(bus_frame *f);
void bus_frame_release(bus_frame *f);

/* Sends one message, at once. `route` is NULL except on ROUTER sockets. ERR_UNREACHABLE (gone),
 * ERR_BUSY (high-water mark), or msg_encode's errors. Sent does not mean delivered. */
err_t bus_send(bus *b, void *socket, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg) CAIRN_CHECK;
/* The same with a body that is encoded already. */
err_t bus_send_body(bus *b, void *socket, const bus_route *route, uint16_t type, uint64_t request,
                    bytes body) CAIRN_CHECK;

/* ---- one frame for all that a turn has for a peer ---- */

#define BUS_PACKS 8 /* peers of one socket with an open frame; one more closes another's */

typedef struct {
    bus *bus;
    void *socket;
    struct {
        bus_route route;
        buf frame;
        unsigned messages;
    } packs[BUS_PACKS];
    size_t last; /* of the message before */
    err_t failed;
} bus_outbox;

/* Borrows both. */
void bus_outbox_init(bus_outbox *o, bus *b, void *socket);
/* What was not flushed is forgotten. */
void bus_outbox_release(bus_outbox *o);
/* Puts a message into the frame for its peer, which goes out with bus_flush, or before when it is full;
 * so the order to one peer is kept. msg_encode's errors. */
err_t bus_post(bus_outbox *o, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg) CAIRN_CHECK;
/* The same with a message as pack_begin and pack_end have made it. */
err_t bus_post_packed(bus_outbox *o, const bus_route *route, bytes message) CAIRN_CHECK;
/* Sends what is there, whatever becomes of single frames. Returns the first error since the last
 * flush: ERR_UNREACHABLE, ERR_BUSY, ERR_NO_MEMORY. */
err_t bus_flush(bus_outbox *o) CAIRN_CHECK;

#endif
