/* One conformance suite for every storage below the store: random transactions against a sorted array. */
#include "store/store_keys.h"
#include "tests/unit/prop.h"
#include "tests/unit/store_fixture.h"

#define ROWS_MAX 4096

typedef struct {
    kv_table table;
    uint8_t key[40], value[64];
    size_t key_len, value_len;
} model_row;
typedef struct {
    model_row rows[ROWS_MAX];
    size_t n;
} model;

static bytes row_key(const model_row *r)
{
    return bytes_of(r->key, r->key_len);
}

/* First row of the table with a key >= key, else where it would be. */
static size_t lower(const model *m, kv_table table, bytes key)
{
    size_t i = 0;
    while (i < m->n && (m->rows[i].table < table ||
                        (m->rows[i].table == table && bytes_cmp(row_key(&m->rows[i]), key) < 0)))
        i++;
    return i;
}

static bool at_key(const model *m, size_t i, kv_table table, bytes key)
{
    return i < m->n && m->rows[i].table == table && bytes_eq(row_key(&m->rows[i]), key);
}

static void model_put(model *m, const model_row *r)
{
    size_t i = lower(m, r->table, row_key(r));
    if (!at_key(m, i, r->table, row_key(r))) {
        memmove(m->rows + i + 1, m->rows + i, (m->n - i) * sizeof *m->rows);
        m->n++;
    }
    m->rows[i] = *r;
}

static model_row random_row(prop_rng *r)
{
    model_row row = {.table = (kv_table)prop_below(r, KV_TABLES)};
    row.key_len = 1 + prop_below(r, prop_below(r, 4) == 0 ? 40 : 3);
    row.value_len = prop_below(r, 64);
    for (size_t i = 0; i < row.key_len; i++)
        row.key[i] = (uint8_t)prop_below(r, 4) * 85;
    for (size_t i = 0; i < row.value_len; i++)
        row.value[i] = (uint8_t)prop_u64(r);
    return row;
}

static void compare_table(kv_txn *txn, const model *m, kv_table table)
{
    kv_cursor c;
    size_t i = lower(m, table, bytes_of(NULL, 0));
    err_t e = kv_first(txn, table, bytes_of(NULL, 0), &c);
    for (; e == ERR_OK; e = kv_next(&c), i++) {
        cr_assert(at_key(m, i, table, c.key));
        cr_assert(bytes_eq(c.value, bytes_of(m->rows[i].value, m->rows[i].value_len)));
    }
    cr_assert_eq(e, ERR_NOT_FOUND);
    cr_assert(i == m->n || m->rows[i].table != table);
    kv_done(&c);
    e = kv_last(txn, table, &c);
    cr_assert_eq(e, i > 0 && m->rows[i - 1].table == table ? ERR_OK : ERR_NOT_FOUND);
    if (e == ERR_OK)
        cr_assert(bytes_eq(c.key, row_key(&m->rows[i - 1])));
    kv_done(&c);
}

static void compare_seek(kv_txn *txn, const model *m, const model_row *probe)
{
    kv_cursor c;
    bytes value;
    size_t i = lower(m, probe->table, row_key(probe));
    bool held = at_key(m, i, probe->table, row_key(probe));
    cr_assert_eq(kv_get(txn, probe->table, row_key(probe), &value), held ? ERR_OK : ERR_NOT_FOUND);
    err_t e = kv_first(txn, probe->table, row_key(probe), &c);
    bool any = i < m->n && m->rows[i].table == probe->table;
    cr_assert_eq(e, any ? ERR_OK : ERR_NOT_FOUND);
    if (any)
        cr_assert(bytes_eq(c.key, row_key(&m->rows[i])));
    kv_done(&c);
}

static void change(prop_rng *r, kv_txn *txn, model *m)
{
    model_row row = random_row(r);
    size_t i = lower(m, row.table, row_key(&row));
    bool held = at_key(m, i, row.table, row_key(&row));
    bool last = !held && (i == m->n || m->rows[i].table != row.table);
    bytes value = bytes_of(row.value, row.value_len);
    if (prop_below(r, 200) == 0) {
        cr_assert_eq(kv_clear(txn, row.table), ERR_OK);
        size_t from = lower(m, row.table, bytes_of(NULL, 0)), to = from;
        while (to < m->n && m->rows[to].table == row.table)
            to++;
        memmove(m->rows + from, m->rows + to, (m->n - to) * sizeof *m->rows);
        m->n -= to - from;
    } else if (prop_below(r, 4) == 0) {
        cr_assert_eq(kv_del(txn, row.table, row_key(&row)), held ? ERR_OK : ERR_NOT_FOUND);
        if (held) {
            memmove(m->rows + i, m->rows + i + 1, (m->n - i - 1) * sizeof *m->rows);
            m->n--;
        }
    } else if (m->n < ROWS_MAX) {
        cr_assert_eq(last ? kv_append(txn, row.table, row_key(&row), value)
                          : kv_put(txn, row.table, row_key(&row), value),
                     ERR_OK);
        model_put(m, &row);
    }
}

/* What was committed is what another process finds. */
static void reopen(fixture *x)
{
    buf why;
    if (x->kind == IN_MEMORY)
        return;
    buf_init(&why, 1024);
    kv_free(x->kv);
    cr_assert_eq(fixture_open(x, &why), ERR_OK);
    buf_release(&why);
}

static void random_transactions(fixture *x)
{
    static model committed, m;
    kv_txn *txn;
    prop_rng r = prop_begin("store_kv");
    committed.n = 0;
    for (int round = 0; round < 150; round++) {
        m = committed;
        cr_assert_eq(kv_begin(x->kv, true, &txn), ERR_OK);
        for (uint64_t n = prop_below(&r, 60); n > 0; n--)
            change(&r, txn, &m);
        model_row probe = random_row(&r);
        compare_seek(txn, &m, &probe);
        if (prop_below(&r, 3) == 0) {
            kv_abort(txn);
        } else {
            cr_assert_eq(kv_commit(txn), ERR_OK);
            committed = m;
        }
        if (prop_below(&r, 20) == 0)
            reopen(x);
        cr_assert_eq(kv_begin(x->kv, false, &txn), ERR_OK);
        for (kv_table t = 0; t < KV_TABLES; t++)
            compare_table(txn, &committed, t);
        kv_abort(txn);
    }
}

Test(store_kv, random_transactions_in_memory)
{
    fixture x;
    fixture_init(&x, IN_MEMORY);
    random_transactions(&x);
    fixture_release(&x);
}

Test(store_kv, random_transactions_in_lmdb, .timeout = 60)
{
    fixture x;
    fixture_init(&x, IN_LMDB);
    random_transactions(&x);
    fixture_release(&x);
}

Test(store_kv, random_transactions_in_a_file, .timeout = 60)
{
    fixture x;
    fixture_init(&x, IN_FILE);
    random_transactions(&x);
    fixture_release(&x);
}

static void appending(fixture *x)
{
    kv_txn *txn;
    kv_stats stats;
    store_key key;
    cr_assert_eq(kv_begin(x->kv, true, &txn), ERR_OK);
    for (uint64_t i = 1; i <= 3000; i++) {
        key_offset(&key, i * 2);
        cr_assert_eq(kv_append(txn, KV_LOG, key_view(&key), bytes_str("value")), ERR_OK);
    }
    cr_assert_eq(kv_commit(txn), ERR_OK);
    cr_assert_eq(kv_get_stats(x->kv, &stats), ERR_OK);
    cr_assert_eq(stats.rows[KV_LOG], 3000);
    cr_assert_eq(stats.rows[KV_FEED], 0);
    cr_assert_eq(kv_begin(x->kv, true, &txn), ERR_OK);
    key_offset(&key, 7);
    cr_assert_eq(kv_append(txn, KV_LOG, key_view(&key), bytes_str("value")), ERR_BUG);
    kv_abort(txn);
}

Test(store_kv, append_wants_ascending_keys)
{
    for (fixture_kind kind = IN_MEMORY; kind < FIXTURE_KINDS; kind++) {
        fixture x;
        fixture_init(&x, kind);
        appending(&x);
        fixture_release(&x);
    }
}

Test(store_kv, memory_copies_and_fails_on_request)
{
    kv_txn *txn;
    bytes value;
    store_kv *kv = store_mem_new();
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_put(txn, KV_META, bytes_str("a"), bytes_str("1")), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
    store_kv *copy = store_mem_copy(kv);
    store_mem_fail(kv, 1, ERR_FULL);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
        cr_assert_eq(kv_put(txn, KV_META, bytes_str("a"), bytes_str(i == 0 ? "2" : "3")), ERR_OK);
        cr_assert_eq(kv_commit(txn), i == 0 ? ERR_OK : ERR_FULL);
    }
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    cr_assert_eq(kv_get(txn, KV_META, bytes_str("a"), &value), ERR_OK);
    cr_assert(bytes_is(value, "2"));
    kv_abort(txn);
    cr_assert_eq(kv_begin(copy, false, &txn), ERR_OK);
    cr_assert_eq(kv_get(txn, KV_META, bytes_str("a"), &value), ERR_OK);
    cr_assert(bytes_is(value, "1"));
    kv_abort(txn);
    kv_free(kv);
    kv_free(copy);
}
