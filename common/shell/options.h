/* Long options from a table: one row per option gives parsing and --help alike, so an undocumented option cannot exist. */
#ifndef CAIRN_OPTIONS_H
#define CAIRN_OPTIONS_H

#include <stddef.h>

#define OPTIONS_MAX 48u

typedef struct {
    const char *name, *argument, *doc; /* "peer", "HOST:PORT" (NULL: a switch), … */
} option_row;

/* Calls `take` for each option with its name and value (NULL for a switch) until that returns an exit code, -1 to go on.
 * Returns -1 when all were taken; 2 after one line on standard error for what is in no row or is no option. */
int options_parse(const char *program, const option_row *rows, size_t n, int argc, char **argv,
                  int (*take)(void *ctx, const char *name, const char *value), void *ctx);
/* The rows, for --help. */
void options_print(const option_row *rows, size_t n);

#endif
