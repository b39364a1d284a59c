/* The file on the USB stick: signed runs, admitted by the same checks as from a peer. Pure: the caller moves the bytes
 * between buf and file in any chunk size. Numbers are big-endian; a checksum is the first 8 bytes of BLAKE2b-256.
 *
 *     header, 56 bytes:  "CAIRNBDL" · u32 version (1) · u32 flags (0) · 32 bytes dataset id · checksum of these 48
 *     records:           u32 type · u32 length · data · checksum of type, length and data
 *       type 1, run:     data is one run as in pure/run.h
 *       type 2, end:     u64 runs · u64 events · u64 bytes before this record; nothing follows it
 *
 * Checksums tell a damaged stick from a lying author; only seals vouch for events. Writers put the roster's events
 * first, because runs by unknown authors are dropped. */
#ifndef CAIRN_BUNDLE_H
#define CAIRN_BUNDLE_H

#include "base/buf.h"
#include "base/ids.h"
#include "pure/run.h"

#define BUNDLE_VERSION          1u
#define BUNDLE_HEADER_BYTES     56u
/* The most that one call of bundle_begin, _add or _end appends. */
#define BUNDLE_RECORD_MAX_BYTES (8u + RUN_MAX_BYTES + CHECKSUM_BYTES)

/* How far a writer or reader is; a reader's is worth keeping, to go on from there. */
typedef struct {
    dataset_id dataset;
    uint64_t runs, events;
    uint64_t bytes; /* offset in the file behind the last whole record */
    bool complete;  /* the end record is among them */
} bundle_progress;

/* Each appends to `out` what comes next in the file. ERR_TOO_LARGE or ERR_NO_MEMORY from the buf. */
err_t bundle_begin(bundle_progress *w, const dataset_id *dataset, buf *out) CAIRN_CHECK;
err_t bundle_add(bundle_progress *w, const run *r, buf *out) CAIRN_CHECK;
err_t bundle_end(bundle_progress *w, buf *out) CAIRN_CHECK;

/* Takes one whole run; `r` is borrowed for the call only. Any error stops the reader, which then returns it; that run
 * is not in `progress`, so reading can go on with it later. */
typedef err_t (*bundle_run_fn)(void *context, const run *r);

typedef struct {
    bundle_progress progress; /* read it at any time, also after an error: what was whole */
    bool any_dataset;
    bundle_run_fn take;
    void *context;
    buf pending; /* at most one record */
    size_t need; /* bytes of `pending` before the next step */
    err_t err;
} bundle_reader;

/* `dataset` NULL reads a bundle of any dataset: progress.dataset tells which once the header was fed. */
void bundle_reader_init(bundle_reader *r, const dataset_id *dataset, bundle_run_fn take,
                        void *context);
/* Goes on where `from` ended; the caller feeds the file from offset from->bytes. */
void bundle_reader_resume(bundle_reader *r, const bundle_progress *from, bundle_run_fn take,
                          void *context);
void bundle_reader_release(bundle_reader *r);
/* The next bytes of the file. Errors stick: MALFORMED (no bundle, or counts that differ), VERSION, DATASET, CHECKSUM,
 * TRAILING, run_decode's, the callback's, NO_MEMORY. */
err_t bundle_feed(bundle_reader *r, bytes chunk) CAIRN_CHECK;
/* At the end of the file: ERR_TRUNCATED when it was cut short; progress says how much was whole. */
err_t bundle_finish(const bundle_reader *r) CAIRN_CHECK;

#endif
