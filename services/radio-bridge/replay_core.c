#include "radio-bridge/replay_core.h"

#include <stdlib.h>

/* Two generations of tags: when the young one is full it becomes the old one, and the old one is forgotten. */
#define GENERATION (REPLAY_TAGS_MAX / 2)
#define SLOTS      (2 * GENERATION)
#define WINDOW     64
#define SEAL       0xa5u /* makes a record of zeros a bad one */

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are found by masking");
_Static_assert(REPLAY_RECORD_BYTES == 2 + RADIO_TAG_BYTES, "epoch, tag, check");

typedef struct {
    uint64_t slot[SLOTS]; /* 0: free; else 1 << 63, epoch, tag */
    uint32_t used;
} generation;

/* Bit i of `seen`: the counter i below the highest. */
typedef struct {
    uint64_t seen, touched; /* touched 0: free */
    member_no station;
    uint16_t highest;
    uint8_t bridge, epoch;
} source;

struct replay {
    generation tags[2];
    unsigned young;
    uint64_t clock;
    source sources[REPLAY_SOURCES_MAX];
};

/* ---- tags ---- */

static uint64_t word_of(uint8_t epoch, const uint8_t *tag)
{
    uint64_t word = 1ull << 63 | (uint64_t)epoch << 48;
    for (size_t i = 0; i < RADIO_TAG_BYTES; i++)
        word |= (uint64_t)tag[i] << (8 * i);
    return word;
}

static uint8_t epoch_of(uint64_t word)
{
    return (uint8_t)(word >> 48);
}

/* Where it is, or where it would be: half of the slots are always free. */
static uint64_t *find(generation *g, uint64_t word)
{
    size_t i = word & (SLOTS - 1);
    while (g->slot[i] != 0 && g->slot[i] != word)
        i = (i + 1) & (SLOTS - 1);
    return &g->slot[i];
}

static void put(generation *g, uint64_t word)
{
    *find(g, word) = word;
    g->used++;
}

/* False: it is here already. */
static bool remember(replay *r, uint64_t word)
{
    if (*find(&r->tags[0], word) == word || *find(&r->tags[1], word) == word)
        return false;
    if (r->tags[r->young].used == GENERATION) {
        r->young = 1 - r->young;
        memset(&r->tags[r->young], 0, sizeof r->tags[0]);
    }
    put(&r->tags[r->young], word);
    return true;
}

/* ---- records ---- */

static uint8_t check_of(const uint8_t *raw)
{
    uint8_t sum = SEAL;
    for (size_t i = 0; i < REPLAY_RECORD_BYTES - 1; i++)
        sum = (uint8_t)((sum << 1 | sum >> 7) ^ raw[i]);
    return sum;
}

static void put_record(uint64_t word, buf *out)
{
    uint8_t raw[REPLAY_RECORD_BYTES];
    raw[0] = epoch_of(word);
    for (size_t i = 0; i < RADIO_TAG_BYTES; i++)
        raw[1 + i] = (uint8_t)(word >> (8 * i));
    raw[REPLAY_RECORD_BYTES - 1] = check_of(raw);
    (void)buf_add(out, raw, sizeof raw);
}

replay *replay_new(bytes file)
{
    replay *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    for (size_t at = 0; file.len - at >= REPLAY_RECORD_BYTES; at += REPLAY_RECORD_BYTES)
        if (check_of(file.p + at) == file.p[at + REPLAY_RECORD_BYTES - 1])
            (void)remember(r, word_of(file.p[at], file.p + at + 1));
    return r;
}

void replay_free(replay *r)
{
    free(r);
}

/* The old ones first, so that reading it back forgets in the same order. */
void replay_snapshot(const replay *r, buf *out)
{
    for (unsigned i = 0; i < 2; i++) {
        const generation *g = &r->tags[i == 0 ? 1 - r->young : r->young];
        for (size_t k = 0; k < SLOTS; k++)
            if (g->slot[k] != 0)
                put_record(g->slot[k], out);
    }
}

static void keep_in(generation *g, generation *old, uint8_t epoch, uint8_t other)
{
    *old = *g;
    memset(g, 0, sizeof *g);
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t word = old->slot[i];
        if (word != 0 && (epoch_of(word) == epoch || epoch_of(word) == other))
            put(g, word);
    }
}

void replay_keep(replay *r, uint8_t epoch, uint8_t other)
{
    generation *old = malloc(sizeof *old);
    if (old == NULL)
        return; /* they are kept a little longer */
    keep_in(&r->tags[0], old, epoch, other);
    keep_in(&r->tags[1], old, epoch, other);
    free(old);
}

/* ---- counters ---- */

static bool is_source(const source *s, const radio_header *h)
{
    return s->touched != 0 && s->station == h->station && s->bridge == h->bridge &&
           s->epoch == h->epoch;
}

/* The radio's window; a new one takes the place of the one that was silent for longest. */
static source *source_of(replay *r, const radio_header *h)
{
    source *oldest = &r->sources[0];
    for (size_t i = 0; i < REPLAY_SOURCES_MAX; i++) {
        source *s = &r->sources[i];
        if (is_source(s, h))
            return s;
        if (s->touched < oldest->touched)
            oldest = s;
    }
    *oldest = (source){.station = h->station,
                       .bridge = h->bridge,
                       .epoch = h->epoch,
                       .highest = (uint16_t)(h->counter - 1)};
    return oldest;
}

/* Distances are taken modulo 2^16. Far behind is a radio that has begun anew. */
static bool window_take(source *s, uint16_t counter)
{
    int ahead = (int16_t)(uint16_t)(counter - s->highest);
    if (ahead > 0 || ahead <= -WINDOW) {
        s->seen = ahead > 0 && ahead < WINDOW ? s->seen << ahead | 1 : 1;
        s->highest = counter;
        return true;
    }
    uint64_t bit = 1ull << -ahead;
    bool fresh = (s->seen & bit) == 0;
    s->seen |= bit;
    return fresh;
}

bool replay_take(replay *r, const radio_header *h, const uint8_t *tag, buf *out)
{
    if (h->kind < RADIO_KIND_CONTROL) {
        source *s = source_of(r, h);
        s->touched = ++r->clock;
        return window_take(s, h->counter);
    }
    uint64_t word = word_of(h->epoch, tag);
    bool fresh = remember(r, word);
    if (fresh)
        put_record(word, out);
    return fresh;
}
