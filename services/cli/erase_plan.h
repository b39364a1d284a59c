/* Which events an erasure is about: of one record, or given one by one. */
#ifndef CAIRN_ERASE_PLAN_H
#define CAIRN_ERASE_PLAN_H

#include "cli/cmd.h"

typedef struct {
    uint32_t feed;
    uint64_t seq;
    event_id id;
    bytes category, stream, kind, payload; /* owned: they lie in `body` */
    uint8_t *body;
    bytes *names; /* of the things it wrote */
    uint32_t n_names;
    bool hidden; /* erased already */
} erase_target;

typedef struct {
    erase_target *at;
    size_t n, cap;
    size_t others; /* events of the record that were left out: not about the fields asked for */
} erase_plan;

void erase_plan_release(erase_plan *p);

/* All events of a stream that can be erased and write one of the `n` fields; all of them for n 0. False, and said, when
 * they cannot be read or are too many for one step. */
bool erase_plan_stream(erase_plan *p, node *n, bytes form, bytes record, char *const *fields,
                       size_t n_fields);
/* The event named "3-17" or "3:17:a1b2". False, and said, when it is not here or cannot be erased. */
bool erase_plan_event(erase_plan *p, node *n, const char *text);

bool erase_writes(const erase_target *t, const char *field);

#endif
