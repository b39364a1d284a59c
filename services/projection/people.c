#include "projection/people.h"

#include "proto/row.h"
#include "pure/chain.h"

#include <stdio.h>
#include <stdlib.h>

#define AUTHORS_MAX 64u

/* The first event of a chain of number 1. */
typedef struct root {
    struct root *next;
    feed_id feed;
    event_id id;
    uint8_t flags;
    size_t len;
    uint8_t body[];
} root;

struct people {
    dataset_id dataset;
    uint64_t seed;
    roster *roster;
    uint64_t void_mark;
    roster_lists_room *room;
    root *roots;
    member_key founder; /* named by genesis */
};

people *people_new(const dataset_id *dataset, uint64_t seed)
{
    people *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->dataset = *dataset;
    p->seed = seed;
    p->room = malloc(sizeof *p->room);
    p->roster = roster_new(dataset, NULL, seed);
    if (p->room == NULL || p->roster == NULL)
        people_free(&p);
    return p;
}

void people_free(people **at)
{
    people *p = *at;
    *at = NULL;
    if (p == NULL)
        return;
    if (p->roster != NULL)
        roster_free(&p->roster);
    people_forget_roots(p);
    free(p->room);
    free(p);
}

/* ---- filling ---- */

void people_forget_roots(people *p)
{
    while (p->roots != NULL) {
        root *r = p->roots;
        p->roots = r->next;
        free(r);
    }
}

err_t people_root(people *p, const stored_row *row)
{
    root *r = malloc(sizeof *r + row->body.len);
    if (r == NULL)
        return ERR_NO_MEMORY;
    *r = (root){p->roots, row->feed, row->id, row->flags, row->body.len};
    memcpy(r->body, row->body.p, row->body.len);
    p->roots = r;
    return ERR_OK;
}

/* The chain that begins with this event is by this key: its id says so. */
static bool is_root_of(const people *p, const root *r, const member_key *key)
{
    event_view v;
    event_id id;
    bytes body = bytes_of(r->body, r->len);
    err_t e = r->flags & ROW_ERASED ? event_parse_erased(body, &v) : event_parse(body, &v);
    if (e != ERR_OK)
        return false;
    if (memcmp(r->id.b, p->dataset.b, sizeof r->id.b) == 0)
        chain_start_genesis(&id, key);
    else
        chain_start(&id, &p->dataset, r->feed, key);
    chain_next_event(&id, &id, 1, &v);
    return event_id_eq(&id, &r->id);
}

/* May the event lie on the chain that begins there? An heir writes founder.replace and nothing else. */
static bool may_begin(const people *p, const root *r, const people_event *e, bool replaces,
                      const member_key *key)
{
    if (r->feed != e->feed || (e->seq == 1 && !event_id_eq(&r->id, &e->id)))
        return false;
    return roster_is_heir(p->roster, key) == replaces && is_root_of(p, r, key);
}

static bool has_roots(const people *p, feed_id feed)
{
    for (const root *r = p->roots; r != NULL; r = r->next)
        if (r->feed == feed)
            return true;
    return false;
}

static bool author_by_root(const people *p, const people_event *e, bool replaces,
                           const member_key *keys, size_t n, member_key *out)
{
    for (const root *r = p->roots; r != NULL; r = r->next)
        for (size_t i = 0; i < n; i++)
            if (may_begin(p, r, e, replaces, &keys[i])) {
                *out = keys[i];
                return true;
            }
    return false;
}

/* Which key made the chain of this event? Rows do not say, and verifying the chain is merge's work. Genesis names its
 * own; number 1's chains are told by their roots; else it is one of the keys known for the feed, nearly always the only
 * one. */
static bool author_of(people *p, const people_event *e, member_key *out)
{
    member_key keys[AUTHORS_MAX];
    roster_event content;
    roster_kind kind;
    if (!roster_kind_of(e->kind, &kind))
        return false;
    if (kind == ROSTER_EV_GENESIS) {
        if (roster_event_read(kind, e->payload, p->room, &content) != ERR_OK)
            return false;
        *out = p->founder = content.key;
        return true;
    }
    size_t n = roster_author(p->roster, e->feed, keys, AUTHORS_MAX);
    n = n < AUTHORS_MAX ? n : AUTHORS_MAX;
    if (has_roots(p, e->feed))
        return author_by_root(p, e, kind == ROSTER_EV_REPLACE, keys, n, out);
    if (n > 0)
        *out = keys[0];
    return n > 0;
}

static bool voids_references(people *p, const people_event *e)
{
    roster_event content;
    roster_kind kind;
    return roster_kind_of(e->kind, &kind) && kind == ROSTER_EV_REMOVE &&
           roster_event_read(kind, e->payload, p->room, &content) == ERR_OK && content.n_forks > 0;
}

/* False when its author is not known yet. */
static err_t fold_one(people *p, const people_event *e, bool *folded)
{
    roster_input in = {e->feed, e->seq, e->id, {{0}}, e->stamp, e->kind, e->payload};
    *folded = author_of(p, e, &in.author);
    if (!*folded)
        return ERR_OK;
    if (voids_references(p, e))
        p->void_mark ^= get_u64be(e->id.b);
    err_t got = roster_fold(p->roster, &in);
    return got == ERR_NO_MEMORY ? got : ERR_OK; /* what means nothing is left out */
}

/* Whoever is added may add others, so it goes round until nobody new is met. */
static err_t fold_all(people *p, const people_event *events, size_t n, bool *folded)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < n; i++) {
            if (folded[i])
                continue;
            TRY(fold_one(p, &events[i], &folded[i]));
            more = more || folded[i];
        }
    }
    return ERR_OK;
}

err_t people_fold(people *p, const people_event *events, size_t n)
{
    roster *fresh = roster_new(&p->dataset, NULL, p->seed);
    bool *folded = calloc(n + 1, sizeof *folded);
    if (fresh == NULL || folded == NULL) {
        if (fresh != NULL)
            roster_free(&fresh);
        free(folded);
        return ERR_NO_MEMORY;
    }
    roster_free(&p->roster);
    p->roster = fresh;
    p->void_mark = 0;
    err_t e = fold_all(p, events, n, folded);
    free(folded);
    return e;
}

/* ---- asking ---- */

/* Of several keys under one number the first one is who is meant; of founders the one of genesis: successors write records
 * under their own numbers. */
static const roster_member *shown_as(const people *p, member_no number)
{
    const roster_member *first =
        number == ROSTER_FOUNDER_NUMBER ? roster_find(p->roster, number, &p->founder) : NULL;
    return first != NULL ? first : roster_member_of(p->roster, number);
}

err_t people_store(const people *p, view_db *db)
{
    size_t n = roster_members(p->roster);
    char(*names)[NAME_MAX_BYTES + 1] = calloc(n + 1, sizeof *names);
    view_member *rows = calloc(n + 1, sizeof *rows);
    err_t e = names == NULL || rows == NULL ? ERR_NO_MEMORY : ERR_OK;
    size_t k = 0;
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        const roster_member *m = roster_at(p->roster, i);
        if (m != shown_as(p, m->number))
            continue;
        if (m->name[0] != '\0')
            memcpy(names[k], m->name, sizeof names[k]);
        else
            snprintf(names[k], sizeof names[k], "member %u", (unsigned)m->number);
        rows[k] = (view_member){m->number, names[k], roster_role_name(m->role), m->removed};
        k++;
    }
    if (e == ERR_OK)
        e = view_db_set_members(db, rows, k);
    free(names);
    free(rows);
    return e;
}

bool people_barred(const void *ctx, feed_id by, feed_id feed, uint64_t seq)
{
    return roster_refs_void(((const people *)ctx)->roster, by, feed, seq);
}

uint64_t people_void_mark(const people *p)
{
    return p->void_mark;
}

bool people_may_erase(const people *p, feed_id by, feed_id target)
{
    const roster_member *who = roster_member_of(p->roster, feed_member(by));
    const roster_member *whose = roster_member_of(p->roster, feed_member(target));
    return who != NULL && whose != NULL &&
           roster_may_erase(p->roster, by, &who->key, target, &whose->key);
}
