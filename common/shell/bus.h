/* ZeroMQ as Cairn uses it: one context per process, linger, high-water marks and size limits set in
 * one place (libzmq's defaults hang, drop or hoard), EINTR hidden, every message two frames:
 * envelope and body. */
#ifndef CAIRN_BUS_H
#define CAIRN_BUS_H

#include "proto/msg.h"

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

/* One received message. Views borrow until bus_frame_release. */
typedef struct {
    bus_route route;
    msg_envelope envelope;
    bytes body;
    uint8_t user_key[TRANSPORT_KEY_BYTES]; /* the CURVE key the other side proved, all zero without
                                              CURVE */
    char peer_address[64];                 /* "192.168.1.7", empty for ipc */
    uint8_t opaque[128];
} bus_frame;

/* Takes the next waiting message without blocking: ERR_OK (release it), ERR_NOT_FOUND (none waits),
 * or ERR_MALFORMED (one was taken and dropped: frames or envelope are not ours; `route` tells from
 * whom). */
err_t bus_recv(void *socket, bool router, bus_frame *f) CAIRN_CHECK;
void bus_frame_release(bus_frame *f);

/* Sends envelope and body. `route` is NULL except on ROUTER sockets. ERR_UNREACHABLE (gone),
 * ERR_BUSY (high-water mark), or msg_encode's errors. Sent does not mean delivered. */
err_t bus_send(bus *b, void *socket, const bus_route *route, const msg_desc *desc, uint64_t request,
               const void *msg) CAIRN_CHECK;
/* The same with a body that is encoded already. */
err_t bus_send_body(bus *b, void *socket, const bus_route *route, uint16_t type, uint64_t request,
                    bytes body) CAIRN_CHECK;

#endif
