/* What is said next: express, wants, routine, beacon, bulk; within a class whoever was served longest ago. */
#include "gossip/radio_core_impl.h"

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- feeds ---- */

static uint64_t due_of(const radio_feed *f)
{
    return f->forked || f->too_large ? RADIO_NEVER : earlier(f->news_ms, f->want_ms);
}

static radio_feed *due_feed(radio_core *c, feed_class class, mono_ms now)
{
    radio_feed *best = NULL;
    for (size_t i = 0; i < c->n_feeds; i++) {
        radio_feed *f = &c->feeds[i];
        if (feed_class_of(f->feed) == class && due_of(f) <= now.ms &&
            (best == NULL || f->served_ms < best->served_ms))
            best = f;
    }
    return best;
}

/* News and what is wanted of the same feed go together: a seal costs more than the events. */
static bool begin_run(radio_core *c, radio_feed *f, mono_ms now)
{
    bool news = radio_is_own(c, f) && f->aired < f->have;
    bool wanted = f->want_ms != RADIO_NEVER && f->n_wants > 0 && f->wants[0].first <= f->have;
    uint64_t first = news ? f->aired + 1 : f->have + 1, tip = f->have;
    if (wanted && f->wants[0].last < f->aired && (f->want_ms <= now.ms || !news)) {
        first = f->wants[0].first; /* an old gap, by itself */
        tip = f->wants[0].last;
        news = false;
    } else if (wanted && f->wants[0].first < first) {
        first = f->wants[0].first;
        tip = news ? f->have : f->wants[0].last;
    }
    if (first > f->have) { /* heard of, not held any more or not yet */
        f->want_ms = f->news_ms = RADIO_NEVER;
        return false;
    }
    c->walk.answer = wanted && !f->repeat && !news;
    c->walk.repeat = wanted && f->repeat;
    if (radio_walk_say(c, f, first, tip, wanted && f->want_plain, now))
        return true;
    f->want_ms = RADIO_NEVER;
    f->news_ms = news ? now.ms + RADIO_ASK_MS : RADIO_NEVER;
    return false;
}

static bool begin_class(radio_core *c, feed_class class, mono_ms now)
{
    radio_feed *f = c->walk.kind == WALK_IDLE ? due_feed(c, class, now) : NULL;
    return f != NULL && begin_run(c, f, now);
}

/* ---- giving out ---- */

static radio_answer give(radio_core *c, size_t len, bool urgent, radio_said *out)
{
    c->given.ticket = ++c->next_ticket;
    *out = (radio_said){.ticket = c->given.ticket,
                        .kind = c->given.kind,
                        .urgent = urgent,
                        .plain = bytes_of(c->plain, len)};
    return len > 0 ? RADIO_FRAME : RADIO_NOTHING;
}

static void count_run(radio_core *c)
{
    const radio_ready *o = &c->ready;
    c->count.runs_said++;
    c->count.answers_said += o->answer;
    c->count.repeats_said += o->repeat;
    c->count.events_said += o->last - o->first + 1;
}

/* There is more than fitted. */
static void go_on_later(radio_core *c, radio_feed *f, mono_ms now)
{
    uint64_t gap = now.ms + radio_delay(c, RADIO_GAP_MS, 50, 150);
    radio_own_news(c, f, now);
    if (f->news_ms < gap && feed_class_of(f->feed) != CLASS_EXPRESS)
        f->news_ms = gap;
}

static radio_answer give_ready(radio_core *c, mono_ms now, radio_said *out)
{
    bool urgent = c->ready.urgent;
    size_t len = radio_say_ready(c);
    radio_feed *f = radio_feed_find(c, c->given.feed);
    if (!c->ready.ready && f != NULL) {
        count_run(c);
        f->served_ms = now.ms;
        if (f->repeat)
            f->want_ms = RADIO_NEVER;
        radio_on_air(c, f, c->given.first, c->given.last, now);
        if (f->want_ms != RADIO_NEVER && !f->repeat)
            f->want_ms = now.ms + radio_delay(c, RADIO_ANSWER_MS, 1, 5);
        f->news_ms = RADIO_NEVER;
        if (radio_is_own(c, f) && f->aired < f->have)
            go_on_later(c, f, now);
    }
    return give(c, len, urgent, out);
}

static bool ask_due(const radio_core *c, mono_ms now)
{
    for (size_t i = 0; i < c->n_feeds; i++)
        if (c->feeds[i].ask_ms <= now.ms)
            return true;
    return false;
}

static bool beacon_due(radio_core *c, mono_ms now)
{
    if (c->whole_ms <= now.ms)
        return true;
    if (c->beacon_ms > now.ms)
        return false;
    if (c->agreed < RADIO_BEACON_K)
        return true;
    c->beacon_ms = RADIO_NEVER;
    return false;
}

static mono_ms next_wake(const radio_core *c, mono_ms now)
{
    uint64_t at = earlier(earlier(c->beacon_ms, c->interval_end_ms), c->whole_ms);
    for (size_t i = 0; i < c->n_feeds; i++)
        at = earlier(at, earlier(due_of(&c->feeds[i]), c->feeds[i].ask_ms));
    return (mono_ms){at > now.ms ? at : now.ms + 1000};
}

/* What is left of the hour is kept for what is more urgent. */
static bool affordable(const radio_budget *b, feed_class class)
{
    if (b->left_us == UINT64_MAX || class == CLASS_EXPRESS)
        return true;
    return b->left_us >= (class == CLASS_BULK ? b->hour_us / 5 : b->hour_us / 20);
}

static bool begin(radio_core *c, const radio_budget *b, feed_class class, mono_ms now)
{
    while (affordable(b, class) && due_feed(c, class, now) != NULL)
        if (begin_class(c, class, now))
            return true;
    return false;
}

radio_answer radio_pull(radio_core *c, const radio_budget *b, mono_ms now, radio_said *out)
{
    *out = (radio_said){.again = now};
    if (!c->started || b->max_bytes < RADIO_PLAIN_MIN_BYTES) {
        out->again.ms = now.ms + 1000;
        return RADIO_NOTHING;
    }
    c->max_bytes = b->max_bytes < RADIO_PLAIN_MAX_BYTES ? b->max_bytes : RADIO_PLAIN_MAX_BYTES;
    if (b->frame_us > 0 && b->frame_us != c->frame_us) { /* another modulation, another pace */
        c->frame_us = b->frame_us;
        c->interval_ms = 0;
        radio_beacon_reset(c, now);
    }
    radio_beacon_turn(c, now);
    if (c->ready.ready)
        return give_ready(c, now, out);
    if (c->walk.kind != WALK_IDLE || begin(c, b, CLASS_EXPRESS, now))
        return c->ready.ready ? give_ready(c, now, out) : RADIO_BUSY;
    if (ask_due(c, now) && affordable(b, CLASS_ROUTINE)) {
        size_t len = radio_say_wants(c, now);
        if (len > 0)
            return give(c, len, false, out);
    }
    if (begin(c, b, CLASS_ROUTINE, now))
        return RADIO_BUSY;
    if (beacon_due(c, now) && affordable(b, CLASS_ROUTINE))
        return give(c, radio_say_beacon(c, now), false, out);
    if (begin(c, b, CLASS_BULK, now))
        return RADIO_BUSY;
    out->again = next_wake(c, now);
    return RADIO_NOTHING;
}

/* What did not go out is due again; wants and beacons have timers of their own. */
void radio_sent(radio_core *c, uint64_t ticket, radio_outcome outcome, mono_ms now)
{
    const radio_given *g = &c->given;
    if (outcome <= RADIO_SENT_PROBABLY || g->ticket != ticket || g->kind >= RADIO_KIND_BEACON)
        return;
    radio_feed *f = radio_feed_find(c, g->feed);
    if (f == NULL)
        return;
    c->ready.ready = false;
    uint64_t again = now.ms + radio_scaled(c, 2 * RADIO_URGENT_MS);
    if (radio_is_own(c, f) && f->aired >= g->first) {
        f->aired = g->first - 1;
        c->digest_old = true;
        f->news_ms = again;
        return;
    }
    radio_want_add(f, g->first, g->last);
    f->want_ms = again;
}
