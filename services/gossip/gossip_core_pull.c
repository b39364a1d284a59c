/* Fetching: wants in order of rank, one feed from one peer at a time, bounded in number, bytes and time. */
#include "gossip/gossip_core_impl.h"

#include "pure/run.h"

#define STEP_FIRST  16u
#define STEP_FACTOR 8u

/* ---- flights ---- */

static gossip_flight *flight_of_feed(gossip_core *c, feed_id feed)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id != 0 && c->flights[i].feed == feed)
            return &c->flights[i];
    return NULL;
}

static gossip_flight *flight_of_tag(gossip_core *c, uint32_t tag)
{
    for (size_t i = 0; tag != 0 && i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id == tag)
            return &c->flights[i];
    return NULL;
}

static gossip_flight *free_flight(gossip_core *c)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id == 0)
            return &c->flights[i];
    return NULL;
}

static uint32_t runs_under_way(const gossip_core *c)
{
    uint32_t n = 0;
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id != 0)
            n += c->flights[i].credit + c->flights[i].ingesting;
    return n;
}

static size_t open_flights(const gossip_core *c, const gossip_link *l)
{
    size_t n = 0;
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        n += c->flights[i].id != 0 && c->flights[i].link == l->id && !c->flights[i].ended;
    return n;
}

static void send_want(gossip_core *c, const gossip_link *l, const gossip_flight *f,
                      const event_id *after, uint32_t window, bool fresh)
{
    peer_want m = {.feed = f->feed,
                   .after_seq = f->next_seq - 1,
                   .after_id = *after,
                   .tip_seq = f->tip.seq,
                   .tip_id = f->tip.id,
                   .window = window,
                   .fresh = fresh};
    gossip_send(c, l, &peer_want_desc, &m);
    c->count.wants_sent++;
}

static const event_id any_id;

/* A flight lives on, asking for nothing more, until the frontier shows what it brought: otherwise the same events
 * would be asked for again. */
static void settle_if_done(gossip_core *c, gossip_flight *f, mono_ms now)
{
    if (f->ended && f->ingesting == 0 && f->settle == 0)
        f->settle = gossip_ask(c, now);
}

static void stop(gossip_core *c, gossip_flight *f, err_t why, mono_ms now)
{
    f->ended = true;
    f->credit = 0;
    if (f->failed == ERR_OK)
        f->failed = why;
    settle_if_done(c, f, now);
    gossip_plan_all(c);
}

/* The peer's chain is not ours at `begin`: ask from earlier, one run, to see whether that is common. */
static bool step_back(gossip_core *c, gossip_flight *f, mono_ms now)
{
    gossip_link *l = gossip_link_of(c, f->link);
    if (l == NULL || f->begin == 0)
        return false;
    f->begin = f->begin > f->step ? f->begin - f->step : 0;
    f->step *= STEP_FACTOR;
    f->next_seq = f->begin + 1;
    f->credit = 1;
    f->guess = f->begin > 0;
    f->ended = false;
    f->own_ms = l->alive_ms = now.ms;
    send_want(c, l, f, &any_id, 1, true);
    gossip_wake_at(c, now.ms + GOSSIP_STALL_MS);
    return true;
}

static void make_room(gossip_core *c, gossip_flight *f)
{
    gossip_link *l = gossip_link_of(c, f->link);
    uint32_t own = f->credit + f->ingesting, all = runs_under_way(c);
    if (l == NULL || f->ended || f->guess || own > GOSSIP_WINDOW_RUNS / 2 || all >= GOSSIP_RUNS_MAX)
        return;
    uint32_t more = GOSSIP_WINDOW_RUNS - own;
    more = more < GOSSIP_RUNS_MAX - all ? more : GOSSIP_RUNS_MAX - all;
    f->credit += more;
    send_want(c, l, f, &any_id, more, false);
}

static void make_room_all(gossip_core *c)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id != 0)
            make_room(c, &c->flights[i]);
}

/* ---- planning ---- */

static uint64_t longest_held(const gossip_core *c, feed_id feed)
{
    size_t n, first = frontier_feed(&c->mine, feed, &n);
    return n ? c->mine.at[first + n - 1].seq : 0;
}

static void start(gossip_core *c, gossip_link *l, gossip_flight *f, const reconcile_want *w,
                  mono_ms now)
{
    event_id after = w->after_id;
    *f = (gossip_flight){.id = gossip_new_tag(c),
                         .link = l->id,
                         .member = l->member,
                         .feed = w->feed,
                         .tip = {w->feed, w->tip_seq, w->tip_id},
                         .begin = w->after_seq,
                         .step = STEP_FIRST,
                         .listed = w->listed,
                         .own_ms = now.ms};
    if (w->listed && longest_held(c, w->feed) >= w->tip_seq) {
        /* Missing in the middle of what is held: the event itself, or damaged rows before it, at most a sealed stretch. */
        f->begin = w->tip_seq > SEAL_MAX_EVENTS ? w->tip_seq - SEAL_MAX_EVENTS : 0;
        after = any_id;
        f->guess = f->begin > 0;
    }
    uint32_t room = GOSSIP_RUNS_MAX - runs_under_way(c);
    f->credit = f->guess ? 1 : room < GOSSIP_WINDOW_RUNS ? room : GOSSIP_WINDOW_RUNS;
    f->next_seq = f->begin + 1;
    if (open_flights(c, l) == 1)
        l->alive_ms = now.ms; /* it owed nothing until now */
    send_want(c, l, f, &after, f->credit, true);
    gossip_wake_at(c, now.ms + GOSSIP_STALL_MS);
}

/* Runs of members that the roster does not know are dropped (rules.md 11): nothing else is begun before its events are
 * here, or they would have to come twice. */
static bool roster_under_way(gossip_core *c)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++)
        if (c->flights[i].id != 0 && gossip_is_roster(c, c->flights[i].feed))
            return true;
    return false;
}

static void start_wants(gossip_core *c, gossip_link *l, const reconcile_wants_list *wants,
                        mono_ms now)
{
    size_t open = open_flights(c, l);
    for (size_t i = 0; i < wants->n && open < GOSSIP_WANTS_PER_LINK; i++) {
        const reconcile_want *w = &wants->at[i];
        gossip_flight *f = free_flight(c);
        if (f == NULL || runs_under_way(c) >= GOSSIP_RUNS_MAX)
            return;
        if (flight_of_feed(c, w->feed) != NULL || !gossip_may_ask_for(l->blame, w, now))
            continue;
        if (!gossip_is_roster(c, w->feed) && roster_under_way(c))
            return; /* wants of the roster come first in the list */
        start(c, l, f, w, now);
        open++;
    }
}

static void plan_link(gossip_core *c, gossip_link *l, mono_ms now)
{
    chain_view view = {.ctx = c, .holds = gossip_holds};
    reconcile_input in = {.mine = &c->mine,
                          .peer = &l->peer,
                          .view = &view,
                          .is_roster = gossip_is_roster,
                          .ctx = c,
                          .listed = c->wanted.at,
                          .n_listed = l->compared ? c->wanted.n : 0};
    reconcile_wants_list wants = {0};
    gossip_look_up(c, l);
    if (reconcile_wants(&in, &wants) == ERR_OK) {
        l->they_lack = wants.they_lack;
        l->we_lack = wants.we_lack;
        if (now.ms >= c->pause_ms && gossip_may_ask(l->blame, now))
            start_wants(c, l, &wants, now);
    }
    reconcile_wants_release(&wants);
}

void gossip_plan(gossip_core *c, mono_ms now)
{
    if (!c->has_frontier)
        return;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        gossip_link *l = &c->links[i];
        if (l->id == 0 || !l->plan)
            continue;
        l->plan = false;
        plan_link(c, l, now);
    }
}

/* ---- what comes ---- */

static void junk(gossip_core *c, gossip_link *l)
{
    c->count.runs_unwanted++;
    if (++l->junk > GOSSIP_JUNK_MAX)
        gossip_close(c, l, ERR_OUT_OF_RANGE);
}

void gossip_recv_run(gossip_core *c, gossip_link *l, const peer_run *m, mono_ms now)
{
    run r;
    if (run_decode(m->run, &r) != ERR_OK) {
        gossip_blame_member(c, l->member, now);
        gossip_close(c, l, ERR_MALFORMED);
        return;
    }
    gossip_flight *f = flight_of_feed(c, r.feed);
    if (f == NULL || f->link != l->id || f->credit == 0 || r.first_seq != f->next_seq) {
        junk(c, l);
        return;
    }
    gossip_effect *e = gossip_emit(c, GOSSIP_INGEST);
    if (e == NULL) {
        stop(c, f, ERR_NO_MEMORY, now);
        return;
    }
    e->tag = f->id;
    e->link = l->id;
    e->member = l->member;
    gossip_emit_body(c, m->run);
    c->count.runs_received++;
    l->alive_ms = f->own_ms = now.ms;
    l->junk = 0;
    f->next_seq += r.count;
    f->ingesting++;
    f->credit--;
    if (!m->more) {
        f->ended = true;
        f->credit = 0;
        l->plan = true; /* room for another want */
    }
}

void gossip_recv_have_not(gossip_core *c, gossip_link *l, const peer_have_not *m, mono_ms now)
{
    gossip_flight *f = flight_of_feed(c, m->feed);
    frontier_entry tip = {m->feed, m->tip_seq, m->tip_id};
    if (f == NULL || f->link != l->id || f->ended || frontier_entry_cmp(&f->tip, &tip) != 0)
        return;
    bool untouched = f->next_seq == f->begin + 1;
    if (m->code == ERR_NOT_FOUND && untouched && step_back(c, f, now))
        return;
    stop(c, f, ERR_NOT_FOUND, now);
}

/* ---- what became of it ---- */

/* Nobody's fault but ours: everything waits a moment. */
static bool is_local(err_t e)
{
    err_class class = err_class_of(e);
    return e != ERR_OK && e != ERR_GAP &&
           (class == ERR_CLASS_ENV || class == ERR_CLASS_TRANSIENT || class == ERR_CLASS_BUG);
}

static void pause_fetching(gossip_core *c, mono_ms now)
{
    c->pause_ms = now.ms + GOSSIP_GRUDGE_MS;
    gossip_replan_at(c, c->pause_ms);
}

static void judge(gossip_core *c, gossip_flight *f, err_t code, mono_ms now)
{
    if (is_local(code)) {
        pause_fetching(c, now);
        stop(c, f, code, now);
    } else if (code == ERR_GAP && f->guess) {
        if (!step_back(c, f, now))
            stop(c, f, code, now);
    } else if (code != ERR_OK && code != ERR_GAP) {
        c->count.runs_refused++;
        stop(c, f, code, now);
    } else {
        f->guess = false; /* what comes next follows what is held, or waits in merge's quarantine */
    }
}

void gossip_ingested(gossip_core *c, uint32_t tag, err_t e, const ingest_reply *reply, mono_ms now)
{
    gossip_flight *f = flight_of_tag(c, tag);
    if (e == ERR_OK) {
        c->count.events_accepted += reply->accepted;
        c->count.events_repeated += reply->duplicates;
    }
    if (f == NULL)
        return;
    f->ingesting--;
    if (e == ERR_OK)
        f->accepted += reply->accepted;
    judge(c, f, e != ERR_OK ? e : (err_t)reply->code, now);
    settle_if_done(c, f, now);
    make_room_all(c);
    gossip_plan(c, now);
}

static void conclude(gossip_core *c, gossip_flight *f, mono_ms now)
{
    if (f->accepted > 0)
        gossip_praise(c, f->member, f->feed);
    if (!f->pardoned && (f->failed != ERR_OK ? !is_local(f->failed) : f->accepted == 0))
        gossip_blame_flight(c, f, now); /* refused, or in vain */
    f->id = 0;
}

void gossip_flights_settle(gossip_core *c, uint64_t generation, mono_ms now)
{
    bool any = false, waiting = false;
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++) {
        gossip_flight *f = &c->flights[i];
        if (f->id == 0 || f->settle == 0)
            continue;
        if (f->settle <= generation) {
            conclude(c, f, now);
            any = true;
        } else {
            waiting = true;
        }
    }
    if (any) {
        frontier_clear(&c->absent); /* may be held now */
        gossip_plan_all(c);
    }
    c->ask_again |= waiting;
}

void gossip_flights_drop(gossip_core *c, uint32_t link, mono_ms now)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++) {
        gossip_flight *f = &c->flights[i];
        if (f->id == 0 || f->link != link)
            continue;
        f->link = 0;
        stop(c, f, ERR_UNREACHABLE, now);
    }
}

/* ---- time ---- */

static bool stalled(const gossip_flight *f, const gossip_link *l, mono_ms now, uint64_t *due)
{
    uint64_t since = l->alive_ms > f->own_ms ? l->alive_ms : f->own_ms;
    uint64_t link_ms = since + GOSSIP_STALL_MS, own_ms = f->own_ms + GOSSIP_FLIGHT_MAX_MS;
    *due = link_ms < own_ms ? link_ms : own_ms;
    return now.ms >= *due;
}

void gossip_pull_tick(gossip_core *c, mono_ms now)
{
    for (size_t i = 0; i < GOSSIP_FLIGHTS_MAX; i++) {
        gossip_flight *f = &c->flights[i];
        gossip_link *l = f->id != 0 ? gossip_link_of(c, f->link) : NULL;
        uint64_t due;
        if (l == NULL || f->ended || f->credit == 0)
            continue;
        if (f->ingesting > 0)
            due = now.ms + GOSSIP_STALL_MS; /* merge is busy; the peer has time */
        else if (stalled(f, l, now, &due)) {
            c->count.stalls++;
            gossip_blame_member(c, f->member, now);
            stop(c, f, ERR_NOT_FOUND, now);
            continue;
        }
        gossip_wake_at(c, due);
    }
    if (now.ms >= c->pause_ms)
        make_room_all(c);
    else
        gossip_wake_at(c, c->pause_ms);
}
