/* A command's way to the processes of its node: home, bus, one client per service, made when first used. Failures are
 * told to the user here, in one line on standard error, so that commands only pass the exit code on. */
#ifndef CAIRN_NODE_H
#define CAIRN_NODE_H

#include "shell/clnt.h"
#include "shell/home.h"

typedef struct {
    cairn_home home;
    bus bus;
    struct {
        const char *name;
        clnt *clnt;
    } clients[8];
    buf words; /* of the last failure */
} node;

#define NODE_WAIT_MS 10000u

/* `given` is --home or NULL. False (and said) when the home cannot be used or, with `need_dataset`, holds none. */
bool node_open(node *n, const char *given, bool need_dataset);
void node_close(node *n);

/* Never NULL: an unusable client answers with errors. */
clnt *node_client(node *n, const char *service);
/* False when nobody listens for that service now, so that asking it would be waiting for nothing. */
bool node_listens(const node *n, const char *service);
/* Asks and, on failure, says why. The reply borrows until the next call to the same service. */
err_t node_ask(node *n, const char *service, const msg_desc *request, const void *msg,
               void *reply) CAIRN_CHECK;
/* The same with an own time limit and without saying anything: the words are in n->words. */
err_t node_try(node *n, const char *service, const msg_desc *request, const void *msg,
               uint32_t wait_ms, void *reply) CAIRN_CHECK;
/* "cairn: <text>" on standard error. Returns 1, the exit code of a failure. */
int node_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
