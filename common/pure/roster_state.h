/* Internal to the roster: what its files share. */
#ifndef CAIRN_ROSTER_STATE_H
#define CAIRN_ROSTER_STATE_H

#include "pure/roster.h"
#include "pure/roster_table.h"

typedef struct deed deed;
typedef struct person person;
typedef struct slot slot;

/* One roster event. */
struct deed {
    deed *next_authored; /* by the same person */
    deed *
        next_target; /* adds: to the same person; genesis, replace: naming the same founder; removals: of a slot */
    deed *next_list;      /* with heads */
    deed *next_grant;     /* coordinators added under number 1 */
    deed *next_transport; /* adds and the like with one transport key */
    deed *next_queued;
    person *author;
    person *target; /* the person added, the founder named; NULL for a removal */
    person *heir;   /* genesis, replace */
    slot *removed;  /* removal */
    feed_id feed;
    uint64_t seq;
    event_id id;
    hlc_stamp stamp;
    roster_kind kind;
    roster_role role; /* add: as it takes effect */
    roster_range range;
    bool counts;
    bool reached;    /* it would count if nobody had ever been cut */
    bool superseded; /* a removal that a counting one supersedes */
    bool has_transport;
    transport_key transport;
    uint8_t sealing[ROSTER_SEALING_BYTES];
    const char *name, *title; /* this and the lists lie behind the struct */
    frontier_entry *heads;
    size_t n_heads;
    roster_fork *forks;
    size_t n_forks;
    event_id *supersedes;
    size_t n_supersedes;
};

/* A number and a key. */
struct person {
    person *next; /* under the same number */
    slot *at;
    member_key key;
    deed *authored;
    deed *named;        /* adds of it; for number 1 genesis and replaces naming it as founder */
    unsigned adds[4];   /* counting adds by role */
    unsigned reached;   /* adds that count or would but for a cut */
    bool founder, heir; /* titles of number 1 */
    bool fresh;         /* `shown` is up to date */
    roster_member shown;
};

/* A number. */
struct slot {
    member_no number;
    bool queued, changed;
    slot *next_queued;
    person *people;
    deed *removals;
};

#define SLOT_PAGE 256u

typedef struct {
    const roster_member **at;
    size_t n, cap;
    uint64_t version;
    bool valid;
} member_cache;

struct roster {
    dataset_id dataset;
    chain_view view; /* holds NULL: nothing is held */
    uint64_t salt;
    uint64_t version;
    size_t n_changed;
    size_t n_people;
    slot *pages[UINT16_MAX / SLOT_PAGE + 1]; /* SLOT_PAGE slots each, made when first needed */
    slot *queue;
    roster_table deeds, people, heads, transports;
    deed *lists, *grants, *genesis;
    member_cache *cache;
    roster_lists_room room;
};

typedef struct {
    member_no number;
    const member_key *key;
} person_key;

/* NULL when never heard of. */
slot *roster_slot(const roster *r, member_no number);
person *roster_person(const roster *r, member_no number, const member_key *key);
deed *roster_deed(const roster *r, const event_id *id);
deed *roster_transport_deed(const roster *r, const transport_key *t);

/* The lists that cut a person's chains, one after the other; `it` starts as {0}. */
typedef struct {
    bool started;
    const deed *tenure, *list;
} list_iter;
const deed *roster_next_list(const person *p, list_iter *it);
static inline bool roster_is_cut(const person *p)
{
    return roster_next_list(p, &(list_iter){0}) != NULL;
}

/* All lists of its author allow the place of this event. */
bool roster_allows(const roster *r, const person *p, feed_id feed, uint64_t seq,
                   const event_id *id);
static inline unsigned roster_writes(const person *p)
{
    return p->adds[ROSTER_ROLE_COORDINATOR] + p->adds[ROSTER_ROLE_FIELD];
}

#endif
