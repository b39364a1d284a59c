#include "base/limits.h"
#include "pure/codec.h"
#include "tests/unit/prop_event.h"
#include "tests/unit/survey.h"

#define DATA CAIRN_SOURCE_DIR "/tests/data/"

/* What priming costs nothing but time: this much of another feed, design section 6. */
#define PRIME_BYTES 32768u

static size_t encoded(codec *c, const bytes *bodies, size_t n, buf *out)
{
    size_t from = out->len;
    cr_assert_eq(codec_encode(c, bodies, n, out), ERR_OK);
    return out->len - from;
}

/* ---- the same bytes come back ---- */

typedef struct {
    buf all;
    bytes bodies[8];
    size_t n;
} bunch;

static bunch random_bunch(prop_rng *rng)
{
    bunch b = {.n = 1 + prop_below(rng, 8)};
    size_t ends[8];
    buf_init(&b.all, 8 * EVENT_MAX_BYTES);
    for (size_t i = 0; i < b.n; i++) {
        prop_body(rng, &b.all);
        ends[i] = b.all.len;
    }
    for (size_t i = 0; i < b.n; i++)
        b.bodies[i] =
            bytes_of(b.all.p + (i > 0 ? ends[i - 1] : 0), ends[i] - (i > 0 ? ends[i - 1] : 0));
    return b;
}

static void expect_back(codec *c, bytes code, const bunch *b)
{
    buf out;
    size_t ends[8];
    buf_init(&out, 8 * EVENT_MAX_BYTES);
    cr_assert_eq(codec_decode(c, code, b->n, b->all.len, &out, ends), ERR_OK);
    cr_assert(bytes_eq(buf_view(&out), buf_view(&b->all)));
    for (size_t i = 0; i < b->n; i++)
        cr_assert_eq(ends[i], (size_t)(b->bodies[i].p - b->all.p) + b->bodies[i].len);
    buf_release(&out);
}

Test(codec, gives_every_body_back, .timeout = 120)
{
    prop_rng rng = prop_begin("codec round trip");
    codec *sender = codec_new(), *receiver = codec_new(), *fed = codec_new();
    cr_assert(sender != NULL && receiver != NULL && fed != NULL);
    for (int i = 0; i < 25; i++) {
        bunch b = random_bunch(&rng);
        buf code, again;
        buf_init(&code, 16 * EVENT_MAX_BYTES);
        buf_init(&again, 16 * EVENT_MAX_BYTES);
        codec_copy(fed, sender);
        (void)encoded(sender, b.bodies, b.n, &code);
        bytes exact = prop_exact(buf_view(&code));
        expect_back(receiver, exact, &b);
        /* Fed, encoded, decoded: all stand behind the same bodies, so they code alike from here. */
        for (size_t k = 0; k < b.n; k++)
            cr_assert_eq(codec_feed(fed, b.bodies[k]), ERR_OK);
        buf_clear(&code);
        codec *copy = codec_new();
        codec_copy(copy, receiver);
        (void)encoded(copy, b.bodies, b.n, &code);
        codec_copy(copy, fed);
        (void)encoded(copy, b.bodies, b.n, &again);
        cr_assert(bytes_eq(buf_view(&code), buf_view(&again)));
        codec_free(copy);
        prop_free(exact);
        buf_release(&code);
        buf_release(&again);
        buf_release(&b.all);
    }
    codec_free(sender);
    codec_free(receiver);
    codec_free(fed);
}

Test(codec, floats_come_back_bit_for_bit)
{
    static const uint64_t bits[] = {
        0,                      /* 0.0 */
        0x8000000000000000ull,  /* -0.0 */
        1,                      /* the smallest */
        0x7fefffffffffffffull,  /* the largest */
        0x7ff0000000000000ull,  /* infinite */
        0x7ff8000000000001ull,  /* NaN with a payload */
        0xfff0000000000001ull,  /* signalling NaN */
        0x3ff0000000000000ull,  /* 1.0 */
        0x4340000000000000ull,  /* 2^53 */
        0xc02eed9168ffa5aaull,  /* -15.4640..., as GPS gives */
        0x44b52d02c7e14af6ull}; /* 1e23, where the nearest decimal is not the shortest */
    codec *a = codec_new(), *b = codec_new();
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        uint8_t body[10] = {0x91, 0xcb};
        buf code, out;
        size_t end;
        put_u64be(body + 2, bits[i]);
        bytes one = bytes_of(body, sizeof body);
        buf_init(&code, 256);
        buf_init(&out, 256);
        (void)encoded(a, &one, 1, &code);
        cr_assert_eq(codec_decode(b, buf_view(&code), 1, sizeof body, &out, &end), ERR_OK);
        cr_assert(bytes_eq(buf_view(&out), one), "%016llx", (unsigned long long)bits[i]);
        buf_release(&code);
        buf_release(&out);
    }
    codec_free(a);
    codec_free(b);
}

/* ---- what is no code ---- */

Test(codec, junk_stays_within_its_bounds, .timeout = 120)
{
    prop_rng rng = prop_begin("codec junk");
    codec *c = codec_new();
    for (int i = 0; i < 300; i++) {
        uint8_t junk[64];
        size_t n = prop_below(&rng, sizeof junk), ends[4];
        buf out;
        for (size_t k = 0; k < n; k++)
            junk[k] = (uint8_t)prop_u64(&rng);
        buf_init(&out, 4096);
        bytes exact = prop_exact(bytes_of(junk, n));
        (void)!codec_decode(c, exact, 4, 2000, &out, ends);
        cr_assert_leq(out.len, 2000 + 9);
        codec_reset(c);
        prop_free(exact);
        buf_release(&out);
    }
    codec_free(c);
}

Test(codec, refuses_what_is_no_single_array)
{
    static const struct {
        const char *what;
        uint8_t body[4];
        size_t len;
    } rows[] = {{"cut short", {0x92, 1}, 2},
                {"two of them", {0x91, 1, 0x90}, 3},
                {"a number", {7}, 1},
                {"a map with a number as key", {0x91, 0x81, 1, 1}, 4},
                {"nothing", {0}, 0}};
    codec *c = codec_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(codec_feed(c, bytes_of(rows[i].body, rows[i].len)), ERR_MALFORMED, "%s",
                     rows[i].what);
        codec_reset(c);
    }
    codec_free(c);
}

Test(codec, a_cut_or_longer_code_is_not_taken_for_the_whole)
{
    prop_rng rng = prop_begin("codec cut");
    bunch b = random_bunch(&rng);
    codec *c = codec_new();
    buf code, out;
    size_t ends[8];
    buf_init(&code, 16 * EVENT_MAX_BYTES);
    buf_init(&out, 16 * EVENT_MAX_BYTES);
    (void)encoded(c, b.bodies, b.n, &code);
    codec_reset(c);
    buf_add_u8(&code, 1);
    cr_assert_eq(codec_decode(c, buf_view(&code), b.n, b.all.len, &out, ends), ERR_MALFORMED);
    codec_reset(c);
    buf_clear(&out);
    /* A part may be the code of other bodies: only the chain knows. */
    err_t e = codec_decode(c, bytes_of(code.p, code.len / 2), b.n, b.all.len, &out, ends);
    cr_assert(e != ERR_OK || !bytes_eq(buf_view(&out), buf_view(&b.all)));
    codec_free(c);
    buf_release(&code);
    buf_release(&out);
    buf_release(&b.all);
}

/* ---- the figures: real surveys, single-record runs ---- */

typedef struct {
    double mean, first, first_ten; /* bytes */
} figures;

static void prime(codec *c, const survey *s, size_t author)
{
    size_t end = s->first[author + 1], from = end, size = 0;
    while (from > s->first[author] && size + survey_body(s, from - 1).len <= PRIME_BYTES)
        size += survey_body(s, --from).len;
    for (; from < end; from++)
        cr_assert_eq(codec_feed(c, survey_body(s, from)), ERR_OK);
}

static void code_feed(const survey *s, size_t author, figures *sum, size_t *late)
{
    codec *c = codec_new();
    size_t from = s->first[author], n = s->first[author + 1] - from;
    prime(c, s, (author + 1) % SURVEY_AUTHORS);
    for (size_t i = 0; i < n; i++) {
        bytes body = survey_body(s, from + i);
        buf code;
        buf_init(&code, EVENT_MAX_BYTES);
        double size = (double)encoded(c, &body, 1, &code);
        sum->first += i == 0 ? size / SURVEY_AUTHORS : 0;
        sum->first_ten += i < 10 ? size / (10 * SURVEY_AUTHORS) : 0;
        sum->mean += i >= n / 2 ? size : 0;
        *late += i >= n / 2;
        buf_release(&code);
    }
    codec_free(c);
}

static figures measure(const char *path, const char *form)
{
    survey s;
    figures f = {0};
    size_t late = 0;
    survey_load(&s, path, form);
    for (size_t a = 0; a < SURVEY_AUTHORS; a++)
        code_feed(&s, a, &f, &late);
    f.mean /= (double)late;
    fprintf(stderr,
            "%s: %zu records of %.0f bytes; coded %.1f in the second half of a feed, first %.1f, "
            "first ten %.1f\n",
            form, s.n, (double)s.all.len / (double)s.n, f.mean, f.first, f.first_ten);
    survey_release(&s);
    return f;
}

Test(codec, flood_records_are_small, .timeout = 120)
{
    figures f = measure(DATA "mwefloodresponse.csv", "flood");
    cr_assert_leq(f.mean, 45);
    cr_assert_leq(f.first, 120);
    cr_assert_leq(f.first_ten, 60);
}

Test(codec, water_records_are_small, .timeout = 120)
{
    figures f = measure(DATA "waterconsumersurvey.csv", "water");
    cr_assert_leq(f.mean, 24);
    cr_assert_leq(f.first, 120);
    cr_assert_leq(f.first_ten, 60);
}
