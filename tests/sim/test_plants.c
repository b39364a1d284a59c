/* The simulator can fail: every planted bug (plants.txt) is caught within so many histories, by an invariant that is
 * printed. All bugs see the same histories, one seed after the other from the first one, half of them with every fault
 * switched on. As many bugs are tried at a time as there are processors. With arguments: the numbers of the bugs. */
#include "plants.h"

#include "tests/sim/sim_suite.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HISTORIES_MAX 1500u
#define FIRST_SEED    1u
#define PLANTS        (sizeof plants / sizeof plants[0])
#define WORKERS_MAX   16

/* What the workers share. */
typedef struct {
    atomic_size_t next;
    atomic_uint failed;
} work;

/* The same history without the bug. */
static bool is_healthy(const sim_options *o)
{
    sim_totals totals = {0};
    sim_plant = 0;
    return sim_suite_one(o, false, &totals);
}

static bool is_caught(int number, const char *title)
{
    sim_totals totals = {0};
    sim_plant = number;
    for (unsigned k = 0; k < HISTORIES_MAX; k++) {
        uint64_t seed = FIRST_SEED + k;
        sim_options o = seed % 2 ? sim_options_of(seed) : sim_options_hard(seed);
        if (sim_suite_quiet(&o, &totals))
            continue;
        printf("  %2d caught by invariant %-14s after %4u histories: %s\n", number,
               sim_invariant_names[totals.last], k + 1, title);
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

static void try_plants(work *w, int argc, char **argv)
{
    size_t k;
    while ((k = atomic_fetch_add(&w->next, 1)) < PLANTS) {
        if (!is_chosen(argc, argv, plants[k].number))
            continue;
        if (plants[k].stale)
            printf("FAILED: the text of bug %d is not in its file any more: plants.txt\n",
                   plants[k].number);
        if (plants[k].stale || !is_caught(plants[k].number, plants[k].title))
            atomic_fetch_add(&w->failed, 1);
        fflush(stdout);
    }
}

/* True when each of them came to its end: a worker that dies took a bug with it. */
static bool await_all(long workers)
{
    bool whole = true;
    int status;
    for (long i = 0; i < workers; i++)
        whole &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return whole;
}

int main(int argc, char **argv)
{
    long workers = sysconf(_SC_NPROCESSORS_ONLN);
    work *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED || crypto_start() != ERR_OK)
        return 1;
    workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
    for (long i = 0; i < workers; i++) {
        pid_t child = fork();
        if (child == 0) {
            try_plants(w, argc, argv);
            _exit(0);
        }
        if (child < 0)
            return 1;
    }
    bool whole = await_all(workers);
    if (!whole)
        printf("FAILED: a process of the test died\n");
    return !whole || w->failed > 0;
}
