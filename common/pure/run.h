/* A run: consecutive events of one feed that end in a sealed one; the unit of replication (design
 * section 6). This is codec 0, for LAN and bundles: the plain bodies. Numbers are big-endian.
 *
 *     header, 56 bytes:  u8 version (1) · u8 codec (0) · u16 flags (0) · u32 feed · u64 first seq ·
 * u32 count · u32 bytes of all items · 32 bytes id of the event before the first count items: u32
 * word (bit 31 erased, bit 30 a seal follows, bits 29..18 zero, rest: data length) · data · 64
 * bytes seal if bit 30. data:              the body, or its erased form: head ‖ u32 len(tail) ‖
 * H(tail)
 *
 * The length stands before each body so that an event is found without parsing the ones before it.
 * The last item is sealed; intermediate seals are kept. Decoding borrows; nothing allocates but the
 * writer's buf. */
#ifndef CAIRN_RUN_H
#define CAIRN_RUN_H

#include "base/buf.h"
#include "base/ids.h"
#include "proto/event.h"

#define RUN_HEADER_BYTES 56u
#define RUN_VERSION      1u
#define RUN_CODEC_PLAIN  0u

typedef struct {
    feed_id feed;
    uint64_t first_seq;
    uint32_t count;
    event_id previous; /* id of first_seq - 1; id(0) of the chain when first_seq is 1 */
    bytes all;         /* the whole encoding */
    bytes items;
} run;

typedef struct {
    uint64_t seq;
    bytes data; /* event_parse or, if erased, event_parse_erased takes it */
    bool erased;
    const seal_sig *seal; /* NULL when this event carries none */
} run_item;

/* Reads and bounds the framing of all items, so that run_next cannot fail; looks into no body.
 * ERR_TOO_LARGE beyond RUN_MAX_BYTES or RUN_MAX_EVENTS, VERSION for another version, codec or flag,
 * TRUNCATED, TRAILING, MALFORMED, OUT_OF_RANGE (no events, seq 0, seq beyond 2^63), UNSEALED when
 * the last item has no seal. */
err_t run_decode(bytes in, run *out) CAIRN_CHECK;

typedef struct {
    bytes rest;
    uint64_t seq;
    uint32_t left;
} run_iter;

/* for (run_iter it = run_items(&r); run_next(&it, &item);) … */
run_iter run_items(const run *r);
bool run_next(run_iter *it, run_item *out);

typedef struct {
    uint32_t bad_index; /* of the first event that fails, 0-based; count when none does */
    uint32_t sealed;    /* the first so many events are good and lie under a verified seal */
    event_id last;      /* id of event number `sealed`; `previous` when that is 0 */
} run_verdict;

/* Event number `index` has this id; what its seal is worth is not known yet. Views borrow the run. */
typedef void run_seen(void *ctx, uint32_t index, const event_id *id, const event_view *v);

/* Walks the run: gate of each event, chain, every seal, at most 256 events and 64 KiB (or one
 * event) from seal to seal, counted over bodies as written. `start` is the id the receiver holds
 * for first_seq - 1, or NULL: then the id in the header is taken, which the seals vouch for; when
 * first_seq is 1 the chain must begin with chain_start of `author` (or with chain_start_genesis, if
 * that makes the first id the dataset id), `start` or not. `seen`, if not NULL, is told of each event
 * up to the first bad one, so that nobody has to parse it again. Errors: the gate's, BAD_CHAIN (does
 * not follow `start`), BAD_SEAL, UNSEALED. *out is set either way. Membership is the caller's business:
 * it knows whose key the feed's member number means. */
err_t run_check(const run *r, const dataset_id *dataset, const member_key *author,
                const event_id *start, run_seen *seen, void *ctx, run_verdict *out) CAIRN_CHECK;

/* Writes a run at the end of a buf. */
typedef struct {
    buf *out;
    size_t at;         /* where the header begins */
    size_t sealed_end; /* end of the last sealed item */
    uint32_t count, sealed_count;
} run_writer;

err_t run_begin(run_writer *w, buf *out, feed_id feed, uint64_t first_seq,
                const event_id *previous) CAIRN_CHECK;
/* Adds the next event; `seal` may be NULL. ERR_TOO_LARGE when it would pass RUN_MAX_BYTES or
 * RUN_MAX_EVENTS: the run is then as before, end it and begin another. ERR_NO_MEMORY. */
err_t run_add(run_writer *w, bytes data, bool erased, const seal_sig *seal) CAIRN_CHECK;
/* Cuts the run after its last sealed event and completes the header; *count is how many it holds.
 * ERR_UNSEALED when no event was sealed: the buf is then as before run_begin. */
err_t run_end(run_writer *w, uint32_t *count) CAIRN_CHECK;

#endif
