/* The bundle reader, fed whole and in pieces, which must make no difference. Half of the inputs get right checksums
 * first, or nothing would come past them. */
#include "pure/bundle.h"
#include "pure/crypto.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static err_t take(void *context, const run *r)
{
    *(uint64_t *)context += r->count;
    return ERR_OK;
}

static void mend_one(uint8_t *from, size_t len)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    crypto_digest(sum, bytes_of(from, len));
    memcpy(from + len, sum, CHECKSUM_BYTES);
}

static void mend(uint8_t *p, size_t size)
{
    size_t at = BUNDLE_HEADER_BYTES;
    if (size < at)
        return;
    mend_one(p, at - CHECKSUM_BYTES);
    while (size - at >= 16) {
        size_t len = get_u32be(p + at + 4);
        if (len > size - at - 16)
            return;
        mend_one(p + at, 8 + len);
        at += 16 + len;
    }
}

static bundle_progress read_in(bytes in, size_t piece, err_t *end)
{
    bundle_reader r;
    uint64_t events = 0;
    bundle_reader_init(&r, NULL, take, &events);
    while (in.len > 0 && r.err == ERR_OK) {
        size_t n = piece < in.len ? piece : in.len;
        if (bundle_feed(&r, bytes_of(in.p, n)) != ERR_OK)
            break;
        in = bytes_of(in.p + n, in.len - n);
    }
    *end = bundle_finish(&r);
    must(events == r.progress.events);
    bundle_progress p = r.progress;
    bundle_reader_release(&r);
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err_t whole, pieces;
    if (size < 2 || crypto_start() != ERR_OK)
        return 0;
    uint8_t *copy = malloc(size);
    must(copy != NULL);
    memcpy(copy, data, size);
    if (data[0] & 1)
        mend(copy + 2, size - 2);
    bytes in = bytes_of(copy + 2, size - 2);
    bundle_progress a = read_in(in, SIZE_MAX, &whole);
    bundle_progress b = read_in(in, 1 + (size_t)data[1], &pieces);
    must(whole == pieces && a.bytes == b.bytes && a.runs == b.runs && a.bytes <= in.len);
    must((whole == ERR_OK) == a.complete || whole == ERR_TRAILING);
    free(copy);
    return 0;
}
