/* Looking events of one stream up by chain and seq, forks included: the inside of refs. */
#ifndef CAIRN_REFS_FORK_H
#define CAIRN_REFS_FORK_H

#include "pure/refs.h"

typedef struct {
    const refs_event *ev;
    uint32_t n;                /* counting events */
    const sort_key *by_seq;    /* (feed, seq), ties by id */
    const sort_key *by_branch; /* (feed << 32 | branch, seq), ties by id; unused without branches */
    const refs_rules *rules;
} refs_index;

/* Each returns an event or REFS_NONE. */
/* The one event that a full reference names. */
uint32_t refs_index_full(const refs_index *x, event_ref ref);
/* The chain ancestor (or the event itself) at exactly `seq`, if it is in the stream. */
uint32_t refs_index_ancestor(const refs_index *x, feed_id feed, uint32_t branch, uint64_t seq);
/* The nearest chain ancestor in the stream below `seq`. */
uint32_t refs_index_below(const refs_index *x, feed_id feed, uint32_t branch, uint64_t seq);

#endif
