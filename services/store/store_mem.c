/* Sorted rows in leaves of up to LEAF_ROWS pointers, the leaves in one sorted array: binary search
 * twice, move half a leaf on insertion. A transaction keeps the rows it replaces; abort puts them back
 * in reverse order. */
#include "store/store_mem.h"

#include <assert.h>
#include <stdlib.h>

#define LEAF_ROWS 128u

typedef struct {
    uint32_t key_len, value_len;
    uint8_t b[]; /* key, then value */
} mem_row;

typedef struct {
    uint32_t n;
    mem_row *rows[LEAF_ROWS];
} mem_leaf;

typedef struct {
    mem_leaf **leaves;
    size_t n, cap;
    uint64_t rows, bytes;
} mem_table;

/* `old` was there before (owned) or NULL; `key` is a row that has the key: `old` or a bare copy. */
typedef struct {
    kv_table table;
    mem_row *old, *key;
} mem_undo;

typedef struct {
    store_kv kv;
    kv_txn txn;
    bool open;
    err_t failed; /* of the open transaction */
    mem_table tables[KV_TABLES];
    mem_undo *undo;
    size_t n_undo, cap_undo;
    unsigned fail_after;
    err_t fail_with;
} mem_kv;

static bytes row_key(const mem_row *r)
{
    return bytes_of(r->b, r->key_len);
}

static bytes row_value(const mem_row *r)
{
    return bytes_of(r->b + r->key_len, r->value_len);
}

static mem_row *row_new(bytes key, bytes value)
{
    mem_row *r = malloc(sizeof *r + key.len + value.len);
    if (r == NULL)
        return NULL;
    r->key_len = (uint32_t)key.len;
    r->value_len = (uint32_t)value.len;
    memcpy(r->b, key.p, key.len);
    if (value.len != 0)
        memcpy(r->b + key.len, value.p, value.len);
    return r;
}

/* ---- one table ---- */

/* Where `key` is or belongs; false when it is not there. */
static bool find(const mem_table *t, bytes key, size_t *leaf, size_t *at)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) { /* the last leaf whose first key is <= key */
        size_t mid = (lo + hi) / 2;
        if (bytes_cmp(row_key(t->leaves[mid]->rows[0]), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *leaf = lo > 0 ? lo - 1 : 0;
    *at = 0;
    if (t->n == 0)
        return false;
    const mem_leaf *l = t->leaves[*leaf];
    lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = bytes_cmp(row_key(l->rows[mid]), key);
        if (c == 0) {
            *at = mid;
            return true;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = lo;
    return false;
}

static mem_leaf *insert_leaf(mem_table *t, size_t at)
{
    if (t->n == t->cap) {
        size_t cap = t->cap != 0 ? t->cap * 2 : 4;
        mem_leaf **grown = realloc(t->leaves, cap * sizeof(mem_leaf *));
        if (grown == NULL)
            return NULL;
        t->leaves = grown;
        t->cap = cap;
    }
    mem_leaf *l = malloc(sizeof *l);
    if (l == NULL)
        return NULL;
    l->n = 0;
    memmove(t->leaves + at + 1, t->leaves + at, (t->n - at) * sizeof(mem_leaf *));
    t->leaves[at] = l;
    t->n++;
    return l;
}

static bool insert_row(mem_table *t, size_t leaf, size_t at, mem_row *r)
{
    if (t->n == 0 && insert_leaf(t, 0) == NULL)
        return false;
    mem_leaf *l = t->leaves[leaf];
    if (l->n == LEAF_ROWS) {
        size_t keep = at == LEAF_ROWS ? LEAF_ROWS : LEAF_ROWS / 2; /* ascending keys fill leaves */
        mem_leaf *right = insert_leaf(t, leaf + 1);
        if (right == NULL)
            return false;
        right->n = (uint32_t)(LEAF_ROWS - keep);
        memcpy(right->rows, l->rows + keep, right->n * sizeof(mem_row *));
        l->n = (uint32_t)keep;
        if (at >= keep) {
            l = right;
            at -= keep;
        }
    }
    memmove(l->rows + at + 1, l->rows + at, (l->n - at) * sizeof(mem_row *));
    l->rows[at] = r;
    l->n++;
    t->rows++;
    t->bytes += r->key_len + r->value_len;
    return true;
}

static mem_row *replace_row(mem_table *t, size_t leaf, size_t at, mem_row *r)
{
    mem_row *old = t->leaves[leaf]->rows[at];
    t->leaves[leaf]->rows[at] = r;
    t->bytes += r->key_len + r->value_len;
    t->bytes -= old->key_len + old->value_len;
    return old;
}

static mem_row *remove_row(mem_table *t, size_t leaf, size_t at)
{
    mem_leaf *l = t->leaves[leaf];
    mem_row *old = l->rows[at];
    memmove(l->rows + at, l->rows + at + 1, (l->n - at - 1) * sizeof(mem_row *));
    if (--l->n == 0) {
        free(l);
        memmove(t->leaves + leaf, t->leaves + leaf + 1, (t->n - leaf - 1) * sizeof(mem_leaf *));
        t->n--;
    }
    t->rows--;
    t->bytes -= old->key_len + old->value_len;
    return old;
}

static void table_release(mem_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < t->leaves[i]->n; k++)
            free(t->leaves[i]->rows[k]);
        free(t->leaves[i]);
    }
    free(t->leaves);
    *t = (mem_table){0};
}

/* ---- transactions ---- */

static err_t mem_begin(store_kv *kv, bool write, kv_txn **out)
{
    mem_kv *m = (mem_kv *)(void *)kv;
    assert(!m->open);
    m->open = true;
    m->failed = ERR_OK;
    m->txn = (kv_txn){kv, write};
    *out = &m->txn;
    return ERR_OK;
}

static mem_kv *of_txn(kv_txn *txn)
{
    return (mem_kv *)(void *)txn->kv;
}

static bool undo_reserve(mem_kv *m)
{
    if (m->n_undo < m->cap_undo)
        return true;
    size_t cap = m->cap_undo != 0 ? m->cap_undo * 2 : 64;
    mem_undo *grown = realloc(m->undo, cap * sizeof *grown);
    if (grown == NULL)
        return false;
    m->undo = grown;
    m->cap_undo = cap;
    return true;
}

static void forget_undo(mem_kv *m)
{
    for (size_t i = 0; i < m->n_undo; i++)
        free(m->undo[i].key);
    m->n_undo = 0;
}

static void undo_one(mem_kv *m, mem_undo *u)
{
    mem_table *t = &m->tables[u->table];
    size_t leaf, at;
    bool there = find(t, row_key(u->key), &leaf, &at);
    if (there && u->old != NULL)
        free(replace_row(t, leaf, at, u->old));
    else if (there)
        free(remove_row(t, leaf, at));
    else if (u->old != NULL && !insert_row(t, leaf, at, u->old))
        abort(); /* without memory there is no way back; a file still has all of it */
    if (u->old == NULL)
        free(u->key);
}

static void roll_back(mem_kv *m)
{
    while (m->n_undo > 0)
        undo_one(m, &m->undo[--m->n_undo]);
}

static void mem_abort(kv_txn *txn)
{
    mem_kv *m = of_txn(txn);
    assert(m->open);
    roll_back(m);
    m->open = false;
}

static err_t mem_commit(kv_txn *txn)
{
    mem_kv *m = of_txn(txn);
    err_t e = m->failed;
    assert(m->open);
    if (e == ERR_OK && txn->write && m->fail_with != ERR_OK && m->fail_after-- == 0) {
        m->fail_after = 0;
        e = m->fail_with;
    }
    if (e == ERR_OK)
        forget_undo(m);
    else
        roll_back(m);
    m->open = false;
    return e;
}

/* ---- rows ---- */

static err_t mem_get(kv_txn *txn, kv_table table, bytes key, bytes *value)
{
    const mem_table *t = &of_txn(txn)->tables[table];
    size_t leaf, at;
    if (!find(t, key, &leaf, &at))
        return ERR_NOT_FOUND;
    *value = row_value(t->leaves[leaf]->rows[at]);
    return ERR_OK;
}

static err_t put_row(mem_kv *m, kv_table table, mem_row *r, bool append)
{
    mem_table *t = &m->tables[table];
    size_t leaf, at;
    if (find(t, row_key(r), &leaf, &at)) {
        if (append)
            return ERR_BUG;
        mem_row *old = replace_row(t, leaf, at, r);
        m->undo[m->n_undo++] = (mem_undo){table, old, old};
        return ERR_OK;
    }
    if (append && t->n != 0 && (leaf + 1 != t->n || at != t->leaves[leaf]->n))
        return ERR_BUG;
    mem_row *bare = row_new(row_key(r), bytes_of(NULL, 0));
    if (bare == NULL || !insert_row(t, leaf, at, r)) {
        free(bare);
        return ERR_NO_MEMORY;
    }
    m->undo[m->n_undo++] = (mem_undo){table, NULL, bare};
    return ERR_OK;
}

static err_t mem_put(kv_txn *txn, kv_table table, bytes key, bytes value, bool append)
{
    mem_kv *m = of_txn(txn);
    assert(txn->write && key.len >= 1 && key.len <= KV_KEY_MAX);
    mem_row *r = row_new(key, value);
    err_t e = r == NULL || !undo_reserve(m) ? ERR_NO_MEMORY : put_row(m, table, r, append);
    if (e != ERR_OK) {
        free(r);
        m->failed = e;
    }
    return e;
}

static err_t mem_del(kv_txn *txn, kv_table table, bytes key)
{
    mem_kv *m = of_txn(txn);
    mem_table *t = &m->tables[table];
    size_t leaf, at;
    assert(txn->write);
    if (!find(t, key, &leaf, &at))
        return ERR_NOT_FOUND;
    if (!undo_reserve(m))
        return m->failed = ERR_NO_MEMORY;
    mem_row *old = remove_row(t, leaf, at);
    m->undo[m->n_undo++] = (mem_undo){table, old, old};
    return ERR_OK;
}

static err_t mem_clear(kv_txn *txn, kv_table table)
{
    mem_table *t = &of_txn(txn)->tables[table];
    while (t->n > 0) {
        const mem_leaf *l = t->leaves[t->n - 1];
        TRY(mem_del(txn, table, row_key(l->rows[l->n - 1])));
    }
    return ERR_OK;
}

/* ---- cursors ---- */

static err_t show(kv_cursor *c)
{
    const mem_table *t = &of_txn(c->txn)->tables[c->table];
    if (c->at[0] < t->n && c->at[1] >= t->leaves[c->at[0]]->n) {
        c->at[0]++;
        c->at[1] = 0;
    }
    if (c->at[0] >= t->n)
        return ERR_NOT_FOUND;
    const mem_row *r = t->leaves[c->at[0]]->rows[c->at[1]];
    c->key = row_key(r);
    c->value = row_value(r);
    return ERR_OK;
}

static err_t mem_first(kv_txn *txn, kv_table table, bytes from, kv_cursor *c)
{
    *c = (kv_cursor){.txn = txn, .table = table};
    (void)find(&of_txn(txn)->tables[table], from, &c->at[0], &c->at[1]);
    return show(c);
}

static err_t mem_last(kv_txn *txn, kv_table table, kv_cursor *c)
{
    const mem_table *t = &of_txn(txn)->tables[table];
    *c = (kv_cursor){.txn = txn, .table = table};
    if (t->n == 0)
        return ERR_NOT_FOUND;
    c->at[0] = t->n - 1;
    c->at[1] = t->leaves[t->n - 1]->n - 1;
    return show(c);
}

static err_t mem_next(kv_cursor *c)
{
    c->at[1]++;
    return show(c);
}

static void mem_done(kv_cursor *c)
{
    *c = (kv_cursor){.txn = c->txn};
}

/* ---- the whole ---- */

static err_t mem_stats(store_kv *kv, kv_stats *out)
{
    const mem_kv *m = (const mem_kv *)(const void *)kv;
    *out = (kv_stats){0};
    for (size_t i = 0; i < KV_TABLES; i++) {
        out->rows[i] = m->tables[i].rows;
        out->table_bytes[i] = m->tables[i].bytes;
        out->used_bytes += m->tables[i].bytes;
    }
    return ERR_OK;
}

static void mem_free(store_kv *kv)
{
    mem_kv *m = (mem_kv *)(void *)kv;
    assert(!m->open);
    for (size_t i = 0; i < KV_TABLES; i++)
        table_release(&m->tables[i]);
    free(m->undo);
    free(m);
}

/* There is no file. */
static err_t mem_wipe(store_kv *kv, uint32_t pages, bool *more)
{
    (void)kv;
    *more = pages == 0;
    return ERR_OK;
}

static const kv_ops mem_ops = {
    .begin = mem_begin,
    .commit = mem_commit,
    .abort = mem_abort,
    .get = mem_get,
    .put = mem_put,
    .del = mem_del,
    .clear = mem_clear,
    .first = mem_first,
    .last = mem_last,
    .next = mem_next,
    .done = mem_done,
    .stats = mem_stats,
    .wipe = mem_wipe,
    .free = mem_free,
};

store_kv *store_mem_new(void)
{
    mem_kv *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->kv.ops = &mem_ops;
    return &m->kv;
}

static bool copy_table(mem_table *to, const mem_table *from)
{
    for (size_t i = 0; i < from->n; i++)
        for (size_t k = 0; k < from->leaves[i]->n; k++) {
            const mem_row *r = from->leaves[i]->rows[k];
            mem_row *copy = row_new(row_key(r), row_value(r));
            size_t leaf = to->n > 0 ? to->n - 1 : 0;
            if (copy == NULL || !insert_row(to, leaf, to->n > 0 ? to->leaves[leaf]->n : 0, copy)) {
                free(copy);
                return false;
            }
        }
    return true;
}

store_kv *store_mem_copy(const store_kv *kv)
{
    const mem_kv *from = (const mem_kv *)(const void *)kv;
    assert(!from->open);
    store_kv *made = store_mem_new();
    mem_kv *to = (mem_kv *)(void *)made;
    bool good = made != NULL;
    for (size_t i = 0; i < KV_TABLES && good; i++)
        good = copy_table(&to->tables[i], &from->tables[i]);
    if (!good && made != NULL) {
        kv_free(made);
        made = NULL;
    }
    return made;
}

void store_mem_fail(store_kv *kv, unsigned after, err_t e)
{
    mem_kv *m = (mem_kv *)(void *)kv;
    m->fail_after = after;
    m->fail_with = e;
}
