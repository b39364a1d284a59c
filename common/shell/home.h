/* A node's directory, and the run directory where its processes meet.
 *
 *   HOME/cairn.conf   HOME/dataset (64 hex digits)   HOME/<service>/ (0700, one per service)
 * HOME/log/ RUN = $XDG_RUNTIME_DIR/cairn/<dataset>-<home>  or  /tmp/cairn-<uid>/<dataset>-<home>
 * (short: ipc paths end at 107)
 *
 * In containers (shell/camp.h) each process has a volume of its own at HOME/<service>, and nothing but CAIRN_RUN is
 * shared; the dataset's id then stands in HOME/<service>/dataset and RUN/dataset.
 */
#ifndef CAIRN_HOME_H
#define CAIRN_HOME_H

#include "base/buf.h"
#include "base/ids.h"

#define HOME_PATH_MAX 512

typedef struct {
    char path[HOME_PATH_MAX];
    dataset_id dataset;
    bool has_dataset;
    char dataset_file[32]; /* below path: where the id is to be written */
    char run[96];          /* empty without a dataset, unless CAIRN_RUN names it */
} cairn_home;

/* Resolves --home, else CAIRN_HOME, else $XDG_STATE_HOME/cairn, else ~/.local/state/cairn; reads
 * the dataset id when there is one and makes the run directory (CAIRN_RUN overrides it). `given`
 * may be NULL. One line in `why` on failure: not a directory, not ours, malformed. Does not create
 * the home itself. */
err_t home_open(cairn_home *h, const char *given, buf *why) CAIRN_CHECK;
/* The id in a file of 64 hex digits. ERR_NOT_FOUND: there is no such file; ERR_INVALID: it holds something else; words in
 * `why` but for the former. */
err_t home_read_dataset(const char *path, dataset_id *out, buf *why) CAIRN_CHECK;
/* Path below the home, into `out`. */
void home_path(const cairn_home *h, char out[HOME_PATH_MAX], const char *below);
/* ipc://RUN/<service>.<kind>; kind is "sock" for requests, "pub" for the doorbell. */
void home_endpoint(const cairn_home *h, char out[128], const char *service, const char *kind);

/* mkdir -p with 0700. */
err_t home_make_dir(const char *path) CAIRN_CHECK;
/* Whole small file; ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_IO. */
err_t home_read_file(const char *path, buf *out) CAIRN_CHECK;
/* Atomic and durable: temporary file 0600, fsync, rename, fsync of the directory. */
err_t home_write_file(const char *path, bytes content) CAIRN_CHECK;

#endif
