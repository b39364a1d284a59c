/* The only door to libsodium. No randomness and no clock here: seeds, keys and nonces are passed in
 * by the caller, so that cores, vectors and the simulator stay deterministic. */
#ifndef CAIRN_CRYPTO_H
#define CAIRN_CRYPTO_H

#include "base/error.h"
#include "base/ids.h"

#define CRYPTO_HASH_BYTES   32u
#define CRYPTO_KEY_BYTES    32u
#define CRYPTO_NONCE_BYTES  24u
#define CRYPTO_MAC_BYTES    16u
#define CRYPTO_BOX_BYTES    (CRYPTO_KEY_BYTES + CRYPTO_KEY_BYTES + CRYPTO_MAC_BYTES)
#define CRYPTO_STORED_BYTES (MEMBER_SEED_BYTES + CHECKSUM_BYTES)

/* Call once per process before READY, chroot and seccomp; may block on a fresh boot without
 * entropy. Repeated calls are harmless. ERR_BUG: the process must stop. */
err_t crypto_start(void) CAIRN_CHECK;

/* ---- BLAKE2b-256 (RFC 7693), unkeyed ---- */
typedef struct {
    _Alignas(64) uint8_t opaque[384];
} crypto_hasher;

void crypto_hash_begin(crypto_hasher *h);
void crypto_hash_add(crypto_hasher *h, const void *p, size_t n);
void crypto_hash_end(crypto_hasher *h, uint8_t out[CRYPTO_HASH_BYTES]);
/* All at once. */
void crypto_digest(uint8_t out[CRYPTO_HASH_BYTES], bytes in);
/* BLAKE2b keyed with `key`, `out_len` 16 to 64 bytes: tokens, subkeys, tags. */
void crypto_keyed_hash(uint8_t *out, size_t out_len, const uint8_t key[CRYPTO_KEY_BYTES], bytes in);

/* ---- Ed25519 ---- */
/* Lives in memory only; on disk there is the seed (a flipped bit in a stored public half would leak
 * the key). */
typedef struct {
    uint8_t secret[64];
    member_key public;
    uint8_t sum[CHECKSUM_BYTES]; /* over both */
} crypto_signer;

void crypto_signer_from_seed(crypto_signer *out, const uint8_t seed[MEMBER_SEED_BYTES]);
void crypto_signer_seed(uint8_t seed[MEMBER_SEED_BYTES], const crypto_signer *key);
/* Signs twice, compares, and looks at the key's checksum; ERR_BUG (and no signature) when that fails:
 * memory or processor are damaged, and a wrong signature would give the key away. (Ed25519 is
 * deterministic: a second signature shows a slip as a verification would, in a third of its time.) */
err_t crypto_sign_message(seal_sig *out, const crypto_signer *key, bytes message) CAIRN_CHECK;
/* ERR_OK or ERR_BAD_SEAL. */
err_t crypto_verify_message(const seal_sig *sig, const member_key *key, bytes message) CAIRN_CHECK;

/* Seed and checksum as they are kept in a file; ERR_CHECKSUM when the file was damaged. */
void crypto_seed_store(uint8_t out[CRYPTO_STORED_BYTES], const uint8_t seed[MEMBER_SEED_BYTES]);
err_t crypto_seed_load(uint8_t seed[MEMBER_SEED_BYTES],
                       const uint8_t in[CRYPTO_STORED_BYTES]) CAIRN_CHECK;

/* ---- XChaCha20-Poly1305 (IETF) ---- */
/* `out` holds plain.len + CRYPTO_MAC_BYTES. A nonce is used once per key. */
void crypto_seal(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                 const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes associated, bytes plain);
/* `out` holds box.len - CRYPTO_MAC_BYTES. ERR_BAD_SEAL: other key, nonce, associated data, or
 * changed bytes. */
err_t crypto_open(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                  const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes associated, bytes box) CAIRN_CHECK;

/* ---- XChaCha20 alone ---- */
/* Encrypts and decrypts; says nothing about who wrote it. `out` holds in.len and may be in.p. */
void crypto_cipher(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                   const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes in);

/* ---- a key for one member's eyes: libsodium's crypto_box_seal ---- */
/* To the member's Ed25519 key, as an X25519 one. `seed` is random, used for this box only. ERR_INVALID: it is no key. */
err_t crypto_key_box(uint8_t out[CRYPTO_BOX_BYTES], const member_key *to,
                     const uint8_t key[CRYPTO_KEY_BYTES],
                     const uint8_t seed[CRYPTO_KEY_BYTES]) CAIRN_CHECK;
/* ERR_BAD_SEAL: it is for somebody else, or changed. */
err_t crypto_key_unbox(uint8_t key[CRYPTO_KEY_BYTES], const uint8_t box[CRYPTO_BOX_BYTES],
                       const crypto_signer *mine) CAIRN_CHECK;

/* Constant time. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* Not optimised away. */
void crypto_wipe(void *p, size_t n);

#endif
