/* RNode, single-radio firmware from 1.52 on, from its observable behaviour:
 *
 *  - the radio is switched off before it is configured: a device that starts by itself ("TNC mode") echoes new settings and
 *    goes on with the old ones;
 *  - every echo is compared. Frequencies may differ by 100 Hz (an SX127x rounds), power may be less (it is clamped);
 *  - the queue is asked before each frame (READY is only ever an answer), and holds one frame of ours at most: below
 *    14 kbit/s all that is queued goes out in one burst;
 *  - that a frame was sent follows from the next report of the channel (CHTM) with more airtime in it. When the modem's
 *    15 s window moved on at the same moment nothing rises: then it is concluded from airtime that is there and time that
 *    has passed, and not sure. Boards without reports (AVR) leave nothing but time;
 *  - on TCP the device hangs up, and its radio goes off, after 6.5 s without a byte, so it gets one every 3 s, and
 *    its answers show that it is still there. */
#include "radio-bridge/driver_core_rnode_impl.h"

#include <stdlib.h>

#define DETECT_QUESTION 0x73
#define RESET_WORD      0xf8
#define QUERY           0xff
#define FIRMWARE_MIN    0x0134u /* 1.52 */
#define ALIVE_EVERY_MS  3000u
#define SILENCE_MAX_MS  12000u
#define READY_EVERY_MS  250u
#define STUCK_MS        60000u /* a channel that is never free for so long */

static lora_modulation modulation(const rnode *r)
{
    const driver_settings *s = &r->base.set;
    return rnode_modulation(r->base.about.chip, s->sf, s->cr, s->bw_hz);
}

static uint64_t rnode_driver_airtime_us(const driver *d, size_t frame_bytes)
{
    lora_modulation m = modulation(rnode_at(d));
    return rnode_airtime_us(&m, frame_bytes);
}

uint64_t rnode_frame_ms(const rnode *r)
{
    return rnode_driver_airtime_us(&r->base, r->frame_len) / 1000 + 1;
}

/* ---- to the device ---- */

static void put(rnode *r, uint8_t command, const void *p, size_t n)
{
    kiss_put(&r->base.out, command, bytes_of(p, n));
}

static void put_u8(rnode *r, uint8_t command, uint8_t v)
{
    put(r, command, &v, 1);
}

static void put_u32(rnode *r, uint8_t command, uint32_t v)
{
    uint8_t wire[4];
    put_u32be(wire, v);
    put(r, command, wire, sizeof wire);
}

static void say_restart(rnode *r)
{
    put_u8(r, CMD_RESET, RESET_WORD);
}

static void say_ask(rnode *r)
{
    put_u8(r, CMD_DETECT, DETECT_QUESTION);
    put_u8(r, CMD_FW_VERSION, 0);
    put_u8(r, CMD_PLATFORM, 0);
    put_u8(r, CMD_MCU, 0);
    put_u8(r, CMD_BOARD, 0);
}

static void say_off(rnode *r)
{
    put_u8(r, CMD_RADIO_STATE, 0);
}

/* One-byte arguments are not un-escaped by the device; none of these can be FEND or FESC. */
static void say_settings(rnode *r)
{
    const driver_settings *s = &r->base.set;
    put_u32(r, CMD_FREQUENCY, s->hz);
    put_u32(r, CMD_BANDWIDTH, s->bw_hz);
    put_u8(r, CMD_TXPOWER, (uint8_t)s->txpower_dbm);
    put_u8(r, CMD_SF, s->sf);
    put_u8(r, CMD_CR, s->cr);
}

static void say_on(rnode *r)
{
    put_u8(r, CMD_RADIO_STATE, 1);
}

static void say_alive(rnode *r)
{
    put_u8(r, CMD_DETECT, DETECT_QUESTION);
    if (!r->base.set.ask_only)
        put_u8(r, CMD_RADIO_STATE, QUERY);
}

/* ---- phases ---- */

typedef struct {
    void (*say)(rnode *r);
    unsigned wanted;
    uint32_t again_ms, most_ms;
} phase_row;

static const phase_row phases[] = {
    [PHASE_RESTART] = {say_restart, GOT_BOOT, 5000, 4000},
    [PHASE_ASK] = {say_ask, GOT_DETECT | GOT_VERSION | GOT_PLATFORM | GOT_MCU | GOT_BOARD, 500,
                   6000},
    [PHASE_OFF] = {say_off, GOT_OFF, 700, 4000},
    [PHASE_SET] = {say_settings, GOT_HZ | GOT_BW | GOT_POWER | GOT_SF | GOT_CR, 1000, 4000},
    [PHASE_ON] = {say_on, GOT_ON, 1500, 5000},
};

void rnode_enter(rnode *r, rnode_phase p, mono_ms now)
{
    r->phase = p;
    r->got = 0;
    r->said_at = now;
    r->base.state = p <= PHASE_ASK ? DRIVER_ASKING : DRIVER_SETTING;
    if (p == PHASE_READY) {
        driver_is_ready(&r->base, now);
        return;
    }
    phases[p].say(r);
    r->again_at = mono_after(now, phases[p].again_ms);
    r->phase_end = mono_after(now, phases[p].most_ms);
}

static void on_opened(driver *d, mono_ms now)
{
    rnode *r = rnode_of(d);
    bool restart = d->set.restart_first || r->restart_next;
    *r = (rnode){.base = r->base, .heard_at = now};
    kiss_reader_init(&r->in);
    r->base.set.restart_first = false;
    rnode_enter(r, restart && !d->set.ask_only ? PHASE_RESTART : PHASE_ASK, now);
}

/* What a frame left in the queue would mean for the next process is the same for the next try. */
static void on_closed(driver *d, mono_ms now)
{
    rnode *r = rnode_of(d);
    (void)now;
    r->restart_next = r->restart_next || r->tx == TX_FLIES;
    r->tx = TX_NONE;
}

/* It has asked for long enough: what did it hear instead? */
static void fail_to_ask(rnode *r, mono_ms now)
{
    const kiss_reader *in = &r->in;
    driver *d = &r->base;
    if (in->frames + in->printable + in->junk + in->len == 0)
        driver_fail(d, DRIVER_SILENT, now,
                    d->set.tcp ? "connected, but no answer: another host has it, or it is no RNode"
                               : "no answer: is it an RNode, switched on, at this baud rate?");
    else if (in->frames > in->junk && in->frames > in->printable / 8)
        driver_fail(d, DRIVER_FOREIGN, now,
                    "not an RNode: it answers in frames of another protocol");
    else if (in->junk == 0 && in->printable > 0)
        driver_fail(d, DRIVER_FOREIGN, now, "not an RNode: it says \"%s\"", r->text);
    else
        driver_fail(d, DRIVER_GARBAGE, now,
                    "only garbage comes: the wrong baud rate, or not an RNode");
}

static void fail_phase(rnode *r, mono_ms now)
{
    driver *d = &r->base;
    if (r->phase == PHASE_RESTART)
        rnode_enter(r, PHASE_ASK, now); /* some restart without a word */
    else if (r->phase == PHASE_ASK && !(r->got & GOT_DETECT))
        fail_to_ask(r, now);
    else if (r->phase == PHASE_ON && (r->got & GOT_OFF))
        driver_fail(d, DRIVER_REFUSES, now,
                    "its radio does not start: the firmware may not be provisioned");
    else
        driver_fail(d, DRIVER_STOPPED, now, "it stopped answering while it was being set up");
}

static bool echoes_match(rnode *r, mono_ms now)
{
    driver_settings has = {.hz = r->hz, .bw_hz = r->bw_hz, .sf = r->sf, .cr = r->cr};
    has.txpower_dbm = (int8_t)r->power;
    return driver_took_settings(&r->base, &has, now);
}

static void finish_asking(rnode *r, mono_ms now)
{
    rnode_learn_about(r);
    if (r->version < FIRMWARE_MIN)
        driver_fail(&r->base, DRIVER_OLD, now,
                    "its firmware %s is too old: %u.%02u or newer is needed",
                    r->base.about.firmware, FIRMWARE_MIN >> 8, FIRMWARE_MIN & 0xffu);
    else
        rnode_enter(r, r->base.set.ask_only ? PHASE_READY : PHASE_OFF, now);
}

void rnode_progress(rnode *r, mono_ms now)
{
    if (r->phase == PHASE_READY || (r->got & phases[r->phase].wanted) != phases[r->phase].wanted)
        return;
    if (r->phase == PHASE_ASK)
        finish_asking(r, now);
    else if (r->phase != PHASE_SET || echoes_match(r, now))
        rnode_enter(r, r->phase + 1, now);
}

/* ---- sending ---- */

static bool on_busy(const driver *d)
{
    return (rnode_at(d))->tx != TX_NONE;
}

static void on_send(driver *d, bytes frame, mono_ms now)
{
    rnode *r = rnode_of(d);
    memcpy(r->frame, frame.p, frame.len);
    r->frame_len = frame.len;
    r->tx = TX_WAITS;
    r->tx_at = now;
    r->again_at = mono_after(now, READY_EVERY_MS);
    put_u8(r, CMD_READY, 0);
}

void rnode_hand_over(rnode *r, mono_ms now)
{
    r->tx = TX_FLIES;
    r->tx_at = now;
    r->said_at = now;
    put(r, CMD_DATA, r->frame, r->frame_len);
}

/* ---- from the device ---- */

/* The beginning of what a stranger says, for the sentence about it. */
static void keep_text(rnode *r, uint8_t b)
{
    if (r->text_len < RNODE_SNIPPET_MAX && b >= ' ' && b < 0x7f && b != '"' && b != '\\')
        r->text[r->text_len++] = (char)b;
}

static void on_feed(driver *d, bytes in, mono_ms now)
{
    rnode *r = rnode_of(d);
    for (size_t i = 0; i < in.len && d->state != DRIVER_CLOSED; i++) {
        r->heard_at = now;
        if (kiss_take(&r->in, in.p[i]))
            rnode_hear(r, r->in.data[0], bytes_of(r->in.data + 1, r->in.len - 1), now);
        else if (r->phase == PHASE_ASK && !r->in.in_frame)
            keep_text(r, in.p[i]);
    }
}

/* ---- time ---- */

static uint64_t silence_ms(const rnode *r)
{
    return SILENCE_MAX_MS + (r->tx == TX_NONE ? 0 : rnode_frame_ms(r));
}

/* AVR boards send no reports. */
static bool reports(const rnode *r)
{
    return r->platform != PLATFORM_AVR;
}

static uint64_t patience_ms(const rnode *r)
{
    return rnode_frame_ms(r) + (reports(r) ? STUCK_MS : RNODE_ACCESS_MS);
}

static void watch_tx(rnode *r, mono_ms now)
{
    if (r->tx == TX_WAITS && now.ms >= r->again_at.ms) {
        put_u8(r, CMD_READY, 0);
        r->again_at = mono_after(now, READY_EVERY_MS);
    }
    if (r->tx == TX_NONE || now.ms - r->tx_at.ms < patience_ms(r))
        return;
    if (r->tx == TX_FLIES && !reports(r)) {
        rnode_tx_ended(r, DRIVER_SENT, false);
        return;
    }
    driver_fail(&r->base, DRIVER_STUCK, now, "it did not send a frame within %llu s",
                (unsigned long long)patience_ms(r) / 1000);
}

static void watch(rnode *r, mono_ms now)
{
    if (now.ms - r->heard_at.ms >= silence_ms(r)) {
        driver_fail(&r->base, DRIVER_STOPPED, now, "it stopped answering");
        return;
    }
    if (now.ms - r->said_at.ms >= ALIVE_EVERY_MS) {
        say_alive(r);
        r->said_at = now;
    }
    watch_tx(r, now);
}

static void on_advance(driver *d, mono_ms now)
{
    rnode *r = rnode_of(d);
    if (r->phase == PHASE_READY) {
        watch(r, now);
    } else if (now.ms >= r->phase_end.ms) {
        fail_phase(r, now);
    } else if (now.ms >= r->again_at.ms) {
        phases[r->phase].say(r);
        r->again_at = mono_after(now, phases[r->phase].again_ms);
    }
}

static mono_ms on_next(const driver *d)
{
    const rnode *r = rnode_at(d);
    if (r->phase != PHASE_READY)
        return mono_first(r->phase_end, r->again_at);
    mono_ms t =
        mono_first(mono_after(r->heard_at, silence_ms(r)), mono_after(r->said_at, ALIVE_EVERY_MS));
    if (r->tx == TX_WAITS)
        t = mono_first(t, r->again_at);
    return r->tx == TX_NONE ? t : mono_first(t, mono_after(r->tx_at, patience_ms(r)));
}

/* ---- the rest ---- */

static void on_leave(driver *d)
{
    rnode *r = rnode_of(d);
    if (!d->set.ask_only)
        say_off(r);
    put_u8(r, CMD_LEAVE, QUERY);
}

static driver *make(void)
{
    rnode *r = calloc(1, sizeof *r);
    return r == NULL ? NULL : &r->base;
}

static void drop(driver *d)
{
    free(rnode_of(d));
}

const driver_kind driver_rnode = {
    .name = "rnode",
    .title = "RNode",
    .new = make,
    .free = drop,
    .opened = on_opened,
    .closed = on_closed,
    .feed = on_feed,
    .advance = on_advance,
    .next = on_next,
    .send = on_send,
    .busy = on_busy,
    .leave = on_leave,
    .airtime_us = rnode_driver_airtime_us,
};
