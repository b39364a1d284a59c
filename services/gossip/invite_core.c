#include "gossip/invite_core.h"

#define KEEP_EXPIRED_MS (7ull * 86400 * 1000)

/* ---- the tables ---- */

static void prune(invite_book *b, uint64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n_invites; i++)
        if (b->invites[i].expires_ms + KEEP_EXPIRED_MS > now_ms)
            b->invites[n++] = b->invites[i];
    b->n_invites = n;
}

err_t invite_add(invite_book *b, const invite_row *row, uint64_t now_ms)
{
    prune(b, now_ms);
    if (b->n_invites == INVITES_MAX)
        return ERR_TOO_LARGE;
    invite_row *to = &b->invites[b->n_invites++];
    *to = *row;
    join_invite_id(to->id, to->secret);
    return ERR_OK;
}

invite_row *invite_find(invite_book *b, bytes id)
{
    for (size_t i = 0; i < b->n_invites; i++)
        if (bytes_eq(id, bytes_of(b->invites[i].id, JOIN_INVITE_BYTES)))
            return &b->invites[i];
    return NULL;
}

join_row *invite_joiner(invite_book *b, const member_key *key)
{
    for (size_t i = 0; i < b->n_joins; i++)
        if (memcmp(b->joins[i].key.b, key->b, sizeof key->b) == 0)
            return &b->joins[i];
    return NULL;
}

join_row *invite_by_code(invite_book *b, bytes code)
{
    for (size_t i = b->n_joins; i-- > 0;)
        if (bytes_is(code, b->joins[i].code))
            return &b->joins[i];
    return NULL;
}

static join_row *add_joiner(invite_book *b, const join_row *row)
{
    if (b->n_joins == JOINS_MAX) {
        memmove(b->joins, b->joins + 1, (JOINS_MAX - 1) * sizeof b->joins[0]);
        b->n_joins--;
    }
    b->joins[b->n_joins] = *row;
    return &b->joins[b->n_joins++];
}

/* ---- a joiner asks ---- */

static err_t say(buf *why, err_t e, const char *words)
{
    buf_add_str(why, words);
    return e;
}

static void put_text(char *out, size_t room, bytes text)
{
    size_t n = text.len < room - 1 ? text.len : room - 1;
    while (n > 0 && !utf8_valid(bytes_of(text.p, n)))
        n--;
    if (n > 0)
        memcpy(out, text.p, n);
    out[n] = '\0';
}

static bool owns_key(const dataset_id *dataset, const join_ask *ask)
{
    uint8_t message[JOIN_PROOF_MAX];
    size_t n = join_proof_message(message, dataset, &ask->transport);
    return crypto_verify_message(&ask->proof, &ask->key, bytes_of(message, n)) == ERR_OK;
}

/* Of several uses each gets the name with a number. */
static void name_joiner(join_row *row, const invite_row *invite)
{
    put_text(row->name, sizeof row->name, bytes_str(invite->name));
    if (invite->uses < 2)
        return;
    char digits[8] = "";
    size_t n = 0, len = strlen(row->name);
    for (uint32_t v = invite->used + 1; v > 0; v /= 10)
        digits[n++] = (char)('0' + v % 10);
    if (len + n + 1 > NAME_MAX_BYTES)
        put_text(row->name, NAME_MAX_BYTES - n, bytes_str(invite->name));
    len = strlen(row->name);
    row->name[len++] = '-';
    while (n > 0)
        row->name[len++] = digits[--n];
    row->name[len] = '\0';
}

static err_t judge_waiting(join_row *row, const invite_row *invite, buf *why)
{
    if (row->state == JOIN_REFUSED)
        return say(why, ERR_FORBIDDEN, "the inviting node turned this machine away");
    if (invite->confirm && row->state == JOIN_WAITING) {
        buf_addf(why, "waiting until somebody at the inviting node confirms the code %s",
                 row->code);
        return ERR_BUSY;
    }
    name_joiner(row, invite);
    return ERR_OK;
}

static err_t judge_ask(invite_book *b, const dataset_id *dataset, const transport_key *inviter,
                       const invite_row *invite, const join_ask *ask, uint64_t now_ms,
                       join_row **out, buf *why)
{
    join_row *row = invite_joiner(b, &ask->key);
    if (!owns_key(dataset, ask))
        return say(why, ERR_BAD_SEAL, "the joiner's signature does not match its key");
    if (row != NULL && row->state == JOIN_JOINED) {
        *out = row;
        return ERR_EXISTS;
    }
    if (now_ms >= invite->expires_ms)
        return say(why, ERR_EXPIRED, "this token has expired: ask for a new one (cairn invite)");
    if (invite->used >= invite->uses)
        return say(why, ERR_USED,
                   "this token has been used already: ask for a new one (cairn invite)");
    if (row == NULL) {
        join_row fresh = {.key = ask->key, .at_ms = now_ms, .state = JOIN_WAITING};
        put_text(fresh.name, sizeof fresh.name, ask->node);
        row = add_joiner(b, &fresh);
    }
    row->transport = ask->transport;
    memcpy(row->invite, invite->id, sizeof row->invite);
    gossip_confirm_code(row->code, invite->secret, &ask->key, inviter);
    *out = row;
    return judge_waiting(row, invite, why);
}

err_t invite_judge(invite_book *b, const dataset_id *dataset, const transport_key *inviter,
                   const join_request *req, uint64_t now_ms, join_row **row, buf *why)
{
    join_ask ask;
    buf room;
    *row = NULL;
    const invite_row *invite = invite_find(b, req->invite);
    if (invite == NULL)
        return say(why, ERR_NOT_FOUND,
                   "this node knows no such token: it was made on another node, or long ago");
    buf_init(&room, MESSAGE_MAX_BYTES);
    err_t e = join_open(invite->secret, dataset, &join_ask_desc, req->sealed, &room, &ask);
    if (e != ERR_OK)
        e = say(why, ERR_CHECKSUM, "the request was not made with this token");
    else
        e = judge_ask(b, dataset, inviter, invite, &ask, now_ms, row, why);
    buf_release(&room);
    return e;
}

void invite_joined(invite_book *b, join_row *row, member_no number, uint64_t now_ms)
{
    invite_row *invite = invite_find(b, bytes_of(row->invite, sizeof row->invite));
    if (invite != NULL && row->state != JOIN_JOINED)
        invite->used++;
    row->state = JOIN_JOINED;
    row->number = number;
    row->at_ms = now_ms;
}

/* ---- as bytes ---- */

static void put_invite(buf *out, const invite_row *i)
{
    mp_put_array(out, 7);
    mp_put_bin(out, bytes_of(i->secret, sizeof i->secret));
    mp_put_cstr(out, i->name);
    mp_put_uint(out, i->role);
    mp_put_uint(out, i->uses);
    mp_put_uint(out, i->used);
    mp_put_uint(out, i->expires_ms);
    mp_put_bool(out, i->confirm);
}

static void put_joiner(buf *out, const join_row *j)
{
    mp_put_array(out, 8);
    mp_put_bin(out, bytes_of(j->key.b, sizeof j->key.b));
    mp_put_bin(out, bytes_of(j->transport.b, sizeof j->transport.b));
    mp_put_cstr(out, j->name);
    mp_put_cstr(out, j->code);
    mp_put_bin(out, bytes_of(j->invite, sizeof j->invite));
    mp_put_uint(out, j->number);
    mp_put_uint(out, j->at_ms);
    mp_put_uint(out, j->state);
}

err_t invite_encode(const invite_book *b, buf *out)
{
    mp_put_array(out, (uint32_t)b->n_invites);
    for (size_t i = 0; i < b->n_invites; i++)
        put_invite(out, &b->invites[i]);
    mp_put_array(out, (uint32_t)b->n_joins);
    for (size_t i = 0; i < b->n_joins; i++)
        put_joiner(out, &b->joins[i]);
    return out->err;
}

static uint64_t uint_below(mp_reader *r, uint64_t limit)
{
    uint64_t v = mp_uint(r);
    if (v >= limit)
        mp_fail(r, ERR_OUT_OF_RANGE);
    return v;
}

static void array_of(mp_reader *r, uint32_t n)
{
    if (mp_array(r) != n)
        mp_fail(r, ERR_MALFORMED);
}

static void take_invite(mp_reader *r, invite_row *i)
{
    *i = (invite_row){0};
    array_of(r, 7);
    mp_fixed(r, i->secret, sizeof i->secret);
    put_text(i->name, sizeof i->name, mp_str(r));
    i->role = (uint8_t)uint_below(r, 4);
    i->uses = (uint32_t)uint_below(r, UINT32_MAX);
    i->used = (uint32_t)uint_below(r, UINT32_MAX);
    i->expires_ms = mp_uint(r);
    i->confirm = mp_bool(r);
    join_invite_id(i->id, i->secret);
}

static void take_joiner(mp_reader *r, join_row *j)
{
    *j = (join_row){0};
    array_of(r, 8);
    mp_fixed(r, j->key.b, sizeof j->key.b);
    mp_fixed(r, j->transport.b, sizeof j->transport.b);
    put_text(j->name, sizeof j->name, mp_str(r));
    put_text(j->code, sizeof j->code, mp_str(r));
    mp_fixed(r, j->invite, sizeof j->invite);
    j->number = (member_no)uint_below(r, 65536);
    j->at_ms = mp_uint(r);
    j->state = (join_state)uint_below(r, JOIN_JOINED + 1);
}

void invite_decode(mp_reader *r, invite_book *b)
{
    uint32_t n = mp_array(r);
    if (n > INVITES_MAX)
        mp_fail(r, ERR_TOO_LARGE);
    for (uint32_t i = 0; i < n && r->err == ERR_OK; i++)
        take_invite(r, &b->invites[b->n_invites++]);
    n = mp_array(r);
    if (n > JOINS_MAX)
        mp_fail(r, ERR_TOO_LARGE);
    for (uint32_t i = 0; i < n && r->err == ERR_OK; i++)
        take_joiner(r, &b->joins[b->n_joins++]);
    if (r->err != ERR_OK)
        *b = (invite_book){0};
}
