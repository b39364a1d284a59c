/* Inside of view_db: shared by view_db.c (file, transaction, statements), view_put.c (rows of a record) and
 * view_forms.c (forms, their columns and wide views). */
#ifndef CAIRN_VIEW_DB_IMPL_H
#define CAIRN_VIEW_DB_IMPL_H

#include "projection/view_db.h"
#include "projection/view_sql.h"

#include <sys/types.h>

#define THINGS_CACHED 4096u /* power of two */

/* One row per statement: the enum and the text in view_db.c go together. */
typedef enum {
    ST_META_SET,
    ST_META_GET,
    ST_RECORD_FIND,
    ST_RECORD_ADD,
    ST_RECORD_SET,
    ST_RECORD_DROP,
    ST_WRITES_DROP,
    ST_WRITE_ADD,
    ST_THING_FIND,
    ST_THING_ADD,
    ST_ANOMALIES_DROP,
    ST_ANOMALY_ADD,
    ST_DAMAGED_DROP,
    ST_FORM_COUNT,
    ST_FORM_COLUMNS,
    ST_FORM_WIDE,
    ST_FORM_GET,
    ST_FORM_FIELDS,
    ST_MEMBER_ADD,
    ST_COUNT
} view_statement;

typedef struct {
    uint64_t hash; /* of form, what and name; 0: empty */
    int64_t thing;
} view_thing_slot;

/* Changes of one form's counts that wait to be added to its row. */
typedef struct {
    char form[CATEGORY_MAX_BYTES + 1];
    bool any;
    int64_t records, deleted, conflicts, anomalies;
} view_form_delta;

struct view_db {
    sqlite3 *sql;
    sqlite3_stmt *st[ST_COUNT];
    char *path;
    ino_t inode;
    dev_t device;
    view_position at;
    bool building, in_batch;
    buf newest; /* while building: form, NUL and id of the record put last */
    view_form_delta delta;
    uint64_t salt; /* of hashes: who writes events cannot make two of them agree */
    view_thing_slot *things;
    buf stale; /* forms whose wide view must be made anew: names, each with a NUL */
    buf text;
    /* scratch of a put */
    buf sums, old_sums; /* one u64 per write row: as it is now, as the file has it */
    int64_t *slot_thing;
    uint32_t *rank;
    size_t slots_room, ranks_room;
};

/* The statement, reset and without bindings; NULL when it cannot be prepared. */
sqlite3_stmt *view_st(view_db *db, view_statement id);
/* Runs a statement that gives no row. */
err_t view_run(view_db *db, sqlite3_stmt *st) CAIRN_CHECK;
err_t view_exec(view_db *db, const char *text) CAIRN_CHECK;

/* ---- view_forms.c ---- */
/* Adds to the counts of a form. */
err_t view_form_count(view_db *db, bytes form, const view_form_delta *change) CAIRN_CHECK;
err_t view_form_flush(view_db *db) CAIRN_CHECK;
/* Its set of columns has changed. */
void view_form_stale(view_db *db, bytes form);
/* Makes the wide views of all stale forms. */
err_t view_form_refresh(view_db *db) CAIRN_CHECK;

#endif
