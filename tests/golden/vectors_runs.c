#include "tests/golden/vectors.h"

#include "pure/bundle.h"

#include <stdlib.h>

static void must(err_t e)
{
    if (e != ERR_OK)
        abort();
}

/* One change to the bytes of a good run or bundle. */
typedef enum { KEEP, FLIP, CUT, GROW, SET, UNSEAL, OTHER_DATASET, LIE, LIE_FORM } change;

typedef struct {
    change how;
    int at; /* negative: from the end */
    uint8_t value;
} damage;

/* The rest is done where the bundle is put together. */
static void apply(buf *b, damage d)
{
    size_t at = d.at < 0 ? b->len - (size_t)-d.at : (size_t)d.at;
    if (d.how == FLIP)
        b->p[at] ^= d.value;
    if (d.how == SET)
        b->p[at] = d.value;
    if (d.how == CUT)
        b->len = at;
    if (d.how == UNSEAL) { /* a run of one event */
        b->p[RUN_HEADER_BYTES] = 0;
        b->len -= SEAL_BYTES;
        put_u32be(b->p + 20, (uint32_t)(b->len - RUN_HEADER_BYTES));
    }
    if (d.how == GROW)
        buf_add_u8(b, d.value);
}

/* ---- runs.json ---- */

typedef struct {
    const char *name;
    vectors_writer author; /* whose key the receiver checks with */
    unsigned from, to, erase, seal;
    damage d;
    err_t want;
    unsigned bad_index, sealed; /* of run_check; both 0 when the framing is refused */
} run_row;

static const run_row run_rows[] = {
    {"genesis and members", FOUNDER, 0, 3, 0, 0, {KEEP, 0, 0}, ERR_OK, 3, 3},
    {"one seal", NORTH, 3, 7, 0, 0, {KEEP, 0, 0}, ERR_OK, 4, 4},
    {"seals kept on the way", NORTH, 3, 7, 0, 1u << 3 | 1u << 5, {KEEP, 0, 0}, ERR_OK, 4, 4},
    {"an erased event", NORTH, 3, 7, 1u << 5, 0, {KEEP, 0, 0}, ERR_OK, 4, 4},
    {"all erased", NORTH, 3, 7, 0xffu, 0, {KEEP, 0, 0}, ERR_OK, 4, 4},
    {"not from seq 1", NORTH, 5, 7, 0, 0, {KEEP, 0, 0}, ERR_OK, 2, 2},
    {"express feed", SOUTH, 8, 9, 0, 0, {KEEP, 0, 0}, ERR_OK, 1, 1},
    {"empty", NORTH, 3, 7, 0, 0, {CUT, 0, 0}, ERR_TRUNCATED, 0, 0},
    {"cut in the header", NORTH, 3, 7, 0, 0, {CUT, 55, 0}, ERR_TRUNCATED, 0, 0},
    {"cut in the last seal", NORTH, 3, 7, 0, 0, {CUT, -1, 0}, ERR_TRUNCATED, 0, 0},
    {"a byte too many", NORTH, 3, 7, 0, 0, {GROW, 0, 0}, ERR_TRAILING, 0, 0},
    {"version 2", NORTH, 3, 7, 0, 0, {SET, 0, 2}, ERR_VERSION, 0, 0},
    {"codec 1", NORTH, 3, 7, 0, 0, {SET, 1, 1}, ERR_VERSION, 0, 0},
    {"a flag", NORTH, 3, 7, 0, 0, {SET, 3, 1}, ERR_VERSION, 0, 0},
    {"seq 0", NORTH, 3, 7, 0, 0, {SET, 15, 0}, ERR_OUT_OF_RANGE, 0, 0},
    {"no events", NORTH, 3, 7, 0, 0, {SET, 19, 0}, ERR_OUT_OF_RANGE, 0, 0},
    {"too many events", NORTH, 3, 7, 0, 0, {SET, 18, 0xff}, ERR_TOO_LARGE, 0, 0},
    {"a reserved bit", NORTH, 3, 7, 0, 0, {FLIP, 57, 0x80}, ERR_MALFORMED, 0, 0},
    {"another event before seq 1", NORTH, 3, 7, 0, 0, {FLIP, 24, 1}, ERR_BAD_CHAIN, 0, 0},
    {"another event before", NORTH, 5, 7, 0, 0, {FLIP, 24, 1}, ERR_BAD_SEAL, 1, 0},
    {"another feed", NORTH, 5, 7, 0, 0, {FLIP, 7, 1}, ERR_BAD_SEAL, 1, 0},
    {"another seq", NORTH, 5, 7, 0, 0, {FLIP, 15, 4}, ERR_BAD_SEAL, 1, 0},
    {"key of another", SOUTH, 5, 7, 0, 0, {KEEP, 0, 0}, ERR_BAD_SEAL, 1, 0},
    {"seal flipped", NORTH, 3, 7, 0, 1u << 4, {FLIP, -1, 1}, ERR_BAD_SEAL, 3, 2},
    {"hash of the tail flipped", SOUTH, 8, 9, 0xfffu, 0, {FLIP, -65, 1}, ERR_BAD_SEAL, 0, 0},
    {"length of the tail flipped", SOUTH, 8, 9, 0xfffu, 0, {FLIP, -97, 1}, ERR_BAD_SEAL, 0, 0},
    {"length of the tail beyond a body",
     SOUTH,
     8,
     9,
     0xfffu,
     0,
     {FLIP, -100, 0xff},
     ERR_OUT_OF_RANGE,
     0,
     0},
    {"no seal at the end", SOUTH, 8, 9, 0, 0, {UNSEAL, 0, 0}, ERR_UNSEALED, 0, 0},
    {"a roster event erased", FOUNDER, 0, 3, 1u << 1, 0, {KEEP, 0, 0}, ERR_MALFORMED, 1, 0},
    {"an erasure", NORTH, 9, 10, 0, 0, {KEEP, 0, 0}, ERR_OK, 1, 1},
    {"an erasure erased", NORTH, 9, 10, 1u << 9, 0, {KEEP, 0, 0}, ERR_MALFORMED, 0, 0},
    {"body no body", NORTH, 3, 7, 0, 0, {SET, 60, 0xc1}, ERR_MALFORMED, 0, 0},
};

static void put_run_row(const vectors_world *w, const run_row *row, buf *out)
{
    buf b;
    buf_init(&b, RUN_MAX_BYTES);
    vectors_run(w, row->from, row->to, row->erase, row->seal, &b);
    apply(&b, row->d);
    vectors_open(out, NULL, '{');
    vectors_text(out, "name", row->name);
    vectors_hex(out, "author", w->keys[row->author].public.b, MEMBER_KEY_BYTES);
    vectors_hex(out, "run", b.p, b.len);
    vectors_text(out, "result", err_name(row->want));
    vectors_number(out, "bad_index", row->bad_index);
    vectors_number(out, "sealed", row->sealed);
    if (row->want == ERR_OK)
        vectors_hex(out, "last", w->events[row->to - 1].id.b, EVENT_ID_BYTES);
    vectors_close(out, '}');
    buf_release(&b);
}

/* `n` events of 11 bytes by the north, none sealed but the last. */
static void long_run(const vectors_world *w, uint32_t n, buf *out)
{
    bytes body = bytes_of("\x97\0\0\x90\xa1"
                          "c\xa1s\xa1k\xc0",
                          11);
    event_view v;
    event_id id;
    run_writer rw;
    seal_sig seal;
    must(event_parse(body, &v));
    chain_start(&id, &w->dataset, 2, &w->keys[NORTH].public);
    must(run_begin(&rw, out, 2, 1, &id));
    for (uint32_t i = 1; i <= n; i++) {
        chain_next_event(&id, &id, i, &v);
        must(chain_sign(&seal, &w->keys[NORTH], &w->dataset, 2, i, &id));
        must(run_add(&rw, body, false, i == n ? &seal : NULL));
    }
    must(run_end(&rw, &n));
}

static void put_long_run(const vectors_world *w, uint32_t n, buf *out)
{
    buf b;
    buf_init(&b, RUN_MAX_BYTES);
    long_run(w, n, &b);
    vectors_open(out, NULL, '{');
    vectors_text(out, "name", n > 256 ? "257 events under one seal" : "256 events under one seal");
    vectors_hex(out, "author", w->keys[NORTH].public.b, MEMBER_KEY_BYTES);
    vectors_hex(out, "run", b.p, b.len);
    vectors_text(out, "result", err_name(n > 256 ? ERR_UNSEALED : ERR_OK));
    vectors_number(out, "bad_index", 256);
    vectors_number(out, "sealed", n > 256 ? 0 : n);
    vectors_close(out, '}');
    buf_release(&b);
}

void vectors_runs(buf *out)
{
    static vectors_world w;
    vectors_make_world(&w);
    vectors_open(out, NULL, '{');
    vectors_text(out, "about", "runs, codec 0, of the events in events.json");
    vectors_hex(out, "dataset", w.dataset.b, sizeof w.dataset.b);
    vectors_open(out, "runs", '[');
    for (size_t i = 0; i < sizeof run_rows / sizeof *run_rows; i++)
        put_run_row(&w, &run_rows[i], out);
    put_long_run(&w, 256, out);
    put_long_run(&w, 257, out);
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}

/* ---- bundles.json ---- */

typedef struct {
    const char *name;
    damage d;
    bool stranger; /* a run by a key that is no member, well sealed, is in it too */
    err_t want;
    unsigned whole_runs;
    const char *verifier; /* what an independent verifier finds */
} bundle_row;

static const bundle_row bundle_rows[] = {
    {"whole", {KEEP, 0, 0}, false, ERR_OK, 4, "ok"},
    {"with a run by a stranger", {KEEP, 0, 0}, true, ERR_OK, 5, "author"},
    {"a body changed, checksums right", {LIE, 0, 0}, false, ERR_OK, 4, "seal"},
    {"a body that fails the gate, checksums right", {LIE_FORM, 0, 0}, false, ERR_OK, 4, "gate"},
    {"empty", {CUT, 0, 0}, false, ERR_TRUNCATED, 0, "framing"},
    {"no bundle", {SET, 0, 'X'}, false, ERR_MALFORMED, 0, "framing"},
    {"version 2", {SET, 11, 2}, false, ERR_VERSION, 0, "framing"},
    {"another dataset", {OTHER_DATASET, 0, 0}, false, ERR_DATASET, 0, "dataset"},
    {"dataset flipped", {FLIP, 16, 1}, false, ERR_CHECKSUM, 0, "framing"},
    {"cut in the header", {CUT, 40, 0}, false, ERR_TRUNCATED, 0, "framing"},
    {"cut before the end record", {CUT, -40, 0}, false, ERR_TRUNCATED, 4, "framing"},
    {"cut in the last run", {CUT, -50, 0}, false, ERR_TRUNCATED, 3, "framing"},
    {"a byte too many", {GROW, 0, 0}, false, ERR_TRAILING, 4, "framing"},
    {"a body flipped", {FLIP, 200, 1}, false, ERR_CHECKSUM, 0, "framing"},
    {"unknown record", {SET, 59, 9}, false, ERR_MALFORMED, 0, "framing"},
    {"counts flipped", {FLIP, -25, 1}, false, ERR_CHECKSUM, 4, "framing"},
};

static void add_run(const vectors_world *w, bundle_progress *p, unsigned from, unsigned to,
                    unsigned erase, unsigned seal, change lie, buf *out)
{
    enum { FIRST_BODY = RUN_HEADER_BYTES + 4, ITS_CATEGORY = FIRST_BODY + 13 };
    buf b;
    run r;
    buf_init(&b, RUN_MAX_BYTES);
    vectors_run(w, from, to, erase, seal, &b);
    if (lie == LIE)
        b.p[ITS_CATEGORY] ^= 1;
    if (lie == LIE_FORM)
        b.p[FIRST_BODY + 1] = 0xc1;
    must(run_decode(buf_view(&b), &r));
    must(bundle_add(p, &r, out));
    buf_release(&b);
}

/* The south's event again, under member number 4, which nobody was given. */
static void add_stranger(const vectors_world *w, bundle_progress *p, buf *out)
{
    buf b;
    run r;
    run_writer rw;
    event_id start, id;
    seal_sig seal;
    uint32_t count;
    chain_start(&start, &w->dataset, 4, &w->keys[STRANGER].public);
    chain_next_event(&id, &start, 1, &w->events[7].view);
    must(chain_sign(&seal, &w->keys[STRANGER], &w->dataset, 4, 1, &id));
    buf_init(&b, RUN_MAX_BYTES);
    must(run_begin(&rw, &b, 4, 1, &start));
    must(run_add(&rw, w->events[7].body, false, &seal));
    must(run_end(&rw, &count));
    must(run_decode(buf_view(&b), &r));
    must(bundle_add(p, &r, out));
    buf_release(&b);
}

static void put_bundle_row(const vectors_world *w, const bundle_row *row, buf *out)
{
    buf b;
    bundle_progress p;
    buf_init(&b, 1 << 20);
    dataset_id dataset = w->dataset;
    dataset.b[0] ^= row->d.how == OTHER_DATASET;
    must(bundle_begin(&p, &dataset, &b));
    add_run(w, &p, 0, 3, 0, 0, KEEP, &b);
    add_run(w, &p, 3, 7, 1u << 5, 1u << 4, row->d.how, &b);
    add_run(w, &p, 7, 8, 0, 0, KEEP, &b);
    if (row->stranger)
        add_stranger(w, &p, &b);
    add_run(w, &p, 8, 9, 0, 0, KEEP, &b);
    must(bundle_end(&p, &b));
    apply(&b, row->d);
    vectors_open(out, NULL, '{');
    vectors_text(out, "name", row->name);
    vectors_hex(out, "bundle", b.p, b.len);
    vectors_text(out, "result", err_name(row->want));
    vectors_number(out, "whole_runs", row->whole_runs);
    vectors_text(out, "verifier", row->verifier);
    vectors_close(out, '}');
    buf_release(&b);
}

void vectors_bundles(buf *out)
{
    static vectors_world w;
    vectors_make_world(&w);
    vectors_open(out, NULL, '{');
    vectors_text(out, "about",
                 "bundles of the events in events.json; the reader expects this dataset");
    vectors_hex(out, "dataset", w.dataset.b, sizeof w.dataset.b);
    vectors_open(out, "bundles", '[');
    for (size_t i = 0; i < sizeof bundle_rows / sizeof *bundle_rows; i++)
        put_bundle_row(&w, &bundle_rows[i], out);
    vectors_close(out, ']');
    vectors_close(out, '}');
    buf_add_u8(out, '\n');
}
