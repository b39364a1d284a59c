#include "proto/event.h"

#include "proto/gate.h"
#include "proto/mp.h"

static bytes slice(bytes of, size_t from, size_t to)
{
    return bytes_of(of.p + from, to - from);
}

static event_reference read_reference(mp_reader *r)
{
    event_reference out = {0};
    if (mp_peek(r) == MP_UINT) {
        out.distance = mp_uint(r);
        if (out.distance == 0)
            mp_fail(r, ERR_OUT_OF_RANGE);
        return out;
    }
    uint32_t n = mp_array(r);
    uint64_t feed = mp_uint(r), seq = mp_uint(r), prefix = mp_uint(r);
    if (n != 3 || feed > UINT32_MAX || seq == 0 || prefix > UINT16_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    out.full = (event_ref){(feed_id)feed, seq, (uint16_t)prefix};
    return out;
}

static uint32_t read_replaces(mp_reader *r, bytes *raw)
{
    const uint8_t *from = r->p;
    uint32_t n = mp_array(r);
    if (n > REPLACES_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    for (uint32_t i = 0; i < n && r->err == ERR_OK; i++)
        (void)read_reference(r);
    *raw = bytes_of(from, (size_t)(r->p - from));
    return n;
}

/* A name that is not empty, has no NUL and none of `banned`. */
static bytes read_name(mp_reader *r, size_t max_bytes, const char *banned)
{
    bytes s = mp_str(r);
    bool bad = s.len == 0 || s.len > max_bytes || memchr(s.p, 0, s.len) != NULL;
    for (; *banned != '\0' && !bad; banned++)
        bad = memchr(s.p, *banned, s.len) != NULL;
    if (bad)
        mp_fail(r, ERR_OUT_OF_RANGE);
    return s;
}

/* Elements 0-5; false when one is not what this version understands. */
static bool read_head(event_view *v, bytes elements)
{
    mp_reader r = mp_reader_of(elements);
    v->stamp.wall_ms = mp_uint(&r);
    uint64_t counter = mp_uint(&r);
    v->n_replaces = read_replaces(&r, &v->replaces);
    v->category = read_name(&r, CATEGORY_MAX_BYTES, "/");
    v->stream = read_name(&r, STREAM_MAX_BYTES, "");
    v->kind = read_name(&r, KIND_MAX_BYTES, "");
    v->stamp.counter = (uint32_t)counter;
    return r.err == ERR_OK && v->stamp.wall_ms <= WALL_MAX_MS && counter <= UINT32_MAX;
}

static bool is_map(bytes value)
{
    mp_reader r = mp_reader_of(value);
    return mp_peek(&r) == MP_MAP;
}

/* Drops all that an opaque event does not tell. */
static void make_opaque(event_view *v)
{
    *v = (event_view){.body = v->body,
                      .head = v->head,
                      .tail = v->tail,
                      .n_elements = v->n_elements,
                      .opaque = true,
                      .erased = v->erased,
                      .tail_len = v->tail_len,
                      .tail_hash = v->tail_hash};
}

err_t event_parse(bytes body, event_view *out)
{
    gate_elements e;
    TRY(gate_split(body, &e));
    size_t cut = e.at[EVENT_HEAD_ELEMENTS];
    *out = (event_view){.body = body,
                        .head = slice(body, 0, cut),
                        .tail = slice(body, cut, body.len),
                        .n_elements = e.n,
                        .tail_len = (uint32_t)(body.len - cut)};
    out->payload = slice(body, e.at[6], e.at[7]);
    if (e.n > 7)
        out->attributes = slice(body, e.at[7], e.at[8]);
    if (!read_head(out, slice(body, 1, cut)) || (e.n > 7 && !is_map(out->attributes)))
        make_opaque(out);
    return ERR_OK;
}

/* The gate for a head that stands alone. */
static err_t check_head(bytes head, uint32_t *n_elements)
{
    *n_elements = head.p[0] & 0x0fu;
    if ((head.p[0] & 0xf0) != 0x90 || *n_elements < EVENT_MIN_ELEMENTS)
        return ERR_MALFORMED;
    bytes rest = slice(head, 1, head.len);
    for (unsigned i = 0; i < EVENT_HEAD_ELEMENTS; i++) {
        size_t used;
        TRY(gate_value(rest, &used, 1));
        rest = slice(rest, used, rest.len);
    }
    return rest.len == 0 ? ERR_OK : ERR_TRAILING;
}

err_t event_parse_erased(bytes erased, event_view *out)
{
    if (erased.len > EVENT_MAX_BYTES + EVENT_ERASED_EXTRA)
        return ERR_TOO_LARGE;
    if (erased.len <= EVENT_ERASED_EXTRA)
        return ERR_TRUNCATED;
    size_t cut = erased.len - EVENT_ERASED_EXTRA;
    *out = (event_view){.body = erased, .head = slice(erased, 0, cut), .erased = true};
    TRY(check_head(out->head, &out->n_elements));
    out->tail_len = get_u32be(erased.p + cut);
    out->tail_hash = erased.p + cut + 4;
    uint32_t least = out->n_elements - EVENT_HEAD_ELEMENTS;
    if (out->tail_len < least || out->tail_len > EVENT_MAX_BYTES - cut)
        return ERR_OUT_OF_RANGE;
    if (!read_head(out, slice(erased, 1, cut)))
        make_opaque(out);
    return ERR_OK;
}

bool event_is_erasable(const event_view *v)
{
    return v->opaque ||
           !(bytes_is(v->category, EVENT_OWN_CATEGORY) || bytes_is(v->kind, EVENT_KIND_ERASE));
}

err_t event_write_erased(const event_view *v, const uint8_t *tail_hash, buf *out)
{
    size_t at = out->len;
    buf_add_bytes(out, v->head);
    buf_add_u32be(out, v->tail_len);
    if (!buf_add(out, tail_hash, EVENT_HASH_BYTES))
        out->len = at;
    return out->err;
}

event_ref_iter event_refs(const event_view *v)
{
    mp_reader r = mp_reader_of(v->replaces);
    uint32_t n = v->n_replaces > 0 ? mp_array(&r) : 0;
    return (event_ref_iter){mp_rest(&r), n};
}

bool event_next_ref(event_ref_iter *it, event_reference *out)
{
    if (it->left == 0)
        return false;
    mp_reader r = mp_reader_of(it->rest);
    *out = read_reference(&r);
    it->left = r.err == ERR_OK ? it->left - 1 : 0;
    it->rest = mp_rest(&r);
    return r.err == ERR_OK;
}

bool event_attr(const event_view *v, const char *key, bytes *raw)
{
    mp_reader r = mp_reader_of(v->attributes);
    uint32_t n = v->attributes.len > 0 ? mp_map(&r) : 0;
    for (uint32_t i = 0; i < n && r.err == ERR_OK; i++) {
        bytes k = mp_str(&r);
        *raw = mp_any(&r);
        if (r.err == ERR_OK && bytes_is(k, key))
            return true;
    }
    return false;
}

/* A reader over the value of `key`; its error is set when there is none. */
static mp_reader attr_reader(const event_view *v, const char *key)
{
    bytes raw = {0};
    mp_reader r = {.err = ERR_NOT_FOUND};
    return event_attr(v, key, &raw) ? mp_reader_of(raw) : r;
}

bool event_attr_u64(const event_view *v, const char *key, uint64_t *out)
{
    mp_reader r = attr_reader(v, key);
    uint64_t value = mp_uint(&r);
    if (mp_done(&r) == ERR_OK)
        *out = value;
    return mp_done(&r) == ERR_OK;
}

bool event_attr_i64(const event_view *v, const char *key, int64_t *out)
{
    mp_reader r = attr_reader(v, key);
    int64_t value = mp_int(&r);
    if (mp_done(&r) == ERR_OK)
        *out = value;
    return mp_done(&r) == ERR_OK;
}

bool event_attr_str(const event_view *v, const char *key, bytes *out)
{
    mp_reader r = attr_reader(v, key);
    bytes value = mp_str(&r);
    if (mp_done(&r) == ERR_OK)
        *out = value;
    return mp_done(&r) == ERR_OK;
}

bool event_attr_ref(const event_view *v, const char *key, event_reference *out)
{
    mp_reader r = attr_reader(v, key);
    event_reference value = read_reference(&r);
    if (mp_done(&r) == ERR_OK)
        *out = value;
    return mp_done(&r) == ERR_OK;
}

static void put_reference(buf *out, const event_reference *ref)
{
    if (ref->distance > 0) {
        mp_put_uint(out, ref->distance);
        return;
    }
    mp_put_array(out, 3);
    mp_put_uint(out, ref->full.feed);
    mp_put_uint(out, ref->full.seq);
    mp_put_uint(out, ref->full.prefix);
}

static void put_body(const event_fields *in, buf *out)
{
    mp_put_array(out, in->attributes.len > 0 ? 8 : 7);
    mp_put_uint(out, in->stamp.wall_ms);
    mp_put_uint(out, in->stamp.counter);
    mp_put_array(out, (uint32_t)in->n_replaces);
    for (size_t i = 0; i < in->n_replaces; i++)
        put_reference(out, &in->replaces[i]);
    mp_put_str(out, in->category);
    mp_put_str(out, in->stream);
    mp_put_str(out, in->kind);
    buf_add_bytes(out, in->payload);
    buf_add_bytes(out, in->attributes);
}

/* What was written must read back as what was meant. */
static err_t check_built(const event_fields *in, bytes body, event_view *v)
{
    TRY(event_parse(body, v));
    if (v->opaque)
        return ERR_OUT_OF_RANGE;
    return v->payload.len == in->payload.len ? ERR_OK : ERR_MALFORMED;
}

err_t event_build(const event_fields *in, buf *out)
{
    event_view v;
    return event_build_view(in, out, &v);
}

err_t event_build_view(const event_fields *in, buf *out, event_view *v)
{
    if (in->n_replaces > REPLACES_MAX)
        return ERR_OUT_OF_RANGE;
    size_t at = out->len;
    put_body(in, out);
    err_t e = out->err;
    if (e == ERR_OK)
        e = check_built(in, bytes_of(out->p + at, out->len - at), v);
    if (e != ERR_OK)
        out->len = at;
    return e;
}
