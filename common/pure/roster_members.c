#include "pure/roster_state.h"

#include <stdlib.h>

/* ---- what is shown of a person ---- */

/* The newest event that names it: counting ones before others, then as the design orders writes. */
static bool shown_before(const deed *a, const deed *b)
{
    if (a->counts != b->counts)
        return a->counts;
    int c = hlc_cmp(a->stamp, b->stamp);
    if (c == 0)
        c = frontier_entry_cmp(&(frontier_entry){a->feed, a->seq, a->id},
                               &(frontier_entry){b->feed, b->seq, b->id});
    return c > 0;
}

static bool has_name(const deed *d)
{
    return d->name[0] != 0;
}

static bool has_transport(const deed *d)
{
    return d->has_transport;
}

static const deed *newest(const person *p, bool (*fits)(const deed *d))
{
    const deed *best = NULL;
    for (const deed *d = p->named; d; d = d->next_target)
        if ((d->counts || d->reached) && fits(d) && (!best || shown_before(d, best)))
            best = d;
    return best;
}

static roster_role role_of(const person *p)
{
    if (p->founder)
        return ROSTER_ROLE_FOUNDER;
    roster_role best = ROSTER_ROLE_READER; /* the strongest has the lowest number */
    bool counting = p->adds[ROSTER_ROLE_READER] + roster_writes(p) > 0;
    for (const deed *d = p->named; d; d = d->next_target)
        if ((counting ? d->counts : d->reached) && d->role < best)
            best = d->role;
    return best;
}

static void refresh(const roster *r, person *p)
{
    if (p->fresh)
        return;
    roster_member *m = &p->shown;
    *m = (roster_member){.number = p->at->number, .key = p->key, .role = role_of(p)};
    m->removed = roster_is_cut(p);
    m->orphaned = !p->founder && p->adds[ROSTER_ROLE_READER] + roster_writes(p) == 0;
    const deed *named = newest(p, has_name), *reachable = newest(p, has_transport);
    if (!named)
        named = r->genesis;
    if (named)
        memcpy(m->name, named->name, strlen(named->name));
    if (reachable) {
        m->has_transport = true;
        m->transport = reachable->transport;
        memcpy(m->sealing, reachable->sealing, sizeof m->sealing);
    }
    m->added_by = p->founder || !named ? ROSTER_FOUNDER_NUMBER : feed_member(named->feed);
    p->fresh = true;
}

static bool is_shown(const person *p)
{
    return p->founder || p->reached > 0;
}

static const roster_member *show(const roster *r, person *p)
{
    if (!p || !is_shown(p))
        return NULL;
    refresh(r, p);
    return &p->shown;
}

/* ---- all of them ---- */

static int by_number_and_key(const void *a, const void *b)
{
    const roster_member *x = *(const roster_member *const *)a;
    const roster_member *y = *(const roster_member *const *)b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return memcmp(x->key.b, y->key.b, sizeof x->key.b);
}

size_t roster_members(const roster *r)
{
    member_cache *c = r->cache;
    if (c->valid && c->version == r->version)
        return c->n;
    c->n = 0;
    c->valid = false;
    if (c->cap < r->n_people) {
        const roster_member **at = realloc(c->at, r->n_people * sizeof *at);
        if (!at)
            return 0;
        c->at = at;
        c->cap = r->n_people;
    }
    for (size_t i = 0; i < r->people.places; i++) {
        const roster_member *m = show(r, r->people.items[i]);
        if (m)
            c->at[c->n++] = m;
    }
    if (c->n > 1)
        qsort(c->at, c->n, sizeof *c->at, by_number_and_key);
    c->valid = true;
    c->version = r->version;
    return c->n;
}

const roster_member *roster_at(const roster *r, size_t i)
{
    return i < roster_members(r) ? r->cache->at[i] : NULL;
}

/* ---- single ones ---- */

const roster_member *roster_find(const roster *r, member_no number, const member_key *key)
{
    return show(r, roster_person(r, number, key));
}

static bool preferred(const roster_member *a, const roster_member *b)
{
    if (a->removed != b->removed)
        return b->removed;
    if (a->orphaned != b->orphaned)
        return b->orphaned;
    return memcmp(a->key.b, b->key.b, sizeof a->key.b) < 0;
}

const roster_member *roster_member_of(const roster *r, member_no number)
{
    const roster_member *best = NULL;
    const slot *s = roster_slot(r, number);
    for (person *p = s ? s->people : NULL; p; p = p->next) {
        const roster_member *m = show(r, p);
        if (m && (!best || preferred(m, best)))
            best = m;
    }
    return best;
}

const roster_member *roster_by_transport_key(const roster *r, const transport_key *t)
{
    const roster_member *best = NULL;
    for (const deed *d = roster_transport_deed(r, t); d; d = d->next_transport) {
        const roster_member *m = show(r, d->target);
        bool holds = m && m->has_transport && !m->removed && !m->orphaned &&
                     memcmp(m->transport.b, t->b, sizeof t->b) == 0;
        if (holds && (!best || by_number_and_key(&m, &best) < 0))
            best = m;
    }
    return best;
}

const char *roster_title(const roster *r)
{
    return r->genesis ? r->genesis->title : "";
}

/* ---- rights ---- */

static const person *founder(const roster *r, member_no number, const member_key *key)
{
    const person *p = number == ROSTER_FOUNDER_NUMBER ? roster_person(r, number, key) : NULL;
    return p && p->founder ? p : NULL;
}

bool roster_is_founder(const roster *r, member_no number, const member_key *key)
{
    return founder(r, number, key) != NULL;
}

bool roster_is_heir(const roster *r, const member_key *key)
{
    const person *p = roster_person(r, ROSTER_FOUNDER_NUMBER, key);
    return p && p->heir;
}

roster_heir_t roster_heir(const roster *r, const member_key *key)
{
    const person *p = roster_person(r, ROSTER_FOUNDER_NUMBER, key);
    if (!p || !p->heir)
        return ROSTER_HEIR_NONE;
    for (const deed *d = p->authored; d; d = d->next_authored)
        if (d->kind == ROSTER_EV_REPLACE && d->counts)
            return ROSTER_HEIR_USED;
    return ROSTER_HEIR_STANDS;
}

bool roster_heir_cuts(const roster *r, const member_key *heir, const member_key *key)
{
    const person *p = founder(r, ROSTER_FOUNDER_NUMBER, key);
    const person *h = roster_person(r, ROSTER_FOUNDER_NUMBER, heir);
    for (const deed *d = p ? p->named : NULL; d; d = d->next_target)
        if (d->counts && d->heir == h)
            return true;
    return false;
}

static bool may_add(const person *p, member_no target)
{
    for (const deed *d = p->named; d; d = d->next_target)
        if (d->role == ROSTER_ROLE_COORDINATOR && d->counts && d->range.hi > 0 &&
            (target == 0 || (target >= d->range.lo && target <= d->range.hi)))
            return true;
    return false;
}

bool roster_may(const roster *r, member_no number, const member_key *key, roster_action action,
                member_no target)
{
    const person *p = roster_person(r, number, key);
    if (!p || roster_is_cut(p))
        return false;
    if (action != ROSTER_MAY_WRITE && target == ROSTER_FOUNDER_NUMBER)
        return false;
    if (number == ROSTER_FOUNDER_NUMBER)
        return p->founder;
    if (action == ROSTER_MAY_WRITE)
        return roster_writes(p) > 0;
    return action == ROSTER_MAY_ADD && may_add(p, target);
}

bool roster_may_erase(const roster *r, feed_id by, const member_key *by_key, feed_id target,
                      const member_key *target_key)
{
    bool author = feed_member(by) == feed_member(target) &&
                  memcmp(by_key->b, target_key->b, sizeof by_key->b) == 0;
    return author || roster_is_founder(r, feed_member(by), by_key);
}

/* ---- numbers ---- */

static bool in_use(const roster *r, member_no number)
{
    const slot *s = roster_slot(r, number);
    if (!s)
        return false;
    for (const person *p = s->people; p; p = p->next)
        if (p->reached > 0)
            return true;
    return false;
}

static bool in_some_range(const roster *r, member_no number)
{
    for (const deed *g = r->grants; g; g = g->next_grant)
        if (g->counts && number >= g->range.lo && number <= g->range.hi)
            return true;
    return false;
}

member_no roster_free_number(const roster *r, member_no number, const member_key *key)
{
    bool is_founder = founder(r, number, key) != NULL;
    for (unsigned n = ROSTER_FOUNDER_NUMBER + 1; n <= UINT16_MAX; n++) {
        member_no m = (member_no)n;
        if (in_use(r, m) || !roster_may(r, number, key, ROSTER_MAY_ADD, m))
            continue;
        if (!is_founder || !in_some_range(r, m))
            return m;
    }
    return 0;
}

member_no roster_free_range(const roster *r, unsigned size)
{
    unsigned top = UINT16_MAX;
    while (top > ROSTER_FOUNDER_NUMBER && !in_use(r, (member_no)top))
        top--;
    for (const deed *g = r->grants; g; g = g->next_grant)
        if (g->counts && g->range.hi > top)
            top = g->range.hi;
    return size > 0 && top + size <= UINT16_MAX ? (member_no)(top + 1) : 0;
}

size_t roster_removals(const roster *r, member_no number, event_id *out, size_t max)
{
    size_t n = 0;
    const slot *s = roster_slot(r, number);
    for (const deed *d = s ? s->removals : NULL; d; d = d->next_target) {
        if (!d->counts || d->superseded)
            continue;
        if (n < max)
            out[n] = d->id;
        n++;
    }
    return n;
}

size_t roster_grants(const roster *r, member_no number, const member_key *key, roster_range *out,
                     size_t max)
{
    size_t n = 0;
    const person *p = roster_person(r, number, key);
    for (const deed *d = p ? p->named : NULL; d; d = d->next_target) {
        if (d->role != ROSTER_ROLE_COORDINATOR || !d->reached || d->range.hi == 0)
            continue;
        if (n < max)
            out[n] = d->range;
        n++;
    }
    return n;
}
