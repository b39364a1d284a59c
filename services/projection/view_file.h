/* Where the view's file lies. `records.db` is a symbolic link to the file of the current build, records-<random>.db: a
 * rebuild makes a new one beside it and turns the link in one atomic step. Programs that have the old file open go on
 * undisturbed (its WAL goes by its own name), those that open the link get the new one. Files that no link means are
 * left over from a crash and swept. */
#ifndef CAIRN_VIEW_FILE_H
#define CAIRN_VIEW_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define VIEW_PATH_MAX 600

/* The link itself: what people are told. */
void view_file_link(const char *dir, char out[VIEW_PATH_MAX]);
/* The file the link means. ERR_NOT_FOUND when there is none, or something that is not ours. */
err_t view_file_current(const char *dir, char out[VIEW_PATH_MAX]) CAIRN_CHECK;
/* A name for the next build. */
void view_file_next(const char *dir, uint64_t random, char out[VIEW_PATH_MAX]);
/* Turns the link to this file, durably. ERR_FULL, ERR_READ_ONLY, ERR_FORBIDDEN, ERR_IO. */
err_t view_file_publish(const char *dir, const char *path) CAIRN_CHECK;
/* Removes a file with its WAL. */
void view_file_remove(const char *path);
/* Keeps a damaged one for somebody to look at, as records.db.damaged; an older one gives way. */
void view_file_set_aside(const char *dir, const char *path);
/* Removes what was set aside in the directory of the file `path`. */
void view_file_drop_damaged(const char *path);
/* Removes all builds except these two (either may be NULL). */
void view_file_sweep(const char *dir, const char *keep, const char *keep_too);

#endif
