#include "pure/roster_state.h"

#include <stdlib.h>

/* ---- pass 2: lists and what they leave ---- */

/* founder.replace events by the heir of this tenure, from `d` on. */
static const deed *next_replace(const deed *d)
{
    while (d && !(d->kind == ROSTER_EV_REPLACE && d->counts))
        d = d->next_authored;
    return d;
}

static const deed *next_tenure(const deed *t)
{
    while (t && !t->counts)
        t = t->next_target;
    return t;
}

static const deed *next_removal(const deed *d)
{
    while (d && !(d->counts && !d->superseded))
        d = d->next_target;
    return d;
}

/* A founder's key is cut by the heirs of all its tenures; other keys by the removals of their number. */
static const deed *next_founder_list(const person *p, list_iter *it)
{
    if (!it->started)
        it->tenure = next_tenure(p->named);
    const deed *list = it->started && it->list ? next_replace(it->list->next_authored) : NULL;
    if (!it->started && it->tenure)
        list = next_replace(it->tenure->heir->authored);
    it->started = true;
    while (!list && it->tenure) {
        it->tenure = next_tenure(it->tenure->next_target);
        if (it->tenure)
            list = next_replace(it->tenure->heir->authored);
    }
    return it->list = list;
}

const deed *roster_next_list(const person *p, list_iter *it)
{
    if (p->at->number == ROSTER_FOUNDER_NUMBER)
        return next_founder_list(p, it);
    it->list = next_removal(it->started ? it->list->next_target : p->at->removals);
    it->started = true;
    return it->list;
}

static bool holds(const roster *r, const frontier_entry *h)
{
    return r->view.holds && r->view.holds(r->view.ctx, h->feed, h->seq, &h->id);
}

/* How far a list lets the branch go that ends in (seq, id): until a listed id is held, up to its seq; once held, as far
 * as both share their chain. */
static uint64_t left_by_list(const roster *r, const deed *list, feed_id feed, uint64_t seq,
                             const event_id *id)
{
    uint64_t left = 0;
    for (size_t i = 0; i < list->n_heads && left < seq; i++) {
        const frontier_entry *h = &list->heads[i];
        if (h->feed != feed)
            continue;
        uint64_t upto = holds(r, h) ? r->view.meet(r->view.ctx, feed, seq, id, h->seq, &h->id)
                                    : (h->seq < seq ? h->seq : seq);
        left = upto > left ? upto : left;
    }
    return left;
}

/* Nothing cuts genesis, whatever the lists forgot. */
static bool begins_with_genesis(const roster *r, feed_id feed, uint64_t seq, const event_id *id)
{
    if (!r->genesis || feed != ROSTER_FOUNDER_FEED)
        return false;
    const event_id *first = &r->genesis->id;
    if (seq == 1 || !holds(r, &(frontier_entry){feed, 1, *first}))
        return seq == 1 && event_id_eq(id, first);
    return r->view.meet(r->view.ctx, feed, seq, id, 1, first) == 1;
}

static uint64_t left_by_all(const roster *r, const person *p, feed_id feed, uint64_t seq,
                            const event_id *id)
{
    uint64_t left = seq;
    list_iter it = {0};
    for (const deed *list; left > 0 && (list = roster_next_list(p, &it));) {
        uint64_t upto = left_by_list(r, list, feed, seq, id);
        left = upto < left ? upto : left;
    }
    return left == 0 && begins_with_genesis(r, feed, seq, id) ? 1 : left;
}

bool roster_allows(const roster *r, const person *p, feed_id feed, uint64_t seq, const event_id *id)
{
    return left_by_all(r, p, feed, seq, id) == seq;
}

/* ---- verdicts ---- */

const char *roster_why(roster_verdict_t v)
{
    static const char *const words[] = {
        [ROSTER_COUNTS] = "counts",
        [ROSTER_UNKNOWN] = "its author is not a member of this dataset",
        [ROSTER_ORPHANED] = "whoever added its author was removed",
        [ROSTER_READER] = "its author may read but not write",
        [ROSTER_REMOVED] = "its author was removed before it",
        [ROSTER_RESERVED] = "its feed is of a class that has no meaning yet",
    };
    return (unsigned)v < sizeof words / sizeof *words ? words[v] : "unknown";
}

err_t roster_err(roster_verdict_t v)
{
    static const err_t errors[] = {
        [ROSTER_COUNTS] = ERR_OK,           [ROSTER_UNKNOWN] = ERR_NOT_MEMBER,
        [ROSTER_ORPHANED] = ERR_NOT_MEMBER, [ROSTER_READER] = ERR_FORBIDDEN,
        [ROSTER_REMOVED] = ERR_REMOVED,     [ROSTER_RESERVED] = ERR_FORBIDDEN,
    };
    return (unsigned)v < sizeof errors / sizeof *errors ? errors[v] : ERR_BUG;
}

static bool is_heirs_feed(const person *p, feed_id feed)
{
    return feed == ROSTER_FOUNDER_FEED && p->heir;
}

/* Whether this key has any place in this feed, cuts aside. */
static roster_verdict_t place(const person *p, feed_id feed)
{
    if (feed_class_of(feed) == CLASS_RESERVED)
        return ROSTER_RESERVED;
    if (!p)
        return ROSTER_UNKNOWN;
    if (p->at->number == ROSTER_FOUNDER_NUMBER)
        return p->founder || is_heirs_feed(p, feed) ? ROSTER_COUNTS : ROSTER_UNKNOWN;
    if (roster_writes(p) > 0)
        return ROSTER_COUNTS;
    if (p->adds[ROSTER_ROLE_READER] > 0)
        return ROSTER_READER;
    return p->reached > 0 ? ROSTER_ORPHANED : ROSTER_UNKNOWN;
}

uint64_t roster_cut(const roster *r, feed_id feed, const member_key *key, uint64_t seq,
                    const event_id *id, roster_verdict_t *why)
{
    const person *p = roster_person(r, feed_member(feed), key);
    roster_verdict_t v = place(p, feed);
    uint64_t left = 0;
    if (v == ROSTER_COUNTS) {
        left = is_heirs_feed(p, feed) ? seq : left_by_all(r, p, feed, seq, id);
        v = left == seq ? ROSTER_COUNTS : ROSTER_REMOVED;
    }
    if (why)
        *why = v;
    return left;
}

roster_verdict_t roster_verdict(const roster *r, feed_id feed, const member_key *key, uint64_t seq,
                                const event_id *id)
{
    roster_verdict_t v;
    (void)roster_cut(r, feed, key, seq, id, &v);
    return v;
}

roster_verdict_t roster_admits(const roster *r, feed_id feed, const member_key *key,
                               uint64_t first_seq)
{
    const person *p = roster_person(r, feed_member(feed), key);
    roster_verdict_t v = place(p, feed);
    if (v != ROSTER_COUNTS || !roster_is_cut(p) || is_heirs_feed(p, feed))
        return v;
    if (r->genesis && p == r->genesis->author && feed == ROSTER_FOUNDER_FEED && first_seq <= 1)
        return ROSTER_COUNTS;
    list_iter it = {0};
    for (const deed *list; (list = roster_next_list(p, &it));)
        for (size_t i = 0; i < list->n_heads; i++)
            if (list->heads[i].feed == feed && list->heads[i].seq >= first_seq)
                return ROSTER_COUNTS;
    return ROSTER_REMOVED;
}

/* Inserts into a sorted array of which only the first `max` are kept. */
static void keep_key(member_key *out, size_t n, size_t max, const member_key *key)
{
    size_t i = n < max ? n : max;
    for (; i > 0 && memcmp(key->b, out[i - 1].b, sizeof key->b) < 0; i--)
        if (i < max)
            out[i] = out[i - 1];
    if (i < max)
        out[i] = *key;
}

/* Once true it stays so, whoever is removed later: what is stored keeps its author. */
static bool ever_admitted(const person *p, feed_id feed)
{
    return p->at->number == ROSTER_FOUNDER_NUMBER ? p->founder || is_heirs_feed(p, feed)
                                                  : p->reached > 0;
}

size_t roster_author(const roster *r, feed_id feed, member_key *out, size_t max)
{
    size_t n = 0;
    const slot *s = roster_slot(r, feed_member(feed));
    for (const person *p = s ? s->people : NULL; p; p = p->next)
        if (ever_admitted(p, feed))
            keep_key(out, n++, max, &p->key);
    return n;
}

bool roster_refs_void(const roster *r, feed_id from, feed_id feed, uint64_t seq)
{
    const slot *s = roster_slot(r, feed_member(feed));
    if (!s || feed_member(from) == feed_member(feed))
        return false;
    for (const deed *d = next_removal(s->removals); d; d = next_removal(d->next_target))
        for (size_t i = 0; i < d->n_forks; i++)
            if (d->forks[i].incarnation == feed_incarnation(feed) && seq >= d->forks[i].seq)
                return true;
    return false;
}

/* Some run by one of its keys would be admitted. */
static bool has_author(const roster *r, feed_id feed)
{
    const slot *s = roster_slot(r, feed_member(feed));
    for (const person *p = s ? s->people : NULL; p; p = p->next)
        if (place(p, feed) == ROSTER_COUNTS)
            return true;
    return false;
}

err_t roster_wanted(const roster *r, frontier *out)
{
    frontier_clear(out);
    size_t n = 0, most = 0;
    for (const deed *d = r->lists; d; d = d->next_list)
        most += d->counts && !d->superseded ? d->n_heads : 0;
    if (most == 0)
        return ERR_OK;
    frontier_entry *at = calloc(most, sizeof *at);
    if (!at)
        return ERR_NO_MEMORY;
    for (const deed *d = r->lists; d; d = d->next_list)
        for (size_t i = 0; i < d->n_heads && d->counts && !d->superseded; i++)
            if (has_author(r, d->heads[i].feed) && !holds(r, &d->heads[i]))
                at[n++] = d->heads[i];
    err_t e = frontier_set(out, at, n < FRONTIER_MAX ? n : FRONTIER_MAX);
    free(at);
    return e;
}

static bool grants(const person *p)
{
    for (const deed *d = p->named; d; d = d->next_target)
        if (d->role == ROSTER_ROLE_COORDINATOR && d->counts)
            return true;
    return false;
}

bool roster_is_roster_feed(const roster *r, feed_id feed)
{
    if (feed_class_of(feed) == CLASS_BULK || feed_class_of(feed) == CLASS_RESERVED)
        return false;
    if (feed_member(feed) == ROSTER_FOUNDER_NUMBER)
        return true;
    const slot *s = roster_slot(r, feed_member(feed));
    for (const person *p = s ? s->people : NULL; p; p = p->next)
        if (grants(p))
            return true;
    return false;
}

uint64_t roster_version(const roster *r)
{
    return r->version;
}

size_t roster_take_changed(roster *r, member_no *out, size_t max)
{
    size_t n = 0;
    for (unsigned number = 0; number <= UINT16_MAX && r->n_changed > 0 && n < max; number++) {
        slot *s = roster_slot(r, (member_no)number);
        if (!s || !s->changed)
            continue;
        s->changed = false;
        r->n_changed--;
        out[n++] = s->number;
    }
    return n;
}
