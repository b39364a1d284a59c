/* merge without sockets: stamps, chains and seals local events, admits remote runs, keeps the roster, the frontier
 * and the refusals. Time and randomness are parameters. What it has to read it reads through merge_io; what has to be
 * written it puts into a merge_batch, which the shell hands to the store and then reports back. Nothing counts as
 * written, and nothing is shown in the frontier, before merge_core_committed. */
#ifndef CAIRN_MERGE_CORE_H
#define CAIRN_MERGE_CORE_H

#include "proto/msg.h"
#include "pure/crypto.h"
#include "pure/frontier.h"
#include "pure/hlc.h"
#include "pure/roster.h"

typedef struct merge_core merge_core;

#define MERGE_FOUNDER_KEYS 2u /* the one in force, and one that is to follow it */
#define MERGE_SLOTS        4u /* chains that a node writes: its three classes, and the founder's */

/* Who this node is: HOME/merge. */
typedef struct {
    dataset_id dataset;
    member_no self; /* 0 while not enrolled */
    crypto_signer signer;
    crypto_signer founder[MERGE_FOUNDER_KEYS]; /* successors' keys made here, the newest last */
    unsigned n_founder;
    char name[NAME_MAX_BYTES + 1];
    buf genesis; /* run with the founder's first event, put into an empty store */
} merge_identity;

/* Synchronous reads and rare writes of the store. Rows and views borrow until the callback returns. Any error is
 * passed on to who asked; ERR_TIMEOUT and friends mean "try again later". */
typedef struct {
    void *ctx;
    /* Events held at (feed, seq): number of ids written to `out` (at most `max`). */
    err_t (*locate)(void *ctx, feed_id feed, uint64_t seq, place_row *out, size_t max, size_t *n);
    /* Rows of a feed from..to in order of seq; stops early when `each` returns false. */
    err_t (*read_feed)(void *ctx, feed_id feed, uint64_t from, uint64_t to,
                       bool (*each)(void *arg, const stored_row *row), void *arg);
    /* Rows of a category, or of one of the store's own lists ("/erase", "/tailless"), by arrival. */
    err_t (*read_category)(void *ctx, const char *category,
                           bool (*each)(void *arg, const stored_row *row), void *arg);
    err_t (*tips)(void *ctx, bool (*each)(void *arg, const tip_row *row), void *arg);
    err_t (*verdicts)(void *ctx, const verdict_row *rows, size_t n);
    err_t (*seal)(void *ctx, const seal_request *seal);
    err_t (*incarnation)(void *ctx, uint16_t incarnation);
    err_t (*erase)(void *ctx, const erase_request *erase);
} merge_io;

/* Takes copies of `identity` (its genesis too) and `io`. `seed` salts hash tables. NULL when out of memory. */
merge_core *merge_core_new(const merge_identity *identity, const merge_io *io, wall_ms built,
                           uint64_t seed);
void merge_core_free(merge_core *c);

/* Reads clock, tips and roster: at start, and again after any failed append. */
err_t merge_core_load(merge_core *c, const store_hello_reply *hello) CAIRN_CHECK;

/* ---- batches ---- */
typedef struct {
    append_row *rows;
    struct {
        size_t at, len;                 /* of the body in `bodies` */
        uint32_t stream_at, stream_len; /* of the stream's name in the body, of local events */
        uint32_t seal;                  /* 1 + index in `seals`, 0 for none */
    } * parts;
    size_t n;
    buf bodies;
    seal_sig *seals;
    size_t n_seals;
    uint64_t
        unsealed[MERGE_SLOTS]; /* index + 1 of each local chain's newest row that has no seal yet */
    bool local;                /* own events; else an admitted run, or one by the heir's key */
    bool fork;                 /* makes or extends a branch */
    member_key author;         /* unless it is local */
    bool roster;             /* has events of the roster: nothing is judged until they are folded */
    bool erasures, tailless; /* has events of kind event.erase; events without their tails */
    bool mends; /* repeats events that are held, and perhaps damaged: they are judged anew */
    hlc_stamp clock;
} merge_batch;

err_t merge_batch_init(merge_batch *b) CAIRN_CHECK;
void merge_batch_release(merge_batch *b);
void merge_batch_clear(merge_batch *b);
/* Fills `out` (borrowing the batch) but for its idem rows. For local batches the newest events are sealed first. */
err_t merge_core_close(merge_core *c, merge_batch *b, append_request *out) CAIRN_CHECK;
/* The store has committed the batch: tips, frontier, roster and verdicts follow. Errors come from merge_io: load again. */
err_t merge_core_committed(merge_core *c, const merge_batch *b) CAIRN_CHECK;

/* ---- local events ---- */
/* Adds the events of a request to the batch, all or none; *first is the index of the first row. `salt` is random and
 * may be the same for a whole batch.
 * ERR_NOT_READY (not enrolled or roster unknown), ERR_FORBIDDEN (reader, removed, reserved stream), ERR_BUSY (the
 * batch is full: close it first), for an event.erase also ERR_NOT_FOUND and ERR_INVALID, or event_build's errors; `why`
 * gets words. */
err_t merge_core_emit(merge_core *c, wall_ms now, uint32_t salt, const emit_request *in,
                      merge_batch *b, size_t *first, buf *why) CAIRN_CHECK;
/* Might the founder's key of a successor, held here, write some of that (erasures)? Then nothing may be in flight when it is
 * emitted. */
bool merge_core_needs_founder(const merge_core *c, const emit_request *in);
/* The same for the roster's own events, made here from the wish of a person. On ERR_EXISTS (same key) *number is the
 * number it has. */
err_t merge_core_member_add(merge_core *c, wall_ms now, const member_add_request *in,
                            merge_batch *b, member_no *number, buf *why) CAIRN_CHECK;
err_t merge_core_member_remove(merge_core *c, wall_ms now, member_no number, merge_batch *b,
                               buf *why) CAIRN_CHECK;

/* Adds again, number, key, name, role and ranges as they were, whoever of that number lost who had added it. ERR_EXISTS:
 * nobody did. */
err_t merge_core_member_readd(merge_core *c, wall_ms now, member_no number, merge_batch *b,
                              buf *why) CAIRN_CHECK;

/* ---- the heir's key ----
 * A successor's rights belong to his key, made on a member's machine and held there beside the member's own
 * (merge_identity.founder). With it, what founders alone may do is written as number 1, into feeds of incarnations that
 * follow from the key; what people write goes on under the member's own number and key. */
/* What that key could do; heads into `rows`. ERR_TOO_LARGE: more than `max`. */
err_t merge_core_heir(merge_core *c, const heir_request *in, heir_head_row *rows, size_t max,
                      heir_reply *out, buf *why) CAIRN_CHECK;
/* Whether the request can be carried out. ERR_EXISTS: it was, by this node; ERR_INVALID (no heir's key), ERR_USED,
 * ERR_FORBIDDEN (on the founder's own machine). */
err_t merge_core_may_replace(const merge_core *c, const founder_replace_request *in,
                             buf *why) CAIRN_CHECK;
/* An empty batch gets founder.replace, sealed by the heir, naming `successor`. The same errors, and ERR_NOT_FOUND: a head
 * is not held, or not by a key that is replaced. */
err_t merge_core_founder_replace(merge_core *c, wall_ms now, const founder_replace_request *in,
                                 const member_key *successor, merge_batch *b, buf *why) CAIRN_CHECK;
/* The founder's key beside the member's own that is in force now, or NULL. */
const crypto_signer *merge_core_founder(const merge_core *c);
/* Where that key writes now. */
feed_id merge_core_founder_feed(const merge_core *c);
/* It holds a founder's key that is in force: its own, or that one. */
bool merge_core_is_founder(const merge_core *c);
/* Takes a copy of the key of a successor to be; it is in force once a founder.replace names it. */
void merge_core_hold_founder(merge_core *c, const crypto_signer *key);

/* ---- the radio key (pure/radio_key.h) ---- */
#define MERGE_RADIO_KEYS 4u /* of the newest epochs */
typedef struct {
    uint8_t epoch;
    uint8_t
        key[CRYPTO_KEY_BYTES]; /* of two under one epoch the lower one, which all choose alike */
    uint64_t since_ms;         /* Unix ms by its founder's clock: when the epoch was begun */
} merge_radio_key;
/* What this node can read of them, the newest last. */
err_t merge_core_radio_keys(merge_core *c, merge_radio_key out[MERGE_RADIO_KEYS],
                            size_t *n) CAIRN_CHECK;
/* Adds radio.key to an empty batch: of a new epoch, with a box for each member of now, if there is none yet or it is to
 * `rotate`; else of the present one for those who have none. `random` is used once. *epoch is the present one in any
 * case, *boxes how many were made. ERR_EXISTS: nobody lacks one; ERR_FORBIDDEN (not the founder), ERR_NOT_FOUND (the
 * present key is not for this node: rotate), ERR_TOO_LARGE (all 256 epochs are used). */
err_t merge_core_radio_give(merge_core *c, wall_ms now, bool rotate, const uint8_t random[64],
                            merge_batch *b, uint8_t *epoch, uint16_t *boxes, buf *why) CAIRN_CHECK;

/* ---- remote runs ---- */
/* Judges a run and adds what is new in it to an empty batch. Returns ERR_OK when *out says it all (also refusals);
 * other errors come from merge_io. A run whose predecessor is missing is kept (bounded) and judged again when it
 * can be: see merge_core_released. With `mend`, events already held are passed on too, so that damaged copies heal. */
err_t merge_core_ingest(merge_core *c, wall_ms now, bytes encoded, member_no peer, bool mend,
                        merge_batch *b, ingest_reply *out) CAIRN_CHECK;
/* The founder's key when the run begins with the event that makes `dataset`; else ERR_NOT_MEMBER, ERR_DATASET or what
 * is wrong with its bytes. */
err_t merge_genesis_of(bytes encoded, const dataset_id *dataset, member_key *founder) CAIRN_CHECK;
/* Rows that the store has found damaged (damage_reply.rows): their stretches become wanted in the frontier until this
 * is called without them. */
err_t merge_core_damaged(merge_core *c, msg_list rows) CAIRN_CHECK;
/* Takes out a kept run whose predecessor has arrived: an owned copy in `run` (released by the caller); false if none. */
bool merge_core_released(merge_core *c, buf *run, member_no *peer);

/* ---- a restored or cloned copy ---- */
/* True once a run of our own current incarnation arrived that we did not write: begin another one. */
bool merge_core_overtaken(const merge_core *c);
/* `random` chooses it. Local feeds start anew; the old ones stay as they are. */
err_t merge_core_new_incarnation(merge_core *c, uint16_t random) CAIRN_CHECK;

/* ---- questions ---- */
member_no merge_core_self(const merge_core *c);
const roster *merge_core_roster(const merge_core *c);
uint64_t merge_core_frontier_version(const merge_core *c);
/* Borrowed until the next call that changes anything; `entries` and `wanted` lie in the core. */
void merge_core_frontier(merge_core *c, frontier_reply *out);
/* Number of rows written. */
size_t merge_core_members(const merge_core *c, member_row *out, size_t max);
size_t merge_core_refusals(const merge_core *c, refusal_row *out, size_t max, uint64_t *total);
size_t merge_core_forks(const merge_core *c, fork_row *out, size_t max);
void merge_core_status(const merge_core *c, wall_ms now, merge_status_reply *out);

#endif
