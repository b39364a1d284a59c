#include "merge/merge_core_state.h"

#include "pure/chain.h"

#include <stdlib.h>

#define WANTED_MAX 4096u /* as in frontier_reply */

merge_core *merge_core_new(const merge_identity *identity, const merge_io *io, wall_ms built,
                           uint64_t seed)
{
    merge_core *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->identity = *identity;
    c->io = *io;
    c->seed = seed;
    buf_init(&c->identity.genesis, RUN_MAX_BYTES);
    c->front_rows = calloc(FRONTIER_MAX, sizeof *c->front_rows);
    c->wanted_rows = calloc(WANTED_MAX, sizeof *c->wanted_rows);
    c->ids = calloc(RUN_MAX_EVENTS, sizeof *c->ids);
    c->seen = calloc(RUN_MAX_EVENTS, sizeof *c->seen);
    hlc_init(&c->clock, (hlc_stamp){0}, built);
    if (c->front_rows == NULL || c->wanted_rows == NULL || c->ids == NULL || c->seen == NULL ||
        (identity->genesis.len > 0 &&
         !buf_add_bytes(&c->identity.genesis, buf_view(&identity->genesis)))) {
        merge_core_free(c);
        return NULL;
    }
    return c;
}

static void free_feeds(merge_core *c)
{
    for (size_t i = 0; i < c->n_feeds; i++)
        free(c->feeds[i].tips);
    c->n_feeds = 0;
}

void merge_core_free(merge_core *c)
{
    if (c == NULL)
        return;
    free_feeds(c);
    free(c->feeds);
    frontier_release(&c->front);
    free(c->front_rows);
    free(c->wanted_rows);
    free(c->ids);
    free(c->seen);
    frontier_release(&c->wanted);
    frontier_release(&c->mend);
    merge_erase_free(c);
    merge_kept_free(c);
    roster_free(&c->roster);
    crypto_wipe(&c->identity.signer, sizeof c->identity.signer);
    crypto_wipe(c->identity.founder, sizeof c->identity.founder);
    buf_release(&c->identity.genesis);
    free(c);
}

/* ---- feeds and tips ---- */

/* Where the feed is or belongs. */
static size_t feed_index(const merge_core *c, feed_id feed)
{
    size_t lo = 0, hi = c->n_feeds;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->feeds[mid].feed < feed)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

merge_feed *merge_feed_find(const merge_core *c, feed_id feed)
{
    size_t i = feed_index(c, feed);
    return i < c->n_feeds && c->feeds[i].feed == feed ? &c->feeds[i] : NULL;
}

merge_feed *merge_feed_get(merge_core *c, feed_id feed)
{
    size_t i = feed_index(c, feed);
    if (i < c->n_feeds && c->feeds[i].feed == feed)
        return &c->feeds[i];
    if (c->n_feeds == c->cap_feeds) {
        size_t cap = c->cap_feeds ? c->cap_feeds * 2 : 16;
        merge_feed *grown = realloc(c->feeds, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        c->feeds = grown;
        c->cap_feeds = cap;
    }
    memmove(&c->feeds[i + 1], &c->feeds[i], (c->n_feeds - i) * sizeof *c->feeds);
    c->feeds[i] = (merge_feed){.feed = feed};
    c->n_feeds++;
    return &c->feeds[i];
}

merge_tip *merge_tip_find(const merge_feed *f, uint64_t seq, const event_id *id)
{
    for (uint32_t i = 0; f != NULL && i < f->n; i++)
        if (f->tips[i].seq == seq && event_id_eq(&f->tips[i].id, id))
            return &f->tips[i];
    return NULL;
}

merge_tip *merge_tip_add(merge_feed *f)
{
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 1;
        merge_tip *grown = realloc(f->tips, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        f->tips = grown;
        f->cap = cap;
    }
    f->tips[f->n] = (merge_tip){0};
    return &f->tips[f->n++];
}

/* ---- loading ---- */

typedef struct {
    merge_core *c;
    err_t e;
} loading;

static bool take_tip(void *arg, const tip_row *row)
{
    loading *l = arg;
    merge_feed *f = merge_feed_get(l->c, row->feed);
    merge_tip *t = f != NULL ? merge_tip_add(f) : NULL;
    if (t == NULL) {
        l->e = ERR_NO_MEMORY;
        return false;
    }
    *t = (merge_tip){.seq = row->seq,
                     .id = row->id,
                     .sealed_seq = row->sealed_seq,
                     .sealed_id = row->sealed_id,
                     .cut = row->seq};
    return true;
}

static bool take_stamp(void *arg, const stored_row *row)
{
    merge_tip *t = arg;
    event_view v;
    if (!event_id_eq(&row->id, &t->id) || event_parse(row->body, &v) != ERR_OK)
        return true;
    t->stamp = v.stamp;
    return true;
}

static const merge_tip *first_by(const merge_feed *f, const member_key *author)
{
    uint32_t i = 0;
    while (i < f->n && memcmp(f->tips[i].author.b, author->b, sizeof author->b) != 0)
        i++;
    return &f->tips[i];
}

uint32_t merge_tips_by(const merge_feed *f, const member_key *author)
{
    uint32_t n = 0;
    for (uint32_t i = 0; f != NULL && i < f->n; i++)
        n += memcmp(f->tips[i].author.b, author->b, sizeof author->b) == 0;
    return n;
}

/* What only the events tell: by which key the chain is, when the tip was written, where the feed forked. */
static err_t complete_feed(merge_core *c, merge_feed *f)
{
    chain_view view = merge_chain_view(c);
    f->fork_seq = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        merge_tip *t = &f->tips[i];
        err_t e = merge_author_of(c, f->feed, t->seq, &t->id, &t->author);
        if (e != ERR_OK && e != ERR_NOT_MEMBER)
            return e;
        TRY(c->io.read_feed(c->io.ctx, f->feed, t->seq, t->seq, take_stamp, t));
        const merge_tip *o = first_by(f, &t->author);
        if (o == t)
            continue;
        uint64_t meet = view.meet(view.ctx, f->feed, o->seq, &o->id, t->seq, &t->id);
        if (f->fork_seq == 0 || meet + 1 < f->fork_seq)
            f->fork_seq = meet + 1;
    }
    return ERR_OK;
}

err_t merge_reload_tips(merge_core *c)
{
    loading l = {c, ERR_OK};
    free_feeds(c);
    TRY(c->io.tips(c->io.ctx, take_tip, &l));
    merge_local_reset(c);
    merge_front_changed(c);
    return l.e;
}

static bool is_shared(const merge_core *c, feed_id feed, const member_key *own)
{
    static const member_key unknown;
    const merge_feed *f = merge_feed_find(c, feed);
    return f != NULL && f->n > 0 &&
           (f->n > 1 || merge_tips_by(f, own) + merge_tips_by(f, &unknown) == 0);
}

/* Found with two tips, or another key's: a copy of this node wrote there too, and we died before we left that
 * incarnation. To write on would be to guess which branch is ours, and distances would name what nobody had on screen. */
static bool own_feed_forked(const merge_core *c)
{
    const crypto_signer *founder = merge_core_founder(c);
    for (unsigned k = 0; k < MERGE_CLASSES; k++) {
        feed_id feed = feed_make(c->incarnation, (feed_class)k, c->identity.self);
        if (is_shared(c, feed, &c->identity.signer.public))
            return true;
    }
    return founder != NULL && is_shared(c, merge_core_founder_feed(c), &founder->public);
}

/* Written with this node's clock: by the member's key, or by the founder's if that is held here. */
static bool is_own(const merge_core *c, const merge_tip *t)
{
    const crypto_signer *founder = merge_core_founder(c);
    return memcmp(t->author.b, c->identity.signer.public.b, MEMBER_KEY_BYTES) == 0 ||
           (founder != NULL && memcmp(t->author.b, founder->public.b, MEMBER_KEY_BYTES) == 0);
}

/* The newest stamp of our own that is above *newest and not beyond `most_ms`. */
static void raise_to_own(const merge_core *c, hlc_stamp *newest, uint64_t most_ms)
{
    for (size_t i = 0; i < c->n_feeds; i++)
        for (uint32_t k = 0; k < c->feeds[i].n; k++) {
            const merge_tip *tip = &c->feeds[i].tips[k];
            if (hlc_cmp(*newest, tip->stamp) < 0 && tip->stamp.wall_ms <= most_ms && is_own(c, tip))
                *newest = tip->stamp;
        }
}

/* The persisted clock can be older than our own newest event: appends that were repeated after a crash of the store
 * bring theirs along in another order. What we wrote under a clock that was far ahead does not count (pure/hlc.h). */
static void clock_not_before_own(merge_core *c)
{
    raise_to_own(c, &c->clock.last, c->clock.last.wall_ms + CLOCK_DRAG_MAX_MS);
}

/* The persisted clock never goes back, so after a time that was wrong it says nothing of what was written since that was
 * put right. Our newest events do. */
void merge_clock_settle(merge_core *c, wall_ms now)
{
    hlc_stamp newest = {0};
    if (hlc_binds(&c->clock, c->clock.last, now))
        return;
    /* The clock is set, else `last` would bind: this is as far as hlc_binds() lets a stamp be. */
    raise_to_own(c, &newest, now.ms + CLOCK_DRAG_MAX_MS);
    c->clock.last = newest;
}

err_t merge_core_load(merge_core *c, const store_hello_reply *hello)
{
    c->loaded = false;
    c->incarnation = hello->incarnation;
    hlc_init(&c->clock, (hlc_stamp){hello->clock_wall_ms, hello->clock_counter}, c->clock.built);
    TRY(merge_reload_tips(c));
    TRY(merge_roster_load(c));
    for (size_t i = 0; i < c->n_feeds; i++)
        TRY(complete_feed(c, &c->feeds[i]));
    TRY(merge_asked(c));
    merge_local_reset(c); /* now it is known whose the tips are */
    clock_not_before_own(c);
    TRY(merge_roster_apply(c));
    TRY(merge_erase_load(c));
    c->overtaken |= own_feed_forked(c);
    c->loaded = true;
    return ERR_OK;
}

/* ---- the frontier ---- */

void merge_front_changed(merge_core *c)
{
    c->front_stale = true;
    c->front_version++;
}

static void add_tip(merge_core *c, const merge_feed *f, const merge_tip *t)
{
    if (t->sealed_seq == 0 || feed_class_of(f->feed) == CLASS_RESERVED)
        return;
    frontier_entry e = {f->feed, t->sealed_seq, t->sealed_id};
    if (frontier_add(&c->front, &e) == ERR_OK)
        c->events += t->sealed_seq; /* branches share their beginning: corrected below */
}

static void correct_shared(merge_core *c, const merge_feed *f)
{
    chain_view view = merge_chain_view(c);
    size_t n, first = frontier_feed(&c->front, f->feed, &n);
    for (size_t i = 1; i < n; i++) {
        const frontier_entry *a = &c->front.at[first], *b = &c->front.at[first + i];
        c->events -= view.meet(view.ctx, f->feed, a->seq, &a->id, b->seq, &b->id);
    }
}

static void rebuild_front(merge_core *c)
{
    chain_view view = merge_chain_view(c);
    if (!c->front_stale)
        return;
    frontier_clear(&c->front);
    c->events = 0;
    for (size_t i = 0; i < c->n_feeds; i++)
        for (uint32_t k = 0; k < c->feeds[i].n; k++)
            add_tip(c, &c->feeds[i], &c->feeds[i].tips[k]);
    frontier_prune(&c->front, &view);
    for (size_t i = 0; i < c->n_feeds; i++)
        if (c->feeds[i].n > 1)
            correct_shared(c, &c->feeds[i]);
    c->front_stale = merge_asked(c) != ERR_OK; /* worked out again at the next question */
}

static frontier_row row_of(const frontier_entry *e)
{
    return (frontier_row){.feed = e->feed, .seq = e->seq, .id = e->id};
}

void merge_core_frontier(merge_core *c, frontier_reply *out)
{
    rebuild_front(c);
    for (size_t i = 0; i < c->front.n; i++)
        c->front_rows[i] = row_of(&c->front.at[i]);
    size_t n = 0;
    if (c->roster != NULL && roster_wanted(c->roster, &c->wanted) == ERR_OK)
        for (size_t i = 0; i < c->wanted.n && n < WANTED_MAX - MEND_WANTS_MAX - TAIL_WANTS_MAX; i++)
            c->wanted_rows[n++] = row_of(&c->wanted.at[i]);
    for (size_t i = 0; i < c->mend.n && i < MEND_WANTS_MAX; i++)
        c->wanted_rows[n++] = row_of(&c->mend.at[i]);
    for (size_t i = 0; i < c->tails.n && i < TAIL_WANTS_MAX; i++)
        c->wanted_rows[n++] = row_of(&c->tails.at[i]);
    *out = (frontier_reply){.version = c->front_version,
                            .events = c->events,
                            .entries = MSG_LIST_OF(c->front_rows, c->front.n),
                            .wanted = MSG_LIST_OF(c->wanted_rows, n)};
    frontier_digest(&c->front, out->digest.b);
}

uint64_t merge_core_frontier_version(const merge_core *c)
{
    return c->front_version;
}

/* ---- other questions ---- */

member_no merge_core_self(const merge_core *c)
{
    return c->identity.self;
}

const roster *merge_core_roster(const merge_core *c)
{
    return c->roster;
}

static void add_activity(const merge_core *c, member_row *row)
{
    for (size_t i = 0; i < c->n_feeds; i++) {
        const merge_feed *f = &c->feeds[i];
        if (feed_member(f->feed) != row->number)
            continue;
        uint64_t most = 0;
        for (uint32_t k = 0; k < f->n; k++) {
            if (memcmp(f->tips[k].author.b, row->key.b, sizeof row->key.b) != 0)
                continue;
            most = f->tips[k].sealed_seq > most ? f->tips[k].sealed_seq : most;
            if (f->tips[k].stamp.wall_ms > row->last_wall_ms)
                row->last_wall_ms = f->tips[k].stamp.wall_ms;
        }
        row->events += most;
    }
    if (row->last_wall_ms > WALL_MAX_MS)
        row->last_wall_ms = WALL_MAX_MS;
}

size_t merge_core_members(const merge_core *c, member_row *out, size_t max)
{
    size_t n = c->roster != NULL ? roster_members(c->roster) : 0;
    n = n < max ? n : max;
    for (size_t i = 0; i < n; i++) {
        const roster_member *m = roster_at(c->roster, i);
        out[i] = (member_row){.number = m->number,
                              .name = bytes_str(m->name),
                              .role = (uint8_t)m->role,
                              .key = m->key,
                              .transport = m->transport,
                              .state = m->removed    ? 1
                                       : m->orphaned ? 2
                                                     : 0,
                              .added_by = m->added_by};
        add_activity(c, &out[i]);
    }
    return n;
}

size_t merge_core_forks(const merge_core *c, fork_row *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_feeds && n < max; i++)
        if (c->feeds[i].n > 1 && c->feeds[i].fork_seq > 0) /* else it only is several keys' */
            out[n++] = (fork_row){
                .feed = c->feeds[i].feed, .seq = c->feeds[i].fork_seq, .tips = c->feeds[i].n};
    return n;
}

static uint32_t orphans(const merge_core *c)
{
    uint32_t n = 0;
    for (size_t i = c->roster != NULL ? roster_members(c->roster) : 0; i-- > 0;)
        n += roster_at(c->roster, i)->orphaned && !roster_at(c->roster, i)->removed;
    return n;
}

void merge_core_status(const merge_core *c, wall_ms now, merge_status_reply *out)
{
    const roster_member *me =
        c->roster != NULL ? roster_find(c->roster, c->identity.self, &c->identity.signer.public)
                          : NULL;
    *out =
        (merge_status_reply){.node = bytes_str(c->identity.name),
                             .title = bytes_str(c->roster != NULL ? roster_title(c->roster) : ""),
                             .self = c->identity.self,
                             .role = me != NULL ? (uint8_t)me->role : ROSTER_ROLE_FIELD,
                             .incarnation = c->incarnation,
                             .removed = me != NULL && me->removed,
                             .clock_unsure = hlc_unset(&c->clock, now),
                             .clock_wall_ms = c->clock.last.wall_ms,
                             .quarantined_bytes = c->kept_bytes,
                             .founder = merge_core_is_founder(c),
                             .orphans = orphans(c)};
}

bool merge_core_overtaken(const merge_core *c)
{
    return c->overtaken;
}

err_t merge_core_new_incarnation(merge_core *c, uint16_t random)
{
    uint16_t next = random & 0xfffcu;
    if (next == 0 || next == c->incarnation)
        next = next == 4 ? 8 : 4;
    TRY(c->io.incarnation(c->io.ctx, next));
    c->incarnation = next;
    c->overtaken = false;
    merge_local_reset(c);
    return ERR_OK;
}
