#include "projection/projection_clnt.h"

#define STUB(what, reply_type, timeout_ms)                                                         \
    err_t projection_clnt_##what(clnt *c, const what##_request *req, clnt_done *done, void *ctx)   \
    {                                                                                              \
        return clnt_send(c, &what##_request_desc, req, timeout_ms, done, ctx);                     \
    }                                                                                              \
    err_t projection_call_##what(clnt *c, const what##_request *req, reply_type *out, buf *text)   \
    {                                                                                              \
        return clnt_call(c, &what##_request_desc, req, timeout_ms, out, text);                     \
    }

STUB(records, records_reply, PROJECTION_CLNT_MS)
STUB(record, record_reply, PROJECTION_CLNT_MS)
STUB(forms, forms_reply, PROJECTION_CLNT_MS)
STUB(views, views_reply, PROJECTION_CLNT_MS)
STUB(canonical, canonical_reply, PROJECTION_CLNT_MS)
STUB(rebuild, ok_reply, PROJECTION_CLNT_REBUILD_MS)
