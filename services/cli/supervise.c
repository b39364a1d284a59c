#include "cli/supervise.h"

#include "shell/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define DELAY_FIRST_MS 100u
#define DELAY_MAX_MS   30000u
#define STABLE_MS      10000u /* up for so long: the next failure is a new story */
#define STOP_WAIT_MS   10000u /* then SIGKILL */

const char *const supervise_names[SUPERVISE_PROCESSES] = {"store", "merge", "projection", "gossip"};

typedef enum { CHILD_WAITING, CHILD_UP, CHILD_STOPPED, CHILD_FAILED } child_state;
static const char *const state_names[] = {"waiting", "up", "stopped", "failed"};

typedef struct {
    const char *name;
    child_state state;
    pid_t pid;
    int pidfd;
    uint64_t since_ms; /* wall */
    mono_ms started, next;
    uint32_t delay_ms, restarts;
    char why[ERROR_TEXT_MAX_BYTES];
} child;

typedef struct {
    service *s;
    child children[SUPERVISE_MAX];
    size_t n;
    bool stopping;
    uint64_t since_ms;
} supervisor;

void supervise_program(char out[HOME_PATH_MAX], const char *program)
{
    char self[HOME_PATH_MAX - 64];
    const char *bin = getenv("CAIRN_BIN");
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    snprintf(out, HOME_PATH_MAX, "%s/%s", bin != NULL && *bin != '\0' ? bin : self, program);
}

static void set_state(child *k, child_state state)
{
    k->state = state;
    k->since_ms = clock_wall().ms;
}

/* ---- starting ---- */

#define ARGS_MAX 40

/* gossip takes on what was said to `cairn up` about the network. */
static size_t add_network_args(const supervisor *v, char **args, size_t n)
{
    static char listen_flag[] = "--listen", peer_flag[] = "--peer", quiet_flag[] = "--no-discovery";
    const char *value = service_opt(v->s, "listen", 0);
    if (value != NULL) {
        args[n++] = listen_flag;
        args[n++] = (char *)value;
    }
    for (size_t i = 0; (value = service_opt(v->s, "peer", i)) != NULL && n + 4 < ARGS_MAX; i++) {
        args[n++] = peer_flag;
        args[n++] = (char *)value;
    }
    if (service_opt(v->s, "no-discovery", 0) != NULL)
        args[n++] = quiet_flag;
    return n;
}

/* The bridge takes on what was said about the radio. */
static size_t add_radio_args(const supervisor *v, char **args, size_t n)
{
    static char device_flag[] = "--device", region_flag[] = "--region", preset_flag[] = "--preset",
                modem_flag[] = "--modem";
    static const struct {
        const char *option;
        char *flag;
    } passed[] = {{"radio", device_flag},
                  {"region", region_flag},
                  {"preset", preset_flag},
                  {"modem", modem_flag}};
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
        const char *value = service_opt(v->s, passed[i].option, 0);
        if (value == NULL)
            continue;
        args[n++] = passed[i].flag;
        args[n++] = (char *)value;
    }
    return n;
}

/* In the child, after fork: only what is safe there. */
static void become(const supervisor *v, const child *k)
{
    char program[HOME_PATH_MAX], name[64];
    static char home_flag[] = "--home";
    char *args[ARGS_MAX] = {program, home_flag, (char *)service_home(v->s)->path};
    size_t n = 3;
    sigset_t none;
    snprintf(name, sizeof name, "cairn-%s", k->name);
    supervise_program(program, name);
    if (strcmp(k->name, "gossip") == 0)
        n = add_network_args(v, args, n);
    if (strcmp(k->name, SUPERVISE_RADIO) == 0)
        n = add_radio_args(v, args, n);
    args[n] = NULL;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* An orphan would hold the lock against the next `cairn up`. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == 1)
        _exit(EX_TEMPFAIL);
    execv(program, args);
    _exit(127);
}

static void reap_all(service *s, void *self);

static void start_child(supervisor *v, child *k)
{
    k->pid = fork();
    if (k->pid == 0)
        become(v, k);
    k->started = clock_mono();
    if (k->pid < 0) {
        snprintf(k->why, sizeof k->why, "cannot fork: %s", strerror(errno));
        k->next.ms = k->started.ms + DELAY_MAX_MS;
        return;
    }
    k->pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
    if (k->pidfd >= 0) {
        (void)fcntl(k->pidfd, F_SETFD, FD_CLOEXEC);
        service_watch(v->s, NULL, k->pidfd, reap_all);
    }
    set_state(k, CHILD_UP);
}

/* ---- ending ---- */

/* Exit codes after which only a person can help: trying again would only fill the log. */
static bool is_hopeless(int status)
{
    return WIFEXITED(status) && (WEXITSTATUS(status) == EX_CONFIG ||
                                 WEXITSTATUS(status) == EX_USAGE || WEXITSTATUS(status) == 2 ||
                                 WEXITSTATUS(status) == EX_NOPERM || WEXITSTATUS(status) == 127);
}

static void describe(child *k, int status)
{
    if (WIFSIGNALED(status))
        snprintf(k->why, sizeof k->why, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 127)
        snprintf(k->why, sizeof k->why, "cairn-%s is not installed beside cairn", k->name);
    else if (WEXITSTATUS(status) == 0)
        snprintf(k->why, sizeof k->why, "stopped");
    else
        snprintf(k->why, sizeof k->why, "ended with exit code %d: see its log",
                 WEXITSTATUS(status));
}

static void ended(supervisor *v, child *k, int status)
{
    mono_ms now = clock_mono();
    if (k->pidfd >= 0) {
        service_unwatch(v->s, NULL, k->pidfd);
        close(k->pidfd);
        k->pidfd = -1;
    }
    k->pid = 0;
    describe(k, status);
    if (v->stopping) {
        set_state(k, CHILD_STOPPED);
        return;
    }
    if (is_hopeless(status)) {
        set_state(k, CHILD_FAILED);
        log_error("%s %s; it is not started again", k->name, k->why);
        return;
    }
    if (now.ms - k->started.ms >= STABLE_MS || k->delay_ms == 0)
        k->delay_ms = DELAY_FIRST_MS;
    else
        k->delay_ms = k->delay_ms * 2 < DELAY_MAX_MS ? k->delay_ms * 2 : DELAY_MAX_MS;
    k->next.ms = now.ms + k->delay_ms;
    k->restarts++;
    set_state(k, CHILD_WAITING);
    log_warn("%s %s; started again in %u ms", k->name, k->why, k->delay_ms);
    service_wake(v->s, k->next);
}

static void reap_all(service *s, void *self)
{
    supervisor *v = self;
    int status;
    (void)s;
    for (size_t i = 0; i < v->n; i++) {
        child *k = &v->children[i];
        if (k->pid > 0 && waitpid(k->pid, &status, WNOHANG) == k->pid)
            ended(v, k, status);
    }
}

static void supervise_tick(service *s, void *self)
{
    supervisor *v = self;
    mono_ms now = clock_mono();
    reap_all(s, self); /* also where pidfd is not to be had */
    for (size_t i = 0; i < v->n; i++) {
        child *k = &v->children[i];
        if (k->state == CHILD_WAITING && k->next.ms <= now.ms)
            start_child(v, k);
        else if (k->state == CHILD_WAITING)
            service_wake(s, k->next);
        if (k->pid > 0 && k->pidfd < 0)
            service_wake(s, (mono_ms){now.ms + 500});
    }
}

/* ---- requests ---- */

static void on_processes(service *s, void *self, const service_call *call, const void *msg)
{
    const supervisor *v = self;
    process_row rows[SUPERVISE_MAX];
    wall_ms wall = clock_wall();
    mono_ms mono = clock_mono();
    (void)msg;
    for (size_t i = 0; i < v->n; i++) {
        const child *k = &v->children[i];
        rows[i] = (process_row){.name = bytes_str(k->name),
                                .state = bytes_str(state_names[k->state]),
                                .pid = (uint32_t)k->pid,
                                .since_ms = k->since_ms,
                                .restarts = k->restarts,
                                .why = bytes_str(k->why)};
        if (k->state == CHILD_WAITING)
            rows[i].next_ms = wall.ms + (k->next.ms > mono.ms ? k->next.ms - mono.ms : 0);
    }
    processes_reply reply = {.processes = MSG_LIST_OF(rows, v->n), .since_ms = v->since_ms};
    service_reply(s, call, &reply);
}

static void on_stop(service *s, void *self, const service_call *call, const void *msg)
{
    (void)self;
    (void)msg;
    service_reply(s, call, &(ok_reply){0});
    service_quit(s, 0);
}

static const service_route routes[] = {
    {&processes_request_desc, on_processes},
    {&stop_request_desc, on_stop},
};

static const service_option options[] = {
    {"listen", "ADDR:PORT", "passed on to gossip"},
    {"peer", "HOST:PORT", "passed on to gossip; may be given several times"},
    {"no-discovery", NULL, "passed on to gossip"},
    {"radio", "DEVICE", "start the radio bridge too, with this line"},
    {"region", "REGION", "passed on to the radio bridge"},
    {"preset", "PRESET", "passed on to the radio bridge"},
    {"modem", "KIND", "passed on to the radio bridge"},
    {"no-lan", NULL, "do not start gossip: nothing listens, nothing connects"},
};

static bool wants_radio(service *s)
{
    return service_opt(s, "radio", 0) != NULL ||
           config_str(service_config(s), "radio", "device")[0] != '\0';
}

static err_t supervise_start(service *s, void **self, buf *why)
{
    supervisor *v = calloc(1, sizeof *v);
    (void)why;
    if (v == NULL)
        return ERR_NO_MEMORY;
    v->s = s;
    v->since_ms = clock_wall().ms;
    v->n = wants_radio(s) ? SUPERVISE_MAX : SUPERVISE_PROCESSES;
    for (size_t i = 0; i < v->n; i++)
        v->children[i] =
            (child){.name = i < SUPERVISE_PROCESSES ? supervise_names[i] : SUPERVISE_RADIO,
                    .pidfd = -1,
                    .since_ms = v->since_ms};
    if (service_opt(s, "no-lan", 0) != NULL) {
        child *gossip = &v->children[SUPERVISE_PROCESSES - 1];
        gossip->state = CHILD_STOPPED;
        snprintf(gossip->why, sizeof gossip->why, "not started: --no-lan");
    }
    *self = v;
    service_wake(s, clock_mono());
    return ERR_OK;
}

/* The loop has ended; each child is awaited by its pidfd. */
static void stop_child(supervisor *v, child *k)
{
    int status = 0;
    mono_ms until = {clock_mono().ms + STOP_WAIT_MS};
    if (k->pid <= 0)
        return;
    kill(k->pid, SIGTERM);
    while (waitpid(k->pid, &status, WNOHANG) == 0) {
        struct pollfd p = {.fd = k->pidfd, .events = POLLIN};
        (void)poll(&p, 1, k->pidfd >= 0 ? 1000 : 10);
        if (clock_mono().ms >= until.ms) {
            log_warn("%s does not stop: killed", k->name);
            kill(k->pid, SIGKILL);
            until.ms += STOP_WAIT_MS;
        }
    }
    v->stopping = true;
    ended(v, k, status);
}

static void supervise_stop(service *s, void *self)
{
    supervisor *v = self;
    (void)s;
    for (size_t i = v->n; i-- > 0;) /* the store last, so that nobody loses an answer */
        stop_child(v, &v->children[i]);
    free(v);
}

static bool supervise_health(void *self, buf *state)
{
    const supervisor *v = self;
    for (size_t i = 0; i < v->n; i++)
        if (v->children[i].state != CHILD_UP && v->children[i].state != CHILD_STOPPED)
            buf_addf(state, "%s%s %s", state->len > 0 ? "; " : "", v->children[i].name,
                     v->children[i].why);
    return state->len == 0;
}

const service_def supervise_def = {
    .name = "supervisor",
    .doc = "Runs the processes of a node (normally started as `cairn up`).",
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .start = supervise_start,
    .tick = supervise_tick,
    .health = supervise_health,
    .stop = supervise_stop,
};
