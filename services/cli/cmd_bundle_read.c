/* cairn bundle read: runs out of files to merge, which checks them like a peer's. What is here already is a duplicate
 * and cheap, so reading a file again is how to go on with it. */
#include "cli/bundle_file.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "shell/clock.h"

#include <stdlib.h>
#include <zmq.h>

#define WINDOW     8u /* runs on their way to merge */
#define PASSES_MAX 8u /* each lets in what the one before made known */

typedef struct {
    uint64_t events, seq; /* how many; the first of them */
    feed_id feed;
} reason;

/* One file. */
typedef struct {
    const char *path;
    bundle_progress got;
    err_t err;
    char why[1024]; /* of err */
    uint64_t duplicates, accepted, refused, waiting;
    reason reasons[ERR_COUNT];
} source;

typedef struct reading reading;
typedef struct {
    reading *r;
    bool busy;
    feed_id feed;
    uint64_t first_seq;
    uint32_t count;
} ingest;

struct reading {
    const cmdline *line;
    node n;
    clnt *merge;
    source *now;
    ingest flights[WINDOW];
    err_t err; /* merge could not do it: the file is not to blame */
    char words[ERROR_TEXT_MAX_BYTES + 1];
    progress bar;
    bool bar_known;
};

/* ---- to merge ---- */

static void note(source *s, const ingest *f, err_t code, uint64_t seq, uint64_t events)
{
    reason *why = &s->reasons[code < ERR_COUNT ? code : ERR_BUG];
    if (why->events == 0) {
        why->feed = f->feed;
        why->seq = seq;
    }
    why->events += events;
}

static void on_answer(void *ctx, err_t e, const char *text, const void *reply)
{
    ingest *f = ctx;
    reading *r = f->r;
    const ingest_reply *in = reply;
    source *s = r->now;
    f->busy = false;
    if (e != ERR_OK) {
        if (r->err == ERR_OK)
            snprintf(r->words, sizeof r->words, "%s", text);
        r->err = r->err == ERR_OK ? e : r->err;
        return;
    }
    s->accepted += in->accepted;
    s->duplicates += in->duplicates;
    s->refused += in->refused;
    if (in->code == ERR_GAP)
        s->waiting += f->count;
    if (in->code == ERR_GAP || in->refused > 0)
        note(s, f, (err_t)in->code, in->bad_seq > 0 ? in->bad_seq : f->first_seq,
             in->code == ERR_GAP ? f->count : in->refused);
}

/* Waits until at most `left` are under way. */
static void drain(reading *r, size_t left)
{
    mono_ms next = clnt_pump(r->merge);
    while (clnt_waiting(r->merge) > left && r->err == ERR_OK) {
        mono_ms now = clock_mono();
        zmq_pollitem_t item = {.socket = clnt_socket(r->merge), .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, next.ms > now.ms ? (long)(next.ms - now.ms) : 0);
        next = clnt_pump(r->merge);
    }
}

static err_t take(void *context, const run *one)
{
    reading *r = context;
    ingest_request req = {.run = one->all};
    ingest *f = r->flights;
    drain(r, WINDOW - 1);
    while (f->busy && f < r->flights + WINDOW - 1)
        f++;
    if (r->err != ERR_OK || interrupted)
        return ERR_STOPPING;
    *f = (ingest){r, true, one->feed, one->first_seq, one->count};
    err_t e = merge_clnt_ingest(r->merge, &req, on_answer, f);
    clnt_flush(r->merge);
    f->busy = e == ERR_OK;
    return e;
}

static bool seen(void *context, uint64_t at, uint64_t size)
{
    reading *r = context;
    if (!r->bar_known)
        progress_init(&r->bar, size, size == 0 || cmdline_has(r->line, "quiet"));
    r->bar_known = true;
    progress_show(&r->bar, at, r->now->accepted + r->now->duplicates);
    return !interrupted && r->err == ERR_OK;
}

/* ---- files and passes ---- */

static void read_source(reading *r, source *s, bool again)
{
    buf why;
    source before = *s;
    buf_init(&why, sizeof s->why);
    *s = (source){.path = s->path};
    r->now = s;
    r->bar_known = false;
    s->err = bundle_file_read(s->path, &r->n.home.dataset, take, seen, r, &s->got, &why);
    drain(r, 0);
    progress_clear(&r->bar);
    if (s->err != ERR_OK && s->err != ERR_STOPPING)
        bundle_file_words(s->path, s->err, &s->got, &r->n.home.dataset, &why);
    snprintf(s->why, sizeof s->why, "%.*s", (int)why.len, why.len > 0 ? (const char *)why.p : "");
    buf_release(&why);
    /* What was here before the first pass is what the first pass found; all else that is here now came in. */
    if (again)
        s->duplicates = before.duplicates;
    uint64_t out = s->duplicates + s->refused + s->waiting;
    s->accepted = s->got.events > out ? s->got.events - out : 0;
}

static bool may_get_in(const source *s)
{
    return s->waiting > 0 || s->reasons[ERR_NOT_MEMBER].events > 0;
}

static void read_all(reading *r, source *sources, size_t n)
{
    uint64_t in = 0;
    for (size_t i = 0; i < n && r->err == ERR_OK && !interrupted; i++) {
        read_source(r, &sources[i], false);
        in += sources[i].accepted;
    }
    for (unsigned pass = 1; pass < PASSES_MAX && in > 0 && r->err == ERR_OK && !interrupted;
         pass++) {
        in = 0;
        for (size_t i = 0; i < n && r->err == ERR_OK && !interrupted; i++) {
            uint64_t before = sources[i].accepted;
            if (!may_get_in(&sources[i]) || strcmp(sources[i].path, "-") == 0)
                continue;
            read_source(r, &sources[i], true);
            in +=
                sources[i].accepted - (before < sources[i].accepted ? before : sources[i].accepted);
        }
    }
}

/* ---- what became of them ---- */

static void report_json(const source *s)
{
    char ref[OUT_REF_BYTES];
    buf b;
    buf_init(&b, 1u << 16);
    out_open(&b);
    out_cstr(&b, "file", s->path);
    out_u64(&b, "events", s->got.events);
    out_u64(&b, "runs", s->got.runs);
    out_u64(&b, "accepted", s->accepted);
    out_u64(&b, "duplicates", s->duplicates);
    out_u64(&b, "refused", s->refused);
    out_u64(&b, "waiting", s->waiting);
    out_bool(&b, "complete", s->got.complete);
    out_begin(&b, "reasons", '[');
    for (size_t i = 0; i < ERR_COUNT; i++) {
        if (s->reasons[i].events == 0)
            continue;
        out_ref(ref, s->reasons[i].feed, s->reasons[i].seq);
        out_begin(&b, NULL, '{');
        out_cstr(&b, "code", err_name((err_t)i));
        out_u64(&b, "events", s->reasons[i].events);
        out_cstr(&b, "first", ref);
        out_cstr(&b, "text", err_text((err_t)i));
        out_end(&b, '}');
    }
    out_end(&b, ']');
    out_close(&b);
    buf_release(&b);
}

static void report_words(const source *s)
{
    char ref[OUT_REF_BYTES];
    printf("%s: %llu events: %llu new, %llu here already, %llu refused", s->path,
           (unsigned long long)s->got.events, (unsigned long long)s->accepted,
           (unsigned long long)s->duplicates, (unsigned long long)s->refused);
    if (s->waiting > 0)
        printf(", %llu wait for earlier ones", (unsigned long long)s->waiting);
    printf("\n");
    for (size_t i = 0; i < ERR_COUNT; i++) {
        if (s->reasons[i].events == 0)
            continue;
        out_ref(ref, s->reasons[i].feed, s->reasons[i].seq);
        fprintf(stderr, "  %llu not taken, the first is %s: %s\n",
                (unsigned long long)s->reasons[i].events, ref, err_text((err_t)i));
    }
}

static int report(const reading *r, const source *sources, size_t n)
{
    int status = 0;
    for (size_t i = 0; i < n; i++) {
        const source *s = &sources[i];
        bool foreign = s->got.bytes == 0; /* nothing of it was a bundle of ours */
        if (cmdline_has(r->line, "json"))
            report_json(s);
        else if (!foreign)
            report_words(s);
        if (s->why[0] != '\0')
            node_fail("%s", s->why);
        if (s->err != ERR_OK || s->refused > 0 || s->waiting > 0)
            status = 1;
    }
    if (r->err != ERR_OK)
        return node_fail("%s; what was taken stays, read it again to go on", r->words);
    if (interrupted)
        return node_fail("stopped; what was taken stays, read it again to go on");
    return status;
}

int cmd_bundle_read(const cmdline *c)
{
    reading r = {.line = c};
    size_t n = cmdline_arg_count(c);
    source *sources = calloc(n, sizeof *sources);
    int status = 1;
    interrupt_catch();
    for (size_t i = 0; sources != NULL && i < n; i++)
        sources[i].path = cmdline_arg(c, i);
    if (node_open(&r.n, cmdline_get(c, "home"), true) && sources != NULL) {
        merge_status_reply ready;
        r.merge = node_client(&r.n, "merge");
        if (r.merge != NULL &&
            node_ask_merge_status(&r.n, &(merge_status_request){0}, &ready) == ERR_OK) {
            read_all(&r, sources, n);
            status = report(&r, sources, n);
        }
    }
    node_close(&r.n);
    free(sources);
    return status;
}
