#include "projection/view_db_impl.h"

#include "projection/view_file.h"
#include "projection/view_schema.h"
#include "shell/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS          250    /* somebody writes into our file: tried again later */
#define CHECKPOINT_PAGES "8192" /* 32 MiB: a page that many batches touch is copied back once */
#define CACHE_KIB        "16384"
#define STALE_MAX_BYTES  (VIEW_FORMS_MAX * (CATEGORY_MAX_BYTES + 1))

static const char *const texts[ST_COUNT] = {
    [ST_META_SET] = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
    [ST_META_GET] = "SELECT value FROM meta WHERE key = ?",
    [ST_RECORD_FIND] = "SELECT rec, issues > 0, anomalies, deleted, sums FROM record_row WHERE "
                       "form = ? AND record = ?",
    [ST_RECORD_ADD] =
        "INSERT INTO record_row(form, record, events, conflicts, unseen, issues, anomalies, "
        "deleted,"
        " feed, created_ms, changed_ms, line, sums)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ST_RECORD_SET] =
        "UPDATE record_row SET events = ?3, conflicts = ?4, unseen = ?5, issues = ?6, anomalies = "
        "?7,"
        " deleted = ?8, feed = ?9, created_ms = ?10, changed_ms = ?11, line = ?12, sums = ?13"
        " WHERE rec = ?14",
    [ST_RECORD_DROP] = "DELETE FROM record_row WHERE rec = ?",
    [ST_WRITES_DROP] = "DELETE FROM write_row WHERE id BETWEEN ?1 AND ?2",
    [ST_WRITE_ADD] = "INSERT OR REPLACE INTO write_row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                     "?, ?, ?, ?, ?, ?, ?)",
    [ST_THING_FIND] = "SELECT thing FROM thing WHERE form = ? AND what = ? AND name = ?",
    [ST_THING_ADD] = "INSERT INTO thing(form, what, name) VALUES (?, ?, ?)",
    [ST_ANOMALIES_DROP] = "DELETE FROM anomaly_row WHERE form = ? AND record = ?",
    [ST_ANOMALY_ADD] = "INSERT INTO anomaly_row VALUES (?, ?, ?, ?, ?, ?, ?)",
    [ST_DAMAGED_DROP] =
        "DELETE FROM anomaly_row WHERE form = '' AND record = '' AND feed = ? AND seq = ?"
        " AND prefix = ?",
    [ST_FORM_COUNT] = "INSERT INTO form_row(form, records, deleted, conflicts, anomalies) VALUES "
                      "(?1, ?2, ?3, ?4, ?5)"
                      " ON CONFLICT DO UPDATE SET records = records + ?2, deleted = deleted + ?3,"
                      " conflicts = conflicts + ?4, anomalies = anomalies + ?5",
    [ST_FORM_COLUMNS] = "INSERT INTO form_row(form, columns) VALUES (?1, ?2) ON CONFLICT DO UPDATE "
                        "SET columns = ?2",
    [ST_FORM_WIDE] = "UPDATE form_row SET wide = ? WHERE form = ?",
    [ST_FORM_GET] = "SELECT columns, wide FROM form_row WHERE form = ?",
    [ST_FORM_FIELDS] = "SELECT name FROM thing WHERE form = ? AND what = 1 ORDER BY thing",
    [ST_MEMBER_ADD] = "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)",
};

sqlite3_stmt *view_st(view_db *db, view_statement id)
{
    if (db->st[id] == NULL)
        (void)sqlite3_prepare_v3(db->sql, texts[id], -1, SQLITE_PREPARE_PERSISTENT, &db->st[id],
                                 NULL);
    else
        sqlite3_reset(db->st[id]);
    return db->st[id];
}

err_t view_run(view_db *db, sqlite3_stmt *st)
{
    int rc = st == NULL ? sqlite3_errcode(db->sql) : sqlite3_step(st);
    if (st != NULL)
        sqlite3_reset(st);
    return rc == SQLITE_ROW ? ERR_OK : view_sql_err(rc);
}

err_t view_exec(view_db *db, const char *text)
{
    return view_sql_err(sqlite3_exec(db->sql, text, NULL, NULL, NULL));
}

const char *view_db_error(const view_db *db)
{
    return sqlite3_errmsg(db->sql);
}

/* ---- facts ---- */

err_t view_db_set_fact(view_db *db, const char *key, uint64_t value)
{
    sqlite3_stmt *st = view_st(db, ST_META_SET);
    if (st != NULL) {
        view_bind(st, 1, bytes_str(key));
        view_bind_u64(st, 2, value);
    }
    return view_run(db, st);
}

uint64_t view_db_fact(view_db *db, const char *key)
{
    sqlite3_stmt *st = view_st(db, ST_META_GET);
    if (st == NULL)
        return 0;
    view_bind(st, 1, bytes_str(key));
    uint64_t v = sqlite3_step(st) == SQLITE_ROW ? view_column_u64(st, 0) : 0;
    sqlite3_reset(st);
    return v;
}

static err_t set_position(view_db *db, const view_position *at)
{
    TRY(view_db_set_fact(db, "epoch", at->epoch));
    TRY(view_db_set_fact(db, "offset", at->offset));
    return view_db_set_fact(db, "prefix", at->prefix);
}

static err_t set_dataset(view_db *db, const dataset_id *dataset)
{
    char hex[2 * EVENT_ID_BYTES + 1];
    sqlite3_stmt *st = view_st(db, ST_META_SET);
    hex_encode(hex, dataset->b, sizeof dataset->b);
    if (st != NULL) {
        view_bind(st, 1, bytes_str("dataset"));
        view_bind(st, 2, bytes_str(hex));
    }
    return view_run(db, st);
}

static bool is_of(view_db *db, const dataset_id *dataset)
{
    char hex[2 * EVENT_ID_BYTES + 1];
    sqlite3_stmt *st = view_st(db, ST_META_GET);
    if (st == NULL)
        return false;
    hex_encode(hex, dataset->b, sizeof dataset->b);
    view_bind(st, 1, bytes_str("dataset"));
    bool same = sqlite3_step(st) == SQLITE_ROW && bytes_is(view_column(st, 0), hex);
    sqlite3_reset(st);
    return same && view_db_fact(db, "schema") == VIEW_SCHEMA_VERSION &&
           view_db_fact(db, "finished") == 1;
}

/* ---- file ---- */

static view_db *view_db_new(const char *path)
{
    view_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return NULL;
    db->path = strdup(path);
    db->things = calloc(THINGS_CACHED, sizeof *db->things);
    buf_init(&db->stale, STALE_MAX_BYTES);
    buf_init(&db->text, MESSAGE_MAX_BYTES);
    buf_init(&db->sums, 8 * VIEW_WRITES_MAX);
    buf_init(&db->old_sums, 8 * VIEW_WRITES_MAX);
    buf_init(&db->newest, CATEGORY_MAX_BYTES + 1 + STREAM_MAX_BYTES);
    if (db->path == NULL || db->things == NULL)
        view_db_close(&db);
    return db;
}

void view_db_close(view_db **at)
{
    view_db *db = *at;
    *at = NULL;
    if (db == NULL)
        return;
    for (size_t i = 0; i < ST_COUNT; i++)
        sqlite3_finalize(db->st[i]);
    (void)sqlite3_close(db->sql);
    buf_release(&db->stale);
    buf_release(&db->text);
    buf_release(&db->newest);
    buf_release(&db->sums);
    buf_release(&db->old_sums);
    free(db->slot_thing);
    free(db->rank);
    free(db->things);
    free(db->path);
    free(db);
}

static err_t connect_file(view_db *db, int flags)
{
    struct stat st;
    int rc = sqlite3_open_v2(db->path, &db->sql,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | flags, NULL);
    if (rc != SQLITE_OK)
        return view_sql_err(rc);
    (void)sqlite3_extended_result_codes(db->sql, 1);
    (void)sqlite3_busy_timeout(db->sql, BUSY_MS);
    TRY(view_exec(db, "PRAGMA cache_size = -" CACHE_KIB));
    if (stat(db->path, &st) != 0)
        return ERR_IO;
    db->inode = st.st_ino;
    db->device = st.st_dev;
    return ERR_OK;
}

bool view_db_present(const view_db *db)
{
    struct stat st;
    return stat(db->path, &st) == 0 && st.st_ino == db->inode && st.st_dev == db->device;
}

static err_t give(view_db *db, err_t e, view_db **out)
{
    if (e != ERR_OK)
        view_db_close(&db);
    *out = db;
    return e;
}

static err_t create_in(view_db *db, const dataset_id *dataset)
{
    TRY(connect_file(db, SQLITE_OPEN_CREATE));
    TRY(view_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN"));
    TRY(view_exec(db, view_schema_tables));
    TRY(view_exec(db, view_schema_views));
    TRY(view_db_set_fact(db, "schema", VIEW_SCHEMA_VERSION));
    db->salt = random_u64();
    TRY(view_db_set_fact(db, "salt", db->salt));
    return set_dataset(db, dataset);
}

err_t view_db_create(view_db **out, const char *path, const dataset_id *dataset)
{
    if (unlink(path) != 0 && access(path, F_OK) == 0)
        return ERR_FORBIDDEN;
    view_db *db = view_db_new(path);
    if (db == NULL)
        return *out = NULL, ERR_NO_MEMORY;
    db->building = true;
    return give(db, create_in(db, dataset), out);
}

/* What was built without a journal has to be on the disk before anybody relies on it. */
static err_t sync_file(const view_db *db)
{
    int fd = open(db->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    int rc = fsync(fd);
    close(fd);
    return rc == 0 ? ERR_OK : ERR_IO;
}

err_t view_db_finish(view_db *db, const view_position *at)
{
    TRY(view_form_flush(db));
    TRY(view_form_refresh(db));
    TRY(set_position(db, at));
    TRY(view_db_set_fact(db, "finished", 1));
    TRY(view_exec(db, "COMMIT"));
    TRY(sync_file(db));
    TRY(view_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                      " PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES));
    db->at = *at;
    db->building = false;
    return ERR_OK;
}

static err_t open_in(view_db *db, const dataset_id *dataset)
{
    TRY(connect_file(db, 0));
    TRY(view_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                      " PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES));
    if (!is_of(db, dataset)) {
        int rc = sqlite3_errcode(db->sql) & 0xff;
        return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? ERR_DAMAGED : ERR_FOREIGN_DB;
    }
    db->salt = view_db_fact(db, "salt");
    db->at = (view_position){view_db_fact(db, "epoch"), view_db_fact(db, "offset"),
                             view_db_fact(db, "prefix")};
    return ERR_OK;
}

err_t view_db_open(view_db **out, const char *path, const dataset_id *dataset)
{
    view_db *db = view_db_new(path);
    if (db == NULL)
        return *out = NULL, ERR_NO_MEMORY;
    return give(db, open_in(db, dataset), out);
}

view_position view_db_position(const view_db *db)
{
    return db->at;
}

/* ---- transactions ---- */

err_t view_db_begin(view_db *db)
{
    if (db->building) /* one transaction from create to finish */
        return ERR_OK;
    TRY(view_exec(db, "BEGIN IMMEDIATE"));
    db->in_batch = true;
    return ERR_OK;
}

static err_t commit_in(view_db *db, const view_position *at)
{
    TRY(view_form_flush(db));
    TRY(view_form_refresh(db));
    TRY(set_position(db, at));
    return view_exec(db, "COMMIT");
}

err_t view_db_commit(view_db *db, const view_position *at)
{
    if (db->building)
        return ERR_OK;
    err_t e = commit_in(db, at);
    if (e != ERR_OK)
        return e;
    db->in_batch = false;
    db->at = *at;
    return ERR_OK;
}

void view_db_rollback(view_db *db)
{
    if (!db->in_batch)
        return;
    for (size_t i = 0; i < ST_COUNT; i++)
        if (db->st[i] != NULL)
            sqlite3_reset(db->st[i]);
    (void)sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL,
                       NULL); /* some failures have done it already */
    db->in_batch = false;
    /* What the caches know may have been undone. */
    memset(db->things, 0, THINGS_CACHED * sizeof *db->things);
    db->delta = (view_form_delta){0};
    buf_clear(&db->stale);
}

/* ---- purging ---- */

/* Pages of the WAL are overwritten in time only; this empties it. */
static err_t truncate_wal(view_db *db)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db->sql, "PRAGMA wal_checkpoint(TRUNCATE)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    bool busy = rc == SQLITE_ROW && sqlite3_column_int(st, 0) != 0;
    sqlite3_finalize(st);
    return rc != SQLITE_ROW ? view_sql_err(rc) : busy ? ERR_BUSY : ERR_OK;
}

/* What replacing rows leaves behind in free parts of pages only goes with the pages. */
err_t view_db_purge(view_db *db, const char *fact)
{
    if (db->building || db->in_batch)
        return ERR_BUSY;
    for (size_t i = 0; i < ST_COUNT; i++)
        if (db->st[i] != NULL)
            sqlite3_reset(db->st[i]);
    view_file_drop_damaged(db->path);
    TRY(view_exec(db, "VACUUM"));
    TRY(truncate_wal(db));
    return view_db_set_fact(db, fact, 0);
}

/* ---- members ---- */

static err_t add_member(view_db *db, const view_member *m)
{
    sqlite3_stmt *st = view_st(db, ST_MEMBER_ADD);
    if (st != NULL) {
        sqlite3_bind_int(st, 1, m->number);
        view_bind(st, 2, bytes_str(m->name));
        view_bind(st, 3, bytes_str(m->role));
        sqlite3_bind_int(st, 4, m->removed);
    }
    return view_run(db, st);
}

err_t view_db_set_members(view_db *db, const view_member *m, size_t n)
{
    TRY(view_exec(db, "DELETE FROM members"));
    for (size_t i = 0; i < n; i++)
        TRY(add_member(db, &m[i]));
    return ERR_OK;
}
