#include "pure/hlc.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define BUILT 1764000000000ull /* a build date in 2025 */
#define NOW   1767000000000ull
#define DAY   CLOCK_DRAG_MAX_MS

static hlc_clock clock_at(uint64_t wall, uint32_t counter)
{
    hlc_clock c;
    hlc_init(&c, (hlc_stamp){wall, counter}, (wall_ms){BUILT});
    return c;
}

static hlc_stamp tick(hlc_clock *c, uint64_t now)
{
    hlc_stamp s;
    hlc_tick(c, (wall_ms){now}, &s);
    return s;
}

static void observe(hlc_clock *c, uint64_t wall, uint32_t counter, uint64_t now)
{
    hlc_observe(c, (hlc_stamp){wall, counter}, (wall_ms){now});
}

#define ASSERT_STAMP(s, wall, count)                                                               \
    do {                                                                                           \
        hlc_stamp got_ = (s);                                                                      \
        cr_assert_eq(got_.wall_ms, (uint64_t)(wall));                                              \
        cr_assert_eq(got_.counter, (uint32_t)(count));                                             \
    } while (0)

Test(hlc, follows_the_physical_clock)
{
    hlc_clock c = clock_at(0, 0);
    ASSERT_STAMP(tick(&c, NOW), NOW, 0);
    ASSERT_STAMP(tick(&c, NOW), NOW, 1);
    ASSERT_STAMP(tick(&c, NOW - 5000), NOW, 2); /* stepped back: the stamp does not */
    ASSERT_STAMP(tick(&c, NOW + 1), NOW + 1, 0);
}

Test(hlc, goes_above_what_it_heard)
{
    hlc_clock c = clock_at(NOW, 3);
    observe(&c, NOW + 60000, 7, NOW);
    ASSERT_STAMP(tick(&c, NOW), NOW + 60000, 8);
    observe(&c, NOW + 60000, 8, NOW); /* equal and lesser ones change nothing */
    observe(&c, NOW, 900, NOW);
    ASSERT_STAMP(tick(&c, NOW), NOW + 60000, 9);
    observe(&c, NOW + 60000, 4000, NOW);
    ASSERT_STAMP(tick(&c, NOW), NOW + 60000, 4001);
}

Test(hlc, a_day_ahead_drags_and_more_does_not)
{
    hlc_clock c = clock_at(0, 0);
    observe(&c, NOW + DAY + 1, 0, NOW);
    ASSERT_STAMP(tick(&c, NOW), NOW, 0);
    observe(&c, NOW + DAY, 5, NOW);
    ASSERT_STAMP(tick(&c, NOW), NOW + DAY, 6);
}

/* The machine ran in 2099, then its clock was put right. */
Test(hlc, own_past_in_2099_does_not_bind)
{
    const uint64_t year_2099 = 4070908800000ull;
    hlc_clock c = clock_at(0, 0);
    ASSERT_STAMP(tick(&c, year_2099), year_2099, 0);
    hlc_clock restarted = c;
    hlc_init(&restarted, c.last, (wall_ms){BUILT});
    ASSERT_STAMP(tick(&restarted, NOW), NOW, 0);
    ASSERT_STAMP(tick(&restarted, NOW), NOW, 1);
    observe(&c, NOW + 1, 2, NOW); /* a peer's good stamp is not lost against the bad past */
    ASSERT_STAMP(tick(&c, NOW), NOW + 1, 3);
}

Test(hlc, own_past_within_a_day_binds)
{
    hlc_clock c = clock_at(NOW + DAY, 1);
    ASSERT_STAMP(tick(&c, NOW), NOW + DAY, 2);
    c = clock_at(NOW + DAY + 1, 1);
    ASSERT_STAMP(tick(&c, NOW), NOW, 0);
}

Test(hlc, an_unset_clock_is_dragged)
{
    hlc_clock c = clock_at(0, 0);
    cr_assert(hlc_unset(&c, (wall_ms){BUILT - 1}));
    cr_assert_not(hlc_unset(&c, (wall_ms){BUILT}));
    ASSERT_STAMP(tick(&c, 1000), 1000, 0);
    observe(&c, NOW, 4, 1001);
    ASSERT_STAMP(tick(&c, 1002), NOW, 5);
    ASSERT_STAMP(tick(&c, NOW + 50), NOW + 50, 0); /* somebody set it */
}

Test(hlc, counter_overflows_into_the_wall)
{
    hlc_clock c = clock_at(NOW, UINT32_MAX - 1);
    ASSERT_STAMP(tick(&c, NOW), NOW, UINT32_MAX);
    ASSERT_STAMP(tick(&c, NOW), NOW + 1, 0);
}

Test(hlc, stays_below_2_to_the_48)
{
    hlc_clock c = clock_at(WALL_MAX_MS, UINT32_MAX);
    ASSERT_STAMP(tick(&c, 5), WALL_MAX_MS, UINT32_MAX);
    c = clock_at(0, 0);
    ASSERT_STAMP(tick(&c, UINT64_MAX), WALL_MAX_MS, 0);
    c = clock_at(0, 0);
    observe(&c, WALL_MAX_MS + 1, 0, 5); /* not a stamp: even an unset clock does not take it */
    ASSERT_STAMP(tick(&c, 5), 5, 0);
    c = clock_at(WALL_MAX_MS + 1, 0);
    ASSERT_STAMP(tick(&c, NOW), NOW, 0);
}

static uint64_t random_now(prop_rng *r)
{
    switch (prop_below(r, 8)) {
    case 0:
        return prop_below(r, 100000); /* 1970 */
    case 1:
        return NOW + prop_below(r, 70) * 365 * DAY;
    default:
        return NOW + prop_below(r, 2000);
    }
}

/* Against the rules said once more, without the algorithm: a tick is above all that binds, and not above the greatest
 * of what binds and the physical clock by more than one step. */
Test(hlc, properties)
{
    prop_rng r = prop_begin("hlc");
    for (int round = 0; round < 2000; round++) {
        hlc_clock c = clock_at(0, 0);
        hlc_stamp known = {
            0}; /* greatest given out or taken over, forgotten where the rules say so */
        for (int step = 0; step < 40; step++) {
            uint64_t now = random_now(&r);
            bool unset = now < BUILT;
            if (!unset && known.wall_ms > now + DAY)
                known = (hlc_stamp){0};
            if (prop_below(&r, 2)) {
                hlc_stamp remote = {random_now(&r), (uint32_t)prop_below(&r, 3)};
                hlc_observe(&c, remote, (wall_ms){now});
                if ((unset || remote.wall_ms <= now + DAY) && hlc_cmp(remote, known) > 0)
                    known = remote;
                cr_assert_eq(hlc_cmp(c.last, known), 0);
                continue;
            }
            hlc_stamp s = tick(&c, now);
            cr_assert(hlc_cmp(s, known) > 0);
            cr_assert(s.wall_ms >= now);
            bool by_clock = s.wall_ms == now && s.counter == 0;
            bool by_past = s.wall_ms == known.wall_ms && s.counter == known.counter + 1;
            cr_assert(by_clock || by_past);
            cr_assert(unset || s.wall_ms <= now + DAY);
            known = s;
        }
    }
}
