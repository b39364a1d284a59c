/* Shared by the store_core*.c files; for nobody else.
 *
 *   store_core.c          opening, groups, what a failed commit undoes
 *   store_core_feed.c     feeds as trees of branches, the feed index, tips
 *   store_core_lag.c      the stream index and what of it is held back in memory
 *   store_core_order.c    their order by key
 *   store_core_row.c      single rows of the log: read, write, rewrite, the category index
 *   store_core_append.c   planning and applying an append
 *   store_core_change.c   verdicts, seals
 *   store_core_erase.c    hidden events, tails that leave, and their remains in the file
 *   store_core_read.c     fetch, feed, stream, scan and the smaller questions
 *   store_core_run.c      runs
 *   store_core_damage.c   damaged rows: known, reported, mended
 *   store_core_scrub.c    the background scrub, and building the indexes anew from the log */
#ifndef CAIRN_STORE_CORE_IMPL_H
#define CAIRN_STORE_CORE_IMPL_H

#include "store/store_core.h"
#include "store/store_keys.h"

#define NO_BRANCH         UINT32_MAX
#define LAG_BYTES_DEFAULT (12u << 20)
#define OUT_MAX_BYTES     (16u << 20)
#define FORKED_AT_ONE_MAX 256u   /* events at one (feed, seq): what locate_reply holds */
#define DAMAGE_MAX        65536u /* damaged rows remembered; more are found again when read */

typedef struct {
    uint64_t seq, offset; /* seq 0: none */
    event_id id;
} spot;

/* One branch of a feed: the events after `fork_seq` up to the tip. Its events up to fork_seq are the
 * parent's. Branches are numbered as they begin, so a parent's number is always smaller. */
typedef struct {
    uint32_t parent;   /* NO_BRANCH: it begins at seq 1, after `start` */
    uint64_t fork_seq; /* 0 of those */
    event_id start;    /* all zero when not known any more */
    spot tip;
    uint64_t sealed_seq; /* newest seal on this branch itself, 0 for none */
    spot counting;       /* newest counting event of its own */
    spot
        under_seal; /* the same that lies under any seal, also of a branch that begins on this one */
    uint32_t taken; /* serial of the append that has planned a row after the tip */
    bool dirty;     /* not written yet */
    /* computed, not stored */
    uint64_t covered;     /* up to where its own events lie under a seal, 0 for none */
    uint64_t entry_below; /* greatest fork_seq of a branch on this one that has, or whose own
                             branches have, an under_seal */
} branch;

typedef struct {
    feed_id id;
    uint32_t n, cap;
    branch *branches;
    uint64_t max_seq;
    bool dirty;
} feed_tree;

/* Part of a feed block: events seq .. seq + n - 1 of a branch lie at offset .. offset + n - 1. */
typedef struct {
    uint64_t seq, n, offset;
    uint32_t branch;
} extent;

typedef struct {
    extent *p;
    size_t n, cap;
    /* what is loaded, so that walking a feed reads each block once */
    bool valid;
    feed_id feed;
    uint64_t block;
} extents;

/* One stream's held-back entries. Keys are stream keys in `keys`. */
typedef struct {
    uint32_t key_at, key_len, hash;
    uint32_t last; /* entry, 1-based; older ones by `before` */
    uint32_t n;    /* entries */
    uint64_t base; /* position of the first */
} lag_stream;
typedef struct {
    uint32_t step; /* offset - lag.before_offset, 0: a lost row */
    uint32_t before;
} lag_entry;
typedef struct {
    uint32_t hash, stream; /* stream 1-based, 0: empty */
} lag_slot;
typedef struct {
    lag_stream *streams;
    lag_entry *entries;
    lag_slot *slots;
    uint32_t *order; /* streams by key, once it is full */
    size_t n_streams, cap_streams, n_entries, cap_entries, n_slots, n_order, drained;
    buf keys;
    uint64_t before_offset, last_offset;
} lag;

/* What the lags were when the open group began. */
typedef struct {
    bool valid; /* since then entries were only added, and streams only brought to disk */
    uint64_t head, indexed, owed, before_offset, last_offset;
    size_t n_streams, n_entries, keys_len, drained;
} lag_mark;

enum { DAMAGE_SUM, DAMAGE_MISSING, DAMAGE_CHAIN, DAMAGE_REASONS };
typedef struct {
    uint64_t offset, seq;
    uint64_t
        parent; /* where the event before it lies, so that chains lead through; 0: none, or unknown */
    feed_id feed;
    uint8_t reason;
    bool dirty;
} damaged;

enum { PLAN_NEW, PLAN_HELD, PLAN_MEND };
/* What one row of an append will be. */
typedef struct {
    append_row row;
    bytes category, stream; /* empty when opaque */
    uint8_t kind;
    bool followed;   /* a later row of this append comes after it */
    bool fork;       /* begins a branch */
    bool erasure;    /* its kind is event.erase */
    uint32_t before; /* new: the row of this append it follows, held: the same event in this append;
                        1-based, 0 for none */
    uint32_t branch; /* of the parent when new, until it is applied; then its own */
    uint64_t parent; /* offset, 0 at seq 1; when `before` is 0 */
    uint64_t offset; /* its own; of a new one once it is applied */
    uint32_t stream_hash;
} plan_row;

typedef struct {
    uint64_t head, indexed, changed, clock_wall_ms, scrub_offset, scrubbed_ms;
    uint32_t clock_counter;
} store_state;
typedef struct {
    uint64_t epoch, inode, birth_ns;
    uint16_t incarnation;
    uint8_t machine[STORE_MACHINE_MAX_BYTES];
    uint8_t machine_len;
} store_identity;

struct store_core {
    store_kv *kv;
    kv_txn *txn; /* of the open group */
    err_t group; /* what poisoned it */
    err_t state; /* of the last write */
    store_state st;
    store_identity identity, identity_kept; /* as of now; as a lost group leaves it */
    bool identity_due;                      /* not committed yet: the next group begins with it */
    bool copied, index_bad, stale;
    feed_tree **feeds; /* by feed_tree */
    size_t n_feeds, cap_feeds, last_feed;
    feed_tree **dirty; /* as large as feeds */
    size_t n_dirty;
    extents block;
    lag lags[2]; /* [0] takes new entries, [1] goes to disk */
    lag_mark mark;
    size_t lag_bytes;  /* held back at most, twice */
    uint64_t *offsets; /* one stream's, while it is brought to disk */
    size_t cap_offsets;
    uint64_t owed;       /* rows appended since streams were last brought to disk */
    uint64_t erase_next; /* no tail is due before */
    enum { WIPE_NONE, WIPE_DUE, WIPE_RUNNING } wipe; /* the file holds remains of tails */
    damaged *damage;
    size_t n_damage, cap_damage;
    plan_row *plan; /* BATCH_MAX_EVENTS */
    uint32_t n_plan, serial;
    store_key idem_seen; /* how far old idempotency keys were looked for */
    msg_list plan_rest;  /* rows of the append that are not planned yet */
    uint64_t group_rows;
    buf row, scratch, out, list;
};

/* ---- store_core.c ---- */
/* Marks the group as failed by its storage. Returns e. */
err_t group_fail(store_core *s, err_t e);
/* Goes back to what is committed, after a failure. */
err_t core_reload(store_core *s) CAIRN_CHECK;
err_t state_write(store_core *s) CAIRN_CHECK;
/* Opens a reading transaction (the group must not be open). */
err_t read_begin(store_core *s, kv_txn **txn) CAIRN_CHECK;

/* Next row of a list that is built or decoded. */
bool list_take(const msg_desc *desc, msg_list *list, void *row);

/* ---- store_core_row.c ---- */
typedef struct {
    stored_row row;
    bytes raw; /* as stored; or, when damaged, as delivered (in s->row) */
    bool damaged;
} row_read;
/* The row at an offset from 1 to head; never fails for damage, only for storage. `out` borrows the
 * transaction, or s->row when damaged. */
err_t row_get(store_core *s, kv_txn *txn, uint64_t offset, row_read *out) CAIRN_CHECK;
/* The same without decoding: out->row is not set. */
err_t row_find(store_core *s, kv_txn *txn, uint64_t offset, row_read *out) CAIRN_CHECK;
/* The same from a value at hand (a cursor's). */
err_t row_check(store_core *s, kv_txn *txn, uint64_t offset, bytes value,
                row_read *out) CAIRN_CHECK;
err_t row_decode(row_read *r) CAIRN_CHECK;
/* Finds rows one after the other, where they follow each other in the log by a cursor. */
typedef struct {
    kv_txn *txn;
    kv_cursor at;
    bool open;
    uint64_t last;
} row_walk;
row_walk row_walk_begin(kv_txn *txn);
err_t row_walk_find(store_core *s, row_walk *w, uint64_t offset, row_read *out) CAIRN_CHECK;
void row_walk_end(row_walk *w);
/* Writes a row; `append` when its offset is new. */
err_t row_put(store_core *s, const stored_row *row, bool append) CAIRN_CHECK;
/* Moves a row that was read into s->list, so that it outlives writes of the same group. */
err_t row_keep(store_core *s, row_read *r) CAIRN_CHECK;
/* Category and stream from the head of a body (also an erased one); false when it has none. */
bool row_names(bytes body, bytes *category, bytes *stream);
/* The same; and whether its kind is that of an erasure. */
bool row_names_and_erasure(bytes body, bytes *category, bytes *stream, bool *erasure);
/* Names in the category index that no category can have. */
#define ERASURES "/erase"
#define TAILLESS "/tailless"
/* Notes one offset under such a name. */
err_t index_row(store_core *s, const char *name, uint64_t offset) CAIRN_CHECK;
/* Notes offsets (ascending, of one category) in the category index. */
typedef struct {
    bytes category;
    uint64_t block;
    uint8_t bits[CATEGORY_BLOCK / 8];
    bool any;
} category_writer;
err_t category_add(store_core *s, category_writer *w, bytes category, uint64_t offset) CAIRN_CHECK;
err_t category_flush(store_core *s, category_writer *w) CAIRN_CHECK;
/* Notes events that follow each other in feed and log, so that the feed index is written once per run of
 * them. */
typedef struct {
    extent run; /* n 0: none */
    feed_id feed;
} run_noter;
err_t run_note(store_core *s, run_noter *w, feed_id feed, const extent *event) CAIRN_CHECK;
err_t run_flush(store_core *s, run_noter *w) CAIRN_CHECK;
/* Appends a changed row that speaks of `target`. */
err_t row_announce(store_core *s, const stored_row *target, wall_ms now) CAIRN_CHECK;

/* ---- store_core_feed.c ---- */
feed_tree *feed_find(store_core *s, feed_id id);
feed_tree *feed_make_entry(store_core *s, feed_id id); /* NULL without memory */
branch *feed_add_branch(feed_tree *f);                 /* NULL without memory */
err_t feeds_load(store_core *s, kv_txn *txn) CAIRN_CHECK;
err_t feeds_write(store_core *s) CAIRN_CHECK; /* the dirty ones */
void feeds_release(store_core *s);
err_t block_load(store_core *s, kv_txn *txn, feed_id id, uint64_t block) CAIRN_CHECK;
/* Notes events seq .. seq + n - 1 of a branch at offset .. */
err_t block_add(store_core *s, feed_id id, uint32_t branch_no, uint64_t seq, uint64_t n,
                uint64_t offset) CAIRN_CHECK;
/* The start id of the chain whose first event lies at `offset`, kept apart from the indexes because
 * nothing in the log tells it. */
err_t start_write(store_core *s, uint64_t offset, const event_id *start) CAIRN_CHECK;
event_id start_read(kv_txn *txn, uint64_t offset); /* all zero when it is lost */
/* The branch that holds `seq` on the way to branch b's tip. */
uint32_t branch_at(const feed_tree *f, uint32_t b, uint64_t seq);
/* Offset of the event at `seq` on the way to the tip of `b`; ERR_NOT_FOUND. */
err_t feed_offset(store_core *s, kv_txn *txn, const feed_tree *f, uint32_t b, uint64_t seq,
                  uint64_t *offset) CAIRN_CHECK;
/* Finds the event held as (feed, seq, id). ERR_NOT_FOUND. */
err_t feed_event(store_core *s, kv_txn *txn, feed_tree *f, uint64_t seq, const event_id *id,
                 uint32_t *branch_no, uint64_t *offset) CAIRN_CHECK;
/* After a row at the tip was added. */
void branch_extend(store_core *s, feed_tree *f, branch *b, const stored_row *row);
void feed_touch(store_core *s, feed_tree *f); /* it has dirty branches */
/* After seals or branches were added to, or verdicts changed in a feed: what lies under seals. */
err_t feed_refresh(store_core *s, kv_txn *txn, feed_tree *f) CAIRN_CHECK;
/* branch.counting by walking back from `from` (inclusive). */
err_t branch_find_counting(store_core *s, kv_txn *txn, const feed_tree *f, uint32_t b,
                           uint64_t from, spot *out) CAIRN_CHECK;
/* Its under_seal is no ancestor of another branch's. */
bool branch_is_frontier(const branch *b);
/* Reads the value of a feed block. */
err_t block_parse(bytes content, feed_id id, uint64_t block, extents *out) CAIRN_CHECK;

/* The branch that holds the row (feed, seq) at `offset`. */
err_t branch_of(store_core *s, kv_txn *txn, feed_id id, uint64_t seq, uint64_t offset,
                uint32_t *branch_no) CAIRN_CHECK;

/* ---- store_core_erase.c ---- */
err_t erase_load(store_core *s, kv_txn *txn) CAIRN_CHECK;
/* When the tail of a hidden event is due; ERR_NOT_FOUND when it is not hidden. */
err_t erase_note_read(kv_txn *txn, uint64_t offset, uint64_t *due) CAIRN_CHECK;
/* The erased form of a body, into `out` (cleared). */
err_t erased_form(bytes body, buf *out) CAIRN_CHECK;
/* A copy is about to mend a damaged row: it stays as hidden as that was. May use s->out for the body. */
err_t erase_mended(store_core *s, stored_row *row) CAIRN_CHECK;
/* Gives a row (in s->list) back the tail that it lacks. */
err_t erase_heal(store_core *s, stored_row *row, const append_row *copy, wall_ms now) CAIRN_CHECK;

/* ---- store_core_change.c ---- */
/* ERR_NOT_FOUND when it is no event's. */
err_t event_at(store_core *s, uint64_t offset, row_read *r) CAIRN_CHECK;
/* Whether the event at `at` counts is (newly) so: what that means for its branch. feed_refresh later. */
err_t branch_judge(store_core *s, feed_tree *f, uint32_t branch_no, const spot *at,
                   bool counts) CAIRN_CHECK;
/* Adds a seal to the event at `offset` unless it has one. */
err_t seal_add(store_core *s, feed_tree *f, uint32_t branch_no, uint64_t offset,
               bytes seal) CAIRN_CHECK;

/* ---- store_core_lag.c ---- */
err_t lag_load(store_core *s, kv_txn *txn) CAIRN_CHECK; /* from the log after st.indexed */
void lag_release(store_core *s);
static inline bytes lag_key(const lag *l, const lag_stream *x)
{
    return bytes_of(l->keys.p + x->key_at, x->key_len);
}
/* Fills l->order. In store_core_order.c. */
err_t lag_sort(lag *l) CAIRN_CHECK;
/* At the start of a group; and after it was lost: as they were. False: lag_load must do it. */
void lag_remember(store_core *s);
bool lag_restore(store_core *s);
uint32_t stream_hash(bytes category, bytes stream);
/* Has the processor fetch what stream_push will touch of a stream, one step further with each stage
 * from 0 to LAG_STAGES - 1: streams come in random order, and memory is slow. */
#define LAG_STAGES 3u
void stream_foresee(const store_core *s, uint32_t hash, unsigned stage);
/* Gives the next position of the stream to `offset`. */
err_t stream_push(store_core *s, kv_txn *txn, bytes category, bytes stream, uint64_t offset,
                  uint64_t *position) CAIRN_CHECK;
/* Enters a row of the log that the stream index may not know yet. */
err_t stream_replay(store_core *s, kv_txn *txn, const stored_row *row) CAIRN_CHECK;
/* Brings entries to disk as far as the rows appended make it due, or `streams` of them if not 0. */
err_t lag_drain(store_core *s, uint64_t streams) CAIRN_CHECK;
bool lag_pending(const store_core *s);
err_t stream_length(store_core *s, kv_txn *txn, const store_key *key, uint64_t *out) CAIRN_CHECK;
/* Offsets of positions from .. from + max - 1, as many as there are; 0 stands for a lost one. */
err_t stream_offsets(store_core *s, kv_txn *txn, const store_key *key, uint64_t from, uint64_t *out,
                     size_t max, size_t *n) CAIRN_CHECK;
/* The first stream whose key is >= *key (at the end of the table also those only in memory).
 * ERR_NOT_FOUND. */
err_t stream_seek(store_core *s, kv_txn *txn, store_key *key) CAIRN_CHECK;
/* Position of `offset` in its stream; ERR_NOT_FOUND. */
err_t stream_position(store_core *s, kv_txn *txn, bytes category, bytes stream, uint64_t offset,
                      uint64_t *position) CAIRN_CHECK;

/* ---- store_core_damage.c ---- */
err_t damage_load(store_core *s, kv_txn *txn) CAIRN_CHECK;
const damaged *damage_find(const store_core *s, uint64_t offset);
/* Remembers, and finds out whose event it was. */
void damage_note(store_core *s, kv_txn *txn, uint64_t offset, uint8_t reason);
err_t damage_clear(store_core *s, uint64_t offset) CAIRN_CHECK;
err_t damage_write(store_core *s) CAIRN_CHECK; /* the new ones */
/* What is delivered in place of a damaged row, into s->row. */
err_t damage_stand_in(store_core *s, const damaged *d, uint64_t offset, row_read *out) CAIRN_CHECK;

/* ---- store_core_scrub.c ---- */
err_t core_reindex(store_core *s) CAIRN_CHECK;

#endif
