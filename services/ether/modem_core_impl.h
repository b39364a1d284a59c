/* Inside of the modem: for modem_core*.c only. Names in quotes are the firmware's variables, where ours behave alike. */
#ifndef CAIRN_MODEM_CORE_IMPL_H
#define CAIRN_MODEM_CORE_IMPL_H

#include "ether/modem_core.h"

enum {
    FEND = 0xc0,
    FESC = 0xdb,
    TFEND = 0xdc,
    TFESC = 0xdd,
};

/* Host and device use the same numbers for question and answer. */
enum {
    CMD_DATA = 0x00,
    CMD_FREQUENCY,
    CMD_BANDWIDTH,
    CMD_TXPOWER,
    CMD_SF,
    CMD_CR,
    CMD_RADIO_STATE,
    CMD_RADIO_LOCK,
    CMD_DETECT,
    CMD_IMPLICIT,
    CMD_LEAVE,
    CMD_ST_ALOCK,
    CMD_LT_ALOCK,
    CMD_PROMISC = 0x0e,
    CMD_READY,
    CMD_STAT_RX = 0x21,
    CMD_STAT_TX,
    CMD_STAT_RSSI,
    CMD_STAT_SNR,
    CMD_STAT_CHTM,
    CMD_STAT_PHYPRM,
    CMD_STAT_BAT,
    CMD_STAT_CSMA,
    CMD_BLINK = 0x30,
    CMD_RANDOM = 0x40,
    CMD_FB_EXT,
    CMD_FB_READ,
    CMD_FB_WRITE,
    CMD_BOARD = 0x47,
    CMD_PLATFORM,
    CMD_MCU,
    CMD_FW_VERSION = 0x50,
    CMD_ROM_READ,
    CMD_ROM_WRITE,
    CMD_CONF_SAVE,
    CMD_CONF_DELETE,
    CMD_RESET,
    CMD_DEV_HASH,
    CMD_DEV_SIG,
    CMD_FW_HASH,
    CMD_UNLOCK_ROM,
    CMD_HASHES = 0x60,
    CMD_DISP_READ = 0x66,
    CMD_DIS_IA = 0x69,
    CMD_CFG_READ = 0x6d,
    CMD_ERROR = 0x90,
    CMD_UNKNOWN = 0xfe,
};

enum { ERROR_INITRADIO = 1, ERROR_TXFAILED, ERROR_EEPROM_LOCKED, ERROR_MODEM_TIMEOUT = 6 };

/* EEPROM: addresses of what is used here. */
enum {
    ROM_CHECKSUM = 0x0b,
    ROM_LOCK = 0x9b,
    ROM_SF = 0x9c,
    ROM_CR,
    ROM_TXPOWER,
    ROM_BW,
    ROM_FREQUENCY = 0xa3,
    ROM_CONF_OK = 0xa7,
    ROM_NO_AVOIDANCE = 0xb9, /* anything but 0 switches the avoidance of interference off */
    ROM_BYTES = 200,
};
#define ROM_OK_BYTE   0x73
#define ROM_SF_UNSET  0
#define CMD_MAX_BYTES 64u
#define CONFIG_BYTES  256u
#define FB_BYTES      512u
#define DISP_BYTES    1024u
#define HASH_BYTES    32u
#define RSSI_OFFSET   157
#define RSSI_NONE     (-292)
#define TXPOWER_UNSET 0xff
#define SEQ_UNSET     0xff
#define FLAG_SPLIT    0x01
#define QUEUE_FRAMES  200u
#define QUEUE_BYTES   6144u

/* Samples of the carrier every 3 ms; 2,500 of them are a bin of airtime and the window of channel load. The statistics
 * go out after 333 samples, except that the window's end cuts the last stretch short. */
#define SAMPLE_US     (3 * AIR_MS)
#define SEGMENTS      8u
#define SEGMENT       333u
#define WINDOW        2500u
#define BIN_US        (SAMPLE_US * WINDOW)
#define BINS          480u
#define FLOOR_SAMPLES 128u

#define BATTERY_US (5 * AIR_S)
#define BABBLE_US  AIR_S

typedef enum { BURST_NONE, BURST_FLUSH, BURST_ONE } modem_burst;

typedef struct {
    uint8_t ring[QUEUE_BYTES];
    uint16_t cursor, current_start; /* "queue_cursor", "current_packet_start" */
    uint16_t height, queued_bytes;  /* 16 bits: an empty frame makes queued_bytes wrap */
    uint16_t starts[QUEUE_FRAMES], lengths[QUEUE_FRAMES];
    uint16_t first, count;
} modem_queue;

typedef struct {
    modem_burst burst;
    uint8_t packet[RNODE_PACKET_BYTES];
    size_t size, at; /* of the packet: how much of it has gone into frames */
    uint16_t length; /* what the queue is told at the end */
    uint8_t header;
    bool was_full; /* the frame on air ended because it was full: one more follows */
    uint8_t frame[LORA_PAYLOAD_MAX_BYTES];
    size_t frame_len; /* 0: none on air */
    uint64_t serial;
    air_us end;
    bool stuck;
} modem_tx;

/* "tx_queue_handler": times are UINT64_MAX where the firmware has -1. */
typedef struct {
    uint64_t difs_start_us, cw_start_us, cw_passed_us, cw_target_us;
    int cw; /* slots, -1: not drawn */
    uint8_t band, min, max;
    uint32_t slot_ms, difs_ms;
} modem_csma;

typedef struct {
    air_us next; /* sample */
    uint16_t segment, left;
    uint16_t busy[SEGMENTS];
    uint16_t bins[BINS]; /* "airtime_bins", ms */
    uint32_t bins_sum;
    uint32_t load_bins[BINS]; /* "longterm_bins", ppm */
    uint64_t load_sum;
    float airtime, airtime_long, load, load_long;
    bool floor_sampled;
    int floor_dbm;
    uint16_t floor_count;
    int32_t floor_sum;
    bool persists;
    air_us persists_since;
} modem_stats;

struct modem {
    modem_spec spec;
    const modem_board *board;
    air_dice dice;
    air_us now, started, boot_end; /* boot_end AIR_NEVER: running */
    uint8_t rom[ROM_BYTES];
    uint16_t version;

    modem_host host;
    air_us last_read;
    buf out, uart; /* uart: what came while the loop was busy sending */

    bool in_frame, escape;
    uint8_t command;
    uint8_t arg[CMD_MAX_BYTES];
    size_t arg_len;

    bool hw_ready, tnc, promisc, implicit, avoid;
    uint8_t implicit_len;
    uint32_t hz, bw_hz;
    uint8_t sf, cr, txpower;
    float st_limit, lt_limit;
    float symbol_ms;
    uint32_t preamble, preamble_ms;
    bool slow_rate; /* neither "lora_guard_rate" nor "lora_limit_rate": bursts */
    air_tuning tuning;

    modem_queue queue;
    modem_tx tx;
    modem_csma csma;
    modem_stats stats;

    bool dcd;
    int16_t rssi_cdbm;
    int last_rssi;
    uint8_t last_snr;
    uint8_t seq;
    uint8_t rx[RNODE_PACKET_BYTES];
    size_t rx_len;

    uint8_t framebuffer[FB_BYTES];
    bool fb_external;
    bool dcd_stuck, hung, babbles;
    uint32_t starts_to_fail;
    bool tx_to_hang;
    air_us battery_next, babble_next;
};

/* All of it but AVR. */
static inline bool modem_has_stats(const modem *m)
{
    return m->board->platform != MODEM_AVR;
}

static inline bool modem_booting(const modem *m)
{
    return m->boot_end.us != AIR_NEVER.us;
}

/* The main loop waits inside of a transmission: no commands, no samples. */
static inline bool modem_blocked(const modem *m)
{
    return m->tx.frame_len > 0;
}

/* ---- modem_core.c ---- */
void modem_restart(modem *m);
void modem_start_radio(modem *m);
void modem_stop_radio(modem *m);
/* Settings to the radio. The frequency by itself: the SX127x rounds it down each time. */
void modem_apply_frequency(modem *m);
void modem_apply(modem *m);
void modem_update_bitrate(modem *m); /* says PHYPRM */

/* ---- modem_core_host.c: one byte from the host ---- */
void modem_byte(modem *m, uint8_t b);

/* ---- modem_core_say.c: frames to the host ---- */
void modem_say_raw(modem *m, uint8_t b);
void modem_say_text(modem *m, const char *text);
void modem_say_u8(modem *m, uint8_t command, uint8_t v);                  /* not escaped */
void modem_say(modem *m, uint8_t command, const uint8_t *args, size_t n); /* escaped */
void modem_say_u16s(modem *m, uint8_t command, const uint16_t *v, size_t n);
void modem_say_u32(modem *m, uint8_t command, uint32_t v);
void modem_say_rssi(modem *m);
void modem_say_channel(modem *m);
void modem_say_phy(modem *m);
void modem_say_csma(modem *m);

/* ---- modem_core_air.c: queue, bursts, split, reception ---- */
void modem_queue_byte(modem *m, uint8_t b);
void modem_queue_close(modem *m);
bool modem_queue_full(const modem *m);
void modem_burst_begin(modem *m);
void modem_tx_ended(modem *m);

/* ---- modem_core_mac.c: carrier sense, samples, airtime ---- */
void modem_stats_clear(modem *m); /* "init_channel_stats" */
void modem_sample(modem *m, air_us until);
void modem_add_airtime(modem *m, size_t written);
void modem_update_airtime(modem *m);
bool modem_airtime_locked(const modem *m);
bool modem_interference(const modem *m);
void modem_mac(modem *m);
air_us modem_mac_next(const modem *m);

#endif
