#include "shell/log.h"

#include "shell/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

static const char *const names[LOG_LEVELS] = {"error", "warn", "info", "debug", "trace"};
/* syslog priorities, for the journal's "<N>" prefix */
static const int priorities[LOG_LEVELS] = {3, 4, 6, 7, 7};

static struct {
    const char *service;
    log_level level;
    bool json, journal;
} state = {"cairn", LOG_INFO, false, false};

void log_init(const char *service, log_level level, bool json)
{
    state.service = service;
    state.level = level;
    state.json = json;
    state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(log_level level)
{
    state.level = level;
}

bool log_level_parse(const char *name, log_level *level)
{
    for (int i = 0; i < LOG_LEVELS; i++)
        if (strcasecmp(name, names[i]) == 0) {
            *level = (log_level)i;
            return true;
        }
    return false;
}

/* Copies with quotes, backslashes and control characters escaped, so that a line stays a line. */
static void escape(char *out, size_t cap, const char *in)
{
    size_t n = 0;
    for (; *in != '\0' && n + 7 < cap; in++) {
        unsigned char c = (unsigned char)*in;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, cap - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
}

void log_line(log_level level, const char *fmt, ...)
{
    char text[1024], safe[2048], when[32], line[2304];
    if (level > state.level)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    escape(safe, sizeof safe, text);
    wall_ms now = clock_wall();
    clock_text(when, now.ms, true);
    when[10] = 'T';
    int n = snprintf(line, sizeof line,
                     state.json
                         ? "{\"ts\":\"%s.%03uZ\",\"level\":\"%s\",\"svc\":\"%s\",\"msg\":\"%s\"}\n"
                         : "ts=%s.%03uZ level=%s svc=%s msg=\"%s\"\n",
                     when, (unsigned)(now.ms % 1000), names[level], state.service, safe);
    if (state.journal)
        dprintf(STDERR_FILENO, "<%d>", priorities[level]);
    /* One write, so that lines of several processes on one file do not mix. */
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}
