/* JSON text and FIELD=VALUE arguments to canonical msgpack. The way back is value_json() of pure/value.h,
 * whose special forms {"$bin": hex}, {"$ext": [type, hex]}, {"$float": "nan"} and {"$map": {…}} are
 * understood here: what `cairn log --json` prints can be emitted again.
 *
 * Strict (RFC 8259): a key twice in one object, NaN, Infinity, comments, \u0000, lone surrogates, text
 * behind the value and whole numbers beyond 64 bits with sign are refused; 1 stays an integer and 1.0 a
 * float; keys are sorted. */
#ifndef CAIRN_MPJSON_H
#define CAIRN_MPJSON_H

#include "base/buf.h"
#include "base/limits.h"

/* Appends one value. ERR_INVALID, ERR_TOO_DEEP (for a payload of an event) or ERR_TOO_LARGE with a sentence
 * in `why`; ERR_NO_MEMORY. After a failure `out` may hold a part. */
CAIRN_CHECK err_t mpjson_parse(bytes text, buf *out, char why[ERROR_TEXT_MAX_BYTES]);

/* Appends one map from arguments:
 *     field=text     typed like a cell of an imported table (cli/infer.h): depth=48 is a number, code=007 a
 *     text field=         the empty text
 *     field:=json    any JSON value: name:="48", ok:=true, seen:=null
 * The first '=' decides. ERR_INVALID with a sentence for an argument without '=', without field, with an
 * over-long field, bytes that are not UTF-8, or the same field twice; and what mpjson_parse says. */
CAIRN_CHECK err_t mpjson_fields(char *const *args, size_t n, buf *out,
                                char why[ERROR_TEXT_MAX_BYTES]);

#endif
