/* merge_io over a client of its own. Each call blocks for at most a few seconds; all of them are rare: at start,
 * after a fork, when a member is removed. */
#include "merge/merge_service.h"

#define READ_TIMEOUT_MS 5000u

static err_t answered(const char *what, err_t e, buf *why)
{
    if (e != ERR_OK)
        log_warn("%s: %.*s", what, (int)why->len, why->len > 0 ? (const char *)why->p : "");
    buf_release(why);
    return e;
}

#define ASK(what)                                                                                  \
    static err_t ask_##what(merge_service *m, const what##_request *req,                           \
                            what##_request_answer *reply)                                          \
    {                                                                                              \
        buf why;                                                                                   \
        buf_init(&why, 512);                                                                       \
        err_t e = store_call_##what##_within(m->direct, READ_TIMEOUT_MS, req, reply, &why);        \
        return answered(#what, e, &why);                                                           \
    }
ASK(locate)
ASK(read_feed)
ASK(fetch)
ASK(tips)
ASK(verdict)
ASK(seal)
ASK(incarnation)
ASK(erase)

static err_t locate(void *ctx, feed_id feed, uint64_t seq, place_row *out, size_t max, size_t *n)
{
    locate_request req = {.feed = feed, .seq = seq};
    locate_reply reply;
    *n = 0;
    TRY(ask_locate(ctx, &req, &reply));
    while (*n < max && msg_list_next(&place_row_desc, &reply.places, &out[*n]))
        (*n)++;
    return ERR_OK;
}

/* Callbacks ask further questions, which end the life of the reply: so its rows are copied first. */
static err_t walk_rows(const msg_list *rows, bool (*each)(void *arg, const stored_row *row),
                       void *arg, bool *stopped)
{
    stored_row row;
    buf copy;
    *stopped = false;
    buf_init(&copy, MESSAGE_MAX_BYTES);
    buf_add_bytes(&copy, rows->raw);
    err_t e = copy.err;
    msg_list list = {NULL, rows->n, buf_view(&copy)};
    while (e == ERR_OK && !*stopped && msg_list_next(&stored_row_desc, &list, &row))
        *stopped = !each(arg, &row);
    buf_release(&copy);
    return e;
}

static err_t read_feed(void *ctx, feed_id feed, uint64_t from, uint64_t to,
                       bool (*each)(void *arg, const stored_row *row), void *arg)
{
    while (from <= to) {
        read_feed_request req = {.feed = feed, .from_seq = from, .to_seq = to, .max = 1024};
        rows_reply reply;
        TRY(ask_read_feed(ctx, &req, &reply));
        bool stopped;
        uint64_t next = reply.next;
        TRY(walk_rows(&reply.rows, each, arg, &stopped));
        if (stopped || next == 0)
            break;
        from = next;
    }
    return ERR_OK;
}

static err_t read_category(void *ctx, const char *category,
                           bool (*each)(void *arg, const stored_row *row), void *arg)
{
    fetch_request req = {.max = 1024, .category = bytes_str(category)};
    for (;;) {
        rows_reply reply;
        TRY(ask_fetch(ctx, &req, &reply));
        bool stopped, last = reply.caught_up;
        req.epoch = reply.epoch;
        req.after = reply.next;
        TRY(walk_rows(&reply.rows, each, arg, &stopped));
        if (stopped || last)
            return ERR_OK;
    }
}

static err_t tips(void *ctx, bool (*each)(void *arg, const tip_row *row), void *arg)
{
    tips_reply reply;
    tip_row row;
    TRY(ask_tips(ctx, &(tips_request){0}, &reply));
    while (msg_list_next(&tip_row_desc, &reply.tips, &row))
        if (!each(arg, &row))
            break;
    return ERR_OK;
}

static err_t verdicts(void *ctx, const verdict_row *rows, size_t n)
{
    verdict_request req = {.verdicts = MSG_LIST_OF(rows, n)};
    return ask_verdict(ctx, &req, NULL);
}

static err_t seal(void *ctx, const seal_request *req)
{
    return ask_seal(ctx, req, NULL);
}

static err_t incarnation(void *ctx, uint16_t value)
{
    incarnation_request req = {.incarnation = value};
    return ask_incarnation(ctx, &req, NULL);
}

static err_t erase(void *ctx, const erase_request *req)
{
    return ask_erase(ctx, req, NULL);
}

merge_io merge_store_io(merge_service *m)
{
    return (merge_io){m,        locate, read_feed,   read_category, tips,
                      verdicts, seal,   incarnation, erase};
}
