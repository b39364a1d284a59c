/* The gossip process: what it answers on this machine, how it starts, ticks and ends. */
#include "gossip/gossip_shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define ADDRESSES_MAX 16u
#define SAVE_RETRY_MS 2000u

/* ---- peers ---- */

static peer_row live_row(const gossip_shell *g, const lan_link *l, mono_ms now)
{
    gossip_link_view v = {0};
    (void)gossip_link_look(g->core, l->id, &v, now);
    /* Every change is told at once, so any word of a peer says that its frontier is still the one heard last. */
    uint64_t as_of = v.compared ? l->heard_wall.ms : 0;
    return (peer_row){
        .member = l->member,
        .name = bytes_str(l->name),
        .address = bytes_str(l->address),
        .link = bytes_str("lan"),
        .state = bytes_str("live"),
        .heard_ms = l->heard_wall.ms,
        .they_lack = v.they_lack,
        .we_lack = v.we_lack,
        .as_of_ms = as_of,
        .error = bytes_str(v.quiet_until.ms != 0
                               ? "it did not deliver what it says it has: not asked for a while"
                               : ""),
        .sent_bytes = l->sent_bytes,
        .received_bytes = l->received_bytes};
}

static peer_row absent_row(const gossip_shell *g, const dial_row *d, mono_ms now)
{
    const member_entry *m = d->member != 0 ? member_by_number(g, d->member) : NULL;
    bool trying = d->state != DIAL_IDLE || d->attempts == 0;
    peer_row row = {.member = d->member,
                    .name = bytes_str(m != NULL ? m->name : ""),
                    .address = bytes_str(d->address),
                    .link = bytes_str("none"),
                    .state = bytes_str(trying ? "connecting" : "silent"),
                    .heard_ms = d->last_ok.ms,
                    .error = bytes_str(d->error)};
    if (d->state == DIAL_IDLE && d->next.ms > now.ms)
        row.next_try_ms = clock_wall().ms + (d->next.ms - now.ms);
    return row;
}

static bool is_linked(const gossip_shell *g, const transport_key *key)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (g->links[i].state == LINK_UP && memcmp(g->links[i].key.b, key->b, sizeof key->b) == 0)
            return true;
    return false;
}

static size_t fill_peers(const gossip_shell *g, peer_row *rows, mono_ms now)
{
    size_t n = 0;
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (g->links[i].state == LINK_UP)
            rows[n++] = live_row(g, &g->links[i], now);
    n += radio_peers(g, rows + n, RADIO_PEER_ROWS, now);
    for (size_t i = 0; i < DIALS_MAX; i++)
        if (g->dials[i].address[0] != '\0' &&
            !(g->dials[i].has_key && is_linked(g, &g->dials[i].key)))
            rows[n++] = absent_row(g, &g->dials[i], now);
    for (size_t i = 0; i < g->n_refused; i++) {
        const refused_row *r = &g->refused[i];
        if (!is_linked(g, &r->key))
            rows[n++] = (peer_row){.member = r->member,
                                   .name = bytes_str(r->name),
                                   .address = bytes_str(r->address),
                                   .link = bytes_str("none"),
                                   .state = bytes_str("refused"),
                                   .heard_ms = r->at.ms,
                                   .error = bytes_str(r->why)};
    }
    return n;
}

static void on_peers(service *s, void *self, const service_call *call, const void *msg)
{
    static peer_row rows[PEERS_MAX + RADIO_PEER_ROWS + DIALS_MAX + REFUSED_MAX];
    const gossip_shell *g = self;
    char listen[ADDRESS_MAX_BYTES + 1] = "";
    (void)msg;
    if (g->port != 0)
        snprintf(listen, sizeof listen, "%.110s:%u", g->listen_host, g->port);
    peers_reply reply = {.listen = bytes_str(listen), .discovery = g->beacon_fd >= 0};
    reply.peers = MSG_LIST_OF(rows, fill_peers(g, rows, clock_mono()));
    service_reply(s, call, &reply);
}

static void on_peer_add(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const peer_add_request *m = msg;
    char address[ADDRESS_MAX_BYTES + 1];
    if (!dial_address_ok(m->address)) {
        service_fail(s, call, ERR_INVALID,
                     "an address looks like 192.168.1.7:7117 or camp.local:7117");
        return;
    }
    snprintf(address, sizeof address, "%.*s", (int)m->address.len, (const char *)m->address.p);
    dial_row *d = dial_add(g, address, DIAL_GIVEN);
    if (d == NULL) {
        service_fail(s, call, ERR_TOO_LARGE, "too many addresses are being tried already");
        return;
    }
    g->dirty = true;
    dial_now(g, d);
    service_reply(s, call, &(ok_reply){0});
}

/* ---- invitations ---- */

static size_t given_addresses(msg_list list, char out[][ADDRESS_MAX_BYTES + 1], size_t max)
{
    address_row row;
    size_t n = 0;
    while (n < max && msg_list_next(&address_row_desc, &list, &row))
        if (dial_address_ok(row.address))
            snprintf(out[n++], ADDRESS_MAX_BYTES + 1, "%.*s", (int)row.address.len,
                     (const char *)row.address.p);
    return n;
}

static err_t make_token(const gossip_shell *g, const invite_row *row,
                        char addresses[][ADDRESS_MAX_BYTES + 1], size_t n, buf *out)
{
    token t = {.dataset = service_bus(g->s)->dataset,
               .inviter = g->self,
               .transport = g->public,
               .expires_ms = row->expires_ms,
               .role = row->role};
    memcpy(t.secret, row->secret, sizeof t.secret);
    t.n_addresses = (unsigned)(n < TOKEN_ADDRESSES_MAX ? n : TOKEN_ADDRESSES_MAX);
    for (unsigned i = 0; i < t.n_addresses; i++)
        memcpy(t.addresses[i], addresses[i], sizeof t.addresses[i]);
    err_t e = token_encode(&t, out);
    crypto_wipe(&t, sizeof t);
    return e;
}

static err_t keep_invite(gossip_shell *g, const invite_request *m, invite_row *row)
{
    *row = (invite_row){.role = m->role, .uses = m->uses, .confirm = m->confirm};
    row->expires_ms = clock_wall().ms + m->valid_ms;
    snprintf(row->name, sizeof row->name, "%.*s", (int)m->name.len, (const char *)m->name.p);
    random_fill(row->secret, sizeof row->secret);
    TRY(invite_add(g->book, row, clock_wall().ms));
    g->dirty = true;
    err_t e = keep_save(g);
    if (e != ERR_OK)
        g->book->n_invites--; /* a token that would be forgotten must not be handed out */
    return e;
}

static void on_invite(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const invite_request *m = msg;
    char addresses[ADDRESSES_MAX][ADDRESS_MAX_BYTES + 1];
    invite_row row = {0};
    buf text;
    if (!g->roster_known) {
        service_fail(s, call, ERR_NOT_READY, "gossip is still waiting for merge");
        return;
    }
    if (g->role > 1) {
        service_fail(s, call, ERR_FORBIDDEN,
                     "only the founder and coordinators may invite: this node is neither");
        return;
    }
    if (g->port == 0 && m->addresses.n == 0) {
        service_fail(s, call, ERR_NOT_READY, "nobody could join: %s", g->listen_error);
        return;
    }
    size_t n = given_addresses(m->addresses, addresses, ADDRESSES_MAX);
    if (n == 0)
        n = listen_addresses(g, 1, addresses, ADDRESSES_MAX);
    buf_init(&text, TOKEN_TEXT_MAX_BYTES);
    err_t e = m->name.len == 0 ? ERR_INVALID : keep_invite(g, m, &row);
    if (e == ERR_OK)
        e = make_token(g, &row, addresses, n, &text);
    address_row rows[ADDRESSES_MAX] = {0};
    for (size_t i = 0; i < n; i++)
        rows[i].address = bytes_str(addresses[i]);
    invite_reply reply = {
        .token = buf_view(&text), .expires_ms = row.expires_ms, .addresses = MSG_LIST_OF(rows, n)};
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        service_fail(s, call, e,
                     m->name.len == 0 ? "the new member needs a name" : "no token was made: %s",
                     err_text(e));
    buf_release(&text);
}

/* ---- joins ---- */

static const char *const state_words[] = {[JOIN_WAITING] = "waiting",
                                          [JOIN_ACCEPTED] = "waiting",
                                          [JOIN_REFUSED] = "refused",
                                          [JOIN_JOINED] = "joined"};

static size_t fill_joins(const gossip_shell *g, uint64_t since_ms, pending_row rows[JOINS_MAX])
{
    size_t n = 0;
    for (size_t i = g->book->n_joins; i-- > 0;) {
        const join_row *j = &g->book->joins[i];
        if (j->at_ms > since_ms)
            rows[n++] = (pending_row){.name = bytes_str(j->name),
                                      .code = bytes_str(j->code),
                                      .number = j->number,
                                      .at_ms = j->at_ms,
                                      .state = bytes_str(state_words[j->state])};
    }
    return n;
}

static void reply_joins(gossip_shell *g, const service_call *call, uint64_t since_ms)
{
    pending_row rows[JOINS_MAX];
    pending_reply reply = {.joins = MSG_LIST_OF(rows, fill_joins(g, since_ms, rows))};
    service_reply(g->s, call, &reply);
}

void joins_tell(gossip_shell *g, mono_ms now)
{
    for (size_t i = 0; i < g->n_waiting;) {
        pending_wait *w = &g->waiting[i];
        if (g->joins_changed_ms > w->since_ms || now.ms >= w->until.ms) {
            reply_joins(g, &w->call, w->since_ms);
            *w = g->waiting[--g->n_waiting];
        } else {
            service_wake(g->s, w->until);
            i++;
        }
    }
}

static void on_pending(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const pending_request *m = msg;
    (void)s;
    if (m->wait_ms == 0 || g->joins_changed_ms > m->since_ms || g->n_waiting == PENDING_MAX) {
        reply_joins(g, call, m->since_ms);
        return;
    }
    mono_ms until = {clock_mono().ms + m->wait_ms};
    g->waiting[g->n_waiting++] = (pending_wait){*call, m->since_ms, until};
    service_wake(g->s, until);
}

static void on_confirm(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const confirm_request *m = msg;
    join_row *row = invite_by_code(g->book, m->code);
    if (row == NULL) {
        service_fail(s, call, ERR_NOT_FOUND, "nobody with that code is waiting");
        return;
    }
    if (row->state == JOIN_JOINED && !m->accept) {
        service_fail(s, call, ERR_CONFLICT, "it has joined already: cairn member remove %s",
                     row->name);
        return;
    }
    if (row->state != JOIN_JOINED) {
        row->state = m->accept ? JOIN_ACCEPTED : JOIN_REFUSED;
        g->dirty = true;
    }
    service_reply(s, call, &(ok_reply){0});
}

static const service_route routes[] = {
    {&peers_request_desc, on_peers},           {&peer_add_request_desc, on_peer_add},
    {&invite_request_desc, on_invite},         {&pending_request_desc, on_pending},
    {&confirm_request_desc, on_confirm},       {&radio_next_request_desc, radio_on_next},
    {&radio_sent_request_desc, radio_on_sent}, {&radio_heard_request_desc, radio_on_heard},
};

/* ---- start ---- */

static bool gossip_before(service *s, int *status)
{
    uint8_t secret[TRANSPORT_KEY_BYTES];
    char hex[2 * TRANSPORT_KEY_BYTES + 1];
    transport_key public;
    buf why;
    if (service_opt(s, "init", 0) == NULL)
        return false;
    buf_init(&why, 1024);
    err_t e = curve_load_key(service_dir(s), secret, &public, &why);
    crypto_wipe(secret, sizeof secret);
    hex_encode(hex, public.b, sizeof public.b);
    if (e == ERR_OK)
        printf("%s\n", hex);
    else
        fprintf(stderr, "cairn-gossip: %.*s\n", (int)why.len, (const char *)why.p);
    *status = e == ERR_OK ? 0 : EX_CANTCREAT;
    buf_release(&why);
    return true;
}

static bool add_given(gossip_shell *g, const char *text, size_t len, buf *why)
{
    char address[ADDRESS_MAX_BYTES + 1];
    if (!dial_address_ok(bytes_of(text, len))) {
        buf_addf(why, "\"%.*s\" is not an address: it looks like 192.168.1.7:7117", (int)len, text);
        return false;
    }
    snprintf(address, sizeof address, "%.*s", (int)len, text);
    return dial_add(g, address, DIAL_GIVEN) != NULL;
}

static bool add_peers(gossip_shell *g, buf *why)
{
    const char *at = config_str(service_config(g->s), "gossip", "peers"), *given;
    for (size_t i = 0; (given = service_opt(g->s, "peer", i)) != NULL; i++)
        if (!add_given(g, given, strlen(given), why))
            return false;
    while (*at != '\0') {
        size_t len = strcspn(at, ", ");
        if (len > 0 && !add_given(g, at, len, why))
            return false;
        at += len;
        at += strspn(at, ", ");
    }
    return true;
}

static err_t prepare(gossip_shell *g, buf *why)
{
    const char *listen = service_opt(g->s, "listen", 0);
    if (listen == NULL)
        listen = config_str(service_config(g->s), "gossip", "listen");
    if (!listen_parse(g, listen)) {
        buf_addf(why, "cannot listen on \"%s\": ADDR:PORT is needed, for instance 0.0.0.0:7117",
                 listen);
        return ERR_INVALID;
    }
    g->discovery = config_bool(service_config(g->s), "gossip", "discovery") &&
                   service_opt(g->s, "no-discovery", 0) == NULL;
    TRY(curve_load_key(service_dir(g->s), g->secret, &g->public, why));
    TRY(keep_load(g, why));
    if (!add_peers(g, why))
        return ERR_INVALID;
    if (!neighbours_open(g) || !listen_zap(g)) {
        buf_add_str(why, "out of sockets or memory");
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

static void gossip_stop(service *s, void *self);

static err_t gossip_start(service *s, void **self, buf *why)
{
    gossip_shell *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NO_MEMORY;
    mono_ms now = clock_mono();
    *self = g;
    g->s = s;
    g->nonce = random_u64();
    g->beacon_fd = -1;
    g->tokens_at = g->handshakes_at = now;
    g->tokens = g->handshakes = 40.0;
    g->core = gossip_core_new(now);
    g->book = calloc(1, sizeof *g->book);
    err_t e = g->core == NULL || g->book == NULL ? ERR_NO_MEMORY : prepare(g, why);
    if (e != ERR_OK) {
        gossip_stop(s, g);
        return e;
    }
    discover_open(g);
    service_wake(s, now);
    return ERR_OK;
}

static void gossip_stop(service *s, void *self)
{
    gossip_shell *g = self;
    (void)s;
    links_free(g);
    dial_free(g);
    discover_close(g);
    if (keep_save(g) != ERR_OK)
        log_error("cannot write %s/state", service_dir(g->s));
    listen_close(g);
    radio_end(g);
    gossip_core_free(g->core);
    buf_release(&g->intros_file);
    buf_release(&g->genesis);
    crypto_wipe(g->secret, sizeof g->secret);
    free(g->members);
    free(g->book);
    free(g);
}

/* ---- loop ---- */

static void gossip_tick_all(service *s, void *self)
{
    gossip_shell *g = self;
    mono_ms now = clock_mono();
    if (now.ms >= gossip_wake(g->core).ms)
        gossip_tick(g->core, now);
    listen_tick(g, now);
    neighbours_tick(g, now);
    links_tick(g, now);
    dial_tick(g, now);
    discover_tick(g, now);
    joins_tell(g, now);
    if (g->dirty && keep_save(g) != ERR_OK)
        service_wake(s, (mono_ms){now.ms + SAVE_RETRY_MS});
}

static void gossip_turn(service *s, void *self)
{
    gossip_shell *g = self;
    radio_turn(g);
    neighbours_pump(g);
    service_wake(s, gossip_wake(g->core));
}

static bool gossip_health(void *self, buf *state)
{
    const gossip_shell *g = self;
    const struct {
        bool bad;
        const char *words;
    } rows[] = {
        {!g->merge_answers, "waiting for merge"},
        {!g->roster_known, "waiting for the roster: no member has been met yet"},
        {g->genesis.len == 0, "waiting for store"},
        {g->wrong_key,
         "HOME/gossip/transport.key is not the key that the dataset knows: restore it from a "
         "backup, or remove this member and join again"},
        {g->listen_error[0] != '\0', g->listen_error},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].bad) {
            buf_add_str(state, rows[i].words);
            return false;
        }
    return true;
}

static const service_option options[] = {
    {"init", NULL,
     "make this machine's transport key if there is none, print its public half, exit"},
    {"listen", "ADDR:PORT", "where members connect; the lobby is one port higher"},
    {"peer", "HOST:PORT", "connect to this address (several)"},
    {"no-discovery", NULL, "neither send nor hear UDP beacons"},
};

static const char *const counters[COUNTERS] = {
    [COUNT_LINKS] = "links_total",
    [COUNT_MESSAGES_SENT] = "messages_sent_total",
    [COUNT_MESSAGES_RECEIVED] = "messages_received_total",
    [COUNT_BYTES_SENT] = "sent_bytes",
    [COUNT_BYTES_RECEIVED] = "received_bytes",
    [COUNT_RUNS_SENT] = "runs_sent_total",
    [COUNT_RUNS_RECEIVED] = "runs_received_total",
    [COUNT_RUNS_UNWANTED] = "runs_unwanted_total",
    [COUNT_RUNS_REFUSED] = "runs_refused_total",
    [COUNT_EVENTS_ACCEPTED] = "events_accepted_total",
    [COUNT_EVENTS_REPEATED] = "events_repeated_total",
    [COUNT_STALLS] = "stalls_total",
    [COUNT_STRANGERS] = "strangers_refused_total",
    [COUNT_MALFORMED] = "malformed_messages_total",
    [COUNT_LOBBY_REQUESTS] = "lobby_requests_total",
    [COUNT_LOBBY_REFUSED] = "lobby_refused_total",
    [COUNT_JOINED] = "members_joined_total",
    [COUNT_BEACONS_SENT] = "beacons_sent_total",
    [COUNT_BEACONS_HEARD] = "beacons_heard_total",
    [COUNT_RADIO_FRAMES] = "radio_frames_said_total",
    [COUNT_RADIO_HEARD] = "radio_frames_heard_total",
    [COUNT_RADIO_EVENTS] = "radio_events_accepted_total",
};

const service_def gossip_def = {
    .name = "gossip",
    .doc = "Finds other members on the network and exchanges events with them; lets new ones join.",
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .counters = counters,
    .n_counters = COUNTERS,
    .keeps_secrets = true,
    .before = gossip_before,
    .enrol = gossip_enrol,
    .start = gossip_start,
    .turn = gossip_turn,
    .tick = gossip_tick_all,
    .health = gossip_health,
    .stop = gossip_stop,
};
