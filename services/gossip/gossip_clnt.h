/* What others on this machine ask gossip: functions as shell/clnt_stub.h says; proto/gossip.def says what they mean. */
#ifndef CAIRN_GOSSIP_CLNT_H
#define CAIRN_GOSSIP_CLNT_H

#include "shell/clnt_stub.h"

#define GOSSIP_CLNT_MS 10000u

#define GOSSIP_STUB(ROW)                                                                           \
    ROW(gossip, peers, GOSSIP_CLNT_MS)                                                             \
    ROW(gossip, peer_add, GOSSIP_CLNT_MS)                                                          \
    ROW(gossip, invite, GOSSIP_CLNT_MS)                                                            \
    ROW(gossip, pending, GOSSIP_CLNT_MS + req->wait_ms)                                            \
    ROW(gossip, confirm, GOSSIP_CLNT_MS)                                                           \
    ROW(gossip, radio_next, GOSSIP_CLNT_MS + req->wait_ms)                                         \
    ROW(gossip, radio_sent, GOSSIP_CLNT_MS)                                                        \
    ROW(gossip, radio_heard, GOSSIP_CLNT_MS)
GOSSIP_STUB(CLNT_STUB)

#endif
