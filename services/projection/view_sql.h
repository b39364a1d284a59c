/* The few lines that make sqlite3 speak err_t and bytes. */
#ifndef CAIRN_VIEW_SQL_H
#define CAIRN_VIEW_SQL_H

#include "base/buf.h"

#include <sqlite3.h>

/* Once per process, before anything else: one thread uses SQLite here, so it needs no locks. */
void view_sql_start(void);

/* ERR_DAMAGED, ERR_FULL, ERR_READ_ONLY, ERR_NO_MEMORY, ERR_BUSY, ERR_NOT_FOUND or ERR_IO. */
err_t view_sql_err(int rc);

/* What is bound is borrowed until the statement is reset. */
void view_bind(sqlite3_stmt *st, int at, bytes text);
void view_bind_blob(sqlite3_stmt *st, int at, bytes b);
static inline void view_bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
    sqlite3_bind_int64(st, at,
                       (int64_t)v); /* the same 64 bits; what is above 2^63 reads back right */
}
/* Binds a msgpack value as SQLite holds it best: text, integers and floats as they are, booleans as 0 and 1, the rest
 * as JSON in `room`. Returns false when the value cannot be made again from that, so that it must be kept too. */
bool view_bind_value(sqlite3_stmt *st, int at, bytes value, buf *room);

/* Borrowed until the next step. */
bytes view_column(sqlite3_stmt *st, int at);
static inline uint64_t view_column_u64(sqlite3_stmt *st, int at)
{
    return (uint64_t)sqlite3_column_int64(st, at);
}
/* Appends the msgpack value of columns `at` (as bound by view_bind_value) and at + 1 (the raw one, or NULL). */
void view_column_value(sqlite3_stmt *st, int at, buf *out);

#endif
