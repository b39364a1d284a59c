#include "cli/bench_raw.h"

#include "base/bytes.h"
#include "pure/crypto.h"
#include "shell/clock.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPAN_MS 400u

/* Repeats `once` for a while. */
static double rate(bool (*once)(void *ctx), void *ctx)
{
    mono_ms from = clock_mono(), now = from;
    unsigned n = 0;
    while (now.ms - from.ms < SPAN_MS) {
        if (!once(ctx))
            return 0;
        n++;
        now = clock_mono();
    }
    return (double)n * 1000 / (double)(now.ms - from.ms);
}

static bool flush_once(void *ctx)
{
    static const char page[4096] = {1};
    int fd = *(int *)ctx;
    return pwrite(fd, page, sizeof page, 0) == (ssize_t)sizeof page && fdatasync(fd) == 0;
}

double bench_raw_flushes(const char *dir)
{
    char path[600];
    snprintf(path, sizeof path, "%s/flush", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    double r = fd >= 0 ? rate(flush_once, &fd) : 0;
    if (fd >= 0)
        close(fd);
    unlink(path);
    return r;
}

typedef struct {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next;
    unsigned events;
} raw_db;

static bool commit_once(void *ctx)
{
    raw_db *d = ctx;
    MDB_txn *txn;
    char payload[200] = {0};
    if (mdb_txn_begin(d->env, NULL, 0, &txn) != 0)
        return false;
    for (unsigned i = 0; i < d->events; i++) {
        uint8_t key[8];
        put_u64be(key, d->next++);
        MDB_val k = {sizeof key, key}, v = {sizeof payload, payload};
        if (mdb_put(txn, d->dbi, &k, &v, MDB_APPEND) != 0) {
            mdb_txn_abort(txn);
            return false;
        }
    }
    return mdb_txn_commit(txn) == 0;
}

static bool open_db(raw_db *d, const char *path)
{
    MDB_txn *txn;
    if (mdb_env_create(&d->env) != 0)
        return false;
    if (mdb_env_set_mapsize(d->env, (size_t)8 << 30) != 0 ||
        mdb_env_open(d->env, path, MDB_NOSUBDIR, 0600) != 0 ||
        mdb_txn_begin(d->env, NULL, 0, &txn) != 0)
        return false;
    if (mdb_dbi_open(txn, NULL, 0, &d->dbi) == 0 && mdb_txn_commit(txn) == 0)
        return true;
    return false;
}

double bench_raw_lmdb(const char *dir, unsigned events)
{
    char path[600], lock[640];
    raw_db d = {.events = events, .next = 1};
    snprintf(path, sizeof path, "%s/raw.mdb", dir);
    snprintf(lock, sizeof lock, "%s-lock", path);
    double r = open_db(&d, path) ? rate(commit_once, &d) : 0;
    if (d.env != NULL)
        mdb_env_close(d.env);
    unlink(path);
    unlink(lock);
    return r;
}

typedef struct {
    crypto_signer signer;
    seal_sig sig;
} signed_text;

static bool verify_once(void *ctx)
{
    signed_text *s = ctx;
    return crypto_verify_message(&s->sig, &s->signer.public, bytes_str("bench")) == ERR_OK;
}

double bench_raw_verifies(void)
{
    signed_text s;
    uint8_t seed[MEMBER_SEED_BYTES] = {7};
    crypto_signer_from_seed(&s.signer, seed);
    return crypto_sign_message(&s.sig, &s.signer, bytes_str("bench")) == ERR_OK
               ? rate(verify_once, &s)
               : 0;
}
