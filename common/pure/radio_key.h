/* The payload of `radio.key`, by which a founder gives the dataset's radio key of an epoch to its members: category
 * "cairn", stream "radio". Several events of an epoch go together: one for those who came later has their boxes only.
 *
 *     boxes: [[bin 8: the beginning of the member's key, bin 80: a sealed box] …], epoch: u8
 *
 * A box is libsodium's crypto_box_seal of the 32-byte key to the member's Ed25519 key as an X25519 key
 * (crypto_sign_ed25519_pk_to_curve25519), so that a member needs no key of its own for it. */
#ifndef CAIRN_RADIO_KEY_H
#define CAIRN_RADIO_KEY_H

#include "base/buf.h"
#include "pure/crypto.h"

#define RADIO_KEY_STREAM     "radio"
#define RADIO_KEY_KIND       "radio.key"
#define RADIO_KEY_NAME_BYTES 8u
#define RADIO_KEY_BOXES_MAX  512u /* 512 boxes of 93 bytes fit into one event */

typedef struct {
    uint8_t name[RADIO_KEY_NAME_BYTES]; /* the beginning of whose it is */
    uint8_t box[CRYPTO_BOX_BYTES];
} radio_key_box;

/* Appends the payload. ERR_OUT_OF_RANGE: no box, or more than RADIO_KEY_BOXES_MAX; the buf's error. */
err_t radio_key_write(uint8_t epoch, const radio_key_box *boxes, size_t n, buf *out) CAIRN_CHECK;
/* `boxes` has room for RADIO_KEY_BOXES_MAX. ERR_MALFORMED and friends: it is no such payload. */
err_t radio_key_read(bytes payload, uint8_t *epoch, radio_key_box *boxes, size_t *n) CAIRN_CHECK;

#endif
