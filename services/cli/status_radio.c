#include "cli/status_radio.h"

#include "cli/out.h"

#include <stdio.h>

#define ASK_MS 1500u

void status_radio_json(node *n, buf *out)
{
    radio_state_reply r;
    if (!node_peek_radio_state(n, ASK_MS, &(radio_state_request){0}, &r)) {
        out_null(out, "radio");
        return;
    }
    out_begin(out, "radio", '{');
    out_str(out, "device", r.device);
    out_str(out, "modem", r.modem);
    out_str(out, "model", r.model);
    out_str(out, "firmware", r.firmware);
    out_str(out, "state", r.state);
    out_str(out, "problem", r.problem);
    out_str(out, "region", r.region);
    out_str(out, "band", r.band);
    out_str(out, "regulation", r.regulation);
    out_str(out, "preset", r.preset);
    out_u64(out, "hz", r.hz);
    out_bool(out, "has_key", r.has_key);
    out_u64(out, "epoch", r.epoch);
    out_u64(out, "spent_us", r.spent_us);
    if (r.hour_us == UINT64_MAX)
        out_null(out, "hour_us");
    else
        out_u64(out, "hour_us", r.hour_us);
    if (r.wait_ms == UINT64_MAX)
        out_null(out, "wait_ms");
    else
        out_u64(out, "wait_ms", r.wait_ms);
    out_u64(out, "sent", r.sent);
    out_u64(out, "heard", r.heard);
    out_u64(out, "strange", r.strange);
    out_u64(out, "replayed", r.replayed);
    out_time(out, "heard_at", r.heard_ms);
    out_u64(out, "load_percent", r.load_percent);
    out_end(out, '}');
}

void status_radio_words(node *n, uint64_t now_ms)
{
    radio_state_reply r;
    char ago[32];
    if (!node_peek_radio_state(n, ASK_MS, &(radio_state_request){0}, &r))
        return;
    printf("Radio %.*s: %.*s%s%.*s, %.3f MHz, preset %.*s, %.*s band %.*s\n", (int)r.device.len,
           (const char *)r.device.p, (int)r.state.len, (const char *)r.state.p,
           r.model.len > 0 ? ", " : "", (int)r.model.len, (const char *)r.model.p, r.hz / 1e6,
           (int)r.preset.len, (const char *)r.preset.p, (int)r.region.len, (const char *)r.region.p,
           (int)r.band.len, (const char *)r.band.p);
    if (r.problem.len > 0)
        printf("! radio: %.*s\n", (int)r.problem.len, (const char *)r.problem.p);
    printf("  airtime of this hour: %.1f s", (double)r.spent_us / 1e6);
    if (r.hour_us != UINT64_MAX)
        printf(" of %.1f s", (double)r.hour_us / 1e6);
    if (r.wait_ms > 0 && r.wait_ms != UINT64_MAX)
        printf(", next frame in %llu s", (unsigned long long)(r.wait_ms + 999) / 1000);
    out_ago(ago, r.heard_ms, now_ms);
    printf("; sent %llu, heard %llu (last %s), of strangers %llu\n", (unsigned long long)r.sent,
           (unsigned long long)r.heard, ago, (unsigned long long)r.strange);
}
