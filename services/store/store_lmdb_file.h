/* What must hold of the files before LMDB may touch them; for store_lmdb.c alone. */
#ifndef CAIRN_STORE_LMDB_FILE_H
#define CAIRN_STORE_LMDB_FILE_H

#include "store/store_disk.h"

#include <stdbool.h>

/* ERR_NOT_FOUND; ERR_FOREIGN_DB when the newest meta page is not one of this LMDB or speaks of more
 * bytes than the file has. Reads with read(2) only: a map of a file that is cut short kills. */
err_t lmdb_check_file(const char *path, buf *why) CAIRN_CHECK;
/* Makes sure that the lock file's blocks exist, giving up the ballast if need be. */
err_t lmdb_reserve_lock(const char *dir, buf *why) CAIRN_CHECK;
/* Makes the ballast when it is missing and the disk has plenty. */
void lmdb_make_ballast(const char *dir);
/* LMDB calls a short write an input/output error; nearly always it is a disk (or a quota, or the limit on
 * the size of files) that is full. `written` is about what was to be written. */
bool lmdb_no_space(const char *dir, int data_fd, uint64_t written);
/* Removes what an interrupted creation left. */
void lmdb_remove_env(const char *env_dir);
/* DIR/log.new becomes DIR/log, durably. */
err_t lmdb_rename_env(const char *dir) CAIRN_CHECK;

/* errno or an LMDB code. */
err_t lmdb_error(int rc);

#endif
