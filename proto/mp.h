/* msgpack as Cairn uses it: shortest forms only, read by a cursor that never allocates, written
 * with msgpack-c's packer into a buf.
 *
 * The reader's error is sticky: read a whole message, then check once. After an error every call
 * returns zeroes. It refuses longer-than-needed encodings, invalid UTF-8 in str, and lengths beyond
 * the bytes that are there; it does not look for trailing bytes (mp_done does) nor inside values
 * skipped over (mp_any checks those too). */
#ifndef CAIRN_MP_H
#define CAIRN_MP_H

#include "base/buf.h"

typedef struct {
    const uint8_t *p, *end;
    err_t err;
} mp_reader;

typedef enum {
    MP_NIL,
    MP_BOOL,
    MP_UINT,
    MP_INT /* negative */,
    MP_FLOAT,
    MP_STR,
    MP_BIN,
    MP_ARRAY,
    MP_MAP,
    MP_EXT,
    MP_BAD
} mp_type;

/* Borrows `in` for as long as the reader and the views read from it are used. */
static inline mp_reader mp_reader_of(bytes in)
{
    return (mp_reader){in.p, in.len ? in.p + in.len : in.p, ERR_OK};
}
extern const uint8_t mp_type_by_lead[256]; /* mp_type of a value that begins with this byte */
/* MP_BAD at the end or on a byte msgpack does not use. */
static inline mp_type mp_peek(const mp_reader *r)
{
    return r->err == ERR_OK && r->p < r->end ? (mp_type)mp_type_by_lead[*r->p] : MP_BAD;
}

uint64_t mp_uint_long(mp_reader *r); /* any form; mp_uint takes the one of a byte by itself */
static inline uint64_t mp_uint(mp_reader *r)
{
    return r->err == ERR_OK && r->p < r->end && *r->p <= 0x7f ? *r->p++ : mp_uint_long(r);
}
int64_t mp_int(mp_reader *r); /* a uint up to INT64_MAX counts as an int */
bool mp_bool(mp_reader *r);
void mp_nil(mp_reader *r);
double mp_double(mp_reader *r);                     /* float32 or float64 */
bytes mp_str(mp_reader *r);                         /* borrows; valid UTF-8 */
bytes mp_bin(mp_reader *r);                         /* borrows */
void mp_fixed(mp_reader *r, void *out, size_t len); /* a bin of exactly len bytes, copied */
uint32_t mp_array(mp_reader *r);                    /* number of elements that follow */
uint32_t mp_map(mp_reader *r);                      /* number of pairs that follow */
bytes mp_any(mp_reader *r); /* one whole value of any type, checked as gate_value() does */
static inline bytes mp_rest(const mp_reader *r)
{
    return bytes_of(r->p, r->err == ERR_OK ? (size_t)(r->end - r->p) : 0);
}
/* ERR_TRAILING when bytes are left, else the sticky error. */
static inline err_t mp_done(const mp_reader *r)
{
    return r->err != ERR_OK ? r->err : r->p == r->end ? ERR_OK : ERR_TRAILING;
}
static inline void mp_fail(mp_reader *r, err_t e)
{
    if (r->err == ERR_OK)
        r->err = e;
}

/* Writers; failure is sticky in `b`. */
void mp_put_uint(buf *b, uint64_t v);
void mp_put_int(buf *b, int64_t v);
void mp_put_bool(buf *b, bool v);
void mp_put_nil(buf *b);
void mp_put_double(buf *b, double v);
void mp_put_str(buf *b, bytes s);
void mp_put_cstr(buf *b, const char *s);
void mp_put_bin(buf *b, bytes s);
void mp_put_array(buf *b, uint32_t n);
void mp_put_map(buf *b, uint32_t n);

#endif
