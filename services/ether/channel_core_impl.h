/* Inside of the channel: for channel_core*.c only. */
#ifndef CAIRN_CHANNEL_CORE_IMPL_H
#define CAIRN_CHANNEL_CORE_IMPL_H

#include "ether/channel_core.h"

typedef struct {
    channel_link link;
    air_dice dice;
    uint64_t burst_s; /* second up to which the state has moved */
    bool bad;
} channel_pair;

typedef struct {
    air_tuning tuning;
    air_us since; /* listens, tuned like this; AIR_NEVER: sends or is off */
    bool sending;
    uint8_t group;
    int16_t noise_cdb;
} channel_station;

typedef struct {
    station_set at;
    uint32_t low_hz, high_hz;
    int16_t level_cdbm;
    air_us from, until;
} channel_jam;

/* Kept until nothing on air overlaps it any more. */
typedef struct channel_flight {
    channel_frame frame;
    air_us sensed, critical,
        detected; /* energy seen; five symbols before the end of the preamble; LoRa seen */
    bool reported, broken;
    int16_t *level_cdbm; /* per station, AIR_DBM_NOTHING: out of reach when it began */
    struct channel_flight *next;
} channel_flight;

struct channel {
    uint32_t n;
    air_us now;
    uint64_t numbers;
    channel_station *stations;
    channel_pair *pairs; /* from * n + to */
    channel_flight *flights;
    channel_jam jams[CHANNEL_JAMS_MAX];
    size_t n_jams;
    channel_change *changes; /* sorted by time, stable */
    size_t n_changes, cap_changes;
};

static inline channel_pair *channel_pair_of(const channel *c, uint32_t from, uint32_t to)
{
    return &c->pairs[(size_t)from * c->n + to];
}

/* Link there and both in one group. */
bool channel_reaches(const channel *c, uint32_t from, uint32_t to);
/* The level of `f` at `to`, drawn once. */
int16_t channel_level(channel *c, const channel_frame *f, uint32_t to);
/* Same modulation and nearly the same frequency. */
bool channel_same(const air_tuning *a, const air_tuning *b);
/* Energy of one in the band of the other. */
bool channel_overlaps(const air_tuning *a, const air_tuning *b);
int32_t channel_noise_cdbm(const channel *c, uint32_t station, uint32_t bw_hz);
int32_t channel_snr_limit_cdb(uint8_t sf);
bool channel_jammed(const channel_jam *j, uint32_t station, const air_tuning *t);
/* Fills in the frame's hearing at its end. */
void channel_judge(channel *c, channel_flight *f);

#endif
