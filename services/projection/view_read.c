#include "projection/view_read_impl.h"

#include "projection/view_schema.h"

#include <stdlib.h>

#define BUSY_MS 2000
#define RECORD_COLS                                                                                \
    "r.rec, r.form, r.record, r.events, r.conflicts, r.deleted, " WHO ", r.created_ms, "           \
    "r.changed_ms"
#define WHO         "coalesce(m.name, 'member ' || (r.feed & 65535))"
#define RECORD_FROM " FROM record_row r LEFT JOIN members m ON m.number = r.feed & 65535 WHERE "
#define BY_NAME     " ORDER BY r.form, r.record LIMIT ?3"
#define AFTER       "(r.form, r.record) > (?1, ?2)"
#define AFTER_FORM  "r.form = ?1 AND r.record > ?2"
#define ISSUES      " AND r.issues > 0"

#define WRITE_COLS                                                                                 \
    "SELECT a.name, t.name, w.value, w.raw, w.feed, w.seq, w.prefix, w.wall_ms, w.at_ms, w.by,"    \
    " coalesce(m.name, 'member ' || (w.feed & 65535)), w.why, w.live, w.rank, w.flags, w.issue,"   \
    " w.other_feed, w.other_seq, w.other_ms, coalesce(o.name, 'member ' || (w.other_feed & "       \
    "65535))"                                                                                      \
    " FROM write_row w JOIN thing t USING(thing) JOIN what a ON a.what = w.what"                   \
    " LEFT JOIN members m ON m.number = w.feed & 65535 LEFT JOIN members o ON o.number = "         \
    "w.other_feed & 65535"                                                                         \
    " WHERE w.id " VIEW_WRITES_RANGE

static const char *const texts[RD_COUNT] = {
    [RD_POSITION] = "SELECT value FROM meta WHERE key = 'offset'",
    [RD_RECORDS] = "SELECT " RECORD_COLS RECORD_FROM AFTER BY_NAME,
    [RD_RECORDS_FORM] = "SELECT " RECORD_COLS RECORD_FROM AFTER_FORM BY_NAME,
    [RD_ISSUES] = "SELECT " RECORD_COLS RECORD_FROM AFTER ISSUES BY_NAME,
    [RD_ISSUES_FORM] = "SELECT " RECORD_COLS RECORD_FROM AFTER_FORM ISSUES BY_NAME,
    [RD_FIELDS] = "SELECT t.name, w.value, w.raw FROM write_row w JOIN thing t USING(thing) WHERE "
                  "w.id " VIEW_WRITES_RANGE
                  " AND w.what = 1 AND w.rank = 0 AND NOT w.flags & 2 ORDER BY t.name",
    [RD_RECORD] = "SELECT " RECORD_COLS RECORD_FROM "r.form = ?1 AND r.record = ?2",
    /* CROSS JOIN keeps the order of the tables: few forms, each looked up by name. */
    [RD_RECORD_ANYWHERE] = "SELECT " RECORD_COLS " FROM form_row f CROSS JOIN record_row r"
                           " LEFT JOIN members m ON m.number = r.feed & 65535"
                           " WHERE r.form = f.form AND r.record = ?2 ORDER BY r.form",
    [RD_LIVE] = WRITE_COLS
    " AND w.live AND (w.rank IS NOT NULL OR w.what = 8) ORDER BY t.name, w.what, w.rank, w.id",
    [RD_HISTORY] = WRITE_COLS " ORDER BY w.id",
    [RD_ANOMALIES] = "SELECT r.feed, r.seq, r.prefix, r.wall_ms, r.text, " WHO
                     " FROM anomaly_row r LEFT JOIN members m ON m.number = r.feed & 65535"
                     " WHERE r.form = ?1 AND r.record = ?2 ORDER BY r.wall_ms, r.feed, r.seq, "
                     "r.prefix LIMIT 1024",
    [RD_FORMS] = "SELECT form, records, conflicts, columns FROM form_row"
                 " WHERE form <> '' AND (records + deleted + anomalies > 0 OR columns IS NOT NULL)"
                 " ORDER BY form LIMIT 4096",
    [RD_LINES] = "SELECT r.form, r.record, r.line FROM record_row r WHERE " AFTER
                 " ORDER BY r.form, r.record",
    [RD_LINES_FORM] =
        "SELECT r.form, r.record, r.line FROM record_row r WHERE " AFTER_FORM " ORDER BY r.record",
    [RD_TOTALS] = "SELECT total(records), total(conflicts), total(anomalies) FROM form_row",
};

/* ---- connection ---- */

static err_t connect_file(view_reader *r, const char *path)
{
    int rc = sqlite3_open_v2(path, &r->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(r->sql, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(r->sql, "PRAGMA query_only = 1; PRAGMA cache_size = -4096", NULL, NULL,
                          NULL);
    return view_sql_err(rc);
}

err_t view_reader_open(view_reader **out, const char *path)
{
    view_reader *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL)
        return ERR_NO_MEMORY;
    arena_init(&r->arena);
    buf_init(&r->out, MESSAGE_MAX_BYTES);
    buf_init(&r->value, MESSAGE_MAX_BYTES);
    err_t e = connect_file(r, path);
    if (e != ERR_OK)
        view_reader_close(out);
    return e;
}

void view_reader_close(view_reader **at)
{
    view_reader *r = *at;
    *at = NULL;
    if (r == NULL)
        return;
    for (size_t i = 0; i < RD_COUNT; i++)
        sqlite3_finalize(r->st[i]);
    (void)sqlite3_close(r->sql);
    arena_release(&r->arena);
    buf_release(&r->out);
    buf_release(&r->value);
    free(r);
}

sqlite3_stmt *view_rd(view_reader *r, read_statement id)
{
    if (r->st[id] == NULL)
        (void)sqlite3_prepare_v3(r->sql, texts[id], -1, SQLITE_PREPARE_PERSISTENT, &r->st[id],
                                 NULL);
    else
        sqlite3_reset(r->st[id]);
    return r->st[id];
}

err_t view_rd_done(view_reader *r, sqlite3_stmt *st, int rc)
{
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(r->sql));
    sqlite3_reset(st);
    return view_sql_err(rc);
}

err_t view_read_begin(view_reader *r, uint64_t *position)
{
    arena_reset(&r->arena);
    buf_clear(&r->out);
    TRY(view_sql_err(sqlite3_exec(r->sql, "BEGIN", NULL, NULL, NULL)));
    sqlite3_stmt *st = view_rd(r, RD_POSITION);
    int rc = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    if (rc == SQLITE_ROW)
        *position = view_column_u64(st, 0);
    err_t e = view_rd_done(r, st, rc);
    return e == ERR_OK ? ERR_OK : view_read_end(r, e);
}

err_t view_read_end(view_reader *r, err_t e)
{
    (void)sqlite3_exec(r->sql, "COMMIT", NULL, NULL, NULL);
    return e;
}

bytes view_rd_copy(view_reader *r, bytes b)
{
    uint8_t *p = arena_array(&r->arena, b.len, 1);
    if (p == NULL)
        return bytes_of(NULL, 0);
    if (b.len > 0)
        memcpy(p, b.p, b.len);
    return bytes_of(p, b.len);
}

bytes view_rd_text(view_reader *r, sqlite3_stmt *st, int at, size_t max)
{
    bytes b = view_column(st, at);
    if (b.len > max) {
        b.len = max;
        while (b.len > 0 && (b.p[b.len] & 0xc0) == 0x80)
            b.len--;
    }
    return view_rd_copy(r, b);
}

/* ---- lists ---- */

/* Map of field to the value shown first, keys ascending. What does not fit into the row's bound is left out. */
static err_t read_fields(view_reader *r, int64_t rec, bytes *out)
{
    sqlite3_stmt *st = view_rd(r, RD_FIELDS);
    uint32_t n = 0;
    int rc = SQLITE_ERROR;
    size_t room = 4 * EVENT_MAX_BYTES - 16;
    buf_clear(&r->out);
    buf_clear(&r->value);
    if (st != NULL)
        sqlite3_bind_int64(st, 1, rec);
    while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        size_t before = r->value.len;
        mp_put_str(&r->value, view_column(st, 0));
        view_column_value(st, 1, &r->value);
        if (r->value.len > room)
            r->value.len = before;
        else
            n++;
    }
    mp_put_map(&r->out, n);
    buf_add_bytes(&r->out, buf_view(&r->value));
    *out = view_rd_copy(r, buf_view(&r->out));
    err_t e = view_rd_done(r, st, rc);
    return e != ERR_OK ? e : r->value.err != ERR_OK ? r->value.err : r->out.err;
}

static void fill_record(view_reader *r, sqlite3_stmt *st, record_row *out)
{
    *out = (record_row){.form = view_rd_text(r, st, 1, CATEGORY_MAX_BYTES),
                        .record = view_rd_text(r, st, 2, STREAM_MAX_BYTES),
                        .events = (uint32_t)sqlite3_column_int64(st, 3),
                        .conflicts = (uint32_t)sqlite3_column_int64(st, 4),
                        .deleted = sqlite3_column_int(st, 5) != 0,
                        .author = view_rd_text(r, st, 6, NAME_MAX_BYTES),
                        .created_ms = view_column_u64(st, 7),
                        .changed_ms = view_column_u64(st, 8)};
}

static sqlite3_stmt *records_statement(view_reader *r, const records_request *req)
{
    bool form = req->form.len > 0;
    sqlite3_stmt *st = view_rd(r, req->only_conflicts ? (form ? RD_ISSUES_FORM : RD_ISSUES)
                                                      : (form ? RD_RECORDS_FORM : RD_RECORDS));
    if (st == NULL)
        return NULL;
    view_bind(st, 1, form ? req->form : req->after_form);
    view_bind(st, 2,
              !form || bytes_eq(req->form, req->after_form) ? req->after_record
                                                            : bytes_of(NULL, 0));
    sqlite3_bind_int64(st, 3, (int64_t)req->max + 1);
    return st;
}

static err_t read_records(view_reader *r, const records_request *req, records_reply *out)
{
    record_row *rows = arena_array(&r->arena, req->max, sizeof *rows);
    sqlite3_stmt *st = records_statement(r, req);
    uint32_t n = 0;
    size_t size = 0;
    int rc = SQLITE_ERROR;
    err_t e = rows == NULL ? ERR_NO_MEMORY : ERR_OK;
    while (e == ERR_OK && st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        out->more = n == req->max || size >= ANSWER_MAX_BYTES;
        if (out->more)
            break;
        fill_record(r, st, &rows[n]);
        e = read_fields(r, sqlite3_column_int64(st, 0), &rows[n].fields);
        size += rows[n++].fields.len + 256;
    }
    out->records = MSG_LIST_OF(rows, n);
    err_t done = view_rd_done(r, st, rc);
    return e != ERR_OK ? e : done;
}

err_t view_read_records(view_reader *r, const records_request *req, records_reply *out)
{
    *out = (records_reply){0};
    TRY(view_read_begin(r, &out->position));
    return view_read_end(r, read_records(r, req, out));
}

static err_t read_forms(view_reader *r, forms_reply *out)
{
    form_row *rows = arena_array(&r->arena, 4096, sizeof *rows);
    sqlite3_stmt *st = view_rd(r, RD_FORMS);
    uint32_t n = 0;
    size_t size = 0;
    int rc = SQLITE_ERROR;
    while (rows != NULL && st != NULL && n < 4096 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        rows[n] = (form_row){.form = view_rd_text(r, st, 0, CATEGORY_MAX_BYTES),
                             .records = view_column_u64(st, 1),
                             .conflicts = view_column_u64(st, 2)};
        if (size < ANSWER_MAX_BYTES) /* columns of very many forms: the last ones go without */
            rows[n].columns = view_rd_copy(r, view_column(st, 3));
        size += rows[n++].columns.len + 128;
    }
    out->forms = MSG_LIST_OF(rows, n);
    err_t e = view_rd_done(r, st, rc);
    return rows == NULL ? ERR_NO_MEMORY : e;
}

err_t view_read_forms(view_reader *r, forms_reply *out)
{
    *out = (forms_reply){0};
    TRY(view_read_begin(r, &out->position));
    return view_read_end(r, read_forms(r, out));
}

err_t view_read_totals(view_reader *r, view_row *out)
{
    sqlite3_stmt *st = view_rd(r, RD_TOTALS);
    int rc = st != NULL ? sqlite3_step(st) : SQLITE_ERROR;
    if (rc == SQLITE_ROW) {
        out->records = view_column_u64(st, 0);
        out->conflicts = view_column_u64(st, 1);
        out->anomalies = view_column_u64(st, 2);
    }
    return view_rd_done(r, st, rc);
}

/* ---- the canonical dump ---- */

/* One line, or as much of it as fits: then *skip says where the next piece begins. */
static bool add_line(view_reader *r, bytes line, uint64_t *skip)
{
    size_t from = *skip < line.len ? (size_t)*skip : line.len, left = line.len - from;
    if (left <= ANSWER_MAX_BYTES) {
        buf_add(&r->out, line.p + from, left);
        *skip = 0;
        return true;
    }
    buf_add(&r->out, line.p + from, ANSWER_MAX_BYTES);
    *skip = from + ANSWER_MAX_BYTES;
    return false;
}

static err_t read_lines(view_reader *r, const canonical_request *req, canonical_reply *out)
{
    bool form = req->form.len > 0, whole = true;
    sqlite3_stmt *st = view_rd(r, form ? RD_LINES_FORM : RD_LINES);
    int rc = SQLITE_ERROR;
    *out = (canonical_reply){
        .after_form = req->after_form, .after_record = req->after_record, .skip = req->skip};
    if (st != NULL) {
        view_bind(st, 1, form ? req->form : req->after_form);
        view_bind(st, 2,
                  !form || bytes_eq(req->form, req->after_form) ? req->after_record
                                                                : bytes_of(NULL, 0));
    }
    buf_clear(&r->out);
    while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        bytes line = view_column(st, 2);
        if (r->out.len > 0 && r->out.len + line.len > ANSWER_MAX_BYTES)
            break;
        whole = add_line(r, line, &out->skip);
        if (!whole)
            break;
        out->after_form = view_rd_text(r, st, 0, CATEGORY_MAX_BYTES);
        out->after_record = view_rd_text(r, st, 1, STREAM_MAX_BYTES);
    }
    out->done = rc == SQLITE_DONE;
    out->lines = buf_view(&r->out);
    err_t e = view_rd_done(r, st, rc);
    return e != ERR_OK ? e : r->out.err;
}

err_t view_read_canonical(view_reader *r, const canonical_request *req, canonical_reply *out)
{
    uint64_t position;
    TRY(view_read_begin(r, &position));
    return view_read_end(r, read_lines(r, req, out));
}

err_t view_digest_begin(view_reader *r, uint64_t *position)
{
    TRY(view_read_begin(r, position));
    sqlite3_stmt *st = view_rd(r, RD_LINES);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(r->sql));
    view_bind(st, 1, bytes_of(NULL, 0));
    view_bind(st, 2, bytes_of(NULL, 0));
    crypto_hash_begin(&r->hasher);
    return ERR_OK;
}

err_t view_digest_step(view_reader *r, size_t max_bytes, bool *done, event_id *digest)
{
    sqlite3_stmt *st = r->st[RD_LINES];
    size_t hashed = 0;
    int rc = SQLITE_ROW;
    while (hashed < max_bytes && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        bytes line = view_column(st, 2);
        crypto_hash_add(&r->hasher, line.p, line.len);
        hashed += line.len + 64;
    }
    *done = rc != SQLITE_ROW;
    if (!*done)
        return ERR_OK;
    crypto_hash_end(&r->hasher, digest->b);
    return view_rd_done(r, st, rc);
}
