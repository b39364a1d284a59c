#include "pure/codec.h"

#include "pure/codec_model.h"
#include "pure/value.h"

#include <stdlib.h>
#include <string.h>

#define FLOAT64          0xcbu
#define FLOAT64_BYTES    9u
#define FLOAT_TEXT_BYTES 26u /* "-1.7976931348623157e+308" and room */

struct codec {
    codec_tables tables;
    codec_model model;
};

codec *codec_new(void)
{
    codec *c = malloc(sizeof *c);
    if (c == NULL)
        return NULL;
    codec_tables_init(&c->tables);
    codec_reset(c);
    return c;
}

void codec_free(codec *c)
{
    free(c);
}

void codec_reset(codec *c)
{
    codec_model_init(&c->model, &c->tables);
}

void codec_copy(codec *to, const codec *from)
{
    to->model = from->model;
    to->model.tables = &to->tables;
    codec_model_moved(&to->model);
}

/* ---- the arithmetic coder ---- */

/* What is coded lies in low … high. After the code's last byte the decoder reads zeros. */
typedef struct {
    uint32_t low, high;
    buf *out; /* NULL: only the model learns */
    bytes in;
    uint32_t window; /* the four bytes that stand above low */
    size_t settled;  /* bytes that are decided */
} coder;

static uint32_t split(const coder *k, uint32_t chance_of_one)
{
    return k->low + (uint32_t)((uint64_t)(k->high - k->low) * chance_of_one >> 16);
}

static bool is_settled(const coder *k)
{
    return ((k->low ^ k->high) & 0xff000000u) == 0;
}

static void narrow(coder *k, uint32_t middle, unsigned bit)
{
    if (bit)
        k->high = middle;
    else
        k->low = middle + 1;
}

static void write_bit(coder *k, codec_model *m, unsigned bit)
{
    narrow(k, split(k, codec_model_chance(m)), bit);
    for (; is_settled(k); k->low <<= 8, k->high = k->high << 8 | 255)
        (void)buf_add_u8(k->out, (uint8_t)(k->high >> 24));
    codec_model_learn(m, bit);
}

/* The fewest bytes that, with zeros behind them, lie in low … high; how many. */
static unsigned end_of(const coder *k, uint8_t end[4])
{
    for (unsigned n = 0; n < 4; n++) {
        uint64_t step = 1ull << (32 - 8 * n), v = (k->low + step - 1) / step * step;
        put_u32be(end, (uint32_t)v);
        if (v <= k->high)
            return n;
    }
    put_u32be(end, k->low);
    return 4;
}

static uint8_t next_in(coder *k)
{
    uint8_t byte = 0;
    if (k->in.len > 0) {
        byte = k->in.p[0];
        k->in = bytes_of(k->in.p + 1, k->in.len - 1);
    }
    return byte;
}

static unsigned read_bit(coder *k, codec_model *m)
{
    uint32_t middle = split(k, codec_model_chance(m));
    unsigned bit = k->window <= middle;
    narrow(k, middle, bit);
    for (; is_settled(k); k->low <<= 8, k->high = k->high << 8 | 255)
        k->window = k->window << 8 | next_in(k), k->settled++;
    codec_model_learn(m, bit);
    return bit;
}

static void write_byte(coder *k, codec_model *m, uint8_t byte)
{
    for (unsigned i = 8; i-- > 0;) {
        unsigned bit = (unsigned)byte >> i & 1u;
        if (k->out != NULL)
            write_bit(k, m, bit);
        else
            codec_model_learn(m, bit);
    }
}

static uint8_t read_byte(coder *k, codec_model *m)
{
    unsigned byte = 0;
    for (unsigned i = 0; i < 8; i++)
        byte = byte << 1 | read_bit(k, m);
    return (uint8_t)byte;
}

/* ---- floats ---- */

/* The float64 whose text this is; false when it is none. */
static bool float_of(bytes text, uint64_t *bits)
{
    char room[FLOAT_TEXT_BYTES + 1];
    char *end;
    if (text.len == 0 || text.len > FLOAT_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (memchr("0123456789.-+e", text.p[i], 14) == NULL)
            return false;
    memcpy(room, text.p, text.len);
    room[text.len] = '\0';
    double d = strtod(room, &end); /* correctly rounded in the C library that Debian ships */
    memcpy(bits, &d, sizeof *bits);
    return end == room + text.len;
}

/* Appends the text of a float that reads back to the same bits; false for one that does not (NaN, infinite). */
static bool float_text(uint64_t bits, buf *text)
{
    double d;
    uint64_t back = 0;
    memcpy(&d, &bits, sizeof d);
    value_json_double(text, d);
    return text->err == ERR_OK && float_of(buf_view(text), &back) && back == bits;
}

/* ---- bodies ---- */

/* Codes a float at `p` as text, where that can be. */
static bool put_float(codec *c, coder *k, const uint8_t *p)
{
    uint8_t room[FLOAT_TEXT_BYTES];
    buf text = {.p = room, .cap = sizeof room, .max = sizeof room};
    if (!float_text(get_u64be(p + 1), &text))
        return false;
    write_byte(k, &c->model, CODEC_FLOAT_TEXT);
    write_byte(k, &c->model, (uint8_t)text.len);
    for (size_t i = 0; i < text.len; i++)
        write_byte(k, &c->model, room[i]);
    return true;
}

static err_t put_body(codec *c, coder *k, bytes body)
{
    const follow *f = &c->model.f;
    uint32_t bodies = f->bodies;
    for (size_t i = 0; i < body.len;) {
        if (f->bad || f->bodies != bodies)
            return ERR_MALFORMED;
        if (f->kind == FOLLOW_TYPE && body.p[i] == FLOAT64 && body.len - i >= FLOAT64_BYTES &&
            put_float(c, k, body.p + i))
            i += FLOAT64_BYTES;
        else
            write_byte(k, &c->model, body.p[i++]);
    }
    return !f->bad && f->bodies == bodies + 1 ? ERR_OK : ERR_MALFORMED;
}

err_t codec_feed(codec *c, bytes body)
{
    coder none = {.out = NULL};
    return put_body(c, &none, body);
}

err_t codec_encode(codec *c, const bytes *bodies, size_t n, buf *out)
{
    coder k = {.high = 0xffffffffu, .out = out};
    for (size_t i = 0; i < n; i++)
        TRY(put_body(c, &k, bodies[i]));
    uint8_t end[4];
    (void)buf_add(out, end, end_of(&k, end));
    return out->err;
}

/* Reads what stands for a float after its 0xc1. */
static err_t take_float(codec *c, coder *k, buf *out)
{
    uint8_t room[FLOAT_TEXT_BYTES];
    uint64_t bits;
    uint8_t len = read_byte(k, &c->model);
    if (len > sizeof room)
        return ERR_MALFORMED;
    for (size_t i = 0; i < len; i++)
        room[i] = read_byte(k, &c->model);
    if (!float_of(bytes_of(room, len), &bits))
        return ERR_MALFORMED;
    (void)buf_add_u8(out, FLOAT64);
    (void)buf_add_u64be(out, bits);
    return out->err;
}

static err_t take_body(codec *c, coder *k, size_t limit, buf *out)
{
    const follow *f = &c->model.f;
    uint32_t bodies = f->bodies;
    while (f->bodies == bodies) {
        bool at_value = f->kind == FOLLOW_TYPE;
        uint8_t byte = read_byte(k, &c->model);
        if (f->bad)
            return ERR_MALFORMED;
        if (at_value && byte == CODEC_FLOAT_TEXT)
            TRY(take_float(c, k, out));
        else
            (void)buf_add_u8(out, byte);
        TRY(out->err);
        if (out->len > limit)
            return ERR_TOO_LARGE;
    }
    return ERR_OK;
}

err_t codec_decode(codec *c, bytes in, size_t n, size_t max_bytes, buf *out, size_t *ends)
{
    coder k = {.high = 0xffffffffu, .in = in};
    size_t from = out->len;
    uint8_t end[4];
    for (unsigned i = 0; i < 4; i++)
        k.window = k.window << 8 | next_in(&k);
    for (size_t i = 0; i < n; i++) {
        TRY(take_body(c, &k, from + max_bytes, out));
        ends[i] = out->len - from;
    }
    unsigned tail = end_of(&k, end);
    bool whole = in.len == k.settled + tail &&
                 bytes_eq(bytes_of(in.p + k.settled, tail), bytes_of(end, tail));
    return whole ? ERR_OK : ERR_MALFORMED;
}
