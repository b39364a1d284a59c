/* Rows that go bad on the disk of one node at a time: reported, never served, mended by a peer. All draws come from a
 * sequence of their own, so that histories without damage stay as they are. */
#include "tests/sim/sim.h"

#include "store/store_keys.h"

#define ONE_IN 25u /* steps */

/* The machine whose disk holds a good copy until the end: it is neither restored nor cloned nor removed. */
static int keeper_of(int i)
{
    return i == 0 ? 1 : 0;
}

static bool may_damage(const sim_world *w, int i)
{
    const sim_node *n = &w->node[i], *keeper = &w->node[keeper_of(i)];
    for (int k = 0; k < SIM_NODES; k++)
        if (w->node[k].n_damage > 0 && k != i)
            return false;
    return sim_node_ready(n) && keeper->enrolled && sim_node_ready(keeper) && !n->liar &&
           !n->disk_bad && n->n_flights == 0 && n->n_damage < SIM_DAMAGE &&
           !(i == 0 && w->opt.removals);
}

static bool row_at(const sim_node *n, uint64_t offset, stored_row *row)
{
    fetch_request req = {.after = offset - 1, .max = 1};
    rows_reply reply;
    return store_fetch(n->store, &req, &reply) == ERR_OK &&
           msg_list_next(&stored_row_desc, &reply.rows, row);
}

static bool flip(sim_world *w, const sim_node *n, uint64_t offset)
{
    store_key key;
    bytes value;
    kv_txn *txn;
    uint8_t copy[4096];
    key_offset(&key, offset);
    if (kv_begin(n->kv, true, &txn) != ERR_OK)
        return false;
    bool ok = kv_get(txn, KV_LOG, key_view(&key), &value) == ERR_OK && value.len <= sizeof copy;
    if (ok) {
        uint64_t bit = prop_below(&w->decay, value.len * 8);
        memcpy(copy, value.p, value.len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ok = kv_put(txn, KV_LOG, key_view(&key), bytes_of(copy, value.len)) == ERR_OK;
    }
    if (ok)
        return kv_commit(txn) == ERR_OK;
    kv_abort(txn);
    return false;
}

static void damage_one(sim_world *w, int i)
{
    static bool kept[SIM_EVENTS];
    sim_node *n = &w->node[i];
    stored_row row;
    uint64_t head = store_head(n->store), offset = head > 0 ? 1 + prop_below(&w->decay, head) : 0;
    if (offset == 0 || !row_at(n, offset, &row) || (row.flags & (ROW_CHANGED | ROW_DAMAGED)) != 0)
        return;
    uint32_t e = sim_event_find(w, &row.id);
    if (e == SIM_NONE || !sim_held(w, keeper_of(i), kept, NULL) || !kept[e] || !flip(w, n, offset))
        return;
    n->damage[n->n_damage++] = (sim_damaged){offset, e};
    n->decayed = true;
    sim_once(w, ST_DAMAGED);
    sim_say(w, "node %d: row %llu, %x/%llu, is damaged", i, (unsigned long long)offset,
            w->event[e].feed, (unsigned long long)w->event[e].seq);
    sim_check_damage(w, i);
}

void sim_damage_act(sim_world *w)
{
    if (!w->opt.damage)
        return;
    for (int k = 0; k < SIM_NODES; k++)
        sim_damage_tell(w, k);
    if (prop_below(&w->decay, ONE_IN) != 0)
        return;
    int i = (int)prop_below(&w->decay, SIM_NODES);
    for (uint64_t more = 1 + prop_below(&w->decay, SIM_DAMAGE); more > 0 && may_damage(w, i);
         more--)
        damage_one(w, i);
}

/* ---- what must hold ---- */

static bool is_listed(const sim_node *n, uint64_t offset)
{
    damage_reply reply;
    damage_row row;
    if (store_damage(n->store, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&damage_row_desc, &reply.rows, &row))
        if (row.offset == offset)
            return true;
    return false;
}

/* Still damaged, and said to be. Else it must be what it was. */
static bool is_damaged(sim_world *w, int i, const sim_damaged *d)
{
    const sim_node *n = &w->node[i];
    const sim_event *e = &w->event[d->event];
    stored_row row;
    bytes body = bytes_of(e->bytes, e->view.head.len + e->view.tail.len);
    if (!row_at(n, d->offset, &row))
        return true;
    if ((row.flags & ROW_DAMAGED) != 0) {
        if (row.body.len != 0 || !is_listed(n, d->offset))
            sim_fail(w, INV_DAMAGE, "node %d: the damaged row %llu is %s", i,
                     (unsigned long long)d->offset, row.body.len != 0 ? "served" : "not reported");
        return true;
    }
    if (!event_id_eq(&row.id, &e->id) || row.feed != e->feed || row.seq != e->seq ||
        ((row.flags & ROW_ERASED) == 0 && !bytes_eq(row.body, body)))
        sim_fail(w, INV_DAMAGE, "node %d: the damaged row %llu of %x/%llu is served", i,
                 (unsigned long long)d->offset, e->feed, (unsigned long long)e->seq);
    sim_once(w, ST_MENDED);
    return false;
}

void sim_check_damage(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    uint32_t left = 0;
    for (uint32_t k = 0; n->alive && k < n->n_damage; k++)
        if (is_damaged(w, i, &n->damage[k]))
            n->damage[left++] = n->damage[k];
    if (n->alive)
        n->n_damage = left;
}

void sim_check_mended(sim_world *w)
{
    for (int i = 0; i < SIM_NODES; i++) {
        const sim_node *n = &w->node[i];
        if (n->enrolled && !n->lost && n->n_damage > 0)
            sim_fail(w, INV_DAMAGE, "node %d: row %llu is not mended, a peer holds it", i,
                     (unsigned long long)n->damage[0].offset);
    }
}

bool sim_is_damage(const sim_node *n, err_t e)
{
    return e == ERR_DAMAGED && n->n_damage > 0;
}

/* What merge's shell does when the store says hello, and after it may have mended some. */
void sim_damage_tell(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    store_hello_reply hello;
    damage_reply reply;
    if (!sim_node_ready(n) || store_hello(n->store, &hello) != ERR_OK ||
        (hello.damaged == 0 && !n->mending))
        return;
    n->mending = hello.damaged > 0;
    if (store_damage(n->store, &reply) != ERR_OK ||
        merge_core_damaged(n->merge, reply.rows) != ERR_OK)
        return;
    sim_gossip_news(w, i);
}
