#include "projection/view_sql.h"

#include "proto/mp.h"
#include "pure/value.h"

#include <math.h>

void view_sql_start(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

err_t view_sql_err(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return ERR_OK;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* a table that is not there: somebody else's file under our name */
        return ERR_DAMAGED;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_READONLY:
        return ERR_READ_ONLY;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CANTOPEN:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

void view_bind(sqlite3_stmt *st, int at, bytes text)
{
    sqlite3_bind_text64(st, at, text.len > 0 ? (const char *)text.p : "", text.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

void view_bind_blob(sqlite3_stmt *st, int at, bytes b)
{
    if (b.len > 0)
        sqlite3_bind_blob64(st, at, b.p, b.len, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, at);
}

static bool bind_other(sqlite3_stmt *st, int at, bytes value, buf *room)
{
    buf_clear(room);
    if (value_json(room, value) == ERR_OK)
        view_bind(st, at, buf_view(room));
    else
        sqlite3_bind_null(st, at);
    return false;
}

bool view_bind_value(sqlite3_stmt *st, int at, bytes value, buf *room)
{
    mp_reader r = mp_reader_of(value);
    double d;
    switch (mp_peek(&r)) {
    case MP_STR:
        view_bind(st, at, mp_str(&r));
        return true;
    case MP_UINT:
    case MP_INT:
        sqlite3_bind_int64(st, at, mp_int(&r));
        return r.err == ERR_OK || bind_other(st, at, value, room); /* above 2^63 */
    case MP_FLOAT:
        d = mp_double(&r);
        sqlite3_bind_double(st, at, d);
        return (isfinite(d) && (d != 0 || !signbit(d))) || bind_other(st, at, value, room);
    case MP_BOOL:
        sqlite3_bind_int(st, at, mp_bool(&r));
        return false;
    case MP_NIL:
        sqlite3_bind_null(st, at);
        return false;
    default:
        return bind_other(st, at, value, room);
    }
}

bytes view_column(sqlite3_stmt *st, int at)
{
    const void *p = sqlite3_column_blob(st, at); /* before the length, which it may change */
    return bytes_of(p, (size_t)sqlite3_column_bytes(st, at));
}

void view_column_value(sqlite3_stmt *st, int at, buf *out)
{
    if (sqlite3_column_type(st, at + 1) != SQLITE_NULL) {
        buf_add_bytes(out, view_column(st, at + 1));
        return;
    }
    switch (sqlite3_column_type(st, at)) {
    case SQLITE_INTEGER:
        mp_put_int(out, sqlite3_column_int64(st, at));
        break;
    case SQLITE_FLOAT:
        mp_put_double(out, sqlite3_column_double(st, at));
        break;
    case SQLITE_TEXT:
        mp_put_str(out, view_column(st, at));
        break;
    default:
        mp_put_nil(out);
    }
}
