/* The RNode towards its antenna: queue, split, carrier sense. */
#include "modem_rig.h"

/* ---- sending ---- */

Test(modem_air, a_packet_has_one_byte_before_it)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 00 68 69 db dc db dd db 41 c0");
    bytes f = rig_frame(&r, 1000);
    cr_assert_eq(f.len, 6);
    cr_assert_eq(f.p[0] & 0x0f, 0, "not split");
    cr_assert_eq(memcmp(f.p + 1, "hi\xc0\xdb\x41", 5), 0);
    cr_assert_eq(modem_next(r.m).us, rig_now(&r).us + airtime_us(&modem_tuning(r.m)->lora, 6));
    modem_free(&r.m);
}

Test(modem_air, the_nibble_is_random)
{
    rig r = rig_on("rak4631");
    bool seen[16] = {0};
    size_t kinds = 0;
    for (int i = 0; i < 200; i++) {
        rig_packet(&r, 5, 'x');
        bytes f = rig_frame(&r, 2000);
        cr_assert_eq(f.len, 6);
        kinds += !seen[f.p[0] >> 4];
        seen[f.p[0] >> 4] = true;
        rig_wait(&r, 200);
    }
    cr_assert_geq(kinds, 14);
    modem_free(&r.m);
}

/* Lengths of the frames that one packet becomes. */
static size_t lengths(size_t packet, size_t *out, uint8_t *headers)
{
    rig r = rig_on("rak4631");
    size_t n = 0;
    rig_packet(&r, packet, 'x');
    for (bytes f = rig_frame(&r, 3000); f.len > 0 && n < 8; f = rig_frame(&r, 3000)) {
        headers[n] = f.p[0];
        out[n++] = f.len;
    }
    modem_free(&r.m);
    return n;
}

Test(modem_air, split_above_254_bytes)
{
    size_t len[8];
    uint8_t header[8];
    cr_assert_eq(lengths(254, len, header), 1);
    cr_assert_eq(len[0], 255);
    cr_assert_eq(header[0] & 1, 0);
    cr_assert_eq(lengths(255, len, header), 2);
    cr_assert(len[0] == 255 && len[1] == 2);
    cr_assert(header[0] == header[1] && (header[0] & 0x0f) == 1, "one nibble for both");
    cr_assert_eq(lengths(507, len, header), 2);
    cr_assert(len[0] == 255 && len[1] == 254);
    cr_assert_eq(lengths(508, len, header), 3, "the fault: a third frame of the header only");
    cr_assert(len[0] == 255 && len[1] == 255 && len[2] == 1 && header[2] == header[0]);
    cr_assert_eq(lengths(509, len, header), 0, "queued, and dropped without a word");
    cr_assert_eq(lengths(4000, len, header), 0);
}

Test(modem_air, data_frames_need_their_own_fend)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 00 61 c0 00 62 c0");
    bytes f = rig_frame(&r, 1000);
    cr_assert(f.len == 2 && f.p[1] == 'a');
    cr_assert_eq(rig_frame(&r, 2000).len, 0);
    modem_free(&r.m);
}

/* ---- the queue ---- */

static uint8_t ready(rig *r)
{
    rig_forget(r);
    rig_say(r, "c0 0f 00 c0");
    bytes out = modem_output(r->m);
    cr_assert(out.len == 4 && out.p[1] == 0x0f);
    uint8_t answer = out.p[2];
    rig_forget(r);
    return answer;
}

Test(modem_air, queue_of_200_frames)
{
    rig r = rig_choked("rak4631");
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(ready(&r), 1, "%d", i);
        rig_packet(&r, 3, (uint8_t)('A' + i % 26));
    }
    cr_assert_eq(ready(&r), 0);
    rig_packet(&r, 3, 'z');
    rig_expect(&r, "");
    cr_assert_eq(modem_state_of(r.m).queue_frames, 200);
    cr_assert_eq(modem_state_of(r.m).queued_bytes, 600);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    for (int i = 0; i < 200; i++) {
        bytes f = rig_frame(&r, 1000);
        cr_assert(f.len == 4 && f.p[3] == 'A' + i % 26, "frame %d", i);
    }
    cr_assert_eq(rig_frame(&r, 2000).len, 0);
    cr_assert_eq(ready(&r), 1);
    modem_free(&r.m);
}

/* Bytes beyond the ring are dropped in silence; what was stored of the frame begins the next one. */
Test(modem_air, queue_of_6144_bytes)
{
    rig r = rig_choked("rak4631");
    for (int i = 0; i < 24; i++)
        rig_packet(&r, 250, 'a');
    rig_packet(&r, 250, 'b'); /* 144 of them fit, and the frame is not queued */
    cr_assert_eq(modem_state_of(r.m).queue_frames, 24);
    cr_assert_eq(modem_state_of(r.m).queued_bytes, 6144);
    cr_assert_eq(ready(&r), 0);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    for (int i = 0; i < 24; i++)
        cr_assert_eq(rig_frame(&r, 3000).len, 251);
    cr_assert_eq(rig_frame(&r, 3000).len, 0);
    rig_packet(&r, 10, 'c');
    bytes f = rig_frame(&r, 3000);
    cr_assert_eq(f.len, 1 + 144 + 10);
    cr_assert(f.p[144] == 'b' && f.p[145] == 'c');
    modem_free(&r.m);
}

Test(modem_air, homebrew_holds_24_frames)
{
    rig r = rig_choked("homebrew");
    for (int i = 0; i < 30; i++)
        rig_packet(&r, 3, 'x');
    cr_assert_eq(modem_state_of(r.m).queue_frames, 24);
    modem_free(&r.m);
}

/* At a low rate the whole queue goes, and the accounts begin anew: the fault stays without consequence. */
Test(modem_air, an_empty_frame_at_a_low_rate)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 00 c0");
    cr_assert_eq(modem_state_of(r.m).queue_frames, 1);
    cr_assert_eq(rig_frame(&r, 1000).len, 0);
    cr_assert_eq(modem_state_of(r.m).queue_frames, 0);
    cr_assert_eq(ready(&r), 1);
    modem_free(&r.m);
}

/* Above 14 kbit/s its length is taken from the account, which wraps: full for ever, and nobody is told. */
Test(modem_air, an_empty_frame_at_a_high_rate_wedges_the_queue)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 02 00 07 a1 20 c0 04 07 c0"); /* SF7/500 kHz: 21.9 kbit/s */
    rig_say(&r, "c0 00 c0");
    rig_wait(&r, 1000);
    cr_assert_eq(modem_state_of(r.m).queued_bytes, 65536 - 6144);
    cr_assert_eq(ready(&r), 0);
    rig_packet(&r, 10, 'x');
    cr_assert_eq(rig_frame(&r, 2000).len, 0);
    rig_say(&r, "c0 06 00 c0 06 01 c0");
    cr_assert_eq(ready(&r), 0, "only a restart helps");
    modem_free(&r.m);
}

Test(modem_air, all_at_once_below_14_kbit)
{
    rig r = rig_choked("rak4631");
    for (int i = 0; i < 5; i++)
        rig_packet(&r, 20, (uint8_t)('0' + i));
    modem_carrier(r.m, false, -12000, rig_now(&r));
    cr_assert_eq(rig_frame(&r, 1000).p[1], '0');
    uint64_t begun = r.ms, one = airtime_us(&modem_tuning(r.m)->lora, 21) / 1000;
    for (int i = 1; i < 5; i++) {
        cr_assert_eq(rig_frame(&r, 1000).p[1], '0' + i);
        cr_assert(r.ms - begun >= one * (uint64_t)i && r.ms - begun <= one * (uint64_t)i + 5,
                  "no pause for others between them");
    }
    modem_free(&r.m);
}

Test(modem_air, one_by_one_above_14_kbit)
{
    rig r = rig_choked("rak4631");
    rig_say(&r, "c0 02 00 07 a1 20 c0 04 07 c0");
    for (int i = 0; i < 5; i++)
        rig_packet(&r, 20, (uint8_t)('0' + i));
    modem_carrier(r.m, false, -12000, rig_now(&r));
    cr_assert_eq(rig_frame(&r, 1000).p[1], '0');
    uint64_t begun = r.ms, one = airtime_us(&modem_tuning(r.m)->lora, 21) / 1000;
    cr_assert_eq(rig_frame(&r, 1000).p[1], '1');
    cr_assert_geq(r.ms - begun, one + 48, "DIFS again");
    modem_free(&r.m);
}

/* ---- carrier sense ---- */

/* The first packet after a start: DIFS of 48 ms and 0 … 14 slots of 24. */
Test(modem_air, the_contention_window)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        modem_spec spec = {.board = modem_board_named("rak4631"), .seed = seed};
        rig r = {.m = modem_new(&spec, (air_us){0})};
        modem_carrier(r.m, false, -12000, rig_now(&r));
        rig_wait(&r, 1000);
        rig_say(&r, RIG_CONFIG);
        rig_wait(&r, 400);
        uint64_t begun = r.ms;
        rig_packet(&r, 10, 'x');
        cr_assert_eq(rig_frame(&r, 2000).len, 11);
        uint64_t waited = r.ms - begun - 48;
        cr_assert_eq(waited % 24, 0, "%llu", (unsigned long long)waited);
        least = waited < least ? waited : least;
        most = waited > most ? waited : most;
        modem_free(&r.m);
    }
    cr_assert_eq(least, 0);
    cr_assert_eq(most, 14 * 24);
}

/* What the firmware really does with the next one: its window counts from the last transmission, and has long passed. */
Test(modem_air, the_next_packet_waits_for_difs_only)
{
    rig r = rig_on("rak4631");
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 2000).len, 201);
    rig_wait(&r, 1000);
    for (int i = 0; i < 20; i++) {
        uint64_t begun = r.ms;
        rig_packet(&r, 200, 'y');
        cr_assert_eq(rig_frame(&r, 2000).len, 201);
        cr_assert_eq(r.ms - begun, 48);
        rig_wait(&r, 1000);
    }
    /* busy while it waits: the window is counted properly, only while the medium is free */
    rig_packet(&r, 200, 'z');
    rig_wait(&r, 20);
    modem_carrier(r.m, true, -9000, rig_now(&r));
    cr_assert_eq(rig_frame(&r, 3000).len, 0);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    uint64_t begun = r.ms;
    cr_assert_eq(rig_frame(&r, 3000).len, 201);
    cr_assert(r.ms - begun >= 48 && (r.ms - begun - 48) % 24 == 0);
    modem_free(&r.m);
}

/* For the first 128 samples after a start everything is above the unknown noise floor. */
Test(modem_air, sends_nothing_before_it_knows_the_noise)
{
    rig r = rig_booted("rak4631");
    rig_packet(&r, 10, 'x');
    rig_say(&r, RIG_CONFIG);
    cr_assert_eq(rig_frame(&r, 381).len, 0);
    cr_assert_eq(rig_frame(&r, 1000).len, 11);
    modem_free(&r.m);
}

/* Weak interference is taken for noise after 2.5 s; strong one never; and with the avoidance off neither matters. */
Test(modem_air, interference)
{
    rig r = rig_on("rak4631");
    modem_carrier(r.m, false, -9500, rig_now(&r));
    uint64_t begun = r.ms;
    rig_packet(&r, 10, 'x');
    cr_assert_eq(rig_frame(&r, 20000).len, 11);
    cr_assert(r.ms - begun > 2500 && r.ms - begun < 2 * 2500 + 2000, "%llu",
              (unsigned long long)(r.ms - begun));
    rig_wait(&r, 2000);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    rig_wait(&r, 1000);
    modem_carrier(r.m, false, -8000, rig_now(&r));
    rig_packet(&r, 10, 'y');
    cr_assert_eq(rig_frame(&r, 60000).len, 0);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    cr_assert_eq(rig_frame(&r, 1000).len, 11);
    rig_say(&r, "c0 69 01 c0"); /* saved, and started again */
    rig_wait(&r, 1500);
    rig_say(&r, RIG_CONFIG);
    modem_carrier(r.m, false, -8000, rig_now(&r));
    rig_packet(&r, 10, 'z');
    cr_assert_eq(rig_frame(&r, 1000).len, 11);
    modem_free(&r.m);
}

Test(modem_air, a_carrier_for_ever)
{
    rig r = rig_on("rak4631");
    modem_do(r.m, MODEM_FAULT_DCD, 1, rig_now(&r));
    rig_packet(&r, 10, 'x');
    cr_assert_eq(rig_frame(&r, 60000).len, 0);
    modem_do(r.m, MODEM_FAULT_DCD, 0, rig_now(&r));
    cr_assert_eq(rig_frame(&r, 1000).len, 11);
    modem_free(&r.m);
}

/* ---- while it sends ---- */

Test(modem_air, commands_wait_for_the_end_of_the_burst)
{
    rig r = rig_on("rak4631");
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 201);
    rig_forget(&r);
    rig_say(&r, "c0 0f 00 c0 08 73 c0");
    uint64_t end = airtime_us(&modem_tuning(r.m)->lora, 201) / 1000;
    rig_wait(&r, end - 10);
    rig_expect(&r, "");
    rig_wait(&r, 20);
    const char *heard = rig_heard(&r);
    cr_assert_eq(strncmp(heard, "c0 25", 5), 0, "first the statistics: %s", heard);
    cr_assert_not_null(strstr(heard, "c0 0f 01 c0 c0 08 46 c0"));
    modem_free(&r.m);
}

Test(modem_air, the_uart_overflows_in_silence)
{
    rig r = rig_on("rak4631");
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 201);
    for (int i = 0; i < 40; i++)
        rig_packet(&r, 200, 'y'); /* 40 × 203 bytes: 6144 of them fit */
    rig_wait(&r, 1000);
    cr_assert_eq(modem_state_of(r.m).queue_frames, 6144 / 203);
    modem_free(&r.m);
}

Test(modem_air, a_transmission_that_never_ends)
{
    rig r = rig_on("rak4631");
    modem_do(r.m, MODEM_FAULT_TX_TIMEOUT, 0, rig_now(&r));
    rig_packet(&r, 20, 'x');
    rig_wait(&r, 1000);
    rig_forget(&r);
    rig_wait(&r, 21000);
    rig_expect(&r, "c0 90 06 c0 c0 90 02 c0 c0 55 f8 c0");
    cr_assert_not(modem_tuning(r.m)->on);
    modem_free(&r.m);
}

Test(modem_air, a_reset_in_the_middle_of_a_frame)
{
    rig r = rig_on("rak4631");
    uint64_t serial;
    rig_packet(&r, 200, 'x');
    cr_assert_eq(rig_frame(&r, 1000).len, 201);
    modem_do(r.m, MODEM_FAULT_RESET, 0, rig_now(&r));
    cr_assert_eq(modem_sending(r.m, &serial).len, 0);
    cr_assert_not(modem_tuning(r.m)->on);
    modem_free(&r.m);
}
