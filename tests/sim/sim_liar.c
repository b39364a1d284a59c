/* A member who lies. It keeps a node that relays honestly, and makes things by hand beside it: it signs two events at
 * one seq, floods, names what it never saw, claims what it does not have, and sends bytes that mean nothing. */
#include "tests/sim/sim.h"

#include "proto/mp.h"
#include "pure/chain.h"
#include "pure/erasure.h"
#include "pure/run.h"

#define LIAR_FORKS 0x1000u
#define LIAR_FLOOD 0x2000u
#define FLOOD_MAX  120u

static int liar_index(const sim_world *w)
{
    for (int i = 0; i < SIM_NODES; i++)
        if (w->node[i].liar && w->node[i].enrolled)
            return i;
    return -1;
}

static int victim(sim_world *w, int liar)
{
    for (int tries = 0; tries < 20; tries++) {
        int i = (int)sim_below(w, SIM_NODES);
        if (i != liar && sim_node_ready(&w->node[i]))
            return i;
    }
    return -1;
}

/* ---- events made by hand ---- */

static hlc_stamp some_stamp(sim_world *w)
{
    uint64_t wall = SIM_BASE_MS + w->now_ms;
    if (sim_chance(w, 6)) {
        sim_once(w, ST_LIE_FUTURE);
        wall += 73 * 365 * SIM_DAY_MS;
    } else if (sim_chance(w, 6)) {
        wall = sim_below(w, 100000);
    }
    return (hlc_stamp){wall, (uint32_t)sim_below(w, 3)};
}

/* Names anything in the stream, seen or not. */
static size_t some_refs(sim_world *w, uint32_t stream, event_reference *out)
{
    size_t n = 0;
    for (uint32_t k = w->stream[stream].newest; k != SIM_NONE && n < 3; k = w->event[k].next)
        if (sim_chance(w, 4))
            out[n++].full = event_ref_of(w->event[k].feed, w->event[k].seq, &w->event[k].id);
    return n;
}

static void make_body(sim_world *w, buf *out)
{
    event_reference refs[4] = {0};
    char name[16];
    buf payload;
    snprintf(name, sizeof name, "r%u", (unsigned)sim_below(w, w->opt.hot));
    uint32_t stream = sim_stream_of(w, bytes_str("form"), bytes_str(name));
    buf_init(&payload, 256);
    mp_put_map(&payload, 1);
    mp_put_cstr(&payload, "a");
    mp_put_uint(&payload, sim_below(w, 100));
    event_fields f = {.stamp = some_stamp(w),
                      .replaces = refs,
                      .n_replaces = stream == SIM_NONE ? 0 : some_refs(w, stream, refs),
                      .category = bytes_str("form"),
                      .stream = bytes_str(name),
                      .kind = bytes_str(sim_chance(w, 8) ? "unheard.of" : "field.set"),
                      .payload = buf_view(&payload)};
    if (sim_chance(w, 8)) { /* opaque: the kind is a number */
        static const uint8_t odd[] = {0x97, 1, 0, 0x90, 0xa1, 'f', 0xa1, 'r', 7, 0xc0};
        sim_once(w, ST_LIE_OPAQUE);
        (void)buf_add(out, odd, sizeof odd);
    } else if (event_build(&f, out) != ERR_OK) {
        abort();
    }
    buf_release(&payload);
}

/* An erasure of anything, mostly somebody else's. */
static bool make_erasure(sim_world *w, buf *out)
{
    sim_thing things[16];
    bytes keys[16];
    uint32_t n_keys = 0, e = (uint32_t)sim_below(w, w->n_events);
    const sim_event *x = &w->event[e];
    buf payload;
    if (x->stream == SIM_NONE || x->stream == 0)
        return false;
    uint32_t n = sim_oracle_things(w, e, things, 16);
    for (uint32_t k = 0; k < n; k++)
        if (things[k].name != '\0')
            keys[n_keys++] = bytes_of(&things[k].name, 1);
    buf_init(&payload, 256);
    erasure_write(&payload, x->feed, x->seq, &x->id, keys, n_keys);
    event_fields f = {.stamp = some_stamp(w),
                      .category = x->view.category,
                      .stream = x->view.stream,
                      .kind = bytes_str(EVENT_KIND_ERASE),
                      .payload = buf_view(&payload)};
    if (event_build(&f, out) != ERR_OK)
        abort();
    buf_release(&payload);
    sim_once(w, ST_LIE_ERASE);
    return true;
}

/* A new event of the liar after `parent`. */
static uint32_t make_event(sim_world *w, const sim_node *n, feed_id feed, uint32_t parent)
{
    event_id prev, id;
    event_view v;
    buf body;
    uint64_t seq = parent == SIM_NONE ? 1 : w->event[parent].seq + 1;
    buf_init(&body, EVENT_MAX_BYTES);
    if (!sim_chance(w, 6) || !make_erasure(w, &body))
        make_body(w, &body);
    if (parent == SIM_NONE)
        chain_start(&prev, &w->dataset, feed, &n->identity.signer.public);
    else
        prev = w->event[parent].id;
    if (event_parse(buf_view(&body), &v) != ERR_OK)
        abort();
    chain_next_event(&id, &prev, seq, &v);
    uint32_t e =
        sim_event_add(w, feed, seq, &id, &prev, &n->identity.signer.public, false, buf_view(&body));
    buf_release(&body);
    return e;
}

/* The run from after `from` (SIM_NONE: from the beginning) to `to`, sealed at its end. */
static bool make_run(sim_world *w, const sim_node *n, uint32_t from, uint32_t to, buf *out)
{
    uint32_t chain[512], len = 0, count;
    run_writer rw;
    event_id prev;
    feed_id feed = w->event[to].feed;
    for (uint32_t e = to; e != SIM_NONE && e != from && len < 512; e = w->event[e].parent)
        chain[len++] = e;
    if (len == 0 || len == 512)
        return false;
    uint32_t before = w->event[chain[len - 1]].parent;
    if (before == SIM_NONE)
        chain_start(&prev, &w->dataset, feed, &n->identity.signer.public);
    else
        prev = w->event[before].id;
    if (run_begin(&rw, out, feed, w->event[chain[len - 1]].seq, &prev) != ERR_OK)
        return false;
    while (len-- > 0) {
        const sim_event *e = &w->event[chain[len]];
        seal_sig seal;
        bool sealed = len == 0 || sim_chance(w, 4);
        if (sealed && chain_sign(&seal, &n->identity.signer, &w->dataset, feed, e->seq, &e->id))
            return false;
        if (run_add(&rw, e->view.body, false, sealed ? &seal : NULL) != ERR_OK)
            return false;
    }
    return run_end(&rw, &count) == ERR_OK;
}

/* Erased forms verify like whole events. */
static err_t strip_item(sim_world *w, const run_item *item, run_writer *rw, bool *stripped)
{
    event_view v;
    uint8_t hash[CRYPTO_HASH_BYTES];
    buf erased;
    if (item->erased || event_parse(item->data, &v) != ERR_OK || !event_is_erasable(&v) ||
        v.opaque || !sim_chance(w, 3))
        return run_add(rw, item->data, item->erased, item->seal);
    buf_init(&erased, EVENT_MAX_BYTES + EVENT_ERASED_EXTRA);
    crypto_digest(hash, v.tail);
    err_t e = event_write_erased(&v, hash, &erased);
    if (e == ERR_OK)
        e = run_add(rw, buf_view(&erased), true, item->seal);
    buf_release(&erased);
    *stripped = true;
    return e;
}

bool sim_liar_strip(sim_world *w, bytes encoded, buf *out)
{
    run r;
    run_item item;
    run_writer rw;
    uint32_t count;
    bool stripped = false;
    if (run_decode(encoded, &r) != ERR_OK ||
        run_begin(&rw, out, r.feed, r.first_seq, &r.previous) != ERR_OK)
        return false;
    for (run_iter it = run_items(&r); run_next(&it, &item);)
        if (strip_item(w, &item, &rw, &stripped) != ERR_OK)
            return false;
    if (!stripped || run_end(&rw, &count) != ERR_OK)
        return false;
    sim_once(w, ST_LIE_STRIP);
    w->recut[feed_member(r.feed)] = true;
    return true;
}

/* ---- handing them out ---- */

static void give(sim_world *w, int liar, int to, bytes encoded)
{
    uint32_t link = sim_link_between(w, liar, to);
    if (link != 0 && sim_chance(w, 2)) { /* nobody asked for it */
        peer_run m = {.run = encoded};
        buf body;
        buf_init(&body, MESSAGE_MAX_BYTES);
        if (msg_encode(&peer_run_desc, &m, &body) == ERR_OK)
            sim_transmit(w, liar, link, &peer_run_desc, buf_view(&body));
        buf_release(&body);
    } else { /* on a stick */
        (void)sim_merge_ingest(w, to, encoded, w->node[liar].identity.self, 0);
    }
}

static void give_branch(sim_world *w, int liar, uint32_t from, uint32_t head)
{
    int to = victim(w, liar);
    buf made;
    buf_init(&made, RUN_MAX_BYTES);
    if (to >= 0 && make_run(w, &w->node[liar], from, head, &made))
        give(w, liar, to, buf_view(&made));
    buf_release(&made);
}

static void lie_fork(sim_world *w, int liar)
{
    feed_id feed = feed_make(LIAR_FORKS, CLASS_ROUTINE, w->node[liar].identity.self);
    uint32_t parent = w->liar.head[sim_below(w, 2)];
    if (parent != SIM_NONE && sim_chance(w, 3))
        parent = w->event[parent].parent;
    sim_once(w, ST_LIE_FORK);
    for (int side = 0; side < 2; side++) {
        w->liar.head[side] = make_event(w, &w->node[liar], feed, parent);
        if (w->liar.head[side] != SIM_NONE)
            give_branch(w, liar, SIM_NONE, w->liar.head[side]);
    }
}

static void lie_flood(sim_world *w, int liar)
{
    feed_id feed = feed_make(LIAR_FLOOD, CLASS_BULK, w->node[liar].identity.self);
    uint32_t at = w->liar.flood, from = at;
    if (w->n_events + 1000 > SIM_EVENTS)
        return;
    sim_once(w, ST_LIE_FLOOD);
    for (uint32_t n = 20 + (uint32_t)sim_below(w, FLOOD_MAX); n > 0; n--)
        at = make_event(w, &w->node[liar], feed, at);
    w->liar.flood = at;
    give_branch(w, liar, from, at);
}

/* A run whose predecessors nobody has been given. */
static void lie_gap(sim_world *w, int liar)
{
    feed_id feed = feed_make(LIAR_FORKS, CLASS_EXPRESS, w->node[liar].identity.self);
    uint32_t a = make_event(w, &w->node[liar], feed, w->liar.gap);
    uint32_t b = a != SIM_NONE ? make_event(w, &w->node[liar], feed, a) : SIM_NONE;
    if (b == SIM_NONE)
        return;
    sim_once(w, ST_LIE_GAP);
    give_branch(w, liar, a, b);
    if (sim_chance(w, 2))
        give_branch(w, liar, SIM_NONE, b);
    w->liar.gap = b;
}

static void lie_claim(sim_world *w, int liar)
{
    frontier_row rows[3] = {0};
    int to = victim(w, liar);
    uint32_t link = to >= 0 ? sim_link_between(w, liar, to) : 0;
    buf body;
    if (link == 0)
        return;
    sim_once(w, ST_LIE_CLAIM);
    peer_frontier m = {.buckets = UINT64_MAX, .entries = MSG_LIST_OF(rows, 3)};
    for (int k = 0; k < 3; k++) { /* sorted by feed; of members that exist */
        rows[k].feed = (feed_id)(k + 1);
        rows[k].seq = 1 + sim_below(w, 300);
        for (size_t b = 0; b < sizeof rows[k].id.b; b++)
            rows[k].id.b[b] = (uint8_t)prop_u64(&w->rng);
    }
    memcpy(m.digest.b, rows[0].id.b, sizeof m.digest.b);
    buf_init(&body, MESSAGE_MAX_BYTES);
    if (msg_encode(&peer_frontier_desc, &m, &body) == ERR_OK)
        sim_transmit(w, liar, link, &peer_frontier_desc, buf_view(&body));
    buf_release(&body);
}

static void lie_garbage(sim_world *w, int liar)
{
    int to = victim(w, liar);
    uint32_t any = w->n_events > 0 ? (uint32_t)sim_below(w, w->n_events) : 0;
    buf made;
    buf_init(&made, RUN_MAX_BYTES);
    sim_once(w, ST_LIE_GARBAGE);
    if (sim_chance(w, 2) && make_run(w, &w->node[liar], w->event[any].parent, any, &made)) {
        /* signed by the wrong key, or with a byte changed */
        made.p[sim_below(w, made.len)] ^= (uint8_t)(1u << sim_below(w, 8));
        if (sim_chance(w, 3))
            made.len = sim_below(w, made.len);
    } else {
        for (uint64_t k = sim_below(w, 300); k > 0; k--)
            (void)buf_add_u8(&made, (uint8_t)prop_u64(&w->rng));
    }
    if (to >= 0)
        give(w, liar, to, buf_view(&made));
    buf_release(&made);
}

void sim_liar_act(sim_world *w)
{
    static void (*const lies[])(sim_world *, int) = {lie_fork,  lie_fork,    lie_flood,  lie_gap,
                                                     lie_claim, lie_garbage, lie_garbage};
    int liar = liar_index(w);
    if (liar < 0 || !sim_node_ready(&w->node[liar]))
        return;
    member_no self = w->node[liar].identity.self;
    sim_forkable(w, self, LIAR_FORKS);
    if (sim_chance(w, 8))
        w->node[liar].mute = !w->node[liar].mute;
    if (w->n_events + 200 < SIM_EVENTS)
        lies[sim_below(w, sizeof lies / sizeof lies[0])](w, liar);
}
