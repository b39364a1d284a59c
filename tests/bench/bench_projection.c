/* The record projection beside the store, as processes: building the view of a large log, rebuilding it, following new
 * rows, and what it costs when nothing happens.
 *
 *   bench_projection [EVENTS [RECORDS [DIR]]]     default: 1,000,000 events on 100,000 records, a temporary directory
 *
 * Every record is created with three fields and then edited, each edit naming the one before; payloads of some 200
 * bytes. Prints one line per figure: name, value, unit. */
#include "projection/projection_clnt.h"
#include "proto/event.h"
#include "proto/row.h"
#include "pure/chain.h"
#include "shell/home.h"
#include "store/store_clnt.h"
#include "store/store_core.h"
#include "store/store_lmdb.h"
#include "tests/bench/bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_BYTES 200u
#define BODY_MAX      512u
#define BATCH         1000u
#define MAP_BYTES     (256ull << 30)
#define IDLE_S        10u

typedef struct {
    store_core *store; /* the log's own, or */
    clnt *client;      /* the process */
    uint64_t seq, records;
    event_ref *last; /* per record */
    event_id previous;
    uint8_t bodies[BATCH][BODY_MAX];
    append_row rows[BATCH];
} filler;

/* ---- filling the log ---- */

static void put_text(buf *out, size_t n)
{
    char text[256];
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + next_random() % 26);
    mp_put_str(out, bytes_of(text, n));
}

static void put_payload(buf *out, bool create)
{
    mp_put_map(out, create ? 3 : 1);
    mp_put_cstr(out, "depth");
    put_text(out, create ? 60 : PAYLOAD_BYTES - 10);
    if (!create)
        return;
    mp_put_cstr(out, "remarks");
    put_text(out, 70);
    mp_put_cstr(out, "where");
    put_text(out, 45);
}

static void add_event(filler *f, unsigned i, uint64_t record)
{
    char name[16];
    bool create = f->last[record].seq == 0;
    event_reference before = {.full = f->last[record]};
    buf payload, body = {.p = f->bodies[i], .cap = BODY_MAX, .max = BODY_MAX};
    uint8_t room[BODY_MAX];
    payload = (buf){.p = room, .cap = sizeof room, .max = sizeof room};
    put_payload(&payload, create);
    snprintf(name, sizeof name, "3-%07u", (unsigned)record);
    event_fields fields = {.stamp = {1800000000000ull + f->seq, 0},
                           .replaces = &before,
                           .n_replaces = !create,
                           .category = bytes_str("flood"),
                           .stream = bytes_str(name),
                           .kind = bytes_str(create ? "record.create" : "field.set"),
                           .payload = buf_view(&payload)};
    must(event_build(&fields, &body), "event");
    append_row *row = &f->rows[i];
    *row = (append_row){.feed = 3,
                        .seq = ++f->seq,
                        .flags = ROW_COUNTS,
                        .prev = f->previous,
                        .body = buf_view(&body)};
    event_view view;
    must(event_parse(row->body, &view), "event");
    chain_next_event(&row->id, &row->prev, row->seq, &view);
    f->previous = row->id;
    f->last[record] = event_ref_of(3, row->seq, &row->id);
}

static void fill(filler *f, uint64_t events)
{
    append_reply out;
    for (uint64_t n = 0; n < events; n += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            add_event(f, i, f->seq < f->records ? f->seq : next_random() % f->records);
        append_request req = {.rows = MSG_LIST_OF(f->rows, BATCH)};
        if (f->client != NULL) {
            must(store_call_append(f->client, &req, &out, NULL), "append");
            continue;
        }
        must(store_begin(f->store), "begin");
        must(store_append(f->store, &req, (wall_ms){1800000000000ull}, &out), "append");
        must(store_commit(f->store), "commit");
    }
}

static filler *fill_home(const cairn_home *home, uint64_t events, uint64_t records)
{
    char dir[HOME_PATH_MAX];
    filler *f = calloc(1, sizeof *f);
    store_kv *kv;
    store_disk_info info;
    buf why;
    buf_init(&why, 512);
    home_path(home, dir, "store");
    must(home_make_dir(dir), dir);
    must(store_lmdb_open(&kv, dir, MAP_BYTES, &info, &why), "open");
    store_opening how = {.inode = info.inode,
                         .birth_ns = info.birth_ns,
                         .random_epoch = 17,
                         .random_incarnation = 4};
    f->records = records;
    f->last = calloc(records, sizeof *f->last);
    must(store_open(&f->store, kv, &how), "open");
    double begin = now_s();
    member_key author = {{3}};
    chain_start(&f->previous, &home->dataset, 3, &author);
    fill(f, events);
    line("filling the log", (double)events / (now_s() - begin), "events/s");
    store_close(&f->store);
    buf_release(&why);
    return f;
}

/* ---- processes ---- */

static pid_t start(const char *home, const char *service)
{
    char program[1024];
    const char *bin = getenv("CAIRN_BIN");
    snprintf(program, sizeof program, "%s/cairn-%s", bin != NULL ? bin : CAIRN_BUILD_DIR "/bin",
             service);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    execl(program, program, "--home", home, "--log-level", "warn", (char *)NULL);
    perror(program);
    _exit(127);
}

static double anonymous_mib(pid_t pid)
{
    char path[64], row[256];
    unsigned long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(row, sizeof row, f) != NULL)
        if (sscanf(row, "RssAnon: %lu", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return (double)kib / 1024;
}

static double cpu_s(pid_t pid)
{
    char path[64], row[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f != NULL && fgets(row, sizeof row, f) != NULL) {
        const char *after = strrchr(row, ')');
        if (after != NULL)
            (void)!sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                          &system);
    }
    if (f != NULL)
        fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static view_row ask_view(clnt *c, uint64_t min_offset, bool digest)
{
    views_request req = {.min_offset = min_offset, .with_digest = digest};
    views_reply reply;
    view_row row = {0};
    buf text;
    buf_init(&text, 512);
    err_t e = projection_call_views(c, &req, &reply, &text);
    while (e == ERR_TIMEOUT) /* it waits 30 s at most */
        e = projection_call_views(c, &req, &reply, &text);
    must(e, "views");
    (void)msg_list_next(&view_row_desc, &reply.views, &row);
    buf_release(&text);
    return row;
}

/* Edits of records that exist: each touched stream has to be read again as a whole. */
static void follow_edits(clnt *c, filler *f, uint64_t events)
{
    uint64_t edits = events / 20;
    double begin = now_s();
    fill(f, edits);
    double appended = now_s();
    (void)ask_view(c, events + edits, false);
    line("following edits of old records", (double)edits / (now_s() - begin), "events/s");
    line("  of that, appending them", (appended - begin) * 1000, "ms");
    begin = now_s();
    for (unsigned i = 0; i < 100; i++) {
        add_event(f, 0, next_random() % f->records);
        append_request one = {.rows = MSG_LIST_OF(f->rows, 1)};
        append_reply out;
        must(store_call_append(f->client, &one, &out, NULL), "append");
        (void)ask_view(c, out.first_offset, false);
    }
    line("one edit, appended and on show", (now_s() - begin) * 10, "ms");
}

static void measure(clnt *c, pid_t pid, pid_t store, uint64_t events, double begin)
{
    char path[1024], text[64];
    struct stat st;
    view_row v = ask_view(c, events, false);
    double took = now_s() - begin, cpu = cpu_s(pid), theirs = cpu_s(store);
    line("view built from nothing", (double)events / took, "events/s");
    line("  records", (double)v.records, "");
    line("  processor, projection", cpu * 1e6 / (double)events, "us/event");
    line("  processor, store", theirs * 1e6 / (double)events, "us/event");
    line("  anonymous memory", anonymous_mib(pid), "MiB");
    snprintf(path, sizeof path, "%.*s", (int)v.file.len, (const char *)v.file.p);
    if (stat(path, &st) == 0)
        line("  file", (double)st.st_size / 1e6, "MB");
    for (unsigned i = 0; i < 3; i++) {
        rebuild_request req = {.name = bytes_str("records")};
        ok_reply ok;
        begin = now_s();
        must(projection_call_rebuild(c, &req, &ok, NULL), "rebuild");
        snprintf(text, sizeof text, "rebuilt beside the old one, %u", i + 1);
        line(text, (double)events / (now_s() - begin), "events/s");
    }
    begin = now_s();
    (void)ask_view(c, events, true);
    line("view digest", (now_s() - begin) * 1000, "ms");
    line("  anonymous memory", anonymous_mib(pid), "MiB");
    cpu = cpu_s(pid);
    theirs = cpu_s(store);
    sleep(IDLE_S);
    line("idle, projection", (cpu_s(pid) - cpu) * 100 / IDLE_S, "% of a core");
    line("idle, store", (cpu_s(store) - theirs) * 100 / IDLE_S, "% of a core");
}

static void run(const cairn_home *home, filler *f, uint64_t events)
{
    char endpoint[128];
    bus b;
    must(bus_init(&b, &home->dataset), "bus");
    home_endpoint(home, endpoint, "projection", "sock");
    clnt *c = clnt_new(&b, "projection", endpoint);
    pid_t store = start(home->path, "store");
    double begin = now_s();
    pid_t pid = start(home->path, "projection");
    measure(c, pid, store, events, begin);
    home_endpoint(home, endpoint, "store", "sock");
    f->client = clnt_new(&b, "store", endpoint);
    follow_edits(c, f, events);
    clnt_free(f->client);
    kill(pid, SIGTERM);
    kill(store, SIGTERM);
    waitpid(pid, NULL, 0);
    waitpid(store, NULL, 0);
    clnt_free(c);
    bus_release(&b);
}

int main(int argc, char **argv)
{
    uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    char path[128] = "/tmp/bench_projection.XXXXXX", file[160], command[200];
    cairn_home home;
    buf why;
    buf_init(&why, 512);
    if (argc > 3)
        snprintf(path, sizeof path, "%s/bench_projection.XXXXXX", argv[3]);
    if (crypto_start() != ERR_OK || events < records || mkdtemp(path) == NULL)
        return 2;
    snprintf(file, sizeof file, "%s/run", path);
    setenv("CAIRN_RUN", file, 1);
    snprintf(file, sizeof file, "%s/dataset", path);
    must(home_write_file(
             file, bytes_str("c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c17c")),
         file);
    must(home_open(&home, path, &why), path);
    filler *f = fill_home(&home, events, records);
    run(&home, f, events);
    free(f->last);
    free(f);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    buf_release(&why);
    return system(command) != 0;
}
