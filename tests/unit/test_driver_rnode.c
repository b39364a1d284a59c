/* The RNode driver at the laboratory's modem, from detection to frames that arrive, and through everything that goes wrong. */
#include "tests/unit/driver_bench.h"
#include "tests/unit/prop.h"

static bench b;

static void begin(const char *board, size_t n)
{
    driver_settings set = bench_settings(false);
    bench_begin(&b, board, n, &set);
}

static err_t send(size_t i, const char *text)
{
    return driver_send(b.host[i].d, bytes_str(text), bench_now(&b));
}

static void expect_problem(driver_problem want, const char *word)
{
    const driver *d = b.host[0].d;
    cr_expect_eq(driver_problem_of(d), want, "%d: %s", driver_problem_of(d), driver_why(d));
    cr_expect_not_null(strstr(driver_why(d), word), "%s", driver_why(d));
    cr_expect_neq(driver_state_of(d), DRIVER_READY);
}

Test(driver_rnode, frames_go_from_driver_to_driver_on_every_board)
{
    for (size_t k = 0; k < modem_boards_count; k++) {
        begin(modem_boards[k].name, 2);
        bench_ready(&b, 8000);
        cr_expect_eq(driver_about_of(b.host[0].d)->chip, modem_boards[k].chip, "%s",
                     modem_boards[k].name);
        bench_wait(&b, 1500);
        cr_assert_eq(send(0, "the bridge at Kagaso is gone"), ERR_OK);
        cr_expect_eq(send(0, "again"), ERR_BUSY);
        bench_wait(&b, 6000);
        cr_expect_eq(b.frames, 1);
        cr_expect(b.host[0].sent == 1 && b.host[0].heard == 0, "%s", modem_boards[k].name);
        cr_expect_eq(b.host[0].sure, modem_boards[k].platform != MODEM_AVR, "%s",
                     modem_boards[k].name);
        cr_expect_eq(b.host[1].heard, 1);
        cr_expect(bytes_eq(bytes_of(b.host[1].last, b.host[1].last_len),
                           bytes_str("the bridge at Kagaso is gone")));
        cr_expect_eq(b.host[1].rssi_dbm, -90);
        cr_expect_gt(b.host[1].snr_cdb, 0);
        bench_end(&b);
    }
}

/* What it says about airtime is what the channel counts, frame by frame. */
Test(driver_rnode, airtime_is_what_was_on_the_air)
{
    static const uint8_t junk[RADIO_FRAME_MAX_BYTES] = {0xc0, 0xdb, 0xdc};
    uint64_t promised = 0;
    tally_row row;
    begin("heltec-v3", 1);
    bench_ready(&b, 8000);
    for (size_t n = 1; n <= sizeof junk; n += 23) {
        promised += driver_airtime_us(b.host[0].d, n);
        cr_assert_eq(driver_send(b.host[0].d, bytes_of(junk, n), bench_now(&b)), ERR_OK);
        bench_wait(&b, 6000);
    }
    cr_assert(tally_get(ether_tally(b.e), 0, &row));
    cr_expect_eq(row.airtime_us, promised);
    cr_expect_eq(row.frames, b.host[0].sent);
    bench_end(&b);
}

/* SENT, when sure, comes after the frame's end and within a moment; a busy hour makes none of them a lie. */
Test(driver_rnode, sent_means_sent)
{
    static const uint8_t junk[RADIO_FRAME_MAX_BYTES];
    prop_rng r = prop_begin("driver_rnode");
    uint64_t handed = 0;
    begin("rak4631", 1);
    bench_ready(&b, 8000);
    for (int i = 0; i < 300; i++) {
        size_t n = 1 + prop_below(&r, sizeof junk);
        handed++;
        cr_assert_eq(driver_send(b.host[0].d, bytes_of(junk, n), bench_now(&b)), ERR_OK);
        while (b.host[0].sent < handed) {
            bench_wait(&b, 1);
            cr_assert_eq(b.host[0].lost, 0);
        }
        cr_assert_eq(b.frames, handed, "said to be sent before it was");
        bench_wait(&b, prop_below(&r, 3000));
    }
    cr_expect_gt(b.host[0].sure * 10, handed * 8, "only %u of %u sure", (unsigned)b.host[0].sure,
                 (unsigned)handed);
    bench_end(&b);
}

Test(driver_rnode, refuses_what_the_modem_would_choke_on)
{
    static const uint8_t junk[RADIO_FRAME_MAX_BYTES + 1];
    begin("rak4631", 1);
    cr_expect_eq(send(0, "too early"), ERR_NOT_READY);
    bench_ready(&b, 8000);
    cr_expect_eq(driver_send(b.host[0].d, bytes_of(junk, 0), bench_now(&b)), ERR_TOO_LARGE);
    cr_expect_eq(driver_send(b.host[0].d, bytes_of(junk, sizeof junk), bench_now(&b)),
                 ERR_TOO_LARGE);
    bench_end(&b);
}

Test(driver_rnode, a_device_that_starts_by_itself_is_set_anew)
{
    driver_settings set = bench_settings(false);
    begin("rak4631", 1);
    bench_ready(&b, 8000);
    ether_do(b.e, 0, MODEM_FAULT_TNC, 1); /* saves 869.525 MHz */
    ether_do(b.e, 0, MODEM_FAULT_RESET, 0);
    bench_wait(&b, 3000);
    driver_free(b.host[0].d);
    set.hz = 868300000;
    b.host[0] = (bench_host){.d = driver_new(&driver_rnode, &set, bench_tell, &b.host[0])};
    bench_ready(&b, 8000);
    cr_expect_eq(modem_tuning(ether_modem(b.e, 0))->hz, 868300000);
    cr_expect(modem_tuning(ether_modem(b.e, 0))->on);
    bench_end(&b);
}

Test(driver_rnode, power_is_what_the_board_can_do)
{
    driver_settings set = bench_settings(false);
    set.txpower_dbm = 27;
    bench_begin(&b, "t-beam", 1, &set);
    bench_ready(&b, 8000);
    cr_expect_eq(driver_about_of(b.host[0].d)->txpower_dbm, 17);
    bench_end(&b);
}

Test(driver_rnode, asking_only_leaves_the_radio_as_it_is)
{
    driver_settings set = bench_settings(false);
    set.ask_only = true;
    bench_begin(&b, "heltec-v4", 1, &set);
    bench_ready(&b, 8000);
    cr_expect_str_eq(driver_about_of(b.host[0].d)->model, "Heltec LoRa32 v4");
    cr_expect_str_eq(driver_about_of(b.host[0].d)->firmware, "1.86");
    cr_expect_str_eq(driver_about_of(b.host[0].d)->platform, "ESP32");
    cr_expect_not(modem_tuning(ether_modem(b.e, 0))->on);
    cr_expect_eq(send(0, "no"), ERR_NOT_READY);
    bench_end(&b);
}

/* ---- what goes wrong ---- */

static void fault_first(modem_fault fault, uint32_t value)
{
    begin("rak4631", 1);
    ether_do(b.e, 0, fault, value);
    bench_wait(&b, 15000);
}

Test(driver_rnode, says_what_is_wrong)
{
    fault_first(MODEM_FAULT_HANG, 1);
    expect_problem(DRIVER_SILENT, "no answer");
    bench_end(&b);
    fault_first(MODEM_FAULT_BABBLE, 1);
    expect_problem(DRIVER_FOREIGN, "$GPGGA");
    bench_end(&b);
    fault_first(MODEM_FAULT_VERSION, 0x0133);
    expect_problem(DRIVER_OLD, "1.51");
    bench_end(&b);
    begin("rak4631", 1);
    ether_do(b.e, 0, MODEM_FAULT_PROVISIONED, 0);
    ether_do(b.e, 0, MODEM_FAULT_RESET, 0);
    bench_wait(&b, 15000);
    expect_problem(DRIVER_REFUSES, "provisioned");
    bench_end(&b);
    fault_first(MODEM_FAULT_START, 100);
    expect_problem(DRIVER_SILENT, "no answer"); /* error 1 came, then it hung: the newest is told */
    bench_end(&b);
}

static void feed_junk(driver *d, prop_rng *r, bool printable)
{
    for (int i = 0; i < 400; i++) {
        uint8_t c = (uint8_t)(printable ? ' ' + prop_below(r, 90) : 0x80 + prop_below(r, 0x40));
        driver_feed(d, bytes_of(&c, 1), (mono_ms){1000});
    }
}

Test(driver_rnode, knows_garbage_from_text)
{
    prop_rng r = prop_begin("driver_rnode junk");
    driver_settings set = bench_settings(false);
    for (int text = 0; text < 2; text++) {
        driver *d = driver_new(&driver_rnode, &set, bench_tell, &b.host[0]);
        driver_opened(d, (mono_ms){0});
        feed_junk(d, &r, text);
        driver_advance(d, (mono_ms){20000});
        cr_expect_eq(driver_problem_of(d), text ? DRIVER_FOREIGN : DRIVER_GARBAGE, "%s",
                     driver_why(d));
        cr_expect_not(driver_wants_line(d, (mono_ms){20000}));
        driver_free(d);
    }
}

Test(driver_rnode, a_modem_taken_by_another_host)
{
    driver_settings set = bench_settings(true);
    driver *d = driver_new(&driver_rnode, &set, bench_tell, &b.host[0]);
    driver_opened(d, (mono_ms){0});
    driver_advance(d, (mono_ms){20000});
    cr_expect_not_null(strstr(driver_why(d), "another host"));
    driver_closed(d, (mono_ms){20000});
    driver_opened(d, (mono_ms){30000});
    driver_closed(d, (mono_ms){30010});
    cr_expect_not_null(strstr(driver_why(d), "another host"));
    driver_free(d);
}

Test(driver_rnode, keeps_a_tcp_line_alive)
{
    driver_settings set = bench_settings(true);
    bench_begin(&b, "heltec-v3", 1, &set);
    bench_ready(&b, 8000);
    bench_wait(&b, 60000);
    cr_expect_eq(driver_state_of(b.host[0].d), DRIVER_READY);
    cr_expect_eq(b.host[0].opened, 1);
    cr_expect(modem_tuning(ether_modem(b.e, 0))->on);
    bench_end(&b);
}

Test(driver_rnode, unplugged_and_plugged_in_again)
{
    begin("rak4631", 2);
    bench_ready(&b, 8000);
    b.host[0].unplugged = true;
    bench_wait(&b, 100);
    expect_problem(DRIVER_LINE, "the line ended");
    bench_wait(&b, 120000);
    uint64_t before = b.host[0].opened;
    b.host[0].unplugged = false;
    bench_ready(&b, DRIVER_PAUSE_MAX_MS + 8000);
    cr_expect_eq(b.host[0].opened, before + 1);
    cr_assert_eq(send(0, "here again"), ERR_OK);
    bench_wait(&b, 3000);
    cr_expect_eq(b.host[1].heard, 1);
    bench_end(&b);
}

/* 1 s, 2 s, 4 s … 30 s. */
Test(driver_rnode, waits_longer_each_time_and_short_again_after_a_good_minute)
{
    driver_settings set = bench_settings(false);
    driver *d = driver_new(&driver_rnode, &set, bench_tell, &b.host[0]);
    uint64_t now = 0;
    for (int i = 0; i < 10; i++) {
        uint64_t want = 1000u << i < DRIVER_PAUSE_MAX_MS ? 1000u << i : DRIVER_PAUSE_MAX_MS;
        cr_assert(driver_wants_line(d, (mono_ms){now}));
        driver_closed(d, (mono_ms){now});
        cr_expect_eq(driver_next(d).ms, now + want);
        cr_expect_not(driver_wants_line(d, (mono_ms){now + want - 1}));
        now += want;
    }
    driver_free(d);
    begin("rak4631", 1);
    bench_ready(&b, 8000);
    bench_wait(&b, DRIVER_STEADY_MS);
    b.host[0].unplugged = true;
    bench_wait(&b, 1);
    cr_expect_eq(driver_next(b.host[0].d).ms, bench_now(&b).ms - 1 + DRIVER_PAUSE_MS);
    bench_end(&b);
}

Test(driver_rnode, a_restart_in_the_middle_of_a_frame)
{
    begin("heltec-v3", 2);
    bench_ready(&b, 8000);
    cr_assert_eq(send(0, "cut short"), ERR_OK);
    bench_wait(&b, 30);
    ether_do(b.e, 0, MODEM_FAULT_RESET, 0);
    bench_wait(&b, 2000);
    cr_expect(b.host[0].lost == 1 && b.host[0].sent == 0);
    bench_ready(&b, 8000);
    cr_assert_eq(send(0, "whole"), ERR_OK);
    bench_wait(&b, 3000);
    cr_expect_eq(b.host[1].heard, 1);
    cr_expect(modem_tuning(ether_modem(b.e, 0))->on);
    bench_end(&b);
}

Test(driver_rnode, a_restart_without_a_word_is_noticed)
{
    begin("rnode1", 1); /* AVR: says nothing at its start */
    bench_ready(&b, 8000);
    ether_do(b.e, 0, MODEM_FAULT_RESET, 0);
    bench_wait(&b, 1);
    cr_expect_not(modem_tuning(ether_modem(b.e, 0))->on);
    bench_wait(&b, 8000);
    cr_expect(modem_tuning(ether_modem(b.e, 0))->on, "its radio is on again");
    bench_end(&b);
}

Test(driver_rnode, a_modem_that_hangs_is_found_out)
{
    begin("rak4631", 1);
    bench_ready(&b, 8000);
    ether_do(b.e, 0, MODEM_FAULT_HANG, 1);
    bench_wait(&b, 13000);
    expect_problem(DRIVER_STOPPED, "stopped answering");
    ether_do(b.e, 0, MODEM_FAULT_HANG, 0);
    bench_ready(&b, 20000);
    bench_end(&b);
}

/* What could not be sent must not go out an hour later: the modem is restarted, and its queue is gone. */
Test(driver_rnode, a_frame_that_never_goes_out_is_thrown_away)
{
    begin("heltec-v3", 2);
    bench_ready(&b, 8000);
    ether_do(b.e, 0, MODEM_FAULT_DCD, 1);
    cr_assert_eq(send(0, "held back"), ERR_OK);
    bench_wait(&b, 70000);
    cr_expect_eq(b.host[0].lost, 1);
    cr_expect_eq(b.frames, 0);
    ether_do(b.e, 0, MODEM_FAULT_DCD, 0);
    bench_wait(&b, 30000);
    bench_ready(&b, 10000);
    cr_expect_eq(b.frames, 0);
    bench_end(&b);
}

Test(driver_rnode, a_transmission_that_fails_is_lost_and_the_next_goes_out)
{
    begin("heltec-v3", 2);
    bench_ready(&b, 8000);
    ether_do(b.e, 0, MODEM_FAULT_TX_TIMEOUT, 0);
    cr_assert_eq(send(0, "stuck"), ERR_OK);
    bench_wait(&b, 40000);
    cr_expect_eq(b.host[0].lost, 1);
    bench_ready(&b, 10000);
    cr_assert_eq(send(0, "goes"), ERR_OK);
    bench_wait(&b, 3000);
    cr_expect_eq(b.host[1].heard, 1);
    bench_end(&b);
}

/* ---- any bytes at any time ---- */

Test(driver_rnode, survives_any_bytes_and_comes_back)
{
    prop_rng r = prop_begin("driver_rnode bytes");
    static const uint8_t likely[] = {0xc0, 0xdb, 0xdc, 0xdd, 0x00, 0x06, 0x08, 0x0f,
                                     0x25, 0x46, 0x50, 0x55, 0x90, 0xf8, 0x01, 0x02};
    for (int round = 0; round < 20; round++) {
        begin("heltec-v3", 1);
        for (int i = 0; i < 200; i++) {
            uint8_t junk[40];
            size_t n = prop_below(&r, sizeof junk);
            for (size_t k = 0; k < n; k++)
                junk[k] = prop_below(&r, 2) == 0 ? (uint8_t)prop_u64(&r)
                                                 : likely[prop_below(&r, sizeof likely)];
            bench_wait(&b, 2 + prop_below(&r, 100));
            if (b.host[0].open)
                driver_feed(b.host[0].d, bytes_of(junk, n), bench_now(&b));
            (void)!send(0, "x");
            cr_assert_gt(driver_next(b.host[0].d).ms, bench_now(&b).ms - 2, "overdue");
        }
        bench_ready(&b, 120000);
        bench_end(&b);
    }
}
