/* What the gossip service does around its core: messages, questions to store and merge, answers that come late. */
#include "tests/sim/sim.h"

#include "pure/chain.h"
#include "pure/run.h"

#define DECODED_MAX 1024u

/* Encoded and decoded, since the core walks lists as they come from the wire. */
static void *round_trip(const msg_desc *desc, const void *msg, buf *body)
{
    static _Alignas(max_align_t) uint8_t decoded[DECODED_MAX];
    buf_init(body, MESSAGE_MAX_BYTES);
    if (msg_encode(desc, msg, body) != ERR_OK ||
        msg_decode(desc, buf_view(body), decoded, NULL) != ERR_OK)
        abort();
    return decoded;
}

/* ---- effects ---- */

static void delayed(sim_world *w, int i, sim_what what, const gossip_effect *e)
{
    sim_task *t = sim_schedule(w, i, 1 + sim_below(w, 15), what);
    t->link = e->link;
    t->tag = e->tag;
    t->member = e->member;
    t->read = e->read;
    t->locate = e->locate;
    if (what == TASK_INGEST)
        t->ticket = w->node[i].ticket_in++;
    if (!buf_add_bytes(&t->body, e->body))
        abort();
}

static void act(sim_world *w, int i, const gossip_effect *e)
{
    switch (e->act) {
    case GOSSIP_SEND:
        if (w->node[i].mute && (e->desc == &peer_run_desc || e->desc == &peer_have_not_desc))
            sim_once(w, ST_LIE_MUTE);
        else
            sim_transmit(w, i, e->link, e->desc, e->body);
        return;
    case GOSSIP_CLOSE:
        sim_say(w, "node %d closes link %u: %s", i, e->link, err_name(e->why));
        sim_disconnect(w, e->link);
        return;
    case GOSSIP_READ:
        delayed(w, i, TASK_READ, e);
        return;
    case GOSSIP_LOCATE:
        delayed(w, i, TASK_LOCATE, e);
        return;
    case GOSSIP_INGEST:
        delayed(w, i, TASK_INGEST, e);
        return;
    case GOSSIP_FRONTIER:
        delayed(w, i, TASK_FRONTIER, e);
        return;
    }
}

void sim_gossip_pump(sim_world *w, int i)
{
    gossip_effect e;
    while (w->node[i].alive && gossip_next(w->node[i].gossip, &e))
        act(w, i, &e);
}

/* ---- news from merge ---- */

static void tell_writers(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    const roster *r = merge_core_roster(n->merge);
    member_no writers[SIM_NODES * 4];
    size_t count = 0, members = roster_members(r);
    for (size_t k = 0; k < members && count < SIM_NODES * 4; k++) {
        const roster_member *m = roster_at(r, k);
        if (!m->removed && !m->orphaned && m->role <= ROSTER_ROLE_COORDINATOR)
            writers[count++] = m->number;
    }
    if (gossip_roster(n->gossip, writers, count, sim_now(w)) != ERR_OK)
        abort();
}

/* Open connections of whoever was removed are cut. */
static void cut_removed(sim_world *w, int i)
{
    const roster *r = merge_core_roster(w->node[i].merge);
    for (uint32_t k = 0; k < w->n_links; k++) {
        sim_link *l = &w->link[k];
        if (!l->up || (l->a != i && l->b != i))
            continue;
        const sim_node *peer = &w->node[l->a == i ? l->b : l->a];
        if (roster_find(r, peer->identity.self, &peer->identity.signer.public) != NULL &&
            !sim_belongs(&w->node[i], peer))
            sim_disconnect(w, l->id);
    }
}

void sim_gossip_news(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    uint64_t front = merge_core_frontier_version(n->merge);
    uint64_t version = roster_version(merge_core_roster(n->merge));
    if (version != n->roster_seen) {
        n->roster_seen = version;
        tell_writers(w, i);
        cut_removed(w, i);
    }
    if (front != n->front_seen) {
        n->front_seen = front;
        gossip_bell(n->gossip, sim_now(w));
    }
    sim_gossip_pump(w, i);
}

/* ---- what comes in ---- */

static void note_crossing(sim_world *w, const sim_link *l, bytes encoded)
{
    run r;
    run_item item;
    event_view v;
    int a = l->a < l->b ? l->a : l->b, b = l->a < l->b ? l->b : l->a;
    if (w->opt.lossy || w->node[a].decayed || w->node[b].decayed ||
        run_decode(encoded, &r) != ERR_OK)
        return;
    event_id id = r.previous;
    for (run_iter it = run_items(&r); run_next(&it, &item);) {
        if ((item.erased ? event_parse_erased(item.data, &v) : event_parse(item.data, &v)) !=
            ERR_OK)
            return;
        if (item.erased) /* until its erasure is here, the stretch may be asked for again */
            w->recut[feed_member(r.feed)] = true;
        chain_next_event(&id, &id, item.seq, &v);
        uint32_t e = sim_event_find(w, &id);
        /* Where a feed has forked, a run to one tip may begin before what is held of another one. */
        if (e == SIM_NONE || sim_is_forkable(w, r.feed) || w->recut[feed_member(r.feed)])
            continue;
        unsigned n = ++w->crossed[a][b][e];
        unsigned allowed =
            1u + w->cuts[a][b] + (unsigned)w->node[a].troubles + (unsigned)w->node[b].troubles;
        if (n > allowed && !w->node[a].liar && !w->node[b].liar)
            sim_fail(w, INV_ONCE, "event %x/%llu crossed %d-%d %u times, %u cuts", r.feed,
                     (unsigned long long)item.seq, a, b, n, w->cuts[a][b]);
    }
}

static void do_deliver(sim_world *w, sim_task *t)
{
    _Alignas(max_align_t) uint8_t msg[DECODED_MAX];
    const sim_link *l = &w->link[t->link - 1];
    if (!l->up)
        return; /* lost with the link */
    if (msg_decode(t->desc, buf_view(&t->body), msg, NULL) != ERR_OK)
        abort();
    if (t->desc == &peer_run_desc)
        note_crossing(w, l, ((const peer_run *)(const void *)msg)->run);
    gossip_recv(w->node[t->node].gossip, t->link, t->desc, msg, sim_now(w));
}

static void do_read(sim_world *w, sim_task *t)
{
    sim_node *n = &w->node[t->node];
    run_reply reply;
    err_t e = store_run(n->store, &t->read, &reply);
    if (e != ERR_OK && e != ERR_NOT_FOUND && !sim_is_damage(n, e))
        sim_fail(w, INV_MACHINE, "node %d: run of %x: %s", t->node, t->read.feed, err_name(e));
    buf bare;
    buf_init(&bare, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    if (e == ERR_OK && n->liar && sim_chance(w, 3) && sim_liar_strip(w, reply.run, &bare))
        reply.run = buf_view(&bare);
    gossip_read(n->gossip, t->tag, e, e == ERR_OK ? &reply : NULL, sim_now(w));
    buf_release(&bare);
}

static void do_locate(sim_world *w, sim_task *t)
{
    sim_node *n = &w->node[t->node];
    locate_reply reply;
    err_t e = store_locate(n->store, &t->locate, &reply);
    if (e != ERR_OK)
        sim_fail(w, INV_MACHINE, "node %d: locate: %s", t->node, err_name(e));
    gossip_located(n->gossip, t->tag, e, e == ERR_OK ? &reply : NULL, sim_now(w));
}

static void do_ingest(sim_world *w, sim_task *t)
{
    sim_node *n = &w->node[t->node];
    bool turn = t->ticket == n->ticket_out;
    if (turn && sim_merge_ingest(w, t->node, buf_view(&t->body), t->member, t->tag)) {
        n->ticket_out++;
        return;
    }
    if (!turn || t->tries < 2000) {
        sim_again(w, t, turn ? 5 : 1); /* merge keeps it until it is its turn */
        return;
    }
    n->ticket_out++;
    n->troubles++;
    gossip_ingested(n->gossip, t->tag, ERR_TIMEOUT, NULL, sim_now(w));
}

static void do_frontier(sim_world *w, sim_task *t)
{
    sim_node *n = &w->node[t->node];
    frontier_reply reply;
    buf body;
    if (!sim_node_ready(n)) {
        gossip_no_frontier(n->gossip, sim_now(w));
        return;
    }
    merge_core_frontier(n->merge, &reply);
    gossip_frontier(n->gossip, round_trip(&frontier_reply_desc, &reply, &body), sim_now(w));
    buf_release(&body);
}

void sim_gossip_do(sim_world *w, sim_task *t)
{
    static void (*const table[])(sim_world *, sim_task *) = {
        [TASK_DELIVER] = do_deliver, [TASK_READ] = do_read,         [TASK_LOCATE] = do_locate,
        [TASK_INGEST] = do_ingest,   [TASK_FRONTIER] = do_frontier,
    };
    table[t->what](w, t);
}
