/* What the antenna brings: nothing opens but what was sealed. The first byte chooses whether the rest is a frame from
 * outside or words to seal, the second where the sealed frame is damaged. */
#include "pure/radio_frame.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void seal_and_open(const radio_keys *k, uint8_t damage, bytes in)
{
    uint8_t frame[RADIO_FRAME_MAX_BYTES], plain[RADIO_PLAIN_MAX_BYTES];
    radio_header h = {.kind = damage & RADIO_KIND_MAX, .epoch = k->epoch, .station = damage}, back;
    size_t len, n;
    if (radio_frame_seal(k, &h, in, frame, &len) != ERR_OK) {
        must(in.len > RADIO_PLAIN_MAX_BYTES);
        return;
    }
    must(radio_frame_open(k, bytes_of(frame, len), &back, plain, &n) == ERR_OK);
    must(bytes_eq(bytes_of(plain, n), in) && back.kind == h.kind && back.station == h.station);
    frame[damage % len] ^= 1;
    must(radio_frame_open(k, bytes_of(frame, len), &back, plain, &n) != ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const dataset_id dataset = {{0xd5}};
    static const uint8_t key[CRYPTO_KEY_BYTES] = {0x4b};
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    radio_keys k;
    radio_header h;
    size_t n;
    radio_keys_derive(&k, &dataset, 1, key);
    if (size < 2)
        return 0;
    if (data[0] % 2 == 0)
        seal_and_open(&k, data[1], bytes_of(data + 2, size - 2));
    else
        must(radio_frame_open(&k, bytes_of(data + 2, size - 2), &h, plain, &n) != ERR_OK);
    return 0;
}
