/* cairn join: enrols this machine with the inviting node. The keys are made and used by the processes that own them;
 * what crosses the network is sealed under the token's secret. */
#include "cli/camp_join.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/run_program.h"
#include "gossip/join_core.h"
#include "gossip/lobby_clnt.h"
#include "shell/clock.h"
#include "shell/config.h"

#include <sodium/crypto_scalarmult.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define CONFIRM_WAIT_MS 600000u

typedef struct {
    node n;
    bool camp; /* the processes have volumes of their own */
    token token;
    bus bus;
    char transport_hex[65], key_hex[65], proof_hex[129];
    join_ask ask;
    buf request, room;
    join_answer answer;
    char code[JOIN_CODE_BYTES], via[ADDRESS_MAX_BYTES + 1];
} joining;

/* Runs cairn-merge for one line of hex. */
static bool merge_hex(const char *const *args, char *out, size_t digits)
{
    buf text;
    buf_init(&text, 4096);
    bool ok = run_program(args, &text) == 0 && text.len >= digits;
    if (ok)
        memcpy(out, text.p, digits);
    out[ok ? digits : 0] = '\0';
    buf_release(&text);
    return ok;
}

static bool make_keys_here(joining *j)
{
    char dataset[2 * EVENT_ID_BYTES + 1];
    hex_encode(dataset, j->token.dataset.b, EVENT_ID_BYTES);
    if (!cmd_make_transport_key(&j->n, j->transport_hex))
        return false;
    const char *key_args[] = {"cairn-merge", "--home", j->n.home.path, "--init-key", NULL};
    const char *sign_args[] = {"cairn-merge", "--home",      j->n.home.path,   "--sign-join",
                               dataset,       "--transport", j->transport_hex, NULL};
    return merge_hex(key_args, j->key_hex, 64) && merge_hex(sign_args, j->proof_hex, 128);
}

static bool make_keys(joining *j, const char *name)
{
    if (!(j->camp
              ? camp_join_keys(&j->n, &j->token.dataset, j->transport_hex, j->key_hex, j->proof_hex)
              : make_keys_here(j)))
        return false;
    j->ask.node = bytes_str(name);
    return hex_decode(j->ask.key.b, 32, j->key_hex, 64) &&
           hex_decode(j->ask.transport.b, 32, j->transport_hex, 64) &&
           hex_decode(j->ask.proof.b, 64, j->proof_hex, 128);
}

static bool seal_request_of(joining *j)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    random_fill(nonce, sizeof nonce);
    gossip_confirm_code(j->code, j->token.secret, &j->ask.key, &j->token.transport);
    return join_seal(j->token.secret, &j->token.dataset, nonce, &join_ask_desc, &j->ask,
                     &j->request) == ERR_OK;
}

/* A CURVE socket to the lobby: its key follows from the dataset id, ours is for this talk only. */
static clnt *connect_lobby(joining *j, const char *address)
{
    uint8_t lobby[32], lobby_public[32];
    char public[41], secret[41], endpoint[ADDRESS_MAX_BYTES + 8];
    void *s = bus_socket(&j->bus, ZMQ_DEALER);
    join_lobby_secret(lobby, &j->token.dataset);
    if (s == NULL || crypto_scalarmult_base(lobby_public, lobby) != 0 ||
        zmq_curve_keypair(public, secret) != 0)
        return NULL;
    snprintf(endpoint, sizeof endpoint, "tcp://%s", address);
    if (zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, lobby_public, 32) != 0 ||
        zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, public, 41) != 0 ||
        zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, secret, 41) != 0 || zmq_connect(s, endpoint) != 0) {
        bus_close(s);
        return NULL;
    }
    return clnt_adopt(&j->bus, "the inviting node", s);
}

static err_t open_answer(joining *j, const join_reply *reply)
{
    err_t e = join_open(j->token.secret, &j->token.dataset, &join_answer_desc, reply->sealed,
                        &j->room, &j->answer);
    if (e == ERR_OK && !bytes_is(j->answer.code, j->code))
        e = ERR_BAD_SEAL;
    return e;
}

/* Asks one address until it answers; while somebody there has to confirm, it says BUSY. */
static err_t ask_one(joining *j, const char *address, buf *why)
{
    uint8_t invite[JOIN_INVITE_BYTES];
    mono_ms until = {clock_mono().ms + CONFIRM_WAIT_MS};
    bool said = false;
    err_t e;
    clnt *c = connect_lobby(j, address);
    if (c == NULL) {
        buf_addf(why, "%s is no address", address);
        return ERR_INVALID;
    }
    join_invite_id(invite, j->token.secret);
    join_request req = {.invite = bytes_of(invite, sizeof invite), .sealed = buf_view(&j->request)};
    for (;;) {
        join_reply reply;
        buf_clear(why);
        e = lobby_call_join(c, &req, &reply, why);
        if (e == ERR_OK)
            e = open_answer(j, &reply);
        if (e != ERR_BUSY || clock_mono().ms > until.ms || interrupted)
            break;
        if (!said)
            fprintf(stderr, "Waiting to be let in. Both screens show the code %s.\n", j->code);
        said = true;
        struct timespec pause = {1, 0}; /* between two questions to a person */
        nanosleep(&pause, NULL);
    }
    snprintf(j->via, sizeof j->via, "%s", address);
    clnt_free(c);
    return e;
}

static err_t ask_all(joining *j, buf *why)
{
    err_t e = ERR_UNREACHABLE;
    for (unsigned i = 0; i < j->token.n_addresses; i++) {
        fprintf(stderr, "Asking %s …\n", j->token.addresses[i]);
        e = ask_one(j, j->token.addresses[i], why);
        if (e != ERR_TIMEOUT && e != ERR_UNREACHABLE && e != ERR_INVALID)
            return e;
    }
    buf_clear(why);
    buf_addf(
        why,
        "nobody answers at %s%s: are both machines on one network, and is the inviting node up?",
        j->token.n_addresses > 0 ? j->token.addresses[0] : "any address (the token has none)",
        j->token.n_addresses > 1 ? " and its other addresses" : "");
    return e;
}

/* Members connect one port below the lobby. */
static void member_address(const char *lobby, char out[ADDRESS_MAX_BYTES + 1])
{
    const char *colon = strrchr(lobby, ':');
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    snprintf(out, ADDRESS_MAX_BYTES + 1, "%.*s:%lu", colon != NULL ? (int)(colon - lobby) : 0,
             lobby, port > 0 ? port - 1 : 0);
}

static err_t encode_intros(joining *j, buf *out)
{
    char address[ADDRESS_MAX_BYTES + 1];
    member_address(j->via, address);
    return join_intros_encode(j->answer.intros, j->token.inviter, bytes_str(address), out);
}

static bool write_intros(joining *j)
{
    char path[HOME_PATH_MAX];
    buf file;
    home_path(&j->n.home, path, "gossip/intros");
    buf_init(&file, 65536);
    err_t e = encode_intros(j, &file);
    if (e == ERR_OK)
        e = home_write_file(path, buf_view(&file));
    buf_release(&file);
    if (e != ERR_OK)
        node_fail("cannot write %s: %s", path, err_text(e));
    return e == ERR_OK;
}

/* Intros first: the dataset file, which makes the home a node, comes last. */
static bool settle_here(joining *j)
{
    char number[8], name[NAME_MAX_BYTES + 1], dataset[2 * EVENT_ID_BYTES + 1];
    char *genesis = malloc(2 * j->answer.genesis.len + 1);
    buf out;
    if (genesis == NULL)
        return node_fail("out of memory") == 0;
    hex_encode(genesis, j->answer.genesis.p, j->answer.genesis.len);
    hex_encode(dataset, j->token.dataset.b, EVENT_ID_BYTES);
    snprintf(number, sizeof number, "%u", j->answer.number);
    snprintf(name, sizeof name, "%.*s", (int)j->answer.name.len, (const char *)j->answer.name.p);
    const char *args[] = {"cairn-merge", "--home",    j->n.home.path, "--init-member",
                          number,        "--name",    name,           "--dataset",
                          dataset,       "--genesis", genesis,        NULL};
    buf_init(&out, 4096);
    int status = write_intros(j) ? run_program(args, &out) : 1;
    buf_release(&out);
    free(genesis);
    return status == 0;
}

static bool settle_in_camp(joining *j)
{
    buf intros;
    buf_init(&intros, 65536);
    bool ok = encode_intros(j, &intros) == ERR_OK &&
              camp_join_settle(&j->n, (member_no)j->answer.number, j->answer.name,
                               j->answer.genesis, buf_view(&intros));
    buf_release(&intros);
    return ok;
}

static int settle(joining *j)
{
    if (!(j->camp ? settle_in_camp(j) : settle_here(j)))
        return 1;
    fprintf(stderr,
            "Joined \"%.*s\" as member %u, %.*s. Confirm code: %s (the inviting screen shows the "
            "same).\n%s",
            (int)j->answer.title.len, (const char *)j->answer.title.p, j->answer.number,
            (int)j->answer.name.len, (const char *)j->answer.name.p, j->code,
            j->camp ? "" : "Next: cairn up --detach\n");
    return 0;
}

/* The token: the argument, else what the configuration says. NULL: there is none to use. */
static const char *token_of(const cmdline *c, const config *conf)
{
    const char *given = cmdline_arg(c, 0);
    if (given == NULL)
        given = config_str(conf, "camp", "join");
    return *given != '\0' ? given : NULL;
}

static int join(joining *j, const cmdline *c, const config *conf)
{
    char why_text[ERROR_TEXT_MAX_BYTES] = "", host[NAME_MAX_BYTES + 1] = "node";
    const char *name = cmdline_get(c, "name"), *text = token_of(c, conf);
    buf why;
    if (text == NULL)
        return cmdline_usage(c, "join needs a token: cairn invite prints one");
    if (token_decode(bytes_str(text), &j->token, why_text) != ERR_OK)
        return node_fail("%s", why_text);
    if (clock_wall().ms >= CLOCK_BUILD_MS &&
        token_check(&j->token, clock_wall().ms, why_text) != ERR_OK)
        return node_fail("%s", why_text);
    (void)gethostname(host, sizeof host - 1);
    if (name == NULL)
        name = j->camp ? config_str(conf, "camp", "node") : host;
    if (!make_keys(j, name) || !seal_request_of(j))
        return node_fail("cannot make this machine's keys in %s", j->n.home.path);
    if (bus_init(&j->bus, &j->token.dataset) != ERR_OK)
        return node_fail("out of memory");
    buf_init(&why, 1024);
    err_t e = ask_all(j, &why);
    int status = e == ERR_OK
                     ? settle(j)
                     : node_fail("%.*s", (int)why.len, why.len > 0 ? (const char *)why.p : "");
    buf_release(&why);
    bus_release(&j->bus);
    return status;
}

static int join_with(joining *j, const cmdline *c)
{
    char path[HOME_PATH_MAX];
    home_path(&j->n.home, path, "cairn.conf");
    buf_clear(&j->n.words);
    config *conf = config_load(path, &j->n.words);
    if (conf == NULL)
        return node_fail("%.*s", (int)j->n.words.len, (const char *)j->n.words.p);
    int status;
    j->camp = config_bool(conf, "camp", "containers");
    if (cmdline_has(c, "if-asked") && token_of(c, conf) == NULL)
        status = 0;
    else if (j->n.home.has_dataset && cmdline_has(c, "if-asked"))
        status = 0;
    else if (j->n.home.has_dataset)
        status = node_fail("this home belongs to a dataset already (%s): choose another --home",
                           j->n.home.path);
    else if (!j->camp && home_make_dir(j->n.home.path) != ERR_OK)
        status =
            node_fail("cannot make %s: is its parent yours, and is there space?", j->n.home.path);
    else
        status = join(j, c, conf);
    config_free(conf);
    return status;
}

int cmd_join(const cmdline *c)
{
    joining *j = calloc(1, sizeof *j);
    int status = 1;
    if (j == NULL)
        return node_fail("out of memory");
    buf_init(&j->request, 65536);
    buf_init(&j->room, 65536);
    if (node_open(&j->n, cmdline_get(c, "home"), false)) {
        interrupt_catch();
        status = join_with(j, c);
    }
    node_close(&j->n);
    buf_release(&j->request);
    buf_release(&j->room);
    free(j);
    return status;
}
