/* Gossip and the bridge of a radio: what it is asked for, what it does with what was heard. */
#include "pure/chain.h"
#include "pure/radio_say.h"
#include "pure/run.h"
#include "shell/clock.h"
#include "tests/service/gossip_node.h"

#include <criterion/criterion.h>

TestSuite(gossip_radio, .init = node_start, .fini = node_stop, .timeout = 120);

#define FRIEND 2u

/* One event of the friend's, as its station would say it. */
static size_t say_run(uint8_t plain[RADIO_PLAIN_MAX_BYTES], event_id *before)
{
    static radio_run said = {.feed = FRIEND, .first_seq = 1, .count = 1, .history_seq = 1};
    member_key key = {{0, FRIEND, 77}}; /* as fake_merge makes them */
    uint8_t code[64];
    size_t n = 0;
    chain_start(before, &r.home.dataset, FRIEND, &key);
    memcpy(said.previous, before->b, sizeof said.previous);
    cr_assert(radio_put_body(code, sizeof code, &n, bytes_str("an event"), false));
    said.code = bytes_of(code, n);
    n = radio_put_run(plain, RADIO_PLAIN_MAX_BYTES, &said);
    cr_assert(n > 0);
    return n;
}

static void hear(uint8_t kind, bytes plain, bool fresh)
{
    radio_heard_request m = {.kind = kind,
                             .station = FRIEND,
                             .plain = plain,
                             .rssi_dbm = -97,
                             .snr_cdb = 650,
                             .fresh = fresh};
    rig_ask(&r, &radio_heard_request_desc, &m, &(ok_reply){0});
}

/* What is worth a frame, of a modulation so fast that all delays are short. */
static radio_next_reply next(uint32_t wait_ms)
{
    radio_next_reply reply;
    radio_next_request m = {.max_bytes = RADIO_PLAIN_MAX_BYTES,
                            .frame_us = 20000,
                            .base_us = 2000,
                            .left_us = UINT64_MAX,
                            .hour_us = UINT64_MAX,
                            .wait_ms = wait_ms,
                            .station = 1};
    rig_ask(&r, &radio_next_request_desc, &m, &reply);
    return reply;
}

Test(gossip_radio, a_run_that_was_heard_goes_to_merge)
{
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    event_id before;
    buf taken;
    run got;
    size_t n = say_run(plain, &before);
    node_await_ready();
    hear(RADIO_KIND_RUN, bytes_of(plain, n), true);
    fake_merge_await(merge, ingest_request_desc.id, 1);
    fake_merge_taken(merge, &taken);
    cr_assert_eq(run_decode(buf_view(&taken), &got), ERR_OK);
    cr_assert(got.feed == FRIEND && got.first_seq == 1 && got.count == 1);
    cr_assert(event_id_eq(&got.previous, &before), "the id before is whole again");
    buf_release(&taken);
}

Test(gossip_radio, who_was_heard_is_shown)
{
    uint8_t beacon[] = {1, 1, 2, 3, 4, 5, 6, 0, 0, 0}; /* a whole one of somebody who has nothing */
    peers_reply m;
    peer_row row = {0};
    node_await_ready();
    hear(RADIO_KIND_BEACON, bytes_of(beacon, sizeof beacon), true);
    rig_ask(&r, &peers_request_desc, &(peers_request){0}, &m);
    while (msg_list_next(&peer_row_desc, &m.peers, &row) && !bytes_is(row.link, "radio"))
        continue;
    cr_assert(bytes_is(row.link, "radio") && row.member == FRIEND && bytes_is(row.state, "live"));
    cr_assert(bytes_is(row.name, "friend") && bytes_is(row.address, "-97 dBm, SNR 6.5 dB"));
    cr_assert(row.heard_ms > 0 && row.as_of_ms > 0);
}

Test(gossip_radio, a_bridge_gets_a_beacon_in_time_and_can_say_what_became_of_it)
{
    node_await_ready();
    radio_next_reply m = next(0);
    cr_assert(m.ticket == 0 && m.plain.len == 0 && m.next_ms > 0, "nothing is worth a frame yet");
    m = next(30000);
    cr_assert(m.ticket != 0 && m.kind == RADIO_KIND_BEACON && m.plain.len > 0);
    radio_sent_request sent = {.ticket = m.ticket, .outcome = 0, .airtime_us = 20000};
    rig_ask(&r, &radio_sent_request_desc, &sent, &(ok_reply){0});
}

Test(gossip_radio, nonsense_on_the_air_changes_nothing)
{
    uint8_t junk[RADIO_PLAIN_MAX_BYTES];
    node_await_ready();
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < sizeof junk; k++)
            junk[k] = (uint8_t)(i * 31 + k * (i + 7));
        hear((uint8_t)(i % 16), bytes_of(junk, i), true);
    }
    cr_assert_eq(fake_merge_asked(merge, ingest_request_desc.id), 0);
    (void)next(0);
}
