/* What the law says about a frequency, row by row, and the presets people choose from. Numbers only: who must stop
 * sending when, is decided by whoever keeps the ledger.
 *
 * A region is chosen, never guessed. A frame belongs to the sub-band that its whole bandwidth lies in; duty cycle
 * counts per sub-band, over any hour. Several rows may cover one frequency (different rules to choose from): the
 * first one that a modulation satisfies is its row. */
#ifndef CAIRN_RADIO_PLAN_H
#define CAIRN_RADIO_PLAN_H

#include "pure/airtime.h"

typedef struct {
    const char *name;       /* "eu868" */
    const char *doc;        /* where it is the law */
    uint32_t default_hz;    /* a frequency that is a sensible start */
    const char *regulation; /* by which authority the rows are made */
} radio_region;

typedef struct {
    const char *region, *name; /* "eu868", "P" */
    uint32_t low_hz, high_hz;
    uint32_t duty_ppm;     /* of any hour; 0: no limit */
    uint32_t dwell_max_us; /* of one frame; 0: no limit */
    uint32_t bw_min_hz;    /* 6 dB bandwidth the rule asks for; 0: any */
    uint8_t erp_max_dbm;
    const char *regulation; /* section and row */
} radio_band;

typedef struct {
    const char *name; /* by what it trades */
    uint8_t sf, cr;
    uint32_t bw_hz;
    const char *doc;
} radio_preset;

extern const radio_region radio_regions[];
extern const size_t radio_regions_count;
extern const radio_band radio_bands[];
extern const size_t radio_bands_count;
extern const radio_preset radio_presets[];
extern const size_t radio_presets_count;

/* NULL when there is none of that name. */
const radio_region *radio_region_named(const char *name);
const radio_preset *radio_preset_named(const char *name);
/* The row that a signal of that centre and bandwidth falls under in `region`; NULL: not allowed there. */
const radio_band *radio_band_of(const char *region, uint32_t hz, uint32_t bw_hz);
/* Airtime allowed in any hour; UINT64_MAX when there is no limit. */
uint64_t radio_band_hour_us(const radio_band *b);

#endif
