/* Queries over a finished view file, on a connection of their own: they see the last commit, whatever the writer is
 * doing. Answers borrow the reader until its next call. */
#ifndef CAIRN_VIEW_READ_H
#define CAIRN_VIEW_READ_H

#include "projection/view_db.h"
#include "proto/msg.h"

typedef struct view_reader view_reader;

err_t view_reader_open(view_reader **out, const char *path) CAIRN_CHECK;
void view_reader_close(view_reader **r);

/* All: ERR_NO_MEMORY, ERR_DAMAGED, ERR_IO. */
err_t view_read_records(view_reader *r, const records_request *req, records_reply *out) CAIRN_CHECK;
/* ERR_NOT_FOUND; ERR_CONFLICT with the forms that have a record of that id in `why`. */
err_t view_read_record(view_reader *r, const record_request *req, record_reply *out,
                       buf *why) CAIRN_CHECK;
err_t view_read_forms(view_reader *r, forms_reply *out) CAIRN_CHECK;
err_t view_read_canonical(view_reader *r, const canonical_request *req,
                          canonical_reply *out) CAIRN_CHECK;
/* Fills records, conflicts and anomalies. */
err_t view_read_totals(view_reader *r, view_row *out) CAIRN_CHECK;

/* view_digest in slices: begin once, then step until *done. The reader sees one state of the file, that of *position,
 * until it is closed, and should serve nothing else. */
err_t view_digest_begin(view_reader *r, uint64_t *position) CAIRN_CHECK;
err_t view_digest_step(view_reader *r, size_t max_bytes, bool *done, event_id *digest) CAIRN_CHECK;

#endif
