#include "tests/golden/vectors.h"

#include "proto/mp.h"
#include "pure/erasure.h"

#include <stdlib.h>

/* A vector that cannot be made is a bug of this program. */
static void must(err_t e)
{
    if (e != ERR_OK)
        abort();
}

const vectors_file vectors_files[VECTORS_FILES] = {
    {"gate.json", vectors_gate},   {"events.json", vectors_events},
    {"runs.json", vectors_runs},   {"bundles.json", vectors_bundles},
    {"codec.json", vectors_codec}, {"frames.json", vectors_frames},
    {"says.json", vectors_says}};

static bytes keep(vectors_world *w, bytes in)
{
    uint8_t *at = w->memory + w->used;
    if (in.len > sizeof w->memory - w->used)
        abort();
    memcpy(at, in.p, in.len);
    w->used += in.len;
    return bytes_of(at, in.len);
}

static void genesis_payload(const vectors_world *w, buf *b)
{
    static const uint8_t random[16] = {0x52, 0x41, 0x4e, 0x44}, transport[32] = {0x54, 0x01};
    mp_put_map(b, 6);
    mp_put_cstr(b, "heir");
    mp_put_bin(b, bytes_of(w->keys[STRANGER].public.b, MEMBER_KEY_BYTES));
    mp_put_cstr(b, "key");
    mp_put_bin(b, bytes_of(w->keys[FOUNDER].public.b, MEMBER_KEY_BYTES));
    mp_put_cstr(b, "name");
    mp_put_cstr(b, "camp");
    mp_put_cstr(b, "random");
    mp_put_bin(b, bytes_of(random, sizeof random));
    mp_put_cstr(b, "title");
    mp_put_cstr(b, "Flood response, Zomba");
    mp_put_cstr(b, "transport");
    mp_put_bin(b, bytes_of(transport, sizeof transport));
}

static void add_payload(const vectors_world *w, buf *b, vectors_writer who)
{
    static const uint8_t transport[32] = {0x54, 0x02};
    mp_put_map(b, 5);
    mp_put_cstr(b, "key");
    mp_put_bin(b, bytes_of(w->keys[who].public.b, MEMBER_KEY_BYTES));
    mp_put_cstr(b, "name");
    mp_put_cstr(b, who == NORTH ? "north" : "south");
    mp_put_cstr(b, "number");
    mp_put_uint(b, who == NORTH ? 2 : 3);
    mp_put_cstr(b, "role");
    mp_put_cstr(b, "field");
    mp_put_cstr(b, "transport");
    mp_put_bin(b, bytes_of(transport, sizeof transport));
}

static void record_payload(buf *b)
{
    mp_put_map(b, 5);
    mp_put_cstr(b, "depth_m");
    mp_put_double(b, 1.25);
    mp_put_cstr(b, "families");
    mp_put_uint(b, 34);
    mp_put_cstr(b, "needs");
    mp_put_array(b, 2);
    mp_put_cstr(b, "shelter");
    mp_put_cstr(b, "water");
    mp_put_cstr(b, "offset");
    mp_put_int(b, -200);
    mp_put_cstr(b, "village");
    mp_put_cstr(b, "Nkhwangwa – 水");
}

static void field_payload(buf *b, uint64_t families)
{
    mp_put_map(b, 1);
    mp_put_cstr(b, "families");
    mp_put_uint(b, families);
}

/* Payload of the world's event `i`. */
static void put_payload(const vectors_world *w, unsigned i, buf *b)
{
    switch (i) {
    case 0:
        genesis_payload(w, b);
        break;
    case 1:
    case 2:
        add_payload(w, b, i == 1 ? NORTH : SOUTH);
        break;
    case 3:
        record_payload(b);
        break;
    case 9: {
        bytes key = bytes_str("text");
        erasure_write(b, 2, 3, &w->events[5].id, &key, 1);
        break;
    }
    case 5:
        mp_put_map(b, 1);
        mp_put_cstr(b, "text");
        mp_put_cstr(b, "Spoke to Grace Banda, +265 999 000 000");
        break;
    default:
        field_payload(b, 30 + i);
    }
}

static void put_attributes(buf *b)
{
    mp_put_map(b, 3);
    mp_put_cstr(b, "at");
    mp_put_uint(b, 1763990000000u);
    mp_put_cstr(b, "by");
    mp_put_cstr(b, "Ama");
    mp_put_cstr(b, "cause");
    mp_put_uint(b, 1);
}

static void make_body(const vectors_world *w, const vectors_event *e, unsigned i, buf *body)
{
    static const char *const kinds[WORLD_EVENTS] = {
        "genesis",  "member.add", "member.add", "record.create", "field.set",
        "note.add", "future",     "field.set",  "field.set",     "event.erase"};
    event_reference refs[2] = {{.distance = 1}};
    size_t n_refs = i == 4 ? 1 : i == 7 ? 2 : 0;
    buf payload, attributes;
    buf_init(&payload, 2000);
    buf_init(&attributes, 2000);
    put_payload(w, i, &payload);
    if (i == 4)
        put_attributes(&attributes);
    if (i == 7) {
        refs[0] = (event_reference){.full = event_ref_of(2, 1, &w->events[3].id)};
        refs[1] = (event_reference){.full = event_ref_of(2, 2, &w->events[4].id)};
    }
    event_fields f = {.stamp = {1764000000000u + i, i == 4 ? 3 : 0},
                      .replaces = refs,
                      .n_replaces = n_refs,
                      .category = bytes_str(i < 3 ? "cairn" : "flood"),
                      .stream = bytes_str(i < 3 ? "members" : "2-1kx"),
                      .kind = bytes_str(kinds[i]),
                      .payload = buf_view(&payload),
                      .attributes = buf_view(&attributes)};
    must(event_build(&f, body));
    if (e->seq == 4) /* an event of a later version: its kind is a number here, so it is opaque */
        body->len = 0, buf_add_str(body, "\x99\x01\x02\x90\xa5"
                                         "flood\xa5"
                                         "2-1kx\x07\xa3new\x80\xa5later");
    buf_release(&payload);
    buf_release(&attributes);
}

static void close_event(vectors_world *w, vectors_event *e)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    buf erased;
    must(event_parse(e->body, &e->view));
    if (e->feed == 1 && e->seq == 1)
        chain_genesis_id(&w->dataset, &w->keys[FOUNDER].public, e->view.head, e->view.tail);
    chain_next_event(&e->id, &e->previous, e->seq, &e->view);
    must(chain_sign(&e->seal, &w->keys[e->author], &w->dataset, e->feed, e->seq, &e->id));
    buf_init(&erased, EVENT_MAX_BYTES);
    crypto_digest(hash, e->view.tail);
    must(event_write_erased(&e->view, hash, &erased));
    e->erased = keep(w, buf_view(&erased));
    buf_release(&erased);
}

static void start_of(const vectors_world *w, vectors_event *e, unsigned i)
{
    while (e->seq > 1 && i-- > 0)
        if (w->events[i].feed == e->feed && w->events[i].seq == e->seq - 1)
            e->previous = w->events[i].id;
    if (e->seq > 1)
        return;
    if (e->feed == CHAIN_GENESIS_FEED)
        chain_start_genesis(&e->previous, &w->keys[FOUNDER].public);
    else
        chain_start(&e->previous, &w->dataset, e->feed, &w->keys[e->author].public);
}

void vectors_make_world(vectors_world *w)
{
    static const struct {
        const char *name, *note;
        vectors_writer author;
        feed_id feed;
        uint64_t seq;
    } rows[WORLD_EVENTS] = {
        {"genesis", "its id is the dataset id", FOUNDER, 1, 1},
        {"add north", "member 2", FOUNDER, 1, 2},
        {"add south", "member 3", FOUNDER, 1, 3},
        {"record", "every type of value", NORTH, 2, 1},
        {"edit", "replaces by distance, attributes, a counter", NORTH, 2, 2},
        {"note", "the one that is erased in runs and bundle", NORTH, 2, 3},
        {"later version", "passes the gate, is not understood: opaque, 9 elements", NORTH, 2, 4},
        {"edit by another", "replaces by full references", SOUTH, 3, 1},
        {"express", "incarnation 1: the express class of member 3", SOUTH, 0x10003, 1},
        {"erasure", "of the note, by its author; never in erased form itself", NORTH, 2, 5},
    };
    *w = (vectors_world){0};
    must(crypto_start());
    for (uint8_t i = 0; i < WRITERS; i++) {
        uint8_t seed[MEMBER_SEED_BYTES];
        memset(seed, i + 1, sizeof seed);
        crypto_signer_from_seed(&w->keys[i], seed);
    }
    for (unsigned i = 0; i < WORLD_EVENTS; i++) {
        vectors_event *e = &w->events[i];
        buf body;
        buf_init(&body, EVENT_MAX_BYTES);
        *e = (vectors_event){.name = rows[i].name,
                             .note = rows[i].note,
                             .author = rows[i].author,
                             .feed = rows[i].feed,
                             .seq = rows[i].seq};
        start_of(w, e, i);
        make_body(w, e, i, &body);
        e->body = keep(w, buf_view(&body));
        close_event(w, e);
        buf_release(&body);
    }
}

void vectors_run(const vectors_world *w, unsigned from, unsigned to, unsigned erase, unsigned seal,
                 buf *out)
{
    const vectors_event *first = &w->events[from];
    run_writer rw;
    uint32_t count;
    must(run_begin(&rw, out, first->feed, first->seq, &first->previous));
    for (unsigned i = from; i < to; i++) {
        const vectors_event *e = &w->events[i];
        bool erased = (erase >> i & 1) != 0;
        must(run_add(&rw, erased ? e->erased : e->body, erased,
                     i + 1 == to || (seal >> i & 1) != 0 ? &e->seal : NULL));
    }
    must(run_end(&rw, &count));
}

/* ---- JSON ---- */

static void put_name(buf *out, const char *name)
{
    uint8_t before = out->len > 0 ? out->p[out->len - 1] : '{';
    buf_add_str(out, before == '{' || before == '[' || out->len == 0 ? "\n" : ",\n");
    if (name != NULL)
        buf_addf(out, "\"%s\": ", name);
}

void vectors_hex(buf *out, const char *name, const void *p, size_t len)
{
    put_name(out, name);
    buf_add_u8(out, '"');
    for (size_t i = 0; i < len; i++)
        buf_addf(out, "%02x", ((const uint8_t *)p)[i]);
    buf_add_u8(out, '"');
}

void vectors_text(buf *out, const char *name, const char *value)
{
    put_name(out, name);
    buf_addf(out, "\"%s\"", value);
}

void vectors_number(buf *out, const char *name, uint64_t value)
{
    put_name(out, name);
    buf_addf(out, "%llu", (unsigned long long)value);
}

void vectors_open(buf *out, const char *name, char bracket)
{
    if (out->len > 0)
        put_name(out, name);
    buf_add_u8(out, (uint8_t)bracket);
}

void vectors_close(buf *out, char bracket)
{
    buf_addf(out, "\n%c", bracket);
}
