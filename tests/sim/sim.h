/* The simulator: the real cores of several nodes on one virtual clock, with everything that happens to them drawn from
 * one seed. See README.md. What lies in which file:
 *
 *   sim_world.c   the virtual clock: tasks, links, messages with delay and loss
 *   sim_node.c    a node's life: store, crash, restore, clone; its physical clock
 *   sim_merge.c   what the merge service does around its core: batches in flight, group commit, acknowledgements
 *   sim_gossip.c  what the gossip service does around its core
 *   sim_view.c    an incremental view of the records, and a fresh one to compare it with
 *   sim_write.c   people with stale screens
 *   sim_heir.c    the founder is lost, and somebody has the heir's key
 *   sim_liar.c    a member who lies
 *   sim_oracle.c  every event there ever was, and what the rules say about them, worked out naively
 *   sim_damage.c  rows that go bad on the disk
 *   sim_check.c   the invariants
 *   sim_chaos.c   draws the options and what happens next; the liveness phase
 */
#ifndef CAIRN_SIM_H
#define CAIRN_SIM_H

#include "gossip/gossip_core.h"
#include "merge/merge_core.h"
#include "projection/forks.h"
#include "projection/record_core.h"
#include "proto/event.h"
#include "proto/row.h"
#include "store/store_core.h"
#include "store/store_mem.h"
#include "tests/unit/prop.h"

#define SIM_NODES    12
#define SIM_EVENTS   6000
#define SIM_STREAMS  192
#define SIM_LINKS    4096
#define SIM_FLIGHTS  3
#define SIM_PAPERS   8
#define SIM_FORMS    24 /* screens that people have open at one moment */
#define SIM_ROW_REFS REPLACES_MAX
#define SIM_DAMAGE   4 /* damaged rows of one node at one moment */
#define SIM_BUILT_MS 1780000000000ull
#define SIM_BASE_MS  1790000000000ull
#define SIM_DAY_MS   (24ull * 3600 * 1000)
#define SIM_NONE     UINT32_MAX

/* What must hold; numbers as in README.md. */
typedef enum {
    INV_NONE,
    INV_ACKNOWLEDGED, /* an acknowledged event is at its node */
    INV_CONVERGE,     /* after the heal: equal digests, byte-equal exports, within the time */
    INV_UNIQUE,       /* no (feed, seq) twice by an honest author that was not copied unnoticed */
    INV_WRITES,       /* live writes as the oracle says; a reference names what was on screen */
    INV_VERDICTS,     /* what counts is what the rules say, everywhere */
    INV_ONCE,         /* an event crosses a link once, and once more per cut */
    INV_BOUNDS,       /* quarantine and peer memory */
    INV_VIEW,         /* incremental view equals a fresh fold */
    INV_CLOCK,        /* stamps do not go back and are not dragged along */
    INV_ERASED, /* hidden is what an erasure names that may; no tail is missing that an honest node has */
    INV_MACHINE, /* a core returned an error that has no cause */
    INV_DAMAGE,  /* a damaged row is reported, never served, and mended after the heal */
    INV_COUNT
} sim_invariant;
extern const char *const sim_invariant_names[INV_COUNT];

/* What has to have happened at least once over the seeds of a CI run. */
#define SIM_SOMETIMES(X)                                                                           \
    X(CRASH, "a node crashed")                                                                     \
    X(CRASH_LOST, "a crash lost a batch that was not committed")                                   \
    X(CRASH_UNACKED, "a crash came between the commit and the acknowledgement")                    \
    X(DISK_FAIL, "a commit failed")                                                                \
    X(CUT, "a link was cut")                                                                       \
    X(PARTITION, "the nodes were parted into two groups")                                          \
    X(LOST, "a message was lost")                                                                  \
    X(DOUBLED, "a message came twice")                                                             \
    X(REORDERED, "a message overtook another one")                                                 \
    X(CLOCK_1970, "a clock stood at 1970")                                                         \
    X(CLOCK_2099, "a clock stood at 2099")                                                         \
    X(CLOCK_BACK, "a clock stepped back")                                                          \
    X(CLOCK_DRIFT, "a clock drifted")                                                              \
    X(RESTORED, "a store was restored and noticed it")                                             \
    X(ROLLED_BACK, "a store was rolled back unnoticed")                                            \
    X(WIPED, "a database was lost, the key kept")                                                  \
    X(CLONED, "a machine was cloned and noticed it")                                               \
    X(TWINNED, "a machine was cloned unnoticed")                                                   \
    X(FORKED, "a feed forked")                                                                     \
    X(OVERTAKEN, "a node met events of its own that it did not know")                              \
    X(REMOVED, "a member was removed")                                                             \
    X(LATE, "events of a removed member came after its removal")                                   \
    X(UNCOUNTED, "a held event stopped counting")                                                  \
    X(ADDED, "a member was added on the way")                                                      \
    X(COORDINATED, "a coordinator added a member")                                                 \
    X(ORPHANED, "a member lost whoever had added it")                                              \
    X(READDED, "an orphaned member was added again")                                               \
    X(REPLACED, "the founder was replaced by his heir's key")                                      \
    X(REPLACED_AGAIN, "a successor was replaced")                                                  \
    X(REPLACED_TWICE, "two people used one heir's key")                                            \
    X(REPLACED_SHORT, "a replacement kept less than it could")                                     \
    X(SUCCESSOR, "a successor changed the roster")                                                 \
    X(LATE_FOUNDER, "a replaced founder's events came after his replacement")                      \
    X(STALE, "an edit was made on a stale screen")                                                 \
    X(CONFLICT, "two values lived beside each other")                                              \
    X(RESOLVED, "an edit named several values")                                                    \
    X(DELETED, "a record was deleted")                                                             \
    X(UNSEEN, "a delete left an edit that it had not seen")                                        \
    X(EQUAL, "two equal values were shown as one")                                                 \
    X(ERASED, "an author erased an event of its own")                                              \
    X(ERASED_AT_ONCE, "the founder erased an event of a member")                                   \
    X(SHOWN_AGAIN, "an erasure stopped counting, and what it hid was shown again")                 \
    X(TAIL_LEFT, "a tail left a disk when it was due")                                             \
    X(TAIL_MISSING, "an event came without its tail, and no erasure named it")                     \
    X(TAIL_HEALED, "a missing tail came back")                                                     \
    X(EXPRESS, "an urgent edit was made")                                                          \
    X(LIE_FORK, "the liar signed two events at one seq")                                           \
    X(LIE_FLOOD, "the liar flooded")                                                               \
    X(LIE_CLAIM, "the liar claimed what it never delivered")                                       \
    X(LIE_GARBAGE, "the liar sent garbage runs")                                                   \
    X(LIE_GAP, "the liar sent a run without what it follows")                                      \
    X(LIE_FUTURE, "the liar stamped an event in the far future")                                   \
    X(LIE_OPAQUE, "the liar wrote what nobody understands")                                        \
    X(LIE_ERASE, "the liar erased what is not its own")                                            \
    X(LIE_STRIP, "the liar handed events on without their tails")                                  \
    X(LIE_MUTE, "the liar did not answer")                                                         \
    X(DAMAGED, "a row was damaged")                                                                \
    X(MENDED, "a damaged row was mended")                                                          \
    X(QUARANTINED, "a run was kept until its predecessor came")                                    \
    X(REFUSED, "a run was refused")
typedef enum {
#define X(name, text) ST_##name,
    SIM_SOMETIMES(X)
#undef X
        ST_COUNT
} sim_sometimes;
extern const char *const sim_sometimes_text[ST_COUNT];

/* ---- the oracle's events ---- */
typedef struct {
    feed_id feed;
    uint64_t seq;
    event_id id;
    uint32_t parent; /* index, SIM_NONE at seq 1 */
    member_key author;
    bool honest;
    bool acked;            /* somebody was told that it is safe */
    uint32_t stream, next; /* the next older event of that stream */
    uint8_t *bytes;        /* body; owned */
    event_view view;
} sim_event;

typedef struct {
    char category[16], name[48];
    uint32_t newest; /* event, SIM_NONE for none */
} sim_stream;

/* One thing on a screen, for an edit. */
typedef struct {
    record_what what;
    char name;
} sim_thing;

/* A form that somebody has open: what it will write, and the writes it shows and will replace. */
typedef struct {
    bool open;
    uint32_t stream; /* SIM_NONE: a record with a name of merge's making */
    const char *kind;
    uint8_t payload[96];
    size_t payload_len;
    uint8_t feed_class;
    uint32_t n_refs;
    uint32_t refs[SIM_ROW_REFS]; /* events */
    uint64_t opened_ms;
} sim_form;

/* ---- a node ---- */
typedef enum { JOB_EMIT, JOB_INGEST, JOB_ROSTER, JOB_HEIR } sim_job;

typedef struct {
    merge_batch batch;
    append_request request;
    sim_job job;
    bool used;
    uint64_t wall_ms; /* physical clock when it was written */
    uint32_t tag;     /* of gossip's ingest, 0 for none */
    ingest_reply reply;
    uint32_t n_forms;
    sim_form forms[4]; /* what was meant by the rows, in order */
} sim_flight;

typedef struct {
    uint64_t offset; /* rows folded */
    forks *forks;
    record_folder *folder;
    arena arena;
    uint8_t *line[SIM_STREAMS];
    size_t line_len[SIM_STREAMS];
    bool touched[SIM_STREAMS];
    uint64_t voids; /* roster_refs_void may have changed */
} sim_view;

typedef struct {
    store_kv *kv;
    uint32_t n_acked;
} sim_backup;

/* A row that has gone bad, and the event that it held. */
typedef struct {
    uint64_t offset;
    uint32_t event;
} sim_damaged;

typedef struct sim_world sim_world;

typedef struct {
    sim_world *world; /* for merge's questions to the store */
    int index;
    bool exists, alive, enrolled;
    bool unready; /* merge must load again */
    bool lost;    /* removed or orphaned for good: not asked to converge */
    bool liar;
    uint32_t life; /* counts restarts: tasks of an earlier life are dropped */
    merge_identity identity;
    uint8_t seed[MEMBER_SEED_BYTES];
    roster_role role;
    store_kv *kv; /* borrowed from `store` */
    store_core *store;
    merge_core *merge;
    gossip_core *gossip;
    uint64_t inode, machine;
    store_kv *down; /* what is on the disk of a node that is off */
    sim_backup backup;
    member_no added_by;
    bool gave_up;
    sim_flight flights[SIM_FLIGHTS];
    uint32_t n_flights;
    uint64_t ticket_in, ticket_out; /* merge takes runs in the order they were offered */
    bool barrier;
    uint64_t roster_seen, front_seen;
    sim_form forms[SIM_FORMS];
    sim_view view;
    bool disk_bad;
    sim_damaged damage[SIM_DAMAGE];
    uint32_t n_damage;
    bool mending;     /* merge knows of damaged rows */
    bool decayed;     /* has had one: what leads through it crosses its links again */
    int64_t clock_ms; /* physical clock minus virtual clock */
    int64_t drift_ppm;
    hlc_stamp last_stamp; /* newest of an own committed event */
    uint32_t *acked;      /* events that this node acknowledged; owned */
    uint32_t n_acked;
    uint64_t troubles; /* ingests that failed for reasons of the disk: runs come again */
    bool mute;
    bool tails_missed; /* an event came without its tail */
} sim_node;

typedef struct {
    uint32_t id;
    int a, b;
    bool up;
    uint64_t last_ms[2];
} sim_link;

typedef struct {
    uint64_t seed;
    int nodes;
    uint32_t steps;
    uint64_t latency_ms;
    bool lossy; /* links that lose, double and reorder; else ordered and whole, as TCP */
    bool liar, clones, rollbacks, restores, removals, clocks, disks, damage, real_crypto, heirs;
    unsigned hot; /* records that everybody edits */
} sim_options;

/* An heir's key on paper. Copies of it may lie with several people. */
typedef struct {
    uint8_t seed[MEMBER_SEED_BYTES];
    member_key key;
    uint32_t used; /* times */
} sim_paper;

typedef struct sim_task sim_task;

struct sim_world {
    sim_options opt;
    sim_paper paper[SIM_PAPERS];
    uint32_t n_papers;
    prop_rng rng, decay; /* decay: what is damaged, when */
    bool verbose;
    sim_invariant failed;
    char why[512];
    uint64_t now_ms, step;
    sim_task **heap;
    size_t n_heap, cap_heap;
    uint64_t order;
    sim_node node[SIM_NODES];
    sim_link link[SIM_LINKS];
    uint32_t n_links;
    sim_event event[SIM_EVENTS];
    uint32_t n_events;
    uint32_t table[SIM_EVENTS * 4]; /* index + 1 by id */
    sim_stream stream[SIM_STREAMS];
    uint32_t n_streams; /* the first one is the roster's */
    dataset_id dataset;
    buf genesis;
    feed_id forkable[64]; /* feeds written by two copies, or by a liar */
    uint32_t n_forkable;
    bool recut
        [1u
         << 16]; /* members whose verdicts changed: what is cut is in no frontier, and comes again */
    const uint8_t
        *flags; /* of the node that is being judged, by event; NULL: every tail is there */
    bool healing;
    uint64_t heal_ms, converged_ms;
    uint16_t cuts[SIM_NODES][SIM_NODES];
    uint8_t (*crossed)[SIM_NODES][SIM_EVENTS]; /* [a][b][event], a < b */
    struct {
        uint32_t head[2], flood, gap; /* newest events of what it makes by hand */
    } liar;
    uint64_t happened[ST_COUNT];
};

#define SIM_PLANT_EARLY_ACK                                                                        \
    13                       /* the one planted bug that is in the simulator's own merge service */
extern int sim_plant;        /* which planted bug is active, 0 for none */
extern bool sim_real_crypto; /* Ed25519 instead of the stand-in */

/* sim_world.c */
sim_world *sim_world_new(const sim_options *opt, bool verbose);
void sim_world_free(sim_world *w);
void sim_fail(sim_world *w, sim_invariant what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sim_say(const sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void sim_once(sim_world *w, sim_sometimes s)
{
    w->happened[s]++;
}
static inline uint64_t sim_below(sim_world *w, uint64_t n)
{
    return prop_below(&w->rng, n);
}
static inline bool sim_chance(sim_world *w, uint64_t one_in)
{
    return prop_below(&w->rng, one_in) == 0;
}
static inline mono_ms sim_now(const sim_world *w)
{
    return (mono_ms){w->now_ms};
}
typedef enum {
    TASK_DELIVER,
    TASK_READ,
    TASK_LOCATE,
    TASK_INGEST,
    TASK_FRONTIER,
    TASK_COMMIT,
    TASK_FORM
} sim_what;
struct sim_task {
    uint64_t at_ms, order;
    sim_what what;
    int node;
    uint32_t life, link, tag, tries;
    member_no member;
    const msg_desc *desc;
    run_request read;
    locate_request locate;
    uint64_t ticket;
    buf body;
};
sim_task *sim_schedule(sim_world *w, int node, uint64_t delay_ms, sim_what what);
void sim_again(sim_world *w, sim_task *t, uint64_t delay_ms); /* takes it back into the queue */
void sim_transmit(sim_world *w, int from, uint32_t link, const msg_desc *desc, bytes body);
bool sim_connect(sim_world *w, int a, int b);
void sim_disconnect(sim_world *w, uint32_t link);
uint32_t sim_link_between(const sim_world *w, int a, int b); /* 0 for none */
/* Does what is due until then. */
void sim_run(sim_world *w, uint64_t until_ms);

/* sim_node.c */
wall_ms sim_clock(const sim_world *w, const sim_node *n);
void sim_node_prepare(sim_world *w, int i);
/* With `kv` NULL an empty store of a random first incarnation if `wiped`. Takes kv. */
void sim_node_start(sim_world *w, int i, store_kv *kv, bool wiped);
void sim_node_crash(sim_world *w, int i, store_kv **kept);
void sim_node_release(sim_node *n);
void sim_node_load(sim_world *w, int i);
bool sim_node_ready(const sim_node *n);

/* sim_merge_io.c */
merge_io sim_merge_io(sim_node *n);
/* Ends what store_begin began: a commit, or an abort that hands `e` on. */
err_t sim_in_group(sim_node *n, err_t e);

/* sim_merge.c */
void sim_merge_genesis(sim_world *w, int i);
bool sim_merge_emit(sim_world *w, int i, const sim_form *forms, uint32_t n);
bool sim_merge_ingest(sim_world *w, int i, bytes run, member_no peer, uint32_t tag);
bool sim_merge_add(sim_world *w, int i, const member_add_request *in, member_no *number);
bool sim_merge_remove(sim_world *w, int i, member_no number);
bool sim_merge_readd(sim_world *w, int i, member_no number);
/* The heir of that paper replaces the founder by `successor`, held at node i; `next` is the next heir. */
bool sim_merge_replace(sim_world *w, int i, const sim_paper *paper, const crypto_signer *successor,
                       const member_key *next);

void sim_merge_commit(sim_world *w, int i);
void sim_merge_turn(sim_world *w, int i);
void sim_flights_drop(sim_node *n);

/* sim_gossip.c */
void sim_gossip_pump(sim_world *w, int i);
void sim_gossip_do(sim_world *w, sim_task *t); /* may take the task back */
void sim_gossip_news(sim_world *w, int i);

/* sim_view.c */
void sim_view_init(sim_view *v);
void sim_view_release(sim_view *v);
bool sim_view_advance(sim_world *w, int i);
/* Folds a stream of a node as it is held now. `each` may be NULL; the state is valid in it only. */
typedef void sim_fold_fn(sim_world *w, int i, uint32_t stream, const record_state *s,
                         const refs_event *events, void *arg);
bool sim_view_fold(sim_world *w, int i, uint32_t stream, sim_fold_fn *each, void *arg);
void sim_view_check(sim_world *w, int i);

/* sim_write.c */
void sim_open_form(sim_world *w, int i);
void sim_send_form(sim_world *w, int i, uint32_t slot);

/* sim_heir.c */
/* A new heir's key on paper. */
sim_paper *sim_heir_paper(sim_world *w);
/* Somebody who has one uses it on some member's machine. */
void sim_heir_act(sim_world *w);
/* The lowest node that takes itself for a successor of the founder, replaced unheard or not; 0 if none does. */
int sim_heir_founder(const sim_world *w);
/* One of them of whom nobody has heard that he was replaced; if there is none, as above. */
int sim_heir_last(const sim_world *w);
/* A successor's key held at `n` might write some of these: nothing else may be under way then, as in the service. */
bool sim_heir_writes(const sim_node *n, const sim_form *forms, uint32_t count);
/* Node i is given the heirs' chains as they lie at the founder's node, on a stick: he who was shut out before he became
 * the founder is let in by nobody who has not heard of it. */
void sim_heir_stick(sim_world *w, int founder, int i);
/* `at` takes `who` for a member of now, or for a founder. */
bool sim_belongs(const sim_node *at, const sim_node *who);

/* sim_liar.c */
void sim_liar_act(sim_world *w);
/* The same run without some of its tails; false when it has none to lose. */
bool sim_liar_strip(sim_world *w, bytes encoded, buf *out);

/* sim_oracle.c */
uint32_t sim_event_find(const sim_world *w, const event_id *id);
/* Adds an event unless it is known; SIM_NONE when the room is full. */
uint32_t sim_event_add(sim_world *w, feed_id feed, uint64_t seq, const event_id *id,
                       const event_id *prev, const member_key *author, bool honest, bytes body);
uint32_t sim_stream_of(sim_world *w, bytes category, bytes name);
void sim_forkable(sim_world *w, member_no number, uint16_t incarnation);
bool sim_is_forkable(const sim_world *w, feed_id feed);
bool sim_is_ancestor(const sim_world *w, uint32_t older, uint32_t newer); /* or the same */
/* What the rules say that each event held counts as. `held` and `counts` are by event. */
void sim_oracle_counts(const sim_world *w, const bool *held, bool *counts);
/* Which events (held and counting) the references of `e` name; returns how many. */
uint32_t sim_oracle_targets(const sim_world *w, uint32_t e, const bool *counts, uint32_t *out);
uint32_t sim_oracle_things(const sim_world *w, uint32_t e, sim_thing *out, uint32_t max);
/* Is it hidden by an erasure that counts? */
bool sim_oracle_erased(const sim_world *w, uint32_t e, const bool *counts);
/* Of those things the ones that it writes at the node that is judged: fewer once it is erased or lacks its tail. */
uint32_t sim_oracle_writes(const sim_world *w, uint32_t e, const bool *counts, sim_thing *out,
                           uint32_t max);
/* At the node that is judged: the tail is missing, and no erasure names it. */
bool sim_lacks_tail(const sim_world *w, uint32_t e);
/* Is this write of a held and counting event live? */
bool sim_oracle_live(const sim_world *w, uint32_t e, const sim_thing *thing, const bool *counts);
/* What a node holds, read from its store; false while it cannot. `flags`, if not NULL, by event. */
bool sim_held(sim_world *w, int i, bool *held, uint8_t *flags);

/* sim_damage.c */
void sim_damage_act(sim_world *w);
/* Tells merge what its store has found damaged. */
void sim_damage_tell(sim_world *w, int i);
/* Forgets what is mended; fails when a damaged row is served or nobody says that it is damaged. */
void sim_check_damage(sim_world *w, int i);
/* Fails when an honest member still has a damaged row. */
void sim_check_mended(sim_world *w);
/* Whether the error is no surprise at a node with damaged rows. */
bool sim_is_damage(const sim_node *n, err_t e);

/* sim_check.c */
void sim_check_node(sim_world *w, int i);
void sim_check_acked(sim_world *w, int i);
void sim_check_stamp(sim_world *w, int i, const event_view *v);
/* The references of a written event are those of the screen. */
void sim_check_meant(sim_world *w, uint32_t event, const sim_form *form);
bool sim_converged(sim_world *w);
void sim_say_state(sim_world *w); /* for --verbose, when they do not */
void sim_check_end(sim_world *w);

/* sim_chaos.c */
sim_options sim_options_of(uint64_t seed);
/* Everything at once: rare things meet sooner. */
sim_options sim_options_hard(uint64_t seed);
void sim_options_print(const sim_options *o);
/* One history from its seed; true when every invariant held. */
bool sim_history(sim_world *w);

#endif
