/* Writes CSV that Excel opens and RFC 4180 readers read back cell for cell: UTF-8 with byte order
 * mark, CRLF, quotes only where they are needed.
 *
 * Cells are written as they are. A cell that begins with = + - or @ is run as a formula by some
 * spreadsheets; prefixing it with an apostrophe, as is sometimes advised, would change the data
 * that people exchange in these files (+46… is a telephone number, -16.46 a latitude). Whoever
 * opens records of untrusted authors should import the columns as text. */
#ifndef CAIRN_CSV_WRITE_H
#define CAIRN_CSV_WRITE_H

#include "base/buf.h"

/* All append to `b`, where failure is sticky. A row is its cells, then csv_put_end. */
void csv_put_bom(buf *b);
void csv_put_cell(buf *b, bytes cell, bool first);
/* `alone`: the row was one empty cell, which must not look like a blank line. */
void csv_put_end(buf *b, bool alone);

#endif
