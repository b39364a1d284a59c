/* cairn demo: a base camp and two field teams on this machine, cut off from each other while they work; then they
 * meet. Everything is done by the real programs, in temporary directories. */
#include "cli/cmd.h"
#include "cli/csv_read.h"
#include "cli/csv_write.h"
#include "cli/demo_node.h"
#include "cli/interrupt.h"
#include "cli/supervise.h"
#include "shell/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NODES       3
#define MEET_MS     60000u
#define SURVEY_FILE "mwefloodresponse.csv"

typedef struct {
    const cmdline *line;
    char dir[256], survey[HOME_PATH_MAX], half[2][300];
    demo_node nodes[NODES]; /* base, team-1, team-2 */
    char station[2][64];    /* records that both teams edit */
    uint64_t seed;
    mono_ms began;
    uint64_t rows;
} demo;

static void say(const demo *d, const char *fmt, ...)
{
    va_list ap;
    double s = (double)(clock_mono().ms - d->began.ms) / 1000;
    printf("%6.1f s  ", s);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
}

/* ---- the survey ---- */

static bool find_survey(demo *d)
{
    supervise_program(d->survey, "../share/cairn/" SURVEY_FILE);
    if (access(d->survey, R_OK) == 0)
        return true;
    node_fail("the survey is not at %s: is Cairn installed completely?", d->survey);
    return false;
}

static bool copy_row(FILE *f, const csv_row *row)
{
    buf line;
    buf_init(&line, 4 * CSV_ROW_MAX_BYTES);
    for (size_t i = 0; i < row->n; i++)
        csv_put_cell(&line, row->cells[i], i == 0);
    csv_put_end(&line, false);
    bool ok = line.err == ERR_OK && fwrite(line.p, 1, line.len, f) == line.len;
    buf_release(&line);
    return ok;
}

/* Odd rows to one team, even rows to the other, the header to both. */
static bool deal_rows(demo *d, csv_reader *r, FILE *in, FILE *out[2])
{
    uint8_t chunk[CSV_FEED_MAX_BYTES];
    csv_row row;
    for (;;) {
        csv_event event = csv_next(r, &row);
        if (event == CSV_END)
            return true;
        if (event == CSV_MORE) {
            size_t n = fread(chunk, 1, sizeof chunk, in);
            if (n == 0)
                csv_finish(r);
            for (size_t used = 0; used < n;)
                used += csv_feed(r, bytes_of(chunk + used, n - used));
        } else if (event == CSV_ROW && row.expected == 0) {
            if (!copy_row(out[0], &row) || !copy_row(out[1], &row))
                return false;
        } else if (event == CSV_ROW && !copy_row(out[d->rows++ % 2], &row)) {
            return false;
        }
    }
}

static bool split_survey(demo *d)
{
    FILE *in = fopen(d->survey, "rb"), *out[2] = {NULL, NULL};
    csv_reader *r = NULL;
    for (int i = 0; i < 2; i++) {
        snprintf(d->half[i], sizeof d->half[i], "%s/half-%d.csv", d->dir, i + 1);
        out[i] = fopen(d->half[i], "wb");
    }
    bool ok = in != NULL && out[0] != NULL && out[1] != NULL && csv_reader_new(&r, ',') == ERR_OK &&
              deal_rows(d, r, in, out);
    csv_reader_free(&r);
    for (int i = 0; i < 2; i++)
        if (out[i] != NULL && fclose(out[i]) != 0)
            ok = false;
    if (in != NULL)
        fclose(in);
    if (!ok)
        node_fail("cannot split the survey into %s: %s", d->dir, strerror(errno));
    return ok;
}

/* ---- steps ---- */

static void cut_line(buf *b)
{
    while (b->len > 0 && (b->p[b->len - 1] == '\n' || b->p[b->len - 1] == '\r'))
        b->len--;
    (void)buf_add_u8(b, 0);
}

static bool found_camp(demo *d)
{
    demo_node *base = &d->nodes[0];
    const char *init[] = {"init", "--dataset", "Flood response demo", "--name", base->name, NULL};
    say(d, "A base camp and two field teams start with nothing, in %s", d->dir);
    return demo_run(base, NULL, init) == 0 && demo_up(base, base);
}

static bool join_team(demo *d, demo_node *team)
{
    demo_node *base = &d->nodes[0];
    char address[32];
    buf token;
    snprintf(address, sizeof address, "127.0.0.1:%u", base->port + 1);
    const char *invite[] = {"invite", team->name, "--address", address, NULL};
    buf_init(&token, TOKEN_TEXT_MAX_BYTES + 2);
    bool ok = demo_run(base, &token, invite) == 0;
    cut_line(&token);
    const char *join[] = {"join", "--name", team->name, ok ? (const char *)token.p : "", NULL};
    ok = ok && demo_run(team, NULL, join) == 0 && demo_up(team, base);
    buf_release(&token);
    if (ok)
        say(d, "%s joins with a one-time token", team->name);
    return ok;
}

static bool create_station(demo *d, int i, const char *name)
{
    char field[64];
    buf id;
    snprintf(field, sizeof field, "name=%s", name);
    const char *args[] = {"create", "station", field, "water_litres=500", "status=open", NULL};
    buf_init(&id, 128);
    bool ok = demo_run(&d->nodes[0], &id, args) == 0;
    cut_line(&id);
    snprintf(d->station[i], sizeof d->station[i], "%s", ok ? (const char *)id.p : "");
    buf_release(&id);
    return ok;
}

/* All nodes hold the same events and show the same records. */
static bool all_equal(const demo *d, demo_state states[NODES])
{
    for (int i = 0; i < NODES; i++)
        if (!demo_ask(&d->nodes[i], &states[i]))
            return false;
    for (int i = 1; i < NODES; i++)
        if (strcmp(states[0].frontier, states[i].frontier) != 0 ||
            strcmp(states[0].view, states[i].view) != 0)
            return false;
    return true;
}

static bool meet(const demo *d, demo_state states[NODES])
{
    mono_ms until = {clock_mono().ms + MEET_MS};
    while (!interrupted && clock_mono().ms < until.ms) {
        if (all_equal(d, states))
            return true;
        struct timespec pause = {
            0, 50 * 1000 * 1000}; /* the nodes are other processes: asked, not awaited */
        nanosleep(&pause, NULL);
    }
    return interrupted
               ? false
               : node_fail("the nodes did not come to equal digests in %u s", MEET_MS / 1000) == 0;
}

static bool prepare(demo *d)
{
    demo_state states[NODES];
    return found_camp(d) && join_team(d, &d->nodes[1]) && join_team(d, &d->nodes[2]) &&
           create_station(d, 0, "Chikwawa school") && create_station(d, 1, "Nsanje clinic") &&
           meet(d, states);
}

static bool part(demo *d)
{
    for (int i = 1; i < NODES; i++) {
        demo_down(&d->nodes[i]);
        if (!demo_up(&d->nodes[i], NULL))
            return false;
    }
    say(d, "Both teams drive off: no network from here on");
    return true;
}

/* Half of the survey at each team; at team-1 the store is killed while it goes in. */
static bool import_halves(demo *d)
{
    const char *first[] = {"import", "--quiet", d->half[0],     "--form",
                           "flood",  "--at",    "submitted_on", NULL};
    const char *second[] = {"import", "--quiet", d->half[1],     "--form",
                            "flood",  "--at",    "submitted_on", NULL};
    pid_t store = demo_pid(&d->nodes[1], "store");
    pid_t one = demo_spawn(&d->nodes[1], first), two = demo_spawn(&d->nodes[2], second);
    if (store > 0 && kill(store, SIGKILL) == 0)
        say(d, "The teams import half of the flood survey each; the store of team-1 is killed with "
               "SIGKILL meanwhile");
    int a = demo_wait(one), b = demo_wait(two);
    if (a != 0 || b != 0)
        return node_fail("an import failed (exit codes %d and %d)", a, b) == 0;
    say(d, "Imported: %llu rows, nothing acknowledged was lost", (unsigned long long)d->rows);
    return true;
}

static bool edit(demo *d, int team, int station, const char *field, const char *why)
{
    const char *args[] = {
        "set", d->station[station], field, "--by", team == 1 ? "Amina" : "Joseph", "--why", why,
        NULL};
    return demo_run(&d->nodes[team], NULL, args) == 0;
}

static bool edit_both(demo *d)
{
    char litres[2][32];
    snprintf(litres[0], sizeof litres[0], "water_litres=%llu",
             100 + (unsigned long long)d->seed % 100);
    snprintf(litres[1], sizeof litres[1], "water_litres=%llu",
             300 + (unsigned long long)d->seed / 100 % 100);
    if (!edit(d, 1, 0, litres[0], "counted on site") ||
        !edit(d, 2, 0, litres[1], "delivery arrived") ||
        !edit(d, 1, 1, "status=closed", "road under water") ||
        !edit(d, 2, 1, "water_litres=80", "counted on site"))
        return false;
    say(d,
        "Both edit the same field of one station (%s against %s) and different fields of another",
        litres[0], litres[1]);
    return true;
}

static bool reunite(demo *d, demo_state states[NODES])
{
    mono_ms from;
    for (int i = 1; i < NODES; i++) {
        demo_down(&d->nodes[i]);
        if (!demo_up(&d->nodes[i], &d->nodes[0]))
            return false;
    }
    from = clock_mono();
    say(d, "The teams are back on the camp's network");
    if (!meet(d, states))
        return false;
    say(d,
        "All three nodes hold the same log and show the same records (%.1f s after the last came "
        "up)",
        (double)(clock_mono().ms - from.ms) / 1000);
    return true;
}

/* ---- the proof ---- */

static bool print_conflicts(demo *d)
{
    const char *args[] = {"conflicts", NULL};
    buf out;
    buf_init(&out, 1u << 20);
    bool ok = demo_run(&d->nodes[0], &out, args) == 0;
    printf("\nThe one conflict, as every node shows it:\n\n%.*s", (int)out.len,
           out.len > 0 ? (const char *)out.p : "");
    buf_release(&out);
    return ok;
}

static bool verify_all(demo *d)
{
    const char *args[] = {"verify", NULL};
    printf("\nEvery chain re-hashed, every signature checked:\n");
    for (int i = 0; i < NODES; i++) {
        buf out;
        buf_init(&out, 65536);
        bool ok = demo_run(&d->nodes[i], &out, args) == 0;
        cut_line(&out);
        if (out.len > 0)
            out.p[strcspn((const char *)out.p, "\n")] = '\0';
        printf("  %-7s %s\n", d->nodes[i].name,
               ok ? out.len > 1 ? (const char *)out.p : "good" : "FAILED");
        buf_release(&out);
        if (!ok)
            return false;
    }
    return true;
}

static bool prove(demo *d, const demo_state states[NODES])
{
    printf("\n%-8s %8s %8s %10s  %-18s %s\n", "NODE", "EVENTS", "RECORDS", "CONFLICTS",
           "FRONTIER DIGEST", "VIEW DIGEST");
    for (int i = 0; i < NODES; i++)
        printf("%-8s %8llu %8llu %10llu  %.16s…  %.16s…\n", d->nodes[i].name,
               (unsigned long long)states[i].events, (unsigned long long)states[i].records,
               (unsigned long long)states[i].conflicts, states[i].frontier, states[i].view);
    bool ok = print_conflicts(d) && verify_all(d);
    if (states[0].records != d->rows + 2 || states[0].conflicts != 1)
        ok = node_fail("expected %llu records and one conflict", (unsigned long long)d->rows + 2) ==
             0;
    return ok;
}

static void farewell(const demo *d)
{
    printf("\nTook %.1f s. Start a camp of your own:\n\n"
           "  cairn init --dataset \"Our camp\" --name base\n"
           "  cairn up --detach\n"
           "  cairn invite team-1          and there: cairn join TOKEN && cairn up --detach\n",
           (double)(clock_mono().ms - d->began.ms) / 1000);
}

/* ---- set-up and clean-up ---- */

static bool set_up(demo *d)
{
    static const char *const names[NODES] = {"base", "team-1", "team-2"};
    if (!demo_make_dir(d->dir, sizeof d->dir, "demo"))
        return false;
    for (int i = 0; i < NODES; i++) {
        snprintf(d->nodes[i].name, sizeof d->nodes[i].name, "%s", names[i]);
        snprintf(d->nodes[i].home, sizeof d->nodes[i].home, "%s/%s", d->dir, names[i]);
        d->nodes[i].port = demo_free_port();
        if (d->nodes[i].port == 0)
            return node_fail("no free ports on the loopback address") == 0;
    }
    return split_survey(d);
}

static void clean_up(demo *d)
{
    bool keep = cmdline_has(d->line, "keep");
    for (int i = NODES; i-- > 0;)
        if (!keep)
            demo_down(&d->nodes[i]);
    if (d->dir[0] != '\0' && !keep)
        demo_remove(d->dir);
    if (keep)
        printf("\nKept, and still up: %s (for instance: cairn --home %s/base status)\n", d->dir,
               d->dir);
}

static bool play(demo *d)
{
    demo_state states[NODES];
    return !interrupted && prepare(d) && !interrupted && part(d) && !interrupted &&
           import_halves(d) && edit_both(d) && !interrupted && reunite(d, states) &&
           prove(d, states);
}

int cmd_demo(const cmdline *c)
{
    demo *d = calloc(1, sizeof *d);
    if (d == NULL)
        return node_fail("out of memory");
    interrupt_catch();
    d->line = c;
    d->began = clock_mono();
    d->seed = cmdline_number(c, "seed");
    bool ok = find_survey(d) && set_up(d) && play(d);
    if (ok)
        farewell(d);
    clean_up(d);
    free(d);
    return ok ? 0 : 1;
}
