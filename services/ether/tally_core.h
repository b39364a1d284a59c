/* Who has been on the air for how long: per station, sub-band and hour, and the worst of all rolling hours, which is what
 * the law looks at. Kept beside the modems and without their knowledge, so that it can testify. */
#ifndef CAIRN_TALLY_CORE_H
#define CAIRN_TALLY_CORE_H

#include "base/error.h"
#include "ether/air.h"
#include "pure/radio_plan.h"

typedef struct tally tally;

/* One station in one sub-band (NULL: outside of all that the region allows). */
typedef struct {
    uint32_t station;
    const radio_band *band;
    uint64_t frames, airtime_us, worst_hour_us;
    uint64_t too_long; /* frames beyond the band's dwell time */
    const uint64_t
        *hours; /* µs that began in each hour of the ether; borrowed until the next call */
    size_t n_hours;
} tally_row;

/* `region` is borrowed and may be NULL: then nothing has a band. NULL: no memory. */
tally *tally_new(const char *region);
void tally_free(tally **t);
/* A frame was on the air. Frames of one station come in their order. ERR_NO_MEMORY: it is not counted. */
err_t tally_add(tally *t, uint32_t station, const air_tuning *tuning, air_us start,
                air_us end) CAIRN_CHECK;
/* The i-th row, in no particular order; false behind the last. */
bool tally_get(const tally *t, size_t i, tally_row *out);
/* Airtime of a station in the hour that ends at `now`, in that band. */
uint64_t tally_last_hour_us(const tally *t, uint32_t station, const radio_band *band, air_us now);

#endif
