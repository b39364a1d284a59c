/* kv_ops on LMDB 0.9 (after lmdb.h's caveats). Reads renew one read transaction. When LMDB gives up
 * on an environment (MDB_PANIC after a failed write of a meta page), it is closed and opened anew at
 * the next begin. */
#include "store/store_lmdb.h"

#include "store/store_lmdb_file.h"
#include "store/store_lmdb_wipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_LEAST_BYTES   (64ull << 20)
#define OPEN_TRIES        5u
#define VALUE_MAX_BYTES   (1u << 20)
#define SHORT_WRITE_BYTES (1u << 20) /* LMDB writes that much at once */
#define SWEEP_EVERY       1024u /* write transactions from one sweep of dead readers to the next */

typedef struct {
    store_kv kv;
    kv_txn txn;
    char dir[DISK_PATH_MAX - 32];
    MDB_env *env;
    MDB_txn *open, *reader; /* `reader` is reset between uses */
    /* Of the open writing transaction, made when first used: rows that lie side by side are found
     * without a descent for each. */
    MDB_cursor *writers[KV_TABLES];
    MDB_dbi tables[KV_TABLES];
    uint64_t map_bytes;
    bool read_only;
    unsigned writes;
    int data_fd;
    uint64_t page_bytes, file_bytes; /* of the file, when the open transaction began */
    uint64_t whole_bytes;            /* so long at least is the file */
    const uint8_t *map;
    lmdb_wiper wiper;
} lmdb_kv;

static const char *const table_names[KV_TABLES] = {"meta",   "log",      "feed", "head",
                                                   "stream", "category", "idem", "damage"};

/* ---- opening ---- */

static void close_env(lmdb_kv *m)
{
    if (m->reader != NULL)
        mdb_txn_abort(m->reader);
    if (m->env != NULL)
        mdb_env_close(m->env);
    m->reader = NULL;
    m->env = NULL;
}

static int open_tables(lmdb_kv *m, bool create)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(m->env, NULL, create ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < KV_TABLES && rc == 0; i++)
        rc = mdb_dbi_open(txn, table_names[i], create ? MDB_CREATE : 0, &m->tables[i]);
    if (rc == 0)
        return mdb_txn_commit(txn); /* also of the reading one: that keeps the handles */
    mdb_txn_abort(txn);
    return rc;
}

static int open_env_once(lmdb_kv *m, const char *env_dir, unsigned flags)
{
    int rc = mdb_env_create(&m->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(m->env, KV_TABLES);
    if (rc == 0)
        rc = mdb_env_set_mapsize(m->env, (size_t)m->map_bytes);
    if (rc == 0)
        rc = mdb_env_open(m->env, env_dir, MDB_NOTLS | flags, 0600);
    if (rc != 0)
        close_env(m);
    return rc;
}

/* Smaller maps where address space is short, read-only where the medium is, and again after a moment
 * when another process (mdb_stat, a backup) opens or closes it in the same instant. */
static int open_env(lmdb_kv *m, const char *env_dir)
{
    unsigned tries = 0, flags = m->read_only ? MDB_RDONLY : 0;
    for (;;) {
        int rc = open_env_once(m, env_dir, flags);
        if (rc == ENOMEM && m->map_bytes / 2 >= MAP_LEAST_BYTES) {
            m->map_bytes /= 2;
        } else if ((rc == EROFS || rc == EACCES) && flags == 0) {
            flags = MDB_RDONLY;
        } else if ((rc == EAGAIN || rc == ENOENT || rc == EBUSY) && ++tries < OPEN_TRIES) {
            usleep(20000u << tries);
        } else {
            m->read_only = flags != 0;
            return rc;
        }
    }
}

static err_t create(lmdb_kv *m, buf *why)
{
    char temporary[DISK_PATH_MAX];
    snprintf(temporary, sizeof temporary, "%s/log.new", m->dir);
    int rc = mkdir(temporary, 0700) == 0 ? open_env(m, temporary) : errno;
    if (rc == 0)
        rc = open_tables(m, true);
    if (rc == 0)
        rc = mdb_env_sync(m->env, 1);
    close_env(m);
    err_t e = rc == 0 ? lmdb_rename_env(m->dir) : lmdb_error(rc);
    if (e != ERR_OK) {
        lmdb_remove_env(temporary);
        buf_addf(why, "cannot make a database in %s: %s", m->dir,
                 rc != 0 ? mdb_strerror(rc) : err_text(e));
    }
    return e;
}

/* Where the map begins: LMDB does not tell, but each of its pages begins with its own number, and the
 * record of a table lies in some page. Without it (`map` NULL) values are only bounded. */
static void learn_map(lmdb_kv *m)
{
    MDB_stat stat;
    MDB_dbi main_table;
    MDB_val key = {strlen(table_names[KV_LOG]), (void *)(uintptr_t)table_names[KV_LOG]}, record;
    (void)mdb_env_stat(m->env, &stat);
    (void)mdb_env_get_fd(m->env, &m->data_fd);
    m->page_bytes = stat.ms_psize;
    m->map = NULL;
    MDB_txn *txn;
    if (mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    if (mdb_dbi_open(txn, NULL, 0, &main_table) == 0 &&
        mdb_get(txn, main_table, &key, &record) == 0) {
        const uint8_t *at = record.mv_data;
        const uint8_t *page = at - (uintptr_t)at % m->page_bytes;
        size_t number;
        memcpy(&number, page, sizeof number);
        m->map = page - number * m->page_bytes;
    }
    mdb_txn_abort(txn);
}

/* A damaged page can claim a value of gigabytes; what does not lie in the file is not looked at. In a
 * writing transaction changed pages lie elsewhere. */
static bool plausible(const lmdb_kv *m, const kv_txn *txn, const MDB_val *v)
{
    const uint8_t *at = v->mv_data;
    if (v->mv_size > VALUE_MAX_BYTES)
        return false;
    return txn->write || m->map == NULL ||
           (at >= m->map && at + v->mv_size <= m->map + m->file_bytes);
}

static err_t open_existing(lmdb_kv *m, buf *why)
{
    char env_dir[DISK_PATH_MAX], data[DISK_PATH_MAX];
    snprintf(env_dir, sizeof env_dir, "%s/log", m->dir);
    snprintf(data, sizeof data, "%s/log/data.mdb", m->dir);
    TRY(lmdb_check_file(data, why));
    TRY(lmdb_reserve_lock(m->dir, why));
    int rc = open_env(m, env_dir);
    if (rc == 0) {
        int dead;
        (void)mdb_reader_check(m->env, &dead);
        rc = open_tables(m, false);
        if (rc == MDB_NOTFOUND)
            rc = MDB_INVALID; /* some other program's database */
    }
    if (rc == 0) {
        learn_map(m);
        return ERR_OK;
    }
    close_env(m);
    buf_addf(why, "cannot open %s: %s", data, mdb_strerror(rc));
    return lmdb_error(rc);
}

/* ---- transactions ---- */

static lmdb_kv *of_txn(kv_txn *txn)
{
    return (lmdb_kv *)(void *)txn->kv;
}

static err_t reopen(lmdb_kv *m)
{
    buf why;
    buf_init(&why, 1024);
    close_env(m);
    err_t e = open_existing(m, &why);
    buf_release(&why);
    return e == ERR_OK ? ERR_OK : ERR_IO;
}

static int begin_reading(lmdb_kv *m)
{
    int rc = m->reader != NULL ? mdb_txn_renew(m->reader)
                               : mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->reader);
    if (rc == 0) {
        m->open = m->reader;
    } else if (m->reader != NULL) {
        mdb_txn_abort(m->reader);
        m->reader = NULL;
    }
    return rc;
}

static int begin_writing(lmdb_kv *m)
{
    if (m->read_only)
        return EROFS;
    if (m->writes++ % SWEEP_EVERY == SWEEP_EVERY - 1) {
        int dead;
        (void)mdb_reader_check(m->env, &dead);
        lmdb_make_ballast(m->dir);
    }
    return mdb_txn_begin(m->env, NULL, 0, &m->open);
}

static int begin_any(lmdb_kv *m, bool write)
{
    return write ? begin_writing(m) : begin_reading(m);
}

static err_t lmdb_begin(store_kv *kv, bool write, kv_txn **out)
{
    lmdb_kv *m = (lmdb_kv *)(void *)kv;
    assert(m->open == NULL);
    *out = NULL;
    MDB_envinfo info;
    int rc = m->env != NULL ? begin_any(m, write) : MDB_PANIC;
    if (rc == MDB_PANIC) {
        TRY(reopen(m));
        rc = begin_any(m, write);
    }
    if (rc != 0) {
        m->open = NULL;
        return lmdb_error(rc);
    }
    (void)mdb_env_info(m->env, &info);
    m->file_bytes = (info.me_last_pgno + 1) * m->page_bytes;
    m->txn = (kv_txn){kv, write};
    *out = &m->txn;
    return ERR_OK;
}

/* LMDB frees the cursors of a writing transaction when it ends. */
static void forget_writers(lmdb_kv *m)
{
    memset(m->writers, 0, sizeof m->writers);
}

static void lmdb_abort(kv_txn *txn)
{
    lmdb_kv *m = of_txn(txn);
    assert(m->open != NULL);
    forget_writers(m);
    if (txn->write)
        mdb_txn_abort(m->open);
    else
        mdb_txn_reset(m->reader);
    m->open = NULL;
}

/* Pages at the end that were taken and given back in one transaction are never written. The file is
 * made as long as its meta page says, so that a shorter one always means that something is lost. */
static void keep_length(lmdb_kv *m)
{
    MDB_envinfo info;
    struct stat st;
    if (mdb_env_info(m->env, &info) != 0)
        return;
    uint64_t needed = (info.me_last_pgno + 1) * m->page_bytes;
    if (needed <= m->whole_bytes || fstat(m->data_fd, &st) != 0)
        return;
    if ((uint64_t)st.st_size >= needed || ftruncate(m->data_fd, (off_t)needed) == 0)
        m->whole_bytes = needed;
}

static err_t lmdb_commit(kv_txn *txn)
{
    lmdb_kv *m = of_txn(txn);
    assert(m->open != NULL);
    if (!txn->write) {
        lmdb_abort(txn);
        return ERR_OK;
    }
    forget_writers(m);
    int rc = mdb_txn_commit(m->open);
    m->open = NULL;
    if (rc == 0)
        keep_length(m);
    if (rc == EIO && lmdb_no_space(m->dir, m->data_fd, SHORT_WRITE_BYTES))
        rc = ENOSPC;
    return lmdb_error(rc);
}

/* ---- rows ---- */

static MDB_val val_of(bytes b)
{
    return (MDB_val){b.len, (void *)(uintptr_t)b.p};
}

static bytes of_val(MDB_val v)
{
    return bytes_of(v.mv_data, v.mv_size);
}

static int writer_of(lmdb_kv *m, kv_table table, MDB_cursor **out)
{
    int rc = 0;
    if (m->writers[table] == NULL)
        rc = mdb_cursor_open(m->open, m->tables[table], &m->writers[table]);
    *out = m->writers[table];
    return rc;
}

static int get_by_writer(lmdb_kv *m, kv_table table, MDB_val *k, MDB_val *v)
{
    MDB_cursor *c;
    int rc = writer_of(m, table, &c);
    return rc != 0 ? rc : mdb_cursor_get(c, k, v, MDB_SET);
}

static err_t lmdb_get(kv_txn *txn, kv_table table, bytes key, bytes *value)
{
    lmdb_kv *m = of_txn(txn);
    MDB_val k = val_of(key), v;
    int rc =
        txn->write ? get_by_writer(m, table, &k, &v) : mdb_get(m->open, m->tables[table], &k, &v);
    if (rc != 0)
        return lmdb_error(rc);
    *value = of_val(v);
    return plausible(m, txn, &v) ? ERR_OK : ERR_DAMAGED;
}

static err_t lmdb_put(kv_txn *txn, kv_table table, bytes key, bytes value, bool append)
{
    lmdb_kv *m = of_txn(txn);
    MDB_val k = val_of(key), v = val_of(value);
    MDB_cursor *c;
    assert(txn->write && key.len >= 1 && key.len <= KV_KEY_MAX);
    int rc = writer_of(m, table, &c);
    return lmdb_error(rc != 0 ? rc : mdb_cursor_put(c, &k, &v, append ? MDB_APPEND : 0));
}

static err_t lmdb_del(kv_txn *txn, kv_table table, bytes key)
{
    lmdb_kv *m = of_txn(txn);
    MDB_val k = val_of(key);
    assert(txn->write);
    return lmdb_error(mdb_del(m->open, m->tables[table], &k, NULL));
}

static err_t lmdb_clear(kv_txn *txn, kv_table table)
{
    lmdb_kv *m = of_txn(txn);
    if (m->writers[table] != NULL)
        mdb_cursor_close(m->writers[table]);
    m->writers[table] = NULL;
    return lmdb_error(mdb_drop(m->open, m->tables[table], 0));
}

/* ---- cursors ---- */

static err_t move(kv_cursor *c, MDB_val *k, MDB_cursor_op op)
{
    MDB_val v;
    int rc = mdb_cursor_get(c->impl, k, &v, op);
    if (rc != 0)
        return lmdb_error(rc);
    c->key = of_val(*k);
    c->value = of_val(v);
    return plausible(of_txn(c->txn), c->txn, &v) ? ERR_OK : ERR_DAMAGED;
}

static err_t open_cursor(kv_txn *txn, kv_table table, kv_cursor *c)
{
    lmdb_kv *m = of_txn(txn);
    MDB_cursor *cursor = NULL;
    *c = (kv_cursor){.txn = txn, .table = table};
    int rc = mdb_cursor_open(m->open, m->tables[table], &cursor);
    c->impl = rc == 0 ? cursor : NULL;
    return lmdb_error(rc);
}

static err_t lmdb_first(kv_txn *txn, kv_table table, bytes from, kv_cursor *c)
{
    MDB_val k = val_of(from);
    TRY(open_cursor(txn, table, c));
    return move(c, &k, from.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
}

static err_t lmdb_last(kv_txn *txn, kv_table table, kv_cursor *c)
{
    MDB_val k;
    TRY(open_cursor(txn, table, c));
    return move(c, &k, MDB_LAST);
}

static err_t lmdb_next(kv_cursor *c)
{
    MDB_val k;
    return move(c, &k, MDB_NEXT);
}

static void lmdb_done(kv_cursor *c)
{
    if (c->impl != NULL)
        mdb_cursor_close(c->impl);
    *c = (kv_cursor){.txn = c->txn};
}

/* ---- the whole ---- */

static err_t read_stats(lmdb_kv *m, kv_txn *txn, kv_stats *out)
{
    MDB_envinfo info;
    (void)mdb_env_info(m->env, &info);
    for (size_t i = 0; i < KV_TABLES; i++) {
        MDB_stat s;
        int rc = mdb_stat(of_txn(txn)->open, m->tables[i], &s);
        if (rc != 0)
            return lmdb_error(rc);
        out->rows[i] = s.ms_entries;
        out->table_bytes[i] =
            (uint64_t)(s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages) * s.ms_psize;
    }
    out->used_bytes = (info.me_last_pgno + 1) * m->page_bytes;
    out->limit_bytes = info.me_mapsize;
    return ERR_OK;
}

static err_t lmdb_stats(store_kv *kv, kv_stats *out)
{
    kv_txn *txn;
    *out = (kv_stats){0};
    TRY(lmdb_begin(kv, false, &txn));
    err_t e = read_stats((lmdb_kv *)(void *)kv, txn, out);
    lmdb_abort(txn);
    return e;
}

/* Pages in memory are used again without being cleared, so they go with the environment. */
static err_t lmdb_wipe_some(store_kv *kv, uint32_t pages, bool *more)
{
    lmdb_kv *m = (lmdb_kv *)(void *)kv;
    assert(m->open == NULL);
    *more = true;
    if (m->read_only)
        return ERR_READ_ONLY;
    if (pages == 0)
        m->wiper = (lmdb_wiper){0};
    if (pages == 0 || m->env == NULL)
        return reopen(m);
    return lmdb_wipe(m->env, &m->wiper, pages, more);
}

static void lmdb_free(store_kv *kv)
{
    lmdb_kv *m = (lmdb_kv *)(void *)kv;
    assert(m->open == NULL);
    close_env(m);
    free(m);
}

static const kv_ops lmdb_ops = {
    .begin = lmdb_begin,
    .commit = lmdb_commit,
    .abort = lmdb_abort,
    .get = lmdb_get,
    .put = lmdb_put,
    .del = lmdb_del,
    .clear = lmdb_clear,
    .first = lmdb_first,
    .last = lmdb_last,
    .next = lmdb_next,
    .done = lmdb_done,
    .stats = lmdb_stats,
    .wipe = lmdb_wipe_some,
    .free = lmdb_free,
};

static err_t open_or_create(lmdb_kv *m, store_disk_info *info, buf *why)
{
    char path[DISK_PATH_MAX];
    TRY(disk_check_fs(m->dir, why));
    snprintf(path, sizeof path, "%s/log.new", m->dir);
    lmdb_remove_env(path);
    snprintf(path, sizeof path, "%s/log", m->dir);
    err_t e = open_existing(m, why);
    if (e == ERR_NOT_FOUND) {
        lmdb_remove_env(path); /* a lock file alone */
        TRY(create(m, why));
        info->created = true;
        e = open_existing(m, why);
    }
    return e;
}

err_t store_lmdb_open(store_kv **out, const char *dir, uint64_t map_bytes, store_disk_info *info,
                      buf *why)
{
    *out = NULL;
    *info = (store_disk_info){0};
    lmdb_kv *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_NO_MEMORY;
    m->kv.ops = &lmdb_ops;
    m->map_bytes = map_bytes;
    if (strlen(dir) >= sizeof m->dir) {
        buf_add_str(why, "the path of the store is too long");
        free(m);
        return ERR_INVALID;
    }
    memcpy(m->dir, dir, strlen(dir) + 1);
    err_t e = open_or_create(m, info, why);
    if (e != ERR_OK) {
        lmdb_free(&m->kv);
        return e;
    }
    lmdb_make_ballast(dir);
    info->read_only = m->read_only;
    disk_learn(m->data_fd, info);
    *out = &m->kv;
    return ERR_OK;
}
