/* Shared by service.c (the loop) and service_start.c (everything before it); for nobody else. */
#ifndef CAIRN_SERVICE_IMPL_H
#define CAIRN_SERVICE_IMPL_H

#include "shell/service.h"

#define SERVICE_OPTS_MAX     32
#define SERVICE_WATCHES_MAX  160
#define SERVICE_CLIENTS_MAX  8
#define SERVICE_COUNTERS_MAX 64

typedef struct {
    void *socket;
    int fd;
    void (*ready)(service *s, void *self);
} service_watch_row;

typedef struct {
    void *socket; /* SUB */
    void (*rung)(void *self, uint64_t head);
} service_bell;

struct service {
    const service_def *def;
    void *self;
    cairn_home home;
    config *config;
    bus bus;
    void *router, *publisher;
    bus_outbox outbox; /* of the router */
    doorbell ring;     /* with `rings`: to be published at the end of the turn */
    bool rings;
    int lock_fd, signal_fd;
    char dir[HOME_PATH_MAX];
    struct {
        const char *name, *value;
    } opts[SERVICE_OPTS_MAX];
    size_t n_opts;
    const char *given_home, *given_config, *given_level;
    service_watch_row watches[SERVICE_WATCHES_MAX];
    size_t n_watches;
    clnt *clients[SERVICE_CLIENTS_MAX];
    size_t n_clients;
    service_bell bells[SERVICE_CLIENTS_MAX];
    size_t n_bells;
    uint64_t counters[SERVICE_COUNTERS_MAX];
    mono_ms wake, trim; /* trim: when free memory is given back, 0 when there was no work since */
    wall_ms since;
    bool quit;
    int status;
};

/* Reads the options. Returns -1 to go on, else the exit code (--help, --version, wrong usage). */
int service_parse(service *s, int argc, char **argv);
/* Home, config, log. -1 to go on. */
int service_load(service *s);
/* Says why the process ends; returns `status`. */
int service_complain(const service *s, int status, const buf *why);
/* Once. SIGTERM, SIGINT and SIGHUP come through signal_fd from then on. */
err_t service_open_signals(service *s) CAIRN_CHECK;
/* Once. ERR_LOCKED: another copy runs. */
err_t service_take_lock(service *s, buf *why) CAIRN_CHECK;
/* camp.c: waits until the camp has a dataset, and makes it this service's. -1 to go on. */
int service_enrol(service *s, buf *why);
/* Signals, lock, directories, sockets, privileges. -1 to go on. */
int service_open(service *s);
/* Calls that still wait end with ERR_STOPPING, so it comes before stop() frees what their callbacks
 * use. */
void service_free_clients(service *s);
void service_close(service *s);

#endif
