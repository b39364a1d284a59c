/* One msgpack value read in place, and its canonical JSON. For values that have passed the gate:
 * forms are shortest, keys sorted, text is UTF-8. Everything is still bounds-checked: a value cut
 * short is refused, never overrun.
 *
 * Canonical JSON is what Python's json.dumps(v, sort_keys=True, ensure_ascii=False,
 * separators=(",", ":")) prints:
 *  - integers as they are, also beyond 2^53; nil, booleans as null, true, false;
 *  - floats with the fewest digits that read back equal, always with a point or an exponent: 1.0,
 * 0.1, 1e+16, 5e-324, -0.0 (positional for exponents -4..15, as Python's repr);
 *  - text as UTF-8; only `"`, `\` and bytes below 0x20 are escaped, with the short forms \b \t \n
 * \f \r, else \u00xx;
 *  - map keys in the gate's order, which is that of their bytes.
 * What JSON lacks is a map with one key that begins with $: {"$bin":"<hex>"},
 * {"$ext":[type,"<hex>"]},
 * {"$float":"nan"|"inf"|"-inf"}; a real map of one such key is wrapped, {"$map":{…}}, so that
 * different values never print alike. */
#ifndef CAIRN_VALUE_H
#define CAIRN_VALUE_H

#include "base/buf.h"
#include "base/limits.h"
#include "proto/mp.h"

/* Length of the value at the start of `in`, 0 when it is cut short or no msgpack. No allocation, no
 * recursion. */
size_t value_length(bytes in);

static inline mp_type value_type(bytes v)
{
    mp_reader r = mp_reader_of(v);
    return mp_peek(&r);
}
/* The contents of a str value; false when it is something else. Borrows. */
bool value_str(bytes v, bytes *out);

typedef struct {
    bytes rest;
    uint32_t left; /* pairs to come; 0 too after bytes that are cut short */
} value_map;

/* Opens a map for reading; false when `v` is no map. */
bool value_map_open(bytes v, value_map *out);
/* The next pair, key without its header, value as a whole msgpack value; false at the end, and on
 * anything malformed. */
bool value_map_next(value_map *m, bytes *key, bytes *value);
/* The value under `key`; len 0 when there is none or `v` is no map. */
bytes value_get(bytes v, const char *key);

/* Appends canonical JSON. ERR_MALFORMED for bytes that are not one whole value, ERR_TOO_DEEP, or
 * the buf's error. */
err_t value_json(buf *out, bytes v) CAIRN_CHECK;
/* Appends a JSON string with its quotes; failure is sticky in `out`. */
void value_json_str(buf *out, bytes text);
/* Appends one double as above. */
void value_json_double(buf *out, double d);

#endif
