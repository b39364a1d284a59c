/* One list of errors for all of Cairn: error.def. Functions that can fail return err_t. */
#ifndef CAIRN_ERROR_H
#define CAIRN_ERROR_H

#include <stdbool.h>

typedef enum {
#define ERROR(name, class, text) ERR_##name,
#include "base/error.def"
#undef ERROR
    ERR_COUNT
} err_code;

/* Who has to do something about it; retry policy reads the class, not the call site. */
typedef enum {
    ERR_CLASS_PEER,
    ERR_CLASS_LOCAL,
    ERR_CLASS_TRANSIENT,
    ERR_CLASS_ENV,
    ERR_CLASS_BUG
} err_class;

/* ERR_OK is 0. The attribute makes a forgotten check a compile error. */
#define CAIRN_CHECK __attribute__((warn_unused_result))
typedef err_code err_t;

const char *err_name(err_t e); /* "BAD_SEAL"; never NULL */
const char *err_text(err_t e); /* a sentence for people; never NULL */
err_class err_class_of(err_t e);
bool err_is_transient(err_t e); /* worth trying again without change */
/* What an errno of a file operation means: NOT_FOUND, FULL, READ_ONLY, FORBIDDEN, else IO. */
err_t err_of_errno(int number);

/* Returns on the first failure: TRY(x) for functions that own nothing yet. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        err_t try_e_ = (expr);                                                                     \
        if (try_e_ != ERR_OK)                                                                      \
            return try_e_;                                                                         \
    } while (0)

#endif
