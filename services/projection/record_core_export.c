/* The canonical line of a record: the contract behind `export --format canonical` and view_digest.
 *
 * One JSON object and a newline, as Python prints json.dumps(o, sort_keys=True, ensure_ascii=False,
 * separators=(",", ":")); values as value.h says. Equal sets of counting events give equal bytes on every node.
 *
 *   form, record   the stream's category and name; always there, what follows only when it is not empty
 *   created        [ref]                 live record.create, in display order
 *   deleted        [ref]                 live record.delete, newest first
 *   collisions     [ref]                 creates that collide, canonical order
 *   fields         {name: [shown]}       likewise states, tags, sets, attachments (by field)
 *   notes          [shown]
 *   counters       {name: {"minus", "plus", "refs"}}
 *
 * ref is "<feed>/<seq>/<first 8 bytes of the id in hex>". shown is {"refs": [ref], "value": …}, or {"erased": true,
 * "refs": [ref]}; equal live values are one shown with several refs; both in display order. Names without live writes
 * are left out. What only some nodes can know is not in it: attributes, anomalies, events that do not count.
 *
 * view_digest is BLAKE2b-256 over the lines of all records, ascending by (form, record) as bytes. */
#include "projection/record_core_state.h"

#include "pure/value.h"

typedef struct {
    const record_state *s;
    buf *out;
    bool begun; /* a key of this object has been written */
} exporter;

static void put_key(exporter *x, const char *key)
{
    (void)buf_add_str(x->out, x->begun ? ",\"" : "{\"");
    (void)buf_add_str(x->out, key);
    (void)buf_add_str(x->out, "\":");
    x->begun = true;
}

static void put_ref(exporter *x, uint32_t event)
{
    const refs_event *e = x->s->events[event].source;
    char prefix[17];
    hex_encode(prefix, e->id->b, 8);
    (void)buf_addf(x->out, "\"%u/%llu/%s\"", (unsigned)e->feed, (unsigned long long)e->seq, prefix);
}

static void put_events(exporter *x, const char *key, const uint32_t *events, uint32_t n)
{
    if (n == 0)
        return;
    put_key(x, key);
    for (uint32_t i = 0; i < n; i++) {
        (void)buf_add_str(x->out, i == 0 ? "[" : ",");
        put_ref(x, events[i]);
    }
    (void)buf_add_str(x->out, "]");
}

/* The refs of live[from] … live[to - 1]. */
static void put_refs(exporter *x, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        (void)buf_add_str(x->out, i == from ? "\"refs\":[" : ",");
        put_ref(x, x->s->writes[x->s->live[i]].event);
    }
    (void)buf_add_str(x->out, "]");
}

static err_t put_shown(exporter *x, uint32_t from, uint32_t to)
{
    const record_write *w = &x->s->writes[x->s->live[from]];
    (void)buf_add_str(x->out, w->erased ? "{\"erased\":true," : "{");
    put_refs(x, from, to);
    if (!w->erased) {
        (void)buf_add_str(x->out, ",\"value\":");
        TRY(value_json(x->out, w->value));
    }
    (void)buf_add_str(x->out, "}");
    return x->out->err;
}

/* A slot's values, each with all its authors. */
static err_t put_values(exporter *x, const record_slot *slot)
{
    const record_state *s = x->s;
    uint32_t at = slot->first_live, end = at + slot->n_live;
    (void)buf_add_str(x->out, "[");
    while (at < end) {
        uint32_t to = at + 1;
        while (to < end && s->writes[s->live[to]].group == s->writes[s->live[at]].group)
            to++;
        if (at > slot->first_live)
            (void)buf_add_str(x->out, ",");
        TRY(put_shown(x, at, to));
        at = to;
    }
    (void)buf_add_str(x->out, "]");
    return x->out->err;
}

static err_t put_counter(exporter *x, const record_slot *slot)
{
    (void)buf_addf(x->out, "{\"minus\":%llu,\"plus\":%llu,", (unsigned long long)slot->minus,
                   (unsigned long long)slot->plus);
    put_refs(x, slot->first_live, slot->first_live + slot->n_live);
    (void)buf_add_str(x->out, "}");
    return x->out->err;
}

static err_t put_section(exporter *x, const char *key, record_what what)
{
    bool begun = false;
    for (uint32_t i = x->s->what_first[what]; i < x->s->what_first[what + 1]; i++) {
        const record_slot *slot = &x->s->slots[i];
        if (slot->n_live == 0)
            continue;
        if (!begun)
            put_key(x, key);
        if (what != RECORD_NOTE) {
            (void)buf_add_str(x->out, begun ? "," : "{");
            value_json_str(x->out, slot->name);
            (void)buf_add_str(x->out, ":");
        }
        begun = true;
        TRY(what == RECORD_COUNTER ? put_counter(x, slot) : put_values(x, slot));
    }
    if (begun && what != RECORD_NOTE)
        (void)buf_add_str(x->out, "}");
    return x->out->err;
}

static void put_created(exporter *x)
{
    const record_state *s = x->s;
    if (s->what_first[RECORD_FIELD] == 0 || s->slots[0].n_live == 0)
        return;
    put_key(x, "created");
    for (uint32_t i = 0; i < s->slots[0].n_live; i++) {
        (void)buf_add_str(x->out, i == 0 ? "[" : ",");
        put_ref(x, s->writes[s->live[s->slots[0].first_live + i]].event);
    }
    (void)buf_add_str(x->out, "]");
}

static void put_name(exporter *x, const char *key, bytes name)
{
    put_key(x, key);
    value_json_str(x->out, name);
}

/* Keys ascend. */
err_t record_export(const record_state *s, bytes form, bytes record, buf *out)
{
    exporter x = {s, out, false};
    TRY(put_section(&x, "attachments", RECORD_ATTACHMENT));
    put_events(&x, "collisions", s->collisions, s->n_collisions);
    TRY(put_section(&x, "counters", RECORD_COUNTER));
    put_created(&x);
    put_events(&x, "deleted", s->deletes, s->n_deletes);
    TRY(put_section(&x, "fields", RECORD_FIELD));
    put_name(&x, "form", form);
    TRY(put_section(&x, "notes", RECORD_NOTE));
    put_name(&x, "record", record);
    TRY(put_section(&x, "sets", RECORD_SET));
    TRY(put_section(&x, "states", RECORD_STATE));
    TRY(put_section(&x, "tags", RECORD_TAG));
    (void)buf_add_str(out, "}\n");
    return out->err;
}
