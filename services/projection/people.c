#include "projection/people.h"

#include <stdio.h>
#include <stdlib.h>

#define AUTHORS_MAX 16u

struct people {
    dataset_id dataset;
    uint64_t seed;
    roster *roster;
    uint64_t void_mark;
    roster_lists_room *room;
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
    free(p->room);
    free(p);
}

/* ---- filling ---- */

/* Which key made the chain of this event? Rows do not say, and verifying the chain is merge's work. Genesis names its
 * own; a founder.replace is an heir's; else it is one of the keys known for the feed, nearly always the only one. */
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
        *out = content.key;
        return true;
    }
    size_t n = roster_author(p->roster, e->feed, keys, AUTHORS_MAX), found = 0;
    for (size_t i = n < AUTHORS_MAX ? n : AUTHORS_MAX; i-- > 0;)
        if (found == 0 || roster_is_heir(p->roster, &keys[i]) == (kind == ROSTER_EV_REPLACE)) {
            *out = keys[i];
            found++;
        }
    return found > 0;
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

err_t people_store(const people *p, view_db *db)
{
    size_t n = roster_members(p->roster);
    char(*names)[NAME_MAX_BYTES + 1] = calloc(n + 1, sizeof *names);
    view_member *rows = calloc(n + 1, sizeof *rows);
    err_t e = names == NULL || rows == NULL ? ERR_NO_MEMORY : ERR_OK;
    size_t k = 0;
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        const roster_member *m = roster_at(p->roster, i);
        if (m != roster_member_of(p->roster, m->number))
            continue; /* a second key under one number: the first one is who is meant */
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
