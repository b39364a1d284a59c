#include "store/store_service.h"

#include "store/store_file.h"
#include "store/store_lmdb.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SIGBUS 74 /* EX_IOERR */

/* A page of the map that the disk cannot give any more: nothing can be trusted, a restart may help. */
static void on_sigbus(int signal_number)
{
    static const char words[] =
        "cairn-store: the disk does not give back what was written (SIGBUS)\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    _exit(EXIT_SIGBUS);
}

/* Stable on a host; in a container it is anything. Empty when there is none. */
static void read_machine_id(buf *out)
{
    if (access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
        home_read_file("/etc/machine-id", out) != ERR_OK || out->len < 32)
        buf_clear(out);
    else
        out->len = 32;
}

static uint16_t random_incarnation(void)
{
    return (uint16_t)(4 * (1 + random_u64() % 16383));
}

/* A database lost together with its directory must not begin at incarnation 0 again: a mark beside the
 * directory remembers that there was one. In containers nothing lies beside it, and merge remembers (merge_camp.c). */
static err_t open_core(store_service *g, store_kv *kv, const store_disk_info *info, buf *machine)
{
    char mark[HOME_PATH_MAX];
    bool camp = config_bool(service_config(g->service), "camp", "containers");
    home_path(service_home(g->service), mark, camp ? "store/born" : "store.born");
    bool before = access(mark, F_OK) == 0;
    store_opening how = {
        .inode = info->inode,
        .birth_ns = info->birth_ns,
        .machine = buf_view(machine),
        .random_epoch = random_u64() | 1,
        .random_incarnation = random_incarnation(),
        .first_incarnation = before ? random_incarnation() : 0,
        .doubtful = info->doubtful,
    };
    err_t e = store_open(&g->core, kv, &how);
    if (e == ERR_OK && !before)
        (void)!home_write_file(mark, bytes_str("this node has had a log\n"));
    return e;
}

/* ---- the storage below the core ---- */

static err_t open_lmdb(store_service *g, store_kv **kv, store_disk_info *info, buf *why)
{
    uint64_t map = (uint64_t)config_int(service_config(g->service), "store", "map_gib") << 30;
    return store_lmdb_open(kv, service_dir(g->service), map, info, why);
}

static err_t open_file(store_service *g, store_kv **kv, store_disk_info *info, buf *why)
{
    return store_file_open(kv, service_dir(g->service), info, why);
}

static const struct {
    const char *name, *file;
    err_t (*open)(store_service *g, store_kv **kv, store_disk_info *info, buf *why);
} storages[] = {
    {"lmdb", "log/data.mdb", open_lmdb},
    {"file", "log/commits", open_file},
};
#define STORAGES (sizeof storages / sizeof storages[0])

/* A node whose log lies in the other storage would begin an empty one beside it. */
static err_t check_others(const char *dir, size_t wanted, buf *why)
{
    for (size_t i = 0; i < STORAGES; i++) {
        char path[HOME_PATH_MAX + 32];
        snprintf(path, sizeof path, "%s/%s", dir, storages[i].file);
        if (i == wanted || access(path, F_OK) != 0)
            continue;
        buf_addf(why,
                 "the log is in %s: set store.storage to %s, or move it away; peers fill a new one",
                 path, storages[i].name);
        return ERR_FOREIGN_DB;
    }
    return ERR_OK;
}

static err_t open_storage(store_service *g, store_kv **kv, store_disk_info *info, buf *why)
{
    const char *wanted = config_str(service_config(g->service), "store", "storage");
    for (size_t i = 0; i < STORAGES; i++)
        if (strcmp(storages[i].name, wanted) == 0) {
            TRY(check_others(service_dir(g->service), i, why));
            return storages[i].open(g, kv, info, why);
        }
    buf_addf(why, "store.storage must be lmdb or file, not \"%s\"", wanted);
    return ERR_INVALID;
}

static void tell(const store_service *g, const store_disk_info *info)
{
    store_hello_reply hello;
    if (info->read_only)
        log_warn("the disk is read-only: appends are refused");
    if (info->dropped_bytes != 0)
        log_warn("the log ended in %llu bytes of a commit that is not whole: dropped",
                 (unsigned long long)info->dropped_bytes);
    if (info->bad_commits != 0)
        log_error("%u commits of the log are damaged: rows of theirs wait for a good copy",
                  info->bad_commits);
    if (store_hello(g->core, &hello) == ERR_OK && hello.copied)
        log_warn("this log was restored or copied: it goes on as incarnation %u",
                 hello.incarnation);
}

static err_t open_store(store_service *g, buf *why)
{
    store_kv *kv;
    store_disk_info info;
    buf machine;
    TRY(open_storage(g, &kv, &info, why));
    buf_init(&machine, 256);
    read_machine_id(&machine);
    err_t e = open_core(g, kv, &info, &machine);
    buf_release(&machine);
    if (e != ERR_OK) {
        buf_addf(why, "cannot read the log in %s: %s", service_dir(g->service), err_text(e));
        kv_free(kv);
        return e;
    }
    tell(g, &info);
    return ERR_OK;
}

err_t store_start(service *s, void **self, buf *why)
{
    store_service *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NO_MEMORY;
    g->service = s;
    g->writes = calloc(GROUP_MAX_WRITES, sizeof *g->writes);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk */
    signal(SIGBUS, on_sigbus);
    err_t e = g->writes != NULL ? open_store(g, why) : ERR_NO_MEMORY;
    if (e != ERR_OK) {
        free(g->writes);
        free(g);
        return e;
    }
    g->scrubs = config_bool(service_config(s), "store", "scrub");
    g->scrub = g->scrubs ? clock_mono() : (mono_ms){0};
    g->busy = clock_mono();
    tails_start(g);
    *self = g;
    tend_schedule(g);
    return ERR_OK;
}

void store_stop(service *s, void *self)
{
    store_service *g = self;
    (void)s;
    group_fail_all(g, ERR_STOPPING);
    while (store_tend(g->core, 4096)) /* the next start has nothing to catch up */
        ;
    store_close(&g->core);
    free(g->writes);
    free(g);
}
