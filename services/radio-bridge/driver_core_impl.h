/* What all drivers share: for driver_core*.c only. Each kind's own state begins with a `driver`. */
#ifndef CAIRN_DRIVER_CORE_IMPL_H
#define CAIRN_DRIVER_CORE_IMPL_H

#include "radio-bridge/driver_core.h"
#include "radio-bridge/kiss_core.h"

struct driver {
    const driver_kind *kind;
    driver_settings set;
    driver_tell *tell;
    void *context;
    buf out;
    driver_state state;
    driver_problem problem;
    char why[160];
    driver_about about;
    driver_channel channel;
    bool open, close_wanted;
    mono_ms open_at, ready_at; /* when to open it again; since when it is ready */
    uint32_t pause_ms;
};

static inline mono_ms mono_after(mono_ms t, uint64_t ms)
{
    return (mono_ms){t.ms > UINT64_MAX - ms ? UINT64_MAX : t.ms + ms};
}

static inline mono_ms mono_first(mono_ms a, mono_ms b)
{
    return a.ms < b.ms ? a : b;
}

/* On the air, or known. */
void driver_is_ready(driver *d, mono_ms now);
/* Gives the line up for a while. `why` is a sentence without a full stop. */
void driver_fail(driver *d, driver_problem problem, mono_ms now, const char *why, ...)
    __attribute__((format(printf, 4, 5)));
/* Compares what the modem says it `has` with what it was told; else fails. Less power is taken as it is. */
bool driver_took_settings(driver *d, const driver_settings *has, mono_ms now);
void driver_say(driver *d, driver_event_kind kind, bool sure);

#endif
