#include "proto/mp.h"

#include "base/limits.h"
#include "proto/gate.h"

#include <msgpack.h>

#define TIMES_4(t)  t, t, t, t
#define TIMES_16(t) TIMES_4(t), TIMES_4(t), TIMES_4(t), TIMES_4(t)

/* clang-format off */
const uint8_t mp_type_by_lead[256] = {
    /* 00 */ TIMES_16(MP_UINT), TIMES_16(MP_UINT), TIMES_16(MP_UINT), TIMES_16(MP_UINT),
    /* 40 */ TIMES_16(MP_UINT), TIMES_16(MP_UINT), TIMES_16(MP_UINT), TIMES_16(MP_UINT),
    /* 80 */ TIMES_16(MP_MAP), TIMES_16(MP_ARRAY), TIMES_16(MP_STR), TIMES_16(MP_STR),
    /* c0 */ MP_NIL, MP_BAD, MP_BOOL, MP_BOOL, MP_BIN, MP_BIN, MP_BIN, MP_EXT,
    /* c8 */ MP_EXT, MP_EXT, MP_FLOAT, MP_FLOAT, TIMES_4(MP_UINT),
    /* d0 */ TIMES_4(MP_INT), TIMES_4(MP_EXT), MP_EXT, MP_STR, MP_STR, MP_STR,
    /* dc */ MP_ARRAY, MP_ARRAY, MP_MAP, MP_MAP,
    /* e0 */ TIMES_16(MP_INT), TIMES_16(MP_INT),
};
/* clang-format on */

/* Takes `n` bytes or fails; the only place where the cursor moves. */
static inline const uint8_t *take(mp_reader *r, size_t n)
{
    if (r->err != ERR_OK)
        return NULL;
    if ((size_t)(r->end - r->p) < n) {
        r->err = ERR_TRUNCATED;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    return at;
}

/* Big-endian number of 1, 2, 4 or 8 bytes that must not have fitted a shorter form (be at least
 * `least`). */
static inline uint64_t take_number(mp_reader *r, size_t width, uint64_t least)
{
    const uint8_t *at = take(r, width);
    if (at == NULL)
        return 0;
    uint64_t v = width == 1   ? at[0]
                 : width == 2 ? get_u16be(at)
                 : width == 4 ? get_u32be(at)
                              : get_u64be(at);
    if (v < least) {
        r->err = ERR_NOT_SHORTEST;
        return 0;
    }
    return v;
}

static uint64_t wrong_type(mp_reader *r)
{
    mp_fail(r, r->p >= r->end ? ERR_TRUNCATED : ERR_MALFORMED);
    return 0;
}

uint64_t mp_uint_long(mp_reader *r)
{
    static const uint64_t least[4] = {0x80, 0x100, 0x10000, 0x100000000ull};
    if (mp_peek(r) != MP_UINT)
        return wrong_type(r);
    uint8_t lead = *r->p++;
    if (lead <= 0x7f)
        return lead;
    return take_number(r, (size_t)1 << (lead - 0xcc), least[lead - 0xcc]);
}

/* The negative forms: value v of `width` bytes, which must lie below what the next shorter form
 * holds. */
static int64_t take_negative(mp_reader *r, size_t width, int64_t below)
{
    uint64_t raw = take_number(r, width, 0);
    unsigned shift = (unsigned)(64 - 8 * width);
    int64_t v = (int64_t)(raw << shift) >> shift;
    if (r->err == ERR_OK && v >= below)
        r->err = ERR_NOT_SHORTEST;
    return r->err == ERR_OK ? v : 0;
}

int64_t mp_int(mp_reader *r)
{
    mp_type t = mp_peek(r);
    if (t == MP_UINT) {
        uint64_t u = mp_uint(r);
        if (u > INT64_MAX)
            mp_fail(r, ERR_OUT_OF_RANGE);
        return r->err == ERR_OK ? (int64_t)u : 0;
    }
    if (t != MP_INT)
        return (int64_t)wrong_type(r);
    uint8_t lead = *r->p++;
    switch (lead) {
    case 0xd0:
        return take_negative(r, 1, -32);
    case 0xd1:
        return take_negative(r, 2, INT8_MIN);
    case 0xd2:
        return take_negative(r, 4, INT16_MIN);
    case 0xd3:
        return take_negative(r, 8, INT32_MIN);
    default:
        return (int8_t)lead;
    }
}

bool mp_bool(mp_reader *r)
{
    if (mp_peek(r) != MP_BOOL)
        return wrong_type(r) != 0;
    return *take(r, 1) == 0xc3;
}

void mp_nil(mp_reader *r)
{
    if (mp_peek(r) != MP_NIL)
        (void)wrong_type(r);
    else
        (void)take(r, 1);
}

double mp_double(mp_reader *r)
{
    if (mp_peek(r) != MP_FLOAT)
        return (double)wrong_type(r);
    if (*take(r, 1) == 0xca) {
        uint32_t raw = (uint32_t)take_number(r, 4, 0);
        float f;
        memcpy(&f, &raw, sizeof f);
        return (double)f;
    }
    uint64_t raw = take_number(r, 8, 0);
    double d;
    memcpy(&d, &raw, sizeof d);
    return d;
}

static inline bytes take_bytes(mp_reader *r, size_t n)
{
    const uint8_t *at = take(r, n);
    return at == NULL ? bytes_of(NULL, 0) : bytes_of(at, n);
}

bytes mp_str(mp_reader *r)
{
    if (mp_peek(r) != MP_STR)
        return bytes_of(NULL, (size_t)wrong_type(r));
    uint8_t lead = *r->p++;
    uint64_t n = lead <= 0xbf   ? lead & 0x1fu
                 : lead == 0xd9 ? take_number(r, 1, 32)
                 : lead == 0xda ? take_number(r, 2, 0x100)
                                : take_number(r, 4, 0x10000);
    bytes s = take_bytes(r, (size_t)n);
    if (r->err == ERR_OK && !utf8_valid(s))
        r->err = ERR_NOT_UTF8;
    return r->err == ERR_OK ? s : bytes_of(NULL, 0);
}

bytes mp_bin(mp_reader *r)
{
    static const uint64_t least[3] = {0, 0x100, 0x10000};
    if (mp_peek(r) != MP_BIN)
        return bytes_of(NULL, (size_t)wrong_type(r));
    uint8_t lead = *r->p++;
    uint64_t n = take_number(r, (size_t)1 << (lead - 0xc4), least[lead - 0xc4]);
    return take_bytes(r, (size_t)n);
}

void mp_fixed(mp_reader *r, void *out, size_t len)
{
    bytes s = mp_bin(r);
    if (r->err == ERR_OK && s.len != len)
        r->err = ERR_MALFORMED;
    if (r->err != ERR_OK)
        memset(out, 0, len);
    else if (len == EVENT_ID_BYTES) /* nearly always; a constant length needs no call */
        memcpy(out, s.p, EVENT_ID_BYTES);
    else
        memcpy(out, s.p, len);
}

/* Arrays and maps: `fix` is the first byte of the one-byte form; every element takes at least
 * `each` bytes. */
static inline uint32_t take_count(mp_reader *r, mp_type type, uint8_t fix, size_t each)
{
    if (mp_peek(r) != type)
        return (uint32_t)wrong_type(r);
    uint8_t lead = *r->p++;
    uint64_t n = (lead & 0xf0) == fix ? lead & 0x0fu
                 : (lead & 1) == 0    ? take_number(r, 2, 16)
                                      : take_number(r, 4, 0x10000);
    if (r->err == ERR_OK && n * each > (size_t)(r->end - r->p))
        r->err = ERR_TRUNCATED; /* a length bomb: it claims more elements than there are bytes */
    return r->err == ERR_OK ? (uint32_t)n : 0;
}

uint32_t mp_array(mp_reader *r)
{
    return take_count(r, MP_ARRAY, 0x90, 1);
}

uint32_t mp_map(mp_reader *r)
{
    return take_count(r, MP_MAP, 0x80, 2);
}

bytes mp_any(mp_reader *r)
{
    size_t used = 0;
    if (r->err == ERR_OK)
        mp_fail(r, gate_value(mp_rest(r), &used, 0));
    return take_bytes(r, r->err == ERR_OK ? used : 0);
}

static int to_buf(void *ctx, const char *p, size_t n)
{
    return buf_add(ctx, p, n) ? 0 : -1;
}

/* msgpack-c's packer already writes shortest forms; its state is only the callback. */
static msgpack_packer packer(buf *b)
{
    return (msgpack_packer){.data = b, .callback = to_buf};
}

void mp_put_uint(buf *b, uint64_t v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_uint64(&pk, v);
}

void mp_put_int(buf *b, int64_t v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_int64(&pk, v);
}

void mp_put_bool(buf *b, bool v)
{
    (void)buf_add_u8(b, v ? 0xc3 : 0xc2);
}

void mp_put_nil(buf *b)
{
    (void)buf_add_u8(b, 0xc0);
}

void mp_put_double(buf *b, double v)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_double(&pk, v);
}

void mp_put_str(buf *b, bytes s)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_str(&pk, s.len);
    (void)buf_add_bytes(b, s);
}

void mp_put_cstr(buf *b, const char *s)
{
    mp_put_str(b, bytes_str(s));
}

void mp_put_bin(buf *b, bytes s)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_bin(&pk, s.len);
    (void)buf_add_bytes(b, s);
}

void mp_put_array(buf *b, uint32_t n)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_array(&pk, n);
}

void mp_put_map(buf *b, uint32_t n)
{
    msgpack_packer pk = packer(b);
    (void)msgpack_pack_map(&pk, n);
}
