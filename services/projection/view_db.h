/* The SQLite file of the record view: one writer, state and position in one transaction. The file holds nothing
 * that the log does not hold; whatever looks wrong with it is cured by building it anew.
 *
 * Two lives: a new file is *built* (no journal, one long transaction; a crash leaves rubbish that nobody has seen) and
 * then *kept* (WAL, a transaction per batch, read by queries and by people with sqlite3 or Datasette meanwhile). */
#ifndef CAIRN_VIEW_DB_H
#define CAIRN_VIEW_DB_H

#include "base/buf.h"
#include "base/ids.h"
#include "projection/record_core.h"

typedef struct view_db view_db;

/* How far the log is folded: `prefix` is the first 8 bytes of the id of the row at `offset`. */
typedef struct {
    uint64_t epoch, offset, prefix;
} view_position;

/* A new file in place of whatever lies there, in its building life. ERR_FULL, ERR_READ_ONLY, ERR_IO, ERR_FORBIDDEN,
 * ERR_NO_MEMORY. */
err_t view_db_create(view_db **out, const char *path, const dataset_id *dataset) CAIRN_CHECK;
/* Ends the building: position, indexes, one view per form, everything on the disk, WAL. */
err_t view_db_finish(view_db *db, const view_position *at) CAIRN_CHECK;
/* Opens a finished file. ERR_NOT_FOUND; ERR_FOREIGN_DB: not finished, of another schema or dataset; ERR_DAMAGED. */
err_t view_db_open(view_db **out, const char *path, const dataset_id *dataset) CAIRN_CHECK;
/* What was not committed has not happened. Sets *db to NULL; NULL is fine. */
void view_db_close(view_db **db);
/* False when the file was deleted or replaced under us. */
bool view_db_present(const view_db *db);
view_position view_db_position(const view_db *db);

/* ---- one batch: begin, put …, commit or rollback ---- */
err_t view_db_begin(view_db *db) CAIRN_CHECK;
err_t view_db_commit(view_db *db, const view_position *at) CAIRN_CHECK;
void view_db_rollback(view_db *db);

/* A row of the stream whose bytes are damaged here: nothing is known but its name. */
typedef struct {
    event_ref ref;
} view_damaged;

typedef struct {
    bytes form, record;
    const record_state *state;
    bytes line; /* canonical, with its newline */
    const view_damaged *damaged;
    size_t n_damaged;
} view_record;

/* Replaces all rows of one record. A stream in which nothing that counts writes anything is no record: what was there
 * goes, its anomalies stay on show. */
err_t view_db_put(view_db *db, const view_record *r) CAIRN_CHECK;

/* A row of the log that cannot be assigned to a record, because its bytes are damaged. */
err_t view_db_put_damaged(view_db *db, const view_damaged *d) CAIRN_CHECK;
/* It was healed. */
err_t view_db_drop_damaged(view_db *db, const view_damaged *d) CAIRN_CHECK;

typedef struct {
    member_no number;
    const char *name, *role;
    bool removed;
} view_member;
/* Replaces the whole table. */
err_t view_db_set_members(view_db *db, const view_member *m, size_t n) CAIRN_CHECK;
/* Payload of the form.columns that holds now; len 0: none. */
err_t view_db_set_columns(view_db *db, bytes form, bytes payload) CAIRN_CHECK;
/* Small facts of the projection itself; get gives 0 for one that is not there. */
err_t view_db_set_fact(view_db *db, const char *key, uint64_t value) CAIRN_CHECK;
uint64_t view_db_fact(view_db *db, const char *key);

/* Rewrites the file from what it holds, so that nothing of what it held before is left in it, beside it or in a damaged
 * one that was set aside; then clears the fact. ERR_BUSY while somebody reads; else the errors of writing. */
err_t view_db_purge(view_db *db, const char *fact) CAIRN_CHECK;

/* In words, of the last call that failed. Borrowed until the next call. */
const char *view_db_error(const view_db *db);

#endif
