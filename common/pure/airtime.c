#include "pure/airtime.h"

#include <assert.h>

#define HEADER_BITS 20
#define CRC_BITS    16

uint64_t lora_quarters_us(const lora_modulation *m, uint64_t n)
{
    uint64_t per = 4ull * m->bw_hz;
    return (((n * 1000000ull) << m->sf) + per - 1) / per;
}

/* SX1261/2 datasheet 6.1.4: at SF5 and SF6 the frame is built otherwise. */
static bool is_short(const lora_modulation *m)
{
    return m->chip == LORA_SX126X && m->sf < 7;
}

static uint32_t sync_quarters(const lora_modulation *m)
{
    return is_short(m) ? 25 : 17;
}

uint32_t lora_payload_symbols(const lora_modulation *m, size_t payload_bytes)
{
    int sf = m->sf;
    int bits = 8 * (int)payload_bytes - 4 * sf;
    int per = 4 * sf;
    assert(payload_bytes <= LORA_PAYLOAD_MAX_BYTES && sf >= 5 && sf <= 12 && m->bw_hz > 0);
    bits += m->no_crc ? 0 : CRC_BITS;
    bits += m->implicit_header ? 0 : HEADER_BITS;
    if (!is_short(m)) {
        bits += 8;
        per -= m->ldro ? 8 : 0;
    }
    return 8 + (bits > 0 ? (uint32_t)((bits + per - 1) / per) * m->cr : 0);
}

uint64_t lora_preamble_us(const lora_modulation *m)
{
    return lora_quarters_us(m, 4ull * m->preamble_symbols + sync_quarters(m));
}

uint64_t airtime_us(const lora_modulation *m, size_t payload_bytes)
{
    uint64_t symbols = (uint64_t)m->preamble_symbols + lora_payload_symbols(m, payload_bytes);
    return lora_quarters_us(m, 4 * symbols + sync_quarters(m));
}

uint32_t lora_bitrate_bps(const lora_modulation *m)
{
    return (uint32_t)(4ull * m->sf * m->bw_hz / ((uint64_t)m->cr << m->sf));
}

bool lora_ldro_semtech(uint8_t sf, uint32_t bw_hz)
{
    return 1000ull << sf >= 16ull * bw_hz;
}

bool rnode_ldro(uint8_t sf, uint32_t bw_hz)
{
    return 1000ull << sf >= 17ull * bw_hz;
}

uint16_t rnode_preamble_symbols(uint8_t sf, uint8_t cr, uint32_t bw_hz)
{
    lora_modulation m = {.sf = sf, .cr = cr, .bw_hz = bw_hz};
    uint64_t target_ms =
        lora_bitrate_bps(&m) > RNODE_FAST_BPS ? RNODE_PREAMBLE_FAST : RNODE_PREAMBLE_MS;
    uint64_t per = 1000ull << sf;
    uint64_t symbols = (target_ms * bw_hz + per - 1) / per;
    return (uint16_t)(symbols > RNODE_PREAMBLE_MIN ? symbols : RNODE_PREAMBLE_MIN);
}

lora_modulation rnode_modulation(lora_chip chip, uint8_t sf, uint8_t cr, uint32_t bw_hz)
{
    uint16_t preamble = rnode_preamble_symbols(sf, cr, bw_hz);
    return (lora_modulation){
        .chip = chip,
        .sf = sf,
        .cr = cr,
        .bw_hz = bw_hz,
        .preamble_symbols = (uint16_t)(chip == LORA_SX127X ? preamble - 4 : preamble),
        .ldro = rnode_ldro(sf, bw_hz),
    };
}

uint64_t rnode_airtime_us(const lora_modulation *m, size_t packet_bytes)
{
    assert(packet_bytes <= RNODE_PACKET_BYTES);
    if (packet_bytes <= RNODE_SINGLE_BYTES)
        return airtime_us(m, packet_bytes + RNODE_HEADER_BYTES);
    uint64_t first = airtime_us(m, LORA_PAYLOAD_MAX_BYTES);
    uint64_t rest = airtime_us(m, packet_bytes - RNODE_SINGLE_BYTES + RNODE_HEADER_BYTES);
    /* The loop that splits looks for a full frame once more behind the last byte: a third frame, of the header only. */
    return first + rest + (packet_bytes == RNODE_PACKET_BYTES ? airtime_us(m, 1) : 0);
}
