#include "projection/waiters.h"

#include "shell/clock.h"

#include <stdalign.h>

err_t waiters_add(waiters *w, service *s, const service_call *call, service_handler *handle,
                  const void *msg, uint64_t min_offset, bool digest)
{
    for (size_t i = 0; i < w->n; i++)
        if (service_same_call(&w->at[i].call, call))
            return ERR_OK;
    if (w->n == WAITERS_MAX)
        return ERR_BUSY;
    waiter *to = &w->at[w->n];
    *to = (waiter){*call, handle, {0}, min_offset, digest, {clock_mono().ms + WAITER_MAX_MS}};
    buf_init(&to->body, MESSAGE_MAX_BYTES);
    err_t e = msg_encode(call->desc, msg, &to->body);
    if (e != ERR_OK) {
        buf_release(&to->body);
        return e;
    }
    w->n++;
    service_wake(s, to->deadline);
    return ERR_OK;
}

static waiter take(waiters *w, size_t i)
{
    waiter out = w->at[i];
    w->at[i] = w->at[--w->n];
    return out;
}

static void handle_again(service *s, void *self, waiter *w)
{
    alignas(max_align_t) uint8_t msg[512];
    err_t e = w->call.desc->size <= sizeof msg
                  ? msg_decode(w->call.desc, buf_view(&w->body), msg, NULL)
                  : ERR_BUG;
    if (e == ERR_OK)
        w->handle(s, self, &w->call, msg);
    else
        service_fail(s, &w->call, e, NULL);
    buf_release(&w->body);
}

/* Taken out first: handling one may add another. */
void waiters_run(waiters *w, service *s, void *self, uint64_t offset, bool digest)
{
    waiter ready[WAITERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < w->n;)
        if (w->at[i].digest == digest && (digest || w->at[i].min_offset <= offset))
            ready[n++] = take(w, i);
        else
            i++;
    for (size_t i = 0; i < n; i++)
        handle_again(s, self, &ready[i]);
}

void waiters_expire(waiters *w, service *s, mono_ms now, const char *state)
{
    for (size_t i = 0; i < w->n;) {
        if (now.ms < w->at[i].deadline.ms) {
            service_wake(s, w->at[i].deadline);
            i++;
            continue;
        }
        waiter late = take(w, i);
        service_fail(s, &late.call, ERR_TIMEOUT,
                     "the record view did not come that far in 30 s (%s)", state);
        buf_release(&late.body);
    }
}

void waiters_fail(waiters *w, service *s, uint64_t offset, err_t e, const char *words)
{
    for (size_t i = 0; i < w->n;) {
        if (w->at[i].min_offset <= offset) {
            i++;
            continue;
        }
        waiter stuck = take(w, i);
        service_fail(s, &stuck.call, e, "%s", words);
        buf_release(&stuck.body);
    }
}

void waiters_release(waiters *w)
{
    for (size_t i = 0; i < w->n; i++)
        buf_release(&w->at[i].body);
    w->n = 0;
}
