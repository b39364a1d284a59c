/* The channel: who hears what, to the dB and the µs, and that chance comes from the seed alone. */
#include "ether/channel_core.h"
#include "ether/plan_core.h"
#include "prop.h"

#include <criterion/criterion.h>

typedef struct {
    channel *c;
    uint32_t n;
    uint64_t us;
    const channel_frame *last;
} lab;

static air_tuning tuned(uint8_t sf, uint32_t hz)
{
    return (air_tuning){.lora = rnode_modulation(LORA_SX126X, sf, 5, 125000),
                        .hz = hz,
                        .txpower_dbm = 14,
                        .on = true};
}

static const uint32_t hz = 868100000;

static air_us now(const lab *l)
{
    return (air_us){l->us};
}

static lab lab_of(uint32_t n, uint64_t seed)
{
    lab l = {channel_new(n, seed), n, 0, NULL};
    air_tuning t = tuned(8, hz);
    cr_assert_not_null(l.c);
    for (uint32_t i = 0; i < n; i++)
        channel_tune(l.c, i, &t, now(&l));
    return l;
}

static void say(lab *l, const char *line)
{
    channel_change change;
    buf why;
    buf_init(&why, 256);
    cr_assert_eq(plan_line(bytes_str(line), l->n, now(l), &change, &why), ERR_OK, "%s: %.*s", line,
                 (int)why.len, why.p);
    cr_assert_eq(channel_change_at(l->c, &change, now(l)), ERR_OK);
    buf_release(&why);
}

static uint64_t put_tuned(lab *l, uint32_t from, size_t len, const air_tuning *t)
{
    static const uint8_t bytes_[255] = {1, 2, 3};
    air_us end;
    cr_assert_eq(channel_send(l->c, from, t, bytes_of(bytes_, len), now(l), &end), ERR_OK);
    return end.us;
}

static uint64_t put(lab *l, uint32_t from, size_t len)
{
    air_tuning t = tuned(8, hz);
    return put_tuned(l, from, len, &t);
}

/* Time passes; the frame that ended last is kept. */
static void pass(lab *l, uint64_t us)
{
    uint64_t until = l->us + us;
    for (air_us t = channel_next(l->c); t.us <= until; t = channel_next(l->c)) {
        const channel_frame *f = channel_advance(l->c, t);
        l->us = t.us;
        if (f != NULL) {
            l->last = f;
            return;
        }
    }
    l->us = until;
    cr_assert_null(channel_advance(l->c, now(l)));
}

static const channel_frame *finish(lab *l)
{
    l->last = NULL;
    while (l->last == NULL) {
        cr_assert_neq(channel_next(l->c).us, AIR_NEVER.us, "nothing is on the air");
        pass(l, 3600 * AIR_S);
    }
    return l->last;
}

#define expect(f, to, verdict_)                                                                    \
    cr_assert_eq((f)->hearing[to].verdict, verdict_, "station %u: %s", (unsigned)(to),             \
                 channel_verdict_names[(f)->hearing[to].verdict])

Test(channel, a_frame_is_heard)
{
    lab l = lab_of(3, 1);
    uint64_t end = put(&l, 0, 20);
    air_tuning t = tuned(8, hz);
    cr_assert_eq(end, airtime_us(&t.lora, 20));
    const channel_frame *f = finish(&l);
    cr_assert(f->from == 0 && f->start.us == 0 && f->end.us == end && f->len == 20 && l.us == end);
    cr_assert_eq(f->bytes[1], 2);
    expect(f, 0, LOST_SELF);
    expect(f, 1, HEARD);
    expect(f, 2, HEARD);
    cr_assert_eq(f->hearing[1].signal.rssi_cdbm, -9000);
    cr_assert_eq(f->hearing[1].signal.snr_cdb, 1200, "the chip reports no more");
    channel_free(&l.c);
}

Test(channel, level_noise_and_power)
{
    lab l = lab_of(2, 1);
    say(&l, "link 1 2 rssi -118.5");
    put(&l, 0, 20);
    const channel_frame *f = finish(&l);
    expect(f, 1, HEARD);
    cr_assert_eq(f->hearing[1].signal.rssi_cdbm, -11850);
    cr_assert_eq(f->hearing[1].signal.snr_cdb, -11850 + 17400 - 600 - 5097); /* -1.47 dB */
    air_tuning t = tuned(8, hz);
    t.txpower_dbm = 22;
    put_tuned(&l, 0, 20, &t);
    f = finish(&l);
    cr_assert_eq(f->hearing[1].signal.rssi_cdbm, -11050);
    say(&l, "noise 2 20");
    put(&l, 0, 20);
    expect(finish(&l), 1, LOST_WEAK);
    channel_free(&l.c);
}

/* SF8's limit is -10 dB, SF12's -20: at 125 kHz that is -127 and -137 dBm; the cliff is 2 dB wide. */
Test(channel, the_limit_of_each_spreading_factor)
{
    static const uint8_t sfs[] = {7, 8, 9, 10, 11, 12};
    for (size_t i = 0; i < sizeof sfs; i++) {
        lab l = lab_of(2, 1);
        air_tuning t = tuned(sfs[i], hz);
        int16_t limit = (int16_t)(-11703 - 250 * (sfs[i] - 4));
        channel_change at = {.kind = CHANGE_LINK, .fields = LINK_RSSI, .both_ways = true};
        station_add(&at.from, 0);
        station_add(&at.to, 1);
        channel_tune(l.c, 1, &t, now(&l));
        int heard = 0;
        for (int k = 0; k < 200; k++) {
            at.link.rssi_cdbm = limit;
            cr_assert_eq(channel_change_at(l.c, &at, now(&l)), ERR_OK);
            put_tuned(&l, 0, 10, &t);
            heard += finish(&l)->hearing[1].verdict == HEARD;
        }
        cr_assert(heard > 70 && heard < 130, "SF%u at its limit: %d of 200", sfs[i], heard);
        at.link.rssi_cdbm = (int16_t)(limit + 101);
        cr_assert_eq(channel_change_at(l.c, &at, now(&l)), ERR_OK);
        put_tuned(&l, 0, 10, &t);
        expect(finish(&l), 1, HEARD);
        at.link.rssi_cdbm = (int16_t)(limit - 101);
        cr_assert_eq(channel_change_at(l.c, &at, now(&l)), ERR_OK);
        put_tuned(&l, 0, 10, &t);
        expect(finish(&l), 1, LOST_WEAK);
        channel_free(&l.c);
    }
}

Test(channel, only_those_tuned_alike)
{
    lab l = lab_of(6, 1);
    air_tuning t = tuned(9, hz);
    channel_tune(l.c, 1, &t, now(&l));
    t = tuned(8, hz + 200000);
    channel_tune(l.c, 2, &t, now(&l));
    t = tuned(8, hz + 30000);
    channel_tune(l.c, 3, &t, now(&l));
    t.on = false;
    channel_tune(l.c, 4, &t, now(&l));
    put(&l, 0, 20);
    const channel_frame *f = finish(&l);
    expect(f, 1, LOST_TUNED);
    expect(f, 2, LOST_TUNED);
    expect(f, 3, HEARD); /* within a quarter of the bandwidth */
    expect(f, 4, LOST_OFF);
    expect(f, 5, HEARD);
    channel_free(&l.c);
}

/* Thirteen of the eighteen symbols of preamble may be missed, not fourteen. */
Test(channel, switched_on_in_the_middle)
{
    air_tuning t = tuned(8, hz), off = t;
    off.on = false;
    for (int late = 0; late < 2; late++) {
        lab l = lab_of(2, 1);
        channel_tune(l.c, 1, &off, now(&l));
        put(&l, 0, 20);
        pass(&l, 13 * 2048 + (late ? 1 : 0));
        channel_tune(l.c, 1, &t, now(&l));
        expect(finish(&l), 1, late ? LOST_OFF : HEARD);
        channel_free(&l.c);
    }
}

Test(channel, half_duplex)
{
    lab l = lab_of(3, 1);
    say(&l, "link 1 2 rssi -60"); /* strong enough to win against anything */
    put(&l, 0, 200);
    pass(&l, 100 * AIR_MS);
    uint64_t end = put(&l, 1, 2);
    const channel_frame *f = finish(&l);
    cr_assert(f->from == 1 && f->end.us == end);
    expect(f, 0, LOST_SENDING);
    f = finish(&l);
    expect(f, 1, LOST_SENDING);
    put(&l, 0, 20);
    expect(finish(&l), 1, HEARD); /* and listens again afterwards */
    channel_free(&l.c);
}

/* What the sender's turn leaves of a preamble is enough, if five symbols remain. */
Test(channel, listens_again_within_the_preamble)
{
    lab l = lab_of(2, 1);
    uint64_t end = put(&l, 1, 2);
    l.us = end - 12 * 2048;
    cr_assert_null(channel_advance(l.c, now(&l)));
    put(&l, 0, 20);
    finish(&l);
    expect(finish(&l), 1, HEARD);
    channel_free(&l.c);
}

static channel_verdict duel(int16_t difference_cdb, uint64_t after_us, uint8_t other_sf,
                            int *culprit)
{
    lab l = lab_of(4, 1);
    channel_change at = {.kind = CHANGE_LINK, .fields = LINK_RSSI};
    station_add(&at.from, 0);
    station_add(&at.to, 2);
    at.link.rssi_cdbm = (int16_t)(-9000 + difference_cdb);
    cr_assert_eq(channel_change_at(l.c, &at, now(&l)), ERR_OK);
    air_tuning other = tuned(other_sf, hz);
    put_tuned(&l, 1, 20, &other);
    pass(&l, after_us);
    put(&l, 0, 100);
    const channel_frame *f = finish(&l);
    while (f->from != 0)
        f = finish(&l);
    *culprit = (int)f->hearing[2].culprit;
    channel_verdict v = f->hearing[2].verdict;
    channel_free(&l.c);
    return v;
}

Test(channel, capture_takes_six_decibel)
{
    int culprit;
    cr_assert_eq(duel(0, 50 * AIR_MS, 8, &culprit), LOST_COLLIDED);
    cr_assert_eq(culprit, 1);
    cr_assert_eq(duel(599, 50 * AIR_MS, 8, &culprit), LOST_COLLIDED);
    cr_assert_eq(duel(600, 50 * AIR_MS, 8, &culprit), HEARD);
    cr_assert_eq(duel(-2000, 50 * AIR_MS, 8, &culprit), LOST_COLLIDED);
}

/* The first frame is over before the last five symbols of the second one's preamble. */
Test(channel, what_hits_the_preamble_only_does_no_harm)
{
    air_tuning t = tuned(8, hz);
    uint64_t first = airtime_us(&t.lora, 20);
    int culprit;
    cr_assert_eq(duel(0, first - 13 * 2048, 8, &culprit), HEARD);
    cr_assert_eq(duel(0, first - 13 * 2048 - 1, 8, &culprit), LOST_COLLIDED);
}

/* SF8 against SF7 survives down to -24 dB, against SF12 to -22. */
Test(channel, other_spreading_factors_hardly_disturb)
{
    int culprit;
    cr_assert_eq(duel(0, 20 * AIR_MS, 7, &culprit), HEARD);
    cr_assert_eq(duel(-2400, 20 * AIR_MS, 7, &culprit), HEARD);
    cr_assert_eq(duel(-2401, 20 * AIR_MS, 7, &culprit), LOST_COLLIDED);
    cr_assert_eq(duel(-2200, 20 * AIR_MS, 12, &culprit), HEARD);
    cr_assert_eq(duel(-2201, 20 * AIR_MS, 12, &culprit), LOST_COLLIDED);
}

Test(channel, both_are_lost_where_nobody_is_stronger)
{
    lab l = lab_of(3, 1);
    put(&l, 0, 50);
    put(&l, 1, 50);
    const channel_frame *f = finish(&l);
    expect(f, 2, LOST_COLLIDED);
    f = finish(&l);
    expect(f, 2, LOST_COLLIDED);
    put(&l, 0, 50);
    expect(finish(&l), 2, HEARD);
    channel_free(&l.c);
}

Test(channel, one_way_links_and_partitions)
{
    lab l = lab_of(4, 1);
    say(&l, "way 1 2 off");
    put(&l, 0, 20);
    const channel_frame *f = finish(&l);
    expect(f, 1, LOST_CUT);
    expect(f, 2, HEARD);
    put(&l, 1, 20);
    expect(finish(&l), 0, HEARD);
    say(&l, "cut 1,2 | 3");
    put(&l, 1, 20);
    f = finish(&l);
    expect(f, 0, HEARD);
    expect(f, 2, LOST_CUT);
    expect(f, 3, LOST_CUT);
    say(&l, "heal");
    put(&l, 1, 20);
    f = finish(&l);
    expect(f, 2, HEARD);
    expect(f, 3, HEARD);
    channel_free(&l.c);
}

Test(channel, a_timetable)
{
    lab l = lab_of(2, 1);
    say(&l, "at 20s heal");
    say(&l, "at 10s cut 1 | 2");
    for (uint64_t s = 0; s < 30; s += 2) {
        put(&l, 0, 10);
        expect(finish(&l), 1, s >= 10 && s < 20 ? LOST_CUT : HEARD);
        uint64_t until = (s + 2) * AIR_S;
        while (l.us < until)
            pass(&l, until - l.us);
    }
    channel_free(&l.c);
}

Test(channel, jamming)
{
    lab l = lab_of(3, 1);
    bool dcd;
    int16_t rssi;
    say(&l, "jam 868.0-868.2 -70 for 10s at 2");
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(!dcd && rssi == -7000);
    channel_sense(l.c, 2, &dcd, &rssi);
    cr_assert_eq(rssi, -11703);
    put(&l, 0, 20);
    const channel_frame *f = finish(&l);
    expect(f, 1, LOST_JAMMED);
    expect(f, 2, HEARD);
    air_tuning t = tuned(8, 868400000);
    channel_tune(l.c, 1, &t, now(&l));
    put_tuned(&l, 0, 20, &t);
    expect(finish(&l), 1, HEARD); /* beside it */
    t = tuned(8, hz);
    channel_tune(l.c, 1, &t, now(&l));
    pass(&l, 10 * AIR_S);
    put(&l, 0, 20);
    expect(finish(&l), 1, HEARD);
    channel_free(&l.c);
}

Test(channel, a_broken_frame)
{
    lab l = lab_of(2, 1);
    put(&l, 0, 200);
    pass(&l, 100 * AIR_MS);
    channel_break(l.c, 0, now(&l));
    const channel_frame *f = finish(&l);
    cr_assert_eq(f->end.us, 100 * AIR_MS);
    expect(f, 1, LOST_BROKEN);
    put(&l, 0, 20);
    expect(finish(&l), 1, HEARD);
    channel_free(&l.c);
}

/* ---- carrier sense ---- */

Test(channel, carrier_sense_is_blind_at_first)
{
    lab l = lab_of(2, 1);
    bool dcd;
    int16_t rssi;
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(!dcd && rssi == -11703);
    uint64_t end = put(&l, 0, 20);
    pass(&l, 999);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(!dcd && rssi == -11703);
    pass(&l, 1);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(!dcd && rssi == -9000, "energy");
    pass(&l, 5 * 2048 - 1000);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(dcd, "LoRa");
    pass(&l, end);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(!dcd && rssi == -11703);
    channel_free(&l.c);
}

/* Below the noise LoRa is still seen, energy is not. */
Test(channel, carrier_below_the_noise)
{
    lab l = lab_of(2, 1);
    bool dcd;
    int16_t rssi;
    say(&l, "link 1 2 rssi -125");
    put(&l, 0, 20);
    pass(&l, 20 * AIR_MS);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert(dcd && rssi == -11703);
    channel_free(&l.c);
}

Test(channel, hidden_stations_are_not_sensed)
{
    lab l = lab_of(3, 1);
    bool dcd;
    int16_t rssi;
    say(&l, "link 1 2 off");
    put(&l, 0, 50);
    pass(&l, 50 * AIR_MS);
    channel_sense(l.c, 1, &dcd, &rssi);
    cr_assert_not(dcd);
    put(&l, 1, 50);
    expect(finish(&l), 2, LOST_COLLIDED);
    channel_free(&l.c);
}

/* ---- chance ---- */

static int heard_of(lab *l, uint32_t from, uint32_t to, int frames, uint64_t every_us)
{
    int heard = 0;
    for (int i = 0; i < frames; i++) {
        put(l, from, 5);
        heard += finish(l)->hearing[to].verdict == HEARD;
        for (uint64_t until = l->us + every_us; l->us < until;)
            pass(l, until - l->us);
    }
    return heard;
}

Test(channel, loss_per_pair)
{
    lab l = lab_of(3, 1);
    say(&l, "way 1 2 loss 30%");
    int heard = heard_of(&l, 0, 1, 4000, 1);
    cr_assert(heard > 2700 && heard < 2900, "%d of 4000", heard); /* 2800 ± 3.4 sigma */
    cr_assert_eq(heard_of(&l, 1, 0, 200, 1), 200);
    cr_assert_eq(heard_of(&l, 0, 2, 200, 1), 200);
    channel_free(&l.c);
}

/* Bad a sixth of the time (2 % a second to begin, 10 % to end), 90 % lost then: 85 % heard; and losses stand together. */
Test(channel, bursts)
{
    lab l = lab_of(2, 1);
    say(&l, "link 1 2 burst 2% 10% 90%");
    int heard = 0, lost_after_lost = 0, lost = 0;
    bool before = false;
    for (int i = 0; i < 20000; i++) {
        put(&l, 0, 5);
        bool gone = finish(&l)->hearing[1].verdict == LOST_BURST;
        heard += !gone;
        lost += gone;
        lost_after_lost += gone && before;
        before = gone;
        for (uint64_t until = l.us + AIR_S; l.us < until;)
            pass(&l, until - l.us);
    }
    cr_assert(heard > 16400 && heard < 17600, "%d of 20000", heard);
    cr_assert(lost_after_lost * 10 > lost * 6, "%d of %d losses follow one", lost_after_lost, lost);
    /* after a long silence the state is drawn anew */
    heard = heard_of(&l, 0, 1, 400, 5000 * AIR_S);
    cr_assert(heard > 310 && heard < 370, "%d of 400", heard);
    channel_free(&l.c);
}

Test(channel, fading)
{
    lab l = lab_of(2, 1);
    double sum = 0, squares = 0;
    say(&l, "link 1 2 fade 4");
    for (int i = 0; i < 4000; i++) {
        put(&l, 0, 5);
        double d = (finish(&l)->hearing[1].signal.rssi_cdbm + 9000) / 100.0;
        sum += d;
        squares += d * d;
    }
    cr_assert(sum / 4000 > -0.25 && sum / 4000 < 0.25);
    cr_assert(squares / 4000 > 15 && squares / 4000 < 17, "%f", squares / 4000);
    channel_free(&l.c);
}

static void story(lab *l, uint8_t *out, size_t n)
{
    size_t at = 0;
    prop_rng rng = {99};
    while (at < n) {
        uint32_t from = (uint32_t)prop_below(&rng, 4);
        put(l, from, 5 + prop_below(&rng, 100));
        const channel_frame *f = finish(l);
        for (uint32_t r = 0; r < 4 && at < n; r++)
            out[at++] = (uint8_t)f->hearing[r].verdict;
    }
}

/* The same seed, the same fate; another one, another; and one station more changes nothing between the others. */
Test(channel, the_seed_decides)
{
    uint8_t a[4000], b[4000];
    static const char plan[] = "link * * loss 20% fade 6 rssi -120 burst 3% 20% 70%";
    const struct {
        uint32_t n;
        uint64_t seed;
        bool same;
    } rows[] = {{4, 5, true}, {4, 6, false}, {7, 5, true}};
    lab l = lab_of(4, 5);
    say(&l, plan);
    story(&l, a, sizeof a);
    channel_free(&l.c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        l = lab_of(rows[i].n, rows[i].seed);
        say(&l, plan);
        story(&l, b, sizeof b);
        cr_assert_eq(memcmp(a, b, sizeof a) == 0, rows[i].same, "row %zu", i);
        channel_free(&l.c);
    }
}
