/* What others ask the store: one function per request; proto/store.def says what they mean. The first
 * form as clnt_send; the second for programs without a loop, as clnt_call: the reply borrows the client
 * until its next call. */
#ifndef CAIRN_STORE_CLNT_H
#define CAIRN_STORE_CLNT_H

#include "shell/clnt.h"

#define STORE_CLNT_MS       10000u
#define STORE_CLNT_FETCH_MS (FETCH_MAX_WAIT_MS + STORE_CLNT_MS)

/* STORE_CALL(request, reply): every request of the store but fetch, which may wait. */
#define STORE_CALLS(STORE_CALL)                                                                    \
    STORE_CALL(store_hello, store_hello_reply)                                                     \
    STORE_CALL(read_feed, rows_reply)                                                              \
    STORE_CALL(read_stream, rows_reply)                                                            \
    STORE_CALL(scan, scan_reply)                                                                   \
    STORE_CALL(tips, tips_reply)                                                                   \
    STORE_CALL(run, run_reply)                                                                     \
    STORE_CALL(locate, locate_reply)                                                               \
    STORE_CALL(idem, idem_reply)                                                                   \
    STORE_CALL(damage, damage_reply)                                                               \
    STORE_CALL(append, append_reply)                                                               \
    STORE_CALL(verdict, ok_reply)                                                                  \
    STORE_CALL(seal, ok_reply)                                                                     \
    STORE_CALL(incarnation, ok_reply)                                                              \
    STORE_CALL(erase, ok_reply)

#define STORE_STUB(what, reply_type)                                                               \
    err_t store_clnt_##what(clnt *c, const what##_request *req, clnt_done *done, void *ctx)        \
        CAIRN_CHECK;                                                                               \
    err_t store_call_##what(clnt *c, const what##_request *req, reply_type *out, buf *text)        \
        CAIRN_CHECK;
STORE_CALLS(STORE_STUB)
STORE_STUB(fetch, rows_reply)
#undef STORE_STUB

#endif
