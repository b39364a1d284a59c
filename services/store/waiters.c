#include "store/store_service.h"

static void drop(store_service *g, size_t i)
{
    g->waiters[i] = g->waiters[--g->n_waiters];
    store_waiter *moved = &g->waiters[i];
    moved->req.category.p = (const uint8_t *)moved->category;
}

/* Answers with what there is; true when it did (there were rows, or `anyway`). */
static bool try_one(store_service *g, store_waiter *w, bool anyway)
{
    rows_reply reply;
    err_t e = store_fetch(g->core, &w->req, &reply);
    if (e != ERR_OK) {
        service_fail(g->service, &w->call, e, NULL);
        return true;
    }
    if (reply.rows.n == 0 && reply.caught_up && !anyway) {
        w->req.after = reply.next;
        return false;
    }
    service_count(g->service, COUNT_ROWS, reply.rows.n);
    service_reply(g->service, &w->call, &reply);
    return true;
}

void waiters_add(store_service *g, const service_call *call, const fetch_request *req)
{
    size_t oldest = 0;
    if (g->n_waiters == WAITERS_MAX) {
        for (size_t i = 1; i < g->n_waiters; i++)
            if (g->waiters[i].deadline.ms < g->waiters[oldest].deadline.ms)
                oldest = i;
        (void)try_one(g, &g->waiters[oldest], true);
        drop(g, oldest);
    }
    store_waiter *w = &g->waiters[g->n_waiters++];
    *w = (store_waiter){.call = *call, .req = *req, .deadline = {clock_mono().ms + req->wait_ms}};
    memcpy(w->category, req->category.p != NULL ? (const void *)req->category.p : "",
           req->category.len);
    w->req.category.p = (const uint8_t *)w->category;
}

void waiters_wake(store_service *g)
{
    for (size_t i = g->n_waiters; i-- > 0;)
        if (try_one(g, &g->waiters[i], false))
            drop(g, i);
}

void waiters_expire(store_service *g)
{
    uint64_t now = clock_mono().ms;
    for (size_t i = g->n_waiters; i-- > 0;)
        if (g->waiters[i].deadline.ms <= now) {
            (void)try_one(g, &g->waiters[i], true);
            drop(g, i);
        }
}
