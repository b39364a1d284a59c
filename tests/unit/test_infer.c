#include "base/buf.h"
#include "base/limits.h"
#include "cli/csv_read.h"
#include "cli/infer.h"
#include "cli/infer_seen.h"
#include "pure/value.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>

/* The canonical JSON of what the cell becomes. */
static const char *typed(const char *cell)
{
    static char out[256];
    buf v, json;
    buf_init(&v, 4096);
    buf_init(&json, 4096);
    infer_put(&v, bytes_str(cell));
    cr_assert_eq(value_json(&json, buf_view(&v)), ERR_OK);
    snprintf(out, sizeof out, "%.*s", (int)json.len, (const char *)json.p);
    buf_release(&v);
    buf_release(&json);
    return out;
}

Test(infer, numbers_that_print_as_they_were)
{
    static const char *const same[] = {
        "0",   "7",      "-16",     "358",         "9007199254740991",  "-9007199254740991",
        "1.0", "0.0",    "38.7",    "-16.4650238", "-16.64987201",      "35.182799",
        "0.1", "0.0001", "204.214", "9435.1",      "123456789012345.6", "0.30000000000000004"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        cr_assert_str_eq(typed(same[i]), same[i]);
}

Test(infer, everything_else_stays_text)
{
    static const char *const text[] = {"007",
                                       "+46701234567",
                                       "1e5",
                                       "1E5",
                                       "1.50",
                                       "-0",
                                       "-0.0",
                                       "00",
                                       "-",
                                       "",
                                       ".",
                                       ".5",
                                       "5.",
                                       "-.5",
                                       "1.",
                                       "1,5",
                                       "1 000",
                                       " 12",
                                       "12 ",
                                       "0x10",
                                       "inf",
                                       "nan",
                                       "NaN",
                                       "Infinity",
                                       "true",
                                       "yes",
                                       "NA",
                                       "null",
                                       "4/5/2019",
                                       "2019-04-05",
                                       "12:30",
                                       "1.2.3",
                                       "--1",
                                       "9007199254740992",
                                       "-9007199254740992",
                                       "12345678901234567890",
                                       "99999999999999999999999999",
                                       "0.00001",
                                       "0.1000000000000000055511",
                                       "0.1000000000000000055511151231257827",
                                       "100000000000000000000.5",
                                       "\xd9\xa1\xd9\xa2",
                                       "\xe0\xa5\xa7",
                                       "=1+1",
                                       "1\n"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        cr_assert_eq(typed(text[i])[0], '"', "%s became %s", text[i], typed(text[i]));
}

/* Whatever the digits: a number prints as the cell. */
Test(infer, random_numerals_round_trip)
{
    prop_rng rng = prop_begin("infer.random_numerals_round_trip");
    unsigned numbers = 0;
    for (int round = 0; round < 50000; round++) {
        char cell[32];
        size_t n = 0, length = 1 + prop_below(&rng, 19);
        for (size_t i = 0; i < length; i++)
            cell[n++] = "0123456789.-"[prop_below(&rng, i == 0 ? 12 : 11)];
        cell[n] = '\0';
        const char *json = typed(cell);
        if (json[0] == '"')
            continue;
        numbers++;
        cr_assert_str_eq(json, cell);
    }
    cr_assert(numbers > 1000);
}

Test(infer, a_decimal_comma_in_the_locale_changes_nothing)
{
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL)
        cr_skip_test("no such locale here");
    cr_assert_str_eq(typed("38.7"), "38.7");
    cr_assert_str_eq(typed("38,7"), "\"38,7\"");
}

static csv_row row_of(const bytes *cells, size_t n, uint64_t line)
{
    return (csv_row){.line = line, .n = n, .cells = cells, .expected = n};
}

#define CELLS(...) ((const bytes[]){__VA_ARGS__})
#define B(s)                                                                                       \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

static infer_form *form_of(const char *form, const char *key, const char *na)
{
    static const bytes header[] = {B("b"), B("a"), B("when")};
    infer_options o = {.form = bytes_str(form),
                       .na = bytes_str(na),
                       .key = bytes_str(key),
                       .at = bytes_str("when")};
    csv_row row = row_of(header, 3, 1);
    infer_form *f;
    char why[ERROR_TEXT_MAX_BYTES];
    cr_assert_eq(infer_form_new(&f, &o, &row, why), ERR_OK, "%s", why);
    return f;
}

static infer_record one_row(infer_form *f, const bytes *cells, uint64_t line)
{
    csv_row row = row_of(cells, 3, line);
    infer_record r;
    char why[ERROR_TEXT_MAX_BYTES];
    cr_assert_eq(infer_row(f, &row, &r, why), ERR_OK, "%s", why);
    return r;
}

/* From an independent computation (Python's hashlib and msgpack). */
Test(infer, names_of_rows_without_key_are_fixed)
{
    infer_form *f = form_of("water", "", "NA");
    const bytes row[] = {B("x"), B("1"), B("NA")};
    const bytes none[] = {B("NA"), B("NA"), B("NA")};
    infer_record r = one_row(f, row, 2);
    cr_assert_str_eq(r.record, "y199a8d5f1");
    cr_assert(bytes_eq(r.payload, bytes_of("\x82\xa1"
                                           "a\x01\xa1"
                                           "b\xa1x",
                                           8)));
    cr_assert(!r.has_at && !r.bad_at);
    r = one_row(f, row, 3); /* the same once more in one file is another record */
    cr_assert_str_eq(r.record, "sygxzfv75t");
    cr_assert_str_eq(one_row(f, none, 4).record, "wwc46fc342");
    infer_form_free(&f);
    f = form_of("w2", "", "NA");
    cr_assert_str_eq(one_row(f, row, 2).record, "31whd635np");
    infer_form_free(&f);
    cr_assert_null(f);
}

Test(infer, a_key_names_the_record_once)
{
    infer_form *f = form_of("water", "b", "");
    char why[ERROR_TEXT_MAX_BYTES], line[200];
    infer_record r = one_row(f, CELLS(B("007"), B("1"), B("2019-04-07")), 2);
    cr_assert_str_eq(r.record, "007");
    cr_assert(r.has_at);
    cr_assert_eq(r.at_ms, 1554595200000u);
    r = one_row(f, CELLS(B("008"), B("1"), B("soon")), 5);
    cr_assert(!r.has_at && r.bad_at);

    csv_row again = row_of(CELLS(B("007"), B("9"), B("")), 3, 7);
    cr_assert_eq(infer_row(f, &again, &r, why), ERR_INVALID);
    cr_assert_str_eq(why, "the key '007' stood on line 2 already");
    csv_row empty = row_of(CELLS(B(""), B("9"), B("")), 3, 8);
    cr_assert_eq(infer_row(f, &empty, &r, why), ERR_INVALID);
    cr_assert_str_eq(why, "the key column 'b' is empty here");
    csv_row broken = row_of(CELLS(B("x\ny"), B("9"), B("")), 3, 8);
    cr_assert_eq(infer_row(f, &broken, &r, why), ERR_INVALID);
    memset(line, 'k', sizeof line);
    bytes long_key[] = {{(const uint8_t *)line, STREAM_MAX_BYTES + 1}, B("9"), B("")};
    csv_row longer = row_of(long_key, 3, 9);
    cr_assert_eq(infer_row(f, &longer, &r, why), ERR_INVALID);
    long_key[0].len = STREAM_MAX_BYTES;
    cr_assert_eq(infer_row(f, &longer, &r, why), ERR_OK, "%s", why);
    cr_assert_eq(strlen(r.record), STREAM_MAX_BYTES);
    infer_form_free(&f);
}

Test(infer, rows_that_fit_no_event)
{
    static uint8_t large[CSV_ROW_MAX_BYTES];
    memset(large, 'x', sizeof large);
    uint8_t name[FIELD_MAX_BYTES];
    memset(name, 'n', sizeof name);
    bytes header[8], cells[8];
    uint8_t names[8][FIELD_MAX_BYTES];
    for (size_t i = 0; i < 8; i++) {
        memcpy(names[i], name, sizeof name);
        names[i][0] = (uint8_t)('a' + i);
        header[i] = bytes_of(names[i], sizeof name);
        cells[i] = bytes_of(large, CSV_ROW_MAX_BYTES / 8);
    }
    infer_options o = {.form = bytes_str("water"), .na = bytes_str("")};
    csv_row row = row_of(header, 8, 1);
    infer_form *f;
    infer_record r;
    char why[ERROR_TEXT_MAX_BYTES];
    cr_assert_eq(infer_form_new(&f, &o, &row, why), ERR_OK);
    row = row_of(cells, 8, 2);
    cr_assert_eq(infer_row(f, &row, &r, why), ERR_TOO_LARGE);
    cr_assert(strstr(why, "larger") != NULL);
    for (size_t i = 0; i < 8; i++)
        cells[i].len /= 2;
    cr_assert_eq(infer_row(f, &row, &r, why), ERR_OK);
    infer_form_free(&f);
}

static void expect_refused(const char *form, const char *key, const bytes *header, size_t n,
                           const char *why_part)
{
    infer_options o = {.form = bytes_str(form), .key = bytes_str(key)};
    csv_row row = row_of(header, n, 1);
    infer_form *f;
    char why[ERROR_TEXT_MAX_BYTES];
    cr_assert_eq(infer_form_new(&f, &o, &row, why), ERR_INVALID);
    cr_assert_null(f);
    cr_assert(strstr(why, why_part) != NULL, "%s", why);
}

Test(infer, headers_that_are_refused)
{
    expect_refused("water", "", CELLS(B("a"), B("b"), B("a")), 3, "two columns have the name 'a'");
    expect_refused("water", "", CELLS(B("a"), B(""), B("c")), 3, "column 2 has no name");
    expect_refused("water", "id", CELLS(B("a"), B("b")), 2, "there is no column 'id'");
    expect_refused("", "", CELLS(B("a")), 1, "cannot be a form's name");
    expect_refused("a/b", "", CELLS(B("a")), 1, "cannot be a form's name");
    expect_refused("cairn", "", CELLS(B("a")), 1, "taken");
    uint8_t name[FIELD_MAX_BYTES + 1];
    memset(name, 'n', sizeof name);
    bytes header = {name, sizeof name};
    expect_refused("water", "", &header, 1, "longer than 512");
}

Test(infer, the_form_says_its_columns_in_the_order_of_the_file)
{
    infer_form *f = form_of("water", "a", "NA");
    buf out, json;
    buf_init(&out, 4096);
    buf_init(&json, 4096);
    infer_put_columns(f, &out);
    cr_assert_eq(value_json(&json, buf_view(&out)), ERR_OK);
    cr_assert(bytes_is(buf_view(&json),
                       "{\"columns\":[\"b\",\"a\",\"when\"],\"key\":\"a\",\"na\":\"NA\"}"));
    infer_form_free(&f);
    buf_release(&out);
    buf_release(&json);
}

Test(infer, where_na_stands_it_is_the_missing_value)
{
    infer_na na = {0};
    csv_row a = row_of(CELLS(B(""), B("NAN")), 2, 2), b = row_of(CELLS(B("x"), B("NA")), 2, 3);
    infer_na_see(&na, &a);
    cr_assert_str_eq(infer_na_text(&na), "");
    infer_na_see(&na, &b);
    infer_na_see(&na, &a);
    cr_assert_str_eq(infer_na_text(&na), "NA");
    /* then an empty cell is an empty text */
    infer_form *f = form_of("water", "", "NA");
    infer_record r = one_row(f, CELLS(B(""), B("NA"), B("NA")), 2);
    cr_assert(bytes_eq(r.payload, bytes_of("\x81\xa1"
                                           "b\xa0",
                                           4)));
    infer_form_free(&f);
}

static const struct {
    const char *text;
    infer_dates dates;
    uint64_t ms; /* 0: refused */
} times[] = {
    {"2019-04-07", INFER_ISO, 1554595200000},
    {"2019-04-07", INFER_MDY, 1554595200000},
    {"4/7/2019", INFER_MDY, 1554595200000},
    {"04/07/2019", INFER_MDY, 1554595200000},
    {"7/4/2019", INFER_DMY, 1554595200000},
    {"7.4.2019", INFER_DMY, 1554595200000},
    {"4/7/2019", INFER_ISO, 0},
    {"2019-04-07T12:30", INFER_ISO, 1554640200000},
    {"2019-04-07 12:30:59.5Z", INFER_ISO, 1554640259500},
    {"2019-04-07T12:30:00+02:00", INFER_ISO, 1554633000000},
    {"2019-04-07T12:30:00-0230", INFER_ISO, 1554649200000},
    {"4/7/2019 12:30", INFER_MDY, 1554640200000},
    {"2000-02-29", INFER_ISO, 951782400000},
    {"2024-12-31T23:59:59.999Z", INFER_ISO, 1735689599999},
    {"1900-02-29", INFER_ISO, 0},
    {"2019-02-29", INFER_ISO, 0},
    {"2019-13-01", INFER_ISO, 0},
    {"13/1/2019", INFER_MDY, 0},
    {"2019-04-07T24:00", INFER_ISO, 0},
    {"2019-04-07T12:30:00+15:00", INFER_ISO, 0},
    {"2019-04-07x", INFER_ISO, 0},
    {"2019-04-07 12:30 PM", INFER_ISO, 0},
    {"1969-12-31", INFER_ISO, 0},
    {"1970-01-01T00:00:00+01:00", INFER_ISO, 0},
    {"soon", INFER_MDY, 0},
    {"", INFER_ISO, 0},
    {"20190407", INFER_ISO, 0},
};

Test(infer, times)
{
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        uint64_t ms = 0;
        bool ok = infer_time(bytes_str(times[i].text), times[i].dates, &ms);
        cr_assert_eq(ok, times[i].ms != 0, "%s", times[i].text);
        if (ok)
            cr_assert_eq(ms, times[i].ms, "%s: %llu", times[i].text, (unsigned long long)ms);
    }
}

static void expect_changes(const char *before, size_t before_n, const char *now, size_t now_n,
                           uint32_t n, const char *want)
{
    buf out, json;
    uint32_t changed = 99;
    buf_init(&out, 4096);
    buf_init(&json, 4096);
    cr_assert_eq(infer_changes(bytes_of(before, before_n), bytes_of(now, now_n), &out, &changed),
                 ERR_OK);
    cr_assert_eq(changed, n);
    if (n > 0)
        cr_assert_eq(value_json(&json, buf_view(&out)), ERR_OK);
    cr_assert(bytes_is(buf_view(&json), want), "%.*s", (int)json.len, (const char *)json.p);
    buf_release(&out);
    buf_release(&json);
}
#define CHANGES(a, b, n, want) expect_changes(a, sizeof(a) - 1, b, sizeof(b) - 1, n, want)

Test(infer, a_row_again_changes_what_differs)
{
    CHANGES("\x80", "\x80", 0, "");
    CHANGES("\x82\xa1"
            "a\x01\xa1"
            "b\x02",
            "\x82\xa1"
            "a\x01\xa1"
            "b\x02",
            0, "");
    CHANGES("\x82\xa1"
            "a\x01\xa1"
            "b\x02",
            "\x82\xa1"
            "a\x01\xa1"
            "b\x03",
            1, "{\"b\":3}");
    CHANGES("\x82\xa1"
            "a\x01\xa1"
            "b\x02",
            "\x82\xa1"
            "b\x02\xa1"
            "c\x04",
            2, "{\"a\":null,\"c\":4}");
    CHANGES("\x81\xa1"
            "a\xc0",
            "\x80", 0, ""); /* was unanswered already */
    CHANGES("\x80",
            "\x81\xa1"
            "a\xa0",
            1, "{\"a\":\"\"}");
    buf out;
    uint32_t n;
    buf_init(&out, 64);
    cr_assert_eq(infer_changes(bytes_of("\x01", 1), bytes_of("\x80", 1), &out, &n), ERR_MALFORMED);
    buf_release(&out);
}

Test(infer, the_set_of_rows_seen_grows_and_remembers)
{
    infer_seen s;
    infer_seen_init(&s);
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 1; i <= 5000; i++) {
            uint8_t hash[16] = {0};
            put_u64be(hash, i * 0x9e3779b97f4a7c15ull);
            hash[15] = (uint8_t)i;
            uint64_t *number;
            cr_assert_eq(infer_seen_at(&s, hash, &number), ERR_OK);
            cr_assert_eq(*number, pass ? i : 0);
            *number = i;
        }
    }
    infer_seen_release(&s);
}
