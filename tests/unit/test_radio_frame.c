#include "pure/radio_frame.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

static radio_keys keys_of(uint8_t secret, uint8_t epoch)
{
    radio_keys k;
    dataset_id dataset;
    uint8_t key[CRYPTO_KEY_BYTES];
    cr_assert_eq(crypto_start(), ERR_OK);
    memset(dataset.b, 0xd5, sizeof dataset.b);
    memset(key, secret, sizeof key);
    radio_keys_derive(&k, &dataset, epoch, key);
    return k;
}

static void fill(prop_rng *r, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)prop_u64(r);
}

static radio_header some_header(prop_rng *r, uint8_t epoch)
{
    return (radio_header){.kind = (uint8_t)prop_below(r, RADIO_KIND_MAX + 1),
                          .epoch = epoch,
                          .bridge = (uint8_t)prop_u64(r),
                          .station = (member_no)prop_u64(r),
                          .counter = (uint16_t)prop_u64(r)};
}

static bool same_header(const radio_header *a, const radio_header *b)
{
    return a->kind == b->kind && a->epoch == b->epoch && a->bridge == b->bridge &&
           a->station == b->station && a->counter == b->counter;
}

Test(radio_frame, comes_back_and_any_flipped_bit_is_noticed)
{
    prop_rng r = prop_begin("radio_frame");
    for (int round = 0; round < 400; round++) {
        uint8_t words[RADIO_PLAIN_MAX_BYTES], frame[RADIO_FRAME_MAX_BYTES], got[sizeof words];
        radio_keys k = keys_of(7, (uint8_t)round);
        radio_header h = some_header(&r, k.epoch), back;
        size_t n = prop_below(&r, sizeof words + 1), len, got_len;
        fill(&r, words, n);
        cr_assert_eq(radio_frame_seal(&k, &h, bytes_of(words, n), frame, &len), ERR_OK);
        cr_assert_eq(len, n + RADIO_HEADER_BYTES + RADIO_TAG_BYTES);
        cr_assert_eq(radio_frame_open(&k, bytes_of(frame, len), &back, got, &got_len), ERR_OK);
        cr_assert(same_header(&h, &back));
        cr_assert(bytes_eq(bytes_of(got, got_len), bytes_of(words, n)));
        size_t bit = prop_below(&r, 8 * len);
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(radio_frame_open(&k, bytes_of(frame, len), &back, got, &got_len), ERR_OK,
                      "bit %zu", bit);
    }
}

/* The nonce is what comes before the ciphertext: two of the same must mean two of the same words. */
Test(radio_frame, one_nonce_never_covers_two_plaintexts)
{
    prop_rng r = prop_begin("radio_frame nonce");
    radio_keys k = keys_of(7, 1);
    radio_header h = some_header(&r, 1); /* the counter stands still, as after a restored backup */
    uint8_t seen[2000][RADIO_TAG_BYTES];
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t words[8], frame[RADIO_FRAME_MAX_BYTES];
        size_t len;
        put_u64be(words, i);
        cr_assert_eq(radio_frame_seal(&k, &h, bytes_of(words, 8), frame, &len), ERR_OK);
        memcpy(seen[i], frame + RADIO_HEADER_BYTES, RADIO_TAG_BYTES);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(memcmp(seen[i], seen[j], RADIO_TAG_BYTES), 0, "%u and %u", i, j);
    }
}

Test(radio_frame, the_same_words_twice_are_the_same_frame)
{
    radio_keys k = keys_of(7, 1);
    radio_header h = {.kind = 9, .epoch = 1, .station = 3, .counter = 5};
    uint8_t a[RADIO_FRAME_MAX_BYTES], b[RADIO_FRAME_MAX_BYTES];
    size_t n, m;
    cr_assert_eq(radio_frame_seal(&k, &h, bytes_str("help"), a, &n), ERR_OK);
    cr_assert_eq(radio_frame_seal(&k, &h, bytes_str("help"), b, &m), ERR_OK);
    cr_expect(bytes_eq(bytes_of(a, n), bytes_of(b, m)));
    h.counter++;
    cr_assert_eq(radio_frame_seal(&k, &h, bytes_str("help"), b, &m), ERR_OK);
    cr_expect_neq(memcmp(a + RADIO_HEADER_BYTES, b + RADIO_HEADER_BYTES, n - RADIO_HEADER_BYTES),
                  0);
}

Test(radio_frame, only_its_own_key_and_epoch_open_it_and_nothing_leaks)
{
    radio_keys k = keys_of(7, 1), stranger = keys_of(8, 1), later = keys_of(7, 2);
    radio_header h = {.kind = 1, .epoch = 1, .station = 3};
    uint8_t frame[RADIO_FRAME_MAX_BYTES], got[RADIO_PLAIN_MAX_BYTES], zero[sizeof got] = {0};
    size_t len, n;
    cr_assert_eq(radio_frame_seal(&k, &h, bytes_str("help"), frame, &len), ERR_OK);
    memset(got, 1, sizeof got);
    cr_expect_eq(radio_frame_open(&stranger, bytes_of(frame, len), &h, got, &n), ERR_BAD_SEAL);
    cr_expect_eq(memcmp(got, zero, sizeof got), 0, "what did not verify is not left about");
    cr_expect_eq(radio_frame_open(&later, bytes_of(frame, len), &h, got, &n), ERR_BAD_SEAL);
    cr_expect_eq(h.epoch, 1, "but it says which key it is under");
    cr_expect_eq(radio_frame_peek(bytes_of(frame, len), (uint8_t)(k.network + 1), &h), ERR_DATASET);
}

Test(radio_frame, refuses_what_cannot_be_sent)
{
    radio_keys k = keys_of(7, 1);
    radio_header h = {.kind = RADIO_KIND_MAX + 1};
    uint8_t words[RADIO_PLAIN_MAX_BYTES + 1] = {0}, frame[RADIO_FRAME_MAX_BYTES];
    size_t len;
    cr_expect_eq(radio_frame_seal(&k, &h, bytes_of(words, 1), frame, &len), ERR_OUT_OF_RANGE);
    h.kind = 0;
    cr_expect_eq(radio_frame_seal(&k, &h, bytes_of(words, sizeof words), frame, &len),
                 ERR_TOO_LARGE);
}
