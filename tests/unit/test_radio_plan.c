/* The tables of law and presets: no gaps in what they say, and the row that a frequency falls under. */
#include "pure/radio_plan.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *band(const char *region, uint32_t hz, uint32_t bw_hz)
{
    const radio_band *b = radio_band_of(region, hz, bw_hz);
    return b != NULL ? b->name : "none";
}

Test(radio_plan, rows_are_whole)
{
    for (size_t i = 0; i < radio_bands_count; i++) {
        const radio_band *b = &radio_bands[i];
        cr_assert_not_null(radio_region_named(b->region), "%s", b->name);
        cr_assert(b->low_hz < b->high_hz && b->duty_ppm <= 1000000 && b->erp_max_dbm > 0);
        cr_assert(strlen(b->regulation) > 8);
        for (size_t k = 0; k < i;
             k++) /* where two rules cover one frequency, the first asks for more */
            cr_assert(strcmp(radio_bands[k].region, b->region) != 0 ||
                          radio_bands[k].high_hz <= b->low_hz ||
                          radio_bands[k].bw_min_hz > b->bw_min_hz,
                      "%s and %s", b->name, radio_bands[k].name);
    }
    for (size_t i = 0; i < radio_presets_count; i++) {
        const radio_preset *p = &radio_presets[i];
        cr_assert_eq(radio_preset_named(p->name), p);
        cr_assert(p->sf >= LORA_SF_MIN && p->sf <= LORA_SF_MAX && p->cr >= 5 && p->cr <= 8);
    }
    for (size_t i = 0; i < radio_regions_count; i++)
        cr_assert_not_null(
            radio_band_of(radio_regions[i].name, radio_regions[i].default_hz, 125000));
    cr_assert_null(radio_preset_named("turbo"));
    cr_assert_null(radio_region_named("eu869"));
}

Test(radio_plan, a_signal_lies_in_a_band_with_its_whole_width)
{
    cr_assert_str_eq(band("eu868", 869525000, 125000), "P");
    cr_assert_str_eq(band("eu868", 869525000, 250000), "P");
    cr_assert_str_eq(band("eu868", 869525000, 500000), "none", "wider than the band");
    cr_assert_str_eq(band("eu868", 869463000, 125000), "P");
    cr_assert_str_eq(band("eu868", 869462000, 125000), "none", "its lower edge is outside");
    cr_assert_str_eq(band("eu868", 868100000, 125000), "M");
    cr_assert_str_eq(band("eu868", 868000000, 125000), "none", "half in L, half in M");
    cr_assert_str_eq(band("eu868", 864000000, 125000), "K");
    cr_assert_str_eq(band("eu868", 867900000, 125000), "L");
    cr_assert_str_eq(band("eu868", 868950000, 125000), "N");
    cr_assert_str_eq(band("eu868", 869850000, 125000), "Q");
    cr_assert_str_eq(band("eu868", 868650000, 25000), "none", "alarms only");
    cr_assert_str_eq(band("eu868", 915000000, 125000), "none");
    cr_assert_str_eq(band("eu433", 433775000, 125000), "433");
    cr_assert_str_eq(band("us915", 915000000, 125000), "dwell");
    cr_assert_str_eq(band("us915", 915000000, 500000), "digital");
    cr_assert_str_eq(band("us915", 1, 500000), "none");
    cr_assert_str_eq(band("us915", UINT32_MAX, UINT32_MAX), "none");
}

Test(radio_plan, airtime_of_an_hour)
{
    cr_assert_eq(radio_band_hour_us(radio_band_of("eu868", 868100000, 125000)), 36000000);
    cr_assert_eq(radio_band_hour_us(radio_band_of("eu868", 869525000, 125000)), 360000000);
    cr_assert_eq(radio_band_hour_us(radio_band_of("eu868", 864000000, 125000)), 3600000);
    cr_assert_eq(radio_band_hour_us(radio_band_of("us915", 915000000, 500000)), UINT64_MAX);
}
