/* What the kill test needs to be quick about, in one program:
 *
 *   fault_load emit HOME PREFIX    writes events under idempotency keys PREFIX-0, PREFIX-1, …, several requests under
 *                                  way at once; asks again under the same key until there is an answer, and now and
 *                                  then although there was one. Prints each answer:
 *                                      ack KEY REPEATED FEED:SEQ:PREFIX…
 *                                  Any refusal but a passing one ends it with exit code 1. SIGTERM ends it.
 *   fault_load rows HOME AFTER     prints the rows of the store after an offset, one a line:
 *                                      row OFFSET FEED SEQ ID FLAGS WALL COUNTER CATEGORY STREAM KIND KEY
 *                                  (KEY is the attribute `by`, in which emit puts its own) and: head N */
#include "merge/merge_clnt.h"
#include "proto/event.h"
#include "shell/clock.h"
#include "shell/home.h"
#include "store/store_clnt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#define UNDER_WAY    8
#define EVENTS_MAX   4
#define WAIT_MS      700u
#define ROWS_WAIT_MS 20000u

typedef struct {
    cairn_home home;
    bus bus;
    clnt *clnt;
    const char *prefix;
    uint64_t next;
    int failed;
} load;

/* One request: `n` events, of which the first creates a record and the others set its field. */
typedef struct {
    load *l;
    uint64_t number;
    char key[48];
    uint32_t n, answers;
    bool wanted;
} slot;

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

/* ---- emitting ---- */

static void build(const slot *k, buf *payload, buf *attributes)
{
    mp_put_map(payload, 1);
    mp_put_cstr(payload, "n");
    mp_put_uint(payload, k->number);
    mp_put_map(attributes, 1);
    mp_put_cstr(attributes, "by");
    mp_put_cstr(attributes, k->key);
}

static bool is_passing(err_t e)
{
    return e == ERR_TIMEOUT || e == ERR_UNREACHABLE || e == ERR_NOT_READY || e == ERR_STOPPING ||
           e == ERR_BUSY;
}

static void next_number(slot *k)
{
    k->number = k->l->next++;
    k->n = 1 + (uint32_t)(k->number % EVENTS_MAX);
    k->answers = 0;
    snprintf(k->key, sizeof k->key, "%s-%llu", k->l->prefix, (unsigned long long)k->number);
}

static void on_answer(void *ctx, err_t e, const char *text, const void *reply)
{
    slot *k = ctx;
    const emit_reply *r = reply;
    emitted_row row;
    k->wanted = true;
    if (e != ERR_OK) {
        if (!is_passing(e)) {
            printf("refused %s %s\n", k->key, text);
            k->l->failed = 1;
        }
        return;
    }
    printf("ack %s %d", k->key, r->repeated);
    for (msg_list list = r->events; msg_list_next(&emitted_row_desc, &list, &row);)
        printf(" %u:%llu:%04x", row.feed, (unsigned long long)row.seq, row.prefix);
    printf("\n");
    /* Every seventh is asked twice. */
    if (++k->answers == (k->number % 7 == 0 ? 2 : 1))
        next_number(k);
}

static void ask(slot *k)
{
    buf payload, attributes;
    char record[64];
    emit_row rows[EVENTS_MAX];
    buf_init(&payload, 256);
    buf_init(&attributes, 256);
    build(k, &payload, &attributes);
    /* Every eighth request writes to a record that a few others write to as well. */
    if (k->number % 8 == 3)
        snprintf(record, sizeof record, "shared-%llu", (unsigned long long)k->number / 64);
    else
        snprintf(record, sizeof record, "%s", k->key);
    for (uint32_t i = 0; i < k->n; i++)
        rows[i] = (emit_row){.category = bytes_str("load"),
                             .stream = bytes_str(record),
                             .kind = bytes_str(i == 0 ? "record.create" : "field.set"),
                             .payload = buf_view(&payload),
                             .attributes = buf_view(&attributes)};
    emit_request req = {.feed_class = (uint8_t)(k->number % 3),
                        .idem = bytes_str(k->key),
                        .events = MSG_LIST_OF(rows, k->n)};
    k->wanted = false;
    if (merge_clnt_emit_within(k->l->clnt, WAIT_MS, &req, on_answer, k) != ERR_OK)
        k->wanted = true;
    buf_release(&payload);
    buf_release(&attributes);
}

static int emit(load *l)
{
    slot slots[UNDER_WAY] = {0};
    /* Enough to have a commit under way at most moments, without making a log that takes long to read. */
    const struct timespec pace = {0, 4 * 1000 * 1000};
    for (size_t i = 0; i < UNDER_WAY; i++) {
        slots[i] = (slot){.l = l, .wanted = true};
        next_number(&slots[i]);
    }
    while (!stopped && !l->failed) {
        for (size_t i = 0; i < UNDER_WAY; i++)
            if (slots[i].wanted)
                ask(&slots[i]);
        clnt_flush(l->clnt);
        zmq_pollitem_t item = {.socket = clnt_socket(l->clnt), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 50);
        (void)clnt_pump(l->clnt);
        nanosleep(&pace, NULL);
    }
    clnt_free(l->clnt); /* tells what still waits, which then goes nowhere */
    l->clnt = NULL;
    return l->failed;
}

/* ---- reading ---- */

static void print_text(bytes text)
{
    printf(" %.*s", (int)(text.len > 0 ? text.len : 1), text.len > 0 ? (const char *)text.p : "-");
}

static void print_row(const stored_row *row)
{
    event_view v = {0};
    bytes key = {0};
    char id[2 * EVENT_ID_BYTES + 1];
    hex_encode(id, row->id.b, sizeof row->id.b);
    if (event_parse(row->body, &v) == ERR_OK)
        (void)event_attr_str(&v, "by", &key);
    printf("row %llu %u %llu %s %u %llu %u", (unsigned long long)row->offset, row->feed,
           (unsigned long long)row->seq, id, row->flags, (unsigned long long)v.stamp.wall_ms,
           v.stamp.counter);
    print_text(v.category);
    print_text(v.stream);
    print_text(v.kind);
    print_text(key);
    printf("\n");
}

static int rows(load *l, uint64_t after)
{
    fetch_request req = {.after = after, .max = 4096};
    rows_reply reply = {0};
    stored_row row;
    buf why;
    buf_init(&why, 512);
    while (!reply.caught_up) {
        if (store_call_fetch_within(l->clnt, ROWS_WAIT_MS, &req, &reply, &why) != ERR_OK) {
            printf("failed %.*s\n", (int)why.len, (const char *)why.p);
            buf_release(&why);
            return 1;
        }
        for (msg_list list = reply.rows; msg_list_next(&stored_row_desc, &list, &row);)
            print_row(&row);
        req.after = reply.next;
        req.epoch = reply.epoch;
    }
    printf("head %llu\n", (unsigned long long)reply.head);
    buf_release(&why);
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = on_signal};
    load l = {0};
    buf why;
    char endpoint[128];
    bool emits = argc == 4 && strcmp(argv[1], "emit") == 0;
    if (!emits && (argc != 4 || strcmp(argv[1], "rows") != 0)) {
        fprintf(stderr, "usage: fault_load emit HOME PREFIX | rows HOME AFTER\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* an answer is known once it is in the file */
    sigaction(SIGTERM, &act, NULL);
    buf_init(&why, 512);
    if (home_open(&l.home, argv[2], &why) != ERR_OK || !l.home.has_dataset ||
        bus_init(&l.bus, &l.home.dataset) != ERR_OK)
        return 1;
    home_endpoint(&l.home, endpoint, emits ? "merge" : "store", "sock");
    l.clnt = clnt_new(&l.bus, emits ? "merge" : "store", endpoint);
    l.prefix = argv[3];
    int status = l.clnt == NULL ? 1 : emits ? emit(&l) : rows(&l, strtoull(argv[3], NULL, 10));
    clnt_free(l.clnt);
    bus_release(&l.bus);
    buf_release(&why);
    return status;
}
