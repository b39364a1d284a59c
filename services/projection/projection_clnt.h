/* What others ask the projection: functions as shell/clnt_stub.h says; proto/projection.def says what they mean. */
#ifndef CAIRN_PROJECTION_CLNT_H
#define CAIRN_PROJECTION_CLNT_H

#include "shell/clnt_stub.h"

#define PROJECTION_CLNT_MS         35000u /* longer than a request may wait there for its min_offset */
#define PROJECTION_CLNT_REBUILD_MS 3600000u /* ten million events on a slow machine */

/* canonical: give the reply's cursor (after_form, after_record, skip) back until it says done. */
#define PROJECTION_STUB(ROW)                                                                       \
    ROW(projection, records, PROJECTION_CLNT_MS)                                                   \
    ROW(projection, record, PROJECTION_CLNT_MS)                                                    \
    ROW(projection, forms, PROJECTION_CLNT_MS)                                                     \
    ROW(projection, views, PROJECTION_CLNT_MS)                                                     \
    ROW(projection, canonical, PROJECTION_CLNT_MS)                                                 \
    ROW(projection, rebuild, PROJECTION_CLNT_REBUILD_MS)
PROJECTION_STUB(CLNT_STUB)

#endif
