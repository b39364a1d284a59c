/* Follows canonical msgpack bodies byte by byte and says where the next byte stands: which place (path of map keys and
 * array positions), how far into the value, what stood there last time. The radio codec predicts by it. It accepts
 * any bytes: what is no msgpack it reports, it never reads or writes out of bounds. */
#ifndef CAIRN_CODEC_FOLLOW_H
#define CAIRN_CODEC_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#define CODEC_DEPTH_MAX  16
#define CODEC_PLACES     4096u
#define CODEC_WINDOW_LOG 18 /* bytes that are remembered, as a power of two */

/* Stands for a float in the coded bytes: 0xc1 (never used by msgpack), length, shortest decimal text. */
#define CODEC_FLOAT_TEXT 0xc1u

/* What the next byte is. */
typedef enum {
    FOLLOW_BODY,   /* first byte of a body */
    FOLLOW_TYPE,   /* first byte of a value */
    FOLLOW_LENGTH, /* of a str, bin, ext, array or map */
    FOLLOW_TEXT,   /* of a str or bin */
    FOLLOW_DIGITS, /* of a float as text */
    FOLLOW_NUMBER, /* of an int, or a float as it is */
    FOLLOW_KINDS
} follow_kind;

typedef struct {
    uint32_t left;  /* elements to come, keys counted */
    uint32_t index; /* of the element under way */
    uint32_t place; /* hash of the path down to this container */
    uint32_t key;   /* hash of the newest key */
    bool map;
} follow_level;

/* What was last seen at a place. */
typedef struct {
    uint32_t check;
    uint32_t start, length; /* in all bytes that ever came */
    uint32_t hash, before;  /* of the last value and the one before */
    uint8_t repeats;        /* how often in a row it was equal, at most 255 */
} follow_place;

typedef struct {
    follow_level level[CODEC_DEPTH_MAX + 1];
    unsigned depth;
    uint32_t at;     /* bytes that ever came */
    uint32_t bodies; /* whole ones */
    bool bad;        /* what came is no sequence of bodies; stays so */
    /* the value under way */
    follow_kind kind; /* of the next byte */
    follow_kind payload_kind;
    uint8_t type;
    uint32_t header_left, length, payload_left;
    uint32_t start, hash, position; /* position of the next byte in it */
    bool is_key;
    uint32_t place;          /* hash */
    follow_place *last;      /* of this place */
    bool same;               /* so far the bytes are those of last time */
    uint32_t value1, value2; /* hashes of the two values before, keys not counted */
    follow_place places[CODEC_PLACES];
    uint8_t window[1u << CODEC_WINDOW_LOG];
} follow;

void follow_init(follow *f);
/* After a copy of the struct its inner pointer must be set anew. */
void follow_moved(follow *f);
void follow_byte(follow *f, uint8_t byte);

/* The byte `back` bytes ago; 1 is the newest. */
static inline uint8_t follow_back(const follow *f, uint32_t back)
{
    return f->window[(f->at - back) & ((1u << CODEC_WINDOW_LOG) - 1)];
}

/* The byte that stood here last time, or -1. */
static inline int follow_expected(const follow *f)
{
    const follow_place *l = f->last;
    uint32_t from = l->start + f->position;
    if (l->length <= f->position || f->at - from >= 1u << CODEC_WINDOW_LOG)
        return -1;
    return f->window[from & ((1u << CODEC_WINDOW_LOG) - 1)];
}

static inline uint32_t follow_mix(uint32_t a, uint32_t b)
{
    uint32_t h = (a ^ (b + 0x9e3779b9u)) * 0x85ebca6bu;
    h ^= h >> 15;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 13);
}

#endif
