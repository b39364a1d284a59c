/* Hybrid logical clock: Kulkarni, Demirbas, Madappa, Avva, Leone 2014, "Logical Physical Clocks and
 * Consistent Snapshots in Globally Distributed Databases", algorithm of figure 5, with the limits
 * of design section 3.
 *
 * A stamp that lies more than CLOCK_DRAG_MAX_MS ahead of the local physical clock does not drag
 * this clock along, whether a peer sent it or it is this node's own past (a node that once ran in
 * 2099 and was put right must not stay there). So own stamps go back in exactly one case: the
 * clock's own past is that far ahead. That is harmless: what came after what is said by `replaces`
 * and by feed order, never by stamps; stamps only order what nobody ordered. A physical clock
 * before the build date is "unset" (no battery, 1970): it knows nothing, so any stamp may drag it.
 * Pure: time is a parameter. */
#ifndef CAIRN_HLC_H
#define CAIRN_HLC_H

#include "base/ids.h"

typedef struct {
    hlc_stamp last; /* newest stamp given out or observed: what has to be persisted */
    wall_ms built;  /* physical time before this means that nobody has set the clock */
} hlc_clock;

/* `last` is the persisted stamp, zero for a new node. */
void hlc_init(hlc_clock *c, hlc_stamp last, wall_ms built);
/* The stamp of a new local event: above everything ticked or observed before, with the exception
 * above. At the very end of the range (wall 2^48 - 1, counter 2^32 - 1) it stands still. */
void hlc_tick(hlc_clock *c, wall_ms now, hlc_stamp *out);
/* Takes note of a stamp of an admitted event, so that later ticks are above it, unless it is too
 * far ahead. */
void hlc_observe(hlc_clock *c, hlc_stamp remote, wall_ms now);
/* May `s`, of a peer or of the own past, push this clock? Not when it is too far ahead of a clock that is set. */
bool hlc_binds(const hlc_clock *c, hlc_stamp s, wall_ms now);
/* The physical clock is before the build date: worth a warning to people. */
bool hlc_unset(const hlc_clock *c, wall_ms now);

#endif
