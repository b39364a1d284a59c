#include "gossip_world.h"

#include "pure/crypto.h"
#include "pure/run.h"

#include <criterion/criterion.h>

struct world_task {
    world_task *next;
    uint64_t at_ms, order;
    enum { TASK_DELIVER, TASK_READ, TASK_LOCATE, TASK_INGEST, TASK_FRONTIER } what;
    int node;
    uint32_t link, tag;
    member_no member;
    const msg_desc *desc;
    run_request read;
    locate_request locate;
    buf body;
};

static void pump(world *w, int node);

static mono_ms now(const world *w)
{
    return (mono_ms){w->now_ms};
}

world *world_new(prop_rng rng, int nodes)
{
    world *w = calloc(1, sizeof *w);
    cr_assert(w != NULL);
    w->rng = rng;
    w->n_nodes = nodes;
    w->now_ms = 1000;
    w->run_events = 3;
    w->latency_ms = 40;
    for (int i = 0; i < nodes; i++) {
        w->nodes[i].core = gossip_core_new(now(w));
        w->nodes[i].version = 1;
        pump(w, i);
    }
    return w;
}

static void task_free(world_task *t)
{
    buf_release(&t->body);
    free(t);
}

void world_free(world *w)
{
    for (int i = 0; i < w->n_nodes; i++) {
        gossip_core_free(w->nodes[i].core);
        for (size_t k = 0; k < w->nodes[i].n_quarantine; k++)
            buf_release(&w->nodes[i].quarantine[k]);
    }
    for (world_task *t = w->tasks, *next; t != NULL; t = next) {
        next = t->next;
        task_free(t);
    }
    free(w);
}

/* ---- the toy log ---- */

uint32_t world_write(world *w, int node, feed_id feed, uint32_t parent)
{
    uint32_t best = parent, i = w->n_events++;
    cr_assert(i < WORLD_EVENTS_MAX);
    for (uint32_t k = 0; parent == WORLD_NONE && k < i; k++)
        if (w->events[k].feed == feed && w->nodes[node].held[k] &&
            (best == WORLD_NONE || w->events[k].seq > w->events[best].seq))
            best = k;
    world_event *e = &w->events[i];
    *e = (world_event){
        .feed = feed, .seq = best == WORLD_NONE ? 1 : w->events[best].seq + 1, .parent = best};
    for (size_t k = 0; k < sizeof e->id.b; k += 8)
        put_u64be(e->id.b + k, prop_u64(&w->rng));
    w->nodes[node].held[i] = true;
    world_ring(w, node);
    return i;
}

void world_give(world *w, int node, uint32_t event)
{
    for (; event != WORLD_NONE; event = w->events[event].parent)
        w->nodes[node].held[event] = true;
    world_ring(w, node);
}

void world_ring(world *w, int node)
{
    w->nodes[node].version++;
    gossip_bell(w->nodes[node].core, now(w));
    pump(w, node);
}

static uint32_t find(const world *w, feed_id feed, uint64_t seq, const event_id *id)
{
    for (uint32_t i = 0; i < w->n_events; i++)
        if (w->events[i].feed == feed && w->events[i].seq == seq &&
            event_id_eq(&w->events[i].id, id))
            return i;
    return WORLD_NONE;
}

size_t world_count(const world *w, int node)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->n_events; i++)
        n += w->nodes[node].held[i];
    return n;
}

bool world_equal(const world *w)
{
    for (int n = 1; n < w->n_nodes; n++)
        if (w->nodes[n].core != NULL && w->nodes[0].core != NULL &&
            memcmp(w->nodes[0].held, w->nodes[n].held, sizeof w->nodes[0].held) != 0)
            return false;
    return true;
}

/* ---- tasks ---- */

static world_task *schedule(world *w, int node, uint64_t at_ms, const gossip_effect *e)
{
    static uint64_t order;
    world_task *t = calloc(1, sizeof *t);
    cr_assert(t != NULL);
    t->at_ms = at_ms;
    t->order = order++;
    t->node = node;
    t->link = e->link;
    t->tag = e->tag;
    t->member = e->member;
    t->desc = e->desc;
    t->read = e->read;
    t->locate = e->locate;
    buf_init(&t->body, MESSAGE_MAX_BYTES);
    cr_assert(buf_add_bytes(&t->body, e->body));
    world_task **at = &w->tasks;
    while (*at != NULL &&
           ((*at)->at_ms < at_ms || ((*at)->at_ms == at_ms && (*at)->order < t->order)))
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    return t;
}

static uint64_t later(world *w)
{
    return w->now_ms + 1 + prop_below(&w->rng, w->latency_ms);
}

world_link *world_link_of(world *w, uint32_t link)
{
    return link > 0 && link <= w->n_links ? &w->links[link - 1] : NULL;
}

static void transmit(world *w, int from, const gossip_effect *e)
{
    world_link *l = world_link_of(w, e->link);
    if (l == NULL || !l->up)
        return;
    int to = l->a == from ? l->b : l->a, side = to == l->b;
    uint64_t at = later(w);
    if (at < l->last_ms[side])
        at = l->last_ms[side];
    l->last_ms[side] = at;
    l->messages++;
    l->bytes += e->body.len;
    schedule(w, to, at, e)->what = TASK_DELIVER;
}

void world_say(world *w, uint32_t link, int from, const msg_desc *desc, const void *msg)
{
    buf body;
    buf_init(&body, MESSAGE_MAX_BYTES);
    cr_assert_eq(msg_encode(desc, msg, &body), ERR_OK);
    gossip_effect e = {.act = GOSSIP_SEND, .link = link, .desc = desc, .body = buf_view(&body)};
    transmit(w, from, &e);
    buf_release(&body);
}

static void act(world *w, int node, const gossip_effect *e)
{
    switch (e->act) {
    case GOSSIP_SEND:
        transmit(w, node, e);
        return;
    case GOSSIP_CLOSE:
        world_link_down(w, e->link);
        return;
    case GOSSIP_READ:
        schedule(w, node, later(w), e)->what = TASK_READ;
        return;
    case GOSSIP_LOCATE:
        schedule(w, node, later(w), e)->what = TASK_LOCATE;
        return;
    case GOSSIP_INGEST:
        schedule(w, node, later(w), e)->what = TASK_INGEST;
        return;
    case GOSSIP_FRONTIER:
        schedule(w, node, later(w), e)->what = TASK_FRONTIER;
        return;
    }
}

static void pump(world *w, int node)
{
    gossip_effect e;
    while (w->nodes[node].core != NULL && gossip_next(w->nodes[node].core, &e))
        act(w, node, &e);
}

uint32_t world_link_up(world *w, int a, int b)
{
    cr_assert(w->n_links < WORLD_LINKS_MAX);
    uint32_t id = (uint32_t)w->n_links + 1;
    w->links[w->n_links++] = (world_link){.id = id, .a = a, .b = b, .up = true};
    if (w->nodes[a].core != NULL)
        cr_assert_eq(gossip_link_up(w->nodes[a].core, id, (member_no)(b + 1), true, now(w)),
                     ERR_OK);
    if (w->nodes[b].core != NULL)
        cr_assert_eq(gossip_link_up(w->nodes[b].core, id, (member_no)(a + 1), false, now(w)),
                     ERR_OK);
    pump(w, a);
    pump(w, b);
    return id;
}

void world_link_down(world *w, uint32_t link)
{
    world_link *l = world_link_of(w, link);
    if (l == NULL || !l->up)
        return;
    l->up = false;
    w->cuts[l->a][l->b]++;
    w->cuts[l->b][l->a]++;
    if (w->nodes[l->a].core != NULL)
        gossip_link_down(w->nodes[l->a].core, link, now(w));
    if (w->nodes[l->b].core != NULL)
        gossip_link_down(w->nodes[l->b].core, link, now(w));
    pump(w, l->a);
    pump(w, l->b);
}

/* ---- the toy store ---- */

static void do_read(world *w, const world_task *t)
{
    const run_request *q = &t->read;
    const world_node *n = &w->nodes[t->node];
    uint32_t chain[WORLD_EVENTS_MAX];
    size_t len = 0;
    uint32_t i = find(w, q->feed, q->tip_seq, &q->tip_id);
    bool ok = i != WORLD_NONE && n->held[i] && q->after_seq < q->tip_seq;
    for (; ok && i != WORLD_NONE && w->events[i].seq > q->after_seq; i = w->events[i].parent)
        chain[len++] = i;
    static const event_id zero;
    if (ok && q->after_seq > 0 && !event_id_eq(&q->after_id, &zero))
        ok = i != WORLD_NONE && event_id_eq(&w->events[i].id, &q->after_id);
    if (!ok) {
        gossip_read(n->core, t->tag, ERR_NOT_FOUND, NULL, now(w));
        return;
    }
    buf out;
    run_writer rw;
    uint32_t count;
    buf_init(&out, RUN_MAX_BYTES);
    event_id previous = i == WORLD_NONE ? zero : w->events[i].id;
    cr_assert_eq(run_begin(&rw, &out, q->feed, q->after_seq + 1, &previous), ERR_OK);
    size_t left = len;
    for (uint32_t k = 0; k < w->run_events && left > 0; k++) {
        uint8_t body[4];
        seal_sig seal = {{0}};
        put_u32be(body, chain[--left]);
        cr_assert_eq(run_add(&rw, bytes_of(body, sizeof body), false, &seal), ERR_OK);
    }
    cr_assert_eq(run_end(&rw, &count), ERR_OK);
    run_reply reply = {.run = buf_view(&out), .more = left > 0};
    gossip_read(n->core, t->tag, ERR_OK, &reply, now(w));
    buf_release(&out);
}

/* Encoded and decoded, since the core walks lists as they come from the wire. */
static void *round_trip(const msg_desc *desc, const void *msg, buf *body)
{
    static _Alignas(max_align_t) uint8_t decoded[1024];
    buf_init(body, MESSAGE_MAX_BYTES);
    cr_assert_eq(msg_encode(desc, msg, body), ERR_OK);
    cr_assert_eq(msg_decode(desc, buf_view(body), decoded, NULL), ERR_OK);
    return decoded;
}

static void do_locate(world *w, const world_task *t)
{
    place_row rows[64] = {0};
    size_t n = 0;
    for (uint32_t i = 0; i < w->n_events; i++)
        if (w->nodes[t->node].held[i] && w->events[i].feed == t->locate.feed &&
            w->events[i].seq == t->locate.seq)
            rows[n++] = (place_row){.offset = i + 1, .id = w->events[i].id};
    locate_reply reply = {.places = MSG_LIST_OF(rows, n)};
    buf body;
    gossip_located(w->nodes[t->node].core, t->tag, ERR_OK,
                   round_trip(&locate_reply_desc, &reply, &body), now(w));
    buf_release(&body);
}

/* ---- the toy merge ---- */

static void do_frontier(world *w, const world_task *t)
{
    static frontier_row rows[WORLD_EVENTS_MAX], wanted[WORLD_EVENTS_MAX];
    static bool inner[WORLD_EVENTS_MAX];
    world_node *node = &w->nodes[t->node];
    size_t n = 0, n_wanted = 0;
    frontier sorted = {0};
    memset(inner, 0, sizeof inner);
    for (uint32_t i = 0; i < w->n_events; i++)
        if (node->held[i] && w->events[i].parent != WORLD_NONE)
            inner[w->events[i].parent] = true;
    for (uint32_t i = 0; i < w->n_events; i++) {
        const world_event *e = &w->events[i];
        if (node->held[i] && !inner[i])
            cr_assert_eq(frontier_add(&sorted, &(frontier_entry){e->feed, e->seq, e->id}), ERR_OK);
        if (node->unshown[i])
            wanted[n_wanted++] = (frontier_row){.feed = e->feed, .seq = e->seq, .id = e->id};
    }
    for (; n < sorted.n; n++)
        rows[n] = (frontier_row){
            .feed = sorted.at[n].feed, .seq = sorted.at[n].seq, .id = sorted.at[n].id};
    frontier_reply reply = {.version = node->version,
                            .events = world_count(w, t->node),
                            .entries = MSG_LIST_OF(rows, n),
                            .wanted = MSG_LIST_OF(wanted, n_wanted)};
    frontier_digest(&sorted, reply.digest.b);
    frontier_release(&sorted);
    buf body;
    gossip_frontier(node->core, round_trip(&frontier_reply_desc, &reply, &body), now(w));
    buf_release(&body);
}

static err_t admit(world *w, int node, bytes encoded, ingest_reply *out)
{
    static const event_id zero;
    world_node *n = &w->nodes[node];
    run r;
    run_item item;
    cr_assert_eq(run_decode(encoded, &r), ERR_OK);
    uint32_t before = r.first_seq == 1 ? WORLD_NONE : find(w, r.feed, r.first_seq - 1, &r.previous);
    if (r.first_seq == 1)
        cr_assert(event_id_eq(&r.previous, &zero));
    if (r.first_seq > 1 && (before == WORLD_NONE || !n->held[before])) {
        out->code = ERR_GAP;
        out->refused = r.count;
        out->missing_from = r.first_seq - 1;
        return ERR_GAP;
    }
    for (run_iter it = run_items(&r); run_next(&it, &item);) {
        uint32_t i = get_u32be(item.data.p);
        cr_assert_eq(w->events[i].parent, before);
        before = i;
        out->accepted += !n->held[i] || n->unshown[i];
        out->duplicates += n->held[i] && !n->unshown[i];
        n->held[i] = true;
        n->unshown[i] = false;
    }
    return ERR_OK;
}

static void keep(world_node *n, const world_task *t)
{
    if (n->n_quarantine == sizeof n->quarantine / sizeof n->quarantine[0])
        return;
    buf *b = &n->quarantine[n->n_quarantine++];
    buf_init(b, MESSAGE_MAX_BYTES);
    cr_assert(buf_add_bytes(b, buf_view(&t->body)));
}

/* Runs that waited for what has just come. */
static void release_kept(world *w, int node)
{
    world_node *n = &w->nodes[node];
    for (size_t i = 0; i < n->n_quarantine;) {
        ingest_reply ignored = {0};
        if (admit(w, node, buf_view(&n->quarantine[i]), &ignored) != ERR_OK) {
            i++;
            continue;
        }
        buf_release(&n->quarantine[i]);
        n->quarantine[i] = n->quarantine[--n->n_quarantine];
        i = 0;
    }
}

static void do_ingest(world *w, const world_task *t)
{
    world_node *n = &w->nodes[t->node];
    ingest_reply reply = {0};
    n->ingests++;
    if (n->trouble != ERR_OK) {
        gossip_ingested(n->core, t->tag, n->trouble, NULL, now(w));
        return;
    }
    if (admit(w, t->node, buf_view(&t->body), &reply) == ERR_GAP)
        keep(n, t);
    if (reply.accepted > 0) {
        release_kept(w, t->node);
        n->version++;
        gossip_bell(n->core, now(w));
    }
    gossip_ingested(n->core, t->tag, ERR_OK, &reply, now(w));
}

/* ---- deliveries ---- */

static void count_crossing(world *w, const world_link *l, const peer_run *m)
{
    run r;
    run_item item;
    if (run_decode(m->run, &r) != ERR_OK)
        return;
    for (run_iter it = run_items(&r); run_next(&it, &item);) {
        uint32_t i = get_u32be(item.data.p);
        if (i < w->n_events) {
            w->crossings[l->a][l->b][i]++;
            w->crossings[l->b][l->a][i]++;
        }
    }
}

static void do_deliver(world *w, const world_task *t)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    const world_link *l = world_link_of(w, t->link);
    if (!l->up)
        return; /* lost with the link */
    cr_assert_eq(msg_decode(t->desc, buf_view(&t->body), msg, NULL), ERR_OK);
    if (t->desc == &peer_run_desc)
        count_crossing(w, l, (const peer_run *)(const void *)msg);
    if (t->desc == &peer_want_desc && w->want_seen != NULL)
        w->want_seen(w, t->node, (const peer_want *)(const void *)msg);
    if (w->nodes[t->node].core != NULL)
        gossip_recv(w->nodes[t->node].core, t->link, t->desc, msg, now(w));
    else if (w->peer != NULL)
        w->peer(w, t->link, t->desc, msg);
}

unsigned world_excess(const world *w)
{
    unsigned worst = 0;
    for (int a = 0; a < w->n_nodes; a++)
        for (int b = 0; b < a; b++)
            for (uint32_t i = 0; i < w->n_events; i++) {
                unsigned allowed = 1 + w->cuts[a][b], n = w->crossings[a][b][i];
                worst = n > allowed && n - allowed > worst ? n - allowed : worst;
            }
    return worst;
}

static void perform(world *w, const world_task *t)
{
    static void (*const table[])(world *, const world_task *) = {
        [TASK_DELIVER] = do_deliver, [TASK_READ] = do_read,         [TASK_LOCATE] = do_locate,
        [TASK_INGEST] = do_ingest,   [TASK_FRONTIER] = do_frontier,
    };
    if (t->what == TASK_DELIVER || w->nodes[t->node].core != NULL)
        table[t->what](w, t);
}

static uint64_t next_tick(const world *w, int *node)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].core != NULL && gossip_wake(w->nodes[i].core).ms < at) {
            at = gossip_wake(w->nodes[i].core).ms;
            *node = i;
        }
    return at;
}

/* One step; false when nothing happens before `until_ms`. */
static bool step(world *w, uint64_t until_ms)
{
    int node = 0;
    uint64_t tick = next_tick(w, &node), task = w->tasks != NULL ? w->tasks->at_ms : UINT64_MAX;
    uint64_t at = tick < task ? tick : task;
    if (at > until_ms)
        return false;
    w->now_ms = at > w->now_ms ? at : w->now_ms;
    if (tick < task) {
        gossip_tick(w->nodes[node].core, now(w));
        cr_assert(gossip_wake(w->nodes[node].core).ms > w->now_ms, "the core must not spin");
    } else {
        world_task *t = w->tasks;
        w->tasks = t->next;
        node = t->node;
        perform(w, t);
        task_free(t);
    }
    pump(w, node);
    return true;
}

void world_run(world *w, uint64_t until_ms)
{
    while (step(w, until_ms))
        continue;
    w->now_ms = until_ms;
}

bool world_converge(world *w, uint64_t until_ms)
{
    while (!world_equal(w))
        if (!step(w, until_ms))
            return false;
    return true;
}
