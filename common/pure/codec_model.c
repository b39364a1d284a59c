#include "pure/codec_model.h"

#include <string.h>

#define BUCKET       16u /* a check byte and the 15 histories of a nibble */
#define MATCH_LEAST  5u
#define WEIGHT_ONE   16384
#define WEIGHT_MAX   (16 * WEIGHT_ONE - 1)
#define WEIGHT_FIRST 3000
#define CHANCE_LIMIT 1023u /* the slowest training */
#define RATE_SETS    8
#define RATE_FINAL   3
#define REFINE_SHIFT 5

/* ---- adaptive probabilities ---- */

static int chance16(codec_chance c)
{
    int p = (int)(c >> 16);
    return p > 0 ? p : 1;
}

static void train(const codec_tables *t, codec_chance *c, unsigned bit)
{
    uint32_t n = *c & 1023;
    int64_t p = *c >> 10, target = bit ? (1 << 22) - 1 : 0;
    p += (target - p) * t->share[n] >> 16;
    *c = (uint32_t)p << 10 | (n < CHANCE_LIMIT ? n + 1 : n);
}

/* ---- bit histories ---- */

static uint8_t *bucket_at(codec_model *m, unsigned i, uint32_t hash)
{
    uint8_t check = (uint8_t)(hash >> 24);
    uint8_t *slots = m->states[i];
    uint32_t at = hash % ((1u << MODEL_SLOTS_LOG) / BUCKET);
    uint8_t *one = slots + at * BUCKET, *two = slots + (at ^ 1u) * BUCKET;
    if (one[0] == check)
        return one;
    if (two[0] == check)
        return two;
    const codec_tables *t = m->tables;
    unsigned a = t->zeros[one[1]] + t->ones[one[1]], b = t->zeros[two[1]] + t->ones[two[1]];
    uint8_t *victim = a <= b ? one : two;
    memset(victim, 0, BUCKET);
    victim[0] = check;
    return victim;
}

static void find_buckets(codec_model *m)
{
    for (unsigned i = 0; i < MODEL_CONTEXTS; i++) {
        uint32_t h = m->bits == 0 ? m->hashes[i] : follow_mix(m->hashes[i], m->partial);
        m->buckets[i] = (uint32_t)(bucket_at(m, i, h) - m->states[i]);
    }
}

/* Where in its bucket the history of the bits known of this nibble is: 1, 2-3, 4-7, 8-15. */
static unsigned in_nibble(const codec_model *m)
{
    return m->bits < 4 ? m->partial
                       : (m->partial & ((1u << (m->bits - 4)) - 1)) | 1u << (m->bits - 4);
}

/* ---- contexts ---- */

static uint32_t last_bytes(const follow *f, unsigned n)
{
    uint32_t h = n;
    for (unsigned i = n; i > 0; i--)
        h = follow_mix(h, follow_back(f, i));
    return h;
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 128;
}

static uint32_t word_so_far(const follow *f)
{
    uint32_t h = 0;
    for (unsigned i = 1; i < 16 && is_letter(follow_back(f, i)); i++)
        h = follow_mix(h, follow_back(f, i));
    return h;
}

static void set_contexts(codec_model *m)
{
    const follow *f = &m->f;
    const follow_place *l = f->last;
    uint32_t here = follow_mix(f->place, f->hash);
    uint32_t *h = m->hashes;
    unsigned expected = (unsigned)(follow_expected(f) + 1);
    h[0] = last_bytes(f, 1);
    h[1] = last_bytes(f, 2);
    h[2] = last_bytes(f, 3);
    h[3] = last_bytes(f, 4);
    h[4] = last_bytes(f, 6);
    h[5] = follow_mix(word_so_far(f), follow_back(f, 1));
    h[6] = here;
    h[7] = follow_mix(here, l->hash);
    h[8] = follow_mix(here, f->value1);
    h[9] = follow_mix(follow_mix(here, f->value1), f->value2);
    h[10] = follow_mix(follow_mix(f->place, f->position), expected);
    h[11] = follow_mix(follow_mix(here, f->kind), 1);
    h[12] = follow_mix(follow_mix(here, l->hash), l->before);
    h[13] = follow_mix(follow_mix(f->kind, f->position < 8 ? f->position : 8), f->depth);
    for (unsigned i = 0; i < MODEL_CONTEXTS; i++)
        h[i] = follow_mix(h[i], i);
}

/* ---- match ---- */

static void find_match(codec_model *m)
{
    const follow *f = &m->f;
    const uint32_t mask = (1u << CODEC_WINDOW_LOG) - 1;
    if (m->match_length > 0 && f->window[m->match & mask] == follow_back(f, 1)) {
        m->match++;
        m->match_length++;
    } else {
        m->match_length = 0;
    }
    if (f->at < MATCH_LEAST)
        return;
    uint32_t *head = &m->heads[last_bytes(f, MATCH_LEAST) >> (32 - MODEL_MATCH_LOG)];
    if (m->match_length == 0 && *head > 0) {
        m->match = *head;
        while (m->match_length < 32 && m->match_length < m->match &&
               f->at - m->match + m->match_length + 1 < mask &&
               f->window[(m->match - m->match_length - 1) & mask] ==
                   follow_back(f, m->match_length + 1))
            m->match_length++;
        if (m->match_length < MATCH_LEAST)
            m->match_length = 0;
    }
    *head = f->at;
}

/* ---- mixing ---- */

/* Stretched, and once more straight: near even odds the two differ in what they weigh. */
static void input_pair(codec_model *m, unsigned i, codec_chance c)
{
    int p = chance16(c);
    m->inputs[i] = m->tables->stretch[p];
    m->inputs[i + 1] = (int16_t)((p - 32768) >> 6);
}

/* An expectation of a whole byte speaks while its bits so far agree. */
static bool agrees(const codec_model *m, unsigned byte)
{
    return ((byte | 256u) >> (8 - m->bits)) == m->partial;
}

static unsigned bit_of(const codec_model *m, unsigned byte)
{
    return byte >> (7 - m->bits) & 1;
}

static unsigned match_class(const codec_model *m)
{
    uint32_t n = m->match_length;
    return n < 16 ? n : n < 32 ? 16 + (n - 16) / 4 : n < 64 ? 20 + (n - 32) / 8 : 24;
}

static void input_match(codec_model *m, unsigned i)
{
    const uint32_t mask = (1u << CODEC_WINDOW_LOG) - 1;
    unsigned byte = m->f.window[m->match & mask];
    m->used_match = NULL;
    m->inputs[i] = m->inputs[i + 1] = 0;
    m->selected[0] = 0;
    if (m->match_length > 0 && agrees(m, byte)) {
        m->used_match = &m->match_chances[match_class(m) * 2 + bit_of(m, byte)];
        m->selected[0] = 1 + match_class(m);
        input_pair(m, i, *m->used_match);
    }
}

static void input_same(codec_model *m, unsigned i)
{
    const follow *f = &m->f;
    int byte = follow_expected(f);
    unsigned repeats = f->last->repeats;
    m->used_same = NULL;
    m->inputs[i] = m->inputs[i + 1] = 0;
    m->selected[2] = 0;
    repeats = repeats < 8 ? repeats : repeats < 16 ? 8 : repeats < 32 ? 9 : repeats < 255 ? 10 : 11;
    if (byte >= 0 && f->same && agrees(m, (unsigned)byte)) {
        unsigned where = f->position == 0 ? 0 : f->position == 1 ? 1 : f->position < 4 ? 2 : 3;
        m->used_same = &m->same_chances[(repeats * 4 + where) * 2 + bit_of(m, (unsigned)byte)];
        m->selected[2] = 1 + repeats * 4 + where;
        input_pair(m, i, *m->used_same);
    }
}

/* Weights are below 16 of WEIGHT_ONE, so no product leaves 32 bits. */
static int16_t dot(const int32_t *w, const int16_t *x, unsigned n)
{
    int32_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += (w[i] * x[i]) >> 6;
    sum >>= 8;
    return (int16_t)(sum > CODEC_STRETCH_MAX    ? CODEC_STRETCH_MAX
                     : sum < -CODEC_STRETCH_MAX ? -CODEC_STRETCH_MAX
                                                : sum);
}

static int32_t bounded(int32_t w)
{
    return w > WEIGHT_MAX ? WEIGHT_MAX : w < -WEIGHT_MAX ? -WEIGHT_MAX : w;
}

static void nudge(int32_t *w, const int16_t *x, unsigned n, int error, int rate)
{
    int32_t step = error * rate >> 6;
    for (unsigned i = 0; i < n; i++)
        w[i] = bounded(w[i] + ((x[i] * step + (1 << 13)) >> 14));
}

static void mix(codec_model *m)
{
    unsigned at = (unsigned)m->f.kind * 8 + m->bits;
    unsigned level = m->f.is_key ? 2 : m->f.depth > 1 ? 1 : 0;
    m->selected[1] = at + level * (FOLLOW_KINDS * 8);
    for (unsigned s = 0; s < MODEL_SETS; s++)
        m->outputs[s] = dot(m->weights[s][m->selected[s]], m->inputs, MODEL_INPUTS);
    m->mixed = dot(m->final_weights[at], m->outputs, MODEL_SETS);
}

/* ---- refinement: what came of such a prediction before (PAQ's "APM") ---- */

static int refined(codec_model *m, unsigned k, unsigned context)
{
    int at = m->mixed + 3072; /* 32 steps of 192 */
    unsigned low = (unsigned)at / 192, rest = (unsigned)at % 192;
    uint16_t *row = m->refine[k][context % MODEL_REFINE];
    m->refine_at[k] = (context % MODEL_REFINE) * 33 + low + (rest >= 96);
    return (int)((row[low] * (192 - rest) + row[low + 1] * rest) / 192);
}

static void refine(codec_model *m)
{
    int p0 = codec_squash(m->tables, m->mixed);
    int expected = follow_expected(&m->f);
    unsigned c1 = m->partial | (unsigned)m->f.kind << 8;
    unsigned c2 = follow_mix(m->f.place, m->partial + 256u * (unsigned)(expected + 1));
    int p1 = refined(m, 0, follow_mix(c1, m->f.depth)), p2 = refined(m, 1, c2);
    int p = (2 * p0 + p1 + p2 + 2) / 4;
    m->p = p < 1 ? 1 : p > 65535 ? 65535 : p;
}

static void learn_refined(codec_model *m, unsigned bit)
{
    for (unsigned k = 0; k < 2; k++) {
        uint16_t *v = &m->refine[k][0][0] + m->refine_at[k];
        *v = (uint16_t)(bit ? *v + ((65535 - *v) >> REFINE_SHIFT) : *v - (*v >> REFINE_SHIFT));
    }
}

/* ---- the step ---- */

static void predict(codec_model *m)
{
    unsigned at = in_nibble(m);
    for (unsigned i = 0; i < MODEL_CONTEXTS; i++) {
        uint8_t state = m->states[i][m->buckets[i] + at];
        if (state == 0)
            m->inputs[2 * i] = m->inputs[2 * i + 1] = 0;
        else
            input_pair(m, 2 * i, m->chances[i][state]);
    }
    input_match(m, 2 * MODEL_CONTEXTS);
    input_same(m, 2 * MODEL_CONTEXTS + 2);
    mix(m);
    refine(m);
}

static void begin_byte(codec_model *m)
{
    m->partial = 1;
    m->bits = 0;
    set_contexts(m);
    find_buckets(m);
}

static void learn_mixers(codec_model *m, unsigned bit)
{
    int truth = bit ? 65535 : 0;
    for (unsigned s = 0; s < MODEL_SETS; s++)
        nudge(m->weights[s][m->selected[s]], m->inputs, MODEL_INPUTS,
              truth - codec_squash(m->tables, m->outputs[s]), RATE_SETS);
    nudge(m->final_weights[(unsigned)m->f.kind * 8 + m->bits], m->outputs, MODEL_SETS,
          truth - codec_squash(m->tables, m->mixed), RATE_FINAL);
}

void codec_model_learn(codec_model *m, unsigned bit)
{
    unsigned at = in_nibble(m);
    learn_mixers(m, bit);
    learn_refined(m, bit);
    for (unsigned i = 0; i < MODEL_CONTEXTS; i++) {
        uint8_t *state = &m->states[i][m->buckets[i] + at];
        train(m->tables, &m->chances[i][*state], bit);
        *state = m->tables->next[*state][bit];
    }
    if (m->used_match != NULL)
        train(m->tables, m->used_match, bit);
    if (m->used_same != NULL)
        train(m->tables, m->used_same, bit);
    m->partial = m->partial << 1 | bit;
    m->bits++;
    if (m->bits == 8) {
        follow_byte(&m->f, (uint8_t)m->partial);
        find_match(m);
        begin_byte(m);
    } else if (m->bits == 4) {
        find_buckets(m);
    }
    predict(m);
}

/* ---- the beginning ---- */

/* First guesses: what a history of so many zeros and ones says by itself, and expectations that are mostly right. */
static void init_chances(codec_model *m)
{
    for (unsigned i = 0; i < MODEL_CONTEXTS; i++)
        for (unsigned s = 0; s < CODEC_STATES; s++) {
            uint64_t ones = 2u * m->tables->ones[s], zeros = 2u * m->tables->zeros[s];
            uint32_t p = (uint32_t)(((ones * 4 + 1) << 22) / (ones * 4 + zeros * 4 + 2));
            m->chances[i][s] = (p < (1u << 22) ? p : (1u << 22) - 1) << 10;
        }
    for (unsigned i = 0; i < 64 * 2; i++)
        m->match_chances[i] = ((i & 1 ? (1u << 22) - (1u << 16) : 1u << 16) << 10);
    for (unsigned i = 0; i < 16 * 4 * 2; i++)
        m->same_chances[i] = ((i & 1 ? (1u << 22) - (1u << 19) : 1u << 19) << 10);
}

static void init_mixing(codec_model *m)
{
    for (unsigned s = 0; s < MODEL_SETS; s++)
        for (unsigned k = 0; k < MODEL_SELECT; k++)
            for (unsigned i = 0; i < MODEL_INPUTS; i += 2)
                m->weights[s][k][i] = WEIGHT_FIRST;
    for (unsigned k = 0; k < FOLLOW_KINDS * 8; k++)
        for (unsigned s = 0; s < MODEL_SETS; s++)
            m->final_weights[k][s] = WEIGHT_ONE / MODEL_SETS;
    for (unsigned k = 0; k < 2; k++)
        for (unsigned c = 0; c < MODEL_REFINE; c++)
            for (int i = 0; i < 33; i++)
                m->refine[k][c][i] = (uint16_t)codec_squash(m->tables, i * 192 - 3072);
}

void codec_model_init(codec_model *m, const codec_tables *t)
{
    memset(m, 0, sizeof *m);
    m->tables = t;
    follow_init(&m->f);
    init_chances(m);
    init_mixing(m);
    begin_byte(m);
    predict(m);
}

void codec_model_moved(codec_model *m)
{
    follow_moved(&m->f);
    predict(m);
}
