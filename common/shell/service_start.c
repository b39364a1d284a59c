/* What every process does before its loop, in the same order everywhere. */
#include "shell/service_impl.h"

#include "pure/crypto.h"
#include "shell/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include <zmq.h>

#ifndef CAIRN_VERSION
#define CAIRN_VERSION "0.1.0"
#endif

static const option_row common_options[] = {
    {"home", "DIR", "the node's directory (default: CAIRN_HOME, else the XDG state directory)"},
    {"config", "FILE", "configuration (default: HOME/cairn.conf)"},
    {"log-level", "LEVEL", "error, warn, info, debug or trace"},
    {"help", NULL, "show this and exit"},
    {"version", NULL, "show the version and exit"},
};
#define COMMON (sizeof common_options / sizeof common_options[0])

static int print_help(const service_def *def)
{
    printf("Usage: cairn-%s [OPTION]...\n%s\n\n", def->name, def->doc);
    options_print(common_options, COMMON);
    options_print(def->options, def->n_options);
    printf("\nRequests it answers:\n");
    for (size_t i = 0; i < def->n_routes; i++)
        printf("  %-24s %s\n", def->routes[i].request->name, def->routes[i].request->doc);
    printf("\nNormally `cairn up` starts and supervises all services of a node.\n");
    return 0;
}

/* Common options are kept by the skeleton, the others for service_opt. */
static int take_option(void *ctx, const char *name, const char *value)
{
    service *s = ctx;
    if (strcmp(name, "home") == 0)
        s->given_home = value;
    else if (strcmp(name, "config") == 0)
        s->given_config = value;
    else if (strcmp(name, "log-level") == 0)
        s->given_level = value;
    else if (strcmp(name, "help") == 0)
        return print_help(s->def);
    else if (strcmp(name, "version") == 0)
        return printf("cairn-%s %s\n", s->def->name, CAIRN_VERSION) < 0;
    else if (s->n_opts < SERVICE_OPTS_MAX) {
        s->opts[s->n_opts].name = name;
        s->opts[s->n_opts++].value = value != NULL ? value : "";
    }
    return -1;
}

int service_parse(service *s, int argc, char **argv)
{
    option_row rows[OPTIONS_MAX];
    char program[64];
    size_t n = s->def->n_options;
    assert(COMMON + n <= OPTIONS_MAX);
    memcpy(rows, common_options, sizeof common_options);
    if (n > 0)
        memcpy(rows + COMMON, s->def->options, n * sizeof *rows);
    snprintf(program, sizeof program, "cairn-%s", s->def->name);
    return options_parse(program, rows, COMMON + n, argc, argv, take_option, s);
}

int service_complain(const service *s, int status, const buf *why)
{
    fprintf(stderr, "cairn-%s: %.*s\n", s->def->name, (int)why->len, (const char *)why->p);
    return status;
}

static void start_log(const service *s)
{
    log_level level = LOG_INFO;
    const char *name =
        s->given_level != NULL ? s->given_level : config_str(s->config, "log", "level");
    bool json = strcmp(config_str(s->config, "log", "format"), "json") == 0;
    bool known = log_level_parse(name, &level);
    log_init(s->def->name, level, json);
    if (!known)
        log_warn("unknown log level %s: using info", name);
}

static int load_with(service *s, buf *why)
{
    char path[HOME_PATH_MAX];
    if (crypto_start() != ERR_OK) {
        buf_add_str(why, "libsodium cannot start: no randomness on this machine");
        return service_complain(s, EX_UNAVAILABLE, why);
    }
    if (home_open(&s->home, s->given_home, why) != ERR_OK)
        return service_complain(s, EX_NOPERM, why);
    home_path(&s->home, path, "cairn.conf");
    s->config = config_load(s->given_config != NULL ? s->given_config : path, why);
    if (s->config == NULL)
        return service_complain(s, EX_CONFIG, why);
    start_log(s);
    int status = EX_SOFTWARE;
    if (s->def->before != NULL && s->def->before(s, &status))
        return status;
    if (config_bool(s->config, "camp", "containers"))
        return service_enrol(s, why);
    if (!s->home.has_dataset) {
        buf_addf(why, "there is no dataset in %s: run `cairn init` or `cairn join` first",
                 s->home.path);
        return service_complain(s, EX_CONFIG, why);
    }
    return -1;
}

int service_load(service *s)
{
    buf why;
    buf_init(&why, 1024);
    int status = load_with(s, &why);
    buf_release(&why);
    return status;
}

/* A second copy would steal the ipc path from a live one (libzmq unlinks it), so the lock comes
 * first. */
err_t service_take_lock(service *s, buf *why)
{
    char path[HOME_PATH_MAX + 16];
    if (s->lock_fd >= 0)
        return ERR_OK;
    snprintf(path, sizeof path, "%s/lock", service_dir(s));
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        buf_addf(why, "cannot open %s: %s", path, strerror(errno));
        return ERR_FORBIDDEN;
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        buf_addf(why, "another cairn-%s is running on %s", s->def->name, s->home.path);
        return ERR_LOCKED;
    }
    return ERR_OK;
}

static void drop_privileges(const service *s)
{
    struct rlimit none = {0, 0};
    umask(0077);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!s->def->keeps_secrets)
        return;
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker traces its own process */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

err_t service_open_signals(service *s)
{
    sigset_t set;
    if (s->signal_fd >= 0)
        return ERR_OK;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    /* Blocked before libzmq starts its threads, which inherit the mask: only the loop sees them. */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_IO;
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 ? ERR_OK : ERR_IO;
}

static err_t bind_one(service *s, void **socket, int type, const char *kind, buf *why)
{
    char endpoint[128];
    home_endpoint(&s->home, endpoint, s->def->name, kind);
    *socket = bus_socket(&s->bus, type);
    if (*socket != NULL && zmq_bind(*socket, endpoint) == 0)
        return ERR_OK;
    buf_addf(why, "cannot listen on %s: %s", endpoint, zmq_strerror(errno));
    return ERR_IO;
}

static int open_with(service *s, buf *why)
{
    drop_privileges(s);
    if (service_open_signals(s) != ERR_OK) {
        buf_add_str(why, "cannot watch for signals");
        return service_complain(s, EX_OSERR, why);
    }
    err_t e = home_make_dir(service_dir(s));
    if (e != ERR_OK) {
        buf_addf(why, "cannot make %s: %s", service_dir(s), err_text(e));
        return service_complain(s, EX_CANTCREAT, why);
    }
    e = service_take_lock(s, why);
    if (e != ERR_OK)
        return service_complain(s, e == ERR_LOCKED ? EX_TEMPFAIL : EX_NOPERM, why);
    if (bus_init(&s->bus, &s->home.dataset) != ERR_OK ||
        bind_one(s, &s->router, ZMQ_ROUTER, "sock", why) != ERR_OK ||
        bind_one(s, &s->publisher, ZMQ_PUB, "pub", why) != ERR_OK)
        return service_complain(s, EX_UNAVAILABLE, why);
    bus_outbox_init(&s->outbox, &s->bus, s->router);
    e = s->def->start(s, &s->self, why);
    if (e != ERR_OK)
        return service_complain(s, err_is_transient(e) ? EX_TEMPFAIL : EX_UNAVAILABLE, why);
    return -1;
}

int service_open(service *s)
{
    buf why;
    buf_init(&why, 1024);
    int status = open_with(s, &why);
    buf_release(&why);
    return status;
}

void service_free_clients(service *s)
{
    for (size_t i = 0; i < s->n_clients; i++)
        clnt_free(s->clients[i]);
    s->n_clients = 0;
}

/* The lock is still held, so these paths are ours; the directory goes with the last of the node's services. */
static void remove_endpoints(const service *s)
{
    static const char *const kinds[] = {"sock", "pub"};
    char endpoint[128];
    if (s->lock_fd < 0 || s->router == NULL)
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        home_endpoint(&s->home, endpoint, s->def->name, kinds[i]);
        unlink(endpoint + strlen("ipc://"));
    }
    if (getenv("CAIRN_RUN") == NULL)
        rmdir(s->home.run);
}

void service_close(service *s)
{
    service_free_clients(s);
    for (size_t i = 0; i < s->n_bells; i++)
        bus_close(s->bells[i].socket);
    bus_outbox_release(&s->outbox);
    bus_close(s->router);
    bus_close(s->publisher);
    bus_release(&s->bus);
    remove_endpoints(s);
    config_free(s->config);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}
