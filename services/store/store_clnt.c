#include "store/store_clnt.h"

#define STUB(what, reply_type, timeout_ms)                                                         \
    err_t store_clnt_##what(clnt *c, const what##_request *req, clnt_done *done, void *ctx)        \
    {                                                                                              \
        return clnt_send(c, &what##_request_desc, req, timeout_ms, done, ctx);                     \
    }                                                                                              \
    err_t store_call_##what(clnt *c, const what##_request *req, reply_type *out, buf *text)        \
    {                                                                                              \
        return clnt_call(c, &what##_request_desc, req, timeout_ms, out, text);                     \
    }
#define STUB_SHORT(what, reply_type) STUB(what, reply_type, STORE_CLNT_MS)

STORE_CALLS(STUB_SHORT)
STUB(fetch, rows_reply, STORE_CLNT_FETCH_MS)
