/* A streaming reader of CSV (RFC 4180, and what spreadsheets make of it): fed with chunks of any
 * size, it gives rows with the line they start on. Memory is fixed when it is made; no I/O.
 *
 * Accepted: comma or another one-byte delimiter, LF, CRLF or CR, a UTF-8 byte order mark, quoted
 * cells with line breaks and doubled quotes, a last line without line break, blank lines (skipped),
 * a quote inside an unquoted cell (taken as it is). The first row is the header: every later one
 * must have as many cells.
 *
 * A broken row is reported and the next is tried. What may go wrong is the resynchronising after a
 * quote: a quote that is never closed would swallow what follows. So when a quoted cell ends in the
 * middle of text, at the end of the file or beyond the limit, reading goes on after the line on
 * which that quote was opened. */
#ifndef CAIRN_CSV_READ_H
#define CAIRN_CSV_READ_H

#include "base/bytes.h"
#include "base/error.h"

#define CSV_FEED_MAX_BYTES 65536u /* csv_feed takes no more at once */

typedef enum {
    CSV_FINE,
    CSV_RAGGED,         /* `cells` has another number than `expected` */
    CSV_NOT_UTF8,       /* in `column` */
    CSV_NUL,            /* a zero byte in `column` */
    CSV_UNCLOSED_QUOTE, /* opened in `column` on `quote_line` */
    CSV_AFTER_QUOTE,    /* text between the closing quote of `column` and the next delimiter */
    CSV_CELL_TOO_LARGE, /* `column` has more than CSV_CELL_MAX_BYTES */
    CSV_ROW_TOO_LARGE,  /* all cells together more than CSV_ROW_MAX_BYTES */
    CSV_TOO_MANY_CELLS, /* more than CSV_CELLS_MAX */
    CSV_UTF16           /* the file is UTF-16: nothing in it can be read */
} csv_fault;

typedef struct {
    uint64_t line;       /* where the row starts; the first line of the file is 1 */
    uint64_t quote_line; /* CSV_UNCLOSED_QUOTE, CSV_AFTER_QUOTE */
    size_t n;            /* number of cells */
    const bytes *cells;  /* borrowed until the next call with this reader; NULL when the row could
                            not be split */
    csv_fault fault;
    size_t column;   /* counts from 1; 0: none in particular */
    size_t expected; /* cells in the header; 0 in the header itself */
} csv_row;

typedef enum {
    CSV_MORE, /* feed it, or csv_finish() */
    CSV_ROW,  /* a good row */
    CSV_BAD,  /* row->fault says why; go on calling, unless it was the header */
    CSV_END
} csv_event;

typedef struct csv_reader csv_reader;

/* Returns owned in *out. `delimiter` is ',' for CSV, ';' or '\t' for its relatives. ERR_NO_MEMORY.
 */
CAIRN_CHECK err_t csv_reader_new(csv_reader **out, char delimiter);
void csv_reader_free(csv_reader **r);

/* Copies up to CSV_FEED_MAX_BYTES of `chunk`; returns how many it took. It always takes some after
 * CSV_MORE. */
size_t csv_feed(csv_reader *r, bytes chunk);
/* Nothing more will be fed: what is there becomes the last row. */
void csv_finish(csv_reader *r);
csv_event csv_next(csv_reader *r, csv_row *row);

/* Writes one sentence about a bad row, without its line: "39 cells where the header has 40". */
void csv_fault_text(char *out, size_t size, const csv_row *row);

#endif
