/* What a joiner and its inviter say to each other, as bytes: keys derived from the token's secret, sealed messages,
 * the confirm code, the introductions. Used by gossip's lobby and by `cairn join`. No randomness: nonces are given. */
#ifndef CAIRN_JOIN_CORE_H
#define CAIRN_JOIN_CORE_H

#include "proto/msg.h"
#include "pure/crypto.h"
#include "pure/token.h"

#define JOIN_INVITE_BYTES 8u
#define JOIN_CODE_BYTES   7u /* six characters and NUL */
#define JOIN_PROOF_MAX    128u
#define JOIN_INTROS_MAX   64u

/* Secret half of the lobby's CURVE key: whoever knows the dataset id can derive it, so it keeps strangers and other
 * datasets out, and nothing secret. */
void join_lobby_secret(uint8_t out[TRANSPORT_KEY_BYTES], const dataset_id *dataset);
/* What names an invitation in the clear. */
void join_invite_id(uint8_t out[JOIN_INVITE_BYTES], const uint8_t secret[TOKEN_SECRET_BYTES]);
/* Six characters that both screens show: hash of the secret, the joiner's key and the inviter's transport key. */
void gossip_confirm_code(char out[JOIN_CODE_BYTES], const uint8_t secret[TOKEN_SECRET_BYTES],
                         const member_key *joiner, const transport_key *inviter);
/* What the joiner's member key signs. Returns its length. */
size_t join_proof_message(uint8_t out[JOIN_PROOF_MAX], const dataset_id *dataset,
                          const transport_key *transport);

/* Appends nonce and sealed `desc` message (join_ask or join_answer) to `out`. */
err_t join_seal(const uint8_t secret[TOKEN_SECRET_BYTES], const dataset_id *dataset,
                const uint8_t nonce[CRYPTO_NONCE_BYTES], const msg_desc *desc, const void *msg,
                buf *out) CAIRN_CHECK;
/* Opens into `room` (which `msg` borrows) and decodes. ERR_BAD_SEAL: made with another secret, or changed. */
err_t join_open(const uint8_t secret[TOKEN_SECRET_BYTES], const dataset_id *dataset,
                const msg_desc *desc, bytes sealed, buf *room, void *msg) CAIRN_CHECK;

/* The file HOME/gossip/intros: whom a new member may trust before it has the roster. `list` is join_answer.intros;
 * the address of member `via` is replaced by `via_address`, where the joiner has met it. */
err_t join_intros_encode(msg_list list, member_no via, bytes via_address, buf *out) CAIRN_CHECK;
/* `*n` rows, at most JOIN_INTROS_MAX; their views borrow `in`. */
err_t join_intros_decode(bytes in, intro_row out[JOIN_INTROS_MAX], size_t *n) CAIRN_CHECK;

#endif
