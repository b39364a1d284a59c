/* Runs whose predecessor is not here yet, and the list of refusals. Both bounded. */
#include "merge/merge_core_state.h"

#include <stdlib.h>

static bool kept_already(const merge_core *c, bytes encoded)
{
    for (const kept_run *k = c->kept; k != NULL; k = k->next)
        if (bytes_eq(bytes_of(k->bytes, k->len), encoded))
            return true;
    return false;
}

static void forget_oldest(merge_core *c)
{
    kept_run **at = &c->kept;
    while (*at != NULL && (*at)->next != NULL)
        at = &(*at)->next;
    kept_run *last = *at;
    if (last == NULL)
        return;
    *at = NULL;
    c->kept_bytes -= last->len;
    c->kept_runs--;
    free(last);
}

/* Dropping is harmless: whoever sent it still has it, and our frontier says that we lack it. */
void merge_keep(merge_core *c, feed_id feed, uint64_t first_seq, const event_id *previous,
                bytes encoded, member_no peer)
{
    if (encoded.len > QUARANTINE_MAX_BYTES / 4 || kept_already(c, encoded))
        return;
    while (c->kept_runs >= QUARANTINE_MAX_RUNS ||
           c->kept_bytes + encoded.len > QUARANTINE_MAX_BYTES)
        forget_oldest(c);
    kept_run *k = malloc(sizeof *k + encoded.len);
    if (k == NULL)
        return;
    *k = (kept_run){c->kept, feed, first_seq, *previous, peer, false, encoded.len};
    memcpy(k->bytes, encoded.p, encoded.len);
    c->kept = k;
    c->kept_runs++;
    c->kept_bytes += encoded.len;
}

void merge_kept_arrived(merge_core *c, feed_id feed, uint64_t seq)
{
    for (kept_run *k = c->kept; k != NULL; k = k->next)
        if (k->feed == feed && k->first_seq <= seq + 1)
            k->ready = true;
}

bool merge_core_released(merge_core *c, buf *run, member_no *peer)
{
    for (kept_run **at = &c->kept; *at != NULL; at = &(*at)->next) {
        kept_run *k = *at;
        if (!k->ready)
            continue;
        *at = k->next;
        c->kept_bytes -= k->len;
        c->kept_runs--;
        *peer = k->peer;
        bool ok = buf_add(run, k->bytes, k->len);
        free(k);
        return ok;
    }
    return false;
}

void merge_kept_free(merge_core *c)
{
    while (c->kept != NULL)
        forget_oldest(c);
}

void merge_refuse(merge_core *c, wall_ms now, feed_id feed, uint64_t seq, member_no peer, err_t e)
{
    c->refusals[c->refused++ % REFUSALS_MAX] = (refusal_row){
        .at_ms = now.ms & WALL_MAX_MS, .feed = feed, .seq = seq, .peer = peer, .code = (uint16_t)e};
}

size_t merge_core_refusals(const merge_core *c, refusal_row *out, size_t max, uint64_t *total)
{
    size_t n = c->refused < REFUSALS_MAX ? (size_t)c->refused : REFUSALS_MAX;
    n = n < max ? n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = c->refusals[(c->refused - 1 - i) % REFUSALS_MAX];
    *total = c->refused;
    return n;
}
