/* The numbers of the radio codec: logistic function and its inverse in integers, and the table of bit histories.
 * All of it follows from constants below and in codec_math.c, so every machine has the same tables for ever. */
#ifndef CAIRN_CODEC_MATH_H
#define CAIRN_CODEC_MATH_H

#include <stdint.h>

/* Probabilities are 1 … 65535 of 65536. The logistic domain is in 1/256: ln(p / (1 - p)) * 256, cut at ±12. */
#define CODEC_STRETCH_MAX 3071

/* A bit history is a state of one byte; 0 is "never seen". */
#define CODEC_STATES 256

typedef struct {
    uint16_t squash[2 * CODEC_STRETCH_MAX + 2]; /* by stretch + CODEC_STRETCH_MAX */
    int16_t stretch[65536];
    uint32_t share[1024];          /* of 65536: how far the n-th training moves a chance */
    uint8_t next[CODEC_STATES][2]; /* state after one more bit */
    uint8_t zeros[CODEC_STATES], ones[CODEC_STATES]; /* what a state remembers, for first guesses */
} codec_tables;

void codec_tables_init(codec_tables *t);

static inline int codec_squash(const codec_tables *t, int x)
{
    if (x > CODEC_STRETCH_MAX)
        x = CODEC_STRETCH_MAX;
    if (x < -CODEC_STRETCH_MAX)
        x = -CODEC_STRETCH_MAX;
    return t->squash[x + CODEC_STRETCH_MAX];
}

#endif
