#include "pure/keysort.h"

#include <stdbool.h>
#include <string.h>

#define RUN_KEYS 16u /* sorted by insertion before merging */

static inline bool after(const sort_key *x, const sort_key *y, sort_tie tie, const void *ctx)
{
    if (x->a != y->a)
        return x->a > y->a;
    if (x->b != y->b)
        return x->b > y->b;
    return tie != NULL && tie(ctx, x->i, y->i) > 0;
}

static void insertion(sort_key *k, size_t n, sort_tie tie, const void *ctx)
{
    for (size_t i = 1; i < n; i++) {
        sort_key moving = k[i];
        size_t at = i;
        for (; at > 0 && after(&k[at - 1], &moving, tie, ctx); at--)
            k[at] = k[at - 1];
        k[at] = moving;
    }
}

/* Merges k[0..mid) and k[mid..n), the first of them moved to scratch. */
static void merge(sort_key *k, sort_key *scratch, size_t mid, size_t n, sort_tie tie,
                  const void *ctx)
{
    if (!after(&k[mid - 1], &k[mid], tie, ctx))
        return;
    memcpy(scratch, k, mid * sizeof *k);
    size_t left = 0, right = mid, to = 0;
    while (left < mid && right < n)
        k[to++] = after(&scratch[left], &k[right], tie, ctx) ? k[right++] : scratch[left++];
    memcpy(k + to, scratch + left, (mid - left) * sizeof *k);
}

void keysort(sort_key *keys, sort_key *scratch, size_t n, sort_tie tie, const void *ctx)
{
    for (size_t i = 0; i < n; i += RUN_KEYS)
        insertion(keys + i, n - i < RUN_KEYS ? n - i : RUN_KEYS, tie, ctx);
    for (size_t width = RUN_KEYS; width < n; width *= 2)
        for (size_t i = 0; i + width < n; i += 2 * width)
            merge(keys + i, scratch, width, n - i < 2 * width ? n - i : 2 * width, tie, ctx);
}
