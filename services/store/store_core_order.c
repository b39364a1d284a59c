/* The order of held-back streams by key. */
#include "pure/keysort.h"
#include "store/store_core_impl.h"

#include <stdlib.h>

/* The number that eight bytes of a key make. */
static uint64_t number_at(bytes key, size_t at)
{
    uint8_t b[8] = {0};
    if (key.len > at)
        memcpy(b, key.p + at, key.len - at < 8 ? key.len - at : 8);
    return get_u64be(b);
}

static size_t common_bytes(bytes a, bytes b, size_t most)
{
    size_t n = 0;
    most = most < a.len ? most : a.len;
    most = most < b.len ? most : b.len;
    while (n < most && a.p[n] == b.p[n])
        n++;
    return n;
}

static int by_key(const void *ctx, uint32_t i, uint32_t j)
{
    const lag *l = ctx;
    return bytes_cmp(lag_key(l, &l->streams[i]), lag_key(l, &l->streams[j]));
}

/* What follows the bytes that all keys begin with decides nearly always; the keys themselves lie all
 * over memory. */
static void fill_sort_keys(const lag *l, sort_key *keys)
{
    bytes first = lag_key(l, &l->streams[0]);
    size_t common = first.len;
    for (size_t i = 1; i < l->n_streams; i++)
        common = common_bytes(first, lag_key(l, &l->streams[i]), common);
    for (size_t i = 0; i < l->n_streams; i++) {
        bytes key = lag_key(l, &l->streams[i]);
        keys[i] = (sort_key){number_at(key, common), number_at(key, common + 8), (uint32_t)i};
    }
}

err_t lag_sort(lag *l)
{
    if (l->n_order == l->n_streams)
        return ERR_OK;
    sort_key *keys = malloc(2 * l->n_streams * sizeof *keys);
    uint32_t *order = realloc(l->order, l->n_streams * sizeof *order);
    if (order != NULL)
        l->order = order;
    if (keys == NULL || order == NULL) {
        free(keys);
        return ERR_NO_MEMORY;
    }
    fill_sort_keys(l, keys);
    keysort(keys, keys + l->n_streams, l->n_streams, by_key, l);
    for (size_t i = 0; i < l->n_streams; i++)
        order[i] = keys[i].i;
    l->n_order = l->n_streams;
    free(keys);
    return ERR_OK;
}
