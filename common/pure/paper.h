/* The heir key as it stands on paper: 56 characters in groups of four,
 *
 *     base 32 of seed (32 bytes) ‖ the first 3 bytes of BLAKE2b-256("cairn/1 paper" ‖ seed)
 *
 * read as base32.h forgives. The checksum tells a mistyped key from one of another dataset; it protects against nobody. */
#ifndef CAIRN_PAPER_H
#define CAIRN_PAPER_H

#include "base/error.h"
#include "base/ids.h"
#include "base/limits.h"

#define PAPER_TEXT_BYTES 70u /* with blanks between the groups and a NUL */

void paper_write(char out[PAPER_TEXT_BYTES], const uint8_t seed[MEMBER_SEED_BYTES]);
/* On failure the seed is zero and `why` holds a sentence for the person who typed: ERR_INVALID it is no heir key at all ·
 * ERR_CHECKSUM mistyped or cut. */
err_t paper_read(bytes text, uint8_t seed[MEMBER_SEED_BYTES],
                 char why[ERROR_TEXT_MAX_BYTES]) CAIRN_CHECK;

#endif
