/* CURVE on ZeroMQ sockets, set the same way everywhere. A server socket without a live ZAP handler would admit any
 * stranger (parts of libzmq's default), so ZMQ_ZAP_ENFORCE_DOMAIN is set: a missing handler then refuses everybody. */
#ifndef CAIRN_CURVE_H
#define CAIRN_CURVE_H

#include "shell/bus.h"

/* The transport key of this node, HOME/gossip/transport.key: 32 secret bytes and a checksum, 0600. Made when absent.
 * ERR_CHECKSUM when the file is damaged: it must not be used. `why` gets words. */
err_t curve_load_key(const char *dir, uint8_t secret[TRANSPORT_KEY_BYTES], transport_key *public,
                     buf *why) CAIRN_CHECK;
void curve_public(transport_key *public, const uint8_t secret[TRANSPORT_KEY_BYTES]);

/* `domain` is what the ZAP handler sees: "member" or "lobby". Call before binding. */
err_t curve_server(void *socket, const uint8_t secret[TRANSPORT_KEY_BYTES],
                   const char *domain) CAIRN_CHECK;
/* Call before connecting; `server` proves itself in the handshake. */
err_t curve_client(void *socket, const uint8_t secret[TRANSPORT_KEY_BYTES],
                   const transport_key *server) CAIRN_CHECK;
/* Heartbeats (a half-open TCP connection is noticed in 6 s), short queues, and no connecting again behind our back. */
void curve_lan(void *socket, int queue_messages, size_t message_max_bytes);

#endif
