#include "store/store_service.h"

static void answer(store_service *g, const service_call *call, err_t e, const void *reply)
{
    service_count(g->service, COUNT_READS, 1);
    if (e == ERR_OK)
        service_reply(g->service, call, reply);
    else
        service_fail(g->service, call, e, NULL);
}

/* Reads see what is committed; writes of this turn wait in group.c. */
#define READ(what, reply_type, call_core)                                                          \
    static void handle_##what(service *s, void *self, const service_call *call, const void *msg)   \
    {                                                                                              \
        store_service *g = self;                                                                   \
        const what##_request *req = msg;                                                           \
        reply_type reply;                                                                          \
        (void)s;                                                                                   \
        (void)req;                                                                                 \
        answer(g, call, call_core, &reply);                                                        \
    }

READ(read_feed, rows_reply, store_read_feed(g->core, req, &reply))
READ(read_stream, rows_reply, store_read_stream(g->core, req, &reply))
READ(scan, scan_reply, store_scan(g->core, req, &reply))
READ(tips, tips_reply, store_tips(g->core, &reply))
READ(run, run_reply, store_run(g->core, req, &reply))
READ(locate, locate_reply, store_locate(g->core, req, &reply))
READ(idem, idem_reply, store_idem(g->core, req, &reply))
READ(damage, damage_reply, store_damage(g->core, &reply))

/* What a merge process that was killed had sent may still lie in its connection. The next one begins with what is
 * committed now, so nothing of its predecessor may follow. */
static void handle_store_hello(service *s, void *self, const service_call *call, const void *msg)
{
    store_service *g = self;
    const store_hello_request *req = msg;
    store_hello_reply reply;
    (void)s;
    if (req->writer > g->writer) {
        group_commit(g);
        g->writer = req->writer;
    }
    answer(g, call, store_hello(g->core, &reply), &reply);
}

static void handle_fetch(service *s, void *self, const service_call *call, const void *msg)
{
    store_service *g = self;
    const fetch_request *req = msg;
    rows_reply reply;
    err_t e = store_fetch(g->core, req, &reply);
    if (e == ERR_OK && reply.rows.n == 0 && reply.caught_up && req->wait_ms != 0) {
        fetch_request rest = *req;
        rest.after = reply.next; /* what does not match is not looked at again */
        rest.after_prefix = 0;
        waiters_add(g, call, &rest);
        return;
    }
    service_count(s, COUNT_ROWS, reply.rows.n);
    answer(g, call, e, &reply);
}

static const service_route routes[] = {
    {&append_request_desc, group_add},
    {&fetch_request_desc, handle_fetch},
    {&store_hello_request_desc, handle_store_hello},
    {&read_feed_request_desc, handle_read_feed},
    {&read_stream_request_desc, handle_read_stream},
    {&scan_request_desc, handle_scan},
    {&tips_request_desc, handle_tips},
    {&run_request_desc, handle_run},
    {&locate_request_desc, handle_locate},
    {&idem_request_desc, handle_idem},
    {&damage_request_desc, handle_damage},
    {&verdict_request_desc, group_add},
    {&seal_request_desc, group_add},
    {&incarnation_request_desc, group_add},
    {&erase_request_desc, group_add},
};

static const char *const counters[] = {
    [COUNT_EVENTS] = "appended_events", [COUNT_GROUPS] = "commits",
    [COUNT_WRITES] = "write_requests",  [COUNT_REFUSED] = "refused_requests",
    [COUNT_FAILED] = "failed_commits",  [COUNT_READS] = "read_requests",
    [COUNT_ROWS] = "fetched_rows",      [COUNT_SCRUBBED] = "scrubbed_rows",
    [COUNT_DAMAGED] = "damaged_rows",   [COUNT_TAILS] = "erased_tails",
};

const service_def store_def = {
    .name = "store",
    .doc = "Keeps the log: appends for merge, reads for everybody.",
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .counters = counters,
    .n_counters = sizeof counters / sizeof counters[0],
    .start = store_start,
    .turn = group_turn,
    .tick = tend_tick,
    .health = tend_health,
    .stop = store_stop,
};
