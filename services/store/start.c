#include "store/store_service.h"

#include "store/store_lmdb.h"

#include <signal.h>
#include <stdlib.h>
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
 * directory remembers that there was one. */
static err_t open_core(store_service *g, store_kv *kv, const store_lmdb_info *info, buf *machine)
{
    char mark[HOME_PATH_MAX];
    home_path(service_home(g->service), mark, "store.born");
    bool before = access(mark, F_OK) == 0;
    store_opening how = {
        .inode = info->inode,
        .birth_ns = info->birth_ns,
        .machine = buf_view(machine),
        .random_epoch = random_u64() | 1,
        .random_incarnation = random_incarnation(),
        .first_incarnation = before ? random_incarnation() : 0,
    };
    err_t e = store_open(&g->core, kv, &how);
    if (e == ERR_OK && !before)
        (void)!home_write_file(mark, bytes_str("this node has had a log\n"));
    return e;
}

static err_t open_store(store_service *g, buf *why)
{
    store_kv *kv;
    store_lmdb_info info;
    store_hello_reply hello;
    buf machine;
    uint64_t map = (uint64_t)config_int(service_config(g->service), "store", "map_gib") << 30;
    TRY(store_lmdb_open(&kv, service_dir(g->service), map, &info, why));
    buf_init(&machine, 256);
    read_machine_id(&machine);
    err_t e = open_core(g, kv, &info, &machine);
    buf_release(&machine);
    if (e != ERR_OK) {
        buf_addf(why, "cannot read the log in %s: %s", service_dir(g->service), err_text(e));
        kv_free(kv);
        return e;
    }
    if (info.read_only)
        log_warn("the disk is read-only: appends are refused");
    if (store_hello(g->core, &hello) == ERR_OK && hello.copied)
        log_warn("this log was restored or copied: it goes on as incarnation %u",
                 hello.incarnation);
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
