/* cairn init: the keys are made by the processes that own them. */
#include "cli/cmd.h"
#include "cli/node.h"
#include "cli/run_program.h"
#include "pure/crypto.h"
#include "pure/paper.h"

#include <stdio.h>
#include <stdlib.h>

/* Fills `hex` from the line of `output` that begins with `label`. */
static bool take_line(const char *output, const char *label, char *hex, size_t len)
{
    const char *at = strstr(output, label);
    if (at == NULL || strlen(at) < strlen(label) + len)
        return false;
    memcpy(hex, at + strlen(label), len);
    hex[len] = '\0';
    return true;
}

bool cmd_make_transport_key(const node *n, char hex[65])
{
    const char *args[] = {"cairn-gossip", "--home", n->home.path, "--init", NULL};
    buf out;
    buf_init(&out, 4096);
    int status = run_program(args, &out);
    bool ok = status == 0 && buf_add_u8(&out, 0) && take_line((const char *)out.p, "", hex, 64);
    if (!ok && status == 0)
        node_fail("cairn-gossip --init did not print a key");
    buf_release(&out);
    return ok;
}

static void print_heir(const char *heir)
{
    uint8_t seed[MEMBER_SEED_BYTES];
    char text[PAPER_TEXT_BYTES];
    if (!hex_decode(seed, sizeof seed, heir, 2 * sizeof seed))
        return;
    paper_write(text, seed);
    fputs("\nHeir key, shown only now. Write it on paper and keep it away from this machine: "
          "whoever has it can take\n"
          "over the dataset when this machine is lost or stolen (cairn heir use). cairn heir check "
          "tells whether it was\nwritten down right.\n\n    ",
          stderr);
    printf("%s\n\n", text);
    fflush(stdout);
    crypto_wipe(seed, sizeof seed);
    crypto_wipe(text, sizeof text);
}

static void print_backup_hint(const node *n)
{
    fprintf(stderr,
            "Back up %s/merge/member.key (this node's identity) and, from time to time, the whole "
            "directory while the\n"
            "node is down. A restored copy begins new feeds by itself; nothing is lost.\n\n"
            "Next: cairn up --detach, then cairn invite NAME for each further machine.\n",
            n->home.path);
}

static int found_dataset(const cmdline *c, node *n)
{
    char transport[65], dataset[65], heir[65];
    const char *title = cmdline_get(c, "dataset"), *name = cmdline_get(c, "name");
    if (!cmd_make_transport_key(n, transport))
        return 1;
    const char *args[] = {"cairn-merge", "--home", n->home.path,  "--init-dataset", title,
                          "--name",      name,     "--transport", transport,        NULL};
    buf out;
    buf_init(&out, 4096);
    int status = run_program(args, &out);
    bool ok = status == 0 && buf_add_u8(&out, 0) &&
              take_line((const char *)out.p, "dataset ", dataset, 64) &&
              take_line((const char *)out.p, "heir ", heir, 64);
    buf_release(&out);
    if (!ok)
        return 1;
    fprintf(stderr,
            "Founded the dataset \"%s\" in %s; this node is its member 1, %s.\nIts id is %s.\n",
            title, n->home.path, name, dataset);
    print_heir(heir);
    crypto_wipe(heir, sizeof heir);
    print_backup_hint(n);
    return 0;
}

int cmd_init(const cmdline *c)
{
    node n;
    int status;
    if (cmdline_get(c, "dataset") == NULL || cmdline_get(c, "name") == NULL)
        return cmdline_usage(c, "init needs --dataset TITLE and --name NODE");
    if (!node_open(&n, cmdline_get(c, "home"), false))
        return 1;
    if (n.home.has_dataset)
        status = node_fail(
            "there is a dataset in %s already: choose another --home, or remove that directory",
            n.home.path);
    else if (home_make_dir(n.home.path) != ERR_OK)
        status = node_fail("cannot make %s: is its parent yours, and is there space?", n.home.path);
    else
        status = found_dataset(c, &n);
    node_close(&n);
    return status;
}
