/* The planner on the simulated air: whatever is lost, repeated, late or cut off, all stations end with the same events,
 * and none has had more than its hour. */
#include "proto/event.h"
#include "proto/mp.h"
#include "tests/unit/radio_world.h"

#include <criterion/criterion.h>

#define MINUTE_US 60000000ull

static void make_body(prop_rng *r, buf *out, uint64_t at_ms, size_t text)
{
    static const char *const words[] = {"pump", "broken", "dry", "flooded", "ok", "needs parts"};
    char stream[16];
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    mp_put_map(&payload, 1);
    mp_put_cstr(&payload, "status");
    if (text > 0) {
        uint8_t long_text[4096];
        for (size_t i = 0; i < text && i < sizeof long_text; i++)
            long_text[i] = (uint8_t)('a' + prop_below(r, 26));
        mp_put_str(&payload, bytes_of(long_text, text));
    } else {
        mp_put_cstr(&payload, words[prop_below(r, 6)]);
    }
    snprintf(stream, sizeof stream, "1-%ukx", (unsigned)prop_below(r, 30));
    event_fields f = {.stamp = {at_ms, 0},
                      .category = bytes_str("water"),
                      .stream = bytes_str(stream),
                      .kind = bytes_str("field.set"),
                      .payload = buf_view(&payload)};
    cr_assert_eq(event_build(&f, out), ERR_OK);
    buf_release(&payload);
}

static void write_some(radio_world *w, uint32_t station, feed_class class, uint32_t n, size_t text)
{
    for (uint32_t i = 0; i < n; i++) {
        buf body;
        buf_init(&body, EVENT_MAX_BYTES);
        make_body(&w->rng, &body, 1700000000000u + w->now_us / 1000, text);
        world_write(w, station, class, buf_view(&body), i + 1 == n || prop_below(&w->rng, 3) == 0);
        buf_release(&body);
    }
    world_tell(w, station);
}

static world_spec spec_of(uint32_t stations, uint64_t seed, uint32_t loss_ppm)
{
    world_spec s = {.stations = stations, .states = 4, .seed = seed, .loss_ppm = loss_ppm};
    s.band = radio_band_of("eu868", 868200000, 125000);
    cr_assert_not_null(s.band);
    return s;
}

/* Until all are equal, or for so many hours. */
static void run_until_equal(radio_world *w, unsigned hours)
{
    uint64_t end = w->now_us + hours * WORLD_HOUR_US;
    while (w->now_us < end && !world_equal(w))
        world_run(w, w->now_us + MINUTE_US);
}

static void expect_lawful(const radio_world *w)
{
    uint64_t hour = radio_band_hour_us(w->spec.band);
    for (uint32_t i = 0; i < w->spec.stations; i++)
        cr_expect_leq(world_worst_hour_us(w, i), hour, "station %u", i);
}

static void expect_equal(const radio_world *w)
{
    for (uint32_t f = 0; f < w->n_feeds; f++)
        for (uint32_t i = 0; i < w->spec.stations; i++)
            cr_expect_eq(w->station[i].held[f], w->feeds[f].n,
                         "seed %llu: station %u has %llu of %zu events of feed %x",
                         (unsigned long long)w->spec.seed, i,
                         (unsigned long long)w->station[i].held[f], w->feeds[f].n,
                         w->feeds[f].feed);
}

/* ---- by hand ---- */

Test(radio_core, what_one_writes_all_have_within_its_hold)
{
    world_spec s = spec_of(3, 1, 0);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE_US);
    write_some(w, 0, CLASS_ROUTINE, 3, 0);
    world_run(w, w->now_us + 5 * MINUTE_US);
    expect_equal(w);
    cr_expect_eq(radio_counted(w->station[0].core)->runs_said, 1, "one run for three events");
    cr_expect_eq(radio_counted(w->station[1].core)->answers_said, 0);
    world_free(w);
}

Test(radio_core, express_leaves_at_once_and_is_said_again_by_others)
{
    world_spec s = spec_of(3, 2, 0);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE_US);
    write_some(w, 0, CLASS_ROUTINE, 30, 0); /* a backlog it must not wait for */
    world_run(w, w->now_us + 200000);
    write_some(w, 0, CLASS_EXPRESS, 1, 0);
    world_run(w, w->now_us + 3000000);
    uint32_t f = world_feed_of(w, 0, CLASS_EXPRESS);
    cr_expect(w->station[1].held[f] == 1 && w->station[2].held[f] == 1);
    world_run(w, w->now_us + MINUTE_US);
    uint64_t again = 0;
    for (uint32_t i = 0; i < 3; i++)
        again += radio_counted(w->station[i].core)->repeats_said;
    cr_expect(again >= 2 && again <= 6, "%llu",
              (unsigned long long)again); /* two at one moment collide */
    world_free(w);
}

Test(radio_core, a_run_larger_than_a_frame_goes_in_parts)
{
    world_spec s = spec_of(3, 3, 200000);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE_US);
    write_some(w, 0, CLASS_ROUTINE, 1, 1500);
    write_some(w, 0, CLASS_ROUTINE, 2, 0);
    run_until_equal(w, 2);
    expect_equal(w);
    cr_expect(radio_counted(w->station[0].core)->parts_said >= 4);
    world_free(w);
}

Test(radio_core, what_is_too_large_is_counted_and_stops_no_other_feed)
{
    world_spec s = spec_of(2, 4, 0);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE_US);
    for (int i = 0; i < 1; i++)
        write_some(w, 0, CLASS_BULK, 1, 4096);
    for (int i = 0; i < 3;
         i++) /* 16 parts are 3.6 KB and random letters take 4.7 bits each: three such */
        write_some(w, 0, CLASS_BULK, 1, 4096);
    write_some(w, 0, CLASS_ROUTINE, 1, 0);
    world_run(w, w->now_us + 10 * MINUTE_US);
    uint32_t f = world_feed_of(w, 0, CLASS_ROUTINE);
    cr_expect_eq(w->station[1].held[f], 1);
    world_free(w);
}

Test(radio_core, a_repeated_want_or_beacon_earns_no_airtime)
{
    world_spec s = spec_of(2, 5, 0);
    radio_world *w = world_new(&s);
    write_some(w, 0, CLASS_ROUTINE, 4, 0);
    world_run(w, 10 * MINUTE_US);
    uint8_t want[] = {0, 1, 1 << 2, 1, 0}; /* all of feed 1 from seq 1 */
    radio_hearing h = {.kind = 9, .station = 2, .plain = bytes_of(want, sizeof want)};
    uint64_t before = radio_counted(w->station[0].core)->runs_said;
    for (int i = 0; i < 50; i++)
        radio_heard(w->station[0].core, &h, (mono_ms){w->now_us / 1000});
    world_run(w, w->now_us + 10 * MINUTE_US);
    cr_expect_eq(radio_counted(w->station[0].core)->runs_said, before);
    cr_expect_geq(radio_counted(w->station[0].core)->stale, 50);
    h.fresh = true;
    radio_heard(w->station[0].core, &h, (mono_ms){w->now_us / 1000});
    world_tell(w, 0);
    world_run(w, w->now_us + 10 * MINUTE_US);
    cr_expect_gt(radio_counted(w->station[0].core)->runs_said, before, "but a fresh one does");
    world_free(w);
}

Test(radio_core, a_quiet_channel_stays_nearly_quiet)
{
    world_spec s = spec_of(10, 6, 100000);
    radio_world *w = world_new(&s);
    for (uint32_t i = 0; i < 10; i++)
        write_some(w, i, CLASS_ROUTINE, 2, 0);
    run_until_equal(w, 3);
    world_run(w, w->now_us + 2 * WORLD_HOUR_US);
    expect_equal(w);
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < 10; i++)
        before += w->station[i].spent_us;
    world_run(w, w->now_us + 4 * WORLD_HOUR_US);
    for (uint32_t i = 0; i < 10; i++)
        after += w->station[i].spent_us;
    cr_expect_lt(after - before, 4 * WORLD_HOUR_US / 2000, "%llu ms in four hours",
                 (unsigned long long)(after - before) / 1000);
    world_free(w);
}

/* One has followed with a state that grew run by run, the other begins afresh: both must take as much history as the
 * sender does. */
Test(radio_core, history_is_as_long_for_who_followed_as_for_who_comes_late)
{
    world_spec s = spec_of(3, 7, 0);
    uint8_t away[WORLD_STATIONS_MAX] = {0, 0, 1};
    s.band = radio_band_of("eu868", 869525000, 125000);
    radio_world *w = world_new(&s);
    world_cut(w, away);
    for (int i = 0; i < 80; i++) { /* 160 KB, more than one history may have */
        write_some(w, 0, CLASS_ROUTINE, 1, 2000);
        world_run(w, w->now_us + 6 * MINUTE_US);
    }
    uint32_t f = world_feed_of(w, 0, CLASS_ROUTINE);
    cr_expect_eq(w->station[1].held[f], w->feeds[f].n);
    world_give(w, 2, f);
    world_cut(w, NULL);
    write_some(w, 0, CLASS_ROUTINE, 1, 0);
    run_until_equal(w, 1);
    expect_equal(w);
    for (uint32_t i = 1; i < 3; i++)
        cr_expect_eq(radio_counted(w->station[i].core)->runs_refused, 0, "station %u", i);
    world_free(w);
}

Test(radio_core, a_long_backlog_heals_without_saying_all_of_it_again)
{
    world_spec s = spec_of(4, 8, 200000);
    s.band = radio_band_of("eu868", 869525000, 125000);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE_US);
    write_some(w, 0, CLASS_ROUTINE, 300, 0);
    run_until_equal(w, 3);
    expect_equal(w);
    expect_lawful(w);
    uint64_t said = 0;
    for (uint32_t i = 0; i < s.stations; i++)
        said += radio_counted(w->station[i].core)->events_said;
    cr_expect_leq(said, 3 * 300, "%llu events were said", (unsigned long long)said);
    world_free(w);
}

/* ---- by chance ---- */

static void one_story(uint64_t seed)
{
    prop_rng r = {seed};
    world_spec s = spec_of(2 + (uint32_t)prop_below(&r, 3), seed, (uint32_t)prop_below(&r, 600001));
    s.twice_ppm = (uint32_t)prop_below(&r, 200000);
    s.late_ppm = (uint32_t)prop_below(&r, 200000);
    radio_world *w = world_new(&s);
    static const feed_class classes[] = {CLASS_ROUTINE, CLASS_ROUTINE, CLASS_EXPRESS, CLASS_BULK};
    for (int turn = 0; turn < 6; turn++) {
        uint8_t groups[WORLD_STATIONS_MAX] = {0};
        for (uint32_t i = 0; i < s.stations; i++)
            groups[i] = (uint8_t)prop_below(&r, 2);
        world_cut(w, prop_below(&r, 3) == 0 ? groups : NULL);
        write_some(w, (uint32_t)prop_below(&r, s.stations), classes[prop_below(&r, 4)],
                   1 + (uint32_t)prop_below(&r, 8), prop_below(&r, 6) == 0 ? 400 : 0);
        if (prop_below(&r, 6) == 0)
            world_give(w, (uint32_t)prop_below(&r, s.stations),
                       (uint32_t)prop_below(&r, w->n_feeds));
        world_run(w, w->now_us + prop_below(&r, 10 * MINUTE_US));
    }
    world_cut(w, NULL);
    run_until_equal(w, 12);
    expect_equal(w);
    expect_lawful(w);
    world_free(w);
}

Test(radio_core, all_end_equal_within_the_law)
{
    prop_rng r = prop_begin("radio_core");
    for (int i = 0; i < 50; i++)
        one_story(prop_u64(&r));
}
