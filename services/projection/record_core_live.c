#include "projection/record_core_state.h"

#include "pure/value.h"

#include <string.h>

/* How the live writes of each sort of thing are shown. */
typedef struct {
    bool by_value; /* equal ones are one */
    bool conflict; /* several values are a conflict */
} show_rule;

static const show_rule shown[RECORD_WHATS] = {
    [RECORD_EXISTENCE] = {true, false}, [RECORD_FIELD] = {true, true},
    [RECORD_STATE] = {true, true},      [RECORD_TAG] = {true, false},
    [RECORD_SET] = {true, false},       [RECORD_COUNTER] = {false, false},
    [RECORD_NOTE] = {false, false},     [RECORD_ATTACHMENT] = {true, false},
};

typedef struct {
    record_folder *f;
    uint32_t *live; /* all lists, one after the other */
    uint32_t n_live;
    sort_key *keys, *scratch;
    uint32_t *newest; /* per class of equal values: best rank, and priority */
    int64_t *priority;
} lister;

static bool lives(const record_folder *f, const record_write *w)
{
    return w->replaced_by == RECORD_NONE && f->events[w->event].counts;
}

static uint32_t rank_of(const record_folder *f, uint32_t event)
{
    return f->refs.rank[f->events[event].source - f->refs.events];
}

/* ---- display order ---- */

static int tie_values(const void *ctx, uint32_t i, uint32_t j)
{
    const record_write *w = ctx;
    return w[i].value.len == 0 ? 0 : memcmp(w[i].value.p, w[j].value.p, w[i].value.len);
}

static uint64_t value_head(bytes v)
{
    uint8_t head[8] = {0};
    if (v.len > 0)
        memcpy(head, v.p, v.len < 8 ? v.len : 8);
    return get_u64be(head);
}

/* Numbers the classes of equal values into write.group; returns how many there are. */
static uint32_t classify(lister *l, const uint32_t *list, uint32_t n, bool by_value)
{
    record_write *w = l->f->writes;
    uint32_t classes = 0;
    for (uint32_t i = 0; i < n; i++)
        l->keys[i] = (sort_key){w[list[i]].value.len, value_head(w[list[i]].value), list[i]};
    if (by_value)
        keysort(l->keys, l->scratch, n, tie_values, w);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = l->keys[i].i, rank = rank_of(l->f, w[at].event);
        if (i == 0 || !by_value || !bytes_eq(w[at].value, w[l->keys[i - 1].i].value)) {
            l->newest[classes] = rank;
            l->priority[classes++] = w[at].priority;
        }
        w[at].group = classes - 1;
        if (rank > l->newest[classes - 1])
            l->newest[classes - 1] = rank;
        if (w[at].priority > l->priority[classes - 1])
            l->priority[classes - 1] = w[at].priority;
    }
    return classes;
}

/* Class by class, the class of the highest priority, then of the newest write first; newest first within. */
static void order_list(lister *l, uint32_t *list, uint32_t n)
{
    record_write *w = l->f->writes;
    for (uint32_t i = 0; i < n; i++) {
        const record_write *x = &w[list[i]];
        uint64_t priority = (uint64_t)l->priority[x->group] ^ 1ull << 63;
        uint64_t newest = (uint64_t)l->newest[x->group] << 32 | rank_of(l->f, x->event);
        l->keys[i] = (sort_key){~priority, ~newest, list[i]};
    }
    keysort(l->keys, l->scratch, n, NULL, NULL);
    uint32_t class_before = RECORD_NONE, group = RECORD_NONE;
    for (uint32_t i = 0; i < n; i++) {
        list[i] = l->keys[i].i;
        group += i == 0 || w[list[i]].group != class_before;
        class_before = w[list[i]].group;
        w[list[i]].group = group;
    }
}

static void add_counts(const record_folder *f, record_slot *s, const uint32_t *list)
{
    for (uint32_t i = 0; i < s->n_live; i++) {
        mp_reader r = mp_reader_of(f->writes[list[i]].value);
        int64_t delta = r.p == r.end ? 0 : mp_int(&r);
        uint64_t *sum = delta < 0 ? &s->minus : &s->plus;
        uint64_t size = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
        *sum = *sum > UINT64_MAX - size ? UINT64_MAX : *sum + size;
    }
    s->n_values = s->n_live > 0;
}

static void list_slot(lister *l, uint32_t slot)
{
    record_folder *f = l->f;
    record_slot *s = &f->slots[slot];
    uint32_t *list = l->live + l->n_live;
    s->first_live = l->n_live;
    for (uint32_t i = f->slot_first[slot]; i < f->slot_first[slot + 1]; i++) {
        const record_write *w = &f->writes[f->by_slot[i]];
        if (lives(f, w) && !w->removal)
            list[s->n_live++] = f->by_slot[i];
    }
    if (s->n_live == 1) {
        s->n_values = 1;
        f->writes[list[0]].group = 0;
    } else if (s->n_live > 1) {
        s->n_values = classify(l, list, s->n_live, shown[s->what].by_value);
        order_list(l, list, s->n_live);
    }
    if (s->what == RECORD_COUNTER)
        add_counts(f, s, list);
    l->n_live += s->n_live;
    f->out.conflicts += shown[s->what].conflict && s->n_values > 1;
}

static err_t list_slots(record_folder *f)
{
    size_t n = f->n_writes;
    lister l = {.f = f, .keys = f->keys, .scratch = f->keys + n};
    l.live = arena_array(&f->arena, n, sizeof *l.live);
    l.newest = arena_array(&f->arena, n, sizeof *l.newest);
    l.priority = arena_array(&f->arena, n, sizeof *l.priority);
    if (l.live == NULL || l.newest == NULL || l.priority == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < f->n_slots; i++)
        list_slot(&l, i);
    f->out.live = l.live;
    f->out.unseen = l.n_live;
    return ERR_OK;
}

/* ---- deletes ---- */

static err_t list_deletes(record_folder *f)
{
    record_state *s = &f->out;
    if (s->what_first[RECORD_FIELD] == 0)
        return ERR_OK; /* nobody created or deleted anything */
    uint32_t n = 0, room = f->slot_first[1];
    sort_key *k = f->keys;
    for (uint32_t i = 0; i < room; i++) {
        const record_write *w = &f->writes[f->by_slot[i]];
        if (lives(f, w) && w->removal)
            k[n++] = (sort_key){~(uint64_t)rank_of(f, w->event), 0, w->event};
    }
    if (n == 0)
        return ERR_OK;
    uint32_t *deletes = arena_array(&f->arena, n, sizeof *deletes);
    if (deletes == NULL)
        return ERR_NO_MEMORY;
    keysort(k, f->keys + f->n_writes, n, NULL, NULL);
    for (uint32_t i = 0; i < n; i++)
        deletes[i] = k[i].i;
    s->deletes = deletes;
    s->n_deletes = n;
    s->deleted = true;
    return ERR_OK;
}

/* ---- collisions ---- */

typedef struct {
    uint32_t n;
    uint32_t write[RECORD_CREATES_COMPARED];  /* canonical order */
    uint64_t joined[RECORD_CREATES_COMPARED]; /* creates with which it has a common later event */
} creates;

/* The live creates, and where each stands in canonical order (the slot's writes are in that order already). */
static void find_creates(const record_folder *f, creates *c)
{
    for (uint32_t i = 0; i < f->slot_first[1] && c->n < RECORD_CREATES_COMPARED; i++) {
        const record_write *w = &f->writes[f->by_slot[i]];
        if (lives(f, w) && !w->removal && !w->erased)
            c->write[c->n++] = f->by_slot[i];
    }
}

static bool all_equal(const record_folder *f, const creates *c)
{
    for (uint32_t i = 1; i < c->n; i++)
        if (!bytes_eq(f->writes[c->write[i]].value, f->writes[c->write[0]].value))
            return false;
    return true;
}

static uint64_t below(const refs_stream *s, const uint64_t *seen, uint32_t source)
{
    uint64_t set = s->before[source] == REFS_NONE ? 0 : seen[s->place[s->before[source]]];
    for (uint32_t i = s->first[source]; i < s->first[source + 1]; i++)
        set |= seen[s->place[s->targets[i]]];
    return set;
}

/* One walk in canonical order: which creates lie under each event (itself included). */
static void relate(const record_folder *f, creates *c, uint64_t *seen)
{
    uint32_t next = 0;
    for (uint32_t at = 0; at < f->refs.n_counting; at++) {
        uint64_t set = below(&f->refs, seen, f->refs.order[at]);
        if (next < c->n && f->writes[c->write[next]].event == at)
            set |= 1ull << next++;
        seen[at] = set;
        if ((set & (set - 1)) == 0)
            continue;
        for (uint32_t i = 0; i < c->n; i++)
            if (set >> i & 1)
                c->joined[i] |= set;
    }
}

static bool collides(const record_folder *f, const creates *c, uint32_t i, uint32_t j)
{
    return !bytes_eq(f->writes[c->write[i]].value, f->writes[c->write[j]].value) &&
           !(c->joined[i] >> j & 1);
}

static err_t list_collisions(record_folder *f)
{
    creates c = {0};
    _Static_assert(RECORD_CREATES_COMPARED <= 64, "one bit for each");
    if (f->out.what_first[RECORD_FIELD] == 0)
        return ERR_OK;
    find_creates(f, &c);
    if (c.n < 2 || all_equal(f, &c))
        return ERR_OK;
    uint64_t *seen = arena_array(&f->arena, f->refs.n_counting, sizeof *seen);
    uint32_t *found = arena_array(&f->arena, c.n, sizeof *found);
    if (seen == NULL || found == NULL)
        return ERR_NO_MEMORY;
    relate(f, &c, seen);
    for (uint32_t i = 0; i < c.n; i++) {
        bool any = false;
        for (uint32_t j = 0; j < c.n && !any; j++)
            any = j != i && collides(f, &c, i, j);
        if (any)
            found[f->out.n_collisions++] = f->writes[c.write[i]].event;
    }
    f->out.collisions = found;
    f->out.conflicts += f->out.n_collisions > 0;
    return ERR_OK;
}

/* ---- the rest ---- */

static void find_ends(record_folder *f)
{
    record_state *s = &f->out;
    for (uint32_t i = 0; i < f->refs.n_counting; i++) {
        if (s->created == RECORD_NONE && f->events[i].kind == RECORD_KIND_CREATE &&
            f->events[i].n_writes > 0)
            s->created = i;
        if (s->newest == RECORD_NONE || rank_of(f, i) > rank_of(f, s->newest))
            s->newest = i;
    }
}

err_t record_list_live(record_folder *f)
{
    record_state *s = &f->out;
    TRY(list_slots(f));
    TRY(list_deletes(f));
    TRY(list_collisions(f));
    find_ends(f);
    s->marks = arena_array(&f->arena, f->n_slots, 1);
    if (s->marks == NULL)
        return ERR_NO_MEMORY;
    s->events = f->events;
    s->n_events = f->refs.n;
    s->n_counting = f->refs.n_counting;
    s->writes = f->writes;
    s->n_writes = f->n_writes;
    s->slots = f->slots;
    s->n_slots = f->n_slots;
    s->anomalies = f->anomalies;
    s->n_anomalies = f->n_anomalies;
    if (!s->deleted)
        s->unseen = 0;
    return ERR_OK;
}
