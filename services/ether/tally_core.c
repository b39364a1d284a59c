#include "ether/tally_core.h"

#include <stdlib.h>

typedef struct {
    air_us start, end;
} span;

/* spans: those that may still lie in the last hour, oldest at `first`; `sum_us` is theirs. */
typedef struct {
    tally_row row;
    uint64_t *hours;
    size_t cap_hours;
    span *spans;
    size_t first, n, cap;
    uint64_t sum_us;
} account;

struct tally {
    const char *region;
    account *accounts;
    size_t n, cap;
};

tally *tally_new(const char *region)
{
    tally *t = calloc(1, sizeof *t);
    if (t != NULL)
        t->region = region;
    return t;
}

void tally_free(tally **tp)
{
    tally *t = *tp;
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->accounts[i].hours);
        free(t->accounts[i].spans);
    }
    free(t->accounts);
    free(t);
    *tp = NULL;
}

static account *find(const tally *t, uint32_t station, const radio_band *band)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->accounts[i].row.station == station && t->accounts[i].row.band == band)
            return &t->accounts[i];
    return NULL;
}

/* Makes room for one more of `size` bytes in *p, which holds `n` and has room for *cap. */
static err_t grow(void **p, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return ERR_OK;
    size_t more = *cap ? 2 * *cap : 8;
    void *q = realloc(*p, more * size);
    if (q == NULL)
        return ERR_NO_MEMORY;
    *p = q;
    *cap = more;
    return ERR_OK;
}

static account *find_or_make(tally *t, uint32_t station, const radio_band *band)
{
    account *a = find(t, station, band);
    void *p = t->accounts;
    if (a != NULL)
        return a;
    if (grow(&p, &t->cap, t->n, sizeof *t->accounts) != ERR_OK)
        return NULL;
    t->accounts = p;
    a = &t->accounts[t->n++];
    *a = (account){.row = {.station = station, .band = band}};
    return a;
}

static err_t add_hour(account *a, air_us start, uint64_t us)
{
    size_t hour = (size_t)(start.us / AIR_HOUR);
    while (a->row.n_hours <= hour) {
        void *p = a->hours;
        TRY(grow(&p, &a->cap_hours, a->row.n_hours, sizeof *a->hours));
        a->hours = p;
        a->hours[a->row.n_hours++] = 0;
    }
    a->hours[hour] += us;
    a->row.hours = a->hours;
    return ERR_OK;
}

/* Of the hour that ends at `now`, how much its oldest span sticks out. */
static uint64_t before_window(const span *s, air_us now)
{
    uint64_t begin = now.us > AIR_HOUR ? now.us - AIR_HOUR : 0;
    return s->start.us >= begin ? 0
           : s->end.us <= begin ? s->end.us - s->start.us
                                : begin - s->start.us;
}

static void drop_old(account *a, air_us now)
{
    while (a->n > 0 && a->spans[a->first].end.us + AIR_HOUR <= now.us) {
        a->sum_us -= a->spans[a->first].end.us - a->spans[a->first].start.us;
        a->first++;
        a->n--;
    }
    if (a->first > a->n) { /* the front half is empty: move down */
        if (a->n > 0)
            memmove(a->spans, a->spans + a->first, a->n * sizeof *a->spans);
        a->first = 0;
    }
}

/* A rolling hour is at its fullest when a frame ends (or just after one has dropped out, when it was so before). */
static err_t add_span(account *a, air_us start, air_us end)
{
    void *p = a->spans;
    drop_old(a, end);
    TRY(grow(&p, &a->cap, a->first + a->n, sizeof *a->spans));
    a->spans = p;
    a->spans[a->first + a->n++] = (span){start, end};
    a->sum_us += end.us - start.us;
    uint64_t hour = a->sum_us - before_window(&a->spans[a->first], end);
    if (hour > a->row.worst_hour_us)
        a->row.worst_hour_us = hour;
    return ERR_OK;
}

err_t tally_add(tally *t, uint32_t station, const air_tuning *tuning, air_us start, air_us end)
{
    const radio_band *band =
        t->region != NULL ? radio_band_of(t->region, tuning->hz, tuning->lora.bw_hz) : NULL;
    account *a = find_or_make(t, station, band);
    uint64_t us = end.us - start.us;
    if (a == NULL)
        return ERR_NO_MEMORY;
    TRY(add_span(a, start, end));
    TRY(add_hour(a, start, us));
    a->row.frames++;
    a->row.airtime_us += us;
    a->row.too_long += band != NULL && band->dwell_max_us > 0 && us > band->dwell_max_us;
    return ERR_OK;
}

bool tally_get(const tally *t, size_t i, tally_row *out)
{
    if (i >= t->n)
        return false;
    *out = t->accounts[i].row;
    return true;
}

uint64_t tally_last_hour_us(const tally *t, uint32_t station, const radio_band *band, air_us now)
{
    const account *a = find(t, station, band);
    uint64_t sum = 0;
    for (size_t i = 0; a != NULL && i < a->n; i++) {
        const span *s = &a->spans[a->first + i];
        sum += s->end.us - s->start.us - before_window(s, now);
    }
    return sum;
}
