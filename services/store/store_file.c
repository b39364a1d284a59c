#include "store/store_file.h"

#include "base/limits.h"
#include "store/store_file_log.h"
#include "store/store_mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (1u << 20) /* of values in one commit of a compacted file */

typedef struct {
    store_kv kv;
    kv_txn txn; /* what the caller holds; `inner` is the one of the rows, NULL: none is open */
    kv_txn *inner;
    store_kv *rows;
    file_changes changes; /* of the open transaction */
    err_t failed;         /* of the open transaction */
    uint64_t begun_bytes; /* of rows, when it began */
    file_log log;
    char dir[DISK_PATH_MAX - 32]; /* the folder of the file */
    int lock;                     /* of that folder */
    uint64_t compact_at;          /* size of the file at which it is worth a look */
    bool read_only;
    bool uncut; /* bytes behind the log's end wait to be cut off */
    bool
        unnamed; /* after a crash the old file may have the name; nothing may go into the new one */
} file_kv;

static file_kv *of_kv(store_kv *kv)
{
    return (file_kv *)(void *)kv;
}

static void path_of(const file_kv *m, char out[DISK_PATH_MAX], const char *name)
{
    snprintf(out, DISK_PATH_MAX, "%s/%s", m->dir, name);
}

static uint64_t rows_bytes(const file_kv *m)
{
    kv_stats stats;
    return kv_get_stats(m->rows, &stats) == ERR_OK ? stats.used_bytes : 0;
}

/* What an error has left undone and must be done before anything is written. */
static err_t settle(file_kv *m)
{
    if (m->unnamed)
        TRY(disk_sync_dir(m->dir));
    m->unnamed = false;
    if (m->uncut)
        TRY(file_log_cut(&m->log));
    m->uncut = false;
    return ERR_OK;
}

/* ---- compacting, which is also how the first file is made ---- */

static err_t flush(file_log *l, file_changes *c)
{
    TRY(file_log_write(l, c));
    file_log_wrote(l, c);
    changes_clear(c);
    return ERR_OK;
}

static err_t copy_table(file_log *l, kv_txn *txn, kv_table table, file_changes *c)
{
    kv_cursor at;
    err_t e = kv_first(txn, table, bytes_of(NULL, 0), &at);
    for (; e == ERR_OK; e = kv_next(&at)) {
        e = changes_add(c, table, at.key, at.value);
        if (e == ERR_OK && c->values.len >= COPY_BYTES)
            e = flush(l, c);
        if (e != ERR_OK)
            break;
    }
    kv_done(&at);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t copy_rows(const file_kv *m, file_log *l, file_changes *c)
{
    kv_txn *txn;
    TRY(kv_begin(m->rows, false, &txn));
    err_t e = ERR_OK;
    for (kv_table t = 0; t < KV_TABLES && e == ERR_OK; t++)
        e = copy_table(l, txn, t, c);
    kv_abort(txn);
    return e == ERR_OK && c->keys.len != 0 ? flush(l, c) : e;
}

static err_t write_new(const file_kv *m, file_log *l)
{
    file_changes c;
    changes_init(&c);
    err_t e = file_log_begin(l);
    if (e == ERR_OK)
        e = copy_rows(m, l, &c);
    if (e == ERR_OK && fsync(l->fd) != 0)
        e = disk_error(errno);
    changes_release(&c);
    return e;
}

/* The rows as a new file in the place of the old one, which stays as it is when that fails. `overwrite`: what it held
 * is not left to the disk. */
static err_t compact(file_kv *m, bool overwrite)
{
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    path_of(m, from, "commits.new");
    path_of(m, to, "commits");
    file_log made = m->log;
    made.fd = open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (made.fd < 0)
        return disk_error(errno);
    err_t e = write_new(m, &made);
    if (e == ERR_OK && rename(from, to) != 0)
        e = disk_error(errno);
    if (e != ERR_OK) {
        close(made.fd);
        (void)unlink(from);
        return e;
    }
    file_log old = m->log;
    m->log = made;
    m->unnamed = true;
    e = settle(m);
    if (old.fd >= 0 && e == ERR_OK && overwrite)
        e = file_log_zero(&old);
    if (old.fd >= 0)
        close(old.fd);
    return e;
}

static void set_compact_at(file_kv *m, uint64_t size)
{
    m->compact_at = size < FILE_COMPACT_MIN_BYTES ? FILE_COMPACT_MIN_BYTES : size;
}

static void compact_when_due(file_kv *m)
{
    if (m->log.end < m->compact_at)
        return;
    if (m->log.end > 2 * rows_bytes(m) && compact(m, false) != ERR_OK)
        set_compact_at(m, m->log.end + m->log.end / 2); /* no space for both, perhaps: later */
    else
        set_compact_at(m, 2 * m->log.end);
}

/* ---- transactions ---- */

static err_t file_begin(store_kv *kv, bool write, kv_txn **out)
{
    file_kv *m = of_kv(kv);
    assert(m->inner == NULL);
    *out = NULL;
    if (write && m->read_only)
        return ERR_READ_ONLY;
    if (write)
        TRY(settle(m));
    TRY(kv_begin(m->rows, write, &m->inner));
    m->failed = ERR_OK;
    m->begun_bytes = rows_bytes(m);
    changes_clear(&m->changes);
    m->txn = (kv_txn){kv, write};
    *out = &m->txn;
    return ERR_OK;
}

static void file_abort(kv_txn *txn)
{
    file_kv *m = of_kv(txn->kv);
    kv_abort(m->inner);
    m->inner = NULL;
}

static err_t write_changes(file_kv *m)
{
    uint64_t now = rows_bytes(m);
    TRY(m->failed);
    if (now > FILE_ROWS_MAX_BYTES && now > m->begun_bytes)
        return ERR_FULL;
    if (m->changes.keys.len == 0)
        return ERR_OK;
    err_t e = file_log_write(&m->log, &m->changes);
    if (e == ERR_OK && fdatasync(m->log.fd) != 0)
        e = disk_error(errno);
    if (e == ERR_OK)
        file_log_wrote(&m->log, &m->changes);
    else
        m->uncut = true;
    (void)!settle(m);
    return e;
}

static err_t file_commit(kv_txn *txn)
{
    file_kv *m = of_kv(txn->kv);
    err_t e = txn->write ? write_changes(m) : ERR_OK;
    if (e != ERR_OK || !txn->write) {
        file_abort(txn);
        return e;
    }
    e = kv_commit(m->inner); /* nothing of it has failed, so this does not either */
    m->inner = NULL;
    compact_when_due(m);
    return e;
}

/* ---- rows ---- */

static err_t file_get(kv_txn *txn, kv_table table, bytes key, bytes *value)
{
    return kv_get(of_kv(txn->kv)->inner, table, key, value);
}

/* After a change of the rows: notes it for the file. Keys that the rows gave out outlive it. */
static err_t note(file_kv *m, err_t e, unsigned what, bytes key, bytes value)
{
    if (e == ERR_OK)
        e = changes_add(&m->changes, what, key, value);
    if (e != ERR_OK && e != ERR_NOT_FOUND && m->failed == ERR_OK)
        m->failed = e;
    return e;
}

static err_t file_put(kv_txn *txn, kv_table table, bytes key, bytes value, bool append)
{
    file_kv *m = of_kv(txn->kv);
    assert(txn->write);
    err_t e = append ? kv_append(m->inner, table, key, value) : kv_put(m->inner, table, key, value);
    return note(m, e, table, key, value);
}

static err_t file_del(kv_txn *txn, kv_table table, bytes key)
{
    file_kv *m = of_kv(txn->kv);
    assert(txn->write);
    return note(m, kv_del(m->inner, table, key), FILE_DEL + table, key, bytes_of(NULL, 0));
}

static err_t file_clear(kv_txn *txn, kv_table table)
{
    file_kv *m = of_kv(txn->kv);
    bytes none = bytes_of(NULL, 0);
    assert(txn->write);
    return note(m, kv_clear(m->inner, table), FILE_CLEAR + table, none, none);
}

/* ---- cursors: those of the rows, which go on and end by themselves ---- */

static err_t file_first(kv_txn *txn, kv_table table, bytes from, kv_cursor *c)
{
    return kv_first(of_kv(txn->kv)->inner, table, from, c);
}

static err_t file_last(kv_txn *txn, kv_table table, kv_cursor *c)
{
    return kv_last(of_kv(txn->kv)->inner, table, c);
}

/* ---- the whole ---- */

static err_t file_stats(store_kv *kv, kv_stats *out)
{
    file_kv *m = of_kv(kv);
    TRY(kv_get_stats(m->rows, out));
    out->used_bytes = m->log.end;
    out->limit_bytes = FILE_ROWS_MAX_BYTES;
    return ERR_OK;
}

/* Remains lie in the history, and compacting is all it takes. */
static err_t file_wipe(store_kv *kv, uint32_t pages, bool *more)
{
    file_kv *m = of_kv(kv);
    assert(m->inner == NULL);
    *more = true;
    if (m->read_only)
        return ERR_READ_ONLY;
    if (pages == 0)
        return ERR_OK;
    TRY(settle(m));
    TRY(compact(m, true));
    set_compact_at(m, 2 * m->log.end);
    *more = false;
    return ERR_OK;
}

static void file_free(store_kv *kv)
{
    file_kv *m = of_kv(kv);
    assert(m->inner == NULL);
    kv_free(m->rows);
    changes_release(&m->changes);
    if (m->log.fd >= 0)
        close(m->log.fd);
    if (m->lock >= 0)
        close(m->lock);
    free(m);
}

static const kv_ops file_ops = {
    .begin = file_begin,
    .commit = file_commit,
    .abort = file_abort,
    .get = file_get,
    .put = file_put,
    .del = file_del,
    .clear = file_clear,
    .first = file_first,
    .last = file_last,
    .stats = file_stats,
    .wipe = file_wipe,
    .free = file_free,
};

/* ---- opening ---- */

static err_t complain(const file_kv *m, err_t e, buf *why)
{
    if (e == ERR_LOCKED)
        buf_addf(why, "another process has the log in %s", m->dir);
    else
        buf_addf(why, "cannot use a log in %s: %s", m->dir, err_text(e));
    return e;
}

/* The folder is made on a disk that may be written, and held by one process. */
static err_t lock_folder(file_kv *m, const char *dir)
{
    if (mkdir(m->dir, 0700) == 0)
        TRY(disk_sync_dir(dir));
    else if (errno != EEXIST)
        return disk_error(errno);
    m->lock = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->lock < 0 || flock(m->lock, LOCK_EX | LOCK_NB) != 0)
        return disk_error(errno);
    return ERR_OK;
}

static err_t create(file_kv *m, store_disk_info *info)
{
    TRY(compact(m, false));
    info->created = true;
    info->inode = m->log.first_inode;
    info->birth_ns = m->log.first_birth_ns;
    return ERR_OK;
}

static err_t open_file(file_kv *m, store_disk_info *info, buf *why)
{
    char path[DISK_PATH_MAX];
    path_of(m, path, "commits");
    m->log.fd = open(path, O_RDWR | O_CLOEXEC);
    if (m->log.fd < 0 && errno == ENOENT)
        return create(m, info);
    if (m->log.fd < 0 && (errno == EROFS || errno == EACCES)) {
        m->read_only = info->read_only = true;
        m->log.fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (m->log.fd < 0)
        return disk_error(errno);
    TRY(file_log_read(&m->log, path, m->rows, info, why));
    m->uncut = info->dropped_bytes != 0;
    set_compact_at(m, 2 * rows_bytes(m));
    return ERR_OK;
}

static err_t open_all(file_kv *m, const char *dir, store_disk_info *info, buf *why)
{
    if (m->rows == NULL)
        return ERR_NO_MEMORY;
    TRY(disk_check_fs(dir, why));
    err_t e = lock_folder(m, dir);
    if (e == ERR_OK)
        e = open_file(m, info, why);
    return e == ERR_OK || why->len != 0 ? e : complain(m, e, why);
}

err_t store_file_open(store_kv **out, const char *dir, store_disk_info *info, buf *why)
{
    *out = NULL;
    *info = (store_disk_info){0};
    file_kv *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_NO_MEMORY;
    m->kv.ops = &file_ops;
    m->rows = store_mem_new();
    m->log.fd = m->lock = -1;
    changes_init(&m->changes);
    set_compact_at(m, 0);
    bool fits = snprintf(m->dir, sizeof m->dir, "%s/log", dir) < (int)sizeof m->dir;
    if (!fits)
        buf_add_str(why, "the path of the store is too long");
    err_t e = fits ? open_all(m, dir, info, why) : ERR_INVALID;
    if (e != ERR_OK) {
        if (m->rows != NULL)
            file_free(&m->kv);
        else
            free(m);
        return e;
    }
    *out = &m->kv;
    return ERR_OK;
}
