/* The store in one append-only file, its rows in memory (store_mem.c): for small nodes, for file
 * systems where a file cannot be mapped, and as a second implementation that keeps store_kv.h honest.
 *
 *   DIR/log/commits       every commit, checksummed and synced before kv_commit returns: store_file_log.h
 *   DIR/log/commits.new   being compacted: only what is there now, in the place of all that ever was.
 *                         Synced, then renamed; after a crash it is begun anew
 *
 * Wiping compacts, and overwrites the old file. In memory, rows that went are given back, not cleared.
 *
 * Bounds: rows, which stay in memory, take FILE_ROWS_MAX_BYTES and then ERR_FULL; opening reads the
 * whole file; now and then, when more than half of a file of FILE_COMPACT_MIN_BYTES is history, a commit
 * writes all rows anew before it returns.
 *
 * Damage: a last commit that is not whole is dropped at opening; when it could have been acknowledged,
 * info says `doubtful` and the database must count as a copy (store_opening). A commit in the middle
 * whose values are damaged gives its rows with the damage, as LMDB would: their own checksums tell, and
 * peers mend them. Where its keys are damaged nobody can say which rows are out of date: the file is
 * refused. */
#ifndef CAIRN_STORE_FILE_H
#define CAIRN_STORE_FILE_H

#include "store/store_disk.h"
#include "store/store_kv.h"

/* Opens the file below `dir` (which exists) or makes one. Errors, each with one line in `why`:
 * ERR_NETWORK_FS, ERR_FOREIGN_DB, ERR_DAMAGED, ERR_FULL, ERR_LOCKED, ERR_READ_ONLY (nothing there and
 * nothing can be made), ERR_IO, ERR_NO_MEMORY. kv_free closes it. */
err_t store_file_open(store_kv **out, const char *dir, store_disk_info *info, buf *why) CAIRN_CHECK;

#endif
