/* References and order of a stream: against a naive oracle over random trees of events, and with streams that a cheat
 * makes large. */
#include "stream_model.h"

#include <criterion/criterion.h>

static void make(prop_rng *r, model *m)
{
    static const uint8_t nil = 0xc0;
    model_begin(m);
    model_grow(r, m, 1 + (int)prop_below(r, MODEL_MAX));
    model_refer(r, m);
    for (int i = 0; i < m->n; i++)
        model_build(&m->e[i], "x", bytes_of(&nil, 1));
    model_mean(m);
}

/* Lamport numbers from the sentence, by relaxation: a cause on a cycle of references, feed order and causes is left
 * out. */
static void naive_lamport(const model *m, uint32_t *number)
{
    bool reach[MODEL_MAX][MODEL_MAX];
    int cause[MODEL_MAX];
    memcpy(reach, m->reach, sizeof reach);
    for (int i = 0; i < m->n; i++) {
        cause[i] = model_in(m, i) && m->e[i].has_cause ? model_resolve(m, i, &m->e[i].cause) : -1;
        if (cause[i] >= 0)
            reach[i][cause[i]] = true;
    }
    for (int k = 0; k < m->n; k++)
        for (int i = 0; i < m->n; i++)
            for (int j = 0; j < m->n; j++)
                reach[i][j] = reach[i][j] || (reach[i][k] && reach[k][j]);
    memset(number, 0, MODEL_MAX * sizeof *number);
    for (int round = 0; round < m->n + 1; round++)
        for (int i = 0; i < m->n; i++) {
            uint32_t most = 0;
            if (!model_in(m, i))
                continue;
            for (int j = 0; j < m->n; j++)
                if ((m->reach[i][j] || (cause[i] == j && !reach[j][i])) && number[j] > most)
                    most = number[j];
            number[i] = most + 1;
        }
}

static void check(const model *m, const refs_event *in, const int *index, uint32_t n, arena *a)
{
    refs_stream s;
    uint32_t naive[MODEL_MAX];
    const uint32_t *lamport;
    cr_assert_eq(refs_resolve(a, in, n, &m->rules, &s), ERR_OK);
    cr_assert_eq(s.n_counting, (uint32_t)m->n_order);
    for (uint32_t k = 0; k < s.n_counting; k++) {
        cr_assert_eq(index[s.order[k]], m->order[k], "place %u", k);
        cr_assert_eq(s.place[s.order[k]], k);
    }
    for (uint32_t i = 0; i < n; i++) {
        const model_event *e = &m->e[index[i]];
        cr_assert_eq(s.first[i + 1] - s.first[i], e->n_targets);
        for (unsigned k = 0; k < e->n_targets; k++)
            cr_assert_eq(index[s.targets[s.first[i] + k]], e->target[k]);
        cr_assert_eq(s.place[i] == REFS_NONE, !e->counts);
        if (e->counts)
            cr_assert_eq(s.before[i] == REFS_NONE ? -1 : index[s.before[i]], e->before);
        if (i > 0)
            cr_assert(model_cmp(&m->e[index[s.stamped[i - 1]]], &m->e[index[s.stamped[i]]]) < 0);
        cr_assert_eq(s.rank[s.stamped[i]], i);
    }
    naive_lamport(m, naive);
    cr_assert_eq(refs_lamport(a, &s, &m->rules, &lamport), ERR_OK);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(lamport[i], naive[index[i]], "%u %u of %d, cause %d dist %d full %u/%d",
                     lamport[i], naive[index[i]], m->n, m->e[index[i]].has_cause,
                     (int)m->e[index[i]].cause.distance, m->e[index[i]].cause.full.feed,
                     (int)m->e[index[i]].cause.full.seq);
}

Test(refs, agrees_with_the_sentences)
{
    prop_rng r = prop_begin("refs.agrees_with_the_sentences");
    arena a;
    arena_init(&a);
    int forks = 0, dropped = 0, against = 0;
    for (int round = 0; round < 30000; round++) {
        model m;
        refs_event in[MODEL_MAX];
        int index[MODEL_MAX];
        make(&r, &m);
        for (int again = 0; again < 2; again++) {
            model_label(&r, &m);
            uint32_t n = model_arrive(&r, &m, in, index);
            arena_reset(&a);
            check(&m, in, index, n, &a);
        }
        forks += m.rules.n_branches > 0;
        for (int i = 0; i < m.n_order; i++)
            dropped += m.e[m.order[i]].n_targets < m.e[m.order[i]].n_refs;
        for (int i = 1; i < m.n_order; i++)
            against += model_cmp(&m.e[m.order[i - 1]], &m.e[m.order[i]]) > 0;
        model_end(&m);
    }
    arena_release(&a);
    /* the generator must reach what it is for */
    cr_assert(forks > 1000 && dropped > 1000 && against > 1000, "%d %d %d", forks, dropped,
              against);
}

/* ---- streams made by hand ---- */

typedef struct {
    uint32_t n;
    event_id *ids;
    event_view *views;
    buf *bodies;
    refs_event *events;
} hand;

static void hand_begin(hand *h, uint32_t n)
{
    *h = (hand){n, calloc(n, sizeof(event_id)), calloc(n, sizeof(event_view)),
                calloc(n, sizeof(buf)), calloc(n, sizeof(refs_event))};
    for (uint32_t i = 0; i < n; i++) {
        put_u32be(h->ids[i].b, i << 16 | i >> 16);
        h->events[i] = (refs_event){
            .feed = 1, .seq = i + 1, .id = &h->ids[i], .view = &h->views[i], .counts = true};
    }
}

static void hand_build(hand *h, uint32_t i, uint64_t wall, const event_reference *refs,
                       unsigned n_refs)
{
    static const uint8_t nil = 0xc0;
    event_fields f = {.stamp = {wall, 0},
                      .replaces = refs,
                      .n_replaces = n_refs,
                      .category = bytes_str("f"),
                      .stream = bytes_str("r"),
                      .kind = bytes_str("x"),
                      .payload = bytes_of(&nil, 1)};
    buf_init(&h->bodies[i], 4096);
    cr_assert_eq(event_build(&f, &h->bodies[i]), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&h->bodies[i]), &h->views[i]), ERR_OK);
}

static void hand_end(hand *h)
{
    for (uint32_t i = 0; i < h->n; i++)
        buf_release(&h->bodies[i]);
    free(h->ids);
    free(h->views);
    free(h->bodies);
    free(h->events);
}

static event_reference name(const hand *h, uint32_t i)
{
    const refs_event *e = &h->events[i];
    return (event_reference){.full = event_ref_of(e->feed, e->seq, e->id)};
}

#define LARGE 100000u

/* Quadratic work on these would run into the time limit of the test. */
Test(refs, large_chain_with_clock_running_backwards)
{
    hand h;
    arena a;
    refs_stream s;
    hand_begin(&h, LARGE);
    arena_init(&a);
    for (uint32_t i = 0; i < LARGE; i++) {
        event_reference back = {.distance = i < 5 ? 1 : 5};
        hand_build(&h, i, LARGE - i, &back, i > 0);
    }
    cr_assert_eq(refs_resolve(&a, h.events, LARGE, NULL, &s), ERR_OK);
    for (uint32_t i = 0; i < LARGE; i++)
        cr_assert_eq(s.order[i], i);
    cr_assert_eq(s.first[LARGE], LARGE - 1);
    hand_end(&h);
    arena_release(&a);
}

Test(refs, large_cycle_is_dropped_whole)
{
    hand h;
    arena a;
    refs_stream s;
    hand_begin(&h, LARGE);
    arena_init(&a);
    for (uint32_t i = 0; i < LARGE; i++) {
        h.events[i].feed = i;
        h.events[i].seq = 1;
    }
    for (uint32_t i = 0; i < LARGE; i++) {
        event_reference next = name(&h, (i + 1) % LARGE);
        hand_build(&h, i, i, &next, 1);
    }
    cr_assert_eq(refs_resolve(&a, h.events, LARGE, NULL, &s), ERR_OK);
    cr_assert_eq(s.first[LARGE], 0);
    for (uint32_t i = 0; i < LARGE; i++)
        cr_assert_eq(s.order[i], i);
    hand_end(&h);
    arena_release(&a);
}

/* A fork of many events at one seq: each is still named by its own prefix, and equal prefixes name nobody. */
Test(refs, many_siblings_at_one_seq)
{
    enum { SIBLINGS = 20000 };
    hand h;
    arena a;
    refs_stream s;
    hand_begin(&h, 2 * SIBLINGS);
    refs_branch *branches = calloc(SIBLINGS, sizeof *branches);
    arena_init(&a);
    for (uint32_t i = 0; i < SIBLINGS; i++) {
        put_u16be(h.ids[i].b, (uint16_t)i);
        h.events[i].seq = 1;
        h.events[i].branch = i;
        branches[i] = (refs_branch){1, i, REFS_NONE, 1};
    }
    put_u16be(h.ids[1].b, 0); /* as number 0 has */
    for (uint32_t i = 0; i < SIBLINGS; i++) {
        h.events[SIBLINGS + i].feed = 2;
        h.events[SIBLINGS + i].seq = i + 1;
        hand_build(&h, i, i, NULL, 0);
        event_reference ref = name(&h, i);
        hand_build(&h, SIBLINGS + i, i, &ref, 1);
    }
    refs_rules rules = {.branches = branches + 1, .n_branches = SIBLINGS - 1};
    cr_assert_eq(refs_resolve(&a, h.events, 2 * SIBLINGS, &rules, &s), ERR_OK);
    for (uint32_t i = 0; i < SIBLINGS; i++) {
        uint32_t at = SIBLINGS + i;
        cr_assert_eq(s.first[at + 1] - s.first[at], i < 2 ? 0u : 1u);
        if (i >= 2)
            cr_assert_eq(s.targets[s.first[at]], i);
    }
    hand_end(&h);
    free(branches);
    arena_release(&a);
}

Test(refs, an_event_handed_over_twice_counts_once)
{
    hand h;
    arena a;
    refs_stream s;
    hand_begin(&h, 3);
    arena_init(&a);
    hand_build(&h, 0, 1, NULL, 0);
    event_reference ref = name(&h, 0);
    hand_build(&h, 1, 2, &ref, 1);
    hand_build(&h, 2, 1, NULL, 0);
    h.events[2] = h.events[0];
    cr_assert_eq(refs_resolve(&a, h.events, 3, NULL, &s), ERR_OK);
    cr_assert_eq(s.n_counting, 2);
    cr_assert_eq(s.first[3], 1);
    hand_end(&h);
    arena_release(&a);
}

Test(refs, no_events_at_all)
{
    arena a;
    refs_stream s;
    const uint32_t *lamport;
    arena_init(&a);
    cr_assert_eq(refs_resolve(&a, NULL, 0, NULL, &s), ERR_OK);
    cr_assert_eq(s.n_counting, 0);
    cr_assert_eq(refs_lamport(&a, &s, NULL, &lamport), ERR_OK);
    arena_release(&a);
}
