/* Every event there ever was, and what the rules say about a set of them, worked out naively from the sentences of
 * the design: no index, no roster, no clock. Slow on purpose. */
#include "tests/sim/sim.h"

#include "pure/chain.h"

/* ---- registry ---- */

#define EACH_OF_STREAM(k, s)                                                                       \
    for (uint32_t k = (s) == SIM_NONE ? SIM_NONE : w->stream[s].newest; k != SIM_NONE;             \
         k = w->event[k].next)

static size_t slot_of(const sim_world *w, const event_id *id)
{
    size_t room = sizeof w->table / sizeof w->table[0], at = get_u64be(id->b) % room;
    while (w->table[at] != 0 && !event_id_eq(&w->event[w->table[at] - 1].id, id))
        at = (at + 1) % room;
    return at;
}

uint32_t sim_event_find(const sim_world *w, const event_id *id)
{
    uint32_t found = w->table[slot_of(w, id)];
    return found == 0 ? SIM_NONE : found - 1;
}

uint32_t sim_stream_of(sim_world *w, bytes category, bytes name)
{
    for (uint32_t s = 0; s < w->n_streams; s++)
        if (bytes_is(category, w->stream[s].category) && bytes_is(name, w->stream[s].name))
            return s;
    if (w->n_streams == SIM_STREAMS || category.len > 15 || name.len > 47)
        return SIM_NONE;
    sim_stream *s = &w->stream[w->n_streams];
    memcpy(s->category, category.p, category.len);
    memcpy(s->name, name.p, name.len);
    s->newest = SIM_NONE;
    return w->n_streams++;
}

void sim_forkable(sim_world *w, member_no number, uint16_t incarnation)
{
    feed_id feed = feed_make(incarnation, CLASS_ROUTINE, number);
    for (uint32_t i = 0; i < w->n_forkable; i++)
        if (w->forkable[i] == feed)
            return;
    if (w->n_forkable < 64)
        w->forkable[w->n_forkable++] = feed;
}

bool sim_is_forkable(const sim_world *w, feed_id feed)
{
    for (uint32_t i = 0; i < w->n_forkable; i++)
        if (w->forkable[i] == (feed & 0xfffcffffu))
            return true;
    return false;
}

static void check_unique(sim_world *w, const sim_event *e)
{
    for (uint32_t k = 0; k < w->n_events; k++) {
        const sim_event *o = &w->event[k];
        if (o->feed != e->feed || o->seq != e->seq)
            continue;
        sim_once(w, ST_FORKED);
        if (e->honest && !sim_is_forkable(w, e->feed))
            sim_fail(w, INV_UNIQUE, "two events at %x/%llu", e->feed, (unsigned long long)e->seq);
        return;
    }
}

uint32_t sim_event_add(sim_world *w, feed_id feed, uint64_t seq, const event_id *id,
                       const event_id *prev, const member_key *author, bool honest, bytes body)
{
    uint32_t known = sim_event_find(w, id);
    if (known != SIM_NONE || w->n_events == SIM_EVENTS)
        return known;
    sim_event *e = &w->event[w->n_events];
    *e = (sim_event){.feed = feed, .seq = seq, .id = *id, .author = *author, .honest = honest};
    e->parent = seq > 1 ? sim_event_find(w, prev) : SIM_NONE;
    e->bytes = malloc(body.len);
    if (e->bytes == NULL)
        abort();
    memcpy(e->bytes, body.p, body.len);
    if (event_parse(bytes_of(e->bytes, body.len), &e->view) != ERR_OK)
        abort();
    e->stream = e->view.opaque ? SIM_NONE : sim_stream_of(w, e->view.category, e->view.stream);
    e->next = SIM_NONE;
    if (e->stream != SIM_NONE) {
        e->next = w->stream[e->stream].newest;
        w->stream[e->stream].newest = w->n_events;
    }
    check_unique(w, e);
    w->table[slot_of(w, id)] = ++w->n_events;
    return w->n_events - 1;
}

bool sim_is_ancestor(const sim_world *w, uint32_t older, uint32_t newer)
{
    while (newer != SIM_NONE && w->event[newer].seq > w->event[older].seq)
        newer = w->event[newer].parent;
    return newer == older;
}

/* ---- what counts ---- */

static bool reads(const sim_world *w, uint32_t e, roster_event *out)
{
    static roster_lists_room room;
    const event_view *v = &w->event[e].view;
    roster_kind kind;
    return !v->opaque && bytes_is(v->category, ROSTER_CATEGORY) &&
           bytes_is(v->stream, ROSTER_STREAM) && roster_kind_of(v->kind, &kind) &&
           roster_event_read(kind, v->payload, &room, out) == ERR_OK;
}

/* Does one removal leave this event? Until a listed head is held, what lies up to its seq; then only its chain. */
static bool leaves(const sim_world *w, const roster_event *cut, uint32_t e, const bool *held)
{
    const sim_event *x = &w->event[e];
    for (size_t k = 0; k < cut->n_heads; k++) {
        if (cut->heads[k].incarnation != feed_incarnation(x->feed))
            continue;
        uint32_t h = sim_event_find(w, &cut->heads[k].id);
        if (h != SIM_NONE && held[h] ? sim_is_ancestor(w, e, h) : x->seq <= cut->heads[k].seq)
            return true;
    }
    return false;
}

/* Only the founder removes, and the founder is honest and never removed: these events always count. */
static bool is_removed_from(const sim_world *w, uint32_t e, const bool *held)
{
    roster_event r;
    EACH_OF_STREAM(k, 0)
    if (held[k] && feed_member(w->event[k].feed) == 1 &&
        bytes_is(w->event[k].view.kind, ROSTER_KIND_REMOVE) && reads(w, k, &r) &&
        r.number == feed_member(w->event[e].feed) && !leaves(w, &r, e, held))
        return true;
    return false;
}

static bool is_founder(const sim_world *w, uint32_t e)
{
    return feed_member(w->event[e].feed) == 1 &&
           memcmp(w->event[e].author.b, w->node[0].identity.signer.public.b, MEMBER_KEY_BYTES) == 0;
}

/* Was the author of `e` added by an event of the founder, or of a coordinator that counts? */
static bool is_added(const sim_world *w, uint32_t e, const bool *held, const bool *counts)
{
    roster_event r;
    EACH_OF_STREAM(k, 0)
    if (held[k] && (is_founder(w, k) || counts[k]) &&
        bytes_is(w->event[k].view.kind, ROSTER_KIND_ADD) && reads(w, k, &r) &&
        r.number == feed_member(w->event[e].feed) &&
        memcmp(r.key.b, w->event[e].author.b, sizeof r.key.b) == 0)
        return true;
    return false;
}

/* Added in two rounds at most: by the founder, then by coordinators that the founder added. */
void sim_oracle_counts(const sim_world *w, const bool *held, bool *counts)
{
    memset(counts, 0, SIM_EVENTS);
    for (int round = 0; round < 2; round++)
        for (uint32_t e = 0; e < w->n_events; e++)
            if (held[e] && !counts[e])
                counts[e] = is_founder(w, e) ||
                            (is_added(w, e, held, counts) && !is_removed_from(w, e, held));
}

/* ---- references ---- */

static uint32_t back(const sim_world *w, uint32_t e, uint64_t distance)
{
    for (; distance > 0 && e != SIM_NONE; distance--)
        e = w->event[e].parent;
    return e;
}

/* A listed fork's references by others are void. */
static bool is_void(const sim_world *w, feed_id by, const event_ref *ref, const bool *counts)
{
    roster_event r;
    if (feed_member(by) == feed_member(ref->feed))
        return false;
    EACH_OF_STREAM(k, 0)
    {
        if (!counts[k] || !is_founder(w, k) ||
            !bytes_is(w->event[k].view.kind, ROSTER_KIND_REMOVE) || !reads(w, k, &r) ||
            r.number != feed_member(ref->feed))
            continue;
        for (size_t f = 0; f < r.n_forks; f++)
            if (r.forks[f].incarnation == feed_incarnation(ref->feed) && ref->seq >= r.forks[f].seq)
                return true;
    }
    return false;
}

static uint32_t full(const sim_world *w, uint32_t stream, const event_ref *ref, const bool *counts)
{
    uint32_t found = SIM_NONE;
    EACH_OF_STREAM(k, stream)
    {
        const sim_event *x = &w->event[k];
        if (!counts[k] || x->feed != ref->feed || x->seq != ref->seq ||
            get_u16be(x->id.b) != ref->prefix)
            continue;
        if (found != SIM_NONE)
            return SIM_NONE;
        found = k;
    }
    return found;
}

uint32_t sim_oracle_targets(const sim_world *w, uint32_t e, const bool *counts, uint32_t *out)
{
    const sim_event *x = &w->event[e];
    event_reference r;
    uint32_t n = 0;
    for (event_ref_iter it = event_refs(&x->view); event_next_ref(&it, &r);) {
        uint32_t t;
        if (r.distance > 0)
            t = back(w, e, r.distance);
        else
            t = is_void(w, x->feed, &r.full, counts) ? SIM_NONE
                                                     : full(w, x->stream, &r.full, counts);
        if (t != SIM_NONE && counts[t] && w->event[t].stream == x->stream)
            out[n++] = t;
    }
    return n;
}

/* ---- writes ---- */

static char first_letter(bytes s)
{
    return s.len > 0 ? (char)s.p[0] : '\0';
}

/* Names in the simulator are one letter long, so the first letter is the name. */
uint32_t sim_oracle_things(const sim_world *w, uint32_t e, sim_thing *out, uint32_t max)
{
    static const struct {
        const char *kind;
        record_what what;
        const char *key;
    } rows[] = {
        {"tag.add", RECORD_TAG, "tag"},         {"tag.remove", RECORD_TAG, "tag"},
        {"set.add", RECORD_SET, "set"},         {"counter.add", RECORD_COUNTER, "counter"},
        {"state.set", RECORD_STATE, "machine"},
    };
    const event_view *v = &w->event[e].view;
    bool create = bytes_is(v->kind, "record.create"), fields = bytes_is(v->kind, "field.set");
    uint32_t n = 0;
    if (v->opaque)
        return 0;
    if (create || bytes_is(v->kind, "record.delete"))
        out[n++] = (sim_thing){RECORD_EXISTENCE, '\0'};
    if (bytes_is(v->kind, "note.add"))
        out[n++] = (sim_thing){RECORD_NOTE, '\0'};
    mp_reader r = mp_reader_of(v->payload);
    for (uint32_t pairs = mp_peek(&r) == MP_MAP ? mp_map(&r) : 0; pairs > 0; pairs--) {
        bytes key = mp_str(&r), value = mp_any(&r);
        mp_reader name = mp_reader_of(value);
        if ((create || fields) && n < max)
            out[n++] = (sim_thing){RECORD_FIELD, first_letter(key)};
        for (size_t k = 0; k < sizeof rows / sizeof rows[0] && n < max; k++)
            if (bytes_is(v->kind, rows[k].kind) && bytes_is(key, rows[k].key))
                out[n++] = (sim_thing){rows[k].what, first_letter(mp_str(&name))};
    }
    return n;
}

/* A write is dead if and only if a counting event that writes the same thing names it; a delete writes everything,
 * and what only gathers is replaced by deletes alone. */
static bool kills(const sim_world *w, uint32_t by, const sim_thing *thing)
{
    sim_thing things[16];
    if (bytes_is(w->event[by].view.kind, "record.delete"))
        return true;
    if (thing->what >= RECORD_SET)
        return false;
    uint32_t n = sim_oracle_things(w, by, things, 16);
    for (uint32_t k = 0; k < n; k++)
        if (things[k].what == thing->what && things[k].name == thing->name)
            return true;
    return false;
}

bool sim_oracle_live(const sim_world *w, uint32_t e, const sim_thing *thing, const bool *counts)
{
    uint32_t targets[SIM_ROW_REFS];
    EACH_OF_STREAM(k, w->event[e].stream)
    {
        if (!counts[k] || w->event[k].view.n_replaces == 0 || !kills(w, k, thing))
            continue;
        uint32_t n = sim_oracle_targets(w, k, counts, targets);
        for (uint32_t t = 0; t < n; t++)
            if (targets[t] == e)
                return false;
    }
    return true;
}
