/* Another node as gossip sees it, played by the test: one CURVE connection, honest or not. Waiting fails the test after
 * RIG_MS. */
#ifndef CAIRN_GOSSIP_PEER_H
#define CAIRN_GOSSIP_PEER_H

#include "tests/service/rig.h"

typedef struct {
    bus *bus;
    void *socket, *monitor;
    uint8_t secret[TRANSPORT_KEY_BYTES];
    transport_key key;
    bus_frame frame; /* what the last message borrows */
    bool has_frame;
    const msg_desc *
        asked; /* the request that waits for its answer; kept to be repeated, as every client does */
    buf asked_body;
} gossip_peer;

/* A key of its own, made from `seed`. Connects to nobody yet. */
void peer_init(gossip_peer *p, bus *b, uint8_t seed);
void peer_release(gossip_peer *p);
/* Begins a new connection ("127.0.0.1:7117") to whoever owns `server`. */
void peer_connect(gossip_peer *p, const char *address, const transport_key *server);
/* Closes it. */
void peer_leave(gossip_peer *p);

void peer_say(gossip_peer *p, const msg_desc *desc, const void *msg);
/* Says hello as this member and waits for the answer. */
void peer_greet(gossip_peer *p, member_no member, uint64_t nonce);
/* Waits for a message of this kind, forgetting others (pings, for instance); it borrows until the next call. */
void peer_hear(gossip_peer *p, const msg_desc *desc, void *msg);
/* The same, also for error_reply: returns its code, else ERR_OK and *msg. */
err_t peer_answer(gossip_peer *p, const msg_desc *desc, void *msg);
/* Waits for one of these events of libzmq's monitor and returns it. */
int peer_await(gossip_peer *p, int events);

#endif
