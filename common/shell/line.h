/* The line to a modem: a serial device, or TCP. Bytes only; what they mean is the driver's business. */
#ifndef CAIRN_LINE_H
#define CAIRN_LINE_H

#include "base/buf.h"
#include "base/limits.h"

#define LINE_BAUD     115200u
#define LINE_TCP_PORT "7633" /* an RNode's */

/* Is it "tcp:…"? */
bool line_is_tcp(const char *where);
/* Opens "/dev/ttyACM0", raw 8N1, or "tcp:HOST[:PORT]"; waits at most LINE_CONNECT_MS. *fd does not block, close() ends it.
 * ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_BUSY (another program has it), ERR_UNREACHABLE, ERR_INVALID, ERR_IO; `why` is a
 * sentence without a full stop that says what to do. */
err_t line_open(const char *where, unsigned baud, int *fd,
                char why[ERROR_TEXT_MAX_BYTES]) CAIRN_CHECK;
/* What is there now, at most `max` bytes; 0: nothing. ERR_IO: the line has ended. */
err_t line_read(int fd, uint8_t *out, size_t max, size_t *n) CAIRN_CHECK;
/* As much as it takes now. ERR_IO: the line has ended. */
err_t line_write(int fd, bytes in, size_t *n) CAIRN_CHECK;

#endif
