#include "tests/service/gossip_node.h"

#include "gossip/curve.h"
#include "pure/crypto.h"
#include "pure/run.h"
#include "shell/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

rig r;
fake_merge *merge;
gossip_peer friend, stranger;
transport_key node_key;
char member_address[ADDRESS_MAX_BYTES + 1], lobby_address[ADDRESS_MAX_BYTES + 1];

void node_make(void)
{
    uint8_t secret[TRANSPORT_KEY_BYTES];
    char dir[HOME_PATH_MAX];
    buf why;
    buf_init(&why, 512);
    cr_assert_eq(crypto_start(), ERR_OK);
    cr_assert_eq(setenv("CAIRN_GOSSIP_LISTEN", "127.0.0.1:0", 1), 0);
    cr_assert_eq(setenv("CAIRN_GOSSIP_DISCOVERY", "false", 1), 0);
    cr_assert_eq(setenv("CAIRN_GOSSIP_RETRY_MAX_MS", "200", 1), 0);
    rig_init(&r, "gossip");
    home_path(&r.home, dir, "gossip");
    cr_assert_eq(curve_load_key(dir, secret, &node_key, &why), ERR_OK);
    buf_release(&why);
    merge = fake_merge_new(&r.home);
    peer_init(&friend, &r.bus, 1);
    peer_init(&stranger, &r.bus, 2);
    fake_merge_member(merge, 1, "camp", 0, &node_key, 0);
    fake_merge_member(merge, 2, "friend", 2, &friend.key, 0);
}

/* Waits until gossip knows the roster and listens. */
void node_await_ready(void)
{
    health_reply health = {0};
    uint64_t until = clock_mono().ms + RIG_MS;
    while (!health.ready && clock_mono().ms < until)
        rig_ask(&r, &health_request_desc, &(health_request){0}, &health);
    cr_assert(health.ready, "%.*s", (int)health.state.len, (const char *)health.state.p);
}

void node_find_port(void)
{
    peers_reply peers;
    rig_ask(&r, &peers_request_desc, &(peers_request){0}, &peers);
    snprintf(member_address, sizeof member_address, "%.*s", (int)peers.listen.len,
             (const char *)peers.listen.p);
    long port = strtol(strrchr(member_address, ':') + 1, NULL, 10);
    snprintf(lobby_address, sizeof lobby_address, "127.0.0.1:%ld", port + 1);
}

void node_start(void)
{
    node_make();
    rig_start(&r);
    node_await_ready();
    node_find_port();
}

void node_stop(void)
{
    peer_release(&friend);
    peer_release(&stranger);
    rig_release(&r);
    fake_merge_free(&merge);
}

uint64_t node_counter(const char *name)
{
    counters_reply m;
    counter_row row;
    rig_ask(&r, &counters_request_desc, &(counters_request){0}, &m);
    while (msg_list_next(&counter_row_desc, &m.counters, &row))
        if (bytes_is(row.name, name))
            return row.value;
    cr_assert_fail("no counter %s", name);
    return 0;
}

void node_link_friend(void)
{
    peer_connect(&friend, member_address, &node_key);
    peer_greet(&friend, 2, 5);
}

void node_make_run(buf *out, feed_id feed, uint32_t count)
{
    run_writer w;
    seal_sig seal = {{1}};
    event_id start = {{0}};
    uint32_t n;
    buf_init(out, RUN_MAX_BYTES);
    cr_assert_eq(run_begin(&w, out, feed, 1, &start), ERR_OK);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(run_add(&w, bytes_str("an event"), false, &seal), ERR_OK);
    cr_assert_eq(run_end(&w, &n), ERR_OK);
}
