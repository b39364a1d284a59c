#include "ether/channel_core_impl.h"

#include <assert.h>
#include <stdlib.h>

channel *channel_new(uint32_t stations, uint64_t seed)
{
    channel *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->n = stations;
    c->stations = calloc(stations, sizeof *c->stations);
    c->pairs = calloc((size_t)stations * stations, sizeof *c->pairs);
    if (c->stations == NULL || c->pairs == NULL) {
        channel_free(&c);
        return NULL;
    }
    for (uint32_t i = 0; i < stations; i++)
        c->stations[i].since = AIR_NEVER;
    for (uint32_t from = 0; from < stations; from++)
        for (uint32_t to = 0; to < stations; to++)
            *channel_pair_of(c, from, to) =
                (channel_pair){.link = {.on = true, .rssi_cdbm = CHANNEL_RSSI_CDBM},
                               .dice = air_dice_for(seed, from + 1, to + 1)};
    return c;
}

static void flight_free(channel_flight *f)
{
    free(f->frame.hearing);
    free(f->level_cdbm);
    free(f);
}

void channel_free(channel **cp)
{
    channel *c = *cp;
    if (c == NULL)
        return;
    for (channel_flight *f = c->flights, *next; f != NULL; f = next) {
        next = f->next;
        flight_free(f);
    }
    free(c->stations);
    free(c->pairs);
    free(c->changes);
    free(c);
    *cp = NULL;
}

/* ---- the timetable ---- */

static void set_link(channel_link *l, const channel_change *ch)
{
    if (ch->fields & LINK_ON)
        l->on = ch->link.on;
    if (ch->fields & LINK_RSSI)
        l->rssi_cdbm = ch->link.rssi_cdbm;
    if (ch->fields & LINK_FADE)
        l->fade_cdb = ch->link.fade_cdb;
    if (ch->fields & LINK_LOSS)
        l->loss_ppm = ch->link.loss_ppm;
    if (ch->fields & LINK_BURST) {
        l->burst_ppm = ch->link.burst_ppm;
        l->burst_end_ppm = ch->link.burst_end_ppm;
        l->burst_loss_ppm = ch->link.burst_loss_ppm;
    }
}

static void set_links(channel *c, const channel_change *ch)
{
    for (uint32_t a = 0; a < c->n; a++)
        for (uint32_t b = 0; b < c->n; b++) {
            bool there = station_in(&ch->from, a) && station_in(&ch->to, b);
            bool back = ch->both_ways && station_in(&ch->from, b) && station_in(&ch->to, a);
            if (there || back)
                set_link(&channel_pair_of(c, a, b)->link, ch);
        }
}

/* A jammer more than there is room for takes the place of the one that ends first. */
static void add_jam(channel *c, const channel_change *ch, air_us now)
{
    size_t at = c->n_jams;
    if (at == CHANNEL_JAMS_MAX) {
        at = 0;
        for (size_t i = 1; i < c->n_jams; i++)
            at = c->jams[i].until.us < c->jams[at].until.us ? i : at;
    } else {
        c->n_jams++;
    }
    c->jams[at] = (channel_jam){.at = ch->to,
                                .low_hz = ch->low_hz,
                                .high_hz = ch->high_hz,
                                .level_cdbm = ch->level_cdb,
                                .from = now,
                                .until = ch->for_us > 0 ? air_after(now, ch->for_us) : AIR_NEVER};
}

static void apply(channel *c, const channel_change *ch, air_us now)
{
    switch (ch->kind) {
    case CHANGE_LINK:
        set_links(c, ch);
        break;
    case CHANGE_CUT:
        for (uint32_t i = 0; i < c->n; i++)
            c->stations[i].group = i < AIR_STATIONS_MAX ? ch->group[i] : 0;
        break;
    case CHANGE_HEAL:
        for (uint32_t i = 0; i < c->n; i++)
            c->stations[i].group = 0;
        break;
    case CHANGE_JAM:
        add_jam(c, ch, now);
        break;
    case CHANGE_NOISE:
    default:
        for (uint32_t i = 0; i < c->n; i++)
            if (station_in(&ch->to, i))
                c->stations[i].noise_cdb = ch->level_cdb;
        break;
    }
}

err_t channel_change_at(channel *c, const channel_change *ch, air_us now)
{
    c->now = now;
    if (ch->at.us <= now.us) {
        apply(c, ch, now);
        return ERR_OK;
    }
    if (c->n_changes == c->cap_changes) {
        size_t cap = c->cap_changes ? 2 * c->cap_changes : 16;
        channel_change *more = realloc(c->changes, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        c->changes = more;
        c->cap_changes = cap;
    }
    size_t at = c->n_changes++;
    for (; at > 0 && c->changes[at - 1].at.us > ch->at.us; at--)
        c->changes[at] = c->changes[at - 1];
    c->changes[at] = *ch;
    return ERR_OK;
}

static void apply_due(channel *c)
{
    size_t n = 0;
    while (n < c->n_changes && c->changes[n].at.us <= c->now.us) {
        apply(c, &c->changes[n], c->now);
        n++;
    }
    c->n_changes -= n;
    if (n > 0 && c->n_changes > 0)
        memmove(c->changes, c->changes + n, c->n_changes * sizeof *c->changes);
}

/* ---- radios ---- */

void channel_tune(channel *c, uint32_t station, const air_tuning *tuning, air_us now)
{
    channel_station *s = &c->stations[station];
    c->now = now;
    s->tuning = *tuning;
    s->since = tuning->on && !s->sending ? now : AIR_NEVER;
}

static channel_flight *flight_new(channel *c)
{
    channel_flight *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->frame.hearing = calloc(c->n, sizeof *f->frame.hearing);
    f->level_cdbm = calloc(c->n, sizeof *f->level_cdbm);
    if (f->frame.hearing == NULL || f->level_cdbm == NULL) {
        flight_free(f);
        return NULL;
    }
    return f;
}

static void set_times(channel_flight *f, air_us now)
{
    const lora_modulation *m = &f->frame.tuning.lora;
    uint32_t safe = m->preamble_symbols > 5 ? m->preamble_symbols - 5u : 0;
    f->frame.start = now;
    f->frame.end = air_after(now, airtime_us(m, f->frame.len));
    f->critical = air_after(now, lora_quarters_us(m, 4ull * safe));
    f->sensed = air_after(now, CHANNEL_ENERGY_US);
    f->detected = air_after(now, lora_quarters_us(m, 4ull * CHANNEL_DETECT_SYMBOLS));
}

err_t channel_send(channel *c, uint32_t station, const air_tuning *tuning, bytes frame, air_us now,
                   air_us *end)
{
    channel_flight *f = flight_new(c);
    assert(!c->stations[station].sending && frame.len <= LORA_PAYLOAD_MAX_BYTES);
    if (f == NULL)
        return ERR_NO_MEMORY;
    c->now = now;
    f->frame.number = ++c->numbers;
    f->frame.from = station;
    f->frame.tuning = *tuning;
    f->frame.len = frame.len;
    if (frame.len > 0)
        memcpy(f->frame.bytes, frame.p, frame.len);
    set_times(f, now);
    for (uint32_t r = 0; r < c->n; r++)
        f->level_cdbm[r] = r != station && channel_reaches(c, station, r)
                               ? channel_level(c, &f->frame, r)
                               : AIR_DBM_NOTHING;
    f->next = c->flights;
    c->flights = f;
    c->stations[station].sending = true;
    c->stations[station].since = AIR_NEVER;
    *end = f->frame.end;
    return ERR_OK;
}

void channel_break(channel *c, uint32_t station, air_us now)
{
    c->now = now;
    for (channel_flight *f = c->flights; f != NULL; f = f->next)
        if (f->frame.from == station && !f->reported && f->frame.end.us > now.us) {
            f->broken = true;
            f->frame.end = now;
        }
}

/* ---- time ---- */

static air_us later(air_us t, air_us now)
{
    return t.us > now.us ? t : AIR_NEVER;
}

air_us channel_next(const channel *c)
{
    air_us t = c->n_changes > 0 ? c->changes[0].at : AIR_NEVER;
    for (size_t i = 0; i < c->n_jams; i++)
        t = air_first(t, later(c->jams[i].until, c->now));
    for (const channel_flight *f = c->flights; f != NULL; f = f->next)
        if (!f->reported) {
            t = air_first(t, f->frame.end);
            t = air_first(t, later(f->sensed, c->now));
            t = air_first(t, later(f->detected, c->now));
        }
    return t;
}

/* What nothing on air overlaps can be forgotten; and with nothing on air, jammers that have ended. */
static void forget(channel *c)
{
    air_us oldest = AIR_NEVER;
    for (const channel_flight *f = c->flights; f != NULL; f = f->next)
        if (!f->reported)
            oldest = air_first(oldest, f->frame.start);
    for (channel_flight **at = &c->flights; *at != NULL;) {
        channel_flight *f = *at;
        if (f->reported && f->frame.end.us <= oldest.us) {
            *at = f->next;
            flight_free(f);
        } else {
            at = &f->next;
        }
    }
    for (size_t i = 0; i < c->n_jams;)
        if (oldest.us == AIR_NEVER.us && c->jams[i].until.us <= c->now.us)
            c->jams[i] = c->jams[--c->n_jams];
        else
            i++;
}

static channel_flight *ended(channel *c)
{
    channel_flight *first = NULL;
    for (channel_flight *f = c->flights; f != NULL; f = f->next)
        if (!f->reported && f->frame.end.us <= c->now.us &&
            (first == NULL || f->frame.number < first->frame.number))
            first = f;
    return first;
}

const channel_frame *channel_advance(channel *c, air_us now)
{
    c->now = now;
    channel_flight *f = ended(c);
    if (f == NULL) {
        apply_due(c);
        forget(c);
        return NULL;
    }
    channel_judge(c, f);
    f->reported = true;
    channel_station *s = &c->stations[f->frame.from];
    s->sending = false;
    s->since = s->tuning.on ? now : AIR_NEVER;
    return &f->frame;
}

void channel_sense(const channel *c, uint32_t station, bool *dcd, int16_t *rssi_cdbm)
{
    const channel_station *s = &c->stations[station];
    int32_t level = channel_noise_cdbm(c, station, s->tuning.on ? s->tuning.lora.bw_hz : 125000);
    *dcd = false;
    for (const channel_flight *f = c->flights; f != NULL; f = f->next) {
        if (f->reported || f->level_cdbm[station] == AIR_DBM_NOTHING || c->now.us < f->sensed.us ||
            !channel_overlaps(&s->tuning, &f->frame.tuning) ||
            !channel_reaches(c, f->frame.from, station))
            continue;
        int32_t snr =
            f->level_cdbm[station] - channel_noise_cdbm(c, station, f->frame.tuning.lora.bw_hz);
        *dcd = *dcd || (c->now.us >= f->detected.us && s->since.us <= f->critical.us &&
                        channel_same(&s->tuning, &f->frame.tuning) &&
                        snr >= channel_snr_limit_cdb(f->frame.tuning.lora.sf));
        level = f->level_cdbm[station] > level ? f->level_cdbm[station] : level;
    }
    for (size_t i = 0; i < c->n_jams; i++)
        if (c->jams[i].until.us > c->now.us && c->jams[i].level_cdbm > level &&
            channel_jammed(&c->jams[i], station, &s->tuning))
            level = c->jams[i].level_cdbm;
    *rssi_cdbm = (int16_t)level;
}
