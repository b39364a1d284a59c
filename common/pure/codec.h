/* The radio codec: runs of event bodies, coded with the preceding bodies of the same feed as history (design section 6).
 * A binary arithmetic coder (Witten, Neal, Cleary 1987) on the predictions of codec_model.h. The receiver of a run must
 * hold that history anyway, since chains have no gaps; so nothing is negotiated and no dictionary is sent.
 *
 * A codec stands behind a sequence of bodies that were fed, encoded or decoded; two that stand behind the same sequence
 * are equal, byte for byte, on every machine. Before the model sees them, floats of 64 bits are replaced by their
 * shortest decimal text (0xc1, length, text) where that reads back to the same bits.
 *
 * Integers only, bounded memory (about 4.7 MB each), no I/O. The meaning of coded bytes is fixed for ever by
 * proto/vectors/codec.json; a model that predicts otherwise is another codec number. Coded bytes are no proof of
 * anything: whoever decodes checks chain and seal of what comes out, and keeps a copy until then. */
#ifndef CAIRN_CODEC_H
#define CAIRN_CODEC_H

#include "base/buf.h"

#define RUN_CODEC_RADIO 1u

typedef struct codec codec;

/* Stands behind no body at all. NULL when out of memory. */
codec *codec_new(void);
void codec_free(codec *c);
void codec_reset(codec *c);
/* Makes `to` equal to `from`. */
void codec_copy(codec *to, const codec *from);

/* Takes one body that passed the gate. ERR_MALFORMED when it is no single msgpack array; only codec_reset or codec_copy
 * then mends `c`. */
err_t codec_feed(codec *c, bytes body) CAIRN_CHECK;

/* Appends the code of `n` bodies, each of which passed the gate, and stands behind them. Errors as codec_feed, or the
 * buf's. The end of the code is not marked: its length travels beside it. */
err_t codec_encode(codec *c, const bytes *bodies, size_t n, buf *out) CAIRN_CHECK;

/* Appends `n` bodies to `out` and the end of each, as its distance from where `out` ended before,
 * to ends[0..n-1]. Never produces more than max_bytes, whatever the bytes. ERR_MALFORMED when they
 * are not the code of n arrays, whole and nothing behind it, ERR_TOO_LARGE beyond max_bytes in all,
 * or the buf's error; `c` then has to be mended as above. */
err_t codec_decode(codec *c, bytes in, size_t n, size_t max_bytes, buf *out,
                   size_t *ends) CAIRN_CHECK;

#endif
