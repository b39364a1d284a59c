/* create, set, note, delete: edits of records; emit: any event. What an edit replaces is what the writer's screen
 * showed: --replaces says it, else it is what is live here at this moment, the own last write included. */
#include "cli/cmd.h"
#include "cli/infer.h"
#include "cli/live_refs.h"
#include "cli/mpjson.h"
#include "cli/out.h"
#include "pure/value.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    node n;
    const cmdline *line;
    buf payload, attributes, json;
    live_refs live;
    char form[CATEGORY_MAX_BYTES + 1], record[STREAM_MAX_BYTES + 1];
} edit;

static bool edit_open(edit *e, const cmdline *c)
{
    *e = (edit){.line = c};
    buf_init(&e->payload, EVENT_MAX_BYTES);
    buf_init(&e->attributes, EVENT_MAX_BYTES);
    buf_init(&e->json, 4 * EVENT_MAX_BYTES);
    live_refs_init(&e->live);
    return node_open(&e->n, cmdline_get(c, "home"), true);
}

static int edit_close(edit *e, int status)
{
    node_close(&e->n);
    buf_release(&e->payload);
    buf_release(&e->attributes);
    buf_release(&e->json);
    live_refs_release(&e->live);
    return status;
}

/* ---- attributes ---- */

static int bad_time(const char *text)
{
    node_fail("--at takes a time like 2026-11-20T14:05 or 2026-11-20, not \"%s\"", text);
    return 2;
}

#define SALT_BYTES 8u /* what personal data needs at least (proto/FORMAT.md, section 5) */

static void put_salt(edit *e)
{
    uint8_t salt[SALT_BYTES];
    random_fill(salt, sizeof salt);
    mp_put_cstr(&e->attributes, "salt");
    mp_put_bin(&e->attributes, bytes_of(salt, sizeof salt));
}

/* `at`, `by`, `salt`, `why` in the order of their keys. */
static int put_attributes(edit *e)
{
    const char *at = cmdline_get(e->line, "at"), *by = cmdline_get(e->line, "by"),
               *why = cmdline_get(e->line, "why");
    uint64_t ms = 0;
    bool salt = cmdline_has(e->line, "personal");
    uint32_t n = (at != NULL ? 1u : 0u) + (by != NULL ? 1u : 0u) + (why != NULL ? 1u : 0u) + salt;
    if (at != NULL && !infer_time(bytes_str(at), INFER_ISO, &ms))
        return bad_time(at);
    if (n == 0)
        return 0;
    mp_put_map(&e->attributes, n);
    if (at != NULL) {
        mp_put_cstr(&e->attributes, "at");
        mp_put_uint(&e->attributes, ms);
    }
    if (by != NULL) {
        mp_put_cstr(&e->attributes, "by");
        mp_put_cstr(&e->attributes, by);
    }
    if (salt)
        put_salt(e);
    if (why != NULL) {
        mp_put_cstr(&e->attributes, "why");
        mp_put_cstr(&e->attributes, why);
    }
    return 0;
}

/* ---- what is replaced ---- */

static int given_refs(edit *e)
{
    const char *text;
    for (size_t i = 0; (text = cmdline_nth(e->line, "replaces", i)) != NULL; i++)
        if (live_refs_add(&e->live, text) != ERR_OK) {
            node_fail("--replaces takes at most %u references like 3:17:a1b2 (from cairn show "
                      "--json), not \"%s\"",
                      REPLACES_MAX, text);
            return 2;
        }
    return 0;
}

static int take_live(edit *e, const record_reply *r, bytes fields)
{
    if (live_refs_take(&e->live, r, fields) == ERR_OK)
        return 0;
    return node_fail(
        "more than %u live values would be replaced at once: set fewer fields at a time",
        REPLACES_MAX);
}

/* The view up to the log's head, so that one's own last write is always seen. */
static int read_record(edit *e, record_reply *r)
{
    store_hello_reply hello;
    if (node_ask_store_hello(&e->n, &(store_hello_request){0}, &hello) != ERR_OK)
        return 1;
    const char *form = cmdline_get(e->line, "form");
    record_request req = {.record = bytes_str(cmdline_arg(e->line, 0)),
                          .form = bytes_str(form != NULL ? form : ""),
                          .min_offset = hello.head};
    if (node_ask_record(&e->n, &req, r) != ERR_OK)
        return 1;
    snprintf(e->form, sizeof e->form, "%.*s", (int)r->form.len, (const char *)r->form.p);
    snprintf(e->record, sizeof e->record, "%.*s", (int)r->record.len, (const char *)r->record.p);
    return 0;
}

/* `fields` is the payload map whose keys are written; empty for all of the record. */
static int prepare_edit(edit *e, bytes fields, bool replaces)
{
    record_reply r;
    int status = read_record(e, &r);
    if (status == 0 && replaces)
        status = cmdline_has(e->line, "replaces") ? given_refs(e) : take_live(e, &r, fields);
    return status == 0 ? put_attributes(e) : status;
}

/* ---- writing ---- */

static void random_idem(char out[33])
{
    uint8_t b[16];
    random_fill(b, sizeof b);
    hex_encode(out, b, sizeof b);
}

static void print_written(edit *e, const emitted_row *w, const char *form)
{
    char ref[OUT_REF_BYTES];
    out_ref_full(ref, w->feed, w->seq, w->prefix);
    if (cmdline_has(e->line, "json")) {
        out_open(&e->json);
        out_cstr(&e->json, "form", form);
        out_str(&e->json, "record", w->stream.len > 0 ? w->stream : bytes_str(e->record));
        out_cstr(&e->json, "ref", ref);
        out_begin(&e->json, "replaces", '[');
        for (size_t i = 0; i < e->live.n; i++) {
            out_ref_full(ref, e->live.refs[i].feed, e->live.refs[i].seq, e->live.refs[i].prefix);
            out_cstr(&e->json, NULL, ref);
        }
        out_end(&e->json, ']');
        out_close(&e->json);
        return;
    }
    bytes name = w->stream.len > 0 ? w->stream : bytes_str(e->record);
    printf("%.*s\n", (int)name.len, (const char *)name.p);
    if (e->live.words.len > 0 && !cmdline_has(e->line, "quiet"))
        fprintf(stderr, "%.*s", (int)e->live.words.len, (const char *)e->live.words.p);
}

/* `expect` is `empty`, a number or NULL. */
static bool fits(const char *name, size_t max)
{
    size_t len = strlen(name);
    return len > 0 && len <= max;
}

/* What would not be understood anywhere is not written. An empty stream is named by merge. */
static int check_names(const char *category, const char *stream, const char *kind)
{
    if (!fits(category, CATEGORY_MAX_BYTES) || strchr(category, '/') != NULL)
        node_fail("a category (or form) has 1 to %u bytes and no '/'", CATEGORY_MAX_BYTES);
    else if (strlen(stream) > STREAM_MAX_BYTES)
        node_fail("a stream (or record) has at most %u bytes", STREAM_MAX_BYTES);
    else if (!fits(kind, KIND_MAX_BYTES))
        node_fail("a kind has 1 to %u bytes", KIND_MAX_BYTES);
    else
        return 0;
    return 2;
}

static int write_event(edit *e, const char *form, const char *record, const char *kind,
                       const char *expect)
{
    char idem[33];
    const char *given = cmdline_get(e->line, "idem");
    random_idem(idem); /* makes our own retries harmless */
    emit_row row = {.category = bytes_str(form),
                    .stream = bytes_str(record),
                    .kind = bytes_str(kind),
                    .payload = buf_view(&e->payload),
                    .attributes = buf_view(&e->attributes),
                    .replaces = MSG_LIST_OF(e->live.refs, e->live.n)};
    emit_request req = {.feed_class = cmdline_has(e->line, "urgent") ? 1 : 0,
                        .idem = bytes_str(given != NULL ? given : idem),
                        .events = MSG_LIST_OF(&row, 1)};
    if (expect != NULL)
        req.expect = strcmp(expect, "empty") == 0 ? 1 : strtoull(expect, NULL, 10) + 1;
    emit_reply reply;
    emitted_row w;
    int status = check_names(form, record, kind);
    if (status != 0)
        return status;
    if (node_ask_emit(&e->n, &req, &reply) != ERR_OK ||
        !msg_list_next(&emitted_row_desc, &reply.events, &w))
        return 1;
    print_written(e, &w, form);
    return 0;
}

static int take_fields(edit *e, size_t from)
{
    char why[ERROR_TEXT_MAX_BYTES];
    if (mpjson_fields(cmdline_args(e->line) + from, cmdline_arg_count(e->line) - from, &e->payload,
                      why) == ERR_OK)
        return 0;
    node_fail("%s", why);
    return 2;
}

/* ---- the commands ---- */

int cmd_create(const cmdline *c)
{
    edit e;
    int status = 1;
    if (cmdline_has(c, "personal") && cmdline_has(c, "id"))
        return cmdline_usage(c, "--personal makes the id itself: a name stays readable for ever");
    if (edit_open(&e, c)) {
        const char *id = cmdline_get(c, "id");
        status = take_fields(&e, 1);
        if (status == 0)
            status = put_attributes(&e);
        if (status == 0)
            status =
                write_event(&e, cmdline_arg(c, 0), id != NULL ? id : "", "record.create", NULL);
    }
    return edit_close(&e, status);
}

int cmd_set(const cmdline *c)
{
    edit e;
    int status = 1;
    if (edit_open(&e, c)) {
        status = take_fields(&e, 1);
        if (status == 0)
            status = prepare_edit(&e, buf_view(&e.payload), true);
        if (status == 0)
            status = write_event(&e, e.form, e.record, "field.set", NULL);
    }
    return edit_close(&e, status);
}

int cmd_note(const cmdline *c)
{
    edit e;
    int status = 1;
    if (edit_open(&e, c)) {
        mp_put_map(&e.payload, 1);
        mp_put_cstr(&e.payload, "text");
        mp_put_cstr(&e.payload, cmdline_arg(c, 1));
        status = prepare_edit(&e, bytes_of(NULL, 0), false);
        if (status == 0)
            status = write_event(&e, e.form, e.record, "note.add", NULL);
    }
    return edit_close(&e, status);
}

int cmd_delete(const cmdline *c)
{
    edit e;
    int status = 1;
    if (edit_open(&e, c)) {
        mp_put_map(&e.payload, 0);
        status = prepare_edit(&e, bytes_of(NULL, 0), true);
        if (status == 0)
            status = write_event(&e, e.form, e.record, "record.delete", NULL);
    }
    return edit_close(&e, status);
}

/* JSON from the fourth argument, or from standard input for "-". */
static int take_json(edit *e)
{
    char why[ERROR_TEXT_MAX_BYTES];
    buf text;
    const char *given = cmdline_arg_count(e->line) > 3 ? cmdline_arg(e->line, 3) : "null";
    buf_init(&text, JSON_TEXT_MAX_BYTES);
    if (strcmp(given, "-") == 0) {
        uint8_t chunk[4096];
        ssize_t n;
        while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
            (void)buf_add(&text, chunk, (size_t)n);
    } else {
        buf_add_str(&text, given);
    }
    err_t err = text.err;
    if (err != ERR_OK)
        snprintf(why, sizeof why, "the JSON is larger than %u bytes", JSON_TEXT_MAX_BYTES);
    else
        err = mpjson_parse(buf_view(&text), &e->payload, why);
    buf_release(&text);
    if (err == ERR_OK)
        return 0;
    node_fail("%s", why);
    return 2;
}

static int check_expect(const char *expect)
{
    char *end = NULL;
    if (expect == NULL || strcmp(expect, "empty") == 0)
        return 0;
    if (expect[0] >= '0' && expect[0] <= '9')
        (void)strtoull(expect, &end, 10);
    if (end != NULL && *end == '\0')
        return 0;
    node_fail("--expect takes `empty` or a number of events, not \"%s\"", expect);
    return 2;
}

int cmd_emit(const cmdline *c)
{
    edit e;
    int status = check_expect(cmdline_get(c, "expect"));
    if (status != 0)
        return status;
    if (!edit_open(&e, c))
        return edit_close(&e, 1);
    snprintf(e.record, sizeof e.record, "%s", cmdline_arg(c, 1));
    status = take_json(&e);
    if (status == 0)
        status = given_refs(&e);
    if (status == 0)
        status = put_attributes(&e);
    if (status == 0)
        status = write_event(&e, cmdline_arg(c, 0), cmdline_arg(c, 1), cmdline_arg(c, 2),
                             cmdline_get(c, "expect"));
    return edit_close(&e, status);
}
