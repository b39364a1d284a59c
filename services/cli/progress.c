#include "cli/progress.h"

#include "shell/clock.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#define WIDTH 30u

void progress_init(progress *p, uint64_t total, bool quiet)
{
    *p = (progress){.total = total > 0 ? total : 1, .began = clock_mono()};
    p->on = !quiet && isatty(STDERR_FILENO);
}

void progress_show(progress *p, uint64_t done, uint64_t items)
{
    mono_ms now = clock_mono();
    char bar[WIDTH + 1], left[16];
    if (!p->on || now.ms < p->shown.ms + 100)
        return;
    assert(p->total > 0);
    uint64_t spent = now.ms - p->began.ms + 1;
    if (done > p->total)
        done = p->total;
    uint64_t rest = done > 0 ? spent * (p->total - done) / done : 0;
    size_t full = (size_t)(WIDTH * done / p->total);
    for (size_t i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    clock_span_text(left, rest);
    fprintf(stderr, "\r[%s] %3llu%%  %llu rows, %llu/s, %s left \033[K", bar,
            (unsigned long long)(100 * done / p->total), (unsigned long long)items,
            (unsigned long long)(items * 1000 / spent), left);
    p->shown = now;
    p->drawn = true;
}

void progress_clear(progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
