/* The command line. */
#include "ether/lab.h"
#include "shell/log.h"
#include "shell/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROGRAM "cairn-ether"

#ifndef CAIRN_VERSION
#define CAIRN_VERSION "0.1.0"
#endif

static int refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int refuse(const char *fmt, ...)
{
    va_list ap;
    fputs(PROGRAM ": ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return 2;
}

static bool whole(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *out >= min && *out <= max;
}

static int take_stations(lab_settings *s, const char *value)
{
    uint64_t n;
    if (!whole(value, 1, AIR_STATIONS_MAX - 1, &n))
        return refuse("--stations wants a number from 1 to %u, not \"%s\"", AIR_STATIONS_MAX - 1,
                      value);
    s->stations = (uint32_t)n;
    return -1;
}

static int take_region(lab_settings *s, const char *value)
{
    s->region = radio_region_named(value);
    return s->region != NULL ? -1 : refuse("there is no region \"%s\"; see --help", value);
}

static int take_preset(lab_settings *s, const char *value)
{
    s->preset = radio_preset_named(value);
    return s->preset != NULL ? -1 : refuse("there is no preset \"%s\"; see --help", value);
}

static int take_seed(lab_settings *s, const char *value)
{
    return whole(value, 0, UINT64_MAX, &s->seed)
               ? -1
               : refuse("--seed wants a number, not \"%s\"", value);
}

static int take_speed(lab_settings *s, const char *value)
{
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end != '\0' || !(v >= 0.01 && v <= 10000))
        return refuse("--speed wants a number from 0.01 to 10000, not \"%s\"", value);
    s->speed_milli = (uint32_t)(v * LAB_SPEED_UNIT + 0.5);
    return -1;
}

/* The last one given is that of all further stations. */
static int take_board(lab_settings *s, const char *value)
{
    size_t n = 0;
    char *copy = strdup(value), *rest = copy;
    int status = copy != NULL ? -1 : refuse("no memory");
    for (char *name; status < 0 && (name = strsep(&rest, ",")) != NULL && n < AIR_STATIONS_MAX;
         n++) {
        s->boards[n] = modem_board_named(name);
        if (s->boards[n] == NULL)
            status = refuse("there is no board \"%s\"; see --help", name);
    }
    for (; status < 0 && n < AIR_STATIONS_MAX; n++)
        s->boards[n] = s->boards[n - 1];
    free(copy);
    return status;
}

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    return whole(colon != NULL ? colon + 1 : text, 0, 65535, &port);
}

static int take_tcp(lab_settings *s, const char *value)
{
    size_t n = 0;
    if (s->tcp_text != NULL)
        return refuse("--tcp is given once, with one port for each station: --tcp 7633,7634");
    s->tcp_text = strdup(value);
    if (s->tcp_text == NULL)
        return refuse("no memory");
    char *rest = s->tcp_text;
    for (char *one; (one = strsep(&rest, ",")) != NULL; n++) {
        if (n == AIR_STATIONS_MAX || !is_address(one))
            return refuse("--tcp wants [ADDR:]PORT,…, not \"%s\"", value);
        s->tcp[n] = one;
    }
    return -1;
}

static int take_loss(lab_settings *s, const char *value)
{
    s->plan = value;
    return -1;
}

static int take_pty(lab_settings *s, const char *value)
{
    s->pty_dir = value;
    return -1;
}

static int take_record(lab_settings *s, const char *value)
{
    s->record = value;
    return -1;
}

static int take_replay(lab_settings *s, const char *value)
{
    if (s->n_replays == LAB_REPLAYS_MAX)
        return refuse("--replay can be given %u times", LAB_REPLAYS_MAX);
    s->replays[s->n_replays++] = value;
    return -1;
}

static int take_totals(lab_settings *s, const char *value)
{
    (void)value;
    s->totals = true;
    return -1;
}

static int take_level(lab_settings *s, const char *value)
{
    log_level level;
    (void)s;
    if (!log_level_parse(value, &level))
        return refuse("--log-level: there is no level \"%s\"", value);
    log_set_level(level);
    return -1;
}

static int help(lab_settings *s, const char *value);

static int version(lab_settings *s, const char *value)
{
    (void)s;
    (void)value;
    return printf(PROGRAM " %s\n", CAIRN_VERSION) < 0;
}

static const option_row rows[] = {
    {"stations", "N", "how many modems (default: 2)"},
    {"region", "NAME", "whose law the airtime is held against (required)"},
    {"preset", "NAME", "what the modems should be set to; others are pointed out (required)"},
    {"loss", "FILE", "links, losses, partitions and jammers: see services/ether/README.md"},
    {"seed", "N", "all chance comes from it (default: 1)"},
    {"speed", "K", "the ether's time runs K times as fast as ours (default: 1)"},
    {"tcp", "[ADDR:]PORT,..", "a TCP port for each station in turn, 0: any; ADDR is 127.0.0.1"},
    {"pty", "DIR", "a serial line for each station, DIR/station-1 …"},
    {"board", "NAME,..",
     "what hardware each station is; the last name is that of all further ones"},
    {"record", "FILE", "append each frame's line of JSON to FILE as well"},
    {"replay", "FILE", "play a recording at its own times, from an aerial of its own"},
    {"totals", NULL, "at the end print airtime and duty per station, band and hour"},
    {"log-level", "LEVEL", "error, warn, info, debug or trace"},
    {"help", NULL, "show this and exit"},
    {"version", NULL, "show the version and exit"},
};
#define ROWS (sizeof rows / sizeof rows[0])

static int (*const takers[ROWS])(lab_settings *s, const char *value) = {
    take_stations, take_region, take_preset, take_loss,  take_seed,
    take_speed,    take_tcp,    take_pty,    take_board, take_record,
    take_replay,   take_totals, take_level,  help,       version,
};

static int help(lab_settings *s, const char *value)
{
    (void)s;
    (void)value;
    printf("Usage: " PROGRAM " --region NAME --preset NAME [OPTION]...\n"
           "A laboratory of RNode radio modems on one simulated channel: each frame on the air is "
           "a line of\n"
           "JSON on standard output, words on standard input change things meanwhile (`help` lists "
           "them).\n\n");
    options_print(rows, ROWS);
    printf("\nRegions:\n");
    for (size_t i = 0; i < radio_regions_count; i++)
        printf("  %-12s %s (%s)\n", radio_regions[i].name, radio_regions[i].doc,
               radio_regions[i].regulation);
    printf("\nPresets:\n");
    for (size_t i = 0; i < radio_presets_count; i++)
        printf("  %-12s %s (SF%u, %u kHz)\n", radio_presets[i].name, radio_presets[i].doc,
               radio_presets[i].sf, (unsigned)radio_presets[i].bw_hz / 1000);
    printf("\nBoards:\n");
    for (size_t i = 0; i < modem_boards_count; i++)
        printf("  %-12s %s%s\n", modem_boards[i].name, modem_boards[i].doc,
               i == 0 ? " (default)" : "");
    return 0;
}

static int take(void *ctx, const char *name, const char *value)
{
    size_t i = 0;
    while (strcmp(rows[i].name, name) != 0)
        i++;
    return takers[i](ctx, value);
}

static int check(const lab_settings *s)
{
    if (s->region == NULL)
        return refuse("--region is missing: it is asked for, never guessed (see --help)");
    if (s->preset == NULL)
        return refuse("--preset is missing (see --help)");
    for (size_t i = s->stations; i < AIR_STATIONS_MAX; i++)
        if (s->tcp[i] != NULL)
            return refuse("--tcp names more ports than there are stations (%u)",
                          (unsigned)s->stations);
    return -1;
}

int lab_settings_read(lab_settings *s, int argc, char **argv)
{
    *s = (lab_settings){.stations = 2, .seed = 1, .speed_milli = LAB_SPEED_UNIT};
    for (size_t i = 0; i < AIR_STATIONS_MAX; i++)
        s->boards[i] = &modem_boards[0];
    log_init("ether", LOG_INFO, false);
    int status = options_parse(PROGRAM, rows, ROWS, argc, argv, take, s);
    return status < 0 ? check(s) : status;
}

void lab_settings_release(lab_settings *s)
{
    free(s->tcp_text);
    s->tcp_text = NULL;
}
