/* Event ids and seals (design section 2). Call crypto_start first.
 *
 *     id(0) = H("cairn/1 feed"  ‖ dataset id ‖ feed u32 BE ‖ author's public key)
 *     id(n) = H("cairn/1 event" ‖ id(n-1) ‖ seq u64 BE ‖ len(tail) u32 BE ‖ H(tail) ‖ head)
 *     seal  = Ed25519("cairn/1 seal" ‖ dataset id ‖ feed u32 BE ‖ seq u64 BE ‖ id(n))
 *
 * The founder's feed 1 begins under an all-zero dataset id, because the id of its first event *is*
 * the dataset id; all other chains (also feed 1 under an heir's key) begin under the real one.
 * Seals always carry the real one. */
#ifndef CAIRN_CHAIN_H
#define CAIRN_CHAIN_H

#include "base/error.h"
#include "base/ids.h"
#include "proto/event.h"
#include "pure/crypto.h"

#define CHAIN_SEAL_MESSAGE_BYTES 88u
#define CHAIN_GENESIS_FEED       ((feed_id)1)

/* id(0). For the founder's own feed 1 use chain_start_genesis. */
void chain_start(event_id *out, const dataset_id *dataset, feed_id feed, const member_key *author);
void chain_start_genesis(event_id *out, const member_key *founder);

/* id(n) from id(n-1); `out` and `previous` may be the same. */
void chain_next(event_id *out, const event_id *previous, uint64_t seq, bytes head, bytes tail);
/* The same when only length and hash of the tail are left. */
void chain_next_erased(event_id *out, const event_id *previous, uint64_t seq, bytes head,
                       uint32_t tail_len, const uint8_t tail_hash[CRYPTO_HASH_BYTES]);
/* Whichever of the two the parsed event needs. */
void chain_next_event(event_id *out, const event_id *previous, uint64_t seq, const event_view *v);

/* The dataset id that a genesis body of this founder makes: id(1) of the founder's feed 1. */
void chain_genesis_id(dataset_id *out, const member_key *founder, bytes head, bytes tail);

/* What a seal signs. */
void chain_seal_message(uint8_t out[CHAIN_SEAL_MESSAGE_BYTES], const dataset_id *dataset,
                        feed_id feed, uint64_t seq, const event_id *id);
/* ERR_OK or ERR_BUG (see crypto_sign_message). */
err_t chain_sign(seal_sig *out, const crypto_signer *key, const dataset_id *dataset, feed_id feed,
                 uint64_t seq, const event_id *id) CAIRN_CHECK;
/* ERR_OK or ERR_BAD_SEAL. */
err_t chain_verify(const seal_sig *seal, const member_key *author, const dataset_id *dataset,
                   feed_id feed, uint64_t seq, const event_id *id) CAIRN_CHECK;

#endif
