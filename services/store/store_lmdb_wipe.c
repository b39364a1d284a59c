/* The layout of pages is that of LMDB 0.9 (struct MDB_page, MDB_node and the table of free pages in mdb.c), which its
 * files have kept since 2013. Every number read from a page is checked before it is used. */
#include "store/store_lmdb_wipe.h"

#include "store/store_lmdb_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_PAGE  2u /* after the two meta pages */
#define FREE_TABLE  0u /* MDB_dbi of the free pages */
#define PAGE_BRANCH 1u
#define PAGE_LEAF   2u
#define PAGE_LARGE  4u /* a value that fills pages of its own */
#define NODE_BIG    1u /* its value lies in such pages */
#define CHUNK_BYTES 65536u

typedef struct {
    size_t number;
    uint16_t pad, flags;
    union {
        struct {
            uint16_t lower, upper; /* of the gap between the nodes' places and the nodes */
        };
        uint32_t pages; /* of a large value */
    };
} page_head;

typedef struct {
    uint16_t size[2]; /* low half first on little-endian machines */
    uint16_t flags, key_len;
} node_head;

typedef struct {
    MDB_env *env;
    MDB_txn *txn;
    int fd;
    size_t page_bytes;
    uint64_t txnid, end; /* one past the last page in use */
    uint8_t *free;       /* a bit per page */
    uint8_t *page;       /* one page, and what is compared with it */
} walk;

/* ---- which pages are free ---- */

static bool is_free(const walk *k, uint64_t p)
{
    return (k->free[p / 8] >> p % 8 & 1) != 0;
}

static err_t note_free(walk *k, const MDB_val *list)
{
    size_t n, p;
    if (list->mv_size < sizeof n)
        return ERR_DAMAGED;
    memcpy(&n, list->mv_data, sizeof n);
    if (n > list->mv_size / sizeof n - 1)
        return ERR_DAMAGED;
    for (size_t i = 1; i <= n; i++) {
        memcpy(&p, (const uint8_t *)list->mv_data + i * sizeof p, sizeof p);
        if (p < FIRST_PAGE || p >= k->end)
            return ERR_DAMAGED;
        k->free[p / 8] |= (uint8_t)(1u << p % 8);
    }
    return ERR_OK;
}

/* What the newest state freed is still part of the one before it. */
static err_t find_free(walk *k)
{
    MDB_cursor *c;
    MDB_val key, list;
    size_t since;
    err_t e = ERR_OK;
    int rc = mdb_cursor_open(k->txn, FREE_TABLE, &c);
    if (rc != 0)
        return lmdb_error(rc);
    for (rc = mdb_cursor_get(c, &key, &list, MDB_FIRST); rc == 0 && e == ERR_OK;
         rc = mdb_cursor_get(c, &key, &list, MDB_NEXT)) {
        if (key.mv_size != sizeof since) {
            e = ERR_DAMAGED;
            break;
        }
        memcpy(&since, key.mv_data, sizeof since);
        if (since < k->txnid)
            e = note_free(k, &list);
    }
    mdb_cursor_close(c);
    return e != ERR_OK || rc == MDB_NOTFOUND ? e : lmdb_error(rc);
}

/* ---- reading and clearing ---- */

static err_t read_at(const walk *k, uint64_t at, void *out, size_t len)
{
    return pread(k->fd, out, len, (off_t)at) == (ssize_t)len ? ERR_OK : ERR_IO;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Only what is not zero yet is written. */
static err_t clear(const walk *k, uint64_t at, uint64_t len)
{
    static const uint8_t zeros[CHUNK_BYTES];
    uint8_t here[4096];
    while (len > 0) {
        size_t n = len < sizeof here ? (size_t)len : sizeof here;
        TRY(read_at(k, at, here, n));
        if (!is_zero(here, n) && pwrite(k->fd, zeros, n, (off_t)at) != (ssize_t)n)
            return ERR_IO;
        at += n;
        len -= n;
    }
    return ERR_OK;
}

static err_t read_head(const walk *k, uint64_t p, page_head *out)
{
    TRY(read_at(k, p * k->page_bytes, out, sizeof *out));
    unsigned kind = out->flags & (PAGE_BRANCH | PAGE_LEAF | PAGE_LARGE);
    bool good = out->number == p && kind != 0 && (kind & (kind - 1)) == 0;
    if (good && kind == PAGE_LARGE)
        good = out->pages >= 1 && out->pages <= k->end - p;
    else if (good)
        good = out->lower >= sizeof *out && out->lower <= out->upper && out->upper <= k->page_bytes;
    return good ? ERR_OK : ERR_DAMAGED;
}

/* ---- gaps ---- */

/* Behind a large value. */
static err_t clear_behind(const walk *k, uint64_t first, uint64_t size)
{
    page_head head;
    if (first < FIRST_PAGE || first >= k->end)
        return ERR_DAMAGED;
    TRY(read_head(k, first, &head));
    uint64_t room = (head.flags & PAGE_LARGE) != 0 ? (uint64_t)head.pages * k->page_bytes : 0;
    uint64_t used = sizeof head + size;
    if (used > room)
        return ERR_DAMAGED;
    return clear(k, first * k->page_bytes + used, room - used);
}

static uint64_t size_of(const node_head *n)
{
    const uint16_t probe = 1;
    bool little = *(const uint8_t *)&probe == 1;
    return little ? n->size[0] | (uint64_t)n->size[1] << 16
                  : n->size[1] | (uint64_t)n->size[0] << 16;
}

static err_t clear_behind_node(const walk *k, size_t at)
{
    node_head node;
    size_t first;
    if (at < sizeof(page_head) || at + sizeof node > k->page_bytes)
        return ERR_DAMAGED;
    memcpy(&node, k->page + at, sizeof node);
    if ((node.flags & NODE_BIG) == 0)
        return ERR_OK;
    at += sizeof node + node.key_len;
    if (at + sizeof first > k->page_bytes)
        return ERR_DAMAGED;
    memcpy(&first, k->page + at, sizeof first);
    return clear_behind(k, first, size_of(&node));
}

static err_t clear_gaps(const walk *k, uint64_t p, const page_head *head)
{
    if ((head->flags & PAGE_LARGE) != 0)
        return ERR_OK; /* its leaf knows how long the value is */
    if ((head->flags & PAGE_LEAF) != 0) {
        TRY(read_at(k, p * k->page_bytes, k->page, k->page_bytes));
        for (size_t i = sizeof *head; i + 1 < head->lower; i += 2) {
            uint16_t at;
            memcpy(&at, k->page + i, sizeof at);
            TRY(clear_behind_node(k, at));
        }
    }
    return clear(k, p * k->page_bytes + head->lower, (uint64_t)head->upper - head->lower);
}

/* ---- the walk ---- */

/* The page at *p and what follows it of the same value; only looks when `clears` is false. */
static err_t pass_page(const walk *k, uint64_t *p, bool clears)
{
    page_head head;
    if (is_free(k, *p)) {
        if (clears)
            TRY(clear(k, *p * k->page_bytes, k->page_bytes));
        ++*p;
        return ERR_OK;
    }
    TRY(read_head(k, *p, &head));
    if (clears)
        TRY(clear_gaps(k, *p, &head));
    *p += (head.flags & PAGE_LARGE) != 0 ? head.pages : 1;
    return ERR_OK;
}

/* Where a page begins is known only from the one before it, so after any commit the heads are followed again. */
static err_t pass_pages(const walk *k, lmdb_wiper *w, uint32_t pages)
{
    uint64_t p = w->txnid == k->txnid && w->next >= FIRST_PAGE ? w->next : FIRST_PAGE;
    uint64_t until = w->next + pages;
    while (p < k->end && p < until)
        TRY(pass_page(k, &p, p >= w->next));
    *w = (lmdb_wiper){p, k->txnid};
    return ERR_OK;
}

static err_t finish(const walk *k)
{
    off_t size = lseek(k->fd, 0, SEEK_END), needed = (off_t)(k->end * k->page_bytes);
    if (size > needed && ftruncate(k->fd, needed) != 0) /* of transactions that never were */
        return ERR_IO;
    return fdatasync(k->fd) == 0 ? ERR_OK : ERR_IO;
}

/* Lines of mdb_reader_list end in the state that is being read, or in "-". */
static int find_older(const char *line, void *arg)
{
    walk *k = arg;
    const char *last = strrchr(line, ' ');
    char *end;
    unsigned long long txnid = last != NULL ? strtoull(last + 1, &end, 10) : 0;
    return last != NULL && end != last + 1 && txnid != 0 && txnid < k->txnid ? -1 : 0;
}

static err_t walk_on(walk *k, lmdb_wiper *w, uint32_t pages, bool *more)
{
    MDB_envinfo info;
    MDB_stat stat;
    (void)mdb_env_info(k->env, &info);
    (void)mdb_env_stat(k->env, &stat);
    k->txnid = mdb_txn_id(k->txn);
    k->end = info.me_last_pgno + 1;
    k->page_bytes = stat.ms_psize;
    if (mdb_reader_list(k->env, find_older, k) < 0)
        return ERR_BUSY;
    k->free = calloc(k->end / 8 + 1, 1);
    k->page = malloc(k->page_bytes);
    if (k->free == NULL || k->page == NULL)
        return ERR_NO_MEMORY;
    TRY(find_free(k));
    TRY(pass_pages(k, w, pages));
    *more = w->next < k->end;
    return *more ? ERR_OK : finish(k);
}

err_t lmdb_wipe(MDB_env *env, lmdb_wiper *w, uint32_t pages, bool *more)
{
    walk k = {.env = env};
    *more = true;
    int rc = mdb_env_get_fd(env, &k.fd);
    if (rc == 0)
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &k.txn);
    if (rc != 0)
        return lmdb_error(rc);
    err_t e = walk_on(&k, w, pages, more);
    mdb_txn_abort(k.txn);
    free(k.free);
    free(k.page);
    return e;
}
