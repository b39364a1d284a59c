/* The log: what may be appended, where it lies, how it is read. Pure over store_kv: no clock, no
 * randomness, no I/O of its own; time and random bytes are passed in. The messages of
 * proto/store.def are its inputs and outputs.
 *
 * Writing: store_begin, any number of store_append / store_verdicts / store_seal … in one group,
 * store_commit. Each call of a group succeeds or fails alone and leaves no trace when it fails;
 * only a failure of the storage itself (ERR_FULL, ERR_READ_ONLY, ERR_IO, ERR_NO_MEMORY) makes the
 * rest of the group and its commit fail. What was called before a failed commit has not happened.
 * Nothing may be told to anybody before store_commit returned ERR_OK.
 *
 * Reading: between groups only. Lists in replies are raw (walk them with msg_list_next) and borrow
 * the store until its next call. Requests may be built (items) or decoded (raw).
 *
 * Every row is checked against its checksum at every read. A row that does not match is delivered
 * flagged ROW_DAMAGED, without body, and listed by store_damage until a good copy is appended. */
#ifndef CAIRN_STORE_CORE_H
#define CAIRN_STORE_CORE_H

#include "proto/msg.h"
#include "proto/row.h"
#include "store/store_kv.h"

typedef struct store_core store_core;

#define STORE_MACHINE_MAX_BYTES 64u

/* What the database is opened with. */
typedef struct {
    uint64_t inode, birth_ns; /* of the database file; 0 where unknown: not compared then */
    bytes machine; /* stable id of this host, at most STORE_MACHINE_MAX_BYTES; empty: unknown */
    uint64_t random_epoch;       /* used if a new epoch is needed; 1 to UINT64_MAX */
    uint16_t random_incarnation; /* used if the database is a copy: a multiple of 4, not 0 */
    uint16_t first_incarnation;  /* of a new, empty database: 0 at enrolment, else random */
    bool doubtful;               /* what was committed last may be missing: counts as a copy */
    uint32_t index_lag_bytes;    /* stream index held back in memory, twice; 0: the default */
} store_opening;

/* Opens (takes `kv` on success, frees it in store_close) or makes an empty store. A database whose
 * inode, birth time or machine differ from what it remembers was restored or cloned: it gets the
 * random epoch and incarnation before anything else, and hello says `copied`. ERR_FOREIGN_DB when
 * it is not a store of this version; ERR_READ_ONLY never: it then serves reads. */
err_t store_open(store_core **out, store_kv *kv, const store_opening *how) CAIRN_CHECK;
/* Without loss: what was not committed has not happened. Sets *s to NULL. */
void store_close(store_core **s);

/* ---- groups of writes ---- */
err_t store_begin(store_core *s) CAIRN_CHECK;
/* Ends the group. After a failure the store has gone back to its last commit. */
err_t store_commit(store_core *s) CAIRN_CHECK;
/* Ends the group without effect (the same as a crash before the commit). */
void store_abort(store_core *s);

/* ERR_CONFLICT: a row's (feed, seq - 1, prev) is not held. ERR_FORKED: it would make a second
 * event follow the same one, and allow_fork is not set. ERR_DAMAGED: a row may be the event of one of
 * several damaged places, and what follows it here does not tell which. ERR_INVALID: rows that no merge would send
 * (seal neither empty nor 64 bytes, head that does not parse …). */
err_t store_append(store_core *s, const append_request *req, wall_ms now,
                   append_reply *out) CAIRN_CHECK;
/* ERR_NOT_FOUND when an offset is no event's. */
err_t store_verdicts(store_core *s, const verdict_request *req, wall_ms now) CAIRN_CHECK;
/* ERR_NOT_FOUND when the event is not held. A second seal for one event is ignored. */
err_t store_seal(store_core *s, const seal_request *req) CAIRN_CHECK;
err_t store_incarnation(store_core *s, const incarnation_request *req) CAIRN_CHECK;
/* Hides the event at `offset`, or shows it again, and appends a changed row; no-op when it is so already.
 * What is hidden goes into no run any more, and its tail leaves by store_tails, or with at_once in this
 * group. ERR_NOT_FOUND when there is no event, ERR_DAMAGED when its body is. */
err_t store_erase(store_core *s, const erase_request *req, wall_ms now) CAIRN_CHECK;

/* ---- reads ---- */
err_t store_hello(store_core *s, store_hello_reply *out) CAIRN_CHECK;
/* Never waits: wait_ms is the shell's business. ERR_EPOCH as in store.def. */
err_t store_fetch(store_core *s, const fetch_request *req, rows_reply *out) CAIRN_CHECK;
err_t store_read_feed(store_core *s, const read_feed_request *req, rows_reply *out) CAIRN_CHECK;
err_t store_read_stream(store_core *s, const read_stream_request *req, rows_reply *out) CAIRN_CHECK;
err_t store_scan(store_core *s, const scan_request *req, scan_reply *out) CAIRN_CHECK;
err_t store_tips(store_core *s, tips_reply *out) CAIRN_CHECK;
/* The run may lead beyond `tip` when its seal lies further on (rules.md 8). ERR_NOT_FOUND as in
 * store.def; ERR_DAMAGED when the first sealed stretch holds a damaged row. */
err_t store_run(store_core *s, const run_request *req, run_reply *out) CAIRN_CHECK;
err_t store_locate(store_core *s, const locate_request *req, locate_reply *out) CAIRN_CHECK;
err_t store_idem(store_core *s, const idem_request *req, idem_reply *out) CAIRN_CHECK;
err_t store_damage(store_core *s, damage_reply *out) CAIRN_CHECK;
uint64_t store_head(const store_core *s); /* newest offset, 0 when empty */

/* ---- background work, between groups ---- */
typedef struct {
    uint64_t rows;       /* looked at in this call */
    uint64_t damaged;    /* found in this call */
    bool pass_ended;     /* the scrub has come to the head and begins anew at its next call */
    uint64_t bad_offset; /* of the first row found damaged, else 0 */
} store_scrubbed;

/* Checks up to `rows` further rows: checksum, id from the previous id and the body, and that the
 * indexes know it. Remembers across restarts how far it came. Also drops idempotency keys older than
 * IDEM_KEEP_MS, up to `rows` looked at. */
err_t store_scrub(store_core *s, uint32_t rows, wall_ms now, store_scrubbed *out) CAIRN_CHECK;
/* Brings up to `streams` held-back index entries to the disk; true while there are more. A store
 * that is tended when idle starts at once; one that never is stays correct. */
bool store_tend(store_core *s, uint32_t streams);
/* Drops the tails that are due, each with a changed row; *gone is how many. Call only with a clock that
 * can be believed: the time from hiding to dropping begins at the first call after hiding. */
err_t store_tails(store_core *s, wall_ms now, uint32_t *gone) CAIRN_CHECK;
/* Once tails were dropped: overwrites what remains of them in the file, some pages a call, until *more is
 * false. ERR_BUSY and ERR_DAMAGED as in kv_wipe. */
err_t store_wipe(store_core *s, uint32_t pages, bool *more) CAIRN_CHECK;
bool store_has_undated(const store_core *s); /* something was hidden since that was called last */
bool store_has_remains(const store_core *s);
/* A small write, to find out whether a full or failing disk has recovered. Its result is also the
 * state that hello gives. */
err_t store_probe(store_core *s) CAIRN_CHECK;

#endif
