/* What commands print: JSON objects on one line, or tables for people. Data goes to standard output. */
#ifndef CAIRN_OUT_H
#define CAIRN_OUT_H

#include "base/buf.h"

/* ---- one JSON object ---- */
/* Members are appended between out_open and out_close; nested objects and arrays by name (NULL inside of arrays). */
void out_open(buf *b); /* {"v":1 */
void out_str(buf *b, const char *name, bytes text);
void out_cstr(buf *b, const char *name, const char *text);
void out_u64(buf *b, const char *name, uint64_t v);
void out_bool(buf *b, const char *name, bool v);
void out_null(buf *b, const char *name);
void out_hex(buf *b, const char *name, const void *p, size_t len);
/* A msgpack value as JSON; null when len is 0. */
void out_value(buf *b, const char *name, bytes msgpack);
/* ISO 8601 UTC, null for 0. */
void out_time(buf *b, const char *name, uint64_t ms);
void out_begin(buf *b, const char *name, char bracket); /* '{' or '[' */
void out_end(buf *b, char bracket);                     /* '}' or ']' */
/* Prints the object and a line end, clears the buffer. False when it did not fit or standard output is gone. */
bool out_close(buf *b);

/* ---- a table ---- */
typedef struct out_table out_table;

/* Column names, NULL at the end; a name that begins with '>' is right-aligned. NULL when out of memory: the other
 * calls accept that and do nothing. */
out_table *out_table_new(const char *const *columns);
/* One cell per column, NULL at the end; copied. */
void out_table_row(out_table *t, const char *const *cells);
/* Prints and frees. */
void out_table_print(out_table *t);

/* ---- words ---- */
/* "2 min ago", "never". */
void out_ago(char out[32], uint64_t ms, uint64_t now_ms);
/* Short text of a msgpack value for a table or sentence; cut to `max` bytes with an ellipsis. */
void out_short(char *out, size_t max, bytes msgpack);
/* "1-5" in the notation of references: feed-seq in decimal, "3-bulk-17". */
#define OUT_REF_BYTES 56
void out_ref(char out[OUT_REF_BYTES], uint32_t feed, uint64_t seq);
/* Reads that. */
bool out_ref_read(const char *text, uint32_t *feed, uint64_t *seq);
/* "3:17:a1b2" = feed:seq:prefix, what --replaces takes. */
void out_ref_full(char out[OUT_REF_BYTES], uint32_t feed, uint64_t seq, uint16_t prefix);
bool out_ref_parse(const char *text, uint32_t *feed, uint64_t *seq, uint16_t *prefix);

#endif
