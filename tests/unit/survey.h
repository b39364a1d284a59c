/* The surveys of tests/data as event bodies, cut into four authors as four teams would have entered them: the input of
 * the radio codec's figures. Cells with addresses of photographs are left out: they stand for attachments. */
#ifndef CAIRN_SURVEY_H
#define CAIRN_SURVEY_H

#include "base/ids.h"
#include "cli/csv_read.h"
#include "cli/infer.h"
#include "proto/event.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

#define SURVEY_AUTHORS  4
#define SURVEY_ROWS_MAX 512

typedef struct {
    buf all;
    size_t n, ends[SURVEY_ROWS_MAX];
    size_t first[SURVEY_AUTHORS + 1]; /* rows of author a: first[a] … first[a + 1] - 1 */
} survey;

static inline bytes survey_body(const survey *s, size_t i)
{
    size_t from = i > 0 ? s->ends[i - 1] : 0;
    return bytes_of(s->all.p + from, s->ends[i] - from);
}

static inline void survey_release(survey *s)
{
    buf_release(&s->all);
}

/* Rows of the file, the header not counted. */
static inline size_t survey_walk(const char *path, void (*each)(void *ctx, const csv_row *row),
                                 void *ctx)
{
    csv_reader *r;
    csv_row row;
    size_t rows = 0;
    static uint8_t chunk[CSV_FEED_MAX_BYTES];
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(csv_reader_new(&r, ','), ERR_OK);
    for (;;) {
        csv_event event = csv_next(r, &row);
        if (event == CSV_END)
            break;
        if (event == CSV_ROW) {
            rows += row.expected > 0;
            each(ctx, &row);
            continue;
        }
        cr_assert_eq(event, CSV_MORE);
        size_t n = fread(chunk, 1, sizeof chunk, f);
        if (n > 0)
            cr_assert_eq(csv_feed(r, bytes_of(chunk, n)), n);
        else
            csv_finish(r);
    }
    fclose(f);
    csv_reader_free(&r);
    return rows;
}

typedef struct {
    survey *s;
    const char *form;
    infer_form *infer;
    infer_na na;
    prop_rng rng;
    uint64_t wall_ms;
    size_t rows; /* in the file */
} survey_reader;

static inline void survey_count(void *ctx, const csv_row *row)
{
    survey_reader *r = ctx;
    if (row->expected > 0)
        infer_na_see(&r->na, row);
}

/* "3-1kx7": feed, seq and two random characters in base 32. */
static inline void survey_name(survey_reader *r, char name[STREAM_MAX_BYTES + 1], size_t author,
                               size_t seq)
{
    char digits[4] = {0};
    size_t n = 0;
    for (size_t rest = seq; rest > 0; rest /= 32)
        n++;
    for (size_t i = n, rest = seq; i-- > 0; rest /= 32)
        digits[i] = BASE32_ALPHABET[rest % 32];
    snprintf(name, STREAM_MAX_BYTES + 1, "%zu-%s%c%c", author + 1, digits,
             BASE32_ALPHABET[prop_below(&r->rng, 32)], BASE32_ALPHABET[prop_below(&r->rng, 32)]);
}

/* Minutes lie between two records, about as many as a visit takes. */
static inline void survey_add(survey_reader *r, const infer_record *rec)
{
    char name[STREAM_MAX_BYTES + 1];
    survey *s = r->s;
    size_t author = s->n * SURVEY_AUTHORS / r->rows;
    if (s->n == 0 || author != (s->n - 1) * SURVEY_AUTHORS / r->rows) {
        s->first[author] = s->n;
        r->wall_ms = 1700000000000u + author * 5000000u;
    }
    r->wall_ms += 60000 + prop_below(&r->rng, 1200000);
    survey_name(r, name, author, s->n - s->first[author] + 1);
    event_fields f = {.stamp = {r->wall_ms, 0},
                      .category = bytes_str(r->form),
                      .stream = bytes_str(name),
                      .kind = bytes_str("record.create"),
                      .payload = rec->payload};
    cr_assert_eq(event_build(&f, &s->all), ERR_OK);
    s->ends[s->n++] = s->all.len;
}

static inline void survey_take(void *ctx, const csv_row *row)
{
    survey_reader *r = ctx;
    char why[ERROR_TEXT_MAX_BYTES];
    bytes cells[64];
    csv_row bare = *row;
    infer_record rec;
    if (row->expected == 0) {
        infer_options o = {.form = bytes_str(r->form), .na = bytes_str(infer_na_text(&r->na))};
        cr_assert_eq(infer_form_new(&r->infer, &o, row, why), ERR_OK);
        return;
    }
    for (size_t i = 0; i < row->n; i++) {
        bool photo = row->cells[i].len > 8 && memcmp(row->cells[i].p, "https://", 8) == 0;
        cells[i] = photo ? bytes_str("NA") : row->cells[i];
    }
    bare.cells = cells;
    cr_assert_eq(infer_row(r->infer, &bare, &rec, why), ERR_OK);
    survey_add(r, &rec);
}

static inline void survey_load(survey *s, const char *path, const char *form)
{
    survey_reader r = {.s = s, .form = form, .rng = {1}};
    *s = (survey){.n = 0};
    buf_init(&s->all, 4u << 20);
    r.rows = survey_walk(path, survey_count, &r);
    (void)survey_walk(path, survey_take, &r);
    s->first[SURVEY_AUTHORS] = s->n;
    infer_form_free(&r.infer);
}

#endif
