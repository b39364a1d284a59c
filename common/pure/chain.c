#include "pure/chain.h"

/* Each hash and signature begins with its own domain, so that none can pass for another. */
static const char feed_domain[] = "cairn/1 feed";
static const char event_domain[] = "cairn/1 event";
static const char seal_domain[] = "cairn/1 seal";

void chain_start(event_id *out, const dataset_id *dataset, feed_id feed, const member_key *author)
{
    uint8_t number[4];
    crypto_hasher h;
    put_u32be(number, feed);
    crypto_hash_begin(&h);
    crypto_hash_add(&h, feed_domain, sizeof feed_domain - 1);
    crypto_hash_add(&h, dataset->b, sizeof dataset->b);
    crypto_hash_add(&h, number, sizeof number);
    crypto_hash_add(&h, author->b, sizeof author->b);
    crypto_hash_end(&h, out->b);
}

void chain_start_genesis(event_id *out, const member_key *founder)
{
    static const dataset_id zero;
    chain_start(out, &zero, CHAIN_GENESIS_FEED, founder);
}

/* All that stands before the head has one length, so it is put together on the stack: one call
 * instead of six. */
enum { FRONT_BYTES = sizeof event_domain - 1 + EVENT_ID_BYTES + 8 + 4 + CRYPTO_HASH_BYTES };

void chain_next_erased(event_id *out, const event_id *previous, uint64_t seq, bytes head,
                       uint32_t tail_len, const uint8_t tail_hash[CRYPTO_HASH_BYTES])
{
    uint8_t front[FRONT_BYTES], *p = front;
    crypto_hasher h;
    memcpy(p, event_domain, sizeof event_domain - 1);
    p += sizeof event_domain - 1;
    memcpy(p, previous->b, EVENT_ID_BYTES);
    p += EVENT_ID_BYTES;
    put_u64be(p, seq);
    put_u32be(p + 8, tail_len);
    memcpy(p + 12, tail_hash, CRYPTO_HASH_BYTES);
    crypto_hash_begin(&h);
    crypto_hash_add(&h, front, sizeof front);
    crypto_hash_add(&h, head.p, head.len);
    crypto_hash_end(&h, out->b);
}

void chain_next(event_id *out, const event_id *previous, uint64_t seq, bytes head, bytes tail)
{
    uint8_t tail_hash[CRYPTO_HASH_BYTES];
    crypto_digest(tail_hash, tail);
    chain_next_erased(out, previous, seq, head, (uint32_t)tail.len, tail_hash);
}

void chain_next_event(event_id *out, const event_id *previous, uint64_t seq, const event_view *v)
{
    if (v->erased)
        chain_next_erased(out, previous, seq, v->head, v->tail_len, v->tail_hash);
    else
        chain_next(out, previous, seq, v->head, v->tail);
}

void chain_genesis_id(dataset_id *out, const member_key *founder, bytes head, bytes tail)
{
    event_id id;
    chain_start_genesis(&id, founder);
    chain_next(&id, &id, 1, head, tail);
    memcpy(out->b, id.b, sizeof out->b);
}

void chain_seal_message(uint8_t out[CHAIN_SEAL_MESSAGE_BYTES], const dataset_id *dataset,
                        feed_id feed, uint64_t seq, const event_id *id)
{
    uint8_t *p = out;
    memcpy(p, seal_domain, sizeof seal_domain - 1);
    p += sizeof seal_domain - 1;
    memcpy(p, dataset->b, sizeof dataset->b);
    p += sizeof dataset->b;
    put_u32be(p, feed);
    put_u64be(p + 4, seq);
    memcpy(p + 12, id->b, sizeof id->b);
}

err_t chain_sign(seal_sig *out, const crypto_signer *key, const dataset_id *dataset, feed_id feed,
                 uint64_t seq, const event_id *id)
{
    uint8_t message[CHAIN_SEAL_MESSAGE_BYTES];
    chain_seal_message(message, dataset, feed, seq, id);
    return crypto_sign_message(out, key, bytes_of(message, sizeof message));
}

err_t chain_verify(const seal_sig *seal, const member_key *author, const dataset_id *dataset,
                   feed_id feed, uint64_t seq, const event_id *id)
{
    uint8_t message[CHAIN_SEAL_MESSAGE_BYTES];
    chain_seal_message(message, dataset, feed, seq, id);
    return crypto_verify_message(seal, author, bytes_of(message, sizeof message));
}
