#include "cli/node.h"

#include "pure/crypto.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int node_fail(const char *fmt, ...)
{
    va_list ap;
    fputs("cairn: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return 1;
}

static void fail_words(const buf *why)
{
    node_fail("%.*s", (int)why->len, why->len > 0 ? (const char *)why->p : "");
}

static bool open_parts(node *n, const char *given, bool need_dataset)
{
    if (crypto_start() != ERR_OK) {
        buf_add_str(&n->words, "libsodium cannot start: no randomness on this machine");
        return false;
    }
    if (home_open(&n->home, given, &n->words) != ERR_OK)
        return false;
    if (need_dataset && !n->home.has_dataset) {
        buf_addf(&n->words,
                 "there is no dataset in %s: run `cairn init` or `cairn join` first, or name "
                 "another --home",
                 n->home.path);
        return false;
    }
    if (bus_init(&n->bus, n->home.has_dataset ? &n->home.dataset : NULL) == ERR_OK)
        return true;
    buf_add_str(&n->words, err_text(ERR_NO_MEMORY));
    return false;
}

bool node_open(node *n, const char *given, bool need_dataset)
{
    *n = (node){0};
    buf_init(&n->words, 1024);
    if (open_parts(n, given, need_dataset))
        return true;
    fail_words(&n->words);
    buf_release(&n->words);
    return false;
}

void node_close(node *n)
{
    for (size_t i = 0; i < sizeof n->clients / sizeof n->clients[0]; i++)
        clnt_free(n->clients[i].clnt);
    bus_release(&n->bus);
    buf_release(&n->words);
}

clnt *node_client(node *n, const char *service)
{
    char endpoint[128];
    size_t i = 0, max = sizeof n->clients / sizeof n->clients[0];
    for (; i < max && n->clients[i].clnt != NULL; i++)
        if (strcmp(n->clients[i].name, service) == 0)
            return n->clients[i].clnt;
    if (i == max)
        return NULL;
    home_endpoint(&n->home, endpoint, service, "sock");
    n->clients[i].name = service;
    n->clients[i].clnt = clnt_new(&n->bus, service, endpoint);
    return n->clients[i].clnt;
}

/* A connection to the service's socket, or -1 with errno. */
static int connect_to(const node *n, const char *service)
{
    static const char scheme[] = "ipc://";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char endpoint[128];
    if (n->bus.context == NULL)
        return false;
    home_endpoint(&n->home, endpoint, service, "sock");
    snprintf(a.sun_path, sizeof a.sun_path, "%.107s", endpoint + sizeof scheme - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

bool node_listens(const node *n, const char *service)
{
    int fd = connect_to(n, service);
    bool nobody = fd < 0 && (errno == ECONNREFUSED || errno == ENOENT);
    if (fd >= 0)
        close(fd);
    return !nobody;
}

pid_t node_listener(const node *n, const char *service)
{
    struct ucred who = {0};
    socklen_t len = sizeof who;
    int fd = connect_to(n, service);
    if (fd < 0)
        return 0;
    bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0;
    close(fd);
    return known ? who.pid : 0;
}

bool node_heard(node *n, err_t e)
{
    n->other_version |= e == ERR_VERSION;
    return e == ERR_OK;
}

clnt *node_asking(node *n, const char *service)
{
    clnt *c = node_client(n, service);
    buf_clear(&n->words);
    if (c == NULL)
        buf_add_str(&n->words, err_text(ERR_NO_MEMORY));
    return c;
}

err_t node_answered(node *n, err_t e)
{
    if (e != ERR_OK)
        fail_words(&n->words);
    return e;
}

err_t node_try_health(node *n, const char *service, uint32_t wait_ms, health_reply *reply)
{
    clnt *c = node_asking(n, service);
    return c != NULL
               ? service_call_health_within(c, wait_ms, &(health_request){0}, reply, &n->words)
               : ERR_NO_MEMORY;
}

bool node_peek_health(node *n, const char *service, uint32_t wait_ms, health_reply *reply)
{
    return node_listens(n, service) && node_heard(n, node_try_health(n, service, wait_ms, reply));
}
