/* What others ask the projection: one function per request; proto/projection.def says what they mean. As clnt_send. */
#ifndef CAIRN_PROJECTION_CLNT_H
#define CAIRN_PROJECTION_CLNT_H

#include "shell/clnt.h"

/* Longer than a projection lets a request wait for its min_offset. */
#define PROJECTION_CLNT_MS         35000u
#define PROJECTION_CLNT_REBUILD_MS 3600000u

err_t projection_clnt_records(clnt *c, const records_request *req, clnt_done *done,
                              void *ctx) CAIRN_CHECK;
err_t projection_clnt_record(clnt *c, const record_request *req, clnt_done *done,
                             void *ctx) CAIRN_CHECK;
err_t projection_clnt_forms(clnt *c, const forms_request *req, clnt_done *done,
                            void *ctx) CAIRN_CHECK;
err_t projection_clnt_views(clnt *c, const views_request *req, clnt_done *done,
                            void *ctx) CAIRN_CHECK;
/* Give the reply's cursor (after_form, after_record, skip) back until it says done. */
err_t projection_clnt_canonical(clnt *c, const canonical_request *req, clnt_done *done,
                                void *ctx) CAIRN_CHECK;
err_t projection_clnt_rebuild(clnt *c, const rebuild_request *req, clnt_done *done,
                              void *ctx) CAIRN_CHECK;

/* For programs without a loop, as clnt_call: the reply borrows the client until its next call. */
err_t projection_call_records(clnt *c, const records_request *req, records_reply *out,
                              buf *text) CAIRN_CHECK;
err_t projection_call_record(clnt *c, const record_request *req, record_reply *out,
                             buf *text) CAIRN_CHECK;
err_t projection_call_forms(clnt *c, const forms_request *req, forms_reply *out,
                            buf *text) CAIRN_CHECK;
err_t projection_call_views(clnt *c, const views_request *req, views_reply *out,
                            buf *text) CAIRN_CHECK;
err_t projection_call_canonical(clnt *c, const canonical_request *req, canonical_reply *out,
                                buf *text) CAIRN_CHECK;
err_t projection_call_rebuild(clnt *c, const rebuild_request *req, ok_reply *out,
                              buf *text) CAIRN_CHECK;

#endif
