#include "base/limits.h"
#include "radio-bridge/replay_core.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define FILE_MAX (2 * REPLAY_TAGS_MAX * REPLAY_RECORD_BYTES)

static radio_header data_frame(member_no station, uint16_t counter)
{
    return (radio_header){.kind = 1, .epoch = 1, .station = station, .counter = counter};
}

static bool data(replay *r, member_no station, uint16_t counter)
{
    radio_header h = data_frame(station, counter);
    uint8_t tag[RADIO_TAG_BYTES] = {0};
    buf none;
    buf_init(&none, 0);
    bool fresh = replay_take(r, &h, tag, &none);
    cr_assert_eq(none.err, ERR_OK, "no record for what is harmless twice");
    return fresh;
}

static bool control(replay *r, uint8_t epoch, uint64_t number, buf *out)
{
    radio_header h = {.kind = RADIO_KIND_CONTROL, .epoch = epoch, .station = 3};
    uint8_t tag[8];
    put_u64be(tag, number * 0x9e3779b97f4a7c15u);
    return replay_take(r, &h, tag, out);
}

Test(replay, counters_in_any_order_once)
{
    replay *r = replay_new(bytes_of(NULL, 0));
    uint16_t start = 65500; /* wraps on the way */
    for (unsigned i = 0; i < 400; i += 2) {
        cr_assert(data(r, 3, (uint16_t)(start + i + 1)), "%u", i);
        cr_assert(data(r, 3, (uint16_t)(start + i)), "%u", i);
        cr_assert_not(data(r, 3, (uint16_t)(start + i)), "%u", i);
        cr_assert(data(r, 4, (uint16_t)(start + i)), "another station");
    }
    for (unsigned i = 400 - 64; i < 400; i++)
        cr_expect_not(data(r, 3, (uint16_t)(start + i)), "%u", i);
    replay_free(r);
}

/* Against a list of all that was heard: within the window never wrong, whatever the order. */
Test(replay, never_takes_a_new_frame_for_an_old_one)
{
    prop_rng rng = prop_begin("replay");
    replay *r = replay_new(bytes_of(NULL, 0));
    static bool heard[65536];
    for (uint32_t i = 100, n = 0; n < 60000; n++) {
        i += (uint32_t)prop_below(&rng, 3);
        uint16_t counter = (uint16_t)(i - prop_below(&rng, 60));
        bool fresh = data(r, 9, counter);
        cr_assert_eq(fresh, i >= 65536 ? fresh : !heard[counter], "%u", (unsigned)counter);
        heard[counter] = true;
        if (i >= 65536)
            break;
    }
    replay_free(r);
}

Test(replay, a_radio_that_begins_anew_is_heard)
{
    replay *r = replay_new(bytes_of(NULL, 0));
    for (uint16_t i = 0; i < 100; i++)
        cr_assert(data(r, 3, (uint16_t)(30000 + i)));
    for (uint16_t i = 0; i < 100; i++)
        cr_assert(data(r, 3, (uint16_t)(7000 + i)));
    replay_free(r);
}

Test(replay, many_radios_and_none_pushes_out_the_busy_ones)
{
    replay *r = replay_new(bytes_of(NULL, 0));
    cr_assert(data(r, 1, 5));
    for (unsigned i = 2; i < 4 * REPLAY_SOURCES_MAX; i++) {
        cr_assert(data(r, (member_no)i, 5));
        cr_assert_not(data(r, 1, 5));
    }
    replay_free(r);
}

Test(replay, a_control_frame_counts_once_also_in_the_next_life)
{
    buf file;
    buf_init(&file, FILE_MAX);
    replay *r = replay_new(bytes_of(NULL, 0));
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert(control(r, 1, i, &file));
    size_t len = file.len;
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert_not(control(r, 1, i, &file));
    cr_expect_eq(file.len, len, "nothing to write for what is old");
    cr_expect(control(r, 2, 17, &file), "the same tag under another key is another frame");
    replay_free(r);
    for (size_t cut = 0; cut <= REPLAY_RECORD_BYTES; cut++) { /* killed while it wrote */
        r = replay_new(bytes_of(file.p, len - cut));
        for (uint64_t i = 0; i < 4999; i++)
            cr_assert_not(control(r, 1, i, &file));
        cr_expect_eq(control(r, 1, 4999, &file), cut > 0);
        replay_free(r);
    }
    buf_release(&file);
}

/* More than there is room for: the newest half at least is known, and a snapshot knows the same. */
Test(replay, forgets_the_oldest_only)
{
    buf file;
    uint64_t n = REPLAY_TAGS_MAX * 2 + 77;
    buf_init(&file, FILE_MAX * 2);
    replay *r = replay_new(bytes_of(NULL, 0));
    for (uint64_t i = 0; i < n; i++)
        cr_assert(control(r, 1, i, &file));
    buf_clear(&file);
    replay_snapshot(r, &file);
    cr_assert_leq(file.len, REPLAY_TAGS_MAX * REPLAY_RECORD_BYTES);
    replay *again = replay_new(buf_view(&file));
    for (uint64_t i = n - REPLAY_TAGS_MAX / 2; i < n; i++) {
        cr_assert_not(control(r, 1, i, &file));
        cr_assert_not(control(again, 1, i, &file));
    }
    replay_free(r);
    replay_free(again);
    buf_release(&file);
}

Test(replay, keeps_the_epochs_in_use)
{
    buf file;
    buf_init(&file, FILE_MAX);
    replay *r = replay_new(bytes_of(NULL, 0));
    for (uint8_t epoch = 1; epoch <= 4; epoch++)
        for (uint64_t i = 0; i < 500; i++)
            cr_assert(control(r, epoch, i, &file));
    replay_keep(r, 4, 3);
    for (uint8_t epoch = 1; epoch <= 4; epoch++)
        for (uint64_t i = 0; i < 500; i++)
            cr_assert_eq(control(r, epoch, i, &file), epoch < 3, "%d", epoch);
    replay_free(r);
    buf_release(&file);
}
