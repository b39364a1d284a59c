/* The run decoder and the walk over it. What is decoded is written back byte for byte; nothing unsigned passes. */
#include "pure/chain.h"
#include "pure/run.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void expect_same_after_writing(const run *r)
{
    run_writer w;
    run_item item;
    uint32_t count;
    buf out;
    buf_init(&out, RUN_MAX_BYTES);
    must(run_begin(&w, &out, r->feed, r->first_seq, &r->previous) == ERR_OK);
    for (run_iter it = run_items(r); run_next(&it, &item);)
        must(run_add(&w, item.data, item.erased, item.seal) == ERR_OK);
    must(run_end(&w, &count) == ERR_OK && count == r->count);
    must(bytes_eq(buf_view(&out), r->all));
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Nobody has signed anything with this key. */
    static const dataset_id dataset = {{1}};
    static member_key nobody;
    static bool started;
    run r;
    run_verdict v;
    if (!started) {
        crypto_signer signer;
        static const uint8_t seed[MEMBER_SEED_BYTES] = {77};
        must(crypto_start() == ERR_OK);
        crypto_signer_from_seed(&signer, seed);
        nobody = signer.public;
        started = true;
    }
    if (run_decode(bytes_of(data, size), &r) != ERR_OK)
        return 0;
    expect_same_after_writing(&r);
    must(run_check(&r, &dataset, &nobody, NULL, NULL, NULL, &v) != ERR_OK);
    must(v.bad_index < r.count && v.sealed <= v.bad_index);
    return 0;
}
