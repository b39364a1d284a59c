/* Serving a peer: one run is read at a time, the most urgent want first. */
#include "gossip/gossip_core_impl.h"

#include "pure/run.h"

static const uint8_t rank_of_class[] = {
    [CLASS_ROUTINE] = 2, [CLASS_EXPRESS] = 1, [CLASS_BULK] = 3, [CLASS_RESERVED] = 3};

static gossip_job *job_of_feed(gossip_link *l, feed_id feed)
{
    for (size_t i = 0; i < l->n_jobs; i++)
        if (l->jobs[i].next.feed == feed)
            return &l->jobs[i];
    return NULL;
}

static gossip_job *job_being_read(gossip_link *l)
{
    for (size_t i = 0; i < l->n_jobs; i++)
        if (l->jobs[i].generation == l->reading_generation)
            return &l->jobs[i];
    return NULL;
}

static void end_job(gossip_link *l, gossip_job *j)
{
    *j = l->jobs[--l->n_jobs];
}

static void serve_next(gossip_core *c, gossip_link *l)
{
    gossip_job *best = NULL;
    if (l->reading)
        return;
    for (size_t i = 0; i < l->n_jobs; i++)
        if (l->jobs[i].window > 0 && (best == NULL || l->jobs[i].rank < best->rank))
            best = &l->jobs[i];
    gossip_effect *e = best != NULL ? gossip_emit(c, GOSSIP_READ) : NULL;
    if (e == NULL)
        return;
    e->link = l->id;
    e->tag = l->id;
    e->read = best->next;
    l->reading = true;
    l->reading_generation = best->generation;
}

static void cannot(gossip_core *c, const gossip_link *l, feed_id feed, uint64_t tip_seq,
                   const event_id *tip_id, err_t why)
{
    peer_have_not m = {.feed = feed, .tip_seq = tip_seq, .tip_id = *tip_id, .code = (uint16_t)why};
    gossip_send(c, l, &peer_have_not_desc, &m);
}

static gossip_job *fresh_job(gossip_core *c, gossip_link *l, const peer_want *m)
{
    gossip_job *j = job_of_feed(l, m->feed);
    if (j == NULL && l->n_jobs == GOSSIP_JOBS_MAX) {
        cannot(c, l, m->feed, m->tip_seq, &m->tip_id, ERR_BUSY);
        return NULL;
    }
    if (j == NULL)
        j = &l->jobs[l->n_jobs++];
    *j = (gossip_job){
        .next = {.feed = m->feed,
                 .after_seq = m->after_seq,
                 .after_id = m->after_id,
                 .tip_seq = m->tip_seq,
                 .tip_id = m->tip_id,
                 .max_bytes = GOSSIP_RUN_BYTES},
        .rank = gossip_is_roster(c, m->feed) ? 0 : rank_of_class[feed_class_of(m->feed)],
        .generation = gossip_new_tag(c),
    };
    return j;
}

void gossip_recv_want(gossip_core *c, gossip_link *l, const peer_want *m)
{
    c->count.wants_served++;
    gossip_job *j = m->fresh ? fresh_job(c, l, m) : job_of_feed(l, m->feed);
    if (j == NULL)
        return; /* more room for what has ended meanwhile */
    j->window += m->window;
    if (j->window > GOSSIP_WINDOW_RUNS)
        j->window = GOSSIP_WINDOW_RUNS;
    serve_next(c, l);
}

static void send_run(gossip_core *c, gossip_link *l, gossip_job *j, const run_reply *reply)
{
    run r;
    err_t e = reply->run.len == 0 ? ERR_NOT_FOUND : run_decode(reply->run, &r);
    if (e != ERR_OK) {
        cannot(c, l, j->next.feed, j->next.tip_seq, &j->next.tip_id, e);
        end_job(l, j);
        return;
    }
    peer_run m = {.run = reply->run, .more = reply->more};
    gossip_send(c, l, &peer_run_desc, &m);
    c->count.runs_sent++;
    j->next.after_seq = r.first_seq + r.count - 1;
    j->next.after_id = (event_id){{0}}; /* whatever lies there on the way to the tip */
    j->window--;
    if (!reply->more)
        end_job(l, j);
}

void gossip_read(gossip_core *c, uint32_t tag, err_t e, const run_reply *reply, mono_ms now)
{
    (void)now;
    gossip_link *l = gossip_link_of(c, tag);
    if (l == NULL || !l->reading)
        return;
    gossip_job *j = job_being_read(l);
    l->reading = false;
    if (j != NULL && e == ERR_OK)
        send_run(c, l, j, reply);
    else if (j != NULL) {
        cannot(c, l, j->next.feed, j->next.tip_seq, &j->next.tip_id, e);
        end_job(l, j);
    }
    serve_next(c, l);
}
