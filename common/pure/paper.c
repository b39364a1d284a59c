#include "pure/paper.h"

#include "pure/base32.h"
#include "pure/crypto.h"

#include <assert.h>
#include <stdio.h>

#define SUM_BYTES 3u
#define KEY_BYTES (MEMBER_SEED_BYTES + SUM_BYTES)
#define SYMBOLS   (KEY_BYTES * 8 / 5)
#define GROUP     4u
#define TYPED_MAX 512u /* with all the blanks and line breaks that somebody may put in */

static_assert(SYMBOLS + SYMBOLS / GROUP == PAPER_TEXT_BYTES,
              "a NUL stands where the last blank would");

static void checksum(const uint8_t seed[MEMBER_SEED_BYTES], uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "cairn/1 paper", 13);
    crypto_hash_add(&h, seed, MEMBER_SEED_BYTES);
    crypto_hash_end(&h, out);
}

static void drop(buf *secret)
{
    if (secret->p != NULL)
        crypto_wipe(secret->p, secret->cap);
    buf_release(secret);
}

void paper_write(char out[PAPER_TEXT_BYTES], const uint8_t seed[MEMBER_SEED_BYTES])
{
    uint8_t key[KEY_BYTES], sum[CRYPTO_HASH_BYTES];
    buf text;
    checksum(seed, sum);
    memcpy(key, seed, MEMBER_SEED_BYTES);
    memcpy(key + MEMBER_SEED_BYTES, sum, SUM_BYTES);
    buf_init(&text, SYMBOLS);
    base32_put(&text, bytes_of(key, sizeof key));
    for (size_t i = 0, at = 0; text.err == ERR_OK && i < SYMBOLS; i++) {
        out[at++] = (char)text.p[i];
        if (i % GROUP == GROUP - 1)
            out[at++] = i + 1 < SYMBOLS ? ' ' : '\0';
    }
    crypto_wipe(key, sizeof key);
    drop(&text);
}

static err_t say(char *why, err_t e, const char *sentence)
{
    snprintf(why, ERROR_TEXT_MAX_BYTES, "%s", sentence);
    return e;
}

static err_t decode(bytes text, buf *key, char *why)
{
    base32_reader r = {.text = text};
    uint8_t sum[CRYPTO_HASH_BYTES];
    err_t e = text.len > TYPED_MAX ? ERR_TOO_LARGE : base32_rest(&r, key);
    if (e == ERR_INVALID && r.c > ' ' && r.c < 0x7f) {
        snprintf(why, ERROR_TEXT_MAX_BYTES,
                 "the heir key was mistyped: character %zu, '%c', stands in no such key", r.at,
                 r.c);
        return ERR_CHECKSUM;
    }
    if (e == ERR_OK && key->len == 0)
        return say(why, ERR_INVALID, "no heir key was given");
    if (e != ERR_OK || key->len != KEY_BYTES)
        return say(
            why, ERR_CHECKSUM,
            "the heir key was mistyped or cut: it has 56 letters and digits, 14 groups of 4");
    checksum(key->p, sum);
    if (memcmp(sum, key->p + MEMBER_SEED_BYTES, SUM_BYTES) != 0)
        return say(why, ERR_CHECKSUM, "the heir key was mistyped: look at each group again");
    return ERR_OK;
}

err_t paper_read(bytes text, uint8_t seed[MEMBER_SEED_BYTES], char why[ERROR_TEXT_MAX_BYTES])
{
    buf key;
    buf_init(&key, TYPED_MAX);
    memset(seed, 0, MEMBER_SEED_BYTES);
    err_t e = decode(text, &key, why);
    if (e == ERR_OK)
        memcpy(seed, key.p, MEMBER_SEED_BYTES);
    drop(&key);
    return e;
}
