/* The nodes of `cairn demo`: real processes in temporary directories, driven by the very commands a user types. */
#ifndef CAIRN_DEMO_NODE_H
#define CAIRN_DEMO_NODE_H

#include "base/buf.h"
#include "base/ids.h"
#include "shell/home.h"

#include <sys/types.h>

typedef struct {
    char name[32];
    char home[HOME_PATH_MAX - 128];
    unsigned port;
    bool up;
} demo_node;

typedef struct {
    uint64_t events, records, conflicts;
    char frontier[65], view[65];
    bool live; /* has a peer that is connected now */
} demo_state;

/* Runs `cairn --home NODE …` (args end with NULL) and appends what it prints to `out` (may be NULL). What it says on
 * standard error is shown only when it fails. Returns its exit code. */
int demo_run(const demo_node *n, buf *out, const char *const *args);
/* The same without waiting; returns the process id. */
pid_t demo_spawn(const demo_node *n, const char *const *args);
/* Waits for it; its exit code. */
int demo_wait(pid_t pid);

/* Two free neighbouring TCP ports on the loopback address, 0 when there are none. */
unsigned demo_free_port(void);

/* `peer` NULL: on its own, with no network process at all. */
bool demo_up(demo_node *n, const demo_node *peer);
/* The same without waiting until all is well: demo_wait for the process it returns. */
pid_t demo_start_up(demo_node *n, const demo_node *peer);
void demo_down(demo_node *n);
bool demo_ask(const demo_node *n, demo_state *out);
/* Process id of one of its processes, 0 when it does not run. */
pid_t demo_pid(const demo_node *n, const char *process);

/* Makes a directory of its own in TMPDIR or /tmp. False after having said why not. */
bool demo_make_dir(char *out, size_t size, const char *what);
/* Removes a directory and all below it. */
void demo_remove(const char *path);

#endif
