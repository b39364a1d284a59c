#include "projection/forks.h"

#include <stdlib.h>

typedef struct {
    feed_id feed;
    bool used, forked, wanted;
    uint64_t newest;   /* offset of its newest row met */
    uint64_t fork_seq; /* rows from here on are among the links; 0: none yet */
} feed_state;

struct forks {
    feed_state *feeds; /* open addressing */
    size_t n_feeds, room;
    refs_link *links; /* ascending by (feed, seq) once labelled */
    uint32_t n_links, links_room;
    bool stale;
    stored_row
        before; /* last row loaded: kept back until the next one tells whether the feed forks there */
    bool has_before;
    arena arena;
    const refs_branch *branches;
    uint32_t n_branches;
};

forks *forks_new(void)
{
    forks *f = calloc(1, sizeof *f);
    if (f != NULL)
        arena_init(&f->arena);
    return f;
}

void forks_clear(forks *f)
{
    free(f->feeds);
    free(f->links);
    arena_release(&f->arena);
    *f = (forks){0};
    arena_init(&f->arena);
}

void forks_free(forks **at)
{
    forks *f = *at;
    *at = NULL;
    if (f == NULL)
        return;
    forks_clear(f);
    free(f);
}

/* ---- feeds ---- */

static feed_state *slot_of(feed_state *feeds, size_t room, feed_id feed)
{
    size_t i = (size_t)(feed * 0x9e3779b1u) & (room - 1);
    while (feeds[i].used && feeds[i].feed != feed)
        i = (i + 1) & (room - 1);
    return &feeds[i];
}

static bool grow_feeds(forks *f)
{
    size_t room = f->room == 0 ? 64 : f->room * 2;
    feed_state *more = calloc(room, sizeof *more);
    if (more == NULL)
        return false;
    for (size_t i = 0; i < f->room; i++)
        if (f->feeds[i].used)
            *slot_of(more, room, f->feeds[i].feed) = f->feeds[i];
    free(f->feeds);
    f->feeds = more;
    f->room = room;
    return true;
}

static feed_state *feed_of(forks *f, feed_id feed)
{
    if (f->n_feeds * 2 >= f->room && !grow_feeds(f))
        return NULL;
    feed_state *s = slot_of(f->feeds, f->room, feed);
    if (!s->used) {
        *s = (feed_state){.feed = feed, .used = true};
        f->n_feeds++;
    }
    return s;
}

static const feed_state *known(const forks *f, feed_id feed)
{
    const feed_state *s = f->room == 0 ? NULL : slot_of(f->feeds, f->room, feed);
    return s != NULL && s->used ? s : NULL;
}

err_t forks_set_tips(forks *f, const tips_reply *tips)
{
    msg_list rows = tips->tips;
    tip_row t;
    forks_clear(f);
    while (msg_list_next(&tip_row_desc, &rows, &t)) {
        feed_state *s = feed_of(f, t.feed);
        if (s == NULL)
            return ERR_NO_MEMORY;
        s->forked = s->forked || s->newest != 0;
        s->wanted = s->forked;
        if (t.offset > s->newest)
            s->newest = t.offset;
    }
    return ERR_OK;
}

static err_t add_link(forks *f, const stored_row *row)
{
    if (f->n_links == f->links_room) {
        uint32_t room = f->links_room == 0 ? 256 : f->links_room * 2;
        refs_link *more = realloc(f->links, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        f->links = more;
        f->links_room = room;
    }
    f->links[f->n_links++] = (refs_link){row->feed, row->seq, row->offset, row->parent, 0};
    f->stale = true;
    return ERR_OK;
}

err_t forks_meet(forks *f, const stored_row *row)
{
    feed_state *s = feed_of(f, row->feed);
    if (s == NULL)
        return ERR_NO_MEMORY;
    if (row->offset <= s->newest)
        return ERR_OK;
    bool follows = row->parent == s->newest;
    s->newest = row->offset;
    if (!s->forked && !follows)
        s->forked = s->wanted = true;
    return s->forked && !s->wanted ? add_link(f, row) : ERR_OK;
}

bool forks_wants(const forks *f, feed_id *feed)
{
    for (size_t i = 0; i < f->room; i++)
        if (f->feeds[i].used && f->feeds[i].wanted) {
            *feed = f->feeds[i].feed;
            return true;
        }
    return false;
}

/* ---- loading ---- */

void forks_load_begin(forks *f, feed_id feed)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n_links; i++)
        if (f->links[i].feed != feed)
            f->links[n++] = f->links[i];
    f->n_links = n;
    f->has_before = false;
    slot_of(f->feeds, f->room, feed)->fork_seq = 0;
}

err_t forks_load_row(forks *f, const stored_row *row)
{
    feed_state *s = feed_of(f, row->feed);
    if (s == NULL)
        return ERR_NO_MEMORY;
    if (row->offset > s->newest)
        s->newest = row->offset;
    if (s->fork_seq == 0 && f->has_before && f->before.seq == row->seq) {
        s->fork_seq = row->seq;
        TRY(add_link(f, &f->before));
    }
    f->before = *row;
    f->has_before = true;
    return s->fork_seq != 0 ? add_link(f, row) : ERR_OK;
}

void forks_load_end(forks *f, feed_id feed)
{
    feed_state *s = slot_of(f->feeds, f->room, feed);
    s->wanted = false;
    s->forked = s->fork_seq != 0; /* else a gap that only looked like one */
    f->has_before = false;
}

/* ---- labels ---- */

static int cmp_links(const void *a, const void *b)
{
    const refs_link *x = a, *y = b;
    if (x->feed != y->feed)
        return x->feed < y->feed ? -1 : 1;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

err_t forks_label(forks *f)
{
    if (!f->stale)
        return ERR_OK;
    qsort(f->links, f->n_links, sizeof *f->links, cmp_links);
    arena_reset(&f->arena);
    TRY(refs_label(&f->arena, f->links, f->n_links, &f->branches, &f->n_branches));
    f->stale = false;
    return ERR_OK;
}

const refs_branch *forks_branches(const forks *f, uint32_t *n)
{
    *n = f->n_branches;
    return f->branches;
}

uint32_t forks_branch_of(const forks *f, feed_id feed, uint64_t seq, uint64_t offset)
{
    const feed_state *s = f->n_links == 0 ? NULL : known(f, feed);
    if (s == NULL || !s->forked || seq < s->fork_seq)
        return 0;
    refs_link key = {feed, seq, offset, 0, 0};
    const refs_link *at = bsearch(&key, f->links, f->n_links, sizeof key, cmp_links);
    return at != NULL ? at->branch : 0;
}
