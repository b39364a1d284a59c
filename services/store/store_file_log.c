#include "store/store_file_log.h"

#include "base/limits.h"

#define XXH_INLINE_ALL
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#define SUM_BYTES  8u
#define SCAN_BYTES (1u << 20)
#define ZERO_BYTES 65536u

static const char file_magic[16] = "cairn commits 1";
static const char commit_magic[4] = {'C', 'M', 'I', 'T'};

/* ---- changes ---- */

void changes_init(file_changes *c)
{
    buf_init(&c->keys, FILE_COMMIT_MAX_BYTES);
    buf_init(&c->values, FILE_COMMIT_MAX_BYTES);
}

void changes_release(file_changes *c)
{
    buf_release(&c->keys);
    buf_release(&c->values);
}

void changes_clear(file_changes *c)
{
    buf_clear(&c->keys);
    buf_clear(&c->values);
}

err_t changes_add(file_changes *c, unsigned what, bytes key, bytes value)
{
    uint8_t head[7] = {(uint8_t)what};
    put_u16be(head + 1, (uint16_t)key.len);
    put_u32be(head + 3, (uint32_t)value.len);
    bool fits = buf_add(&c->keys, head, sizeof head) && buf_add_bytes(&c->keys, key) &&
                buf_add_bytes(&c->values, value);
    return fits ? ERR_OK : ERR_NO_MEMORY;
}

/* Takes the next change; false at the end, and with *in not empty when it is no change. */
static bool take_change(bytes *in, bytes *values, unsigned *what, bytes *key, bytes *value)
{
    if (in->len < 7)
        return false;
    size_t key_len = get_u16be(in->p + 1), value_len = get_u32be(in->p + 3);
    *what = in->p[0];
    if (key_len > in->len - 7 || value_len > values->len || *what % FILE_DEL >= KV_TABLES ||
        (*what < FILE_CLEAR && (key_len == 0 || key_len > KV_KEY_MAX)))
        return false;
    *key = bytes_of(in->p + 7, key_len);
    *value = bytes_of(values->p, value_len);
    *in = bytes_of(in->p + 7 + key_len, in->len - 7 - key_len);
    *values = bytes_of(values->p + value_len, values->len - value_len);
    return true;
}

static err_t apply_change(kv_txn *txn, unsigned what, bytes key, bytes value)
{
    kv_table table = (kv_table)(what % FILE_DEL);
    if (what < FILE_DEL)
        return kv_put(txn, table, key, value);
    if (what >= FILE_CLEAR)
        return kv_clear(txn, table);
    err_t e = kv_del(txn, table, key);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t apply(store_kv *rows, bytes keys, bytes values)
{
    kv_txn *txn;
    unsigned what;
    bytes key, value;
    TRY(kv_begin(rows, true, &txn));
    err_t e = ERR_OK;
    while (e == ERR_OK && take_change(&keys, &values, &what, &key, &value))
        e = apply_change(txn, what, key, value);
    if (e == ERR_OK && keys.len == 0)
        return kv_commit(txn);
    kv_abort(txn);
    return e != ERR_OK ? e : ERR_DAMAGED;
}

/* ---- writing ---- */

static err_t write_at(int fd, struct iovec *v, int n, uint64_t at)
{
    while (n > 0) {
        ssize_t wrote = pwritev(fd, v, n, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return disk_error(errno);
        at += (uint64_t)wrote;
        for (; n > 0 && (size_t)wrote >= v->iov_len; v++, n--)
            wrote -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (uint8_t *)v->iov_base + wrote;
            v->iov_len -= (size_t)wrote;
        }
    }
    return ERR_OK;
}

err_t file_log_begin(file_log *l)
{
    uint8_t b[FILE_HEAD_BYTES];
    store_disk_info own = {0};
    disk_learn(l->fd, &own);
    if (l->first_inode == 0) {
        l->first_inode = own.inode;
        l->first_birth_ns = own.birth_ns;
    }
    if (getentropy(&l->salt, sizeof l->salt) != 0)
        return disk_error(errno);
    const uint64_t numbers[] = {l->salt, own.inode, own.birth_ns, l->first_inode,
                                l->first_birth_ns};
    memcpy(b, file_magic, sizeof file_magic);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        put_u64be(b + sizeof file_magic + 8 * i, numbers[i]);
    put_u64be(b + sizeof b - SUM_BYTES, XXH3_64bits(b, sizeof b - SUM_BYTES));
    l->end = sizeof b;
    l->last = 0;
    return write_at(l->fd, &(struct iovec){b, sizeof b}, 1, 0);
}

static uint64_t sum(const file_log *l, bytes b)
{
    return XXH3_64bits_withSeed(b.p, b.len, l->salt);
}

err_t file_log_write(const file_log *l, const file_changes *c)
{
    uint8_t b[FILE_COMMIT_BYTES];
    memcpy(b, commit_magic, sizeof commit_magic);
    put_u32be(b + 4, (uint32_t)c->keys.len);
    put_u32be(b + 8, (uint32_t)c->values.len);
    put_u64be(b + 12, l->last + 1);
    put_u64be(b + 20, sum(l, buf_view(&c->keys)));
    put_u64be(b + 28, sum(l, buf_view(&c->values)));
    put_u64be(b + 36, sum(l, bytes_of(b, 36)));
    struct iovec v[] = {{b, sizeof b}, {c->keys.p, c->keys.len}, {c->values.p, c->values.len}};
    return write_at(l->fd, v, 3, l->end);
}

void file_log_wrote(file_log *l, const file_changes *c)
{
    l->end += FILE_COMMIT_BYTES + c->keys.len + c->values.len;
    l->last++;
}

err_t file_log_cut(const file_log *l)
{
    return ftruncate(l->fd, (off_t)l->end) == 0 && fdatasync(l->fd) == 0 ? ERR_OK
                                                                         : disk_error(errno);
}

err_t file_log_zero(const file_log *l)
{
    static uint8_t zeros[ZERO_BYTES];
    for (uint64_t at = 0; at < l->end; at += sizeof zeros) {
        uint64_t left = l->end - at;
        struct iovec v = {zeros, left < sizeof zeros ? (size_t)left : sizeof zeros};
        TRY(write_at(l->fd, &v, 1, at));
    }
    return fdatasync(l->fd) == 0 ? ERR_OK : disk_error(errno);
}

/* ---- reading ---- */

typedef struct {
    file_log *l;
    const char *path;
    uint64_t bytes; /* of the file */
    buf commit;     /* keys and values of one */
    buf *why;
} reader;

/* ERR_TRUNCATED when the file ends before. */
static err_t read_at(const reader *r, void *to, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(r->l->fd, (uint8_t *)to + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0)
                buf_addf(r->why, "cannot read %s behind byte %llu: %s", r->path,
                         (unsigned long long)(at + done), strerror(errno));
            return got < 0 ? ERR_IO : ERR_TRUNCATED;
        }
        done += (size_t)got;
    }
    return ERR_OK;
}

static err_t read_head(const reader *r, store_disk_info *info)
{
    uint8_t b[FILE_HEAD_BYTES];
    store_disk_info own = {0};
    err_t e = read_at(r, b, sizeof b, 0);
    if (e == ERR_IO)
        return e;
    if (e != ERR_OK || memcmp(b, file_magic, sizeof file_magic) != 0 ||
        get_u64be(b + sizeof b - SUM_BYTES) != XXH3_64bits(b, sizeof b - SUM_BYTES)) {
        buf_addf(r->why, "%s is not a log of this kind: move it away; peers fill a new one",
                 r->path);
        return ERR_FOREIGN_DB;
    }
    r->l->salt = get_u64be(b + 16);
    disk_learn(r->l->fd, &own);
    bool same = own.inode == get_u64be(b + 24) && own.birth_ns == get_u64be(b + 32);
    r->l->first_inode = info->inode = same ? get_u64be(b + 40) : own.inode;
    r->l->first_birth_ns = info->birth_ns = same ? get_u64be(b + 48) : own.birth_ns;
    return ERR_OK;
}

typedef struct {
    uint32_t keys, values;
    uint64_t number, sum_keys, sum_values;
} commit_head;

static bool parse_commit(const file_log *l, const uint8_t b[FILE_COMMIT_BYTES], commit_head *c)
{
    *c = (commit_head){get_u32be(b + 4), get_u32be(b + 8), get_u64be(b + 12), get_u64be(b + 20),
                       get_u64be(b + 28)};
    return memcmp(b, commit_magic, sizeof commit_magic) == 0 &&
           get_u64be(b + 36) == sum(l, bytes_of(b, 36)) && c->keys <= FILE_COMMIT_MAX_BYTES &&
           c->values <= FILE_COMMIT_MAX_BYTES;
}

typedef enum { COMMIT_WHOLE, COMMIT_BAD_VALUES, COMMIT_BAD, COMMIT_SHORT } commit_state;

/* The commit at the log's end, into r->commit; of a WHOLE or BAD_VALUES one *c is set. */
static err_t read_commit(reader *r, commit_head *c, commit_state *state)
{
    uint8_t b[FILE_COMMIT_BYTES];
    uint64_t at = r->l->end, left = r->bytes - at;
    *state = COMMIT_SHORT;
    if (left < sizeof b)
        return ERR_OK;
    TRY(read_at(r, b, sizeof b, at));
    *state = COMMIT_BAD;
    if (!parse_commit(r->l, b, c) || c->number != r->l->last + 1)
        return ERR_OK;
    size_t len = (size_t)c->keys + c->values;
    *state = COMMIT_SHORT;
    if (len > left - sizeof b)
        return ERR_OK;
    buf_clear(&r->commit);
    if (buf_reserve(&r->commit, len + 1) == NULL)
        return ERR_NO_MEMORY;
    TRY(read_at(r, r->commit.p, len, at + sizeof b));
    if (sum(r->l, bytes_of(r->commit.p, c->keys)) != c->sum_keys)
        *state = COMMIT_BAD;
    else if (sum(r->l, bytes_of(r->commit.p + c->keys, c->values)) != c->sum_values)
        *state = COMMIT_BAD_VALUES;
    else
        *state = COMMIT_WHOLE;
    return ERR_OK;
}

static bool holds_commit(const file_log *l, const uint8_t *b, size_t n)
{
    commit_head c;
    const uint8_t *at = b, *end = b + n;
    while ((at = memmem(at, (size_t)(end - at), commit_magic, sizeof commit_magic)) != NULL) {
        if ((size_t)(end - at) >= FILE_COMMIT_BYTES && parse_commit(l, at, &c) &&
            c.number > l->last)
            return true;
        at++;
    }
    return false;
}

/* Whether a later commit began behind the one at the end: then this one was whole once. */
static err_t any_later(const reader *r, bool *any)
{
    uint8_t *b = malloc(SCAN_BYTES);
    err_t e = b != NULL ? ERR_OK : ERR_NO_MEMORY;
    *any = false;
    for (uint64_t at = r->l->end + 1; e == ERR_OK && !*any && at < r->bytes;
         at += SCAN_BYTES - FILE_COMMIT_BYTES) {
        uint64_t left = r->bytes - at;
        size_t n = left < SCAN_BYTES ? (size_t)left : SCAN_BYTES;
        e = read_at(r, b, n, at);
        *any = e == ERR_OK && holds_commit(r->l, b, n);
    }
    free(b);
    return e;
}

static err_t take_commit(reader *r, const commit_head *c, store_kv *rows)
{
    err_t e =
        apply(rows, bytes_of(r->commit.p, c->keys), bytes_of(r->commit.p + c->keys, c->values));
    if (e != ERR_OK)
        return e;
    r->l->end += FILE_COMMIT_BYTES + c->keys + c->values;
    r->l->last++;
    return ERR_OK;
}

/* A commit that is not whole. *more: it counts all the same. */
static err_t judge(const reader *r, commit_state state, store_disk_info *info, bool *more)
{
    TRY(any_later(r, more));
    if (!*more) {
        info->dropped_bytes = r->bytes - r->l->end;
        info->doubtful = state != COMMIT_SHORT; /* who is killed while writing leaves a short one */
        return ERR_OK;
    }
    if (state == COMMIT_BAD_VALUES) {
        info->bad_commits++;
        return ERR_OK;
    }
    buf_addf(r->why, "%s is damaged at byte %llu of %llu: move it away; peers fill a new one",
             r->path, (unsigned long long)r->l->end, (unsigned long long)r->bytes);
    return ERR_DAMAGED;
}

static err_t read_commits(reader *r, store_kv *rows, store_disk_info *info)
{
    commit_head c;
    commit_state state;
    bool more = true;
    while (more && r->l->end < r->bytes) {
        TRY(read_commit(r, &c, &state));
        if (state != COMMIT_WHOLE)
            TRY(judge(r, state, info, &more));
        if (more)
            TRY(take_commit(r, &c, rows));
    }
    return ERR_OK;
}

err_t file_log_read(file_log *l, const char *path, store_kv *rows, store_disk_info *info, buf *why)
{
    struct stat st;
    reader r = {.l = l, .path = path, .why = why};
    l->end = FILE_HEAD_BYTES;
    l->last = 0;
    if (fstat(l->fd, &st) != 0)
        return ERR_IO;
    r.bytes = (uint64_t)st.st_size;
    TRY(read_head(&r, info));
    buf_init(&r.commit, 2 * FILE_COMMIT_MAX_BYTES + 1);
    err_t e = read_commits(&r, rows, info);
    buf_release(&r.commit);
    if (e != ERR_OK && why->len == 0)
        buf_addf(why, "cannot read %s: %s", path, err_text(e));
    return e;
}
