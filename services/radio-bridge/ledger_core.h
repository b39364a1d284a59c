/* The airtime ledger: may this frame be sent now, and if not, when. Pure: bridge_files.c keeps the
 * records in a file.
 *
 * A frame is charged, and its record is on disk, before the modem gets it; it counts from then until an hour after the
 * modem said that it was sent. So whenever between the two the modem really sends it, no hour holds more than the law
 * allows: of the frames of any hour the last one was charged when all others counted. 47 CFR 15.247(a)(1)(i) allows
 * 0.4 s in 20 s; the same holds for that window.
 *
 * Time is the monotonic clock of this boot, which nobody can set. Only records of an earlier boot need a clock on the
 * wall, and only one that is vouched for at both ends; without, all that is recorded counts as spent now. A record that
 * cannot be read may be that of a frame which the modem still has: all bands are full until ledger_end() and for an hour
 * from then. Only a cut one at the end is nothing, for what it charges was never sent. */
#ifndef CAIRN_LEDGER_CORE_H
#define CAIRN_LEDGER_CORE_H

#include "base/buf.h"
#include "base/ids.h"
#include "pure/radio_plan.h"

#define LEDGER_RECORD_BYTES 56u

typedef struct {
    uint64_t boot; /* names this boot; monotonic times of two boots do not compare */
    mono_ms mono;
    wall_ms wall; /* 0: unset, or not known to be right within LEDGER_WALL_ERROR_MS */
} ledger_now;

typedef struct ledger ledger;

/* From the file of before, read whole; empty: there was none. A frame that was under way still is, until ledger_end(),
 * which is to be said as soon as the modem holds nothing, whatever there was.
 * The file is then to be replaced by ledger_snapshot(), in one step, before the first charge. NULL: no memory. */
ledger *ledger_new(bytes file, const ledger_now *now);
void ledger_free(ledger *l);
/* Records of all that still counts; for the beginning, and when the file has grown beyond LEDGER_FILE_MAX_BYTES. */
void ledger_snapshot(const ledger *l, const ledger_now *now, buf *out);

/* May a frame of that airtime go out now? `band` is one of radio_bands. ERR_OK; ERR_BUSY: not before *earliest
 * (0: not before the frame under way has ended);
 * ERR_TOO_LARGE: never, it is more than the band's whole allowance. */
err_t ledger_may(const ledger *l, const radio_band *band, uint64_t airtime_us,
                 const ledger_now *now, mono_ms *earliest) CAIRN_CHECK;
/* As ledger_may(), and then charges it and appends a record to `out`: write and sync it, then send. One frame at a time;
 * ERR_BUSY without an earliest time (0) while one is under way. */
err_t ledger_charge(ledger *l, const radio_band *band, uint64_t airtime_us, const ledger_now *now,
                    mono_ms *earliest, buf *out) CAIRN_CHECK;
/* The modem has sent it, or never will because it was reset or switched off; appends a record, which needs no sync.
 * Nothing under way: nothing is done. */
void ledger_end(ledger *l, const ledger_now *now, buf *out);

/* What counts in that band now, of the hour. */
uint64_t ledger_spent_us(const ledger *l, const radio_band *band, const ledger_now *now);

/* All that counts, band by band, the oldest first: what ended within one second, at least `age_ms` ago, and what is under
 * way. */
typedef void ledger_tell(void *context, const radio_band *band, uint64_t age_ms,
                         uint64_t airtime_us, bool flying);
void ledger_list(const ledger *l, const ledger_now *now, ledger_tell *tell, void *context);

#endif
