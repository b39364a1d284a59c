/* cairn projection: the views built from the log, how far they are, and building them anew. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "shell/clock.h"

#include <stdio.h>

static void view_json(buf *b, const view_row *r)
{
    out_open(b);
    out_str(b, "name", r->name);
    out_str(b, "state", r->state);
    out_u64(b, "position", r->position);
    out_u64(b, "head", r->head);
    out_u64(b, "lag", r->head > r->position ? r->head - r->position : 0);
    out_u64(b, "records", r->records);
    out_u64(b, "conflicts", r->conflicts);
    out_u64(b, "anomalies", r->anomalies);
    out_str(b, "file", r->file);
    out_close(b);
}

static void view_cells(out_table *t, const view_row *r)
{
    char name[NAME_MAX_BYTES + 1], state[ERROR_TEXT_MAX_BYTES + 1], file[1025];
    char lag[24], position[24], records[24], conflicts[24], anomalies[24];
    snprintf(name, sizeof name, "%.*s", (int)r->name.len, (const char *)r->name.p);
    snprintf(state, sizeof state, "%.*s", (int)r->state.len, (const char *)r->state.p);
    snprintf(file, sizeof file, "%.*s", (int)r->file.len, (const char *)r->file.p);
    snprintf(position, sizeof position, "%llu", (unsigned long long)r->position);
    snprintf(lag, sizeof lag, "%llu",
             (unsigned long long)(r->head > r->position ? r->head - r->position : 0));
    snprintf(records, sizeof records, "%llu", (unsigned long long)r->records);
    snprintf(conflicts, sizeof conflicts, "%llu", (unsigned long long)r->conflicts);
    snprintf(anomalies, sizeof anomalies, "%llu", (unsigned long long)r->anomalies);
    out_table_row(t, (const char *const[]){name, state, position, lag, records, conflicts,
                                           anomalies, file, NULL});
}

static int list_views(node *n, bool as_json)
{
    static const char *const columns[] = {"NAME",       "STATE",    ">OFFSET",
                                          ">BEHIND",    ">RECORDS", ">CONFLICTS",
                                          ">ANOMALIES", "FILE",     NULL};
    views_reply reply;
    view_row row;
    buf json;
    if (node_ask_views(n, &(views_request){0}, &reply) != ERR_OK)
        return 1;
    buf_init(&json, 1u << 16);
    out_table *t = as_json ? NULL : out_table_new(columns);
    while (msg_list_next(&view_row_desc, &reply.views, &row)) {
        if (as_json)
            view_json(&json, &row);
        else
            view_cells(t, &row);
    }
    out_table_print(t);
    buf_release(&json);
    return 0;
}

int cmd_projection_ls(const cmdline *c)
{
    node n;
    int status = 1;
    if (node_open(&n, cmdline_get(c, "home"), true))
        status = list_views(&n, cmdline_has(c, "json"));
    node_close(&n);
    return status;
}

static int rebuild(node *n, const char *name, const cmdline *c)
{
    rebuild_request req = {.name = bytes_str(name)};
    ok_reply reply;
    mono_ms began = clock_mono();
    if (req.name.len == 0 || req.name.len > NAME_MAX_BYTES)
        return cmdline_usage(c, "no projection is called that: see cairn projection ls");
    if (node_try_rebuild(n, PROJECTION_CLNT_REBUILD_MS, &req, &reply) != ERR_OK)
        return node_fail("%.*s", (int)n->words.len, (const char *)n->words.p);
    if (!cmdline_has(c, "quiet"))
        fprintf(stderr, "Built %s anew in %.1f s.\n", name,
                (double)(clock_mono().ms - began.ms) / 1000);
    return 0;
}

int cmd_projection_rebuild(const cmdline *c)
{
    node n;
    int status = 1;
    if (node_open(&n, cmdline_get(c, "home"), true))
        status = rebuild(&n, cmdline_arg(c, 0), c);
    node_close(&n);
    return status;
}
