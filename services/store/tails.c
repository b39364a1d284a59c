/* Erased events leave the disk: when they are due by the wall clock, and then what remains of them in the file, while
 * nobody wants anything. */
#include "store/store_service.h"

#define LOOK_EVERY_MS 30000u
#define STEP_MS       60000 /* the wall clock went another way than the monotonic one */
#define IDLE_MS       1000u
#define PATIENCE_MS   600000u /* on a node that is never idle */
#define WIPE_PAGES    4096u
#define WIPE_HURRIED  65536u
#define WIPE_EVERY_MS 20u
#define WIPE_AGAIN_MS 10000u /* after trouble, or while a backup is being made */

static int64_t gap_now(void)
{
    return (int64_t)clock_wall().ms - (int64_t)clock_mono().ms;
}

void tails_start(store_service *g)
{
    g->tails.settle_ms =
        (uint32_t)config_int(service_config(g->service), "store", "settle_s") * 1000u;
    g->tails.gap_ms = gap_now();
    g->tails.next = g->tails.steady = clock_mono();
    tails_left(g);
}

/* A clock that is not set, or has just been set, tells nothing: a tail that leaves early never comes back. */
static bool believes_clock(store_service *g)
{
    int64_t gap = gap_now(), step = gap - g->tails.gap_ms;
    if (step > STEP_MS || step < -STEP_MS)
        g->tails.steady = clock_mono();
    g->tails.gap_ms = gap;
    return clock_wall().ms >= CLOCK_BUILD_MS &&
           clock_mono().ms >= g->tails.steady.ms + g->tails.settle_ms;
}

static void drop_due(store_service *g)
{
    uint32_t gone;
    uint64_t head = store_head(g->core);
    if (clock_mono().ms < g->tails.next.ms)
        return;
    g->tails.next = (mono_ms){clock_mono().ms + LOOK_EVERY_MS};
    if (!believes_clock(g) || g->state != ERR_OK)
        return;
    err_t e = store_tails(g->core, clock_wall(), &gone);
    if (e != ERR_OK)
        log_warn("erased events cannot leave the disk: %s", err_text(e));
    if (gone > 0)
        log_info("%u erased events have left the log", gone);
    service_count(g->service, COUNT_TAILS, gone);
    group_tell(g, head);
    tails_left(g);
}

void tails_left(store_service *g)
{
    if (store_has_undated(g->core) && believes_clock(g))
        g->tails.next = clock_mono();
    if (g->tails.wipe.ms == 0 && store_has_remains(g->core))
        g->tails.wipe = g->tails.since = clock_mono();
}

static void wipe(store_service *g)
{
    bool more;
    uint64_t now = clock_mono().ms;
    if (g->tails.wipe.ms == 0 || now < g->tails.wipe.ms)
        return;
    bool hurried = now >= g->tails.since.ms + PATIENCE_MS;
    if (now < g->busy.ms + IDLE_MS && !hurried) {
        g->tails.wipe.ms = g->busy.ms + IDLE_MS;
        return;
    }
    err_t e = store_wipe(g->core, hurried ? WIPE_HURRIED : WIPE_PAGES, &more);
    if (e != ERR_OK && e != ERR_BUSY)
        log_warn("remains of erased events stay in the log's file for now: %s", err_text(e));
    g->tails.wipe.ms = e != ERR_OK ? now + WIPE_AGAIN_MS : more ? now + WIPE_EVERY_MS : 0;
}

void tails_tick(store_service *g)
{
    drop_due(g);
    wipe(g);
}
