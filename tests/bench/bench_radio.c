/* What replication over LoRa costs, in virtual time: ten stations with the real planner, codec, seals, frames and ledger
 * on the ether's channel; one cell, SF8, 125 kHz, 1 % each. Edits are one field of one record of a real survey.
 *
 *   ./tests/run bench-radio        all of it; CAIRN_BENCH_RADIO_H=1 for one hour instead of six */
#include "tests/unit/radio_world.h"
#include "tests/unit/survey.h"

#include "proto/mp.h"
#include "pure/radio_say.h"

#include <math.h>

#define STATIONS 10u
#define MINUTE   60000000ull

static survey flood;

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* ---- edits ---- */

/* One field of some record, with a value that some record of the survey has there. */
static void pick_field(prop_rng *r, buf *payload)
{
    event_view v;
    size_t i = prop_below(r, flood.n);
    must(event_parse(survey_body(&flood, i), &v) == ERR_OK);
    mp_reader m = mp_reader_of(v.payload);
    uint32_t n = mp_map(&m), pick = (uint32_t)prop_below(r, n);
    for (uint32_t k = 0; k <= pick; k++) {
        bytes key = mp_str(&m), value = mp_any(&m);
        if (k < pick)
            continue;
        mp_put_map(payload, 1);
        mp_put_str(payload, key);
        buf_add_bytes(payload, value);
    }
    must(m.err == ERR_OK);
}

static void write_edit(radio_world *w, uint32_t station, feed_class class)
{
    event_view v;
    buf payload, body;
    event_reference ref = {.full = {(feed_id)(1 + prop_below(&w->rng, 4)),
                                    1 + prop_below(&w->rng, 60), (uint16_t)prop_u64(&w->rng)}};
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&body, EVENT_MAX_BYTES);
    must(event_parse(survey_body(&flood, prop_below(&w->rng, 60)), &v) == ERR_OK);
    pick_field(&w->rng, &payload);
    event_fields f = {.stamp = {1700000000000u + w->now_us / 1000, 0},
                      .replaces = &ref,
                      .n_replaces = 1,
                      .category = v.category,
                      .stream = v.stream,
                      .kind = bytes_str("field.set"),
                      .payload = buf_view(&payload)};
    must(event_build(&f, &body) == ERR_OK);
    world_write(w, station, class, buf_view(&body), true);
    world_tell(w, station);
    buf_release(&payload);
    buf_release(&body);
}

/* Until the next event of a Poisson process. */
static uint64_t gap_us(prop_rng *r, double per_hour)
{
    double u = ((double)(prop_u64(r) >> 11) + 1) / 9007199254740993.0;
    return (uint64_t)(-log(u) * 3600e6 / per_hour);
}

static void work_day(radio_world *w, double per_hour, uint64_t end_us)
{
    uint64_t next[STATIONS];
    for (uint32_t i = 0; i < STATIONS; i++)
        next[i] = w->now_us + gap_us(&w->rng, per_hour);
    for (;;) {
        uint32_t first = 0;
        for (uint32_t i = 1; i < STATIONS; i++)
            first = next[i] < next[first] ? i : first;
        if (next[first] >= end_us)
            break;
        world_run(w, next[first]);
        write_edit(w, first, CLASS_ROUTINE);
        next[first] += gap_us(&w->rng, per_hour);
    }
    world_run(w, end_us);
}

/* ---- what it came to ---- */

typedef struct {
    uint64_t events, done, bytes, worst_us, air_us, p50_ms, p95_ms;
    uint64_t kind_bytes[RADIO_KIND_MAX + 1];
} outcome;

static outcome measure(const radio_world *w, uint64_t from_ms)
{
    static uint64_t waits[65536];
    outcome o = {0};
    for (uint32_t f = 0; f < w->n_feeds; f++)
        for (size_t i = 0; i < w->feeds[f].n; i++) {
            const world_event *e = &w->feeds[f].events[i];
            if (e->at_ms < from_ms)
                continue;
            o.events++;
            if (e->all_ms != 0 && o.done < sizeof waits / sizeof *waits)
                waits[o.done++] = e->all_ms - e->at_ms;
        }
    for (uint32_t i = 0; i < w->spec.stations; i++) {
        const world_station *s = &w->station[i];
        uint64_t hour = world_worst_hour_us(w, i);
        o.bytes += s->bytes;
        o.air_us += s->spent_us;
        o.worst_us = hour > o.worst_us ? hour : o.worst_us;
        for (unsigned k = 0; k <= RADIO_KIND_MAX; k++)
            o.kind_bytes[k] += s->kind_bytes[k];
    }
    if (o.done > 0) {
        qsort(waits, o.done, sizeof *waits, by_size);
        o.p50_ms = waits[o.done / 2];
        o.p95_ms = waits[o.done * 95 / 100];
    }
    return o;
}

static world_spec spec_of(uint32_t loss_ppm)
{
    return (world_spec){.stations = STATIONS,
                        .states =
                            16, /* more than a node keeps: only for speed, the bytes are the same */
                        .seed = 20260101 + loss_ppm,
                        .loss_ppm = loss_ppm,
                        .band = radio_band_of("eu868", 868200000, 125000)};
}

static void bench_load(double per_hour, uint32_t loss_ppm, uint64_t hours)
{
    world_spec s = spec_of(loss_ppm);
    radio_world *w = world_new(&s);
    uint64_t answers = 0, code = 0, said = 0;
    work_day(w, per_hour, hours * WORLD_HOUR_US);
    double day_s = (double)w->now_us / 1e6;
    uint64_t end = w->now_us + 30 * MINUTE; /* what was written last still has to arrive */
    while (!world_equal(w) && w->now_us < end)
        world_run(w, w->now_us + MINUTE);
    outcome o = measure(w, 0);
    for (uint32_t i = 0; i < STATIONS; i++) {
        const radio_counts *c = radio_counted(w->station[i].core);
        answers += c->answers_said;
        code += c->code_bytes;
        said += c->events_said;
    }
    double e = o.done > 0 ? (double)o.done : 1;
    printf("%3.0f/h %2u %%: %5.1f B/event (runs %.1f, parts %.1f, beacons %.1f, wants %.1f), p50 "
           "%4.0f s, p95 "
           "%4.0f s, channel %.2f %%, worst hour of a station %.2f %%, %llu of %llu at all, %.1f B "
           "code/event "
           "said, %llu answers\n",
           per_hour, loss_ppm / 10000, (double)o.bytes / e,
           (double)o.kind_bytes[RADIO_KIND_RUN] / e, (double)o.kind_bytes[RADIO_KIND_PART] / e,
           (double)o.kind_bytes[RADIO_KIND_BEACON] / e, (double)o.kind_bytes[RADIO_KIND_WANT] / e,
           (double)o.p50_ms / 1e3, (double)o.p95_ms / 1e3, (double)o.air_us / day_s / 1e4,
           (double)o.worst_us / 36e6, (unsigned long long)o.done, (unsigned long long)o.events,
           said > 0 ? (double)code / (double)said : 0, (unsigned long long)answers);
    fflush(stdout);
    world_free(w);
}

/* An urgent event every ten minutes while the others work. */
static void bench_urgent(uint32_t loss_ppm, uint64_t hours)
{
    world_spec s = spec_of(loss_ppm);
    radio_world *w = world_new(&s);
    static uint64_t waits[1024];
    size_t n = 0, all = 0;
    while (w->now_us < hours * WORLD_HOUR_US) {
        work_day(w, 20, w->now_us + 10 * MINUTE);
        write_edit(w, (uint32_t)prop_below(&w->rng, STATIONS), CLASS_EXPRESS);
    }
    world_run(w, w->now_us + 10 * MINUTE);
    for (uint32_t f = 0; f < w->n_feeds; f++)
        for (size_t i = 0; feed_class_of(w->feeds[f].feed) == CLASS_EXPRESS && i < w->feeds[f].n;
             i++) {
            const world_event *e = &w->feeds[f].events[i];
            all++;
            if (e->all_ms != 0 && n < 1024)
                waits[n++] = e->all_ms - e->at_ms;
        }
    qsort(waits, n, sizeof *waits, by_size);
    printf("urgent, %2u %% loss: p50 %.1f s, p95 %.1f s, worst %.1f s, %zu of %zu at all\n",
           loss_ppm / 10000, n > 0 ? (double)waits[n / 2] / 1e3 : 0,
           n > 0 ? (double)waits[n * 95 / 100] / 1e3 : 0, n > 0 ? (double)waits[n - 1] / 1e3 : 0, n,
           all);
    fflush(stdout);
    world_free(w);
}

static void bench_idle(void)
{
    world_spec s = spec_of(100000);
    radio_world *w = world_new(&s);
    for (uint32_t i = 0; i < STATIONS; i++)
        write_edit(w, i, CLASS_ROUTINE);
    world_run(w, 3 * WORLD_HOUR_US);
    outcome before = measure(w, 0);
    world_run(w, 9 * WORLD_HOUR_US);
    outcome after = measure(w, 0);
    printf("idle: %.3f %% of the channel over six hours\n",
           (double)(after.air_us - before.air_us) / (6.0 * 36e6));
    fflush(stdout);
    world_free(w);
}

/* One station comes back with 1,000 records. The rows of the survey are gone through three times; no history reaches
 * back to the row's last time. */
static void bench_heal(const char *band_name, uint32_t hz)
{
    world_spec s = spec_of(200000);
    s.stations = STATIONS + 1;
    s.band = radio_band_of("eu868", hz, 125000);
    radio_world *w = world_new(&s);
    world_run(w, MINUTE);
    for (uint32_t i = 0; i < 1000; i++)
        world_write(w, 0, CLASS_ROUTINE, survey_body(&flood, i % flood.n), true);
    world_tell(w, 0);
    uint64_t from_ms = w->now_us / 1000;
    uint64_t half_ms = 0;
    while (!world_equal(w) && w->now_us < 48 * WORLD_HOUR_US) {
        world_run(w, w->now_us + MINUTE);
        if (half_ms == 0 && w->feeds[0].events[499].all_ms != 0)
            half_ms = w->now_us / 1000 - from_ms;
    }
    outcome o = measure(w, 0);
    printf("heal of 1,000 records to ten at 20 %% loss, band %s: %s after %.0f min (half after "
           "%.0f), %.1f B/record, "
           "%.0f s of air\n",
           band_name, world_equal(w) ? "equal" : "NOT equal",
           (double)(w->now_us / 1000 - from_ms) / 6e4, (double)half_ms / 6e4,
           (double)o.bytes / 1000, (double)o.air_us / 1e6);
    fflush(stdout);
    world_free(w);
}

int main(void)
{
    static const double loads[] = {5, 20, 60};
    const char *given = getenv("CAIRN_BENCH_RADIO_H");
    uint64_t hours = given != NULL ? strtoull(given, NULL, 10) : 6;
    survey_load(&flood, CAIRN_SOURCE_DIR "/tests/data/mwefloodresponse.csv", "flood");
    for (uint32_t loss = 100000; loss <= 300000; loss += 200000)
        for (size_t i = 0; i < 3; i++)
            bench_load(loads[i], loss, hours);
    bench_urgent(0, hours);
    bench_urgent(300000, hours);
    bench_idle();
    bench_heal("eu868 P, 10 %", 869525000);
    survey_release(&flood);
    return 0;
}
