/* The membership, folded from its events: same events, same verdicts, in any order of arrival
 * (rules.md 11, 13-17).
 *
 * Titles, each judged from the ones above it only, so the least set reached from genesis is found
 * in four passes and no verdict can depend on itself:
 *
 * 1. Heirs and founders: genesis names a founder's key and an heir's; founder.replace in feed 1
 *    under an heir's key names the next ones. Nothing cuts these events: this part only grows.
 * 2. Cuts of founders: a founder.replace leaves of the keys it replaces what leads to its heads.
 * 3. What founders do within their cuts: add, grant, remove. Number 1 is neither added nor removed.
 * 4. What coordinators add: by a number and key that a founder granted ranges, within the cuts of
 *    its number.
 *
 * A cut is a question about the chain of the event and the listed heads (chain_view), never about
 * verdicts. Adds by coordinators grant nothing, so judging again after a new event ends at once.
 *
 * Rules: two keys under one number are two chains; adds of one key unite (ranges unite, the
 * strongest role holds); an add never lifts a removal: a removed machine joins under a new number.
 * Of several removals of one number all must allow an event, those aside that a counting removal of
 * the same number supersedes; likewise all founder.replace of one key. Class 3 is folded by nobody.
 * Events by readers do not count. Genesis always counts. */
#ifndef CAIRN_ROSTER_H
#define CAIRN_ROSTER_H

#include "base/buf.h"
#include "base/error.h"
#include "base/ids.h"
#include "pure/frontier.h"
#include "pure/roster_event.h"

typedef struct roster roster;

/* ---- filling ---- */
/* `view` (copied) is asked about chains of number 1 and of removed members; without it (NULL) every
 * listed head is taken as not held, which is enough to know who is a member, not for verdicts
 * behind a fork. `seed` salts the hash tables. NULL when out of memory. */
roster *roster_new(const dataset_id *dataset, const chain_view *view, uint64_t seed);
void roster_free(roster **r);

/* One event of category "cairn", stream "members"; `view` already shows it as held. All is copied. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    event_id id;
    member_key author; /* the key by which the chain verifies */
    hlc_stamp stamp;   /* only decides which of several names and transport keys is shown */
    bytes kind, payload;
} roster_input;

/* ERR_OK also when it does not count (yet). ERR_DUPLICATE; ERR_MALFORMED or ERR_FORBIDDEN when it
 * can never mean anything (left out: the event itself still counts in its feed); ERR_NO_MEMORY. */
err_t roster_fold(roster *r, const roster_input *in) CAIRN_CHECK;
/* To be told of every event stored, or at least of those for which roster_lists(): a listed head
 * that is now held narrows its cut. Cheap while nobody is removed. */
void roster_stored(roster *r, feed_id feed, uint64_t seq, const event_id *id);
bool roster_lists(const roster *r, feed_id feed, uint64_t seq, const event_id *id);

/* ---- verdicts ---- */
typedef enum {
    ROSTER_COUNTS,
    ROSTER_UNKNOWN,  /* no counting event gives this key this number */
    ROSTER_ORPHANED, /* whoever added it was cut off */
    ROSTER_READER,   /* may read, not write */
    ROSTER_REMOVED,  /* beyond what a removal (number 1: a founder.replace) leaves */
    ROSTER_RESERVED  /* class 3 */
} roster_verdict_t;
const char *roster_why(roster_verdict_t v); /* in words */
err_t roster_err(roster_verdict_t v); /* ERR_OK, ERR_NOT_MEMBER, ERR_REMOVED or ERR_FORBIDDEN */

roster_verdict_t roster_verdict(const roster *r, feed_id feed, const member_key *key, uint64_t seq,
                                const event_id *id);
/* The highest seq that counts on the branch ending in the held event (seq, id); 0 for none, seq
 * itself when nothing cuts it. What counts on a branch is always its beginning. *why, if not NULL,
 * says why it ends. */
uint64_t roster_cut(const roster *r, feed_id feed, const member_key *key, uint64_t seq,
                    const event_id *id, roster_verdict_t *why);
/* May a run by this key be stored whose first event is first_seq? Yes if something in it may count
 * or leads to a listed head (whether it counts or not): ROSTER_COUNTS; else why not. */
roster_verdict_t roster_admits(const roster *r, feed_id feed, const member_key *key,
                               uint64_t first_seq);
/* Keys whose chains may stand in this feed or once might: also of removed, orphaned and reading
 * members, for feed 1 also heirs. A run is by one of these or it is dropped; whether it is let in now
 * says roster_admits. No key ever leaves, so what is stored keeps its author. Returns how many there
 * are, writes at most max, in order of key. */
size_t roster_author(const roster *r, feed_id feed, member_key *out, size_t max);
/* A reference from an event of `from` to (feed, seq) counts as none: seq lies in a fork that a
 * removal lists. */
bool roster_refs_void(const roster *r, feed_id from, feed_id feed, uint64_t seq);
/* Heads that counting lists name and that are not held, into `out` (cleared first): to be fetched
 * and admitted outside of the frontier. ERR_NO_MEMORY; at FRONTIER_MAX the rest is left out for
 * now. */
err_t roster_wanted(const roster *r, frontier *out) CAIRN_CHECK;
/* Feeds whose runs are wanted before others: number 1 and coordinators, not bulk. */
bool roster_is_roster_feed(const roster *r, feed_id feed);

/* Grows whenever a verdict, a member or refs_void may have changed. */
uint64_t roster_version(const roster *r);
/* Takes up to max numbers whose events' verdicts (or the validity of references to them) may have
 * changed since they were taken last, ascending. Returns how many it wrote: call until 0. */
size_t roster_take_changed(roster *r, member_no *out, size_t max);

/* ---- members ---- */
typedef struct {
    member_no number;
    member_key key;
    roster_role role;
    bool removed;  /* a counting removal names its number, or a founder.replace its founder's key */
    bool orphaned; /* once added, but whoever did was cut off: a founder can add it again, same
                      number and key */
    bool has_transport;
    transport_key transport;
    uint8_t sealing[ROSTER_SEALING_BYTES]; /* zero when not given */
    char name[NAME_MAX_BYTES + 1];         /* UTF-8; of number 1 never empty */
    member_no added_by;                    /* 1 for founders themselves */
} roster_member;

/* All that were ever added by somebody entitled to, sorted by (number, key). Pointers hold until
 * the next roster_fold, roster_stored or roster_free. roster_members returns how many; 0 also when
 * out of memory. */
size_t roster_members(const roster *r);
const roster_member *roster_at(const roster *r, size_t i);
/* The first of a number (founder keys that are not replaced come first), or NULL. */
const roster_member *roster_member_of(const roster *r, member_no number);
const roster_member *roster_find(const roster *r, member_no number, const member_key *key);
/* Who may connect with this CURVE key: neither removed nor orphaned; the lowest number. NULL:
 * nobody, fail closed. */
const roster_member *roster_by_transport_key(const roster *r, const transport_key *t);
const char *roster_title(const roster *r); /* empty before genesis */

/* ---- who may do what, now (for this node's own events and for `event.erase`) ---- */
/* A founder's key, also a replaced one: what it did within its cut keeps its rights (erasures). */
bool roster_is_founder(const roster *r, member_no number, const member_key *key);
bool roster_is_heir(const roster *r, const member_key *key);
typedef enum {
    ROSTER_HEIR_NONE,   /* no founder ever named this key */
    ROSTER_HEIR_STANDS, /* it may replace the founder */
    ROSTER_HEIR_USED /* it did: a newer heir stands. Who still has it could replace that founder again (rules.md 13) */
} roster_heir_t;
roster_heir_t roster_heir(const roster *r, const member_key *key);
/* A founder.replace by this heir cuts the chains of that founder's key. */
bool roster_heir_cuts(const roster *r, const member_key *heir, const member_key *founder);
typedef enum {
    ROSTER_MAY_WRITE,
    ROSTER_MAY_ADD,   /* the number in `target`; 0: some number */
    ROSTER_MAY_GRANT, /* make coordinators */
    ROSTER_MAY_REMOVE /* the number in `target` */
} roster_action;
bool roster_may(const roster *r, member_no number, const member_key *key, roster_action action,
                member_no target);
/* A counting event.erase by one chain of an event of another: by its author (same number and key)
 * or a founder. That the target is neither of category "cairn" nor itself an erasure is for the
 * caller to see (rules.md 17). */
bool roster_may_erase(const roster *r, feed_id by, const member_key *by_key, feed_id target,
                      const member_key *target_key);
/* The lowest number that this key may add and that nobody who may has used yet; 0 for none. */
member_no roster_free_number(const roster *r, member_no number, const member_key *key);
/* Where the next coordinator's range of `size` numbers fits, above all ranges and numbers in use; 0
 * for nowhere. */
member_no roster_free_range(const roster *r, unsigned size);
/* Ids of the counting removals of a number that no other one supersedes, for `supersedes`: same
 * return as roster_author, in no particular order. */
size_t roster_removals(const roster *r, member_no number, event_id *out, size_t max);
/* Number ranges granted to a key by all its adds, counting or orphaned: to add it again with. Same
 * return. */
typedef struct {
    uint16_t lo, hi;
} roster_range;
size_t roster_grants(const roster *r, member_no number, const member_key *key, roster_range *out,
                     size_t max);

#endif
