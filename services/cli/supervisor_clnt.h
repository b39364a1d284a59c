/* What commands ask the supervisor of a node: functions as shell/clnt_stub.h says; proto/supervisor.def says what they
 * mean. */
#ifndef CAIRN_SUPERVISOR_CLNT_H
#define CAIRN_SUPERVISOR_CLNT_H

#include "shell/clnt_stub.h"

#define SUPERVISOR_CLNT_MS 3000u /* it has nothing else to do */

#define SUPERVISOR_STUB(ROW)                                                                       \
    ROW(supervisor, processes, SUPERVISOR_CLNT_MS)                                                 \
    ROW(supervisor, stop, SUPERVISOR_CLNT_MS)
SUPERVISOR_STUB(CLNT_STUB)

#endif
