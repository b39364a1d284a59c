#include "pure/bundle.h"

#include "pure/crypto.h"

#define MAGIC       "CAIRNBDL"
#define TYPE_RUN    1u
#define TYPE_END    2u
#define RECORD_HEAD 8u
#define END_BYTES   24u

static void add_checksum(buf *out, bytes over)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    crypto_digest(sum, over);
    (void)buf_add(out, sum, CHECKSUM_BYTES);
}

static bool checksum_holds(bytes whole)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    size_t n = whole.len - CHECKSUM_BYTES;
    crypto_digest(sum, bytes_of(whole.p, n));
    return memcmp(sum, whole.p + n, CHECKSUM_BYTES) == 0;
}

/* Adds the checksum of all since `at`, or takes all of it back. */
static err_t close_piece(bundle_progress *w, buf *out, size_t at)
{
    if (out->err == ERR_OK)
        add_checksum(out, bytes_of(out->p + at, out->len - at));
    if (out->err != ERR_OK)
        out->len = at;
    w->bytes += out->len - at;
    return out->err;
}

err_t bundle_begin(bundle_progress *w, const dataset_id *dataset, buf *out)
{
    size_t at = out->len;
    *w = (bundle_progress){.dataset = *dataset};
    buf_add_str(out, MAGIC);
    buf_add_u32be(out, BUNDLE_VERSION);
    buf_add_u32be(out, 0);
    buf_add(out, dataset->b, sizeof dataset->b);
    return close_piece(w, out, at);
}

err_t bundle_add(bundle_progress *w, const run *r, buf *out)
{
    size_t at = out->len;
    buf_add_u32be(out, TYPE_RUN);
    buf_add_u32be(out, (uint32_t)r->all.len);
    buf_add_bytes(out, r->all);
    TRY(close_piece(w, out, at));
    w->runs++;
    w->events += r->count;
    return ERR_OK;
}

err_t bundle_end(bundle_progress *w, buf *out)
{
    size_t at = out->len;
    buf_add_u32be(out, TYPE_END);
    buf_add_u32be(out, END_BYTES);
    buf_add_u64be(out, w->runs);
    buf_add_u64be(out, w->events);
    buf_add_u64be(out, w->bytes);
    TRY(close_piece(w, out, at));
    w->complete = true;
    return ERR_OK;
}

void bundle_reader_init(bundle_reader *r, const dataset_id *dataset, bundle_run_fn take,
                        void *context)
{
    *r = (bundle_reader){.any_dataset = dataset == NULL,
                         .take = take,
                         .context = context,
                         .need = BUNDLE_HEADER_BYTES};
    if (dataset != NULL)
        r->progress.dataset = *dataset;
    buf_init(&r->pending, BUNDLE_RECORD_MAX_BYTES);
}

void bundle_reader_resume(bundle_reader *r, const bundle_progress *from, bundle_run_fn take,
                          void *context)
{
    bundle_reader_init(r, &from->dataset, take, context);
    r->progress = *from;
    if (from->bytes > 0)
        r->need = RECORD_HEAD;
}

void bundle_reader_release(bundle_reader *r)
{
    buf_release(&r->pending);
}

static err_t read_header(bundle_reader *r, bytes in)
{
    if (memcmp(in.p, MAGIC, sizeof MAGIC - 1) != 0)
        return ERR_MALFORMED;
    if (get_u32be(in.p + 8) != BUNDLE_VERSION || get_u32be(in.p + 12) != 0)
        return ERR_VERSION;
    if (!checksum_holds(in))
        return ERR_CHECKSUM;
    dataset_id *mine = &r->progress.dataset;
    if (!r->any_dataset && memcmp(mine->b, in.p + 16, sizeof mine->b) != 0)
        return ERR_DATASET;
    memcpy(mine->b, in.p + 16, sizeof mine->b);
    r->need = RECORD_HEAD;
    return ERR_OK;
}

/* Asks for the rest of a record, whose length is bounded before it is believed. */
static err_t read_record_head(bundle_reader *r, bytes in)
{
    uint32_t type = get_u32be(in.p), length = get_u32be(in.p + 4);
    if (type != TYPE_RUN && type != TYPE_END)
        return ERR_MALFORMED;
    if (type == TYPE_END && length != END_BYTES)
        return ERR_MALFORMED;
    if (length > RUN_MAX_BYTES)
        return ERR_TOO_LARGE;
    r->need = RECORD_HEAD + length + CHECKSUM_BYTES;
    return ERR_OK;
}

static err_t read_run(bundle_reader *r, bytes data)
{
    run one;
    TRY(run_decode(data, &one));
    TRY(r->take(r->context, &one));
    r->progress.runs++;
    r->progress.events += one.count;
    return ERR_OK;
}

static err_t read_end(bundle_reader *r, bytes data)
{
    bundle_progress *p = &r->progress;
    if (get_u64be(data.p) != p->runs || get_u64be(data.p + 8) != p->events ||
        get_u64be(data.p + 16) != p->bytes)
        return ERR_MALFORMED;
    p->complete = true;
    return ERR_OK;
}

static err_t read_record(bundle_reader *r, bytes in)
{
    bytes data = bytes_of(in.p + RECORD_HEAD, in.len - RECORD_HEAD - CHECKSUM_BYTES);
    if (!checksum_holds(in))
        return ERR_CHECKSUM;
    TRY(get_u32be(in.p) == TYPE_RUN ? read_run(r, data) : read_end(r, data));
    r->need = RECORD_HEAD;
    return ERR_OK;
}

/* `pending` holds all that was needed: header, head of a record, or a whole record. */
static err_t step(bundle_reader *r)
{
    bytes in = buf_view(&r->pending);
    if (r->progress.bytes > 0 && r->need == RECORD_HEAD)
        return read_record_head(r, in);
    TRY(r->progress.bytes == 0 ? read_header(r, in) : read_record(r, in));
    r->progress.bytes += in.len;
    buf_clear(&r->pending);
    return ERR_OK;
}

err_t bundle_feed(bundle_reader *r, bytes chunk)
{
    while (r->err == ERR_OK && chunk.len > 0) {
        if (r->progress.complete) {
            r->err = ERR_TRAILING;
            break;
        }
        size_t room = r->need - r->pending.len;
        size_t n = chunk.len < room ? chunk.len : room;
        if (!buf_add(&r->pending, chunk.p, n))
            r->err = r->pending.err;
        chunk = bytes_of(chunk.p + n, chunk.len - n);
        if (r->err == ERR_OK && r->pending.len == r->need)
            r->err = step(r);
    }
    return r->err;
}

err_t bundle_finish(const bundle_reader *r)
{
    if (r->err != ERR_OK)
        return r->err;
    return r->progress.complete ? ERR_OK : ERR_TRUNCATED;
}
