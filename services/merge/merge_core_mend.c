/* Damaged rows are wanted like events that removals list: a peer sends the stretch again, and the store mends them. */
#include "merge/merge_core_state.h"

#define WAY_MAX 256u /* damaged rows in a row: more are mended from their end */

/* The way up from a damaged row, over damaged ones, to the first intact row that hangs on it. In a forked feed other
 * branches lie between. */
typedef struct {
    uint64_t way[WAY_MAX]; /* offsets */
    size_t n;
    uint64_t last_seq;
    frontier_entry found;
    bool any;
} intact_search;

static bool hangs_on(const intact_search *s, const stored_row *row)
{
    for (size_t i = s->n; i-- > 0;)
        if (s->way[i] == row->parent)
            return true;
    return false;
}

static bool take_intact(void *arg, const stored_row *row)
{
    intact_search *s = arg;
    if ((row->flags & ROW_CHANGED) != 0 || !hangs_on(s, row))
        return true;
    s->any = (row->flags & ROW_DAMAGED) == 0;
    if (s->any) {
        s->found = (frontier_entry){row->feed, row->seq, row->id};
        return false;
    }
    s->way[s->n++] = row->offset;
    s->last_seq = row->seq;
    return s->n < WAY_MAX;
}

/* The way ended without an intact row: in a tip, whose id the store keeps elsewhere too. */
static err_t want_tip(merge_core *c, feed_id feed, const intact_search *s)
{
    static const event_id unknown = {{0}};
    place_row places[MERGE_PLACES_MAX];
    size_t n = 0;
    TRY(c->io.locate(c->io.ctx, feed, s->last_seq, places, MERGE_PLACES_MAX, &n));
    for (size_t i = 0; i < n; i++)
        if (places[i].offset == s->way[s->n - 1] && !event_id_eq(&places[i].id, &unknown)) {
            frontier_entry tip = {feed, s->last_seq, places[i].id};
            return frontier_add(&c->mend, &tip);
        }
    return ERR_OK;
}

/* What leads through the damaged row and is known by its id: the next intact row, else the tip. */
static err_t want_beyond(merge_core *c, const merge_feed *f, const damage_row *row)
{
    intact_search s = {.way = {row->offset}, .n = 1, .last_seq = row->seq};
    uint64_t last = 0;
    for (uint32_t i = 0; i < f->n; i++)
        last = f->tips[i].seq > last ? f->tips[i].seq : last;
    if (row->seq < last)
        TRY(c->io.read_feed(c->io.ctx, f->feed, row->seq + 1, last, take_intact, &s));
    if (s.any)
        return frontier_add(&c->mend, &s.found);
    return want_tip(c, f->feed, &s);
}

err_t merge_core_damaged(merge_core *c, msg_list rows)
{
    damage_row row;
    size_t before = c->mend.n;
    frontier_clear(&c->mend);
    while (c->mend.n < MEND_WANTS_MAX && msg_list_next(&damage_row_desc, &rows, &row)) {
        const merge_feed *f = merge_feed_find(c, row.feed);
        if (f != NULL && row.seq > 0)
            TRY(want_beyond(c, f, &row));
    }
    if (c->mend.n > 0 || before > 0)
        merge_front_changed(c);
    return ERR_OK;
}
