/* What others ask merge: functions as shell/clnt_stub.h says; proto/merge.def says what they mean. */
#ifndef CAIRN_MERGE_CLNT_H
#define CAIRN_MERGE_CLNT_H

#include "shell/clnt_stub.h"

#define MERGE_CLNT_MS       10000u
#define MERGE_CLNT_WRITE_MS 60000u /* a full group commit on a slow card */
#define MERGE_CLNT_ADD_MS   20000u

#define MERGE_STUB(ROW)                                                                            \
    ROW(merge, emit, MERGE_CLNT_WRITE_MS)                                                          \
    ROW(merge, ingest, MERGE_CLNT_WRITE_MS)                                                        \
    ROW(merge, members, MERGE_CLNT_MS)                                                             \
    ROW(merge, member_add, MERGE_CLNT_ADD_MS)                                                      \
    ROW(merge, member_remove, MERGE_CLNT_MS)                                                       \
    ROW(merge, member_readd, MERGE_CLNT_MS)                                                        \
    ROW(merge, heir, MERGE_CLNT_MS)                                                                \
    ROW(merge, founder_replace, MERGE_CLNT_WRITE_MS)                                               \
    ROW(merge, heir_take, MERGE_CLNT_MS)                                                           \
    ROW(merge, frontier, MERGE_CLNT_MS)                                                            \
    ROW(merge, refusals, MERGE_CLNT_MS)                                                            \
    ROW(merge, merge_status, MERGE_CLNT_MS)                                                        \
    ROW(merge, radio_keys, MERGE_CLNT_MS)                                                          \
    ROW(merge, radio_key, MERGE_CLNT_ADD_MS)
MERGE_STUB(CLNT_STUB)

#endif
