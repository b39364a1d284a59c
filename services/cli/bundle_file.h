/* Bundles as files, read as a stream. "-" is standard input. Written they are by whole_file.h. */
#ifndef CAIRN_BUNDLE_FILE_H
#define CAIRN_BUNDLE_FILE_H

#include "base/buf.h"
#include "pure/bundle.h"

/* Called after each piece of the file with how far it is and how long the file is (0: not known); false stops. */
typedef bool bundle_file_seen(void *context, uint64_t at, uint64_t size);

/* Feeds the file to a bundle_reader. Its errors; ERR_IO with words in `why`; ERR_STOPPING when `seen` (may be NULL)
 * stopped it. *got is set either way. `dataset` as in bundle_reader_init. */
err_t bundle_file_read(const char *path, const dataset_id *dataset, bundle_run_fn take,
                       bundle_file_seen *seen, void *context, bundle_progress *got,
                       buf *why) CAIRN_CHECK;
/* What such an error means and what to do, one line; leaves words that are there already. */
void bundle_file_words(const char *path, err_t e, const bundle_progress *got,
                       const dataset_id *mine, buf *why);

#endif
