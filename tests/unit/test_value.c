/* Values in place, and their canonical JSON as Python's json.dumps would print it. */
#include "prop.h"

#include "proto/gate.h"
#include "pure/value.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>

static void json_is(const char *hex, const char *expected)
{
    uint8_t raw[256];
    buf out;
    size_t n = strlen(hex) / 2;
    buf_init(&out, 4096);
    cr_assert(hex_decode(raw, n, hex, 2 * n));
    cr_assert_eq(value_json(&out, bytes_of(raw, n)), ERR_OK, "%s", hex);
    cr_assert(bytes_is(buf_view(&out), expected), "%s: %.*s", hex, (int)out.len,
              (const char *)out.p);
    buf_release(&out);
}

Test(value, json_of_each_sort)
{
    static const struct {
        const char *hex, *json;
    } rows[] = {
        {"c0", "null"},
        {"c2", "false"},
        {"c3", "true"},
        {"00", "0"},
        {"7f", "127"},
        {"cfffffffffffffffff", "18446744073709551615"},
        {"e0", "-32"},
        {"d38000000000000000", "-9223372036854775808"},
        {"cb3ff0000000000000", "1.0"},
        {"cb8000000000000000", "-0.0"},
        {"cb7ff8000000000000", "{\"$float\":\"nan\"}"},
        {"cb7ff0000000000000", "{\"$float\":\"inf\"}"},
        {"cbfff0000000000000", "{\"$float\":\"-inf\"}"},
        {"a0", "\"\""},
        {"a6c3a9e29883", NULL}, /* cut short */
        {"a6c3a922085c0a", "\"\xc3\xa9\\\"\\b\\\\\\n\""},
        {"a400011f7f", "\"\\u0000\\u0001\\u001f\x7f\""},
        {"c403000aff", "{\"$bin\":\"000aff\"}"},
        {"c400", "{\"$bin\":\"\"}"},
        {"d40561", "{\"$ext\":[5,\"61\"]}"},
        {"d8ff000102030405060708090a0b0c0d0e0f",
         "{\"$ext\":[-1,\"000102030405060708090a0b0c0d0e0f\"]}"},
        {"c70301616263", "{\"$ext\":[1,\"616263\"]}"},
        {"90", "[]"},
        {"93010203", "[1,2,3]"},
        {"80", "{}"},
        {"82a16101a16290", "{\"a\":1,\"b\":[]}"},
        {"81a42462696ea161", "{\"$map\":{\"$bin\":\"a\"}}"},
        {"82a12401a16102", "{\"$\":1,\"a\":2}"},
        {"81a1248124", NULL}, /* a key that is no text */
        {"c1", NULL},
        {"0102", NULL}, /* two values */
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t raw[64];
        buf out;
        size_t n = strlen(rows[i].hex) / 2;
        cr_assert(hex_decode(raw, n, rows[i].hex, 2 * n));
        if (rows[i].json != NULL) {
            json_is(rows[i].hex, rows[i].json);
            continue;
        }
        buf_init(&out, 4096);
        cr_assert(value_json(&out, bytes_of(raw, n)) != ERR_OK, "%s", rows[i].hex);
        buf_release(&out);
    }
}

/* What Python 3 prints for repr(x). */
Test(value, doubles_are_the_shortest_that_read_back)
{
    static const struct {
        double d;
        const char *text;
    } rows[] = {
        {0.1, "0.1"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {-12.5, "-12.5"},
        {100.0, "100.0"},
        {0.30000000000000004, "0.30000000000000004"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {2.225073858507201e-308, "2.225073858507201e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {5.684341886080802e-14,
         "5.684341886080802e-14"}, /* 2^-44: the nearest 16 digits do not read back */
        {9007199254740993.0, "9007199254740992.0"},
        {-15.786111, "-15.786111"},
        {1.1e-7, "1.1e-07"},
        {4.35, "4.35"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf out;
        buf_init(&out, 100);
        value_json_double(&out, rows[i].d);
        cr_assert(bytes_is(buf_view(&out), rows[i].text), "%s: %.*s", rows[i].text, (int)out.len,
                  (const char *)out.p);
        buf_release(&out);
    }
}

static unsigned count_digits(const char *s)
{
    unsigned n = 0, zeroes = 0;
    for (; *s != 0 && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (*s == '0' && n == 0))
            continue;
        zeroes = *s == '0' ? zeroes + 1 : 0;
        n++;
    }
    return n - zeroes;
}

Test(value, random_doubles_read_back_and_have_no_digit_too_many)
{
    prop_rng r = prop_begin("value.random_doubles_read_back_and_have_no_digit_too_many");
    for (int i = 0; i < 100000; i++) {
        uint64_t raw = prop_u64(&r);
        double d;
        char text[64], shorter[64];
        buf out;
        if (i % 4 == 0)
            raw = raw & ~0xfffffffffffffull; /* powers of two */
        memcpy(&d, &raw, sizeof d);
        if (i % 4 == 1)
            d = (double)(int64_t)prop_below(&r, 1u << 30) / 1000;
        if (!isfinite(d) || d == 0)
            continue;
        buf_init(&out, 100);
        value_json_double(&out, d);
        snprintf(text, sizeof text, "%.*s", (int)out.len, (const char *)out.p);
        buf_release(&out);
        cr_assert(strtod(text, NULL) == d, "%s", text);
        cr_assert(strpbrk(text, ".e") != NULL);
        unsigned digits = count_digits(text);
        snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, d);
        cr_assert(digits < 2 || strtod(shorter, NULL) != d, "%s is longer than %s", text, shorter);
    }
}

Test(value, the_locale_does_not_matter)
{
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ru_RU.UTF-8"};
    for (size_t i = 0; i < sizeof commas / sizeof *commas; i++)
        if (setlocale(LC_NUMERIC, commas[i]) != NULL)
            break;
    json_is("cb3fb999999999999a", "0.1");
}

/* ---- random values ---- */

static void put_random(prop_rng *r, buf *out, unsigned depth)
{
    char key[8];
    unsigned n = (unsigned)prop_below(r, 4), sort = (unsigned)prop_below(r, depth > 0 ? 8 : 6);
    uint64_t size = 1ull << prop_below(r, 63);
    uint8_t raw[300] = {0};
    if (sort == 0)
        mp_put_uint(out, prop_u64(r) & (size | (size - 1)));
    else if (sort == 1)
        mp_put_int(out, -(int64_t)(prop_u64(r) & (size - 1)));
    else if (sort == 2)
        mp_put_double(out, (double)prop_below(r, 1000) / 8);
    else if (sort == 3)
        mp_put_str(out, bytes_of(raw, prop_below(r, sizeof raw)));
    else if (sort == 4)
        mp_put_bin(out, bytes_of(raw, prop_below(r, sizeof raw)));
    else if (sort == 5)
        prop_below(r, 2) ? mp_put_nil(out) : mp_put_bool(out, prop_below(r, 2));
    else if (sort == 6)
        mp_put_array(out, n);
    else
        mp_put_map(out, n);
    for (unsigned i = 0; sort >= 6 && i < n; i++) {
        snprintf(key, sizeof key, "k%u", i);
        if (sort == 7)
            mp_put_cstr(out, key);
        put_random(r, out, depth - 1);
    }
}

static void read_all(bytes v)
{
    value_map m;
    bytes key, value, text;
    (void)value_str(v, &text);
    if (value_map_open(v, &m))
        while (value_map_next(&m, &key, &value)) {
            cr_assert(value.p >= v.p && value.p + value.len <= v.p + v.len);
            read_all(value);
        }
}

/* The reader agrees with the gate on length, and nothing cut short is overrun (the sanitizer watches the copy). */
Test(value, length_agrees_with_the_gate_and_cuts_are_noticed)
{
    prop_rng r = prop_begin("value.length_agrees_with_the_gate_and_cuts_are_noticed");
    for (int round = 0; round < 20000; round++) {
        buf b, out;
        size_t used = 0;
        buf_init(&b, 1u << 20);
        buf_init(&out, 1u << 20);
        put_random(&r, &b, 4);
        cr_assert_eq(gate_value(buf_view(&b), &used, 0), ERR_OK);
        cr_assert_eq(used, b.len);
        cr_assert_eq(value_length(buf_view(&b)), b.len);
        cr_assert_eq(value_json(&out, buf_view(&b)), ERR_OK);
        size_t cut = prop_below(&r, b.len);
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy + 1, b.p, cut);
        cr_assert_eq(value_length(bytes_of(copy + 1, cut)), 0);
        read_all(bytes_of(copy + 1, cut));
        buf_clear(&out);
        cr_assert(value_json(&out, bytes_of(copy + 1, cut)) != ERR_OK);
        for (int flips = 0; flips < 3 && cut > 0; flips++) /* and with any byte changed */
            copy[1 + prop_below(&r, cut)] = (uint8_t)prop_u64(&r);
        (void)value_length(bytes_of(copy + 1, cut));
        read_all(bytes_of(copy + 1, cut));
        cr_assert(value_json(&out, bytes_of(copy + 1, cut)) < ERR_COUNT); /* whatever it says */
        free(copy);
        buf_release(&b);
        buf_release(&out);
    }
}

Test(value, maps_are_read_pair_by_pair)
{
    buf b;
    buf_init(&b, 1000);
    mp_put_map(&b, 2);
    mp_put_cstr(&b, "a");
    mp_put_uint(&b, 1);
    mp_put_cstr(&b, "b");
    mp_put_map(&b, 0);
    bytes v = buf_view(&b);
    cr_assert_eq(value_get(v, "a").len, 1);
    cr_assert_eq(value_type(value_get(v, "b")), MP_MAP);
    cr_assert_eq(value_get(v, "c").len, 0);
    cr_assert_eq(value_get(value_get(v, "a"), "x").len, 0);
    value_map m;
    cr_assert(!value_map_open(value_get(v, "a"), &m));
    cr_assert(!value_map_open(bytes_of(NULL, 0), &m));
    buf_release(&b);
}
