#include "cli/mpjson.h"

#include "cli/infer.h"
#include "proto/mp.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* The event's own array is one level. */
#define DEPTH_MAX (EVENT_MAX_DEPTH - 1)

static err_t say(char *why, err_t e, const char *sentence)
{
    snprintf(why, ERROR_TEXT_MAX_BYTES, "%s", sentence);
    return e;
}

/* ---- values ---- */

static err_t put_value(buf *out, const json_t *v, unsigned depth, char *why);

static err_t put_hex(buf *bin, const char *hex)
{
    size_t n = strlen(hex);
    uint8_t *at = buf_reserve(bin, n / 2);
    if (at == NULL)
        return bin->err;
    if (!hex_decode(at, n / 2, hex, n))
        return ERR_INVALID;
    bin->len += n / 2;
    return ERR_OK;
}

static err_t put_bin(buf *out, const json_t *v, unsigned depth, char *why)
{
    (void)depth;
    buf bin;
    buf_init(&bin, EVENT_MAX_BYTES);
    err_t e = json_is_string(v) ? put_hex(&bin, json_string_value(v)) : ERR_INVALID;
    if (e == ERR_OK)
        mp_put_bin(out, buf_view(&bin));
    buf_release(&bin);
    return e == ERR_INVALID ? say(why, e, "\"$bin\" takes hexadecimal digits in pairs") : e;
}

static void put_ext_bytes(buf *out, int8_t type, bytes s)
{
    static const uint8_t fixed[] = {[1] = 0xd4, [2] = 0xd5, [4] = 0xd6, [8] = 0xd7, [16] = 0xd8};
    if (s.len <= 16 && fixed[s.len] != 0) {
        (void)buf_add_u8(out, fixed[s.len]);
    } else if (s.len <= UINT8_MAX) {
        (void)buf_add_u8(out, 0xc7);
        (void)buf_add_u8(out, (uint8_t)s.len);
    } else {
        uint8_t n[2];
        put_u16be(n,
                  (uint16_t)s.len); /* EVENT_MAX_BYTES is the most a value can have: see put_ext */
        (void)buf_add_u8(out, 0xc8);
        (void)buf_add(out, n, sizeof n);
    }
    (void)buf_add_u8(out, (uint8_t)type);
    (void)buf_add_bytes(out, s);
}

static err_t put_ext(buf *out, const json_t *v, unsigned depth, char *why)
{
    (void)depth;
    const json_t *type = json_array_get(v, 0), *hex = json_array_get(v, 1);
    json_int_t t = json_integer_value(type);
    buf s;
    buf_init(&s, UINT16_MAX);
    bool shaped = json_array_size(v) == 2 && json_is_integer(type) && t >= INT8_MIN &&
                  t <= INT8_MAX && json_is_string(hex);
    err_t e = shaped ? put_hex(&s, json_string_value(hex)) : ERR_INVALID;
    if (e == ERR_OK)
        put_ext_bytes(out, (int8_t)t, buf_view(&s));
    buf_release(&s);
    return e == ERR_INVALID
               ? say(why, e, "\"$ext\" takes [type from -128 to 127, hexadecimal digits]")
               : e;
}

static err_t put_float(buf *out, const json_t *v, unsigned depth, char *why)
{
    (void)depth;
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (strcmp(s, "nan") == 0)
        mp_put_double(out, (double)NAN);
    else if (strcmp(s, "inf") == 0)
        mp_put_double(out, HUGE_VAL);
    else if (strcmp(s, "-inf") == 0)
        mp_put_double(out, -HUGE_VAL);
    else
        return say(why, ERR_INVALID, "\"$float\" takes \"nan\", \"inf\" or \"-inf\"");
    return ERR_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a,
                  *(const char *const *)b); /* compares as unsigned bytes */
}

static err_t put_pairs(buf *out, const json_t *v, const char **keys, unsigned depth, char *why)
{
    const char *key;
    json_t *each;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, each)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, by_key);
    mp_put_map(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        mp_put_cstr(out, keys[i]);
        TRY(put_value(out, json_object_get(v, keys[i]), depth, why));
    }
    return ERR_OK;
}

static err_t put_plain_map(buf *out, const json_t *v, unsigned depth, char *why)
{
    if (!json_is_object(v))
        return say(why, ERR_INVALID, "\"$map\" takes an object");
    const char **keys = malloc((json_object_size(v) + 1) * sizeof *keys);
    if (keys == NULL)
        return ERR_NO_MEMORY;
    err_t e = put_pairs(out, v, keys, depth, why);
    free(keys);
    return e;
}

/* The forms of value_json() that JSON itself lacks. */
static const struct {
    const char *key;
    err_t (*put)(buf *out, const json_t *v, unsigned depth, char *why);
} specials[] = {
    {"$bin", put_bin}, {"$ext", put_ext}, {"$float", put_float}, {"$map", put_plain_map}};

static err_t put_object(buf *out, const json_t *v, unsigned depth, char *why)
{
    if (json_object_size(v) == 1)
        for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
            const json_t *inner = json_object_get(v, specials[i].key);
            if (inner != NULL)
                return specials[i].put(out, inner, depth, why);
        }
    return put_plain_map(out, v, depth, why);
}

static err_t put_array(buf *out, const json_t *v, unsigned depth, char *why)
{
    size_t n = json_array_size(v);
    mp_put_array(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        TRY(put_value(out, json_array_get(v, i), depth, why));
    return ERR_OK;
}

/* `depth`: how many containers may still be opened. */
static err_t put_value(buf *out, const json_t *v, unsigned depth, char *why)
{
    bool container = json_is_object(v) || json_is_array(v);
    if (container && depth == 0)
        return say(why, ERR_TOO_DEEP, "the JSON is nested too deeply: 15 levels are allowed");
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return put_object(out, v, depth - 1, why);
    case JSON_ARRAY:
        return put_array(out, v, depth - 1, why);
    case JSON_STRING:
        mp_put_str(out, bytes_of(json_string_value(v), json_string_length(v)));
        return ERR_OK;
    case JSON_INTEGER:
        mp_put_int(out, json_integer_value(v));
        return ERR_OK;
    case JSON_REAL:
        mp_put_double(out, json_real_value(v));
        return ERR_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        mp_put_bool(out, json_is_true(v));
        return ERR_OK;
    case JSON_NULL:
        mp_put_nil(out);
        return ERR_OK;
    }
    return ERR_BUG;
}

static err_t refused(const json_error_t *e, char *why)
{
    const char *what = e->text;
    switch (json_error_code(e)) {
    case json_error_out_of_memory:
        return say(why, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY));
    case json_error_numeric_overflow:
        what = "a number is too large: whole numbers end at 9223372036854775807, others at "
               "1.79e308; quote it to keep "
               "it as text";
        break;
    case json_error_duplicate_key:
        what = "a key stands twice in one object";
        break;
    default:
        break;
    }
    snprintf(why, ERROR_TEXT_MAX_BYTES, "JSON, line %d, column %d: %s", e->line, e->column, what);
    return ERR_INVALID;
}

err_t mpjson_parse(bytes text, buf *out, char why[ERROR_TEXT_MAX_BYTES])
{
    json_error_t error;
    if (text.len > JSON_TEXT_MAX_BYTES)
        return say(why, ERR_TOO_LARGE, "the JSON text is longer than 256 KiB");
    json_t *v = json_loadb(text.len ? (const char *)text.p : "", text.len,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (v == NULL)
        return refused(&error, why);
    (void)say(why, ERR_OK, err_text(ERR_NO_MEMORY));
    err_t e = put_value(out, v, DEPTH_MAX, why);
    json_decref(v);
    if (e == ERR_OK && out->err == ERR_TOO_LARGE)
        return say(why, ERR_TOO_LARGE, "the value is too large for one event");
    return e != ERR_OK ? e : out->err;
}

/* ---- field=value ---- */

typedef struct {
    bytes name;
    const char *value;
    bool json;
} field_arg;

static err_t say_arg(char *why, const char *fmt, const char *arg)
{
    snprintf(why, ERROR_TEXT_MAX_BYTES, fmt, arg);
    return ERR_INVALID;
}

static err_t read_arg(const char *arg, field_arg *out, char *why)
{
    const char *equals = strchr(arg, '=');
    if (equals == NULL)
        return say_arg(why, "'%.100s' is not of the form field=value", arg);
    out->json = equals > arg && equals[-1] == ':';
    out->value = equals + 1;
    out->name = bytes_of(arg, (size_t)(equals - arg) - out->json);
    if (out->name.len == 0)
        return say_arg(why, "'%.100s' has no field before the '='", arg);
    if (out->name.len > FIELD_MAX_BYTES)
        return say_arg(why, "the field name '%.100s…' is longer than 512 bytes", arg);
    if (!utf8_valid(bytes_str(arg)))
        return say_arg(why, "'%.100s' is not UTF-8", arg);
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return bytes_cmp(((const field_arg *)a)->name, ((const field_arg *)b)->name);
}

static err_t put_field(buf *out, const field_arg *f, char *why)
{
    mp_put_str(out, f->name);
    if (!f->json) {
        infer_put(out, bytes_str(f->value));
        return ERR_OK;
    }
    char inner[ERROR_TEXT_MAX_BYTES];
    err_t e = mpjson_parse(bytes_str(f->value), out, inner);
    if (e != ERR_OK)
        snprintf(why, ERROR_TEXT_MAX_BYTES, "%.*s: %.150s",
                 (int)(f->name.len < 64 ? f->name.len : 64), (const char *)f->name.p, inner);
    return e;
}

static err_t put_fields(field_arg *fields, char *const *args, size_t n, buf *out, char *why)
{
    for (size_t i = 0; i < n; i++)
        TRY(read_arg(args[i], &fields[i], why));
    qsort(fields, n, sizeof *fields, by_name);
    mp_put_map(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && bytes_eq(fields[i - 1].name, fields[i].name)) {
            snprintf(why, ERROR_TEXT_MAX_BYTES, "the field '%.*s' is given twice",
                     (int)(fields[i].name.len < 100 ? fields[i].name.len : 100),
                     (const char *)fields[i].name.p);
            return ERR_INVALID;
        }
        TRY(put_field(out, &fields[i], why));
    }
    if (out->err == ERR_TOO_LARGE)
        return say(why, ERR_TOO_LARGE, "the fields are too large for one event");
    return out->err;
}

err_t mpjson_fields(char *const *args, size_t n, buf *out, char why[ERROR_TEXT_MAX_BYTES])
{
    (void)say(why, ERR_OK, err_text(ERR_NO_MEMORY));
    field_arg *fields = calloc(n + 1, sizeof *fields);
    if (fields == NULL)
        return ERR_NO_MEMORY;
    err_t e = put_fields(fields, args, n, out, why);
    free(fields);
    return e;
}
