/* A client of one service: a DEALER socket with request ids, deadlines and repeats. All requests of
 * Cairn are idempotent, so a request without an answer is sent again (the service may have been
 * restarted meanwhile) until its deadline. The typed stubs (store/store_clnt.h …) are built on it;
 * nobody else composes requests. */
#ifndef CAIRN_CLNT_H
#define CAIRN_CLNT_H

#include "shell/bus.h"

typedef struct clnt clnt;

/* `reply` is the decoded struct of request->reply and borrows the frame for the length of the call;
 * NULL on failure, where `text` says why in words (from the service, or err_text). */
typedef void clnt_done(void *ctx, err_t e, const char *text, const void *reply);

/* `name` ("store") is borrowed for ever and names the service in errors. Borrows `b`. */
clnt *clnt_new(bus *b, const char *name, const char *endpoint);
/* The same over a DEALER that is connected already (say, with CURVE keys). Takes the socket, also on failure. */
clnt *clnt_adopt(bus *b, const char *name, void *socket);
/* Calls that still wait end with ERR_STOPPING. */
void clnt_free(clnt *c);

/* Takes a request, which clnt_pump or clnt_flush will send; `done` is called exactly once, later, from clnt_pump.
 * ERR_BUSY beyond 4096 waiting calls, or an encode error (then `done` is not called). */
err_t clnt_send(clnt *c, const msg_desc *request, const void *msg, uint32_t timeout_ms,
                clnt_done *done, void *ctx) CAIRN_CHECK;
/* Takes what has arrived, repeats and expires, and sends, all that there is in one frame: call it
 * before every wait. Returns when it wants to be called again at the latest. */
mono_ms clnt_pump(clnt *c);
/* Only sends; for those who have other work to do before they wait. */
void clnt_flush(clnt *c);
/* When it wants clnt_pump to be called though nothing arrives; far away for never. */
mono_ms clnt_due(const clnt *c);
/* The socket to poll for reading. */
void *clnt_socket(clnt *c);
size_t clnt_waiting(const clnt *c);
/* Monotonic ms of the last answer of any kind, 0 for never. */
mono_ms clnt_heard(const clnt *c);

/* For programs without a loop: sends and waits. The reply is decoded into `reply`
 * (desc->reply->size bytes) and borrows memory of `c` until its next call. `text` (may be NULL)
 * receives the words on failure. */
err_t clnt_call(clnt *c, const msg_desc *request, const void *msg, uint32_t timeout_ms, void *reply,
                buf *text) CAIRN_CHECK;

#endif
