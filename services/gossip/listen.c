/* Where others connect: the member socket, the lobby socket one port higher, and the ZAP handler that guards both. */
#include "gossip/gossip_shell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define RETRY_MS     2000u
#define ANY_PORT_TRY 50u
#define LOBBY_QUEUE  2
#define LOBBY_BYTES  (RUN_MAX_BYTES + 65536u + 1024u)

/* ---- the ZAP handler ---- */

static bool allow(void *ctx, const char *domain, const transport_key *key, const char *address)
{
    gossip_shell *g = ctx;
    bool ok = strcmp(domain, "lobby") == 0    ? lobby_admits(g)
              : strcmp(domain, "member") == 0 ? g->self != 0 && key_belongs_to(g, key) != 0
                                              : false;
    if (!ok) {
        service_count(g->s, COUNT_STRANGERS, 1);
        log_debug("refused a connection from %s to the %s socket", address, domain);
    }
    return ok;
}

static void serve_zap(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    zap_serve(g->zap, allow, g);
}

bool listen_zap(gossip_shell *g)
{
    g->zap = zap_open(service_bus(g->s));
    if (g->zap == NULL)
        return false;
    service_watch(g->s, g->zap, 0, serve_zap);
    return true;
}

/* ---- the two sockets ---- */

bool listen_parse(gossip_shell *g, const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;
    if (colon == NULL || colon == text || (size_t)(colon - text) > ADDRESS_MAX_BYTES)
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || colon[1] == '\0' || port > 65534)
        return false;
    memcpy(g->listen_host, text, (size_t)(colon - text));
    g->listen_host[colon - text] = '\0';
    g->wish = (uint16_t)port;
    return true;
}

static bool bind_port(void *socket, const char *host, unsigned port)
{
    char endpoint[ADDRESS_MAX_BYTES + 32];
    snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", host, port);
    return zmq_bind(socket, endpoint) == 0;
}

static uint16_t bound_port(void *socket)
{
    char endpoint[ADDRESS_MAX_BYTES + 32] = "";
    size_t len = sizeof endpoint;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &len) != 0)
        return 0;
    const char *colon = strrchr(endpoint, ':');
    return colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static err_t make_sockets(gossip_shell *g)
{
    uint8_t lobby_secret[TRANSPORT_KEY_BYTES];
    bus *b = service_bus(g->s);
    g->router = bus_socket(b, ZMQ_ROUTER);
    g->lobby = bus_socket(b, ZMQ_ROUTER);
    if (g->router == NULL || g->lobby == NULL)
        return ERR_NO_MEMORY;
    join_lobby_secret(lobby_secret, &b->dataset);
    TRY(curve_server(g->router, g->secret, "member"));
    TRY(curve_server(g->lobby, lobby_secret, "lobby"));
    curve_lan(g->router, LINK_QUEUE_MESSAGES, MESSAGE_MAX_BYTES + 1024);
    curve_lan(g->lobby, LOBBY_QUEUE, LOBBY_BYTES);
    return ERR_OK;
}

static void drop_sockets(gossip_shell *g)
{
    bus_close(g->router);
    bus_close(g->lobby);
    g->router = g->lobby = NULL;
}

static void explain(gossip_shell *g, int error)
{
    if (error == EADDRINUSE)
        snprintf(g->listen_error, sizeof g->listen_error,
                 "port %u or %u is in use: stop the other program or choose --listen ADDR:PORT",
                 g->wish, g->wish + 1u);
    else
        snprintf(g->listen_error, sizeof g->listen_error, "cannot listen on %s:%u: %s",
                 g->listen_host, g->wish, zmq_strerror(error));
}

/* Any free port will do as long as the next one is free too. */
static bool bind_both(gossip_shell *g)
{
    if (!bind_port(g->router, g->listen_host, g->wish))
        return false;
    unsigned port = bound_port(g->router);
    return port < 65535 && bind_port(g->lobby, g->listen_host, port + 1);
}

static bool listen_now(gossip_shell *g)
{
    bool ok = false;
    int error = ENOMEM;
    for (unsigned i = 0; !ok && i < (g->wish == 0 ? ANY_PORT_TRY : 1); i++) {
        ok = make_sockets(g) == ERR_OK && bind_both(g);
        error = zmq_errno();
        if (!ok)
            drop_sockets(g);
    }
    if (!ok) {
        explain(g, error);
        return false;
    }
    g->port = bound_port(g->router);
    g->listen_error[0] = '\0';
    service_watch(g->s, g->router, 0, links_serve_router);
    service_watch(g->s, g->lobby, 0, lobby_serve);
    log_info("members connect at %s:%u, joiners at port %u", g->listen_host, g->port, g->port + 1u);
    return true;
}

void listen_tick(gossip_shell *g, mono_ms now)
{
    if (g->router != NULL)
        return;
    if (now.ms >= g->listen_next.ms) {
        bool told = g->listen_error[0] != '\0';
        g->listen_next.ms = now.ms + RETRY_MS;
        if (!listen_now(g) && !told)
            log_error("%s", g->listen_error);
    }
    if (g->router == NULL)
        service_wake(g->s, g->listen_next);
}

void listen_close(gossip_shell *g)
{
    drop_sockets(g);
    bus_close(g->zap);
    g->zap = NULL;
}

/* ---- where it can be reached ---- */

static bool add_address(char out[][ADDRESS_MAX_BYTES + 1], size_t *n, size_t max, const char *host,
                        unsigned port)
{
    const char *format = strchr(host, ':') != NULL && host[0] != '[' ? "[%s]:%u" : "%s:%u";
    if (*n == max)
        return false;
    snprintf(out[*n], ADDRESS_MAX_BYTES + 1, format, host, port);
    ++*n;
    return true;
}

static size_t configured(const gossip_shell *g, unsigned port_add,
                         char out[][ADDRESS_MAX_BYTES + 1], size_t max)
{
    const char *at = config_str(service_config(g->s), "gossip", "advertise");
    size_t n = 0;
    while (*at != '\0') {
        size_t len = strcspn(at, ", ");
        char one[ADDRESS_MAX_BYTES + 1];
        snprintf(one, sizeof one, "%.*s", (int)len, at);
        char *colon = strrchr(one, ':');
        unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
        if (port > 0 && port < 65535) {
            *colon = '\0';
            (void)add_address(out, &n, max, one, (unsigned)port + port_add);
        } else if (len > 0 && colon == NULL) {
            (void)add_address(out, &n, max, one, g->port + port_add);
        }
        at += len;
        at += strspn(at, ", ");
    }
    return n;
}

static bool host_of(const struct ifaddrs *a, char host[INET6_ADDRSTRLEN])
{
    if (a->ifa_addr == NULL || (a->ifa_flags & IFF_LOOPBACK) != 0 || (a->ifa_flags & IFF_UP) == 0)
        return false;
    if (a->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a->ifa_addr;
        return inet_ntop(AF_INET, &in->sin_addr, host, INET6_ADDRSTRLEN) != NULL;
    }
    if (a->ifa_addr->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a->ifa_addr;
    return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) &&
           inet_ntop(AF_INET6, &in6->sin6_addr, host, INET6_ADDRSTRLEN) != NULL;
}

static bool is_any(const char *host)
{
    static const char *const any[] = {"0.0.0.0", "*", "::", "[::]"};
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++)
        if (strcmp(host, any[i]) == 0)
            return true;
    return false;
}

static size_t of_cards(const gossip_shell *g, unsigned port_add, int family,
                       char out[][ADDRESS_MAX_BYTES + 1], size_t n, size_t max)
{
    struct ifaddrs *all = NULL;
    char host[INET6_ADDRSTRLEN];
    if (getifaddrs(&all) != 0)
        return n;
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next)
        if (host_of(a, host) && a->ifa_addr->sa_family == family)
            (void)add_address(out, &n, max, host, g->port + port_add);
    freeifaddrs(all);
    return n;
}

size_t listen_addresses(const gossip_shell *g, unsigned port_add, char out[][ADDRESS_MAX_BYTES + 1],
                        size_t max)
{
    size_t n = configured(g, port_add, out, max);
    if (n > 0 || g->port == 0)
        return n;
    if (!is_any(g->listen_host)) {
        (void)add_address(out, &n, max, g->listen_host, g->port + port_add);
        return n;
    }
    n = of_cards(g, port_add, AF_INET, out, n, max);
    n = of_cards(g, port_add, AF_INET6, out, n, max);
    if (n == 0) /* a machine without a network still lets others on it join */
        (void)add_address(out, &n, max, "127.0.0.1", g->port + port_add);
    return n;
}
