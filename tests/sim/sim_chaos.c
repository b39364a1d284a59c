/* What happens next, drawn from the seed: first anything at all (safety), then nothing bad any more (liveness). */
#include "tests/sim/sim.h"

#include "pure/chain.h"
#include "pure/run.h"

#define HEAL_MAX_MS  (3 * 3600 * 1000ull)
#define HEAL_STEP_MS 10000u
#define STRANGER_MS  600000u

/* ---- options ---- */

sim_options sim_options_of(uint64_t seed)
{
    prop_rng r = {seed ^ 0x5bd1e995u};
    for (int k = 0; k < 3; k++)
        (void)prop_u64(&r);
    sim_options o = {.seed = seed};
    o.nodes = 3 + (int)prop_below(&r, 4);
    o.steps = 100 + (uint32_t)prop_below(&r, 200);
    o.latency_ms = 1 + prop_below(&r, prop_below(&r, 4) == 0 ? 3000 : 80);
    o.lossy = prop_below(&r, 4) == 0;
    o.liar = prop_below(&r, 2);
    o.clones = prop_below(&r, 3) == 0;
    o.rollbacks = prop_below(&r, 3) == 0;
    o.restores = prop_below(&r, 2);
    o.removals = prop_below(&r, 2);
    o.clocks = prop_below(&r, 2);
    o.disks = prop_below(&r, 3) == 0;
    o.hot = 1 + (unsigned)prop_below(&r, 6);
    o.real_crypto = seed % 50 == 7;
    o.heirs = prop_below(&r, 3) == 0;
    o.damage = prop_below(&r, 3) == 0;
    return o;
}

sim_options sim_options_hard(uint64_t seed)
{
    sim_options o = sim_options_of(seed);
    o.liar = o.clones = o.rollbacks = o.restores = o.removals = o.clocks = true;
    o.lossy = o.real_crypto = false;
    return o;
}

void sim_options_print(const sim_options *o)
{
    printf("seed %llu: %d nodes, %u steps, latency %llu ms, %u hot records%s%s%s%s%s%s%s%s%s%s%s\n",
           (unsigned long long)o->seed, o->nodes, o->steps, (unsigned long long)o->latency_ms,
           o->hot, o->lossy ? ", lossy" : "", o->liar ? ", liar" : "", o->clones ? ", clones" : "",
           o->rollbacks ? ", rollbacks" : "", o->restores ? ", restores" : "",
           o->removals ? ", removals" : "", o->clocks ? ", clocks" : "", o->disks ? ", disks" : "",
           o->heirs ? ", heirs" : "", o->damage ? ", damage" : "",
           o->real_crypto ? ", Ed25519" : "");
}

/* ---- the beginning ---- */

static void found(sim_world *w)
{
    sim_node *n = &w->node[0];
    buf payload, body;
    event_view v;
    event_id start, id;
    seal_sig seal;
    run_writer rw;
    uint32_t count;
    sim_node_prepare(w, 0);
    roster_event ev = {.kind = ROSTER_EV_GENESIS,
                       .number = ROSTER_FOUNDER_NUMBER,
                       .key = n->identity.signer.public,
                       .has_transport = true,
                       .name = bytes_str("base"),
                       .title = bytes_str("a survey")};
    if (w->opt.heirs)
        ev.heir = sim_heir_paper(w)->key;
    else
        memset(ev.heir.b, 7, sizeof ev.heir.b);
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&body, EVENT_MAX_BYTES);
    err_t e = roster_event_write(&ev, &payload);
    event_fields f = {.stamp = {SIM_BASE_MS, 0},
                      .category = bytes_str(ROSTER_CATEGORY),
                      .stream = bytes_str(ROSTER_STREAM),
                      .kind = bytes_str(ROSTER_KIND_GENESIS),
                      .payload = buf_view(&payload)};
    if (e != ERR_OK || event_build(&f, &body) != ERR_OK ||
        event_parse(buf_view(&body), &v) != ERR_OK)
        abort();
    chain_genesis_id(&w->dataset, &ev.key, v.head, v.tail);
    chain_start_genesis(&start, &ev.key);
    chain_next(&id, &start, 1, v.head, v.tail);
    if (chain_sign(&seal, &n->identity.signer, &w->dataset, 1, 1, &id) != ERR_OK ||
        run_begin(&rw, &w->genesis, 1, 1, &start) != ERR_OK ||
        run_add(&rw, buf_view(&body), false, &seal) != ERR_OK || run_end(&rw, &count) != ERR_OK)
        abort();
    (void)sim_event_add(w, 1, 1, &id, &start, &ev.key, true, buf_view(&body));
    buf_release(&payload);
    buf_release(&body);
    n->identity.dataset = w->dataset;
    n->identity.self = ROSTER_FOUNDER_NUMBER;
    n->enrolled = true;
    sim_node_start(w, 0, NULL, false);
    sim_run(w, w->now_ms + 100);
}

/* Adds the machine `b` at the node `a`; it starts and meets its inviter. */
static void enrol(sim_world *w, int a, int b, roster_role role)
{
    sim_node *n = &w->node[b], *by = &w->node[a];
    member_no number = n->identity.self;
    char name[16];
    int len = snprintf(name, sizeof name, "node%d", b);
    if (!n->exists)
        sim_node_prepare(w, b);
    member_add_request in = {.name = bytes_of(name, (size_t)len),
                             .role = (uint8_t)role,
                             .key = n->identity.signer.public,
                             .number = number};
    memcpy(in.transport.b, n->identity.signer.public.b, sizeof in.transport.b);
    if (!sim_merge_add(w, a, &in, &number))
        return;
    sim_run(w, w->now_ms + 60);
    if (!sim_node_ready(by) ||
        roster_find(merge_core_roster(by->merge), number, &n->identity.signer.public) == NULL)
        return; /* it did not get through; another time */
    n->identity.self = number;
    n->role = role;
    n->added_by = merge_core_is_founder(by->merge) ? ROSTER_FOUNDER_NUMBER : by->identity.self;
    w->recut[number] |=
        n->added_by == ROSTER_FOUNDER_NUMBER ? a == 0 && w->recut[1] : w->recut[n->added_by];
    if (n->enrolled)
        return;
    n->enrolled = true;
    sim_once(w, a == 0 ? ST_ADDED : ST_COORDINATED);
    sim_node_start(w, b, NULL, false);
    sim_run(w, w->now_ms + 40);
    (void)sim_connect(w, b, a);
}

/* ---- what may happen ---- */

static int some_node(sim_world *w, bool alive)
{
    for (int tries = 0; tries < 30; tries++) {
        int i = (int)sim_below(w, SIM_NODES);
        if (w->node[i].enrolled && w->node[i].alive == alive)
            return i;
    }
    return -1;
}

static void do_write(sim_world *w)
{
    int i = some_node(w, true);
    if (i >= 0)
        sim_open_form(w, i);
}

static void do_link(sim_world *w)
{
    int a = some_node(w, true), b = some_node(w, true);
    if (a >= 0 && b >= 0)
        (void)sim_connect(w, a, b);
}

static void do_cut(sim_world *w)
{
    uint32_t up = 0, chosen = 0;
    for (uint32_t k = 0; k < w->n_links; k++)
        if (w->link[k].up && sim_below(w, ++up) == 0)
            chosen = w->link[k].id;
    if (chosen != 0) {
        sim_once(w, ST_CUT);
        sim_disconnect(w, chosen);
    }
}

static void do_part(sim_world *w)
{
    uint64_t side = prop_u64(&w->rng);
    sim_once(w, ST_PARTITION);
    for (uint32_t k = 0; k < w->n_links; k++)
        if (w->link[k].up && ((side >> w->link[k].a ^ side >> w->link[k].b) & 1))
            sim_disconnect(w, w->link[k].id);
}

static void do_crash(sim_world *w)
{
    int i = some_node(w, true);
    if (i >= 0)
        sim_node_crash(w, i, &w->node[i].down);
}

static void start_again(sim_world *w, int i)
{
    store_kv *kv = w->node[i].down;
    w->node[i].down = NULL;
    sim_node_start(w, i, kv, false);
}

static void do_start(sim_world *w)
{
    int i = some_node(w, false);
    if (i >= 0)
        start_again(w, i);
}

static void do_clock(sim_world *w)
{
    int i = some_node(w, true);
    if (i < 0 || !w->opt.clocks)
        return;
    sim_node *n = &w->node[i];
    switch (sim_below(w, 6)) {
    case 0:
        n->clock_ms = -(int64_t)SIM_BASE_MS;
        sim_once(w, ST_CLOCK_1970);
        break;
    case 1:
        n->clock_ms = (int64_t)(73 * 365 * SIM_DAY_MS);
        sim_once(w, ST_CLOCK_2099);
        break;
    case 2:
        n->clock_ms -= 3600000;
        sim_once(w, ST_CLOCK_BACK);
        break;
    case 3:
        n->drift_ppm = (int64_t)sim_below(w, 400) - 200;
        sim_once(w, ST_CLOCK_DRIFT);
        break;
    default:
        n->clock_ms = 0;
    }
}

static void do_disk(sim_world *w)
{
    int i = some_node(w, true);
    if (i < 0 || !w->opt.disks)
        return;
    sim_node *n = &w->node[i];
    n->disk_bad = !n->disk_bad;
    store_mem_fail(n->kv, 0, n->disk_bad ? (sim_chance(w, 2) ? ERR_FULL : ERR_IO) : ERR_OK);
}

/* Weeks pass at one node, as far as its disk is concerned. */
static void do_age(sim_world *w)
{
    int i = some_node(w, true);
    uint32_t gone = 0, none;
    bool more = true;
    if (i < 0 || w->node[i].disk_bad)
        return;
    store_core *s = w->node[i].store;
    wall_ms now = sim_clock(w, &w->node[i]), later = {now.ms + ERASE_KEEP_MS};
    err_t e = store_tails(s, now, &none);
    if (e == ERR_OK)
        e = store_tails(s, later, &gone);
    while (e == ERR_OK && more)
        e = store_wipe(s, 1000, &more);
    if (e != ERR_OK && e != ERR_FULL && e != ERR_IO)
        sim_fail(w, INV_MACHINE, "node %d: tails: %s", i, err_name(e));
    if (gone > 0)
        sim_once(w, ST_TAIL_LEFT);
}

static bool may_copy(const sim_node *n)
{
    return n->role == ROSTER_ROLE_FIELD && !n->liar && n->n_damage == 0;
}

static void do_backup(sim_world *w)
{
    int i = some_node(w, true);
    if (i < 0 || !may_copy(&w->node[i]))
        return;
    sim_node *n = &w->node[i];
    if (n->backup.kv != NULL)
        kv_free(n->backup.kv);
    n->backup.kv = store_mem_copy(n->kv);
    n->backup.n_acked = n->n_acked;
}

static void mark_forkable(sim_world *w, int i)
{
    store_hello_reply hello;
    if (w->node[i].alive && store_hello(w->node[i].store, &hello) == ERR_OK)
        sim_forkable(w, w->node[i].identity.self, hello.incarnation);
    if (w->node[i].alive && w->node[i].identity.n_founder > 0)
        sim_forkable(w, ROSTER_FOUNDER_NUMBER,
                     feed_incarnation(merge_core_founder_feed(w->node[i].merge)));
}

/* Back to the backup: noticed (another file), or not; or the database is gone altogether. */
static void do_restore(sim_world *w)
{
    int i = some_node(w, true);
    if (i < 0 || !may_copy(&w->node[i]))
        return;
    sim_node *n = &w->node[i];
    store_kv *old, *kv = NULL;
    bool wipe = w->opt.restores && sim_chance(w, 4);
    bool notice = w->opt.restores && (!w->opt.rollbacks || sim_chance(w, 2));
    if ((!wipe && n->backup.kv == NULL) || (!notice && !w->opt.rollbacks))
        return;
    sim_node_crash(w, i, &old);
    kv_free(old);
    if (!wipe)
        kv = n->backup.kv;
    else if (n->backup.kv != NULL)
        kv_free(n->backup.kv);
    n->backup.kv = NULL;
    n->n_acked = wipe ? 0 : n->backup.n_acked;
    n->last_stamp = (hlc_stamp){0};
    sim_view_release(&n->view);
    if (wipe || notice)
        n->inode = prop_u64(&w->rng);
    sim_once(w, wipe ? ST_WIPED : notice ? ST_RESTORED : ST_ROLLED_BACK);
    sim_node_start(w, i, kv, wipe);
    if (!wipe && !notice)
        mark_forkable(w, i);
}

static void do_clone(sim_world *w)
{
    int i = some_node(w, true), j = 0;
    if (i < 0 || !w->opt.clones || !may_copy(&w->node[i]))
        return;
    while (j < SIM_NODES && w->node[j].exists)
        j++;
    if (j == SIM_NODES)
        return;
    sim_node *n = &w->node[i], *c = &w->node[j];
    bool notice = sim_chance(w, 2);
    if (!notice)
        mark_forkable(w, i);
    sim_node_prepare(w, j);
    c->identity.signer = n->identity.signer;
    c->identity.self = n->identity.self;
    memcpy(c->identity.founder, n->identity.founder, sizeof c->identity.founder);
    c->identity.n_founder = n->identity.n_founder;
    c->role = n->role;
    c->added_by = n->added_by;
    c->enrolled = true;
    c->inode = n->inode;
    c->machine = notice ? c->machine : n->machine;
    sim_once(w, notice ? ST_CLONED : ST_TWINNED);
    sim_say(w, "node %d is a copy of %d", j, i);
    sim_node_start(w, j, store_mem_copy(n->kv), false);
}

static void do_remove(sim_world *w)
{
    int i = some_node(w, true), by = sim_heir_founder(w);
    if (i <= 0 || !w->opt.removals || !sim_node_ready(&w->node[by]) || sim_below(w, 3) != 0)
        return;
    if (sim_merge_remove(w, by, w->node[i].identity.self)) {
        sim_say(w, "node %d removes member %u", by, w->node[i].identity.self);
        sim_once(w, ST_REMOVED);
        for (int k = 0; k < SIM_NODES; k++)
            if (w->node[k].added_by == w->node[i].identity.self || k == i)
                w->recut[w->node[k].identity.self] = true;
    }
}

static void do_add(sim_world *w)
{
    int by = some_node(w, true), j = 0;
    while (j < SIM_NODES && w->node[j].exists && w->node[j].enrolled)
        j++;
    if (by >= 0 && j < w->opt.nodes + 2 && j < SIM_NODES &&
        (w->node[by].role <= ROSTER_ROLE_COORDINATOR || merge_core_is_founder(w->node[by].merge)) &&
        !w->node[by].liar)
        enrol(w, by, j, ROSTER_ROLE_FIELD);
}

static void do_check(sim_world *w)
{
    int i = some_node(w, true);
    if (i >= 0)
        sim_check_node(w, i);
}

static void do_lie(sim_world *w)
{
    if (w->opt.liar)
        sim_liar_act(w);
}

static const struct {
    unsigned weight;
    void (*act)(sim_world *w);
} acts[] = {
    {100, do_write}, {40, do_link}, {20, do_cut},   {3, do_part},    {6, do_crash}, {12, do_start},
    {10, do_clock},  {4, do_disk},  {6, do_backup}, {5, do_restore}, {3, do_clone}, {5, do_remove},
    {8, do_add},     {8, do_check}, {16, do_lie},   {4, do_age},
};

static void act(sim_world *w)
{
    unsigned total = 0;
    for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++)
        total += acts[k].weight;
    uint64_t at = sim_below(w, total);
    for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++) {
        if (at < acts[k].weight) {
            acts[k].act(w);
            return;
        }
        at -= acts[k].weight;
    }
}

static void begin(sim_world *w)
{
    found(w);
    for (int i = 1; i < w->opt.nodes && w->failed == INV_NONE; i++) {
        enrol(w, 0, i, i == 1 ? ROSTER_ROLE_COORDINATOR : ROSTER_ROLE_FIELD);
        sim_run(w, w->now_ms + 500);
    }
    w->liar.head[0] = w->liar.head[1] = w->liar.flood = w->liar.gap = SIM_NONE;
    if (w->opt.liar && w->node[2].enrolled)
        w->node[2].liar = true;
}

/* ---- the heal ---- */

/* Whoever was added behind the founder's back by a removed coordinator or a replaced founder is a stranger to him: he
 * adds some of them again, number and key as they were, and gives up the others. */
static void add_again(sim_world *w, int by, sim_node *n, bool known)
{
    member_no number = n->identity.self;
    member_add_request in = {.name = bytes_str("again"),
                             .role = ROSTER_ROLE_FIELD,
                             .key = n->identity.signer.public,
                             .number = number};
    memcpy(in.transport.b, in.key.b, sizeof in.transport.b);
    n->lost = true;
    if (n->gave_up || (n->gave_up = sim_chance(w, 3)) ||
        !(known ? sim_merge_readd(w, by, number) : sim_merge_add(w, by, &in, &number)))
        return;
    sim_once(w, ST_READDED);
    w->recut[number] = true;
    n->lost = false;
}

/* Its add counts for nobody but itself, so nobody will ever tell the founder of it. */
static bool is_stranger(const sim_world *w, const roster *r, const sim_node *n)
{
    const roster_member *by = roster_member_of(r, n->added_by);
    if (n->added_by == ROSTER_FOUNDER_NUMBER)
        return sim_heir_last(w) != 0 && w->now_ms > w->heal_ms + STRANGER_MS;
    return by != NULL && (by->removed || by->orphaned);
}

static void forget_lost(sim_world *w, int founder)
{
    const roster *r = merge_core_roster(w->node[founder].merge);
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node *n = &w->node[i];
        if (!n->enrolled || i == founder)
            continue;
        const roster_member *m = roster_find(r, n->identity.self, &n->identity.signer.public);
        n->lost = m != NULL && m->removed && !sim_belongs(&w->node[founder], n);
        if (n->lost || (m != NULL ? !m->orphaned : i == 0 || !is_stranger(w, r, n)))
            continue;
        sim_once(w, ST_ORPHANED);
        add_again(w, founder, n, m != NULL);
    }
}

static void keep_linked(sim_world *w, int founder)
{
    int before = -1;
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node *n = &w->node[i];
        if (!n->enrolled)
            continue;
        if (!n->alive)
            start_again(w, i);
        if (n->disk_bad)
            store_mem_fail(n->kv, 0, ERR_OK);
        n->disk_bad = false;
        if (n->lost)
            continue;
        if (n->liar) { /* goes on lying at the edge */
            (void)sim_connect(w, i, founder);
            continue;
        }
        if (i != founder && !sim_connect(w, i, founder) && !sim_connect(w, founder, i))
            sim_heir_stick(w, founder, i);
        if (before >= 0 && before != founder && !sim_connect(w, i, before))
            (void)sim_connect(w, before, i);
        before = i;
        sim_check_damage(w, i);
        sim_damage_tell(w, i);
        sim_merge_turn(w, i);
        sim_gossip_pump(w, i);
    }
}

static void heal(sim_world *w)
{
    unsigned stable = 0;
    w->healing = true;
    w->heal_ms = w->now_ms;
    sim_say(w, "heal");
    while (w->failed == INV_NONE && stable < 3) {
        if (w->now_ms > w->heal_ms + HEAL_MAX_MS) {
            sim_say_state(w);
            sim_check_mended(w);
            sim_fail(w, INV_CONVERGE, "not converged %llu min after the heal",
                     (unsigned long long)(HEAL_MAX_MS / 60000));
            return;
        }
        int founder = sim_heir_last(w);
        keep_linked(w, founder);
        if (sim_node_ready(&w->node[founder]) && w->node[founder].n_flights == 0)
            forget_lost(w, founder);
        sim_run(w, w->now_ms + HEAL_STEP_MS);
        stable = sim_converged(w) ? stable + 1 : 0;
    }
    w->converged_ms = w->now_ms - w->heal_ms;
}

bool sim_history(sim_world *w)
{
    sim_real_crypto = w->opt.real_crypto;
    begin(w);
    for (w->step = 0; w->step < w->opt.steps && w->failed == INV_NONE; w->step++) {
        act(w);
        if (w->opt.heirs && sim_chance(w, 40))
            sim_heir_act(w);
        sim_damage_act(w);
        uint64_t gap = sim_below(w, 40);
        sim_run(w, w->now_ms + sim_below(w, gap == 0 ? 7200000 : gap < 6 ? 60000 : 2000));
    }
    if (w->failed == INV_NONE)
        heal(w);
    if (w->failed == INV_NONE)
        sim_check_end(w);
    return w->failed == INV_NONE;
}
