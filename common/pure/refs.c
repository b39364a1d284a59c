#include "pure/refs.h"

#include "pure/refs_fork.h"
#include "pure/refs_graph.h"

#include <string.h>

/* Everything under construction; the arrays end up in refs_stream. */
typedef struct {
    arena *a;
    const refs_event *ev;
    uint32_t n;
    const refs_rules *rules;
    bool *counts; /* verdict, understood, and not handed over twice */
    uint32_t *order, *place, *stamped, *rank, *before, *first, *targets;
    sort_key *keys, *scratch;
    refs_index index;
} work;

/* ---- orders ---- */

static int tie_stamp(const void *ctx, uint32_t i, uint32_t j)
{
    const refs_event *x = (const refs_event *)ctx + i, *y = (const refs_event *)ctx + j;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return memcmp(x->id->b, y->id->b, sizeof x->id->b);
}

static int tie_id(const void *ctx, uint32_t i, uint32_t j)
{
    const refs_event *ev = ctx;
    return memcmp(ev[i].id->b, ev[j].id->b, sizeof ev[i].id->b);
}

static void sort_by_stamp(work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        hlc_stamp s = w->ev[i].view->stamp;
        w->keys[i] = (sort_key){s.wall_ms << 16 | s.counter >> 16,
                                (uint64_t)(s.counter & 0xffff) << 32 | w->ev[i].feed, i};
    }
    keysort(w->keys, w->scratch, w->n, tie_stamp, w->ev);
    for (uint32_t i = 0; i < w->n; i++) {
        w->stamped[i] = w->keys[i].i;
        w->rank[w->keys[i].i] = i;
    }
}

/* Same feed, seq and id have the same stamp, so repeats lie side by side. */
static void find_counting(work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t at = w->stamped[i];
        w->counts[at] = w->ev[at].counts && !w->ev[at].view->opaque;
    }
    for (uint32_t i = 1, kept = 0; i < w->n; i++) {
        const refs_event *x = &w->ev[w->stamped[kept]], *y = &w->ev[w->stamped[i]];
        if (x->feed == y->feed && x->seq == y->seq && event_id_eq(x->id, y->id))
            w->counts[w->stamped[i]] = false;
        else
            kept = i;
    }
}

static void sort_by_seq(work *w, sort_key *keys)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->counts[w->stamped[i]])
            keys[n++] =
                (sort_key){w->ev[w->stamped[i]].feed, w->ev[w->stamped[i]].seq, w->stamped[i]};
    keysort(keys, w->scratch, n, tie_id, w->ev);
    w->index = (refs_index){w->ev, n, keys, keys, w->rules};
}

static void sort_by_branch(work *w, sort_key *keys)
{
    for (uint32_t i = 0; i < w->index.n; i++) {
        uint32_t at = w->index.by_seq[i].i;
        keys[i] = (sort_key){(uint64_t)w->ev[at].feed << 32 | w->ev[at].branch, w->ev[at].seq, at};
    }
    keysort(keys, w->scratch, w->index.n, tie_id, w->ev);
    w->index.by_branch = keys;
}

/* ---- edges ---- */

static uint32_t resolve(const refs_index *x, uint32_t from, const event_reference *r)
{
    const refs_event *e = &x->ev[from];
    if (r->distance > 0)
        return r->distance < e->seq
                   ? refs_index_ancestor(x, e->feed, e->branch, e->seq - r->distance)
                   : REFS_NONE;
    if (x->rules->barred != NULL &&
        x->rules->barred(x->rules->ctx, e->feed, r->full.feed, r->full.seq))
        return REFS_NONE;
    return refs_index_full(x, r->full);
}

static bool among(const uint32_t *list, uint32_t n, uint32_t x)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

static err_t resolve_all(work *w)
{
    size_t room = 0;
    for (uint32_t i = 0; i < w->n; i++)
        room += w->ev[i].view->n_replaces;
    w->targets = arena_array(w->a, room, sizeof *w->targets);
    if (w->targets == NULL)
        return ERR_NO_MEMORY;
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        event_reference r;
        w->first[i] = at;
        if (w->ev[i].view->n_replaces == 0 || w->ev[i].view->opaque)
            continue;
        for (event_ref_iter it = event_refs(w->ev[i].view); event_next_ref(&it, &r);) {
            uint32_t t = resolve(&w->index, i, &r);
            if (t != REFS_NONE && !among(w->targets + w->first[i], at - w->first[i], t))
                w->targets[at++] = t;
        }
    }
    w->first[w->n] = at;
    return ERR_OK;
}

/* No labels: the nearest event of the feed with a smaller seq. */
static void follow_lines(work *w)
{
    const sort_key *k = w->index.by_seq;
    uint32_t last = REFS_NONE; /* newest event of the seq before */
    for (uint32_t i = 0; i < w->index.n; i++) {
        if (i > 0 && k[i].a != k[i - 1].a)
            last = REFS_NONE;
        else if (i > 0 && k[i].b != k[i - 1].b)
            last = k[i - 1].i;
        w->before[k[i].i] = last;
    }
}

static void follow_chains(work *w)
{
    memset(w->before, 0xff, w->n * sizeof *w->before);
    if (w->rules->n_branches == 0) {
        follow_lines(w);
        return;
    }
    for (uint32_t i = 0; i < w->index.n; i++) {
        uint32_t at = w->index.by_seq[i].i;
        w->before[at] =
            refs_index_below(&w->index, w->ev[at].feed, w->ev[at].branch, w->ev[at].seq);
    }
}

/* ---- the order ---- */

/* True when everything an event comes after has an older stamp. Then there is no cycle, and the
 * order by stamp is the canonical one: the least event that is left is always ready. */
static bool stamps_agree(const work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        if (!w->counts[i])
            continue;
        if (w->before[i] != REFS_NONE && w->rank[w->before[i]] >= w->rank[i])
            return false;
        for (uint32_t e = w->first[i]; e < w->first[i + 1]; e++)
            if (w->rank[w->targets[e]] >= w->rank[i])
                return false;
    }
    return true;
}

/* Edges among the counting events: references, feed order and, where given, one extra per event. */
static err_t make_graph(arena *a, const refs_stream *s, const uint32_t *extra, refs_graph *g)
{
    uint32_t *first = arena_array(a, (size_t)s->n + 1, sizeof *first);
    uint32_t *edges = arena_array(a, (size_t)s->first[s->n] + 2 * (size_t)s->n, sizeof *edges);
    if (first == NULL || edges == NULL)
        return ERR_NO_MEMORY;
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        first[i] = at;
        if (s->place[i] == REFS_NONE)
            continue;
        for (uint32_t e = s->first[i]; e < s->first[i + 1]; e++)
            edges[at++] = s->targets[e];
        if (s->before[i] != REFS_NONE)
            edges[at++] = s->before[i];
        if (extra != NULL && extra[i] != REFS_NONE)
            edges[at++] = extra[i];
    }
    first[s->n] = at;
    *g = (refs_graph){s->n, first, edges};
    return ERR_OK;
}

static void drop_cycles(work *w, const uint32_t *component)
{
    uint32_t at = 0, from = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t to = w->first[i + 1];
        for (uint32_t e = from; e < to; e++)
            if (!w->counts[i] || component[w->targets[e]] != component[i])
                w->targets[at++] = w->targets[e];
        from = to;
        w->first[i + 1] = at;
    }
}

static void number_places(work *w, const uint32_t *all)
{
    uint32_t n = 0;
    memset(w->place, 0xff, w->n * sizeof *w->place);
    for (uint32_t i = 0; i < w->n; i++)
        if (w->counts[all[i]]) {
            w->place[all[i]] = n;
            w->order[n++] = all[i];
        }
}

static err_t order_against_stamps(work *w, const refs_stream *s)
{
    refs_graph g;
    uint32_t *component = arena_array(w->a, w->n, sizeof *component);
    uint32_t *all = arena_array(w->a, w->n, sizeof *all);
    if (component == NULL || all == NULL)
        return ERR_NO_MEMORY;
    TRY(make_graph(w->a, s, NULL, &g));
    TRY(refs_graph_components(w->a, &g, component));
    drop_cycles(w, component);
    TRY(make_graph(w->a, s, NULL, &g));
    TRY(refs_graph_order(w->a, &g, w->rank, all));
    number_places(w, all);
    return ERR_OK;
}

static err_t take_memory(work *w, sort_key **by_seq, sort_key **by_branch)
{
    size_t n = w->n;
    uint32_t *words = arena_array(w->a, 6 * n + 1, sizeof *words);
    sort_key *keys = arena_array(w->a, 4 * n, sizeof *keys);
    w->counts = arena_array(w->a, n, sizeof *w->counts);
    if (words == NULL || keys == NULL || w->counts == NULL)
        return ERR_NO_MEMORY;
    w->order = words;
    w->place = words + n;
    w->stamped = words + 2 * n;
    w->rank = words + 3 * n;
    w->before = words + 4 * n;
    w->first = words + 5 * n;
    w->keys = keys;
    w->scratch = keys + n;
    *by_seq = keys + 2 * n;
    *by_branch = keys + 3 * n;
    return ERR_OK;
}

err_t refs_resolve(arena *a, const refs_event *events, uint32_t n, const refs_rules *rules,
                   refs_stream *out)
{
    static const refs_rules none;
    work w = {.a = a, .ev = events, .n = n, .rules = rules != NULL ? rules : &none};
    sort_key *by_seq, *by_branch;
    TRY(take_memory(&w, &by_seq, &by_branch));
    sort_by_stamp(&w);
    find_counting(&w);
    sort_by_seq(&w, by_seq);
    if (w.rules->n_branches > 0)
        sort_by_branch(&w, by_branch);
    follow_chains(&w);
    TRY(resolve_all(&w));
    number_places(&w, w.stamped);
    *out = (refs_stream){events, n,        w.index.n, w.order,   w.place,        w.stamped,
                         w.rank, w.before, w.first,   w.targets, w.index.by_seq, w.index.by_branch};
    return stamps_agree(&w) ? ERR_OK : order_against_stamps(&w, out);
}

/* ---- Lamport numbers ---- */

static bool find_causes(const refs_stream *s, const refs_rules *rules, uint32_t *cause)
{
    static const refs_rules none;
    refs_index x = {s->events, s->n_counting, s->by_seq, s->by_branch,
                    rules != NULL ? rules : &none};
    bool any = false;
    for (uint32_t i = 0; i < s->n; i++) {
        event_reference r;
        cause[i] = REFS_NONE;
        if (s->place[i] != REFS_NONE && event_attr_ref(s->events[i].view, "cause", &r))
            cause[i] = resolve(&x, i, &r);
        any = any || cause[i] != REFS_NONE;
    }
    return any;
}

/* An order in which every cause that is on no cycle comes before what it caused; drops the others.
 */
static err_t order_with_causes(arena *a, const refs_stream *s, uint32_t *cause, uint32_t *order)
{
    refs_graph g;
    uint32_t *component = arena_array(a, s->n, sizeof *component);
    sort_key *keys = arena_array(a, 2 * (size_t)s->n_counting, sizeof *keys);
    if (component == NULL || keys == NULL)
        return ERR_NO_MEMORY;
    TRY(make_graph(a, s, cause, &g));
    TRY(refs_graph_components(a, &g, component));
    for (uint32_t i = 0; i < s->n_counting; i++)
        keys[i] = (sort_key){component[s->order[i]], i, s->order[i]};
    keysort(keys, keys + s->n_counting, s->n_counting, NULL, NULL);
    for (uint32_t i = 0; i < s->n_counting; i++) {
        uint32_t at = order[i] = keys[i].i;
        if (cause[at] != REFS_NONE && component[cause[at]] == component[at])
            cause[at] = REFS_NONE;
    }
    return ERR_OK;
}

static uint32_t larger(uint32_t x, const uint32_t *number, uint32_t at)
{
    return at != REFS_NONE && number[at] > x ? number[at] : x;
}

err_t refs_lamport(arena *a, const refs_stream *s, const refs_rules *rules, const uint32_t **out)
{
    uint32_t *number = arena_array(a, s->n, sizeof *number);
    uint32_t *cause = arena_array(a, s->n, sizeof *cause);
    uint32_t *mixed = arena_array(a, s->n, sizeof *mixed);
    const uint32_t *order = s->order;
    if (number == NULL || cause == NULL || mixed == NULL)
        return ERR_NO_MEMORY;
    memset(number, 0, s->n * sizeof *number);
    if (find_causes(s, rules, cause)) {
        TRY(order_with_causes(a, s, cause, mixed));
        order = mixed;
    }
    for (uint32_t i = 0; i < s->n_counting; i++) {
        uint32_t at = order[i], most = larger(0, number, s->before[at]);
        most = larger(most, number, cause[at]);
        for (uint32_t e = s->first[at]; e < s->first[at + 1]; e++)
            most = larger(most, number, s->targets[e]);
        number[at] = most + 1;
    }
    *out = number;
    return ERR_OK;
}
