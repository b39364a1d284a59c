/* The inside of merge_core, for its own files only. */
#ifndef CAIRN_MERGE_CORE_STATE_H
#define CAIRN_MERGE_CORE_STATE_H

#include "merge/merge_core.h"
#include "proto/event.h"
#include "proto/row.h"

#define MEND_WANTS_MAX 256u
#define TAIL_WANTS_MAX 256u
#define MERGE_CLASSES  3u
#define MERGE_FOUNDER  MERGE_CLASSES /* the slot of the chain by the founder's key beside the own */
#define MERGE_KEYS_MAX                                                                             \
    64u /* chains under one number that are told apart: two more with each change of founder */
#define MERGE_PLACES_MAX 64u /* events at one (feed, seq) */

/* One tip of a feed. (seq, id) includes what is still on its way to the disk, (sealed_seq, sealed_id) does not. */
typedef struct {
    uint64_t seq;
    event_id id;
    uint64_t
        sealed_seq; /* newest counting event under a seal that is committed: the frontier entry; 0 for none */
    event_id sealed_id;
    uint64_t cut; /* newest seq of this branch that counts by the roster of now */
    member_key author;
    hlc_stamp stamp; /* of the newest event, zero while unknown */
} merge_tip;

typedef struct {
    feed_id feed;
    merge_tip *tips;
    uint32_t n, cap;
    uint64_t fork_seq; /* first seq with two events, 0 for none */
} merge_feed;

typedef struct {
    uint64_t seq;
    event_id id;
    uint32_t unsealed_events;
    uint32_t unsealed_bytes;
} merge_local;

typedef struct kept_run {
    struct kept_run *next;
    feed_id feed;
    uint64_t first_seq;
    event_id previous;
    member_no peer;
    bool ready;
    size_t len;
    uint8_t bytes[];
} kept_run;

/* An erasure of what is not here yet. */
typedef struct {
    frontier_entry target, by;
} merge_wait;

/* The run that is being judged: the roster's questions see it as held already. */
typedef struct {
    feed_id feed;
    uint64_t first_seq;
    uint32_t n;
    const event_id *ids;
    event_id previous;
} pending_run;

/* What was learnt of an event when its run was checked. */
typedef struct {
    hlc_stamp stamp;
    bool opaque, roster, erasure;
} seen_event;

struct merge_core {
    merge_identity identity;
    merge_io io;
    hlc_clock clock;
    roster *roster;
    uint64_t seed;
    bool loaded, overtaken;
    bool
        roster_damaged; /* rows of it could not be read: no verdict is changed for the lack of them */
    err_t asked; /* first failed question about chains: the roster's questions cannot return it */
    uint16_t incarnation;
    merge_local local[MERGE_SLOTS];
    merge_feed *feeds; /* sorted by feed */
    size_t n_feeds, cap_feeds;
    pending_run pending;
    event_id *ids; /* of the run that is being judged */
    seen_event *seen;
    frontier front;
    bool front_stale;
    uint64_t front_version, events;
    frontier_row *front_rows;
    frontier_row *wanted_rows;
    frontier wanted, mend; /* by removals; because of damage */
    frontier tails;        /* events that count and whose tails are missing */
    merge_wait *waits;     /* sorted by target */
    size_t n_waits, cap_waits;
    kept_run *kept;
    size_t kept_bytes, kept_runs;
    refusal_row refusals[REFUSALS_MAX];
    uint64_t refused;
};

/* merge_core.c */
merge_feed *merge_feed_find(const merge_core *c, feed_id feed);
merge_feed *merge_feed_get(merge_core *c, feed_id feed); /* makes it; NULL when out of memory */
merge_tip *merge_tip_find(const merge_feed *f, uint64_t seq, const event_id *id);
merge_tip *merge_tip_add(merge_feed *f);
err_t merge_reload_tips(merge_core *c) CAIRN_CHECK;
void merge_front_changed(merge_core *c);

/* merge_core_chain.c: questions about chains, asked of the store */
chain_view merge_chain_view(merge_core *c);
/* What went wrong in it since it was asked last; an answer given then may be wrong. */
err_t merge_asked(merge_core *c) CAIRN_CHECK;
err_t merge_holds(merge_core *c, feed_id feed, uint64_t seq, const event_id *id,
                  bool *held) CAIRN_CHECK;
/* Id and offset of the ancestor at `at` of the held event (seq, id). ERR_NOT_FOUND. */
err_t merge_ancestor(merge_core *c, feed_id feed, uint64_t seq, const event_id *id, uint64_t at,
                     event_id *out) CAIRN_CHECK;
/* The key by whose chain the event is held. */
err_t merge_author_of(merge_core *c, feed_id feed, uint64_t seq, const event_id *id,
                      member_key *out) CAIRN_CHECK;

/* merge_core_roster.c */
err_t merge_roster_load(merge_core *c) CAIRN_CHECK;
/* The founder's key out of the genesis event, which must make the dataset id. ERR_NOT_MEMBER, ERR_DATASET. */
err_t merge_genesis_author(const dataset_id *dataset, const event_view *v,
                           member_key *out) CAIRN_CHECK;
err_t merge_roster_fold(merge_core *c, feed_id feed, uint64_t seq, const event_id *id,
                        const member_key *author, const event_view *v) CAIRN_CHECK;
/* Applies what the roster changed: verdicts of held events, frontier. */
err_t merge_roster_apply(merge_core *c) CAIRN_CHECK;
/* Takes the frontier entries of all tips from the store; what is on its way stays as it is. */
err_t merge_refresh_sealed(merge_core *c) CAIRN_CHECK;
bool merge_is_roster_event(const event_view *v);

/* Tips of a feed by one key: two are a fork. */
uint32_t merge_tips_by(const merge_feed *f, const member_key *author);

/* merge_core_erase.c */
/* Judges all erasures and looks for missing tails: at start, and when verdicts have changed. */
err_t merge_erase_load(merge_core *c) CAIRN_CHECK;
/* After a commit: what its erasures name, what others name in it, and which tails it lacks or brought. */
err_t merge_erase_committed(merge_core *c, const merge_batch *b) CAIRN_CHECK;
/* May this node write that? Errors as merge_core_emit's. *slot becomes MERGE_FOUNDER where the founder's key
 * of a successor is to write it. */
err_t merge_may_erase(merge_core *c, const emit_row *row, unsigned *slot, buf *why) CAIRN_CHECK;
/* Is the tail of this event wanted? */
bool merge_lacks_tail(const merge_core *c, feed_id feed, uint64_t seq, const event_id *id);
/* How many of the n events from first_seq on, whose ids are c->ids. */
uint32_t merge_lacks_tails(const merge_core *c, feed_id feed, uint64_t first_seq, uint32_t n);
void merge_erase_free(merge_core *c);

/* merge_core_emit.c */
/* To be called before the clock ticks or observes. */
void merge_clock_settle(merge_core *c, wall_ms now);
void merge_local_reset(merge_core *c); /* local heads of the member's own feeds = committed tips */
void merge_slot_reset(merge_core *c, unsigned slot);
/* By whose key a chain of this node's is. */
const member_key *merge_local_author(const merge_core *c, feed_id feed);
/* Loaded, enrolled and neither reader nor removed; else words. */
err_t merge_may_write(const merge_core *c, buf *why) CAIRN_CHECK;
/* An event of Cairn's own category. */
err_t merge_write_own(merge_core *c, wall_ms now, unsigned slot, const char *stream,
                      const char *kind, bytes payload, merge_batch *b) CAIRN_CHECK;
err_t merge_write_roster(merge_core *c, wall_ms now, unsigned slot, const char *kind,
                         const roster_event *ev, merge_batch *b) CAIRN_CHECK;

/* merge_core_founder.c */
/* The chain by which this node may change the roster: the founder's if it holds that key, else its own. That chain is
 * written only when nothing is in flight: it goes on from its committed tip. */
typedef struct {
    unsigned slot;
    member_no number;
    const member_key *key;
} merge_hand;
err_t merge_take_hand(merge_core *c, merge_hand *out, buf *why) CAIRN_CHECK;

/* merge_core_kept.c */
void merge_keep(merge_core *c, feed_id feed, uint64_t first_seq, const event_id *previous,
                bytes encoded, member_no peer);
void merge_kept_arrived(merge_core *c, feed_id feed, uint64_t seq);
void merge_kept_free(merge_core *c);
void merge_refuse(merge_core *c, wall_ms now, feed_id feed, uint64_t seq, member_no peer, err_t e);

#endif
