/* A node of two cores, merge on a store in memory, for unit tests: what the services do around them, in order and at
 * once. Failing steps end the test. */
#ifndef CAIRN_MERGE_NODE_H
#define CAIRN_MERGE_NODE_H

#include "merge/merge_core.h"
#include "store/store_core.h"
#include "store/store_mem.h"

typedef struct {
    store_core *store;
    store_kv *kv;
    merge_core *core;
    merge_batch batch;
    merge_identity identity;
    uint64_t now_ms;
} merge_node;

/* Member keys and genesis are derived from numbers: member n has seed {n, 0 …}. */
void merge_node_key(member_no n, crypto_signer *out);
/* The founder's node makes genesis; others are given it. */
void merge_node_init(merge_node *n, member_no self, const merge_node *founder);
/* A second node on a copy of the store and the same key; `noticed`: as the store notices a restored backup. */
void merge_node_clone(merge_node *n, const merge_node *of, bool noticed);
/* Throws the cores away and reads everything from the store. */
void merge_node_restart(merge_node *n);
void merge_node_release(merge_node *n);

/* Writes one event; returns its reference. */
ref_row merge_node_emit(merge_node *n, feed_class c, const char *stream, const char *kind,
                        const ref_row *replaces, size_t n_replaces);
err_t merge_node_try_emit(merge_node *n, const char *category, const char *stream,
                          const char *kind);
/* Writes an event.erase in form/`stream` that names (feed, seq, id); *out, if not NULL, is its own reference. */
err_t merge_node_erase(merge_node *n, const char *stream, feed_id feed, uint64_t seq,
                       const event_id *id, ref_row *out);
/* The id of an event that is held. */
event_id merge_node_id(merge_node *n, const ref_row *r);
/* Its ROW_HIDDEN and ROW_ERASED; UINT_MAX when it is not held. */
unsigned merge_node_hidden(merge_node *n, const ref_row *r);
void merge_node_add(merge_node *n, member_no number, roster_role role);
void merge_node_remove(merge_node *n, member_no number);
err_t merge_node_radio(merge_node *n, bool rotate, uint8_t *epoch, uint16_t *boxes);
err_t merge_node_readd(merge_node *n, member_no number);
/* The number of genesis' heir's key. */
#define MERGE_NODE_HEIR 999u
/* What a replacement by that heir would keep, at most up to limit.seq of limit.feed (0: all). */
void merge_node_heads(merge_node *n, member_no heir, heir_limit_row limit, heir_head_row rows[16],
                      heir_reply *out);
/* The founder is replaced by a key held at `n`; all that merge_node_heads shows is kept. Keys by numbers. */
err_t merge_node_replace(merge_node *n, member_no heir, member_no successor, member_no next_heir,
                         heir_limit_row limit);
/* Offers a run; what became of it in *out. */
void merge_node_ingest(merge_node *n, bytes run, ingest_reply *out);
/* The run of `feed` after `after_seq` that leads to the tip (any tip when it has one). NULL-length when there is none. */
void merge_node_run(merge_node *n, feed_id feed, uint64_t after_seq, const event_id *tip,
                    uint64_t tip_seq, buf *out);
/* Everything `from` holds goes to `to`, the founder's feed first; runs that wait are tried again. */
void merge_node_pull(merge_node *to, merge_node *from);
event_id merge_node_digest(merge_node *n);
uint64_t merge_node_events(merge_node *n);

#endif
