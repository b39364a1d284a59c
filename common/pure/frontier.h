/* The frontier: where a node stands, one entry per feed, or per tip where a feed has forked (design
 * section 1). An entry is the last counting event of a branch that lies under a seal held (rules.md
 * 8).
 *
 *     digest = BLAKE2b-256("cairn/1 frontier" ‖ for each entry, sorted by feed, seq, id:
 *                          feed u32 BE ‖ seq u64 BE ‖ id 32 bytes)
 *
 * No entry may be an ancestor of another one (frontier_prune sees to it). Ids chain, so an entry
 * stands for all that led to it, and two digests are equal exactly when both nodes hold the same
 * counting events under seals. */
#ifndef CAIRN_FRONTIER_H
#define CAIRN_FRONTIER_H

#include "base/error.h"
#include "base/ids.h"

#define FRONTIER_DIGEST_BYTES 32u
#define FRONTIER_BUCKETS      64u
#define FRONTIER_ALL_BUCKETS  UINT64_MAX

typedef struct {
    feed_id feed;
    uint64_t seq;
    event_id id;
} frontier_entry;

/* Sorted by (feed, seq, id), without doubles. Starts as {0}. */
typedef struct {
    frontier_entry *at;
    size_t n, cap;
} frontier;

/* How pure code asks for the chains that the caller holds. Both functions answer about held events
 * only; events about to be stored may be shown as held already. */
typedef struct {
    void *ctx;
    bool (*holds)(void *ctx, feed_id feed, uint64_t seq, const event_id *id);
    /* Both events are held. Seq of the last event that the chains ending in them share; 0 when
     * there is none (two keys under one number, or a fork at seq 1). a is an ancestor of b, or b
     * itself, exactly when the answer is a's seq. Where the feed has no fork that is the lesser of
     * both seqs. */
    uint64_t (*meet)(void *ctx, feed_id feed, uint64_t a_seq, const event_id *a, uint64_t b_seq,
                     const event_id *b);
} chain_view;

int frontier_entry_cmp(const frontier_entry *a, const frontier_entry *b);

void frontier_release(frontier *f);
static inline void frontier_clear(frontier *f)
{
    f->n = 0;
}
/* Adds one entry; a double is ignored. Cheap in sorted order. ERR_NO_MEMORY, or ERR_TOO_LARGE at
 * FRONTIER_MAX. */
err_t frontier_add(frontier *f, const frontier_entry *e) CAIRN_CHECK;
/* Replaces the content by `n` entries in any order: O(n log n). Same errors; f is then empty. */
err_t frontier_set(frontier *f, const frontier_entry *e, size_t n) CAIRN_CHECK;
bool frontier_has(const frontier *f, const frontier_entry *e);
/* The entries of one feed: index of the first, *n how many. */
size_t frontier_feed(const frontier *f, feed_id feed, size_t *n);
/* Drops entries that are ancestors of other ones. Asks `view` only about feeds with several
 * entries. */
void frontier_prune(frontier *f, const chain_view *view);

void frontier_digest(const frontier *f, uint8_t out[FRONTIER_DIGEST_BYTES]);
/* Which of the 64 buckets a feed falls into: the top 6 bits of feed * 0x9e3779b1 modulo 2^32. */
unsigned frontier_bucket(feed_id feed);
/* For each bucket the first 8 bytes, big-endian, of the digest of its entries alone; 0 for an empty
 * bucket. */
void frontier_buckets(const frontier *f, uint64_t out[FRONTIER_BUCKETS]);

#endif
