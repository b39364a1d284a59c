#include "proto/gate.h"

typedef struct {
    const uint8_t *p, *end;
} cursor;

static err_t check_value(cursor *c, unsigned depth);

static size_t left(const cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* Big-endian number of 1, 2, 4 or 8 bytes. */
static err_t take_number(cursor *c, size_t width, uint64_t *out)
{
    if (left(c) < width)
        return ERR_TRUNCATED;
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | c->p[i];
    c->p += width;
    *out = v;
    return ERR_OK;
}

static err_t skip(cursor *c, uint64_t n)
{
    if (left(c) < n)
        return ERR_TRUNCATED;
    c->p += n;
    return ERR_OK;
}

static err_t check_str(cursor *c, uint64_t n)
{
    const uint8_t *p = c->p;
    TRY(skip(c, n));
    return utf8_valid(bytes_of(p, (size_t)n)) ? ERR_OK : ERR_NOT_UTF8;
}

static err_t check_array(cursor *c, uint64_t n, unsigned depth)
{
    if (depth >= EVENT_MAX_DEPTH)
        return ERR_TOO_DEEP;
    if (n > left(c)) /* each element takes a byte at least */
        return ERR_TRUNCATED;
    for (; n > 0; n--)
        TRY(check_value(c, depth + 1));
    return ERR_OK;
}

/* Reads a str and yields its text; anything else is not a key. */
static err_t take_key(cursor *c, bytes *key)
{
    const uint8_t *at = c->p;
    if (at == c->end)
        return ERR_TRUNCATED;
    if ((*at & 0xe0) != 0xa0 && (*at < 0xd9 || *at > 0xdb))
        return ERR_KEY_ORDER;
    TRY(check_value(c, EVENT_MAX_DEPTH));
    size_t header = *at < 0xc0 ? 1 : (size_t)1 + ((size_t)1 << (*at - 0xd9));
    *key = bytes_of(at + header, (size_t)(c->p - at) - header);
    return ERR_OK;
}

static err_t check_map(cursor *c, uint64_t n, unsigned depth)
{
    bytes before = {0}, key = {0};
    if (depth >= EVENT_MAX_DEPTH)
        return ERR_TOO_DEEP;
    if (n > left(c) / 2)
        return ERR_TRUNCATED;
    for (uint64_t i = 0; i < n; i++, before = key) {
        TRY(take_key(c, &key));
        if (i > 0 && bytes_cmp(before, key) >= 0)
            return ERR_KEY_ORDER;
        TRY(check_value(c, depth + 1));
    }
    return ERR_OK;
}

static err_t check_uint(cursor *c, size_t width, uint64_t least)
{
    uint64_t v;
    TRY(take_number(c, width, &v));
    return v >= least ? ERR_OK : ERR_NOT_SHORTEST;
}

/* Two's complement of `width` bytes: negative, and not small enough for half the width (-32 for one
 * byte). */
static err_t check_int(cursor *c, size_t width)
{
    uint64_t v;
    TRY(take_number(c, width, &v));
    uint64_t sign = 1ull << (8 * width - 1);
    uint64_t magnitude_less_1 = (2 * sign - 1) - v; /* of -n: n - 1 */
    uint64_t least = width == 1 ? 32 : 1ull << (4 * width - 1);
    return (v & sign) != 0 && magnitude_less_1 >= least ? ERR_OK : ERR_NOT_SHORTEST;
}

#define CANONICAL_NAN 0x7ff8000000000000u

static err_t check_float(cursor *c)
{
    uint64_t v;
    TRY(take_number(c, 8, &v));
    bool nan = (v & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
    return !nan || v == CANONICAL_NAN ? ERR_OK : ERR_MALFORMED;
}

static err_t check_ext(cursor *c, uint64_t n)
{
    bool has_fixed_form = n == 1 || n == 2 || n == 4 || n == 8 || n == 16;
    return has_fixed_form ? ERR_NOT_SHORTEST : skip(c, n + 1);
}

typedef enum { BAD, NOTHING, UINT, INT, FLOAT, STR, BIN, EXT, FIXEXT, ARRAY, MAP } kind;

/* For each lead byte 0xc0..0xdf: what it opens, the bytes of its number or length, and the least
 * value of that which has no shorter form. */
static const struct {
    kind kind;
    uint8_t width;
    uint64_t least;
} forms[32] = {
    /* c0 */ {NOTHING, 0, 0},
    /* c1 */ {BAD, 0, 0},
    /* c2 */ {NOTHING, 0, 0},
    /* c3 */ {NOTHING, 0, 0},
    /* c4 */ {BIN, 1, 0},
    /* c5 */ {BIN, 2, 0x100},
    /* c6 */ {BIN, 4, 0x10000},
    /* c7 */ {EXT, 1, 0},
    /* c8 */ {EXT, 2, 0x100},
    /* c9 */ {EXT, 4, 0x10000},
    /* ca: float32 */ {BAD, 0, 0},
    /* cb */ {FLOAT, 8, 0},
    /* cc */ {UINT, 1, 0x80},
    /* cd */ {UINT, 2, 0x100},
    /* ce */ {UINT, 4, 0x10000},
    /* cf */ {UINT, 8, 0x100000000u},
    /* d0 */ {INT, 1, 0},
    /* d1 */ {INT, 2, 0},
    /* d2 */ {INT, 4, 0},
    /* d3 */ {INT, 8, 0},
    /* d4: type and data follow */ {FIXEXT, 2, 0},
    /* d5 */ {FIXEXT, 3, 0},
    /* d6 */ {FIXEXT, 5, 0},
    /* d7 */ {FIXEXT, 9, 0},
    /* d8 */ {FIXEXT, 17, 0},
    /* d9 */ {STR, 1, 32},
    /* da */ {STR, 2, 0x100},
    /* db */ {STR, 4, 0x10000},
    /* dc */ {ARRAY, 2, 16},
    /* dd */ {ARRAY, 4, 0x10000},
    /* de */ {MAP, 2, 16},
    /* df */ {MAP, 4, 0x10000},
};

/* What follows a length of its own. */
static err_t check_sized(cursor *c, kind k, uint64_t n, unsigned depth)
{
    switch (k) {
    case STR:
        return check_str(c, n);
    case BIN:
        return skip(c, n);
    case EXT:
        return check_ext(c, n);
    case ARRAY:
        return check_array(c, n, depth);
    default:
        return check_map(c, n, depth);
    }
}

static err_t check_form(cursor *c, unsigned lead, unsigned depth)
{
    size_t width = forms[lead - 0xc0].width;
    uint64_t least = forms[lead - 0xc0].least, n;
    kind k = forms[lead - 0xc0].kind;
    switch (k) {
    case BAD:
        return ERR_MALFORMED;
    case NOTHING:
        return ERR_OK;
    case UINT:
        return check_uint(c, width, least);
    case INT:
        return check_int(c, width);
    case FLOAT:
        return check_float(c);
    case FIXEXT:
        return skip(c, width);
    default:
        TRY(take_number(c, width, &n));
        return n >= least ? check_sized(c, k, n, depth) : ERR_NOT_SHORTEST;
    }
}

static err_t check_value(cursor *c, unsigned depth)
{
    if (c->p == c->end)
        return ERR_TRUNCATED;
    unsigned lead = *c->p++;
    if (lead <= 0x7f || lead >= 0xe0)
        return ERR_OK;
    if (lead >= 0xc0)
        return check_form(c, lead, depth);
    if (lead >= 0xa0)
        return check_str(c, lead & 0x1f);
    return lead >= 0x90 ? check_array(c, lead & 0x0f, depth) : check_map(c, lead & 0x0f, depth);
}

err_t gate_split(bytes body, gate_elements *out)
{
    if (body.len > EVENT_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (body.len == 0)
        return ERR_TRUNCATED;
    unsigned n = body.p[0] & 0x0fu;
    if ((body.p[0] & 0xf0) != 0x90 || n < EVENT_MIN_ELEMENTS) /* 15 is all that this form holds */
        return ERR_MALFORMED;
    cursor c = {body.p + 1, body.p + body.len};
    out->n = n;
    for (unsigned i = 0; i < n; i++) {
        out->at[i] = (uint32_t)(c.p - body.p);
        TRY(check_value(&c, 1));
    }
    out->at[n] = (uint32_t)body.len;
    return c.p == c.end ? ERR_OK : ERR_TRAILING;
}

err_t gate_check(bytes body)
{
    gate_elements unused;
    return gate_split(body, &unused);
}

err_t gate_value(bytes in, size_t *used, unsigned depth)
{
    if (in.len == 0)
        return ERR_TRUNCATED;
    cursor c = {in.p, in.p + in.len};
    TRY(check_value(&c, depth));
    *used = (size_t)(c.p - in.p);
    return ERR_OK;
}
