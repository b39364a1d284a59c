/* Replication without sockets: one engine for every link (design section 6). A link is symmetric; each side
 * compares frontiers, asks for what it lacks and serves what it holds.
 *
 * Inputs are the gossip_* calls below, in any order; time is passed in and never goes back. Outputs are effects,
 * taken out with gossip_next after each input. The shell (or the simulator) carries them out and brings the answers
 * back as inputs. An answer that never comes is a failed one: report it.
 *
 *   who      what it keeps                             bound (common/base/limits.h)
 *   link     the peer's frontier, as last heard        FRONTIER_MAX entries
 *            wants of the peer being served            GOSSIP_JOBS_MAX, one run read at a time
 *   node     flights: feeds being fetched              GOSSIP_FLIGHTS_MAX, GOSSIP_RUNS_MAX runs under way
 *            blame: members that stalled or lied       PEERS_MAX, each with GOSSIP_GRUDGES_MAX feeds
 *
 * A feed is fetched from one peer at a time; another one takes over when that stalls, fails or goes. */
#ifndef CAIRN_GOSSIP_CORE_H
#define CAIRN_GOSSIP_CORE_H

#include "proto/msg.h"
#include "pure/frontier.h"

typedef struct gossip_core gossip_core;

typedef enum {
    GOSSIP_SEND,   /* `body` is an encoded `desc`: send it on `link` */
    GOSSIP_CLOSE,  /* the peer breaks the rules (`why`): close `link`, then call gossip_link_down */
    GOSSIP_READ,   /* ask the store for `read`; answer with gossip_read(tag) */
    GOSSIP_LOCATE, /* ask the store for `locate`; answer with gossip_located(tag) */
    GOSSIP_INGEST, /* offer the run in `body`, from `member`, to merge; answer with gossip_ingested(tag) */
    GOSSIP_FRONTIER, /* ask merge for its frontier; answer with gossip_frontier or gossip_no_frontier */
} gossip_act;

typedef struct {
    gossip_act act;
    uint32_t link, tag;
    member_no member;
    err_t why;
    const msg_desc *desc;
    bytes body; /* lies in the core until the next gossip_next or gossip_core_free */
    run_request read;
    locate_request locate;
} gossip_effect;

/* NULL when out of memory. It begins by asking for the frontier. */
gossip_core *gossip_core_new(mono_ms now);
void gossip_core_free(gossip_core *c);

/* Takes the oldest effect that waits; false when there is none. */
bool gossip_next(gossip_core *c, gossip_effect *out);
/* When gossip_tick wants to be called at the latest. */
mono_ms gossip_wake(const gossip_core *c);
void gossip_tick(gossip_core *c, mono_ms now);

/* ---- links ---- */
/* A link to a proven member is open. `link` is not 0 and never used again; `first` is true on exactly one of the two
 * sides (the one that connected): it speaks first. ERR_BUSY beyond PEERS_MAX. */
err_t gossip_link_up(gossip_core *c, uint32_t link, member_no member, bool first,
                     mono_ms now) CAIRN_CHECK;
void gossip_link_down(gossip_core *c, uint32_t link, mono_ms now);
/* A decoded message: peer_digest, peer_buckets, peer_frontier, peer_want, peer_run, peer_have_not. Others are
 * ignored; so is everything on a link that is not up. */
void gossip_recv(gossip_core *c, uint32_t link, const msg_desc *desc, const void *msg, mono_ms now);

/* ---- neighbours ---- */
/* Merge rang, or something else says that its frontier may be another one. */
void gossip_bell(gossip_core *c, mono_ms now);
/* The answer to GOSSIP_FRONTIER; `f` is decoded. When its version is the one known, its lists do not matter. */
void gossip_frontier(gossip_core *c, const frontier_reply *f, mono_ms now);
void gossip_no_frontier(gossip_core *c, mono_ms now);
/* Version of the frontier held, for frontier_request; 0 for none. */
uint64_t gossip_known_version(const gossip_core *c);
/* Who writes roster events: feeds of these members are fetched first. A change of the roster forgives whom it was
 * refused for. Copies. */
err_t gossip_roster(gossip_core *c, const member_no *writers, size_t n, mono_ms now) CAIRN_CHECK;
void gossip_read(gossip_core *c, uint32_t tag, err_t e, const run_reply *reply, mono_ms now);
void gossip_located(gossip_core *c, uint32_t tag, err_t e, const locate_reply *reply, mono_ms now);
void gossip_ingested(gossip_core *c, uint32_t tag, err_t e, const ingest_reply *reply, mono_ms now);

/* ---- questions ---- */
typedef struct {
    bool compared;               /* frontiers have been compared since the link is up */
    bool equal;                  /* and were equal when it last spoke */
    uint64_t they_lack, we_lack; /* events, as of then */
    mono_ms as_of;               /* when the peer's frontier was last heard, 0 for never */
    size_t flights;              /* feeds being fetched from it */
    uint32_t strikes;            /* failures in a row */
    mono_ms quiet_until;         /* it is not asked for anything before */
} gossip_link_view;

/* False when the link is not up. */
bool gossip_link_look(const gossip_core *c, uint32_t link, gossip_link_view *out, mono_ms now);
/* The frontier held; borrowed until the next gossip_frontier. */
const frontier *gossip_frontier_held(const gossip_core *c);
bool gossip_has_frontier(const gossip_core *c);

typedef struct {
    uint64_t wants_sent, wants_served, runs_sent, runs_received, runs_unwanted, runs_refused;
    uint64_t events_accepted, events_repeated, stalls, compares;
} gossip_counts;
const gossip_counts *gossip_counted(const gossip_core *c);

#endif
