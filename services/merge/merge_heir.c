/* The heir's key comes by as a request, from a person at this machine, and leaves nothing behind but the event that it
 * signed and the founder's key that was made for it. */
#include "merge/merge_service.h"

#include "shell/clock.h"

#include <stdlib.h>

void merge_on_heir(service *s, void *self, const service_call *call, const void *msg)
{
    merge_service *m = self;
    heir_reply reply;
    buf why;
    if (merge_not_ready(m, call))
        return;
    heir_head_row *rows = calloc(ROSTER_LIST_MAX, sizeof *rows);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = rows == NULL ? ERR_NO_MEMORY
                           : merge_core_heir(m->core, msg, rows, ROSTER_LIST_MAX, &reply, &why);
    if (e == ERR_OK)
        service_reply(s, call, &reply);
    else
        merge_fail(m, call, e, &why);
    buf_release(&why);
    free(rows);
}

/* The key is on disk before the event that makes it the founder's. */
static err_t replace(merge_service *m, const founder_replace_request *in, merge_batch *b, buf *why)
{
    crypto_signer successor;
    TRY(merge_core_may_replace(m->core, in, why));
    TRY(merge_identity_make_founder(service_home(m->s), merge_core_founder(m->core), &successor,
                                    why));
    merge_core_hold_founder(m->core, &successor);
    err_t e = merge_core_founder_replace(m->core, clock_wall(), in, &successor.public, b, why);
    crypto_wipe(&successor, sizeof successor);
    return e;
}

void merge_replace_founder(merge_service *m, const service_call *call, const void *msg)
{
    flight *f = merge_flight_new(m);
    buf why;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = f == NULL ? ERR_NO_MEMORY : replace(m, msg, &f->batch, &why);
    if (e == ERR_OK) {
        log_info("the founder is being replaced: this node is to hold the new one's key");
        merge_launch_for(m, f, call, WAIT_REPLACE, 0);
    } else {
        if (f != NULL)
            merge_flight_recycle(m, f);
        if (e == ERR_EXISTS) /* the answer to it was lost */
            service_reply(m->s, call, &(founder_replace_reply){.repeated = true});
        else
            merge_fail(m, call, e, &why);
    }
    buf_release(&why);
}
