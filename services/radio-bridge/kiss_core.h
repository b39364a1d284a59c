/* KISS framing towards a modem (Chepponis & Karn 1987; RNode and MeshCore put other commands behind the same FEND).
 *
 *     FEND command escaped-data FEND
 *
 * Strict on purpose: a FEND that ends a frame does not begin the next, so what a modem babbles between two frames is never
 * taken for one. After a lost FEND two that follow each other set it right again. */
#ifndef CAIRN_KISS_CORE_H
#define CAIRN_KISS_CORE_H

#include "base/buf.h"
#include "base/limits.h"

enum { KISS_FEND = 0xc0, KISS_FESC = 0xdb, KISS_TFEND = 0xdc, KISS_TFESC = 0xdd };

typedef struct {
    bool in_frame, escape, too_long;
    size_t len; /* command included */
    uint8_t data[KISS_FRAME_MAX_BYTES];
    /* Outside of frames, to tell what is there if nothing answers. */
    uint32_t frames, printable, junk;
} kiss_reader;

void kiss_reader_init(kiss_reader *r);
/* True: data[0] is a command, the rest up to len its arguments, until the next call. Too long ones are dropped. */
bool kiss_take(kiss_reader *r, uint8_t b);
/* Appends one whole frame. */
void kiss_put(buf *out, uint8_t command, bytes data);

#endif
