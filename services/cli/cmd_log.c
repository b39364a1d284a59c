/* cairn log: the events in order of arrival, as they arrive with -f. */
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "proto/event.h"
#include "proto/row.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 1024u

typedef struct {
    const cmdline *line;
    node n;
    buf json;
    bool as_json;
} log_reader;

static void words_of_flags(const stored_row *row, char out[64])
{
    snprintf(out, 64, "%s%s%s%s", row->flags & ROW_DAMAGED ? " damaged" : "",
             row->flags & ROW_COUNTS ? "" : " does-not-count",
             row->flags & ROW_OPAQUE ? " not-understood" : "",
             row->flags & ROW_HIDDEN   ? " erased"
             : row->flags & ROW_ERASED ? " contents-missing"
                                       : "");
}

/* What is hidden may still lie on the disk for a while; nobody is shown it. */
static bytes shown(const stored_row *row, bytes value)
{
    return row->flags & ROW_HIDDEN ? bytes_of(NULL, 0) : value;
}

static void print_json(log_reader *l, const stored_row *row, const event_view *v)
{
    buf *b = &l->json;
    out_open(b);
    out_u64(b, "offset", row->offset);
    out_u64(b, "feed", row->feed);
    out_u64(b, "seq", row->seq);
    out_hex(b, "id", row->id.b, sizeof row->id.b);
    out_bool(b, "counts", (row->flags & ROW_COUNTS) != 0);
    out_bool(b, "sealed", row->seal.len > 0);
    out_time(b, "received", row->received_ms);
    if (row->flags & ROW_CHANGED)
        out_u64(b, "changed", row->parent);
    if (v != NULL) {
        out_time(b, "recorded", v->stamp.wall_ms);
        out_str(b, "category", v->category);
        out_str(b, "stream", v->stream);
        out_u64(b, "position", row->position);
        out_str(b, "kind", v->kind);
        out_value(b, "replaces", v->replaces);
        out_value(b, "payload", shown(row, v->payload));
        out_value(b, "attributes", shown(row, v->attributes));
    }
    if (row->flags & (ROW_OPAQUE | ROW_ERASED | ROW_HIDDEN | ROW_DAMAGED)) {
        out_bool(b, "opaque", (row->flags & ROW_OPAQUE) != 0);
        out_bool(b, "erased", (row->flags & ROW_HIDDEN) != 0);
        out_bool(b, "here", (row->flags & ROW_ERASED) == 0);
        out_bool(b, "damaged", (row->flags & ROW_DAMAGED) != 0);
    }
    out_close(b);
}

static void print_words(const stored_row *row, const event_view *v)
{
    char ref[OUT_REF_BYTES], when[32], payload[100] = "", flags[64];
    out_ref(ref, row->feed, row->seq);
    if (row->flags & ROW_CHANGED) {
        printf("%8llu  %-12s  now %s%s\n", (unsigned long long)row->offset, ref,
               row->flags & ROW_COUNTS ? "counts" : "does not count",
               row->flags & ROW_HIDDEN ? ", erased" : "");
        return;
    }
    clock_text(when, v != NULL ? v->stamp.wall_ms : row->received_ms, false);
    words_of_flags(row, flags);
    if (v != NULL)
        out_short(payload, sizeof payload, shown(row, v->payload));
    printf("%8llu  %-12s  %s  %.*s/%.*s  %.*s  %s%s\n", (unsigned long long)row->offset, ref, when,
           v != NULL ? (int)v->category.len : 0, v != NULL ? (const char *)v->category.p : "",
           v != NULL ? (int)v->stream.len : 0, v != NULL ? (const char *)v->stream.p : "",
           v != NULL ? (int)v->kind.len : 0, v != NULL ? (const char *)v->kind.p : "", payload,
           flags);
}

static void print_row(log_reader *l, const stored_row *row)
{
    event_view v;
    const event_view *view = NULL;
    const char *stream = cmdline_get(l->line, "stream"), *feed = cmdline_get(l->line, "feed");
    err_t e =
        row->flags & ROW_ERASED ? event_parse_erased(row->body, &v) : event_parse(row->body, &v);
    if (e == ERR_OK && !v.opaque && !(row->flags & (ROW_CHANGED | ROW_DAMAGED)))
        view = &v;
    if (stream != NULL && (view == NULL || !bytes_is(view->stream, stream)))
        return;
    if (feed != NULL && row->feed != strtoul(feed, NULL, 10))
        return;
    if (l->as_json)
        print_json(l, row, view);
    else
        print_words(row, view);
}

static int follow(log_reader *l, bool wait)
{
    const char *category = cmdline_get(l->line, "category"), *after = cmdline_get(l->line, "after");
    fetch_request req = {.max = PAGE, .category = bytes_str(category != NULL ? category : "")};
    rows_reply reply = {0};
    stored_row row;
    req.after = after != NULL ? strtoull(after, NULL, 10) : 0;
    while (!interrupted) {
        req.wait_ms = wait && reply.caught_up ? 1000 : 0;
        err_t e = node_try_fetch(&l->n, NODE_WAIT_MS, &req, &reply);
        if (e == ERR_EPOCH && wait) { /* another database: its offsets mean something else */
            req.epoch = req.after = 0;
            continue;
        }
        if (interrupted)
            return 0;
        if (e != ERR_OK)
            return node_fail("%.*s", (int)l->n.words.len, (const char *)l->n.words.p);
        while (msg_list_next(&stored_row_desc, &reply.rows, &row))
            print_row(l, &row);
        if (fflush(stdout) != 0)
            return 1;
        req.epoch = reply.epoch;
        req.after = reply.next;
        if (reply.caught_up && !wait)
            return 0;
    }
    return 0;
}

int cmd_log(const cmdline *c)
{
    log_reader l = {.line = c, .as_json = cmdline_has(c, "json")};
    int status = 1;
    interrupt_catch();
    buf_init(&l.json, 8 * EVENT_MAX_BYTES);
    if (node_open(&l.n, cmdline_get(c, "home"), true))
        status = follow(&l, cmdline_has(c, "follow"));
    node_close(&l.n);
    buf_release(&l.json);
    return status;
}
