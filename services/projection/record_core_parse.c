#include "projection/record_core_state.h"

#include "pure/value.h"

#include <stdlib.h>
#include <string.h>

#define ONE_OF(type) (1u << (type))

/* What a kind writes: one row per kind of the table in record_core.h. */
typedef struct {
    const char *kind;
    size_t kind_len;
    record_kind id;
    record_what what;
    const char *name_key;  /* payload key that names the thing; NULL: it has no name */
    const char *name;      /* when that key is absent; NULL: it must be there */
    const char *value_key; /* NULL: the value is nil */
    unsigned types;        /* that the value may have, ONE_OF() each; 0: any */
    bool fields;           /* every key of the payload is a field, nothing of the above holds */
    bool existence;        /* writes the record's existence */
    bool whole;            /* the value is the whole payload */
    bool removal;
} kind_row;

#define NAMED(text) .kind = text, .kind_len = sizeof(text) - 1

static const kind_row unknown = {.id = RECORD_KIND_UNKNOWN};
static const kind_row kinds[] = {
    {NAMED("field.set"), .id = RECORD_KIND_SET, .what = RECORD_FIELD, .fields = true},
    {NAMED("record.create"), .id = RECORD_KIND_CREATE, .what = RECORD_FIELD, .fields = true,
     .existence = true},
    {NAMED("note.add"), .id = RECORD_KIND_NOTE, .what = RECORD_NOTE, .value_key = "text",
     .types = ONE_OF(MP_STR)},
    {NAMED("state.set"), .id = RECORD_KIND_STATE, .what = RECORD_STATE, .name_key = "machine",
     .name = "state", .value_key = "state", .types = ONE_OF(MP_STR)},
    {NAMED("tag.add"), .id = RECORD_KIND_TAG_ADD, .what = RECORD_TAG, .name_key = "tag"},
    {NAMED("tag.remove"), .id = RECORD_KIND_TAG_REMOVE, .what = RECORD_TAG, .name_key = "tag",
     .removal = true},
    {NAMED("set.add"), .id = RECORD_KIND_SET_ADD, .what = RECORD_SET, .name_key = "set",
     .value_key = "value"},
    {NAMED("counter.add"), .id = RECORD_KIND_COUNTER, .what = RECORD_COUNTER, .name_key = "counter",
     .value_key = "delta", .types = ONE_OF(MP_UINT) | ONE_OF(MP_INT)},
    {NAMED("attachment.add"), .id = RECORD_KIND_ATTACHMENT, .what = RECORD_ATTACHMENT,
     .name_key = "field", .name = "", .value_key = "hash", .types = ONE_OF(MP_STR) | ONE_OF(MP_BIN),
     .whole = true},
    {NAMED("record.delete"), .id = RECORD_KIND_DELETE, .existence = true, .removal = true},
};

static const uint8_t nil_byte = 0xc0;

static const kind_row *row_of(bytes kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kind.len == kinds[i].kind_len && memcmp(kind.p, kinds[i].kind, kind.len) == 0)
            return &kinds[i];
    return &unknown;
}

static void *grown(void *p, uint32_t *room, size_t size)
{
    uint32_t more = *room < 64 ? 64 : *room * 2;
    void *q = *room < UINT32_MAX / 4 ? realloc(p, more * size) : NULL;
    if (q != NULL)
        *room = more;
    return q;
}

static bool grow_writes(record_folder *f)
{
    uint32_t room = f->writes_room;
    record_write *w = grown(f->writes, &room, sizeof *w);
    if (w != NULL)
        f->writes = w;
    room = f->writes_room;
    record_thing *t = w == NULL ? NULL : grown(f->things, &room, sizeof *t);
    if (t == NULL) {
        f->failed = true;
        return false;
    }
    f->things = t;
    f->writes_room = room;
    return true;
}

static void add_write(record_folder *f, uint32_t at, record_what what, bytes name, bytes value)
{
    if (f->n_writes == f->writes_room && !grow_writes(f))
        return;
    f->things[f->n_writes] = (record_thing){what, name};
    f->writes[f->n_writes++] = (record_write){.event = at,
                                              .value = value,
                                              .replaced_by = RECORD_NONE,
                                              .voided_by = RECORD_NONE,
                                              .group = RECORD_NONE};
}

static void add_anomaly(record_folder *f, uint32_t at, record_anomaly_code code, bytes detail)
{
    if (!f->events[at].counts)
        return; /* it says nothing here, so it cannot say it wrongly */
    if (f->n_anomalies == f->anomalies_room) {
        record_anomaly *a = grown(f->anomalies, &f->anomalies_room, sizeof *a);
        if (a == NULL) {
            f->failed = true;
            return;
        }
        f->anomalies = a;
    }
    f->anomalies[f->n_anomalies++] = (record_anomaly){at, code, detail};
}

/* ---- payloads ---- */

/* Adds a write per key, and none at all if the map is not as the gate lets it through. */
static void write_fields(record_folder *f, uint32_t at, const kind_row *row, bytes payload)
{
    value_map m;
    bytes key, value, last = {NULL, 0};
    uint32_t done = 0, before = f->n_writes;
    if (!value_map_open(payload, &m)) {
        add_anomaly(f, at, RECORD_ANOMALY_PAYLOAD, last);
        return;
    }
    uint32_t due = m.left;
    if (due == 0 && !row->existence)
        add_anomaly(f, at, RECORD_ANOMALY_EMPTY, last);
    if (row->existence)
        add_write(f, at, RECORD_EXISTENCE, last, payload);
    while (value_map_next(&m, &key, &value) && (done == 0 || bytes_cmp(last, key) < 0)) {
        add_write(f, at, RECORD_FIELD, key, value);
        last = key;
        done++;
    }
    if (done < due) {
        f->n_writes = before;
        add_anomaly(f, at, RECORD_ANOMALY_PAYLOAD, bytes_of(NULL, 0));
    }
}

static bool find_name(record_folder *f, uint32_t at, const kind_row *row, bytes payload,
                      bytes *name)
{
    *name = bytes_of(NULL, 0);
    if (row->name_key == NULL)
        return true;
    bytes raw = value_get(payload, row->name_key);
    if (raw.len == 0 && row->name != NULL) {
        *name = bytes_str(row->name);
        return true;
    }
    if (raw.len > 0 && value_str(raw, name))
        return true;
    add_anomaly(f, at, raw.len == 0 ? RECORD_ANOMALY_KEY : RECORD_ANOMALY_TYPE,
                bytes_str(row->name_key));
    return false;
}

/* An integer that fits. */
static bool int_of(bytes raw, int64_t *out)
{
    mp_reader r = mp_reader_of(raw);
    *out = mp_int(&r);
    return r.err == ERR_OK;
}

static bool find_value(record_folder *f, uint32_t at, const kind_row *row, bytes payload,
                       bytes *value)
{
    int64_t n;
    *value = bytes_of(&nil_byte, 1);
    if (row->value_key == NULL)
        return true;
    bytes raw = value_get(payload, row->value_key);
    bool right = raw.len > 0 && (row->types == 0 || (row->types & ONE_OF(value_type(raw))) != 0) &&
                 (row->id != RECORD_KIND_COUNTER || int_of(raw, &n));
    if (!right) {
        add_anomaly(f, at, raw.len == 0 ? RECORD_ANOMALY_KEY : RECORD_ANOMALY_TYPE,
                    bytes_str(row->value_key));
        return false;
    }
    *value = row->whole ? payload : raw;
    return true;
}

/* A state's priority; a wrong one is taken as absent. */
static int64_t find_priority(record_folder *f, uint32_t at, bytes payload)
{
    int64_t n;
    bytes raw = value_get(payload, "priority");
    if (raw.len == 0 || int_of(raw, &n))
        return raw.len == 0 ? 0 : n;
    add_anomaly(f, at, RECORD_ANOMALY_TYPE, bytes_str("priority"));
    return 0;
}

static void write_one(record_folder *f, uint32_t at, const kind_row *row, bytes payload)
{
    bytes name, value;
    uint32_t before = f->n_writes;
    if (value_type(payload) != MP_MAP) {
        add_anomaly(f, at, RECORD_ANOMALY_PAYLOAD, bytes_of(NULL, 0));
        return;
    }
    if (!find_name(f, at, row, payload, &name) || !find_value(f, at, row, payload, &value))
        return;
    add_write(f, at, row->what, name, value);
    if (f->n_writes == before)
        return;
    f->writes[before].removal = row->removal;
    if (row->id == RECORD_KIND_STATE)
        f->writes[before].priority = find_priority(f, at, payload);
}

static void write_removal(record_folder *f, uint32_t at)
{
    uint32_t before = f->n_writes;
    add_write(f, at, RECORD_EXISTENCE, bytes_of(NULL, 0), bytes_of(&nil_byte, 1));
    if (f->n_writes > before)
        f->writes[before].removal = true;
}

static void write_all(record_folder *f, uint32_t at, const kind_row *row)
{
    bytes payload = f->events[at].source->view->payload;
    if (row->fields)
        write_fields(f, at, row, payload);
    else if (row->id == RECORD_KIND_DELETE)
        write_removal(f, at);
    else if (row->id != RECORD_KIND_UNKNOWN)
        write_one(f, at, row, payload);
}

/* ---- erased events ---- */

static uint64_t first_bytes(bytes s, size_t from)
{
    uint64_t v = 0;
    for (size_t i = from; i < from + 8; i++)
        v = v << 8 | (i < s.len ? s.p[i] : 0);
    return v;
}

static int tie_keys(const void *ctx, uint32_t i, uint32_t j)
{
    const bytes *keys = ctx;
    return bytes_cmp(keys[i], keys[j]);
}

static void write_erased_one(record_folder *f, uint32_t at, const kind_row *row, record_what what,
                             bytes name)
{
    uint32_t before = f->n_writes;
    add_write(f, at, what, name, bytes_of(NULL, 0));
    if (f->n_writes == before)
        return;
    f->writes[before].erased = true;
    f->writes[before].removal = row->removal;
}

/* The names that event wrote before it was erased, ascending, if its tail is still here. */
static record_thing *names_written(record_folder *f, uint32_t at, const kind_row *row, uint32_t *n)
{
    uint32_t before = f->n_writes, anomalies = f->n_anomalies;
    write_all(f, at, row);
    *n = f->n_writes - before;
    record_thing *names = arena_array(&f->arena, *n, sizeof *names);
    if (names == NULL)
        f->failed = true;
    else if (*n > 0)
        memcpy(names, f->things + before, *n * sizeof *names);
    f->n_writes = before;
    f->n_anomalies = anomalies;
    return names;
}

/* The event's erasure keys, ascending, each once at most if followed in order: repeats lie side by side. */
static sort_key *sorted_keys(record_folder *f, const refs_event *e)
{
    sort_key *k = arena_array(&f->arena, 2 * (size_t)e->n_keys, sizeof *k);
    if (k == NULL) {
        f->failed = true;
        return NULL;
    }
    for (uint32_t i = 0; i < e->n_keys; i++)
        k[i] = (sort_key){first_bytes(e->keys[i], 0), first_bytes(e->keys[i], 8), i};
    keysort(k, k + e->n_keys, e->n_keys, tie_keys, e->keys);
    return k;
}

static void write_erased_names(record_folder *f, uint32_t at, const kind_row *row)
{
    const refs_event *e = f->events[at].source;
    uint32_t n_names = 0, here = 0;
    bool limited = !e->view->erased;
    record_thing *names = limited ? names_written(f, at, row, &n_names) : NULL;
    sort_key *k = sorted_keys(f, e);
    if (f->failed)
        return;
    for (uint32_t i = 0; i < e->n_keys; i++) {
        bytes key = e->keys[k[i].i];
        if (i > 0 && bytes_eq(key, e->keys[k[i - 1].i]))
            continue;
        while (here < n_names &&
               (names[here].what != row->what || bytes_cmp(names[here].name, key) < 0))
            here++;
        if (!limited || (here < n_names && bytes_eq(names[here].name, key)))
            write_erased_one(f, at, row, row->what, key);
    }
}

static void write_erased(record_folder *f, uint32_t at, const kind_row *row)
{
    bytes nameless = {NULL, 0};
    bool keyless = f->events[at].source->n_keys == 0;
    if (row->existence)
        write_erased_one(f, at, row, RECORD_EXISTENCE, nameless);
    if (row->id == RECORD_KIND_NOTE || (row->id == RECORD_KIND_ATTACHMENT && keyless))
        write_erased_one(f, at, row, row->what, nameless);
    else if (row->id != RECORD_KIND_UNKNOWN && row->id != RECORD_KIND_DELETE)
        write_erased_names(f, at, row);
}

uint32_t record_names(bytes kind, bytes payload, bytes *out, uint32_t max)
{
    const kind_row *row = row_of(kind);
    value_map m;
    bytes name, value;
    uint32_t n = 0;
    if (row->name_key != NULL) {
        bytes raw = value_get(payload, row->name_key);
        name = bytes_str(row->name != NULL ? row->name : "");
        if (raw.len > 0 && !value_str(raw, &name))
            return 0;
        if (name.len > 0 && max > 0)
            out[0] = name;
        return name.len > 0;
    }
    if (!row->fields || !value_map_open(payload, &m))
        return 0;
    for (; value_map_next(&m, &name, &value); n++)
        if (n < max)
            out[n] = name;
    return n;
}

/* ---- the event ---- */

static void read_attributes(record_folder *f, uint32_t at)
{
    record_event *e = &f->events[at];
    value_map m;
    bytes key, raw;
    if (e->source->view->attributes.len == 0 || !value_map_open(e->source->view->attributes, &m))
        return;
    while (value_map_next(&m, &key, &raw)) {
        bool fine = true;
        if (bytes_is(key, "at"))
            fine = e->has_at = int_of(raw, &e->at_ms);
        else if (bytes_is(key, "by"))
            fine = value_str(raw, &e->by);
        else if (bytes_is(key, "why"))
            fine = value_str(raw, &e->why);
        if (!fine)
            add_anomaly(f, at, RECORD_ANOMALY_ATTRIBUTE, key);
    }
}

void record_parse(record_folder *f, uint32_t at)
{
    record_event *e = &f->events[at];
    const event_view *v = e->source->view;
    const kind_row *row = v->opaque ? &unknown : row_of(v->kind);
    e->kind = row->id;
    e->first_write = f->n_writes;
    if (e->erased)
        write_erased(f, at, row);
    else if (v->erased)
        add_anomaly(f, at, RECORD_ANOMALY_TAIL, bytes_of(NULL, 0));
    else {
        read_attributes(f, at);
        write_all(f, at, row);
    }
    e->n_writes = f->n_writes - e->first_write;
}

const char *record_anomaly_text(record_anomaly_code c)
{
    static const char *const texts[] = {
        [RECORD_ANOMALY_PAYLOAD] = "the payload is not a map",
        [RECORD_ANOMALY_KEY] = "the payload lacks",
        [RECORD_ANOMALY_TYPE] = "the payload has a value of the wrong type for",
        [RECORD_ANOMALY_EMPTY] = "it sets no field",
        [RECORD_ANOMALY_ATTRIBUTE] = "an attribute has the wrong type:",
        [RECORD_ANOMALY_TAIL] = "its contents are missing here; they are wanted from a peer",
    };
    return (size_t)c < sizeof texts / sizeof *texts ? texts[c] : "";
}
