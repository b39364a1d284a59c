/* Airtime that is testified: the worst rolling hour against one computed from scratch, hours, bands. */
#include "ether/tally_core.h"
#include "prop.h"

#include <criterion/criterion.h>

static air_tuning tuned(uint32_t hz, uint32_t bw_hz)
{
    return (air_tuning){.lora = rnode_modulation(LORA_SX126X, 8, 5, bw_hz), .hz = hz, .on = true};
}

static tally_row row_of(const tally *t, uint32_t station, const char *band)
{
    tally_row r;
    for (size_t i = 0; tally_get(t, i, &r); i++)
        if (r.station == station &&
            (r.band == NULL ? strcmp(band, "none") == 0 : strcmp(r.band->name, band) == 0))
            return r;
    cr_assert(false, "no row for station %u in %s", (unsigned)station, band);
    return r;
}

Test(tally, by_station_band_and_hour)
{
    tally *t = tally_new("eu868");
    air_tuning p = tuned(869525000, 125000), m = tuned(868100000, 125000),
               out = tuned(900000000, 125000);
    cr_assert_eq(tally_add(t, 1, &p, (air_us){0}, (air_us){500}), ERR_OK);
    cr_assert_eq(tally_add(t, 1, &m, (air_us){1000}, (air_us){1200}), ERR_OK);
    cr_assert_eq(tally_add(t, 2, &out, (air_us){1000}, (air_us){1100}), ERR_OK);
    cr_assert_eq(tally_last_hour_us(t, 1, row_of(t, 1, "P").band, (air_us){AIR_HOUR + 200}), 300);
    cr_assert_eq(tally_add(t, 1, &p, (air_us){2 * AIR_HOUR + 5}, (air_us){2 * AIR_HOUR + 105}),
                 ERR_OK);
    tally_row r = row_of(t, 1, "P");
    cr_assert(r.frames == 2 && r.airtime_us == 600 && r.worst_hour_us == 500 && r.n_hours == 3);
    cr_assert(r.hours[0] == 500 && r.hours[1] == 0 && r.hours[2] == 100);
    cr_assert_eq(row_of(t, 1, "M").airtime_us, 200);
    cr_assert_eq(row_of(t, 2, "none").frames, 1);
    cr_assert_eq(tally_last_hour_us(t, 1, r.band, (air_us){2 * AIR_HOUR + 105}), 100);
    cr_assert_eq(tally_last_hour_us(t, 1, r.band, (air_us){3 * AIR_HOUR + 105}), 0);
    tally_free(&t);
}

Test(tally, dwell)
{
    tally *t = tally_new("us915");
    air_tuning narrow = tuned(915000000, 125000), wide = tuned(915000000, 500000);
    cr_assert_eq(tally_add(t, 0, &narrow, (air_us){0}, (air_us){400000}), ERR_OK);
    cr_assert_eq(tally_add(t, 0, &narrow, (air_us){500000}, (air_us){900001}), ERR_OK);
    cr_assert_eq(tally_add(t, 0, &wide, (air_us){1000000}, (air_us){3000000}), ERR_OK);
    cr_assert_eq(row_of(t, 0, "dwell").too_long, 1);
    cr_assert_eq(row_of(t, 0, "digital").too_long, 0);
    tally_free(&t);
}

/* At every end of a frame, the hour before it, summed up from all frames. */
Test(tally, worst_rolling_hour)
{
    prop_rng rng = prop_begin("tally");
    for (int round = 0; round < 20; round++) {
        enum { FRAMES = 300 };
        uint64_t start[FRAMES], stop[FRAMES], at = 0, worst = 0;
        tally *t = tally_new(NULL);
        air_tuning m = tuned(868100000, 125000);
        for (int i = 0; i < FRAMES; i++) {
            at += prop_below(&rng, 10) == 0 ? prop_below(&rng, 2 * AIR_HOUR)
                                            : prop_below(&rng, 60 * AIR_S);
            start[i] = at;
            stop[i] = at += 1 + prop_below(&rng, 20 * AIR_S);
            cr_assert_eq(tally_add(t, 3, &m, (air_us){start[i]}, (air_us){stop[i]}), ERR_OK);
            uint64_t begin = at > AIR_HOUR ? at - AIR_HOUR : 0, sum = 0;
            for (int k = 0; k <= i; k++)
                if (stop[k] > begin)
                    sum += stop[k] - (start[k] > begin ? start[k] : begin);
            worst = sum > worst ? sum : worst;
            cr_assert_eq(tally_last_hour_us(t, 3, NULL, (air_us){at}), sum);
        }
        cr_assert_eq(row_of(t, 3, "none").worst_hour_us, worst);
        tally_free(&t);
    }
}
