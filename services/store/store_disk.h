/* What the storages that keep files have in common: file systems that will not do, what tells a file
 * from its copy, errno in our words. */
#ifndef CAIRN_STORE_DISK_H
#define CAIRN_STORE_DISK_H

#include "base/buf.h"

#define DISK_PATH_MAX 640

/* What was found when a database was opened. */
typedef struct {
    bool created;      /* by this call */
    bool read_only;    /* the medium is: every write is answered with ERR_READ_ONLY */
    uint64_t inode;    /* of the database file; how store_file.c keeps it: store_file_log.h */
    uint64_t birth_ns; /* 0 where the file system does not tell */
    /* of store_file.c */
    uint64_t dropped_bytes; /* a last commit that was not whole */
    bool doubtful;          /* and nothing proves that it was never acknowledged */
    uint32_t bad_commits;   /* in the middle: some of their rows are damaged */
} store_disk_info;

/* From errno; 0 is ERR_OK. */
err_t disk_error(int rc);
/* ERR_NETWORK_FS when `dir` lies on one. */
err_t disk_check_fs(const char *dir, buf *why) CAIRN_CHECK;
err_t disk_sync_dir(const char *dir) CAIRN_CHECK;
/* Inode and birth time of an open file; as they were where they cannot be had. */
void disk_learn(int fd, store_disk_info *info);

#endif
