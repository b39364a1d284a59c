/* What every service answers, whichever it is: the stub of the skeleton; proto/common.def says what they mean. */
#ifndef CAIRN_SERVICE_CLNT_H
#define CAIRN_SERVICE_CLNT_H

#include "shell/clnt_stub.h"

#define SERVICE_CLNT_MS 10000u

#define SERVICE_STUB(ROW)                                                                          \
    ROW(service, health, SERVICE_CLNT_MS)                                                          \
    ROW(service, counters, SERVICE_CLNT_MS)                                                        \
    ROW(service, log_level, SERVICE_CLNT_MS)
SERVICE_STUB(CLNT_STUB)

#endif
