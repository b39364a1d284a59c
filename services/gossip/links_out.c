/* Outgoing links: a DEALER each, which libzmq must not connect again behind our back, and its monitor. */
#include "gossip/gossip_shell.h"

#include <stdio.h>
#include <zmq.h>

#define TURN_MAX 64u /* messages taken from one socket in one turn */

static bool take_from(gossip_shell *g, lan_link *l)
{
    bus_frame f;
    uint32_t id = l->id;
    err_t e = bus_recv(l->socket, false, &f);
    if (e == ERR_NOT_FOUND)
        return false;
    service_count(g->s, COUNT_MESSAGES_RECEIVED, 1);
    if (e != ERR_OK) {
        link_garbage(g, l);
        return false;
    }
    do
        link_heard(g, l, &f);
    while (l->state != LINK_FREE && l->id == id && bus_next(&f));
    bus_frame_release(&f);
    return l->state != LINK_FREE;
}

static void serve_outgoing(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        lan_link *l = &g->links[i];
        uint32_t id = l->id;
        for (unsigned n = 0; n < TURN_MAX && l->state != LINK_FREE && l->out && l->id == id; n++)
            if (!take_from(g, l))
                break;
    }
}

/* What libzmq says about the connection: one frame u16 event, u32 value; one with the address. */
static int next_event(void *monitor, uint32_t *value)
{
    uint8_t head[64], address[256];
    int len = zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT);
    if (len < 6)
        return -1;
    (void)zmq_recv(monitor, address, sizeof address, ZMQ_DONTWAIT);
    uint16_t event;
    memcpy(&event, head, sizeof event);
    memcpy(value, head + 2, sizeof *value);
    return event;
}

static const char *event_words(int event)
{
    switch (event) {
    case ZMQ_EVENT_CLOSED:
        return "nobody listens there, or the network does not go there";
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return "refused: that node does not know this one as a member (yet)";
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return "no handshake: it hangs, is another program, or has another key than expected";
    default:
        return "the connection was lost";
    }
}

static void serve_monitors(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        lan_link *l = &g->links[i];
        uint32_t value, id = l->id;
        int event;
        while (l->state != LINK_FREE && l->out && l->id == id &&
               (event = next_event(l->monitor, &value)) > 0) {
            while (event == ZMQ_EVENT_DISCONNECTED && l->state != LINK_FREE && l->id == id &&
                   take_from(g, l))
                continue; /* its last words may still wait */
            if (l->state != LINK_FREE && l->id == id)
                link_close(g, l, event_words(event));
        }
    }
}

static bool watch_link(gossip_shell *g, lan_link *l)
{
    char name[64];
    snprintf(name, sizeof name, "inproc://link-%u", l->id);
    int events = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    l->monitor = bus_socket(service_bus(g->s), ZMQ_PAIR);
    return l->monitor != NULL && zmq_socket_monitor(l->socket, name, events) == 0 &&
           zmq_connect(l->monitor, name) == 0;
}

lan_link *link_dial(gossip_shell *g, size_t dial, const transport_key *key, const char *address)
{
    char endpoint[ADDRESS_MAX_BYTES + 8];
    lan_link *l = g->self != 0 ? link_free_row(g) : NULL;
    if (l == NULL)
        return NULL;
    *l = (lan_link){.state = LINK_GREETING,
                    .id = link_new_id(g),
                    .out = true,
                    .dial = dial + 1,
                    .key = *key,
                    .fd = -1,
                    .since = clock_mono()};
    const member_entry *m = member_by_key(g, key);
    l->member = key_belongs_to(g, key);
    snprintf(l->name, sizeof l->name, "%s", m != NULL ? m->name : "?");
    snprintf(l->address, sizeof l->address, "%s", address);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    l->socket = bus_socket(service_bus(g->s), ZMQ_DEALER);
    bool ok = l->socket != NULL && curve_client(l->socket, g->secret, key) == ERR_OK;
    if (ok) {
        curve_lan(l->socket, LINK_QUEUE_MESSAGES, MESSAGE_MAX_BYTES + 1024);
        ok = watch_link(g, l) && zmq_connect(l->socket, endpoint) == 0;
    }
    if (!ok || link_say_hello(g, l) != ERR_OK) {
        if (l->socket != NULL)
            (void)zmq_socket_monitor(l->socket, NULL, 0);
        bus_close(l->monitor);
        bus_close(l->socket);
        *l = (lan_link){0};
        return NULL;
    }
    service_watch(g->s, l->socket, 0, serve_outgoing);
    service_watch(g->s, l->monitor, 0, serve_monitors);
    service_wake(g->s, g->links_next);
    return l;
}
