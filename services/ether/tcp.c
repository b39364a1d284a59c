/* The modem in a WiFi network: one client at a time. A second one is taken by the kernel's queue, hears nothing, and is
 * dropped together with the first. */
#include "ether/lab.h"
#include "shell/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 4096
#define BACKLOG    1

static bool parse(const char *text, struct sockaddr_in *out)
{
    char host[64] = "127.0.0.1";
    const char *colon = strrchr(text, ':'), *port = colon != NULL ? colon + 1 : text;
    if (colon != NULL)
        snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    out->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static void name_it(lab_host *h)
{
    struct sockaddr_in at = {0};
    char host[INET_ADDRSTRLEN] = "?";
    socklen_t len = sizeof at;
    if (getsockname(h->listener, (struct sockaddr *)&at, &len) == 0) {
        inet_ntop(AF_INET, &at.sin_addr, host, sizeof host);
        snprintf(h->address, sizeof h->address, "%s:%u", host, ntohs(at.sin_port));
    }
}

err_t lab_tcp_open(lab *l, uint32_t station, buf *why)
{
    lab_host *h = &l->hosts[station];
    const char *text = l->set->tcp[station];
    struct sockaddr_in at;
    int on = 1;
    if (!parse(text, &at)) {
        buf_addf(why, "\"%s\" is no address of this machine", text);
        return ERR_INVALID;
    }
    /* What it had before it was unplugged. */
    if (h->address[0] != '\0')
        (void)parse(h->address, &at);
    h->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (h->listener >= 0)
        (void)setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (h->listener < 0 || bind(h->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(h->listener, BACKLOG) != 0) {
        buf_addf(why, "cannot listen on %s: %s", text, strerror(errno));
        lab_tcp_close(l, station);
        return ERR_IO;
    }
    name_it(h);
    return ERR_OK;
}

static void close_connection(lab_host *h)
{
    if (h->conn >= 0)
        close(h->conn);
    h->conn = -1;
}

void lab_tcp_close(lab *l, uint32_t station)
{
    lab_host *h = &l->hosts[station];
    close_connection(h);
    if (h->listener >= 0)
        close(h->listener);
    h->listener = -1;
}

void lab_tcp_drop(lab *l, uint32_t station)
{
    lab_host *h = &l->hosts[station];
    int waiting;
    close_connection(h);
    while ((waiting = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(waiting);
    lab_hosts_choose(l, station);
}

void lab_tcp_accept(lab *l, uint32_t station)
{
    lab_host *h = &l->hosts[station];
    int on = 1;
    if (h->conn >= 0)
        return;
    h->conn = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (h->conn < 0)
        return;
    (void)setsockopt(h->conn, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    lab_hosts_choose(l, station);
}

void lab_tcp_read(lab *l, uint32_t station)
{
    uint8_t in[READ_BYTES];
    lab_host *h = &l->hosts[station];
    ssize_t n = recv(h->conn, in, sizeof in, MSG_DONTWAIT);
    if (n > 0)
        lab_host_input(l, station, true, bytes_of(in, (size_t)n));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        lab_tcp_drop(l, station);
}
