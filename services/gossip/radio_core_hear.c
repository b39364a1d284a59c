/* What was heard: runs and parts of them, beacons, wants. */
#include "gossip/radio_core_impl.h"

#include "pure/crypto.h"

#include <stdlib.h>

/* ---- others lack something ---- */

static bool is_express(const radio_feed *f)
{
    return feed_class_of(f->feed) == CLASS_EXPRESS;
}

/* Each answer that was lost on the way to somebody makes him answer as well; so of many, only a few try, and more when
 * nobody did. */
static bool takes_part(radio_core *c, radio_feed *f, uint64_t first, mono_ms now)
{
    uint64_t others = 0, recent = radio_scaled(c, RADIO_BEACON_MAX_MS);
    bool again =
        f->wanted_first == first && f->wanted_ms + 10 * radio_scaled(c, RADIO_ASK_MS) > now.ms;
    f->rounds = again ? f->rounds + 1 : 0;
    f->wanted_first = first;
    f->wanted_ms = now.ms;
    if (radio_is_own(c, f))
        return true;
    for (size_t i = 0; i < RADIO_STATIONS_MAX && c->stations[i].member != 0; i++)
        others += c->stations[i].heard_ms + recent > now.ms;
    return radio_dice(c) % (others + 1) < RADIO_ANSWERERS * (1 + f->rounds);
}

/* From `first` on it is wanted, to `last` if that is held. The author answers before the others do. */
static void note_want(radio_core *c, radio_feed *f, uint64_t first, uint64_t last, bool plain,
                      mono_ms now)
{
    uint64_t told = radio_told(c, f), window = is_express(f) ? RADIO_URGENT_MS : RADIO_ANSWER_MS;
    if (last > told)
        last = told;
    if (first > last || f->forked)
        return;
    if (f->want_ms == RADIO_NEVER) {
        if (!takes_part(c, f, first, now))
            return;
        f->n_wants = 0;
        f->want_plain = false;
        f->want_ms = now.ms + (radio_is_own(c, f) ? radio_delay(c, window, 5, 20)
                                                  : radio_delay(c, window, 40, 100));
        if (radio_is_own(c, f) && f->news_ms != RADIO_NEVER && f->news_ms > f->want_ms &&
            last >= f->aired)
            f->want_ms = f->news_ms; /* they go together */
    }
    f->repeat = false;
    radio_want_add(f, first, last);
    f->want_plain |= plain;
}

/* Express is said again by whoever holds it, unless it was heard often enough. */
static void count_copy(radio_core *c, radio_feed *f, uint64_t first, uint64_t last, mono_ms now)
{
    if (f->copies_seq != last)
        f->copies = 0;
    f->copies_seq = last;
    f->copies++;
    if (f->copies >= RADIO_EXPRESS_COPIES) {
        if (f->repeat)
            f->want_ms = RADIO_NEVER;
        return;
    }
    if (f->want_ms != RADIO_NEVER)
        return;
    f->repeat = true;
    f->want_plain = false;
    f->n_wants = 0;
    radio_want_add(f, first, last);
    f->want_ms = now.ms + radio_delay(c, RADIO_URGENT_MS, 40, 160);
}

void radio_on_air(radio_core *c, radio_feed *f, uint64_t first, uint64_t last, mono_ms now)
{
    if (first <= f->aired + 1 && last > f->aired) {
        f->aired = last;
        c->digest_old = true;
    }
    if (f->aired >= f->have)
        f->news_ms = RADIO_NEVER;
    if (f->want_ms != RADIO_NEVER && !f->repeat) {
        radio_want_cut(f, first, last);
        if (f->n_wants == 0)
            f->want_ms = RADIO_NEVER;
    }
    if (is_express(f))
        count_copy(c, f, first, last, now);
}

/* ---- lists ---- */

/* 1: as here; 0: the sender is behind; 2: it is ahead. */
static int compare_entry(radio_core *c, const radio_entry *e, mono_ms now)
{
    radio_feed *f = radio_feed_row(c, e->feed);
    if (f == NULL)
        return 1;
    radio_missing(c, f, e->seq, now);
    uint64_t told = radio_told(c, f);
    return e->seq > f->have ? 2 : e->seq < told ? 0 : 1;
}

static bool compare_list(radio_core *c, const radio_list *l, bool *behind, mono_ms now)
{
    bool ahead = false;
    for (uint32_t i = 0; i < l->n; i++) {
        int order = compare_entry(c, &l->at[i], now);
        ahead |= order == 2;
        *behind |= order == 0;
    }
    return ahead;
}

/* ---- beacons ---- */

/* What the sender of a whole list lacks is as good as asked for. */
static void note_lacks(radio_core *c, const radio_beacon *b, radio_station *s, bool *behind,
                       mono_ms now)
{
    uint32_t at = 0;
    for (size_t i = 0; i < c->n_feeds; i++) {
        radio_feed *f = &c->feeds[i];
        uint64_t theirs = 0, told = radio_told(c, f);
        if (f->code < b->low || f->code > b->high)
            continue;
        while (at < b->list.n && radio_feed_code(b->list.at[at].feed) < f->code)
            at++;
        if (at < b->list.n && b->list.at[at].feed == f->feed)
            theirs = b->list.at[at].seq;
        s->we_lack += theirs > f->have ? theirs - f->have : 0;
        if (theirs >= told)
            continue;
        *behind = true;
        s->they_lack += told - theirs;
        note_want(c, f, theirs + 1, told, false, now);
    }
}

static void heard_beacon(radio_core *c, const radio_hearing *h, mono_ms now)
{
    radio_beacon b;
    if (radio_get_beacon(h->plain, &b) != ERR_OK) {
        c->count.malformed++;
        return;
    }
    bool behind = false, ahead = compare_list(c, &b.list, &behind, now);
    bool same = memcmp(b.digest, radio_digest(c), sizeof b.digest) == 0;
    radio_station *s = radio_station_of(c, h->station, now);
    if (b.whole || same) {
        s->they_lack = s->we_lack = 0;
        s->as_of_ms = now.ms;
    }
    if (b.whole)
        note_lacks(c, &b, s, &behind, now);
    if (same) {
        c->agreed++;
        c->whole_ms = b.whole ? RADIO_NEVER : c->whole_ms;
        return;
    }
    radio_beacon_reset(c, now);
    /* Neither is seen to lack anything, and yet they differ: only whole lists can tell. */
    if (!ahead && !b.whole && c->whole_ms == RADIO_NEVER)
        c->whole_ms = now.ms + radio_delay(c, RADIO_ASK_MS, 20, 100);
}

/* ---- wants ---- */

/* A member's wants are answered at a bounded rate. */
static bool has_credit(radio_station *s, mono_ms now)
{
    uint64_t cost = 3600000 / RADIO_WANTS_HOUR, burst = cost * RADIO_WANTS_AT_ONCE;
    uint64_t from = now.ms + cost > burst ? now.ms + cost - burst : 0;
    if (s->credit_ms > now.ms)
        return false;
    s->credit_ms = (s->credit_ms > from ? s->credit_ms : from) + cost;
    return true;
}

/* Somebody asks for what is missing here too. */
static void same_wish(radio_core *c, radio_feed *f, const radio_entry *e, mono_ms now)
{
    if (f->ask_ms == RADIO_NEVER || e->seq > f->have + 1 || f->ask_plain > e->plain)
        return;
    if (e->count > 0 && e->seq + e->count - 1 < f->known)
        return;
    uint64_t wait =
        feed_class_of(f->feed) == CLASS_EXPRESS ? 2 * RADIO_URGENT_MS : 2 * RADIO_ASK_MS;
    f->ask_ms = now.ms + radio_delay(c, wait, 60, 110);
}

static void heard_want(radio_core *c, const radio_hearing *h, mono_ms now)
{
    radio_list wants;
    if (radio_get_want(h->plain, &wants) != ERR_OK) {
        c->count.malformed++;
        return;
    }
    radio_station *s = radio_station_of(c, h->station, now);
    for (uint32_t i = 0; i < wants.n; i++) {
        const radio_entry *e = &wants.at[i];
        radio_feed *f = radio_feed_find(c, e->feed);
        if (f == NULL)
            continue;
        same_wish(c, f, e, now);
        uint64_t last = e->count > 0 ? e->seq + e->count - 1 : UINT64_MAX;
        if (e->seq <= radio_told(c, f) && has_credit(s, now))
            note_want(c, f, e->seq, last, e->plain, now);
    }
}

/* ---- runs ---- */

radio_parked *radio_parked_of(radio_core *c, uint32_t tag)
{
    for (size_t i = 0; tag != 0 && i < RADIO_PARKED_MAX; i++)
        if (c->parked[i].tag == tag)
            return &c->parked[i];
    return NULL;
}

void radio_unpark(radio_parked *p)
{
    buf_release(&p->plain);
    *p = (radio_parked){.tag = 0};
}

static bool is_parked(const radio_core *c, const radio_run *r, uint64_t last)
{
    for (size_t i = 0; i < RADIO_PARKED_MAX; i++) {
        const radio_parked *p = &c->parked[i];
        if (p->tag != 0 && p->feed == r->feed && p->first == r->first_seq && p->last == last)
            return true;
    }
    return false;
}

static radio_parked *park_room(radio_core *c)
{
    radio_parked *oldest = NULL;
    for (size_t i = 0; i < RADIO_PARKED_MAX; i++) {
        radio_parked *p = &c->parked[i];
        if (p->tag == 0)
            return p;
        bool busy = p->offered || (c->walk.kind == WALK_HEAR && c->walk.parked == p->tag);
        if (!busy && (oldest == NULL || p->at_ms < oldest->at_ms))
            oldest = p;
    }
    if (oldest != NULL)
        radio_unpark(oldest);
    return oldest;
}

static void park(radio_core *c, const radio_run *r, bytes plain, member_no station, mono_ms now)
{
    uint64_t last = r->first_seq + r->count - 1;
    radio_parked *p = is_parked(c, r, last) ? NULL : park_room(c);
    if (p == NULL)
        return;
    *p = (radio_parked){.tag = radio_new_tag(c),
                        .station = station,
                        .feed = r->feed,
                        .first = r->first_seq,
                        .last = last,
                        .at_ms = now.ms};
    buf_init(&p->plain, RADIO_PARTS_MAX * RADIO_FRAME_MAX_BYTES);
    if (!buf_add_bytes(&p->plain, plain))
        radio_unpark(p);
}

static void heard_run(radio_core *c, bytes plain, member_no station, mono_ms now)
{
    radio_run r;
    if (radio_get_run(plain, &r) != ERR_OK) {
        c->count.malformed++;
        return;
    }
    c->count.runs_heard++;
    bool behind = false, ahead = compare_list(c, &r.news, &behind, now);
    radio_feed *f = radio_feed_row(c, r.feed);
    if (f == NULL)
        return;
    uint64_t last = r.first_seq + r.count - 1;
    if (r.news.n > 0 && !ahead && !behind)
        c->agreed++; /* as good as a beacon that agrees */
    radio_on_air(c, f, r.first_seq, last, now);
    if (last <= f->have) {
        c->count.runs_held_already++;
        return;
    }
    radio_missing(c, f, last, now);
    park(c, &r, plain, station, now);
    radio_take_up(c, now);
}

/* A run that waits for one that never came is asked for again from where it begins. */
void radio_take_up(radio_core *c, mono_ms now)
{
    for (size_t i = 0; i < RADIO_PARKED_MAX && c->walk.kind == WALK_IDLE; i++) {
        radio_parked *p = &c->parked[i];
        radio_run r;
        const radio_feed *f = p->tag != 0 ? radio_feed_find(c, p->feed) : NULL;
        if (p->tag == 0 || p->offered)
            continue;
        if (f == NULL || p->last <= f->have || radio_get_run(buf_view(&p->plain), &r) != ERR_OK) {
            radio_unpark(p);
            continue;
        }
        if (p->first <= f->have + 1 && !radio_walk_hear(c, p, &r))
            radio_unpark(p);
    }
    (void)now;
}

/* ---- parts ---- */

static radio_half *half_of(radio_core *c, const radio_part *part, mono_ms now)
{
    radio_half *oldest = &c->halves[0];
    for (size_t i = 0; i < RADIO_HALVES_MAX; i++) {
        radio_half *h = &c->halves[i];
        if (h->total == part->total && memcmp(h->tag, part->tag, sizeof h->tag) == 0)
            return h;
        if (h->at_ms < oldest->at_ms)
            oldest = h;
    }
    memset(oldest, 0, offsetof(radio_half, data));
    memcpy(oldest->tag, part->tag, sizeof oldest->tag);
    oldest->total = part->total;
    oldest->at_ms = now.ms;
    return oldest;
}

static bool add_part(radio_half *h, const radio_part *p)
{
    bool last = p->index + 1 == p->total;
    if (p->data.len > RADIO_PLAIN_MAX_BYTES || (!last && h->size != 0 && p->data.len != h->size))
        return false;
    memcpy(h->data + (size_t)p->index * RADIO_PLAIN_MAX_BYTES, p->data.p, p->data.len);
    if (last)
        h->last_size = p->data.len;
    else
        h->size = p->data.len;
    h->got |= 1u << p->index;
    return h->got == (1u << h->total) - 1;
}

static void heard_part(radio_core *c, const radio_hearing *h, mono_ms now)
{
    radio_part p;
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (radio_get_part(h->plain, &p) != ERR_OK) {
        c->count.malformed++;
        return;
    }
    radio_half *half = half_of(c, &p, now);
    half->at_ms = now.ms;
    if (!add_part(half, &p))
        return;
    buf_clear(&c->scratch);
    for (unsigned i = 0; i < half->total; i++)
        (void)buf_add(&c->scratch, half->data + (size_t)i * RADIO_PLAIN_MAX_BYTES,
                      i + 1u == half->total ? half->last_size : half->size);
    half->total = 0;
    crypto_digest(hash, buf_view(&c->scratch));
    if (c->scratch.err == ERR_OK && memcmp(hash, p.tag, sizeof p.tag) == 0)
        heard_run(c, buf_view(&c->scratch), h->station, now);
}

/* ---- all kinds ---- */

void radio_heard(radio_core *c, const radio_hearing *h, mono_ms now)
{
    if (!c->started || h->station == 0)
        return;
    radio_station *s = radio_station_of(c, h->station, now);
    s->heard_ms = now.ms;
    s->rssi_dbm = h->rssi_dbm;
    s->snr_cdb = h->snr_cdb;
    if (h->kind >= RADIO_KIND_BEACON && !h->fresh) {
        c->count.stale++;
        return;
    }
    if (h->kind == RADIO_KIND_RUN)
        heard_run(c, h->plain, h->station, now);
    else if (h->kind == RADIO_KIND_PART)
        heard_part(c, h, now);
    else if (h->kind == RADIO_KIND_BEACON)
        heard_beacon(c, h, now);
    else if (h->kind == RADIO_KIND_WANT)
        heard_want(c, h, now);
}
