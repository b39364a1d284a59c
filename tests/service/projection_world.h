/* The projection process with a store of the test's own, and the questions its tests ask. */
#ifndef CAIRN_TEST_PROJECTION_WORLD_H
#define CAIRN_TEST_PROJECTION_WORLD_H

#include "tests/service/fake_store.h"
#include "tests/service/rig.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <string.h>

typedef struct {
    rig rig;
    fake_store *store;
} world;

void world_begin(world *w);
/* Neither store nor process runs yet. */
void world_begin_alone(world *w);
void world_end(world *w);

/* ---- writing ---- */
/* A map of text to text from pairs in order of their keys, NULL at the end. Owned. */
buf world_map(const char *key, ...);
/* Appends the event with this payload, which it takes. Returns its number, as all of these. */
uint32_t world_write(world *w, fake_event e, buf payload);
uint32_t world_create(world *w, feed_id feed, const char *form, const char *record,
                      const char *field, const char *value);
/* Replaces event number `old`, or nothing when that is negative. */
uint32_t world_set(world *w, feed_id feed, const char *form, const char *record, const char *field,
                   const char *value, int old);

/* ---- asking: all wait until the view has come to the head of the log ---- */
void world_record(world *w, const char *form, const char *record, bool history, record_reply *out);
/* The i-th write of this name (NULL: any). */
write_row world_row(const record_reply *r, const char *name, unsigned i);
bool world_is_text(bytes value, const char *text);
void world_dump(world *w, buf *out);
/* Waits for min_offset only. `digest` may be NULL. */
view_row world_view(world *w, uint64_t min_offset, event_id *digest);
void world_rebuild(world *w);
/* What is shown must be what a view built from nothing shows, and the digest that of the dump. */
void world_like_fresh(world *w);
/* The view's file as people open it. */
sqlite3 *world_sqlite(const world *w);
/* First column of the first row; "" without a row, "NULL" for NULL. Borrowed until the next call. */
const char *world_sql(sqlite3 *db, const char *text);

#define assert_bytes(b, text)                                                                      \
    do {                                                                                           \
        bytes got_ = (b);                                                                          \
        cr_assert(bytes_is(got_, text), "\"%.*s\" instead of \"%s\"", (int)got_.len,               \
                  (const char *)got_.p, text);                                                     \
    } while (0)

#define assert_within(b, text)                                                                     \
    do {                                                                                           \
        bytes got_ = (b);                                                                          \
        cr_assert(memmem(got_.p, got_.len, text, strlen(text)) != NULL, "\"%.*s\" has no \"%s\"",  \
                  (int)got_.len, (const char *)got_.p, text);                                      \
    } while (0)

#endif
