#include "cli/demo_node.h"

#include "cli/node.h"
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 32

/* ---- running commands ---- */

static void become_cairn(const demo_node *n, const char *const *args, int out, int err)
{
    char program[HOME_PATH_MAX];
    const char *argv[ARGS_MAX] = {"cairn", "--home", n->home};
    size_t k = 3;
    while (*args != NULL && k + 1 < ARGS_MAX)
        argv[k++] = *args++;
    argv[k] = NULL;
    if (out >= 0)
        dup2(out, STDOUT_FILENO);
    if (err >= 0)
        dup2(err, STDERR_FILENO);
    supervise_program(program, "cairn");
    execv(program, (char *const *)argv);
    _exit(127);
}

pid_t demo_spawn(const demo_node *n, const char *const *args)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        become_cairn(n, args, nothing, -1);
    }
    return pid;
}

int demo_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void read_all(int fd, buf *out)
{
    uint8_t chunk[4096];
    ssize_t got;
    while ((got = read(fd, chunk, sizeof chunk)) != 0)
        if (got > 0 && out != NULL)
            (void)buf_add(out, chunk, (size_t)got);
        else if (got < 0 && errno != EINTR)
            return;
}

/* Standard error goes to a nameless file, to be shown when the command failed. */
static void show_words(FILE *err)
{
    char line[512];
    rewind(err);
    while (fgets(line, sizeof line, err) != NULL)
        fprintf(stderr, "    %s", line);
}

int demo_run(const demo_node *n, buf *out, const char *const *args)
{
    int ends[2];
    FILE *err = tmpfile();
    if (err == NULL || pipe2(ends, O_CLOEXEC) != 0)
        return node_fail("cannot run a command: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_cairn(n, args, ends[1], fileno(err));
    close(ends[1]);
    read_all(ends[0], out);
    close(ends[0]);
    int status = demo_wait(pid);
    if (status != 0)
        show_words(err);
    fclose(err);
    return status;
}

/* ---- ports ---- */

static int bind_port(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

unsigned demo_free_port(void)
{
    static unsigned next;
    if (next == 0)
        next = 20000 + (unsigned)getpid() * 7u % 20000u;
    for (unsigned i = 0; i < 2000; i++) {
        unsigned port = next;
        next = next + 2 < 60000 ? next + 2 : 20000;
        int a = bind_port(port), b = bind_port(port + 1);
        if (a >= 0)
            close(a);
        if (b >= 0)
            close(b);
        if (a >= 0 && b >= 0)
            return port;
    }
    return 0;
}

/* ---- a node ---- */

typedef struct {
    char listen[32], address[32];
    const char *args[8];
} up_line;

static void make_up_line(up_line *l, const demo_node *n, const demo_node *peer)
{
    size_t k = 0;
    snprintf(l->listen, sizeof l->listen, "127.0.0.1:%u", n->port);
    l->args[k++] = "up";
    l->args[k++] = "--detach";
    l->args[k++] = peer == NULL ? "--no-lan" : "--no-discovery";
    if (peer != NULL) {
        l->args[k++] = "--listen";
        l->args[k++] = l->listen;
    }
    if (peer != NULL && peer != n) {
        snprintf(l->address, sizeof l->address, "127.0.0.1:%u", peer->port);
        l->args[k++] = "--peer";
        l->args[k++] = l->address;
    }
    l->args[k] = NULL;
}

bool demo_up(demo_node *n, const demo_node *peer)
{
    up_line l;
    make_up_line(&l, n, peer);
    n->up = demo_run(n, NULL, l.args) == 0;
    return n->up;
}

pid_t demo_start_up(demo_node *n, const demo_node *peer)
{
    up_line l;
    make_up_line(&l, n, peer);
    pid_t pid = demo_spawn(n, l.args);
    n->up = pid > 0;
    return pid;
}

void demo_down(demo_node *n)
{
    const char *args[] = {"down", NULL};
    if (n->up)
        (void)demo_run(n, NULL, args);
    n->up = false;
}

static json_t *ask_json(const demo_node *n)
{
    const char *args[] = {"status", "--json", NULL};
    buf out;
    buf_init(&out, 8u << 20);
    json_t *j =
        demo_run(n, &out, args) == 0 ? json_loadb((const char *)out.p, out.len, 0, NULL) : NULL;
    buf_release(&out);
    return j;
}

static void copy_text(char out[65], const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    snprintf(out, 65, "%s", text != NULL ? text : "");
}

static bool has_live_peer(const json_t *j)
{
    size_t i;
    json_t *peer;
    json_array_foreach(json_object_get(j, "peers"), i, peer)
    {
        const char *state = json_string_value(json_object_get(peer, "state"));
        if (state != NULL && strcmp(state, "live") == 0)
            return true;
    }
    return false;
}

bool demo_ask(const demo_node *n, demo_state *out)
{
    json_t *j = ask_json(n);
    *out = (demo_state){0};
    if (j == NULL)
        return false;
    out->events = (uint64_t)json_integer_value(json_object_get(j, "events"));
    out->records = (uint64_t)json_integer_value(json_object_get(j, "records"));
    out->conflicts = (uint64_t)json_integer_value(json_object_get(j, "conflicts"));
    copy_text(out->frontier, j, "frontier_digest");
    copy_text(out->view, j, "view_digest");
    out->live = has_live_peer(j);
    json_decref(j);
    return out->frontier[0] != '\0';
}

pid_t demo_pid(const demo_node *n, const char *process)
{
    json_t *j = ask_json(n), *p;
    pid_t pid = 0;
    size_t i;
    json_array_foreach(json_object_get(j, "processes"), i, p)
    {
        const char *name = json_string_value(json_object_get(p, "name"));
        if (name != NULL && strcmp(name, process) == 0)
            pid = (pid_t)json_integer_value(json_object_get(p, "pid"));
    }
    json_decref(j);
    return pid;
}

bool demo_make_dir(char *out, size_t size, const char *what)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || *base != '/' || strlen(base) > size / 2)
        base = "/tmp";
    snprintf(out, size, "%s/cairn-%s-XXXXXX", base, what);
    if (mkdtemp(out) != NULL)
        return true;
    node_fail("cannot make a directory in %s: %s", base, strerror(errno));
    out[0] = '\0';
    return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

void demo_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
