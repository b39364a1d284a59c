/* The ZAP handler (RFC 27): says who may finish a CURVE handshake on this context's server sockets. Own, because
 * czmq's certificate directory can miss a revocation; answered by the same loop that holds the roster. */
#ifndef CAIRN_ZAP_H
#define CAIRN_ZAP_H

#include "shell/bus.h"

/* `key` has proved itself already; `address` is "192.168.1.7". */
typedef bool zap_allow(void *ctx, const char *domain, const transport_key *key,
                       const char *address);

/* Binds inproc://zeromq.zap.01; NULL when that fails. Do it before any server socket is bound. */
void *zap_open(bus *b);
/* Answers what waits. Never blocks. */
void zap_serve(void *socket, zap_allow *allow, void *ctx);

#endif
