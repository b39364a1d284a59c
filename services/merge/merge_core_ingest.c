/* Remote runs: framing, author, chain, seals, membership; then only what is new goes into the batch. Looks at the
 * event's own feed and the roster, at nothing else, so that no two nodes disagree (design section 2). */
#include "merge/merge_core_state.h"

#include "pure/chain.h"
#include "pure/run.h"

#include <stdio.h>

typedef struct {
    merge_core *c;
    wall_ms now;
    bytes encoded;
    member_no peer;
    bool mend;
    run run;
    member_key author;
    run_verdict verdict;
    merge_batch *batch;
    ingest_reply *out;
} judging;

static void answer(judging *j, err_t e, uint64_t seq)
{
    j->out->code = (uint16_t)e;
    j->out->text = bytes_str(err_text(e));
    j->out->bad_seq = seq;
}

static void refuse(judging *j, err_t e, uint32_t from_index)
{
    uint64_t seq = j->run.first_seq + from_index;
    j->out->refused = j->run.count - from_index;
    merge_refuse(j->c, j->now, j->run.feed, seq, j->peer, e);
    answer(j, e, seq);
}

/* ---- whose is it, and does it follow what is held? ---- */

err_t merge_genesis_of(bytes encoded, const dataset_id *dataset, member_key *founder)
{
    run r;
    run_item item;
    event_view v;
    TRY(run_decode(encoded, &r));
    run_iter it = run_items(&r);
    if (r.feed != ROSTER_FOUNDER_FEED || r.first_seq != 1 || !run_next(&it, &item) || item.erased)
        return ERR_NOT_MEMBER;
    TRY(event_parse(item.data, &v));
    return merge_is_roster_event(&v) ? merge_genesis_author(dataset, &v, founder) : ERR_NOT_MEMBER;
}

static size_t candidate_keys(const judging *j, const merge_tip *tip,
                             member_key keys[MERGE_KEYS_MAX])
{
    if (tip != NULL) {
        keys[0] = tip->author;
        return 1;
    }
    size_t n = roster_author(j->c->roster, j->run.feed, keys, MERGE_KEYS_MAX);
    n = n < MERGE_KEYS_MAX ? n : MERGE_KEYS_MAX;
    /* Before anybody is known, only the genesis event itself says whose chain begins here. */
    if (n == 0)
        n = merge_genesis_of(j->encoded, &j->c->identity.dataset, &keys[0]) == ERR_OK;
    return n;
}

/* What admission needs of an event is kept, so that its body is parsed once. */
static void see_event(void *ctx, uint32_t index, const event_id *id, const event_view *v)
{
    judging *j = ctx;
    j->c->ids[index] = *id;
    j->c->seen[index] = (seen_event){
        .stamp = v->stamp,
        .opaque = v->opaque,
        .roster = !v->opaque && merge_is_roster_event(v),
        .erasure = !v->opaque && bytes_is(v->kind, EVENT_KIND_ERASE),
    };
}

/* The header of a run from seq 1 on names the key by its id(0). */
static bool begins_by(const judging *j, const member_key *key)
{
    event_id start;
    chain_start(&start, &j->c->identity.dataset, j->run.feed, key);
    if (!event_id_eq(&start, &j->run.previous) && j->run.feed == ROSTER_FOUNDER_FEED)
        chain_start_genesis(&start, key);
    return event_id_eq(&start, &j->run.previous);
}

/* Chain and seals under the first key that fits; the error of the last one that does not. A chain of none of the keys
 * known for the number is a stranger's, as far as is known now. */
static err_t check_chain(judging *j, const merge_tip *tip)
{
    member_key keys[MERGE_KEYS_MAX];
    size_t n = candidate_keys(j, tip, keys);
    err_t e = ERR_NOT_MEMBER;
    bool known = false;
    for (size_t i = 0; i < n; i++) {
        j->author = keys[i];
        e = run_check(&j->run, &j->c->identity.dataset, &keys[i],
                      j->run.first_seq > 1 ? &j->run.previous : NULL, see_event, j, &j->verdict);
        if (e == ERR_OK || j->verdict.sealed > 0)
            return e;
        known |= begins_by(j, &keys[i]);
    }
    return j->run.first_seq == 1 && !known ? ERR_NOT_MEMBER : e;
}

/* How much of the run is held already: its first *n events. */
static err_t count_held(judging *j, const merge_tip *tip, uint32_t *n)
{
    const merge_feed *f = merge_feed_find(j->c, j->run.feed);
    const event_id *ids = j->c->ids;
    uint64_t first = j->run.first_seq;
    uint32_t end = j->verdict.sealed;
    *n = 0;
    if (tip != NULL || f == NULL)
        return ERR_OK;
    for (uint32_t i = 0; i < f->n;
         i++) { /* the common case: the run begins early and goes on past a tip */
        const merge_tip *t = &f->tips[i];
        if (t->seq >= first && t->seq - first < j->verdict.sealed &&
            event_id_eq(&ids[t->seq - first], &t->id))
            *n = (uint32_t)(t->seq - first) + 1;
    }
    /* Ids chain, so what is held is a beginning: ask for the next one, then the last one, then halve. */
    for (uint32_t probe = *n, asked = 0; *n < end; asked++) {
        bool held;
        TRY(merge_holds(j->c, j->run.feed, first + probe, &ids[probe], &held));
        if (held)
            *n = probe + 1;
        else
            end = probe;
        probe = asked == 0 ? end - 1 : *n + (end - *n) / 2;
    }
    return ERR_OK;
}

/* ---- what is new ---- */

/* `at`: where its body lies in the batch's bodies. */
static void add_event(judging *j, uint32_t i, const run_item *item, size_t at, const event_id *prev,
                      uint64_t cut)
{
    merge_batch *b = j->batch;
    const seen_event *seen = &j->c->seen[i];
    append_row *row = &b->rows[b->n];
    *row = (append_row){.feed = j->run.feed, .seq = item->seq, .prev = *prev, .id = j->c->ids[i]};
    row->flags = (uint8_t)((item->seq <= cut ? ROW_COUNTS : 0) | (seen->opaque ? ROW_OPAQUE : 0) |
                           (item->erased ? ROW_ERASED : 0));
    b->parts[b->n].at = at;
    b->parts[b->n].len = item->data.len;
    b->parts[b->n].seal = 0;
    if (item->seal != NULL) {
        b->seals[b->n_seals] = *item->seal;
        b->parts[b->n].seal = (uint32_t)++b->n_seals;
    }
    b->n++;
    b->roster |= seen->roster;
    b->erasures |= seen->erasure;
    b->tailless |= item->erased;
    if (!seen->opaque && item->seq <= cut)
        hlc_observe(&j->c->clock, seen->stamp, j->now);
}

/* The one event that a new store is given before anything else: it counts by being the dataset. */
static bool is_genesis(const judging *j)
{
    return j->run.feed == ROSTER_FOUNDER_FEED && j->run.first_seq == 1 &&
           roster_members(j->c->roster) == 0 &&
           memcmp(j->c->ids[0].b, j->c->identity.dataset.b, EVENT_ID_BYTES) == 0;
}

static err_t fill_batch(judging *j, uint32_t held)
{
    run_iter it = run_items(&j->run);
    run_item item;
    event_id prev = j->run.previous;
    uint32_t from = j->mend ? 0 : held, last = j->verdict.sealed - 1;
    uint64_t cut = roster_cut(j->c->roster, j->run.feed, &j->author, j->run.first_seq + last,
                              &j->c->ids[last], NULL);
    TRY(merge_asked(j->c));
    if (is_genesis(j) && cut == 0)
        cut = 1;
    if (j->run.first_seq == 1) { /* what row 1 follows depends on the key, not on the header */
        chain_start(&prev, &j->c->identity.dataset, j->run.feed, &j->author);
        if (j->run.feed == ROSTER_FOUNDER_FEED &&
            memcmp(j->c->ids[0].b, j->c->identity.dataset.b, EVENT_ID_BYTES) == 0)
            chain_start_genesis(&prev, &j->author);
    }
    size_t at = j->batch->bodies.len; /* the run is copied as a whole, bodies are found in it */
    if (!buf_add_bytes(&j->batch->bodies, j->run.all))
        return j->batch->bodies.err;
    for (uint32_t i = 0; i < j->verdict.sealed && run_next(&it, &item); i++) {
        bool brings_tail = i < held && !item.erased &&
                           merge_lacks_tail(j->c, j->run.feed, item.seq, &j->c->ids[i]);
        if (i >= from || brings_tail)
            add_event(j, i, &item, at + (size_t)(item.data.p - j->run.all.p), &prev, cut);
        j->out->accepted += brings_tail;
        j->out->duplicates -= brings_tail;
        prev = j->c->ids[i];
    }
    return ERR_OK;
}

/* A seal that we did not have for an event that we hold is worth keeping (rules.md 8). */
static err_t keep_seals(judging *j, uint32_t held)
{
    run_iter it = run_items(&j->run);
    run_item item;
    uint32_t last = held - 1;
    for (uint32_t i = 0; i < held && run_next(&it, &item); i++) {
        if (i != last || item.seal == NULL)
            continue;
        const merge_feed *f = merge_feed_find(j->c, j->run.feed);
        const merge_tip *t = merge_tip_find(f, item.seq, &j->c->ids[i]);
        if (t == NULL || t->sealed_seq >= item.seq)
            continue;
        seal_request s = {
            .feed = j->run.feed, .seq = item.seq, .id = j->c->ids[i], .seal = *item.seal};
        err_t e = j->c->io.seal(j->c->io.ctx, &s);
        if (e == ERR_NOT_FOUND)
            return ERR_OK; /* on its way to the disk, with the seal of the run that brought it */
        TRY(e);
        return merge_refresh_sealed(j->c);
    }
    return ERR_OK;
}

/* Working tips move on, so that the next run of this feed can be judged before this one is committed. */
static err_t advance_tip(judging *j, merge_tip *tip)
{
    uint32_t last = j->verdict.sealed - 1;
    merge_feed *f = merge_feed_get(j->c, j->run.feed);
    if (f == NULL)
        return ERR_NO_MEMORY;
    if (tip == NULL) {
        j->batch->fork = f->n > 0;
        tip = merge_tip_add(f);
        if (tip == NULL)
            return ERR_NO_MEMORY;
        tip->author = j->author;
    }
    tip->seq = j->run.first_seq + last;
    tip->id = j->c->ids[last];
    return ERR_OK;
}

/* Events of our own feed that we never wrote: another copy of this node is or was about, or another key has our number.
 * Where two write, distances would not tell whose events they count. */
static void notice_own(judging *j)
{
    merge_core *c = j->c;
    if (!is_genesis(j) && feed_member(j->run.feed) == c->identity.self &&
        (feed_incarnation(j->run.feed) & 0xfffcu) == c->incarnation)
        c->overtaken = true;
    if (merge_core_founder(c) != NULL && j->run.feed == merge_core_founder_feed(c))
        c->overtaken = true;
}

static err_t admit(judging *j, merge_tip *tip)
{
    uint32_t held = 0;
    TRY(count_held(j, tip, &held));
    j->out->duplicates = held;
    if (held > 0)
        TRY(keep_seals(j, held));
    if (held == j->verdict.sealed && !j->mend &&
        merge_lacks_tails(j->c, j->run.feed, j->run.first_seq, held) == 0)
        return ERR_OK;
    j->c->pending =
        (pending_run){j->run.feed, j->run.first_seq, j->verdict.sealed, j->c->ids, j->run.previous};
    err_t e = fill_batch(j, held);
    j->c->pending.n = 0;
    TRY(e);
    j->batch->author = j->author;
    j->batch->mends = j->mend && held > 0;
    if (held == j->verdict.sealed)
        return ERR_OK;
    /* The part that is held may itself end in a tip: then this run extends it. */
    const merge_feed *f = merge_feed_find(j->c, j->run.feed);
    if (tip == NULL && held > 0)
        tip = merge_tip_find(f, j->run.first_seq + held - 1, &j->c->ids[held - 1]);
    TRY(advance_tip(j, tip));
    notice_own(j);
    j->out->accepted += j->verdict.sealed - held;
    return ERR_OK;
}

/* Is there something for the first event to follow? Else the run waits (bounded) for it. */
static err_t find_start(judging *j, merge_tip **tip, bool *waits)
{
    merge_feed *f = merge_feed_find(j->c, j->run.feed);
    bool held = false;
    *waits = false;
    *tip = j->run.first_seq > 1 ? merge_tip_find(f, j->run.first_seq - 1, &j->run.previous) : NULL;
    if (j->run.first_seq == 1 || *tip != NULL)
        return ERR_OK;
    TRY(merge_holds(j->c, j->run.feed, j->run.first_seq - 1, &j->run.previous, &held));
    if (held)
        return ERR_OK;
    *waits = true;
    uint64_t have = 0;
    for (uint32_t i = 0; f != NULL && i < f->n; i++)
        have = f->tips[i].seq > have ? f->tips[i].seq : have;
    j->out->missing_from = have < j->run.first_seq - 1 ? have + 1 : 1;
    return ERR_OK;
}

static err_t judge(judging *j)
{
    merge_tip *tip = NULL;
    bool waits = false;
    err_t e = run_decode(j->encoded, &j->run);
    if (e != ERR_OK) {
        merge_refuse(j->c, j->now, 0, 0, j->peer, e);
        j->out->refused = 1;
        answer(j, e, 0);
        return ERR_OK;
    }
    TRY(find_start(j, &tip, &waits));
    e = check_chain(j, tip); /* before it may be kept: a stranger's run costs no memory */
    if (e != ERR_OK && j->verdict.sealed == 0) {
        refuse(j, e, 0);
        return ERR_OK;
    }
    roster_verdict_t v = roster_admits(j->c->roster, j->run.feed, &j->author, j->run.first_seq);
    if (v != ROSTER_COUNTS &&
        !(j->run.feed == ROSTER_FOUNDER_FEED && roster_members(j->c->roster) == 0)) {
        refuse(j, roster_err(v), 0);
        return ERR_OK;
    }
    if (waits) {
        merge_keep(j->c, j->run.feed, j->run.first_seq, &j->run.previous, j->encoded, j->peer);
        answer(j, ERR_GAP, j->run.first_seq);
        return ERR_OK;
    }
    if (e != ERR_OK)
        refuse(j, e, j->verdict.sealed);
    return admit(j, tip);
}

err_t merge_core_ingest(merge_core *c, wall_ms now, bytes encoded, member_no peer, bool mend,
                        merge_batch *b, ingest_reply *out)
{
    judging j = {
        .c = c, .now = now, .encoded = encoded, .peer = peer, .mend = mend, .batch = b, .out = out};
    *out = (ingest_reply){.text = bytes_str("")};
    if (!c->loaded)
        return ERR_NOT_READY;
    merge_clock_settle(c, now);
    return judge(&j);
}
