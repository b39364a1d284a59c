/* From rows of the log to rows of the view: gathers one stream, folds it as a whole (fine print 18, 19: a refold is the
 * plain fold of everything, so it cannot differ from a rebuild) and puts the result. */
#ifndef CAIRN_FOLD_STREAM_H
#define CAIRN_FOLD_STREAM_H

#include "projection/forks.h"
#include "projection/people.h"
#include "projection/view_db.h"
#include "proto/event.h"
#include "proto/msg.h"
#include "proto/row.h"

/* A row as it came, and what its body says. Both borrow the frame it came in. */
typedef struct {
    stored_row row;
    event_view view; /* meaningful when `understood` */
    bool understood; /* neither damaged, nor opaque, nor a changed row */
} held_row;

/* Fills *out from the next row of a list; false at its end. */
bool held_next(msg_list *rows, held_row *out);

/* Rows that outlive their frame: of a stream that does not fit into one answer. */
typedef struct {
    held_row *at;
    uint32_t n, room;
    arena bodies;
} kept_rows;
void kept_init(kept_rows *k);
void kept_release(kept_rows *k);
void kept_clear(kept_rows *k);
err_t kept_add(kept_rows *k, const held_row *row) CAIRN_CHECK;

typedef struct fold_stream fold_stream;
/* Borrows both for ever. NULL: out of memory. */
fold_stream *fold_stream_new(const forks *f, const people *p);
void fold_stream_free(fold_stream **f);

/* One stream: start, add each row in any order (borrowed until the end), then put. */
void fold_stream_start(fold_stream *f);
err_t fold_stream_add(fold_stream *f, const held_row *row) CAIRN_CHECK;
/* Into the view, by what the category says: a record, the columns of a form (category cairn, stream form/FORM), or
 * nothing. */
err_t fold_stream_put(fold_stream *f, view_db *db, bytes category, bytes stream) CAIRN_CHECK;

#endif
