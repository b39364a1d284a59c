/* The roster's rules one by one (rules.md 13-17), by hand, each small history told in every order of arrival. */
#include "tests/unit/roster_world.h"

/* Keys of the actors; number 1 begins with FOUNDER, whose heir is HEIR. */
enum { FOUNDER, HEIR, KEY2, KEY3, KEY4, KEY5, NEW_FOUNDER, NEW_HEIR, OTHER_FOUNDER, OTHER_HEIR };

static member_key founder_key(void)
{
    return world_key(FOUNDER);
}

typedef void (*check_fn)(const world *w, const roster *r);

static void tell_all(world *w, const int *order, int n, check_fn check)
{
    roster *r = world_roster(w);
    for (int i = 0; i < n; i++)
        (void)!world_tell(w, r, order[i]);
    check(w, r);
    roster_free(&r);
}

static void permute(world *w, int *order, int n, int at, check_fn check)
{
    if (at == n)
        tell_all(w, order, n, check);
    for (int i = at; i < n; i++) {
        int x = order[at];
        order[at] = order[i];
        order[i] = x;
        permute(w, order, n, at + 1, check);
        order[i] = order[at];
        order[at] = x;
    }
}

/* Of the roster's events that are held; the others are not told. */
static void in_every_order(world *w, check_fn check)
{
    int order[WORLD_EVENTS], n = 0;
    for (int i = 0; i < w->n; i++)
        if (w->held[i] && w->e[i].kind != PLAIN)
            order[n++] = i;
    cr_assert(n <= 7, "7! orders are enough");
    permute(w, order, n, 0, check);
}

/* One letter per event: C counts, - unknown, O orphaned, R reader, X removed, 3 reserved. */
static void assert_verdicts(const world *w, const roster *r, const char *want)
{
    static const char letters[] = {
        [ROSTER_COUNTS] = 'C', [ROSTER_UNKNOWN] = '-', [ROSTER_ORPHANED] = 'O',
        [ROSTER_READER] = 'R', [ROSTER_REMOVED] = 'X', [ROSTER_RESERVED] = '3'};
    char got[WORLD_EVENTS + 1] = {0};
    for (int i = 0; i < w->n; i++)
        got[i] = letters[world_verdict(w, r, i)];
    cr_assert_str_eq(got, want);
}

static const roster_member *member(const roster *r, member_no number, int key)
{
    member_key k = world_key(key);
    return roster_find(r, number, &k);
}

static bool may(const roster *r, member_no number, int key, roster_action action, member_no target)
{
    member_key k = world_key(key);
    return roster_may(r, number, &k, action, target);
}

/* ---- members and roles ---- */

static void check_roles(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCCCR-");
    cr_assert_str_eq(roster_title(r), "A survey");
    cr_assert_eq(roster_members(r), 4);
    cr_assert_eq(roster_at(r, 0)->role, ROSTER_ROLE_FOUNDER);
    cr_assert_eq(roster_at(r, 1)->role, ROSTER_ROLE_FIELD);
    cr_assert_eq(roster_at(r, 2)->role, ROSTER_ROLE_READER);
    cr_assert_eq(roster_at(r, 3)->role, ROSTER_ROLE_COORDINATOR);
    cr_assert_eq(roster_at(r, 4), NULL);
    cr_assert_str_eq(roster_at(r, 1)->name, "name 1");
    cr_assert(may(r, 2, KEY2, ROSTER_MAY_WRITE, 0));
    cr_assert_not(may(r, 3, KEY3, ROSTER_MAY_WRITE, 0));
    cr_assert_not(may(r, 2, KEY2, ROSTER_MAY_ADD, 0));
    cr_assert(may(r, 4, KEY4, ROSTER_MAY_ADD, 0));
    cr_assert(may(r, 4, KEY4, ROSTER_MAY_ADD, 19));
    cr_assert_not(may(r, 4, KEY4, ROSTER_MAY_ADD, 20));
    cr_assert_not(may(r, 4, KEY4, ROSTER_MAY_GRANT, 15));
    cr_assert_not(may(r, 4, KEY4, ROSTER_MAY_REMOVE, 15));
    cr_assert(may(r, 1, FOUNDER, ROSTER_MAY_REMOVE, 4));
    cr_assert_not(may(r, 1, FOUNDER, ROSTER_MAY_REMOVE, 1));
    cr_assert_not(may(r, 1, FOUNDER, ROSTER_MAY_ADD, 1));
    cr_assert_not(may(r, 1, HEIR, ROSTER_MAY_WRITE, 0));
    cr_assert(roster_is_roster_feed(r, 4));
    cr_assert(roster_is_roster_feed(r, 1));
    cr_assert_not(roster_is_roster_feed(r, 2));
    cr_assert_not(roster_is_roster_feed(r, feed_make(0, CLASS_BULK, 4)));
}

Test(roster, roles)
{
    static world w;
    world_begin(&w);
    int a = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int b = world_member(&w, 1, FOUNDER, a, 3, KEY3, ROSTER_ROLE_READER);
    (void)world_coordinator(&w, b, 4, KEY4, 10, 19);
    (void)world_add(&w, 2, KEY2, -1, PLAIN);
    (void)world_add(&w, 3, KEY3, -1, PLAIN);
    (void)world_add(&w, 3, KEY2, -1, PLAIN); /* a member's key under another number */
    in_every_order(&w, check_roles);
}

static void check_grants(const world *w, const roster *r)
{
    /* 10 by the grant; 20 by the second grant; 5 outside of both; 11 by a sub-grant that is none */
    assert_verdicts(w, r, "CCCCCCC");
    cr_assert(member(r, 10, KEY2));
    cr_assert(member(r, 20, KEY2));
    cr_assert_null(member(r, 5, KEY2));
    cr_assert_eq(member(r, 11, KEY5)->role, ROSTER_ROLE_FIELD);
    cr_assert_not(may(r, 11, KEY5, ROSTER_MAY_ADD, 0));
    cr_assert_eq(member(r, 10, KEY2)->added_by, 4);
    roster_range range[3];
    member_key key4 = world_key(KEY4);
    cr_assert_eq(roster_grants(r, 4, &key4, range, 3), 2);
    cr_assert_eq(range[0].lo + range[1].lo, 30);
    member_key founder = founder_key();
    cr_assert_eq(roster_free_number(r, 1, &founder), 2);
    cr_assert_eq(roster_free_number(r, 4, &key4), 12);
    cr_assert_eq(roster_free_range(r, 100), 30);
    cr_assert_eq(roster_free_range(r, 65535), 0);
}

Test(roster, several_grants_unite_and_sub_grants_are_none)
{
    static world w;
    world_begin(&w);
    int a = world_coordinator(&w, 0, 4, KEY4, 10, 19);
    (void)world_coordinator(&w, a, 4, KEY4, 20, 29);
    int c = world_member(&w, 4, KEY4, -1, 10, KEY2, ROSTER_ROLE_FIELD);
    c = world_member(&w, 4, KEY4, c, 20, KEY2, ROSTER_ROLE_FIELD);
    (void)world_member(&w, 4, KEY4, c, 5, KEY2, ROSTER_ROLE_FIELD);
    c = world_member(&w, feed_make(4, CLASS_EXPRESS, 4), KEY4, -1, 11, KEY5,
                     ROSTER_ROLE_COORDINATOR);
    w.e[c].lo = 10;
    w.e[c].hi = 29;
    in_every_order(&w, check_grants);
}

static void check_stolen_coordinator(const world *w, const roster *r)
{
    /* honest: 10; stolen: 11, which the founder takes over, and 12, which stays an orphan */
    assert_verdicts(w, r, "CCCXXCCCO");
    cr_assert_not(member(r, 10, KEY2)->orphaned);
    cr_assert(member(r, 4, KEY4)->removed);
    cr_assert_not(may(r, 4, KEY4, ROSTER_MAY_ADD, 0));
    cr_assert_not(may(r, 4, KEY4, ROSTER_MAY_WRITE, 0));
    cr_assert(member(r, 12, KEY5)->orphaned);
    cr_assert_eq(member(r, 12, KEY5)->added_by, 4);
    cr_assert_not(member(r, 11, KEY3)->orphaned);
    cr_assert_eq(member(r, 11, KEY3)->added_by, 1);
    transport_key t4 = world_transport(4, KEY4), t10 = world_transport(10, KEY2),
                  t12 = world_transport(12, KEY5);
    cr_assert_null(roster_by_transport_key(r, &t4));
    cr_assert_null(roster_by_transport_key(r, &t12));
    cr_assert_eq(roster_by_transport_key(r, &t10)->number, 10);
    member_key key4 = world_key(KEY4), keys[2];
    cr_assert_eq(roster_author(r, 4, keys, 2), 1);
    cr_assert_eq(roster_author(r, 12, keys, 2), 1, "what is stored keeps its author");
    cr_assert_eq(roster_author(r, 13, keys, 2), 0);
    member_key key5 = world_key(KEY5);
    cr_assert_eq(roster_admits(r, 12, &key5, 1), ROSTER_ORPHANED);
    cr_assert_eq(roster_admits(r, 4, &key4, 1), ROSTER_COUNTS);
    cr_assert_eq(roster_admits(r, 4, &key4, 2), ROSTER_REMOVED);
    cr_assert_eq(roster_admits(r, 0x00040004, &key4, 1), ROSTER_REMOVED, "unlisted incarnation");
}

/* A coordinator's key is stolen; the removal lists its last honest event. */
Test(roster, stolen_coordinator_key)
{
    static world w;
    world_begin(&w);
    int grant = world_coordinator(&w, 0, 4, KEY4, 10, 19);
    int honest = world_member(&w, 4, KEY4, -1, 10, KEY2, ROSTER_ROLE_FIELD);
    int theft = world_member(&w, 4, KEY4, honest, 11, KEY3, ROSTER_ROLE_FIELD);
    (void)world_member(&w, 4, KEY4, theft, 12, KEY5, ROSTER_ROLE_FIELD);
    int removal = world_removal(&w, FOUNDER, grant, 4, HEADS(honest));
    (void)world_member(&w, 1, FOUNDER, removal, 11, KEY3, ROSTER_ROLE_FIELD);
    (void)world_add(&w, 11, KEY3, -1, PLAIN);
    (void)world_add(&w, 12, KEY5, -1, PLAIN);
    in_every_order(&w, check_stolen_coordinator);
}

/* ---- removals ---- */

static void check_intersection(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCXXXCC");
    event_id ids[3];
    cr_assert_eq(roster_removals(r, 2, ids, 3), 2);
}

static void check_superseded(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCCXXCCC");
    event_id ids[3];
    cr_assert_eq(roster_removals(r, 2, ids, 3), 1);
    cr_assert(event_id_eq(&ids[0], &w->e[8].id));
}

/* The chain of 2 is 2-3-4, and 5 in another incarnation that no list names. */
static int two_removals(world *w)
{
    world_begin(w);
    int add = world_member(w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int a = world_add(w, 2, KEY2, -1, PLAIN);
    int b = world_add(w, 2, KEY2, a, PLAIN);
    int c = world_add(w, 2, KEY2, b, PLAIN);
    (void)world_add(w, 0x00040002, KEY2, -1, PLAIN);
    int first = world_removal(w, FOUNDER, add, 2, HEADS(c));
    return world_removal(w, FOUNDER, first, 2, HEADS(a));
}

Test(roster, several_removals_intersect)
{
    static world w;
    (void)two_removals(&w);
    in_every_order(&w, check_intersection);
}

Test(roster, a_removal_supersedes_others)
{
    static world w;
    int second = two_removals(&w);
    int third = world_removal(&w, FOUNDER, second, 2, HEADS(3));
    w.e[third].supersedes[w.e[third].n_supersedes++] = second;
    w.e[third].supersedes[w.e[third].n_supersedes++] = second - 1;
    in_every_order(&w, check_superseded);
}

static void check_not_superseded(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCXXXCCCC");
}

/* Who may not remove cannot lift a removal, nor does the removal of somebody else. */
Test(roster, only_a_counting_removal_of_the_same_number_supersedes)
{
    static world w;
    int second = two_removals(&w);
    int other = world_removal(&w, FOUNDER, second, 3, NO_HEADS);
    w.e[other].supersedes[w.e[other].n_supersedes++] = second;
    int forged = world_removal(&w, HEIR, -1, 2, HEADS(4)); /* an heir is no founder yet */
    w.e[forged].supersedes[w.e[forged].n_supersedes++] = second;
    in_every_order(&w, check_not_superseded);
}

static void check_no_lift(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCXCC");
    cr_assert(member(r, 2, KEY2)->removed);
    cr_assert_eq(roster_find(r, 2, &(member_key){{9}}), NULL);
}

Test(roster, adding_again_does_not_lift_a_removal)
{
    static world w;
    world_begin(&w);
    int add = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int a = world_add(&w, 2, KEY2, -1, PLAIN);
    (void)world_add(&w, 2, KEY2, a, PLAIN);
    int removal = world_removal(&w, FOUNDER, add, 2, HEADS(a));
    (void)world_member(&w, 1, FOUNDER, removal, 2, KEY2, ROSTER_ROLE_FIELD);
    in_every_order(&w, check_no_lift);
}

static void check_two_keys(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCCXCC");
    member_key keys[3];
    cr_assert_eq(roster_author(r, 2, keys, 3), 2);
    cr_assert(memcmp(keys[0].b, keys[1].b, 32) < 0);
    member_key first = keys[0];
    cr_assert_eq(roster_author(r, 2, keys, 1), 2);
    cr_assert_arr_eq(keys[0].b, first.b, 32);
}

/* Two keys under one number are two chains; the head listed is on the one. */
Test(roster, two_keys_under_one_number)
{
    static world w;
    world_begin(&w);
    int add = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    add = world_member(&w, 1, FOUNDER, add, 2, KEY3, ROSTER_ROLE_FIELD);
    int a = world_add(&w, 2, KEY2, -1, PLAIN);
    int b = world_add(&w, 2, KEY3, -1, PLAIN);
    (void)world_removal(&w, FOUNDER, add, 2, HEADS(a));
    (void)world_add(&w, feed_make(0, CLASS_BULK, 1), FOUNDER, -1, PLAIN);
    w.e[b].kind = PLAIN;
    in_every_order(&w, check_two_keys);
}

/* The listed id is on a branch that comes later: until then by seq, from then on by descent. */
Test(roster, a_listed_head_narrows_when_it_is_held)
{
    static world w;
    world_begin(&w);
    int add = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int a = world_add(&w, 2, KEY2, -1, PLAIN);
    int forged = world_add(&w, 2, KEY2, a, PLAIN);
    (void)world_add(&w, 2, KEY2, forged, PLAIN);
    int honest = world_add(&w, 2, KEY2, a, PLAIN);
    (void)world_removal(&w, FOUNDER, add, 2, HEADS(honest));
    w.held[honest] = false;
    roster *r = world_roster(&w);
    for (int i = 0; i < w.n; i++)
        if (w.e[i].kind != PLAIN)
            cr_assert_eq(world_tell(&w, r, i), ERR_OK);
    assert_verdicts(&w, r, "CCCCXCC");
    member_key key = world_key(KEY2);
    cr_assert_eq(roster_cut(r, 2, &key, 3, &w.e[4].id, NULL), 2);
    frontier wanted = {0};
    cr_assert_eq(roster_wanted(r, &wanted), ERR_OK);
    cr_assert_eq(wanted.n, 1);
    cr_assert(event_id_eq(&wanted.at[0].id, &w.e[honest].id));
    member_no changed[3];
    while (roster_take_changed(r, changed, 3) > 0)
        continue;
    uint64_t version = roster_version(r);
    roster_stored(r, 2, 3, &w.e[4].id); /* nobody listed that one */
    cr_assert_eq(roster_version(r), version);

    w.held[honest] = true;
    cr_assert(roster_lists(r, 2, 2, &w.e[honest].id));
    roster_stored(r, 2, 2, &w.e[honest].id);
    cr_assert(roster_version(r) > version);
    cr_assert_eq(roster_take_changed(r, changed, 3), 1);
    cr_assert_eq(changed[0], 2);
    assert_verdicts(&w, r, "CCCXXCC");
    cr_assert_eq(roster_cut(r, 2, &key, 3, &w.e[4].id, NULL), 1);
    cr_assert_eq(roster_wanted(r, &wanted), ERR_OK);
    cr_assert_eq(wanted.n, 0);
    frontier_release(&wanted);
    roster_free(&r);
}

static void check_forks(const world *w, const roster *r)
{
    (void)w;
    cr_assert_not(roster_refs_void(r, 3, 0x00040002, 6));
    cr_assert(roster_refs_void(r, 3, 0x00040002, 7));
    cr_assert(roster_refs_void(r, 3, 0x00040002, 8));
    cr_assert_not(roster_refs_void(r, 3, 2, 8), "another incarnation");
    cr_assert_not(roster_refs_void(r, 3, 0x00050002, 8), "another class");
    cr_assert_not(roster_refs_void(r, 2, 0x00040002, 8), "its own");
    cr_assert_not(roster_refs_void(r, 3, 0x00040004, 8), "somebody else");
}

Test(roster, references_into_a_listed_fork_are_void)
{
    static world w;
    world_begin(&w);
    int add = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int removal = world_removal(&w, FOUNDER, add, 2, NO_HEADS);
    w.e[removal].forks[w.e[removal].n_forks++] = (roster_fork){4, 7};
    in_every_order(&w, check_forks);
}

/* ---- number 1, founders, heirs ---- */

static void check_number_1(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCC-CC");
    cr_assert_eq(roster_members(r), 2);
    cr_assert_null(member(r, 1, KEY3));
    cr_assert_not(member(r, 1, FOUNDER)->removed);
    cr_assert(may(r, 1, FOUNDER, ROSTER_MAY_WRITE, 0));
}

Test(roster, number_1_is_neither_added_nor_removed)
{
    static world w;
    world_begin(&w);
    int a = world_member(&w, 1, FOUNDER, 0, 1, KEY3, ROSTER_ROLE_COORDINATOR);
    a = world_removal(&w, FOUNDER, a, 1, NO_HEADS);
    (void)world_add(&w, 1, KEY3, -1, PLAIN);
    a = world_coordinator(&w, a, 2, KEY2, 1, 9);
    (void)world_member(&w, 2, KEY2, -1, 1, KEY3, ROSTER_ROLE_FIELD);
    in_every_order(&w, check_number_1);
    roster *r = world_roster(&w);
    cr_assert_eq(world_tell(&w, r, 1), ERR_FORBIDDEN);
    cr_assert_eq(world_tell(&w, r, 2), ERR_FORBIDDEN);
    roster_free(&r);
}

static void check_replaced(const world *w, const roster *r)
{
    /* the thief's add and removal count no more; the honest member, added after the cut, is an orphan */
    assert_verdicts(w, r, "CCXXCCCO");
    cr_assert(member(r, 1, FOUNDER)->removed);
    cr_assert_not(may(r, 1, FOUNDER, ROSTER_MAY_ADD, 9));
    cr_assert(may(r, 1, NEW_FOUNDER, ROSTER_MAY_ADD, 9));
    cr_assert_not(member(r, 2, KEY2)->removed);
    cr_assert(member(r, 3, KEY3)->orphaned);
    member_key old = founder_key(), heir = world_key(HEIR), next = world_key(NEW_HEIR), keys[4];
    cr_assert(roster_is_founder(r, 1, &old), "what it did before keeps its rights");
    cr_assert(roster_is_heir(r, &heir));
    cr_assert(roster_is_heir(r, &next));
    cr_assert_eq(roster_author(r, 1, keys, 4), 4);
    cr_assert_eq(roster_author(r, 0x00010001, keys, 4), 2, "heirs only write in feed 1");
    cr_assert_arr_eq(roster_member_of(r, 1)->key.b, world_key(NEW_FOUNDER).b, 32);
    transport_key t = world_transport(1, FOUNDER);
    cr_assert_null(roster_by_transport_key(r, &t));
}

Test(roster, stolen_founder_key)
{
    static world w;
    world_begin(&w);
    int honest = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int theft = world_member(&w, 1, FOUNDER, honest, 3, KEY3, ROSTER_ROLE_FIELD);
    (void)world_removal(&w, FOUNDER, theft, 2, NO_HEADS);
    (void)world_replace(&w, HEIR, -1, NEW_FOUNDER, NEW_HEIR, HEADS(honest));
    (void)world_member(&w, 1, NEW_FOUNDER, -1, 4, KEY4, ROSTER_ROLE_FIELD);
    (void)world_add(&w, 2, KEY2, -1, PLAIN);
    (void)world_add(&w, 3, KEY3, -1, PLAIN);
    in_every_order(&w, check_replaced);
}

static void check_two_successors(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCXCCCCCC");
    cr_assert(member(r, 1, NEW_FOUNDER) && member(r, 1, OTHER_FOUNDER));
    cr_assert_not(member(r, 1, NEW_FOUNDER)->removed || member(r, 1, OTHER_FOUNDER)->removed);
    /* each removed the other's member: both removals count */
    cr_assert(member(r, 4, KEY4)->removed && member(r, 5, KEY5)->removed);
    cr_assert_not(member(r, 4, KEY4)->orphaned || member(r, 5, KEY5)->orphaned);
}

/* Two founder.replace by one heir: the heads intersect, the keys unite; the two cannot shut each other out. */
Test(roster, two_successors)
{
    static world w;
    world_begin(&w);
    int a = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    int b = world_member(&w, 1, FOUNDER, a, 3, KEY3, ROSTER_ROLE_FIELD);
    (void)world_replace(&w, HEIR, -1, NEW_FOUNDER, NEW_HEIR, HEADS(a));
    (void)world_replace(&w, HEIR, -1, OTHER_FOUNDER, OTHER_HEIR, HEADS(b));
    int x = world_member(&w, 1, NEW_FOUNDER, -1, 4, KEY4, ROSTER_ROLE_FIELD);
    int y = world_member(&w, 1, OTHER_FOUNDER, -1, 5, KEY5, ROSTER_ROLE_FIELD);
    (void)world_removal(&w, NEW_FOUNDER, x, 5, NO_HEADS);
    (void)world_removal(&w, OTHER_FOUNDER, y, 4, NO_HEADS);
    w.e[a].kind = w.e[b].kind = PLAIN; /* what they add does not matter, only that b is cut */
    in_every_order(&w, check_two_successors);
}

static void check_succession(const world *w, const roster *r)
{
    assert_verdicts(w, r, "CCCXCX");
    cr_assert(member(r, 1, NEW_FOUNDER)->removed, "replaced by its own heir");
    cr_assert(member(r, 1, FOUNDER)->removed);
    cr_assert_not(member(r, 1, OTHER_FOUNDER)->removed);
}

/* Successors have successors, and a later one cuts only the key that named it. */
Test(roster, succession_of_successors)
{
    static world w;
    world_begin(&w);
    (void)world_replace(&w, HEIR, -1, NEW_FOUNDER, NEW_HEIR, NO_HEADS);
    int a = world_member(&w, 1, NEW_FOUNDER, -1, 2, KEY2, ROSTER_ROLE_FIELD);
    (void)world_member(&w, 1, NEW_FOUNDER, a, 3, KEY3, ROSTER_ROLE_FIELD);
    (void)world_replace(&w, NEW_HEIR, -1, OTHER_FOUNDER, OTHER_HEIR, HEADS(a));
    (void)world_add(&w, feed_make(0, CLASS_EXPRESS, 1), NEW_FOUNDER, -1, PLAIN);
    in_every_order(&w, check_succession);
}

static void check_impostors(const world *w, const roster *r)
{
    assert_verdicts(w, r, "C---C");
    cr_assert_eq(roster_members(r), 1);
}

Test(roster, nobody_else_replaces_the_founder)
{
    static world w;
    world_begin(&w);
    (void)world_replace(&w, KEY2, -1, KEY2, KEY2, NO_HEADS);
    int elsewhere = world_replace(&w, HEIR, -1, KEY2, KEY2, NO_HEADS);
    w.e[elsewhere].feed = 0x00040001;
    (void)world_member(&w, 1, KEY2, 1, 3, KEY3, ROSTER_ROLE_FIELD);
    (void)world_replace(&w, FOUNDER, 0, KEY3, KEY3,
                        NO_HEADS); /* not even the founder: it is no heir */
    in_every_order(&w, check_impostors);
    roster *r = world_roster(&w);
    cr_assert_eq(world_tell(&w, r, elsewhere), ERR_FORBIDDEN);
    roster_free(&r);
}

static void check_numbers(const world *w, const roster *r)
{
    (void)w;
    member_key founder = world_key(NEW_FOUNDER), key4 = world_key(KEY4);
    cr_assert_eq(roster_free_number(r, 1, &founder), 6, "outside of the range, 5 is in use");
    cr_assert_eq(roster_free_number(r, 4, &key4), 3);
    cr_assert_eq(roster_free_range(r, 10), 6, "what was granted after the cut is none");
    founder = founder_key();
    cr_assert_eq(roster_free_number(r, 1, &founder), 0, "replaced");
}

Test(roster, free_numbers_and_ranges)
{
    static world w;
    world_begin(&w);
    int a = world_coordinator(&w, 0, 4, KEY4, 2, 4);
    a = world_member(&w, 1, FOUNDER, a, 5, KEY5, ROSTER_ROLE_FIELD);
    (void)world_member(&w, 4, KEY4, -1, 2, KEY2, ROSTER_ROLE_FIELD);
    (void)world_coordinator(&w, a, 5, KEY5, 7, 900);
    (void)world_replace(&w, HEIR, -1, NEW_FOUNDER, NEW_HEIR, HEADS(a));
    in_every_order(&w, check_numbers);
}

/* ---- what is shown, erasures, bad events ---- */

static void check_newest_is_shown(const world *w, const roster *r)
{
    (void)w;
    cr_assert_str_eq(member(r, 2, KEY2)->name, "name 1",
                     "the newest stamp, not the newest arrival");
    cr_assert_eq(member(r, 2, KEY2)->role, ROSTER_ROLE_FIELD, "the strongest role");
}

Test(roster, the_newest_name_is_shown)
{
    static world w;
    world_begin(&w);
    int a = world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_READER);
    int b = world_member(&w, 1, FOUNDER, a, 2, KEY2, ROSTER_ROLE_FIELD);
    w.e[a].wall = w.e[b].wall + 1;
    int forged = world_member(&w, 3, KEY3, -1, 2, KEY2, ROSTER_ROLE_FIELD);
    w.e[forged].wall = 99999;
    in_every_order(&w, check_newest_is_shown);
}

Test(roster, erasure_is_for_authors_and_founders)
{
    static world w;
    world_begin(&w);
    (void)world_member(&w, 1, FOUNDER, 0, 2, KEY2, ROSTER_ROLE_FIELD);
    roster *r = world_roster(&w);
    for (int i = 0; i < w.n; i++)
        cr_assert_eq(world_tell(&w, r, i), ERR_OK);
    member_key key2 = world_key(KEY2), key3 = world_key(KEY3), founder = founder_key();
    cr_assert(roster_may_erase(r, 2, &key2, 0x00020002, &key2));
    cr_assert(roster_may_erase(r, 0x00010001, &founder, 2, &key2));
    cr_assert_not(roster_may_erase(r, 2, &key2, 1, &founder));
    cr_assert_not(roster_may_erase(r, 2, &key2, 2, &key3));
    cr_assert_not(roster_may_erase(r, 2, &key2, 3, &key2));
    cr_assert_not(roster_may_erase(r, 2, &founder, 3, &key2));
    roster_free(&r);
}

Test(roster, what_can_never_mean_anything_is_left_out)
{
    static world w;
    world_begin(&w);
    int removal = world_removal(&w, FOUNDER, 0, 2, NO_HEADS);
    int reserved =
        world_member(&w, feed_make(0, CLASS_RESERVED, 1), FOUNDER, -1, 2, KEY2, ROSTER_ROLE_FIELD);
    int genesis = world_add(&w, 1, KEY2, -1, ROSTER_EV_GENESIS);
    roster *r = world_roster(&w);
    roster_input bad = {.feed = 1, .seq = 5, .kind = bytes_str("member.add")};
    cr_assert_eq(roster_fold(r, &bad), ERR_MALFORMED);
    bad.kind = bytes_str("member.promote");
    cr_assert_eq(roster_fold(r, &bad), ERR_MALFORMED);
    w.e[removal].feed = 3;
    cr_assert_eq(world_tell(&w, r, removal), ERR_FORBIDDEN);
    cr_assert_eq(world_tell(&w, r, reserved), ERR_FORBIDDEN);
    cr_assert_eq(world_tell(&w, r, genesis), ERR_FORBIDDEN);
    w.e[0].key = KEY2; /* its chain is not by the key it names */
    cr_assert_eq(world_tell(&w, r, 0), ERR_MALFORMED);
    w.e[0].key = FOUNDER;
    cr_assert_eq(world_tell(&w, r, 0), ERR_OK);
    cr_assert_eq(world_tell(&w, r, 0), ERR_DUPLICATE);
    cr_assert_eq(roster_members(r), 1);
    roster_free(&r);
}
