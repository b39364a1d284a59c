#include "tests/unit/radio_world.h"

#include "pure/radio_say.h"
#include "pure/run.h"

#include <stdlib.h>

void world_must(bool ok, const char *file, int line, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static mono_ms now_of(const radio_world *w)
{
    return (mono_ms){w->now_us / 1000 + 1};
}

static ledger_now ledger_now_of(const radio_world *w)
{
    return (ledger_now){1, now_of(w), {0}};
}

/* ---- store and merge ---- */

uint32_t world_feed_of(radio_world *w, uint32_t station, feed_class class)
{
    feed_id feed = feed_make(0, class, (member_no)(station + 1));
    for (uint32_t i = 0; i < w->n_feeds; i++)
        if (w->feeds[i].feed == feed)
            return i;
    must(w->n_feeds < WORLD_FEEDS_MAX);
    world_feed *f = &w->feeds[w->n_feeds];
    *f = (world_feed){.feed = feed, .owner = station};
    chain_start(&f->start, &w->dataset, feed, &w->station[station].key.public);
    return w->n_feeds++;
}

static const event_id *id_at(const world_feed *f, uint64_t seq)
{
    return seq == 0 ? &f->start : &f->events[seq - 1].id;
}

static void set_seal(world_station *s, uint32_t feed, uint64_t seq)
{
    if (seq > s->cap_seals[feed]) {
        size_t cap = 2 * seq + 64;
        s->seals[feed] = realloc(s->seals[feed], cap);
        must(s->seals[feed] != NULL);
        memset(s->seals[feed] + s->cap_seals[feed], 0, cap - s->cap_seals[feed]);
        s->cap_seals[feed] = cap;
    }
    s->seals[feed][seq - 1] = true;
}

static bool has_seal(const world_station *s, uint32_t feed, uint64_t seq)
{
    return seq <= s->cap_seals[feed] && s->seals[feed][seq - 1];
}

static void note_held(radio_world *w, uint32_t feed, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        bool all = true;
        for (uint32_t i = 0; i < w->spec.stations; i++)
            all &= w->station[i].held[feed] >= seq;
        if (all && w->feeds[feed].events[seq - 1].all_ms == 0)
            w->feeds[feed].events[seq - 1].all_ms = now_of(w).ms;
    }
}

void world_write(radio_world *w, uint32_t station, feed_class class, bytes body, bool sealed)
{
    uint32_t i = world_feed_of(w, station, class);
    world_feed *f = &w->feeds[i];
    world_station *s = &w->station[station];
    event_view v;
    if (f->n == f->cap) {
        f->cap = 2 * f->cap + 64;
        f->events = realloc(f->events, f->cap * sizeof *f->events);
        must(f->events != NULL);
    }
    world_event *e = &f->events[f->n];
    uint8_t *copy = malloc(body.len);
    must(copy != NULL);
    memcpy(copy, body.p, body.len);
    *e = (world_event){.body = bytes_of(copy, body.len), .sealed = sealed, .at_ms = now_of(w).ms};
    must(event_parse(e->body, &v) == ERR_OK);
    chain_next_event(&e->id, id_at(f, f->n), f->n + 1, &v);
    f->n++;
    must(chain_sign(&e->seal, &s->key, &w->dataset, f->feed, f->n, &e->id) == ERR_OK);
    s->held[i] = f->n;
    if (sealed)
        set_seal(s, i, f->n);
    if (w->spec.stations == 1)
        note_held(w, i, f->n, f->n);
}

/* Its planner has something new to think about. */
static void wake(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    if (!s->sending && !s->waiting && s->wake_us > w->now_us)
        s->wake_us = w->now_us;
}

void world_tell(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    frontier f = {0};
    for (uint32_t i = 0; i < w->n_feeds; i++) {
        uint64_t seq = s->held[i];
        while (seq > 0 && !has_seal(s, i, seq))
            seq--;
        if (seq > 0)
            must(frontier_add(&f, &(frontier_entry){w->feeds[i].feed, seq,
                                                    *id_at(&w->feeds[i], seq)}) == ERR_OK);
    }
    radio_set_frontier(s->core, &f, now_of(w));
    frontier_release(&f);
    wake(w, station);
}

void world_give(radio_world *w, uint32_t station, uint32_t feed)
{
    world_station *s = &w->station[station], *from = &w->station[w->feeds[feed].owner];
    uint64_t before = s->held[feed];
    s->held[feed] = from->held[feed];
    for (uint64_t seq = 1; seq <= from->held[feed]; seq++)
        if (has_seal(from, feed, seq))
            set_seal(s, feed, seq);
    note_held(w, feed, before + 1, s->held[feed]);
    world_tell(w, station);
}

static uint32_t find_feed(const radio_world *w, feed_id feed)
{
    uint32_t i = 0;
    while (i < w->n_feeds && w->feeds[i].feed != feed)
        i++;
    return i;
}

/* As the store cuts runs: to the first seal at or beyond the tip, or to max_bytes. */
static err_t read_run(radio_world *w, uint32_t station, const run_request *q, buf *out, bool *more)
{
    world_station *s = &w->station[station];
    uint32_t i = find_feed(w, q->feed), count;
    run_writer rw;
    *more = false;
    if (i == w->n_feeds || q->tip_seq > s->held[i] || q->after_seq >= q->tip_seq)
        return ERR_NOT_FOUND;
    must(run_begin(&rw, out, q->feed, q->after_seq + 1, id_at(&w->feeds[i], q->after_seq)) ==
         ERR_OK);
    for (uint64_t seq = q->after_seq + 1; seq <= s->held[i]; seq++) {
        world_event *e = &w->feeds[i].events[seq - 1];
        bool sealed = has_seal(s, i, seq);
        *more = rw.sealed_count > 0;
        if (*more && out->len + e->body.len > q->max_bytes)
            break;
        must(run_add(&rw, e->body, false, sealed ? &e->seal : NULL) == ERR_OK);
        *more = false;
        if (sealed && seq >= q->tip_seq)
            break;
    }
    return run_end(&rw, &count);
}

static void admit(radio_world *w, uint32_t station, bytes encoded, ingest_reply *reply)
{
    world_station *s = &w->station[station];
    run r;
    run_verdict v;
    run_item item;
    *reply = (ingest_reply){.code = ERR_OK};
    must(run_decode(encoded, &r) == ERR_OK);
    uint32_t i = find_feed(w, r.feed);
    must(i < w->n_feeds);
    if (r.first_seq > s->held[i] + 1) {
        reply->code = ERR_GAP;
        return;
    }
    err_t e = run_check(&r, &w->dataset, &w->station[w->feeds[i].owner].key.public,
                        r.first_seq > 1 ? &r.previous : NULL, NULL, NULL, &v);
    if (e != ERR_OK) {
        reply->code = (uint16_t)e;
        return;
    }
    uint64_t last = r.first_seq + r.count - 1, before = s->held[i];
    must(event_id_eq(&v.last, id_at(&w->feeds[i], last)));
    for (run_iter it = run_items(&r); run_next(&it, &item);)
        if (item.seal != NULL)
            set_seal(s, i, item.seq);
    if (last > before) {
        reply->accepted = (uint32_t)(last - before);
        s->held[i] = last;
        note_held(w, i, before + 1, last);
    }
}

/* ---- the planner's effects ---- */

static void carry_out(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    radio_effect e;
    while (radio_next(s->core, &e)) {
        if (e.act == RADIO_READ) {
            run_reply reply = {0};
            buf out;
            buf_init(&out, RUN_MAX_BYTES);
            err_t err = s->outage ? ERR_BUSY : read_run(w, station, &e.read, &out, &reply.more);
            reply.run = buf_view(&out);
            radio_read(s->core, e.tag, err == ERR_UNSEALED ? ERR_OK : err, &reply, now_of(w));
            buf_release(&out);
        } else {
            ingest_reply reply;
            uint32_t tag = e.tag;
            admit(w, station, e.body, &reply);
            radio_ingested(s->core, tag, ERR_OK, &reply, now_of(w));
            if (reply.accepted > 0)
                world_tell(w, station);
        }
    }
}

/* ---- the bridge ---- */

static uint64_t frame_us(const radio_world *w, size_t frame_len)
{
    return airtime_us(&w->tuning.lora, frame_len + RNODE_HEADER_BYTES);
}

static void take_frame(radio_world *w, uint32_t station, const radio_said *said)
{
    world_station *s = &w->station[station];
    radio_header h = {.kind = said->kind,
                      .epoch = w->keys.epoch,
                      .station = (member_no)(station + 1),
                      .counter = s->counter++};
    must(radio_frame_seal(&w->keys, &h, said->plain, s->frame, &s->frame_len) == ERR_OK);
    s->ticket = said->ticket;
    s->waiting = true;
    s->kind_bytes[said->kind] += s->frame_len;
    s->kind_frames[said->kind]++;
}

static void note_sent(world_station *s, uint64_t end_us, uint64_t us)
{
    if (s->n_sent == s->cap_sent) {
        s->cap_sent = 2 * s->cap_sent + 64;
        s->sent = realloc(s->sent, s->cap_sent * sizeof *s->sent);
        must(s->sent != NULL);
    }
    s->sent[s->n_sent++] = (world_sent){end_us, us};
    s->spent_us += us;
    s->frames++;
    s->bytes += s->frame_len;
}

/* Carrier sense with slots, as modems do; then on the air. */
static void put_on_air(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    bool busy;
    int16_t level;
    air_us end;
    mono_ms earliest;
    ledger_now now = ledger_now_of(w);
    buf none;
    channel_sense(w->air, station, &busy, &level);
    if (busy) {
        s->wake_us = w->now_us + 24000 * (1 + prop_below(&w->rng, 15));
        return;
    }
    uint64_t us = frame_us(w, s->frame_len);
    buf_init(&none, 4096);
    err_t e = ledger_charge(s->ledger, w->spec.band, us, &now, &earliest, &none);
    buf_release(&none);
    s->waiting = false;
    if (e != ERR_OK) {
        s->refused++;
        radio_sent(s->core, s->ticket, RADIO_REFUSED, now_of(w));
        s->wake_us = w->now_us + 5000000;
        return;
    }
    must(channel_send(w->air, station, &w->tuning, bytes_of(s->frame, s->frame_len),
                      (air_us){w->now_us}, &end) == ERR_OK);
    note_sent(s, end.us, us);
    s->sending = true;
    s->air_until_us = end.us;
    s->wake_us = end.us + 1000;
}

static void end_sending(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    ledger_now now = ledger_now_of(w);
    buf none;
    buf_init(&none, 4096);
    ledger_end(s->ledger, &now, &none);
    buf_release(&none);
    s->sending = false;
    channel_tune(w->air, station, &w->tuning, (air_us){w->now_us});
    radio_sent(s->core, s->ticket, RADIO_SENT, now_of(w));
}

static uint64_t left_us(const radio_world *w, uint32_t station)
{
    ledger_now now = ledger_now_of(w);
    uint64_t hour = radio_band_hour_us(w->spec.band);
    uint64_t spent = ledger_spent_us(w->station[station].ledger, w->spec.band, &now);
    return hour == UINT64_MAX ? hour : hour > spent ? hour - spent : 0;
}

static void pull(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    radio_said said;
    radio_budget b = {.max_bytes = RADIO_PLAIN_MAX_BYTES,
                      .frame_us = frame_us(w, RADIO_FRAME_MAX_BYTES),
                      .base_us = frame_us(w, RADIO_FRAME_MAX_BYTES - RADIO_PLAIN_MAX_BYTES),
                      .left_us = left_us(w, station),
                      .hour_us = radio_band_hour_us(w->spec.band)};
    radio_answer a;
    if (b.left_us < b.frame_us) { /* nothing would be lawful now */
        s->wake_us = w->now_us + 5000000;
        return;
    }
    while ((a = radio_pull(s->core, &b, now_of(w), &said)) == RADIO_BUSY)
        carry_out(w, station);
    s->wake_us = said.again.ms * 1000;
    if (s->wake_us <= w->now_us)
        s->wake_us = w->now_us + 1000;
    if (a != RADIO_FRAME)
        return;
    take_frame(w, station, &said);
    put_on_air(w, station);
}

static void work(radio_world *w, uint32_t station)
{
    world_station *s = &w->station[station];
    if (s->sending)
        end_sending(w, station);
    carry_out(w, station);
    if (s->waiting)
        put_on_air(w, station);
    else
        pull(w, station);
}

/* ---- the air ---- */

static void hear(radio_world *w, uint32_t station, bytes frame)
{
    world_station *s = &w->station[station];
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    radio_header h;
    size_t n;
    buf record;
    err_t e = radio_frame_open(&w->keys, frame, &h, plain, &n);
    if (e != ERR_OK)
        return;
    buf_init(&record, 4096);
    bool fresh = replay_take(s->replay, &h, frame.p + RADIO_HEADER_BYTES, &record);
    buf_release(&record);
    uint8_t *exact = malloc(n + 1); /* so that a byte read beyond is seen */
    must(exact != NULL);
    memcpy(exact, plain, n);
    radio_hearing in = {.kind = h.kind,
                        .station = h.station,
                        .plain = bytes_of(exact, n),
                        .fresh = fresh,
                        .rssi_dbm = -90};
    radio_heard(s->core, &in, now_of(w));
    free(exact);
    carry_out(w, station);
    wake(w, station);
}

static void hear_later(radio_world *w, uint32_t station, bytes frame)
{
    must(w->n_later < WORLD_LATER_MAX);
    world_later *l = &w->later[w->n_later++];
    l->at_us = w->now_us + 1000 + prop_below(&w->rng, 20000000);
    l->to = station;
    l->len = frame.len;
    memcpy(l->frame, frame.p, frame.len);
}

static void frame_ended(radio_world *w, const channel_frame *f)
{
    uint8_t copy[RADIO_FRAME_MAX_BYTES];
    size_t len = f->len;
    bool heard[WORLD_STATIONS_MAX];
    memcpy(copy, f->bytes, len);
    for (uint32_t i = 0; i < w->spec.stations; i++) {
        heard[i] = f->hearing[i].verdict == HEARD;
        w->collided += f->hearing[i].verdict == LOST_COLLIDED;
    }
    for (uint32_t i = 0; i < w->spec.stations; i++) {
        if (!heard[i])
            continue;
        if (prop_below(&w->rng, 1000000) < w->spec.twice_ppm)
            hear_later(w, i, bytes_of(copy, len));
        if (prop_below(&w->rng, 1000000) < w->spec.late_ppm)
            hear_later(w, i, bytes_of(copy, len));
        else
            hear(w, i, bytes_of(copy, len));
    }
}

static void hear_due(radio_world *w)
{
    for (size_t i = 0; i < w->n_later;) {
        if (w->later[i].at_us > w->now_us) {
            i++;
            continue;
        }
        world_later l = w->later[i];
        w->later[i] = w->later[--w->n_later];
        hear(w, l.to, bytes_of(l.frame, l.len));
    }
}

static uint64_t next_us(const radio_world *w, uint64_t until_us)
{
    uint64_t at = channel_next(w->air).us;
    at = at < until_us ? at : until_us;
    for (uint32_t i = 0; i < w->spec.stations; i++)
        at = w->station[i].wake_us < at ? w->station[i].wake_us : at;
    for (size_t i = 0; i < w->n_later; i++)
        at = w->later[i].at_us < at ? w->later[i].at_us : at;
    return at > w->now_us ? at : w->now_us;
}

void world_run(radio_world *w, uint64_t until_us)
{
    while (w->now_us < until_us) {
        const channel_frame *f;
        w->now_us = next_us(w, until_us);
        while ((f = channel_advance(w->air, (air_us){w->now_us})) != NULL)
            frame_ended(w, f);
        hear_due(w);
        for (uint32_t i = 0; i < w->spec.stations; i++)
            if (w->station[i].wake_us <= w->now_us)
                work(w, i);
    }
}

void world_cut(radio_world *w, const uint8_t *groups)
{
    channel_change c = {.kind = groups != NULL ? CHANGE_CUT : CHANGE_HEAL};
    for (uint32_t i = 0; groups != NULL && i < w->spec.stations; i++)
        c.group[i] = groups[i];
    must(channel_change_at(w->air, &c, (air_us){w->now_us}) == ERR_OK);
}

/* ---- life ---- */

static void set_losses(radio_world *w)
{
    channel_change c = {.kind = CHANGE_LINK,
                        .fields = LINK_LOSS,
                        .both_ways = true,
                        .link = {.loss_ppm = w->spec.loss_ppm}};
    for (uint32_t i = 0; i < w->spec.stations; i++) {
        station_add(&c.from, i);
        station_add(&c.to, i);
    }
    must(channel_change_at(w->air, &c, (air_us){0}) == ERR_OK);
}

radio_world *world_new(const world_spec *spec)
{
    static const uint8_t radio_key[CRYPTO_KEY_BYTES] = {0x4b};
    radio_world *w = calloc(1, sizeof *w);
    must(w != NULL && crypto_start() == ERR_OK);
    w->spec = *spec;
    w->rng = (prop_rng){spec->seed};
    w->dataset.b[0] = 0xd5;
    w->tuning = (air_tuning){.lora = rnode_modulation(LORA_SX127X, 8, 5, 125000),
                             .hz = spec->band->low_hz + 200000,
                             .txpower_dbm = 14,
                             .on = true};
    radio_keys_derive(&w->keys, &w->dataset, 1, radio_key);
    w->air = channel_new(spec->stations, spec->seed);
    w->later = calloc(WORLD_LATER_MAX, sizeof *w->later);
    must(w->air != NULL && w->later != NULL);
    set_losses(w);
    radio_author authors[WORLD_STATIONS_MAX];
    for (uint32_t i = 0; i < spec->stations; i++) {
        world_station *s = &w->station[i];
        uint8_t seed[MEMBER_SEED_BYTES] = {(uint8_t)(i + 1)};
        ledger_now now = ledger_now_of(w);
        crypto_signer_from_seed(&s->key, seed);
        s->core = radio_core_new((member_no)(i + 1), prop_u64(&w->rng), spec->states);
        s->ledger = ledger_new(bytes_of(NULL, 0), &now);
        s->replay = replay_new(bytes_of(NULL, 0));
        s->counter = (uint16_t)prop_u64(&w->rng);
        must(s->core != NULL && s->ledger != NULL && s->replay != NULL);
        channel_tune(w->air, i, &w->tuning, (air_us){0});
        authors[i] = (radio_author){(member_no)(i + 1), s->key.public};
    }
    for (uint32_t i = 0; i < spec->stations; i++) {
        must(radio_set_authors(w->station[i].core, &w->dataset, authors, spec->stations) == ERR_OK);
        world_tell(w, i);
    }
    return w;
}

void world_free(radio_world *w)
{
    for (uint32_t i = 0; i < w->spec.stations; i++) {
        world_station *s = &w->station[i];
        radio_core_free(s->core);
        ledger_free(s->ledger);
        replay_free(s->replay);
        free(s->sent);
        for (uint32_t k = 0; k < WORLD_FEEDS_MAX; k++)
            free(s->seals[k]);
    }
    for (uint32_t i = 0; i < w->n_feeds; i++) {
        for (size_t k = 0; k < w->feeds[i].n; k++)
            free((void *)(uintptr_t)w->feeds[i].events[k].body.p);
        free(w->feeds[i].events);
    }
    channel_free(&w->air);
    free(w->later);
    free(w);
}

bool world_equal(const radio_world *w)
{
    for (uint32_t f = 0; f < w->n_feeds; f++)
        for (uint32_t i = 0; i < w->spec.stations; i++)
            if (w->station[i].held[f] != w->feeds[f].n)
                return false;
    return true;
}

uint64_t world_worst_hour_us(const radio_world *w, uint32_t station)
{
    const world_station *s = &w->station[station];
    uint64_t worst = 0, sum = 0;
    for (size_t i = 0, from = 0; i < s->n_sent; i++) {
        sum += s->sent[i].us;
        while (s->sent[from].end_us + WORLD_HOUR_US < s->sent[i].end_us)
            sum -= s->sent[from++].us;
        worst = sum > worst ? sum : worst;
    }
    return worst;
}
