/* The datagram by which nodes of one dataset find each other on a LAN: 58 bytes, numbers big-endian:
 *
 *     "CRNB" · u8 version (1) · 8 bytes of BLAKE2b-256("cairn/1 beacon" ‖ dataset id) · u16 member ·
 *     32 bytes transport key · u16 port · 8 bytes random per process start · u8 0
 *
 * It proves nothing: the key must be a member's, and proves itself in the handshake. */
#ifndef CAIRN_BEACON_CORE_H
#define CAIRN_BEACON_CORE_H

#include "base/error.h"
#include "base/ids.h"

#define BEACON_BYTES 58u

typedef struct {
    member_no member;
    transport_key transport;
    uint16_t port;
    uint64_t nonce;
} beacon;

void beacon_encode(uint8_t out[BEACON_BYTES], const beacon *b, const dataset_id *dataset);
/* ERR_MALFORMED: no beacon. ERR_VERSION: one of a newer protocol. ERR_DATASET: of another dataset. Longer ones (of a
 * later version that only appends) are read. */
err_t beacon_decode(bytes in, const dataset_id *dataset, beacon *out) CAIRN_CHECK;

#endif
