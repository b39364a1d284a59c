#include "pure/radio_frame.h"

#define VERSION   1u
#define OVERHEAD  (RADIO_HEADER_BYTES + RADIO_TAG_BYTES)
#define LABEL_MAX 32u

_Static_assert(OVERHEAD <= CRYPTO_NONCE_BYTES, "header and tag are the nonce");

static void derive(uint8_t out[CRYPTO_KEY_BYTES], const char *label, const dataset_id *dataset,
                   uint8_t epoch, const uint8_t key[CRYPTO_KEY_BYTES])
{
    uint8_t in[LABEL_MAX + sizeof dataset->b + 1];
    size_t n = strlen(label);
    memcpy(in, label, n);
    memcpy(in + n, dataset->b, sizeof dataset->b);
    in[n + sizeof dataset->b] = epoch;
    crypto_keyed_hash(out, CRYPTO_KEY_BYTES, key, bytes_of(in, n + sizeof dataset->b + 1));
}

/* The network is the dataset's, not the key's: a frame under a newer key can be told from a stranger's. */
static uint8_t network_of(const dataset_id *dataset)
{
    static const char label[] = "cairn/1 radio network";
    uint8_t hash[CRYPTO_HASH_BYTES];
    crypto_hasher h;
    crypto_hash_begin(&h);
    crypto_hash_add(&h, label, sizeof label - 1);
    crypto_hash_add(&h, dataset->b, sizeof dataset->b);
    crypto_hash_end(&h, hash);
    return hash[0];
}

void radio_keys_derive(radio_keys *out, const dataset_id *dataset, uint8_t epoch,
                       const uint8_t key[CRYPTO_KEY_BYTES])
{
    *out = (radio_keys){.network = network_of(dataset), .epoch = epoch};
    derive(out->tag_key, "cairn/1 radio tag", dataset, epoch, key);
    derive(out->cipher_key, "cairn/1 radio cipher", dataset, epoch, key);
}

static void put_header(uint8_t out[RADIO_HEADER_BYTES], const radio_keys *k, const radio_header *h)
{
    out[0] = (uint8_t)(VERSION << 4 | h->kind);
    out[1] = k->network;
    out[2] = k->epoch;
    put_u16be(out + 3, h->station);
    out[5] = h->bridge;
    put_u16be(out + 6, h->counter);
}

err_t radio_frame_peek(bytes frame, uint8_t network, radio_header *out)
{
    if (frame.len < OVERHEAD)
        return ERR_TRUNCATED;
    if (frame.len > RADIO_FRAME_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (frame.p[0] >> 4 != VERSION)
        return ERR_VERSION;
    if (frame.p[1] != network)
        return ERR_DATASET;
    *out = (radio_header){.kind = frame.p[0] & RADIO_KIND_MAX,
                          .epoch = frame.p[2],
                          .station = get_u16be(frame.p + 3),
                          .bridge = frame.p[5],
                          .counter = get_u16be(frame.p + 6)};
    return ERR_OK;
}

static void make_tag(uint8_t tag[CRYPTO_HASH_BYTES], const radio_keys *k,
                     const uint8_t header[RADIO_HEADER_BYTES], bytes plain)
{
    uint8_t in[RADIO_HEADER_BYTES + RADIO_PLAIN_MAX_BYTES];
    memcpy(in, header, RADIO_HEADER_BYTES);
    if (plain.len > 0)
        memcpy(in + RADIO_HEADER_BYTES, plain.p, plain.len);
    crypto_keyed_hash(tag, CRYPTO_HASH_BYTES, k->tag_key,
                      bytes_of(in, RADIO_HEADER_BYTES + plain.len));
    crypto_wipe(in, sizeof in);
}

/* `frame` begins with header and tag. */
static void cipher(uint8_t *out, const radio_keys *k, const uint8_t *frame, bytes in)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES] = {0};
    memcpy(nonce, frame, OVERHEAD);
    if (in.len > 0)
        crypto_cipher(out, k->cipher_key, nonce, in);
}

err_t radio_frame_seal(const radio_keys *k, const radio_header *h, bytes plain, uint8_t *frame,
                       size_t *len)
{
    uint8_t tag[CRYPTO_HASH_BYTES];
    if (plain.len > RADIO_PLAIN_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (h->kind > RADIO_KIND_MAX)
        return ERR_OUT_OF_RANGE;
    put_header(frame, k, h);
    make_tag(tag, k, frame, plain);
    memcpy(frame + RADIO_HEADER_BYTES, tag, RADIO_TAG_BYTES);
    cipher(frame + OVERHEAD, k, frame, plain);
    *len = OVERHEAD + plain.len;
    return ERR_OK;
}

err_t radio_frame_open(const radio_keys *k, bytes frame, radio_header *h, uint8_t *plain,
                       size_t *len)
{
    uint8_t tag[CRYPTO_HASH_BYTES];
    TRY(radio_frame_peek(frame, k->network, h));
    size_t n = frame.len - OVERHEAD;
    cipher(plain, k, frame.p, bytes_of(frame.p + OVERHEAD, n));
    make_tag(tag, k, frame.p, bytes_of(plain, n));
    if (!crypto_equal(tag, frame.p + RADIO_HEADER_BYTES, RADIO_TAG_BYTES)) {
        crypto_wipe(plain, RADIO_PLAIN_MAX_BYTES);
        return ERR_BAD_SEAL;
    }
    *len = n;
    return ERR_OK;
}
