#include "pure/base32.h"

#include "base/ids.h"

void base32_put(buf *out, bytes s)
{
    unsigned held = 0, bits = 0;
    for (size_t i = 0; i < s.len; i++) {
        held = (held << 8 | s.p[i]) & 0xfff;
        for (bits += 8; bits >= 5; bits -= 5)
            (void)buf_add_u8(out, (uint8_t)BASE32_ALPHABET[held >> (bits - 5) & 31]);
    }
    if (bits > 0)
        (void)buf_add_u8(out, (uint8_t)BASE32_ALPHABET[held << (5 - bits) & 31]);
}

int base32_meaning(uint8_t c)
{
    if (c == ' ' || c == '-' || c == '\t' || c == '\n' || c == '\r')
        return BASE32_END;
    if (c >= 'A' && c <= 'Z')
        c = (uint8_t)(c - 'A' + 'a');
    if (c == 'o')
        c = '0';
    if (c == 'i' || c == 'l')
        c = '1';
    const char *at = c ? strchr(BASE32_ALPHABET, c) : NULL;
    return at ? (int)(at - BASE32_ALPHABET) : BASE32_BAD;
}

int base32_next(base32_reader *r)
{
    while (r->at < r->text.len) {
        r->c = r->text.p[r->at++];
        int m = base32_meaning((uint8_t)r->c);
        if (m != BASE32_END)
            return m;
    }
    return BASE32_END;
}

err_t base32_rest(base32_reader *r, buf *out)
{
    unsigned held = 0, bits = 0;
    int m;
    while ((m = base32_next(r)) >= 0) {
        held = (held << 5 | (unsigned)m) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            (void)buf_add_u8(out, (uint8_t)(held >> bits));
        }
    }
    if (m == BASE32_BAD)
        return ERR_INVALID;
    if (bits >= 5 || (held & ((1u << bits) - 1)) != 0)
        return ERR_TRUNCATED;
    return out->err;
}
