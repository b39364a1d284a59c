/* What LMDB leaves in its file of rows that are gone: copy-on-write keeps old pages in a list of free ones, and
 * pages in use have gaps with whatever the memory held before. For store_lmdb.c alone. */
#ifndef CAIRN_STORE_LMDB_WIPE_H
#define CAIRN_STORE_LMDB_WIPE_H

#include "base/error.h"

#include <lmdb.h>
#include <stdint.h>

/* How far a walk over the file has come; zeroed: at its beginning. */
typedef struct {
    uint64_t next;  /* first page not looked at */
    uint64_t txnid; /* the state of the database then */
} lmdb_wiper;

/* Looks at up to `pages` pages and overwrites with zeros all of them that belong to nothing. Free pages count from
 * the last state but one: both roots in the file lead past them, so that a crash finds either whole. *more is
 * false at the end, when the file is synced. ERR_BUSY while another process reads an older state, ERR_DAMAGED when
 * a page is not what it should be (then nothing is written any more), ERR_IO, ERR_NO_MEMORY. The caller has no
 * transaction open. */
err_t lmdb_wipe(MDB_env *env, lmdb_wiper *w, uint32_t pages, bool *more) CAIRN_CHECK;

#endif
