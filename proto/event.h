/* The event body as views into its bytes (design section 2). A body is written once, by
 * event_build, and never re-encoded: everything else reads it in place. Nothing here allocates
 * except event_build, through its buf. All views borrow the body they were parsed from. */
#ifndef CAIRN_EVENT_H
#define CAIRN_EVENT_H

#include "base/buf.h"
#include "base/ids.h"

#define EVENT_HEAD_ELEMENTS 6u  /* elements 0-5 are the head, the rest is the tail */
#define EVENT_HASH_BYTES    32u /* BLAKE2b-256 of a tail */
#define EVENT_KIND_ERASE    "event.erase"
#define EVENT_OWN_CATEGORY  "cairn" /* Cairn's own events: the roster, what forms look like */
#define EVENT_ERASED_EXTRA  36u     /* what stands for an erased tail: u32 BE length, hash */

typedef struct {
    bytes body; /* what was parsed: a body, or the erased form */
    bytes head; /* array header and elements 0-5 */
    bytes tail; /* element 6 to the end; len 0 when erased */
    uint32_t n_elements;
    bool opaque; /* types or bounds of elements 0-7 are not ours: stored and relayed, folded by
                    nobody. The fields below are then zero */
    bool erased;
    uint32_t tail_len;        /* of the body as written, also when erased */
    const uint8_t *tail_hash; /* 32 bytes when erased, else NULL */
    hlc_stamp stamp;
    bytes replaces; /* raw msgpack array; read it with event_refs */
    uint32_t n_replaces;
    bytes category, stream, kind; /* text without NUL */
    bytes payload;                /* raw msgpack value; len 0 when erased */
    bytes attributes;             /* raw msgpack map; len 0 when absent or erased */
} event_view;

/* Gate, then split. Any error is the gate's and means "refuse"; an event that is merely not
 * understood is ERR_OK with out->opaque. */
err_t event_parse(bytes body, event_view *out) CAIRN_CHECK;

/* The erased form: head, u32 BE len(tail), H(tail). Same rules for the head as the gate's;
 * ERR_OUT_OF_RANGE when the length of the tail cannot be that of a body that passed it. */
err_t event_parse_erased(bytes erased, event_view *out) CAIRN_CHECK;
/* Appends the erased form of a parsed body; `tail_hash` is 32 bytes of H(tail). */
err_t event_write_erased(const event_view *v, const uint8_t *tail_hash, buf *out) CAIRN_CHECK;

/* Whether such an event may be in erased form at all; judged by the head, which stays. */
bool event_is_erasable(const event_view *v);

/* Length of the body as its author wrote it, erased or not: what the 64 KiB from seal to seal
 * count. */
static inline size_t event_written_bytes(const event_view *v)
{
    return v->head.len + v->tail_len;
}

/* One reference: so many events back in the same chain, or a full one (distance 0). */
typedef struct {
    uint64_t distance;
    event_ref full;
} event_reference;

static inline event_ref event_ref_of(feed_id feed, uint64_t seq, const event_id *id)
{
    return (event_ref){feed, seq, get_u16be(id->b)};
}

typedef struct {
    bytes rest;
    uint32_t left;
} event_ref_iter;

/* for (event_ref_iter it = event_refs(&v); event_next_ref(&it, &r);) … in the order written. */
event_ref_iter event_refs(const event_view *v);
bool event_next_ref(event_ref_iter *it, event_reference *out);

/* Attributes by key; false when absent or of another type. `at` may lie before 1970, hence i64. */
bool event_attr(const event_view *v, const char *key, bytes *raw);
bool event_attr_u64(const event_view *v, const char *key, uint64_t *out);
bool event_attr_i64(const event_view *v, const char *key, int64_t *out);
bool event_attr_str(const event_view *v, const char *key, bytes *out);
bool event_attr_ref(const event_view *v, const char *key, event_reference *out);

typedef struct {
    hlc_stamp stamp;
    const event_reference *replaces;
    size_t n_replaces;
    bytes category, stream, kind;
    bytes payload;    /* one canonical msgpack value */
    bytes attributes; /* one canonical msgpack map, or len 0 */
} event_fields;

/* Appends the canonical body to `out`. ERR_OUT_OF_RANGE when a field is beyond its bound, the
 * gate's errors for a payload or attributes that are not canonical, ERR_TOO_LARGE beyond 64 KiB or
 * the buffer's maximum, ERR_NO_MEMORY. After an error `out` is as it was (its sticky err aside). */
err_t event_build(const event_fields *in, buf *out) CAIRN_CHECK;
/* The same, and hands out what was read back from it; the view borrows `out`. */
err_t event_build_view(const event_fields *in, buf *out, event_view *v) CAIRN_CHECK;

#endif
