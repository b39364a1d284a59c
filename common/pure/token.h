/* The invitation that people hand over: "cairn1" and base 32 (Crockford's alphabet, lower case). Reading it
 * forgives capital letters, blanks, line breaks and hyphens anywhere, o for 0, i and l for 1.
 *
 *     body  = msgpack [1, dataset id, inviter's member number, its transport key, [address …], secret,
 *     expires ms,
 *                      role hint, radio part]          (later versions may append elements: they are ignored)
 *     token = "cairn1" base32(body || first 4 bytes of BLAKE2b-256("cairn/1 token" || body)),  last bits zero
 *
 * The checksum tells a mistyped or cut token apart from one that is expired (its own clock says so), used or
 * unknown (the inviter says so). It protects against nobody: who holds the token holds the secret. */
#ifndef CAIRN_TOKEN_H
#define CAIRN_TOKEN_H

#include "base/buf.h"
#include "base/ids.h"
#include "base/limits.h"

#define TOKEN_SECRET_BYTES 16u
#define TOKEN_PREFIX       "cairn1"

typedef struct {
    dataset_id dataset;
    member_no inviter; /* not 0 */
    transport_key transport;
    unsigned n_addresses;                                       /* at most TOKEN_ADDRESSES_MAX */
    char addresses[TOKEN_ADDRESSES_MAX][ADDRESS_MAX_BYTES + 1]; /* host:port of the lobby */
    uint8_t secret[TOKEN_SECRET_BYTES];                         /* of this invitation */
    uint64_t expires_ms;                                        /* Unix ms */
    uint8_t
        role; /* what the joiner will be: 1 coordinator, 2 field, 3 reader; the inviter decides */
    size_t radio_len;
    uint8_t radio[TOKEN_RADIO_MAX_BYTES]; /* for the radio bridge; empty without radio */
} token;

/* Appends the text, without NUL or line break. ERR_OUT_OF_RANGE when a member of *t is beyond its bounds or
 * an address is not host:port; the buf's error. */
CAIRN_CHECK err_t token_encode(const token *t, buf *out);

/* Reads a text of any length. On failure *out is zero and `why` holds a sentence for the person who typed:
 * ERR_INVALID it is no token · ERR_VERSION a newer Cairn made it · ERR_CHECKSUM mistyped or cut ·
 * ERR_MALFORMED the checksum is right but not what it protects. */
CAIRN_CHECK err_t token_decode(bytes text, token *out, char why[ERROR_TEXT_MAX_BYTES]);

/* ERR_EXPIRED with a sentence, or ERR_OK. For a clock that is not set (before the build date) do not ask. */
CAIRN_CHECK err_t token_check(const token *t, uint64_t now_ms, char why[ERROR_TEXT_MAX_BYTES]);

#endif
