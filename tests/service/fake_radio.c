#include "tests/service/fake_radio.h"

#include "shell/bus.h"
#include "shell/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define ROWS_MAX 256u
#define KEYS_MAX 4u
#define WAIT_S   30
#define IDLE_MS  50u /* the bridge asks again after so long */

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "fake radio, line %d: %s\n", __LINE__, #what);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fake_radio {
    bus bus;
    void *gossip, *merge;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    int wake;
    bool quit;
    member_no self;
    radio_key_row keys[KEYS_MAX];
    uint8_t key_bytes[KEYS_MAX][32];
    uint32_t n_keys;
    uint8_t kind, plain[RADIO_PLAIN_MAX_BYTES];
    size_t plain_len;
    unsigned times;
    uint64_t ticket;
    fake_heard heard[ROWS_MAX];
    radio_sent_request sent[ROWS_MAX];
    size_t n_heard, n_sent;
};

typedef union {
    radio_keys_reply keys;
    radio_next_reply next;
    ok_reply ok;
} any_reply;

/* ---- answers ---- */

static void on_keys(fake_radio *f, const void *msg, any_reply *out)
{
    (void)msg;
    out->keys = (radio_keys_reply){.self = f->self, .keys = MSG_LIST_OF(f->keys, f->n_keys)};
}

static void on_next(fake_radio *f, const void *msg, any_reply *out)
{
    const radio_next_request *in = msg;
    out->next = (radio_next_reply){.next_ms = IDLE_MS};
    if (f->times == 0)
        return;
    f->times--;
    size_t len = f->plain_len < in->max_bytes ? f->plain_len : in->max_bytes;
    out->next = (radio_next_reply){
        .ticket = ++f->ticket, .kind = f->kind, .plain = bytes_of(f->plain, len), .urgent = true};
}

static void on_sent(fake_radio *f, const void *msg, any_reply *out)
{
    (void)out;
    MUST(f->n_sent < ROWS_MAX);
    f->sent[f->n_sent++] = *(const radio_sent_request *)msg;
}

static void on_heard(fake_radio *f, const void *msg, any_reply *out)
{
    (void)out;
    MUST(f->n_heard < ROWS_MAX);
    fake_heard *h = &f->heard[f->n_heard++];
    h->m = *(const radio_heard_request *)msg;
    h->len = h->m.plain.len;
    memcpy(h->plain, h->m.plain.p, h->len);
    h->m.plain = bytes_of(NULL, 0);
}

static const struct {
    const msg_desc *request;
    void (*answer)(fake_radio *, const void *, any_reply *);
} table[] = {
    {&radio_keys_request_desc, on_keys},
    {&radio_next_request_desc, on_next},
    {&radio_sent_request_desc, on_sent},
    {&radio_heard_request_desc, on_heard},
};

static void handle(fake_radio *f, void *socket, const bus_frame *in)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    any_reply out = {0};
    const msg_desc *desc = msg_by_id(in->envelope.type);
    MUST(desc != NULL && desc->size <= sizeof msg && msg_decode(desc, in->body, msg, NULL) == 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].request == desc)
            table[i].answer(f, msg, &out);
    err_t sent = bus_send(&f->bus, socket, &in->route, desc->reply, in->envelope.request, &out);
    (void)sent; /* whoever was killed does not hear it */
    pthread_cond_broadcast(&f->changed);
}

static void serve(fake_radio *f, void *socket)
{
    bus_frame in;
    err_t e;
    while ((e = bus_recv(socket, true, &in)) != ERR_NOT_FOUND)
        if (e == ERR_OK) {
            do
                handle(f, socket, &in);
            while (bus_next(&in));
            bus_frame_release(&in);
        }
}

static void *run_thread(void *arg)
{
    fake_radio *f = arg;
    for (bool quit = false; !quit;) {
        zmq_pollitem_t items[] = {{.fd = f->wake, .events = ZMQ_POLLIN},
                                  {.socket = f->gossip, .events = ZMQ_POLLIN},
                                  {.socket = f->merge, .events = ZMQ_POLLIN}};
        zmq_poll(items, 3, 60000);
        pthread_mutex_lock(&f->lock);
        serve(f, f->gossip);
        serve(f, f->merge);
        quit = f->quit;
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

/* ---- for the test ---- */

static void *bind_as(fake_radio *f, const cairn_home *home, const char *service)
{
    char endpoint[128];
    void *socket = bus_socket(&f->bus, ZMQ_ROUTER);
    home_endpoint(home, endpoint, service, "sock");
    MUST(socket != NULL && zmq_bind(socket, endpoint) == 0);
    return socket;
}

fake_radio *fake_radio_new(const cairn_home *home, member_no self)
{
    fake_radio *f = calloc(1, sizeof *f);
    MUST(f != NULL && bus_init(&f->bus, &home->dataset) == ERR_OK);
    f->self = self;
    f->gossip = bind_as(f, home, "gossip");
    f->merge = bind_as(f, home, "merge");
    f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    MUST(pthread_create(&f->thread, NULL, run_thread, f) == 0);
    return f;
}

void fake_radio_free(fake_radio **at)
{
    fake_radio *f = *at;
    uint64_t one = 1;
    *at = NULL;
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_mutex_unlock(&f->lock);
    MUST(write(f->wake, &one, sizeof one) == (ssize_t)sizeof one);
    pthread_join(f->thread, NULL);
    bus_close(f->gossip);
    bus_close(f->merge);
    bus_release(&f->bus);
    close(f->wake);
    free(f);
}

void fake_radio_key(fake_radio *f, uint8_t epoch, uint8_t fill, uint64_t since_ms)
{
    pthread_mutex_lock(&f->lock);
    MUST(f->n_keys < KEYS_MAX);
    memset(f->key_bytes[f->n_keys], fill, 32);
    f->keys[f->n_keys] = (radio_key_row){
        .epoch = epoch, .key = bytes_of(f->key_bytes[f->n_keys], 32), .since_ms = since_ms};
    f->n_keys++;
    pthread_mutex_unlock(&f->lock);
}

void fake_radio_say(fake_radio *f, uint8_t kind, uint8_t fill, size_t len, unsigned times)
{
    pthread_mutex_lock(&f->lock);
    MUST(len <= sizeof f->plain);
    f->kind = kind;
    memset(f->plain, fill, len);
    f->plain_len = len;
    f->times = times;
    pthread_mutex_unlock(&f->lock);
}

static void await_number(fake_radio *f, const size_t *count, size_t number)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    while (*count < number)
        MUST(pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0);
}

void fake_radio_heard(fake_radio *f, size_t number, fake_heard *out)
{
    pthread_mutex_lock(&f->lock);
    await_number(f, &f->n_heard, number);
    *out = f->heard[number - 1];
    pthread_mutex_unlock(&f->lock);
}

void fake_radio_sent(fake_radio *f, size_t number, radio_sent_request *out)
{
    pthread_mutex_lock(&f->lock);
    await_number(f, &f->n_sent, number);
    *out = f->sent[number - 1];
    pthread_mutex_unlock(&f->lock);
}

size_t fake_radio_heard_count(fake_radio *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_heard;
    pthread_mutex_unlock(&f->lock);
    return n;
}

size_t fake_radio_sent_count(fake_radio *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_sent;
    pthread_mutex_unlock(&f->lock);
    return n;
}
