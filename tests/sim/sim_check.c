/* The invariants. Each failure names its number; README.md says what each of them promises. */
#include "tests/sim/sim.h"

/* ---- what a node holds ---- */

bool sim_held(sim_world *w, int i, bool *held, uint8_t *flags)
{
    sim_node *n = &w->node[i];
    fetch_request req = {.max = 1024};
    rows_reply reply;
    stored_row row;
    memset(held, 0, SIM_EVENTS);
    do {
        if (store_fetch(n->store, &req, &reply) != ERR_OK)
            return false;
        while (msg_list_next(&stored_row_desc, &reply.rows, &row)) {
            uint32_t e = row.flags & ROW_CHANGED ? SIM_NONE : sim_event_find(w, &row.id);
            if (e == SIM_NONE)
                continue;
            if (held[e])
                sim_fail(w, INV_MACHINE, "node %d holds %x/%llu twice", i, row.feed,
                         (unsigned long long)row.seq);
            held[e] = true;
            if (flags != NULL)
                flags[e] = row.flags;
        }
        req.after = reply.next;
    } while (!reply.caught_up);
    return true;
}

/* ---- 1: acknowledged is held ---- */

void sim_check_acked(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    for (uint32_t k = 0; n->alive && k < n->n_acked; k++) {
        const sim_event *e = &w->event[n->acked[k]];
        locate_request req = {.feed = e->feed, .seq = e->seq};
        locate_reply reply;
        place_row place;
        bool found = false;
        if (store_locate(n->store, &req, &reply) != ERR_OK)
            continue;
        while (msg_list_next(&place_row_desc, &reply.places, &place))
            found = found || event_id_eq(&place.id, &e->id);
        for (uint32_t d = 0; d < n->n_damage && !found; d++)
            found = n->damage[d].event == n->acked[k]; /* is there, cannot be read */
        if (!found)
            sim_fail(w, INV_ACKNOWLEDGED, "node %d lost its acknowledged event %x/%llu", i, e->feed,
                     (unsigned long long)e->seq);
    }
}

/* ---- 4: a write says what its author had on screen ---- */

void sim_check_meant(sim_world *w, uint32_t event, const sim_form *form)
{
    const sim_event *e = &w->event[event];
    event_reference r;
    uint32_t n = 0;
    for (event_ref_iter it = event_refs(&e->view); event_next_ref(&it, &r);) {
        uint32_t t = event;
        for (uint64_t d = r.distance; d > 0 && t != SIM_NONE; d--)
            t = w->event[t].parent;
        bool meant = false;
        for (uint32_t k = 0; k < form->n_refs; k++) {
            const sim_event *m = &w->event[form->refs[k]];
            meant = meant || (r.distance > 0 ? t == form->refs[k]
                                             : m->feed == r.full.feed && m->seq == r.full.seq &&
                                                   get_u16be(m->id.b) == r.full.prefix);
        }
        if (!meant)
            sim_fail(w, INV_WRITES, "%x/%llu names what its author did not have on screen", e->feed,
                     (unsigned long long)e->seq);
        n++;
    }
    if (n != form->n_refs)
        sim_fail(w, INV_WRITES, "%x/%llu names %u events, its author saw %u", e->feed,
                 (unsigned long long)e->seq, n, form->n_refs);
}

/* ---- 9: the clock ---- */

void sim_check_stamp(sim_world *w, int i, const event_view *v)
{
    sim_node *n = &w->node[i];
    uint64_t wall = n->flights[0].wall_ms;
    if (hlc_cmp(v->stamp, n->last_stamp) <= 0 && n->last_stamp.wall_ms <= wall + SIM_DAY_MS)
        sim_fail(w, INV_CLOCK, "node %d: stamp %llu.%u after %llu.%u at %llu", i,
                 (unsigned long long)v->stamp.wall_ms, v->stamp.counter,
                 (unsigned long long)n->last_stamp.wall_ms, n->last_stamp.counter,
                 (unsigned long long)wall);
    if (wall >= SIM_BUILT_MS && v->stamp.wall_ms > wall + SIM_DAY_MS)
        sim_fail(w, INV_CLOCK, "node %d was dragged to %llu at %llu", i,
                 (unsigned long long)v->stamp.wall_ms, (unsigned long long)wall);
    n->last_stamp = v->stamp;
}

/* ---- 4 and 5 at one node ---- */

typedef struct {
    const bool *counts;
} judging;

static uint32_t live_of(const record_state *s, const record_slot *slot, uint32_t event)
{
    for (uint32_t k = 0; k < s->n_writes; k++)
        if (s->writes[k].event == event && &s->slots[s->writes[k].slot] == slot)
            return s->writes[k].replaced_by == RECORD_NONE;
    return 2;
}

/* Equal live values are shown as one. */
static void check_values(sim_world *w, const record_state *s, const record_slot *slot)
{
    uint32_t values = 0;
    for (uint32_t a = 0; a < slot->n_live; a++) {
        bool again = false;
        bytes x = s->writes[s->live[slot->first_live + a]].value;
        for (uint32_t b = 0; b < a && !again; b++)
            again = bytes_eq(x, s->writes[s->live[slot->first_live + b]].value);
        values += !again;
    }
    if (values != slot->n_values)
        sim_fail(w, INV_WRITES, "%u live values are shown as %u", values, slot->n_values);
}

static void see_state(sim_world *w, const record_state *s)
{
    for (uint32_t k = 0; k < s->n_slots; k++) {
        if (s->slots[k].what != RECORD_FIELD)
            continue;
        check_values(w, s, &s->slots[k]);
        if (s->slots[k].n_values > 1)
            sim_once(w, ST_CONFLICT);
        if (s->slots[k].n_live > s->slots[k].n_values)
            sim_once(w, ST_EQUAL);
    }
    if (s->deleted)
        sim_once(w, ST_DELETED);
    if (s->deleted && s->unseen > 0)
        sim_once(w, ST_UNSEEN);
}

/* Each write of each counting event of the stream: live here if and only if the oracle says so. */
static void judge_stream(sim_world *w, int i, uint32_t stream, const record_state *s,
                         const refs_event *events, void *arg)
{
    const judging *j = arg;
    sim_thing things[16];
    (void)events;
    see_state(w, s);
    for (uint32_t k = 0; k < s->n_events; k++) {
        uint32_t e = sim_event_find(w, s->events[k].source->id);
        if (e == SIM_NONE || !j->counts[e])
            continue;
        uint32_t n = sim_oracle_writes(w, e, j->counts, things, 16);
        for (uint32_t t = 0; t < n; t++) {
            bytes name = bytes_of(&things[t].name, things[t].name != '\0');
            uint32_t slot = record_find(s, things[t].what, name);
            uint32_t here = slot == RECORD_NONE ? 2 : live_of(s, &s->slots[slot], k);
            bool there = sim_oracle_live(w, e, &things[t], j->counts);
            if (here == there)
                continue;
            sim_fail(w, INV_WRITES, "node %d, %s: %s %c of %x/%llu is %s, the rules say %s", i,
                     w->stream[stream].name, record_what_name(things[t].what),
                     things[t].name ? things[t].name : '-', w->event[e].feed,
                     (unsigned long long)w->event[e].seq,
                     here == 2 ? "missing"
                     : here    ? "live"
                               : "dead",
                     there ? "live" : "dead");
            return;
        }
        /* Listed is what people see. */
        for (uint32_t t = 0; t < n; t++) {
            bytes name = bytes_of(&things[t].name, things[t].name != '\0');
            uint32_t slot = record_find(s, things[t].what, name), found = 0;
            bool there = sim_oracle_live(w, e, &things[t], j->counts);
            bool shown = !bytes_is(w->event[e].view.kind, "tag.remove") &&
                         !bytes_is(w->event[e].view.kind, "record.delete");
            for (uint32_t l = 0; slot != RECORD_NONE && l < s->slots[slot].n_live; l++)
                found += s->writes[s->live[s->slots[slot].first_live + l]].event == k;
            if (shown && found != there)
                sim_fail(w, INV_WRITES, "node %d, %s: a live write is not shown", i,
                         w->stream[stream].name);
        }
    }
}

static void check_verdicts(sim_world *w, int i, const bool *held, const uint8_t *flags,
                           const bool *counts)
{
    for (uint32_t e = 0; e < w->n_events; e++)
        if (held[e] && ((flags[e] & ROW_COUNTS) != 0) != counts[e]) {
            sim_fail(w, INV_VERDICTS, "node %d: %x/%llu %s, the rules say %s", i, w->event[e].feed,
                     (unsigned long long)w->event[e].seq,
                     flags[e] & ROW_COUNTS ? "counts" : "does not count",
                     counts[e] ? "it does" : "it does not");
            return;
        }
}

/* Hidden is what an erasure that counts names, at once and nothing else. */
static void check_erased(sim_world *w, int i, const bool *held, const uint8_t *flags,
                         const bool *counts)
{
    for (uint32_t e = 0; e < w->n_events; e++) {
        if (!held[e])
            continue;
        bool hidden = (flags[e] & ROW_HIDDEN) != 0;
        if (hidden != (!w->event[e].view.opaque && sim_oracle_erased(w, e, counts))) {
            sim_fail(w, INV_ERASED, "node %d: %x/%llu is %s, the rules say otherwise", i,
                     w->event[e].feed, (unsigned long long)w->event[e].seq,
                     hidden ? "hidden" : "not hidden");
            return;
        }
    }
}

static void check_bounds(sim_world *w, int i)
{
    merge_status_reply status;
    const sim_node *n = &w->node[i];
    merge_core_status(n->merge, sim_clock(w, n), &status);
    if (status.quarantined_bytes > QUARANTINE_MAX_BYTES)
        sim_fail(w, INV_BOUNDS, "node %d keeps %llu bytes", i,
                 (unsigned long long)status.quarantined_bytes);
    for (uint32_t k = 0; k < w->n_links; k++) {
        gossip_link_view v;
        if (w->link[k].up && gossip_link_look(n->gossip, w->link[k].id, &v, sim_now(w)) &&
            v.flights > GOSSIP_FLIGHTS_MAX)
            sim_fail(w, INV_BOUNDS, "node %d has %zu flights", i, v.flights);
    }
}

/* The frontier shows the counting events and nothing else. */
static void check_frontier(sim_world *w, int i, const bool *held, const bool *counts)
{
    frontier_reply f;
    sim_node *n = &w->node[i];
    merge_core_frontier(n->merge, &f);
    const frontier_row *rows = f.entries.items;
    for (uint32_t k = 0; k < f.entries.n; k++) {
        uint32_t e = sim_event_find(w, &rows[k].id);
        if (e != SIM_NONE && (!held[e] || !counts[e]))
            sim_fail(w, INV_VERDICTS, "node %d: frontier ends at %x/%llu, which does not count", i,
                     rows[k].feed, (unsigned long long)rows[k].seq);
    }
}

void sim_check_node(sim_world *w, int i)
{
    static bool held[SIM_EVENTS], counts[SIM_EVENTS];
    static uint8_t flags[SIM_EVENTS];
    sim_node *n = &w->node[i];
    if (!sim_node_ready(n) || n->n_flights > 0)
        return;
    sim_check_acked(w, i);
    check_bounds(w, i);
    sim_check_damage(w, i);
    if (n->n_damage > 0)
        return; /* what it shows and judges lacks those */
    sim_view_check(w, i);
    if (w->failed != INV_NONE || !sim_held(w, i, held, flags))
        return;
    sim_oracle_counts(w, held, counts);
    w->flags = flags;
    check_verdicts(w, i, held, flags, counts);
    check_erased(w, i, held, flags, counts);
    check_frontier(w, i, held, counts);
    judging j = {counts};
    for (uint32_t s = 1; s < w->n_streams && w->failed == INV_NONE; s++)
        (void)sim_view_fold(w, i, s, judge_stream, &j);
    w->flags = NULL;
}

/* ---- 2: everybody the same ---- */

static bool is_honest(const sim_node *n)
{
    return n->exists && n->enrolled && !n->lost && !n->liar;
}

/* Is a tail still missing somewhere that an honest node could give? */
static bool awaits_tails(sim_world *w)
{
    static bool held[SIM_EVENTS], whole[SIM_EVENTS], lacked[SIM_EVENTS];
    static uint8_t flags[SIM_EVENTS];
    memset(whole, 0, sizeof whole);
    memset(lacked, 0, sizeof lacked);
    for (int i = 0; i < SIM_NODES; i++) {
        if (!is_honest(&w->node[i]) || !sim_held(w, i, held, flags))
            continue;
        for (uint32_t e = 0; e < w->n_events; e++) {
            const unsigned all = ROW_COUNTS | ROW_ERASED | ROW_HIDDEN;
            whole[e] = whole[e] || (held[e] && (flags[e] & all) == ROW_COUNTS);
            lacked[e] = lacked[e] || (held[e] && (flags[e] & all) == (ROW_COUNTS | ROW_ERASED));
        }
    }
    for (uint32_t e = 0; e < w->n_events; e++)
        if (whole[e] && lacked[e])
            return true;
    return false;
}

bool sim_converged(sim_world *w)
{
    frontier_reply first = {0}, f;
    bool any = false;
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node *n = &w->node[i];
        if (!is_honest(n))
            continue;
        if (!sim_node_ready(n) || n->n_flights > 0 || n->n_damage > 0 ||
            merge_core_overtaken(n->merge))
            return false;
        merge_core_frontier(n->merge, &f);
        if (any && !event_id_eq(&f.digest, &first.digest))
            return false;
        first = f;
        any = true;
    }
    return !awaits_tails(w);
}

void sim_say_state(sim_world *w)
{
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node *n = &w->node[i];
        frontier_reply f;
        if (!n->enrolled)
            continue;
        sim_say(w, "node %d member %u:%s%s%s%s %u under way", i, n->identity.self,
                n->lost ? " lost" : "", n->liar ? " liar" : "", n->alive ? "" : " off",
                n->unready ? " unready" : "", n->n_flights);
        if (!sim_node_ready(n))
            continue;
        merge_core_frontier(n->merge, &f);
        const frontier_row *rows = f.entries.items;
        for (uint32_t k = 0; k < f.entries.n; k++)
            sim_say(w, "    %8x %4llu %08x", rows[k].feed, (unsigned long long)rows[k].seq,
                    get_u32be(rows[k].id.b));
        for (uint32_t k = 0; k < w->n_links; k++) {
            gossip_link_view v;
            if (w->link[k].up && gossip_link_look(n->gossip, w->link[k].id, &v, sim_now(w)))
                sim_say(w,
                        "    link %d-%d: %s, they lack %llu, we lack %llu, %u strikes, %zu flights",
                        w->link[k].a, w->link[k].b, v.equal ? "equal" : "differs",
                        (unsigned long long)v.they_lack, (unsigned long long)v.we_lack, v.strikes,
                        v.flights);
        }
    }
}

static void check_equal(sim_world *w, int a, int b)
{
    const sim_view *x = &w->node[a].view, *y = &w->node[b].view;
    for (uint32_t s = 1; s < w->n_streams; s++) {
        static const char empty[] = "";
        bytes l = x->line[s] ? bytes_of(x->line[s], x->line_len[s]) : bytes_of(empty, 0);
        bytes r = y->line[s] ? bytes_of(y->line[s], y->line_len[s]) : bytes_of(empty, 0);
        if (!bytes_eq(l, r))
            sim_fail(w, INV_CONVERGE, "nodes %d and %d show %s differently:\n%.*s%.*s", a, b,
                     w->stream[s].name, (int)l.len, (const char *)l.p, (int)r.len,
                     (const char *)r.p);
    }
}

/* What was acknowledged anywhere and lives on at an honest member is everywhere. */
static void check_complete(sim_world *w, int i, int other)
{
    static bool held[SIM_EVENTS], there[SIM_EVENTS], counts[SIM_EVENTS];
    if (!sim_held(w, i, held, NULL) || !sim_held(w, other, there, NULL))
        return;
    sim_oracle_counts(w, there, counts);
    for (uint32_t e = 0; e < w->n_events; e++)
        if (there[e] && counts[e] && !held[e]) {
            sim_fail(w, INV_CONVERGE, "node %d lacks %x/%llu, which counts at node %d", i,
                     w->event[e].feed, (unsigned long long)w->event[e].seq, other);
            return;
        }
}

void sim_check_end(sim_world *w)
{
    int first = -1;
    for (int i = 0; i < SIM_NODES && w->failed == INV_NONE; i++) {
        sim_node *n = &w->node[i];
        if (!is_honest(n))
            continue;
        sim_check_node(w, i);
        if (first >= 0) {
            check_equal(w, first, i);
            check_complete(w, i, first);
            check_complete(w, first, i);
        } else {
            first = i;
        }
    }
}
