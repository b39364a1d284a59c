/* A modem on a bench: bytes in and out as hex, time in ms. Included by the tests of the modem only. */
#ifndef CAIRN_MODEM_RIG_H
#define CAIRN_MODEM_RIG_H

#include "ether/modem_core.h"

#include <criterion/criterion.h>

typedef struct {
    modem *m;
    uint64_t ms, serial;
} rig;

static inline air_us rig_now(const rig *r)
{
    return (air_us){r->ms * 1000};
}

static inline rig rig_of(const char *board)
{
    modem_spec spec = {.board = modem_board_named(board),
                       .station = 1,
                       .seed = 7,
                       .tcp_timeout_us = MODEM_TCP_TIMEOUT_US};
    rig r = {.m = modem_new(&spec, (air_us){0})};
    cr_assert_not_null(r.m);
    return r;
}

static inline void rig_wait(rig *r, uint64_t ms)
{
    r->ms += ms;
    modem_advance(r->m, rig_now(r));
}

static inline void rig_send(rig *r, const void *p, size_t n)
{
    modem_feed(r->m, bytes_of(p, n), rig_now(r));
}

/* "c0 08 73 c0": blanks are for the eye. */
static inline size_t rig_hex(uint8_t *out, const char *hex)
{
    size_t n = 0;
    for (; *hex != '\0'; hex += *hex == ' ' ? 1 : 2)
        if (*hex != ' ')
            cr_assert(hex_decode(out + n++, 1, hex, 2), "%s", hex);
    return n;
}

static inline void rig_say(rig *r, const char *hex)
{
    uint8_t wire[1024];
    rig_send(r, wire, rig_hex(wire, hex));
}

/* All that came since the last call, as hex with blanks; borrowed until then. */
static inline const char *rig_heard(rig *r)
{
    static char text[3 * 8192 + 1];
    bytes out = modem_output(r->m);
    size_t n = out.len < 8192 ? out.len : 8192;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        hex_encode(text + 3 * i, out.p + i, 1);
        text[3 * i + 2] = i + 1 < n ? ' ' : '\0';
    }
    modem_output_taken(r->m, out.len);
    return text;
}

static inline void rig_forget(rig *r)
{
    modem_output_taken(r->m, modem_output(r->m).len);
}

#define rig_expect(r, hex)                                                                         \
    do {                                                                                           \
        const char *heard_ = rig_heard(r);                                                         \
        cr_assert_str_eq(heard_, hex, "heard %s\ninstead of %s", heard_, hex);                     \
    } while (0)

/* Running, a quiet channel at -120 dBm, nothing left to read. */
static inline rig rig_booted(const char *board)
{
    rig r = rig_of(board);
    modem_carrier(r.m, false, -12000, rig_now(&r));
    rig_wait(&r, 1000);
    rig_forget(&r);
    return r;
}

/* 869.525 MHz, 125 kHz, SF8, 17 dBm, CR 4/5 and on; the noise floor is known. */
#define RIG_CONFIG "c0 01 33 d3 e6 08 c0 02 00 01 e8 48 c0 03 11 c0 04 08 c0 05 05 c0 06 01 c0"

static inline rig rig_on(const char *board)
{
    rig r = rig_booted(board);
    rig_say(&r, RIG_CONFIG);
    rig_wait(&r, 400);
    rig_forget(&r);
    return r;
}

/* Something else is always sending: nothing leaves the queue. */
static inline rig rig_choked(const char *board)
{
    rig r = rig_on(board);
    modem_carrier(r.m, true, -9000, rig_now(&r));
    return r;
}

/* Lets time pass until a frame is on air; its bytes, borrowed. Empty after `ms` without one. */
static inline bytes rig_frame(rig *r, uint64_t ms)
{
    uint64_t serial;
    for (uint64_t end = r->ms + ms; r->ms < end; rig_wait(r, 1)) {
        bytes f = modem_sending(r->m, &serial);
        if (f.len > 0 && serial != r->serial) {
            r->serial = serial;
            return f;
        }
    }
    return bytes_of(NULL, 0);
}

/* A data frame of `n` bytes of value `v`, none of which needs an escape. */
static inline void rig_packet(rig *r, size_t n, uint8_t v)
{
    static uint8_t wire[8192];
    wire[0] = 0xc0;
    wire[1] = 0;
    memset(wire + 2, v, n);
    wire[2 + n] = 0xc0;
    rig_send(r, wire, n + 3);
}

#endif
