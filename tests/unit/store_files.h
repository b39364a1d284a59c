/* What the tests of storages with files share: rows that are put and counted, opening with an expectation. */
#ifndef CAIRN_STORE_FILES_H
#define CAIRN_STORE_FILES_H

#include "store/store_keys.h"
#include "tests/unit/store_fixture.h"

static inline void put_rows(store_kv *kv, uint64_t from, uint64_t n)
{
    kv_txn *txn;
    store_key key;
    uint8_t value[1000] = {0};
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    for (uint64_t i = from; i < from + n; i++) {
        key_offset(&key, i);
        cr_assert_eq(kv_append(txn, KV_LOG, key_view(&key), bytes_of(value, sizeof value)), ERR_OK);
    }
    cr_assert_eq(kv_commit(txn), ERR_OK);
}

static inline uint64_t count_rows(store_kv *kv)
{
    kv_stats stats;
    cr_assert_eq(kv_get_stats(kv, &stats), ERR_OK);
    return stats.rows[KV_LOG];
}

/* Closes, does nothing else. */
static inline void shut(fixture *x)
{
    kv_free(x->kv);
    x->kv = NULL;
}

static inline void expect_open(fixture *x, err_t expected, const char *words)
{
    buf why;
    buf_init(&why, 1024);
    err_t e = fixture_open(x, &why);
    buf_add_u8(&why, 0);
    cr_assert_eq(e, expected, "%s: %s", err_name(e), (const char *)why.p);
    cr_assert(words == NULL || strstr((const char *)why.p, words) != NULL, "%s",
              (const char *)why.p);
    buf_release(&why);
}

#endif
