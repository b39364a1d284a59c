#include "gossip/join_core.h"

#define LOBBY_DOMAIN  "cairn/1 lobby"
#define INVITE_DOMAIN "cairn/1 invite"
#define CODE_DOMAIN   "cairn/1 confirm"
#define PROOF_DOMAIN  "cairn/1 join"
#define SEAL_DOMAIN   "cairn/1 join seal"

static void hash_parts(uint8_t out[CRYPTO_HASH_BYTES], const char *domain, bytes a, bytes b,
                       bytes c)
{
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, domain, strlen(domain));
    crypto_hash_add(&h, a.p, a.len);
    crypto_hash_add(&h, b.p, b.len);
    crypto_hash_add(&h, c.p, c.len);
    crypto_hash_end(&h, out);
}

static const bytes nothing = {(const uint8_t *)"", 0};

void join_lobby_secret(uint8_t out[TRANSPORT_KEY_BYTES], const dataset_id *dataset)
{
    hash_parts(out, LOBBY_DOMAIN, bytes_of(dataset->b, sizeof dataset->b), nothing, nothing);
}

void join_invite_id(uint8_t out[JOIN_INVITE_BYTES], const uint8_t secret[TOKEN_SECRET_BYTES])
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    hash_parts(hash, INVITE_DOMAIN, bytes_of(secret, TOKEN_SECRET_BYTES), nothing, nothing);
    memcpy(out, hash, JOIN_INVITE_BYTES);
}

void gossip_confirm_code(char out[JOIN_CODE_BYTES], const uint8_t secret[TOKEN_SECRET_BYTES],
                         const member_key *joiner, const transport_key *inviter)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    hash_parts(hash, CODE_DOMAIN, bytes_of(secret, TOKEN_SECRET_BYTES),
               bytes_of(joiner->b, sizeof joiner->b), bytes_of(inviter->b, sizeof inviter->b));
    for (size_t i = 0; i + 1 < JOIN_CODE_BYTES; i++)
        out[i] = BASE32_ALPHABET[hash[i] & 31];
    out[JOIN_CODE_BYTES - 1] = '\0';
}

size_t join_proof_message(uint8_t out[JOIN_PROOF_MAX], const dataset_id *dataset,
                          const transport_key *transport)
{
    size_t n = strlen(PROOF_DOMAIN);
    memcpy(out, PROOF_DOMAIN, n);
    memcpy(out + n, dataset->b, sizeof dataset->b);
    memcpy(out + n + sizeof dataset->b, transport->b, sizeof transport->b);
    return n + sizeof dataset->b + sizeof transport->b;
}

/* ---- sealing ---- */

static void seal_key(uint8_t out[CRYPTO_KEY_BYTES], const uint8_t secret[TOKEN_SECRET_BYTES],
                     const dataset_id *dataset)
{
    hash_parts(out, SEAL_DOMAIN, bytes_of(secret, TOKEN_SECRET_BYTES),
               bytes_of(dataset->b, sizeof dataset->b), nothing);
}

/* Binds the kind of message, so that an ask cannot be played back as an answer. */
static bytes associated(const msg_desc *desc)
{
    return bytes_str(desc->name);
}

err_t join_seal(const uint8_t secret[TOKEN_SECRET_BYTES], const dataset_id *dataset,
                const uint8_t nonce[CRYPTO_NONCE_BYTES], const msg_desc *desc, const void *msg,
                buf *out)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    buf plain;
    buf_init(&plain, MESSAGE_MAX_BYTES);
    err_t e = msg_encode(desc, msg, &plain);
    uint8_t *at = NULL;
    if (e == ERR_OK && buf_add(out, nonce, CRYPTO_NONCE_BYTES))
        at = buf_reserve(out, plain.len + CRYPTO_MAC_BYTES);
    if (at != NULL) {
        seal_key(key, secret, dataset);
        crypto_seal(at, key, nonce, associated(desc), buf_view(&plain));
        crypto_wipe(key, sizeof key);
        out->len += plain.len + CRYPTO_MAC_BYTES;
    }
    buf_release(&plain);
    return e != ERR_OK ? e : out->err;
}

err_t join_open(const uint8_t secret[TOKEN_SECRET_BYTES], const dataset_id *dataset,
                const msg_desc *desc, bytes sealed, buf *room, void *msg)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    if (sealed.len < CRYPTO_NONCE_BYTES + CRYPTO_MAC_BYTES)
        return ERR_TRUNCATED;
    bytes box = bytes_of(sealed.p + CRYPTO_NONCE_BYTES, sealed.len - CRYPTO_NONCE_BYTES);
    buf_clear(room);
    uint8_t *at = buf_reserve(room, box.len);
    if (at == NULL)
        return room->err;
    seal_key(key, secret, dataset);
    err_t e = crypto_open(at, key, sealed.p, associated(desc), box);
    crypto_wipe(key, sizeof key);
    TRY(e);
    room->len = box.len - CRYPTO_MAC_BYTES;
    return msg_decode(desc, buf_view(room), msg, NULL);
}

/* ---- introductions ---- */

err_t join_intros_encode(msg_list list, member_no via, bytes via_address, buf *out)
{
    intro_row row;
    uint32_t n = 0;
    for (msg_list count = list;
         n < JOIN_INTROS_MAX && msg_list_next(&intro_row_desc, &count, &row);)
        n++;
    mp_put_array(out, n);
    for (uint32_t i = 0; i < n && msg_list_next(&intro_row_desc, &list, &row); i++) {
        mp_put_array(out, 3);
        mp_put_uint(out, row.member);
        mp_put_bin(out, bytes_of(row.transport.b, sizeof row.transport.b));
        mp_put_str(out, row.member == via ? via_address : row.address);
    }
    return out->err;
}

err_t join_intros_decode(bytes in, intro_row out[JOIN_INTROS_MAX], size_t *n)
{
    mp_reader r = mp_reader_of(in);
    uint32_t count = mp_array(&r);
    *n = 0;
    if (count > JOIN_INTROS_MAX)
        return ERR_TOO_LARGE;
    for (uint32_t i = 0; i < count && r.err == ERR_OK; i++) {
        intro_row row = {0};
        if (mp_array(&r) != 3)
            mp_fail(&r, ERR_MALFORMED);
        uint64_t member = mp_uint(&r);
        mp_fixed(&r, row.transport.b, sizeof row.transport.b);
        row.address = mp_str(&r);
        if (member == 0 || member > UINT16_MAX || row.address.len > ADDRESS_MAX_BYTES)
            mp_fail(&r, ERR_OUT_OF_RANGE);
        row.member = (member_no)member;
        out[i] = row;
    }
    TRY(mp_done(&r));
    *n = count;
    return ERR_OK;
}
