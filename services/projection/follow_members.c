/* The roster is read: its stream, and of each feed of the founders' number the events at seq 1, which say by whose key each
 * chain there is (a founder who was replaced, his heirs, their successors). */
#include "projection/follow_impl.h"

#include <stdlib.h>

static void fold_members(follow *f)
{
    people_event *events = calloc((size_t)f->kept.n + 1, sizeof *events);
    size_t n = 0;
    err_t e = events == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < f->kept.n; i++) {
        const held_row *h = &f->kept.at[i];
        if (h->understood && (h->row.flags & ROW_COUNTS) != 0 && !h->view.erased)
            events[n++] = (people_event){h->row.feed,   h->row.seq,   h->row.id,
                                         h->view.stamp, h->view.kind, h->view.payload};
    }
    if (e == ERR_OK)
        e = people_fold(f->people, events, n);
    free(events);
    kept_clear(&f->kept);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        f->then(f);
}

/* ---- roots ---- */

static void ask_roots(follow *f, uint32_t from);

static void take_roots(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    msg_list rows = r->rows;
    stored_row row;
    err_t e = ERR_OK;
    if (!follow_same_epoch(f, r->epoch))
        return;
    while (e == ERR_OK && msg_list_next(&stored_row_desc, &rows, &row))
        e = (row.flags & ROW_DAMAGED) != 0 ? ERR_OK : people_root(f->people, &row);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else
        ask_roots(f, a->stream + 1);
}

static bool is_met(const follow *f, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (f->kept.at[k].row.feed == f->kept.at[i].row.feed)
            return true;
    return false;
}

/* Of the feed of the first row from `i` on that needs it. */
static void ask_roots(follow *f, uint32_t i)
{
    while (i < f->kept.n &&
           (feed_member(f->kept.at[i].row.feed) != ROSTER_FOUNDER_NUMBER || is_met(f, i)))
        i++;
    if (i == f->kept.n) {
        fold_members(f);
        return;
    }
    read_feed_request req = {
        .feed = f->kept.at[i].row.feed, .from_seq = 1, .to_seq = 1, .max = PEOPLE_ROOTS_MAX};
    FOLLOW_ASK(f, read_feed, &req, take_roots, &(ask){.stream = i});
}

/* ---- the stream ---- */

static void take_members(follow *f, ask *a, const void *reply)
{
    const rows_reply *r = reply;
    msg_list rows = r->rows;
    held_row h;
    err_t e = ERR_OK;
    uint64_t from = a->from;
    if (!follow_same_epoch(f, r->epoch))
        return;
    for (; e == ERR_OK && held_next(&rows, &h); from++)
        e = kept_add(&f->kept, &h);
    if (e != ERR_OK)
        follow_trouble(f, e);
    else if (from > a->from && from < r->head)
        follow_read_stream(f, bytes_str(ROSTER_CATEGORY), bytes_str(ROSTER_STREAM), take_members,
                           &(ask){.from = from});
    else
        ask_roots(f, 0);
}

void follow_read_members(follow *f, void (*then)(follow *f))
{
    kept_clear(&f->kept);
    people_forget_roots(f->people);
    f->then = then;
    follow_read_stream(f, bytes_str(ROSTER_CATEGORY), bytes_str(ROSTER_STREAM), take_members,
                       &(ask){0});
}
