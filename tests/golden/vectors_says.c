#include "tests/golden/vectors.h"

#include "pure/codec.h"
#include "pure/radio_say.h"
#include "pure/run.h"

#include <stdlib.h>

/* What is said on the air, one row for each rule: bytes, and the reason why they are refused. */
typedef struct {
    const char *name;
    uint8_t kind;
    const char *hex; /* S stands for the 64 bytes of a seal */
    err_t want;
} says_row;

static const says_row rows[] = {
    {"a run under codec 0: feed 3 from seq 5, one event of two bytes", 0, "000c0501aabbccddS04c0c0",
     ERR_OK},
    {"its event is erased", 0, "000c0501aabbccddS05c0c0", ERR_OK},
    {"a run under codec 1 with 4 events of history", 0,
     "010c050200112233"
     "04"
     "Sf00d",
     ERR_OK},
    {"and primed by feed 1 to seq 300", 0, "030c0502001122330404ac02Sf00d", ERR_OK},
    {"and with news: feed 1 to 7, feed 2 to 8", 0, "050c05020011223304S0204070308f00d", ERR_OK},
    {"the express feed of member 3", 0, "000d0501aabbccddS04c0c0", ERR_OK},
    {"a feed of incarnation 4", 0, "008c80100501aabbccddS04c0c0", ERR_OK},
    {"a flag of later versions", 0, "080c0501aabbccddS04c0c0", ERR_VERSION},
    {"a feed of the reserved class", 0, "000f0501aabbccddS04c0c0", ERR_OUT_OF_RANGE},
    {"a feed of nobody", 0, "00000501aabbccddS04c0c0", ERR_OUT_OF_RANGE},
    {"seq 0", 0, "000c0001aabbccddS04c0c0", ERR_OUT_OF_RANGE},
    {"no events", 0, "000c0500aabbccddS", ERR_OUT_OF_RANGE},
    {"more events than may lie under a seal", 0, "000c058102aabbccddS", ERR_TOO_LARGE},
    {"a number not in its shortest form", 0, "000c850001aabbccddS04c0c0", ERR_NOT_SHORTEST},
    {"history beyond the first event", 0, "010c05010011223305Sf00d", ERR_OUT_OF_RANGE},
    {"more history than allowed", 0,
     "010c904e0100112233"
     "8102"
     "Sf00d",
     ERR_TOO_LARGE},
    {"primed by its own feed", 0, "030c050200112233040c05Sf00d", ERR_OUT_OF_RANGE},
    {"no news where the flag says some", 0, "050c05020011223304S00f00d", ERR_NOT_SHORTEST},
    {"cut in the seal", 0, "000c0501aabbccdd0102", ERR_TRUNCATED},
    {"the second of three parts", 1, "a1b2c3d40103ffee", ERR_OK},
    {"a part without bytes", 1, "a1b2c3d40103", ERR_TRUNCATED},
    {"a part beyond the last", 1, "a1b2c3d40303ff", ERR_OUT_OF_RANGE},
    {"the only part", 1, "a1b2c3d40001ff", ERR_OUT_OF_RANGE},
    {"too many parts", 1, "a1b2c3d40011ff", ERR_OUT_OF_RANGE},
    {"a beacon: the digest alone", 8,
     "00010203040506"
     "00",
     ERR_OK},
    {"a beacon with fresh feeds: feed 1 to 300, feed 3 to 7", 8,
     "00010203040506"
     "0204ac020707",
     ERR_OK},
    {"a beacon with all feeds", 8,
     "010102030405060000"
     "0204ac020707",
     ERR_OK},
    {"a beacon with all feeds of codes 4 and 5", 8,
     "01010203040506"
     "04"
     "faffffff0f"
     "010401",
     ERR_OK},
    {"a feed outside of the range", 8,
     "01010203040506"
     "04"
     "faffffff0f"
     "010801",
     ERR_OUT_OF_RANGE},
    {"a byte behind a beacon", 8,
     "00010203040506"
     "0000",
     ERR_TRAILING},
    {"a flag of later versions in a beacon", 8,
     "02010203040506"
     "00",
     ERR_VERSION},
    {"more feeds than a list may have", 8,
     "00010203040506"
     "61",
     ERR_TOO_LARGE},
    {"a list that is cut", 8,
     "00010203040506"
     "020401",
     ERR_TRUNCATED},
    {"wants: feed 1 from 5 all, feed 2 from 6 three, feed 3 from 1 one in codec 0", 9,
     "000304050003060603"
     "0103",
     ERR_OK},
    {"no wants", 9, "0000", ERR_OUT_OF_RANGE},
    {"a flag of later versions in wants", 9,
     "010104"
     "0500",
     ERR_VERSION},
    {"a byte behind the wants", 9, "0001040500ff", ERR_TRAILING},
};

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void put_row_bytes(const char *hex, buf *out)
{
    uint8_t seal[SEAL_BYTES];
    memset(seal, 0x5e, sizeof seal);
    for (; *hex != '\0'; hex++) {
        if (*hex == 'S') {
            (void)buf_add(out, seal, sizeof seal);
            continue;
        }
        (void)buf_add_u8(out, (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1])));
        hex++;
    }
}

void vectors_says(buf *out)
{
    vectors_open(out, NULL, '{');
    vectors_text(out, "about",
                 "what is said on the air, by kind, and the reason why it is refused");
    vectors_open(out, "says", '[');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf b;
        buf_init(&b, 1024);
        put_row_bytes(rows[i].hex, &b);
        vectors_open(out, NULL, '{');
        vectors_text(out, "name", rows[i].name);
        vectors_number(out, "kind", rows[i].kind);
        vectors_hex(out, "plain", b.p, b.len);
        vectors_text(out, "result", err_name(rows[i].want));
        vectors_close(out, '}');
        buf_release(&b);
    }
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}
