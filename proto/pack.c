#include "proto/pack.h"

size_t pack_begin(buf *out, const msg_envelope *e)
{
    size_t at = out->len;
    buf_add_u32be(out, 0);
    err_t err = msg_envelope_encode(e, out);
    (void)err; /* sticky: pack_end sees it */
    return at;
}

err_t pack_end(buf *out, size_t at)
{
    err_t e = out->err;
    if (e == ERR_OK)
        put_u32be(out->p + at, (uint32_t)(out->len - at - 4));
    else
        out->len = at;
    out->err = ERR_OK;
    return e;
}

/* The next message with its envelope; false when the length does not fit the rest. */
static bool cut(bytes *rest, bytes *message)
{
    if (rest->len < 4 || rest->len - 4 < get_u32be(rest->p))
        return false;
    *message = bytes_of(rest->p + 4, get_u32be(rest->p));
    *rest = bytes_of(message->p + message->len, rest->len - 4 - message->len);
    return true;
}

err_t pack_check(bytes frame)
{
    bytes message;
    unsigned n = 0;
    do
        if (++n > PACK_MAX_MESSAGES || !cut(&frame, &message))
            return ERR_MALFORMED;
    while (frame.len != 0);
    return ERR_OK;
}

err_t pack_take(bytes *rest, msg_envelope *e, bytes *body)
{
    bytes message;
    if (rest->len == 0)
        return ERR_NOT_FOUND;
    return cut(rest, &message) ? msg_envelope_decode(message, e, body) : ERR_MALFORMED;
}
