/* Erasures at merge: who may, what they hide, in whatever order things arrive, and how a missing tail comes back. */
#include "tests/unit/merge_node.h"

#include "proto/event.h"
#include "proto/row.h"
#include "pure/run.h"

#include <criterion/criterion.h>
#include <limits.h>

#define HIDDEN ((unsigned)ROW_HIDDEN)
#define GONE   ((unsigned)(ROW_HIDDEN | ROW_ERASED))

/* A founder and two members that know each other. */
typedef struct {
    merge_node a, b, c;
} camp;

static void camp_init(camp *k)
{
    merge_node_init(&k->a, 1, NULL);
    merge_node_add(&k->a, 2, ROSTER_ROLE_FIELD);
    merge_node_add(&k->a, 3, ROSTER_ROLE_FIELD);
    merge_node_init(&k->b, 2, &k->a);
    merge_node_init(&k->c, 3, &k->a);
    merge_node_pull(&k->b, &k->a);
    merge_node_pull(&k->c, &k->a);
}

static void camp_release(camp *k)
{
    merge_node_release(&k->a);
    merge_node_release(&k->b);
    merge_node_release(&k->c);
}

static ref_row write(merge_node *n, const char *stream)
{
    return merge_node_emit(n, CLASS_ROUTINE, stream, "note.add", NULL, 0);
}

static err_t erase(merge_node *n, const char *stream, const ref_row *r, const event_id *id)
{
    return merge_node_erase(n, stream, r->feed, r->seq, id, NULL);
}

static size_t wanted(merge_node *n)
{
    frontier_reply f;
    merge_core_frontier(n->core, &f);
    return f.wanted.n;
}

Test(merge_erase, an_author_hides_and_the_founder_hides_at_once)
{
    camp k;
    camp_init(&k);
    ref_row one = write(&k.b, "r"), two = write(&k.b, "r"), own = write(&k.a, "r");
    event_id id1 = merge_node_id(&k.b, &one), id2 = merge_node_id(&k.b, &two),
             id3 = merge_node_id(&k.a, &own);
    merge_node_pull(&k.a, &k.b);
    cr_assert_eq(erase(&k.b, "r", &one, &id1), ERR_OK);
    cr_assert_eq(merge_node_hidden(&k.b, &one), HIDDEN);
    cr_assert_eq(erase(&k.a, "r", &two, &id2), ERR_OK);
    cr_assert_eq(erase(&k.a, "r", &own, &id3), ERR_OK);
    cr_assert_eq(merge_node_hidden(&k.a, &two), GONE);
    cr_assert_eq(merge_node_hidden(&k.a, &own), GONE,
                 "the founder's own are erased at once as well");
    merge_node_pull(&k.b, &k.a);
    cr_assert_eq(merge_node_hidden(&k.b, &two), GONE);
    merge_node_pull(&k.a, &k.b);
    cr_assert_eq(merge_node_hidden(&k.a, &one), HIDDEN);
    cr_assert_eq(erase(&k.a, "r", &one, &id1), ERR_OK);
    cr_assert_eq(merge_node_hidden(&k.a, &one), GONE,
                 "the founder does not wait for the author's month");
    merge_node_pull(&k.c, &k.a);
    for (int i = 0; i < 2; i++) {
        cr_assert(merge_node_hidden(&k.c, &one) == GONE && merge_node_hidden(&k.c, &two) == GONE);
        cr_assert_eq(wanted(&k.c), 0);
        merge_node_restart(&k.c);
    }
    event_id x = merge_node_digest(&k.a), y = merge_node_digest(&k.c);
    cr_assert(event_id_eq(&x, &y));
    camp_release(&k);
}

Test(merge_erase, nobody_else_may_and_not_everything_can_be)
{
    camp k;
    ref_row by;
    camp_init(&k);
    ref_row one = write(&k.b, "r");
    event_id id = merge_node_id(&k.b, &one);
    merge_node_pull(&k.c, &k.b);
    merge_node_pull(&k.a, &k.b);
    cr_assert_eq(erase(&k.c, "r", &one, &id), ERR_FORBIDDEN);
    cr_assert_eq(erase(&k.b, "other", &one, &id), ERR_FORBIDDEN, "it lies in another stream");
    cr_assert_eq(merge_node_erase(&k.b, "r", one.feed, one.seq + 1, &id, NULL), ERR_NOT_FOUND);
    cr_assert_eq(merge_node_try_emit(&k.b, "form", "r", EVENT_KIND_ERASE), ERR_INVALID);
    cr_assert_eq(merge_node_try_emit(&k.b, "cairn", "form/x", EVENT_KIND_ERASE), ERR_FORBIDDEN);
    cr_assert_eq(merge_node_erase(&k.b, "r", one.feed, one.seq, &id, &by), ERR_OK);
    event_id erasure = merge_node_id(&k.b, &by);
    cr_assert_eq(erase(&k.b, "r", &by, &erasure), ERR_FORBIDDEN);
    merge_node_pull(&k.a, &k.b);
    cr_assert_eq(erase(&k.a, "r", &by, &erasure), ERR_FORBIDDEN, "not even by the founder");
    camp_release(&k);
}

/* The founder's feed comes first, so his erasures are here before what they name. */
Test(merge_erase, an_erasure_waits_for_what_it_names)
{
    for (int restart = 0; restart < 2; restart++) {
        camp k;
        buf coded;
        ingest_reply out;
        camp_init(&k);
        ref_row one = write(&k.b, "r");
        event_id id = merge_node_id(&k.b, &one), tip;
        merge_node_pull(&k.a, &k.b);
        buf_init(&coded, RUN_MAX_BYTES + SEAL_MAX_BYTES);
        merge_node_run(&k.b, one.feed, 0, &id, one.seq, &coded); /* of before the erasure */
        ref_row by;
        cr_assert_eq(merge_node_erase(&k.a, "r", one.feed, one.seq, &id, &by), ERR_OK);
        tip = merge_node_id(&k.a, &by);
        buf own;
        buf_init(&own, RUN_MAX_BYTES + SEAL_MAX_BYTES);
        merge_node_run(&k.a, by.feed, 0, &tip, by.seq, &own);
        merge_node_ingest(&k.c, buf_view(&own), &out);
        cr_assert_eq(merge_node_hidden(&k.c, &one), UINT_MAX);
        if (restart)
            merge_node_restart(&k.c);
        merge_node_ingest(&k.c, buf_view(&coded), &out);
        cr_assert_eq(merge_node_hidden(&k.c, &one), GONE);
        buf_release(&coded);
        buf_release(&own);
        camp_release(&k);
    }
}

/* A run without the tail of its event number `which`. */
static void strip(bytes coded, uint32_t which, buf *out)
{
    run r;
    run_item item;
    run_writer w;
    event_view v;
    uint32_t count, i = 0;
    uint8_t hash[CRYPTO_HASH_BYTES];
    buf erased;
    cr_assert_eq(run_decode(coded, &r), ERR_OK);
    buf_init(&erased, EVENT_MAX_BYTES);
    cr_assert_eq(run_begin(&w, out, r.feed, r.first_seq, &r.previous), ERR_OK);
    for (run_iter it = run_items(&r); run_next(&it, &item); i++) {
        cr_assert_eq(event_parse(item.data, &v), ERR_OK);
        crypto_digest(hash, v.tail);
        buf_clear(&erased);
        cr_assert_eq(event_write_erased(&v, hash, &erased), ERR_OK);
        cr_assert_eq(run_add(&w, i == which ? buf_view(&erased) : item.data, i == which, item.seal),
                     ERR_OK);
    }
    cr_assert_eq(run_end(&w, &count), ERR_OK);
    buf_release(&erased);
}

Test(merge_erase, a_tail_that_is_missing_without_right_is_wanted_and_heals)
{
    camp k;
    buf coded, bare;
    ingest_reply out;
    frontier_reply f;
    camp_init(&k);
    write(&k.b, "r");
    ref_row one = write(&k.b, "r"), last = write(&k.b, "s");
    event_id id = merge_node_id(&k.b, &one), tip = merge_node_id(&k.b, &last);
    buf_init(&coded, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    buf_init(&bare, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    merge_node_run(&k.b, one.feed, 0, &tip, last.seq, &coded);
    strip(buf_view(&coded), 1, &bare);
    merge_node_ingest(&k.c, buf_view(&bare), &out);
    cr_assert(out.accepted == 3 && out.refused == 0);
    cr_assert_eq(merge_node_hidden(&k.c, &one), ROW_ERASED);
    for (int i = 0; i < 2; i++) {
        merge_core_frontier(k.c.core, &f);
        cr_assert_eq(f.wanted.n, 1);
        const frontier_row *row = f.wanted.items;
        cr_assert(row->feed == one.feed && row->seq == one.seq && event_id_eq(&row->id, &id));
        merge_node_restart(&k.c);
    }
    merge_node_ingest(&k.c, buf_view(&bare), &out); /* once more brings nothing */
    cr_assert(out.accepted == 0 && wanted(&k.c) == 1);
    merge_node_ingest(&k.c, buf_view(&coded), &out);
    cr_assert(out.accepted == 1 && out.duplicates == 2);
    cr_assert(merge_node_hidden(&k.c, &one) == 0 && wanted(&k.c) == 0);
    merge_node_ingest(&k.c, buf_view(&bare), &out);
    cr_assert_eq(merge_node_hidden(&k.c, &one), 0, "what is here is not lost to a copy without it");
    buf_release(&coded);
    buf_release(&bare);
    camp_release(&k);
}

Test(merge_erase, the_roster_and_erasures_never_come_without_their_tails)
{
    camp k;
    buf coded, bare;
    ingest_reply out;
    merge_node joiner;
    camp_init(&k);
    ref_row own = write(&k.a, "r");
    event_id id = merge_node_id(&k.a, &own);
    buf_init(&coded, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    buf_init(&bare, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    merge_node_run(&k.a, own.feed, 0, &id, own.seq, &coded);
    strip(buf_view(&coded), 1, &bare); /* a member.add */
    merge_node_init(&joiner, 3, &k.a);
    merge_node_ingest(&joiner, buf_view(&bare), &out);
    cr_assert(out.accepted == 0 && out.refused == 3 && out.code == ERR_MALFORMED);
    buf_clear(&coded);
    buf_clear(&bare);
    ref_row by;
    cr_assert_eq(merge_node_erase(&k.a, "r", own.feed, own.seq, &id, &by), ERR_OK);
    event_id tip = merge_node_id(&k.a, &by);
    merge_node_run(&k.a, own.feed, own.seq, &tip, by.seq, &coded);
    strip(buf_view(&coded), 0, &bare);
    merge_node_pull(&joiner, &k.a);
    merge_node_ingest(&joiner, buf_view(&bare), &out);
    cr_assert_eq(out.code, ERR_MALFORMED);
    merge_node_release(&joiner);
    buf_release(&coded);
    buf_release(&bare);
    camp_release(&k);
}

static void pull_feed(merge_node *to, merge_node *from, feed_id feed)
{
    frontier_reply f;
    ingest_reply out;
    buf coded;
    buf_init(&coded, RUN_MAX_BYTES + SEAL_MAX_BYTES);
    merge_core_frontier(from->core, &f);
    for (size_t i = 0; i < f.entries.n; i++) {
        frontier_row row = ((const frontier_row *)f.entries.items)[i];
        if (row.feed != feed)
            continue;
        merge_node_run(from, feed, 0, &row.id, row.seq, &coded);
        merge_node_ingest(to, buf_view(&coded), &out);
        break;
    }
    buf_release(&coded);
}

/* A thief with the key of member 2 erases its past; the removal ends before that. */
Test(merge_erase, what_a_thief_erased_comes_back_with_the_removal)
{
    camp k;
    camp_init(&k);
    ref_row one = write(&k.b, "r"), two = write(&k.b, "r");
    event_id id1 = merge_node_id(&k.b, &one), id2 = merge_node_id(&k.b, &two);
    merge_node_pull(&k.a, &k.b);
    cr_assert_eq(erase(&k.b, "r", &one, &id1), ERR_OK);
    cr_assert_eq(erase(&k.b, "r", &two, &id2), ERR_OK);
    merge_node_pull(&k.c, &k.b); /* c has never had the tails */
    cr_assert(merge_node_hidden(&k.c, &one) == GONE && wanted(&k.c) == 0);
    cr_assert_eq(erase(&k.a, "r", &two, &id2), ERR_OK);
    merge_node_remove(&k.a, 2);
    pull_feed(&k.c, &k.a, ROSTER_FOUNDER_FEED);
    cr_assert_eq(merge_node_hidden(&k.c, &one), ROW_ERASED);
    cr_assert_eq(merge_node_hidden(&k.c, &two), GONE, "the founder's erasure of it holds");
    cr_assert_eq(wanted(&k.c), 1);
    merge_node_restart(&k.c);
    cr_assert(merge_node_hidden(&k.c, &one) == ROW_ERASED && wanted(&k.c) == 1);
    merge_node_pull(&k.b, &k.a);
    cr_assert_eq(merge_node_hidden(&k.b, &one), 0);
    merge_node_pull(&k.c, &k.a);
    cr_assert(merge_node_hidden(&k.c, &one) == 0 && wanted(&k.c) == 0);
    merge_node_pull(&k.a, &k.b); /* the erasures, late: they count nowhere */
    cr_assert_eq(merge_node_hidden(&k.a, &one), 0);
    camp_release(&k);
}
