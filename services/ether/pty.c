/* Serial lines under stable names. The kernel tells by inotify when somebody opens or closes the other end, which on a
 * real board is DTR and resets it. A host with the wrong baud rate gives and gets nonsense. */
#include "ether/lab.h"
#include "shell/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define READ_BYTES 4096

/* Raw and at the RNode's speed, so that plain programs can talk to it too. */
static bool make_raw(const char *device)
{
    struct termios t;
    int fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
    bool done = fd >= 0 && tcgetattr(fd, &t) == 0;
    if (done) {
        cfmakeraw(&t);
        cfsetspeed(&t, B115200);
        done = tcsetattr(fd, TCSANOW, &t) == 0;
    }
    if (fd >= 0)
        close(fd);
    return done;
}

static err_t fail(lab *l, uint32_t station, buf *why, const char *what)
{
    buf_addf(why, "cannot make the serial line %s: %s: %s", l->hosts[station].link, what,
             strerror(errno));
    lab_pty_close(l, station);
    return ERR_IO;
}

static bool open_master(lab_host *h)
{
    h->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    return h->master >= 0 && grantpt(h->master) == 0 && unlockpt(h->master) == 0 &&
           ptsname_r(h->master, h->device, sizeof h->device) == 0 && make_raw(h->device);
}

/* Only what is a link already is replaced. */
static bool name_it(const lab_host *h)
{
    struct stat st;
    if (lstat(h->link, &st) == 0 && S_ISLNK(st.st_mode) && unlink(h->link) != 0)
        return false;
    return symlink(h->device, h->link) == 0;
}

err_t lab_pty_open(lab *l, uint32_t station, buf *why)
{
    lab_host *h = &l->hosts[station];
    int n =
        snprintf(h->link, sizeof h->link, "%s/station-%u", l->set->pty_dir, (unsigned)station + 1);
    if (n < 0 || (size_t)n >= sizeof h->link)
        return ERR_TOO_LARGE;
    if (!open_master(h))
        return fail(l, station, why, "no pseudo terminal");
    h->watch = inotify_add_watch(l->inotify, h->device, IN_OPEN | IN_CLOSE);
    if (h->watch < 0)
        return fail(l, station, why, h->device);
    return name_it(h) ? ERR_OK : fail(l, station, why, "no link");
}

void lab_pty_close(lab *l, uint32_t station)
{
    lab_host *h = &l->hosts[station];
    char target[sizeof h->device];
    if (h->master < 0)
        return;
    ssize_t n = readlink(h->link, target, sizeof target - 1);
    if (n > 0 && bytes_eq(bytes_of(target, (size_t)n), bytes_str(h->device)))
        (void)unlink(h->link);
    if (h->watch >= 0)
        (void)inotify_rm_watch(l->inotify, h->watch);
    close(h->master);
    h->master = h->watch = -1;
    h->present = false;
}

static bool hung_up(const lab_host *h)
{
    struct pollfd p = {.fd = h->master, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP);
}

static void line_changed(lab *l, uint32_t station, bool opened)
{
    lab_host *h = &l->hosts[station];
    bool before = h->present;
    lab_pty_read(l, station); /* what was said before it was closed */
    h->present = !hung_up(h);
    if (opened && !before && h->present)
        ether_line_opened(l->e, station);
    if (before != h->present && h->conn < 0)
        lab_hosts_choose(l, station);
}

void lab_pty_events(lab *l)
{
    _Alignas(struct inotify_event) char text[4096];
    ssize_t n;
    while ((n = read(l->inotify, text, sizeof text)) > 0)
        for (char *p = text; p < text + n;) {
            const struct inotify_event *e = (const void *)p;
            for (uint32_t i = 0; i < l->set->stations; i++)
                if (l->hosts[i].master >= 0 && l->hosts[i].watch == e->wd)
                    line_changed(l, i, e->mask & IN_OPEN);
            p += sizeof *e + e->len;
        }
}

/* What a UART at 115200 baud makes of another speed: never what was meant. */
static bool wrong_speed(const lab *l, uint32_t station)
{
    struct termios t;
    return !l->set->boards[station]->native_usb && tcgetattr(l->hosts[station].master, &t) == 0 &&
           cfgetospeed(&t) != B115200;
}

static void garble(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((p[i] * 0xb5 + 0x3b) ^ p[i] >> 3);
}

void lab_pty_read(lab *l, uint32_t station)
{
    uint8_t in[READ_BYTES];
    lab_host *h = &l->hosts[station];
    ssize_t n;
    /* While TCP is in use the line is not listened to; its bytes wait. */
    if (h->master < 0 || !h->present || h->conn >= 0)
        return;
    if ((n = read(h->master, in, sizeof in)) > 0) {
        if (wrong_speed(l, station))
            garble(in, (size_t)n);
        lab_host_input(l, station, false, bytes_of(in, (size_t)n));
    }
}

ssize_t lab_pty_write(lab *l, uint32_t station, const uint8_t *p, size_t n)
{
    uint8_t out[READ_BYTES];
    if (!wrong_speed(l, station))
        return write(l->hosts[station].master, p, n);
    n = n < sizeof out ? n : sizeof out;
    memcpy(out, p, n);
    garble(out, n);
    return write(l->hosts[station].master, out, n);
}
