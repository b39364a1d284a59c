/* Random events of records with what they mean by intention, on top of stream_model.h. */
#ifndef CAIRN_RECORD_MODEL_H
#define CAIRN_RECORD_MODEL_H

#include "stream_model.h"

#include "projection/record_core.h"
#include "pure/value.h"

#define WRITES_MAX 4

/* What an event writes, by intention. */
typedef struct {
    record_what what;
    char name; /* 0: none */
    bytes value;
    int64_t priority;
    bool removal, erased;
} act;

typedef struct {
    const char *kind;
    bool erased, tail_gone, garbage;
    bytes keys[4];
    uint32_t n_keys;
    act acts[WRITES_MAX];
    unsigned n_acts;
    buf payload, without_tail;
} deed;

typedef struct {
    model m;
    deed d[MODEL_MAX];
    bool dead[MODEL_MAX][WRITES_MAX];
} story;

static inline bytes letter(char c)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    return c == 0 ? bytes_of(NULL, 0) : bytes_of(&letters[c - 'a'], 1);
}

static inline char some(prop_rng *r, unsigned n)
{
    return (char)('a' + (int)prop_below(r, n));
}

static inline void add_act(deed *d, record_what what, char name, bool removal)
{
    d->acts[d->n_acts++] = (act){.what = what, .name = name, .removal = removal};
}

/* ---- drawing what an event says; values are found again as slices of the payload ---- */

static inline void draw_fields(prop_rng *r, deed *d)
{
    unsigned set = (unsigned)prop_below(r, 8), n = (set & 1) + (set >> 1 & 1) + (set >> 2 & 1);
    mp_put_map(&d->payload, n);
    for (unsigned i = 0; i < 3; i++)
        if (set >> i & 1) {
            add_act(d, RECORD_FIELD, (char)('a' + (int)i), false);
            mp_put_str(&d->payload, letter((char)('a' + (int)i)));
            mp_put_uint(&d->payload, prop_below(r, 3));
        }
}

static inline void draw_state(prop_rng *r, deed *d)
{
    bool machine = prop_below(r, 2), priority = prop_below(r, 2);
    add_act(d, RECORD_STATE, machine ? 'm' : 's', false);
    mp_put_map(&d->payload, 1u + machine + priority);
    if (machine) {
        mp_put_cstr(&d->payload, "machine");
        mp_put_cstr(&d->payload, "m");
    }
    if (priority) {
        int64_t p = (int64_t)prop_below(r, 3) - 1;
        d->acts[d->n_acts - 1].priority = p;
        mp_put_cstr(&d->payload, "priority");
        mp_put_int(&d->payload, p);
    }
    mp_put_cstr(&d->payload, "state");
    mp_put_str(&d->payload, letter(some(r, 3)));
}

/* {key: name} or {key: name, value_key: number}. */
static inline void draw_named(prop_rng *r, deed *d, record_what what, const char *key,
                              const char *value_key)
{
    char name = some(r, 2);
    add_act(d, what, name, false);
    mp_put_map(&d->payload, value_key ? 2 : 1);
    mp_put_cstr(&d->payload, key);
    mp_put_str(&d->payload, letter(name));
    if (value_key != NULL) {
        mp_put_cstr(&d->payload, value_key);
        mp_put_int(&d->payload, (int64_t)prop_below(r, 5) - 2);
    }
}

static inline void draw_note(prop_rng *r, deed *d)
{
    add_act(d, RECORD_NOTE, 0, false);
    mp_put_map(&d->payload, 1);
    mp_put_cstr(&d->payload, "text");
    mp_put_str(&d->payload, letter(some(r, 2)));
}

static inline void draw_attachment(prop_rng *r, deed *d)
{
    char field = prop_below(r, 2) ? some(r, 2) : 0;
    add_act(d, RECORD_ATTACHMENT, field, false);
    mp_put_map(&d->payload, field ? 2 : 1);
    if (field) {
        mp_put_cstr(&d->payload, "field");
        mp_put_str(&d->payload, letter(field));
    }
    mp_put_cstr(&d->payload, "hash");
    mp_put_str(&d->payload, letter(some(r, 2)));
}

static inline void draw_garbage(deed *d)
{
    d->garbage = true;
    d->n_acts = 0;
    buf_clear(&d->payload);
    mp_put_array(&d->payload, 1);
    mp_put_nil(&d->payload);
}

static inline void draw_deed(prop_rng *r, deed *d)
{
    static const char *const kinds[] = {
        "record.create", "record.create",  "field.set",     "field.set",
        "field.set",     "field.set",      "state.set",     "tag.add",
        "tag.add",       "tag.remove",     "set.add",       "counter.add",
        "note.add",      "attachment.add", "record.delete", "x.unknown"};
    memset(d, 0, sizeof *d);
    buf_init(&d->payload, 1000);
    buf_init(&d->without_tail, 1000);
    d->kind = kinds[prop_below(r, sizeof kinds / sizeof *kinds)];
    bytes k = bytes_str(d->kind);
    if (bytes_is(k, "record.create"))
        add_act(d, RECORD_EXISTENCE, 0, false);
    if (bytes_is(k, "record.create") || bytes_is(k, "field.set"))
        draw_fields(r, d);
    else if (bytes_is(k, "state.set"))
        draw_state(r, d);
    else if (bytes_is(k, "tag.add") || bytes_is(k, "tag.remove"))
        draw_named(r, d, RECORD_TAG, "tag", NULL);
    else if (bytes_is(k, "set.add"))
        draw_named(r, d, RECORD_SET, "set", "value");
    else if (bytes_is(k, "counter.add"))
        draw_named(r, d, RECORD_COUNTER, "counter", "delta");
    else if (bytes_is(k, "note.add"))
        draw_note(r, d);
    else if (bytes_is(k, "attachment.add"))
        draw_attachment(r, d);
    else
        mp_put_nil(&d->payload);
    if (bytes_is(k, "tag.remove"))
        d->acts[0].removal = true;
    if (bytes_is(k, "record.delete"))
        add_act(d, RECORD_EXISTENCE, 0, true);
    if (prop_below(r, 25) == 0 && !bytes_is(k, "record.delete"))
        draw_garbage(d);
}

/* The value of each act, as a slice of the event's payload. */
static inline void find_values(deed *d, bytes payload)
{
    static const uint8_t nil = 0xc0;
    bytes k = bytes_str(d->kind);
    for (unsigned i = 0; i < d->n_acts; i++) {
        act *a = &d->acts[i];
        char name[2] = {a->name, 0};
        a->value = a->removal || a->what == RECORD_TAG ? bytes_of(&nil, 1)
                   : a->what == RECORD_FIELD           ? value_get(payload, name)
                   : bytes_is(k, "state.set")          ? value_get(payload, "state")
                   : bytes_is(k, "set.add")            ? value_get(payload, "value")
                   : bytes_is(k, "counter.add")        ? value_get(payload, "delta")
                   : bytes_is(k, "note.add")           ? value_get(payload, "text")
                                                       : payload;
    }
}

static inline bool has_key(const deed *d, char name)
{
    for (uint32_t i = 0; i < d->n_keys; i++)
        if (bytes_eq(d->keys[i], letter(name)))
            return true;
    return false;
}

/* Rule 17: acts of an erased event. */
static inline void erase_acts(deed *d)
{
    act was[WRITES_MAX];
    unsigned n = d->n_acts;
    bytes k = bytes_str(d->kind);
    memcpy(was, d->acts, sizeof was);
    d->n_acts = 0;
    if (bytes_is(k, "record.create") || bytes_is(k, "record.delete"))
        add_act(d, RECORD_EXISTENCE, 0, bytes_is(k, "record.delete"));
    if (bytes_is(k, "note.add") || (bytes_is(k, "attachment.add") && d->n_keys == 0))
        add_act(d, bytes_is(k, "note.add") ? RECORD_NOTE : RECORD_ATTACHMENT, 0, false);
    else
        for (unsigned i = 0; i < n; i++)
            if (was[i].what != RECORD_EXISTENCE && has_key(d, was[i].name))
                add_act(d, was[i].what, was[i].name, was[i].removal);
    for (unsigned i = 0; i < d->n_acts; i++)
        d->acts[i].erased = true;
}

/* Draws erasures. An honest eraser names things the event wrote, so that nodes with and without the tail agree. */
static inline void draw_erasure(prop_rng *r, model_event *e, deed *d)
{
    static uint8_t hash[EVENT_HASH_BYTES];
    d->erased = prop_below(r, 8) == 0 && !d->garbage;
    bool gone = prop_below(r, 2) && (d->erased || prop_below(r, 8) == 0);
    for (unsigned i = 0; d->erased && i < d->n_acts; i++)
        if (d->acts[i].name != 0 && d->acts[i].name != 's' && prop_below(r, 3))
            d->keys[d->n_keys++] = letter(d->acts[i].name);
    if (d->n_keys == 1 && prop_below(r, 2))
        d->keys[d->n_keys++] = d->keys[0]; /* two erasures */
    if (d->erased && !gone && prop_below(r, 2))
        d->keys[d->n_keys++] =
            letter('z'); /* never written: means nothing where the tail is known */
    d->tail_gone = gone && !d->erased;
    if (d->erased)
        erase_acts(d);
    if (d->tail_gone)
        d->n_acts = 0;
    if (!gone)
        return;
    cr_assert_eq(event_write_erased(&e->view, hash, &d->without_tail), ERR_OK);
    cr_assert_eq(event_parse_erased(buf_view(&d->without_tail), &e->view), ERR_OK);
}

static inline void make(prop_rng *r, story *s, int n)
{
    model *m = &s->m;
    model_begin(m);
    model_grow(r, m, n);
    model_refer(r, m);
    for (int i = 0; i < m->n; i++) {
        draw_deed(r, &s->d[i]);
        model_build(&m->e[i], s->d[i].kind, buf_view(&s->d[i].payload));
        find_values(&s->d[i], m->e[i].view.payload);
        draw_erasure(r, &m->e[i], &s->d[i]);
    }
    model_mean(m);
    model_label(r, m);
}

static inline void unmake(story *s)
{
    for (int i = 0; i < s->m.n; i++) {
        buf_release(&s->d[i].payload);
        buf_release(&s->d[i].without_tail);
    }
    model_end(&s->m);
}

#endif
