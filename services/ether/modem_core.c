#include "ether/modem_core_impl.h"

#include <stdlib.h>

#define SLOT_SYMBOLS  12
#define SLOT_MIN_MS   24
#define SLOT_MAX_MS   100
#define FAST_DELTA    18
#define GUARD_BPS     14000u /* above: one packet after another, not the whole queue */
#define AVR_PREAMBLE  8      /* the chip's own: that firmware never sets one */
#define VERSION       0x0156
#define BLANK_TEXT    "Device unprovisioned, no device configuration found in EEPROM\r\n"
#define CHECKSUM_TEXT "Invalid EEPROM checksum\r\n"
#define BABBLE_TEXT   "$GPGGA,120000.00,4717.11,N,00833.91,E,1,08,1.01,499.6,M,48.0,M,,*5B\r\n"
#define BATTERY_STATUS                                                                             \
    {                                                                                              \
        1, 80                                                                                      \
    } /* discharging, percent */

/* ---- the radio ---- */

static uint32_t bandwidth_of(uint32_t asked_hz)
{
    static const uint32_t table[] = {7800,  10400, 15600,  20800,  31250,
                                     41700, 62500, 125000, 250000, 500000};
    size_t i = 0;
    while (i + 1 < sizeof table / sizeof table[0] && asked_hz > table[i])
        i++;
    return table[i];
}

/* The SX127x's register counts in steps of 32 MHz / 2^19, and the firmware reads it back. */
static uint32_t frequency_of(const modem *m)
{
    uint64_t step = ((uint64_t)m->hz << 19) / 32000000;
    return m->board->chip == LORA_SX127X ? (uint32_t)(step * 32000000 >> 19) : m->hz;
}

void modem_apply_frequency(modem *m)
{
    m->hz = frequency_of(m);
    m->tuning.hz = m->hz;
}

void modem_apply(modem *m)
{
    uint8_t sf = m->board->chip == LORA_SX127X && m->sf < 6 ? 6 : m->sf;
    uint16_t preamble = modem_has_stats(m) ? m->tuning.lora.preamble_symbols : AVR_PREAMBLE;
    m->bw_hz = bandwidth_of(m->bw_hz);
    m->tuning.txpower_dbm = (int8_t)m->txpower;
    m->tuning.on = true;
    m->tuning.lora = (lora_modulation){.chip = m->board->chip,
                                       .sf = sf,
                                       .cr = m->cr,
                                       .bw_hz = m->bw_hz,
                                       .preamble_symbols = preamble,
                                       .ldro = rnode_ldro(sf, m->bw_hz),
                                       .implicit_header = m->implicit};
}

/* In floating point and milliseconds, as the firmware does it: PHYPRM shows what comes of it. */
void modem_update_bitrate(modem *m)
{
    modem_csma *c = &m->csma;
    lora_modulation l = rnode_modulation(m->board->chip, m->sf, m->cr, m->bw_hz);
    uint32_t bps = lora_bitrate_bps(&l);
    if (!modem_has_stats(m))
        return;
    m->symbol_ms = (float)(1000.0 * (double)(1u << m->sf) / (double)m->bw_hz);
    m->slow_rate = bps <= GUARD_BPS;
    c->slot_ms = (uint32_t)(m->symbol_ms * SLOT_SYMBOLS);
    if (c->slot_ms > SLOT_MAX_MS)
        c->slot_ms = SLOT_MAX_MS;
    if (c->slot_ms < SLOT_MIN_MS)
        c->slot_ms = bps > RNODE_FAST_BPS ? SLOT_MIN_MS - FAST_DELTA : SLOT_MIN_MS;
    c->difs_ms = 2 * c->slot_ms;
    m->preamble = rnode_preamble_symbols(m->sf, m->cr, m->bw_hz);
    m->tuning.lora.preamble_symbols = l.preamble_symbols;
    modem_say_phy(m);
    float preamble_ms = (float)m->preamble * m->symbol_ms;
    m->preamble_ms = (uint32_t)preamble_ms + ((float)(uint32_t)preamble_ms < preamble_ms);
}

static bool is_locked(const modem *m)
{
    return m->hz == 0 || m->bw_hz == 0 || m->txpower == TXPOWER_UNSET || m->sf == 0;
}

static void switch_on(modem *m)
{
    if (m->board->platform == MODEM_ESP32)
        modem_stats_clear(m); /* and with them the memory of an hour's airtime */
    m->stats.next = m->now;
    modem_apply_frequency(m);
    modem_apply(m);
    for (int i = 0; i < 3; i++) /* bandwidth, spreading factor, coding rate */
        modem_update_bitrate(m);
    modem_say_u8(m, CMD_RADIO_STATE, 1);
}

void modem_start_radio(modem *m)
{
    if (m->tuning.on) {
        modem_say_u8(m, CMD_RADIO_STATE, 1);
    } else if (is_locked(m) || !m->hw_ready) {
        modem_say_u8(m, CMD_RADIO_STATE, 0);
    } else if (m->starts_to_fail > 0) {
        m->starts_to_fail--;
        modem_say_u8(m, CMD_ERROR, ERROR_INITRADIO);
        m->hung = true; /* blinks its LED for ever */
    } else {
        switch_on(m);
    }
}

void modem_stop_radio(modem *m)
{
    m->tuning.on = false;
}

/* ---- start ---- */

static void fill_rom(modem *m)
{
    const modem_board *b = m->board;
    const uint8_t info[] = {b->product, b->model, 1, 0, 0, 0, 1, 0x65, 0, 0, 0};
    memset(m->rom, 0xff, sizeof m->rom);
    memcpy(m->rom, info, sizeof info);
    memcpy(m->rom + ROM_CHECKSUM, b->checksum, sizeof b->checksum);
    m->rom[ROM_LOCK] = ROM_OK_BYTE;
    m->rom[ROM_NO_AVOIDANCE] = 0; /* a fresh EEPROM has 0xff here, which means no avoidance */
}

static void forget_settings(modem *m)
{
    m->hz = m->bw_hz = 0;
    m->sf = ROM_SF_UNSET;
    m->cr = LORA_CR_MIN;
    m->txpower = TXPOWER_UNSET;
    m->st_limit = m->lt_limit = 0;
    m->symbol_ms = 0;
    m->preamble = RNODE_PREAMBLE_MIN;
    m->preamble_ms = 0;
    m->slow_rate = true;
    m->tuning = (air_tuning){.lora.bw_hz = 125000, .lora.sf = 7};
    m->csma = (modem_csma){.difs_start_us = UINT64_MAX,
                           .cw_start_us = UINT64_MAX,
                           .cw = -1,
                           .band = 1,
                           .max = 15,
                           .slot_ms = SLOT_MIN_MS,
                           .difs_ms = 2 * SLOT_MIN_MS};
    m->stats = (modem_stats){.left = SEGMENT, .floor_dbm = RSSI_NONE};
}

void modem_restart(modem *m)
{
    m->started = m->now;
    m->boot_end = air_after(m->now, MODEM_BOOT_US);
    m->in_frame = m->escape = false;
    m->command = CMD_UNKNOWN;
    m->arg_len = 0;
    m->hw_ready = m->tnc = m->promisc = m->implicit = m->fb_external = false;
    m->dcd_stuck = m->hung = m->tx_to_hang = false;
    m->implicit_len = 0;
    memset(&m->queue, 0, sizeof m->queue);
    uint64_t serial = m->tx.serial;
    m->tx = (modem_tx){.serial = serial};
    m->last_rssi = RSSI_NONE;
    m->last_snr = 0x80;
    m->seq = SEQ_UNSET;
    m->rx_len = 0;
    buf_clear(&m->uart);
    forget_settings(m);
    modem_say_text(m, m->board->boot_text);
}

static void load_settings(modem *m)
{
    m->sf = m->rom[ROM_SF];
    m->cr = m->rom[ROM_CR];
    m->txpower = m->rom[ROM_TXPOWER];
    m->bw_hz = get_u32be(m->rom + ROM_BW);
    m->hz = get_u32be(m->rom + ROM_FREQUENCY);
}

static bool is_sane(const modem *m)
{
    return m->sf >= LORA_SF_MIN && m->sf <= LORA_SF_MAX && m->cr >= LORA_CR_MIN &&
           m->cr <= LORA_CR_MAX && m->bw_hz > 0;
}

static void boot(modem *m)
{
    m->boot_end = AIR_NEVER;
    if (modem_has_stats(m))
        modem_say_u8(m, CMD_RESET, 0xf8);
    /* On AVR the noise floor is never learnt; avoiding it would mean never to send. */
    m->avoid = modem_has_stats(m) && m->rom[ROM_NO_AVOIDANCE] == 0;
    bool blank = m->rom[ROM_LOCK] != ROM_OK_BYTE;
    m->hw_ready =
        !blank && memcmp(m->rom + ROM_CHECKSUM, m->board->checksum, sizeof m->board->checksum) == 0;
    if (!m->hw_ready) {
        modem_say_text(m, blank ? BLANK_TEXT : CHECKSUM_TEXT);
    } else if (m->rom[ROM_CONF_OK] == ROM_OK_BYTE) {
        load_settings(m);
        if (is_sane(m)) {
            m->tnc = true;
            modem_start_radio(m);
        } else {
            forget_settings(m); /* a real one would now send what nobody asked for */
        }
    }
}

modem *modem_new(const modem_spec *spec, air_us now)
{
    modem *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->spec = *spec;
    m->board = spec->board;
    m->dice = air_dice_for(spec->seed, spec->station, 0);
    m->now = now;
    m->version = VERSION;
    m->rssi_cdbm = AIR_DBM_NOTHING;
    m->babble_next = AIR_NEVER;
    m->battery_next = m->board->battery ? air_after(now, BATTERY_US) : AIR_NEVER;
    buf_init(&m->out, MODEM_OUTPUT_MAX_BYTES);
    buf_init(&m->uart, m->board->uart_bytes);
    fill_rom(m);
    modem_restart(m);
    return m;
}

void modem_free(modem **m)
{
    if (*m == NULL)
        return;
    buf_release(&(*m)->out);
    buf_release(&(*m)->uart);
    free(*m);
    *m = NULL;
}

/* ---- time ---- */

static air_us tcp_deadline(const modem *m)
{
    return m->host == MODEM_HOST_TCP && !modem_blocked(m)
               ? air_after(m->last_read, m->spec.tcp_timeout_us)
               : AIR_NEVER;
}

air_us modem_next(const modem *m)
{
    air_us t = m->babble_next;
    if (m->hung || m->babbles)
        return t;
    if (modem_booting(m))
        return m->boot_end;
    t = air_first(m->battery_next, tcp_deadline(m));
    if (modem_blocked(m))
        return air_first(t, m->tx.end);
    if (m->tuning.on && modem_has_stats(m))
        t = air_first(t, air_after(m->stats.next, (m->stats.left - 1ull) * SAMPLE_US));
    return air_first(t, modem_mac_next(m));
}

/* Bytes that came meanwhile, until one of them starts something long. */
static void take_bytes(modem *m, bytes in)
{
    for (size_t i = 0; i < in.len && !modem_booting(m) && !m->hung; i++)
        modem_byte(m, in.p[i]);
}

static void end_frame(modem *m)
{
    modem_tx_ended(m);
    if (modem_blocked(m) || modem_booting(m))
        return;
    m->stats.next = m->now;
    if (m->uart.len > 0)
        m->last_read = m->now;
    take_bytes(m, buf_view(&m->uart));
    buf_clear(&m->uart);
}

static void close_tcp(modem *m)
{
    m->host = MODEM_HOST_NONE;
    modem_stop_radio(m);
    m->last_rssi = RSSI_NONE;
    m->last_snr = 0x80;
}

static void report_battery(modem *m)
{
    static const uint8_t status[] = BATTERY_STATUS;
    m->battery_next = air_after(m->battery_next, BATTERY_US);
    /* The loop stands still while it sends. */
    if (!modem_blocked(m) && !modem_booting(m))
        modem_say(m, CMD_STAT_BAT, status, sizeof status);
}

static void step(modem *m)
{
    if (m->babble_next.us <= m->now.us) {
        modem_say_text(m, BABBLE_TEXT);
        m->babble_next = air_after(m->babble_next, BABBLE_US);
    }
    if (m->hung || m->babbles)
        return;
    if (modem_booting(m)) {
        if (m->boot_end.us <= m->now.us)
            boot(m);
        return;
    }
    if (m->battery_next.us <= m->now.us)
        report_battery(m);
    if (modem_blocked(m)) {
        if (m->tx.end.us <= m->now.us)
            end_frame(m);
        return;
    }
    modem_sample(m, m->now);
    if (tcp_deadline(m).us <= m->now.us)
        close_tcp(m);
    modem_mac(m);
}

void modem_advance(modem *m, air_us now)
{
    for (air_us t = modem_next(m); t.us <= now.us; t = modem_next(m)) {
        if (t.us > m->now.us)
            m->now = t;
        step(m);
    }
    m->now = now;
    if (!m->hung && !m->babbles && !modem_booting(m) && !modem_blocked(m))
        modem_sample(m, now);
}

/* ---- the host ---- */

void modem_set_host(modem *m, modem_host host, air_us now)
{
    modem_advance(m, now);
    m->host = host;
    m->last_read = now;
}

void modem_line_opened(modem *m, air_us now)
{
    modem_advance(m, now);
    if (m->board->resets_on_open && !m->babbles)
        modem_restart(m);
}

modem_host modem_host_of(const modem *m)
{
    return m->host;
}

static void keep_for_later(modem *m, bytes in)
{
    size_t room = m->uart.max - m->uart.len;
    if (!buf_add(&m->uart, in.p, in.len < room ? in.len : room))
        m->uart.err = ERR_OK;
}

void modem_feed(modem *m, bytes in, air_us now)
{
    modem_advance(m, now);
    if (in.len == 0 || m->babbles || m->hung)
        return;
    if (modem_blocked(m)) {
        keep_for_later(m, in);
        return;
    }
    m->last_read = now;
    take_bytes(m, in);
    modem_advance(m, now);
}

bytes modem_output(const modem *m)
{
    return buf_view(&m->out);
}

void modem_output_taken(modem *m, size_t n)
{
    m->out.len -= n;
    if (n > 0 && m->out.len > 0)
        memmove(m->out.p, m->out.p + n, m->out.len);
}

/* ---- the antenna ---- */

const air_tuning *modem_tuning(const modem *m)
{
    return &m->tuning;
}

bytes modem_sending(const modem *m, uint64_t *serial)
{
    *serial = m->tx.serial;
    return m->tx.stuck ? bytes_of(NULL, 0) : bytes_of(m->tx.frame, m->tx.frame_len);
}

void modem_carrier(modem *m, bool dcd, int16_t rssi_cdbm, air_us now)
{
    modem_advance(m, now);
    m->dcd = dcd;
    m->rssi_cdbm = rssi_cdbm;
    modem_mac(m);
}

modem_state modem_state_of(const modem *m)
{
    return (modem_state){.hz = m->hz,
                         .bw_hz = m->bw_hz,
                         .sf = m->sf,
                         .cr = m->cr,
                         .txpower_dbm = m->txpower,
                         .tnc = m->tnc,
                         .radio_on = m->tuning.on,
                         .booting = modem_booting(m),
                         .locked_by_airtime = modem_airtime_locked(m),
                         .queue_frames = m->queue.height,
                         .queued_bytes = m->queue.queued_bytes};
}
