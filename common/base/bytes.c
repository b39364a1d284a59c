#include "base/bytes.h"

int bytes_cmp(bytes a, bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

void hex_encode(char *out, const void *p, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(void *out, size_t len, const char *s, size_t s_len)
{
    uint8_t *b = out;
    if (s_len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        b[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

/* Length of the sequence that starts with `lead`, 0 if it cannot start one. */
static size_t utf8_len(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    if (lead >= 0xf0 && lead <= 0xf4)
        return 4;
    return 0;
}

/* The second byte carries the rules against overlong forms, surrogates and beyond U+10FFFF. */
static bool utf8_second_ok(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return second >= 0x80 && second <= 0xbf;
    }
}

/* Nearly all text is ASCII: how many bytes of it come first, eight at a time. */
static size_t ascii_bytes(bytes s)
{
    uint64_t word;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        memcpy(&word, s.p + i, 8);
        if ((word & 0x8080808080808080u) != 0)
            return i;
    }
    while (i < s.len && s.p[i] < 0x80)
        i++;
    return i;
}

bool utf8_valid(bytes s)
{
    size_t i = ascii_bytes(s);
    while (i < s.len) {
        size_t n = utf8_len(s.p[i]);
        if (n == 0 || n > s.len - i)
            return false;
        if (n > 1 && !utf8_second_ok(s.p[i], s.p[i + 1]))
            return false;
        for (size_t k = 2; k < n; k++)
            if ((s.p[i + k] & 0xc0) != 0x80)
                return false;
        i += n;
    }
    return true;
}
