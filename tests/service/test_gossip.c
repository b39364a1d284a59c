/* The gossip process with merge and store played by the test: who gets in, who does not, what bad peers cost. */
#include "shell/clock.h"
#include "tests/service/gossip_node.h"

#include "gossip/curve.h"
#include "gossip/zap.h"
#include "pure/crypto.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

TestSuite(gossip, .init = node_start, .fini = node_stop, .timeout = 120);

static bool peer_of(member_no member, peer_row *row)
{
    peers_reply m;
    rig_ask(&r, &peers_request_desc, &(peers_request){0}, &m);
    while (msg_list_next(&peer_row_desc, &m.peers, row))
        if (row->member == member)
            return true;
    return false;
}

/* The link still works: a ping that wants an answer gets one. */
static void friend_is_well(void)
{
    peer_ping in, out = {.wall_ms = clock_wall().ms, .answer = true};
    peer_say(&friend, &peer_ping_desc, &out);
    peer_hear(&friend, &peer_ping_desc, &in);
}

static size_t memory_kib(void)
{
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)r.pid);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    fclose(f);
    return kib;
}

/* ---- who gets in ---- */

Test(gossip, a_member_is_greeted_and_shown)
{
    peer_row row;
    node_link_friend();
    friend_is_well();
    cr_assert(peer_of(2, &row));
    cr_assert(bytes_is(row.state, "live") && bytes_is(row.name, "friend"));
    cr_assert(row.heard_ms > 0);
}

Test(gossip, a_stranger_with_a_valid_key_is_refused)
{
    node_link_friend();
    peer_connect(&stranger, member_address, &node_key);
    cr_assert_eq(peer_await(&stranger, ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                           ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                           ZMQ_EVENT_DISCONNECTED),
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    cr_assert(node_counter("strangers_refused_total") > 0);
    friend_is_well();
}

Test(gossip, one_who_expects_another_key_does_not_connect)
{
    peer_connect(&friend, member_address, &stranger.key);
    cr_assert_neq(
        peer_await(&friend, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_DISCONNECTED),
        ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

Test(gossip, a_member_cannot_pose_as_another)
{
    peer_hello hello = {.member = 1, .name = bytes_str("camp"), .nonce = 5};
    peer_bye bye;
    peer_connect(&friend, member_address, &node_key);
    peer_say(&friend, &peer_hello_desc, &hello);
    peer_hear(&friend, &peer_bye_desc, &bye);
    cr_assert_eq(bye.code, ERR_NOT_MEMBER);
}

Test(gossip, a_removed_member_is_cut_off_at_once_and_stays_out)
{
    node_link_friend();
    gossip_peer other;
    peer_init(&other, &r.bus, 3);
    fake_merge_member(merge, 3, "other", 2, &other.key, 0);
    do
        peer_connect(&other, member_address, &node_key);
    while (peer_await(&other, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) !=
           ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    peer_greet(&other, 3, 6);
    uint64_t began = clock_mono().ms;
    fake_merge_member(merge, 2, "friend", 2, &friend.key, 1);
    (void)peer_await(&friend, ZMQ_EVENT_DISCONNECTED);
    fprintf(stderr, "cut after %llu ms\n", (unsigned long long)(clock_mono().ms - began));
    peer_connect(&friend, member_address, &node_key);
    cr_assert_eq(
        peer_await(&friend, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH),
        ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    peer_ping in, out = {.answer = true};
    peer_say(&other, &peer_ping_desc, &out);
    peer_hear(&other, &peer_ping_desc, &in);
    peer_release(&other);
}

Test(gossip, of_two_links_to_one_process_one_is_closed)
{
    gossip_peer twin;
    peer_bye bye;
    node_link_friend();
    peer_init(&twin, &r.bus, 1);
    peer_connect(&twin, member_address, &node_key);
    peer_greet(&twin, 2, 5);
    peer_hear(&twin, &peer_bye_desc, &bye);
    cr_assert_eq(bye.code, ERR_DUPLICATE);
    friend_is_well();
    peer_release(&twin);
}

/* ---- rubbish ---- */

static int raw_connection(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)strtol(strrchr(member_address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

Test(gossip, random_bytes_at_the_port_change_nothing)
{
    node_link_friend();
    size_t before = memory_kib();
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 300; i++) {
        uint8_t noise[4096];
        random_fill(noise, sizeof noise);
        if (i % 3 == 0)
            memcpy(noise, "\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", 17); /* a greeting, then noise */
        int fd = raw_connection();
        (void)!write(fd, noise, sizeof noise);
        close(fd);
    }
    friend_is_well();
    size_t after = memory_kib();
    cr_assert(after < before + 32 * 1024, "grew from %zu to %zu KiB", before, after);
    node_await_ready();
}

Test(gossip, an_over_long_message_ends_the_link_before_it_is_held)
{
    gossip_peer big;
    size_t len = 48u << 20;
    void *bytes_48 = calloc(1, len);
    cr_assert_not_null(bytes_48);
    node_link_friend();
    size_t before = memory_kib();
    peer_init(&big, &r.bus, 1);
    for (int i = 0; i < 3; i++) {
        peer_connect(&big, member_address, &node_key);
        peer_greet(&big, 2, 100 + (uint64_t)i);
        cr_assert(zmq_send(big.socket, bytes_48, len, 0) >= 0);
        (void)peer_await(&big, ZMQ_EVENT_DISCONNECTED);
    }
    size_t after = memory_kib();
    cr_assert(after < before + 32 * 1024, "grew from %zu to %zu KiB", before, after);
    friend_is_well();
    peer_release(&big);
    free(bytes_48);
}

Test(gossip, a_member_that_sends_nonsense_is_told_why)
{
    peer_bye bye;
    node_link_friend();
    cr_assert(zmq_send(friend.socket, "x", 1, ZMQ_SNDMORE) == 1);
    cr_assert(zmq_send(friend.socket, "y", 1, 0) == 1);
    peer_hear(&friend, &peer_bye_desc, &bye);
    cr_assert_eq(bye.code, ERR_MALFORMED);
    node_link_friend();
    cr_assert(zmq_send(friend.socket, "\0\0\0\1\x94xyz", 8, 0) == 8);
    peer_hear(&friend, &peer_bye_desc, &bye);
    cr_assert_eq(bye.code, ERR_MALFORMED);
    node_link_friend();
    cr_assert_eq(
        bus_send_body(&r.bus, friend.socket, NULL, peer_digest_desc.id, 0, bytes_str("\x91\x01")),
        ERR_OK);
    peer_hear(&friend, &peer_bye_desc, &bye);
    cr_assert(bye.text.len > 10);
    cr_assert(node_counter("malformed_messages_total") >= 3);
}

Test(gossip, a_newer_protocol_is_refused_in_words)
{
    peer_bye bye;
    peer_row row;
    buf frame;
    buf_init(&frame, 512);
    msg_envelope e = {PROTO_VERSION + 1, peer_hello_desc.id, 0, r.home.dataset};
    peer_hello hello = {.member = 2, .name = bytes_str("from the future"), .nonce = 1};
    size_t at = pack_begin(&frame, &e);
    cr_assert_eq(msg_encode(&peer_hello_desc, &hello, &frame), ERR_OK);
    cr_assert_eq(pack_end(&frame, at), ERR_OK);
    peer_connect(&friend, member_address, &node_key);
    cr_assert(zmq_send(friend.socket, frame.p, frame.len, 0) >= 0);
    peer_hear(&friend, &peer_bye_desc, &bye);
    cr_assert_eq(bye.code, ERR_VERSION);
    cr_assert(peer_of(2, &row));
    cr_assert(bytes_is(row.state, "refused") && row.error.len > 10);
    buf_release(&frame);
}

/* ---- events ---- */

Test(gossip, what_a_member_has_is_asked_for_and_handed_to_merge)
{
    node_link_friend();
    frontier_row theirs = {.feed = 2, .seq = 3, .id = {{8}}};
    peer_frontier m = {
        .digest = {{4}}, .buckets = FRONTIER_ALL_BUCKETS, .entries = MSG_LIST_OF(&theirs, 1)};
    peer_want want;
    buf sent, taken;
    peer_say(&friend, &peer_frontier_desc, &m);
    peer_hear(&friend, &peer_want_desc, &want);
    cr_assert(want.feed == 2 && want.after_seq == 0 && want.tip_seq == 3 && want.fresh);
    node_make_run(&sent, 2, 3);
    peer_say(&friend, &peer_run_desc, &(peer_run){.run = buf_view(&sent)});
    fake_merge_await(merge, ingest_request_desc.id, 1);
    fake_merge_taken(merge, &taken);
    cr_assert(bytes_eq(buf_view(&taken), buf_view(&sent)));
    buf_release(&sent);
    buf_release(&taken);
}

Test(gossip, news_are_told_without_being_asked)
{
    peer_frontier news;
    frontier_row row;
    node_link_friend();
    peer_say(&friend, &peer_digest_desc, &(peer_digest){.digest = {{1}}});
    peer_hear(&friend, &peer_frontier_desc, &news);
    cr_assert(news.reply);
    /* We stand alike: from now on only changes are told. */
    peer_digest alike = {.digest = news.digest};
    peer_say(&friend, &peer_digest_desc, &alike);
    friend_is_well();
    frontier_entry e[] = {{.feed = 1, .seq = 5, .id = {{1}}},
                          {.feed = 0x10001, .seq = 9, .id = {{2}}}};
    fake_merge_frontier(merge, e, 2);
    peer_hear(&friend, &peer_frontier_desc, &news);
    cr_assert(!news.reply);
    size_t n = 0;
    while (msg_list_next(&frontier_row_desc, &news.entries, &row))
        n += row.feed == 0x10001 && row.seq == 9;
    cr_assert_eq(n, 1u);
}

Test(gossip, a_damaged_state_file_is_put_aside)
{
    char path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
    node_link_friend();
    rig_stop(&r);
    rig_path(&r, path, "state");
    rig_path(&r, aside, "state.damaged");
    cr_assert_eq(home_write_file(path, bytes_str("\x94\x01rubbish")), ERR_OK);
    rig_start(&r);
    node_await_ready();
    cr_assert_eq(access(aside, R_OK), 0);
    node_find_port();
    node_link_friend();
}

Test(gossip, a_transport_key_that_the_roster_does_not_know_is_said)
{
    health_reply health = {0};
    uint64_t until = clock_mono().ms + RIG_MS;
    fake_merge_member(merge, 1, "camp", 0, &stranger.key, 0);
    do
        rig_ask(&r, &health_request_desc, &(health_request){0}, &health);
    while (health.ready && clock_mono().ms < until);
    cr_assert(!health.ready && health.state.len > 40);
}

Test(gossip, merge_may_go_and_come_back)
{
    health_reply health;
    node_link_friend();
    fake_merge_stop(merge);
    do
        rig_ask(&r, &health_request_desc, &(health_request){0}, &health);
    while (health.ready);
    cr_assert(bytes_is(health.state, "waiting for merge"));
    friend_is_well();
    fake_merge_start(merge);
    node_await_ready();
    friend_is_well();
}

/* ---- without the process ---- */

static bool everybody(void *ctx, const char *domain, const transport_key *key, const char *address)
{
    (void)ctx;
    (void)key;
    (void)address;
    return strcmp(domain, "member") == 0;
}

static int knock(bus *b, void *server, void *zap, const transport_key *key, const char *address)
{
    gossip_peer p;
    (void)server;
    peer_init(&p, b, 1);
    peer_connect(&p, address, key);
    int event = 0;
    for (int i = 0; event == 0 && i < 300; i++) {
        zmq_pollitem_t items[] = {{.socket = p.monitor, .events = ZMQ_POLLIN},
                                  {.socket = zap, .events = ZMQ_POLLIN}};
        (void)zmq_poll(items, zap != NULL ? 2 : 1, 1000);
        if (zap != NULL)
            zap_serve(zap, everybody, NULL);
        if ((items[0].revents & ZMQ_POLLIN) != 0)
            event = peer_await(&p, ZMQ_EVENT_ALL) &
                    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                     ZMQ_EVENT_DISCONNECTED);
    }
    peer_release(&p);
    return event;
}

Test(gossip_sockets, without_the_zap_handler_nobody_gets_in)
{
    uint8_t secret[TRANSPORT_KEY_BYTES] = {5};
    char endpoint[128];
    size_t len = sizeof endpoint;
    transport_key key;
    bus b;
    cr_assert_eq(crypto_start(), ERR_OK);
    cr_assert_eq(bus_init(&b, NULL), ERR_OK);
    curve_public(&key, secret);
    void *zap = zap_open(&b), *server = bus_socket(&b, ZMQ_ROUTER);
    cr_assert(zap != NULL && server != NULL);
    cr_assert_eq(curve_server(server, secret, "member"), ERR_OK);
    cr_assert_eq(zmq_bind(server, "tcp://127.0.0.1:*"), 0);
    cr_assert_eq(zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &len), 0);
    const char *address = endpoint + strlen("tcp://");
    cr_assert_eq(knock(&b, server, zap, &key, address), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    bus_close(zap); /* its process lives on, its handler has died */
    cr_assert_neq(knock(&b, server, NULL, &key, address), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    bus_close(server);
    bus_release(&b);
}

Test(gossip_sockets, a_port_in_use_is_a_state_not_an_end, .fini = node_stop)
{
    health_reply health;
    char address[64];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    node_make();
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
    cr_assert_eq(setenv("CAIRN_GOSSIP_LISTEN", address, 1), 0);
    rig_start(&r);
    uint64_t until = clock_mono().ms + RIG_MS;
    do
        rig_ask(&r, &health_request_desc, &(health_request){0}, &health);
    while ((health.state.len < 5 || memcmp(health.state.p, "port ", 5) != 0) &&
           clock_mono().ms < until);
    cr_assert(!health.ready);
    cr_assert(health.state.len > 40 && memcmp(health.state.p, "port ", 5) == 0, "%.*s",
              (int)health.state.len, (const char *)health.state.p);
    close(fd);
    node_await_ready();
}
