/* What happens, one line of JSON each. Times are ms of the ether with three decimals; levels dBm and dB. */
#include "ether/lab.h"
#include "shell/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#ifndef CAIRN_VERSION
#define CAIRN_VERSION "0.1.0"
#endif

static void put_ms(buf *b, const char *name, uint64_t us)
{
    buf_addf(b, ",\"%s\":%llu.%03u", name, (unsigned long long)(us / 1000), (unsigned)(us % 1000));
}

static void put_text(buf *b, const char *name, const char *text)
{
    buf_addf(b, ",\"%s\":\"", name);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buf_addf(b, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            buf_addf(b, "\\u%04x", c);
        else
            buf_add_u8(b, c);
    }
    buf_add_str(b, "\"");
}

static void put_hundredths(buf *b, const char *name, int v)
{
    buf_addf(b, ",\"%s\":%s%d.%02d", name, v < 0 ? "-" : "", (v < 0 ? -v : v) / 100,
             (v < 0 ? -v : v) % 100);
}

static void begin(lab *l, const char *kind)
{
    buf_addf(&l->out, "{\"kind\":\"%s\"", kind);
    put_ms(&l->out, "at_ms", ether_now(l->e).us);
}

static void end(lab *l)
{
    buf_add_str(&l->out, "}\n");
}

static void put_who(lab *l, const char *name, uint32_t station)
{
    if (station == ether_player(l->e))
        buf_addf(&l->out, ",\"%s\":\"player\"", name);
    else
        buf_addf(&l->out, ",\"%s\":%u", name, (unsigned)station + 1);
}

static void put_tuning(lab *l, const air_tuning *t)
{
    const radio_band *band = radio_band_of(l->set->region->name, t->hz, t->lora.bw_hz);
    buf_addf(&l->out, ",\"hz\":%u,\"bw_hz\":%u,\"sf\":%u,\"cr\":%u,\"txpower_dbm\":%d",
             (unsigned)t->hz, (unsigned)t->lora.bw_hz, t->lora.sf, t->lora.cr, t->txpower_dbm);
    buf_addf(&l->out, ",\"preamble\":%u,\"chip\":\"%s\"", t->lora.preamble_symbols,
             t->lora.chip == LORA_SX126X ? "sx126x" : "sx127x");
    if (band != NULL)
        put_text(&l->out, "band", band->name);
    else
        buf_add_str(&l->out, ",\"band\":null");
}

/* ---- start ---- */

void lab_report_line(lab *l, uint32_t station)
{
    const lab_host *h = &l->hosts[station];
    begin(l, "station");
    put_who(l, "station", station);
    put_text(&l->out, "board", l->set->boards[station]->name);
    if (h->master >= 0) {
        put_text(&l->out, "pty", h->link);
        put_text(&l->out, "device", h->device);
    }
    if (h->listener >= 0)
        put_text(&l->out, "tcp", h->address);
    end(l);
}

void lab_report_start(lab *l)
{
    const lab_settings *s = l->set;
    begin(l, "ether");
    put_text(&l->out, "version", CAIRN_VERSION);
    buf_addf(&l->out, ",\"stations\":%u,\"seed\":%llu,\"speed\":%u.%03u", (unsigned)s->stations,
             (unsigned long long)s->seed, (unsigned)(s->speed_milli / LAB_SPEED_UNIT),
             (unsigned)(s->speed_milli % LAB_SPEED_UNIT));
    put_text(&l->out, "region", s->region->name);
    put_text(&l->out, "preset", s->preset->name);
    end(l);
    for (uint32_t i = 0; i < s->stations; i++)
        lab_report_line(l, i);
    begin(l, "ready");
    end(l);
}

/* ---- frames ---- */

static void put_heard(lab *l, const channel_frame *f)
{
    bool first = true;
    buf_add_str(&l->out, ",\"heard\":[");
    for (uint32_t i = 0; i < l->set->stations; i++) {
        const channel_hearing *h = &f->hearing[i];
        if (h->verdict != HEARD)
            continue;
        buf_addf(&l->out, "%s{\"station\":%u", first ? "" : ",", (unsigned)i + 1);
        put_hundredths(&l->out, "rssi_dbm", h->signal.rssi_cdbm);
        put_hundredths(&l->out, "snr_db", h->signal.snr_cdb);
        buf_add_str(&l->out, "}");
        first = false;
    }
    buf_add_str(&l->out, "]");
}

static void put_lost(lab *l, const channel_frame *f)
{
    bool first = true;
    buf_add_str(&l->out, ",\"lost\":[");
    for (uint32_t i = 0; i < l->set->stations; i++) {
        const channel_hearing *h = &f->hearing[i];
        if (h->verdict == HEARD || h->verdict == LOST_SELF)
            continue;
        buf_addf(&l->out, "%s{\"station\":%u,\"why\":\"%s\"", first ? "" : ",", (unsigned)i + 1,
                 channel_verdict_names[h->verdict]);
        if (h->verdict == LOST_COLLIDED)
            put_who(l, "with", h->culprit);
        buf_add_str(&l->out, "}");
        first = false;
    }
    buf_add_str(&l->out, "]");
}

static void keep(lab *l, bytes line)
{
    if (l->record >= 0 && write(l->record, line.p, line.len) != (ssize_t)line.len) {
        log_error("cannot write %s: %s; it ends here", l->set->record, strerror(errno));
        close(l->record);
        l->record = -1;
    }
}

void lab_report_frame(lab *l, const channel_frame *f)
{
    char hex[2 * LORA_PAYLOAD_MAX_BYTES + 1];
    size_t at = l->out.len;
    buf_add_str(&l->out, "{\"kind\":\"frame\"");
    put_ms(&l->out, "at_ms", f->start.us);
    buf_addf(&l->out, ",\"number\":%llu", (unsigned long long)f->number);
    put_who(l, "from", f->from);
    put_ms(&l->out, "airtime_ms", f->end.us - f->start.us);
    buf_addf(&l->out, ",\"bytes\":%zu", f->len);
    put_tuning(l, &f->tuning);
    put_heard(l, f);
    put_lost(l, f);
    hex_encode(hex, f->bytes, f->len);
    put_text(&l->out, "data", hex);
    end(l);
    if (l->out.err == ERR_OK)
        keep(l, bytes_of(l->out.p + at, l->out.len - at));
}

/* ---- stations ---- */

static bool is_preset(const lab *l, const air_tuning *t)
{
    const radio_preset *p = l->set->preset;
    return t->lora.sf == p->sf && t->lora.bw_hz == p->bw_hz && t->lora.cr == p->cr;
}

void lab_report_radio(lab *l, uint32_t station)
{
    const air_tuning *t = modem_tuning(ether_modem(l->e, station));
    begin(l, "radio");
    put_who(l, "station", station);
    buf_addf(&l->out, ",\"on\":%s", t->on ? "true" : "false");
    if (t->on) {
        put_tuning(l, t);
        buf_addf(&l->out, ",\"as_preset\":%s", is_preset(l, t) ? "true" : "false");
    }
    end(l);
    if (t->on && !is_preset(l, t))
        log_warn("station %u is not set to the preset %s: it hears only what is set alike",
                 (unsigned)station + 1, l->set->preset->name);
    if (t->on && radio_band_of(l->set->region->name, t->hz, t->lora.bw_hz) == NULL)
        log_warn("station %u: %u Hz with a bandwidth of %u is in no band of %s",
                 (unsigned)station + 1, (unsigned)t->hz, (unsigned)t->lora.bw_hz,
                 l->set->region->name);
}

void lab_report_host(lab *l, uint32_t station)
{
    static const char *const names[] = {"none", "serial", "tcp"};
    begin(l, "host");
    put_who(l, "station", station);
    put_text(&l->out, "line", names[modem_host_of(ether_modem(l->e, station))]);
    end(l);
}

void lab_report_state(lab *l, uint32_t station)
{
    modem_state s = modem_state_of(ether_modem(l->e, station));
    begin(l, "state");
    put_who(l, "station", station);
    buf_addf(&l->out,
             ",\"on\":%s,\"booting\":%s,\"tnc\":%s,\"airtime_lock\":%s,\"queue_frames\":%u,"
             "\"queued_bytes\":%u,\"hz\":%u,\"bw_hz\":%u,\"sf\":%u,\"cr\":%u",
             s.radio_on ? "true" : "false", s.booting ? "true" : "false", s.tnc ? "true" : "false",
             s.locked_by_airtime ? "true" : "false", s.queue_frames, s.queued_bytes, (unsigned)s.hz,
             (unsigned)s.bw_hz, s.sf, s.cr);
    end(l);
}

/* ---- totals ---- */

static void put_share(buf *b, const char *name, uint64_t us, uint64_t of_us)
{
    buf_addf(b, ",\"%s\":%.4f", name, of_us > 0 ? 100.0 * (double)us / (double)of_us : 0.0);
}

static void put_hours(buf *b, const tally_row *r, air_us now)
{
    buf_add_str(b, ",\"hours\":[");
    for (size_t i = 0; i < r->n_hours; i++) {
        uint64_t lasted = now.us - i * AIR_HOUR;
        buf_addf(b, "%s{\"hour\":%zu", i > 0 ? "," : "", i);
        put_ms(b, "airtime_ms", r->hours[i]);
        put_share(b, "duty_percent", r->hours[i], lasted < AIR_HOUR ? lasted : AIR_HOUR);
        buf_add_str(b, "}");
    }
    buf_add_str(b, "]");
}

static void report_row(lab *l, const tally_row *r)
{
    uint64_t limit = r->band != NULL ? radio_band_hour_us(r->band) : 0;
    begin(l, "totals");
    put_who(l, "station", r->station);
    put_text(&l->out, "band", r->band != NULL ? r->band->name : "none");
    put_text(&l->out, "regulation", r->band != NULL ? r->band->regulation : "not allowed here");
    buf_addf(&l->out, ",\"frames\":%llu", (unsigned long long)r->frames);
    put_ms(&l->out, "airtime_ms", r->airtime_us);
    put_share(&l->out, "duty_percent", r->airtime_us, ether_now(l->e).us);
    put_ms(&l->out, "worst_hour_ms", r->worst_hour_us);
    if (limit != UINT64_MAX)
        put_ms(&l->out, "limit_ms", limit);
    buf_addf(&l->out, ",\"too_long\":%llu,\"lawful\":%s", (unsigned long long)r->too_long,
             r->worst_hour_us <= limit && r->too_long == 0 ? "true" : "false");
    put_hours(&l->out, r, ether_now(l->e));
    end(l);
}

void lab_report_totals(lab *l)
{
    tally_row r;
    for (uint32_t station = 0; station <= ether_player(l->e); station++)
        for (size_t i = 0; tally_get(ether_tally(l->e), i, &r); i++)
            if (r.station == station)
                report_row(l, &r);
}

void lab_report_answer(lab *l, const char *line, const buf *why)
{
    char text[ERROR_TEXT_MAX_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)why->len, why->len > 0 ? (const char *)why->p : "");
    begin(l, "answer");
    put_text(&l->out, "to", line);
    buf_addf(&l->out, ",\"ok\":%s", why->len == 0 ? "true" : "false");
    if (why->len > 0)
        put_text(&l->out, "why", text);
    end(l);
}

bool lab_report_flush(lab *l)
{
    size_t at = 0;
    if (l->out.err != ERR_OK)
        log_error("lines are lost: %s", err_text(l->out.err));
    while (at < l->out.len) {
        ssize_t n = write(STDOUT_FILENO, l->out.p + at, l->out.len - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    buf_clear(&l->out);
    return true;
}
