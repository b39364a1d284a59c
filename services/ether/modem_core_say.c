/* Frames to the host. Multi-byte numbers are escaped, single values mostly not: a host that un-escapes everything alike
 * is in for a surprise. */
#include "ether/modem_core_impl.h"

void modem_say_raw(modem *m, uint8_t b)
{
    /* Nobody reads: the line loses bytes, not frames. */
    if (m->out.len < MODEM_OUTPUT_MAX_BYTES && !buf_add_u8(&m->out, b))
        m->out.err = ERR_OK;
}

void modem_say_text(modem *m, const char *text)
{
    for (; *text != '\0'; text++)
        modem_say_raw(m, (uint8_t)*text);
}

void modem_say_u8(modem *m, uint8_t command, uint8_t v)
{
    modem_say_raw(m, FEND);
    modem_say_raw(m, command);
    modem_say_raw(m, v);
    modem_say_raw(m, FEND);
}

static void say_escaped(modem *m, uint8_t b)
{
    if (b == FEND || b == FESC) {
        modem_say_raw(m, FESC);
        b = b == FEND ? TFEND : TFESC;
    }
    modem_say_raw(m, b);
}

void modem_say(modem *m, uint8_t command, const uint8_t *args, size_t n)
{
    modem_say_raw(m, FEND);
    modem_say_raw(m, command);
    for (size_t i = 0; i < n; i++)
        say_escaped(m, args[i]);
    modem_say_raw(m, FEND);
}

void modem_say_u16s(modem *m, uint8_t command, const uint16_t *v, size_t n)
{
    modem_say_raw(m, FEND);
    modem_say_raw(m, command);
    for (size_t i = 0; i < n; i++) {
        say_escaped(m, (uint8_t)(v[i] >> 8));
        say_escaped(m, (uint8_t)v[i]);
    }
    modem_say_raw(m, FEND);
}

void modem_say_u32(modem *m, uint8_t command, uint32_t v)
{
    uint8_t wire[4];
    put_u32be(wire, v);
    modem_say(m, command, wire, sizeof wire);
}

void modem_say_rssi(modem *m)
{
    uint8_t v = (uint8_t)(m->last_rssi + RSSI_OFFSET);
    modem_say(m, CMD_STAT_RSSI, &v, 1);
}

static uint16_t hundredths(float share)
{
    return (uint16_t)(uint32_t)(share * 100 * 100);
}

void modem_say_channel(modem *m)
{
    uint8_t wire[11];
    int rssi = m->tuning.on ? m->rssi_cdbm / 100 : RSSI_NONE;
    if (!modem_has_stats(m))
        return;
    put_u16be(wire, hundredths(m->stats.airtime));
    put_u16be(wire + 2, hundredths(m->stats.airtime_long));
    put_u16be(wire + 4, hundredths(m->stats.load));
    put_u16be(wire + 6, hundredths(m->stats.load_long));
    wire[8] = (uint8_t)(rssi + RSSI_OFFSET);
    wire[9] = (uint8_t)(m->stats.floor_dbm + RSSI_OFFSET);
    wire[10] = modem_interference(m) ? wire[8] : 0xff;
    modem_say(m, CMD_STAT_CHTM, wire, sizeof wire);
}

void modem_say_phy(modem *m)
{
    if (!modem_has_stats(m))
        return;
    uint16_t v[] = {(uint16_t)(uint32_t)(m->symbol_ms * 1000),
                    (uint16_t)(m->bw_hz >> m->sf),
                    (uint16_t)m->preamble,
                    (uint16_t)m->preamble_ms,
                    (uint16_t)m->csma.slot_ms,
                    (uint16_t)m->csma.difs_ms};
    modem_say_u16s(m, CMD_STAT_PHYPRM, v, sizeof v / sizeof v[0]);
}

void modem_say_csma(modem *m)
{
    uint8_t v[] = {m->csma.band, m->csma.min, m->csma.max};
    modem_say(m, CMD_STAT_CSMA, v, sizeof v);
}
