/* The virtual clock: what is due when, links, and messages that are late, lost, doubled or reordered. */
#include "tests/sim/sim.h"

#include <stdarg.h>

const char *const sim_invariant_names[INV_COUNT] = {
    [INV_NONE] = "none",           [INV_ACKNOWLEDGED] = "1 acknowledged",
    [INV_CONVERGE] = "2 converge", [INV_UNIQUE] = "3 unique",
    [INV_WRITES] = "4 writes",     [INV_VERDICTS] = "5 verdicts",
    [INV_ONCE] = "6 once",         [INV_BOUNDS] = "7 bounds",
    [INV_VIEW] = "8 view",         [INV_CLOCK] = "9 clock",
    [INV_MACHINE] = "10 machine",  [INV_ERASED] = "11 erased",
    [INV_DAMAGE] = "12 damage",
};

const char *const sim_sometimes_text[ST_COUNT] = {
#define X(name, text) text,
    SIM_SOMETIMES(X)
#undef X
};

void sim_fail(sim_world *w, sim_invariant what, const char *fmt, ...)
{
    va_list args;
    if (w->failed != INV_NONE)
        return;
    w->failed = what;
    va_start(args, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, args);
    va_end(args);
}

void sim_say(const sim_world *w, const char *fmt, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    printf("%8.3f  ", (double)w->now_ms / 1000);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

sim_world *sim_world_new(const sim_options *opt, bool verbose)
{
    sim_world *w = calloc(1, sizeof *w);
    if (w == NULL)
        abort();
    w->opt = *opt;
    w->verbose = verbose;
    w->rng = (prop_rng){opt->seed * 0x9e3779b97f4a7c15ull + 1};
    w->decay = (prop_rng){opt->seed * 0x9e3779b97f4a7c15ull + 2};
    w->now_ms = 1000;
    w->crossed = calloc(SIM_NODES, sizeof *w->crossed);
    if (w->crossed == NULL)
        abort();
    buf_init(&w->genesis, RUN_MAX_BYTES);
    return w;
}

static void task_free(sim_task *t)
{
    buf_release(&t->body);
    free(t);
}

void sim_world_free(sim_world *w)
{
    for (int i = 0; i < SIM_NODES; i++)
        sim_node_release(&w->node[i]);
    for (size_t i = 0; i < w->n_heap; i++)
        task_free(w->heap[i]);
    for (uint32_t i = 0; i < w->n_events; i++)
        free(w->event[i].bytes);
    free(w->heap);
    free(w->crossed);
    buf_release(&w->genesis);
    free(w);
}

/* ---- tasks: a heap by (time, order of scheduling) ---- */

static bool sooner(const sim_task *a, const sim_task *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void push(sim_world *w, sim_task *t)
{
    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 256;
        w->heap = realloc(w->heap, w->cap_heap * sizeof(sim_task *));
        if (w->heap == NULL)
            abort();
    }
    size_t i = w->n_heap++;
    for (; i > 0 && sooner(t, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = t;
}

static sim_task *pop(sim_world *w)
{
    sim_task *first = w->heap[0], *last = w->heap[--w->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < w->n_heap; i = k) {
        if (k + 1 < w->n_heap && sooner(w->heap[k + 1], w->heap[k]))
            k++;
        if (sooner(last, w->heap[k]))
            break;
        w->heap[i] = w->heap[k];
    }
    if (w->n_heap > 0)
        w->heap[i] = last;
    return first;
}

sim_task *sim_schedule(sim_world *w, int node, uint64_t delay_ms, sim_what what)
{
    sim_task *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    t->at_ms = w->now_ms + delay_ms;
    t->order = w->order++;
    t->what = what;
    t->node = node;
    t->life = w->node[node].life;
    buf_init(&t->body, MESSAGE_MAX_BYTES);
    push(w, t);
    return t;
}

void sim_again(sim_world *w, sim_task *t, uint64_t delay_ms)
{
    t->at_ms = w->now_ms + delay_ms;
    t->order = w->order++;
    t->tries++;
    push(w, t);
}

/* ---- links ---- */

static sim_link *link_of(sim_world *w, uint32_t id)
{
    return id > 0 && id <= w->n_links ? &w->link[id - 1] : NULL;
}

uint32_t sim_link_between(const sim_world *w, int a, int b)
{
    for (uint32_t i = w->n_links; i-- > 0;)
        if (w->link[i].up &&
            ((w->link[i].a == a && w->link[i].b == b) || (w->link[i].a == b && w->link[i].b == a)))
            return w->link[i].id;
    return 0;
}

bool sim_connect(sim_world *w, int a, int b)
{
    sim_node *na = &w->node[a], *nb = &w->node[b];
    if (a == b || !sim_node_ready(na) || !sim_node_ready(nb) || sim_link_between(w, a, b) ||
        w->n_links == SIM_LINKS || !sim_belongs(nb, na))
        return false;
    /* A joiner that knows nobody yet trusts the key that its token named. */
    if (roster_find(merge_core_roster(na->merge), nb->identity.self, &nb->identity.signer.public) !=
            NULL &&
        !sim_belongs(na, nb))
        return false;
    uint32_t id = w->n_links + 1;
    w->link[w->n_links++] = (sim_link){.id = id, .a = a, .b = b, .up = true};
    err_t e = gossip_link_up(na->gossip, id, nb->identity.self, true, sim_now(w));
    err_t f = gossip_link_up(nb->gossip, id, na->identity.self, false, sim_now(w));
    if (e != ERR_OK || f != ERR_OK)
        sim_fail(w, INV_MACHINE, "link_up %d-%d: %s %s", a, b, err_name(e), err_name(f));
    sim_say(w, "link %u: %d-%d", id, a, b);
    sim_gossip_pump(w, a);
    sim_gossip_pump(w, b);
    return true;
}

void sim_disconnect(sim_world *w, uint32_t id)
{
    sim_link *l = link_of(w, id);
    if (l == NULL || !l->up)
        return;
    l->up = false;
    sim_say(w, "cut %u: %d-%d", id, l->a, l->b);
    w->cuts[l->a][l->b]++;
    w->cuts[l->b][l->a]++;
    for (int side = 0; side < 2; side++) {
        int i = side ? l->b : l->a;
        if (!w->node[i].alive)
            continue;
        gossip_link_down(w->node[i].gossip, id, sim_now(w));
        sim_gossip_pump(w, i);
    }
}

static void send_one(sim_world *w, const sim_link *l, int to, uint64_t delay, const msg_desc *desc,
                     bytes body)
{
    sim_task *t = sim_schedule(w, to, delay, TASK_DELIVER);
    t->link = l->id;
    t->desc = desc;
    if (!buf_add_bytes(&t->body, body))
        abort();
}

void sim_transmit(sim_world *w, int from, uint32_t id, const msg_desc *desc, bytes body)
{
    sim_link *l = link_of(w, id);
    if (l == NULL || !l->up)
        return;
    int to = l->a == from ? l->b : l->a, side = to == l->b;
    uint64_t at = w->now_ms + 1 + sim_below(w, w->opt.latency_ms);
    if (w->opt.lossy && !w->healing) {
        if (sim_chance(w, 12)) {
            sim_once(w, ST_LOST);
            return;
        }
        if (sim_chance(w, 12)) {
            sim_once(w, ST_DOUBLED);
            send_one(w, l, to, sim_below(w, 3 * w->opt.latency_ms), desc, body);
        }
        if (at < l->last_ms[side])
            sim_once(w, ST_REORDERED);
    } else if (at < l->last_ms[side]) {
        at = l->last_ms[side];
    }
    if (at > l->last_ms[side])
        l->last_ms[side] = at;
    send_one(w, l, to, at - w->now_ms, desc, body);
}

/* ---- running ---- */

static void perform(sim_world *w, sim_task *t)
{
    sim_node *n = &w->node[t->node];
    int node = t->node;
    if (!n->alive || n->life != t->life) {
        task_free(t);
        return;
    }
    if (t->what == TASK_COMMIT) {
        sim_merge_commit(w, node);
        task_free(t);
    } else if (t->what == TASK_FORM) {
        sim_send_form(w, node, t->tag);
        task_free(t);
    } else {
        uint64_t order = t->order;
        sim_gossip_do(w, t);
        if (t->order == order)
            task_free(t);
    }
    sim_merge_turn(w, node);
    sim_gossip_pump(w, node);
}

static uint64_t next_tick(const sim_world *w, int *node)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < SIM_NODES; i++)
        if (w->node[i].alive && gossip_wake(w->node[i].gossip).ms < at) {
            at = gossip_wake(w->node[i].gossip).ms;
            *node = i;
        }
    return at;
}

void sim_run(sim_world *w, uint64_t until_ms)
{
    while (w->failed == INV_NONE) {
        int node = 0;
        uint64_t tick = next_tick(w, &node), task = w->n_heap ? w->heap[0]->at_ms : UINT64_MAX;
        uint64_t at = tick < task ? tick : task;
        if (at > until_ms)
            break;
        w->now_ms = at > w->now_ms ? at : w->now_ms;
        if (tick < task) {
            gossip_tick(w->node[node].gossip, sim_now(w));
            if (gossip_wake(w->node[node].gossip).ms <= w->now_ms)
                sim_fail(w, INV_MACHINE, "gossip of node %d spins", node);
            sim_gossip_pump(w, node);
        } else {
            perform(w, pop(w));
        }
    }
    if (w->now_ms < until_ms)
        w->now_ms = until_ms;
}
