/* What the writers of cli/export.h share: reading columns, fields and conflicts, sending text. */
#ifndef CAIRN_EXPORT_SHAPE_H
#define CAIRN_EXPORT_SHAPE_H

#include "cli/export.h"
#include "proto/mp.h"
#include "pure/value.h"

#define EXPORT_TEXT_MAX_BYTES (4u << 20) /* of one record, or of the header */

typedef struct {
    const export_options *options;
    const export_source *source;
    const export_sink *sink;
    buf out;
    uint64_t records;
} export_job;

/* One per format. */
CAIRN_CHECK err_t export_csv(export_job *job);
CAIRN_CHECK err_t export_ndjson(export_job *job);
CAIRN_CHECK err_t export_geojson(export_job *job);

/* Hands job->out to the sink and empties it. The buf's error, or ERR_IO. */
CAIRN_CHECK err_t export_send(export_job *job);
/* The next record; counts it. */
CAIRN_CHECK err_t export_next(export_job *job, export_record *record, bool *end);
/* Calls `each` for every record from the first on, and sends what it has written. */
CAIRN_CHECK err_t export_each(export_job *job,
                              err_t (*each)(export_job *job, const export_record *record));

/* The names in conflict as one text, "depth; status"; failure is sticky in `out`. */
CAIRN_CHECK err_t export_put_conflicts(buf *out, const export_record *record);

#endif
