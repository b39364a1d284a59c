/* Merge, and of the store as much as gossip asks, on a thread of the test: a roster and a frontier that the test writes
 * by hand, runs taken and kept, members enrolled. It answers at the node's run directory. What goes wrong inside fails
 * the test. */
#ifndef CAIRN_FAKE_MERGE_H
#define CAIRN_FAKE_MERGE_H

#include "proto/msg.h"
#include "pure/frontier.h"
#include "shell/home.h"

typedef struct fake_merge fake_merge;

/* Begins answering at once, as the node of member 1. `home` is borrowed. */
fake_merge *fake_merge_new(const cairn_home *home);
void fake_merge_free(fake_merge **m);
/* Closes its sockets, as a killed process does, and opens them again. */
void fake_merge_stop(fake_merge *m);
void fake_merge_start(fake_merge *m);

/* Adds a member or changes its state (member_row.state) and rings. Its key is made from its number. */
void fake_merge_member(fake_merge *m, member_no number, const char *name, uint8_t role,
                       const transport_key *transport, uint8_t state);
/* Where the node stands from now on; rings. */
void fake_merge_frontier(fake_merge *m, const frontier_entry *e, size_t n);
/* Joins are answered with this error; ERR_OK enrols again. */
void fake_merge_refuse_adds(fake_merge *m, err_t e);
/* Waits until so many requests of this type were answered (fails after 30 s). */
void fake_merge_await(fake_merge *m, uint16_t type, uint64_t times);
uint64_t fake_merge_asked(fake_merge *m, uint16_t type);
/* Copies the newest run that was offered; the caller releases it. */
void fake_merge_taken(fake_merge *m, buf *out);
size_t fake_merge_members(fake_merge *m);

#endif
