/* From the store through the codec: the history that a run is coded with, and the events of a run to say. Only what the
 * store gave is ever fed to a state that is kept. */
#include "gossip/radio_core_impl.h"

#include "pure/chain.h"
#include "pure/run.h"

#define READ_BYTES    65536u
#define COLLECT_BYTES 32768u /* far more than the parts of one run hold */

/* ---- codec states ---- */

static radio_state *oldest_state(radio_core *c)
{
    radio_state *s = &c->states[0];
    for (uint32_t i = 0; i < c->n_states; i++) {
        if (!c->states[i].used)
            return &c->states[i];
        if (c->states[i].stamp < s->stamp)
            s = &c->states[i];
    }
    return s;
}

/* The state of that history which stands nearest before `first`, or a fresh one. NULL: no memory. */
static radio_state *state_for(radio_core *c, feed_id feed, uint64_t begin, uint64_t first)
{
    radio_state *best = NULL;
    for (uint32_t i = 0; i < c->n_states; i++) {
        radio_state *s = &c->states[i];
        if (s->used && s->feed == feed && s->begin == begin && s->pos <= first &&
            (best == NULL || s->pos > best->pos))
            best = s;
    }
    if (best == NULL) {
        best = oldest_state(c);
        codec *made = best->c != NULL ? best->c : codec_new();
        if (made == NULL)
            return NULL;
        *best = (radio_state){.c = made, .feed = feed, .begin = begin, .pos = begin, .used = true};
        best->known = begin == 1; /* what comes before the first event, merge knows itself */
        codec_reset(best->c);
    }
    best->stamp = ++c->stamp;
    return best;
}

/* ---- the way ---- */

void radio_walk_end(radio_core *c)
{
    buf_clear(&c->walk.bodies);
    buf keep = c->walk.bodies;
    c->walk = (radio_walk){.kind = WALK_IDLE};
    c->walk.bodies = keep;
}

static bool read_on(radio_core *c, uint64_t tip)
{
    radio_walk *w = &c->walk;
    radio_effect *e = radio_emit(c, RADIO_READ, bytes_of(NULL, 0));
    if (e == NULL)
        return false;
    e->tag = w->tag = radio_new_tag(c);
    e->read = (run_request){
        .feed = w->feed, .after_seq = w->next - 1, .tip_seq = tip, .max_bytes = READ_BYTES};
    return true;
}

static bool step(radio_core *c, mono_ms now)
{
    radio_walk *w = &c->walk;
    if (w->kind == WALK_SAY)
        return read_on(c, w->tip);
    if (w->next < w->first)
        return read_on(c, w->first - 1);
    radio_finish_hear(c, now);
    return true;
}

/* Where reading begins: behind what the state has seen. */
static bool set_out(radio_core *c)
{
    radio_walk *w = &c->walk;
    w->state = NULL;
    w->next = w->first;
    w->known = w->first == 1;
    if (!w->plain) {
        w->state = state_for(c, w->feed, w->begin, w->first);
        if (w->state == NULL)
            return false;
        w->next = w->state->pos;
        w->id = w->state->id;
        w->known = w->state->known;
    }
    if (w->kind == WALK_HEAR && w->next == w->first && !w->known)
        w->next--; /* for its id */
    return true;
}

/* Blocks are counted by events, so that every sender finds the same ones without having read the feed; they are smaller
 * where bodies are large. */
static uint64_t history_of(uint64_t first, unsigned level)
{
    uint64_t block_events = RADIO_BLOCK_EVENTS >> level;
    uint64_t block = level < RADIO_LEVELS ? (first - 1) / block_events : 0;
    if (level >= RADIO_LEVELS)
        return first;
    return block > 0 ? (block - 1) * block_events + 1 : 1;
}

/* What was too long once is not tried for each run of the block again. */
static unsigned level_for(radio_feed *f, uint64_t first)
{
    uint64_t block = (first - 1) / RADIO_BLOCK_EVENTS;
    if (f->long_block != block)
        f->level = 0;
    f->long_block = block;
    return f->level;
}

bool radio_walk_say(radio_core *c, radio_feed *f, uint64_t first, uint64_t tip, bool plain,
                    mono_ms now)
{
    radio_walk *w = &c->walk;
    w->kind = WALK_SAY;
    w->feed = f->feed;
    w->first = first;
    w->tip = tip < f->have ? tip : f->have;
    w->plain = plain;
    w->level = level_for(f, first);
    w->begin = history_of(first, w->level);
    if (set_out(c) && step(c, now))
        return true;
    radio_walk_end(c);
    return false;
}

bool radio_walk_hear(radio_core *c, radio_parked *p, const radio_run *r)
{
    radio_walk *w = &c->walk;
    w->kind = WALK_HEAR;
    w->feed = r->feed;
    w->first = r->first_seq;
    w->last = p->last;
    w->plain = r->codec == RUN_CODEC_PLAIN;
    w->begin = r->history_seq;
    w->parked = p->tag;
    if (r->prime_seq == 0 && set_out(c) && step(c, (mono_ms){0}))
        return true;
    radio_walk_end(c);
    return false;
}

/* ---- what the store gave ---- */

/* The history cannot be used: it is too long, or some of it was erased. */
static void without_history(radio_walk *w, bool erased)
{
    w->level++;
    w->plain |= erased;
    w->begin = history_of(w->first, w->level);
}

static err_t take_history(radio_core *c, const run_item *item, const event_view *v)
{
    radio_walk *w = &c->walk;
    radio_state *s = w->state;
    chain_next_event(&w->id, &w->id, item->seq, v);
    if (s == NULL || item->seq < s->pos) {
        if (s != NULL && item->seq + 1 == s->pos) {
            s->id = w->id;
            s->known = true;
        }
        return ERR_OK;
    }
    if (item->erased)
        return ERR_NOT_FOUND;
    if (s->bytes + item->data.len > RADIO_HISTORY_BYTES)
        return ERR_TOO_LARGE;
    s->bytes += item->data.len;
    TRY(codec_feed(s->c, item->data));
    s->pos = item->seq + 1;
    s->id = w->id;
    s->known = true;
    return ERR_OK;
}

static bool collect(radio_walk *w, const run_item *item)
{
    if (w->n == RADIO_RUN_EVENTS || (w->n > 0 && w->bodies.len + item->data.len > COLLECT_BYTES))
        return false;
    radio_event *e = &w->events[w->n];
    *e = (radio_event){.at = w->bodies.len,
                       .len = item->data.len,
                       .erased = item->erased,
                       .sealed = item->seal != NULL};
    if (item->seal != NULL)
        e->seal = *item->seal;
    if (!buf_add_bytes(&w->bodies, item->data))
        return false;
    w->n++;
    return true;
}

static err_t take_items(radio_core *c, const run *r, bool *full)
{
    radio_walk *w = &c->walk;
    run_item item;
    event_view v;
    w->id = r->previous;
    w->known = true;
    for (run_iter it = run_items(r); !*full && run_next(&it, &item);) {
        if (item.seq < w->first) {
            TRY(item.erased ? event_parse_erased(item.data, &v) : event_parse(item.data, &v));
            TRY(take_history(c, &item, &v));
        } else if (w->kind == WALK_HEAR) {
            break;
        } else {
            *full = !collect(w, &item);
        }
        w->next = item.seq + 1;
    }
    return ERR_OK;
}

static bool has_sealed(const radio_walk *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->events[i].sealed)
            return true;
    return false;
}

/* What cannot be walked now is left; wants and beacons bring it up again. */
static void give_up(radio_core *c, err_t e, mono_ms now)
{
    radio_walk *w = &c->walk;
    radio_feed *f = radio_feed_find(c, w->feed);
    if (w->kind == WALK_HEAR) {
        radio_parked *p = radio_parked_of(c, w->parked);
        if (f != NULL && e == ERR_NOT_FOUND)
            f->ask_plain = true;
        if (p != NULL)
            radio_unpark(p);
        c->count.runs_refused++;
    } else if (f != NULL) {
        f->want_ms = RADIO_NEVER;
        f->news_ms = f->news_ms == RADIO_NEVER ? RADIO_NEVER : now.ms + RADIO_ASK_MS;
    }
    radio_walk_end(c);
}

static void go_on(radio_core *c, bool full, bool more, mono_ms now)
{
    radio_walk *w = &c->walk;
    bool done = w->kind == WALK_SAY && (full || !more || w->next > w->tip || has_sealed(w));
    if (done && !has_sealed(w))
        give_up(c, ERR_UNSEALED, now);
    else if (done)
        radio_finish_say(c, now);
    else if (!step(c, now))
        give_up(c, ERR_NO_MEMORY, now);
}

/* A history that is too long is told from the header's by whoever decodes, so only a sender may choose another. */
static void try_less(radio_core *c, err_t e, mono_ms now)
{
    radio_walk *w = &c->walk;
    bool history = e == ERR_NOT_FOUND || e == ERR_TOO_LARGE;
    if (w->state != NULL)
        w->state->used = false;
    if (w->kind != WALK_SAY || !history || w->plain) {
        give_up(c, e, now);
        return;
    }
    without_history(w, e == ERR_NOT_FOUND);
    radio_feed *f = radio_feed_find(c, w->feed);
    if (f != NULL && e == ERR_TOO_LARGE)
        f->level = w->level;
    w->n = 0;
    buf_clear(&w->bodies);
    if (!set_out(c) || !step(c, now))
        give_up(c, ERR_NO_MEMORY, now);
}

void radio_read(radio_core *c, uint32_t tag, err_t e, const run_reply *reply, mono_ms now)
{
    radio_walk *w = &c->walk;
    run r;
    bool full = false;
    if (w->kind == WALK_IDLE || w->tag != tag)
        return;
    w->tag = 0;
    if (e == ERR_OK && reply->run.len == 0)
        e = ERR_UNSEALED;
    if (e == ERR_OK)
        e = run_decode(reply->run, &r);
    if (e == ERR_OK && (r.feed != w->feed || r.first_seq != w->next))
        e = ERR_BUG;
    if (e != ERR_OK) {
        give_up(c, e == ERR_NOT_FOUND ? ERR_BUG : e, now);
    } else {
        e = take_items(c, &r, &full);
        if (e != ERR_OK)
            try_less(c, e, now);
        else
            go_on(c, full, reply->more, now);
    }
    radio_take_up(c, now);
}
