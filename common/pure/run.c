#include "pure/run.h"

#include "pure/chain.h"

#define WORD_ERASED   0x80000000u
#define WORD_SEALED   0x40000000u
#define WORD_LENGTH   0x0003ffffu
#define DATA_MAX      (EVENT_MAX_BYTES + EVENT_ERASED_EXTRA)
#define SEQ_MAX       0x7fffffffffffffffull
#define AT_COUNT      16u
#define AT_ITEM_BYTES 20u
#define AT_PREVIOUS   24u

_Static_assert(AT_PREVIOUS + EVENT_ID_BYTES == RUN_HEADER_BYTES, "the header ends with the id");
_Static_assert(DATA_MAX <= WORD_LENGTH, "a length fits its bits");
_Static_assert(sizeof(seal_sig) == SEAL_BYTES && _Alignof(seal_sig) == 1,
               "a seal is read in place");

static err_t check_header(const run *r)
{
    const uint8_t *p = r->all.p;
    if (p[0] != RUN_VERSION || p[1] != RUN_CODEC_PLAIN || p[2] != 0 || p[3] != 0)
        return ERR_VERSION;
    if (r->count > RUN_MAX_EVENTS)
        return ERR_TOO_LARGE;
    if (r->count == 0 || r->first_seq == 0 || r->first_seq > SEQ_MAX - RUN_MAX_EVENTS)
        return ERR_OUT_OF_RANGE;
    size_t announced = get_u32be(p + AT_ITEM_BYTES);
    if (announced > r->items.len)
        return ERR_TRUNCATED;
    return announced < r->items.len ? ERR_TRAILING : ERR_OK;
}

/* Length of the item at the start of `rest` with its word and seal, 0 if it is not whole; *word for the caller. */
static size_t item_length(bytes rest, uint32_t *word)
{
    if (rest.len < 4)
        return 0;
    *word = get_u32be(rest.p);
    size_t n = 4 + (*word & WORD_LENGTH) + (*word & WORD_SEALED ? SEAL_BYTES : 0);
    return n <= rest.len ? n : 0;
}

static err_t check_items(const run *r)
{
    bytes rest = r->items;
    uint32_t word = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        size_t n = item_length(rest, &word);
        if (n == 0)
            return ERR_TRUNCATED;
        if ((word & ~(WORD_ERASED | WORD_SEALED | WORD_LENGTH)) != 0 ||
            (word & WORD_LENGTH) > (word & WORD_ERASED ? DATA_MAX : EVENT_MAX_BYTES))
            return ERR_MALFORMED;
        rest = bytes_of(rest.p + n, rest.len - n);
    }
    if (rest.len > 0)
        return ERR_TRAILING;
    return word & WORD_SEALED ? ERR_OK : ERR_UNSEALED;
}

err_t run_decode(bytes in, run *out)
{
    if (in.len > RUN_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (in.len < RUN_HEADER_BYTES)
        return ERR_TRUNCATED;
    *out = (run){.feed = get_u32be(in.p + 4),
                 .first_seq = get_u64be(in.p + 8),
                 .count = get_u32be(in.p + AT_COUNT),
                 .all = in,
                 .items = bytes_of(in.p + RUN_HEADER_BYTES, in.len - RUN_HEADER_BYTES)};
    memcpy(out->previous.b, in.p + AT_PREVIOUS, EVENT_ID_BYTES);
    TRY(check_header(out));
    return check_items(out);
}

run_iter run_items(const run *r)
{
    return (run_iter){.rest = r->items, .seq = r->first_seq, .left = r->count};
}

bool run_next(run_iter *it, run_item *out)
{
    uint32_t word;
    size_t n = it->left > 0 ? item_length(it->rest, &word) : 0;
    if (n == 0)
        return false;
    size_t len = word & WORD_LENGTH;
    const uint8_t *data = it->rest.p + 4;
    *out = (run_item){.seq = it->seq++,
                      .data = bytes_of(data, len),
                      .erased = (word & WORD_ERASED) != 0,
                      .seal = word & WORD_SEALED ? (const seal_sig *)(data + len) : NULL};
    it->rest = bytes_of(it->rest.p + n, it->rest.len - n);
    it->left--;
    return true;
}

typedef struct {
    const run *r;
    const dataset_id *dataset;
    const member_key *author;
    run_seen *seen;
    void *ctx;
    uint32_t index;
    event_id id;         /* of the event before the next one */
    bool genesis;        /* the first id has to be the dataset id */
    size_t since_events; /* since the last seal */
    size_t since_bytes;
} walk;

/* Where the run begins: at the id the receiver holds, and at seq 1 only at the root of this author's chain. */
static err_t check_start(walk *w, const event_id *start)
{
    event_id root;
    w->id = w->r->previous;
    if (start != NULL && !event_id_eq(start, &w->id))
        return ERR_BAD_CHAIN;
    if (w->r->first_seq > 1)
        return ERR_OK;
    chain_start(&root, w->dataset, w->r->feed, w->author);
    if (event_id_eq(&root, &w->id))
        return ERR_OK;
    chain_start_genesis(&root, w->author);
    w->genesis = w->r->feed == CHAIN_GENESIS_FEED && event_id_eq(&root, &w->id);
    return w->genesis ? ERR_OK : ERR_BAD_CHAIN;
}

static err_t check_seal(walk *w, const run_item *item)
{
    w->since_events = 0;
    w->since_bytes = 0;
    return chain_verify(item->seal, w->author, w->dataset, w->r->feed, item->seq, &w->id);
}

static err_t check_item(walk *w, const run_item *item)
{
    event_view v;
    TRY(item->erased ? event_parse_erased(item->data, &v) : event_parse(item->data, &v));
    if (item->erased && !event_is_erasable(&v))
        return ERR_MALFORMED;
    w->since_events++;
    w->since_bytes += event_written_bytes(&v);
    if (w->since_events > SEAL_MAX_EVENTS || w->since_bytes > SEAL_MAX_BYTES)
        return ERR_UNSEALED;
    chain_next_event(&w->id, &w->id, item->seq, &v);
    if (w->genesis && item->seq == 1 && memcmp(w->id.b, w->dataset->b, EVENT_ID_BYTES) != 0)
        return ERR_BAD_CHAIN;
    if (item->seal != NULL)
        TRY(check_seal(w, item));
    if (w->seen != NULL)
        w->seen(w->ctx, w->index, &w->id, &v);
    return ERR_OK;
}

err_t run_check(const run *r, const dataset_id *dataset, const member_key *author,
                const event_id *start, run_seen *seen, void *ctx, run_verdict *out)
{
    walk w = {.r = r, .dataset = dataset, .author = author, .seen = seen, .ctx = ctx};
    *out = (run_verdict){.last = r->previous};
    TRY(check_start(&w, start));
    run_item item;
    for (run_iter it = run_items(r); run_next(&it, &item); w.index = ++out->bad_index) {
        TRY(check_item(&w, &item));
        if (item.seal != NULL) {
            out->sealed = out->bad_index + 1;
            out->last = w.id;
        }
    }
    return ERR_OK;
}

err_t run_begin(run_writer *w, buf *out, feed_id feed, uint64_t first_seq, const event_id *previous)
{
    *w = (run_writer){.out = out, .at = out->len};
    buf_add_u8(out, RUN_VERSION);
    buf_add_u8(out, RUN_CODEC_PLAIN);
    buf_add(out, (const uint8_t[2]){0, 0}, 2);
    buf_add_u32be(out, feed);
    buf_add_u64be(out, first_seq);
    buf_add_u32be(out, 0); /* count and bytes: run_end knows */
    buf_add_u32be(out, 0);
    if (!buf_add(out, previous->b, EVENT_ID_BYTES))
        out->len = w->at;
    w->sealed_end = out->len;
    return out->err;
}

err_t run_add(run_writer *w, bytes data, bool erased, const seal_sig *seal)
{
    buf *out = w->out;
    size_t n = 4 + data.len + (seal != NULL ? SEAL_BYTES : 0);
    if (data.len > DATA_MAX || w->count == RUN_MAX_EVENTS || out->len - w->at + n > RUN_MAX_BYTES)
        return ERR_TOO_LARGE;
    uint8_t *p = buf_reserve(out, n);
    if (p == NULL)
        return out->err;
    put_u32be(p, (uint32_t)data.len | (erased ? WORD_ERASED : 0) | (seal ? WORD_SEALED : 0));
    memcpy(p + 4, data.p, data.len);
    if (seal != NULL)
        memcpy(p + 4 + data.len, seal->b, SEAL_BYTES);
    out->len += n;
    w->count++;
    if (seal != NULL) {
        w->sealed_end = out->len;
        w->sealed_count = w->count;
    }
    return ERR_OK;
}

err_t run_end(run_writer *w, uint32_t *count)
{
    *count = w->sealed_count;
    w->out->len = w->sealed_count > 0 ? w->sealed_end : w->at;
    if (w->sealed_count == 0)
        return ERR_UNSEALED;
    uint8_t *header = w->out->p + w->at;
    put_u32be(header + AT_COUNT, w->sealed_count);
    put_u32be(header + AT_ITEM_BYTES, (uint32_t)(w->sealed_end - w->at - RUN_HEADER_BYTES));
    return ERR_OK;
}
