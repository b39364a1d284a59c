#include "pure/erasure.h"

#include "proto/mp.h"

static bool read_ref(mp_reader *r, feed_id feed, uint64_t seq, erasure *out)
{
    if (mp_peek(r) == MP_UINT) {
        uint64_t distance = mp_uint(r);
        out->feed = feed;
        out->seq = distance > 0 && distance < seq ? seq - distance : 0;
        return out->seq != 0;
    }
    uint32_t n = mp_array(r);
    uint64_t named = mp_uint(r);
    out->seq = mp_uint(r);
    (void)mp_uint(r); /* the id says it all */
    out->feed = (feed_id)named;
    return r->err == ERR_OK && n == 3 && named <= UINT32_MAX && out->seq != 0;
}

bool erasure_read(feed_id feed, uint64_t seq, const event_view *v, erasure *out)
{
    mp_reader r = mp_reader_of(v->payload);
    bool id = false, ref = false;
    *out = (erasure){0};
    for (uint32_t n = mp_peek(&r) == MP_MAP ? mp_map(&r) : 0; n > 0 && r.err == ERR_OK; n--) {
        bytes key = mp_str(&r), value = mp_any(&r);
        mp_reader at = mp_reader_of(value);
        if (bytes_is(key, "id")) {
            mp_fixed(&at, out->id.b, sizeof out->id.b);
            id = mp_done(&at) == ERR_OK;
        } else if (bytes_is(key, "keys")) {
            out->keys = value;
        } else if (bytes_is(key, "ref")) {
            ref = read_ref(&at, feed, seq, out);
        }
    }
    return id && ref && r.err == ERR_OK;
}

erasure_iter erasure_keys(const erasure *e)
{
    mp_reader r = mp_reader_of(e->keys);
    uint32_t n = mp_peek(&r) == MP_ARRAY ? mp_array(&r) : 0;
    return (erasure_iter){mp_rest(&r), n};
}

bool erasure_next_key(erasure_iter *it, bytes *key)
{
    while (it->left > 0) {
        mp_reader r = mp_reader_of(it->rest);
        bytes item = mp_any(&r);
        mp_reader text = mp_reader_of(item);
        it->left = r.err == ERR_OK ? it->left - 1 : 0;
        it->rest = mp_rest(&r);
        if (r.err != ERR_OK || mp_peek(&text) != MP_STR)
            continue;
        *key = mp_str(&text);
        return text.err == ERR_OK;
    }
    return false;
}

void erasure_write(buf *out, feed_id feed, uint64_t seq, const event_id *id, const bytes *keys,
                   uint32_t n_keys)
{
    mp_put_map(out, 3);
    mp_put_cstr(out, "id");
    mp_put_bin(out, bytes_of(id->b, sizeof id->b));
    mp_put_cstr(out, "keys");
    mp_put_array(out, n_keys);
    for (uint32_t i = 0; i < n_keys; i++)
        mp_put_str(out, keys[i]);
    mp_put_cstr(out, "ref");
    mp_put_array(out, 3);
    mp_put_uint(out, feed);
    mp_put_uint(out, seq);
    mp_put_uint(out, get_u16be(id->b));
}
