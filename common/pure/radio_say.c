#include "pure/radio_say.h"

#define RUN_CODEC_FLAG 1u
#define RUN_PRIME      2u
#define RUN_NEWS       4u
#define RUN_FLAGS      7u
#define BEACON_WHOLE   1u
#define SEQ_MAX        0x7fffffffffffffffull

/* ---- writing ---- */

typedef struct {
    uint8_t *p;
    size_t len, max;
    bool full;
} writer;

static void put(writer *w, const void *p, size_t n)
{
    if (w->full || n > w->max - w->len) {
        w->full = true;
        return;
    }
    if (n > 0)
        memcpy(w->p + w->len, p, n);
    w->len += n;
}

static void put_byte(writer *w, uint8_t v)
{
    put(w, &v, 1);
}

static void put_number(writer *w, uint64_t v)
{
    for (; v > 127; v >>= 7)
        put_byte(w, (uint8_t)(v | 128));
    put_byte(w, (uint8_t)v);
}

static size_t written(const writer *w)
{
    return w->full ? 0 : w->len;
}

static void put_list(writer *w, const radio_list *l, bool wants)
{
    uint32_t next = 0;
    put_number(w, l->n);
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t code = radio_feed_code(l->at[i].feed);
        put_number(w, code - next);
        put_number(w, l->at[i].seq);
        if (wants)
            put_number(w, (uint64_t)l->at[i].count << 1 | (l->at[i].plain ? 1u : 0u));
        next = code + 1;
    }
}

size_t radio_put_run(uint8_t *out, size_t max, const radio_run *r)
{
    writer w = {out, 0, max, false};
    bool prime = r->prime_seq > 0, news = r->news.n > 0;
    put_byte(&w, (uint8_t)((r->codec ? RUN_CODEC_FLAG : 0) | (prime ? RUN_PRIME : 0) |
                           (news ? RUN_NEWS : 0)));
    put_number(&w, radio_feed_code(r->feed));
    put_number(&w, r->first_seq);
    put_number(&w, r->count);
    put(&w, r->previous, sizeof r->previous);
    if (r->codec)
        put_number(&w, r->first_seq - r->history_seq);
    if (prime) {
        put_number(&w, radio_feed_code(r->prime_feed));
        put_number(&w, r->prime_seq);
    }
    put(&w, r->seal.b, sizeof r->seal.b);
    if (news)
        put_list(&w, &r->news, false);
    put(&w, r->code.p, r->code.len);
    return written(&w);
}

size_t radio_put_part(uint8_t *out, size_t max, const radio_part *p)
{
    writer w = {out, 0, max, false};
    put(&w, p->tag, sizeof p->tag);
    put_byte(&w, p->index);
    put_byte(&w, p->total);
    put(&w, p->data.p, p->data.len);
    return written(&w);
}

size_t radio_put_beacon(uint8_t *out, size_t max, const radio_beacon *b)
{
    writer w = {out, 0, max, false};
    put_byte(&w, b->whole ? BEACON_WHOLE : 0);
    put(&w, b->digest, sizeof b->digest);
    if (b->whole) {
        put_number(&w, b->low);
        put_number(&w, RADIO_CODE_MAX - b->high);
    }
    put_list(&w, &b->list, false);
    return written(&w);
}

size_t radio_put_want(uint8_t *out, size_t max, const radio_list *wants)
{
    writer w = {out, 0, max, false};
    put_byte(&w, 0);
    put_list(&w, wants, true);
    return written(&w);
}

bool radio_put_body(uint8_t *out, size_t max, size_t *len, bytes data, bool erased)
{
    writer w = {out, *len, max, false};
    put_number(&w, (uint64_t)data.len << 1 | (erased ? 1u : 0u));
    put(&w, data.p, data.len);
    if (!w.full)
        *len = w.len;
    return !w.full;
}

/* ---- reading ---- */

static err_t take(bytes *in, void *out, size_t n)
{
    if (in->len < n)
        return ERR_TRUNCATED;
    memcpy(out, in->p, n);
    *in = bytes_of(in->p + n, in->len - n);
    return ERR_OK;
}

static err_t take_number(bytes *in, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    uint8_t b = 128;
    for (unsigned shift = 0; b & 128; shift += 7) {
        TRY(take(in, &b, 1));
        if (b == 0 && shift > 0)
            return ERR_NOT_SHORTEST;
        if (shift > 56)
            return ERR_OUT_OF_RANGE;
        v |= (uint64_t)(b & 127) << shift;
    }
    *out = v;
    return v <= max ? ERR_OK : ERR_OUT_OF_RANGE;
}

static err_t take_feed(bytes *in, uint32_t after, feed_id *out)
{
    uint64_t v;
    TRY(take_number(in, RADIO_CODE_MAX - after, &v));
    *out = radio_feed_of(after + (uint32_t)v);
    bool known = feed_class_of(*out) != CLASS_RESERVED && feed_member(*out) != 0;
    return known ? ERR_OK : ERR_OUT_OF_RANGE;
}

static err_t take_seq(bytes *in, uint64_t *out)
{
    TRY(take_number(in, SEQ_MAX, out));
    return *out > 0 ? ERR_OK : ERR_OUT_OF_RANGE;
}

static err_t take_entry(bytes *in, uint32_t after, bool want, radio_entry *e)
{
    uint64_t v = 0;
    TRY(take_feed(in, after, &e->feed));
    TRY(take_seq(in, &e->seq));
    if (want)
        TRY(take_number(in, (uint64_t)RUN_MAX_EVENTS << 1 | 1, &v));
    e->count = (uint32_t)(v >> 1);
    e->plain = (v & 1) != 0;
    return ERR_OK;
}

static err_t take_list(bytes *in, bool wants, radio_list *out)
{
    uint64_t n;
    uint32_t next = 0;
    out->n = 0;
    TRY(take_number(in, UINT32_MAX, &n));
    if (n > RADIO_ENTRIES_MAX)
        return ERR_TOO_LARGE;
    for (; out->n < n; out->n++) {
        if (out->n > 0 && next == 0)
            return ERR_OUT_OF_RANGE; /* nothing comes after the greatest code */
        TRY(take_entry(in, next, wants, &out->at[out->n]));
        next = radio_feed_code(out->at[out->n].feed) + 1;
    }
    return ERR_OK;
}

static err_t take_history(bytes *in, radio_run *r)
{
    uint64_t n;
    TRY(take_number(in, r->first_seq - 1, &n));
    if (n > RADIO_HISTORY_EVENTS_MAX)
        return ERR_TOO_LARGE;
    r->history_seq = r->first_seq - n;
    return ERR_OK;
}

static err_t take_prime(bytes *in, radio_run *r)
{
    TRY(take_feed(in, 0, &r->prime_feed));
    TRY(take_seq(in, &r->prime_seq));
    return r->codec != 0 && r->prime_feed != r->feed ? ERR_OK : ERR_OUT_OF_RANGE;
}

static err_t take_run_name(bytes *in, radio_run *r)
{
    uint64_t n;
    TRY(take_feed(in, 0, &r->feed));
    TRY(take_seq(in, &r->first_seq));
    TRY(take_number(in, UINT32_MAX, &n));
    if (n > SEAL_MAX_EVENTS)
        return ERR_TOO_LARGE;
    if (n == 0 || r->first_seq > SEQ_MAX - n)
        return ERR_OUT_OF_RANGE;
    r->count = (uint32_t)n;
    return take(in, r->previous, sizeof r->previous);
}

err_t radio_get_run(bytes in, radio_run *out)
{
    uint8_t flags;
    out->news.n = 0;
    out->prime_feed = 0;
    out->prime_seq = 0;
    TRY(take(&in, &flags, 1));
    if (flags & ~RUN_FLAGS)
        return ERR_VERSION;
    out->codec = flags & RUN_CODEC_FLAG;
    TRY(take_run_name(&in, out));
    out->history_seq = out->first_seq;
    if (out->codec)
        TRY(take_history(&in, out));
    if (flags & RUN_PRIME)
        TRY(take_prime(&in, out));
    TRY(take(&in, out->seal.b, sizeof out->seal.b));
    if (flags & RUN_NEWS) {
        TRY(take_list(&in, false, &out->news));
        if (out->news.n == 0)
            return ERR_NOT_SHORTEST;
    }
    out->code = in;
    return ERR_OK;
}

err_t radio_get_part(bytes in, radio_part *out)
{
    TRY(take(&in, out->tag, sizeof out->tag));
    TRY(take(&in, &out->index, 1));
    TRY(take(&in, &out->total, 1));
    if (in.len == 0)
        return ERR_TRUNCATED;
    if (out->total < 2 || out->total > RADIO_PARTS_MAX || out->index >= out->total)
        return ERR_OUT_OF_RANGE;
    out->data = in;
    return ERR_OK;
}

static err_t take_range(bytes *in, radio_beacon *b)
{
    uint64_t low, below;
    TRY(take_number(in, RADIO_CODE_MAX, &low));
    TRY(take_number(in, RADIO_CODE_MAX - low, &below));
    b->low = (uint32_t)low;
    b->high = RADIO_CODE_MAX - (uint32_t)below;
    return ERR_OK;
}

static bool in_range(const radio_beacon *b)
{
    for (uint32_t i = 0; b->whole && i < b->list.n; i++) {
        uint32_t code = radio_feed_code(b->list.at[i].feed);
        if (code < b->low || code > b->high)
            return false;
    }
    return true;
}

err_t radio_get_beacon(bytes in, radio_beacon *out)
{
    uint8_t flags;
    out->low = out->high = 0;
    TRY(take(&in, &flags, 1));
    if (flags & ~BEACON_WHOLE)
        return ERR_VERSION;
    out->whole = flags != 0;
    TRY(take(&in, out->digest, sizeof out->digest));
    if (out->whole)
        TRY(take_range(&in, out));
    TRY(take_list(&in, false, &out->list));
    if (in.len > 0)
        return ERR_TRAILING;
    return in_range(out) ? ERR_OK : ERR_OUT_OF_RANGE;
}

err_t radio_get_want(bytes in, radio_list *wants)
{
    uint8_t flags;
    wants->n = 0;
    TRY(take(&in, &flags, 1));
    if (flags != 0)
        return ERR_VERSION;
    TRY(take_list(&in, true, wants));
    if (wants->n == 0)
        return ERR_OUT_OF_RANGE;
    return in.len == 0 ? ERR_OK : ERR_TRAILING;
}

err_t radio_get_body(bytes *rest, bytes *data, bool *erased)
{
    uint64_t v;
    TRY(take_number(rest, (uint64_t)(EVENT_MAX_BYTES + 36) << 1 | 1, &v));
    *erased = (v & 1) != 0;
    if (v >> 1 > rest->len)
        return ERR_TRUNCATED;
    *data = bytes_of(rest->p, (size_t)(v >> 1));
    *rest = bytes_of(rest->p + (v >> 1), rest->len - (size_t)(v >> 1));
    return ERR_OK;
}

bool radio_list_add(radio_list *l, const radio_entry *e)
{
    uint32_t i = l->n;
    while (i > 0 && radio_feed_code(l->at[i - 1].feed) > radio_feed_code(e->feed))
        i--;
    if (i > 0 && l->at[i - 1].feed == e->feed) {
        if (e->seq > l->at[i - 1].seq)
            l->at[i - 1].seq = e->seq;
        return true;
    }
    if (l->n == RADIO_ENTRIES_MAX)
        return false;
    memmove(&l->at[i + 1], &l->at[i], (l->n - i) * sizeof *l->at);
    l->at[i] = *e;
    l->n++;
    return true;
}
