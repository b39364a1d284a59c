/* What can happen to the files: cut short, foreign, copied, no space, read-only, no lock file. */
#include "store/store_core.h"
#include "store/store_keys.h"
#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void put_rows(store_kv *kv, uint64_t from, uint64_t n)
{
    kv_txn *txn;
    store_key key;
    uint8_t value[1000] = {0};
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    for (uint64_t i = from; i < from + n; i++) {
        key_offset(&key, i);
        cr_assert_eq(kv_append(txn, KV_LOG, key_view(&key), bytes_of(value, sizeof value)), ERR_OK);
    }
    cr_assert_eq(kv_commit(txn), ERR_OK);
}

static uint64_t count_rows(store_kv *kv)
{
    kv_stats stats;
    cr_assert_eq(kv_get_stats(kv, &stats), ERR_OK);
    return stats.rows[KV_LOG];
}

/* Closes, does nothing else. */
static void shut(fixture *x)
{
    kv_free(x->kv);
    x->kv = NULL;
}

static void expect_open(fixture *x, err_t expected, const char *words)
{
    buf why;
    buf_init(&why, 1024);
    err_t e = fixture_open_lmdb(x, &why);
    buf_add_u8(&why, 0);
    cr_assert_eq(e, expected, "%s: %s", err_name(e), (const char *)why.p);
    cr_assert(words == NULL || strstr((const char *)why.p, words) != NULL, "%s",
              (const char *)why.p);
    buf_release(&why);
}

Test(store_lmdb, opens_again_with_what_was_committed)
{
    fixture x;
    fixture_init(&x, IN_LMDB);
    cr_assert(x.info.created && !x.info.read_only && x.info.inode != 0);
    put_rows(x.kv, 1, 100);
    uint64_t inode = x.info.inode, birth = x.info.birth_ns;
    shut(&x);
    expect_open(&x, ERR_OK, NULL);
    cr_assert(!x.info.created && x.info.inode == inode && x.info.birth_ns == birth);
    cr_assert_eq(count_rows(x.kv), 100);
    fixture_release(&x);
}

Test(store_lmdb, an_interrupted_creation_is_begun_anew)
{
    fixture x = {.kind = IN_LMDB};
    char path[128];
    fixture_make_dir(&x);
    fixture_path(&x, path, "log.new");
    cr_assert_eq(mkdir(path, 0700), 0);
    fixture_path(&x, path, "log.new/data.mdb");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    fixture_path(&x, path, "log");
    cr_assert_eq(mkdir(path, 0700), 0);
    fixture_path(&x, path, "log/lock.mdb");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    expect_open(&x, ERR_OK, NULL);
    cr_assert(x.info.created);
    fixture_release(&x);
}

Test(store_lmdb, a_file_cut_short_is_refused_wherever_it_is_cut)
{
    fixture x;
    char path[128];
    struct stat st;
    fixture_init(&x, IN_LMDB);
    put_rows(x.kv, 1, 200);
    shut(&x);
    fixture_path(&x, path, "log/data.mdb");
    cr_assert_eq(stat(path, &st), 0);
    for (off_t size = st.st_size - 1; size >= 0; size = size > 20000 ? size - 20000 : size - 4000) {
        cr_assert_eq(truncate(path, size), 0);
        expect_open(&x, ERR_FOREIGN_DB, "move it away");
    }
    fixture_remove_dir(&x);
}

Test(store_lmdb, foreign_files_are_refused)
{
    fixture x;
    char path[128];
    uint8_t noise[16384];
    fixture_init(&x, IN_LMDB);
    shut(&x);
    fixture_path(&x, path, "log/data.mdb");
    memset(noise, 0x5a, sizeof noise);
    int fd = open(path, O_WRONLY | O_TRUNC);
    cr_assert(write(fd, noise, sizeof noise) == (ssize_t)sizeof noise);
    close(fd);
    expect_open(&x, ERR_FOREIGN_DB, "not a database");
    fixture_remove_dir(&x);
}

Test(store_lmdb, the_lock_file_may_be_missing)
{
    fixture x;
    char path[128];
    struct stat st;
    fixture_init(&x, IN_LMDB);
    put_rows(x.kv, 1, 10);
    shut(&x);
    fixture_path(&x, path, "log/lock.mdb");
    cr_assert_eq(unlink(path), 0);
    expect_open(&x, ERR_OK, NULL);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert(st.st_blocks * 512 >= st.st_size); /* no hole that a full disk could not fill */
    cr_assert_eq(count_rows(x.kv), 10);
    fixture_release(&x);
}

/* The length that the meta page tells is there even when the last pages were given back at once. */
Test(store_lmdb, the_file_is_as_long_as_it_says)
{
    fixture x;
    kv_txn *txn;
    store_key key;
    fixture_init(&x, IN_LMDB);
    put_rows(x.kv, 1, 300);
    for (uint64_t round = 0; round < 20; round++) {
        cr_assert_eq(kv_begin(x.kv, true, &txn), ERR_OK);
        uint8_t value[1000] = {0};
        for (uint64_t i = 1; i <= 300; i++) {
            key_offset(&key, 1000 + i);
            cr_assert_eq(kv_put(txn, KV_LOG, key_view(&key), bytes_of(value, sizeof value)),
                         ERR_OK);
        }
        for (uint64_t i = 300; i > round * 10; i--) {
            key_offset(&key, 1000 + i);
            cr_assert_eq(kv_del(txn, KV_LOG, key_view(&key)), ERR_OK);
        }
        cr_assert_eq(kv_commit(txn), ERR_OK);
        shut(&x);
        expect_open(&x, ERR_OK, NULL);
    }
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

Test(store_lmdb, a_file_size_limit_is_a_full_disk)
{
    fixture x;
    err_t refused;
    struct rlimit limit, before;
    fixture_init(&x, IN_LMDB);
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
static bool mount_small(fixture *x)
{
    *x = (fixture){.kind = IN_LMDB};
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

Test(store_lmdb, a_full_disk_refuses_writes_serves_reads_and_recovers)
{
    fixture x;
    char path[128];
    err_t refused;
    uint8_t block[65536] = {0};
    if (!mount_small(&x))
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

Test(store_lmdb, a_read_only_disk_serves_reads)
{
    fixture x;
    kv_txn *txn;
    if (!mount_small(&x))
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

Test(store_lmdb, the_core_says_that_it_is_full_and_recovers)
{
    fixture x;
    store_core *s;
    store_hello_reply hello;
    struct rlimit limit, before;
    static append_row rows[200];
    static uint8_t body[2000];
    append_reply out;
    err_t e = ERR_OK;
    fixture_init(&x, IN_LMDB);
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

/* ---- a disk that fails while a meta page is written ---- */

static bool fail_meta;

/* Takes the place of the C library's for LMDB, which writes its meta pages by writes shorter than a page. */
ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (fail_meta && n < 4096) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, n, at);
}

Test(store_lmdb, a_failed_meta_page_is_survived)
{
    fixture x;
    kv_txn *txn;
    store_key key;
    fixture_init(&x, IN_LMDB);
    put_rows(x.kv, 1, 50);
    for (uint64_t round = 0; round < 3; round++) {
        cr_assert_eq(kv_begin(x.kv, true, &txn), ERR_OK);
        key_offset(&key, 1000 + round);
        cr_assert_eq(kv_append(txn, KV_LOG, key_view(&key), bytes_str("lost")), ERR_OK);
        fail_meta = true;
        cr_assert_eq(kv_commit(txn), ERR_IO);
        fail_meta = false;
        cr_assert_eq(count_rows(x.kv), 50 + round);
        put_rows(x.kv, 51 + round, 1);
        cr_assert_eq(count_rows(x.kv), 51 + round);
    }
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

Test(store_lmdb, a_copied_directory_is_noticed)
{
    fixture a, b = {.kind = IN_LMDB};
    char from[128], to[128];
    fixture_init(&a, IN_LMDB);
    shut(&a);
    store_hello_reply hello = open_copy(&a, 11);
    cr_assert(hello.epoch == 11 && hello.incarnation == 0 && !hello.copied);
    fixture_make_dir(&b);
    fixture_path(&b, to, "log");
    cr_assert_eq(mkdir(to, 0700), 0);
    fixture_path(&a, from, "log/data.mdb");
    fixture_path(&b, to, "log/data.mdb");
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

/* ---- flipped bits in the file itself, wherever rows lie ---- */

Test(store_lmdb, flips_in_row_pages_never_kill_the_reader, .timeout = 60)
{
    fixture x;
    char path[128];
    struct stat st;
    uint64_t state = 12345;
    fixture_init(&x, IN_LMDB);
    put_rows(x.kv, 1, 500);
    shut(&x);
    fixture_path(&x, path, "log/data.mdb");
    cr_assert_eq(stat(path, &st), 0);
    for (int i = 0; i < 300; i++) {
        uint8_t byte;
        kv_txn *txn;
        bytes value;
        store_key key;
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        /* beyond the meta pages and the page headers: node headers, keys, values */
        off_t at = (off_t)(state >> 20) % (st.st_size - 8192) + 8192;
        if (at % 4096 < 32)
            continue;
        int fd = open(path, O_RDWR);
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        uint8_t bad = (uint8_t)(byte ^ (1u << (state & 7)));
        cr_assert_eq(pwrite(fd, &bad, 1, at), 1);
        buf why;
        buf_init(&why, 1024);
        if (fixture_open_lmdb(&x, &why) == ERR_OK) {
            cr_assert_eq(kv_begin(x.kv, false, &txn), ERR_OK);
            for (uint64_t k = 1; k <= 500; k++) {
                key_offset(&key, k);
                if (kv_get(txn, KV_LOG, key_view(&key), &value) == ERR_OK)
                    (void)sum_of(KV_LOG, key_view(&key), value); /* may be read */
            }
            kv_abort(txn);
            shut(&x);
        }
        buf_release(&why);
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    fixture_remove_dir(&x);
}
