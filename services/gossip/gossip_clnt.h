/* What others on this machine ask gossip: one function per request; proto/gossip.def says what they mean. Sends as
 * clnt_send does. */
#ifndef CAIRN_GOSSIP_CLNT_H
#define CAIRN_GOSSIP_CLNT_H

#include "shell/clnt.h"

err_t gossip_clnt_peers(clnt *c, clnt_done *done, void *ctx) CAIRN_CHECK;
err_t gossip_clnt_peer_add(clnt *c, const peer_add_request *req, clnt_done *done,
                           void *ctx) CAIRN_CHECK;
err_t gossip_clnt_invite(clnt *c, const invite_request *req, clnt_done *done,
                         void *ctx) CAIRN_CHECK;
/* Waits req->wait_ms longer than the others. */
err_t gossip_clnt_pending(clnt *c, const pending_request *req, clnt_done *done,
                          void *ctx) CAIRN_CHECK;
err_t gossip_clnt_confirm(clnt *c, const confirm_request *req, clnt_done *done,
                          void *ctx) CAIRN_CHECK;

#endif
