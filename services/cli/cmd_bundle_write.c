/* cairn bundle write: all counting events under a seal, as runs in one file, the roster's feeds first. */
#include "cli/bundle_ends.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/whole_file.h"
#include "pure/bundle.h"
#include "pure/roster_event.h"

#include <stdlib.h>
#include <unistd.h>

#define TRIES_MAX                                                                                  \
    256u /* earlier ends asked about for one entry; beyond that its chain is written whole */

typedef struct {
    frontier_entry at;
    int rank;
} wanted;

typedef struct {
    const cmdline *line;
    node n;
    wanted *entries;
    size_t n_entries, feeds;
    uint64_t total, left_out; /* events: to look at, not written because --since has them */
    size_t failed;            /* entries whose rest could not be read */
    whole_file file;
    bundle_progress done;
    bundle_ends ends;
    buf piece, why;
    progress bar;
} writing;

/* ---- what to write, in which order ---- */

/* Runs by unknown authors are refused, so whoever adds members comes before the members. */
static int rank_of(feed_id feed, uint8_t role)
{
    feed_class class = feed_class_of(feed);
    if (feed == ROSTER_FOUNDER_FEED)
        return 0;
    if (class == CLASS_ROUTINE && role <= 1)
        return 1;
    return class == CLASS_EXPRESS ? 2 : class == CLASS_ROUTINE ? 3 : 4;
}

static int by_rank(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    return x->rank != y->rank ? x->rank - y->rank : frontier_entry_cmp(&x->at, &y->at);
}

static err_t ask_roles(writing *w, uint8_t *roles)
{
    members_reply reply;
    member_row m;
    memset(roles, 2, MEMBERS_MAX + 1u);
    TRY(node_ask_members(&w->n, &(members_request){0}, &reply));
    while (msg_list_next(&member_row_desc, &reply.members, &m))
        if (m.role < roles[m.number])
            roles[m.number] = m.role;
    return ERR_OK;
}

static err_t ask_entries(writing *w, const uint8_t *roles)
{
    frontier_reply reply;
    frontier_row e;
    TRY(node_ask_frontier(&w->n, &(frontier_request){0}, &reply));
    w->entries = calloc(reply.entries.n + 1u, sizeof *w->entries);
    if (w->entries == NULL) {
        node_fail("%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    while (msg_list_next(&frontier_row_desc, &reply.entries, &e)) {
        w->entries[w->n_entries++] =
            (wanted){{e.feed, e.seq, e.id}, rank_of(e.feed, roles[feed_member(e.feed)])};
        w->total += e.seq;
    }
    qsort(w->entries, w->n_entries, sizeof *w->entries, by_rank);
    return ERR_OK;
}

static err_t ask_what(writing *w)
{
    uint8_t *roles = malloc(MEMBERS_MAX + 1u);
    err_t e = roles != NULL ? ask_roles(w, roles) : ERR_NO_MEMORY;
    if (e == ERR_OK)
        e = ask_entries(w, roles);
    free(roles);
    return e;
}

/* ---- runs ---- */

static err_t ask_run(writing *w, const frontier_entry *to, uint64_t after_seq,
                     const event_id *after_id, run_reply *reply)
{
    run_request req = {.feed = to->feed,
                       .after_seq = after_seq,
                       .after_id = *after_id,
                       .tip_seq = to->seq,
                       .tip_id = to->id,
                       .max_bytes = GOSSIP_RUN_BYTES};
    return node_try_run(&w->n, NODE_WAIT_MS, &req, reply);
}

/* Where to begin: behind the last end that somebody has and that leads to this entry. */
static err_t first_run(writing *w, const frontier_entry *to, uint64_t *after, run_reply *reply)
{
    static const event_id any;
    const frontier_entry *end = bundle_ends_before(&w->ends, to->feed, to->seq);
    for (unsigned i = 0; i < TRIES_MAX && end != NULL; i++) {
        *after = end->seq;
        *reply = (run_reply){0};
        if (event_id_eq(&end->id, &to->id))
            return ERR_OK;
        err_t e = end->seq < to->seq ? ask_run(w, to, end->seq, &end->id, reply) : ERR_NOT_FOUND;
        if (e != ERR_NOT_FOUND)
            return e;
        end = end > w->ends.at && end[-1].feed == to->feed ? end - 1 : NULL;
    }
    *after = 0;
    return ask_run(w, to, 0, &any, reply);
}

static err_t write_run(writing *w, bytes encoded, uint64_t *after)
{
    run r;
    TRY(run_decode(encoded, &r));
    buf_clear(&w->piece);
    TRY(bundle_add(&w->done, &r, &w->piece));
    TRY(bundle_ends_add(&w->ends, &r));
    if (!whole_file_add(&w->file, buf_view(&w->piece), &w->why))
        return ERR_IO;
    *after = r.first_seq + r.count - 1;
    return ERR_OK;
}

/* One entry. What the store cannot give (a damaged row) is left out and said; what cannot be written ends all. */
static err_t write_entry(writing *w, const frontier_entry *to)
{
    static const event_id any;
    run_reply reply;
    uint64_t after = 0;
    err_t e = first_run(w, to, &after, &reply);
    w->left_out += after;
    while (e == ERR_OK && reply.run.len > 0 && !interrupted) {
        TRY(write_run(w, reply.run, &after));
        progress_show(&w->bar, w->done.events + w->left_out, w->done.events);
        if (after >= to->seq)
            return ERR_OK;
        e = ask_run(w, to, after, &any, &reply);
    }
    if (e == ERR_TIMEOUT || interrupted)
        return interrupted ? ERR_STOPPING : e;
    if (e == ERR_OK)
        return ERR_OK;
    char ref[OUT_REF_BYTES];
    out_ref(ref, to->feed, after + 1);
    progress_clear(&w->bar);
    node_fail("left out: %s and what follows: %.*s", ref, (int)w->n.words.len,
              (const char *)w->n.words.p);
    w->failed++;
    return ERR_OK;
}

static err_t write_all(writing *w)
{
    buf_clear(&w->piece);
    TRY(bundle_begin(&w->done, &w->n.home.dataset, &w->piece));
    if (!whole_file_add(&w->file, buf_view(&w->piece), &w->why))
        return ERR_IO;
    for (size_t i = 0; i < w->n_entries; i++) {
        const frontier_entry *to = &w->entries[i].at;
        w->feeds += i == 0 || to->feed != w->entries[i - 1].at.feed;
        TRY(write_entry(w, to));
    }
    buf_clear(&w->piece);
    TRY(bundle_end(&w->done, &w->piece));
    if (!whole_file_add(&w->file, buf_view(&w->piece), &w->why) ||
        !whole_file_commit(&w->file, &w->why))
        return ERR_IO;
    return ERR_OK;
}

/* ---- the command ---- */

static void report(writing *w, const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    if (cmdline_has(w->line, "json") && !standard) {
        buf b;
        buf_init(&b, 1u << 16);
        out_open(&b);
        out_cstr(&b, "file", path);
        out_u64(&b, "events", w->done.events);
        out_u64(&b, "feeds", w->feeds);
        out_u64(&b, "runs", w->done.runs);
        out_u64(&b, "bytes", w->done.bytes);
        out_u64(&b, "left_out", w->left_out);
        out_close(&b);
        buf_release(&b);
    } else if (!cmdline_has(w->line, "quiet")) {
        fprintf(standard ? stderr : stdout, "%s holds %llu events in %llu runs, %llu bytes",
                standard ? "The bundle" : path, (unsigned long long)w->done.events,
                (unsigned long long)w->done.runs, (unsigned long long)w->done.bytes);
        if (w->left_out > 0)
            fprintf(standard ? stderr : stdout, "; %llu events are in the earlier one",
                    (unsigned long long)w->left_out);
        fputs(standard ? ".\n" : ". Elsewhere: cairn bundle read FILE\n",
              standard ? stderr : stdout);
    }
}

static int write_bundle(writing *w, const char *path, const char *since)
{
    if (since != NULL && !bundle_ends_read(&w->ends, since, &w->n.home.dataset, &w->why))
        return node_fail("%.*s", (int)w->why.len, (const char *)w->why.p);
    if (ask_what(w) != ERR_OK)
        return 1;
    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO))
        return node_fail("a bundle is not for a terminal: name a FILE or a pipe");
    if (!whole_file_create(&w->file, path, &w->why))
        return node_fail("%.*s", (int)w->why.len, (const char *)w->why.p);
    progress_init(&w->bar, w->total, cmdline_has(w->line, "quiet"));
    err_t e = write_all(w);
    progress_clear(&w->bar);
    whole_file_discard(&w->file);
    if (e != ERR_OK && w->why.len == 0)
        buf_add_str(&w->why, e == ERR_STOPPING ? "stopped: nothing was written"
                             : w->n.words.len > 0 && e == ERR_TIMEOUT
                                 ? "the store does not answer: cairn status"
                                 : err_text(e));
    if (e != ERR_OK)
        return node_fail("%.*s", (int)w->why.len, (const char *)w->why.p);
    report(w, path);
    return w->failed == 0 ? 0 : 1;
}

int cmd_bundle_write(const cmdline *c)
{
    writing w = {.line = c};
    int status = 1;
    interrupt_catch();
    buf_init(&w.piece, BUNDLE_RECORD_MAX_BYTES);
    buf_init(&w.why, 8192);
    if (node_open(&w.n, cmdline_get(c, "home"), true))
        status = write_bundle(&w, cmdline_arg(c, 0), cmdline_get(c, "since"));
    whole_file_discard(&w.file);
    node_close(&w.n);
    bundle_ends_release(&w.ends);
    free(w.entries);
    buf_release(&w.piece);
    buf_release(&w.why);
    return status;
}
