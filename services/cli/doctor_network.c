/* Ports, and whether the LAN carries beacons. */
#include "cli/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUP   "239.67.71.82" /* of the beacons */
#define WAIT_MS 500

/* ---- the port of members and, one higher, the lobby ---- */

static bool split(const char *listen, char host[ADDRESS_MAX_BYTES + 1], unsigned *port)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon == listen || (size_t)(colon - listen) > ADDRESS_MAX_BYTES)
        return false;
    bool brackets = listen[0] == '[' && colon[-1] == ']';
    snprintf(host, ADDRESS_MAX_BYTES + 1, "%.*s", (int)(colon - listen) - 2 * brackets,
             listen + brackets);
    *port = (unsigned)strtoul(colon + 1, NULL, 10);
    return *port > 0 && *port < 65535;
}

static struct addrinfo *resolve(const char *host, unsigned port)
{
    char service[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, service, &hints, &found) == 0 ? found
                                                                                           : NULL;
}

/* 0, or the errno of bind or, with `knock`, of connect. Connecting to 0.0.0.0 reaches this machine. */
static int try_port(const char *host, unsigned port, bool knock)
{
    struct addrinfo *a = resolve(host, port);
    if (a == NULL)
        return EADDRNOTAVAIL;
    int yes = 1, rc = -1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && knock)
        rc = connect(fd, a->ai_addr, a->ai_addrlen);
    else if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0)
        rc = bind(fd, a->ai_addr, a->ai_addrlen);
    if (rc == 0 && !knock)
        rc = listen(fd, 1);
    int e = rc == 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(a);
    return e;
}

static void listening(doctor *d, const char *address, const char *host, unsigned port)
{
    for (unsigned i = 0; i < 2; i++) {
        int e = try_port(host, port + i, true);
        if (e != 0) {
            doctor_say(d, DOCTOR_FAIL, "port", "cairn status; cairn down; cairn up --detach",
                       "gossip is up, but port %u does not answer: %s", port + i, strerror(e));
            return;
        }
    }
    doctor_say(d, DOCTOR_OK, "port", NULL, "members connect to %s, joiners to port %u", address,
               port + 1);
}

static void free_to_use(doctor *d, const char *host, unsigned port)
{
    char mend[96];
    for (unsigned i = 0; i < 2; i++) {
        int e = try_port(host, port + i, false);
        if (e == 0)
            continue;
        snprintf(mend, sizeof mend,
                 e == EADDRINUSE ? "ss -ltnp 'sport = :%u'; or cairn up --listen ADDR:PORT"
                                 : "cairn up --listen ADDR:PORT",
                 port + i);
        doctor_say(d, DOCTOR_FAIL, "port", mend, "%s:%u cannot be used: %s", host, port + i,
                   e == EADDRINUSE ? "another program has it" : strerror(e));
        return;
    }
    doctor_say(d, DOCTOR_OK, "port", NULL, "%s:%u and %u are free", host, port, port + 1);
}

void doctor_ports(doctor *d)
{
    peers_reply reply;
    char address[ADDRESS_MAX_BYTES + 1] = "", host[ADDRESS_MAX_BYTES + 1];
    unsigned port;
    bool up = node_peek_peers(&d->n, DOCTOR_WAIT_MS, &(peers_request){0}, &reply);
    if (up)
        snprintf(address, sizeof address, "%.*s", (int)reply.listen.len,
                 (const char *)reply.listen.p);
    else if (d->conf != NULL)
        snprintf(address, sizeof address, "%s", config_str(d->conf, "gossip", "listen"));
    if (address[0] == '\0')
        return;
    if (!split(address, host, &port))
        doctor_say(d, DOCTOR_FAIL, "port", "cairn config example",
                   "gossip.listen \"%s\" is no ADDR:PORT", address);
    else if (up)
        listening(d, address, host, port);
    else
        free_to_use(d, host, port);
}

/* ---- beacons ---- */

/* Sends to the group over one card and waits for it to come back. */
static bool hears_itself(const struct in_addr *card)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    socklen_t len = sizeof to;
    struct ip_mreq group = {.imr_interface = *card};
    char in[8];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, GROUP, &group.imr_multiaddr);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
              getsockname(fd, (struct sockaddr *)&to, &len) == 0 &&
              setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0 &&
              setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, card, sizeof *card) == 0;
    to.sin_addr = group.imr_multiaddr;
    ok = ok && sendto(fd, "cairn?", 6, 0, (struct sockaddr *)&to, sizeof to) == 6;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ok = ok && poll(&p, 1, WAIT_MS) == 1 && recv(fd, in, sizeof in, MSG_DONTWAIT) == 6;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void in_container(doctor *d)
{
    if (access("/.dockerenv", F_OK) == 0)
        doctor_say(d, DOCTOR_WARN, "multicast", "cairn up --peer HOST:PORT; or network_mode: host",
                   "this is a container: beacons do not cross docker's bridge");
}

void doctor_multicast(doctor *d)
{
    struct ifaddrs *all = NULL;
    unsigned cards = 0, good = 0;
    char names[256] = "";
    if (d->conf != NULL && !config_bool(d->conf, "gossip", "discovery")) {
        doctor_say(d, DOCTOR_OK, "multicast", NULL, "not wanted: gossip.discovery is false");
        return;
    }
    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
            i->ifa_flags & IFF_LOOPBACK)
            continue;
        struct sockaddr_in card;
        memcpy(&card, i->ifa_addr, sizeof card);
        bool ok = i->ifa_flags & (IFF_MULTICAST | IFF_BROADCAST) && hears_itself(&card.sin_addr);
        size_t n = strlen(names);
        cards++;
        good += ok;
        snprintf(names + n, sizeof names - n, "%s%s", n > 0 ? ", " : "", i->ifa_name);
    }
    freeifaddrs(all);
    if (cards == 0)
        doctor_say(d, DOCTOR_WARN, "multicast", "ip address; nmcli device",
                   "no network card is up: this node meets others only by file");
    else if (good == 0)
        doctor_say(d, DOCTOR_WARN, "multicast", "cairn up --peer HOST:PORT",
                   "beacons cannot be sent over %s: other nodes are not found by themselves",
                   names);
    else
        doctor_say(d, DOCTOR_OK, "multicast", NULL,
                   "beacons go out over %s; a Wi-Fi with client isolation drops them all the same",
                   names);
    in_container(d);
}
