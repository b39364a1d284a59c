/* The daemon around ether_core: hosts on ptys and TCP, lines of JSON out, lines of words in. Only for the files of this
 * folder. */
#ifndef CAIRN_LAB_H
#define CAIRN_LAB_H

#include "base/buf.h"
#include "base/limits.h"
#include "ether/ether_core.h"

#include <limits.h>
#include <poll.h>

#define LAB_SPEED_UNIT    1000u /* --speed in thousandths */
#define LAB_REPLAYS_MAX   16u
#define LAB_FDS_MAX       (3 + 2 * AIR_STATIONS_MAX)
#define LAB_LINE_MAX      4096u
#define LAB_OUT_MAX_BYTES (16u << 20)

typedef struct {
    uint32_t stations, speed_milli;
    uint64_t seed;
    const radio_region *region;
    const radio_preset *preset;
    const modem_board *boards[AIR_STATIONS_MAX];
    const char *tcp[AIR_STATIONS_MAX]; /* "[ADDR:]PORT" for the i-th station; NULL: none */
    char *tcp_text;                    /* what they point into */
    const char *plan, *pty_dir, *record;
    const char *replays[LAB_REPLAYS_MAX];
    size_t n_replays;
    bool totals;
} lab_settings;

/* One station's two lines. */
typedef struct {
    int master, watch; /* pty; inotify's number for its other end */
    bool present;      /* somebody has it open */
    bool drip;         /* one byte after another */
    char link[PATH_MAX], device[64];
    int listener, conn;
    char address[80];
    air_tuning told; /* what the last report said */
} lab_host;

typedef struct {
    const lab_settings *set;
    ether *e;
    lab_host *hosts;
    int inotify, signals, record;
    bool stdin_open, quit;
    int status;
    uint64_t begun_us; /* real */
    buf out;           /* lines for standard output */
    char line[LAB_LINE_MAX];
    size_t line_len;
    bool line_too_long;
} lab;

/* ---- settings.c: -1 to go on, else the exit code ---- */
int lab_settings_read(lab_settings *s, int argc, char **argv);
void lab_settings_release(lab_settings *s);

/* ---- lab.c ---- */
int lab_run(const lab_settings *s);
air_us lab_now(const lab *l);
void lab_quit(lab *l, int status);
/* Real time until the ether's `t`, µs, for waiting. */
uint64_t lab_until_us(const lab *l, air_us t);

/* ---- hosts.c: between the lines and the modems ---- */
/* Takes what a line gave to the modem, if that listens to this line. */
void lab_host_input(lab *l, uint32_t station, bool tcp, bytes in);
/* Gives each host what its modem says; true: somebody still waits for a byte that drips. */
bool lab_hosts_output(lab *l);
void lab_hosts_choose(lab *l, uint32_t station);

/* ---- pty.c ---- */
err_t lab_pty_open(lab *l, uint32_t station, buf *why);
void lab_pty_close(lab *l, uint32_t station);
/* Somebody opened or closed a line. */
void lab_pty_events(lab *l);
void lab_pty_read(lab *l, uint32_t station);
ssize_t lab_pty_write(lab *l, uint32_t station, const uint8_t *p, size_t n);

/* ---- tcp.c ---- */
err_t lab_tcp_open(lab *l, uint32_t station, buf *why);
void lab_tcp_close(lab *l, uint32_t station); /* listener and connection */
void lab_tcp_accept(lab *l, uint32_t station);
void lab_tcp_read(lab *l, uint32_t station);
/* The connection ends, and whoever waits for it with it. */
void lab_tcp_drop(lab *l, uint32_t station);

/* ---- report.c: a line of JSON each ---- */
void lab_report_start(lab *l);
void lab_report_line(lab *l, uint32_t station); /* where its host finds it */
void lab_report_frame(lab *l, const channel_frame *f);
void lab_report_radio(lab *l, uint32_t station);
void lab_report_state(lab *l, uint32_t station);
void lab_report_host(lab *l, uint32_t station);
void lab_report_totals(lab *l);
void lab_report_answer(lab *l, const char *line, const buf *why); /* why is empty: done */
/* Writes them out; false: nobody reads any more. */
bool lab_report_flush(lab *l);

/* ---- console.c: words from standard input ---- */
void lab_console_read(lab *l);

/* ---- recording.c ---- */
/* Plays the frames of a recording, the first at `first`, or each at its own time (first.us UINT64_MAX). */
err_t lab_play(lab *l, const char *path, air_us first, buf *why);

#endif
