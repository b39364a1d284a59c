/* cairn status: the honest table. Each service is asked on its own; one that does not answer is a line, not an end. */
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/status_radio.h"
#include "cli/supervise.h"
#include "pure/roster_event.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ASK_MS         1500u
#define ALIVE_MS       5000u
#define DIGEST_MS      30000u
#define JOINS_SHOWN_MS (3600ull * 1000)

typedef struct {
    const cmdline *line;
    node n;
    buf json;
    bool as_json, merge, store, view_known;
    merge_status_reply status;
    store_hello_reply hello;
    uint64_t events;
    event_id frontier, view;
    uint64_t conflicts, position, records;
    char node_name[NAME_MAX_BYTES + 1], title[TITLE_MAX_BYTES + 1];
} state;

/* ---- gathering ---- */

static void ask_merge(state *s)
{
    s->merge = node_peek_merge_status(&s->n, ASK_MS, &(merge_status_request){0}, &s->status);
    snprintf(s->node_name, sizeof s->node_name, "%.*s", (int)(s->merge ? s->status.node.len : 0),
             (const char *)s->status.node.p);
    snprintf(s->title, sizeof s->title, "%.*s", (int)(s->merge ? s->status.title.len : 0),
             (const char *)s->status.title.p);
}

static void ask_view(state *s, bool digest)
{
    views_reply reply;
    view_row row;
    health_reply h;
    views_request req = {.with_digest = digest, .min_offset = s->store ? s->hello.head : 0};
    /* A digest of many records takes its time; a projection that is stopped is not waited for so long. */
    s->view_known = (!digest || node_peek_health(&s->n, "projection", ALIVE_MS, &h)) &&
                    node_peek_views(&s->n, digest ? DIGEST_MS : ASK_MS, &req, &reply);
    if (!s->view_known)
        return;
    s->view = reply.digest;
    while (msg_list_next(&view_row_desc, &reply.views, &row)) {
        s->conflicts = row.conflicts;
        s->position = row.position;
        s->records = row.records;
    }
}

/* What the supervisor says of each process, if there is one. */
static size_t ask_processes(state *s, process_row rows[SUPERVISE_MAX])
{
    processes_reply reply;
    size_t n = 0;
    if (!node_peek_processes(&s->n, 500, &(processes_request){0}, &reply))
        return 0;
    while (n < SUPERVISE_MAX && msg_list_next(&process_row_desc, &reply.processes, &rows[n]))
        n++;
    return n;
}

/* The radio's is a process only where somebody wants it. */
static size_t process_names(const state *s, size_t n_rows, const char *names[SUPERVISE_MAX])
{
    memcpy(names, supervise_names, sizeof supervise_names);
    names[SUPERVISE_PROCESSES] = SUPERVISE_RADIO;
    return n_rows > SUPERVISE_PROCESSES || node_listens(&s->n, SUPERVISE_RADIO)
               ? SUPERVISE_MAX
               : SUPERVISE_PROCESSES;
}

static void gather(state *s)
{
    ask_merge(s);
    s->store = node_peek_store_hello(&s->n, ASK_MS, &(store_hello_request){0}, &s->hello);
    ask_view(s, s->as_json);
}

/* ---- JSON ---- */

static void feeds_json(state *s, const frontier_reply *f)
{
    msg_list list = f->entries;
    frontier_row e;
    char name[FEED_TEXT_BYTES];
    out_begin(&s->json, "feeds", '[');
    while (msg_list_next(&frontier_row_desc, &list, &e)) {
        feed_text(name, e.feed);
        out_begin(&s->json, NULL, '{');
        out_u64(&s->json, "feed", e.feed);
        out_cstr(&s->json, "name", name);
        out_u64(&s->json, "seq", e.seq);
        out_hex(&s->json, "head", e.id.b, sizeof e.id.b);
        out_end(&s->json, '}');
    }
    out_end(&s->json, ']');
}

static void frontier_json(state *s)
{
    frontier_reply f;
    if (!node_peek_frontier(&s->n, ASK_MS, &(frontier_request){0}, &f)) {
        out_null(&s->json, "events");
        out_begin(&s->json, "feeds", '[');
        out_end(&s->json, ']');
        out_null(&s->json, "frontier_digest");
        return;
    }
    out_u64(&s->json, "events", f.events);
    feeds_json(s, &f);
    out_hex(&s->json, "frontier_digest", f.digest.b, sizeof f.digest.b);
}

static void peer_json(buf *b, const peer_row *p)
{
    out_begin(b, NULL, '{');
    out_u64(b, "member", p->member);
    out_str(b, "name", p->name);
    out_str(b, "address", p->address);
    out_str(b, "link", p->link);
    out_str(b, "state", p->state);
    out_time(b, "heard", p->heard_ms);
    out_u64(b, "they_lack", p->they_lack);
    out_u64(b, "we_lack", p->we_lack);
    out_time(b, "as_of", p->as_of_ms);
    out_time(b, "next_try", p->next_try_ms);
    out_str(b, "error", p->error);
    out_u64(b, "sent_bytes", p->sent_bytes);
    out_u64(b, "received_bytes", p->received_bytes);
    out_end(b, '}');
}

static void peers_json(state *s)
{
    peers_reply reply;
    peer_row p;
    out_begin(&s->json, "peers", '[');
    if (node_peek_peers(&s->n, ASK_MS, &(peers_request){0}, &reply))
        while (msg_list_next(&peer_row_desc, &reply.peers, &p))
            peer_json(&s->json, &p);
    out_end(&s->json, ']');
}

/* Of a process that does not answer. `p`, what the supervisor says of it, may be NULL. */
static void silent_words(const state *s, char *out, size_t size, const process_row *p)
{
    if (s->n.other_version)
        snprintf(out, size, "speaks the protocol of another version (cairn down, cairn up)");
    else if (p == NULL || (p->why.len == 0 && p->pid == 0))
        snprintf(out, size, "does not answer (cairn up)");
    else if (p->pid != 0)
        snprintf(out, size, "does not answer, though it runs as process %u: stopped or stuck",
                 p->pid);
    else
        snprintf(out, size, "%.*s", (int)p->why.len, (const char *)p->why.p);
}

static void process_json(state *s, const char *name, const process_row *p)
{
    health_reply h;
    char silent[ERROR_TEXT_MAX_BYTES + 1];
    bool answers = node_peek_health(&s->n, name, 700, &h);
    out_begin(&s->json, NULL, '{');
    out_cstr(&s->json, "name", name);
    out_bool(&s->json, "up", answers);
    out_bool(&s->json, "ready", answers && h.ready);
    silent_words(s, silent, sizeof silent, p);
    out_str(&s->json, "why", answers ? h.state : bytes_str(silent));
    out_time(&s->json, "since", answers ? h.since_ms : p != NULL ? p->since_ms : 0);
    out_u64(&s->json, "pid", answers ? h.pid : 0);
    out_u64(&s->json, "restarts", p != NULL ? p->restarts : 0);
    out_end(&s->json, '}');
}

static void processes_json(state *s)
{
    process_row rows[SUPERVISE_MAX];
    const char *names[SUPERVISE_MAX];
    size_t n = ask_processes(s, rows), n_names = process_names(s, n, names);
    out_begin(&s->json, "processes", '[');
    for (size_t i = 0; i < n_names; i++)
        process_json(s, names[i], i < n ? &rows[i] : NULL);
    out_end(&s->json, ']');
}

static void joins_json(state *s)
{
    pending_reply reply;
    pending_row p;
    out_begin(&s->json, "joins", '[');
    if (node_peek_pending(&s->n, ASK_MS, &(pending_request){0}, &reply))
        while (msg_list_next(&pending_row_desc, &reply.joins, &p)) {
            out_begin(&s->json, NULL, '{');
            out_str(&s->json, "name", p.name);
            out_str(&s->json, "code", p.code);
            out_str(&s->json, "state", p.state);
            out_u64(&s->json, "member", p.number);
            out_time(&s->json, "at", p.at_ms);
            out_end(&s->json, '}');
        }
    out_end(&s->json, ']');
}

static void print_json(state *s)
{
    char hex[2 * EVENT_ID_BYTES + 1];
    hex_encode(hex, s->n.home.dataset.b, EVENT_ID_BYTES);
    out_open(&s->json);
    out_cstr(&s->json, "node", s->node_name);
    out_u64(&s->json, "member", s->merge ? s->status.self : 0);
    out_cstr(&s->json, "dataset", hex);
    out_cstr(&s->json, "title", s->title);
    frontier_json(s);
    if (s->view_known)
        out_hex(&s->json, "view_digest", s->view.b, sizeof s->view.b);
    else
        out_null(&s->json, "view_digest");
    out_u64(&s->json, "records", s->records);
    out_u64(&s->json, "conflicts", s->conflicts);
    out_u64(&s->json, "incarnation", s->merge ? s->status.incarnation : 0);
    out_bool(&s->json, "removed", s->merge && s->status.removed);
    out_bool(&s->json, "founder", s->merge && s->status.founder);
    out_bool(&s->json, "heir_waits", s->merge && s->status.heir_waits);
    out_u64(&s->json, "orphans", s->merge ? s->status.orphans : 0);
    out_bool(&s->json, "clock_unsure", s->merge && s->status.clock_unsure);
    out_u64(&s->json, "forks", s->merge ? s->status.forks.n : 0);
    out_u64(&s->json, "damaged", s->store ? s->hello.damaged : 0);
    peers_json(s);
    joins_json(s);
    processes_json(s);
    status_radio_json(&s->n, &s->json);
    out_close(&s->json);
}

/* ---- words ---- */

static void print_node(state *s)
{
    frontier_reply f;
    bool known = node_peek_frontier(&s->n, ASK_MS, &(frontier_request){0}, &f);
    printf("%s  \"%s\"  member %u", s->merge ? s->node_name : "(merge does not answer)", s->title,
           s->merge ? s->status.self : 0);
    if (s->merge && s->status.founder && s->status.self != 1)
        printf(", acting for the founder");
    if (known)
        printf("  %llu events", (unsigned long long)f.events);
    if (s->view_known)
        printf("  %llu records  %llu conflicts%s", (unsigned long long)s->records,
               (unsigned long long)s->conflicts,
               s->store && s->position < s->hello.head ? "  (view is catching up)" : "");
    printf("\n");
    if (s->merge && s->status.removed)
        printf("! this node was removed from the dataset: what it writes counts nowhere\n");
    if (s->merge && s->status.heir_waits)
        printf(
            "The heir key of this dataset is still on this machine: cairn heir take shows it once, "
            "for paper, and removes it.\n");
    if (s->merge && s->status.orphans > 0)
        printf("! %u member%s lost whoever had added %s: cairn member readd --all%s\n",
               s->status.orphans, s->status.orphans > 1 ? "s" : "",
               s->status.orphans > 1 ? "them" : "it",
               s->status.founder ? "" : ", at the founder's");
    if (s->merge && s->status.clock_unsure)
        printf("! the clock of this machine is not set: times of new events are unsure\n");
    if (s->merge && s->status.forks.n > 0)
        printf("! %u feed%s forked (a copied or stolen key): see cairn member ls\n",
               s->status.forks.n, s->status.forks.n > 1 ? "s have" : " has");
    if (s->store && s->hello.damaged > 0)
        printf("! %llu damaged rows wait for a good copy from a peer\n",
               (unsigned long long)s->hello.damaged);
    if (s->store && s->hello.state != ERR_OK)
        printf("! store: %s\n", err_text((err_t)s->hello.state));
}

static void print_processes(state *s, uint64_t now)
{
    static const char *const columns[] = {"PROCESS", "STATE", "SINCE", ">RESTARTS", "WHY", NULL};
    process_row rows[SUPERVISE_MAX];
    const char *names[SUPERVISE_MAX];
    size_t n = ask_processes(s, rows), n_names = process_names(s, n, names);
    out_table *t = out_table_new(columns);
    for (size_t i = 0; i < n_names; i++) {
        health_reply h;
        char since[32], restarts[16], words[ERROR_TEXT_MAX_BYTES + 1];
        bool up = node_peek_health(&s->n, names[i], 700, &h);
        out_ago(since, up ? h.since_ms : i < n ? rows[i].since_ms : 0, now);
        snprintf(restarts, sizeof restarts, "%u", i < n ? rows[i].restarts : 0);
        if (up)
            snprintf(words, sizeof words, "%.*s", (int)h.state.len, (const char *)h.state.p);
        else
            silent_words(s, words, sizeof words, i < n ? &rows[i] : NULL);
        out_table_row(t,
                      (const char *const[]){names[i], up ? h.ready ? "up" : "up, waiting" : "down",
                                            since, restarts, words, NULL});
    }
    out_table_print(t);
}

static void lack_cell(char out[64], uint64_t lack, const peer_row *p, uint64_t now)
{
    char ago[32];
    if (p->as_of_ms == 0) {
        snprintf(out, 64, "?");
        return;
    }
    out_ago(ago, p->as_of_ms, now);
    snprintf(out, 64, "%llu (%s)", (unsigned long long)lack, ago);
}

static void peer_cells(out_table *t, const peer_row *p, uint64_t now)
{
    char name[NAME_MAX_BYTES + 24], link[ADDRESS_MAX_BYTES + 24], heard[32], they[64], we[64],
        next[32] = "", error[ERROR_TEXT_MAX_BYTES + 1], state_text[40];
    if (p->name.len > 0)
        snprintf(name, sizeof name, "%.*s", (int)p->name.len, (const char *)p->name.p);
    else
        snprintf(name, sizeof name, "(unknown)");
    snprintf(link, sizeof link, "%.*s %.*s", (int)p->link.len, (const char *)p->link.p,
             (int)p->address.len, (const char *)p->address.p);
    snprintf(state_text, sizeof state_text, "%.*s", (int)p->state.len, (const char *)p->state.p);
    out_ago(heard, p->heard_ms, now);
    lack_cell(they, p->they_lack, p, now);
    lack_cell(we, p->we_lack, p, now);
    if (p->next_try_ms > now)
        snprintf(next, sizeof next, "in %llu s",
                 (unsigned long long)(p->next_try_ms - now + 999) / 1000);
    snprintf(error, sizeof error, "%.*s", (int)p->error.len, (const char *)p->error.p);
    out_table_row(
        t, (const char *const[]){name, link, state_text, heard, they, we, next, error, NULL});
}

static void print_peers(state *s, uint64_t now)
{
    static const char *const columns[] = {
        "PEER",     "LINK", "STATE", "HEARD", ">THEY LACK (as of)", ">WE LACK (as of)",
        "NEXT TRY", "NOTE", NULL};
    peers_reply reply;
    peer_row p;
    if (!node_peek_peers(&s->n, ASK_MS, &(peers_request){0}, &reply))
        return;
    if (reply.peers.n == 0) {
        printf("No peers yet: cairn invite NAME here, or cairn up --peer HOST:PORT.\n");
        return;
    }
    out_table *t = out_table_new(columns);
    while (msg_list_next(&peer_row_desc, &reply.peers, &p))
        peer_cells(t, &p, now);
    out_table_print(t);
}

/* Who came by an invitation lately, with the code that its screen shows too. */
static void print_joins(state *s, uint64_t now)
{
    pending_request req = {.since_ms = now > JOINS_SHOWN_MS ? now - JOINS_SHOWN_MS : 0};
    pending_reply reply;
    pending_row p;
    if (!node_peek_pending(&s->n, ASK_MS, &req, &reply))
        return;
    while (msg_list_next(&pending_row_desc, &reply.joins, &p)) {
        char ago[32];
        out_ago(ago, p.at_ms, now);
        printf("%.*s %.*s, confirm code %.*s (%s)\n", (int)p.name.len, (const char *)p.name.p,
               (int)p.state.len, (const char *)p.state.p, (int)p.code.len, (const char *)p.code.p,
               ago);
    }
}

static void print_words(state *s)
{
    uint64_t now = clock_wall().ms;
    print_node(s);
    printf("\n");
    print_processes(s, now);
    printf("\n");
    print_peers(s, now);
    status_radio_words(&s->n, now);
    print_joins(s, now);
}

static int show(state *s)
{
    gather(s);
    if (s->as_json)
        print_json(s);
    else
        print_words(s);
    if (s->merge && s->store)
        return 0;
    if (!s->as_json && s->n.other_version)
        node_fail("the node in %s runs another version of Cairn: cairn down, then cairn up",
                  s->n.home.path);
    else if (!s->as_json)
        node_fail("the node in %s is not up: cairn up --detach", s->n.home.path);
    return 1;
}

static int watch(state *s)
{
    interrupt_catch();
    while (!interrupted) {
        if (!s->as_json && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        (void)show(s);
        fflush(stdout);
        struct timespec pause = {1, 0};
        if (!interrupted)
            nanosleep(&pause, NULL);
    }
    return 0;
}

int cmd_status(const cmdline *c)
{
    state *s = calloc(1, sizeof *s);
    int status = 1;
    if (s == NULL)
        return node_fail("out of memory");
    s->line = c;
    s->as_json = cmdline_has(c, "json");
    buf_init(&s->json, 8u << 20);
    if (node_open(&s->n, cmdline_get(c, "home"), true))
        status = cmdline_has(c, "watch") ? watch(s) : show(s);
    node_close(&s->n);
    buf_release(&s->json);
    free(s);
    return status;
}
