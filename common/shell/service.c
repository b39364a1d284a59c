#include "shell/service_impl.h"

#include "shell/clock.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#define TURN_MAX           256u /* messages per socket and turn, so that no client starves the others */
#define MESSAGE_STRUCT_MAX 1024u
#define IDLE_MS            60000u
#define KEEP_FREE_BYTES    (16 << 20) /* of heap, while there is work */
#define TRIM_MS            5000u /* after work began: then what is free goes back to the system */

#ifndef CAIRN_VERSION
#define CAIRN_VERSION "0.1.0"
#endif

bus *service_bus(service *s)
{
    return &s->bus;
}

const cairn_home *service_home(const service *s)
{
    return &s->home;
}

const config *service_config(const service *s)
{
    return s->config;
}

const char *service_opt(const service *s, const char *name, size_t i)
{
    for (size_t k = 0; k < s->n_opts; k++)
        if (strcmp(s->opts[k].name, name) == 0 && i-- == 0)
            return s->opts[k].value;
    return NULL;
}

const char *service_dir(const service *s)
{
    service *writable = (service *)s; /* computed once; the caller sees no change */
    if (s->dir[0] == '\0')
        home_path(&s->home, writable->dir, s->def->name);
    return s->dir;
}

/* ---- answers ---- */

bool service_same_call(const service_call *a, const service_call *b)
{
    return a->request == b->request && a->route.len == b->route.len &&
           memcmp(a->route.b, b->route.b, a->route.len) == 0;
}

static void send_reply(service *s, const service_call *call, const msg_desc *desc, const void *msg)
{
    err_t e = bus_post(&s->outbox, &call->route, desc, call->request, msg);
    if (e != ERR_OK)
        log_error("cannot answer %s with %s: %s", call->desc != NULL ? call->desc->name : "?",
                  desc->name, err_text(e));
    if (e == ERR_OUT_OF_RANGE || e == ERR_TOO_LARGE)
        service_fail(s, call, ERR_BUG, NULL);
}

void service_reply(service *s, const service_call *call, const void *msg)
{
    send_reply(s, call, call->desc->reply, msg);
}

void service_fail(service *s, const service_call *call, err_t e, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX_BYTES];
    if (fmt == NULL) {
        snprintf(text, sizeof text, "%s", err_text(e));
    } else {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
    }
    bytes words = bytes_str(text);
    while (words.len > 0 && !utf8_valid(words)) /* cut in the middle of a character */
        words.len--;
    error_reply reply = {.code = (uint16_t)e, .text = words};
    send_reply(s, call, &error_reply_desc, &reply);
}

void service_ring(service *s, uint64_t head)
{
    s->ring = (doorbell){.head = head};
    s->rings = true;
}

/* Everything that is to leave in this turn, answers before the doorbell. */
static void send_all(service *s)
{
    err_t e = bus_flush(&s->outbox);
    /* A client that has gone is its own affair; anything else must be seen. */
    if (e != ERR_OK && e != ERR_UNREACHABLE)
        log_error("answers are lost: %s", err_text(e));
    if (s->rings)
        (void)!bus_send(&s->bus, s->publisher, NULL, &doorbell_desc, 0,
                        &s->ring); /* may be lost by contract */
    s->rings = false;
}

void service_count(service *s, size_t counter, uint64_t add)
{
    assert(counter < s->def->n_counters && counter < SERVICE_COUNTERS_MAX);
    s->counters[counter] += add;
}

void service_wake(service *s, mono_ms at)
{
    if (s->wake.ms == 0 || at.ms < s->wake.ms)
        s->wake = at;
}

void service_quit(service *s, int status)
{
    s->quit = true;
    s->status = status;
}

/* ---- neighbours ---- */

clnt *service_client(service *s, const char *name)
{
    char endpoint[128];
    assert(s->n_clients < SERVICE_CLIENTS_MAX);
    home_endpoint(&s->home, endpoint, name, "sock");
    clnt *c = clnt_new(&s->bus, name, endpoint);
    if (c != NULL)
        s->clients[s->n_clients++] = c;
    return c;
}

void service_listen(service *s, const char *name, void (*rung)(void *self, uint64_t head))
{
    char endpoint[128];
    assert(s->n_bells < SERVICE_CLIENTS_MAX);
    home_endpoint(&s->home, endpoint, name, "pub");
    void *sub = bus_socket(&s->bus, ZMQ_SUB);
    if (sub == NULL || zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0) != 0 ||
        zmq_connect(sub, endpoint) != 0) {
        bus_close(sub);
        return; /* only latency is lost: everybody polls too */
    }
    s->bells[s->n_bells++] = (service_bell){sub, rung};
}

void service_watch(service *s, void *socket, int fd, void (*ready)(service *s, void *self))
{
    assert(s->n_watches < SERVICE_WATCHES_MAX);
    s->watches[s->n_watches++] = (service_watch_row){socket, fd, ready};
}

void service_unwatch(service *s, void *socket, int fd)
{
    for (size_t i = 0; i < s->n_watches; i++)
        if (s->watches[i].socket == socket && (socket != NULL || s->watches[i].fd == fd)) {
            s->watches[i] = s->watches[--s->n_watches];
            return;
        }
}

/* ---- requests every service answers ---- */

static void on_health(service *s, void *self, const service_call *call, const void *msg)
{
    buf state;
    (void)msg;
    buf_init(&state, ERROR_TEXT_MAX_BYTES);
    health_reply reply = {.service = bytes_str(s->def->name),
                          .version = bytes_str(CAIRN_VERSION),
                          .pid = (uint32_t)getpid(),
                          .since_ms = s->since.ms,
                          .ready = s->def->health(self, &state)};
    reply.state = buf_view(&state);
    service_reply(s, call, &reply);
    buf_release(&state);
}

static void on_counters(service *s, void *self, const service_call *call, const void *msg)
{
    counter_row rows[SERVICE_COUNTERS_MAX] = {0};
    (void)self;
    (void)msg;
    for (size_t i = 0; i < s->def->n_counters; i++)
        rows[i] = (counter_row){.name = bytes_str(s->def->counters[i]), .value = s->counters[i]};
    counters_reply reply = {.counters = MSG_LIST_OF(rows, s->def->n_counters)};
    service_reply(s, call, &reply);
}

static void on_log_level(service *s, void *self, const service_call *call, const void *msg)
{
    const log_level_request *m = msg;
    (void)self;
    log_set_level((log_level)m->level);
    service_reply(s, call, &(ok_reply){0});
}

static const service_route common_routes[] = {
    {&health_request_desc, on_health},
    {&counters_request_desc, on_counters},
    {&log_level_request_desc, on_log_level},
};

static const service_route *find_route(const service_route *rows, size_t n, uint16_t type)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].request->id == type)
            return &rows[i];
    return NULL;
}

static void dispatch(service *s, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t msg[MESSAGE_STRUCT_MAX];
    service_call call = {f->route, f->envelope.request, NULL};
    if (f->envelope.version != PROTO_VERSION) {
        service_fail(s, &call, ERR_VERSION,
                     "the running %s speaks protocol %u, not %u: after an update, cairn down and "
                     "cairn up",
                     s->def->name, PROTO_VERSION, f->envelope.version);
        return;
    }
    if (memcmp(f->envelope.dataset.b, s->bus.dataset.b, sizeof s->bus.dataset.b) != 0) {
        service_fail(s, &call, ERR_DATASET, NULL);
        return;
    }
    const service_route *r = find_route(s->def->routes, s->def->n_routes, f->envelope.type);
    if (r == NULL)
        r = find_route(common_routes, sizeof common_routes / sizeof common_routes[0],
                       f->envelope.type);
    if (r == NULL) {
        service_fail(s, &call, ERR_UNKNOWN_TYPE, "%s does not answer messages of type 0x%04x",
                     s->def->name, f->envelope.type);
        return;
    }
    const char *bad = NULL;
    assert(r->request->size <= sizeof msg);
    call.desc = r->request;
    err_t e = msg_decode(r->request, f->body, msg, &bad);
    if (e != ERR_OK)
        service_fail(s, &call, e, "%s, field %s: %s", r->request->name, bad != NULL ? bad : "?",
                     err_text(e));
    else
        r->handle(s, s->self, &call, msg);
}

/* ---- memory ---- */

/* A run or an answer is some 100 KiB. glibc would map and unmap each one, and the kernel clear its pages: a third of the
 * time of a process that passes them on. */
static void keep_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 1); /* what one thread frees, the other takes */
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_FREE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_FREE_BYTES);
}

static void trim_if_due(service *s)
{
    if (s->trim.ms == 0 || clock_mono().ms < s->trim.ms)
        return;
    s->trim.ms = 0;
    (void)malloc_trim(0);
}

/* ---- the loop ---- */

static bool serve_requests(service *s)
{
    bus_frame f;
    unsigned n = 0;
    mono_ms sent = clock_mono();
    while (n < TURN_MAX) {
        err_t e = bus_recv(s->router, true, &f);
        if (e == ERR_NOT_FOUND)
            return false;
        n++;
        if (e != ERR_OK)
            continue; /* only our own user can reach this socket; garbage is dropped */
        do
            dispatch(s, &f);
        while (bus_next(&f) && ++n != 0);
        bus_frame_release(&f);
        if (clock_mono().ms != sent.ms) { /* quick answers do not wait for slow ones */
            send_all(s);
            sent = clock_mono();
        }
    }
    return true;
}

static void hear_bell(service *s, const service_bell *from)
{
    bus_frame f;
    uint64_t head = 0;
    bool any = false;
    err_t e;
    while ((e = bus_recv(from->socket, false, &f)) != ERR_NOT_FOUND) {
        doorbell bell;
        if (e == ERR_OK && msg_decode(&doorbell_desc, f.body, &bell, NULL) == ERR_OK) {
            head = bell.head;
            any = true;
        }
        if (e == ERR_OK)
            bus_frame_release(&f);
    }
    if (any)
        from->rung(s->self, head);
}

static void take_signals(service *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            continue; /* the terminal closed: a supervised service stays */
        log_info("stopping on signal %u", info.ssi_signo);
        service_quit(s, 0);
    }
}

/* Sends what clients hold, and finds out when the first of them wants to be pumped. */
static uint64_t flush_clients(service *s, uint64_t until_ms)
{
    for (size_t i = 0; i < s->n_clients; i++) {
        clnt_flush(s->clients[i]);
        uint64_t due = clnt_due(s->clients[i]).ms;
        until_ms = due < until_ms ? due : until_ms;
    }
    return until_ms;
}

enum { ITEM_SIGNALS, ITEM_ROUTER, ITEM_CLIENTS };

static size_t fill_poll(const service *s, zmq_pollitem_t *items)
{
    size_t n = ITEM_CLIENTS;
    items[ITEM_SIGNALS] = (zmq_pollitem_t){.fd = s->signal_fd, .events = ZMQ_POLLIN};
    items[ITEM_ROUTER] = (zmq_pollitem_t){.socket = s->router, .events = ZMQ_POLLIN};
    for (size_t i = 0; i < s->n_clients; i++)
        items[n++] = (zmq_pollitem_t){.socket = clnt_socket(s->clients[i]), .events = ZMQ_POLLIN};
    for (size_t i = 0; i < s->n_bells; i++)
        items[n++] = (zmq_pollitem_t){.socket = s->bells[i].socket, .events = ZMQ_POLLIN};
    for (size_t i = 0; i < s->n_watches; i++)
        items[n++] = (zmq_pollitem_t){
            .socket = s->watches[i].socket, .fd = s->watches[i].fd, .events = ZMQ_POLLIN};
    return n;
}

/* The table may change while callbacks run, so the ready ones are looked up again by identity. */
static void call_watches(service *s, const zmq_pollitem_t *items, size_t first, size_t n)
{
    for (size_t i = first; i < n; i++) {
        if (items[i].revents == 0)
            continue;
        for (size_t k = 0; k < s->n_watches; k++)
            if (s->watches[k].socket == items[i].socket && s->watches[k].fd == items[i].fd) {
                s->watches[k].ready(s, s->self);
                break;
            }
    }
}

/* A socket is looked at only when it is ready or due: asking one that is not costs a system call or two. */
static void serve_ready(service *s, const zmq_pollitem_t *items, size_t n)
{
    size_t n_clients = s->n_clients, n_bells = s->n_bells; /* callbacks may add some */
    size_t bells = ITEM_CLIENTS + n_clients;
    mono_ms now = clock_mono();
    if (items[ITEM_SIGNALS].revents != 0)
        take_signals(s);
    for (size_t i = 0; i < n_clients; i++)
        if (items[ITEM_CLIENTS + i].revents != 0 || clnt_due(s->clients[i]).ms <= now.ms)
            (void)clnt_pump(s->clients[i]);
    for (size_t i = 0; i < n_bells; i++)
        if (items[bells + i].revents != 0)
            hear_bell(s, &s->bells[i]);
    call_watches(s, items, bells + n_bells, n);
}

/* False when no request waits. */
static bool wait_and_serve(service *s, bool more)
{
    zmq_pollitem_t items[2 + 2 * SERVICE_CLIENTS_MAX + SERVICE_WATCHES_MAX];
    mono_ms now = clock_mono();
    uint64_t until = flush_clients(s, now.ms + IDLE_MS);
    if (s->wake.ms != 0 && s->wake.ms < until)
        until = s->wake.ms;
    if (s->trim.ms != 0 && s->trim.ms < until)
        until = s->trim.ms;
    size_t n = fill_poll(s, items);
    long wait = more || until <= now.ms ? 0 : (long)(until - now.ms);
    int rc = zmq_poll(items, (int)n, wait);
    if (rc > 0 && s->trim.ms == 0)
        s->trim.ms = now.ms + TRIM_MS;
    if (rc > 0 || (rc == 0 && until <= clock_mono().ms))
        serve_ready(s, items, n);
    else if (rc < 0 && errno != EINTR)
        log_error("poll: %s", zmq_strerror(errno));
    return rc > 0 && items[ITEM_ROUTER].revents != 0;
}

static void tick_if_due(service *s)
{
    if (s->wake.ms == 0 || clock_mono().ms < s->wake.ms)
        return;
    s->wake.ms = 0;
    if (s->def->tick != NULL)
        s->def->tick(s, s->self);
}

static void loop(service *s)
{
    bool more = false;
    while (!s->quit) {
        more = wait_and_serve(s, more) && serve_requests(s);
        tick_if_due(s);
        trim_if_due(s);
        if (s->def->turn != NULL)
            s->def->turn(s, s->self);
        send_all(s);
    }
}

int service_main(const service_def *def, int argc, char **argv)
{
    service *s = calloc(1, sizeof *s);
    if (s == NULL)
        return 71;
    s->def = def;
    s->lock_fd = s->signal_fd = -1;
    s->since = clock_wall();
    keep_memory();
    int status = service_parse(s, argc, argv);
    if (status < 0)
        status = service_load(s);
    if (status < 0)
        status = service_open(s);
    if (status < 0) {
        log_info("cairn-%s %s runs on %s", def->name, CAIRN_VERSION, s->home.path);
        loop(s);
        service_free_clients(s);
        def->stop(s, s->self);
        send_all(s);
        status = s->status;
        log_info("stopped");
    }
    service_close(s);
    free(s);
    return status;
}
