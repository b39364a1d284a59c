/* What the store needs of a database: a few tables of sorted keys, one transaction at a time.
 *
 * Implementations (store_lmdb.c, store_file.c, store_mem.c) pass one conformance suite,
 * tests/unit/test_store_kv.c. Keys are 1 to KV_KEY_MAX bytes and sorted as unsigned bytes, the
 * shorter first on a tie. Views (keys and values handed out) borrow the database: they hold until
 * the next put or del of the same transaction, or its end.
 *
 * At most one transaction is open at a time, whether it writes or only reads. Nothing here is
 * thread-safe.
 *
 * Errors that a write, a commit or begin may return, each a state that can pass: ERR_FULL (no space
 * or the map is full), ERR_READ_ONLY, ERR_IO, ERR_NO_MEMORY. After any of them from put, del or
 * commit the transaction has no effect; abort it (commit has ended it already). ERR_DAMAGED: the
 * database's own structure does not hold; from a cursor: the value cannot be read, but `key` is set
 * and kv_next goes on. */
#ifndef CAIRN_STORE_KV_H
#define CAIRN_STORE_KV_H

#include "base/buf.h"

#define KV_KEY_MAX 320u

/* In this order they are created. Their layouts: store_keys.h. */
typedef enum {
    KV_META,
    KV_LOG,
    KV_FEED,
    KV_HEAD,
    KV_STREAM,
    KV_CATEGORY,
    KV_IDEM,
    KV_DAMAGE,
    KV_TABLES
} kv_table;

typedef struct store_kv store_kv;
typedef struct kv_txn kv_txn;

typedef struct {
    uint64_t rows[KV_TABLES];
    uint64_t
        table_bytes[KV_TABLES]; /* pages in use; of the memory implementation keys and values */
    uint64_t used_bytes;        /* of the database file, or of memory */
    uint64_t limit_bytes;       /* where it is full by its own limit; 0: none */
} kv_stats;

/* A position in one table. Filled by kv_first, kv_last and kv_next; `impl` is the implementation's.
 */
typedef struct {
    kv_txn *txn;
    kv_table table;
    bytes key, value;
    void *impl;
    size_t at[2];
} kv_cursor;

typedef struct {
    err_t (*begin)(store_kv *kv, bool write, kv_txn **out);
    err_t (*commit)(kv_txn *txn);
    void (*abort)(kv_txn *txn);
    err_t (*get)(kv_txn *txn, kv_table table, bytes key, bytes *value);
    err_t (*put)(kv_txn *txn, kv_table table, bytes key, bytes value, bool append);
    err_t (*del)(kv_txn *txn, kv_table table, bytes key);
    err_t (*clear)(kv_txn *txn, kv_table table);
    err_t (*first)(kv_txn *txn, kv_table table, bytes from, kv_cursor *c);
    err_t (*last)(kv_txn *txn, kv_table table, kv_cursor *c);
    err_t (*next)(kv_cursor *c);
    void (*done)(kv_cursor *c);
    err_t (*stats)(store_kv *kv, kv_stats *out);
    err_t (*wipe)(store_kv *kv, uint32_t pages, bool *more);
    void (*free)(store_kv *kv);
} kv_ops;

/* The first member of every implementation. */
struct store_kv {
    const kv_ops *ops;
};
struct kv_txn {
    store_kv *kv;
    bool write;
};

/* The database as it was committed last. *out is NULL on failure. */
static inline CAIRN_CHECK err_t kv_begin(store_kv *kv, bool write, kv_txn **out)
{
    return kv->ops->begin(kv, write, out);
}
/* Makes all of it durable before it returns ERR_OK, or none of it. Ends the transaction either way.
 */
static inline CAIRN_CHECK err_t kv_commit(kv_txn *txn)
{
    return txn->kv->ops->commit(txn);
}
/* Ends a transaction without effect; harmless with NULL. */
static inline void kv_abort(kv_txn *txn)
{
    if (txn != NULL)
        txn->kv->ops->abort(txn);
}
/* ERR_NOT_FOUND when there is no such key. */
static inline CAIRN_CHECK err_t kv_get(kv_txn *txn, kv_table table, bytes key, bytes *value)
{
    return txn->kv->ops->get(txn, table, key, value);
}
static inline CAIRN_CHECK err_t kv_put(kv_txn *txn, kv_table table, bytes key, bytes value)
{
    return txn->kv->ops->put(txn, table, key, value, false);
}
/* The key is greater than all keys there: cheaper, and fills pages wholly. ERR_BUG when it is not.
 */
static inline CAIRN_CHECK err_t kv_append(kv_txn *txn, kv_table table, bytes key, bytes value)
{
    return txn->kv->ops->put(txn, table, key, value, true);
}
/* ERR_NOT_FOUND when there was no such key. */
static inline CAIRN_CHECK err_t kv_del(kv_txn *txn, kv_table table, bytes key)
{
    return txn->kv->ops->del(txn, table, key);
}
/* Empties a table. */
static inline CAIRN_CHECK err_t kv_clear(kv_txn *txn, kv_table table)
{
    return txn->kv->ops->clear(txn, table);
}
/* The first row with key >= from (`from` may be empty). ERR_NOT_FOUND when there is none. Whatever
 * it returns, end the cursor with kv_done before the transaction ends. No put or del while one is
 * open. */
static inline CAIRN_CHECK err_t kv_first(kv_txn *txn, kv_table table, bytes from, kv_cursor *c)
{
    return txn->kv->ops->first(txn, table, from, c);
}
/* The row with the greatest key. Otherwise as kv_first. */
static inline CAIRN_CHECK err_t kv_last(kv_txn *txn, kv_table table, kv_cursor *c)
{
    return txn->kv->ops->last(txn, table, c);
}
/* The following row; ERR_NOT_FOUND after the last. */
static inline CAIRN_CHECK err_t kv_next(kv_cursor *c)
{
    return c->txn->kv->ops->next(c);
}
static inline void kv_done(kv_cursor *c)
{
    c->txn->kv->ops->done(c);
}
static inline CAIRN_CHECK err_t kv_get_stats(store_kv *kv, kv_stats *out)
{
    return kv->ops->stats(kv, out);
}
/* Overwrites what lies in the database's file and belongs to no row: remains of what was replaced or
 * removed before this walk began. `pages` 0 begins one anew: nothing of it stays in memory either;
 * commit once before going on. Then looks at so many pages a call, until *more is false. ERR_BUSY:
 * another process reads an older state; try again later. ERR_DAMAGED: the file is not as it should
 * be, and was left alone. No transaction may be open. */
static inline CAIRN_CHECK err_t kv_wipe(store_kv *kv, uint32_t pages, bool *more)
{
    return kv->ops->wipe(kv, pages, more);
}
/* No transaction may be open. */
static inline void kv_free(store_kv *kv)
{
    if (kv != NULL)
        kv->ops->free(kv);
}

#endif
