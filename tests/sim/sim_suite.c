#include "tests/sim/sim_suite.h"

int sim_plant;

static sim_world *history(const sim_options *o, bool verbose, sim_totals *t)
{
    sim_world *w = sim_world_new(o, verbose);
    bool held = sim_history(w);
    t->histories++;
    t->failed += !held;
    t->last = w->failed;
    t->events += w->n_events;
    t->links += w->n_links;
    t->virtual_ms += w->now_ms;
    if (w->converged_ms > t->slowest_ms)
        t->slowest_ms = w->converged_ms;
    for (int k = 0; k < ST_COUNT; k++)
        t->happened[k] += w->happened[k];
    return w;
}

bool sim_suite_one(const sim_options *o, bool verbose, sim_totals *t)
{
    sim_world *w = history(o, verbose, t);
    bool held = w->failed == INV_NONE;
    if (verbose || !held)
        sim_options_print(o);
    if (!held)
        printf("FAILED invariant %s at step %llu, %.3f s%s: %s\n  replay: sim_run --seed %llu "
               "--nodes %d --steps %u --verbose\n",
               sim_invariant_names[w->failed], (unsigned long long)w->step,
               (double)w->now_ms / 1000, w->healing ? " (healing)" : "", w->why,
               (unsigned long long)o->seed, o->nodes, o->steps);
    sim_world_free(w);
    return held;
}

bool sim_suite_quiet(const sim_options *o, sim_totals *t)
{
    sim_world *w = history(o, false, t);
    bool held = w->failed == INV_NONE;
    sim_world_free(w);
    return held;
}

void sim_suite_print(const sim_totals *t)
{
    for (int k = 0; k < ST_COUNT; k++)
        printf("  %8llu  %s\n", (unsigned long long)t->happened[k], sim_sometimes_text[k]);
    printf(
        "%llu histories, %llu failed, %llu events, %llu links, %.1f days of virtual time, slowest "
        "convergence %.1f min\n",
        (unsigned long long)t->histories, (unsigned long long)t->failed,
        (unsigned long long)t->events, (unsigned long long)t->links,
        (double)t->virtual_ms / 86400000, (double)t->slowest_ms / 60000);
}
