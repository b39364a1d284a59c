/* The line to the modem: opened when the driver wants it, and what the driver says, looked at after it has returned. */
#include "radio-bridge/bridge.h"

#include "shell/clock.h"
#include "shell/line.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define FLUSH_AGAIN_MS 10u
#define GOODBYE_MS     300u
#define READS_MAX      16u /* of one turn, so that a babbling line starves nobody */

/* ---- what the driver tells ---- */

static void on_told(void *context, const driver_event *e)
{
    bridge *b = context;
    if (e->kind != DRIVER_HEARD) {
        b->outcome = true;
        b->lost = e->kind == DRIVER_LOST;
        b->sure = e->sure;
        return;
    }
    if (b->n_heard == RADIO_HEARD_MAX || e->frame.len > RADIO_FRAME_MAX_BYTES) {
        b->heard_dropped++;
        return;
    }
    bridge_heard *h = &b->heard[b->n_heard++];
    memcpy(h->frame, e->frame.p, e->frame.len);
    h->len = e->frame.len;
    h->rssi_dbm = e->rssi_dbm;
    h->snr_cdb = e->snr_cdb;
}

/* ---- the line ---- */

static void drop_line(bridge *b)
{
    if (b->fd >= 0) {
        service_unwatch(b->s, NULL, b->fd);
        close(b->fd);
    }
    b->fd = -1;
    driver_closed(b->driver, clock_mono());
}

static void on_readable(service *s, void *self)
{
    bridge *b = self;
    uint8_t in[1024];
    size_t n = sizeof in;
    (void)s;
    for (unsigned i = 0; i < READS_MAX && n == sizeof in && b->fd >= 0; i++) {
        if (line_read(b->fd, in, sizeof in, &n) != ERR_OK)
            drop_line(b);
        else
            driver_feed(b->driver, bytes_of(in, n), clock_mono());
    }
}

static void open_line(bridge *b)
{
    if (line_open(b->plan.device, b->plan.baud, &b->fd, b->line_why) != ERR_OK) {
        b->fd = -1;
        driver_closed(b->driver, clock_mono());
        return;
    }
    b->line_why[0] = '\0';
    service_watch(b->s, NULL, b->fd, on_readable);
    driver_opened(b->driver, clock_mono());
}

static void flush(bridge *b)
{
    size_t n;
    if (b->fd < 0 || driver_output(b->driver).len == 0)
        return;
    if (line_write(b->fd, driver_output(b->driver), &n) != ERR_OK) {
        drop_line(b);
        return;
    }
    driver_output_taken(b->driver, n);
    if (driver_output(b->driver).len > 0)
        service_wake(b->s, (mono_ms){clock_mono().ms + FLUSH_AGAIN_MS});
}

/* ---- changes worth a word ---- */

static void note_modem(bridge *b)
{
    const driver_about *a = driver_about_of(b->driver);
    bridge_event e = {0};
    snprintf(e.words, sizeof e.words, "%.40s%s%.16s on the air", a->model,
             a->firmware[0] != '\0' ? ", firmware " : "", a->firmware);
    bridge_note(b, "modem", &e);
    log_info("%s", e.words);
}

static void note_problem(bridge *b)
{
    driver_problem p = driver_problem_of(b->driver);
    bridge_event e = {0};
    if (p == b->told_problem)
        return;
    b->told_problem = p;
    if (p == DRIVER_FINE)
        return;
    snprintf(e.words, sizeof e.words, "%s",
             b->line_why[0] != '\0' ? b->line_why : driver_why(b->driver));
    bridge_note(b, "modem", &e);
    log_warn("%s: %s", b->plan.device, e.words);
}

/* A modem that has just become ready was restarted first, or never had a frame of ours: it holds none. */
static void look_at_state(bridge *b)
{
    bool ready = driver_state_of(b->driver) == DRIVER_READY;
    if (ready && !b->on_air) {
        bridge_settle(b);
        note_modem(b);
    }
    b->on_air = ready;
    note_problem(b);
}

void bridge_line_turn(bridge *b)
{
    mono_ms now = clock_mono();
    driver_advance(b->driver, now);
    bool wants = driver_wants_line(b->driver, now);
    if (b->fd >= 0 && !wants)
        drop_line(b);
    else if (b->fd < 0 && wants)
        open_line(b);
    flush(b);
    look_at_state(b);
    mono_ms next = driver_next(b->driver);
    if (next.ms != DRIVER_NEVER.ms)
        service_wake(b->s, next);
}

err_t bridge_line_start(bridge *b)
{
    b->fd = -1;
    b->driver = driver_new(b->plan.kind, &b->plan.set, on_told, b);
    return b->driver != NULL ? ERR_OK : ERR_NO_MEMORY;
}

void bridge_line_stop(bridge *b)
{
    mono_ms end = {clock_mono().ms + GOODBYE_MS};
    if (b->fd >= 0)
        driver_leave(b->driver);
    while (b->fd >= 0 && driver_output(b->driver).len > 0 && clock_mono().ms < end.ms) {
        struct pollfd p = {.fd = b->fd, .events = POLLOUT};
        (void)poll(&p, 1, (int)GOODBYE_MS);
        flush(b);
    }
    if (b->fd >= 0)
        close(b->fd);
    driver_free(b->driver);
}
