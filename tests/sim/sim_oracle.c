/* Every event there ever was, and what the rules say about a set of them, worked out naively from the sentences of
 * the design: no index, no roster, no clock. Slow on purpose. */
#include "tests/sim/sim.h"

#include "pure/chain.h"
#include "pure/erasure.h"

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

static bool same_key(const member_key *a, const member_key *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* Two keys under one number are two chains; two people may have copies of one heir's key. */
static void check_unique(sim_world *w, const sim_event *e)
{
    for (uint32_t k = 0; k < w->n_events; k++) {
        const sim_event *o = &w->event[k];
        if (o->feed != e->feed || o->seq != e->seq || !same_key(&o->author, &e->author))
            continue;
        bool heirs = !e->view.opaque && bytes_is(e->view.kind, ROSTER_KIND_REPLACE);
        sim_once(w, ST_FORKED);
        if (e->honest && !heirs && !sim_is_forkable(w, e->feed))
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

/* ---- founders ---- */

#define TITLES_MAX 64u

/* Who was named founder and heir by what is held: genesis names the first two, and whoever is an heir names the next
 * two in feed 1. */
typedef struct {
    uint32_t event; /* that names them */
    member_key founder, heir;
} title;

typedef struct {
    title at[TITLES_MAX];
    uint32_t n;
} titles;

static bool is_heir(const titles *t, const member_key *key)
{
    for (uint32_t k = 0; k < t->n; k++)
        if (same_key(&t->at[k].heir, key))
            return true;
    return false;
}

static bool is_titled(const titles *t, uint32_t event)
{
    for (uint32_t k = 0; k < t->n; k++)
        if (t->at[k].event == event)
            return true;
    return false;
}

static bool names_titles(const sim_world *w, uint32_t e, const titles *t, roster_event *out)
{
    const sim_event *x = &w->event[e];
    if (x->feed != ROSTER_FOUNDER_FEED || is_titled(t, e) || !reads(w, e, out))
        return false;
    if (out->kind == ROSTER_EV_GENESIS)
        return event_id_eq(&x->id, (const event_id *)(const void *)&w->dataset);
    return out->kind == ROSTER_EV_REPLACE && is_heir(t, &x->author);
}

static void find_titles(const sim_world *w, const bool *held, titles *t)
{
    roster_event r;
    t->n = 0;
    for (bool more = true; more;) {
        more = false;
        EACH_OF_STREAM(k, 0)
        if (held[k] && t->n < TITLES_MAX && names_titles(w, k, t, &r)) {
            t->at[t->n++] = (title){k, r.key, r.heir};
            more = true;
        }
    }
}

/* A replacement by the heir whom this founder was named with. */
static bool cuts_founder(const sim_world *w, const titles *t, uint32_t replacement,
                         const member_key *founder)
{
    for (uint32_t k = 0; k < t->n; k++)
        if (same_key(&t->at[k].founder, founder) &&
            same_key(&t->at[k].heir, &w->event[replacement].author))
            return true;
    return false;
}

/* Heirs are cut by nobody, founders by every replacement by an heir of theirs, genesis never. */
static bool counts_as_founder(const sim_world *w, const titles *t, uint32_t e, const bool *held)
{
    const sim_event *x = &w->event[e];
    roster_event r;
    bool named = false;
    if (x->feed == ROSTER_FOUNDER_FEED && is_heir(t, &x->author))
        return true;
    for (uint32_t k = 0; k < t->n; k++) {
        named = named || same_key(&t->at[k].founder, &x->author);
        if (t->at[k].event == e && x->seq == 1)
            return true;
    }
    for (uint32_t k = 0; named && k < t->n; k++)
        if (cuts_founder(w, t, t->at[k].event, &x->author) && reads(w, t->at[k].event, &r) &&
            !leaves(w, &r, e, held))
            return false;
    return named;
}

/* ---- members ---- */

static bool is_founders(const sim_world *w, uint32_t e)
{
    return feed_member(w->event[e].feed) == ROSTER_FOUNDER_NUMBER;
}

/* Only founders remove, and nobody removes them: whether their events count is known before. */
static bool is_removed_from(const sim_world *w, uint32_t e, const bool *held, const bool *counts)
{
    roster_event r;
    EACH_OF_STREAM(k, 0)
    if (counts[k] && is_founders(w, k) && bytes_is(w->event[k].view.kind, ROSTER_KIND_REMOVE) &&
        reads(w, k, &r) && r.number == feed_member(w->event[e].feed) && !leaves(w, &r, e, held))
        return true;
    return false;
}

/* A founder gave the author of `e` a range with this number in it. */
static bool is_granted(const sim_world *w, uint32_t e, member_no number, const bool *counts)
{
    roster_event r;
    EACH_OF_STREAM(k, 0)
    if (counts[k] && is_founders(w, k) && bytes_is(w->event[k].view.kind, ROSTER_KIND_ADD) &&
        reads(w, k, &r) && r.role == ROSTER_ROLE_COORDINATOR &&
        r.number == feed_member(w->event[e].feed) && same_key(&r.key, &w->event[e].author) &&
        number >= r.lo && number <= r.hi)
        return true;
    return false;
}

/* Was the author of `e` added by an event of a founder, or of a coordinator, that counts? */
static bool is_added(const sim_world *w, uint32_t e, const bool *counts)
{
    roster_event r;
    member_no number = feed_member(w->event[e].feed);
    EACH_OF_STREAM(k, 0)
    if (counts[k] && bytes_is(w->event[k].view.kind, ROSTER_KIND_ADD) && reads(w, k, &r) &&
        r.number == number && same_key(&r.key, &w->event[e].author) &&
        (is_founders(w, k) || is_granted(w, k, number, counts)))
        return true;
    return false;
}

/* Founders first; then who was added, in two rounds at most: by founders, then by coordinators. */
void sim_oracle_counts(const sim_world *w, const bool *held, bool *counts)
{
    titles t;
    memset(counts, 0, SIM_EVENTS);
    find_titles(w, held, &t);
    for (uint32_t e = 0; e < w->n_events; e++)
        if (held[e] && is_founders(w, e))
            counts[e] = counts_as_founder(w, &t, e, held);
    for (int round = 0; round < 2; round++)
        for (uint32_t e = 0; e < w->n_events; e++)
            if (held[e] && !counts[e] && !is_founders(w, e))
                counts[e] = is_added(w, e, counts) && !is_removed_from(w, e, held, counts);
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
        if (!counts[k] || !is_founders(w, k) ||
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

/* ---- erasures ---- */

/* By the author, which is the same key, or by the founder. */
static bool may_erase(const sim_world *w, uint32_t by, uint32_t e)
{
    const sim_event *a = &w->event[by], *b = &w->event[e];
    return is_founders(w, by) || (feed_member(a->feed) == feed_member(b->feed) &&
                                  memcmp(a->author.b, b->author.b, sizeof a->author.b) == 0);
}

/* Does event `by` erase event `e`? */
static bool erases(const sim_world *w, uint32_t by, uint32_t e, erasure *says)
{
    const sim_event *x = &w->event[by];
    return by != e && bytes_is(x->view.kind, EVENT_KIND_ERASE) &&
           erasure_read(x->feed, x->seq, &x->view, says) && says->feed == w->event[e].feed &&
           says->seq == w->event[e].seq && event_id_eq(&says->id, &w->event[e].id) &&
           !bytes_is(w->event[e].view.kind, EVENT_KIND_ERASE) && may_erase(w, by, e);
}

bool sim_oracle_erased(const sim_world *w, uint32_t e, const bool *counts)
{
    erasure says;
    if (w->event[e].stream == 0) /* the roster's */
        return false;
    EACH_OF_STREAM(k, w->event[e].stream)
    if (counts[k] && erases(w, k, e, &says))
        return true;
    return false;
}

bool sim_lacks_tail(const sim_world *w, uint32_t e)
{
    return w->flags != NULL && (w->flags[e] & (ROW_ERASED | ROW_HIDDEN)) == ROW_ERASED;
}

static bool is_key(const sim_world *w, uint32_t e, const bool *counts, char name)
{
    erasure says;
    bytes key;
    EACH_OF_STREAM(k, w->event[e].stream)
    if (counts[k] && erases(w, k, e, &says))
        for (erasure_iter it = erasure_keys(&says); erasure_next_key(&it, &key);)
            if (first_letter(key) == name)
                return true;
    return false;
}

uint32_t sim_oracle_writes(const sim_world *w, uint32_t e, const bool *counts, sim_thing *out,
                           uint32_t max)
{
    uint32_t n = sim_oracle_things(w, e, out, max), kept = 0;
    if (sim_lacks_tail(w, e))
        return 0;
    if (!sim_oracle_erased(w, e, counts))
        return n;
    for (uint32_t k = 0; k < n; k++)
        if (out[k].what == RECORD_EXISTENCE || out[k].what == RECORD_NOTE ||
            is_key(w, e, counts, out[k].name))
            out[kept++] = out[k];
    return kept;
}

/* ---- live ---- */

/* A write is dead if and only if a counting event that writes the same thing names it; a delete writes everything,
 * and what only gathers is replaced by deletes alone. */
static bool kills(const sim_world *w, uint32_t by, const bool *counts, const sim_thing *thing)
{
    sim_thing things[16];
    if (bytes_is(w->event[by].view.kind, "record.delete"))
        return !sim_lacks_tail(w, by);
    if (thing->what >= RECORD_SET)
        return false;
    uint32_t n = sim_oracle_writes(w, by, counts, things, 16);
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
        if (!counts[k] || w->event[k].view.n_replaces == 0 || !kills(w, k, counts, thing))
            continue;
        uint32_t n = sim_oracle_targets(w, k, counts, targets);
        for (uint32_t t = 0; t < n; t++)
            if (targets[t] == e)
                return false;
    }
    return true;
}
