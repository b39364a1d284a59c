/* What goes on the air next, and what is made of what was heard: replication on a broadcast channel with a budget, no
 * socket in it (design section 6). Nothing is addressed to one peer: everything heard by anyone counts.
 *
 * Inputs are the calls below; time is passed in and never goes back; chance comes from a seed. Outputs are effects,
 * taken with radio_next after each input, and the answer of radio_pull: the bridge asks for a frame when channel and
 * budget allow one, so no queue grows stale.
 *
 *   own news     held RADIO_HOLD_MS, or until they fill a frame; express leaves at once
 *   beacons      Trickle (RFC 6206): the digest and all feeds, or the freshest ones; a run that tells news counts as one
 *   wants        batched over authors, put off by chance, left out when another member asked for the same
 *   answers      by the author first, by others later, cancelled when somebody else was heard to give them
 *   express      said again by whoever holds it, until RADIO_EXPRESS_COPIES were heard
 *
 * All delays are scaled by the time on air of a frame. Heard runs are decoded, checked as far as this process can, and
 * offered to merge like any other; a run whose predecessors are missing waits. A codec state only ever learns bodies
 * that the store gave, so a bad frame cannot poison it. Runs of a forked feed are left to LAN. */
#ifndef CAIRN_RADIO_CORE_H
#define CAIRN_RADIO_CORE_H

#include "proto/msg.h"
#include "pure/frontier.h"

typedef struct radio_core radio_core;

typedef enum {
    RADIO_READ, /* ask the store for `read`; answer with radio_read(tag) */
    RADIO_INGEST, /* offer the run in `body`, from `member`, to merge; answer with radio_ingested(tag) */
} radio_act;

typedef struct {
    radio_act act;
    uint32_t tag;
    member_no member;
    run_request read;
    bytes body; /* until the next call */
} radio_effect;

/* `self`: this member's number. `states`: codec states to keep, at least 2, 4.7 MB each. NULL: no memory. */
radio_core *radio_core_new(member_no self, uint64_t seed, uint32_t states);
void radio_core_free(radio_core *c);
bool radio_next(radio_core *c, radio_effect *out);

/* Where this node stands. What is held at the first call counts as told already. */
void radio_set_frontier(radio_core *c, const frontier *mine, mono_ms now);
typedef struct {
    member_no member;
    member_key key;
} radio_author;
/* Whose chains there may be: what begins one is computed from its author's key. Copies. ERR_NO_MEMORY: nothing changed. */
err_t radio_set_authors(radio_core *c, const dataset_id *dataset, const radio_author *authors,
                        size_t n) CAIRN_CHECK;
void radio_read(radio_core *c, uint32_t tag, err_t e, const run_reply *reply, mono_ms now);
void radio_ingested(radio_core *c, uint32_t tag, err_t e, const ingest_reply *reply, mono_ms now);

typedef struct {
    uint8_t kind;
    member_no station;
    bytes plain;
    bool fresh; /* never heard before: what is not fresh earns no airtime */
    int16_t rssi_dbm, snr_cdb;
} radio_hearing;
void radio_heard(radio_core *c, const radio_hearing *h, mono_ms now);

typedef struct {
    size_t max_bytes;           /* of the plaintext */
    uint64_t frame_us, base_us; /* time on air of a full frame and of an empty one */
    uint64_t left_us, hour_us;  /* budget left, and of a whole hour; UINT64_MAX: none */
} radio_budget;

typedef enum { RADIO_NOTHING, RADIO_FRAME, RADIO_BUSY } radio_answer;
typedef struct {
    uint64_t ticket;
    uint8_t kind;
    bool urgent;
    bytes plain;   /* until the next call */
    mono_ms again; /* nothing now: ask then, or when anything was put in */
} radio_said;

/* RADIO_BUSY: effects have to be carried out first; ask again after the next input. */
radio_answer radio_pull(radio_core *c, const radio_budget *b, mono_ms now, radio_said *out);

typedef enum { RADIO_SENT, RADIO_SENT_PROBABLY, RADIO_LOST, RADIO_REFUSED } radio_outcome;
void radio_sent(radio_core *c, uint64_t ticket, radio_outcome outcome, mono_ms now);

/* ---- questions ---- */
typedef struct {
    member_no station;
    mono_ms heard;
    int16_t rssi_dbm, snr_cdb;
    uint64_t they_lack, we_lack; /* events, by its last beacon; as_of 0: none was heard */
    mono_ms as_of;
} radio_peer_view;
/* Members heard, in no order; false beyond the last. */
bool radio_peer(const radio_core *c, size_t i, radio_peer_view *out);

typedef struct {
    uint64_t runs_said, parts_said, beacons_said, wants_said, answers_said, repeats_said;
    uint64_t runs_heard, runs_held_already, runs_decoded, runs_refused, malformed, stale;
    uint64_t events_said, too_large; /* feeds whose next event waits for LAN */
    uint64_t code_bytes;
} radio_counts;
const radio_counts *radio_counted(const radio_core *c);
/* Events that are known to exist and are not held. */
uint64_t radio_lacking(const radio_core *c);

#endif
