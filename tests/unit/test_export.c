#include "base/limits.h"
#include "cli/csv_read.h"
#include "cli/export.h"
#include "cli/infer.h"
#include "cli/mpjson.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORDS_MAX 400

/* Records in memory. */
typedef struct {
    char id[RECORDS_MAX][STREAM_MAX_BYTES + 1];
    buf fields[RECORDS_MAX], conflicts[RECORDS_MAX];
    size_t n, at;
    err_t fail; /* of next, at the second record */
} shelf;

static err_t shelf_rewind(void *ctx)
{
    ((shelf *)ctx)->at = 0;
    return ERR_OK;
}

static err_t shelf_next(void *ctx, export_record *out, bool *end)
{
    shelf *s = ctx;
    *end = s->at == s->n;
    if (*end)
        return ERR_OK;
    if (s->at == 1 && s->fail != ERR_OK)
        return s->fail;
    *out = (export_record){bytes_str(s->id[s->at]), buf_view(&s->fields[s->at]),
                           buf_view(&s->conflicts[s->at])};
    s->at++;
    return ERR_OK;
}

static bool to_buf(void *ctx, bytes text)
{
    return buf_add_bytes(ctx, text);
}

static shelf *shelf_new(void)
{
    shelf *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    return s;
}

static void shelf_free(shelf *s)
{
    for (size_t i = 0; i < s->n; i++) {
        buf_release(&s->fields[i]);
        buf_release(&s->conflicts[i]);
    }
    free(s);
}

static void put_json(buf *out, const char *json)
{
    char why[ERROR_TEXT_MAX_BYTES];
    buf_init(out, EVENT_MAX_BYTES);
    if (json != NULL)
        cr_assert_eq(mpjson_parse(bytes_str(json), out, why), ERR_OK, "%s", why);
}

static void shelve(shelf *s, const char *id, const char *fields, const char *conflicts)
{
    snprintf(s->id[s->n], sizeof s->id[0], "%s", id);
    put_json(&s->fields[s->n], fields);
    put_json(&s->conflicts[s->n], conflicts);
    s->n++;
}

static err_t run(shelf *s, export_options o, buf *out, uint64_t *n)
{
    export_source source = {s, shelf_rewind, shelf_next};
    export_sink sink = {out, to_buf};
    return export_run(&o, &source, &sink, n);
}

static void expect(shelf *s, export_options o, const char *want)
{
    buf out;
    uint64_t n = 0;
    buf_init(&out, 1 << 20);
    cr_assert_eq(run(s, o, &out, &n), ERR_OK);
    cr_assert_eq(n, s->n);
    cr_assert(bytes_is(buf_view(&out), want), "%.*s", (int)out.len, (const char *)out.p);
    buf_release(&out);
}

#define BOM "\xef\xbb\xbf"

Test(export, csv_keeps_the_columns_and_adds_what_is_new)
{
    shelf *s = shelf_new();
    buf columns;
    put_json(&columns, "{\"columns\":[\"z\",\"a\",\"m\"],\"na\":\"NA\"}");
    export_options o = {
        .format = EXPORT_CSV, .form = bytes_str("water"), .columns = buf_view(&columns)};
    expect(s, o, BOM "z,a,m\r\n");
    shelve(s, "r1", "{\"a\":1,\"m\":\"x,\\\"y\\\"\",\"z\":-16.4650238}", NULL);
    shelve(s, "r2", "{\"a\":null,\"m\":\"\"}", NULL);
    expect(s, o, BOM "z,a,m\r\n-16.4650238,1,\"x,\"\"y\"\"\"\r\nNA,NA,\r\n");
    o.record_id = true;
    expect(s, o, BOM "_record,z,a,m\r\nr1,-16.4650238,1,\"x,\"\"y\"\"\"\r\nr2,NA,NA,\r\n");
    o.record_id = false;
    shelve(s, "r3", "{\"b\":true,\"c\":[1,{\"k\":\"v\"}],\"m\":\"line\\r\\nbreak\"}", NULL);
    expect(s, o,
           BOM "z,a,m,b,c\r\n-16.4650238,1,\"x,\"\"y\"\"\",NA,NA\r\nNA,NA,,NA,NA\r\n"
               "NA,NA,\"line\r\nbreak\",true,\"[1,{\"\"k\"\":\"\"v\"\"}]\"\r\n");
    buf_release(&columns);
    shelf_free(s);
}

Test(export, csv_names_conflicts_in_a_last_column)
{
    shelf *s = shelf_new();
    buf columns;
    put_json(&columns, "{\"columns\":[\"a\",\"b\"],\"na\":\"\"}");
    export_options o = {.format = EXPORT_CSV, .columns = buf_view(&columns)};
    shelve(s, "r1", "{\"a\":1,\"b\":2}", "[\"a\",\"b\"]");
    shelve(s, "r2", "{\"a\":3}", NULL);
    expect(s, o, BOM "a,b,_conflicts\r\n1,2,a; b\r\n3,,\r\n");
    shelve(s, "r3", "{\"_conflicts\":7}", NULL);
    expect(s, o, BOM "a,b,_conflicts,__conflicts\r\n1,2,,a; b\r\n3,,,\r\n,,7,\r\n");
    buf_release(&columns);
    shelf_free(s);
}

Test(export, csv_of_a_form_that_was_never_imported_has_record_ids)
{
    shelf *s = shelf_new();
    export_options o = {.format = EXPORT_CSV, .columns = bytes_of("\xc0", 1)};
    expect(s, o, BOM "_record\r\n");
    shelve(s, "3-1kx7", "{\"b\":1}", NULL);
    shelve(s, "3-2aaa", "{\"a\":2}", NULL);
    expect(s, o, BOM "_record,a,b\r\n3-1kx7,,1\r\n3-2aaa,2,\r\n");
    shelf_free(s);
}

Test(export, csv_rows_of_one_empty_cell_are_no_blank_lines)
{
    shelf *s = shelf_new();
    buf columns;
    put_json(&columns, "{\"columns\":[\"a\"],\"na\":\"\"}");
    shelve(s, "r1", "{}", NULL);
    shelve(s, "r2", "{\"a\":1}", NULL);
    expect(s, (export_options){.format = EXPORT_CSV, .columns = buf_view(&columns)},
           BOM "a\r\n\"\"\r\n1\r\n");
    buf_release(&columns);
    shelf_free(s);
}

Test(export, ndjson)
{
    shelf *s = shelf_new();
    export_options o = {.format = EXPORT_NDJSON, .form = bytes_str("water")};
    expect(s, o, "");
    shelve(s, "r\"1", "{\"a\":1.0,\"b\":\"\xc3\xa9\"}", "[\"a\"]");
    shelve(s, "r2", "{}", NULL);
    expect(s, o,
           "{\"v\":1,\"form\":\"water\",\"record\":\"r\\\"1\",\"fields\":{\"a\":1.0,\"b\":"
           "\"\xc3\xa9\"},\"conflicts\":[\"a\"]}\n"
           "{\"v\":1,\"form\":\"water\",\"record\":\"r2\",\"fields\":{},\"conflicts\":[]}\n");
    shelf_free(s);
}

#define OPEN  "{\"type\":\"FeatureCollection\",\"features\":["
#define CLOSE "\n]}\n"

static void expect_geometry(const char *fields, export_options o, const char *geometry)
{
    shelf *s = shelf_new();
    buf out;
    char want[256];
    o.format = EXPORT_GEOJSON;
    shelve(s, "r", fields, NULL);
    buf_init(&out, 1 << 20);
    cr_assert_eq(run(s, o, &out, NULL), ERR_OK);
    buf_add_u8(&out, 0);
    snprintf(want, sizeof want, "\"id\":\"r\",\"geometry\":%s,\"properties\":{", geometry);
    cr_assert(strstr((const char *)out.p, want) != NULL, "%s", (const char *)out.p);
    buf_release(&out);
    shelf_free(s);
}

Test(export, geojson)
{
    shelf *s = shelf_new();
    export_options o = {.format = EXPORT_GEOJSON};
    expect(s, o, OPEN CLOSE);
    shelve(s, "r1", "{\"latitude\":-16.5,\"longitude\":35,\"place\":\"x\",\"tags\":[1,\"a\"]}",
           "[\"place\"]");
    shelve(s, "r2", "{}", "[\"a\"]");
    expect(s, o,
           OPEN "\n{\"type\":\"Feature\",\"id\":\"r1\",\"geometry\":{\"type\":\"Point\","
                "\"coordinates\":[35.0,-16.5]},"
                "\"properties\":{\"latitude\":-16.5,\"longitude\":35,\"place\":\"x\",\"tags\":\"[1,"
                "\\\"a\\\"]\","
                "\"_conflicts\":\"place\"}},\n"
                "{\"type\":\"Feature\",\"id\":\"r2\",\"geometry\":null,\"properties\":{\"_"
                "conflicts\":\"a\"}}" CLOSE);
    shelf_free(s);
}

Test(export, geojson_finds_positions)
{
    export_options o = {0};
    expect_geometry("{\"Lat\":1,\"LON\":2}", o, "{\"type\":\"Point\",\"coordinates\":[2.0,1.0]}");
    expect_geometry("{\"lat\":9,\"latitude\":1,\"lng\":2}", o,
                    "{\"type\":\"Point\",\"coordinates\":[2.0,1.0]}");
    expect_geometry("{\"lat\":\"1.50\",\"lon\":\"-2.0\"}", o,
                    "{\"type\":\"Point\",\"coordinates\":[-2.0,1.5]}");
    expect_geometry("{\"lat\":1}", o, "null");
    expect_geometry("{\"lat\":91,\"lon\":0}", o, "null");
    expect_geometry("{\"lat\":0,\"lon\":-180.1}", o, "null");
    expect_geometry("{\"lat\":\"north\",\"lon\":0}", o, "null");
    expect_geometry("{\"lat\":\"\",\"lon\":0}", o, "null");
    expect_geometry("{\"lat\":\"1-1\",\"lon\":0}", o, "null");
    expect_geometry("{\"lat\":null,\"lon\":0}", o, "null");
    expect_geometry("{\"lat\":{\"$float\":\"nan\"},\"lon\":0}", o, "null");
    o.lat = bytes_str("y");
    o.lon = bytes_str("x");
    expect_geometry("{\"lat\":5,\"lon\":6,\"x\":2,\"y\":1}", o,
                    "{\"type\":\"Point\",\"coordinates\":[2.0,1.0]}");
    expect_geometry("{\"Y\":1,\"lat\":5,\"lon\":6,\"x\":2}", o, "null");
}

Test(export, failures_are_passed_on)
{
    shelf *s = shelf_new();
    buf out, small;
    buf_init(&out, 1 << 20);
    buf_init(&small, 4);
    shelve(s, "r1", "{\"a\":1}", NULL);
    shelve(s, "r2", "{\"a\":1}", NULL);
    for (export_format f = EXPORT_CSV; f <= EXPORT_GEOJSON; f++) {
        export_options o = {.format = f};
        cr_assert_eq(run(s, o, &small, NULL), ERR_IO); /* the sink is full */
        s->fail = ERR_TIMEOUT;
        cr_assert_eq(run(s, o, &out, NULL), ERR_TIMEOUT);
        s->fail = ERR_OK;
    }
    export_options broken = {.format = EXPORT_CSV,
                             .columns = bytes_of("\x81\xa7"
                                                 "columns\x01",
                                                 10)};
    cr_assert_eq(run(s, broken, &out, NULL), ERR_MALFORMED);
    shelve(s, "r3", "[1]", NULL);
    for (export_format f = EXPORT_CSV; f <= EXPORT_GEOJSON; f++)
        cr_assert_eq(run(s, (export_options){.format = f}, &out, NULL), ERR_MALFORMED);
    buf_release(&out);
    buf_release(&small);
    shelf_free(s);
}

Test(export, formats_by_name)
{
    export_format f;
    cr_assert(export_format_of("geojson", &f));
    cr_assert_eq(f, EXPORT_GEOJSON);
    cr_assert(export_format_of("csv", &f));
    cr_assert_eq(f, EXPORT_CSV);
    cr_assert_not(export_format_of("xlsx", &f));
}

/* ---- the real survey, there and back ---- */

static buf file_of(const char *path)
{
    buf b;
    uint8_t piece[4096];
    size_t n;
    buf_init(&b, 16 << 20);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        cr_assert(buf_add(&b, piece, n));
    fclose(file);
    return b;
}

/* All cells with their lengths before them, a row by row; calls `each` (may be NULL) for the good rows. */
static void read_all(bytes text, buf *cells, void (*each)(void *ctx, const csv_row *row), void *ctx)
{
    csv_reader *r;
    csv_row row;
    csv_event e;
    size_t at = 0;
    cr_assert_eq(csv_reader_new(&r, ','), ERR_OK);
    while ((e = csv_next(r, &row)) != CSV_END) {
        cr_assert_neq(e, CSV_BAD);
        if (e == CSV_MORE) {
            size_t n = csv_feed(r, bytes_of(text.p + at, text.len - at));
            at += n;
            if (n == 0)
                csv_finish(r);
            continue;
        }
        for (size_t i = 0; i < row.n; i++) {
            buf_add_u32be(cells, (uint32_t)row.cells[i].len);
            buf_add_bytes(cells, row.cells[i]);
        }
        buf_add_str(cells, "|");
        if (each != NULL)
            each(ctx, &row);
    }
    csv_reader_free(&r);
    cr_assert_eq(cells->err, ERR_OK);
}

typedef struct {
    infer_na na;
    infer_form *form;
    shelf *shelf;
    buf columns;
    unsigned numbers;
} importer;

static void see(void *ctx, const csv_row *row)
{
    infer_na_see(&((importer *)ctx)->na, row);
}

static void import(void *ctx, const csv_row *row)
{
    importer *m = ctx;
    char why[ERROR_TEXT_MAX_BYTES];
    infer_record r;
    if (m->form == NULL) {
        infer_options o = {.form = bytes_str("water"),
                           .na = bytes_str(infer_na_text(&m->na)),
                           .at = bytes_str("submitted_on"),
                           .dates = INFER_MDY};
        cr_assert_eq(infer_form_new(&m->form, &o, row, why), ERR_OK, "%s", why);
        infer_put_columns(m->form, &m->columns);
        return;
    }
    cr_assert_eq(infer_row(m->form, row, &r, why), ERR_OK, "line %d: %s", (int)row->line, why);
    shelf *s = m->shelf;
    cr_assert(s->n < RECORDS_MAX);
    for (size_t i = 0; i < s->n; i++)
        cr_assert_str_neq(s->id[i], r.record);
    cr_assert(r.has_at);
    snprintf(s->id[s->n], sizeof s->id[0], "%s", r.record);
    buf_init(&s->fields[s->n], EVENT_MAX_BYTES);
    buf_add_bytes(&s->fields[s->n], r.payload);
    buf_init(&s->conflicts[s->n], 1);
    s->n++;
}

Test(export, the_flood_survey_comes_back_cell_for_cell)
{
    buf text = file_of(CAIRN_SOURCE_DIR "/tests/data/mwefloodresponse.csv"), before, after, out;
    importer m = {.shelf = shelf_new()};
    buf_init(&before, 16 << 20);
    buf_init(&after, 16 << 20);
    buf_init(&out, 16 << 20);
    buf_init(&m.columns, EVENT_MAX_BYTES);
    read_all(buf_view(&text), &before, see, &m);
    buf_clear(&before);
    read_all(buf_view(&text), &before, import, &m);
    cr_assert_eq(m.shelf->n, 319);

    export_options o = {
        .format = EXPORT_CSV, .form = bytes_str("water"), .columns = buf_view(&m.columns)};
    uint64_t n;
    cr_assert_eq(run(m.shelf, o, &out, &n), ERR_OK);
    cr_assert_eq(n, 319);
    read_all(buf_view(&out), &after, NULL, NULL);
    cr_assert(bytes_eq(buf_view(&before), buf_view(&after)));

    /* and every water point stands on the map, in Malawi */
    buf_clear(&out);
    o.format = EXPORT_GEOJSON;
    cr_assert_eq(run(m.shelf, o, &out, &n), ERR_OK);
    buf_add_u8(&out, 0);
    unsigned points = 0;
    for (const char *p = (const char *)out.p; (p = strstr(p, "\"coordinates\":[3")) != NULL; p++)
        points++;
    cr_assert_eq(points, 319);
    cr_assert_null(strstr((const char *)out.p, "\"geometry\":null"));

    infer_form_free(&m.form);
    shelf_free(m.shelf);
    buf_release(&m.columns);
    buf_release(&text);
    buf_release(&before);
    buf_release(&after);
    buf_release(&out);
}
