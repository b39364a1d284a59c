/* A stream of arbitrary events: references, order, fold and canonical line must hold together whatever members write.
 *
 * The input is a row of: u8 feed · u8 seq · u8 flags · u16 BE length · body. flags: 1 does not count, 2 erased (its key
 * is the kind), 4 tail missing, 8 on branch 1. Bodies that fail the gate are left out, as at the edge of a node. What
 * is checked beyond the sanitizers: the stream backwards gives the same line. */
#include "projection/record_core.h"
#include "pure/value.h"

#include <stdlib.h>

#define EVENTS_MAX 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    uint32_t n;
    refs_event ev[EVENTS_MAX];
    event_view views[EVENTS_MAX];
    event_id ids[EVENTS_MAX];
    bytes keys[EVENTS_MAX];
    buf erased[EVENTS_MAX];
} input;

static bool barred(const void *ctx, feed_id by, feed_id feed, uint64_t seq)
{
    (void)ctx;
    return feed == 3 && seq > 2 && by != feed;
}

static void cut_tail(input *in, uint32_t i)
{
    static const uint8_t hash[EVENT_HASH_BYTES];
    event_view v;
    if (event_write_erased(&in->views[i], hash, &in->erased[i]) == ERR_OK &&
        event_parse_erased(buf_view(&in->erased[i]), &v) == ERR_OK)
        in->views[i] = v;
}

static void take(input *in, const uint8_t *head, bytes body)
{
    uint32_t i = in->n;
    if (event_parse(body, &in->views[i]) != ERR_OK)
        return;
    buf_init(&in->erased[i], 2 * EVENT_MAX_BYTES);
    if (head[2] & 4)
        cut_tail(in, i);
    memset(&in->ids[i], 0, sizeof in->ids[i]);
    in->ids[i].b[1] = head[2] >> 4;                /* few prefixes, so that they match twice */
    in->ids[i].b[EVENT_ID_BYTES - 1] = (uint8_t)i; /* no two ids are equal */
    in->keys[i] = in->views[i].kind;
    in->ev[i] = (refs_event){.feed = head[0] & 3u,
                             .branch = head[2] >> 3 & 1,
                             .seq = 1u + (head[1] & 15u),
                             .id = &in->ids[i],
                             .view = &in->views[i],
                             .counts = !(head[2] & 1),
                             .erased = head[2] >> 1 & 1,
                             .n_keys = 1,
                             .keys = &in->keys[i]};
    in->n++;
}

static void read_input(input *in, const uint8_t *data, size_t size)
{
    in->n = 0;
    while (size >= 5 && in->n < EVENTS_MAX) {
        size_t len = get_u16be(data + 3);
        if (len > size - 5)
            len = size - 5;
        take(in, data, bytes_of(data + 5, len));
        data += 5 + len;
        size -= 5 + len;
    }
}

static void fold(record_folder *f, const refs_event *ev, uint32_t n, buf *line)
{
    static const refs_branch branches[] = {
        {0, 1, 0, 4}, {1, 1, REFS_NONE, 1}, {2, 1, 0, 9}, {3, 1, 0, 2}};
    const refs_rules rules = {.branches = branches, .n_branches = 4, .barred = barred};
    const record_state *s;
    if (record_fold(f, ev, n, &rules, &s) != ERR_OK ||
        record_export(s, bytes_str("f"), bytes_str("r"), line) != ERR_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static input in;
    static record_folder *f;
    refs_event turned[EVENTS_MAX];
    buf line, again;
    if (f == NULL)
        f = record_folder_new();
    buf_init(&line, 1u << 24);
    buf_init(&again, 1u << 24);
    read_input(&in, data, size);
    for (uint32_t i = 0; i < in.n; i++)
        turned[in.n - 1 - i] = in.ev[i];
    fold(f, in.ev, in.n, &line);
    fold(f, turned, in.n, &again);
    if (!bytes_eq(buf_view(&line), buf_view(&again)))
        abort();
    buf_release(&line);
    buf_release(&again);
    for (uint32_t i = 0; i < in.n; i++)
        buf_release(&in.erased[i]);
    return 0;
}
