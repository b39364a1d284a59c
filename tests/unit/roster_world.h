/* A small world for tests of the roster: events by anybody, told or not told to a node. Keys and ids are made of small
 * numbers; no signature is needed, the roster is told whose chain an event is in. */
#ifndef CAIRN_TESTS_ROSTER_WORLD_H
#define CAIRN_TESTS_ROSTER_WORLD_H

#include "pure/roster.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define WORLD_EVENTS 96
#define WORLD_LIST   6

typedef enum {
    PLAIN = -1
} world_plain; /* kinds beside roster_kind: an event that is none of the roster's */

typedef struct {
    feed_id feed;
    int key; /* author */
    uint64_t seq;
    int parent; /* -1 at seq 1 */
    event_id id;
    uint64_t wall;
    int kind;
    member_no number; /* add, remove */
    int target;       /* key: add, genesis, replace */
    int heir;
    roster_role role;
    uint16_t lo, hi;
    int heads[WORLD_LIST], n_heads; /* events */
    roster_fork forks[WORLD_LIST];
    int n_forks;
    int supersedes[WORLD_LIST], n_supersedes;
} world_event;

typedef struct {
    world_event e[WORLD_EVENTS];
    int n;
    bool held[WORLD_EVENTS]; /* by the node under test */
    size_t asked;            /* calls of meet */
} world;

static inline member_key world_key(int k)
{
    member_key key = {{0}};
    put_u32be(key.b, (uint32_t)k + 1);
    return key;
}

static inline transport_key world_transport(member_no number, int k)
{
    transport_key key = {{0}};
    put_u32be(key.b, (uint32_t)number << 16 | (uint32_t)(k + 1));
    return key;
}

static inline event_id world_id(int i)
{
    event_id id = {{0}};
    put_u32be(id.b, (uint32_t)i * 0x9e3779b1u);
    put_u32be(id.b + 28, (uint32_t)i + 1);
    return id;
}

/* Adds an event after `parent` (or the start of a chain of `key`); the caller fills in what its kind has. Held. */
static inline int world_add(world *w, feed_id feed, int key, int parent, int kind)
{
    cr_assert(w->n < WORLD_EVENTS);
    int i = w->n++;
    w->e[i] = (world_event){.feed = feed,
                            .key = key,
                            .parent = parent,
                            .seq = parent < 0 ? 1 : w->e[parent].seq + 1,
                            .id = world_id(i),
                            .wall = 1000 + (uint64_t)i,
                            .kind = kind};
    w->held[i] = true;
    return i;
}

static inline int world_find(const world *w, feed_id feed, uint64_t seq, const event_id *id)
{
    for (int i = 0; i < w->n; i++)
        if (w->e[i].feed == feed && w->e[i].seq == seq && event_id_eq(&w->e[i].id, id))
            return i;
    return -1;
}

static inline bool world_holds(void *ctx, feed_id feed, uint64_t seq, const event_id *id)
{
    const world *w = ctx;
    int i = world_find(w, feed, seq, id);
    return i >= 0 && w->held[i];
}

/* a is b or an ancestor of it. */
static inline bool world_leads_to(const world *w, int a, int b)
{
    while (b >= 0 && b != a)
        b = w->e[b].parent;
    return b == a;
}

static inline uint64_t world_meet(void *ctx, feed_id feed, uint64_t a_seq, const event_id *a,
                                  uint64_t b_seq, const event_id *b)
{
    world *w = ctx;
    w->asked++;
    int x = world_find(w, feed, a_seq, a), y = world_find(w, feed, b_seq, b);
    cr_assert(x >= 0 && y >= 0 && w->held[x] && w->held[y], "meet is asked about held events only");
    while (x >= 0 && !world_leads_to(w, x, y))
        x = w->e[x].parent;
    return x < 0 ? 0 : w->e[x].seq;
}

static inline roster *world_roster(world *w)
{
    dataset_id dataset;
    memcpy(dataset.b, w->e[0].id.b, sizeof dataset.b);
    roster *r = roster_new(&dataset, &(chain_view){w, world_holds, world_meet}, 42);
    cr_assert(r);
    return r;
}

static inline void world_payload(const world *w, int i, buf *out)
{
    const world_event *e = &w->e[i];
    roster_head heads[WORLD_LIST];
    event_id supersedes[WORLD_LIST];
    for (int k = 0; k < e->n_heads; k++) {
        const world_event *h = &w->e[e->heads[k]];
        heads[k] = (roster_head){feed_incarnation(h->feed), h->seq, h->id};
    }
    for (int k = 0; k < e->n_supersedes; k++)
        supersedes[k] = w->e[e->supersedes[k]].id;
    char name[24];
    int len = snprintf(name, sizeof name, "name %d", i);
    roster_event in = {.kind = (roster_kind)e->kind,
                       .number = e->number,
                       .role = e->role,
                       .lo = e->lo,
                       .hi = e->hi,
                       .key = world_key(e->target),
                       .heir = world_key(e->heir),
                       .has_transport = true,
                       .transport =
                           world_transport(e->kind == ROSTER_EV_ADD ? e->number : 1, e->target),
                       .name = bytes_of(name, (size_t)len),
                       .title = bytes_str("A survey"),
                       .heads = heads,
                       .n_heads = (size_t)e->n_heads,
                       .forks = e->forks,
                       .n_forks = (size_t)e->n_forks,
                       .supersedes = supersedes,
                       .n_supersedes = (size_t)e->n_supersedes};
    cr_assert_eq(roster_event_write(&in, out), ERR_OK);
}

/* Tells the roster of an event; anything but a roster event is only held. */
static inline err_t world_tell(const world *w, roster *r, int i)
{
    static const char *const kinds[] = {"genesis", "member.add", "member.remove",
                                        "founder.replace"};
    const world_event *e = &w->e[i];
    if (e->kind == PLAIN)
        return ERR_OK;
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    world_payload(w, i, &payload);
    roster_input in = {.feed = e->feed,
                       .seq = e->seq,
                       .id = e->id,
                       .author = world_key(e->key),
                       .stamp = {e->wall, 0},
                       .kind = bytes_str(kinds[e->kind]),
                       .payload = buf_view(&payload)};
    err_t err = roster_fold(r, &in);
    buf_release(&payload);
    return err;
}

static inline roster_verdict_t world_verdict(const world *w, const roster *r, int i)
{
    const world_event *e = &w->e[i];
    member_key key = world_key(e->key);
    return roster_verdict(r, e->feed, &key, e->seq, &e->id);
}

/* Genesis by key 0 with heir key 1: every world begins so. */
static inline void world_begin(world *w)
{
    memset(w, 0, sizeof *w);
    int g = world_add(w, 1, 0, -1, ROSTER_EV_GENESIS);
    w->e[g].target = 0;
    w->e[g].heir = 1;
}

static inline int world_member(world *w, feed_id feed, int key, int parent, member_no number,
                               int target, roster_role role)
{
    int i = world_add(w, feed, key, parent, ROSTER_EV_ADD);
    w->e[i].number = number;
    w->e[i].target = target;
    w->e[i].role = role;
    return i;
}

static inline int world_coordinator(world *w, int parent, member_no number, int target, uint16_t lo,
                                    uint16_t hi)
{
    int i = world_member(w, 1, 0, parent, number, target, ROSTER_ROLE_COORDINATOR);
    w->e[i].lo = lo;
    w->e[i].hi = hi;
    return i;
}

/* Heads: events, ended by -1. */
static inline int world_list(world *w, int key, int parent, int kind, const int *heads)
{
    int i = world_add(w, 1, key, parent, kind);
    for (; *heads >= 0; heads++)
        w->e[i].heads[w->e[i].n_heads++] = *heads;
    return i;
}

static inline int world_removal(world *w, int key, int parent, member_no number, const int *heads)
{
    int i = world_list(w, key, parent, ROSTER_EV_REMOVE, heads);
    w->e[i].number = number;
    return i;
}

static inline int world_replace(world *w, int heir, int parent, int successor, int next_heir,
                                const int *heads)
{
    int i = world_list(w, heir, parent, ROSTER_EV_REPLACE, heads);
    w->e[i].target = successor;
    w->e[i].heir = next_heir;
    return i;
}

#define HEADS(...) ((const int[]){__VA_ARGS__, -1})
#define NO_HEADS   ((const int[]){-1})

#endif
