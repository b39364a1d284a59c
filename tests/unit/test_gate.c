#include "proto/gate.h"

#include "tests/unit/prop_event.h"

#include <msgpack.h>

static err_t value_of(const char *hex, unsigned depth)
{
    uint8_t raw[256];
    size_t n = strlen(hex) / 2, used = 0;
    cr_assert(hex_decode(raw, n, hex, 2 * n), "bad hex in the test: %s", hex);
    bytes in = prop_exact(bytes_of(raw, n));
    err_t e = gate_value(in, &used, depth);
    if (e == ERR_OK && used != n)
        e = ERR_TRAILING;
    prop_free(in);
    return e;
}

static const struct {
    const char *hex;
    err_t want;
} values[] = {
    {"00", ERR_OK},
    {"7f", ERR_OK},
    {"cc80", ERR_OK},
    {"cc7f", ERR_NOT_SHORTEST},
    {"cd0100", ERR_OK},
    {"cd00ff", ERR_NOT_SHORTEST},
    {"ce00010000", ERR_OK},
    {"ce0000ffff", ERR_NOT_SHORTEST},
    {"cf0000000100000000", ERR_OK},
    {"cf00000000ffffffff", ERR_NOT_SHORTEST},
    {"cfffffffffffffffff", ERR_OK},
    {"e0", ERR_OK},
    {"ff", ERR_OK},
    {"d0df", ERR_OK},
    {"d080", ERR_OK},
    {"d0e0", ERR_NOT_SHORTEST},
    {"d000", ERR_NOT_SHORTEST},
    {"d07f", ERR_NOT_SHORTEST},
    {"d1ff7f", ERR_OK},
    {"d1ff80", ERR_NOT_SHORTEST},
    {"d17fff", ERR_NOT_SHORTEST},
    {"d2ffff7fff", ERR_OK},
    {"d2ffff8000", ERR_NOT_SHORTEST},
    {"d3ffffffff7fffffff", ERR_OK},
    {"d3ffffffff80000000", ERR_NOT_SHORTEST},
    {"d38000000000000000", ERR_OK},
    {"c0", ERR_OK},
    {"c1", ERR_MALFORMED},
    {"c2", ERR_OK},
    {"c3", ERR_OK},
    {"ca3fc00000", ERR_MALFORMED},
    {"cb3ff8000000000000", ERR_OK},
    {"cb7ff8000000000000", ERR_OK},
    {"cbfff8000000000000", ERR_MALFORMED},
    {"cb7ff8000000000001", ERR_MALFORMED},
    {"cb7ff0000000000001", ERR_MALFORMED},
    {"cb7ff0000000000000", ERR_OK},
    {"cbfff0000000000000", ERR_OK},
    {"cb8000000000000000", ERR_OK},
    {"cb3ff80000000000", ERR_TRUNCATED},
    {"a0", ERR_OK},
    {"a161", ERR_OK},
    {"a2c3b6", ERR_OK},
    {"a1c3", ERR_NOT_UTF8},
    {"a2c080", ERR_NOT_UTF8},
    {"a3eda080", ERR_NOT_UTF8},
    {"a4f4908080", ERR_NOT_UTF8},
    {"a86161616161616180", ERR_NOT_UTF8},
    {"a261", ERR_TRUNCATED},
    {"d90161", ERR_NOT_SHORTEST},
    {"da000161", ERR_NOT_SHORTEST},
    {"db0000000161", ERR_NOT_SHORTEST},
    {"dbffffffff", ERR_TRUNCATED},
    {"c400", ERR_OK},
    {"c50001ff", ERR_NOT_SHORTEST},
    {"c600000001ff", ERR_NOT_SHORTEST},
    {"c6ffffffff", ERR_TRUNCATED},
    {"d40000", ERR_OK},
    {"d5000000", ERR_OK},
    {"d600000000", ERR_TRUNCATED},
    {"c7010000", ERR_NOT_SHORTEST},
    {"c7020000", ERR_NOT_SHORTEST},
    {"c70000", ERR_OK},
    {"c703ff000000", ERR_OK},
    {"c8000300000000", ERR_NOT_SHORTEST},
    {"90", ERR_OK},
    {"dc0001c0", ERR_NOT_SHORTEST},
    {"ddffffffff", ERR_TRUNCATED},
    {"dfffffffff", ERR_TRUNCATED},
    {"80", ERR_OK},
    {"81a16101", ERR_OK},
    {"82a16101a16202", ERR_OK},
    {"82a16101a26161", ERR_TRUNCATED},
    {"82a16101a2616101", ERR_OK},
    {"82a2616101a16101", ERR_KEY_ORDER},
    {"82a16101a16102", ERR_KEY_ORDER},
    {"82a16201a16102", ERR_KEY_ORDER},
    {"810101", ERR_KEY_ORDER},
    {"81c0c0", ERR_KEY_ORDER},
    {"81c4016101", ERR_KEY_ORDER},
    {"de0001a16101", ERR_NOT_SHORTEST},
    {"", ERR_TRUNCATED},
    {"0000", ERR_TRAILING},
};

Test(gate, tells_the_good_values_from_the_bad)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        err_t e = value_of(values[i].hex, 0);
        cr_expect_eq(e, values[i].want, "%s: %s, not %s", values[i].hex, err_name(e),
                     err_name(values[i].want));
    }
}

/* Two ways to write every length at its limits. */
Test(gate, wants_each_length_in_its_shortest_form)
{
    static const struct {
        size_t len;
        bool str8, str16, bin8, bin16;
    } rows[] = {{31, false, false, true, false},
                {32, true, false, true, false},
                {255, true, false, true, false},
                {256, false, true, false, true}};
    static uint8_t raw[300];
    memset(raw, 'x', sizeof raw);
    for (size_t i = 0; i < 4; i++) {
        size_t n = rows[i].len, used;
        raw[0] = 0xd9, raw[1] = (uint8_t)n;
        cr_expect_eq(gate_value(bytes_of(raw, 2 + n), &used, 0) == ERR_OK && used == 2 + n,
                     rows[i].str8, "str 8 of %zu", n);
        raw[0] = 0xc4;
        cr_expect_eq(gate_value(bytes_of(raw, 2 + n), &used, 0) == ERR_OK && used == 2 + n,
                     rows[i].bin8, "bin 8 of %zu", n);
        raw[0] = 0xda, raw[1] = (uint8_t)(n >> 8), raw[2] = (uint8_t)n;
        cr_expect_eq(gate_value(bytes_of(raw, 3 + n), &used, 0) == ERR_OK, rows[i].str16,
                     "str 16 of %zu", n);
        raw[0] = 0xc5;
        cr_expect_eq(gate_value(bytes_of(raw, 3 + n), &used, 0) == ERR_OK, rows[i].bin16,
                     "bin 16 of %zu", n);
        raw[1] = raw[2] = 'x';
    }
}

/* A body of `n` elements: nils, the last one `last`. */
static err_t body_of(unsigned n, bytes last)
{
    buf b;
    buf_init(&b, 1 << 20);
    mp_put_array(&b, n);
    for (unsigned i = 1; i < n; i++)
        mp_put_nil(&b);
    buf_add_bytes(&b, last);
    bytes exact = prop_exact(buf_view(&b));
    err_t e = gate_check(exact);
    prop_free(exact);
    buf_release(&b);
    return e;
}

Test(gate, wants_7_to_15_elements_and_nothing_after)
{
    bytes one = bytes_of("\xc0", 1);
    for (unsigned n = 1; n < 20; n++)
        cr_expect_eq(body_of(n, one), n >= 7 && n <= 15 ? ERR_OK : ERR_MALFORMED, "%u elements", n);
    cr_expect_eq(body_of(7, bytes_of("\xc0\xc0", 2)), ERR_TRAILING);
    cr_expect_eq(body_of(7, bytes_of("", 0)), ERR_TRUNCATED);
    cr_expect_eq(gate_check(bytes_of("", 0)), ERR_TRUNCATED);
    cr_expect_eq(gate_check(bytes_of("\xdc\x00\x07\xc0\xc0\xc0\xc0\xc0\xc0\xc0", 10)),
                 ERR_MALFORMED);
    cr_expect_eq(gate_check(bytes_of("\x87", 1)), ERR_MALFORMED);
}

Test(gate, takes_64_kib_and_16_levels_but_no_more)
{
    static uint8_t big[70000];
    size_t n = EVENT_MAX_BYTES - 7 - 3; /* array header, 6 nils, bin 16 header */
    big[0] = 0xc5, big[1] = (uint8_t)(n >> 8), big[2] = (uint8_t)n;
    cr_expect_eq(body_of(7, bytes_of(big, 3 + n)), ERR_OK);
    n++;
    big[1] = (uint8_t)(n >> 8), big[2] = (uint8_t)n;
    cr_expect_eq(body_of(7, bytes_of(big, 3 + n)), ERR_TOO_LARGE);
    memset(big, 0x91, 40);
    for (unsigned levels = 1; levels < 40; levels++) {
        big[levels] = 0xc0;
        cr_expect_eq(body_of(7, bytes_of(big, levels + 1)), levels < 16 ? ERR_OK : ERR_TOO_DEEP,
                     "%u levels in a body", levels);
        big[levels] = 0x91;
    }
    cr_expect_eq(value_of("90", EVENT_MAX_DEPTH), ERR_TOO_DEEP);
    cr_expect_eq(value_of("80", EVENT_MAX_DEPTH), ERR_TOO_DEEP);
    cr_expect_eq(value_of("90", EVENT_MAX_DEPTH - 1), ERR_OK);
}

static int to_buf(void *ctx, const char *p, size_t n)
{
    return buf_add(ctx, p, n) ? 0 : -1;
}

/* msgpack-c reads it whole and writes the same bytes. */
static void expect_same_after_msgpack(bytes in)
{
    msgpack_unpacked got;
    size_t off = 0;
    buf again;
    buf_init(&again, 1 << 20);
    msgpack_unpacked_init(&got);
    int rc = msgpack_unpack_next(&got, (const char *)in.p, in.len, &off);
    cr_assert_eq(rc, MSGPACK_UNPACK_SUCCESS);
    cr_assert_eq(off, in.len);
    msgpack_packer pk = {.data = &again, .callback = to_buf};
    cr_assert_eq(msgpack_pack_object(&pk, got.data), 0);
    cr_assert(bytes_eq(buf_view(&again), in), "the gate let a second form of a value pass");
    msgpack_unpacked_destroy(&got);
    buf_release(&again);
}

static void mutate(prop_rng *r, buf *b)
{
    for (uint64_t n = 1 + prop_below(r, 3); n > 0; n--) {
        uint8_t *p = b->p + prop_below(r, b->len);
        switch (prop_below(r, 3)) {
        case 0:
            *p ^= (uint8_t)(1u << prop_below(r, 8));
            break;
        case 1:
            *p = (uint8_t)(0xc0 + prop_below(r, 64)); /* another form */
            break;
        default:
            memmove(p, p + 1, b->len - 1 - (size_t)(p - b->p));
            b->len -= b->len > 1;
        }
    }
}

Test(gate, accepts_only_what_msgpack_writes_back_unchanged)
{
    prop_rng r = prop_begin("gate round trip");
    unsigned refused = 0, accepted = 0;
    buf b;
    buf_init(&b, EVENT_MAX_BYTES);
    for (int i = 0; i < 4000; i++) {
        buf_clear(&b);
        prop_body(&r, &b);
        cr_assert_eq(gate_check(buf_view(&b)), ERR_OK);
        expect_same_after_msgpack(buf_view(&b));
        mutate(&r, &b);
        bytes exact = prop_exact(buf_view(&b));
        bool ok = gate_check(exact) == ERR_OK;
        if (ok)
            expect_same_after_msgpack(exact);
        accepted += ok;
        refused += !ok;
        prop_free(exact);
    }
    cr_assert(accepted > 100 && refused > 100, "mutants: %u accepted, %u refused", accepted,
              refused);
    buf_release(&b);
}

Test(gate, finds_every_truncation)
{
    prop_rng r = prop_begin("gate truncation");
    buf b;
    buf_init(&b, EVENT_MAX_BYTES);
    for (int i = 0; i < 60; i++) {
        buf_clear(&b);
        prop_body(&r, &b);
        for (size_t n = 0; n < b.len; n++) {
            bytes cut = prop_exact(bytes_of(b.p, n));
            cr_assert_eq(gate_check(cut), ERR_TRUNCATED);
            prop_free(cut);
        }
    }
    buf_release(&b);
}

Test(gate, says_where_the_elements_are)
{
    gate_elements e;
    bytes body = bytes_of("\x97\x01\xcc\x80\x90\xa1x\xa1y\xa1z\xc0", 12);
    cr_assert_eq(gate_split(body, &e), ERR_OK);
    cr_assert_eq(e.n, 7);
    static const uint32_t want[] = {1, 2, 4, 5, 7, 9, 11};
    for (unsigned i = 0; i < e.n; i++)
        cr_expect_eq(e.at[i], want[i], "element %u", i);
    cr_expect_eq(e.at[7], body.len);
}
