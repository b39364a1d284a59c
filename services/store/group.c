/* Group commit: whatever arrived in one turn goes into one transaction, and is answered after it is
 * synced. While the disk refuses, writes are tried at most once in RETRY_MS. */
#include "store/store_service.h"

#include <stdlib.h>

#define RETRY_MS 500u

typedef struct {
    const msg_desc *request;
    err_t (*apply)(store_service *g, store_write *w, wall_ms now);
} write_kind;

static err_t apply_append(store_service *g, store_write *w, wall_ms now)
{
    return store_append(g->core, &w->msg.append, now, &w->reply);
}

static err_t apply_verdict(store_service *g, store_write *w, wall_ms now)
{
    return store_verdicts(g->core, &w->msg.verdict, now);
}

static err_t apply_seal(store_service *g, store_write *w, wall_ms now)
{
    (void)now;
    return store_seal(g->core, &w->msg.seal);
}

static err_t apply_incarnation(store_service *g, store_write *w, wall_ms now)
{
    (void)now;
    return store_incarnation(g->core, &w->msg.incarnation);
}

static err_t apply_erase(store_service *g, store_write *w, wall_ms now)
{
    return store_erase(g->core, &w->msg.erase, now);
}

static const write_kind kinds[] = {
    {&append_request_desc, apply_append}, {&verdict_request_desc, apply_verdict},
    {&seal_request_desc, apply_seal},     {&incarnation_request_desc, apply_incarnation},
    {&erase_request_desc, apply_erase},
};

static err_t apply_write(store_service *g, store_write *w, wall_ms now)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].request == w->call.desc)
            return kinds[i].apply(g, w, now);
    return ERR_BUG;
}

/* ---- waiting ---- */

/* Moves a list's bytes from the frame to `at`. */
static uint8_t *keep_list(msg_list *list, uint8_t *at)
{
    if (list->raw.len != 0)
        memcpy(at, list->raw.p, list->raw.len);
    list->raw.p = at;
    return at + list->raw.len;
}

static bool keep_lists(store_write *w)
{
    msg_list *lists[2] = {NULL, NULL};
    if (w->call.desc == &append_request_desc) {
        lists[0] = &w->msg.append.rows;
        lists[1] = &w->msg.append.idem;
    } else if (w->call.desc == &verdict_request_desc) {
        lists[0] = &w->msg.verdict.verdicts;
    }
    for (size_t i = 0; i < 2; i++)
        w->data_len += lists[i] != NULL ? lists[i]->raw.len : 0;
    uint8_t *at = w->data = malloc(w->data_len + 1);
    for (size_t i = 0; i < 2 && at != NULL; i++)
        if (lists[i] != NULL)
            at = keep_list(lists[i], at);
    return at != NULL;
}

static bool is_of_earlier_writer(const store_service *g, const service_call *call, const void *msg)
{
    return call->desc == &append_request_desc && ((const append_request *)msg)->writer < g->writer;
}

void group_add(service *s, void *self, const service_call *call, const void *msg)
{
    store_service *g = self;
    service_count(s, COUNT_WRITES, 1);
    if (is_of_earlier_writer(g, call, msg)) {
        service_count(s, COUNT_REFUSED, 1);
        service_fail(s, call, ERR_CONFLICT, "a merge process that started later writes now");
        return;
    }
    if (g->state != ERR_OK && clock_mono().ms < g->retry.ms) {
        service_count(s, COUNT_REFUSED, 1);
        service_fail(s, call, g->state, NULL);
        return;
    }
    if (g->n_writes == GROUP_MAX_WRITES || g->writes_bytes >= GROUP_MAX_BYTES)
        group_commit(g);
    store_write *w = &g->writes[g->n_writes];
    *w = (store_write){.call = *call};
    memcpy(&w->msg, msg, call->desc->size);
    if (!keep_lists(w)) {
        service_fail(s, call, ERR_NO_MEMORY, NULL);
        return;
    }
    g->n_writes++;
    g->writes_bytes += w->data_len;
}

/* ---- committing ---- */

static err_t run_group(store_service *g)
{
    wall_ms now = clock_wall();
    TRY(store_begin(g->core));
    for (size_t i = 0; i < g->n_writes; i++)
        g->writes[i].result = apply_write(g, &g->writes[i], now);
    return store_commit(g->core);
}

static void reply_one(store_service *g, store_write *w, err_t e)
{
    if (e == ERR_OK && w->call.desc == &append_request_desc) {
        service_count(g->service, COUNT_EVENTS, w->reply.appended);
        service_reply(g->service, &w->call, &w->reply);
    } else if (e == ERR_OK) {
        ok_reply ok = {0};
        service_reply(g->service, &w->call, &ok);
    } else {
        service_count(g->service, COUNT_REFUSED, 1);
        service_fail(g->service, &w->call, e, NULL);
    }
    free(w->data);
}

void group_fail_all(store_service *g, err_t e)
{
    for (size_t i = 0; i < g->n_writes; i++)
        reply_one(g, &g->writes[i], e);
    g->n_writes = g->writes_bytes = 0;
}

static void note_state(store_service *g, err_t e)
{
    if (e != ERR_OK)
        service_count(g->service, COUNT_FAILED, 1);
    if (e != g->state && e != ERR_OK)
        log_error("writes are refused: %s", err_text(e));
    else if (e != g->state)
        log_info("writes are taken again");
    g->state = e;
    g->retry = (mono_ms){clock_mono().ms + RETRY_MS};
}

void group_tell(store_service *g, uint64_t head)
{
    if (store_head(g->core) == head)
        return;
    service_ring(g->service, store_head(g->core));
    waiters_wake(g);
}

void group_commit(store_service *g)
{
    uint64_t head = store_head(g->core);
    if (g->n_writes == 0)
        return;
    err_t e = run_group(g);
    note_state(g, e);
    g->busy = clock_mono();
    service_count(g->service, COUNT_GROUPS, 1);
    for (size_t i = 0; i < g->n_writes; i++) /* a refusal of its own says more than the group's */
        reply_one(g, &g->writes[i], g->writes[i].result != ERR_OK ? g->writes[i].result : e);
    g->n_writes = g->writes_bytes = 0;
    group_tell(g, head);
    tails_left(g);
}

void group_turn(service *s, void *self)
{
    store_service *g = self;
    (void)s;
    group_commit(g);
    tend_schedule(g);
}
