#include "cli/bundle_ends.h"

#include "cli/bundle_file.h"
#include "proto/event.h"
#include "pure/chain.h"

#include <stdlib.h>

void bundle_ends_release(bundle_ends *e)
{
    free(e->at);
    *e = (bundle_ends){0};
}

static err_t last_id(const run *r, event_id *id)
{
    run_item item;
    event_view v;
    *id = r->previous;
    for (run_iter it = run_items(r); run_next(&it, &item);) {
        TRY(item.erased ? event_parse_erased(item.data, &v) : event_parse(item.data, &v));
        chain_next_event(id, id, item.seq, &v);
    }
    return ERR_OK;
}

err_t bundle_ends_add(bundle_ends *e, const run *r)
{
    event_id id;
    TRY(last_id(r, &id));
    if (e->n == e->cap) {
        size_t cap = e->cap > 0 ? 2 * e->cap : 64;
        frontier_entry *at = realloc(e->at, cap * sizeof *at);
        if (at == NULL)
            return ERR_NO_MEMORY;
        e->at = at;
        e->cap = cap;
    }
    e->at[e->n] = (frontier_entry){r->feed, r->first_seq + r->count - 1, id};
    e->sorted = e->n == 0 || (e->sorted && frontier_entry_cmp(&e->at[e->n - 1], &e->at[e->n]) <= 0);
    e->n++;
    return ERR_OK;
}

static int by_order(const void *a, const void *b)
{
    return frontier_entry_cmp(a, b);
}

const frontier_entry *bundle_ends_before(bundle_ends *e, feed_id feed, uint64_t before)
{
    if (!e->sorted && e->n > 0)
        qsort(e->at, e->n, sizeof *e->at, by_order);
    e->sorted = true;
    size_t lo = 0, hi = e->n; /* the first one beyond */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const frontier_entry *m = &e->at[mid];
        if (m->feed < feed || (m->feed == feed && m->seq <= before))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && e->at[lo - 1].feed == feed ? &e->at[lo - 1] : NULL;
}

static err_t take(void *context, const run *r)
{
    return bundle_ends_add(context, r);
}

bool bundle_ends_read(bundle_ends *e, const char *path, const dataset_id *dataset, buf *why)
{
    bundle_progress got;
    err_t err = bundle_file_read(path, dataset, take, NULL, e, &got, why);
    if (err == ERR_OK || ((err == ERR_TRUNCATED || err == ERR_CHECKSUM) && got.runs > 0))
        return true;
    bundle_file_words(path, err, &got, dataset, why);
    return false;
}
