/* Where runs end that somebody has: the events up to there need not be written again. Filled from an earlier bundle
 * and while writing one, so that branches of a fork share their common part. */
#ifndef CAIRN_BUNDLE_ENDS_H
#define CAIRN_BUNDLE_ENDS_H

#include "pure/frontier.h"
#include "pure/run.h"

typedef struct {
    frontier_entry *at;
    size_t n, cap;
    bool sorted;
} bundle_ends;

void bundle_ends_release(bundle_ends *e);
/* Hashes the run to learn the id it ends with. ERR_NO_MEMORY, or the gate's errors. */
err_t bundle_ends_add(bundle_ends *e, const run *r) CAIRN_CHECK;
/* The last end of this feed with a seq up to `before`, NULL for none. Sorts when needed: valid until the next add. */
const frontier_entry *bundle_ends_before(bundle_ends *e, feed_id feed, uint64_t before);
/* Reads the whole bundle FILE. False, with a line in `why`, when it cannot be read or is of another dataset; what was
 * whole of one that was cut short counts. */
bool bundle_ends_read(bundle_ends *e, const char *path, const dataset_id *dataset, buf *why);

#endif
