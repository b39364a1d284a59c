/* cairn doctor: what is wrong with this machine and this node, line by line, and what mends it. */
#include "cli/cmd.h"
#include "cli/doctor.h"
#include "cli/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const level_names[] = {"OK", "WARN", "FAIL"};
static const char *const level_colours[] = {"\033[32m", "\033[33m", "\033[31m"};

static void say_words(const doctor *d, doctor_level level, const char *check, const char *mend,
                      const char *text)
{
    printf("%s%-4s%s  %-10s %s\n", d->colour ? level_colours[level] : "", level_names[level],
           d->colour ? "\033[0m" : "", check, text);
    if (mend != NULL)
        printf("                 mend: %s\n", mend);
}

void doctor_say(doctor *d, doctor_level level, const char *check, const char *mend, const char *fmt,
                ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->failed += level == DOCTOR_FAIL;
    d->warned += level == DOCTOR_WARN;
    if (!d->as_json) {
        say_words(d, level, check, mend, text);
        return;
    }
    out_open(&d->json);
    out_cstr(&d->json, "level", level_names[level]);
    out_cstr(&d->json, "check", check);
    out_cstr(&d->json, "text", text);
    if (mend != NULL)
        out_cstr(&d->json, "mend", mend);
    else
        out_null(&d->json, "mend");
    out_close(&d->json);
}

static void (*const checks[])(doctor *) = {
    doctor_versions, doctor_clock,   doctor_disk,      doctor_home,     doctor_config,
    doctor_keys,     doctor_run_dir, doctor_processes, doctor_database, doctor_member,
    doctor_views,    doctor_ports,   doctor_multicast, doctor_peers,
};

int cmd_doctor(const cmdline *c)
{
    doctor d = {.line = c, .as_json = cmdline_has(c, "json")};
    d.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    buf_init(&d.json, 1u << 16);
    d.home_usable = node_open(&d.n, cmdline_get(c, "home"), false);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        checks[i](&d);
    if (!d.as_json && !cmdline_has(c, "quiet"))
        fprintf(stderr,
                d.failed + d.warned == 0 ? "Nothing is wrong.\n" : "%u failed, %u to look at.\n",
                d.failed, d.warned);
    config_free(d.conf);
    node_close(&d.n);
    buf_release(&d.json);
    return d.failed == 0 && ferror(stdout) == 0 ? 0 : 1;
}
