/* The laboratory as a whole: modems that talk to each other through the channel, as their hosts see it. */
#include "ether/ether_core.h"
#include "ether/plan_core.h"
#include "prop.h"

#include <criterion/criterion.h>

#define ON                                                                                         \
    "\xc0\x01\x33\xd3\xe6\x08\xc0\x02\x00\x01\xe8\x48\xc0\x03\x0e\xc0\x04\x08\xc0\x05\x05\xc0\x06" \
    "\x01\xc0"

typedef struct {
    ether *e;
    uint64_t frames, heard, lost[LOST_VERDICTS];
    uint64_t trace; /* a hash of all that happened */
} lab;

static void note(lab *l, const channel_frame *f)
{
    l->frames++;
    for (uint32_t i = 0; i < ether_stations(l->e); i++) {
        l->heard += f->hearing[i].verdict == HEARD;
        l->lost[f->hearing[i].verdict]++;
        l->trace =
            (l->trace ^ (f->start.us + f->from * 977 + f->hearing[i].verdict)) * 0x100000001b3;
    }
}

static void wait_ms(lab *l, uint64_t ms)
{
    const channel_frame *f;
    air_us until = air_after(ether_now(l->e), ms * AIR_MS);
    while ((f = ether_step(l->e, until)) != NULL)
        note(l, f);
    cr_assert_eq(ether_now(l->e).us, until.us);
    cr_assert_gt(ether_next(l->e).us, until.us);
}

static void drain(lab *l, uint32_t station)
{
    modem *m = ether_modem(l->e, station);
    modem_output_taken(m, modem_output(m).len);
}

static lab lab_of(uint32_t n, uint64_t seed)
{
    const modem_board *boards[AIR_STATIONS_MAX];
    for (uint32_t i = 0; i < n; i++)
        boards[i] = modem_board_named("rak4631");
    ether_spec spec = {.stations = n,
                       .boards = boards,
                       .region = "eu868",
                       .seed = seed,
                       .tcp_timeout_us = MODEM_TCP_TIMEOUT_US};
    lab l = {.e = ether_new(&spec), .trace = 14695981039346656037ull};
    cr_assert_not_null(l.e);
    wait_ms(&l, 1000);
    for (uint32_t i = 0; i < n; i++)
        ether_feed(l.e, i, bytes_of(ON, sizeof ON - 1));
    wait_ms(&l, 400);
    for (uint32_t i = 0; i < n; i++)
        drain(&l, i);
    return l;
}

static void send(lab *l, uint32_t station, size_t n, uint8_t v)
{
    uint8_t wire[600] = {0xc0, 0x00};
    memset(wire + 2, v, n);
    wire[2 + n] = 0xc0;
    ether_feed(l->e, station, bytes_of(wire, n + 3));
}

/* Data frames that the host of a station got since it was drained. */
static size_t data_frames(lab *l, uint32_t station)
{
    bytes out = modem_output(ether_modem(l->e, station));
    size_t n = 0;
    for (size_t i = 0; i + 2 < out.len; i++)
        n += out.p[i] == 0xc0 && out.p[i + 1] == 0x00 && (i < 4 || out.p[i - 4] == 0xc0) &&
             out.p[i + 2] != 0xc0;
    return n;
}

static void change(lab *l, const char *line)
{
    channel_change c;
    buf why;
    buf_init(&why, 256);
    cr_assert_eq(plan_line(bytes_str(line), ether_stations(l->e), ether_now(l->e), &c, &why),
                 ERR_OK);
    cr_assert_eq(ether_change(l->e, &c), ERR_OK);
    buf_release(&why);
}

Test(ether, a_packet_goes_from_host_to_host)
{
    lab l = lab_of(3, 1);
    send(&l, 0, 2, 'h');
    wait_ms(&l, 1000);
    static const uint8_t heard[] = {0xc0, 0x23, 0x43, 0xc0, 0xc0, 0x24, 0x30,
                                    0xc0, 0xc0, 0,    'h',  'h',  0xc0};
    for (uint32_t i = 1; i < 3; i++) {
        bytes out = modem_output(ether_modem(l.e, i));
        cr_assert_not_null(memmem(out.p, out.len, heard, sizeof heard), "station %u", (unsigned)i);
    }
    cr_assert_eq(data_frames(&l, 0), 0);
    cr_assert(l.frames == 1 && l.heard == 2);
    ether_free(&l.e);
}

Test(ether, split_packets_arrive_whole)
{
    lab l = lab_of(2, 1);
    send(&l, 0, 400, 'x');
    wait_ms(&l, 3000);
    cr_assert_eq(l.frames, 2);
    bytes out = modem_output(ether_modem(l.e, 1));
    uint8_t expected[403] = {0xc0, 0x00};
    memset(expected + 2, 'x', 400);
    expected[402] = 0xc0;
    cr_assert_not_null(memmem(out.p, out.len, expected, sizeof expected));
    ether_free(&l.e);
}

/* Who waits for a busy channel sends when it is free; what is on the air is not disturbed. */
Test(ether, carrier_sense_keeps_them_apart)
{
    lab l = lab_of(2, 1);
    send(&l, 0, 200, 'a');
    wait_ms(&l, 500);
    send(&l, 1, 200, 'b');
    wait_ms(&l, 3000);
    cr_assert_eq(l.frames, 2);
    cr_assert_eq(l.heard, 2);
    ether_free(&l.e);
}

/* Two that were waiting for the same moment, neither for the first time: DIFS ends at once for both. */
Test(ether, lockstep_after_a_busy_channel)
{
    lab l = lab_of(3, 1);
    for (uint32_t i = 0; i < 3; i++) {
        send(&l, i, 20, 'a');
        wait_ms(&l, 2000);
    }
    uint64_t before = l.lost[LOST_SENDING] + l.lost[LOST_COLLIDED];
    cr_assert_eq(before, 0);
    send(&l, 0, 200, 'b');
    wait_ms(&l, 300);
    send(&l, 1, 20, 'c');
    send(&l, 2, 20, 'd');
    wait_ms(&l, 3000);
    cr_assert_eq(l.lost[LOST_SENDING], 2, "both sent in the same instant");
    ether_free(&l.e);
}

Test(ether, hidden_stations_collide)
{
    lab l = lab_of(3, 1);
    change(&l, "link 1 2 off");
    send(&l, 0, 200, 'a');
    send(&l, 1, 200, 'b');
    wait_ms(&l, 3000);
    cr_assert_eq(l.lost[LOST_COLLIDED], 2);
    cr_assert_eq(data_frames(&l, 2), 0);
    ether_free(&l.e);
}

Test(ether, a_reset_breaks_the_frame)
{
    lab l = lab_of(2, 1);
    send(&l, 0, 200, 'a');
    wait_ms(&l, 500);
    ether_do(l.e, 0, MODEM_FAULT_RESET, 0);
    wait_ms(&l, 1500);
    cr_assert_eq(l.lost[LOST_BROKEN], 1);
    ether_feed(l.e, 0, bytes_of(ON, sizeof ON - 1));
    wait_ms(&l, 500);
    send(&l, 0, 20, 'b');
    wait_ms(&l, 1500);
    cr_assert_eq(data_frames(&l, 1), 1);
    ether_free(&l.e);
}

Test(ether, recorded_frames_are_played)
{
    lab l = lab_of(2, 1);
    air_tuning t = *modem_tuning(ether_modem(l.e, 0));
    air_us at = air_after(ether_now(l.e), AIR_S);
    for (int i = 0; i < 3; i++) /* all at once: one behind the other */
        cr_assert_eq(ether_play(l.e, &t, bytes_of("\x50hi", 3), at), ERR_OK);
    cr_assert_eq(ether_to_play(l.e), 3);
    wait_ms(&l, 3000);
    cr_assert_eq(ether_to_play(l.e), 0);
    cr_assert_eq(data_frames(&l, 0), 3);
    cr_assert_eq(data_frames(&l, 1), 3);
    tally_row r;
    cr_assert(tally_get(ether_tally(l.e), 0, &r) && r.station == ether_player(l.e));
    cr_assert(r.frames == 3 && strcmp(r.band->name, "P") == 0);
    ether_free(&l.e);
}

/* Ten stations, an hour, from a seed. */
static lab busy_hour(uint64_t seed, uint64_t minutes)
{
    lab l = lab_of(10, seed);
    prop_rng rng = {seed};
    change(&l, "link * * rssi -105 fade 4 loss 10% burst 1% 20% 80%");
    change(&l, "link 2 3 off");
    change(&l, "at 20m cut 1,2,3 | 4,5,6");
    change(&l, "at 30m heal");
    change(&l, "at 40m jam 869.4-869.65 -84 for 5m");
    for (uint64_t s = 0; s < minutes * 60; s++) {
        for (uint32_t i = 0; i < 10; i++)
            if (prop_below(&rng, 20) == 0)
                send(&l, i, 1 + prop_below(&rng, 300), 'x');
        wait_ms(&l, 1000);
        for (uint32_t i = 0; i < 10; i++)
            drain(&l, i);
    }
    return l;
}

Test(ether, the_same_seed_the_same_hour, .timeout = 60)
{
    lab a = busy_hour(3, 60), b = busy_hour(3, 60), c = busy_hour(4, 60);
    cr_assert(a.frames == b.frames && a.trace == b.trace);
    cr_assert_neq(a.trace, c.trace);
    cr_assert_gt(a.frames, 1000);
    static const channel_verdict all[] = {LOST_SENDING,  LOST_CUT,    LOST_JAMMED,
                                          LOST_COLLIDED, LOST_CHANCE, LOST_BURST};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cr_assert_gt(a.lost[all[i]], 0, "%s", channel_verdict_names[all[i]]);
    ether_free(&a.e);
    ether_free(&b.e);
    ether_free(&c.e);
}
