#include "tests/unit/prop_event.h"

static const uint8_t nil_payload[] = {0xc0};

static event_fields plain_fields(void)
{
    return (event_fields){.stamp = {1764000000000u, 5},
                          .category = bytes_str("flood"),
                          .stream = bytes_str("3-1kx7"),
                          .kind = bytes_str("record.create"),
                          .payload = bytes_of(nil_payload, 1)};
}

Test(event, reads_back_what_was_built)
{
    static const event_reference refs[] = {{.distance = 7}, {.full = {0x40003, 1u << 20, 0xbeef}}};
    event_fields f = plain_fields();
    buf b, attributes;
    event_view v;
    event_reference ref;
    buf_init(&b, EVENT_MAX_BYTES);
    buf_init(&attributes, 1000);
    mp_put_map(&attributes, 4);
    mp_put_cstr(&attributes, "at");
    mp_put_int(&attributes, -5000);
    mp_put_cstr(&attributes, "by");
    mp_put_cstr(&attributes, "Ama");
    mp_put_cstr(&attributes, "cause");
    mp_put_uint(&attributes, 3);
    mp_put_cstr(&attributes, "corr");
    mp_put_uint(&attributes, 99);
    f.replaces = refs;
    f.n_replaces = 2;
    f.attributes = buf_view(&attributes);
    buf_add_u8(&b, 0xff); /* something stands before it */
    cr_assert_eq(event_build(&f, &b), ERR_OK);
    cr_assert_eq(event_parse(bytes_of(b.p + 1, b.len - 1), &v), ERR_OK);
    cr_assert(!v.opaque && !v.erased);
    cr_assert_eq(v.n_elements, 8);
    cr_assert_eq(hlc_cmp(v.stamp, f.stamp), 0);
    cr_assert(bytes_is(v.category, "flood") && bytes_is(v.stream, "3-1kx7"));
    cr_assert(bytes_is(v.kind, "record.create") && bytes_eq(v.payload, f.payload));
    cr_assert_eq(v.head.p + v.head.len, v.tail.p);
    cr_assert_eq(v.head.len + v.tail.len, v.body.len);
    cr_assert_eq(v.tail.p, v.payload.p);
    cr_assert_eq(event_written_bytes(&v), v.body.len);

    event_ref_iter it = event_refs(&v);
    cr_assert(event_next_ref(&it, &ref) && ref.distance == 7);
    cr_assert(event_next_ref(&it, &ref) && ref.distance == 0);
    cr_assert(ref.full.feed == 0x40003 && ref.full.seq == 1u << 20 && ref.full.prefix == 0xbeef);
    cr_assert(!event_next_ref(&it, &ref));

    int64_t at;
    uint64_t corr;
    bytes by, raw;
    cr_assert(event_attr_i64(&v, "at", &at) && at == -5000);
    cr_assert(event_attr_str(&v, "by", &by) && bytes_is(by, "Ama"));
    cr_assert(event_attr_ref(&v, "cause", &ref) && ref.distance == 3);
    cr_assert(event_attr_u64(&v, "corr", &corr) && corr == 99);
    cr_assert(event_attr(&v, "corr", &raw) && raw.len == 1);
    cr_assert(!event_attr_u64(&v, "at", &corr) && !event_attr_str(&v, "corr", &by));
    cr_assert(!event_attr_u64(&v, "b", &corr) && !event_attr_ref(&v, "by", &ref));
    buf_release(&b);
    buf_release(&attributes);
}

/* A body of raw elements 0 to 7; NULL takes the understood one. */
static err_t parse_with(unsigned at, const char *raw, size_t raw_len, event_view *v)
{
    static const char *const good[] = {"\x01",  "\x02",  "\x90", "\xa1x",
                                       "\xa1y", "\xa1z", "\xc0", "\x80"};
    static uint8_t body[2000];
    size_t n = 0;
    body[n++] = 0x98;
    for (unsigned i = 0; i < 8; i++) {
        const char *p = i == at ? raw : good[i];
        size_t len = i == at ? raw_len : strlen(good[i]);
        memcpy(body + n, p, len);
        n += len;
    }
    bytes exact = prop_exact(bytes_of(body, n));
    err_t e = event_parse(exact, v);
    if (e == ERR_OK)
        cr_expect_eq(v->head.len + v->tail.len, n);
    prop_free(exact);
    return e;
}

#define RAW(s) s, sizeof(s) - 1

Test(event, calls_opaque_what_it_does_not_understand)
{
    static const struct {
        unsigned element;
        const char *raw;
        size_t len;
        bool opaque;
    } rows[] = {
        {0, RAW("\xcf\x00\x00\xff\xff\xff\xff\xff\xff"), false},
        {0, RAW("\xcf\x00\x01\x00\x00\x00\x00\x00\x00"), true},
        {0, RAW("\xff"), true},
        {0, RAW("\xa1t"), true},
        {1, RAW("\xce\xff\xff\xff\xff"), false},
        {1, RAW("\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), true},
        {2, RAW("\xc0"), true},
        {2, RAW("\x91\x01"), false},
        {2, RAW("\x91\x00"), true},
        {2, RAW("\x91\xff"), true},
        {2, RAW("\x91\x93\x03\x01\xcd\xff\xff"), false},
        {2, RAW("\x91\x93\x03\x00\x01"), true},
        {2, RAW("\x91\x93\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x01\x01"), true},
        {2, RAW("\x91\x93\x03\x01\xce\x00\x01\x00\x00"), true},
        {2, RAW("\x91\x92\x03\x01"), true},
        {2, RAW("\x91\x94\x03\x01\x01\x01"), true},
        {2, RAW("\x91\xa1x"), true},
        {3, RAW("\xa0"), true},
        {3, RAW("\xa3x/y"), true},
        {3, RAW("\xa2x\0"), true},
        {3, RAW("\xc4\x01x"), true},
        {4, RAW("\xa0"), true},
        {4, RAW("\xa3x/y"), false},
        {4, RAW("\xa2\0y"), true},
        {5, RAW("\xa0"), true},
        {5, RAW("\x05"), true},
        {6, RAW("\xcb\x3f\xf8\0\0\0\0\0\0"), false},
        {7, RAW("\x81\xa1k\x01"), false},
        {7, RAW("\xc0"), true},
        {7, RAW("\x90"), true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        event_view v;
        cr_expect_eq(parse_with(rows[i].element, rows[i].raw, rows[i].len, &v), ERR_OK, "row %zu",
                     i);
        cr_expect_eq(v.opaque, rows[i].opaque, "row %zu", i);
        if (v.opaque)
            cr_expect(v.kind.len == 0 && v.payload.len == 0 && v.stamp.wall_ms == 0, "row %zu", i);
    }
}

static bool name_opaque(unsigned element, size_t len)
{
    uint8_t raw[200] = {0xd9, (uint8_t)len};
    event_view v;
    memset(raw + 2, 'n', len);
    cr_assert_eq(parse_with(element, (const char *)raw, len + 2, &v), ERR_OK);
    return v.opaque;
}

Test(event, bounds_names_and_references)
{
    event_view v;
    char refs[64] = "\xdc\0\x20";
    memset(refs + 3, 1, 33);
    cr_expect(!name_opaque(3, 64) && name_opaque(3, 65));
    cr_expect(!name_opaque(4, 128) && name_opaque(4, 129));
    cr_expect(!name_opaque(5, 64) && name_opaque(5, 65));
    cr_assert_eq(parse_with(2, refs, 3 + 32, &v), ERR_OK);
    cr_expect(!v.opaque && v.n_replaces == 32);
    refs[2] = 33;
    cr_assert_eq(parse_with(2, refs, 3 + 33, &v), ERR_OK);
    cr_expect(v.opaque);
}

Test(event, carries_elements_of_later_versions)
{
    event_view v;
    cr_assert_eq(event_parse(bytes_of("\x9a\x01\x02\x90\xa1x\xa1y\xa1z\xc0\x80\xc3\xa1q", 15), &v),
                 ERR_OK);
    cr_expect(!v.opaque && v.n_elements == 10);
    cr_expect(v.attributes.len == 1 && v.tail.len == 5);
}

static err_t build(event_fields f)
{
    buf b;
    buf_init(&b, EVENT_MAX_BYTES);
    err_t e = event_build(&f, &b);
    if (e != ERR_OK)
        cr_expect_eq(b.len, 0, "nothing half written");
    buf_release(&b);
    return e;
}

Test(event, builds_nothing_that_others_would_refuse)
{
    static uint8_t big[EVENT_MAX_BYTES];
    static const event_reference many[REPLACES_MAX + 1] = {{.distance = 1}};
    event_fields f = plain_fields(), g = f;
    cr_expect_eq(build(f), ERR_OK);
    g.category = bytes_str("a/b");
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g.category = bytes_str("\xff");
    cr_expect_eq(build(g), ERR_NOT_UTF8);
    g = f, g.kind = bytes_str("");
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g = f, g.stamp.wall_ms = WALL_MAX_MS + 1;
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g = f, g.replaces = many, g.n_replaces = REPLACES_MAX + 1;
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g.replaces = &(event_reference){.full = {3, 0, 1}}, g.n_replaces = 1;
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g = f, g.payload = bytes_of("\xcc\x01", 2);
    cr_expect_eq(build(g), ERR_NOT_SHORTEST);
    g.payload = bytes_of("\xc0\xc0", 2);
    cr_expect_eq(build(g), ERR_TRAILING);
    g.payload = bytes_of("", 0);
    cr_expect_eq(build(g), ERR_TRUNCATED);
    g.payload = bytes_of("", 0), g.attributes = bytes_of("\x80\x80", 2);
    cr_expect_eq(build(g), ERR_MALFORMED);
    g = f, g.attributes = bytes_of("\x90", 1);
    cr_expect_eq(build(g), ERR_OUT_OF_RANGE);
    g = f, g.payload = bytes_of(big, sizeof big);
    cr_expect_eq(build(g), ERR_TOO_LARGE);
}

/* The erased form of a parsed body, in exactly as much memory. */
static bytes erased_of(const event_view *v, const uint8_t *hash)
{
    buf b;
    buf_init(&b, EVENT_MAX_BYTES + EVENT_ERASED_EXTRA);
    cr_assert_eq(event_write_erased(v, hash, &b), ERR_OK);
    bytes exact = prop_exact(buf_view(&b));
    buf_release(&b);
    return exact;
}

Test(event, keeps_the_head_of_an_erased_one)
{
    prop_rng r = prop_begin("erased form");
    static const uint8_t hash[EVENT_HASH_BYTES] = {9, 8, 7};
    for (int i = 0; i < 300; i++) {
        buf b;
        event_view whole, v;
        buf_init(&b, EVENT_MAX_BYTES);
        prop_body(&r, &b);
        cr_assert_eq(event_parse(buf_view(&b), &whole), ERR_OK);
        bytes erased = erased_of(&whole, hash);
        cr_assert_eq(event_parse_erased(erased, &v), ERR_OK);
        cr_assert(v.erased && !v.opaque && bytes_eq(v.head, whole.head));
        cr_assert(v.tail_len == whole.tail.len && v.tail.len == 0 && v.payload.len == 0);
        cr_assert_eq(memcmp(v.tail_hash, hash, sizeof hash), 0);
        cr_assert(bytes_eq(v.stream, whole.stream) && v.n_replaces == whole.n_replaces);
        cr_assert_eq(event_written_bytes(&v), b.len);
        prop_free(erased);
        buf_release(&b);
    }
}

Test(event, refuses_broken_erased_forms)
{
    static const uint8_t hash[EVENT_HASH_BYTES];
    event_view v, whole;
    buf b;
    event_fields f = plain_fields();
    buf_init(&b, EVENT_MAX_BYTES);
    cr_assert_eq(event_build(&f, &b), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&b), &whole), ERR_OK);
    bytes good = erased_of(&whole, hash);
    for (size_t n = 0; n < good.len; n++) {
        bytes cut = prop_exact(bytes_of(good.p, n));
        cr_expect_neq(event_parse_erased(cut, &v), ERR_OK, "cut at %zu", n);
        prop_free(cut);
    }
    uint8_t *p = (uint8_t *)(uintptr_t)good.p, *len = p + whole.head.len;
    put_u32be(len, 0);
    cr_expect_eq(event_parse_erased(good, &v), ERR_OUT_OF_RANGE, "7 elements need a tail");
    put_u32be(len, (uint32_t)(EVENT_MAX_BYTES - whole.head.len));
    cr_expect_eq(event_parse_erased(good, &v), ERR_OK);
    put_u32be(len, (uint32_t)(EVENT_MAX_BYTES - whole.head.len + 1));
    cr_expect_eq(event_parse_erased(good, &v), ERR_OUT_OF_RANGE);
    p[0] = 0x96;
    cr_expect_eq(event_parse_erased(good, &v), ERR_MALFORMED);
    prop_free(good);
    buf_release(&b);
}
