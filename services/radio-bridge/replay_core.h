/* Which frames were heard before. Pure. bridge_files.c appends the records to a flat file and reads it at
 * its start.
 *
 * Best effort for what carries events, for those are harmless twice: a window of counters per radio, which begins anew
 * when a radio does, at a random counter. Exact for control frames, which make others send: their tags are kept for as
 * long as their key is in use, but for the oldest when there are more than REPLAY_TAGS_MAX. Ask only about frames that
 * radio_frame_open() has opened: a stranger's costs no memory. */
#ifndef CAIRN_REPLAY_CORE_H
#define CAIRN_REPLAY_CORE_H

#include "base/buf.h"
#include "pure/radio_frame.h"

#define REPLAY_RECORD_BYTES 8u

typedef struct replay replay;

/* From the file of before; what is damaged or cut there is forgotten. NULL: no memory. */
replay *replay_new(bytes file);
void replay_free(replay *r);
/* True: the frame is new, and from now on it is not. `tag` is the frame's, RADIO_TAG_BYTES. For a control frame a record
 * is appended to `out`, which goes into the file. */
bool replay_take(replay *r, const radio_header *h, const uint8_t *tag, buf *out);
/* Forgets the tags of all epochs but these two; the file is then replaced by the snapshot. */
void replay_keep(replay *r, uint8_t epoch, uint8_t other);
/* All records, at most REPLAY_TAGS_MAX; also for when the file holds twice as many. */
void replay_snapshot(const replay *r, buf *out);

#endif
