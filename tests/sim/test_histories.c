/* The seeds that every commit is tried with. All invariants hold in each of them, and together they have seen
 * everything that the simulator can do to a node. CAIRN_SEED shifts them. Under a sanitizer, which is there for the
 * memory and not for the rules, the first of them must do. */
#include "tests/sim/sim_suite.h"

#ifdef __SANITIZE_ADDRESS__
#define HISTORIES 50u
#define ALL       false
#else
#define HISTORIES 200u
#define ALL       true
#endif

int main(void)
{
    const char *given = getenv("CAIRN_SEED");
    uint64_t from = given != NULL ? strtoull(given, NULL, 0) : 1;
    sim_totals totals = {0};
    bool missing = false;
    if (crypto_start() != ERR_OK)
        return 1;
    for (uint64_t k = 0; k < HISTORIES && totals.failed < 5; k++) {
        sim_options o = sim_options_of(from + k);
        (void)sim_suite_one(&o, false, &totals);
    }
    sim_suite_print(&totals);
    for (int k = 0; ALL && k < ST_COUNT; k++)
        if (totals.happened[k] == 0) {
            printf("FAILED: it never happened that %s\n", sim_sometimes_text[k]);
            missing = true;
        }
    return totals.failed > 0 || missing;
}
