/* The man page in man(7) macros, from the same rows as --help. */
#include "cli/cmdline_impl.h"

#include <string.h>

/* Text in which nothing is a macro: backslashes, hyphens that are to be copied, dots at the start of lines.
 * */
static void put_text(buf *out, const char *p, size_t n)
{
    bool at_start = out->len == 0 || out->p[out->len - 1] == '\n';
    for (size_t i = 0; i < n; i++) {
        if (at_start && (p[i] == '.' || p[i] == '\''))
            (void)buf_add_str(out, "\\&");
        if (p[i] == '\\')
            (void)buf_add_str(out, "\\e");
        else if (p[i] == '-')
            (void)buf_add_str(out, "\\-");
        else if (p[i] == '"')
            (void)buf_add_str(out, "\\(dq"); /* also within the quotes of a macro's argument */
        else
            (void)buf_add_u8(out, (uint8_t)p[i]);
        at_start = p[i] == '\n';
    }
}

static void put_str(buf *out, const char *s)
{
    put_text(out, s, strlen(s));
}

static void put_heading(buf *out, const char *macro, const char *text)
{
    (void)buf_addf(out, "%s \"", macro);
    put_str(out, text);
    (void)buf_add_str(out, "\"\n");
}

static void put_paragraphs(buf *out, const char *text)
{
    for (const char *p = text; *p != '\0';) {
        const char *end = strstr(p, "\n\n");
        size_t n = end ? (size_t)(end - p) : strlen(p);
        bool as_is = *p == ' ';
        (void)buf_add_str(out, as_is ? ".PP\n.nf\n" : ".PP\n");
        put_text(out, p, n);
        (void)buf_add_str(out, as_is ? "\n.fi\n" : "\n");
        p += n + (end ? 2 : 0);
    }
}

static void put_options(buf *out, const cmdline_option *options)
{
    for (const cmdline_option *o = options; o != NULL && o->name != NULL; o++) {
        (void)buf_add_str(out, ".TP\n");
        if (o->letter != 0)
            (void)buf_addf(out, "\\fB\\-%c\\fR, ", o->letter);
        (void)buf_add_str(out, "\\fB\\-\\-");
        put_str(out, o->name);
        (void)buf_add_str(out, "\\fR");
        if (cmdline_takes_value(o)) {
            (void)buf_add_str(out, " \\fI");
            put_str(out, o->arg);
            (void)buf_add_str(out, "\\fR");
        }
        (void)buf_add_u8(out, '\n');
        put_str(out, o->doc);
        if (o->type == OPT_LIST || o->type == OPT_ADDRESSES)
            (void)buf_add_str(out, "; may be given several times");
        if (o->fallback != NULL) {
            (void)buf_add_str(out, " (default: ");
            put_str(out, o->fallback);
            (void)buf_add_u8(out, ')');
        }
        (void)buf_add_str(out, ".\n");
    }
}

static void put_row(buf *out, const cmdline_program *program, const cmdline_row *row)
{
    buf synopsis;
    buf_init(&synopsis, 4096);
    cmdline_put_synopsis(program, row, &synopsis);
    (void)buf_add_u8(&synopsis, 0);
    if (synopsis.err == ERR_OK)
        put_heading(out, ".SS", (const char *)synopsis.p);
    buf_release(&synopsis);
    char first = row->doc[0];
    (void)buf_add_u8(out, (uint8_t)(first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first));
    put_str(out, row->doc + 1);
    (void)buf_add_str(out, ".\n");
    if (row->about != NULL)
        put_paragraphs(out, row->about);
    put_options(out, row->options);
    if (row->examples != NULL) {
        (void)buf_add_str(out, ".PP\n.nf\n");
        put_str(out, row->examples);
        (void)buf_add_str(out, "\n.fi\n");
    }
}

static void put_front(buf *out, const cmdline_program *program)
{
    (void)buf_add_str(out, ".TH \"");
    for (const char *p = program->name; *p != '\0'; p++)
        (void)buf_add_u8(out, (uint8_t)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p));
    (void)buf_addf(out, "\" 1 \"\" \"%s %s\" \"User commands\"\n.SH NAME\n%s \\- ", program->name,
                   program->version, program->name);
    put_str(out, program->doc);
    (void)buf_addf(
        out, "\n.SH SYNOPSIS\n.B %s\n[global options] \\fICOMMAND\\fR [options] [arguments]\n",
        program->name);
    if (program->about != NULL) {
        (void)buf_add_str(out, ".SH DESCRIPTION\n");
        put_paragraphs(out, program->about);
    }
}

void cmdline_put_man(const cmdline_program *program, buf *out)
{
    const cmdline_row *row;
    put_front(out, program);
    (void)buf_add_str(out, ".SH COMMANDS\n");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++)
        if (!row->hidden)
            put_row(out, program, row);
    (void)buf_add_str(out, ".SH \"GLOBAL OPTIONS\"\n");
    put_options(out, program->options);
    put_options(out, cmdline_own_options);
    (void)buf_add_str(out, ".SH \"EXIT STATUS\"\n.TP\n0\ndone.\n.TP\n1\na negative answer, or a "
                           "failure, which standard "
                           "error explains.\n.TP\n2\nwrong usage.\n");
    for (const cmdline_section *s = program->sections; s != NULL && s->title != NULL; s++) {
        put_heading(out, ".SH", s->title);
        put_paragraphs(out, s->text);
    }
}
