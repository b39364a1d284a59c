/* What each byte of the host does. A command acts as soon as its argument is complete, not at the closing FEND; a second
 * argument byte acts again. */
#include "ether/modem_core_impl.h"

typedef enum {
    ARG_BYTE,    /* every byte, as it comes: FESC is an ordinary value */
    ARG_ESCAPED, /* every byte, un-escaped */
    ARG_FIXED    /* `len` bytes, un-escaped */
} arg_kind;

typedef struct {
    uint8_t command;
    arg_kind kind;
    uint8_t len;
    void (*run)(modem *m, uint8_t b);
} command_row;

/* ---- settings ---- */

static void on_frequency(modem *m, uint8_t b)
{
    uint32_t v = get_u32be(m->arg);
    (void)b;
    if (v != 0) {
        m->hz = v;
        if (!m->tnc && m->tuning.on)
            modem_apply_frequency(m);
    }
    modem_say_u32(m, CMD_FREQUENCY, m->hz);
}

static void on_bandwidth(modem *m, uint8_t b)
{
    uint32_t v = get_u32be(m->arg);
    (void)b;
    if (v != 0) {
        m->bw_hz = v;
        if (!m->tnc && m->tuning.on) {
            modem_apply(m);
            modem_update_bitrate(m);
        }
    }
    modem_say_u32(m, CMD_BANDWIDTH, m->bw_hz);
}

static void on_txpower(modem *m, uint8_t b)
{
    uint8_t max = m->board->txpower_max_dbm;
    if (b != 0xff) {
        m->txpower = b > max ? max : b;
        if (!m->tnc && m->tuning.on)
            modem_apply(m);
    }
    modem_say_u8(m, CMD_TXPOWER, m->txpower);
}

static uint8_t clamp(uint8_t v, uint8_t min, uint8_t max)
{
    return v < min ? min : v > max ? max : v;
}

/* These two compute the bit rate anew even when nothing reaches the radio. */
static void on_sf(modem *m, uint8_t b)
{
    if (b != 0xff) {
        m->sf = clamp(b, LORA_SF_MIN, LORA_SF_MAX);
        if (!m->tnc && m->tuning.on) {
            modem_apply(m);
            modem_update_bitrate(m);
        }
    }
    modem_say_u8(m, CMD_SF, m->sf);
}

static void on_cr(modem *m, uint8_t b)
{
    if (b != 0xff) {
        m->cr = clamp(b, LORA_CR_MIN, LORA_CR_MAX);
        if (!m->tnc && m->tuning.on) {
            modem_apply(m);
            modem_update_bitrate(m);
        }
    }
    modem_say_u8(m, CMD_CR, m->cr);
}

static void on_implicit(modem *m, uint8_t b)
{
    m->implicit_len = b;
    m->implicit = b != 0;
    modem_say_u8(m, CMD_IMPLICIT, b);
}

static void on_radio_state(modem *m, uint8_t b)
{
    if (b == 0x00)
        modem_stop_radio(m);
    else if (b == 0x01)
        modem_start_radio(m);
    else if (b != 0xff)
        return;
    modem_say_u8(m, CMD_RADIO_STATE, m->tuning.on);
}

static float limit_of(const modem *m)
{
    float limit = (float)get_u16be(m->arg) / (100.0F * 100.0F);
    return limit >= 1.0F ? 0.0F : limit;
}

static void say_limit(modem *m, uint8_t command, float limit)
{
    uint16_t v = (uint16_t)(limit * 100 * 100);
    modem_say_u16s(m, command, &v, 1);
}

static void on_st_alock(modem *m, uint8_t b)
{
    (void)b;
    m->st_limit = limit_of(m);
    say_limit(m, CMD_ST_ALOCK, m->st_limit);
}

static void on_lt_alock(modem *m, uint8_t b)
{
    (void)b;
    m->lt_limit = limit_of(m);
    say_limit(m, CMD_LT_ALOCK, m->lt_limit);
}

static void on_promisc(modem *m, uint8_t b)
{
    if (b <= 1)
        m->promisc = b == 1;
    modem_say_u8(m, CMD_PROMISC, m->promisc);
}

/* ---- questions ---- */

static void on_radio_lock(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_RADIO_LOCK,
                 m->hz == 0 || m->bw_hz == 0 || m->txpower == TXPOWER_UNSET || m->sf == 0);
}

static void on_detect(modem *m, uint8_t b)
{
    if (b == 0x73)
        modem_say_u8(m, CMD_DETECT, 0x46);
}

static void on_leave(modem *m, uint8_t b)
{
    if (b == 0xff) {
        m->last_rssi = RSSI_NONE;
        m->last_snr = 0x80;
    }
}

static void on_ready(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_READY, !modem_queue_full(m));
}

/* Counted by nobody: always 0. */
static void on_stat(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u32(m, m->command, 0);
}

static void on_stat_rssi(modem *m, uint8_t b)
{
    (void)b;
    modem_say_rssi(m);
}

static void on_random(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_RANDOM, (uint8_t)air_below(&m->dice, 255));
}

static void on_board(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_BOARD, m->board->board);
}

static void on_platform(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_PLATFORM, (uint8_t)m->board->platform);
}

static void on_mcu(modem *m, uint8_t b)
{
    (void)b;
    modem_say_u8(m, CMD_MCU, m->board->mcu);
}

/* Not escaped: version 1.192 would end the frame. */
static void on_version(modem *m, uint8_t b)
{
    (void)b;
    modem_say_raw(m, FEND);
    modem_say_raw(m, CMD_FW_VERSION);
    modem_say_raw(m, (uint8_t)(m->version >> 8));
    modem_say_raw(m, (uint8_t)m->version);
    modem_say_raw(m, FEND);
}

/* ---- provisioning ---- */

static void on_rom_read(modem *m, uint8_t b)
{
    (void)b;
    modem_say(m, CMD_ROM_READ, m->rom, ROM_BYTES);
}

static void on_rom_write(modem *m, uint8_t b)
{
    (void)b;
    if (m->rom[ROM_LOCK] == ROM_OK_BYTE || m->arg[0] >= ROM_BYTES)
        modem_say_u8(m, CMD_ERROR, ERROR_EEPROM_LOCKED);
    else
        m->rom[m->arg[0]] = m->arg[1];
}

static void on_conf_save(modem *m, uint8_t b)
{
    (void)b;
    if (m->tuning.on)
        modem_do(m, MODEM_FAULT_TNC, 1, m->now);
}

static void on_conf_delete(modem *m, uint8_t b)
{
    (void)b;
    modem_do(m, MODEM_FAULT_TNC, 0, m->now);
}

static void on_unlock(modem *m, uint8_t b)
{
    if (b == 0xf8) {
        memset(m->rom, 0xff, sizeof m->rom);
        modem_restart(m);
    }
}

static void on_reset(modem *m, uint8_t b)
{
    if (b == 0xf8)
        modem_restart(m);
}

static void on_avoidance(modem *m, uint8_t b)
{
    m->rom[ROM_NO_AVOIDANCE] = b > 0;
    modem_restart(m);
}

/* Hashes of nothing, but of this device: the same each time, another for every station. */
static void say_hash(modem *m, uint8_t command, uint8_t which)
{
    uint8_t wire[1 + HASH_BYTES] = {which};
    air_dice d = air_dice_for(m->board->board, m->spec.station, (uint32_t)command << 8 | which);
    for (size_t i = 0; i < HASH_BYTES; i++)
        wire[1 + i] = (uint8_t)air_roll(&d);
    size_t skip = which == 0 ? 1 : 0;
    modem_say(m, command, wire + skip, sizeof wire - skip);
}

static void on_dev_hash(modem *m, uint8_t b)
{
    if (b != 0 && modem_has_stats(m))
        say_hash(m, CMD_DEV_HASH, 0);
}

static void on_hashes(modem *m, uint8_t b)
{
    if (b >= 1 && b <= 4 && modem_has_stats(m))
        say_hash(m, CMD_HASHES, b);
}

static void on_config_read(modem *m, uint8_t b)
{
    uint8_t blank[CONFIG_BYTES];
    (void)b;
    memset(blank, 0xff, sizeof blank);
    modem_say(m, CMD_CFG_READ, blank, m->board->platform == MODEM_ESP32 ? sizeof blank : 0);
}

/* ---- the display ---- */

static void on_fb_external(modem *m, uint8_t b)
{
    if (!modem_has_stats(m) || (b > 1 && b != 0xff))
        return;
    if (b != 0xff)
        m->fb_external = b == 1;
    modem_say_u8(m, CMD_FB_EXT, m->fb_external);
}

static void on_fb_read(modem *m, uint8_t b)
{
    static const uint8_t none = 0xff;
    if (b != 0)
        modem_say(m, CMD_FB_READ, modem_has_stats(m) ? m->framebuffer : &none,
                  modem_has_stats(m) ? FB_BYTES : 1);
}

static void on_fb_write(modem *m, uint8_t b)
{
    size_t line = m->arg[0] > 63 ? 63 : m->arg[0];
    (void)b;
    memcpy(m->framebuffer + line * 8, m->arg + 1, 8);
}

static void on_display_read(modem *m, uint8_t b)
{
    uint8_t screen[DISP_BYTES] = {0};
    if (b == 0)
        return;
    memcpy(screen, m->framebuffer, FB_BYTES);
    screen[0] = modem_has_stats(m) ? screen[0] : 0xff;
    modem_say(m, CMD_DISP_READ, screen, modem_has_stats(m) ? sizeof screen : 1);
}

static void on_ignored(modem *m, uint8_t b)
{
    (void)m;
    (void)b;
}

/* What is not here is ignored, too; these take their argument un-escaped and so share the flag of the escape. */
static const command_row rows[] = {
    {CMD_FREQUENCY, ARG_FIXED, 4, on_frequency},
    {CMD_BANDWIDTH, ARG_FIXED, 4, on_bandwidth},
    {CMD_TXPOWER, ARG_BYTE, 1, on_txpower},
    {CMD_SF, ARG_BYTE, 1, on_sf},
    {CMD_CR, ARG_BYTE, 1, on_cr},
    {CMD_RADIO_STATE, ARG_BYTE, 1, on_radio_state},
    {CMD_RADIO_LOCK, ARG_BYTE, 1, on_radio_lock},
    {CMD_DETECT, ARG_BYTE, 1, on_detect},
    {CMD_IMPLICIT, ARG_BYTE, 1, on_implicit},
    {CMD_LEAVE, ARG_BYTE, 1, on_leave},
    {CMD_ST_ALOCK, ARG_FIXED, 2, on_st_alock},
    {CMD_LT_ALOCK, ARG_FIXED, 2, on_lt_alock},
    {CMD_PROMISC, ARG_BYTE, 1, on_promisc},
    {CMD_READY, ARG_BYTE, 1, on_ready},
    {CMD_STAT_RX, ARG_BYTE, 1, on_stat},
    {CMD_STAT_TX, ARG_BYTE, 1, on_stat},
    {CMD_STAT_RSSI, ARG_BYTE, 1, on_stat_rssi},
    {CMD_BLINK, ARG_BYTE, 1, on_ignored},
    {CMD_RANDOM, ARG_BYTE, 1, on_random},
    {CMD_FB_EXT, ARG_BYTE, 1, on_fb_external},
    {CMD_FB_READ, ARG_BYTE, 1, on_fb_read},
    {CMD_FB_WRITE, ARG_FIXED, 9, on_fb_write},
    {CMD_BOARD, ARG_BYTE, 1, on_board},
    {CMD_PLATFORM, ARG_BYTE, 1, on_platform},
    {CMD_MCU, ARG_BYTE, 1, on_mcu},
    {CMD_FW_VERSION, ARG_BYTE, 1, on_version},
    {CMD_ROM_READ, ARG_BYTE, 1, on_rom_read},
    {CMD_ROM_WRITE, ARG_FIXED, 2, on_rom_write},
    {CMD_CONF_SAVE, ARG_BYTE, 1, on_conf_save},
    {CMD_CONF_DELETE, ARG_BYTE, 1, on_conf_delete},
    {CMD_RESET, ARG_BYTE, 1, on_reset},
    {CMD_DEV_HASH, ARG_BYTE, 1, on_dev_hash},
    {CMD_DEV_SIG, ARG_FIXED, CMD_MAX_BYTES, on_ignored},
    {CMD_FW_HASH, ARG_FIXED, HASH_BYTES, on_ignored},
    {CMD_UNLOCK_ROM, ARG_BYTE, 1, on_unlock},
    {CMD_HASHES, ARG_BYTE, 1, on_hashes},
    {CMD_DISP_READ, ARG_BYTE, 1, on_display_read},
    {CMD_DIS_IA, ARG_ESCAPED, 1, on_avoidance},
    {CMD_CFG_READ, ARG_BYTE, 1, on_config_read},
};

static const command_row *row_of(uint8_t command)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].command == command)
            return &rows[i];
    return NULL;
}

/* False: the byte was the first of an escape. The flag outlives the frame it was in. */
static bool unescape(modem *m, uint8_t *b)
{
    if (*b == FESC) {
        m->escape = true;
        return false;
    }
    if (m->escape)
        *b = *b == TFEND ? FEND : *b == TFESC ? FESC : *b;
    m->escape = false;
    return true;
}

static void take_argument(modem *m, uint8_t b)
{
    const command_row *row = row_of(m->command);
    if (row == NULL)
        return;
    bool whole = row->kind == ARG_BYTE || unescape(m, &b);
    if (row->kind != ARG_FIXED) {
        if (whole)
            row->run(m, b);
        return;
    }
    if (whole && m->arg_len < CMD_MAX_BYTES)
        m->arg[m->arg_len++] = b;
    if (m->arg_len == row->len) /* a FESC behind it acts once more */
        row->run(m, b);
}

void modem_byte(modem *m, uint8_t b)
{
    if (m->in_frame && b == FEND && m->command == CMD_DATA) {
        m->in_frame = false; /* the next data frame needs a FEND of its own */
        modem_queue_close(m);
    } else if (b == FEND) {
        m->in_frame = true;
        m->command = CMD_UNKNOWN;
        m->arg_len = 0;
    } else if (!m->in_frame) {
        return;
    } else if (m->arg_len == 0 && m->command == CMD_UNKNOWN) {
        m->command = b;
    } else if (m->command != CMD_DATA) {
        take_argument(m, b);
    } else if (unescape(m, &b)) {
        modem_queue_byte(m, b);
    }
}
