/* What verify finds in a log: here also what a store with checksums never shows, a row whose bytes or seal are wrong. */
#include "cli/verify_chain.h"
#include "proto/event.h"
#include "proto/mp.h"
#include "proto/row.h"
#include "pure/chain.h"
#include "pure/roster_event.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define ROWS   64
#define PEOPLE 3

typedef struct {
    crypto_signer people[PEOPLE];
    dataset_id dataset;
    stored_row rows[ROWS + 1]; /* by offset */
    uint8_t bodies[ROWS + 1][512], seals[ROWS + 1][SEAL_BYTES];
    uint64_t head;
    unsigned fetched;
} logbook;

typedef struct {
    verify_counts counts;
    seal_tally seals;
} result;

static void seal_row(logbook *l, uint64_t offset, unsigned by)
{
    stored_row *r = &l->rows[offset];
    seal_sig sig;
    cr_assert_eq(chain_sign(&sig, &l->people[by], &l->dataset, r->feed, r->seq, &r->id), ERR_OK);
    memcpy(l->seals[offset], sig.b, SEAL_BYTES);
    r->seal = bytes_of(l->seals[offset], SEAL_BYTES);
}

/* Appends an event behind the row at `parent` (0: the first of its chain). Returns its offset. */
static uint64_t add(logbook *l, unsigned by, feed_id feed, uint64_t parent, const char *kind,
                    bytes payload, bool sealed)
{
    uint64_t at = ++l->head;
    stored_row *r = &l->rows[at];
    bool roster = bytes_is(bytes_str(kind), ROSTER_KIND_GENESIS) ||
                  bytes_is(bytes_str(kind), ROSTER_KIND_ADD);
    event_fields in = {.stamp = {1800000000000ull + at, 0},
                       .category = bytes_str(roster ? ROSTER_CATEGORY : "depth"),
                       .stream = bytes_str(roster ? ROSTER_STREAM : "r1"),
                       .kind = bytes_str(kind),
                       .payload = payload};
    event_view v;
    event_id id;
    buf body;
    buf_init(&body, sizeof l->bodies[0]);
    cr_assert_eq(event_build(&in, &body), ERR_OK);
    memcpy(l->bodies[at], body.p, body.len);
    *r = (stored_row){.offset = at,
                      .feed = feed,
                      .seq = parent > 0 ? l->rows[parent].seq + 1 : 1,
                      .parent = parent,
                      .flags = ROW_COUNTS,
                      .body = bytes_of(l->bodies[at], body.len)};
    buf_release(&body);
    cr_assert_eq(event_parse(r->body, &v), ERR_OK);
    if (parent > 0)
        id = l->rows[parent].id;
    else if (bytes_is(v.kind, ROSTER_KIND_GENESIS))
        chain_start_genesis(&id, &l->people[by].public);
    else
        chain_start(&id, &l->dataset, feed, &l->people[by].public);
    chain_next_event(&r->id, &id, r->seq, &v);
    if (at == 1)
        memcpy(l->dataset.b, r->id.b, EVENT_ID_BYTES);
    if (sealed)
        seal_row(l, at, by);
    return at;
}

static uint64_t add_member(logbook *l, uint64_t parent, member_no number, unsigned who)
{
    roster_event ev = {.kind = ROSTER_EV_ADD,
                       .number = number,
                       .role = ROSTER_ROLE_FIELD,
                       .key = l->people[who].public,
                       .name = bytes_str("anna")};
    buf payload;
    buf_init(&payload, 512);
    cr_assert_eq(roster_event_write(&ev, &payload), ERR_OK);
    uint64_t at = add(l, 0, 1, parent, ROSTER_KIND_ADD, buf_view(&payload), true);
    buf_release(&payload);
    return at;
}

static uint64_t say(logbook *l, unsigned by, feed_id feed, uint64_t parent, bool sealed)
{
    return add(l, by, feed, parent, "note.add", bytes_of("\x81\xa4text\xa2hi", 9), sealed);
}

/* Genesis at 1, person 1 becomes member 2 at 2. */
static logbook *found(void)
{
    logbook *l = calloc(1, sizeof *l);
    buf payload;
    cr_assert_not_null(l);
    cr_assert_eq(crypto_start(), ERR_OK);
    for (unsigned i = 0; i < PEOPLE; i++)
        crypto_signer_from_seed(&l->people[i],
                                (const uint8_t[MEMBER_SEED_BYTES]){(uint8_t)(i + 1)});
    roster_event ev = {.kind = ROSTER_EV_GENESIS,
                       .key = l->people[0].public,
                       .heir = {{9}},
                       .name = bytes_str("base"),
                       .title = bytes_str("T"),
                       .has_transport = true};
    buf_init(&payload, 512);
    cr_assert_eq(roster_event_write(&ev, &payload), ERR_OK);
    add(l, 0, 1, 0, ROSTER_KIND_GENESIS, buf_view(&payload), true);
    buf_release(&payload);
    add_member(l, 1, 2, 1);
    return l;
}

static err_t fetch(void *ctx, uint64_t offset, stored_row *row)
{
    logbook *l = ctx;
    l->fetched++;
    if (offset == 0 || offset > l->head)
        return ERR_NOT_FOUND;
    *row = l->rows[offset];
    return ERR_OK;
}

static result verify_with(logbook *l, unsigned threads, const tip_row *tip)
{
    verify_seals *seals = verify_seals_new(&l->dataset, threads);
    verify_chain *c = verify_chain_new(&l->dataset, 7, seals, fetch, l);
    cr_assert(seals != NULL && c != NULL);
    for (uint64_t at = 1; at <= l->head; at++)
        cr_assert_eq(verify_chain_row(c, &l->rows[at]), ERR_OK);
    if (tip != NULL)
        verify_chain_tip(c, tip);
    result r = {verify_chain_counts(c), verify_seals_finish(seals)};
    verify_chain_free(c);
    verify_seals_free(seals);
    return r;
}

static result verify(logbook *l)
{
    return verify_with(l, 2, NULL);
}

Test(verify, finds_nothing_wrong_in_a_good_log)
{
    logbook *l = found();
    uint64_t a = say(l, 1, 2, 0, false), b = say(l, 0, 1, 2, true), c = say(l, 1, 2, a, true);
    (void)say(l, 1, 2, c, false);
    for (unsigned threads = 0; threads < 3; threads++) {
        result r = verify_with(l, threads, NULL);
        cr_assert_eq(r.counts.events, 6);
        cr_assert_eq(r.counts.bad, 0, "%s", r.counts.first.what);
        cr_assert_eq(r.counts.unsealed, 1);
        cr_assert_eq(r.seals.checked, 4);
        cr_assert_eq(r.seals.bad, 0);
    }
    tip_row held = {.feed = 1, .seq = 3, .id = l->rows[b].id, .offset = b};
    tip_row lost = {.feed = 1, .seq = 4, .id = {{1}}, .offset = 7};
    cr_assert_eq(verify_with(l, 1, &held).counts.bad, 0);
    cr_assert_eq(verify_with(l, 1, &lost).counts.bad, 1);
    cr_assert_eq(l->fetched, 0, "a log without forks is read once");
    free(l);
}

/* Every single bit of a body: the gate or the hash finds it. */
Test(verify, finds_each_flipped_bit)
{
    logbook *l = found();
    uint64_t a = say(l, 1, 2, 0, true), b = say(l, 1, 2, a, true);
    (void)say(l, 1, 2, b, true);
    for (size_t bit = 0; bit < 8 * l->rows[b].body.len; bit++) {
        l->bodies[b][bit / 8] ^= (uint8_t)(1u << bit % 8);
        result r = verify(l);
        cr_assert(r.counts.bad > 0, "bit %zu", bit);
        cr_assert_eq(r.counts.first.offset, b);
        cr_assert_eq(r.counts.first.seq, 2);
        l->bodies[b][bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(verify(l).counts.bad, 0);
    free(l);
}

Test(verify, finds_wrong_seals_and_names_the_first)
{
    logbook *l = found();
    uint64_t a = say(l, 1, 2, 0, true), b = say(l, 1, 2, a, true), c = say(l, 1, 2, b, true);
    l->seals[c][3] ^= 1;
    seal_row(l, b, 0); /* somebody else's */
    result r = verify(l);
    cr_assert_eq(r.counts.bad, 0);
    cr_assert_eq(r.seals.checked, 5);
    cr_assert_eq(r.seals.bad, 2);
    cr_assert_eq(r.seals.first_bad.offset, b);
    free(l);
}

Test(verify, knows_whose_a_feed_is_from_the_log_alone)
{
    logbook *l = found();
    uint64_t a = say(l, 2, 2, 0, true); /* not the key that was given number 2 */
    result r = verify(l);
    cr_assert_eq(r.counts.bad, 1);
    cr_assert_eq(r.counts.first.offset, a);
    l->head--;
    a = say(l, 2, 3, 0, true); /* a number nobody was given */
    r = verify(l);
    cr_assert_eq(r.counts.bad, 1);
    cr_assert_eq(r.counts.first.offset, a);
    l->dataset.b[0] ^= 1; /* genesis of another dataset */
    cr_assert(verify(l).counts.bad > 0);
    free(l);
}

Test(verify, follows_both_branches_of_a_fork)
{
    logbook *l = found();
    uint64_t a = say(l, 1, 2, 0, true), b = say(l, 1, 2, a, true), c = say(l, 1, 2, b, true);
    uint64_t d = say(l, 1, 2, a, true), e = say(l, 1, 2, d, true);
    result r = verify(l);
    cr_assert_eq(r.counts.bad, 0, "%s", r.counts.first.what);
    cr_assert_eq(r.seals.bad, 0);
    cr_assert_eq(l->fetched, 1, "only the event that the branch leaves from");
    (void)c;
    l->rows[e].parent = b; /* the wrong branch */
    r = verify(l);
    cr_assert_eq(r.counts.bad, 1);
    cr_assert_eq(r.counts.first.offset, e);
    free(l);
}

/* Two keys under one number are two chains, and a branch of either is by its own key. */
Test(verify, tells_two_keys_under_one_number_apart)
{
    logbook *l = found();
    add_member(l, 2, 2, 2);
    uint64_t a = say(l, 1, 2, 0, true), b = say(l, 2, 2, 0, true);
    uint64_t c = say(l, 1, 2, a, true), d = say(l, 2, 2, b, true);
    (void)say(l, 1, 2, c, true);
    (void)say(l, 2, 2, d, true);
    uint64_t e = say(l, 2, 2, d, true); /* a branch in the middle of the second chain */
    result r = verify(l);
    cr_assert_eq(r.counts.bad, 0, "%s", r.counts.first.what);
    cr_assert_eq(r.seals.bad, 0);
    seal_row(l, e, 1);
    r = verify(l);
    cr_assert_eq(r.seals.bad, 1);
    cr_assert_eq(r.seals.first_bad.offset, e);
    free(l);
}

/* A damaged row is one bad event; those behind it are checked by their seals. */
Test(verify, goes_on_behind_a_damaged_row)
{
    logbook *l = found();
    uint64_t a = say(l, 1, 2, 0, true), b = say(l, 1, 2, a, false), c = say(l, 1, 2, b, false);
    uint64_t d = say(l, 1, 2, c, true);
    uint64_t changed = ++l->head; /* not an event */
    l->rows[changed] =
        (stored_row){.offset = changed, .feed = 2, .seq = 1, .parent = a, .flags = ROW_CHANGED};
    for (uint64_t bad = a; bad <= c; bad++) {
        stored_row whole = l->rows[bad];
        l->rows[bad] =
            (stored_row){.offset = bad, .feed = 2, .seq = whole.seq, .flags = ROW_DAMAGED};
        result r = verify(l);
        cr_assert_eq(r.counts.events, 6);
        cr_assert_eq(r.counts.bad, 1, "%u: %s", (unsigned)bad, r.counts.first.what);
        cr_assert_eq(r.counts.first.offset, bad);
        cr_assert_eq(r.seals.bad, 0);
        l->rows[bad] = whole;
    }
    l->rows[b].flags = ROW_DAMAGED;
    l->rows[c].id.b[0] ^= 1; /* taken as it is, but the next one does not follow from it */
    result r = verify(l);
    cr_assert_eq(r.counts.bad, 2);
    (void)d;
    free(l);
}
