#include "pure/crypto.h"
#include "pure/reconcile.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

/* ---- a world of feeds, each a tree of events, and nodes that hold parts of it ---- */

#define FEEDS  6
#define EVENTS 160

typedef struct {
    feed_id feed;
    uint64_t seq;
    int parent; /* index, -1 at seq 1 */
    event_id id;
} event;

typedef struct {
    event e[EVENTS];
    int n;
} world;

typedef struct {
    const world *w;
    bool held[EVENTS];
    frontier f;
    size_t received, doubles, lookups;
} node;

static const feed_id feeds[FEEDS] = {1, 0x00010001, 2, 0x00020002, 0x40000003, 0x40010003};

static int find(const world *w, feed_id feed, uint64_t seq, const event_id *id)
{
    for (int i = 0; i < w->n; i++)
        if (w->e[i].feed == feed && w->e[i].seq == seq && event_id_eq(&w->e[i].id, id))
            return i;
    return -1;
}

/* Each event continues a tip, or with a chance of `forks` in 100 any other event of the feed. */
static void make_world(world *w, prop_rng *r, unsigned n_feeds, unsigned forks)
{
    w->n = (int)prop_below(r, EVENTS);
    for (int i = 0; i < w->n; i++) {
        event *e = &w->e[i];
        e->feed = feeds[prop_below(r, n_feeds)];
        e->parent = -1;
        bool fork = prop_below(r, 100) < forks;
        for (int j = 0; j < i; j++) {
            bool longer = e->parent < 0 || w->e[j].seq > w->e[e->parent].seq;
            if (w->e[j].feed == e->feed && (fork ? prop_below(r, 3) == 0 : longer))
                e->parent = j;
        }
        e->seq = e->parent < 0 ? 1 : w->e[e->parent].seq + 1;
        for (size_t b = 0; b < sizeof e->id.b; b++)
            e->id.b[b] = (uint8_t)prop_u64(r);
    }
}

static void set_frontier(node *nd)
{
    frontier_clear(&nd->f);
    for (int i = 0; i < nd->w->n; i++) {
        bool tip = nd->held[i];
        for (int j = 0; j < nd->w->n; j++)
            tip &= !(nd->held[j] && nd->w->e[j].parent == i);
        if (tip)
            cr_assert_eq(frontier_add(&nd->f, &(frontier_entry){nd->w->e[i].feed, nd->w->e[i].seq,
                                                                nd->w->e[i].id}),
                         ERR_OK);
    }
}

static void hold_some(node *nd, const world *w, prop_rng *r)
{
    memset(nd, 0, sizeof *nd);
    nd->w = w;
    uint64_t chance = prop_below(r, 101);
    for (int i = 0; i < w->n; i++)
        nd->held[i] = (w->e[i].parent < 0 || nd->held[w->e[i].parent]) &&
                      (prop_below(r, 100) < chance || prop_below(r, 3));
    set_frontier(nd);
}

static bool holds(void *ctx, feed_id feed, uint64_t seq, const event_id *id)
{
    node *nd = ctx;
    nd->lookups++;
    int i = find(nd->w, feed, seq, id);
    return i >= 0 && nd->held[i];
}

static int ancestor(const world *w, int i, uint64_t seq)
{
    while (i >= 0 && w->e[i].seq > seq)
        i = w->e[i].parent;
    return i;
}

static uint64_t meet(void *ctx, feed_id feed, uint64_t a_seq, const event_id *a, uint64_t b_seq,
                     const event_id *b)
{
    node *nd = ctx;
    int x = find(nd->w, feed, a_seq, a), y = find(nd->w, feed, b_seq, b);
    cr_assert(x >= 0 && nd->held[x] && y >= 0 && nd->held[y], "meet is asked about held events");
    while (x != y && x >= 0 && y >= 0) {
        uint64_t least = nd->w->e[x].seq < nd->w->e[y].seq ? nd->w->e[x].seq : nd->w->e[y].seq;
        bool level = nd->w->e[x].seq == nd->w->e[y].seq;
        x = ancestor(nd->w, x, level ? least - 1 : least);
        y = ancestor(nd->w, y, level ? least - 1 : least);
    }
    return x < 0 || y < 0 ? 0 : nd->w->e[x].seq;
}

/* ---- the exchange, as two gossips would do it ---- */

/* What A learns of B's frontier; false when the digests are equal. */
static bool hear(const node *a, const node *b, reconcile_peer *peer)
{
    uint8_t da[FRONTIER_DIGEST_BYTES], db[FRONTIER_DIGEST_BYTES];
    frontier_digest(&a->f, da);
    frontier_digest(&b->f, db);
    if (memcmp(da, db, sizeof da) == 0)
        return false;
    uint64_t mask = FRONTIER_ALL_BUCKETS;
    if (b->f.n > RECONCILE_SMALL / 4) { /* a quarter, to try both ways often */
        uint64_t buckets[FRONTIER_BUCKETS];
        frontier_buckets(&b->f, buckets);
        mask = reconcile_mask(&a->f, buckets);
    }
    frontier said = {0};
    cr_assert_eq(reconcile_entries(&b->f, mask, &said), ERR_OK);
    cr_assert_eq(reconcile_heard(peer, mask, said.at, said.n), ERR_OK);
    frontier_release(&said);
    return true;
}

static void search(node *a, const node *b, reconcile_want *w)
{
    reconcile_search s;
    uint64_t points[RECONCILE_POINTS], mine_max = 0;
    size_t n, k, first = frontier_feed(&a->f, w->feed, &k);
    for (size_t i = 0; i < k; i++)
        mine_max = a->f.at[first + i].seq;
    int tip = find(a->w, w->feed, w->tip_seq, &w->tip_id);
    cr_assert(b->held[tip]);
    reconcile_search_init(&s, w->tip_seq, mine_max);
    for (int turns = 0; (n = reconcile_search_points(&s, points)) > 0; turns++) {
        cr_assert(turns < 10);
        for (size_t i = 0; i < n; i++)
            reconcile_search_answer(&s, points[i], a->held[ancestor(a->w, tip, points[i])]);
    }
    w->after_seq = s.common;
    if (s.common > 0)
        w->after_id = a->w->e[ancestor(a->w, tip, s.common)].id;
}

/* B serves a run; false when `after` does not lead to the tip. */
static bool serve(node *a, const node *b, const reconcile_want *w)
{
    int tip = find(a->w, w->feed, w->tip_seq, &w->tip_id);
    cr_assert(tip >= 0 && b->held[tip]);
    int after = ancestor(a->w, tip, w->after_seq);
    if (w->after_seq > 0 && !event_id_eq(&a->w->e[after].id, &w->after_id))
        return false;
    for (int i = tip; i != after && i >= 0; i = a->w->e[i].parent) {
        a->doubles += a->held[i];
        a->received++;
        a->held[i] = true;
    }
    return true;
}

static void pull(node *a, const node *b)
{
    reconcile_peer peer = {0};
    reconcile_wants_list wants = {0};
    chain_view view = {a, holds, meet};
    for (int round = 0; hear(a, b, &peer); round++) {
        cr_assert(round <= EVENTS);
        reconcile_input in = {.mine = &a->f, .peer = &peer, .view = &view};
        cr_assert_eq(reconcile_wants(&in, &wants), ERR_OK);
        for (size_t i = 0; i < wants.n; i++) {
            reconcile_want w = wants.at[i];
            if (w.uncertain || !serve(a, b, &w)) {
                search(a, b, &w);
                cr_assert(serve(a, b, &w));
            }
        }
        set_frontier(a);
        if (!wants.more)
            break;
    }
    reconcile_wants_release(&wants);
    reconcile_release(&peer);
}

static size_t missing(const node *a, const node *b)
{
    size_t n = 0;
    for (int i = 0; i < a->w->n; i++)
        n += b->held[i] && !a->held[i];
    return n;
}

Test(reconcile, both_end_equal_and_each_event_crosses_once)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    prop_rng r = prop_begin("reconcile");
    static world w;
    static node a, b;
    for (int round = 0; round < 400; round++) {
        make_world(&w, &r, 1 + (unsigned)prop_below(&r, FEEDS), round % 2 ? 0 : 15);
        hold_some(&a, &w, &r);
        hold_some(&b, &w, &r);
        size_t a_lacks = missing(&a, &b), b_lacks = missing(&b, &a);
        pull(&a, &b);
        pull(&b, &a);
        cr_assert_eq(a.received, a_lacks);
        cr_assert_eq(b.received, b_lacks);
        cr_assert_eq(a.doubles + b.doubles, 0);
        cr_assert_eq(missing(&a, &b) + missing(&b, &a), 0);
        reconcile_peer peer = {0};
        cr_assert_not(hear(&a, &b, &peer), "one round trip when nothing is to be said");
        frontier_release(&a.f);
        frontier_release(&b.f);
    }
}

static reconcile_wants_list wants_between(node *a, const node *b, reconcile_peer *peer)
{
    reconcile_wants_list wants = {0};
    chain_view view = {a, holds, meet};
    if (hear(a, b, peer)) {
        reconcile_input in = {.mine = &a->f, .peer = peer, .view = &view};
        cr_assert_eq(reconcile_wants(&in, &wants), ERR_OK);
    }
    return wants;
}

Test(reconcile, counts_what_is_lacking)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    prop_rng r = prop_begin("reconcile counts");
    static world w;
    static node a, b;
    for (int round = 0; round < 400; round++) {
        bool forked = round % 2;
        make_world(&w, &r, FEEDS, forked ? 15 : 0);
        hold_some(&a, &w, &r);
        hold_some(&b, &w, &r);
        size_t we = missing(&a, &b), they = missing(&b, &a);
        reconcile_peer peer = {0};
        reconcile_wants_list wants = wants_between(&a, &b, &peer);
        cr_assert(forked ? wants.we_lack <= we : wants.we_lack == we);
        cr_assert((wants.we_lack > 0) == (we > 0));
        bool exact = !forked || we == 0; /* all of the peer's tips are held here */
        cr_assert(exact ? wants.they_lack == they : wants.they_lack <= they);
        reconcile_wants_release(&wants);
        reconcile_release(&peer);
        frontier_release(&a.f);
        frontier_release(&b.f);
    }
}

/* Whatever `holds` could be asked about stands in the list to look up beforehand. */
Test(reconcile, lookups_are_announced)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    prop_rng r = prop_begin("reconcile lookups");
    static world w;
    static node a, b;
    size_t looked = 0;
    for (int round = 0; round < 300; round++) {
        make_world(&w, &r, 1 + (unsigned)prop_below(&r, FEEDS), 10);
        hold_some(&a, &w, &r);
        hold_some(&b, &w, &r);
        reconcile_peer peer = {0};
        frontier unsure = {0};
        reconcile_wants_list wants = wants_between(&a, &b, &peer);
        cr_assert_eq(reconcile_unsure(&a.f, &peer, &unsure), ERR_OK);
        cr_assert((unsure.n > 0) == (a.lookups > 0));
        for (size_t i = 0; i < peer.entries.n; i++) {
            const frontier_entry *e = &peer.entries.at[i];
            bool held = a.held[find(&w, e->feed, e->seq, &e->id)];
            bool settled = frontier_has(&a.f, e) || (!held && !frontier_has(&unsure, e));
            cr_assert(settled || frontier_has(&unsure, e));
        }
        looked += a.lookups;
        frontier_release(&unsure);
        reconcile_wants_release(&wants);
        reconcile_release(&peer);
        frontier_release(&a.f);
        frontier_release(&b.f);
    }
    cr_assert(looked > 0);
}

/* ---- order of service, by hand ---- */

static frontier_entry entry(feed_id feed, uint64_t seq, uint8_t tag)
{
    frontier_entry e = {feed, seq, {{0}}};
    memset(e.id.b, tag, sizeof e.id.b);
    return e;
}

static bool number_one(void *ctx, feed_id feed)
{
    (void)ctx;
    return feed_member(feed) == 1;
}

static bool holds_nothing(void *ctx, feed_id feed, uint64_t seq, const event_id *id)
{
    (void)ctx;
    (void)feed;
    (void)seq;
    (void)id;
    return false;
}

Test(reconcile, roster_then_express_then_routine_then_bulk_short_first)
{
    const feed_id express = feed_make(0, CLASS_EXPRESS, 5), bulk = feed_make(0, CLASS_BULK, 5);
    frontier_entry theirs[] = {entry(bulk, 2, 1), entry(7, 900, 1), entry(5, 30, 1),
                               entry(express, 4, 1), entry(1, 1000, 1)};
    frontier mine = {0};
    frontier_entry own = entry(7, 899, 2);
    cr_assert_eq(frontier_add(&mine, &own), ERR_OK);
    reconcile_peer peer = {0};
    cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, theirs, 5), ERR_OK);
    chain_view view = {NULL, holds_nothing, NULL};
    reconcile_input in = {.mine = &mine, .peer = &peer, .view = &view, .is_roster = number_one};
    reconcile_wants_list w = {0};
    cr_assert_eq(reconcile_wants(&in, &w), ERR_OK);
    const feed_id order[] = {1, express, 7, 5, bulk};
    cr_assert_eq(w.n, 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(w.at[i].feed, order[i]);
    cr_assert_eq(w.at[2].after_seq, 899);
    cr_assert(event_id_eq(&w.at[2].after_id, &own.id));
    cr_assert_not(w.at[2].uncertain);
    cr_assert_eq(w.at[3].after_seq, 0);
    cr_assert_not(w.more);
    cr_assert_eq(w.we_lack, 2 + 1 + 30 + 4 + 1000);
    cr_assert_eq(w.they_lack, 0);
    reconcile_wants_release(&w);
    reconcile_release(&peer);
    frontier_release(&mine);
}

Test(reconcile, listed_heads_are_wanted_beside_the_frontier)
{
    frontier_entry theirs[] = {entry(4, 3, 1)};
    frontier_entry listed[] = {entry(4, 9, 1), entry(6, 8, 1), entry(6, 9, 2), entry(8, 2, 1)};
    frontier mine = {0};
    frontier_entry own = entry(6, 5, 3);
    cr_assert_eq(frontier_add(&mine, &own), ERR_OK);
    reconcile_peer peer = {0};
    cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, theirs, 1), ERR_OK);
    chain_view view = {NULL, holds_nothing, NULL};
    reconcile_input in = {
        .mine = &mine, .peer = &peer, .view = &view, .listed = listed, .n_listed = 4};
    reconcile_wants_list w = {0};
    cr_assert_eq(reconcile_wants(&in, &w), ERR_OK);
    cr_assert_eq(w.n, 3); /* one per feed */
    cr_assert(w.more);
    for (size_t i = 0; i < w.n; i++) {
        cr_assert_eq(w.at[i].listed, w.at[i].feed != 4);
        cr_assert_eq(w.at[i].tip_seq, w.at[i].feed == 4 ? 3 : w.at[i].feed == 6 ? 8 : 2);
        cr_assert_eq(w.at[i].after_seq, w.at[i].feed == 6 ? 5 : 0);
    }
    reconcile_wants_release(&w);
    reconcile_release(&peer);
    frontier_release(&mine);
}

/* As long as mine, but another: what to ask for is not known before a search. */
Test(reconcile, a_fork_is_recognised_by_its_length)
{
    const uint64_t lengths[] = {4, 5, 6};
    for (int i = 0; i < 3; i++) {
        frontier_entry own = entry(4, 5, 1), other = entry(4, lengths[i], 2);
        frontier mine = {0};
        cr_assert_eq(frontier_add(&mine, &own), ERR_OK);
        reconcile_peer peer = {0};
        cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, &other, 1), ERR_OK);
        chain_view view = {NULL, holds_nothing, NULL};
        reconcile_input in = {.mine = &mine, .peer = &peer, .view = &view};
        reconcile_wants_list w = {0};
        cr_assert_eq(reconcile_wants(&in, &w), ERR_OK);
        cr_assert_eq(w.n, 1);
        bool longer = lengths[i] > 5;
        cr_assert_eq(w.at[0].uncertain, !longer);
        cr_assert_eq(w.at[0].after_seq, longer ? 5 : 0);
        cr_assert_eq(w.we_lack, 1);
        cr_assert_eq(w.they_lack, longer ? 0 : 5 - lengths[i] + 1);
        reconcile_wants_release(&w);
        frontier_entry two[] = {entry(4, 6, 2), entry(4, 7, 3)};
        cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, two, 2), ERR_OK);
        cr_assert_eq(reconcile_wants(&in, &w), ERR_OK);
        cr_assert(w.at[0].uncertain, "of two branches only one can go on where mine ends");
        reconcile_wants_release(&w);
        reconcile_release(&peer);
        frontier_release(&mine);
    }
}

/* Of many branches the longest comes first: forged stumps cannot stand before the honest one (rules.md 12). */
Test(reconcile, the_longest_branch_comes_first)
{
    frontier_entry theirs[] = {entry(4, 1, 1), entry(4, 1, 2), entry(4, 50, 3), entry(4, 2, 4)};
    frontier mine = {0};
    reconcile_peer peer = {0};
    cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, theirs, 4), ERR_OK);
    chain_view view = {NULL, holds_nothing, NULL};
    reconcile_input in = {.mine = &mine, .peer = &peer, .view = &view};
    reconcile_wants_list w = {0};
    cr_assert_eq(reconcile_wants(&in, &w), ERR_OK);
    cr_assert_eq(w.n, 1);
    cr_assert_eq(w.at[0].tip_seq, 50);
    cr_assert(w.more);
    reconcile_wants_release(&w);
    reconcile_release(&peer);
}

Test(reconcile, what_a_peer_says_is_checked)
{
    reconcile_peer peer = {0};
    frontier_entry good = entry(4, 3, 1), zero = entry(4, 0, 1),
                   reserved = entry(feed_make(0, CLASS_RESERVED, 4), 3, 1);
    uint64_t mask = 1ull << frontier_bucket(4);
    cr_assert_eq(reconcile_heard(&peer, mask, &good, 1), ERR_OK);
    cr_assert_eq(peer.mask, mask);
    cr_assert_eq(reconcile_heard(&peer, ~mask, &good, 1), ERR_MALFORMED);
    cr_assert_eq(reconcile_heard(&peer, mask, &zero, 1), ERR_MALFORMED);
    cr_assert_eq(reconcile_heard(&peer, FRONTIER_ALL_BUCKETS, &reserved, 1), ERR_MALFORMED);
    cr_assert_eq(peer.entries.n, 1); /* what it said before still holds */
    reconcile_release(&peer);
}

Test(reconcile, equal_buckets_under_different_digests_mean_compare_all)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    frontier mine = {0};
    frontier_entry e = entry(4, 3, 1);
    cr_assert_eq(frontier_add(&mine, &e), ERR_OK);
    uint64_t buckets[FRONTIER_BUCKETS];
    frontier_buckets(&mine, buckets);
    cr_assert_eq(reconcile_mask(&mine, buckets), FRONTIER_ALL_BUCKETS);
    buckets[frontier_bucket(4)]++;
    buckets[3]++;
    cr_assert_eq(reconcile_mask(&mine, buckets), 1ull << frontier_bucket(4) | 1ull << 3);
    frontier_release(&mine);
}

/* ---- search ---- */

static unsigned turns_to_find(uint64_t tip, uint64_t mine_max, uint64_t fork)
{
    reconcile_search s;
    uint64_t points[RECONCILE_POINTS];
    size_t n;
    unsigned turns = 0;
    reconcile_search_init(&s, tip, mine_max);
    while ((n = reconcile_search_points(&s, points)) > 0) {
        cr_assert(n <= RECONCILE_POINTS);
        for (size_t i = 0; i < n; i++) {
            cr_assert(points[i] > 0 && points[i] < tip && points[i] <= mine_max);
            cr_assert(i == 0 || points[i] > points[i - 1]);
            reconcile_search_answer(&s, points[i], points[i] <= fork);
        }
        cr_assert(++turns < 80);
    }
    cr_assert_eq(s.common, fork);
    return turns;
}

Test(reconcile, search_finds_the_last_common_event)
{
    for (uint64_t tip = 1; tip < 60; tip++)
        for (uint64_t mine = 0; mine < 70; mine++)
            for (uint64_t fork = 0; fork < tip && fork <= mine; fork++)
                cr_assert(turns_to_find(tip, mine, fork) <= 3);
    for (uint64_t back = 1; back <= 500; back++)
        cr_assert(turns_to_find(1000000, 1000000, 1000000 - back) <= 3);
    prop_rng r = prop_begin("reconcile search");
    for (int i = 0; i < 2000; i++) {
        cr_assert(turns_to_find(1000001, 1000000, prop_below(&r, 1000000)) <= 6);
        (void)turns_to_find(UINT64_MAX, UINT64_MAX - 1 - prop_below(&r, 5), prop_u64(&r) / 2);
    }
}

/* A peer that lies cannot keep the search going. */
Test(reconcile, search_ends_on_contradictions)
{
    prop_rng r = prop_begin("reconcile lies");
    for (int i = 0; i < 2000; i++) {
        reconcile_search s;
        uint64_t points[RECONCILE_POINTS];
        size_t n;
        reconcile_search_init(&s, prop_u64(&r), prop_u64(&r));
        for (int turns = 0; (n = reconcile_search_points(&s, points)) > 0; turns++) {
            cr_assert(turns < 80);
            for (size_t k = 0; k < n; k++)
                reconcile_search_answer(&s, points[k], prop_below(&r, 2));
        }
    }
}
