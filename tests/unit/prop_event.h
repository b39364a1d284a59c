/* Random canonical msgpack values, events and sealed runs, for property tests. Needs prop.h's seed only. */
#ifndef CAIRN_PROP_EVENT_H
#define CAIRN_PROP_EVENT_H

#include "proto/event.h"
#include "proto/mp.h"
#include "pure/chain.h"
#include "pure/run.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A copy that ends where its memory ends, so that ASan sees the first byte read beyond. */
static inline bytes prop_exact(bytes in)
{
    uint8_t *p = malloc(in.len ? in.len : 1);
    cr_assert_not_null(p);
    if (in.len > 0)
        memcpy(p, in.p, in.len);
    return bytes_of(p, in.len);
}

static inline void prop_free(bytes exact)
{
    free((void *)(uintptr_t)exact.p);
}

static inline uint64_t prop_size(prop_rng *r)
{
    return prop_u64(r) >> prop_below(r, 64); /* all magnitudes alike */
}

static inline void prop_text(prop_rng *r, buf *out, size_t len)
{
    static const char *const pieces[] = {"a", "Z", "7", "ö", "ж", "水", "😀"};
    uint8_t text[1024];
    size_t n = 0;
    while (n < len && n + 4 < sizeof text) {
        const char *piece = pieces[prop_below(r, 7)];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    mp_put_str(out, bytes_of(text, n));
}

static inline void prop_value(prop_rng *r, buf *out, unsigned depth);

static inline void prop_ext(prop_rng *r, buf *out)
{
    static const uint8_t data[17] = {1, 2, 3};
    if (prop_below(r, 2) == 0) {
        buf_add(out, (const uint8_t[]){0xd6}, 1); /* fixext 4: type, data */
        buf_add(out, data, 5);
    } else {
        buf_add(out, (const uint8_t[]){0xc7, 3}, 2);
        buf_add(out, data, 4);
    }
}

static inline void prop_container(prop_rng *r, buf *out, unsigned depth)
{
    uint32_t n = (uint32_t)prop_below(r, depth > 3 ? 3 : 18);
    if (prop_below(r, 2) == 0) {
        mp_put_array(out, n);
        for (uint32_t i = 0; i < n; i++)
            prop_value(r, out, depth + 1);
        return;
    }
    mp_put_map(out, n);
    for (uint32_t i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%02u%c", i, prop_below(r, 2) ? 'x' : '\0');
        mp_put_cstr(out, key);
        prop_value(r, out, depth + 1);
    }
}

/* `depth` containers are open around it. */
static inline void prop_value(prop_rng *r, buf *out, unsigned depth)
{
    static const uint8_t zeros[300];
    switch (prop_below(r, depth < EVENT_MAX_DEPTH ? 10 : 8)) {
    case 0:
        mp_put_uint(out, prop_size(r));
        break;
    case 1:
        mp_put_int(out, -(int64_t)(prop_size(r) >> 1) - 1);
        break;
    case 2:
        mp_put_bool(out, prop_below(r, 2) == 0);
        break;
    case 3:
        mp_put_nil(out);
        break;
    case 4:
        mp_put_double(out, (double)prop_size(r) / 3 - 100);
        break;
    case 5:
        prop_text(r, out, prop_below(r, prop_below(r, 8) == 0 ? 400 : 40));
        break;
    case 6:
        mp_put_bin(out, bytes_of(zeros, prop_below(r, sizeof zeros)));
        break;
    case 7:
        prop_ext(r, out);
        break;
    default:
        prop_container(r, out, depth);
    }
}

/* Appends one understood body with up to 4 references, a random payload and sometimes attributes. */
static inline void prop_body(prop_rng *r, buf *out)
{
    event_reference refs[4];
    size_t n = prop_below(r, 5);
    for (size_t i = 0; i < n; i++)
        refs[i] = prop_below(r, 2)
                      ? (event_reference){.distance = 1 + prop_below(r, 300)}
                      : (event_reference){.full = {(feed_id)prop_size(r), 1 + prop_below(r, 100000),
                                                   (uint16_t)prop_u64(r)}};
    buf payload, attributes;
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&attributes, EVENT_MAX_BYTES);
    prop_value(r, &payload, 13); /* three levels of its own, or it may grow beyond 64 KiB */
    if (prop_below(r, 2) == 0) {
        mp_put_map(&attributes, 1);
        mp_put_cstr(&attributes, "at");
        mp_put_uint(&attributes, prop_size(r));
    }
    event_fields f = {.stamp = {prop_size(r) & WALL_MAX_MS, (uint32_t)prop_u64(r)},
                      .replaces = refs,
                      .n_replaces = n,
                      .category = bytes_str("flood"),
                      .stream = bytes_str("3-1kx7"),
                      .kind = bytes_str("field.set"),
                      .payload = buf_view(&payload),
                      .attributes = buf_view(&attributes)};
    cr_assert_eq(event_build(&f, out), ERR_OK);
    buf_release(&payload);
    buf_release(&attributes);
}

typedef struct {
    dataset_id dataset;
    crypto_signer key;
    feed_id feed;
    event_id before; /* id of first_seq - 1 */
    uint64_t first_seq;
} prop_author;

static inline prop_author prop_author_of(uint8_t seed, feed_id feed)
{
    uint8_t bytes_of_seed[MEMBER_SEED_BYTES] = {seed};
    prop_author a = {.dataset = {{0xda, 0x7a}}, .feed = feed, .first_seq = 1};
    cr_assert_eq(crypto_start(), ERR_OK);
    crypto_signer_from_seed(&a.key, bytes_of_seed);
    chain_start(&a.before, &a.dataset, feed, &a.key.public);
    return a;
}

/* Appends a run of `n` events, some erased, a seal after every `seal_every`-th and after the last; the author then
 * stands behind it. */
static inline void prop_run(prop_rng *r, prop_author *a, uint32_t n, uint32_t seal_every,
                            unsigned erase_one_in, buf *out)
{
    run_writer w;
    event_id id = a->before;
    cr_assert_eq(run_begin(&w, out, a->feed, a->first_seq, &a->before), ERR_OK);
    for (uint32_t i = 0; i < n; i++) {
        buf body, erased;
        buf_init(&body, EVENT_MAX_BYTES);
        buf_init(&erased, EVENT_MAX_BYTES + EVENT_ERASED_EXTRA);
        prop_body(r, &body);
        event_view v;
        seal_sig seal;
        uint8_t tail_hash[CRYPTO_HASH_BYTES];
        cr_assert_eq(event_parse(buf_view(&body), &v), ERR_OK);
        chain_next_event(&id, &id, a->first_seq + i, &v);
        bool sealed = (i + 1) % seal_every == 0 || i + 1 == n;
        bool erase = erase_one_in > 0 && prop_below(r, erase_one_in) == 0;
        crypto_digest(tail_hash, v.tail);
        cr_assert_eq(event_write_erased(&v, tail_hash, &erased), ERR_OK);
        cr_assert_eq(chain_sign(&seal, &a->key, &a->dataset, a->feed, a->first_seq + i, &id),
                     ERR_OK);
        cr_assert_eq(run_add(&w, buf_view(erase ? &erased : &body), erase, sealed ? &seal : NULL),
                     ERR_OK);
        buf_release(&body);
        buf_release(&erased);
    }
    uint32_t count;
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    cr_assert_eq(count, n);
    a->before = id;
    a->first_seq += n;
}

#endif
