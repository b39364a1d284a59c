#include "pure/hlc.h"

static wall_ms in_range(wall_ms t)
{
    return t.ms > WALL_MAX_MS ? (wall_ms){WALL_MAX_MS} : t;
}

static bool far_ahead(hlc_stamp s, wall_ms now)
{
    return s.wall_ms > now.ms && s.wall_ms - now.ms > CLOCK_DRAG_MAX_MS;
}

bool hlc_binds(const hlc_clock *c, hlc_stamp s, wall_ms now)
{
    now = in_range(now);
    return hlc_unset(c, now) || !far_ahead(s, now);
}

/* What of the own past still binds: nothing of a time that was wrong. */
static hlc_stamp past(const hlc_clock *c, wall_ms now)
{
    return hlc_binds(c, c->last, now) ? c->last : (hlc_stamp){0};
}

static hlc_stamp next_after(hlc_stamp s)
{
    if (s.counter < UINT32_MAX)
        return (hlc_stamp){s.wall_ms, s.counter + 1};
    if (s.wall_ms < WALL_MAX_MS)
        return (hlc_stamp){s.wall_ms + 1, 0};
    return s;
}

void hlc_init(hlc_clock *c, hlc_stamp last, wall_ms built)
{
    c->last = last.wall_ms > WALL_MAX_MS ? (hlc_stamp){0} : last;
    c->built = built;
}

bool hlc_unset(const hlc_clock *c, wall_ms now)
{
    return now.ms < c->built.ms;
}

void hlc_tick(hlc_clock *c, wall_ms now, hlc_stamp *out)
{
    now = in_range(now);
    hlc_stamp before = past(c, now);
    c->last = now.ms > before.wall_ms ? (hlc_stamp){now.ms, 0} : next_after(before);
    *out = c->last;
}

void hlc_observe(hlc_clock *c, hlc_stamp remote, wall_ms now)
{
    now = in_range(now);
    c->last = past(c, now);
    bool is_stamp = remote.wall_ms <= WALL_MAX_MS;
    if (is_stamp && hlc_binds(c, remote, now) && hlc_cmp(remote, c->last) > 0)
        c->last = remote;
}
