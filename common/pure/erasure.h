/* What an event.erase says (design section 8, rules.md 16 and 17). It lies in the stream of the event that it names,
 * and its payload is a map:
 *
 *     id    bin 32   the event's id
 *     keys  [str …]  names of the things it wrote, which go on replacing
 *     ref   a reference to it: [feed, seq, first two bytes of the id], or a distance back in the same feed
 *
 * An event of category "cairn", an erasure, and what is not understood cannot be erased. */
#ifndef CAIRN_ERASURE_H
#define CAIRN_ERASURE_H

#include "proto/event.h"

typedef struct {
    feed_id feed;
    uint64_t seq;
    event_id id;
    bytes keys; /* raw array; borrows the payload */
} erasure;

/* Of the event (feed, seq), whose kind is event.erase. False when it names nothing. */
bool erasure_read(feed_id feed, uint64_t seq, const event_view *v, erasure *out);
/* Its keys: for (erasure_iter it = erasure_keys(&e); erasure_next_key(&it, &key);) … */
typedef struct {
    bytes rest;
    uint32_t left;
} erasure_iter;
erasure_iter erasure_keys(const erasure *e);
bool erasure_next_key(erasure_iter *it, bytes *key);

/* Appends the payload; `keys` in any order. */
void erasure_write(buf *out, feed_id feed, uint64_t seq, const event_id *id, const bytes *keys,
                   uint32_t n_keys);

#endif
