#include "pure/crypto.h"
#include "pure/frontier.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

static frontier_entry entry(feed_id feed, uint64_t seq, uint8_t tag)
{
    frontier_entry e = {feed, seq, {{0}}};
    memset(e.id.b, tag, sizeof e.id.b);
    return e;
}

static frontier_entry random_entry(prop_rng *r)
{
    return entry((feed_id)prop_below(r, 6) << 16 | (feed_id)prop_below(r, 4), 1 + prop_below(r, 3),
                 (uint8_t)prop_below(r, 3));
}

Test(frontier, adding_and_setting_agree_and_sort)
{
    prop_rng r = prop_begin("frontier");
    for (int round = 0; round < 500; round++) {
        frontier a = {0}, b = {0};
        frontier_entry e[40];
        size_t n = prop_below(&r, 40);
        for (size_t i = 0; i < n; i++) {
            e[i] = random_entry(&r);
            cr_assert_eq(frontier_add(&a, &e[i]), ERR_OK);
        }
        cr_assert_eq(frontier_set(&b, e, n), ERR_OK);
        cr_assert_eq(a.n, b.n);
        for (size_t i = 0; i < a.n; i++)
            cr_assert_eq(frontier_entry_cmp(&a.at[i], &b.at[i]), 0);
        for (size_t i = 1; i < a.n; i++)
            cr_assert(frontier_entry_cmp(&a.at[i - 1], &a.at[i]) < 0);
        for (size_t i = 0; i < n; i++)
            cr_assert(frontier_has(&a, &e[i]));
        frontier_entry other = entry(99, 1, 1);
        cr_assert_not(frontier_has(&a, &other));
        size_t total = 0;
        for (feed_id f = 0; f < 6u << 16; f++) {
            if ((f & 0xffff) >= 4)
                continue;
            size_t k;
            size_t first = frontier_feed(&a, f, &k);
            for (size_t i = 0; i < k; i++)
                cr_assert_eq(a.at[first + i].feed, f);
            total += k;
        }
        cr_assert_eq(total, a.n);
        frontier_release(&a);
        frontier_release(&b);
    }
}

static void digest_of(uint8_t out[FRONTIER_DIGEST_BYTES], const frontier_entry *e, size_t n)
{
    frontier f = {0};
    cr_assert_eq(frontier_set(&f, e, n), ERR_OK);
    frontier_digest(&f, out);
    frontier_release(&f);
}

/* By hand, from the words of the header. */
Test(frontier, digest_is_as_defined)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    frontier_entry e[2] = {entry(0x00050003, 0x0102, 0xaa), entry(3, 7, 0xbb)};
    uint8_t got[FRONTIER_DIGEST_BYTES], want[CRYPTO_HASH_BYTES], raw[16 + 88] = {0};
    memcpy(raw, "cairn/1 frontier", 16);
    raw[19] = 3;
    raw[27] = 7;
    memset(raw + 28, 0xbb, 32);
    raw[61] = 5;
    raw[63] = 3;
    raw[70] = 1;
    raw[71] = 2;
    memset(raw + 72, 0xaa, 32);
    crypto_digest(want, bytes_of(raw, sizeof raw));
    digest_of(got, e, 2);
    cr_assert_arr_eq(got, want, sizeof want);
    crypto_digest(want, bytes_of(raw, 16));
    digest_of(got, NULL, 0);
    cr_assert_arr_eq(got, want, sizeof want);
}

Test(frontier, digest_sees_every_field)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    frontier_entry base = entry(3, 7, 1);
    frontier_entry others[] = {entry(4, 7, 1), entry(3, 8, 1), entry(3, 7, 2)};
    uint8_t a[FRONTIER_DIGEST_BYTES], b[FRONTIER_DIGEST_BYTES];
    digest_of(a, &base, 1);
    for (size_t i = 0; i < 3; i++) {
        digest_of(b, &others[i], 1);
        cr_assert(memcmp(a, b, sizeof a) != 0);
    }
}

Test(frontier, buckets_are_digests_of_their_entries)
{
    cr_assert_eq(crypto_start(), ERR_OK);
    prop_rng r = prop_begin("frontier buckets");
    frontier f = {0};
    for (int i = 0; i < 300; i++) {
        frontier_entry e =
            entry((feed_id)prop_below(&r, 1000), 1 + prop_below(&r, 9), (uint8_t)prop_below(&r, 9));
        cr_assert_eq(frontier_add(&f, &e), ERR_OK);
    }
    uint64_t got[FRONTIER_BUCKETS];
    frontier_buckets(&f, got);
    for (unsigned b = 0; b < FRONTIER_BUCKETS; b++) {
        frontier part = {0};
        for (size_t i = 0; i < f.n; i++)
            if (f.at[i].feed * 0x9e3779b1u >> 26 == b)
                cr_assert_eq(frontier_add(&part, &f.at[i]), ERR_OK);
        uint8_t d[FRONTIER_DIGEST_BYTES];
        frontier_digest(&part, d);
        cr_assert_eq(got[b], part.n ? get_u64be(d) : 0);
        frontier_release(&part);
    }
    frontier_release(&f);
}

/* A feed that forked after seq 2: ids are the name of the branch; meet says where branches part. */
static uint64_t meet_at_2(void *ctx, feed_id feed, uint64_t a_seq, const event_id *a,
                          uint64_t b_seq, const event_id *b)
{
    (void)ctx;
    (void)feed;
    uint64_t least = a_seq < b_seq ? a_seq : b_seq;
    bool same = a->b[0] == b->b[0] || a_seq <= 2 || b_seq <= 2;
    return same ? least : 2;
}

Test(frontier, prune_leaves_tips)
{
    chain_view view = {NULL, NULL, meet_at_2};
    frontier_entry e[] = {entry(3, 2, 'a'), entry(3, 5, 'a'), entry(3, 4, 'a'),
                          entry(3, 4, 'b'), entry(4, 1, 'a'), entry(5, 1, 'a')};
    frontier f = {0};
    cr_assert_eq(frontier_set(&f, e, 6), ERR_OK);
    frontier_prune(&f, &view);
    cr_assert_eq(f.n, 4);
    cr_assert(frontier_has(&f, &e[1]));
    cr_assert(frontier_has(&f, &e[3]));
    cr_assert(frontier_has(&f, &e[4]));
    cr_assert(frontier_has(&f, &e[5]));
    frontier_release(&f);
}

Test(frontier, has_a_limit)
{
    frontier_entry *many = calloc(FRONTIER_MAX + 1, sizeof *many);
    for (uint32_t i = 0; i <= FRONTIER_MAX; i++)
        many[i] = entry(i, 1, 1);
    frontier f = {0};
    cr_assert_eq(frontier_set(&f, many, FRONTIER_MAX + 1), ERR_TOO_LARGE);
    cr_assert_eq(frontier_set(&f, many, FRONTIER_MAX), ERR_OK);
    cr_assert_eq(frontier_add(&f, &many[FRONTIER_MAX]), ERR_TOO_LARGE);
    cr_assert_eq(frontier_add(&f, &many[0]), ERR_OK);
    cr_assert_eq(f.n, FRONTIER_MAX);
    frontier_release(&f);
    free(many);
}
