#include "proto/mp.h"
#include "pure/crypto.h"
#include "pure/token.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

static token sample(void)
{
    token t = {.inviter = 1,
               .n_addresses = 2,
               .expires_ms = 1792000000000,
               .role = 2,
               .radio_len = 3,
               .radio = {1, 2, 3}};
    for (unsigned i = 0; i < 32; i++) {
        t.dataset.b[i] = (uint8_t)i;
        t.transport.b[i] = (uint8_t)(255 - i);
    }
    for (unsigned i = 0; i < TOKEN_SECRET_BYTES; i++)
        t.secret[i] = (uint8_t)(i * 17);
    snprintf(t.addresses[0], sizeof t.addresses[0], "192.168.1.20:7410");
    snprintf(t.addresses[1], sizeof t.addresses[1], "[fe80::1]:7410");
    return t;
}

static void encode(const token *t, char *out, size_t size)
{
    buf b;
    buf_init(&b, TOKEN_TEXT_MAX_BYTES);
    cr_assert_eq(token_encode(t, &b), ERR_OK);
    cr_assert(b.len < size);
    snprintf(out, size, "%.*s", (int)b.len, (const char *)b.p);
    buf_release(&b);
}

static err_t decode(const char *text, token *out, char *why)
{
    return token_decode(bytes_str(text), out, why);
}

static bool equal(const token *a, const token *b)
{
    bool same = a->inviter == b->inviter && a->n_addresses == b->n_addresses &&
                a->expires_ms == b->expires_ms && a->role == b->role &&
                a->radio_len == b->radio_len;
    for (unsigned i = 0; same && i < a->n_addresses; i++)
        same = strcmp(a->addresses[i], b->addresses[i]) == 0;
    return same && memcmp(a->dataset.b, b->dataset.b, 32) == 0 &&
           memcmp(a->transport.b, b->transport.b, 32) == 0 &&
           memcmp(a->secret, b->secret, TOKEN_SECRET_BYTES) == 0 &&
           memcmp(a->radio, b->radio, a->radio_len) == 0;
}

/* From an independent computation (Python's hashlib and msgpack). */
Test(token, text_is_fixed)
{
    char text[TOKEN_TEXT_MAX_BYTES], why[ERROR_TEXT_MAX_BYTES];
    token t = sample(), again;
    encode(&t, text, sizeof text);
    cr_assert_str_eq(
        text,
        "cairn1k40w8800041061050r3gg28a1c60t3gf208h44rm2mb1e60s38dhr78y3w0w887zzvyzsyztz7wffxqnyksz"
        "5wfgxzqevv7bxbmyhsz6wqje7rq1w29b2c9s68q32dhr5rrjwchg78vk8c9gnsdpcs9r60x3mcax78vk8c9grg8004"
        "926d25askqh2ctneycvqqfzkr0000t2ew600005h0304106j6khmz0");
    cr_assert_eq(decode(text, &again, why), ERR_OK, "%s", why);
    cr_assert(equal(&t, &again));
}

Test(token, people_type_it_otherwise)
{
    char text[TOKEN_TEXT_MAX_BYTES], typed[3 * TOKEN_TEXT_MAX_BYTES], why[ERROR_TEXT_MAX_BYTES];
    token t = sample(), again;
    encode(&t, text, sizeof text);
    prop_rng rng = prop_begin("token.people_type_it_otherwise");
    for (int round = 0; round < 500; round++) {
        size_t n = 0;
        for (const char *p = text; *p; p++) {
            char c = *p;
            if (c == '0' && prop_below(&rng, 2))
                c = 'o';
            if (c == '1' && prop_below(&rng, 2))
                c = prop_below(&rng, 2) ? 'l' : 'i';
            if (c >= 'a' && c <= 'z' && prop_below(&rng, 2))
                c = (char)(c - 'a' + 'A');
            if (prop_below(&rng, 8) == 0)
                typed[n++] = " -\t\n\r"[prop_below(&rng, 5)];
            typed[n++] = c;
        }
        typed[n] = '\0';
        cr_assert_eq(decode(typed, &again, why), ERR_OK, "%s: %s", typed, why);
        cr_assert(equal(&t, &again));
    }
}

Test(token, every_wrong_character_and_every_cut_is_found)
{
    char text[TOKEN_TEXT_MAX_BYTES], why[ERROR_TEXT_MAX_BYTES];
    token t = sample(), again;
    encode(&t, text, sizeof text);
    size_t n = strlen(text);
    for (size_t i = strlen(TOKEN_PREFIX); i < n; i++) {
        char was = text[i];
        text[i] = was == 'x' ? 'y' : 'x';
        cr_assert_eq(decode(text, &again, why), ERR_CHECKSUM);
        text[i] = '\0';
        cr_assert_eq(decode(text, &again, why), ERR_CHECKSUM);
        cr_assert(strstr(why, "cut") != NULL);
        cr_assert_eq(again.inviter, 0);
        text[i] = was;
        if (i + 1 < n && text[i] != text[i + 1]) { /* two letters swapped */
            char next = text[i + 1];
            text[i] = next;
            text[i + 1] = was;
            cr_assert_eq(decode(text, &again, why), ERR_CHECKSUM);
            text[i] = was;
            text[i + 1] = next;
        }
    }
    snprintf(text + n, sizeof text - n, "0");
    cr_assert_eq(decode(text, &again, why), ERR_CHECKSUM);
}

Test(token, what_else_people_paste)
{
    static const struct {
        const char *text;
        err_t e;
        const char *why;
    } rows[] = {
        {"", ERR_INVALID, "no Cairn token"},
        {"hello", ERR_INVALID, "begin with cairn1"},
        {"https://example.org", ERR_INVALID, "begin with cairn1"},
        {"cairn", ERR_INVALID, "begin with cairn1"},
        {"cairn2abcdefgh", ERR_VERSION, "newer version"},
        {"cairn1", ERR_CHECKSUM, "cut"},
        {"cairn1abc", ERR_CHECKSUM, "cut"},
        {"cairn1abcu", ERR_CHECKSUM, "character 10, 'u'"},
        {"cairn1abc\xc3\xa9", ERR_CHECKSUM, "byte 10"},
        {"cairn1abc/def", ERR_CHECKSUM, "'/'"},
    };
    token t;
    char why[ERROR_TEXT_MAX_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(decode(rows[i].text, &t, why), rows[i].e, "%s", rows[i].text);
        cr_assert(strstr(why, rows[i].why) != NULL, "%s: %s", rows[i].text, why);
    }
    static char large[100000];
    memset(large, '0', sizeof large - 1);
    cr_assert_eq(decode(large, &t, why), ERR_INVALID);
    memcpy(large, "cairn1", 6);
    large[2 * TOKEN_TEXT_MAX_BYTES] = '\0';
    cr_assert(decode(large, &t, why) != ERR_OK);
}

/* A token around any body, with a right checksum. */
static err_t decode_body(buf *body, token *out, char *why)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, "cairn/1 token", 13);
    crypto_hash_add(&h, body->p, body->len);
    crypto_hash_end(&h, sum);
    buf_add(body, sum, 4);
    char text[TOKEN_TEXT_MAX_BYTES] = "cairn1";
    size_t n = 6;
    for (size_t bit = 0; bit < 8 * body->len; bit += 5) {
        unsigned v = 0;
        for (size_t k = bit; k < bit + 5; k++)
            v = v << 1 | (k < 8 * body->len ? (unsigned)body->p[k / 8] >> (7 - k % 8) & 1u : 0);
        text[n++] = BASE32_ALPHABET[v];
    }
    text[n] = '\0';
    return decode(text, out, why);
}

static void put_body(buf *b, const token *t, uint32_t elements, uint64_t version, uint64_t role)
{
    buf_clear(b);
    mp_put_array(b, elements);
    mp_put_uint(b, version);
    mp_put_bin(b, bytes_of(t->dataset.b, 32));
    mp_put_uint(b, t->inviter);
    mp_put_bin(b, bytes_of(t->transport.b, 32));
    mp_put_array(b, t->n_addresses);
    for (unsigned i = 0; i < t->n_addresses; i++)
        mp_put_cstr(b, t->addresses[i % TOKEN_ADDRESSES_MAX]);
    mp_put_bin(b, bytes_of(t->secret, 16));
    mp_put_uint(b, t->expires_ms);
    mp_put_uint(b, role);
    mp_put_bin(b, bytes_of(t->radio, t->radio_len));
}

Test(token, bodies_with_a_right_checksum)
{
    char why[ERROR_TEXT_MAX_BYTES];
    token t = sample(), out;
    buf b;
    buf_init(&b, 4096);
    put_body(&b, &t, 9, 1, 2);
    cr_assert_eq(decode_body(&b, &out, why), ERR_OK, "%s", why);
    put_body(&b, &t, 10, 1, 2); /* a later version says more */
    mp_put_cstr(&b, "more");
    cr_assert_eq(decode_body(&b, &out, why), ERR_OK, "%s", why);
    cr_assert(equal(&t, &out));
    put_body(&b, &t, 9, 2, 2);
    cr_assert_eq(decode_body(&b, &out, why), ERR_VERSION);
    put_body(&b, &t, 9, 1, 0);
    cr_assert_eq(decode_body(&b, &out, why), ERR_MALFORMED);
    cr_assert(strstr(why, "made wrongly") != NULL);
    put_body(&b, &t, 8, 1, 2);
    cr_assert_eq(decode_body(&b, &out, why), ERR_MALFORMED);
    put_body(&b, &t, 9, 1, 2);
    buf_add_u8(&b, 0);
    cr_assert_eq(decode_body(&b, &out, why), ERR_MALFORMED);
    t.n_addresses = TOKEN_ADDRESSES_MAX + 1;
    put_body(&b, &t, 9, 1, 2);
    cr_assert_eq(decode_body(&b, &out, why), ERR_MALFORMED);
    t = sample();
    snprintf(t.addresses[1], sizeof t.addresses[1], "host:0");
    put_body(&b, &t, 9, 1, 2);
    cr_assert_eq(decode_body(&b, &out, why), ERR_MALFORMED);
    buf_release(&b);
}

static void expect_not_encoded(token t)
{
    buf b;
    buf_init(&b, TOKEN_TEXT_MAX_BYTES);
    cr_assert_eq(token_encode(&t, &b), ERR_OUT_OF_RANGE);
    cr_assert_eq(b.len, 0);
    buf_release(&b);
}

Test(token, what_cannot_be_said_is_refused)
{
    static const char *const addresses[] = {
        "",           "host",     "host:",   ":7410",          "host:0",
        "host:65536", "host:12a", "ho st:1", "host:000007410", "\xff:1"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        token t = sample();
        snprintf(t.addresses[1], sizeof t.addresses[1], "%s", addresses[i]);
        expect_not_encoded(t);
    }
    token t = sample();
    t.inviter = 0;
    expect_not_encoded(t);
    t = sample();
    t.n_addresses = TOKEN_ADDRESSES_MAX + 1;
    expect_not_encoded(t);
    t = sample();
    t.role = 4;
    expect_not_encoded(t);
    t = sample();
    t.expires_ms = WALL_MAX_MS + 1;
    expect_not_encoded(t);
    t = sample();
    t.radio_len = sizeof t.radio + 1;
    expect_not_encoded(t);
}

Test(token, the_largest_fits)
{
    char text[TOKEN_TEXT_MAX_BYTES + 1], why[ERROR_TEXT_MAX_BYTES];
    token t = sample(), again;
    t.n_addresses = TOKEN_ADDRESSES_MAX;
    for (unsigned i = 0; i < TOKEN_ADDRESSES_MAX; i++) {
        memset(t.addresses[i], 'h', ADDRESS_MAX_BYTES);
        memcpy(t.addresses[i] + ADDRESS_MAX_BYTES - 6, ":65535", 7);
    }
    t.inviter = MEMBERS_MAX;
    t.expires_ms = WALL_MAX_MS;
    t.radio_len = sizeof t.radio;
    encode(&t, text, sizeof text);
    cr_assert_eq(decode(text, &again, why), ERR_OK, "%s", why);
    cr_assert(equal(&t, &again));
}

Test(token, expiry)
{
    char why[ERROR_TEXT_MAX_BYTES] = "";
    token t = sample();
    cr_assert_eq(token_check(&t, t.expires_ms - 1, why), ERR_OK);
    cr_assert_eq(token_check(&t, t.expires_ms, why), ERR_EXPIRED);
    cr_assert(strstr(why, "expired 0 minutes ago") != NULL);
    cr_assert_eq(token_check(&t, t.expires_ms + 3 * 3600000ull, why), ERR_EXPIRED);
    cr_assert(strstr(why, "expired 3 hours ago") != NULL, "%s", why);
    cr_assert_eq(token_check(&t, t.expires_ms + 5 * 86400000ull, why), ERR_EXPIRED);
    cr_assert(strstr(why, "expired 5 days ago") != NULL);
}
