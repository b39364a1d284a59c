/* Requests that wait until the view has come far enough. Bounded in number and time. */
#ifndef CAIRN_WAITERS_H
#define CAIRN_WAITERS_H

#include "shell/service.h"

#define WAITERS_MAX   256u
#define WAITER_MAX_MS 30000u

typedef struct {
    service_call call;
    service_handler *handle;
    buf body; /* the request, encoded, because it borrowed its frame */
    uint64_t min_offset;
    bool digest; /* waits for a digest, not for an offset */
    mono_ms deadline;
} waiter;

typedef struct {
    waiter at[WAITERS_MAX];
    size_t n;
} waiters;

/* Keeps the request; a repeat of one that waits already is forgotten. ERR_BUSY, ERR_NO_MEMORY. */
err_t waiters_add(waiters *w, service *s, const service_call *call, service_handler *handle,
                  const void *msg, uint64_t min_offset, bool digest) CAIRN_CHECK;
/* Handles again all that wait for no more than this offset (or, with `digest`, for the digest). */
void waiters_run(waiters *w, service *s, void *self, uint64_t offset, bool digest);
/* Answers what has waited too long with TIMEOUT and these words. */
void waiters_expire(waiters *w, service *s, mono_ms now, const char *state);
/* Answers what waits for more than this offset with that error and these words: the view does not get there. */
void waiters_fail(waiters *w, service *s, uint64_t offset, err_t e, const char *words);
void waiters_release(waiters *w);

#endif
