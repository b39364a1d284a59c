/* The heir's key at several nodes: a member takes over from a founder who is lost, and all nodes agree in any order. */
#include "tests/unit/merge_node.h"

#include "proto/row.h"
#include "pure/chain.h"

#include <criterion/criterion.h>

#define ALL     ((heir_limit_row){.feed = 0})
#define UP_TO_2 ((heir_limit_row){.feed = 1, .seq = 2})

enum { SUCCESSOR = 500, NEXT_HEIR = 600, OTHER_SUCCESSOR = 501, OTHER_HEIR = 601 };

typedef struct {
    merge_node founder, a, b;
} camp;

/* Founder 1, members 2 and 3 at nodes of their own; all know each other. */
static void camp_init(camp *c)
{
    merge_node_init(&c->founder, 1, NULL);
    merge_node_init(&c->a, 2, &c->founder);
    merge_node_init(&c->b, 3, &c->founder);
    merge_node_add(&c->founder, 2, ROSTER_ROLE_FIELD);
    merge_node_add(&c->founder, 3, ROSTER_ROLE_FIELD);
    (void)merge_node_emit(&c->founder, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_pull(&c->a, &c->founder);
    merge_node_pull(&c->b, &c->founder);
}

static void camp_release(camp *c)
{
    merge_node_release(&c->founder);
    merge_node_release(&c->a);
    merge_node_release(&c->b);
}

static void meet(merge_node *x, merge_node *y)
{
    for (int round = 0; round < 4; round++) {
        merge_node_pull(x, y);
        merge_node_pull(y, x);
    }
}

static void agree(merge_node *x, merge_node *y)
{
    event_id dx = merge_node_digest(x), dy = merge_node_digest(y);
    cr_assert(event_id_eq(&dx, &dy), "%llu and %llu events",
              (unsigned long long)merge_node_events(x), (unsigned long long)merge_node_events(y));
}

static const roster_member *member(merge_node *n, member_no number)
{
    return roster_member_of(merge_core_roster(n->core), number);
}

Test(merge_heir, a_member_takes_over)
{
    camp c;
    merge_node d;
    camp_init(&c);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    cr_assert(merge_core_is_founder(c.a.core));
    merge_node_add(&c.a, 4, ROSTER_ROLE_FIELD);
    merge_node_remove(&c.a, 3);
    cr_assert_eq(member(&c.a, 3)->removed, true);
    cr_assert_eq(member(&c.a, 1)->removed, false, "the first of number 1 is the founder of now");
    /* What the old founder wrote stays; what it writes from now on does not count. */
    (void)merge_node_emit(&c.founder, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_add(&c.founder, 5, ROSTER_ROLE_FIELD);
    meet(&c.a, &c.founder);
    agree(&c.a, &c.founder);
    cr_assert_null(member(&c.a, 5) == NULL ? NULL : member(&c.a, 5)->orphaned ? NULL : "counts");
    cr_assert_eq(merge_node_try_emit(&c.founder, "form", "r", "note.add"), ERR_FORBIDDEN);
    merge_node_init(&d, 4, &c.founder);
    meet(&d, &c.a);
    agree(&d, &c.a);
    (void)merge_node_emit(&d, CLASS_ROUTINE, "s", "note.add", NULL, 0);
    meet(&d, &c.founder);
    meet(&d, &c.a);
    agree(&d, &c.a);
    agree(&d, &c.founder);
    merge_node_release(&d);
    camp_release(&c);
}

/* As the founder of genesis could: at once, on the founder's own chain, several in one batch. */
Test(merge_heir, the_successor_erases_what_others_wrote)
{
    camp c;
    camp_init(&c);
    ref_row by, first = merge_node_emit(&c.b, CLASS_ROUTINE, "r", "note.add", NULL, 0),
                second = merge_node_emit(&c.b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    meet(&c.a, &c.b);
    event_id id1 = merge_node_id(&c.a, &first), id2 = merge_node_id(&c.a, &second);
    cr_assert_eq(merge_node_erase(&c.a, "r", first.feed, first.seq, &id1, NULL), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    cr_assert_eq(merge_node_erase(&c.a, "r", first.feed, first.seq, &id1, &by), ERR_OK);
    cr_assert_eq(feed_member(by.feed), 1, "written by the founder");
    cr_assert_eq(merge_node_erase(&c.a, "r", second.feed, second.seq, &id2, NULL), ERR_OK);
    (void)merge_node_emit(&c.a, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_restart(&c.a);
    meet(&c.a, &c.b);
    agree(&c.a, &c.b);
    cr_assert(merge_node_hidden(&c.b, &first) == (ROW_HIDDEN | ROW_ERASED) &&
              merge_node_hidden(&c.b, &second) == (ROW_HIDDEN | ROW_ERASED));
    cr_assert_eq(merge_node_erase(&c.a, "r", second.feed, second.seq, &id2, NULL), ERR_OK);
    camp_release(&c);
}

/* Adding and removing go by the founder's key alone, and so does erasing; what the member's key may not is as before. */
Test(merge_heir, a_successor_who_was_a_reader_erases)
{
    camp c;
    merge_node reader;
    camp_init(&c);
    merge_node_add(&c.founder, 4, ROSTER_ROLE_READER);
    merge_node_init(&reader, 4, &c.founder);
    meet(&reader, &c.founder);
    ref_row by, one = merge_node_emit(&c.b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    meet(&reader, &c.b);
    event_id id = merge_node_id(&reader, &one);
    cr_assert_eq(merge_node_erase(&reader, "r", one.feed, one.seq, &id, NULL), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_replace(&reader, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    cr_assert_eq(merge_node_erase(&reader, "r", one.feed, one.seq, &id, &by), ERR_OK);
    cr_assert_eq(feed_member(by.feed), 1, "written by the founder");
    cr_assert_eq(merge_node_try_emit(&reader, "form", "r", "note.add"), ERR_FORBIDDEN);
    meet(&reader, &c.b);
    agree(&reader, &c.b);
    cr_assert_eq(merge_node_hidden(&c.b, &one), ROW_HIDDEN | ROW_ERASED);
    merge_node_release(&reader);
    camp_release(&c);
}

Test(merge_heir, late_writes_count_nowhere_whoever_heard_what_first)
{
    camp c;
    camp_init(&c);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    uint64_t before = merge_node_events(&c.a);
    for (int i = 0; i < 3; i++)
        (void)merge_node_emit(&c.founder, CLASS_EXPRESS, "r", "note.add", NULL, 0);
    merge_node_add(&c.founder, 7, ROSTER_ROLE_FIELD);
    meet(&c.b, &c.founder); /* the thief first, then the news */
    cr_assert_gt(merge_node_events(&c.b), before);
    meet(&c.b, &c.a);
    agree(&c.a, &c.b);
    cr_assert_eq(merge_node_events(&c.b), before);
    merge_node_restart(&c.a);
    merge_node_restart(&c.b);
    agree(&c.a, &c.b);
    cr_assert(merge_core_is_founder(c.a.core));
    merge_node_add(&c.a, 8, ROSTER_ROLE_FIELD); /* goes on in its chain after a restart */
    merge_node_add(&c.a, 9, ROSTER_ROLE_FIELD);
    meet(&c.b, &c.a);
    agree(&c.a, &c.b);
    cr_assert_eq(merge_core_forks(c.a.core, &(fork_row){0}, 1), 0, "several keys are no fork");
    camp_release(&c);
}

Test(merge_heir, less_may_be_kept_and_who_loses_his_adder_comes_back)
{
    camp c;
    heir_head_row rows[16];
    heir_reply reply;
    camp_init(&c);
    merge_node_heads(&c.a, MERGE_NODE_HEIR, UP_TO_2, rows, &reply);
    cr_assert_eq(reply.standing, ROSTER_HEIR_STANDS);
    cr_assert_eq(reply.heads.n, 1);
    cr_assert_eq(rows[0].seq, 2);
    cr_assert_eq(rows[0].beyond, 2);
    cr_assert_gt(rows[0].wall_ms, 0);
    /* Up to seq 2, the founder had added member 2 only. */
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, UP_TO_2), ERR_OK);
    cr_assert(member(&c.a, 3)->orphaned);
    cr_assert_not(member(&c.a, 2)->orphaned);
    merge_status_reply status;
    merge_core_status(c.a.core, (wall_ms){c.a.now_ms}, &status);
    cr_assert_eq(status.orphans, 1);
    cr_assert(status.founder);
    cr_assert_eq(merge_node_readd(&c.b, 3), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_readd(&c.a, 9), ERR_NOT_FOUND);
    cr_assert_eq(merge_node_readd(&c.a, 2), ERR_EXISTS);
    cr_assert_eq(merge_node_readd(&c.a, 3), ERR_OK);
    cr_assert_not(member(&c.a, 3)->orphaned);
    (void)merge_node_emit(&c.b, CLASS_ROUTINE, "s", "note.add", NULL, 0);
    meet(&c.a, &c.b);
    agree(&c.a, &c.b);
    cr_assert_eq(merge_core_is_founder(c.b.core), false);
    camp_release(&c);
}

Test(merge_heir, keys_that_are_not_or_no_longer_the_heirs_are_refused)
{
    camp c;
    heir_head_row rows[16];
    heir_reply reply;
    camp_init(&c);
    cr_assert_eq(merge_node_replace(&c.a, 998, SUCCESSOR, NEXT_HEIR, ALL), ERR_INVALID);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, MERGE_NODE_HEIR, ALL),
                 ERR_INVALID, "the next heir is this one");
    cr_assert_eq(merge_node_replace(&c.founder, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL),
                 ERR_FORBIDDEN);
    cr_assert_not(merge_core_is_founder(c.a.core));
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, 502, NEXT_HEIR, ALL), ERR_EXISTS,
                 "the answer was lost, the request comes again");
    meet(&c.a, &c.b);
    cr_assert_eq(merge_node_replace(&c.b, MERGE_NODE_HEIR, 503, 603, ALL), ERR_USED);
    merge_node_heads(&c.b, MERGE_NODE_HEIR, ALL, rows, &reply);
    cr_assert_eq(reply.standing, ROSTER_HEIR_USED);
    merge_node_heads(&c.b, NEXT_HEIR, ALL, rows, &reply);
    cr_assert_eq(reply.standing, ROSTER_HEIR_STANDS);
    camp_release(&c);
}

/* rules.md 13: heads intersect, keys unite. */
Test(merge_heir, two_people_with_the_paper)
{
    camp c;
    camp_init(&c);
    (void)merge_node_emit(&c.founder, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_pull(&c.b, &c.founder); /* b holds one event more */
    cr_assert_eq(merge_node_replace(&c.a, MERGE_NODE_HEIR, SUCCESSOR, NEXT_HEIR, ALL), ERR_OK);
    cr_assert_eq(merge_node_replace(&c.b, MERGE_NODE_HEIR, OTHER_SUCCESSOR, OTHER_HEIR, ALL),
                 ERR_OK);
    merge_node_add(&c.a, 4, ROSTER_ROLE_FIELD);
    merge_node_add(&c.b, 5, ROSTER_ROLE_FIELD);
    meet(&c.a, &c.b);
    agree(&c.a, &c.b);
    cr_assert(merge_core_is_founder(c.a.core) && merge_core_is_founder(c.b.core));
    cr_assert_not(member(&c.a, 4)->orphaned);
    cr_assert_not(member(&c.a, 5)->orphaned);
    meet(&c.founder, &c.a);
    agree(&c.founder, &c.a);
    /* One heir signed two events at one seq: the one thing here that is a fork. */
    cr_assert_eq(merge_core_forks(c.a.core, &(fork_row){0}, 1), 1);
    /* The second heir replaces his founder alone; the other one stays. */
    cr_assert_eq(merge_node_replace(&c.b, NEXT_HEIR, 502, 602, ALL), ERR_OK);
    meet(&c.a, &c.b);
    meet(&c.founder, &c.b);
    agree(&c.a, &c.b);
    agree(&c.founder, &c.b);
    cr_assert_not(merge_core_is_founder(c.a.core));
    cr_assert(merge_core_is_founder(c.b.core));
    camp_release(&c);
}

Test(merge_heir, generations_follow_each_other)
{
    camp c;
    camp_init(&c);
    for (member_no k = 0; k < 10; k++) {
        merge_node *n = k % 2 ? &c.b : &c.a;
        cr_assert_eq(merge_node_replace(n, k == 0 ? MERGE_NODE_HEIR : (member_no)(700 + k),
                                        (member_no)(800 + k), (member_no)(701 + k), ALL),
                     ERR_OK, "generation %u", k);
        merge_node_add(n, (member_no)(10 + k), ROSTER_ROLE_FIELD);
        meet(&c.a, &c.b);
        agree(&c.a, &c.b);
    }
    merge_node_restart(&c.a);
    agree(&c.a, &c.b);
    meet(&c.founder, &c.a);
    agree(&c.founder, &c.a);
    camp_release(&c);
}
