/* The RNode towards its host, byte by byte: every vector is one a real device answers so. */
#include "modem_rig.h"

Test(modem_host, detect_burst)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 08 73 c0 50 00 c0 48 00 c0 49 00 c0");
    rig_expect(&r, "c0 08 46 c0 c0 50 01 56 c0 c0 48 80 c0 c0 49 81 c0");
    rig_say(&r, "c0 47 00 c0");
    rig_expect(&r, "c0 47 3a c0");
    modem_free(&r.m);
}

Test(modem_host, says_so_when_it_has_booted)
{
    rig r = rig_of("rak4631");
    rig_say(&r, "c0 08 73 c0");
    rig_wait(&r, 899);
    rig_expect(&r, "");
    rig_wait(&r, 1);
    rig_expect(&r, "c0 55 f8 c0");
    modem_free(&r.m);
    r = rig_of("rnode1");
    rig_wait(&r, 2000);
    rig_expect(&r, "");
    modem_free(&r.m);
}

/* The boot loader's words come before, outside of any frame. */
Test(modem_host, text_before_the_first_frame)
{
    rig r = rig_of("heltec-v3");
    rig_wait(&r, 1000);
    bytes out = modem_output(r.m);
    cr_assert(out.len > 30 && memcmp(out.p, "ESP-ROM", 7) == 0);
    cr_assert_null(memchr(out.p, 0xc0, out.len - 4));
    cr_assert_eq(memcmp(out.p + out.len - 4, "\xc0\x55\xf8\xc0", 4), 0);
    modem_free(&r.m);
}

Test(modem_host, acts_on_the_byte_not_on_the_end)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 08 73");
    rig_expect(&r, "c0 08 46 c0");
    rig_say(&r, "73 00 73");
    rig_expect(&r, "c0 08 46 c0 c0 08 46 c0");
    rig_say(&r, "c0 01 33 d3 e6");
    rig_expect(&r, "");
    rig_say(&r, "08");
    rig_expect(&r, "c0 01 33 d3 e6 08 c0");
    rig_say(&r, "ff ff c0");
    rig_expect(&r, "");
    modem_free(&r.m);
}

Test(modem_host, escapes_of_915_mhz)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 01 36 89 ca db dc c0");
    rig_expect(&r, "c0 01 36 89 ca db dc c0");
    /* forgotten escape: the frame ends early, and nothing has happened */
    rig_say(&r, "c0 01 36 89 ca c0 01 00 00 00 00 c0");
    rig_expect(&r, "c0 01 36 89 ca db dc c0");
    rig_say(&r, "c0 01 db dd 00 00 00 c0");
    rig_expect(&r, "c0 01 db dd 00 00 00 c0");
    modem_free(&r.m);
}

/* One-byte arguments are never un-escaped: DB is 219 dBm, and clamped. */
Test(modem_host, single_bytes_are_not_unescaped)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 03 db dc c0");
    rig_expect(&r, "c0 03 16 c0 c0 03 16 c0");
    modem_free(&r.m);
}

Test(modem_host, clamps)
{
    static const struct {
        const char *board, *say, *hear;
    } rows[] = {
        {"heltec-v3", "c0 03 25 c0", "c0 03 16 c0"},
        {"heltec-v4", "c0 03 25 c0", "c0 03 1c c0"},
        {"t-beam", "c0 03 16 c0", "c0 03 11 c0"},
        {"heltec-v3", "c0 04 04 c0", "c0 04 05 c0"},
        {"heltec-v3", "c0 04 20 c0", "c0 04 0c c0"},
        {"heltec-v3", "c0 05 04 c0", "c0 05 05 c0"},
        {"heltec-v3", "c0 05 09 c0", "c0 05 08 c0"},
        {"heltec-v3", "c0 04 ff c0", "c0 04 00 c0"},
        {"heltec-v3", "c0 05 ff c0", "c0 05 05 c0"},
        {"heltec-v3", "c0 03 ff c0", "c0 03 ff c0"},
        {"heltec-v3", "c0 01 00 00 00 00 c0", "c0 01 00 00 00 00 c0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig r = rig_booted(rows[i].board);
        rig_say(&r, rows[i].say);
        rig_expect(&r, rows[i].hear);
        modem_free(&r.m);
    }
}

Test(modem_host, radio_on)
{
    rig r = rig_booted("rak4631");
    rig_say(&r, "c0 01 33 d3 e6 08 c0 02 00 01 e8 48 c0 03 11 c0 04 08 c0 05 05 c0");
    rig_expect(&r, "c0 01 33 d3 e6 08 c0 c0 02 00 01 e8 48 c0 c0 03 11 c0 c0 04 08 c0 c0 05 05 c0");
    rig_say(&r, "c0 06 01 c0");
    /* 2.048 ms, 488 baud, 18 symbols, 37 ms (0 the first time: computed after it is said), slot 24, DIFS 48 */
    rig_expect(&r, "c0 26 08 00 01 e8 00 12 00 00 00 18 00 30 c0 "
                   "c0 26 08 00 01 e8 00 12 00 25 00 18 00 30 c0 "
                   "c0 26 08 00 01 e8 00 12 00 25 00 18 00 30 c0 c0 06 01 c0 c0 06 01 c0");
    rig_say(&r, "c0 06 01 c0");
    rig_expect(&r, "c0 06 01 c0 c0 06 01 c0");
    rig_say(&r, "c0 06 ff c0 06 00 c0 06 02 c0");
    rig_expect(&r, "c0 06 01 c0 c0 06 00 c0");
    modem_free(&r.m);
}

/* SF9's slots and the change while it is on: one PHYPRM each, none for frequency and power. */
Test(modem_host, parameters_change_while_on)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 04 09 c0");
    rig_expect(&r, "c0 26 10 00 00 f4 00 12 00 25 00 31 00 62 c0 c0 04 09 c0");
    cr_assert_eq(modem_tuning(r.m)->lora.sf, 9);
    rig_say(&r, "c0 01 33 be 27 a0 c0 03 0a c0");
    rig_expect(&r, "c0 01 33 be 27 a0 c0 c0 03 0a c0");
    cr_assert_eq(modem_tuning(r.m)->hz, 868100000);
    cr_assert_eq(modem_tuning(r.m)->txpower_dbm, 10);
    /* bandwidths are those of the chip, once the radio is on */
    rig_say(&r, "c0 02 00 01 86 a0 c0");
    rig_expect(&r, "c0 26 10 00 00 f4 00 12 00 4a 00 31 00 62 c0 c0 02 00 01 e8 48 c0");
    rig_say(&r, "c0 06 00 c0 02 00 01 86 a0 c0");
    rig_expect(&r, "c0 06 00 c0 c0 02 00 01 86 a0 c0");
    modem_free(&r.m);
}

/* The SX127x's synthesiser has steps of 61 Hz. */
Test(modem_host, frequency_as_the_chip_has_it)
{
    rig r = rig_on("t-beam");
    rig_say(&r, "c0 01 00 00 00 00 c0");
    rig_expect(&r, "c0 01 33 d3 e5 e3 c0"); /* 869524963 */
    rig_say(&r, "c0 04 09 c0");
    cr_assert_eq(modem_tuning(r.m)->hz, 869524963);
    /* what was read back is set again at the next start, and rounded down again */
    rig_forget(&r);
    rig_say(&r, "c0 06 00 c0 06 01 c0");
    cr_assert_eq(modem_tuning(r.m)->hz, 869524902);
    modem_free(&r.m);
}

Test(modem_host, locked_until_all_is_set)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 07 00 c0 06 01 c0");
    rig_expect(&r, "c0 07 01 c0 c0 06 00 c0 c0 06 00 c0");
    rig_say(&r, "c0 01 33 d3 e6 08 c0 02 00 01 e8 48 c0 03 11 c0 04 08 c0");
    rig_forget(&r);
    rig_say(&r, "c0 07 ff c0");
    rig_expect(&r, "c0 07 00 c0");
    modem_free(&r.m);
}

Test(modem_host, airtime_limits)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 0c 00 96 c0 0b 03 e8 c0 0b 00 00 c0 0c 27 10 c0");
    rig_expect(&r, "c0 0c 00 96 c0 c0 0b 03 e8 c0 c0 0b 00 00 c0 c0 0c 00 00 c0");
    modem_free(&r.m);
}

Test(modem_host, ready_is_only_an_answer)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 0f 00 c0");
    rig_expect(&r, "c0 0f 01 c0");
    rig_packet(&r, 10, 'x');
    rig_wait(&r, 500); /* sent meanwhile: the only trace are the channel's statistics */
    const char *heard = rig_heard(&r);
    cr_assert_null(strstr(heard, "c0 0f"), "%s", heard);
    cr_assert_not_null(strstr(heard, "c0 25"));
    modem_free(&r.m);
}

Test(modem_host, questions)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 21 00 c0 22 00 c0 23 00 c0 0e 01 c0 0e 07 c0 0e 00 c0 09 10 c0 09 00 c0");
    rig_expect(&r, "c0 21 00 00 00 00 c0 c0 22 00 00 00 00 c0 c0 23 79 c0 c0 0e 01 c0 c0 0e 01 c0 "
                   "c0 0e 00 c0 c0 09 10 c0 c0 09 00 c0");
    rig_say(&r, "c0 41 ff c0 41 01 c0 41 07 c0 30 05 c0 80 00 c0 0a ff c0 46 01 c0");
    rig_expect(&r, "c0 41 00 c0 c0 41 01 c0");
    for (int i = 0; i < 300; i++) {
        rig_say(&r, "c0 40 00 c0");
        bytes out = modem_output(r.m);
        cr_assert(out.len == 4 && out.p[2] < 255); /* 0 … 254, never escaped */
        rig_forget(&r);
    }
    modem_free(&r.m);
}

/* 0xFE is also the value for "no command yet": the byte behind it is taken for the command. */
Test(modem_host, the_command_that_is_none)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 fe 08 73 c0");
    rig_expect(&r, "c0 08 46 c0");
    rig_say(&r, "08 73");                      /* outside of a frame */
    rig_expect(&r, "c0 08 46 c0");             /* the last FEND opened one */
    rig_say(&r, "c0 00 78 c0 08 73 c0 08 73"); /* a data frame closes */
    rig_expect(&r, "c0 08 46 c0");
    modem_free(&r.m);
}

Test(modem_host, framebuffer)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 43 01 01 02 03 04 05 06 07 08 c0 42 01 c0");
    bytes out = modem_output(r.m);
    cr_assert_eq(out.len, 512 + 3);
    cr_assert_eq(memcmp(out.p + 10, "\1\2\3\4\5\6\7\10", 8), 0);
    rig_forget(&r);
    rig_say(&r, "c0 66 01 c0");
    cr_assert_eq(modem_output(r.m).len, 1024 + 3);
    modem_free(&r.m);
}

Test(modem_host, eeprom)
{
    rig r = rig_booted("heltec-v3");
    rig_say(&r, "c0 51 00 c0");
    bytes out = modem_output(r.m);
    /* product C1, model CA, revision 1, serial 1, made …; then MD5 over these eleven */
    static const uint8_t begin[] = {0xc0, 0x51, 0xc1, 0xca, 1,    0,    0,    0,   1,
                                    0x65, 0,    0,    0,    0xb6, 0xa0, 0xa4, 0x93};
    cr_assert(out.len >= 203 && memcmp(out.p, begin, sizeof begin) == 0);
    rig_forget(&r);
    rig_say(&r, "c0 52 10 00 c0");
    rig_expect(&r, "c0 90 03 c0");
    rig_say(&r, "c0 59 f8 c0"); /* erased, and started again */
    rig_wait(&r, 1000);
    out = modem_output(r.m);
    cr_assert_not_null(memmem(out.p, out.len, "unprovisioned", 13));
    rig_forget(&r);
    rig_say(&r, RIG_CONFIG);
    const char *heard = rig_heard(&r);
    cr_assert_not_null(strstr(heard, "c0 06 00 c0"), "%s", heard);
    cr_assert_null(strstr(heard, "c0 06 01"));
    rig_say(&r, "c0 52 10 00 c0");
    rig_expect(&r, "");
    modem_free(&r.m);
}

/* A saved configuration: the radio is on after a start, and what is set is echoed but does not reach it. */
Test(modem_host, tnc_mode_is_a_trap)
{
    rig r = rig_on("rak4631");
    rig_say(&r, "c0 53 00 c0 55 f8 c0");
    rig_wait(&r, 1000);
    cr_assert(modem_tuning(r.m)->on);
    cr_assert_eq(modem_tuning(r.m)->hz, 869525000);
    rig_forget(&r);
    rig_say(&r, "c0 01 33 be 27 a0 c0 04 0a c0 06 01 c0");
    rig_expect(&r, "c0 01 33 be 27 a0 c0 c0 04 0a c0 c0 06 01 c0 c0 06 01 c0");
    cr_assert_eq(modem_tuning(r.m)->hz, 869525000);
    cr_assert_eq(modem_tuning(r.m)->lora.sf, 8);
    rig_say(&r, "c0 06 00 c0 06 01 c0");
    cr_assert_eq(modem_tuning(r.m)->hz, 868100000, "off and on applies it");
    cr_assert_eq(modem_tuning(r.m)->lora.sf, 10);
    rig_say(&r, "c0 54 00 c0 55 f8 c0");
    rig_wait(&r, 1000);
    cr_assert_not(modem_tuning(r.m)->on);
    modem_free(&r.m);
}

Test(modem_host, hard_reset_forgets)
{
    rig r = rig_on("rak4631");
    rig_packet(&r, 20, 'x');
    rig_say(&r, "c0 55 f8 08 73 c0");
    rig_expect(&r, "");
    cr_assert_not(modem_tuning(r.m)->on);
    rig_wait(&r, 1000);
    rig_expect(&r, "c0 55 f8 c0");
    rig_say(&r, "c0 01 00 00 00 00 c0 06 ff c0 55 00 c0");
    rig_expect(&r, "c0 01 00 00 00 00 c0 c0 06 00 c0");
    cr_assert_eq(modem_state_of(r.m).queue_frames, 0);
    modem_free(&r.m);
}

/* The line of a board with a UART bridge resets it; native USB does not. */
Test(modem_host, opening_the_line)
{
    rig r = rig_on("heltec-v3");
    modem_line_opened(r.m, rig_now(&r));
    cr_assert_not(modem_tuning(r.m)->on);
    modem_free(&r.m);
    r = rig_on("rak4631");
    modem_line_opened(r.m, rig_now(&r));
    cr_assert(modem_tuning(r.m)->on);
    modem_free(&r.m);
}

Test(modem_host, a_silent_tcp_host_loses_the_radio)
{
    rig r = rig_on("heltec-v4");
    modem_set_host(r.m, MODEM_HOST_TCP, rig_now(&r));
    for (int i = 0; i < 3; i++) {
        rig_wait(&r, 6499);
        cr_assert(modem_tuning(r.m)->on);
        rig_say(&r, "c0 08 73 c0");
    }
    rig_wait(&r, 6500);
    cr_assert_eq(modem_host_of(r.m), MODEM_HOST_NONE);
    cr_assert_not(modem_tuning(r.m)->on);
    modem_free(&r.m);
}

Test(modem_host, a_tcp_host_that_closes_leaves_the_radio_on)
{
    rig r = rig_on("heltec-v4");
    modem_set_host(r.m, MODEM_HOST_TCP, rig_now(&r));
    modem_set_host(r.m, MODEM_HOST_NONE, rig_now(&r));
    rig_wait(&r, 20000);
    cr_assert(modem_tuning(r.m)->on);
    modem_free(&r.m);
}

Test(modem_host, faults_on_demand)
{
    rig r = rig_booted("rak4631");
    modem_do(r.m, MODEM_FAULT_ERROR, 5, rig_now(&r));
    rig_expect(&r, "c0 90 05 c0");
    modem_do(r.m, MODEM_FAULT_VERSION, 0x0132, rig_now(&r));
    rig_say(&r, "c0 50 00 c0");
    rig_expect(&r, "c0 50 01 32 c0");
    modem_do(r.m, MODEM_FAULT_TEXT, 0, rig_now(&r));
    cr_assert_gt(modem_output(r.m).len, 10);
    rig_forget(&r);
    modem_do(r.m, MODEM_FAULT_START, 1, rig_now(&r));
    rig_say(&r, RIG_CONFIG);
    cr_assert_not_null(strstr(rig_heard(&r), "c0 90 01 c0"));
    rig_say(&r, "c0 08 73 c0");
    rig_expect(&r, ""); /* blinks for ever */
    modem_do(r.m, MODEM_FAULT_RESET, 0, rig_now(&r));
    rig_wait(&r, 1000);
    rig_expect(&r, "c0 55 f8 c0");
    rig_say(&r, RIG_CONFIG);
    cr_assert_not_null(strstr(rig_heard(&r), "c0 06 01 c0"));
    modem_do(r.m, MODEM_FAULT_HANG, 1, rig_now(&r));
    rig_say(&r, "c0 08 73 c0");
    rig_wait(&r, 10000);
    rig_expect(&r, "");
    modem_do(r.m, MODEM_FAULT_BABBLE, 1, rig_now(&r));
    rig_say(&r, "c0 08 73 c0");
    rig_wait(&r, 3500);
    bytes out = modem_output(r.m);
    cr_assert_not_null(memmem(out.p, out.len, "$GPGGA", 6));
    cr_assert_null(memchr(out.p, 0xc0, out.len));
    modem_free(&r.m);
}

Test(modem_host, a_host_that_does_not_read_loses_bytes_not_memory)
{
    rig r = rig_booted("heltec-v3");
    for (int i = 0; i < 1000; i++)
        rig_say(&r, "c0 66 01 c0");
    cr_assert_eq(modem_output(r.m).len, MODEM_OUTPUT_MAX_BYTES);
    rig_forget(&r);
    rig_say(&r, "c0 08 73 c0");
    rig_expect(&r, "c0 08 46 c0");
    modem_free(&r.m);
}
