/* member.add and member.remove: roster events of our own, written when nothing else is under way. */
#include "merge/merge_service.h"

#include "shell/clock.h"

static void fail(merge_service *m, const service_call *call, err_t e, const buf *why)
{
    if (why->len > 0)
        service_fail(m->s, call, e, "%.*s", (int)why->len, (const char *)why->p);
    else
        service_fail(m->s, call, e, NULL);
}

static void add_member(merge_service *m, const service_call *call, const member_add_request *in,
                       buf *why)
{
    member_no number = 0;
    flight *f = merge_flight_new(m);
    err_t e = f == NULL ? ERR_NO_MEMORY
                        : merge_core_member_add(m->core, clock_wall(), in, &f->batch, &number, why);
    if (e == ERR_OK) {
        merge_launch_for(m, f, call, WAIT_ADD, number);
        return;
    }
    if (f != NULL)
        merge_flight_recycle(m, f);
    if (e == ERR_EXISTS) /* a repeated request, or a machine that joins twice with one key */
        service_reply(m->s, call, &(member_add_reply){.number = number});
    else
        fail(m, call, e, why);
}

static void remove_member(merge_service *m, const service_call *call,
                          const member_remove_request *in, buf *why)
{
    flight *f = merge_flight_new(m);
    err_t e = f == NULL
                  ? ERR_NO_MEMORY
                  : merge_core_member_remove(m->core, clock_wall(), in->number, &f->batch, why);
    if (e == ERR_OK) {
        merge_launch_for(m, f, call, WAIT_REMOVE, in->number);
        return;
    }
    if (f != NULL)
        merge_flight_recycle(m, f);
    if (e == ERR_EXISTS)
        service_reply(m->s, call, &(ok_reply){0});
    else
        fail(m, call, e, why);
}

void merge_change_members(merge_service *m, const service_call *call, const void *msg)
{
    buf why;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    if (call->desc == &member_add_request_desc)
        add_member(m, call, msg, &why);
    else
        remove_member(m, call, msg, &why);
    buf_release(&why);
}
