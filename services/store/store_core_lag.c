/* The stream index. Its entries arrive in random order of streams, so that writing each at once would
 * touch a page per event. They are collected in memory (lags[0]); when they take lag_bytes, they
 * become lags[1], sorted, and go to disk a slice at a time with the following groups. st.indexed says
 * up to which offset the disk knows all; a restart reads the log from there and passes over the rows of
 * slices that had reached the disk, which their positions tell. */
#include "store/store_core_impl.h"

#define XXH_INLINE_ALL
#include <stdlib.h>
#include <xxhash.h>

#define DRAIN_LEAST 256u /* streams brought to disk at once */

/* ---- held-back entries ---- */

static lag_stream *lag_find(const lag *l, bytes key, uint32_t hash)
{
    if (l->n_slots == 0)
        return NULL;
    for (size_t i = hash & (l->n_slots - 1); l->slots[i].stream != 0;
         i = (i + 1) & (l->n_slots - 1)) {
        if (l->slots[i].hash != hash)
            continue;
        lag_stream *x = &l->streams[l->slots[i].stream - 1];
        if (bytes_eq(lag_key(l, x), key))
            return x;
    }
    return NULL;
}

static void fill_slot(lag *l, size_t stream)
{
    uint32_t hash = l->streams[stream].hash;
    size_t i = hash & (l->n_slots - 1);
    while (l->slots[i].stream != 0)
        i = (i + 1) & (l->n_slots - 1);
    l->slots[i] = (lag_slot){hash, (uint32_t)stream + 1};
}

static void fill_slots(lag *l)
{
    if (l->n_slots != 0)
        memset(l->slots, 0, l->n_slots * sizeof *l->slots);
    for (size_t k = 0; k < l->n_streams; k++)
        fill_slot(l, k);
}

static bool rehash(lag *l)
{
    size_t n = l->n_slots != 0 ? l->n_slots * 2 : 256;
    lag_slot *slots = realloc(l->slots, n * sizeof *slots);
    if (slots == NULL)
        return false;
    l->slots = slots;
    l->n_slots = n;
    fill_slots(l);
    return true;
}

/* Makes room for one more of `size` bytes each. */
static bool grow(void *array, size_t n, size_t *cap, size_t size)
{
    void **p = array;
    if (n < *cap)
        return true;
    size_t wanted = *cap != 0 ? *cap * 2 : 256;
    void *grown = realloc(*p, wanted * size);
    if (grown == NULL)
        return false;
    *p = grown;
    *cap = wanted;
    return true;
}

static lag_stream *lag_add_stream(lag *l, bytes key, uint32_t hash, uint64_t base)
{
    void *streams = l->streams;
    bool room = grow(&streams, l->n_streams, &l->cap_streams, sizeof *l->streams);
    l->streams = streams;
    if (!room || (l->n_streams * 2 >= l->n_slots && !rehash(l)))
        return NULL;
    size_t at = l->keys.len;
    if (!buf_add_bytes(&l->keys, key))
        return NULL;
    lag_stream *x = &l->streams[l->n_streams++];
    *x = (lag_stream){(uint32_t)at, (uint32_t)key.len, hash, 0, 0, base};
    fill_slot(l, l->n_streams - 1);
    return x;
}

/* An older row comes into the stream when it was damaged while the others were entered. */
static err_t lag_reach_back(store_core *s, lag *l, uint64_t offset)
{
    uint64_t back = l->before_offset - (offset - 1);
    if (l->last_offset - offset >= UINT32_MAX)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < l->n_entries; i++)
        if (l->entries[i].step != 0)
            l->entries[i].step += (uint32_t)back;
    l->before_offset = offset - 1;
    s->mark.valid = false;
    return ERR_OK;
}

static err_t lag_push(store_core *s, lag *l, lag_stream *x, uint64_t offset)
{
    void *entries = l->entries;
    bool room = grow(&entries, l->n_entries, &l->cap_entries, sizeof *l->entries);
    l->entries = entries;
    if (!room)
        return ERR_NO_MEMORY;
    if (l->last_offset == 0)
        l->before_offset = l->last_offset = offset - (offset != 0);
    if (offset != 0 && offset <= l->before_offset)
        TRY(lag_reach_back(s, l, offset));
    l->entries[l->n_entries++] =
        (lag_entry){offset != 0 ? (uint32_t)(offset - l->before_offset) : 0, x->last};
    x->last = (uint32_t)l->n_entries;
    x->n++;
    if (offset > l->last_offset)
        l->last_offset = offset;
    return ERR_OK;
}

static void lag_clear(lag *l)
{
    l->n_streams = l->n_entries = l->n_order = l->drained = 0;
    l->last_offset = 0;
    buf_clear(&l->keys);
    if (l->n_slots != 0)
        memset(l->slots, 0, l->n_slots * sizeof *l->slots);
}

static void lag_free(lag *l)
{
    free(l->streams);
    free(l->entries);
    free(l->slots);
    free(l->order);
    buf_release(&l->keys);
    *l = (lag){0};
    buf_init(&l->keys, SIZE_MAX);
}

void lag_release(store_core *s)
{
    lag_free(&s->lags[0]);
    lag_free(&s->lags[1]);
    free(s->offsets);
    s->offsets = NULL;
    s->cap_offsets = 0;
}

bool lag_pending(const store_core *s)
{
    return s->lags[0].n_entries != 0 || s->lags[1].n_entries != 0;
}

/* Offsets of x from its i-th entry on, `n` of them. */
static void lag_offsets(const lag *l, const lag_stream *x, uint64_t i, uint64_t *out, size_t n)
{
    uint32_t at = x->last;
    for (uint64_t k = x->n; k-- > i; at = l->entries[at - 1].before)
        if (k - i < n)
            out[k - i] =
                l->entries[at - 1].step != 0 ? l->before_offset + l->entries[at - 1].step : 0;
}

/* ---- offsets in values: the first as it is, then differences (modulo 2^64, mended rows come late); 0 stands
 * for a lost one ---- */

static void put_offsets(buf *b, const uint64_t *offsets, size_t n)
{
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        put_varint(b, offsets[i] != 0 ? offsets[i] - last : 0);
        last = offsets[i] != 0 ? offsets[i] : last;
    }
}

static void take_offsets(bytes in, uint64_t *out, size_t n)
{
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t step = take_varint(&in);
        out[i] = step != 0 ? last + step : 0;
        last += step;
    }
}

/* ---- the table ---- */

typedef struct {
    uint64_t length;
    uint64_t offsets[STREAM_CHUNK]; /* of the positions after the last whole chunk */
} tail;

static err_t tail_read(store_core *s, kv_txn *txn, const store_key *key, tail *t)
{
    bytes content;
    t->length = 0;
    err_t e = table_get(txn, KV_STREAM, key, &content);
    if (e == ERR_OK) {
        t->length = take_varint(&content);
        take_offsets(content, t->offsets, (size_t)(t->length % STREAM_CHUNK));
    }
    if (e == ERR_DAMAGED)
        s->index_bad = true;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t chunk_write(store_core *s, const store_key *stream, uint64_t chunk, const tail *t)
{
    store_key key;
    key_chunk(&key, stream, (uint32_t)chunk);
    buf_clear(&s->row);
    put_offsets(&s->row, t->offsets, STREAM_CHUNK);
    TRY(s->row.err);
    return table_put(s->txn, KV_STREAM, &key, buf_view(&s->row), &s->scratch);
}

/* Offsets of positions from `base` on. */
static err_t stream_write(store_core *s, const store_key *key, uint64_t base,
                          const uint64_t *offsets, size_t n)
{
    tail t;
    TRY(tail_read(s, s->txn, key, &t));
    if (base != t.length) { /* not the table that the entries were made for */
        s->index_bad = true;
        return ERR_DAMAGED;
    }
    for (size_t i = 0; i < n; i++) {
        t.offsets[t.length % STREAM_CHUNK] = offsets[i];
        if (++t.length % STREAM_CHUNK == 0)
            TRY(chunk_write(s, key, t.length / STREAM_CHUNK - 1, &t));
    }
    buf_clear(&s->row);
    put_varint(&s->row, t.length);
    put_offsets(&s->row, t.offsets, (size_t)(t.length % STREAM_CHUNK));
    TRY(s->row.err);
    return table_put(s->txn, KV_STREAM, key, buf_view(&s->row), &s->scratch);
}

static err_t drain_one(store_core *s, const lag *l, const lag_stream *x)
{
    store_key key;
    if (x->n > s->cap_offsets) {
        uint64_t *grown = realloc(s->offsets, x->n * sizeof *grown);
        if (grown == NULL)
            return ERR_NO_MEMORY;
        s->offsets = grown;
        s->cap_offsets = x->n;
    }
    lag_offsets(l, x, 0, s->offsets, x->n);
    key.len = x->key_len;
    memcpy(key.b, l->keys.p + x->key_at, x->key_len);
    return stream_write(s, &key, x->base, s->offsets, x->n);
}

static err_t drain_old(store_core *s, uint64_t streams)
{
    lag *l = &s->lags[1];
    for (; streams > 0 && l->drained < l->n_order; streams--)
        TRY(drain_one(s, l, &l->streams[l->order[l->drained++]]));
    if (l->n_order != 0 && l->drained == l->n_order) {
        s->mark.valid = false;
        s->st.indexed = l->last_offset > s->st.indexed ? l->last_offset : s->st.indexed;
        lag_clear(l);
    }
    return ERR_OK;
}

static size_t lag_size(const lag *l)
{
    return l->n_entries * sizeof *l->entries + l->n_streams * (sizeof *l->streams + 20) +
           l->keys.len; /* 20: slots and order */
}

/* The new entries become the old ones, which must be on disk. */
static err_t lag_turn(store_core *s)
{
    lag old = s->lags[1];
    s->mark.valid = false;
    TRY(lag_sort(&s->lags[0]));
    s->lags[1] = s->lags[0];
    s->lags[0] = old;
    return ERR_OK;
}

err_t lag_drain(store_core *s, uint64_t streams)
{
    lag *l = &s->lags[1];
    bool full = lag_size(&s->lags[0]) >= s->lag_bytes, idle = streams != 0;
    if (full)
        streams = UINT64_MAX;
    else if (!idle) { /* twice as fast as new ones arrive */
        streams = l->n_entries != 0 ? s->owed * 2 * l->n_order / l->n_entries : 0;
        if (streams < DRAIN_LEAST)
            return ERR_OK;
    }
    s->owed = 0;
    TRY(drain_old(s, streams));
    if (l->n_entries != 0)
        return ERR_OK;
    if (idle)
        lag_free(l);
    return (full || idle) && s->lags[0].n_entries != 0 ? lag_turn(s) : ERR_OK;
}

/* ---- pushing and reading ---- */

static uint32_t hash_of(bytes key)
{
    return (uint32_t)XXH3_64bits(key.p, key.len);
}

uint32_t stream_hash(bytes category, bytes stream)
{
    store_key key;
    key_stream(&key, category, stream);
    return hash_of(key_view(&key));
}

void stream_foresee(const store_core *s, uint32_t hash, unsigned stage)
{
    for (size_t i = 0; i < 2; i++) {
        const lag *l = &s->lags[i];
        if (l->n_slots == 0)
            continue;
        const lag_slot *slot = &l->slots[hash & (l->n_slots - 1)];
        if (stage == 0)
            __builtin_prefetch(slot);
        else if (slot->stream != 0 && stage == 1)
            __builtin_prefetch(&l->streams[slot->stream - 1], 1);
        else if (slot->stream != 0)
            __builtin_prefetch(l->keys.p + l->streams[slot->stream - 1].key_at);
    }
}

err_t stream_length(store_core *s, kv_txn *txn, const store_key *key, uint64_t *out)
{
    bytes view = key_view(key);
    uint32_t hash = hash_of(view);
    for (size_t i = 0; i < 2; i++) {
        const lag_stream *x = lag_find(&s->lags[i], view, hash);
        if (x != NULL) {
            *out = x->base + x->n;
            return ERR_OK;
        }
    }
    tail t;
    TRY(tail_read(s, txn, key, &t));
    *out = t.length;
    return ERR_OK;
}

err_t stream_push(store_core *s, kv_txn *txn, bytes category, bytes stream, uint64_t offset,
                  uint64_t *position)
{
    store_key key;
    key_stream(&key, category, stream);
    bytes view = key_view(&key);
    uint32_t hash = hash_of(view);
    lag_stream *x = lag_find(&s->lags[0], view, hash);
    if (x == NULL) {
        uint64_t base;
        TRY(stream_length(s, txn, &key, &base));
        x = lag_add_stream(&s->lags[0], view, hash, base);
        if (x == NULL)
            return ERR_NO_MEMORY;
    }
    *position = x->base + x->n;
    return lag_push(s, &s->lags[0], x, offset);
}

static err_t read_table(store_core *s, kv_txn *txn, const store_key *key, uint64_t from,
                        uint64_t *out, size_t max, size_t *n)
{
    tail t, chunk;
    uint64_t loaded = UINT64_MAX;
    TRY(tail_read(s, txn, key, &t));
    for (; *n < max && from + *n < t.length; ++*n) {
        uint64_t at = from + *n, number = at / STREAM_CHUNK;
        if (number == t.length / STREAM_CHUNK) {
            out[*n] = t.offsets[at % STREAM_CHUNK];
            continue;
        }
        if (number != loaded) {
            store_key chunk_key;
            bytes content;
            key_chunk(&chunk_key, key, (uint32_t)number);
            err_t e = table_get(txn, KV_STREAM, &chunk_key, &content);
            s->index_bad |= e == ERR_DAMAGED || e == ERR_NOT_FOUND;
            if (e != ERR_OK)
                return e == ERR_NOT_FOUND ? ERR_DAMAGED : e;
            take_offsets(content, chunk.offsets, STREAM_CHUNK);
            loaded = number;
        }
        out[*n] = chunk.offsets[at % STREAM_CHUNK];
    }
    return ERR_OK;
}

err_t stream_offsets(store_core *s, kv_txn *txn, const store_key *key, uint64_t from, uint64_t *out,
                     size_t max, size_t *n)
{
    bytes view = key_view(key);
    uint32_t hash = hash_of(view);
    *n = 0;
    TRY(read_table(s, txn, key, from, out, max, n));
    for (size_t i = 2; i-- > 0;) {
        const lag_stream *x = lag_find(&s->lags[i], view, hash);
        uint64_t at = from + *n;
        if (x == NULL || *n == max || at < x->base || at >= x->base + x->n)
            continue;
        size_t part = (size_t)(x->base + x->n - at);
        part = part < max - *n ? part : max - *n;
        lag_offsets(&s->lags[i], x, at - x->base, out + *n, part);
        *n += part;
    }
    return ERR_OK;
}

/* The first of the held-back streams with key >= *key, if it comes before *best. */
static err_t seek_lag(lag *l, bytes key, bytes *best)
{
    size_t lo = 0, hi = l->n_streams;
    if (hi == 0)
        return ERR_OK;
    TRY(lag_sort(l));
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (bytes_cmp(lag_key(l, &l->streams[l->order[mid]]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == l->n_streams)
        return ERR_OK;
    bytes found = lag_key(l, &l->streams[l->order[lo]]);
    if (best->p == NULL || bytes_cmp(found, *best) < 0)
        *best = found;
    return ERR_OK;
}

err_t stream_seek(store_core *s, kv_txn *txn, store_key *key)
{
    kv_cursor c;
    bytes best = bytes_of(NULL, 0), category, stream;
    err_t e = kv_first(txn, KV_STREAM, key_view(key), &c);
    if (e == ERR_OK && !key_split_stream(c.key, &category, &stream))
        e = ERR_DAMAGED; /* a chunk without its stream */
    if (e == ERR_OK)
        best = c.key;
    s->index_bad |= e == ERR_DAMAGED;
    e = e == ERR_NOT_FOUND ? ERR_OK : e;
    for (size_t i = 0; i < 2 && e == ERR_OK; i++)
        e = seek_lag(&s->lags[i], key_view(key), &best);
    if (e == ERR_OK && best.p == NULL)
        e = ERR_NOT_FOUND;
    if (e == ERR_OK) {
        memmove(key->b, best.p, best.len);
        key->len = best.len;
    }
    kv_done(&c);
    return e;
}

err_t stream_position(store_core *s, kv_txn *txn, bytes category, bytes stream, uint64_t offset,
                      uint64_t *position)
{
    uint64_t part[256];
    size_t n;
    store_key key;
    key_stream(&key, category, stream);
    for (uint64_t from = 0;; from += n) {
        TRY(stream_offsets(s, txn, &key, from, part, sizeof part / sizeof part[0], &n));
        for (size_t i = 0; i < n; i++)
            if (part[i] == offset) {
                *position = from + i;
                return ERR_OK;
            }
        if (n == 0)
            return ERR_NOT_FOUND;
    }
}

/* ---- a group that is lost ---- */

void lag_remember(store_core *s)
{
    const lag *l = &s->lags[0];
    s->mark = (lag_mark){.valid = true,
                         .head = s->st.head,
                         .indexed = s->st.indexed,
                         .owed = s->owed,
                         .before_offset = l->before_offset,
                         .last_offset = l->last_offset,
                         .n_streams = l->n_streams,
                         .n_entries = l->n_entries,
                         .keys_len = l->keys.len,
                         .drained = s->lags[1].drained};
}

bool lag_restore(store_core *s)
{
    const lag_mark *m = &s->mark;
    lag *l = &s->lags[0];
    if (!m->valid || s->st.head != m->head || s->st.indexed != m->indexed)
        return false; /* a commit that seemed to fail may have come through */
    for (size_t i = 0; i < m->n_streams; i++) {
        lag_stream *x = &l->streams[i];
        for (; x->last > m->n_entries; x->n--)
            x->last = l->entries[x->last - 1].before;
    }
    l->n_entries = m->n_entries;
    l->n_streams = m->n_streams;
    l->keys.len = m->keys_len;
    l->before_offset = m->before_offset;
    l->last_offset = m->last_offset;
    l->n_order = 0; /* sorted again when needed */
    s->lags[1].drained = m->drained;
    s->owed = m->owed;
    fill_slots(l);
    return true;
}

/* ---- loading ---- */

/* Positions ascend with offsets but for rows that were mended: those stand where they came in. */
static err_t is_entered(store_core *s, kv_txn *txn, const store_key *key, bytes category,
                        bytes stream, const stored_row *row)
{
    uint64_t there, position;
    size_t n;
    TRY(stream_offsets(s, txn, key, row->position, &there, 1, &n));
    if (n == 1 && there == row->offset)
        return ERR_OK;
    return stream_position(s, txn, category, stream, row->offset, &position);
}

err_t stream_replay(store_core *s, kv_txn *txn, const stored_row *row)
{
    bytes category, stream;
    uint64_t position;
    store_key key;
    if ((row->flags & (ROW_CHANGED | ROW_OPAQUE | ROW_DAMAGED)) != 0 ||
        !row_names(row->body, &category, &stream))
        return ERR_OK;
    key_stream(&key, category, stream);
    TRY(stream_length(s, txn, &key, &position));
    if (row->position < position) { /* of a slice that had reached the disk? */
        err_t e = is_entered(s, txn, &key, category, stream, row);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    for (; position < row->position; position++) { /* rows that are damaged now */
        uint64_t given;
        TRY(stream_push(s, txn, category, stream, 0, &given));
    }
    return stream_push(s, txn, category, stream, row->offset, &position);
}

err_t lag_load(store_core *s, kv_txn *txn)
{
    row_read r;
    lag_clear(&s->lags[0]);
    lag_clear(&s->lags[1]);
    s->owed = 0;
    for (uint64_t at = s->st.indexed + 1; at <= s->st.head; at++) {
        TRY(row_get(s, txn, at, &r));
        TRY(stream_replay(s, txn, &r.row));
    }
    return ERR_OK;
}
