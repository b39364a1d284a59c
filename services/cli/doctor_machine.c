/* Libraries, clock and disk. */
#include "cli/doctor.h"
#include "shell/clock.h"

#include <errno.h>
#include <jansson.h>
#include <lmdb.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <zmq.h>

#define MIB             (1024.0 * 1024)
#define FREE_FAIL_BYTES (64ull << 20)
#define FREE_WARN_BYTES (1ull << 30)
#define AHEAD_WARN_MS   (5ull * 60 * 1000)

void doctor_versions(doctor *d)
{
    int major, minor, patch, db_major, db_minor, db_patch;
    (void)mdb_version(&db_major, &db_minor, &db_patch);
    zmq_version(&major, &minor, &patch);
    doctor_say(d, DOCTOR_OK, "libraries", NULL,
               "libzmq %d.%d.%d, libsodium %s, LMDB %d.%d.%d, SQLite %s, jansson %s", major, minor,
               patch, sodium_version_string(), db_major, db_minor, db_patch, sqlite3_libversion(),
               jansson_version_str());
    if (zmq_has("curve") != 1)
        doctor_say(d, DOCTOR_FAIL, "libraries", "sudo apt install --reinstall libzmq5",
                   "this libzmq knows no CURVE: nodes cannot connect");
}

/* ---- clock ---- */

static void against_members(doctor *d, uint64_t now)
{
    members_reply reply;
    member_row m;
    char span[16];
    if (!node_peek_members(&d->n, DOCTOR_WAIT_MS, &(members_request){0}, &reply))
        return;
    while (msg_list_next(&member_row_desc, &reply.members, &m)) {
        if (m.last_wall_ms <= now + AHEAD_WARN_MS)
            continue;
        clock_span_text(span, m.last_wall_ms - now);
        doctor_say(d, DOCTOR_WARN, "clock", "date; cairn log (compare the times)",
                   "the newest event of %.*s is stamped %s ahead of this clock: one of the two is "
                   "wrong",
                   (int)m.name.len, (const char *)m.name.p, span);
    }
}

void doctor_clock(doctor *d)
{
    uint64_t now = clock_wall().ms;
    char text[32];
    struct timex tx = {0};
    bool synchronised = adjtimex(&tx) >= 0 && !(tx.status & STA_UNSYNC);
    clock_text(text, now, true);
    if (now < CLOCK_BUILD_MS)
        doctor_say(d, DOCTOR_WARN, "clock", "sudo date -s '2026-11-20 14:05'",
                   "it is %s UTC here, so the clock is not set: times of new events are unsure, "
                   "order by cause is not",
                   text);
    else
        doctor_say(d, DOCTOR_OK, "clock", NULL, "%s UTC%s", text,
                   synchronised ? ", set by the network" : ", not set by a time server");
    against_members(d, now);
}

/* ---- disk ---- */

static const struct {
    unsigned long type;
    const char *name;
    bool remote;
} file_systems[] = {
    {0x6969, "NFS", true},        {0xff534d42, "CIFS", true},   {0xfe534d42, "SMB", true},
    {0x517b, "SMB", true},        {0x01021997, "9P", true},     {0x00c36400, "Ceph", true},
    {0x6b414653, "AFS", true},    {0xef53, "ext4", false},      {0x58465342, "XFS", false},
    {0x9123683e, "btrfs", false}, {0x01021994, "tmpfs", false}, {0x794c7630, "overlay", false},
    {0xf2f52010, "F2FS", false},  {0x2fc12fc1, "ZFS", false},   {0x4d44, "FAT", false},
    {0x2011bab0, "exFAT", false}, {0x65735546, "FUSE", false},
};

/* The home, or the nearest folder above it that exists. */
static bool stat_fs(const doctor *d, char path[HOME_PATH_MAX], struct statfs *fs,
                    struct statvfs *vfs)
{
    snprintf(path, HOME_PATH_MAX, "%s", d->n.home.path);
    while (statfs(path, fs) != 0 || statvfs(path, vfs) != 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT || slash == NULL || path[1] == '\0')
            return false;
        slash[slash == path] = '\0';
    }
    return true;
}

static void space(doctor *d, const char *path, const char *name, const struct statvfs *vfs)
{
    unsigned long long block = vfs->f_frsize, left = vfs->f_bavail * block,
                       all = vfs->f_blocks * block;
    char mend[HOME_PATH_MAX + 32];
    snprintf(mend, sizeof mend, "du -xh %s | sort -h | tail", path);
    doctor_level level = left < FREE_FAIL_BYTES   ? DOCTOR_FAIL
                         : left < FREE_WARN_BYTES ? DOCTOR_WARN
                                                  : DOCTOR_OK;
    doctor_say(d, level, "disk", level == DOCTOR_OK ? NULL : mend, "%.0f of %.0f MiB free on %s%s",
               (double)left / MIB, (double)all / MIB, name,
               level == DOCTOR_FAIL ? ": appends will be refused" : "");
    if (vfs->f_files > 0 && vfs->f_favail == 0)
        doctor_say(d, DOCTOR_FAIL, "disk", "df -i", "no inodes are left");
    if (vfs->f_flag & ST_RDONLY)
        doctor_say(d, DOCTOR_FAIL, "disk", "sudo mount -o remount,rw …; sudo dmesg | tail",
                   "it is mounted read-only: nothing can be appended");
}

void doctor_disk(doctor *d)
{
    char path[HOME_PATH_MAX];
    struct statfs fs;
    struct statvfs vfs;
    const char *name = "another file system";
    bool remote = false;
    if (d->n.home.path[0] == '\0')
        return;
    if (!stat_fs(d, path, &fs, &vfs)) {
        doctor_say(d, DOCTOR_FAIL, "disk", NULL, "cannot look at %s: %s", path, strerror(errno));
        return;
    }
    for (size_t i = 0; i < sizeof file_systems / sizeof file_systems[0]; i++)
        if (((unsigned long)fs.f_type & 0xffffffff) == file_systems[i].type) {
            name = file_systems[i].name;
            remote = file_systems[i].remote;
        }
    space(d, path, name, &vfs);
    if (remote)
        doctor_say(d, DOCTOR_FAIL, "disk", "cairn --home DIR … (DIR on a disk of this machine)",
                   "%s is on a network file system, where the database is not safe", path);
    if (strcmp(name, "tmpfs") == 0)
        doctor_say(d, DOCTOR_WARN, "disk", "cairn --home DIR … (DIR on a disk)",
                   "%s lies in memory: it is gone after a restart of the machine", path);
}
