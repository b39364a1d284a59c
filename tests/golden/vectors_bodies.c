#include "tests/golden/vectors.h"

#include "proto/gate.h"

/* ---- gate.json: bodies that differ from a plain one in a single element ---- */

#define RAW(s)      (const uint8_t *)(s), sizeof(s) - 1
#define ELEMENT_ALL 99u /* the row is the whole body */

typedef struct {
    const char *name;
    unsigned element;
    const uint8_t *raw;
    size_t len;
    size_t zeros; /* this many zero bytes follow the body */
    err_t want;
} gate_row;

static const gate_row gate_rows[] = {
    {"plain", 6, RAW("\xc0"), 0, ERR_OK},
    {"uint 8 at its least", 6, RAW("\xcc\x80"), 0, ERR_OK},
    {"uint 8 too long", 6, RAW("\xcc\x7f"), 0, ERR_NOT_SHORTEST},
    {"uint 16 too long", 6, RAW("\xcd\x00\xff"), 0, ERR_NOT_SHORTEST},
    {"uint 32 too long", 6, RAW("\xce\x00\x00\xff\xff"), 0, ERR_NOT_SHORTEST},
    {"uint 64 too long", 6, RAW("\xcf\x00\x00\x00\x00\xff\xff\xff\xff"), 0, ERR_NOT_SHORTEST},
    {"uint 64 greatest", 6, RAW("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), 0, ERR_OK},
    {"int 8 at its greatest", 6, RAW("\xd0\xdf"), 0, ERR_OK},
    {"int 8 too long", 6, RAW("\xd0\xe0"), 0, ERR_NOT_SHORTEST},
    {"int 16 too long", 6, RAW("\xd1\xff\x80"), 0, ERR_NOT_SHORTEST},
    {"int 32 too long", 6, RAW("\xd2\xff\xff\x80\x00"), 0, ERR_NOT_SHORTEST},
    {"int 64 too long", 6, RAW("\xd3\xff\xff\xff\xff\x80\x00\x00\x00"), 0, ERR_NOT_SHORTEST},
    {"int 64 least", 6, RAW("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), 0, ERR_OK},
    {"non-negative as int", 6, RAW("\xd1\x7f\xff"), 0, ERR_NOT_SHORTEST},
    {"the byte c1", 6, RAW("\xc1"), 0, ERR_MALFORMED},
    {"float 32", 6, RAW("\xca\x3f\xc0\x00\x00"), 0, ERR_MALFORMED},
    {"float 64", 6, RAW("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), 0, ERR_OK},
    {"minus zero", 6, RAW("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), 0, ERR_OK},
    {"infinity", 6, RAW("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), 0, ERR_OK},
    {"the NaN", 6, RAW("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), 0, ERR_OK},
    {"another NaN", 6, RAW("\xcb\xff\xf8\x00\x00\x00\x00\x00\x00"), 0, ERR_MALFORMED},
    {"str 8 too long", 6, RAW("\xd9\x01x"), 0, ERR_NOT_SHORTEST},
    {"str beyond the end", 6, RAW("\xdb\xff\xff\xff\xff"), 0, ERR_TRUNCATED},
    {"overlong UTF-8", 6, RAW("\xa2\xc0\x80"), 0, ERR_NOT_UTF8},
    {"UTF-8 surrogate", 6, RAW("\xa3\xed\xa0\x80"), 0, ERR_NOT_UTF8},
    {"UTF-8 beyond 10ffff", 6, RAW("\xa4\xf4\x90\x80\x80"), 0, ERR_NOT_UTF8},
    {"bin 8 empty", 6, RAW("\xc4\x00"), 0, ERR_OK},
    {"bin 16 too long", 6, RAW("\xc5\x00\x01x"), 0, ERR_NOT_SHORTEST},
    {"fixext 1", 6, RAW("\xd4\x05x"), 0, ERR_OK},
    {"ext 8 of 3", 6, RAW("\xc7\x03\x05xyz"), 0, ERR_OK},
    {"ext 8 of 1", 6, RAW("\xc7\x01\x05x"), 0, ERR_NOT_SHORTEST},
    {"array 16 too long", 6, RAW("\xdc\x00\x01\xc0"), 0, ERR_NOT_SHORTEST},
    {"array of 4 billion", 6, RAW("\xdd\xff\xff\xff\xff"), 0, ERR_TRUNCATED},
    {"map of 4 billion", 6, RAW("\xdf\xff\xff\xff\xff"), 0, ERR_TRUNCATED},
    {"map in order", 6,
     RAW("\x83\xa1"
         "a\x01\xa1"
         "b\x02\xa2"
         "ba\x03"),
     0, ERR_OK},
    {"prefix first", 6,
     RAW("\x82\xa2"
         "aa\x01\xa1"
         "b\x02"),
     0, ERR_OK},
    {"map out of order", 6,
     RAW("\x82\xa1"
         "b\x01\xa1"
         "a\x02"),
     0, ERR_KEY_ORDER},
    {"key twice", 6,
     RAW("\x82\xa1"
         "a\x01\xa1"
         "a\x02"),
     0, ERR_KEY_ORDER},
    {"key of another type", 6, RAW("\x81\x01\x02"), 0, ERR_KEY_ORDER},
    {"15 arrays within the body", 6,
     RAW("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x90"), 0, ERR_OK},
    {"16 arrays within the body", 6,
     RAW("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x90"), 0, ERR_TOO_DEEP},
    {"a byte too many", 6, RAW("\xc0\xc0"), 0, ERR_TRAILING},
    {"an element too few", 6, RAW(""), 0, ERR_TRUNCATED},
    {"empty", ELEMENT_ALL, RAW(""), 0, ERR_TRUNCATED},
    {"a map", ELEMENT_ALL, RAW("\x80"), 0, ERR_MALFORMED},
    {"6 elements", ELEMENT_ALL, RAW("\x96\x01\x02\x90\xa1x\xa1y\xa1z"), 0, ERR_MALFORMED},
    {"15 elements", ELEMENT_ALL, RAW("\x9f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 0, ERR_OK},
    {"array 16 of 16", ELEMENT_ALL, RAW("\xdc\x00\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 0,
     ERR_MALFORMED},
    {"array 16 of 7", ELEMENT_ALL, RAW("\xdc\x00\x07\0\0\0\0\0\0\0"), 0, ERR_MALFORMED},
    {"65536 bytes", ELEMENT_ALL, RAW("\x97\0\0\0\0\0\0\xc5\xff\xf6"), 65526, ERR_OK},
    {"65537 bytes", ELEMENT_ALL, RAW("\x97\0\0\0\0\0\0\xc5\xff\xf7"), 65527, ERR_TOO_LARGE},
};

static void put_gate_body(const gate_row *row, buf *out)
{
    static const char *const plain[] = {"\x01", "\x02", "\x90", "\xa1x", "\xa1y", "\xa1z", "\xc0"};
    if (row->element == ELEMENT_ALL) {
        buf_add(out, row->raw, row->len);
        return;
    }
    buf_add_u8(out, 0x97);
    for (unsigned i = 0; i < 7; i++)
        if (i == row->element)
            buf_add(out, row->raw, row->len);
        else
            buf_add_str(out, plain[i]);
}

void vectors_gate(buf *out)
{
    vectors_open(out, NULL, '{');
    vectors_text(out, "about", "bodies at the gate; zeros: append so many zero bytes");
    vectors_open(out, "bodies", '[');
    for (size_t i = 0; i < sizeof gate_rows / sizeof *gate_rows; i++) {
        const gate_row *row = &gate_rows[i];
        buf body;
        buf_init(&body, 1000);
        put_gate_body(row, &body);
        vectors_open(out, NULL, '{');
        vectors_text(out, "name", row->name);
        vectors_hex(out, "body", body.p, body.len);
        if (row->zeros > 0)
            vectors_number(out, "zeros", row->zeros);
        vectors_text(out, "result", err_name(row->want));
        vectors_close(out, '}');
        buf_release(&body);
    }
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}

/* ---- events.json: body to id to seal ---- */

static void put_event(const vectors_world *w, const vectors_event *e, buf *out)
{
    static const char *const writers[] = {"founder", "north", "south", "stranger"};
    uint8_t hash[CRYPTO_HASH_BYTES], message[CHAIN_SEAL_MESSAGE_BYTES];
    crypto_digest(hash, e->view.tail);
    chain_seal_message(message, &w->dataset, e->feed, e->seq, &e->id);
    vectors_open(out, NULL, '{');
    vectors_text(out, "name", e->name);
    vectors_text(out, "note", e->note);
    vectors_text(out, "author", writers[e->author]);
    vectors_number(out, "feed", e->feed);
    vectors_number(out, "seq", e->seq);
    vectors_hex(out, "body", e->body.p, e->body.len);
    vectors_number(out, "head_bytes", e->view.head.len);
    vectors_hex(out, "tail_hash", hash, sizeof hash);
    vectors_hex(out, "previous", e->previous.b, sizeof e->previous.b);
    vectors_hex(out, "id", e->id.b, sizeof e->id.b);
    vectors_hex(out, "seal_message", message, sizeof message);
    vectors_hex(out, "seal", e->seal.b, sizeof e->seal.b);
    vectors_hex(out, "erased", e->erased.p, e->erased.len);
    vectors_number(out, "opaque", e->view.opaque);
    vectors_close(out, '}');
}

void vectors_events(buf *out)
{
    static vectors_world w;
    static const char *const names[] = {"founder", "north", "south", "stranger"};
    vectors_make_world(&w);
    vectors_open(out, NULL, '{');
    vectors_text(out, "about", "body to id to seal; seeds are 32 equal bytes 01, 02, 03 and 04");
    vectors_hex(out, "dataset", w.dataset.b, sizeof w.dataset.b);
    vectors_open(out, "keys", '{');
    for (unsigned i = 0; i < WRITERS; i++)
        vectors_hex(out, names[i], w.keys[i].public.b, MEMBER_KEY_BYTES);
    vectors_close(out, '}');
    vectors_open(out, "events", '[');
    for (unsigned i = 0; i < WORLD_EVENTS; i++)
        put_event(&w, &w.events[i], out);
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}
