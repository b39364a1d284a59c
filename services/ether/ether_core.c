#include "ether/ether_core.h"

#include <stdlib.h>

typedef struct {
    modem *m;
    air_tuning told; /* what the channel knows */
    uint64_t serial; /* of the frame that went to the channel last */
    bool on_air;
} station;

typedef struct {
    air_us at;
    air_tuning tuning;
    uint8_t bytes[LORA_PAYLOAD_MAX_BYTES];
    size_t len;
} recorded;

struct ether {
    uint32_t n;
    air_us now;
    channel *channel;
    tally *tally;
    station *stations;
    recorded *plays;
    size_t first, n_plays, cap_plays;
    bool playing;
    bool stirred; /* what carrier sense sees may have changed */
};

ether *ether_new(const ether_spec *spec)
{
    ether *e = calloc(1, sizeof *e);
    bool whole = e != NULL;
    if (!whole)
        return NULL;
    e->n = spec->stations;
    e->stirred = true;
    e->channel = channel_new(spec->stations + 1, spec->seed);
    e->tally = tally_new(spec->region);
    e->stations = calloc(spec->stations, sizeof *e->stations);
    whole = e->channel != NULL && e->tally != NULL && e->stations != NULL;
    for (uint32_t i = 0; whole && i < e->n; i++) {
        modem_spec m = {.board = spec->boards[i],
                        .station = i + 1,
                        .seed = spec->seed,
                        .tcp_timeout_us = spec->tcp_timeout_us};
        e->stations[i].m = modem_new(&m, e->now);
        whole = e->stations[i].m != NULL;
    }
    if (!whole)
        ether_free(&e);
    return e;
}

void ether_free(ether **ep)
{
    ether *e = *ep;
    if (e == NULL)
        return;
    for (uint32_t i = 0; e->stations != NULL && i < e->n; i++)
        modem_free(&e->stations[i].m);
    channel_free(&e->channel);
    tally_free(&e->tally);
    free(e->stations);
    free(e->plays);
    free(e);
    *ep = NULL;
}

uint32_t ether_stations(const ether *e)
{
    return e->n;
}

uint32_t ether_player(const ether *e)
{
    return e->n;
}

const tally *ether_tally(const ether *e)
{
    return e->tally;
}

modem *ether_modem(ether *e, uint32_t i)
{
    return e->stations[i].m;
}

/* ---- between modem and channel ---- */

/* Tells the channel what a modem has just done. */
static void pass_on(ether *e, uint32_t i)
{
    station *s = &e->stations[i];
    uint64_t serial;
    bytes frame = modem_sending(s->m, &serial);
    const air_tuning *tuning = modem_tuning(s->m);
    air_us end;
    if (s->on_air && (frame.len == 0 || serial != s->serial)) {
        channel_break(e->channel, i, e->now); /* ended before its time: reset, or hung */
        e->stirred = true;
    }
    if (!air_tuning_same(tuning, &s->told)) {
        s->told = *tuning;
        e->stirred = true;
        channel_tune(e->channel, i, tuning, e->now);
    }
    if (frame.len > 0 && serial != s->serial && !s->on_air) {
        s->serial = serial;
        /* Without memory the frame is lost, as frames are. */
        s->on_air = channel_send(e->channel, i, tuning, frame, e->now, &end) == ERR_OK;
    }
}

static void pass_on_all(ether *e)
{
    for (uint32_t i = 0; i < e->n; i++)
        pass_on(e, i);
}

/* What carrier sense sees, to everybody; which may make them act. */
static void sense(ether *e)
{
    if (!e->stirred)
        return;
    e->stirred = false;
    for (uint32_t i = 0; i < e->n; i++) {
        bool dcd;
        int16_t rssi;
        channel_sense(e->channel, i, &dcd, &rssi);
        modem_carrier(e->stations[i].m, dcd, rssi, e->now);
    }
    pass_on_all(e);
}

static void deliver(ether *e, const channel_frame *f)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (f->hearing[i].verdict == HEARD)
            modem_hear(e->stations[i].m, bytes_of(f->bytes, f->len), f->hearing[i].signal, e->now);
    if (f->from < e->n)
        e->stations[f->from].on_air = false;
    else
        e->playing = false;
    e->stirred = true;
    pass_on_all(e);
    /* A tally without memory misses a frame; the channel goes on. */
    (void)!tally_add(e->tally, f->from, &f->tuning, f->start, f->end);
}

/* ---- recordings ---- */

err_t ether_play(ether *e, const air_tuning *tuning, bytes frame, air_us at)
{
    if (e->n_plays == e->cap_plays) {
        size_t cap = e->cap_plays ? 2 * e->cap_plays : 64;
        recorded *more = realloc(e->plays, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        e->plays = more;
        e->cap_plays = cap;
    }
    size_t i = e->n_plays++;
    for (; i > e->first && e->plays[i - 1].at.us > at.us; i--)
        e->plays[i] = e->plays[i - 1];
    recorded *r = &e->plays[i];
    *r = (recorded){.at = at, .tuning = *tuning};
    r->len = frame.len < sizeof r->bytes ? frame.len : sizeof r->bytes;
    if (r->len > 0)
        memcpy(r->bytes, frame.p, r->len);
    return ERR_OK;
}

size_t ether_to_play(const ether *e)
{
    return e->n_plays - e->first + e->playing;
}

static void play_due(ether *e)
{
    air_us end;
    if (e->playing || e->first == e->n_plays || e->plays[e->first].at.us > e->now.us)
        return;
    const recorded *r = &e->plays[e->first++];
    e->playing = channel_send(e->channel, e->n, &r->tuning, bytes_of(r->bytes, r->len), e->now,
                              &end) == ERR_OK;
    if (e->first == e->n_plays)
        e->first = e->n_plays = 0;
}

/* ---- hosts ---- */

void ether_feed(ether *e, uint32_t i, bytes in)
{
    modem_feed(e->stations[i].m, in, e->now);
    pass_on(e, i);
    sense(e);
}

void ether_set_host(ether *e, uint32_t i, modem_host host)
{
    modem_set_host(e->stations[i].m, host, e->now);
    pass_on(e, i);
    sense(e);
}

void ether_line_opened(ether *e, uint32_t i)
{
    modem_line_opened(e->stations[i].m, e->now);
    pass_on(e, i);
    sense(e);
}

void ether_do(ether *e, uint32_t i, modem_fault fault, uint32_t value)
{
    modem_do(e->stations[i].m, fault, value, e->now);
    pass_on(e, i);
    sense(e);
}

err_t ether_change(ether *e, const channel_change *change)
{
    TRY(channel_change_at(e->channel, change, e->now));
    e->stirred = true;
    sense(e);
    return ERR_OK;
}

/* ---- time ---- */

air_us ether_next(const ether *e)
{
    air_us t = channel_next(e->channel);
    if (!e->playing && e->first < e->n_plays)
        t = air_first(t, e->plays[e->first].at);
    for (uint32_t i = 0; i < e->n; i++)
        t = air_first(t, modem_next(e->stations[i].m));
    return t;
}

air_us ether_now(const ether *e)
{
    return e->now;
}

/* Frames end before anything else happens at that moment; the senders then go on. */
static const channel_frame *act(ether *e)
{
    e->stirred = e->stirred || channel_next(e->channel).us <= e->now.us;
    const channel_frame *f = channel_advance(e->channel, e->now);
    if (f != NULL) {
        deliver(e, f);
        return f;
    }
    play_due(e);
    for (uint32_t i = 0; i < e->n; i++)
        if (modem_next(e->stations[i].m).us <= e->now.us) {
            modem_advance(e->stations[i].m, e->now);
            pass_on(e, i);
        }
    sense(e);
    return NULL;
}

const channel_frame *ether_step(ether *e, air_us now)
{
    for (air_us t = ether_next(e); t.us <= now.us; t = ether_next(e)) {
        e->now = t.us > e->now.us ? t : e->now;
        const channel_frame *f = act(e);
        if (f != NULL)
            return f;
    }
    e->now = now.us > e->now.us ? now : e->now;
    return NULL;
}
