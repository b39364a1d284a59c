/* Which streams a batch of rows touches, each once, and which of its rows are theirs. A stream whose rows are in the
 * batch from position 0 on is *whole*: it can be folded without asking the store for more. */
#ifndef CAIRN_TOUCHED_H
#define CAIRN_TOUCHED_H

#include "base/bytes.h"
#include "base/error.h"
#include "pure/arena.h"

#include <stdint.h>

#define TOUCHED_NONE UINT32_MAX

typedef struct {
    bytes category, stream; /* own copies */
    uint32_t first, last;   /* rows of the batch, linked by touched.next */
    uint32_t n;
    bool whole;
} touched_stream;

typedef struct {
    touched_stream *at; /* in order of appearance */
    uint32_t n, room;
    uint32_t *next; /* per row of the batch: the stream's next one, or TOUCHED_NONE */
    uint32_t rows_room;
    uint32_t *slots; /* hash table of indices + 1 */
    uint32_t slots_room;
    arena names;
} touched;

void touched_init(touched *t);
void touched_release(touched *t);
void touched_clear(touched *t);
/* Row number `row` of the batch lies in this stream at `position`. ERR_NO_MEMORY. */
err_t touched_row(touched *t, bytes category, bytes stream, uint32_t row,
                  uint64_t position) CAIRN_CHECK;
/* The stream has changed in a way that its rows here do not tell: never whole. */
err_t touched_stream_only(touched *t, bytes category, bytes stream) CAIRN_CHECK;

#endif
