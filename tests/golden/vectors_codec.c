#include "tests/golden/vectors.h"

#include "proto/mp.h"
#include "pure/codec.h"

#include <stdlib.h>

#define BODIES 6u

static void must(err_t e)
{
    if (e != ERR_OK)
        abort();
}

/* ---- bodies that have what the codec treats in its own way ---- */

typedef struct {
    buf all;
    bytes body[BODIES];
} series;

static void put_payload(unsigned i, buf *out)
{
    static const double depths[BODIES] = {35.182799, -16.4650238, 0.1, 1e300, -0.0, 42.0};
    static const uint8_t unlike[8] = {0xff, 0, 0x7f, 0x80};
    mp_put_map(out, 4);
    mp_put_cstr(out, "community");
    mp_put_cstr(out, i % 2 == 0 ? "Sandram camp" : "Kagaso");
    mp_put_cstr(out, "depth");
    mp_put_double(out, depths[i]);
    mp_put_cstr(out, "people");
    mp_put_uint(out, 680 + 40 * i);
    mp_put_cstr(out, "photo");
    mp_put_bin(out, bytes_of(unlike, i));
}

static void make_series(series *s)
{
    size_t ends[BODIES];
    buf_init(&s->all, 8192);
    for (unsigned i = 0; i < BODIES; i++) {
        char stream[] = "3-1kx";
        buf payload;
        buf_init(&payload, 4096);
        put_payload(i, &payload);
        stream[2] = (char)('1' + i);
        event_fields f = {.stamp = {1700000000000u + 60007u * i, 0},
                          .category = bytes_str("flood"),
                          .stream = bytes_str(stream),
                          .kind = bytes_str("record.create"),
                          .payload = buf_view(&payload)};
        must(event_build(&f, &s->all));
        ends[i] = s->all.len;
        buf_release(&payload);
    }
    for (unsigned i = 0, from = 0; i < BODIES; from = (unsigned)ends[i++])
        s->body[i] = bytes_of(s->all.p + from, ends[i] - from);
}

/* ---- codec.json ---- */

typedef enum { AS_IT_IS, BYTE_MORE } harm;

typedef struct {
    const char *name;
    unsigned history, count; /* bodies 0 … history - 1 come before, then `count` are coded */
    harm harm;
    err_t want;
} codec_row;

static const codec_row rows[] = {
    {"the first body of a feed", 0, 1, AS_IT_IS, ERR_OK},
    {"one body with a history of one", 1, 1, AS_IT_IS, ERR_OK},
    {"one body with a history of five", 5, 1, AS_IT_IS, ERR_OK},
    {"three bodies in one run", 2, 3, AS_IT_IS, ERR_OK},
    {"all in one run", 0, BODIES, AS_IT_IS, ERR_OK},
    {"a byte too many", 1, 1, BYTE_MORE, ERR_MALFORMED},
};

static void put_bodies(buf *out, const char *name, const series *s, unsigned from, unsigned n)
{
    vectors_open(out, name, '[');
    for (unsigned i = from; i < from + n; i++) {
        vectors_open(out, NULL, '{');
        vectors_hex(out, "body", s->body[i].p, s->body[i].len);
        vectors_close(out, '}');
    }
    vectors_close(out, ']');
}

static void put_code(const codec_row *row, codec *c, const series *s, buf *out)
{
    buf code;
    buf_init(&code, 8192);
    codec_reset(c);
    for (unsigned i = 0; i < row->history; i++)
        must(codec_feed(c, s->body[i]));
    must(codec_encode(c, s->body + row->history, row->count, &code));
    if (row->harm == BYTE_MORE)
        buf_add_u8(&code, 0);
    vectors_hex(out, "code", code.p, code.len);
    buf_release(&code);
}

void vectors_codec(buf *out)
{
    series s;
    codec *c = codec_new();
    if (c == NULL)
        abort();
    make_series(&s);
    vectors_open(out, NULL, '{');
    vectors_text(out, "about",
                 "the radio codec, number 1: history, code, and the bodies that it means");
    vectors_open(out, "codes", '[');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vectors_open(out, NULL, '{');
        vectors_text(out, "name", rows[i].name);
        put_bodies(out, "history", &s, 0, rows[i].history);
        put_code(&rows[i], c, &s, out);
        put_bodies(out, "bodies", &s, rows[i].history, rows[i].count);
        vectors_text(out, "result", err_name(rows[i].want));
        vectors_close(out, '}');
    }
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
    buf_release(&s.all);
    codec_free(c);
}
