#include "pure/roster_table.h"

#include <assert.h>
#include <stdlib.h>

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint64_t roster_table_hash(uint64_t salt, const void *p, size_t len)
{
    assert(len % 4 == 0);
    const uint8_t *at = p;
    uint64_t h = salt;
    for (size_t i = 0; i < len; i += 4)
        h = mix(h + 0x9e3779b97f4a7c15ull + get_u32be(at + i));
    return h;
}

void roster_table_release(roster_table *t)
{
    free(t->hashes);
    free(t->items);
    *t = (roster_table){0};
}

static void place(roster_table *t, uint64_t hash, void *item)
{
    size_t i = hash & (t->places - 1);
    while (t->items[i])
        i = (i + 1) & (t->places - 1);
    t->hashes[i] = hash;
    t->items[i] = item;
}

/* At most half of the places are taken. */
err_t roster_table_reserve(roster_table *t, size_t more)
{
    if ((t->n + more) * 2 <= t->places)
        return ERR_OK;
    roster_table bigger = {.n = t->n, .places = t->places ? t->places : 16};
    while ((t->n + more) * 2 > bigger.places)
        bigger.places *= 2;
    bigger.hashes = calloc(bigger.places, sizeof *bigger.hashes);
    bigger.items = calloc(bigger.places, sizeof *bigger.items);
    if (!bigger.hashes || !bigger.items) {
        roster_table_release(&bigger);
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < t->places; i++)
        if (t->items[i])
            place(&bigger, t->hashes[i], t->items[i]);
    roster_table_release(t);
    *t = bigger;
    return ERR_OK;
}

void roster_table_put(roster_table *t, uint64_t hash, void *item)
{
    assert((t->n + 1) * 2 <= t->places);
    place(t, hash, item);
    t->n++;
}

void *roster_table_find(const roster_table *t, uint64_t hash, roster_table_same same,
                        const void *key)
{
    if (t->n == 0)
        return NULL;
    for (size_t i = hash & (t->places - 1); t->items[i]; i = (i + 1) & (t->places - 1))
        if (t->hashes[i] == hash && same(t->items[i], key))
            return t->items[i];
    return NULL;
}
