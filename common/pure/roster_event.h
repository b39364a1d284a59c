/* Payloads of the roster's events: category "cairn", stream "members", in the writer's routine
 * feed. Maps with sorted keys; keys not named here are ignored, so that later versions may add some.
 *
 *   genesis          feed 1, seq 1, by `key`; its id is the dataset id
 *       heir: bin 32, key: bin 32, name: str, random: bin 16, sealing?: bin 32, title: str,
 *       transport: bin 32
 *   member.add       `numbers` grants a range to a coordinator, if a founder adds it; one that a
 *                    coordinator adds counts as field
 *       key: bin 32, name: str, number: u16, numbers?: [lo, hi],
 *       role: "coordinator" | "field" | "reader", sealing?: bin 32, transport: bin 32
 *   member.remove
 *       forks: [[incarnation, seq] …], heads: [[incarnation, seq, id] …], number: u16,
 *       supersedes: [id …]
 *   founder.replace  feed 1, by an heir; `key` is the successor's
 *       heads: [[incarnation, seq, id] …], heir: bin 32, key: bin 32, name?: str,
 *       sealing?: bin 32, transport?: bin 32
 *
 * `incarnation` is the upper 16 bits of a feed, class included (rules.md 7). A list has at most
 * ROSTER_LIST_MAX rows. */
#ifndef CAIRN_ROSTER_EVENT_H
#define CAIRN_ROSTER_EVENT_H

#include "base/buf.h"
#include "base/ids.h"
#include "proto/event.h"

#define ROSTER_CATEGORY     EVENT_OWN_CATEGORY
#define ROSTER_STREAM       "members"
#define ROSTER_KIND_GENESIS "genesis"
#define ROSTER_KIND_ADD     "member.add"
#define ROSTER_KIND_REMOVE  "member.remove"
#define ROSTER_KIND_REPLACE "founder.replace"

#define ROSTER_FOUNDER_NUMBER ((member_no)1)
#define ROSTER_FOUNDER_FEED   ((feed_id)1)
#define ROSTER_RANDOM_BYTES   16u
#define ROSTER_SEALING_BYTES  32u
#define ROSTER_LIST_MAX       1024u /* 1,024 heads of 45 bytes fit into one event */

/* Numbers as in member_row of proto/merge.def. */
typedef enum {
    ROSTER_ROLE_FOUNDER = 0,
    ROSTER_ROLE_COORDINATOR = 1,
    ROSTER_ROLE_FIELD = 2,
    ROSTER_ROLE_READER = 3
} roster_role;
const char *roster_role_name(roster_role role);
bool roster_role_of(bytes name, roster_role *out);

typedef struct {
    uint16_t incarnation;
    uint64_t seq;
    event_id id;
} roster_head;
typedef struct {
    uint16_t incarnation;
    uint64_t seq;
} roster_fork;

typedef enum {
    ROSTER_EV_GENESIS,
    ROSTER_EV_ADD,
    ROSTER_EV_REMOVE,
    ROSTER_EV_REPLACE,
    ROSTER_EV_COUNT
} roster_kind;

/* All fields of all kinds; what a kind does not have is zero. Views and lists borrow (see below).
 */
typedef struct {
    roster_kind kind;
    member_no number; /* add, remove */
    roster_role role; /* add */
    uint16_t lo, hi;  /* add: granted numbers, both inclusive; 0, 0 for none */
    member_key key;   /* genesis: founder; add: member; replace: successor */
    member_key heir;  /* genesis, replace */
    bool has_transport, has_sealing;
    transport_key transport;
    uint8_t sealing[ROSTER_SEALING_BYTES];
    uint8_t random[ROSTER_RANDOM_BYTES]; /* genesis */
    bytes name, title;                   /* title: genesis */
    const roster_head *heads;            /* remove, replace */
    size_t n_heads;
    const roster_fork *forks; /* remove */
    size_t n_forks;
    const event_id *supersedes; /* remove */
    size_t n_supersedes;
} roster_event;

/* Appends the payload of in->kind, canonical. ERR_OUT_OF_RANGE: a name, title or list beyond its
 * bound, number 0, an empty name, role founder, lo > hi; ERR_NO_MEMORY, ERR_TOO_LARGE. */
err_t roster_event_write(const roster_event *in, buf *out) CAIRN_CHECK;

/* Lists need room: the caller lends it. */
typedef struct {
    roster_head heads[ROSTER_LIST_MAX];
    roster_fork forks[ROSTER_LIST_MAX];
    event_id supersedes[ROSTER_LIST_MAX];
} roster_lists_room;

bool roster_kind_of(bytes kind, roster_kind *out);
/* Text borrows `payload`, lists lie in `room`. ERR_MALFORMED and friends: not a payload of this
 * kind. */
err_t roster_event_read(roster_kind kind, bytes payload, roster_lists_room *room,
                        roster_event *out) CAIRN_CHECK;

#endif
