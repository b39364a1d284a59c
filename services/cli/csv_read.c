#include "cli/csv_read.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* Quotes may double every byte; two more and a delimiter per cell, and the line break. */
#define RAW_MAX_BYTES (2u * CSV_ROW_MAX_BYTES + 3u * CSV_CELLS_MAX + 2u)
#define IN_BYTES      (RAW_MAX_BYTES + CSV_FEED_MAX_BYTES)

typedef enum { AT_CELL, IN_PLAIN, IN_QUOTES, QUOTE_SEEN } scan_state;

struct csv_reader {
    uint8_t *in; /* IN_BYTES; the row being read is in[row_at, scan), not yet looked at is in[scan,
                    len) */
    size_t len, row_at, scan;
    bytes *cells; /* CSV_CELLS_MAX */
    scan_state state;
    size_t column;       /* of the cell under the scan, from 1 */
    size_t quote_at;     /* where the newest quoted cell was opened */
    uint64_t quote_line; /* and on which line */
    uint64_t row_line, line;
    size_t expected;
    char delimiter;
    bool started;  /* the byte order mark was dealt with */
    bool finished; /* csv_finish() was called */
    bool eat_lf;   /* the last row ended in CR: an LF that follows belongs to it */
    bool skipping; /* after a fault: drop what is left of this line */
    bool hopeless; /* UTF-16 */
};

err_t csv_reader_new(csv_reader **out, char delimiter)
{
    csv_reader *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->in = malloc(IN_BYTES);
    r->cells = malloc(CSV_CELLS_MAX * sizeof *r->cells);
    r->line = r->row_line = r->quote_line = 1;
    r->column = 1;
    r->delimiter = delimiter;
    if (r->in == NULL || r->cells == NULL) {
        csv_reader_free(out);
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

void csv_reader_free(csv_reader **r)
{
    if (*r == NULL)
        return;
    free((*r)->in);
    free((*r)->cells);
    free(*r);
    *r = NULL;
}

size_t csv_feed(csv_reader *r, bytes chunk)
{
    if (r->row_at > 0) { /* also ends the life of the cells of the last row */
        memmove(r->in, r->in + r->row_at, r->len - r->row_at);
        r->len -= r->row_at;
        r->scan -= r->row_at;
        r->quote_at -= r->quote_at >= r->row_at ? r->row_at : r->quote_at;
        r->row_at = 0;
    }
    size_t room = IN_BYTES - r->len;
    size_t n = chunk.len < room ? chunk.len : room;
    if (n > CSV_FEED_MAX_BYTES)
        n = CSV_FEED_MAX_BYTES;
    if (n)
        memcpy(r->in + r->len, chunk.p, n);
    r->len += n;
    return n;
}

void csv_finish(csv_reader *r)
{
    r->finished = true;
}

/* The next row begins at the scan. */
static void begin_row(csv_reader *r)
{
    r->row_at = r->scan;
    r->row_line = r->line;
    r->state = AT_CELL;
    r->column = 1;
}

/* Reports the row under the scan as broken and drops it up to the end of the physical line that
 * holds `from`. */
static csv_event broken(csv_reader *r, csv_row *row, csv_fault fault, size_t from,
                        uint64_t from_line)
{
    *row = (csv_row){.line = r->row_line,
                     .quote_line = r->quote_line,
                     .fault = fault,
                     .column = r->column,
                     .expected = r->expected};
    r->scan = from;
    r->line = from_line;
    r->skipping = true;
    begin_row(r);
    return CSV_BAD;
}

static csv_event broken_quote(csv_reader *r, csv_row *row, csv_fault fault)
{
    return broken(r, row, fault, r->quote_at, r->quote_line);
}

/* The line break at the scan: one step over CR, LF or CRLF. An LF that is not there yet is eaten
 * later. */
static void step_over_break(csv_reader *r)
{
    bool cr = r->in[r->scan++] == '\r';
    if (cr && r->scan < r->len && r->in[r->scan] == '\n')
        r->scan++;
    else
        r->eat_lf = cr && r->scan == r->len;
    r->line++;
}

static bool is_break(uint8_t c)
{
    return c == '\n' || c == '\r';
}

/* Cuts one cell out of [*at, end), unescaping it in place (it only shrinks), and moves *at behind
 * its delimiter. */
static bytes cut_cell(uint8_t *in, size_t *at, size_t end, uint8_t delimiter)
{
    size_t i = *at, start = *at, to = *at;
    if (i < end && in[i] == '"') {
        start = to = ++i;
        /* The scan has made sure that the closing quote is there and followed by a delimiter or the
         * end. */
        for (;; i++) {
            if (in[i] == '"' && (i + 1 == end || in[i + 1] != '"'))
                break;
            if (in[i] == '"')
                i++;
            in[to++] = in[i];
        }
        i++;
    } else {
        const uint8_t *stop = end > i ? memchr(in + i, delimiter, end - i) : NULL;
        to = i = stop ? (size_t)(stop - in) : end;
    }
    *at = i + 1;
    return bytes_of(in + start, to - start);
}

static csv_fault cell_fault(bytes cell)
{
    if (cell.len > CSV_CELL_MAX_BYTES)
        return CSV_CELL_TOO_LARGE;
    if (cell.len && memchr(cell.p, 0, cell.len) != NULL)
        return CSV_NUL;
    return utf8_valid(cell) ? CSV_FINE : CSV_NOT_UTF8;
}

static void note_fault(csv_row *row, csv_fault fault, size_t column)
{
    if (row->fault == CSV_FINE && fault != CSV_FINE) {
        row->fault = fault;
        row->column = column;
    }
}

/* Splits in[row_at, end) into cells; the scan is already behind the line break. */
static csv_event split_row(csv_reader *r, csv_row *row, uint64_t line, size_t at, size_t end)
{
    size_t total = 0;
    *row = (csv_row){
        .line = line, .quote_line = r->quote_line, .cells = r->cells, .expected = r->expected};
    do {
        if (row->n == CSV_CELLS_MAX) {
            note_fault(row, CSV_TOO_MANY_CELLS, 0);
            row->cells = NULL;
            return CSV_BAD;
        }
        bytes cell = cut_cell(r->in, &at, end, (uint8_t)r->delimiter);
        r->cells[row->n++] = cell;
        total += cell.len;
        note_fault(row, cell_fault(cell), row->n);
    } while (at <= end);
    if (total > CSV_ROW_MAX_BYTES)
        note_fault(row, CSV_ROW_TOO_LARGE, 0);
    if (r->expected == 0)
        r->expected = row->n;
    else if (row->n != r->expected)
        note_fault(row, CSV_RAGGED, 0);
    return row->fault == CSV_FINE ? CSV_ROW : CSV_BAD;
}

/* The row ends at the scan, on a line break or at the end of the file. */
static csv_event end_row(csv_reader *r, csv_row *row)
{
    size_t at = r->row_at, end = r->scan;
    uint64_t line = r->row_line;
    if (r->scan < r->len)
        step_over_break(r);
    begin_row(r);
    return at == end ? CSV_MORE : split_row(r, row, line, at, end); /* CSV_MORE: a blank line */
}

static void to_next_cell(csv_reader *r)
{
    r->column++;
    r->state = AT_CELL;
}

/* One byte in a quoted cell. Line breaks count there too, CRLF as one. */
static void in_quotes(csv_reader *r, uint8_t c)
{
    if (c == '"')
        r->state = QUOTE_SEEN;
    else if (c == '\r' || (c == '\n' && r->in[r->scan - 1] != '\r'))
        r->line++;
    r->scan++;
}

/* Looks at the byte under the scan. CSV_MORE: go on. */
static csv_event step(csv_reader *r, csv_row *row)
{
    uint8_t c = r->in[r->scan];
    if (r->state == IN_QUOTES) {
        in_quotes(r, c);
    } else if (r->state == QUOTE_SEEN && c == '"') {
        r->state = IN_QUOTES;
        r->scan++;
    } else if (is_break(c)) {
        return end_row(r, row);
    } else if (c == (uint8_t)r->delimiter) {
        to_next_cell(r);
        r->scan++;
    } else if (r->state == QUOTE_SEEN) {
        bool same_line = r->quote_line == r->line;
        return broken_quote(r, row, same_line ? CSV_AFTER_QUOTE : CSV_UNCLOSED_QUOTE);
    } else if (r->state == AT_CELL && c == '"') {
        r->state = IN_QUOTES;
        r->quote_at = r->scan++;
        r->quote_line = r->line;
    } else {
        r->state = IN_PLAIN;
        r->scan++;
    }
    return CSV_MORE;
}

static csv_event too_large(csv_reader *r, csv_row *row)
{
    if (r->state == IN_QUOTES)
        return broken_quote(r, row, CSV_CELL_TOO_LARGE);
    return broken(r, row, CSV_ROW_TOO_LARGE, r->scan, r->line);
}

static csv_event at_end_of_input(csv_reader *r, csv_row *row)
{
    if (!r->finished)
        return CSV_MORE;
    if (r->state == IN_QUOTES)
        return broken_quote(r, row, CSV_UNCLOSED_QUOTE);
    csv_event e = end_row(r, row);
    return e == CSV_MORE ? CSV_END : e;
}

/* Drops the rest of a line after a fault. False while its end is not here yet. */
static bool skip_line(csv_reader *r)
{
    while (r->scan < r->len && !is_break(r->in[r->scan]))
        r->scan++;
    bool found = r->scan < r->len;
    if (found)
        step_over_break(r);
    r->skipping = !found && !r->finished;
    begin_row(r);
    return !r->skipping;
}

/* Byte order marks. False while it cannot be told. */
static bool start(csv_reader *r)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    size_t n = r->len < 3 ? r->len : 3;
    if (!r->finished && (n < 2 || (n < 3 && memcmp(r->in, bom, n) == 0)))
        return false;
    if (n >= 2 &&
        ((r->in[0] == 0xff && r->in[1] == 0xfe) || (r->in[0] == 0xfe && r->in[1] == 0xff)))
        r->hopeless = true;
    if (n == 3 && memcmp(r->in, bom, 3) == 0)
        r->scan = 3;
    r->started = true;
    begin_row(r);
    return true;
}

csv_event csv_next(csv_reader *r, csv_row *row)
{
    if (!r->started) {
        if (!start(r))
            return CSV_MORE;
        if (r->hopeless) {
            *row = (csv_row){.line = 1, .fault = CSV_UTF16};
            return CSV_BAD;
        }
    }
    if (r->hopeless)
        return CSV_END;
    if (r->eat_lf && r->scan < r->len) {
        r->eat_lf = false;
        if (r->in[r->scan] == '\n') {
            r->scan++;
            begin_row(r);
        }
    }
    if (r->skipping && !skip_line(r))
        return CSV_MORE;
    while (r->scan < r->len) {
        if (r->scan - r->row_at >= RAW_MAX_BYTES)
            return too_large(r, row);
        csv_event e = step(r, row);
        if (e != CSV_MORE)
            return e;
    }
    return at_end_of_input(r, row);
}

void csv_fault_text(char *out, size_t size, const csv_row *row)
{
    unsigned long long quote_line = row->quote_line;
    switch (row->fault) {
    case CSV_FINE:
        snprintf(out, size, "nothing is wrong");
        break;
    case CSV_RAGGED:
        snprintf(out, size, "%zu cells where the header has %zu", row->n, row->expected);
        break;
    case CSV_NOT_UTF8:
        snprintf(out, size, "column %zu is not UTF-8: save the file as \"CSV UTF-8\"", row->column);
        break;
    case CSV_NUL:
        snprintf(out, size, "column %zu holds a zero byte", row->column);
        break;
    case CSV_UNCLOSED_QUOTE:
        snprintf(out, size, "the quote opened in column %zu on line %llu is not closed",
                 row->column, quote_line);
        break;
    case CSV_AFTER_QUOTE:
        snprintf(
            out, size,
            "text after the closing quote of column %zu: a quote inside quotes is written twice",
            row->column);
        break;
    case CSV_CELL_TOO_LARGE:
        snprintf(out, size, "column %zu holds more than %u bytes", row->column, CSV_CELL_MAX_BYTES);
        break;
    case CSV_ROW_TOO_LARGE:
        snprintf(out, size, "the row holds more than %u bytes", CSV_ROW_MAX_BYTES);
        break;
    case CSV_TOO_MANY_CELLS:
        snprintf(out, size, "the row has more than %u cells", CSV_CELLS_MAX);
        break;
    case CSV_UTF16:
        snprintf(out, size, "the file is UTF-16: save it as \"CSV UTF-8\"");
        break;
    }
}
