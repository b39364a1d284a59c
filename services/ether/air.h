/* Words that the modem and the channel share: the ether's own time, how a radio is tuned, a frame in the air. */
#ifndef CAIRN_AIR_H
#define CAIRN_AIR_H

#include "base/bytes.h"
#include "pure/airtime.h"

/* µs since the ether began. Virtual: a simulator steps it, the daemon runs it at real time times --speed. */
typedef struct {
    uint64_t us;
} air_us;

#define AIR_NEVER        ((air_us){UINT64_MAX})
#define AIR_MS           1000ull
#define AIR_S            1000000ull
#define AIR_HOUR         (3600ull * AIR_S)
#define AIR_DBM_NOTHING  (-32768) /* no signal at all, in hundredths of a dBm like all levels here */
#define AIR_STATIONS_MAX 256u

static inline air_us air_after(air_us t, uint64_t us)
{
    return (air_us){t.us > UINT64_MAX - us ? UINT64_MAX : t.us + us};
}

static inline air_us air_first(air_us a, air_us b)
{
    return a.us < b.us ? a : b;
}

/* How a radio listens and sends. Two radios hear each other only with the same sf, bandwidth, header mode and
 * (nearly) frequency; the coding rate is in the header. */
typedef struct {
    lora_modulation lora;
    uint32_t hz;
    int8_t txpower_dbm;
    bool on;
} air_tuning;

static inline bool air_tuning_same(const air_tuning *a, const air_tuning *b)
{
    const lora_modulation *x = &a->lora, *y = &b->lora;
    return a->on == b->on && a->hz == b->hz && a->txpower_dbm == b->txpower_dbm && x->sf == y->sf &&
           x->cr == y->cr && x->bw_hz == y->bw_hz && x->preamble_symbols == y->preamble_symbols &&
           x->ldro == y->ldro && x->implicit_header == y->implicit_header;
}

/* What a receiver says about a frame: RSSI in hundredths of a dBm, SNR of a dB. */
typedef struct {
    int16_t rssi_cdbm, snr_cdb;
} air_signal;

/* Chance from a seed. splitmix64 (Steele, Lea, Flood 2014): every stream of chance has a state of its own, so that one
 * station more does not change what happens between the others. */
typedef struct {
    uint64_t state;
} air_dice;

static inline uint64_t air_roll(air_dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* 0 … n-1, n not 0. The bias of the remainder is far below anything measured here. */
static inline uint32_t air_below(air_dice *d, uint32_t n)
{
    return (uint32_t)((air_roll(d) >> 32) % n);
}

static inline bool air_chance(air_dice *d, uint32_t ppm)
{
    return ppm > 0 && air_below(d, 1000000) < ppm;
}

/* An independent stream for each pair of numbers. */
static inline air_dice air_dice_for(uint64_t seed, uint32_t a, uint32_t b)
{
    air_dice d = {seed ^ ((uint64_t)a << 32 | b) * 0xd1342543de82ef95ull};
    d.state = air_roll(&d);
    return d;
}

#endif
