/* From the host's frame to the air and back: the ring, the burst, the split over two frames, reception. */
#include "ether/modem_core_impl.h"

#include <assert.h>

/* ---- the queue ---- */

bool modem_queue_full(const modem *m)
{
    return m->queue.height >= m->board->queue_frames ||
           m->queue.queued_bytes >= m->board->queue_bytes;
}

/* What does not fit is dropped byte by byte. */
void modem_queue_byte(modem *m, uint8_t b)
{
    modem_queue *q = &m->queue;
    if (modem_queue_full(m))
        return;
    q->queued_bytes++;
    q->ring[q->cursor++] = b;
    if (q->cursor == m->board->queue_bytes)
        q->cursor = 0;
}

/* The length is taken from the ring's positions. An empty frame so gets the length of the whole ring; and bytes of a
 * frame that found the queue full at its end stay, and begin the next one. */
void modem_queue_close(modem *m)
{
    modem_queue *q = &m->queue;
    uint16_t size = m->board->queue_bytes, s = q->current_start;
    uint16_t e = (uint16_t)((q->cursor + size - 1) % size);
    if (q->count >= m->board->queue_frames || q->queued_bytes >= size)
        return;
    uint16_t len = (uint16_t)(s <= e ? e - s + 1 : size - s + e + 1);
    uint16_t at = (uint16_t)((q->first + q->count) % m->board->queue_frames);
    q->height++;
    q->starts[at] = s;
    q->lengths[at] = len;
    q->count++;
    q->current_start = q->cursor;
}

/* The next packet that can be sent, into tx.packet; what is too long is forgotten. Its length, 0: none. */
static size_t pop(modem *m, uint16_t *length)
{
    modem_queue *q = &m->queue;
    uint16_t start = q->starts[q->first];
    *length = q->lengths[q->first];
    q->first = (uint16_t)((q->first + 1) % m->board->queue_frames);
    q->count--;
    if (*length > RNODE_PACKET_BYTES)
        return 0;
    for (size_t i = 0; i < *length; i++)
        m->tx.packet[i] = q->ring[(start + i) % m->board->queue_bytes];
    return *length;
}

/* ---- sending ---- */

/* One frame, from where the packet is; a split one is full with the last byte that fits, whether or not more follow. */
static void begin_frame(modem *m)
{
    modem_tx *tx = &m->tx;
    size_t n = 0;
    tx->was_full = false;
    if (!m->promisc)
        tx->frame[n++] = tx->header;
    while (tx->at < tx->size && n < LORA_PAYLOAD_MAX_BYTES)
        tx->frame[n++] = tx->packet[tx->at++];
    tx->was_full = !m->promisc && (tx->header & FLAG_SPLIT) && n == LORA_PAYLOAD_MAX_BYTES;
    tx->frame_len = n;
    tx->serial++;
    tx->stuck = m->tx_to_hang;
    m->tx_to_hang = false;
    tx->end = tx->stuck ? air_after(m->now, MODEM_TX_TIMEOUT_US)
                        : air_after(m->now, airtime_us(&m->tuning.lora, n));
}

static void begin_packet(modem *m, size_t size)
{
    modem_tx *tx = &m->tx;
    tx->length = (uint16_t)size;
    tx->size = m->promisc && size > LORA_PAYLOAD_MAX_BYTES ? LORA_PAYLOAD_MAX_BYTES : size;
    tx->at = 0;
    tx->header = (uint8_t)(air_below(&m->dice, 256) & 0xf0);
    if (size > RNODE_SINGLE_BYTES)
        tx->header |= FLAG_SPLIT;
    begin_frame(m);
}

static void end_burst(modem *m)
{
    m->tx.burst = BURST_NONE;
    modem_update_airtime(m);
}

/* "flush_queue": all that waits, and the accounts begin anew. */
static void go_on_flushing(modem *m)
{
    uint16_t length;
    while (m->queue.count > 0) {
        size_t n = pop(m, &length);
        if (n > 0) {
            begin_packet(m, n);
            return;
        }
    }
    m->queue.height = 0;
    m->queue.queued_bytes = 0;
    end_burst(m);
}

/* "pop_queue": one packet. An empty frame takes the whole ring from the account, which wraps: full for ever. */
static void settle_one(modem *m, uint16_t length)
{
    m->queue.height--;
    m->queue.queued_bytes = (uint16_t)(m->queue.queued_bytes - length);
    end_burst(m);
}

void modem_burst_begin(modem *m)
{
    uint16_t length = 0;
    assert(m->tx.burst == BURST_NONE && m->tuning.on);
    m->tx.burst = m->slow_rate ? BURST_FLUSH : BURST_ONE;
    if (m->tx.burst == BURST_FLUSH) {
        go_on_flushing(m);
    } else if (m->queue.count > 0) {
        size_t n = pop(m, &length);
        if (n > 0)
            begin_packet(m, n);
        else
            settle_one(m, length);
    } else {
        end_burst(m);
    }
}

static void fail_transmission(modem *m)
{
    modem_say_u8(m, CMD_ERROR, ERROR_MODEM_TIMEOUT);
    modem_say_u8(m, CMD_ERROR, ERROR_TXFAILED);
    modem_restart(m);
}

void modem_tx_ended(modem *m)
{
    modem_tx *tx = &m->tx;
    size_t written = tx->frame_len;
    tx->frame_len = 0;
    if (tx->stuck) {
        fail_transmission(m);
        return;
    }
    modem_add_airtime(m, written);
    if (tx->was_full)
        begin_frame(m); /* maybe of the header only: a packet of 508 bytes */
    else if (tx->burst == BURST_FLUSH)
        go_on_flushing(m);
    else
        settle_one(m, tx->length);
}

/* ---- receiving ---- */

static void take_signal(modem *m, air_signal s, bool second)
{
    int rssi = s.rssi_cdbm / 100;
    int snr = s.snr_cdb / 25;
    int raw = (uint8_t)(int8_t)(snr > 127 ? 127 : snr < -128 ? -128 : snr);
    bool mean = second && m->board->platform == MODEM_AVR;
    m->last_rssi = mean ? (m->last_rssi + rssi) / 2 : rssi;
    m->last_snr = (uint8_t)(mean ? (m->last_snr + raw) / 2 : raw);
}

static void say_packet(modem *m)
{
    modem_say_rssi(m);
    modem_say(m, CMD_STAT_SNR, &m->last_snr, 1);
    modem_say(m, CMD_DATA, m->rx, m->rx_len);
    m->rx_len = 0;
}

static void collect(modem *m, bytes data)
{
    size_t room = sizeof m->rx - m->rx_len;
    size_t n = data.len < room ? data.len : room;
    memcpy(m->rx + m->rx_len, data.p, n);
    m->rx_len += n;
}

/* Halves are joined by the nibble alone, whoever sent them. */
void modem_hear(modem *m, bytes frame, air_signal signal, air_us now)
{
    modem_advance(m, now);
    if (!m->tuning.on || modem_blocked(m) || m->hung || frame.len == 0)
        return;
    if (m->promisc) {
        if (modem_has_stats(m))
            return; /* set aside and never read */
        take_signal(m, signal, false);
        m->rx_len = 0;
        collect(m, frame);
        say_packet(m);
        return;
    }
    uint8_t sequence = frame.p[0] >> 4;
    bool split = frame.p[0] & FLAG_SPLIT, second = split && m->seq == sequence;
    if (!second && (split || m->seq != SEQ_UNSET))
        m->rx_len = 0;
    take_signal(m, signal, second);
    m->seq = split && !second ? sequence : SEQ_UNSET;
    collect(m, bytes_of(frame.p + 1, frame.len - 1));
    if (!split || second)
        say_packet(m);
}
