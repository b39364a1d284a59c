/* Drivers at the modems of a laboratory, on virtual time: what a bridge and its line do, without either. */
#ifndef CAIRN_DRIVER_BENCH_H
#define CAIRN_DRIVER_BENCH_H

#include "ether/ether_core.h"
#include "radio-bridge/driver_core.h"

#include <criterion/criterion.h>

#define BENCH_MAX 3u

typedef struct {
    driver *d;
    bool open;
    uint64_t opened; /* how often */
    uint64_t heard, sent, sure, lost;
    uint8_t last[RADIO_FRAME_MAX_BYTES];
    size_t last_len;
    int16_t rssi_dbm, snr_cdb;
    bool unplugged, cut; /* the modem is gone; bytes get lost */
} bench_host;

typedef struct {
    ether *e;
    bool tcp;
    bench_host host[BENCH_MAX];
    size_t n;
    uint64_t frames; /* that were on air */
} bench;

static inline void bench_tell(void *context, const driver_event *e)
{
    bench_host *h = context;
    if (e->kind == DRIVER_HEARD) {
        h->heard++;
        memcpy(h->last, e->frame.p, e->frame.len);
        h->last_len = e->frame.len;
        h->rssi_dbm = e->rssi_dbm;
        h->snr_cdb = e->snr_cdb;
        return;
    }
    h->sent += e->kind == DRIVER_SENT;
    h->sure += e->kind == DRIVER_SENT && e->sure;
    h->lost += e->kind == DRIVER_LOST;
}

static inline mono_ms bench_now(const bench *b)
{
    return (mono_ms){ether_now(b->e).us / 1000};
}

static inline driver_settings bench_settings(bool tcp)
{
    return (driver_settings){
        .hz = 869525000, .bw_hz = 125000, .sf = 8, .cr = 5, .txpower_dbm = 14, .tcp = tcp};
}

/* One board for all. `b` must stay where it is. */
static inline void bench_begin(bench *b, const char *board, size_t n, const driver_settings *set)
{
    const modem_board *boards[BENCH_MAX];
    for (size_t i = 0; i < BENCH_MAX; i++)
        boards[i] = modem_board_named(board);
    ether_spec spec = {.stations = (uint32_t)n,
                       .boards = boards,
                       .region = "eu868",
                       .seed = 1,
                       .tcp_timeout_us = MODEM_TCP_TIMEOUT_US};
    *b = (bench){.e = ether_new(&spec), .n = n, .tcp = set->tcp};
    cr_assert_not_null(b->e);
    for (size_t i = 0; i < n; i++) {
        b->host[i].d = driver_new(&driver_rnode, set, bench_tell, &b->host[i]);
        cr_assert_not_null(b->host[i].d);
    }
}

static inline void bench_end(bench *b)
{
    for (size_t i = 0; i < b->n; i++)
        driver_free(b->host[i].d);
    ether_free(&b->e);
}

static inline void bench_line(bench *b, uint32_t i)
{
    bench_host *h = &b->host[i];
    bool wants = driver_wants_line(h->d, bench_now(b));
    bool hung_up = h->open && b->tcp && modem_host_of(ether_modem(b->e, i)) == MODEM_HOST_NONE;
    if (h->open && (!wants || h->unplugged || hung_up)) {
        h->open = false;
        ether_set_host(b->e, i, MODEM_HOST_NONE);
        driver_closed(h->d, bench_now(b));
    } else if (!h->open && wants && h->unplugged) {
        driver_closed(h->d, bench_now(b)); /* it cannot be opened */
    } else if (!h->open && wants) {
        h->open = true;
        h->opened++;
        if (!b->tcp)
            ether_line_opened(b->e, i);
        ether_set_host(b->e, i, b->tcp ? MODEM_HOST_TCP : MODEM_HOST_SERIAL);
        driver_opened(h->d, bench_now(b));
    }
}

static inline void bench_pump(bench *b, uint32_t i)
{
    bench_host *h = &b->host[i];
    bench_line(b, i);
    modem *m = ether_modem(b->e, i);
    bytes in = modem_output(m);
    if (h->open && !h->cut)
        driver_feed(h->d, in, bench_now(b));
    modem_output_taken(m, in.len);
    driver_advance(h->d, bench_now(b));
    bytes out = driver_output(h->d);
    if (h->open && !h->cut)
        ether_feed(b->e, i, out);
    driver_output_taken(h->d, out.len);
}

static inline void bench_wait(bench *b, uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t++) {
        for (uint32_t i = 0; i < b->n; i++)
            bench_pump(b, i);
        air_us until = air_after(ether_now(b->e), AIR_MS);
        while (ether_step(b->e, until) != NULL)
            b->frames++;
    }
}

/* Until all are ready. */
static inline void bench_ready(bench *b, uint64_t most_ms)
{
    for (uint64_t t = 0; t < most_ms; t += 10) {
        bool all = true;
        for (size_t i = 0; i < b->n; i++)
            all = all && driver_state_of(b->host[i].d) == DRIVER_READY;
        if (all)
            return;
        bench_wait(b, 10);
    }
    cr_assert_fail("not ready: %s", driver_why(b->host[0].d));
}

#endif
