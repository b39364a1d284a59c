/* Messages between processes and nodes. Each is declared once, in a .def file of this folder: one
 * row per field with type, bounds and a sentence of documentation. The rows give
 *   - the struct (named like the message),
 *   - a descriptor table, from which one encoder, one strict decoder and PROTOCOL.md work.
 *
 * On the wire a message is the envelope  [version, type, request id, dataset id]  and the body, a
 * msgpack array with one element per row in order (pack.h: how they lie in a frame). Elements beyond
 * the known ones are ignored (a later version may add some); everything else that is not as declared
 * is refused.
 */
#ifndef CAIRN_MSG_H
#define CAIRN_MSG_H

#include "base/buf.h"
#include "base/ids.h"
#include "proto/mp.h"

/* A test builds the programs once more with another. */
#ifndef PROTO_VERSION
#define PROTO_VERSION 1u
#endif

typedef enum { MSG_UINT, MSG_INT, MSG_BOOL, MSG_STR, MSG_BIN, MSG_FIX, MSG_ANY, MSG_LIST } msg_type;

typedef struct msg_desc msg_desc;

typedef struct {
    const char *name, *doc;
    msg_type type;
    size_t offset;       /* of the member in the struct */
    size_t width;        /* of the member: 1, 2, 4, 8 for numbers, the bytes of a MSG_FIX */
    uint64_t min, max;   /* of a number; of the length of str, bin, any; of the count of a list */
    const msg_desc *row; /* of a list */
} msg_field;

typedef enum { MSG_REQUEST, MSG_REPLY, MSG_NOTE, MSG_ROW } msg_role;

struct msg_desc {
    const char *name, *doc;
    msg_role role;
    uint16_t id;
    const msg_desc *reply; /* of a request */
    size_t size;           /* of the struct */
    const msg_field *fields;
    size_t n_fields;
};

/* A list of rows. To encode: set `items` and `n` (borrowed array of row structs). After decoding:
 * `raw` borrows the frame, already checked row by row; walk it with msg_list_next. */
typedef struct {
    const void *items;
    uint32_t n;
    bytes raw;
} msg_list;

#define MSG_LIST_OF(array, count) ((msg_list){.items = (array), .n = (uint32_t)(count)})

/* The structs. `look_request_answer` is the type of the reply to a `look_request`. */
#define REQUEST(name, id, reply, doc)                                                              \
    typedef reply name##_answer;                                                                   \
    typedef struct name {
#define REPLY(name, id, doc)           typedef struct name {
#define NOTE(name, id, doc)            typedef struct name {
#define ROW(name, doc)                 typedef struct name {
#define U64(msg, name, min, max, doc)  uint64_t name;
#define U32(msg, name, min, max, doc)  uint32_t name;
#define U16(msg, name, min, max, doc)  uint16_t name;
#define U8(msg, name, min, max, doc)   uint8_t name;
#define I64(msg, name, doc)            int64_t name;
#define BOOL(msg, name, doc)           bool name;
#define STR(msg, name, max, doc)       bytes name;
#define BIN(msg, name, max, doc)       bytes name;
#define ANY(msg, name, max, doc)       bytes name;
#define FIX(msg, name, type, doc)      type name;
#define LIST(msg, name, row, max, doc) msg_list name;
#define END(name)                                                                                  \
    char end_; /* ISO C has no empty structs */                                                    \
    }                                                                                              \
    name;                                                                                          \
    extern const msg_desc name##_desc;
#include "proto/all.def"
#include "proto/undef.h"

/* Every message (not rows), sorted by id, for documentation, fuzzing and lookup. */
extern const msg_desc *const msg_all[];
extern const size_t msg_all_count;
/* NULL for an id nobody declared. */
const msg_desc *msg_by_id(uint16_t id);

/* Appends the body of `msg` (a pointer to the struct that `desc` describes). Returns
 * ERR_OUT_OF_RANGE when a member breaks its own row's bounds (our bug or an unchecked input), or
 * the sticky error of `out`. */
err_t msg_encode(const msg_desc *desc, const void *msg, buf *out) CAIRN_CHECK;
/* Fills `msg` (desc->size bytes). Views borrow `body`. On failure `msg` is zeroed and `*bad` (may
 * be NULL) names the field that was wrong. */
err_t msg_decode(const msg_desc *desc, bytes body, void *msg, const char **bad) CAIRN_CHECK;
/* Next row of a decoded list into `row`; false at the end. `desc` is the row's. */
bool msg_list_next(const msg_desc *desc, msg_list *list, void *row);

typedef struct {
    uint8_t version;
    uint16_t type;
    uint64_t request;
    dataset_id dataset;
} msg_envelope;

err_t msg_envelope_encode(const msg_envelope *e, buf *out) CAIRN_CHECK;
/* Reads the envelope that a message begins with; what follows is the body, which is not looked at.
 * Of any version the four known elements are read, so that a newer peer can be answered in words; the
 * caller compares version and dataset. */
err_t msg_envelope_decode(bytes message, msg_envelope *e, bytes *body) CAIRN_CHECK;

#endif
