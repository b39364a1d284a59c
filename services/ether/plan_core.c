#include "ether/plan_core.h"

#include "base/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 32

typedef struct {
    char text[PLAN_LINE_MAX_BYTES];
    char *word[WORDS_MAX + 1];
    size_t n, at;
    uint32_t stations;
    buf *why;
    channel_change *out;
} plan;

static err_t bad(plan *p, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_add_str(p->why, text);
    return ERR_INVALID;
}

static const char *next_word(plan *p)
{
    return p->at < p->n ? p->word[p->at++] : NULL;
}

static bool next_is(plan *p, const char *word)
{
    if (p->at >= p->n || strcmp(p->word[p->at], word) != 0)
        return false;
    p->at++;
    return true;
}

/* Cuts at blanks, up to a '#'. False: too many words. */
static bool split(plan *p, bytes line)
{
    size_t len = line.len < sizeof p->text ? line.len : sizeof p->text - 1;
    memcpy(p->text, line.p, len);
    p->text[len] = '\0';
    for (char *c = p->text; *c != '\0' && *c != '#';) {
        if (*c == ' ' || *c == '\t' || *c == '\r') {
            *c++ = '\0';
            continue;
        }
        if (p->n == WORDS_MAX)
            return false;
        p->word[p->n++] = c;
        while (*c != '\0' && *c != '#' && *c != ' ' && *c != '\t' && *c != '\r')
            c++;
        if (*c == '#')
            *c = '\0';
    }
    return true;
}

/* ---- values ---- */

static int64_t nearest(double v)
{
    return (int64_t)(v < 0 ? v - 0.5 : v + 0.5);
}

/* A plain decimal number, followed by `unit`. */
static bool decimal(const char *word, const char *unit, double min, double max, double *out)
{
    char *end;
    if (word == NULL || !((*word >= '0' && *word <= '9') || *word == '-' || *word == '.'))
        return false;
    *out = strtod(word, &end);
    return end != word && strcmp(end, unit) == 0 && *out >= min && *out <= max;
}

static err_t level(plan *p, const char *what, int16_t *out)
{
    double v;
    const char *word = next_word(p);
    if (!decimal(word, "", -200, 60, &v))
        return bad(p, "%s wants a level from -200 to 60, not \"%s\"", what, word ? word : "");
    *out = (int16_t)nearest(v * 100);
    return ERR_OK;
}

static err_t percent(plan *p, const char *what, uint32_t *ppm)
{
    double v;
    const char *word = next_word(p);
    if (!decimal(word, "%", 0, 100, &v))
        return bad(p, "%s wants a share like 10%%, not \"%s\"", what, word ? word : "");
    *ppm = (uint32_t)nearest(v * 10000);
    return ERR_OK;
}

bool plan_duration(bytes text, uint64_t *us)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"ms", 1e3}, {"s", 1e6}, {"m", 6e7}, {"h", 3.6e9}};
    char word[32];
    double v;
    if (text.len >= sizeof word)
        return false;
    if (text.len > 0)
        memcpy(word, text.p, text.len);
    word[text.len] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (decimal(word, units[i].name, 0, 1e9, &v)) {
            *us = (uint64_t)(v * units[i].us);
            return true;
        }
    return false;
}

static err_t duration(plan *p, const char *what, uint64_t *us)
{
    const char *word = next_word(p);
    if (word != NULL && plan_duration(bytes_str(word), us))
        return ERR_OK;
    return bad(p, "%s wants a time like 90s or 2h, not \"%s\"", what, word ? word : "");
}

/* "3", "1,2,7", "*" */
static err_t station_list(plan *p, const char *word, station_set *out)
{
    if (word == NULL)
        return bad(p, "a station is missing: a number, a list like 1,2 or *");
    if (strcmp(word, "*") == 0) {
        for (uint32_t i = 0; i < p->stations; i++)
            station_add(out, i);
        return ERR_OK;
    }
    for (const char *c = word;;) {
        char *end;
        unsigned long v = strtoul(c, &end, 10);
        if (*c < '0' || *c > '9' || v < 1 || v > p->stations || (*end != ',' && *end != '\0'))
            return bad(p, "\"%s\" names no stations: they are 1 to %u", word,
                       (unsigned)p->stations);
        station_add(out, (uint32_t)v - 1);
        if (*end == '\0')
            return ERR_OK;
        c = end + 1;
    }
}

/* ---- commands ---- */

static err_t link_word(plan *p, const char *word)
{
    channel_change *o = p->out;
    if (strcmp(word, "on") == 0 || strcmp(word, "off") == 0) {
        o->fields |= LINK_ON;
        o->link.on = word[1] == 'n';
        return ERR_OK;
    }
    if (strcmp(word, "rssi") == 0) {
        o->fields |= LINK_RSSI;
        return level(p, word, &o->link.rssi_cdbm);
    }
    if (strcmp(word, "fade") == 0) {
        int16_t v;
        o->fields |= LINK_FADE;
        TRY(level(p, word, &v));
        o->link.fade_cdb = (uint16_t)(v > 0 ? v : 0);
        return ERR_OK;
    }
    if (strcmp(word, "loss") == 0) {
        o->fields |= LINK_LOSS;
        return percent(p, word, &o->link.loss_ppm);
    }
    if (strcmp(word, "burst") != 0)
        return bad(p, "\"%s\" is no property of a link: on, off, rssi, fade, loss, burst", word);
    o->fields |= LINK_BURST;
    TRY(percent(p, "burst", &o->link.burst_ppm));
    TRY(percent(p, "burst", &o->link.burst_end_ppm));
    return percent(p, "burst", &o->link.burst_loss_ppm);
}

static err_t read_link(plan *p, bool both_ways)
{
    const char *word;
    p->out->kind = CHANGE_LINK;
    p->out->both_ways = both_ways;
    TRY(station_list(p, next_word(p), &p->out->from));
    TRY(station_list(p, next_word(p), &p->out->to));
    while ((word = next_word(p)) != NULL)
        TRY(link_word(p, word));
    return p->out->fields != 0 ? ERR_OK : bad(p, "and what about these links?");
}

static err_t read_both(plan *p)
{
    return read_link(p, true);
}

static err_t read_way(plan *p)
{
    return read_link(p, false);
}

/* Groups are numbered from 1; who is not named stays in 0. */
static err_t read_cut(plan *p)
{
    uint8_t group = 1;
    const char *word;
    bool named = false;
    p->out->kind = CHANGE_CUT;
    while ((word = next_word(p)) != NULL) {
        station_set set = {{0}};
        if (strcmp(word, "|") == 0) {
            group++;
            continue;
        }
        TRY(station_list(p, word, &set));
        named = true;
        for (uint32_t i = 0; i < p->stations && i < AIR_STATIONS_MAX; i++)
            if (station_in(&set, i))
                p->out->group[i] = group;
    }
    return named ? ERR_OK : bad(p, "cut wants groups of stations: cut 1,2 | 3,4");
}

static err_t read_heal(plan *p)
{
    p->out->kind = CHANGE_HEAL;
    return ERR_OK;
}

static err_t frequencies(plan *p, const char *word)
{
    double low, high;
    char *dash = word != NULL ? strchr(word, '-') : NULL;
    if (dash != NULL)
        *dash = '\0';
    if (dash == NULL || !decimal(word, "", 1, 4000, &low) ||
        !decimal(dash + 1, "", low, 4000, &high))
        return bad(p, "jam wants frequencies in MHz like 868.0-868.6");
    p->out->low_hz = (uint32_t)nearest(low * 1e6);
    p->out->high_hz = (uint32_t)nearest(high * 1e6);
    return ERR_OK;
}

static err_t read_jam(plan *p)
{
    p->out->kind = CHANGE_JAM;
    TRY(frequencies(p, next_word(p)));
    TRY(level(p, "jam", &p->out->level_cdb));
    TRY(next_is(p, "for") ? duration(p, "for", &p->out->for_us) : ERR_OK);
    return station_list(p, next_is(p, "at") ? next_word(p) : "*", &p->out->to);
}

static err_t read_noise(plan *p)
{
    p->out->kind = CHANGE_NOISE;
    TRY(station_list(p, next_word(p), &p->out->to));
    return level(p, "noise", &p->out->level_cdb);
}

static const struct {
    const char *name;
    err_t (*read)(plan *p);
} commands[] = {
    {"link", read_both}, {"way", read_way}, {"cut", read_cut},
    {"heal", read_heal}, {"jam", read_jam}, {"noise", read_noise},
};

static err_t read_command(plan *p)
{
    const char *word = next_word(p);
    for (size_t i = 0; word != NULL && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, word) == 0) {
            TRY(commands[i].read(p));
            return p->at == p->n ? ERR_OK : bad(p, "\"%s\" is too much here", p->word[p->at]);
        }
    return bad(p, "\"%s\" is no command: link, way, cut, heal, jam, noise", word ? word : "");
}

err_t plan_line(bytes line, uint32_t stations, air_us now, channel_change *out, buf *why)
{
    plan p = {.stations = stations, .why = why, .out = out};
    *out = (channel_change){.at = now};
    if (line.len >= PLAN_LINE_MAX_BYTES)
        return bad(&p, "the line is longer than %u bytes", PLAN_LINE_MAX_BYTES);
    if (line.len == 0)
        return ERR_NOT_FOUND;
    if (memchr(line.p, '\0', line.len) != NULL || !split(&p, line))
        return bad(&p, "this is no line of words");
    if (p.n == 0)
        return ERR_NOT_FOUND;
    if (next_is(&p, "at"))
        TRY(duration(&p, "at", &out->at.us));
    return read_command(&p);
}
