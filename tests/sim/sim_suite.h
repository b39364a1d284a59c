/* Histories one after the other, and what they add up to. */
#ifndef CAIRN_SIM_SUITE_H
#define CAIRN_SIM_SUITE_H

#include "tests/sim/sim.h"

typedef struct {
    uint64_t histories, failed, events, crossed, links, virtual_ms, slowest_ms;
    uint64_t happened[ST_COUNT];
    sim_invariant last; /* what failed last */
} sim_totals;

/* Runs one history; a failure is printed with what replays it. False when it failed. */
bool sim_suite_one(const sim_options *o, bool verbose, sim_totals *t);
/* The same without a word. */
bool sim_suite_quiet(const sim_options *o, sim_totals *t);
void sim_suite_print(const sim_totals *t);

#endif
