/* cairn export: records for other programs, on standard output or into a file. */
#include "cli/cmd.h"
#include "cli/export.h"
#include "cli/interrupt.h"
#include "cli/whole_file.h"
#include "pure/value.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 256u

typedef struct {
    node n;
    const cmdline *line;
    whole_file file;
    buf why; /* what went wrong with it */
    uint64_t head;
    char form[CATEGORY_MAX_BYTES + 1], after[STREAM_MAX_BYTES + 1];
    buf columns;
    /* one page, copied because a record with conflicts is asked for in between */
    buf page;
    msg_list rows;
    bool more;
    buf conflicts;
} exporting;

static bool write_out(void *ctx, bytes text)
{
    exporting *x = ctx;
    if (interrupted)
        buf_add_str(&x->why, "stopped: nothing was written");
    return !interrupted && whole_file_add(&x->file, text, &x->why);
}

/* What cannot be written to standard output is said when the program ends. */
static int cannot_write(const exporting *x)
{
    if (x->file.out != stdout || interrupted)
        node_fail("%.*s", (int)x->why.len, (const char *)x->why.p);
    return 1;
}

/* ---- records, page by page ---- */

static err_t rewind_pages(void *ctx)
{
    exporting *x = ctx;
    x->after[0] = '\0';
    x->rows = MSG_LIST_OF(NULL, 0);
    x->more = true;
    return ERR_OK;
}

static err_t next_page(exporting *x)
{
    records_reply reply;
    records_request req = {.form = bytes_str(x->form),
                           .after_form = bytes_str(x->after[0] != '\0' ? x->form : ""),
                           .after_record = bytes_str(x->after),
                           .max = PAGE,
                           .min_offset = x->head};
    TRY(node_try_records(&x->n, 60000, &req, &reply));
    buf_clear(&x->page);
    buf_add_bytes(&x->page, reply.records.raw);
    x->rows = (msg_list){NULL, reply.records.n, buf_view(&x->page)};
    x->more = reply.more;
    return x->page.err;
}

/* Names of the fields with several different live values, sorted, as a msgpack array. */
static err_t name_conflicts(exporting *x, bytes record)
{
    record_reply r;
    write_row a, b;
    buf names;
    uint32_t n = 0;
    bytes last = {NULL, 0}, value = {NULL, 0};
    record_request req = {.form = bytes_str(x->form), .record = record};
    TRY(node_try_record(&x->n, NODE_WAIT_MS, &req, &r));
    buf_init(&names, EVENT_MAX_BYTES);
    for (msg_list list = r.writes; msg_list_next(&write_row_desc, &list, &a);) {
        if (!a.live || !bytes_is(a.what, "field"))
            continue;
        if (last.p != NULL && bytes_eq(a.name, last) && !bytes_eq(a.value, value)) {
            mp_put_str(&names, a.name);
            n++;
            while (msg_list_next(&write_row_desc, &list, &b) && bytes_eq(b.name, last))
                a = b;
        }
        last = a.name;
        value = a.value;
    }
    buf_clear(&x->conflicts);
    mp_put_array(&x->conflicts, n);
    buf_add_bytes(&x->conflicts, buf_view(&names));
    buf_release(&names);
    return x->conflicts.err;
}

static err_t next_record(void *ctx, export_record *out, bool *end)
{
    exporting *x = ctx;
    record_row row;
    *end = false;
    do {
        while (x->rows.n == 0 && x->more)
            TRY(next_page(x));
        if (!msg_list_next(&record_row_desc, &x->rows, &row)) {
            *end = true;
            return ERR_OK;
        }
        snprintf(x->after, sizeof x->after, "%.*s", (int)row.record.len,
                 (const char *)row.record.p);
    } while (row.deleted);
    *out = (export_record){.record = bytes_str(x->after), .fields = row.fields};
    if (row.conflicts > 0) {
        TRY(name_conflicts(x, out->record));
        out->conflicts = buf_view(&x->conflicts);
    }
    return ERR_OK;
}

/* ---- which form ---- */

/* The named form, or the only one there is. */
static bool find_form(exporting *x)
{
    const char *wanted = cmdline_arg(x->line, 0);
    forms_reply reply;
    form_row row;
    size_t n = 0;
    forms_request req = {.min_offset = x->head};
    if (node_ask_forms(&x->n, &req, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&form_row_desc, &reply.forms, &row)) {
        if (wanted != NULL && !bytes_is(row.form, wanted))
            continue;
        n++;
        snprintf(x->form, sizeof x->form, "%.*s", (int)row.form.len, (const char *)row.form.p);
        buf_clear(&x->columns);
        buf_add_bytes(&x->columns, row.columns);
    }
    if (n == 1)
        return true;
    if (wanted != NULL)
        node_fail("there is no form %s here: see cairn ls", wanted);
    else
        node_fail(n == 0 ? "there are no records here" : "there are several forms here: name one");
    return false;
}

static int export_records(exporting *x, const char *format)
{
    export_options o = {.form = bytes_str(x->form)};
    const char *lat = cmdline_get(x->line, "lat"), *lon = cmdline_get(x->line, "lon");
    export_source source = {x, rewind_pages, next_record};
    export_sink sink = {x, write_out};
    if (!find_form(x))
        return 1;
    (void)export_format_of(format, &o.format);
    o.columns = buf_view(&x->columns);
    o.record_id = cmdline_has(x->line, "record-id");
    o.lat = bytes_str(lat != NULL ? lat : "");
    o.lon = bytes_str(lon != NULL ? lon : "");
    err_t e = export_run(&o, &source, &sink, NULL);
    if (x->why.len > 0)
        return cannot_write(x);
    if (e != ERR_OK)
        return node_fail("export of %s: %s", x->form,
                         x->n.words.len > 0 ? (const char *)x->n.words.p : err_text(e));
    return 0;
}

static int export_canonical(exporting *x)
{
    char form[CATEGORY_MAX_BYTES + 1] = "", record[STREAM_MAX_BYTES + 1] = "";
    const char *only = cmdline_arg(x->line, 0);
    canonical_reply r = {0};
    while (!r.done) {
        canonical_request req = {.form = bytes_str(only != NULL ? only : ""),
                                 .after_form = bytes_str(form),
                                 .after_record = bytes_str(record),
                                 .skip = r.skip,
                                 .min_offset = x->head};
        if (node_ask_canonical(&x->n, &req, &r) != ERR_OK)
            return 1;
        if (!write_out(x, r.lines))
            return cannot_write(x);
        snprintf(form, sizeof form, "%.*s", (int)r.after_form.len, (const char *)r.after_form.p);
        snprintf(record, sizeof record, "%.*s", (int)r.after_record.len,
                 (const char *)r.after_record.p);
    }
    return 0;
}

static int run(exporting *x)
{
    const char *path = cmdline_get(x->line, "output"), *format = cmdline_get(x->line, "format");
    x->head = cmd_view_head(&x->n);
    if (!whole_file_create(&x->file, path != NULL ? path : "-", &x->why))
        return cannot_write(x);
    int status = strcmp(format, "canonical") == 0 ? export_canonical(x) : export_records(x, format);
    if (status == 0 && !whole_file_commit(&x->file, &x->why))
        status = cannot_write(x);
    whole_file_discard(&x->file);
    return status;
}

int cmd_export(const cmdline *c)
{
    exporting x = {.line = c};
    interrupt_catch();
    buf_init(&x.why, 8192);
    buf_init(&x.columns, EVENT_MAX_BYTES);
    buf_init(&x.page, MESSAGE_MAX_BYTES);
    buf_init(&x.conflicts, EVENT_MAX_BYTES);
    int status = node_open(&x.n, cmdline_get(c, "home"), true) ? run(&x) : 1;
    node_close(&x.n);
    buf_release(&x.why);
    buf_release(&x.columns);
    buf_release(&x.page);
    buf_release(&x.conflicts);
    return status;
}
