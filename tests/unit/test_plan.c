/* The channel in words: every line of the description is read, everything else is refused with a reason. */
#include "ether/plan_core.h"
#include "prop.h"

#include <criterion/criterion.h>

static channel_change change;
static buf why;

static err_t read_line(const char *line)
{
    buf_release(&why);
    buf_init(&why, 256);
    return plan_line(bytes_str(line), 5, (air_us){7}, &change, &why);
}

static void end(void)
{
    buf_release(&why);
}

TestSuite(plan, .fini = end);

Test(plan, links)
{
    cr_assert_eq(read_line("link * * loss 5% fade 2.5"), ERR_OK);
    cr_assert(change.kind == CHANGE_LINK && change.both_ways && change.at.us == 7);
    cr_assert_eq(change.fields, LINK_LOSS | LINK_FADE);
    cr_assert(change.link.loss_ppm == 50000 && change.link.fade_cdb == 250);
    cr_assert(station_in(&change.from, 0) && station_in(&change.from, 4) &&
              !station_in(&change.from, 5));
    cr_assert_eq(read_line("way 4 1,2 rssi -118.25 off"), ERR_OK);
    cr_assert(!change.both_ways && change.link.rssi_cdbm == -11825 && !change.link.on);
    cr_assert(station_in(&change.from, 3) && station_in(&change.to, 0) &&
              station_in(&change.to, 1) && !station_in(&change.to, 2));
    cr_assert_eq(read_line("  link 1 2 burst 1% 20% 90%   # a comment"), ERR_OK);
    cr_assert(change.link.burst_ppm == 10000 && change.link.burst_end_ppm == 200000 &&
              change.link.burst_loss_ppm == 900000);
}

Test(plan, times_cuts_jammers_noise)
{
    cr_assert_eq(read_line("at 10m cut 1,2 | 3"), ERR_OK);
    cr_assert(change.kind == CHANGE_CUT && change.at.us == 600 * AIR_S);
    cr_assert(change.group[0] == 1 && change.group[1] == 1 && change.group[2] == 2 &&
              change.group[3] == 0);
    cr_assert_eq(read_line("at 1.5h heal"), ERR_OK);
    cr_assert(change.kind == CHANGE_HEAL && change.at.us == 5400 * AIR_S);
    cr_assert_eq(read_line("jam 868.05-868.15 -70 for 90s at 2,3"), ERR_OK);
    cr_assert(change.kind == CHANGE_JAM && change.low_hz == 868050000 &&
              change.high_hz == 868150000);
    cr_assert(change.level_cdb == -7000 && change.for_us == 90 * AIR_S);
    cr_assert(!station_in(&change.to, 0) && station_in(&change.to, 1));
    cr_assert_eq(read_line("jam 868-869 -70"), ERR_OK);
    cr_assert(change.for_us == 0 && station_in(&change.to, 4));
    cr_assert_eq(read_line("noise 5 12"), ERR_OK);
    cr_assert(change.kind == CHANGE_NOISE && change.level_cdb == 1200);
    cr_assert_eq(read_line(""), ERR_NOT_FOUND);
    cr_assert_eq(read_line("   # nothing\t"), ERR_NOT_FOUND);
}

Test(plan, refused_with_a_reason)
{
    static const char *const lines[] = {
        "links 1 2 off",
        "link",
        "link 1",
        "link 1 2",
        "link 0 2 off",
        "link 6 1 off",
        "link 1,,2 3 off",
        "link 1 2 loss 5",
        "link 1 2 loss 101%",
        "link 1 2 loss nan%",
        "link 1 2 rssi",
        "link 1 2 rssi x",
        "link 1 2 rssi 500",
        "link 1 2 burst 1%",
        "link 1 2 colour red",
        "at cut 1 | 2",
        "at 5 heal",
        "at 5s",
        "at -5s heal",
        "at 1e99s heal",
        "cut",
        "cut |",
        "cut 1 | x",
        "heal now",
        "jam 868 -70",
        "jam 869-868 -70",
        "jam 868-869",
        "jam 868-869 -70 at",
        "jam 868-869 -70 for",
        "noise 1",
        "noise * many",
        "link 1 2 fade 1e999",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cr_assert_eq(read_line(lines[i]), ERR_INVALID, "%s", lines[i]);
        cr_assert_gt(why.len, 10, "%s", lines[i]);
    }
}

Test(plan, any_bytes)
{
    static const char *const words[] = {"link", "way", "at",  "cut",    "jam", "noise",
                                        "1",    "2,3", "*",   "off",    "5%",  "|",
                                        "for",  "9s",  "-70", "868-869"};
    prop_rng rng = prop_begin("plan");
    buf text;
    buf_init(&text, 4096);
    for (int i = 0; i < 20000; i++) {
        buf_clear(&text);
        for (uint64_t n = prop_below(&rng, 12); n > 0; n--) {
            if (prop_below(&rng, 8) == 0)
                buf_add_u8(&text, (uint8_t)prop_u64(&rng));
            buf_addf(&text, "%s%s", words[prop_below(&rng, sizeof words / sizeof words[0])],
                     prop_below(&rng, 6) ? " " : "");
        }
        buf_release(&why);
        buf_init(&why, 256);
        err_t e = plan_line(buf_view(&text), 5, (air_us){0}, &change, &why);
        cr_assert(e == ERR_OK || e == ERR_NOT_FOUND || (e == ERR_INVALID && why.len > 0));
    }
    for (size_t n = 0; n < 2000; n++)
        buf_add_u8(&text, 'x');
    cr_assert_eq(plan_line(buf_view(&text), 5, (air_us){0}, &change, &why), ERR_INVALID);
    buf_release(&text);
}
