/* cairn radio: what is at the other end of a line, and whether it would do as a modem. */
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "pure/radio_plan.h"
#include "radio-bridge/driver_core.h"
#include "shell/clock.h"
#include "shell/line.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXAMPLE_BYTES 120u /* a flood record on the air with its seal */
#define GOODBYE_MS    300u

typedef struct {
    const char *where;
    const radio_region *region; /* NULL: only asked what it is */
    const radio_preset *preset;
    const radio_band *band;
    const driver_kind *kind;
    driver_settings set;
} probe;

static void nothing_heard(void *context, const driver_event *e)
{
    (void)context;
    (void)e;
}

/* ---- the settings ---- */

static int no_such(const cmdline *c, const char *what, const char *name)
{
    return cmdline_usage(c, "there is no %s \"%s\"", what, name);
}

/* -1 to go on, else the exit code. */
static int choose_plan(const cmdline *c, probe *p)
{
    const char *region = cmdline_get(c, "region"), *preset = cmdline_get(c, "preset");
    p->set = (driver_settings){.tcp = line_is_tcp(p->where), .ask_only = region == NULL};
    if (region == NULL)
        return cmdline_has(c, "preset") ? cmdline_usage(c, "--preset needs --region") : -1;
    if ((p->region = radio_region_named(region)) == NULL)
        return no_such(c, "region", region);
    if ((p->preset = radio_preset_named(preset)) == NULL)
        return no_such(c, "preset", preset);
    p->band = radio_band_of(region, p->region->default_hz, p->preset->bw_hz);
    if (p->band == NULL)
        return cmdline_usage(c, "preset %s is not allowed in %s", preset, region);
    p->set.hz = p->region->default_hz;
    p->set.bw_hz = p->preset->bw_hz;
    p->set.sf = p->preset->sf;
    p->set.cr = p->preset->cr;
    p->set.txpower_dbm = (int8_t)p->band->erp_max_dbm;
    return -1;
}

/* ---- talking to it ---- */

static void feed(driver *d, int fd)
{
    uint8_t in[1024];
    size_t n;
    if (line_read(fd, in, sizeof in, &n) != ERR_OK)
        driver_closed(d, clock_mono());
    else
        driver_feed(d, bytes_of(in, n), clock_mono());
}

static void flush(driver *d, int fd)
{
    size_t n;
    if (line_write(fd, driver_output(d), &n) == ERR_OK)
        driver_output_taken(d, n);
    else
        driver_closed(d, clock_mono());
}

static void turn(driver *d, int fd, mono_ms until)
{
    uint64_t now = clock_mono().ms;
    uint64_t wait = until.ms > now ? until.ms - now : 0;
    bool waits = driver_output(d).len > 0;
    struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (waits ? POLLOUT : 0))};
    if (poll(&p, 1, wait > 1000 ? 1000 : (int)wait) > 0 &&
        (p.revents & (POLLIN | POLLHUP | POLLERR)))
        feed(d, fd);
    if ((p.revents & POLLOUT) && driver_state_of(d) != DRIVER_CLOSED)
        flush(d, fd);
    driver_advance(d, clock_mono());
}

/* Until it is known, or will not be. */
static bool find_out(driver *d, int fd)
{
    driver_opened(d, clock_mono());
    while (!interrupted && driver_state_of(d) != DRIVER_READY &&
           driver_state_of(d) != DRIVER_CLOSED)
        turn(d, fd, driver_next(d));
    return driver_state_of(d) == DRIVER_READY;
}

static void leave(driver *d, int fd)
{
    mono_ms end = {clock_mono().ms + GOODBYE_MS};
    driver_leave(d);
    while (driver_output(d).len > 0 && clock_mono().ms < end.ms)
        turn(d, fd, end);
}

/* ---- telling ---- */

static const char *chip_name(const driver_about *a)
{
    return a->chip == LORA_SX126X ? "SX126x" : "SX127x";
}

static void tell_json(const probe *p, const driver *d)
{
    const driver_about *a = driver_about_of(d);
    buf b;
    buf_init(&b, 4096);
    out_open(&b);
    out_cstr(&b, "line", p->where);
    out_cstr(&b, "modem", p->kind->name);
    out_cstr(&b, "model", a->model);
    out_cstr(&b, "platform", a->platform);
    out_cstr(&b, "firmware", a->firmware);
    out_cstr(&b, "chip", chip_name(a));
    if (p->region != NULL) {
        out_begin(&b, "accepts", '{');
        out_u64(&b, "hz", p->set.hz);
        out_u64(&b, "bw_hz", p->set.bw_hz);
        out_u64(&b, "sf", p->set.sf);
        out_u64(&b, "cr", p->set.cr);
        out_u64(&b, "txpower_dbm", (uint64_t)a->txpower_dbm);
        out_cstr(&b, "regulation", p->band->regulation);
        out_u64(&b, "airtime_120_us", driver_airtime_us(d, EXAMPLE_BYTES));
        out_end(&b, '}');
    } else {
        out_null(&b, "accepts");
    }
    (void)out_close(&b);
    buf_release(&b);
}

static void tell_words(const probe *p, const driver *d)
{
    const driver_about *a = driver_about_of(d);
    bool known = a->platform[0] != '\0';
    printf("%s: %s", p->kind->title, a->model);
    if (known)
        printf(" (%s, %s)", a->platform, chip_name(a));
    printf(", firmware %s\n", a->firmware);
    if (p->region == NULL)
        return;
    printf("takes %.3f MHz, %.0f kHz, SF%u, 4/%u, %d dBm: preset %s in %s (%s)\n", p->set.hz / 1e6,
           p->set.bw_hz / 1e3, p->set.sf, p->set.cr, a->txpower_dbm, p->preset->name,
           p->region->name, p->band->regulation);
    printf("a frame of %u bytes takes %.2f s of air\n", EXAMPLE_BYTES,
           (double)driver_airtime_us(d, EXAMPLE_BYTES) / 1e6);
}

/* ---- the command ---- */

static int ask(const cmdline *c, const probe *p, int fd)
{
    int status = 0;
    driver *d = driver_new(p->kind, &p->set, nothing_heard, NULL);
    if (d == NULL)
        return node_fail("%s", err_text(ERR_NO_MEMORY));
    if (find_out(d, fd)) {
        if (cmdline_has(c, "json"))
            tell_json(p, d);
        else
            tell_words(p, d);
    } else {
        status = interrupted ? 1 : node_fail("%s: %s", p->where, driver_why(d));
    }
    leave(d, fd);
    driver_free(d);
    return status;
}

int cmd_radio_probe(const cmdline *c)
{
    char why[ERROR_TEXT_MAX_BYTES];
    probe p = {.where = cmdline_arg(c, 0), .kind = driver_kind_named(cmdline_get(c, "modem"))};
    int fd, status = choose_plan(c, &p);
    if (status >= 0)
        return status;
    interrupt_catch();
    unsigned baud = (unsigned)strtoul(cmdline_get(c, "baud"), NULL, 10);
    if (line_open(p.where, baud, &fd, why) != ERR_OK)
        return node_fail("%s: %s", p.where, why);
    status = ask(c, &p, fd);
    close(fd);
    return status;
}
