/* The process around the core. dispatch.c: the table of requests, and reads; group.c: writes that wait
 * for the end of the turn and are committed together; waiters.c: fetches that wait for news; start.c:
 * opening; tend.c: what is done when nothing else is; tails.c: erased events leave the disk. */
#ifndef CAIRN_STORE_SERVICE_H
#define CAIRN_STORE_SERVICE_H

#include "shell/clock.h"
#include "shell/service.h"
#include "store/store_core.h"

#define GROUP_MAX_WRITES 512u
#define GROUP_MAX_BYTES  (8u << 20) /* of requests that wait for one commit */
#define WAITERS_MAX      128u

/* A write that waits for its group, with its own copy of what the frame held. */
typedef struct {
    service_call call;
    union {
        append_request append;
        verdict_request verdict;
        seal_request seal;
        incarnation_request incarnation;
        erase_request erase;
    } msg;
    uint8_t *data;
    size_t data_len;
    append_reply reply; /* of an append */
    err_t result;
} store_write;

/* A fetch that found nothing yet. */
typedef struct {
    service_call call;
    fetch_request req;
    char category[CATEGORY_MAX_BYTES];
    mono_ms deadline;
} store_waiter;

typedef struct {
    service *service;
    store_core *core;
    store_write *writes; /* GROUP_MAX_WRITES */
    size_t n_writes, writes_bytes;
    uint64_t writer; /* the newest merge process that said hello */
    store_waiter waiters[WAITERS_MAX];
    size_t n_waiters;
    err_t state;         /* why writes are refused */
    mono_ms retry;       /* then: when to try again */
    mono_ms busy;        /* when a group was committed last */
    mono_ms tend, scrub; /* when next; 0: never */
    bool scrubs;
    struct {
        mono_ms next, wipe; /* when next; wipe 0: the file holds no remains */
        mono_ms since;      /* it holds some */
        mono_ms steady;     /* the clock has made no step since */
        int64_t gap_ms;     /* wall clock minus monotonic clock, then */
        uint32_t settle_ms;
    } tails;
    uint64_t damaged;
} store_service;

enum {
    COUNT_EVENTS,
    COUNT_GROUPS,
    COUNT_WRITES,
    COUNT_REFUSED,
    COUNT_FAILED,
    COUNT_READS,
    COUNT_ROWS,
    COUNT_SCRUBBED,
    COUNT_DAMAGED,
    COUNT_TAILS
};

extern const service_def store_def;

/* start.c */
err_t store_start(service *s, void **self, buf *why);
void store_stop(service *s, void *self);

/* group.c: the handler of every write, and the end of a turn. */
service_handler group_add;
void group_turn(service *s, void *self);
/* Tells readers of rows after `head`. */
void group_tell(store_service *g, uint64_t head);
/* Commits what waits now. */
void group_commit(store_service *g);
void group_fail_all(store_service *g, err_t e);

/* waiters.c */
void waiters_add(store_service *g, const service_call *call, const fetch_request *req);
void waiters_wake(store_service *g); /* new rows are there */
void waiters_expire(store_service *g);

/* tails.c */
void tails_start(store_service *g);
void tails_tick(store_service *g);
/* After a commit: the file may hold remains from now on. */
void tails_left(store_service *g);

/* tend.c */
void tend_tick(service *s, void *self);
void tend_schedule(store_service *g); /* asks for the next tick */
bool tend_health(void *self, buf *state);

#endif
