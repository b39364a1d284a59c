/* The heir's key: what it could do, and the founder.replace that it signs (design section 8, rules.md 13). */
#include "merge/merge_core_state.h"

#include "pure/chain.h"

#include <stdlib.h>

/* ---- what would be kept ---- */

typedef struct {
    merge_core *c;
    const heir_request *in;
    heir_head_row *rows;
    size_t n, max;
} keeping;

/* How far the caller lets this chain count, at most to where it does now. */
static uint64_t limit_of(const heir_request *in, feed_id feed, uint64_t seq)
{
    msg_list list = in->limits;
    heir_limit_row row;
    while (msg_list_next(&heir_limit_row_desc, &list, &row))
        if (row.feed == feed && row.seq < seq)
            seq = row.seq;
    return seq;
}

static bool take_wall(void *arg, const stored_row *row)
{
    heir_head_row *head = arg;
    event_view v;
    if (event_id_eq(&row->id, &head->id) && (row->flags & ROW_ERASED) == 0 &&
        event_parse(row->body, &v) == ERR_OK && v.stamp.wall_ms <= WALL_MAX_MS)
        head->wall_ms = v.stamp.wall_ms;
    return true;
}

/* Branches may share their last event that is kept. */
static bool is_listed(const keeping *k, const heir_head_row *row)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->rows[i].feed == row->feed && event_id_eq(&k->rows[i].id, &row->id))
            return true;
    return false;
}

static err_t keep_tip(keeping *k, feed_id feed, const merge_tip *t)
{
    heir_head_row row = {.feed = feed, .seq = limit_of(k->in, feed, t->sealed_seq)};
    if (row.seq > 0)
        TRY(merge_ancestor(k->c, feed, t->sealed_seq, &t->sealed_id, row.seq, &row.id));
    row.beyond = t->sealed_seq - row.seq;
    if (row.seq > 0 && is_listed(k, &row))
        return ERR_OK;
    if (k->n == k->max)
        return ERR_TOO_LARGE;
    if (row.seq > 0)
        TRY(k->c->io.read_feed(k->c->io.ctx, feed, row.seq, row.seq, take_wall, &row));
    k->rows[k->n++] = row;
    return ERR_OK;
}

static err_t keep_feed(keeping *k, const merge_feed *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->tips[i].sealed_seq > 0 &&
            roster_heir_cuts(k->c->roster, &k->in->key, &f->tips[i].author))
            TRY(keep_tip(k, f->feed, &f->tips[i]));
    return ERR_OK;
}

static bool is_founders(feed_id feed)
{
    return feed_member(feed) == ROSTER_FOUNDER_NUMBER && feed_class_of(feed) != CLASS_RESERVED;
}

err_t merge_core_heir(merge_core *c, const heir_request *in, heir_head_row *rows, size_t max,
                      heir_reply *out, buf *why)
{
    keeping k = {.c = c, .in = in, .rows = rows, .max = max};
    err_t e = c->loaded ? ERR_OK : ERR_NOT_READY;
    *out = (heir_reply){0};
    if (e == ERR_OK) {
        out->standing = (uint8_t)roster_heir(c->roster, &in->key);
        out->founder = merge_core_is_founder(c);
    }
    for (size_t i = 0; e == ERR_OK && out->standing == ROSTER_HEIR_STANDS && i < c->n_feeds; i++)
        if (is_founders(c->feeds[i].feed))
            e = keep_feed(&k, &c->feeds[i]);
    out->heads = MSG_LIST_OF(rows, k.n);
    if (e == ERR_TOO_LARGE)
        buf_add_str(why, "the founder's feeds have more branches than one replacement can list");
    return e;
}

/* ---- the replacement ---- */

static err_t check_head(merge_core *c, const member_key *heir, const frontier_row *h)
{
    member_key author;
    bool held = false;
    if (!is_founders(h->feed))
        return ERR_NOT_FOUND;
    TRY(merge_holds(c, h->feed, h->seq, &h->id, &held));
    if (!held)
        return ERR_NOT_FOUND;
    TRY(merge_author_of(c, h->feed, h->seq, &h->id, &author));
    return roster_heir_cuts(c->roster, heir, &author) ? ERR_OK : ERR_NOT_FOUND;
}

static err_t take_heads(merge_core *c, const member_key *heir, msg_list list,
                        roster_lists_room *room, roster_event *ev, buf *why)
{
    frontier_row h;
    ev->heads = room->heads;
    while (msg_list_next(&frontier_row_desc, &list, &h)) {
        err_t e = check_head(c, heir, &h);
        if (e == ERR_NOT_FOUND)
            buf_addf(why,
                     "feed %u has no event %llu of the old founder's here: nothing was written",
                     h.feed, (unsigned long long)h.seq);
        TRY(e);
        room->heads[ev->n_heads++] = (roster_head){feed_incarnation(h.feed), h.seq, h.id};
    }
    return ERR_OK;
}

static err_t check_heir(const merge_core *c, const founder_replace_request *in,
                        const member_key *heir, buf *why)
{
    roster_heir_t standing = roster_heir(c->roster, heir);
    if (standing == ROSTER_HEIR_USED && roster_is_heir(c->roster, &in->heir))
        return ERR_EXISTS;
    if (standing == ROSTER_HEIR_USED)
        buf_add_str(why, "this heir key was used already: a newer one stands");
    else if (standing == ROSTER_HEIR_NONE)
        buf_add_str(why,
                    "no founder of this dataset, as far as is known here, named this heir key");
    if (standing != ROSTER_HEIR_STANDS)
        return standing == ROSTER_HEIR_USED ? ERR_USED : ERR_INVALID;
    if (roster_is_heir(c->roster, &in->heir)) {
        buf_add_str(why, "the next heir's key must be a new one");
        return ERR_INVALID;
    }
    if (c->identity.self != ROSTER_FOUNDER_NUMBER)
        return ERR_OK;
    buf_add_str(why, "this machine's own key is a founder's: use the heir key on another member's "
                     "machine");
    return ERR_FORBIDDEN;
}

static err_t build_body(merge_core *c, wall_ms now, const roster_event *ev, buf *body)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    event_fields f = {.category = bytes_str(ROSTER_CATEGORY),
                      .stream = bytes_str(ROSTER_STREAM),
                      .kind = bytes_str(ROSTER_KIND_REPLACE)};
    err_t e = roster_event_write(ev, &payload);
    f.payload = buf_view(&payload);
    merge_clock_settle(c, now);
    hlc_tick(&c->clock, now, &f.stamp);
    if (e == ERR_OK)
        e = event_build(&f, body);
    buf_release(&payload);
    return e;
}

/* The heir's first and last event: another chain of feed 1, admitted like a run that came from elsewhere. */
static err_t fill_batch(merge_core *c, const crypto_signer *heir, merge_batch *b)
{
    event_view v;
    append_row row = {.feed = ROSTER_FOUNDER_FEED, .seq = 1, .flags = ROW_COUNTS};
    TRY(event_parse(buf_view(&b->bodies), &v));
    chain_start(&row.prev, &c->identity.dataset, row.feed, &heir->public);
    chain_next(&row.id, &row.prev, row.seq, v.head, v.tail);
    TRY(chain_sign(&b->seals[0], heir, &c->identity.dataset, row.feed, row.seq, &row.id));
    merge_feed *f = merge_feed_get(c, row.feed);
    merge_tip *t = f != NULL ? merge_tip_add(f) : NULL;
    if (t == NULL)
        return ERR_NO_MEMORY;
    *t = (merge_tip){.seq = row.seq, .id = row.id, .author = heir->public, .stamp = v.stamp};
    b->rows[0] = row;
    b->parts[0].at = 0;
    b->parts[0].len = b->bodies.len;
    b->parts[0].seal = 1;
    b->n = b->n_seals = 1;
    b->roster = b->fork = true;
    b->author = heir->public;
    return ERR_OK;
}

static err_t replace(merge_core *c, wall_ms now, const founder_replace_request *in,
                     const crypto_signer *heir, const member_key *successor, merge_batch *b,
                     buf *why)
{
    roster_lists_room *room = malloc(sizeof *room);
    const roster_member *me = roster_find(c->roster, c->identity.self, &c->identity.signer.public);
    if (room == NULL)
        return ERR_NO_MEMORY;
    roster_event ev = {.kind = ROSTER_EV_REPLACE,
                       .key = *successor,
                       .heir = in->heir,
                       .name = bytes_str(c->identity.name)};
    if (me != NULL &&
        me->has_transport) { /* so that peers let it in even if its own number is cut off */
        ev.has_transport = true;
        ev.transport = me->transport;
    }
    err_t e = take_heads(c, &heir->public, in->heads, room, &ev, why);
    if (e == ERR_OK)
        e = build_body(c, now, &ev, &b->bodies);
    if (e == ERR_OK)
        e = fill_batch(c, heir, b);
    free(room);
    return e;
}

static err_t take_seed(const merge_core *c, const founder_replace_request *in, crypto_signer *heir,
                       buf *why)
{
    if (!c->loaded)
        return ERR_NOT_READY;
    if (in->seed.len != MEMBER_SEED_BYTES) {
        buf_add_str(why, "a seed has 32 bytes");
        return ERR_INVALID;
    }
    crypto_signer_from_seed(heir, in->seed.p);
    return check_heir(c, in, &heir->public, why);
}

err_t merge_core_may_replace(const merge_core *c, const founder_replace_request *in, buf *why)
{
    crypto_signer heir;
    err_t e = take_seed(c, in, &heir, why);
    crypto_wipe(&heir, sizeof heir);
    return e;
}

err_t merge_core_founder_replace(merge_core *c, wall_ms now, const founder_replace_request *in,
                                 const member_key *successor, merge_batch *b, buf *why)
{
    crypto_signer heir;
    err_t e = take_seed(c, in, &heir, why);
    if (e == ERR_OK)
        e = replace(c, now, in, &heir, successor, b, why);
    crypto_wipe(&heir, sizeof heir);
    return e;
}
