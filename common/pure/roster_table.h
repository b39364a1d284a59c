/* Internal to the roster: an open-addressing table of borrowed pointers that only grows. Room is made before anything
 * is changed, so that putting cannot fail. */
#ifndef CAIRN_ROSTER_TABLE_H
#define CAIRN_ROSTER_TABLE_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct {
    uint64_t *hashes;
    void **items; /* NULL: an empty place */
    size_t n, places;
} roster_table;

typedef bool (*roster_table_same)(const void *item, const void *key);

/* Mixes `salt` and the bytes; `len` is a multiple of 4. */
uint64_t roster_table_hash(uint64_t salt, const void *p, size_t len);

void roster_table_release(roster_table *t);
/* Room for `more` items. ERR_NO_MEMORY leaves the table as it was. */
err_t roster_table_reserve(roster_table *t, size_t more) CAIRN_CHECK;
void roster_table_put(roster_table *t, uint64_t hash, void *item);
void *roster_table_find(const roster_table *t, uint64_t hash, roster_table_same same,
                        const void *key);

#endif
