/* MeshCore's driver at a modem that is played here from its published protocol. */
#include "radio-bridge/driver_core.h"
#include "radio-bridge/kiss_core.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define PREAMBLE 16u

typedef struct {
    driver *d;
    mono_ms now;
    kiss_reader in;
    buf out; /* towards the driver */
    uint8_t radio[10], txpower, txpower_max;
    uint8_t data[256];
    size_t data_len; /* the frame it is sending */
    bool open, silent, restarted;
    unsigned heard, sent, lost;
    driver_event last;
    uint8_t last_frame[RADIO_FRAME_MAX_BYTES];
} rig;

static void on_event(void *context, const driver_event *e)
{
    rig *r = context;
    r->heard += e->kind == DRIVER_HEARD;
    r->sent += e->kind == DRIVER_SENT && e->sure;
    r->lost += e->kind == DRIVER_LOST;
    r->last = *e;
    if (e->frame.len > 0)
        memcpy(r->last_frame, e->frame.p, e->frame.len);
}

static void answer(rig *r, uint8_t what, const void *p, size_t n)
{
    uint8_t wire[64] = {what};
    if (n > 0)
        memcpy(wire + 1, p, n);
    kiss_put(&r->out, 6, bytes_of(wire, n + 1));
}

static lora_modulation modulation(const rig *r)
{
    lora_modulation m = {.sf = r->radio[8], .cr = r->radio[9], .preamble_symbols = PREAMBLE};
    m.bw_hz = (uint32_t)r->radio[6] << 16 | (uint32_t)r->radio[5] << 8 | r->radio[4];
    return m;
}

static void on_airtime(rig *r, uint8_t n)
{
    lora_modulation m = modulation(r);
    uint32_t ms = (uint32_t)(airtime_us(&m, n) / 1000);
    uint8_t le[4] = {(uint8_t)ms, (uint8_t)(ms >> 8), (uint8_t)(ms >> 16), 0};
    answer(r, 0x8f, le, sizeof le);
}

static void on_hardware(rig *r, const uint8_t *p, size_t n)
{
    static const uint8_t version[2] = {2, 0}, floor_le[2] = {0x8a, 0xff};
    if (p[0] == 0x17)
        answer(r, 0x97, NULL, 0);
    else if (p[0] == 0x11)
        answer(r, 0x91, version, 2);
    else if (p[0] == 0x16)
        answer(r, 0x96, "Xiao nRF52", 10);
    else if (p[0] == 0x09 && n == 11)
        memcpy(r->radio, p + 1, 10), answer(r, 0xf0, NULL, 0);
    else if (p[0] == 0x0a)
        r->txpower = p[1] < r->txpower_max ? p[1] : r->txpower_max, answer(r, 0xf0, NULL, 0);
    else if (p[0] == 0x0b)
        answer(r, 0x8b, r->radio, 10);
    else if (p[0] == 0x0c)
        answer(r, 0x8c, &r->txpower, 1);
    else if (p[0] == 0x0f)
        on_airtime(r, p[1]);
    else if (p[0] == 0x10)
        answer(r, 0x90, floor_le, 2);
    r->restarted = r->restarted || p[0] == 0x18;
}

static void on_data(rig *r, const uint8_t *p, size_t n)
{
    static const uint8_t busy = 7;
    if (r->data_len > 0) {
        answer(r, 0xf1, &busy, 1);
        return;
    }
    memcpy(r->data, p, n);
    r->data_len = n;
}

static void pump(rig *r)
{
    bytes out = driver_output(r->d);
    for (size_t i = 0; i < out.len && !r->silent; i++) {
        if (!kiss_take(&r->in, out.p[i]))
            continue;
        if (r->in.data[0] == 6)
            on_hardware(r, r->in.data + 1, r->in.len - 1);
        else if (r->in.data[0] == 0)
            on_data(r, r->in.data + 1, r->in.len - 1);
    }
    driver_output_taken(r->d, out.len);
    driver_feed(r->d, buf_view(&r->out), r->now);
    buf_clear(&r->out);
}

static void wait_ms(rig *r, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        r->now.ms++;
        if (r->open && !driver_wants_line(r->d, r->now)) {
            driver_closed(r->d, r->now);
            r->open = false;
        } else if (!r->open && driver_wants_line(r->d, r->now)) {
            driver_opened(r->d, r->now);
            r->open = true;
        }
        pump(r);
        driver_advance(r->d, r->now);
    }
}

static rig *rig_new(int8_t txpower_dbm)
{
    static rig r;
    driver_settings set = {
        .hz = 869525000, .bw_hz = 125000, .sf = 8, .cr = 5, .txpower_dbm = txpower_dbm};
    r = (rig){.txpower_max = 22};
    buf_init(&r.out, 4096);
    kiss_reader_init(&r.in);
    r.d = driver_new(&driver_meshcore, &set, on_event, &r);
    cr_assert_not_null(r.d);
    return &r;
}

static void rig_end(rig *r)
{
    driver_free(r->d);
    buf_release(&r->out);
}

static rig *ready(rig *r)
{
    wait_ms(r, 100);
    cr_assert_eq(driver_state_of(r->d), DRIVER_READY, "%s", driver_why(r->d));
    return r;
}

static void tx_done(rig *r, uint8_t result)
{
    answer(r, 0xf8, &result, 1);
    r->data_len = 0;
    wait_ms(r, 1);
}

Test(driver_meshcore, finds_sets_and_sends)
{
    rig *r = ready(rig_new(14));
    cr_expect_str_eq(driver_about_of(r->d)->model, "Xiao nRF52");
    cr_expect_str_eq(driver_about_of(r->d)->firmware, "2");
    cr_assert_eq(driver_send(r->d, bytes_of("\xc0\xdb ok", 5), r->now), ERR_OK);
    cr_expect_eq(driver_send(r->d, bytes_str("more"), r->now), ERR_BUSY);
    wait_ms(r, 5000);
    cr_expect(bytes_eq(bytes_of(r->data, r->data_len), bytes_of("\xc0\xdb ok", 5)));
    cr_expect_eq(r->sent, 0, "not before it says so");
    tx_done(r, 1);
    cr_expect_eq(r->sent, 1);
    cr_expect_eq(driver_channel_of(r->d).noise_dbm, -118);
    rig_end(r);
}

Test(driver_meshcore, a_failed_and_a_refused_frame_are_lost)
{
    static const uint8_t busy = 7;
    rig *r = ready(rig_new(14));
    cr_assert_eq(driver_send(r->d, bytes_str("one"), r->now), ERR_OK);
    wait_ms(r, 10);
    tx_done(r, 0);
    cr_expect(r->lost == 1 && r->sent == 0);
    cr_assert_eq(driver_send(r->d, bytes_str("two"), r->now), ERR_OK);
    answer(r, 0xf1, &busy, 1);
    wait_ms(r, 10);
    cr_expect_eq(r->lost, 2);
    rig_end(r);
}

/* Its signal comes behind the frame, or does not. */
Test(driver_meshcore, hears_with_and_without_signal)
{
    static const uint8_t meta[2] = {(uint8_t)-30, (uint8_t)-101};
    rig *r = ready(rig_new(14));
    kiss_put(&r->out, 0, bytes_str("hello"));
    wait_ms(r, 20);
    cr_expect_eq(r->heard, 0, "waits for it");
    answer(r, 0xf9, meta, sizeof meta);
    wait_ms(r, 1);
    cr_expect(r->heard == 1 && r->last.rssi_dbm == -101 && r->last.snr_cdb == -750);
    kiss_put(&r->out, 0, bytes_str("first"));
    kiss_put(&r->out, 0, bytes_str("second"));
    wait_ms(r, 1);
    cr_expect_eq(r->heard, 2);
    wait_ms(r, 200);
    cr_expect_eq(r->heard, 3);
    cr_expect(bytes_eq(bytes_of(r->last_frame, r->last.frame.len), bytes_str("second")));
    rig_end(r);
}

/* The ledger must never hear less than the truth, nor much more. */
Test(driver_meshcore, airtime_follows_from_what_it_says)
{
    rig *r = ready(rig_new(14));
    lora_modulation m = modulation(r);
    for (size_t n = 1; n <= RADIO_FRAME_MAX_BYTES; n++) {
        uint64_t us = driver_airtime_us(r->d, n), want = airtime_us(&m, n);
        cr_assert(us >= want && us <= want + 2 * lora_quarters_us(&m, 4), "%zu: %llu %llu", n,
                  (unsigned long long)us, (unsigned long long)want);
    }
    rig_end(r);
}

Test(driver_meshcore, less_power_is_taken_as_it_is)
{
    rig *r = ready(rig_new(30));
    cr_expect_eq(driver_about_of(r->d)->txpower_dbm, 22);
    rig_end(r);
}

Test(driver_meshcore, what_it_never_sent_is_thrown_away)
{
    rig *r = ready(rig_new(14));
    cr_assert_eq(driver_send(r->d, bytes_str("stuck"), r->now), ERR_OK);
    wait_ms(r, 62000);
    cr_expect_eq(r->lost, 1);
    wait_ms(r, 3000);
    cr_expect(r->restarted, "its memory is emptied");
    rig_end(r);
}

Test(driver_meshcore, silence_is_found_out_and_mended)
{
    rig *r = ready(rig_new(14));
    r->silent = true;
    wait_ms(r, 13000);
    cr_expect_eq(driver_problem_of(r->d), DRIVER_STOPPED);
    wait_ms(r, 8000);
    cr_expect_eq(driver_problem_of(r->d), DRIVER_SILENT, "%s", driver_why(r->d));
    r->silent = false;
    wait_ms(r, 10000);
    ready(r);
    rig_end(r);
}

Test(driver_meshcore, survives_any_bytes_and_comes_back)
{
    static const uint8_t likely[] = {0xc0, 0xdb, 0xdc, 0x00, 0x06, 0x97, 0x91, 0x8b, 0xf8, 0xf9};
    prop_rng rng = prop_begin("driver_meshcore");
    rig *r = rig_new(14);
    for (int i = 0; i < 3000; i++) {
        for (uint64_t n = prop_below(&rng, 30); n > 0; n--)
            (void)buf_add_u8(&r->out, prop_below(&rng, 2) == 0
                                          ? (uint8_t)prop_u64(&rng)
                                          : likely[prop_below(&rng, sizeof likely)]);
        (void)!driver_send(r->d, bytes_str("x"), r->now);
        wait_ms(r, 1 + prop_below(&rng, 50));
    }
    buf_clear(&r->out);
    r->data_len = 0;
    wait_ms(r, 100000);
    ready(r);
    rig_end(r);
}
