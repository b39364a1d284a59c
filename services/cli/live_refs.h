/* What an edit made here and now replaces: the live writes of the fields it writes (design section 3). */
#ifndef CAIRN_LIVE_REFS_H
#define CAIRN_LIVE_REFS_H

#include "cli/node.h"

typedef struct {
    ref_row refs[REPLACES_MAX];
    size_t n;
    buf words; /* one line per replaced write, for people */
} live_refs;

void live_refs_init(live_refs *l);
void live_refs_release(live_refs *l);

/* Adds the live writes of `record` for the fields that are keys of the map `fields`; of every thing when `fields` is
 * empty. ERR_TOO_LARGE when there are more than REPLACES_MAX. */
err_t live_refs_take(live_refs *l, const record_reply *record, bytes fields) CAIRN_CHECK;
/* Adds one given as text FEED:SEQ:PREFIX. ERR_INVALID, ERR_TOO_LARGE. */
err_t live_refs_add(live_refs *l, const char *text) CAIRN_CHECK;

#endif
