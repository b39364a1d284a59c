#include "tests/unit/merge_node.h"

#include "proto/row.h"
#include "pure/chain.h"
#include "pure/erasure.h"
#include "pure/run.h"

#include <limits.h>
#include <stdio.h>

#include <criterion/criterion.h>

#define MUST(expr) cr_assert_eq((expr), ERR_OK, "%s", #expr)

/* ---- merge_io on the store ---- */

static err_t walk(const msg_list *rows, bool (*each)(void *arg, const stored_row *row), void *arg,
                  bool *stopped)
{
    buf copy; /* `each` asks on, which ends the life of the reply */
    stored_row row;
    buf_init(&copy, MESSAGE_MAX_BYTES);
    buf_add_bytes(&copy, rows->raw);
    *stopped = false;
    for (msg_list l = {NULL, rows->n, buf_view(&copy)};
         !*stopped && msg_list_next(&stored_row_desc, &l, &row);)
        *stopped = !each(arg, &row);
    buf_release(&copy);
    return ERR_OK;
}

static err_t io_locate(void *ctx, feed_id feed, uint64_t seq, place_row *out, size_t max, size_t *n)
{
    merge_node *m = ctx;
    locate_reply r;
    *n = 0;
    TRY(store_locate(m->store, &(locate_request){.feed = feed, .seq = seq}, &r));
    while (*n < max && msg_list_next(&place_row_desc, &r.places, &out[*n]))
        (*n)++;
    return ERR_OK;
}

static err_t io_read_feed(void *ctx, feed_id feed, uint64_t from, uint64_t to,
                          bool (*each)(void *arg, const stored_row *row), void *arg)
{
    merge_node *m = ctx;
    bool stopped = false;
    while (from != 0 && from <= to && !stopped) {
        read_feed_request req = {.feed = feed, .from_seq = from, .to_seq = to, .max = 100};
        rows_reply r;
        TRY(store_read_feed(m->store, &req, &r));
        from = r.next;
        TRY(walk(&r.rows, each, arg, &stopped));
    }
    return ERR_OK;
}

static err_t io_read_category(void *ctx, const char *category,
                              bool (*each)(void *arg, const stored_row *row), void *arg)
{
    merge_node *m = ctx;
    fetch_request req = {.max = 100, .category = bytes_str(category)};
    bool stopped = false, last = false;
    while (!stopped && !last) {
        rows_reply r;
        TRY(store_fetch(m->store, &req, &r));
        last = r.caught_up;
        req.epoch = r.epoch;
        req.after = r.next;
        TRY(walk(&r.rows, each, arg, &stopped));
    }
    return ERR_OK;
}

static err_t io_tips(void *ctx, bool (*each)(void *arg, const tip_row *row), void *arg)
{
    merge_node *m = ctx;
    tips_reply r;
    tip_row row;
    TRY(store_tips(m->store, &r));
    while (msg_list_next(&tip_row_desc, &r.tips, &row) && each(arg, &row))
        continue;
    return ERR_OK;
}

static err_t in_group(merge_node *m, err_t e)
{
    if (e != ERR_OK) {
        store_abort(m->store);
        return e;
    }
    return store_commit(m->store);
}

static err_t io_verdicts(void *ctx, const verdict_row *rows, size_t n)
{
    merge_node *m = ctx;
    verdict_request req = {.verdicts = MSG_LIST_OF(rows, n)};
    TRY(store_begin(m->store));
    return in_group(m, store_verdicts(m->store, &req, (wall_ms){m->now_ms}));
}

static err_t io_seal(void *ctx, const seal_request *seal)
{
    merge_node *m = ctx;
    TRY(store_begin(m->store));
    return in_group(m, store_seal(m->store, seal));
}

static err_t io_incarnation(void *ctx, uint16_t value)
{
    merge_node *m = ctx;
    TRY(store_begin(m->store));
    return in_group(m, store_incarnation(m->store, &(incarnation_request){.incarnation = value}));
}

static err_t io_erase(void *ctx, const erase_request *req)
{
    merge_node *m = ctx;
    TRY(store_begin(m->store));
    return in_group(m, store_erase(m->store, req, (wall_ms){m->now_ms}));
}

/* ---- making nodes ---- */

void merge_node_key(member_no n, crypto_signer *out)
{
    uint8_t seed[MEMBER_SEED_BYTES] = {(uint8_t)n, (uint8_t)(n >> 8), 1};
    crypto_signer_from_seed(out, seed);
}

static void transport_of(member_no n, transport_key *out)
{
    memset(out->b, (int)n, sizeof out->b);
}

static void make_genesis(merge_identity *id)
{
    buf payload, body;
    event_view v;
    event_id start, first;
    seal_sig seal;
    run_writer w;
    uint32_t count;
    buf_init(&payload, EVENT_MAX_BYTES);
    buf_init(&body, EVENT_MAX_BYTES);
    roster_event ev = {.kind = ROSTER_EV_GENESIS,
                       .number = 1,
                       .key = id->signer.public,
                       .has_transport = true,
                       .name = bytes_str("base"),
                       .title = bytes_str("test")};
    transport_of(1, &ev.transport);
    crypto_signer heir;
    merge_node_key(MERGE_NODE_HEIR, &heir);
    ev.heir = heir.public;
    MUST(roster_event_write(&ev, &payload));
    event_fields f = {.stamp = {1767225700000, 0},
                      .category = bytes_str(ROSTER_CATEGORY),
                      .stream = bytes_str(ROSTER_STREAM),
                      .kind = bytes_str(ROSTER_KIND_GENESIS),
                      .payload = buf_view(&payload)};
    MUST(event_build(&f, &body));
    MUST(event_parse(buf_view(&body), &v));
    chain_genesis_id(&id->dataset, &id->signer.public, v.head, v.tail);
    chain_start_genesis(&start, &id->signer.public);
    chain_next(&first, &start, 1, v.head, v.tail);
    MUST(chain_sign(&seal, &id->signer, &id->dataset, 1, 1, &first));
    MUST(run_begin(&w, &id->genesis, 1, 1, &start));
    MUST(run_add(&w, buf_view(&body), false, &seal));
    MUST(run_end(&w, &count));
    buf_release(&payload);
    buf_release(&body);
}

static void open_node(merge_node *n, store_kv *kv, bool copied)
{
    store_hello_reply hello;
    store_opening how = {
        .inode = copied ? 2 : 1, .birth_ns = 1, .random_epoch = 7, .random_incarnation = 0x1230};
    merge_io io = {n,           io_locate, io_read_feed,   io_read_category, io_tips,
                   io_verdicts, io_seal,   io_incarnation, io_erase};
    n->kv = kv;
    MUST(store_open(&n->store, kv, &how));
    n->core = merge_core_new(&n->identity, &io, (wall_ms){1767225600000}, 1);
    cr_assert_not_null(n->core);
    MUST(store_hello(n->store, &hello));
    MUST(merge_core_load(n->core, &hello));
}

void merge_node_init(merge_node *n, member_no self, const merge_node *founder)
{
    ingest_reply out;
    MUST(crypto_start());
    *n = (merge_node){.now_ms = 1767225700000};
    n->identity.self = self;
    merge_node_key(self, &n->identity.signer);
    snprintf(n->identity.name, sizeof n->identity.name, "node-%u", self);
    buf_init(&n->identity.genesis, RUN_MAX_BYTES);
    if (founder == NULL) {
        make_genesis(&n->identity);
    } else {
        n->identity.dataset = founder->identity.dataset;
        buf_add_bytes(&n->identity.genesis, buf_view(&founder->identity.genesis));
    }
    MUST(merge_batch_init(&n->batch));
    open_node(n, store_mem_new(), false);
    merge_node_ingest(n, buf_view(&n->identity.genesis), &out);
    cr_assert_eq(out.accepted, 1);
}

void merge_node_clone(merge_node *n, const merge_node *of, bool noticed)
{
    *n = (merge_node){.now_ms = of->now_ms, .identity = of->identity};
    buf_init(&n->identity.genesis, RUN_MAX_BYTES);
    MUST(merge_batch_init(&n->batch));
    open_node(n, store_mem_copy(of->kv), noticed);
}

void merge_node_restart(merge_node *n)
{
    store_kv *kv = store_mem_copy(n->kv);
    merge_core_free(n->core);
    store_close(&n->store);
    open_node(n, kv, false);
}

void merge_node_release(merge_node *n)
{
    merge_core_free(n->core);
    store_close(&n->store);
    merge_batch_release(&n->batch);
    buf_release(&n->identity.genesis);
}

/* ---- writing ---- */

static void commit_batch(merge_node *n)
{
    append_request req;
    append_reply reply;
    MUST(merge_core_close(n->core, &n->batch, &req));
    MUST(store_begin(n->store));
    MUST(in_group(n, store_append(n->store, &req, (wall_ms){n->now_ms}, &reply)));
    MUST(merge_core_committed(n->core, &n->batch));
    merge_batch_clear(&n->batch);
    n->now_ms += 1000;
}

static err_t emit(merge_node *n, feed_class c, const emit_row *row, ref_row *out)
{
    size_t first = 0;
    buf why;
    buf_init(&why, 512);
    emit_request req = {.feed_class = (uint8_t)c, .events = MSG_LIST_OF(row, 1)};
    buf coded; /* requests reach the core decoded */
    buf_init(&coded, MESSAGE_MAX_BYTES);
    MUST(msg_encode(&emit_request_desc, &req, &coded));
    MUST(msg_decode(&emit_request_desc, buf_view(&coded), &req, NULL));
    err_t e = merge_core_emit(n->core, (wall_ms){n->now_ms}, 5, &req, &n->batch, &first, &why);
    if (e == ERR_OK) {
        const append_row *r = &n->batch.rows[first];
        *out = (ref_row){.feed = r->feed, .seq = r->seq, .prefix = get_u16be(r->id.b)};
        commit_batch(n);
    }
    buf_release(&coded);
    buf_release(&why);
    return e;
}

ref_row merge_node_emit(merge_node *n, feed_class c, const char *stream, const char *kind,
                        const ref_row *replaces, size_t n_replaces)
{
    ref_row out = {0};
    emit_row row = {.category = bytes_str("form"),
                    .stream = bytes_str(stream),
                    .kind = bytes_str(kind),
                    .replaces = MSG_LIST_OF(replaces, n_replaces)};
    MUST(emit(n, c, &row, &out));
    return out;
}

err_t merge_node_try_emit(merge_node *n, const char *category, const char *stream, const char *kind)
{
    ref_row out;
    emit_row row = {
        .category = bytes_str(category), .stream = bytes_str(stream), .kind = bytes_str(kind)};
    return emit(n, CLASS_ROUTINE, &row, &out);
}

err_t merge_node_erase(merge_node *n, const char *stream, feed_id feed, uint64_t seq,
                       const event_id *id, ref_row *out)
{
    ref_row own;
    buf payload;
    bytes key = bytes_str("a");
    buf_init(&payload, 256);
    erasure_write(&payload, feed, seq, id, &key, 1);
    emit_row row = {.category = bytes_str("form"),
                    .stream = bytes_str(stream),
                    .kind = bytes_str(EVENT_KIND_ERASE),
                    .payload = buf_view(&payload)};
    err_t e = emit(n, CLASS_ROUTINE, &row, out != NULL ? out : &own);
    buf_release(&payload);
    return e;
}

event_id merge_node_id(merge_node *n, const ref_row *r)
{
    locate_reply out;
    place_row place = {0};
    cr_assert_eq(store_locate(n->store, &(locate_request){.feed = r->feed, .seq = r->seq}, &out),
                 ERR_OK);
    cr_assert(msg_list_next(&place_row_desc, &out.places, &place));
    return place.id;
}

unsigned merge_node_hidden(merge_node *n, const ref_row *r)
{
    locate_reply out;
    place_row place;
    cr_assert_eq(store_locate(n->store, &(locate_request){.feed = r->feed, .seq = r->seq}, &out),
                 ERR_OK);
    if (!msg_list_next(&place_row_desc, &out.places, &place))
        return UINT_MAX;
    return place.flags & (ROW_HIDDEN | ROW_ERASED);
}

void merge_node_add(merge_node *n, member_no number, roster_role role)
{
    crypto_signer key;
    member_no got = 0;
    buf why;
    buf_init(&why, 512);
    merge_node_key(number, &key);
    member_add_request req = {
        .name = bytes_str("member"), .role = (uint8_t)role, .key = key.public, .number = number};
    transport_of(number, &req.transport);
    MUST(merge_core_member_add(n->core, (wall_ms){n->now_ms}, &req, &n->batch, &got, &why));
    cr_assert_eq(got, number);
    commit_batch(n);
    buf_release(&why);
}

void merge_node_remove(merge_node *n, member_no number)
{
    buf why;
    buf_init(&why, 512);
    MUST(merge_core_member_remove(n->core, (wall_ms){n->now_ms}, number, &n->batch, &why));
    commit_batch(n);
    buf_release(&why);
}

err_t merge_node_radio(merge_node *n, bool rotate, uint8_t *epoch, uint16_t *boxes)
{
    static uint8_t random[64];
    buf why;
    random[0]++; /* another one each time */
    buf_init(&why, 512);
    err_t e = merge_core_radio_give(n->core, (wall_ms){n->now_ms}, rotate, random, &n->batch, epoch,
                                    boxes, &why);
    if (e == ERR_OK)
        commit_batch(n);
    else
        merge_batch_clear(&n->batch);
    buf_release(&why);
    return e;
}

err_t merge_node_readd(merge_node *n, member_no number)
{
    buf why;
    buf_init(&why, 512);
    err_t e = merge_core_member_readd(n->core, (wall_ms){n->now_ms}, number, &n->batch, &why);
    if (e == ERR_OK)
        commit_batch(n);
    buf_release(&why);
    return e;
}

/* Requests reach the core decoded. */
static void recode(const msg_desc *desc, const void *msg, buf *room, void *out)
{
    buf_init(room, MESSAGE_MAX_BYTES);
    MUST(msg_encode(desc, msg, room));
    MUST(msg_decode(desc, buf_view(room), out, NULL));
}

void merge_node_heads(merge_node *n, member_no heir, heir_limit_row limit, heir_head_row rows[16],
                      heir_reply *out)
{
    crypto_signer key;
    heir_request req = {.limits = MSG_LIST_OF(&limit, limit.feed != 0 ? 1 : 0)};
    buf room, why;
    buf_init(&why, 512);
    merge_node_key(heir, &key);
    req.key = key.public;
    recode(&heir_request_desc, &req, &room, &req);
    MUST(merge_core_heir(n->core, &req, rows, 16, out, &why));
    buf_release(&room);
    buf_release(&why);
}

err_t merge_node_replace(merge_node *n, member_no heir, member_no successor, member_no next_heir,
                         heir_limit_row limit)
{
    crypto_signer key, next;
    uint8_t seed[MEMBER_SEED_BYTES];
    heir_head_row shown[16];
    frontier_row heads[16];
    heir_reply reply;
    buf room, why;
    size_t kept = 0;
    merge_node_heads(n, heir, limit, shown, &reply);
    for (size_t i = 0; i < reply.heads.n; i++)
        if (shown[i].seq > 0)
            heads[kept++] =
                (frontier_row){.feed = shown[i].feed, .seq = shown[i].seq, .id = shown[i].id};
    merge_node_key(heir, &key);
    crypto_signer_seed(seed, &key);
    merge_node_key(next_heir, &next);
    merge_node_key(successor, &key);
    founder_replace_request req = {.seed = bytes_of(seed, sizeof seed),
                                   .heir = next.public,
                                   .heads = MSG_LIST_OF(heads, kept)};
    buf_init(&why, 512);
    recode(&founder_replace_request_desc, &req, &room, &req);
    err_t e = merge_core_may_replace(n->core, &req, &why);
    if (e == ERR_OK) {
        merge_core_hold_founder(n->core, &key);
        n->identity.founder[0] = key;
        n->identity.n_founder = 1;
        MUST(merge_core_founder_replace(n->core, (wall_ms){n->now_ms}, &req, &key.public, &n->batch,
                                        &why));
        commit_batch(n);
    }
    buf_release(&room);
    buf_release(&why);
    return e;
}

/* ---- runs ---- */

static void ingest_one(merge_node *n, bytes coded, ingest_reply *out)
{
    MUST(merge_core_ingest(n->core, (wall_ms){n->now_ms}, coded, 0, false, &n->batch, out));
    if (n->batch.n > 0)
        commit_batch(n);
}

void merge_node_ingest(merge_node *n, bytes coded, ingest_reply *out)
{
    buf kept;
    member_no peer;
    ingest_reply later;
    ingest_one(n, coded, out);
    buf_init(&kept, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    while (merge_core_released(n->core, &kept, &peer)) {
        ingest_one(n, buf_view(&kept), &later);
        buf_clear(&kept);
    }
    buf_release(&kept);
    if (merge_core_overtaken(n->core))
        MUST(merge_core_new_incarnation(n->core, 0x5550));
}

void merge_node_run(merge_node *n, feed_id feed, uint64_t after_seq, const event_id *tip,
                    uint64_t tip_seq, buf *out)
{
    run_request req = {.feed = feed,
                       .after_seq = after_seq,
                       .tip_seq = tip_seq,
                       .tip_id = *tip,
                       .max_bytes = RUN_MAX_BYTES};
    run_reply r;
    buf_clear(out);
    if (store_run(n->store, &req, &r) == ERR_OK)
        buf_add_bytes(out, r.run);
}

void merge_node_pull(merge_node *to, merge_node *from)
{
    frontier_reply f;
    frontier_row rows[64], row;
    size_t n = 0;
    buf coded;
    merge_core_frontier(from->core, &f);
    for (size_t i = 0; i < f.entries.n && n < 64; i++)
        rows[n++] = ((const frontier_row *)f.entries.items)[i];
    buf_init(&coded, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        ingest_reply out;
        row = rows[i];
        merge_node_run(from, row.feed, 0, &row.id, row.seq, &coded);
        cr_assert(coded.len > 0);
        merge_node_ingest(to, buf_view(&coded), &out);
    }
    buf_release(&coded);
}

event_id merge_node_digest(merge_node *n)
{
    frontier_reply f;
    merge_core_frontier(n->core, &f);
    return f.digest;
}

uint64_t merge_node_events(merge_node *n)
{
    frontier_reply f;
    merge_core_frontier(n->core, &f);
    return f.events;
}
