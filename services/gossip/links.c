/* Links between members over TCP. Incoming ones share the member socket (a ROUTER), outgoing ones have a DEALER each.
 * Both sides greet first; what comes before the greeting is dropped. Of two links between the same two processes the
 * one that the lower transport key opened is kept. */
#include "gossip/gossip_shell.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <zmq.h>

#define TURN_MAX      64u    /* messages taken from one socket in one turn */
#define GREET_MS      8000u  /* from connecting to the greeting */
#define PING_MS       2000u  /* without a word of ours */
#define SILENT_MS     15000u /* without a word of the peer's */
#define LINKS_PER_KEY 4u
#define CLOCK_WARN_MS (10ull * 60 * 1000)

/* ---- the table ---- */

lan_link *link_free_row(gossip_shell *g)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (g->links[i].state == LINK_FREE)
            return &g->links[i];
    return NULL;
}

lan_link *link_by_id(gossip_shell *g, uint32_t id)
{
    for (size_t i = 0; id != 0 && i < PEERS_MAX; i++)
        if (g->links[i].state != LINK_FREE && g->links[i].id == id)
            return &g->links[i];
    return NULL;
}

static lan_link *link_by_route(gossip_shell *g, const bus_route *route)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        lan_link *l = &g->links[i];
        if (l->state != LINK_FREE && !l->out && l->route.len == route->len &&
            memcmp(l->route.b, route->b, route->len) == 0)
            return l;
    }
    return NULL;
}

static bool same_key(const transport_key *a, const transport_key *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool link_exists(const gossip_shell *g, const transport_key *key)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (g->links[i].state != LINK_FREE && same_key(&g->links[i].key, key))
            return true;
    return false;
}

static size_t links_of_key(const gossip_shell *g, const transport_key *key)
{
    size_t n = 0;
    for (size_t i = 0; i < PEERS_MAX; i++)
        n += g->links[i].state != LINK_FREE && same_key(&g->links[i].key, key);
    return n;
}

uint32_t link_new_id(gossip_shell *g)
{
    if (++g->next_link == 0)
        g->next_link = 1;
    return g->next_link;
}

/* ---- cutting an incoming connection ----
 * ZeroMQ has no call that closes one peer of a ROUTER, and a removed member must be cut within a second without
 * disturbing the others. Each message knows the descriptor it came by: shutting that down makes libzmq drop the peer,
 * whose new attempts the ZAP handler refuses. The descriptor may have been reused meanwhile, so the address of the
 * other end must still be what it was. Whatever happens, nothing more of that key is listened to. */

static bool name_fd(int fd, char out[64])
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[40], port[8];
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&a, &len) != 0 || a.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    snprintf(out, 64, "%s %s", host, port);
    return true;
}

static int fd_of(bus_frame *f)
{
    return zmq_msg_get((zmq_msg_t *)(void *)f->opaque, ZMQ_SRCFD);
}

static void cut(int fd, const char *was)
{
    char is[64];
    if (was[0] != '\0' && name_fd(fd, is) && strcmp(is, was) == 0)
        (void)shutdown(fd, SHUT_RDWR);
}

static void cut_frame(bus_frame *f)
{
    char is[64];
    int fd = fd_of(f);
    if (name_fd(fd, is))
        cut(fd, is);
}

/* ---- saying ---- */

static err_t say_body(gossip_shell *g, lan_link *l, uint16_t type, bytes body)
{
    err_t e = bus_send_body(service_bus(g->s), l->out ? l->socket : g->router,
                            l->out ? NULL : &l->route, type, 0, body);
    if (e != ERR_OK)
        return e;
    l->sent_bytes += body.len;
    l->said = clock_mono();
    service_count(g->s, COUNT_MESSAGES_SENT, 1);
    service_count(g->s, COUNT_BYTES_SENT, body.len);
    return ERR_OK;
}

static err_t say(gossip_shell *g, lan_link *l, const msg_desc *desc, const void *msg)
{
    buf body;
    buf_init(&body, 4096);
    err_t e = msg_encode(desc, msg, &body);
    if (e == ERR_OK)
        e = say_body(g, l, desc->id, buf_view(&body));
    buf_release(&body);
    return e;
}

void link_send(gossip_shell *g, lan_link *l, const msg_desc *desc, bytes body)
{
    err_t e = say_body(g, l, desc->id, body);
    if (e == ERR_BUSY)
        link_close(g, l, "it does not read what it asks for: its queue was full");
    else if (e != ERR_OK)
        link_close(g, l, "the connection was lost");
}

err_t link_say_hello(gossip_shell *g, lan_link *l)
{
    peer_hello m = {.member = g->self,
                    .name = bytes_str(g->name),
                    .nonce = g->nonce,
                    .wall_ms = clock_wall().ms & WALL_MAX_MS,
                    .port = g->port};
    return say(g, l, &peer_hello_desc, &m);
}

static err_t say_ping(gossip_shell *g, lan_link *l, bool answer)
{
    peer_ping m = {.wall_ms = clock_wall().ms & WALL_MAX_MS, .answer = answer};
    return say(g, l, &peer_ping_desc, &m);
}

/* ---- ends ---- */

void link_close(gossip_shell *g, lan_link *l, const char *error)
{
    lan_link gone = *l;
    *l = (lan_link){0};
    if (gone.state == LINK_UP) {
        gossip_link_down(g->core, gone.id, clock_mono());
        log_info("link to %s ended%s%s", gone.name, error != NULL ? ": " : "",
                 error != NULL ? error : "");
    }
    if (gone.out) {
        service_unwatch(g->s, gone.socket, 0);
        service_unwatch(g->s, gone.monitor, 0);
        (void)zmq_socket_monitor(gone.socket, NULL, 0);
        bus_close(gone.monitor);
        bus_close(gone.socket);
    } else {
        cut(gone.fd, gone.fd_peer);
    }
    if (gone.heard_wall.ms != 0)
        dial_heard(g, &gone.key, gone.heard_wall);
    if (gone.dial != 0)
        dial_failed(g, gone.dial - 1, error);
}

/* The last words of an incoming link would be cut off with it: it is left to the peer to close. */
void link_bye(gossip_shell *g, lan_link *l, err_t why, const char *text)
{
    peer_bye m = {.code = (uint16_t)why, .text = bytes_str(text)};
    (void)!say(g, l, &peer_bye_desc, &m);
    if (!l->out)
        l->fd_peer[0] = '\0';
    link_close(g, l, why == ERR_DUPLICATE ? NULL : text);
}

void links_check(gossip_shell *g)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        lan_link *l = &g->links[i];
        if (l->state == LINK_FREE || key_belongs_to(g, &l->key) != 0)
            continue;
        log_warn("member %u (%s) does not belong any more: its connection is cut", l->member,
                 l->name);
        link_close(g, l, "it was removed from this dataset");
    }
}

void links_free(gossip_shell *g)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (g->links[i].state != LINK_FREE)
            link_bye(g, &g->links[i], ERR_STOPPING, "this node is stopping");
}

/* ---- greeting ---- */

/* Which side of the link opened it: of two links between the same processes both sides keep the same one. */
static bool is_better(const gossip_shell *g, const lan_link *a, const lan_link *b)
{
    bool ours_is_lower = memcmp(g->public.b, a->key.b, sizeof a->key.b) < 0;
    if (a->out == b->out)
        return a->since.ms < b->since.ms;
    return a->out == ours_is_lower;
}

/* False when `l` itself had to go. */
static bool keep_one(gossip_shell *g, lan_link *l)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        lan_link *o = &g->links[i];
        if (o == l || o->state != LINK_UP || !same_key(&o->key, &l->key) || o->nonce != l->nonce)
            continue;
        bool stays = is_better(g, l, o);
        link_bye(g, stays ? o : l, ERR_DUPLICATE, "one link between two nodes is enough");
        if (!stays)
            return false;
    }
    return true;
}

static void warn_clock(const lan_link *l, uint64_t theirs_ms)
{
    uint64_t ours_ms = clock_wall().ms;
    uint64_t off = ours_ms > theirs_ms ? ours_ms - theirs_ms : theirs_ms - ours_ms;
    char span[16];
    if (off < CLOCK_WARN_MS)
        return;
    clock_span_text(span, off);
    log_warn("the clock of %s is %s %s ours: one of both is wrong", l->name, span,
             ours_ms > theirs_ms ? "behind" : "ahead of");
}

/* An IPv4 address that came in by an IPv6 socket. */
static const char *plain_host(const char *from)
{
    return strncmp(from, "::ffff:", 7) == 0 ? from + 7 : from;
}

static void remember(gossip_shell *g, const lan_link *l, uint16_t port, const char *from)
{
    char address[ADDRESS_MAX_BYTES + 1];
    if (l->out || port == 0 || from[0] == '\0')
        return;
    from = plain_host(from);
    snprintf(address, sizeof address, strchr(from, ':') != NULL ? "[%s]:%u" : "%s:%u", from, port);
    dial_learnt(g, address, l->member, &l->key, DIAL_REMEMBERED);
}

static void greeted(gossip_shell *g, lan_link *l, const peer_hello *m, const char *from)
{
    member_no owner = key_belongs_to(g, &l->key);
    bool other = !key_may_be(owner, m->member);
    if (other || (same_key(&l->key, &g->public) && m->nonce == g->nonce)) {
        link_bye(g, l, ERR_NOT_MEMBER, other ? "that key is another member's" : "this is yourself");
        return;
    }
    l->member = owner;
    l->nonce = m->nonce;
    const member_entry *known = member_by_key(g, &l->key);
    if (known != NULL)
        snprintf(l->name, sizeof l->name, "%s", known->name);
    else
        snprintf(l->name, sizeof l->name, "%.*s", (int)m->name.len, (const char *)m->name.p);
    if (!l->out && link_say_hello(g, l) != ERR_OK) {
        link_close(g, l, "the connection was lost");
        return;
    }
    if (!keep_one(g, l))
        return;
    if (gossip_link_up(g->core, l->id, l->member, l->out, clock_mono()) != ERR_OK) {
        link_bye(g, l, ERR_BUSY, "too many links already");
        return;
    }
    l->state = LINK_UP;
    warn_clock(l, m->wall_ms);
    remember(g, l, m->port, from);
    if (l->dial != 0)
        dial_up(g, l->dial - 1, l->member);
    service_count(g->s, COUNT_LINKS, 1);
    log_info("link to %s (member %u) at %s is up", l->name, l->member, l->address);
}

/* ---- messages ---- */

static void on_bye(gossip_shell *g, lan_link *l, const peer_bye *m)
{
    char text[ERROR_TEXT_MAX_BYTES + 1];
    snprintf(text, sizeof text, "%.*s", (int)m->text.len, (const char *)m->text.p);
    link_close(g, l, m->code == ERR_DUPLICATE ? NULL : text);
}

static bool is_peer_message(const msg_desc *desc)
{
    return desc != NULL && desc->id >= peer_hello_desc.id && desc->id <= peer_bye_desc.id;
}

static void on_message(gossip_shell *g, lan_link *l, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    const msg_desc *desc = msg_by_id(f->envelope.type);
    l->heard = clock_mono();
    l->heard_wall = clock_wall();
    l->received_bytes += f->body.len;
    if (!is_peer_message(desc) || desc->size > sizeof msg)
        return; /* something a later version of ours says */
    const char *bad = NULL;
    err_t e = msg_decode(desc, f->body, msg, &bad);
    if (e != ERR_OK) {
        char text[128];
        snprintf(text, sizeof text, "%s, field %s: %s", desc->name, bad != NULL ? bad : "?",
                 err_text(e));
        service_count(g->s, COUNT_MALFORMED, 1);
        link_bye(g, l, e, text);
    } else if (desc == &peer_hello_desc) {
        if (l->state == LINK_GREETING)
            greeted(g, l, (const peer_hello *)(const void *)msg, f->peer_address);
    } else if (desc == &peer_bye_desc) {
        on_bye(g, l, (const peer_bye *)(const void *)msg);
    } else if (desc == &peer_ping_desc) {
        if (((const peer_ping *)(const void *)msg)->answer)
            (void)!say_ping(g, l, false);
    } else if (l->state == LINK_UP) {
        gossip_recv(g->core, l->id, desc, msg, l->heard);
    }
}

static void note_refused(gossip_shell *g, const lan_link *l, const char *why)
{
    refused_row *r = NULL;
    for (size_t i = 0; i < g->n_refused; i++)
        if (same_key(&g->refused[i].key, &l->key))
            r = &g->refused[i];
    if (r == NULL)
        r = &g->refused[g->n_refused < REFUSED_MAX ? g->n_refused++ : REFUSED_MAX - 1];
    const member_entry *m = member_by_key(g, &l->key);
    *r = (refused_row){.key = l->key, .member = key_belongs_to(g, &l->key), .at = clock_wall()};
    snprintf(r->name, sizeof r->name, "%s", m != NULL ? m->name : "");
    snprintf(r->address, sizeof r->address, "%.63s", l->address);
    snprintf(r->why, sizeof r->why, "%s", why);
}

/* False (and the link is gone) when the peer speaks another version, or of another dataset. */
static bool speaks_ours(gossip_shell *g, lan_link *l, const bus_frame *f)
{
    char text[ERROR_TEXT_MAX_BYTES];
    err_t e = ERR_OK;
    if (f->envelope.version != PROTO_VERSION) {
        e = ERR_VERSION;
        snprintf(text, sizeof text, "it speaks protocol %u, this node %u: update the older one",
                 f->envelope.version, PROTO_VERSION);
    } else if (memcmp(f->envelope.dataset.b, service_bus(g->s)->dataset.b,
                      sizeof f->envelope.dataset.b) != 0) {
        e = ERR_DATASET;
        snprintf(text, sizeof text, "it belongs to another dataset");
    }
    if (e == ERR_OK)
        return true;
    note_refused(g, l, text);
    link_bye(g, l, e, text);
    return false;
}

void link_heard(gossip_shell *g, lan_link *l, const bus_frame *f)
{
    service_count(g->s, COUNT_BYTES_RECEIVED, f->body.len);
    if (speaks_ours(g, l, f))
        on_message(g, l, f);
}

void link_garbage(gossip_shell *g, lan_link *l)
{
    service_count(g->s, COUNT_MALFORMED, 1);
    if (l != NULL)
        link_bye(g, l, ERR_MALFORMED, "not a message of Cairn");
}

/* ---- incoming ---- */

static lan_link *accept_link(gossip_shell *g, bus_frame *f)
{
    transport_key key;
    memcpy(key.b, f->user_key, sizeof key.b);
    if (key_belongs_to(g, &key) == 0) {
        service_count(g->s, COUNT_STRANGERS, 1);
        cut_frame(f);
        return NULL;
    }
    lan_link *l = links_of_key(g, &key) < LINKS_PER_KEY ? link_free_row(g) : NULL;
    if (l == NULL)
        return NULL; /* it tries again later */
    *l = (lan_link){.state = LINK_GREETING,
                    .id = link_new_id(g),
                    .route = f->route,
                    .key = key,
                    .since = clock_mono()};
    l->fd = fd_of(f);
    if (!name_fd(l->fd, l->fd_peer))
        l->fd_peer[0] = '\0';
    snprintf(l->address, sizeof l->address, "%s", plain_host(f->peer_address));
    snprintf(l->name, sizeof l->name, "?");
    service_wake(g->s, g->links_next);
    return l;
}

static void on_incoming(gossip_shell *g, bus_frame *f)
{
    lan_link *l = link_by_route(g, &f->route);
    bool greets = f->envelope.type == peer_hello_desc.id || f->envelope.version != PROTO_VERSION;
    if (l == NULL && g->self != 0 && greets)
        l = accept_link(g, f);
    if (l == NULL)
        return;
    /* The roster is checked when it changes (links_check); the key that this very message came with, always. */
    if (memcmp(l->key.b, f->user_key, sizeof l->key.b) != 0) {
        service_count(g->s, COUNT_STRANGERS, 1);
        cut_frame(f);
    } else {
        link_heard(g, l, f);
    }
}

void links_serve_router(service *s, void *self)
{
    gossip_shell *g = self;
    bus_frame f;
    err_t e;
    for (unsigned n = 0; n < TURN_MAX && (e = bus_recv(g->router, true, &f)) != ERR_NOT_FOUND;
         n++) {
        service_count(s, COUNT_MESSAGES_RECEIVED, 1);
        if (e != ERR_OK) {
            link_garbage(g, link_by_route(g, &f.route));
            continue;
        }
        do
            on_incoming(g, &f);
        while (bus_next(&f));
        bus_frame_release(&f);
    }
}

/* ---- time ---- */

static void tick_link(gossip_shell *g, lan_link *l, mono_ms now)
{
    if (l->state == LINK_GREETING && now.ms >= l->since.ms + GREET_MS) {
        link_close(g, l, "no answer in time");
        return;
    }
    if (l->state != LINK_UP)
        return;
    if (now.ms >= l->heard.ms + SILENT_MS) {
        link_close(g, l, "nothing was heard of it for 15 s");
        return;
    }
    bool doubt = now.ms >= l->heard.ms + SILENT_MS / 2;
    if ((doubt || now.ms >= l->said.ms + PING_MS) && say_ping(g, l, doubt) == ERR_UNREACHABLE)
        link_close(g, l, "the connection was lost");
}

void links_tick(gossip_shell *g, mono_ms now)
{
    bool any = false;
    if (now.ms >= g->links_next.ms) {
        g->links_next.ms = now.ms + PING_MS / 2;
        for (size_t i = 0; i < PEERS_MAX; i++)
            if (g->links[i].state != LINK_FREE)
                tick_link(g, &g->links[i], now);
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        any |= g->links[i].state != LINK_FREE;
    if (any)
        service_wake(g->s, g->links_next);
}
