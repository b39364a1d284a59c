/* The gate and what reads behind it. What is accepted has one encoding: msgpack-c and event_build write it back alike. */
#include "proto/event.h"
#include "proto/gate.h"

#include <msgpack.h>
#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static int to_buf(void *ctx, const char *p, size_t n)
{
    return buf_add(ctx, p, n) ? 0 : -1;
}

static void expect_same_after_msgpack(bytes in, buf *again)
{
    msgpack_unpacked got;
    size_t off = 0;
    msgpack_packer pk = {.data = again, .callback = to_buf};
    buf_clear(again);
    msgpack_unpacked_init(&got);
    must(msgpack_unpack_next(&got, (const char *)in.p, in.len, &off) == MSGPACK_UNPACK_SUCCESS);
    must(off == in.len && msgpack_pack_object(&pk, got.data) == 0);
    must(bytes_eq(buf_view(again), in));
    msgpack_unpacked_destroy(&got);
}

static void expect_same_after_build(const event_view *v, buf *again)
{
    event_reference refs[REPLACES_MAX], ref;
    uint64_t number;
    bytes raw;
    uint32_t n = 0;
    for (event_ref_iter it = event_refs(v); event_next_ref(&it, &ref);)
        refs[n++] = ref;
    must(n == v->n_replaces);
    (void)event_attr_u64(v, "at", &number);
    (void)event_attr_ref(v, "cause", &ref);
    (void)event_attr_str(v, "by", &raw);
    event_fields f = {v->stamp,  refs,    n,          v->category,
                      v->stream, v->kind, v->payload, v->attributes};
    buf_clear(again);
    must(v->n_elements > 8 || event_build(&f, again) == ERR_OK);
    must(v->n_elements > 8 || bytes_eq(buf_view(again), v->body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = bytes_of(data, size);
    event_view v;
    size_t used = 0;
    static const uint8_t hash[EVENT_HASH_BYTES];
    buf again;
    buf_init(&again, EVENT_MAX_BYTES + EVENT_ERASED_EXTRA);
    if (event_parse(in, &v) == ERR_OK) {
        must(gate_value(in, &used, 0) == ERR_OK && used == size);
        must(v.head.len + v.tail.len == size);
        expect_same_after_msgpack(in, &again);
        if (!v.opaque)
            expect_same_after_build(&v, &again);
        buf_clear(&again);
        must(event_write_erased(&v, hash, &again) == ERR_OK);
        must(event_parse_erased(buf_view(&again), &v) == ERR_OK);
    }
    if (event_parse_erased(in, &v) == ERR_OK) {
        buf_clear(&again);
        must(event_write_erased(&v, v.tail_hash, &again) == ERR_OK);
        must(bytes_eq(buf_view(&again), in));
    }
    buf_release(&again);
    return 0;
}
