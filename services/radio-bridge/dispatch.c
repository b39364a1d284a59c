/* The radio bridge's process: what it answers, how it starts, how it is. */
#include "radio-bridge/bridge.h"

#include "shell/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define AIRTIME_ROWS 32768u

/* What a modem says of itself may be anything. */
static bytes text_of(const char *s)
{
    bytes text = bytes_str(s);
    return utf8_valid(text) ? text : bytes_str("?");
}

/* Why nothing goes out or comes in; "" when all is well. */
static const char *problem(const bridge *b)
{
    if (b->line_why[0] != '\0')
        return b->line_why;
    if (driver_why(b->driver)[0] != '\0')
        return driver_why(b->driver);
    if (driver_state_of(b->driver) != DRIVER_READY)
        return "the modem is being asked and set";
    if (b->books_why[0] != '\0')
        return b->books_why;
    if (b->n_keys == 0 || b->self == 0)
        return b->keys_why[0] != '\0' ? b->keys_why : "waiting for merge";
    return b->gossip_silent ? "waiting for gossip" : "";
}

/* ---- requests ---- */

static void fill_radio(bridge *b, radio_state_reply *r)
{
    static const char *const states[] = {"closed", "asking", "setting", "ready"};
    const driver_about *a = driver_about_of(b->driver);
    driver_channel c = driver_channel_of(b->driver);
    *r = (radio_state_reply){.device = text_of(b->plan.device),
                             .modem = bytes_str(b->plan.kind->name),
                             .state = bytes_str(states[driver_state_of(b->driver)]),
                             .problem = text_of(problem(b)),
                             .model = text_of(a->model),
                             .firmware = text_of(a->firmware),
                             .region = bytes_str(b->plan.region->name),
                             .band = bytes_str(b->plan.band->name),
                             .regulation = bytes_str(b->plan.band->regulation),
                             .preset = bytes_str(b->plan.preset->name),
                             .hz = b->plan.hz,
                             .bridge = b->plan.bridge,
                             .load_percent = c.load_percent < 100 ? c.load_percent : 100,
                             .noise_dbm = c.noise_dbm != INT16_MIN ? c.noise_dbm : 0};
}

static void on_state(service *s, void *self, const service_call *call, const void *msg)
{
    bridge *b = self;
    radio_state_reply r;
    ledger_now now = bridge_now(b);
    (void)msg;
    fill_radio(b, &r);
    r.has_key = b->n_keys > 0;
    r.epoch = b->n_keys > 0 ? b->keys[b->n_keys - 1].epoch : 0;
    r.spent_us = ledger_spent_us(b->ledger, b->plan.band, &now);
    r.hour_us = bridge_hour_us(b);
    r.wait_ms = bridge_wait_ms(b);
    r.sent = b->sent;
    r.heard = b->n_frames;
    r.strange = b->strange;
    r.replayed = b->replayed;
    r.heard_ms = b->heard_wall.ms < WALL_MAX_MS ? b->heard_wall.ms : WALL_MAX_MS;
    service_reply(s, call, &r);
}

typedef struct {
    airtime_row *rows;
    char (*bands)[32];
    size_t n;
} listing;

static void list_row(void *context, const radio_band *band, uint64_t age_ms, uint64_t airtime_us,
                     bool flying)
{
    listing *l = context;
    if (l->n == AIRTIME_ROWS)
        return;
    (void)snprintf(l->bands[l->n], sizeof l->bands[0], "%s %s", band->region, band->name);
    l->rows[l->n] = (airtime_row){.band = bytes_str(l->bands[l->n]),
                                  .regulation = bytes_str(band->regulation),
                                  .age_ms = age_ms,
                                  .airtime_us = airtime_us,
                                  .flying = flying};
    l->n++;
}

static void on_airtime(service *s, void *self, const service_call *call, const void *msg)
{
    bridge *b = self;
    ledger_now now = bridge_now(b);
    listing l = {.rows = calloc(AIRTIME_ROWS, sizeof *l.rows),
                 .bands = calloc(AIRTIME_ROWS, sizeof *l.bands)};
    (void)msg;
    if (l.rows != NULL && l.bands != NULL) {
        ledger_list(b->ledger, &now, list_row, &l);
        radio_airtime_reply r = {.rows = MSG_LIST_OF(l.rows, l.n),
                                 .spent_us = ledger_spent_us(b->ledger, b->plan.band, &now),
                                 .hour_us = bridge_hour_us(b)};
        service_reply(s, call, &r);
    } else {
        service_fail(s, call, ERR_NO_MEMORY, NULL);
    }
    free(l.rows);
    free(l.bands);
}

/* ---- life ---- */

static err_t open_all(bridge *b, buf *why)
{
    TRY(bridge_plan_read(b->s, &b->plan, why));
    TRY(bridge_files_open(b, why));
    b->gossip = service_client(b->s, "gossip");
    b->merge = service_client(b->s, "merge");
    b->counter = (uint16_t)random_u64();
    return b->gossip != NULL && b->merge != NULL ? bridge_line_start(b) : ERR_NO_MEMORY;
}

static err_t start(service *s, void **self, buf *why)
{
    bridge *b = calloc(1, sizeof *b);
    if (b == NULL)
        return ERR_NO_MEMORY;
    b->s = s;
    b->fd = b->airtime_file.fd = b->heard_file.fd = -1;
    err_t e = open_all(b, why);
    if (e != ERR_OK) {
        bridge_files_close(b);
        free(b);
        return e;
    }
    *self = b;
    service_wake(s, clock_mono());
    return ERR_OK;
}

static void turn(service *s, void *self)
{
    bridge *b = self;
    (void)s;
    bridge_line_turn(b);
    bridge_keys_turn(b);
    bridge_air_turn(b);
    bridge_log_answer(b);
}

static void stop(service *s, void *self)
{
    bridge *b = self;
    (void)s;
    bridge_line_stop(b);
    bridge_files_close(b);
    crypto_wipe(b->keys, sizeof b->keys);
    free(b);
}

static bool health(void *self, buf *state)
{
    bridge *b = self;
    const char *why = problem(b);
    if (why[0] != '\0') {
        bytes text = text_of(why);
        buf_addf(state, "%s: %.*s", b->plan.device, (int)text.len, (const char *)text.p);
        return false;
    }
    uint64_t wait = bridge_wait_ms(b);
    if (wait != 0 && wait != UINT64_MAX)
        buf_addf(state, "the hour's airtime is spent: next frame in %llu s",
                 (unsigned long long)(wait + 999) / 1000);
    return true;
}

static const service_route routes[] = {
    {&radio_state_request_desc, on_state},
    {&radio_airtime_request_desc, on_airtime},
    {&radio_log_request_desc, bridge_on_log},
};

static const service_option options[] = {
    {"device", "LINE", "/dev/ttyACM0 or tcp:HOST[:PORT], instead of radio.device"},
    {"region", "REGION", "whose law holds, instead of radio.region"},
    {"preset", "PRESET", "range and speed, instead of radio.preset"},
    {"modem", "KIND", "rnode or meshcore, instead of radio.modem"},
};

static const char *const counters[] = {
    [COUNT_SENT] = "sent_frames_total",       [COUNT_HEARD] = "heard_frames_total",
    [COUNT_STRANGE] = "strange_frames_total", [COUNT_REPLAYED] = "replayed_frames_total",
    [COUNT_LOST] = "lost_frames_total",       [COUNT_REFUSED] = "refused_frames_total",
};

const service_def bridge_def = {
    .name = "radio-bridge",
    .doc = "Drives a radio modem: seals and sends what gossip has to say, within the law, and "
           "passes on what it hears.",
    .routes = routes,
    .n_routes = sizeof routes / sizeof routes[0],
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .counters = counters,
    .n_counters = sizeof counters / sizeof counters[0],
    .keeps_secrets = true,
    .start = start,
    .turn = turn,
    .health = health,
    .stop = stop,
};
