/* Hidden events: their tails leave when they are due, and nothing of them stays behind in the file. A note in
 * "meta" for each says when; it outlives the row, so that a copy that mends a damaged one brings nothing
 * back. */
#include "store/store_core_impl.h"

#include "proto/event.h"
#include "pure/crypto.h"

#include <assert.h>

#define NOTE        "erase/"
#define GONE        0u         /* the tail is not here any more */
#define UNDATED     UINT64_MAX /* hidden while the clock was not set: the time begins when it is */
#define DUE_AT_ONCE 256u       /* tails that leave in one transaction */

/* ---- notes ---- */

err_t erase_note_read(kv_txn *txn, uint64_t offset, uint64_t *due)
{
    store_key key;
    bytes content;
    key_note(&key, NOTE, offset);
    err_t e = table_get(txn, KV_META, &key, &content);
    if (e == ERR_OK)
        *due = take_u64(&content);
    return e;
}

static err_t note_write(store_core *s, uint64_t offset, uint64_t due)
{
    store_key key;
    uint8_t b[8];
    put_u64be(b, due);
    key_note(&key, NOTE, offset);
    if (due == UNDATED)
        s->erase_next = 0;
    else if (due != GONE && due < s->erase_next)
        s->erase_next = due;
    return table_put(s->txn, KV_META, &key, bytes_of(b, sizeof b), &s->scratch);
}

static err_t note_drop(store_core *s, uint64_t offset)
{
    store_key key;
    key_note(&key, NOTE, offset);
    err_t e = kv_del(s->txn, KV_META, key_view(&key));
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t wipe_soon(store_core *s)
{
    store_key key;
    s->wipe = WIPE_DUE;
    key_text(&key, "wipe");
    return table_put(s->txn, KV_META, &key, bytes_of("", 0), &s->scratch);
}

/* Where a walk over all notes begins; false when the key at hand is no note. */
static bool is_note(bytes key, uint64_t *offset)
{
    size_t n = strlen(NOTE);
    if (key.len != n + 8 || memcmp(key.p, NOTE, n) != 0)
        return false;
    *offset = get_u64be(key.p + n);
    return true;
}

err_t erase_load(store_core *s, kv_txn *txn)
{
    store_key wipe;
    bytes content;
    s->erase_next = 0; /* the first look finds out */
    key_text(&wipe, "wipe");
    if (table_get(txn, KV_META, &wipe, &content) != ERR_NOT_FOUND && s->wipe == WIPE_NONE)
        s->wipe = WIPE_DUE;
    return ERR_OK;
}

/* ---- rows ---- */

err_t erased_form(bytes body, buf *out)
{
    event_view v;
    uint8_t hash[CRYPTO_HASH_BYTES];
    TRY(event_parse(body, &v));
    crypto_digest(hash, v.tail);
    buf_clear(out);
    return event_write_erased(&v, hash, out);
}

/* The row lies in s->list. */
static err_t drop_tail(store_core *s, stored_row *row)
{
    TRY(erased_form(row->body, &s->out));
    row->body = buf_view(&s->out);
    row->flags |= ROW_ERASED;
    TRY(note_write(s, row->offset, GONE));
    return wipe_soon(s);
}

static err_t hide(store_core *s, stored_row *row, bool at_once, wall_ms now)
{
    bool known = (row->flags & ROW_HIDDEN) != 0, here = (row->flags & ROW_ERASED) == 0;
    if (known && !(here && at_once))
        return ERR_OK;
    row->flags |= ROW_HIDDEN;
    if (here && at_once)
        TRY(drop_tail(s, row));
    else /* how long it lasts is worked out when the clock can be believed */
        TRY(note_write(s, row->offset, here ? UNDATED : GONE));
    TRY(row_put(s, row, false));
    return row_announce(s, row, now);
}

static err_t unhide(store_core *s, stored_row *row, wall_ms now)
{
    if ((row->flags & ROW_HIDDEN) == 0)
        return ERR_OK;
    row->flags &= (uint8_t)~ROW_HIDDEN;
    TRY(note_drop(s, row->offset));
    if ((row->flags & ROW_ERASED) != 0)
        TRY(index_row(s, TAILLESS, row->offset)); /* missing from now on */
    TRY(row_put(s, row, false));
    return row_announce(s, row, now);
}

err_t store_erase(store_core *s, const erase_request *req, wall_ms now)
{
    row_read r;
    assert(s->txn != NULL);
    TRY(s->group);
    TRY(event_at(s, req->offset, &r));
    if (r.damaged)
        return ERR_DAMAGED;
    err_t e = row_keep(s, &r);
    if (e == ERR_OK)
        e = req->hidden ? hide(s, &r.row, req->at_once, now) : unhide(s, &r.row, now);
    return e == ERR_OK ? ERR_OK : group_fail(s, e);
}

err_t erase_mended(store_core *s, stored_row *row)
{
    uint64_t due;
    err_t e = erase_note_read(s->txn, row->offset, &due);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    row->flags |= ROW_HIDDEN;
    if ((row->flags & ROW_ERASED) != 0)
        return note_write(s, row->offset, GONE);
    return due == GONE ? drop_tail(s, row) : ERR_OK;
}

err_t erase_heal(store_core *s, stored_row *row, const append_row *copy, wall_ms now)
{
    row->body = copy->body;
    row->flags &= (uint8_t)~ROW_ERASED;
    row->flags |= copy->flags & ROW_OPAQUE;
    if (row->seal.len == 0)
        row->seal = copy->seal;
    TRY(row_put(s, row, false));
    return row_announce(s, row, now);
}

/* ---- in time ---- */

typedef struct {
    uint64_t now, next;
    uint64_t offset[DUE_AT_ONCE];
    uint64_t due[DUE_AT_ONCE]; /* what their notes say from now on */
    uint32_t n;
    bool all;
} due_list;

/* Adds what is to be done about one note. A time further away than it can be was set by a clock that was ahead. */
static void look_at_note(due_list *l, uint64_t offset, uint64_t due)
{
    uint64_t latest = l->now + ERASE_KEEP_MS;
    uint64_t next = due <= l->now ? GONE : due > latest ? latest : due;
    if (due == GONE)
        return;
    if (next != due) {
        l->offset[l->n] = offset;
        l->due[l->n++] = next;
    }
    if (next != GONE && next < l->next)
        l->next = next;
}

static err_t look_at_notes(store_core *s, due_list *l)
{
    kv_txn *txn;
    kv_cursor c;
    bytes content;
    uint64_t offset;
    TRY(read_begin(s, &txn));
    err_t e = kv_first(txn, KV_META, bytes_str(NOTE), &c);
    for (; e == ERR_OK && l->n < DUE_AT_ONCE && is_note(c.key, &offset); e = kv_next(&c))
        if (sum_open(KV_META, c.key, c.value, &content) == ERR_OK)
            look_at_note(l, offset, take_u64(&content));
    l->all = l->n < DUE_AT_ONCE;
    kv_done(&c);
    kv_abort(txn);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t erase_one(store_core *s, uint64_t offset, wall_ms now)
{
    row_read r;
    err_t e = event_at(s, offset, &r);
    if (e == ERR_NOT_FOUND || (e == ERR_OK && r.damaged))
        return note_write(s, offset, GONE); /* no copy brings it back */
    TRY(e);
    TRY(row_keep(s, &r));
    if ((r.row.flags & ROW_HIDDEN) == 0 || (r.row.flags & ROW_ERASED) != 0)
        return note_write(s, offset, GONE);
    TRY(drop_tail(s, &r.row));
    TRY(row_put(s, &r.row, false));
    return row_announce(s, &r.row, now);
}

static err_t erase_due(store_core *s, const due_list *l, wall_ms now)
{
    for (uint32_t i = 0; i < l->n; i++)
        TRY(l->due[i] == GONE ? erase_one(s, l->offset[i], now)
                              : note_write(s, l->offset[i], l->due[i]));
    return ERR_OK;
}

err_t store_tails(store_core *s, wall_ms now, uint32_t *gone)
{
    due_list l = {.now = now.ms, .next = UINT64_MAX};
    *gone = 0;
    if (now.ms < s->erase_next || s->state != ERR_OK)
        return ERR_OK;
    TRY(look_at_notes(s, &l));
    if (l.n > 0) {
        TRY(store_begin(s));
        err_t e = erase_due(s, &l, now);
        if (e != ERR_OK)
            (void)group_fail(s, e);
        TRY(store_commit(s));
    }
    s->erase_next = l.all ? l.next : 0;
    for (uint32_t i = 0; i < l.n; i++)
        *gone += l.due[i] == GONE;
    return ERR_OK;
}

/* ---- the file ---- */

static err_t wiped(store_core *s)
{
    store_key key;
    key_text(&key, "wipe");
    TRY(store_begin(s));
    err_t e = kv_del(s->txn, KV_META, key_view(&key));
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        (void)group_fail(s, e);
    TRY(store_commit(s));
    s->wipe = WIPE_NONE;
    return ERR_OK;
}

bool store_has_undated(const store_core *s)
{
    return s->erase_next == 0;
}

bool store_has_remains(const store_core *s)
{
    return s->wipe != WIPE_NONE;
}

err_t store_wipe(store_core *s, uint32_t pages, bool *more)
{
    assert(s->txn == NULL);
    *more = s->wipe != WIPE_NONE;
    if (s->wipe == WIPE_NONE || s->state != ERR_OK)
        return ERR_OK;
    if (s->wipe == WIPE_DUE) {
        TRY(kv_wipe(s->kv, 0, more));
        TRY(store_probe(s)); /* after it no root leads to what was there before */
        s->wipe = WIPE_RUNNING;
    }
    TRY(kv_wipe(s->kv, pages, more));
    return *more ? ERR_OK : wiped(s);
}
