/* After a commit: tips and frontier follow, roster events are folded, and what the roster now thinks of events held
 * earlier is written back as verdicts. */
#include "merge/merge_core_state.h"

#include "pure/chain.h"

bool merge_is_roster_event(const event_view *v)
{
    return !v->opaque && bytes_is(v->category, ROSTER_CATEGORY) &&
           bytes_is(v->stream, ROSTER_STREAM);
}

err_t merge_roster_fold(merge_core *c, feed_id feed, uint64_t seq, const event_id *id,
                        const member_key *author, const event_view *v)
{
    roster_input in = {.feed = feed,
                       .seq = seq,
                       .id = *id,
                       .author = *author,
                       .stamp = v->stamp,
                       .kind = v->kind,
                       .payload = v->payload};
    err_t e = roster_fold(c->roster, &in);
    return e == ERR_NO_MEMORY ? e : ERR_OK; /* nonsense in the stream is kept and means nothing */
}

/* ---- at start ---- */

typedef struct {
    merge_core *c;
    err_t e;
} folding;

err_t merge_genesis_author(const dataset_id *dataset, const event_view *v, member_key *out)
{
    static roster_lists_room room;
    roster_event ev;
    roster_kind kind;
    dataset_id made;
    if (!roster_kind_of(v->kind, &kind) || kind != ROSTER_EV_GENESIS)
        return ERR_NOT_MEMBER;
    TRY(roster_event_read(kind, v->payload, &room, &ev));
    chain_genesis_id(&made, &ev.key, v->head, v->tail);
    *out = ev.key;
    return memcmp(made.b, dataset->b, sizeof made.b) == 0 ? ERR_OK : ERR_DATASET;
}

static bool fold_row(void *arg, const stored_row *row)
{
    folding *f = arg;
    event_view v;
    member_key author;
    f->c->roster_damaged |= (row->flags & ROW_DAMAGED) != 0;
    if (event_parse(row->body, &v) != ERR_OK || !merge_is_roster_event(&v))
        return true;
    err_t e = merge_author_of(f->c, row->feed, row->seq, &row->id, &author);
    if (e == ERR_NOT_MEMBER && row->feed == ROSTER_FOUNDER_FEED && row->seq == 1)
        e = merge_genesis_author(&f->c->identity.dataset, &v, &author);
    if (e == ERR_OK)
        e = merge_roster_fold(f->c, row->feed, row->seq, &row->id, &author, &v);
    if (e != ERR_OK && e != ERR_NOT_MEMBER && e != ERR_DATASET) {
        f->e = e;
        return false;
    }
    return true;
}

err_t merge_roster_load(merge_core *c)
{
    folding f = {c, ERR_OK};
    chain_view view = merge_chain_view(c);
    roster_free(&c->roster);
    c->roster = roster_new(&c->identity.dataset, &view, c->seed);
    if (c->roster == NULL)
        return ERR_NO_MEMORY;
    c->roster_damaged = false;
    TRY(c->io.read_category(c->io.ctx, ROSTER_CATEGORY, fold_row, &f));
    return f.e;
}

/* ---- verdicts ---- */

typedef struct {
    merge_core *c;
    const merge_tip *tip;
    uint64_t cut;
    verdict_row rows[256];
    size_t n;
    err_t e;
} revising;

static void flush_verdicts(revising *r)
{
    if (r->n > 0 && r->e == ERR_OK)
        r->e = r->c->io.verdicts(r->c->io.ctx, r->rows, r->n);
    r->n = 0;
}

/* Branches share rows; a row counts if it does so on any branch, so only this branch's own part above the fork is
 * judged by this tip. */
static bool revise_row(void *arg, const stored_row *row)
{
    revising *r = arg;
    const merge_feed *f = merge_feed_find(r->c, row->feed);
    bool counts = row->seq <= r->cut;
    event_id on_branch;
    if (f == NULL || (row->flags & ROW_CHANGED) != 0)
        return true;
    if (f->n > 1) {
        r->e = merge_ancestor(r->c, row->feed, r->tip->seq, &r->tip->id, row->seq, &on_branch);
        if (r->e != ERR_OK)
            return false;
        if (!event_id_eq(&on_branch, &row->id))
            return true;
        if (!counts)
            for (uint32_t i = 0; i < f->n; i++)
                if (row->seq <= f->tips[i].cut && &f->tips[i] != r->tip &&
                    merge_ancestor(r->c, row->feed, f->tips[i].seq, &f->tips[i].id, row->seq,
                                   &on_branch) == ERR_OK &&
                    event_id_eq(&on_branch, &row->id))
                    counts = true;
    }
    if (((row->flags & ROW_COUNTS) != 0) != counts)
        r->rows[r->n++] = (verdict_row){.offset = row->offset, .counts = counts};
    if (r->n == sizeof r->rows / sizeof r->rows[0])
        flush_verdicts(r);
    return r->e == ERR_OK;
}

static err_t revise_tip(merge_core *c, const merge_feed *f, const merge_tip *t)
{
    revising r = {.c = c, .tip = t, .cut = t->cut};
    TRY(c->io.read_feed(c->io.ctx, f->feed, 1, t->seq, revise_row, &r));
    flush_verdicts(&r);
    return r.e;
}

/* True when a verdict of this feed may differ from what the store says: its frontier entries end where its verdicts do.
 * After a load nothing else tells that events count again which did not. */
static bool recut(merge_core *c, merge_feed *f)
{
    bool differs = false;
    for (uint32_t i = 0; i < f->n; i++) {
        merge_tip *t = &f->tips[i];
        uint64_t cut = roster_cut(c->roster, f->feed, &t->author, t->seq, &t->id, NULL);
        differs |= cut != t->cut || cut != t->sealed_seq;
        t->cut = cut;
    }
    return differs;
}

static err_t revise_feed(merge_core *c, const merge_feed *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        TRY(revise_tip(c, f, &f->tips[i]));
    return ERR_OK;
}

static err_t revise_member(merge_core *c, member_no number, bool *any)
{
    for (size_t i = 0; i < c->n_feeds; i++) {
        merge_feed *f = &c->feeds[i];
        bool differs = feed_member(f->feed) == number && recut(c, f);
        TRY(merge_asked(c));
        if (!differs)
            continue;
        *any = true;
        TRY(revise_feed(c, f));
    }
    return ERR_OK;
}

/* The store moved its frontier entries along with the verdicts. */
static bool refresh_tip(void *arg, const tip_row *row)
{
    merge_tip *t = merge_tip_find(merge_feed_find(arg, row->feed), row->seq, &row->id);
    if (t != NULL) {
        t->sealed_seq = row->sealed_seq;
        t->sealed_id = row->sealed_id;
    }
    return true;
}

err_t merge_refresh_sealed(merge_core *c)
{
    TRY(c->io.tips(c->io.ctx, refresh_tip, c));
    merge_front_changed(c);
    return ERR_OK;
}

err_t merge_roster_apply(merge_core *c)
{
    member_no changed[256];
    size_t n;
    bool any = false;
    if (c->roster_damaged) /* who is missing in it is no stranger: what counted goes on counting */
        return ERR_OK;
    while ((n = roster_take_changed(c->roster, changed, 256)) > 0)
        for (size_t i = 0; i < n; i++)
            TRY(revise_member(c, changed[i], &any));
    if (!any)
        return ERR_OK;
    TRY(merge_refresh_sealed(c));
    return c->loaded ? merge_erase_load(c) : ERR_OK; /* else it follows anyway */
}

/* ---- after a commit ---- */

static bool same_chain_goes_on(const merge_batch *b, size_t i)
{
    for (size_t k = i + 1; k < b->n; k++)
        if (b->rows[k].feed == b->rows[i].feed)
            return true;
    return false;
}

/* The frontier entry moves to the newest counting row at or below the newest seal of this batch. */
static void note_sealed(merge_tip *t, const append_row *row)
{
    if ((row->flags & ROW_COUNTS) != 0 && row->seq > t->sealed_seq) {
        t->sealed_seq = row->seq;
        t->sealed_id = row->id;
    }
}

/* An own event may come back from a peer before the store has answered: then its tip has moved already. */
static bool has_come_back(const merge_core *c, const merge_feed *f, const append_row *row)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->tips[i].seq >= row->seq &&
            memcmp(f->tips[i].author.b, merge_local_author(c, row->feed)->b, MEMBER_KEY_BYTES) == 0)
            return true;
    return false;
}

/* Local rows move their own tips here; those of an admitted run moved when it was judged. */
static err_t note_local(merge_core *c, const append_row *row)
{
    merge_feed *f = merge_feed_get(c, row->feed);
    if (f == NULL)
        return ERR_NO_MEMORY;
    merge_tip *t = merge_tip_find(f, row->seq - 1, &row->prev);
    if (t == NULL && has_come_back(c, f, row))
        return ERR_OK;
    if (t == NULL) {
        t = merge_tip_add(f);
        if (t == NULL)
            return ERR_NO_MEMORY;
        t->author = *merge_local_author(c, row->feed);
    }
    t->seq = t->cut = row->seq;
    t->id = row->id;
    return ERR_OK;
}

static merge_tip *tip_of_row(const merge_core *c, const append_row *row)
{
    merge_feed *f = merge_feed_find(c, row->feed);
    if (f == NULL || f->n == 0)
        return NULL;
    return f->n == 1 ? &f->tips[0] : merge_tip_find(f, row->seq, &row->id);
}

static bool is_forked(const merge_core *c, feed_id feed)
{
    const merge_feed *f = merge_feed_find(c, feed);
    return f != NULL && f->n > 1;
}

static err_t fold_row_of(merge_core *c, const merge_batch *b, const append_row *row)
{
    event_view v;
    if ((row->flags & (ROW_OPAQUE | ROW_ERASED)) != 0 || event_parse(row->body, &v) != ERR_OK ||
        !merge_is_roster_event(&v))
        return ERR_OK;
    return merge_roster_fold(c, row->feed, row->seq, &row->id,
                             b->local ? merge_local_author(c, row->feed) : &b->author, &v);
}

static err_t note_row(merge_core *c, const merge_batch *b, size_t i)
{
    const append_row *row = &b->rows[i];
    event_view v;
    if (b->local)
        TRY(note_local(c, row));
    merge_tip *t = tip_of_row(c, row);
    if (t != NULL) {
        note_sealed(t, row);
        if (!same_chain_goes_on(b, i) && row->seq == t->seq && (row->flags & ROW_ERASED) == 0 &&
            event_parse(row->body, &v) == ERR_OK)
            t->stamp = v.stamp;
        t->cut = t->sealed_seq > t->cut ? t->sealed_seq : t->cut;
    }
    roster_stored(c->roster, row->feed, row->seq, &row->id);
    return b->roster ? fold_row_of(c, b, row) : ERR_OK;
}

/* A run that ends before what a removal lists does not tell what of it counts; the tips do. */
static err_t judge_mended(merge_core *c, feed_id feed)
{
    const merge_feed *f = merge_feed_find(c, feed);
    if (f == NULL || c->roster_damaged)
        return ERR_OK;
    TRY(revise_feed(c, f));
    return merge_refresh_sealed(c);
}

err_t merge_core_committed(merge_core *c, const merge_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        TRY(note_row(c, b, i));
    if (!b->fork && b->n > 0 && is_forked(c, b->rows[0].feed))
        TRY(merge_refresh_sealed(c)); /* which branch a row lies on, the store knows */
    /* Rare, and easy to get wrong by hand: ask the store where the branches stand, and who is who. */
    if (b->fork || (b->mends && b->roster)) {
        store_hello_reply same = {.incarnation = c->incarnation,
                                  .clock_wall_ms = c->clock.last.wall_ms,
                                  .clock_counter = c->clock.last.counter};
        merge_local own[MERGE_CLASSES]; /* may be ahead: batches of our own are on their way */
        memcpy(own, c->local, sizeof own);
        TRY(merge_core_load(c, &same));
        memcpy(c->local, own, sizeof own);
    }
    for (size_t i = 0; i < b->n; i++)
        if (!same_chain_goes_on(b, i))
            merge_kept_arrived(c, b->rows[i].feed, b->rows[i].seq);
    if (b->roster && !b->local &&
        memcmp(b->rows[0].id.b, c->identity.dataset.b, EVENT_ID_BYTES) == 0)
        merge_local_reset(c); /* the founder's own feed goes on after genesis */
    merge_front_changed(c);
    TRY(merge_roster_apply(c));
    if (b->mends)
        TRY(judge_mended(c, b->rows[0].feed));
    return merge_erase_committed(c, b);
}
