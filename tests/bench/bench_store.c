/* The store by itself, beside raw LMDB on the same disk in the same minute: commits/s at 1, 32 and 1000
 * events, sustained appends over many streams, scan, disk bytes per payload byte, memory.
 *
 *   bench_store [DIR [EVENTS [STREAMS]]]     default: a temporary directory, 2,000,000 events, 100,000 streams
 *
 * Prints one line per figure: name, value, unit. */
#include "proto/event.h"
#include "pure/run.h"
#include "store/store_core.h"
#include "store/store_lmdb.h"
#include "tests/bench/bench.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_BYTES 200u
#define BODY_MAX      512u
#define SEAL_EVERY    32u
#define MAP_BYTES     (64ull << 30)

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double anonymous_mib(void)
{
    char row[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(row, sizeof row, f) != NULL)
        if (sscanf(row, "RssAnon: %lu", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return (double)kib / 1024;
}

/* ---- raw LMDB ---- */

static void raw_commits(const char *dir, unsigned events, double seconds)
{
    char path[256], name[64];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint8_t value[320] = {0};
    uint64_t n = 0, key = 0;
    snprintf(path, sizeof path, "%s/raw.mdb", dir);
    mdb_env_create(&env);
    mdb_env_set_mapsize(env, MAP_BYTES);
    if (mdb_env_open(env, path, MDB_NOSUBDIR, 0600) != 0)
        exit(1);
    double begin = now_s(), end;
    do {
        mdb_txn_begin(env, NULL, 0, &txn);
        mdb_dbi_open(txn, NULL, 0, &dbi);
        for (unsigned i = 0; i < events; i++) {
            uint8_t k[8];
            put_u64be(k, ++key);
            MDB_val kv = {sizeof k, k}, vv = {sizeof value, value};
            mdb_put(txn, dbi, &kv, &vv, MDB_APPEND);
        }
        if (mdb_txn_commit(txn) != 0)
            exit(1);
        n++;
        end = now_s();
    } while (end - begin < seconds);
    mdb_env_close(env);
    unlink(path);
    snprintf(path, sizeof path, "%s/raw.mdb-lock", dir);
    unlink(path);
    snprintf(name, sizeof name, "raw LMDB, %u per commit", events);
    line(name, (double)(n * events) / (end - begin), "events/s");
}

/* ---- the store ---- */

typedef struct {
    store_core *s;
    uint8_t bodies[BATCH_MAX_EVENTS][BODY_MAX];
    append_row rows[BATCH_MAX_EVENTS];
    uint8_t seal[SEAL_BYTES];
    size_t body_len, stream_at;
    uint64_t seq, streams;
    event_id last;
} bench;

static void make_template(bench *b)
{
    buf body;
    uint8_t payload[PAYLOAD_BYTES + 2] = {0xc4, PAYLOAD_BYTES - 2};
    for (size_t i = 2; i < PAYLOAD_BYTES; i++)
        payload[i] = (uint8_t)next_random();
    event_fields fields = {.stamp = {1800000000000ull, 0},
                           .category = bytes_str("flood"),
                           .stream = bytes_str("3-1234567x"),
                           .kind = bytes_str("field.set"),
                           .payload = bytes_of(payload, PAYLOAD_BYTES)};
    buf_init(&body, BODY_MAX);
    must(event_build(&fields, &body), "event");
    b->body_len = body.len;
    for (size_t i = 0; i < BATCH_MAX_EVENTS; i++)
        memcpy(b->bodies[i], body.p, body.len);
    event_view v;
    must(event_parse(buf_view(&body), &v), "event");
    b->stream_at = (size_t)(v.stream.p - body.p) + 2;
    buf_release(&body);
}

static void append_batch(bench *b, unsigned n)
{
    append_reply out;
    for (unsigned i = 0; i < n; i++) {
        append_row *row = &b->rows[i];
        char digits[16];
        snprintf(digits, sizeof digits, "%07u", (unsigned)(next_random() % b->streams));
        memcpy(b->bodies[i] + b->stream_at, digits, 7);
        *row = (append_row){.feed = 3, .seq = ++b->seq, .flags = ROW_COUNTS, .prev = b->last};
        for (size_t k = 0; k < 32; k += 8)
            put_u64be(row->id.b + k, next_random());
        b->last = row->id;
        row->body = bytes_of(b->bodies[i], b->body_len);
        if (i + 1 == n || b->seq % SEAL_EVERY == 0)
            row->seal = bytes_of(b->seal, SEAL_BYTES);
    }
    append_request req = {.rows = MSG_LIST_OF(b->rows, n)};
    must(store_begin(b->s), "begin");
    must(store_append(b->s, &req, (wall_ms){1800000000000ull}, &out), "append");
    must(store_commit(b->s), "commit");
}

static void store_commits(bench *b, unsigned events, double seconds)
{
    char name[64];
    uint64_t n = 0;
    double begin = now_s(), end;
    do {
        append_batch(b, events);
        n += events;
        end = now_s();
    } while (end - begin < seconds);
    snprintf(name, sizeof name, "store, %u per commit", events);
    line(name, (double)n / (end - begin), "events/s");
}

static void sustained(bench *b, uint64_t events)
{
    double begin = now_s(), cpu = cpu_s(), worst = 0;
    for (uint64_t n = 0; n < events; n += 1000) {
        double at = now_s();
        append_batch(b, 1000);
        double took = now_s() - at;
        worst = took > worst ? took : worst;
    }
    line("store, sustained", (double)events / (now_s() - begin), "events/s");
    line("  processor", (cpu_s() - cpu) * 1e6 / (double)events, "us/event");
    line("  longest commit", worst * 1000, "ms");
    line("  anonymous memory", anonymous_mib(), "MiB");
}

static void scan(bench *b)
{
    fetch_request req = {.max = FETCH_MAX_ROWS};
    rows_reply out;
    stored_row row;
    uint64_t n = 0;
    double begin = now_s();
    do {
        must(store_fetch(b->s, &req, &out), "fetch");
        n += out.rows.n;
        req.after = out.next;
    } while (!out.caught_up);
    line("fetch", (double)n / (now_s() - begin), "rows/s");
    req.after = n = 0;
    begin = now_s();
    do {
        must(store_fetch(b->s, &req, &out), "fetch");
        while (msg_list_next(&stored_row_desc, &out.rows, &row))
            n++;
        req.after = out.next;
    } while (!out.caught_up);
    line("fetch and decode", (double)n / (now_s() - begin), "rows/s");
}

/* The cursor borrows the store until its next call. */
static bytes keep(char *to, bytes from)
{
    if (from.len != 0)
        memcpy(to, from.p, from.len);
    return bytes_of(to, from.len);
}

static void by_stream(bench *b)
{
    char category[CATEGORY_MAX_BYTES], stream[STREAM_MAX_BYTES];
    scan_request req = {.max = FETCH_MAX_ROWS};
    scan_reply out;
    uint64_t n = 0;
    double begin = now_s();
    do {
        must(store_scan(b->s, &req, &out), "scan");
        n += out.rows.n;
        req.category = keep(category, out.category);
        req.stream = keep(stream, out.stream);
        req.position = out.position;
    } while (!out.done);
    line("scan stream by stream", (double)n / (now_s() - begin), "rows/s");
}

static void runs(bench *b)
{
    run_request req = {.feed = 3, .tip_seq = b->seq, .max_bytes = RUN_MAX_BYTES};
    run_reply out;
    run decoded;
    double begin = now_s();
    do {
        must(store_run(b->s, &req, &out), "run");
        if (out.run.len == 0)
            break;
        must(run_decode(out.run, &decoded), "run");
        req.after_seq += decoded.count;
    } while (out.more);
    line("runs", (double)req.after_seq / (now_s() - begin), "events/s");
}

static void disk(const char *dir, uint64_t events)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/log/data.mdb", dir);
    if (stat(path, &st) == 0)
        line("disk per payload byte", (double)st.st_blocks * 512 / (double)events / PAYLOAD_BYTES,
             "(file)");
}

static void tables(store_kv *kv, uint64_t events, size_t body_len)
{
    static const char *const names[KV_TABLES] = {"meta",   "log",      "feed", "head",
                                                 "stream", "category", "idem", "damage"};
    kv_stats stats;
    must(kv_get_stats(kv, &stats), "stats");
    line("  body", (double)body_len, "bytes/event");
    for (size_t i = 0; i < KV_TABLES; i++)
        if (stats.table_bytes[i] > events / 100) {
            char name[32];
            snprintf(name, sizeof name, "  table %s", names[i]);
            line(name, (double)stats.table_bytes[i] / (double)events, "bytes/event");
        }
}

static store_kv *open_store(bench *b, const char *dir)
{
    store_kv *kv;
    store_disk_info info;
    buf why;
    buf_init(&why, 1024);
    must(store_lmdb_open(&kv, dir, MAP_BYTES, &info, &why), "open");
    store_opening how = {.random_epoch = 1, .random_incarnation = 4};
    must(store_open(&b->s, kv, &how), "store");
    buf_release(&why);
    return kv;
}

int main(int argc, char **argv)
{
    static bench b;
    char dir[200] = "/tmp/cairn-bench-XXXXXX";
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
    b.streams = argc > 3 ? strtoull(argv[3], NULL, 10) : 100000;
    if (argc > 1)
        snprintf(dir, sizeof dir, "%s", argv[1]);
    else if (mkdtemp(dir) == NULL)
        return 1;
    raw_commits(dir, 1, 1);
    raw_commits(dir, 32, 1);
    raw_commits(dir, 1000, 2);
    make_template(&b);
    store_kv *kv = open_store(&b, dir);
    store_commits(&b, 1, 1);
    store_commits(&b, 32, 1);
    store_commits(&b, 1000, 2);
    sustained(&b, events);
    while (store_tend(b.s, 4096))
        ;
    scan(&b);
    by_stream(&b);
    runs(&b);
    disk(dir, b.seq);
    tables(kv, b.seq, b.body_len);
    line("anonymous memory at the end", anonymous_mib(), "MiB");
    store_close(&b.s);
    double begin = now_s();
    (void)open_store(&b, dir);
    line("open", (now_s() - begin) * 1000, "ms");
    store_close(&b.s);
    return 0;
}
