/* The real store process, with the test as merge and as reader. */
#include "proto/event.h"
#include "pure/chain.h"
#include "shell/clock.h"
#include "store/store_clnt.h"
#include "store/store_core.h"
#include "tests/service/rig.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#define FEED       3u
#define EVENTS_MAX 20000u

static rig r;
static uint8_t body[400];
static size_t body_len;

static void make_body(void)
{
    buf b;
    uint8_t payload[202] = {0xc4, 200};
    event_fields fields = {.stamp = {1800000000000ull, 0},
                           .category = bytes_str("form"),
                           .stream = bytes_str("3-1aa"),
                           .kind = bytes_str("field.set"),
                           .payload = bytes_of(payload, sizeof payload)};
    buf_init(&b, sizeof body);
    cr_assert_eq(event_build(&fields, &b), ERR_OK);
    memcpy(body, b.p, b.len);
    body_len = b.len;
    buf_release(&b);
}

static void begin(void)
{
    make_body();
    rig_init(&r, "store");
    rig_start(&r);
}

/* The chain is a real one, because the store re-hashes it when it has nothing else to do. */
static event_id id_of(uint64_t seq)
{
    static event_id ids[EVENTS_MAX] = {{{7}}};
    static uint64_t known;
    event_view v;
    cr_assert(seq < EVENTS_MAX);
    cr_assert_eq(event_parse(bytes_of(body, body_len), &v), ERR_OK);
    for (; known < seq; known++)
        chain_next_event(&ids[known + 1], &ids[known], known + 1, &v);
    return ids[seq];
}

static void make_rows(append_row *rows, uint64_t first, size_t n)
{
    static const uint8_t seal[SEAL_BYTES];
    for (size_t i = 0; i < n; i++)
        rows[i] = (append_row){.feed = FEED,
                               .seq = first + i,
                               .flags = ROW_COUNTS,
                               .prev = id_of(first + i - 1),
                               .id = id_of(first + i),
                               .seal = bytes_of(seal, i + 1 == n ? SEAL_BYTES : 0),
                               .body = bytes_of(body, body_len)};
}

static append_reply append(uint64_t first, size_t n)
{
    append_row rows[64];
    append_reply out;
    make_rows(rows, first, n);
    append_request req = {.rows = MSG_LIST_OF(rows, n)};
    rig_ask(&r, &append_request_desc, &req, &out);
    return out;
}

static store_hello_reply hello(void)
{
    store_hello_request req = {0};
    store_hello_reply out;
    rig_ask(&r, &store_hello_request_desc, &req, &out);
    return out;
}

typedef struct {
    bool done;
    err_t e;
    uint32_t rows;
    uint64_t head, first_offset;
} answer;

static void got_rows(void *ctx, err_t e, const char *text, const void *reply)
{
    answer *a = ctx;
    const rows_reply *rows = reply;
    (void)text;
    a->done = true;
    a->e = e;
    a->rows = e == ERR_OK ? rows->rows.n : 0;
    a->head = e == ERR_OK ? rows->head : 0;
}

static void got_append(void *ctx, err_t e, const char *text, const void *reply)
{
    answer *a = ctx;
    const append_reply *appended = reply;
    (void)text;
    a->done = true;
    a->e = e;
    a->first_offset = e == ERR_OK ? appended->first_offset : 0;
}

Test(store, appends_are_answered_and_kept_over_a_restart, .timeout = 60)
{
    begin();
    cr_assert_eq(append(1, 10).first_offset, 1);
    append_reply again = append(1, 10);
    cr_assert(again.appended == 0 && again.duplicates == 10 && again.first_offset == 1);
    store_hello_reply before = hello();
    cr_assert(before.head == 10 && before.incarnation == 0 && !before.copied);
    rig_stop(&r);
    rig_start(&r);
    store_hello_reply after = hello();
    cr_assert(after.head == 10 && after.epoch == before.epoch && !after.copied);
    rig_release(&r);
}

Test(store, refusals_say_why, .timeout = 60)
{
    append_row row;
    buf text;
    buf_init(&text, 1024);
    begin();
    make_rows(&row, 5, 1);
    append_request req = {.rows = MSG_LIST_OF(&row, 1)};
    rig_ask_fails(&r, &append_request_desc, &req, ERR_CONFLICT, &text);
    cr_assert(text.len > 10);
    fetch_request fetch = {.after = 3, .max = 1};
    rig_ask_fails(&r, &fetch_request_desc, &fetch, ERR_EPOCH, NULL);
    buf_release(&text);
    rig_release(&r);
}

Test(store, a_waiting_fetch_is_answered_by_the_next_commit, .timeout = 60)
{
    answer a = {0};
    begin();
    append(1, 1);
    fetch_request req = {.after = 1, .max = 10, .wait_ms = 20000};
    uint64_t at = clock_mono().ms;
    cr_assert_eq(store_clnt_fetch(r.clnt, &req, got_rows, &a), ERR_OK);
    append(2, 3);
    rig_await(&r, &a.done);
    cr_assert(a.e == ERR_OK && a.rows == 3 && a.head == 4);
    cr_assert(clock_mono().ms - at < 20000);
    answer none = {0};
    req = (fetch_request){.after = 4, .max = 10, .wait_ms = 50};
    cr_assert_eq(store_clnt_fetch(r.clnt, &req, got_rows, &none), ERR_OK);
    rig_await(&r, &none.done);
    cr_assert(none.e == ERR_OK && none.rows == 0 && none.head == 4);
    answer other = {0}; /* another category does not wake it */
    req = (fetch_request){.after = 4, .max = 10, .wait_ms = 300, .category = bytes_str("other")};
    cr_assert_eq(store_clnt_fetch(r.clnt, &req, got_rows, &other), ERR_OK);
    append(5, 1);
    rig_await(&r, &other.done);
    cr_assert(other.e == ERR_OK && other.rows == 0 && other.head == 5);
    rig_release(&r);
}

Test(store, the_doorbell_rings_after_a_commit, .timeout = 60)
{
    char endpoint[128];
    bus_frame f;
    doorbell bell = {0};
    begin();
    home_endpoint(&r.home, endpoint, "store", "pub");
    void *sub = bus_socket(&r.bus, ZMQ_SUB);
    cr_assert_eq(zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "", 0), 0);
    cr_assert_eq(zmq_connect(sub, endpoint), 0);
    for (uint64_t seq = 1; bell.head == 0; seq++) { /* a subscription takes its time */
        append(seq, 1);
        zmq_pollitem_t item = {.socket = sub, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, 20);
        if (bus_recv(sub, false, &f) == ERR_OK) {
            cr_assert_eq(msg_decode(&doorbell_desc, f.body, &bell, NULL), ERR_OK);
            cr_assert(bell.head >= 1 && bell.head <= seq);
            bus_frame_release(&f);
        }
    }
    bus_close(sub);
    rig_release(&r);
}

Test(store, a_second_copy_is_refused, .timeout = 60)
{
    char program[1024];
    int status;
    const char *bin = getenv("CAIRN_BIN");
    begin();
    append(1, 1);
    snprintf(program, sizeof program, "%s/cairn-store", bin != NULL ? bin : CAIRN_BUILD_DIR "/bin");
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "--home", r.home.path, (char *)NULL);
        _exit(127);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 75);
    append(2, 1); /* the first one is still reached */
    rig_release(&r);
}

/* What was acknowledged is there after a kill at any moment, dense and in order. */
static uint64_t check_log(uint64_t acknowledged)
{
    fetch_request req = {.max = FETCH_MAX_ROWS};
    rows_reply out;
    stored_row row;
    uint64_t at = 0;
    do {
        rig_ask(&r, &fetch_request_desc, &req, &out);
        while (msg_list_next(&stored_row_desc, &out.rows, &row)) {
            event_id id = id_of(++at);
            cr_assert(row.offset == at && row.seq == at && event_id_eq(&row.id, &id));
            cr_assert(row.position == at - 1 && (row.flags & ROW_DAMAGED) == 0);
        }
        req.after = out.next;
        req.epoch = out.epoch;
    } while (!out.caught_up);
    cr_assert(at >= acknowledged, "%d of %d", (int)at, (int)acknowledged);
    read_stream_request stream = {.category = bytes_str("form"), .stream = bytes_str("3-1aa")};
    rig_ask(&r, &read_stream_request_desc, &stream, &out);
    cr_assert_eq(out.head, at);
    return at;
}

Test(store, kills_lose_nothing_that_was_acknowledged, .timeout = 120)
{
    prop_rng rng = prop_begin("service store");
    uint64_t next = 1, acknowledged = 0;
    begin();
    for (int round = 0; round < 10; round++) {
        answer a[16] = {{0}};
        size_t n = 1 + prop_below(&rng, 16), sent = 0;
        for (; sent < n; sent++) { /* in flight together: one commit for several */
            append_row rows[8];
            size_t len = 1 + prop_below(&rng, 8);
            make_rows(rows, next, len);
            append_request req = {.rows = MSG_LIST_OF(rows, len)};
            cr_assert_eq(store_clnt_append(r.clnt, &req, got_append, &a[sent]), ERR_OK);
            a[sent].head = next += len;
        }
        size_t wait_for = prop_below(&rng, n + 1);
        for (size_t i = 0; i < wait_for; i++)
            rig_await(&r, &a[i].done);
        rig_kill(&r);
        rig_start(&r);
        for (size_t i = 0; i < n; i++) { /* the client sends again what was not answered */
            rig_await(&r, &a[i].done);
            cr_assert_eq(a[i].e, ERR_OK, "%s", err_name(a[i].e));
            acknowledged = a[i].head - 1;
        }
        next = check_log(acknowledged) + 1;
        cr_assert_eq(next, acknowledged + 1);
    }
    rig_release(&r);
}

static bool healthy(buf *state)
{
    health_request req = {0};
    health_reply out;
    rig_ask(&r, &health_request_desc, &req, &out);
    buf_clear(state);
    buf_add_bytes(state, out.state);
    buf_add_u8(state, 0);
    return out.ready;
}

Test(store, a_full_disk_is_a_state_that_passes, .timeout = 60)
{
    buf state;
    uint64_t seq = 1;
    err_t e = ERR_OK;
    buf_init(&state, 1024);
    begin();
    append(seq++, 1);
    struct rlimit before, small;
    cr_assert_eq(prlimit(r.pid, RLIMIT_FSIZE, NULL, &before), 0);
    small = before;
    small.rlim_cur = 1 << 20;
    cr_assert_eq(prlimit(r.pid, RLIMIT_FSIZE, &small, NULL), 0);
    while (e == ERR_OK && seq + 64 < EVENTS_MAX) {
        answer a = {0};
        append_row rows[64];
        make_rows(rows, seq, 64);
        append_request req = {.rows = MSG_LIST_OF(rows, 64)};
        cr_assert_eq(store_clnt_append(r.clnt, &req, got_append, &a), ERR_OK);
        rig_await(&r, &a.done);
        e = a.e;
        seq += e == ERR_OK ? 64 : 0;
    }
    cr_assert_eq(e, ERR_FULL, "%s", err_name(e));
    cr_assert_not(healthy(&state));
    cr_assert(strstr((const char *)state.p, "space") != NULL, "%s", (const char *)state.p);
    cr_assert_eq(hello().state, ERR_FULL);
    cr_assert_eq(check_log(seq - 1), seq - 1); /* reads go on */
    cr_assert_eq(prlimit(r.pid, RLIMIT_FSIZE, &before, NULL), 0);
    for (uint64_t until = clock_mono().ms + RIG_MS; !healthy(&state);) /* by itself */
        cr_assert(clock_mono().ms < until);
    append(seq, 1);
    check_log(seq);
    buf_release(&state);
    rig_release(&r);
}
