/* Time on air of a LoRa frame, exact and in integers; rounded up, so that a ledger never counts too little.
 *
 * Sources: Semtech AN1200.13 section 4 and SX1276 datasheet section 4.1.1.7 (SX127x); SX1261/2 datasheet section
 * 6.1.4 (SX126x, which differ at SF5 and SF6). For a symbol time of 2^SF / bandwidth:
 *
 *     symbols = preamble + 4.25 + 8 + ceil(max(8n + 16crc - 4sf + 8 + 20header, 0) / (4(sf - 2ldro))) * cr
 *
 * and at SF5, SF6 of an SX126x: preamble + 6.25, without the 8 in the numerator, the divisor 4sf. `cr` is the
 * denominator of 4/cr, so 5 … 8. What an RNode makes of this is at the end. */
#ifndef CAIRN_AIRTIME_H
#define CAIRN_AIRTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { LORA_SX126X, LORA_SX127X } lora_chip;

#define LORA_SF_MIN            5u
#define LORA_SF_MAX            12u
#define LORA_CR_MIN            5u
#define LORA_CR_MAX            8u
#define LORA_PAYLOAD_MAX_BYTES 255u

typedef struct {
    lora_chip chip;            /* of the sender */
    uint8_t sf, cr;            /* 5 … 12; 5 … 8 */
    uint16_t preamble_symbols; /* as programmed; the chip adds the 4.25 or 6.25 */
    uint32_t bw_hz;            /* not 0 */
    bool ldro;                 /* low data rate optimisation */
    bool implicit_header, no_crc;
} lora_modulation;

/* Duration of `n` quarter symbols in µs, rounded up. */
uint64_t lora_quarters_us(const lora_modulation *m, uint64_t n);
/* Symbols from the end of the preamble (its 4.25 or 6.25 included) to the end of the frame. */
uint32_t lora_payload_symbols(const lora_modulation *m, size_t payload_bytes);
/* From the first symbol of the preamble to its end, the two and a quarter of the sync word included. */
uint64_t lora_preamble_us(const lora_modulation *m);
/* The whole frame. `payload_bytes` is what the chip is given, at most LORA_PAYLOAD_MAX_BYTES. */
uint64_t airtime_us(const lora_modulation *m, size_t payload_bytes);
/* Data rate in bit/s, rounded down: sf * 4/cr * bw / 2^sf. */
uint32_t lora_bitrate_bps(const lora_modulation *m);
/* What LoRaWAN and Semtech's drivers do: on from 16 ms a symbol (AN1200.13: "mandated"). */
bool lora_ldro_semtech(uint8_t sf, uint32_t bw_hz);

/* ---- as an RNode sends (firmware 1.86) ---- */

/* The one byte that the firmware puts before every frame, and the most a host may hand over in one. */
#define RNODE_HEADER_BYTES  1u
#define RNODE_SINGLE_BYTES  254u /* more is split over two frames */
#define RNODE_PACKET_BYTES  508u /* more is dropped at transmission */
#define RNODE_PREAMBLE_MIN  18u
#define RNODE_FAST_BPS      30000u /* above: short preamble and slots */
#define RNODE_PREAMBLE_MS   24u
#define RNODE_PREAMBLE_FAST 6u /* ms */

/* On only when 2^sf / bandwidth in kHz, rounded down to whole ms, is above 16: not at SF11/125 kHz, unlike Semtech. */
bool rnode_ldro(uint8_t sf, uint32_t bw_hz);
/* The firmware's preamble: as many symbols as last 24 ms (6 ms above 30 kbit/s), at least 18. */
uint16_t rnode_preamble_symbols(uint8_t sf, uint8_t cr, uint32_t bw_hz);
/* The above together. The firmware programs the SX127x with four symbols less than it says, which makes its own
 * arithmetic right for that chip and four symbols short for the SX126x. */
lora_modulation rnode_modulation(lora_chip chip, uint8_t sf, uint8_t cr, uint32_t bw_hz);
/* Time on air of one packet of a host, 1 … RNODE_PACKET_BYTES, split where the firmware splits it. */
uint64_t rnode_airtime_us(const lora_modulation *m, size_t packet_bytes);

#endif
