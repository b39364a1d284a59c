#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(buf *b, size_t max_bytes)
{
    *b = (buf){.max = max_bytes};
}

void buf_release(buf *b)
{
    free(b->p);
    *b = (buf){.max = b->max};
}

static size_t grown(size_t cap, size_t need, size_t max)
{
    size_t next = cap ? cap : 256;
    while (next < need)
        next = next > max / 2 ? max : next * 2;
    return next < max ? next : max;
}

uint8_t *buf_grow(buf *b, size_t n)
{
    if (b->err != ERR_OK)
        return NULL;
    if (n > b->max - b->len) {
        b->err = ERR_TOO_LARGE;
        return NULL;
    }
    if (b->len + n > b->cap || b->p == NULL) {
        size_t cap = grown(b->cap, b->len + n, b->max);
        uint8_t *p = realloc(b->p, cap ? cap : 1);
        if (p == NULL) {
            b->err = ERR_NO_MEMORY;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->len;
}

bool buf_add_more(buf *b, const void *p, size_t n)
{
    uint8_t *at = buf_reserve(b, n);
    if (at == NULL)
        return false;
    if (n)
        memcpy(at, p, n);
    b->len += n;
    return true;
}

bool buf_add_str(buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_add_u32be(buf *b, uint32_t v)
{
    uint8_t t[4];
    put_u32be(t, v);
    return buf_add(b, t, sizeof t);
}

bool buf_add_u64be(buf *b, uint64_t v)
{
    uint8_t t[8];
    put_u64be(t, v);
    return buf_add(b, t, sizeof t);
}

bool buf_addf(buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    /* vsnprintf wants room for its NUL; it is reserved and then not counted. */
    uint8_t *at = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
    if (at != NULL) {
        vsnprintf((char *)at, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return at != NULL;
}
