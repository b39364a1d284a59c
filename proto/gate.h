/* The frozen gate (design section 2): what fails it is refused everywhere and for ever, so this
 * file changes never. It allocates nothing, recurses at most EVENT_MAX_DEPTH deep and runs before
 * anything else reads a byte from outside.
 *
 * One strict msgpack value is:
 *  - every integer in its shortest form, non-negative ones as unsigned; every length (str, bin,
 * ext, array, map) in its shortest form; 0xc1 never;
 *  - floats only as float64 (0xcb), so that a number has one form; the only NaN is
 * 7ff8000000000000; infinities and -0.0 are values like others;
 *  - str is valid UTF-8 (RFC 3629); map keys are str, strictly ascending by bytes_cmp. */
#ifndef CAIRN_GATE_H
#define CAIRN_GATE_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"

/* Where the elements of a body begin: element i is body[at[i] .. at[i+1]); at[n] is the end of the
 * body. */
typedef struct {
    uint32_t n;
    uint32_t at[EVENT_MAX_ELEMENTS + 1];
} gate_elements;

/* ERR_OK if `body` is a strict array of 7 to 15 elements, at most 64 KiB, nested at most 16 deep,
 * and nothing after it. Else ERR_TOO_LARGE, TRUNCATED, TRAILING, MALFORMED (no such array, 0xc1,
 * float32, a NaN), NOT_SHORTEST, TOO_DEEP, NOT_UTF8 or KEY_ORDER: the first one met from left to
 * right. */
err_t gate_check(bytes body);

/* The same, and tells where the elements are; *out is meaningful only after ERR_OK. */
err_t gate_split(bytes body, gate_elements *out);

/* One strict value at the start of `in`; *used is its length after ERR_OK. `depth` is how many
 * containers are open around it: 1 for an element of a body, 0 for a value on its own,
 * EVENT_MAX_DEPTH to allow scalars only. The same errors, except TOO_LARGE and TRAILING: the caller
 * compares *used. */
err_t gate_value(bytes in, size_t *used, unsigned depth);

#endif
