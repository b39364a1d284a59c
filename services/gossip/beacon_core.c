#include "gossip/beacon_core.h"

#include "pure/crypto.h"

#define MAGIC      "CRNB"
#define VERSION    1u
#define HASH_BYTES 8u
#define AT_HASH    5u
#define AT_MEMBER  13u
#define AT_KEY     15u
#define AT_PORT    47u
#define AT_NONCE   49u
#define DOMAIN     "cairn/1 beacon"

static void dataset_hash(uint8_t out[CRYPTO_HASH_BYTES], const dataset_id *dataset)
{
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, DOMAIN, strlen(DOMAIN));
    crypto_hash_add(&h, dataset->b, sizeof dataset->b);
    crypto_hash_end(&h, out);
}

void beacon_encode(uint8_t out[BEACON_BYTES], const beacon *b, const dataset_id *dataset)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    dataset_hash(hash, dataset);
    memset(out, 0, BEACON_BYTES);
    memcpy(out, MAGIC, 4);
    out[4] = VERSION;
    memcpy(out + AT_HASH, hash, HASH_BYTES);
    put_u16be(out + AT_MEMBER, b->member);
    memcpy(out + AT_KEY, b->transport.b, sizeof b->transport.b);
    put_u16be(out + AT_PORT, b->port);
    put_u64be(out + AT_NONCE, b->nonce);
}

err_t beacon_decode(bytes in, const dataset_id *dataset, beacon *out)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    *out = (beacon){0};
    if (in.len < 5 || memcmp(in.p, MAGIC, 4) != 0)
        return ERR_MALFORMED;
    if (in.p[4] != VERSION)
        return ERR_VERSION;
    if (in.len < BEACON_BYTES)
        return ERR_MALFORMED;
    dataset_hash(hash, dataset);
    if (memcmp(in.p + AT_HASH, hash, HASH_BYTES) != 0)
        return ERR_DATASET;
    out->member = get_u16be(in.p + AT_MEMBER);
    memcpy(out->transport.b, in.p + AT_KEY, sizeof out->transport.b);
    out->port = get_u16be(in.p + AT_PORT);
    out->nonce = get_u64be(in.p + AT_NONCE);
    return out->member != 0 && out->port != 0 ? ERR_OK : ERR_MALFORMED;
}
