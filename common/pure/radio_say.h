/* What is said on the air: the plaintext of a frame (proto/FORMAT.md section 11, proto/vectors/says.json). The kind
 * stands in the frame's header. Decoders are strict, allocate nothing and borrow; they look into no body.
 *
 * A feed is written as its code, (incarnation >> 2) << 18 | member << 2 | class: one byte for the usual feeds of the
 * first 31 members. Numbers are varints: seven bits a byte, the lowest first, the top bit on all but the last, shortest
 * only. A list is its length and then entries in ascending order of codes: the first code, then the distance to the
 * one before less one. */
#ifndef CAIRN_RADIO_SAY_H
#define CAIRN_RADIO_SAY_H

#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"

/* Kinds of frames; from 8 on control frames (radio_frame.h). */
#define RADIO_KIND_RUN    0u
#define RADIO_KIND_PART   1u
#define RADIO_KIND_CUT    2u /* not written yet */
#define RADIO_KIND_BEACON 8u
#define RADIO_KIND_WANT   9u
#define RADIO_KIND_JOIN   10u /* not written yet */

#define RADIO_DIGEST_BYTES   6u /* the first of the frontier's */
#define RADIO_PREVIOUS_BYTES 4u
#define RADIO_TAG32_BYTES    4u
#define RADIO_CODE_MAX       UINT32_MAX

static inline uint32_t radio_feed_code(feed_id f)
{
    uint32_t incarnation = f >> 16;
    return incarnation >> 2 << 18 | (f & 0xffff) << 2 | (incarnation & 3);
}

static inline feed_id radio_feed_of(uint32_t code)
{
    return (code >> 18 << 2 | (code & 3)) << 16 | (code >> 2 & 0xffff);
}

typedef struct {
    feed_id feed;
    uint64_t seq;   /* a beacon's: the newest held; a want's: the first that is missing */
    uint32_t count; /* of a want: how many, 0 for all that follow */
    bool plain;     /* of a want: in codec 0, because the asker has no whole history */
} radio_entry;

typedef struct {
    uint32_t n;
    radio_entry at[RADIO_ENTRIES_MAX];
} radio_list;

typedef struct {
    feed_id feed;
    uint64_t first_seq;
    uint32_t count;
    uint8_t codec;                          /* RUN_CODEC_PLAIN or RUN_CODEC_RADIO */
    uint8_t previous[RADIO_PREVIOUS_BYTES]; /* the first of the id of first_seq - 1 */
    uint64_t
        history_seq; /* first body of the history; first_seq when there is none, and under codec 0 */
    feed_id prime_feed; /* prime_seq 0: none */
    uint64_t prime_seq; /* the model has seen RADIO_PRIME_BYTES of that feed first, up to this */
    seal_sig seal;      /* of the last event */
    radio_list news;    /* what else the sender holds that is fresh */
    bytes code;         /* codec 0: for each event varint (length << 1 | erased), data */
} radio_run;

typedef struct {
    uint8_t tag[RADIO_TAG32_BYTES]; /* the first bytes of H(the whole plaintext of kind RUN) */
    uint8_t index, total;
    bytes data; /* all parts but the last are equally long */
} radio_part;

typedef struct {
    uint8_t digest[RADIO_DIGEST_BYTES];
    bool whole; /* the list has all that is held with codes low … high; else a choice of it */
    uint32_t low, high;
    radio_list list;
} radio_beacon;

/* Each writes at most `max` bytes to `out` and returns how many, 0 if it does not fit. Lists must be in order. */
size_t radio_put_run(uint8_t *out, size_t max, const radio_run *r);
size_t radio_put_part(uint8_t *out, size_t max, const radio_part *p);
size_t radio_put_beacon(uint8_t *out, size_t max, const radio_beacon *b);
size_t radio_put_want(uint8_t *out, size_t max, const radio_list *wants);

/* TRUNCATED, TRAILING, NOT_SHORTEST, TOO_LARGE (a list, a count), OUT_OF_RANGE (seq 0, order, no events, a class that
 * nobody has), VERSION (a flag or a codec of later versions). */
err_t radio_get_run(bytes in, radio_run *out) CAIRN_CHECK;
err_t radio_get_part(bytes in, radio_part *out) CAIRN_CHECK;
err_t radio_get_beacon(bytes in, radio_beacon *out) CAIRN_CHECK;
err_t radio_get_want(bytes in, radio_list *wants) CAIRN_CHECK;

/* Events of codec 0, one after the other. Appends one; false when it does not fit in `max`. */
bool radio_put_body(uint8_t *out, size_t max, size_t *len, bytes data, bool erased);
/* ERR_OK and the next, or why it is none; `rest` moves on. */
err_t radio_get_body(bytes *rest, bytes *data, bool *erased) CAIRN_CHECK;

/* Adds to a list in order; a feed that is there already keeps the greater seq. False when it is full. */
bool radio_list_add(radio_list *l, const radio_entry *e);

#endif
