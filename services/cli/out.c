#include "cli/out.h"

#include "base/ids.h"
#include "pure/value.h"
#include "shell/clock.h"

#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- JSON ---- */

void out_open(buf *b)
{
    buf_clear(b);
    buf_add_str(b, "{\"v\":1");
}

static void name_member(buf *b, const char *name)
{
    uint8_t last = b->len > 0 ? b->p[b->len - 1] : '{';
    if (last != '{' && last != '[')
        buf_add_u8(b, ',');
    if (name == NULL)
        return;
    value_json_str(b, bytes_str(name));
    buf_add_u8(b, ':');
}

void out_str(buf *b, const char *name, bytes text)
{
    name_member(b, name);
    value_json_str(b, text);
}

void out_cstr(buf *b, const char *name, const char *text)
{
    out_str(b, name, bytes_str(text));
}

void out_u64(buf *b, const char *name, uint64_t v)
{
    name_member(b, name);
    buf_addf(b, "%llu", (unsigned long long)v);
}

void out_bool(buf *b, const char *name, bool v)
{
    name_member(b, name);
    buf_add_str(b, v ? "true" : "false");
}

void out_null(buf *b, const char *name)
{
    name_member(b, name);
    buf_add_str(b, "null");
}

void out_hex(buf *b, const char *name, const void *p, size_t len)
{
    char hex[2 * SEAL_BYTES + 1];
    hex_encode(hex, p, len < SEAL_BYTES ? len : SEAL_BYTES);
    out_cstr(b, name, hex);
}

void out_value(buf *b, const char *name, bytes msgpack)
{
    size_t before = b->len;
    if (msgpack.len == 0) {
        out_null(b, name);
        return;
    }
    name_member(b, name);
    if (value_json(b, msgpack) == ERR_OK)
        return;
    b->len = before;
    out_null(b, name);
}

void out_time(buf *b, const char *name, uint64_t ms)
{
    char text[32];
    if (ms == 0) {
        out_null(b, name);
        return;
    }
    clock_text(text, ms, true);
    text[10] = 'T';
    name_member(b, name);
    buf_addf(b, "\"%s.%03uZ\"", text, (unsigned)(ms % 1000));
}

void out_begin(buf *b, const char *name, char bracket)
{
    name_member(b, name);
    buf_add_u8(b, (uint8_t)bracket);
}

void out_end(buf *b, char bracket)
{
    buf_add_u8(b, (uint8_t)bracket);
}

bool out_close(buf *b)
{
    buf_add_str(b, "}\n");
    bool ok = b->err == ERR_OK && fwrite(b->p, 1, b->len, stdout) == b->len && fflush(stdout) == 0;
    buf_clear(b);
    return ok;
}

/* ---- tables ---- */

struct out_table {
    struct libscols_table *table;
};

out_table *out_table_new(const char *const *columns)
{
    out_table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    scols_init_debug(0);
    t->table = scols_new_table();
    if (t->table == NULL) {
        free(t);
        return NULL;
    }
    for (; *columns != NULL; columns++) {
        bool right = **columns == '>';
        (void)scols_table_new_column(t->table, *columns + right, 0, right ? SCOLS_FL_RIGHT : 0);
    }
    return t;
}

void out_table_row(out_table *t, const char *const *cells)
{
    struct libscols_line *line = t != NULL ? scols_table_new_line(t->table, NULL) : NULL;
    for (size_t i = 0; line != NULL && cells[i] != NULL; i++)
        (void)scols_line_set_data(line, i, cells[i]);
}

void out_table_print(out_table *t)
{
    if (t == NULL)
        return;
    if (scols_table_get_nlines(t->table) > 0)
        (void)scols_print_table(t->table);
    scols_unref_table(t->table);
    free(t);
    (void)fflush(stdout);
}

/* ---- words ---- */

void out_ago(char out[32], uint64_t ms, uint64_t now_ms)
{
    char span[16];
    if (ms == 0) {
        snprintf(out, 32, "never");
        return;
    }
    clock_span_text(span, now_ms > ms ? now_ms - ms : 0);
    snprintf(out, 32, "%s ago", span);
}

void out_short(char *out, size_t max, bytes msgpack)
{
    bytes text;
    buf json;
    buf_init(&json, 4 * EVENT_MAX_BYTES);
    if (!value_str(msgpack, &text))
        text = value_json(&json, msgpack) == ERR_OK ? buf_view(&json) : bytes_str("-");
    size_t n = text.len < max ? text.len : max - 4;
    while (n > 0 && n < text.len &&
           (text.p[n] & 0xc0) == 0x80) /* not in the middle of a character */
        n--;
    snprintf(out, max, "%.*s%s", (int)n, (const char *)text.p, n < text.len ? "\xe2\x80\xa6" : "");
    for (char *c = out; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    buf_release(&json);
}

void out_ref(char out[OUT_REF_BYTES], uint32_t feed, uint64_t seq)
{
    char name[FEED_TEXT_BYTES];
    feed_text(name, feed);
    snprintf(out, OUT_REF_BYTES, "%s-%llu", name, (unsigned long long)seq);
}

bool out_ref_read(const char *text, uint32_t *feed, uint64_t *seq)
{
    char expected[OUT_REF_BYTES];
    unsigned member = 0, incarnation = 0;
    const char *dash = strrchr(text, '-');
    if (dash == NULL || (sscanf(text, "%u+%x", &member, &incarnation) < 1) || member > UINT16_MAX ||
        incarnation > UINT16_MAX)
        return false;
    *seq = strtoull(dash + 1, NULL, 10);
    for (unsigned class = 0; class < 3; class ++) {
        *feed = feed_make((uint16_t)incarnation, (feed_class) class, (member_no)member);
        out_ref(expected, *feed, *seq);
        if (*seq != 0 && strcmp(expected, text) == 0)
            return true;
    }
    return false;
}

void out_ref_full(char out[OUT_REF_BYTES], uint32_t feed, uint64_t seq, uint16_t prefix)
{
    snprintf(out, OUT_REF_BYTES, "%u:%llu:%04x", feed, (unsigned long long)seq, prefix);
}

bool out_ref_parse(const char *text, uint32_t *feed, uint64_t *seq, uint16_t *prefix)
{
    unsigned f, p;
    unsigned long long s;
    int used = 0;
    if (sscanf(text, "%u:%llu:%4x%n", &f, &s, &p, &used) != 3 || text[used] != '\0' || s == 0)
        return false;
    *feed = f;
    *seq = s;
    *prefix = (uint16_t)p;
    return true;
}
