/* An append is planned as a whole before its first write, so that a refusal leaves no trace; then it is
 * applied, where only the storage can fail. */
#include "store/store_core_impl.h"

#include "pure/chain.h"

#include <assert.h>

/* ---- planning ---- */

static bool follows(const append_row *a, const append_row *b)
{
    return a->feed == b->feed && a->seq + 1 == b->seq && event_id_eq(&a->id, &b->prev);
}

/* The row of this append that row i follows, 1-based. Nearly always the one before. */
static uint32_t find_before(const store_core *s, uint32_t i)
{
    const append_row *row = &s->plan[i].row;
    for (uint32_t k = i; k > 0 && row->seq > 1; k--)
        if (follows(&s->plan[k - 1].row, row))
            return k;
    return 0;
}

/* The same event earlier in this append, 1-based. */
static uint32_t find_twin(const store_core *s, uint32_t i)
{
    const append_row *row = &s->plan[i].row;
    for (uint32_t k = i; k > 0; k--) {
        const append_row *other = &s->plan[k - 1].row;
        if (other->feed == row->feed && other->seq == row->seq && event_id_eq(&other->id, &row->id))
            return k;
    }
    return 0;
}

static bool has_root(const store_core *s, const feed_tree *f, uint32_t i)
{
    if (f != NULL && f->n != 0)
        return true;
    for (uint32_t k = 0; k < i; k++)
        if (s->plan[k].row.feed == s->plan[i].row.feed && s->plan[k].row.seq == 1)
            return true;
    return false;
}

static err_t check_row(plan_row *p)
{
    const append_row *row = &p->row;
    if ((row->seal.len != 0 && row->seal.len != SEAL_BYTES) || row->seq > INT64_MAX)
        return ERR_INVALID;
    if ((row->flags & ROW_OPAQUE) == 0) {
        if (!row_names_and_erasure(row->body, &p->category, &p->stream, &p->erasure))
            return ERR_INVALID;
        p->stream_hash = stream_hash(p->category, p->stream);
    }
    return row->body.len != 0 ? ERR_OK : ERR_INVALID;
}

typedef enum { FITS_NOT, FITS, FITS_PERHAPS } fitness;

/* Whether `row` is the event of a damaged place on the way to the tip of branch b. The next event that is
 * intact there knows it, or the tip, whose id the index keeps; the rows of this append that follow
 * bridge what is damaged in between. */
static err_t fits_way(store_core *s, feed_tree *f, uint32_t b, const append_row *row, fitness *fits)
{
    append_row at = *row, next;
    msg_list rest = s->plan_rest;
    const spot *tip = &f->branches[b].tip;
    *fits = FITS_PERHAPS;
    for (;;) {
        uint64_t offset;
        row_read child;
        if (at.seq >= tip->seq) {
            *fits = at.seq == tip->seq && event_id_eq(&at.id, &tip->id) ? FITS : FITS_NOT;
            return ERR_OK;
        }
        TRY(feed_offset(s, s->txn, f, b, at.seq + 1, &offset));
        TRY(row_get(s, s->txn, offset, &child));
        if (!child.damaged) {
            event_view v;
            event_id id;
            err_t e = (child.row.flags & ROW_ERASED) != 0 ? event_parse_erased(child.row.body, &v)
                                                          : event_parse(child.row.body, &v);
            if (e == ERR_OK)
                chain_next_event(&id, &at.id, child.row.seq, &v);
            *fits = e == ERR_OK && event_id_eq(&id, &child.row.id) ? FITS : FITS_NOT;
            return ERR_OK;
        }
        do
            if (!list_take(&append_row_desc, &rest, &next))
                return ERR_OK;
        while (!follows(&at, &next));
        at = next;
    }
}

/* Whether `row` is the event of the damaged place in extent x. */
static err_t fits_damage(store_core *s, feed_tree *f, const extent *x, const append_row *row,
                         fitness *fits)
{
    *fits = FITS_NOT;
    for (uint32_t b = x->branch; b < f->n && *fits != FITS; b++) {
        fitness here;
        if (f->branches[b].tip.seq < row->seq || branch_at(f, b, row->seq) != x->branch)
            continue;
        TRY(fits_way(s, f, b, row, &here));
        *fits = here == FITS_NOT ? *fits : here;
    }
    return ERR_OK;
}

static size_t events_at(const store_core *s, uint64_t seq)
{
    size_t n = 0;
    for (size_t i = 0; i < s->block.n; i++)
        n += seq - s->block.p[i].seq < s->block.p[i].n;
    return n;
}

/* A damaged place that the row belongs to. One that cannot be told from others waits for a longer run:
 * ERR_DAMAGED. */
static err_t find_mend(store_core *s, feed_tree *f, plan_row *p, uint64_t parent)
{
    const append_row *row = &p->row;
    if (f == NULL || row->seq > f->max_seq || s->n_damage == 0)
        return ERR_NOT_FOUND;
    TRY(block_load(s, s->txn, f->id, row->seq / FEED_BLOCK));
    bool alone = events_at(s, row->seq) == 1;
    for (size_t i = 0; i < s->block.n; i++) {
        uint64_t held_parent = 0;
        fitness fits;
        extent x = s->block.p[i];
        uint64_t offset = x.offset + (row->seq - x.seq);
        if (row->seq - x.seq >= x.n || damage_find(s, offset) == NULL)
            continue;
        if (row->seq > 1)
            TRY(feed_offset(s, s->txn, f, x.branch, row->seq - 1, &held_parent));
        if (held_parent == parent) {
            TRY(fits_damage(s, f, &x, row, &fits));
            if (fits == FITS_PERHAPS && !alone)
                return ERR_DAMAGED;
            if (fits != FITS_NOT) {
                p->kind = PLAN_MEND;
                p->branch = x.branch;
                p->offset = offset;
                return ERR_OK;
            }
        }
        TRY(block_load(s, s->txn, f->id, row->seq / FEED_BLOCK));
    }
    return ERR_NOT_FOUND;
}

static err_t find_held(store_core *s, feed_tree *f, plan_row *p)
{
    TRY(feed_event(s, s->txn, f, p->row.seq, &p->row.id, &p->branch, &p->offset));
    p->kind = damage_find(s, p->offset) != NULL ? PLAN_MEND : PLAN_HELD;
    return ERR_OK;
}

/* A second event after the same one: the same event again, or a fork. */
static err_t plan_second(store_core *s, uint32_t i, bool allow_fork)
{
    plan_row *p = &s->plan[i];
    uint32_t twin = find_twin(s, i);
    if (twin != 0) {
        p->kind = PLAN_HELD;
        p->before = twin;
        return ERR_OK;
    }
    if (!allow_fork)
        return ERR_FORKED;
    p->fork = true;
    feed_tree *f = feed_find(s, p->row.feed);
    if (f == NULL || p->row.seq > f->max_seq)
        return ERR_OK;
    TRY(block_load(s, s->txn, f->id, p->row.seq / FEED_BLOCK));
    return events_at(s, p->row.seq) < FORKED_AT_ONE_MAX ? ERR_OK : ERR_TOO_LARGE;
}

/* After an event that is held, or at the start of a chain. */
static err_t plan_after_held(store_core *s, feed_tree *f, uint32_t i, bool allow_fork)
{
    plan_row *p = &s->plan[i];
    uint32_t parent_branch = NO_BRANCH;
    err_t e = ERR_OK;
    if (p->before != 0) { /* a row of this append that is held */
        const plan_row *q = &s->plan[p->before - 1];
        parent_branch = q->branch;
        p->parent = q->offset;
        p->before = 0;
    } else if (p->row.seq > 1) {
        e = feed_event(s, s->txn, f, p->row.seq - 1, &p->row.prev, &parent_branch, &p->parent);
    }
    if (e == ERR_NOT_FOUND)
        return ERR_CONFLICT;
    if (e == ERR_OK)
        e = find_mend(s, f, p, p->parent);
    if (e != ERR_NOT_FOUND)
        return e;
    p->branch = parent_branch;
    if (p->row.seq == 1) {
        p->fork = true;
        return has_root(s, f, i) ? plan_second(s, i, allow_fork) : ERR_OK;
    }
    branch *b = &f->branches[parent_branch];
    if (b->tip.offset != p->parent || b->taken == s->serial)
        return plan_second(s, i, allow_fork);
    b->taken = s->serial;
    return ERR_OK;
}

static err_t plan_one(store_core *s, uint32_t i, bool allow_fork)
{
    plan_row *p = &s->plan[i];
    TRY(check_row(p));
    p->before = find_before(s, i);
    if (p->before != 0) {
        plan_row *q = &s->plan[p->before - 1];
        if (q->kind == PLAN_HELD && q->before != 0) { /* the same event twice in this append */
            p->before = q->before;
            q = &s->plan[p->before - 1];
        }
        if (q->kind == PLAN_NEW && !q->followed) {
            q->followed = true;
            return ERR_OK;
        }
        if (q->kind == PLAN_NEW)
            return plan_second(s, i, allow_fork);
    }
    feed_tree *f = feed_find(s, p->row.feed);
    err_t e = find_held(s, f, p);
    if (e == ERR_OK)
        p->before = 0;
    return e == ERR_NOT_FOUND ? plan_after_held(s, f, i, allow_fork) : e;
}

static err_t check_idem(const append_request *req)
{
    idem_row row;
    for (msg_list list = req->idem; list_take(&idem_row_desc, &list, &row);)
        if (row.key.len == 0 || row.key.len > IDEM_KEY_MAX_BYTES || row.count > req->rows.n ||
            row.first > req->rows.n - row.count)
            return ERR_INVALID;
    return ERR_OK;
}

static err_t plan_all(store_core *s, const append_request *req)
{
    s->n_plan = 0;
    s->serial++;
    TRY(check_idem(req));
    for (msg_list list = req->rows;;) {
        if (s->n_plan == BATCH_MAX_EVENTS)
            return list.n == 0 ? ERR_OK : ERR_TOO_LARGE;
        plan_row *p = &s->plan[s->n_plan];
        *p = (plan_row){.kind = PLAN_NEW};
        if (!list_take(&append_row_desc, &list, &p->row))
            return ERR_OK;
        s->plan_rest = list;
        TRY(plan_one(s, s->n_plan, req->allow_fork));
        s->n_plan++;
    }
}

/* ---- applying ---- */

typedef struct {
    wall_ms now;
    category_writer category;
    run_noter run;
} applying;

/* Finds or makes the branch that p extends; sets p->branch and p->parent. */
static err_t place_new(store_core *s, feed_tree *f, plan_row *p)
{
    if (p->before != 0) {
        p->branch = s->plan[p->before - 1].branch;
        p->parent = s->plan[p->before - 1].offset;
    }
    if (!p->fork)
        return ERR_OK;
    branch *b = feed_add_branch(f);
    if (b == NULL)
        return ERR_NO_MEMORY;
    b->parent = p->row.seq == 1 ? NO_BRANCH : p->branch;
    b->fork_seq = p->row.seq - 1;
    p->branch = f->n - 1;
    if (p->row.seq > 1)
        return ERR_OK;
    b->start = p->row.prev;
    return start_write(s, s->st.head + 1, &b->start);
}

/* Erasures, and what came without its tail, are found again without a walk over the log. */
static err_t index_special(store_core *s, const plan_row *p)
{
    if (p->erasure)
        TRY(index_row(s, ERASURES, p->offset));
    return (p->row.flags & ROW_ERASED) != 0 ? index_row(s, TAILLESS, p->offset) : ERR_OK;
}

static err_t apply_new(store_core *s, applying *a, plan_row *p)
{
    feed_tree *f = feed_make_entry(s, p->row.feed);
    if (f == NULL)
        return ERR_NO_MEMORY;
    TRY(place_new(s, f, p));
    p->offset = s->st.head + 1;
    stored_row row = {
        .offset = p->offset,
        .feed = p->row.feed,
        .seq = p->row.seq,
        .parent = p->parent,
        .received_ms = a->now.ms,
        .flags = p->row.flags,
        .id = p->row.id,
        .seal = p->row.seal,
        .body = p->row.body,
    };
    if (p->stream.len != 0) {
        TRY(stream_push(s, s->txn, p->category, p->stream, row.offset, &row.position));
        TRY(category_add(s, &a->category, p->category, row.offset));
    }
    TRY(row_put(s, &row, true));
    s->st.head = row.offset;
    s->group_rows++;
    TRY(index_special(s, p));
    branch_extend(s, f, &f->branches[p->branch], &row);
    extent event = {row.seq, 1, row.offset, p->branch};
    return run_note(s, &a->run, row.feed, &event);
}

static err_t apply_mend(store_core *s, applying *a, const plan_row *p)
{
    feed_tree *f = feed_find(s, p->row.feed);
    stored_row row = {
        .offset = p->offset,
        .feed = p->row.feed,
        .seq = p->row.seq,
        .received_ms = a->now.ms,
        .flags = p->row.flags,
        .id = p->row.id,
        .seal = p->row.seal,
        .body = p->row.body,
    };
    if (row.seq > 1)
        TRY(feed_offset(s, s->txn, f, p->branch, row.seq - 1, &row.parent));
    if (p->stream.len != 0) {
        err_t e = stream_position(s, s->txn, p->category, p->stream, row.offset, &row.position);
        if (e == ERR_NOT_FOUND) {
            e = stream_push(s, s->txn, p->category, p->stream, row.offset, &row.position);
            if (e == ERR_OK)
                e = category_add(s, &a->category, p->category, row.offset);
        }
        TRY(e);
    }
    TRY(erase_mended(s, &row));
    TRY(index_special(s, p));
    TRY(row_put(s, &row, false));
    TRY(damage_clear(s, row.offset));
    spot at = {row.seq, row.offset, row.id};
    TRY(branch_judge(s, f, p->branch, &at, (row.flags & ROW_COUNTS) != 0));
    TRY(feed_refresh(s, s->txn, f));
    return row_announce(s, &row, a->now);
}

/* A whole copy of an event whose tail is missing here. */
static err_t heal_held(store_core *s, const plan_row *p, wall_ms now)
{
    row_read r;
    if ((p->row.flags & ROW_ERASED) != 0)
        return ERR_OK;
    TRY(row_get(s, s->txn, p->offset, &r));
    if (r.damaged || (r.row.flags & (ROW_ERASED | ROW_HIDDEN)) != ROW_ERASED)
        return ERR_OK;
    TRY(row_keep(s, &r));
    return erase_heal(s, &r.row, &p->row, now);
}

static err_t apply_held(store_core *s, plan_row *p, wall_ms now)
{
    if (p->before != 0) {
        p->offset = s->plan[p->before - 1].offset;
        p->branch = s->plan[p->before - 1].branch;
    }
    TRY(heal_held(s, p, now));
    if (p->row.seal.len == 0)
        return ERR_OK;
    return seal_add(s, feed_find(s, p->row.feed), p->branch, p->offset, p->row.seal);
}

static err_t apply_one(store_core *s, applying *a, plan_row *p)
{
    if (p->kind == PLAN_NEW)
        return apply_new(s, a, p);
    TRY(run_flush(s, &a->run)); /* they may ask the indexes about rows of this append */
    return p->kind == PLAN_MEND ? apply_mend(s, a, p) : apply_held(s, p, a->now);
}

static err_t apply_idem(store_core *s, const append_request *req, wall_ms now)
{
    idem_row row;
    for (msg_list list = req->idem; list_take(&idem_row_desc, &list, &row);) {
        store_key key = {.len = row.key.len};
        memcpy(key.b, row.key.p, row.key.len);
        buf_clear(&s->row);
        put_varint(&s->row, now.ms);
        put_varint(&s->row, row.count);
        for (uint32_t i = 0; i < row.count; i++)
            put_varint(&s->row, s->plan[row.first + i].offset);
        TRY(s->row.err);
        TRY(table_put(s->txn, KV_IDEM, &key, buf_view(&s->row), &s->scratch));
    }
    return ERR_OK;
}

static err_t refresh_forked(store_core *s)
{
    const feed_tree *last = NULL;
    for (uint32_t i = 0; i < s->n_plan; i++) {
        feed_tree *f = feed_find(s, s->plan[i].row.feed);
        if (f != NULL && f != last && f->n > 1)
            TRY(feed_refresh(s, s->txn, f));
        last = f;
    }
    return ERR_OK;
}

static void keep_clock(store_core *s, const append_request *req)
{
    hlc_stamp given = {req->clock_wall_ms, req->clock_counter};
    hlc_stamp held = {s->st.clock_wall_ms, s->st.clock_counter};
    if (given.wall_ms == 0 || hlc_cmp(given, held) <= 0)
        return; /* the clock never goes back */
    s->st.clock_wall_ms = given.wall_ms;
    s->st.clock_counter = given.counter;
}

/* What the rows soon after row i will look for is on its way while row i is applied. */
static void foresee(store_core *s, uint32_t i)
{
    static const uint32_t ahead[LAG_STAGES] = {12, 8, 4};
    for (unsigned stage = 0; stage < LAG_STAGES; stage++)
        if (i + ahead[stage] < s->n_plan)
            stream_foresee(s, s->plan[i + ahead[stage]].stream_hash, stage);
}

static err_t apply_all(store_core *s, const append_request *req, wall_ms now)
{
    applying a = {.now = now};
    for (uint32_t i = 0; i < s->n_plan; i++) {
        foresee(s, i);
        TRY(apply_one(s, &a, &s->plan[i]));
    }
    TRY(run_flush(s, &a.run));
    TRY(category_flush(s, &a.category));
    TRY(apply_idem(s, req, now));
    TRY(refresh_forked(s));
    keep_clock(s, req);
    return ERR_OK;
}

err_t store_append(store_core *s, const append_request *req, wall_ms now, append_reply *out)
{
    assert(s->txn != NULL);
    *out = (append_reply){0};
    TRY(s->group);
    TRY(plan_all(s, req));
    err_t e = apply_all(s, req, now);
    if (e != ERR_OK)
        return group_fail(s, e);
    for (uint32_t i = 0; i < s->n_plan; i++) {
        const plan_row *p = &s->plan[i];
        bool fresh = p->kind == PLAN_NEW;
        if (fresh && out->appended == 0)
            out->first_offset = p->offset;
        out->appended += fresh;
        out->duplicates += !fresh;
    }
    if (out->appended == 0 && s->n_plan != 0)
        out->first_offset = s->plan[0].offset;
    return ERR_OK;
}
