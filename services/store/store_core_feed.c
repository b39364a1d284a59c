/* A feed is a tree of branches; nearly always it has one. */
#include "store/store_core_impl.h"

#include <stdlib.h>

/* ---- the table of feeds ---- */

static size_t feed_slot(const store_core *s, feed_id id)
{
    size_t lo = 0, hi = s->n_feeds;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->feeds[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

feed_tree *feed_find(store_core *s, feed_id id)
{
    if (s->last_feed >= s->n_feeds || s->feeds[s->last_feed]->id != id)
        s->last_feed = feed_slot(s, id);
    feed_tree *f = s->last_feed < s->n_feeds ? s->feeds[s->last_feed] : NULL;
    return f != NULL && f->id == id ? f : NULL;
}

static bool grow_feeds(store_core *s)
{
    size_t cap = s->cap_feeds != 0 ? s->cap_feeds * 2 : 16;
    feed_tree **feeds = realloc(s->feeds, cap * sizeof(feed_tree *));
    if (feeds == NULL)
        return false;
    s->feeds = feeds;
    feed_tree **dirty = realloc(s->dirty, cap * sizeof(feed_tree *));
    if (dirty == NULL)
        return false;
    s->dirty = dirty;
    s->cap_feeds = cap;
    return true;
}

feed_tree *feed_make_entry(store_core *s, feed_id id)
{
    feed_tree *f = feed_find(s, id);
    if (f != NULL)
        return f;
    if (s->n_feeds == s->cap_feeds && !grow_feeds(s))
        return NULL;
    f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->id = id;
    size_t at = feed_slot(s, id);
    memmove(s->feeds + at + 1, s->feeds + at, (s->n_feeds - at) * sizeof(feed_tree *));
    s->feeds[at] = f;
    s->n_feeds++;
    return f;
}

branch *feed_add_branch(feed_tree *f)
{
    if (f->n == f->cap) {
        uint32_t cap = f->cap != 0 ? f->cap * 2 : 1;
        branch *grown = realloc(f->branches, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        f->branches = grown;
        f->cap = cap;
    }
    f->branches[f->n] = (branch){.parent = NO_BRANCH};
    return &f->branches[f->n++];
}

void feeds_release(store_core *s)
{
    for (size_t i = 0; i < s->n_feeds; i++) {
        free(s->feeds[i]->branches);
        free(s->feeds[i]);
    }
    free(s->feeds);
    free(s->dirty);
    s->feeds = s->dirty = NULL;
    s->n_feeds = s->cap_feeds = s->n_dirty = 0;
}

void feed_touch(store_core *s, feed_tree *f)
{
    if (!f->dirty)
        s->dirty[s->n_dirty++] = f;
    f->dirty = true;
}

/* ---- the head table ---- */

static void put_place(buf *b, const spot *p)
{
    buf_add_u64be(b, p->seq);
    buf_add_u64be(b, p->offset);
    buf_add(b, p->id.b, sizeof p->id.b);
}

static spot take_place(bytes *in)
{
    spot p = {.seq = take_u64(in)};
    p.offset = take_u64(in);
    take_fixed(in, p.id.b, sizeof p.id.b);
    return p;
}

static err_t write_branch(store_core *s, feed_id id, uint32_t no, const branch *b)
{
    store_key key;
    key_branch(&key, id, no);
    buf_clear(&s->row);
    buf_add_u32be(&s->row, b->parent);
    buf_add_u64be(&s->row, b->fork_seq);
    buf_add_u64be(&s->row, b->sealed_seq);
    buf_add(&s->row, b->start.b, sizeof b->start.b);
    put_place(&s->row, &b->tip);
    put_place(&s->row, &b->counting);
    put_place(&s->row, &b->under_seal);
    TRY(s->row.err);
    return table_put(s->txn, KV_HEAD, &key, buf_view(&s->row), &s->scratch);
}

err_t feeds_write(store_core *s)
{
    for (size_t i = 0; i < s->n_dirty; i++) {
        feed_tree *f = s->dirty[i];
        for (uint32_t k = 0; k < f->n; k++) {
            if (f->branches[k].dirty)
                TRY(write_branch(s, f->id, k, &f->branches[k]));
            f->branches[k].dirty = false;
        }
        f->dirty = false;
    }
    s->n_dirty = 0;
    return ERR_OK;
}

static err_t load_branch(store_core *s, bytes key, bytes in)
{
    if (key.len != 8)
        return ERR_DAMAGED;
    feed_tree *f = feed_make_entry(s, get_u32be(key.p));
    branch *b = f != NULL ? feed_add_branch(f) : NULL;
    if (b == NULL)
        return ERR_NO_MEMORY;
    b->parent = take_u32(&in);
    b->fork_seq = take_u64(&in);
    b->sealed_seq = take_u64(&in);
    take_fixed(&in, b->start.b, sizeof b->start.b);
    b->tip = take_place(&in);
    b->counting = take_place(&in);
    b->under_seal = take_place(&in);
    if (b->tip.seq > f->max_seq)
        f->max_seq = b->tip.seq;
    bool in_order = get_u32be(key.p + 4) == f->n - 1;
    bool linked = b->parent == NO_BRANCH || b->parent < f->n - 1;
    return in_order && linked && b->tip.seq > b->fork_seq ? ERR_OK : ERR_DAMAGED;
}

static void cover_feed(feed_tree *f);

static err_t load_all(store_core *s, kv_txn *txn)
{
    kv_cursor c;
    bytes content;
    err_t e = kv_first(txn, KV_HEAD, bytes_of(NULL, 0), &c);
    for (; e == ERR_OK; e = e == ERR_OK ? kv_next(&c) : e) {
        e = sum_open(KV_HEAD, c.key, c.value, &content);
        if (e == ERR_OK)
            e = load_branch(s, c.key, content);
    }
    kv_done(&c);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

err_t feeds_load(store_core *s, kv_txn *txn)
{
    feeds_release(s);
    err_t e = load_all(s, txn);
    for (size_t i = 0; i < s->n_feeds && e == ERR_OK; i++)
        cover_feed(s->feeds[i]);
    return e;
}

/* ---- the feed index ---- */

static extent *add_extent(extents *list)
{
    if (list->n == list->cap) {
        size_t cap = list->cap != 0 ? list->cap * 2 : 16;
        extent *grown = realloc(list->p, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        list->p = grown;
        list->cap = cap;
    }
    return &list->p[list->n++];
}

err_t block_parse(bytes in, feed_id id, uint64_t block, extents *out)
{
    out->n = 0;
    out->valid = false;
    while (in.len != 0) {
        extent x = {.seq = block * FEED_BLOCK + take_varint(&in)};
        x.n = take_varint(&in) + 1;
        x.branch = (uint32_t)take_varint(&in);
        x.offset = take_varint(&in);
        if (x.offset == 0 || x.n > FEED_BLOCK)
            return ERR_DAMAGED;
        extent *slot = add_extent(out);
        if (slot == NULL)
            return ERR_NO_MEMORY;
        *slot = x;
    }
    out->valid = true;
    out->feed = id;
    out->block = block;
    return ERR_OK;
}

err_t block_load(store_core *s, kv_txn *txn, feed_id id, uint64_t block)
{
    store_key key;
    bytes content = bytes_of(NULL, 0);
    if (s->block.valid && s->block.feed == id && s->block.block == block)
        return ERR_OK;
    key_feed_block(&key, id, block);
    err_t e = table_get(txn, KV_FEED, &key, &content);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = block_parse(content, id, block, &s->block);
    if (e == ERR_DAMAGED)
        s->index_bad = true;
    return e;
}

static err_t block_write(store_core *s)
{
    store_key key;
    const extents *list = &s->block;
    key_feed_block(&key, list->feed, list->block);
    buf_clear(&s->row);
    for (size_t i = 0; i < list->n; i++) {
        put_varint(&s->row, list->p[i].seq - list->block * FEED_BLOCK);
        put_varint(&s->row, list->p[i].n - 1);
        put_varint(&s->row, list->p[i].branch);
        put_varint(&s->row, list->p[i].offset);
    }
    TRY(s->row.err);
    return table_put(s->txn, KV_FEED, &key, buf_view(&s->row), &s->scratch);
}

static err_t block_add_part(store_core *s, feed_id id, const extent *x)
{
    TRY(block_load(s, s->txn, id, x->seq / FEED_BLOCK));
    extent *last = s->block.n != 0 ? &s->block.p[s->block.n - 1] : NULL;
    if (last != NULL && last->branch == x->branch && last->seq + last->n == x->seq &&
        last->offset + last->n == x->offset) {
        last->n += x->n;
    } else {
        extent *slot = add_extent(&s->block);
        if (slot == NULL)
            return ERR_NO_MEMORY;
        *slot = *x;
    }
    return block_write(s);
}

err_t block_add(store_core *s, feed_id id, uint32_t branch_no, uint64_t seq, uint64_t n,
                uint64_t offset)
{
    while (n > 0) {
        uint64_t room = FEED_BLOCK - seq % FEED_BLOCK, part = n < room ? n : room;
        extent x = {seq, part, offset, branch_no};
        TRY(block_add_part(s, id, &x));
        seq += part;
        offset += part;
        n -= part;
    }
    return ERR_OK;
}

err_t run_flush(store_core *s, run_noter *w)
{
    uint64_t n = w->run.n;
    w->run.n = 0;
    return n == 0 ? ERR_OK : block_add(s, w->feed, w->run.branch, w->run.seq, n, w->run.offset);
}

err_t run_note(store_core *s, run_noter *w, feed_id id, const extent *event)
{
    const extent *r = &w->run;
    if (r->n != 0 && w->feed == id && r->branch == event->branch && r->seq + r->n == event->seq &&
        r->offset + r->n == event->offset) {
        w->run.n += event->n;
        return ERR_OK;
    }
    TRY(run_flush(s, w));
    w->run = *event;
    w->feed = id;
    return ERR_OK;
}

err_t start_write(store_core *s, uint64_t offset, const event_id *start)
{
    store_key key;
    key_note(&key, "start/", offset);
    return table_put(s->txn, KV_META, &key, bytes_of(start->b, sizeof start->b), &s->scratch);
}

event_id start_read(kv_txn *txn, uint64_t offset)
{
    store_key key;
    bytes content;
    event_id start = {0};
    key_note(&key, "start/", offset);
    if (table_get(txn, KV_META, &key, &content) == ERR_OK)
        take_fixed(&content, start.b, sizeof start.b);
    return start;
}

uint32_t branch_at(const feed_tree *f, uint32_t b, uint64_t seq)
{
    while (seq <= f->branches[b].fork_seq && f->branches[b].parent != NO_BRANCH)
        b = f->branches[b].parent;
    return b;
}

err_t feed_offset(store_core *s, kv_txn *txn, const feed_tree *f, uint32_t b, uint64_t seq,
                  uint64_t *offset)
{
    if (seq == 0 || seq > f->branches[b].tip.seq)
        return ERR_NOT_FOUND;
    b = branch_at(f, b, seq);
    TRY(block_load(s, txn, f->id, seq / FEED_BLOCK));
    for (size_t i = s->block.n; i-- > 0;) {
        const extent *x = &s->block.p[i];
        if (x->branch == b && seq - x->seq < x->n) {
            *offset = x->offset + (seq - x->seq);
            return ERR_OK;
        }
    }
    if (seq <= f->branches[b].fork_seq)
        return ERR_NOT_FOUND; /* a rebuild found it behind damage: what comes before is lost */
    s->index_bad = true;
    return ERR_DAMAGED;
}

err_t branch_of(store_core *s, kv_txn *txn, feed_id id, uint64_t seq, uint64_t offset,
                uint32_t *branch_no)
{
    TRY(block_load(s, txn, id, seq / FEED_BLOCK));
    for (size_t i = 0; i < s->block.n; i++) {
        const extent *x = &s->block.p[i];
        if (seq - x->seq < x->n && x->offset + (seq - x->seq) == offset) {
            *branch_no = x->branch;
            return ERR_OK;
        }
    }
    s->index_bad = true;
    return ERR_DAMAGED;
}

static err_t search_block(store_core *s, kv_txn *txn, uint64_t seq, const event_id *id,
                          uint32_t *branch_no, uint64_t *offset)
{
    row_read r;
    for (size_t i = 0; i < s->block.n; i++) {
        extent x = s->block.p[i];
        if (seq - x.seq >= x.n)
            continue;
        *branch_no = x.branch;
        *offset = x.offset + (seq - x.seq);
        TRY(row_get(s, txn, *offset, &r));
        if (!r.damaged && event_id_eq(&r.row.id, id))
            return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

err_t feed_event(store_core *s, kv_txn *txn, feed_tree *f, uint64_t seq, const event_id *id,
                 uint32_t *branch_no, uint64_t *offset)
{
    if (f == NULL || seq > f->max_seq)
        return ERR_NOT_FOUND;
    for (uint32_t i = f->n; i-- > 0;)
        if (f->branches[i].tip.seq == seq && event_id_eq(&f->branches[i].tip.id, id)) {
            *branch_no = i;
            *offset = f->branches[i].tip.offset;
            return ERR_OK;
        }
    TRY(block_load(s, txn, f->id, seq / FEED_BLOCK));
    return search_block(s, txn, seq, id, branch_no, offset);
}

/* ---- what counts and what lies under a seal ---- */

void branch_extend(store_core *s, feed_tree *f, branch *b, const stored_row *row)
{
    b->tip = (spot){row->seq, row->offset, row->id};
    if (row->seq > f->max_seq)
        f->max_seq = row->seq;
    if ((row->flags & ROW_COUNTS) != 0)
        b->counting = b->tip;
    if (row->seal.len != 0) {
        b->sealed_seq = b->covered = row->seq;
        b->under_seal = b->counting;
    }
    b->dirty = true;
    feed_touch(s, f);
}

/* A seal vouches for all before it, so one on a branch covers its parent up to the fork. */
static void cover_feed(feed_tree *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        f->branches[i].covered = f->branches[i].sealed_seq;
        f->branches[i].entry_below = 0;
    }
    for (uint32_t i = f->n; i-- > 0;) {
        const branch *b = &f->branches[i];
        if (b->parent == NO_BRANCH)
            continue;
        branch *up = &f->branches[b->parent];
        if (b->covered != 0 && b->fork_seq > up->covered)
            up->covered = b->fork_seq;
        if ((b->under_seal.seq != 0 || b->entry_below != 0) && b->fork_seq > up->entry_below)
            up->entry_below = b->fork_seq;
    }
}

err_t branch_find_counting(store_core *s, kv_txn *txn, const feed_tree *f, uint32_t b,
                           uint64_t from, spot *out)
{
    row_read r;
    *out = (spot){0};
    for (uint64_t seq = from; seq > f->branches[b].fork_seq; seq--) {
        uint64_t offset;
        TRY(feed_offset(s, txn, f, b, seq, &offset));
        TRY(row_get(s, txn, offset, &r));
        if (r.damaged || (r.row.flags & ROW_COUNTS) == 0)
            continue;
        *out = (spot){seq, offset, r.row.id};
        return ERR_OK;
    }
    return ERR_OK;
}

err_t feed_refresh(store_core *s, kv_txn *txn, feed_tree *f)
{
    cover_feed(f);
    for (uint32_t i = 0; i < f->n; i++) {
        branch *b = &f->branches[i];
        spot found = {0};
        if (b->covered != 0 && b->counting.seq <= b->covered)
            found = b->counting;
        else if (b->covered != 0)
            TRY(branch_find_counting(s, txn, f, i, b->covered, &found));
        if (found.seq == b->under_seal.seq && event_id_eq(&found.id, &b->under_seal.id))
            continue;
        b->under_seal = found;
        b->dirty = true;
        feed_touch(s, f);
    }
    cover_feed(f);
    return ERR_OK;
}

bool branch_is_frontier(const branch *b)
{
    return b->under_seal.seq != 0 && b->entry_below < b->under_seal.seq;
}
