/* The long run, and the replay of a failure:  sim_run --seed N [--nodes N] [--steps N] [--hard] [--verbose]
 *                                             sim_run --from A --count N [--hard]
 * Prints what failed with its seed; exit 1 then. */
#include "tests/sim/sim_suite.h"

#include <time.h>

typedef struct {
    uint64_t from, count;
    long nodes, steps;
    bool verbose, hard;
} arguments;

static bool parse(int argc, char **argv, arguments *a)
{
    for (int i = 1; i < argc; i++) {
        bool has = i + 1 < argc;
        if (strcmp(argv[i], "--verbose") == 0)
            a->verbose = true;
        else if (strcmp(argv[i], "--hard") == 0)
            a->hard = true;
        else if (!has)
            return false;
        else if (strcmp(argv[i], "--seed") == 0)
            a->from = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--from") == 0)
            a->from = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--count") == 0)
            a->count = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--nodes") == 0)
            a->nodes = strtol(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--steps") == 0)
            a->steps = strtol(argv[++i], NULL, 0);
        else
            return false;
    }
    return a->nodes <= SIM_NODES - 4;
}

int main(int argc, char **argv)
{
    arguments a = {.count = 1};
    sim_totals totals = {0};
    if (!parse(argc, argv, &a) || crypto_start() != ERR_OK) {
        fprintf(stderr,
                "usage: sim_run --seed N | --from A --count N  [--nodes N] [--steps N] [--hard] "
                "[--verbose]\n");
        return 2;
    }
    time_t begun = time(NULL);
    for (uint64_t k = 0; k < a.count; k++) {
        sim_options o = a.hard ? sim_options_hard(a.from + k) : sim_options_of(a.from + k);
        if (a.nodes >= 2)
            o.nodes = (int)a.nodes;
        if (a.steps > 0)
            o.steps = (uint32_t)a.steps;
        sim_suite_one(&o, a.verbose, &totals);
        if (totals.failed == 20)
            break;
    }
    sim_suite_print(&totals);
    printf("%llu s\n", (unsigned long long)(time(NULL) - begun));
    return totals.failed > 0;
}
