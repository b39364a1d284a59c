/* The record: what the events of one stream mean together (design sections 3 and 9, fine print 1-6,
 * 17). A pure fold of a set: the same counting events give the same record in whatever order they
 * are handed over.
 *
 * A *write* is what one event says about one *thing*: a field, a state machine, a tag, a set, a
 * counter, the notes, the attachments of a field, or the record's existence. A write is dead if and
 * only if a counting event that writes the same thing names its event in `replaces`; record.delete
 * writes every thing. Nothing is transitive, no clock is asked.
 *
 *   kind            payload                      writes
 *   record.create   {field: value, ...}          each field, and existence
 *   field.set       {field: value, ...}          each field
 *   state.set       {state, machine = "state",   the machine; its live states are shown by
 *                    priority = 0}               priority, an integer that the writer gives
 *   tag.add         {tag}                        the tag; it is on while an add is live
 *   tag.remove      {tag}                        the tag as a removal: never shown, it only replaces
 *   set.add         {set, value}                 the set (G-set: elements only gather)
 *   counter.add     {counter, delta}             the counter (PN: sums of rises and of falls, each
 *                                                saturating; delta is an int64)
 *   note.add        {text}                       the notes
 *   attachment.add  {hash, field = "", ...}      the field's attachments; the value is the payload
 *   record.delete   anything                     existence, and every thing of what it names
 *
 * What gathers (notes, attachments, set elements, counts) is replaced by deletes only, whatever else
 * names it. Further keys of a payload are ignored (of create and field.set every key is a field).
 * Other kinds are history and write nothing. What is malformed is an anomaly and writes nothing;
 * the rest of the stream is folded as if it were absent.
 *
 * A delete that lives makes the record deleted; whatever is live beside it was unseen by the
 * deleter. A later record.create that names the delete brings the record back.
 *
 * An erased event writes the value "erased" (length 0) for the keys of its erasures, taken as names
 * of the things its kind writes, and limited to those it wrote where its tail is here. A create or
 * delete stays one, and a note or an attachment without a field stays listed, whatever the keys; an
 * erased count adds nothing. A tail that is missing without an erasure writes and replaces nothing.
 *
 * Display order: newest first by (wall, counter, feed, seq, id); states by priority before that.
 * Equal live values (by bytes) are one shown value with several authors; notes stay single. */
#ifndef CAIRN_RECORD_CORE_H
#define CAIRN_RECORD_CORE_H

#include "pure/refs.h"

#define RECORD_NONE UINT32_MAX

typedef enum {
    RECORD_EXISTENCE,
    RECORD_FIELD,
    RECORD_STATE,
    RECORD_TAG,
    RECORD_SET, /* from here on things only gather */
    RECORD_COUNTER,
    RECORD_NOTE,
    RECORD_ATTACHMENT,
    RECORD_WHATS
} record_what;
const char *record_what_name(record_what w); /* "existence", "field", … */

typedef enum {
    RECORD_KIND_UNKNOWN,
    RECORD_KIND_CREATE,
    RECORD_KIND_SET,
    RECORD_KIND_STATE,
    RECORD_KIND_TAG_ADD,
    RECORD_KIND_TAG_REMOVE,
    RECORD_KIND_SET_ADD,
    RECORD_KIND_COUNTER,
    RECORD_KIND_NOTE,
    RECORD_KIND_ATTACHMENT,
    RECORD_KIND_DELETE
} record_kind;

typedef enum {
    RECORD_ANOMALY_PAYLOAD,   /* the payload is no map */
    RECORD_ANOMALY_KEY,       /* detail: a key it needs is missing */
    RECORD_ANOMALY_TYPE,      /* detail: a key with a value of the wrong type */
    RECORD_ANOMALY_EMPTY,     /* field.set that sets nothing */
    RECORD_ANOMALY_ATTRIBUTE, /* detail: an attribute of the wrong type, taken as absent; the event
                                 is folded */
    RECORD_ANOMALY_TAIL,      /* the tail is missing and was not erased: wanted from a peer */
} record_anomaly_code;
const char *record_anomaly_text(record_anomaly_code c); /* a sentence; detail belongs behind it */

/* All bytes are borrowed from the bodies handed in. Numbers named `event`, `write`, `slot` index
 * the arrays below. */

typedef struct {
    const refs_event *source;
    event_ref ref;
    hlc_stamp stamp;
    record_kind kind;
    bool counts;
    bool erased;
    bool has_at;
    int64_t at_ms; /* attribute `at` */
    bytes by, why; /* attributes; len 0 when absent or erased */
    uint32_t first_write, n_writes;
} record_event;

typedef struct {
    uint32_t event;
    uint32_t slot;
    bytes value; /* one msgpack value; len 0 when erased. Existence: the create's payload, or nil of
                    a delete */
    uint32_t replaced_by; /* first event in canonical order that killed it; RECORD_NONE: live */
    uint32_t voided_by; /* live, and an event that does not count had replaced it: "value before the
                           removed …" */
    uint32_t group;   /* live and listed: equal within a slot for equal values, 0 for the one shown
                         first */
    int64_t priority; /* states */
    bool erased;
    bool removal; /* of a tag, or of the record: never listed as a value */
} record_write;

/* One thing. Live writes that are values, in display order: live[first_live] … live[first_live +
 * n_live - 1]. */
typedef struct {
    record_what what;
    bytes name;
    uint32_t first_live, n_live;
    uint32_t n_values;    /* distinct ones; notes count each, a counter 0 or 1 */
    uint64_t plus, minus; /* counters */
} record_slot;

typedef struct {
    uint32_t event;
    record_anomaly_code code;
    bytes detail;
} record_anomaly;

typedef struct {
    const record_event *events; /* canonical order, then by stamp those that do not count */
    uint32_t n_events, n_counting;
    record_write *writes; /* by event, within an event by (what, name) */
    uint32_t n_writes;
    const record_slot *slots; /* ascending by (what, name); also those without live writes */
    uint32_t n_slots;
    uint32_t
        what_first[RECORD_WHATS + 1]; /* slots of one sort: what_first[w] … what_first[w + 1] - 1 */
    const uint32_t *live;             /* writes */
    const uint32_t *deletes;          /* events of live deletes, newest first */
    uint32_t n_deletes;
    const uint32_t *collisions; /* see below: events of creates, canonical order */
    uint32_t n_collisions;
    const record_anomaly *anomalies;
    uint32_t n_anomalies;
    uint32_t created; /* first counting record.create in canonical order, or RECORD_NONE */
    uint32_t newest;  /* counting event with the newest stamp, or RECORD_NONE */
    uint32_t
        conflicts;   /* fields and states with several live values, and 1 if there are collisions */
    uint32_t unseen; /* live writes of a deleted record */
    bool deleted;
    uint8_t *marks; /* private */
} record_state;

/* Collisions: live creates of which neither comes after the other by references and feed order,
 * with unequal payloads, until an event comes after both. Worked out for the first
 * RECORD_CREATES_COMPARED live creates; erased ones take no part. */

/* Memory for folds, used again and again. */
typedef struct record_folder record_folder;
record_folder *record_folder_new(void); /* owned; NULL when memory is short */
void record_folder_free(record_folder **f);

/* Folds a stream. `events` and all they point to must outlive the use of *out; *out belongs to the
 * folder and is valid until its next fold. ERR_NO_MEMORY is the only error. */
err_t record_fold(record_folder *f, const refs_event *events, uint32_t n, const refs_rules *rules,
                  const record_state **out) CAIRN_CHECK;

/* The thing of that name, or RECORD_NONE when nobody ever wrote it. */
uint32_t record_find(const record_state *s, record_what what, bytes name);
/* The value shown first, len 0 when there is none or it was erased. */
bytes record_shown(const record_state *s, uint32_t slot);

typedef struct {
    record_what what;
    bytes name;
} record_thing;

/* The references that a new write of these things must name: every event with a live write of one
 * of them, in canonical order. Writes at most `max` and returns how many there are (more than 32
 * need several events, fine print 4). */
uint32_t record_live_refs(const record_state *s, const record_thing *things, uint32_t n,
                          event_ref *out, uint32_t max);
/* The same for a delete: every event with any live write. */
uint32_t record_all_live_refs(const record_state *s, event_ref *out, uint32_t max);

/* Names of the things that an event of this kind writes, as an erasure of it names them: at most `max` into `out`, and
 * how many there are. Notes, deletes and what has no name give none. */
uint32_t record_names(bytes kind, bytes payload, bytes *out, uint32_t max);

/* The canonical line (record_core_export.c says what is in it), with its newline. The buf's error,
 * if any. */
err_t record_export(const record_state *s, bytes form, bytes record, buf *out) CAIRN_CHECK;

#endif
