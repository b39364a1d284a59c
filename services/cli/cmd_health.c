/* cairn health: one question to one process, for health checks of containers and the like. */
#include "cli/cmd.h"
#include "cli/out.h"
#include "cli/supervise.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define HEALTH_MS 2000u

static bool is_service(const char *name)
{
    for (size_t i = 0; i < SUPERVISE_PROCESSES; i++)
        if (strcmp(supervise_names[i], name) == 0)
            return true;
    return false;
}

/* A process that waits for its camp's dataset has no address yet, but it holds its lock. */
static bool waits_for_dataset(const node *n, const char *name)
{
    char path[HOME_PATH_MAX], below[64];
    snprintf(below, sizeof below, "%s/lock", name);
    home_path(&n->home, path, below);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd >= 0)
        close(fd);
    return held;
}

static int say(const cmdline *c, const char *name, bool live, bool ready, bytes state)
{
    buf json;
    if (cmdline_has(c, "json")) {
        buf_init(&json, 4096);
        out_open(&json);
        out_cstr(&json, "service", name);
        out_bool(&json, "live", live);
        out_bool(&json, "ready", ready);
        out_str(&json, "state", state);
        out_close(&json);
        buf_release(&json);
    } else if (!cmdline_has(c, "quiet")) {
        printf("%s: %s%s%.*s\n", name,
               ready  ? "ready"
               : live ? "live, not ready"
                      : "down",
               state.len > 0 ? ": " : "", (int)state.len, (const char *)state.p);
    }
    return (cmdline_has(c, "live") ? live : ready) ? 0 : 1;
}

static int ask(const cmdline *c, node *n, const char *name)
{
    health_reply reply;
    if (!n->home.has_dataset) {
        bool waits = waits_for_dataset(n, name);
        return say(c, name, waits, false,
                   bytes_str(waits ? "waiting for the camp's dataset" : "there is no dataset"));
    }
    if (!node_listens(n, name))
        return say(c, name, false, false, bytes_str("nobody listens"));
    if (node_try_health(n, name, HEALTH_MS, &reply) != ERR_OK)
        return say(c, name, false, false, buf_view(&n->words));
    return say(c, name, true, reply.ready, reply.state);
}

int cmd_health(const cmdline *c)
{
    const char *name = cmdline_arg(c, 0);
    node n;
    if (name == NULL || !is_service(name))
        return cmdline_usage(c, "health needs the name of a process: store, merge, gossip or "
                                "projection");
    if (!node_open(&n, cmdline_get(c, "home"), false))
        return 1;
    int status = ask(c, &n, name);
    node_close(&n);
    return status;
}
