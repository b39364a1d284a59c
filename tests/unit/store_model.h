/* The log as a plain array, and what the store must answer computed from it by brute force. */
#ifndef CAIRN_STORE_MODEL_H
#define CAIRN_STORE_MODEL_H

#include "store/store_core.h"
#include "tests/unit/prop.h"

#define MODEL_EVENTS_MAX 6000
#define MODEL_BODY_MAX   160
#define MODEL_BASE_MAX   700 /* events made, held or not */

/* An event that exists somewhere. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    int parent; /* index, -1 at seq 1 */
    event_id prev, id;
    uint8_t body[MODEL_BODY_MAX];
    size_t body_len;
    char category[8], stream[8];
    bool opaque;
} model_event;

/* What lies at an offset. */
typedef struct {
    int event;       /* index */
    uint64_t target; /* of a changed row, else 0 */
    uint64_t position;
    uint8_t flags;
    bool sealed;
} model_slot;

typedef struct {
    model_event events[MODEL_BASE_MAX];
    int n_events;
    model_slot log[MODEL_EVENTS_MAX]; /* by offset - 1 */
    uint64_t head;
} model;

void model_init(model *m);
/* A new event after `parent` (-1: a new chain of `feed`). */
int model_make(model *m, prop_rng *r, feed_id feed, int parent);
void model_seal(seal_sig *out, const model_event *e);
/* Offset at which the event is held, 0 if it is not. */
uint64_t model_held(const model *m, int event);
/* Whether a held event follows `event` (-1: begins a chain of `feed`). */
bool model_has_next(const model *m, int event, feed_id feed);
bool model_is_ancestor(const model *m, int a, int b); /* or the same */
/* Appends as the store must; the result it must give. Rows of one request, in order. */
typedef struct {
    int event;
    bool counts, seal;
} model_append_row;
err_t model_append(model *m, const model_append_row *rows, size_t n, bool allow_fork,
                   append_reply *out);
void model_verdict(model *m, uint64_t offset, bool counts);
/* Compares everything that the store can be asked. */
void model_compare(const model *m, store_core *s, prop_rng *r);
/* Builds the request rows. */
void model_rows(const model *m, const model_append_row *rows, size_t n, append_row *out,
                seal_sig *seals);
void model_check_row(const model *m, const stored_row *row);

#endif
