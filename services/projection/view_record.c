/* One record with all its writes, and the words beside them. */
#include "projection/view_read_impl.h"

#include "projection/view_schema.h"
#include "shell/clock.h"

#include <stdio.h>

#define WRITES_MAX 16384u /* of record_reply.writes */

/* Columns of RD_LIVE and RD_HISTORY. */
enum {
    C_WHAT,
    C_NAME,
    C_VALUE,
    C_RAW,
    C_FEED,
    C_SEQ,
    C_PREFIX,
    C_WALL,
    C_AT,
    C_BY,
    C_AUTHOR,
    C_WHY,
    C_LIVE,
    C_RANK,
    C_FLAGS,
    C_ISSUE,
    C_OTHER_FEED,
    C_OTHER_SEQ,
    C_OTHER_MS,
    C_OTHER
};

typedef struct {
    write_row *rows;
    uint32_t n, room;
    size_t size;
    bool more;
} write_list;

/* "team-2 (1-5) 2026-11-20 14:05:09" */
static void say_other(buf *out, sqlite3_stmt *st)
{
    char feed[FEED_TEXT_BYTES], when[32];
    bytes name = view_column(st, C_OTHER);
    feed_text(feed, (feed_id)sqlite3_column_int64(st, C_OTHER_FEED));
    clock_text(when, view_column_u64(st, C_OTHER_MS), false);
    buf_add_bytes(out, name);
    buf_addf(out, " (%s-%llu) %s", feed, (unsigned long long)view_column_u64(st, C_OTHER_SEQ),
             when);
}

static bytes mark_of(view_reader *r, sqlite3_stmt *st)
{
    int flags = sqlite3_column_int(st, C_FLAGS), issue = sqlite3_column_int(st, C_ISSUE);
    buf *out = &r->value;
    buf_clear(out);
    if ((flags & VIEW_COUNTS) == 0)
        buf_add_str(out, "does not count: its author was removed");
    else if ((flags & VIEW_REPLACED) != 0) {
        buf_add_str(out, (flags & VIEW_ERASED) != 0 ? "erased; replaced by " : "replaced by ");
        say_other(out, st);
    } else if ((flags & VIEW_ERASED) != 0)
        buf_add_str(out, "erased");
    else if ((flags & VIEW_VOIDED) != 0) {
        buf_add_str(out, "value before the removed edit of ");
        say_other(out, st);
    } else if (issue == VIEW_ISSUE_COLLISION)
        buf_add_str(out, "created twice under one name");
    else if (issue == VIEW_ISSUE_UNSEEN)
        buf_add_str(out, "edited after, unseen by the deleter");
    else if ((flags & VIEW_REMOVAL) != 0)
        buf_add_str(out, "removed");
    if (out->len > ERROR_TEXT_MAX_BYTES)
        buf_clear(out); /* a name of such a length cannot be: members are bounded */
    return view_rd_copy(r, buf_view(out));
}

static bytes value_of(view_reader *r, sqlite3_stmt *st)
{
    if ((sqlite3_column_int(st, C_FLAGS) & (VIEW_ERASED | VIEW_REMOVAL)) != 0)
        return bytes_of(NULL, 0);
    buf_clear(&r->value);
    view_column_value(st, C_VALUE, &r->value);
    return view_rd_copy(r, buf_view(&r->value));
}

static void fill_write(view_reader *r, sqlite3_stmt *st, write_row *w)
{
    int64_t at_ms = sqlite3_column_int64(st, C_AT);
    *w = (write_row){.what = view_rd_text(r, st, C_WHAT, 16),
                     .name = view_rd_text(r, st, C_NAME, 1024),
                     .value = value_of(r, st),
                     .feed = (uint32_t)sqlite3_column_int64(st, C_FEED),
                     .seq = view_column_u64(st, C_SEQ),
                     .prefix = (uint16_t)sqlite3_column_int(st, C_PREFIX),
                     .wall_ms = view_column_u64(st, C_WALL),
                     .at_ms = at_ms > 0 ? (uint64_t)at_ms : 0,
                     .by = view_rd_text(r, st, C_BY, 256),
                     .author = view_rd_text(r, st, C_AUTHOR, NAME_MAX_BYTES),
                     .why = view_rd_text(r, st, C_WHY, 1024),
                     .live = sqlite3_column_int(st, C_LIVE) != 0,
                     .shown = sqlite3_column_type(st, C_RANK) == SQLITE_INTEGER &&
                              sqlite3_column_int(st, C_RANK) == 0,
                     .mark = mark_of(r, st)};
}

static bool has_room(view_reader *r, write_list *l)
{
    if (l->n == WRITES_MAX || l->size > ANSWER_MAX_BYTES)
        return false;
    if (l->n < l->room)
        return true;
    uint32_t room = l->room == 0 ? 64 : l->room * 4;
    write_row *more = arena_array(&r->arena, room, sizeof *more);
    if (more == NULL)
        return false;
    if (l->n > 0)
        memcpy(more, l->rows, l->n * sizeof *more);
    l->rows = more;
    l->room = room;
    return true;
}

static err_t add_writes(view_reader *r, read_statement id, int64_t rec, write_list *l)
{
    sqlite3_stmt *st = view_rd(r, id);
    int rc = SQLITE_ERROR;
    if (st != NULL)
        sqlite3_bind_int64(st, 1, rec);
    while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (!has_room(r, l)) {
            l->more = true;
            break;
        }
        write_row *w = &l->rows[l->n++];
        fill_write(r, st, w);
        l->size += 192 + w->value.len + w->name.len + w->why.len + w->by.len;
    }
    return view_rd_done(r, st, rc);
}

static err_t read_anomalies(view_reader *r, record_reply *out)
{
    sqlite3_stmt *st = view_rd(r, RD_ANOMALIES);
    write_row *rows = arena_array(&r->arena, 1024, sizeof *rows);
    uint32_t n = 0;
    int rc = SQLITE_ERROR;
    if (rows == NULL)
        return ERR_NO_MEMORY;
    if (st != NULL) {
        view_bind(st, 1, out->form);
        view_bind(st, 2, out->record);
    }
    while (st != NULL && n < 1024 && (rc = sqlite3_step(st)) == SQLITE_ROW)
        rows[n++] = (write_row){.what = bytes_str("anomaly"),
                                .feed = (uint32_t)sqlite3_column_int64(st, 0),
                                .seq = view_column_u64(st, 1),
                                .prefix = (uint16_t)sqlite3_column_int(st, 2),
                                .wall_ms = view_column_u64(st, 3),
                                .mark = view_rd_text(r, st, 4, ERROR_TEXT_MAX_BYTES),
                                .author = view_rd_text(r, st, 5, NAME_MAX_BYTES)};
    out->anomalies = MSG_LIST_OF(rows, n);
    return view_rd_done(r, st, rc);
}

/* The record's own row; ERR_CONFLICT when several forms have one of that id. */
static err_t find_record(view_reader *r, const record_request *req, record_reply *out, int64_t *rec,
                         buf *why)
{
    sqlite3_stmt *st = view_rd(r, req->form.len > 0 ? RD_RECORD : RD_RECORD_ANYWHERE);
    unsigned n = 0;
    int rc = SQLITE_ERROR;
    if (st != NULL) {
        if (req->form.len > 0)
            view_bind(st, 1, req->form);
        view_bind(st, 2, req->record);
    }
    for (; st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW; n++) {
        buf_add_str(why, n == 0 ? "" : ", ");
        buf_add_bytes(why, view_column(st, 1));
        *rec = sqlite3_column_int64(st, 0);
        out->form = view_rd_text(r, st, 1, CATEGORY_MAX_BYTES);
        out->record = view_rd_text(r, st, 2, STREAM_MAX_BYTES);
        out->events = (uint32_t)sqlite3_column_int64(st, 3);
        out->conflicts = (uint32_t)sqlite3_column_int64(st, 4);
        out->deleted = sqlite3_column_int(st, 5) != 0;
    }
    err_t e = view_rd_done(r, st, rc);
    return e != ERR_OK ? e : n == 0 ? ERR_NOT_FOUND : n > 1 ? ERR_CONFLICT : ERR_OK;
}

static err_t read_record(view_reader *r, const record_request *req, record_reply *out, buf *why)
{
    int64_t rec = 0;
    write_list l = {0};
    TRY(find_record(r, req, out, &rec, why));
    TRY(add_writes(r, RD_LIVE, rec, &l));
    out->live = l.n;
    if (req->history)
        TRY(add_writes(r, RD_HISTORY, rec, &l));
    out->writes = MSG_LIST_OF(l.rows, l.n);
    out->more = l.more;
    return read_anomalies(r, out);
}

err_t view_read_record(view_reader *r, const record_request *req, record_reply *out, buf *why)
{
    *out = (record_reply){0};
    TRY(view_read_begin(r, &out->position));
    return view_read_end(r, read_record(r, req, out, why));
}
