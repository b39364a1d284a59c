/* Invitations that this node has made, and who came by them. Time and randomness are given; nothing is sent. */
#ifndef CAIRN_INVITE_CORE_H
#define CAIRN_INVITE_CORE_H

#include "base/buf.h"
#include "gossip/join_core.h"

/* Somebody who asked to join, or did. */
typedef enum { JOIN_WAITING, JOIN_ACCEPTED, JOIN_REFUSED, JOIN_JOINED } join_state;
typedef struct {
    member_key key;
    transport_key transport;
    char name[NAME_MAX_BYTES + 1]; /* as enrolled; while waiting the machine's own */
    char code[JOIN_CODE_BYTES];
    uint8_t invite[JOIN_INVITE_BYTES];
    member_no number; /* 0 until joined */
    uint64_t at_ms;
    join_state state;
} join_row;

typedef struct {
    uint8_t secret[TOKEN_SECRET_BYTES], id[JOIN_INVITE_BYTES];
    char name[NAME_MAX_BYTES + 1];
    uint8_t role;
    uint32_t uses, used;
    uint64_t expires_ms;
    bool confirm;
} invite_row;

#define JOINS_MAX 256u

typedef struct {
    invite_row invites[INVITES_MAX];
    join_row joins[JOINS_MAX]; /* newest last; the oldest make room */
    size_t n_invites, n_joins;
} invite_book;

/* Adds an invitation; its id is worked out. Invitations that expired more than a week ago make room; ERR_TOO_LARGE
 * when INVITES_MAX are alive. */
err_t invite_add(invite_book *b, const invite_row *row, uint64_t now_ms) CAIRN_CHECK;
invite_row *invite_find(invite_book *b, bytes id);
join_row *invite_joiner(invite_book *b, const member_key *key);
join_row *invite_by_code(invite_book *b, bytes code);

/* Judges what a joiner sent. ERR_OK: enrol *row under row->name. ERR_EXISTS: it has joined already, row->number says
 * as whom. ERR_BUSY: somebody has to confirm first. ERR_NOT_FOUND (no such invitation), ERR_EXPIRED, ERR_USED,
 * ERR_CHECKSUM (sealed with another secret), ERR_BAD_SEAL (does not own the key), ERR_FORBIDDEN (turned away).
 * `why` gets a sentence for the joiner. `inviter` is this node's transport key. */
err_t invite_judge(invite_book *b, const dataset_id *dataset, const transport_key *inviter,
                   const join_request *req, uint64_t now_ms, join_row **row, buf *why) CAIRN_CHECK;
/* The joiner is enrolled: counts the use. */
void invite_joined(invite_book *b, join_row *row, member_no number, uint64_t now_ms);

/* msgpack, appended to `out`; read back by invite_decode. */
err_t invite_encode(const invite_book *b, buf *out) CAIRN_CHECK;
void invite_decode(mp_reader *r, invite_book *b);

#endif
