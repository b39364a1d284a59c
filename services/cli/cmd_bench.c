/* cairn bench: what this machine reaches, medians of five, with its raw limits of the same minute beside them. */
#include "cli/bench_load.h"
#include "cli/bench_raw.h"
#include "cli/cmd.h"
#include "cli/demo_node.h"
#include "cli/out.h"
#include "cli/supervise.h"
#include "shell/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNS         5
#define VIEW_WAIT_MS 30000u

typedef struct {
    const cmdline *line;
    char dir[256];
    demo_node a, b, c;
    pid_t pids[SUPERVISE_PROCESSES]; /* of node a */
    node n;
    bool open;
    out_table *table;
    buf json;
    uint64_t events, payload_bytes;
} bench;

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show(bench *b, const char *what, const char *unit, double values[], size_t n)
{
    char median[32], spread[64];
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, by_value);
    double m = values[n / 2];
    if (b->table == NULL) {
        out_open(&b->json);
        out_cstr(&b->json, "what", what);
        out_cstr(&b->json, "unit", unit);
        buf_addf(&b->json, ",\"median\":%.3f,\"min\":%.3f,\"max\":%.3f,\"runs\":%zu", m, values[0],
                 values[n - 1], n);
        out_close(&b->json);
        return;
    }
    const char *format = m >= 100 ? "%.0f" : "%.2f";
    char low[32], high[32];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(median, sizeof median, format, m);
    snprintf(low, sizeof low, format, values[0]);
    snprintf(high, sizeof high, format, values[n - 1]);
#pragma GCC diagnostic pop
    snprintf(spread, sizeof spread, "%s – %s", low, high);
    out_table_row(b->table, (const char *const[]){what, median, unit, n > 1 ? spread : "", NULL});
    fprintf(stderr, "  %s: %s %s\n", what, median, unit);
}

static void show_one(bench *b, const char *what, const char *unit, double value)
{
    show(b, what, unit, &value, 1);
}

/* ---- parts ---- */

static void measure_raw(bench *b)
{
    static const struct {
        const char *name;
        unsigned events;
    } sizes[] = {{"raw LMDB synced commits, 1 event", 1},
                 {"raw LMDB synced commits, 32 events", 32},
                 {"raw LMDB synced commits, 1000 events", 1000}};
    double v[RUNS];
    for (size_t i = 0; i < RUNS; i++)
        v[i] = bench_raw_flushes(b->dir);
    show(b, "raw flushes", "per s", v, RUNS);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        for (size_t i = 0; i < RUNS; i++)
            v[i] = bench_raw_lmdb(b->dir, sizes[k].events);
        show(b, sizes[k].name, "commits/s", v, RUNS);
    }
    for (size_t i = 0; i < RUNS; i++)
        v[i] = bench_raw_verifies();
    show(b, "raw Ed25519 verifies, one core", "per s", v, RUNS);
}

/* Processor time of this process and those of the node, in µs: on a machine with other work it tells more than a
 * rate. */
static double processor_us(const bench *b)
{
    double us = 0;
    for (size_t i = 0; i <= SUPERVISE_PROCESSES; i++) {
        clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
        struct timespec t;
        pid_t pid = i < SUPERVISE_PROCESSES ? b->pids[i] : getpid();
        if (pid > 0 && clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
            us += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
    }
    return us;
}

static void show_processor(bench *b, const char *what, double values[], size_t n)
{
    char name[96];
    snprintf(name, sizeof name, "%s: processor, all processes", what);
    show(b, name, "us/event", values, n);
}

static bool measure_emit(bench *b, const char *what, uint32_t batch, uint32_t in_flight,
                         uint64_t events)
{
    double v[RUNS], us[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        bench_result r;
        double before = processor_us(b);
        bench_shape s = {.events = events,
                         .batch = batch,
                         .in_flight = in_flight,
                         .streams = 100000,
                         .payload_bytes = 200};
        bool ok = bench_emit(&b->n, &s, &r);
        v[i] = ok ? (double)r.events / r.seconds : 0;
        us[i] = ok ? (processor_us(b) - before) / (double)r.events : 0;
        b->payload_bytes += r.events * 200;
        b->events += r.events;
        bench_release(&r);
        if (!ok)
            return false;
    }
    show(b, what, "events/s", v, RUNS);
    show_processor(b, what, us, RUNS);
    return true;
}

static bool measure_sustained(bench *b)
{
    static const char what[] = "sustained, batches of 1000, 100,000 streams";
    uint64_t seconds = cmdline_number(b->line, "sustained"), from = bench_now_us(), events = 0;
    double before = processor_us(b);
    while (bench_now_us() - from < seconds * 1000000) {
        bench_result r;
        bench_shape s = {.events = 200000,
                         .batch = 1000,
                         .in_flight = 8,
                         .streams = 100000,
                         .payload_bytes = 200};
        if (!bench_emit(&b->n, &s, &r))
            return false;
        events += r.events;
        b->events += r.events;
        b->payload_bytes += r.events * 200;
        bench_release(&r);
    }
    if (seconds > 0) {
        double us = (processor_us(b) - before) / (double)events;
        show_one(b, what, "events/s", (double)events * 1e6 / (double)(bench_now_us() - from));
        show_processor(b, what, &us, 1);
    }
    return true;
}

/* The view was held back while writing was measured: what is read afterwards is read beside nobody. */
static bool await_view(bench *b)
{
    store_hello_reply store;
    views_reply views;
    uint64_t from = bench_now_us();
    if (node_ask_store_hello(&b->n, &(store_hello_request){0}, &store) != ERR_OK)
        return false;
    views_request req = {.min_offset = store.head};
    while (node_try_views(&b->n, VIEW_WAIT_MS, &req, &views) != ERR_OK)
        if (bench_now_us() - from > 600ull * 1000000) {
            (void)node_fail("the view did not catch up in 10 minutes");
            return false;
        }
    return true;
}

static void measure_reads(bench *b)
{
    double v[RUNS], w[RUNS], x[RUNS];
    uint64_t rows, all;
    node reader;
    for (size_t i = 0; i < RUNS; i++) {
        v[i] = bench_fetch_all(&b->n, &all);
        w[i] = bench_scan_log(&b->n, all);
        x[i] = bench_scan_all(&b->n, &rows);
    }
    show(b, "catch-up of a worker (fetch, decoded)", "events/s", v, RUNS);
    show(b, "scan of the log in order at the store, checked", "events/s", w, RUNS);
    show(b, "scan stream by stream, as a rebuild reads", "events/s", x, RUNS);
    if (!node_open(&reader, b->a.home, true))
        return;
    for (size_t i = 0; i < RUNS; i++)
        v[i] = bench_delivery_us(&b->n, &reader, 100);
    show(b, "delivery after the acknowledgement, p50", "us", v, RUNS);
    node_close(&reader);
}

static double timed_command(const demo_node *n, const char *const *args)
{
    uint64_t from = bench_now_us();
    return demo_run(n, NULL, args) == 0 ? (double)(bench_now_us() - from) / 1e6 : 0;
}

static void measure_commands(bench *b)
{
    const char *verify[] = {"verify", NULL},
               *rebuild[] = {"projection", "rebuild", "records", NULL};
    double s = timed_command(&b->a, verify);
    if (s > 0)
        show_one(b, "verify, whole command", "events/s", (double)b->events / s);
    s = timed_command(&b->a, rebuild);
    if (s > 0)
        show_one(b, "rebuild of the record projection", "events/s", (double)b->events / s);
}

/* ---- two nodes ---- */

#define SYNC_WAIT_US (300ull * 1000000)
#define ROSTER_MOST  100u /* events that are there before the log of the other node comes */

static bool join_as(bench *b, const demo_node *n, const char *name)
{
    char address[32];
    buf token;
    snprintf(address, sizeof address, "127.0.0.1:%u", b->a.port + 1);
    const char *invite[] = {"invite", name, "--address", address, NULL};
    buf_init(&token, TOKEN_TEXT_MAX_BYTES + 2);
    bool ok = demo_run(&b->a, &token, invite) == 0 && token.len > 1;
    if (ok)
        token.p[token.len - 1] = '\0';
    const char *join[] = {"join", ok ? (const char *)token.p : "", NULL};
    ok = ok && demo_run(n, NULL, join) == 0;
    buf_release(&token);
    return ok;
}

/* Asks the supervisor itself: cairn status would take part in what is measured. */
static pid_t process_of(node *n, const char *name)
{
    processes_reply reply;
    process_row row;
    if (node_peek_processes(n, 500, &(processes_request){0}, &reply))
        while (msg_list_next(&process_row_desc, &reply.processes, &row))
            if (bytes_is(row.name, name))
                return (pid_t)row.pid;
    return 0;
}

typedef struct {
    uint64_t began, first, all; /* us: processes started, first events seen, all there */
    uint64_t at_first;          /* events seen first */
    pid_t stopped;
} sync_times;

/* The other node is another process: asked, not awaited. */
static bool watch_sync(const demo_node *n, uint64_t events, bool stop_view, sync_times *t)
{
    node second;
    bool ok = node_open(&second, n->home, true);
    while (ok && t->all == 0) {
        struct timespec pause = {0, 2 * 1000 * 1000};
        frontier_reply f = {0};
        nanosleep(&pause, NULL);
        if (stop_view && t->stopped <= 0 && (t->stopped = process_of(&second, "projection")) > 0)
            kill(t->stopped, SIGSTOP);
        bool told = node_peek_frontier(&second, 5000, &(frontier_request){0}, &f);
        uint64_t now = bench_now_us();
        if (told && t->first == 0 && f.events > ROSTER_MOST) {
            t->first = now;
            t->at_first = f.events;
        }
        if (told && f.events >= events)
            t->all = now;
        else if (now - t->began > SYNC_WAIT_US)
            ok = node_fail("the second node did not catch up in 5 minutes") == 0;
    }
    node_close(&second);
    return ok;
}

/* A fresh node takes all from the first, with or without its own record view folding beside. */
static bool sync_fresh(bench *b, demo_node *n, uint64_t events, bool stop_view, sync_times *t)
{
    *t = (sync_times){.began = bench_now_us()};
    pid_t up = demo_start_up(n, &b->a);
    bool ok = up > 0 && watch_sync(n, events, stop_view, t);
    if (t->stopped > 0)
        kill(t->stopped, SIGCONT);
    if (up > 0)
        (void)demo_wait(up);
    return ok;
}

static void show_sync(bench *b, const char *beside, uint64_t events, const sync_times *t)
{
    char what[96];
    uint64_t rest = events - t->at_first;
    snprintf(what, sizeof what, "two nodes on loopback, verify and sync, %s", beside);
    if (rest > 0 && t->all > t->first)
        show_one(b, what, "events/s", (double)rest * 1e6 / (double)(t->all - t->first));
    snprintf(what, sizeof what, "  the same from the start of its processes, %s", beside);
    show_one(b, what, "events/s", (double)events * 1e6 / (double)(t->all - t->began));
}

/* What two nodes say to each other that hold the same: each sends its digest. */
static void measure_silence(bench *b, uint64_t events)
{
    buf out;
    msg_envelope envelope = {.version = PROTO_VERSION, .type = peer_digest_desc.id};
    peer_digest digest = {.events = events};
    buf_init(&out, 4096);
    err_t e = msg_envelope_encode(&envelope, &out);
    if (e == ERR_OK)
        e = msg_encode(&peer_digest_desc, &digest, &out);
    if (e == ERR_OK)
        show_one(b, "nothing to say: one round trip, each way", "bytes", (double)out.len);
    buf_release(&out);
}

static bool measure_sync(bench *b)
{
    demo_state sa;
    sync_times alone, beside;
    bool ok = join_as(b, &b->b, "second") && join_as(b, &b->c, "third") && demo_ask(&b->a, &sa);
    ok = ok && sync_fresh(b, &b->b, sa.events, true, &alone);
    if (!ok)
        return false;
    show_sync(b, "no view beside", sa.events, &alone);
    demo_down(&b->b);
    ok = sync_fresh(b, &b->c, sa.events, false, &beside);
    if (ok)
        show_sync(b, "its view folding beside", sa.events, &beside);
    measure_silence(b, sa.events);
    return ok;
}

/* ---- disk and memory ---- */

static uint64_t anonymous_kib(pid_t pid)
{
    char path[64], line[128];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %llu", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

static void measure_size(bench *b)
{
    char path[HOME_PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s/store/log/data.mdb", b->a.home);
    if (stat(path, &st) == 0 && b->payload_bytes > 0)
        show_one(b, "disk per payload byte, all indexes", "bytes",
                 (double)st.st_blocks * 512 / (double)b->payload_bytes);
    for (size_t i = 0; i < SUPERVISE_PROCESSES; i++) {
        char what[64];
        snprintf(what, sizeof what, "anonymous memory of %s", supervise_names[i]);
        show_one(b, what, "MiB", (double)anonymous_kib(b->pids[i]) / 1024);
    }
}

/* ---- the whole ---- */

static bool set_up(bench *b)
{
    const char *init[] = {"init", "--dataset", "bench", "--name", "first", NULL};
    if (!demo_make_dir(b->dir, sizeof b->dir, "bench"))
        return false;
    snprintf(b->a.home, sizeof b->a.home, "%s/a", b->dir);
    snprintf(b->b.home, sizeof b->b.home, "%s/b", b->dir);
    snprintf(b->c.home, sizeof b->c.home, "%s/c", b->dir);
    b->a.port = demo_free_port();
    b->b.port = demo_free_port();
    b->c.port = demo_free_port();
    if (demo_run(&b->a, NULL, init) != 0 || !demo_up(&b->a, &b->a))
        return false;
    b->open = node_open(&b->n, b->a.home, true);
    return b->open;
}

/* Writing is measured as two hops, client to merge to store: whoever reads along would take its share of the cores. */
static bool measure_writes(bench *b)
{
    uint64_t events = cmdline_number(b->line, "events");
    pid_t reader = 0;
    for (size_t i = 0; i < SUPERVISE_PROCESSES; i++) {
        b->pids[i] = demo_pid(&b->a, supervise_names[i]);
        if (strcmp(supervise_names[i], "projection") == 0)
            reader = b->pids[i];
    }
    if (reader > 0)
        kill(reader, SIGSTOP);
    bool ok = measure_emit(b, "one at a time", 1, 1, 2000) &&
              measure_emit(b, "32 in flight", 1, 32, 30000) &&
              measure_emit(b, "256 in flight", 1, 256, 100000) &&
              measure_emit(b, "batches of 1000", 1000, 8, events / RUNS) && measure_sustained(b);
    if (reader > 0)
        kill(reader, SIGCONT);
    return ok;
}

static bool measure(bench *b)
{
    measure_raw(b);
    if (!measure_writes(b) || !await_view(b))
        return false;
    measure_reads(b);
    measure_size(b);
    measure_commands(b);
    return measure_sync(b);
}

int cmd_bench(const cmdline *c)
{
    static const char *const columns[] = {"WHAT", ">MEDIAN", "UNIT", "SPREAD", NULL};
    bench b = {.line = c};
    buf_init(&b.json, 65536);
    b.table = cmdline_has(c, "json") ? NULL : out_table_new(columns);
    bool ok = set_up(&b) && measure(&b);
    out_table_print(b.table);
    buf_release(&b.json);
    if (b.open)
        node_close(&b.n);
    demo_down(&b.c);
    demo_down(&b.b);
    demo_down(&b.a);
    if (b.dir[0] != '\0')
        demo_remove(b.dir);
    return ok ? 0 : 1;
}
