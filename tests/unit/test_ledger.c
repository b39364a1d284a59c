/* The ledger against the law itself: the frames as they really were on air, in all hours of a long story. */
#include "base/limits.h"
#include "pure/crypto.h"
#include "radio-bridge/ledger_core.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define HOUR_US    3600000000ull
#define DWELL_US   20000000ull
#define FRAMES_MAX 4096u

static const radio_band *band_of(const char *region, uint32_t hz)
{
    const radio_band *b = radio_band_of(region, hz, 125000);
    cr_assert_not_null(b);
    return b;
}

/* ---- by hand ---- */

typedef struct {
    ledger *l;
    ledger_now now;
    buf file;
} desk;

static desk desk_of(bytes file, uint64_t boot, uint64_t mono, uint64_t wall)
{
    desk d = {.now = {boot, {mono}, {wall}}};
    cr_assert_eq(crypto_start(), ERR_OK);
    d.l = ledger_new(file, &d.now);
    cr_assert_not_null(d.l);
    buf_init(&d.file, LEDGER_FILE_MAX_BYTES);
    ledger_snapshot(d.l, &d.now, &d.file);
    return d;
}

static void close_desk(desk *d)
{
    ledger_free(d->l);
    buf_release(&d->file);
}

static err_t send(desk *d, const radio_band *b, uint64_t us)
{
    mono_ms earliest;
    err_t e = ledger_charge(d->l, b, us, &d->now, &earliest, &d->file);
    ledger_end(d->l, &d->now, &d->file);
    return e;
}

static desk rebooted(desk *d, uint64_t boot, uint64_t mono, uint64_t wall)
{
    desk next = desk_of(buf_view(&d->file), boot, mono, wall);
    close_desk(d);
    return next;
}

Test(ledger, an_hour_is_spent_and_comes_back)
{
    const radio_band *b = band_of("eu868", 868300000);
    desk d = desk_of(bytes_of(NULL, 0), 1, 5000, 0);
    mono_ms when;
    for (int i = 0; i < 36; i++, d.now.mono.ms += 10000)
        cr_assert_eq(send(&d, b, 1000000), ERR_OK, "%d", i);
    cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 36000000);
    cr_expect_eq(ledger_may(d.l, b, 1, &d.now, &when), ERR_BUSY);
    cr_expect_eq(when.ms, 3606000, "the second in which the first ended, and an hour");
    cr_expect_eq(ledger_may(d.l, b, 3000000, &d.now, &when), ERR_BUSY);
    cr_expect_eq(when.ms, 3626000, "when the third is an hour old");
    d.now.mono.ms = when.ms - 1;
    cr_expect_eq(ledger_may(d.l, b, 3000000, &d.now, &when), ERR_BUSY);
    d.now.mono.ms++;
    cr_expect_eq(ledger_may(d.l, b, 3000000, &d.now, &when), ERR_OK);
    cr_expect_eq(ledger_may(d.l, b, 36000001, &d.now, &when), ERR_TOO_LARGE);
    cr_expect_eq(ledger_spent_us(d.l, band_of("eu868", 869525000), &d.now), 0, "another sub-band");
    close_desk(&d);
}

Test(ledger, one_frame_at_a_time_and_it_counts_while_it_waits)
{
    const radio_band *b = band_of("eu868", 868300000);
    desk d = desk_of(bytes_of(NULL, 0), 1, 0, 0);
    mono_ms when;
    cr_assert_eq(ledger_charge(d.l, b, 20000000, &d.now, &when, &d.file), ERR_OK);
    d.now.mono.ms = 7200000; /* the modem has not said a word */
    cr_expect_eq(ledger_charge(d.l, b, 1, &d.now, &when, &d.file), ERR_BUSY);
    cr_expect_eq(ledger_may(d.l, b, 16000001, &d.now, &when), ERR_BUSY);
    cr_expect_eq(when.ms, 0);
    d = rebooted(&d, 1, 7200001, 0);
    cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 20000000, "nor to the next process");
    ledger_end(d.l, &d.now, &d.file);
    d.now.mono.ms += 3599000;
    cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 20000000);
    d.now.mono.ms += 2000;
    cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 0);
    close_desk(&d);
}

Test(ledger, dwell_time_is_counted_in_twenty_seconds)
{
    const radio_band *b = band_of("us915", 914900000);
    desk d = desk_of(bytes_of(NULL, 0), 1, 0, 0);
    mono_ms when;
    cr_assert_str_eq(b->name, "dwell");
    cr_expect_eq(ledger_may(d.l, b, 400001, &d.now, &when), ERR_TOO_LARGE);
    cr_assert_eq(send(&d, b, 300000), ERR_OK);
    cr_assert_eq(send(&d, b, 100000), ERR_OK);
    cr_expect_eq(ledger_may(d.l, b, 1, &d.now, &when), ERR_BUSY);
    cr_expect_eq(when.ms, 21000);
    close_desk(&d);
}

Test(ledger, another_boot_believes_a_vouched_clock_only)
{
    const radio_band *b = band_of("eu868", 868300000);
    uint64_t wall = 1800000000000;
    for (unsigned had = 0; had < 2; had++)
        for (unsigned has = 0; has < 2; has++) {
            desk d = desk_of(bytes_of(NULL, 0), 1, 500000, had ? wall : 0);
            cr_assert_eq(send(&d, b, 1000000), ERR_OK);
            d = rebooted(&d, 2, 1000, has ? wall + 3000000 : 0);
            d = rebooted(&d, 2, 2000, 0); /* and again, without a clock */
            cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 1000000);
            d.now.mono.ms = 600000 + LEDGER_WALL_ERROR_MS + 2000;
            cr_expect_eq(ledger_spent_us(d.l, b, &d.now), had && has ? 0 : 1000000);
            d.now.mono.ms = 3603000;
            cr_expect_eq(ledger_spent_us(d.l, b, &d.now), 0, "%u %u", had, has);
            close_desk(&d);
        }
}

Test(ledger, a_damaged_record_counts_as_an_hour_and_a_cut_one_does_not)
{
    const radio_band *b = band_of("eu868", 868300000);
    desk d = desk_of(bytes_of(NULL, 0), 1, 0, 0);
    mono_ms when;
    cr_assert_eq(send(&d, b, 1000000), ERR_OK);
    for (size_t cut = 1; cut < LEDGER_RECORD_BYTES; cut++) {
        desk e = desk_of(bytes_of(d.file.p, d.file.len - LEDGER_RECORD_BYTES + cut), 1, 0, 0);
        cr_expect_eq(ledger_spent_us(e.l, b, &e.now), 1000000);
        close_desk(&e);
    }
    for (size_t at = 0; at < d.file.len; at++) {
        d.file.p[at] ^= 0x10;
        desk e = desk_of(buf_view(&d.file), 1, 0, 0);
        ledger_end(e.l, &e.now, &e.file);
        cr_expect_eq(ledger_may(e.l, b, 1, &e.now, &when), ERR_BUSY, "byte %zu", at);
        close_desk(&e);
        d.file.p[at] ^= 0x10;
    }
    close_desk(&d);
}

/* ---- any story ---- */

typedef struct {
    uint64_t start, end; /* true µs */
} on_air;

typedef struct {
    prop_rng r;
    const radio_band *band;
    uint64_t us; /* true time */
    uint64_t boot, booted, slept;
    desk d;
    size_t synced; /* bytes of the file that a crash cannot take */
    on_air frame[FRAMES_MAX];
    size_t n;
    bool holds; /* the modem has a frame that it has not sent yet */
    uint64_t airtime, sent, asked, cuts, boots;
} story;

static ledger_now reading(story *s)
{
    ledger_now now = {.boot = s->boot, .mono = {(s->us - s->booted - s->slept) / 1000}};
    uint64_t error = prop_below(&s->r, LEDGER_WALL_ERROR_MS);
    if (prop_below(&s->r, 3) > 0) /* else it was stepped about and nobody vouches for it */
        now.wall.ms = 1800000000000 + s->us / 1000 + error / 2;
    return now;
}

static void modem_sends(story *s)
{
    if (!s->holds)
        return;
    s->us += prop_below(&s->r, 30000000); /* waits for a free channel */
    s->frame[s->n++] = (on_air){s->us, s->us + s->airtime};
    s->us += s->airtime;
    s->holds = false;
}

static void start(story *s, bytes file)
{
    ledger_now now = reading(s);
    s->d = desk_of(file, now.boot, now.mono.ms, now.wall.ms);
    s->synced = s->d.file.len;
}

/* SIGKILL, or the power: what was not synced may be there in part. */
static void crash(story *s)
{
    size_t keep = s->synced + prop_below(&s->r, s->d.file.len - s->synced + 1);
    buf file;
    bool reboots = prop_below(&s->r, 3) == 0;
    buf_init(&file, LEDGER_FILE_MAX_BYTES);
    cr_assert(buf_add(&file, s->d.file.p, keep));
    close_desk(&s->d);
    if (prop_below(&s->r, 12) == 0 && keep > 0)
        file.p[prop_below(&s->r, keep)] ^= (uint8_t)(1 + prop_below(&s->r, 255));
    if (prop_below(&s->r, 2) == 0)
        modem_sends(s); /* while nobody looks */
    s->us += prop_below(&s->r, 4) == 0 ? prop_below(&s->r, HOUR_US) : prop_below(&s->r, 5000000);
    if (reboots)
        s->boot++, s->boots++, s->booted = s->us, s->slept = 0;
    start(s, buf_view(&file));
    buf_release(&file);
    s->cuts++;
}

static void try_to_send(story *s)
{
    mono_ms when;
    s->d.now = reading(s);
    s->airtime = 20000 + prop_below(&s->r, s->band->dwell_max_us > 0 ? 380000 : 2500000);
    s->asked++;
    if (ledger_charge(s->d.l, s->band, s->airtime, &s->d.now, &when, &s->d.file) != ERR_OK)
        return;
    if (prop_below(&s->r, 20) == 0) {
        crash(s); /* before it was on disk: the modem never got it */
        return;
    }
    s->synced = s->d.file.len;
    s->holds = true;
    s->sent++;
    if (prop_below(&s->r, 20) == 0)
        crash(s);
    modem_sends(s);
    s->d.now = reading(s);
    ledger_end(s->d.l, &s->d.now, &s->d.file);
    if (prop_below(&s->r, 20) == 0)
        crash(s);
}

static uint64_t within(const on_air *f, uint64_t from, uint64_t to)
{
    uint64_t a = f->start > from ? f->start : from, b = f->end < to ? f->end : to;
    return a < b ? b - a : 0;
}

/* The worst windows begin with a frame or end with one. */
static void expect_lawful(const story *s, uint64_t window, uint64_t limit)
{
    for (size_t i = 0; i < s->n; i++) {
        uint64_t from_here = 0, to_here = 0, end = s->frame[i].end;
        for (size_t j = 0; j < s->n; j++) {
            from_here += within(&s->frame[j], s->frame[i].start, s->frame[i].start + window);
            to_here += within(&s->frame[j], end > window ? end - window : 0, end);
        }
        cr_assert_leq(from_here, limit, "seed story, frame %zu", i);
        cr_assert_leq(to_here, limit, "seed story, frame %zu", i);
    }
}

static void play(const char *region, uint32_t hz, uint64_t seed, uint64_t *sent)
{
    static story s;
    s = (story){.r = {seed}, .band = band_of(region, hz), .us = HOUR_US, .boot = 1};
    start(&s, bytes_of(NULL, 0));
    while (s.asked < 1500 && s.n + 2 < FRAMES_MAX) {
        uint64_t pause = prop_below(&s.r, prop_below(&s.r, 50) == 0 ? HOUR_US : 20000000);
        s.us += pause;
        if (prop_below(&s.r, 30) == 0)
            s.slept += pause;                   /* suspended: the monotonic clock stood still */
        ledger_end(s.d.l, &s.d.now, &s.d.file); /* of a crash: the modem was reset */
        try_to_send(&s);
        if (prop_below(&s.r, 60) == 0)
            crash(&s);
    }
    expect_lawful(&s, HOUR_US, radio_band_hour_us(s.band));
    expect_lawful(&s, DWELL_US, s.band->dwell_max_us == 0 ? UINT64_MAX : s.band->dwell_max_us);
    cr_assert(s.cuts > 5 && s.boots > 0, "a story without adventures");
    *sent += s.sent;
    close_desk(&s.d);
}

Test(ledger, no_story_breaks_the_law, .timeout = 300)
{
    prop_rng r = prop_begin("ledger");
    uint64_t sent[3] = {0};
    for (int i = 0; i < 12; i++) {
        play("eu868", 868300000, prop_u64(&r), &sent[0]);
        play("eu868", 864000000, prop_u64(&r), &sent[1]);
        play("us915", 914900000, prop_u64(&r), &sent[2]);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_gt(sent[i], 300, "band %d: a law that is kept by silence", i);
}
