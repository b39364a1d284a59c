/* The RNode towards its antenna: queue, split, carrier sense, reception, statistics. */
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

/* Something else is always sending: nothing leaves the queue. */
static rig rig_choked(const char *board)
{
    rig r = rig_on(board);
    modem_carrier(r.m, true, -9000, rig_now(&r));
    return r;
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

/* ---- receiving ---- */

static void hear(rig *r, const char *hex)
{
    uint8_t frame[300];
    size_t n = rig_hex(frame, hex);
    modem_hear(r->m, bytes_of(frame, n), (air_signal){-10000, 500}, rig_now(r));
}

Test(modem_air, rssi_and_snr_come_first)
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

Test(modem_air, halves_are_joined_by_the_nibble_alone)
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
Test(modem_air, five_hundred_and_eight_bytes_poison_the_receiver)
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

Test(modem_air, at_most_508_bytes_arrive)
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

Test(modem_air, promiscuous_mode)
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

Test(modem_air, deaf_when_off_or_sending)
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

Test(modem_air, channel_statistics_once_a_second)
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
Test(modem_air, its_own_airtime)
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

Test(modem_air, load_of_the_channel)
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
Test(modem_air, contention_bands)
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
Test(modem_air, airtime_lock)
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

Test(modem_air, avr_has_no_statistics)
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
Test(modem_air, survives_anything, .timeout = 60)
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
Test(modem_air, pieces_do_not_matter)
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
