#include "base/ids.h"

#include <stdio.h>

size_t base32_u64(char out[14], uint64_t v)
{
    char rev[14];
    size_t n = 0;
    do {
        rev[n++] = BASE32_ALPHABET[v & 31];
        v >>= 5;
    } while (v != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = rev[n - 1 - i];
    out[n] = '\0';
    return n;
}

void feed_text(char out[FEED_TEXT_BYTES], feed_id f)
{
    static const char *const suffix[] = {"", "-express", "-bulk", "-reserved"};
    unsigned inc = feed_incarnation(f) & 0xfffcu;
    if (inc == 0)
        snprintf(out, FEED_TEXT_BYTES, "%u%s", feed_member(f), suffix[feed_class_of(f)]);
    else
        snprintf(out, FEED_TEXT_BYTES, "%u+%x%s", feed_member(f), inc, suffix[feed_class_of(f)]);
}
