/* One radio channel between all stations: what each of them hears, and why not. Pure, on virtual time, everything that
 * depends on chance from a seed.
 *
 *  - time on air is airtime_us() of the sender's own chip and settings;
 *  - a frame is heard by a station that listens, tuned alike, from the last five symbols of its preamble to its end, and
 *    does not send meanwhile (half duplex);
 *  - the level is the link's RSSI, plus what the sender's power differs from 14 dBm, plus fading drawn per frame; noise
 *    is -174 dBm/Hz and a noise figure of 6 dB; around the SNR limit of the spreading factor (-2.5 dB at SF5, 2.5 less
 *    for each, SX1276 datasheet table 13) the chance falls from 1 to 0 over 2 dB;
 *  - two frames that overlap (LoRaSim, Bor et al. 2016): of one spreading factor and nearly one frequency the stronger
 *    survives if it is 6 dB stronger, else both are lost; what overlaps only the preamble's first part does no harm;
 *    frames of other spreading factors disturb when they are much stronger (Goursaud & Gorce 2015);
 *  - each link loses frames by itself, and in bursts (Gilbert-Elliott, its state moves once a second);
 *  - carrier sense sees energy 1 ms after a frame begins and LoRa after 5 symbols, which is when the slots are blind. */
#ifndef CAIRN_CHANNEL_CORE_H
#define CAIRN_CHANNEL_CORE_H

#include "base/error.h"
#include "ether/air.h"

#define CHANNEL_REFERENCE_DBM  14
#define CHANNEL_RSSI_CDBM      (-9000) /* of a link nothing is said about */
#define CHANNEL_JAMS_MAX       32u
#define CHANNEL_ENERGY_US      AIR_MS
#define CHANNEL_DETECT_SYMBOLS 5u

typedef enum {
    HEARD,
    LOST_SELF,     /* the sender itself */
    LOST_OFF,      /* its radio is off, or was switched on too late */
    LOST_TUNED,    /* listens on another frequency, bandwidth or spreading factor */
    LOST_SENDING,  /* half duplex */
    LOST_CUT,      /* no link: a hill, a one-way link, a partition */
    LOST_WEAK,     /* too little above the noise */
    LOST_JAMMED,   /* would have been heard without the jammer */
    LOST_COLLIDED, /* with the frame of `culprit` */
    LOST_CHANCE,   /* the link's own loss */
    LOST_BURST,    /* a bad time of the link */
    LOST_BROKEN,   /* the sender stopped in the middle */
    LOST_VERDICTS
} channel_verdict;

extern const char *const channel_verdict_names[LOST_VERDICTS];

typedef struct {
    bool on;
    int16_t rssi_cdbm;                 /* at 14 dBm */
    uint16_t fade_cdb;                 /* standard deviation, drawn for each frame */
    uint32_t loss_ppm;                 /* always */
    uint32_t burst_ppm, burst_end_ppm; /* a bad time begins, ends: per second */
    uint32_t burst_loss_ppm;           /* while it lasts */
} channel_link;

/* A set of stations; their numbers begin with 0 here and with 1 for people. */
typedef struct {
    uint64_t bits[AIR_STATIONS_MAX / 64 + 1];
} station_set;

static inline bool station_in(const station_set *s, uint32_t station)
{
    return s->bits[station / 64] >> station % 64 & 1;
}
static inline void station_add(station_set *s, uint32_t station)
{
    s->bits[station / 64] |= 1ull << station % 64;
}

/* What changes at a moment. The timetable is a list of these; so is the set-up, at 0. */
typedef enum { CHANGE_LINK, CHANGE_CUT, CHANGE_HEAL, CHANGE_JAM, CHANGE_NOISE } change_kind;

enum {
    LINK_ON = 1,
    LINK_RSSI = 2,
    LINK_FADE = 4,
    LINK_LOSS = 8,
    LINK_BURST = 16,
};

typedef struct {
    air_us at;
    change_kind kind;
    station_set from, to;            /* LINK; NOISE and JAM: `to` */
    bool both_ways;                  /* LINK */
    unsigned fields;                 /* LINK: LINK_… that are given */
    channel_link link;               /* LINK */
    uint8_t group[AIR_STATIONS_MAX]; /* CUT: only stations of one group hear each other */
    uint32_t low_hz, high_hz;        /* JAM */
    uint64_t for_us;                 /* JAM; 0: for ever */
    int16_t level_cdb;               /* JAM: dBm at the stations; NOISE: dB above the usual */
} channel_change;

typedef struct {
    channel_verdict verdict;
    uint32_t culprit; /* station, if it collided */
    air_signal signal;
} channel_hearing;

/* A frame that has ended. Borrowed until the next call. */
typedef struct {
    uint64_t number;
    uint32_t from;
    air_tuning tuning;
    air_us start, end;
    uint8_t bytes[LORA_PAYLOAD_MAX_BYTES];
    size_t len;
    channel_hearing *hearing; /* per station */
} channel_frame;

typedef struct channel channel;

/* `stations` radios, all off, each link at CHANNEL_RSSI_CDBM without loss. NULL: no memory. */
channel *channel_new(uint32_t stations, uint64_t seed);
void channel_free(channel **c);

/* At once, or at change->at if that is later. ERR_NO_MEMORY. */
err_t channel_change_at(channel *c, const channel_change *change, air_us now) CAIRN_CHECK;
/* A radio is switched, tuned, or has ended its own sending. */
void channel_tune(channel *c, uint32_t station, const air_tuning *tuning, air_us now);
/* Begins to send. The end is in *end. ERR_NO_MEMORY. */
err_t channel_send(channel *c, uint32_t station, const air_tuning *tuning, bytes frame, air_us now,
                   air_us *end) CAIRN_CHECK;
/* Stops in the middle, if it sends. */
void channel_break(channel *c, uint32_t station, air_us now);

/* The next moment at which something changes. */
air_us channel_next(const channel *c);
/* Goes to `now` (not beyond channel_next). Returns a frame that ended, NULL when there is no further one: ask again. */
const channel_frame *channel_advance(channel *c, air_us now);
/* What carrier sense sees at the moment of the last call. */
void channel_sense(const channel *c, uint32_t station, bool *dcd, int16_t *rssi_cdbm);

#endif
