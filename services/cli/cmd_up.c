/* cairn up, cairn down. */
#include "cli/cmd.h"
#include "cli/node.h"
#include "cli/supervise.h"
#include "shell/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_WAIT_MS 20000u
#define STOP_WAIT_MS  45000u
#define ARGS_MAX      64

/* The supervisor reads its options like every service; `up` only passes them on. */
static int supervise(const cmdline *c, const node *n)
{
    static char name[] = "cairn-supervisor", home[] = "--home", listen[] = "--listen",
                peer[] = "--peer", quiet[] = "--no-discovery", alone[] = "--no-lan",
                radio[] = "--radio", region[] = "--region", preset[] = "--preset",
                modem[] = "--modem";
    static char *const valued[] = {listen, radio, region, preset, modem};
    char *args[ARGS_MAX] = {name, home, (char *)n->home.path};
    int k = 3;
    for (size_t i = 0; i < sizeof valued / sizeof valued[0]; i++)
        if (cmdline_get(c, valued[i] + 2) != NULL) {
            args[k++] = valued[i];
            args[k++] = (char *)cmdline_get(c, valued[i] + 2);
        }
    for (size_t i = 0; cmdline_nth(c, "peer", i) != NULL && k + 4 < ARGS_MAX; i++) {
        args[k++] = peer;
        args[k++] = (char *)cmdline_nth(c, "peer", i);
    }
    if (cmdline_has(c, "no-discovery"))
        args[k++] = quiet;
    if (cmdline_has(c, "no-lan"))
        args[k++] = alone;
    args[k] = NULL;
    return service_main(&supervise_def, k, args);
}

/* In the detached child: an own session, and the logs of all processes in one file. */
static int detached(const cmdline *c, node *n)
{
    char path[HOME_PATH_MAX];
    home_path(&n->home, path, "log");
    if (home_make_dir(path) != ERR_OK)
        return node_fail("cannot make %s", path);
    home_path(&n->home, path, "log/cairn.log");
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600), nothing = open("/dev/null", O_RDWR);
    if (log < 0 || nothing < 0)
        return node_fail("cannot write %s: %s", path, strerror(errno));
    setsid();
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(log);
    close(nothing);
    return supervise(c, n);
}

/* ---- waiting until all is well ---- */

static bool is_ready(node *n, const char *name, uint32_t wait_ms, buf *state)
{
    health_reply reply;
    err_t e = node_try_health(n, name, wait_ms, &reply);
    buf_clear(state);
    if (e == ERR_OK && reply.ready)
        return true;
    if (e == ERR_OK)
        buf_addf(state, "%s: %.*s", name, (int)reply.state.len, (const char *)reply.state.p);
    else
        buf_addf(state, "%s does not answer", name);
    return false;
}

/* Not started because nobody wanted it (--no-lan)? */
static bool is_left_out(node *n, const char *name)
{
    processes_reply reply;
    process_row row;
    if (node_try_processes(n, 500, &(processes_request){0}, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&process_row_desc, &reply.processes, &row))
        if (bytes_is(row.name, name))
            return bytes_is(row.state, "stopped");
    return false;
}

/* A process that failed for good will not become ready by waiting. */
static bool has_failed(node *n, buf *state)
{
    processes_reply reply;
    process_row row;
    if (node_try_processes(n, 500, &(processes_request){0}, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&process_row_desc, &reply.processes, &row))
        if (bytes_is(row.state, "failed")) {
            buf_clear(state);
            buf_addf(state, "%.*s %.*s", (int)row.name.len, (const char *)row.name.p,
                     (int)row.why.len, (const char *)row.why.p);
            return true;
        }
    return false;
}

bool cmd_wait_ready(node *n, uint32_t wait_ms, int (*gone)(void *ctx), void *ctx, buf *state)
{
    mono_ms until = {clock_mono().ms + wait_ms};
    for (size_t i = 0; i < SUPERVISE_PROCESSES;) {
        if (is_left_out(n, supervise_names[i]) || is_ready(n, supervise_names[i], 300, state)) {
            i++;
            continue;
        }
        if (clock_mono().ms >= until.ms || has_failed(n, state) || (gone != NULL && gone(ctx)))
            return false;
        struct timespec nap = {0,
                               20 * 1000 * 1000}; /* readiness has no event towards the outside */
        nanosleep(&nap, NULL);
    }
    return true;
}

static int child_gone(void *ctx)
{
    const pid_t *pid = ctx;
    int status;
    return waitpid(*pid, &status, WNOHANG) == *pid;
}

static void say_next_step(node *n, bool lan)
{
    peers_reply peers;
    char where[ADDRESS_MAX_BYTES + 1] = "";
    if (lan && node_try_peers(n, 2000, &(peers_request){0}, &peers) == ERR_OK)
        snprintf(where, sizeof where, "%.*s", (int)peers.listen.len, (const char *)peers.listen.p);
    fprintf(stderr, "The node in %s is up%s%s. Next: cairn invite NAME, or cairn status.\n",
            n->home.path, where[0] != '\0' ? ", members connect to " : "", where);
}

static int start_detached(const cmdline *c, node *n)
{
    buf state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return node_fail("cannot fork: %s", strerror(errno));
    if (pid == 0)
        _exit(detached(c, n));
    buf_init(&state, 1024);
    bool ready = cmd_wait_ready(n, READY_WAIT_MS, child_gone, &pid, &state);
    if (ready)
        say_next_step(n, !cmdline_has(c, "no-lan"));
    else
        node_fail("not everything came up: %.*s (see %s/log/cairn.log and cairn status)",
                  (int)state.len, state.len > 0 ? (const char *)state.p : "", n->home.path);
    buf_release(&state);
    return ready ? 0 : 1;
}

static bool is_up(node *n)
{
    processes_reply reply;
    err_t e = node_try_processes(n, 200, &(processes_request){0}, &reply);
    return e == ERR_OK || e == ERR_VERSION;
}

int cmd_up(const cmdline *c)
{
    node n;
    int status;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if ((status = cmd_radio_check(c, &n)) >= 0) {
        node_close(&n);
        return status;
    }
    if (is_up(&n)) {
        status = node_fail("the node in %s is up already (cairn status, cairn down)", n.home.path);
    } else if (cmdline_has(c, "detach")) {
        status = start_detached(c, &n);
    } else {
        fprintf(stderr,
                "Starting the node in %s; stop it with Ctrl-C. Elsewhere: cairn invite NAME, cairn "
                "status.\n",
                n.home.path);
        status = supervise(c, &n);
    }
    node_close(&n);
    return status;
}

/* The lock is free once the supervisor has gone: that is the end to wait for. */
static bool wait_gone(const node *n)
{
    char path[HOME_PATH_MAX];
    home_path(&n->home, path, "supervisor/lock");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return true;
    mono_ms until = {clock_mono().ms + STOP_WAIT_MS};
    while (flock(fd, LOCK_EX | LOCK_NB) != 0 && clock_mono().ms < until.ms) {
        struct timespec nap = {0, 10 * 1000 * 1000};
        nanosleep(&nap, NULL);
    }
    bool gone = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return gone;
}

/* A supervisor of before an update takes no request of ours, but signals. */
static bool ask_to_stop(node *n)
{
    err_t e = node_try_stop(n, SUPERVISOR_CLNT_MS, &(stop_request){0}, NULL);
    pid_t pid = e == ERR_VERSION ? node_listener(n, "supervisor") : 0;
    return e == ERR_OK || (pid > 0 && kill(pid, SIGTERM) == 0);
}

int cmd_down(const cmdline *c)
{
    node n;
    int status = 0;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    if (!ask_to_stop(&n))
        status = node_fail("the node in %s is not up", n.home.path);
    else if (!wait_gone(&n))
        status = node_fail("the node has not stopped yet: see %s/log/cairn.log", n.home.path);
    else
        fprintf(stderr, "The node in %s is down.\n", n.home.path);
    node_close(&n);
    return status;
}
