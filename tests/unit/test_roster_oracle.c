/* The roster against its rules said a second time: with quantifiers over all held events, no state, no order. */
#include "tests/unit/roster_world.h"

#define NUMBERS 6 /* 1 … 5 and one nobody has */
#define KEYS    7

/* ---- the oracle ---- */

typedef struct {
    const world *w;
    bool cuts;       /* false: as if nobody had ever been cut */
    bool heir[KEYS]; /* pass 1; the rest is derived from it */
} oracle;

static bool acts_as_heir(const oracle *o, int i)
{
    const world_event *e = &o->w->e[i];
    return o->w->held[i] && e->kind == ROSTER_EV_REPLACE && e->feed == 1 && o->heir[e->key];
}

static bool is_tenure(const oracle *o, int i)
{
    return (i == 0 && o->w->held[0]) || acts_as_heir(o, i);
}

static oracle ask(const world *w, bool cuts)
{
    oracle o = {.w = w, .cuts = cuts};
    for (int round = 0; round <= w->n; round++)
        for (int i = 0; i < w->n; i++)
            if (is_tenure(&o, i))
                o.heir[w->e[i].heir] = true;
    return o;
}

static bool is_founder(const oracle *o, int key)
{
    for (int i = 0; i < o->w->n; i++)
        if (is_tenure(o, i) && o->w->e[i].target == key)
            return true;
    return false;
}

static bool cuts_founder(const oracle *o, int list, int key)
{
    if (!acts_as_heir(o, list))
        return false;
    for (int t = 0; t < o->w->n; t++)
        if (is_tenure(o, t) && o->w->e[t].target == key && o->w->e[t].heir == o->w->e[list].key)
            return true;
    return false;
}

static bool allowed_by(const oracle *o, int list, int i)
{
    const world *w = o->w;
    for (int k = 0; k < w->e[list].n_heads; k++) {
        int h = w->e[list].heads[k];
        /* whoever the head is by, the list means the number it is about */
        member_no about = w->e[list].kind == ROSTER_EV_REMOVE ? w->e[list].number : 1;
        feed_id feed = (feed_id)feed_incarnation(w->e[h].feed) << 16 | about;
        bool held = w->held[h] && w->e[h].feed == feed;
        if (feed == w->e[i].feed && (held ? world_leads_to(w, i, h) : w->e[i].seq <= w->e[h].seq))
            return true;
    }
    return false;
}

static bool founder_did(const oracle *o, int i)
{
    const world_event *e = &o->w->e[i];
    if (!o->w->held[i] || feed_member(e->feed) != 1 || !is_founder(o, e->key) ||
        feed_class_of(e->feed) == CLASS_RESERVED)
        return false;
    for (int l = 0; l < o->w->n && o->cuts && i != 0; l++)
        if (cuts_founder(o, l, e->key) && !allowed_by(o, l, i))
            return false;
    return true;
}

static bool removal_counts(const oracle *o, int i, member_no number)
{
    const world_event *e = &o->w->e[i];
    return e->kind == ROSTER_EV_REMOVE && e->number == number && founder_did(o, i);
}

static bool removal_is_active(const oracle *o, int i, member_no number)
{
    if (number == 1 || !removal_counts(o, i, number))
        return false;
    for (int other = 0; other < o->w->n; other++)
        for (int k = 0; k < o->w->e[other].n_supersedes; k++)
            if (o->w->e[other].supersedes[k] == i && removal_counts(o, other, number))
                return false;
    return true;
}

static bool within_removals(const oracle *o, int i)
{
    for (int l = 0; l < o->w->n && o->cuts; l++)
        if (removal_is_active(o, l, feed_member(o->w->e[i].feed)) && !allowed_by(o, l, i))
            return false;
    return true;
}

static bool coordinator_did(const oracle *o, int i)
{
    const world_event *e = &o->w->e[i];
    if (!o->w->held[i] || feed_class_of(e->feed) == CLASS_RESERVED || !within_removals(o, i))
        return false;
    for (int g = 0; g < o->w->n; g++) {
        const world_event *grant = &o->w->e[g];
        if (grant->kind == ROSTER_EV_ADD && grant->role == ROSTER_ROLE_COORDINATOR &&
            founder_did(o, g) && grant->number == feed_member(e->feed) && grant->number != 1 &&
            grant->target == e->key && e->number >= grant->lo && e->number <= grant->hi)
            return true;
    }
    return false;
}

/* Whether some counting add makes (number, key) a member, with a role among `roles` (bits). */
static bool is_added(const oracle *o, member_no number, int key, unsigned roles)
{
    for (int i = 0; i < o->w->n; i++) {
        const world_event *e = &o->w->e[i];
        if (e->kind != ROSTER_EV_ADD || e->number != number || e->target != key || number == 1)
            continue;
        roster_role role = e->role;
        if (feed_member(e->feed) != 1 && role == ROSTER_ROLE_COORDINATOR)
            role = ROSTER_ROLE_FIELD;
        if (roles >> role & 1 &&
            (feed_member(e->feed) == 1 ? founder_did(o, i) : coordinator_did(o, i)))
            return true;
    }
    return false;
}

#define WRITERS (1u << ROSTER_ROLE_COORDINATOR | 1u << ROSTER_ROLE_FIELD)
#define READERS (1u << ROSTER_ROLE_READER)

static roster_verdict_t expected(const world *w, int i)
{
    const world_event *e = &w->e[i];
    oracle o = ask(w, true), uncut = ask(w, false);
    member_no number = feed_member(e->feed);
    if (feed_class_of(e->feed) == CLASS_RESERVED)
        return ROSTER_RESERVED;
    if (number == 1) {
        if (e->feed == 1 && o.heir[e->key])
            return ROSTER_COUNTS;
        if (!is_founder(&o, e->key))
            return ROSTER_UNKNOWN;
        return founder_did(&o, i) ? ROSTER_COUNTS : ROSTER_REMOVED;
    }
    if (is_added(&o, number, e->key, WRITERS))
        return within_removals(&o, i) ? ROSTER_COUNTS : ROSTER_REMOVED;
    if (is_added(&o, number, e->key, READERS))
        return ROSTER_READER;
    return is_added(&uncut, number, e->key, WRITERS | READERS) ? ROSTER_ORPHANED : ROSTER_UNKNOWN;
}

static bool expected_void(const world *w, feed_id from, feed_id feed, uint64_t seq)
{
    oracle o = ask(w, true);
    for (int l = 0; l < w->n; l++)
        for (int k = 0; k < w->e[l].n_forks; k++)
            if (removal_is_active(&o, l, feed_member(feed)) &&
                feed_member(from) != feed_member(feed) &&
                w->e[l].forks[k].incarnation == feed_incarnation(feed) &&
                seq >= w->e[l].forks[k].seq)
                return true;
    return false;
}

/* ---- random histories: everybody tries everything ---- */

static int any_of_number(const world *w, prop_rng *r, member_no number)
{
    int found = -1, seen = 0;
    for (int i = 0; i < w->n; i++)
        if (feed_member(w->e[i].feed) == number && prop_below(r, (uint64_t)++seen) == 0)
            found = i;
    return found;
}

static void random_lists(world *w, int i, prop_rng *r, member_no number)
{
    world_event *e = &w->e[i];
    uint64_t n = prop_below(r, 4);
    for (uint64_t k = 0; k < n; k++) {
        int h = any_of_number(w, r, number);
        if (h >= 0)
            e->heads[e->n_heads++] = h;
    }
    if (prop_below(r, 3) == 0)
        e->forks[e->n_forks++] =
            (roster_fork){(uint16_t)(prop_below(r, 2) * 4), 1 + prop_below(r, 3)};
    for (int old = 0; old < i && e->n_supersedes < WORLD_LIST; old++)
        if (w->e[old].kind == ROSTER_EV_REMOVE && prop_below(r, 4) == 0)
            e->supersedes[e->n_supersedes++] = old;
}

/* The end of a chain, at times another event of it: a fork. */
static int random_parent(const world *w, prop_rng *r, feed_id feed, int key)
{
    int parent = -1;
    bool fork = prop_below(r, 8) == 0;
    for (int i = 0; i < w->n; i++)
        if (w->e[i].feed == feed && w->e[i].key == key && (!fork || prop_below(r, 2)))
            parent = i;
    return parent;
}

/* Mostly the few keys that others name too. */
static int key_of(prop_rng *r, member_no number)
{
    if (prop_below(r, 10) == 0)
        return (int)prop_below(r, KEYS);
    return number == 1 ? (int)prop_below(r, 2) : number + (int)prop_below(r, 2);
}

static void random_event(world *w, prop_rng *r)
{
    static const uint16_t incarnations[] = {0, 0, 0, 0, 0, 1, 4, 3};
    bool high = prop_below(r, 2); /* a founder's or heir's key at its place */
    member_no number = (member_no)(high ? 1 : 1 + prop_below(r, NUMBERS - 1));
    int key = prop_below(r, 2) && high ? 0 : key_of(r, number);
    feed_id feed = (feed_id)incarnations[prop_below(r, 8)] << 16 | number;
    int parent = random_parent(w, r, feed, key);
    int kind = PLAIN;
    switch (prop_below(r, 8)) {
    case 0:
    case 1:
    case 2:
        kind = ROSTER_EV_ADD;
        break;
    case 3:
    case 4:
        kind = number == 1 ? ROSTER_EV_REMOVE : ROSTER_EV_ADD;
        break;
    case 5:
        kind = feed == 1 && prop_below(r, 2) ? ROSTER_EV_REPLACE : PLAIN;
        break;
    default:
        break;
    }
    int i = world_add(w, feed, key, parent, kind);
    world_event *e = &w->e[i];
    e->wall = 1000 + prop_below(r, 50);
    e->heir = 1 + (int)prop_below(r, 3);
    e->number = (member_no)(1 + prop_below(r, NUMBERS - 1));
    if (e->number == 1 && prop_below(r, 4))
        e->number = 2;
    e->target = key_of(r, kind == ROSTER_EV_REPLACE ? 1 : e->number);
    e->role = (roster_role)(1 + prop_below(r, 3));
    e->lo = (uint16_t)(1 + prop_below(r, NUMBERS - 1));
    e->hi = (uint16_t)(e->lo + prop_below(r, 3));
    if (kind == ROSTER_EV_REMOVE || kind == ROSTER_EV_REPLACE)
        random_lists(w, i, r, kind == ROSTER_EV_REMOVE ? e->number : 1);
    if (kind == ROSTER_EV_REPLACE)
        e->n_forks = e->n_supersedes = 0;
}

static void random_world(world *w, prop_rng *r, int n)
{
    world_begin(w);
    while (w->n < n)
        random_event(w, r);
}

/* ---- comparing ---- */

static uint64_t expected_cut(const world *w, int tip)
{
    uint64_t upto = 0; /* what counts on a branch is its beginning: the oracle checks that too */
    bool ended = false;
    int chain[WORLD_EVENTS], n = 0;
    for (int i = tip; i >= 0; i = w->e[i].parent)
        chain[n++] = i;
    while (n-- > 0) {
        bool counts = expected(w, chain[n]) == ROSTER_COUNTS;
        cr_assert(!(ended && counts), "what counts has no gaps");
        ended |= !counts;
        upto = counts ? w->e[chain[n]].seq : upto;
    }
    return upto;
}

static size_t met[ROSTER_RESERVED + 1];

static void compare_verdicts(const world *w, const roster *r)
{
    for (int i = 0; i < w->n; i++) {
        if (!w->held[i])
            continue;
        roster_verdict_t want = expected(w, i), got = world_verdict(w, r, i);
        cr_assert_eq(got, want, "event %d: %s, expected: %s", i, roster_why(got), roster_why(want));
        met[got]++;
    }
}

static void compare_cuts(const world *w, const roster *r)
{
    for (int i = 0; i < w->n; i++) {
        const world_event *e = &w->e[i];
        if (!w->held[i])
            continue;
        member_key key = world_key(e->key);
        cr_assert_eq(roster_cut(r, e->feed, &key, e->seq, &e->id, NULL), expected_cut(w, i));
        if (expected(w, i) == ROSTER_COUNTS)
            cr_assert_eq(roster_admits(r, e->feed, &key, e->seq), ROSTER_COUNTS);
    }
}

static void compare_members(const world *w, const roster *r)
{
    oracle o = ask(w, true), uncut = ask(w, false);
    size_t shown = 0;
    for (member_no number = 1; number < NUMBERS; number++)
        for (int k = 0; k < KEYS; k++) {
            member_key key = world_key(k);
            const roster_member *m = roster_find(r, number, &key);
            bool founder = number == 1 && is_founder(&o, k), removed = false;
            bool added = is_added(&o, number, k, WRITERS | READERS);
            cr_assert_eq(m != NULL, founder || is_added(&uncut, number, k, WRITERS | READERS));
            if (!m)
                continue;
            for (int l = 0; l < w->n; l++)
                removed |= number == 1 ? cuts_founder(&o, l, k) : removal_is_active(&o, l, number);
            cr_assert_eq(m->removed, removed);
            cr_assert_eq(m->orphaned, !founder && !added);
            cr_assert_eq(roster_may(r, number, &key, ROSTER_MAY_REMOVE, 2), founder && !removed);
            cr_assert_eq(roster_may(r, number, &key, ROSTER_MAY_WRITE, 0),
                         !removed && (founder || is_added(&o, number, k, WRITERS)));
            transport_key t = world_transport(number, k);
            const roster_member *by = roster_by_transport_key(r, &t);
            cr_assert_eq(by != NULL, !removed && !m->orphaned);
            cr_assert(!by || by == m);
            shown++;
        }
    cr_assert_eq(roster_members(r), shown);
    for (size_t i = 1; i < shown; i++) {
        const roster_member *a = roster_at(r, i - 1), *b = roster_at(r, i);
        cr_assert(a->number < b->number ||
                  (a->number == b->number && memcmp(a->key.b, b->key.b, 32) < 0));
    }
}

static void compare_authors(const world *w, const roster *r)
{
    oracle o = ask(w, false);
    for (member_no number = 1; number < NUMBERS; number++)
        for (int express = 0; express < 2; express++) {
            feed_id feed = (feed_id)express << 16 | number;
            member_key keys[KEYS];
            size_t n = roster_author(r, feed, keys, KEYS), at = 0;
            for (int k = 0; k < KEYS; k++) {
                bool may = number == 1 ? is_founder(&o, k) || (!express && o.heir[k])
                                       : is_added(&o, number, k, WRITERS | READERS);
                cr_assert(!may || memcmp(keys[at].b, world_key(k).b, sizeof keys[at].b) == 0);
                at += may;
            }
            cr_assert_eq(n, at);
        }
}

static void compare_references(const world *w, const roster *r)
{
    for (member_no n = 1; n < NUMBERS; n++)
        for (uint16_t inc = 0; inc <= 4; inc = (uint16_t)(inc + 4))
            for (uint64_t seq = 1; seq < 4; seq++) {
                feed_id feed = (feed_id)inc << 16 | n;
                cr_assert_eq(roster_refs_void(r, 2, feed, seq), expected_void(w, 2, feed, seq));
            }
}

static void compare_wanted(const world *w, const roster *r)
{
    oracle o = ask(w, true);
    frontier got = {0};
    cr_assert_eq(roster_wanted(r, &got), ERR_OK);
    size_t n = 0;
    for (int h = 0; h < w->n; h++) {
        member_no number = feed_member(w->e[h].feed);
        bool listed = false, known = false;
        for (int l = 0; l < w->n; l++)
            for (int k = 0; k < w->e[l].n_heads; k++)
                listed |= w->e[l].heads[k] == h &&
                          (number == 1 ? acts_as_heir(&o, l) : removal_is_active(&o, l, number));
        for (int k = 0; k < KEYS; k++)
            known |= number == 1 ? is_founder(&o, k) || (w->e[h].feed == 1 && o.heir[k])
                                 : is_added(&o, number, k, WRITERS);
        known &= feed_class_of(w->e[h].feed) != CLASS_RESERVED;
        bool want = listed && known && !w->held[h];
        cr_assert_eq(frontier_has(&got, &(frontier_entry){w->e[h].feed, w->e[h].seq, w->e[h].id}),
                     want);
        cr_assert(!listed || roster_lists(r, w->e[h].feed, w->e[h].seq, &w->e[h].id));
        n += want;
    }
    cr_assert_eq(got.n, n);
    frontier_release(&got);
}

static void compare(const world *w, const roster *r)
{
    compare_verdicts(w, r);
    compare_cuts(w, r);
    compare_members(w, r);
    compare_authors(w, r);
    compare_references(w, r);
    compare_wanted(w, r);
}

/* ---- arrival ---- */

static void shuffle(int *order, int n, prop_rng *r)
{
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)prop_below(r, (uint64_t)i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
}

/* Everything is held, and the roster hears of it in any order whatever. */
Test(roster_oracle, any_order_of_telling, .timeout = 120)
{
    prop_rng r = prop_begin("roster telling");
    static world w;
    int order[WORLD_EVENTS];
    for (int round = 0; round < 2500; round++) {
        random_world(&w, &r, 4 + (int)prop_below(&r, 36));
        for (int i = w.n - 1; i > 0; i--) { /* some are not held: whatever follows neither */
            bool parent_held = w.e[i].parent < 0 || w.held[w.e[i].parent];
            w.held[i] = parent_held && prop_below(&r, 12) != 0;
        }
        for (int i = 1; i < w.n; i++)
            w.held[i] &= w.e[i].parent < 0 || w.held[w.e[i].parent];
        roster *ro = world_roster(&w);
        shuffle(order, w.n, &r);
        for (int i = 0; i < w.n; i++)
            if (w.held[order[i]])
                (void)!world_tell(&w, ro, order[i]);
        compare(&w, ro);
        roster_free(&ro);
    }
    for (size_t v = 0; v <= ROSTER_RESERVED; v++)
        cr_assert(met[v] > 100, "these histories hardly reach \"%s\": %zu",
                  roster_why((roster_verdict_t)v), met[v]);
}

/* Events arrive one by one, each after its parent; after each of them everything is as the oracle says, and whatever
 * changed was announced. */
Test(roster_oracle, step_by_step_and_changes_are_announced, .timeout = 120)
{
    prop_rng r = prop_begin("roster steps");
    static world w;
    size_t changes = 0;
    for (int round = 0; round < 700; round++) {
        random_world(&w, &r, 4 + (int)prop_below(&r, 26));
        memset(w.held, 0, sizeof w.held);
        roster *ro = world_roster(&w);
        for (int told = 0; told < w.n; told++) {
            int next = -1, seen = 0; /* any event whose parent is here */
            for (int i = 0; i < w.n; i++)
                if (!w.held[i] && (w.e[i].parent < 0 || w.held[w.e[i].parent]) &&
                    prop_below(&r, (uint64_t)++seen) == 0)
                    next = i;
            roster_verdict_t before[WORLD_EVENTS];
            for (int i = 0; i < w.n; i++)
                before[i] = w.held[i] ? world_verdict(&w, ro, i) : ROSTER_COUNTS;
            bool was_held[WORLD_EVENTS];
            memcpy(was_held, w.held, sizeof was_held);
            uint64_t version = roster_version(ro);
            w.held[next] = true;
            (void)!world_tell(&w, ro, next);
            roster_stored(ro, w.e[next].feed, w.e[next].seq, &w.e[next].id);
            compare_verdicts(&w, ro);
            compare_members(&w, ro);
            member_no changed[2];
            bool announced[NUMBERS] = {false};
            for (size_t n; (n = roster_take_changed(ro, changed, 2)) > 0;)
                for (size_t i = 0; i < n; i++)
                    announced[changed[i]] = true;
            for (int i = 0; i < w.n; i++)
                if (was_held[i] && world_verdict(&w, ro, i) != before[i]) {
                    cr_assert(announced[feed_member(w.e[i].feed)]);
                    cr_assert(roster_version(ro) > version);
                    changes++;
                }
        }
        compare(&w, ro);
        roster_free(&ro);
    }
    cr_assert(changes > 1000, "these histories change verdicts: %zu", changes);
}

/* ---- many ---- */

#define MANY 10000

static err_t tell_many(roster *r, unsigned i)
{
    roster_event e = {.kind = ROSTER_EV_ADD,
                      .number = (member_no)(i + 2),
                      .role = ROSTER_ROLE_FIELD,
                      .key = world_key((int)i + 100),
                      .has_transport = true,
                      .transport = world_transport((member_no)(i + 2), (int)i),
                      .name = bytes_str("tablet")};
    buf payload;
    buf_init(&payload, 1000);
    cr_assert_eq(roster_event_write(&e, &payload), ERR_OK);
    roster_input in = {.feed = 1,
                       .seq = i + 2,
                       .id = world_id((int)i + 1),
                       .author = world_key(0),
                       .kind = bytes_str("member.add"),
                       .payload = buf_view(&payload)};
    err_t err = roster_fold(r, &in);
    buf_release(&payload);
    return err;
}

/* Told before genesis and after it, looked up after each: nothing here goes over all members each time. */
Test(roster_oracle, ten_thousand_members)
{
    static world w;
    world_begin(&w);
    roster *r = world_roster(&w);
    for (unsigned i = 0; i < MANY; i++) {
        if (i == MANY / 2)
            cr_assert_eq(world_tell(&w, r, 0), ERR_OK);
        cr_assert_eq(tell_many(r, i), ERR_OK);
        transport_key t = world_transport((member_no)(i + 2), (int)i);
        cr_assert_eq(roster_by_transport_key(r, &t) != NULL, i >= MANY / 2);
    }
    cr_assert_eq(roster_members(r), MANY + 1);
    for (unsigned i = 0; i <= MANY; i++)
        cr_assert_eq(roster_at(r, i)->number, i + 1);
    member_no changed[100];
    size_t n, total = 0;
    while ((n = roster_take_changed(r, changed, 100)) > 0)
        total += n;
    cr_assert_eq(total, MANY + 1);
    member_key founder = world_key(0);
    cr_assert_eq(roster_free_number(r, 1, &founder), MANY + 2);
    cr_assert_eq(w.asked, 0);
    roster_free(&r);
}
