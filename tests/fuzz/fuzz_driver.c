/* A host-side driver with a device that says anything, at any time. The input is a series of: how many bytes follow (low
 * five bits) and what happens before them (upper three); then the bytes. What the host says is read back by its own
 * parser: whole frames only. */
#include "radio-bridge/driver_core.h"
#include "radio-bridge/kiss_core.h"

#include <stdlib.h>

typedef struct {
    driver *d;
    kiss_reader echo;
    mono_ms now;
    uint64_t accepted, ended;
    bool open;
} play;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void on_event(void *context, const driver_event *e)
{
    play *p = context;
    if (e->kind == DRIVER_HEARD)
        must(e->frame.len > 0 && e->frame.len <= RADIO_FRAME_MAX_BYTES);
    else
        p->ended++;
}

static void check_output(play *p)
{
    bytes out = driver_output(p->d);
    for (size_t i = 0; i < out.len; i++)
        (void)kiss_take(&p->echo, out.p[i]);
    must(!p->echo.in_frame && p->echo.printable + p->echo.junk == 0);
    driver_output_taken(p->d, out.len);
}

static void line(play *p)
{
    bool wants = driver_wants_line(p->d, p->now);
    if (p->open && !wants)
        driver_closed(p->d, p->now);
    else if (!p->open && wants)
        driver_opened(p->d, p->now);
    p->open = wants;
}

static void happen(play *p, unsigned what)
{
    static const uint64_t steps[] = {0, 0, 1, 50, 700, 3000, 10000, 0};
    if (what == 1) {
        if (driver_send(p->d, bytes_of("frame", 5), p->now) == ERR_OK)
            p->accepted++;
        must(p->accepted >= p->ended);
    }
    if (what == 7 && p->open) {
        driver_closed(p->d, p->now);
        p->open = false;
    }
    p->now.ms += steps[what];
    line(p);
    driver_advance(p->d, p->now);
}

static void run(const driver_kind *kind, const uint8_t *data, size_t size)
{
    driver_settings set = {
        .hz = 869525000, .bw_hz = 125000, .sf = 8, .cr = 5, .txpower_dbm = 14, .tcp = true};
    play p = {.now = {1}};
    p.d = driver_new(kind, &set, on_event, &p);
    if (p.d == NULL)
        return;
    kiss_reader_init(&p.echo);
    line(&p);
    for (size_t i = 0; i < size;) {
        size_t n = data[i] & 31, what = data[i] >> 5;
        i++;
        happen(&p, (unsigned)what);
        n = n < size - i ? n : size - i;
        driver_feed(p.d, bytes_of(data + i, n), p.now);
        check_output(&p);
        i += n;
    }
    driver_closed(p.d, p.now);
    must(p.accepted == p.ended);
    driver_free(p.d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(&driver_rnode, data, size);
    run(&driver_meshcore, data, size);
    return 0;
}
