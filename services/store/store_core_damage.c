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

static const extent *block_holds(const extents *list, damaged *d)
{
    for (size_t i = 0; i < list->n; i++) {
        const extent *x = &list->p[i];
        if (d->offset - x->offset >= x->n)
            continue;
        d->feed = list->feed;
        d->seq = x->seq + (d->offset - x->offset);
        return x;
    }
    return NULL;
}

static err_t read_block(kv_txn *txn, feed_id feed, uint64_t block, extents *list)
{
    store_key key;
    bytes content;
    key_feed_block(&key, feed, block);
    TRY(table_get(txn, KV_FEED, &key, &content));
    return block_parse(content, feed, block, list);
}

/* Not by feed_offset: s->block may be in use. */
static void find_parent(store_core *s, kv_txn *txn, damaged *d, uint32_t on, extents *list)
{
    const feed_tree *f = feed_find(s, d->feed);
    uint64_t seq = d->seq - 1;
    if (seq == 0 || f == NULL || on >= f->n ||
        (seq / FEED_BLOCK != list->block &&
         read_block(txn, d->feed, seq / FEED_BLOCK, list) != ERR_OK))
        return;
    on = branch_at(f, on, seq);
    for (size_t i = 0; i < list->n; i++)
        if (list->p[i].branch == on && seq - list->p[i].seq < list->p[i].n)
            d->parent = list->p[i].offset + (seq - list->p[i].seq);
}

/* Damage comes in pages: the row before is often known, and in the same block. */
static const extent *near_neighbour(const store_core *s, kv_txn *txn, damaged *d, extents *list)
{
    const damaged *left = d->offset > 1 ? damage_find(s, d->offset - 1) : NULL;
    if (left == NULL || left->seq == 0 ||
        read_block(txn, left->feed, (left->seq + 1) / FEED_BLOCK, list) != ERR_OK)
        return NULL;
    return block_holds(list, d);
}

static const extent *search_all(kv_txn *txn, damaged *d, extents *list)
{
    kv_cursor c;
    bytes content;
    const extent *found = NULL;
    err_t e = kv_first(txn, KV_FEED, bytes_of(NULL, 0), &c);
    for (; (e == ERR_OK || e == ERR_DAMAGED) && found == NULL; e = kv_next(&c))
        if (e == ERR_OK && c.key.len == 12 &&
            sum_open(KV_FEED, c.key, c.value, &content) == ERR_OK &&
            block_parse(content, get_u32be(c.key.p), get_u64be(c.key.p + 4), list) == ERR_OK)
            found = block_holds(list, d);
    kv_done(&c);
    return found;
}

static void find_owner(store_core *s, kv_txn *txn, damaged *d)
{
    extents list = {0};
    const extent *x = near_neighbour(s, txn, d, &list);
    if (x == NULL)
        x = search_all(txn, d, &list);
    if (x != NULL)
        find_parent(s, txn, d, x->branch, &list);
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
        .parent = d->parent,
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
    uint8_t b[21];
    put_u32be(b, d->feed);
    put_u64be(b + 4, d->seq);
    b[12] = d->reason;
    put_u64be(b + 13, d->parent);
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
        d.parent = take_u64(&in);
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
