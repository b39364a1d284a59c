/* What the events of one stream say about each other: which event a reference means, which
 * references are void, and the canonical order (design sections 2 and 3, fine print 1, 2, 14).
 * Pure: the same set of counting events gives the same answer, in whatever order they are handed
 * over.
 *
 * Resolution, among the counting events of the stream only:
 *  - a distance counts back along the feed's chain, over events of all streams; it means something
 * only if it lands in this stream;
 *  - [feed, seq, prefix] means the one event there whose id begins so; two that do are none;
 *  - what the rules bar (see refs_rules) is none;
 *  - a reference inside a cycle of references and feed order is none. Only a cheat can make one.
 * Feed order: an event comes after its nearest chain ancestor in the stream. Canonical order is
 * Kahn's algorithm over references and feed order, the least ready one by (wall, counter, feed,
 * seq, id) first.
 *
 * Chains and forks. A feed that never forked is a line, so (feed, seq - distance) says it all and
 * the caller does nothing. A feed with several tips is a tree, and the way back leads through
 * events of other streams. The caller then labels its events with branches: a branch is a line of
 * events that begins at a seq and hangs on a parent branch. Labels are a node's own (any labelling
 * of the same tree gives the same result); refs_label makes them from rows of the log. An event of
 * an unforked feed is on branch 0, which needs no entry. */
#ifndef CAIRN_REFS_H
#define CAIRN_REFS_H

#include "base/error.h"
#include "base/ids.h"
#include "proto/event.h"
#include "pure/arena.h"
#include "pure/keysort.h"

#define REFS_NONE UINT32_MAX

/* One event of the stream as the caller holds it. Pointers are borrowed. */
typedef struct {
    feed_id feed;
    uint32_t branch; /* 0 unless the feed has forked */
    uint64_t seq;
    const event_id *id;
    const event_view *view;
    bool counts; /* the verdict of now; an opaque view never counts, whatever this says */
    bool erased; /* hidden by an event.erase, whether the tail is still here or not */
    uint32_t n_keys;
    const bytes *keys; /* of all erasures of this event, in any order, repeats allowed */
} refs_event;

typedef struct {
    feed_id feed;
    uint32_t branch, parent; /* parent REFS_NONE: a chain of its own (two keys under one number) */
    uint64_t first_seq;      /* earlier seqs of this chain are the parent's */
} refs_branch;

/* True when references by events of `by` to (feed, seq) count as none: `feed` is listed as forked
 * from seq or earlier in a removal and `by` belongs to another member. */
typedef bool (*refs_barred)(const void *ctx, feed_id by, feed_id feed, uint64_t seq);

/* All zero: no forks, nothing barred. */
typedef struct {
    const refs_branch
        *branches; /* of forked feeds, ascending by (feed, branch), branch 0 left out */
    uint32_t n_branches;
    refs_barred barred; /* may be NULL */
    const void *ctx;
} refs_rules;

/* The answer. Numbers are indices into the array of events; arrays live in the arena. */
typedef struct {
    const refs_event *events;
    uint32_t n;
    uint32_t n_counting;
    const uint32_t *order; /* n_counting: canonical order */
    const uint32_t
        *place; /* per event: index in `order`, REFS_NONE if it does not count or came twice */
    const uint32_t *stamped; /* n: all events ascending by (wall, counter, feed, seq, id) */
    const uint32_t *rank;    /* per event: index in `stamped` */
    const uint32_t *before; /* per event: nearest chain ancestor among the counting, or REFS_NONE */
    const uint32_t *first;  /* n + 1: event i means targets[first[i]] … targets[first[i + 1] - 1],
                               all counting, */
    const uint32_t
        *targets; /* no repeats, in the order written. Also for events that do not count. */
    const sort_key *by_seq, *by_branch; /* private: how references are looked up */
} refs_stream;

/* n log n. An event handed over twice counts once. ERR_NO_MEMORY is the only error. */
err_t refs_resolve(arena *a, const refs_event *events, uint32_t n, const refs_rules *rules,
                   refs_stream *out) CAIRN_CHECK;

/* Lamport numbers within the stream, per event (0 when it does not count): 1 + the largest among
 * references, cause and feed order. A cause inside a cycle is ignored. ERR_NO_MEMORY. */
err_t refs_lamport(arena *a, const refs_stream *s, const refs_rules *rules,
                   const uint32_t **out) CAIRN_CHECK;

/* A row of a forked feed, to be labelled. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    uint64_t row, parent; /* names of this event and of the one before it in its chain (offsets will
                             do); 0: none */
    uint32_t branch;      /* out */
} refs_link;

/* Labels rows that ascend by (feed, seq): all rows of each forked feed, or all from its first fork
 * on (what comes before is then the trunk, branch 0). *out goes into refs_rules. ERR_NO_MEMORY. */
err_t refs_label(arena *a, refs_link *links, uint32_t n, const refs_branch **out,
                 uint32_t *n_out) CAIRN_CHECK;

#endif
