/* What a member may say on the air: nothing is read beyond the end, and what is taken is written back byte for byte. The
 * first byte is the kind. */
#include "pure/radio_say.h"

#include <stdlib.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void expect_same(bytes in, const uint8_t *out, size_t n)
{
    must(n == in.len && memcmp(out, in.p, n) == 0);
}

static void walk_bodies(const radio_run *r)
{
    bytes rest = r->code, data;
    bool erased;
    while (rest.len > 0 && radio_get_body(&rest, &data, &erased) == ERR_OK)
        must(data.len <= r->code.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static radio_run r;
    static radio_beacon b;
    static radio_list wants;
    static uint8_t out[4096];
    radio_part p;
    if (size < 2 || size > sizeof out)
        return 0;
    bytes in = bytes_of(data + 1, size - 1);
    if (data[0] == RADIO_KIND_RUN && radio_get_run(in, &r) == ERR_OK) {
        expect_same(in, out, radio_put_run(out, sizeof out, &r));
        walk_bodies(&r);
    } else if (data[0] == RADIO_KIND_PART && radio_get_part(in, &p) == ERR_OK) {
        expect_same(in, out, radio_put_part(out, sizeof out, &p));
    } else if (data[0] == RADIO_KIND_BEACON && radio_get_beacon(in, &b) == ERR_OK) {
        expect_same(in, out, radio_put_beacon(out, sizeof out, &b));
    } else if (data[0] == RADIO_KIND_WANT && radio_get_want(in, &wants) == ERR_OK) {
        expect_same(in, out, radio_put_want(out, sizeof out, &wants));
    }
    return 0;
}
