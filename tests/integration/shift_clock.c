/* Preloaded by hands.py: the wall clock of a process is off by CAIRN_TEST_CLOCK_S seconds, all other clocks are
 * right. libfaketime hangs under AddressSanitizer; this asks the kernel and needs no start. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *out)
{
    const char *off = getenv("CAIRN_TEST_CLOCK_S");
    int e = (int)syscall(SYS_clock_gettime, clock, out);
    if (e == 0 && off != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += strtol(off, NULL, 10);
    return e;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return -1;
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return (time_t)-1;
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}
