/* Feeds that have forked, and on which branch each of their events lies (what pure/refs.h asks its caller for). A feed
 * that never forked costs one entry here. */
#ifndef CAIRN_FORKS_H
#define CAIRN_FORKS_H

#include "proto/msg.h"
#include "pure/refs.h"

typedef struct forks forks;

forks *forks_new(void); /* NULL: out of memory */
void forks_free(forks **f);
void forks_clear(forks *f);

/* Begins anew with the tips of all feeds as the store has them now: whoever has several must be loaded. */
err_t forks_set_tips(forks *f, const tips_reply *tips) CAIRN_CHECK;
/* A row in order of arrival. A row that does not follow the newest one of its feed begins a branch. */
err_t forks_meet(forks *f, const stored_row *row) CAIRN_CHECK;
/* A feed whose rows have to be loaded, by read_feed from seq 1 on: load_begin, load_row …, load_end. */
bool forks_wants(const forks *f, feed_id *feed);
void forks_load_begin(forks *f, feed_id feed);
err_t forks_load_row(forks *f, const stored_row *row) CAIRN_CHECK;
void forks_load_end(forks *f, feed_id feed);

/* Labels everything anew if anything has changed. Afterwards the two below may be asked. */
err_t forks_label(forks *f) CAIRN_CHECK;
const refs_branch *forks_branches(const forks *f, uint32_t *n);
uint32_t forks_branch_of(const forks *f, feed_id feed, uint64_t seq, uint64_t offset);

#endif
