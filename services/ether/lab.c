#include "ether/lab.h"

#include "ether/plan_core.h"
#include "shell/clock.h"
#include "shell/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define IDLE_US 1000000ull
#define DRIP_US 1000ull
#define TURN_US 50000ull /* real time that one turn may take to catch up */

/* ---- time ---- */

air_us lab_now(const lab *l)
{
    uint64_t us = clock_mono_us() - l->begun_us, unit = LAB_SPEED_UNIT;
    return (air_us){us / unit * l->set->speed_milli + us % unit * l->set->speed_milli / unit};
}

uint64_t lab_until_us(const lab *l, air_us t)
{
    air_us now = lab_now(l);
    uint64_t speed = l->set->speed_milli, ahead = t.us - now.us;
    if (t.us <= now.us)
        return 0;
    return ahead / speed >= IDLE_US / LAB_SPEED_UNIT ? IDLE_US : ahead * LAB_SPEED_UNIT / speed + 1;
}

void lab_quit(lab *l, int status)
{
    l->quit = true;
    l->status = status;
}

/* ---- start ---- */

static int complain(int status, const buf *why)
{
    fprintf(stderr, "cairn-ether: %.*s\n", (int)why->len, why->len > 0 ? (const char *)why->p : "");
    return status;
}

static err_t read_plan(lab *l, const char *path, buf *why)
{
    char *text = NULL;
    size_t cap = 0, number = 0;
    ssize_t len;
    err_t e = ERR_OK;
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        buf_addf(why, "cannot read %s: %s", path, strerror(errno));
        return ERR_NOT_FOUND;
    }
    while (e == ERR_OK && (len = getline(&text, &cap, f)) >= 0) {
        channel_change change;
        buf words;
        buf_init(&words, ERROR_TEXT_MAX_BYTES);
        number++;
        len -= len > 0 && text[len - 1] == '\n';
        e = plan_line(bytes_of(text, (size_t)len), l->set->stations + 1, (air_us){0}, &change,
                      &words);
        if (e == ERR_OK)
            e = ether_change(l->e, &change);
        else if (e == ERR_NOT_FOUND)
            e = ERR_OK;
        else
            buf_addf(why, "%s:%zu: %.*s", path, number, (int)words.len, (const char *)words.p);
        buf_release(&words);
    }
    free(text);
    fclose(f);
    return e;
}

static err_t open_signals(lab *l)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_IO;
    l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    l->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return l->signals >= 0 && l->inotify >= 0 ? ERR_OK : ERR_IO;
}

static err_t make_ether(lab *l)
{
    ether_spec spec = {.stations = l->set->stations,
                       .boards = l->set->boards,
                       .region = l->set->region->name,
                       .seed = l->set->seed,
                       .tcp_timeout_us =
                           MODEM_TCP_TIMEOUT_US * l->set->speed_milli / LAB_SPEED_UNIT};
    l->e = ether_new(&spec);
    l->hosts = calloc(l->set->stations, sizeof *l->hosts);
    if (l->e == NULL || l->hosts == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < l->set->stations; i++)
        l->hosts[i] = (lab_host){.master = -1, .watch = -1, .listener = -1, .conn = -1};
    return ERR_OK;
}

static err_t open_lines(lab *l, buf *why)
{
    if (l->set->pty_dir != NULL && mkdir(l->set->pty_dir, 0700) != 0 && errno != EEXIST) {
        buf_addf(why, "cannot make %s: %s", l->set->pty_dir, strerror(errno));
        return ERR_IO;
    }
    for (uint32_t i = 0; i < l->set->stations; i++) {
        if (l->set->pty_dir != NULL)
            TRY(lab_pty_open(l, i, why));
        if (l->set->tcp[i] != NULL)
            TRY(lab_tcp_open(l, i, why));
    }
    return ERR_OK;
}

static int set_up(lab *l, buf *why)
{
    if (open_signals(l) != ERR_OK || make_ether(l) != ERR_OK) {
        buf_add_str(why, "not enough memory or file descriptors");
        return EX_OSERR;
    }
    if (l->set->plan != NULL && read_plan(l, l->set->plan, why) != ERR_OK)
        return EX_DATAERR;
    for (size_t i = 0; i < l->set->n_replays; i++)
        if (lab_play(l, l->set->replays[i], AIR_NEVER, why) != ERR_OK)
            return EX_DATAERR;
    if (l->set->record != NULL) {
        l->record = open(l->set->record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (l->record < 0) {
            buf_addf(why, "cannot write %s: %s", l->set->record, strerror(errno));
            return EX_CANTCREAT;
        }
    }
    return open_lines(l, why) == ERR_OK ? -1 : EX_UNAVAILABLE;
}

/* ---- the loop ---- */

static void look_at_radios(lab *l)
{
    for (uint32_t i = 0; i < l->set->stations; i++) {
        const air_tuning *t = modem_tuning(ether_modem(l->e, i));
        air_tuning *told = &l->hosts[i].told;
        bool changed = !air_tuning_same(t, told) && (t->on || told->on);
        *told = *t;
        if (changed)
            lab_report_radio(l, i);
    }
}

/* To where the clock is, unless this machine cannot keep up: then hosts are served in between. */
static void catch_up(lab *l)
{
    uint64_t begun_us = clock_mono_us();
    uint64_t chunk_us = TURN_US * l->set->speed_milli / LAB_SPEED_UNIT;
    air_us now = lab_now(l);
    const channel_frame *f;
    do {
        air_us next = air_first(now, air_after(ether_now(l->e), chunk_us));
        while ((f = ether_step(l->e, next)) != NULL)
            lab_report_frame(l, f);
        look_at_radios(l);
    } while (ether_now(l->e).us < now.us && clock_mono_us() - begun_us < TURN_US);
}

static void take_signals(lab *l)
{
    struct signalfd_siginfo info;
    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            lab_report_totals(l);
        else
            lab_quit(l, 0);
    }
}

static size_t fill_poll(const lab *l, struct pollfd *fds)
{
    size_t n = 0;
    fds[n++] = (struct pollfd){.fd = l->signals, .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = l->inotify, .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = l->stdin_open ? STDIN_FILENO : -1, .events = POLLIN};
    for (uint32_t i = 0; i < l->set->stations; i++) {
        const lab_host *h = &l->hosts[i];
        bool serial = h->present && h->conn < 0;
        fds[n++] = (struct pollfd){.fd = serial ? h->master : -1, .events = POLLIN};
        /* Nobody is taken while somebody is connected. */
        fds[n++] = (struct pollfd){.fd = h->conn >= 0 ? h->conn : h->listener, .events = POLLIN};
    }
    return n;
}

static void serve(lab *l, const struct pollfd *fds)
{
    if (fds[0].revents != 0)
        take_signals(l);
    if (fds[1].revents != 0)
        lab_pty_events(l);
    if (fds[2].revents != 0)
        lab_console_read(l);
    for (uint32_t i = 0; i < l->set->stations; i++) {
        const struct pollfd *pty = &fds[3 + 2 * i], *tcp = pty + 1;
        if (pty->revents & POLLIN)
            lab_pty_read(l, i);
        if (tcp->fd < 0 || tcp->revents == 0)
            continue;
        if (tcp->fd == l->hosts[i].conn)
            lab_tcp_read(l, i);
        else if (tcp->fd == l->hosts[i].listener)
            lab_tcp_accept(l, i);
    }
}

static void turn(lab *l)
{
    struct pollfd fds[LAB_FDS_MAX];
    bool dripping = lab_hosts_output(l);
    if (!lab_report_flush(l)) {
        log_error("nobody reads standard output any more: %s", strerror(errno));
        lab_quit(l, EX_IOERR);
        return;
    }
    uint64_t us = lab_until_us(l, ether_next(l->e));
    us = dripping && us > DRIP_US ? DRIP_US : us;
    struct timespec wait = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    size_t n = fill_poll(l, fds);
    if (ppoll(fds, n, &wait, NULL) < 0)
        return;
    catch_up(l);
    serve(l, fds);
}

static void shut_down(lab *l)
{
    for (uint32_t i = 0; l->hosts != NULL && i < l->set->stations; i++) {
        lab_pty_close(l, i);
        lab_tcp_close(l, i);
    }
    int fds[] = {l->signals, l->inotify, l->record};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    ether_free(&l->e);
    free(l->hosts);
    buf_release(&l->out);
}

int lab_run(const lab_settings *s)
{
    lab l = {.set = s, .inotify = -1, .signals = -1, .record = -1, .stdin_open = true};
    buf why;
    buf_init(&why, 1024);
    buf_init(&l.out, LAB_OUT_MAX_BYTES);
    int status = set_up(&l, &why);
    if (status >= 0) {
        l.status = complain(status, &why);
    } else {
        l.begun_us = clock_mono_us();
        lab_report_start(&l);
        while (!l.quit)
            turn(&l);
        if (s->totals)
            lab_report_totals(&l);
        (void)!lab_report_flush(&l);
    }
    buf_release(&why);
    shut_down(&l);
    return l.status;
}
