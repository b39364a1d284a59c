/* The radio codec: any bytes decode within their bounds, and any body that the gate passes comes back. */
#include "base/limits.h"
#include "proto/gate.h"
#include "pure/codec.h"
#include "pure/codec_follow.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void decode_anything(codec *c, bytes in)
{
    buf out;
    size_t ends[4];
    buf_init(&out, 8192);
    codec_reset(c);
    (void)!codec_decode(c, in, 4, 4000, &out, ends);
    must(out.len <= 4000 + 9);
    buf_release(&out);
}

static void expect_back(codec *c, bytes body)
{
    buf code, out;
    size_t end;
    buf_init(&code, 4 * EVENT_MAX_BYTES);
    buf_init(&out, EVENT_MAX_BYTES + 16);
    codec_reset(c);
    must(codec_encode(c, &body, 1, &code) == ERR_OK);
    codec_reset(c);
    must(codec_decode(c, buf_view(&code), 1, body.len, &out, &end) == ERR_OK);
    must(bytes_eq(buf_view(&out), body));
    buf_release(&code);
    buf_release(&out);
}

/* What the decoder steers by must survive any bytes; it never stands outside of its window and levels. */
static void follow_anything(bytes in)
{
    static follow f;
    follow_init(&f);
    for (size_t i = 0; i < in.len; i++) {
        follow_byte(&f, in.p[i]);
        must(f.depth <= CODEC_DEPTH_MAX && f.kind < FOLLOW_KINDS && follow_expected(&f) < 256);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static codec *c;
    if (c == NULL)
        c = codec_new();
    must(c != NULL);
    bytes in = bytes_of(data, size < 2048 ? size : 2048);
    follow_anything(in);
    if (gate_check(in) == ERR_OK)
        expect_back(c, in);
    else if (size > 0 &&
             data[size - 1] % 64 == 0) /* a fresh model costs as much as a thousand followers */
        decode_anything(c, in);
    return 0;
}
