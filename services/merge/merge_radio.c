/* The radio key, asked for by the bridge, made and given out at the founder's. */
#include "merge/merge_service.h"

#include "shell/clock.h"

#include <stdlib.h>

void merge_on_radio_keys(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    merge_radio_key keys[MERGE_RADIO_KEYS];
    radio_key_row rows[MERGE_RADIO_KEYS];
    size_t n;
    (void)msg;
    if (merge_not_ready(m, call))
        return;
    err_t e = merge_core_radio_keys(m->core, keys, &n);
    for (size_t i = 0; i < n; i++)
        rows[i] = (radio_key_row){.epoch = keys[i].epoch,
                                  .key = bytes_of(keys[i].key, sizeof keys[i].key),
                                  .since_ms = keys[i].since_ms};
    radio_keys_reply reply = {.self = merge_core_self(m->core), .keys = MSG_LIST_OF(rows, n)};
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        service_fail(s, call, e, NULL);
    crypto_wipe(keys, sizeof keys);
}

static err_t give(merge_service *m, flight *f, bool rotate, uint8_t *epoch, uint16_t *boxes,
                  buf *why)
{
    uint8_t random[64];
    random_fill(random, sizeof random);
    err_t e =
        merge_core_radio_give(m->core, clock_wall(), rotate, random, &f->batch, epoch, boxes, why);
    crypto_wipe(random, sizeof random);
    return e;
}

void merge_give_radio_key(merge_service *m, const service_call *call, const radio_key_request *in)
{
    uint8_t epoch = 0;
    uint16_t boxes = 0;
    buf why;
    flight *f = merge_flight_new(m);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = f == NULL ? ERR_NO_MEMORY : give(m, f, in->rotate, &epoch, &boxes, &why);
    if (e == ERR_OK) {
        log_info("the radio key of epoch %u goes to %u members", epoch, boxes);
        merge_launch_radio(m, f, call, epoch, boxes);
    } else {
        if (f != NULL)
            merge_flight_recycle(m, f);
        if (e == ERR_EXISTS)
            service_reply(m->s, call, &(radio_key_reply){.epoch = epoch});
        else
            merge_fail(m, call, e, &why);
    }
    buf_release(&why);
}

/* Only if there is a key: a dataset without radio has none. */
static bool has_key(merge_service *m)
{
    merge_radio_key keys[MERGE_RADIO_KEYS];
    size_t n;
    err_t e = merge_core_radio_keys(m->core, keys, &n);
    crypto_wipe(keys, sizeof keys);
    return e == ERR_OK && n > 0;
}

void merge_share_radio_key(merge_service *m)
{
    uint64_t version = roster_version(merge_core_roster(m->core));
    uint8_t epoch = 0;
    uint16_t boxes = 0;
    buf why;
    if (m->radio_shared == version || !merge_core_is_founder(m->core))
        return;
    flight *f = has_key(m) ? merge_flight_new(m) : NULL;
    m->radio_shared = version; /* a failed append resets it: merge reads everything afresh then */
    if (f == NULL)
        return;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = give(m, f, false, &epoch, &boxes, &why);
    if (e == ERR_OK)
        merge_launch_radio(m, f, NULL, epoch, boxes);
    else
        merge_flight_recycle(m, f);
    if (e != ERR_OK && err_is_transient(e))
        m->radio_shared = 0;
    buf_release(&why);
}
