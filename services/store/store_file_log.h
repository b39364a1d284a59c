/* The file of store_file.c, for nobody else: a head and the commits, one after the other. Numbers are
 * big-endian, sums are XXH3-64, those of commits under the file's salt.
 *
 *   head     "cairn commits 1\0"; salt u64; inode, birth time u64 of this file when it was made; the
 *            same of the first file of this database; sum of the foregoing
 *   commit   "CMIT"; bytes of keys u32, of values u32; its number u64, from 1 without gaps; sum of
 *            the keys, sum of the values; sum of the foregoing
 *            keys: for each change what u8 (table, FILE_DEL + table, FILE_CLEAR + table), key's length
 *            u16, value's length u32, key; then the values, in the same order
 *
 * The salt keeps what somebody has written into a value, and what an older file left on the disk, from
 * passing for a commit. Keys and values have sums of their own: when only values are damaged it is
 * known which rows were meant. The inode of this file tells a copy from the original; compacting makes
 * a new file, which is the same database: hence that of the first one. */
#ifndef CAIRN_STORE_FILE_LOG_H
#define CAIRN_STORE_FILE_LOG_H

#include "store/store_disk.h"
#include "store/store_kv.h"

#define FILE_HEAD_BYTES   64u
#define FILE_COMMIT_BYTES 44u /* before the keys */
#define FILE_DEL          64u
#define FILE_CLEAR        128u

/* What one commit changes, as it will be written. */
typedef struct {
    buf keys, values;
} file_changes;

void changes_init(file_changes *c);
void changes_release(file_changes *c);
void changes_clear(file_changes *c);
/* ERR_NO_MEMORY, also when it would be larger than FILE_COMMIT_MAX_BYTES. */
err_t changes_add(file_changes *c, unsigned what, bytes key, bytes value) CAIRN_CHECK;

typedef struct {
    int fd; /* -1: none */
    uint64_t salt, first_inode, first_birth_ns;
    uint64_t end;  /* behind the newest whole commit */
    uint64_t last; /* its number */
} file_log;

/* Writes a head into an empty file. With first_inode 0 it becomes the first file of a database. */
err_t file_log_begin(file_log *l) CAIRN_CHECK;
/* Writes behind the end, not synced. The log knows of it only by file_log_wrote, once it is. */
err_t file_log_write(const file_log *l, const file_changes *c) CAIRN_CHECK;
void file_log_wrote(file_log *l, const file_changes *c);
/* Cuts off what lies behind the end, durably. */
err_t file_log_cut(const file_log *l) CAIRN_CHECK;
/* Overwrites the whole file, which nobody needs any more, durably. */
err_t file_log_zero(const file_log *l) CAIRN_CHECK;
/* Reads head and commits of an open file into empty tables and fills info. The last commit, when it is
 * not whole, is left out and lies behind the end then. ERR_FOREIGN_DB, ERR_DAMAGED (keys, in the middle),
 * ERR_IO, ERR_NO_MEMORY, each with one line in `why` that calls the file `path`. */
err_t file_log_read(file_log *l, const char *path, store_kv *rows, store_disk_info *info,
                    buf *why) CAIRN_CHECK;

#endif
