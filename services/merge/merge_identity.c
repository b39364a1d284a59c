#include "merge/merge_identity.h"

#include "pure/chain.h"
#include "pure/run.h"
#include "shell/clock.h"
#include "shell/log.h"

#include <stdio.h>

static err_t complain(buf *why, err_t e, const char *path)
{
    buf_addf(why, "%s: %s", path, err_text(e));
    return e;
}

static err_t read_key(const cairn_home *home, crypto_signer *out, buf *why)
{
    char path[HOME_PATH_MAX];
    uint8_t seed[MEMBER_SEED_BYTES];
    buf file;
    home_path(home, path, "merge/member.key");
    buf_init(&file, 256);
    err_t e = home_read_file(path, &file);
    if (e == ERR_OK)
        e = file.len == CRYPTO_STORED_BYTES ? crypto_seed_load(seed, file.p) : ERR_CHECKSUM;
    if (e == ERR_OK)
        crypto_signer_from_seed(out, seed);
    else if (e == ERR_CHECKSUM)
        buf_addf(why, "%s is damaged: restore it from a backup, or join again as a new member",
                 path);
    else
        (void)complain(why, e, path);
    crypto_wipe(seed, sizeof seed);
    if (file.p != NULL)
        crypto_wipe(file.p, file.len);
    buf_release(&file);
    return e;
}

/* A node without its founder's keys is a member like others, so a damaged file does not keep it from its work. */
static err_t read_founder(const cairn_home *home, merge_identity *out, buf *why)
{
    char path[HOME_PATH_MAX];
    uint8_t seed[MEMBER_SEED_BYTES];
    buf file;
    home_path(home, path, "merge/founder.key");
    buf_init(&file, MERGE_FOUNDER_KEYS * CRYPTO_STORED_BYTES);
    err_t e = home_read_file(path, &file);
    size_t at = 0;
    for (; e == ERR_OK && at + CRYPTO_STORED_BYTES <= file.len; at += CRYPTO_STORED_BYTES) {
        e = crypto_seed_load(seed, file.p + at);
        if (e == ERR_OK)
            crypto_signer_from_seed(&out->founder[out->n_founder++], seed);
    }
    if (e == ERR_CHECKSUM || e == ERR_TOO_LARGE || (e == ERR_OK && at != file.len))
        log_error(
            "%s is damaged: restore it from a backup; until then this node is not the founder's",
            path);
    else if (e != ERR_OK && e != ERR_NOT_FOUND)
        return complain(why, e, path);
    crypto_wipe(seed, sizeof seed);
    if (file.p != NULL)
        crypto_wipe(file.p, file.len);
    buf_release(&file);
    return ERR_OK;
}

static err_t read_identity(const cairn_home *home, merge_identity *out, buf *why)
{
    char path[HOME_PATH_MAX];
    buf file;
    home_path(home, path, "merge/identity");
    buf_init(&file, 1024);
    err_t e = home_read_file(path, &file);
    if (e == ERR_OK) {
        mp_reader r = mp_reader_of(buf_view(&file));
        if (mp_array(&r) != 2)
            mp_fail(&r, ERR_MALFORMED);
        out->self = (member_no)mp_uint(&r);
        bytes name = mp_str(&r);
        if (name.len > NAME_MAX_BYTES)
            mp_fail(&r, ERR_TOO_LARGE);
        snprintf(out->name, sizeof out->name, "%.*s", (int)(r.err == ERR_OK ? name.len : 0),
                 (const char *)name.p);
        e = mp_done(&r);
    }
    if (e != ERR_OK)
        (void)complain(why, e, path);
    buf_release(&file);
    return e;
}

err_t merge_identity_load(const cairn_home *home, merge_identity *out, buf *why)
{
    char path[HOME_PATH_MAX];
    *out = (merge_identity){.dataset = home->dataset};
    buf_init(&out->genesis, RUN_MAX_BYTES);
    TRY(read_key(home, &out->signer, why));
    TRY(read_founder(home, out, why));
    TRY(read_identity(home, out, why));
    home_path(home, path, "merge/genesis");
    err_t e = home_read_file(path, &out->genesis);
    return e == ERR_OK ? ERR_OK : complain(why, e, path);
}

void merge_identity_release(merge_identity *id)
{
    buf_release(&id->genesis);
    crypto_wipe(&id->signer, sizeof id->signer);
    crypto_wipe(id->founder, sizeof id->founder);
}

static err_t make_dir(const cairn_home *home, buf *why)
{
    char path[HOME_PATH_MAX];
    home_path(home, path, "merge");
    err_t e = home_make_dir(path);
    return e == ERR_OK ? e : complain(why, e, path);
}

static err_t write_below(const cairn_home *home, const char *name, bytes content, buf *why)
{
    char path[HOME_PATH_MAX];
    home_path(home, path, name);
    err_t e = home_write_file(path, content);
    return e == ERR_OK ? e : complain(why, e, path);
}

static void put_seed(buf *file, const uint8_t seed[MEMBER_SEED_BYTES])
{
    uint8_t stored[CRYPTO_STORED_BYTES];
    crypto_seed_store(stored, seed);
    (void)buf_add(file, stored, sizeof stored);
    crypto_wipe(stored, sizeof stored);
}

err_t merge_identity_make_founder(const cairn_home *home, const crypto_signer *in_force,
                                  crypto_signer *out, buf *why)
{
    uint8_t seed[MEMBER_SEED_BYTES];
    buf file;
    buf_init(&file, MERGE_FOUNDER_KEYS * CRYPTO_STORED_BYTES);
    if (in_force != NULL) {
        crypto_signer_seed(seed, in_force);
        put_seed(&file, seed);
    }
    random_fill(seed, sizeof seed);
    put_seed(&file, seed);
    err_t e = file.err;
    if (e == ERR_OK)
        e = write_below(home, "merge/founder.key", buf_view(&file), why);
    if (e == ERR_OK)
        crypto_signer_from_seed(out, seed);
    crypto_wipe(seed, sizeof seed);
    if (file.p != NULL)
        crypto_wipe(file.p, file.cap);
    buf_release(&file);
    return e;
}

static err_t make_signer(const cairn_home *home, crypto_signer *out, buf *why)
{
    uint8_t seed[MEMBER_SEED_BYTES], stored[CRYPTO_STORED_BYTES];
    buf ignored;
    buf_init(&ignored, 512);
    TRY(make_dir(home, why));
    err_t e = read_key(home, out, &ignored);
    if (e == ERR_NOT_FOUND) {
        random_fill(seed, sizeof seed);
        crypto_seed_store(stored, seed);
        e = write_below(home, "merge/member.key", bytes_of(stored, sizeof stored), why);
        if (e == ERR_OK)
            crypto_signer_from_seed(out, seed);
        crypto_wipe(seed, sizeof seed);
        crypto_wipe(stored, sizeof stored);
    } else if (e != ERR_OK) {
        buf_add_bytes(why, buf_view(&ignored));
    }
    buf_release(&ignored);
    return e;
}

err_t merge_identity_make_key(const cairn_home *home, member_key *key, buf *why)
{
    crypto_signer signer;
    err_t e = make_signer(home, &signer, why);
    *key = signer.public;
    crypto_wipe(&signer, sizeof signer);
    return e;
}

static err_t write_identity(const cairn_home *home, member_no number, const char *name, buf *why)
{
    buf file;
    buf_init(&file, 256);
    mp_put_array(&file, 2);
    mp_put_uint(&file, number);
    mp_put_cstr(&file, name);
    err_t e =
        file.err == ERR_OK ? write_below(home, "merge/identity", buf_view(&file), why) : file.err;
    buf_release(&file);
    return e;
}

/* The id comes last: it is what makes the home a node. */
static err_t write_dataset(const cairn_home *home, const dataset_id *dataset, buf *why)
{
    char hex[2 * EVENT_ID_BYTES + 2];
    hex_encode(hex, dataset->b, sizeof dataset->b);
    hex[2 * EVENT_ID_BYTES] = '\n';
    return write_below(home, home->dataset_file, bytes_of(hex, 2 * EVENT_ID_BYTES + 1), why);
}

static err_t genesis_body(const crypto_signer *signer, const char *title, const char *name,
                          const transport_key *transport, const member_key *heir, buf *body)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    roster_event ev = {.kind = ROSTER_EV_GENESIS,
                       .number = ROSTER_FOUNDER_NUMBER,
                       .key = signer->public,
                       .heir = *heir,
                       .has_transport = true,
                       .transport = *transport,
                       .name = bytes_str(name),
                       .title = bytes_str(title)};
    random_fill(ev.random, sizeof ev.random);
    err_t e = roster_event_write(&ev, &payload);
    event_fields f = {.stamp = {clock_wall().ms, 0},
                      .category = bytes_str(ROSTER_CATEGORY),
                      .stream = bytes_str(ROSTER_STREAM),
                      .kind = bytes_str(ROSTER_KIND_GENESIS),
                      .payload = buf_view(&payload)};
    if (e == ERR_OK)
        e = event_build(&f, body);
    buf_release(&payload);
    return e;
}

static err_t genesis_run(const crypto_signer *signer, bytes body, dataset_id *dataset, buf *out)
{
    event_view v;
    event_id start, id;
    seal_sig seal;
    run_writer w;
    uint32_t count;
    TRY(event_parse(body, &v));
    chain_genesis_id(dataset, &signer->public, v.head, v.tail);
    chain_start_genesis(&start, &signer->public);
    chain_next(&id, &start, 1, v.head, v.tail);
    TRY(chain_sign(&seal, signer, dataset, ROSTER_FOUNDER_FEED, 1, &id));
    TRY(run_begin(&w, out, ROSTER_FOUNDER_FEED, 1, &start));
    TRY(run_add(&w, body, false, &seal));
    return run_end(&w, &count);
}

static err_t found(const cairn_home *home, const char *title, const char *name,
                   const transport_key *transport, const member_key *heir, dataset_id *dataset,
                   buf *body, buf *encoded, buf *why)
{
    crypto_signer signer;
    TRY(make_signer(home, &signer, why));
    err_t e = genesis_body(&signer, title, name, transport, heir, body);
    if (e == ERR_OK)
        e = genesis_run(&signer, buf_view(body), dataset, encoded);
    crypto_wipe(&signer, sizeof signer);
    if (e != ERR_OK) {
        buf_addf(why, "title or name: %s", err_text(e));
        return e;
    }
    TRY(write_below(home, "merge/genesis", buf_view(encoded), why));
    TRY(write_identity(home, ROSTER_FOUNDER_NUMBER, name, why));
    return write_dataset(home, dataset, why);
}

err_t merge_identity_found(const cairn_home *home, const char *title, const char *name,
                           const transport_key *transport, dataset_id *dataset,
                           const uint8_t heir_seed[MEMBER_SEED_BYTES], buf *why)
{
    crypto_signer heir;
    buf body, encoded;
    if (home->has_dataset) {
        buf_addf(why, "there is a dataset in %s already: choose another --home, or remove that one",
                 home->path);
        return ERR_EXISTS;
    }
    crypto_signer_from_seed(&heir, heir_seed);
    buf_init(&body, EVENT_MAX_BYTES);
    buf_init(&encoded, RUN_MAX_BYTES);
    err_t e = found(home, title, name, transport, &heir.public, dataset, &body, &encoded, why);
    crypto_wipe(&heir, sizeof heir);
    buf_release(&body);
    buf_release(&encoded);
    return e;
}

err_t merge_identity_join(const cairn_home *home, const dataset_id *dataset, member_no number,
                          const char *name, bytes genesis, buf *why)
{
    if (home->has_dataset) {
        buf_addf(why, "there is a dataset in %s already: choose another --home, or remove that one",
                 home->path);
        return ERR_EXISTS;
    }
    member_key founder;
    err_t e = merge_genesis_of(genesis, dataset, &founder);
    if (e != ERR_OK) {
        buf_addf(why, "the inviter's first event is not that of the token's dataset: %s",
                 err_text(e));
        return e;
    }
    TRY(make_dir(home, why));
    TRY(write_below(home, "merge/genesis", genesis, why));
    TRY(write_identity(home, number, name, why));
    return write_dataset(home, dataset, why);
}

err_t merge_identity_sign_join(const cairn_home *home, const dataset_id *dataset,
                               const transport_key *transport, seal_sig *proof, buf *why)
{
    static const char label[] = "cairn/1 join";
    uint8_t message[sizeof label - 1 + sizeof dataset->b + sizeof transport->b];
    crypto_signer signer;
    memcpy(message, label, sizeof label - 1);
    memcpy(message + sizeof label - 1, dataset->b, sizeof dataset->b);
    memcpy(message + sizeof label - 1 + sizeof dataset->b, transport->b, sizeof transport->b);
    TRY(read_key(home, &signer, why));
    err_t e = crypto_sign_message(proof, &signer, bytes_of(message, sizeof message));
    crypto_wipe(&signer, sizeof signer);
    return e;
}
