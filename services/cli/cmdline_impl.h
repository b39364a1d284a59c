/* What the files of cli/cmdline.h share. Texts go into a buf, so that tests can read them. */
#ifndef CAIRN_CMDLINE_IMPL_H
#define CAIRN_CMDLINE_IMPL_H

#include "base/buf.h"
#include "cli/cmdline.h"

#include <stdarg.h>

#define CMDLINE_TEXT_MAX_BYTES (1u << 20)

typedef struct {
    const cmdline_option *option;
    const char *text; /* NULL: a flag */
} cmdline_given;

struct cmdline {
    const cmdline_program *program;
    const cmdline_row *row; /* NULL while the command is not known */
    cmdline_given *given;   /* in the order of the line */
    size_t n_given;
    char **line; /* owned copy of argv behind the command, which getopt_long puts in order */
    char **args;
    size_t n_args;
    bool help, version;
    const char *family; /* help was asked for all commands that begin with this word */
};

/* The program's rows, then the built-in ones; NULL behind the last. */
const cmdline_row *cmdline_row_at(const cmdline_program *program, size_t i);
/* The option of that name: of the row, global, or --help and --version; NULL: there is none. */
const cmdline_option *cmdline_option_of(const cmdline *c, const char *name);
extern const cmdline_option cmdline_own_options[]; /* --help, --version */

static inline bool cmdline_takes_value(const cmdline_option *o)
{
    return o->arg != NULL;
}

/* Length of the row's first word; all of a one-word name. */
size_t cmdline_first_word(const char *name);

/* Fills c->row, given, args. Returns 0, or 2 after saying what is wrong. */
int cmdline_parse(cmdline *c, int argc, char **argv);
void cmdline_release(cmdline *c);
bool cmdline_read_number(const char *text, uint64_t *out);
bool cmdline_read_duration(const char *text, uint64_t *ms);
int cmdline_vusage(const cmdline *c, const char *fmt, va_list ap);

/* ---- positional arguments ---- */
typedef struct {
    size_t min, max; /* max SIZE_MAX: any number */
} cmdline_arity;
cmdline_arity cmdline_arity_of(const char *args);
/* Appends the first required argument beyond `given`; nothing when there is none. */
void cmdline_put_missing(const char *args, size_t given, buf *out);

/* ---- did you mean ---- */
typedef struct {
    const char *typed, *best; /* best: NULL while none is near enough */
    unsigned distance;
} cmdline_near;
/* Considers a word: is it nearer, or what was begun? */
void cmdline_near_try(cmdline_near *n, const char *word);

/* ---- texts ---- */
void cmdline_put_help(const cmdline_program *program, const cmdline_row *row, unsigned width,
                      buf *out);
/* Commands that begin with the word `family`, like `member`. */
void cmdline_put_family(const cmdline_program *program, const char *family, size_t len,
                        unsigned width, buf *out);
void cmdline_put_man(const cmdline_program *program, buf *out);
void cmdline_put_bash(const cmdline_program *program, buf *out);
void cmdline_put_synopsis(const cmdline_program *program, const cmdline_row *row, buf *out);

#endif
