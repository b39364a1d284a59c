#include "pure/arena.h"

#include "base/limits.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK_MIN_BYTES 16384u

struct arena_chunk {
    arena_chunk *older;
    size_t size;
    alignas(max_align_t) uint8_t data[];
};

void arena_init(arena *a)
{
    *a = (arena){NULL, NULL, NULL, 0};
}

void arena_release(arena *a)
{
    while (a->chunks != NULL) {
        arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
    arena_init(a);
}

static uint8_t *add_chunk(arena *a, size_t need)
{
    size_t size = a->held > CHUNK_MIN_BYTES ? a->held : CHUNK_MIN_BYTES; /* doubles what is held */
    if (size < need)
        size = need;
    arena_chunk *c = malloc(sizeof *c + size);
    if (c == NULL)
        return NULL;
    *c = (arena_chunk){a->chunks, size};
    a->chunks = c;
    a->held += size;
    a->at = c->data;
    a->end = c->data + size;
    return a->at;
}

void arena_reset(arena *a)
{
    size_t held = a->held;
    if (a->chunks != NULL && a->chunks->older == NULL && held <= ARENA_KEEP_BYTES) {
        a->at = a->chunks->data;
        return;
    }
    arena_release(a);
    if (held > 0) /* one chunk that would have held it all; failing to get it now means nothing */
        (void)add_chunk(a, held < ARENA_KEEP_BYTES ? held : ARENA_KEEP_BYTES);
}

void *arena_array(arena *a, size_t n, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size != 0 && n > (SIZE_MAX / 4) / size)
        return NULL;
    size_t need = (n * size + align - 1) & ~(align - 1);
    if ((size_t)(a->end - a->at) < need || a->at == NULL)
        if (add_chunk(a, need) == NULL)
            return NULL;
    void *p = a->at;
    a->at += need;
    return p;
}
