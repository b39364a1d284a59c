#include "cli/import_batch.h"

#include "cli/live_refs.h"
#include "proto/event.h"
#include "proto/row.h"
#include "pure/roster_event.h"
#include "pure/value.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define GATHER_MAX       512u
#define GATHER_MAX_BYTES (512u << 10)
#define LOOK_MS          20000u

typedef struct {
    import_batch *batch;
    char record[STREAM_MAX_BYTES + 1];
    size_t at, len; /* payload in b->bodies */
    size_t attr_at, attr_len;
    uint64_t held; /* events of its stream here */
    buf imported;  /* map: what imports last wrote to each field; empty when nothing is here */
    buf change;    /* payload of the edit */
    live_refs live;
    enum { ROW_NEW, ROW_EDIT, ROW_SAME } kind;
} gathered;

struct import_batch {
    node *n;
    const char *form;
    gathered rows[GATHER_MAX];
    size_t n_rows;
    buf bodies;
    import_counts counts;
    size_t waiting;
    err_t failed;
};

import_batch *import_batch_new(node *n, const char *form)
{
    import_batch *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->n = n;
    b->form = form;
    buf_init(&b->bodies, GATHER_MAX_BYTES + 4 * EVENT_MAX_BYTES);
    return b;
}

static void clear(import_batch *b)
{
    for (size_t i = 0; i < b->n_rows; i++) {
        buf_release(&b->rows[i].imported);
        buf_release(&b->rows[i].change);
        live_refs_release(&b->rows[i].live);
    }
    b->n_rows = 0;
    buf_clear(&b->bodies);
}

void import_batch_free(import_batch *b)
{
    if (b == NULL)
        return;
    clear(b);
    buf_release(&b->bodies);
    free(b);
}

import_counts import_batch_counts(const import_batch *b)
{
    return b->counts;
}

/* ---- what is here ---- */

/* Lays the fields of `over` upon those of `under`, both maps with sorted keys; into `out`. */
static void overlay(bytes under, bytes over, buf *out)
{
    buf pairs;
    value_map a = {{NULL, 0}, 0}, b = {{NULL, 0}, 0};
    bytes ka, va, kb, vb;
    uint32_t n = 0;
    buf_init(&pairs, 4 * EVENT_MAX_BYTES);
    bool more_a = value_map_open(under, &a) && value_map_next(&a, &ka, &va);
    bool more_b = value_map_open(over, &b) && value_map_next(&b, &kb, &vb);
    while (more_a || more_b) {
        int c = !more_a ? 1 : !more_b ? -1 : bytes_cmp(ka, kb);
        mp_put_str(&pairs, c < 0 ? ka : kb);
        buf_add_bytes(&pairs, c < 0 ? va : vb);
        n++;
        if (c <= 0)
            more_a = value_map_next(&a, &ka, &va);
        if (c >= 0)
            more_b = value_map_next(&b, &kb, &vb);
    }
    mp_put_map(out, n);
    buf_add_bytes(out, buf_view(&pairs));
    buf_release(&pairs);
}

/* Imports write to bulk feeds: what people corrected since is not undone by an old file. */
static void note_import(gathered *g, const stored_row *row)
{
    event_view v;
    buf next;
    if (feed_class_of(row->feed) != CLASS_BULK || !(row->flags & ROW_COUNTS) ||
        event_parse(row->body, &v) != ERR_OK || v.opaque ||
        (!bytes_is(v.kind, "record.create") && !bytes_is(v.kind, "field.set")))
        return;
    buf_init(&next, 4 * EVENT_MAX_BYTES);
    overlay(buf_view(&g->imported), v.payload, &next);
    buf_release(&g->imported);
    g->imported = next;
}

static void on_stream(void *ctx, err_t e, const char *text, const void *reply)
{
    gathered *g = ctx;
    const rows_reply *r = reply;
    stored_row row;
    g->batch->waiting--;
    if (e != ERR_OK) {
        if (g->batch->failed == ERR_OK)
            node_fail("%s", text);
        g->batch->failed = e;
        return;
    }
    g->held = r->head;
    for (msg_list rows = r->rows; msg_list_next(&stored_row_desc, &rows, &row);)
        note_import(g, &row);
}

/* Asks about all gathered records at once. */
static bool look_all(import_batch *b)
{
    clnt *store = node_client(b->n, "store");
    b->waiting = 0;
    b->failed = ERR_OK;
    for (size_t i = 0; store != NULL && i < b->n_rows; i++) {
        gathered *g = &b->rows[i];
        read_stream_request req = {
            .category = bytes_str(b->form), .stream = bytes_str(g->record), .max = 256};
        b->failed = store_clnt_read_stream_within(store, LOOK_MS, &req, on_stream, g);
        if (b->failed != ERR_OK)
            break;
        b->waiting++;
    }
    while (store != NULL && b->waiting > 0) {
        mono_ms next = clnt_pump(store), now = clock_mono();
        zmq_pollitem_t item = {.socket = clnt_socket(store), .events = ZMQ_POLLIN};
        if (b->waiting > 0)
            (void)zmq_poll(&item, 1, next.ms > now.ms ? (long)(next.ms - now.ms) : 0);
    }
    return store != NULL && b->failed == ERR_OK;
}

/* ---- what to write ---- */

static bool prepare_edit(import_batch *b, gathered *g)
{
    store_hello_reply hello;
    record_reply reply;
    if (node_ask_store_hello(b->n, &(store_hello_request){0}, &hello) != ERR_OK)
        return false;
    record_request req = {
        .form = bytes_str(b->form), .record = bytes_str(g->record), .min_offset = hello.head};
    if (node_ask_record(b->n, &req, &reply) != ERR_OK)
        return false;
    if (live_refs_take(&g->live, &reply, buf_view(&g->change)) == ERR_OK)
        return true;
    node_fail("%s: too many live values to replace at once; resolve its conflicts first",
              g->record);
    return false;
}

static bool decide(import_batch *b, gathered *g)
{
    uint32_t changed = 0;
    bytes now = bytes_of(b->bodies.p + g->at, g->len);
    if (g->held == 0) {
        g->kind = ROW_NEW;
        return true;
    }
    g->kind = ROW_SAME;
    if (g->imported.len == 0) /* typed in by people, not by an import: theirs to change */
        return true;
    if (infer_changes(buf_view(&g->imported), now, &g->change, &changed) != ERR_OK)
        return node_fail("%s: out of memory", g->record) == 0;
    if (changed == 0)
        return true;
    g->kind = ROW_EDIT;
    return prepare_edit(b, g);
}

static emit_row row_of(const import_batch *b, const gathered *g)
{
    bool edit = g->kind == ROW_EDIT;
    return (emit_row){.category = bytes_str(b->form),
                      .stream = bytes_str(g->record),
                      .kind = bytes_str(edit ? "field.set" : "record.create"),
                      .payload =
                          edit ? buf_view(&g->change) : bytes_of(b->bodies.p + g->at, g->len),
                      .attributes = bytes_of(b->bodies.p + g->attr_at, g->attr_len),
                      .replaces = MSG_LIST_OF(g->live.refs, g->live.n)};
}

static bool emit_rows(import_batch *b, const emit_row *rows, size_t n)
{
    uint8_t key[16];
    char idem[33];
    emit_reply reply;
    if (n == 0)
        return true;
    random_fill(key, sizeof key);
    hex_encode(idem, key, sizeof key);
    emit_request req = {
        .feed_class = CLASS_BULK, .idem = bytes_str(idem), .events = MSG_LIST_OF(rows, n)};
    if (node_try_emit(b->n, MERGE_CLNT_WRITE_MS, &req, &reply) == ERR_OK)
        return true;
    node_fail("%.*s", (int)b->n->words.len, (const char *)b->n->words.p);
    return false;
}

bool import_batch_flush(import_batch *b)
{
    emit_row rows[GATHER_MAX];
    size_t n = 0;
    bool ok = b->n_rows == 0 || look_all(b);
    for (size_t i = 0; ok && i < b->n_rows; i++) {
        ok = decide(b, &b->rows[i]);
        if (ok && b->rows[i].kind != ROW_SAME)
            rows[n++] = row_of(b, &b->rows[i]);
    }
    ok = ok && emit_rows(b, rows, n);
    for (size_t i = 0; ok && i < b->n_rows; i++) {
        b->counts.added += b->rows[i].kind == ROW_NEW;
        b->counts.changed += b->rows[i].kind == ROW_EDIT;
        b->counts.unchanged += b->rows[i].kind == ROW_SAME;
    }
    clear(b);
    return ok;
}

bool import_batch_add(import_batch *b, const infer_record *r)
{
    if ((b->n_rows == GATHER_MAX || b->bodies.len > GATHER_MAX_BYTES) && !import_batch_flush(b))
        return false;
    gathered *g = &b->rows[b->n_rows++];
    *g = (gathered){.batch = b, .at = b->bodies.len, .len = r->payload.len};
    buf_init(&g->imported, 4 * EVENT_MAX_BYTES);
    buf_init(&g->change, EVENT_MAX_BYTES);
    live_refs_init(&g->live);
    memcpy(g->record, r->record, sizeof g->record);
    buf_add_bytes(&b->bodies, r->payload);
    g->attr_at = b->bodies.len;
    if (r->has_at) {
        mp_put_map(&b->bodies, 1);
        mp_put_cstr(&b->bodies, "at");
        mp_put_uint(&b->bodies, r->at_ms);
    }
    g->attr_len = b->bodies.len - g->attr_at;
    return b->bodies.err == ERR_OK || node_fail("out of memory") == 0;
}

/* ---- the order of the columns ---- */

static bool newest_is(const rows_reply *r, bytes payload)
{
    stored_row row;
    event_view v;
    bool same = false;
    for (msg_list rows = r->rows; msg_list_next(&stored_row_desc, &rows, &row);)
        if ((row.flags & ROW_COUNTS) != 0 && event_parse(row.body, &v) == ERR_OK && !v.opaque)
            same = bytes_is(v.kind, "form.columns") && bytes_eq(v.payload, payload);
    return same;
}

bool import_batch_columns(import_batch *b, const infer_form *f)
{
    char stream[STREAM_MAX_BYTES + 8];
    rows_reply reply;
    buf payload;
    snprintf(stream, sizeof stream, "form/%s", b->form);
    read_stream_request req = {
        .category = bytes_str(ROSTER_CATEGORY), .stream = bytes_str(stream), .max = 4096};
    if (node_ask_read_stream(b->n, &req, &reply) != ERR_OK)
        return false;
    buf_init(&payload, EVENT_MAX_BYTES);
    infer_put_columns(f, &payload);
    emit_row row = {.category = bytes_str(ROSTER_CATEGORY),
                    .stream = bytes_str(stream),
                    .kind = bytes_str("form.columns"),
                    .payload = buf_view(&payload)};
    bool ok =
        payload.err == ERR_OK && (newest_is(&reply, buf_view(&payload)) || emit_rows(b, &row, 1));
    buf_release(&payload);
    return ok;
}
