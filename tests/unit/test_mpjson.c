#include "base/limits.h"
#include "cli/mpjson.h"
#include "proto/gate.h"
#include "proto/mp.h"
#include "pure/value.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

/* JSON in, canonical JSON out, by way of msgpack that the gate accepts. */
static err_t around(bytes text, buf *json, char *why)
{
    buf v;
    buf_init(&v, EVENT_MAX_BYTES);
    err_t e = mpjson_parse(text, &v, why);
    if (e == ERR_OK) {
        size_t used = 0;
        cr_assert_eq(gate_value(buf_view(&v), &used, 1), ERR_OK);
        cr_assert_eq(used, v.len);
        cr_assert_eq(value_json(json, buf_view(&v)), ERR_OK);
    }
    buf_release(&v);
    return e;
}

static const struct {
    const char *in, *out; /* out NULL: the same */
} good[] = {
    {"1", NULL},
    {"-1", NULL},
    {"1.0", NULL},
    {"1e2", "100.0"},
    {"0.1", NULL},
    {"-0", "0"},
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"\"\"", NULL},
    {"\"\\u00e9\\ud83d\\ude00\"", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
    {"\"a\\/b\\n\"", "\"a/b\\n\""},
    {"null", NULL},
    {"true", NULL},
    {" [ 1 , [ ] , { } ] ", "[1,[],{}]"},
    {"{\"b\":1,\"a\":{\"d\":1,\"c\":2}}", "{\"a\":{\"c\":2,\"d\":1},\"b\":1}"},
    {"{\"\xc3\xa9\":1,\"z\":2,\"\":3}", "{\"\":3,\"z\":2,\"\xc3\xa9\":1}"},
    {"{\"$bin\":\"\"}", NULL},
    {"{\"$bin\":\"00ff10\"}", NULL},
    {"{\"$ext\":[-1,\"00112233\"]}", NULL},
    {"{\"$ext\":[5,\"001122\"]}", NULL},
    {"{\"$ext\":[5,\"\"]}", NULL},
    {"{\"$float\":\"nan\"}", NULL},
    {"{\"$float\":\"inf\"}", NULL},
    {"{\"$float\":\"-inf\"}", NULL},
    {"{\"$map\":{\"$bin\":\"zz\"}}", NULL},
    {"{\"$map\":{\"$map\":1}}", NULL},
    {"{\"$other\":1}", "{\"$map\":{\"$other\":1}}"},
    {"{\"$bin\":1,\"x\":2}", NULL},
};

Test(mpjson, good)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char why[ERROR_TEXT_MAX_BYTES];
        const char *want = good[i].out ? good[i].out : good[i].in;
        buf json;
        buf_init(&json, EVENT_MAX_BYTES);
        cr_assert_eq(around(bytes_str(good[i].in), &json, why), ERR_OK, "%s: %s", good[i].in, why);
        cr_assert(bytes_is(buf_view(&json), want), "%s became %.*s", good[i].in, (int)json.len,
                  (const char *)json.p);
        buf_release(&json);
    }
}

static const struct {
    const char *in;
    const char *why; /* part of the sentence */
} bad[] = {
    {"", "line 1"},
    {"{\"a\":1,\"a\":2}", "twice"},
    {"NaN", "line 1, column 3"},
    {"[1,\n Infinity]", "line 2"},
    {"-Infinity", "JSON"},
    {"18446744073709551616", "too large: whole numbers end"},
    {"9223372036854775808", "too large"},
    {"1e400", "too large"},
    {"01", "JSON"},
    {"1 2", "JSON"},
    {"{\"a\":1}}", "JSON"},
    {"[1,]", "JSON"},
    {"{a:1}", "JSON"},
    {"'a'", "JSON"},
    {"\"\\u0000\"", "JSON"},
    {"\"\\ud800\"", "JSON"},
    {"\"\xff\"", "JSON"},
    {"\"a\nb\"", "JSON"},
    {"{\"$bin\":\"0\"}", "$bin"},
    {"{\"$bin\":\"zz\"}", "$bin"},
    {"{\"$bin\":1}", "$bin"},
    {"{\"$ext\":[200,\"00\"]}", "$ext"},
    {"{\"$ext\":[1]}", "$ext"},
    {"{\"$float\":\"1\"}", "$float"},
    {"{\"$map\":1}", "$map"},
};

Test(mpjson, bad)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char why[ERROR_TEXT_MAX_BYTES] = "";
        buf json;
        buf_init(&json, EVENT_MAX_BYTES);
        cr_assert_eq(around(bytes_str(bad[i].in), &json, why), ERR_INVALID, "%s", bad[i].in);
        cr_assert(strstr(why, bad[i].why) != NULL, "%s: %s", bad[i].in, why);
        cr_assert(strchr(why, '\n') == NULL);
        buf_release(&json);
    }
}

static err_t nested(unsigned depth, char *why)
{
    char text[256];
    buf json;
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    buf_init(&json, EVENT_MAX_BYTES);
    err_t e = around(bytes_of(text, 2 * depth), &json, why);
    buf_release(&json);
    return e;
}

Test(mpjson, bounds)
{
    char why[ERROR_TEXT_MAX_BYTES];
    static uint8_t text[JSON_TEXT_MAX_BYTES + 1];
    buf json;
    cr_assert_eq(nested(EVENT_MAX_DEPTH - 1, why), ERR_OK);
    cr_assert_eq(nested(EVENT_MAX_DEPTH, why), ERR_TOO_DEEP);
    cr_assert(strstr(why, "nested too deeply") != NULL);
    memset(text, 'x', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    buf_init(&json, 4 * EVENT_MAX_BYTES);
    cr_assert_eq(around(bytes_of(text, sizeof text), &json, why), ERR_TOO_LARGE);
    text[100000] = '"';
    cr_assert_eq(around(bytes_of(text, 100001), &json, why), ERR_TOO_LARGE);
    cr_assert_str_eq(why, "the value is too large for one event");
    text[60000] = '"';
    cr_assert_eq(around(bytes_of(text, 60001), &json, why), ERR_OK);
    buf_release(&json);
}

/* A random value as msgpack; keys ascend because each is one letter longer or higher. */
static void put_random(prop_rng *rng, buf *out, unsigned depth)
{
    static const char *const texts[] = {"", "a", "\"\\", "\n\t\x01", "\xc3\xa9", "$bin", "007"};
    static const char *const keys[] = {"", "$bin", "$map", "a", "b", "\xc3\xa9"};
    switch (prop_below(rng, depth > 0 ? 9 : 7)) {
    case 0:
        mp_put_nil(out);
        break;
    case 1:
        mp_put_bool(out, prop_below(rng, 2));
        break;
    case 2:
        mp_put_uint(out, prop_u64(rng) >> (1 + prop_below(rng, 63)));
        break;
    case 3:
        mp_put_int(out, -(int64_t)(prop_u64(rng) >> (1 + prop_below(rng, 63))));
        break;
    case 4: {
        uint64_t raw = prop_u64(rng);
        double d;
        memcpy(&d, &raw, sizeof d);
        mp_put_double(out, d == d ? d : 0.5);
        break;
    }
    case 5:
        mp_put_cstr(out, texts[prop_below(rng, sizeof texts / sizeof *texts)]);
        break;
    case 6:
        mp_put_bin(out, bytes_of(texts[4], prop_below(rng, 3)));
        break;
    case 7: {
        uint32_t n = (uint32_t)prop_below(rng, 4);
        mp_put_array(out, n);
        while (n-- > 0)
            put_random(rng, out, depth - 1);
        break;
    }
    default: {
        unsigned mask = (unsigned)prop_below(rng, 64);
        mp_put_map(out, (uint32_t)__builtin_popcount(mask));
        for (unsigned i = 0; i < 6; i++)
            if (mask >> i & 1) {
                mp_put_cstr(out, keys[i]);
                put_random(rng, out, depth - 1);
            }
    }
    }
}

Test(mpjson, what_is_printed_is_read_back_byte_for_byte)
{
    prop_rng rng = prop_begin("mpjson.what_is_printed_is_read_back_byte_for_byte");
    for (int round = 0; round < 5000; round++) {
        char why[ERROR_TEXT_MAX_BYTES];
        buf v, json, again;
        buf_init(&v, EVENT_MAX_BYTES);
        buf_init(&json, JSON_TEXT_MAX_BYTES);
        buf_init(&again, EVENT_MAX_BYTES);
        put_random(&rng, &v, 4);
        cr_assert_eq(value_json(&json, buf_view(&v)), ERR_OK);
        cr_assert_eq(mpjson_parse(buf_view(&json), &again, why), ERR_OK, "%.*s: %s", (int)json.len,
                     (const char *)json.p, why);
        cr_assert(bytes_eq(buf_view(&v), buf_view(&again)), "%.*s", (int)json.len,
                  (const char *)json.p);
        buf_release(&v);
        buf_release(&json);
        buf_release(&again);
    }
}

static err_t fields(char *const *args, size_t n, char *json_out, size_t size, char *why)
{
    buf v, json;
    buf_init(&v, EVENT_MAX_BYTES);
    buf_init(&json, JSON_TEXT_MAX_BYTES);
    err_t e = mpjson_fields(args, n, &v, why);
    if (e == ERR_OK) {
        size_t used = 0;
        cr_assert_eq(gate_value(buf_view(&v), &used, 1), ERR_OK);
        cr_assert_eq(value_json(&json, buf_view(&v)), ERR_OK);
        snprintf(json_out, size, "%.*s", (int)json.len, (const char *)json.p);
    }
    buf_release(&v);
    buf_release(&json);
    return e;
}

Test(mpjson, field_arguments)
{
    char *args[] = {"depth=48",     "code=007",    "name=Khope school", "empty=",    "ok:=true",
                    "text:=\"48\"", "list:=[1,2]", "gone:=null",        "eq=a=b:=c", "a:b=x",
                    "ph=38.7"};
    char json[512], why[ERROR_TEXT_MAX_BYTES];
    cr_assert_eq(fields(args, sizeof args / sizeof *args, json, sizeof json, why), ERR_OK, "%s",
                 why);
    cr_assert_str_eq(
        json, "{\"a:b\":\"x\",\"code\":\"007\",\"depth\":48,\"empty\":\"\",\"eq\":\"a=b:=c\","
              "\"gone\":null,"
              "\"list\":[1,2],\"name\":\"Khope school\",\"ok\":true,\"ph\":38.7,\"text\":\"48\"}");
    cr_assert_eq(fields(args, 0, json, sizeof json, why), ERR_OK);
    cr_assert_str_eq(json, "{}");
}

Test(mpjson, field_arguments_that_are_refused)
{
    char name[FIELD_MAX_BYTES + 8], large[70000], json[512], why[ERROR_TEXT_MAX_BYTES];
    memset(name, 'n', sizeof name);
    memcpy(name + sizeof name - 3, "=1", 3);
    memset(large, 'x', sizeof large);
    memcpy(large, "f=", 2);
    large[sizeof large - 1] = '\0';
    const struct {
        char *args[2];
        size_t n;
        err_t e;
        const char *why;
    } rows[] = {
        {{"depth"}, 1, ERR_INVALID, "'depth' is not of the form field=value"},
        {{"=1"}, 1, ERR_INVALID, "no field before"},
        {{":=1"}, 1, ERR_INVALID, "no field before"},
        {{"a=1", "a:=2"}, 2, ERR_INVALID, "the field 'a' is given twice"},
        {{"a:=NaN"}, 1, ERR_INVALID, "a: JSON, line 1"},
        {{"a:="}, 1, ERR_INVALID, "a: JSON, line 1"},
        {{"a=\xff"}, 1, ERR_INVALID, "not UTF-8"},
        {{name}, 1, ERR_INVALID, "longer than 512"},
        {{large}, 1, ERR_TOO_LARGE, "too large for one event"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(fields(rows[i].args, rows[i].n, json, sizeof json, why), rows[i].e, "%zu", i);
        cr_assert(strstr(why, rows[i].why) != NULL, "%s", why);
    }
}
