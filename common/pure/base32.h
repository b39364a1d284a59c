/* Bytes as people write and type them: base 32 with Crockford's alphabet, lower case, last bits zero. Reading forgives
 * capital letters, blanks, line breaks and hyphens anywhere, o for 0, i and l for 1. */
#ifndef CAIRN_BASE32_H
#define CAIRN_BASE32_H

#include "base/buf.h"
#include "base/error.h"

/* Appends; failures are the buf's. */
void base32_put(buf *out, bytes s);

/* A text being read, symbol by symbol; starts as {.text = …}. */
typedef struct {
    bytes text;
    size_t at; /* behind the character read last */
    int c;     /* that character */
} base32_reader;

#define BASE32_END (-1)
#define BASE32_BAD (-2) /* c stands for nothing */

/* 0-31, BASE32_END or BASE32_BAD. */
int base32_next(base32_reader *r);
/* What one character means: as base32_next, BASE32_END for what separates. */
int base32_meaning(uint8_t c);
/* Appends all that is left. ERR_INVALID: a character that stands for nothing (r->c at r->at); ERR_TRUNCATED: the text ends
 * within a byte; the buf's errors. */
err_t base32_rest(base32_reader *r, buf *out) CAIRN_CHECK;

#endif
