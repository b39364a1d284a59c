/* What is in proto/vectors is read back here and must hold, and must be what make_vectors writes: the first part would
 * notice a decoder that drifts, the second an encoder. */
#include "proto/gate.h"
#include "pure/bundle.h"
#include "pure/codec.h"
#include "pure/radio_frame.h"
#include "pure/radio_say.h"
#include "tests/golden/vectors.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *load(const char *file)
{
    char path[512];
    json_error_t why;
    snprintf(path, sizeof path, "%s/proto/vectors/%s", CAIRN_SOURCE_DIR, file);
    json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    cr_assert_not_null(j, "%s: %s", path, why.text);
    cr_assert_eq(crypto_start(), ERR_OK);
    return j;
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    cr_assert_not_null(s, "no %s", key);
    return s;
}

static uint64_t number(const json_t *j, const char *key)
{
    cr_assert(json_is_integer(json_object_get(j, key)), "no %s", key);
    return (uint64_t)json_integer_value(json_object_get(j, key));
}

/* Bytes of a hex member in exactly as much memory; the caller frees. `extra` zero bytes follow. */
static bytes hex(const json_t *j, const char *key, size_t extra)
{
    const char *s = text(j, key);
    size_t n = strlen(s) / 2;
    uint8_t *p = calloc(n + extra > 0 ? n + extra : 1, 1);
    cr_assert(p != NULL && hex_decode(p, n, s, 2 * n), "%s is no hex", key);
    return bytes_of(p, n + extra);
}

static void drop(bytes b)
{
    free((void *)(uintptr_t)b.p);
}

static void fixed(const json_t *j, const char *key, void *out, size_t len)
{
    const char *s = text(j, key);
    cr_assert(hex_decode(out, len, s, strlen(s)), "%s is not %zu bytes", key, len);
}

Test(vectors, are_what_the_generator_writes)
{
    for (unsigned i = 0; i < VECTORS_FILES; i++) {
        char path[512];
        buf made;
        static char got[VECTORS_MAX_BYTES];
        buf_init(&made, VECTORS_MAX_BYTES);
        vectors_files[i].make(&made);
        cr_assert_eq(made.err, ERR_OK);
        snprintf(path, sizeof path, "%s/proto/vectors/%s", CAIRN_SOURCE_DIR, vectors_files[i].file);
        FILE *f = fopen(path, "rb");
        cr_assert_not_null(f, "%s", path);
        size_t n = fread(got, 1, sizeof got, f);
        fclose(f);
        cr_expect(bytes_eq(bytes_of(got, n), buf_view(&made)), "%s differs", path);
        buf_release(&made);
    }
}

Test(vectors, of_the_gate_hold)
{
    json_t *all = load("gate.json"), *row;
    size_t i;
    json_array_foreach(json_object_get(all, "bodies"), i, row)
    {
        size_t zeros = (size_t)json_integer_value(json_object_get(row, "zeros"));
        bytes body = hex(row, "body", zeros);
        err_t e = gate_check(body);
        cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", text(row, "name"),
                         err_name(e));
        drop(body);
    }
    cr_assert(i > 45);
    json_decref(all);
}

static void expect_event(const json_t *all, const dataset_id *dataset, const json_t *row)
{
    event_view v, gone;
    event_id previous, id, want;
    seal_sig seal;
    member_key author;
    bytes body = hex(row, "body", 0), erased = hex(row, "erased", 0);
    const char *name = text(row, "name");
    fixed(row, "previous", previous.b, sizeof previous.b);
    fixed(row, "id", want.b, sizeof want.b);
    fixed(row, "seal", seal.b, sizeof seal.b);
    fixed(json_object_get(all, "keys"), text(row, "author"), author.b, sizeof author.b);
    cr_assert_eq(event_parse(body, &v), ERR_OK);
    cr_expect_eq(v.head.len, number(row, "head_bytes"), "%s", name);
    cr_expect_eq(v.opaque, number(row, "opaque") != 0, "%s", name);
    chain_next_event(&id, &previous, number(row, "seq"), &v);
    cr_expect(event_id_eq(&id, &want), "%s: id", name);
    cr_assert_eq(event_parse_erased(erased, &gone), ERR_OK);
    chain_next_event(&id, &previous, number(row, "seq"), &gone);
    cr_expect(event_id_eq(&id, &want), "%s: id of the erased form", name);
    cr_expect_eq(chain_verify(&seal, &author, dataset, (feed_id)number(row, "feed"),
                              number(row, "seq"), &id),
                 ERR_OK, "%s: seal", name);
    drop(body);
    drop(erased);
}

Test(vectors, of_events_hold)
{
    json_t *all = load("events.json"), *row;
    dataset_id dataset;
    size_t i;
    fixed(all, "dataset", dataset.b, sizeof dataset.b);
    json_array_foreach(json_object_get(all, "events"), i, row) expect_event(all, &dataset, row);
    cr_assert_eq(i, WORLD_EVENTS);
    cr_assert_str_eq(text(json_array_get(json_object_get(all, "events"), 0), "id"),
                     text(all, "dataset"), "genesis names the dataset");
    json_decref(all);
}

static void expect_run(const dataset_id *dataset, const json_t *row)
{
    run r;
    run_verdict v = {0};
    event_id last;
    member_key author;
    bytes in = hex(row, "run", 0);
    const char *name = text(row, "name");
    fixed(row, "author", author.b, sizeof author.b);
    err_t e = run_decode(in, &r);
    if (e == ERR_OK)
        e = run_check(&r, dataset, &author, NULL, NULL, NULL, &v);
    cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", name, err_name(e));
    cr_expect_eq(v.bad_index, number(row, "bad_index"), "%s: bad index %u", name, v.bad_index);
    cr_expect_eq(v.sealed, number(row, "sealed"), "%s: sealed %u", name, v.sealed);
    if (json_object_get(row, "last") != NULL) {
        fixed(row, "last", last.b, sizeof last.b);
        cr_expect(event_id_eq(&last, &v.last), "%s: last id", name);
    }
    drop(in);
}

Test(vectors, of_runs_hold)
{
    json_t *all = load("runs.json"), *row;
    dataset_id dataset;
    size_t i;
    fixed(all, "dataset", dataset.b, sizeof dataset.b);
    json_array_foreach(json_object_get(all, "runs"), i, row) expect_run(&dataset, row);
    cr_assert(i > 25);
    json_decref(all);
}

static err_t count_run(void *context, const run *r)
{
    (void)r;
    ++*(uint64_t *)context;
    return ERR_OK;
}

Test(vectors, of_bundles_hold)
{
    json_t *all = load("bundles.json"), *row;
    dataset_id dataset;
    size_t i;
    fixed(all, "dataset", dataset.b, sizeof dataset.b);
    json_array_foreach(json_object_get(all, "bundles"), i, row)
    {
        bytes in = hex(row, "bundle", 0);
        bundle_reader r;
        uint64_t runs = 0;
        bundle_reader_init(&r, &dataset, count_run, &runs);
        err_t e = bundle_feed(&r, in);
        e = e != ERR_OK ? e : bundle_finish(&r);
        cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", text(row, "name"),
                         err_name(e));
        cr_expect_eq(runs, number(row, "whole_runs"), "%s: %d runs", text(row, "name"), (int)runs);
        bundle_reader_release(&r);
        drop(in);
    }
    cr_assert(i > 10);
    json_decref(all);
}

static void expect_code(codec *c, const json_t *row)
{
    const json_t *bodies = json_object_get(row, "bodies"), *one;
    buf out;
    size_t i, ends[16], from = 0;
    bytes code = hex(row, "code", 0);
    cr_assert(json_array_size(bodies) <= 16);
    buf_init(&out, 65536);
    codec_reset(c);
    json_array_foreach(json_object_get(row, "history"), i, one)
    {
        bytes body = hex(one, "body", 0);
        cr_assert_eq(codec_feed(c, body), ERR_OK);
        drop(body);
    }
    err_t e = codec_decode(c, code, json_array_size(bodies), 65000, &out, ends);
    cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", text(row, "name"), err_name(e));
    json_array_foreach(bodies, i, one)
    {
        bytes body = hex(one, "body", 0);
        if (e == ERR_OK)
            cr_expect(bytes_eq(bytes_of(out.p + from, ends[i] - from), body), "%s: body %zu",
                      text(row, "name"), i);
        from = e == ERR_OK ? ends[i] : 0;
        drop(body);
    }
    drop(code);
    buf_release(&out);
}

Test(vectors, of_the_radio_codec_hold)
{
    json_t *all = load("codec.json"), *row;
    codec *c = codec_new();
    size_t i;
    json_array_foreach(json_object_get(all, "codes"), i, row) expect_code(c, row);
    cr_assert(i >= 6);
    codec_free(c);
    json_decref(all);
}

static radio_keys keys_of(const json_t *row)
{
    radio_keys k;
    dataset_id dataset;
    uint8_t key[CRYPTO_KEY_BYTES], want[CRYPTO_KEY_BYTES];
    fixed(row, "dataset", dataset.b, sizeof dataset.b);
    fixed(row, "radio_key", key, sizeof key);
    radio_keys_derive(&k, &dataset, (uint8_t)number(row, "key_epoch"), key);
    cr_expect_eq(k.network, number(row, "network"));
    fixed(row, "k1", want, sizeof want);
    cr_expect_eq(memcmp(want, k.tag_key, sizeof want), 0);
    fixed(row, "k2", want, sizeof want);
    cr_expect_eq(memcmp(want, k.cipher_key, sizeof want), 0);
    return k;
}

static void expect_header(const radio_header *h, const json_t *row)
{
    cr_expect_eq(h->kind, number(row, "kind"));
    cr_expect_eq(h->epoch, number(row, "epoch"));
    cr_expect_eq(h->station, number(row, "station"));
    cr_expect_eq(h->bridge, number(row, "bridge"));
    cr_expect_eq(h->counter, number(row, "counter"));
}

static void expect_frame(const json_t *row)
{
    radio_header h;
    uint8_t plain[RADIO_PLAIN_MAX_BYTES];
    size_t n;
    bytes frame = hex(row, "frame", 0), words = hex(row, "plain", 0);
    radio_keys k = keys_of(row);
    err_t e = radio_frame_open(&k, frame, &h, plain, &n);
    cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", text(row, "name"), err_name(e));
    if (e == ERR_OK) {
        expect_header(&h, row);
        cr_expect(bytes_eq(bytes_of(plain, n), words), "%s: words", text(row, "name"));
    }
    drop(frame);
    drop(words);
}

Test(vectors, of_radio_frames_hold)
{
    json_t *all = load("frames.json"), *row;
    size_t i;
    json_array_foreach(json_object_get(all, "frames"), i, row) expect_frame(row);
    cr_assert(i > 20);
    json_decref(all);
}

/* Read, and written again: the same bytes. */
static err_t say_again(uint8_t kind, bytes plain, uint8_t *out, size_t *n)
{
    static radio_run r;
    static radio_beacon b;
    static radio_list wants;
    radio_part p;
    err_t e = ERR_BUG;
    if (kind == RADIO_KIND_RUN && (e = radio_get_run(plain, &r)) == ERR_OK)
        *n = radio_put_run(out, RADIO_PLAIN_MAX_BYTES, &r);
    else if (kind == RADIO_KIND_PART && (e = radio_get_part(plain, &p)) == ERR_OK)
        *n = radio_put_part(out, RADIO_PLAIN_MAX_BYTES, &p);
    else if (kind == RADIO_KIND_BEACON && (e = radio_get_beacon(plain, &b)) == ERR_OK)
        *n = radio_put_beacon(out, RADIO_PLAIN_MAX_BYTES, &b);
    else if (kind == RADIO_KIND_WANT && (e = radio_get_want(plain, &wants)) == ERR_OK)
        *n = radio_put_want(out, RADIO_PLAIN_MAX_BYTES, &wants);
    return e;
}

Test(vectors, of_what_is_said_on_the_air_hold)
{
    json_t *all = load("says.json"), *row;
    size_t i, n = 0;
    uint8_t again[RADIO_PLAIN_MAX_BYTES];
    json_array_foreach(json_object_get(all, "says"), i, row)
    {
        bytes plain = hex(row, "plain", 0);
        err_t e = say_again((uint8_t)number(row, "kind"), plain, again, &n);
        cr_expect_str_eq(err_name(e), text(row, "result"), "%s: %s", text(row, "name"),
                         err_name(e));
        if (e == ERR_OK)
            cr_expect(bytes_eq(bytes_of(again, n), plain), "%s", text(row, "name"));
        drop(plain);
    }
    cr_assert(i > 30);
    json_decref(all);
}
