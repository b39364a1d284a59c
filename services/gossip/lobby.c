/* The lobby: for those who are no members yet. Anybody who knows the dataset id gets this far, so everything here is
 * counted, bounded and answered in words; what is private is sealed under the token's secret. */
#include "gossip/gossip_shell.h"
#include "merge/merge_clnt.h"

#include <stdio.h>

#define TURN_MAX       16u
#define REQUESTS_BURST 40.0
#define REQUESTS_PER_S 20.0
#define SHAKES_BURST   50.0
#define SHAKES_PER_S   20.0
#define RUN_COST_BYTES 65536.0 /* a run costs as much as one request for each so many bytes */
#define INGEST_WAIT_MS 30000u

/* ---- how much ---- */

static bool take_tokens(double *left, mono_ms *at, double per_s, double burst, double cost)
{
    mono_ms now = clock_mono();
    *left += (double)(now.ms - at->ms) * per_s / 1000.0;
    *left = *left < burst ? *left : burst;
    *at = now;
    if (*left < cost)
        return false;
    *left -= cost;
    return true;
}

bool lobby_admits(gossip_shell *g)
{
    return take_tokens(&g->handshakes, &g->handshakes_at, SHAKES_PER_S, SHAKES_BURST, 1.0);
}

/* ---- answers ---- */

static void reply(gossip_shell *g, const bus_route *route, uint64_t request, const msg_desc *desc,
                  const void *msg)
{
    /* Somebody who has gone meanwhile asks again. */
    (void)!bus_send(service_bus(g->s), g->lobby, route, desc, request, msg);
}

static void refuse(gossip_shell *g, const bus_route *route, uint64_t request, err_t e,
                   const char *text)
{
    error_reply m = {.code = (uint16_t)e, .text = bytes_str(text)};
    if (e != ERR_BUSY)
        service_count(g->s, COUNT_LOBBY_REFUSED, 1);
    reply(g, route, request, &error_reply_desc, &m);
}

static lobby_call *new_call(gossip_shell *g, const bus_frame *f)
{
    for (size_t i = 0; i < LOBBY_CALLS_MAX; i++)
        if (!g->calls[i].used) {
            g->calls[i] = (lobby_call){
                .used = true, .g = g, .route = f->route, .request = f->envelope.request};
            return &g->calls[i];
        }
    return NULL;
}

static void end_call(lobby_call *c)
{
    crypto_wipe(c->secret, sizeof c->secret);
    c->used = false;
}

/* ---- whois ---- */

static void on_whois(gossip_shell *g, const bus_frame *f)
{
    whois_reply m = {.member = g->self, .transport = g->public, .name = bytes_str(g->name)};
    reply(g, &f->route, f->envelope.request, &whois_reply_desc, &m);
}

/* ---- joining ---- */

/* This node first, then those it is linked with, whose addresses are known to be good. */
static size_t introduce(const gossip_shell *g, intro_row rows[JOIN_INTROS_MAX],
                        char own[ADDRESS_MAX_BYTES + 1])
{
    size_t n = 0;
    char first[1][ADDRESS_MAX_BYTES + 1];
    own[0] = '\0';
    if (listen_addresses(g, 0, first, 1) == 1)
        memcpy(own, first[0], sizeof first[0]);
    rows[n++] = (intro_row){.member = g->self, .transport = g->public, .address = bytes_str(own)};
    for (size_t i = 0; i < DIALS_MAX && n < JOIN_INTROS_MAX; i++) {
        const dial_row *d = &g->dials[i];
        if (d->address[0] == '\0' || !d->has_key || d->last_ok.ms == 0 ||
            key_belongs_to(g, &d->key) == 0 || memcmp(d->key.b, g->public.b, sizeof d->key.b) == 0)
            continue;
        rows[n++] = (intro_row){.member = key_belongs_to(g, &d->key),
                                .transport = d->key,
                                .address = bytes_str(d->address)};
    }
    return n;
}

static void answer_join(gossip_shell *g, const lobby_call *c, const join_row *row, uint8_t role)
{
    intro_row rows[JOIN_INTROS_MAX];
    char own[ADDRESS_MAX_BYTES + 1];
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    join_answer m = {.number = row->number,
                     .name = bytes_str(row->name),
                     .role = role,
                     .title = bytes_str(g->title),
                     .genesis = buf_view(&g->genesis),
                     .code = bytes_str(row->code)};
    m.intros = MSG_LIST_OF(rows, introduce(g, rows, own));
    buf sealed;
    buf_init(&sealed, 65536);
    random_fill(nonce, sizeof nonce);
    err_t e =
        join_seal(c->secret, &service_bus(g->s)->dataset, nonce, &join_answer_desc, &m, &sealed);
    join_reply out = {.sealed = buf_view(&sealed)};
    if (e == ERR_OK)
        reply(g, &c->route, c->request, &join_reply_desc, &out);
    else
        refuse(g, &c->route, c->request, e, "the answer does not fit: tell the inviter");
    buf_release(&sealed);
}

static uint8_t role_of(const gossip_shell *g, const join_row *row)
{
    const invite_row *invite = invite_find(g->book, bytes_of(row->invite, sizeof row->invite));
    return invite != NULL ? invite->role : 2;
}

static void on_added(void *ctx, err_t e, const char *text, const void *msg)
{
    lobby_call *c = ctx;
    gossip_shell *g = c->g;
    const member_add_reply *m = msg;
    join_row *row = invite_joiner(g->book, &c->key);
    if (e == ERR_STOPPING) {
        end_call(c);
        return;
    }
    if (e != ERR_OK || row == NULL) {
        refuse(g, &c->route, c->request, row == NULL ? ERR_BUSY : e,
               row == NULL ? "ask again" : text);
    } else {
        invite_joined(g->book, row, m->number, clock_wall().ms);
        g->joins_changed_ms = row->at_ms;
        g->dirty = true;
        g->members_next.ms = 0; /* its key must be let in at once */
        service_wake(g->s, clock_mono());
        if (keep_save(g) != ERR_OK)
            log_error("cannot write HOME/gossip/state: the use of the token may be forgotten");
        log_info("%s joined as member %u, code %s", row->name, row->number, row->code);
        service_count(g->s, COUNT_JOINED, 1);
        answer_join(g, c, row, role_of(g, row));
        joins_tell(g, clock_mono());
    }
    end_call(c);
}

static bool being_added(const gossip_shell *g, const member_key *key)
{
    for (size_t i = 0; i < LOBBY_CALLS_MAX; i++)
        if (g->calls[i].used && memcmp(g->calls[i].key.b, key->b, sizeof key->b) == 0)
            return true;
    return false;
}

static void enrol(gossip_shell *g, const bus_frame *f, const join_row *row,
                  const invite_row *invite)
{
    member_add_request add = {.name = bytes_str(row->name),
                              .role = invite->role,
                              .key = row->key,
                              .transport = row->transport};
    lobby_call *c = being_added(g, &row->key) ? NULL : new_call(g, f);
    if (c == NULL) {
        refuse(g, &f->route, f->envelope.request, ERR_BUSY, "it is being done: ask again");
        return;
    }
    c->key = row->key;
    memcpy(c->secret, invite->secret, sizeof c->secret);
    err_t e = merge_clnt_member_add(g->merge, &add, on_added, c);
    if (e != ERR_OK)
        on_added(c, e, err_text(e), NULL);
}

/* Somebody joined already, in this life of the process or (by the roster) in an earlier one, and lost the answer. */
static bool known_joiner(gossip_shell *g, join_row *row)
{
    for (size_t i = 0; i < g->n_members && row->state != JOIN_JOINED; i++)
        if (memcmp(g->members[i].key.b, row->key.b, sizeof row->key.b) == 0) {
            invite_joined(g->book, row, g->members[i].number, clock_wall().ms);
            g->dirty = true;
        }
    return row->state == JOIN_JOINED;
}

static bool can_invite(const gossip_shell *g)
{
    return g->roster_known && g->role <= 1;
}

static void on_join(gossip_shell *g, const bus_frame *f, const join_request *m)
{
    join_row *row;
    buf why;
    const bus_route *to = &f->route;
    uint64_t request = f->envelope.request;
    if (!can_invite(g) || g->genesis.len == 0) {
        refuse(g, to, request, g->roster_known && g->role > 1 ? ERR_FORBIDDEN : ERR_BUSY,
               g->roster_known && g->role > 1 ? "this member may not add members"
                                              : "the inviting node is still starting");
        return;
    }
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = invite_judge(g->book, &service_bus(g->s)->dataset, &g->public, m, clock_wall().ms,
                           &row, &why);
    const invite_row *invite = invite_find(g->book, m->invite);
    if (row != NULL && row->state == JOIN_WAITING && e == ERR_BUSY &&
        row->at_ms > g->joins_changed_ms) {
        g->joins_changed_ms = row->at_ms; /* a new face waits at the door */
        joins_tell(g, clock_mono());
    }
    if ((e == ERR_OK || e == ERR_EXISTS) && known_joiner(g, row)) {
        lobby_call again = {.route = *to, .request = request};
        memcpy(again.secret, invite->secret, sizeof again.secret);
        answer_join(g, &again, row, role_of(g, row));
    } else if (e == ERR_OK) {
        enrol(g, f, row, invite);
    } else {
        char text[ERROR_TEXT_MAX_BYTES];
        snprintf(text, sizeof text, "%.*s", (int)why.len, (const char *)why.p);
        refuse(g, to, request, e, text);
    }
    buf_release(&why);
}

/* ---- runs from strangers ---- */

static void on_run_judged(void *ctx, err_t e, const char *text, const void *msg)
{
    lobby_call *c = ctx;
    if (e == ERR_OK)
        reply(c->g, &c->route, c->request, &ingest_reply_desc, msg);
    else if (e != ERR_STOPPING)
        refuse(c->g, &c->route, c->request, e, text);
    end_call(c);
}

/* ingest_reply's list and text borrow the frame they came in, so it is passed on as it is. */
static void on_run(gossip_shell *g, const bus_frame *f, const lobby_run_request *m)
{
    lobby_call *c = new_call(g, f);
    ingest_request in = {.run = m->run};
    if (c == NULL) {
        refuse(g, &f->route, f->envelope.request, ERR_BUSY, err_text(ERR_BUSY));
        return;
    }
    err_t e = merge_clnt_ingest_within(g->merge, INGEST_WAIT_MS, &in, on_run_judged, c);
    if (e != ERR_OK)
        on_run_judged(c, e, err_text(e), NULL);
}

/* ---- one request ---- */

static const msg_desc *kind_of(const bus_frame *f)
{
    static const msg_desc *const kinds[] = {&whois_request_desc, &join_request_desc,
                                            &lobby_run_request_desc};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i]->id == f->envelope.type)
            return kinds[i];
    return NULL;
}

/* Why a request is not looked at, ERR_OK if it is. */
static err_t objection(gossip_shell *g, const bus_frame *f, char text[ERROR_TEXT_MAX_BYTES])
{
    double cost = 1.0 + (double)f->body.len / RUN_COST_BYTES;
    err_t e = ERR_OK;
    if (f->envelope.version != PROTO_VERSION)
        e = ERR_VERSION;
    else if (memcmp(f->envelope.dataset.b, service_bus(g->s)->dataset.b,
                    sizeof f->envelope.dataset.b) != 0)
        e = ERR_DATASET;
    else if (kind_of(f) == NULL)
        e = ERR_UNKNOWN_TYPE;
    else if (!take_tokens(&g->tokens, &g->tokens_at, REQUESTS_PER_S, REQUESTS_BURST, cost))
        e = ERR_BUSY;
    snprintf(text, ERROR_TEXT_MAX_BYTES, "%s", err_text(e));
    if (e == ERR_VERSION)
        snprintf(text, ERROR_TEXT_MAX_BYTES,
                 "this node speaks protocol %u, not %u: update the older one", PROTO_VERSION,
                 f->envelope.version);
    return e;
}

static void on_request(gossip_shell *g, const bus_frame *f)
{
    _Alignas(max_align_t) uint8_t msg[1024];
    char text[ERROR_TEXT_MAX_BYTES];
    const char *bad = NULL;
    const msg_desc *desc = kind_of(f);
    err_t e = objection(g, f, text);
    if (e == ERR_OK)
        e = msg_decode(desc, f->body, msg, &bad);
    if (e != ERR_OK) {
        refuse(g, &f->route, f->envelope.request, e, bad != NULL ? err_text(e) : text);
        return;
    }
    if (desc == &whois_request_desc)
        on_whois(g, f);
    else if (desc == &join_request_desc)
        on_join(g, f, (const join_request *)(const void *)msg);
    else
        on_run(g, f, (const lobby_run_request *)(const void *)msg);
}

void lobby_serve(service *s, void *self)
{
    gossip_shell *g = self;
    bus_frame f;
    err_t e;
    for (unsigned n = 0; n < TURN_MAX && (e = bus_recv(g->lobby, true, &f)) != ERR_NOT_FOUND; n++) {
        service_count(s, COUNT_LOBBY_REQUESTS, 1);
        if (e != ERR_OK) {
            service_count(s, COUNT_MALFORMED, 1);
            continue;
        }
        on_request(g, &f);
        bus_frame_release(&f);
    }
}
