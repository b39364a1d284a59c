/* Shared by the parts of the core: gossip_core.c (inputs, effects, links), _compare.c (who lacks what),
 * _pull.c (fetching), _serve.c (serving), _blame.c (whom not to ask); for nobody else. */
#ifndef CAIRN_GOSSIP_CORE_IMPL_H
#define CAIRN_GOSSIP_CORE_IMPL_H

#include "gossip/gossip_core.h"
#include "pure/reconcile.h"

typedef struct effect_node {
    struct effect_node *next;
    gossip_effect e;
    buf body;
} effect_node;

/* What the comparison on a link waits for. */
typedef enum { AWAIT_NOTHING, AWAIT_ANSWER, AWAIT_ENTRIES } gossip_await;

/* A want of the peer that is being served. */
typedef struct {
    run_request next; /* what to read next */
    uint32_t window;  /* runs the peer has room for */
    uint8_t rank;
    uint32_t generation; /* tells a job from its successor while a read is under way */
} gossip_job;

typedef enum {
    GRUDGE_FEED,
    GRUDGE_ROSTER, /* refused for the author's membership: a change of the roster forgives it */
    GRUDGE_LISTED /* has no listed head, nor ever said so: it may be asked for what it says it has */
} gossip_grudge_kind;

typedef struct {
    gossip_grudge_kind kind;
    feed_id feed;
    event_id
        tip; /* GRUDGE_ROSTER only: another chain of the feed may have an author who is known */
    uint64_t until_ms;
    uint32_t strikes;
} gossip_grudge;

/* What is held against a member; outlives its links, so that connecting again is no pardon. */
typedef struct {
    member_no member; /* 0: free */
    uint32_t strikes;
    uint64_t quiet_until_ms;
    gossip_grudge grudges[GOSSIP_GRUDGES_MAX];
    size_t n;
} gossip_blame;

typedef struct {
    uint32_t id; /* 0: free */
    member_no member;
    gossip_blame *blame;
    /* comparing */
    event_id told;  /* digest that the peer heard of us */
    event_id heard; /* digest that we heard of it */
    bool has_told, has_heard, compared;
    bool first; /* we connected: our digest goes first, and of two that cross ours counts */
    gossip_await await;
    reconcile_peer peer;
    uint64_t as_of_ms, compare_until_ms, recheck_ms;
    uint64_t news;    /* buckets of ours that changed since */
    uint64_t news_ms; /* not before */
    uint64_t they_lack, we_lack;
    bool plan;         /* wants must be worked out again */
    uint64_t alive_ms; /* a run came, or the first want after a pause went out */
    uint32_t junk;
    /* serving */
    gossip_job jobs[GOSSIP_JOBS_MAX];
    size_t n_jobs;
    bool reading;
    uint32_t reading_generation;
} gossip_link;

/* A feed that is being fetched. Ends by settling: when the frontier shows what came. */
typedef struct {
    uint32_t id;   /* 0: free; the tag of its ingests */
    uint32_t link; /* 0: it went down */
    member_no member;
    feed_id feed;
    frontier_entry tip;
    uint64_t begin; /* seq after which the first run was asked for */
    uint64_t next_seq;
    uint64_t step; /* how far to step back when the peer's chain is another one */
    uint32_t credit, ingesting;
    uint64_t accepted;
    bool ended;    /* nothing more comes */
    bool guess;    /* `begin` need not be common: one run at a time, until merge does not say GAP */
    bool listed;   /* somebody else says that it exists, not this peer */
    bool pardoned; /* what it was refused for may be over */
    err_t failed;  /* why it ended early; ERR_OK if it did not */
    uint64_t settle; /* frontier generation that shows it; 0: not ended yet */
    uint64_t own_ms; /* when it began or got a run of its own */
} gossip_flight;

typedef struct {
    uint32_t tag; /* 0: free */
    frontier_entry e;
} gossip_lookup;

struct gossip_core {
    effect_node *first, **last, *taken;
    uint64_t wake_ms, replan_ms;
    uint32_t next_tag;
    /* where we stand */
    frontier mine, wanted;
    uint64_t buckets[FRONTIER_BUCKETS];
    event_id digest;
    uint64_t version, events;
    bool has_frontier, asking, ask_again;
    uint64_t asked;    /* generation of the newest question */
    uint64_t ask_ms;   /* not before */
    uint64_t pause_ms; /* nothing is fetched before: merge or the store cannot */
    member_no *writers;
    size_t n_writers;
    gossip_link links[PEERS_MAX];
    gossip_flight flights[GOSSIP_FLIGHTS_MAX];
    gossip_blame blames[PEERS_MAX];
    gossip_lookup lookups[GOSSIP_LOCATES_MAX];
    frontier present, absent; /* what lookups have told */
    gossip_counts count;
};

/* ---- gossip_core.c ---- */
uint32_t gossip_new_tag(gossip_core *c);
void gossip_wake_at(gossip_core *c, uint64_t at_ms);
/* Works all wants out again then: somebody may be asked again. */
void gossip_replan_at(gossip_core *c, uint64_t at_ms);
void gossip_plan_all(gossip_core *c);
gossip_link *gossip_link_of(gossip_core *c, uint32_t link);
/* An effect to fill in; NULL when out of memory (what it was to start is begun again by its timer). */
gossip_effect *gossip_emit(gossip_core *c, gossip_act act);
/* Copies `body` into the effect emitted last. */
void gossip_emit_body(gossip_core *c, bytes body);
void gossip_send(gossip_core *c, const gossip_link *l, const msg_desc *desc, const void *msg);
void gossip_close(gossip_core *c, gossip_link *l, err_t why);
bool gossip_is_roster(void *core, feed_id feed);
/* Asks merge for its frontier; returns the generation whose answer shows all that is stored now. */
uint64_t gossip_ask(gossip_core *c, mono_ms now);

/* ---- gossip_core_compare.c ---- */
void gossip_compare(gossip_core *c, gossip_link *l, mono_ms now);
void gossip_recv_digest(gossip_core *c, gossip_link *l, const peer_digest *m, mono_ms now);
void gossip_recv_buckets(gossip_core *c, gossip_link *l, const peer_buckets *m, mono_ms now);
void gossip_recv_frontier(gossip_core *c, gossip_link *l, const peer_frontier *m, mono_ms now);
/* Our frontier has changed in these buckets. */
void gossip_changed(gossip_core *c, uint64_t buckets, mono_ms now);
/* Sends what is due: news, and comparisons begun again. */
void gossip_compare_tick(gossip_core *c, mono_ms now);
/* Asks the store about entries of the peer that may or may not be held. */
void gossip_look_up(gossip_core *c, gossip_link *l);
bool gossip_holds(void *core, feed_id feed, uint64_t seq, const event_id *id);

/* ---- gossip_core_pull.c ---- */
void gossip_plan(gossip_core *c, mono_ms now); /* for every link whose plan is due */
void gossip_recv_run(gossip_core *c, gossip_link *l, const peer_run *m, mono_ms now);
void gossip_recv_have_not(gossip_core *c, gossip_link *l, const peer_have_not *m, mono_ms now);
void gossip_flights_settle(gossip_core *c, uint64_t generation, mono_ms now);
void gossip_flights_drop(gossip_core *c, uint32_t link, mono_ms now);
void gossip_pull_tick(gossip_core *c, mono_ms now);

/* ---- gossip_core_serve.c ---- */
void gossip_recv_want(gossip_core *c, gossip_link *l, const peer_want *m);

/* ---- gossip_core_blame.c ---- */
gossip_blame *gossip_blame_of(gossip_core *c, member_no member);
bool gossip_may_ask(const gossip_blame *b, mono_ms now);
bool gossip_may_ask_for(const gossip_blame *b, const reconcile_want *w, mono_ms now);
void gossip_blame_flight(gossip_core *c, const gossip_flight *f, mono_ms now);
void gossip_blame_member(gossip_core *c, member_no member, mono_ms now);
void gossip_praise(gossip_core *c, member_no member, feed_id feed);
void gossip_pardon_roster(gossip_core *c);
/* Plans again when the next pause of anybody ends. */
void gossip_blame_replan(gossip_core *c, mono_ms now);

#endif
