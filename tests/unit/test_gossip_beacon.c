/* Beacons: what is sent is what is heard; everything else is told apart. */
#include "gossip/beacon_core.h"
#include "prop.h"
#include "pure/crypto.h"

#include <criterion/criterion.h>

static const dataset_id ours = {{1, 2, 3}}, others = {{1, 2, 4}};

static void start(void)
{
    cr_assert_eq(crypto_start(), ERR_OK);
}

TestSuite(gossip_beacon, .init = start);

Test(gossip_beacon, comes_back_as_sent)
{
    prop_rng rng = prop_begin("beacon");
    for (int i = 0; i < 1000; i++) {
        uint8_t wire[BEACON_BYTES + 8] = {0};
        beacon in = {.member = (member_no)(1 + prop_below(&rng, 65535)),
                     .port = (uint16_t)(1 + prop_below(&rng, 65535)),
                     .nonce = prop_u64(&rng)},
               out;
        for (size_t k = 0; k < sizeof in.transport.b; k++)
            in.transport.b[k] = (uint8_t)prop_u64(&rng);
        beacon_encode(wire, &in, &ours);
        cr_assert_eq(beacon_decode(bytes_of(wire, BEACON_BYTES), &ours, &out), ERR_OK);
        cr_assert_eq(out.member, in.member);
        cr_assert_eq(out.port, in.port);
        cr_assert_eq(out.nonce, in.nonce);
        cr_assert_eq(memcmp(out.transport.b, in.transport.b, sizeof in.transport.b), 0);
        cr_assert_eq(beacon_decode(bytes_of(wire, sizeof wire), &ours, &out), ERR_OK,
                     "a later one may be longer");
        cr_assert_eq(beacon_decode(bytes_of(wire, BEACON_BYTES), &others, &out), ERR_DATASET);
        cr_assert_eq(beacon_decode(bytes_of(wire, prop_below(&rng, BEACON_BYTES)), &ours, &out),
                     ERR_MALFORMED);
        wire[4] = 2;
        cr_assert_eq(beacon_decode(bytes_of(wire, BEACON_BYTES), &ours, &out), ERR_VERSION);
    }
}

Test(gossip_beacon, noise_is_no_beacon)
{
    prop_rng rng = prop_begin("noise");
    for (int i = 0; i < 10000; i++) {
        uint8_t wire[128];
        beacon out;
        size_t n = prop_below(&rng, sizeof wire);
        for (size_t k = 0; k < n; k++)
            wire[k] = (uint8_t)prop_u64(&rng);
        cr_assert_neq(beacon_decode(bytes_of(wire, n), &ours, &out), ERR_OK);
    }
}

Test(gossip_beacon, nobody_and_nowhere_are_refused)
{
    uint8_t wire[BEACON_BYTES];
    beacon out, nobody = {.port = 7117}, nowhere = {.member = 3};
    beacon_encode(wire, &nobody, &ours);
    cr_assert_eq(beacon_decode(bytes_of(wire, sizeof wire), &ours, &out), ERR_MALFORMED);
    beacon_encode(wire, &nowhere, &ours);
    cr_assert_eq(beacon_decode(bytes_of(wire, sizeof wire), &ours, &out), ERR_MALFORMED);
}
