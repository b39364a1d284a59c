/* The command line from one table: parsing (getopt_long), --help, "did you mean", the man page and bash
 * completion are all made from the same rows, so an undocumented option cannot exist.
 *
 * Built in, beside the program's own rows: `help [COMMAND]`, `man`, `completion bash`, and the options
 * --help (-h) and
 * --version. Global options may stand before and behind the command, options between and behind the
 * arguments; `--` ends them. Wrong usage is one line on standard error with what to do, and exit code 2. */
#ifndef CAIRN_CMDLINE_H
#define CAIRN_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cmdline cmdline;

typedef enum {
    OPT_PLAIN,    /* without arg: a flag; with arg: a text, the last one given counts */
    OPT_LIST,     /* a text that may be given several times: cmdline_nth */
    OPT_NUMBER,   /* whole, from min to max (max 0: no end): cmdline_number */
    OPT_DURATION, /* 90s, 24h, 7d, 1h30m (units ms s m h d w): cmdline_duration_ms */
    OPT_CHOICE,   /* one of the words in `arg`, "field|coordinator|reader" */
    OPT_NAME,     /* cmdline_is_name, of at most max bytes */
    OPT_ADDRESS,  /* host:port */
    OPT_ADDRESSES /* the same, may be given several times */
} cmdline_type;

typedef struct {
    const char *name; /* without dashes; NULL ends an array of options */
    char letter;      /* 0: none */
    cmdline_type type;
    const char *
        arg; /* "FILE", "HOST:PORT": how help calls its value; with FILE or DIR in it, names complete */
    const char *fallback; /* value when it is not given, shown in help; NULL: none */
    const char *doc;      /* one line, begins small, no full stop */
    uint64_t min, max;    /* OPT_NUMBER, OPT_NAME */
    bool required;
} cmdline_option;

typedef struct {
    const char *name;  /* "set", or two words: "member ls" */
    const char *group; /* heading in --help; rows of a group stand together */
    const char *
        args; /* "RECORD FIELD=VALUE…", "[FORM]"; brackets: may be missing, "…" or "...": any number. NULL: none */
    const char *doc;               /* one line, begins small, no full stop */
    const char *about;             /* paragraphs, separated by an empty line; NULL: none */
    const char *examples;          /* lines; NULL: none */
    const cmdline_option *options; /* NULL: none */
    int (*run)(const cmdline *c);  /* returns the exit code */
    bool hidden;                   /* works, but stands in no list */
} cmdline_row;

typedef struct {
    const char *title, *text; /* text as `about` */
} cmdline_section;

typedef struct {
    const char *name, *version;
    const char *doc;                 /* one line */
    const char *about;               /* paragraphs */
    const cmdline_option *options;   /* global ones */
    const cmdline_section *sections; /* of the man page, the last has title NULL; NULL: none */
    const cmdline_row *rows;
    size_t n_rows;
} cmdline_program;

/* Runs what argv says; returns the exit code for main(). Also sets LC_CTYPE (and nothing else: numbers in
 * files do not depend on the user's language) and turns a standard output that could not be written into
 * exit code 1. */
int cmdline_main(const cmdline_program *program, int argc, char **argv);

/* ---- for run(); asking for an option that the row and the program do not have is a bug and aborts ---- */

/* Was it given? */
bool cmdline_has(const cmdline *c, const char *option);
/* Its value, else its fallback, else NULL. */
const char *cmdline_get(const cmdline *c, const char *option);
/* The i-th of several, NULL behind the last. */
const char *cmdline_nth(const cmdline *c, const char *option, size_t i);
/* Checked when the line was parsed; 0 when it was not given and has no fallback. */
uint64_t cmdline_number(const cmdline *c, const char *option);
uint64_t cmdline_duration_ms(const cmdline *c, const char *option);

size_t cmdline_arg_count(const cmdline *c);
char *const *cmdline_args(const cmdline *c);
const char *cmdline_arg(const cmdline *c, size_t i); /* NULL behind the last */

/* One line of text: 1 to max bytes, no control characters. */
bool cmdline_is_name(const char *text, size_t max);

/* Says on standard error what is wrong and how the command is used; returns 2. */
int cmdline_usage(const cmdline *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
