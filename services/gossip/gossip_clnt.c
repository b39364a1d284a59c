#include "gossip/gossip_clnt.h"

#define WAIT_MS 10000u

err_t gossip_clnt_peers(clnt *c, clnt_done *done, void *ctx)
{
    return clnt_send(c, &peers_request_desc, &(peers_request){0}, WAIT_MS, done, ctx);
}

err_t gossip_clnt_peer_add(clnt *c, const peer_add_request *req, clnt_done *done, void *ctx)
{
    return clnt_send(c, &peer_add_request_desc, req, WAIT_MS, done, ctx);
}

err_t gossip_clnt_invite(clnt *c, const invite_request *req, clnt_done *done, void *ctx)
{
    return clnt_send(c, &invite_request_desc, req, WAIT_MS, done, ctx);
}

err_t gossip_clnt_pending(clnt *c, const pending_request *req, clnt_done *done, void *ctx)
{
    return clnt_send(c, &pending_request_desc, req, WAIT_MS + req->wait_ms, done, ctx);
}

err_t gossip_clnt_confirm(clnt *c, const confirm_request *req, clnt_done *done, void *ctx)
{
    return clnt_send(c, &confirm_request_desc, req, WAIT_MS, done, ctx);
}
