#include "pure/codec_math.h"

#include <stdbool.h>
#include <stddef.h>

/* 2^24 / (1 + exp(-i / 8)) for i = -96 … 0: the logistic function at every 32nd point of its domain. */
#define KNOT_STEP 32
static const uint32_t knots[] = {
    103,     117,     132,     150,     170,     193,     218,     247,     280,     318,
    360,     408,     462,     523,     593,     672,     762,     863,     978,     1108,
    1256,    1423,    1612,    1827,    2070,    2346,    2658,    3012,    3413,    3867,
    4382,    4965,    5626,    6375,    7224,    8185,    9274,    10508,   11906,   13490,
    15285,   17318,   19621,   22230,   25186,   28533,   32325,   36620,   41484,   46992,
    53229,   60291,   68286,   77336,   87579,   99171,   112287,  127125,  143906,  162881,
    184330,  208568,  235949,  266865,  301759,  341120,  385496,  435492,  491778,  555091,
    626241,  706115,  795674,  895959,  1008087, 1133245, 1272689, 1427725, 1599699, 1789971,
    1999893, 2230770, 2483820, 2760128, 3060592, 3385864, 3736288, 4111844, 4512088, 4936108,
    5382488, 5849295, 6334081, 6833920, 7345459, 7865002, 8388608};

/* Of a point x <= 0. */
static uint32_t logistic(int x)
{
    uint32_t at = (uint32_t)(x + 96 * KNOT_STEP);
    uint32_t i = at / KNOT_STEP, rest = at % KNOT_STEP;
    uint32_t low = knots[i], high = i < 96 ? knots[i + 1] : low;
    uint32_t p = (low + (high - low) * rest / KNOT_STEP + 128) >> 8;
    return p > 0 ? p : 1;
}

static void fill_logistic(codec_tables *t)
{
    for (int x = -CODEC_STRETCH_MAX; x <= 0; x++) {
        t->squash[CODEC_STRETCH_MAX + x] = (uint16_t)logistic(x);
        t->squash[CODEC_STRETCH_MAX - x] = (uint16_t)(65536 - logistic(x));
    }
    int x = -CODEC_STRETCH_MAX;
    for (uint32_t p = 0; p < 65536; p++) {
        while (x < CODEC_STRETCH_MAX && t->squash[x + CODEC_STRETCH_MAX] < p)
            x++;
        t->stretch[p] = (int16_t)x;
    }
}

/* ---- bit histories ---- */

/* A state remembers how many zeros and ones came (the larger numbers roughly), and which came last while both did.
 * Rows: with the smaller count given by the row, the larger counts that have a state. */
static const uint8_t larger[7][18] = {
    {0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 60},
    {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32},
    {2, 3, 4, 5, 6, 8, 10, 12, 16},
    {3, 4, 5, 6, 8, 10},
    {4, 5, 6, 8},
    {5, 6},
    {6},
};

typedef struct {
    uint8_t zeros, ones, last;
} history;

static bool allowed(unsigned small, unsigned large)
{
    if (small == 0 && large == 0)
        return true;
    for (size_t i = 0; small < 7 && i < sizeof larger[0]; i++)
        if (larger[small][i] == large)
            return large >= small;
    return false;
}

static bool is_state(unsigned zeros, unsigned ones)
{
    return zeros < ones ? allowed(zeros, ones) : allowed(ones, zeros);
}

static unsigned find(const history *h, unsigned n, unsigned zeros, unsigned ones, unsigned last)
{
    for (unsigned i = 0; i < n; i++)
        if (h[i].zeros == zeros && h[i].ones == ones &&
            (zeros == 0 || ones == 0 || h[i].last == last))
            return i;
    return 0;
}

/* The next larger count that has a state beside `other`; the same when there is none. */
static unsigned raise(unsigned count, unsigned other)
{
    for (unsigned up = count + 1; up <= 60; up++)
        if (is_state(up, other))
            return up;
    return count;
}

/* The opposite of what came is believed less. */
static unsigned discount(unsigned count)
{
    return count <= 2 ? count : count <= 5 ? count - 1 : count <= 10 ? 4 : count <= 20 ? 5 : 6;
}

static unsigned successor(const history *h, unsigned n, unsigned state, unsigned bit)
{
    unsigned same = bit ? h[state].ones : h[state].zeros;
    unsigned other = discount(bit ? h[state].zeros : h[state].ones);
    while (!is_state(same, other) && same > 0) /* less is remembered of both */
        same--;
    same = raise(same, other);
    return bit ? find(h, n, other, same, 1) : find(h, n, same, other, 0);
}

static void fill_states(codec_tables *t)
{
    history h[CODEC_STATES] = {{0, 0, 0}};
    unsigned n = 1;
    for (unsigned sum = 1; sum <= 120; sum++)
        for (unsigned ones = 0; ones <= sum && ones <= 60; ones++) {
            unsigned zeros = sum - ones;
            if (zeros > 60 || !is_state(zeros, ones))
                continue;
            for (unsigned last = 0; last < (zeros > 0 && ones > 0 ? 2u : 1u); last++)
                h[n++] = (history){(uint8_t)zeros, (uint8_t)ones, (uint8_t)last};
        }
    for (unsigned s = 0; s < CODEC_STATES; s++) {
        t->zeros[s] = h[s].zeros;
        t->ones[s] = h[s].ones;
        for (unsigned bit = 0; bit < 2; bit++)
            t->next[s][bit] = (uint8_t)(s < n ? successor(h, n, s, bit) : 0);
    }
}

void codec_tables_init(codec_tables *t)
{
    fill_logistic(t);
    fill_states(t);
    for (uint32_t n = 0; n < 1024; n++)
        t->share[n] = 2 * 65536 / (2 * n + 3);
}
