#include "radio-bridge/ledger_core.h"

#include "base/limits.h"
#include "pure/crypto.h"

#include <stdlib.h>

/* ---- records ---- */

/* at: monotonic ms plus an hour, so that what is older than the boot has a place; then region and name of the band. */
enum { KIND = 0, VERSION = 1, AIRTIME = 4, BOOT = 8, AT = 16, WALL = 24, REGION = 32, BAND = 40 };
enum { CHECKSUM = 48, NAME_BYTES = 8 };
typedef enum { CHARGED = 1, ENDED, SPENT, UNREADABLE } record_kind;

#define RECORD_VERSION 1u
#define HOUR_MS        3600000ull
#define SLOT_MS        1000ull
#define HOUR_SLOTS     (HOUR_MS / SLOT_MS)
#define DWELL_SLOTS    20u
#define RING           (HOUR_SLOTS + 1) /* the slot that is beginning, too */

_Static_assert(CHECKSUM + CHECKSUM_BYTES == LEDGER_RECORD_BYTES, "a record");

typedef struct {
    record_kind kind;
    uint64_t boot, at_ms, wall_ms;
    uint32_t airtime_us;
    size_t band;
} record;

struct ledger {
    uint64_t boot;
    uint64_t slot; /* the newest one */
    bool under_way;
    bool unreadable; /* a record was, maybe that of a frame which the modem still has */
    size_t band;     /* of the frame under way */
    uint32_t airtime_us;
    uint32_t us[]; /* per band a ring of RING slots: what ended in each */
};

static void sum_of(const uint8_t *raw, uint8_t out[CRYPTO_HASH_BYTES])
{
    crypto_digest(out, bytes_of(raw, CHECKSUM));
}

static void put_name(uint8_t *out, const char *name)
{
    for (size_t i = 0; i < NAME_BYTES && name[i] != '\0'; i++)
        out[i] = (uint8_t)name[i];
}

static void put_record(buf *out, const record *r)
{
    uint8_t raw[LEDGER_RECORD_BYTES] = {0}, sum[CRYPTO_HASH_BYTES];
    raw[KIND] = (uint8_t)r->kind;
    raw[VERSION] = RECORD_VERSION;
    put_u32be(raw + AIRTIME, r->airtime_us);
    put_u64be(raw + BOOT, r->boot);
    put_u64be(raw + AT, r->at_ms);
    put_u64be(raw + WALL, r->wall_ms);
    put_name(raw + REGION, radio_bands[r->band].region);
    put_name(raw + BAND, radio_bands[r->band].name);
    sum_of(raw, sum);
    memcpy(raw + CHECKSUM, sum, CHECKSUM_BYTES);
    (void)buf_add(out, raw, sizeof raw);
}

static bool find_band(const uint8_t *raw, size_t *band)
{
    for (size_t i = 0; i < radio_bands_count; i++) {
        uint8_t want[2 * NAME_BYTES] = {0};
        put_name(want, radio_bands[i].region);
        put_name(want + NAME_BYTES, radio_bands[i].name);
        if (memcmp(raw + REGION, want, sizeof want) == 0) {
            *band = i;
            return true;
        }
    }
    return false;
}

static bool get_record(const uint8_t *raw, record *r)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    sum_of(raw, sum);
    *r = (record){.kind = (record_kind)raw[KIND],
                  .airtime_us = get_u32be(raw + AIRTIME),
                  .boot = get_u64be(raw + BOOT),
                  .at_ms = get_u64be(raw + AT),
                  .wall_ms = get_u64be(raw + WALL)};
    return memcmp(sum, raw + CHECKSUM, CHECKSUM_BYTES) == 0 && raw[VERSION] == RECORD_VERSION &&
           r->kind >= CHARGED && r->kind <= UNREADABLE && find_band(raw, &r->band);
}

/* ---- slots ---- */

static uint64_t at_of(const ledger_now *now)
{
    return now->mono.ms + HOUR_MS;
}

/* A clock that ran backwards would forget: then time stands still. */
static uint64_t slot_of(const ledger *l, const ledger_now *now)
{
    uint64_t slot = at_of(now) / SLOT_MS;
    return slot > l->slot ? slot : l->slot;
}

static uint32_t *ring_of(ledger *l, size_t band)
{
    return l->us + band * RING;
}

static void advance(ledger *l, uint64_t slot)
{
    uint64_t gap = slot - l->slot;
    for (uint64_t i = 0; i < gap && i < RING; i++)
        for (size_t band = 0; band < radio_bands_count; band++)
            ring_of(l, band)[(slot - i) % RING] = 0;
    l->slot = slot;
}

static void spend(ledger *l, size_t band, uint32_t airtime_us, uint64_t at_ms)
{
    uint64_t slot = at_ms / SLOT_MS;
    if (slot > l->slot)
        slot = l->slot;
    if (l->slot - slot >= RING)
        return;
    uint32_t *us = &ring_of(l, band)[slot % RING];
    *us = *us > UINT32_MAX - airtime_us ? UINT32_MAX : *us + airtime_us;
}

/* What ended in the slot that lies `back` before `slot`. */
static uint32_t ended(const ledger *l, size_t band, uint64_t slot, uint64_t back)
{
    uint64_t wanted = slot - back;
    bool kept = wanted <= l->slot && l->slot - wanted < RING;
    return kept ? l->us[band * RING + wanted % RING] : 0;
}

/* All that a band allows in the window that its row is about. */
static uint64_t allowance(size_t band)
{
    const radio_band *b = &radio_bands[band];
    return b->duty_ppm > 0 ? radio_band_hour_us(b) : b->dwell_max_us;
}

/* In the `slots` before the newest and that one. */
static uint64_t spent(const ledger *l, size_t band, uint64_t slot, uint64_t slots)
{
    uint64_t sum = l->under_way && l->band == band ? l->airtime_us : 0;
    if (l->unreadable)
        sum += allowance(band);
    for (uint64_t back = 0; back <= slots && back <= slot; back++)
        sum += ended(l, band, slot, back);
    return sum;
}

/* ---- reading the file ---- */

/* When it was, on this boot's clock: at the latest that it can have been. */
static uint64_t place(const record *r, const ledger_now *now)
{
    uint64_t here = at_of(now), age = 0;
    if (r->boot == now->boot)
        return r->at_ms < here ? r->at_ms : here;
    if (r->wall_ms != 0 && now->wall.ms > r->wall_ms + LEDGER_WALL_ERROR_MS)
        age = now->wall.ms - r->wall_ms - LEDGER_WALL_ERROR_MS;
    return age < here ? here - age : 0;
}

static void end_at(ledger *l, uint64_t at_ms)
{
    if (l->under_way)
        spend(l, l->band, l->airtime_us, at_ms);
    for (size_t i = 0; l->unreadable && i < radio_bands_count; i++)
        spend(l, i, (uint32_t)allowance(i), at_ms);
    l->under_way = l->unreadable = false;
}

static void begin(ledger *l, size_t band, uint32_t airtime_us)
{
    l->under_way = true;
    l->band = band;
    l->airtime_us = airtime_us;
}

static void replay(ledger *l, const record *r, const ledger_now *now)
{
    if (r->kind == SPENT) {
        spend(l, r->band, r->airtime_us, place(r, now));
    } else if (r->kind == ENDED) {
        end_at(l, place(r, now));
    } else if (r->kind == UNREADABLE) {
        l->unreadable = true;
    } else {
        end_at(l, at_of(now)); /* its end was not written, but nothing is charged before it */
        begin(l, r->band, r->airtime_us);
    }
}

static void read_file(ledger *l, bytes file, const ledger_now *now)
{
    record r;
    for (size_t at = 0; file.len - at >= LEDGER_RECORD_BYTES; at += LEDGER_RECORD_BYTES) {
        if (get_record(file.p + at, &r))
            replay(l, &r, now);
        else
            l->unreadable = true;
    }
}

ledger *ledger_new(bytes file, const ledger_now *now)
{
    ledger *l = calloc(1, sizeof *l + radio_bands_count * RING * sizeof l->us[0]);
    if (l == NULL)
        return NULL;
    l->boot = now->boot;
    l->slot = at_of(now) / SLOT_MS;
    read_file(l, file, now);
    return l;
}

void ledger_free(ledger *l)
{
    free(l);
}

/* ---- writing it ---- */

static record record_of(const ledger *l, record_kind kind, size_t band, uint32_t airtime_us,
                        const ledger_now *now)
{
    return (record){kind, l->boot, at_of(now), now->wall.ms, airtime_us, band};
}

/* As if all of the slot `back` before the newest had ended with it. */
static void put_slot(const ledger *l, size_t band, uint64_t slot, uint64_t back,
                     const ledger_now *now, buf *out)
{
    record r = record_of(l, SPENT, band, ended(l, band, slot, back), now);
    if (r.airtime_us == 0)
        return;
    uint64_t here = r.at_ms;
    r.at_ms = (slot - back) * SLOT_MS + SLOT_MS - 1;
    if (r.at_ms < here && r.wall_ms != 0)
        r.wall_ms -= here - r.at_ms;
    put_record(out, &r);
}

void ledger_snapshot(const ledger *l, const ledger_now *now, buf *out)
{
    uint64_t slot = slot_of(l, now);
    for (size_t band = 0; band < radio_bands_count; band++)
        for (uint64_t back = 0; back <= HOUR_SLOTS && back <= slot; back++)
            put_slot(l, band, slot, back, now, out);
    if (l->under_way) {
        record r = record_of(l, CHARGED, l->band, l->airtime_us, now);
        put_record(out, &r);
    }
    if (l->unreadable) {
        record r = record_of(l, UNREADABLE, 0, 0, now);
        put_record(out, &r);
    }
}

/* ---- asking ---- */

typedef struct {
    uint64_t slots, limit_us;
} window;

static void windows_of(const radio_band *b, window out[2])
{
    out[0] = (window){HOUR_SLOTS, radio_band_hour_us(b)};
    out[1] = (window){DWELL_SLOTS, b->dwell_max_us == 0 ? UINT64_MAX : b->dwell_max_us};
}

/* The first moment from which on the window has room; 0: when the frame under way has ended. */
static uint64_t free_at(const ledger *l, size_t band, uint64_t slot, const window *w,
                        uint64_t airtime_us)
{
    uint64_t sum = spent(l, band, slot, w->slots);
    for (uint64_t left = w->slots + 1; left > 0; left--) {
        sum -= ended(l, band, slot, left - 1);
        if (sum <= w->limit_us - airtime_us)
            return (slot + 1 - (left - 1) + w->slots) * SLOT_MS - HOUR_MS;
    }
    return 0;
}

err_t ledger_may(const ledger *l, const radio_band *band, uint64_t airtime_us,
                 const ledger_now *now, mono_ms *earliest)
{
    window w[2];
    size_t index = (size_t)(band - radio_bands);
    uint64_t slot = slot_of(l, now);
    windows_of(band, w);
    *earliest = (mono_ms){0};
    for (size_t i = 0; i < 2; i++)
        if (airtime_us > w[i].limit_us || airtime_us > UINT32_MAX)
            return ERR_TOO_LARGE;
    err_t e = ERR_OK;
    for (size_t i = 0; i < 2; i++) {
        if (spent(l, index, slot, w[i].slots) <= w[i].limit_us - airtime_us)
            continue;
        uint64_t at = free_at(l, index, slot, &w[i], airtime_us);
        earliest->ms = at > earliest->ms ? at : earliest->ms;
        e = ERR_BUSY;
    }
    return e;
}

err_t ledger_charge(ledger *l, const radio_band *band, uint64_t airtime_us, const ledger_now *now,
                    mono_ms *earliest, buf *out)
{
    *earliest = (mono_ms){0};
    if (l->under_way || l->unreadable)
        return ERR_BUSY;
    TRY(ledger_may(l, band, airtime_us, now, earliest));
    advance(l, slot_of(l, now));
    begin(l, (size_t)(band - radio_bands), (uint32_t)airtime_us);
    record r = record_of(l, CHARGED, l->band, l->airtime_us, now);
    put_record(out, &r);
    return ERR_OK;
}

void ledger_end(ledger *l, const ledger_now *now, buf *out)
{
    if (!l->under_way && !l->unreadable)
        return;
    advance(l, slot_of(l, now));
    record r = record_of(l, ENDED, l->band, l->airtime_us, now);
    put_record(out, &r);
    end_at(l, l->slot * SLOT_MS);
}

uint64_t ledger_spent_us(const ledger *l, const radio_band *band, const ledger_now *now)
{
    return spent(l, (size_t)(band - radio_bands), slot_of(l, now), HOUR_SLOTS);
}

void ledger_list(const ledger *l, const ledger_now *now, ledger_tell *tell, void *context)
{
    uint64_t slot = slot_of(l, now), here = at_of(now);
    for (size_t band = 0; band < radio_bands_count; band++) {
        for (uint64_t back = HOUR_SLOTS + 1; back-- > 0;) {
            uint32_t us = back <= slot ? ended(l, band, slot, back) : 0;
            uint64_t end = (slot - back + 1) * SLOT_MS;
            if (us > 0)
                tell(context, &radio_bands[band], end < here ? here - end : 0, us, false);
        }
        if (l->under_way && l->band == band)
            tell(context, &radio_bands[band], 0, l->airtime_us, true);
    }
}
