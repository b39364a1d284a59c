#include "store/store_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

err_t disk_error(int rc)
{
    static const struct {
        int rc;
        err_t e;
    } rows[] = {
        {0, ERR_OK},
        {ENOSPC, ERR_FULL},
        {EDQUOT, ERR_FULL},
        {EFBIG, ERR_FULL},
        {EROFS, ERR_READ_ONLY},
        {EACCES, ERR_READ_ONLY},
        {EPERM, ERR_READ_ONLY},
        {ENOMEM, ERR_NO_MEMORY},
        {EAGAIN, ERR_LOCKED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].rc == rc)
            return rows[i].e;
    return ERR_IO;
}

err_t disk_check_fs(const char *dir, buf *why)
{
    static const struct {
        unsigned long type;
        const char *name;
    } remote[] = {
        {0x6969, "NFS"},          {0x517b, "SMB"},         {0xff534d42ul, "CIFS"},
        {0xfe534d42ul, "SMB2"},   {0x5346414ful, "AFS"},   {0x73757245ul, "Coda"},
        {0x564c, "NCP"},          {0x01021997ul, "9P"},    {0x00c36400ul, "Ceph"},
        {0x0bd00bd0ul, "Lustre"}, {0x7461636ful, "OCFS2"}, {0x01161970ul, "GFS2"},
    };
    struct statfs fs;
    if (statfs(dir, &fs) != 0) {
        buf_addf(why, "cannot look at %s", dir);
        return disk_error(errno);
    }
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((unsigned long)fs.f_type == remote[i].type) {
            buf_addf(why, "%s is on %s, a network file system, where the database is not safe", dir,
                     remote[i].name);
            return ERR_NETWORK_FS;
        }
    return ERR_OK;
}

err_t disk_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return disk_error(rc);
}

void disk_learn(int fd, store_disk_info *info)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0)
        return;
    info->inode = st.stx_ino;
    if ((st.stx_mask & STATX_BTIME) != 0)
        info->birth_ns = (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
}
