#include "pure/refs_fork.h"

/* How many keys are below (a, b). */
static uint32_t lower_bound(const sort_key *k, uint32_t n, uint64_t a, uint64_t b)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k[mid].a < a || (k[mid].a == a && k[mid].b < b))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The event at exactly (a, b); none when there are two. */
static uint32_t only(const sort_key *k, uint32_t n, uint64_t a, uint64_t b)
{
    uint32_t at = lower_bound(k, n, a, b);
    if (at == n || k[at].a != a || k[at].b != b)
        return REFS_NONE;
    if (at + 1 < n && k[at + 1].a == a && k[at + 1].b == b)
        return REFS_NONE;
    return k[at].i;
}

static bool named(const refs_index *x, uint32_t at, event_ref r)
{
    return at < x->n && x->by_seq[at].a == r.feed && x->by_seq[at].b == r.seq &&
           get_u16be(x->ev[x->by_seq[at].i].id->b) == r.prefix;
}

uint32_t refs_index_full(const refs_index *x, event_ref r)
{
    uint32_t lo = lower_bound(x->by_seq, x->n, r.feed, r.seq);
    uint32_t hi = x->n;
    if (lo == hi || x->by_seq[lo].a != r.feed || x->by_seq[lo].b != r.seq)
        return REFS_NONE;
    /* a thief can make any number of events at one seq: they are sorted by id, so by prefix */
    if (lo + 1 < hi && x->by_seq[lo + 1].a == r.feed && x->by_seq[lo + 1].b == r.seq) {
        hi = lower_bound(x->by_seq, x->n, r.feed, r.seq + 1);
        while (lo < hi) {
            uint32_t mid = lo + (hi - lo) / 2;
            if (get_u16be(x->ev[x->by_seq[mid].i].id->b) < r.prefix)
                lo = mid + 1;
            else
                hi = mid;
        }
    }
    return named(x, lo, r) && !named(x, lo + 1, r) ? x->by_seq[lo].i : REFS_NONE;
}

static const refs_branch *branch_of(const refs_rules *r, feed_id feed, uint32_t branch)
{
    uint32_t lo = 0, hi = r->n_branches;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const refs_branch *b = &r->branches[mid];
        if (b->feed < feed || (b->feed == feed && b->branch < branch))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == r->n_branches || r->branches[lo].feed != feed || r->branches[lo].branch != branch)
        return NULL;
    return &r->branches[lo];
}

/* A branch's parent is always an earlier label of its feed, so that a walk ends even on a
 * nonsensical table. */
static bool climb(const refs_branch *b, uint32_t *branch)
{
    if (b == NULL || b->parent >= b->branch)
        return false;
    *branch = b->parent;
    return true;
}

uint32_t refs_index_ancestor(const refs_index *x, feed_id feed, uint32_t branch, uint64_t seq)
{
    if (x->rules->n_branches == 0)
        return only(x->by_seq, x->n, feed, seq);
    for (;;) {
        const refs_branch *b = branch_of(x->rules, feed, branch);
        if (b == NULL || seq >= b->first_seq)
            return only(x->by_branch, x->n, (uint64_t)feed << 32 | branch, seq);
        if (!climb(b, &branch))
            return REFS_NONE;
    }
}

uint32_t refs_index_below(const refs_index *x, feed_id feed, uint32_t branch, uint64_t seq)
{
    for (;;) {
        uint64_t line = (uint64_t)feed << 32 | branch;
        uint32_t at = lower_bound(x->by_branch, x->n, line, seq);
        if (at > 0 && x->by_branch[at - 1].a == line)
            return x->by_branch[at - 1].i;
        const refs_branch *b = branch_of(x->rules, feed, branch);
        if (!climb(b, &branch))
            return REFS_NONE;
        if (b->first_seq < seq)
            seq = b->first_seq;
    }
}

/* ---- labels ---- */

typedef struct {
    refs_link *links;
    uint32_t n;
    const sort_key *by_row;
    uint32_t *heir; /* per link: 1 once a child has taken its branch */
    refs_branch *out;
    uint32_t n_out;
} labeller;

static uint32_t link_of(const labeller *l, feed_id feed, uint64_t row)
{
    return row == 0 ? REFS_NONE : only(l->by_row, l->n, feed, row);
}

/* The first child of an event goes on with its branch, every other one opens the feed's next.
 * `trunk` tells whether the feed's trunk has been given away, `next` is its next label. */
static void label_one(labeller *l, uint32_t i, bool *trunk, uint32_t *next)
{
    refs_link *k = &l->links[i];
    uint32_t parent = link_of(l, k->feed, k->parent);
    uint32_t on = k->parent == 0 ? REFS_NONE : 0;
    bool known = parent != REFS_NONE && parent < i;
    if (known)
        on = l->links[parent].branch;
    if (known ? !l->heir[parent] : !*trunk) {
        k->branch = known ? on : 0;
    } else {
        k->branch = (*next)++;
        l->out[l->n_out++] = (refs_branch){k->feed, k->branch, on, k->seq};
    }
    if (known)
        l->heir[parent] = 1;
    else
        *trunk = true;
}

err_t refs_label(arena *a, refs_link *links, uint32_t n, const refs_branch **out, uint32_t *n_out)
{
    sort_key *keys = arena_array(a, 2 * (size_t)n, sizeof *keys);
    labeller l = {.links = links, .n = n, .by_row = keys};
    l.heir = arena_array(a, n, sizeof *l.heir);
    l.out = arena_array(a, n, sizeof *l.out);
    if (keys == NULL || l.heir == NULL || l.out == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = (sort_key){links[i].feed, links[i].row, i};
        l.heir[i] = 0;
    }
    keysort(keys, keys + n, n, NULL, NULL);
    bool trunk = false;
    uint32_t next = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && links[i].feed != links[i - 1].feed) {
            trunk = false;
            next = 1;
        }
        label_one(&l, i, &trunk, &next);
    }
    *out = l.out;
    *n_out = l.n_out;
    return ERR_OK;
}
