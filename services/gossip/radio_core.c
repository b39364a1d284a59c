/* Life of the planner, the table of feeds, the beacon's timer. */
#include "gossip/radio_core_impl.h"

#include "pure/chain.h"

#include <stdlib.h>

/* ---- chance and delays ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t radio_dice(radio_core *c)
{
    uint64_t z = c->dice += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint64_t radio_scaled(const radio_core *c, uint64_t ms)
{
    uint64_t us = c->frame_us < 20000 ? 20000 : c->frame_us;
    return ms * (us < 20 * RADIO_USUAL_US ? us : 20 * RADIO_USUAL_US) / RADIO_USUAL_US;
}

uint64_t radio_delay(radio_core *c, uint64_t ms, unsigned from, unsigned to)
{
    uint64_t share = from * 10 + radio_dice(c) % ((to - from) * 10 + 1);
    return radio_scaled(c, ms) * share / 1000;
}

uint32_t radio_new_tag(radio_core *c)
{
    if (++c->next_tag == 0)
        c->next_tag = 1;
    return c->next_tag;
}

/* ---- effects ---- */

static void node_free(radio_effect_node *n)
{
    if (n == NULL)
        return;
    buf_release(&n->body);
    free(n);
}

radio_effect *radio_emit(radio_core *c, radio_act act, bytes body)
{
    radio_effect_node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return NULL;
    n->e.act = act;
    buf_init(&n->body, MESSAGE_MAX_BYTES);
    if (!buf_add_bytes(&n->body, body)) {
        node_free(n);
        return NULL;
    }
    *c->last = n;
    c->last = &n->next;
    return &n->e;
}

bool radio_next(radio_core *c, radio_effect *out)
{
    node_free(c->taken);
    c->taken = c->first;
    if (c->taken == NULL)
        return false;
    c->first = c->taken->next;
    if (c->first == NULL)
        c->last = &c->first;
    *out = c->taken->e;
    out->body = buf_view(&c->taken->body);
    return true;
}

/* ---- life ---- */

radio_core *radio_core_new(member_no self, uint64_t seed, uint32_t states)
{
    radio_core *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    uint32_t most = sizeof c->states / sizeof *c->states;
    c->self = self;
    c->dice = seed;
    c->n_states = states < 2 ? 2 : states < most ? states : most;
    c->last = &c->first;
    c->frame_us = RADIO_USUAL_US;
    c->max_bytes = RADIO_PLAIN_MAX_BYTES;
    c->per_event = 24 * 16;
    c->whole_ms = c->beacon_ms = RADIO_NEVER;
    c->halves = calloc(RADIO_HALVES_MAX, sizeof *c->halves);
    c->work = codec_new();
    buf_init(&c->scratch, RUN_MAX_BYTES);
    buf_init(&c->code, RADIO_PARTS_MAX * RADIO_FRAME_MAX_BYTES);
    buf_init(&c->ready.plain, RADIO_PARTS_MAX * RADIO_FRAME_MAX_BYTES);
    buf_init(&c->walk.bodies, RUN_MAX_BYTES);
    if (c->halves == NULL || c->work == NULL) {
        radio_core_free(c);
        return NULL;
    }
    return c;
}

void radio_core_free(radio_core *c)
{
    if (c == NULL)
        return;
    for (radio_effect_node *n = c->first, *next; n != NULL; n = next) {
        next = n->next;
        node_free(n);
    }
    node_free(c->taken);
    for (uint32_t i = 0; i < c->n_states; i++)
        codec_free(c->states[i].c);
    for (uint32_t i = 0; i < RADIO_PARKED_MAX; i++)
        buf_release(&c->parked[i].plain);
    codec_free(c->work);
    buf_release(&c->scratch);
    buf_release(&c->code);
    buf_release(&c->ready.plain);
    buf_release(&c->walk.bodies);
    free(c->halves);
    free(c->authors);
    free(c->feeds);
    free(c);
}

/* ---- authors ---- */

err_t radio_set_authors(radio_core *c, const dataset_id *dataset, const radio_author *authors,
                        size_t n)
{
    radio_author *copy = malloc((n + 1) * sizeof *copy);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    if (n > 0)
        memcpy(copy, authors, n * sizeof *copy);
    free(c->authors);
    c->authors = copy;
    c->n_authors = n;
    c->dataset = *dataset;
    return ERR_OK;
}

bool radio_root(const radio_core *c, feed_id feed, const uint8_t *prefix, event_id *out)
{
    for (size_t i = 0; i < c->n_authors; i++) {
        if (c->authors[i].member != feed_member(feed))
            continue;
        chain_start(out, &c->dataset, feed, &c->authors[i].key);
        if (memcmp(out->b, prefix, RADIO_PREVIOUS_BYTES) == 0)
            return true;
        chain_start_genesis(out, &c->authors[i].key);
        if (feed == CHAIN_GENESIS_FEED && memcmp(out->b, prefix, RADIO_PREVIOUS_BYTES) == 0)
            return true;
    }
    return false;
}

/* ---- feeds ---- */

/* Index of the first feed whose code is not less. */
static size_t feed_place(const radio_core *c, uint32_t code)
{
    size_t low = 0, high = c->n_feeds;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->feeds[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

radio_feed *radio_feed_find(const radio_core *c, feed_id feed)
{
    size_t i = feed_place(c, radio_feed_code(feed));
    return i < c->n_feeds && c->feeds[i].feed == feed ? &c->feeds[i] : NULL;
}

static bool feeds_room(radio_core *c)
{
    if (c->n_feeds < c->cap_feeds)
        return true;
    size_t cap = c->cap_feeds > 0 ? 2 * c->cap_feeds : 64;
    radio_feed *more = realloc(c->feeds, cap * sizeof *more);
    if (more == NULL)
        return false;
    c->feeds = more;
    c->cap_feeds = cap;
    return true;
}

radio_feed *radio_feed_row(radio_core *c, feed_id feed)
{
    size_t i = feed_place(c, radio_feed_code(feed));
    if (i < c->n_feeds && c->feeds[i].feed == feed)
        return &c->feeds[i];
    if (c->n_feeds >= RADIO_FEEDS_MAX || !feeds_room(c))
        return NULL;
    memmove(&c->feeds[i + 1], &c->feeds[i], (c->n_feeds - i) * sizeof *c->feeds);
    c->feeds[i] = (radio_feed){.feed = feed,
                               .code = radio_feed_code(feed),
                               .news_ms = RADIO_NEVER,
                               .want_ms = RADIO_NEVER,
                               .ask_ms = RADIO_NEVER};
    c->n_feeds++;
    return &c->feeds[i];
}

bool radio_is_own(const radio_core *c, const radio_feed *f)
{
    return feed_member(f->feed) == c->self;
}

void radio_missing(radio_core *c, radio_feed *f, uint64_t seq, mono_ms now)
{
    if (seq > f->known)
        f->known = seq;
    if (f->known <= f->have || f->ask_ms != RADIO_NEVER || f->forked)
        return;
    bool urgent = feed_class_of(f->feed) == CLASS_EXPRESS;
    f->asks = 0;
    f->ask_ms = now.ms + radio_delay(c, urgent ? RADIO_URGENT_MS : RADIO_ASK_MS, 10, 50);
}

/* ---- the frontier ---- */

/* Own news wait for company; express waits for nobody. */
void radio_own_news(radio_core *c, radio_feed *f, mono_ms now)
{
    static const uint32_t hold_ms[] = {[CLASS_ROUTINE] = RADIO_HOLD_MS,
                                       [CLASS_EXPRESS] = 0,
                                       [CLASS_BULK] = RADIO_HOLD_BULK_MS,
                                       [CLASS_RESERVED] = RADIO_HOLD_MS};
    size_t full = (size_t)(f->have - f->aired) * c->per_event / 16 + SEAL_BYTES + 20;
    uint64_t due = now.ms + radio_scaled(c, hold_ms[feed_class_of(f->feed)]);
    if (full >= c->max_bytes)
        due = now.ms;
    if (due < f->news_ms)
        f->news_ms = due;
}

static bool take_entry(radio_core *c, const frontier_entry *e, mono_ms now)
{
    radio_feed *f = radio_feed_row(c, e->feed);
    if (f == NULL || e->seq <= f->have)
        return false;
    f->have = e->seq;
    f->have_ms = now.ms;
    if (!c->started) {
        f->aired = e->seq;
        f->have_ms = 0;
    } else if (radio_is_own(c, f) && f->have > f->aired) {
        radio_own_news(c, f, now);
    }
    /* Something came, so asking is worth while: the next gap is asked for without the pause of many vain tries. */
    uint64_t before = f->asks > 0 ? RADIO_NEVER : f->ask_ms;
    f->ask_ms = RADIO_NEVER;
    radio_missing(c, f, f->known, now);
    if (f->ask_ms != RADIO_NEVER && before < f->ask_ms)
        f->ask_ms = before;
    return true;
}

void radio_set_frontier(radio_core *c, const frontier *mine, mono_ms now)
{
    bool rose = false;
    for (size_t i = 0; i < mine->n; i++) {
        rose |= take_entry(c, &mine->at[i], now);
        radio_feed *f = radio_feed_find(c, mine->at[i].feed);
        if (f != NULL)
            f->forked = i > 0 && mine->at[i - 1].feed == mine->at[i].feed;
    }
    c->digest_old = true;
    if (!c->started || rose)
        radio_beacon_reset(c, now);
    c->started = true;
    radio_take_up(c, now);
}

uint64_t radio_told(const radio_core *c, const radio_feed *f)
{
    return radio_is_own(c, f) && f->aired < f->have ? f->aired : f->have;
}

const uint8_t *radio_digest(radio_core *c)
{
    crypto_hasher h;
    uint8_t row[12], out[CRYPTO_HASH_BYTES];
    if (!c->digest_old)
        return c->digest;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "cairn/1 air", 11);
    for (size_t i = 0; i < c->n_feeds; i++) {
        uint64_t seq = radio_told(c, &c->feeds[i]);
        put_u32be(row, c->feeds[i].feed);
        put_u64be(row + 4, seq);
        if (seq > 0)
            crypto_hash_add(&h, row, sizeof row);
    }
    crypto_hash_end(&h, out);
    memcpy(c->digest, out, sizeof c->digest);
    c->digest_old = false;
    return c->digest;
}

/* ---- Trickle (RFC 6206) ---- */

static void begin_interval(radio_core *c, uint64_t length_ms, mono_ms now)
{
    c->interval_ms = length_ms;
    c->interval_end_ms = now.ms + length_ms;
    c->beacon_ms = now.ms + length_ms / 2 + radio_dice(c) % (length_ms / 2 + 1);
    c->agreed = 0;
}

void radio_beacon_reset(radio_core *c, mono_ms now)
{
    uint64_t least = radio_scaled(c, RADIO_BEACON_MIN_MS);
    if (c->interval_ms == 0 || c->interval_ms > least)
        begin_interval(c, least, now);
}

void radio_beacon_turn(radio_core *c, mono_ms now)
{
    uint64_t most = radio_scaled(c, RADIO_BEACON_MAX_MS);
    if (c->interval_ms > 0 && now.ms >= c->interval_end_ms)
        begin_interval(c, 2 * c->interval_ms < most ? 2 * c->interval_ms : most, now);
}

/* ---- stations ---- */

radio_station *radio_station_of(radio_core *c, member_no member, mono_ms now)
{
    radio_station *oldest = &c->stations[0];
    for (size_t i = 0; i < RADIO_STATIONS_MAX; i++) {
        radio_station *s = &c->stations[i];
        if (s->member == member)
            return s;
        if (s->member == 0 || s->heard_ms < oldest->heard_ms)
            oldest = s;
        if (s->member == 0)
            break;
    }
    *oldest = (radio_station){.member = member, .heard_ms = now.ms};
    return oldest;
}

bool radio_peer(const radio_core *c, size_t i, radio_peer_view *out)
{
    if (i >= RADIO_STATIONS_MAX || c->stations[i].member == 0)
        return false;
    const radio_station *s = &c->stations[i];
    *out = (radio_peer_view){.station = s->member,
                             .heard = {s->heard_ms},
                             .rssi_dbm = s->rssi_dbm,
                             .snr_cdb = s->snr_cdb,
                             .they_lack = s->they_lack,
                             .we_lack = s->we_lack,
                             .as_of = {s->as_of_ms}};
    return true;
}

const radio_counts *radio_counted(const radio_core *c)
{
    return &c->count;
}

uint64_t radio_lacking(const radio_core *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->n_feeds; i++)
        if (c->feeds[i].known > c->feeds[i].have)
            n += c->feeds[i].known - c->feeds[i].have;
    return n;
}
