/* Frames: runs coded to fit, heard runs decoded, beacons, wants. */
#include "gossip/radio_core_impl.h"

#include "pure/crypto.h"
#include "pure/run.h"

/* ---- a run to say ---- */

static bytes event_data(const radio_walk *w, uint32_t i)
{
    return bytes_of(w->bodies.p + w->events[i].at, w->events[i].len);
}

/* The code of the first `n` events. Codec 0 if one of them is erased, or was asked for. */
static err_t code_events(radio_core *c, uint32_t n)
{
    radio_walk *w = &c->walk;
    bytes bodies[RADIO_RUN_EVENTS];
    size_t len = 0;
    buf_clear(&c->code);
    if (buf_reserve(&c->code, c->code.max) == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        bodies[i] = event_data(w, i);
        if (w->plain &&
            !radio_put_body(c->code.p, c->code.max, &len, bodies[i], w->events[i].erased))
            return ERR_TOO_LARGE;
    }
    c->code.len = len;
    if (w->plain)
        return ERR_OK;
    codec_copy(c->work, w->state->c);
    return codec_encode(c->work, bodies, n, &c->code);
}

static bool some_erased(const radio_walk *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->events[i].erased)
            return true;
    return false;
}

static void head_of(const radio_core *c, radio_run *r)
{
    const radio_walk *w = &c->walk;
    *r = (radio_run){.feed = w->feed,
                     .first_seq = w->first,
                     .codec = w->plain ? RUN_CODEC_PLAIN : RUN_CODEC_RADIO,
                     .history_seq = w->plain ? w->first : w->begin};
    memcpy(r->previous, w->id.b, sizeof r->previous);
}

/* Writes the run of the first `n` events, at most `max` bytes; 0 when they do not fit. */
static size_t write_run(radio_core *c, radio_run *r, uint32_t n, uint8_t *out, size_t max)
{
    r->count = n;
    r->seal = c->walk.events[n - 1].seal;
    if (code_events(c, n) != ERR_OK)
        return 0;
    r->code = buf_view(&c->code);
    return radio_put_run(out, max, r);
}

/* The next one to try, of ends low … high - 1: first what the size of late says, then one more at a time, until one
 * does not fit; only then by halves. */
static uint32_t guess(const radio_core *c, uint32_t low, uint32_t high, uint32_t n)
{
    if (high < n)
        return (low + high) / 2;
    size_t events = (c->max_bytes - SEAL_BYTES) * 16 / (c->per_event + 1);
    uint32_t first = events > 0 ? (uint32_t)events - 1 : 0;
    uint32_t middle = low > first ? low : first;
    return middle < n ? middle : n - 1;
}

/* The most events that fit one frame; those that end in a seal only. 0: not even the first. */
static uint32_t fill_frame(radio_core *c, radio_run *r, uint8_t *out, size_t *len)
{
    const radio_walk *w = &c->walk;
    uint32_t ends[RADIO_RUN_EVENTS], n = 0, low = 0, best = 0;
    for (uint32_t i = 0; i < w->n; i++)
        if (w->events[i].sealed)
            ends[n++] = i + 1;
    uint32_t high = n;
    while (low < high) {
        uint32_t middle = guess(c, low, high, n);
        uint8_t frame[RADIO_FRAME_MAX_BYTES];
        size_t k = write_run(c, r, ends[middle], frame, c->max_bytes);
        if (k == 0) {
            high = middle;
            continue;
        }
        memcpy(out, frame, k);
        *len = k;
        best = ends[middle];
        low = middle + 1;
    }
    return best;
}

static void learn_size(radio_core *c, uint32_t n)
{
    size_t now = c->code.len * 16 / n;
    c->per_event = (3 * c->per_event + now) / 4;
    c->count.code_bytes += c->code.len;
}

/* What is left of the frame tells news: a run is a beacon too. */
static size_t add_news(radio_core *c, radio_run *r, uint8_t *out, size_t len, mono_ms now)
{
    size_t k;
    radio_news(c, r->feed, &r->news, now);
    do {
        k = radio_put_run(out, c->max_bytes, r);
        r->news.n -= r->news.n > 0 ? 1 : 0;
    } while (k == 0 && r->news.n > 0);
    return k > 0 ? k : len;
}

static void set_ready(radio_core *c, uint32_t n, bytes plain)
{
    radio_ready *o = &c->ready;
    buf_clear(&o->plain);
    o->ready = buf_add_bytes(&o->plain, plain);
    o->urgent = feed_class_of(c->walk.feed) == CLASS_EXPRESS;
    o->answer = c->walk.answer;
    o->repeat = c->walk.repeat;
    o->feed = c->walk.feed;
    o->first = c->walk.first;
    o->last = c->walk.first + n - 1;
    o->next = 0;
    o->total = 1;
    if (plain.len <= c->max_bytes)
        return;
    uint8_t hash[CRYPTO_HASH_BYTES];
    size_t room = c->max_bytes - RADIO_TAG32_BYTES - 2;
    o->total = (uint8_t)((plain.len + room - 1) / room);
    o->size = (plain.len + o->total - 1) / o->total;
    crypto_digest(hash, plain);
    memcpy(o->tag, hash, sizeof o->tag);
}

/* More than a frame: the fewest events that end in a seal, in parts. */
static void say_in_parts(radio_core *c, radio_run *r)
{
    static const radio_list nothing;
    uint8_t whole[RADIO_PARTS_MAX * RADIO_FRAME_MAX_BYTES];
    uint32_t n = 1;
    while (!c->walk.events[n - 1].sealed)
        n++;
    r->news = nothing;
    size_t room = (c->max_bytes - RADIO_TAG32_BYTES - 2) * RADIO_PARTS_MAX;
    size_t len = write_run(c, r, n, whole, room);
    radio_feed *f = radio_feed_find(c, r->feed);
    if (len > 0) {
        learn_size(c, n);
        set_ready(c, n, bytes_of(whole, len));
    } else if (f != NULL) {
        c->count.too_large += !f->too_large;
        f->too_large = true;
        f->want_ms = f->news_ms = RADIO_NEVER;
    }
}

void radio_finish_say(radio_core *c, mono_ms now)
{
    static radio_run none;
    uint8_t frame[RADIO_FRAME_MAX_BYTES];
    size_t len = 0;
    radio_run r = none;
    c->walk.plain |= some_erased(&c->walk);
    head_of(c, &r);
    uint32_t n = fill_frame(c, &r, frame, &len);
    if (n > 0) {
        if (r.count != n)
            (void)write_run(c, &r, n, frame, c->max_bytes); /* halving ended on another one */
        learn_size(c, n);
        if (!c->walk.answer)
            len = add_news(c, &r, frame, len, now);
        set_ready(c, n, bytes_of(frame, len));
    } else {
        say_in_parts(c, &r);
    }
    radio_walk_end(c);
}

static size_t say_part(radio_core *c)
{
    radio_ready *o = &c->ready;
    radio_part p = {.index = o->next, .total = o->total};
    size_t at = (size_t)o->next * o->size;
    memcpy(p.tag, o->tag, sizeof p.tag);
    p.data = bytes_of(o->plain.p + at, at + o->size < o->plain.len ? o->size : o->plain.len - at);
    o->next++;
    o->ready = o->next < o->total;
    c->count.parts_said++;
    return radio_put_part(c->plain, c->max_bytes, &p);
}

/* The run that is ready, or its next part. */
size_t radio_say_ready(radio_core *c)
{
    radio_ready *o = &c->ready;
    c->given = (radio_given){.kind = o->total > 1 ? RADIO_KIND_PART : RADIO_KIND_RUN,
                             .feed = o->feed,
                             .first = o->first,
                             .last = o->last};
    if (o->total > 1)
        return say_part(c);
    memcpy(c->plain, o->plain.p, o->plain.len);
    o->ready = false;
    return o->plain.len;
}

/* ---- a run that was heard ---- */

static err_t offer(radio_core *c, radio_parked *p, const radio_run *r, const bytes *data,
                   const bool *erased)
{
    run_writer w;
    uint32_t count;
    buf_clear(&c->code);
    buf whole;
    buf_init(&whole, RUN_MAX_BYTES);
    err_t e = run_begin(&w, &whole, r->feed, r->first_seq, &c->walk.id);
    for (uint32_t i = 0; e == ERR_OK && i < r->count; i++)
        e = run_add(&w, data[i], erased[i], i + 1 == r->count ? &r->seal : NULL);
    if (e == ERR_OK)
        e = run_end(&w, &count);
    radio_effect *out = e == ERR_OK ? radio_emit(c, RADIO_INGEST, buf_view(&whole)) : NULL;
    if (out != NULL) {
        out->tag = p->tag;
        out->member = p->station;
        p->offered = true;
        c->count.runs_decoded++;
    }
    buf_release(&whole);
    return out != NULL ? ERR_OK : e != ERR_OK ? e : ERR_NO_MEMORY;
}

static err_t read_plain(const radio_run *r, bytes *data, bool *erased)
{
    bytes rest = r->code;
    for (uint32_t i = 0; i < r->count; i++)
        TRY(radio_get_body(&rest, &data[i], &erased[i]));
    return rest.len == 0 ? ERR_OK : ERR_TRAILING;
}

static err_t read_coded(radio_core *c, const radio_run *r, bytes *data, bool *erased)
{
    size_t ends[SEAL_MAX_EVENTS];
    buf_clear(&c->scratch);
    codec_copy(c->work, c->walk.state->c);
    TRY(codec_decode(c->work, r->code, r->count, SEAL_MAX_BYTES, &c->scratch, ends));
    for (uint32_t i = 0; i < r->count; i++) {
        size_t from = i > 0 ? ends[i - 1] : 0;
        data[i] = bytes_of(c->scratch.p + from, ends[i] - from);
        erased[i] = false;
    }
    return ERR_OK;
}

static err_t check_heard(radio_core *c, const radio_run *r)
{
    if (r->first_seq == 1)
        return radio_root(c, r->feed, r->previous, &c->walk.id) ? ERR_OK : ERR_NOT_MEMBER;
    return memcmp(r->previous, c->walk.id.b, sizeof r->previous) == 0 ? ERR_OK : ERR_BAD_CHAIN;
}

void radio_finish_hear(radio_core *c, mono_ms now)
{
    bytes data[SEAL_MAX_EVENTS];
    bool erased[SEAL_MAX_EVENTS];
    radio_run r;
    radio_parked *p = radio_parked_of(c, c->walk.parked);
    (void)now;
    if (p == NULL) {
        radio_walk_end(c);
        return;
    }
    err_t e = radio_get_run(buf_view(&p->plain), &r);
    if (e == ERR_OK)
        e = check_heard(c, &r);
    if (e == ERR_OK)
        e = r.codec ? read_coded(c, &r, data, erased) : read_plain(&r, data, erased);
    if (e == ERR_OK)
        e = offer(c, p, &r, data, erased);
    if (e != ERR_OK) {
        c->count.runs_refused++;
        radio_unpark(p);
    }
    radio_walk_end(c);
}

/* The frontier that shows it comes by itself. */
void radio_ingested(radio_core *c, uint32_t tag, err_t e, const ingest_reply *reply, mono_ms now)
{
    radio_parked *p = radio_parked_of(c, tag);
    if (p == NULL)
        return;
    c->count.runs_refused += e != ERR_OK || reply->code != ERR_OK;
    radio_unpark(p);
    radio_take_up(c, now);
}

/* ---- beacons and wants ---- */

void radio_news(const radio_core *c, feed_id but, radio_list *out, mono_ms now)
{
    uint64_t bound = UINT64_MAX, age = radio_scaled(c, RADIO_NEWS_MS);
    out->n = 0;
    while (out->n < RADIO_NEWS_MAX) { /* the freshest first, of those older than the last one */
        const radio_feed *best = NULL;
        for (size_t i = 0; i < c->n_feeds; i++) {
            const radio_feed *f = &c->feeds[i];
            if (f->feed != but && f->have_ms > 0 && f->have_ms < bound &&
                f->have_ms + age > now.ms && radio_told(c, f) > 0 &&
                (best == NULL || f->have_ms > best->have_ms))
                best = f;
        }
        if (best == NULL)
            return;
        bound = best->have_ms;
        radio_entry e = {.feed = best->feed, .seq = radio_told(c, best)};
        (void)radio_list_add(out, &e);
    }
}

static void whole_list(const radio_core *c, radio_beacon *b, size_t from)
{
    b->whole = true;
    b->low = from > 0 ? c->feeds[from].code : 0;
    b->high = RADIO_CODE_MAX;
    b->list.n = 0;
    for (size_t i = from; i < c->n_feeds; i++) {
        radio_entry e = {.feed = c->feeds[i].feed, .seq = radio_told(c, &c->feeds[i])};
        if (e.seq == 0)
            continue;
        if (b->list.n == RADIO_ENTRIES_MAX) {
            b->high = c->feeds[i].code - 1;
            return;
        }
        b->list.at[b->list.n++] = e;
    }
}

/* Whole if it fits into half a frame or is asked for; a large frontier is told a part at a time, from a random place. */
size_t radio_say_beacon(radio_core *c, mono_ms now)
{
    static radio_beacon none;
    radio_beacon b = none;
    bool asked = c->whole_ms <= now.ms;
    memcpy(b.digest, radio_digest(c), sizeof b.digest);
    whole_list(c, &b, 0);
    size_t k = radio_put_beacon(c->plain, c->max_bytes, &b);
    if (k == 0 || b.high != RADIO_CODE_MAX || (k > c->max_bytes / 2 && !asked)) {
        if (asked)
            whole_list(c, &b, radio_dice(c) % c->n_feeds);
        else {
            b = (radio_beacon){.whole = false};
            memcpy(b.digest, radio_digest(c), sizeof b.digest);
            radio_news(c, 0, &b.list, now);
        }
        while ((k = radio_put_beacon(c->plain, c->max_bytes, &b)) == 0 && b.list.n > 0)
            b.high = radio_feed_code(b.list.at[--b.list.n].feed) - 1;
    }
    c->whole_ms = RADIO_NEVER;
    c->beacon_ms = RADIO_NEVER;
    c->count.beacons_said++;
    c->given = (radio_given){.kind = RADIO_KIND_BEACON};
    return k;
}

/* The first that is missing and how many, up to what is parked already; false when all of it is. */
static bool wanted(const radio_core *c, const radio_feed *f, radio_entry *e)
{
    uint64_t last = f->known;
    for (size_t i = 0; i < RADIO_PARKED_MAX; i++) {
        const radio_parked *p = &c->parked[i];
        if (p->tag == 0 || p->feed != f->feed)
            continue;
        if (p->first <= f->have + 1 && p->last > f->have)
            return false;
        if (p->first > f->have + 1 && p->first - 1 < last)
            last = p->first - 1;
    }
    uint64_t n = last - f->have;
    *e = (radio_entry){.feed = f->feed,
                       .seq = f->have + 1,
                       .count = n < RUN_MAX_EVENTS && last < f->known ? (uint32_t)n : 0,
                       .plain = f->ask_plain};
    return true;
}

/* All that is missing goes into one want, also what would be asked for a little later. */
size_t radio_say_wants(radio_core *c, mono_ms now)
{
    radio_list l;
    radio_entry e;
    l.n = 0;
    for (size_t i = 0; i < c->n_feeds; i++) {
        radio_feed *f = &c->feeds[i];
        if (f->ask_ms == RADIO_NEVER ||
            f->ask_ms > now.ms + radio_scaled(c, f->asks == 0 ? RADIO_ASK_MS : 0))
            continue;
        bool urgent = feed_class_of(f->feed) == CLASS_EXPRESS;
        uint64_t again = 2 * (urgent ? RADIO_URGENT_MS : RADIO_ASK_MS)
                         << (f->asks < 4 ? f->asks : 4);
        if (wanted(c, f, &e) && !radio_list_add(&l, &e))
            break;
        f->asks++;
        f->ask_ms = now.ms + radio_delay(c, again, 60, 110);
    }
    size_t k = 0;
    while (l.n > 0 && (k = radio_put_want(c->plain, c->max_bytes, &l)) == 0)
        l.n--;
    if (k > 0)
        c->count.wants_said++;
    c->given = (radio_given){.kind = RADIO_KIND_WANT};
    return k;
}
