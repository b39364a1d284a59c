/* The radio keys, asked of merge again and again: there is no event for it between the two, and no hurry. */
#include "radio-bridge/bridge.h"

#include "merge/merge_clnt.h"
#include "shell/clock.h"

#include <stdio.h>

#define ASK_MS   3000u
#define AGAIN_MS 2000u  /* until there is one */
#define LATER_MS 30000u /* afterwards */

static void take_keys(bridge *b, const radio_keys_reply *r)
{
    msg_list list = r->keys;
    radio_key_row row;
    uint8_t newest = b->n_keys > 0 ? b->keys[b->n_keys - 1].epoch : 0;
    bool had = b->n_keys > 0;
    b->n_keys = 0;
    b->self = r->self;
    while (msg_list_next(&radio_key_row_desc, &list, &row)) {
        if (row.key.len != CRYPTO_KEY_BYTES)
            continue;
        if (b->n_keys == BRIDGE_KEYS) {
            b->keys[0] = b->keys[1];
            b->key_since_ms[0] = b->key_since_ms[1];
            b->n_keys--;
        }
        radio_keys_derive(&b->keys[b->n_keys], &service_home(b->s)->dataset, row.epoch, row.key.p);
        b->key_since_ms[b->n_keys++] = row.since_ms;
    }
    if (b->n_keys > 0 && (!had || b->keys[b->n_keys - 1].epoch != newest)) {
        log_info("the radio key of epoch %u is here", b->keys[b->n_keys - 1].epoch);
        bridge_forget(b);
    }
}

static void on_keys(void *ctx, err_t e, const char *text, const void *reply)
{
    bridge *b = ctx;
    b->asking_keys = false;
    if (e == ERR_STOPPING)
        return;
    if (e == ERR_OK)
        take_keys(b, reply);
    if (e != ERR_OK)
        snprintf(b->keys_why, sizeof b->keys_why, "waiting for merge: %s", text);
    else if (b->self == 0)
        snprintf(b->keys_why, sizeof b->keys_why, "this node is not enrolled yet");
    else if (b->n_keys == 0)
        snprintf(b->keys_why, sizeof b->keys_why,
                 "no radio key for this node yet: cairn radio key, at the founder's");
    else
        b->keys_why[0] = '\0';
    b->keys_at.ms = clock_mono().ms + (b->keys_why[0] != '\0' ? AGAIN_MS : LATER_MS);
    service_wake(b->s, b->keys_at);
}

void bridge_keys_turn(bridge *b)
{
    if (b->asking_keys)
        return;
    if (clock_mono().ms < b->keys_at.ms) {
        service_wake(b->s, b->keys_at);
        return;
    }
    b->asking_keys = true;
    err_t e = merge_clnt_radio_keys_within(b->merge, ASK_MS, &(radio_keys_request){0}, on_keys, b);
    if (e != ERR_OK)
        on_keys(b, e, err_text(e), NULL);
}

const radio_keys *bridge_key_of(const bridge *b, uint8_t epoch)
{
    for (size_t i = 0; i < b->n_keys; i++)
        if (b->keys[i].epoch == epoch)
            return &b->keys[i];
    return NULL;
}

/* A new key has to reach the others, perhaps by radio: until then they open what is under the one before. With a clock
 * that is not set it stays at that. */
const radio_keys *bridge_key_now(const bridge *b)
{
    if (b->n_keys == 0 || b->self == 0)
        return NULL;
    size_t last = b->n_keys - 1;
    bool new = clock_wall().ms < b->key_since_ms[last] + RADIO_OVERLAP_MS;
    return &b->keys[new ? 0 : last];
}
