#include "projection/touched.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void touched_init(touched *t)
{
    *t = (touched){0};
    arena_init(&t->names);
}

void touched_release(touched *t)
{
    arena_release(&t->names);
    free(t->at);
    free(t->next);
    free(t->slots);
    touched_init(t);
}

void touched_clear(touched *t)
{
    arena_reset(&t->names);
    if (t->slots_room > 0)
        memset(t->slots, 0, t->slots_room * sizeof *t->slots);
    t->n = 0;
}

static uint32_t slot_for(const touched *t, bytes category, bytes stream)
{
    uint64_t h = XXH3_64bits_withSeed(stream.p, stream.len, XXH3_64bits(category.p, category.len));
    uint32_t i = (uint32_t)h & (t->slots_room - 1);
    while (t->slots[i] != 0) {
        const touched_stream *s = &t->at[t->slots[i] - 1];
        if (bytes_eq(s->stream, stream) && bytes_eq(s->category, category))
            break;
        i = (i + 1) & (t->slots_room - 1);
    }
    return i;
}

static bool grow(touched *t)
{
    uint32_t room = t->room == 0 ? 512 : t->room * 2;
    touched_stream *at = realloc(t->at, room * sizeof *at);
    if (at != NULL)
        t->at = at;
    uint32_t *slots = calloc((size_t)room * 2, sizeof *slots);
    if (at == NULL || slots == NULL) {
        free(slots);
        return false;
    }
    free(t->slots);
    t->room = room;
    t->slots = slots;
    t->slots_room = room * 2;
    for (uint32_t i = 0; i < t->n; i++)
        t->slots[slot_for(t, t->at[i].category, t->at[i].stream)] = i + 1;
    return true;
}

static bool copy_name(touched *t, bytes from, bytes *to)
{
    uint8_t *p = arena_array(&t->names, from.len, 1);
    if (p == NULL)
        return false;
    if (from.len > 0)
        memcpy(p, from.p, from.len);
    *to = bytes_of(p, from.len);
    return true;
}

static touched_stream *stream_of(touched *t, bytes category, bytes stream)
{
    if (t->n == t->room && !grow(t))
        return NULL;
    uint32_t slot = slot_for(t, category, stream);
    if (t->slots[slot] != 0)
        return &t->at[t->slots[slot] - 1];
    touched_stream *s = &t->at[t->n];
    *s = (touched_stream){.first = TOUCHED_NONE, .last = TOUCHED_NONE, .whole = true};
    if (!copy_name(t, category, &s->category) || !copy_name(t, stream, &s->stream))
        return NULL;
    t->slots[slot] = ++t->n;
    return s;
}

static bool row_room(touched *t, uint32_t row)
{
    if (row < t->rows_room)
        return true;
    uint32_t room = t->rows_room == 0 ? 4096 : t->rows_room * 2;
    while (room <= row)
        room *= 2;
    uint32_t *next = realloc(t->next, room * sizeof *next);
    if (next == NULL)
        return false;
    t->next = next;
    t->rows_room = room;
    return true;
}

err_t touched_row(touched *t, bytes category, bytes stream, uint32_t row, uint64_t position)
{
    touched_stream *s = stream_of(t, category, stream);
    if (s == NULL || !row_room(t, row))
        return ERR_NO_MEMORY;
    s->whole = s->whole && position == s->n;
    t->next[row] = TOUCHED_NONE;
    if (s->n++ == 0)
        s->first = row;
    else
        t->next[s->last] = row;
    s->last = row;
    return ERR_OK;
}

err_t touched_stream_only(touched *t, bytes category, bytes stream)
{
    touched_stream *s = stream_of(t, category, stream);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->whole = false;
    return ERR_OK;
}
