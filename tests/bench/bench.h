/* What the benchmarks below have in common: time, one line per figure, an end at the first error, and numbers that are
 * the same in every run. */
#ifndef CAIRN_BENCH_H
#define CAIRN_BENCH_H

#include "base/error.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void line(const char *name, double value, const char *unit)
{
    printf("%-36s %14.1f %s\n", name, value, unit);
    fflush(stdout);
}

static inline void must(err_t e, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(e));
    exit(1);
}

static inline uint64_t next_random(void)
{
    static uint64_t z = 42;
    z ^= z << 13;
    z ^= z >> 7;
    z ^= z << 17;
    return z;
}

#endif
