#include "cli/infer.h"

typedef struct {
    const uint8_t *p, *end;
    bool ok;
} scanner;

/* A number of least … most digits. */
static unsigned digits(scanner *s, int least, int most)
{
    unsigned v = 0;
    int n = 0;
    for (; n < most && s->p < s->end && *s->p >= '0' && *s->p <= '9'; n++)
        v = v * 10 + (unsigned)(*s->p++ - '0');
    s->ok = s->ok && n >= least;
    return v;
}

static bool accept(scanner *s, char a, char b)
{
    if (s->p == s->end || (*s->p != (uint8_t)a && *s->p != (uint8_t)b))
        return false;
    s->p++;
    return true;
}

static void require(scanner *s, char a, char b)
{
    s->ok = accept(s, a, b) && s->ok;
}

typedef struct {
    unsigned y, m, d;
} date;

static bool date_exists(date t)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (t.y < 1970 || t.y > 9999 || t.m < 1 || t.m > 12 || t.d < 1)
        return false;
    bool leap = (t.y % 4 == 0 && t.y % 100 != 0) || t.y % 400 == 0;
    return t.d <= (t.m == 2 && leap ? 29u : days[t.m - 1]);
}

/* Days since 1970-01-01 of a Gregorian date (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static uint64_t days_of(date t)
{
    unsigned y = t.m <= 2 ? t.y - 1 : t.y;
    unsigned era = y / 400, of_era = y % 400;
    unsigned of_year = (153 * (t.m > 2 ? t.m - 3 : t.m + 9) + 2) / 5 + t.d - 1;
    return era * 146097ull + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static date read_date(scanner *s, infer_dates dates)
{
    date t = {0, 0, 0};
    scanner iso = *s;
    t.y = digits(&iso, 4, 4);
    require(&iso, '-', '-');
    if (iso.ok || dates == INFER_ISO) {
        *s = iso;
        t.m = digits(s, 2, 2);
        require(s, '-', '-');
        t.d = digits(s, 2, 2);
        return t;
    }
    unsigned first = digits(s, 1, 2);
    require(s, '/', '.');
    unsigned second = digits(s, 1, 2);
    require(s, '/', '.');
    t.y = digits(s, 4, 4);
    t.m = dates == INFER_MDY ? first : second;
    t.d = dates == INFER_MDY ? second : first;
    return t;
}

/* Milliseconds of the day; the blank or T before it is taken already. */
static uint64_t read_clock(scanner *s)
{
    unsigned h = digits(s, 1, 2), seconds = 0, ms = 0;
    require(s, ':', ':');
    unsigned min = digits(s, 2, 2);
    if (accept(s, ':', ':'))
        seconds = digits(s, 2, 2);
    if (accept(s, '.', ',')) {
        for (unsigned unit = 100; s->p < s->end && *s->p >= '0' && *s->p <= '9'; unit /= 10)
            ms += unit * (unsigned)(*s->p++ - '0');
    }
    s->ok = s->ok && h < 24 && min < 60 && seconds < 60;
    return ((h * 60ull + min) * 60 + seconds) * 1000 + ms;
}

/* Minutes east of Greenwich. */
static int read_zone(scanner *s)
{
    if (s->p == s->end || accept(s, 'Z', 'z'))
        return 0;
    bool east = accept(s, '+', '+');
    if (!east)
        require(s, '-', '-');
    unsigned h = digits(s, 2, 2);
    (void)accept(s, ':', ':');
    unsigned min = s->p < s->end ? digits(s, 2, 2) : 0;
    s->ok = s->ok && h <= 14 && min < 60;
    return (int)(h * 60 + min) * (east ? 1 : -1);
}

bool infer_time(bytes cell, infer_dates dates, uint64_t *ms)
{
    scanner s = {cell.p, cell.len ? cell.p + cell.len : cell.p, true};
    date t = read_date(&s, dates);
    int64_t of_day = 0, zone = 0;
    if (!s.ok || !date_exists(t))
        return false;
    if (s.p < s.end) {
        require(&s, 'T', ' ');
        of_day = (int64_t)read_clock(&s);
        (void)accept(&s, ' ', ' ');
        zone = read_zone(&s);
    }
    int64_t at = (int64_t)days_of(t) * 86400000 + of_day - zone * 60000;
    if (!s.ok || s.p != s.end || at < 0)
        return false;
    *ms = (uint64_t)at;
    return true;
}
