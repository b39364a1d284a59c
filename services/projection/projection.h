/* The projection process: which file is shown, which one is being built, who waits. */
#ifndef CAIRN_PROJECTION_H
#define CAIRN_PROJECTION_H

#include "projection/follow.h"
#include "projection/view_file.h"
#include "projection/view_read.h"
#include "projection/waiters.h"

#define PROJECTION_NAME "records"
#define REBUILDS_MAX    16u

enum {
    COUNT_ROWS,
    COUNT_STREAMS,
    COUNT_READS,
    COUNT_COMMITS,
    COUNT_QUERIES,
    COUNT_REBUILDS,
    COUNT_DIGESTS
};

/* view_digest under way: on a connection of its own, a slice per turn. */
typedef struct {
    view_reader *reader; /* NULL: none */
    view_position at;
} digest_job;

typedef struct {
    service *service;
    clnt *store;
    uint64_t seed;
    const char *dir;

    /* what is shown; a follow that has ended for being far behind leaves the reader and its file behind */
    view_reader *reader; /* NULL: nothing to show yet */
    view_position position;
    char path[VIEW_PATH_MAX];
    follow *live;
    follow_counts live_counted;
    bool unreadable; /* a query found the file damaged */

    /* what is being built beside it */
    follow *next;
    follow_counts next_counted;
    char next_path[VIEW_PATH_MAX];
    mono_ms build_at; /* when to try again after a failure; 0: not */
    char trouble[ERROR_TEXT_MAX_BYTES];
    service_call rebuilds[REBUILDS_MAX];
    size_t n_rebuilds;
    service_call rebuilt; /* last one answered: its repeats are answered too */

    waiters waiters;
    digest_job job;
    view_position digest_at; /* of the digest below; offset and epoch 0: none */
    bool has_digest;
    event_id digest;
    mono_ms checked; /* when the link was last looked at */
} projection;

/* ---- projection_files.c: what is shown and built ---- */
err_t projection_open(projection *p);
/* After every turn: shows what is finished, replaces what is over. */
void projection_turn(projection *p);
void projection_close(projection *p);
/* A build in place of what is shown, unless there is one already. */
void projection_build(projection *p);
/* In words: what it does or waits for. True when it shows a view that follows its store. */
bool projection_state(const projection *p, buf *out);

/* ---- dispatch.c ---- */
extern const service_def projection_def;

#endif
