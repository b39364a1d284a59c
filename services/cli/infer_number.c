#include "cli/infer.h"

#include "proto/mp.h"
#include "pure/value.h"

#include <stdlib.h>

#define EXACT_MAX 9007199254740991ull /* 2^53 - 1 */
#define TEXT_MAX  24u                 /* longer texts cannot come back from a number */

/* [-](0|[1-9][0-9]*)[.[0-9]+] cut into the digits without point, and how many of them stand behind it. */
typedef struct {
    bool negative, decimal;
    char digits[TEXT_MAX + 1];
    size_t n, behind;
} numeral;

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9'; /* not isdigit(): no locale has a say */
}

static bool read_numeral(bytes s, numeral *out)
{
    size_t i = 0;
    *out = (numeral){.negative = s.len > 0 && s.p[0] == '-'};
    if (s.len == 0 || s.len > TEXT_MAX)
        return false;
    i += out->negative;
    for (; i < s.len && is_digit(s.p[i]); i++)
        out->digits[out->n++] = (char)s.p[i];
    if (out->n == 0 || (out->digits[0] == '0' && out->n > 1))
        return false;
    if (i < s.len && s.p[i] == '.') {
        out->decimal = true;
        for (i++; i < s.len && is_digit(s.p[i]); i++, out->behind++)
            out->digits[out->n++] = (char)s.p[i];
    }
    return i == s.len && out->decimal == (out->behind > 0);
}

static bool put_integer(buf *out, const numeral *x)
{
    if (x->n > 16)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < x->n; i++)
        v = v * 10 + (uint64_t)(x->digits[i] - '0');
    if (v > EXACT_MAX || (v == 0 && x->negative))
        return false;
    if (x->negative)
        mp_put_int(out, -(int64_t)v);
    else
        mp_put_uint(out, v);
    return true;
}

/* Only if printing the double gives the cell again. */
static bool put_decimal(buf *out, bytes cell, const numeral *x)
{
    char text[TEXT_MAX + 16];
    buf again;
    /* As digits and exponent, because strtod expects the decimal point of the user's language. */
    snprintf(text, sizeof text, "%s%se-%zu", x->negative ? "-" : "", x->digits, x->behind);
    double d = strtod(text, NULL);
    if (d == 0 && x->negative)
        return false;
    buf_init(&again, 64);
    value_json_double(&again, d);
    bool same = again.err == ERR_OK && bytes_eq(buf_view(&again), cell);
    buf_release(&again);
    if (same)
        mp_put_double(out, d);
    return same;
}

void infer_put(buf *out, bytes cell)
{
    numeral x;
    if (read_numeral(cell, &x) && (x.decimal ? put_decimal(out, cell, &x) : put_integer(out, &x)))
        return;
    mp_put_str(out, cell);
}
