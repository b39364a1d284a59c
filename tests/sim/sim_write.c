/* People. Somebody opens a form at a node, and sends it later: what it replaces is what it had shown when it was
 * opened, however stale that is by then. */
#include "tests/sim/sim.h"

#include "proto/mp.h"
#include "pure/erasure.h"

typedef struct {
    sim_form *form;
    bool checked;
    bool held[SIM_EVENTS], counts[SIM_EVENTS];
    uint8_t flags[SIM_EVENTS];
} opening;

/* ---- what the screen shows ---- */

static uint32_t event_of_ref(const sim_world *w, const record_state *s, const event_ref *r)
{
    for (uint32_t k = 0; k < s->n_events; k++) {
        const refs_event *e = s->events[k].source;
        if (s->events[k].counts && e->feed == r->feed && e->seq == r->seq &&
            get_u16be(e->id->b) == r->prefix)
            return sim_event_find(w, e->id);
    }
    return SIM_NONE;
}

static bool names(const sim_form *f, uint32_t event)
{
    for (uint32_t k = 0; k < f->n_refs; k++)
        if (f->refs[k] == event)
            return true;
    return false;
}

/* The view hands out exactly the events with a live write of these things (or of anything, for a delete). */
static void check_screen(sim_world *w, int i, const opening *o, const record_thing *things,
                         uint32_t n_things)
{
    sim_thing own[16];
    const sim_form *f = o->form;
    for (uint32_t e = w->stream[f->stream].newest; e != SIM_NONE; e = w->event[e].next) {
        bool live = false;
        uint32_t n = o->counts[e] ? sim_oracle_writes(w, e, o->counts, own, 16) : 0;
        bool removal = bytes_is(w->event[e].view.kind, "tag.remove");
        for (uint32_t t = 0; t < n && !live && !removal; t++)
            for (uint32_t k = 0; k < (n_things ? n_things : 1) && !live; k++)
                live = (n_things == 0 ||
                        (things[k].what == own[t].what &&
                         (things[k].name.len ? (char)things[k].name.p[0] : '\0') == own[t].name)) &&
                       sim_oracle_live(w, e, &own[t], o->counts);
        if (live != names(f, e) && f->n_refs < SIM_ROW_REFS)
            sim_fail(w, INV_WRITES, "node %d, %s: the screen %s %x/%llu, which is %s", i,
                     w->stream[f->stream].name, live ? "hides" : "shows", w->event[e].feed,
                     (unsigned long long)w->event[e].seq, live ? "live" : "not live");
    }
}

static void show(sim_world *w, int i, const record_state *s, opening *o, const record_thing *things,
                 uint32_t n)
{
    event_ref refs[SIM_ROW_REFS];
    uint32_t count = n > 0 ? record_live_refs(s, things, n, refs, SIM_ROW_REFS)
                           : record_all_live_refs(s, refs, SIM_ROW_REFS);
    sim_form *f = o->form;
    f->n_refs = 0;
    for (uint32_t k = 0; k < count && k < SIM_ROW_REFS; k++) {
        uint32_t e = event_of_ref(w, s, &refs[k]);
        if (e == SIM_NONE)
            sim_fail(w, INV_WRITES, "node %d: a screen names what is not there", i);
        else
            f->refs[f->n_refs++] = e;
    }
    w->flags = o->flags;
    if (o->checked && count <= SIM_ROW_REFS)
        check_screen(w, i, o, things, n);
    w->flags = NULL;
}

/* ---- what people write ---- */

static void put_letter(buf *b, char c)
{
    mp_put_str(b, bytes_of(&c, 1));
}

static void put_pair(buf *b, const char *key, char value)
{
    mp_put_cstr(b, key);
    put_letter(b, value);
}

static void write_fields(sim_world *w, int i, const record_state *s, opening *o, buf *b,
                         bool create)
{
    static const char letters[] = "abc";
    record_thing things[4];
    unsigned set = 1 + (unsigned)sim_below(w, 7), n = 0;
    for (unsigned k = 0; k < 3; k++)
        if (set >> k & 1)
            things[n++] = (record_thing){RECORD_FIELD, bytes_of(&letters[k], 1)};
    mp_put_map(b, n);
    for (unsigned k = 0; k < n; k++) {
        mp_put_str(b, things[k].name);
        mp_put_uint(b, sim_below(w, 4));
    }
    if (create)
        things[n++] = (record_thing){RECORD_EXISTENCE, bytes_of(NULL, 0)};
    o->form->kind = create ? "record.create" : "field.set";
    if (s != NULL)
        show(w, i, s, o, things, n);
}

static void write_named(sim_world *w, int i, const record_state *s, opening *o, buf *b,
                        unsigned pick)
{
    static const struct {
        const char *kind, *key, *second;
        record_what what;
        bool replaces;
    } rows[] = {
        {"tag.add", "tag", NULL, RECORD_TAG, false},
        {"tag.remove", "tag", NULL, RECORD_TAG, true},
        {"state.set", "machine", "state", RECORD_STATE, true},
        {"set.add", "set", "value", RECORD_SET, false},
        {"counter.add", "counter", "delta", RECORD_COUNTER, false},
        {"note.add", NULL, "text", RECORD_NOTE, false},
    };
    unsigned r = pick % 6;
    char name = (char)('a' + (int)sim_below(w, 2));
    record_thing thing = {rows[r].what, bytes_of(&name, 1)};
    o->form->kind = rows[r].kind;
    mp_put_map(b, (rows[r].key != NULL ? 1u : 0u) + (rows[r].second != NULL ? 1u : 0u));
    if (rows[r].key != NULL)
        put_pair(b, rows[r].key, name);
    if (rows[r].what == RECORD_COUNTER) {
        mp_put_cstr(b, "delta");
        mp_put_int(b, (int64_t)sim_below(w, 9) - 4);
    } else if (rows[r].second != NULL) {
        put_pair(b, rows[r].second, (char)('p' + (int)sim_below(w, 3)));
    }
    if (rows[r].replaces && s != NULL)
        show(w, i, s, o, &thing, 1);
}

/* One of the record's events that this node may erase; SIM_NONE when there is none. */
static uint32_t some_erasable(sim_world *w, int i, const record_state *s)
{
    const sim_node *n = &w->node[i];
    uint32_t found = SIM_NONE, seen = 0;
    bool founder = i == 0 || (n->merge != NULL && merge_core_is_founder(n->merge));
    for (uint32_t k = 0; k < s->n_counting; k++) {
        const refs_event *source = s->events[k].source;
        uint32_t e = sim_event_find(w, source->id);
        bool own = e != SIM_NONE && feed_member(source->feed) == n->identity.self &&
                   memcmp(w->event[e].author.b, n->identity.signer.public.b, MEMBER_KEY_BYTES) == 0;
        if (e != SIM_NONE && !source->erased && (own || founder) &&
            !bytes_is(source->view->kind, EVENT_KIND_ERASE) && sim_below(w, ++seen) == 0)
            found = e;
    }
    return found;
}

static bool write_erasure(sim_world *w, int i, const record_state *s, opening *o, buf *b)
{
    sim_thing things[16];
    bytes keys[16];
    uint32_t n_keys = 0, e = some_erasable(w, i, s);
    if (e == SIM_NONE)
        return false;
    uint32_t n = sim_oracle_things(w, e, things, 16);
    for (uint32_t k = 0; k < n; k++)
        if (things[k].name != '\0')
            keys[n_keys++] = bytes_of(&things[k].name, 1);
    o->form->kind = EVENT_KIND_ERASE;
    erasure_write(b, w->event[e].feed, w->event[e].seq, &w->event[e].id, keys, n_keys);
    bool other = feed_member(w->event[e].feed) != w->node[i].identity.self;
    sim_once(w, other ? ST_ERASED_AT_ONCE : ST_ERASED);
    return true;
}

static void fill_form(sim_world *w, int i, uint32_t stream, const record_state *s,
                      const refs_event *events, void *arg)
{
    opening *o = arg;
    buf b;
    unsigned pick = (unsigned)sim_below(w, 100);
    (void)events;
    (void)stream;
    buf_init(&b, sizeof o->form->payload);
    if (pick >= 95 && s != NULL && write_erasure(w, i, s, o, &b))
        ;
    else if (pick < 60 || s == NULL)
        write_fields(w, i, s, o, &b, pick < 12 || s == NULL);
    else if (pick < 66) {
        o->form->kind = "record.delete";
        mp_put_map(&b, 0);
        show(w, i, s, o, NULL, 0);
    } else
        write_named(w, i, s, o, &b, pick);
    memcpy(o->form->payload, b.p, b.len);
    o->form->payload_len = b.len;
    buf_release(&b);
}

static uint32_t some_stream(sim_world *w)
{
    char name[16];
    uint64_t k = sim_below(w, w->opt.hot + 1);
    if (k == w->opt.hot && w->n_streams + 8 < SIM_STREAMS && sim_chance(w, 4))
        return SIM_NONE;
    int len = snprintf(name, sizeof name, "r%u", (unsigned)k);
    return sim_stream_of(w, bytes_str("form"), bytes_of(name, (size_t)len));
}

void sim_open_form(sim_world *w, int i)
{
    static opening o;
    sim_node *n = &w->node[i];
    uint32_t slot = 0;
    while (slot < SIM_FORMS && n->forms[slot].open)
        slot++;
    if (slot == SIM_FORMS || !sim_view_advance(w, i) || w->n_events + 64 > SIM_EVENTS)
        return;
    sim_form *f = &n->forms[slot];
    *f = (sim_form){.open = true, .stream = some_stream(w), .opened_ms = w->now_ms};
    o.form = f;
    o.checked = sim_chance(w, 4) && w->node[i].n_damage == 0 && sim_held(w, i, o.held, o.flags);
    if (o.checked)
        sim_oracle_counts(w, o.held, o.counts);
    if (f->stream == SIM_NONE)
        fill_form(w, i, SIM_NONE, NULL, NULL, &o);
    else if (!sim_view_fold(w, i, f->stream, fill_form, &o))
        f->open = false;
    uint64_t hurry = sim_below(w, 10);
    f->feed_class = (uint8_t)(hurry < 8 ? CLASS_ROUTINE : hurry == 8 ? CLASS_EXPRESS : CLASS_BULK);
    uint64_t wait = hurry < 5 ? 300 : hurry < 8 ? 60000 : 3600000;
    sim_schedule(w, i, 1 + sim_below(w, wait), TASK_FORM)->tag = slot;
}

void sim_send_form(sim_world *w, int i, uint32_t slot)
{
    sim_node *n = &w->node[i];
    sim_form batch[4];
    uint32_t count = 0;
    if (!n->forms[slot].open)
        return;
    batch[count++] = n->forms[slot];
    for (uint32_t k = 0; k < SIM_FORMS && count < 4 && sim_chance(w, 3); k++)
        if (k != slot && n->forms[k].open)
            batch[count++] = n->forms[k];
    if (!sim_merge_emit(w, i, batch, count)) {
        if (sim_node_ready(n) && w->now_ms - n->forms[slot].opened_ms < 7200000)
            sim_schedule(w, i, 50, TASK_FORM)->tag = slot;
        else
            n->forms[slot].open = false;
        return;
    }
    for (uint32_t k = 0; k < SIM_FORMS; k++)
        for (uint32_t c = 0; c < count; c++)
            if (n->forms[k].open && memcmp(&n->forms[k], &batch[c], sizeof batch[c]) == 0)
                n->forms[k].open = false;
    for (uint32_t c = 0; c < count; c++) {
        if (batch[c].n_refs > 0 && w->now_ms - batch[c].opened_ms > 10000)
            sim_once(w, ST_STALE);
        if (batch[c].n_refs > 1 && batch[c].kind[0] == 'f')
            sim_once(w, ST_RESOLVED);
        if (batch[c].feed_class == CLASS_EXPRESS)
            sim_once(w, ST_EXPRESS);
    }
}
