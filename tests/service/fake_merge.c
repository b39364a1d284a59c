#include "tests/service/fake_merge.h"

#include "pure/run.h"
#include "shell/bus.h"
#include "shell/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define MEMBERS_AT_MOST 64u
#define ENTRIES_AT_MOST 64u
#define TYPES_MAX       0x300u
#define WAIT_MS         30000u

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "fake merge, line %d: %s\n", __LINE__, #what);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    member_no number;
    char name[NAME_MAX_BYTES + 1];
    uint8_t role, state;
    member_key key;
    transport_key transport;
} person;

struct fake_merge {
    char merge[128], doorbell[128], store[128];
    bus bus;
    void *router, *publisher, *store_router;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t answered;
    int wake;
    bool quit, open, ring;
    person people[MEMBERS_AT_MOST];
    size_t n_people;
    frontier_entry entries[ENTRIES_AT_MOST];
    size_t n_entries;
    uint64_t version;
    err_t refuse;
    buf taken;
    uint64_t asked[TYPES_MAX];
};

/* ---- answers ---- */

typedef union {
    members_reply members;
    frontier_reply frontier;
    ingest_reply ingest;
    member_add_reply add;
    run_reply run;
    locate_reply locate;
} any_reply;

static person *find(fake_merge *m, const member_key *key)
{
    for (size_t i = 0; i < m->n_people; i++)
        if (memcmp(m->people[i].key.b, key->b, sizeof key->b) == 0)
            return &m->people[i];
    return NULL;
}

static err_t on_members(fake_merge *m, const void *msg, any_reply *out)
{
    static member_row rows[MEMBERS_AT_MOST];
    (void)msg;
    for (size_t i = 0; i < m->n_people; i++) {
        const person *p = &m->people[i];
        rows[i] = (member_row){.number = p->number,
                               .name = bytes_str(p->name),
                               .role = p->role,
                               .key = p->key,
                               .transport = p->transport,
                               .state = p->state};
    }
    out->members = (members_reply){.version = m->version, .self = 1, .title = bytes_str("test")};
    out->members.members = MSG_LIST_OF(rows, m->n_people);
    return ERR_OK;
}

static err_t on_frontier(fake_merge *m, const void *msg, any_reply *out)
{
    static frontier_row rows[ENTRIES_AT_MOST];
    frontier sorted = {0};
    (void)msg;
    MUST(frontier_set(&sorted, m->entries, m->n_entries) == ERR_OK);
    for (size_t i = 0; i < sorted.n; i++)
        rows[i] = (frontier_row){
            .feed = sorted.at[i].feed, .seq = sorted.at[i].seq, .id = sorted.at[i].id};
    out->frontier = (frontier_reply){
        .version = m->version, .events = sorted.n, .entries = MSG_LIST_OF(rows, sorted.n)};
    frontier_digest(&sorted, out->frontier.digest.b);
    frontier_release(&sorted);
    return ERR_OK;
}

static err_t on_ingest(fake_merge *m, const void *msg, any_reply *out)
{
    const ingest_request *in = msg;
    run r;
    buf_clear(&m->taken);
    MUST(buf_add_bytes(&m->taken, in->run));
    if (run_decode(in->run, &r) != ERR_OK) {
        out->ingest =
            (ingest_reply){.refused = 1, .code = ERR_MALFORMED, .text = bytes_str("no run")};
        return ERR_OK;
    }
    out->ingest = (ingest_reply){.accepted = r.count};
    return ERR_OK;
}

static err_t on_add(fake_merge *m, const void *msg, any_reply *out)
{
    const member_add_request *in = msg;
    if (m->refuse != ERR_OK)
        return m->refuse;
    person *p = find(m, &in->key);
    if (p == NULL) {
        MUST(m->n_people < MEMBERS_AT_MOST);
        p = &m->people[m->n_people];
        *p = (person){.number = (member_no)(m->people[m->n_people - 1].number + 1),
                      .role = in->role,
                      .key = in->key,
                      .transport = in->transport};
        snprintf(p->name, sizeof p->name, "%.*s", (int)in->name.len, (const char *)in->name.p);
        m->n_people++;
        m->version++;
        m->ring = true;
    }
    out->add.number = p->number;
    return ERR_OK;
}

/* Genesis is whatever leads to seq 1 of feed 1; nothing else is held. */
static err_t on_run(fake_merge *m, const void *msg, any_reply *out)
{
    const run_request *in = msg;
    (void)m;
    if (in->feed != 1 || in->tip_seq != 1)
        return ERR_NOT_FOUND;
    out->run.run = bytes_str("the run with the founder's first event");
    return ERR_OK;
}

static err_t on_locate(fake_merge *m, const void *msg, any_reply *out)
{
    (void)m;
    (void)msg;
    out->locate = (locate_reply){0};
    return ERR_OK;
}

static const struct {
    const msg_desc *request;
    err_t (*answer)(fake_merge *, const void *, any_reply *);
} table[] = {
    {&members_request_desc, on_members}, {&frontier_request_desc, on_frontier},
    {&ingest_request_desc, on_ingest},   {&member_add_request_desc, on_add},
    {&run_request_desc, on_run},         {&locate_request_desc, on_locate},
};

static void handle(fake_merge *m, void *socket, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    any_reply out = {0};
    err_t e = ERR_UNKNOWN_TYPE;
    const msg_desc *desc = msg_by_id(f->envelope.type);
    if (desc == NULL || desc->size > sizeof msg || msg_decode(desc, f->body, msg, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].request == desc)
            e = table[i].answer(m, msg, &out);
    error_reply bad = {.code = (uint16_t)e, .text = bytes_str(err_text(e))};
    err_t sent =
        bus_send(&m->bus, socket, &f->route, e == ERR_OK ? desc->reply : &error_reply_desc,
                 f->envelope.request, e == ERR_OK ? (const void *)&out : (const void *)&bad);
    (void)sent; /* whoever was killed does not hear it */
    m->asked[desc->id % TYPES_MAX]++;
    pthread_cond_broadcast(&m->answered);
}

/* ---- the thread ---- */

static void set_sockets(fake_merge *m, bool open)
{
    if (open && m->router == NULL) {
        m->router = bus_socket(&m->bus, ZMQ_ROUTER);
        m->store_router = bus_socket(&m->bus, ZMQ_ROUTER);
        m->publisher = bus_socket(&m->bus, ZMQ_PUB);
        MUST(zmq_bind(m->router, m->merge) == 0);
        MUST(zmq_bind(m->store_router, m->store) == 0);
        MUST(zmq_bind(m->publisher, m->doorbell) == 0);
    } else if (!open && m->router != NULL) {
        bus_close(m->router);
        bus_close(m->store_router);
        bus_close(m->publisher);
        m->router = m->store_router = m->publisher = NULL;
    }
}

static void serve(fake_merge *m, void *socket)
{
    bus_frame f;
    err_t e;
    while ((e = bus_recv(socket, true, &f)) != ERR_NOT_FOUND)
        if (e == ERR_OK) {
            do
                handle(m, socket, &f);
            while (bus_next(&f));
            bus_frame_release(&f);
        }
}

static void turn(fake_merge *m)
{
    uint64_t n;
    ssize_t got = read(m->wake, &n, sizeof n);
    (void)got;
    set_sockets(m, m->open);
    if (m->router == NULL)
        return;
    serve(m, m->router);
    serve(m, m->store_router);
    if (m->ring) {
        doorbell bell = {.head = m->version};
        err_t e = bus_send(&m->bus, m->publisher, NULL, &doorbell_desc, 0, &bell);
        (void)e; /* may be lost by contract */
        m->ring = false;
    }
}

static void *run_thread(void *arg)
{
    fake_merge *m = arg;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        turn(m);
        bool quit = m->quit;
        zmq_pollitem_t items[] = {{.fd = m->wake, .events = ZMQ_POLLIN},
                                  {.socket = m->router, .events = ZMQ_POLLIN},
                                  {.socket = m->store_router, .events = ZMQ_POLLIN}};
        int n = m->router != NULL ? 3 : 1;
        pthread_mutex_unlock(&m->lock);
        if (quit)
            return NULL;
        zmq_poll(items, n, 60000);
    }
}

/* ---- for the test ---- */

static void enter(fake_merge *m)
{
    pthread_mutex_lock(&m->lock);
}

static void leave(fake_merge *m)
{
    uint64_t one = 1;
    pthread_mutex_unlock(&m->lock);
    MUST(write(m->wake, &one, sizeof one) == (ssize_t)sizeof one);
}

fake_merge *fake_merge_new(const cairn_home *home)
{
    fake_merge *m = calloc(1, sizeof *m);
    MUST(m != NULL);
    home_endpoint(home, m->merge, "merge", "sock");
    home_endpoint(home, m->doorbell, "merge", "pub");
    home_endpoint(home, m->store, "store", "sock");
    MUST(bus_init(&m->bus, &home->dataset) == ERR_OK);
    m->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    m->open = true;
    m->version = 1;
    buf_init(&m->taken, MESSAGE_MAX_BYTES);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->answered, NULL);
    MUST(pthread_create(&m->thread, NULL, run_thread, m) == 0);
    return m;
}

void fake_merge_free(fake_merge **at)
{
    fake_merge *m = *at;
    *at = NULL;
    enter(m);
    m->quit = true;
    leave(m);
    pthread_join(m->thread, NULL);
    set_sockets(m, false);
    bus_release(&m->bus);
    close(m->wake);
    buf_release(&m->taken);
    free(m);
}

void fake_merge_stop(fake_merge *m)
{
    enter(m);
    m->open = false;
    leave(m);
}

void fake_merge_start(fake_merge *m)
{
    enter(m);
    m->open = true;
    leave(m);
}

void fake_merge_member(fake_merge *m, member_no number, const char *name, uint8_t role,
                       const transport_key *transport, uint8_t state)
{
    size_t i = 0;
    enter(m);
    while (i < m->n_people && m->people[i].number != number)
        i++;
    MUST(i < MEMBERS_AT_MOST);
    m->people[i] = (person){.number = number,
                            .role = role,
                            .state = state,
                            .transport = *transport,
                            .key = {{(uint8_t)(number >> 8), (uint8_t)number, 77}}};
    snprintf(m->people[i].name, sizeof m->people[i].name, "%s", name);
    m->n_people = i == m->n_people ? i + 1 : m->n_people;
    /* Whoever changes the roster has written an event of the roster. */
    if (m->n_entries == 0)
        m->entries[m->n_entries++] = (frontier_entry){.feed = 1, .seq = 1};
    m->entries[0].seq++;
    put_u64be(m->entries[0].id.b, ++m->version);
    m->ring = true;
    leave(m);
}

void fake_merge_frontier(fake_merge *m, const frontier_entry *e, size_t n)
{
    enter(m);
    MUST(n <= ENTRIES_AT_MOST);
    if (n > 0)
        memcpy(m->entries, e, n * sizeof *e);
    m->n_entries = n;
    m->version++;
    m->ring = true;
    leave(m);
}

void fake_merge_refuse_adds(fake_merge *m, err_t e)
{
    enter(m);
    m->refuse = e;
    leave(m);
}

uint64_t fake_merge_asked(fake_merge *m, uint16_t type)
{
    enter(m);
    uint64_t n = m->asked[type % TYPES_MAX];
    leave(m);
    return n;
}

void fake_merge_await(fake_merge *m, uint16_t type, uint64_t times)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    enter(m);
    while (m->asked[type % TYPES_MAX] < times)
        MUST(pthread_cond_timedwait(&m->answered, &m->lock, &until) == 0);
    leave(m);
}

void fake_merge_taken(fake_merge *m, buf *out)
{
    enter(m);
    buf_init(out, MESSAGE_MAX_BYTES);
    MUST(buf_add_bytes(out, buf_view(&m->taken)));
    leave(m);
}

size_t fake_merge_members(fake_merge *m)
{
    enter(m);
    size_t n = m->n_people;
    leave(m);
    return n;
}
