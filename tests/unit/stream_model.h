/* Random histories of one stream for the tests of refs and record: a tree of events per feed whose parents are known,
 * with references of every honest and dishonest sort, and what they mean worked out naively from the sentences of the
 * fine print. Ids are drawn, not hashed, so that a test can have what only a cheat with much computing power could:
 * cycles of references and prefixes that match twice. */
#ifndef CAIRN_STREAM_MODEL_H
#define CAIRN_STREAM_MODEL_H

#include "prop.h"
#include "proto/event.h"
#include "proto/mp.h"
#include "pure/refs.h"

#include <assert.h>
#include <criterion/criterion.h>

#define MODEL_MAX  16
#define MODEL_REFS REPLACES_MAX
#define MODEL_DRAW 4 /* references that model_refer gives an event at most */

typedef struct {
    feed_id feed;
    uint64_t seq;
    int parent; /* the event before it in its chain, or -1 */
    bool ours;  /* in the stream; else in another one */
    bool counts;
    event_id id;
    hlc_stamp stamp;
    event_reference refs[MODEL_REFS];
    unsigned n_refs;
    bool has_cause;
    event_reference cause;
    uint64_t row;
    uint32_t branch;
    buf body;
    event_view view;
    /* worked out: */
    int before;
    int target[MODEL_REFS];
    unsigned n_targets;
} model_event;

typedef struct {
    int n;
    model_event e[MODEL_MAX];
    feed_id barred_feed;
    uint64_t barred_seq;
    bool reach[MODEL_MAX][MODEL_MAX]; /* [i][j]: i comes after j */
    int order[MODEL_MAX];
    int n_order;
    arena arena;
    refs_rules rules;
} model;

static inline bool model_barred(const void *ctx, feed_id by, feed_id feed, uint64_t seq)
{
    const model *m = ctx;
    return feed == m->barred_feed && seq >= m->barred_seq && feed_member(by) != feed_member(feed);
}

/* ---- making ---- */

static inline int model_tip(const model *m, feed_id feed)
{
    for (int i = m->n - 1; i >= 0; i--)
        if (m->e[i].feed == feed)
            return i;
    return -1;
}

/* Somewhere in the feed's tree: nearly always its tip, at times an older event or a new root. */
static inline int model_parent(prop_rng *r, const model *m, feed_id feed, bool forks)
{
    int tip = model_tip(m, feed);
    if (!forks || prop_below(r, 4) != 0)
        return tip;
    int back = (int)prop_below(r, 5);
    for (; back > 0 && tip >= 0; back--)
        tip = m->e[tip].parent;
    return tip;
}

/* Events without references: feeds, chains, stamps, ids. */
static inline void model_grow(prop_rng *r, model *m, int n)
{
    static const feed_id feeds[] = {1, 2, 3, 2u | 1u << 16, 2u | 4u << 16};
    unsigned n_feeds = 1 + (unsigned)prop_below(r, 5), walls = 1 + (unsigned)prop_below(r, 12);
    bool forks = prop_below(r, 3) == 0, voids = prop_below(r, 3) == 0, near = prop_below(r, 3) == 0;
    for (int i = 0; i < n; i++) {
        model_event *e = &m->e[i];
        m->n = i;
        e->feed = feeds[prop_below(r, n_feeds)];
        e->parent = model_parent(r, m, e->feed, forks);
        e->seq = e->parent < 0 ? 1 : m->e[e->parent].seq + 1;
        e->ours = prop_below(r, 4) != 0;
        e->counts = !voids || prop_below(r, 4) != 0;
        /* clocks: in step, or right out of it */
        e->stamp.wall_ms = prop_below(r, 4) ? (uint64_t)i * walls / 4 : prop_below(r, 3) * 1000;
        e->stamp.counter = (uint32_t)prop_below(r, 2);
        for (unsigned b = 0; b < sizeof e->id.b; b++)
            e->id.b[b] = (uint8_t)prop_u64(r);
        if (near) {
            e->id.b[0] = 7;
            e->id.b[1] = (uint8_t)prop_below(r, 2);
        }
    }
    m->n = n;
    m->barred_feed = prop_below(r, 4) ? 0 : 2;
    m->barred_seq = 1 + prop_below(r, 4);
}

static inline int model_back(const model *m, int i, uint64_t distance)
{
    for (; distance > 0 && i >= 0; distance--)
        i = m->e[i].parent;
    return i;
}

/* A reference from i to any event at all, by distance where the chain allows it. */
static inline event_reference model_name(prop_rng *r, const model *m, int i, int to)
{
    const model_event *t = &m->e[to];
    event_reference ref = {.full = event_ref_of(t->feed, t->seq, &t->id)};
    if (prop_below(r, 20) == 0)
        ref.full.prefix ^= 1;
    uint64_t d = m->e[i].seq > t->seq ? m->e[i].seq - t->seq : 0;
    if (d > 0 && m->e[i].feed == t->feed && prop_below(r, 4) != 0 &&
        (model_back(m, i, d) == to || prop_below(r, 4) == 0))
        ref = (event_reference){.distance = d};
    return ref;
}

static inline bool model_same_ref(const event_reference *a, const event_reference *b)
{
    return a->distance == b->distance && a->full.feed == b->full.feed &&
           a->full.seq == b->full.seq && a->full.prefix == b->full.prefix;
}

static inline void model_add_ref(model_event *e, event_reference ref)
{
    for (unsigned k = 0; k < e->n_refs; k++)
        if (model_same_ref(&e->refs[k], &ref))
            return;
    if (e->n_refs < MODEL_REFS)
        e->refs[e->n_refs++] = ref;
}

/* References: mostly to earlier events, as an honest writer can; at times to any. */
static inline void model_refer(prop_rng *r, model *m)
{
    bool cheats = prop_below(r, 3) == 0;
    for (int i = 0; i < m->n; i++) {
        model_event *e = &m->e[i];
        unsigned n = (unsigned)prop_below(r, MODEL_DRAW + 1);
        int among = cheats ? m->n : i;
        for (unsigned k = 0; k < n && among > 0; k++)
            model_add_ref(e, model_name(r, m, i, (int)prop_below(r, (uint64_t)among)));
        if (prop_below(r, 4) == 0) {
            e->has_cause = true;
            e->cause = model_name(r, m, i, (int)prop_below(r, (uint64_t)m->n));
        }
    }
}

static inline void model_put_ref(buf *b, const event_reference *r)
{
    if (r->distance > 0) {
        mp_put_uint(b, r->distance);
        return;
    }
    mp_put_array(b, 3);
    mp_put_uint(b, r->full.feed);
    mp_put_uint(b, r->full.seq);
    mp_put_uint(b, r->full.prefix);
}

static inline void model_build(model_event *e, const char *kind, bytes payload)
{
    buf attributes;
    buf_init(&attributes, 1024);
    if (e->has_cause) {
        mp_put_map(&attributes, 1);
        mp_put_cstr(&attributes, "cause");
        model_put_ref(&attributes, &e->cause);
    }
    event_fields f = {.stamp = e->stamp,
                      .replaces = e->refs,
                      .n_replaces = e->n_refs,
                      .category = bytes_str("form"),
                      .stream = bytes_str("record"),
                      .kind = bytes_str(kind),
                      .payload = payload,
                      .attributes = buf_view(&attributes)};
    buf_init(&e->body, 4096);
    cr_assert_eq(event_build(&f, &e->body), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&e->body), &e->view), ERR_OK);
    cr_assert(!e->view.opaque);
    buf_release(&attributes);
}

/* Branch labels as a node would make them: from rows with numbers of its own. */
static inline void model_label(prop_rng *r, model *m)
{
    refs_link links[MODEL_MAX];
    uint64_t base = prop_below(r, 1000);
    uint32_t n = 0;
    for (int i = 0; i < m->n; i++)
        m->e[i].row = 1 + base + (uint64_t)((i * 7 + (int)(base % 16)) % 16);
    for (uint32_t feed_seq = 0; feed_seq < 5u * 20; feed_seq++) {
        static const feed_id ascending[] = {1, 2, 3, 2u | 1u << 16, 2u | 4u << 16};
        for (int k = 0; k < m->n; k++) {
            int i = base % 2 ? k : m->n - 1 - k; /* siblings in either order */
            const model_event *e = &m->e[i];
            if (e->feed == ascending[feed_seq / 20] && e->seq == feed_seq % 20)
                links[n++] = (refs_link){e->feed, e->seq, e->row,
                                         e->parent < 0 ? 0 : m->e[e->parent].row, 0};
        }
    }
    cr_assert_eq(n, (uint32_t)m->n);
    cr_assert_eq(refs_label(&m->arena, links, n, &m->rules.branches, &m->rules.n_branches), ERR_OK);
    for (uint32_t k = 0; k < n; k++)
        for (int i = 0; i < m->n; i++)
            if (m->e[i].row == links[k].row)
                m->e[i].branch = links[k].branch;
    m->rules.barred = model_barred;
    m->rules.ctx = m;
}

/* ---- meaning, straight from the sentences ---- */

static inline bool model_in(const model *m, int i)
{
    return i >= 0 && m->e[i].ours && m->e[i].counts;
}

static inline int model_resolve(const model *m, int i, const event_reference *r)
{
    int found = -1;
    if (r->distance > 0) {
        int at = model_back(m, i, r->distance);
        return model_in(m, at) ? at : -1;
    }
    if (model_barred(m, m->e[i].feed, r->full.feed, r->full.seq))
        return -1;
    for (int k = 0; k < m->n; k++) {
        const model_event *e = &m->e[k];
        if (!model_in(m, k) || e->feed != r->full.feed || e->seq != r->full.seq ||
            get_u16be(e->id.b) != r->full.prefix)
            continue;
        if (found >= 0)
            return -1;
        found = k;
    }
    return found;
}

static inline void model_close(model *m)
{
    memset(m->reach, 0, sizeof m->reach);
    for (int i = 0; i < m->n; i++) {
        if (!model_in(m, i))
            continue;
        for (unsigned k = 0; k < m->e[i].n_targets; k++)
            m->reach[i][m->e[i].target[k]] = true;
        if (m->e[i].before >= 0)
            m->reach[i][m->e[i].before] = true;
    }
    for (int k = 0; k < m->n; k++)
        for (int i = 0; i < m->n; i++)
            for (int j = 0; j < m->n; j++)
                m->reach[i][j] = m->reach[i][j] || (m->reach[i][k] && m->reach[k][j]);
}

/* Negative when a shows before b in ascending order of (wall, counter, feed, seq, id). */
static inline int model_cmp(const model_event *a, const model_event *b)
{
    if (hlc_cmp(a->stamp, b->stamp) != 0)
        return hlc_cmp(a->stamp, b->stamp);
    if (a->feed != b->feed)
        return a->feed < b->feed ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return memcmp(a->id.b, b->id.b, sizeof a->id.b);
}

static inline bool model_ready(const model *m, int i, const bool *out)
{
    for (int j = 0; j < m->n; j++)
        if (m->reach[i][j] && !out[j])
            return false;
    return true;
}

static inline void model_order(model *m)
{
    bool out[MODEL_MAX] = {false};
    for (m->n_order = 0;; m->n_order++) {
        int best = -1;
        for (int i = 0; i < m->n; i++)
            if (model_in(m, i) && !out[i] && model_ready(m, i, out) &&
                (best < 0 || model_cmp(&m->e[i], &m->e[best]) < 0))
                best = i;
        if (best < 0)
            return;
        out[best] = true;
        m->order[m->n_order] = best;
    }
}

static inline void model_mean(model *m)
{
    for (int i = 0; i < m->n; i++) {
        model_event *e = &m->e[i];
        e->n_targets = 0;
        for (e->before = e->parent; e->before >= 0 && !model_in(m, e->before);)
            e->before = m->e[e->before].parent;
        for (unsigned k = 0; k < e->n_refs; k++) {
            int t = model_resolve(m, i, &e->refs[k]);
            bool again = t < 0;
            for (unsigned j = 0; j < e->n_targets; j++)
                again = again || e->target[j] == t;
            if (!again)
                e->target[e->n_targets++] = t;
        }
    }
    model_close(m);
    for (int i = 0; i < m->n; i++) { /* inside a cycle: none */
        model_event *e = &m->e[i];
        unsigned kept = 0;
        for (unsigned k = 0; k < e->n_targets; k++)
            if (!model_in(m, i) || !m->reach[e->target[k]][i])
                e->target[kept++] = e->target[k];
        e->n_targets = kept;
    }
    model_close(m);
    model_order(m);
}

static inline void model_begin(model *m)
{
    memset(m, 0, sizeof *m);
    arena_init(&m->arena);
}

static inline void model_end(model *m)
{
    for (int i = 0; i < m->n; i++)
        buf_release(&m->e[i].body);
    arena_release(&m->arena);
}

/* The stream's events in a drawn order of arrival; index[k] says which model event out[k] is. */
static inline uint32_t model_arrive(prop_rng *r, const model *m, refs_event *out, int *index)
{
    uint32_t n = 0;
    for (int i = 0; i < m->n; i++)
        if (m->e[i].ours)
            index[n++] = i;
    for (uint32_t k = n; k > 1; k--) {
        uint32_t with = (uint32_t)prop_below(r, k);
        int t = index[with];
        index[with] = index[k - 1];
        index[k - 1] = t;
    }
    for (uint32_t k = 0; k < n; k++) {
        const model_event *e = &m->e[index[k]];
        out[k] = (refs_event){.feed = e->feed,
                              .branch = e->branch,
                              .seq = e->seq,
                              .id = &e->id,
                              .view = &e->view,
                              .counts = e->counts};
    }
    return n;
}

#endif
