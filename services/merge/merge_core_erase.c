/* Erasures (design section 8, rules.md 16 and 17). An event.erase that counts, by the author of what it names or by a
 * founder, hides it: merge tells the store so, and takes it back when the erasure counts no more. An event that came
 * without its tail and is not hidden is wanted from peers, beside the frontier. */
#include "merge/merge_core_state.h"

#include "pure/erasure.h"

#include <stdlib.h>

#define DOUBTFUL_MAX 1024u

/* An event.erase as it lies in the log or in a batch. */
typedef struct {
    frontier_entry at;
    uint8_t flags;
    const event_view *view;
} eraser;

/* What it names. */
typedef struct {
    frontier_entry at;
    bytes category, stream; /* of the eraser */
    bool found, fits;       /* fits: lies in the same stream and can be erased */
    uint64_t offset;
    uint8_t flags;
} victim;

/* ---- who may ---- */

static bool take_victim(void *arg, const stored_row *row)
{
    victim *t = arg;
    event_view v;
    if ((row->flags & (ROW_CHANGED | ROW_DAMAGED)) != 0 || !event_id_eq(&row->id, &t->at.id))
        return true;
    t->found = true;
    t->offset = row->offset;
    t->flags = row->flags;
    err_t e =
        row->flags & ROW_ERASED ? event_parse_erased(row->body, &v) : event_parse(row->body, &v);
    t->fits = e == ERR_OK && !v.opaque && event_is_erasable(&v) &&
              bytes_eq(v.category, t->category) && bytes_eq(v.stream, t->stream);
    return false;
}

static err_t find_victim(merge_core *c, victim *t)
{
    return c->io.read_feed(c->io.ctx, t->at.feed, t->at.seq, t->at.seq, take_victim, t);
}

static err_t author_of(merge_core *c, const frontier_entry *e, member_key *out)
{
    return merge_author_of(c, e->feed, e->seq, &e->id, out);
}

/* By keys alone: whether the erasure counts is another question. */
static err_t is_entitled(merge_core *c, const frontier_entry *by, const frontier_entry *target,
                         bool *may, bool *founder)
{
    member_key own, other;
    *may = *founder = false;
    err_t e = author_of(c, by, &own);
    if (e == ERR_OK)
        e = author_of(c, target, &other);
    if (e != ERR_OK)
        return e == ERR_NOT_MEMBER || e == ERR_NOT_FOUND ? ERR_OK : e;
    *may = roster_may_erase(c->roster, by->feed, &own, target->feed, &other);
    *founder = *may && roster_is_founder(c->roster, feed_member(by->feed), &own);
    return ERR_OK;
}

/* ---- erasures of what is not here yet ---- */

static size_t first_wait(const merge_core *c, const frontier_entry *target)
{
    size_t lo = 0, hi = c->n_waits;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (frontier_entry_cmp(&c->waits[mid].target, target) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static err_t wait_for(merge_core *c, const frontier_entry *target, const frontier_entry *by)
{
    bool same = feed_member(target->feed) == feed_member(by->feed);
    if (c->n_waits == ERASE_WAITING_MAX ||
        (!same && feed_member(by->feed) != ROSTER_FOUNDER_NUMBER))
        return ERR_OK;
    if (c->n_waits == c->cap_waits) {
        size_t cap = c->cap_waits ? c->cap_waits * 2 : 16;
        merge_wait *grown = realloc(c->waits, cap * sizeof *grown);
        if (grown == NULL)
            return ERR_NO_MEMORY;
        c->waits = grown;
        c->cap_waits = cap;
    }
    size_t i = first_wait(c, target);
    memmove(&c->waits[i + 1], &c->waits[i], (c->n_waits - i) * sizeof *c->waits);
    c->waits[i] = (merge_wait){*target, *by};
    c->n_waits++;
    return ERR_OK;
}

static bool take_wait(merge_core *c, const frontier_entry *target, frontier_entry *by)
{
    size_t i = first_wait(c, target);
    if (i == c->n_waits || frontier_entry_cmp(&c->waits[i].target, target) != 0)
        return false;
    *by = c->waits[i].by;
    c->n_waits--;
    memmove(&c->waits[i], &c->waits[i + 1], (c->n_waits - i) * sizeof *c->waits);
    return true;
}

/* ---- missing tails ---- */

bool merge_lacks_tail(const merge_core *c, feed_id feed, uint64_t seq, const event_id *id)
{
    frontier_entry e = {feed, seq, *id};
    return c->tails.n > 0 && frontier_has(&c->tails, &e);
}

uint32_t merge_lacks_tails(const merge_core *c, feed_id feed, uint64_t first_seq, uint32_t n)
{
    uint32_t lacks = 0;
    for (uint32_t i = 0; c->tails.n > 0 && i < n; i++)
        lacks += merge_lacks_tail(c, feed, first_seq + i, &c->ids[i]);
    return lacks;
}

static void have_tail(merge_core *c, const frontier_entry *e)
{
    for (size_t i = 0; i < c->tails.n; i++)
        if (frontier_entry_cmp(&c->tails.at[i], e) == 0) {
            c->tails.n--;
            memmove(&c->tails.at[i], &c->tails.at[i + 1], (c->tails.n - i) * sizeof *c->tails.at);
            merge_front_changed(c);
            return;
        }
}

typedef struct {
    merge_core *c;
    err_t e;
} seeking;

static bool take_tailless(void *arg, const stored_row *row)
{
    seeking *s = arg;
    frontier_entry e = {row->feed, row->seq, row->id};
    const unsigned all = ROW_CHANGED | ROW_DAMAGED | ROW_ERASED | ROW_HIDDEN | ROW_COUNTS;
    if ((row->flags & all) != (ROW_ERASED | ROW_COUNTS))
        return true;
    if (s->c->tails.n >= TAILS_MISSING_MAX)
        return false;
    s->e = frontier_add(&s->c->tails, &e);
    merge_front_changed(s->c);
    return s->e == ERR_OK;
}

/* ---- what one erasure does ---- */

static err_t tell_store(merge_core *c, const victim *t, bool hidden, bool at_once)
{
    erase_request req = {.offset = t->offset, .hidden = hidden, .at_once = at_once};
    TRY(c->io.erase(c->io.ctx, &req));
    if (hidden)
        have_tail(c, &t->at);
    return ERR_OK;
}

/* *doubtful: what it names is hidden and it is not what hides it, but once may have been. */
static err_t apply(merge_core *c, const eraser *by, victim *t, bool *doubtful)
{
    erasure says;
    bool may, founder;
    *doubtful = false;
    if (!erasure_read(by->at.feed, by->at.seq, by->view, &says) ||
        bytes_is(by->view->category, EVENT_OWN_CATEGORY))
        return ERR_OK;
    *t = (victim){.at = {says.feed, says.seq, says.id},
                  .category = by->view->category,
                  .stream = by->view->stream};
    TRY(find_victim(c, t));
    if (!t->found)
        return wait_for(c, &t->at, &by->at);
    if (!t->fits)
        return ERR_OK;
    TRY(is_entitled(c, &by->at, &t->at, &may, &founder));
    bool hidden = (t->flags & ROW_HIDDEN) != 0, here = (t->flags & ROW_ERASED) == 0;
    if (!may)
        return ERR_OK;
    if ((by->flags & ROW_COUNTS) == 0) {
        *doubtful = hidden;
        return ERR_OK;
    }
    return !hidden || (founder && here) ? tell_store(c, t, true, founder) : ERR_OK;
}

/* ---- all of them ---- */

typedef struct {
    merge_core *c;
    err_t e;
    bool again; /* the second walk: whatever is hidden with right is not doubtful */
    victim doubtful[DOUBTFUL_MAX];
    size_t n;
} judging_all;

static bool is_eraser(const stored_row *row, event_view *v, eraser *out)
{
    if ((row->flags & (ROW_CHANGED | ROW_DAMAGED | ROW_ERASED | ROW_OPAQUE)) != 0 ||
        event_parse(row->body, v) != ERR_OK || v->opaque || !bytes_is(v->kind, EVENT_KIND_ERASE))
        return false;
    *out = (eraser){{row->feed, row->seq, row->id}, row->flags, v};
    return true;
}

static void note_doubtful(judging_all *j, const victim *t)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->doubtful[i].offset == t->offset)
            return;
    if (j->n < DOUBTFUL_MAX)
        j->doubtful[j->n++] = *t;
}

static void drop_doubtful(judging_all *j, uint64_t offset)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->doubtful[i].offset == offset)
            j->doubtful[i--] = j->doubtful[--j->n];
}

/* In the first walk everything that must be hidden becomes so. */
static bool judge_row(void *arg, const stored_row *row)
{
    judging_all *j = arg;
    event_view v;
    eraser by;
    victim t;
    bool doubtful, may, founder;
    if (!is_eraser(row, &v, &by))
        return true;
    j->e = apply(j->c, &by, &t, &doubtful);
    if (j->e == ERR_OK && doubtful && !j->again)
        note_doubtful(j, &t);
    if (j->e != ERR_OK || !j->again || (by.flags & ROW_COUNTS) == 0 || !t.found || !t.fits)
        return j->e == ERR_OK;
    j->e = is_entitled(j->c, &by.at, &t.at, &may, &founder);
    if (may)
        drop_doubtful(j, t.offset);
    return j->e == ERR_OK;
}

static err_t walk_erasures(merge_core *c, judging_all *j)
{
    c->n_waits = 0;
    TRY(c->io.read_category(c->io.ctx, "/erase", judge_row, j));
    return j->e;
}

/* Nobody who may hides it any more. */
static err_t show_doubtful(merge_core *c, judging_all *j)
{
    for (size_t i = 0; i < j->n; i++)
        TRY(tell_store(c, &j->doubtful[i], false, false));
    return ERR_OK;
}

static err_t judge_all(merge_core *c, judging_all *j)
{
    bool full;
    do {
        *j = (judging_all){.c = c};
        TRY(walk_erasures(c, j));
        full = j->n == DOUBTFUL_MAX;
        j->again = j->n > 0;
        if (j->again)
            TRY(walk_erasures(c, j));
        full = full && j->n > 0;
        TRY(show_doubtful(c, j));
    } while (full);
    return ERR_OK;
}

static err_t seek_tails(merge_core *c)
{
    seeking s = {c, ERR_OK};
    if (c->tails.n > 0)
        merge_front_changed(c);
    frontier_clear(&c->tails);
    TRY(c->io.read_category(c->io.ctx, "/tailless", take_tailless, &s));
    return s.e;
}

err_t merge_erase_load(merge_core *c)
{
    judging_all *j = malloc(sizeof *j);
    if (j == NULL)
        return ERR_NO_MEMORY;
    err_t e = judge_all(c, j);
    free(j);
    return e == ERR_OK ? seek_tails(c) : e;
}

void merge_erase_free(merge_core *c)
{
    free(c->waits);
    frontier_release(&c->tails);
}

/* ---- after a commit ---- */

typedef struct {
    merge_core *c;
    frontier_entry by;
    err_t e;
} resuming;

static bool resume_row(void *arg, const stored_row *row)
{
    resuming *r = arg;
    event_view v;
    eraser by;
    victim t;
    bool doubtful;
    if (!event_id_eq(&row->id, &r->by.id) || !is_eraser(row, &v, &by))
        return true;
    r->e = apply(r->c, &by, &t, &doubtful);
    return false;
}

/* Erasures that came before what they name. */
static err_t resume(merge_core *c, const frontier_entry *arrived)
{
    resuming r = {.c = c, .e = ERR_OK};
    while (r.e == ERR_OK && take_wait(c, arrived, &r.by))
        TRY(c->io.read_feed(c->io.ctx, r.by.feed, r.by.seq, r.by.seq, resume_row, &r));
    return r.e;
}

static err_t apply_of_batch(merge_core *c, const append_row *row)
{
    event_view v;
    victim t;
    bool doubtful;
    if ((row->flags & (ROW_ERASED | ROW_OPAQUE)) != 0 || event_parse(row->body, &v) != ERR_OK ||
        !bytes_is(v.kind, EVENT_KIND_ERASE))
        return ERR_OK;
    eraser by = {{row->feed, row->seq, row->id}, row->flags, &v};
    return apply(c, &by, &t, &doubtful);
}

err_t merge_erase_committed(merge_core *c, const merge_batch *b)
{
    seeking s = {c, ERR_OK};
    for (size_t i = 0; i < b->n; i++) {
        const append_row *row = &b->rows[i];
        frontier_entry e = {row->feed, row->seq, row->id};
        if (c->n_waits > 0)
            TRY(resume(c, &e));
        if (b->erasures)
            TRY(apply_of_batch(c, row));
        if (c->tails.n > 0 && (row->flags & ROW_ERASED) == 0)
            have_tail(c, &e);
    }
    if (b->tailless && b->n > 0)
        TRY(c->io.read_feed(c->io.ctx, b->rows[0].feed, b->rows[0].seq, b->rows[b->n - 1].seq,
                            take_tailless, &s));
    return s.e;
}

/* ---- one of our own ---- */

static err_t refuse(buf *why, err_t e, const char *text)
{
    buf_add_str(why, text);
    return e;
}

/* The founder's hand first: what it erases goes at once. */
static bool choose_hand(merge_core *c, feed_id target, const member_key *author, unsigned *slot)
{
    const crypto_signer *founder = merge_core_founder(c);
    feed_id own = feed_make(c->incarnation, CLASS_ROUTINE, c->identity.self);
    if (founder != NULL &&
        roster_may_erase(c->roster, merge_core_founder_feed(c), &founder->public, target, author)) {
        *slot = MERGE_FOUNDER;
        return true;
    }
    return roster_may_erase(c->roster, own, &c->identity.signer.public, target, author);
}

err_t merge_may_erase(merge_core *c, const emit_row *row, unsigned *slot, buf *why)
{
    event_view v = {.category = row->category, .stream = row->stream, .payload = row->payload};
    erasure says;
    member_key author;
    if (bytes_is(v.category, EVENT_OWN_CATEGORY))
        return refuse(why, ERR_FORBIDDEN, "Cairn's own events cannot be erased");
    if (!erasure_read(0, 0, &v, &says))
        return refuse(why, ERR_INVALID, "event.erase takes {id, keys, ref: [feed, seq, prefix]}");
    victim t = {.at = {says.feed, says.seq, says.id}, .category = v.category, .stream = v.stream};
    TRY(find_victim(c, &t));
    if (!t.found)
        return refuse(why, ERR_NOT_FOUND, "the event that is to be erased is not here");
    if (!t.fits)
        return refuse(why, ERR_FORBIDDEN,
                      "only an event of the same stream can be erased, and not an erasure");
    err_t e = author_of(c, &t.at, &author);
    if (e != ERR_OK && e != ERR_NOT_MEMBER)
        return e;
    if (e == ERR_OK && choose_hand(c, t.at.feed, &author, slot))
        return ERR_OK;
    return refuse(why, ERR_FORBIDDEN, "only its author and the founder may erase an event");
}
