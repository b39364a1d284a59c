/* The first start in containers: merge founds the dataset or takes up a membership, with what the others leave in the run
 * directory (shell/camp.h). The heir's key of a dataset founded so has nobody to be shown to: it waits in a file of its
 * own until `cairn heir take` has fetched it. */
#include "merge/merge_service.h"

#include "pure/crypto.h"
#include "shell/camp.h"
#include "shell/clock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOINED_MAX_BYTES (RUN_MAX_BYTES + 4096u)

static void heir_path(const service *s, char out[HOME_PATH_MAX])
{
    home_path(service_home(s), out, "merge/heir.key");
}

/* ERR_NOT_FOUND: none waits. */
static err_t read_heir(const service *s, uint8_t seed[MEMBER_SEED_BYTES])
{
    char path[HOME_PATH_MAX];
    buf file;
    heir_path(s, path);
    buf_init(&file, CRYPTO_STORED_BYTES);
    err_t e = home_read_file(path, &file);
    if (e == ERR_OK)
        e = file.len == CRYPTO_STORED_BYTES ? crypto_seed_load(seed, file.p) : ERR_CHECKSUM;
    if (file.p != NULL)
        crypto_wipe(file.p, file.len);
    buf_release(&file);
    return e;
}

/* On disk before the dataset that names it, so that no crash between the two leaves a dataset without an heir. */
static err_t make_heir(const service *s, uint8_t seed[MEMBER_SEED_BYTES], buf *why)
{
    char path[HOME_PATH_MAX];
    uint8_t stored[CRYPTO_STORED_BYTES];
    err_t e = read_heir(s, seed);
    if (e == ERR_OK)
        return e;
    heir_path(s, path);
    random_fill(seed, MEMBER_SEED_BYTES);
    crypto_seed_store(stored, seed);
    e = home_write_file(path, bytes_of(stored, sizeof stored));
    crypto_wipe(stored, sizeof stored);
    if (e == ERR_OK && chmod(path, 0400) != 0)
        e = err_of_errno(errno);
    if (e != ERR_OK)
        buf_addf(why, "cannot write %s: %s", path, err_text(e));
    return e;
}

static err_t found(service *s, const char *title, buf *why)
{
    uint8_t heir[MEMBER_SEED_BYTES];
    transport_key transport;
    dataset_id dataset;
    err_t e = camp_get_hex(service_home(s), "transport", transport.b, sizeof transport.b);
    if (e != ERR_OK)
        return ERR_OK; /* gossip has still to make it */
    TRY(make_heir(s, heir, why));
    e = merge_identity_found(service_home(s), title, config_str(service_config(s), "camp", "node"),
                             &transport, &dataset, heir, why);
    crypto_wipe(heir, sizeof heir);
    if (e == ERR_OK)
        log_info("founded the dataset \"%s\"; its heir key waits: cairn heir take", title);
    return e;
}

/* Proves to the lobby that this member key asks to be let in. */
static err_t prove(service *s, const dataset_id *dataset, buf *why)
{
    const cairn_home *home = service_home(s);
    struct {
        member_key key;
        seal_sig proof;
    } both;
    transport_key transport;
    if (camp_get_hex(home, "transport", transport.b, sizeof transport.b) != ERR_OK)
        return ERR_OK;
    TRY(merge_identity_make_key(home, &both.key, why));
    TRY(merge_identity_sign_join(home, dataset, &transport, &both.proof, why));
    err_t e = camp_put_hex(home, "proof", &both, sizeof both);
    if (e != ERR_OK)
        buf_addf(why, "cannot write to %s: %s", home->run, err_text(e));
    return e;
}

/* [number, name, genesis, …]: gossip has use for the rest. */
static err_t take_up(service *s, bytes joined, const dataset_id *dataset, buf *why)
{
    char name[NAME_MAX_BYTES + 1] = "";
    mp_reader r = mp_reader_of(joined);
    if (mp_array(&r) < 3)
        mp_fail(&r, ERR_MALFORMED);
    uint64_t number = mp_uint(&r);
    bytes text = mp_str(&r), genesis = mp_bin(&r);
    if (r.err != ERR_OK || number == 0 || number > UINT16_MAX || text.len > NAME_MAX_BYTES) {
        buf_addf(why, "%s/joined is damaged: remove it and join again", service_home(s)->run);
        return ERR_MALFORMED;
    }
    snprintf(name, sizeof name, "%.*s", (int)text.len, (const char *)text.p);
    return merge_identity_join(service_home(s), dataset, (member_no)number, name, genesis, why);
}

static err_t join(service *s, const dataset_id *dataset, buf *why)
{
    buf joined;
    buf_init(&joined, JOINED_MAX_BYTES);
    err_t e = camp_get(service_home(s), "joined", &joined);
    if (e == ERR_OK)
        e = take_up(s, buf_view(&joined), dataset, why);
    else if (e == ERR_NOT_FOUND)
        e = prove(s, dataset, why);
    buf_release(&joined);
    return e;
}

err_t merge_enrol(service *s, buf *why)
{
    const config *c = service_config(s);
    const char *title = config_str(c, "camp", "dataset");
    dataset_id dataset;
    if (camp_get_hex(service_home(s), "ask", dataset.b, sizeof dataset.b) == ERR_OK)
        return join(s, &dataset, why);
    return *title == '\0' || *config_str(c, "camp", "join") != '\0' ? ERR_OK : found(s, title, why);
}

bool merge_store_was_lost(const service *s, const store_hello_reply *hello)
{
    char path[HOME_PATH_MAX];
    if (!config_bool(service_config(s), "camp", "containers"))
        return false;
    home_path(service_home(s), path, "merge/born");
    if (access(path, F_OK) == 0)
        return hello->head == 0 && hello->incarnation == 0;
    err_t e = home_write_file(path, bytes_str("this key has had a log\n"));
    if (e != ERR_OK)
        log_warn("cannot write %s: %s", path, err_text(e));
    return false;
}

bool merge_heir_waits(const service *s)
{
    char path[HOME_PATH_MAX];
    heir_path(s, path);
    return access(path, F_OK) == 0;
}

void merge_on_heir_take(service *s, void *self, const service_call *call, const void *msg)
{
    const heir_take_request *in = msg;
    char path[HOME_PATH_MAX];
    uint8_t seed[MEMBER_SEED_BYTES];
    (void)self;
    err_t e = read_heir(s, seed);
    heir_path(s, path);
    if (e == ERR_OK && in->forget && unlink(path) != 0)
        e = err_of_errno(errno);
    if (e == ERR_OK)
        service_reply(s, call,
                      &(heir_take_reply){.seed = bytes_of(seed, in->forget ? 0 : sizeof seed)});
    else if (e == ERR_NOT_FOUND)
        service_fail(s, call, e,
                     "no heir key waits at this node: it was taken already, or was shown when the "
                     "dataset was founded");
    else
        service_fail(s, call, e, "%s: %s", path, err_text(e));
    crypto_wipe(seed, sizeof seed);
}
