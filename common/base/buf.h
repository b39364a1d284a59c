/* A growing byte buffer that is born with its maximum (after curl's dynbuf): what a peer or a file
 * can make it hold is decided where it is made, not where it is filled. Failure is sticky: check
 * once at the end. */
#ifndef CAIRN_BUF_H
#define CAIRN_BUF_H

#include "base/bytes.h"
#include "base/error.h"

typedef struct {
    uint8_t *p;
    size_t len, cap, max;
    err_t err; /* ERR_OK, ERR_TOO_LARGE or ERR_NO_MEMORY; once set, nothing more is added */
} buf;

void buf_init(buf *b, size_t max_bytes);
void buf_release(buf *b);
static inline void buf_clear(buf *b)
{
    b->len = 0;
    b->err = ERR_OK;
}
static inline bytes buf_view(const buf *b)
{
    return bytes_of(b->p, b->len);
}
/* Makes room for `n` more bytes and returns where they go, or NULL with b->err set. Does not change
 * b->len. */
uint8_t *buf_grow(buf *b, size_t n); /* buf_reserve when there is no room yet */
static inline uint8_t *buf_reserve(buf *b, size_t n)
{
    return b->err == ERR_OK && b->p != NULL && n <= b->cap - b->len ? b->p + b->len
                                                                    : buf_grow(b, n);
}
/* Appends after making room. */
bool buf_add_more(buf *b, const void *p, size_t n);
/* Appends; false (and b->err) when it does not fit. */
static inline bool buf_add(buf *b, const void *p, size_t n)
{
    if (b->err != ERR_OK || n == 0 || n > b->cap - b->len)
        return buf_add_more(b, p, n);
    memcpy(b->p + b->len, p, n);
    b->len += n;
    return true;
}
static inline bool buf_add_bytes(buf *b, bytes s)
{
    return buf_add(b, s.p, s.len);
}
bool buf_add_str(buf *b, const char *s);
static inline bool buf_add_u8(buf *b, uint8_t v)
{
    return buf_add(b, &v, 1);
}
bool buf_add_u32be(buf *b, uint32_t v);
bool buf_add_u64be(buf *b, uint64_t v);
bool buf_addf(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
