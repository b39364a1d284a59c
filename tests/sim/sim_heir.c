/* The founder's machine is lost, or is said to be, and somebody has the heir's key on paper: he uses it on some member's
 * machine and holds the founder's key there from then on. The old founder goes on, honest but cut off. */
#include "tests/sim/sim.h"

/* ---- keys ---- */

static void draw_key(sim_world *w, uint8_t seed[MEMBER_SEED_BYTES], crypto_signer *out)
{
    for (size_t k = 0; k < MEMBER_SEED_BYTES; k++)
        seed[k] = (uint8_t)prop_u64(&w->rng);
    crypto_signer_from_seed(out, seed);
}

sim_paper *sim_heir_paper(sim_world *w)
{
    sim_paper *p = &w->paper[w->n_papers++];
    crypto_signer key;
    *p = (sim_paper){.used = 0};
    draw_key(w, p->seed, &key);
    p->key = key.public;
    return p;
}

/* ---- who is the founder? ---- */

static bool holds_successor(const sim_node *n)
{
    return sim_node_ready(n) && n->enrolled && merge_core_founder(n->merge) != NULL;
}

int sim_heir_founder(const sim_world *w)
{
    for (int i = 1; i < SIM_NODES; i++)
        if (holds_successor(&w->node[i]))
            return i;
    return 0;
}

/* Somebody has heard that this founder was replaced, even if he has not. */
static bool is_replaced(const sim_world *w, const member_key *founder)
{
    for (int i = 0; i < SIM_NODES; i++) {
        const sim_node *n = &w->node[i];
        if (!n->enrolled || !sim_node_ready(n))
            continue;
        const roster_member *m =
            roster_find(merge_core_roster(n->merge), ROSTER_FOUNDER_NUMBER, founder);
        if (m != NULL && m->removed)
            return true;
    }
    return false;
}

int sim_heir_last(const sim_world *w)
{
    for (int i = 1; i < SIM_NODES; i++)
        if (holds_successor(&w->node[i]) &&
            !is_replaced(w, &merge_core_founder(w->node[i].merge)->public))
            return i;
    return sim_heir_founder(w);
}

/* As the ZAP handler: by the transport key, which a successor's machine has both as a member and as the founder. */
bool sim_belongs(const sim_node *at, const sim_node *who)
{
    const roster *r = merge_core_roster(at->merge);
    const roster_member *m = roster_find(r, who->identity.self, &who->identity.signer.public);
    for (unsigned k = 0; k < who->identity.n_founder && (m == NULL || m->removed || m->orphaned);
         k++)
        m = roster_find(r, ROSTER_FOUNDER_NUMBER, &who->identity.founder[k].public);
    return m != NULL && !m->removed && !m->orphaned;
}

void sim_heir_stick(sim_world *w, int founder, int i)
{
    sim_node *from = &w->node[founder], *to = &w->node[i];
    frontier_row rows[32];
    frontier_reply front;
    size_t n = 0;
    if (!sim_node_ready(from) || !sim_node_ready(to) || sim_belongs(to, from))
        return;
    merge_core_frontier(from->merge, &front);
    for (size_t k = 0; k < front.entries.n && n < 32; k++)
        rows[n++] = ((const frontier_row *)front.entries.items)[k];
    for (size_t k = 0; k < n; k++) {
        run_request req = {.feed = rows[k].feed,
                           .tip_seq = rows[k].seq,
                           .tip_id = rows[k].id,
                           .max_bytes = RUN_MAX_BYTES};
        run_reply reply;
        if (req.feed == ROSTER_FOUNDER_FEED && store_run(from->store, &req, &reply) == ERR_OK)
            (void)sim_merge_ingest(w, i, reply.run, 0, 0);
    }
}

/* ---- the key is used ---- */

/* Verdicts on all members may change, so what crossed a link once may cross it again. */
static void note(sim_world *w, int i, sim_paper *p)
{
    sim_say(w, "node %d replaces the founder", i);
    sim_once(w, ST_REPLACED);
    if (p != &w->paper[0])
        sim_once(w, ST_REPLACED_AGAIN);
    if (p->used++ > 0)
        sim_once(w, ST_REPLACED_TWICE);
    w->recut[ROSTER_FOUNDER_NUMBER] = true;
    for (int k = 0; k < SIM_NODES; k++)
        if (w->node[k].enrolled)
            w->recut[w->node[k].identity.self] = true;
}

/* Half of the times the newest paper, else any, used or not: what its node has heard decides. */
static sim_paper *some_paper(sim_world *w)
{
    uint64_t k = sim_chance(w, 2) ? w->n_papers - 1 : sim_below(w, w->n_papers);
    return &w->paper[k];
}

void sim_heir_act(sim_world *w)
{
    uint8_t seed[MEMBER_SEED_BYTES];
    crypto_signer successor;
    int i = (int)sim_below(w, SIM_NODES);
    sim_node *n = &w->node[i];
    if (!n->enrolled || !sim_node_ready(n) || n->liar ||
        n->identity.self == ROSTER_FOUNDER_NUMBER || w->n_papers == SIM_PAPERS)
        return;
    sim_paper *p = some_paper(w);
    if (roster_heir(merge_core_roster(n->merge), &p->key) != ROSTER_HEIR_STANDS)
        return;
    sim_paper *next = sim_heir_paper(w);
    draw_key(w, seed, &successor);
    const crypto_signer *now = merge_core_founder(n->merge);
    crypto_signer before = now != NULL ? *now : (crypto_signer){.secret = {0}};
    n->identity.n_founder = 0; /* as merge_identity_make_founder writes the file */
    if (now != NULL)
        n->identity.founder[n->identity.n_founder++] = before;
    n->identity.founder[n->identity.n_founder++] = successor;
    merge_core_hold_founder(n->merge, &successor);
    if (sim_merge_replace(w, i, p, &successor, &next->key))
        note(w, i, p);
}

bool sim_heir_writes(const sim_node *n, const sim_form *forms, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        if (strcmp(forms[k].kind, EVENT_KIND_ERASE) == 0)
            return merge_core_founder(n->merge) != NULL;
    return false;
}
