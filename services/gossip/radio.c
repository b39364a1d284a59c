/* The radio's side of gossip: answers the bridge, carries out what the planner wants. The planner is made when a bridge
 * asks for the first time: a node without a radio pays nothing for it. */
#include "gossip/gossip_shell.h"
#include "gossip/radio_core.h"
#include "merge/merge_clnt.h"
#include "store/store_clnt.h"

#include <stdio.h>
#include <stdlib.h>

#define RADIO_LIVE_MS                                                                              \
    (2ull * 3600 * 1000) /* a station is silent when it was not heard for so long */
#define RADIO_BRIDGES 16u

/* A bridge that waits for something to send. */
typedef struct {
    bool used;
    service_call call;
    radio_budget budget;
    mono_ms until;
} radio_wait;

struct radio_shell {
    radio_core *core;
    uint64_t frontier, roster;       /* versions that the planner knows */
    radio_wait waits[RADIO_BRIDGES]; /* by number; who asks again waits with his newer question */
};

typedef struct {
    gossip_shell *g;
    uint32_t tag;
} radio_question;

/* ---- store and merge ---- */

static void on_radio_read(void *ctx, err_t e, const char *text, const void *reply)
{
    radio_question *q = ctx;
    (void)text;
    if (e != ERR_STOPPING)
        radio_read(q->g->radio->core, q->tag, e, reply, clock_mono());
    free(q);
}

static void on_radio_ingested(void *ctx, err_t e, const char *text, const void *reply)
{
    static const ingest_reply none;
    radio_question *q = ctx;
    const ingest_reply *r = e == ERR_OK ? reply : &none;
    if (e == ERR_STOPPING) {
        free(q);
        return;
    }
    if (e != ERR_OK)
        log_debug("merge took no run heard on the radio: %s", text);
    else if (r->refused > 0 && r->code != ERR_GAP)
        log_warn("%u events heard on the radio refused from seq %llu on: %.*s", r->refused,
                 (unsigned long long)r->bad_seq, (int)r->text.len, (const char *)r->text.p);
    service_count(q->g->s, COUNT_RADIO_EVENTS, r->accepted);
    radio_ingested(q->g->radio->core, q->tag, e, r, clock_mono());
    gossip_bell(q->g->core, clock_mono());
    free(q);
}

static void carry_out(gossip_shell *g, const radio_effect *x)
{
    radio_question *q = malloc(sizeof *q);
    ingest_request m = {.run = x->body, .peer = x->member};
    err_t e = ERR_NO_MEMORY;
    if (q != NULL) {
        *q = (radio_question){g, x->tag};
        e = x->act == RADIO_READ ? store_clnt_run(g->store, &x->read, on_radio_read, q)
                                 : merge_clnt_ingest(g->merge, &m, on_radio_ingested, q);
    }
    if (e == ERR_OK)
        return;
    free(q);
    if (x->act == RADIO_READ)
        radio_read(g->radio->core, x->tag, e, NULL, clock_mono());
    else
        radio_ingested(g->radio->core, x->tag, e, &(ingest_reply){0}, clock_mono());
}

static void tell_authors(gossip_shell *g)
{
    radio_author *all = calloc(g->n_members + 1, sizeof *all);
    for (size_t i = 0; all != NULL && i < g->n_members; i++)
        all[i] = (radio_author){g->members[i].number, g->members[i].key};
    if (all != NULL &&
        radio_set_authors(g->radio->core, &service_bus(g->s)->dataset, all, g->n_members) == ERR_OK)
        g->radio->roster = g->roster_version;
    free(all);
}

/* ---- the bridge ---- */

static void answer(gossip_shell *g, radio_wait *w, const radio_said *said, mono_ms now)
{
    uint64_t next = said->again.ms > now.ms ? said->again.ms - now.ms : 1;
    radio_next_reply reply = {.ticket = said->plain.len > 0 ? said->ticket : 0,
                              .kind = said->kind,
                              .plain = said->plain,
                              .urgent = said->urgent,
                              .next_ms = next < UINT32_MAX ? (uint32_t)next : UINT32_MAX};
    w->used = false;
    service_reply(g->s, &w->call, &reply);
}

static void serve_wait(gossip_shell *g, radio_wait *w, mono_ms now)
{
    radio_said said;
    radio_answer a = radio_pull(g->radio->core, &w->budget, now, &said);
    if (a == RADIO_FRAME || (a == RADIO_NOTHING && now.ms >= w->until.ms)) {
        service_count(g->s, COUNT_RADIO_FRAMES, a == RADIO_FRAME);
        answer(g, w, &said, now);
    } else if (a == RADIO_NOTHING) {
        service_wake(g->s, said.again.ms < w->until.ms ? said.again : w->until);
    }
}

static void pump(gossip_shell *g)
{
    radio_effect x;
    while (radio_next(g->radio->core, &x))
        carry_out(g, &x);
}

static void tell(gossip_shell *g, mono_ms now)
{
    radio_shell *r = g->radio;
    if (r->roster != g->roster_version)
        tell_authors(g);
    if (gossip_has_frontier(g->core) && r->frontier != gossip_known_version(g->core)) {
        r->frontier = gossip_known_version(g->core);
        radio_set_frontier(r->core, gossip_frontier_held(g->core), now);
    }
}

/* After whatever happened: the planner hears of a new frontier and roster, bridges that wait are served. */
void radio_turn(gossip_shell *g)
{
    radio_shell *r = g->radio;
    mono_ms now = clock_mono();
    if (r == NULL)
        return;
    tell(g, now);
    pump(g);
    for (size_t i = 0; i < RADIO_BRIDGES; i++)
        if (r->waits[i].used)
            serve_wait(g, &r->waits[i], now);
    pump(g);
}

static bool begin(gossip_shell *g)
{
    if (g->radio != NULL)
        return true;
    radio_shell *r = calloc(1, sizeof *r);
    if (r == NULL)
        return false;
    r->core = radio_core_new(g->self, random_u64(), RADIO_STATES_MAX);
    if (r->core == NULL) {
        free(r);
        return false;
    }
    g->radio = r;
    tell(g, clock_mono());
    return true;
}

void radio_end(gossip_shell *g)
{
    if (g->radio == NULL)
        return;
    radio_core_free(g->radio->core);
    free(g->radio);
    g->radio = NULL;
}

void radio_on_next(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const radio_next_request *m = msg;
    if (!g->roster_known) {
        service_fail(s, call, ERR_NOT_READY, "gossip is still waiting for merge");
        return;
    }
    if (!begin(g)) {
        service_fail(s, call, ERR_NO_MEMORY, "no memory for the radio's planner: it needs 32 MB");
        return;
    }
    radio_wait *w = &g->radio->waits[m->bridge % RADIO_BRIDGES];
    if (w->used && service_same_call(&w->call, call))
        return; /* a request without an answer comes again: it has waited since its first time */
    *w = (radio_wait){.used = true,
                      .call = *call,
                      .until = {clock_mono().ms + m->wait_ms},
                      .budget = {.max_bytes = m->max_bytes,
                                 .frame_us = m->frame_us,
                                 .base_us = m->base_us,
                                 .left_us = m->left_us,
                                 .hour_us = m->hour_us}};
    service_wake(s, clock_mono());
}

void radio_on_sent(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const radio_sent_request *m = msg;
    if (g->radio != NULL)
        radio_sent(g->radio->core, m->ticket, (radio_outcome)m->outcome, clock_mono());
    service_reply(s, call, &(ok_reply){0});
}

static int16_t to_i16(int64_t v)
{
    return (int16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
}

void radio_on_heard(service *s, void *self, const service_call *call, const void *msg)
{
    gossip_shell *g = self;
    const radio_heard_request *m = msg;
    radio_hearing h = {.kind = m->kind,
                       .station = m->station,
                       .plain = m->plain,
                       .fresh = m->fresh,
                       .rssi_dbm = to_i16(m->rssi_dbm),
                       .snr_cdb = to_i16(m->snr_cdb)};
    if (g->roster_known && begin(g)) {
        service_count(g->s, COUNT_RADIO_HEARD, 1);
        radio_heard(g->radio->core, &h, clock_mono());
    }
    service_reply(s, call, &(ok_reply){0});
    service_wake(s, clock_mono());
}

/* ---- status ---- */

size_t radio_peers(const gossip_shell *g, peer_row *rows, size_t max, mono_ms now)
{
    static char words[RADIO_PEER_ROWS][64];
    radio_peer_view v;
    size_t n = 0;
    uint64_t wall = clock_wall().ms;
    for (size_t i = 0;
         g->radio != NULL && n < max && n < RADIO_PEER_ROWS && radio_peer(g->radio->core, i, &v);
         i++) {
        const member_entry *m = member_by_number(g, v.station);
        uint64_t ago = now.ms - v.heard.ms, as_of = now.ms - v.as_of.ms;
        words[n][0] = '\0';
        if (v.rssi_dbm != 0)
            snprintf(words[n], sizeof words[n], "%d dBm, SNR %.1f dB", v.rssi_dbm,
                     v.snr_cdb / 100.0);
        rows[n] = (peer_row){.member = v.station,
                             .name = bytes_str(m != NULL ? m->name : ""),
                             .address = bytes_str(words[n]),
                             .link = bytes_str("radio"),
                             .state = bytes_str(ago < RADIO_LIVE_MS ? "live" : "silent"),
                             .heard_ms = wall > ago ? wall - ago : 0,
                             .they_lack = v.they_lack,
                             .we_lack = v.we_lack,
                             .as_of_ms = v.as_of.ms != 0 && wall > as_of ? wall - as_of : 0};
        n++;
    }
    return n;
}
