/* A file to import, fed in pieces of the size its first byte says: rows in order of lines, none wider than the header,
 * every cell text within its limit; and each good row survives being written and read. */
#include "base/limits.h"
#include "cli/csv_read.h"
#include "cli/csv_write.h"
#include "cli/infer.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Writes the row and reads it back. */
static void check_written(const csv_row *row)
{
    csv_reader *r;
    csv_row again;
    buf text;
    buf_init(&text, 4 * CSV_ROW_MAX_BYTES);
    csv_put_bom(&text);
    for (size_t i = 0; i < row->n; i++)
        csv_put_cell(&text, row->cells[i], i == 0);
    csv_put_end(&text, row->n == 1 && row->cells[0].len == 0);
    must(csv_reader_new(&r, ',') == ERR_OK);
    csv_event e;
    size_t at = 0;
    while ((e = csv_next(r, &again)) == CSV_MORE) {
        size_t n = csv_feed(r, bytes_of(text.p + at, text.len - at));
        at += n;
        if (n == 0)
            csv_finish(r);
    }
    must(e == CSV_ROW && again.n == row->n);
    for (size_t i = 0; i < row->n; i++)
        must(bytes_eq(again.cells[i], row->cells[i]));
    csv_reader_free(&r);
    buf_release(&text);
}

static void check_row(const csv_row *row, const csv_row *last)
{
    must(row->n > 0 && (row->expected == 0 || row->n == row->expected) && row->line > last->line);
    for (size_t i = 0; i < row->n; i++)
        must(row->cells[i].len <= CSV_CELL_MAX_BYTES && utf8_valid(row->cells[i]));
    check_written(row);
    buf value;
    buf_init(&value, EVENT_MAX_BYTES);
    infer_put(&value, row->cells[0]);
    must(value.err == ERR_OK);
    buf_release(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    csv_reader *r;
    csv_row row, last = {0};
    csv_event e;
    size_t at = 1, step = size ? 1u + data[0] : 1;
    if (csv_reader_new(&r, ',') != ERR_OK)
        return 0;
    while ((e = csv_next(r, &row)) != CSV_END) {
        if (e == CSV_ROW)
            check_row(&row, &last);
        if (e != CSV_MORE) {
            must(row.line >= last.line);
            last = row;
        } else if (at >= size) {
            csv_finish(r);
        } else {
            at += csv_feed(r, bytes_of(data + at, size - at < step ? size - at : step));
        }
    }
    csv_reader_free(&r);
    return 0;
}
