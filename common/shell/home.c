#include "shell/home.h"

#include "pure/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

err_t home_make_dir(const char *path)
{
    char part[HOME_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return ERR_TOO_LARGE;
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && errno != EISDIR)
            return err_of_errno(errno);
        part[i] = i < n ? '/' : '\0';
    }
    return ERR_OK;
}

err_t home_read_file(const char *path, buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_of_errno(errno);
    err_t e = ERR_OK;
    for (;;) {
        uint8_t chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = ERR_IO;
        if (n <= 0 || !buf_add(out, chunk, (size_t)n))
            break;
    }
    close(fd);
    return e != ERR_OK ? e : out->err;
}

static err_t write_all(int fd, bytes content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.p, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_of_errno(errno);
        content = bytes_of(content.p + n, content.len - (size_t)n);
    }
    return fsync(fd) == 0 ? ERR_OK : err_of_errno(errno);
}

static err_t sync_parent(const char *path)
{
    char dir[HOME_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        return ERR_OK;
    *slash = '\0';
    int fd = open(*dir != '\0' ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_of_errno(errno);
    int rc = fsync(fd);
    close(fd);
    return rc == 0 ? ERR_OK : err_of_errno(errno);
}

err_t home_write_file(const char *path, bytes content)
{
    char temp[HOME_PATH_MAX + 8];
    snprintf(temp, sizeof temp, "%s.new", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_of_errno(errno);
    err_t e = write_all(fd, content);
    close(fd);
    if (e == ERR_OK && rename(temp, path) != 0)
        e = err_of_errno(errno);
    if (e != ERR_OK) {
        unlink(temp);
        return e;
    }
    return sync_parent(path);
}

static err_t choose_path(cairn_home *h, const char *given, buf *why)
{
    const char *env = getenv("CAIRN_HOME"), *state = getenv("XDG_STATE_HOME"),
               *user = getenv("HOME");
    int n;
    if (given != NULL && *given != '\0')
        n = snprintf(h->path, sizeof h->path, "%s", given);
    else if (env != NULL && *env != '\0')
        n = snprintf(h->path, sizeof h->path, "%s", env);
    else if (state != NULL && *state == '/')
        n = snprintf(h->path, sizeof h->path, "%s/cairn", state);
    else
        n = snprintf(h->path, sizeof h->path, "%s/.local/state/cairn", user != NULL ? user : "");
    /* room for what is appended below it */
    if (n > 0 && (size_t)n < sizeof h->path - 64)
        return ERR_OK;
    buf_add_str(why, "the home directory's path is too long: choose a shorter --home");
    return ERR_INVALID;
}

static err_t check_owner(const cairn_home *h, buf *why)
{
    struct stat st;
    if (stat(h->path, &st) != 0) {
        if (errno == ENOENT)
            return ERR_OK;
        buf_addf(why, "cannot look into %s: %s", h->path, strerror(errno));
        return ERR_FORBIDDEN;
    }
    if (!S_ISDIR(st.st_mode))
        buf_addf(why, "%s is not a directory: choose another --home", h->path);
    else if (st.st_uid != geteuid())
        buf_addf(why,
                 "%s belongs to another user (uid %u): run as that user or choose another --home",
                 h->path, (unsigned)st.st_uid);
    return why->len == 0 ? ERR_OK : ERR_FORBIDDEN;
}

err_t home_read_dataset(const char *path, dataset_id *out, buf *why)
{
    buf text;
    buf_init(&text, 128);
    err_t e = home_read_file(path, &text);
    size_t n = text.len;
    while (n > 0 && (text.p[n - 1] == '\n' || text.p[n - 1] == ' '))
        n--;
    if (e == ERR_OK && !hex_decode(out->b, sizeof out->b, (const char *)text.p, n)) {
        buf_addf(why, "%s does not hold a dataset id (64 hex digits): restore it from a backup",
                 path);
        e = ERR_INVALID;
    } else if (e != ERR_OK && e != ERR_NOT_FOUND) {
        buf_addf(why, "cannot read %s: %s", path, err_text(e));
    }
    buf_release(&text);
    return e;
}

static bool run_is_given(void)
{
    const char *given = getenv("CAIRN_RUN");
    return given != NULL && *given != '\0';
}

/* In the home, else where the processes of a camp of containers meet. */
static err_t read_dataset(cairn_home *h, buf *why)
{
    char path[HOME_PATH_MAX];
    snprintf(h->dataset_file, sizeof h->dataset_file, "dataset");
    home_path(h, path, h->dataset_file);
    err_t e = home_read_dataset(path, &h->dataset, why);
    if (e == ERR_NOT_FOUND && run_is_given()) {
        snprintf(path, sizeof path, "%s/dataset", getenv("CAIRN_RUN"));
        e = home_read_dataset(path, &h->dataset, why);
    }
    h->has_dataset = e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Absolute, so that every process of a node, wherever it was started, names the run directory
 * alike. */
static void absolute_home(const cairn_home *h, char out[HOME_PATH_MAX])
{
    char *real = realpath(h->path, NULL);
    snprintf(out, HOME_PATH_MAX, "%s", real != NULL ? real : h->path);
    free(real);
}

static err_t make_run_dir(cairn_home *h, buf *why)
{
    const char *given = getenv("CAIRN_RUN"), *xdg = getenv("XDG_RUNTIME_DIR");
    char real[HOME_PATH_MAX], dataset[13], node[9];
    event_id hash;
    absolute_home(h, real);
    crypto_digest(hash.b, bytes_str(real));
    hex_encode(dataset, h->dataset.b, 6);
    hex_encode(node, hash.b, 4);
    int n;
    if (given != NULL && *given != '\0')
        n = snprintf(h->run, sizeof h->run, "%s", given);
    else if (xdg != NULL && *xdg == '/' && strlen(xdg) < 40 && access(xdg, W_OK) == 0)
        n = snprintf(h->run, sizeof h->run, "%s/cairn/%s-%s", xdg, dataset, node);
    else
        n = snprintf(h->run, sizeof h->run, "/tmp/cairn-%u/%s-%s", (unsigned)geteuid(), dataset,
                     node);
    if (n < 0 || (size_t)n >= sizeof h->run - 16) {
        buf_addf(
            why,
            "the run directory's path is longer than 80 bytes: set CAIRN_RUN to a shorter one");
        return ERR_INVALID;
    }
    struct stat st;
    err_t e = home_make_dir(h->run);
    if (e == ERR_OK && stat(h->run, &st) == 0 && st.st_uid == geteuid())
        return ERR_OK;
    buf_addf(why, "cannot use the run directory %s: %s", h->run,
             e != ERR_OK ? err_text(e) : "it belongs to another user");
    return e != ERR_OK ? e : ERR_FORBIDDEN;
}

err_t home_open(cairn_home *h, const char *given, buf *why)
{
    *h = (cairn_home){0};
    TRY(choose_path(h, given, why));
    TRY(check_owner(h, why));
    TRY(read_dataset(h, why));
    return h->has_dataset || run_is_given() ? make_run_dir(h, why) : ERR_OK;
}

void home_path(const cairn_home *h, char out[HOME_PATH_MAX], const char *below)
{
    snprintf(out, HOME_PATH_MAX, "%.*s/%s", HOME_PATH_MAX - 66, h->path, below);
}

void home_endpoint(const cairn_home *h, char out[128], const char *service, const char *kind)
{
    snprintf(out, 128, "ipc://%s/%s.%s", h->run, service, kind);
}
