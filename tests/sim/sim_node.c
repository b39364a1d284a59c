/* A node's life: it starts from what its store holds, and a crash leaves nothing but what was committed. */
#include "tests/sim/sim.h"

#include "pure/chain.h"

wall_ms sim_clock(const sim_world *w, const sim_node *n)
{
    int64_t drift = (int64_t)w->now_ms * n->drift_ppm / 1000000;
    int64_t t = (int64_t)(SIM_BASE_MS + w->now_ms) + n->clock_ms + drift;
    return (wall_ms){t > 0 ? (uint64_t)t : 0};
}

static void draw(sim_world *w, void *out, size_t len)
{
    for (size_t k = 0; k < len; k++)
        ((uint8_t *)out)[k] = (uint8_t)prop_u64(&w->rng);
}

void sim_node_prepare(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    n->exists = true;
    n->world = w;
    n->index = i;
    draw(w, n->seed, sizeof n->seed);
    crypto_signer_from_seed(&n->identity.signer, n->seed);
    snprintf(n->identity.name, sizeof n->identity.name, "node%d", i);
    n->identity.dataset = w->dataset;
    n->inode = prop_u64(&w->rng);
    n->machine = prop_u64(&w->rng);
    n->acked = calloc(SIM_EVENTS, sizeof *n->acked);
    for (int k = 0; k < SIM_FLIGHTS; k++)
        if (merge_batch_init(&n->flights[k].batch) != ERR_OK)
            abort();
    if (n->acked == NULL)
        abort();
}

void sim_node_release(sim_node *n)
{
    if (!n->exists)
        return;
    if (n->alive) {
        store_close(&n->store);
        merge_core_free(n->merge);
        gossip_core_free(n->gossip);
    }
    if (n->backup.kv != NULL)
        kv_free(n->backup.kv);
    if (n->down != NULL)
        kv_free(n->down);
    for (int k = 0; k < SIM_FLIGHTS; k++)
        merge_batch_release(&n->flights[k].batch);
    sim_view_release(&n->view);
    free(n->acked);
    *n = (sim_node){0};
}

bool sim_node_ready(const sim_node *n)
{
    return n->alive && !n->unready;
}

static err_t open_store(sim_world *w, sim_node *n, store_kv *kv, bool wiped)
{
    uint8_t machine[8];
    put_u64be(machine, n->machine);
    store_opening how = {
        .inode = n->inode,
        .birth_ns = 1,
        .machine = bytes_of(machine, sizeof machine),
        .random_epoch = 1 + prop_u64(&w->rng) / 2,
        .random_incarnation = (uint16_t)(4 * (1 + sim_below(w, 16000))),
        .first_incarnation = wiped ? (uint16_t)(4 * (1 + sim_below(w, 16000))) : 0,
    };
    return store_open(&n->store, kv, &how);
}

void sim_node_start(sim_world *w, int i, store_kv *kv, bool wiped)
{
    sim_node *n = &w->node[i];
    merge_io io = sim_merge_io(n);
    n->kv = kv != NULL ? kv : store_mem_new();
    n->disk_bad = n->mute = false;
    err_t e = n->kv == NULL ? ERR_NO_MEMORY : open_store(w, n, n->kv, wiped);
    if (e != ERR_OK) {
        if (n->kv != NULL)
            kv_free(n->kv);
        n->kv = NULL;
        sim_fail(w, INV_MACHINE, "node %d cannot open its store: %s", i, err_name(e));
        return;
    }
    n->identity.genesis = w->genesis;
    n->merge = merge_core_new(&n->identity, &io, (wall_ms){SIM_BUILT_MS}, prop_u64(&w->rng));
    n->gossip = gossip_core_new(sim_now(w));
    if (n->merge == NULL || n->gossip == NULL)
        abort();
    n->alive = n->unready = true;
    n->life++;
    n->n_flights = 0;
    n->ticket_in = n->ticket_out = 0;
    n->barrier = false;
    n->roster_seen = n->front_seen = 0;
    memset(n->forms, 0, sizeof n->forms);
    sim_say(w, "node %d (member %u) starts", i, n->identity.self);
    sim_node_load(w, i);
    sim_check_acked(w, i);
    sim_gossip_pump(w, i);
}

/* What merge's shell does when the store answers hello. */
void sim_node_load(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    store_hello_reply hello;
    err_t e = store_hello(n->store, &hello);
    if (e == ERR_OK)
        e = merge_core_load(n->merge, &hello);
    if (e != ERR_OK) {
        if (e != ERR_TIMEOUT && e != ERR_FULL && e != ERR_IO && !sim_is_damage(n, e))
            sim_fail(w, INV_MACHINE, "node %d cannot load: %s", i, err_name(e));
        return;
    }
    n->unready = false;
    if (roster_members(merge_core_roster(n->merge)) == 0)
        (void)sim_merge_ingest(w, i, buf_view(&w->genesis), 0, 0);
    sim_gossip_news(w, i);
}

void sim_node_crash(sim_world *w, int i, store_kv **kept)
{
    sim_node *n = &w->node[i];
    *kept = NULL;
    if (!n->alive)
        return;
    sim_once(w, ST_CRASH);
    sim_say(w, "node %d crashes", i);
    if (n->n_flights > 0)
        sim_once(w, ST_CRASH_LOST);
    sim_flights_drop(n);
    *kept = store_mem_copy(n->kv);
    if (*kept == NULL)
        abort();
    store_close(&n->store);
    merge_core_free(n->merge);
    gossip_core_free(n->gossip);
    n->alive = false;
    n->life++;
    for (uint32_t k = 0; k < w->n_links; k++)
        if (w->link[k].up && (w->link[k].a == i || w->link[k].b == i))
            sim_disconnect(w, w->link[k].id);
}
