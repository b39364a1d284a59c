#include "pure/crypto.h"

#include <criterion/criterion.h>

static void start(void)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    cr_assert_eq(crypto_start(), ERR_OK, "again is harmless");
}

static void expect_hex(const void *p, size_t len, const char *hex)
{
    uint8_t want[64];
    cr_assert(hex_decode(want, len, hex, strlen(hex)));
    cr_expect_eq(memcmp(p, want, len), 0);
}

Test(crypto, hashes_like_everybody, .init = start)
{
    uint8_t out[32];
    crypto_hasher h;
    const char *want = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
    crypto_digest(out, bytes_str("abc")); /* BLAKE2b-256, RFC 7693's message */
    expect_hex(out, 32, want);
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "a", 1);
    crypto_hash_add(&h, "", 0);
    crypto_hash_add(&h, "bc", 2);
    crypto_hash_end(&h, out);
    expect_hex(out, 32, want);
}

Test(crypto, hashes_differently_under_each_key, .init = start)
{
    uint8_t a[16], b[16], plain[32], key[32] = {1}, other[32] = {2};
    crypto_keyed_hash(a, sizeof a, key, bytes_str("abc"));
    crypto_keyed_hash(b, sizeof b, other, bytes_str("abc"));
    crypto_digest(plain, bytes_str("abc"));
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    cr_expect_neq(memcmp(a, plain, sizeof a), 0);
    crypto_keyed_hash(b, sizeof b, key, bytes_str("abc"));
    cr_expect(crypto_equal(a, b, sizeof a));
}

/* RFC 8032, 7.1, test 2. */
Test(crypto, signs_like_everybody, .init = start)
{
    uint8_t seed[32];
    crypto_signer key;
    seal_sig sig;
    bytes message = bytes_of("\x72", 1);
    hex_decode(seed, 32, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", 64);
    crypto_signer_from_seed(&key, seed);
    expect_hex(key.public.b, 32,
               "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    cr_assert_eq(crypto_sign_message(&sig, &key, message), ERR_OK);
    expect_hex(sig.b, 64,
               "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    cr_expect_eq(crypto_verify_message(&sig, &key.public, message), ERR_OK);
    cr_expect_eq(crypto_verify_message(&sig, &key.public, bytes_of("\x73", 1)), ERR_BAD_SEAL);
    for (unsigned i = 0; i < 512; i++) {
        seal_sig bad = sig;
        bad.b[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_expect_eq(crypto_verify_message(&bad, &key.public, message), ERR_BAD_SEAL, "bit %u", i);
    }
}

/* One flipped bit, say in the public half of the secret key, would give the key away with the signature. */
Test(crypto, hands_out_no_signature_by_a_damaged_key, .init = start)
{
    uint8_t seed[32] = {7};
    static const seal_sig none;
    crypto_signer key;
    seal_sig sig;
    crypto_signer_from_seed(&key, seed);
    for (size_t i = 0; i < 8 * sizeof key.secret; i++) {
        key.secret[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_expect_eq(crypto_sign_message(&sig, &key, bytes_str("x")), ERR_BUG, "bit %zu", i);
        cr_expect_eq(memcmp(&sig, &none, sizeof sig), 0);
        key.secret[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    cr_expect_eq(crypto_sign_message(&sig, &key, bytes_str("x")), ERR_OK);
}

Test(crypto, notices_every_damaged_bit_of_a_stored_seed, .init = start)
{
    uint8_t seed[32] = {1, 2, 3}, got[32], stored[CRYPTO_STORED_BYTES];
    crypto_seed_store(stored, seed);
    cr_assert_eq(crypto_seed_load(got, stored), ERR_OK);
    cr_assert_eq(memcmp(got, seed, 32), 0);
    for (unsigned i = 0; i < 8 * sizeof stored; i++) {
        stored[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_expect_eq(crypto_seed_load(got, stored), ERR_CHECKSUM, "bit %u", i);
        stored[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

Test(crypto, opens_only_what_was_sealed, .init = start)
{
    uint8_t key[32] = {1}, nonce[24] = {2}, box[3 + CRYPTO_MAC_BYTES], plain[3];
    bytes ad = bytes_str("to whom"), view = bytes_of(box, sizeof box);
    crypto_seal(box, key, nonce, ad, bytes_str("abc"));
    cr_assert_eq(crypto_open(plain, key, nonce, ad, view), ERR_OK);
    cr_assert_eq(memcmp(plain, "abc", 3), 0);
    cr_expect_eq(crypto_open(plain, key, nonce, bytes_str("other"), view), ERR_BAD_SEAL);
    cr_expect_eq(crypto_open(plain, key, nonce, ad, bytes_of(box, 5)), ERR_BAD_SEAL);
    for (unsigned i = 0; i < 8 * sizeof box; i++) {
        box[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_expect_eq(crypto_open(plain, key, nonce, ad, view), ERR_BAD_SEAL, "bit %u", i);
        box[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    key[0] = 9;
    cr_expect_eq(crypto_open(plain, key, nonce, ad, view), ERR_BAD_SEAL);
    crypto_wipe(key, sizeof key);
    cr_expect_eq(key[0], 0);
}
