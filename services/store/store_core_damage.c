/* A damaged row is known by its offset; the feed index still knows whose event it was. */
#include "store/store_core_impl.h"

#include <stdlib.h>

static const char *const reasons[DAMAGE_REASONS] = {
    [DAMAGE_SUM] = "its bytes do not match their checksum",
    [DAMAGE_MISSING] = "the row is not there",
    [DAMAGE_CHAIN] = "its id does not follow from its body and the event before it",
};

static size_t slot_of(const store_core *s, uint64_t offset)
{
    size_t lo = 0, hi = s->n_damage;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->damage[mid].offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const damaged *damage_find(const store_core *s, uint64_t offset)
{
    size_t at = slot_of(s, offset);
    return at < s->n_damage && s->damage[at].offset == offset ? &s->damage[at] : NULL;
}

static bool insert(store_core *s, damaged d)
{
    if (s->n_damage == DAMAGE_MAX)
        return false;
    if (s->n_damage == s->cap_damage) {
        size_t cap = s->cap_damage != 0 ? s->cap_damage * 2 : 16;
        damaged *grown = realloc(s->damage, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        s->damage = grown;
        s->cap_damage = cap;
    }
    size_t at = slot_of(s, d.offset);
    memmove(s->damage + at + 1, s->damage + at, (s->n_damage - at) * sizeof d);
    s->damage[at] = d;
    s->n_damage++;
    return true;
}

/* ---- whose event it was ---- */

static bool block_holds(const extents *list, uint64_t offset, damaged *d)
{
    for (size_t i = 0; i < list->n; i++)
        if (offset - list->p[i].offset < list->p[i].n) {
            d->feed = list->feed;
            d->seq = list->p[i].seq + (offset - list->p[i].offset);
            return true;
        }
    return false;
}

/* Damage comes in pages: the row before is often known, and in the same block. */
static bool near_neighbour(const store_core *s, kv_txn *txn, damaged *d, extents *list)
{
    const damaged *left = d->offset > 1 ? damage_find(s, d->offset - 1) : NULL;
    store_key key;
    bytes content;
    if (left == NULL || left->seq == 0)
        return false;
    key_feed_block(&key, left->feed, (left->seq + 1) / FEED_BLOCK);
    return table_get(txn, KV_FEED, &key, &content) == ERR_OK &&
           block_parse(content, left->feed, (left->seq + 1) / FEED_BLOCK, list) == ERR_OK &&
           block_holds(list, d->offset, d);
}

static void find_owner(const store_core *s, kv_txn *txn, damaged *d)
{
    extents list = {0};
    kv_cursor c;
    bytes content;
    bool found = near_neighbour(s, txn, d, &list);
    err_t e = found ? ERR_NOT_FOUND : kv_first(txn, KV_FEED, bytes_of(NULL, 0), &c);
    for (; e == ERR_OK || e == ERR_DAMAGED; e = kv_next(&c)) {
        if (e != ERR_OK || c.key.len != 12 ||
            sum_open(KV_FEED, c.key, c.value, &content) != ERR_OK ||
            block_parse(content, get_u32be(c.key.p), get_u64be(c.key.p + 4), &list) != ERR_OK)
            continue;
        if (block_holds(&list, d->offset, d))
            break;
    }
    if (!found)
        kv_done(&c);
    free(list.p);
}

void damage_note(store_core *s, kv_txn *txn, uint64_t offset, uint8_t reason)
{
    damaged d = {.offset = offset, .reason = reason, .dirty = true};
    if (damage_find(s, offset) != NULL)
        return;
    find_owner(s, txn, &d);
    (void)insert(s, d); /* without memory it is found again at the next read */
}

err_t damage_stand_in(store_core *s, const damaged *d, uint64_t offset, row_read *out)
{
    static const damaged unknown = {0};
    if (d == NULL)
        d = &unknown;
    stored_row row = {
        .offset = offset,
        .feed = d->feed,
        .seq = d->seq != 0 ? d->seq : 1,
        .flags = ROW_DAMAGED,
    };
    buf_clear(&s->row);
    TRY(msg_encode(&stored_row_desc, &row, &s->row));
    out->raw = buf_view(&s->row);
    out->damaged = true;
    return ERR_OK;
}

/* ---- the table ---- */

static err_t write_one(store_core *s, const damaged *d)
{
    store_key key;
    uint8_t b[13];
    put_u32be(b, d->feed);
    put_u64be(b + 4, d->seq);
    b[12] = d->reason;
    key_offset(&key, d->offset);
    return table_put(s->txn, KV_DAMAGE, &key, bytes_of(b, sizeof b), &s->scratch);
}

err_t damage_write(store_core *s)
{
    for (size_t i = 0; i < s->n_damage; i++) {
        if (!s->damage[i].dirty)
            continue;
        TRY(write_one(s, &s->damage[i]));
        s->damage[i].dirty = false;
    }
    return ERR_OK;
}

err_t damage_clear(store_core *s, uint64_t offset)
{
    store_key key;
    size_t at = slot_of(s, offset);
    if (at == s->n_damage || s->damage[at].offset != offset)
        return ERR_OK;
    memmove(s->damage + at, s->damage + at + 1, (s->n_damage - at - 1) * sizeof *s->damage);
    s->n_damage--;
    key_offset(&key, offset);
    err_t e = kv_del(s->txn, KV_DAMAGE, key_view(&key));
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

err_t damage_load(store_core *s, kv_txn *txn)
{
    kv_cursor c;
    bytes in;
    s->n_damage = 0;
    err_t e = kv_first(txn, KV_DAMAGE, bytes_of(NULL, 0), &c);
    for (; e == ERR_OK; e = kv_next(&c)) {
        if (c.key.len != 8 || sum_open(KV_DAMAGE, c.key, c.value, &in) != ERR_OK)
            continue; /* it is found again */
        damaged d = {.offset = get_u64be(c.key.p), .feed = take_u32(&in)};
        d.seq = take_u64(&in);
        take_fixed(&in, &d.reason, 1);
        if (d.reason < DAMAGE_REASONS && d.offset <= s->st.head)
            (void)insert(s, d);
    }
    kv_done(&c);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

err_t store_damage(store_core *s, damage_reply *out)
{
    uint32_t n = 0;
    *out = (damage_reply){0};
    buf_clear(&s->out);
    for (; n < s->n_damage && n < 1024; n++) {
        const damaged *d = &s->damage[n];
        damage_row row = {.offset = d->offset,
                          .feed = d->feed,
                          .seq = d->seq,
                          .why = bytes_str(reasons[d->reason])};
        TRY(msg_encode(&damage_row_desc, &row, &s->out));
    }
    out->rows = (msg_list){NULL, n, buf_view(&s->out)};
    return ERR_OK;
}
