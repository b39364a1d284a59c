#include "cli/cmdline_impl.h"

#include <stdio.h>
#include <string.h>

#define NAME_COLUMNS 26u /* left of the descriptions */

/* Columns on a terminal: code points, which is right for what help texts hold. */
static unsigned columns_of(const char *p, size_t n)
{
    unsigned w = 0;
    for (size_t i = 0; i < n; i++)
        w += ((unsigned char)p[i] & 0xc0) != 0x80;
    return w;
}

static void put_blanks(buf *out, unsigned n)
{
    (void)buf_addf(out, "%*s", (int)n, "");
}

/* Puts words up to `width`, further lines indented; `at` columns are taken on this line. */
static void put_wrapped(buf *out, const char *text, size_t n, unsigned at, unsigned indent,
                        unsigned width)
{
    bool first = true;
    for (size_t i = 0; i < n;) {
        size_t len = strcspn(text + i, " \n");
        if (len > n - i)
            len = n - i;
        unsigned w = columns_of(text + i, len);
        if (len > 0 && !first && at + 1 + w > width) {
            (void)buf_add_u8(out, '\n');
            put_blanks(out, indent);
            at = indent;
            first = true;
        }
        if (len > 0) {
            if (!first)
                (void)buf_add_u8(out, ' ');
            (void)buf_add(out, text + i, len);
            at += w + !first;
            first = false;
        }
        i += len + 1;
    }
    (void)buf_add_u8(out, '\n');
}

/* Paragraphs, separated by an empty line; one that begins with a blank is left as it is. */
static void put_paragraphs(buf *out, const char *text, unsigned width)
{
    for (const char *p = text; *p != '\0';) {
        const char *end = strstr(p, "\n\n");
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (*p == ' ') {
            (void)buf_add(out, p, n);
            (void)buf_add_u8(out, '\n');
        } else {
            put_wrapped(out, p, n, 0, 0, width);
        }
        (void)buf_add_u8(out, '\n');
        p += n + (end ? 2 : 0);
    }
}

/* A name and its description in two columns. */
static void put_entry(buf *out, const char *name, size_t n, const char *doc, unsigned width)
{
    unsigned w = columns_of(name, n);
    put_blanks(out, 2);
    (void)buf_add(out, name, n);
    if (w + 2 > NAME_COLUMNS - 2) {
        (void)buf_add_u8(out, '\n');
        w = 0;
        put_blanks(out, NAME_COLUMNS);
    } else {
        put_blanks(out, NAME_COLUMNS - 2 - w);
    }
    put_wrapped(out, doc, strlen(doc), NAME_COLUMNS, NAME_COLUMNS, width);
}

static void put_option(buf *out, const cmdline_option *o, unsigned width)
{
    buf name, doc;
    buf_init(&name, 256);
    buf_init(&doc, 4096);
    if (o->letter != 0)
        (void)buf_addf(&name, "-%c, --%s", o->letter, o->name);
    else
        (void)buf_addf(&name, "    --%s", o->name);
    if (cmdline_takes_value(o))
        (void)buf_addf(&name, " %s", o->arg);
    (void)buf_add_str(&doc, o->doc);
    if (o->type == OPT_LIST || o->type == OPT_ADDRESSES)
        (void)buf_add_str(&doc, "; may be given several times");
    if (o->fallback != NULL)
        (void)buf_addf(&doc, " (default: %s)", o->fallback);
    (void)buf_add_u8(&doc, 0);
    if (name.err == ERR_OK && doc.err == ERR_OK)
        put_entry(out, (const char *)name.p, name.len, (const char *)doc.p, width);
    buf_release(&name);
    buf_release(&doc);
}

static void put_options(buf *out, const char *heading, const cmdline_option *options,
                        unsigned width)
{
    if (options == NULL || options->name == NULL)
        return;
    (void)buf_addf(out, "%s\n", heading);
    for (const cmdline_option *o = options; o->name != NULL; o++)
        put_option(out, o, width);
    (void)buf_add_u8(out, '\n');
}

void cmdline_put_synopsis(const cmdline_program *program, const cmdline_row *row, buf *out)
{
    (void)buf_addf(out, "%s %s", program->name, row->name);
    if (row->args != NULL)
        (void)buf_addf(out, " %s", row->args);
    if (row->options != NULL && row->options->name != NULL)
        (void)buf_add_str(out, " [options]");
}

static void put_row(buf *out, const cmdline_row *row, unsigned width)
{
    buf name;
    buf_init(&name, 256);
    (void)buf_add_str(&name, row->name);
    put_entry(out, (const char *)name.p, name.len, row->doc, width);
    buf_release(&name);
}

/* Rows whose name begins with the word `family` (len 0: all), under their groups' headings. */
static void put_rows(const cmdline_program *program, const char *family, size_t len, unsigned width,
                     buf *out)
{
    const cmdline_row *row;
    const char *group = "";
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++) {
        bool other = len > 0 &&
                     (cmdline_first_word(row->name) != len || strncmp(row->name, family, len) != 0);
        if (row->hidden || other)
            continue;
        const char *own = row->group ? row->group : "commands";
        if (strcmp(group, own) != 0)
            (void)buf_addf(out, "%s%s\n", group[0] ? "\n" : "", own);
        group = own;
        put_row(out, row, width);
    }
    (void)buf_add_u8(out, '\n');
}

void cmdline_put_family(const cmdline_program *program, const char *family, size_t len,
                        unsigned width, buf *out)
{
    put_rows(program, family, len, width, out);
    (void)buf_addf(out, "More about one of them: %s COMMAND --help\n", program->name);
}

static void put_program_help(const cmdline_program *program, unsigned width, buf *out)
{
    (void)buf_addf(out, "%s - %s\n\nusage: %s [global options] COMMAND [options] [arguments]\n\n",
                   program->name, program->doc, program->name);
    put_rows(program, "", 0, width, out);
    put_options(out, "global options", program->options, width);
    put_options(out, "always", cmdline_own_options, width);
    (void)buf_addf(out, "More about a command: %s COMMAND --help. All of it: %s man | man -l -\n",
                   program->name, program->name);
}

static void put_row_help(const cmdline_program *program, const cmdline_row *row, unsigned width,
                         buf *out)
{
    (void)buf_add_str(out, "usage: ");
    cmdline_put_synopsis(program, row, out);
    (void)buf_addf(out, "\n\n%c%s.\n\n",
                   row->doc[0] >= 'a' && row->doc[0] <= 'z' ? row->doc[0] - 'a' + 'A' : row->doc[0],
                   row->doc + 1);
    if (row->about != NULL)
        put_paragraphs(out, row->about, width);
    put_options(out, "options", row->options, width);
    if (row->examples != NULL) {
        (void)buf_add_str(out, "examples\n");
        for (const char *p = row->examples; *p != '\0';) {
            size_t n = strcspn(p, "\n");
            (void)buf_addf(out, "  %.*s\n", (int)n, p);
            p += n + (p[n] == '\n');
        }
        (void)buf_add_u8(out, '\n');
    }
    (void)buf_addf(out, "Global options: %s --help\n", program->name);
}

void cmdline_put_help(const cmdline_program *program, const cmdline_row *row, unsigned width,
                      buf *out)
{
    if (row == NULL)
        put_program_help(program, width, out);
    else
        put_row_help(program, row, width, out);
}
