/* What an RNode says, frame by frame. */
#include "radio-bridge/driver_core_rnode_impl.h"

#include <stdio.h>

#define DETECT_ANSWER 0x46
#define RSSI_OFFSET   157
#define RESTARTS_MAX  5u
#define WINDOW_MS     15000u /* of the airtime that CHTM begins with, in 1/10,000 */

/* ---- boards ---- */

typedef struct {
    uint8_t board;
    lora_chip chip;
    const char *name;
} board_row;

/* What is not here is taken for an SX126x, whose frames are never shorter. */
static const board_row boards[] = {
    {0x31, LORA_SX127X, "RNode 1"},          {0x32, LORA_SX127X, "homebrew RNode"},
    {0x33, LORA_SX127X, "LilyGO T-Beam"},    {0x3a, LORA_SX126X, "Heltec LoRa32 v3"},
    {0x3f, LORA_SX126X, "Heltec LoRa32 v4"}, {0x41, LORA_SX127X, "RNode 2.1"},
    {0x44, LORA_SX126X, "LilyGO T-Echo"},    {0x51, LORA_SX126X, "RAK4631"},
};

void rnode_learn_about(rnode *r)
{
    driver_about *a = &r->base.about;
    const char *platform = r->platform == PLATFORM_ESP32   ? "ESP32"
                           : r->platform == PLATFORM_NRF52 ? "nRF52"
                           : r->platform == PLATFORM_AVR   ? "AVR"
                                                           : "unknown";
    a->chip = LORA_SX126X;
    (void)snprintf(a->model, sizeof a->model, "RNode, board %02x", r->board);
    for (size_t i = 0; i < sizeof boards / sizeof boards[0]; i++)
        if (boards[i].board == r->board) {
            a->chip = boards[i].chip;
            (void)snprintf(a->model, sizeof a->model, "%s", boards[i].name);
        }
    (void)snprintf(a->firmware, sizeof a->firmware, "%u.%02u", r->version >> 8, r->version & 0xffu);
    (void)snprintf(a->platform, sizeof a->platform, "%s", platform);
}

void rnode_tx_ended(rnode *r, driver_event_kind kind, bool sure)
{
    if (r->tx == TX_NONE)
        return;
    r->tx = TX_NONE;
    driver_say(&r->base, kind, sure);
}

/* With its frame in it, an airtime cannot be less than this; the firmware counts a little too little. */
static bool airtime_may_hold_it(const rnode *r, uint16_t airtime)
{
    return airtime * (uint64_t)WINDOW_MS >= rnode_frame_ms(r) * 10000 * 3 / 4;
}

static void on_channel_report(rnode *r, const uint8_t *p, mono_ms now)
{
    uint16_t airtime = get_u16be(p);
    bool rose = r->airtime_known && airtime > r->airtime;
    r->airtime = airtime;
    r->airtime_known = true;
    r->base.channel.load_percent = get_u16be(p + 4) / 100;
    r->base.channel.noise_dbm = (int16_t)(p[9] - RSSI_OFFSET);
    if (r->tx != TX_FLIES)
        return;
    uint64_t waited = now.ms - r->tx_at.ms;
    if (rose)
        rnode_tx_ended(r, DRIVER_SENT, true);
    else if (waited > rnode_frame_ms(r) + RNODE_ACCESS_MS && airtime_may_hold_it(r, airtime))
        rnode_tx_ended(r, DRIVER_SENT, false);
}

/* ---- from the device ---- */

static void on_restarted(rnode *r, mono_ms now)
{
    if (r->phase == PHASE_RESTART) {
        r->got |= GOT_BOOT;
        return;
    }
    rnode_tx_ended(r, DRIVER_LOST, false);
    if (++r->restarts > RESTARTS_MAX)
        driver_fail(&r->base, DRIVER_RESTARTED, now, "it restarts again and again");
    else
        rnode_enter(r, PHASE_ASK, now);
}

static void on_error(rnode *r, uint8_t code, mono_ms now)
{
    if (code == ERROR_INIT_RADIO)
        driver_fail(&r->base, DRIVER_REFUSES, now, "its radio does not start (error 1)");
    else if (code == ERROR_TX_FAILED || code == ERROR_MODEM_TIMEOUT)
        rnode_tx_ended(r, DRIVER_LOST, false); /* it restarts by itself */
}

static void on_radio_state(rnode *r, uint8_t on, mono_ms now)
{
    r->got |= on == 0 ? GOT_OFF : on == 1 ? GOT_ON : 0;
    if (r->phase == PHASE_READY && on == 0 && !r->base.set.ask_only) {
        rnode_tx_ended(r, DRIVER_LOST, false); /* it restarted without a word */
        rnode_enter(r, PHASE_ASK, now);
    }
}

static void on_data(rnode *r, bytes data)
{
    driver_event e = {.kind = DRIVER_HEARD,
                      .frame = data,
                      .rssi_dbm = (int16_t)(r->rssi - RSSI_OFFSET),
                      .snr_cdb = (int16_t)((int8_t)r->snr * 25)};
    if (data.len > 0 && data.len <= RADIO_FRAME_MAX_BYTES)
        r->base.tell(r->base.context, &e);
}

static void got_u8(rnode *r, uint8_t *where, uint8_t v, unsigned bit)
{
    *where = v;
    r->got |= bit;
}

static void got_u32(rnode *r, uint32_t *where, const uint8_t *p, unsigned bit)
{
    *where = get_u32be(p);
    r->got |= bit;
}

static void on_version(rnode *r, const uint8_t *p)
{
    r->version = get_u16be(p);
    r->got |= GOT_VERSION;
}

/* Arguments each command must have to be looked at. */
static size_t least(uint8_t command)
{
    switch (command) {
    case CMD_FREQUENCY:
    case CMD_BANDWIDTH:
        return 4;
    case CMD_FW_VERSION:
        return 2;
    case CMD_STAT_CHTM:
        return 11;
    default:
        return 1;
    }
}

static void on_setting(rnode *r, uint8_t command, const uint8_t *p, mono_ms now)
{
    switch (command) {
    case CMD_FREQUENCY:
        got_u32(r, &r->hz, p, GOT_HZ);
        break;
    case CMD_BANDWIDTH:
        got_u32(r, &r->bw_hz, p, GOT_BW);
        break;
    case CMD_TXPOWER:
        got_u8(r, &r->power, p[0], GOT_POWER);
        break;
    case CMD_SF:
        got_u8(r, &r->sf, p[0], GOT_SF);
        break;
    case CMD_CR:
        got_u8(r, &r->cr, p[0], GOT_CR);
        break;
    case CMD_RADIO_STATE:
        on_radio_state(r, p[0], now);
        break;
    default:
        break;
    }
}

static void on_news(rnode *r, uint8_t command, const uint8_t *p, mono_ms now)
{
    switch (command) {
    case CMD_DETECT:
        r->got |= p[0] == DETECT_ANSWER ? GOT_DETECT : 0;
        break;
    case CMD_FW_VERSION:
        on_version(r, p);
        break;
    case CMD_PLATFORM:
        got_u8(r, &r->platform, p[0], GOT_PLATFORM);
        break;
    case CMD_MCU:
        r->got |= GOT_MCU;
        break;
    case CMD_BOARD:
        got_u8(r, &r->board, p[0], GOT_BOARD);
        break;
    case CMD_STAT_RSSI:
        r->rssi = p[0];
        break;
    case CMD_STAT_SNR:
        r->snr = p[0];
        break;
    case CMD_STAT_CHTM:
        on_channel_report(r, p, now);
        break;
    case CMD_READY:
        if (r->tx == TX_WAITS && p[0] != 0)
            rnode_hand_over(r, now);
        break;
    case CMD_RESET:
        on_restarted(r, now);
        break;
    case CMD_ERROR:
        on_error(r, p[0], now);
        break;
    default:
        break;
    }
}

void rnode_hear(rnode *r, uint8_t command, bytes args, mono_ms now)
{
    if (args.len < least(command))
        return;
    if (command == CMD_DATA && r->phase == PHASE_READY)
        on_data(r, args);
    else if (command >= CMD_FREQUENCY && command <= CMD_RADIO_STATE)
        on_setting(r, command, args.p, now);
    else if (command != CMD_DATA)
        on_news(r, command, args.p, now);
    rnode_progress(r, now);
}
