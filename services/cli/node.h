/* A command's way to the processes of its node: home, bus, one client per service, made when first used. Failures are
 * told to the user here, in one line on standard error, so that commands only pass the exit code on. */
#ifndef CAIRN_NODE_H
#define CAIRN_NODE_H

#include "cli/supervisor_clnt.h"
#include "gossip/gossip_clnt.h"
#include "merge/merge_clnt.h"
#include "projection/projection_clnt.h"
#include "radio-bridge/radio_clnt.h"
#include "shell/home.h"
#include "shell/service_clnt.h"
#include "store/store_clnt.h"

typedef struct {
    cairn_home home;
    bus bus;
    struct {
        const char *name;
        clnt *clnt;
    } clients[8];
    buf words;          /* of the last failure */
    bool other_version; /* a process that was asked by node_peek_… speaks another protocol */
} node;

#define NODE_WAIT_MS 10000u /* a person's patience */

/* `given` is --home or NULL. False (and said) when the home cannot be used or, with `need_dataset`, holds none. */
bool node_open(node *n, const char *given, bool need_dataset);
void node_close(node *n);

/* NULL when out of memory or sockets. */
clnt *node_client(node *n, const char *service);
/* The same, for a question whose words, if it fails, go into n->words; NULL is said there. */
clnt *node_asking(node *n, const char *service);
/* Says why when `e` is a failure, and returns it. */
err_t node_answered(node *n, err_t e) CAIRN_CHECK;
/* False when nobody listens for that service now, so that asking it would be waiting for nothing. */
bool node_listens(const node *n, const char *service);
/* The process that listens for it, 0 for none: also one that does not answer us. */
pid_t node_listener(const node *n, const char *service);
/* True for ERR_OK; remembers that somebody is of another version. */
bool node_heard(node *n, err_t e);

/* Three ways to put each question of a stub (shell/clnt_stub.h); a reply borrows until the next call to its service.
 *   node_ask_look(n, req, reply)            waits NODE_WAIT_MS and, on failure, says why
 *   node_try_look(n, wait_ms, req, reply)   says nothing: the words are in n->words
 *   node_peek_look(n, wait_ms, req, reply)  the same, but does not wait for a process that does not run; true when
 *                                           answered */
#define NODE_STUB(service, what, timeout_ms) NODE_STUB_OF(service, #service, what)
#define NODE_STUB_OF(service, name, what)                                                          \
    CAIRN_CHECK static inline err_t node_try_##what(                                               \
        node *n, uint32_t wait_ms, const what##_request *req, what##_request_answer *reply)        \
    {                                                                                              \
        clnt *c = node_asking(n, name);                                                            \
        return c != NULL ? service##_call_##what##_within(c, wait_ms, req, reply, &n->words)       \
                         : ERR_NO_MEMORY;                                                          \
    }                                                                                              \
    CAIRN_CHECK static inline err_t node_ask_##what(node *n, const what##_request *req,            \
                                                    what##_request_answer *reply)                  \
    {                                                                                              \
        return node_answered(n, node_try_##what(n, NODE_WAIT_MS, req, reply));                     \
    }                                                                                              \
    CAIRN_CHECK static inline bool node_peek_##what(                                               \
        node *n, uint32_t wait_ms, const what##_request *req, what##_request_answer *reply)        \
    {                                                                                              \
        return node_listens(n, name) && node_heard(n, node_try_##what(n, wait_ms, req, reply));    \
    }
STORE_STUB(NODE_STUB)
MERGE_STUB(NODE_STUB)
PROJECTION_STUB(NODE_STUB)
GOSSIP_STUB(NODE_STUB)
SUPERVISOR_STUB(NODE_STUB)
#define NODE_RADIO_STUB(service, what, timeout_ms) NODE_STUB_OF(service, "radio-bridge", what)
RADIO_STUB(NODE_RADIO_STUB)

/* The question that all services answer. */
err_t node_try_health(node *n, const char *service, uint32_t wait_ms,
                      health_reply *reply) CAIRN_CHECK;
bool node_peek_health(node *n, const char *service, uint32_t wait_ms,
                      health_reply *reply) CAIRN_CHECK;

/* "cairn: <text>" on standard error. Returns 1, the exit code of a failure. */
int node_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
