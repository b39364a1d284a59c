/* Options of the services: config.def. Precedence: command line > environment > file > default. In the environment
 * CAIRN_<SECTION>_<NAME> holds the value, or CAIRN_<SECTION>_<NAME>_FILE names a file that does, for secrets. */
#ifndef CAIRN_CONFIG_H
#define CAIRN_CONFIG_H

#include "base/buf.h"

typedef enum { CONFIG_INT, CONFIG_BOOL, CONFIG_STR } config_type;
typedef struct {
    const char *section, *name;
    config_type type;
    const char *fallback;
    long min, max; /* of INT */
    const char *doc;
} config_row;

extern const config_row config_rows[];
extern const size_t config_rows_count;

typedef struct config config;

/* Reads `path` (a file that does not exist is an empty one) and the environment. On failure returns
 * NULL and puts one line into `why` that names file, line and what is wrong. */
config *config_load(const char *path, buf *why);
void config_free(config *c);
/* Overrides one value, as a command line option does. ERR_NOT_FOUND, or ERR_INVALID with a line in
 * `why`. */
err_t config_set(config *c, const char *section, const char *name, const char *value,
                 buf *why) CAIRN_CHECK;
/* The row must exist with that type: a wrong name is a bug. Strings are borrowed from `c`. */
long config_int(const config *c, const char *section, const char *name);
bool config_bool(const config *c, const char *section, const char *name);
const char *config_str(const config *c, const char *section, const char *name);
/* Where the value comes from: "default", "file", "CAIRN_…", "CAIRN_…_FILE", "command line". Borrowed. */
const char *config_origin(const config *c, size_t row);
const char *config_value_text(const config *c, size_t row);
/* Appends an example file made from the rows. */
void config_example(buf *out);

#endif
