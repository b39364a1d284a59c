/* Stations with planner, codec, frames, replay filter and ledger of their own, on one simulated channel in virtual time;
 * around each a toy store and a toy merge that check chains and seals for real. For test_radio_core.c and bench_radio.c. */
#ifndef CAIRN_RADIO_WORLD_H
#define CAIRN_RADIO_WORLD_H

#include "ether/channel_core.h"
#include "gossip/radio_core.h"
#include "pure/chain.h"
#include "pure/radio_frame.h"
#include "radio-bridge/ledger_core.h"
#include "radio-bridge/replay_core.h"
#include "tests/unit/prop.h"

#define WORLD_STATIONS_MAX 12
#define WORLD_FEEDS_MAX    40
#define WORLD_LATER_MAX    4096
#define WORLD_HOUR_US      3600000000ull

typedef struct {
    bytes body;
    event_id id;
    seal_sig seal;
    bool sealed; /* by its author, when it was written */
    uint64_t at_ms;
    uint64_t all_ms; /* all stations hold it; 0: not yet */
} world_event;

typedef struct {
    feed_id feed;
    uint32_t owner; /* station */
    event_id start;
    world_event *events;
    size_t n, cap;
} world_feed;

typedef struct {
    uint64_t end_us, us;
} world_sent;

typedef struct {
    radio_core *core;
    ledger *ledger;
    replay *replay;
    crypto_signer key;
    uint64_t held[WORLD_FEEDS_MAX];
    bool *seals[WORLD_FEEDS_MAX];
    size_t cap_seals[WORLD_FEEDS_MAX];
    uint16_t counter;
    uint64_t wake_us, air_until_us;
    bool sending, waiting; /* a frame is in the air; a frame waits for the channel */
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t frame_len;
    uint64_t ticket;
    bool outage; /* its store answers nothing useful */
    uint64_t spent_us, bytes, frames;
    uint64_t kind_bytes[RADIO_KIND_MAX + 1], kind_frames[RADIO_KIND_MAX + 1];
    world_sent *sent;
    size_t n_sent, cap_sent;
    uint64_t refused;
} world_station;

typedef struct {
    uint64_t at_us;
    uint32_t to;
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t len;
} world_later;

typedef struct {
    uint32_t stations, states;
    uint64_t seed;
    uint32_t loss_ppm, twice_ppm,
        late_ppm; /* lost on each link; heard twice; heard seconds later */
    const radio_band *band;
} world_spec;

typedef struct radio_world {
    world_spec spec;
    channel *air;
    air_tuning tuning;
    uint64_t now_us;
    dataset_id dataset;
    radio_keys keys;
    world_station station[WORLD_STATIONS_MAX];
    world_feed feeds[WORLD_FEEDS_MAX];
    uint32_t n_feeds;
    prop_rng rng;
    world_later *later;
    size_t n_later;
    uint64_t collided;
} radio_world;

/* A plain assertion that also holds outside of Criterion. */
#define must(condition) world_must((condition), __FILE__, __LINE__, #condition)
void world_must(bool ok, const char *file, int line, const char *what);

radio_world *world_new(const world_spec *spec);
void world_free(radio_world *w);
uint32_t world_feed_of(radio_world *w, uint32_t station, feed_class class);
/* `station` writes an event into its feed of that class. Copies the body. */
void world_write(radio_world *w, uint32_t station, feed_class class, bytes body, bool sealed);
/* Tells the planner what is held now; world_write does not, so that a batch is one. */
void world_tell(radio_world *w, uint32_t station);
/* As if it had come by LAN. */
void world_give(radio_world *w, uint32_t station, uint32_t feed);
void world_cut(radio_world *w, const uint8_t *groups); /* NULL heals */
void world_run(radio_world *w, uint64_t until_us);
bool world_equal(const radio_world *w);
/* The most airtime of a station in any hour. */
uint64_t world_worst_hour_us(const radio_world *w, uint32_t station);

#endif
