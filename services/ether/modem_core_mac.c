/* Carrier sense with the firmware's slots, the samples behind its statistics, its own idea of airtime. The firmware polls
 * all the time; here the same state machine runs at each change and at its own deadlines. */
#include "ether/modem_core_impl.h"

#define INTERFERENCE_DB    11
#define RELEARN_US         (2500 * AIR_MS)
#define RELEARN_BELOW_DBM  (-83)
#define CW_BANDS           4
#define CW_PER_BAND        15u
#define BAND_1_MAX_PERCENT 7
#define BAND_N_MIN_PERCENT 85
#define BIN_MS             7500.0F
#define HOUR_MS            3600000.0F
#define UNSET              UINT64_MAX

static int rssi_dbm(const modem *m)
{
    return m->rssi_cdbm / 100;
}

static bool carrier(const modem *m)
{
    return m->dcd || m->dcd_stuck;
}

bool modem_interference(const modem *m)
{
    return m->tuning.on && !carrier(m) && rssi_dbm(m) > m->stats.floor_dbm + INTERFERENCE_DB;
}

static bool medium_free(const modem *m)
{
    return !carrier(m) && !(m->avoid && modem_interference(m));
}

/* ---- airtime and load ---- */

void modem_stats_clear(modem *m)
{
    modem_stats *s = &m->stats;
    memset(s->bins, 0, sizeof s->bins);
    memset(s->load_bins, 0, sizeof s->load_bins);
    memset(s->busy, 0, sizeof s->busy);
    s->bins_sum = 0;
    s->load_sum = 0;
    s->airtime = s->airtime_long = s->load = 0;
}

static size_t bin_of(const modem *m)
{
    return (size_t)((m->now.us - m->started.us) / BIN_US % BINS);
}

static void set_airtime_bin(modem_stats *s, size_t bin, uint16_t ms)
{
    s->bins_sum = s->bins_sum - s->bins[bin] + ms;
    s->bins[bin] = ms;
}

static void set_load_bin(modem_stats *s, size_t bin, uint32_t ppm)
{
    s->load_sum = s->load_sum - s->load_bins[bin] + ppm;
    s->load_bins[bin] = ppm;
}

/* The firmware's sum: no rounding up to whole blocks of symbols, and the preamble of an SX127x on every chip. */
void modem_add_airtime(modem *m, size_t written)
{
    const lora_modulation *l = &m->tuning.lora;
    float sf = m->sf, symbols = 8.0F * (float)written + 16 - 4 * sf + 20;
    bool fast = m->board->chip == LORA_SX126X && m->sf < 7;
    if (!modem_has_stats(m))
        return;
    symbols = fast ? symbols / (4 * sf) : (symbols + 8) / (4 * (sf - (l->ldro ? 2 : 0)));
    symbols = symbols * m->cr + (float)m->preamble + (fast ? 2.25F : 0.25F) + 8;
    size_t bin = bin_of(m);
    float sum = (float)m->stats.bins[bin] + symbols * m->symbol_ms;
    set_airtime_bin(&m->stats, bin, sum < 65535 ? (uint16_t)sum : UINT16_MAX);
    set_airtime_bin(&m->stats, (bin + 1) % BINS, 0);
}

static uint8_t band_of(float airtime)
{
    int percent = (int)(airtime * 100);
    if (percent <= BAND_1_MAX_PERCENT)
        return 1;
    int band = percent * (CW_BANDS - 2) / (BAND_N_MIN_PERCENT - BAND_1_MAX_PERCENT) + 2;
    return (uint8_t)(band > CW_BANDS ? CW_BANDS : band);
}

static void update_band(modem *m)
{
    modem_csma *c = &m->csma;
    uint8_t band = band_of(m->stats.airtime);
    if (band == c->band)
        return;
    c->band = band;
    c->min = (uint8_t)((band - 1u) * CW_PER_BAND);
    c->max = (uint8_t)(band * CW_PER_BAND - 1);
    modem_say_csma(m);
}

void modem_update_airtime(modem *m)
{
    modem_stats *s = &m->stats;
    size_t bin = bin_of(m);
    if (!modem_has_stats(m))
        return;
    set_airtime_bin(s, (bin + 1) % BINS, 0);
    s->airtime = (float)(s->bins[bin] + s->bins[(bin + BINS - 1) % BINS]) / (2 * BIN_MS);
    s->airtime_long = (float)s->bins_sum / HOUR_MS;
    s->load_long = (float)s->load_sum / (1e6F * (float)BINS);
    update_band(m);
    modem_say_channel(m);
}

bool modem_airtime_locked(const modem *m)
{
    return modem_has_stats(m) && ((m->st_limit > 0 && m->stats.airtime >= m->st_limit) ||
                                  (m->lt_limit > 0 && m->stats.airtime_long >= m->lt_limit));
}

/* ---- samples ---- */

static void end_segment(modem *m)
{
    modem_stats *s = &m->stats;
    uint32_t busy = 0;
    for (size_t i = 0; i < SEGMENTS; i++)
        busy += s->busy[i];
    s->load = (float)busy / (float)WINDOW + s->airtime;
    if (s->load > 1)
        s->load = 1;
    size_t bin = bin_of(m);
    uint32_t ppm = (uint32_t)(s->load * 1e6F);
    if (ppm > s->load_bins[bin])
        set_load_bin(s, bin, ppm);
    set_load_bin(s, (bin + 1) % BINS, 0);
    s->segment = (uint16_t)((s->segment + 1) % SEGMENTS);
    s->left = s->segment + 1u < SEGMENTS ? SEGMENT : WINDOW - (SEGMENTS - 1) * SEGMENT;
    s->busy[s->segment] = 0;
    modem_update_airtime(m);
}

static uint64_t at_most(uint64_t n, uint64_t max)
{
    return n < max ? n : max;
}

/* Weak interference that lasts is taken for a new noise floor. Returns for how many samples nothing changes. */
static uint64_t persist(modem *m, uint64_t n)
{
    modem_stats *s = &m->stats;
    if (!modem_interference(m) || rssi_dbm(m) >= RELEARN_BELOW_DBM) {
        s->persists = false;
        return n;
    }
    if (!s->persists) {
        s->persists = true;
        s->persists_since = s->next;
    }
    uint64_t deadline = s->persists_since.us + RELEARN_US;
    if (s->next.us < deadline)
        return at_most(n, (deadline - s->next.us + SAMPLE_US - 1) / SAMPLE_US);
    s->floor_sampled = false;
    s->persists = false;
    return 1;
}

static uint64_t learn_floor(modem *m, uint64_t n)
{
    modem_stats *s = &m->stats;
    if (carrier(m) || (s->floor_sampled && rssi_dbm(m) >= s->floor_dbm + INTERFERENCE_DB))
        return n;
    n = at_most(n, FLOOR_SAMPLES - s->floor_count);
    s->floor_count = (uint16_t)(s->floor_count + n);
    s->floor_sum += (int32_t)n * rssi_dbm(m);
    if (s->floor_count == FLOOR_SAMPLES) {
        s->floor_sampled = true;
        s->floor_dbm = s->floor_sum / (int32_t)FLOOR_SAMPLES;
        s->floor_count = 0;
        s->floor_sum = 0;
    }
    return n;
}

/* Between two calls the carrier did not change, so many samples are taken at once. */
void modem_sample(modem *m, air_us until)
{
    modem_stats *s = &m->stats;
    if (!m->tuning.on || !modem_has_stats(m))
        return;
    while (s->next.us <= until.us) {
        uint64_t n = at_most((until.us - s->next.us) / SAMPLE_US + 1, s->left);
        n = learn_floor(m, persist(m, n));
        s->busy[s->segment] = (uint16_t)(s->busy[s->segment] + (carrier(m) ? n : 0));
        s->left = (uint16_t)(s->left - n);
        s->next.us += n * SAMPLE_US;
        if (s->left == 0)
            end_segment(m);
    }
}

/* ---- carrier sense ---- */

static void draw(modem *m)
{
    modem_csma *c = &m->csma;
    uint32_t range = c->max > c->min ? (uint32_t)(c->max - c->min) : 1;
    c->cw = (int)(c->min + air_below(&m->dice, range));
    c->cw_target_us = (uint64_t)c->cw * c->slot_ms * AIR_MS;
}

static bool wants_air(const modem *m)
{
    return m->tuning.on && !modem_blocked(m) && !m->hung && m->queue.height > 0 &&
           !modem_airtime_locked(m);
}

/* True: the contention window has passed. cw_start_us is not reset by a transmission: unless the medium became busy
 * while this modem waited, the next one finds its window long passed and sends right after DIFS. */
static bool count_window(modem *m)
{
    modem_csma *c = &m->csma;
    if (c->cw_start_us != UNSET)
        c->cw_passed_us += m->now.us - c->cw_start_us;
    c->cw_start_us = m->now.us;
    return c->cw_passed_us >= c->cw_target_us;
}

void modem_mac(modem *m)
{
    modem_csma *c = &m->csma;
    if (!wants_air(m))
        return;
    if (c->cw < 0)
        draw(m);
    if (c->difs_start_us == UNSET) {
        if (!medium_free(m))
            return;
        c->difs_start_us = m->now.us;
    } else if (!medium_free(m)) {
        c->difs_start_us = c->cw_start_us = UNSET;
        return;
    }
    if (m->now.us < c->difs_start_us + c->difs_ms * AIR_MS || !count_window(m))
        return;
    c->cw_passed_us = 0;
    c->cw = -1;
    c->difs_start_us = UNSET;
    modem_burst_begin(m);
}

/* Nothing but the noise floor keeps it from sending: when may that change without an event? */
static air_us relearnt(const modem *m)
{
    const modem_stats *s = &m->stats;
    if (carrier(m) || !m->avoid || !modem_interference(m))
        return AIR_NEVER;
    if (!s->floor_sampled)
        return air_after(s->next, (FLOOR_SAMPLES - s->floor_count - 1ull) * SAMPLE_US);
    if (rssi_dbm(m) >= RELEARN_BELOW_DBM)
        return AIR_NEVER;
    return s->persists && s->persists_since.us + RELEARN_US > s->next.us
               ? air_after(s->persists_since, RELEARN_US + SAMPLE_US)
               : s->next;
}

air_us modem_mac_next(const modem *m)
{
    const modem_csma *c = &m->csma;
    if (!wants_air(m))
        return AIR_NEVER;
    if (c->difs_start_us == UNSET)
        return medium_free(m) ? m->now : relearnt(m);
    uint64_t difs_end = c->difs_start_us + c->difs_ms * AIR_MS;
    if (m->now.us < difs_end)
        return (air_us){difs_end};
    if (c->cw_start_us == UNSET)
        return m->now;
    return (air_us){c->cw_start_us + (c->cw_target_us - c->cw_passed_us)};
}
