#include "tests/golden/vectors.h"

#include "pure/radio_frame.h"

#include <stdlib.h>

/* What is done to a good frame. AT: bits of that byte are turned; ANOTHER_…: the frame is opened under other keys. */
typedef enum { AS_IT_IS, AT, CUT_TO, ZEROS, ANOTHER_KEY, ANOTHER_DATASET, ANOTHER_EPOCH } harm;

typedef struct {
    const char *name;
    radio_header header;
    unsigned plain; /* bytes */
    harm harm;
    unsigned at, bits; /* AT, CUT_TO, ZEROS */
    err_t want;
} frame_row;

#define USUAL                                                                                      \
    {                                                                                              \
        .kind = 1, .epoch = 1, .bridge = 0, .station = 3, .counter = 0x1234                        \
    }
#define FULL RADIO_PLAIN_MAX_BYTES

static const frame_row rows[] = {
    {"a usual one", USUAL, 41, AS_IT_IS, 0, 0, ERR_OK},
    {"the next of the same words", {1, 1, 0, 3, 0x1235}, 41, AS_IT_IS, 0, 0, ERR_OK},
    {"one with every number at its greatest",
     {15, 1, 255, 65535, 65535},
     1,
     AS_IT_IS,
     0,
     0,
     ERR_OK},
    {"one by somebody who joins", {9, 1, 0, 0, 0}, 96, AS_IT_IS, 0, 0, ERR_OK},
    {"the longest", USUAL, FULL, AS_IT_IS, 0, 0, ERR_OK},
    {"one without words", USUAL, 0, AS_IT_IS, 0, 0, ERR_OK},
    {"version 2", USUAL, 41, AT, 0, 0x30, ERR_VERSION},
    {"another kind", USUAL, 41, AT, 0, 1, ERR_BAD_SEAL},
    {"another network's byte", USUAL, 41, AT, 1, 0x80, ERR_DATASET},
    {"another epoch's byte", USUAL, 41, AT, 2, 1, ERR_BAD_SEAL},
    {"another station", USUAL, 41, AT, 4, 1, ERR_BAD_SEAL},
    {"another bridge", USUAL, 41, AT, 5, 1, ERR_BAD_SEAL},
    {"another counter", USUAL, 41, AT, 7, 1, ERR_BAD_SEAL},
    {"first byte of the tag flipped", USUAL, 41, AT, 8, 1, ERR_BAD_SEAL},
    {"last byte of the tag flipped", USUAL, 41, AT, 13, 0x80, ERR_BAD_SEAL},
    {"first byte of the words flipped", USUAL, 41, AT, 14, 1, ERR_BAD_SEAL},
    {"last byte of the words flipped", USUAL, 41, AT, 54, 0x80, ERR_BAD_SEAL},
    {"cut by a byte", USUAL, 41, CUT_TO, 54, 0, ERR_BAD_SEAL},
    {"cut to header and tag", USUAL, 41, CUT_TO, 14, 0, ERR_BAD_SEAL},
    {"cut in the tag", USUAL, 41, CUT_TO, 13, 0, ERR_TRUNCATED},
    {"nothing", USUAL, 41, CUT_TO, 0, 0, ERR_TRUNCATED},
    {"a byte too many", USUAL, 41, ZEROS, 1, 0, ERR_BAD_SEAL},
    {"longer than a frame can be", USUAL, FULL, ZEROS, 1, 0, ERR_TOO_LARGE},
    {"under another key", USUAL, 41, ANOTHER_KEY, 0, 0, ERR_BAD_SEAL},
    {"of another dataset", USUAL, 41, ANOTHER_DATASET, 0, 0, ERR_DATASET},
    {"under the same key in another epoch", USUAL, 41, ANOTHER_EPOCH, 0, 0, ERR_BAD_SEAL},
};

typedef struct {
    dataset_id dataset;
    uint8_t epoch;
    uint8_t key[CRYPTO_KEY_BYTES];
} secrets;

static radio_keys keys_of(const secrets *s)
{
    radio_keys k;
    radio_keys_derive(&k, &s->dataset, s->epoch, s->key);
    return k;
}

static secrets usual_secrets(void)
{
    secrets s = {.epoch = 1};
    memset(s.dataset.b, 0xd5, sizeof s.dataset.b);
    memset(s.key, 0x4b, sizeof s.key);
    return s;
}

static void make_frame(const frame_row *row, const secrets *s, bytes plain, buf *frame)
{
    uint8_t raw[RADIO_FRAME_MAX_BYTES];
    size_t n;
    radio_keys k = keys_of(s);
    if (radio_frame_seal(&k, &row->header, plain, raw, &n) != ERR_OK)
        abort();
    (void)buf_add(frame, raw, row->harm == CUT_TO ? row->at : n);
    if (row->harm == AT)
        frame->p[row->at] ^= (uint8_t)row->bits;
    for (unsigned i = 0; row->harm == ZEROS && i < row->at; i++)
        (void)buf_add_u8(frame, 0);
}

static void put_keys(buf *out, const secrets *s)
{
    radio_keys k = keys_of(s);
    vectors_hex(out, "dataset", s->dataset.b, sizeof s->dataset.b);
    vectors_number(out, "key_epoch", s->epoch);
    vectors_hex(out, "radio_key", s->key, sizeof s->key);
    vectors_number(out, "network", k.network);
    vectors_hex(out, "k1", k.tag_key, sizeof k.tag_key);
    vectors_hex(out, "k2", k.cipher_key, sizeof k.cipher_key);
}

static void put_frame(const frame_row *row, buf *out)
{
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    secrets s = usual_secrets(), with = s;
    buf frame;
    for (unsigned i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7 + 1);
    buf_init(&frame, 2 * RADIO_FRAME_MAX_BYTES);
    make_frame(row, &s, bytes_of(plain, row->plain), &frame);
    with.key[0] ^= row->harm == ANOTHER_KEY;
    with.dataset.b[0] ^= row->harm == ANOTHER_DATASET;
    with.epoch = (uint8_t)(with.epoch + (row->harm == ANOTHER_EPOCH));
    vectors_open(out, NULL, '{');
    vectors_text(out, "name", row->name);
    put_keys(out, &with);
    vectors_number(out, "kind", row->header.kind);
    vectors_number(out, "epoch", row->header.epoch);
    vectors_number(out, "station", row->header.station);
    vectors_number(out, "bridge", row->header.bridge);
    vectors_number(out, "counter", row->header.counter);
    vectors_hex(out, "plain", plain, row->plain);
    vectors_hex(out, "frame", frame.p, frame.len);
    vectors_text(out, "result", err_name(row->want));
    vectors_close(out, '}');
    buf_release(&frame);
}

void vectors_frames(buf *out)
{
    if (crypto_start() != ERR_OK)
        abort();
    vectors_open(out, NULL, '{');
    vectors_text(out, "about",
                 "radio frames, the keys to open them with, and what comes of it; header and words "
                 "are what was "
                 "sealed");
    vectors_open(out, "frames", '[');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        put_frame(&rows[i], out);
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}
