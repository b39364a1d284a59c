/* member.add (also again) and member.remove: roster events of our own, written when nothing else is under way. */
#include "merge/merge_service.h"

#include "shell/clock.h"

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
        merge_fail(m, call, e, why);
}

/* A change of a member that answers with nothing but its success. */
static void change_member(merge_service *m, const service_call *call, member_no number,
                          err_t (*change)(merge_core *c, wall_ms now, member_no number,
                                          merge_batch *b, buf *why),
                          buf *why)
{
    flight *f = merge_flight_new(m);
    err_t e = f == NULL ? ERR_NO_MEMORY : change(m->core, clock_wall(), number, &f->batch, why);
    if (e == ERR_OK) {
        merge_launch_for(m, f, call, WAIT_OK, number);
        return;
    }
    if (f != NULL)
        merge_flight_recycle(m, f);
    if (e == ERR_EXISTS)
        service_reply(m->s, call, &(ok_reply){0});
    else
        merge_fail(m, call, e, why);
}

void merge_change_members(merge_service *m, const service_call *call, const void *msg)
{
    buf why;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    if (call->desc == &member_add_request_desc)
        add_member(m, call, msg, &why);
    else if (call->desc == &member_readd_request_desc)
        change_member(m, call, ((const member_readd_request *)msg)->number, merge_core_member_readd,
                      &why);
    else
        change_member(m, call, ((const member_remove_request *)msg)->number,
                      merge_core_member_remove, &why);
    buf_release(&why);
}
