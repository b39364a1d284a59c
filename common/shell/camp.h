/* A camp of containers: every process of a node has a volume of its own, and the run directory is all that they share
 * (config camp.containers). There they leave each other small public files, by which a first start gets by without
 * anybody who sees all volumes:
 *
 *   transport   gossip: the public half of the transport key, hex
 *   ask         gossip, to join: the dataset id of the token, hex
 *   proof       merge: member key and the proof that the lobby asks for, hex
 *   joined      gossip: what the inviting node answered (msgpack: number, name, genesis)
 *   dataset     merge: the id, hex; with it everybody goes on, and keeps a copy in the own volume
 *
 * Nothing secret lies there. The directory may be empty at any start: the copies in the volumes make it anew. */
#ifndef CAIRN_CAMP_H
#define CAIRN_CAMP_H

#include "shell/home.h"

/* Atomic, not durable. ERR_IO and the like. */
err_t camp_put(const cairn_home *h, const char *name, bytes content) CAIRN_CHECK;
/* Appends. ERR_NOT_FOUND while it is not there. */
err_t camp_get(const cairn_home *h, const char *name, buf *out) CAIRN_CHECK;
/* The same as hex. ERR_INVALID when it is not `len` bytes of it. */
err_t camp_put_hex(const cairn_home *h, const char *name, const void *p, size_t len) CAIRN_CHECK;
err_t camp_get_hex(const cairn_home *h, const char *name, void *out, size_t len) CAIRN_CHECK;

#endif
