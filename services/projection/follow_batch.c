/* Rows by offset: which streams they touch, what has to be read for that, and one transaction for it all. */
#include "projection/follow_impl.h"

#include "shell/clock.h"

#include <stdlib.h>

/* ---- room ---- */

void batch_init(batch *b)
{
    *b = (batch){0};
    touched_init(&b->touched);
}

void batch_release(batch *b)
{
    touched_release(&b->touched);
    free(b->rows);
    free(b->targets);
    free(b->damaged);
    batch_init(b);
}

static void *room_for(void *p, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room)
        return p;
    uint32_t more = *room == 0 ? 256 : *room * 2;
    void *q = realloc(p, more * size);
    if (q != NULL)
        *room = more;
    return q;
}

held_row *batch_row(batch *b)
{
    held_row *rows = room_for(b->rows, b->n_rows, &b->rows_room, sizeof *rows);
    if (rows == NULL)
        return NULL;
    b->rows = rows;
    return &rows[b->n_rows];
}

static err_t add_target(batch *b, uint64_t offset)
{
    uint64_t *targets = room_for(b->targets, b->n_targets, &b->targets_room, sizeof *targets);
    if (targets == NULL)
        return ERR_NO_MEMORY;
    b->targets = targets;
    targets[b->n_targets++] = offset;
    return ERR_OK;
}

/* A row of no known stream: damaged now, or whole again. */
static err_t add_damaged(batch *b, const stored_row *row, bool healed)
{
    batch_damaged *rows = room_for(b->damaged, b->n_damaged, &b->damaged_room, sizeof *rows);
    if (rows == NULL)
        return ERR_NO_MEMORY;
    b->damaged = rows;
    rows[b->n_damaged++] = (batch_damaged){{event_ref_of(row->feed, row->seq, &row->id)}, healed};
    return ERR_OK;
}

static void clear(batch *b)
{
    touched_clear(&b->touched);
    b->open = b->members = b->hidden = false;
    b->n_rows = b->n_targets = b->next_target = b->n_damaged = 0;
    b->next_stream = b->waiting = 0;
}

void batch_drop(follow *f)
{
    view_db_rollback(f->db);
    clear(&f->batch);
}

/* ---- 1. what the rows say ---- */

static bool is_roster(const event_view *v)
{
    return bytes_is(v->category, ROSTER_CATEGORY) && bytes_is(v->stream, ROSTER_STREAM);
}

static err_t note_row(follow *f, uint32_t at)
{
    batch *b = &f->batch;
    const held_row *h = &b->rows[at];
    if ((h->row.flags & ROW_CHANGED) != 0) {
        b->hidden = b->hidden || (h->row.flags & ROW_HIDDEN) != 0;
        return add_target(b, h->row.parent);
    }
    TRY(forks_meet(f->forks, &h->row));
    if ((h->row.flags & ROW_DAMAGED) != 0)
        return add_damaged(b, &h->row, false);
    if (!h->understood)
        return ERR_OK; /* opaque: it has no stream */
    b->members = b->members || is_roster(&h->view);
    return touched_row(&b->touched, h->view.category, h->view.stream, at, h->row.position);
}

static err_t note_rows(follow *f, const rows_reply *r)
{
    batch *b = &f->batch;
    msg_list rows = r->rows;
    held_row *h;
    while ((h = batch_row(b)) != NULL && held_next(&rows, h)) {
        b->n_rows++;
        TRY(note_row(f, b->n_rows - 1));
    }
    if (h == NULL)
        return ERR_NO_MEMORY;
    b->to = (view_position){r->epoch, r->next, f->at.prefix};
    if (b->n_rows > 0)
        b->to.prefix = get_u64be(b->rows[b->n_rows - 1].row.id.b);
    return ERR_OK;
}

/* ---- 5. done ---- */

static void start_batch(follow *f, const rows_reply *r);

static void commit(follow *f)
{
    batch *b = &f->batch;
    err_t e = view_db_commit(f->db, &b->to);
    if (e != ERR_OK) {
        follow_trouble(f, e);
        return;
    }
    f->at = b->to;
    f->stuck = ERR_OK;
    f->remains = f->remains || b->hidden;
    clear(b);
    if (f->held.full) {
        f->held.full = false;
        start_batch(f, &f->held.reply);
    }
    follow_purge(f);
}

/* ---- 4. folding ---- */

static void read_more(follow *f);

/* A whole stream is in the answer, or in what was kept of earlier ones and the answer. */
static err_t fold_answer(follow *f, const touched_stream *t, const kept_rows *kept, msg_list rows)
{
    batch *b = &f->batch;
    held_row *h;
    b->n_rows = 0;
    while ((h = batch_row(b)) != NULL && held_next(&rows, h))
        b->n_rows++;
    if (h == NULL)
        return ERR_NO_MEMORY;
    fold_stream_start(f->fold);
    for (uint32_t i = 0; kept != NULL && i < kept->n; i++)
        TRY(fold_stream_add(f->fold, &kept->at[i]));
    for (uint32_t i = 0; i < b->n_rows; i++)
        TRY(fold_stream_add(f->fold, &b->rows[i]));
    f->counts.streams++;
    f->counts.reads++;
    return fold_stream_put(f->fold, f->db, t->category, t->stream);
}

static err_t keep_answer(ask *a, msg_list rows, uint64_t *from)
{
    held_row h;
    if (a->kept == NULL) {
        a->kept = malloc(sizeof *a->kept);
        if (a->kept == NULL)
            return ERR_NO_MEMORY;
        kept_init(a->kept);
    }
    for (; held_next(&rows, &h); (*from)++)
        TRY(kept_add(a->kept, &h));
    return ERR_OK;
}

static void take_stream(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    const touched_stream *t = &f->batch.touched.at[a->stream];
    uint64_t from = a->from;
    if (!follow_same_epoch(f, r->epoch))
        return;
    bool last = r->rows.n == 0 || from + r->rows.n >= r->head;
    err_t e = last ? fold_answer(f, t, a->kept, r->rows) : keep_answer(a, r->rows, &from);
    if (e != ERR_OK) {
        follow_trouble(f, e);
    } else if (!last) {
        ask more = {.stream = a->stream, .from = from, .kept = a->kept};
        a->kept = NULL; /* goes on with the next question */
        follow_read_stream(f, t->category, t->stream, take_stream, &more);
    } else {
        f->batch.waiting--;
        read_more(f);
    }
}

static err_t fold_whole(follow *f, const touched_stream *t)
{
    fold_stream_start(f->fold);
    for (uint32_t i = t->first; i != TOUCHED_NONE; i = f->batch.touched.next[i])
        TRY(fold_stream_add(f->fold, &f->batch.rows[i]));
    f->counts.streams++;
    return fold_stream_put(f->fold, f->db, t->category, t->stream);
}

/* Keeps so many questions under way, and commits after the last answer. */
static void read_more(follow *f)
{
    batch *b = &f->batch;
    while (b->next_stream < b->touched.n && b->waiting < READS_MAX) {
        const touched_stream *t = &b->touched.at[b->next_stream];
        uint32_t round = f->round;
        if (!t->whole) {
            b->waiting++;
            follow_read_stream(f, t->category, t->stream, take_stream,
                               &(ask){.stream = b->next_stream});
        }
        if (f->over || f->round != round)
            return;
        b->next_stream++;
    }
    if (b->waiting == 0 && b->next_stream == b->touched.n)
        commit(f);
}

static err_t put_damaged(follow *f)
{
    const batch *b = &f->batch;
    for (uint32_t i = 0; i < b->n_damaged; i++)
        TRY(b->damaged[i].healed ? view_db_drop_damaged(f->db, &b->damaged[i].row)
                                 : view_db_put_damaged(f->db, &b->damaged[i].row));
    return ERR_OK;
}

/* Whole streams first: their rows are borrowed from an answer that is about to go. */
static err_t fold_now(follow *f)
{
    batch *b = &f->batch;
    TRY(forks_label(f->forks));
    TRY(view_db_begin(f->db));
    if (b->members)
        TRY(people_store(f->people, f->db));
    TRY(put_damaged(f));
    if (b->hidden)
        TRY(view_db_set_fact(f->db, FOLLOW_FACT_REMAINS, 1));
    for (uint32_t i = 0; i < b->touched.n; i++)
        if (b->touched.at[i].whole)
            TRY(fold_whole(f, &b->touched.at[i]));
    return ERR_OK;
}

static void fold(follow *f)
{
    err_t e = fold_now(f);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        read_more(f);
}

/* ---- 3. the roster and forks, when the rows touched them ---- */

static void have_members(follow *f)
{
    if (people_void_mark(f->people) != f->void_mark)
        follow_end_for(f, FOLLOW_MEANING);
    else
        fold(f);
}

static void have_forks(follow *f)
{
    if (f->batch.members)
        follow_read_members(f, have_members);
    else
        fold(f);
}

/* ---- 2. rows that changed rows point to ---- */

static void ask_targets(follow *f);

static void take_targets(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    batch *b = &f->batch;
    msg_list rows = r->rows;
    held_row h;
    err_t e = ERR_OK;
    (void)a;
    if (!follow_same_epoch(f, r->epoch))
        return;
    while (e == ERR_OK && held_next(&rows, &h)) {
        if (!h.understood)
            continue;
        b->members = b->members || is_roster(&h.view);
        e = touched_stream_only(&b->touched, h.view.category, h.view.stream);
        if (e == ERR_OK)
            e = add_damaged(b, &h.row, true);
    }
    b->waiting--;
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        ask_targets(f);
}

/* One question for a stretch of offsets that lie close together. */
static void ask_target(follow *f)
{
    batch *b = &f->batch;
    uint64_t first = b->targets[b->next_target], last = first;
    while (b->next_target < b->n_targets && b->targets[b->next_target] - first < 256)
        last = b->targets[b->next_target++];
    fetch_request req = {
        .epoch = f->epoch, .after = first - 1, .max = (uint32_t)(last - first) + 1};
    b->waiting++;
    FOLLOW_ASK(f, fetch, &req, take_targets, NULL);
}

static void ask_targets(follow *f)
{
    batch *b = &f->batch;
    uint32_t round = f->round;
    while (b->next_target < b->n_targets && b->waiting < TARGETS_MAX && f->round == round &&
           !f->over)
        ask_target(f);
    if (b->waiting == 0 && b->next_target == b->n_targets && f->round == round && !f->over)
        follow_load_forks(f, have_forks);
}

static int cmp_offsets(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* ---- the batch ---- */

static void start_batch(follow *f, const rows_reply *r)
{
    batch *b = &f->batch;
    feed_id feed;
    f->head = r->head;
    f->caught_up = r->caught_up;
    f->looks = r->caught_up ? 0 : f->looks;
    if (follow_is_behind(f)) {
        follow_end_for(f, FOLLOW_BEHIND);
        return;
    }
    err_t e = note_rows(f, r);
    if (e != ERR_OK) {
        follow_trouble(f, e);
        return;
    }
    b->open = true;
    f->counts.rows += b->n_rows;
    follow_fetch(f); /* the store reads on while we fold */
    if (f->over || !b->open)
        return;
    if (b->n_targets == 0 && !b->members && !forks_wants(f->forks, &feed)) {
        fold(f);
        return;
    }
    /* Something must be asked first, and the rows will be gone by then: all streams are read. */
    for (uint32_t i = 0; i < b->touched.n; i++)
        b->touched.at[i].whole = false;
    if (b->n_targets > 0)
        qsort(b->targets, b->n_targets, sizeof *b->targets, cmp_offsets);
    ask_targets(f);
}

static err_t hold(follow *f, const rows_reply *r)
{
    held_reply *h = &f->held;
    buf_clear(&h->raw);
    if (!buf_add_bytes(&h->raw, r->rows.raw))
        return h->raw.err;
    h->reply = *r;
    h->reply.rows.raw = buf_view(&h->raw);
    h->full = true;
    return ERR_OK;
}

static void take_rows(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    (void)a;
    f->fetching = false;
    if (!follow_same_epoch(f, r->epoch))
        return;
    if (!view_db_present(f->db)) {
        follow_end_for(f, FOLLOW_GONE);
        return;
    }
    if (!f->batch.open && r->rows.n == 0 && r->next == f->at.offset) {
        f->head = r->head;
        f->caught_up = r->caught_up;
        follow_fetch(f);
        follow_purge(f);
    } else if (!f->batch.open) {
        if (!follow_gives_way(f, r->head, r->next))
            start_batch(f, r);
    } else {
        err_t e = hold(f, r);
        if (e != ERR_OK)
            follow_trouble(f, e);
    }
}

/* Asks for what comes after the newest rows that are here, folded or not. */
void follow_fetch(follow *f)
{
    const view_position *from = f->batch.open ? &f->batch.to : &f->at;
    if (f->fetching || f->held.full)
        return;
    fetch_request req = {.epoch = from->epoch,
                         .after = from->offset,
                         .after_prefix = from->prefix,
                         .max = f->setup.batch,
                         .wait_ms = LONG_POLL_MS};
    f->fetching = true;
    FOLLOW_ASK(f, fetch, &req, take_rows, NULL);
}
