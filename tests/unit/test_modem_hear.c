/* The RNode as a receiver, its statistics, and whatever bytes come at whatever times. */
#include "modem_rig.h"
#include "prop.h"

static uint16_t heard_u16(rig *r, uint8_t command, size_t at)
{
    bytes out = modem_output(r->m);
    for (size_t i = 0; i + at + 3 < out.len; i++)
        if (out.p[i] == 0xc0 && out.p[i + 1] == command)
            return get_u16be(out.p + i + 2 + at);
    cr_assert(false, "no %02x", command);
    return 0;
}

/* ---- receiving ---- */

static void hear(rig *r, const char *hex)
{
    uint8_t frame[300];
    size_t n = rig_hex(frame, hex);
    modem_hear(r->m, bytes_of(frame, n), (air_signal){-10000, 500}, rig_now(r));
}

Test(modem_hear, rssi_and_snr_come_first)
{
    rig r = rig_on("rak4631");
    hear(&r, "50 68 69");
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 68 69 c0");
    hear(&r, "50 c0 db");
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 db dc db dd c0");
    modem_hear(r.m, bytes_of("\x10x", 2), (air_signal){-11500, -725}, rig_now(&r));
    rig_expect(&r, "c0 23 2a c0 c0 24 e3 c0 c0 00 78 c0"); /* -115 dBm, -7.25 dB */
    rig_say(&r, "c0 23 00 c0");
    rig_expect(&r, "c0 23 2a c0");
    rig_say(&r, "c0 0a ff c0 23 00 c0"); /* the host leaves: forgotten */
    rig_expect(&r, "c0 23 79 c0");
    modem_free(&r.m);
}

Test(modem_hear, halves_are_joined_by_the_nibble_alone)
{
    rig r = rig_on("rak4631");
    hear(&r, "31 61 62");
    rig_expect(&r, "");
    hear(&r, "31 63");
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 61 62 63 c0");
    hear(&r, "31 61"); /* a first half of one station … */
    hear(&r, "41 62"); /* … and of another: the first is forgotten */
    hear(&r, "41 63");
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 62 63 c0");
    hear(&r, "31 61");
    hear(&r, "50 78"); /* whole packets clear it */
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 78 c0");
    hear(&r, "31 79"); /* … so this is a first half again */
    rig_expect(&r, "");
    modem_free(&r.m);
}

/* The third frame of a 508-byte packet is a first half for its receiver, and swallows the next split packet's. */
Test(modem_hear, five_hundred_and_eight_bytes_poison_the_receiver)
{
    rig r = rig_on("rak4631");
    hear(&r, "31 61");
    hear(&r, "31 62");
    hear(&r, "31");
    rig_forget(&r);
    hear(&r, "31 63"); /* by chance the same nibble */
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 63 c0");
    hear(&r, "31 64");
    rig_expect(&r, "");
    modem_free(&r.m);
}

Test(modem_hear, at_most_508_bytes_arrive)
{
    rig r = rig_on("rak4631");
    uint8_t frame[255];
    memset(frame, 'x', sizeof frame);
    frame[0] = 0x71;
    for (int i = 0; i < 2; i++)
        modem_hear(r.m, bytes_of(frame, sizeof frame), (air_signal){-10000, 500}, rig_now(&r));
    cr_assert_eq(modem_output(r.m).len, 8 + 508 + 3);
    modem_free(&r.m);
}

Test(modem_hear, promiscuous_mode)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 0e 01 c0");
    rig_forget(&r);
    hear(&r, "50 68 69");
    rig_expect(&r, ""); /* set aside, never read */
    rig_packet(&r, 300, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 255, "raw, cut, without a header");
    modem_free(&r.m);
    r = rig_on("rnode1");
    rig_say(&r, "c0 0e 01 c0");
    rig_forget(&r);
    hear(&r, "50 68 69");
    rig_expect(&r, "c0 23 39 c0 c0 24 14 c0 c0 00 50 68 69 c0");
    modem_free(&r.m);
}

Test(modem_hear, deaf_when_off_or_sending)
{
    rig r = rig_booted("rak4631");
    hear(&r, "50 68 69");
    rig_expect(&r, "");
    rig_say(&r, RIG_CONFIG);
    rig_wait(&r, 500);
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 201);
    rig_forget(&r);
    hear(&r, "50 68 69");
    rig_expect(&r, "");
    modem_free(&r.m);
}

/* ---- statistics ---- */

Test(modem_hear, channel_statistics_once_a_second)
{
    rig r = rig_booted("rak4631");
    rig_say(&r, RIG_CONFIG);
    rig_forget(&r);
    uint64_t begun = r.ms, at[10];
    for (int i = 0; i < 10; i++) {
        while (modem_output(r.m).len == 0)
            rig_wait(&r, 1);
        at[i] = r.ms - begun;
        /* no airtime, no load, -120 dBm, floor -120 dBm, no interference */
        rig_expect(&r, "c0 25 00 00 00 00 00 00 00 00 25 25 ff c0");
    }
    /* 333 samples of 3 ms, but the window of 2,500 ends in between */
    cr_assert_eq(at[1] - at[0], 999);
    cr_assert_eq(at[6] - at[0], 6 * 999);
    cr_assert_eq(at[7] - at[6], 507);
    cr_assert_eq(at[8] - at[7], 999);
    modem_free(&r.m);
}

/* The firmware's own count, rounded down to ms: SF8, 201 bytes: (1608 + 16 - 32 + 28) / 32 * 5 + 18.25 + 8 symbols. */
Test(modem_hear, its_own_airtime)
{
    rig r = rig_on("rak4631");
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 201);
    rig_forget(&r);
    rig_wait(&r, 600);
    uint16_t ms = (uint16_t)((1620 / 32.0 * 5 + 26.25) * 2.048);
    cr_assert_eq(heard_u16(&r, 0x25, 0), ms * 10000 / 15000, "%u", heard_u16(&r, 0x25, 0));
    cr_assert_eq(heard_u16(&r, 0x25, 2), ms * 10000 / 3600000);
    cr_assert_lt(ms * 1000ull, airtime_us(&modem_tuning(r.m)->lora, 201), "less than it takes");
    modem_free(&r.m);
}

Test(modem_hear, load_of_the_channel)
{
    rig r = rig_on("rak4631");
    rig_wait(&r, 7500);
    modem_carrier(r.m, true, -9000, rig_now(&r));
    rig_wait(&r, 3750);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    rig_wait(&r, 800);
    rig_forget(&r);
    rig_wait(&r, 1000);
    uint16_t load = heard_u16(&r, 0x25, 4);
    cr_assert(load > 4900 && load <= 5000, "%u", load);
    rig_wait(&r, 7500);
    rig_forget(&r);
    rig_wait(&r, 1000);
    cr_assert_eq(heard_u16(&r, 0x25, 4), 0);
    cr_assert_gt(heard_u16(&r, 0x25, 6), 0, "the hour remembers its worst");
    modem_free(&r.m);
}

/* More than 7 % of the last 15 s: a wider window, and it says so. */
Test(modem_hear, contention_bands)
{
    rig r = rig_on("rak4631");
    for (int i = 0; i < 3; i++)
        rig_packet(&r, 250, 'x');
    rig_forget(&r);
    rig_wait(&r, 4000);
    const char *heard = rig_heard(&r);
    cr_assert_not_null(strstr(heard, "c0 28 02 0f 1d c0"), "%s", heard); /* band 2: 15 … 29 */
    rig_wait(&r, 20000);
    heard = rig_heard(&r);
    cr_assert_not_null(strstr(heard, "c0 28 01 00 0e c0"), "%s", heard);
    modem_free(&r.m);
}

/* The lock is looked at before a burst only, so a burst overshoots; a new start of the radio forgets the hour. */
Test(modem_hear, airtime_lock)
{
    rig r = rig_choked("heltec-v4");
    rig_say(&r, "c0 0c 00 01 c0"); /* 0.01 % of an hour: 360 ms */
    for (int i = 0; i < 3; i++)
        rig_packet(&r, 250, 'x');
    modem_carrier(r.m, false, -12000, rig_now(&r));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(rig_frame(&r, 3000).len, 251);
    rig_wait(&r, 2000);
    rig_packet(&r, 250, 'y');
    cr_assert_eq(rig_frame(&r, 60000).len, 0);
    cr_assert(modem_state_of(r.m).locked_by_airtime);
    rig_say(&r, "c0 06 00 c0 06 01 c0");
    cr_assert_eq(rig_frame(&r, 3000).len, 251);
    modem_free(&r.m);
}

Test(modem_hear, avr_has_no_statistics)
{
    rig r = rig_booted("rnode1");
    rig_say(&r, RIG_CONFIG);
    const char *heard = rig_heard(&r);
    cr_assert_null(strstr(heard, "c0 26"), "%s", heard);
    rig_packet(&r, 20, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 21);
    rig_wait(&r, 5000);
    rig_expect(&r, "");
    cr_assert_eq(modem_tuning(r.m)->lora.preamble_symbols, 8, "the chip's own");
    modem_free(&r.m);
}

/* ---- whatever comes ---- */

/* Any bytes at any times, any frames, carriers and faults: it lives, time goes on, and after a reset it answers. */
Test(modem_hear, survives_anything, .timeout = 60)
{
    prop_rng rng = prop_begin("modem");
    for (int round = 0; round < 60; round++) {
        modem_spec spec = {.board = &modem_boards[prop_below(&rng, modem_boards_count)],
                           .seed = prop_u64(&rng),
                           .tcp_timeout_us = MODEM_TCP_TIMEOUT_US};
        rig r = {.m = modem_new(&spec, (air_us){0})};
        static const uint8_t likely[] = {0xc0, 0xc0, 0xc0, 0, 0xdb, 0xdc, 1, 2, 3, 4, 5, 6, 0x73};
        for (int i = 0; i < 400; i++) {
            uint8_t wire[300];
            size_t n = prop_below(&rng, 200);
            for (size_t k = 0; k < n; k++)
                wire[k] = prop_below(&rng, 2) ? likely[prop_below(&rng, sizeof likely)]
                                              : (uint8_t)prop_u64(&rng);
            rig_send(&r, wire, n);
            if (prop_below(&rng, 8) == 0)
                rig_say(&r, RIG_CONFIG);
            if (prop_below(&rng, 3) == 0)
                modem_hear(r.m, bytes_of(wire, n), (air_signal){-9000, 100}, rig_now(&r));
            modem_carrier(r.m, prop_below(&rng, 4) == 0,
                          (int16_t)(-13000 + (int)prop_below(&rng, 9000)), rig_now(&r));
            if (prop_below(&rng, 50) == 0)
                modem_do(r.m, (modem_fault)prop_below(&rng, MODEM_FAULTS),
                         (uint32_t)prop_below(&rng, 2), rig_now(&r));
            if (prop_below(&rng, 100) == 0)
                modem_set_host(r.m, (modem_host)prop_below(&rng, 3), rig_now(&r));
            rig_wait(&r, prop_below(&rng, 2) ? prop_below(&rng, 3000) : prop_below(&rng, 20));
            cr_assert(modem_next(r.m).us > rig_now(&r).us);
            if (prop_below(&rng, 10) == 0)
                rig_forget(&r);
        }
        modem_do(r.m, MODEM_FAULT_BABBLE, 0, rig_now(&r));
        rig_wait(&r, 2000);
        rig_forget(&r);
        rig_say(&r, "c0 08 73 c0");
        rig_expect(&r, "c0 08 46 c0");
        modem_free(&r.m);
    }
}

/* The same bytes in pieces of any size do the same. */
Test(modem_hear, pieces_do_not_matter)
{
    prop_rng rng = prop_begin("pieces");
    for (int round = 0; round < 50; round++) {
        uint8_t wire[600];
        rig a = rig_on("rak4631"), b = rig_on("rak4631");
        for (size_t k = 0; k < sizeof wire; k++)
            wire[k] = prop_below(&rng, 5) == 0 ? 0xc0 : (uint8_t)prop_below(&rng, 0x40);
        rig_send(&a, wire, sizeof wire);
        for (size_t at = 0; at < sizeof wire;) {
            size_t n = 1 + prop_below(&rng, 20);
            n = n < sizeof wire - at ? n : sizeof wire - at;
            rig_send(&b, wire + at, n);
            at += n;
        }
        cr_assert(bytes_eq(modem_output(a.m), modem_output(b.m)));
        cr_assert_eq(modem_state_of(a.m).queued_bytes, modem_state_of(b.m).queued_bytes);
        modem_free(&a.m);
        modem_free(&b.m);
    }
}
