#include "cli/infer_seen.h"

#include <stdlib.h>

void infer_seen_release(infer_seen *s)
{
    free(s->slots);
    infer_seen_init(s);
}

/* Where `hash` is or belongs; linear probing, and the hash is its own hash value. */
static seen_slot *slot_of(seen_slot *slots, size_t capacity, const uint8_t hash[16])
{
    size_t i = (size_t)get_u64be(hash);
    for (;; i++) {
        seen_slot *slot = &slots[i & (capacity - 1)];
        if (slot->number == 0 || memcmp(slot->hash, hash, sizeof slot->hash) == 0)
            return slot;
    }
}

static err_t grow(infer_seen *s)
{
    size_t capacity = s->capacity ? 2 * s->capacity : 1024;
    seen_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i].number != 0)
            *slot_of(slots, capacity, s->slots[i].hash) = s->slots[i];
    free(s->slots);
    s->slots = slots;
    s->capacity = capacity;
    return ERR_OK;
}

err_t infer_seen_at(infer_seen *s, const uint8_t hash[16], uint64_t **number)
{
    if (3 * (s->used + 1) > 2 * s->capacity)
        TRY(grow(s));
    seen_slot *slot = slot_of(s->slots, s->capacity, hash);
    if (slot->number == 0) {
        memcpy(slot->hash, hash, sizeof slot->hash);
        s->used++;
    }
    *number = &slot->number;
    return ERR_OK;
}
