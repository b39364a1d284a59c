/* The fold of a record against a brute-force oracle that is written down from the sentences of the fine print, over
 * random histories: several authors, forks, events that do not count, clocks out of step, erasures with and without the
 * tail, dishonest references. And in any order of arrival the same bytes. */
#include "record_model.h"

/* ---- the oracle ---- */

static bool same_thing(const act *a, const act *b)
{
    return a->what == b->what && a->name == b->name;
}

/* A write is dead iff a counting event that writes the same thing names it; a delete writes everything. */
static void kill_writes(story *s)
{
    memset(s->dead, 0, sizeof s->dead);
    for (int b = 0; b < s->m.n; b++) {
        const deed *by = &s->d[b];
        bool deletes = bytes_is(bytes_str(by->kind), "record.delete");
        if (!model_in(&s->m, b))
            continue;
        for (unsigned t = 0; t < s->m.e[b].n_targets; t++)
            for (unsigned w = 0; w < s->d[s->m.e[b].target[t]].n_acts; w++)
                for (unsigned i = 0; i < by->n_acts; i++) {
                    const act *a = &s->d[s->m.e[b].target[t]].acts[w];
                    if (deletes || (same_thing(a, &by->acts[i]) && a->what <= RECORD_TAG))
                        s->dead[s->m.e[b].target[t]][w] = true;
                }
    }
}

static bool is_live(const story *s, int i, unsigned w)
{
    return model_in(&s->m, i) && !s->dead[i][w];
}

/* Every event with a live write of this thing (or of any, with thing NULL), in canonical order. */
static uint32_t naive_refs(const story *s, const act *thing, event_ref *out)
{
    uint32_t n = 0;
    for (int k = 0; k < s->m.n_order; k++) {
        int i = s->m.order[k];
        bool any = false;
        for (unsigned w = 0; w < s->d[i].n_acts; w++) {
            const act *a = &s->d[i].acts[w];
            any = any || (is_live(s, i, w) && (thing == NULL || same_thing(a, thing)) &&
                          (!a->removal || a->what == RECORD_EXISTENCE));
        }
        if (any)
            out[n++] = event_ref_of(s->m.e[i].feed, s->m.e[i].seq, &s->m.e[i].id);
    }
    return n;
}

static bool live_create(const story *s, int i, bytes *payload)
{
    for (unsigned w = 0; w < s->d[i].n_acts; w++) {
        const act *a = &s->d[i].acts[w];
        *payload = a->value;
        if (a->what == RECORD_EXISTENCE && !a->removal && !a->erased && is_live(s, i, w))
            return true;
    }
    return false;
}

static bool collides(const story *s, int i, int j)
{
    bytes x, y;
    if (i == j || !live_create(s, i, &x) || !live_create(s, j, &y) || bytes_eq(x, y) ||
        s->m.reach[i][j] || s->m.reach[j][i])
        return false;
    for (int k = 0; k < s->m.n; k++)
        if (s->m.reach[k][i] && s->m.reach[k][j])
            return false;
    return true;
}

/* ---- comparing ---- */

static bytes thing_name(const act *a)
{
    return a->what == RECORD_STATE && a->name == 's' ? bytes_str("state") : letter(a->name);
}

/* The newest write and the highest priority among the listed ones equal to `w`. */
static void best_of(const record_state *r, const record_slot *s, const record_write *w,
                    const int *index, const refs_event *in, const model *m,
                    const model_event **newest, int64_t *priority)
{
    *newest = NULL;
    *priority = INT64_MIN;
    for (uint32_t i = 0; i < s->n_live; i++) {
        const record_write *x = &r->writes[r->live[s->first_live + i]];
        const model_event *e = &m->e[index[r->events[x->event].source - in]];
        if (x != w &&
            (s->what == RECORD_NOTE || s->what == RECORD_COUNTER || !bytes_eq(x->value, w->value)))
            continue;
        if (*newest == NULL || model_cmp(e, *newest) > 0)
            *newest = e;
        if (x->priority > *priority)
            *priority = x->priority;
    }
}

static void check_display(const story *st, const record_state *r, const record_slot *s,
                          const refs_event *in, const int *index)
{
    uint32_t group = 0;
    for (uint32_t i = 1; i < s->n_live; i++) {
        const record_write *a = &r->writes[r->live[s->first_live + i - 1]];
        const record_write *b = &r->writes[r->live[s->first_live + i]];
        const model_event *ea = &st->m.e[index[r->events[a->event].source - in]], *na, *nb;
        const model_event *eb = &st->m.e[index[r->events[b->event].source - in]];
        int64_t pa, pb;
        best_of(r, s, a, index, in, &st->m, &na, &pa);
        best_of(r, s, b, index, in, &st->m, &nb, &pb);
        group += na != nb;
        cr_assert_eq(a->group + (na != nb), b->group);
        cr_assert(na == nb ? model_cmp(ea, eb) > 0
                           : pa > pb || (pa == pb && model_cmp(na, nb) > 0));
    }
    if (s->what != RECORD_COUNTER)
        cr_assert_eq(s->n_values, s->n_live ? group + 1 : 0);
}

static void check_counter(const story *st, const record_slot *s)
{
    uint64_t plus = 0, minus = 0;
    for (int i = 0; i < st->m.n; i++)
        for (unsigned w = 0; w < st->d[i].n_acts; w++) {
            const act *a = &st->d[i].acts[w];
            if (a->what != RECORD_COUNTER || !bytes_eq(letter(a->name), s->name) ||
                !is_live(st, i, w) || a->erased)
                continue;
            mp_reader v = mp_reader_of(a->value);
            int64_t delta = mp_int(&v);
            *(delta < 0 ? &minus : &plus) += (uint64_t)(delta < 0 ? -delta : delta);
        }
    cr_assert_eq(s->plus, plus);
    cr_assert_eq(s->minus, minus);
}

/* Each live act is listed once, with its value; returns how many there are. */
static uint32_t check_listed(const story *st, const record_state *r, const refs_event *in,
                             const int *index)
{
    uint32_t expected = 0;
    for (int i = 0; i < st->m.n; i++)
        for (unsigned w = 0; w < st->d[i].n_acts; w++) {
            const act *a = &st->d[i].acts[w];
            uint32_t found = 0, slot = record_find(r, a->what, thing_name(a));
            if (!st->m.e[i].ours)
                continue;
            cr_assert(slot != RECORD_NONE);
            for (uint32_t k = 0; k < r->slots[slot].n_live; k++) {
                const record_write *x = &r->writes[r->live[r->slots[slot].first_live + k]];
                if (index[r->events[x->event].source - in] != i)
                    continue;
                found++;
                cr_assert_eq(x->erased, a->erased);
                cr_assert(a->erased ? x->value.len == 0 : bytes_eq(x->value, a->value));
            }
            cr_assert_eq(found, is_live(st, i, w) && !a->removal, "%s: event %d", st->d[i].kind, i);
            expected += found;
        }
    return expected;
}

static void check_refs(const story *st, const record_state *r)
{
    event_ref naive[MODEL_MAX], real[MODEL_MAX];
    for (int i = 0; i < st->m.n; i++)
        for (unsigned w = 0; w < st->d[i].n_acts; w++) {
            const act *a = &st->d[i].acts[w];
            record_thing thing = {a->what, thing_name(a)};
            uint32_t n = naive_refs(st, a, naive);
            cr_assert_eq(record_live_refs(r, &thing, 1, real, MODEL_MAX), n);
            for (uint32_t k = 0; k < n; k++)
                cr_assert(real[k].feed == naive[k].feed && real[k].seq == naive[k].seq &&
                          real[k].prefix == naive[k].prefix);
        }
    cr_assert_eq(record_all_live_refs(r, real, MODEL_MAX), naive_refs(st, NULL, naive));
}

static void check_collisions(const story *st, const record_state *r, const refs_event *in,
                             const int *index)
{
    uint32_t n = 0;
    for (int k = 0; k < st->m.n_order; k++) {
        bool any = false;
        for (int j = 0; j < st->m.n && !any; j++)
            any = collides(st, st->m.order[k], j);
        if (!any)
            continue;
        cr_assert(n < r->n_collisions);
        cr_assert_eq(index[r->events[r->collisions[n++]].source - in], st->m.order[k]);
    }
    cr_assert_eq(r->n_collisions, n);
}

/* Whoever is dead was named by somebody who counts: promise 10. */
static void check_deaths(const record_state *r)
{
    for (uint32_t w = 0; w < r->n_writes; w++) {
        const record_write *x = &r->writes[w];
        bool named = false;
        if (x->replaced_by == RECORD_NONE)
            continue;
        const record_event *by = &r->events[x->replaced_by], *target = &r->events[x->event];
        cr_assert(by->counts);
        event_reference ref;
        for (event_ref_iter it = event_refs(by->source->view); event_next_ref(&it, &ref);)
            named = named || (ref.distance > 0 && ref.full.feed == 0) ||
                    (ref.full.feed == target->ref.feed && ref.full.seq == target->ref.seq &&
                     ref.full.prefix == target->ref.prefix);
        cr_assert(named);
    }
}

static void check(const story *st, const record_state *r, const refs_event *in, const int *index,
                  uint32_t n)
{
    uint32_t listed = 0, conflicts = 0, deletes = 0;
    cr_assert_eq(r->n_events, n);
    cr_assert_eq(r->n_counting, (uint32_t)st->m.n_order);
    for (uint32_t i = 0; i < r->n_slots; i++) {
        const record_slot *s = &r->slots[i];
        check_display(st, r, s, in, index);
        if (s->what == RECORD_COUNTER)
            check_counter(st, s);
        listed += s->n_live;
        conflicts += (s->what == RECORD_FIELD || s->what == RECORD_STATE) && s->n_values > 1;
    }
    cr_assert_eq(check_listed(st, r, in, index), listed);
    check_refs(st, r);
    check_collisions(st, r, in, index);
    check_deaths(r);
    for (int i = 0; i < st->m.n; i++)
        for (unsigned w = 0; w < st->d[i].n_acts; w++)
            deletes += is_live(st, i, w) && st->d[i].acts[w].removal &&
                       st->d[i].acts[w].what == RECORD_EXISTENCE;
    cr_assert_eq(r->n_deletes, deletes);
    cr_assert_eq(r->deleted, deletes > 0);
    cr_assert_eq(r->unseen, deletes > 0 ? listed : 0);
    cr_assert_eq(r->conflicts, conflicts + (r->n_collisions > 0));
}

static const record_state *arrive(prop_rng *r, const story *st, record_folder *f, refs_event *in,
                                  int *index, uint32_t *n)
{
    const record_state *out;
    *n = model_arrive(r, &st->m, in, index);
    for (uint32_t k = 0; k < *n; k++) {
        const deed *d = &st->d[index[k]];
        in[k].erased = d->erased;
        in[k].keys = d->keys;
        in[k].n_keys = d->n_keys;
    }
    cr_assert_eq(record_fold(f, in, *n, &st->m.rules, &out), ERR_OK);
    return out;
}

static void export_of(const record_state *s, buf *out)
{
    buf_clear(out);
    cr_assert_eq(record_export(s, bytes_str("form"), bytes_str("record"), out), ERR_OK);
}

Test(record_oracle, agrees_with_the_sentences_in_any_order_of_arrival, .timeout = 120)
{
    prop_rng r = prop_begin("record_oracle.agrees_with_the_sentences_in_any_order_of_arrival");
    record_folder *f = record_folder_new();
    static story s;
    buf first, again;
    buf_init(&first, 1u << 20);
    buf_init(&again, 1u << 20);
    unsigned dead = 0, collisions = 0, conflicts = 0, unseen = 0;
    for (int round = 0; round < 25000; round++) {
        refs_event in[MODEL_MAX];
        int index[MODEL_MAX];
        uint32_t n;
        make(&r, &s, 1 + (int)prop_below(&r, MODEL_MAX));
        kill_writes(&s);
        for (int arrival = 0; arrival < 4; arrival++) {
            const record_state *out = arrive(&r, &s, f, in, index, &n);
            if (arrival < 2)
                check(&s, out, in, index, n);
            export_of(out, arrival == 0 ? &first : &again);
            if (arrival > 0)
                cr_assert(bytes_eq(buf_view(&first), buf_view(&again)));
            if (arrival == 1)
                model_label(&r, &s.m);
            collisions += out->n_collisions;
            conflicts += out->conflicts;
            unseen += out->unseen;
        }
        for (int i = 0; i < s.m.n; i++)
            for (unsigned w = 0; w < s.d[i].n_acts; w++)
                dead += s.dead[i][w];
        unmake(&s);
    }
    cr_assert(dead > 10000 && collisions > 1000 && conflicts > 10000 && unseen > 1000,
              "%u %u %u %u", dead, collisions, conflicts, unseen);
    buf_release(&first);
    buf_release(&again);
    record_folder_free(&f);
}

static void swap(int *a, int *b)
{
    int t = *a;
    *a = *b;
    *b = t;
}

/* Next permutation in lexicographic order; false after the last. */
static bool permute(int *p, int n)
{
    int i = n - 2, j = n - 1;
    while (i >= 0 && p[i] > p[i + 1])
        i--;
    if (i < 0)
        return false;
    while (p[j] < p[i])
        j--;
    swap(&p[i], &p[j]);
    for (int lo = i + 1, hi = n - 1; lo < hi; lo++, hi--)
        swap(&p[lo], &p[hi]);
    return true;
}

Test(record_oracle, every_permutation_of_six_events_gives_the_same_bytes, .timeout = 120)
{
    prop_rng r = prop_begin("record_oracle.every_permutation_of_six_events_gives_the_same_bytes");
    record_folder *f = record_folder_new();
    static story s;
    buf first, again;
    buf_init(&first, 1u << 20);
    buf_init(&again, 1u << 20);
    for (int round = 0; round < 60; round++) {
        refs_event in[MODEL_MAX], mixed[MODEL_MAX];
        int index[MODEL_MAX], p[MODEL_MAX];
        uint32_t n;
        make(&r, &s, 6);
        export_of(arrive(&r, &s, f, in, index, &n), &first);
        for (int i = 0; i < (int)n; i++)
            p[i] = i;
        do {
            const record_state *out;
            for (uint32_t i = 0; i < n; i++)
                mixed[i] = in[p[i]];
            cr_assert_eq(record_fold(f, mixed, n, &s.m.rules, &out), ERR_OK);
            export_of(out, &again);
            cr_assert(bytes_eq(buf_view(&first), buf_view(&again)));
        } while (permute(p, (int)n));
        unmake(&s);
    }
    buf_release(&first);
    buf_release(&again);
    record_folder_free(&f);
}
