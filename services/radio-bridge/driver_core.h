/* A radio modem as the bridge sees it, whichever it is: a state machine fed with bytes and time, without a line of its own.
 *
 *     driver_new, then: while driver_wants_line() open it and say driver_opened(); give it what comes (driver_feed), write
 *     what driver_output() holds, call driver_advance() at driver_next(), say driver_closed() when the line is gone.
 *
 * It finds out what is there, configures it, checks what it answers, and starts over by itself when the line or the modem
 * fails, after a pause that doubles. One frame at a time: what it hears and what became of a frame goes to `tell`, which
 * must not call back. `cairn radio probe` uses what finds out and configures; the bridge's process all of it. */
#ifndef CAIRN_DRIVER_CORE_H
#define CAIRN_DRIVER_CORE_H

#include "base/buf.h"
#include "base/ids.h"
#include "base/limits.h"
#include "pure/airtime.h"

#define DRIVER_NEVER ((mono_ms){UINT64_MAX})

typedef enum {
    DRIVER_CLOSED,  /* no line */
    DRIVER_ASKING,  /* what is there? */
    DRIVER_SETTING, /* being configured */
    DRIVER_READY    /* on the air; when only asked, known */
} driver_state;

typedef enum {
    DRIVER_FINE,
    DRIVER_SILENT,    /* not a byte came back */
    DRIVER_GARBAGE,   /* bytes that mean nothing: another speed */
    DRIVER_FOREIGN,   /* it talks, but is no such modem */
    DRIVER_OLD,       /* its firmware is too old */
    DRIVER_DIFFERENT, /* it did not take a setting */
    DRIVER_REFUSES,   /* its radio does not start */
    DRIVER_STOPPED,   /* it answered once, and no more */
    DRIVER_STUCK,     /* it never sent a frame it has */
    DRIVER_RESTARTED, /* it restarts again and again */
    DRIVER_LINE       /* the line ended */
} driver_problem;

typedef struct {
    uint32_t hz, bw_hz;
    uint8_t sf, cr;
    int8_t txpower_dbm; /* at most; the modem may be able to less */
    bool tcp;           /* keep the line alive */
    bool ask_only;      /* find out what is there and leave its radio as it is */
    bool restart_first; /* it may still hold a frame of an earlier process */
} driver_settings;

typedef struct {
    char model[40], firmware[16], platform[16]; /* empty: not known */
    lora_chip chip;                             /* SX126x, the longer preamble, where unknown */
    int8_t txpower_dbm;                         /* what it has taken */
} driver_about;

/* What it says of the channel; 0 and INT16_MIN: nothing. */
typedef struct {
    uint16_t load_percent;
    int16_t noise_dbm;
} driver_channel;

typedef enum {
    DRIVER_HEARD, /* `frame`, borrowed, with its signal */
    DRIVER_SENT,  /* `sure`: the modem said so; else it followed from the time that has passed */
    DRIVER_LOST   /* the frame handed over may have been sent or not, and will not be any more */
} driver_event_kind;

typedef struct {
    driver_event_kind kind;
    bytes frame;
    int16_t rssi_dbm, snr_cdb; /* SNR in hundredths of a dB */
    bool sure;
} driver_event;

typedef struct driver driver;
typedef void driver_tell(void *context, const driver_event *e);

typedef struct {
    const char *name, *title; /* "rnode", "RNode" */
    driver *(*new)(void);     /* NULL: no memory */
    void (*free)(driver *d);
    void (*opened)(driver *d, mono_ms now);
    void (*closed)(driver *d, mono_ms now);
    void (*feed)(driver *d, bytes in, mono_ms now);
    void (*advance)(driver *d, mono_ms now);
    mono_ms (*next)(const driver *d);
    void (*send)(driver *d, bytes frame, mono_ms now);
    bool (*busy)(const driver *d);
    void (*leave)(driver *d);
    uint64_t (*airtime_us)(const driver *d, size_t frame_bytes);
} driver_kind;

extern const driver_kind driver_rnode, driver_meshcore;
const driver_kind *driver_kind_named(const char *name); /* NULL: none of that name */

/* `settings` are copied. NULL: no memory. */
driver *driver_new(const driver_kind *kind, const driver_settings *settings, driver_tell *tell,
                   void *context);
void driver_free(driver *d);

/* ---- the line ---- */

/* Should it be open now? What is open and not wanted is to be closed, and driver_closed() said. */
bool driver_wants_line(const driver *d, mono_ms now);
void driver_opened(driver *d, mono_ms now);
/* The line is gone, was closed because it was not wanted, or could not be opened. */
void driver_closed(driver *d, mono_ms now);
void driver_feed(driver *d, bytes in, mono_ms now);
/* To be written; borrowed until the next call. */
bytes driver_output(const driver *d);
void driver_output_taken(driver *d, size_t n);
mono_ms driver_next(const driver *d);
void driver_advance(driver *d, mono_ms now);

/* ---- frames ---- */

/* Takes a copy. ERR_NOT_READY: not on the air; ERR_BUSY: one is under way; ERR_TOO_LARGE: 1 … RADIO_FRAME_MAX_BYTES only.
 * ERR_OK: DRIVER_SENT or DRIVER_LOST follows in any case. */
err_t driver_send(driver *d, bytes frame, mono_ms now) CAIRN_CHECK;
/* Time on air of such a frame, with all that this modem adds. */
uint64_t driver_airtime_us(const driver *d, size_t frame_bytes);
/* Says good-bye (radio off) into the output. */
void driver_leave(driver *d);

/* ---- its state, in words ---- */

driver_state driver_state_of(const driver *d);
driver_problem driver_problem_of(const driver *d); /* the last one; DRIVER_FINE once it is ready */
/* A sentence about that problem without a full stop, "" when there is none; borrowed until the next call. */
const char *driver_why(const driver *d);
const driver_about *driver_about_of(const driver *d);
driver_channel driver_channel_of(const driver *d);

#endif
