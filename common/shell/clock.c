#include "shell/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/timex.h>
#include <time.h>

static uint64_t now_us(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t now_ms(clockid_t id)
{
    return now_us(id) / 1000;
}

wall_ms clock_wall(void)
{
    return (wall_ms){now_ms(CLOCK_REALTIME)};
}

mono_ms clock_mono(void)
{
    return (mono_ms){now_ms(CLOCK_MONOTONIC)};
}

uint64_t clock_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

mono_ms clock_boot(void)
{
    return (mono_ms){now_ms(CLOCK_BOOTTIME)};
}

uint64_t clock_boot_id(void)
{
    uint8_t hash[8];
    char text[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    bool known = f != NULL && fgets(text, sizeof text, f) != NULL;
    if (f != NULL)
        (void)fclose(f);
    (void)crypto_generichash(hash, sizeof hash, (const uint8_t *)text, sizeof text, NULL, 0);
    return known ? get_u64be(hash) : 0;
}

bool clock_synced(uint64_t error_ms)
{
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    return state >= 0 && state != TIME_ERROR && (t.status & STA_UNSYNC) == 0 && t.maxerror >= 0 &&
           (uint64_t)t.maxerror / 1000 <= error_ms;
}

void random_fill(void *out, size_t len)
{
    randombytes_buf(out, len);
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_fill(&v, sizeof v);
    return v;
}

void clock_text(char out[32], uint64_t ms, bool utc)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0 || (utc ? gmtime_r(&s, &tm) : localtime_r(&s, &tm)) == NULL)
        snprintf(out, 32, "-");
    else
        strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

void clock_span_text(char out[16], uint64_t span_ms)
{
    static const struct {
        uint64_t from_ms, unit_ms;
        const char *unit;
    } rows[] = {
        {2ull * 86400 * 1000, 86400ull * 1000, "d"},
        {2ull * 3600 * 1000, 3600ull * 1000, "h"},
        {2ull * 60 * 1000, 60ull * 1000, "min"},
        {0, 1000, "s"},
    };
    size_t i = 0;
    while (span_ms < rows[i].from_ms)
        i++;
    snprintf(out, 16, "%u %s", (unsigned)(span_ms / rows[i].unit_ms), rows[i].unit);
}
