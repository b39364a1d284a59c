#include "store/store_core_impl.h"

#include "proto/event.h"

static err_t stand_in(store_core *s, kv_txn *txn, uint64_t offset, uint8_t reason, row_read *out)
{
    damage_note(s, txn, offset, reason);
    return damage_stand_in(s, damage_find(s, offset), offset, out);
}

err_t row_check(store_core *s, kv_txn *txn, uint64_t offset, bytes value, row_read *out)
{
    store_key key;
    key_offset(&key, offset);
    out->damaged = false;
    const damaged *known = s->n_damage != 0 ? damage_find(s, offset) : NULL;
    if (known != NULL)
        return damage_stand_in(s, known, offset, out);
    if (sum_open(KV_LOG, key_view(&key), value, &out->raw) != ERR_OK)
        return stand_in(s, txn, offset, DAMAGE_SUM, out);
    return ERR_OK;
}

err_t row_decode(row_read *r)
{
    return msg_decode(&stored_row_desc, r->raw, &r->row, NULL) == ERR_OK ? ERR_OK : ERR_DAMAGED;
}

err_t row_find(store_core *s, kv_txn *txn, uint64_t offset, row_read *out)
{
    store_key key;
    bytes value;
    key_offset(&key, offset);
    err_t e = kv_get(txn, KV_LOG, key_view(&key), &value);
    if (e == ERR_OK)
        e = row_check(s, txn, offset, value, out);
    else if (e == ERR_NOT_FOUND || e == ERR_DAMAGED)
        e = stand_in(s, txn, offset, e == ERR_DAMAGED ? DAMAGE_SUM : DAMAGE_MISSING, out);
    return e;
}

row_walk row_walk_begin(kv_txn *txn)
{
    return (row_walk){.txn = txn};
}

/* Moves the cursor to the row; false when it cannot: a damaged page may hide rows from it. */
static bool walk_to(row_walk *w, uint64_t offset)
{
    store_key key;
    err_t e;
    key_offset(&key, offset);
    if (w->open) {
        e = kv_next(&w->at);
    } else {
        e = kv_first(w->txn, KV_LOG, key_view(&key), &w->at);
        w->open = true;
    }
    return e == ERR_OK && w->at.key.len == 8 && get_u64be(w->at.key.p) == offset;
}

err_t row_walk_find(store_core *s, row_walk *w, uint64_t offset, row_read *out)
{
    bool follows = offset == w->last + 1;
    w->last = offset;
    if (follows && walk_to(w, offset))
        return row_check(s, w->txn, offset, w->at.value, out);
    row_walk_end(w);
    return row_find(s, w->txn, offset, out);
}

void row_walk_end(row_walk *w)
{
    if (w->open)
        kv_done(&w->at);
    w->open = false;
}

err_t row_get(store_core *s, kv_txn *txn, uint64_t offset, row_read *out)
{
    TRY(row_find(s, txn, offset, out));
    return row_decode(out);
}

err_t row_put(store_core *s, const stored_row *given, bool append)
{
    store_key key;
    stored_row clamped = *given; /* a clock in the far future must not stop the log */
    const stored_row *row = &clamped;
    if (clamped.received_ms > WALL_MAX_MS)
        clamped.received_ms = WALL_MAX_MS;
    key_offset(&key, row->offset);
    buf_clear(&s->row);
    buf_add_u64be(&s->row, 0);
    TRY(msg_encode(&stored_row_desc, row, &s->row));
    sum_close(KV_LOG, key_view(&key), &s->row);
    return append ? kv_append(s->txn, KV_LOG, key_view(&key), buf_view(&s->row))
                  : kv_put(s->txn, KV_LOG, key_view(&key), buf_view(&s->row));
}

err_t row_keep(store_core *s, row_read *r)
{
    buf_clear(&s->list);
    buf_add_bytes(&s->list, r->raw);
    TRY(s->list.err);
    r->raw = buf_view(&s->list);
    return row_decode(r);
}

static bool is_name(bytes s, size_t max)
{
    return s.len >= 1 && s.len <= max && memchr(s.p, 0, s.len) == NULL;
}

static bool read_names(mp_reader *r, bytes *category, bytes *stream)
{
    uint32_t n = mp_array(r);
    (void)mp_uint(r);
    (void)mp_uint(r);
    (void)mp_any(r);
    *category = mp_str(r);
    *stream = mp_str(r);
    return r->err == ERR_OK && n >= 5 && is_name(*category, CATEGORY_MAX_BYTES) &&
           is_name(*stream, STREAM_MAX_BYTES);
}

bool row_names(bytes body, bytes *category, bytes *stream)
{
    mp_reader r = mp_reader_of(body);
    return read_names(&r, category, stream);
}

bool row_names_and_erasure(bytes body, bytes *category, bytes *stream, bool *erasure)
{
    mp_reader r = mp_reader_of(body);
    bool named = read_names(&r, category, stream);
    *erasure = named && bytes_is(mp_str(&r), EVENT_KIND_ERASE);
    return named;
}

/* ---- the category index ---- */

err_t category_flush(store_core *s, category_writer *w)
{
    store_key key;
    bytes held;
    if (!w->any)
        return ERR_OK;
    w->any = false;
    key_category(&key, w->category, w->block);
    err_t e = table_get(s->txn, KV_CATEGORY, &key, &held);
    if (e == ERR_OK && held.len == sizeof w->bits)
        for (size_t i = 0; i < sizeof w->bits; i++)
            w->bits[i] |= held.p[i];
    else if (e != ERR_NOT_FOUND) {
        s->index_bad = true;
        return ERR_DAMAGED;
    }
    return table_put(s->txn, KV_CATEGORY, &key, bytes_of(w->bits, sizeof w->bits), &s->scratch);
}

err_t category_add(store_core *s, category_writer *w, bytes category, uint64_t offset)
{
    uint64_t block = offset / CATEGORY_BLOCK;
    if (!w->any || w->block != block || !bytes_eq(w->category, category)) {
        TRY(category_flush(s, w));
        *w = (category_writer){.category = category, .block = block, .any = true};
    }
    unsigned bit = (unsigned)(offset % CATEGORY_BLOCK);
    w->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
    return ERR_OK;
}

err_t index_row(store_core *s, const char *name, uint64_t offset)
{
    category_writer w = {0};
    TRY(category_add(s, &w, bytes_str(name), offset));
    return category_flush(s, &w);
}

/* ---- changed rows ---- */

err_t row_announce(store_core *s, const stored_row *target, wall_ms now)
{
    category_writer w = {0};
    bytes category, stream;
    stored_row row = {
        .offset = s->st.head + 1,
        .feed = target->feed,
        .seq = target->seq,
        .parent = target->offset,
        .position = target->position,
        .received_ms = now.ms,
        .flags =
            ROW_CHANGED | (target->flags & (ROW_COUNTS | ROW_OPAQUE | ROW_ERASED | ROW_HIDDEN)),
        .id = target->id,
    };
    store_key kept; /* the target may borrow what the first put invalidates */
    kept.len = 0;
    if ((target->flags & ROW_OPAQUE) == 0 && row_names(target->body, &category, &stream))
        key_stream(&kept, category, stream);
    TRY(row_put(s, &row, true));
    s->st.head++;
    s->st.changed++;
    s->group_rows++;
    if (kept.len == 0 || !key_split_stream(key_view(&kept), &category, &stream))
        return ERR_OK;
    TRY(category_add(s, &w, category, row.offset));
    return category_flush(s, &w);
}
