#include "store/store_core_impl.h"

#include "pure/run.h"

static const event_id no_id;

/* The way a run takes: from after_seq along branch `to`, at least to a seal at or beyond tip_seq. */
typedef struct {
    const feed_tree *f;
    uint32_t to;
    uint64_t after_seq, tip_seq;
    event_id previous;
    uint32_t max_bytes;
} run_way;

/* The seal that covers the tip may lie beyond it, on its own branch or on one that forked later. */
static uint32_t sealed_way(const feed_tree *f, uint32_t b, uint64_t tip_seq)
{
    if (f->branches[b].sealed_seq >= tip_seq)
        return b;
    for (uint32_t c = b + 1; c < f->n; c++)
        if (f->branches[c].sealed_seq > tip_seq && branch_at(f, c, tip_seq) == b)
            return c;
    return b;
}

static err_t find_tip(store_core *s, kv_txn *txn, const run_request *req, run_way *way)
{
    uint32_t b = 0;
    uint64_t offset;
    feed_tree *f = feed_find(s, req->feed);
    if (f == NULL || f->n == 0)
        return ERR_NOT_FOUND;
    if (!event_id_eq(&req->tip_id, &no_id))
        TRY(feed_event(s, txn, f, req->tip_seq, &req->tip_id, &b, &offset));
    else if (f->n != 1 || req->tip_seq > f->max_seq)
        return ERR_NOT_FOUND;
    *way = (run_way){.f = f,
                     .to = sealed_way(f, b, req->tip_seq),
                     .after_seq = req->after_seq,
                     .tip_seq = req->tip_seq,
                     .max_bytes = req->max_bytes};
    return ERR_OK;
}

static err_t find_previous(store_core *s, kv_txn *txn, const run_request *req, run_way *way)
{
    uint64_t offset;
    row_read r;
    bool any = event_id_eq(&req->after_id, &no_id);
    if (way->after_seq > way->tip_seq)
        return ERR_NOT_FOUND;
    if (way->after_seq == 0) {
        way->previous = way->f->branches[branch_at(way->f, way->to, 1)].start;
        bool known = !event_id_eq(&way->previous, &no_id);
        return any || !known || event_id_eq(&way->previous, &req->after_id) ? ERR_OK
                                                                            : ERR_NOT_FOUND;
    }
    TRY(feed_offset(s, txn, way->f, way->to, way->after_seq, &offset));
    TRY(row_get(s, txn, offset, &r));
    if (r.damaged)
        return ERR_DAMAGED;
    way->previous = r.row.id;
    return any || event_id_eq(&way->previous, &req->after_id) ? ERR_OK : ERR_NOT_FOUND;
}

/* What is handed on of a row: nothing hidden. May use s->list. */
static err_t data_of(store_core *s, const stored_row *row, bytes *data, bool *erased)
{
    *erased = (row->flags & (ROW_ERASED | ROW_HIDDEN)) != 0;
    *data = row->body;
    if ((row->flags & (ROW_ERASED | ROW_HIDDEN)) == ROW_HIDDEN) {
        TRY(erased_form(row->body, &s->list));
        *data = buf_view(&s->list);
    }
    return ERR_OK;
}

/* Adds events until the first seal at or beyond the tip, or until the size is reached; *more then. */
static err_t add_events(store_core *s, row_walk *rows, const run_way *way, run_writer *w,
                        bool *more)
{
    row_read r;
    bytes data;
    bool erased;
    uint64_t offset;
    uint64_t end = way->f->branches[way->to].tip.seq;
    *more = false;
    for (uint64_t seq = way->after_seq + 1; seq <= end; seq++) {
        TRY(feed_offset(s, rows->txn, way->f, way->to, seq, &offset));
        TRY(row_walk_find(s, rows, offset, &r));
        TRY(row_decode(&r));
        bool sealed = r.row.seal.len == SEAL_BYTES;
        TRY(data_of(s, &r.row, &data, &erased));
        size_t size = 4 + data.len + r.row.seal.len;
        *more = w->sealed_count > 0;
        if (*more && (r.damaged || s->out.len + size > way->max_bytes))
            return ERR_OK;
        if (r.damaged)
            return ERR_DAMAGED;
        err_t e =
            run_add(w, data, erased, sealed ? (const seal_sig *)(const void *)r.row.seal.p : NULL);
        if (e == ERR_TOO_LARGE)
            return ERR_OK;
        TRY(e);
        *more = false;
        if (sealed && seq >= way->tip_seq)
            return ERR_OK;
    }
    return ERR_OK;
}

static err_t make_run(store_core *s, kv_txn *txn, const run_request *req, run_reply *out)
{
    run_way way;
    run_writer w;
    uint32_t count;
    TRY(find_tip(s, txn, req, &way));
    TRY(find_previous(s, txn, req, &way));
    if (way.after_seq == way.tip_seq)
        return ERR_OK;
    TRY(run_begin(&w, &s->out, req->feed, way.after_seq + 1, &way.previous));
    row_walk rows = row_walk_begin(txn);
    err_t e = add_events(s, &rows, &way, &w, &out->more);
    row_walk_end(&rows);
    TRY(e);
    e = run_end(&w, &count);
    if (e == ERR_UNSEALED) { /* nothing beyond `after` is sealed yet */
        out->more = false;
        return ERR_OK;
    }
    out->run = buf_view(&s->out);
    return e;
}

err_t store_run(store_core *s, const run_request *req, run_reply *out)
{
    kv_txn *txn;
    *out = (run_reply){0};
    TRY(read_begin(s, &txn));
    buf_clear(&s->out);
    err_t e = make_run(s, txn, req, out);
    kv_abort(txn);
    return e;
}
