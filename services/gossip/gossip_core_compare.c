/* Who lacks what: digest, then buckets, then entries; news when our own frontier changes. */
#include "gossip/gossip_core_impl.h"

#include <stdlib.h>

static bool same(const gossip_core *c, const event_id *digest)
{
    return event_id_eq(digest, &c->digest);
}

static void told(gossip_core *c, gossip_link *l)
{
    l->told = c->digest;
    l->has_told = true;
    l->news = 0;
}

static void send_digest(gossip_core *c, gossip_link *l)
{
    peer_digest m = {.digest = c->digest, .events = c->events};
    gossip_send(c, l, &peer_digest_desc, &m);
    told(c, l);
}

static void await(gossip_core *c, gossip_link *l, gossip_await what, mono_ms now)
{
    l->await = what;
    l->compare_until_ms = now.ms + GOSSIP_COMPARE_MS;
    l->recheck_ms = now.ms + GOSSIP_RECHECK_MS;
    gossip_wake_at(c, l->compare_until_ms);
}

static bool awaits(const gossip_link *l, gossip_await what, mono_ms now)
{
    return l->await == what && now.ms < l->compare_until_ms;
}

void gossip_compare(gossip_core *c, gossip_link *l, mono_ms now)
{
    c->count.compares++;
    send_digest(c, l);
    await(c, l, AWAIT_ANSWER, now);
}

static void send_entries(gossip_core *c, gossip_link *l, uint64_t mask, bool reply)
{
    frontier some = {0};
    if (reconcile_entries(&c->mine, mask, &some) == ERR_OK) {
        frontier_row *rows = calloc(some.n ? some.n : 1, sizeof *rows);
        for (size_t i = 0; rows != NULL && i < some.n; i++)
            rows[i] =
                (frontier_row){.feed = some.at[i].feed, .seq = some.at[i].seq, .id = some.at[i].id};
        peer_frontier m = {.digest = c->digest,
                           .buckets = mask,
                           .reply = reply,
                           .entries = MSG_LIST_OF(rows, some.n)};
        if (rows != NULL)
            gossip_send(c, l, &peer_frontier_desc, &m);
        free(rows);
    }
    frontier_release(&some);
}

static void send_buckets(gossip_core *c, gossip_link *l)
{
    bucket_row rows[FRONTIER_BUCKETS] = {0};
    for (unsigned i = 0; i < FRONTIER_BUCKETS; i++)
        rows[i].digest = c->buckets[i];
    peer_buckets m = {.digest = c->digest, .buckets = MSG_LIST_OF(rows, FRONTIER_BUCKETS)};
    gossip_send(c, l, &peer_buckets_desc, &m);
}

/* ---- what a peer says ---- */

static void heard(gossip_link *l, const event_id *digest, mono_ms now)
{
    l->heard = *digest;
    l->has_heard = true;
    l->as_of_ms = now.ms;
}

/* The peer stands where we stand: nothing is to be said, unless it does not know that yet. */
static void in_step(gossip_core *c, gossip_link *l)
{
    reconcile_release(&l->peer);
    l->compared = true;
    l->await = AWAIT_NOTHING;
    l->plan = true;
    if (!l->has_told || !same(c, &l->told))
        send_digest(c, l);
    l->news = 0;
}

void gossip_recv_digest(gossip_core *c, gossip_link *l, const peer_digest *m, mono_ms now)
{
    heard(l, &m->digest, now);
    if (same(c, &m->digest)) {
        in_step(c, l);
        return;
    }
    if (awaits(l, AWAIT_ENTRIES, now) || (awaits(l, AWAIT_ANSWER, now) && l->first))
        return; /* it is being compared already */
    c->count.compares++;
    if (c->mine.n <= RECONCILE_SMALL)
        send_entries(c, l, FRONTIER_ALL_BUCKETS, true);
    else
        send_buckets(c, l);
    told(c, l);
    await(c, l, AWAIT_ENTRIES, now);
}

void gossip_recv_buckets(gossip_core *c, gossip_link *l, const peer_buckets *m, mono_ms now)
{
    uint64_t theirs[FRONTIER_BUCKETS];
    bucket_row row;
    size_t n = 0;
    msg_list list = m->buckets;
    while (msg_list_next(&bucket_row_desc, &list, &row)) {
        if (n < FRONTIER_BUCKETS)
            theirs[n] = row.digest;
        n++;
    }
    if (n != FRONTIER_BUCKETS) {
        gossip_close(c, l, ERR_MALFORMED);
        return;
    }
    heard(l, &m->digest, now);
    if (same(c, &m->digest)) {
        in_step(c, l);
        return;
    }
    uint64_t mask = reconcile_mask(&c->mine, theirs);
    reconcile_release(&l->peer); /* the other buckets equal ours */
    send_entries(c, l, mask, true);
    told(c, l);
    await(c, l, AWAIT_ENTRIES, now);
}

/* What it said before about other buckets stays. */
static err_t merge_heard(gossip_link *l, const peer_frontier *m)
{
    size_t n = 0, room = l->peer.entries.n + m->entries.n;
    frontier_entry *all = malloc((room ? room : 1) * sizeof *all);
    if (all == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < l->peer.entries.n; i++)
        if (!(m->buckets >> frontier_bucket(l->peer.entries.at[i].feed) & 1))
            all[n++] = l->peer.entries.at[i];
    msg_list list = m->entries;
    frontier_row row;
    err_t e = ERR_OK;
    while (e == ERR_OK && n < room && msg_list_next(&frontier_row_desc, &list, &row)) {
        if (!(m->buckets >> frontier_bucket(row.feed) & 1))
            e = ERR_MALFORMED;
        all[n++] = (frontier_entry){row.feed, row.seq, row.id};
    }
    if (e == ERR_OK)
        e = reconcile_heard(&l->peer, l->peer.mask | m->buckets, all, n);
    free(all);
    return e;
}

void gossip_recv_frontier(gossip_core *c, gossip_link *l, const peer_frontier *m, mono_ms now)
{
    err_t e = merge_heard(l, m);
    if (e != ERR_OK) {
        gossip_close(c, l, e);
        return;
    }
    heard(l, &m->digest, now);
    if (m->reply) {
        send_entries(c, l, m->buckets, false);
        told(c, l);
    }
    if (m->reply || l->await == AWAIT_ENTRIES || m->buckets == FRONTIER_ALL_BUCKETS) {
        l->compared = true;
        l->await = AWAIT_NOTHING;
    }
    if (same(c, &m->digest))
        in_step(c, l);
    l->plan = true;
}

/* ---- news ---- */

static size_t entries_in(const gossip_core *c, uint64_t mask)
{
    size_t n = 0;
    for (size_t i = 0; i < c->mine.n; i++)
        n += mask >> frontier_bucket(c->mine.at[i].feed) & 1;
    return n;
}

static void send_news(gossip_core *c, gossip_link *l, mono_ms now)
{
    uint64_t pause = GOSSIP_NEWS_MS + c->mine.n / 32;
    l->news_ms = now.ms + pause;
    if (l->has_heard && same(c, &l->heard))
        send_digest(c, l);
    else if (!l->compared)
        gossip_compare(c, l, now);
    else if (entries_in(c, l->news) > GOSSIP_NEWS_ENTRIES_MAX)
        gossip_compare(c, l, now);
    else
        send_entries(c, l, l->news, false);
    told(c, l);
}

static void tick_link(gossip_core *c, gossip_link *l, mono_ms now)
{
    if (l->news != 0 && !awaits(l, AWAIT_ANSWER, now) && !awaits(l, AWAIT_ENTRIES, now)) {
        if (now.ms >= l->news_ms)
            send_news(c, l, now);
        else
            gossip_wake_at(c, l->news_ms);
    }
    if (now.ms >= l->recheck_ms) {
        l->recheck_ms = now.ms + GOSSIP_RECHECK_MS;
        if (!l->has_heard || !same(c, &l->heard))
            gossip_compare(c, l, now);
    }
    gossip_wake_at(c, l->recheck_ms);
    if (l->await != AWAIT_NOTHING && now.ms < l->compare_until_ms)
        gossip_wake_at(c, l->compare_until_ms);
}

void gossip_compare_tick(gossip_core *c, mono_ms now)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (c->links[i].id != 0)
            tick_link(c, &c->links[i], now);
}

void gossip_changed(gossip_core *c, uint64_t buckets, mono_ms now)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        gossip_link *l = &c->links[i];
        if (l->id == 0)
            continue;
        l->news |= buckets;
        l->plan = true;
    }
    gossip_compare_tick(c, now);
}

/* ---- is it held? ---- */

static bool asked_for(const gossip_core *c, const frontier_entry *e)
{
    for (size_t i = 0; i < GOSSIP_LOCATES_MAX; i++)
        if (c->lookups[i].tag != 0 && frontier_entry_cmp(&c->lookups[i].e, e) == 0)
            return true;
    return false;
}

static bool look_up(gossip_core *c, const frontier_entry *e)
{
    for (size_t i = 0; i < GOSSIP_LOCATES_MAX; i++)
        if (c->lookups[i].tag == 0) {
            gossip_effect *out = gossip_emit(c, GOSSIP_LOCATE);
            if (out == NULL)
                return false;
            out->tag = gossip_new_tag(c);
            out->locate = (locate_request){.feed = e->feed, .seq = e->seq};
            c->lookups[i] = (gossip_lookup){out->tag, *e};
            return true;
        }
    return false;
}

void gossip_look_up(gossip_core *c, gossip_link *l)
{
    frontier unsure = {0};
    if (reconcile_unsure(&c->mine, &l->peer, &unsure) == ERR_OK)
        for (size_t i = 0; i < unsure.n; i++) {
            const frontier_entry *e = &unsure.at[i];
            if (frontier_has(&c->present, e) || frontier_has(&c->absent, e) || asked_for(c, e))
                continue;
            if (!look_up(c, e))
                break; /* goes on when those are answered */
        }
    frontier_release(&unsure);
}

bool gossip_holds(void *core, feed_id feed, uint64_t seq, const event_id *id)
{
    const gossip_core *c = core;
    return !frontier_has(&c->absent, &(frontier_entry){feed, seq, *id});
}

static bool among(const locate_reply *reply, const event_id *id)
{
    msg_list list = reply->places;
    place_row row;
    while (msg_list_next(&place_row_desc, &list, &row))
        if (event_id_eq(&row.id, id))
            return true;
    return false;
}

static gossip_lookup *lookup_of(gossip_core *c, uint32_t tag)
{
    for (size_t i = 0; tag != 0 && i < GOSSIP_LOCATES_MAX; i++)
        if (c->lookups[i].tag == tag)
            return &c->lookups[i];
    return NULL;
}

static bool lookups_wait(const gossip_core *c)
{
    for (size_t i = 0; i < GOSSIP_LOCATES_MAX; i++)
        if (c->lookups[i].tag != 0)
            return true;
    return false;
}

void gossip_located(gossip_core *c, uint32_t tag, err_t e, const locate_reply *reply, mono_ms now)
{
    gossip_lookup *q = lookup_of(c, tag);
    if (q == NULL)
        return;
    bool held = e == ERR_OK && among(reply, &q->e.id);
    frontier *known = held ? &c->present : &c->absent;
    if (e != ERR_OK)
        gossip_replan_at(c, now.ms + GOSSIP_GRUDGE_MS); /* asked again then */
    else if (known->n >= GOSSIP_LOCATED_MAX || frontier_add(known, &q->e) != ERR_OK)
        frontier_clear(known); /* found out again when needed */
    q->tag = 0;
    if (e != ERR_OK || (held && lookups_wait(c)))
        return; /* only what is missing, or room for more questions, changes a plan */
    gossip_plan_all(c);
    gossip_plan(c, now);
}
