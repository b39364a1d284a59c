/* Every declared message: what is encoded decodes to the same, bounds hold, strange bytes are refused and never read
 * beyond their end. */
#include "proto/pack.h"

#include "tests/unit/prop.h"

#include <criterion/criterion.h>

typedef struct {
    uint8_t b[1024];
} any_msg;

#define ROOM_MAX 4096
static uint8_t text[ROOM_MAX];

static uint64_t some_uint(prop_rng *r, const msg_field *f)
{
    uint64_t span = f->max - f->min, v = prop_u64(r) >> prop_below(r, 64);
    return span == UINT64_MAX ? v : f->min + v % (span + 1);
}

static void fill(prop_rng *r, const msg_desc *d, uint8_t *msg, any_msg *rows)
{
    memset(msg, 0, d->size);
    for (size_t i = 0; i < d->n_fields; i++) {
        const msg_field *f = &d->fields[i];
        void *at = msg + f->offset;
        uint64_t v = some_uint(r, f);
        switch (f->type) {
        case MSG_UINT:
            memcpy(at, &v, f->width); /* little-endian */
            break;
        case MSG_INT:
            *(int64_t *)at = (int64_t)prop_u64(r) >> prop_below(r, 64);
            break;
        case MSG_BOOL:
            *(bool *)at = prop_below(r, 2);
            break;
        case MSG_STR:
            *(bytes *)at = bytes_of(text, prop_below(r, f->max < 300 ? f->max + 1 : 300));
            break;
        case MSG_BIN:
            *(bytes *)at = bytes_of(text, prop_below(r, f->max < 3000 ? f->max + 1 : 3000));
            break;
        case MSG_ANY:
            *(bytes *)at = prop_below(r, 2) ? bytes_of("\x93\x01\x02\xa1z", 5) : bytes_of(NULL, 0);
            break;
        case MSG_FIX:
            for (size_t k = 0; k < f->width; k++)
                ((uint8_t *)at)[k] = (uint8_t)prop_u64(r);
            break;
        case MSG_LIST:
            *(msg_list *)at = MSG_LIST_OF(rows, 0);
            break;
        }
    }
}

static void same_bytes(bytes a, bytes b, const char *name)
{
    cr_assert(bytes_eq(a, b), "%s differs", name);
}

/* Encoding is a function of the content, so equal encodings mean equal messages. */
static void round_trip(const msg_desc *d, prop_rng *r)
{
    any_msg in, out;
    buf a, b;
    const char *bad = NULL;
    cr_assert(d->size <= sizeof in);
    fill(r, d, in.b, NULL);
    buf_init(&a, MESSAGE_MAX_BYTES);
    buf_init(&b, MESSAGE_MAX_BYTES);
    cr_assert_eq(msg_encode(d, in.b, &a), ERR_OK, "%s", d->name);
    cr_assert_eq(msg_decode(d, buf_view(&a), out.b, &bad), ERR_OK, "%s.%s", d->name, bad);
    cr_assert_eq(msg_encode(d, out.b, &b), ERR_OK);
    same_bytes(buf_view(&a), buf_view(&b), d->name);
    for (size_t cut = 0; cut < a.len; cut += 1 + a.len / 64) /* every prefix is refused */
        cr_assert(msg_decode(d, bytes_of(a.p, cut), out.b, NULL) != ERR_OK, "%s cut at %zu",
                  d->name, cut);
    buf_add_u8(&a, 0);
    cr_assert_eq(msg_decode(d, buf_view(&a), out.b, NULL), ERR_TRAILING);
    buf_release(&a);
    buf_release(&b);
}

Test(msg, every_message_comes_back)
{
    prop_rng r = prop_begin("msg");
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < msg_all_count; i++)
        for (int k = 0; k < 50; k++)
            round_trip(msg_all[i], &r);
}

Test(msg, ids_are_unique_and_known)
{
    for (size_t i = 0; i < msg_all_count; i++)
        cr_assert_eq(msg_by_id(msg_all[i]->id), msg_all[i], "%s shares its id", msg_all[i]->name);
    cr_assert_null(msg_by_id(0xffff));
    for (size_t i = 0; i < msg_all_count; i++)
        cr_assert(msg_all[i]->role != MSG_REQUEST || msg_all[i]->reply->role == MSG_REPLY);
}

Test(msg, later_fields_are_ignored_and_missing_ones_are_not)
{
    health_reply h;
    const char *bad = NULL;
    const uint8_t more[] = "\x97\xa5store\xa1"
                           "1\x07\x08\xc3\xa0\x93\x01\x02\x03";
    cr_assert_eq(msg_decode(&health_reply_desc, bytes_of(more, sizeof more - 1), &h, &bad), ERR_OK);
    cr_assert(bytes_is(h.service, "store") && h.pid == 7 && h.ready);
    const uint8_t less[] = "\x92\xa5store\xa1"
                           "1";
    cr_assert_eq(msg_decode(&health_reply_desc, bytes_of(less, sizeof less - 1), &h, &bad),
                 ERR_TRUNCATED);
    cr_assert_eq(h.pid, 0, "a refused message leaves nothing behind");
}

Test(msg, bounds_hold_both_ways)
{
    fetch_request f = {.max = FETCH_MAX_ROWS + 1};
    buf out;
    const char *bad = NULL;
    buf_init(&out, 4096);
    cr_assert_eq(msg_encode(&fetch_request_desc, &f, &out), ERR_OUT_OF_RANGE);
    buf_clear(&out);
    f.max = 7;
    cr_assert_eq(msg_encode(&fetch_request_desc, &f, &out), ERR_OK);
    out.p[4] = 0; /* max is element 3, three one-byte zeroes before it */
    cr_assert_eq(msg_decode(&fetch_request_desc, buf_view(&out), &f, &bad), ERR_OUT_OF_RANGE);
    cr_assert_str_eq(bad, "max");
    buf_release(&out);
}

Test(msg, lists_are_walked_as_they_were_written)
{
    ref_row rows[100], row;
    idem_reply in = {.first_offset = 9}, out;
    buf b;
    size_t n = 0;
    for (unsigned i = 0; i < 100; i++)
        rows[i] = (ref_row){
            .feed = i * 65537u, .seq = 1 + (uint64_t)i * i * i * i, .prefix = (uint16_t)(i * 600u)};
    in.refs = MSG_LIST_OF(rows, 100);
    buf_init(&b, 65536);
    cr_assert_eq(msg_encode(&idem_reply_desc, &in, &b), ERR_OK);
    cr_assert_eq(msg_decode(&idem_reply_desc, buf_view(&b), &out, NULL), ERR_OK);
    for (msg_list l = out.refs; msg_list_next(&ref_row_desc, &l, &row); n++)
        cr_assert(row.feed == rows[n].feed && row.seq == rows[n].seq &&
                  row.prefix == rows[n].prefix);
    cr_assert_eq(n, 100);
    buf again;
    buf_init(&again, 65536); /* passed on as received */
    cr_assert_eq(msg_encode(&idem_reply_desc, &out, &again), ERR_OK);
    same_bytes(buf_view(&b), buf_view(&again), "relayed list");
    buf_release(&b);
    buf_release(&again);
}

Test(msg, any_byte_may_be_wrong)
{
    prop_rng r = prop_begin("msg flips");
    any_msg in, out;
    memset(text, 'x', sizeof text);
    for (int k = 0; k < 20000; k++) {
        const msg_desc *d = msg_all[prop_below(&r, msg_all_count)];
        buf b;
        buf_init(&b, MESSAGE_MAX_BYTES);
        fill(&r, d, in.b, NULL);
        cr_assert_eq(msg_encode(d, in.b, &b), ERR_OK);
        b.p[prop_below(&r, b.len)] ^= (uint8_t)(1u << prop_below(&r, 8));
        uint8_t *exact = malloc(b.len); /* so that the sanitizer sees a read beyond the end */
        memcpy(exact, b.p, b.len);
        if (msg_decode(d, bytes_of(exact, b.len), out.b, NULL) == ERR_OK) {
            buf again;
            buf_init(&again, MESSAGE_MAX_BYTES);
            cr_assert_eq(msg_encode(d, out.b, &again), ERR_OK, "%s: decoded but not encodable",
                         d->name);
            buf_release(&again);
        }
        free(exact);
        buf_release(&b);
    }
}

Test(msg, envelope_of_any_version_is_read)
{
    msg_envelope e = {PROTO_VERSION, 0x0101, UINT64_MAX, {{7}}}, back;
    buf b;
    buf_init(&b, 256);
    cr_assert_eq(msg_envelope_encode(&e, &b), ERR_OK);
    b.p[1] = 9; /* a later version */
    bytes body;
    size_t len = b.len;
    buf_add_u8(&b, 0x90);
    cr_assert_eq(msg_envelope_decode(buf_view(&b), &back, &body), ERR_OK);
    cr_assert(body.len == 1 && body.p == b.p + len);
    cr_assert(back.version == 9 && back.type == 0x0101 && back.request == UINT64_MAX &&
              back.dataset.b[0] == 7);
    cr_assert_eq(msg_envelope_decode(bytes_of(b.p, len - 1), &back, &body), ERR_TRUNCATED);
    buf_release(&b);
}

/* ---- frames ---- */

static void pack_one(buf *frame, uint64_t request, size_t len)
{
    msg_envelope e = {PROTO_VERSION, 0x0101, request, {{7}}};
    size_t at = pack_begin(frame, &e);
    for (size_t i = 0; i < len; i++)
        buf_add_u8(frame, (uint8_t)(request + i));
    cr_assert_eq(pack_end(frame, at), ERR_OK);
}

Test(pack, hands_out_what_was_put_in)
{
    buf frame;
    msg_envelope e;
    bytes body;
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    for (uint64_t i = 0; i < 5; i++)
        pack_one(&frame, i * i * i * 1000, (size_t)i * 100);
    bytes rest = buf_view(&frame);
    cr_assert_eq(pack_check(rest), ERR_OK);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(pack_take(&rest, &e, &body), ERR_OK);
        cr_assert(e.request == i * i * i * 1000 && e.type == 0x0101 && body.len == i * 100);
        for (size_t k = 0; k < body.len; k++)
            cr_assert_eq(body.p[k], (uint8_t)(e.request + k));
    }
    cr_assert_eq(pack_take(&rest, &e, &body), ERR_NOT_FOUND);
    buf_release(&frame);
}

Test(pack, refuses_lengths_that_do_not_add_up)
{
    buf frame;
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    cr_assert_eq(pack_check(buf_view(&frame)), ERR_MALFORMED, "an empty frame");
    pack_one(&frame, 1, 20);
    size_t first = frame.len;
    pack_one(&frame, 2, 20);
    for (size_t len = 1; len < frame.len; len++)
        cr_assert_eq(pack_check(bytes_of(frame.p, len)), len == first ? ERR_OK : ERR_MALFORMED,
                     "cut at %zu", len);
    for (unsigned bit = 0; bit < 32; bit++) {
        frame.p[first + bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(pack_check(buf_view(&frame)), ERR_MALFORMED, "bit %u", bit);
        frame.p[first + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(pack_check(buf_view(&frame)), ERR_OK);
    buf_release(&frame);
}

Test(pack, holds_so_many_and_no_more)
{
    buf frame;
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    for (unsigned i = 0; i < PACK_MAX_MESSAGES; i++)
        pack_one(&frame, i, 0);
    cr_assert_eq(pack_check(buf_view(&frame)), ERR_OK);
    pack_one(&frame, 0, 0);
    cr_assert_eq(pack_check(buf_view(&frame)), ERR_MALFORMED);
    buf_release(&frame);
}

Test(pack, what_does_not_fit_leaves_the_others)
{
    buf frame;
    msg_envelope e = {PROTO_VERSION, 0x0101, 9, {{7}}};
    buf_init(&frame, 200);
    pack_one(&frame, 1, 50);
    size_t len = frame.len, at = pack_begin(&frame, &e);
    for (int i = 0; i < 100; i++)
        buf_add_u8(&frame, 1);
    cr_assert_eq(pack_end(&frame, at), ERR_TOO_LARGE);
    cr_assert(frame.len == len && pack_check(buf_view(&frame)) == ERR_OK);
    pack_one(&frame, 2, 10);
    cr_assert_eq(pack_check(buf_view(&frame)), ERR_OK);
    buf_release(&frame);
}

Test(pack, stops_at_an_envelope_that_is_none)
{
    buf frame;
    msg_envelope e;
    bytes body;
    buf_init(&frame, PACK_FRAME_MAX_BYTES);
    pack_one(&frame, 1, 3);
    size_t first = frame.len;
    pack_one(&frame, 2, 3);
    pack_one(&frame, 3, 3);
    frame.p[first + 4] = 0x93;
    bytes rest = buf_view(&frame);
    cr_assert_eq(pack_check(rest), ERR_OK);
    cr_assert_eq(pack_take(&rest, &e, &body), ERR_OK);
    cr_assert(e.request == 1 && body.len == 3);
    cr_assert_neq(pack_take(&rest, &e, &body), ERR_OK);
    buf_release(&frame);
}
