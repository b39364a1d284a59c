/* The home, its keys, its configuration, the processes and what they say of themselves. Keys are looked at from
 * outside only: size and permissions. */
#include "cli/doctor.h"
#include "cli/supervise.h"
#include "pure/crypto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEND_MAX (HOME_PATH_MAX + 64)

/* ---- the directory ---- */

void doctor_home(doctor *d)
{
    struct stat st;
    char mend[MEND_MAX];
    const char *path = d->n.home.path;
    if (!d->home_usable) {
        doctor_say(d, DOCTOR_FAIL, "home", "cairn --home DIR …", "%.*s", (int)d->n.words.len,
                   d->n.words.len > 0 ? (const char *)d->n.words.p : "");
    } else if (stat(path, &st) != 0 || !d->n.home.has_dataset) {
        doctor_say(d, DOCTOR_WARN, "home",
                   "cairn init --dataset TITLE --name NODE; or cairn join TOKEN",
                   "there is no dataset in %s yet", path);
    } else if ((st.st_mode & 077) != 0) {
        snprintf(mend, sizeof mend, "chmod 700 %s", path);
        doctor_say(d, DOCTOR_WARN, "home", mend, "%s is open to other users (%04o)", path,
                   (unsigned)st.st_mode & 07777);
    } else {
        doctor_say(d, DOCTOR_OK, "home", NULL, "%s", path);
    }
}

void doctor_config(doctor *d)
{
    char path[HOME_PATH_MAX];
    buf why;
    if (!d->home_usable)
        return;
    buf_init(&why, 4096);
    home_path(&d->n.home, path, "cairn.conf");
    d->conf = config_load(path, &why);
    if (d->conf == NULL)
        doctor_say(d, DOCTOR_FAIL, "config", "cairn config example", "%.*s", (int)why.len,
                   why.len > 0 ? (const char *)why.p : "");
    else
        doctor_say(d, DOCTOR_OK, "config", NULL, access(path, F_OK) == 0 ? "%s" : "no %s: defaults",
                   path);
    buf_release(&why);
}

static void check_key(doctor *d, const char *name, const char *lost)
{
    char path[HOME_PATH_MAX], mend[MEND_MAX];
    struct stat st;
    home_path(&d->n.home, path, name);
    snprintf(mend, sizeof mend, "chmod 600 %s", path);
    if (stat(path, &st) != 0)
        doctor_say(d, DOCTOR_FAIL, "keys", lost, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || st.st_size != CRYPTO_STORED_BYTES)
        doctor_say(d, DOCTOR_FAIL, "keys", lost, "%s has %lld bytes instead of %u: it is damaged",
                   path, (long long)st.st_size, CRYPTO_STORED_BYTES);
    else if ((st.st_mode & 077) != 0 || st.st_uid != geteuid())
        doctor_say(d, DOCTOR_FAIL, "keys", mend, "other users can read %s (%04o)", path,
                   (unsigned)st.st_mode & 07777);
    else
        doctor_say(d, DOCTOR_OK, "keys", NULL, "%s is whole and private", path);
}

void doctor_keys(doctor *d)
{
    char path[HOME_PATH_MAX];
    if (!d->home_usable || !d->n.home.has_dataset)
        return;
    check_key(
        d, "merge/member.key",
        "restore it from a backup; else a coordinator runs cairn invite NAME for this machine");
    home_path(&d->n.home, path, "gossip/transport.key");
    if (access(path, F_OK) == 0) /* made when gossip first runs */
        check_key(d, "gossip/transport.key", "restore it from a backup; else join again");
}

void doctor_run_dir(doctor *d)
{
    struct stat st;
    char mend[MEND_MAX];
    const char *path = d->n.home.run;
    if (!d->home_usable || !d->n.home.has_dataset)
        return;
    snprintf(mend, sizeof mend, "chmod 700 %s", path);
    if (stat(path, &st) != 0)
        doctor_say(d, DOCTOR_FAIL, "run", "CAIRN_RUN=DIR cairn …", "%s: %s", path, strerror(errno));
    else if ((st.st_mode & 077) != 0)
        doctor_say(d, DOCTOR_FAIL, "run", mend, "%s is open to other users (%04o)", path,
                   (unsigned)st.st_mode & 07777);
    else
        doctor_say(d, DOCTOR_OK, "run", NULL, "the processes meet in %s", path);
}

/* ---- the processes ---- */

static bool check_process(doctor *d, const char *name, bool others_up)
{
    health_reply h;
    char mend[MEND_MAX];
    if (!node_peek_health(&d->n, name, DOCTOR_WAIT_MS, &h)) {
        snprintf(mend, sizeof mend, "tail %s/log/cairn.log", d->n.home.path);
        if (others_up)
            doctor_say(d, DOCTOR_FAIL, "processes", mend, "%s does not answer", name);
        return false;
    }
    if (!h.ready || h.state.len > 0)
        doctor_say(d, h.ready ? DOCTOR_WARN : DOCTOR_FAIL, "processes", "cairn status", "%s: %.*s",
                   name, (int)h.state.len, (const char *)h.state.p);
    return true;
}

/* What the supervisor knows of one process. Returns whether it is left out on purpose (up --no-lan). */
static bool check_supervised(doctor *d, const process_row *p)
{
    if (p->restarts > 0)
        doctor_say(d, DOCTOR_WARN, "processes", "cairn status", "%.*s was restarted %u times: %.*s",
                   (int)p->name.len, (const char *)p->name.p, p->restarts, (int)p->why.len,
                   (const char *)p->why.p);
    if (!bytes_is(p->state, "stopped"))
        return false;
    doctor_say(d, DOCTOR_OK, "processes", NULL, "%.*s is not wanted", (int)p->name.len,
               (const char *)p->name.p);
    return true;
}

void doctor_processes(doctor *d)
{
    processes_reply reply;
    process_row row;
    bool left_out[SUPERVISE_PROCESSES] = {false}, radio = false;
    unsigned answer = 0, wanted = SUPERVISE_PROCESSES;
    if (!d->home_usable || !d->n.home.has_dataset)
        return;
    d->up = node_peek_processes(&d->n, DOCTOR_WAIT_MS, &(processes_request){0}, &reply);
    while (d->up && msg_list_next(&process_row_desc, &reply.processes, &row)) {
        bool out = check_supervised(d, &row);
        for (size_t i = 0; i < SUPERVISE_PROCESSES; i++)
            left_out[i] |= out && bytes_is(row.name, supervise_names[i]);
        wanted -= out;
        radio |= bytes_is(row.name, SUPERVISE_RADIO);
    }
    if (radio) {
        wanted++;
        answer += check_process(d, SUPERVISE_RADIO, true);
    }
    for (size_t i = 0; i < SUPERVISE_PROCESSES; i++)
        if (!left_out[i])
            answer += check_process(d, supervise_names[i], d->up || answer > 0);
    d->up |= answer > 0;
    if (d->up && answer == wanted)
        doctor_say(d, DOCTOR_OK, "processes", NULL, "all %u answer", wanted);
    else if (!d->up)
        doctor_say(d, DOCTOR_WARN, "processes", "cairn up --detach", "the node is not up");
}

void doctor_database(doctor *d)
{
    store_hello_reply h;
    if (!node_peek_store_hello(&d->n, DOCTOR_WAIT_MS, &(store_hello_request){0}, &h)) {
        if (d->home_usable && d->n.home.has_dataset)
            doctor_say(d, DOCTOR_WARN, "database", "cairn up --detach",
                       "not looked at: the store does not answer");
        return;
    }
    if (h.state != ERR_OK)
        doctor_say(d, DOCTOR_FAIL, "database", "df -h; cairn status", "appends are refused: %s",
                   err_text((err_t)h.state));
    if (h.damaged > 0)
        doctor_say(d, DOCTOR_FAIL, "database", "cairn verify; cairn up --peer HOST:PORT",
                   "%llu damaged rows wait for a good copy from a peer",
                   (unsigned long long)h.damaged);
    if (h.state == ERR_OK && h.damaged == 0)
        doctor_say(d, DOCTOR_OK, "database", NULL, "%llu rows, %.1f MiB, none known to be damaged",
                   (unsigned long long)h.head, (double)h.disk_bytes / (1024.0 * 1024));
}

void doctor_member(doctor *d)
{
    merge_status_reply s;
    if (!node_peek_merge_status(&d->n, DOCTOR_WAIT_MS, &(merge_status_request){0}, &s))
        return;
    if (s.removed)
        doctor_say(d, DOCTOR_FAIL, "member", "cairn join TOKEN, in a new --home",
                   "this node was removed from the dataset: what it writes counts nowhere");
    else if (s.self == 0)
        doctor_say(d, DOCTOR_WARN, "member", "cairn join TOKEN", "this node is no member yet");
    else
        doctor_say(d, DOCTOR_OK, "member", NULL, "member %u, %.*s, of \"%.*s\"", s.self,
                   (int)s.node.len, (const char *)s.node.p, (int)s.title.len,
                   (const char *)s.title.p);
    if (s.orphans > 0)
        doctor_say(d, DOCTOR_WARN, "member", "cairn member readd --all",
                   "%u member%s lost whoever had added %s", s.orphans, s.orphans > 1 ? "s" : "",
                   s.orphans > 1 ? "them" : "it");
    if (s.forks.n > 0)
        doctor_say(d, DOCTOR_WARN, "member", "cairn member ls",
                   "%u feed%s forked: a copied or stolen key", s.forks.n,
                   s.forks.n > 1 ? "s have" : " has");
}

void doctor_views(doctor *d)
{
    views_reply reply;
    view_row v;
    if (!node_peek_views(&d->n, DOCTOR_WAIT_MS, &(views_request){0}, &reply))
        return;
    while (msg_list_next(&view_row_desc, &reply.views, &v))
        doctor_say(d, v.anomalies > 0 ? DOCTOR_WARN : DOCTOR_OK, "views",
                   v.anomalies > 0
                       ? "sqlite3 -readonly HOME/projection/records.db 'SELECT * FROM anomalies'"
                       : NULL,
                   "%.*s: %llu records, %llu rows behind, %llu events not understood",
                   (int)v.name.len, (const char *)v.name.p, (unsigned long long)v.records,
                   (unsigned long long)(v.head > v.position ? v.head - v.position : 0),
                   (unsigned long long)v.anomalies);
}

void doctor_peers(doctor *d)
{
    peers_reply reply;
    peer_row p;
    unsigned all = 0, live = 0;
    if (!node_peek_peers(&d->n, DOCTOR_WAIT_MS, &(peers_request){0}, &reply))
        return;
    while (msg_list_next(&peer_row_desc, &reply.peers, &p)) {
        all++;
        live += bytes_is(p.state, "live");
        if (p.error.len > 0 && !bytes_is(p.state, "live"))
            doctor_say(d, DOCTOR_WARN, "peers", "cairn status", "%.*s %.*s: %.*s", (int)p.name.len,
                       (const char *)p.name.p, (int)p.address.len, (const char *)p.address.p,
                       (int)p.error.len, (const char *)p.error.p);
    }
    doctor_say(d, DOCTOR_OK, "peers", NULL, "%u of %u are live", live, all);
}
