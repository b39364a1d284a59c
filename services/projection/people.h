/* Who the members are, from the roster's events as the store holds them: names for people, and the references that a
 * removal voids (fine print 14). Verdicts on events are merge's: the flags of the rows say them. */
#ifndef CAIRN_PEOPLE_H
#define CAIRN_PEOPLE_H

#include "projection/view_db.h"
#include "proto/msg.h"
#include "pure/roster.h"

typedef struct people people;

/* `seed` salts hash tables. NULL: out of memory. */
people *people_new(const dataset_id *dataset, uint64_t seed);
void people_free(people **p);

#define PEOPLE_ROOTS_MAX 256u

/* An event at seq 1 of a feed of number 1: there several keys may have chains. Copied; told before people_fold. */
err_t people_root(people *p, const stored_row *row) CAIRN_CHECK;
void people_forget_roots(people *p);

/* One counting event of the stream cairn/members. Everything is copied. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    event_id id;
    hlc_stamp stamp;
    bytes kind, payload;
} people_event;
/* The whole stream; replaces what was known. */
err_t people_fold(people *p, const people_event *events, size_t n) CAIRN_CHECK;
/* Writes the table of members. */
err_t people_store(const people *p, view_db *db) CAIRN_CHECK;

/* refs_barred of pure/refs.h; ctx is a people. */
bool people_barred(const void *ctx, feed_id by, feed_id feed, uint64_t seq);
/* Changes when the answers of people_barred may have changed: then every stream has to be folded again. */
uint64_t people_void_mark(const people *p);
/* May an event.erase by one feed hide an event of another? */
bool people_may_erase(const people *p, feed_id by, feed_id target);

#endif
