/* The store in one file: cut at any byte, a bit flipped anywhere, compacted, the disk failing at the sync. */
#include "base/limits.h"
#include "store/store_core.h"
#include "tests/unit/prop.h"
#include "tests/unit/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define KEYS       24u
#define VALUE_MAX  40u
#define STATES_MAX 40u

/* Two tables of a few keys, as after one commit. */
typedef struct {
    uint8_t value[2][KEYS][VALUE_MAX], len[2][KEYS];
    bool held[2][KEYS];
    off_t end; /* of the file then */
} state;

static state states[STATES_MAX];
static size_t n_states;

static bytes key_of(const uint8_t *k)
{
    return bytes_of(k, 1);
}

static void change(prop_rng *r, kv_txn *txn, state *s)
{
    kv_table t = (kv_table)prop_below(r, 2);
    uint8_t k = (uint8_t)prop_below(r, KEYS), *value = s->value[t][k];
    uint64_t what = prop_below(r, 40);
    if (what == 0) {
        cr_assert_eq(kv_clear(txn, t), ERR_OK);
        memset(s->held[t], 0, sizeof s->held[t]);
    } else if (what < 8) {
        cr_assert_eq(kv_del(txn, t, key_of(&k)), s->held[t][k] ? ERR_OK : ERR_NOT_FOUND);
        s->held[t][k] = false;
    } else {
        s->len[t][k] = (uint8_t)(1 + prop_below(r, VALUE_MAX));
        for (size_t i = 0; i < s->len[t][k]; i++)
            value[i] = (uint8_t)prop_u64(r);
        s->held[t][k] = true;
        cr_assert_eq(kv_put(txn, t, key_of(&k), bytes_of(value, s->len[t][k])), ERR_OK);
    }
}

/* How many rows are not as in `s`: -1 when one is there that should not be, or the other way round. */
static int differing(store_kv *kv, const state *s)
{
    kv_txn *txn;
    bytes v;
    int n = 0;
    cr_assert_eq(kv_begin(kv, false, &txn), ERR_OK);
    for (kv_table t = 0; t < 2; t++)
        for (uint8_t k = 0; k < KEYS; k++) {
            err_t e = kv_get(txn, t, key_of(&k), &v);
            if ((e == ERR_OK) != s->held[t][k])
                n = -1;
            else if (n >= 0 && e == ERR_OK)
                n += !bytes_eq(v, bytes_of(s->value[t][k], s->len[t][k]));
        }
    kv_abort(txn);
    return n;
}

static off_t size_of(const fixture *x)
{
    char path[128];
    struct stat st;
    fixture_path(x, path, "log/commits");
    cr_assert_eq(stat(path, &st), 0);
    return st.st_size;
}

static void record_state(const fixture *x, const state *s)
{
    states[n_states] = *s;
    states[n_states++].end = size_of(x);
}

/* A file of some commits, closed; states[] tells what it held after each. */
static void make_history(fixture *x, prop_rng *r)
{
    state now = {0};
    kv_txn *txn;
    n_states = 0;
    fixture_init(x, IN_FILE);
    record_state(x, &now);
    while (n_states < STATES_MAX) {
        cr_assert_eq(kv_begin(x->kv, true, &txn), ERR_OK);
        for (uint64_t n = 1 + prop_below(r, 6); n > 0; n--)
            change(r, txn, &now);
        cr_assert_eq(kv_commit(txn), ERR_OK);
        record_state(x, &now);
    }
    shut(x);
}

/* The file's bytes, to be put back after each trial. */
static uint8_t *slurp(const fixture *x, size_t *len)
{
    char path[128];
    fixture_path(x, path, "log/commits");
    *len = (size_t)size_of(x);
    uint8_t *b = malloc(*len);
    int fd = open(path, O_RDONLY);
    cr_assert_eq(read(fd, b, *len), (ssize_t)*len);
    close(fd);
    return b;
}

/* In place: it stays the same file. */
static void put_file(const fixture *x, const uint8_t *b, size_t len)
{
    char path[128];
    fixture_path(x, path, "log/commits");
    int fd = open(path, O_WRONLY | O_TRUNC);
    cr_assert_eq(write(fd, b, len), (ssize_t)len);
    close(fd);
}

static void write_and_reopen(fixture *x)
{
    kv_txn *txn;
    bytes v;
    cr_assert_eq(kv_begin(x->kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_put(txn, KV_HEAD, bytes_str("after"), bytes_str("wards")), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
    shut(x);
    expect_open(x, ERR_OK, NULL);
    cr_assert_eq(x->info.dropped_bytes, 0);
    cr_assert_eq(kv_begin(x->kv, false, &txn), ERR_OK);
    cr_assert_eq(kv_get(txn, KV_HEAD, bytes_str("after"), &v), ERR_OK);
    kv_abort(txn);
}

Test(store_file, cut_anywhere_it_holds_the_commits_before, .timeout = 100)
{
    fixture x;
    prop_rng r = prop_begin("store_file cut");
    size_t len;
    make_history(&x, &r);
    uint8_t *whole = slurp(&x, &len);
    size_t at = 0; /* the newest state that is whole */
    for (size_t cut = (size_t)states[0].end; cut <= len; cut++) {
        while (at + 1 < n_states && states[at + 1].end <= (off_t)cut)
            at++;
        put_file(&x, whole, cut);
        expect_open(&x, ERR_OK, NULL);
        cr_assert_eq(differing(x.kv, &states[at]), 0, "cut at %zu", cut);
        cr_assert_eq(x.info.dropped_bytes, cut - (size_t)states[at].end);
        cr_assert(!x.info.doubtful && x.info.bad_commits == 0);
        if (prop_below(&r, 50) == 0)
            write_and_reopen(&x);
        shut(&x);
    }
    free(whole);
    fixture_remove_dir(&x);
}

/* Nothing but what happened to one bit may be seen, and all that may be lost is said. */
static void try_flip(fixture *x, uint8_t *whole, size_t len, size_t bit)
{
    const state *last = &states[n_states - 1], *before = last - 1;
    buf why;
    buf_init(&why, 1024);
    whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
    put_file(x, whole, len);
    err_t e = fixture_open(x, &why);
    buf_add_u8(&why, 0);
    if (bit / 8 < (size_t)states[0].end) {
        cr_assert_eq(e, ERR_FOREIGN_DB);
    } else if (bit / 8 >= (size_t)before->end) {
        cr_assert_eq(e, ERR_OK);
        cr_assert(x->info.doubtful && x->info.dropped_bytes == len - (size_t)before->end);
        cr_assert_eq(differing(x->kv, before), 0);
    } else if (e == ERR_OK) {
        int n = differing(x->kv, last);
        cr_assert(x->info.bad_commits == 1 && x->info.dropped_bytes == 0);
        cr_assert(n == 0 || n == 1); /* 0: it was overwritten later */
    } else {
        cr_assert_eq(e, ERR_DAMAGED);
        cr_assert(strstr((const char *)why.p, "move it away") != NULL);
    }
    if (x->kv != NULL)
        shut(x);
    whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
    buf_release(&why);
}

Test(store_file, a_flipped_bit_is_never_served, .timeout = 100)
{
    fixture x;
    size_t len;
    prop_rng r = prop_begin("store_file flip");
    make_history(&x, &r);
    uint8_t *whole = slurp(&x, &len);
    for (size_t byte = 0; byte < len; byte++)
        try_flip(&x, whole, len, byte * 8 + prop_below(&r, 8));
    free(whole);
    fixture_remove_dir(&x);
}

/* What a value holds, or an older file left behind the end, is no later commit. */
Test(store_file, bytes_that_look_like_a_commit_are_none)
{
    fixture x, other;
    size_t len, other_len;
    prop_rng r = prop_begin("store_file guise");
    make_history(&other, &r);
    uint8_t *foreign = slurp(&other, &other_len);
    fixture_remove_dir(&other);
    make_history(&x, &r);
    uint8_t *whole = slurp(&x, &len);
    uint8_t *both = malloc(len + other_len);
    memcpy(both, whole, len);
    memcpy(both + len, foreign, other_len);
    both[len - 1] ^= 1; /* the last commit does not match, and foreign ones follow */
    put_file(&x, both, len + other_len);
    expect_open(&x, ERR_OK, NULL);
    cr_assert_eq(differing(x.kv, &states[n_states - 2]), 0);
    cr_assert(x.info.doubtful);
    free(whole);
    free(both);
    free(foreign);
    fixture_release(&x);
}

Test(store_file, a_doubtful_end_begins_a_new_incarnation)
{
    fixture x;
    store_core *s;
    store_hello_reply hello;
    size_t len;
    store_opening how = {.random_epoch = 5, .random_incarnation = 400};
    fixture_init(&x, IN_FILE);
    cr_assert_eq(store_open(&s, x.kv, &how), ERR_OK);
    cr_assert_eq(store_probe(s), ERR_OK);
    cr_assert_eq(store_probe(s), ERR_OK);
    store_close(&s);
    uint8_t *b = slurp(&x, &len);
    b[len - 3] ^= 4;
    put_file(&x, b, len);
    free(b);
    expect_open(&x, ERR_OK, NULL);
    how.doubtful = x.info.doubtful;
    how.random_epoch = 6;
    cr_assert_eq(store_open(&s, x.kv, &how), ERR_OK);
    cr_assert_eq(store_hello(s, &hello), ERR_OK);
    cr_assert(hello.copied && hello.epoch == 6 && hello.incarnation == 400);
    store_close(&s);
    fixture_remove_dir(&x);
}

Test(store_file, foreign_files_are_refused)
{
    fixture x;
    uint8_t noise[5000];
    fixture_init(&x, IN_FILE);
    shut(&x);
    memset(noise, 0x5a, sizeof noise);
    for (size_t len = 0; len <= sizeof noise; len += 1000) {
        put_file(&x, noise, len);
        expect_open(&x, ERR_FOREIGN_DB, "move it away");
    }
    fixture_remove_dir(&x);
}

Test(store_file, a_second_process_is_refused)
{
    fixture x;
    fixture_init(&x, IN_FILE);
    fixture second = x;
    expect_open(&second, ERR_LOCKED, "another process");
    fixture_release(&x);
}

/* ---- compacting ---- */

static void put_one(store_kv *kv, const char *key, size_t len, err_t expected)
{
    kv_txn *txn;
    uint8_t *value = calloc(1, len);
    cr_assert_eq(kv_begin(kv, true, &txn), ERR_OK);
    cr_assert_eq(kv_put(txn, KV_META, bytes_str(key), bytes_of(value, len)), ERR_OK);
    cr_assert_eq(kv_commit(txn), expected);
    free(value);
}

Test(store_file, what_is_past_is_given_back)
{
    fixture x;
    char path[128];
    off_t largest = 0;
    struct stat before, after;
    fixture_init(&x, IN_FILE);
    put_rows(x.kv, 1, 100);
    fixture_path(&x, path, "log/commits");
    cr_assert_eq(stat(path, &before), 0);
    uint64_t inode = x.info.inode, birth = x.info.birth_ns;
    for (int i = 0; i < 300; i++) {
        put_one(x.kv, "again", 100000, ERR_OK);
        largest = size_of(&x) > largest ? size_of(&x) : largest;
    }
    cr_assert(largest < (off_t)FILE_COMPACT_MIN_BYTES + 200000);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert(before.st_ino != after.st_ino); /* another file … */
    shut(&x);
    expect_open(&x, ERR_OK, NULL);
    cr_assert(x.info.inode == inode && x.info.birth_ns == birth); /* … of the same database */
    cr_assert_eq(count_rows(x.kv), 100);
    fixture_release(&x);
}

Test(store_file, a_compaction_that_fails_changes_nothing)
{
    fixture x;
    char path[128];
    fixture_init(&x, IN_FILE);
    put_rows(x.kv, 1, 100);
    fixture_path(&x, path, "log/commits.new");
    cr_assert_eq(mkdir(path, 0700), 0);
    for (int i = 0; i < 80; i++)
        put_one(x.kv, "again", 100000, ERR_OK);
    cr_assert(size_of(&x) > 8000000);
    cr_assert_eq(rmdir(path), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* and as a crash leaves it */
    shut(&x);
    expect_open(&x, ERR_OK, NULL);
    cr_assert_eq(count_rows(x.kv), 100);
    for (int i = 0; i < 3; i++)
        put_one(x.kv, "again", 100000, ERR_OK);
    cr_assert(size_of(&x) < 2000000);
    fixture_release(&x);
}

/* ---- bounds and a failing disk ---- */

Test(store_file, rows_have_a_bound, .timeout = 100)
{
    fixture x;
    char key[] = "a";
    kv_txn *txn;
    const size_t part = 32u << 20;
    fixture_init(&x, IN_FILE);
    for (size_t all = part; all < FILE_ROWS_MAX_BYTES; all += part, key[0]++)
        put_one(x.kv, key, part, ERR_OK);
    put_one(x.kv, key, part, ERR_FULL);
    cr_assert_eq(kv_begin(x.kv, true, &txn), ERR_OK); /* less is taken */
    cr_assert_eq(kv_del(txn, KV_META, bytes_str("a")), ERR_OK);
    cr_assert_eq(kv_commit(txn), ERR_OK);
    put_one(x.kv, key, part, ERR_OK);
    fixture_release(&x);
}

static bool fail_sync;

/* Takes the place of the C library's. */
int fdatasync(int fd)
{
    if (fail_sync) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

Test(store_file, a_failed_sync_is_no_commit)
{
    fixture x;
    fixture_init(&x, IN_FILE);
    put_rows(x.kv, 1, 10);
    for (uint64_t round = 0; round < 3; round++) {
        kv_txn *txn;
        fail_sync = true;
        put_one(x.kv, "lost", 1000, ERR_IO);
        cr_assert_eq(kv_begin(x.kv, true, &txn), ERR_IO); /* until the lost one is off the disk */
        fail_sync = false;
        put_rows(x.kv, 11 + round, 1);
        cr_assert_eq(count_rows(x.kv), 11 + round);
    }
    shut(&x);
    expect_open(&x, ERR_OK, NULL);
    cr_assert_eq(count_rows(x.kv), 13);
    cr_assert(x.info.dropped_bytes == 0 && !x.info.doubtful);
    fixture_release(&x);
}
