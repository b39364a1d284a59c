/* The simulator can fail: every planted bug (plants.txt) is caught within so many histories, by an invariant that is
 * printed. With arguments: the numbers of the bugs to try. */
#include "plants.h"

#include "tests/sim/sim_suite.h"

#define HISTORIES_MAX 300u

/* The same history without the bug. */
static bool is_healthy(const sim_options *o)
{
    sim_totals totals = {0};
    sim_plant = 0;
    return sim_suite_one(o, false, &totals);
}

static bool is_caught(int number, uint64_t first_seed, const char *title)
{
    sim_totals totals = {0};
    sim_plant = number;
    for (unsigned k = 0; k < HISTORIES_MAX; k++) {
        uint64_t seed = first_seed + k;
        sim_options o = seed % 2 ? sim_options_of(seed) : sim_options_hard(seed);
        if (sim_suite_quiet(&o, &totals))
            continue;
        printf("  %2d caught by invariant %-14s after %3u histories, seed %llu: %s\n", number,
               sim_invariant_names[totals.last], k + 1, (unsigned long long)seed, title);
        return is_healthy(&o);
    }
    printf("FAILED: bug %d is not caught in %u histories: %s\n", number, HISTORIES_MAX, title);
    return false;
}

static bool is_chosen(int argc, char **argv, int number)
{
    for (int i = 1; i < argc; i++)
        if (strtol(argv[i], NULL, 10) == number)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    unsigned failed = 0;
    if (crypto_start() != ERR_OK)
        return 1;
    for (size_t k = 0; k < sizeof plants / sizeof plants[0]; k++) {
        if (!is_chosen(argc, argv, plants[k].number))
            continue;
        if (plants[k].stale) {
            printf("FAILED: the text of bug %d is not in its file any more: plants.txt\n",
                   plants[k].number);
            failed++;
        } else {
            failed += !is_caught(plants[k].number, plants[k].first_seed, plants[k].title);
        }
        fflush(stdout);
    }
    return failed > 0;
}
