/* Store and merge: carries out the core's questions, keeps the roster. */
#include "gossip/gossip_shell.h"
#include "merge/merge_clnt.h"
#include "store/store_clnt.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMBERS_WAIT_MS 3000u
#define MEMBERS_GAP_MS  100u /* a burst of roster events is one question */
#define MEMBERS_POLL_MS 10000u
#define BELL_POLL_MS    3000u /* doorbells may be lost */
#define BELL_GAP_MS     5u    /* merge rings at each batch; peers hear of news more seldom */
#define GENESIS_POLL_MS 250u

/* What an answer belongs to. */
typedef struct {
    gossip_shell *g;
    uint32_t tag;
} question;

static question *ask_about(gossip_shell *g, uint32_t tag)
{
    question *q = malloc(sizeof *q);
    if (q != NULL)
        *q = (question){g, tag};
    return q;
}

/* ---- the core's questions ---- */

static void on_read(void *ctx, err_t e, const char *text, const void *reply)
{
    question *q = ctx;
    (void)text;
    gossip_read(q->g->core, q->tag, e, reply, clock_mono());
    free(q);
}

static void on_located(void *ctx, err_t e, const char *text, const void *reply)
{
    question *q = ctx;
    (void)text;
    gossip_located(q->g->core, q->tag, e, reply, clock_mono());
    free(q);
}

static void on_ingested(void *ctx, err_t e, const char *text, const void *reply)
{
    question *q = ctx;
    const ingest_reply *r = reply;
    if (e != ERR_OK)
        log_debug("merge took no run: %s", text);
    else if (r->refused > 0 && r->code != ERR_GAP)
        log_warn("%u events refused from seq %llu on: %.*s", r->refused,
                 (unsigned long long)r->bad_seq, (int)r->text.len, (const char *)r->text.p);
    gossip_ingested(q->g->core, q->tag, e, reply, clock_mono());
    free(q);
}

static uint64_t hash_writers(const gossip_shell *g)
{
    const frontier *f = gossip_frontier_held(g->core);
    uint64_t h = 1469598103934665603ull;
    for (size_t i = 0; i < f->n; i++) {
        const member_entry *m = member_by_number(g, feed_member(f->at[i].feed));
        if (feed_member(f->at[i].feed) == 1 || (m != NULL && m->role <= 1))
            h = (h ^ get_u64be(f->at[i].id.b)) * 1099511628211ull;
    }
    return h;
}

static void on_frontier(void *ctx, err_t e, const char *text, const void *reply)
{
    gossip_shell *g = ctx;
    mono_ms now = clock_mono();
    (void)text;
    if (e == ERR_STOPPING)
        return;
    g->merge_answers = e == ERR_OK;
    if (e != ERR_OK) {
        gossip_no_frontier(g->core, now);
        return;
    }
    gossip_frontier(g->core, reply, now);
    uint64_t writers = hash_writers(g);
    if (writers != g->writers_hash || !g->roster_known) {
        g->writers_hash = writers;
        /* Somebody who may change the roster has written. */
        uint64_t at = g->members_asked.ms + MEMBERS_GAP_MS;
        g->members_next.ms = at > now.ms ? at : now.ms;
        service_wake(g->s, g->members_next);
        service_wake(g->s, g->members_next);
    }
}

static void on_members(void *ctx, err_t e, const char *text, const void *reply);

static void ask_members(gossip_shell *g, mono_ms now)
{
    /* an answer that is on its way may be older than what made us ask */
    g->members_next.ms = now.ms + (g->asking_members ? MEMBERS_GAP_MS : MEMBERS_POLL_MS);
    if (g->asking_members)
        return;
    g->members_asked = now;
    g->asking_members = merge_clnt_members_within(g->merge, MEMBERS_WAIT_MS, &(members_request){0},
                                                  on_members, g) == ERR_OK;
}

static void ask_store(gossip_shell *g, const gossip_effect *x)
{
    question *q = ask_about(g, x->tag);
    err_t e = q == NULL               ? ERR_NO_MEMORY
              : x->act == GOSSIP_READ ? store_clnt_run(g->store, &x->read, on_read, q)
                                      : store_clnt_locate(g->store, &x->locate, on_located, q);
    if (e == ERR_OK)
        return;
    free(q);
    if (x->act == GOSSIP_READ)
        gossip_read(g->core, x->tag, e, NULL, clock_mono());
    else
        gossip_located(g->core, x->tag, e, NULL, clock_mono());
}

static void ask_ingest(gossip_shell *g, const gossip_effect *x)
{
    question *q = ask_about(g, x->tag);
    ingest_request m = {.run = x->body, .peer = x->member};
    err_t e = q == NULL ? ERR_NO_MEMORY : merge_clnt_ingest(g->merge, &m, on_ingested, q);
    if (e == ERR_OK)
        return;
    free(q);
    gossip_ingested(g->core, x->tag, e, NULL, clock_mono());
}

static void ask_frontier(gossip_shell *g)
{
    frontier_request m = {.known_version = gossip_known_version(g->core)};
    if (merge_clnt_frontier_within(g->merge, MEMBERS_WAIT_MS, &m, on_frontier, g) != ERR_OK)
        gossip_no_frontier(g->core, clock_mono());
}

static void carry_out(gossip_shell *g, const gossip_effect *x)
{
    lan_link *l = link_by_id(g, x->link);
    switch (x->act) {
    case GOSSIP_SEND:
        if (l != NULL)
            link_send(g, l, x->desc, x->body);
        break;
    case GOSSIP_CLOSE:
        if (l != NULL)
            link_bye(g, l, x->why, err_text(x->why));
        break;
    case GOSSIP_READ:
    case GOSSIP_LOCATE:
        ask_store(g, x);
        break;
    case GOSSIP_INGEST:
        ask_ingest(g, x);
        break;
    case GOSSIP_FRONTIER:
        ask_frontier(g);
        break;
    }
}

static void count_all(gossip_shell *g)
{
    const gossip_counts *c = gossip_counted(g->core);
    gossip_counts *o = &g->counted;
    service_count(g->s, COUNT_RUNS_SENT, c->runs_sent - o->runs_sent);
    service_count(g->s, COUNT_RUNS_RECEIVED, c->runs_received - o->runs_received);
    service_count(g->s, COUNT_RUNS_UNWANTED, c->runs_unwanted - o->runs_unwanted);
    service_count(g->s, COUNT_RUNS_REFUSED, c->runs_refused - o->runs_refused);
    service_count(g->s, COUNT_EVENTS_ACCEPTED, c->events_accepted - o->events_accepted);
    service_count(g->s, COUNT_EVENTS_REPEATED, c->events_repeated - o->events_repeated);
    service_count(g->s, COUNT_STALLS, c->stalls - o->stalls);
    *o = *c;
}

void neighbours_pump(gossip_shell *g)
{
    gossip_effect x;
    while (gossip_next(g->core, &x))
        carry_out(g, &x);
    count_all(g);
}

static void look_again(gossip_shell *g, mono_ms now)
{
    g->bell_asked = now;
    g->bell_next.ms = now.ms + BELL_POLL_MS;
    gossip_bell(g->core, now);
}

void neighbours_rung(void *self, uint64_t head)
{
    gossip_shell *g = self;
    mono_ms now = clock_mono(), soon = {g->bell_asked.ms + BELL_GAP_MS};
    (void)head;
    if (now.ms >= soon.ms) {
        look_again(g, now);
    } else if (soon.ms < g->bell_next.ms) {
        g->bell_next = soon;
        service_wake(g->s, soon);
    }
}

/* ---- the roster ---- */

/* A successor's machine has its key twice, as a member and as the founder: it is spoken of by its own number while that
 * is in force. */
const member_entry *member_by_key(const gossip_shell *g, const transport_key *key)
{
    for (size_t i = g->n_members; i-- > 0;)
        if (memcmp(g->members[i].transport.b, key->b, sizeof key->b) == 0)
            return &g->members[i];
    return NULL;
}

const member_entry *member_by_number(const gossip_shell *g, member_no number)
{
    size_t lo = 0, hi = g->n_members;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->members[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < g->n_members && g->members[lo].number == number ? &g->members[lo] : NULL;
}

member_no key_belongs_to(const gossip_shell *g, const transport_key *key)
{
    const member_entry *m = member_by_key(g, key);
    if (m != NULL)
        return m->number;
    for (size_t i = 0; !g->roster_known && i < g->n_intros; i++)
        if (memcmp(g->intros[i].transport.b, key->b, sizeof key->b) == 0)
            return g->intros[i].member;
    return 0;
}

static void put_text(char *out, size_t room, bytes text)
{
    size_t n = text.len < room - 1 ? text.len : room - 1;
    if (n > 0)
        memcpy(out, text.p, n);
    out[n] = '\0';
}

static bool take_members(gossip_shell *g, const members_reply *m)
{
    member_entry *all = calloc(m->members.n ? m->members.n : 1, sizeof *all);
    msg_list list = m->members;
    member_row row;
    size_t n = 0;
    if (all == NULL)
        return false;
    while (msg_list_next(&member_row_desc, &list, &row)) {
        if (row.state != 0)
            continue; /* removed, or orphaned: not let in */
        member_entry *e = &all[n++];
        *e = (member_entry){
            .number = row.number, .role = row.role, .transport = row.transport, .key = row.key};
        put_text(e->name, sizeof e->name, row.name);
    }
    free(g->members);
    g->members = all;
    g->n_members = n;
    return true;
}

static void tell_core(gossip_shell *g, mono_ms now)
{
    member_no *writers = calloc(g->n_members ? g->n_members : 1, sizeof *writers);
    size_t n = 0;
    for (size_t i = 0; writers != NULL && i < g->n_members; i++)
        if (g->members[i].role <= 1)
            writers[n++] = g->members[i].number;
    if (writers == NULL || gossip_roster(g->core, writers, n, now) != ERR_OK)
        g->roster_version = 0; /* out of memory: taken again at the next poll */
    free(writers);
}

static void take_self(gossip_shell *g, const members_reply *m)
{
    const member_entry *own = member_by_number(g, m->self);
    if (own == NULL && m->founder)
        own = member_by_key(g, &g->public);
    if (g->self != m->self)
        service_wake(g->s, clock_mono()); /* now others can be greeted */
    g->self = m->self;
    put_text(g->title, sizeof g->title, m->title);
    if (own == NULL)
        return;
    g->role = m->founder ? 0 : own->role;
    g->wrong_key = memcmp(own->transport.b, g->public.b, sizeof g->public.b) != 0;
    snprintf(g->name, sizeof g->name, "%s", own->name);
    if (!g->roster_known)
        log_info("this node is member %u, %s", g->self, g->name);
    g->roster_known = true;
}

static void on_members(void *ctx, err_t e, const char *text, const void *reply)
{
    gossip_shell *g = ctx;
    const members_reply *m = reply;
    mono_ms now = clock_mono();
    (void)text;
    if (e == ERR_STOPPING)
        return;
    g->asking_members = false;
    if (e != ERR_OK) {
        g->members_next.ms = now.ms + GOSSIP_ASK_MS;
        service_wake(g->s, g->members_next);
        return;
    }
    if (m->version == g->roster_version && m->self == g->self)
        return;
    if (!take_members(g, m))
        return;
    g->roster_version = m->version;
    take_self(g, m);
    tell_core(g, now);
    links_check(g);
}

/* ---- genesis, for joiners ---- */

static void on_genesis(void *ctx, err_t e, const char *text, const void *reply)
{
    gossip_shell *g = ctx;
    const run_reply *r = reply;
    (void)text;
    if (e == ERR_STOPPING)
        return;
    g->asking_genesis = false;
    if (e == ERR_OK && r->run.len > 0)
        (void)buf_add_bytes(&g->genesis, r->run);
}

static void ask_genesis(gossip_shell *g, mono_ms now)
{
    run_request m = {.feed = 1, .tip_seq = 1, .max_bytes = 1};
    memcpy(m.tip_id.b, service_bus(g->s)->dataset.b, sizeof m.tip_id.b);
    g->genesis_next.ms = now.ms + GENESIS_POLL_MS;
    g->asking_genesis = store_clnt_run(g->store, &m, on_genesis, g) == ERR_OK;
}

/* ---- life ---- */

bool neighbours_open(gossip_shell *g)
{
    g->store = service_client(g->s, "store");
    g->merge = service_client(g->s, "merge");
    service_listen(g->s, "merge", neighbours_rung);
    buf_init(&g->genesis, 8192);
    return g->store != NULL && g->merge != NULL;
}

void neighbours_tick(gossip_shell *g, mono_ms now)
{
    if (now.ms >= g->members_next.ms)
        ask_members(g, now);
    if (now.ms >= g->bell_next.ms)
        look_again(g, now);
    if (g->genesis.len == 0 && !g->asking_genesis && now.ms >= g->genesis_next.ms)
        ask_genesis(g, now);
    service_wake(g->s, g->members_next);
    service_wake(g->s, g->bell_next);
    if (g->genesis.len == 0)
        service_wake(g->s, (mono_ms){now.ms + GENESIS_POLL_MS});
}
