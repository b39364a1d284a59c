/* The set-up of a channel in words: one change a line, read one line at a time.
 *
 *     # a hill between 2 and 3, a weak way back from 4, everything a little lossy
 *     link * * loss 5% fade 2
 *     link 2 3 off
 *     way 4 1 rssi -118
 *     link 1 2,3 burst 1% 20% 90%        begins, ends (per second), loss meanwhile
 *     noise 5 12                         dB above the usual at station 5
 *     at 10m cut 1,2 | 3,4               only inside of a group; stations not named are a group, too
 *     at 20m heal
 *     at 30m jam 868.05-868.15 -70 for 90s   MHz, dBm at every station; or: … at 2,3
 *
 * `link` is both ways, `way` only from the first to the second. Stations are numbers from 1, lists of them, or *.
 * Times are numbers with ms, s, m or h, counted from the start of the ether. */
#ifndef CAIRN_PLAN_CORE_H
#define CAIRN_PLAN_CORE_H

#include "base/buf.h"
#include "ether/channel_core.h"

#define PLAN_LINE_MAX_BYTES 512u

/* ERR_OK; ERR_NOT_FOUND: nothing on this line; ERR_INVALID: why it cannot be read is in `why`, without the line's number.
 * `now` is the time of a line that names none. */
err_t plan_line(bytes line, uint32_t stations, air_us now, channel_change *out,
                buf *why) CAIRN_CHECK;
/* "90s", "1.5h" into µs; false: it is none. */
bool plan_duration(bytes text, uint64_t *us);

#endif
