/* The files below HOME/merge that say who this node is: member.key (seed and checksum), identity (number and name),
 * genesis (a run with the founder's first event); founder.key on a machine where the heir key was used (seed and checksum
 * of the founder's key in force, if any, then of the newest). */
#ifndef CAIRN_MERGE_IDENTITY_H
#define CAIRN_MERGE_IDENTITY_H

#include "merge/merge_core.h"
#include "shell/home.h"

/* ERR_NOT_FOUND: nothing is there yet; ERR_CHECKSUM: the key file is damaged and must not be used. `why` gets words.
 * Release with merge_identity_release. */
err_t merge_identity_load(const cairn_home *home, merge_identity *out, buf *why) CAIRN_CHECK;
void merge_identity_release(merge_identity *id);

/* Makes member.key unless it is there; its public half into `key`. */
err_t merge_identity_make_key(const cairn_home *home, member_key *key, buf *why) CAIRN_CHECK;
/* Makes a successor's key and writes it to founder.key, behind the one that is in force now (NULL: none). It means nothing
 * until a founder.replace names it. */
err_t merge_identity_make_founder(const cairn_home *home, const crypto_signer *in_force,
                                  crypto_signer *out, buf *why) CAIRN_CHECK;
/* Founds a dataset: key, genesis, identity and, last, the home's file with its id. The heir's seed is the caller's, made
 * at random; it is kept nowhere here. ERR_EXISTS when there is a dataset already. */
err_t merge_identity_found(const cairn_home *home, const char *title, const char *name,
                           const transport_key *transport, dataset_id *dataset,
                           const uint8_t heir_seed[MEMBER_SEED_BYTES], buf *why) CAIRN_CHECK;
/* Keeps what a join brought: number, name, genesis run; checks that genesis makes that dataset. */
err_t merge_identity_join(const cairn_home *home, const dataset_id *dataset, member_no number,
                          const char *name, bytes genesis_run, buf *why) CAIRN_CHECK;

/* Ed25519 by the member key over "cairn/1 join", dataset id, transport key: what join_ask carries. */
err_t merge_identity_sign_join(const cairn_home *home, const dataset_id *dataset,
                               const transport_key *transport, seal_sig *proof,
                               buf *why) CAIRN_CHECK;

#endif
