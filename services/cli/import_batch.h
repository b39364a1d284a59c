/* Records on their way in: gathered, compared with what is here, written in batches to the bulk feed. */
#ifndef CAIRN_IMPORT_BATCH_H
#define CAIRN_IMPORT_BATCH_H

#include "cli/infer.h"
#include "cli/node.h"

typedef struct import_batch import_batch;

typedef struct {
    uint64_t added, changed, unchanged;
} import_counts;

/* Borrows the node. NULL when out of memory. */
import_batch *import_batch_new(node *n, const char *form);
void import_batch_free(import_batch *b);

/* These return false after having said on standard error what went wrong; what was acknowledged stays. */
/* Writes the order of the columns unless the newest such event says the same. */
bool import_batch_columns(import_batch *b, const infer_form *f);
/* Copies the record; writes when enough have gathered. */
bool import_batch_add(import_batch *b, const infer_record *r);
bool import_batch_flush(import_batch *b);
import_counts import_batch_counts(const import_batch *b);

#endif
