/* cairn radio airtime, log and key; and whether `cairn up` may start a radio. */
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "pure/radio_plan.h"
#include "shell/clock.h"
#include "shell/config.h"

#include <inttypes.h>
#include <stdio.h>

#define LOG_WAIT_MS 1000u

/* ---- before a start ---- */

static void list_regions(buf *out)
{
    for (size_t i = 0; i < radio_regions_count; i++)
        buf_addf(out, "%s%s (%s)", i > 0 ? ", " : "", radio_regions[i].name, radio_regions[i].doc);
    buf_add_u8(out, 0);
}

static int say_regions(const cmdline *c, const char *given)
{
    buf list;
    buf_init(&list, 1024);
    list_regions(&list);
    const char *text = list.err == ERR_OK ? (const char *)list.p : "";
    int status = given[0] == '\0'
                     ? cmdline_usage(c, "a radio needs --region, whose law holds: %s", text)
                     : cmdline_usage(c, "there is no region \"%s\": %s", given, text);
    buf_release(&list);
    return status;
}

static const char *chosen(const cmdline *c, const config *conf, const char *option,
                          const char *name)
{
    const char *given = cmdline_get(c, option);
    return given != NULL ? given : config_str(conf, "radio", name);
}

static int check_plan(const cmdline *c, const config *conf)
{
    const char *device = chosen(c, conf, "radio", "device");
    const char *region = chosen(c, conf, "region", "region");
    const char *preset = chosen(c, conf, "preset", "preset");
    if (device[0] == '\0')
        return cmdline_has(c, "region") || cmdline_has(c, "preset") || cmdline_has(c, "modem")
                   ? cmdline_usage(c, "--region, --preset and --modem need --radio DEVICE")
                   : -1;
    if (cmdline_has(c, "radio") && cmdline_has(c, "no-lan"))
        return cmdline_usage(c, "a radio needs gossip, which --no-lan leaves out: --no-discovery "
                                "--listen 127.0.0.1:PORT keeps it off the LAN");
    const radio_region *r = radio_region_named(region);
    const radio_preset *p = radio_preset_named(preset);
    long hz = config_int(conf, "radio", "hz");
    if (r == NULL)
        return say_regions(c, region);
    if (p == NULL)
        return cmdline_usage(c, "there is no preset \"%s\": cairn help up names them", preset);
    if (radio_band_of(r->name, hz != 0 ? (uint32_t)hz : r->default_hz, p->bw_hz) == NULL)
        return cmdline_usage(c, "preset %s is not allowed in %s", preset, region);
    return -1;
}

int cmd_radio_check(const cmdline *c, node *n)
{
    char path[HOME_PATH_MAX];
    home_path(&n->home, path, "cairn.conf");
    buf_clear(&n->words);
    config *conf = config_load(path, &n->words);
    if (conf == NULL)
        return node_fail("%.*s", (int)n->words.len, (const char *)n->words.p);
    int status = check_plan(c, conf);
    config_free(conf);
    return status;
}

/* ---- airtime ---- */

static void print_airtime_row(buf *b, const airtime_row *row, bool json)
{
    if (!json) {
        printf("%.*s,%.1f,%.6f,%s,\"%.*s\"\n", (int)row->band.len, (const char *)row->band.p,
               (double)row->age_ms / 1e3, (double)row->airtime_us / 1e6,
               row->flying ? "under way" : "ended", (int)row->regulation.len,
               (const char *)row->regulation.p);
        return;
    }
    out_open(b);
    out_str(b, "band", row->band);
    out_u64(b, "age_ms", row->age_ms);
    out_u64(b, "airtime_us", row->airtime_us);
    out_bool(b, "flying", row->flying);
    out_str(b, "regulation", row->regulation);
    (void)out_close(b);
}

static void print_airtime(const radio_airtime_reply *r, bool json)
{
    msg_list list = r->rows;
    airtime_row row;
    buf b;
    buf_init(&b, 4096);
    if (!json)
        printf("band,age_s,airtime_s,state,regulation\n");
    while (msg_list_next(&airtime_row_desc, &list, &row))
        print_airtime_row(&b, &row, json);
    buf_release(&b);
}

static void sum_airtime(const radio_airtime_reply *r)
{
    msg_list list = r->rows;
    airtime_row row;
    uint64_t longest = 0;
    unsigned seconds = 0;
    while (msg_list_next(&airtime_row_desc, &list, &row)) {
        seconds++;
        longest = row.airtime_us > longest ? row.airtime_us : longest;
    }
    if (r->hour_us == UINT64_MAX)
        printf("%.3f s on the air in the last hour; no limit by the hour holds here\n",
               (double)r->spent_us / 1e6);
    else
        printf("%.3f s of %.1f s on the air in the last hour (%.1f %%)\n",
               (double)r->spent_us / 1e6, (double)r->hour_us / 1e6,
               100.0 * (double)r->spent_us / (double)r->hour_us);
    if (seconds > 0)
        printf("in %u different seconds, at most %.3f s in one; --csv and --json list them\n",
               seconds, (double)longest / 1e6);
}

int cmd_radio_airtime(const cmdline *c)
{
    node n;
    radio_airtime_reply r;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    err_t e = node_ask_radio_airtime(&n, &(radio_airtime_request){0}, &r);
    if (e == ERR_OK && (cmdline_has(c, "json") || cmdline_has(c, "csv")))
        print_airtime(&r, cmdline_has(c, "json"));
    else if (e == ERR_OK)
        sum_airtime(&r);
    node_close(&n);
    return e == ERR_OK ? 0 : 1;
}

/* ---- log ---- */

static void print_log_json(buf *b, const radio_log_row *row)
{
    char number[16];
    out_open(b);
    out_time(b, "at", row->wall_ms);
    out_str(b, "what", row->what);
    out_u64(b, "kind", row->kind);
    out_u64(b, "station", row->station);
    out_u64(b, "bytes", row->bytes);
    out_u64(b, "airtime_us", row->airtime_us);
    (void)snprintf(number, sizeof number, "%" PRId64, row->rssi_dbm);
    out_cstr(b, "rssi_dbm", number);
    (void)snprintf(number, sizeof number, "%.2f", (double)row->snr_cdb / 100);
    out_cstr(b, "snr_db", number);
    out_str(b, "words", row->words);
    (void)out_close(b);
}

static void print_log_words(const radio_log_row *row)
{
    char when[32];
    clock_text(when, row->wall_ms, false);
    printf("%s  %-8.*s", when, (int)row->what.len, (const char *)row->what.p);
    if (row->bytes > 0)
        printf("  kind %-2u  station %-5u  %3u bytes  %6.3f s", row->kind, row->station, row->bytes,
               (double)row->airtime_us / 1e6);
    if (row->rssi_dbm != 0)
        printf("  %" PRId64 " dBm, SNR %.1f dB", row->rssi_dbm, (double)row->snr_cdb / 100);
    printf("%s%.*s\n", row->words.len > 0 ? "  " : "", (int)row->words.len,
           (const char *)row->words.p);
}

static int follow_log(const cmdline *c, node *n)
{
    bool more = cmdline_has(c, "follow"), json = cmdline_has(c, "json");
    radio_log_request req = {0};
    radio_log_reply reply;
    radio_log_row row;
    buf b;
    err_t e;
    buf_init(&b, 4096);
    do {
        uint64_t asked = req.after;
        e = node_try_radio_log(n, NODE_WAIT_MS, &req, &reply);
        if (reply.last < asked && e == ERR_OK) /* another process: its numbers begin anew */
            req.after = 0;
        while (e == ERR_OK && msg_list_next(&radio_log_row_desc, &reply.rows, &row)) {
            req.after = row.at;
            if (json)
                print_log_json(&b, &row);
            else
                print_log_words(&row);
        }
        more = more && fflush(stdout) == 0;
        req.wait_ms = e == ERR_OK && req.after >= reply.last ? LOG_WAIT_MS : 0;
    } while (e == ERR_OK && !interrupted && (more || req.after < reply.last));
    buf_release(&b);
    if (e != ERR_OK && !interrupted)
        return node_fail("%.*s", (int)n->words.len, (const char *)n->words.p);
    return 0;
}

int cmd_radio_log(const cmdline *c)
{
    node n;
    int status = 1;
    interrupt_catch();
    if (node_open(&n, cmdline_get(c, "home"), true))
        status = follow_log(c, &n);
    node_close(&n);
    return status;
}

/* ---- key ---- */

int cmd_radio_key(const cmdline *c)
{
    node n;
    radio_key_request req = {.rotate = cmdline_has(c, "rotate")};
    radio_key_reply r;
    if (!node_open(&n, cmdline_get(c, "home"), true))
        return 1;
    err_t e = node_ask_radio_key(&n, &req, &r);
    if (e == ERR_OK && r.boxes == 0)
        fprintf(stderr, "All members have the radio key (epoch %u).\n", r.epoch);
    else if (e == ERR_OK)
        fprintf(stderr, "The radio key of epoch %u goes to %u member%s.\n", r.epoch, r.boxes,
                r.boxes > 1 ? "s" : "");
    node_close(&n);
    return e == ERR_OK ? 0 : 1;
}
