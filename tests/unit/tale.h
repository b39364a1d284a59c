/* Streams told by hand for the tests of the record: short text in, short text out. */
#ifndef CAIRN_TALE_H
#define CAIRN_TALE_H

#include "prop.h"

#include "projection/record_core.h"
#include "pure/value.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct {
    uint32_t n, room;
    refs_event *ev;
    event_id *ids;
    event_view *views;
    buf *bodies, *erased;
    record_folder *folder;
    const record_state *s; /* after tale_fold */
    refs_rules rules;
} tale;

static inline void tale_begin(tale *t, uint32_t room)
{
    *t = (tale){.room = room};
    t->ev = calloc(room, sizeof *t->ev);
    t->ids = calloc(room, sizeof *t->ids);
    t->views = calloc(room, sizeof *t->views);
    t->bodies = calloc(room, sizeof *t->bodies);
    t->erased = calloc(room, sizeof *t->erased);
    t->folder = record_folder_new();
}

static inline void tale_end(tale *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        buf_release(&t->bodies[i]);
        buf_release(&t->erased[i]);
    }
    free(t->ev);
    free(t->ids);
    free(t->views);
    free(t->bodies);
    free(t->erased);
    record_folder_free(&t->folder);
}

/* Adds an event whose payload is given as msgpack; the feed's next seq. Returns its index. */
static inline uint32_t tale_raw(tale *t, feed_id feed, uint64_t wall, const char *kind,
                                bytes payload, const uint32_t *refs, unsigned n_refs)
{
    event_reference r[REPLACES_MAX];
    uint32_t i = t->n++;
    uint64_t seq = 1;
    cr_assert(i < t->room && n_refs <= REPLACES_MAX);
    for (unsigned k = 0; k < n_refs; k++) {
        const refs_event *e = &t->ev[refs[k]];
        r[k] = (event_reference){.full = event_ref_of(e->feed, e->seq, e->id)};
    }
    for (uint32_t k = i; k > 0 && seq == 1; k--)
        if (t->ev[k - 1].feed == feed)
            seq = t->ev[k - 1].seq + 1;
    put_u32be(t->ids[i].b, i + 1);
    put_u64be(t->ids[i].b + 4, wall);
    event_fields f = {.stamp = {wall, 0},
                      .replaces = r,
                      .n_replaces = n_refs,
                      .category = bytes_str("f"),
                      .stream = bytes_str("r"),
                      .kind = bytes_str(kind),
                      .payload = payload};
    buf_init(&t->bodies[i], EVENT_MAX_BYTES);
    buf_init(&t->erased[i], EVENT_MAX_BYTES);
    cr_assert_eq(event_build(&f, &t->bodies[i]), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&t->bodies[i]), &t->views[i]), ERR_OK);
    t->ev[i] = (refs_event){
        .feed = feed, .seq = seq, .id = &t->ids[i], .view = &t->views[i], .counts = true};
    return i;
}

/* "a=1 b=x": a map of integers and text, keys in order. */
static inline void tale_payload(buf *out, const char *text)
{
    uint32_t n = *text != 0;
    for (const char *p = text; *p; p++)
        n += *p == ' ';
    mp_put_map(out, n);
    while (*text != 0) {
        size_t key = strcspn(text, "="), len = strcspn(text + key + 1, " ");
        const char *value = text + key + 1;
        mp_put_str(out, bytes_of(text, key));
        if (strchr("-0123456789", *value))
            mp_put_int(out, strtoll(value, NULL, 10));
        else
            mp_put_str(out, bytes_of(value, len));
        text = value + len + (value[len] == ' ');
    }
}

/* `refs`: indices of the events it names, "0 2". */
static inline uint32_t tell(tale *t, feed_id feed, uint64_t wall, const char *kind,
                            const char *payload, const char *refs)
{
    uint32_t list[REPLACES_MAX], i;
    unsigned n = 0;
    buf b;
    buf_init(&b, 60000);
    tale_payload(&b, payload);
    for (char *end; *refs != 0; refs = end) {
        list[n++] = (uint32_t)strtoul(refs, &end, 10);
        end += *end == ' ';
    }
    i = tale_raw(t, feed, wall, kind, buf_view(&b), list, n);
    buf_release(&b);
    return i;
}

/* From now on the event's tail is not here. */
static inline void tale_cut_tail(tale *t, uint32_t i)
{
    static const uint8_t hash[EVENT_HASH_BYTES];
    cr_assert_eq(event_write_erased(&t->views[i], hash, &t->erased[i]), ERR_OK);
    cr_assert_eq(event_parse_erased(buf_view(&t->erased[i]), &t->views[i]), ERR_OK);
}

static inline void tale_fold(tale *t)
{
    cr_assert_eq(record_fold(t->folder, t->ev, t->n, &t->rules, &t->s), ERR_OK);
}

/* The index in the tale of an event of the state. */
static inline uint32_t tale_index(const tale *t, uint32_t event)
{
    return (uint32_t)(t->s->events[event].source - t->ev);
}

/* Folds, and compares the values of a thing as they are shown: "1|"x"*2|erased", *n for n authors. */
static inline void shows(tale *t, record_what what, const char *name, const char *expected)
{
    buf out;
    buf_init(&out, 1u << 20);
    tale_fold(t);
    uint32_t slot = record_find(t->s, what, bytes_str(name)), authors = 0;
    uint32_t n = slot == RECORD_NONE ? 0 : t->s->slots[slot].n_live;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *live = t->s->live + t->s->slots[slot].first_live;
        const record_write *w = &t->s->writes[live[i]];
        bool last = i + 1 == n || t->s->writes[live[i + 1]].group != w->group;
        authors++;
        if (!last)
            continue;
        if (out.len > 0)
            (void)buf_add_str(&out, "|");
        if (w->erased)
            (void)buf_add_str(&out, "erased");
        else
            cr_assert_eq(value_json(&out, w->value), ERR_OK);
        if (authors > 1)
            (void)buf_addf(&out, "*%u", authors);
        authors = 0;
    }
    cr_assert(bytes_is(buf_view(&out), expected), "%s %s: %.*s instead of %s",
              record_what_name(what), name, (int)out.len, (const char *)out.p, expected);
    buf_release(&out);
}

static inline void tale_export(tale *t, buf *out)
{
    tale_fold(t);
    buf_clear(out);
    cr_assert_eq(record_export(t->s, bytes_str("form"), bytes_str("rec"), out), ERR_OK);
}

#endif
