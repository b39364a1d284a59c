/* The founder's key of a successor, held beside the member's own, and whom it can add again. */
#include "merge/merge_core_state.h"

#include <stdlib.h>

#define RANGES_MAX 64u

const crypto_signer *merge_core_founder(const merge_core *c)
{
    for (unsigned i = c->identity.n_founder; i-- > 0 && c->roster != NULL;) {
        const crypto_signer *k = &c->identity.founder[i];
        if (roster_may(c->roster, ROSTER_FOUNDER_NUMBER, &k->public, ROSTER_MAY_WRITE, 0))
            return k;
    }
    return NULL;
}

/* The incarnation follows from the key and from the database's own, so that a restored or copied node begins a new one
 * here too; the first one is not 0, where genesis and the heirs have their chains. */
feed_id merge_core_founder_feed(const merge_core *c)
{
    const crypto_signer *k = merge_core_founder(c);
    uint16_t of_key = k != NULL ? get_u16be(k->public.b) : 0;
    uint16_t incarnation = (uint16_t)((c->incarnation ^ of_key) & 0xfffcu);
    return feed_make(incarnation != 0 ? incarnation : 4, CLASS_ROUTINE, ROSTER_FOUNDER_NUMBER);
}

bool merge_core_is_founder(const merge_core *c)
{
    return merge_core_founder(c) != NULL ||
           (c->identity.self == ROSTER_FOUNDER_NUMBER && c->roster != NULL &&
            roster_may(c->roster, c->identity.self, &c->identity.signer.public, ROSTER_MAY_WRITE,
                       0));
}

void merge_core_hold_founder(merge_core *c, const crypto_signer *key)
{
    merge_identity *id = &c->identity;
    const crypto_signer *now = merge_core_founder(c);
    if (now != NULL && now != &id->founder[0])
        id->founder[0] = *now;
    id->n_founder = now != NULL ? 1 : 0;
    id->founder[id->n_founder++] = *key;
}

err_t merge_take_hand(merge_core *c, merge_hand *out, buf *why)
{
    const crypto_signer *founder = c->loaded ? merge_core_founder(c) : NULL;
    if (founder == NULL) {
        *out = (merge_hand){CLASS_ROUTINE, c->identity.self, &c->identity.signer.public};
        return merge_may_write(c, why);
    }
    *out = (merge_hand){MERGE_FOUNDER, ROSTER_FOUNDER_NUMBER, &founder->public};
    merge_slot_reset(c, MERGE_FOUNDER);
    return ERR_OK;
}

/* ---- members who lost whoever had added them ---- */

static err_t add_again(merge_core *c, wall_ms now, const merge_hand *h, const roster_member *m,
                       merge_batch *b)
{
    static const uint8_t none[ROSTER_SEALING_BYTES];
    roster_range ranges[RANGES_MAX] = {{0}};
    size_t n = roster_grants(c->roster, m->number, &m->key, ranges, RANGES_MAX);
    roster_event ev = {.kind = ROSTER_EV_ADD,
                       .number = m->number,
                       .role = m->role,
                       .key = m->key,
                       .has_transport = m->has_transport,
                       .transport = m->transport,
                       .has_sealing = memcmp(m->sealing, none, sizeof none) != 0,
                       .name = bytes_str(m->name)};
    memcpy(ev.sealing, m->sealing, sizeof ev.sealing);
    bool grants = roster_may(c->roster, h->number, h->key, ROSTER_MAY_GRANT, 0);
    if (!grants && ev.role == ROSTER_ROLE_COORDINATOR)
        ev.role = ROSTER_ROLE_FIELD;
    n = n < RANGES_MAX ? n : RANGES_MAX;
    for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
        ev.lo = ev.role == ROSTER_ROLE_COORDINATOR ? ranges[i].lo : 0;
        ev.hi = ev.role == ROSTER_ROLE_COORDINATOR ? ranges[i].hi : 0;
        TRY(merge_write_roster(c, now, h->slot, ROSTER_KIND_ADD, &ev, b));
    }
    return ERR_OK;
}

/* A number may have had several keys; all that lost theirs come back. */
static err_t add_all_again(merge_core *c, wall_ms now, const merge_hand *h, member_no number,
                           merge_batch *b, bool *removed)
{
    for (size_t i = 0; i < roster_members(c->roster); i++) {
        const roster_member *m = roster_at(c->roster, i);
        if (m->number != number || !m->orphaned)
            continue;
        *removed |= m->removed;
        if (!m->removed)
            TRY(add_again(c, now, h, m, b));
    }
    return ERR_OK;
}

err_t merge_core_member_readd(merge_core *c, wall_ms now, member_no number, merge_batch *b,
                              buf *why)
{
    merge_hand h;
    bool removed = false;
    TRY(merge_take_hand(c, &h, why));
    if (roster_member_of(c->roster, number) == NULL) {
        buf_addf(why, "there is no member %u here: see cairn member ls", number);
        return ERR_NOT_FOUND;
    }
    if (!roster_may(c->roster, h.number, h.key, ROSTER_MAY_ADD, number)) {
        buf_add_str(why, "only the founder may add that member again");
        return ERR_FORBIDDEN;
    }
    err_t e = add_all_again(c, now, &h, number, b, &removed);
    if (e != ERR_OK)
        buf_add_str(why, err_text(e));
    else if (b->n == 0 && removed)
        buf_addf(why, "member %u was removed: its machine has to join anew", number);
    if (e == ERR_OK && b->n == 0)
        return removed ? ERR_FORBIDDEN : ERR_EXISTS;
    return e;
}
