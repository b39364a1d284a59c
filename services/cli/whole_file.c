#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool complain(const char *path, buf *why)
{
    buf_addf(why, "cannot write %s: %s", path, strerror(errno));
    if (errno == ENOSPC)
        buf_add_str(why, " (free some space, then again)");
    return false;
}

/* A device or a pipe takes what it is given; to put a file in its place would be wrong. */
static bool is_file_or_new(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

bool whole_file_create(whole_file *f, const char *path, buf *why)
{
    *f = (whole_file){.path = path};
    if (strcmp(path, "-") == 0) {
        f->path = "to standard output";
        f->out = stdout;
        return true;
    }
    if (!is_file_or_new(path)) {
        f->out = fopen(path, "wb");
        return f->out != NULL || complain(path, why);
    }
    int n = snprintf(f->temp, sizeof f->temp, "%s.XXXXXX", path);
    int fd = n > 0 && (size_t)n < sizeof f->temp ? mkstemp(f->temp) : -1;
    if (fd >= 0)
        f->out = fdopen(fd, "wb");
    if (f->out != NULL)
        return true;
    if (fd < 0)
        f->temp[0] = '\0';
    return complain(path, why);
}

bool whole_file_add(whole_file *f, bytes piece, buf *why)
{
    return fwrite(piece.p, 1, piece.len, f->out) == piece.len || complain(f->path, why);
}

static void sync_folder(const char *path)
{
    char *copy = strdup(path), *slash = copy != NULL ? strrchr(copy, '/') : NULL;
    if (slash != NULL)
        slash[slash == copy] = '\0';
    int fd = open(slash != NULL ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* FAT on a stick cannot: the file itself is synced */
        close(fd);
    }
    free(copy);
}

bool whole_file_commit(whole_file *f, buf *why)
{
    if (f->temp[0] == '\0')
        return fflush(f->out) == 0 || complain(f->path, why);
    mode_t mask = umask(0);
    (void)umask(mask);
    (void)fchmod(fileno(f->out), 0666 & ~mask); /* as other files are */
    bool ok = fflush(f->out) == 0 && fsync(fileno(f->out)) == 0;
    ok &= fclose(f->out) == 0;
    f->out = NULL;
    if (!ok || rename(f->temp, f->path) != 0) {
        complain(f->path, why);
        return false;
    }
    f->temp[0] = '\0';
    sync_folder(f->path);
    return true;
}

void whole_file_discard(whole_file *f)
{
    if (f->out != NULL && f->out != stdout)
        (void)fclose(f->out);
    f->out = NULL;
    if (f->temp[0] != '\0')
        (void)unlink(f->temp);
    f->temp[0] = '\0';
}
