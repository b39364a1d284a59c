/* Load on a running node through its public messages, as any client could make it. */
#ifndef CAIRN_BENCH_LOAD_H
#define CAIRN_BENCH_LOAD_H

#include "cli/node.h"

typedef struct {
    uint64_t events;    /* to write in all */
    uint32_t batch;     /* events in one request */
    uint32_t in_flight; /* requests under way at once */
    uint32_t streams;   /* different records */
    uint32_t payload_bytes;
    uint8_t feed_class;
} bench_shape;

typedef struct {
    uint64_t events, requests, failed;
    double seconds;
    uint32_t *latency_us; /* of each request; owned */
} bench_result;

/* Writes until shape->events are acknowledged. False after having said why. Release the result. */
bool bench_emit(node *n, const bench_shape *shape, bench_result *out);
void bench_release(bench_result *r);
/* The p-th part (0 to 1) of the latencies, in µs. */
uint32_t bench_percentile(bench_result *r, double p);

/* Reads the whole log by fetch and decodes it; events per second. */
double bench_fetch_all(node *n, uint64_t *rows);
/* Has the store read all its `rows` in order for a worker that takes one shard of 65535, so that hardly any is sent. */
double bench_scan_log(node *n, uint64_t rows);
/* The same, stream by stream. */
double bench_scan_all(node *n, uint64_t *rows);
/* µs from the acknowledgement of an event to its arrival at a reader that waits for it; median of `times`. */
uint32_t bench_delivery_us(node *n, node *reader, unsigned times);
uint64_t bench_now_us(void);

#endif
