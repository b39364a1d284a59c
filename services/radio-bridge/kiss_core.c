#include "radio-bridge/kiss_core.h"

void kiss_reader_init(kiss_reader *r)
{
    *r = (kiss_reader){.in_frame = false};
}

static void begin(kiss_reader *r)
{
    r->in_frame = true;
    r->escape = r->too_long = false;
    r->len = 0;
}

static bool end(kiss_reader *r)
{
    if (r->len == 0)
        return false; /* two FENDs: still at the beginning */
    r->in_frame = false;
    r->frames += !r->too_long;
    return !r->too_long;
}

static void note_babble(kiss_reader *r, uint8_t b)
{
    bool text = (b >= ' ' && b < 0x7f) || b == '\r' || b == '\n' || b == '\t';
    uint32_t *n = text ? &r->printable : &r->junk;
    *n += *n < UINT32_MAX;
}

static void add(kiss_reader *r, uint8_t b)
{
    if (r->len == sizeof r->data)
        r->too_long = true;
    else
        r->data[r->len++] = b;
}

bool kiss_take(kiss_reader *r, uint8_t b)
{
    if (b == KISS_FEND && r->in_frame)
        return end(r);
    if (b == KISS_FEND) {
        begin(r);
    } else if (!r->in_frame) {
        note_babble(r, b);
    } else if (b == KISS_FESC) {
        r->escape = true;
    } else {
        bool escaped = r->escape;
        r->escape = false;
        add(r, !escaped ? b : b == KISS_TFEND ? KISS_FEND : b == KISS_TFESC ? KISS_FESC : b);
    }
    return false;
}

void kiss_put(buf *out, uint8_t command, bytes data)
{
    (void)buf_add_u8(out, KISS_FEND);
    (void)buf_add_u8(out, command);
    for (size_t i = 0; i < data.len; i++) {
        uint8_t b = data.p[i];
        if (b == KISS_FEND || b == KISS_FESC) {
            (void)buf_add_u8(out, KISS_FESC);
            b = b == KISS_FEND ? KISS_TFEND : KISS_TFESC;
        }
        (void)buf_add_u8(out, b);
    }
    (void)buf_add_u8(out, KISS_FEND);
}
