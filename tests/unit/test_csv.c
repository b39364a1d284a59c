#include "base/buf.h"
#include "base/limits.h"
#include "cli/csv_read.h"
#include "cli/csv_write.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads `text`, fed in pieces of `step` bytes, into one line per row: "12 [a] [b]" or "12 !3
 * column". */
static void trace(buf *out, bytes text, size_t step)
{
    csv_reader *r;
    csv_row row;
    cr_assert_eq(csv_reader_new(&r, ','), ERR_OK);
    size_t at = 0;
    for (;;) {
        csv_event e = csv_next(r, &row);
        if (e == CSV_END)
            break;
        if (e == CSV_MORE && at == text.len) {
            csv_finish(r);
        } else if (e == CSV_MORE) {
            size_t n = text.len - at < step ? text.len - at : step;
            size_t took = csv_feed(r, bytes_of(text.p + at, n));
            cr_assert(took > 0);
            at += took;
        } else if (e == CSV_BAD) {
            buf_addf(out, "%d !%d %zu\n", (int)row.line, (int)row.fault, row.column);
        } else {
            buf_addf(out, "%d", (int)row.line);
            for (size_t i = 0; i < row.n; i++)
                buf_addf(out, " [%.*s]", (int)row.cells[i].len, (const char *)row.cells[i].p);
            buf_addf(out, "\n");
        }
    }
    cr_assert_eq(csv_next(r, &row), CSV_END);
    csv_reader_free(&r);
    cr_assert_null(r);
    cr_assert_eq(out->err, ERR_OK);
}

/* The same in pieces of every small size, one after another. */
static void expect_bytes(bytes text, const char *want)
{
    static const size_t steps[] = {1, 2, 3, 7, 100000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        buf out;
        buf_init(&out, 1 << 20);
        trace(&out, text, steps[i]);
        buf_add_u8(&out, 0);
        cr_assert_str_eq((const char *)out.p, want, "pieces of %zu bytes:\n%s", steps[i],
                         (const char *)out.p);
        buf_release(&out);
    }
}

static void expect(const char *text, const char *want)
{
    expect_bytes(bytes_str(text), want);
}

Test(csv, plain_rows)
{
    expect("a,b\n1,2\n3,\n", "1 [a] [b]\n2 [1] [2]\n3 [3] []\n");
    expect("", "");
    expect("\n\n", "");
    expect("a", "1 [a]\n");
    expect("a,b\n1,2", "1 [a] [b]\n2 [1] [2]\n");
    expect(",\n", "1 [] []\n");
}

Test(csv, line_breaks_of_every_kind_count_once)
{
    expect("a\r\n1\r\n2\r\n", "1 [a]\n2 [1]\n3 [2]\n");
    expect("a\r1\r2\r", "1 [a]\n2 [1]\n3 [2]\n");
    expect("a\r\n\r\n1\n\n\n2", "1 [a]\n3 [1]\n6 [2]\n");
    expect("a\n\"x\r\ny\"\nz\n", "1 [a]\n2 [x\r\ny]\n4 [z]\n");
    expect("a\n\"x\ry\nw\"\nz\n", "1 [a]\n2 [x\ry\nw]\n5 [z]\n");
}

Test(csv, byte_order_mark_only_at_the_start)
{
    expect("\xef\xbb\xbf"
           "a,b\n1,2\n",
           "1 [a] [b]\n2 [1] [2]\n");
    expect("\xef\xbb\xbf\"a\",b\n", "1 [a] [b]\n");
    expect("\xef\xbb\xbf", "");
    expect("a\n\xef\xbb\xbf"
           "b\n",
           "1 [a]\n2 [\xef\xbb\xbf"
           "b]\n");
}

Test(csv, quotes)
{
    expect("a,b\n\"x,y\",\"say \"\"hi\"\"\"\n", "1 [a] [b]\n2 [x,y] [say \"hi\"]\n");
    expect("a,b\n\"\",\"\"\"\"\n", "1 [a] [b]\n2 [] [\"]\n");
    expect("a\n\"\"\n", "1 [a]\n2 []\n"); /* one empty cell is no blank line */
    expect("a,b\n5\" pipe,x\"y\"\n", "1 [a] [b]\n2 [5\" pipe] [x\"y\"]\n");
    expect("a,b\n1,\"end\"", "1 [a] [b]\n2 [1] [end]\n");
}

Test(csv, ragged_rows_are_reported_and_the_others_go_in)
{
    expect("a,b\n1\n2,3\n4,5,6\n7,8\n", "1 [a] [b]\n2 !1 0\n3 [2] [3]\n4 !1 0\n5 [7] [8]\n");
}

Test(csv, text_that_is_none)
{
    expect("a,b\n1,\xff\n2,3\n", "1 [a] [b]\n2 !2 2\n3 [2] [3]\n");
    expect_bytes(bytes_of("a,b\n1\0,x\n2,3\n", 12), "1 [a] [b]\n2 !3 1\n3 [2] [3]\n");
    expect_bytes(bytes_of("\xff\xfe"
                          "a\0\n\0",
                          6),
                 "1 !9 0\n");
    expect_bytes(bytes_of("\xfe\xff\0a\0\n", 6), "1 !9 0\n");
}

Test(csv, an_unclosed_quote_swallows_one_line_only)
{
    /* up to the end of the file */
    expect("a,b\n1,\"x\n2,y\n3,z\n", "1 [a] [b]\n2 !4 2\n3 [2] [y]\n4 [3] [z]\n");
    expect("a,b\n1,\"x", "1 [a] [b]\n2 !4 2\n");
    /* up to the next quoted cell, whose opening quote looks like its end */
    expect("a,b\n1,\"x\n2,y\n3,\"z, w\"\n4,v\n",
           "1 [a] [b]\n2 !4 2\n3 [2] [y]\n4 [3] [z, w]\n5 [4] [v]\n");
    /* a good cell with line breaks before it is not read twice */
    expect("a,b,c\n\"p\nq\",\"x\n2,y,z\n3,\"z\",w\n",
           "1 [a] [b] [c]\n2 !4 2\n4 [2] [y] [z]\n5 [3] [z] [w]\n");
}

Test(csv, text_after_a_closing_quote)
{
    expect("a,b\n1,\"5\" pipe\n2,3\n", "1 [a] [b]\n2 !5 2\n3 [2] [3]\n");
}

/* header a,b; a row whose second cell is `n` bytes, quoted or not; a good row */
static void expect_large(size_t n, bool quoted, const char *want)
{
    buf text, out;
    buf_init(&text, 64 << 20);
    buf_init(&out, 1 << 20);
    buf_add_str(&text, quoted ? "a,b\n1,\"" : "a,b\n1,");
    for (size_t i = 0; i < n; i++)
        buf_add_u8(&text, 'x');
    buf_add_str(&text, quoted ? "\"\n2,3\n" : "\n2,3\n");
    trace(&out, buf_view(&text), 50000);
    cr_assert(out.len >= strlen(want));
    cr_assert_eq(memcmp(out.p + out.len - strlen(want), want, strlen(want)), 0, "%.*s",
                 (int)(out.len < 200 ? out.len : 200), (const char *)out.p);
    buf_release(&text);
    buf_release(&out);
}

Test(csv, cells_too_large_cost_their_row)
{
    expect_large(10 << 20, false, "2 !7 2\n3 [2] [3]\n");
    expect_large(10 << 20, true, "2 !6 2\n3 [2] [3]\n");
    expect_large(CSV_CELL_MAX_BYTES + 1, false, "2 !6 2\n3 [2] [3]\n");
    expect_large(CSV_CELL_MAX_BYTES + 1, true, "2 !6 2\n3 [2] [3]\n");
    expect_large(CSV_CELL_MAX_BYTES, true, "x]\n3 [2] [3]\n");
}

Test(csv, rows_too_large_and_too_wide)
{
    buf text, out;
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 20);
    buf_add_str(&text, "a,b\n");
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < CSV_ROW_MAX_BYTES / 2 + 1; k++)
            buf_add_u8(&text, 'x');
        buf_add_u8(&text, i ? '\n' : ',');
    }
    for (size_t i = 0; i < CSV_CELLS_MAX; i++)
        buf_add_u8(&text, ',');
    buf_add_str(&text, "\n1,2\n");
    trace(&out, buf_view(&text), 1000);
    buf_add_u8(&out, 0);
    cr_assert_str_eq((const char *)out.p, "1 [a] [b]\n2 !7 0\n3 !8 0\n4 [1] [2]\n");
    buf_release(&text);
    buf_release(&out);
}

Test(csv, every_fault_has_its_sentence)
{
    char seen[CSV_UTF16 + 1][128];
    for (int f = CSV_FINE; f <= CSV_UTF16; f++) {
        csv_row row = {.line = 9,
                       .quote_line = 7,
                       .n = 39,
                       .expected = 40,
                       .column = 3,
                       .fault = (csv_fault)f};
        csv_fault_text(seen[f], sizeof seen[f], &row);
        cr_assert(strlen(seen[f]) > 8);
        for (int g = 0; g < f; g++)
            cr_assert_str_neq(seen[f], seen[g]);
    }
    cr_assert_str_eq(seen[CSV_RAGGED], "39 cells where the header has 40");
    cr_assert_str_eq(seen[CSV_UNCLOSED_QUOTE],
                     "the quote opened in column 3 on line 7 is not closed");
}

/* What is written is read back cell for cell, in pieces of any size. */
Test(csv, written_cells_come_back)
{
    static const char *const parts[] = {"a", ",",        "\"",   "\r",   "\n",           "\r\n",
                                        " ", "\xc3\xa9", "=1+1", "\"\"", "\xef\xbb\xbf", ""};
    prop_rng rng = prop_begin("csv.written_cells_come_back");
    for (int round = 0; round < 2000; round++) {
        size_t columns = 1 + prop_below(&rng, 4), rows = 1 + prop_below(&rng, 4);
        buf text, want, got;
        buf_init(&text, 1 << 16);
        buf_init(&want, 1 << 16);
        buf_init(&got, 1 << 16);
        csv_put_bom(&text);
        for (size_t y = 0; y < rows; y++) {
            bool alone = false;
            for (size_t x = 0; x < columns; x++) {
                char cell[64] = "";
                size_t n = 0;
                for (uint64_t k = prop_below(&rng, 4); k > 0; k--)
                    n += (size_t)snprintf(cell + n, sizeof cell - n, "%s",
                                          parts[prop_below(&rng, sizeof parts / sizeof *parts)]);
                csv_put_cell(&text, bytes_of(cell, n), x == 0);
                buf_addf(&want, " [%s]", cell);
                alone = columns == 1 && n == 0;
            }
            csv_put_end(&text, alone);
            buf_addf(&want, "\n");
        }
        trace(&got, buf_view(&text), 1 + prop_below(&rng, 9));
        /* take the line numbers out: a number right before " [" at the start of a row */
        buf bare;
        buf_init(&bare, 1 << 16);
        for (size_t i = 0; i < got.len;) {
            while (got.p[i] != ' ')
                i++;
            size_t cells = 0, start = i;
            while (cells <
                   columns) /* each ends in ']' followed by ' ' or '\n'; no part holds ']' */
                cells += got.p[i++] == ']';
            buf_add(&bare, got.p + start, i - start);
            buf_add_u8(&bare, got.p[i++]);
        }
        cr_assert(bytes_eq(buf_view(&bare), buf_view(&want)), "round %d:\n%.*s", round,
                  (int)got.len, (const char *)got.p);
        buf_release(&bare);
        buf_release(&text);
        buf_release(&want);
        buf_release(&got);
    }
}

/* Whatever the bytes: the same events for every cut into pieces, no line number goes back, and it
 * ends. */
Test(csv, pieces_do_not_matter)
{
    static const char alphabet[] = "a1,,\"\"\n\r\xff\xc3\xa9\0;";
    prop_rng rng = prop_begin("csv.pieces_do_not_matter");
    for (int round = 0; round < 3000; round++) {
        uint8_t text[64];
        size_t n = prop_below(&rng, sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = (uint8_t)alphabet[prop_below(&rng, sizeof alphabet - 1)];
        buf whole, cut;
        buf_init(&whole, 1 << 16);
        buf_init(&cut, 1 << 16);
        trace(&whole, bytes_of(text, n), 1000);
        trace(&cut, bytes_of(text, n), 1 + prop_below(&rng, 5));
        cr_assert(bytes_eq(buf_view(&whole), buf_view(&cut)), "round %d", round);
        buf_release(&whole);
        buf_release(&cut);
    }
}
