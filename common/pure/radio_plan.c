#include "pure/radio_plan.h"

#include <string.h>

#define HOUR_US 3600000000ull

/* clang-format off */
const radio_region radio_regions[] = {
    {"eu868", "Europe, 863-870 MHz", 869525000, "ETSI EN 300 220-2 V3.2.1 annex B; Decision 2006/771/EC"},
    {"eu433", "Europe, 433.05-434.79 MHz", 433775000, "Decision 2006/771/EC; ERC/REC 70-03 annex 1"},
    {"us915", "United States, 902-928 MHz", 914900000, "47 CFR 15.247"},
};

/* region, name, from, to, duty, dwell, bandwidth, ERP, regulation */
const radio_band radio_bands[] = {
    {"eu868", "K", 863000000, 865000000,   1000, 0, 0, 14, "EN 300 220-2 annex B band K: 25 mW, 0.1 %"},
    {"eu868", "L", 865000000, 868000000,  10000, 0, 0, 14, "EN 300 220-2 annex B band L: 25 mW, 1 %"},
    {"eu868", "M", 868000000, 868600000,  10000, 0, 0, 14, "EN 300 220-2 annex B band M: 25 mW, 1 %"},
    {"eu868", "N", 868700000, 869200000,   1000, 0, 0, 14, "EN 300 220-2 annex B band N: 25 mW, 0.1 %"},
    {"eu868", "P", 869400000, 869650000, 100000, 0, 0, 27, "EN 300 220-2 annex B band P: 500 mW, 10 %"},
    {"eu868", "Q", 869700000, 870000000,  10000, 0, 0, 14, "EN 300 220-2 annex B band Q: 25 mW, 1 %"},
    {"eu433", "433", 433050000, 434790000, 100000, 0, 0, 10, "2006/771/EC band 44b: 10 mW, 10 %"},
    {"us915", "digital", 902000000, 928000000, 0, 0, 500000, 30, "47 CFR 15.247(a)(2): 500 kHz or wider, no dwell limit"},
    {"us915", "dwell", 902000000, 928000000, 0, 400000, 0, 30, "47 CFR 15.247(a)(1)(i): 400 ms on one channel"},
};

const radio_preset radio_presets[] = {
    {"speed",    7, 5, 250000, "11 kbit/s: within a camp"},
    {"fast",     7, 5, 125000, "5.5 kbit/s: a few kilometres of open ground"},
    {"medium",   8, 5, 125000, "3.1 kbit/s: where most teams should begin"},
    {"far",      9, 5, 125000, "1.8 kbit/s: 3 dB further than medium, nearly twice the airtime"},
    {"range",   10, 5, 125000, "1 kbit/s: 6 dB further than medium, over three times the airtime"},
    {"reach",   12, 5, 125000, "0.3 kbit/s: the last resort, twelve times the airtime of medium"},
    {"wide",     8, 5, 500000, "12.5 kbit/s in 500 kHz: a fixed channel in the United States"},
};
/* clang-format on */

const size_t radio_regions_count = sizeof radio_regions / sizeof radio_regions[0];
const size_t radio_bands_count = sizeof radio_bands / sizeof radio_bands[0];
const size_t radio_presets_count = sizeof radio_presets / sizeof radio_presets[0];

const radio_region *radio_region_named(const char *name)
{
    for (size_t i = 0; i < radio_regions_count; i++)
        if (strcmp(radio_regions[i].name, name) == 0)
            return &radio_regions[i];
    return NULL;
}

const radio_preset *radio_preset_named(const char *name)
{
    for (size_t i = 0; i < radio_presets_count; i++)
        if (strcmp(radio_presets[i].name, name) == 0)
            return &radio_presets[i];
    return NULL;
}

const radio_band *radio_band_of(const char *region, uint32_t hz, uint32_t bw_hz)
{
    for (size_t i = 0; i < radio_bands_count; i++) {
        const radio_band *b = &radio_bands[i];
        bool inside = (uint64_t)hz >= (uint64_t)b->low_hz + bw_hz / 2 &&
                      (uint64_t)hz + bw_hz / 2 <= b->high_hz;
        if (inside && bw_hz >= b->bw_min_hz && strcmp(b->region, region) == 0)
            return b;
    }
    return NULL;
}

uint64_t radio_band_hour_us(const radio_band *b)
{
    return b->duty_ppm == 0 ? UINT64_MAX : HOUR_US / 1000000 * b->duty_ppm;
}
