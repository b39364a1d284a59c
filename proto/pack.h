/* How messages lie in a ZeroMQ frame: one or more of them, each
 *
 *     length of what follows, u32 big-endian · envelope · body
 *
 * Whatever one turn of a process has for one peer goes out as one frame: for many small messages the
 * costs of ZeroMQ are per frame, not per byte. */
#ifndef CAIRN_PACK_H
#define CAIRN_PACK_H

#include "proto/msg.h"

/* Room for the length and an envelope. */
#define PACK_HEAD_MAX_BYTES  64u
#define PACK_FRAME_MAX_BYTES (MESSAGE_MAX_BYTES + PACK_HEAD_MAX_BYTES)

/* Appends the head of a message; its body is to be appended next, then pack_end. Returns where it
 * begins. */
size_t pack_begin(buf *out, const msg_envelope *e);
/* Closes the message that began at `at`. When anything failed since, the message is taken out again,
 * `out` is usable, and the error is returned. */
err_t pack_end(buf *out, size_t at) CAIRN_CHECK;

/* Whether the lengths of a received frame add up to 1 to PACK_MAX_MESSAGES messages. */
err_t pack_check(bytes frame) CAIRN_CHECK;
/* Takes the next message of a frame that pack_check has passed; ERR_NOT_FOUND at its end, or what is
 * wrong with the envelope. `body` borrows the frame. */
err_t pack_take(bytes *rest, msg_envelope *e, bytes *body) CAIRN_CHECK;

#endif
