/* Re-hashes every chain from the rows of the log in order of offset, and collects the seals to be checked. No I/O of
 * its own. Keys come out of the log itself: the genesis event makes the dataset id, the roster's events that follow
 * from it say whose key each feed is by. So nothing is believed but the dataset id. */
#ifndef CAIRN_VERIFY_CHAIN_H
#define CAIRN_VERIFY_CHAIN_H

#include "cli/verify_seals.h"
#include "proto/msg.h"

typedef struct {
    uint64_t offset; /* 0: none */
    feed_id feed;
    uint64_t seq;
    char what[ERROR_TEXT_MAX_BYTES];
} verify_fault;

typedef struct verify_chain verify_chain;

/* One row again, by offset: for an event that follows one in the middle of its feed (a fork). ERR_OK also when it is
 * damaged; what the row borrows must hold until the next call. */
typedef err_t verify_row_fn(void *ctx, uint64_t offset, stored_row *row);

/* `salt` is random and salts hash tables. `seals` and `ctx` are borrowed. NULL when out of memory. */
verify_chain *verify_chain_new(const dataset_id *dataset, uint64_t salt, verify_seals *seals,
                               verify_row_fn *fetch, void *ctx);
void verify_chain_free(verify_chain *c);

/* The next row. ERR_OK also when it is bad (see verify_chain_bad); ERR_NO_MEMORY, or what `fetch` says. */
err_t verify_chain_row(verify_chain *c, const stored_row *row) CAIRN_CHECK;
/* Does a chain that was read end in this event, as the index says? Else it counts as bad. */
void verify_chain_tip(verify_chain *c, const tip_row *tip);

typedef struct {
    uint64_t events;
    uint64_t unsealed;  /* at the ends of the chains, under no seal yet */
    uint64_t bad;       /* seals aside */
    verify_fault first; /* the bad event with the lowest offset */
} verify_counts;
verify_counts verify_chain_counts(const verify_chain *c);

#endif
