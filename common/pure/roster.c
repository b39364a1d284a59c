#include "pure/roster.h"

#include "pure/roster_state.h"

#include <assert.h>
#include <stdlib.h>

/* ---- tables ---- */

static uint64_t hash_person(const roster *r, member_no number, const member_key *key)
{
    return roster_table_hash(r->salt + number, key->b, sizeof key->b);
}

static uint64_t hash_id(const roster *r, const event_id *id)
{
    return roster_table_hash(r->salt, id->b, sizeof id->b);
}

static uint64_t hash_head(const roster *r, const frontier_entry *e)
{
    return roster_table_hash(r->salt + e->feed + (e->seq << 32), e->id.b, sizeof e->id.b);
}

static uint64_t hash_transport(const roster *r, const transport_key *t)
{
    return roster_table_hash(r->salt, t->b, sizeof t->b);
}

static bool same_person(const void *item, const void *key)
{
    const person *p = item;
    const person_key *k = key;
    return p->at->number == k->number && memcmp(p->key.b, k->key->b, sizeof p->key.b) == 0;
}

static bool same_deed(const void *item, const void *key)
{
    return event_id_eq(&((const deed *)item)->id, key);
}

static bool same_head(const void *item, const void *key)
{
    return frontier_entry_cmp(item, key) == 0;
}

static bool same_transport(const void *item, const void *key)
{
    return memcmp(((const deed *)item)->transport.b, key, TRANSPORT_KEY_BYTES) == 0;
}

slot *roster_slot(const roster *r, member_no number)
{
    slot *page = r->pages[number / SLOT_PAGE];
    return page ? &page[number % SLOT_PAGE] : NULL;
}

person *roster_person(const roster *r, member_no number, const member_key *key)
{
    return roster_table_find(&r->people, hash_person(r, number, key), same_person,
                             &(person_key){number, key});
}

deed *roster_deed(const roster *r, const event_id *id)
{
    return roster_table_find(&r->deeds, hash_id(r, id), same_deed, id);
}

deed *roster_transport_deed(const roster *r, const transport_key *t)
{
    return roster_table_find(&r->transports, hash_transport(r, t), same_transport, t);
}

static slot *make_slot(roster *r, member_no number)
{
    slot **page = &r->pages[number / SLOT_PAGE];
    if (!*page) {
        *page = calloc(SLOT_PAGE, sizeof **page);
        for (unsigned i = 0; *page && i < SLOT_PAGE; i++)
            (*page)[i].number = (member_no)(number - number % SLOT_PAGE + i);
    }
    return roster_slot(r, number);
}

/* Finds or makes; a person nobody added yet means nothing. NULL: out of memory. */
static person *make_person(roster *r, member_no number, const member_key *key)
{
    person *p = roster_person(r, number, key);
    slot *s = p ? p->at : make_slot(r, number);
    if (p || !s || roster_table_reserve(&r->people, 1) != ERR_OK)
        return p;
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->at = s;
    p->key = *key;
    p->next = s->people;
    s->people = p;
    r->n_people++;
    roster_table_put(&r->people, hash_person(r, number, key), p);
    return p;
}

/* ---- life ---- */

roster *roster_new(const dataset_id *dataset, const chain_view *view, uint64_t seed)
{
    roster *r = calloc(1, sizeof *r);
    member_cache *cache = calloc(1, sizeof *cache);
    if (!r || !cache) {
        free(r);
        free(cache);
        return NULL;
    }
    r->dataset = *dataset;
    r->cache = cache;
    r->salt = seed;
    if (view)
        r->view = *view;
    return r;
}

void roster_free(roster **pr)
{
    roster *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    for (size_t i = 0; i < r->deeds.places; i++)
        free(r->deeds.items[i]);
    for (size_t i = 0; i < r->people.places; i++)
        free(r->people.items[i]);
    for (size_t i = 0; i < sizeof r->pages / sizeof *r->pages; i++)
        free(r->pages[i]);
    roster_table_release(&r->deeds);
    roster_table_release(&r->people);
    roster_table_release(&r->heads);
    roster_table_release(&r->transports);
    free(r->cache->at);
    free(r->cache);
    free(r);
}

/* ---- what has to be judged again, and what others have to hear ---- */

static void queue(roster *r, slot *s)
{
    if (s->queued)
        return;
    s->queued = true;
    s->next_queued = r->queue;
    r->queue = s;
}

static void mark_changed(roster *r, slot *s)
{
    r->version++;
    r->n_changed += !s->changed;
    s->changed = true;
}

/* ---- judging ---- */

static bool granted(const person *author, member_no number, bool cuts)
{
    for (const deed *g = author->named; g; g = g->next_target)
        if (g->role == ROSTER_ROLE_COORDINATOR && (cuts ? g->counts : g->reached) &&
            number >= g->range.lo && number <= g->range.hi)
            return true;
    return false;
}

/* Whether its author may do this: as things are, or if nobody had ever been cut. */
static bool entitled(const roster *r, const deed *d, bool cuts)
{
    const person *a = d->author;
    bool may = a->at->number == ROSTER_FOUNDER_NUMBER
                   ? a->founder
                   : d->kind == ROSTER_EV_ADD && granted(a, d->target->at->number, cuts);
    return may && (!cuts || roster_allows(r, a, d->feed, d->seq, &d->id));
}

/* Who may write: two persons of one standing get the same verdicts. */
static unsigned standing(const person *p)
{
    return (unsigned)(roster_writes(p) > 0) << 2 |
           (unsigned)(p->adds[ROSTER_ROLE_READER] > 0) << 1 | (unsigned)(p->reached > 0);
}

static void settle_add(roster *r, deed *d, bool counts, bool reached)
{
    person *p = d->target;
    unsigned before = standing(p);
    p->adds[d->role] += (unsigned)counts - (unsigned)d->counts;
    p->reached += (unsigned)reached - (unsigned)d->reached;
    d->counts = counts;
    d->reached = reached;
    p->fresh = false;
    r->version++;
    if (standing(p) != before)
        mark_changed(r, p->at);
    if (d->role == ROSTER_ROLE_COORDINATOR)
        queue(r, p->at);
}

static void supersede(roster *r, slot *s)
{
    for (deed *d = s->removals; d; d = d->next_target)
        d->superseded = false;
    for (const deed *d = s->removals; d; d = d->next_target)
        for (size_t i = 0; d->counts && i < d->n_supersedes; i++) {
            deed *old = roster_deed(r, &d->supersedes[i]);
            if (old && old->removed == s)
                old->superseded = true;
        }
}

static void freshen(slot *s)
{
    for (person *p = s->people; p; p = p->next)
        p->fresh = false;
}

static void settle_removal(roster *r, deed *d, bool counts, bool reached)
{
    d->counts = counts;
    d->reached = reached;
    supersede(r, d->removed);
    freshen(d->removed);
    mark_changed(r, d->removed);
    queue(r, d->removed);
}

static void settle(roster *r, deed *d)
{
    if (d->kind != ROSTER_EV_ADD && d->kind != ROSTER_EV_REMOVE)
        return;
    bool counts = entitled(r, d, true), reached = entitled(r, d, false);
    if (counts == d->counts && reached == d->reached)
        return;
    if (d->kind == ROSTER_EV_ADD)
        settle_add(r, d, counts, reached);
    else
        settle_removal(r, d, counts, reached);
}

/* Passes 3 and 4. Founders' deeds queue the numbers whose grants or removals they change; coordinators' deeds queue
 * nothing (an add by a coordinator never makes one), so this ends. */
static void judge_queued(roster *r)
{
    while (r->queue) {
        slot *s = r->queue;
        r->queue = s->next_queued;
        s->queued = false;
        for (person *p = s->people; p; p = p->next)
            for (deed *d = p->authored; d; d = d->next_authored)
                settle(r, d);
    }
}

/* Pass 1: a genesis or founder.replace that counts, and every founder.replace that its heir makes count. Only ever
 * grows. Pass 2 is asked when needed: roster_next_list. */
static void crown(roster *r, deed *first)
{
    deed *todo = first;
    while (todo) {
        deed *d = todo;
        todo = d->next_queued;
        if (d->counts)
            continue;
        d->counts = d->reached = true;
        d->target->founder = true;
        if (d->heir->heir)
            continue;
        d->heir->heir = true;
        for (deed *next = d->heir->authored; next; next = next->next_authored)
            if (next->kind == ROSTER_EV_REPLACE && !next->counts) {
                next->next_queued = todo;
                todo = next;
            }
    }
    freshen(first->target->at);
    mark_changed(r, first->target->at);
    queue(r, first->target->at);
}

/* ---- taking an event in ---- */

/* Places where an event of this kind means nothing, whoever wrote it. */
static bool misplaced(const roster *r, roster_kind kind, const roster_input *in)
{
    if (feed_class_of(in->feed) == CLASS_RESERVED || in->seq == 0)
        return true;
    switch (kind) {
    case ROSTER_EV_GENESIS:
        return in->feed != ROSTER_FOUNDER_FEED || in->seq != 1 ||
               memcmp(in->id.b, r->dataset.b, sizeof in->id.b) != 0;
    case ROSTER_EV_REPLACE:
        return in->feed != ROSTER_FOUNDER_FEED;
    case ROSTER_EV_REMOVE:
        return feed_member(in->feed) != ROSTER_FOUNDER_NUMBER;
    default:
        return false;
    }
}

static size_t trailing_bytes(const roster_event *e)
{
    return e->n_heads * sizeof(frontier_entry) + e->n_forks * sizeof(roster_fork) +
           e->n_supersedes * sizeof(event_id) + e->name.len + e->title.len + 2;
}

/* Copies lists and text behind the struct, the strictest alignment first. */
static void copy_trailing(deed *d, const roster_event *e)
{
    uint8_t *at = (uint8_t *)(d + 1);
    d->heads = (frontier_entry *)(void *)at;
    d->n_heads = e->n_heads;
    for (size_t i = 0; i < e->n_heads; i++)
        d->heads[i] = (frontier_entry){(feed_id)e->heads[i].incarnation << 16 | e->number,
                                       e->heads[i].seq, e->heads[i].id};
    at += e->n_heads * sizeof *d->heads;
    d->forks = (roster_fork *)(void *)at;
    d->n_forks = e->n_forks;
    for (size_t i = 0; i < e->n_forks; i++)
        d->forks[i] = e->forks[i];
    at += e->n_forks * sizeof *d->forks;
    d->supersedes = (event_id *)(void *)at;
    d->n_supersedes = e->n_supersedes;
    for (size_t i = 0; i < e->n_supersedes; i++)
        d->supersedes[i] = e->supersedes[i];
    at += e->n_supersedes * sizeof *d->supersedes;
    d->name = (const char *)at;
    if (e->name.len)
        memcpy(at, e->name.p, e->name.len);
    at += e->name.len + 1;
    d->title = (const char *)at;
    if (e->title.len)
        memcpy(at, e->title.p, e->title.len);
}

static deed *make_deed(const roster_input *in, const roster_event *e)
{
    deed *d = calloc(1, sizeof *d + trailing_bytes(e));
    if (!d)
        return NULL;
    d->feed = in->feed;
    d->seq = in->seq;
    d->id = in->id;
    d->stamp = in->stamp;
    d->kind = e->kind;
    d->role = e->role;
    if (e->role == ROSTER_ROLE_COORDINATOR && feed_member(in->feed) != ROSTER_FOUNDER_NUMBER)
        d->role = ROSTER_ROLE_FIELD;
    d->range = (roster_range){e->lo, e->hi};
    d->has_transport = e->has_transport;
    d->transport = e->transport;
    memcpy(d->sealing, e->sealing, sizeof d->sealing);
    copy_trailing(d, e);
    return d;
}

/* Everything that can fail. */
static err_t prepare(roster *r, const roster_input *in, const roster_event *e, deed **out)
{
    TRY(roster_table_reserve(&r->deeds, 1));
    TRY(roster_table_reserve(&r->transports, 1));
    TRY(roster_table_reserve(&r->heads, e->n_heads));
    person *author = make_person(r, feed_member(in->feed), &in->author);
    bool named = e->kind != ROSTER_EV_REMOVE;
    bool inherited = e->kind == ROSTER_EV_GENESIS || e->kind == ROSTER_EV_REPLACE;
    person *target = named ? make_person(r, e->number, &e->key) : NULL;
    person *heir = inherited ? make_person(r, e->number, &e->heir) : NULL;
    slot *removed = named ? NULL : make_slot(r, e->number);
    deed *d = make_deed(in, e);
    if (!d || !author || (named && !target) || (inherited && !heir) || (!named && !removed)) {
        free(d);
        return ERR_NO_MEMORY;
    }
    d->author = author;
    d->target = target;
    d->heir = heir;
    d->removed = removed;
    *out = d;
    return ERR_OK;
}

static void link_transport(roster *r, deed *d)
{
    deed *first = roster_transport_deed(r, &d->transport);
    if (first) {
        d->next_transport = first->next_transport;
        first->next_transport = d;
    } else {
        roster_table_put(&r->transports, hash_transport(r, &d->transport), d);
    }
}

static void link_deed(roster *r, deed *d)
{
    roster_table_put(&r->deeds, hash_id(r, &d->id), d);
    d->next_authored = d->author->authored;
    d->author->authored = d;
    deed **targets = d->target ? &d->target->named : &d->removed->removals;
    d->next_target = *targets;
    *targets = d;
    if (d->has_transport)
        link_transport(r, d);
    if (d->kind == ROSTER_EV_ADD && d->role == ROSTER_ROLE_COORDINATOR) {
        d->next_grant = r->grants;
        r->grants = d;
    }
    if (d->n_heads > 0) {
        d->next_list = r->lists;
        r->lists = d;
    }
    for (size_t i = 0; i < d->n_heads; i++) {
        uint64_t hash = hash_head(r, &d->heads[i]);
        if (!roster_table_find(&r->heads, hash, same_head, &d->heads[i]))
            roster_table_put(&r->heads, hash, &d->heads[i]);
    }
}

static err_t read_event(roster *r, const roster_input *in, roster_event *e)
{
    roster_kind kind;
    if (!roster_kind_of(in->kind, &kind))
        return ERR_MALFORMED;
    if (roster_deed(r, &in->id))
        return ERR_DUPLICATE;
    if (misplaced(r, kind, in))
        return ERR_FORBIDDEN;
    if (roster_event_read(kind, in->payload, &r->room, e) != ERR_OK)
        return ERR_MALFORMED;
    if (kind == ROSTER_EV_GENESIS || kind == ROSTER_EV_REPLACE)
        e->number = ROSTER_FOUNDER_NUMBER;
    else if (e->number == ROSTER_FOUNDER_NUMBER)
        return ERR_FORBIDDEN;
    if (kind == ROSTER_EV_GENESIS && memcmp(e->key.b, in->author.b, sizeof e->key.b) != 0)
        return ERR_MALFORMED;
    return ERR_OK;
}

err_t roster_fold(roster *r, const roster_input *in)
{
    roster_event e;
    deed *d;
    TRY(read_event(r, in, &e));
    TRY(prepare(r, in, &e, &d));
    link_deed(r, d);
    if (d->kind == ROSTER_EV_GENESIS)
        r->genesis = d;
    if (d->kind == ROSTER_EV_GENESIS || (d->kind == ROSTER_EV_REPLACE && d->author->heir))
        crown(r, d);
    else
        settle(r, d);
    judge_queued(r);
    assert(!r->queue);
    return ERR_OK;
}

bool roster_lists(const roster *r, feed_id feed, uint64_t seq, const event_id *id)
{
    if (r->heads.n == 0)
        return false;
    frontier_entry e = {feed, seq, *id};
    return roster_table_find(&r->heads, hash_head(r, &e), same_head, &e) != NULL;
}

void roster_stored(roster *r, feed_id feed, uint64_t seq, const event_id *id)
{
    if (!roster_lists(r, feed, seq, id))
        return;
    slot *s = roster_slot(r, feed_member(feed));
    mark_changed(r, s);
    queue(r, s);
    judge_queued(r);
}
