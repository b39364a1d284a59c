/* A progress bar on a terminal's standard error: share done, rate, time left. Nothing elsewhere. */
#ifndef CAIRN_PROGRESS_H
#define CAIRN_PROGRESS_H

#include "base/ids.h"

typedef struct {
    uint64_t total;
    mono_ms began, shown;
    bool on, drawn;
} progress;

void progress_init(progress *p, uint64_t total, bool quiet);
/* `done` of total (bytes), `items` so far. Draws at most ten times a second. */
void progress_show(progress *p, uint64_t done, uint64_t items);
/* Before other words go to standard error. */
void progress_clear(progress *p);

#endif
