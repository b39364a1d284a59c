/* One RNode (single-radio firmware 1.86) towards its host and its antenna: pure, on virtual time.
 *
 * Made from the observable behaviour of the firmware, faults included: a byte acts as soon as it completes an argument,
 * a full queue drops silently, READY is only an answer, an empty or a 508-byte packet does harm. What each platform
 * does differently follows from the board. Not modelled: LEDs and the pauses they cause, Bluetooth, WiFi set-up, the
 * display beyond its buffer, the power amplifier's table of gains.
 *
 * Four verbs: feed bytes of the host, take bytes for the host, ask for the next moment, advance to it; and on the side
 * of the antenna: tuning, frames out, frames in, carrier. All calls of one modem pass times that never go back. */
#ifndef CAIRN_MODEM_CORE_H
#define CAIRN_MODEM_CORE_H

#include "base/buf.h"
#include "ether/air.h"

#define MODEM_BOOT_US                                                                              \
    (900 * AIR_MS) /* from reset to the first answer; real boards need 0.5 to 2 s */
#define MODEM_TCP_TIMEOUT_US                                                                       \
    (6500 * AIR_MS) /* without a byte from a host on TCP: closed, radio off */
#define MODEM_TX_TIMEOUT_US    (20 * AIR_S) /* a transmission that never ends */
#define MODEM_OUTPUT_MAX_BYTES 65536u       /* not taken by the host; what comes then is lost */

typedef enum { MODEM_AVR = 0x90, MODEM_ESP32 = 0x80, MODEM_NRF52 = 0x70 } modem_platform;

typedef struct {
    const char *name, *doc;
    modem_platform platform;
    uint8_t board, mcu, product, model;
    lora_chip chip;
    uint8_t txpower_max_dbm;
    uint16_t queue_frames, queue_bytes, uart_bytes;
    bool resets_on_open;   /* a UART bridge whose DTR is wired to reset */
    bool native_usb;       /* the host's baud rate means nothing */
    bool battery;          /* reports it every 5 s */
    const char *boot_text; /* what its boot loader says, outside of frames */
    uint8_t checksum[16];  /* MD5 over product, model, revision 1, serial 1, made 0x65000000 */
} modem_board;

extern const modem_board modem_boards[]; /* the first is the usual one */
extern const size_t modem_boards_count;
const modem_board *modem_board_named(const char *name); /* NULL: none of that name */

typedef struct {
    const modem_board *board;
    uint32_t station; /* goes into the device's hashes */
    uint64_t seed;    /* nibbles, contention windows, RANDOM */
    uint64_t
        tcp_timeout_us; /* MODEM_TCP_TIMEOUT_US, or more when the ether runs faster than its hosts */
} modem_spec;

typedef struct modem modem;

/* Switched on at `now`. NULL: no memory. */
modem *modem_new(const modem_spec *spec, air_us now);
void modem_free(modem **m);

/* ---- the host ---- */

typedef enum { MODEM_HOST_NONE, MODEM_HOST_SERIAL, MODEM_HOST_TCP } modem_host;

/* Whom it listens to; a board has one host at a time. */
void modem_set_host(modem *m, modem_host host, air_us now);
/* Somebody opened the serial line, which resets boards that are wired so. */
void modem_line_opened(modem *m, air_us now);
/* Becomes MODEM_HOST_NONE by itself when a TCP host was silent for too long: then its connection is to be closed. */
modem_host modem_host_of(const modem *m);
void modem_feed(modem *m, bytes in, air_us now);
/* Borrowed until the next call. */
bytes modem_output(const modem *m);
void modem_output_taken(modem *m, size_t n);

/* ---- time ---- */

air_us modem_next(const modem *m);
void modem_advance(modem *m, air_us now);

/* ---- the antenna ---- */

/* Compare with what it was before, after each call. */
const air_tuning *modem_tuning(const modem *m);
/* The frame on air, empty when there is none. A new one has another serial. It ends at modem_next's time or later:
 * the modem keeps time itself, by the same airtime_us as everybody. */
bytes modem_sending(const modem *m, uint64_t *serial);
/* What the receiver sees now: LoRa it can lock to (`dcd`), and the level at the antenna. */
void modem_carrier(modem *m, bool dcd, int16_t rssi_cdbm, air_us now);
/* A frame arrived whole, the firmware's header byte first. */
void modem_hear(modem *m, bytes frame, air_signal signal, air_us now);

/* ---- on demand ---- */

typedef enum {
    MODEM_FAULT_RESET, /* restarts out of the blue */
    MODEM_FAULT_ERROR, /* says ERROR with this code */
    MODEM_FAULT_TX_TIMEOUT, /* the next transmission never ends: errors 06 and 02 after 20 s, then a restart */
    MODEM_FAULT_START,   /* the radio cannot be started (error 01) this many times */
    MODEM_FAULT_DCD,     /* 1: senses a carrier for ever; 0: no more */
    MODEM_FAULT_HANG,    /* 1: neither answers nor sends, until reset */
    MODEM_FAULT_BABBLE,  /* 1: not an RNode: sends lines of a GPS receiver, understands nothing */
    MODEM_FAULT_TNC,     /* 1: boots with the radio on, settings as now saved; 0: deletes them */
    MODEM_FAULT_VERSION, /* firmware version as major << 8 | minor */
    MODEM_FAULT_PROVISIONED, /* 0: the EEPROM is blank; takes effect at the next start */
    MODEM_FAULT_TEXT,        /* says a line of text outside of frames */
    MODEM_FAULTS
} modem_fault;

typedef struct {
    const char *name, *doc;
    uint32_t fallback, max; /* value when none is given; the highest allowed */
} modem_fault_row;

extern const modem_fault_row modem_fault_rows[MODEM_FAULTS];
void modem_do(modem *m, modem_fault fault, uint32_t value, air_us now);

/* For reports: settings a host has made, whether or not the radio is on. */
typedef struct {
    uint32_t hz, bw_hz;
    uint8_t sf, cr, txpower_dbm;
    bool tnc, radio_on, booting, locked_by_airtime;
    uint16_t queue_frames, queued_bytes;
} modem_state;
modem_state modem_state_of(const modem *m);

#endif
