/* Time on air: sums made by hand, the published figures of what an RNode sends, and the laws any table obeys. */
#include "prop.h"
#include "pure/airtime.h"

#include <criterion/criterion.h>

static lora_modulation lorawan(lora_chip chip, uint8_t sf, uint32_t bw_hz)
{
    return (lora_modulation){.chip = chip,
                             .sf = sf,
                             .cr = 5,
                             .bw_hz = bw_hz,
                             .preamble_symbols = 8,
                             .ldro = lora_ldro_semtech(sf, bw_hz)};
}

/* SF7/125 kHz, 20 bytes, preamble 8: ceil((160 - 28 + 44) / 28) = 7 blocks of 5, so 12.25 + 8 + 35 = 55.25 symbols. */
Test(airtime, sums_made_by_hand)
{
    lora_modulation m = lorawan(LORA_SX127X, 7, 125000);
    cr_assert_eq(lora_payload_symbols(&m, 20), 43);
    cr_assert_eq(airtime_us(&m, 20), 56576, "%llu", (unsigned long long)airtime_us(&m, 20));
    /* SF12/125 kHz, 51 bytes, DE: ceil((408 - 48 + 44) / 40) = 11 blocks; 12.25 + 63 symbols of 32.768 ms */
    m = lorawan(LORA_SX127X, 12, 125000);
    cr_assert(m.ldro);
    cr_assert_eq(airtime_us(&m, 51), 2465792);
    /* SF10/125 kHz, 23 bytes, CR 4/8, no CRC, implicit header: ceil((184 - 40 + 8) / 40) = 4 blocks of 8 */
    m = lorawan(LORA_SX127X, 10, 125000);
    m.cr = 8;
    m.no_crc = m.implicit_header = true;
    cr_assert_eq(lora_payload_symbols(&m, 23), 40);
    cr_assert_eq(airtime_us(&m, 23), 428032); /* 52.25 symbols */
    /* nothing to send is still a preamble and eight symbols */
    m.implicit_header = true;
    cr_assert_eq(lora_payload_symbols(&m, 0), 8);
}

/* SX1261/2 6.1.4. SF5/125 kHz, 12 symbols, 10 bytes: ceil((80 - 20 + 36) / 20) = 5 blocks of 5; 18.25 + 33 symbols. */
Test(airtime, short_symbols_of_the_sx126x)
{
    lora_modulation m = lorawan(LORA_SX126X, 5, 125000);
    m.preamble_symbols = 12;
    cr_assert_eq(airtime_us(&m, 10), 13120); /* 51.25 × 256 µs */
    m.sf = 6;                                /* ceil((80 - 24 + 36) / 24) = 4 blocks */
    cr_assert_eq(airtime_us(&m, 10), 23680); /* 46.25 × 512 µs */
    /* elsewhere the chips agree */
    for (uint8_t sf = 7; sf <= 12; sf++) {
        lora_modulation a = lorawan(LORA_SX126X, sf, 125000), b = lorawan(LORA_SX127X, sf, 125000);
        cr_assert_eq(airtime_us(&a, 100), airtime_us(&b, 100));
    }
}

/* Symbols that are not a whole number of µs are rounded up, once, at the end. */
Test(airtime, rounds_up_once)
{
    lora_modulation m = lorawan(LORA_SX127X, 7, 41700);
    /* 55.25 symbols of 128/41700 s = 169592.326 µs */
    cr_assert_eq(airtime_us(&m, 20), 169593);
    cr_assert_eq(lora_quarters_us(&m, 221), 169593);
    cr_assert_eq(lora_quarters_us(&m, 0), 0);
}

/* What RNodes with an SX126x were computed to send, in ms: header byte and the firmware's preamble included. */
Test(airtime, table_of_an_rnode)
{
    static const size_t lengths[] = {20, 50, 120, 200, 254};
    static const struct {
        uint8_t sf;
        uint32_t bw_hz, bps;
        unsigned ms[5];
    } rows[] = {
        {7, 125000, 5468, {73, 119, 221, 334, 416}},
        {8, 125000, 3125, {123, 205, 379, 584, 728}},
        {9, 125000, 1757, {226, 370, 697, 1046, 1291}},
        {10, 125000, 976, {453, 698, 1272, 1927, 2378}},
        {11, 125000, 537, {823, 1315, 2298, 3527, 4346}},
        {12, 125000, 292, {1810, 2793, 5087, 7709, 9347}},
        {7, 250000, 10937, {48, 71, 122, 179, 220}},
        {9, 250000, 3515, {113, 185, 349, 523, 646}},
        {11, 250000, 1074, {412, 657, 1149, 1763, 2173}},
        {7, 62500, 2734, {134, 226, 431, 656, 820}},
        {8, 500000, 12500, {46, 66, 110, 161, 197}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        lora_modulation m = rnode_modulation(LORA_SX126X, rows[r].sf, 5, rows[r].bw_hz);
        cr_assert_eq(lora_bitrate_bps(&m), rows[r].bps, "SF%u", rows[r].sf);
        for (size_t i = 0; i < 5; i++) {
            uint64_t us = rnode_airtime_us(&m, lengths[i]);
            cr_assert_eq((us + 500) / 1000, rows[r].ms[i], "SF%u/%u, %zu bytes: %llu µs",
                         rows[r].sf, (unsigned)rows[r].bw_hz, lengths[i], (unsigned long long)us);
        }
    }
}

Test(airtime, preamble_and_optimisation_of_an_rnode)
{
    cr_assert_eq(rnode_preamble_symbols(7, 5, 125000), 24);
    for (uint8_t sf = 8; sf <= 12; sf++)
        cr_assert_eq(rnode_preamble_symbols(sf, 5, 125000), 18);
    cr_assert_eq(rnode_preamble_symbols(7, 5, 250000), 47);
    cr_assert_eq(rnode_preamble_symbols(7, 5, 62500), 18);
    cr_assert_eq(rnode_preamble_symbols(5, 5, 500000), 94, "above 30 kbit/s: 6 ms");
    cr_assert(rnode_ldro(12, 125000) && rnode_ldro(11, 62500));
    cr_assert_not(rnode_ldro(11, 125000), "16.384 ms: Semtech's drivers would");
    cr_assert(lora_ldro_semtech(11, 125000) && lora_ldro_semtech(12, 250000));
    cr_assert_not(lora_ldro_semtech(11, 250000));
}

/* The SX127x is told four symbols less. */
Test(airtime, the_chips_differ_by_four_symbols)
{
    for (uint8_t sf = 7; sf <= 12; sf++) {
        lora_modulation a = rnode_modulation(LORA_SX126X, sf, 5, 125000);
        lora_modulation b = rnode_modulation(LORA_SX127X, sf, 5, 125000);
        cr_assert_eq(airtime_us(&a, 100) - airtime_us(&b, 100), lora_quarters_us(&a, 16));
    }
}

Test(airtime, packets_that_are_split)
{
    lora_modulation m = rnode_modulation(LORA_SX126X, 8, 5, 125000);
    uint64_t full = airtime_us(&m, 255);
    cr_assert_eq(rnode_airtime_us(&m, 254), full);
    cr_assert_eq(rnode_airtime_us(&m, 255), full + airtime_us(&m, 2));
    cr_assert_eq(rnode_airtime_us(&m, 507), full + airtime_us(&m, 254));
    cr_assert_eq(rnode_airtime_us(&m, 508), 2 * full + airtime_us(&m, 1), "a header by itself");
}

/* The preamble's part ends where the payload's begins; more bytes never take less time; the formula in floating point
 * agrees within a µs. */
Test(airtime, laws)
{
    prop_rng rng = prop_begin("airtime");
    static const uint32_t widths[] = {7800,  10400, 15600,  20800,  31250,
                                      41700, 62500, 125000, 250000, 500000};
    for (int i = 0; i < 20000; i++) {
        lora_modulation m = {.chip = prop_below(&rng, 2) ? LORA_SX127X : LORA_SX126X,
                             .sf = (uint8_t)(5 + prop_below(&rng, 8)),
                             .cr = (uint8_t)(5 + prop_below(&rng, 4)),
                             .preamble_symbols = (uint16_t)(6 + prop_below(&rng, 200)),
                             .bw_hz = widths[prop_below(&rng, 10)],
                             .ldro = prop_below(&rng, 2)};
        size_t n = prop_below(&rng, 255);
        bool is_short = m.chip == LORA_SX126X && m.sf < 7;
        double ts = (double)(1u << m.sf) / m.bw_hz * 1e6;
        double symbols =
            m.preamble_symbols + (is_short ? 6.25 : 4.25) + lora_payload_symbols(&m, n);
        uint64_t us = airtime_us(&m, n);
        cr_assert((double)us >= symbols * ts - 0.01 && (double)us < symbols * ts + 1.01);
        cr_assert(airtime_us(&m, n + 1) >= us);
        uint64_t rest = lora_quarters_us(&m, 4ull * lora_payload_symbols(&m, n));
        cr_assert(lora_preamble_us(&m) + rest - us <= 1);
    }
}
