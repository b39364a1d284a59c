/* Typed ids and times, so that a wall clock cannot be passed for a monotonic one, nor a feed for a
 * member. */
#ifndef CAIRN_IDS_H
#define CAIRN_IDS_H

#include "base/bytes.h"
#include "base/limits.h"

typedef struct {
    uint8_t b[EVENT_ID_BYTES];
} event_id;
typedef struct {
    uint8_t b[EVENT_ID_BYTES]; /* the id of the genesis event */
} dataset_id;
typedef struct {
    uint8_t b[MEMBER_KEY_BYTES]; /* Ed25519 */
} member_key;
typedef struct {
    uint8_t b[TRANSPORT_KEY_BYTES]; /* X25519, CURVE */
} transport_key;
typedef struct {
    uint8_t b[SEAL_BYTES];
} seal_sig;

/* feed = incarnation << 16 | member; the low two bits of the incarnation are the class (design
 * section 1). */
typedef uint32_t feed_id;
typedef uint16_t member_no;
typedef enum {
    CLASS_ROUTINE = 0,
    CLASS_EXPRESS = 1,
    CLASS_BULK = 2,
    CLASS_RESERVED = 3
} feed_class;

static inline member_no feed_member(feed_id f)
{
    return (member_no)(f & 0xffff);
}
static inline uint16_t feed_incarnation(feed_id f)
{
    return (uint16_t)(f >> 16); /* class included: rules.md 7 */
}
static inline feed_class feed_class_of(feed_id f)
{
    return (feed_class)(f >> 16 & 3);
}
static inline feed_id feed_make(uint16_t incarnation, feed_class c, member_no m)
{
    return (feed_id)((uint32_t)((incarnation & 0xfffcu) | (unsigned)c) << 16 | m);
}

/* Physical Unix time in ms, and monotonic time of this boot in ms. They do not mix. */
typedef struct {
    uint64_t ms;
} wall_ms;
typedef struct {
    uint64_t ms;
} mono_ms;

/* A hybrid logical clock stamp (design section 3). */
typedef struct {
    uint64_t wall_ms;
    uint32_t counter;
} hlc_stamp;

static inline int hlc_cmp(hlc_stamp a, hlc_stamp b)
{
    if (a.wall_ms != b.wall_ms)
        return a.wall_ms < b.wall_ms ? -1 : 1;
    return (a.counter > b.counter) - (a.counter < b.counter);
}

static inline bool event_id_eq(const event_id *a, const event_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* A full reference: names one event. `prefix` is the first two bytes of its id, big-endian. */
typedef struct {
    feed_id feed;
    uint64_t seq;
    uint16_t prefix;
} event_ref;

/* Crockford's base 32 in lower case without i l o u: what people read aloud and type. */
#define BASE32_ALPHABET "0123456789abcdefghjkmnpqrstvwxyz"
/* Writes v without leading zeros and a NUL; out holds 14. Returns the length. */
size_t base32_u64(char out[14], uint64_t v);

/* "3", "1-bulk", "7+4000-express": a feed for people. Writes at most 32 bytes with NUL. */
#define FEED_TEXT_BYTES 32
void feed_text(char out[FEED_TEXT_BYTES], feed_id f);

#endif
