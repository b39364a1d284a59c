/* Runs one of Cairn's own programs and waits for it. */
#ifndef CAIRN_RUN_PROGRAM_H
#define CAIRN_RUN_PROGRAM_H

#include "base/buf.h"

/* args[0] is the program's name ("cairn-merge"), found beside this one; args end with NULL. What it prints on
 * standard output is appended to `out`; standard error is passed through. Returns its exit code, 127 when it could not
 * be started (said on standard error). */
int run_program(const char *const *args, buf *out);

#endif
