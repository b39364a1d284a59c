#include "cli/cmdline_impl.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const cmdline_option cmdline_own_options[] = {
    {.name = "help", .letter = 'h', .doc = "explain, and do nothing"},
    {.name = "version", .doc = "say which version this is"},
    {0},
};

/* ---- printing ---- */

static unsigned terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 80;
    return size.ws_col < 50 ? 50 : size.ws_col > 100 ? 100 : size.ws_col;
}

/* Takes what `out` holds. */
static int print_and_release(buf *out, FILE *to)
{
    bool ok = out->err == ERR_OK && fwrite(out->p, 1, out->len, to) == out->len;
    buf_release(out);
    return ok ? 0 : 1;
}

static int print_help(const cmdline *c, const cmdline_row *row)
{
    buf out;
    buf_init(&out, CMDLINE_TEXT_MAX_BYTES);
    if (c->family != NULL)
        cmdline_put_family(c->program, c->family, strlen(c->family), terminal_width(), &out);
    else
        cmdline_put_help(c->program, row, terminal_width(), &out);
    return print_and_release(&out, stdout);
}

/* ---- built-in commands ---- */

static const cmdline_row *row_named(const cmdline_program *program, const char *first,
                                    const char *second)
{
    char name[128];
    const cmdline_row *row;
    snprintf(name, sizeof name, "%s%s%s", first, second ? " " : "", second ? second : "");
    for (size_t i = 0; (row = cmdline_row_at(program, i)) != NULL; i++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

static int run_help(const cmdline *c)
{
    if (c->n_args == 0)
        return print_help(c, NULL);
    const cmdline_row *row = row_named(c->program, c->args[0], cmdline_arg(c, 1));
    if (row ==
        NULL) /* its words may be a mistyped name, a family, or name and arguments: the parser knows */
        return cmdline_usage(c, "there is no command \"%s%s%s\"", c->args[0],
                             c->n_args > 1 ? " " : "", c->n_args > 1 ? c->args[1] : "");
    return print_help(c, row);
}

static int run_man(const cmdline *c)
{
    buf out;
    buf_init(&out, CMDLINE_TEXT_MAX_BYTES);
    cmdline_put_man(c->program, &out);
    return print_and_release(&out, stdout);
}

static int run_completion(const cmdline *c)
{
    buf out;
    if (strcmp(c->args[0], "bash") != 0)
        return cmdline_usage(c, "only bash is known, not \"%s\"", c->args[0]);
    buf_init(&out, CMDLINE_TEXT_MAX_BYTES);
    cmdline_put_bash(c->program, &out);
    return print_and_release(&out, stdout);
}

static const cmdline_row own_rows[] = {
    {.name = "help",
     .group = "about",
     .args = "[COMMAND] [WORD]",
     .doc = "explain a command",
     .run = run_help},
    {.name = "man",
     .group = "about",
     .doc = "print the manual page; read it with: | man -l -",
     .run = run_man},
    {.name = "completion",
     .group = "about",
     .args = "SHELL",
     .doc = "print completion for bash",
     .run = run_completion},
};

const cmdline_row *cmdline_row_at(const cmdline_program *program, size_t i)
{
    if (i < program->n_rows)
        return &program->rows[i];
    i -= program->n_rows;
    return i < sizeof own_rows / sizeof *own_rows ? &own_rows[i] : NULL;
}

/* ---- what was given ---- */

static const cmdline_option *must_exist(const cmdline *c, const char *name)
{
    const cmdline_option *o = cmdline_option_of(c, name);
    assert(o != NULL);
    return o;
}

bool cmdline_has(const cmdline *c, const char *option)
{
    const cmdline_option *o = must_exist(c, option);
    for (size_t i = 0; i < c->n_given; i++)
        if (strcmp(c->given[i].option->name, o->name) == 0)
            return true;
    return false;
}

const char *cmdline_get(const cmdline *c, const char *option)
{
    const cmdline_option *o = must_exist(c, option);
    for (size_t i = c->n_given; i > 0; i--)
        if (strcmp(c->given[i - 1].option->name, o->name) == 0)
            return c->given[i - 1].text;
    return o->fallback;
}

const char *cmdline_nth(const cmdline *c, const char *option, size_t i)
{
    const cmdline_option *o = must_exist(c, option);
    for (size_t k = 0; k < c->n_given; k++)
        if (strcmp(c->given[k].option->name, o->name) == 0 && i-- == 0)
            return c->given[k].text;
    return NULL;
}

uint64_t cmdline_number(const cmdline *c, const char *option)
{
    uint64_t v = 0;
    const char *text = cmdline_get(c, option);
    bool ok = text == NULL || cmdline_read_number(text, &v);
    assert(ok); /* else the table's fallback is no number */
    return v;
}

uint64_t cmdline_duration_ms(const cmdline *c, const char *option)
{
    uint64_t ms = 0;
    const char *text = cmdline_get(c, option);
    bool ok = text == NULL || cmdline_read_duration(text, &ms);
    assert(ok);
    return ms;
}

size_t cmdline_arg_count(const cmdline *c)
{
    return c->n_args;
}

char *const *cmdline_args(const cmdline *c)
{
    return c->args;
}

const char *cmdline_arg(const cmdline *c, size_t i)
{
    return i < c->n_args ? c->args[i] : NULL;
}

int cmdline_usage(const cmdline *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = cmdline_vusage(c, fmt, ap);
    va_end(ap);
    return status;
}

/* ---- main ---- */

static int dispatch(cmdline *c, int argc, char **argv)
{
    int status = cmdline_parse(c, argc, argv);
    if (status != 0)
        return status;
    if (c->help)
        return print_help(c, c->row);
    if (c->version) {
        printf("%s %s\n", c->program->name, c->program->version);
        return 0;
    }
    return c->row->run(c);
}

int cmdline_main(const cmdline_program *program, int argc, char **argv)
{
    cmdline c = {.program = program};
    (void)setlocale(LC_CTYPE, "");
    int status = dispatch(&c, argc, argv);
    cmdline_release(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: cannot write to standard output: %s\n", program->name,
                strerror(errno));
        return status ? status : 1;
    }
    return status;
}
