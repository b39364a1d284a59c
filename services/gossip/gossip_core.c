#include "gossip/gossip_core_impl.h"

#include <stdlib.h>

/* ---- effects ---- */

static void node_free(effect_node *n)
{
    if (n == NULL)
        return;
    buf_release(&n->body);
    free(n);
}

gossip_effect *gossip_emit(gossip_core *c, gossip_act act)
{
    effect_node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return NULL;
    n->e.act = act;
    buf_init(&n->body, MESSAGE_MAX_BYTES);
    *c->last = n;
    c->last = &n->next;
    return &n->e;
}

static effect_node *newest(gossip_core *c)
{
    return (effect_node *)((char *)c->last - offsetof(effect_node, next));
}

void gossip_emit_body(gossip_core *c, bytes body)
{
    (void)buf_add_bytes(&newest(c)->body, body);
}

bool gossip_next(gossip_core *c, gossip_effect *out)
{
    node_free(c->taken);
    c->taken = c->first;
    if (c->taken == NULL)
        return false;
    c->first = c->taken->next;
    if (c->first == NULL)
        c->last = &c->first;
    *out = c->taken->e;
    out->body = buf_view(&c->taken->body);
    return true;
}

void gossip_send(gossip_core *c, const gossip_link *l, const msg_desc *desc, const void *msg)
{
    gossip_effect *e = gossip_emit(c, GOSSIP_SEND);
    if (e == NULL)
        return;
    e->link = l->id;
    e->desc = desc;
    /* Out of memory: the body stays cut, the peer refuses it and the link is opened again. */
    (void)!msg_encode(desc, msg, &newest(c)->body);
}

void gossip_close(gossip_core *c, gossip_link *l, err_t why)
{
    gossip_effect *e = gossip_emit(c, GOSSIP_CLOSE);
    if (e == NULL)
        return;
    e->link = l->id;
    e->member = l->member;
    e->why = why;
}

uint32_t gossip_new_tag(gossip_core *c)
{
    if (++c->next_tag == 0)
        c->next_tag = 1;
    return c->next_tag;
}

void gossip_wake_at(gossip_core *c, uint64_t at_ms)
{
    if (at_ms < c->wake_ms)
        c->wake_ms = at_ms;
}

void gossip_replan_at(gossip_core *c, uint64_t at_ms)
{
    if (at_ms < c->replan_ms)
        c->replan_ms = at_ms;
    gossip_wake_at(c, at_ms);
}

void gossip_plan_all(gossip_core *c)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        c->links[i].plan = c->links[i].id != 0;
}

mono_ms gossip_wake(const gossip_core *c)
{
    return (mono_ms){c->wake_ms};
}

/* ---- life ---- */

gossip_core *gossip_core_new(mono_ms now)
{
    gossip_core *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->last = &c->first;
    c->wake_ms = c->replan_ms = UINT64_MAX;
    (void)gossip_ask(c, now);
    return c;
}

void gossip_core_free(gossip_core *c)
{
    if (c == NULL)
        return;
    for (effect_node *n = c->first, *next; n != NULL; n = next) {
        next = n->next;
        node_free(n);
    }
    node_free(c->taken);
    for (size_t i = 0; i < PEERS_MAX; i++)
        reconcile_release(&c->links[i].peer);
    frontier_release(&c->mine);
    frontier_release(&c->wanted);
    frontier_release(&c->present);
    frontier_release(&c->absent);
    free(c->writers);
    free(c);
}

/* ---- links ---- */

gossip_link *gossip_link_of(gossip_core *c, uint32_t link)
{
    for (size_t i = 0; link != 0 && i < PEERS_MAX; i++)
        if (c->links[i].id == link)
            return &c->links[i];
    return NULL;
}

static gossip_link *free_link(gossip_core *c)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (c->links[i].id == 0)
            return &c->links[i];
    return NULL;
}

err_t gossip_link_up(gossip_core *c, uint32_t link, member_no member, bool first, mono_ms now)
{
    gossip_link *l = free_link(c);
    if (l == NULL)
        return ERR_BUSY;
    *l = (gossip_link){.id = link, .member = member, .first = first, .alive_ms = now.ms};
    l->blame = gossip_blame_of(c, member);
    l->recheck_ms = now.ms + GOSSIP_COMPARE_MS;
    gossip_wake_at(c, l->recheck_ms);
    if (first && c->has_frontier)
        gossip_compare(c, l, now);
    return ERR_OK;
}

void gossip_link_down(gossip_core *c, uint32_t link, mono_ms now)
{
    gossip_link *l = gossip_link_of(c, link);
    if (l == NULL)
        return;
    reconcile_release(&l->peer);
    *l = (gossip_link){0};
    gossip_flights_drop(c, link, now);
    gossip_plan(c, now);
}

void gossip_recv(gossip_core *c, uint32_t link, const msg_desc *desc, const void *msg, mono_ms now)
{
    gossip_link *l = gossip_link_of(c, link);
    if (l == NULL || !c->has_frontier)
        return;
    if (desc == &peer_digest_desc)
        gossip_recv_digest(c, l, msg, now);
    else if (desc == &peer_buckets_desc)
        gossip_recv_buckets(c, l, msg, now);
    else if (desc == &peer_frontier_desc)
        gossip_recv_frontier(c, l, msg, now);
    else if (desc == &peer_want_desc)
        gossip_recv_want(c, l, msg);
    else if (desc == &peer_run_desc)
        gossip_recv_run(c, l, msg, now);
    else if (desc == &peer_have_not_desc)
        gossip_recv_have_not(c, l, msg, now);
    gossip_plan(c, now);
}

/* ---- where we stand ---- */

/* A question that is under way may have been answered before what is asked about now. */
uint64_t gossip_ask(gossip_core *c, mono_ms now)
{
    if (c->asking) {
        c->ask_again = true;
        return c->asked + 1;
    }
    if (now.ms < c->ask_ms) {
        c->ask_again = true;
        gossip_wake_at(c, c->ask_ms);
        return c->asked + 1;
    }
    if (gossip_emit(c, GOSSIP_FRONTIER) == NULL) {
        c->ask_ms = now.ms + GOSSIP_NEWS_MS;
        return gossip_ask(c, now);
    }
    c->asking = true;
    c->ask_again = false;
    return ++c->asked;
}

void gossip_bell(gossip_core *c, mono_ms now)
{
    (void)gossip_ask(c, now);
}

/* A large frontier is looked at less often, so that comparing never takes more than a small share of the time. */
static uint64_t interval_ms(const gossip_core *c)
{
    return 1 + c->mine.n / 32;
}

static err_t take_entries(frontier *out, msg_list list)
{
    frontier_row row;
    frontier_clear(out);
    while (msg_list_next(&frontier_row_desc, &list, &row))
        TRY(frontier_add(out, &(frontier_entry){row.feed, row.seq, row.id}));
    return ERR_OK;
}

static uint64_t differing(const uint64_t a[FRONTIER_BUCKETS], const uint64_t b[FRONTIER_BUCKETS])
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < FRONTIER_BUCKETS; i++)
        if (a[i] != b[i])
            mask |= 1ull << i;
    return mask;
}

static void take_frontier(gossip_core *c, const frontier_reply *f, mono_ms now)
{
    uint64_t buckets[FRONTIER_BUCKETS];
    if (take_entries(&c->mine, f->entries) != ERR_OK) {
        c->version = 0; /* out of memory: ask for all of it again */
        return;
    }
    frontier_buckets(&c->mine, buckets);
    uint64_t changed = c->has_frontier ? differing(c->buckets, buckets) : FRONTIER_ALL_BUCKETS;
    memcpy(c->buckets, buckets, sizeof buckets);
    frontier_digest(&c->mine, c->digest.b);
    c->version = f->version;
    c->events = f->events;
    c->has_frontier = true;
    gossip_changed(c, changed, now);
}

/* What is wanted beside the frontier changes without it, when a row is found damaged. */
static void take_wanted(gossip_core *c, const frontier_reply *f)
{
    frontier before = c->wanted;
    c->wanted = (frontier){0};
    if (take_entries(&c->wanted, f->wanted) != ERR_OK)
        frontier_clear(&c->wanted); /* out of memory: told again with the next answer */
    bool same = before.n == c->wanted.n;
    for (size_t i = 0; same && i < before.n; i++)
        same = frontier_entry_cmp(&before.at[i], &c->wanted.at[i]) == 0;
    if (!same)
        gossip_plan_all(c);
    frontier_release(&before);
}

void gossip_frontier(gossip_core *c, const frontier_reply *f, mono_ms now)
{
    if (!c->asking)
        return;
    c->asking = false;
    c->ask_ms = now.ms + interval_ms(c);
    take_wanted(c, f);
    if (f->version != c->version || !c->has_frontier)
        take_frontier(c, f, now);
    gossip_flights_settle(c, c->asked, now);
    if (c->ask_again)
        (void)gossip_ask(c, now);
    gossip_plan(c, now);
}

void gossip_no_frontier(gossip_core *c, mono_ms now)
{
    c->asking = false;
    c->ask_again = true;
    c->ask_ms = now.ms + GOSSIP_ASK_MS;
    c->asked--; /* what waits for this answer waits for the next one */
    gossip_wake_at(c, c->ask_ms);
}

uint64_t gossip_known_version(const gossip_core *c)
{
    return c->version;
}

static int by_member(const void *a, const void *b)
{
    return *(const member_no *)a - *(const member_no *)b;
}

err_t gossip_roster(gossip_core *c, const member_no *writers, size_t n, mono_ms now)
{
    member_no *copy = malloc((n ? n : 1) * sizeof *copy);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        copy[i] = writers[i];
    qsort(copy, n, sizeof *copy, by_member);
    free(c->writers);
    c->writers = copy;
    c->n_writers = n;
    gossip_pardon_roster(c);
    gossip_plan_all(c);
    gossip_plan(c, now);
    return ERR_OK;
}

/* Events of the roster are written to routine feeds: a founder's bulk import holds nobody up. */
bool gossip_is_roster(void *core, feed_id feed)
{
    const gossip_core *c = core;
    member_no m = feed_member(feed);
    if (feed_class_of(feed) != CLASS_ROUTINE)
        return false;
    return m == 1 ||
           (c->n_writers > 0 && bsearch(&m, c->writers, c->n_writers, sizeof m, by_member) != NULL);
}

/* ---- time and questions ---- */

void gossip_tick(gossip_core *c, mono_ms now)
{
    c->wake_ms = UINT64_MAX;
    if (c->ask_again && !c->asking)
        (void)gossip_ask(c, now);
    gossip_pull_tick(c, now);
    if (c->has_frontier)
        gossip_compare_tick(c, now);
    if (now.ms >= c->replan_ms) {
        c->replan_ms = UINT64_MAX;
        gossip_blame_replan(c, now);
        gossip_plan_all(c);
    }
    gossip_wake_at(c, c->replan_ms);
    gossip_plan(c, now);
}

bool gossip_link_look(const gossip_core *c, uint32_t link, gossip_link_view *out, mono_ms now)
{
    const gossip_link *l = gossip_link_of((gossip_core *)c, link); /* only looks */
    if (l == NULL)
        return false;
    bool quiet = l->blame != NULL && !gossip_may_ask(l->blame, now);
    *out = (gossip_link_view){
        .compared = l->compared,
        .equal = l->has_heard && event_id_eq(&l->heard, &c->digest),
        .they_lack = l->they_lack,
        .we_lack = l->we_lack,
        .as_of = {l->as_of_ms},
        .strikes = l->blame != NULL ? l->blame->strikes : 0,
        .quiet_until = {quiet ? l->blame->quiet_until_ms : 0},
    };
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        out->flights += c->flights[i].id != 0 && c->flights[i].link == link;
    return true;
}

const frontier *gossip_frontier_held(const gossip_core *c)
{
    return &c->mine;
}

bool gossip_has_frontier(const gossip_core *c)
{
    return c->has_frontier;
}

const gossip_counts *gossip_counted(const gossip_core *c)
{
    return &c->count;
}
