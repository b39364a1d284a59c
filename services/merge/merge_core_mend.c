/* Damaged rows are wanted like events that removals list: a peer sends the stretch again, and the store mends them. */
#include "merge/merge_core_state.h"

typedef struct {
    frontier_entry found;
    bool any;
} intact_search;

static bool take_intact(void *arg, const stored_row *row)
{
    intact_search *s = arg;
    if (row->flags & (ROW_DAMAGED | ROW_CHANGED))
        return true;
    s->found = (frontier_entry){row->feed, row->seq, row->id};
    s->any = true;
    return false;
}

/* What leads through the damaged row and is known by its id: the next intact row, else the tip, whose id stands in the
 * table of tips as well. */
static err_t want_beyond(merge_core *c, const merge_feed *f, uint64_t seq)
{
    intact_search s = {.any = false};
    uint64_t last = 0;
    for (uint32_t i = 0; i < f->n; i++)
        last = f->tips[i].seq > last ? f->tips[i].seq : last;
    if (seq < last)
        TRY(c->io.read_feed(c->io.ctx, f->feed, seq + 1, last, take_intact, &s));
    if (s.any)
        return frontier_add(&c->mend, &s.found);
    for (uint32_t i = 0; i < f->n; i++)
        if (f->tips[i].seq >= seq) {
            frontier_entry tip = {f->feed, f->tips[i].seq, f->tips[i].id};
            TRY(frontier_add(&c->mend, &tip));
        }
    return ERR_OK;
}

err_t merge_core_damaged(merge_core *c, msg_list rows)
{
    damage_row row;
    size_t before = c->mend.n;
    frontier_clear(&c->mend);
    while (c->mend.n < MEND_WANTS_MAX && msg_list_next(&damage_row_desc, &rows, &row)) {
        const merge_feed *f = merge_feed_find(c, row.feed);
        if (f != NULL && row.seq > 0)
            TRY(want_beyond(c, f, row.seq));
    }
    if (c->mend.n > 0 || before > 0)
        merge_front_changed(c);
    return ERR_OK;
}
