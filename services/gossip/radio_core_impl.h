/* Shared by the parts of the planner: radio_core.c (life, frontier, feeds), _hear.c (what was heard), _plan.c (what is
 * said next), _want.c (what others lack), _walk.c (bodies from the store through the codec), _say.c (frames); for nobody else. */
#ifndef CAIRN_RADIO_CORE_IMPL_H
#define CAIRN_RADIO_CORE_IMPL_H

#include "gossip/radio_core.h"
#include "pure/codec.h"
#include "pure/radio_say.h"

#define RADIO_NEVER UINT64_MAX
#define RADIO_LEVELS                                                                               \
    4u /* blocks of RADIO_BLOCK_EVENTS, a half, a quarter, an eighth; then no history */
#define RADIO_RUN_EVENTS 64u /* events looked at for one run */

/* Delays in ms for a full frame of RADIO_USUAL_US (SF8, 125 kHz, 4/5); other modulations scale them. */
#define RADIO_USUAL_US       700000u
#define RADIO_HOLD_MS        200000u
#define RADIO_HOLD_BULK_MS   60000u
#define RADIO_BEACON_MIN_MS  200000u
#define RADIO_BEACON_MAX_MS  3840000u
#define RADIO_BEACON_K       1u
#define RADIO_NEWS_MS        500000u /* news are told in passing for so long */
#define RADIO_NEWS_MAX       6u
#define RADIO_ANSWER_MS      80000u /* the window in which wants are answered */
#define RADIO_ANSWERERS      1u     /* besides the author */
#define RADIO_ASK_MS         75000u
#define RADIO_ASK_MAX        16u /* times RADIO_ASK_MS */
#define RADIO_GAP_MS         3000u /* between two frames of a backlog: others have something to say, too */
#define RADIO_URGENT_MS      4000u
#define RADIO_EXPRESS_COPIES 4u

#define RADIO_RANGES 8u
typedef struct {
    uint64_t first, last;
} radio_range;

typedef struct {
    feed_id feed;
    uint32_t code;
    uint64_t have;    /* highest seq held */
    uint64_t have_ms; /* when that rose */
    uint64_t aired;   /* all up to here was on the air, or is old */
    uint64_t news_ms; /* own news leave then */
    /* what others lack */
    radio_range wants[RADIO_RANGES]; /* ascending, apart */
    uint32_t n_wants;
    uint64_t want_ms; /* RADIO_NEVER: nothing */
    uint64_t wanted_first,
        wanted_ms; /* the want heard last: that one again means that nobody answered */
    uint32_t rounds;
    bool want_plain, repeat; /* repeat: nobody asked, it is express */
    uint32_t copies;
    uint64_t copies_seq; /* of the run that ends here */
    /* what is missing here */
    uint64_t known; /* exists, as far as was heard */
    uint64_t ask_ms;
    uint32_t asks;
    bool ask_plain;
    bool too_large, forked;
    uint64_t long_block; /* in this block (from 0) of events … */
    unsigned level;      /* … history is as short as this */
    uint64_t served_ms;
} radio_feed;

/* A codec and the bodies it stands behind: `feed` from `begin` to before `pos`. */
typedef struct {
    codec *c; /* NULL: not made yet */
    feed_id feed;
    uint64_t begin, pos;
    event_id id; /* of pos - 1, if known */
    bool known, used;
    size_t bytes; /* of all bodies it has seen */
    uint64_t stamp;
} radio_state;

typedef struct {
    size_t at, len; /* in the walk's bodies */
    bool erased, sealed;
    seal_sig seal;
} radio_event;

typedef enum { WALK_IDLE, WALK_SAY, WALK_HEAR } radio_walking;

/* One way through a feed's bodies: from the history through the model, and on to the events of a run. */
typedef struct {
    radio_walking kind;
    feed_id feed;
    uint64_t first, last, tip;
    unsigned level; /* of history: less of it each time it turns out to be too long */
    bool plain;
    uint64_t begin;
    radio_state *state;
    uint64_t next; /* to read */
    uint32_t tag;  /* of the read under way, 0: none */
    event_id id;   /* of next - 1, if known */
    bool known;
    buf bodies;
    radio_event events[RADIO_RUN_EVENTS];
    uint32_t n;
    uint32_t parked; /* WALK_HEAR: tag of the parked run */
    bool answer, repeat, more;
} radio_walk;

/* A run that was heard and is not held yet. */
typedef struct {
    uint32_t tag; /* 0: free; of its ingest */
    member_no station;
    bool offered;
    feed_id feed;
    uint64_t first, last;
    uint64_t at_ms;
    buf plain;
} radio_parked;

/* A run of which parts were heard. */
typedef struct {
    uint8_t tag[RADIO_TAG32_BYTES];
    uint8_t total; /* 0: free */
    uint32_t got;
    size_t size, last_size; /* of each part but the last, of the last */
    uint64_t at_ms;
    uint8_t data[RADIO_PARTS_MAX * RADIO_PLAIN_MAX_BYTES];
} radio_half;

typedef struct {
    member_no member; /* 0: free */
    uint64_t heard_ms, as_of_ms;
    int16_t rssi_dbm, snr_cdb;
    uint64_t they_lack, we_lack;
    uint64_t credit_ms; /* a want earns nothing before its credit is back: RADIO_WANTS_HOUR */
} radio_station;

/* What was given out last, to be taken back if it was not sent. */
typedef struct {
    uint64_t ticket;
    uint8_t kind;
    feed_id feed;
    uint64_t first, last;
} radio_given;

/* A run as it is ready to go, in one frame or in parts. */
typedef struct {
    bool ready, urgent, answer, repeat;
    feed_id feed;
    uint64_t first, last;
    buf plain;
    uint8_t tag[RADIO_TAG32_BYTES];
    uint8_t total, next;
    size_t size;
} radio_ready;

typedef struct radio_effect_node {
    struct radio_effect_node *next;
    radio_effect e;
    buf body;
} radio_effect_node;

struct radio_core {
    member_no self;
    uint64_t dice;
    uint32_t next_tag;
    uint64_t next_ticket;
    radio_effect_node *first, **last, *taken;
    bool started, digest_old;
    uint8_t digest[RADIO_DIGEST_BYTES]; /* of what was told; see radio_digest */
    radio_feed *feeds;                  /* by code; a pointer into it holds until a row is made */
    size_t n_feeds, cap_feeds;
    dataset_id dataset;
    radio_author *authors;
    size_t n_authors;
    uint64_t frame_us; /* of the last pull */
    size_t max_bytes;
    size_t per_event; /* coded bytes of an event, as of late; in 1/16 */
    /* Trickle */
    uint64_t interval_ms, interval_end_ms, beacon_ms;
    uint32_t agreed;
    uint64_t whole_ms; /* somebody needs the whole frontier: not before */
    radio_state states[RADIO_STATES_MAX * 8];
    uint32_t n_states;
    codec *work;
    uint64_t stamp;
    radio_walk walk;
    radio_parked parked[RADIO_PARKED_MAX];
    radio_half *halves; /* RADIO_HALVES_MAX */
    radio_station stations[RADIO_STATIONS_MAX];
    radio_ready ready;
    radio_given given;
    uint8_t plain[RADIO_FRAME_MAX_BYTES];
    buf scratch, code;
    radio_counts count;
};

/* ---- radio_core.c ---- */
uint64_t radio_dice(radio_core *c);
/* `ms` at this modulation, times a chance between from and to per cent. */
uint64_t radio_delay(radio_core *c, uint64_t ms, unsigned from, unsigned to);
uint64_t radio_scaled(const radio_core *c, uint64_t ms);
uint32_t radio_new_tag(radio_core *c);
radio_effect *radio_emit(radio_core *c, radio_act act, bytes body);
radio_feed *radio_feed_find(const radio_core *c, feed_id feed);
/* Makes a row; NULL when there is no room. */
radio_feed *radio_feed_row(radio_core *c, feed_id feed);
bool radio_is_own(const radio_core *c, const radio_feed *f);
/* Own events are held that were not told: when they leave. */
void radio_own_news(radio_core *c, radio_feed *f, mono_ms now);
void radio_beacon_reset(radio_core *c, mono_ms now);
void radio_beacon_turn(radio_core *c, mono_ms now);
/* f->known was raised. */
void radio_missing(radio_core *c, radio_feed *f, uint64_t seq, mono_ms now);
radio_station *radio_station_of(radio_core *c, member_no member, mono_ms now);
/* What a beacon says of the feed: own events that are still held back are not told. */
uint64_t radio_told(const radio_core *c, const radio_feed *f);
const uint8_t *radio_digest(radio_core *c);

/* The id before the first event of a chain that begins with these bytes; false when no author known has it. */
bool radio_root(const radio_core *c, feed_id feed, const uint8_t *prefix, event_id *out);

/* ---- radio_core_hear.c ---- */
/* Takes up parked runs that can be read now. */
void radio_take_up(radio_core *c, mono_ms now);
void radio_unpark(radio_parked *p);
radio_parked *radio_parked_of(radio_core *c, uint32_t tag);
/* A run of this feed is on the air. */
void radio_on_air(radio_core *c, radio_feed *f, uint64_t first, uint64_t last, mono_ms now);

/* ---- radio_core_want.c ---- */
void radio_want_add(radio_feed *f, uint64_t first, uint64_t last);
void radio_want_cut(radio_feed *f, uint64_t first, uint64_t last);

/* ---- radio_core_walk.c ---- */
/* A run from `first` on, at least to the seal at or beyond `tip` if it fits. */
bool radio_walk_say(radio_core *c, radio_feed *f, uint64_t first, uint64_t tip, bool plain,
                    mono_ms now);
bool radio_walk_hear(radio_core *c, radio_parked *p, const radio_run *r);
void radio_walk_end(radio_core *c);

/* ---- radio_core_say.c ---- */
/* The walk has what it needs. */
void radio_finish_say(radio_core *c, mono_ms now);
void radio_finish_hear(radio_core *c, mono_ms now);
/* News of other feeds, as many as are fresh. */
void radio_news(const radio_core *c, feed_id but, radio_list *out, mono_ms now);
size_t radio_say_beacon(radio_core *c, mono_ms now);
size_t radio_say_wants(radio_core *c, mono_ms now);
size_t radio_say_ready(radio_core *c);

#endif
