#include "store/store_core_impl.h"

#include <assert.h>

err_t branch_judge(store_core *s, feed_tree *f, uint32_t branch_no, const spot *at, bool counts)
{
    branch *b = &f->branches[branch_no];
    if (counts && at->seq > b->counting.seq)
        b->counting = *at;
    else if (!counts && at->offset == b->counting.offset)
        TRY(branch_find_counting(s, s->txn, f, branch_no, at->seq - 1, &b->counting));
    else
        return ERR_OK;
    b->dirty = true;
    feed_touch(s, f);
    return ERR_OK;
}

/* ---- verdicts ---- */

err_t event_at(store_core *s, uint64_t offset, row_read *r)
{
    if (offset == 0 || offset > s->st.head)
        return ERR_NOT_FOUND;
    TRY(row_get(s, s->txn, offset, r));
    return (r->row.flags & ROW_CHANGED) != 0 ? ERR_NOT_FOUND : ERR_OK;
}

static err_t judge_row(store_core *s, row_read *r, bool counts, wall_ms now)
{
    uint32_t no;
    feed_tree *f = feed_find(s, r->row.feed);
    TRY(branch_of(s, s->txn, r->row.feed, r->row.seq, r->row.offset, &no));
    TRY(row_keep(s, r));
    r->row.flags ^= ROW_COUNTS; /* it is the other one, see apply_verdicts */
    TRY(row_put(s, &r->row, false));
    TRY(row_announce(s, &r->row, now));
    spot at = {r->row.seq, r->row.offset, r->row.id};
    return branch_judge(s, f, no, &at, counts);
}

static err_t apply_verdicts(store_core *s, const verdict_request *req, wall_ms now)
{
    verdict_row v;
    row_read r;
    feed_tree *last = NULL;
    for (msg_list list = req->verdicts; list_take(&verdict_row_desc, &list, &v);) {
        TRY(event_at(s, v.offset, &r));
        bool counts = (r.row.flags & ROW_COUNTS) != 0;
        if (r.damaged || counts == v.counts)
            continue; /* a damaged row gets its verdict with its good copy */
        feed_tree *f = feed_find(s, r.row.feed);
        if (f != last && last != NULL)
            TRY(feed_refresh(s, s->txn, last));
        last = f;
        TRY(judge_row(s, &r, v.counts, now));
    }
    return last != NULL ? feed_refresh(s, s->txn, last) : ERR_OK;
}

err_t store_verdicts(store_core *s, const verdict_request *req, wall_ms now)
{
    verdict_row v;
    row_read r;
    assert(s->txn != NULL);
    TRY(s->group);
    for (msg_list list = req->verdicts; list_take(&verdict_row_desc, &list, &v);)
        TRY(event_at(s, v.offset, &r));
    err_t e = apply_verdicts(s, req, now);
    return e == ERR_OK ? ERR_OK : group_fail(s, e);
}

/* ---- seals ---- */

err_t seal_add(store_core *s, feed_tree *f, uint32_t branch_no, uint64_t offset, bytes seal)
{
    row_read r;
    TRY(row_get(s, s->txn, offset, &r));
    if (r.damaged || r.row.seal.len != 0)
        return ERR_OK;
    TRY(row_keep(s, &r));
    r.row.seal = seal;
    TRY(row_put(s, &r.row, false));
    branch *b = &f->branches[branch_no];
    if (r.row.seq > b->sealed_seq)
        b->sealed_seq = r.row.seq;
    b->dirty = true;
    feed_touch(s, f);
    return feed_refresh(s, s->txn, f);
}

err_t store_seal(store_core *s, const seal_request *req)
{
    uint32_t no;
    uint64_t offset;
    row_read r;
    assert(s->txn != NULL);
    TRY(s->group);
    feed_tree *f = feed_find(s, req->feed);
    TRY(feed_event(s, s->txn, f, req->seq, &req->id, &no, &offset));
    TRY(row_get(s, s->txn, offset, &r));
    if (r.damaged)
        return ERR_DAMAGED;
    err_t e = seal_add(s, f, no, offset, bytes_of(req->seal.b, sizeof req->seal.b));
    return e == ERR_OK ? ERR_OK : group_fail(s, e);
}
