/* A file that is written whole or not at all: what has that name stays until the new one is complete. "-" is standard
 * output; that, devices and pipes are written as it comes. */
#ifndef CAIRN_WHOLE_FILE_H
#define CAIRN_WHOLE_FILE_H

#include "base/buf.h"

#include <stdio.h>

typedef struct {
    const char *path; /* borrowed, as words call it */
    char temp[4096];  /* beside the target until it is complete; empty where there is none */
    FILE *out;
} whole_file;

/* Each false with a line in `why`. */
bool whole_file_create(whole_file *f, const char *path, buf *why);
bool whole_file_add(whole_file *f, bytes piece, buf *why);
/* Synced and under its name. */
bool whole_file_commit(whole_file *f, buf *why);
/* Removes what is not committed; harmless after it. */
void whole_file_discard(whole_file *f);

#endif
