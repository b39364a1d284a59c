/* Sorting of small keys that stand for larger things: two numbers decide nearly always, the caller
 * only a tie. */
#ifndef CAIRN_KEYSORT_H
#define CAIRN_KEYSORT_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t a, b;
    uint32_t i; /* what it stands for; not compared */
} sort_key;

/* Orders two things with equal a and b: negative, 0 or positive. 0 keeps them as they came. NULL:
 * always 0. */
typedef int (*sort_tie)(const void *ctx, uint32_t i, uint32_t j);

/* Stable merge sort, ascending; linear when sorted already. `scratch` holds n keys too. */
void keysort(sort_key *keys, sort_key *scratch, size_t n, sort_tie tie, const void *ctx);

#endif
