/* merge's rules, each as a short story of two or three nodes. The simulator tells the long ones. */
#include "tests/unit/merge_node.h"

#include "proto/event.h"
#include "pure/chain.h"
#include "pure/run.h"

#include <criterion/criterion.h>

static bool same_digest(merge_node *a, merge_node *b)
{
    event_id x = merge_node_digest(a), y = merge_node_digest(b);
    return event_id_eq(&x, &y);
}

static event_id tip_of(merge_node *n, feed_id feed, uint64_t *seq)
{
    frontier_reply f;
    event_id id = {{0}};
    *seq = 0;
    merge_core_frontier(n->core, &f);
    for (size_t i = 0; i < f.entries.n; i++) {
        const frontier_row *r = &((const frontier_row *)f.entries.items)[i];
        if (r->feed == feed) {
            id = r->id;
            *seq = r->seq;
        }
    }
    return id;
}

/* A founder and two members that know each other. */
static void camp(merge_node *base, merge_node *two, merge_node *three)
{
    merge_node_init(base, 1, NULL);
    merge_node_add(base, 2, ROSTER_ROLE_FIELD);
    merge_node_add(base, 3, ROSTER_ROLE_FIELD);
    merge_node_init(two, 2, base);
    merge_node_init(three, 3, base);
    merge_node_pull(two, base);
    merge_node_pull(three, base);
}

static void break_camp(merge_node *a, merge_node *b, merge_node *c)
{
    merge_node_release(a);
    merge_node_release(b);
    merge_node_release(c);
}

Test(merge_core, events_spread_and_digests_agree)
{
    merge_node a, b, c;
    camp(&a, &b, &c);
    for (int i = 0; i < 20; i++) {
        merge_node_emit(&a, CLASS_ROUTINE, "r1", "note.add", NULL, 0);
        merge_node_emit(&b, CLASS_BULK, "r2", "record.create", NULL, 0);
        merge_node_emit(&c, CLASS_EXPRESS, "r3", "note.add", NULL, 0);
    }
    cr_assert(!same_digest(&a, &b));
    merge_node_pull(&b, &a);
    merge_node_pull(&c, &b); /* b relays a */
    merge_node_pull(&a, &c);
    merge_node_pull(&b, &c);
    cr_assert(same_digest(&a, &b) && same_digest(&b, &c));
    cr_assert_eq(merge_node_events(&a), 63);
    break_camp(&a, &b, &c);
}

Test(merge_core, the_same_run_again_is_a_duplicate)
{
    merge_node a, b, c;
    ingest_reply out;
    uint64_t seq;
    buf coded;
    camp(&a, &b, &c);
    merge_node_emit(&a, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    event_id tip = tip_of(&a, 1, &seq);
    buf_init(&coded, RUN_MAX_BYTES);
    merge_node_run(&a, 1, 0, &tip, seq, &coded);
    merge_node_ingest(&b, buf_view(&coded), &out);
    cr_assert(out.accepted == 1 && out.duplicates == 3 && out.refused == 0);
    merge_node_ingest(&b, buf_view(&coded), &out);
    cr_assert(out.accepted == 0 && out.duplicates == 4 && out.code == ERR_OK);
    buf_release(&coded);
    break_camp(&a, &b, &c);
}

Test(merge_core, a_run_waits_for_what_it_follows)
{
    merge_node a, b, c;
    ingest_reply out;
    uint64_t seq;
    buf late, early;
    camp(&a, &b, &c);
    for (int i = 0; i < 4; i++)
        merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    event_id tip = tip_of(&b, 2, &seq);
    buf_init(&late, RUN_MAX_BYTES);
    buf_init(&early, RUN_MAX_BYTES);
    merge_node_run(&b, 2, 2, &tip, seq, &late);
    merge_node_run(&b, 2, 0, &tip, seq, &early);
    merge_node_ingest(&a, buf_view(&late), &out);
    cr_assert(out.code == ERR_GAP && out.accepted == 0 && out.missing_from == 1);
    cr_assert_eq(merge_node_events(&a), 3);
    merge_node_ingest(&a, buf_view(&early), &out);
    cr_assert_eq(merge_node_events(&a), 7);
    buf_release(&late);
    buf_release(&early);
    break_camp(&a, &b, &c);
}

Test(merge_core, strangers_and_changed_bytes_are_refused_and_counted)
{
    merge_node a, b, c, stranger;
    ingest_reply out;
    refusal_row refusals[8];
    uint64_t seq, total;
    buf coded;
    camp(&a, &b, &c);
    merge_node_init(&stranger, 9, &a); /* knows genesis, belongs to nothing */
    cr_assert_eq(merge_node_try_emit(&stranger, "form", "r", "note.add"), ERR_NOT_READY);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    event_id tip = tip_of(&b, 2, &seq);
    buf_init(&coded, RUN_MAX_BYTES);
    merge_node_run(&b, 2, 0, &tip, seq, &coded);
    for (size_t i = 0; i < coded.len; i++) { /* every single byte matters */
        coded.p[i] ^= 1;
        merge_node_ingest(&a, buf_view(&coded), &out);
        cr_assert_eq(out.accepted, 0, "byte %zu", i);
        coded.p[i] ^= 1;
    }
    cr_assert_eq(merge_node_events(&a), 3);
    cr_assert(merge_core_refusals(a.core, refusals, 8, &total) == 8 && total > 8);
    merge_node_ingest(&a, buf_view(&coded), &out);
    cr_assert_eq(out.accepted, 1);
    buf_release(&coded);
    merge_node_release(&stranger);
    break_camp(&a, &b, &c);
}

Test(merge_core, a_restart_forgets_nothing)
{
    merge_node a, b, c;
    camp(&a, &b, &c);
    for (int i = 0; i < 5; i++)
        merge_node_emit(&a, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    event_id before = merge_node_digest(&a);
    merge_node_restart(&a);
    event_id after = merge_node_digest(&a);
    cr_assert(event_id_eq(&before, &after));
    ref_row r = merge_node_emit(&a, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    cr_assert_eq(r.seq, 9, "goes on where it was: genesis, two members, five notes");
    cr_assert_eq(roster_members(merge_core_roster(a.core)), 3);
    break_camp(&a, &b, &c);
}

Test(merge_core, references_to_the_own_feed_are_distances)
{
    merge_node a, b, c;
    event_view v;
    event_reference ref;
    rows_reply rows;
    stored_row row;
    camp(&a, &b, &c);
    ref_row first = merge_node_emit(&a, CLASS_ROUTINE, "r", "field.set", NULL, 0);
    merge_node_emit(&a, CLASS_ROUTINE, "other", "note.add", NULL, 0);
    ref_row second = merge_node_emit(&a, CLASS_ROUTINE, "r", "field.set", &first, 1);
    read_feed_request req = {.feed = 1, .from_seq = second.seq, .to_seq = second.seq, .max = 1};
    cr_assert_eq(store_read_feed(a.store, &req, &rows), ERR_OK);
    cr_assert(msg_list_next(&stored_row_desc, &rows.rows, &row) &&
              event_parse(row.body, &v) == ERR_OK);
    event_ref_iter it = event_refs(&v);
    cr_assert(event_next_ref(&it, &ref) && ref.distance == 2);
    ref_row urgent = merge_node_emit(&a, CLASS_EXPRESS, "r", "field.set", &second, 1);
    req = (read_feed_request){.feed = urgent.feed, .from_seq = 1, .to_seq = 1, .max = 1};
    cr_assert_eq(store_read_feed(a.store, &req, &rows), ERR_OK);
    cr_assert(msg_list_next(&stored_row_desc, &rows.rows, &row) &&
              event_parse(row.body, &v) == ERR_OK);
    it = event_refs(&v);
    cr_assert(event_next_ref(&it, &ref) && ref.distance == 0 && ref.full.feed == 1 &&
              ref.full.prefix == second.prefix);
    break_camp(&a, &b, &c);
}

Test(merge_core, a_run_with_a_seal_at_every_event_keeps_them_all)
{
    merge_node a, b, c;
    rows_reply rows;
    stored_row row;
    unsigned sealed = 0;
    camp(&a, &b, &c);
    for (int i = 0; i < 300; i++)
        merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_pull(&a, &b);
    read_feed_request req = {.feed = 2, .from_seq = 1, .to_seq = 300, .max = 300};
    cr_assert_eq(store_read_feed(a.store, &req, &rows), ERR_OK);
    while (msg_list_next(&stored_row_desc, &rows.rows, &row))
        sealed += row.seal.len == SEAL_BYTES;
    cr_assert_eq(sealed, 300);
    merge_node_restart(&a);
    cr_assert_eq(merge_node_events(&a), 303,
                 "the frontier after a restart is what the store has under seals");
    break_camp(&a, &b, &c);
}

Test(merge_core, the_roster_is_not_written_by_hand)
{
    merge_node a, b, c;
    camp(&a, &b, &c);
    cr_assert_eq(merge_node_try_emit(&a, "cairn", "members", "member.add"), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_try_emit(&a, "cairn", "form/flood", "form.columns"), ERR_OK);
    cr_assert(merge_node_try_emit(&a, "a/b", "r", "note.add") != ERR_OK);
    cr_assert_eq(merge_node_try_emit(&a, "form", "r", "note.add"), ERR_OK,
                 "a refusal leaves the chain whole");
    break_camp(&a, &b, &c);
}

Test(merge_core, a_noticed_restore_begins_a_new_incarnation)
{
    merge_node a, b, c, restored;
    camp(&a, &b, &c);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_clone(&restored, &b, true);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL,
                    0); /* what the backup does not have */
    ref_row w = merge_node_emit(&restored, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    cr_assert(feed_incarnation(w.feed) != 0 && w.seq == 1);
    merge_node_pull(&a, &b);
    merge_node_pull(&a, &restored);
    merge_node_pull(&restored, &a);
    fork_row forks[4];
    cr_assert_eq(merge_core_forks(a.core, forks, 4), 0);
    cr_assert(same_digest(&a, &restored));
    cr_assert_eq(merge_node_events(&a), 6);
    merge_node_release(&restored);
    break_camp(&a, &b, &c);
}

Test(merge_core, an_unnoticed_clone_makes_a_tree_that_all_nodes_share)
{
    merge_node a, b, c, twin;
    fork_row forks[4];
    camp(&a, &b, &c);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_clone(&twin, &b, false);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_emit(&twin, CLASS_ROUTINE, "s", "note.add", NULL, 0);
    merge_node_emit(&twin, CLASS_ROUTINE, "s", "note.add", NULL, 0);
    merge_node_pull(&a, &b);
    merge_node_pull(&a, &twin);
    cr_assert_eq(merge_core_forks(a.core, forks, 4), 1);
    cr_assert(forks[0].feed == 2 && forks[0].seq == 2 && forks[0].tips == 2);
    merge_node_pull(&c, &twin); /* the other order of arrival */
    merge_node_pull(&c, &b);
    merge_node_pull(&b, &a);
    merge_node_pull(&twin, &a);
    cr_assert(same_digest(&a, &c) && same_digest(&a, &b) && same_digest(&a, &twin));
    cr_assert_eq(merge_node_events(&a), 3 + 4);
    ref_row on = merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    cr_assert(feed_incarnation(on.feed) != 0, "the author goes on in a new incarnation");
    merge_node_release(&twin);
    break_camp(&a, &b, &c);
}

Test(merge_core, a_removal_cuts_alike_whoever_heard_what_first)
{
    merge_node a, b, c;
    camp(&a, &b, &c);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_pull(&a, &b);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0); /* nobody has heard it yet */
    merge_node_remove(&a, 2);
    merge_node_pull(&c, &b); /* c hears the late event first */
    merge_node_pull(&c, &a);
    merge_node_pull(&a, &b); /* a hears it after the removal */
    cr_assert(same_digest(&a, &c));
    cr_assert_eq(merge_node_events(&a), 3 + 1 + 1);
    merge_node_pull(&b, &a);
    cr_assert_eq(merge_node_try_emit(&b, "form", "r", "note.add"), ERR_FORBIDDEN);
    merge_node_restart(&c);
    cr_assert(same_digest(&a, &c), "the verdicts are in the store");
    break_camp(&a, &b, &c);
}

Test(merge_core, a_run_from_the_future_does_not_drag_the_clock)
{
    merge_node a, b, c;
    merge_status_reply s;
    camp(&a, &b, &c);
    b.now_ms = 4070908800000; /* 2099 */
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_node_pull(&a, &b);
    merge_node_emit(&a, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    merge_core_status(a.core, (wall_ms){a.now_ms}, &s);
    cr_assert(s.clock_wall_ms < 1800000000000);
    break_camp(&a, &b, &c);
}

static void take_stamp(merge_node *n, feed_id feed, hlc_stamp *newest)
{
    rows_reply r;
    stored_row row;
    event_view v;
    fetch_request req = {.max = 100};
    cr_assert_eq(store_fetch(n->store, &req, &r), ERR_OK);
    while (msg_list_next(&stored_row_desc, &r.rows, &row))
        if (row.feed == feed && event_parse(row.body, &v) == ERR_OK)
            *newest = v.stamp;
}

/* The store's clock never goes back: after 2099 it says nothing any more, and what was written since must bind. */
Test(merge_core, stamps_go_on_behind_a_past_that_was_wrong)
{
    merge_node a, b, c;
    hlc_stamp before, after;
    camp(&a, &b, &c);
    uint64_t right_ms = b.now_ms;
    feed_id feed = feed_make(0, CLASS_ROUTINE, 2);
    b.now_ms = 4070908800000; /* 2099 */
    merge_node_emit(&b, CLASS_BULK, "r", "note.add", NULL, 0);
    b.now_ms = right_ms + 60000;
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    take_stamp(&b, feed, &before);
    cr_assert(before.wall_ms < 1800000000000, "the wrong time is over");
    merge_node_restart(&b);
    b.now_ms = right_ms; /* stepped back a minute */
    merge_node_pull(&b, &a);
    merge_node_emit(&b, CLASS_ROUTINE, "r", "note.add", NULL, 0);
    take_stamp(&b, feed, &after);
    cr_assert(hlc_cmp(after, before) > 0, "%llu after %llu", (unsigned long long)after.wall_ms,
              (unsigned long long)before.wall_ms);
    break_camp(&a, &b, &c);
}
