/* What goes wrong when a test asks for it. */
#include "ether/modem_core_impl.h"

const modem_fault_row modem_fault_rows[MODEM_FAULTS] = {
    [MODEM_FAULT_RESET] = {"reset", "restarts out of the blue", 0, 0},
    [MODEM_FAULT_ERROR] = {"error", "says ERROR with this code", 2, 255},
    [MODEM_FAULT_TX_TIMEOUT] = {"tx-timeout",
                                "the next transmission ends with errors 06, 02 and a restart", 0,
                                0},
    [MODEM_FAULT_START] = {"no-radio", "the radio fails to start (error 01) N times", 1, 1000},
    [MODEM_FAULT_DCD] = {"dcd", "1: senses a carrier for ever", 1, 1},
    [MODEM_FAULT_HANG] = {"hang", "1: neither answers nor sends", 1, 1},
    [MODEM_FAULT_BABBLE] = {"babble", "1: is no RNode: lines of a GPS receiver", 1, 1},
    [MODEM_FAULT_TNC] = {"tnc", "1: its settings are saved, it starts with the radio on", 1, 1},
    [MODEM_FAULT_VERSION] = {"version", "firmware, major * 256 + minor", 0x0132, 0xffff},
    [MODEM_FAULT_PROVISIONED] = {"provisioned", "0: blank EEPROM from the next start", 0, 1},
    [MODEM_FAULT_TEXT] = {"text", "says a line of text outside of frames", 0, 0},
};

static void set_saved(modem *m, bool saved)
{
    m->rom[ROM_CONF_OK] = saved ? ROM_OK_BYTE : 0;
    if (!saved)
        return;
    m->rom[ROM_SF] = m->sf;
    m->rom[ROM_CR] = m->cr;
    m->rom[ROM_TXPOWER] = m->txpower;
    put_u32be(m->rom + ROM_BW, m->bw_hz);
    put_u32be(m->rom + ROM_FREQUENCY, m->hz);
}

static void set_babbling(modem *m, bool babbles)
{
    m->babbles = babbles;
    m->babble_next = babbles ? m->now : AIR_NEVER;
    m->tuning.on = false;
    if (!babbles)
        modem_restart(m);
}

static void set_hung(modem *m, bool hung)
{
    if (hung) /* it stops in the middle of whatever it does */
        m->tx.frame_len = 0;
    else
        modem_restart(m);
    m->hung = hung;
}

static void set_provisioned(modem *m, bool provisioned)
{
    m->rom[ROM_LOCK] = provisioned ? ROM_OK_BYTE : 0xff;
}

void modem_do(modem *m, modem_fault fault, uint32_t value, air_us now)
{
    if (now.us > m->now.us)
        modem_advance(m, now);
    switch (fault) {
    case MODEM_FAULT_RESET:
        modem_restart(m);
        break;
    case MODEM_FAULT_ERROR:
        modem_say_u8(m, CMD_ERROR, (uint8_t)value);
        break;
    case MODEM_FAULT_TX_TIMEOUT:
        m->tx_to_hang = true;
        break;
    case MODEM_FAULT_START:
        m->starts_to_fail = value;
        break;
    case MODEM_FAULT_DCD:
        m->dcd_stuck = value != 0;
        break;
    case MODEM_FAULT_HANG:
        set_hung(m, value != 0);
        break;
    case MODEM_FAULT_BABBLE:
        set_babbling(m, value != 0);
        break;
    case MODEM_FAULT_TNC:
        set_saved(m, value != 0);
        break;
    case MODEM_FAULT_VERSION:
        m->version = (uint16_t)value;
        break;
    case MODEM_FAULT_PROVISIONED:
        set_provisioned(m, value != 0);
        break;
    case MODEM_FAULT_TEXT:
    default:
        modem_say_text(m, "E (12345) i2c: bus error, retrying\r\n");
        break;
    }
}
