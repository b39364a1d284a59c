#include "pure/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* How a lead byte from 0xc0 to 0xdf goes on: `number` bytes of length or contents, then what that
 * means. */
typedef enum { REST_NONE, REST_BYTES, REST_ITEMS, REST_PAIRS, REST_BAD } rest_kind;
typedef struct {
    uint8_t number; /* bytes of big-endian length that follow the lead byte */
    uint8_t fixed;  /* bytes of contents whatever the length says: numbers, ext types */
    uint8_t rest;   /* rest_kind: what the length counts */
} lead_row;

static const lead_row by_lead[32] = {
    {0, 0, REST_NONE},  {0, 0, REST_BAD},   {0, 0, REST_NONE},
    {0, 0, REST_NONE},                                          /* nil - false true */
    {1, 0, REST_BYTES}, {2, 0, REST_BYTES}, {4, 0, REST_BYTES}, /* bin */
    {1, 1, REST_BYTES}, {2, 1, REST_BYTES}, {4, 1, REST_BYTES}, /* ext */
    {0, 4, REST_NONE},  {0, 8, REST_NONE},                      /* float */
    {0, 1, REST_NONE},  {0, 2, REST_NONE},  {0, 4, REST_NONE},
    {0, 8, REST_NONE}, /* uint */
    {0, 1, REST_NONE},  {0, 2, REST_NONE},  {0, 4, REST_NONE},
    {0, 8, REST_NONE},                                          /* int */
    {0, 2, REST_NONE},  {0, 3, REST_NONE},  {0, 5, REST_NONE},  /* fixext 1 2 4 */
    {0, 9, REST_NONE},  {0, 17, REST_NONE},                     /* fixext 8 16 */
    {1, 0, REST_BYTES}, {2, 0, REST_BYTES}, {4, 0, REST_BYTES}, /* str */
    {2, 0, REST_ITEMS}, {4, 0, REST_ITEMS},                     /* array */
    {2, 0, REST_PAIRS}, {4, 0, REST_PAIRS},                     /* map */
};

typedef struct {
    size_t bytes;    /* header and contents; of a container the header only */
    uint64_t inside; /* values that follow within a container */
    size_t header;
} extent;

static inline bool long_extent(bytes in, extent *out)
{
    lead_row row = by_lead[in.p[0] - 0xc0];
    if (row.rest == REST_BAD || in.len < 1u + row.number)
        return false;
    uint64_t n = 0;
    for (unsigned i = 0; i < row.number; i++)
        n = n << 8 | in.p[1 + i];
    out->header = 1u + row.number;
    out->bytes = out->header + row.fixed + (row.rest == REST_BYTES ? (size_t)n : 0);
    out->inside = row.rest == REST_ITEMS ? n : row.rest == REST_PAIRS ? 2 * n : 0;
    return true;
}

/* The first value of `in` without what is inside it; false when it is cut short. */
static inline bool one_extent(bytes in, extent *out)
{
    if (in.len == 0)
        return false;
    uint8_t lead = in.p[0];
    *out = (extent){1, 0, 1};
    if (lead >= 0xc0 && lead <= 0xdf) {
        if (!long_extent(in, out))
            return false;
    } else if (lead >= 0xa0 && lead <= 0xbf) {
        out->bytes = 1u + (lead & 0x1fu);
    } else if (lead >= 0x90 && lead <= 0x9f) {
        out->inside = lead & 0x0fu;
    } else if (lead >= 0x80 && lead <= 0x8f) {
        out->inside = 2u * (lead & 0x0fu);
    }
    return out->bytes <= in.len;
}

size_t value_length(bytes in)
{
    size_t at = 0;
    uint64_t due = 1; /* values still to be read; every one takes a byte at least */
    extent e;
    while (due > 0) {
        if (due > in.len - at || !one_extent(bytes_of(in.p + at, in.len - at), &e))
            return 0;
        at += e.bytes;
        due += e.inside - 1;
    }
    return at;
}

/* A fold looks at nothing but strings and maps: these two tests are worth being cheap. */
static inline bool leads_str(bytes v)
{
    return v.len > 0 && ((v.p[0] & 0xe0) == 0xa0 || (v.p[0] >= 0xd9 && v.p[0] <= 0xdb));
}

static inline bool leads_map(bytes v)
{
    return v.len > 0 && ((v.p[0] & 0xf0) == 0x80 || (v.p[0] & 0xfe) == 0xde);
}

bool value_str(bytes v, bytes *out)
{
    extent e;
    if (!leads_str(v) || !one_extent(v, &e))
        return false;
    *out = bytes_of(v.p + e.header, e.bytes - e.header);
    return true;
}

bool value_map_open(bytes v, value_map *out)
{
    extent e;
    if (!leads_map(v) || !one_extent(v, &e) || e.inside / 2 > v.len)
        return false;
    *out = (value_map){bytes_of(v.p + e.header, v.len - e.header), (uint32_t)(e.inside / 2)};
    return true;
}

bool value_map_next(value_map *m, bytes *key, bytes *value)
{
    extent e;
    if (m->left == 0)
        return false;
    m->left--;
    if (leads_str(m->rest) && one_extent(m->rest, &e)) {
        *key = bytes_of(m->rest.p + e.header, e.bytes - e.header);
        bytes after = bytes_of(m->rest.p + e.bytes, m->rest.len - e.bytes);
        size_t n = value_length(after);
        *value = bytes_of(after.p, n);
        m->rest = bytes_of(after.p + n, after.len - n);
        if (n > 0)
            return true;
    }
    m->left = 0;
    return false;
}

bytes value_get(bytes v, const char *key)
{
    value_map m;
    bytes k, found;
    if (value_map_open(v, &m))
        while (value_map_next(&m, &k, &found))
            if (bytes_is(k, key))
                return found;
    return bytes_of(NULL, 0);
}

/* ---- canonical JSON ---- */

#define DIGITS_MAX 17 /* always enough for a double */

/* d's decimal digits and exponent, rounded to `precision` digits. Reads only digits off the text:
 * the decimal point that printf writes depends on the locale of the process. False when they do not
 * read back as d. */
static bool digits_of(double d, int precision, char digits[DIGITS_MAX + 1], int *exponent)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%.*e", precision - 1, d);
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < DIGITS_MAX)
            digits[n++] = *p;
    digits[n] = 0;
    *exponent = (int)strtol(p + 1, NULL, 10);
    return strtod(text, NULL) == d;
}

/* The next larger number of as many digits, when that one reads back as d: above a power of two the
 * doubles lie twice as far apart as below, so there the nearest decimal is not always the one that
 * reads back. */
static bool digits_above(double d, char digits[DIGITS_MAX + 1], int exponent)
{
    char text[48];
    size_t n = strlen(digits);
    if (digits[n - 1] == '9')
        return false;
    digits[n - 1]++;
    (void)snprintf(text, sizeof text, "%se%d", digits, exponent - (int)n + 1);
    return strtod(text, NULL) == d;
}

static void shortest_digits(double d, char digits[DIGITS_MAX + 1], int *exponent)
{
    /* 15 digits without their trailing zeroes are the fewest for every normal number that 15 can
     * name at all; only among the subnormal ones fewer may do. */
    int precision = fabs(d) < 2.2250738585072014e-308 ? 1 : 15;
    while (!digits_of(d, precision, digits, exponent) && !digits_above(d, digits, *exponent))
        precision++;
    size_t n = strlen(digits);
    while (n > 1 && digits[n - 1] == '0')
        digits[--n] = 0;
}

static void put_positional(buf *out, const char *digits, int exponent)
{
    int n = (int)strlen(digits);
    if (exponent < 0)
        (void)buf_addf(out, "0.%.*s%s", -exponent - 1, "000", digits);
    else if (n <= exponent + 1)
        (void)buf_addf(out, "%s%.*s.0", digits, exponent + 1 - n, "0000000000000000");
    else
        (void)buf_addf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
}

void value_json_double(buf *out, double d)
{
    char digits[DIGITS_MAX + 1];
    int exponent = 0;
    if (!isfinite(d)) {
        (void)buf_addf(out, "{\"$float\":\"%s\"}", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    if (signbit(d))
        (void)buf_add_str(out, "-");
    d = fabs(d);
    shortest_digits(d, digits, &exponent);
    if (d == 0 || (exponent >= -4 && exponent < 16))
        put_positional(out, digits, exponent);
    else
        (void)buf_addf(out, "%c%s%se%c%02d", digits[0], digits[1] ? "." : "", digits + 1,
                       exponent < 0 ? '-' : '+', abs(exponent));
}

static void put_escape(buf *out, uint8_t c)
{
    static const char *const names[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
        ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    if (names[c] != NULL)
        (void)buf_add_str(out, names[c]);
    else
        (void)buf_addf(out, "\\u%04x", c);
}

void value_json_str(buf *out, bytes text)
{
    size_t from = 0;
    (void)buf_add_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        (void)buf_add(out, text.p + from, i - from);
        put_escape(out, c);
        from = i + 1;
    }
    (void)buf_add(out, text.p + from, text.len - from);
    (void)buf_add_u8(out, '"');
}

static void put_hex(buf *out, bytes s)
{
    static const char digit[] = "0123456789abcdef";
    uint8_t *to = buf_reserve(out, 2 * s.len);
    if (to == NULL)
        return;
    for (size_t i = 0; i < s.len; i++) {
        to[2 * i] = (uint8_t)digit[s.p[i] >> 4];
        to[2 * i + 1] = (uint8_t)digit[s.p[i] & 15];
    }
    out->len += 2 * s.len;
}

static void put_bin(buf *out, bytes contents)
{
    (void)buf_add_str(out, "{\"$bin\":\"");
    put_hex(out, contents);
    (void)buf_add_str(out, "\"}");
}

/* `body` is the type byte and the contents. */
static void put_ext(buf *out, bytes body)
{
    (void)buf_addf(out, "{\"$ext\":[%d,\"", (int)(int8_t)body.p[0]);
    put_hex(out, bytes_of(body.p + 1, body.len - 1));
    (void)buf_add_str(out, "\"]}");
}

static err_t put_value(buf *out, bytes *in, unsigned depth);

static err_t put_array(buf *out, bytes *in, uint64_t n, unsigned depth)
{
    (void)buf_add_u8(out, '[');
    for (uint64_t i = 0; i < n; i++) {
        if (i > 0)
            (void)buf_add_u8(out, ',');
        TRY(put_value(out, in, depth));
    }
    (void)buf_add_u8(out, ']');
    return ERR_OK;
}

static err_t take_key(bytes *in, bytes *key)
{
    size_t n = value_length(*in);
    if (n == 0 || !value_str(*in, key))
        return ERR_MALFORMED;
    *in = bytes_of(in->p + n, in->len - n);
    return ERR_OK;
}

static err_t put_map(buf *out, bytes *in, uint64_t n, unsigned depth)
{
    bytes key;
    bool wrapped = false;
    (void)buf_add_u8(out, '{');
    for (uint64_t i = 0; i < n; i++) {
        TRY(take_key(in, &key));
        wrapped = wrapped || (n == 1 && key.len > 0 && key.p[0] == '$');
        (void)buf_add_str(out, i > 0 ? "," : wrapped ? "\"$map\":{" : "");
        value_json_str(out, key);
        (void)buf_add_u8(out, ':');
        TRY(put_value(out, in, depth));
    }
    (void)buf_add_str(out, wrapped ? "}}" : "}");
    return ERR_OK;
}

static err_t put_number(buf *out, mp_type type, bytes v)
{
    mp_reader r = mp_reader_of(v);
    if (type == MP_UINT)
        (void)buf_addf(out, "%llu", (unsigned long long)mp_uint(&r));
    else if (type == MP_INT)
        (void)buf_addf(out, "%lld", (long long)mp_int(&r));
    else
        value_json_double(out, mp_double(&r));
    return mp_done(&r);
}

/* Takes one value off `in`. `depth` is how many containers may still be opened. */
static err_t put_value(buf *out, bytes *in, unsigned depth)
{
    extent e;
    if (!one_extent(*in, &e) || e.inside > in->len)
        return ERR_MALFORMED;
    if (e.inside > 0 && depth == 0)
        return ERR_TOO_DEEP;
    bytes v = bytes_of(in->p, e.bytes);
    bytes contents = bytes_of(v.p + e.header, v.len - e.header);
    mp_type type = value_type(v);
    *in = bytes_of(in->p + e.bytes, in->len - e.bytes);
    switch (type) {
    case MP_NIL:
        (void)buf_add_str(out, "null");
        return ERR_OK;
    case MP_BOOL:
        (void)buf_add_str(out, v.p[0] == 0xc3 ? "true" : "false");
        return ERR_OK;
    case MP_STR:
        value_json_str(out, contents);
        return ERR_OK;
    case MP_BIN:
        put_bin(out, contents);
        return ERR_OK;
    case MP_EXT:
        put_ext(out, contents);
        return ERR_OK;
    case MP_ARRAY:
        return put_array(out, in, e.inside, depth - 1);
    case MP_MAP:
        return put_map(out, in, e.inside / 2, depth - 1);
    case MP_UINT:
    case MP_INT:
    case MP_FLOAT:
        return put_number(out, type, v);
    case MP_BAD:
    default:
        return ERR_MALFORMED;
    }
}

err_t value_json(buf *out, bytes v)
{
    TRY(put_value(out, &v, EVENT_MAX_DEPTH));
    return v.len > 0 ? ERR_MALFORMED : out->err;
}
