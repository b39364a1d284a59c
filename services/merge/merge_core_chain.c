/* Questions about chains. Feeds that never forked are answered from the tips alone; the rest walks parents in the
 * store, which only happens after a clone, a theft or a removal. */
#include "merge/merge_core_state.h"

#include "pure/chain.h"

#define WALK_ROWS 512u

err_t merge_holds(merge_core *c, feed_id feed, uint64_t seq, const event_id *id, bool *held)
{
    place_row places[MERGE_PLACES_MAX];
    size_t n = 0;
    const merge_feed *f = merge_feed_find(c, feed);
    *held = merge_tip_find(f, seq, id) != NULL;
    if (*held || f == NULL)
        return ERR_OK;
    TRY(c->io.locate(c->io.ctx, feed, seq, places, MERGE_PLACES_MAX, &n));
    for (size_t i = 0; i < n; i++)
        if (event_id_eq(&places[i].id, id))
            *held = true;
    return ERR_OK;
}

/* Rows of a stretch of a feed, newest last. */
typedef struct {
    struct {
        uint64_t seq, offset, parent;
        event_id id;
    } row[WALK_ROWS];
    size_t n;
} stretch;

static bool take_row(void *arg, const stored_row *row)
{
    stretch *s = arg;
    if (s->n == WALK_ROWS)
        return false;
    s->row[s->n].seq = row->seq;
    s->row[s->n].offset = row->offset;
    s->row[s->n].parent = row->parent;
    s->row[s->n++].id = row->id;
    return true;
}

/* A place on a chain; offset 0 stands before its first event. */
typedef struct {
    uint64_t seq, offset;
    event_id id;
} step;

/* Reads so many seqs below `seq` that a stretch surely holds their branches. */
static err_t read_stretch(merge_core *c, feed_id feed, uint64_t seq, stretch *s)
{
    uint64_t back = WALK_ROWS / (2 * FORK_TIPS_MAX); /* 4 seqs even if every tip branched here */
    const merge_feed *f = merge_feed_find(c, feed);
    if (f != NULL && f->n > 0 && f->n < FORK_TIPS_MAX)
        back = WALK_ROWS / f->n;
    s->n = 0;
    return c->io.read_feed(c->io.ctx, feed, seq > back ? seq - back + 1 : 1, seq, take_row, s);
}

static bool find_offset(const stretch *s, uint64_t offset, size_t *at)
{
    for (size_t i = s->n; i-- > 0;)
        if (s->row[i].offset == offset) {
            *at = i;
            return true;
        }
    return false;
}

static err_t locate_step(merge_core *c, feed_id feed, uint64_t seq, const event_id *id, step *out)
{
    place_row places[MERGE_PLACES_MAX];
    size_t n = 0;
    TRY(c->io.locate(c->io.ctx, feed, seq, places, MERGE_PLACES_MAX, &n));
    for (size_t i = 0; i < n; i++)
        if (event_id_eq(&places[i].id, id)) {
            *out = (step){seq, places[i].offset, *id};
            return ERR_OK;
        }
    return ERR_NOT_FOUND;
}

/* Moves `at` down its chain to seq `to` (0: before the first). */
static err_t walk_down(merge_core *c, feed_id feed, step *at, uint64_t to, stretch *s)
{
    while (at->seq > to) {
        size_t i;
        if (!find_offset(s, at->offset, &i)) {
            TRY(read_stretch(c, feed, at->seq, s));
            if (!find_offset(s, at->offset, &i))
                return ERR_DAMAGED;
        }
        at->id = s->row[i].id;
        uint64_t parent = s->row[i].parent;
        at->offset = parent;
        at->seq--;
        if (parent == 0) {
            at->seq = 0;
            return to == 0 ? ERR_OK : ERR_NOT_FOUND;
        }
        if (find_offset(s, parent, &i))
            at->id = s->row[i].id;
        else if (at->seq == to) {
            TRY(read_stretch(c, feed, at->seq, s));
            if (find_offset(s, parent, &i))
                at->id = s->row[i].id;
        }
    }
    return ERR_OK;
}

err_t merge_ancestor(merge_core *c, feed_id feed, uint64_t seq, const event_id *id, uint64_t at,
                     event_id *out)
{
    stretch s = {.n = 0};
    step here;
    if (at == 0 || at > seq)
        return ERR_NOT_FOUND;
    TRY(locate_step(c, feed, seq, id, &here));
    TRY(walk_down(c, feed, &here, at, &s));
    *out = here.id;
    return ERR_OK;
}

static bool in_pending(const merge_core *c, feed_id feed, uint64_t seq, const event_id *id)
{
    const pending_run *p = &c->pending;
    return p->n > 0 && p->feed == feed && seq >= p->first_seq && seq - p->first_seq < p->n &&
           event_id_eq(&p->ids[seq - p->first_seq], id);
}

/* NOT_FOUND is an answer. */
static bool went_well(merge_core *c, err_t e)
{
    if (e != ERR_OK && e != ERR_NOT_FOUND && c->asked == ERR_OK)
        c->asked = e;
    return e == ERR_OK;
}

err_t merge_asked(merge_core *c)
{
    err_t e = c->asked;
    c->asked = ERR_OK;
    return e;
}

static bool view_holds(void *ctx, feed_id feed, uint64_t seq, const event_id *id)
{
    bool held = false;
    return in_pending(ctx, feed, seq, id) ||
           (went_well(ctx, merge_holds(ctx, feed, seq, id, &held)) && held);
}

static uint64_t meet_by_walking(merge_core *c, feed_id feed, step a, step b)
{
    stretch sa = {.n = 0}, sb = {.n = 0};
    uint64_t low = a.seq < b.seq ? a.seq : b.seq;
    if (!went_well(c, walk_down(c, feed, &a, low, &sa)) ||
        !went_well(c, walk_down(c, feed, &b, low, &sb)))
        return 0;
    while (a.seq > 0 && a.offset != b.offset)
        if (!went_well(c, walk_down(c, feed, &a, a.seq - 1, &sa)) ||
            !went_well(c, walk_down(c, feed, &b, b.seq - 1, &sb)))
            return 0;
    return a.seq;
}

/* Of two ends of chains whose authors are known; false when one of them is in the middle of a chain. */
static bool ends_by_two_keys(const merge_feed *f, uint64_t a_seq, const event_id *a, uint64_t b_seq,
                             const event_id *b)
{
    const member_key *of_a = NULL, *of_b = NULL;
    for (uint32_t i = 0; i < f->n; i++) {
        const merge_tip *t = &f->tips[i];
        if ((t->seq == a_seq && event_id_eq(&t->id, a)) ||
            (t->sealed_seq == a_seq && event_id_eq(&t->sealed_id, a)))
            of_a = &t->author;
        if ((t->seq == b_seq && event_id_eq(&t->id, b)) ||
            (t->sealed_seq == b_seq && event_id_eq(&t->sealed_id, b)))
            of_b = &t->author;
    }
    return of_a != NULL && of_b != NULL && memcmp(of_a->b, of_b->b, sizeof of_a->b) != 0;
}

/* Above the second highest tip there is one branch only. */
static bool on_highest_branch(const merge_feed *f, uint64_t seq)
{
    uint32_t higher = 0;
    for (uint32_t i = 0; i < f->n; i++)
        higher += f->tips[i].seq >= seq;
    return higher == 1;
}

static uint64_t meet_held(merge_core *c, feed_id feed, uint64_t a_seq, const event_id *a,
                          uint64_t b_seq, const event_id *b)
{
    const merge_feed *f = merge_feed_find(c, feed);
    step sa, sb;
    if (f == NULL || a_seq == 0 || b_seq == 0)
        return 0;
    uint64_t low = a_seq < b_seq ? a_seq : b_seq;
    if (f->n <= 1 || on_highest_branch(f, low))
        return low;
    if (ends_by_two_keys(f, a_seq, a, b_seq, b))
        return 0;
    if (!went_well(c, locate_step(c, feed, a_seq, a, &sa)) ||
        !went_well(c, locate_step(c, feed, b_seq, b, &sb)))
        return 0;
    return meet_by_walking(c, feed, sa, sb);
}

static uint64_t view_meet(void *ctx, feed_id feed, uint64_t a_seq, const event_id *a,
                          uint64_t b_seq, const event_id *b)
{
    merge_core *c = ctx;
    bool a_new = in_pending(c, feed, a_seq, a), b_new = in_pending(c, feed, b_seq, b);
    if (a_new && b_new)
        return a_seq < b_seq ? a_seq : b_seq;
    /* The run's beginning hangs on a held event (or on nothing); that is where the other chain can meet it. */
    if (a_new)
        return meet_held(c, feed, c->pending.first_seq - 1, &c->pending.previous, b_seq, b);
    if (b_new)
        return meet_held(c, feed, a_seq, a, c->pending.first_seq - 1, &c->pending.previous);
    return meet_held(c, feed, a_seq, a, b_seq, b);
}

chain_view merge_chain_view(merge_core *c)
{
    return (chain_view){c, view_holds, view_meet};
}

/* ---- by whose key is a chain? ---- */

typedef struct {
    const merge_core *c;
    feed_id feed;
    const event_id *root; /* id of its event at seq 1 */
    const member_key *keys;
    size_t n;
    member_key *out;
    bool found;
} root_search;

static bool begins_with(const root_search *r, const event_view *v, const member_key *key,
                        bool genesis)
{
    event_id id;
    if (genesis)
        chain_start_genesis(&id, key);
    else
        chain_start(&id, &r->c->identity.dataset, r->feed, key);
    chain_next_event(&id, &id, 1, v);
    return event_id_eq(&id, r->root);
}

static bool try_keys(void *arg, const stored_row *row)
{
    root_search *r = arg;
    event_view v;
    err_t e =
        row->flags & ROW_ERASED ? event_parse_erased(row->body, &v) : event_parse(row->body, &v);
    if (e != ERR_OK || !event_id_eq(&row->id, r->root))
        return true;
    for (size_t i = 0; i < r->n && !r->found; i++)
        if (begins_with(r, &v, &r->keys[i], false) ||
            (r->feed == CHAIN_GENESIS_FEED && begins_with(r, &v, &r->keys[i], true))) {
            *r->out = r->keys[i];
            r->found = true;
        }
    return !r->found;
}

err_t merge_author_of(merge_core *c, feed_id feed, uint64_t seq, const event_id *id,
                      member_key *out)
{
    member_key keys[MERGE_KEYS_MAX];
    event_id root;
    size_t n = c->roster != NULL ? roster_author(c->roster, feed, keys, MERGE_KEYS_MAX) : 0;
    n = n < MERGE_KEYS_MAX ? n : MERGE_KEYS_MAX;
    if (n == 0)
        return ERR_NOT_MEMBER;
    if (n == 1) { /* admission let no other chain in */
        *out = keys[0];
        return ERR_OK;
    }
    TRY(merge_ancestor(c, feed, seq, id, 1, &root));
    root_search r = {c, feed, &root, keys, n, out, false};
    TRY(c->io.read_feed(c->io.ctx, feed, 1, 1, try_keys, &r));
    return r.found ? ERR_OK : ERR_NOT_MEMBER;
}
