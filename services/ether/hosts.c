/* Between the lines and the modems. A modem has one host: TCP while somebody is connected, else the serial line. */
#include "ether/lab.h"
#include "shell/log.h"

#include <errno.h>
#include <sys/socket.h>

static modem_host line_of(const lab_host *h)
{
    return h->conn >= 0 ? MODEM_HOST_TCP : h->present ? MODEM_HOST_SERIAL : MODEM_HOST_NONE;
}

void lab_hosts_choose(lab *l, uint32_t station)
{
    ether_set_host(l->e, station, line_of(&l->hosts[station]));
    lab_report_host(l, station);
}

void lab_host_input(lab *l, uint32_t station, bool tcp, bytes in)
{
    modem_host host = line_of(&l->hosts[station]);
    if (host == (tcp ? MODEM_HOST_TCP : MODEM_HOST_SERIAL))
        ether_feed(l->e, station, in);
}

static ssize_t write_line(lab *l, uint32_t station, bytes out)
{
    lab_host *h = &l->hosts[station];
    if (h->conn >= 0)
        return send(h->conn, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return h->present ? lab_pty_write(l, station, out.p, out.len) : (ssize_t)out.len;
}

/* True: more is to come, byte by byte. */
static bool output(lab *l, uint32_t station)
{
    lab_host *h = &l->hosts[station];
    modem *m = ether_modem(l->e, station);
    if (h->conn >= 0 && modem_host_of(m) == MODEM_HOST_NONE) {
        log_info("station %u: its TCP host said nothing for too long", (unsigned)station + 1);
        lab_tcp_drop(l, station);
    }
    bytes out = modem_output(m);
    if (out.len == 0)
        return false;
    ssize_t n = write_line(l, station, h->drip ? bytes_of(out.p, 1) : out);
    if (n > 0)
        modem_output_taken(m, (size_t)n);
    else if (n < 0 && h->conn >= 0 && errno != EAGAIN && errno != EINTR)
        lab_tcp_drop(l, station);
    return h->drip && n > 0 && out.len > 1;
}

bool lab_hosts_output(lab *l)
{
    bool dripping = false;
    for (uint32_t i = 0; i < l->set->stations; i++)
        dripping = output(l, i) || dripping;
    return dripping;
}
