/* merge_io over the node's own store (services/merge/merge_store.c). */
#include "tests/sim/sim.h"

/* Now and then the store does not answer in time. */
static err_t flaky(sim_node *n)
{
    sim_world *w = n->world;
    if (!w->opt.disks || w->healing || !sim_chance(w, 60))
        return ERR_OK;
    n->troubles++;
    return ERR_TIMEOUT;
}

static err_t io_locate(void *ctx, feed_id feed, uint64_t seq, place_row *out, size_t max, size_t *n)
{
    sim_node *node = ctx;
    locate_request req = {.feed = feed, .seq = seq};
    locate_reply reply;
    *n = 0;
    TRY(flaky(node));
    TRY(store_locate(node->store, &req, &reply));
    while (*n < max && msg_list_next(&place_row_desc, &reply.places, &out[*n]))
        (*n)++;
    return ERR_OK;
}

static bool walk_rows(msg_list rows, bool (*each)(void *arg, const stored_row *row), void *arg)
{
    /* `each` may ask the store again: the answer must not lie in the store's own room. */
    stored_row row;
    buf copy;
    bool go_on = true;
    buf_init(&copy, MESSAGE_MAX_BYTES);
    if (!buf_add_bytes(&copy, rows.raw))
        abort();
    rows.raw = buf_view(&copy);
    while (go_on && msg_list_next(&stored_row_desc, &rows, &row))
        go_on = each(arg, &row);
    buf_release(&copy);
    return go_on;
}

static err_t io_read_feed(void *ctx, feed_id feed, uint64_t from, uint64_t to,
                          bool (*each)(void *arg, const stored_row *row), void *arg)
{
    sim_node *n = ctx;
    TRY(flaky(n));
    while (from <= to) {
        read_feed_request req = {.feed = feed, .from_seq = from, .to_seq = to, .max = 64};
        rows_reply reply;
        TRY(store_read_feed(n->store, &req, &reply));
        from = reply.next;
        if (!walk_rows(reply.rows, each, arg) || from == 0)
            break;
    }
    return ERR_OK;
}

static err_t io_read_category(void *ctx, const char *category,
                              bool (*each)(void *arg, const stored_row *row), void *arg)
{
    sim_node *n = ctx;
    fetch_request req = {.max = 64, .category = bytes_str(category)};
    TRY(flaky(n));
    for (;;) {
        rows_reply reply;
        TRY(store_fetch(n->store, &req, &reply));
        req.epoch = reply.epoch;
        req.after = reply.next;
        if (!walk_rows(reply.rows, each, arg) || reply.caught_up)
            return ERR_OK;
    }
}

static err_t io_tips(void *ctx, bool (*each)(void *arg, const tip_row *row), void *arg)
{
    sim_node *n = ctx;
    tips_reply reply;
    tip_row row;
    TRY(flaky(n));
    TRY(store_tips(n->store, &reply));
    buf copy;
    buf_init(&copy, MESSAGE_MAX_BYTES);
    if (!buf_add_bytes(&copy, reply.tips.raw))
        abort();
    reply.tips.raw = buf_view(&copy);
    while (msg_list_next(&tip_row_desc, &reply.tips, &row))
        if (!each(arg, &row))
            break;
    buf_release(&copy);
    return ERR_OK;
}

err_t sim_in_group(sim_node *n, err_t e)
{
    if (e == ERR_OK)
        return store_commit(n->store);
    store_abort(n->store);
    return e;
}

static err_t io_verdicts(void *ctx, const verdict_row *rows, size_t n)
{
    sim_node *node = ctx;
    verdict_request req = {.verdicts = MSG_LIST_OF(rows, n)};
    TRY(flaky(node));
    TRY(store_begin(node->store));
    for (size_t i = 0; i < n; i++)
        if (!rows[i].counts)
            sim_once(node->world, ST_UNCOUNTED);
    return sim_in_group(node, store_verdicts(node->store, &req, sim_clock(node->world, node)));
}

static err_t io_seal(void *ctx, const seal_request *seal)
{
    sim_node *n = ctx;
    TRY(flaky(n));
    TRY(store_begin(n->store));
    return sim_in_group(n, store_seal(n->store, seal));
}

static err_t io_incarnation(void *ctx, uint16_t value)
{
    sim_node *n = ctx;
    incarnation_request req = {.incarnation = value};
    TRY(flaky(n));
    TRY(store_begin(n->store));
    return sim_in_group(n, store_incarnation(n->store, &req));
}

static err_t io_erase(void *ctx, const erase_request *req)
{
    sim_node *n = ctx;
    TRY(flaky(n));
    TRY(store_begin(n->store));
    if (!req->hidden)
        sim_once(n->world, ST_SHOWN_AGAIN);
    return sim_in_group(n, store_erase(n->store, req, sim_clock(n->world, n)));
}

merge_io sim_merge_io(sim_node *n)
{
    return (merge_io){n,           io_locate, io_read_feed,   io_read_category, io_tips,
                      io_verdicts, io_seal,   io_incarnation, io_erase};
}
