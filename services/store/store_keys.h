/* How the tables are laid out. Numbers in keys are big-endian, so that keys sort as the numbers do.
 * Every value begins with a checksum, because LMDB has none: XXH3-64 of what follows it, exclusive or
 * XXH3-64 of the key with the table as seed.
 *
 *   table     key                                        value after the checksum
 *   meta      "format"                                   STORE_FORMAT
 *             "identity/0", "identity/1"                 who this database is (two copies)
 *             "state/0", "state/1"                       head, clock, marks (two copies)
 *             "start/" offset u64                        id before the event at seq 1 that lies there
 *             "erase/" offset u64                        an event that is hidden: when its tail is due
 *             "wipe"                                     there while the file holds remains of tails
 *             "rebuild"                                  there while the indexes are built anew
 *   log       offset u64                                 stored_row of proto/store.def
 *   feed      feed u32, seq / 256 u64                    runs: where those 256 seqs lie
 *   head      feed u32, branch u32                       one branch of a feed
 *   stream    category 0 stream                          length, first position of what follows, offsets
 *             category 0 stream 0 chunk u32              STREAM_CHUNK offsets (chunk i: positions from
 *                                                        i * STREAM_CHUNK)
 *   category  category 0 offset / 256 u64                a bit per offset, 32 bytes; also under names
 *                                                        that no category has, "/erase", "/tailless"
 *   idem      the client's key                           when, and runs of offsets
 *   damage    offset u64                                 feed, seq, reason, offset of the event before
 *
 * Neither category nor stream holds a NUL, so the order is that of (category, stream). Consecutive
 * seqs mostly have consecutive offsets, so that a feed costs about 20 bytes per 256 events, a category
 * about 50; a stream costs 2 to 4 bytes per event. */
#ifndef CAIRN_STORE_KEYS_H
#define CAIRN_STORE_KEYS_H

#include "base/ids.h"
#include "store/store_kv.h"

#define STORE_FORMAT   "cairn store 2"
#define SUM_BYTES      8u
#define FEED_BLOCK     256u
#define CATEGORY_BLOCK 256u
#define STREAM_CHUNK   32u

typedef struct {
    uint8_t b[KV_KEY_MAX];
    size_t len;
} store_key;

static inline bytes key_view(const store_key *k)
{
    return bytes_of(k->b, k->len);
}

void key_offset(store_key *k, uint64_t offset);
void key_text(store_key *k, const char *text);
void key_note(store_key *k, const char *prefix, uint64_t offset); /* in meta */
void key_feed_block(store_key *k, feed_id feed, uint64_t block);
void key_branch(store_key *k, feed_id feed, uint32_t branch);
void key_category(store_key *k, bytes category, uint64_t block);
void key_stream(store_key *k, bytes category, bytes stream);
void key_chunk(store_key *k, const store_key *stream, uint32_t chunk);
/* Of a stream's key (not a chunk's): false for anything else. */
bool key_split_stream(bytes key, bytes *category, bytes *stream);

/* The checksum of a row, and values with it. */
uint64_t sum_of(kv_table table, bytes key, bytes content);
/* ERR_DAMAGED when it does not match; *content borrows `value`. */
err_t sum_open(kv_table table, bytes key, bytes value, bytes *content) CAIRN_CHECK;
/* `b` begins with SUM_BYTES free bytes: fills them. */
void sum_close(kv_table table, bytes key, buf *b);

/* kv_get, checked; kv_put of `content` behind its checksum, by way of `scratch`. */
err_t table_get(kv_txn *txn, kv_table table, const store_key *key, bytes *content) CAIRN_CHECK;
err_t table_put(kv_txn *txn, kv_table table, const store_key *key, bytes content,
                buf *scratch) CAIRN_CHECK;

/* Unsigned LEB128. */
void put_varint(buf *b, uint64_t v);
/* 0 and *in emptied when it does not end. */
uint64_t take_varint(bytes *in);
/* 0 when too short. */
uint64_t take_u64(bytes *in);
uint32_t take_u32(bytes *in);
void take_fixed(bytes *in, void *out, size_t len);

#endif
