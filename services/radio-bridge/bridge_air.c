/* Frames: what gossip wants to say goes out one by one, what comes in is opened and passed on. */
#include "radio-bridge/bridge.h"

#include "gossip/gossip_clnt.h"
#include "shell/clock.h"

#include <stdio.h>

#define OVERHEAD_BYTES (RADIO_HEADER_BYTES + RADIO_TAG_BYTES)
#define ASK_WAIT_MS    20000u
#define AGAIN_MS       1000u /* after a question that failed */
#define AGAIN_MIN_MS   250u
#define AGAIN_MAX_MS   60000u
#define SPREAD_MAX_MS  4000u

/* ---- the hour ---- */

uint64_t bridge_hour_us(const bridge *b)
{
    return radio_band_hour_us(b->plan.band);
}

uint64_t bridge_left_us(bridge *b)
{
    ledger_now now = bridge_now(b);
    uint64_t hour = bridge_hour_us(b), spent = ledger_spent_us(b->ledger, b->plan.band, &now);
    return hour == UINT64_MAX ? hour : spent < hour ? hour - spent : 0;
}

/* The largest frame that the law allows at all, 0: none. A dwell limit may forbid a full one. */
static size_t largest_frame(bridge *b, const ledger_now *now)
{
    mono_ms earliest;
    for (size_t n = RADIO_FRAME_MAX_BYTES; n > OVERHEAD_BYTES; n--)
        if (ledger_may(b->ledger, b->plan.band, driver_airtime_us(b->driver, n), now, &earliest) !=
            ERR_TOO_LARGE)
            return n;
    return 0;
}

/* How long until a frame of that airtime may go out; UINT64_MAX: not known, or never. */
static uint64_t wait_for(bridge *b, uint64_t airtime_us)
{
    ledger_now now = bridge_now(b);
    mono_ms earliest;
    err_t e = ledger_may(b->ledger, b->plan.band, airtime_us, &now, &earliest);
    if (e == ERR_OK)
        return 0;
    bool known = e == ERR_BUSY && earliest.ms > 0;
    return !known ? UINT64_MAX : earliest.ms > now.mono.ms ? earliest.ms - now.mono.ms : 1;
}

uint64_t bridge_wait_ms(bridge *b)
{
    ledger_now now = bridge_now(b);
    size_t n = largest_frame(b, &now);
    return n == 0 ? UINT64_MAX : wait_for(b, driver_airtime_us(b->driver, n));
}

/* ---- what was heard ---- */

static void on_passed(void *ctx, err_t e, const char *text, const void *reply)
{
    (void)ctx;
    (void)reply;
    if (e != ERR_OK && e != ERR_STOPPING) /* the others will send it again */
        log_debug("gossip did not take what was heard: %s", text);
}

static void pass_on(bridge *b, const radio_header *h, bytes plain, const bridge_heard *in,
                    bool fresh)
{
    radio_heard_request req = {.kind = h->kind,
                               .station = h->station,
                               .bridge = h->bridge,
                               .counter = h->counter,
                               .plain = plain,
                               .rssi_dbm = in->rssi_dbm,
                               .snr_cdb = in->snr_cdb,
                               .fresh = fresh};
    err_t e = gossip_clnt_radio_heard(b->gossip, &req, on_passed, b);
    if (e != ERR_OK)
        on_passed(b, e, err_text(e), NULL);
}

static err_t open_frame(const bridge *b, bytes frame, radio_header *h, uint8_t *plain, size_t *len)
{
    if (b->n_keys == 0)
        return ERR_NOT_READY;
    TRY(radio_frame_peek(frame, b->keys[0].network, h));
    const radio_keys *k = bridge_key_of(b, h->epoch);
    return k != NULL ? radio_frame_open(k, frame, h, plain, len) : ERR_BAD_SEAL;
}

static void hear_one(bridge *b, const bridge_heard *in)
{
    radio_header h = {0};
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    size_t len = 0;
    bridge_event e = {.bytes = (uint16_t)in->len,
                      .rssi_dbm = in->rssi_dbm,
                      .snr_cdb = in->snr_cdb,
                      .airtime_us = driver_airtime_us(b->driver, in->len)};
    if (open_frame(b, bytes_of(in->frame, in->len), &h, plain, &len) != ERR_OK) {
        b->strange++;
        service_count(b->s, COUNT_STRANGE, 1);
        bridge_note(b, "strange", &e);
        return;
    }
    e.kind = h.kind;
    e.station = h.station;
    if (h.station == b->self && h.bridge == b->plan.bridge)
        (void)snprintf(e.words, sizeof e.words, "this radio's own frame, repeated by somebody");
    bool fresh = e.words[0] == '\0' && bridge_is_fresh(b, &h, in->frame + RADIO_HEADER_BYTES);
    b->heard_wall = clock_wall();
    b->n_frames += fresh;
    b->replayed += !fresh;
    service_count(b->s, fresh ? COUNT_HEARD : COUNT_REPLAYED, 1);
    bridge_note(b, fresh ? "heard" : "again", &e);
    if (e.words[0] == '\0')
        pass_on(b, &h, bytes_of(plain, len), in, fresh);
}

static void hear(bridge *b)
{
    for (size_t i = 0; i < b->n_heard; i++)
        hear_one(b, &b->heard[i]);
    b->n_heard = 0;
}

/* ---- what is to be said ---- */

typedef enum { OUTCOME_SURE, OUTCOME_PROBABLE, OUTCOME_LOST, OUTCOME_REFUSED } outcome;

static void rest_until(bridge *b, uint64_t at_ms)
{
    b->air = AIR_IDLE;
    b->air_at.ms = at_ms;
    service_wake(b->s, b->air_at);
}

/* Tells gossip, and is free for the next frame. */
static void conclude(bridge *b, outcome how, const char *what)
{
    bridge_event e = {.kind = b->kind,
                      .station = b->self,
                      .bytes = (uint16_t)b->frame_len,
                      .airtime_us = b->airtime_us};
    radio_sent_request req = {
        .ticket = b->ticket, .outcome = (uint8_t)how, .airtime_us = b->airtime_us};
    if (how == OUTCOME_REFUSED)
        req.airtime_us = 0;
    bridge_note(b, what, &e);
    err_t sent = gossip_clnt_radio_sent(b->gossip, &req, on_passed, b);
    if (sent != ERR_OK)
        on_passed(b, sent, err_text(sent), NULL);
    rest_until(b, clock_mono().ms);
}

/* The firmware's contention window does not part two hosts that wait for one busy channel: this does. */
static uint64_t spread_ms(bridge *b, bool urgent)
{
    uint64_t window = driver_airtime_us(b->driver, RADIO_FRAME_MAX_BYTES) / (urgent ? 1000 : 500);
    return random_u64() % ((window < SPREAD_MAX_MS ? window : SPREAD_MAX_MS) + 1);
}

static void hold(bridge *b, const radio_next_reply *r)
{
    const radio_keys *k = bridge_key_now(b);
    b->ticket = r->ticket;
    b->kind = r->kind;
    b->frame_len = 0;
    radio_header h = {.kind = r->kind,
                      .epoch = k != NULL ? k->epoch : 0,
                      .bridge = b->plan.bridge,
                      .station = b->self,
                      .counter = b->counter++};
    err_t e =
        k == NULL ? ERR_NOT_READY : radio_frame_seal(k, &h, r->plain, b->frame, &b->frame_len);
    b->airtime_us = driver_airtime_us(b->driver, b->frame_len);
    if (e != ERR_OK) {
        service_count(b->s, COUNT_REFUSED, 1);
        conclude(b, OUTCOME_REFUSED, "refused");
        rest_until(b, clock_mono().ms + AGAIN_MS);
        return;
    }
    b->air = AIR_HELD;
    b->air_at.ms = clock_mono().ms + spread_ms(b, r->urgent);
    service_wake(b->s, b->air_at);
}

static void on_next(void *ctx, err_t e, const char *text, const void *reply)
{
    bridge *b = ctx;
    const radio_next_reply *r = reply;
    if (e == ERR_STOPPING)
        return;
    if (e != ERR_OK && !b->gossip_silent)
        log_info("gossip has nothing for the radio: %s", text);
    b->gossip_silent = e != ERR_OK;
    if (e != ERR_OK) {
        rest_until(b, clock_mono().ms + AGAIN_MS);
    } else if (r->ticket == 0) {
        uint64_t pause = r->next_ms < AGAIN_MAX_MS ? r->next_ms : AGAIN_MAX_MS;
        rest_until(b, clock_mono().ms + (pause > AGAIN_MIN_MS ? pause : AGAIN_MIN_MS));
    } else {
        hold(b, r);
    }
}

static void ask(bridge *b, size_t frame_bytes)
{
    radio_next_request req = {.max_bytes = (uint32_t)(frame_bytes - OVERHEAD_BYTES),
                              .frame_us = driver_airtime_us(b->driver, frame_bytes),
                              .base_us = driver_airtime_us(b->driver, OVERHEAD_BYTES),
                              .left_us = bridge_left_us(b),
                              .hour_us = bridge_hour_us(b),
                              .wait_ms = ASK_WAIT_MS,
                              .bridge = b->plan.bridge,
                              .station = b->self};
    b->air = AIR_ASKING;
    err_t e = gossip_clnt_radio_next(b->gossip, &req, on_next, b);
    if (e != ERR_OK)
        on_next(b, e, err_text(e), NULL);
}

/* Only what could go out now is asked for: what is most valuable is found out as late as possible. */
static void ask_if_possible(bridge *b)
{
    ledger_now now = bridge_now(b);
    if (!b->on_air || bridge_key_now(b) == NULL)
        return;
    if (clock_mono().ms < b->air_at.ms) {
        service_wake(b->s, b->air_at);
        return;
    }
    size_t n = largest_frame(b, &now);
    uint64_t wait = n == 0 ? UINT64_MAX : wait_for(b, driver_airtime_us(b->driver, n));
    if (wait == 0)
        ask(b, n);
    else if (wait != UINT64_MAX)
        rest_until(b, clock_mono().ms + wait);
}

/* Its moment has come. */
static void send(bridge *b)
{
    mono_ms earliest;
    if (clock_mono().ms < b->air_at.ms) {
        service_wake(b->s, b->air_at);
        return;
    }
    err_t e = b->on_air ? bridge_charge(b, b->airtime_us, &earliest) : ERR_NOT_READY;
    if (e == ERR_OK) {
        b->outcome = false;
        e = driver_send(b->driver, bytes_of(b->frame, b->frame_len), clock_mono());
        if (e != ERR_OK)
            bridge_settle(b);
    }
    if (e == ERR_OK) {
        b->air = AIR_FLYING;
        bridge_line_turn(b);
        return;
    }
    log_debug("a frame is not sent: %s", err_text(e));
    service_count(b->s, COUNT_REFUSED, 1);
    conclude(b, OUTCOME_REFUSED, "refused");
    rest_until(b, clock_mono().ms + AGAIN_MS);
}

/* Of a modem that was lost with the frame nobody knows whether it still has it: that ends when it is ready again. */
static void land(bridge *b)
{
    if (!b->outcome)
        return;
    b->outcome = false;
    if (!b->lost || b->on_air)
        bridge_settle(b);
    b->sent += !b->lost;
    service_count(b->s, b->lost ? COUNT_LOST : COUNT_SENT, 1);
    conclude(b,
             b->lost   ? OUTCOME_LOST
             : b->sure ? OUTCOME_SURE
                       : OUTCOME_PROBABLE,
             b->lost ? "lost" : "sent");
}

void bridge_air_turn(bridge *b)
{
    hear(b);
    if (b->air == AIR_FLYING)
        land(b);
    if (b->air == AIR_HELD)
        send(b);
    if (b->air == AIR_IDLE)
        ask_if_possible(b);
}
