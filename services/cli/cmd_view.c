/* ls, show, conflicts: what is known, by whom, when, and which values compete. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "pure/value.h"
#include "shell/clock.h"

#include <stdio.h>

#define PAGE 512u

typedef struct {
    node n;
    const cmdline *line;
    bool as_json;
    buf json;
    uint64_t head;
} view;

uint64_t cmd_view_head(node *n)
{
    store_hello_reply hello;
    views_reply views;
    if (node_try_store_hello(n, 2000, &(store_hello_request){0}, &hello) != ERR_OK)
        return 0;
    views_request req = {.min_offset = hello.head};
    err_t e = node_try_views(n, NODE_WAIT_MS, &req, &views);
    if (e != ERR_FULL && e != ERR_READ_ONLY && e != ERR_IO)
        return hello.head;
    fprintf(stderr, "cairn: %.*s\n", (int)n->words.len, (const char *)n->words.p);
    return 0;
}

static bool view_open(view *v, const cmdline *c)
{
    *v = (view){.line = c, .as_json = cmdline_has(c, "json")};
    buf_init(&v->json, 8u << 20);
    if (!node_open(&v->n, cmdline_get(c, "home"), true))
        return false;
    v->head = cmd_view_head(&v->n);
    return true;
}

static int view_close(view *v, int status)
{
    node_close(&v->n);
    buf_release(&v->json);
    return status;
}

/* ---- ls ---- */

static void row_json(view *v, const record_row *r)
{
    out_open(&v->json);
    out_str(&v->json, "form", r->form);
    out_str(&v->json, "record", r->record);
    out_value(&v->json, "fields", r->fields);
    out_u64(&v->json, "events", r->events);
    out_u64(&v->json, "conflicts", r->conflicts);
    out_bool(&v->json, "deleted", r->deleted);
    out_str(&v->json, "author", r->author);
    out_time(&v->json, "created", r->created_ms);
    out_time(&v->json, "changed", r->changed_ms);
    out_close(&v->json);
}

/* The first fields that say something, in one cell. */
static void first_fields(char *out, size_t max, bytes fields)
{
    value_map m;
    bytes key, value;
    size_t n = 0;
    out[0] = '\0';
    if (!value_map_open(fields, &m))
        return;
    while (n + 40 < max && value_map_next(&m, &key, &value)) {
        char text[32];
        out_short(text, sizeof text, value);
        int w = snprintf(out + n, max - n, "%s%.*s=%s", n > 0 ? " " : "",
                         (int)(key.len < 40 ? key.len : 40), (const char *)key.p, text);
        n = w > 0 && (size_t)w < max - n ? n + (size_t)w : max;
    }
    out[max - 1] = '\0';
}

static void row_cells(out_table *t, const record_row *r)
{
    char form[CATEGORY_MAX_BYTES + 1], record[STREAM_MAX_BYTES + 1], author[NAME_MAX_BYTES + 1],
        when[32], fields[120], state[48];
    snprintf(form, sizeof form, "%.*s", (int)r->form.len, (const char *)r->form.p);
    snprintf(record, sizeof record, "%.*s", (int)r->record.len, (const char *)r->record.p);
    snprintf(author, sizeof author, "%.*s", (int)r->author.len, (const char *)r->author.p);
    clock_text(when, r->changed_ms, false);
    first_fields(fields, sizeof fields, r->fields);
    snprintf(state, sizeof state, "%s", r->deleted ? "deleted" : "");
    if (r->conflicts > 0)
        snprintf(state, sizeof state, "%u conflict%s%s", r->conflicts, r->conflicts > 1 ? "s" : "",
                 r->deleted ? ", deleted" : "");
    out_table_row(t, (const char *const[]){form, record, author, when, state, fields, NULL});
}

/* Pages through the records; `each` returns false to stop. Returns 0 or the exit code. */
static int each_record(view *v, bool only_conflicts,
                       bool (*each)(view *v, const record_row *r, void *arg), void *arg)
{
    char form[CATEGORY_MAX_BYTES + 1] = "", record[STREAM_MAX_BYTES + 1] = "";
    const char *only = cmdline_arg_count(v->line) > 0 ? cmdline_arg(v->line, 0) : "";
    records_reply reply = {.more = true};
    while (reply.more) {
        records_request req = {.form = bytes_str(only),
                               .after_form = bytes_str(form),
                               .after_record = bytes_str(record),
                               .max = PAGE,
                               .min_offset = v->head,
                               .only_conflicts = only_conflicts};
        record_row r;
        if (node_ask_records(&v->n, &req, &reply) != ERR_OK)
            return 1;
        while (msg_list_next(&record_row_desc, &reply.records, &r)) {
            snprintf(form, sizeof form, "%.*s", (int)r.form.len, (const char *)r.form.p);
            snprintf(record, sizeof record, "%.*s", (int)r.record.len, (const char *)r.record.p);
            if (!each(v, &r, arg))
                return 0;
        }
    }
    return 0;
}

static bool list_one(view *v, const record_row *r, void *arg)
{
    if (v->as_json)
        row_json(v, r);
    else
        row_cells(arg, r);
    return true;
}

int cmd_ls(const cmdline *c)
{
    static const char *const columns[] = {"FORM",  "RECORD", "BY", "CHANGED",
                                          "STATE", "FIELDS", NULL};
    view v;
    if (!view_open(&v, c))
        return view_close(&v, 1);
    out_table *t = v.as_json ? NULL : out_table_new(columns);
    int status = each_record(&v, false, list_one, t);
    out_table_print(t);
    return view_close(&v, status);
}

/* ---- show ---- */

static void write_json(buf *b, const write_row *w)
{
    char ref[OUT_REF_BYTES];
    out_begin(b, NULL, '{');
    out_str(b, "what", w->what);
    out_str(b, "name", w->name);
    out_value(b, "value", w->value);
    out_ref_full(ref, w->feed, w->seq, w->prefix);
    out_cstr(b, "ref", ref);
    out_time(b, "recorded", w->wall_ms);
    out_time(b, "at", w->at_ms);
    out_str(b, "by", w->by);
    out_str(b, "author", w->author);
    out_str(b, "why", w->why);
    out_bool(b, "live", w->live);
    out_bool(b, "shown", w->shown);
    out_str(b, "mark", w->mark);
    out_end(b, '}');
}

/* Writes n of the list, or as many as are left; what follows them stays in the list. */
static void writes_json(buf *b, const char *name, msg_list *list, size_t n)
{
    write_row w;
    out_begin(b, name, '[');
    while (n-- > 0 && msg_list_next(&write_row_desc, list, &w))
        write_json(b, &w);
    out_end(b, ']');
}

static void record_json(view *v, const record_reply *r)
{
    msg_list writes = r->writes, anomalies = r->anomalies;
    out_open(&v->json);
    out_str(&v->json, "form", r->form);
    out_str(&v->json, "record", r->record);
    out_bool(&v->json, "deleted", r->deleted);
    out_u64(&v->json, "events", r->events);
    out_u64(&v->json, "conflicts", r->conflicts);
    writes_json(&v->json, "writes", &writes, r->live);
    writes_json(&v->json, "history", &writes, SIZE_MAX);
    out_bool(&v->json, "more_history", r->more);
    writes_json(&v->json, "anomalies", &anomalies, SIZE_MAX);
    out_close(&v->json);
}

static void write_cells(out_table *t, const write_row *w, bool competing)
{
    char name[128], value[100], who[NAME_MAX_BYTES + 64], when[32], ref[OUT_REF_BYTES],
        mark[ERROR_TEXT_MAX_BYTES + 32];
    bool named = w->name.len > 0;
    snprintf(name, sizeof name, "%.*s%s%.*s",
             named && bytes_is(w->what, "field") ? 0 : (int)w->what.len, (const char *)w->what.p,
             named && !bytes_is(w->what, "field") ? " " : "",
             (int)(w->name.len < 80 ? w->name.len : 80), (const char *)w->name.p);
    out_short(value, sizeof value, w->value);
    snprintf(who, sizeof who, "%.*s%s%.*s", (int)w->author.len, (const char *)w->author.p,
             w->by.len > 0 ? " / " : "", (int)(w->by.len < 60 ? w->by.len : 60),
             (const char *)w->by.p);
    clock_text(when, w->wall_ms, false);
    out_ref(ref, w->feed, w->seq);
    snprintf(mark, sizeof mark, "%s%s%.*s",
             !w->live    ? ""
             : competing ? "CONFLICT"
                         : "",
             competing && w->live && w->mark.len > 0 ? ", " : "", (int)w->mark.len,
             (const char *)w->mark.p);
    out_table_row(t, (const char *const[]){name, value, who, when, ref, mark, NULL});
}

/* Writes of one name come one after the other: two live values in a row of them compete. */
static bool competes(const write_row *a, const write_row *b)
{
    return a->live && b->live && (bytes_is(a->what, "field") || bytes_is(a->what, "state")) &&
           bytes_eq(a->what, b->what) && bytes_eq(a->name, b->name) &&
           !bytes_eq(a->value, b->value);
}

static bool has_rival(msg_list list, const write_row *w)
{
    write_row other;
    while (msg_list_next(&write_row_desc, &list, &other))
        if (competes(w, &other))
            return true;
    return false;
}

static const char *const write_columns[] = {"FIELD", "VALUE", "BY", "RECORDED",
                                            "EVENT", "NOTE",  NULL};

static void record_table(const record_reply *r, bool only_rivals)
{
    out_table *t = out_table_new(write_columns);
    msg_list list = r->writes;
    write_row w;
    for (size_t i = 0; i < r->live && msg_list_next(&write_row_desc, &list, &w); i++) {
        bool rival = has_rival(r->writes, &w);
        if (!only_rivals || rival || w.mark.len > 0)
            write_cells(t, &w, rival);
    }
    for (list = r->anomalies; msg_list_next(&write_row_desc, &list, &w);)
        write_cells(t, &w, false);
    out_table_print(t);
}

/* What was ever written, in canonical order, behind what lives. */
static void history_table(const record_reply *r)
{
    out_table *t = out_table_new(write_columns);
    msg_list list = r->writes;
    write_row w;
    for (size_t i = 0; msg_list_next(&write_row_desc, &list, &w); i++)
        if (i >= r->live)
            write_cells(t, &w, false);
    printf("\nhistory\n");
    out_table_print(t);
    if (r->more)
        fprintf(stderr, "The history is longer: the rest is in the view's file, table history "
                        "(cairn projection ls names the file).\n");
}

static err_t ask_record(view *v, bytes form, bytes record, bool history, record_reply *r)
{
    record_request req = {
        .form = form, .record = record, .history = history, .min_offset = v->head};
    return node_ask_record(&v->n, &req, r);
}

int cmd_show(const cmdline *c)
{
    view v;
    record_reply r;
    const char *form = cmdline_get(c, "form");
    if (!view_open(&v, c))
        return view_close(&v, 1);
    if (ask_record(&v, bytes_str(form != NULL ? form : ""), bytes_str(cmdline_arg(c, 0)),
                   cmdline_has(c, "history"), &r) != ERR_OK)
        return view_close(&v, 1);
    if (v.as_json) {
        record_json(&v, &r);
    } else {
        printf("%.*s/%.*s%s\n", (int)r.form.len, (const char *)r.form.p, (int)r.record.len,
               (const char *)r.record.p, r.deleted ? "  (deleted)" : "");
        record_table(&r, false);
        if (cmdline_has(c, "history"))
            history_table(&r);
    }
    return view_close(&v, 0);
}

/* ---- conflicts ---- */

typedef struct {
    size_t n;
    bool failed;
} found;

static bool show_conflict(view *v, const record_row *row, void *arg)
{
    found *f = arg;
    record_reply r;
    char form[CATEGORY_MAX_BYTES + 1], record[STREAM_MAX_BYTES + 1];
    /* the row borrows the client's last reply, which the next question replaces */
    snprintf(form, sizeof form, "%.*s", (int)row->form.len, (const char *)row->form.p);
    snprintf(record, sizeof record, "%.*s", (int)row->record.len, (const char *)row->record.p);
    f->n++;
    if (ask_record(v, bytes_str(form), bytes_str(record), false, &r) != ERR_OK) {
        f->failed = true;
        return false;
    }
    if (v->as_json) {
        record_json(v, &r);
    } else {
        printf("%s%s/%s%s\n", f->n > 1 ? "\n" : "", form, record, r.deleted ? "  (deleted)" : "");
        record_table(&r, true);
    }
    return true;
}

/* Names are gathered first: asking for a record ends the page that named it. */
typedef struct {
    buf names; /* form NUL record NUL … */
} gathered;

static bool gather(view *v, const record_row *r, void *arg)
{
    gathered *g = arg;
    (void)v;
    buf_add_bytes(&g->names, r->form);
    buf_add_u8(&g->names, 0);
    buf_add_bytes(&g->names, r->record);
    buf_add_u8(&g->names, 0);
    return g->names.err == ERR_OK;
}

int cmd_conflicts(const cmdline *c)
{
    view v;
    gathered g;
    found f = {0};
    if (!view_open(&v, c))
        return view_close(&v, 1);
    buf_init(&g.names, 16u << 20);
    int status = each_record(&v, true, gather, &g);
    for (size_t at = 0; status == 0 && !f.failed && at < g.names.len;) {
        const char *form = (const char *)g.names.p + at, *record = form + strlen(form) + 1;
        record_row row = {.form = bytes_str(form), .record = bytes_str(record)};
        at += row.form.len + row.record.len + 2;
        (void)show_conflict(&v, &row, &f);
    }
    buf_release(&g.names);
    if (status == 0 && f.n == 0 && !v.as_json && !cmdline_has(c, "quiet"))
        fprintf(stderr, "No conflicts here.\n");
    else if (status == 0 && !v.as_json && !cmdline_has(c, "quiet"))
        fprintf(stderr, "\n%zu record%s. Resolve one with: cairn set RECORD field=value\n", f.n,
                f.n > 1 ? "s" : "");
    return view_close(&v, f.failed ? 1 : status);
}
