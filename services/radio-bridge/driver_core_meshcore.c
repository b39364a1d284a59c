/* MeshCore's KISS modem (github.com/meshcore-dev/MeshCore, docs/kiss_modem_protocol.md): raw LoRa frames, a true "sent".
 * All numbers are little-endian. It has no "off": what is set, is on the air. It says how long frames take, from which its
 * preamble follows. What it heard about a frame comes behind the frame, so a frame is held until then. */
#include "radio-bridge/driver_core_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { KISS_DATA = 0, KISS_TXDELAY = 1, KISS_HARDWARE = 6 };

/* Answers are the question with the high bit. */
enum {
    SET_RADIO = 0x09,
    SET_TXPOWER,
    GET_RADIO,
    GET_TXPOWER,
    GET_AIRTIME = 0x0f,
    GET_NOISE,
    GET_VERSION,
    GET_NAME = 0x16,
    PING,
    REBOOT,
    SET_SIGNAL_REPORT,
    ANSWER = 0x80,
    SAY_ERROR = 0xf1,
    SAY_TX_DONE = 0xf8,
    SAY_RX_META,
};

enum { GOT_VERSION = 1, GOT_PONG = 2, GOT_RADIO = 4, GOT_TXPOWER = 8, GOT_AIRTIME = 16 };
typedef enum { PHASE_ASK, PHASE_SET, PHASE_READY } phase;

#define ERROR_TX_BUSY    7
#define TXDELAY_10MS     2u /* the usual 500 ms is for transmitters that must warm up */
#define ASK_AGAIN_MS     700u
#define ASK_MS           6000u
#define SET_MS           5000u
#define ALIVE_EVERY_MS   3000u
#define SILENCE_MAX_MS   12000u
#define STUCK_MS         60000u
#define META_MS          100u
#define PREAMBLE_MIN     8u
#define PREAMBLE_UNKNOWN 64u

typedef struct {
    driver base;
    kiss_reader in;
    phase phase;
    unsigned got;
    mono_ms phase_end, again_at, said_at, heard_at;
    uint32_t hz, bw_hz, airtime_ms;
    uint8_t sf, cr, txpower;
    uint16_t preamble;
    bool flies, restart_next;
    size_t frame_len;
    mono_ms tx_at;
    uint8_t held[RADIO_FRAME_MAX_BYTES]; /* heard, its signal not yet */
    size_t held_len;
    mono_ms held_until;
} meshcore;

static meshcore *of(driver *d)
{
    return (meshcore *)(void *)d;
}

static const meshcore *at(const driver *d)
{
    return (const meshcore *)(const void *)d;
}

static uint32_t get_u32le(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void put_u32le(uint8_t *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* ---- to the modem ---- */

static void ask(meshcore *m, uint8_t what, const void *p, size_t n)
{
    uint8_t wire[16] = {what};
    if (n > 0)
        memcpy(wire + 1, p, n);
    kiss_put(&m->base.out, KISS_HARDWARE, bytes_of(wire, 1 + n));
}

static void ask_u8(meshcore *m, uint8_t what, uint8_t v)
{
    ask(m, what, &v, 1);
}

static void say_ask(meshcore *m)
{
    ask(m, PING, NULL, 0);
    ask(m, GET_VERSION, NULL, 0);
    ask(m, GET_NAME, NULL, 0);
}

static void say_settings(meshcore *m)
{
    static const uint8_t delay = TXDELAY_10MS;
    const driver_settings *s = &m->base.set;
    uint8_t radio[10];
    put_u32le(radio, s->hz);
    put_u32le(radio + 4, s->bw_hz);
    radio[8] = s->sf;
    radio[9] = s->cr;
    ask(m, SET_RADIO, radio, sizeof radio);
    ask_u8(m, SET_TXPOWER, (uint8_t)s->txpower_dbm);
    ask_u8(m, SET_SIGNAL_REPORT, 1);
    kiss_put(&m->base.out, KISS_TXDELAY, bytes_of(&delay, 1));
    ask(m, GET_RADIO, NULL, 0);
    ask(m, GET_TXPOWER, NULL, 0);
    ask_u8(m, GET_AIRTIME, LORA_PAYLOAD_MAX_BYTES);
}

/* ---- time on air ---- */

static lora_modulation modulation(const meshcore *m, uint16_t preamble)
{
    const driver_settings *s = &m->base.set;
    return (lora_modulation){.chip = LORA_SX126X,
                             .sf = s->sf,
                             .cr = s->cr,
                             .preamble_symbols = preamble,
                             .bw_hz = s->bw_hz,
                             .ldro = lora_ldro_semtech(s->sf, s->bw_hz)};
}

static uint64_t on_airtime_us(const driver *d, size_t frame_bytes)
{
    lora_modulation l = modulation(at(d), at(d)->preamble);
    return airtime_us(&l, frame_bytes);
}

/* The shortest preamble with which the longest frame takes what the modem says, and the part of a ms that it cut off. */
static void learn_preamble(meshcore *m)
{
    uint64_t most = (uint64_t)(m->airtime_ms + 1) * 1000;
    m->preamble = PREAMBLE_MIN;
    for (; m->preamble < PREAMBLE_UNKNOWN; m->preamble++) {
        lora_modulation l = modulation(m, m->preamble);
        if (airtime_us(&l, LORA_PAYLOAD_MAX_BYTES) >= most)
            return;
    }
}

/* ---- phases ---- */

static void enter(meshcore *m, phase p, mono_ms now)
{
    m->phase = p;
    m->got = 0;
    m->said_at = now;
    m->again_at = mono_after(now, ASK_AGAIN_MS);
    if (p == PHASE_ASK) {
        m->base.state = DRIVER_ASKING;
        m->phase_end = mono_after(now, ASK_MS);
        say_ask(m);
    } else if (p == PHASE_SET) {
        m->base.state = DRIVER_SETTING;
        m->phase_end = mono_after(now, SET_MS);
        say_settings(m);
    } else {
        driver_is_ready(&m->base, now);
    }
}

static void on_opened(driver *d, mono_ms now)
{
    meshcore *m = of(d);
    bool restart = (d->set.restart_first || m->restart_next) && !d->set.ask_only;
    *m = (meshcore){.base = m->base, .heard_at = now, .preamble = PREAMBLE_UNKNOWN};
    kiss_reader_init(&m->in);
    m->base.set.restart_first = false;
    if (restart)
        ask(m, REBOOT, NULL, 0);
    enter(m, PHASE_ASK, now);
}

static void on_closed(driver *d, mono_ms now)
{
    meshcore *m = of(d);
    (void)now;
    m->restart_next = m->restart_next || m->flies;
    m->flies = false;
}

static bool settings_match(meshcore *m, mono_ms now)
{
    driver_settings has = {.hz = m->hz, .bw_hz = m->bw_hz, .sf = m->sf, .cr = m->cr};
    has.txpower_dbm = (int8_t)m->txpower;
    return driver_took_settings(&m->base, &has, now);
}

static void progress(meshcore *m, mono_ms now)
{
    unsigned asked = GOT_VERSION | GOT_PONG, set = GOT_RADIO | GOT_TXPOWER | GOT_AIRTIME;
    if (m->phase == PHASE_ASK && (m->got & asked) == asked) {
        enter(m, m->base.set.ask_only ? PHASE_READY : PHASE_SET, now);
    } else if (m->phase == PHASE_SET && (m->got & set) == set && settings_match(m, now)) {
        learn_preamble(m);
        enter(m, PHASE_READY, now);
    }
}

/* ---- frames ---- */

static bool on_busy(const driver *d)
{
    return at(d)->flies;
}

static void on_send(driver *d, bytes frame, mono_ms now)
{
    meshcore *m = of(d);
    m->flies = true;
    m->frame_len = frame.len;
    m->tx_at = m->said_at = now;
    kiss_put(&d->out, KISS_DATA, frame);
}

static void tx_ended(meshcore *m, driver_event_kind kind)
{
    if (!m->flies)
        return;
    m->flies = false;
    driver_say(&m->base, kind, kind == DRIVER_SENT);
}

static int16_t signed_of(uint8_t v)
{
    return (int16_t)(v < 128 ? v : v - 256);
}

/* Without a word about its signal when `meta` is NULL. */
static void deliver(meshcore *m, const uint8_t *meta)
{
    driver_event e = {.kind = DRIVER_HEARD, .frame = bytes_of(m->held, m->held_len)};
    if (m->held_len == 0)
        return;
    if (meta != NULL) {
        e.snr_cdb = (int16_t)(signed_of(meta[0]) * 25);
        e.rssi_dbm = signed_of(meta[1]);
    }
    m->held_len = 0;
    m->base.tell(m->base.context, &e);
}

static void hold(meshcore *m, bytes frame, mono_ms now)
{
    deliver(m, NULL);
    if (frame.len == 0 || frame.len > sizeof m->held)
        return;
    memcpy(m->held, frame.p, frame.len);
    m->held_len = frame.len;
    m->held_until = mono_after(now, META_MS);
}

/* ---- from the modem ---- */

static void on_radio(meshcore *m, const uint8_t *p)
{
    m->hz = get_u32le(p);
    m->bw_hz = get_u32le(p + 4);
    m->sf = p[8];
    m->cr = p[9];
    m->got |= GOT_RADIO;
}

static void on_about(meshcore *m, uint8_t what, bytes in)
{
    driver_about *a = &m->base.about;
    if (what == GET_NAME)
        (void)snprintf(a->model, sizeof a->model, "%.*s", (int)in.len, (const char *)in.p);
    else
        (void)snprintf(a->firmware, sizeof a->firmware, "%u", in.p[0]);
    m->got |= what == GET_VERSION ? GOT_VERSION : 0;
}

static void on_numbers(meshcore *m, uint8_t what, bytes in)
{
    if (what == GET_TXPOWER) {
        m->txpower = in.p[0];
        m->got |= GOT_TXPOWER;
    } else if (what == GET_AIRTIME && in.len >= 4) {
        m->airtime_ms = get_u32le(in.p);
        m->got |= GOT_AIRTIME;
    } else if (what == GET_RADIO && in.len >= 10) {
        on_radio(m, in.p);
    } else if (what == GET_NOISE && in.len >= 2) {
        m->base.channel.noise_dbm = (int16_t)(uint16_t)(in.p[1] << 8 | in.p[0]);
    }
}

static void on_answer(meshcore *m, uint8_t what, bytes in)
{
    if (what == (PING | ANSWER))
        m->got |= GOT_PONG;
    else if (in.len == 0)
        return;
    else if (what == SAY_RX_META && in.len >= 2)
        deliver(m, in.p);
    else if (what == SAY_TX_DONE)
        tx_ended(m, in.p[0] == 1 ? DRIVER_SENT : DRIVER_LOST);
    else if (what == SAY_ERROR && in.p[0] == ERROR_TX_BUSY && m->phase == PHASE_READY)
        tx_ended(m, DRIVER_LOST);
    else if (what == (GET_NAME | ANSWER) || what == (GET_VERSION | ANSWER))
        on_about(m, what & (ANSWER - 1), in);
    else if (what >= ANSWER && what < SAY_ERROR)
        on_numbers(m, what & (ANSWER - 1), in);
}

static void on_feed(driver *d, bytes in, mono_ms now)
{
    meshcore *m = of(d);
    m->heard_at = in.len > 0 ? now : m->heard_at;
    for (size_t i = 0; i < in.len && d->state != DRIVER_CLOSED; i++) {
        if (!kiss_take(&m->in, in.p[i]))
            continue;
        bytes frame = bytes_of(m->in.data + 1, m->in.len - 1);
        if (m->in.data[0] == KISS_DATA && m->phase == PHASE_READY)
            hold(m, frame, now);
        else if (m->in.data[0] == KISS_HARDWARE && frame.len > 0)
            on_answer(m, frame.p[0], bytes_of(frame.p + 1, frame.len - 1));
        progress(m, now);
    }
}

/* ---- time ---- */

static uint64_t patience_ms(const meshcore *m)
{
    return STUCK_MS + on_airtime_us(&m->base, m->frame_len) / 1000;
}

static void watch(meshcore *m, mono_ms now)
{
    if (m->held_len > 0 && now.ms >= m->held_until.ms)
        deliver(m, NULL);
    if (now.ms - m->heard_at.ms >= SILENCE_MAX_MS) {
        driver_fail(&m->base, DRIVER_STOPPED, now, "it stopped answering");
    } else if (m->flies && now.ms - m->tx_at.ms >= patience_ms(m)) {
        driver_fail(&m->base, DRIVER_STUCK, now, "it did not send a frame within %llu s",
                    (unsigned long long)patience_ms(m) / 1000);
    } else if (now.ms - m->said_at.ms >= ALIVE_EVERY_MS) {
        ask(m, GET_NOISE, NULL, 0);
        m->said_at = now;
    }
}

static void on_advance(driver *d, mono_ms now)
{
    meshcore *m = of(d);
    if (m->phase == PHASE_READY) {
        watch(m, now);
    } else if (now.ms >= m->phase_end.ms && m->phase == PHASE_SET) {
        driver_fail(d, DRIVER_STOPPED, now, "it stopped answering while it was being set up");
    } else if (now.ms >= m->phase_end.ms) {
        driver_fail(d, m->in.frames > 0 ? DRIVER_FOREIGN : DRIVER_SILENT, now,
                    "it does not answer as MeshCore's KISS modem does");
    } else if (now.ms >= m->again_at.ms) {
        (m->phase == PHASE_ASK ? say_ask : say_settings)(m);
        m->again_at = mono_after(now, ASK_AGAIN_MS);
    }
}

static mono_ms on_next(const driver *d)
{
    const meshcore *m = at(d);
    if (m->phase != PHASE_READY)
        return mono_first(m->phase_end, m->again_at);
    mono_ms t =
        mono_first(mono_after(m->heard_at, SILENCE_MAX_MS), mono_after(m->said_at, ALIVE_EVERY_MS));
    if (m->held_len > 0)
        t = mono_first(t, m->held_until);
    return m->flies ? mono_first(t, mono_after(m->tx_at, patience_ms(m))) : t;
}

/* ---- the rest ---- */

static void on_leave(driver *d)
{
    (void)d; /* it listens on, for whoever comes next */
}

static driver *make(void)
{
    meshcore *m = calloc(1, sizeof *m);
    return m == NULL ? NULL : &m->base;
}

static void drop(driver *d)
{
    free(of(d));
}

const driver_kind driver_meshcore = {
    .name = "meshcore",
    .title = "MeshCore modem",
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
    .airtime_us = on_airtime_us,
};
