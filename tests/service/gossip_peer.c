#include "tests/service/gossip_peer.h"

#include "gossip/curve.h"
#include "shell/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <zmq.h>

void peer_init(gossip_peer *p, bus *b, uint8_t seed)
{
    *p = (gossip_peer){.bus = b,
                       .secret = {0, seed, 2, 3}}; /* the lowest bits of a secret do not count */
    curve_public(&p->key, p->secret);
}

static void forget(gossip_peer *p)
{
    if (p->has_frame)
        bus_frame_release(&p->frame);
    p->has_frame = false;
}

void peer_leave(gossip_peer *p)
{
    forget(p);
    if (p->socket != NULL)
        (void)zmq_socket_monitor(p->socket, NULL, 0);
    bus_close(p->monitor);
    bus_close(p->socket);
    p->socket = p->monitor = NULL;
}

void peer_release(gossip_peer *p)
{
    peer_leave(p);
    buf_release(&p->asked_body);
}

void peer_connect(gossip_peer *p, const char *address, const transport_key *server)
{
    static unsigned count;
    char name[64], endpoint[ADDRESS_MAX_BYTES + 8];
    peer_leave(p);
    snprintf(name, sizeof name, "inproc://peer-%u", count++);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    p->socket = bus_socket(p->bus, ZMQ_DEALER);
    cr_assert_not_null(p->socket);
    cr_assert_eq(curve_client(p->socket, p->secret, server), ERR_OK);
    curve_lan(p->socket, 64, 64u << 20);
    cr_assert_eq(zmq_socket_monitor(p->socket, name, ZMQ_EVENT_ALL), 0);
    p->monitor = bus_socket(p->bus, ZMQ_PAIR);
    cr_assert_eq(zmq_connect(p->monitor, name), 0);
    cr_assert_eq(zmq_connect(p->socket, endpoint), 0);
}

static void say_again(gossip_peer *p)
{
    cr_assert_eq(bus_send_body(p->bus, p->socket, NULL, p->asked->id, 1, buf_view(&p->asked_body)),
                 ERR_OK);
}

void peer_say(gossip_peer *p, const msg_desc *desc, const void *msg)
{
    p->asked = desc->role == MSG_REQUEST ? desc : NULL;
    if (p->asked == NULL) {
        cr_assert_eq(bus_send(p->bus, p->socket, NULL, desc, 0, msg), ERR_OK);
        return;
    }
    buf_release(&p->asked_body);
    buf_init(&p->asked_body, MESSAGE_MAX_BYTES);
    cr_assert_eq(msg_encode(desc, msg, &p->asked_body), ERR_OK);
    say_again(p);
}

/* A connection may be lost on a busy machine, and a request with it. */
static void wait_for(gossip_peer *p, void *socket, uint64_t until_ms)
{
    uint64_t now = clock_mono().ms;
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    cr_assert(now < until_ms, "what was waited for did not come");
    if (zmq_poll(&item, 1, until_ms - now < 2000 ? (long)(until_ms - now) : 2000) == 0 &&
        socket == p->socket && p->asked != NULL)
        say_again(p);
}

err_t peer_answer(gossip_peer *p, const msg_desc *desc, void *msg)
{
    uint64_t until = clock_mono().ms + RIG_MS;
    for (;;) {
        forget(p);
        err_t e = bus_recv(p->socket, false, &p->frame);
        if (e == ERR_NOT_FOUND) {
            wait_for(p, p->socket, until);
            continue;
        }
        cr_assert_eq(e, ERR_OK);
        p->has_frame = true;
        if (p->frame.envelope.type == desc->id) {
            cr_assert_eq(msg_decode(desc, p->frame.body, msg, NULL), ERR_OK);
            return ERR_OK;
        }
        error_reply no;
        if (p->frame.envelope.type == error_reply_desc.id) {
            cr_assert_eq(msg_decode(&error_reply_desc, p->frame.body, &no, NULL), ERR_OK);
            fprintf(stderr, "answer: %.*s\n", (int)no.text.len, (const char *)no.text.p);
            return (err_t)no.code;
        }
    }
}

void peer_hear(gossip_peer *p, const msg_desc *desc, void *msg)
{
    cr_assert_eq(peer_answer(p, desc, msg), ERR_OK);
}

void peer_greet(gossip_peer *p, member_no member, uint64_t nonce)
{
    peer_hello out = {.member = member,
                      .name = bytes_str("played by the test"),
                      .nonce = nonce,
                      .wall_ms = clock_wall().ms},
               in;
    peer_say(p, &peer_hello_desc, &out);
    peer_hear(p, &peer_hello_desc, &in);
}

int peer_await(gossip_peer *p, int events)
{
    uint64_t until = clock_mono().ms + RIG_MS;
    for (;;) {
        uint8_t head[64], address[256];
        uint16_t event;
        if (zmq_recv(p->monitor, head, sizeof head, ZMQ_DONTWAIT) < 6) {
            wait_for(p, p->monitor, until);
            continue;
        }
        (void)zmq_recv(p->monitor, address, sizeof address, 0);
        memcpy(&event, head, sizeof event);
        if (event & events)
            return event;
    }
}
