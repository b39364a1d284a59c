#include "store/store_keys.h"

#define XXH_INLINE_ALL
#include <assert.h>
#include <xxhash.h>

static void add(store_key *k, const void *p, size_t n)
{
    assert(k->len + n <= sizeof k->b);
    if (n != 0)
        memcpy(k->b + k->len, p, n);
    k->len += n;
}

static void add_u32(store_key *k, uint32_t v)
{
    uint8_t b[4];
    put_u32be(b, v);
    add(k, b, sizeof b);
}

static void add_u64(store_key *k, uint64_t v)
{
    uint8_t b[8];
    put_u64be(b, v);
    add(k, b, sizeof b);
}

void key_offset(store_key *k, uint64_t offset)
{
    k->len = 0;
    add_u64(k, offset);
}

void key_text(store_key *k, const char *text)
{
    k->len = 0;
    add(k, text, strlen(text));
}

void key_note(store_key *k, const char *prefix, uint64_t offset)
{
    key_text(k, prefix);
    add_u64(k, offset);
}

void key_feed_block(store_key *k, feed_id feed, uint64_t block)
{
    k->len = 0;
    add_u32(k, feed);
    add_u64(k, block);
}

void key_branch(store_key *k, feed_id feed, uint32_t branch)
{
    k->len = 0;
    add_u32(k, feed);
    add_u32(k, branch);
}

void key_category(store_key *k, bytes category, uint64_t block)
{
    k->len = 0;
    add(k, category.p, category.len);
    add(k, "", 1);
    add_u64(k, block);
}

void key_stream(store_key *k, bytes category, bytes stream)
{
    k->len = 0;
    add(k, category.p, category.len);
    add(k, "", 1);
    add(k, stream.p, stream.len);
}

void key_chunk(store_key *k, const store_key *stream, uint32_t chunk)
{
    k->len = 0;
    add(k, stream->b, stream->len);
    add(k, "", 1);
    add_u32(k, chunk);
}

bool key_split_stream(bytes key, bytes *category, bytes *stream)
{
    const uint8_t *nul = key.len != 0 ? memchr(key.p, 0, key.len) : NULL;
    if (nul == NULL)
        return false;
    *category = bytes_of(key.p, (size_t)(nul - key.p));
    *stream = bytes_of(nul + 1, key.len - category->len - 1);
    return stream->len != 0 && memchr(stream->p, 0, stream->len) == NULL;
}

/* Not one hash seeded by the other: XXH3 would derive a secret from that seed, which costs as much as hashing a row. */
uint64_t sum_of(kv_table table, bytes key, bytes content)
{
    return XXH3_64bits(content.p, content.len) ^
           XXH3_64bits_withSeed(key.p, key.len, (uint64_t)table + 1);
}

err_t sum_open(kv_table table, bytes key, bytes value, bytes *content)
{
    if (value.len < SUM_BYTES)
        return ERR_DAMAGED;
    *content = bytes_of(value.p + SUM_BYTES, value.len - SUM_BYTES);
    return get_u64be(value.p) == sum_of(table, key, *content) ? ERR_OK : ERR_DAMAGED;
}

void sum_close(kv_table table, bytes key, buf *b)
{
    if (b->err == ERR_OK)
        put_u64be(b->p, sum_of(table, key, bytes_of(b->p + SUM_BYTES, b->len - SUM_BYTES)));
}

err_t table_get(kv_txn *txn, kv_table table, const store_key *key, bytes *content)
{
    bytes value;
    TRY(kv_get(txn, table, key_view(key), &value));
    return sum_open(table, key_view(key), value, content);
}

err_t table_put(kv_txn *txn, kv_table table, const store_key *key, bytes content, buf *scratch)
{
    buf_clear(scratch);
    buf_add_u64be(scratch, 0);
    buf_add_bytes(scratch, content);
    sum_close(table, key_view(key), scratch);
    TRY(scratch->err);
    return kv_put(txn, table, key_view(key), buf_view(scratch));
}

void put_varint(buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_add_u8(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_add_u8(b, (uint8_t)v);
}

static void take(bytes *in, size_t n)
{
    in->p += n;
    in->len -= n;
}

uint64_t take_varint(bytes *in)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < in->len && i < 10; i++) {
        v |= (uint64_t)(in->p[i] & 0x7f) << (7 * i);
        if ((in->p[i] & 0x80) == 0) {
            take(in, i + 1);
            return v;
        }
    }
    in->len = 0;
    return 0;
}

uint64_t take_u64(bytes *in)
{
    uint8_t b[8];
    take_fixed(in, b, sizeof b);
    return get_u64be(b);
}

uint32_t take_u32(bytes *in)
{
    uint8_t b[4];
    take_fixed(in, b, sizeof b);
    return get_u32be(b);
}

void take_fixed(bytes *in, void *out, size_t len)
{
    memset(out, 0, len);
    if (in->len < len) {
        in->len = 0;
        return;
    }
    memcpy(out, in->p, len);
    take(in, len);
}
