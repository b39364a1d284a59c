/* A store on a thread of the test, for service tests of its neighbours: the real core on the memory database, answering
 * at the node's run directory, with a log that the test writes by hand. What goes wrong inside fails the test.
 *
 * It can stop answering, come back, and become another store (a new epoch) while the service under test is running. */
#ifndef CAIRN_FAKE_STORE_H
#define CAIRN_FAKE_STORE_H

#include "proto/event.h"
#include "proto/msg.h"
#include "shell/home.h"

typedef struct fake_store fake_store;

/* Begins answering at once. `home` is borrowed. */
fake_store *fake_store_new(const cairn_home *home);
void fake_store_free(fake_store **s);

/* Closes its sockets, as a killed process does, and opens them again; the log stays. */
void fake_store_stop(fake_store *s);
void fake_store_start(fake_store *s);
/* Another store under the same name: empty, new epoch. */
void fake_store_replace(fake_store *s);

/* What a test says of an event; zero means the default. */
typedef struct {
    feed_id feed; /* 0: feed 1 */
    const char *category, *stream, *kind;
    bytes payload, attributes; /* payload absent: an empty map */
    uint64_t wall_ms;          /* 0: a second after the newest event so far */
    uint32_t replaces[8];      /* numbers of events, as fake_store_append returned them */
    size_t n_replaces;
    uint32_t
        after; /* number + 1 of the event it follows in its chain; 0: the feed's newest. Anything else
                                     than the newest forks the feed */
    bool not_counting;
} fake_event;

/* The dataset whose genesis is the fake's own. */
void fake_dataset(dataset_id *out);
/* The founder "base camp" as the first event of feed 1. Before anything else in that feed. */
uint32_t fake_store_genesis(fake_store *s);
/* Adds a field member, by the founder. */
uint32_t fake_store_member(fake_store *s, member_no number, const char *name);
/* Removes a member, by the founder: of its feeds only what leads to event `head` goes on counting (verdicts are the
 * test's affair), and its incarnation is listed as forked from fork_seq on, if not 0. */
uint32_t fake_store_remove(fake_store *s, member_no number, uint32_t head, uint64_t fork_seq);

/* Returns the event's number in this test (from 0). */
uint32_t fake_store_append(fake_store *s, const fake_event *e);
/* Many in one transaction: between the two nobody hears of anything. */
void fake_store_begin(fake_store *s);
void fake_store_commit(fake_store *s);
event_ref fake_store_ref(fake_store *s, uint32_t number);
event_id fake_store_id(fake_store *s, uint32_t number);
/* A new verdict on an event: a changed row. */
void fake_store_verdict(fake_store *s, uint32_t number, bool counts);
/* The tail leaves this node. */
void fake_store_erase(fake_store *s, uint32_t number, bool hidden, bool at_once);
uint64_t fake_store_head(fake_store *s);
/* Requests answered so far, of this type (0: of all). */
uint64_t fake_store_asked(fake_store *s, uint16_t type);

#endif
