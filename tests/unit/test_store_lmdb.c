/* What can happen to LMDB's own files: cut short, foreign, flipped bits, no lock file, a failed meta page. */
#include "tests/unit/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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
        if (fixture_open(&x, &why) == ERR_OK) {
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
