/* Many gossip cores on one virtual clock, each with a toy store and a toy merge, joined by links that keep order and
 * can be cut. Answers come late and in any order. For test_gossip_core.c. */
#ifndef CAIRN_GOSSIP_WORLD_H
#define CAIRN_GOSSIP_WORLD_H

#include "gossip/gossip_core.h"
#include "prop.h"

#define WORLD_NODES_MAX  16
#define WORLD_EVENTS_MAX 4096
#define WORLD_LINKS_MAX  4096
#define WORLD_NONE       UINT32_MAX

/* Every event there ever was; nodes hold subsets. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    uint32_t parent; /* index, or WORLD_NONE at seq 1 */
    event_id id;
} world_event;

typedef struct {
    gossip_core *core;
    bool held[WORLD_EVENTS_MAX];
    bool unshown[WORLD_EVENTS_MAX]; /* held, but merge asks for it again (as for a damaged row) */
    uint64_t version;
    err_t trouble;      /* what merge answers instead of admitting, ERR_OK for none */
    buf quarantine[64]; /* runs whose predecessor is missing */
    size_t n_quarantine;
    uint64_t ingests;
} world_node;

typedef struct {
    uint32_t id;
    int a, b;
    bool up;
    uint64_t last_ms[2]; /* latest delivery scheduled towards a and b: order is kept */
    uint64_t messages, bytes;
} world_link;

/* Messages of one kind for a test's own peer; see world_spy. */
typedef struct world world;
typedef void world_peer(world *w, uint32_t link, const msg_desc *desc, const void *msg);

typedef struct world_task world_task;

struct world {
    prop_rng rng;
    uint64_t now_ms;
    world_event events[WORLD_EVENTS_MAX];
    uint32_t n_events;
    world_node nodes[WORLD_NODES_MAX];
    int n_nodes;
    world_link links[WORLD_LINKS_MAX];
    size_t n_links;
    world_task *tasks;
    uint32_t run_events; /* events in one run of the toy store */
    uint64_t latency_ms; /* at most, of links and of answers */
    /* crossings[pair][event]: how often an event went over the cable between two nodes, either way */
    uint8_t crossings[WORLD_NODES_MAX][WORLD_NODES_MAX][WORLD_EVENTS_MAX];
    uint32_t cuts[WORLD_NODES_MAX][WORLD_NODES_MAX]; /* times that cable was cut */
    world_peer *peer; /* gets what is sent to a node without a core */
    void (*want_seen)(world *w, int node, const peer_want *m); /* may be NULL */
};

world *world_new(prop_rng rng, int nodes);
void world_free(world *w);

/* Writes the next event of `feed` at `node`, after `parent` (WORLD_NONE: the longest branch that the node holds). */
uint32_t world_write(world *w, int node, feed_id feed, uint32_t parent);
/* Puts an event and its ancestors into a node as if it had always been there. */
void world_give(world *w, int node, uint32_t event);
/* The node's merge rings. */
void world_ring(world *w, int node);
uint32_t world_link_up(world *w, int a, int b);
void world_link_down(world *w, uint32_t link);
world_link *world_link_of(world *w, uint32_t link);
/* Runs until nothing is left to do before `until_ms`. */
void world_run(world *w, uint64_t until_ms);
/* Runs until all nodes with a core hold the same; false if they do not by `until_ms`. */
bool world_converge(world *w, uint64_t until_ms);
bool world_equal(const world *w);
size_t world_count(const world *w, int node);
/* Sends from a node without a core. */
void world_say(world *w, uint32_t link, int from, const msg_desc *desc, const void *msg);
/* The largest number of times that an event crossed a cable beyond once and once per cut. */
unsigned world_excess(const world *w);

#endif
