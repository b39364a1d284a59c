/* The skeleton every Cairn process is made of. A service is a table; the skeleton does the rest the
 * same way everywhere: options, config, home, the lock against a second copy, sockets, privileges,
 * a bounded loop, signals, health, counters, log level. main() is one call of service_main with
 * that table. */
#ifndef CAIRN_SERVICE_H
#define CAIRN_SERVICE_H

#include "shell/bus.h"
#include "shell/clnt.h"
#include "shell/config.h"
#include "shell/home.h"
#include "shell/log.h"
#include "shell/options.h"

typedef struct service service;

/* A request that waits for its answer: answer exactly once, now or later. Copy it to keep it. */
typedef struct {
    bus_route route;
    uint64_t request;
    const msg_desc *desc; /* of the request */
} service_call;

/* `msg` is the decoded struct and borrows the frame for the length of the call. */
typedef void service_handler(service *s, void *self, const service_call *call, const void *msg);

typedef struct {
    const msg_desc *request;
    service_handler *handle;
} service_route;

/* An option of one service beside the common ones. */
typedef option_row service_option;

typedef struct {
    const char *name; /* "store" */
    const char *doc;  /* one line for --help */
    const service_route *routes;
    size_t n_routes;
    const service_option *options;
    size_t n_options;
    const char *const *counters; /* names; service_count takes the index */
    size_t n_counters;
    bool keeps_secrets; /* no core dumps, not traceable */
    /* Runs instead of the loop when it returns true (say, --init): the exit code goes into *status.
     * May be NULL. Comes before the dataset is looked for. */
    bool (*before)(service *s, int *status);
    /* In a camp of containers (shell/camp.h), while there is no dataset: called at the start and whenever something new
     * lies in the run directory, until an id stands in RUN/dataset. May be NULL: then it only waits. */
    err_t (*enrol)(service *s, buf *why);
    /* Opens what it owns; *self goes to every other hook. On failure the process exits with the
     * words in `why`. */
    err_t (*start)(service *s, void **self, buf *why);
    /* After each bounded batch of requests and events: do together what waited (group commit). May
     * be NULL. */
    void (*turn)(service *s, void *self);
    /* At or after service_wake's time. May be NULL. */
    void (*tick)(service *s, void *self);
    /* Ready or not, and why not in words (appended to `state`; also a complaint while ready). */
    bool (*health)(void *self, buf *state);
    void (*stop)(service *s, void *self);
} service_def;

/* Returns the exit code: 0 stopped by signal, 2 wrong usage, 69 unavailable, 73 cannot create, 75
 * try later (second copy), 77 not allowed, 78 bad config or no dataset. */
int service_main(const service_def *def, int argc, char **argv);

/* ---- for handlers ---- */
bus *service_bus(service *s);
const cairn_home *service_home(const service *s);
const config *service_config(const service *s);
/* Value of an own option, NULL when absent; "" for a switch that is set. The i-th of several. */
const char *service_opt(const service *s, const char *name, size_t i);
/* HOME/<service>, made on first use. */
const char *service_dir(const service *s);

/* One request, perhaps come again because no answer has. */
bool service_same_call(const service_call *a, const service_call *b);
/* Answers leave together at the end of the turn. */
void service_reply(service *s, const service_call *call, const void *msg);
/* The words are those of `e` when fmt is NULL. */
void service_fail(service *s, const service_call *call, err_t e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Publishes the doorbell at the end of the turn, after the answers; of several the last. */
void service_ring(service *s, uint64_t head);
/* A client of a neighbour that is pumped by the loop; owned by the service. */
clnt *service_client(service *s, const char *name);
/* Calls `rung` at each doorbell of a neighbour. */
void service_listen(service *s, const char *name, void (*rung)(void *self, uint64_t head));
/* Calls `ready` when the ZeroMQ socket or (with socket NULL) the fd is readable. service_unwatch by
 * the same pair. */
void service_watch(service *s, void *socket, int fd, void (*ready)(service *s, void *self));
void service_unwatch(service *s, void *socket, int fd);
/* Wants tick() at that time; the earliest wish wins and is forgotten once it has come. */
void service_wake(service *s, mono_ms at);
void service_count(service *s, size_t counter, uint64_t add);
/* Ends the loop as a signal would; for conditions after which only a restart helps. */
void service_quit(service *s, int status);

#endif
