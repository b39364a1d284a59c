#include "cli/csv_write.h"

void csv_put_bom(buf *b)
{
    (void)buf_add_str(b, "\xef\xbb\xbf");
}

static bool needs_quotes(bytes cell)
{
    for (size_t i = 0; i < cell.len; i++)
        if (cell.p[i] == ',' || cell.p[i] == '"' || cell.p[i] == '\r' || cell.p[i] == '\n')
            return true;
    return false;
}

void csv_put_cell(buf *b, bytes cell, bool first)
{
    if (!first)
        (void)buf_add_u8(b, ',');
    if (!needs_quotes(cell)) {
        (void)buf_add_bytes(b, cell);
        return;
    }
    (void)buf_add_u8(b, '"');
    for (size_t i = 0; i < cell.len; i++) {
        if (cell.p[i] == '"')
            (void)buf_add_u8(b, '"');
        (void)buf_add_u8(b, cell.p[i]);
    }
    (void)buf_add_u8(b, '"');
}

void csv_put_end(buf *b, bool alone)
{
    (void)buf_add_str(b, alone ? "\"\"\r\n" : "\r\n");
}
