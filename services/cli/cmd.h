/* The commands. Each takes the parsed command line and returns the exit code: 0 done, 1 a negative answer or failure,
 * 2 wrong usage. Data goes to standard output, talk to standard error. */
#ifndef CAIRN_CMD_H
#define CAIRN_CMD_H

#include "cli/cmdline.h"
#include "cli/node.h"

int cmd_init(const cmdline *c);
int cmd_up(const cmdline *c);
int cmd_down(const cmdline *c);
int cmd_invite(const cmdline *c);
int cmd_join(const cmdline *c);
int cmd_member_ls(const cmdline *c);
int cmd_member_remove(const cmdline *c);
int cmd_member_readd(const cmdline *c);
int cmd_heir_take(const cmdline *c);
int cmd_heir_check(const cmdline *c);
int cmd_heir_use(const cmdline *c);
int cmd_create(const cmdline *c);
int cmd_set(const cmdline *c);
int cmd_note(const cmdline *c);
int cmd_delete(const cmdline *c);
int cmd_erase(const cmdline *c);
int cmd_emit(const cmdline *c);
int cmd_ls(const cmdline *c);
int cmd_show(const cmdline *c);
int cmd_conflicts(const cmdline *c);
int cmd_log(const cmdline *c);
int cmd_status(const cmdline *c);
int cmd_import(const cmdline *c);
int cmd_export(const cmdline *c);
int cmd_verify(const cmdline *c);
int cmd_bundle_write(const cmdline *c);
int cmd_bundle_read(const cmdline *c);
int cmd_projection_ls(const cmdline *c);
int cmd_projection_rebuild(const cmdline *c);
int cmd_doctor(const cmdline *c);
int cmd_config_check(const cmdline *c);
int cmd_config_show(const cmdline *c);
int cmd_config_example(const cmdline *c);
int cmd_demo(const cmdline *c);
int cmd_bench(const cmdline *c);
int cmd_radio_probe(const cmdline *c);
int cmd_health(const cmdline *c);
int cmd_radio_airtime(const cmdline *c);
int cmd_radio_log(const cmdline *c);
int cmd_radio_key(const cmdline *c);

/* Shared by commands. */
/* Waits until all processes of a node say that they are ready; else false with words in `state`. `gone` (may be NULL)
 * ends the wait early. */
bool cmd_wait_ready(node *n, uint32_t wait_ms, int (*gone)(void *ctx), void *ctx, buf *state);
/* The row that a reading command has the view wait for: the newest of the log. 0, said on standard error, when the view
 * cannot be written for now (disk full …): what it has is shown then. 0 also behind a dead store. */
uint64_t cmd_view_head(node *n);
/* Is what `cairn up` was told of a radio, or the configuration says, something that may be started? -1: yes, or there is
 * none; else it has said what is wrong, and the exit code. */
int cmd_radio_check(const cmdline *c, node *n);
/* Has gossip make its key if need be; the public half in hex. */
bool cmd_make_transport_key(const node *n, char hex[65]);

#endif
