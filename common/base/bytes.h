/* Borrowed views of bytes, big-endian integers, hex. No allocation, no I/O. */
#ifndef CAIRN_BYTES_H
#define CAIRN_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrows `len` bytes at `p`; p may be NULL only when len is 0. Text in a view has no NUL at its
 * end. */
typedef struct {
    const uint8_t *p;
    size_t len;
} bytes;

static inline bytes bytes_of(const void *p, size_t len)
{
    return (bytes){(const uint8_t *)p, len};
}

static inline bytes bytes_str(const char *s)
{
    return (bytes){(const uint8_t *)s, strlen(s)};
}

static inline bool bytes_eq(bytes a, bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool bytes_is(bytes a, const char *s)
{
    return bytes_eq(a, bytes_str(s));
}

/* Lexicographic by unsigned byte, the shorter first on a tie: the order of map keys and of exports.
 */
int bytes_cmp(bytes a, bytes b);

static inline void put_u16be(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_u32be(uint8_t *p, uint32_t v)
{
    put_u16be(p, (uint16_t)(v >> 16));
    put_u16be(p + 2, (uint16_t)v);
}

static inline void put_u64be(uint8_t *p, uint64_t v)
{
    put_u32be(p, (uint32_t)(v >> 32));
    put_u32be(p + 4, (uint32_t)v);
}

static inline uint16_t get_u16be(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t get_u32be(const uint8_t *p)
{
    return (uint32_t)get_u16be(p) << 16 | get_u16be(p + 2);
}

static inline uint64_t get_u64be(const uint8_t *p)
{
    return (uint64_t)get_u32be(p) << 32 | get_u32be(p + 4);
}

/* Writes 2*len lower-case digits and a NUL; `out` holds 2*len+1. */
void hex_encode(char *out, const void *p, size_t len);
/* Reads exactly 2*len digits of `s` (either case); false on any other character or length. */
bool hex_decode(void *out, size_t len, const char *s, size_t s_len);

/* True when every byte sequence is shortest-form UTF-8 without surrogates (RFC 3629). */
bool utf8_valid(bytes s);

#endif
