/* A view of the records as a worker keeps it: streams that new rows touch are folded again, a changed row touches the
 * stream of what it speaks of. And the same from nothing, to compare. */
#include "tests/sim/sim.h"

#include "pure/erasure.h"

#define VIEW_ROWS 256u

void sim_view_init(sim_view *v)
{
    *v = (sim_view){.forks = forks_new(), .folder = record_folder_new()};
    if (v->forks == NULL || v->folder == NULL)
        abort();
    arena_init(&v->arena);
}

void sim_view_release(sim_view *v)
{
    if (v->folder == NULL)
        return;
    forks_free(&v->forks);
    record_folder_free(&v->folder);
    arena_release(&v->arena);
    for (uint32_t s = 0; s < SIM_STREAMS; s++)
        free(v->line[s]);
    *v = (sim_view){0};
}

static err_t read_body(unsigned flags, bytes body, event_view *v)
{
    return flags & ROW_ERASED ? event_parse_erased(body, v) : event_parse(body, v);
}

static bool understood(const stored_row *row, event_view *v)
{
    return (row->flags & (ROW_CHANGED | ROW_DAMAGED)) == 0 &&
           read_body(row->flags, row->body, v) == ERR_OK && !v->opaque;
}

/* A removal that lists forks may void references in any stream; every other one only changes verdicts, and those are
 * announced. */
static bool voids_references(const event_view *v)
{
    static roster_lists_room room;
    roster_event r;
    return bytes_is(v->category, ROSTER_CATEGORY) && bytes_is(v->kind, ROSTER_KIND_REMOVE) &&
           roster_event_read(ROSTER_EV_REMOVE, v->payload, &room, &r) == ERR_OK && r.n_forks > 0;
}

static void touch(sim_world *w, sim_node *n, const event_view *v)
{
    uint32_t s = sim_stream_of(w, v->category, v->stream);
    if (s != SIM_NONE)
        n->view.touched[s] = true;
    if (voids_references(v))
        memset(n->view.touched, true, sizeof n->view.touched);
}

static bool touch_target(sim_world *w, sim_node *n, uint64_t offset)
{
    fetch_request req = {.after = offset - 1, .max = 1};
    rows_reply reply;
    stored_row row;
    event_view v;
    if (store_fetch(n->store, &req, &reply) != ERR_OK ||
        !msg_list_next(&stored_row_desc, &reply.rows, &row))
        return false;
    if (understood(&row, &v))
        touch(w, n, &v);
    return true;
}

static bool load_fork(sim_node *n, feed_id feed)
{
    uint64_t from = 1;
    forks_load_begin(n->view.forks, feed);
    while (from != 0) {
        read_feed_request req = {.feed = feed, .from_seq = from, .to_seq = UINT64_MAX, .max = 64};
        rows_reply reply;
        stored_row row;
        if (store_read_feed(n->store, &req, &reply) != ERR_OK)
            return false;
        while (msg_list_next(&stored_row_desc, &reply.rows, &row))
            if (forks_load_row(n->view.forks, &row) != ERR_OK)
                return false;
        from = reply.next;
    }
    forks_load_end(n->view.forks, feed);
    return true;
}

static bool know_forks(sim_node *n)
{
    feed_id feed;
    while (forks_wants(n->view.forks, &feed))
        if (!load_fork(n, feed))
            return false;
    return forks_label(n->view.forks) == ERR_OK;
}

static bool barred(const void *ctx, feed_id by, feed_id feed, uint64_t seq)
{
    return roster_refs_void(ctx, by, feed, seq);
}

/* ---- folding ---- */

typedef struct {
    refs_event events[2 * VIEW_ROWS];
    event_view views[2 * VIEW_ROWS];
    event_id ids[2 * VIEW_ROWS];
    bytes keys[512];
    uint32_t n, n_keys;
    buf bodies;
} gathered;

static bool gather(sim_node *n, const sim_stream *s, gathered *g)
{
    for (uint64_t from = 0;; from += VIEW_ROWS) {
        read_stream_request req = {.category = bytes_str(s->category),
                                   .stream = bytes_str(s->name),
                                   .from = from,
                                   .max = VIEW_ROWS};
        rows_reply reply;
        stored_row row;
        if (store_read_stream(n->store, &req, &reply) != ERR_OK)
            return false;
        while (msg_list_next(&stored_row_desc, &reply.rows, &row) && g->n < 2 * VIEW_ROWS) {
            if ((row.flags & ROW_DAMAGED) != 0)
                continue;
            size_t at = g->bodies.len;
            if (!buf_add_bytes(&g->bodies, row.body) ||
                read_body(row.flags, bytes_of(g->bodies.p + at, row.body.len), &g->views[g->n]) !=
                    ERR_OK)
                return false;
            g->ids[g->n] = row.id;
            g->events[g->n] = (refs_event){
                .feed = row.feed,
                .branch = forks_branch_of(n->view.forks, row.feed, row.seq, row.offset),
                .seq = row.seq,
                .id = &g->ids[g->n],
                .view = &g->views[g->n],
                .counts = (row.flags & ROW_COUNTS) != 0,
                .erased = (row.flags & ROW_HIDDEN) != 0};
            g->n++;
        }
        if (from + VIEW_ROWS >= reply.head)
            return true;
    }
}

/* Keys of one hidden event, from all erasures that may (its place in g->keys ends where the next begins). */
static void gather_keys(const sim_world *w, const sim_node *n, gathered *g, refs_event *t)
{
    const roster *r = merge_core_roster(n->merge);
    uint32_t target = sim_event_find(w, t->id);
    t->keys = &g->keys[g->n_keys];
    for (uint32_t k = 0; k < g->n && target != SIM_NONE; k++) {
        const refs_event *by = &g->events[k];
        uint32_t e = sim_event_find(w, by->id);
        erasure says;
        bytes key;
        if (e == SIM_NONE || !by->counts || !bytes_is(by->view->kind, EVENT_KIND_ERASE) ||
            !erasure_read(by->feed, by->seq, by->view, &says) || !event_id_eq(&says.id, t->id) ||
            !roster_may_erase(r, by->feed, &w->event[e].author, t->feed, &w->event[target].author))
            continue;
        for (erasure_iter it = erasure_keys(&says); g->n_keys < 512 && erasure_next_key(&it, &key);)
            g->keys[g->n_keys++] = key;
    }
    t->n_keys = (uint32_t)(&g->keys[g->n_keys] - t->keys);
}

bool sim_view_fold(sim_world *w, int i, uint32_t stream, sim_fold_fn *each, void *arg)
{
    static gathered g;
    sim_node *n = &w->node[i];
    const record_state *state;
    refs_rules rules = {.barred = barred, .ctx = merge_core_roster(n->merge)};
    g.n = g.n_keys = 0;
    buf_init(&g.bodies, 1u << 22);
    (void)buf_reserve(&g.bodies, 1u << 22); /* views lie in it: it must not move */
    bool ok = gather(n, &w->stream[stream], &g);
    for (uint32_t k = 0; ok && k < g.n; k++)
        if (g.events[k].erased)
            gather_keys(w, n, &g, &g.events[k]);
    rules.branches = forks_branches(n->view.forks, &rules.n_branches);
    if (ok && record_fold(n->view.folder, g.events, g.n, &rules, &state) != ERR_OK)
        ok = false;
    if (ok && each != NULL)
        each(w, i, stream, state, g.events, arg);
    buf_release(&g.bodies);
    return ok;
}

/* As in view_put.c: what writes nothing is no record. */
static bool is_record(const record_state *s)
{
    for (uint32_t k = 0; k < s->n_counting; k++)
        if (s->events[k].n_writes > 0)
            return true;
    return false;
}

static void take_line(sim_world *w, int i, uint32_t stream, const record_state *s,
                      const refs_event *events, void *arg)
{
    buf *out = arg;
    (void)i;
    (void)events;
    if (!is_record(s))
        return;
    if (record_export(s, bytes_str(w->stream[stream].category), bytes_str(w->stream[stream].name),
                      out) != ERR_OK)
        sim_fail(w, INV_MACHINE, "a record cannot be exported");
}

static bool refold(sim_world *w, int i, uint32_t s)
{
    sim_view *v = &w->node[i].view;
    buf line;
    buf_init(&line, 1u << 22);
    bool ok = sim_view_fold(w, i, s, take_line, &line);
    free(v->line[s]);
    v->line[s] = malloc(line.len + 1);
    v->line_len[s] = line.len;
    if (v->line[s] == NULL)
        abort();
    if (line.len > 0)
        memcpy(v->line[s], line.p, line.len);
    v->touched[s] = false;
    buf_release(&line);
    return ok;
}

/* ---- following ---- */

static bool take_rows(sim_world *w, sim_node *n, msg_list rows)
{
    stored_row row;
    event_view v;
    uint64_t targets[VIEW_ROWS];
    uint32_t n_targets = 0;
    while (msg_list_next(&stored_row_desc, &rows, &row)) {
        if (row.flags & ROW_CHANGED) {
            targets[n_targets++] = row.parent;
            continue;
        }
        if (forks_meet(n->view.forks, &row) != ERR_OK)
            return false;
        if (understood(&row, &v))
            touch(w, n, &v);
    }
    for (uint32_t k = 0; k < n_targets; k++)
        if (!touch_target(w, n, targets[k]))
            return false;
    return true;
}

bool sim_view_advance(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    rows_reply reply;
    if (!sim_node_ready(n) || n->n_flights > 0)
        return false;
    if (n->view.folder == NULL)
        sim_view_init(&n->view);
    do {
        fetch_request req = {.after = n->view.offset, .max = VIEW_ROWS};
        if (store_fetch(n->store, &req, &reply) != ERR_OK)
            return false;
        n->view.offset = reply.next;
        if (!take_rows(w, n, reply.rows))
            return false;
    } while (!reply.caught_up);
    if (!know_forks(n))
        return false;
    for (uint32_t s = 0; s < w->n_streams; s++)
        if (n->view.touched[s] && !refold(w, i, s))
            return false;
    return true;
}

/* ---- the same from nothing ---- */

static bool start_over(sim_world *w, int i, sim_view *fresh)
{
    sim_node *n = &w->node[i];
    sim_view old = n->view;
    tips_reply tips;
    sim_view_init(&n->view);
    bool ok = store_tips(n->store, &tips) == ERR_OK &&
              forks_set_tips(n->view.forks, &tips) == ERR_OK && know_forks(n);
    for (uint32_t s = 0; ok && s < w->n_streams; s++)
        ok = refold(w, i, s);
    *fresh = n->view;
    n->view = old;
    return ok;
}

void sim_view_check(sim_world *w, int i)
{
    sim_view fresh;
    if (!sim_view_advance(w, i))
        return;
    const sim_view *v = &w->node[i].view;
    if (!start_over(w, i, &fresh))
        sim_fail(w, INV_MACHINE, "node %d cannot be folded", i);
    for (uint32_t s = 0; s < w->n_streams && w->failed == INV_NONE; s++) {
        if (v->line[s] == NULL) /* never met: then there must be nothing */
            continue;
        if (v->line_len[s] != fresh.line_len[s] ||
            memcmp(v->line[s], fresh.line[s], v->line_len[s]) != 0)
            sim_fail(w, INV_VIEW, "node %d, %s: kept %.*s fresh %.*s", i, w->stream[s].name,
                     (int)v->line_len[s], (const char *)v->line[s], (int)fresh.line_len[s],
                     (const char *)fresh.line[s]);
    }
    sim_view_release(&fresh);
}
