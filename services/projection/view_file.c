#include "projection/view_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINK   "records.db"
#define PREFIX "records-"

void view_file_link(const char *dir, char out[VIEW_PATH_MAX])
{
    snprintf(out, VIEW_PATH_MAX, "%s/" LINK, dir);
}

err_t view_file_current(const char *dir, char out[VIEW_PATH_MAX])
{
    char link[VIEW_PATH_MAX], target[64];
    view_file_link(dir, link);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0) /* EINVAL: something else has that name */
        return errno == EINVAL ? ERR_NOT_FOUND : err_of_errno(errno);
    target[n] = '\0';
    if (strncmp(target, PREFIX, strlen(PREFIX)) != 0 || strchr(target, '/') != NULL)
        return ERR_NOT_FOUND;
    snprintf(out, VIEW_PATH_MAX, "%s/%s", dir, target);
    return ERR_OK;
}

void view_file_next(const char *dir, uint64_t random, char out[VIEW_PATH_MAX])
{
    snprintf(out, VIEW_PATH_MAX, "%s/" PREFIX "%016llx.db", dir, (unsigned long long)random);
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* a link that a power cut undoes only costs a rebuild */
    close(fd);
}

err_t view_file_publish(const char *dir, const char *path)
{
    char link[VIEW_PATH_MAX], temp[VIEW_PATH_MAX + 8];
    const char *name = strrchr(path, '/');
    view_file_link(dir, link);
    snprintf(temp, sizeof temp, "%s.new", link);
    (void)unlink(temp);
    if (symlink(name != NULL ? name + 1 : path, temp) != 0 || rename(temp, link) != 0)
        return err_of_errno(errno);
    sync_dir(dir);
    return ERR_OK;
}

static const char *const companions[] = {"", "-wal", "-shm", "-journal"};
#define COMPANIONS (sizeof companions / sizeof companions[0])

void view_file_remove(const char *path)
{
    char each[VIEW_PATH_MAX + 16];
    for (size_t i = 0; i < COMPANIONS; i++) {
        snprintf(each, sizeof each, "%s%s", path, companions[i]);
        (void)unlink(each);
    }
}

void view_file_set_aside(const char *dir, const char *path)
{
    char from[VIEW_PATH_MAX + 16], to[VIEW_PATH_MAX + 32];
    for (size_t i = 0; i < COMPANIONS; i++) {
        snprintf(from, sizeof from, "%s%s", path, companions[i]);
        snprintf(to, sizeof to, "%s/" LINK ".damaged%s", dir, companions[i]);
        if (rename(from, to) != 0)
            (void)unlink(to);
    }
}

void view_file_drop_damaged(const char *path)
{
    char each[VIEW_PATH_MAX + 32];
    const char *name = strrchr(path, '/');
    int dir = name != NULL ? (int)(name - path) : 0;
    for (size_t i = 0; i < COMPANIONS && dir > 0; i++) {
        snprintf(each, sizeof each, "%.*s/" LINK ".damaged%s", dir, path, companions[i]);
        (void)unlink(each);
    }
}

static bool belongs_to(const char *name, const char *path)
{
    const char *own = path != NULL ? strrchr(path, '/') : NULL;
    return own != NULL && strncmp(name, own + 1, strlen(own + 1)) == 0;
}

void view_file_sweep(const char *dir, const char *keep, const char *keep_too)
{
    DIR *d = opendir(dir);
    struct dirent *row;
    while (d != NULL && (row = readdir(d)) != NULL)
        if (strncmp(row->d_name, PREFIX, strlen(PREFIX)) == 0 && !belongs_to(row->d_name, keep) &&
            !belongs_to(row->d_name, keep_too))
            (void)unlinkat(dirfd(d), row->d_name, 0);
    if (d != NULL)
        closedir(d);
}
