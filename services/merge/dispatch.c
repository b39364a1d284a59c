/* The merge process: what it answers, how it starts, how it finds its store again. */
#include "merge/merge_service.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define HELLO_MS      2000u
#define HELLO_WAIT_MS 1500u

bool merge_not_ready(merge_service *m, const service_call *call)
{
    if (m->ready)
        return false;
    service_fail(m->s, call, ERR_NOT_READY, "merge is still waiting: %s", m->trouble);
    return true;
}

void merge_fail(merge_service *m, const service_call *call, err_t e, const buf *why)
{
    if (why->len > 0)
        service_fail(m->s, call, e, "%.*s", (int)why->len, (const char *)why->p);
    else
        service_fail(m->s, call, e, NULL);
}

/* ---- emit ---- */

static void begin_emit(merge_service *m, const service_call *call, const emit_request *in,
                       idem_op *op)
{
    if (in->expect > 0 || merge_core_needs_founder(m->core, in) || merge_must_wait(m))
        merge_exclusive(
            m, call,
            in); /* comes back through merge_run_exclusive, which finds the op by its key */
    else
        merge_accept_emit(m, call, in, op);
}

static idem_op *find_idem(const merge_service *m, bytes key)
{
    for (idem_op *op = m->idem; op != NULL; op = op->next)
        if (key.len > 0 && bytes_is(key, op->key))
            return op;
    return NULL;
}

static void reply_known(merge_service *m, const idem_op *op, const idem_reply *known)
{
    emitted_row *rows = calloc(known->refs.n, sizeof *rows);
    msg_list list = known->refs;
    ref_row ref;
    size_t n = 0;
    while (rows != NULL && msg_list_next(&ref_row_desc, &list, &ref))
        rows[n++] = (emitted_row){.feed = ref.feed, .seq = ref.seq, .prefix = ref.prefix};
    emit_reply reply = {.events = MSG_LIST_OF(rows, n),
                        .last_offset = known->first_offset + (n > 0 ? n - 1 : 0),
                        .repeated = true};
    for (size_t i = 0; i < op->n_calls; i++)
        service_reply(m->s, &op->calls[i], &reply);
    free(rows);
}

static void on_looked_up(void *ctx, err_t e, const char *text, const void *reply)
{
    idem_op *op = ctx;
    merge_service *m = op->m;
    const idem_reply *known = reply;
    emit_request in;
    if (e == ERR_OK && known->refs.n == 0) {
        if (msg_decode(&emit_request_desc, buf_view(&op->body), &in, NULL) == ERR_OK)
            begin_emit(m, &op->calls[0], &in, op);
        return;
    }
    if (e == ERR_OK)
        reply_known(m, op, known);
    for (size_t i = 0; e != ERR_OK && i < op->n_calls; i++)
        service_fail(m->s, &op->calls[i], e, "%s", text);
    merge_drop_idem(m, op);
}

static void look_up(merge_service *m, const service_call *call, const emit_request *in)
{
    idem_op *op = find_idem(m, in->idem);
    if (op != NULL) { /* the same wish again, while the first is under way */
        if (op->n_calls < sizeof op->calls / sizeof op->calls[0])
            op->calls[op->n_calls++] = *call;
        return;
    }
    op = calloc(1, sizeof *op);
    if (op == NULL) {
        service_fail(m->s, call, ERR_NO_MEMORY, NULL);
        return;
    }
    op->m = m;
    op->calls[op->n_calls++] = *call;
    snprintf(op->key, sizeof op->key, "%.*s", (int)in->idem.len, (const char *)in->idem.p);
    buf_init(&op->body, MESSAGE_MAX_BYTES);
    op->next = m->idem;
    m->idem = op;
    idem_request req = {.key = in->idem};
    err_t e = msg_encode(&emit_request_desc, in, &op->body);
    if (e == ERR_OK)
        e = store_clnt_idem(m->store, &req, on_looked_up, op);
    if (e != ERR_OK)
        on_looked_up(op, e, err_text(e), NULL);
}

static void on_emit(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    const emit_request *in = msg;
    (void)s;
    if (merge_not_ready(m, call))
        return;
    if (in->idem.len > 0)
        look_up(m, call, in);
    else
        begin_emit(m, call, in, NULL);
}

/* Nothing is in flight, so the store's answer is the truth until we write. */
static err_t check_expectation(merge_service *m, const emit_request *in, buf *why)
{
    emit_row first;
    rows_reply reply;
    msg_list list = in->events;
    if (in->expect == 0 || !msg_list_next(&emit_row_desc, &list, &first))
        return ERR_OK;
    read_stream_request req = {.category = first.category, .stream = first.stream};
    TRY(store_call_read_stream_within(m->direct, HELLO_WAIT_MS, &req, &reply, why));
    if (reply.head == in->expect - 1)
        return ERR_OK;
    buf_addf(why, "%.*s/%.*s has %llu events here, not %llu: nothing was written",
             (int)first.category.len, (const char *)first.category.p, (int)first.stream.len,
             (const char *)first.stream.p, (unsigned long long)reply.head,
             (unsigned long long)(in->expect - 1));
    return ERR_CONFLICT;
}

static void run_emit(merge_service *m, const service_call *call, const emit_request *in)
{
    idem_op *op = find_idem(m, in->idem);
    buf why;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = check_expectation(m, in, &why);
    if (e == ERR_OK) {
        merge_accept_emit(m, call, in, op);
    } else {
        service_fail(m->s, call, e, "%.*s", (int)why.len, (const char *)why.p);
        for (size_t i = 1; op != NULL && i < op->n_calls; i++)
            service_fail(m->s, &op->calls[i], e, "%.*s", (int)why.len, (const char *)why.p);
        if (op != NULL)
            merge_drop_idem(m, op);
    }
    buf_release(&why);
}

/* ---- runs, members ---- */

static void on_ingest(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    const ingest_request *in = msg;
    (void)s;
    if (merge_not_ready(m, call))
        return;
    if (merge_must_wait(m))
        merge_exclusive(m, call, in);
    else
        merge_ingest_now(m, call, in->run, in->peer);
}

static void on_wait_turn(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    (void)s;
    if (!merge_not_ready(m, call))
        merge_exclusive(m, call, msg);
}

void merge_run_exclusive(merge_service *m, const service_call *call, const void *msg)
{
    if (call->desc == &emit_request_desc)
        run_emit(m, call, msg);
    else if (call->desc == &ingest_request_desc)
        merge_ingest_now(m, call, ((const ingest_request *)msg)->run,
                         ((const ingest_request *)msg)->peer);
    else if (call->desc == &founder_replace_request_desc)
        merge_replace_founder(m, call, msg);
    else if (call->desc == &radio_key_request_desc)
        merge_give_radio_key(m, call, msg);
    else
        merge_change_members(m, call, msg);
}

static void on_members(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    (void)msg;
    if (merge_not_ready(m, call))
        return;
    const roster *r = merge_core_roster(m->core);
    size_t max = roster_members(r);
    member_row *rows = calloc(max > 0 ? max : 1, sizeof *rows);
    members_reply reply = {.version = roster_version(r),
                           .self = merge_core_self(m->core),
                           .title = bytes_str(roster_title(r)),
                           .founder = merge_core_is_founder(m->core)};
    reply.members = MSG_LIST_OF(rows, rows != NULL ? merge_core_members(m->core, rows, max) : 0);
    service_reply(s, call, &reply);
    free(rows);
}

static void on_frontier(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    const frontier_request *in = msg;
    frontier_reply reply;
    if (merge_not_ready(m, call))
        return;
    merge_core_frontier(m->core, &reply);
    if (in->known_version == reply.version)
        reply.entries = MSG_LIST_OF(NULL, 0);
    service_reply(s, call, &reply);
}

static void on_refusals(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    refusals_reply reply = {0};
    refusal_row *rows = calloc(REFUSALS_MAX, sizeof *rows);
    (void)msg;
    if (rows != NULL)
        reply.refusals =
            MSG_LIST_OF(rows, merge_core_refusals(m->core, rows, REFUSALS_MAX, &reply.total));
    service_reply(s, call, &reply);
    free(rows);
}

static void on_status(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    merge_status_reply reply;
    fork_row forks[1024];
    (void)msg;
    merge_core_status(m->core, clock_wall(), &reply);
    reply.heir_waits = merge_heir_waits(s);
    reply.forks = MSG_LIST_OF(forks, merge_core_forks(m->core, forks, 1024));
    service_reply(s, call, &reply);
}

static const service_route merge_routes[] = {
    {&emit_request_desc, on_emit},
    {&ingest_request_desc, on_ingest},
    {&members_request_desc, on_members},
    {&member_add_request_desc, on_wait_turn},
    {&member_remove_request_desc, on_wait_turn},
    {&member_readd_request_desc, on_wait_turn},
    {&heir_request_desc, merge_on_heir},
    {&founder_replace_request_desc, on_wait_turn},
    {&heir_take_request_desc, merge_on_heir_take},
    {&radio_key_request_desc, on_wait_turn},
    {&radio_keys_request_desc, merge_on_radio_keys},
    {&frontier_request_desc, on_frontier},
    {&refusals_request_desc, on_refusals},
    {&merge_status_request_desc, on_status},
};

/* ---- life ---- */

static void trouble(merge_service *m, const char *text)
{
    if (strcmp(m->trouble, text) != 0 && text[0] != '\0')
        log_info("%s", text);
    snprintf(m->trouble, sizeof m->trouble, "%s", text);
}

/* A new store gets the one event that everything else is judged by. */
static void plant_genesis(merge_service *m)
{
    if (roster_members(merge_core_roster(m->core)) == 0 && m->identity.genesis.len > 0)
        merge_ingest_now(m, NULL, buf_view(&m->identity.genesis), 0);
}

static void load(merge_service *m, const store_hello_reply *hello)
{
    err_t e = merge_core_load(m->core, hello);
    if (e != ERR_OK) {
        trouble(m, "cannot read the store");
        return;
    }
    if (merge_store_was_lost(m->s, hello)) {
        e = merge_core_new_incarnation(m->core, (uint16_t)random_u64());
        if (e != ERR_OK) {
            trouble(m, "cannot begin a new incarnation");
            return;
        }
        log_warn("the store's volume was lost: this node writes to new feeds from now on");
    }
    if (hello->copied && !m->ready)
        log_warn("the database was restored or copied: this node writes to new feeds from now on");
    m->ready = true;
    m->reload = false;
    m->radio_shared = 0;
    trouble(m, "");
    plant_genesis(m);
    service_ring(m->s, merge_core_frontier_version(m->core));
}

/* What is damaged becomes wanted from peers; what is mended no longer is. */
static void on_damage(void *ctx, err_t e, const char *text, const void *reply)
{
    merge_service *m = ctx;
    (void)text;
    if (e != ERR_OK || !m->ready || m->reload)
        return;
    const damage_reply *damage = reply;
    if (merge_core_damaged(m->core, damage->rows) == ERR_OK)
        service_ring(m->s, merge_core_frontier_version(m->core));
}

void merge_ask_damage(merge_service *m)
{
    err_t e = store_clnt_damage_within(m->store, HELLO_WAIT_MS, &(damage_request){0}, on_damage, m);
    if (e != ERR_OK)
        log_debug("damage: %s", err_text(e)); /* asked again with the next hello */
}

static void on_hello(void *ctx, err_t e, const char *text, const void *reply)
{
    merge_service *m = ctx;
    const store_hello_reply *hello = reply;
    m->asking = false;
    if (e == ERR_STOPPING)
        return;
    service_wake(m->s, (mono_ms){clock_mono().ms + HELLO_MS});
    if (e != ERR_OK) {
        trouble(m, "waiting for store");
        (void)text;
        return;
    }
    m->store_state = hello->state;
    bool ask = hello->damaged > 0 || m->mend; /* once more after the last row was mended */
    m->mend = hello->damaged > 0;
    if (ask && m->ready)
        merge_ask_damage(m);
    if (!m->ready || (m->reload && m->n_flights == 0 && m->open == NULL))
        load(m, hello);
    else
        trouble(m, "");
    if (m->ready && !m->reload && m->n_flights == 0 && m->open == NULL && !merge_must_wait(m))
        merge_share_radio_key(m);
}

static void merge_tick(service *s, void *self)
{
    merge_service *m = self;
    (void)s;
    if (m->asking)
        return;
    m->asking = true;
    store_hello_request req = {.writer = m->writer};
    err_t e = store_clnt_store_hello_within(m->store, HELLO_WAIT_MS, &req, on_hello, m);
    if (e != ERR_OK)
        on_hello(m, e, err_text(e), NULL);
}

static err_t merge_start(service *s, void **self, buf *why)
{
    char endpoint[128];
    merge_service *m = calloc(1, sizeof *m);
    if (m == NULL)
        return ERR_NO_MEMORY;
    m->s = s;
    m->last_held = &m->first_held;
    m->writer = clock_mono().ms;
    err_t e = merge_identity_load(service_home(s), &m->identity, why);
    if (e != ERR_OK) {
        free(m);
        return e;
    }
    merge_io io = merge_store_io(m);
    home_endpoint(service_home(s), endpoint, "store", "sock");
    m->core = merge_core_new(&m->identity, &io, (wall_ms){CLOCK_BUILD_MS}, random_u64());
    m->store = service_client(s, "store");
    m->direct = clnt_new(service_bus(s), "store", endpoint);
    if (m->core == NULL || m->store == NULL || m->direct == NULL)
        return ERR_NO_MEMORY;
    snprintf(m->trouble, sizeof m->trouble, "waiting for store");
    *self = m;
    service_wake(s, clock_mono());
    return ERR_OK;
}

static void merge_stop(service *s, void *self)
{
    merge_service *m = self;
    (void)s;
    merge_flights_free(m);
    clnt_free(m->direct);
    merge_core_free(m->core);
    merge_identity_release(&m->identity);
    free(m);
}

static bool merge_health(void *self, buf *state)
{
    const merge_service *m = self;
    buf_add_str(state, m->trouble);
    if (m->ready && m->store_state != ERR_OK)
        buf_addf(state, "%sstore: %s", state->len > 0 ? "; " : "", err_text((err_t)m->store_state));
    return m->ready && m->trouble[0] == '\0' && m->store_state == ERR_OK;
}

static const char *const counters[] = {
    [COUNT_EMITTED] = "emitted_events_total",
    [COUNT_ACCEPTED] = "accepted_events_total",
    [COUNT_DUPLICATES] = "duplicate_events_total",
    [COUNT_REFUSED] = "refused_events_total",
    [COUNT_BATCHES] = "batches_total",
    [COUNT_FAILED] = "failed_batches_total",
};

const service_def merge_def = {
    .name = "merge",
    .doc = "Stamps, chains and signs this node's events; verifies and admits those of others.",
    .routes = merge_routes,
    .n_routes = sizeof merge_routes / sizeof merge_routes[0],
    .options = merge_options,
    .n_options = MERGE_OPTIONS,
    .counters = counters,
    .n_counters = sizeof counters / sizeof counters[0],
    .keeps_secrets = true,
    .before = merge_before,
    .enrol = merge_enrol,
    .start = merge_start,
    .turn = merge_turn,
    .tick = merge_tick,
    .health = merge_health,
    .stop = merge_stop,
};
