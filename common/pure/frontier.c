#include "pure/frontier.h"

#include "pure/crypto.h"

#include <stdlib.h>

#define DOMAIN      "cairn/1 frontier"
#define ENTRY_BYTES 44u

int frontier_entry_cmp(const frontier_entry *a, const frontier_entry *b)
{
    if (a->feed != b->feed)
        return a->feed < b->feed ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return memcmp(a->id.b, b->id.b, sizeof a->id.b);
}

static int by_entry(const void *a, const void *b)
{
    return frontier_entry_cmp(a, b);
}

void frontier_release(frontier *f)
{
    free(f->at);
    *f = (frontier){0};
}

static err_t grow(frontier *f, size_t n)
{
    if (n > FRONTIER_MAX)
        return ERR_TOO_LARGE;
    if (n <= f->cap)
        return ERR_OK;
    size_t cap = f->cap ? f->cap * 2 : 16;
    if (cap < n)
        cap = n;
    frontier_entry *at = realloc(f->at, cap * sizeof *at);
    if (!at)
        return ERR_NO_MEMORY;
    f->at = at;
    f->cap = cap;
    return ERR_OK;
}

/* Index of the first entry that is not less than `e`. */
static size_t lower_bound(const frontier *f, const frontier_entry *e)
{
    size_t lo = 0, hi = f->n;
    if (hi && frontier_entry_cmp(&f->at[hi - 1], e) < 0)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (frontier_entry_cmp(&f->at[mid], e) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool frontier_has(const frontier *f, const frontier_entry *e)
{
    size_t i = lower_bound(f, e);
    return i < f->n && frontier_entry_cmp(&f->at[i], e) == 0;
}

err_t frontier_add(frontier *f, const frontier_entry *e)
{
    size_t i = lower_bound(f, e);
    if (i < f->n && frontier_entry_cmp(&f->at[i], e) == 0)
        return ERR_OK;
    frontier_entry copy = *e; /* `e` may point into f */
    TRY(grow(f, f->n + 1));
    memmove(f->at + i + 1, f->at + i, (f->n - i) * sizeof *f->at);
    f->at[i] = copy;
    f->n++;
    return ERR_OK;
}

err_t frontier_set(frontier *f, const frontier_entry *e, size_t n)
{
    frontier_clear(f);
    if (n == 0)
        return ERR_OK;
    TRY(grow(f, n));
    memcpy(f->at, e, n * sizeof *e);
    qsort(f->at, n, sizeof *f->at, by_entry);
    for (size_t i = 0; i < n; i++)
        if (f->n == 0 || frontier_entry_cmp(&f->at[f->n - 1], &f->at[i]) != 0)
            f->at[f->n++] = f->at[i];
    return ERR_OK;
}

size_t frontier_feed(const frontier *f, feed_id feed, size_t *n)
{
    size_t first = lower_bound(f, &(frontier_entry){.feed = feed});
    size_t end = first;
    while (end < f->n && f->at[end].feed == feed)
        end++;
    *n = end - first;
    return first;
}

static bool is_behind(const frontier_entry *a, const frontier_entry *b, const chain_view *view)
{
    return a->seq < b->seq &&
           view->meet(view->ctx, a->feed, a->seq, &a->id, b->seq, &b->id) == a->seq;
}

void frontier_prune(frontier *f, const chain_view *view)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        bool behind = false; /* a later entry of the feed has the greater seq */
        for (size_t j = i + 1; j < f->n && f->at[j].feed == f->at[i].feed && !behind; j++)
            behind = is_behind(&f->at[i], &f->at[j], view);
        if (!behind)
            f->at[kept++] = f->at[i];
    }
    f->n = kept;
}

static void hash_entry(crypto_hasher *h, const frontier_entry *e)
{
    uint8_t raw[ENTRY_BYTES];
    put_u32be(raw, e->feed);
    put_u64be(raw + 4, e->seq);
    memcpy(raw + 12, e->id.b, sizeof e->id.b);
    crypto_hash_add(h, raw, sizeof raw);
}

static void hash_begin(crypto_hasher *h)
{
    crypto_hash_begin(h);
    crypto_hash_add(h, DOMAIN, sizeof DOMAIN - 1);
}

void frontier_digest(const frontier *f, uint8_t out[FRONTIER_DIGEST_BYTES])
{
    crypto_hasher h;
    hash_begin(&h);
    for (size_t i = 0; i < f->n; i++)
        hash_entry(&h, &f->at[i]);
    crypto_hash_end(&h, out);
}

unsigned frontier_bucket(feed_id feed)
{
    return (uint32_t)(feed * 0x9e3779b1u) >> 26;
}

void frontier_buckets(const frontier *f, uint64_t out[FRONTIER_BUCKETS])
{
    crypto_hasher h[FRONTIER_BUCKETS];
    bool used[FRONTIER_BUCKETS] = {false};
    for (size_t i = 0; i < f->n; i++) {
        unsigned b = frontier_bucket(f->at[i].feed);
        if (!used[b])
            hash_begin(&h[b]);
        used[b] = true;
        hash_entry(&h[b], &f->at[i]);
    }
    for (unsigned b = 0; b < FRONTIER_BUCKETS; b++) {
        uint8_t digest[FRONTIER_DIGEST_BYTES];
        if (used[b])
            crypto_hash_end(&h[b], digest);
        out[b] = used[b] ? get_u64be(digest) : 0;
    }
}
