/* What the store does when nobody wants anything: bring index entries to disk, scrub, and find out
 * whether a disk that refused takes writes again. */
#include "store/store_service.h"

#define IDLE_MS        1000u /* without a commit, then it is idle */
#define TEND_STREAMS   1024u
#define TEND_EVERY_MS  20u
#define SCRUB_ROWS     64u
#define SCRUB_EVERY_MS 500u
#define SCRUB_REST_MS  (24u * 3600u * 1000u) /* from the end of one pass to the next */
#define PROBE_EVERY_MS 1000u

static mono_ms in_ms(uint64_t span)
{
    return (mono_ms){clock_mono().ms + span};
}

static void sooner(mono_ms *at, mono_ms other)
{
    if (other.ms != 0 && (at->ms == 0 || other.ms < at->ms))
        *at = other;
}

void tend_schedule(store_service *g)
{
    mono_ms at = {0};
    for (size_t i = 0; i < g->n_waiters; i++)
        sooner(&at, g->waiters[i].deadline);
    if (g->state != ERR_OK)
        sooner(&at, g->retry);
    else if (g->busy.ms != 0 && g->tend.ms == 0)
        g->tend = (mono_ms){g->busy.ms + IDLE_MS};
    sooner(&at, g->tend);
    sooner(&at, g->scrub);
    sooner(&at, g->tails.next);
    sooner(&at, g->tails.wipe);
    if (at.ms != 0)
        service_wake(g->service, at);
}

static void probe(store_service *g)
{
    if (g->state == ERR_OK || clock_mono().ms < g->retry.ms)
        return;
    err_t e = store_probe(g->core);
    if (e == ERR_OK)
        log_info("writes are taken again");
    g->state = e;
    g->retry = in_ms(PROBE_EVERY_MS);
}

static void tend(store_service *g)
{
    if (g->tend.ms == 0 || clock_mono().ms < g->tend.ms)
        return;
    if (clock_mono().ms < g->busy.ms + IDLE_MS) {
        g->tend = (mono_ms){g->busy.ms + IDLE_MS};
        return;
    }
    bool more = store_tend(g->core, TEND_STREAMS);
    g->tend = more ? in_ms(TEND_EVERY_MS) : (mono_ms){0};
    if (!more)
        g->busy.ms = 0;
}

static void scrub(store_service *g)
{
    store_scrubbed out;
    if (g->scrub.ms == 0 || clock_mono().ms < g->scrub.ms)
        return;
    g->scrub = in_ms(SCRUB_EVERY_MS);
    if (clock_mono().ms < g->busy.ms + IDLE_MS)
        return;
    err_t e = store_scrub(g->core, SCRUB_ROWS, clock_wall(), &out);
    service_count(g->service, COUNT_SCRUBBED, out.rows);
    if (e != ERR_OK)
        log_warn("scrub: %s", err_text(e));
    if (out.damaged != 0) {
        service_count(g->service, COUNT_DAMAGED, out.damaged);
        log_error("the log is damaged at offset %llu", (unsigned long long)out.bad_offset);
        g->tend = in_ms(0);
    }
    if (out.pass_ended)
        g->scrub = in_ms(SCRUB_REST_MS);
}

void tend_tick(service *s, void *self)
{
    store_service *g = self;
    (void)s;
    waiters_expire(g);
    probe(g);
    tend(g);
    if (g->scrubs)
        scrub(g);
    tails_tick(g);
}

bool tend_health(void *self, buf *state)
{
    store_service *g = self;
    store_hello_reply hello;
    if (store_hello(g->core, &hello) != ERR_OK)
        return false;
    err_t e = g->state != ERR_OK ? g->state : (err_t)hello.state;
    if (e != ERR_OK)
        buf_addf(state, "appends are refused, reads go on: %s", err_text(e));
    if (hello.damaged != 0)
        buf_addf(state, "%s%llu damaged rows wait for a good copy from a peer",
                 state->len != 0 ? "; " : "", (unsigned long long)hello.damaged);
    return e == ERR_OK;
}
