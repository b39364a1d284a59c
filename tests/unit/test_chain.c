#include "tests/unit/prop_event.h"

static const bytes head = {(const uint8_t *)"head", 4}, tail = {(const uint8_t *)"the tail", 8};

static void start(void)
{
    cr_assert_eq(crypto_start(), ERR_OK);
}

/* The formulas of the header, written out once more. */
Test(chain, hashes_what_the_format_says, .init = start)
{
    uint8_t raw[256], tail_hash[32];
    size_t n;
    dataset_id ds = {{0xaa}};
    member_key key = {{0xbb}};
    event_id id, want;

    n = 12;
    memcpy(raw, "cairn/1 feed", n);
    memcpy(raw + n, ds.b, 32);
    put_u32be(raw + n + 32, 0x40003);
    memcpy(raw + n + 36, key.b, 32);
    crypto_digest(want.b, bytes_of(raw, n + 68));
    chain_start(&id, &ds, 0x40003, &key);
    cr_assert(event_id_eq(&id, &want));

    n = 13;
    memcpy(raw, "cairn/1 event", n);
    memcpy(raw + n, id.b, 32);
    put_u64be(raw + n + 32, 77);
    put_u32be(raw + n + 40, (uint32_t)tail.len);
    crypto_digest(tail_hash, tail);
    memcpy(raw + n + 44, tail_hash, 32);
    memcpy(raw + n + 76, head.p, head.len);
    crypto_digest(want.b, bytes_of(raw, n + 76 + head.len));
    chain_next(&id, &id, 77, head, tail);
    cr_assert(event_id_eq(&id, &want));

    uint8_t message[CHAIN_SEAL_MESSAGE_BYTES];
    memcpy(raw, "cairn/1 seal", 12);
    memcpy(raw + 12, ds.b, 32);
    put_u32be(raw + 44, 0x40003);
    put_u64be(raw + 48, 77);
    memcpy(raw + 56, id.b, 32);
    chain_seal_message(message, &ds, 0x40003, 77, &id);
    cr_assert_eq(memcmp(message, raw, sizeof message), 0);
}

Test(chain, depends_on_everything, .init = start)
{
    event_id before = {{1}}, other = {{2}}, ids[6];
    chain_next(&ids[0], &before, 5, head, tail);
    chain_next(&ids[1], &other, 5, head, tail);
    chain_next(&ids[2], &before, 6, head, tail);
    chain_next(&ids[3], &before, 5, tail, tail);
    chain_next(&ids[4], &before, 5, head, head);
    chain_next(&ids[5], &before, 5, bytes_str("headt"), bytes_str("he tail"));
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            cr_expect(!event_id_eq(&ids[i], &ids[k]), "%d and %d", i, k);
}

Test(chain, stays_the_same_when_a_tail_is_erased, .init = start)
{
    prop_rng r = prop_begin("erased chain");
    uint8_t hash[32];
    event_id before = {{3}}, whole, erased;
    for (uint64_t seq = 1; seq < 200; seq++) {
        buf b, e;
        event_view v;
        buf_init(&b, EVENT_MAX_BYTES);
        buf_init(&e, EVENT_MAX_BYTES + EVENT_ERASED_EXTRA);
        prop_body(&r, &b);
        cr_assert_eq(event_parse(buf_view(&b), &v), ERR_OK);
        chain_next_event(&whole, &before, seq, &v);
        crypto_digest(hash, v.tail);
        cr_assert_eq(event_write_erased(&v, hash, &e), ERR_OK);
        cr_assert_eq(event_parse_erased(buf_view(&e), &v), ERR_OK);
        chain_next_event(&erased, &before, seq, &v);
        cr_assert(event_id_eq(&whole, &erased));
        before = whole;
        buf_release(&b);
        buf_release(&e);
    }
}

Test(chain, begins_the_dataset_under_zeroes, .init = start)
{
    static const dataset_id zero;
    dataset_id ds;
    event_id id, by_hand;
    member_key founder = {{5}};
    chain_genesis_id(&ds, &founder, head, tail);
    chain_start(&by_hand, &zero, 1, &founder);
    chain_next(&by_hand, &by_hand, 1, head, tail);
    cr_assert_eq(memcmp(ds.b, by_hand.b, 32), 0);
    chain_start_genesis(&id, &founder);
    chain_start(&by_hand, &ds, 1, &founder);
    cr_assert(!event_id_eq(&id, &by_hand));
}

Test(chain, seals_one_event_of_one_feed_of_one_dataset, .init = start)
{
    uint8_t seed[32] = {4};
    crypto_signer key, stranger;
    dataset_id ds = {{1}}, other_ds = {{2}};
    event_id id = {{3}}, other = {{4}};
    seal_sig s;
    crypto_signer_from_seed(&key, seed);
    seed[0]++;
    crypto_signer_from_seed(&stranger, seed);
    cr_assert_eq(chain_sign(&s, &key, &ds, 3, 9, &id), ERR_OK);
    cr_expect_eq(chain_verify(&s, &key.public, &ds, 3, 9, &id), ERR_OK);
    cr_expect_eq(chain_verify(&s, &stranger.public, &ds, 3, 9, &id), ERR_BAD_SEAL);
    cr_expect_eq(chain_verify(&s, &key.public, &other_ds, 3, 9, &id), ERR_BAD_SEAL);
    cr_expect_eq(chain_verify(&s, &key.public, &ds, 4, 9, &id), ERR_BAD_SEAL);
    cr_expect_eq(chain_verify(&s, &key.public, &ds, 3, 8, &id), ERR_BAD_SEAL);
    cr_expect_eq(chain_verify(&s, &key.public, &ds, 3, 9, &other), ERR_BAD_SEAL);
}
