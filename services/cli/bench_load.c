#include "cli/bench_load.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

uint64_t bench_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

typedef struct {
    const bench_shape *shape;
    bench_result *out;
    clnt *merge;
    emit_row *rows;
    char (*names)[16];
    buf payload;
    uint64_t sent, waiting;
    uint32_t seed;
    err_t failed;
} emitter;

typedef struct {
    emitter *e;
    uint64_t at_us;
    uint32_t events;
} ticket;

static void on_emitted(void *ctx, err_t err, const char *text, const void *reply)
{
    ticket *t = ctx;
    emitter *e = t->e;
    (void)reply;
    e->waiting--;
    if (err != ERR_OK) {
        if (e->failed == ERR_OK)
            node_fail("%s", text);
        e->failed = err;
    } else {
        e->out->latency_us[e->out->requests++] = (uint32_t)(bench_now_us() - t->at_us);
        e->out->events += t->events;
    }
    free(t);
}

/* The same payload throughout; only the stream differs. Compressors are not measured here. */
static void fill_payload(emitter *e)
{
    char text[4096];
    size_t n = e->shape->payload_bytes > 8 ? e->shape->payload_bytes - 8 : 1;
    n = n < sizeof text ? n : sizeof text - 1;
    memset(text, 'x', n);
    buf_init(&e->payload, 8192);
    mp_put_map(&e->payload, 1);
    mp_put_cstr(&e->payload, "text");
    mp_put_str(&e->payload, bytes_of(text, n));
}

static bool send_one(emitter *e)
{
    uint64_t left = e->shape->events - e->sent;
    uint32_t n = left < e->shape->batch ? (uint32_t)left : e->shape->batch;
    for (uint32_t i = 0; i < n; i++) {
        e->seed = e->seed * 1664525u + 1013904223u;
        snprintf(e->names[i], sizeof e->names[i], "r%u", (e->seed >> 8) % e->shape->streams);
        e->rows[i] = (emit_row){.category = bytes_str("bench"),
                                .stream = bytes_str(e->names[i]),
                                .kind = bytes_str("note.add"),
                                .payload = buf_view(&e->payload)};
    }
    ticket *t = malloc(sizeof *t);
    if (t == NULL)
        return false;
    *t = (ticket){e, bench_now_us(), n};
    emit_request req = {.feed_class = e->shape->feed_class, .events = MSG_LIST_OF(e->rows, n)};
    if (merge_clnt_emit(e->merge, &req, on_emitted, t) != ERR_OK) {
        free(t);
        return false;
    }
    e->sent += n;
    e->waiting++;
    return true;
}

static void wait_for_answers(emitter *e)
{
    mono_ms next = clnt_pump(e->merge), now = clock_mono();
    zmq_pollitem_t item = {.socket = clnt_socket(e->merge), .events = ZMQ_POLLIN};
    if (e->waiting >= e->shape->in_flight || e->sent == e->shape->events)
        (void)zmq_poll(&item, 1, e->waiting > 0 && next.ms > now.ms ? (long)(next.ms - now.ms) : 0);
}

static bool emit_loop(emitter *e)
{
    uint64_t from = bench_now_us();
    while ((e->sent < e->shape->events || e->waiting > 0) && e->failed == ERR_OK) {
        while (e->waiting < e->shape->in_flight && e->sent < e->shape->events)
            if (!send_one(e))
                return false;
        wait_for_answers(e);
    }
    e->out->seconds = (double)(bench_now_us() - from) / 1e6;
    return e->failed == ERR_OK;
}

bool bench_emit(node *n, const bench_shape *shape, bench_result *out)
{
    emitter e = {.shape = shape, .out = out, .seed = 1, .merge = node_client(n, "merge")};
    *out = (bench_result){0};
    out->latency_us = calloc(shape->events / shape->batch + 2, sizeof *out->latency_us);
    e.rows = calloc(shape->batch, sizeof *e.rows);
    e.names = calloc(shape->batch, sizeof *e.names);
    bool ok = e.merge != NULL && out->latency_us != NULL && e.rows != NULL && e.names != NULL;
    if (ok) {
        fill_payload(&e);
        ok = emit_loop(&e);
        buf_release(&e.payload);
    }
    free(e.rows);
    free(e.names);
    return ok;
}

void bench_release(bench_result *r)
{
    free(r->latency_us);
    *r = (bench_result){0};
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t bench_percentile(bench_result *r, double p)
{
    if (r->requests == 0)
        return 0;
    qsort(r->latency_us, r->requests, sizeof *r->latency_us, by_size);
    return r->latency_us[(size_t)((double)(r->requests - 1) * p)];
}

/* ---- reading ---- */

typedef struct {
    clnt *store;
    fetch_request req;
    uint64_t rows;
    bool waiting, failed;
} follower;

static void on_rows(void *ctx, err_t e, const char *text, const void *reply);

static void ask_rows(follower *r)
{
    r->waiting = store_clnt_fetch(r->store, &r->req, on_rows, r) == ERR_OK;
    r->failed |= !r->waiting;
}

/* As a worker should: the next rows are asked for before these are looked at. */
static void on_rows(void *ctx, err_t e, const char *text, const void *reply)
{
    follower *r = ctx;
    r->waiting = false;
    r->failed = e != ERR_OK;
    if (r->failed) {
        node_fail("%s", text);
        return;
    }
    const rows_reply *got = reply;
    msg_list rows = got->rows;
    stored_row row;
    r->req.epoch = got->epoch;
    r->req.after = got->next;
    if (!got->caught_up)
        ask_rows(r);
    while (msg_list_next(&stored_row_desc, &rows, &row))
        r->rows++;
}

static double read_all(node *n, const fetch_request *how, uint64_t *rows)
{
    follower r = {.store = node_client(n, "store"), .req = *how};
    uint64_t from = bench_now_us();
    if (r.store == NULL)
        return 0;
    ask_rows(&r);
    while (r.waiting) {
        zmq_pollitem_t item = {.socket = clnt_socket(r.store), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 100);
        (void)clnt_pump(r.store);
    }
    *rows = r.rows;
    return r.failed ? 0 : (double)(bench_now_us() - from) / 1e6;
}

double bench_fetch_all(node *n, uint64_t *rows)
{
    double seconds = read_all(n, &(fetch_request){.max = FETCH_MAX_ROWS}, rows);
    return seconds > 0 ? (double)*rows / seconds : 0;
}

double bench_scan_log(node *n, uint64_t rows)
{
    uint64_t taken;
    double seconds =
        read_all(n, &(fetch_request){.max = FETCH_MAX_ROWS, .shards = UINT16_MAX}, &taken);
    return seconds > 0 ? (double)rows / seconds : 0;
}

double bench_scan_all(node *n, uint64_t *rows)
{
    char category[CATEGORY_MAX_BYTES + 1] = "", stream[STREAM_MAX_BYTES + 1] = "";
    scan_reply reply = {0};
    uint64_t from = bench_now_us();
    *rows = 0;
    while (!reply.done) {
        scan_request req = {.category = bytes_str(category),
                            .stream = bytes_str(stream),
                            .position = reply.position,
                            .max = FETCH_MAX_ROWS};
        if (node_ask_scan(n, &req, &reply) != ERR_OK)
            return 0;
        *rows += reply.rows.n;
        snprintf(category, sizeof category, "%.*s", (int)reply.category.len,
                 (const char *)reply.category.p);
        snprintf(stream, sizeof stream, "%.*s", (int)reply.stream.len,
                 (const char *)reply.stream.p);
    }
    return (double)*rows * 1e6 / (double)(bench_now_us() - from);
}

/* ---- from acknowledgement to reader ---- */

typedef struct {
    bool done;
    uint64_t at_us;
    uint64_t next, epoch;
} arrival;

static void on_arrival(void *ctx, err_t e, const char *text, const void *reply)
{
    arrival *a = ctx;
    const rows_reply *r = reply;
    (void)text;
    a->done = true;
    a->at_us = bench_now_us();
    if (e == ERR_OK) {
        a->next = r->next;
        a->epoch = r->epoch;
    }
}

static bool await_one(clnt *c, arrival *a)
{
    mono_ms until = {clock_mono().ms + 5000};
    while (!a->done && clock_mono().ms < until.ms) {
        zmq_pollitem_t item = {.socket = clnt_socket(c), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 100);
        (void)clnt_pump(c);
    }
    return a->done;
}

uint32_t bench_delivery_us(node *n, node *reader, unsigned times)
{
    bench_shape one = {
        .events = 1, .batch = 1, .in_flight = 1, .streams = 10, .payload_bytes = 200};
    clnt *store = node_client(reader, "store");
    bench_result all = {.latency_us = calloc(times, sizeof(uint32_t))};
    store_hello_reply hello;
    if (all.latency_us == NULL || store == NULL ||
        node_ask_store_hello(reader, &(store_hello_request){0}, &hello) != ERR_OK) {
        bench_release(&all);
        return 0;
    }
    arrival a = {.next = hello.head, .epoch = hello.epoch};
    for (unsigned i = 0; i < times; i++) {
        bench_result r;
        fetch_request req = {.epoch = a.epoch, .after = a.next, .max = 10, .wait_ms = 4000};
        a.done = false;
        if (store_clnt_fetch_within(store, 6000, &req, on_arrival, &a) != ERR_OK)
            break;
        clnt_flush(store);
        if (!bench_emit(n, &one, &r))
            break;
        uint64_t acked = bench_now_us();
        bench_release(&r);
        if (!await_one(store, &a))
            break;
        all.latency_us[all.requests++] = a.at_us > acked ? (uint32_t)(a.at_us - acked) : 0;
    }
    uint32_t median = bench_percentile(&all, 0.5);
    bench_release(&all);
    return median;
}
