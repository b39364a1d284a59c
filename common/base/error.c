#include "base/error.h"

#include <errno.h>
#include <stddef.h>

static const struct {
    const char *name;
    err_class class;
    const char *text;
} rows[] = {
#define ERROR(name, class, text) {#name, ERR_CLASS_##class, text},
#include "base/error.def"
#undef ERROR
};

static size_t row_of(err_t e)
{
    return (size_t)e < ERR_COUNT ? (size_t)e : (size_t)ERR_BUG;
}

const char *err_name(err_t e)
{
    return rows[row_of(e)].name;
}

const char *err_text(err_t e)
{
    return rows[row_of(e)].text;
}

err_class err_class_of(err_t e)
{
    return rows[row_of(e)].class;
}

bool err_is_transient(err_t e)
{
    return err_class_of(e) == ERR_CLASS_TRANSIENT;
}

err_t err_of_errno(int number)
{
    switch (number) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EROFS:
        return ERR_READ_ONLY;
    case EACCES:
    case EPERM:
        return ERR_FORBIDDEN;
    default:
        return ERR_IO;
    }
}
