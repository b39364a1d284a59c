/* Inside of the RNode driver: for driver_core_rnode*.c only. */
#ifndef CAIRN_DRIVER_CORE_RNODE_IMPL_H
#define CAIRN_DRIVER_CORE_RNODE_IMPL_H

#include "radio-bridge/driver_core_impl.h"

#define RNODE_SNIPPET_MAX 32u
#define RNODE_ACCESS_MS   3000u /* carrier sense of nearly every frame */

enum {
    CMD_DATA = 0x00,
    CMD_FREQUENCY,
    CMD_BANDWIDTH,
    CMD_TXPOWER,
    CMD_SF,
    CMD_CR,
    CMD_RADIO_STATE,
    CMD_DETECT = 0x08,
    CMD_LEAVE = 0x0a,
    CMD_READY = 0x0f,
    CMD_STAT_RSSI = 0x23,
    CMD_STAT_SNR,
    CMD_STAT_CHTM,
    CMD_BOARD = 0x47,
    CMD_PLATFORM,
    CMD_MCU,
    CMD_FW_VERSION = 0x50,
    CMD_RESET = 0x55,
    CMD_ERROR = 0x90,
};

enum { ERROR_INIT_RADIO = 1, ERROR_TX_FAILED = 2, ERROR_MODEM_TIMEOUT = 6 };
enum { PLATFORM_AVR = 0x90, PLATFORM_ESP32 = 0x80, PLATFORM_NRF52 = 0x70 };

/* ---- what the device says, each a bit of `got` ---- */

enum {
    GOT_DETECT = 1,
    GOT_VERSION = 2,
    GOT_PLATFORM = 4,
    GOT_MCU = 8,
    GOT_BOARD = 16,
    GOT_OFF = 32,
    GOT_ON = 64,
    GOT_HZ = 128,
    GOT_BW = 256,
    GOT_POWER = 512,
    GOT_SF = 1024,
    GOT_CR = 2048,
    GOT_BOOT = 4096,
};

typedef enum { PHASE_RESTART, PHASE_ASK, PHASE_OFF, PHASE_SET, PHASE_ON, PHASE_READY } rnode_phase;
typedef enum { TX_NONE, TX_WAITS, TX_FLIES } rnode_tx;

typedef struct {
    driver base;
    kiss_reader in;
    rnode_phase phase;
    unsigned got;
    uint32_t restarts;
    mono_ms phase_end, again_at, said_at, heard_at;

    uint16_t version;
    uint8_t board, platform;
    uint32_t hz, bw_hz;
    uint8_t power, sf, cr;

    uint8_t rssi, snr; /* of the frame to come */
    uint16_t airtime;  /* in the last CHTM */
    bool airtime_known;
    rnode_tx tx;
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t frame_len;
    mono_ms tx_at; /* handed over */
    char text[RNODE_SNIPPET_MAX + 1];
    size_t text_len;
    bool restart_next;
} rnode;

static inline rnode *rnode_of(driver *d)
{
    return (rnode *)(void *)d;
}

static inline const rnode *rnode_at(const driver *d)
{
    return (const rnode *)(const void *)d;
}

/* ---- driver_core_rnode.c ---- */
void rnode_enter(rnode *r, rnode_phase p, mono_ms now);
/* Goes on when all that a phase waits for is there. */
void rnode_progress(rnode *r, mono_ms now);
uint64_t rnode_frame_ms(const rnode *r);
/* The queue has room for the frame that waits. */
void rnode_hand_over(rnode *r, mono_ms now);

/* ---- driver_core_rnode_hear.c ---- */
/* One whole frame of the device. */
void rnode_hear(rnode *r, uint8_t command, bytes args, mono_ms now);
void rnode_learn_about(rnode *r);
void rnode_tx_ended(rnode *r, driver_event_kind kind, bool sure);

#endif
