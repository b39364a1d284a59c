#include "projection/view_db_impl.h"

#include "projection/view_schema.h"
#include "pure/value.h"

#include <stdlib.h>

#define SQL_MAX_BYTES 900000u /* SQLite takes a million */

/* ---- counts: events of one form come together, so one pending sum is enough ---- */

err_t view_form_flush(view_db *db)
{
    view_form_delta *d = &db->delta;
    if (!d->any)
        return ERR_OK;
    d->any = false;
    sqlite3_stmt *st = view_st(db, ST_FORM_COUNT);
    if (st != NULL) {
        view_bind(st, 1, bytes_str(d->form));
        sqlite3_bind_int64(st, 2, d->records);
        sqlite3_bind_int64(st, 3, d->deleted);
        sqlite3_bind_int64(st, 4, d->conflicts);
        sqlite3_bind_int64(st, 5, d->anomalies);
    }
    return view_run(db, st);
}

err_t view_form_count(view_db *db, bytes form, const view_form_delta *c)
{
    view_form_delta *d = &db->delta;
    if (c->records == 0 && c->deleted == 0 && c->conflicts == 0 && c->anomalies == 0)
        return ERR_OK;
    if (d->any && !bytes_is(form, d->form))
        TRY(view_form_flush(db));
    if (!d->any) {
        *d = (view_form_delta){.any = true};
        if (form.len > 0 && form.len < sizeof d->form)
            memcpy(d->form, form.p, form.len);
    }
    d->records += c->records;
    d->deleted += c->deleted;
    d->conflicts += c->conflicts;
    d->anomalies += c->anomalies;
    return ERR_OK;
}

/* ---- columns ---- */

err_t view_db_set_columns(view_db *db, bytes form, bytes payload)
{
    sqlite3_stmt *st = view_st(db, ST_FORM_COLUMNS);
    if (st != NULL) {
        view_bind(st, 1, form);
        view_bind_blob(st, 2, payload);
    }
    TRY(view_run(db, st));
    view_form_stale(db, form);
    return ERR_OK;
}

void view_form_stale(view_db *db, bytes form)
{
    const char *at = (const char *)db->stale.p, *end = at + db->stale.len;
    for (; at < end; at += strlen(at) + 1)
        if (bytes_is(form, at))
            return;
    if (buf_add_bytes(&db->stale, form)) /* a list that is full leaves views as they are */
        buf_add_u8(&db->stale, 0);
}

/* Names, one behind the other; where each ends. */
typedef struct {
    size_t n;
    buf names;
    size_t *ends;
} columns;

static bool has_column(const columns *c, bytes name)
{
    size_t from = 0;
    for (size_t i = 0; i < c->n; from = c->ends[i++])
        if (bytes_eq(name, bytes_of(c->names.p + from, c->ends[i] - from)))
            return true;
    return false;
}

static err_t add_column(columns *c, bytes name)
{
    if (c->n >= VIEW_COLUMNS_MAX || name.len == 0 || has_column(c, name))
        return ERR_OK;
    if (!buf_add_bytes(&c->names, name))
        return c->names.err == ERR_TOO_LARGE ? ERR_OK : c->names.err;
    c->ends[c->n++] = c->names.len;
    return ERR_OK;
}

/* form.columns: {columns: [name …], …}; anything else in it is for others. */
static err_t add_declared(columns *c, bytes payload)
{
    mp_reader r = mp_reader_of(value_get(payload, "columns"));
    if (mp_peek(&r) != MP_ARRAY)
        return ERR_OK;
    for (uint32_t n = mp_array(&r); n > 0 && r.err == ERR_OK; n--) {
        bytes name, item = mp_any(&r);
        if (value_str(item, &name))
            TRY(add_column(c, name));
    }
    return ERR_OK;
}

static err_t add_used(view_db *db, columns *c, bytes form)
{
    sqlite3_stmt *st = view_st(db, ST_FORM_FIELDS);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(db->sql));
    view_bind(st, 1, form);
    int rc;
    err_t e = ERR_OK;
    while (e == ERR_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        e = add_column(c, view_column(st, 0));
    sqlite3_reset(st);
    return e != ERR_OK ? e : view_sql_err(rc);
}

/* The view's name as it stands, and the declared columns. */
static err_t read_form(view_db *db, bytes form, columns *c, buf *wide)
{
    sqlite3_stmt *st = view_st(db, ST_FORM_GET);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(db->sql));
    view_bind(st, 1, form);
    int rc = sqlite3_step(st);
    err_t e = view_sql_err(rc);
    if (rc == SQLITE_ROW) {
        e = add_declared(c, view_column(st, 0));
        buf_add_bytes(wide, view_column(st, 1));
    }
    sqlite3_reset(st);
    return e;
}

/* ---- wide views ---- */

static err_t count_wide(view_db *db, const char *text, bytes name, int64_t *n)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL);
    if (rc != SQLITE_OK)
        return view_sql_err(rc);
    if (name.len > 0)
        view_bind(st, 1, name);
    rc = sqlite3_step(st);
    *n = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return view_sql_err(rc);
}

/* "form_<form>": no name of ours begins so. SQLite takes names without regard to case, so a second form that differs
 * only there gets a number behind. Empty when there are too many views already. */
static err_t name_wide(view_db *db, bytes form, buf *wide)
{
    int64_t n = 0;
    TRY(count_wide(db, "SELECT count(*) FROM form_row WHERE wide IS NOT NULL", bytes_of(NULL, 0),
                   &n));
    for (unsigned k = 1; n < VIEW_FORMS_MAX && k < 100; k++) {
        int64_t taken = 0;
        buf_clear(wide);
        buf_add_str(wide, "form_");
        buf_add_bytes(wide, form);
        if (k > 1)
            buf_addf(wide, " %u", k);
        TRY(count_wide(db, "SELECT count(*) FROM form_row WHERE wide = ? COLLATE NOCASE",
                       buf_view(wide), &taken));
        if (taken == 0)
            break;
    }
    if (wide->len == 0)
        return ERR_OK;
    sqlite3_stmt *st = view_st(db, ST_FORM_WIDE);
    if (st != NULL) {
        view_bind(st, 1, buf_view(wide));
        view_bind(st, 2, form);
    }
    return view_run(db, st);
}

static err_t create_wide(view_db *db, bytes form, bytes wide, const columns *c)
{
    bytes *names = malloc((c->n + 1) * sizeof *names);
    buf sql;
    if (names == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0, from = 0; i < c->n; from = c->ends[i++])
        names[i] = bytes_of(c->names.p + from, c->ends[i] - from);
    buf_init(&sql, SQL_MAX_BYTES);
    buf_add_str(&sql, "DROP VIEW IF EXISTS ");
    view_quote_name(&sql, wide);
    buf_add_str(&sql, "; ");
    view_form_sql(&sql, form, wide, names, c->n);
    buf_add_u8(&sql, 0);
    err_t e = sql.err;
    if (e == ERR_OK)
        e = view_exec(db, (const char *)sql.p);
    /* What SQLite cannot take (too long, a name it refuses) is done without: the view `fields` has it all. */
    if (e == ERR_TOO_LARGE || (e != ERR_OK && (sqlite3_errcode(db->sql) & 0xff) == SQLITE_ERROR))
        e = ERR_OK;
    buf_release(&sql);
    free(names);
    return e;
}

static err_t refresh_with(view_db *db, bytes form, columns *c, buf *wide)
{
    TRY(read_form(db, form, c, wide));
    TRY(add_used(db, c, form));
    if (wide->len == 0)
        TRY(name_wide(db, form, wide));
    return wide->len == 0 ? ERR_OK : create_wide(db, form, buf_view(wide), c);
}

static err_t refresh(view_db *db, bytes form)
{
    columns c = {.ends = malloc(VIEW_COLUMNS_MAX * sizeof *c.ends)};
    buf wide;
    buf_init(&c.names, SQL_MAX_BYTES);
    buf_init(&wide, CATEGORY_MAX_BYTES + 16);
    err_t e = c.ends == NULL ? ERR_NO_MEMORY : refresh_with(db, form, &c, &wide);
    buf_release(&wide);
    buf_release(&c.names);
    free(c.ends);
    return e;
}

err_t view_form_refresh(view_db *db)
{
    const char *at = (const char *)db->stale.p, *end = at + db->stale.len;
    for (; at < end; at += strlen(at) + 1)
        TRY(refresh(db, bytes_str(at)));
    buf_clear(&db->stale);
    return ERR_OK;
}
