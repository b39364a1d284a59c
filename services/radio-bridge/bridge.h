/* The radio bridge: a modem, its airtime, and the frames between gossip and the air. It has no dataset files and no
 * member's key, and no network but the modem's. Shared by its files only.
 *
 * Frame by frame: gossip is asked for the next one only when it could go out; it is sealed, waits a random while, is
 * charged to the ledger (on disk) and only then given to the modem; gossip hears what became of it. */
#ifndef CAIRN_BRIDGE_H
#define CAIRN_BRIDGE_H

#include "pure/radio_frame.h"
#include "pure/radio_plan.h"
#include "radio-bridge/driver_core.h"
#include "radio-bridge/ledger_core.h"
#include "radio-bridge/replay_core.h"
#include "shell/service.h"

#define BRIDGE_KEYS    2u /* the present epoch, and the one before */
#define BRIDGE_READERS 8u /* who wait for the log */

enum { COUNT_SENT, COUNT_HEARD, COUNT_STRANGE, COUNT_REPLAYED, COUNT_LOST, COUNT_REFUSED };

/* ---- what was chosen ---- */
typedef struct {
    const char *device; /* borrowed; "" : none */
    const driver_kind *kind;
    const radio_region *region;
    const radio_preset *preset;
    const radio_band *band;
    uint32_t hz;
    unsigned baud;
    uint8_t bridge;
    driver_settings set;
} bridge_plan;

/* ---- a file that is written to its end, and replaced when it has grown ---- */
typedef struct {
    char path[HOME_PATH_MAX];
    int fd;
    size_t len;
    bool broken; /* the last write may have left half a record: it is to be replaced first */
} bridge_file;

/* ---- the log of the air ---- */
typedef struct {
    uint64_t at;
    wall_ms wall;
    const char *what;
    uint8_t kind;
    member_no station;
    uint16_t bytes;
    uint64_t airtime_us;
    int16_t rssi_dbm, snr_cdb;
    char words[96];
} bridge_event;

typedef struct {
    service_call call;
    uint64_t after;
    mono_ms until;
} bridge_reader;

typedef struct {
    bridge_event rows[RADIO_LOG_ROWS];
    uint64_t last; /* number of the newest; 0: none */
    bridge_reader readers[BRIDGE_READERS];
    size_t n_readers;
} bridge_log;

/* ---- what the modem has said since it was looked at last ---- */
typedef struct {
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t len;
    int16_t rssi_dbm, snr_cdb;
} bridge_heard;

typedef enum {
    AIR_IDLE,   /* nothing to send; asks at air_at */
    AIR_ASKING, /* gossip looks for something */
    AIR_HELD,   /* a sealed frame waits for its moment, air_at */
    AIR_FLYING  /* the modem has it */
} bridge_air;

typedef struct {
    service *s;
    bridge_plan plan;
    clnt *gossip, *merge;
    bool gossip_silent;

    /* the line */
    driver *driver;
    int fd; /* -1: none */
    char line_why[ERROR_TEXT_MAX_BYTES];
    bool on_air; /* it was ready when looked at last */
    driver_problem told_problem;
    bridge_heard heard[RADIO_HEARD_MAX];
    size_t n_heard;
    uint64_t heard_dropped;
    bool outcome, sure, lost; /* of the frame that flew */

    /* the books */
    ledger *ledger;
    replay *replay;
    bridge_file airtime_file, heard_file;
    char books_why[ERROR_TEXT_MAX_BYTES]; /* why nothing may be sent; empty: all is well */
    uint64_t boot;
    uint64_t wall_offset; /* wall less boot time, when the clock was first vouched for; 0: never */

    /* keys */
    bool asking_keys;
    mono_ms keys_at; /* when to ask again */
    member_no self;
    radio_keys keys[BRIDGE_KEYS]; /* the newest last */
    uint64_t key_since_ms[BRIDGE_KEYS];
    size_t n_keys;
    char keys_why[ERROR_TEXT_MAX_BYTES];

    /* the frame to be sent */
    bridge_air air;
    mono_ms air_at;
    uint64_t ticket, airtime_us;
    uint8_t kind;
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t frame_len;
    uint16_t counter;
    mono_ms wait_until; /* the ledger's earliest, 0: it has room */

    bridge_log log;
    wall_ms heard_wall; /* of the last frame of this dataset */
    uint64_t sent, n_frames, strange, replayed;
} bridge;

/* bridge_plan.c: ERR_INVALID with one line in `why`. */
err_t bridge_plan_read(service *s, bridge_plan *out, buf *why) CAIRN_CHECK;

/* bridge_files.c */
err_t bridge_files_open(bridge *b, buf *why) CAIRN_CHECK;
void bridge_files_close(bridge *b);
/* Time as the ledger wants it. */
ledger_now bridge_now(bridge *b);
/* Charges a frame; ERR_OK: it is on disk. ERR_BUSY with *earliest; ERR_IO and friends: b->books_why says so, and nothing was
 * charged that could still be sent. */
err_t bridge_charge(bridge *b, uint64_t airtime_us, mono_ms *earliest) CAIRN_CHECK;
/* The modem holds nothing any more. */
void bridge_settle(bridge *b);
/* False: heard before. A control frame is on disk when this returns. */
bool bridge_is_fresh(bridge *b, const radio_header *h, const uint8_t *tag);
/* Of all but the newest two epochs what was heard is forgotten. */
void bridge_forget(bridge *b);

/* bridge_line.c */
err_t bridge_line_start(bridge *b) CAIRN_CHECK;
/* Opens and closes the line, feeds the modem, takes what it says. */
void bridge_line_turn(bridge *b);
void bridge_line_stop(bridge *b);

/* bridge_keys.c */
void bridge_keys_turn(bridge *b);
/* NULL: no such key. */
const radio_keys *bridge_key_of(const bridge *b, uint8_t epoch);
/* The key to send under; NULL: none yet. */
const radio_keys *bridge_key_now(const bridge *b);

/* bridge_air.c */
void bridge_air_turn(bridge *b);
/* Airtime allowed and left in an hour, as gossip wants it. */
uint64_t bridge_hour_us(const bridge *b);
uint64_t bridge_left_us(bridge *b);
/* Until a full frame may go out, ms; 0: now. */
uint64_t bridge_wait_ms(bridge *b);

/* bridge_log.c */
void bridge_note(bridge *b, const char *what, const bridge_event *e);
void bridge_log_answer(
    bridge *b); /* readers for whom there is something, or who have waited long enough */
void bridge_on_log(service *s, void *self, const service_call *call, const void *msg);

/* dispatch.c */
extern const service_def bridge_def;

#endif
