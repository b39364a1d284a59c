#include "tests/unit/store_model.h"

#include "pure/chain.h"
#include "pure/run.h"

#include <criterion/criterion.h>

void model_init(model *m)
{
    m->n_events = 0;
    m->head = 0;
}

static void write_body(model_event *e, prop_rng *r)
{
    buf b;
    uint8_t payload[64] = {0xc4, (uint8_t)prop_below(r, 60)};
    event_fields fields = {
        .stamp = {1767225600000ull + prop_below(r, 1000000), 0},
        .category = bytes_str(e->category),
        .stream = bytes_str(e->stream),
        .kind = bytes_str("field.set"),
        .payload = bytes_of(payload, 2u + payload[1]),
    };
    for (size_t i = 2; i < fields.payload.len; i++)
        payload[i] = (uint8_t)prop_u64(r);
    buf_init(&b, MODEL_BODY_MAX);
    cr_assert_eq(event_build(&fields, &b), ERR_OK);
    memcpy(e->body, b.p, b.len);
    e->body_len = b.len;
    buf_release(&b);
}

int model_make(model *m, prop_rng *r, feed_id feed, int parent)
{
    cr_assert(m->n_events < MODEL_BASE_MAX);
    model_event *e = &m->events[m->n_events];
    event_view v;
    *e = (model_event){.feed = feed, .seq = 1, .parent = parent};
    if (parent >= 0) {
        e->seq = m->events[parent].seq + 1;
        e->prev = m->events[parent].id;
    } else {
        memset(e->prev.b, (int)(1 + prop_below(r, 2)), sizeof e->prev.b);
    }
    snprintf(e->category, sizeof e->category, "c%d", (int)prop_below(r, 3));
    snprintf(e->stream, sizeof e->stream, "s%d", (int)(prop_below(r, 8) * prop_below(r, 8)));
    e->opaque = prop_below(r, 20) == 0;
    write_body(e, r);
    cr_assert_eq(event_parse(bytes_of(e->body, e->body_len), &v), ERR_OK);
    chain_next_event(&e->id, &e->prev, e->seq, &v);
    return m->n_events++;
}

void model_seal(seal_sig *out, const model_event *e)
{
    memset(out->b, 0x55, sizeof out->b);
    memcpy(out->b, e->id.b, sizeof e->id.b);
}

uint64_t model_held(const model *m, int event)
{
    for (uint64_t i = 0; i < m->head; i++)
        if (m->log[i].target == 0 && m->log[i].event == event)
            return i + 1;
    return 0;
}

bool model_has_next(const model *m, int event, feed_id feed)
{
    for (uint64_t i = 0; i < m->head; i++) {
        const model_event *e = &m->events[m->log[i].event];
        if (m->log[i].target == 0 && e->parent == event && e->feed == feed)
            return true;
    }
    return false;
}

bool model_is_ancestor(const model *m, int a, int b)
{
    while (b != a && b >= 0)
        b = m->events[b].parent;
    return b == a;
}

static uint64_t stream_length(const model *m, const model_event *e)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->head; i++) {
        const model_event *o = &m->events[m->log[i].event];
        n += m->log[i].target == 0 && !o->opaque && strcmp(o->category, e->category) == 0 &&
             strcmp(o->stream, e->stream) == 0;
    }
    return n;
}

err_t model_append(model *m, const model_append_row *rows, size_t n, bool allow_fork,
                   append_reply *out)
{
    uint64_t before = m->head, sealed[64];
    size_t n_sealed = 0;
    err_t e = ERR_OK;
    *out = (append_reply){0};
    for (size_t i = 0; i < n && e == ERR_OK; i++) {
        const model_event *ev = &m->events[rows[i].event];
        uint64_t held = model_held(m, rows[i].event);
        if (held != 0) {
            out->duplicates++;
            if (rows[i].seal && !m->log[held - 1].sealed) {
                m->log[held - 1].sealed = true;
                sealed[n_sealed++] = held;
            }
            continue;
        }
        if (ev->parent >= 0 && model_held(m, ev->parent) == 0)
            e = ERR_CONFLICT;
        else if (!allow_fork && model_has_next(m, ev->parent, ev->feed))
            e = ERR_FORKED;
        if (e != ERR_OK)
            break;
        m->log[m->head] = (model_slot){
            .event = rows[i].event,
            .position = ev->opaque ? 0 : stream_length(m, ev),
            .flags = (uint8_t)((rows[i].counts ? ROW_COUNTS : 0) | (ev->opaque ? ROW_OPAQUE : 0)),
            .sealed = rows[i].seal,
        };
        m->head++;
        if (out->appended++ == 0)
            out->first_offset = m->head;
    }
    if (e != ERR_OK) {
        m->head = before;
        for (size_t i = 0; i < n_sealed; i++)
            m->log[sealed[i] - 1].sealed = false;
        *out = (append_reply){0};
    } else if (out->appended == 0 && n != 0) {
        out->first_offset = model_held(m, rows[0].event);
    }
    return e;
}

void model_verdict(model *m, uint64_t offset, bool counts)
{
    model_slot *target = &m->log[offset - 1];
    if (((target->flags & ROW_COUNTS) != 0) == counts)
        return;
    target->flags ^= ROW_COUNTS;
    m->log[m->head] = *target;
    m->log[m->head].target = offset;
    m->log[m->head].sealed = false;
    m->log[m->head].flags |= ROW_CHANGED;
    m->head++;
}

void model_rows(const model *m, const model_append_row *rows, size_t n, append_row *out,
                seal_sig *seals)
{
    for (size_t i = 0; i < n; i++) {
        const model_event *e = &m->events[rows[i].event];
        model_seal(&seals[i], e);
        out[i] = (append_row){
            .feed = e->feed,
            .seq = e->seq,
            .flags = (uint8_t)((rows[i].counts ? ROW_COUNTS : 0) | (e->opaque ? ROW_OPAQUE : 0)),
            .prev = e->prev,
            .id = e->id,
            .seal = bytes_of(seals[i].b, rows[i].seal ? SEAL_BYTES : 0),
            .body = bytes_of(e->body, e->body_len),
        };
    }
}

/* ---- comparing ---- */

void model_check_row(const model *m, const stored_row *row)
{
    cr_assert(row->offset >= 1 && row->offset <= m->head);
    const model_slot *slot = &m->log[row->offset - 1];
    const model_event *e = &m->events[slot->event];
    seal_sig seal;
    model_seal(&seal, e);
    cr_assert_eq(row->feed, e->feed);
    cr_assert_eq(row->seq, e->seq);
    cr_assert(event_id_eq(&row->id, &e->id));
    cr_assert_eq(row->flags, slot->flags, "offset %d", (int)row->offset);
    if (slot->target != 0) {
        cr_assert_eq(row->parent, slot->target);
        cr_assert_eq(row->body.len, 0);
        return;
    }
    cr_assert_eq(row->position, slot->position);
    cr_assert_eq(row->parent, e->parent < 0 ? 0 : model_held(m, e->parent));
    cr_assert_eq(row->seal.len, slot->sealed ? SEAL_BYTES : 0);
    cr_assert(row->seal.len == 0 || memcmp(row->seal.p, seal.b, SEAL_BYTES) == 0);
    cr_assert(bytes_eq(row->body, bytes_of(e->body, e->body_len)));
}

static bool in_category(const model *m, uint64_t offset, bytes category)
{
    const model_event *e = &m->events[m->log[offset - 1].event];
    return category.len == 0 || (!e->opaque && bytes_is(category, e->category));
}

static void compare_fetch(const model *m, store_core *s, prop_rng *r, const char *category)
{
    fetch_request req = {.max = 1 + (uint32_t)prop_below(r, 40), .category = bytes_str(category)};
    rows_reply out;
    stored_row row;
    uint64_t expected = 0;
    do {
        cr_assert_eq(store_fetch(s, &req, &out), ERR_OK);
        while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
            do
                expected++;
            while (expected <= m->head && !in_category(m, expected, req.category));
            cr_assert_eq(row.offset, expected);
            model_check_row(m, &row);
        }
        req.after = out.next;
        req.epoch = out.epoch;
    } while (!out.caught_up);
    cr_assert_eq(out.head, m->head);
    while (++expected <= m->head)
        cr_assert_not(in_category(m, expected, req.category));
}

static void compare_streams(const model *m, store_core *s, prop_rng *r)
{
    scan_request req = {.max = 1 + (uint32_t)prop_below(r, 30)};
    scan_reply out;
    stored_row row;
    uint64_t n = 0, events = 0;
    char last[20] = "", now[20];
    uint64_t position = 0;
    do {
        cr_assert_eq(store_scan(s, &req, &out), ERR_OK);
        while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
            const model_event *e = &m->events[m->log[row.offset - 1].event];
            model_check_row(m, &row);
            snprintf(now, sizeof now, "%s/%s", e->category, e->stream);
            cr_assert(strcmp(last, now) <= 0);
            position = strcmp(last, now) == 0 ? position + 1 : 0;
            cr_assert_eq(row.position, position);
            memcpy(last, now, sizeof last);
            n++;
        }
        req = (scan_request){.category = out.category,
                             .stream = out.stream,
                             .position = out.position,
                             .max = req.max};
    } while (!out.done);
    for (uint64_t i = 0; i < m->head; i++)
        events += m->log[i].target == 0 && !m->events[m->log[i].event].opaque;
    cr_assert_eq(n, events);
}

static void compare_stream(const model *m, store_core *s, prop_rng *r)
{
    const model_event *e = &m->events[prop_below(r, (uint64_t)m->n_events)];
    uint64_t length = stream_length(m, e);
    read_stream_request req = {.category = bytes_str(e->category),
                               .stream = bytes_str(e->stream),
                               .from = prop_below(r, length + 2),
                               .max = (uint32_t)prop_below(r, 50)};
    rows_reply out;
    stored_row row;
    cr_assert_eq(store_read_stream(s, &req, &out), ERR_OK);
    cr_assert_eq(out.head, length);
    uint64_t left = req.from < length ? length - req.from : 0;
    cr_assert_eq(out.rows.n, left < req.max ? left : req.max);
    for (uint64_t at = req.from; msg_list_next(&stored_row_desc, &out.rows, &row); at++) {
        cr_assert_eq(row.position, at);
        model_check_row(m, &row);
    }
}

static void compare_feed(const model *m, store_core *s, prop_rng *r)
{
    feed_id feed = m->events[prop_below(r, (uint64_t)m->n_events)].feed;
    read_feed_request req = {.feed = feed, .from_seq = 1, .to_seq = 1 + prop_below(r, 300)};
    req.max = 1 + (uint32_t)prop_below(r, 50);
    rows_reply out;
    stored_row row;
    uint64_t n = 0, last = 0;
    do {
        cr_assert_eq(store_read_feed(s, &req, &out), ERR_OK);
        for (; msg_list_next(&stored_row_desc, &out.rows, &row); n++) {
            model_check_row(m, &row);
            cr_assert(row.seq >= last && row.seq <= req.to_seq && row.feed == feed);
            last = row.seq;
        }
        req.from_seq = out.next;
    } while (out.next != 0);
    for (uint64_t i = 0; i < m->head; i++) {
        const model_event *e = &m->events[m->log[i].event];
        n -= m->log[i].target == 0 && e->feed == feed && e->seq <= req.to_seq;
    }
    cr_assert_eq(n, 0);
}

static bool under_seal(const model *m, int event)
{
    for (uint64_t i = 0; i < m->head; i++)
        if (m->log[i].target == 0 && m->log[i].sealed &&
            model_is_ancestor(m, event, m->log[i].event))
            return true;
    return false;
}

/* A counting event under a seal that no other one follows. */
static bool is_frontier(const model *m, uint64_t offset)
{
    const model_slot *slot = &m->log[offset - 1];
    if (slot->target != 0 || (slot->flags & ROW_COUNTS) == 0 || !under_seal(m, slot->event))
        return false;
    for (uint64_t i = 0; i < m->head; i++)
        if (i + 1 != offset && m->log[i].target == 0 && (m->log[i].flags & ROW_COUNTS) != 0 &&
            model_is_ancestor(m, slot->event, m->log[i].event) && under_seal(m, m->log[i].event))
            return false;
    return true;
}

static void compare_tips(const model *m, store_core *s)
{
    tips_reply out;
    tip_row tip;
    uint64_t tips = 0, entries = 0, changed = 0;
    cr_assert_eq(store_tips(s, &out), ERR_OK);
    while (msg_list_next(&tip_row_desc, &out.tips, &tip)) {
        const model_event *e = &m->events[m->log[tip.offset - 1].event];
        cr_assert(e->feed == tip.feed && e->seq == tip.seq && event_id_eq(&e->id, &tip.id));
        cr_assert_not(model_has_next(m, m->log[tip.offset - 1].event, tip.feed));
        tips++;
        if (tip.sealed_seq == 0)
            continue;
        entries++;
        bool found = false;
        for (uint64_t i = 1; i <= m->head; i++) {
            const model_event *o = &m->events[m->log[i - 1].event];
            if (m->log[i - 1].target == 0 && event_id_eq(&o->id, &tip.sealed_id))
                found = o->seq == tip.sealed_seq && is_frontier(m, i);
        }
        cr_assert(found);
    }
    for (uint64_t i = 1; i <= m->head; i++) {
        const model_slot *slot = &m->log[i - 1];
        changed += slot->target != 0;
        tips -= slot->target == 0 && !model_has_next(m, slot->event, m->events[slot->event].feed);
        entries -= is_frontier(m, i);
    }
    cr_assert_eq(tips, 0);
    cr_assert_eq(entries, 0);
    cr_assert_eq(out.events, m->head - changed);
}

static void check_run(const model *m, const run_reply *out, const run_request *req, int tip)
{
    run decoded;
    run_item item;
    int way = -1;
    cr_assert_eq(run_decode(out->run, &decoded), ERR_OK);
    cr_assert_eq(decoded.first_seq, req->after_seq + 1);
    for (run_iter it = run_items(&decoded); run_next(&it, &item);) {
        int found = -1;
        for (uint64_t i = 0; i < m->head && found < 0; i++) {
            const model_event *e = &m->events[m->log[i].event];
            if (m->log[i].target == 0 && e->feed == req->feed && e->seq == item.seq &&
                bytes_eq(item.data, bytes_of(e->body, e->body_len)) &&
                (way < 0 ? event_id_eq(&e->prev, &decoded.previous) : e->parent == way)) {
                found = m->log[i].event;
                cr_assert_eq(item.seal != NULL, m->log[i].sealed);
            }
        }
        cr_assert(found >= 0);
        way = found;
    }
    cr_assert(model_is_ancestor(m, tip, way) || model_is_ancestor(m, way, tip));
    bool left = false; /* a later run towards the tip */
    for (uint64_t i = 0; i < m->head; i++)
        left |= m->log[i].target == 0 && m->log[i].sealed && m->log[i].event != way &&
                m->events[way].seq < req->tip_seq && model_is_ancestor(m, way, m->log[i].event) &&
                (model_is_ancestor(m, tip, m->log[i].event) ||
                 model_is_ancestor(m, m->log[i].event, tip));
    cr_assert(left ? out->more : !out->more || m->events[way].seq < req->tip_seq);
}

static void compare_run(const model *m, store_core *s, prop_rng *r)
{
    int tip = (int)prop_below(r, (uint64_t)m->n_events);
    int after = tip, other = (int)prop_below(r, (uint64_t)m->n_events);
    for (uint64_t n = prop_below(r, 60); n > 0 && after >= 0; n--)
        after = m->events[after].parent;
    if (prop_below(r, 4) == 0 && m->events[other].feed == m->events[tip].feed)
        after = other;
    run_request req = {.feed = m->events[tip].feed,
                       .tip_seq = m->events[tip].seq,
                       .tip_id = m->events[tip].id,
                       .max_bytes = 1 + (uint32_t)prop_below(r, 4000)};
    if (after >= 0) {
        req.after_seq = m->events[after].seq;
        req.after_id = m->events[after].id;
    }
    run_reply out;
    err_t e = store_run(s, &req, &out);
    bool good = model_held(m, tip) != 0 && model_is_ancestor(m, after, tip);
    cr_assert_eq(e, good ? ERR_OK : ERR_NOT_FOUND, "%s", err_name(e));
    if (!good)
        return;
    bool sealed = false; /* something after `after` on a way through or towards the tip */
    for (uint64_t i = 0; i < m->head; i++) {
        int at = m->log[i].event;
        sealed |= m->log[i].target == 0 && m->log[i].sealed && at != after && after != tip &&
                  model_is_ancestor(m, after, at) &&
                  (model_is_ancestor(m, tip, at) || model_is_ancestor(m, at, tip)) &&
                  m->events[at].feed == req.feed;
    }
    cr_assert_eq(out.run.len != 0, sealed);
    if (sealed)
        check_run(m, &out, &req, tip);
}

static void compare_locate(const model *m, store_core *s, prop_rng *r)
{
    const model_event *e = &m->events[prop_below(r, (uint64_t)m->n_events)];
    locate_request req = {.feed = e->feed, .seq = e->seq};
    locate_reply out;
    place_row held;
    uint64_t n = 0;
    cr_assert_eq(store_locate(s, &req, &out), ERR_OK);
    for (; msg_list_next(&place_row_desc, &out.places, &held); n++) {
        const model_slot *slot = &m->log[held.offset - 1];
        const model_event *o = &m->events[slot->event];
        cr_assert(slot->target == 0 && o->feed == e->feed && o->seq == e->seq);
        cr_assert(event_id_eq(&held.id, &o->id) && held.flags == slot->flags);
    }
    for (uint64_t i = 0; i < m->head; i++) {
        const model_event *o = &m->events[m->log[i].event];
        n -= m->log[i].target == 0 && o->feed == e->feed && o->seq == e->seq;
    }
    cr_assert_eq(n, 0);
}

void model_compare(const model *m, store_core *s, prop_rng *r)
{
    cr_assert_eq(store_head(s), m->head);
    compare_fetch(m, s, r, "");
    compare_fetch(m, s, r, "c1");
    compare_streams(m, s, r);
    compare_tips(m, s);
    for (int i = 0; i < 4 && m->n_events != 0; i++) {
        compare_stream(m, s, r);
        compare_feed(m, s, r);
        compare_run(m, s, r);
        compare_locate(m, s, r);
    }
}
