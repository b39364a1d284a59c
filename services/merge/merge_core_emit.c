/* Local events: stamp, name, refer, chain, seal. */
#include "merge/merge_core_state.h"

#include "pure/radio_key.h"

#include "pure/chain.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_SEALS BATCH_MAX_EVENTS /* a relayed run may carry one at every event */

err_t merge_batch_init(merge_batch *b)
{
    *b = (merge_batch){.rows = calloc(BATCH_MAX_EVENTS, sizeof *b->rows),
                       .parts = calloc(BATCH_MAX_EVENTS, sizeof *b->parts),
                       .seals = calloc(BATCH_SEALS, sizeof *b->seals)};
    /* One event more than the limit may start below it. */
    buf_init(&b->bodies, BATCH_MAX_BYTES + 2 * EVENT_MAX_BYTES);
    if (b->rows != NULL && b->parts != NULL && b->seals != NULL)
        return ERR_OK;
    merge_batch_release(b);
    return ERR_NO_MEMORY;
}

void merge_batch_release(merge_batch *b)
{
    free(b->rows);
    free(b->parts);
    free(b->seals);
    buf_release(&b->bodies);
    *b = (merge_batch){0};
}

void merge_batch_clear(merge_batch *b)
{
    b->n = b->n_seals = 0;
    b->local = b->fork = b->roster = b->erasures = b->tailless = b->mends = false;
    memset(b->unsealed, 0, sizeof b->unsealed);
    buf_clear(&b->bodies);
}

/* A slot is a class of the member's own feeds, or the founder's chain beside them. */
static feed_id own_feed(const merge_core *c, unsigned slot)
{
    return slot == MERGE_FOUNDER ? merge_core_founder_feed(c)
                                 : feed_make(c->incarnation, (feed_class)slot, c->identity.self);
}

static const crypto_signer *signer_of(const merge_core *c, unsigned slot)
{
    const crypto_signer *founder = slot == MERGE_FOUNDER ? merge_core_founder(c) : NULL;
    return founder != NULL ? founder : &c->identity.signer;
}

const member_key *merge_local_author(const merge_core *c, feed_id feed)
{
    bool founder = feed_member(feed) != c->identity.self;
    return &signer_of(c, founder ? MERGE_FOUNDER : CLASS_ROUTINE)->public;
}

/* A chain of another key in this feed is not ours to go on with. */
void merge_slot_reset(merge_core *c, unsigned slot)
{
    merge_local *l = &c->local[slot];
    feed_id feed = own_feed(c, slot);
    const member_key *author = &signer_of(c, slot)->public;
    const merge_feed *f = merge_feed_find(c, feed);
    *l = (merge_local){0};
    chain_start(&l->id, &c->identity.dataset, feed, author);
    for (uint32_t i = 0; f != NULL && i < f->n && l->seq == 0; i++)
        if (memcmp(f->tips[i].author.b, author->b, sizeof author->b) == 0) {
            l->seq = f->tips[i].seq;
            l->id = f->tips[i].id;
        }
}

void merge_local_reset(merge_core *c)
{
    for (unsigned k = 0; k < MERGE_CLASSES; k++)
        merge_slot_reset(c, k);
}

/* Signs the newest unsealed row of a slot. */
static err_t seal_slot(merge_core *c, merge_batch *b, unsigned slot)
{
    if (b->unsealed[slot] == 0)
        return ERR_OK;
    size_t i = (size_t)b->unsealed[slot] - 1;
    if (b->n_seals == BATCH_SEALS)
        return ERR_BUSY;
    const append_row *row = &b->rows[i];
    TRY(chain_sign(&b->seals[b->n_seals], signer_of(c, slot), &c->identity.dataset, row->feed,
                   row->seq, &row->id));
    b->parts[i].seal = (uint32_t)++b->n_seals;
    b->unsealed[slot] = 0;
    c->local[slot].unsealed_events = 0;
    c->local[slot].unsealed_bytes = 0;
    return ERR_OK;
}

/* Chains a built body (the end of b->bodies, of which `v` is the view) and adds its row. */
static err_t add_row(merge_core *c, merge_batch *b, unsigned slot, const event_view *v)
{
    merge_local *l = &c->local[slot];
    size_t len = v->body.len, at = b->bodies.len - len;
    if (l->unsealed_events >= SEAL_MAX_EVENTS ||
        (l->unsealed_events > 0 && l->unsealed_bytes + len > SEAL_MAX_BYTES))
        TRY(seal_slot(c, b, slot));
    append_row *row = &b->rows[b->n];
    *row = (append_row){
        .feed = own_feed(c, slot), .seq = l->seq + 1, .flags = ROW_COUNTS, .prev = l->id};
    chain_next(&row->id, &l->id, row->seq, v->head, v->tail);
    b->parts[b->n].at = at;
    b->parts[b->n].len = len;
    b->parts[b->n].stream_at = (uint32_t)(v->stream.p - v->body.p);
    b->parts[b->n].stream_len = (uint32_t)v->stream.len;
    b->parts[b->n].seal = 0;
    b->n++;
    b->local = true;
    b->unsealed[slot] = b->n;
    b->roster |= merge_is_roster_event(v);
    b->erasures |= bytes_is(v->kind, EVENT_KIND_ERASE);
    l->seq = row->seq;
    l->id = row->id;
    l->unsealed_events++;
    l->unsealed_bytes += (uint32_t)len;
    return ERR_OK;
}

/* A reference to this very feed costs one byte as a distance; its chain is linear, so the distance is exact. */
static err_t take_references(const merge_core *c, unsigned slot, const emit_row *in,
                             event_reference *out, size_t *n)
{
    msg_list list = in->replaces;
    ref_row row;
    *n = 0;
    while (msg_list_next(&ref_row_desc, &list, &row)) {
        if (*n == REPLACES_MAX)
            return ERR_TOO_LARGE;
        if (row.feed == own_feed(c, slot) && row.seq <= c->local[slot].seq)
            out[(*n)++] = (event_reference){.distance = c->local[slot].seq + 1 - row.seq};
        else
            out[(*n)++] = (event_reference){.full = {row.feed, row.seq, row.prefix}};
    }
    return ERR_OK;
}

/* "3-1kx7": feed and seq in base 32 plus two random characters, short enough to read aloud. */
static void make_name(const merge_core *c, unsigned slot, uint32_t salt, char out[40])
{
    char feed[14], seq[14];
    uint32_t mixed = (salt ^ (uint32_t)c->local[slot].seq * 0x9e3779b1u) * 0x85ebca6bu;
    base32_u64(feed, own_feed(c, slot));
    base32_u64(seq, c->local[slot].seq + 1);
    snprintf(out, 40, "%s-%s%c%c", feed, seq, BASE32_ALPHABET[mixed >> 27],
             BASE32_ALPHABET[mixed >> 22 & 31]);
}

static err_t build(merge_core *c, wall_ms now, uint32_t salt, unsigned slot, const emit_row *in,
                   merge_batch *b)
{
    static const uint8_t nil = 0xc0;
    event_reference refs[REPLACES_MAX];
    char name[40];
    event_fields f = {.category = in->category,
                      .stream = in->stream,
                      .kind = in->kind,
                      .payload = in->payload.len > 0 ? in->payload : bytes_of(&nil, 1),
                      .attributes = in->attributes,
                      .replaces = refs};
    TRY(take_references(c, slot, in, refs, &f.n_replaces));
    if (f.stream.len == 0) {
        make_name(c, slot, salt, name);
        f.stream = bytes_str(name);
    }
    merge_clock_settle(c, now);
    hlc_tick(&c->clock, now, &f.stamp);
    event_view v;
    TRY(event_build_view(&f, &b->bodies, &v));
    return add_row(c, b, slot, &v);
}

err_t merge_may_write(const merge_core *c, buf *why)
{
    const crypto_signer *k = &c->identity.signer;
    if (!c->loaded) {
        buf_add_str(why, "this node is still waiting for its store");
        return ERR_NOT_READY;
    }
    const roster_member *me = roster_find(c->roster, c->identity.self, &k->public);
    if (me == NULL) {
        buf_add_str(
            why, "this node's membership has not arrived yet: let it meet a member (cairn status)");
        return ERR_NOT_READY;
    }
    if (roster_may(c->roster, c->identity.self, &k->public, ROSTER_MAY_WRITE, 0))
        return ERR_OK;
    buf_add_str(
        why,
        me->removed && c->identity.self == ROSTER_FOUNDER_NUMBER
            ? "the founder was replaced and this key with it: what it writes would count "
              "nowhere"
        : me->removed ? "this node was removed from the dataset: what it writes would count nowhere"
        : me->orphaned ? "whoever had added this node was removed or replaced: the founder adds it "
                         "again (cairn member readd)"
                       : "this node is a reader: it may not write");
    return ERR_FORBIDDEN;
}

static bool is_reserved(const emit_row *row)
{
    return bytes_is(row->category, ROSTER_CATEGORY) &&
           (bytes_is(row->stream, ROSTER_STREAM) || bytes_is(row->stream, RADIO_KEY_STREAM));
}

/* What a failed request must not leave behind. The clock may stay advanced. */
typedef struct {
    merge_local local[MERGE_SLOTS];
    size_t n, n_seals, bytes;
    uint64_t unsealed[MERGE_SLOTS];
    bool roster;
} savepoint;

static savepoint save(const merge_core *c, const merge_batch *b)
{
    savepoint s = {.n = b->n, .n_seals = b->n_seals, .bytes = b->bodies.len, .roster = b->roster};
    memcpy(s.local, c->local, sizeof s.local);
    memcpy(s.unsealed, b->unsealed, sizeof s.unsealed);
    return s;
}

static void restore(merge_core *c, merge_batch *b, const savepoint *s)
{
    for (size_t i = 0; i < s->n;
         i++) /* seals added since then belong to rows that stay: they would be lost */
        if (b->parts[i].seal > s->n_seals)
            b->parts[i].seal = 0;
    memcpy(c->local, s->local, sizeof s->local);
    memcpy(b->unsealed, s->unsealed, sizeof s->unsealed);
    b->n = s->n;
    b->n_seals = s->n_seals;
    b->bodies.len = s->bytes;
    b->bodies.err = ERR_OK;
    b->roster = s->roster;
}

static err_t emit_all(merge_core *c, wall_ms now, uint32_t salt, const emit_request *in,
                      merge_batch *b, buf *why)
{
    msg_list list = in->events;
    emit_row row;
    bool successor = merge_core_needs_founder(c, in);
    while (msg_list_next(&emit_row_desc, &list, &row)) {
        unsigned slot = in->feed_class;
        if (is_reserved(&row)) {
            buf_addf(why, "the stream cairn/%.*s is written by cairn invite, member and radio only",
                     (int)row.stream.len, (const char *)row.stream.p);
            return ERR_FORBIDDEN;
        }
        if (bytes_is(row.kind, EVENT_KIND_ERASE))
            TRY(merge_may_erase(c, &row, &slot, why));
        if (successor && slot != MERGE_FOUNDER)
            TRY(merge_may_write(c, why));
        err_t e = build(c, now, salt, slot, &row, b);
        if (e != ERR_OK) {
            buf_add_str(why, err_text(e));
            return e;
        }
    }
    return ERR_OK;
}

static bool batch_has_room(const merge_batch *b, size_t events, size_t payload_bytes)
{
    return b->n + events <= BATCH_MAX_EVENTS &&
           b->bodies.len + payload_bytes <= BATCH_MAX_BYTES + EVENT_MAX_BYTES &&
           b->n_seals + events / SEAL_MAX_EVENTS + payload_bytes / (SEAL_MAX_BYTES / 2) + 8 <
               BATCH_SEALS;
}

bool merge_core_needs_founder(const merge_core *c, const emit_request *in)
{
    msg_list list = in->events;
    emit_row row;
    bool erases = false;
    if (!c->loaded || merge_core_founder(c) == NULL)
        return false;
    while (!erases && msg_list_next(&emit_row_desc, &list, &row))
        erases = bytes_is(row.kind, EVENT_KIND_ERASE);
    return erases;
}

/* Nothing is in flight, so that chain's tip is in the store or in this very batch. */
static void ready_founder(merge_core *c, const merge_batch *b)
{
    feed_id feed = merge_core_founder_feed(c);
    for (size_t i = 0; i < b->n; i++)
        if (b->rows[i].feed == feed)
            return;
    merge_slot_reset(c, MERGE_FOUNDER);
}

err_t merge_core_emit(merge_core *c, wall_ms now, uint32_t salt, const emit_request *in,
                      merge_batch *b, size_t *first, buf *why)
{
    bool successor = merge_core_needs_founder(c, in);
    if (!successor) /* of his events each is asked about, by the key that writes it */
        TRY(merge_may_write(c, why));
    if (in->events.n == 0) {
        buf_add_str(why, "there is nothing to write");
        return ERR_INVALID;
    }
    if (b->n > 0 &&
        !batch_has_room(b, in->events.n, in->events.raw.len + 32 * (size_t)in->events.n))
        return ERR_BUSY;
    if (successor)
        ready_founder(c, b);
    savepoint s = save(c, b);
    *first = b->n;
    err_t e = emit_all(c, now, salt, in, b, why);
    if (e != ERR_OK)
        restore(c, b, &s);
    return e;
}

err_t merge_core_close(merge_core *c, merge_batch *b, append_request *out)
{
    if (b->local)
        for (unsigned k = 0; k < MERGE_SLOTS; k++)
            TRY(seal_slot(c, b, k));
    for (size_t i = 0; i < b->n; i++) {
        b->rows[i].body = bytes_of(b->bodies.p + b->parts[i].at, b->parts[i].len);
        b->rows[i].seal = b->parts[i].seal ? bytes_of(b->seals[b->parts[i].seal - 1].b, SEAL_BYTES)
                                           : bytes_of(NULL, 0);
    }
    b->clock = c->clock.last;
    *out = (append_request){.rows = MSG_LIST_OF(b->rows, b->n),
                            .clock_wall_ms = b->clock.wall_ms,
                            .clock_counter = b->clock.counter,
                            .allow_fork = b->fork};
    return ERR_OK;
}

/* ---- Cairn's own events ---- */

err_t merge_write_own(merge_core *c, wall_ms now, unsigned slot, const char *stream,
                      const char *kind, bytes payload, merge_batch *b)
{
    emit_row row = {.category = bytes_str(ROSTER_CATEGORY),
                    .stream = bytes_str(stream),
                    .kind = bytes_str(kind),
                    .payload = payload};
    savepoint s = save(c, b);
    err_t e = build(c, now, 0, slot, &row, b);
    if (e != ERR_OK)
        restore(c, b, &s);
    return e;
}

err_t merge_write_roster(merge_core *c, wall_ms now, unsigned slot, const char *kind,
                         const roster_event *ev, merge_batch *b)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    err_t e = roster_event_write(ev, &payload);
    if (e == ERR_OK)
        e = merge_write_own(c, now, slot, ROSTER_STREAM, kind, buf_view(&payload), b);
    buf_release(&payload);
    return e;
}

static const roster_member *member_by_key(const merge_core *c, const member_key *key)
{
    size_t n = roster_members(c->roster);
    for (size_t i = 0; i < n; i++)
        if (memcmp(roster_at(c->roster, i)->key.b, key->b, sizeof key->b) == 0)
            return roster_at(c->roster, i);
    return NULL;
}

static err_t choose_number(const merge_core *c, const merge_hand *h, const member_add_request *in,
                           member_no *number, buf *why)
{
    *number = in->number != 0 ? in->number : roster_free_number(c->roster, h->number, h->key);
    if (*number != 0 && roster_may(c->roster, h->number, h->key, ROSTER_MAY_ADD, *number))
        return ERR_OK;
    buf_add_str(why, *number == 0 && roster_may(c->roster, h->number, h->key, ROSTER_MAY_ADD, 0)
                         ? "all the member numbers granted to this coordinator are used: ask the "
                           "founder for more"
                         : "only the founder and coordinators may add members");
    return ERR_FORBIDDEN;
}

err_t merge_core_member_add(merge_core *c, wall_ms now, const member_add_request *in,
                            merge_batch *b, member_no *number, buf *why)
{
    merge_hand h;
    TRY(merge_take_hand(c, &h, why));
    const roster_member *known = member_by_key(c, &in->key);
    if (known != NULL && !known->removed && !known->orphaned) {
        *number = known->number;
        return ERR_EXISTS;
    }
    TRY(choose_number(c, &h, in, number, why));
    roster_event ev = {.kind = ROSTER_EV_ADD,
                       .number = *number,
                       .role = (roster_role)in->role,
                       .key = in->key,
                       .has_transport = true,
                       .transport = in->transport,
                       .name = in->name};
    if (ev.role == ROSTER_ROLE_COORDINATOR) {
        if (!roster_may(c->roster, h.number, h.key, ROSTER_MAY_GRANT, 0)) {
            buf_add_str(why, "only the founder may add coordinators");
            return ERR_FORBIDDEN;
        }
        ev.lo = in->grant_from != 0 ? in->grant_from : roster_free_range(c->roster, 100);
        ev.hi = in->grant_from != 0 ? in->grant_to : (uint16_t)(ev.lo + 99);
    }
    err_t e = merge_write_roster(c, now, h.slot, ROSTER_KIND_ADD, &ev, b);
    if (e != ERR_OK && why->len == 0)
        buf_add_str(why, err_text(e));
    return e;
}

/* Everything held of the member now counts on: every tip is a head. */
static size_t list_heads(const merge_core *c, member_no number, roster_lists_room *room,
                         size_t *forks)
{
    size_t n = 0;
    *forks = 0;
    for (size_t i = 0; i < c->n_feeds; i++) {
        const merge_feed *f = &c->feeds[i];
        if (feed_member(f->feed) != number || feed_class_of(f->feed) == CLASS_RESERVED)
            continue;
        for (uint32_t k = 0; k < f->n && n < ROSTER_LIST_MAX; k++)
            if (f->tips[k].sealed_seq > 0)
                room->heads[n++] = (roster_head){feed_incarnation(f->feed), f->tips[k].sealed_seq,
                                                 f->tips[k].sealed_id};
        if (f->n > 1 && f->fork_seq > 0 && *forks < ROSTER_LIST_MAX)
            room->forks[(*forks)++] = (roster_fork){feed_incarnation(f->feed), f->fork_seq};
    }
    return n;
}

err_t merge_core_member_remove(merge_core *c, wall_ms now, member_no number, merge_batch *b,
                               buf *why)
{
    merge_hand h;
    TRY(merge_take_hand(c, &h, why));
    const roster_member *m = roster_member_of(c->roster, number);
    if (m == NULL) {
        buf_addf(why, "there is no member %u here: see cairn member ls", number);
        return ERR_NOT_FOUND;
    }
    if (m->removed) {
        buf_addf(why, "%s was removed already", m->name);
        return ERR_EXISTS;
    }
    if (!roster_may(c->roster, h.number, h.key, ROSTER_MAY_REMOVE, number)) {
        buf_add_str(why, "only the founder may remove members, and not himself");
        return ERR_FORBIDDEN;
    }
    roster_lists_room *room = malloc(sizeof *room);
    if (room == NULL)
        return ERR_NO_MEMORY;
    roster_event ev = {
        .kind = ROSTER_EV_REMOVE, .number = number, .heads = room->heads, .forks = room->forks};
    ev.n_heads = list_heads(c, number, room, &ev.n_forks);
    err_t e = merge_write_roster(c, now, h.slot, ROSTER_KIND_REMOVE, &ev, b);
    free(room);
    if (e != ERR_OK)
        buf_add_str(why, err_text(e));
    return e;
}
