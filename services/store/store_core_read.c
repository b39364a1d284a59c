#include "store/store_core_impl.h"

#define XXH_INLINE_ALL
#include <stdlib.h>
#include <xxhash.h>

#define EXAMINE_MAX                                                                                \
    65536u /* rows looked at in one fetch, so that it ends soon whatever the filter */

/* ---- collecting rows in s->out ---- */

typedef struct {
    uint32_t n, max;
} collected;

static void collect_begin(store_core *s, collected *c, uint32_t max)
{
    buf_clear(&s->out);
    *c = (collected){0, max};
}

/* False when it does not fit any more; one row always does. */
static bool collect(store_core *s, collected *c, bytes raw)
{
    if (c->n == c->max || (c->n != 0 && s->out.len + raw.len > FETCH_MAX_BYTES))
        return false;
    c->n++;
    return buf_add_bytes(&s->out, raw);
}

static msg_list collected_list(const store_core *s, const collected *c)
{
    return (msg_list){NULL, c->n, buf_view(&s->out)};
}

static void rows_begin(const store_core *s, rows_reply *out)
{
    *out = (rows_reply){.epoch = s->identity.epoch, .head = s->st.head};
}

/* ---- fetch ---- */

/* Damaged rows go to every shard: whose they were is not known. */
static err_t in_shard(store_core *s, kv_txn *txn, const fetch_request *req, row_read *r, bool *in)
{
    bytes category, stream;
    store_key key;
    *in = true;
    if (req->shards == 0 || r->damaged)
        return ERR_OK;
    TRY(row_decode(r));
    row_read target = *r;
    if ((r->row.flags & ROW_CHANGED) != 0)
        TRY(row_get(s, txn, r->row.parent, &target));
    if (!row_names(target.row.body, &category, &stream)) {
        *in = target.damaged; /* an opaque event has no stream */
        return ERR_OK;
    }
    key_stream(&key, category, stream);
    *in = XXH3_64bits(key.b, key.len) % req->shards == req->shard;
    return ERR_OK;
}

/* Takes the row at `offset`. *full: it does not fit, go on from here. */
static err_t fetch_one(store_core *s, row_walk *rows, const fetch_request *req, uint64_t offset,
                       collected *c, bool *full)
{
    row_read r;
    bool in;
    TRY(row_walk_find(s, rows, offset, &r));
    TRY(in_shard(s, rows->txn, req, &r, &in));
    *full = in && !collect(s, c, r.raw);
    return ERR_OK;
}

static err_t fetch_all(store_core *s, row_walk *rows, const fetch_request *req, collected *c,
                       uint64_t *next)
{
    bool full = false;
    uint64_t last = s->st.head - *next > EXAMINE_MAX ? *next + EXAMINE_MAX : s->st.head;
    while (*next < last) {
        TRY(fetch_one(s, rows, req, *next + 1, c, &full));
        if (full)
            break;
        ++*next;
    }
    return ERR_OK;
}

static err_t fetch_block(store_core *s, row_walk *rows, const fetch_request *req, bytes bits,
                         uint64_t block, collected *c, uint64_t *next, bool *full)
{
    for (unsigned i = 0; i < CATEGORY_BLOCK; i++) {
        uint64_t offset = block * CATEGORY_BLOCK + i;
        if ((bits.p[i / 8] >> (i % 8) & 1) == 0 || offset <= *next || offset > s->st.head)
            continue;
        TRY(fetch_one(s, rows, req, offset, c, full));
        if (*full)
            return ERR_OK;
        *next = offset;
    }
    return ERR_OK;
}

static err_t fetch_category(store_core *s, row_walk *rows, const fetch_request *req, collected *c,
                            uint64_t *next)
{
    store_key key;
    kv_cursor at;
    bytes bits;
    bool full = false;
    uint64_t looked = 0;
    key_category(&key, req->category, (*next + 1) / CATEGORY_BLOCK);
    err_t e = kv_first(rows->txn, KV_CATEGORY, key_view(&key), &at);
    while (e == ERR_OK && !full && at.key.len == key.len &&
           memcmp(at.key.p, key.b, key.len - 8) == 0) {
        e = sum_open(KV_CATEGORY, at.key, at.value, &bits);
        if (e == ERR_OK && bits.len != CATEGORY_BLOCK / 8)
            e = ERR_DAMAGED;
        if (e == ERR_OK)
            e = fetch_block(s, rows, req, bits, get_u64be(at.key.p + key.len - 8), c, next, &full);
        looked += CATEGORY_BLOCK;
        full |= looked >= EXAMINE_MAX;
        if (e == ERR_OK && !full)
            e = kv_next(&at);
    }
    kv_done(&at);
    s->index_bad |= e == ERR_DAMAGED;
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    if (!full)
        *next = s->st.head;
    return ERR_OK;
}

static err_t check_after(store_core *s, kv_txn *txn, const fetch_request *req)
{
    row_read r;
    if (req->after > s->st.head)
        return ERR_EPOCH;
    if (req->after == 0 || req->after_prefix == 0)
        return ERR_OK;
    TRY(row_get(s, txn, req->after, &r));
    return r.damaged || get_u64be(r.row.id.b) == req->after_prefix ? ERR_OK : ERR_EPOCH;
}

err_t store_fetch(store_core *s, const fetch_request *req, rows_reply *out)
{
    kv_txn *txn;
    collected c;
    rows_begin(s, out);
    if (req->category.len > CATEGORY_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (req->epoch != 0 && req->epoch != s->identity.epoch)
        return ERR_EPOCH;
    TRY(read_begin(s, &txn));
    collect_begin(s, &c, req->max);
    out->next = req->after;
    row_walk rows = row_walk_begin(txn);
    err_t e = check_after(s, txn, req);
    if (e == ERR_OK && req->category.len != 0)
        e = fetch_category(s, &rows, req, &c, &out->next);
    else if (e == ERR_OK)
        e = fetch_all(s, &rows, req, &c, &out->next);
    row_walk_end(&rows);
    kv_abort(txn);
    out->head = s->st.head;
    out->rows = collected_list(s, &c);
    out->caught_up = out->next == s->st.head;
    return e == ERR_OK ? s->out.err : e;
}

/* ---- one feed ---- */

/* All events at one seq, by branch: together or not at all, but the first seq of an answer comes whatever
 * `max` says, as far as a message can carry it. */
static err_t collect_seq(store_core *s, kv_txn *txn, uint64_t seq, collected *c, bool *full)
{
    row_read r;
    size_t mark = s->out.len;
    uint32_t n = c->n, branch_no = 0;
    for (;;) { /* the extents of a branch do not overlap: each turn finds the next branch */
        const extent *best = NULL;
        for (size_t i = 0; i < s->block.n; i++) {
            const extent *x = &s->block.p[i];
            if (seq - x->seq < x->n && x->branch >= branch_no &&
                (best == NULL || x->branch < best->branch))
                best = x;
        }
        if (best == NULL)
            return ERR_OK;
        branch_no = best->branch + 1;
        TRY(row_find(s, txn, best->offset + (seq - best->seq), &r));
        if (n == 0 && s->out.len + r.raw.len <= 3 * FETCH_MAX_BYTES) {
            c->n++;
            buf_add_bytes(&s->out, r.raw);
        } else if (!collect(s, c, r.raw)) {
            *full = n != 0;
            s->out.len = *full ? mark : s->out.len;
            c->n = *full ? n : c->n;
            return ERR_OK;
        }
    }
}

static err_t read_feed_rows(store_core *s, kv_txn *txn, const read_feed_request *req, collected *c,
                            uint64_t *next)
{
    const feed_tree *f = feed_find(s, req->feed);
    uint64_t max_seq = f != NULL ? f->max_seq : 0;
    uint64_t to = req->to_seq < max_seq ? req->to_seq : max_seq;
    bool full = false;
    for (uint64_t seq = req->from_seq; seq <= to && !full; seq++) {
        *next = seq;
        full = c->n >= c->max;
        if (full)
            break;
        TRY(block_load(s, txn, req->feed, seq / FEED_BLOCK));
        TRY(collect_seq(s, txn, seq, c, &full));
    }
    if (!full)
        *next = 0;
    return ERR_OK;
}

err_t store_read_feed(store_core *s, const read_feed_request *req, rows_reply *out)
{
    kv_txn *txn;
    collected c;
    rows_begin(s, out);
    TRY(read_begin(s, &txn));
    collect_begin(s, &c, req->max);
    err_t e = read_feed_rows(s, txn, req, &c, &out->next);
    kv_abort(txn);
    out->head = s->st.head;
    out->rows = collected_list(s, &c);
    out->caught_up = out->next == 0;
    return e == ERR_OK ? s->out.err : e;
}

/* ---- streams ---- */

static bool room_for_offsets(store_core *s, size_t n)
{
    if (n <= s->cap_offsets)
        return true;
    uint64_t *grown = realloc(s->offsets, n * sizeof *grown);
    if (grown == NULL)
        return false;
    s->offsets = grown;
    s->cap_offsets = n;
    return true;
}

/* Rows of the stream from *position on, as many as fit; *position follows. */
static err_t collect_stream(store_core *s, kv_txn *txn, const store_key *key, collected *c,
                            uint64_t *position, bool *full)
{
    size_t n;
    *full = false;
    while (!*full) {
        size_t want = c->max - c->n + 1 < 1024 ? c->max - c->n + 1 : 1024;
        if (!room_for_offsets(s, want))
            return ERR_NO_MEMORY;
        TRY(stream_offsets(s, txn, key, *position, s->offsets, want, &n));
        for (size_t i = 0; i < n && !*full; i++) {
            row_read r;
            if (s->offsets[i] != 0) {
                TRY(row_find(s, txn, s->offsets[i], &r));
                *full = !collect(s, c, r.raw);
            }
            *position += !*full;
        }
        if (n < want)
            break;
    }
    return ERR_OK;
}

err_t store_read_stream(store_core *s, const read_stream_request *req, rows_reply *out)
{
    kv_txn *txn;
    collected c;
    store_key key;
    bool full;
    rows_begin(s, out);
    if (req->category.len > CATEGORY_MAX_BYTES || req->stream.len > STREAM_MAX_BYTES)
        return ERR_TOO_LARGE;
    key_stream(&key, req->category, req->stream);
    TRY(read_begin(s, &txn));
    collect_begin(s, &c, req->max);
    out->next = req->from;
    err_t e = stream_length(s, txn, &key, &out->head);
    if (e == ERR_OK)
        e = collect_stream(s, txn, &key, &c, &out->next, &full);
    kv_abort(txn);
    out->rows = collected_list(s, &c);
    out->caught_up = out->next >= out->head;
    return e == ERR_OK ? s->out.err : e;
}

/* ---- scan ---- */

static bool same_key(const store_key *a, const store_key *b)
{
    return bytes_eq(key_view(a), key_view(b));
}

/* On return *key and out->position are where to go on; false in *more: nothing is left. */
static err_t scan_streams(store_core *s, kv_txn *txn, store_key *key, collected *c,
                          uint64_t *position, bool *more)
{
    bool full = false;
    *more = true;
    for (;;) {
        store_key asked = *key;
        uint64_t length;
        err_t e = stream_seek(s, txn, key);
        *more = e == ERR_OK;
        if (e != ERR_OK)
            return e == ERR_NOT_FOUND ? ERR_OK : e;
        if (!same_key(&asked, key))
            *position = 0;
        TRY(stream_length(s, txn, key, &length));
        uint32_t n = c->n;
        size_t mark = s->out.len;
        uint64_t from = *position;
        if (n == c->max || (n != 0 && length - from > c->max - n))
            return ERR_OK;
        TRY(collect_stream(s, txn, key, c, position, &full));
        if (full && n != 0) { /* whole or not at all */
            s->out.len = mark;
            c->n = n;
            *position = from;
        }
        if (full)
            return ERR_OK;
        key->b[key->len++] = 1; /* the least key after it and its chunks */
        *position = 0;
    }
}

err_t store_scan(store_core *s, const scan_request *req, scan_reply *out)
{
    kv_txn *txn;
    collected c;
    store_key key;
    bool more = true;
    *out = (scan_reply){.epoch = s->identity.epoch};
    if (req->category.len > CATEGORY_MAX_BYTES || req->stream.len > STREAM_MAX_BYTES)
        return ERR_TOO_LARGE;
    key_stream(&key, req->category, req->stream);
    if (req->category.len == 0)
        key.len = 0;
    TRY(read_begin(s, &txn));
    collect_begin(s, &c, req->max);
    out->position = req->position;
    err_t e = scan_streams(s, txn, &key, &c, &out->position, &more);
    kv_abort(txn);
    out->head = s->st.head;
    out->rows = collected_list(s, &c);
    out->done = !more;
    buf_clear(&s->list);
    buf_add_bytes(&s->list, key_view(&key));
    if (more)
        (void)key_split_stream(buf_view(&s->list), &out->category, &out->stream);
    return e == ERR_OK ? s->out.err : e;
}

/* ---- tips ---- */

static int by_seq_id(const void *a, const void *b)
{
    const branch *x = *(const branch *const *)a, *y = *(const branch *const *)b;
    if (x->tip.seq != y->tip.seq)
        return x->tip.seq < y->tip.seq ? -1 : 1;
    return memcmp(x->tip.id.b, y->tip.id.b, sizeof x->tip.id.b);
}

static err_t put_tip(store_core *s, feed_id id, const branch *b, uint32_t *n)
{
    tip_row row = {.feed = id, .seq = b->tip.seq, .id = b->tip.id, .offset = b->tip.offset};
    if (branch_is_frontier(b)) {
        row.sealed_seq = b->under_seal.seq;
        row.sealed_id = b->under_seal.id;
    }
    if (*n == FRONTIER_MAX)
        return ERR_OK;
    ++*n;
    return msg_encode(&tip_row_desc, &row, &s->out);
}

static err_t put_tips(store_core *s, const feed_tree *f, uint32_t *n)
{
    if (f->n == 1)
        return put_tip(s, f->id, &f->branches[0], n);
    const branch **sorted = malloc(f->n * sizeof(branch *));
    if (sorted == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < f->n; i++)
        sorted[i] = &f->branches[i];
    qsort(sorted, f->n, sizeof(branch *), by_seq_id);
    err_t e = ERR_OK;
    for (uint32_t i = 0; i < f->n && e == ERR_OK; i++)
        e = put_tip(s, f->id, sorted[i], n);
    free(sorted);
    return e;
}

err_t store_tips(store_core *s, tips_reply *out)
{
    uint32_t n = 0;
    *out = (tips_reply){0};
    if (s->stale)
        TRY(core_reload(s));
    buf_clear(&s->out);
    for (size_t i = 0; i < s->n_feeds; i++)
        TRY(put_tips(s, s->feeds[i], &n));
    *out = (tips_reply){.tips = {NULL, n, buf_view(&s->out)},
                        .head = s->st.head,
                        .events = s->st.head - s->st.changed};
    return ERR_OK;
}

/* ---- locate, idem ---- */

static err_t locate_rows(store_core *s, kv_txn *txn, const locate_request *req, uint32_t *n)
{
    const feed_tree *f = feed_find(s, req->feed);
    if (f == NULL || req->seq > f->max_seq)
        return ERR_OK;
    TRY(block_load(s, txn, req->feed, req->seq / FEED_BLOCK));
    for (size_t i = 0; i < s->block.n && *n < FORKED_AT_ONE_MAX; i++) {
        const extent *x = &s->block.p[i];
        row_read r;
        if (req->seq - x->seq >= x->n)
            continue;
        uint64_t offset = x->offset + (req->seq - x->seq);
        TRY(row_get(s, txn, offset, &r));
        place_row held = {.offset = offset, .id = r.row.id, .flags = r.row.flags};
        if (r.damaged && f->branches[x->branch].tip.offset == offset)
            held.id = f->branches[x->branch].tip.id;
        TRY(msg_encode(&place_row_desc, &held, &s->out));
        ++*n;
    }
    return ERR_OK;
}

err_t store_locate(store_core *s, const locate_request *req, locate_reply *out)
{
    kv_txn *txn;
    uint32_t n = 0;
    *out = (locate_reply){0};
    TRY(read_begin(s, &txn));
    buf_clear(&s->out);
    err_t e = locate_rows(s, txn, req, &n);
    kv_abort(txn);
    out->places = (msg_list){NULL, n, buf_view(&s->out)};
    return e;
}

static err_t idem_refs(store_core *s, kv_txn *txn, bytes in, uint32_t *n, uint64_t *first)
{
    row_read r;
    (void)take_varint(&in); /* when */
    for (uint64_t left = take_varint(&in); left > 0 && *n < BATCH_MAX_EVENTS; left--) {
        uint64_t offset = take_varint(&in);
        if (offset == 0 || offset > s->st.head)
            return ERR_DAMAGED;
        TRY(row_get(s, txn, offset, &r));
        ref_row ref = {.feed = r.row.feed, .seq = r.row.seq, .prefix = get_u16be(r.row.id.b)};
        TRY(msg_encode(&ref_row_desc, &ref, &s->out));
        *first = *n == 0 ? offset : *first;
        ++*n;
    }
    return ERR_OK;
}

err_t store_idem(store_core *s, const idem_request *req, idem_reply *out)
{
    kv_txn *txn;
    bytes content;
    uint32_t n = 0;
    store_key key = {.len = req->key.len};
    *out = (idem_reply){0};
    if (req->key.len == 0 || req->key.len > IDEM_KEY_MAX_BYTES)
        return ERR_OK;
    memcpy(key.b, req->key.p, req->key.len);
    TRY(read_begin(s, &txn));
    buf_clear(&s->out);
    err_t e = table_get(txn, KV_IDEM, &key, &content);
    if (e == ERR_OK)
        e = idem_refs(s, txn, content, &n, &out->first_offset);
    kv_abort(txn);
    out->refs = (msg_list){NULL, n, buf_view(&s->out)};
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
