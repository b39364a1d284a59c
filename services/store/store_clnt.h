/* What others ask the store: functions as shell/clnt_stub.h says; proto/store.def says what they mean. */
#ifndef CAIRN_STORE_CLNT_H
#define CAIRN_STORE_CLNT_H

#include "shell/clnt_stub.h"

#define STORE_CLNT_MS       10000u
#define STORE_CLNT_FETCH_MS (FETCH_MAX_WAIT_MS + STORE_CLNT_MS)
#define STORE_CLNT_IDEM_MS                                                                         \
    8000u /* less than a command waits for merge, which asks it on its behalf */
#define STORE_CLNT_APPEND_MS 3600000u /* appends are idempotent: repeated until the store is back */

#define STORE_STUB(ROW)                                                                            \
    ROW(store, store_hello, STORE_CLNT_MS)                                                         \
    ROW(store, fetch, STORE_CLNT_FETCH_MS)                                                         \
    ROW(store, read_feed, STORE_CLNT_MS)                                                           \
    ROW(store, read_stream, STORE_CLNT_MS)                                                         \
    ROW(store, scan, STORE_CLNT_MS)                                                                \
    ROW(store, tips, STORE_CLNT_MS)                                                                \
    ROW(store, run, STORE_CLNT_MS)                                                                 \
    ROW(store, locate, STORE_CLNT_MS)                                                              \
    ROW(store, idem, STORE_CLNT_IDEM_MS)                                                           \
    ROW(store, damage, STORE_CLNT_MS)
STORE_STUB(CLNT_STUB)

/* Private to merge, the only writer. */
#define STORE_WRITER_STUB(ROW)                                                                     \
    ROW(store, append, STORE_CLNT_APPEND_MS)                                                       \
    ROW(store, verdict, STORE_CLNT_MS)                                                             \
    ROW(store, seal, STORE_CLNT_MS)                                                                \
    ROW(store, incarnation, STORE_CLNT_MS)                                                         \
    ROW(store, erase, STORE_CLNT_MS)
STORE_WRITER_STUB(CLNT_STUB)

#endif
