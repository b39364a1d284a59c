#include "pure/crypto.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hasher) == sizeof(crypto_generichash_state), "room for the state");
_Static_assert(CRYPTO_HASH_BYTES == crypto_generichash_BYTES, "BLAKE2b-256");
_Static_assert(MEMBER_SEED_BYTES == crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert(MEMBER_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SEAL_BYTES == crypto_sign_BYTES, "Ed25519");
_Static_assert(CRYPTO_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha20");
_Static_assert(CRYPTO_MAC_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "Poly1305");
_Static_assert(CRYPTO_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "XChaCha20");
_Static_assert(CRYPTO_NONCE_BYTES == crypto_stream_xchacha20_NONCEBYTES, "XChaCha20");
_Static_assert(CRYPTO_KEY_BYTES == crypto_stream_xchacha20_KEYBYTES, "XChaCha20");
_Static_assert(CRYPTO_BOX_BYTES == crypto_box_SEALBYTES + CRYPTO_KEY_BYTES, "crypto_box_seal");

err_t crypto_start(void)
{
    return sodium_init() < 0 ? ERR_BUG : ERR_OK;
}

static crypto_generichash_state *state_of(crypto_hasher *h)
{
    return (crypto_generichash_state *)(void *)h->opaque;
}

/* With these constant lengths libsodium's calls cannot fail. */
void crypto_hash_begin(crypto_hasher *h)
{
    (void)crypto_generichash_init(state_of(h), NULL, 0, CRYPTO_HASH_BYTES);
}

void crypto_hash_add(crypto_hasher *h, const void *p, size_t n)
{
    (void)crypto_generichash_update(state_of(h), p, n);
}

void crypto_hash_end(crypto_hasher *h, uint8_t out[CRYPTO_HASH_BYTES])
{
    (void)crypto_generichash_final(state_of(h), out, CRYPTO_HASH_BYTES);
}

void crypto_digest(uint8_t out[CRYPTO_HASH_BYTES], bytes in)
{
    (void)crypto_generichash(out, CRYPTO_HASH_BYTES, in.p, in.len, NULL, 0);
}

void crypto_keyed_hash(uint8_t *out, size_t out_len, const uint8_t key[CRYPTO_KEY_BYTES], bytes in)
{
    (void)crypto_generichash(out, out_len, in.p, in.len, key, CRYPTO_KEY_BYTES);
}

static void signer_checksum(uint8_t out[CHECKSUM_BYTES], const crypto_signer *key)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, key->secret, sizeof key->secret);
    crypto_hash_add(&h, key->public.b, sizeof key->public.b);
    crypto_hash_end(&h, sum);
    memcpy(out, sum, CHECKSUM_BYTES);
    crypto_wipe(&h, sizeof h);
}

void crypto_signer_from_seed(crypto_signer *out, const uint8_t seed[MEMBER_SEED_BYTES])
{
    (void)crypto_sign_seed_keypair(out->public.b, out->secret, seed);
    signer_checksum(out->sum, out);
}

void crypto_signer_seed(uint8_t seed[MEMBER_SEED_BYTES], const crypto_signer *key)
{
    memcpy(seed, key->secret, MEMBER_SEED_BYTES); /* libsodium's secret key is seed ‖ public key */
}

err_t crypto_sign_message(seal_sig *out, const crypto_signer *key, bytes message)
{
    seal_sig again;
    uint8_t sum[CHECKSUM_BYTES];
    (void)crypto_sign_detached(out->b, NULL, message.p, message.len, key->secret);
    (void)crypto_sign_detached(again.b, NULL, message.p, message.len, key->secret);
    signer_checksum(sum, key); /* last: it may have been damaged meanwhile */
    if (memcmp(out->b, again.b, sizeof again.b) == 0 && memcmp(sum, key->sum, sizeof sum) == 0)
        return ERR_OK;
    crypto_wipe(out, sizeof *out);
    return ERR_BUG;
}

err_t crypto_verify_message(const seal_sig *sig, const member_key *key, bytes message)
{
    int r = crypto_sign_verify_detached(sig->b, message.p, message.len, key->b);
    return r == 0 ? ERR_OK : ERR_BAD_SEAL;
}

static void seed_checksum(uint8_t out[CRYPTO_HASH_BYTES], const uint8_t seed[MEMBER_SEED_BYTES])
{
    static const char domain[] = "cairn/1 seed";
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, domain, sizeof domain - 1);
    crypto_hash_add(&h, seed, MEMBER_SEED_BYTES);
    crypto_hash_end(&h, out);
    crypto_wipe(&h, sizeof h);
}

void crypto_seed_store(uint8_t out[CRYPTO_STORED_BYTES], const uint8_t seed[MEMBER_SEED_BYTES])
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    seed_checksum(sum, seed);
    memcpy(out, seed, MEMBER_SEED_BYTES);
    memcpy(out + MEMBER_SEED_BYTES, sum, CHECKSUM_BYTES);
}

err_t crypto_seed_load(uint8_t seed[MEMBER_SEED_BYTES], const uint8_t in[CRYPTO_STORED_BYTES])
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    seed_checksum(sum, in);
    if (!crypto_equal(sum, in + MEMBER_SEED_BYTES, CHECKSUM_BYTES))
        return ERR_CHECKSUM;
    memcpy(seed, in, MEMBER_SEED_BYTES);
    return ERR_OK;
}

void crypto_seal(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                 const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes associated, bytes plain)
{
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.p, plain.len, associated.p,
                                                     associated.len, NULL, nonce, key);
}

err_t crypto_open(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                  const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes associated, bytes box)
{
    int r = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, box.p, box.len,
                                                       associated.p, associated.len, nonce, key);
    return r == 0 ? ERR_OK : ERR_BAD_SEAL;
}

void crypto_cipher(uint8_t *out, const uint8_t key[CRYPTO_KEY_BYTES],
                   const uint8_t nonce[CRYPTO_NONCE_BYTES], bytes in)
{
    (void)crypto_stream_xchacha20_xor(out, in.p, in.len, nonce, key);
}

/* What crypto_box_seal does, with a key pair from the given seed instead of its own randomness. */
err_t crypto_key_box(uint8_t out[CRYPTO_BOX_BYTES], const member_key *to,
                     const uint8_t key[CRYPTO_KEY_BYTES], const uint8_t seed[CRYPTO_KEY_BYTES])
{
    uint8_t theirs[crypto_box_PUBLICKEYBYTES], once[crypto_box_SECRETKEYBYTES];
    uint8_t nonce[crypto_box_NONCEBYTES];
    crypto_generichash_state h;
    if (crypto_sign_ed25519_pk_to_curve25519(theirs, to->b) != 0)
        return ERR_INVALID;
    (void)crypto_box_seed_keypair(out, once, seed);
    (void)crypto_generichash_init(&h, NULL, 0, sizeof nonce);
    (void)crypto_generichash_update(&h, out, crypto_box_PUBLICKEYBYTES);
    (void)crypto_generichash_update(&h, theirs, sizeof theirs);
    (void)crypto_generichash_final(&h, nonce, sizeof nonce);
    int rc = crypto_box_easy(out + crypto_box_PUBLICKEYBYTES, key, CRYPTO_KEY_BYTES, nonce, theirs,
                             once);
    crypto_wipe(once, sizeof once);
    return rc == 0 ? ERR_OK : ERR_INVALID;
}

err_t crypto_key_unbox(uint8_t key[CRYPTO_KEY_BYTES], const uint8_t box[CRYPTO_BOX_BYTES],
                       const crypto_signer *mine)
{
    uint8_t public[crypto_box_PUBLICKEYBYTES], secret[crypto_box_SECRETKEYBYTES];
    if (crypto_sign_ed25519_pk_to_curve25519(public, mine->public.b) != 0 ||
        crypto_sign_ed25519_sk_to_curve25519(secret, mine->secret) != 0)
        return ERR_BAD_SEAL;
    int rc = crypto_box_seal_open(key, box, CRYPTO_BOX_BYTES, public, secret);
    crypto_wipe(secret, sizeof secret);
    return rc == 0 ? ERR_OK : ERR_BAD_SEAL;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}
