/* Who hears a frame: levels, noise, collisions, chance. */
#include "ether/channel_core_impl.h"

#define CAPTURE_CDB   600
#define CLIFF_CDB     100 /* either side of the SNR limit */
#define THERMAL_CDBM  (-17400)
#define NOISE_FIG_CDB 600
#define BURST_STEPS   4096u /* beyond, the state of a link is drawn anew */
#define SECOND(t)     ((t).us / AIR_S)
#define SNR_MAX_CDB   1200 /* what the chips report at most */

const char *const channel_verdict_names[LOST_VERDICTS] = {
    [HEARD] = "heard",        [LOST_SELF] = "self",       [LOST_OFF] = "off",
    [LOST_TUNED] = "tuned",   [LOST_SENDING] = "sending", [LOST_CUT] = "cut",
    [LOST_WEAK] = "weak",     [LOST_JAMMED] = "jammed",   [LOST_COLLIDED] = "collided",
    [LOST_CHANCE] = "chance", [LOST_BURST] = "burst",     [LOST_BROKEN] = "broken",
};

bool channel_reaches(const channel *c, uint32_t from, uint32_t to)
{
    return channel_pair_of(c, from, to)->link.on &&
           c->stations[from].group == c->stations[to].group;
}

/* Nearly normal: the sum of four uniform numbers has a standard deviation of 1000 * sqrt(4/3). */
static int32_t fading(channel_pair *p)
{
    int32_t sum = 0;
    if (p->link.fade_cdb == 0)
        return 0;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)air_below(&p->dice, 2001) - 1000;
    return sum * p->link.fade_cdb / 1155;
}

int16_t channel_level(channel *c, const channel_frame *f, uint32_t to)
{
    channel_pair *p = channel_pair_of(c, f->from, to);
    int32_t level =
        p->link.rssi_cdbm + 100 * (f->tuning.txpower_dbm - CHANNEL_REFERENCE_DBM) + fading(p);
    level = level < AIR_DBM_NOTHING + 1 ? AIR_DBM_NOTHING + 1 : level;
    return (int16_t)(level > INT16_MAX ? INT16_MAX : level);
}

/* 30, 60, 120 kHz for bandwidths of 125, 250, 500. */
static uint32_t capture_hz(const air_tuning *t)
{
    return t->lora.bw_hz / 100 * 24;
}

static uint32_t distance_hz(const air_tuning *a, const air_tuning *b)
{
    return a->hz > b->hz ? a->hz - b->hz : b->hz - a->hz;
}

bool channel_same(const air_tuning *a, const air_tuning *b)
{
    return a->lora.sf == b->lora.sf && a->lora.bw_hz == b->lora.bw_hz &&
           a->lora.ldro == b->lora.ldro && a->lora.implicit_header == b->lora.implicit_header &&
           distance_hz(a, b) <= capture_hz(a);
}

bool channel_overlaps(const air_tuning *a, const air_tuning *b)
{
    uint32_t widest = a->lora.bw_hz > b->lora.bw_hz ? a->lora.bw_hz : b->lora.bw_hz;
    return distance_hz(a, b) <= widest / 100 * 24;
}

/* Ten times the decimal logarithm, in hundredths, of the bandwidths that there are. */
static int32_t log_bandwidth_cdb(uint32_t bw_hz)
{
    static const struct {
        uint32_t hz;
        int32_t cdb;
    } rows[] = {{7800, 3892},  {10400, 4017}, {15600, 4193},  {20800, 4318},  {31250, 4495},
                {41700, 4620}, {62500, 4796}, {125000, 5097}, {250000, 5398}, {500000, 5699}};
    size_t i = 0;
    while (i + 1 < sizeof rows / sizeof rows[0] && bw_hz > rows[i].hz)
        i++;
    return rows[i].cdb;
}

int32_t channel_noise_cdbm(const channel *c, uint32_t station, uint32_t bw_hz)
{
    return THERMAL_CDBM + NOISE_FIG_CDB + log_bandwidth_cdb(bw_hz) + c->stations[station].noise_cdb;
}

int32_t channel_snr_limit_cdb(uint8_t sf)
{
    return -250 * (sf - 4);
}

bool channel_jammed(const channel_jam *j, uint32_t station, const air_tuning *t)
{
    return station_in(&j->at, station) && j->low_hz <= t->hz + t->lora.bw_hz / 2 &&
           (uint64_t)j->high_hz + t->lora.bw_hz / 2 >= t->hz;
}

/* How much stronger (dB) a frame of the row's spreading factor, 7 to 12, must be than one of the column's. */
static int32_t rejection_cdb(const air_tuning *wanted, const air_tuning *other)
{
    static const int8_t rows[6][6] = {
        {6, -16, -18, -19, -19, -20}, {-24, 6, -20, -22, -22, -22}, {-27, -27, 6, -23, -25, -25},
        {-30, -30, -30, 6, -26, -28}, {-33, -33, -33, -33, 6, -29}, {-36, -36, -36, -36, -36, 6},
    };
    if (channel_same(wanted, other))
        return CAPTURE_CDB;
    int w = wanted->lora.sf < 7 ? 0 : wanted->lora.sf - 7;
    int o = other->lora.sf < 7 ? 0 : other->lora.sf - 7;
    /* Another bandwidth is another slope of the chirp: as strange as the next spreading factor. */
    return 100 * rows[w][w == o ? (o == 0 ? 1 : o - 1) : o];
}

/* The state of a bad time moves once a second, whether or not somebody sends. */
static bool is_bad(channel_pair *p, uint64_t now_s)
{
    const channel_link *l = &p->link;
    if (l->burst_ppm == 0) {
        p->bad = false;
        p->burst_s = now_s;
        return false;
    }
    if (now_s - p->burst_s > BURST_STEPS) {
        uint32_t sum = l->burst_ppm + l->burst_end_ppm;
        p->bad = air_below(&p->dice, sum) < l->burst_ppm;
        p->burst_s = now_s;
    }
    for (; p->burst_s < now_s; p->burst_s++)
        if (air_chance(&p->dice, p->bad ? l->burst_end_ppm : l->burst_ppm))
            p->bad = !p->bad;
    return p->bad;
}

static bool survives_noise(channel_pair *p, int32_t snr_cdb, uint8_t sf)
{
    int32_t above = snr_cdb - channel_snr_limit_cdb(sf) + CLIFF_CDB;
    if (above <= 0)
        return false;
    return above >= 2 * CLIFF_CDB ||
           air_chance(&p->dice, (uint32_t)above * (1000000u / (2u * CLIFF_CDB)));
}

static bool meets(const channel_flight *f, air_us from, air_us until)
{
    return from.us < f->frame.end.us && until.us > f->critical.us;
}

static int32_t jam_level(const channel *c, const channel_flight *f, uint32_t r)
{
    int32_t level = AIR_DBM_NOTHING;
    for (size_t i = 0; i < c->n_jams; i++) {
        const channel_jam *j = &c->jams[i];
        if (meets(f, j->from, j->until) && j->level_cdbm > level &&
            channel_jammed(j, r, &f->frame.tuning))
            level = j->level_cdbm;
    }
    return level;
}

/* What the listener did, before anything of the channel counts. */
static channel_verdict posture(const channel *c, const channel_flight *f, uint32_t r)
{
    const channel_station *s = &c->stations[r];
    if (r == f->frame.from)
        return LOST_SELF;
    for (const channel_flight *g = c->flights; g != NULL; g = g->next)
        if (g->frame.from == r && meets(f, g->frame.start, g->frame.end))
            return LOST_SENDING;
    if (!s->tuning.on)
        return LOST_OFF;
    if (!channel_same(&s->tuning, &f->frame.tuning))
        return LOST_TUNED;
    if (s->since.us > f->critical.us)
        return LOST_OFF;
    if (f->level_cdbm[r] == AIR_DBM_NOTHING || !channel_reaches(c, f->frame.from, r))
        return LOST_CUT;
    return HEARD;
}

static channel_verdict collision(const channel *c, const channel_flight *f, channel_hearing *h,
                                 uint32_t r)
{
    for (const channel_flight *g = c->flights; g != NULL; g = g->next) {
        if (g == f || g->level_cdbm[r] == AIR_DBM_NOTHING ||
            !meets(f, g->frame.start, g->frame.end) ||
            !channel_overlaps(&f->frame.tuning, &g->frame.tuning))
            continue;
        if (f->level_cdbm[r] - g->level_cdbm[r] <
            rejection_cdb(&f->frame.tuning, &g->frame.tuning)) {
            h->culprit = g->frame.from;
            return LOST_COLLIDED;
        }
    }
    return HEARD;
}

static channel_verdict weather(channel *c, const channel_flight *f, channel_hearing *h, uint32_t r)
{
    channel_pair *p = channel_pair_of(c, f->frame.from, r);
    uint8_t sf = f->frame.tuning.lora.sf;
    int32_t noise = channel_noise_cdbm(c, r, f->frame.tuning.lora.bw_hz);
    int32_t jam = jam_level(c, f, r), snr = f->level_cdbm[r] - noise;
    h->signal = (air_signal){f->level_cdbm[r], (int16_t)(snr < SNR_MAX_CDB ? snr : SNR_MAX_CDB)};
    if (!survives_noise(p, snr, sf))
        return LOST_WEAK;
    if (jam > noise && !survives_noise(p, f->level_cdbm[r] - jam, sf))
        return LOST_JAMMED;
    channel_verdict v = collision(c, f, h, r);
    if (v != HEARD)
        return v;
    if (is_bad(p, SECOND(f->frame.end)) && air_chance(&p->dice, p->link.burst_loss_ppm))
        return LOST_BURST;
    return air_chance(&p->dice, p->link.loss_ppm) ? LOST_CHANCE : HEARD;
}

void channel_judge(channel *c, channel_flight *f)
{
    for (uint32_t r = 0; r < c->n; r++) {
        channel_hearing *h = &f->frame.hearing[r];
        h->verdict = posture(c, f, r);
        if (h->verdict == HEARD)
            h->verdict = f->broken ? LOST_BROKEN : weather(c, f, h, r);
    }
}
