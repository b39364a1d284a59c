/* One gossip process as member 1, the founder, of a dataset of two; merge and store played by the test, and `friend`,
 * member 2, who is not connected yet. For test_gossip.c and test_gossip_lobby.c. */
#ifndef CAIRN_TEST_GOSSIP_NODE_H
#define CAIRN_TEST_GOSSIP_NODE_H

#include "tests/service/fake_merge.h"
#include "tests/service/gossip_peer.h"

extern rig r;
extern fake_merge *merge;
extern gossip_peer friend, stranger;
extern transport_key node_key;
extern char member_address[ADDRESS_MAX_BYTES + 1], lobby_address[ADDRESS_MAX_BYTES + 1];

/* All but starting the process. */
void node_make(void);
void node_start(void);
void node_stop(void);
/* Waits until gossip knows the roster and listens. */
void node_await_ready(void);
/* Where it listens now. */
void node_find_port(void);
uint64_t node_counter(const char *name);
void node_link_friend(void);
/* A run as far as gossip looks. The caller releases it. */
void node_make_run(buf *out, feed_id feed, uint32_t count);

#endif
