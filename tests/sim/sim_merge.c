/* What the merge service does around its core (services/merge/merge_flight.c), on the virtual clock. */
#include "tests/sim/sim.h"

static bool is_disk(err_t e)
{
    return e == ERR_TIMEOUT || e == ERR_FULL || e == ERR_IO;
}

/* ---- flights ---- */

static bool may_fly(const sim_node *n)
{
    return sim_node_ready(n) && !n->barrier && !merge_core_overtaken(n->merge) &&
           n->n_flights < SIM_FLIGHTS;
}

static sim_flight *next_flight(sim_world *w, sim_node *n, sim_job job)
{
    sim_flight *f = &n->flights[n->n_flights];
    merge_batch_clear(&f->batch);
    f->job = job;
    f->tag = f->n_forms = 0;
    f->wall_ms = sim_clock(w, n).ms;
    return f;
}

/* Takes the first flight away; its memory is used again. */
static void retire(sim_node *n)
{
    sim_flight first = n->flights[0];
    n->n_flights--;
    memmove(&n->flights[0], &n->flights[1], (SIM_FLIGHTS - 1) * sizeof first);
    n->flights[SIM_FLIGHTS - 1] = first;
}

void sim_flights_drop(sim_node *n)
{
    n->n_flights = 0;
}

static void publish(sim_world *w, int i, const sim_flight *f);
static void acknowledge(sim_world *w, sim_node *n, const sim_flight *f);

static bool launch(sim_world *w, int i, sim_flight *f)
{
    sim_node *n = &w->node[i];
    err_t e = merge_core_close(n->merge, &f->batch, &f->request);
    if (e != ERR_OK) {
        sim_fail(w, INV_MACHINE, "node %d: close: %s", i, err_name(e));
        return false;
    }
    n->n_flights++;
    n->barrier |= f->batch.roster || f->batch.fork;
    sim_schedule(w, i, 1 + sim_below(w, 20), TASK_COMMIT);
    if (sim_plant == SIM_PLANT_EARLY_ACK) {
        publish(w, i, f);
        acknowledge(w, n, f);
    }
    return true;
}

/* ---- local events ---- */

static err_t emit_form(sim_world *w, sim_node *n, const sim_form *form, merge_batch *b)
{
    ref_row refs[SIM_ROW_REFS];
    _Alignas(max_align_t) uint8_t room[512];
    size_t first;
    buf body, why;
    for (uint32_t k = 0; k < form->n_refs; k++) {
        const sim_event *e = &w->event[form->refs[k]];
        refs[k] = (ref_row){.feed = e->feed, .seq = e->seq, .prefix = get_u16be(e->id.b)};
    }
    const sim_stream *s = form->stream != SIM_NONE ? &w->stream[form->stream] : NULL;
    emit_row row = {.category = bytes_str(s != NULL ? s->category : "form"),
                    .stream = bytes_str(s != NULL ? s->name : ""),
                    .kind = bytes_str(form->kind),
                    .payload = bytes_of(form->payload, form->payload_len),
                    .attributes = bytes_of(NULL, 0),
                    .replaces = MSG_LIST_OF(refs, form->n_refs)};
    emit_request req = {.feed_class = form->feed_class, .events = MSG_LIST_OF(&row, 1)};
    buf_init(&body, MESSAGE_MAX_BYTES);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = msg_encode(&emit_request_desc, &req, &body);
    if (e == ERR_OK)
        e = msg_decode(&emit_request_desc, buf_view(&body), room, NULL);
    if (e == ERR_OK)
        e = merge_core_emit(n->merge, sim_clock(w, n), (uint32_t)prop_u64(&w->rng),
                            (const emit_request *)(const void *)room, b, &first, &why);
    buf_release(&body);
    buf_release(&why);
    return e;
}

bool sim_merge_emit(sim_world *w, int i, const sim_form *forms, uint32_t count)
{
    sim_node *n = &w->node[i];
    if (!may_fly(n) || (n->n_flights > 0 && sim_heir_writes(n, forms, count)))
        return false;
    sim_flight *f = next_flight(w, n, JOB_EMIT);
    for (uint32_t k = 0; k < count && k < 4; k++) {
        err_t e = emit_form(w, n, &forms[k], &f->batch);
        if (e == ERR_OK)
            f->forms[f->n_forms++] = forms[k];
        else if (e != ERR_NOT_READY && e != ERR_FORBIDDEN && !(w->opt.disks && is_disk(e)) &&
                 !(e == ERR_NOT_FOUND && strcmp(forms[k].kind, EVENT_KIND_ERASE) == 0))
            sim_fail(w, INV_MACHINE, "node %d: emit: %s", i, err_name(e));
    }
    return f->n_forms > 0 && launch(w, i, f);
}

static bool alone(const sim_node *n)
{
    return may_fly(n) && n->n_flights == 0;
}

static bool roster_done(sim_world *w, int i, sim_flight *f, err_t e)
{
    if (e == ERR_OK)
        return launch(w, i, f);
    if (e != ERR_FORBIDDEN && e != ERR_NOT_READY && e != ERR_EXISTS && e != ERR_NOT_FOUND &&
        e != ERR_USED)
        sim_fail(w, INV_MACHINE, "node %d: roster: %s", i, err_name(e));
    return false;
}

bool sim_merge_add(sim_world *w, int i, const member_add_request *in, member_no *number)
{
    sim_node *n = &w->node[i];
    buf why;
    if (!alone(n))
        return false;
    sim_flight *f = next_flight(w, n, JOB_ROSTER);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = merge_core_member_add(n->merge, sim_clock(w, n), in, &f->batch, number, &why);
    buf_release(&why);
    return roster_done(w, i, f, e);
}

bool sim_merge_remove(sim_world *w, int i, member_no number)
{
    sim_node *n = &w->node[i];
    buf why;
    if (!alone(n))
        return false;
    sim_flight *f = next_flight(w, n, JOB_ROSTER);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = merge_core_member_remove(n->merge, sim_clock(w, n), number, &f->batch, &why);
    buf_release(&why);
    return roster_done(w, i, f, e);
}

bool sim_merge_readd(sim_world *w, int i, member_no number)
{
    sim_node *n = &w->node[i];
    buf why;
    if (!alone(n))
        return false;
    sim_flight *f = next_flight(w, n, JOB_ROSTER);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    err_t e = merge_core_member_readd(n->merge, sim_clock(w, n), number, &f->batch, &why);
    buf_release(&why);
    return roster_done(w, i, f, e);
}

/* What the screen shows is what is kept, but for one feed now and then. */
static size_t show_heads(sim_world *w, sim_node *n, const sim_paper *paper, frontier_row *heads)
{
    static heir_head_row rows[ROSTER_LIST_MAX];
    heir_limit_row limit;
    heir_request req = {.key = paper->key};
    heir_reply reply;
    buf room, why;
    size_t kept = 0;
    bool cut = sim_chance(w, 4);
    limit = (heir_limit_row){.feed = ROSTER_FOUNDER_FEED, .seq = 1 + sim_below(w, 12)};
    req.limits = MSG_LIST_OF(&limit, cut ? 1 : 0);
    buf_init(&room, 1024);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    if (msg_encode(&heir_request_desc, &req, &room) != ERR_OK ||
        msg_decode(&heir_request_desc, buf_view(&room), &req, NULL) != ERR_OK)
        abort();
    err_t e = merge_core_heir(n->merge, &req, rows, ROSTER_LIST_MAX, &reply, &why);
    for (size_t k = 0; e == ERR_OK && k < reply.heads.n; k++) {
        if (rows[k].seq > 0)
            heads[kept++] =
                (frontier_row){.feed = rows[k].feed, .seq = rows[k].seq, .id = rows[k].id};
        if (rows[k].beyond > 0)
            sim_once(w, ST_REPLACED_SHORT);
    }
    buf_release(&room);
    buf_release(&why);
    return kept;
}

bool sim_merge_replace(sim_world *w, int i, const sim_paper *paper, const crypto_signer *successor,
                       const member_key *next)
{
    static frontier_row heads[ROSTER_LIST_MAX];
    sim_node *n = &w->node[i];
    buf room, why;
    if (!alone(n))
        return false;
    founder_replace_request req = {.seed = bytes_of(paper->seed, sizeof paper->seed),
                                   .heir = *next};
    req.heads = MSG_LIST_OF(heads, show_heads(w, n, paper, heads));
    sim_flight *f = next_flight(w, n, JOB_HEIR);
    buf_init(&room, MESSAGE_MAX_BYTES);
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    if (msg_encode(&founder_replace_request_desc, &req, &room) != ERR_OK ||
        msg_decode(&founder_replace_request_desc, buf_view(&room), &req, NULL) != ERR_OK)
        abort();
    err_t e = merge_core_founder_replace(n->merge, sim_clock(w, n), &req, &successor->public,
                                         &f->batch, &why);
    buf_release(&room);
    buf_release(&why);
    if (e == ERR_TIMEOUT && w->opt.disks)
        return false;
    return roster_done(w, i, f, e);
}

/* ---- remote runs ---- */

/* False when merge is busy: offer it again. */
bool sim_merge_ingest(sim_world *w, int i, bytes run, member_no peer, uint32_t tag)
{
    sim_node *n = &w->node[i];
    if (!may_fly(n))
        return false;
    sim_flight *f = next_flight(w, n, JOB_INGEST);
    f->tag = tag;
    err_t e =
        merge_core_ingest(n->merge, sim_clock(w, n), run, peer, n->mending, &f->batch, &f->reply);
    if (e != ERR_OK && e != ERR_NOT_READY && !(w->opt.disks && is_disk(e)) && !sim_is_damage(n, e))
        sim_fail(w, INV_MACHINE, "node %d: ingest: %s", i, err_name(e));
    n->unready |= e != ERR_OK && e != ERR_NOT_READY;
    if (e == ERR_OK && f->reply.code == ERR_GAP)
        sim_once(w, ST_QUARANTINED);
    else if (e == ERR_OK && f->reply.refused > 0)
        sim_once(w, ST_REFUSED);
    if (run.len >= 16)
        sim_say(w, "node %d: run %x/%llu of member %u: %u new, %u refused: %s", i,
                get_u32be(run.p + 4), (unsigned long long)get_u64be(run.p + 8), peer,
                f->reply.accepted, f->reply.refused, err_name((err_t)f->reply.code));
    if (e == ERR_OK && f->batch.n > 0)
        return launch(w, i, f);
    if (tag != 0)
        gossip_ingested(n->gossip, tag, e, e == ERR_OK ? &f->reply : NULL, sim_now(w));
    return true;
}

/* ---- commits ---- */

/* Nobody writes on in a feed of his own that he holds two branches of. */
static void check_not_forked(sim_world *w, int i, feed_id feed)
{
    fork_row row[64];
    size_t n = merge_core_forks(w->node[i].merge, row, 64);
    for (size_t k = 0; k < n; k++)
        if (row[k].feed == feed && !w->node[i].liar)
            sim_fail(w, INV_UNIQUE, "node %d writes on in its forked feed %x", i, feed);
}

/* By which of its keys a node wrote a row. */
static const member_key *author_of(const sim_node *n, const sim_flight *f, const append_row *row)
{
    const crypto_signer *founder = merge_core_founder(n->merge);
    if (f->job == JOB_HEIR)
        return &f->batch.author;
    return feed_member(row->feed) != n->identity.self && founder != NULL
               ? &founder->public
               : &n->identity.signer.public;
}

/* The events of a batch of its own become known to the oracle when they can be seen by others. */
static void publish(sim_world *w, int i, const sim_flight *f)
{
    sim_node *n = &w->node[i];
    for (size_t k = 0; k < f->batch.n && w->failed == INV_NONE; k++) {
        const append_row *row = &f->batch.rows[k];
        event_view v;
        if (!f->batch.local && f->job != JOB_HEIR)
            continue;
        uint32_t e = sim_event_add(w, row->feed, row->seq, &row->id, &row->prev,
                                   author_of(n, f, row), !n->liar, row->body);
        if (f->job == JOB_ROSTER && feed_member(row->feed) != n->identity.self)
            sim_once(w, ST_SUCCESSOR);
        if (e == SIM_NONE || event_parse(row->body, &v) != ERR_OK)
            continue;
        sim_check_stamp(w, i, &v);
        if (f->job != JOB_HEIR) /* another chain of feed 1 */
            check_not_forked(w, i, row->feed);
        if (f->job == JOB_EMIT && k < f->n_forms)
            sim_check_meant(w, e, &f->forms[k]);
    }
}

static bool lacks_tail(sim_node *n, const append_row *row)
{
    locate_request req = {.feed = row->feed, .seq = row->seq};
    locate_reply reply;
    place_row place;
    if (store_locate(n->store, &req, &reply) != ERR_OK)
        return false;
    while (msg_list_next(&place_row_desc, &reply.places, &place))
        if (event_id_eq(&place.id, &row->id))
            return (place.flags & (ROW_ERASED | ROW_HIDDEN)) == ROW_ERASED;
    return false;
}

/* After a commit, and before it. */
static void note_tails(sim_world *w, sim_node *n, const sim_flight *f, bool before)
{
    for (size_t k = 0; !f->batch.local && k < f->batch.n; k++) {
        const append_row *row = &f->batch.rows[k];
        bool bare = (row->flags & ROW_ERASED) != 0;
        if (bare == before || (before && !n->tails_missed) || !lacks_tail(n, row))
            continue;
        n->tails_missed = true;
        sim_once(w, before ? ST_TAIL_HEALED : ST_TAIL_MISSING);
    }
}

/* Every event that is let in was signed by its author at some time. */
static void note_late(sim_world *w, const sim_flight *f)
{
    for (size_t k = 0; !f->batch.local && k < f->batch.n; k++) {
        const append_row *row = &f->batch.rows[k];
        if (!(row->flags & ROW_COUNTS))
            sim_once(w,
                     feed_member(row->feed) == ROSTER_FOUNDER_NUMBER ? ST_LATE_FOUNDER : ST_LATE);
        if (sim_event_find(w, &row->id) == SIM_NONE && w->n_events < SIM_EVENTS)
            sim_fail(w, INV_UNIQUE, "an event that nobody wrote was let in: %x/%llu", row->feed,
                     (unsigned long long)row->seq);
    }
}

static void acknowledge(sim_world *w, sim_node *n, const sim_flight *f)
{
    for (size_t k = 0; (f->batch.local || f->job == JOB_HEIR) && k < f->batch.n; k++) {
        uint32_t e = sim_event_find(w, &f->batch.rows[k].id);
        if (e == SIM_NONE || n->n_acked == SIM_EVENTS)
            continue;
        w->event[e].acked = true;
        n->acked[n->n_acked++] = e;
    }
}

static void failed_flight(sim_world *w, int i, err_t e)
{
    sim_node *n = &w->node[i];
    sim_flight *f = &n->flights[0];
    bool chained = n->unready; /* on one that failed before */
    if (e != ERR_FULL && e != ERR_IO && !sim_is_damage(n, e) &&
        !(chained && (e == ERR_CONFLICT || e == ERR_FORKED)))
        sim_fail(w, INV_MACHINE, "node %d: append of feed %x seq %llu: %s", i,
                 f->batch.n ? f->batch.rows[0].feed : 0,
                 (unsigned long long)(f->batch.n ? f->batch.rows[0].seq : 0), err_name(e));
    sim_once(w, ST_DISK_FAIL);
    n->unready = true;
    n->troubles++;
    uint32_t tag = f->tag;
    retire(n);
    if (tag != 0)
        gossip_ingested(n->gossip, tag, e, NULL, sim_now(w));
}

static bool crash_here(sim_world *w, int i)
{
    store_kv *kept;
    if (w->healing || !sim_chance(w, 250))
        return false;
    sim_node_crash(w, i, &kept);
    sim_node_start(w, i, kept, false);
    return true;
}

void sim_merge_commit(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    sim_flight *f = &n->flights[0];
    append_reply reply;
    if (n->n_flights == 0)
        return;
    if (crash_here(w, i))
        return;
    note_tails(w, n, f, true);
    err_t e = store_begin(n->store);
    if (e == ERR_OK) {
        e = store_append(n->store, &f->request, sim_clock(w, n), &reply);
        e = sim_in_group(n, e);
    }
    if (e != ERR_OK) {
        failed_flight(w, i, e);
        return;
    }
    if (sim_plant != SIM_PLANT_EARLY_ACK)
        publish(w, i, f);
    uint64_t unacked = w->happened[ST_CRASH];
    if (crash_here(w, i)) {
        w->happened[ST_CRASH_UNACKED] += w->happened[ST_CRASH] - unacked;
        return;
    }
    note_late(w, f);
    /* NOT_FOUND: it asked for what is still on its way; then it loads again, as the service does. */
    e = merge_core_committed(n->merge, &f->batch);
    if (e != ERR_OK && !(w->opt.disks && is_disk(e)) && !sim_is_damage(n, e) &&
        !(e == ERR_NOT_FOUND && n->n_flights > 1))
        sim_fail(w, INV_MACHINE, "node %d: committed: %s", i, err_name(e));
    n->unready |= e != ERR_OK;
    note_tails(w, n, f, false);
    if (sim_plant != SIM_PLANT_EARLY_ACK)
        acknowledge(w, n, f);
    ingest_reply out = f->reply;
    uint32_t tag = f->tag;
    retire(n);
    if (tag != 0)
        gossip_ingested(n->gossip, tag, ERR_OK, &out, sim_now(w));
    sim_gossip_news(w, i);
}

static void begin_anew(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    sim_once(w, ST_OVERTAKEN);
    sim_say(w, "node %d begins a new incarnation", i);
    err_t e = merge_core_new_incarnation(n->merge, (uint16_t)prop_u64(&w->rng));
    n->unready |= e != ERR_OK;
}

/* What merge's shell does when nothing is under way. */
void sim_merge_turn(sim_world *w, int i)
{
    sim_node *n = &w->node[i];
    buf run;
    member_no peer;
    if (!n->alive || n->n_flights > 0)
        return;
    n->barrier = false;
    if (n->unready)
        sim_node_load(w, i);
    if (n->unready)
        return;
    if (merge_core_overtaken(n->merge))
        begin_anew(w, i);
    buf_init(&run, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    while (may_fly(n) && merge_core_released(n->merge, &run, &peer)) {
        (void)sim_merge_ingest(w, i, buf_view(&run), peer, 0);
        buf_clear(&run);
    }
    buf_release(&run);
}
