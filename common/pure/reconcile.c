#include "pure/reconcile.h"

#include <stdlib.h>

uint64_t reconcile_mask(const frontier *mine, const uint64_t theirs[FRONTIER_BUCKETS])
{
    uint64_t ours[FRONTIER_BUCKETS], mask = 0;
    frontier_buckets(mine, ours);
    for (unsigned b = 0; b < FRONTIER_BUCKETS; b++)
        if (ours[b] != theirs[b])
            mask |= 1ull << b;
    return mask ? mask : FRONTIER_ALL_BUCKETS;
}

static bool in_mask(uint64_t mask, feed_id feed)
{
    return mask >> frontier_bucket(feed) & 1;
}

err_t reconcile_entries(const frontier *mine, uint64_t mask, frontier *out)
{
    frontier_clear(out);
    for (size_t i = 0; i < mine->n; i++)
        if (in_mask(mask, mine->at[i].feed))
            TRY(frontier_add(out, &mine->at[i]));
    return ERR_OK;
}

err_t reconcile_heard(reconcile_peer *peer, uint64_t mask, const frontier_entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (e[i].seq == 0 || feed_class_of(e[i].feed) == CLASS_RESERVED ||
            !in_mask(mask, e[i].feed))
            return ERR_MALFORMED;
    peer->mask = 0;
    TRY(frontier_set(&peer->entries, e, n));
    peer->mask = mask;
    return ERR_OK;
}

void reconcile_release(reconcile_peer *peer)
{
    frontier_release(&peer->entries);
    peer->mask = 0;
}

/* ---- one feed of both sides ---- */

typedef struct {
    const frontier_entry *at;
    size_t n;
} tips;

static tips tips_of(const frontier *f, feed_id feed)
{
    tips t = {NULL, 0};
    size_t first = frontier_feed(f, feed, &t.n);
    if (t.n)
        t.at = &f->at[first];
    return t;
}

/* Sorted by seq: the last one is the longest. */
static uint64_t longest(tips t)
{
    return t.n ? t.at[t.n - 1].seq : 0;
}

typedef enum { NOT_HELD, HELD, UNSURE } holding;

static holding held_by_frontier(const frontier *mine, tips ours, const frontier_entry *e)
{
    if (e->seq > longest(ours))
        return NOT_HELD;
    return frontier_has(mine, e) ? HELD : UNSURE;
}

err_t reconcile_unsure(const frontier *mine, const reconcile_peer *peer, frontier *out)
{
    frontier_clear(out);
    for (size_t i = 0; i < peer->entries.n; i++) {
        const frontier_entry *e = &peer->entries.at[i];
        if (held_by_frontier(mine, tips_of(mine, e->feed), e) == UNSURE)
            TRY(frontier_add(out, e));
    }
    return ERR_OK;
}

static bool is_held(const reconcile_input *in, tips ours, const frontier_entry *e)
{
    holding h = held_by_frontier(in->mine, ours, e);
    return h == HELD || (h == UNSURE && in->view->holds(in->view->ctx, e->feed, e->seq, &e->id));
}

/* ---- how much the other side lacks ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t meet(const reconcile_input *in, const frontier_entry *a, const frontier_entry *b)
{
    if (!in->view->meet)
        return min_u64(a->seq, b->seq);
    return in->view->meet(in->view->ctx, a->feed, a->seq, &a->id, b->seq, &b->id);
}

/* How much of my branch the peer has by this tip of its own: exact if I hold the tip, else the most it can be. */
static uint64_t shared(const reconcile_input *in, tips ours, const frontier_entry *own,
                       const frontier_entry *their)
{
    if (frontier_entry_cmp(own, their) == 0)
        return own->seq;
    if (is_held(in, ours, their))
        return meet(in, own, their);
    return their->seq > own->seq ? own->seq : their->seq - 1;
}

/* Each of my branches, less what the peer has of it and what an earlier branch was counted for. */
static uint64_t they_lack(const reconcile_input *in, tips ours, tips theirs)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ours.n; i++) {
        uint64_t covered = 0;
        for (size_t j = 0; j < theirs.n && covered < ours.at[i].seq; j++) {
            uint64_t s = shared(in, ours, &ours.at[i], &theirs.at[j]);
            covered = s > covered ? s : covered;
        }
        for (size_t j = 0; j < i && covered < ours.at[i].seq; j++) {
            uint64_t s = meet(in, &ours.at[i], &ours.at[j]);
            covered = s > covered ? s : covered;
        }
        sum += ours.at[i].seq - covered;
    }
    return sum;
}

/* ---- wants ---- */

static err_t add_want(reconcile_wants_list *out, const reconcile_want *w)
{
    if (out->n == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 16;
        reconcile_want *at = realloc(out->at, cap * sizeof *at);
        if (!at)
            return ERR_NO_MEMORY;
        out->at = at;
        out->cap = cap;
    }
    out->at[out->n++] = *w;
    return ERR_OK;
}

static uint8_t rank_of(const reconcile_input *in, feed_id feed)
{
    static const uint8_t by_class[] = {
        [CLASS_ROUTINE] = 2, [CLASS_EXPRESS] = 1, [CLASS_BULK] = 3, [CLASS_RESERVED] = 3};
    return in->is_roster && in->is_roster(in->ctx, feed) ? 0 : by_class[feed_class_of(feed)];
}

/* `alone`: neither side knows of a fork. Then what I hold leads to the tip; otherwise the best guess is my longest
 * branch below it. */
static reconcile_want want_of(const reconcile_input *in, tips ours, const frontier_entry *tip,
                              bool alone)
{
    reconcile_want w = {
        .feed = tip->feed, .tip_seq = tip->seq, .tip_id = tip->id, .rank = rank_of(in, tip->feed)};
    for (size_t i = 0; i < ours.n && ours.at[i].seq < tip->seq; i++) {
        w.after_seq = ours.at[i].seq;
        w.after_id = ours.at[i].id;
    }
    w.uncertain = ours.n > 0 && !(alone && ours.n == 1 && w.after_seq > 0);
    return w;
}

/* Wants the longest branch that is missing first: of many forged short ones none can stand in its way. */
static err_t wants_of_feed(const reconcile_input *in, tips ours, tips theirs,
                           reconcile_wants_list *out)
{
    const frontier_entry *best = NULL;
    uint64_t reach = longest(ours);
    for (size_t i = 0; i < theirs.n; i++) {
        const frontier_entry *e = &theirs.at[i];
        if (is_held(in, ours, e))
            continue;
        out->we_lack += e->seq > reach ? e->seq - reach : 1;
        reach = e->seq > reach ? e->seq : reach;
        out->more |= best != NULL;
        best = e;
    }
    if (!best)
        return ERR_OK;
    reconcile_want w = want_of(in, ours, best, theirs.n == 1);
    return add_want(out, &w);
}

static bool wanted_already(const reconcile_wants_list *out, size_t n, feed_id feed)
{
    size_t lo = 0, hi = n; /* the first n are sorted by feed */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (out->at[mid].feed < feed)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && out->at[lo].feed == feed;
}

/* Listed heads of feeds that nothing else is wanted of; several of one feed one after the other. */
static err_t add_listed(const reconcile_input *in, reconcile_wants_list *out)
{
    size_t n = out->n;
    feed_id last = 0;
    for (size_t i = 0; i < in->n_listed; i++) {
        const frontier_entry *e = &in->listed[i];
        if (wanted_already(out, n, e->feed) || (out->n > n && e->feed == last)) {
            out->more = true;
            continue;
        }
        last = e->feed;
        reconcile_want w = want_of(in, tips_of(in->mine, e->feed), e, true);
        w.listed = true;
        TRY(add_want(out, &w));
    }
    return ERR_OK;
}

static int by_service(const void *a, const void *b)
{
    const reconcile_want *x = a, *y = b;
    uint64_t xn = x->tip_seq - x->after_seq, yn = y->tip_seq - y->after_seq;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (xn != yn)
        return xn < yn ? -1 : 1;
    return (x->feed > y->feed) - (x->feed < y->feed);
}

/* Feeds of both sides in ascending order, each once. False at the end. */
static bool next_feed(const reconcile_input *in, size_t *i, size_t *j, feed_id *feed)
{
    const frontier *a = in->mine, *b = &in->peer->entries;
    if (*i >= a->n && *j >= b->n)
        return false;
    bool from_b = *i >= a->n || (*j < b->n && b->at[*j].feed < a->at[*i].feed);
    *feed = from_b ? b->at[*j].feed : a->at[*i].feed;
    while (*i < a->n && a->at[*i].feed == *feed)
        ++*i;
    while (*j < b->n && b->at[*j].feed == *feed)
        ++*j;
    return true;
}

err_t reconcile_wants(const reconcile_input *in, reconcile_wants_list *out)
{
    out->n = 0;
    out->we_lack = out->they_lack = 0;
    out->more = false;
    feed_id feed;
    for (size_t i = 0, j = 0; next_feed(in, &i, &j, &feed);) {
        if (!in_mask(in->peer->mask, feed))
            continue;
        tips ours = tips_of(in->mine, feed), theirs = tips_of(&in->peer->entries, feed);
        out->they_lack += they_lack(in, ours, theirs);
        TRY(wants_of_feed(in, ours, theirs, out));
    }
    TRY(add_listed(in, out));
    if (out->n > 1)
        qsort(out->at, out->n, sizeof *out->at, by_service);
    return ERR_OK;
}

void reconcile_wants_release(reconcile_wants_list *w)
{
    free(w->at);
    *w = (reconcile_wants_list){0};
}

/* ---- the last common event of a forked feed ---- */

void reconcile_search_init(reconcile_search *s, uint64_t tip_seq, uint64_t mine_max)
{
    /* Nothing above what I hold can be common, nor the tip, which I do not hold. */
    uint64_t beyond = mine_max < tip_seq ? mine_max + 1 : tip_seq;
    *s = (reconcile_search){.common = 0, .beyond = beyond, .guess = beyond - 1};
}

/* guess, guess - 1, guess - 3, guess - 7 …, ascending. */
static size_t near_points(const reconcile_search *s, uint64_t points[RECONCILE_POINTS])
{
    uint64_t down[RECONCILE_POINTS];
    size_t n = 0;
    for (uint64_t back = 0; n < RECONCILE_POINTS && s->guess > s->common + back;
         back = back * 2 + 1)
        down[n++] = s->guess - back;
    for (size_t i = 0; i < n; i++)
        points[i] = down[n - 1 - i];
    return n;
}

size_t reconcile_search_points(reconcile_search *s, uint64_t points[RECONCILE_POINTS])
{
    if (s->common + 1 >= s->beyond)
        return 0;
    bool first = !s->started;
    s->started = true;
    if (first)
        return near_points(s, points);
    uint64_t open = s->beyond - s->common - 1;
    size_t n = open < RECONCILE_POINTS ? (size_t)open : RECONCILE_POINTS;
    for (size_t i = 0; i < n; i++) /* open * (i + 1) / (n + 1) without overflow */
        points[i] = s->common + 1 + open / (n + 1) * (i + 1) + open % (n + 1) * (i + 1) / (n + 1);
    return n;
}

void reconcile_search_answer(reconcile_search *s, uint64_t seq, bool held)
{
    if (held && seq > s->common)
        s->common = seq;
    if (!held && seq < s->beyond)
        s->beyond = seq;
}
