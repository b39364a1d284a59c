/* Inside of view_read: shared by view_read.c (connection, lists, dump) and view_record.c (one record). */
#ifndef CAIRN_VIEW_READ_IMPL_H
#define CAIRN_VIEW_READ_IMPL_H

#include "projection/view_read.h"
#include "projection/view_sql.h"
#include "pure/arena.h"
#include "pure/crypto.h"

#define ANSWER_MAX_BYTES                                                                           \
    (2u << 20) /* what an answer aims for: half of a message, so that one more row always fits */

typedef enum {
    RD_POSITION,
    RD_RECORDS,
    RD_RECORDS_FORM,
    RD_ISSUES,
    RD_ISSUES_FORM,
    RD_FIELDS,
    RD_RECORD,
    RD_RECORD_ANYWHERE,
    RD_LIVE,
    RD_HISTORY,
    RD_ANOMALIES,
    RD_FORMS,
    RD_LINES,
    RD_LINES_FORM,
    RD_TOTALS,
    RD_COUNT
} read_statement;

struct view_reader {
    sqlite3 *sql;
    sqlite3_stmt *st[RD_COUNT];
    arena arena;
    buf out, value;
    crypto_hasher hasher; /* of a digest under way */
};

sqlite3_stmt *view_rd(view_reader *r, read_statement id);
/* Begins a query: what was lent is gone, all statements until view_read_end see one state. */
err_t view_read_begin(view_reader *r, uint64_t *position) CAIRN_CHECK;
/* Ends it and passes `e` on. */
err_t view_read_end(view_reader *r, err_t e);
/* The outcome of a statement that was stepped to `rc`; resets it. */
err_t view_rd_done(view_reader *r, sqlite3_stmt *st, int rc) CAIRN_CHECK;
/* A copy of the column that lives as long as the answer; at most `max` bytes, cut between characters. Without memory:
 * empty, and *short_of_memory. */
bytes view_rd_text(view_reader *r, sqlite3_stmt *st, int at, size_t max);
bytes view_rd_copy(view_reader *r, bytes b);

#endif
