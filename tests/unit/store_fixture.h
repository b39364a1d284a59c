/* A database of any kind for the store's tests; those with files live in a directory of their own. */
#ifndef CAIRN_STORE_FIXTURE_H
#define CAIRN_STORE_FIXTURE_H

#include "store/store_file.h"
#include "store/store_lmdb.h"
#include "store/store_mem.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef enum { IN_MEMORY, IN_LMDB, IN_FILE, FIXTURE_KINDS } fixture_kind;

typedef struct {
    fixture_kind kind;
    char dir[64];
    store_kv *kv;
    store_disk_info info;
} fixture;

static inline void fixture_path(const fixture *x, char out[128], const char *below)
{
    snprintf(out, 128, "%s/%s", x->dir, below);
}

/* Where its rows are. */
static inline const char *fixture_file(fixture_kind kind)
{
    return kind == IN_FILE ? "log/commits" : "log/data.mdb";
}

/* Of a kind with files: opens what is there, or makes it. */
static inline err_t fixture_open(fixture *x, buf *why)
{
    if (x->kind == IN_FILE)
        return store_file_open(&x->kv, x->dir, &x->info, why);
    return store_lmdb_open(&x->kv, x->dir, 1ull << 30, &x->info, why);
}

static inline void fixture_make_dir(fixture *x)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(x->dir, sizeof x->dir, "%.40s/cairn-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert(mkdtemp(x->dir) != NULL);
}

static inline void fixture_init(fixture *x, fixture_kind kind)
{
    buf why;
    *x = (fixture){.kind = kind};
    buf_init(&why, 1024);
    if (kind != IN_MEMORY) {
        fixture_make_dir(x);
        cr_assert_eq(fixture_open(x, &why), ERR_OK, "%.*s", (int)why.len, (const char *)why.p);
    } else {
        x->kv = store_mem_new();
    }
    cr_assert(x->kv != NULL);
    buf_release(&why);
}

static inline void fixture_remove_dir(const fixture *x)
{
    static const char *const files[] = {"log/data.mdb",    "log/lock.mdb", "log/commits",
                                        "log/commits.new", "log",          "log.new",
                                        "ballast"};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        fixture_path(x, path, files[i]);
        (void)remove(path);
    }
    (void)rmdir(x->dir);
}

/* The kv itself is freed by whoever owns it by then. */
static inline void fixture_release(fixture *x)
{
    kv_free(x->kv);
    x->kv = NULL;
    if (x->kind != IN_MEMORY)
        fixture_remove_dir(x);
}

#endif
