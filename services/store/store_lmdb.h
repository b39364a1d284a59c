/* The store in LMDB: full sync, no write map, one process.
 *
 *   DIR/log/data.mdb, DIR/log/lock.mdb   made in DIR/log.new, synced, then renamed: a crash during
 *                                        creation leaves nothing that looks like a database
 *   DIR/ballast                          space that is given up when a full disk would otherwise
 *                                        keep the database from being opened (LMDB dies by SIGBUS
 *                                        when its lock file has no blocks)
 */
#ifndef CAIRN_STORE_LMDB_H
#define CAIRN_STORE_LMDB_H

#include "store/store_disk.h"
#include "store/store_kv.h"

/* Opens the database below `dir` (which exists) or makes one. `map_bytes` is the address space it may
 * use, halved until the system grants it. Errors, each with one line in `why`: ERR_NETWORK_FS,
 * ERR_FOREIGN_DB (not LMDB, of another word size, or cut short), ERR_FULL, ERR_LOCKED, ERR_READ_ONLY
 * (nothing there and nothing can be made), ERR_IO, ERR_NO_MEMORY. kv_free closes it. */
err_t store_lmdb_open(store_kv **out, const char *dir, uint64_t map_bytes, store_disk_info *info,
                      buf *why) CAIRN_CHECK;

#endif
