#include "radio-bridge/driver_core_impl.h"

#include <stdarg.h>
#include <stdio.h>

#define HZ_TOLERANCE 100u /* an SX127x rounds */

static const driver_kind *const kinds[] = {&driver_rnode, &driver_meshcore};

const driver_kind *driver_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

driver *driver_new(const driver_kind *kind, const driver_settings *settings, driver_tell *tell,
                   void *context)
{
    driver *d = kind->new ();
    if (d == NULL)
        return NULL;
    d->kind = kind;
    d->set = *settings;
    d->tell = tell;
    d->context = context;
    d->channel.noise_dbm = INT16_MIN;
    d->pause_ms = DRIVER_PAUSE_MS;
    buf_init(&d->out, DRIVER_OUTPUT_MAX_BYTES);
    return d;
}

void driver_free(driver *d)
{
    if (d == NULL)
        return;
    buf_release(&d->out);
    d->kind->free(d);
}

/* ---- for the kinds ---- */

void driver_is_ready(driver *d, mono_ms now)
{
    d->state = DRIVER_READY;
    d->problem = DRIVER_FINE;
    d->why[0] = '\0';
    d->ready_at = now;
}

/* Every way to lose the line comes here; one that held for long enough begins with the short pause again. */
static void lose(driver *d, mono_ms now)
{
    if (d->state == DRIVER_READY && now.ms - d->ready_at.ms >= DRIVER_STEADY_MS)
        d->pause_ms = DRIVER_PAUSE_MS;
    d->open_at = mono_after(now, d->pause_ms);
    d->pause_ms = d->pause_ms * 2 < DRIVER_PAUSE_MAX_MS ? d->pause_ms * 2 : DRIVER_PAUSE_MAX_MS;
    if (d->kind->busy(d))
        driver_say(d, DRIVER_LOST, false);
    d->state = DRIVER_CLOSED;
    d->close_wanted = d->open;
    buf_clear(&d->out);
    d->kind->closed(d, now);
}

void driver_fail(driver *d, driver_problem problem, mono_ms now, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    (void)vsnprintf(d->why, sizeof d->why, why, args);
    va_end(args);
    d->problem = problem;
    lose(d, now);
}

bool driver_took_settings(driver *d, const driver_settings *has, mono_ms now)
{
    const driver_settings *s = &d->set;
    uint32_t off = has->hz > s->hz ? has->hz - s->hz : s->hz - has->hz;
    const char *what = off > HZ_TOLERANCE                  ? "the frequency"
                       : has->bw_hz != s->bw_hz            ? "the bandwidth"
                       : has->sf != s->sf                  ? "the spreading factor"
                       : has->cr != s->cr                  ? "the coding rate"
                       : has->txpower_dbm > s->txpower_dbm ? "the power"
                                                           : NULL;
    d->about.txpower_dbm = has->txpower_dbm;
    if (what != NULL)
        driver_fail(d, DRIVER_DIFFERENT, now, "it did not take %s", what);
    return what == NULL;
}

void driver_say(driver *d, driver_event_kind kind, bool sure)
{
    driver_event e = {.kind = kind, .sure = sure};
    d->tell(d->context, &e);
}

/* ---- the line ---- */

bool driver_wants_line(const driver *d, mono_ms now)
{
    return d->open ? !d->close_wanted : now.ms >= d->open_at.ms;
}

void driver_opened(driver *d, mono_ms now)
{
    d->open = true;
    d->close_wanted = false;
    d->state = DRIVER_ASKING;
    d->kind->opened(d, now);
}

void driver_closed(driver *d, mono_ms now)
{
    bool known = d->close_wanted, at_once = d->set.tcp && d->state == DRIVER_ASKING;
    d->open = d->close_wanted = false;
    if (!known)
        driver_fail(d, DRIVER_LINE, now,
                    at_once ? "it hung up at once: another host may have it" : "the line ended");
}

void driver_feed(driver *d, bytes in, mono_ms now)
{
    if (d->state != DRIVER_CLOSED)
        d->kind->feed(d, in, now);
}

bytes driver_output(const driver *d)
{
    return buf_view(&d->out);
}

void driver_output_taken(driver *d, size_t n)
{
    size_t left = d->out.len - n;
    if (left > 0)
        memmove(d->out.p, d->out.p + n, left);
    buf_clear(&d->out);
    d->out.len = left;
}

mono_ms driver_next(const driver *d)
{
    if (d->open && d->state != DRIVER_CLOSED)
        return d->kind->next(d);
    return d->open ? DRIVER_NEVER : d->open_at;
}

void driver_advance(driver *d, mono_ms now)
{
    if (d->state != DRIVER_CLOSED)
        d->kind->advance(d, now);
}

/* ---- frames ---- */

err_t driver_send(driver *d, bytes frame, mono_ms now)
{
    if (d->state != DRIVER_READY || d->set.ask_only)
        return ERR_NOT_READY;
    if (d->kind->busy(d))
        return ERR_BUSY;
    if (frame.len == 0 || frame.len > RADIO_FRAME_MAX_BYTES)
        return ERR_TOO_LARGE;
    d->kind->send(d, frame, now);
    return ERR_OK;
}

uint64_t driver_airtime_us(const driver *d, size_t frame_bytes)
{
    return d->kind->airtime_us(d, frame_bytes);
}

void driver_leave(driver *d)
{
    if (d->state != DRIVER_CLOSED)
        d->kind->leave(d);
}

/* ---- its state ---- */

driver_state driver_state_of(const driver *d)
{
    return d->state;
}

driver_problem driver_problem_of(const driver *d)
{
    return d->problem;
}

const char *driver_why(const driver *d)
{
    return d->why;
}

const driver_about *driver_about_of(const driver *d)
{
    return &d->about;
}

driver_channel driver_channel_of(const driver *d)
{
    return d->channel;
}
