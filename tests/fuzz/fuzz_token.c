/* What people paste as an invitation. What is accepted encodes to the one text that stands for it, and is read again. */
#include "pure/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    token t, again;
    char why[ERROR_TEXT_MAX_BYTES];
    if (token_decode(bytes_of(data, size), &t, why) != ERR_OK)
        return 0;
    buf text;
    buf_init(&text, TOKEN_TEXT_MAX_BYTES);
    if (token_encode(&t, &text) != ERR_OK || token_decode(buf_view(&text), &again, why) != ERR_OK)
        abort();
    buf_release(&text);
    return 0;
}
