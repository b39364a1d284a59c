/* The only readings of the operating system's clocks, and the only source of randomness. Cores get
 * both passed in. */
#ifndef CAIRN_CLOCK_H
#define CAIRN_CLOCK_H

#include "base/ids.h"

wall_ms clock_wall(void); /* CLOCK_REALTIME; may step */
mono_ms clock_mono(void); /* CLOCK_MONOTONIC */
uint64_t clock_mono_us(void);
mono_ms clock_boot(void);     /* CLOCK_BOOTTIME: goes on while the machine sleeps */
uint64_t clock_boot_id(void); /* names this boot; 0: not known */
/* Is the wall clock disciplined by a time service (NTP, GPS), and within `error_ms` by its own estimate? */
bool clock_synced(uint64_t error_ms);
void random_fill(void *out, size_t len);
uint64_t random_u64(void);

/* Unix ms of 2026-01-01: a physical clock before the build date is "unset" (design section 3). */
#define CLOCK_BUILD_MS 1767225600000ull

/* "2026-11-20 14:05:09" UTC or local time; out holds 32. "-" for 0. */
void clock_text(char out[32], uint64_t ms, bool utc);
/* "2 s", "4 min", "3 h", "5 d" */
void clock_span_text(char out[16], uint64_t span_ms);

#endif
