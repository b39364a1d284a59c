#include "tests/service/fake_store.h"

#include "proto/row.h"
#include "pure/chain.h"
#include "pure/roster_event.h"
#include "shell/bus.h"
#include "shell/clock.h"
#include "store/store_core.h"
#include "store/store_mem.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define POLLS_MAX 64u
#define TYPES_MAX 0x200u
#define START_MS  1767225600000ull

/* Runs on a thread too, where Criterion cannot fail a test. */
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "fake store, line %d: %s\n", __LINE__, #what);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    feed_id feed;
    uint64_t seq, offset;
    event_id id;
} written;

typedef struct {
    bus_route route;
    uint64_t request;
    fetch_request req;
    mono_ms deadline;
} long_poll;

struct fake_store {
    char endpoint[128], doorbell[128];
    bus bus;
    void *router, *publisher;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below, and of the core */
    int wake;             /* eventfd */
    bool quit, open, in_group;
    store_core *core;
    long_poll polls[POLLS_MAX];
    size_t n_polls;
    written *events;
    uint32_t n_events, room;
    uint64_t newest_ms, told, asked[TYPES_MAX];
};

/* ---- the core ---- */

static void make_core(fake_store *s)
{
    store_kv *kv = store_mem_new();
    store_opening how = {.random_epoch = random_u64() | 1, .random_incarnation = 4};
    MUST(kv != NULL);
    MUST(store_open(&s->core, kv, &how) == ERR_OK);
}

/* ---- answering ---- */

typedef union {
    store_hello_reply hello;
    rows_reply rows;
    scan_reply scan;
    tips_reply tips;
    run_reply run;
    locate_reply locate;
    idem_reply idem;
    damage_reply damage;
    ok_reply ok;
    append_reply append;
} any_reply;

static err_t in_group(fake_store *s, err_t e)
{
    err_t c = store_commit(s->core);
    return e != ERR_OK ? e : c;
}

static err_t serve(fake_store *s, uint16_t type, const void *req, any_reply *out)
{
    if (type == store_hello_request_desc.id)
        return store_hello(s->core, &out->hello);
    if (type == read_feed_request_desc.id)
        return store_read_feed(s->core, req, &out->rows);
    if (type == read_stream_request_desc.id)
        return store_read_stream(s->core, req, &out->rows);
    if (type == scan_request_desc.id)
        return store_scan(s->core, req, &out->scan);
    if (type == tips_request_desc.id)
        return store_tips(s->core, &out->tips);
    if (type == run_request_desc.id)
        return store_run(s->core, req, &out->run);
    if (type == locate_request_desc.id)
        return store_locate(s->core, req, &out->locate);
    if (type == idem_request_desc.id)
        return store_idem(s->core, req, &out->idem);
    if (type == damage_request_desc.id)
        return store_damage(s->core, &out->damage);
    err_t e = store_begin(s->core);
    if (e != ERR_OK)
        return e;
    if (type == append_request_desc.id)
        return in_group(s, store_append(s->core, req, clock_wall(), &out->append));
    if (type == verdict_request_desc.id)
        return in_group(s, store_verdicts(s->core, req, clock_wall()));
    if (type == seal_request_desc.id)
        return in_group(s, store_seal(s->core, req));
    if (type == incarnation_request_desc.id)
        return in_group(s, store_incarnation(s->core, req));
    if (type == erase_request_desc.id)
        return in_group(s, store_erase(s->core, req, clock_wall()));
    return in_group(s, ERR_UNKNOWN_TYPE);
}

static void reply(fake_store *s, const bus_route *route, uint64_t request, err_t e,
                  const msg_desc *desc, const void *msg)
{
    error_reply bad = {.code = (uint16_t)e, .text = bytes_str(err_text(e))};
    err_t sent = e == ERR_OK
                     ? bus_send(&s->bus, s->router, route, desc, request, msg)
                     : bus_send(&s->bus, s->router, route, &error_reply_desc, request, &bad);
    (void)sent; /* whoever was killed does not hear it */
}

/* Answers a fetch, or keeps it until there is something to tell. */
static bool serve_fetch(fake_store *s, const long_poll *p, bool wait)
{
    rows_reply out;
    err_t e = store_fetch(s->core, &p->req, &out);
    if (wait && e == ERR_OK && out.rows.n == 0)
        return false;
    reply(s, &p->route, p->request, e, &rows_reply_desc, &out);
    return true;
}

static void keep_poll(fake_store *s, const bus_frame *f, const fetch_request *req)
{
    long_poll p = {f->route, f->envelope.request, *req, {clock_mono().ms + req->wait_ms}};
    MUST(req->category.len == 0); /* it cannot wait for one category */
    if (!serve_fetch(s, &p, req->wait_ms > 0 && s->n_polls < POLLS_MAX))
        s->polls[s->n_polls++] = p;
}

static void handle(fake_store *s, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    any_reply out = {0};
    const msg_desc *desc = msg_by_id(f->envelope.type);
    if (desc == NULL || desc->role != MSG_REQUEST || desc->size > sizeof msg ||
        msg_decode(desc, f->body, msg, NULL) != ERR_OK)
        return;
    s->asked[0]++;
    s->asked[desc->id % TYPES_MAX]++;
    if (desc->id == fetch_request_desc.id) {
        keep_poll(s, f, (const fetch_request *)(void *)msg);
        return;
    }
    err_t e = serve(s, desc->id, msg, &out);
    reply(s, &f->route, f->envelope.request, e, desc->reply, &out);
}

static void serve_polls(fake_store *s)
{
    mono_ms now = clock_mono();
    for (size_t i = 0; i < s->n_polls;)
        if (serve_fetch(s, &s->polls[i], now.ms < s->polls[i].deadline.ms))
            s->polls[i] = s->polls[--s->n_polls];
        else
            i++;
    uint64_t head = store_head(s->core);
    if (head != s->told) {
        doorbell bell = {.head = head};
        err_t e = bus_send(&s->bus, s->publisher, NULL, &doorbell_desc, 0, &bell);
        (void)e; /* may be lost by contract */
        s->told = head;
    }
}

static void set_sockets(fake_store *s, bool open)
{
    if (open && s->router == NULL) {
        s->router = bus_socket(&s->bus, ZMQ_ROUTER);
        s->publisher = bus_socket(&s->bus, ZMQ_PUB);
        MUST(zmq_bind(s->router, s->endpoint) == 0);
        MUST(zmq_bind(s->publisher, s->doorbell) == 0);
    } else if (!open && s->router != NULL) {
        bus_close(s->router);
        bus_close(s->publisher);
        s->router = s->publisher = NULL;
        s->n_polls = 0;
    }
}

static long until_next(const fake_store *s)
{
    uint64_t now = clock_mono().ms, next = now + 60000;
    for (size_t i = 0; i < s->n_polls; i++)
        if (s->polls[i].deadline.ms < next)
            next = s->polls[i].deadline.ms;
    return next > now ? (long)(next - now) : 0;
}

static void turn(fake_store *s)
{
    bus_frame f;
    uint64_t n;
    ssize_t got = read(s->wake, &n, sizeof n);
    (void)got;
    set_sockets(s, s->open);
    if (s->router == NULL || s->in_group)
        return;
    err_t e;
    while ((e = bus_recv(s->router, true, &f)) != ERR_NOT_FOUND)
        if (e == ERR_OK) {
            do
                handle(s, &f);
            while (bus_next(&f));
            bus_frame_release(&f);
        }
    serve_polls(s);
}

static void *run(void *arg)
{
    fake_store *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        turn(s);
        bool quit = s->quit;
        long wait = until_next(s);
        /* A group that the test has open: only its end, which wakes, matters. */
        int n = s->router != NULL && !s->in_group ? 2 : 1;
        zmq_pollitem_t items[2] = {{.fd = s->wake, .events = ZMQ_POLLIN},
                                   {.socket = s->router, .events = ZMQ_POLLIN}};
        pthread_mutex_unlock(&s->lock);
        if (quit)
            return NULL;
        zmq_poll(items, n, wait);
    }
}

/* ---- for the test ---- */

static void enter(fake_store *s)
{
    pthread_mutex_lock(&s->lock);
}

static void leave(fake_store *s)
{
    uint64_t one = 1;
    pthread_mutex_unlock(&s->lock);
    MUST(write(s->wake, &one, sizeof one) == (ssize_t)sizeof one);
}

fake_store *fake_store_new(const cairn_home *home)
{
    fake_store *s = calloc(1, sizeof *s);
    MUST(s != NULL);
    home_endpoint(home, s->endpoint, "store", "sock");
    home_endpoint(home, s->doorbell, "store", "pub");
    MUST(bus_init(&s->bus, &home->dataset) == ERR_OK);
    s->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->newest_ms = START_MS;
    s->open = true;
    make_core(s);
    pthread_mutex_init(&s->lock, NULL);
    MUST(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

void fake_store_free(fake_store **at)
{
    fake_store *s = *at;
    *at = NULL;
    enter(s);
    s->quit = true;
    leave(s);
    pthread_join(s->thread, NULL);
    set_sockets(s, false);
    bus_release(&s->bus);
    store_close(&s->core);
    close(s->wake);
    free(s->events);
    free(s);
}

void fake_store_stop(fake_store *s)
{
    enter(s);
    s->open = false;
    leave(s);
}

void fake_store_start(fake_store *s)
{
    enter(s);
    s->open = true;
    leave(s);
}

void fake_store_replace(fake_store *s)
{
    enter(s);
    store_close(&s->core);
    make_core(s);
    s->n_events = 0;
    s->told = 0;
    leave(s);
}

/* ---- writing ---- */

/* Nobody signs here, so keys are only names. */
static member_key key_of(member_no number)
{
    member_key key = {{(uint8_t)number, (uint8_t)(number >> 8), 0x17}};
    return key;
}

void fake_store_begin(fake_store *s)
{
    enter(s);
    s->in_group = true;
    MUST(store_begin(s->core) == ERR_OK);
    leave(s);
}

void fake_store_commit(fake_store *s)
{
    enter(s);
    MUST(store_commit(s->core) == ERR_OK);
    s->in_group = false;
    leave(s);
}

/* The event that the new one follows: id, and its seq (0: none, then the id is that of the feed's start). */
static uint64_t previous(const fake_store *s, feed_id feed, uint32_t after, event_id *id)
{
    member_key key = key_of(feed_member(feed));
    if (after != 0) {
        *id = s->events[after - 1].id;
        return s->events[after - 1].seq;
    }
    for (uint32_t i = s->n_events; i-- > 0;)
        if (s->events[i].feed == feed) {
            *id = s->events[i].id;
            return s->events[i].seq;
        }
    if (feed == CHAIN_GENESIS_FEED)
        chain_start_genesis(id, &key);
    else
        chain_start(id, &s->bus.dataset, feed, &key);
    return 0;
}

static void build(fake_store *s, const fake_event *e, buf *body)
{
    static const uint8_t empty_map = 0x80;
    event_reference refs[8] = {0};
    for (size_t i = 0; i < e->n_replaces; i++) {
        const written *w = &s->events[e->replaces[i]];
        refs[i].full = event_ref_of(w->feed, w->seq, &w->id);
    }
    uint64_t wall = e->wall_ms != 0 ? e->wall_ms : s->newest_ms + 1000;
    if (wall > s->newest_ms)
        s->newest_ms = wall;
    event_fields fields = {.stamp = {wall, 0},
                           .replaces = refs,
                           .n_replaces = e->n_replaces,
                           .category = bytes_str(e->category),
                           .stream = bytes_str(e->stream),
                           .kind = bytes_str(e->kind),
                           .payload = e->payload.len > 0 ? e->payload : bytes_of(&empty_map, 1),
                           .attributes = e->attributes};
    MUST(event_build(&fields, body) == ERR_OK);
}

static written *note(fake_store *s)
{
    if (s->n_events == s->room) {
        s->room = s->room == 0 ? 256 : s->room * 2;
        s->events = realloc(s->events, s->room * sizeof *s->events);
        MUST(s->events != NULL);
    }
    return &s->events[s->n_events++];
}

uint32_t fake_store_append(fake_store *s, const fake_event *e)
{
    feed_id feed = e->feed != 0 ? e->feed : 1;
    event_view v;
    append_reply out;
    buf body;
    enter(s);
    buf_init(&body, EVENT_MAX_BYTES);
    build(s, e, &body);
    MUST(event_parse(buf_view(&body), &v) == ERR_OK);
    append_row row = {
        .feed = feed, .flags = e->not_counting ? 0 : ROW_COUNTS, .body = buf_view(&body)};
    row.seq = previous(s, feed, e->after, &row.prev) + 1;
    chain_next_event(&row.id, &row.prev, row.seq, &v);
    append_request req = {.rows = MSG_LIST_OF(&row, 1), .allow_fork = true};
    if (!s->in_group)
        MUST(store_begin(s->core) == ERR_OK);
    MUST(store_append(s->core, &req, clock_wall(), &out) == ERR_OK);
    MUST(out.appended == 1);
    if (!s->in_group)
        MUST(store_commit(s->core) == ERR_OK);
    *note(s) = (written){feed, row.seq, out.first_offset, row.id};
    uint32_t number = s->n_events - 1;
    buf_release(&body);
    leave(s);
    return number;
}

event_ref fake_store_ref(fake_store *s, uint32_t number)
{
    enter(s);
    const written *w = &s->events[number];
    event_ref ref = event_ref_of(w->feed, w->seq, &w->id);
    leave(s);
    return ref;
}

event_id fake_store_id(fake_store *s, uint32_t number)
{
    enter(s);
    event_id id = s->events[number].id;
    leave(s);
    return id;
}

void fake_store_verdict(fake_store *s, uint32_t number, bool counts)
{
    enter(s);
    verdict_row row = {.offset = s->events[number].offset, .counts = counts};
    verdict_request req = {.verdicts = MSG_LIST_OF(&row, 1)};
    MUST(store_begin(s->core) == ERR_OK);
    MUST(store_verdicts(s->core, &req, clock_wall()) == ERR_OK);
    MUST(store_commit(s->core) == ERR_OK);
    leave(s);
}

void fake_store_erase(fake_store *s, uint32_t number, bool hidden, bool at_once)
{
    enter(s);
    erase_request req = {.offset = s->events[number].offset, .hidden = hidden, .at_once = at_once};
    MUST(store_begin(s->core) == ERR_OK);
    MUST(store_erase(s->core, &req, clock_wall()) == ERR_OK);
    MUST(store_commit(s->core) == ERR_OK);
    leave(s);
}

uint64_t fake_store_head(fake_store *s)
{
    enter(s);
    uint64_t head = store_head(s->core);
    leave(s);
    return head;
}

uint64_t fake_store_asked(fake_store *s, uint16_t type)
{
    enter(s);
    uint64_t n = s->asked[type % TYPES_MAX];
    leave(s);
    return n;
}

/* ---- the roster ---- */

static void write_genesis(buf *out)
{
    roster_event genesis = {.kind = ROSTER_EV_GENESIS,
                            .key = key_of(1),
                            .heir = key_of(999),
                            .has_transport = true,
                            .transport = {{1}},
                            .name = bytes_str("base camp"),
                            .title = bytes_str("test")};
    MUST(roster_event_write(&genesis, out) == ERR_OK);
}

static fake_event genesis_of(bytes payload)
{
    return (fake_event){.feed = CHAIN_GENESIS_FEED,
                        .category = ROSTER_CATEGORY,
                        .stream = ROSTER_STREAM,
                        .kind = ROSTER_KIND_GENESIS,
                        .payload = payload,
                        .wall_ms = START_MS};
}

void fake_dataset(dataset_id *out)
{
    fake_store nothing = {.newest_ms = START_MS};
    member_key founder = key_of(1);
    event_view v;
    buf payload, body;
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&body, EVENT_MAX_BYTES);
    write_genesis(&payload);
    fake_event e = genesis_of(buf_view(&payload));
    build(&nothing, &e, &body);
    MUST(event_parse(buf_view(&body), &v) == ERR_OK);
    chain_genesis_id(out, &founder, v.head, v.tail);
    buf_release(&payload);
    buf_release(&body);
}

uint32_t fake_store_genesis(fake_store *s)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    write_genesis(&payload);
    fake_event e = genesis_of(buf_view(&payload));
    uint32_t n = fake_store_append(s, &e);
    buf_release(&payload);
    return n;
}

static uint32_t append_roster(fake_store *s, const char *kind, const roster_event *what)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    MUST(roster_event_write(what, &payload) == ERR_OK);
    fake_event e = {.feed = CHAIN_GENESIS_FEED,
                    .category = ROSTER_CATEGORY,
                    .stream = ROSTER_STREAM,
                    .kind = kind,
                    .payload = buf_view(&payload)};
    uint32_t n = fake_store_append(s, &e);
    buf_release(&payload);
    return n;
}

uint32_t fake_store_member(fake_store *s, member_no number, const char *name)
{
    roster_event add = {.kind = ROSTER_EV_ADD,
                        .number = number,
                        .role = ROSTER_ROLE_FIELD,
                        .key = key_of(number),
                        .has_transport = true,
                        .transport = {{(uint8_t)number}},
                        .name = bytes_str(name)};
    return append_roster(s, ROSTER_KIND_ADD, &add);
}

uint32_t fake_store_remove(fake_store *s, member_no number, uint32_t head, uint64_t fork_seq)
{
    const written *w = &s->events[head];
    roster_head last = {feed_incarnation(w->feed), w->seq, w->id};
    roster_fork fork = {feed_incarnation(w->feed), fork_seq};
    roster_event remove = {.kind = ROSTER_EV_REMOVE,
                           .number = number,
                           .heads = &last,
                           .n_heads = 1,
                           .forks = &fork,
                           .n_forks = fork_seq != 0};
    return append_roster(s, ROSTER_KIND_REMOVE, &remove);
}
