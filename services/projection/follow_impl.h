/* Inside of follow: shared by follow.c (phases, questions to the store), follow_members.c (the roster), follow_build.c (the
 * walk over a whole store) and follow_batch.c (rows by offset). */
#ifndef CAIRN_FOLLOW_IMPL_H
#define CAIRN_FOLLOW_IMPL_H

#include "projection/fold_stream.h"
#include "projection/follow.h"
#include "projection/touched.h"
#include "store/store_clnt.h"

#define SILENT_MS           5000u /* a store that says nothing for so long is missing */
#define LONG_POLL_MS        1500u /* below the 2 s of clnt's repeat, else each would be asked twice */
#define RETRY_MS            2000u     /* after trouble */
#define READS_MAX           64u       /* streams asked for at once */
#define TARGETS_MAX         16u       /* stretches of changed rows asked for at once */
#define FOLLOW_FACT_REMAINS "remains" /* in the file: see follow.remains */
#define STREAM_PAGE         2048u     /* rows per answer when one stream is read */

typedef struct ask ask;
typedef void ask_taken(follow *f, ask *a, const void *reply);

/* A question on its way to the store. */
struct ask {
    follow *f;
    uint32_t round; /* answers of an earlier round are dropped */
    ask_taken *take;
    uint32_t stream; /* index of the touched stream */
    uint64_t from;   /* first row asked for */
    kept_rows *kept; /* of a stream that comes in several answers; NULL before the first */
};

/* A batch that was fetched ahead. */
typedef struct {
    bool full;
    buf raw;
    rows_reply reply;
} held_reply;

typedef struct {
    view_damaged row;
    bool healed;
} batch_damaged;

typedef struct {
    bool open;
    view_position to; /* after it */
    touched touched;
    held_row *rows; /* borrow the frame while it is there */
    uint32_t n_rows, rows_room;
    bool members;      /* the roster must be read again */
    bool hidden;       /* something that may be in the file is hidden from now on */
    uint64_t *targets; /* offsets that changed rows point to, ascending before they are asked for */
    uint32_t n_targets, targets_room, next_target;
    batch_damaged *damaged; /* rows that cannot be assigned to a stream, and those healed */
    uint32_t n_damaged, damaged_room;
    uint32_t next_stream, waiting;
} batch;

struct follow {
    follow_setup setup;
    view_db *db;
    bool fresh, dead, over;
    follow_end why; /* over */
    follow_phase phase;
    uint32_t round, pending;
    follow_counts counts;
    mono_ms retry_at; /* 0: no trouble */
    char trouble[160];
    err_t stuck; /* why nothing could be committed lately; ERR_OK: it could */
    uint64_t epoch, head;
    uint64_t looked_head; /* at the last look at a store that may be being filled */
    uint32_t looks;
    bool caught_up;
    view_position at;
    bool fetching;
    held_reply held;
    void (*then)(follow *f); /* after members or forks are read */
    forks *forks;
    people *people;
    fold_stream *fold;
    uint64_t void_mark; /* that the rows of the file were folded under */
    bool remains;       /* the file may still hold what was erased */
    kept_rows kept;     /* members being read; in a walk, the stream at the edge of an answer */
    batch batch;
    scan_request cursor;
    uint8_t cursor_category[CATEGORY_MAX_BYTES], cursor_stream[STREAM_MAX_BYTES];
};

/* FOLLOW_ASK(f, scan, &request, take, like) asks the store; `like` (may be NULL) gives stream, from
 * and kept of the question. Trouble is handled inside. */
#define FOLLOW_ASK(f, what, request, take, like)                                                   \
    do {                                                                                           \
        ask *ask_ = follow_ask_new(f, take, like);                                                 \
        if (ask_ != NULL)                                                                          \
            follow_asked(ask_, store_clnt_##what((f)->setup.store, request, follow_answer, ask_)); \
    } while (0)
ask *follow_ask_new(follow *f, ask_taken *take, const ask *like);
void follow_asked(ask *a, err_t e);
clnt_done follow_answer;
/* Something of ours failed: rolls back and tries again later, or is over. */
void follow_trouble(follow *f, err_t e);
/* Drops all answers under way and what they were for. */
void follow_drop_round(follow *f);
/* When nothing else is to do: rewrites a file that may hold what was erased. */
void follow_purge(follow *f);
void follow_end_for(follow *f, follow_end why);
void follow_step(follow *f, follow_phase next);
/* True when there is more than a batch after `at` and the store takes much in right now: then this begins again a
 * moment later, at most LOOKS_MAX times until it has caught up. Reading would slow the store down, and what was read be
 * far behind again soon. */
bool follow_gives_way(follow *f, uint64_t head, uint64_t at);
/* So far that a new file would be there sooner. */
bool follow_is_behind(const follow *f);
/* True when the answer belongs to the epoch that this follow began with; else it is over. */
bool follow_same_epoch(follow *f, uint64_t epoch);

/* Asks for rows of one stream from like->from on. */
void follow_read_stream(follow *f, bytes category, bytes stream, ask_taken *take, const ask *like);
/* Loads the feeds that forked, one after the other, then calls `then`. */
void follow_load_forks(follow *f, void (*then)(follow *f));

/* ---- follow_members.c ---- */
/* Reads the roster, then calls `then`. */
void follow_read_members(follow *f, void (*then)(follow *f));

/* ---- follow_build.c ---- */
void follow_scan(follow *f);

/* ---- follow_batch.c ---- */
void follow_fetch(follow *f);
void batch_init(batch *b);
void batch_release(batch *b);
void batch_drop(follow *f);
/* Room for one more row behind the last; NULL without memory. */
held_row *batch_row(batch *b);

#endif
