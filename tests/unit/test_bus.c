/* Many messages in few frames, over a real socket pair of this process. */
#include "shell/bus.h"

#include <criterion/criterion.h>
#include <zmq.h>

static bus b;
static void *router, *dealer;

static void setup(void)
{
    dataset_id dataset = {{5}};
    cr_assert_eq(bus_init(&b, &dataset), ERR_OK);
    router = bus_socket(&b, ZMQ_ROUTER);
    dealer = bus_socket(&b, ZMQ_DEALER);
    cr_assert_eq(zmq_bind(router, "inproc://here"), 0);
    cr_assert_eq(zmq_connect(dealer, "inproc://here"), 0);
}

static void teardown(void)
{
    bus_close(router);
    bus_close(dealer);
    bus_release(&b);
}

/* Waits for a frame, for ever if there is none: the test's time limit ends that. */
static err_t await(void *socket, bus_frame *f)
{
    err_t e;
    while ((e = bus_recv(socket, socket == router, f)) == ERR_NOT_FOUND) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, -1);
    }
    return e;
}

static void post(bus_outbox *o, const bus_route *to, uint64_t request, uint64_t head)
{
    doorbell bell = {.head = head};
    cr_assert_eq(bus_post(o, to, &doorbell_desc, request, &bell), ERR_OK);
}

static void expect(const bus_frame *f, uint64_t request, uint64_t head)
{
    doorbell bell;
    cr_assert_eq(f->envelope.request, request);
    cr_assert_eq(f->envelope.dataset.b[0], 5);
    cr_assert_eq(msg_decode(&doorbell_desc, f->body, &bell, NULL), ERR_OK);
    cr_assert_eq(bell.head, head);
}

Test(bus, a_turn_leaves_in_one_frame, .init = setup, .fini = teardown)
{
    bus_outbox o;
    bus_frame f;
    bus_outbox_init(&o, &b, dealer);
    for (uint64_t i = 0; i < 100; i++)
        post(&o, NULL, i, 1000 + i);
    cr_assert_eq(bus_recv(router, true, &f), ERR_NOT_FOUND, "nothing leaves before");
    cr_assert_eq(bus_flush(&o), ERR_OK);
    cr_assert_eq(bus_flush(&o), ERR_OK);
    cr_assert_eq(await(router, &f), ERR_OK);
    for (uint64_t i = 0; i < 100; i++) {
        expect(&f, i, 1000 + i);
        cr_assert_eq(bus_next(&f), i < 99);
    }
    bus_frame_release(&f);
    cr_assert_eq(bus_recv(router, true, &f), ERR_NOT_FOUND);
    bus_outbox_release(&o);
}

Test(bus, more_than_a_frame_holds_keeps_its_order, .init = setup, .fini = teardown)
{
    bus_outbox o;
    bus_frame f;
    uint64_t seen = 0;
    bus_outbox_init(&o, &b, dealer);
    for (uint64_t i = 0; i < 3 * PACK_MAX_MESSAGES + 1; i++)
        post(&o, NULL, i, i);
    cr_assert_eq(bus_flush(&o), ERR_OK);
    for (unsigned frames = 0; frames < 4; frames++) {
        cr_assert_eq(await(router, &f), ERR_OK);
        do {
            expect(&f, seen, seen);
            seen++;
        } while (bus_next(&f));
        bus_frame_release(&f);
    }
    cr_assert_eq(seen, 3 * PACK_MAX_MESSAGES + 1);
    bus_outbox_release(&o);
}

/* Takes a message of the largest body that there may be, beside small ones. */
Test(bus, large_bodies_fit_beside_small_ones, .init = setup, .fini = teardown)
{
    bus_outbox o;
    bus_frame f;
    uint8_t *much = calloc(1, MESSAGE_MAX_BYTES);
    buf message;
    msg_envelope e = {PROTO_VERSION, doorbell_desc.id, 7, b.dataset};
    cr_assert_not_null(much);
    buf_init(&message, PACK_FRAME_MAX_BYTES);
    size_t at = pack_begin(&message, &e);
    buf_add(&message, much, MESSAGE_MAX_BYTES);
    cr_assert_eq(pack_end(&message, at), ERR_OK);
    bus_outbox_init(&o, &b, dealer);
    post(&o, NULL, 1, 1);
    cr_assert_eq(bus_post_packed(&o, NULL, buf_view(&message)), ERR_OK);
    post(&o, NULL, 2, 2);
    cr_assert_eq(bus_flush(&o), ERR_OK);
    cr_assert_eq(await(router, &f), ERR_OK);
    expect(&f, 1, 1);
    bus_frame_release(&f);
    cr_assert_eq(await(router, &f), ERR_OK);
    cr_assert(f.envelope.request == 7 && f.body.len == MESSAGE_MAX_BYTES && !bus_next(&f));
    bus_frame_release(&f);
    cr_assert_eq(await(router, &f), ERR_OK);
    expect(&f, 2, 2);
    bus_frame_release(&f);
    cr_assert_eq(
        bus_send_body(&b, dealer, NULL, doorbell_desc.id, 8, bytes_of(much, MESSAGE_MAX_BYTES)),
        ERR_OK);
    cr_assert_eq(await(router, &f), ERR_OK);
    cr_assert(f.envelope.request == 8 && f.body.len == MESSAGE_MAX_BYTES);
    bus_frame_release(&f);
    bus_outbox_release(&o);
    buf_release(&message);
    free(much);
}

/* Answers to more peers than there are open frames, in turn. */
Test(bus, each_peer_gets_its_own, .init = setup, .fini = teardown)
{
    enum { PEERS = 2 * BUS_PACKS + 1, EACH = 5 };
    void *peers[PEERS];
    bus_route routes[PEERS];
    bus_outbox o;
    bus_frame f;
    for (size_t i = 0; i < PEERS; i++) {
        doorbell bell = {.head = i};
        peers[i] = bus_socket(&b, ZMQ_DEALER);
        cr_assert_eq(zmq_connect(peers[i], "inproc://here"), 0);
        cr_assert_eq(bus_send(&b, peers[i], NULL, &doorbell_desc, i, &bell), ERR_OK);
        cr_assert_eq(await(router, &f), ERR_OK);
        routes[i] = f.route;
        bus_frame_release(&f);
    }
    bus_outbox_init(&o, &b, router);
    for (uint64_t k = 0; k < EACH; k++)
        for (size_t i = 0; i < PEERS; i++)
            post(&o, &routes[i], k, 100 * i + k);
    cr_assert_eq(bus_flush(&o), ERR_OK);
    for (size_t i = 0; i < PEERS; i++)
        for (uint64_t k = 0; k < EACH;) {
            cr_assert_eq(await(peers[i], &f), ERR_OK);
            do {
                expect(&f, k, 100 * i + k);
                k++;
            } while (bus_next(&f));
            bus_frame_release(&f);
        }
    bus_outbox_release(&o);
    for (size_t i = 0; i < PEERS; i++)
        bus_close(peers[i]);
}

Test(bus, a_peer_that_has_gone_does_not_keep_others_from_theirs, .init = setup, .fini = teardown)
{
    bus_outbox o;
    bus_frame f;
    bus_route nobody = {4, {9, 9, 9, 9}};
    doorbell bell = {0};
    cr_assert_eq(bus_send(&b, dealer, NULL, &doorbell_desc, 0, &bell), ERR_OK);
    cr_assert_eq(await(router, &f), ERR_OK);
    bus_route here = f.route;
    bus_frame_release(&f);
    bus_outbox_init(&o, &b, router);
    post(&o, &nobody, 1, 1);
    post(&o, &here, 2, 2);
    cr_assert_eq(bus_flush(&o), ERR_UNREACHABLE);
    cr_assert_eq(bus_flush(&o), ERR_OK, "an error is told once");
    cr_assert_eq(await(dealer, &f), ERR_OK);
    expect(&f, 2, 2);
    bus_frame_release(&f);
    bus_outbox_release(&o);
}

Test(bus, drops_what_is_no_frame_of_ours, .init = setup, .fini = teardown)
{
    bus_frame f;
    doorbell bell = {.head = 3};
    cr_assert_eq(zmq_send(dealer, "", 0, 0), 0);
    cr_assert_eq(zmq_send(dealer, "\0\0\0\1", 4, 0), 4);
    cr_assert_eq(zmq_send(dealer, "\0\0\0\1\x90", 5, 0), 5);
    cr_assert_eq(zmq_send(dealer, "a", 1, ZMQ_SNDMORE), 1);
    cr_assert_eq(zmq_send(dealer, "b", 1, 0), 1);
    cr_assert_eq(bus_send(&b, dealer, NULL, &doorbell_desc, 1, &bell), ERR_OK);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(await(router, &f), ERR_MALFORMED);
        cr_assert_gt(f.route.len, 0, "whose it was is known");
    }
    cr_assert_eq(await(router, &f), ERR_OK);
    expect(&f, 1, 3);
    bus_frame_release(&f);
}
