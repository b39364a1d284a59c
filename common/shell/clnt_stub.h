/* How a service's client stub is declared: one row per request, from which its typed functions come. The stub of
 * service x is a header x/x_clnt.h with a table of rows
 *
 *     ROW(service, request without its "_request", ms until an answer is given up)
 *
 * and the line X_STUB(CLNT_STUB). The time may look at the request as `req`. What a request means and which reply is
 * its own stands in proto/x.def, once: neither a descriptor nor a pair of types is named here. For a row (x, look, ms):
 *
 *     x_clnt_look(c, req, done, ctx)         sends, as clnt_send
 *     x_call_look(c, req, reply, text)       for programs without a loop, as clnt_call: sends and waits; `reply` (may
 *                                            be NULL) borrows the client until its next call
 *     x_clnt_look_within(c, wait_ms, …)      the same with an own patience, for those who can do without the answer
 *     x_call_look_within(c, wait_ms, …)      or have somebody waiting
 *
 * They are inline, so what nobody calls is not there. */
#ifndef CAIRN_CLNT_STUB_H
#define CAIRN_CLNT_STUB_H

#include "shell/clnt.h"

#define CLNT_STUB(service, what, timeout_ms)                                                       \
    CAIRN_CHECK static inline err_t service##_clnt_##what##_within(                                \
        clnt *c, uint32_t wait_ms, const what##_request *req, clnt_done *done, void *ctx)          \
    {                                                                                              \
        return clnt_send(c, &what##_request_desc, req, wait_ms, done, ctx);                        \
    }                                                                                              \
    CAIRN_CHECK static inline err_t service##_clnt_##what(clnt *c, const what##_request *req,      \
                                                          clnt_done *done, void *ctx)              \
    {                                                                                              \
        return service##_clnt_##what##_within(c, timeout_ms, req, done, ctx);                      \
    }                                                                                              \
    CAIRN_CHECK static inline err_t service##_call_##what##_within(                                \
        clnt *c, uint32_t wait_ms, const what##_request *req, what##_request_answer *reply,        \
        buf *text)                                                                                 \
    {                                                                                              \
        return clnt_call(c, &what##_request_desc, req, wait_ms, reply, text);                      \
    }                                                                                              \
    CAIRN_CHECK static inline err_t service##_call_##what(clnt *c, const what##_request *req,      \
                                                          what##_request_answer *reply, buf *text) \
    {                                                                                              \
        return service##_call_##what##_within(c, timeout_ms, req, reply, text);                    \
    }

#endif
