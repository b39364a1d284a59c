/* What can happen to the disk below a storage with files, of every kind: opened again, no space, read-only, copied. */
#include "store/store_core.h"
#include "tests/unit/store_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void opens_again_with_what_was_committed(fixture_kind kind)
{
    fixture x;
    fixture_init(&x, kind);
    cr_assert(x.info.created && !x.info.read_only && x.info.inode != 0);
    put_rows(x.kv, 1, 100);
    uint64_t inode = x.info.inode, birth = x.info.birth_ns;
    shut(&x);
    expect_open(&x, ERR_OK, NULL);
    cr_assert(!x.info.created && x.info.inode == inode && x.info.birth_ns == birth);
    cr_assert_eq(count_rows(x.kv), 100);
    fixture_release(&x);
}

/* ---- no space ---- */

/* Writes rows until it is refused; how many were committed. */
static uint64_t fill(store_kv *kv, uint64_t from, err_t *refused)
{
    uint8_t value[2000] = {0};
    uint64_t at = from;
    for (*refused = ERR_OK; *refused == ERR_OK && at < from + 100000; at++) {
        kv_txn *txn;
        store_key key;
        key_offset(&key, at);
        *refused = kv_begin(kv, true, &txn);
        if (*refused != ERR_OK)
            break;
        *refused = kv_append(txn, KV_LOG, key_view(&key), bytes_of(value, sizeof value));
        if (*refused == ERR_OK)
            *refused = kv_commit(txn);
        else
            kv_abort(txn);
        if (*refused != ERR_OK)
            break;
    }
    return at - from;
}

static void a_file_size_limit_is_a_full_disk(fixture_kind kind)
{
    fixture x;
    err_t refused;
    struct rlimit limit, before;
    fixture_init(&x, kind);
    put_rows(x.kv, 1, 10);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 400000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t n = fill(x.kv, 11, &refused);
    cr_assert_eq(refused, ERR_FULL, "%s", err_name(refused));
    cr_assert_eq(count_rows(x.kv), 10 + n);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    put_rows(x.kv, 11 + n, 100);
    cr_assert_eq(count_rows(x.kv), 110 + n);
    fixture_release(&x);
}

/* A small file system of its own, where the test may make one. */
static bool mount_small(fixture *x, fixture_kind kind)
{
    *x = (fixture){.kind = kind};
    fixture_make_dir(x);
    if (mount("tmpfs", x->dir, "tmpfs", 0, "size=1500k") == 0)
        return true;
    (void)rmdir(x->dir);
    return false;
}

static void unmount_small(fixture *x)
{
    kv_free(x->kv);
    (void)umount(x->dir);
    (void)rmdir(x->dir);
}

static void a_full_disk_refuses_writes_serves_reads_and_recovers(fixture_kind kind)
{
    fixture x;
    char path[128];
    err_t refused;
    uint8_t block[65536] = {0};
    if (!mount_small(&x, kind))
        cr_skip_test("no tmpfs can be mounted here");
    expect_open(&x, ERR_OK, NULL);
    put_rows(x.kv, 1, 50);
    fixture_path(&x, path, "hog");
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    while (write(fd, block, sizeof block) > 0)
        ;
    while (write(fd, block, 512) > 0)
        ;
    close(fd);
    uint64_t n = fill(x.kv, 51, &refused);
    cr_assert_eq(refused, ERR_FULL, "%s", err_name(refused));
    cr_assert_eq(count_rows(x.kv), 50 + n);
    shut(&x); /* also a restart on the full disk serves reads */
    expect_open(&x, ERR_OK, NULL);
    cr_assert_eq(count_rows(x.kv), 50 + n);
    cr_assert_eq(unlink(path), 0);
    put_rows(x.kv, 51 + n, 20);
    cr_assert_eq(count_rows(x.kv), 70 + n);
    unmount_small(&x);
}

static void a_read_only_disk_serves_reads(fixture_kind kind)
{
    fixture x;
    kv_txn *txn;
    if (!mount_small(&x, kind))
        cr_skip_test("no tmpfs can be mounted here");
    expect_open(&x, ERR_OK, NULL);
    put_rows(x.kv, 1, 50);
    shut(&x);
    cr_assert_eq(mount("tmpfs", x.dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1500k"), 0);
    expect_open(&x, ERR_OK, NULL);
    cr_assert(x.info.read_only);
    cr_assert_eq(count_rows(x.kv), 50);
    cr_assert_eq(kv_begin(x.kv, true, &txn), ERR_READ_ONLY);
    shut(&x);
    cr_assert_eq(mount("tmpfs", x.dir, "tmpfs", MS_REMOUNT, "size=1500k"), 0);
    expect_open(&x, ERR_OK, NULL);
    put_rows(x.kv, 51, 1);
    unmount_small(&x);
}

static void the_core_says_that_it_is_full_and_recovers(fixture_kind kind)
{
    fixture x;
    store_core *s;
    store_hello_reply hello;
    struct rlimit limit, before;
    static append_row rows[200];
    static uint8_t body[2000];
    append_reply out;
    err_t e = ERR_OK;
    fixture_init(&x, kind);
    store_opening how = {.random_epoch = 5, .random_incarnation = 8};
    cr_assert_eq(store_open(&s, x.kv, &how), ERR_OK);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 400000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t seq = 0;
    while (e == ERR_OK && seq < 1000) {
        append_row *row = &rows[0];
        *row = (append_row){.feed = 1, .seq = seq + 1, .flags = ROW_COUNTS | ROW_OPAQUE};
        put_u64be(row->id.b, seq + 1);
        put_u64be(row->prev.b, seq);
        row->body = bytes_of(body, sizeof body);
        append_request req = {.rows = MSG_LIST_OF(rows, 1)};
        cr_assert_eq(store_begin(s), ERR_OK);
        (void)!store_append(s, &req, (wall_ms){1}, &out);
        e = store_commit(s);
        seq += e == ERR_OK;
    }
    cr_assert_eq(e, ERR_FULL);
    cr_assert_eq(store_hello(s, &hello), ERR_OK);
    cr_assert(hello.state == ERR_FULL && hello.head == seq && store_head(s) == seq);
    fetch_request fetch = {.max = 1000};
    rows_reply reply;
    cr_assert_eq(store_fetch(s, &fetch, &reply), ERR_OK);
    cr_assert(reply.rows.n > 0 && !reply.caught_up == (reply.rows.n < seq));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_eq(store_probe(s), ERR_OK);
    cr_assert_eq(store_hello(s, &hello), ERR_OK);
    cr_assert_eq(hello.state, ERR_OK);
    store_close(&s);
    x.kv = NULL;
    fixture_release(&x);
}

/* ---- copies ---- */

static void copy_file(const char *from, const char *to)
{
    static uint8_t block[1 << 20];
    ssize_t n;
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    cr_assert(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof block)) > 0)
        cr_assert_eq(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

static store_hello_reply open_copy(fixture *x, uint64_t epoch)
{
    store_core *s;
    store_hello_reply hello;
    expect_open(x, ERR_OK, NULL);
    store_opening how = {.inode = x->info.inode,
                         .birth_ns = x->info.birth_ns,
                         .random_epoch = epoch,
                         .random_incarnation = 400};
    cr_assert_eq(store_open(&s, x->kv, &how), ERR_OK);
    cr_assert_eq(store_hello(s, &hello), ERR_OK);
    store_close(&s);
    x->kv = NULL;
    return hello;
}

static void a_copied_directory_is_noticed(fixture_kind kind)
{
    fixture a, b = {.kind = kind};
    char from[128], to[128];
    fixture_init(&a, kind);
    shut(&a);
    store_hello_reply hello = open_copy(&a, 11);
    cr_assert(hello.epoch == 11 && hello.incarnation == 0 && !hello.copied);
    fixture_make_dir(&b);
    fixture_path(&b, to, "log");
    cr_assert_eq(mkdir(to, 0700), 0);
    fixture_path(&a, from, fixture_file(kind));
    fixture_path(&b, to, fixture_file(kind));
    copy_file(from, to);
    hello = open_copy(&b, 12);
    cr_assert(hello.epoch == 12 && hello.incarnation == 400 && hello.copied);
    hello = open_copy(&b, 13);
    cr_assert(hello.epoch == 12 && hello.incarnation == 400 && !hello.copied);
    hello = open_copy(&a, 14);
    cr_assert(hello.epoch == 11 && !hello.copied);
    fixture_remove_dir(&a);
    fixture_remove_dir(&b);
}

#define ON_EACH(name)                                                                              \
    Test(store_disk, name##_lmdb)                                                                  \
    {                                                                                              \
        name(IN_LMDB);                                                                             \
    }                                                                                              \
    Test(store_disk, name##_file)                                                                  \
    {                                                                                              \
        name(IN_FILE);                                                                             \
    }

ON_EACH(opens_again_with_what_was_committed)
ON_EACH(a_file_size_limit_is_a_full_disk)
ON_EACH(a_full_disk_refuses_writes_serves_reads_and_recovers)
ON_EACH(a_read_only_disk_serves_reads)
ON_EACH(the_core_says_that_it_is_full_and_recovers)
ON_EACH(a_copied_directory_is_noticed)
