/* Bundles as files: written whole or not at all, read as a stream. "-" is standard output or input. */
#ifndef CAIRN_BUNDLE_FILE_H
#define CAIRN_BUNDLE_FILE_H

#include "base/buf.h"
#include "pure/bundle.h"

#include <stdio.h>

typedef struct {
    const char *path;
    char temp[4096]; /* beside the target until it is complete; empty for standard output */
    FILE *out;
    bool interrupted;
} bundle_file;

/* Each false with a line in `why`. */
bool bundle_file_create(bundle_file *f, const char *path, buf *why);
bool bundle_file_add(bundle_file *f, bytes piece, buf *why);
/* Synced and under its name. */
bool bundle_file_commit(bundle_file *f, buf *why);
/* Removes what is not committed; harmless after it. */
void bundle_file_discard(bundle_file *f);

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
