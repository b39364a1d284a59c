/* Checks seals in threads, one per core, while the caller hashes. */
#ifndef CAIRN_VERIFY_SEALS_H
#define CAIRN_VERIFY_SEALS_H

#include "base/error.h"
#include "base/ids.h"

typedef struct {
    feed_id feed;
    uint64_t seq, offset; /* offset of the row, to tell which bad one comes first */
    event_id id;
    seal_sig seal;
    member_key author;
} seal_job;

typedef struct {
    uint64_t checked, bad;
    seal_job first_bad; /* the one with the lowest offset, if any is bad */
} seal_tally;

typedef struct verify_seals verify_seals;

/* NULL when out of memory. Without threads to be had, the caller's own does the work. */
verify_seals *verify_seals_new(const dataset_id *dataset, unsigned threads);
/* Waits for what is under way. */
void verify_seals_free(verify_seals *p);

/* Copies the job; waits while too many are queued. From one thread only. */
void verify_seals_add(verify_seals *p, const seal_job *job);
/* Waits until all that was added is checked. */
seal_tally verify_seals_finish(verify_seals *p);

#endif
