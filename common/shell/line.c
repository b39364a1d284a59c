#include "shell/line.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define TCP_PREFIX "tcp:"

static err_t say(char *why, err_t e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static err_t say(char *why, err_t e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, ERROR_TEXT_MAX_BYTES, fmt, args);
    va_end(args);
    return e;
}

bool line_is_tcp(const char *where)
{
    return strncmp(where, TCP_PREFIX, strlen(TCP_PREFIX)) == 0;
}

/* ---- serial ---- */

static const struct {
    unsigned baud;
    speed_t speed;
} speeds[] = {
    {9600, B9600},     {19200, B19200},   {38400, B38400},   {57600, B57600},
    {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600},
};

static bool speed_of(unsigned baud, speed_t *out)
{
    for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++)
        if (speeds[i].baud == baud) {
            *out = speeds[i].speed;
            return true;
        }
    return false;
}

/* Debian gives serial devices to dialout; others may use another group. */
static err_t say_forbidden(const char *path, char *why)
{
    struct stat st;
    const struct group *g = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    const char *group = g != NULL && g->gr_gid != 0 ? g->gr_name : "dialout";
    return say(why, ERR_FORBIDDEN,
               "no permission: join the group %s (sudo usermod -aG %s $USER) and log in again",
               group, group);
}

static err_t say_no_device(const char *path, char *why)
{
    switch (errno) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return say(why, ERR_NOT_FOUND, "no such device: is it plugged in?");
    case EACCES:
    case EPERM:
        return say_forbidden(path, why);
    case EBUSY:
        return say(why, ERR_BUSY, "another program uses it");
    default:
        return say(why, ERR_IO, "%s", strerror(errno));
    }
}

static err_t set_raw(int fd, unsigned baud, char *why)
{
    struct termios t;
    speed_t speed;
    if (!speed_of(baud, &speed))
        return say(why, ERR_INVALID, "%u baud is no speed of a serial line", baud);
    if (tcgetattr(fd, &t) != 0)
        return say(why, ERR_INVALID, "it is not a serial line");
    cfmakeraw(&t);
    t.c_cflag = (t.c_cflag | CLOCAL | CREAD) & ~(tcflag_t)(CRTSCTS | CSTOPB | HUPCL);
    (void)cfsetispeed(&t, speed);
    (void)cfsetospeed(&t, speed);
    if (tcsetattr(fd, TCSANOW, &t) != 0)
        return say(why, ERR_INVALID, "it does not do %u baud", baud);
    return ERR_OK;
}

static err_t open_serial(const char *path, unsigned baud, int *fd, char *why)
{
    *fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return say_no_device(path, why);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return say(why, ERR_BUSY, "another program uses it");
    return set_raw(*fd, baud, why);
}

/* ---- TCP ---- */

/* "HOST", "HOST:PORT", "[ADDR]:PORT"; cuts `text` up. */
static void split_address(char *text, const char **host, const char **port)
{
    char *close = text[0] == '[' ? strchr(text, ']') : NULL;
    char *colon = strrchr(close != NULL ? close : text, ':');
    *host = text;
    *port = LINE_TCP_PORT;
    if (colon != NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    if (close != NULL) {
        *close = '\0';
        *host = text + 1;
    }
}

static int error_of(int fd)
{
    int e = 0;
    socklen_t n = sizeof e;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) == 0 ? e : errno;
}

/* 0 or an errno. */
static int connect_to(const struct addrinfo *a, int *fd)
{
    int on = 1;
    *fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno;
    (void)setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(*fd, a->ai_addr, a->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd p = {.fd = *fd, .events = POLLOUT};
    int n = poll(&p, 1, LINE_CONNECT_MS);
    return n > 0 ? error_of(*fd) : n == 0 ? ETIMEDOUT : errno;
}

static err_t open_tcp(const char *where, int *fd, char *why)
{
    char text[ADDRESS_MAX_BYTES + 1];
    const char *host, *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (strlen(where) > ADDRESS_MAX_BYTES)
        return say(why, ERR_INVALID, "the address is too long");
    (void)snprintf(text, sizeof text, "%s", where);
    split_address(text, &host, &port);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return say(why, ERR_NOT_FOUND, "no host is called \"%s\"", host);
    int e = connect_to(found, fd);
    freeaddrinfo(found);
    if (e == ECONNREFUSED)
        return say(why, ERR_UNREACHABLE, "%s answers, but no modem listens on port %s", host, port);
    return e == 0 ? ERR_OK : say(why, ERR_UNREACHABLE, "no way to %s: %s", host, strerror(e));
}

/* ---- both ---- */

err_t line_open(const char *where, unsigned baud, int *fd, char why[ERROR_TEXT_MAX_BYTES])
{
    *fd = -1;
    err_t e = line_is_tcp(where) ? open_tcp(where + strlen(TCP_PREFIX), fd, why)
                                 : open_serial(where, baud, fd, why);
    if (e != ERR_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return e;
}

static err_t moved(ssize_t got, size_t *n)
{
    *n = got > 0 ? (size_t)got : 0;
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)) ? ERR_OK : ERR_IO;
}

err_t line_read(int fd, uint8_t *out, size_t max, size_t *n)
{
    return moved(read(fd, out, max), n);
}

err_t line_write(int fd, bytes in, size_t *n)
{
    return moved(write(fd, in.p, in.len), n);
}
