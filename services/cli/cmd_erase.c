/* cairn erase: personal data leaves, for good, as far as this node can see to it. An event is hidden as a whole; what else
 * it wrote and still holds is written anew first, so that erasing one field takes nothing but that. */
#include "cli/cmd.h"
#include "cli/erase_plan.h"
#include "cli/out.h"
#include "pure/erasure.h"
#include "pure/value.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS_MAX BATCH_MAX_EVENTS

typedef struct {
    node n;
    const cmdline *line;
    char *const *fields;
    size_t n_fields;
    erase_plan plan;
    char form[CATEGORY_MAX_BYTES + 1], record[STREAM_MAX_BYTES + 1];
    member_no self;
    bool founder;
    emit_row *rows; /* rewritten values, then erasures */
    buf *payloads;  /* one each */
    ref_row *refs;
    size_t n_rows, n_rewritten, n_left, n_already;
    buf kept; /* names of what is written anew */
    buf attributes, json;
} erasing;

static bool begin(erasing *e, const cmdline *c)
{
    *e = (erasing){.line = c};
    buf_init(&e->attributes, 4096);
    buf_init(&e->kept, EVENT_MAX_BYTES);
    buf_init(&e->json, 8u << 20);
    e->rows = calloc(ROWS_MAX, sizeof *e->rows);
    e->refs = calloc(ROWS_MAX, sizeof *e->refs);
    e->payloads = calloc(ROWS_MAX, sizeof *e->payloads);
    return node_open(&e->n, cmdline_get(c, "home"), true) && e->rows != NULL && e->refs != NULL &&
           e->payloads != NULL;
}

static int end(erasing *e, int status)
{
    for (size_t i = 0; e->payloads != NULL && i < e->n_rows; i++)
        buf_release(&e->payloads[i]);
    erase_plan_release(&e->plan);
    node_close(&e->n);
    buf_release(&e->attributes);
    buf_release(&e->kept);
    buf_release(&e->json);
    free(e->rows);
    free(e->refs);
    free(e->payloads);
    return status;
}

/* ---- who we are, and what it is about ---- */

static bool ask_self(erasing *e)
{
    merge_status_reply me;
    if (node_ask_merge_status(&e->n, &(merge_status_request){0}, &me) != ERR_OK)
        return false;
    e->self = me.self;
    e->founder = me.founder;
    return true;
}

static bool may(const erasing *e, const erase_target *t)
{
    return e->founder || feed_member(t->feed) == e->self;
}

static bool ask_record(erasing *e, record_reply *r)
{
    store_hello_reply hello;
    const char *form = cmdline_get(e->line, "form");
    if (node_ask_store_hello(&e->n, &(store_hello_request){0}, &hello) != ERR_OK)
        return false;
    record_request req = {.record = bytes_str(cmdline_arg(e->line, 0)),
                          .form = bytes_str(form != NULL ? form : ""),
                          .min_offset = hello.head};
    if (node_ask_record(&e->n, &req, r) != ERR_OK)
        return false;
    snprintf(e->form, sizeof e->form, "%.*s", (int)r->form.len, (const char *)r->form.p);
    snprintf(e->record, sizeof e->record, "%.*s", (int)r->record.len, (const char *)r->record.p);
    return true;
}

static bool check_fields(const erasing *e)
{
    for (size_t k = 0; k < e->n_fields; k++) {
        bool known = false;
        for (size_t i = 0; i < e->plan.n && !known; i++)
            known = erase_writes(&e->plan.at[i], e->fields[k]);
        if (!known) {
            node_fail("%s/%s has no %s left to erase", e->form, e->record, e->fields[k]);
            return false;
        }
    }
    return true;
}

/* ---- what is written ---- */

static buf *new_row(erasing *e, const erase_target *t, const char *kind)
{
    if (e->n_rows == ROWS_MAX)
        return NULL;
    buf *payload = &e->payloads[e->n_rows];
    buf_init(payload, EVENT_MAX_BYTES);
    e->rows[e->n_rows++] = (emit_row){.category = t->category,
                                      .stream = t->stream,
                                      .kind = bytes_str(kind),
                                      .attributes = buf_view(&e->attributes)};
    return payload;
}

static bool is_live(const record_reply *r, const erase_target *t, bytes field)
{
    msg_list writes = r->writes;
    write_row w;
    while (msg_list_next(&write_row_desc, &writes, &w))
        if (w.live && bytes_is(w.what, "field") && bytes_eq(w.name, field) && w.feed == t->feed &&
            w.seq == t->seq && w.prefix == get_u16be(t->id.b))
            return true;
    return false;
}

static bool is_named(const erasing *e, bytes field)
{
    for (size_t i = 0; i < e->n_fields; i++)
        if (bytes_is(field, e->fields[i]))
            return true;
    return false;
}

/* Fields of an event that nobody asked to erase and that still hold: which they are, by index of the name. */
static uint32_t find_kept(const erasing *e, const record_reply *r, const erase_target *t,
                          bool *keep)
{
    uint32_t n = 0;
    bool fields = bytes_is(t->kind, "field.set") || bytes_is(t->kind, "record.create");
    for (uint32_t i = 0; i < t->n_names; i++) {
        keep[i] = fields && !is_named(e, t->names[i]) && is_live(r, t, t->names[i]);
        n += keep[i];
    }
    return n;
}

static void put_kept(erasing *e, const erase_target *t, const bool *keep, uint32_t n)
{
    char name[FIELD_MAX_BYTES + 1];
    buf *payload = n > 0 ? new_row(e, t, "field.set") : NULL;
    if (payload == NULL)
        return;
    mp_put_map(payload, n);
    for (uint32_t i = 0; i < t->n_names; i++) {
        if (!keep[i])
            continue;
        snprintf(name, sizeof name, "%.*s", (int)t->names[i].len, (const char *)t->names[i].p);
        mp_put_str(payload, t->names[i]);
        (void)buf_add_bytes(payload, value_get(t->payload, name));
        (void)buf_addf(&e->kept, "%s%s", e->kept.len > 0 ? ", " : "", name);
    }
    ref_row *ref = &e->refs[e->n_rows - 1];
    *ref = (ref_row){.feed = t->feed, .seq = t->seq, .prefix = get_u16be(t->id.b)};
    e->rows[e->n_rows - 1].replaces = MSG_LIST_OF(ref, 1);
    e->n_rewritten++;
}

static bool rewrite(erasing *e, const record_reply *r)
{
    for (size_t i = 0; i < e->plan.n; i++) {
        const erase_target *t = &e->plan.at[i];
        bool *keep = calloc(t->n_names + 1, sizeof *keep);
        if (keep == NULL)
            return false;
        if (!t->hidden && may(e, t))
            put_kept(e, t, keep, find_kept(e, r, t, keep));
        free(keep);
    }
    return true;
}

static bool put_erasures(erasing *e)
{
    for (size_t i = 0; i < e->plan.n; i++) {
        const erase_target *t = &e->plan.at[i];
        e->n_already += t->hidden;
        e->n_left += !t->hidden && !may(e, t);
        if (t->hidden || !may(e, t))
            continue;
        buf *payload = new_row(e, t, EVENT_KIND_ERASE);
        if (payload == NULL) {
            node_fail("more than %u events at once: erase it field by field", ROWS_MAX / 2);
            return false;
        }
        erasure_write(payload, t->feed, t->seq, &t->id, t->names, t->n_names);
    }
    for (size_t i = 0; i < e->n_rows; i++)
        e->rows[i].payload = buf_view(&e->payloads[i]);
    return true;
}

/* Nothing to do: why? */
static int say_nothing(const erasing *e)
{
    if (e->n_left > 0)
        return node_fail("%zu event%s of others: only their authors and the founder may erase them",
                         e->n_left, e->n_left > 1 ? "s" : "");
    if (e->n_already > 0)
        return node_fail("there is nothing left to erase: it was erased before");
    return node_fail("there is nothing to erase");
}

/* ---- asking and telling ---- */

static size_t erased(const erasing *e)
{
    return e->n_rows - e->n_rewritten;
}

static bool is_wanted(const erasing *e)
{
    char line[16];
    if (cmdline_has(e->line, "yes") || !isatty(STDIN_FILENO))
        return true;
    fprintf(stderr, "%zu event%s will be hidden everywhere and then leave the disks, for good.\n",
            erased(e), erased(e) > 1 ? "s" : "");
    for (size_t i = 0; i < e->plan.n; i++) {
        char ref[OUT_REF_BYTES], what[100];
        const erase_target *t = &e->plan.at[i];
        if (t->hidden || !may(e, t))
            continue;
        out_ref(ref, t->feed, t->seq);
        out_short(what, sizeof what, t->payload);
        fprintf(stderr, "  %-12s %.*s %s\n", ref, (int)t->kind.len, (const char *)t->kind.p, what);
    }
    fprintf(stderr, "Erase? [y/N] ");
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static void tell(const erasing *e, uint64_t leaves_ms)
{
    char when[32];
    clock_text(when, leaves_ms, false);
    fprintf(stderr, "Hidden from now on: %zu event%s.\n", erased(e), erased(e) > 1 ? "s" : "");
    if (e->kept.len > 0)
        fprintf(stderr, "Written anew, because the same events held it: %.*s.\n", (int)e->kept.len,
                (const char *)e->kept.p);
    if (e->founder)
        fprintf(stderr, "The bytes leave this disk at once, as a founder's erasure does.\n");
    else
        fprintf(stderr, "The bytes leave this disk after 30 days, on %.10s.\n", when);
    fprintf(stderr, "Other nodes do the same when they hear of it; those that have not heard yet "
                    "still hold it, "
                    "and so do bundles and exports made before.\n");
    if (e->n_left > 0)
        fprintf(stderr,
                "Left as they are: %zu event%s of others; their authors or the founder may erase "
                "them.\n",
                e->n_left, e->n_left > 1 ? "s" : "");
}

static void target_json(buf *b, const erase_target *t)
{
    char ref[OUT_REF_BYTES];
    out_begin(b, NULL, '{');
    out_ref_full(ref, t->feed, t->seq, get_u16be(t->id.b));
    out_cstr(b, "ref", ref);
    out_str(b, "kind", t->kind);
    out_begin(b, "keys", '[');
    for (uint32_t i = 0; i < t->n_names; i++)
        out_str(b, NULL, t->names[i]);
    out_end(b, ']');
    out_end(b, '}');
}

static void list_json(erasing *e, const char *name, bool mine)
{
    out_begin(&e->json, name, '[');
    for (size_t i = 0; i < e->plan.n; i++)
        if (!e->plan.at[i].hidden && may(e, &e->plan.at[i]) == mine)
            target_json(&e->json, &e->plan.at[i]);
    out_end(&e->json, ']');
}

static void tell_json(erasing *e, uint64_t leaves_ms)
{
    out_open(&e->json);
    list_json(e, "erased", true);
    list_json(e, "left", false);
    out_u64(&e->json, "rewritten", e->n_rewritten);
    out_u64(&e->json, "already", e->n_already);
    out_bool(&e->json, "at_once", e->founder);
    out_time(&e->json, "leaves_disk", leaves_ms);
    out_close(&e->json);
}

/* ---- the command ---- */

static int write_rows(erasing *e)
{
    char idem[33];
    uint8_t random[16];
    emit_reply reply;
    random_fill(random, sizeof random);
    hex_encode(idem, random, sizeof random);
    emit_request req = {.feed_class = cmdline_has(e->line, "urgent") ? 1 : 0,
                        .idem = bytes_str(idem),
                        .events = MSG_LIST_OF(e->rows, e->n_rows)};
    if (node_ask_emit(&e->n, &req, &reply) != ERR_OK)
        return 1;
    uint64_t leaves = clock_wall().ms + (e->founder ? 0 : ERASE_KEEP_MS);
    if (cmdline_has(e->line, "json"))
        tell_json(e, leaves);
    else if (!cmdline_has(e->line, "quiet"))
        tell(e, leaves);
    return 0;
}

static int perform(erasing *e)
{
    if (!put_erasures(e))
        return 1;
    if (erased(e) == 0)
        return say_nothing(e);
    if (!is_wanted(e))
        return node_fail("nothing was erased");
    return write_rows(e);
}

static int erase_record(erasing *e)
{
    record_reply r;
    if (!ask_record(e, &r) || !erase_plan_stream(&e->plan, &e->n, bytes_str(e->form),
                                                 bytes_str(e->record), e->fields, e->n_fields))
        return 1;
    if (!check_fields(e) || (e->n_fields > 0 && !rewrite(e, &r)))
        return 1;
    return perform(e);
}

static int erase_events(erasing *e)
{
    const char *text;
    for (size_t i = 0; (text = cmdline_nth(e->line, "event", i)) != NULL; i++)
        if (!erase_plan_event(&e->plan, &e->n, text))
            return 1;
    return perform(e);
}

static void put_why(erasing *e)
{
    const char *by = cmdline_get(e->line, "by");
    mp_put_map(&e->attributes, by != NULL ? 2 : 1);
    if (by != NULL) {
        mp_put_cstr(&e->attributes, "by");
        mp_put_cstr(&e->attributes, by);
    }
    mp_put_cstr(&e->attributes, "why");
    mp_put_cstr(&e->attributes, cmdline_get(e->line, "why"));
}

int cmd_erase(const cmdline *c)
{
    erasing e;
    size_t n = cmdline_arg_count(c);
    bool events = cmdline_has(c, "event");
    if (events == (n > 0))
        return cmdline_usage(c, "erase takes a RECORD, with or without FIELDs, or --event names");
    bool ready = begin(&e, c) && ask_self(&e);
    if (!ready)
        return end(&e, 1);
    put_why(&e);
    e.fields = cmdline_args(c) + 1;
    e.n_fields = n > 0 ? n - 1 : 0;
    return end(&e, events ? erase_events(&e) : erase_record(&e));
}
