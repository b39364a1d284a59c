/* The replication engine: everything converges, nothing travels twice, nobody can make it wait or hoard. */
#include "gossip_world.h"

#include "pure/crypto.h"
#include "pure/reconcile.h"
#include "pure/run.h"

#include <criterion/criterion.h>

#define MINUTE 60000u

/* What a message costs on the wire: its body and the envelope. */
static size_t envelope_bytes(void)
{
    buf b;
    msg_envelope e = {PROTO_VERSION, peer_digest_desc.id, 0, {{1}}};
    buf_init(&b, 256);
    cr_assert_eq(msg_envelope_encode(&e, &b), ERR_OK);
    buf_add_u32be(&b, 0); /* its length */
    size_t n = b.len;
    buf_release(&b);
    return n;
}

static void start(void)
{
    cr_assert_eq(crypto_start(), ERR_OK);
}

TestSuite(gossip_core, .init = start, .timeout = 300);

Test(gossip_core, nothing_to_say_is_one_round_trip)
{
    world *w = world_new(prop_begin("equal"), 2);
    for (int i = 0; i < 40; i++)
        world_give(w, 1,
                   world_write(w, 0, feed_make(0, CLASS_ROUTINE, (member_no)(1 + i)), WORLD_NONE));
    world_run(w, 2000);
    uint32_t link = world_link_up(w, 0, 1);
    world_run(w, 20 * MINUTE);
    const world_link *l = world_link_of(w, link);
    cr_assert_eq(l->messages, 2u);
    cr_assert(l->bytes / 2 + envelope_bytes() <= 100, "%zu bytes", (size_t)l->bytes);
    gossip_link_view v;
    cr_assert(gossip_link_look(w->nodes[0].core, link, &v, (mono_ms){w->now_ms}));
    cr_assert(v.compared && v.equal && v.we_lack == 0 && v.they_lack == 0 && v.as_of.ms > 0);
    world_free(w);
}

Test(gossip_core, one_difference_among_many_feeds_is_found_by_buckets)
{
    world *w = world_new(prop_begin("buckets"), 2);
    for (int i = 0; i < 1000; i++)
        world_give(w, 1,
                   world_write(w, 0, feed_make(0, CLASS_ROUTINE, (member_no)(1 + i)), WORLD_NONE));
    world_run(w, 5000);
    world_write(w, 0, 77, WORLD_NONE);
    world_run(w, 6000);
    uint32_t link = world_link_up(w, 0, 1);
    cr_assert(world_converge(w, 5 * MINUTE));
    cr_assert(world_link_of(w, link)->bytes < 4000, "%zu bytes for one event",
              (size_t)world_link_of(w, link)->bytes);
    cr_assert_eq(world_excess(w), 0u);
    world_free(w);
}

/* ---- random worlds ---- */

static feed_id some_feed(world *w, int node)
{
    return feed_make(0, (feed_class)prop_below(&w->rng, 3), (member_no)(node + 1));
}

static void some_writes(world *w)
{
    for (uint64_t k = prop_below(&w->rng, 30); k > 0; k--) {
        int node = (int)prop_below(&w->rng, (uint64_t)w->n_nodes);
        feed_id feed = some_feed(w, node);
        for (uint64_t n = 1 + prop_below(&w->rng, 12); n > 0; n--)
            world_write(w, node, feed, WORLD_NONE);
    }
}

/* A random tree keeps the world connected; some more cables are put beside it. */
static size_t some_cables(world *w, int (*cables)[2], size_t max)
{
    size_t n = 0;
    for (int i = 1; i < w->n_nodes; i++, n++) {
        cables[n][0] = i;
        cables[n][1] = (int)prop_below(&w->rng, (uint64_t)i);
    }
    for (uint64_t k = prop_below(&w->rng, 4); k > 0 && n < max; k--) {
        int a = (int)prop_below(&w->rng, (uint64_t)w->n_nodes),
            b = (int)prop_below(&w->rng, (uint64_t)w->n_nodes);
        bool twice = a == b;
        for (size_t i = 0; i < n; i++)
            twice |= (cables[i][0] == a && cables[i][1] == b) ||
                     (cables[i][0] == b && cables[i][1] == a);
        if (twice)
            continue;
        cables[n][0] = a;
        cables[n++][1] = b;
    }
    return n;
}

static void plug(world *w, int (*cables)[2], uint32_t *links, size_t i)
{
    bool turn = prop_below(&w->rng, 2);
    links[i] = world_link_up(w, cables[i][turn], cables[i][!turn]);
}

static void live(world *w, unsigned rounds)
{
    int cables[64][2];
    uint32_t links[64] = {0};
    size_t n = some_cables(w, cables, 64);
    w->run_events = 1 + (uint32_t)prop_below(&w->rng, 6);
    w->latency_ms = 1 + prop_below(&w->rng, 200);
    for (unsigned r = 0; r < rounds; r++) {
        some_writes(w);
        for (size_t i = 0; i < n; i++) {
            if (prop_below(&w->rng, 2) == 0)
                continue;
            const world_link *l = world_link_of(w, links[i]);
            if (l != NULL && l->up)
                world_link_down(w, links[i]);
            else
                plug(w, cables, links, i);
        }
        world_run(w, w->now_ms + prop_below(&w->rng, 3000));
    }
    for (size_t i = 0; i < n; i++) {
        const world_link *l = world_link_of(w, links[i]);
        if (l == NULL || !l->up)
            plug(w, cables, links, i);
    }
}

Test(gossip_core, random_worlds_converge_and_nothing_crosses_twice)
{
    prop_rng rng = prop_begin("worlds");
    for (int i = 0; i < 60; i++) {
        world *w = world_new((prop_rng){prop_u64(&rng)}, 2 + (int)prop_below(&rng, 7));
        live(w, 8);
        cr_assert(world_converge(w, w->now_ms + 5 * MINUTE), "world %d with %d nodes", i,
                  w->n_nodes);
        cr_assert_eq(world_excess(w), 0u, "world %d: an event crossed a cable too often", i);
        world_free(w);
    }
}

Test(gossip_core, a_line_passes_everything_on_though_the_ends_never_meet)
{
    world *w = world_new(prop_begin("line"), 5);
    for (int i = 0; i < 300; i++)
        world_write(w, i % 5, some_feed(w, i % 5), WORLD_NONE);
    for (int i = 1; i < 5; i++)
        world_link_up(w, i - 1, i);
    cr_assert(world_converge(w, w->now_ms + MINUTE));
    cr_assert_eq(world_excess(w), 0u);
    /* Live news travel on without any comparison. */
    world_run(w, w->now_ms + 5000);
    uint64_t compares = gossip_counted(w->nodes[2].core)->compares;
    w->latency_ms = 2;
    world_write(w, 0, 1, WORLD_NONE);
    uint64_t began = w->now_ms;
    cr_assert(world_converge(w, w->now_ms + MINUTE));
    cr_assert(w->now_ms - began < 1000, "%u ms", (unsigned)(w->now_ms - began));
    cr_assert_eq(gossip_counted(w->nodes[2].core)->compares, compares);
    world_free(w);
}

/* Copies of one member write different events at the same places of the same feed. */
Test(gossip_core, forks_reach_everybody)
{
    prop_rng rng = prop_begin("forks");
    for (int i = 0; i < 50; i++) {
        world *w = world_new((prop_rng){prop_u64(&rng)}, 2 + (int)prop_below(&rng, 4));
        uint32_t e = WORLD_NONE, common = (uint32_t)prop_below(&rng, 200);
        for (uint32_t k = 0; k < common; k++)
            e = world_write(w, 0, 9, e);
        for (int n = 1; n < w->n_nodes && e != WORLD_NONE; n++)
            world_give(w, n, e);
        for (int n = 0; n < w->n_nodes; n++) {
            uint32_t at = e;
            for (uint64_t back = prop_below(&rng, 4) ? 0 : prop_below(&rng, 100);
                 back > 0 && at != WORLD_NONE; back--)
                at = w->events[at].parent;
            if (at == WORLD_NONE && e != WORLD_NONE)
                at = e;
            for (uint64_t k = prop_below(&rng, 60); k > 0; k--)
                at = e == WORLD_NONE && at == WORLD_NONE
                         ? world_write(w, n, 9 + (feed_id)n, WORLD_NONE)
                         : world_write(w, n, w->events[at].feed, at);
        }
        live(w, 3);
        cr_assert(world_converge(w, w->now_ms + 60 * MINUTE), "world %d with %d nodes", i,
                  w->n_nodes);
        world_free(w);
    }
}

/* ---- order ---- */

static feed_id order_seen[16];
static size_t n_order;

static void note_want(world *w, int node, const peer_want *m)
{
    (void)w;
    if (node == 0 && m->fresh && n_order < 16)
        order_seen[n_order++] = m->feed;
}

Test(gossip_core, roster_first_then_express_routine_bulk)
{
    world *w = world_new(prop_begin("order"), 2);
    const feed_id expected[] = {1, 100, feed_make(0, CLASS_EXPRESS, 7),
                                feed_make(0, CLASS_ROUTINE, 7), feed_make(0, CLASS_BULK, 7)};
    for (int i = 4; i >= 0; i--)
        for (int k = i == 1 ? 2 : 1; k > 0; k--) /* equal in rank: the shorter first */
            world_write(w, 0, expected[i], WORLD_NONE);
    world_run(w, 2000);
    cr_assert_eq(gossip_roster(w->nodes[1].core, &(member_no){100}, 1, (mono_ms){w->now_ms}),
                 ERR_OK);
    w->want_seen = note_want;
    n_order = 0;
    world_link_up(w, 1, 0);
    cr_assert(world_converge(w, w->now_ms + MINUTE));
    cr_assert_eq(n_order, 5u);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(order_seen[i], expected[i], "place %zu", i);
    world_free(w);
}

Test(gossip_core, a_founders_import_holds_no_urgent_news_up)
{
    world *w = world_new(prop_begin("import"), 2);
    feed_id import = feed_make(0, CLASS_BULK, 1), urgent = feed_make(0, CLASS_EXPRESS, 7);
    for (int i = 0; i < 2000; i++)
        world_write(w, 0, import, WORLD_NONE);
    world_run(w, 3000);
    world_link_up(w, 1, 0);
    world_run(w, w->now_ms + 500); /* the import is under way */
    cr_assert(world_count(w, 1) < 1900);
    uint32_t sos = world_write(w, 0, urgent, WORLD_NONE);
    while (!w->nodes[1].held[sos] && w->now_ms < 5 * MINUTE)
        world_run(w, w->now_ms + 50);
    cr_assert(world_count(w, 1) < 2001, "it came before the end of the import");
    cr_assert(world_converge(w, w->now_ms + 5 * MINUTE));
    world_free(w);
}

/* ---- listed heads ---- */

/* A removal at node 0 lists an event that node 1 does not have, nor says so. */
Test(gossip_core, whoever_lacked_a_listed_head_is_asked_as_soon_as_he_has_it)
{
    world *w = world_new(prop_begin("listed"), 3);
    uint32_t head = world_write(w, 2, 7, WORLD_NONE);
    w->nodes[0].unshown[head] = true;
    world_link_up(w, 0, 1);
    world_ring(w, 0);
    world_run(w, 60 * MINUTE); /* asked in vain, ever more rarely */
    cr_assert(!w->nodes[0].held[head]);
    world_give(w, 1, head);
    world_ring(w, 1);
    world_run(w, w->now_ms + 5000);
    cr_assert(w->nodes[0].held[head]);
    world_free(w);
}

/* ---- bad peers ---- */

static uint64_t wants_at_peer;
static err_t peer_answer; /* what the bad peer says to a want; ERR_OK: nothing at all */
static bool peer_sends_junk;

/* Claims events that do not exist, and never delivers them. */
static void liar(world *w, uint32_t link, const msg_desc *desc, const void *msg)
{
    int self = world_link_of(w, link)->b;
    if (desc == &peer_digest_desc || desc == &peer_frontier_desc || desc == &peer_buckets_desc) {
        frontier_row rows[200] = {0};
        for (uint32_t i = 0; i < 200; i++)
            rows[i] = (frontier_row){.feed = 1 + i, .seq = 1000000, .id = {{7}}};
        peer_frontier m = {
            .digest = {{9}}, .buckets = FRONTIER_ALL_BUCKETS, .entries = MSG_LIST_OF(rows, 200)};
        world_say(w, link, self, &peer_frontier_desc, &m);
    }
    if (desc != &peer_want_desc)
        return;
    const peer_want *want = msg;
    wants_at_peer++;
    peer_have_not no = {.feed = want->feed,
                        .tip_seq = want->tip_seq,
                        .tip_id = want->tip_id,
                        .code = (uint16_t)peer_answer};
    if (peer_answer != ERR_OK)
        world_say(w, link, self, &peer_have_not_desc, &no);
    if (peer_sends_junk)
        world_say(w, link, self, &peer_run_desc,
                  &(peer_run){.run = bytes_str("no run at all"), .more = true});
}

/* One honest node (1) has what node 0 lacks; node 2 is bad. */
static world *world_with_liar(const char *name)
{
    world *w = world_new(prop_begin(name), 3);
    gossip_core_free(w->nodes[2].core);
    w->nodes[2].core = NULL;
    w->peer = liar;
    wants_at_peer = 0;
    peer_answer = ERR_OK;
    peer_sends_junk = false;
    for (int i = 0; i < 30; i++)
        world_write(w, 1, 1 + (feed_id)(i % 3), WORLD_NONE);
    return w;
}

Test(gossip_core, a_peer_that_never_delivers_costs_little_and_others_take_over)
{
    world *w = world_with_liar("liar");
    world_link_up(w, 0, 2);
    world_run(w, w->now_ms + 3000); /* all that may be asked at once is asked of the liar */
    world_link_up(w, 0, 1);
    cr_assert(world_converge(w, w->now_ms + GOSSIP_STALL_MS + 5000));
    world_run(w, 60 * MINUTE);
    cr_assert(wants_at_peer < 200, "%u wants in an hour", (unsigned)wants_at_peer);
    cr_assert(gossip_counted(w->nodes[0].core)->stalls > 0);
    gossip_link_view v;
    cr_assert(gossip_link_look(w->nodes[0].core, 1, &v, (mono_ms){w->now_ms}));
    cr_assert(v.strikes > 3 && v.we_lack > 1000);
    world_free(w);
}

Test(gossip_core, a_peer_that_connects_again_is_not_pardoned)
{
    world *w = world_with_liar("again");
    for (int i = 0; i < 60; i++) {
        uint32_t link = world_link_up(w, 0, 2);
        world_run(w, w->now_ms + MINUTE);
        world_link_down(w, link);
    }
    cr_assert(wants_at_peer < 200, "%u wants", (unsigned)wants_at_peer);
    world_free(w);
}

Test(gossip_core, a_peer_that_has_nothing_of_what_it_claims)
{
    world *w = world_with_liar("have_not");
    peer_answer = ERR_NOT_FOUND;
    world_link_up(w, 0, 2);
    world_link_up(w, 0, 1);
    cr_assert(world_converge(w, w->now_ms + MINUTE));
    world_run(w, 60 * MINUTE);
    cr_assert(wants_at_peer < 10000, "%u wants in an hour", (unsigned)wants_at_peer);
    world_free(w);
}

Test(gossip_core, a_peer_that_sends_rubbish_loses_the_link)
{
    world *w = world_with_liar("rubbish");
    peer_sends_junk = true;
    uint32_t link = world_link_up(w, 0, 2);
    world_run(w, w->now_ms + MINUTE);
    cr_assert(!world_link_of(w, link)->up);
    cr_assert_eq(w->nodes[0].ingests, 0u);
    world_free(w);
}

/* ---- the roster ---- */

static bool refused_within(world *w, uint64_t until_ms)
{
    while (gossip_counted(w->nodes[0].core)->runs_refused == 0 && w->now_ms < until_ms)
        world_run(w, w->now_ms + 1);
    return gossip_counted(w->nodes[0].core)->runs_refused > 0;
}

/* The roster changes right after the refusal, when the feed still waits for the frontier. */
Test(gossip_core, a_run_refused_just_before_its_author_is_known_comes_again_at_once)
{
    world *w = world_new(prop_begin("stranger"), 2);
    world_write(w, 1, 7, WORLD_NONE);
    w->nodes[0].trouble = ERR_NOT_MEMBER;
    world_link_up(w, 0, 1);
    cr_assert(refused_within(w, MINUTE));
    w->nodes[0].trouble = ERR_OK;
    cr_assert_eq(gossip_roster(w->nodes[0].core, &(member_no){7}, 1, (mono_ms){w->now_ms}), ERR_OK);
    cr_assert(world_converge(w, w->now_ms + GOSSIP_GRUDGE_MS / 2));
    world_free(w);
}

/* ---- trouble at home ---- */

Test(gossip_core, a_full_disk_here_is_not_the_peers_fault)
{
    world *w = world_new(prop_begin("full"), 2);
    for (int i = 0; i < 50; i++)
        world_write(w, 1, 2, WORLD_NONE);
    w->nodes[0].trouble = ERR_FULL;
    uint32_t link = world_link_up(w, 0, 1);
    world_run(w, w->now_ms + 10 * MINUTE);
    cr_assert_eq(world_count(w, 0), 0u);
    cr_assert(w->nodes[0].ingests > 10 && w->nodes[0].ingests < 10000,
              "it goes on trying, without haste");
    w->nodes[0].trouble = ERR_OK;
    cr_assert(world_converge(w, w->now_ms + 5000), "and recovers at once");
    gossip_link_view v;
    cr_assert(gossip_link_look(w->nodes[0].core, link, &v, (mono_ms){w->now_ms}));
    cr_assert_eq(v.strikes, 0u);
    world_free(w);
}

Test(gossip_core, a_missing_event_in_the_middle_is_fetched_without_the_rest)
{
    world *w = world_new(prop_begin("damaged"), 2);
    uint32_t e = WORLD_NONE, damaged = WORLD_NONE;
    for (int i = 0; i < 2000; i++) {
        e = world_write(w, 1, 2, WORLD_NONE);
        damaged = i == 1500 ? e : damaged;
    }
    world_give(w, 0, e);
    world_run(w, 3000);
    w->run_events = 64;
    w->nodes[0].unshown[damaged] = true; /* the frontier, and so its version, stays as it is */
    gossip_bell(w->nodes[0].core, (mono_ms){w->now_ms});
    world_link_up(w, 0, 1);
    world_run(w, w->now_ms + MINUTE);
    cr_assert(!w->nodes[0].unshown[damaged]);
    cr_assert(w->nodes[0].ingests <= 2 + SEAL_MAX_EVENTS / 64, "%u runs",
              (unsigned)w->nodes[0].ingests);
    world_free(w);
}

/* ---- serving ---- */

static uint64_t runs_got, refusals_got;

static void greedy(world *w, uint32_t link, const msg_desc *desc, const void *msg)
{
    (void)w;
    (void)link;
    (void)msg;
    runs_got += desc == &peer_run_desc;
    refusals_got += desc == &peer_have_not_desc;
}

Test(gossip_core, a_greedy_peer_gets_no_more_than_its_window)
{
    world *w = world_new(prop_begin("greedy"), 2);
    gossip_core_free(w->nodes[1].core);
    w->nodes[1].core = NULL;
    w->peer = greedy;
    w->run_events = 1;
    uint32_t tips[GOSSIP_JOBS_MAX + 5];
    for (uint32_t f = 0; f < GOSSIP_JOBS_MAX + 5; f++)
        for (int i = 0; i < 20; i++)
            tips[f] = world_write(w, 0, 10 + f, WORLD_NONE);
    world_run(w, 3000);
    uint32_t link = world_link_up(w, 0, 1);
    for (int again = 0; again < 3; again++)
        for (uint32_t f = 0; f < GOSSIP_JOBS_MAX + 5; f++) {
            peer_want m = {.feed = 10 + f,
                           .tip_seq = 20,
                           .tip_id = w->events[tips[f]].id,
                           .window = 64,
                           .fresh = !again};
            world_say(w, link, 1, &peer_want_desc, &m);
        }
    world_run(w, w->now_ms + MINUTE);
    cr_assert_eq(refusals_got, 5u);
    cr_assert(runs_got >= GOSSIP_JOBS_MAX * GOSSIP_WINDOW_RUNS);
    cr_assert(runs_got <= GOSSIP_JOBS_MAX * GOSSIP_WINDOW_RUNS * 3);
    world_free(w);
}
