#include "cli/erase_plan.h"

#include "cli/out.h"
#include "projection/record_core.h"
#include "proto/event.h"
#include "proto/row.h"

#include <stdlib.h>

#define PAGE 1024u

void erase_plan_release(erase_plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->at[i].body);
        free(p->at[i].names);
    }
    free(p->at);
    *p = (erase_plan){0};
}

bool erase_writes(const erase_target *t, const char *field)
{
    for (uint32_t i = 0; i < t->n_names; i++)
        if (bytes_is(t->names[i], field))
            return true;
    return false;
}

/* ---- targets ---- */

static bool keep_names(erase_target *t)
{
    t->n_names = record_names(t->kind, t->payload, NULL, 0);
    t->names = calloc(t->n_names + 1, sizeof *t->names);
    if (t->names != NULL)
        (void)record_names(t->kind, t->payload, t->names, t->n_names);
    return t->names != NULL;
}

/* The row's own copy; its views are taken from that. */
static bool fill(erase_target *t, const stored_row *row)
{
    event_view v;
    *t = (erase_target){.feed = row->feed,
                        .seq = row->seq,
                        .id = row->id,
                        .hidden = (row->flags & ROW_HIDDEN) != 0,
                        .body = malloc(row->body.len + 1)};
    if (t->body == NULL)
        return false;
    memcpy(t->body, row->body.p, row->body.len);
    bytes body = bytes_of(t->body, row->body.len);
    err_t e = row->flags & ROW_ERASED ? event_parse_erased(body, &v) : event_parse(body, &v);
    t->category = v.category;
    t->stream = v.stream;
    t->kind = v.kind;
    t->payload = v.payload;
    return e == ERR_OK && keep_names(t);
}

static bool add(erase_plan *p, const stored_row *row)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 16;
        erase_target *grown = cap <= BATCH_MAX_EVENTS ? realloc(p->at, cap * sizeof *grown) : NULL;
        if (grown == NULL) {
            node_fail("more than %u events at once: erase it field by field", BATCH_MAX_EVENTS / 2);
            return false;
        }
        p->at = grown;
        p->cap = cap;
    }
    if (fill(&p->at[p->n], row)) {
        p->n++;
        return true;
    }
    free(p->at[p->n].body);
    free(p->at[p->n].names);
    node_fail("%s", err_text(ERR_NO_MEMORY));
    return false;
}

/* Can such a row be erased, and why not? */
static const char *hindrance(const stored_row *row)
{
    event_view v;
    if (row->flags & ROW_DAMAGED)
        return "it is damaged here";
    err_t e =
        row->flags & ROW_ERASED ? event_parse_erased(row->body, &v) : event_parse(row->body, &v);
    if (e != ERR_OK || v.opaque)
        return "this version does not understand it";
    if (bytes_is(v.category, EVENT_OWN_CATEGORY))
        return "the roster and the looks of forms cannot be erased";
    return bytes_is(v.kind, EVENT_KIND_ERASE) ? "an erasure cannot be erased" : NULL;
}

/* ---- a record ---- */

static bool is_asked_for(const erase_target *t, char *const *fields, size_t n)
{
    bool any = n == 0;
    for (size_t i = 0; i < n && !any; i++)
        any = erase_writes(t, fields[i]);
    return any;
}

static bool take_page(erase_plan *p, msg_list rows, char *const *fields, size_t n_fields)
{
    stored_row row;
    while (msg_list_next(&stored_row_desc, &rows, &row)) {
        if ((row.flags & ROW_CHANGED) != 0 || hindrance(&row) != NULL)
            continue;
        if (!add(p, &row))
            return false;
        if (is_asked_for(&p->at[p->n - 1], fields, n_fields))
            continue;
        p->n--;
        p->others++;
        free(p->at[p->n].body);
        free(p->at[p->n].names);
    }
    return true;
}

bool erase_plan_stream(erase_plan *p, node *n, bytes form, bytes record, char *const *fields,
                       size_t n_fields)
{
    rows_reply reply;
    read_stream_request req = {.category = form, .stream = record, .max = PAGE};
    do {
        if (node_ask_read_stream(n, &req, &reply) != ERR_OK ||
            !take_page(p, reply.rows, fields, n_fields))
            return false;
        req.from = reply.next;
    } while (!reply.caught_up && reply.rows.n > 0);
    return true;
}

/* ---- one event ---- */

bool erase_plan_event(erase_plan *p, node *n, const char *text)
{
    rows_reply reply;
    stored_row row;
    read_feed_request req = {.max = 16};
    uint16_t prefix = 0;
    bool full = out_ref_parse(text, &req.feed, &req.from_seq, &prefix), found = false;
    if (!full && !out_ref_read(text, &req.feed, &req.from_seq)) {
        node_fail("\"%s\" names no event: cairn log and cairn show print names like 3-17", text);
        return false;
    }
    req.to_seq = req.from_seq;
    if (node_ask_read_feed(n, &req, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&stored_row_desc, &reply.rows, &row)) {
        if (full && get_u16be(row.id.b) != prefix)
            continue;
        const char *why = hindrance(&row);
        if (why != NULL) {
            node_fail("%s: %s", text, why);
            return false;
        }
        if (!add(p, &row))
            return false;
        found = true;
    }
    if (!found)
        node_fail("there is no event %s here", text);
    return found;
}
