/* The modem fed by a host and the air at once. Each input is a script of steps, two bytes and their argument: it lives,
 * time goes forward, and what it says to the host stays within its bound. */
#include "ether/modem_core.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

typedef struct {
    bytes in;
    air_us now;
    modem *m;
} script;

static uint8_t take(script *s)
{
    if (s->in.len == 0)
        return 0;
    s->in.len--;
    return *s->in.p++;
}

static bytes take_some(script *s, size_t n)
{
    bytes some = {s->in.p, n < s->in.len ? n : s->in.len};
    s->in = bytes_of(s->in.p + some.len, s->in.len - some.len);
    return some;
}

static void pass(script *s, uint64_t us)
{
    s->now = air_after(s->now, us);
    modem_advance(s->m, s->now);
    must(modem_next(s->m).us > s->now.us);
}

static void step(script *s)
{
    uint8_t what = take(s), n = take(s);
    uint64_t serial;
    switch (what % 8) {
    case 0:
    case 1:
        modem_feed(s->m, take_some(s, n), s->now);
        break;
    case 2:
        modem_hear(s->m, take_some(s, n), (air_signal){(int16_t)(-100 * n), (int16_t)(n * 8)},
                   s->now);
        break;
    case 3:
        modem_carrier(s->m, n & 1, (int16_t)(-100 * (n >> 1)), s->now);
        break;
    case 4:
        pass(s, n * AIR_MS);
        break;
    case 5:
        pass(s, n * AIR_S / 4);
        break;
    case 6:
        modem_do(s->m, (modem_fault)(n % MODEM_FAULTS), n / MODEM_FAULTS, s->now);
        break;
    default:
        modem_set_host(s->m, (modem_host)(n % 3), s->now);
        if (n & 4)
            modem_line_opened(s->m, s->now);
        break;
    }
    must(modem_output(s->m).len <= MODEM_OUTPUT_MAX_BYTES);
    must(modem_sending(s->m, &serial).len <= LORA_PAYLOAD_MAX_BYTES);
    if (n & 1)
        modem_output_taken(s->m, modem_output(s->m).len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script s = {.in = bytes_of(data, size)};
    modem_spec spec = {.board = &modem_boards[take(&s) % modem_boards_count],
                       .station = 1,
                       .seed = take(&s),
                       .tcp_timeout_us = MODEM_TCP_TIMEOUT_US};
    s.m = modem_new(&spec, s.now);
    must(s.m != NULL);
    while (s.in.len > 0)
        step(&s);
    pass(&s, 30 * AIR_S);
    modem_free(&s.m);
    return 0;
}
