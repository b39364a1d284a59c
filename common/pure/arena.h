/* Memory that is taken in many small pieces and given back at once, so that a fold costs no malloc
 * per field. */
#ifndef CAIRN_ARENA_H
#define CAIRN_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct arena_chunk arena_chunk;
typedef struct {
    arena_chunk *chunks; /* newest first */
    uint8_t *at, *end;   /* what is free in the newest */
    size_t held;         /* bytes in all chunks */
} arena;

void arena_init(arena *a);
void arena_release(arena *a);
/* All pieces become invalid; one chunk of at most ARENA_KEEP_BYTES stays for the next round. */
void arena_reset(arena *a);
/* `n` pieces of `size` bytes, aligned for any type, not cleared; NULL when memory is short. n may
 * be 0. */
void *arena_array(arena *a, size_t n, size_t size);

#endif
