/* Keeps one view file at the head of the store's log.
 *
 *   HELLO ──▶ PLACE ──▶ TIPS ──▶ MEMBERS ──▶ FORKS ──┬─(new file)──▶ SCAN ──┐
 *     ▲      (new file:                              └──────────────────────┴─▶ LIVE
 *     │       id at head)                                                        │
 *     └───────────────────── no answer, or trouble with the disk ────────────────┘
 *
 * A new file is built by walking the store stream by stream; it is right up to the head of before the walk, and what
 * came meanwhile follows as rows by offset. A batch of rows is folded by stream: whole streams at once, the others
 * (and those that a changed row points to) are read again as a whole. Everything of a batch and the new position are
 * one transaction. One batch is fetched ahead while one is folded.
 *
 * A store that does not answer is a state, not an error. */
#ifndef CAIRN_FOLLOW_H
#define CAIRN_FOLLOW_H

#include "projection/view_db.h"
#include "shell/service.h"

typedef struct follow follow;

typedef enum {
    FOLLOW_HELLO,
    FOLLOW_PLACE,
    FOLLOW_TIPS,
    FOLLOW_MEMBERS,
    FOLLOW_FORKS,
    FOLLOW_SCAN,
    FOLLOW_LIVE
} follow_phase;

typedef enum {
    FOLLOW_EPOCH, /* the file belongs to another store, or to another past of this one */
    FOLLOW_BEHIND, /* so far behind that building anew is quicker; what it shows is right, only old */
    FOLLOW_MEANING, /* what references count as none has changed: every stream must be folded again */
    FOLLOW_GONE,    /* the file was deleted or replaced */
    FOLLOW_DAMAGED, /* SQLite cannot read it any more */
    FOLLOW_FAILED   /* a new file cannot be built (disk full …): try again later */
} follow_end;
const char *follow_end_text(follow_end why);

typedef struct {
    clnt *store;    /* borrowed */
    uint32_t batch; /* rows at most, 1 to FETCH_MAX_ROWS */
    uint64_t seed;  /* salts hash tables */
    dataset_id dataset;
    service *service; /* to be woken; borrowed */
} follow_setup;

/* Takes `db`: a file just created, or a finished one. NULL without memory (db is closed then). */
follow *follow_new(const follow_setup *setup, view_db *db, bool fresh);
/* Closes the file. Answers still under way are dropped when they come. Sets *f to NULL; NULL is fine. */
void follow_free(follow **f);
/* To be called at every tick of the service. */
void follow_tick(follow *f, mono_ms now);

/* It does nothing any more: to be looked at after every turn. */
bool follow_over(const follow *f, follow_end *why);

const view_db *follow_db(const follow *f);
view_position follow_position(const follow *f); /* of the last commit; 0 while building */
uint64_t follow_head(const follow *f);          /* newest offset heard of */
bool follow_caught_up(const follow *f);
/* Why the last commit failed (disk full …) when none has succeeded since, else ERR_OK. It is tried again all the time. */
err_t follow_stuck(const follow *f);
typedef struct {
    uint64_t rows, streams, reads; /* rows met, streams folded, streams that had to be read again */
} follow_counts;
follow_counts follow_counted(const follow *f);
/* Appends what it is doing or waiting for, in words; true when it is following a store that answers. */
bool follow_state(const follow *f, buf *out);

#endif
