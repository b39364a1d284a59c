#include "cli/verify_chain.h"

#include "proto/event.h"
#include "proto/row.h"
#include "pure/chain.h"
#include "pure/roster.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_MAX 16u

/* The end of one chain; a feed has several when it forked or when two keys had its number. */
typedef struct {
    uint64_t offset, seq, unsealed;
    event_id id;
    member_key author;
} tip;

typedef struct {
    event_id first; /* the id at seq 1 */
    member_key author;
} root;

typedef struct {
    feed_id feed;
    size_t n_tips, n_roots;
    tip *tips;
    root roots[KEYS_MAX];
} feed_state;

struct verify_chain {
    dataset_id dataset;
    verify_seals *seals;
    verify_row_fn *fetch;
    void *ctx;
    roster *roster;
    feed_state **feeds; /* sorted */
    size_t n_feeds;
    feed_state *last; /* most rows follow one of the same feed */
    verify_counts counts;
    roster_lists_room room;
};

verify_chain *verify_chain_new(const dataset_id *dataset, uint64_t salt, verify_seals *seals,
                               verify_row_fn *fetch, void *ctx)
{
    verify_chain *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->dataset = *dataset;
    c->seals = seals;
    c->fetch = fetch;
    c->ctx = ctx;
    c->roster = roster_new(dataset, NULL, salt);
    if (c->roster != NULL)
        return c;
    free(c);
    return NULL;
}

void verify_chain_free(verify_chain *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_feeds; i++) {
        free(c->feeds[i]->tips);
        free(c->feeds[i]);
    }
    free(c->feeds);
    roster_free(&c->roster);
    free(c);
}

static void fault(verify_chain *c, uint64_t offset, feed_id feed, uint64_t seq, const char *what)
{
    verify_fault *f = &c->counts.first;
    c->counts.bad++;
    if (f->offset != 0 && f->offset <= offset)
        return;
    *f = (verify_fault){.offset = offset, .feed = feed, .seq = seq};
    snprintf(f->what, sizeof f->what, "%s", what);
}

/* ---- feeds and their tips ---- */

static size_t feed_place(const verify_chain *c, feed_id feed)
{
    size_t lo = 0, hi = c->n_feeds;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->feeds[mid]->feed < feed)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static feed_state *feed_find(verify_chain *c, feed_id feed)
{
    if (c->last != NULL && c->last->feed == feed)
        return c->last;
    size_t at = feed_place(c, feed);
    if (at == c->n_feeds || c->feeds[at]->feed != feed)
        return NULL;
    return c->last = c->feeds[at];
}

static feed_state *feed_get(verify_chain *c, feed_id feed)
{
    feed_state *f = feed_find(c, feed), **feeds;
    if (f != NULL)
        return f;
    f = calloc(1, sizeof *f);
    feeds = f != NULL ? realloc(c->feeds, (c->n_feeds + 1) * sizeof *feeds) : NULL;
    if (feeds == NULL) {
        free(f);
        return NULL;
    }
    c->feeds = feeds;
    size_t at = feed_place(c, feed);
    memmove(feeds + at + 1, feeds + at, (c->n_feeds - at) * sizeof *feeds);
    feeds[at] = f;
    c->n_feeds++;
    f->feed = feed;
    return c->last = f;
}

static tip *tip_at(const feed_state *f, uint64_t offset)
{
    for (size_t i = 0; i < f->n_tips; i++)
        if (f->tips[i].offset == offset)
            return &f->tips[i];
    return NULL;
}

static tip *tip_new(feed_state *f)
{
    tip *tips = realloc(f->tips, (f->n_tips + 1) * sizeof *tips);
    if (tips == NULL)
        return NULL;
    f->tips = tips;
    tips[f->n_tips] = (tip){0};
    return &tips[f->n_tips++];
}

/* The end that a damaged row left behind: the nearest one before. */
static tip *tip_before(const feed_state *f, uint64_t seq)
{
    tip *best = NULL;
    for (size_t i = 0; i < f->n_tips; i++)
        if (f->tips[i].seq < seq && (best == NULL || f->tips[i].seq > best->seq))
            best = &f->tips[i];
    return best;
}

/* ---- whose chain is it? ---- */

/* Before there is a roster, the genesis event names the key; that it is genesis, its id says. */
static size_t genesis_key(verify_chain *c, const event_view *v, member_key *key)
{
    roster_event ev;
    if (v->opaque || !bytes_is(v->kind, ROSTER_KIND_GENESIS) ||
        roster_event_read(ROSTER_EV_GENESIS, v->payload, &c->room, &ev) != ERR_OK)
        return 0;
    *key = ev.key;
    return 1;
}

static bool starts_by(const verify_chain *c, const stored_row *row, const event_view *v,
                      const member_key *key)
{
    event_id id;
    bool genesis =
        row->feed == CHAIN_GENESIS_FEED && memcmp(row->id.b, c->dataset.b, EVENT_ID_BYTES) == 0;
    if (genesis)
        chain_start_genesis(&id, key);
    else
        chain_start(&id, &c->dataset, row->feed, key);
    chain_next_event(&id, &id, 1, v);
    return event_id_eq(&id, &row->id);
}

/* The first event of a chain: it fits under one of the keys that may have this number, or it is bad. */
static err_t begin_chain(verify_chain *c, feed_state *f, const stored_row *row, const event_view *v,
                         tip **out)
{
    member_key keys[KEYS_MAX];
    size_t n = roster_author(c->roster, row->feed, keys, KEYS_MAX), i = 0;
    n = n < KEYS_MAX ? n : KEYS_MAX;
    if (n == 0 && row->feed == CHAIN_GENESIS_FEED)
        n = genesis_key(c, v, keys);
    while (i < n && !starts_by(c, row, v, &keys[i]))
        i++;
    if (n == 0)
        fault(c, row->offset, row->feed, row->seq, "its author is not known");
    else if (i == n)
        fault(c, row->offset, row->feed, row->seq, "its bytes do not give its id");
    if (n == 0) {
        *out = NULL;
        return ERR_OK;
    }
    *out = tip_new(f);
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (*out)->author = keys[i < n ? i : 0];
    if (f->n_roots < KEYS_MAX)
        f->roots[f->n_roots++] = (root){row->id, (*out)->author};
    return ERR_OK;
}

/* Nearly always the feed has one root; with several keys under one number the chain is walked back to its own. */
static err_t author_of(verify_chain *c, const feed_state *f, stored_row row, member_key *out)
{
    *out = f->roots[0].author;
    while (f->n_roots > 1 && row.seq > 1 && !(row.flags & ROW_DAMAGED) && row.parent < row.offset)
        TRY(c->fetch(c->ctx, row.parent, &row));
    for (size_t i = 0; i < f->n_roots; i++)
        if (row.seq == 1 && event_id_eq(&row.id, &f->roots[i].first))
            *out = f->roots[i].author;
    return ERR_OK;
}

/* ---- one event ---- */

/* The event before a damaged row's successor cannot be hashed: its id is taken as it is, and the next seal, which
 * signs what follows from it, vouches for it. */
static err_t after_damage(verify_chain *c, feed_state *f, const stored_row *row, tip **out)
{
    *out = tip_before(f, row->seq);
    if (*out != NULL)
        return ERR_OK;
    member_key key;
    if (roster_author(c->roster, row->feed, &key, 1) == 0)
        return ERR_OK;
    *out = tip_new(f);
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (*out)->author = key;
    return ERR_OK;
}

/* A branch: the event that it leaves from was checked when it came by. */
static err_t begin_branch(verify_chain *c, feed_state *f, const stored_row *row, tip **out,
                          bool *known)
{
    stored_row parent;
    member_key author;
    *known = false;
    *out = NULL;
    if (row->parent == 0 || row->parent >= row->offset)
        return after_damage(c, f, row, out);
    TRY(c->fetch(c->ctx, row->parent, &parent));
    if (parent.flags & ROW_DAMAGED || parent.feed != row->feed || parent.seq + 1 != row->seq ||
        f->n_roots == 0)
        return after_damage(c, f, row, out);
    event_id id = parent.id; /* the row is only borrowed */
    TRY(author_of(c, f, parent, &author));
    *out = tip_new(f);
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (*out)->author = author;
    (*out)->id = id;
    *known = true;
    return ERR_OK;
}

static err_t find_chain(verify_chain *c, const stored_row *row, const event_view *v, tip **out)
{
    bool known = true;
    event_id id;
    feed_state *f = feed_get(c, row->feed);
    if (f == NULL)
        return ERR_NO_MEMORY;
    if (row->seq == 1)
        return begin_chain(c, f, row, v, out);
    *out = tip_at(f, row->parent);
    if (*out == NULL || (*out)->seq + 1 != row->seq)
        TRY(begin_branch(c, f, row, out, &known));
    if (*out == NULL) {
        fault(c, row->offset, row->feed, row->seq, "its author is not known");
        return ERR_OK;
    }
    if (!known)
        return ERR_OK;
    chain_next_event(&id, &(*out)->id, row->seq, v);
    if (!event_id_eq(&id, &row->id))
        fault(c, row->offset, row->feed, row->seq, "its bytes do not give its id");
    return ERR_OK;
}

static err_t learn(verify_chain *c, const stored_row *row, const event_view *v, const tip *t)
{
    if (v->opaque || v->erased || !bytes_is(v->category, ROSTER_CATEGORY) ||
        !bytes_is(v->stream, ROSTER_STREAM))
        return ERR_OK;
    roster_input in = {row->feed, row->seq, row->id, t->author, v->stamp, v->kind, v->payload};
    err_t e = roster_fold(c->roster, &in);
    return e == ERR_NO_MEMORY ? e : ERR_OK; /* what means nothing is still an event */
}

static void take_seal(verify_chain *c, const stored_row *row, tip *t)
{
    seal_job job = {.feed = row->feed,
                    .seq = row->seq,
                    .offset = row->offset,
                    .id = row->id,
                    .author = t->author};
    t->unsealed++;
    if (row->seal.len != SEAL_BYTES)
        return;
    t->unsealed = 0;
    memcpy(job.seal.b, row->seal.p, SEAL_BYTES);
    verify_seals_add(c->seals, &job);
}

err_t verify_chain_row(verify_chain *c, const stored_row *row)
{
    event_view v;
    tip *t;
    if (row->flags & ROW_CHANGED)
        return ERR_OK;
    c->counts.events++;
    if (row->flags & ROW_DAMAGED) {
        fault(c, row->offset, row->feed, row->seq,
              "damaged on the disk: its checksum does not match");
        return ERR_OK;
    }
    err_t e =
        row->flags & ROW_ERASED ? event_parse_erased(row->body, &v) : event_parse(row->body, &v);
    if (e != ERR_OK) {
        fault(c, row->offset, row->feed, row->seq, err_text(e));
        return ERR_OK;
    }
    TRY(find_chain(c, row, &v, &t));
    if (t == NULL)
        return ERR_OK;
    t->offset = row->offset;
    t->seq = row->seq;
    t->id = row->id;
    take_seal(c, row, t);
    return learn(c, row, &v, t);
}

void verify_chain_tip(verify_chain *c, const tip_row *wanted)
{
    feed_state *f = feed_find(c, wanted->feed);
    tip *t = f != NULL ? tip_at(f, wanted->offset) : NULL;
    if (t == NULL || t->seq != wanted->seq || !event_id_eq(&t->id, &wanted->id))
        fault(c, wanted->offset, wanted->feed, wanted->seq,
              "the index names it, the log does not hold it");
}

verify_counts verify_chain_counts(const verify_chain *c)
{
    verify_counts n = c->counts;
    n.unsealed = 0;
    for (size_t i = 0; i < c->n_feeds; i++)
        for (size_t k = 0; k < c->feeds[i]->n_tips; k++)
            n.unsealed += c->feeds[i]->tips[k].unsealed;
    return n;
}
