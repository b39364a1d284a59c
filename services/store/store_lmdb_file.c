#include "store/store_lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_BYTES         16384
#define BALLAST_BYTES      (1 << 20)
#define BALLAST_FREE_BYTES (64ull << 20) /* made only on a disk with that much left */

/* ---- errors ---- */

err_t lmdb_error(int rc)
{
    static const struct {
        int rc;
        err_t e;
    } rows[] = {
        {MDB_NOTFOUND, ERR_NOT_FOUND},
        {MDB_MAP_FULL, ERR_FULL},
        {MDB_TXN_FULL, ERR_NO_MEMORY},
        {MDB_KEYEXIST, ERR_BUG},
        {MDB_BAD_VALSIZE, ERR_BUG},
        {MDB_INVALID, ERR_FOREIGN_DB},
        {MDB_VERSION_MISMATCH, ERR_FOREIGN_DB},
        {MDB_CORRUPTED, ERR_DAMAGED},
        {MDB_PAGE_NOTFOUND, ERR_DAMAGED},
        {MDB_CURSOR_FULL, ERR_DAMAGED},
        {MDB_INCOMPATIBLE, ERR_FOREIGN_DB},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].rc == rc)
            return rows[i].e;
    return disk_error(rc);
}

/* ---- the environment's files ---- */

void lmdb_remove_env(const char *env_dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    char path[DISK_PATH_MAX + 16];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", env_dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(env_dir);
}

err_t lmdb_rename_env(const char *dir)
{
    char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
    snprintf(from, sizeof from, "%s/log.new", dir);
    snprintf(to, sizeof to, "%s/log", dir);
    TRY(disk_sync_dir(from));
    (void)rmdir(to); /* empty, or the rename will say so */
    if (rename(from, to) != 0)
        return lmdb_error(errno);
    return disk_sync_dir(dir);
}

/* ---- the data file ---- */

/* Of LMDB's page header (16 bytes) and MDB_meta as version 1 writes them on this machine. */
enum {
    META_MAGIC = 16,
    META_VERSION = 20,
    META_PAGE_SIZE = 40,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    META_BYTES = 152
};
#define LMDB_MAGIC 0xbeefc0deu

typedef struct {
    uint32_t page_bytes;
    uint64_t last_page, txn;
} lmdb_meta;

static bool read_meta(int fd, off_t at, lmdb_meta *m)
{
    uint8_t b[META_BYTES];
    uint32_t magic, version;
    if (pread(fd, b, sizeof b, at) != (ssize_t)sizeof b)
        return false;
    memcpy(&magic, b + META_MAGIC, sizeof magic);
    memcpy(&version, b + META_VERSION, sizeof version);
    memcpy(&m->page_bytes, b + META_PAGE_SIZE, sizeof m->page_bytes);
    memcpy(&m->last_page, b + META_LAST_PAGE, sizeof m->last_page);
    memcpy(&m->txn, b + META_TXN, sizeof m->txn);
    bool sane = m->page_bytes >= 512 && m->page_bytes <= 65536 &&
                (m->page_bytes & (m->page_bytes - 1)) == 0 && m->last_page < UINT64_MAX >> 17;
    return magic == LMDB_MAGIC && version == 1 && sane;
}

static err_t check_open_file(int fd, const char *path, buf *why)
{
    lmdb_meta a, b;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ERR_IO;
    if (!read_meta(fd, 0, &a) || !read_meta(fd, a.page_bytes, &b) || a.page_bytes != b.page_bytes) {
        buf_addf(why,
                 "%s is not a database of this kind of machine: move it away; peers fill a new one",
                 path);
        return ERR_FOREIGN_DB;
    }
    uint64_t needed = ((a.txn > b.txn ? a.last_page : b.last_page) + 1) * a.page_bytes;
    if ((uint64_t)st.st_size >= needed)
        return ERR_OK;
    buf_addf(why,
             "%s is cut short, %llu of %llu bytes are there: move it away; peers fill a new one",
             path, (unsigned long long)st.st_size, (unsigned long long)needed);
    return ERR_FOREIGN_DB;
}

err_t lmdb_check_file(const char *path, buf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ERR_NOT_FOUND;
    if (fd < 0) {
        buf_addf(why, "cannot open %s", path);
        return errno == EACCES || errno == EPERM ? ERR_FORBIDDEN : ERR_IO;
    }
    err_t e = check_open_file(fd, path, why);
    close(fd);
    return e;
}

/* ---- space ---- */

/* Blocks for the whole file: with a hole in it, a write through LMDB's map of it would be a SIGBUS
 * once the disk is full. */
static int allocate(const char *path, off_t n)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int rc = posix_fallocate(fd, 0, n);
    close(fd);
    return rc == EOPNOTSUPP || rc == EINVAL ? 0 : rc;
}

err_t lmdb_reserve_lock(const char *dir, buf *why)
{
    char lock[DISK_PATH_MAX], ballast[DISK_PATH_MAX];
    snprintf(lock, sizeof lock, "%s/log/lock.mdb", dir);
    snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    int rc = allocate(lock, LOCK_BYTES);
    if (rc == ENOSPC && unlink(ballast) == 0)
        rc = allocate(lock, LOCK_BYTES);
    if (rc == EROFS)
        return ERR_OK; /* LMDB does without a lock file there */
    if (rc != 0)
        buf_addf(why, "no space for %s: %s", lock, strerror(rc));
    return lmdb_error(rc);
}

void lmdb_make_ballast(const char *dir)
{
    char path[DISK_PATH_MAX];
    struct statvfs fs;
    snprintf(path, sizeof path, "%s/ballast", dir);
    if (access(path, F_OK) == 0 || statvfs(dir, &fs) != 0 ||
        (uint64_t)fs.f_bavail * fs.f_frsize < BALLAST_FREE_BYTES)
        return;
    if (allocate(path, BALLAST_BYTES) != 0)
        (void)unlink(path);
}

bool lmdb_no_space(const char *dir, int data_fd, uint64_t written)
{
    struct statvfs fs;
    struct stat st;
    struct rlimit limit;
    if (statvfs(dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < written)
        return true;
    return fstat(data_fd, &st) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           limit.rlim_cur != RLIM_INFINITY && (uint64_t)st.st_size + written > limit.rlim_cur;
}
