/* Random input for property tests: splitmix64 (Steele, Lea, Flood 2014) from a seed that is printed, so that a failure
 * is run again with CAIRN_SEED=… . Without it the seed is fixed: tests are the same on every machine. */
#ifndef CAIRN_PROP_H
#define CAIRN_PROP_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    uint64_t state;
} prop_rng;

static inline uint64_t prop_u64(prop_rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* 0 … n-1; the bias of the remainder does not matter here. n is not 0. */
static inline uint64_t prop_below(prop_rng *r, uint64_t n)
{
    return prop_u64(r) % n;
}

static inline prop_rng prop_begin(const char *name)
{
    const char *given = getenv("CAIRN_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 20260101;
    fprintf(stderr, "%s: CAIRN_SEED=%llu\n", name, (unsigned long long)seed);
    return (prop_rng){seed};
}

#endif
