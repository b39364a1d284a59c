/* The byte vectors of proto/vectors, made from nothing but fixed seeds: whoever runs this gets the same files. */
#ifndef CAIRN_VECTORS_H
#define CAIRN_VECTORS_H

#include "base/buf.h"
#include "pure/chain.h"
#include "pure/run.h"

#define VECTORS_MAX_BYTES (1u << 20)

typedef struct {
    const char *file;
    void (*make)(buf *out);
} vectors_file;
#define VECTORS_FILES 7u
extern const vectors_file vectors_files[VECTORS_FILES];

/* ---- the small dataset that all of them show ---- */
typedef enum { FOUNDER, NORTH, SOUTH, STRANGER, WRITERS } vectors_writer;
typedef struct {
    const char *name, *note;
    vectors_writer author;
    feed_id feed;
    uint64_t seq;
    bytes body;   /* lives in the world */
    bytes erased; /* the same event with its tail erased */
    event_view view;
    event_id previous, id;
    seal_sig seal;
} vectors_event;

#define WORLD_EVENTS 10u
typedef struct {
    crypto_signer keys[WRITERS];
    dataset_id dataset;
    vectors_event events[WORLD_EVENTS]; /* 0-2 feed 1, 3-6 feed 2, 7 feed 3, 8 feed 0x10003,
                                           9 feed 2 again */
    uint8_t memory[16384];
    size_t used;
} vectors_world;

/* `w` is large: keep it static. */
void vectors_make_world(vectors_world *w);
/* Appends the run of events [from, to); bits of `erase` and `seal` choose events by their index in the world. */
void vectors_run(const vectors_world *w, unsigned from, unsigned to, unsigned erase, unsigned seal,
                 buf *out);

void vectors_gate(buf *out);
void vectors_events(buf *out);
void vectors_runs(buf *out);
void vectors_bundles(buf *out);
void vectors_codec(buf *out);
void vectors_frames(buf *out);
void vectors_says(buf *out);

/* ---- JSON, as little of it as the vectors need ---- */
/* `"name": "hex"` with a comma before it unless something has just been opened. */
void vectors_hex(buf *out, const char *name, const void *p, size_t len);
void vectors_text(buf *out, const char *name, const char *value);
void vectors_number(buf *out, const char *name, uint64_t value);
void vectors_open(buf *out, const char *name, char bracket);
void vectors_close(buf *out, char bracket);

#endif
