/* The radio key at several nodes: who gets it, who does not, and whose word counts. */
#include "tests/unit/merge_node.h"

#include "pure/radio_key.h"

#include <criterion/criterion.h>

/* ---- the payload and the box ---- */

Test(merge_radio, a_box_opens_for_its_member_only)
{
    crypto_signer a, b;
    uint8_t key[CRYPTO_KEY_BYTES] = {1, 2, 3}, seed[CRYPTO_KEY_BYTES] = {9};
    uint8_t box[CRYPTO_BOX_BYTES], out[CRYPTO_KEY_BYTES];
    merge_node_key(2, &a);
    merge_node_key(3, &b);
    cr_assert_eq(crypto_key_box(box, &a.public, key, seed), ERR_OK);
    cr_assert_eq(crypto_key_unbox(out, box, &a), ERR_OK);
    cr_assert_arr_eq(out, key, sizeof key);
    cr_assert_eq(crypto_key_unbox(out, box, &b), ERR_BAD_SEAL);
    box[40] ^= 1;
    cr_assert_eq(crypto_key_unbox(out, box, &a), ERR_BAD_SEAL);
    cr_assert_eq(crypto_key_box(box, &(member_key){{0}}, key, seed), ERR_INVALID);
}

Test(merge_radio, a_payload_comes_back_and_nonsense_does_not)
{
    static radio_key_box in[RADIO_KEY_BOXES_MAX], out[RADIO_KEY_BOXES_MAX];
    uint8_t epoch = 0;
    size_t n;
    buf b;
    for (size_t i = 0; i < RADIO_KEY_BOXES_MAX; i++)
        memset(&in[i], (int)i, sizeof in[i]);
    buf_init(&b, EVENT_MAX_BYTES);
    cr_assert_eq(radio_key_write(200, in, RADIO_KEY_BOXES_MAX, &b), ERR_OK);
    cr_assert_eq(radio_key_read(buf_view(&b), &epoch, out, &n), ERR_OK);
    cr_assert(n == RADIO_KEY_BOXES_MAX && epoch == 200);
    cr_assert_arr_eq(in, out, sizeof in);
    for (size_t len = 0; len < b.len; len += 97)
        cr_assert_neq(radio_key_read(bytes_of(b.p, len), &epoch, out, &n), ERR_OK);
    cr_assert_eq(radio_key_write(0, in, 0, &b), ERR_OUT_OF_RANGE);
    cr_assert_eq(radio_key_write(0, in, RADIO_KEY_BOXES_MAX + 1, &b), ERR_OUT_OF_RANGE);
    buf_release(&b);
}

/* ---- the nodes ---- */

static void must_give(merge_node *n, bool rotate, uint8_t epoch, uint16_t boxes)
{
    uint8_t e = 99;
    uint16_t b = 99;
    cr_assert_eq(merge_node_radio(n, rotate, &e, &b), ERR_OK);
    cr_assert(e == epoch && b == boxes, "epoch %u, %u boxes", e, b);
}

static size_t keys_of(merge_node *n, merge_radio_key out[MERGE_RADIO_KEYS])
{
    size_t count = 99;
    cr_assert_eq(merge_core_radio_keys(n->core, out, &count), ERR_OK);
    return count;
}

typedef struct {
    merge_node founder, a, b;
} camp;

static void camp_init(camp *c)
{
    merge_node_init(&c->founder, 1, NULL);
    merge_node_init(&c->a, 2, &c->founder);
    merge_node_init(&c->b, 3, &c->founder);
    merge_node_add(&c->founder, 2, ROSTER_ROLE_FIELD);
}

static void camp_meet(camp *c)
{
    merge_node_pull(&c->a, &c->founder);
    merge_node_pull(&c->b, &c->founder);
}

static void camp_release(camp *c)
{
    merge_node_release(&c->founder);
    merge_node_release(&c->a);
    merge_node_release(&c->b);
}

Test(merge_radio, members_of_now_get_it_and_those_who_come_later_too)
{
    camp c;
    uint8_t epoch;
    uint16_t boxes;
    merge_radio_key of[3][MERGE_RADIO_KEYS];
    camp_init(&c);
    must_give(&c.founder, false, 0, 2);
    cr_assert_eq(merge_node_radio(&c.founder, false, &epoch, &boxes), ERR_EXISTS);
    camp_meet(&c);
    cr_assert(keys_of(&c.founder, of[0]) == 1 && keys_of(&c.a, of[1]) == 1);
    cr_assert_arr_eq(of[0][0].key, of[1][0].key, CRYPTO_KEY_BYTES);
    cr_assert_eq(keys_of(&c.b, of[2]), 0, "no member yet");
    merge_node_add(&c.founder, 3, ROSTER_ROLE_FIELD);
    must_give(&c.founder, false, 0, 1);
    camp_meet(&c);
    cr_assert_eq(keys_of(&c.b, of[2]), 1);
    cr_assert_arr_eq(of[0][0].key, of[2][0].key, CRYPTO_KEY_BYTES);
    camp_release(&c);
}

Test(merge_radio, who_was_removed_does_not_get_the_next_one)
{
    camp c;
    merge_radio_key of[2][MERGE_RADIO_KEYS];
    camp_init(&c);
    merge_node_add(&c.founder, 3, ROSTER_ROLE_FIELD);
    must_give(&c.founder, false, 0, 3);
    merge_node_remove(&c.founder, 3);
    must_give(&c.founder, true, 1, 2);
    camp_meet(&c);
    cr_assert(keys_of(&c.a, of[0]) == 2 && of[0][0].epoch == 0 && of[0][1].epoch == 1);
    cr_assert(keys_of(&c.b, of[1]) == 1 && of[1][0].epoch == 0);
    cr_assert_neq(memcmp(of[0][0].key, of[0][1].key, CRYPTO_KEY_BYTES), 0);
    for (uint8_t epoch = 2; epoch < 7; epoch++)
        must_give(&c.founder, true, epoch, 2);
    merge_node_restart(&c.founder);
    cr_assert(keys_of(&c.founder, of[0]) == MERGE_RADIO_KEYS && of[0][0].epoch == 3 &&
              of[0][3].epoch == 6);
    camp_release(&c);
}

Test(merge_radio, only_the_founder_gives_it)
{
    camp c;
    uint8_t epoch;
    uint16_t boxes;
    camp_init(&c);
    camp_meet(&c);
    cr_assert_eq(merge_node_radio(&c.a, false, &epoch, &boxes), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_try_emit(&c.founder, "cairn", RADIO_KEY_STREAM, RADIO_KEY_KIND),
                 ERR_FORBIDDEN);
    camp_release(&c);
}

Test(merge_radio, a_successor_who_can_read_it_gives_it_on)
{
    camp c;
    merge_radio_key of[2][MERGE_RADIO_KEYS];
    camp_init(&c);
    must_give(&c.founder, false, 0, 2);
    camp_meet(&c);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, 500, 600, (heir_limit_row){.feed = 0}),
                 ERR_OK);
    merge_node_add(&c.a, 3, ROSTER_ROLE_FIELD);
    must_give(&c.a, false, 0, 2); /* the new member, and his own key as number 1 */
    merge_node_pull(&c.b, &c.a);
    cr_assert(keys_of(&c.a, of[0]) == 1 && keys_of(&c.b, of[1]) == 1);
    cr_assert_arr_eq(of[0][0].key, of[1][0].key, CRYPTO_KEY_BYTES);
    must_give(&c.a, true, 1, 3);
    camp_release(&c);
}
