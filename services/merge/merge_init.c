/* What `cairn init` and `cairn join` have merge do, because the member key is merge's: it never leaves this process. */
#include "merge/merge_service.h"

#include "pure/crypto.h"
#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>

const service_option merge_options[MERGE_OPTIONS] = {
    {"init-key", NULL,
     "make this machine's member key if there is none, print its public half, exit"},
    {"init-dataset", "TITLE", "found a dataset; prints its id and the heir key, exit"},
    {"init-member", "NUMBER", "take up the membership that a join brought, exit"},
    {"sign-join", "DATASET", "print the signature by which a joiner proves its key, exit"},
    {"name", "NODE", "with --init-dataset, --init-member: this node's name"},
    {"transport", "HEX", "with --init-dataset, --sign-join: public transport key"},
    {"dataset", "HEX", "with --init-member: dataset id"},
    {"genesis", "HEX", "with --init-member: run with the founder's first event"},
};

static err_t opt_hex(service *s, const char *name, void *out, size_t len, buf *why)
{
    const char *text = service_opt(s, name, 0);
    if (text != NULL && hex_decode(out, len, text, strlen(text)))
        return ERR_OK;
    buf_addf(why, "--%s needs %zu hex digits", name, 2 * len);
    return ERR_USAGE;
}

static void print_hex(const char *label, const void *p, size_t len)
{
    char hex[2 * 128 + 1];
    hex_encode(hex, p, len < 128 ? len : 128);
    printf("%s%s\n", label, hex);
}

static err_t init_key(service *s, buf *why)
{
    member_key key;
    TRY(merge_identity_make_key(service_home(s), &key, why));
    print_hex("", key.b, sizeof key.b);
    return ERR_OK;
}

static err_t init_dataset(service *s, buf *why)
{
    transport_key transport;
    dataset_id dataset;
    uint8_t heir[MEMBER_SEED_BYTES];
    const char *name = service_opt(s, "name", 0);
    TRY(opt_hex(s, "transport", transport.b, sizeof transport.b, why));
    random_fill(heir, sizeof heir);
    err_t e = merge_identity_found(service_home(s), service_opt(s, "init-dataset", 0),
                                   name != NULL ? name : "base", &transport, &dataset, heir, why);
    if (e == ERR_OK) {
        print_hex("dataset ", dataset.b, sizeof dataset.b);
        print_hex("heir ", heir, sizeof heir);
    }
    crypto_wipe(heir, sizeof heir);
    return e;
}

static err_t init_member(service *s, buf *why)
{
    dataset_id dataset;
    const char *name = service_opt(s, "name", 0), *hex = service_opt(s, "genesis", 0);
    long number = strtol(service_opt(s, "init-member", 0), NULL, 10);
    TRY(opt_hex(s, "dataset", dataset.b, sizeof dataset.b, why));
    size_t len = hex != NULL ? strlen(hex) / 2 : 0;
    uint8_t *genesis = malloc(len > 0 ? len : 1);
    if (genesis == NULL)
        return ERR_NO_MEMORY;
    err_t e = ERR_USAGE;
    if (number < 1 || number > UINT16_MAX || name == NULL || len == 0 ||
        !hex_decode(genesis, len, hex, 2 * len))
        buf_add_str(why, "--init-member needs a number from 1 to 65535, --name and --genesis");
    else
        e = merge_identity_join(service_home(s), &dataset, (member_no)number, name,
                                bytes_of(genesis, len), why);
    free(genesis);
    return e;
}

static err_t sign_join(service *s, buf *why)
{
    dataset_id dataset;
    transport_key transport;
    seal_sig proof;
    const char *text = service_opt(s, "sign-join", 0);
    if (!hex_decode(dataset.b, sizeof dataset.b, text, strlen(text))) {
        buf_add_str(why, "--sign-join needs a dataset id of 64 hex digits");
        return ERR_USAGE;
    }
    TRY(opt_hex(s, "transport", transport.b, sizeof transport.b, why));
    TRY(merge_identity_sign_join(service_home(s), &dataset, &transport, &proof, why));
    print_hex("", proof.b, sizeof proof.b);
    return ERR_OK;
}

static const struct {
    const char *option;
    err_t (*run)(service *s, buf *why);
} actions[] = {
    {"init-key", init_key},
    {"init-dataset", init_dataset},
    {"init-member", init_member},
    {"sign-join", sign_join},
};

bool merge_before(service *s, int *status)
{
    buf why;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (service_opt(s, actions[i].option, 0) == NULL)
            continue;
        buf_init(&why, 1024);
        err_t e = actions[i].run(s, &why);
        if (e != ERR_OK)
            fprintf(stderr, "cairn-merge: %.*s\n", (int)why.len,
                    why.len > 0 ? (const char *)why.p : "");
        buf_release(&why);
        *status = e == ERR_OK ? 0 : e == ERR_USAGE ? 2 : 1;
        return true;
    }
    return false;
}
