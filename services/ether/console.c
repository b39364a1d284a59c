/* Words from standard input, one command a line; each is answered by a line of JSON. */
#include "ether/lab.h"
#include "ether/plan_core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORDS_MAX 6

typedef struct {
    char *word[WORDS_MAX];
    size_t n;
} words;

typedef struct {
    const char *name, *args, *doc;
    void (*run)(lab *l, const words *w, buf *why);
} command;

static bool take_station(const lab *l, const words *w, size_t i, uint32_t *station, buf *why)
{
    char *end;
    unsigned long v = i < w->n ? strtoul(w->word[i], &end, 10) : 0;
    if (v >= 1 && v <= l->set->stations && *end == '\0') {
        *station = (uint32_t)v - 1;
        return true;
    }
    buf_addf(why, "stations are 1 to %u", (unsigned)l->set->stations);
    return false;
}

static void run_totals(lab *l, const words *w, buf *why)
{
    (void)w;
    (void)why;
    lab_report_totals(l);
}

static void run_stations(lab *l, const words *w, buf *why)
{
    (void)w;
    (void)why;
    for (uint32_t i = 0; i < l->set->stations; i++)
        lab_report_state(l, i);
}

static void run_do(lab *l, const words *w, buf *why)
{
    uint32_t station;
    size_t fault = 0;
    char *end = "";
    if (!take_station(l, w, 1, &station, why))
        return;
    while (fault < MODEM_FAULTS &&
           (w->n < 3 || strcmp(modem_fault_rows[fault].name, w->word[2]) != 0))
        fault++;
    if (fault == MODEM_FAULTS) {
        buf_add_str(why, "do what?");
        for (size_t i = 0; i < MODEM_FAULTS; i++)
            buf_addf(why, " %s", modem_fault_rows[i].name);
        return;
    }
    const modem_fault_row *row = &modem_fault_rows[fault];
    unsigned long v = w->n > 3 ? strtoul(w->word[3], &end, 0) : row->fallback;
    if (*end != '\0' || v > row->max)
        buf_addf(why, "%s takes a number up to %u: %s", row->name, (unsigned)row->max, row->doc);
    else
        ether_do(l->e, station, (modem_fault)fault, (uint32_t)v);
}

static void run_unplug(lab *l, const words *w, buf *why)
{
    uint32_t station;
    if (!take_station(l, w, 1, &station, why))
        return;
    lab_pty_close(l, station);
    lab_tcp_close(l, station);
    ether_do(l->e, station, MODEM_FAULT_RESET, 0); /* no power: at least nothing is on the air */
    lab_hosts_choose(l, station);
}

static void run_plug(lab *l, const words *w, buf *why)
{
    uint32_t station;
    if (!take_station(l, w, 1, &station, why))
        return;
    lab_host *h = &l->hosts[station];
    bool done =
        l->set->pty_dir == NULL || h->master >= 0 || lab_pty_open(l, station, why) == ERR_OK;
    if (done && l->set->tcp[station] != NULL && h->listener < 0)
        done = lab_tcp_open(l, station, why) == ERR_OK;
    ether_do(l->e, station, MODEM_FAULT_RESET, 0);
    if (done)
        lab_report_line(l, station);
}

static void run_drip(lab *l, const words *w, buf *why)
{
    uint32_t station;
    if (take_station(l, w, 1, &station, why))
        l->hosts[station].drip = w->n < 3 || strcmp(w->word[2], "off") != 0;
}

static void run_play(lab *l, const words *w, buf *why)
{
    uint64_t us = 0;
    if (w->n < 2 || (w->n > 2 && !plan_duration(bytes_str(w->word[2]), &us)))
        buf_add_str(why, "play FILE [TIME]: the recording's first frame comes after TIME, like 5s");
    else
        (void)!lab_play(l, w->word[1], air_after(ether_now(l->e), us), why);
}

static void run_help(lab *l, const words *w, buf *why);

static void run_quit(lab *l, const words *w, buf *why)
{
    (void)w;
    (void)why;
    lab_quit(l, 0);
}

static const command commands[] = {
    {"totals", "", "airtime and duty per station, band and hour", run_totals},
    {"stations", "", "state of every modem", run_stations},
    {"do", "STATION FAULT [VALUE]", "something goes wrong in a modem", run_do},
    {"unplug", "STATION", "the device is pulled out", run_unplug},
    {"plug", "STATION", "and put back in, switched on anew", run_plug},
    {"drip", "STATION [on|off]", "its serial line delivers byte after byte", run_drip},
    {"play", "FILE [TIME]", "plays a recording, TIME from now", run_play},
    {"help", "", "this list, in the log", run_help},
    {"quit", "", "ends the ether", run_quit},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void run_help(lab *l, const words *w, buf *why)
{
    (void)l;
    (void)w;
    (void)why;
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "  %-8s %-22s %s\n", commands[i].name, commands[i].args, commands[i].doc);
    fprintf(stderr, "  FAULT:\n");
    for (size_t i = 0; i < MODEM_FAULTS; i++)
        fprintf(stderr, "    %-12s %s (up to %u)\n", modem_fault_rows[i].name,
                modem_fault_rows[i].doc, (unsigned)modem_fault_rows[i].max);
    fprintf(stderr,
            "  and every line of a --loss file: link, way, cut, heal, jam, noise, [at TIME …]\n");
}

/* Not one of ours: a line about the channel. */
static void change_channel(lab *l, const char *line, buf *why)
{
    channel_change change;
    err_t e = plan_line(bytes_str(line), l->set->stations + 1, ether_now(l->e), &change, why);
    if (e == ERR_OK)
        e = ether_change(l->e, &change);
    if (e == ERR_NO_MEMORY)
        buf_add_str(why, err_text(e));
}

static void run_line(lab *l, const char *line)
{
    char copy[LAB_LINE_MAX];
    words w = {.n = 0};
    buf why;
    size_t i = 0;
    snprintf(copy, sizeof copy, "%s", line);
    char *rest = copy;
    for (char *p; w.n < WORDS_MAX && (p = strsep(&rest, " \t\r")) != NULL;)
        if (*p != '\0')
            w.word[w.n++] = p;
    if (w.n == 0 || *w.word[0] == '#')
        return;
    buf_init(&why, ERROR_TEXT_MAX_BYTES);
    while (i < COMMANDS && strcmp(commands[i].name, w.word[0]) != 0)
        i++;
    if (i < COMMANDS)
        commands[i].run(l, &w, &why);
    else
        change_channel(l, line, &why);
    lab_report_answer(l, line, &why);
    buf_release(&why);
}

static void take_byte(lab *l, char c)
{
    if (c != '\n') {
        l->line_too_long = l->line_too_long || l->line_len + 1 == sizeof l->line;
        if (!l->line_too_long)
            l->line[l->line_len++] = c;
        return;
    }
    l->line[l->line_len] = '\0';
    if (!l->line_too_long)
        run_line(l, l->line);
    l->line_len = 0;
    l->line_too_long = false;
}

void lab_console_read(lab *l)
{
    char in[1024];
    ssize_t n = read(STDIN_FILENO, in, sizeof in);
    for (ssize_t i = 0; i < n; i++)
        take_byte(l, in[i]);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        l->stdin_open = false; /* goes on without */
}
