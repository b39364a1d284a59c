/* What stood in the rows above: a set of 128-bit hashes, each with one number. Grows with the file, 24 bytes
 * a row at two thirds full. A hash is taken for the thing itself. */
#ifndef CAIRN_INFER_SEEN_H
#define CAIRN_INFER_SEEN_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct {
    uint8_t hash[16];
    uint64_t number; /* 0: the slot is free */
} seen_slot;

typedef struct {
    seen_slot *slots; /* a power of two of them, or NULL */
    size_t capacity, used;
} infer_seen;

static inline void infer_seen_init(infer_seen *s)
{
    *s = (infer_seen){0};
}
void infer_seen_release(infer_seen *s);
/* Points *number at the number of this hash, 0 when it is new: the caller must then set it to something
 * else. Valid until the next call. ERR_NO_MEMORY. */
CAIRN_CHECK err_t infer_seen_at(infer_seen *s, const uint8_t hash[16], uint64_t **number);

#endif
