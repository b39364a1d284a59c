/* The background scrub, and building the indexes anew when one of them does not hold. The log is the
 * truth: all indexes follow from it, but for the start ids, which "meta" keeps. */
#include "store/store_core_impl.h"

#include "pure/chain.h"

#include <assert.h>

#define REBUILD_ROWS 16384u /* in one transaction */

/* ---- scrub ---- */

/* The row that was checked last: mostly the parent of the next. */
typedef struct {
    uint64_t offset;
    event_id id;
} scrub_last;

static err_t previous_id(store_core *s, kv_txn *txn, const stored_row *row, const scrub_last *last,
                         event_id *out, bool *known)
{
    uint32_t b;
    row_read parent;
    *known = true;
    if (row->parent != 0 && row->parent == last->offset) {
        *out = last->id;
        return ERR_OK;
    }
    if (row->parent != 0) {
        TRY(row_get(s, txn, row->parent, &parent));
        *out = parent.row.id;
        *known = !parent.damaged;
        return ERR_OK;
    }
    const feed_tree *f = feed_find(s, row->feed);
    TRY(branch_of(s, txn, row->feed, row->seq, row->offset, &b));
    *out = f->branches[b].start;
    static const event_id none;
    *known = !event_id_eq(out, &none);
    return ERR_OK;
}

static err_t check_chain(store_core *s, kv_txn *txn, const stored_row *row, const scrub_last *last)
{
    event_id previous, id;
    event_view v;
    bool known;
    TRY(previous_id(s, txn, row, last, &previous, &known));
    err_t e = (row->flags & ROW_ERASED) != 0 ? event_parse_erased(row->body, &v)
                                             : event_parse(row->body, &v);
    if (e == ERR_OK)
        chain_next_event(&id, &previous, row->seq, &v);
    if (e != ERR_OK || (known && !event_id_eq(&id, &row->id)))
        damage_note(s, txn, row->offset, DAMAGE_CHAIN);
    return ERR_OK;
}

static err_t check_indexes(store_core *s, kv_txn *txn, const stored_row *row)
{
    uint32_t b;
    bytes category, stream, bits;
    store_key key;
    uint64_t offset = 0;
    size_t n = 0;
    TRY(branch_of(s, txn, row->feed, row->seq, row->offset, &b));
    if ((row->flags & ROW_OPAQUE) != 0 || !row_names(row->body, &category, &stream))
        return ERR_OK;
    key_stream(&key, category, stream);
    TRY(stream_offsets(s, txn, &key, row->position, &offset, 1, &n));
    key_category(&key, category, row->offset / CATEGORY_BLOCK);
    err_t e = table_get(txn, KV_CATEGORY, &key, &bits);
    unsigned bit = (unsigned)(row->offset % CATEGORY_BLOCK);
    bool noted = e == ERR_OK && bits.len == CATEGORY_BLOCK / 8 && (bits.p[bit / 8] >> bit % 8 & 1);
    if (n != 1 || offset != row->offset || !noted) {
        s->index_bad = true;
        return ERR_DAMAGED;
    }
    return ERR_OK;
}

static err_t scrub_one(store_core *s, kv_txn *txn, uint64_t offset, scrub_last *last)
{
    row_read r;
    TRY(row_get(s, txn, offset, &r));
    if (r.damaged || (r.row.flags & ROW_CHANGED) != 0)
        return ERR_OK;
    TRY(check_chain(s, txn, &r.row, last));
    if (s->n_damage == 0 || damage_find(s, offset) == NULL) /* else its id proves nothing */
        *last = (scrub_last){r.row.offset, r.row.id};
    return check_indexes(s, txn, &r.row);
}

/* ---- old idempotency keys ---- */

/* Looks at `rows` keys from s->idem_seen on; the old ones go into s->list, each after its length. */
static err_t find_old_keys(store_core *s, uint32_t rows, wall_ms now)
{
    kv_txn *txn;
    kv_cursor c;
    bytes content;
    buf_clear(&s->list);
    TRY(read_begin(s, &txn));
    err_t e = kv_first(txn, KV_IDEM, key_view(&s->idem_seen), &c);
    for (; e == ERR_OK && rows > 0; rows--) {
        bool good = sum_open(KV_IDEM, c.key, c.value, &content) == ERR_OK;
        if (!good || take_varint(&content) + IDEM_KEEP_MS < now.ms) {
            buf_add_u8(&s->list, (uint8_t)c.key.len);
            buf_add_bytes(&s->list, c.key);
        }
        memcpy(s->idem_seen.b, c.key.p, c.key.len);
        s->idem_seen.len = c.key.len;
        e = kv_next(&c);
    }
    kv_done(&c);
    kv_abort(txn);
    if (e == ERR_NOT_FOUND)
        s->idem_seen.len = 0; /* from the start again */
    return e == ERR_OK || e == ERR_NOT_FOUND ? s->list.err : e;
}

static err_t drop_old_keys(store_core *s, uint32_t rows, wall_ms now)
{
    TRY(find_old_keys(s, rows, now));
    if (s->list.len == 0)
        return ERR_OK;
    TRY(store_begin(s));
    for (size_t at = 0; at < s->list.len && s->group == ERR_OK; at += s->list.p[at] + 1u) {
        err_t e = kv_del(s->txn, KV_IDEM, bytes_of(s->list.p + at + 1, s->list.p[at]));
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            (void)group_fail(s, e);
    }
    return store_commit(s);
}

err_t store_scrub(store_core *s, uint32_t rows, wall_ms now, store_scrubbed *out)
{
    kv_txn *txn;
    scrub_last last = {0};
    *out = (store_scrubbed){0};
    TRY(read_begin(s, &txn));
    size_t before = s->n_damage;
    err_t e = ERR_OK;
    for (; e == ERR_OK && out->rows < rows && s->st.scrub_offset < s->st.head; out->rows++) {
        size_t known = s->n_damage;
        e = scrub_one(s, txn, s->st.scrub_offset + 1, &last);
        if (s->n_damage > known && out->bad_offset == 0)
            out->bad_offset = s->st.scrub_offset + 1;
        if (e == ERR_OK)
            s->st.scrub_offset++;
    }
    kv_abort(txn);
    out->damaged = s->n_damage - before;
    if (e == ERR_OK && s->st.scrub_offset >= s->st.head) {
        out->pass_ended = true;
        s->st.scrub_offset = 0;
        s->st.scrubbed_ms = now.ms;
    }
    if (e == ERR_OK && s->state == ERR_OK)
        e = drop_old_keys(s, rows, now);
    return e;
}

/* ---- building the indexes anew ---- */

typedef struct {
    category_writer category;
    run_noter run;
    store_key names; /* of the category writer's view */
} rebuilding;

/* The branch that a row extends, by its parent's offset; a new one at a fork or a start. */
static err_t find_branch(store_core *s, rebuilding *r, feed_tree *f, const stored_row *row,
                         uint32_t *no)
{
    for (*no = f->n; *no > 0; --*no)
        if (row->parent != 0 && f->branches[*no - 1].tip.offset == row->parent) {
            --*no;
            return ERR_OK;
        }
    uint32_t parent = NO_BRANCH;
    if (row->parent != 0) {
        TRY(run_flush(s, &r->run));
        err_t e = branch_of(s, s->txn, row->feed, row->seq - 1, row->parent, &parent);
        s->index_bad = false;
        if (e != ERR_OK && e != ERR_DAMAGED)
            return e; /* else its parent is lost: a branch of its own */
    }
    branch *b = feed_add_branch(f);
    if (b == NULL)
        return ERR_NO_MEMORY;
    b->parent = parent;
    b->fork_seq = row->seq - 1;
    if (parent == NO_BRANCH)
        b->start = start_read(s->txn, row->offset);
    *no = f->n - 1;
    return ERR_OK;
}

/* A damaged row still fills its place, if it is known whose it was: after the tip that ends before it.
 */
static void adopt_damaged(const store_core *s, stored_row *row)
{
    const damaged *d = damage_find(s, row->offset);
    feed_tree *f = d != NULL ? feed_find((store_core *)s, d->feed) : NULL;
    row->seq = 0;
    for (uint32_t i = 0; d != NULL && d->seq != 0 && f != NULL && i < f->n; i++)
        if (f->branches[i].tip.seq == d->seq - 1) {
            row->feed = d->feed;
            row->seq = d->seq;
            row->parent = f->branches[i].tip.offset;
        }
    if (d != NULL && d->seq == 1) {
        row->feed = d->feed;
        row->seq = 1;
    }
}

static err_t rebuild_category(store_core *s, rebuilding *w, const stored_row *row)
{
    bytes category, stream;
    row_read target;
    const stored_row *from = row;
    if ((row->flags & ROW_CHANGED) != 0) {
        TRY(row_get(s, s->txn, row->parent, &target));
        from = &target.row;
    }
    if ((from->flags & (ROW_OPAQUE | ROW_DAMAGED)) != 0 ||
        !row_names(from->body, &category, &stream))
        return ERR_OK;
    store_key names;
    key_stream(&names, category, stream);
    if (!w->category.any || !bytes_eq(category, w->category.category)) {
        TRY(category_flush(s, &w->category));
        w->names = names; /* the view must outlive this row */
    }
    return category_add(s, &w->category, bytes_of(w->names.b, category.len), row->offset);
}

static err_t rebuild_special(store_core *s, rebuilding *w, const stored_row *row)
{
    bytes category, stream;
    bool erasure = false, tailless = (row->flags & ROW_ERASED) != 0;
    if ((row->flags & (ROW_CHANGED | ROW_DAMAGED | ROW_OPAQUE)) == 0)
        (void)row_names_and_erasure(row->body, &category, &stream, &erasure);
    if ((row->flags & (ROW_CHANGED | ROW_DAMAGED)) != 0 || (!erasure && !tailless))
        return ERR_OK;
    TRY(category_flush(s, &w->category));
    if (erasure)
        TRY(index_row(s, ERASURES, row->offset));
    return tailless ? index_row(s, TAILLESS, row->offset) : ERR_OK;
}

static err_t rebuild_row(store_core *s, rebuilding *w, uint64_t offset)
{
    row_read r;
    uint32_t no;
    TRY(row_get(s, s->txn, offset, &r));
    TRY(row_keep(s, &r));
    if (r.damaged)
        adopt_damaged(s, &r.row);
    TRY(rebuild_category(s, w, &r.row));
    TRY(rebuild_special(s, w, &r.row));
    if ((r.row.flags & ROW_CHANGED) != 0)
        s->st.changed++;
    if ((r.row.flags & ROW_CHANGED) != 0 || r.row.seq == 0)
        return ERR_OK;
    feed_tree *f = feed_make_entry(s, r.row.feed);
    if (f == NULL)
        return ERR_NO_MEMORY;
    TRY(find_branch(s, w, f, &r.row, &no));
    branch_extend(s, f, &f->branches[no], &r.row);
    extent event = {r.row.seq, 1, offset, no};
    TRY(run_note(s, &w->run, r.row.feed, &event));
    s->group_rows++;
    return stream_replay(s, s->txn, &r.row);
}

static err_t rebuild_part(store_core *s, uint64_t *at)
{
    rebuilding w = {0};
    uint64_t end = s->st.head - *at > REBUILD_ROWS ? *at + REBUILD_ROWS : s->st.head;
    for (; *at < end; ++*at)
        TRY(rebuild_row(s, &w, *at + 1));
    TRY(run_flush(s, &w.run));
    return category_flush(s, &w.category);
}

static err_t rebuild_begin(store_core *s)
{
    static const kv_table indexes[] = {KV_FEED, KV_HEAD, KV_STREAM, KV_CATEGORY};
    store_key key;
    key_text(&key, "rebuild");
    TRY(table_put(s->txn, KV_META, &key, bytes_of("", 0), &s->scratch));
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++)
        TRY(kv_clear(s->txn, indexes[i]));
    return ERR_OK;
}

static err_t rebuild_end(store_core *s)
{
    store_key key;
    for (size_t i = 0; i < s->n_feeds; i++)
        if (s->feeds[i]->n > 1)
            TRY(feed_refresh(s, s->txn, s->feeds[i]));
    key_text(&key, "rebuild");
    return kv_del(s->txn, KV_META, key_view(&key));
}

static err_t group_of(store_core *s, err_t (*work)(store_core *, uint64_t *), uint64_t *at)
{
    TRY(store_begin(s));
    err_t e = work(s, at);
    if (e != ERR_OK)
        (void)group_fail(s, e);
    return store_commit(s);
}

static err_t first_part(store_core *s, uint64_t *at)
{
    *at = 0;
    return rebuild_begin(s);
}

static err_t last_part(store_core *s, uint64_t *at)
{
    (void)at;
    return rebuild_end(s);
}

static err_t rebuild_all(store_core *s)
{
    uint64_t at = 0;
    feeds_release(s);
    lag_release(s);
    s->block.valid = false;
    s->st.indexed = s->st.changed = 0;
    TRY(group_of(s, first_part, &at));
    while (at < s->st.head)
        TRY(group_of(s, rebuild_part, &at));
    return group_of(s, last_part, &at);
}

err_t core_reindex(store_core *s)
{
    assert(s->txn == NULL);
    s->index_bad = false; /* also lets the groups below begin */
    err_t e = rebuild_all(s);
    s->index_bad = e != ERR_OK || s->index_bad;
    return e;
}
