/* What happened on the air, the newest rows in memory, for `cairn radio log`. */
#include "radio-bridge/bridge.h"

#include "shell/clock.h"

#include <stdlib.h>

#define ANSWER_ROWS 256u

void bridge_note(bridge *b, const char *what, const bridge_event *e)
{
    bridge_log *l = &b->log;
    l->last++;
    bridge_event *row = &l->rows[l->last % RADIO_LOG_ROWS];
    *row = *e;
    row->at = l->last;
    row->wall = clock_wall();
    row->what = what;
}

static radio_log_row row_of(const bridge_event *e)
{
    return (radio_log_row){.at = e->at,
                           .wall_ms = e->wall.ms < WALL_MAX_MS ? e->wall.ms : WALL_MAX_MS,
                           .what = bytes_str(e->what),
                           .kind = e->kind,
                           .station = e->station,
                           .bytes = e->bytes,
                           .airtime_us = e->airtime_us,
                           .rssi_dbm = e->rssi_dbm,
                           .snr_cdb = e->snr_cdb,
                           .words = bytes_str(e->words)};
}

static void answer(bridge *b, const service_call *call, uint64_t after)
{
    const bridge_log *l = &b->log;
    radio_log_row *rows = calloc(ANSWER_ROWS, sizeof *rows);
    uint64_t first = l->last >= RADIO_LOG_ROWS ? l->last - RADIO_LOG_ROWS + 1 : 1;
    size_t n = 0;
    if (after + 1 > first && after <= l->last)
        first = after + 1;
    for (uint64_t at = first; rows != NULL && at <= l->last && n < ANSWER_ROWS; at++)
        rows[n++] = row_of(&l->rows[at % RADIO_LOG_ROWS]);
    radio_log_reply reply = {.rows = MSG_LIST_OF(rows, n), .last = l->last};
    service_reply(b->s, call, &reply);
    free(rows);
}

void bridge_log_answer(bridge *b)
{
    bridge_log *l = &b->log;
    uint64_t now = clock_mono().ms;
    for (size_t i = 0; i < l->n_readers;) {
        bridge_reader *r = &l->readers[i];
        if (l->last <= r->after && now < r->until.ms) {
            service_wake(b->s, r->until);
            i++;
            continue;
        }
        answer(b, &r->call, r->after);
        *r = l->readers[--l->n_readers];
    }
}

/* A request without an answer comes again: it waits once. */
static bool waits_already(const bridge_log *l, const service_call *call)
{
    for (size_t i = 0; i < l->n_readers; i++) {
        const service_call *c = &l->readers[i].call;
        if (c->request == call->request && c->route.len == call->route.len &&
            memcmp(c->route.b, call->route.b, call->route.len) == 0)
            return true;
    }
    return false;
}

void bridge_on_log(service *s, void *self, const service_call *call, const void *msg)
{
    bridge *b = self;
    const radio_log_request *req = msg;
    bridge_log *l = &b->log;
    (void)s;
    /* A number that we have not given yet is one of the process before. */
    uint64_t after = req->after <= l->last ? req->after : 0;
    if (waits_already(l, call))
        return;
    if (req->wait_ms == 0 || l->last > after || l->n_readers == BRIDGE_READERS) {
        answer(b, call, after);
        return;
    }
    mono_ms until = {clock_mono().ms + req->wait_ms};
    l->readers[l->n_readers++] = (bridge_reader){*call, after, until};
    service_wake(b->s, until);
}
