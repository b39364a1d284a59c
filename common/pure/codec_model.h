/* Predicts the next bit of msgpack bodies from all that came before: context mixing of the PAQ family (M. Mahoney,
 * "Adaptive Weighing of Context Models for Lossless Data Compression", 2005), with contexts that follow the msgpack.
 * Integers only. Sender and receiver feed it the same bytes and so predict the same. */
#ifndef CAIRN_CODEC_MODEL_H
#define CAIRN_CODEC_MODEL_H

#include "pure/codec_follow.h"
#include "pure/codec_math.h"

#define MODEL_CONTEXTS  14
#define MODEL_SLOTS_LOG 18 /* bytes of bit histories per context, as a power of two */
#define MODEL_INPUTS    (2 * MODEL_CONTEXTS + 4)
#define MODEL_SETS      3
#define MODEL_SELECT    512 /* weight vectors per set */
#define MODEL_MATCH_LOG 16
#define MODEL_REFINE    1024

/* An adaptive probability: 22 bits of it, 10 bits count how often it was trained. */
typedef uint32_t codec_chance;

typedef struct {
    const codec_tables *tables; /* borrowed */
    follow f;
    /* the byte under way */
    unsigned partial; /* 1 and the bits that are known */
    unsigned bits;
    uint32_t hashes[MODEL_CONTEXTS];
    uint32_t buckets[MODEL_CONTEXTS]; /* where in slots the nibble's histories are */
    uint8_t states[MODEL_CONTEXTS][1u << MODEL_SLOTS_LOG];
    codec_chance chances[MODEL_CONTEXTS][CODEC_STATES];
    /* longest match with what came before */
    uint32_t heads[1u << MODEL_MATCH_LOG];
    uint32_t match, match_length;
    codec_chance match_chances[64 * 2];
    /* the same value as last time at this place */
    codec_chance same_chances[16 * 4 * 2];
    /* mixing */
    int16_t inputs[MODEL_INPUTS];
    int32_t weights[MODEL_SETS][MODEL_SELECT][MODEL_INPUTS];
    int32_t final_weights[FOLLOW_KINDS * 8][MODEL_SETS];
    unsigned selected[MODEL_SETS];
    int16_t outputs[MODEL_SETS]; /* stretched */
    int32_t mixed;
    codec_chance *used_match, *used_same;
    uint16_t refine[2][MODEL_REFINE][33];
    unsigned refine_at[2];
    int p; /* chance of a one, of 65536 */
} codec_model;

/* Borrows the tables. */
void codec_model_init(codec_model *m, const codec_tables *t);
/* After a copy of the struct. */
void codec_model_moved(codec_model *m);
/* Chance that the next bit is one: 1 … 65535 of 65536. */
static inline uint32_t codec_model_chance(const codec_model *m)
{
    return (uint32_t)m->p;
}
/* The bit that came. */
void codec_model_learn(codec_model *m, unsigned bit);

#endif
