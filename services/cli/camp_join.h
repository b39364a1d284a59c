/* cairn join where the processes run in containers of their own: keys and proof come from them through the run directory
 * (shell/camp.h), and what the lobby answered goes back the same way. */
#ifndef CAIRN_CAMP_JOIN_H
#define CAIRN_CAMP_JOIN_H

#include "cli/node.h"

/* Asks this camp for its keys and waits until they are there; hex without an end, as long as the keys. False (and said)
 * when they do not come. */
bool camp_join_keys(const node *n, const dataset_id *dataset, char transport_hex[65],
                    char key_hex[65], char proof_hex[129]);
/* Hands over the membership. False (and said) when that fails. */
bool camp_join_settle(const node *n, member_no number, bytes name, bytes genesis, bytes intros);

#endif
