/* UDP beacons: to a multicast group and the broadcast address of every network card, IPv4. They are hints only. */
#include "gossip/beacon_core.h"
#include "gossip/gossip_shell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP      0xef434752u /* 239.67.71.82, administratively scoped (RFC 2365) */
#define HEARD_TURN 64u

static bool set(int fd, int level, int option, const void *value, socklen_t len)
{
    return setsockopt(fd, level, option, value, len) == 0;
}

static struct sockaddr_in address_of(uint32_t host, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(host);
    return a;
}

static uint16_t beacon_port(const gossip_shell *g)
{
    return (uint16_t)config_int(service_config(g->s), "gossip", "beacon_port");
}

/* ---- hearing ---- */

static void on_beacon(gossip_shell *g, const beacon *b, const struct sockaddr_in *from)
{
    char host[INET_ADDRSTRLEN], address[ADDRESS_MAX_BYTES + 1];
    member_no owner = key_belongs_to(g, &b->transport);
    if (owner == 0 || !key_may_be(owner, b->member) || b->nonce == g->nonce ||
        link_exists(g, &b->transport))
        return;
    if (inet_ntop(AF_INET, &from->sin_addr, host, sizeof host) == NULL)
        return;
    snprintf(address, sizeof address, "%s:%u", host, b->port);
    service_count(g->s, COUNT_BEACONS_HEARD, 1);
    dial_learnt(g, address, owner, &b->transport, DIAL_BEACON);
}

static void serve_beacons(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    for (unsigned n = 0; n < HEARD_TURN; n++) {
        uint8_t in[512];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        beacon b;
        ssize_t len = recvfrom(g->beacon_fd, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from,
                               &from_len);
        if (len < 0)
            return;
        if (g->self != 0 && from.sin_family == AF_INET &&
            beacon_decode(bytes_of(in, (size_t)len), &service_bus(g->s)->dataset, &b) == ERR_OK)
            on_beacon(g, &b, &from);
    }
}

/* ---- life ---- */

void discover_open(gossip_shell *g)
{
    int yes = 1;
    unsigned char hops = 1;
    struct sockaddr_in any = address_of(INADDR_ANY, beacon_port(g));
    g->beacon_fd = -1;
    if (!g->discovery)
        return;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !set(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0) {
        log_warn("no discovery: UDP port %u cannot be used (%s); peers are found by --peer only",
                 beacon_port(g), strerror(errno));
        if (fd >= 0)
            close(fd);
        g->discovery = false;
        return;
    }
    (void)set(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
    (void)set(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops);
    g->beacon_fd = fd;
    service_watch(g->s, NULL, fd, serve_beacons);
}

void discover_close(gossip_shell *g)
{
    if (g->beacon_fd >= 0)
        close(g->beacon_fd);
    g->beacon_fd = -1;
}

/* ---- sending ---- */

static void send_to(const gossip_shell *g, const uint8_t datagram[BEACON_BYTES],
                    struct sockaddr_in to)
{
    /* A card without a route refuses; the next one may not. */
    (void)!sendto(g->beacon_fd, datagram, BEACON_BYTES, MSG_DONTWAIT, (struct sockaddr *)&to,
                  sizeof to);
}

/* Cards come and go: the group is joined again each time, which is harmless. */
static void send_on(const gossip_shell *g, const uint8_t datagram[BEACON_BYTES],
                    const struct ifaddrs *a)
{
    const struct sockaddr_in *own = (const struct sockaddr_in *)(const void *)a->ifa_addr;
    struct ip_mreq group = {.imr_interface = own->sin_addr};
    group.imr_multiaddr.s_addr = htonl(GROUP);
    (void)set(g->beacon_fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
    if (set(g->beacon_fd, IPPROTO_IP, IP_MULTICAST_IF, &own->sin_addr, sizeof own->sin_addr))
        send_to(g, datagram, address_of(GROUP, beacon_port(g)));
    if ((a->ifa_flags & IFF_BROADCAST) == 0 || a->ifa_broadaddr == NULL)
        return;
    struct sockaddr_in to = *(const struct sockaddr_in *)(const void *)a->ifa_broadaddr;
    to.sin_port = htons(beacon_port(g));
    if (to.sin_family == AF_INET && to.sin_addr.s_addr != 0)
        send_to(g, datagram, to);
}

static void send_beacons(gossip_shell *g)
{
    struct ifaddrs *all = NULL;
    uint8_t datagram[BEACON_BYTES];
    beacon b = {.member = g->self, .transport = g->public, .port = g->port, .nonce = g->nonce};
    beacon_encode(datagram, &b, &service_bus(g->s)->dataset);
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next)
        if (a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET &&
            (a->ifa_flags & IFF_UP) != 0)
            send_on(g, datagram, a);
    freeifaddrs(all);
    service_count(g->s, COUNT_BEACONS_SENT, 1);
}

void discover_tick(gossip_shell *g, mono_ms now)
{
    if (g->beacon_fd < 0)
        return;
    if (now.ms >= g->beacon_next.ms && g->self != 0 && g->port != 0) {
        uint64_t every = (uint64_t)config_int(service_config(g->s), "gossip", "beacon_ms");
        g->beacon_next.ms = now.ms + every - every / 8 + random_u64() % (every / 4 + 1);
        send_beacons(g);
    }
    service_wake(g->s, now.ms < g->beacon_next.ms ? g->beacon_next : (mono_ms){now.ms + 500});
}
