#include "cli/infer.h"

#include "base/ids.h"
#include "cli/infer_seen.h"
#include "proto/mp.h"
#include "pure/crypto.h"
#include "pure/value.h"

#include <stdio.h>
#include <stdlib.h>

#define NO_COLUMN         SIZE_MAX
#define NAME_CHARS        10u
/* What is left of an event for its payload beside stamps, names, attributes and references. */
#define PAYLOAD_MAX_BYTES (EVENT_MAX_BYTES - 2048u)

typedef struct {
    bytes name;
    size_t column;
} named_column;

struct infer_form {
    buf text; /* form, na and column names; grown once, so that views into it stay */
    bytes form, na;
    size_t n, key, at;   /* key, at: NO_COLUMN for none */
    bytes *columns;      /* n names as in the file */
    named_column *order; /* n, in the order of map keys */
    infer_dates dates;
    infer_seen seen; /* with key: line of each; without: how often each row stood */
    buf payload;
};

void infer_na_see(infer_na *na, const csv_row *row)
{
    for (size_t i = 0; i < row->n && !na->met; i++)
        na->met = bytes_is(row->cells[i], "NA");
}

const char *infer_na_text(const infer_na *na)
{
    return na->met ? "NA" : "";
}

/* ---- the header ---- */

static int by_name(const void *a, const void *b)
{
    return bytes_cmp(((const named_column *)a)->name, ((const named_column *)b)->name);
}

static err_t say(char *why, err_t e, const char *fmt, bytes name)
{
    snprintf(why, ERROR_TEXT_MAX_BYTES, fmt, (int)(name.len < 100 ? name.len : 100),
             (const char *)name.p);
    return e;
}

static err_t check_form_name(bytes form, char *why)
{
    bool fits = form.len > 0 && form.len <= CATEGORY_MAX_BYTES && utf8_valid(form);
    if (!fits || memchr(form.p, '/', form.len) != NULL || memchr(form.p, 0, form.len) != NULL)
        return say(why, ERR_INVALID,
                   "'%.*s' cannot be a form's name: 1 to 64 bytes of text without '/'", form);
    if (bytes_is(form, "cairn"))
        return say(why, ERR_INVALID, "the form name '%.*s' is taken by Cairn itself", form);
    return ERR_OK;
}

static err_t check_columns(const infer_form *f, char *why)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->columns[i].len == 0) {
            snprintf(why, ERROR_TEXT_MAX_BYTES, "column %zu has no name: give it one in line 1",
                     i + 1);
            return ERR_INVALID;
        }
        if (f->columns[i].len > FIELD_MAX_BYTES)
            return say(why, ERR_INVALID, "the column name '%.*s…' is longer than 512 bytes",
                       f->columns[i]);
        if (i > 0 && bytes_eq(f->order[i - 1].name, f->order[i].name))
            return say(why, ERR_INVALID, "two columns have the name '%.*s': rename one",
                       f->order[i].name);
    }
    return ERR_OK;
}

static err_t find_column(const infer_form *f, bytes name, size_t *out, char *why)
{
    *out = NO_COLUMN;
    for (size_t i = 0; i < f->n; i++)
        if (bytes_eq(f->columns[i], name))
            *out = i;
    if (name.len == 0 || *out != NO_COLUMN)
        return ERR_OK;
    return say(why, ERR_INVALID, "there is no column '%.*s'", name);
}

/* Copies a text into f->text, which has been made large enough before. */
static bytes keep(infer_form *f, bytes s)
{
    size_t at = f->text.len;
    (void)buf_add_bytes(&f->text, s);
    return bytes_of(f->text.p + at, s.len);
}

static err_t keep_names(infer_form *f, const infer_options *o, const csv_row *header)
{
    size_t total = o->form.len + o->na.len;
    for (size_t i = 0; i < header->n; i++)
        total += header->cells[i].len;
    buf_init(&f->text, total + 1);
    f->columns = calloc(header->n + 1, sizeof *f->columns);
    f->order = calloc(header->n + 1, sizeof *f->order);
    if (f->columns == NULL || f->order == NULL || buf_reserve(&f->text, total + 1) == NULL)
        return ERR_NO_MEMORY;
    f->form = keep(f, o->form);
    f->na = keep(f, o->na);
    f->n = header->n;
    for (size_t i = 0; i < f->n; i++) {
        f->columns[i] = keep(f, header->cells[i]);
        f->order[i] = (named_column){f->columns[i], i};
    }
    qsort(f->order, f->n, sizeof *f->order, by_name);
    return ERR_OK;
}

static err_t fill_form(infer_form *f, const infer_options *o, const csv_row *header, char *why)
{
    TRY(check_form_name(o->form, why));
    TRY(keep_names(f, o, header));
    TRY(check_columns(f, why));
    TRY(find_column(f, o->key, &f->key, why));
    TRY(find_column(f, o->at, &f->at, why));
    infer_put_columns(f, &f->payload);
    if (f->payload.err == ERR_TOO_LARGE)
        snprintf(why, ERROR_TEXT_MAX_BYTES, "the column names together are too long for one event");
    return f->payload.err;
}

err_t infer_form_new(infer_form **out, const infer_options *options, const csv_row *header,
                     char why[ERROR_TEXT_MAX_BYTES])
{
    infer_form *f = calloc(1, sizeof *f);
    *out = f;
    snprintf(why, ERROR_TEXT_MAX_BYTES, "%s", err_text(ERR_NO_MEMORY));
    if (f == NULL)
        return ERR_NO_MEMORY;
    f->dates = options->dates;
    infer_seen_init(&f->seen);
    buf_init(&f->payload, PAYLOAD_MAX_BYTES);
    err_t e = fill_form(f, options, header, why);
    if (e != ERR_OK)
        infer_form_free(out);
    return e;
}

void infer_form_free(infer_form **f)
{
    if (*f == NULL)
        return;
    buf_release(&(*f)->text);
    buf_release(&(*f)->payload);
    infer_seen_release(&(*f)->seen);
    free((*f)->columns);
    free((*f)->order);
    free(*f);
    *f = NULL;
}

void infer_put_columns(const infer_form *f, buf *out)
{
    mp_put_map(out, f->key == NO_COLUMN ? 2 : 3);
    mp_put_cstr(out, "columns");
    mp_put_array(out, (uint32_t)f->n);
    for (size_t i = 0; i < f->n; i++)
        mp_put_str(out, f->columns[i]);
    if (f->key != NO_COLUMN) {
        mp_put_cstr(out, "key");
        mp_put_str(out, f->columns[f->key]);
    }
    mp_put_cstr(out, "na");
    mp_put_str(out, f->na);
}

/* ---- rows ---- */

static void put_fields(infer_form *f, const csv_row *row)
{
    uint32_t answered = 0;
    for (size_t i = 0; i < row->n; i++)
        answered += !bytes_eq(row->cells[i], f->na);
    buf_clear(&f->payload);
    mp_put_map(&f->payload, answered);
    for (size_t i = 0; i < f->n; i++) {
        bytes cell = row->cells[f->order[i].column];
        if (bytes_eq(cell, f->na))
            continue;
        mp_put_str(&f->payload, f->order[i].name);
        infer_put(&f->payload, cell);
    }
}

static void row_hash(const infer_form *f, uint32_t occurrence, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hasher h;
    uint8_t length = (uint8_t)f->form.len, number[4];
    put_u32be(number, occurrence);
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "cairn/1 row", 11);
    crypto_hash_add(&h, &length, 1);
    crypto_hash_add(&h, f->form.p, f->form.len);
    crypto_hash_add(&h, number, sizeof number);
    crypto_hash_add(&h, f->payload.p, f->payload.len);
    crypto_hash_end(&h, out);
}

static err_t name_by_hash(infer_form *f, char *record)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint64_t *times;
    row_hash(f, 0, hash);
    TRY(infer_seen_at(&f->seen, hash, &times));
    if (*times > 0)
        row_hash(f, (uint32_t)*times, hash);
    ++*times;
    uint64_t bits = get_u64be(hash);
    for (unsigned i = 0; i < NAME_CHARS; i++)
        record[i] = BASE32_ALPHABET[bits >> (59 - 5 * i) & 31];
    record[NAME_CHARS] = '\0';
    return ERR_OK;
}

static bool has_control(bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

static err_t name_by_key(infer_form *f, const csv_row *row, char *record, char *why)
{
    bytes key = row->cells[f->key];
    if (key.len == 0 || bytes_eq(key, f->na))
        return say(why, ERR_INVALID, "the key column '%.*s' is empty here", f->columns[f->key]);
    if (key.len > STREAM_MAX_BYTES)
        return say(why, ERR_INVALID, "the key '%.*s…' is longer than 128 bytes", key);
    if (has_control(key))
        return say(why, ERR_INVALID,
                   "the key in column '%.*s' has a line break or control character",
                   f->columns[f->key]);
    uint8_t hash[CRYPTO_HASH_BYTES];
    uint64_t *line;
    crypto_digest(hash, key);
    TRY(infer_seen_at(&f->seen, hash, &line));
    if (*line > 0) {
        snprintf(why, ERROR_TEXT_MAX_BYTES, "the key '%.*s' stood on line %llu already",
                 (int)key.len, (const char *)key.p, (unsigned long long)*line);
        return ERR_INVALID;
    }
    *line = row->line;
    memcpy(record, key.p, key.len);
    record[key.len] = '\0';
    return ERR_OK;
}

err_t infer_row(infer_form *f, const csv_row *row, infer_record *out,
                char why[ERROR_TEXT_MAX_BYTES])
{
    *out = (infer_record){0};
    snprintf(why, ERROR_TEXT_MAX_BYTES, "%s", err_text(ERR_NO_MEMORY));
    if (row->n != f->n)
        return say(why, ERR_BUG, "%.*s", bytes_str("a row that does not belong to this header"));
    put_fields(f, row);
    if (f->payload.err == ERR_TOO_LARGE)
        return say(why, ERR_TOO_LARGE, "%.*s",
                   bytes_str("the row with its column names is larger than 62 KiB"));
    TRY(f->payload.err);
    if (f->key == NO_COLUMN)
        TRY(name_by_hash(f, out->record));
    else
        TRY(name_by_key(f, row, out->record, why));
    out->payload = buf_view(&f->payload);
    if (f->at != NO_COLUMN) {
        bytes at = row->cells[f->at];
        out->has_at = infer_time(at, f->dates, &out->at_ms);
        out->bad_at = !out->has_at && at.len > 0 && !bytes_eq(at, f->na);
    }
    return ERR_OK;
}

/* ---- a row again ---- */

typedef struct {
    value_map map;
    bytes key, value;
    bool there;
} map_cursor;

static void advance(map_cursor *c)
{
    c->there = value_map_next(&c->map, &c->key, &c->value);
}

static bool is_nil(bytes v)
{
    return value_type(v) == MP_NIL;
}

/* Walks both sorted maps at once; with out == NULL it only counts. */
static uint32_t changes(map_cursor before, map_cursor now, buf *out)
{
    uint32_t n = 0;
    while (before.there || now.there) {
        int c = !before.there ? 1 : !now.there ? -1 : bytes_cmp(before.key, now.key);
        bool gone = c < 0 && !is_nil(before.value);
        bool changed = c > 0 || (c == 0 && !bytes_eq(before.value, now.value));
        if (out != NULL && (gone || changed))
            mp_put_str(out, c < 0 ? before.key : now.key);
        if (out != NULL && gone)
            mp_put_nil(out);
        else if (out != NULL && changed)
            (void)buf_add_bytes(out, now.value);
        n += gone || changed;
        if (c <= 0)
            advance(&before);
        if (c >= 0)
            advance(&now);
    }
    return n;
}

err_t infer_changes(bytes before, bytes now, buf *out, uint32_t *changed)
{
    map_cursor a = {0}, b = {0};
    if (!value_map_open(before, &a.map) || !value_map_open(now, &b.map))
        return ERR_MALFORMED;
    advance(&a);
    advance(&b);
    *changed = changes(a, b, NULL);
    if (*changed > 0) {
        mp_put_map(out, *changed);
        (void)changes(a, b, out);
    }
    return out->err;
}
