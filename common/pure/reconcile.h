/* How two nodes find out what they lack, without a socket: digest, then buckets, then the entries
 * of the buckets that differ, then wants. The messages are peer_digest, peer_buckets,
 * peer_frontier, peer_want (proto/peer.def); here is what goes into them and what follows from
 * them. A link is symmetric; each side wants for itself.
 *
 *     A                                       B
 *     digest ──────────────────────────────▶  equal: its own digest, and that was all
 *            ◀──────────────────────────────  else buckets, or all entries if they are few
 *     entries of the differing buckets ────▶
 *            ◀──────────────────────────────  entries of the same buckets: now both know both
 *     wants of what is not held ───────────▶  runs …
 */
#ifndef CAIRN_RECONCILE_H
#define CAIRN_RECONCILE_H

#include "pure/frontier.h"

/* So few entries cost less than a message with 64 bucket digests of 9 bytes. */
#define RECONCILE_SMALL 12u

/* Bit i set: bucket i differs. All bits when no bucket differs although the digests did (somebody
 * ground a collision of 8-byte digests: then everything is compared). */
uint64_t reconcile_mask(const frontier *mine, const uint64_t theirs[FRONTIER_BUCKETS]);
/* Which of my entries lie in the buckets of `mask`, into `out` (cleared first). */
err_t reconcile_entries(const frontier *mine, uint64_t mask, frontier *out) CAIRN_CHECK;

/* What a peer said, and when nothing was said about a bucket, that it equals ours. */
typedef struct {
    uint64_t mask; /* buckets that `entries` speaks of */
    frontier entries;
} reconcile_peer;

/* Takes over the entries of the named buckets from a message. ERR_MALFORMED: an entry of another
 * bucket, seq 0, or of the reserved class. Replaces what an earlier message said. */
err_t reconcile_heard(reconcile_peer *peer, uint64_t mask, const frontier_entry *e,
                      size_t n) CAIRN_CHECK;
void reconcile_release(reconcile_peer *peer);

/* Entries of the peer that may or may not be held here: not among mine, but not beyond mine either.
 * The caller looks them up before it calls reconcile_wants, if its `holds` cannot ask the store at
 * that moment. */
err_t reconcile_unsure(const frontier *mine, const reconcile_peer *peer, frontier *out) CAIRN_CHECK;

typedef struct {
    feed_id feed;
    uint64_t after_seq; /* 0: from the start of the chain */
    event_id after_id;  /* zero when after_seq is 0 */
    uint64_t tip_seq;
    event_id tip_id;
    uint8_t rank;   /* 0 roster, 1 express, 2 routine, 3 bulk */
    bool listed;    /* a head that a removal lists: the peer may not hold it */
    bool uncertain; /* `after` need not be an ancestor of the tip: the feed has forked. Find the
                       last common event (reconcile_search) before asking for the run */
} reconcile_want;

typedef struct {
    reconcile_want *at;
    size_t n, cap;
    uint64_t we_lack, they_lack; /* events. Exact for unforked feeds; for a branch not held yet,
                                    what its length says */
    bool more; /* a feed has further branches: reconcile again when these wants are served */
} reconcile_wants_list;

typedef struct {
    const frontier *mine;
    const reconcile_peer *peer;
    const chain_view *view; /* meet may be NULL: forked feeds are then counted roughly */
    /* true for feeds with roster events (number 1 and coordinators): they come first on every link
     * (rules.md 11) */
    bool (*is_roster)(void *ctx, feed_id feed);
    void *ctx;
    const frontier_entry *listed; /* roster_wanted: fetched though outside of the frontier */
    size_t n_listed;
} reconcile_input;

/* At most one want per feed, in the order to serve: by rank, within it the shortest first, so that
 * fresh news are not stuck behind a long history; the server's window of runs shares the link among
 * them. `out` is cleared first. */
err_t reconcile_wants(const reconcile_input *in, reconcile_wants_list *out) CAIRN_CHECK;
void reconcile_wants_release(reconcile_wants_list *w);

/* The last common event of my feed and a peer's tip, when the feed has forked. Each turn: ask the peer
 * for its ids on the chain to that tip at `points`, tell for each whether it is held here; held is
 * monotone, since chains have no gaps. A first turn near the tips, then 17-fold division: at most 3
 * turns for a fork within the last 500 events, 6 within the last million. */
#define RECONCILE_POINTS 16u
typedef struct {
    uint64_t common; /* highest seq known to be common, 0: only the start */
    uint64_t beyond; /* lowest seq known not to be common */
    uint64_t guess;  /* where my branches end: the first turn looks closely below it */
    bool started;
} reconcile_search;

/* The peer's tip is not held here; `mine_max` is the highest seq held of that feed. */
void reconcile_search_init(reconcile_search *s, uint64_t tip_seq, uint64_t mine_max);
/* Seqs to ask for, ascending; 0 when done: the run to ask for begins after s->common. */
size_t reconcile_search_points(reconcile_search *s, uint64_t points[RECONCILE_POINTS]);
void reconcile_search_answer(reconcile_search *s, uint64_t seq, bool held);

#endif
