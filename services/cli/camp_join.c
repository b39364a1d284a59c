#include "cli/camp_join.h"

#include "cli/interrupt.h"
#include "shell/camp.h"
#include "shell/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define KEYS_WAIT_MS 60000u /* containers that are still being started */

static bool get(const node *n, const char *name, char *hex, size_t len)
{
    uint8_t key[96];
    bool there = camp_get_hex(&n->home, name, key, len) == ERR_OK;
    if (there)
        hex_encode(hex, key, len);
    return there;
}

static bool keys_are_there(const node *n, char transport_hex[65], char key_hex[65],
                           char proof_hex[129])
{
    char both[2 * 96 + 1];
    if (!get(n, "transport", transport_hex, 32) || !get(n, "proof", both, 96))
        return false;
    snprintf(key_hex, 65, "%.64s", both);
    snprintf(proof_hex, 129, "%s", both + 64);
    return true;
}

/* False: the time is over, or somebody pressed Ctrl-C. */
static bool something_new(int watch, mono_ms until)
{
    char events[4096];
    struct pollfd p = {.fd = watch, .events = POLLIN};
    uint64_t now = clock_mono().ms;
    if (now >= until.ms || interrupted)
        return false;
    if (poll(&p, 1, (int)(until.ms - now)) > 0 && read(watch, events, sizeof events) < 0)
        return errno == EAGAIN;
    return true;
}

bool camp_join_keys(const node *n, const dataset_id *dataset, char transport_hex[65],
                    char key_hex[65], char proof_hex[129])
{
    mono_ms until = {clock_mono().ms + KEYS_WAIT_MS};
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool ok = watch >= 0 && inotify_add_watch(watch, n->home.run, IN_MOVED_TO) >= 0 &&
              camp_put_hex(&n->home, "ask", dataset->b, sizeof dataset->b) == ERR_OK;
    if (!ok)
        node_fail("cannot write to %s", n->home.run);
    while (ok && !keys_are_there(n, transport_hex, key_hex, proof_hex))
        if (!something_new(watch, until)) {
            ok = false;
            node_fail("merge and gossip have left no keys in %s: are their containers up?",
                      n->home.run);
        }
    if (watch >= 0)
        close(watch);
    return ok;
}

bool camp_join_settle(const node *n, member_no number, bytes name, bytes genesis, bytes intros)
{
    buf all;
    buf_init(&all, 1u << 20);
    mp_put_array(&all, 4);
    mp_put_uint(&all, number);
    mp_put_str(&all, name);
    mp_put_bin(&all, genesis);
    mp_put_bin(&all, intros);
    err_t e = all.err == ERR_OK ? camp_put(&n->home, "joined", buf_view(&all)) : all.err;
    buf_release(&all);
    if (e != ERR_OK)
        node_fail("cannot write to %s: %s", n->home.run, err_text(e));
    return e == ERR_OK;
}
