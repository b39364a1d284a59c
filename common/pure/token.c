#include "pure/token.h"

#include "proto/mp.h"
#include "pure/base32.h"
#include "pure/crypto.h"

#include <stdio.h>

#define TOKEN_VERSION  1u
#define SUM_BYTES      4u
#define ELEMENTS       9u
#define BODY_MAX_BYTES (TOKEN_TEXT_MAX_BYTES * 5 / 8)
#define ROLE_MAX       3u

static err_t say(char *why, err_t e, const char *sentence)
{
    snprintf(why, ERROR_TEXT_MAX_BYTES, "%s", sentence);
    return e;
}

/* ---- body ---- */

/* host:port: text without blanks and control characters, a colon, a port from 1 to 65535. */
static bool address_ok(bytes s)
{
    size_t colon = s.len;
    unsigned port = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
        if (s.p[i] == ':')
            colon = i;
    }
    size_t digits = colon < s.len ? s.len - colon - 1 : 0;
    if (colon == 0 || digits < 1 || digits > 5 || s.len > ADDRESS_MAX_BYTES || !utf8_valid(s))
        return false;
    for (size_t i = colon + 1; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        port = port * 10 + (s.p[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* A member without NUL is too long, and so refused. */
static bool member_ok(const char text[ADDRESS_MAX_BYTES + 1])
{
    const char *end = memchr(text, 0, ADDRESS_MAX_BYTES + 1);
    return end != NULL && address_ok(bytes_of(text, (size_t)(end - text)));
}

static bool token_ok(const token *t)
{
    for (unsigned i = 0; i < t->n_addresses && i < TOKEN_ADDRESSES_MAX; i++)
        if (!member_ok(t->addresses[i]))
            return false;
    return t->inviter != 0 && t->n_addresses <= TOKEN_ADDRESSES_MAX &&
           t->expires_ms <= WALL_MAX_MS && t->role >= 1 && t->role <= ROLE_MAX &&
           t->radio_len <= sizeof t->radio;
}

static void put_body(const token *t, buf *body)
{
    mp_put_array(body, ELEMENTS);
    mp_put_uint(body, TOKEN_VERSION);
    mp_put_bin(body, bytes_of(t->dataset.b, sizeof t->dataset.b));
    mp_put_uint(body, t->inviter);
    mp_put_bin(body, bytes_of(t->transport.b, sizeof t->transport.b));
    mp_put_array(body, t->n_addresses);
    for (unsigned i = 0; i < t->n_addresses; i++)
        mp_put_cstr(body, t->addresses[i]);
    mp_put_bin(body, bytes_of(t->secret, sizeof t->secret));
    mp_put_uint(body, t->expires_ms);
    mp_put_uint(body, t->role);
    mp_put_bin(body, bytes_of(t->radio, t->radio_len));
}

static void get_addresses(mp_reader *r, token *t)
{
    t->n_addresses = mp_array(r);
    if (t->n_addresses > TOKEN_ADDRESSES_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    for (unsigned i = 0; i < t->n_addresses && r->err == ERR_OK; i++) {
        bytes s = mp_str(r);
        if (!address_ok(s))
            mp_fail(r, ERR_OUT_OF_RANGE);
        else
            memcpy(t->addresses[i], s.p, s.len);
    }
}

static uint64_t get_bounded(mp_reader *r, uint64_t min, uint64_t max)
{
    uint64_t v = mp_uint(r);
    if (v < min || v > max)
        mp_fail(r, ERR_OUT_OF_RANGE);
    return r->err == ERR_OK ? v : 0;
}

static err_t get_body(bytes body, token *t)
{
    mp_reader r = mp_reader_of(body);
    uint32_t n = mp_array(&r);
    if (n < 1 || mp_uint(&r) != TOKEN_VERSION)
        return r.err != ERR_OK ? r.err : ERR_VERSION;
    if (n < ELEMENTS)
        return ERR_TRUNCATED;
    mp_fixed(&r, t->dataset.b, sizeof t->dataset.b);
    t->inviter = (member_no)get_bounded(&r, 1, MEMBERS_MAX);
    mp_fixed(&r, t->transport.b, sizeof t->transport.b);
    get_addresses(&r, t);
    mp_fixed(&r, t->secret, sizeof t->secret);
    t->expires_ms = get_bounded(&r, 0, WALL_MAX_MS);
    t->role = (uint8_t)get_bounded(&r, 1, ROLE_MAX);
    bytes radio = mp_bin(&r);
    if (radio.len > sizeof t->radio)
        mp_fail(&r, ERR_OUT_OF_RANGE);
    else if (radio.len > 0)
        memcpy(t->radio, radio.p, radio.len);
    t->radio_len = radio.len;
    for (uint32_t i = ELEMENTS; i < n && r.err == ERR_OK; i++)
        (void)mp_any(&r);
    return mp_done(&r);
}

static void checksum(bytes body, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "cairn/1 token", 13);
    crypto_hash_add(&h, body.p, body.len);
    crypto_hash_end(&h, out);
}

/* ---- text ---- */

err_t token_encode(const token *t, buf *out)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    buf body;
    if (!token_ok(t))
        return ERR_OUT_OF_RANGE;
    buf_init(&body, BODY_MAX_BYTES);
    put_body(t, &body);
    checksum(buf_view(&body), sum);
    (void)buf_add(&body, sum, SUM_BYTES);
    err_t e = body.err;
    if (e == ERR_OK) {
        (void)buf_add_str(out, TOKEN_PREFIX);
        base32_put(out, buf_view(&body));
        e = out->err;
    }
    crypto_wipe(body.p, body.len);
    buf_release(&body);
    return e;
}

static err_t read_prefix(base32_reader *s, char *why)
{
    static const char letters[] = TOKEN_PREFIX;
    for (size_t i = 0; letters[i] != '\0'; i++) {
        bool digit = letters[i + 1] == '\0';
        int m = base32_next(s);
        if (m == base32_meaning((uint8_t)letters[i]))
            continue;
        if (digit && m >= 2 && m <= 9)
            return say(why, ERR_VERSION,
                       "this token was made by a newer version of Cairn: update this one");
        return say(why, ERR_INVALID, "this is no Cairn token: they begin with " TOKEN_PREFIX);
    }
    return ERR_OK;
}

static err_t bad_character(const base32_reader *s, char *why)
{
    if (s->c > ' ' && s->c < 0x7f)
        snprintf(why, ERROR_TEXT_MAX_BYTES,
                 "the token was mistyped: character %zu, '%c', stands in no token", s->at, s->c);
    else
        snprintf(why, ERROR_TEXT_MAX_BYTES,
                 "the token was mistyped: byte %zu is no letter or digit", s->at);
    return ERR_CHECKSUM;
}

static err_t get_base32(base32_reader *s, buf *out, char *why)
{
    static const char cut[] = "the token was mistyped or cut: copy all of it, or ask for a new one";
    err_t e = base32_rest(s, out);
    if (e == ERR_INVALID)
        return bad_character(s, why);
    if (e == ERR_TRUNCATED || out->len <= SUM_BYTES)
        return say(why, ERR_CHECKSUM, cut);
    uint8_t sum[CRYPTO_HASH_BYTES];
    if (out->err == ERR_OK) {
        out->len -= SUM_BYTES;
        checksum(buf_view(out), sum);
        if (memcmp(sum, out->p + out->len, SUM_BYTES) != 0)
            return say(why, ERR_CHECKSUM, cut);
    }
    return out->err;
}

static err_t decode(bytes text, token *out, buf *body, char *why)
{
    base32_reader s = {.text = text};
    if (text.len > 2 * TOKEN_TEXT_MAX_BYTES)
        return say(why, ERR_INVALID, "this is no Cairn token: it is far too long");
    TRY(read_prefix(&s, why));
    (void)say(why, ERR_OK, "the token is longer than any that Cairn makes");
    TRY(get_base32(&s, body, why));
    err_t e = get_body(buf_view(body), out);
    if (e == ERR_VERSION)
        return say(why, e, "this token was made by another version of Cairn: update the older one");
    return e == ERR_OK ? e
                       : say(why, ERR_MALFORMED, "this token was made wrongly: ask for a new one");
}

err_t token_decode(bytes text, token *out, char why[ERROR_TEXT_MAX_BYTES])
{
    buf body;
    *out = (token){0};
    buf_init(&body, BODY_MAX_BYTES);
    err_t e = decode(text, out, &body, why);
    if (body.p != NULL)
        crypto_wipe(body.p, body.cap);
    buf_release(&body);
    if (e != ERR_OK)
        *out = (token){0};
    return e;
}

err_t token_check(const token *t, uint64_t now_ms, char why[ERROR_TEXT_MAX_BYTES])
{
    if (now_ms < t->expires_ms)
        return ERR_OK;
    uint64_t minutes = (now_ms - t->expires_ms) / 60000;
    bool days = minutes >= 48 * 60, hours = minutes >= 120;
    snprintf(why, ERROR_TEXT_MAX_BYTES,
             "this token expired %llu %s ago: ask for a new one (or set this machine's clock)",
             (unsigned long long)(days    ? minutes / 1440
                                  : hours ? minutes / 60
                                          : minutes),
             days    ? "days"
             : hours ? "hours"
                     : "minutes");
    return ERR_EXPIRED;
}
