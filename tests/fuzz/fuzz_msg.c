/* Any bytes as a frame, and at any message decoder: first byte chooses it. What decodes must encode again. */
#include "proto/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    msg_envelope e;
    bytes body, rest = bytes_of(data, size);
    buf again;
    if (size == 0)
        return 0;
    (void)!msg_envelope_decode(rest, &e, &body);
    if (pack_check(rest) == ERR_OK)
        while (pack_take(&rest, &e, &body) == ERR_OK)
            continue;
    const msg_desc *d = msg_all[data[0] % msg_all_count];
    if (d->size > sizeof msg || msg_decode(d, bytes_of(data + 1, size - 1), msg, NULL) != ERR_OK)
        return 0;
    buf_init(&again, MESSAGE_MAX_BYTES);
    if (msg_encode(d, msg, &again) != ERR_OK)
        __builtin_trap();
    buf_release(&again);
    return 0;
}
