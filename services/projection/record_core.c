#include "projection/record_core_state.h"

#include <stdlib.h>
#include <string.h>

record_folder *record_folder_new(void)
{
    record_folder *f = calloc(1, sizeof *f);
    if (f != NULL)
        arena_init(&f->arena);
    return f;
}

void record_folder_free(record_folder **f)
{
    if (*f == NULL)
        return;
    arena_release(&(*f)->arena);
    free((*f)->writes);
    free((*f)->things);
    free((*f)->anomalies);
    free(*f);
    *f = NULL;
}

/* A huge stream must not cost its memory for ever. */
static void forget(record_folder *f)
{
    if (f->writes_room > ARENA_KEEP_BYTES / sizeof *f->writes) {
        free(f->writes);
        free(f->things);
        f->writes = NULL;
        f->things = NULL;
        f->writes_room = 0;
    }
    if (f->anomalies_room > ARENA_KEEP_BYTES / sizeof *f->anomalies) {
        free(f->anomalies);
        f->anomalies = NULL;
        f->anomalies_room = 0;
    }
    arena_reset(&f->arena);
    f->n_writes = f->n_anomalies = f->n_slots = 0;
    f->failed = false;
    f->out = (record_state){.created = RECORD_NONE, .newest = RECORD_NONE};
}

/* ---- events and their writes ---- */

static void begin_event(record_folder *f, uint32_t at, uint32_t source)
{
    const refs_event *e = &f->refs.events[source];
    f->events[at] = (record_event){.source = e,
                                   .ref = event_ref_of(e->feed, e->seq, e->id),
                                   .stamp = e->view->stamp,
                                   .counts = f->refs.place[source] != REFS_NONE,
                                   .erased = e->erased};
    record_parse(f, at);
}

static err_t read_events(record_folder *f)
{
    const refs_stream *s = &f->refs;
    uint32_t at = s->n_counting;
    f->events = arena_array(&f->arena, s->n, sizeof *f->events);
    if (f->events == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < s->n_counting; i++)
        begin_event(f, i, s->order[i]);
    for (uint32_t i = 0; at < s->n; i++)
        if (s->place[s->stamped[i]] == REFS_NONE)
            begin_event(f, at++, s->stamped[i]);
    return f->failed ? ERR_NO_MEMORY : ERR_OK;
}

/* ---- slots: one number per thing ---- */

/* The first 15 bytes of a thing's name and what it is, so that names are seldom compared themselves. */
static sort_key thing_key(const record_thing *t, uint32_t i)
{
    uint8_t head[16] = {(uint8_t)t->what};
    if (t->name.len > 0)
        memcpy(head + 1, t->name.p, t->name.len < 15 ? t->name.len : 15);
    return (sort_key){get_u64be(head), get_u64be(head + 8), i};
}

static int tie_things(const void *ctx, uint32_t i, uint32_t j)
{
    const record_thing *t = ctx;
    return bytes_cmp(t[i].name, t[j].name);
}

static void begin_slot(record_folder *f, uint32_t at, const record_thing *t)
{
    f->slot_first[f->n_slots] = at;
    f->slots[f->n_slots++] = (record_slot){.what = t->what, .name = t->name};
}

static void number_slots(record_folder *f)
{
    const sort_key *k = f->keys;
    for (uint32_t i = 0; i < f->n_writes; i++) {
        const record_thing *t = &f->things[k[i].i];
        if (i == 0 || k[i].a != k[i - 1].a || k[i].b != k[i - 1].b ||
            !bytes_eq(t->name, f->things[k[i - 1].i].name))
            begin_slot(f, i, t);
        f->by_slot[i] = k[i].i;
        f->writes[k[i].i].slot = f->n_slots - 1;
    }
    f->slot_first[f->n_slots] = f->n_writes;
    uint32_t at = 0;
    for (unsigned w = 0; w <= RECORD_WHATS; w++) {
        while (at < f->n_slots && f->slots[at].what < w)
            at++;
        f->out.what_first[w] = at;
    }
}

static err_t find_slots(record_folder *f)
{
    size_t n = f->n_writes;
    f->keys = arena_array(&f->arena, 2 * n, sizeof *f->keys);
    f->by_slot = arena_array(&f->arena, n, sizeof *f->by_slot);
    f->slots = arena_array(&f->arena, n, sizeof *f->slots);
    f->slot_first = arena_array(&f->arena, n + 1, sizeof *f->slot_first);
    if (f->keys == NULL || f->by_slot == NULL || f->slots == NULL || f->slot_first == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        f->keys[i] = thing_key(&f->things[i], i);
    keysort(f->keys, f->keys + n, n, tie_things, f->things);
    number_slots(f);
    return ERR_OK;
}

/* ---- who replaces what ---- */

static void replace(record_write *w, uint32_t by, bool counts)
{
    if (counts && w->replaced_by == RECORD_NONE)
        w->replaced_by = by;
    if (!counts && w->replaced_by == RECORD_NONE && w->voided_by == RECORD_NONE)
        w->voided_by = by;
}

/* The write of `e` to `slot`, or NULL: an event's writes ascend by slot. */
static record_write *write_to(record_folder *f, const record_event *e, uint32_t slot)
{
    record_write *w = f->writes + e->first_write;
    uint32_t lo = 0, hi = e->n_writes;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (w[mid].slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < e->n_writes && w[lo].slot == slot ? &w[lo] : NULL;
}

static void replace_common(record_folder *f, uint32_t by, const record_event *target)
{
    const record_event *e = &f->events[by];
    for (uint32_t i = 0; i < e->n_writes; i++) {
        uint32_t slot = f->writes[e->first_write + i].slot;
        record_write *w = f->slots[slot].what < RECORD_SET ? write_to(f, target, slot) : NULL;
        if (w != NULL)
            replace(w, by, e->counts);
    }
}

static void replace_everything(record_folder *f, uint32_t by, const record_event *target)
{
    for (uint32_t i = 0; i < target->n_writes; i++)
        replace(&f->writes[target->first_write + i], by, f->events[by].counts);
}

/* Events that count come first, so by the time the others are asked every death is known. */
static void replace_all(record_folder *f)
{
    const refs_stream *s = &f->refs;
    for (uint32_t by = 0; by < s->n; by++) {
        const record_event *e = &f->events[by];
        uint32_t source = (uint32_t)(e->source - s->events);
        if (e->n_writes == 0)
            continue;
        for (uint32_t i = s->first[source]; i < s->first[source + 1]; i++) {
            const record_event *target = &f->events[s->place[s->targets[i]]];
            if (e->kind == RECORD_KIND_DELETE)
                replace_everything(f, by, target);
            else
                replace_common(f, by, target);
        }
    }
}

err_t record_fold(record_folder *f, const refs_event *events, uint32_t n, const refs_rules *rules,
                  const record_state **out)
{
    forget(f);
    TRY(refs_resolve(&f->arena, events, n, rules, &f->refs));
    TRY(read_events(f));
    TRY(find_slots(f));
    replace_all(f);
    TRY(record_list_live(f));
    *out = &f->out;
    return ERR_OK;
}

/* ---- questions ---- */

const char *record_what_name(record_what w)
{
    static const char *const names[RECORD_WHATS] = {"existence", "field",   "state", "tag",
                                                    "set",       "counter", "note",  "attachment"};
    return (unsigned)w < RECORD_WHATS ? names[w] : "";
}

uint32_t record_find(const record_state *s, record_what what, bytes name)
{
    if ((unsigned)what >= RECORD_WHATS)
        return RECORD_NONE;
    uint32_t lo = s->what_first[what], end = s->what_first[what + 1], hi = end;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (bytes_cmp(s->slots[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < end && bytes_eq(s->slots[lo].name, name) ? lo : RECORD_NONE;
}

bytes record_shown(const record_state *s, uint32_t slot)
{
    if (slot >= s->n_slots || s->slots[slot].n_live == 0)
        return bytes_of(NULL, 0);
    return s->writes[s->live[s->slots[slot].first_live]].value;
}

/* Live, and more than the trace of a tag taken off. */
static bool to_be_named(const record_state *s, const record_write *w)
{
    return w->replaced_by == RECORD_NONE && s->marks[w->slot] &&
           (!w->removal || s->slots[w->slot].what == RECORD_EXISTENCE);
}

static uint32_t marked_refs(const record_state *s, event_ref *out, uint32_t max)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->n_counting; i++) {
        const record_event *e = &s->events[i];
        bool named = false;
        for (uint32_t k = 0; k < e->n_writes && !named; k++)
            named = to_be_named(s, &s->writes[e->first_write + k]);
        if (named && found < max)
            out[found] = e->ref;
        found += named;
    }
    return found;
}

uint32_t record_live_refs(const record_state *s, const record_thing *things, uint32_t n,
                          event_ref *out, uint32_t max)
{
    memset(s->marks, 0, s->n_slots);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = record_find(s, things[i].what, things[i].name);
        if (slot != RECORD_NONE)
            s->marks[slot] = 1;
    }
    return marked_refs(s, out, max);
}

uint32_t record_all_live_refs(const record_state *s, event_ref *out, uint32_t max)
{
    memset(s->marks, 1, s->n_slots);
    return marked_refs(s, out, max);
}
