/* What goes through the air: at most 254 bytes (proto/FORMAT.md section 10, proto/vectors/frames.json).
 *
 *     header 8 ‖ tag 6 ‖ ciphertext
 *
 * A synthetic IV, after RFC 5297 with other primitives: the tag is a keyed hash of header and plaintext, and the nonce
 * of the cipher is header and tag. So there is no state whose loss would use a nonce for two plaintexts: a copied
 * card, a restored directory and two bridges of one member are safe, and what is sent twice is the same frame. Whoever
 * lacks the key can neither read nor make a frame (one try in 2^48 passes); what he repeats is up to the replay filter. */
#ifndef CAIRN_RADIO_FRAME_H
#define CAIRN_RADIO_FRAME_H

#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"
#include "pure/crypto.h"

/* Kinds are 0 … 15. From this one on they are control frames: they make others send, so a bridge lets none count twice
 * in its epoch. */
#define RADIO_KIND_CONTROL 8u
#define RADIO_KIND_MAX     15u

typedef struct {
    uint8_t kind;
    uint8_t epoch;     /* of the key */
    uint8_t bridge;    /* which of the member's radios */
    member_no station; /* 0: somebody who is joining, under a key of his token */
    uint16_t counter;  /* begins at random, goes up by one with each frame of this bridge */
} radio_header;

/* Secret. Holds no pointer: copies are fine, crypto_wipe() them. */
typedef struct {
    uint8_t network; /* tells most foreign frames by one byte */
    uint8_t epoch;
    uint8_t tag_key[CRYPTO_KEY_BYTES], cipher_key[CRYPTO_KEY_BYTES];
} radio_keys;

/* From the dataset's radio key of that epoch. */
void radio_keys_derive(radio_keys *out, const dataset_id *dataset, uint8_t epoch,
                       const uint8_t key[CRYPTO_KEY_BYTES]);

/* Which key a frame claims to be under, before anything is computed: ERR_TRUNCATED, ERR_TOO_LARGE, ERR_VERSION;
 * ERR_DATASET: `network` is not this one's. */
err_t radio_frame_peek(bytes frame, uint8_t network, radio_header *out) CAIRN_CHECK;

/* `frame` holds RADIO_FRAME_MAX_BYTES; its length is returned in *len. The epoch in the header is that of the keys.
 * ERR_TOO_LARGE: more than RADIO_PLAIN_MAX_BYTES. ERR_OUT_OF_RANGE: no such kind. */
err_t radio_frame_seal(const radio_keys *k, const radio_header *h, bytes plain, uint8_t *frame,
                       size_t *len) CAIRN_CHECK;

/* `plain` holds RADIO_PLAIN_MAX_BYTES; nothing is left in it on failure. Costs one pass of the cipher and one keyed hash,
 * no memory. As radio_frame_peek(), and ERR_BAD_SEAL: another key or changed bytes. */
err_t radio_frame_open(const radio_keys *k, bytes frame, radio_header *h, uint8_t *plain,
                       size_t *len) CAIRN_CHECK;

#endif
