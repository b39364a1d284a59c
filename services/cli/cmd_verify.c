/* cairn verify: every event of the store hashed again, every seal checked again. The store is asked for the next rows
 * while these are hashed, and threads check the seals. */
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/verify_chain.h"
#include "shell/clock.h"

#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

#define ASK_MS 30000u

typedef struct {
    const cmdline *line;
    node n;
    clnt *store;  /* rows, one request ahead */
    clnt *direct; /* single rows in between */
    verify_seals *seals;
    verify_chain *chain;
    uint64_t head, at; /* rows to check; rows checked */
    /* the answer under way */
    bool arrived;
    err_t answer;
    rows_reply reply;
    buf raw;
    buf why;
    progress bar;
    mono_ms began;
} verifying;

static void on_rows(void *ctx, err_t e, const char *text, const void *reply)
{
    verifying *v = ctx;
    v->arrived = true;
    v->answer = e;
    buf_clear(&v->raw);
    if (e != ERR_OK) {
        buf_clear(&v->why);
        buf_add_str(&v->why, text);
        return;
    }
    v->reply = *(const rows_reply *)reply;
    buf_add_bytes(&v->raw, v->reply.rows.raw);
    v->answer = v->raw.err;
}

static err_t ask_rows(verifying *v, uint64_t epoch, uint64_t after)
{
    fetch_request req = {.epoch = epoch, .after = after, .max = FETCH_MAX_ROWS};
    v->arrived = false;
    err_t e = store_clnt_fetch_within(v->store, ASK_MS, &req, on_rows, v);
    clnt_flush(v->store); /* it is answered while the rows at hand are checked */
    return e;
}

static err_t await_rows(verifying *v)
{
    mono_ms next = clnt_pump(v->store);
    while (!v->arrived && !interrupted) {
        mono_ms now = clock_mono();
        zmq_pollitem_t item = {.socket = clnt_socket(v->store), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, next.ms > now.ms ? (long)(next.ms - now.ms) : 0);
        next = clnt_pump(v->store);
    }
    return interrupted ? ERR_STOPPING : v->answer;
}

static err_t fetch_one(void *ctx, uint64_t offset, stored_row *row)
{
    verifying *v = ctx;
    rows_reply reply;
    fetch_request req = {.after = offset - 1, .max = 1};
    buf_clear(&v->why);
    TRY(store_call_fetch_within(v->direct, ASK_MS, &req, &reply, &v->why));
    return msg_list_next(&stored_row_desc, &reply.rows, row) ? ERR_OK : ERR_NOT_FOUND;
}

static err_t check_rows(verifying *v, bytes raw, uint32_t n)
{
    msg_list list = {NULL, n, raw};
    stored_row row;
    while (v->at < v->head && msg_list_next(&stored_row_desc, &list, &row)) {
        TRY(verify_chain_row(v->chain, &row));
        v->at = row.offset;
    }
    progress_show(&v->bar, v->at, verify_chain_counts(v->chain).events);
    return ERR_OK;
}

static err_t check_log(verifying *v)
{
    buf now;
    err_t e = v->head > 0 ? ask_rows(v, 0, 0) : ERR_OK;
    buf_init(&now, MESSAGE_MAX_BYTES);
    while (e == ERR_OK && v->at < v->head) {
        e = await_rows(v);
        if (e != ERR_OK)
            break;
        buf full = v->raw;
        uint32_t n = v->reply.rows.n;
        v->raw = now; /* the next answer goes into the other buffer */
        now = full;
        if (n == 0) {
            e = ERR_NOT_FOUND;
            break;
        }
        if (v->reply.next < v->head)
            e = ask_rows(v, v->reply.epoch, v->reply.next);
        if (e == ERR_OK)
            e = check_rows(v, buf_view(&now), n);
    }
    buf_release(&now);
    return e;
}

/* Rows that the log lost without a trace: the index still knows where each chain ends. */
static err_t check_tips(verifying *v)
{
    tips_reply reply;
    tip_row t;
    buf_clear(&v->why);
    TRY(store_call_tips_within(v->direct, ASK_MS, &(tips_request){0}, &reply, &v->why));
    while (msg_list_next(&tip_row_desc, &reply.tips, &t))
        if (t.offset <= v->head)
            verify_chain_tip(v->chain, &t);
    return ERR_OK;
}

/* ---- what it found ---- */

typedef struct {
    verify_counts counts;
    seal_tally seals;
    verify_fault first;
    uint64_t bad, ms, rate;
} findings;

static findings gather(verifying *v)
{
    findings f = {.counts = verify_chain_counts(v->chain), .seals = verify_seals_finish(v->seals)};
    const seal_job *s = &f.seals.first_bad;
    f.ms = clock_mono().ms - v->began.ms;
    f.rate = f.counts.events * 1000 / (f.ms > 0 ? f.ms : 1);
    f.bad = f.counts.bad + f.seals.bad;
    f.first = f.counts.first;
    if (f.seals.bad > 0 && (f.first.offset == 0 || s->offset < f.first.offset)) {
        f.first = (verify_fault){.offset = s->offset, .feed = s->feed, .seq = s->seq};
        snprintf(f.first.what, sizeof f.first.what, "its seal is not its author's");
    }
    return f;
}

static void print_json(const findings *f, bool whole)
{
    char ref[OUT_REF_BYTES];
    buf b;
    buf_init(&b, 4096);
    out_open(&b);
    out_bool(&b, "ok", f->bad == 0 && whole);
    out_bool(&b, "whole", whole);
    out_u64(&b, "events", f->counts.events);
    out_u64(&b, "seals", f->seals.checked);
    out_u64(&b, "unsealed", f->counts.unsealed);
    out_u64(&b, "bad", f->bad);
    if (f->bad > 0) {
        out_ref(ref, f->first.feed, f->first.seq);
        out_begin(&b, "first_bad", '{');
        out_cstr(&b, "event", ref);
        out_u64(&b, "feed", f->first.feed);
        out_u64(&b, "seq", f->first.seq);
        out_u64(&b, "offset", f->first.offset);
        out_cstr(&b, "what", f->first.what);
        out_end(&b, '}');
    } else {
        out_null(&b, "first_bad");
    }
    out_u64(&b, "ms", f->ms);
    out_u64(&b, "events_per_s", f->rate);
    out_close(&b);
    buf_release(&b);
}

static void print_words(const findings *f)
{
    char ref[OUT_REF_BYTES];
    printf("%llu events and %llu seals checked in %.1f s (%llu events/s)",
           (unsigned long long)f->counts.events, (unsigned long long)f->seals.checked,
           (double)f->ms / 1000, (unsigned long long)f->rate);
    if (f->counts.unsealed > 0)
        printf("; %llu events are under no seal yet", (unsigned long long)f->counts.unsealed);
    printf("\n");
    if (f->bad == 0) {
        printf("All good.\n");
        return;
    }
    out_ref(ref, f->first.feed, f->first.seq);
    printf("BAD: %llu event%s. The first is %s at offset %llu: %s.\n", (unsigned long long)f->bad,
           f->bad > 1 ? "s" : "", ref, (unsigned long long)f->first.offset, f->first.what);
    fprintf(stderr, "A damaged row is never served; it is fetched again from the next peer that "
                    "has it. Look at the disk: cairn doctor.\n");
}

static int report(verifying *v, err_t e)
{
    findings f = gather(v);
    progress_clear(&v->bar);
    if (e != ERR_OK && e != ERR_STOPPING)
        return node_fail("verify ended at offset %llu of %llu: %.*s", (unsigned long long)v->at,
                         (unsigned long long)v->head,
                         (int)(v->why.len > 0 ? v->why.len : strlen(err_text(e))),
                         v->why.len > 0 ? (const char *)v->why.p : err_text(e));
    if (cmdline_has(v->line, "json"))
        print_json(&f, e == ERR_OK);
    else
        print_words(&f);
    if (e == ERR_STOPPING)
        return node_fail("stopped at offset %llu of %llu", (unsigned long long)v->at,
                         (unsigned long long)v->head);
    return f.bad == 0 && ferror(stdout) == 0 ? 0 : 1;
}

static int run(verifying *v)
{
    store_hello_reply hello;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char endpoint[128];
    if (node_ask_store_hello(&v->n, &(store_hello_request){0}, &hello) != ERR_OK)
        return 1;
    home_endpoint(&v->n.home, endpoint, "store", "sock");
    v->store = node_client(&v->n, "store");
    v->direct = clnt_new(&v->n.bus, "store", endpoint);
    v->head = hello.head;
    v->seals = verify_seals_new(&v->n.home.dataset, cores > 0 ? (unsigned)cores : 1);
    v->chain = v->seals != NULL
                   ? verify_chain_new(&v->n.home.dataset, random_u64(), v->seals, fetch_one, v)
                   : NULL;
    if (v->chain == NULL || v->direct == NULL)
        return node_fail("%s", err_text(ERR_NO_MEMORY));
    progress_init(&v->bar, v->head, cmdline_has(v->line, "quiet"));
    v->began = clock_mono();
    err_t e = check_log(v);
    if (e == ERR_OK && verify_chain_counts(v->chain).bad == 0)
        e = check_tips(v);
    return report(v, e);
}

int cmd_verify(const cmdline *c)
{
    verifying v = {.line = c};
    int status = 1;
    interrupt_catch();
    buf_init(&v.raw, MESSAGE_MAX_BYTES);
    buf_init(&v.why, 4 * ERROR_TEXT_MAX_BYTES);
    if (node_open(&v.n, cmdline_get(c, "home"), true))
        status = run(&v);
    clnt_free(v.direct);
    node_close(&v.n); /* a request under way ends here, into v */
    verify_chain_free(v.chain);
    verify_seals_free(v.seals);
    buf_release(&v.raw);
    buf_release(&v.why);
    return status;
}
