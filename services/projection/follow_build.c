/* A new file: the whole store, stream by stream. */
#include "projection/follow_impl.h"

/* The position was taken before the walk: what arrived since is folded again, which changes nothing. */
static void finish(follow *f)
{
    err_t e = view_db_finish(f->db, &f->at);
    if (e != ERR_OK) {
        follow_trouble(f, e);
        return;
    }
    f->fresh = false;
    follow_step(f, FOLLOW_LIVE);
}

/* ---- the stream at hand: rows of earlier answers, kept, and rows of this one, where they lie ---- */

static err_t add_rows(follow *f, const held_row *rows, uint32_t n, const held_row **named)
{
    for (uint32_t i = 0; i < n; i++) {
        if (*named == NULL && rows[i].understood)
            *named = &rows[i];
        TRY(fold_stream_add(f->fold, &rows[i]));
    }
    return ERR_OK;
}

static err_t put_stream(follow *f)
{
    const held_row *named = NULL;
    batch *b = &f->batch;
    if (f->kept.n + b->n_rows == 0)
        return ERR_OK;
    fold_stream_start(f->fold);
    TRY(add_rows(f, f->kept.at, f->kept.n, &named));
    TRY(add_rows(f, b->rows, b->n_rows, &named));
    /* A stream of damaged rows only has no name; it gets one when a peer heals it. */
    err_t e = named != NULL
                  ? fold_stream_put(f->fold, f->db, named->view.category, named->view.stream)
                  : ERR_OK;
    f->counts.streams++;
    f->counts.rows += f->kept.n + b->n_rows;
    b->n_rows = 0;
    kept_clear(&f->kept);
    return e;
}

static err_t keep_stream(follow *f)
{
    for (uint32_t i = 0; i < f->batch.n_rows; i++)
        TRY(kept_add(&f->kept, &f->batch.rows[i]));
    f->batch.n_rows = 0;
    return ERR_OK;
}

static const held_row *last_named(const held_row *rows, uint32_t n)
{
    while (n > 0)
        if (rows[--n].understood)
            return &rows[n];
    return NULL;
}

/* By the name, which a damaged row does not tell: it goes with what is at hand. The first position may be damaged. */
static bool begins_stream(const follow *f, const held_row *h)
{
    const held_row *named = last_named(f->batch.rows, f->batch.n_rows);
    if (named == NULL)
        named = last_named(f->kept.at, f->kept.n);
    return named != NULL && h->understood &&
           !(bytes_eq(named->view.category, h->view.category) &&
             bytes_eq(named->view.stream, h->view.stream));
}

static err_t put_rows(follow *f, const scan_reply *r)
{
    msg_list rows = r->rows;
    held_row *h;
    while ((h = batch_row(&f->batch)) != NULL && held_next(&rows, h)) {
        if (begins_stream(f, h)) {
            held_row first = *h;
            TRY(put_stream(f));
            f->batch.rows[0] = first;
        }
        f->batch.n_rows++;
    }
    if (h == NULL)
        return ERR_NO_MEMORY;
    return r->done ? put_stream(f) : keep_stream(f);
}

/* ---- the walk ---- */

static void set_cursor(follow *f, const scan_reply *r)
{
    scan_request *c = &f->cursor;
    memcpy(f->cursor_category, r->category.p, r->category.len);
    memcpy(f->cursor_stream, r->stream.p, r->stream.len);
    c->category = bytes_of(f->cursor_category, r->category.len);
    c->stream = bytes_of(f->cursor_stream, r->stream.len);
    c->position = r->position;
}

static void take_scan(follow *f, ask *a, const void *reply);

static void ask_scan(follow *f)
{
    FOLLOW_ASK(f, scan, &f->cursor, take_scan, NULL);
}

static void take_scan(follow *f, ask *a, const void *reply)
{
    const scan_reply *r = reply;
    (void)a;
    if (!follow_same_epoch(f, r->epoch))
        return;
    f->head = r->head;
    if (!r->done) { /* the store reads on while we fold */
        set_cursor(f, r);
        ask_scan(f);
    }
    if (f->over)
        return;
    err_t e = put_rows(f, r);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else if (r->done)
        finish(f);
}

void follow_scan(follow *f)
{
    f->cursor = (scan_request){.max = FETCH_MAX_ROWS};
    f->counts.rows = 0;
    kept_clear(&f->kept);
    ask_scan(f);
}
