/* Whom not to ask for what, and until when. Kept per member, so that a new connection is no pardon. */
#include "gossip/gossip_core_impl.h"

static bool linked(const gossip_core *c, const gossip_blame *b)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (c->links[i].id != 0 && c->links[i].blame == b)
            return true;
    return false;
}

/* There are as many places as links, so one is always free or of somebody who is not linked. */
gossip_blame *gossip_blame_of(gossip_core *c, member_no member)
{
    gossip_blame *best = NULL;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        gossip_blame *b = &c->blames[i];
        if (b->member == member && member != 0)
            return b;
        if ((best == NULL || b->quiet_until_ms < best->quiet_until_ms) && !linked(c, b))
            best = b;
    }
    if (best != NULL)
        *best = (gossip_blame){.member = member};
    return best;
}

static gossip_blame *known(gossip_core *c, member_no member)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (c->blames[i].member == member && member != 0)
            return &c->blames[i];
    return NULL;
}

bool gossip_may_ask(const gossip_blame *b, mono_ms now)
{
    return b == NULL || now.ms >= b->quiet_until_ms;
}

static bool stands_in_way(const gossip_grudge *g, const reconcile_want *w)
{
    switch (g->kind) {
    case GRUDGE_ROSTER:
        return event_id_eq(&g->tip, &w->tip_id);
    case GRUDGE_LISTED:
        return w->listed;
    case GRUDGE_FEED:
        break;
    }
    return true;
}

bool gossip_may_ask_for(const gossip_blame *b, const reconcile_want *w, mono_ms now)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        const gossip_grudge *g = &b->grudges[i];
        if (g->feed == w->feed && now.ms < g->until_ms && stands_in_way(g, w))
            return false;
    }
    return true;
}

static uint64_t pause_ms(uint32_t strikes)
{
    uint64_t ms = (uint64_t)GOSSIP_GRUDGE_MS << (strikes < 16 ? strikes : 16);
    return ms < GOSSIP_GRUDGE_MAX_MS ? ms : GOSSIP_GRUDGE_MAX_MS;
}

void gossip_blame_member(gossip_core *c, member_no member, mono_ms now)
{
    gossip_blame *b = known(c, member);
    if (b == NULL)
        return;
    b->quiet_until_ms = now.ms + pause_ms(b->strikes++);
    gossip_replan_at(c, b->quiet_until_ms);
}

static void drop_expired(gossip_blame *b, mono_ms now)
{
    for (size_t i = 0; i < b->n;)
        if (now.ms >= b->grudges[i].until_ms + GOSSIP_GRUDGE_MAX_MS)
            b->grudges[i] = b->grudges[--b->n];
        else
            i++;
}

static gossip_grudge *grudge_of(gossip_blame *b, const frontier_entry *tip, gossip_grudge_kind kind,
                                mono_ms now)
{
    for (size_t i = 0; i < b->n; i++) {
        gossip_grudge *g = &b->grudges[i];
        if (g->feed == tip->feed && g->kind == kind &&
            (kind != GRUDGE_ROSTER || event_id_eq(&g->tip, &tip->id)))
            return g;
    }
    drop_expired(b, now);
    if (b->n == GOSSIP_GRUDGES_MAX)
        return NULL;
    b->grudges[b->n] = (gossip_grudge){.feed = tip->feed, .tip = tip->id, .kind = kind};
    return &b->grudges[b->n++];
}

static gossip_grudge_kind kind_of(const gossip_flight *f)
{
    if (f->failed == ERR_NOT_MEMBER || f->failed == ERR_REMOVED)
        return GRUDGE_ROSTER;
    return f->listed && f->failed == ERR_NOT_FOUND ? GRUDGE_LISTED : GRUDGE_FEED;
}

void gossip_blame_flight(gossip_core *c, const gossip_flight *f, mono_ms now)
{
    gossip_blame *b = known(c, f->member);
    gossip_grudge *g = b != NULL ? grudge_of(b, &f->tip, kind_of(f), now) : NULL;
    if (b != NULL && g == NULL)
        gossip_blame_member(c, f->member, now); /* too many feeds of its are in vain */
    if (g == NULL)
        return;
    g->until_ms = now.ms + pause_ms(g->strikes++);
    gossip_replan_at(c, g->until_ms);
}

void gossip_praise(gossip_core *c, member_no member, feed_id feed)
{
    gossip_blame *b = known(c, member);
    if (b == NULL)
        return;
    b->strikes = 0;
    for (size_t i = 0; i < b->n;)
        if (b->grudges[i].feed == feed)
            b->grudges[i] = b->grudges[--b->n];
        else
            i++;
}

void gossip_pardon_roster(gossip_core *c)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++) /* not held against anybody yet */
        c->flights[i].pardoned |= c->flights[i].id != 0 && kind_of(&c->flights[i]) == GRUDGE_ROSTER;
    for (size_t k = 0; k < PEERS_MAX; k++)
        for (size_t i = 0; i < c->blames[k].n;)
            if (c->blames[k].grudges[i].kind == GRUDGE_ROSTER)
                c->blames[k].grudges[i] = c->blames[k].grudges[--c->blames[k].n];
            else
                i++;
}

void gossip_blame_replan(gossip_core *c, mono_ms now)
{
    for (size_t k = 0; k < PEERS_MAX; k++) {
        const gossip_blame *b = &c->blames[k];
        if (b->quiet_until_ms > now.ms)
            gossip_replan_at(c, b->quiet_until_ms);
        for (size_t i = 0; i < b->n; i++)
            if (b->grudges[i].until_ms > now.ms)
                gossip_replan_at(c, b->grudges[i].until_ms);
    }
}
