/* Addresses: whom to connect to and when to try again. An address without a key is asked at its lobby (one port
 * higher) who lives there; the key must be a member's and proves itself in the handshake. */
#include "gossip/gossip_shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define ASKING_MAX 8u /* lobbies asked at one time */
#define ASK_MS     5000u
#define RETRY_MS   500u  /* first pause; doubles up to the configured one */
#define AGAIN_MS   300u  /* after a link that was up */
#define ADOPT_MS   5000u /* an address whose member is linked otherwise is looked at again */

/* ---- the table ---- */

bool dial_address_ok(bytes address)
{
    char text[ADDRESS_MAX_BYTES + 1], *end;
    if (address.len < 3 || address.len > ADDRESS_MAX_BYTES)
        return false;
    for (size_t i = 0; i < address.len; i++)
        if (address.p[i] <= ' ' || address.p[i] >= 0x7f || address.p[i] == ',' ||
            address.p[i] == ';')
            return false;
    snprintf(text, sizeof text, "%.*s", (int)address.len, (const char *)address.p);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9')
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port > 0 && port < 65535;
}

static dial_row *find(gossip_shell *g, const char *address)
{
    for (size_t i = 0; i < DIALS_MAX; i++)
        if (g->dials[i].address[0] != '\0' && strcmp(g->dials[i].address, address) == 0)
            return &g->dials[i];
    return NULL;
}

/* An empty row, else the idle one that nobody asked for and that was of use longest ago. */
static dial_row *room(gossip_shell *g)
{
    dial_row *worst = NULL;
    for (size_t i = 0; i < DIALS_MAX; i++) {
        dial_row *d = &g->dials[i];
        if (d->address[0] == '\0')
            return d;
        if (d->state == DIAL_IDLE && d->source != DIAL_GIVEN &&
            (worst == NULL || d->last_ok.ms < worst->last_ok.ms))
            worst = d;
    }
    return worst;
}

dial_row *dial_add(gossip_shell *g, const char *address, dial_source source)
{
    dial_row *d = find(g, address);
    if (d == NULL && (d = room(g)) != NULL) {
        *d = (dial_row){.source = source};
        snprintf(d->address, sizeof d->address, "%s", address);
    }
    if (d != NULL && source < d->source)
        d->source = source;
    return d;
}

void dial_now(gossip_shell *g, dial_row *d)
{
    if (d->state != DIAL_IDLE)
        return;
    d->next.ms = 0;
    d->attempts = 0;
    service_wake(g->s, clock_mono());
}

void dial_learnt(gossip_shell *g, const char *address, member_no member, const transport_key *key,
                 dial_source source)
{
    bool fresh = find(g, address) == NULL;
    dial_row *d = dial_add(g, address, source);
    if (d == NULL)
        return;
    bool other = !d->has_key || memcmp(d->key.b, key->b, sizeof key->b) != 0;
    d->key = *key;
    d->member = member;
    d->has_key = true;
    if (source != DIAL_BEACON && other) {
        d->last_ok = clock_wall();
        g->dirty = true;
    }
    if (fresh || (source == DIAL_BEACON && d->error[0] != '\0' && d->attempts > 2))
        dial_now(g, d); /* it is there right now */
}

/* ---- one attempt ---- */

static void fail(gossip_shell *g, dial_row *d, const char *error)
{
    uint64_t most = (uint64_t)config_int(service_config(g->s), "gossip", "retry_max_ms");
    uint64_t pause = (uint64_t)RETRY_MS << (d->attempts < 16 ? d->attempts : 16);
    pause = pause < most ? pause : most;
    d->state = DIAL_IDLE;
    d->attempts++;
    d->next.ms = clock_mono().ms + pause * 3 / 4 + random_u64() % (pause / 2 + 1);
    snprintf(d->error, sizeof d->error, "%s", error);
    log_debug("%s: %s", d->address, error);
}

static void stop_asking(gossip_shell *g, dial_row *d)
{
    if (d->socket == NULL)
        return;
    service_unwatch(g->s, d->socket, 0);
    bus_close(d->socket);
    d->socket = NULL;
}

static void connect_to(gossip_shell *g, dial_row *d)
{
    if (memcmp(d->key.b, g->public.b, sizeof d->key.b) == 0 && d->source != DIAL_BEACON) {
        fail(g, d, "that is this node itself");
        return;
    }
    if (key_belongs_to(g, &d->key) == 0) {
        fail(g, d, "whoever listens there is no member of this dataset");
        d->has_key = false;
        return;
    }
    d->state = DIAL_LINKED;
    if (link_dial(g, (size_t)(d - g->dials), &d->key, d->address) == NULL)
        fail(g, d, "cannot open another connection");
}

static void on_whois(gossip_shell *g, dial_row *d, const bus_frame *f)
{
    whois_reply m;
    stop_asking(g, d);
    if (f->envelope.version != PROTO_VERSION) {
        char text[ERROR_TEXT_MAX_BYTES];
        snprintf(text, sizeof text, "it speaks protocol %u, this node %u: update the older one",
                 f->envelope.version, PROTO_VERSION);
        fail(g, d, text);
    } else if (f->envelope.type != whois_reply_desc.id ||
               msg_decode(&whois_reply_desc, f->body, &m, NULL) != ERR_OK) {
        fail(g, d, "it did not say who it is");
    } else {
        d->key = m.transport;
        d->member = m.member;
        d->has_key = true;
        connect_to(g, d);
    }
}

static void serve_asking(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    for (size_t i = 0; i < DIALS_MAX; i++) {
        dial_row *d = &g->dials[i];
        bus_frame f;
        if (d->state != DIAL_ASKING || d->socket == NULL)
            continue;
        err_t e = bus_recv(d->socket, false, &f);
        if (e == ERR_OK) {
            on_whois(g, d, &f);
            bus_frame_release(&f);
        } else if (e != ERR_NOT_FOUND) {
            stop_asking(g, d);
            fail(g, d, "it answers, but not as Cairn does");
        }
    }
}

static bool lobby_endpoint(const dial_row *d, char out[ADDRESS_MAX_BYTES + 32])
{
    const char *colon = strrchr(d->address, ':');
    if (colon == NULL)
        return false;
    snprintf(out, ADDRESS_MAX_BYTES + 32, "tcp://%.*s:%lu", (int)(colon - d->address), d->address,
             strtoul(colon + 1, NULL, 10) + 1);
    return true;
}

static bool too_many_asking(const gossip_shell *g)
{
    unsigned n = 0;
    for (size_t i = 0; i < DIALS_MAX; i++)
        n += g->dials[i].state == DIAL_ASKING;
    return n >= ASKING_MAX;
}

static void ask_who(gossip_shell *g, dial_row *d)
{
    char endpoint[ADDRESS_MAX_BYTES + 32];
    uint8_t lobby_secret[TRANSPORT_KEY_BYTES], own[TRANSPORT_KEY_BYTES];
    transport_key lobby;
    bus *b = service_bus(g->s);
    join_lobby_secret(lobby_secret, &b->dataset);
    curve_public(&lobby, lobby_secret);
    random_fill(own, sizeof own); /* the lobby need not know who asks */
    d->socket = bus_socket(b, ZMQ_DEALER);
    bool ok = d->socket != NULL && curve_client(d->socket, own, &lobby) == ERR_OK &&
              lobby_endpoint(d, endpoint);
    if (ok) {
        curve_lan(d->socket, 2, 65536);
        ok = zmq_connect(d->socket, endpoint) == 0 &&
             bus_send(b, d->socket, NULL, &whois_request_desc, 1, &(whois_request){0}) == ERR_OK;
    }
    if (!ok) {
        bus_close(d->socket);
        d->socket = NULL;
        fail(g, d, "the address cannot be used: HOST:PORT is needed");
        return;
    }
    d->state = DIAL_ASKING;
    d->deadline.ms = clock_mono().ms + ASK_MS;
    service_watch(g->s, d->socket, 0, serve_asking);
}

/* ---- results ---- */

void dial_up(gossip_shell *g, size_t dial, member_no member)
{
    dial_row *d = &g->dials[dial];
    d->member = member;
    d->attempts = 0;
    d->error[0] = '\0';
    d->last_ok = clock_wall();
    g->dirty = true;
}

void dial_failed(gossip_shell *g, size_t dial, const char *error)
{
    dial_row *d = &g->dials[dial];
    if (d->state != DIAL_LINKED)
        return;
    if (error != NULL && d->attempts == 0 && d->error[0] == '\0') { /* it was up: soon again */
        fail(g, d, error);
        d->next.ms = clock_mono().ms + AGAIN_MS + random_u64() % AGAIN_MS;
    } else if (error != NULL) {
        fail(g, d, error);
        d->has_key &= d->attempts % 3 != 0; /* somebody else may live there now: ask again */
    } else {
        d->state = DIAL_IDLE;
        d->next.ms = clock_mono().ms + ADOPT_MS;
    }
}

void dial_heard(gossip_shell *g, const transport_key *key, wall_ms at)
{
    for (size_t i = 0; i < DIALS_MAX; i++) {
        dial_row *d = &g->dials[i];
        if (d->address[0] != '\0' && d->has_key && memcmp(d->key.b, key->b, sizeof key->b) == 0)
            d->last_ok = at;
    }
    g->dirty = true;
}

/* ---- time ---- */

static void attempt(gossip_shell *g, dial_row *d, mono_ms now)
{
    if (d->has_key && link_exists(g, &d->key)) {
        d->next.ms = now.ms + ADOPT_MS;
        d->error[0] = '\0';
    } else if (d->has_key) {
        connect_to(g, d);
    } else if (too_many_asking(g)) {
        d->next.ms = now.ms + RETRY_MS;
    } else {
        ask_who(g, d);
    }
}

static void tick_row(gossip_shell *g, dial_row *d, mono_ms now)
{
    if (d->state == DIAL_ASKING && now.ms >= d->deadline.ms) {
        stop_asking(g, d);
        fail(g, d, "no answer: is Cairn running there, and is it the same dataset?");
    } else if (d->state == DIAL_IDLE && now.ms >= d->next.ms) {
        attempt(g, d, now);
    }
}

void dial_tick(gossip_shell *g, mono_ms now)
{
    if (g->self == 0)
        return; /* merge has not said yet who we are */
    for (size_t i = 0; i < DIALS_MAX; i++) {
        dial_row *d = &g->dials[i];
        if (d->address[0] == '\0')
            continue;
        tick_row(g, d, now);
        if (d->state != DIAL_LINKED)
            service_wake(g->s, d->state == DIAL_ASKING ? d->deadline : d->next);
    }
}

void dial_free(gossip_shell *g)
{
    for (size_t i = 0; i < DIALS_MAX; i++)
        stop_asking(g, &g->dials[i]);
}
