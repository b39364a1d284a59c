/* The projection's people after changes of founder: by whose key the roster's events of number 1 are, rows do not say. */
#include "projection/people.h"
#include "tests/unit/merge_node.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MUST(expr) cr_assert_eq((expr), ERR_OK, "%s", #expr)
#define ALL        ((heir_limit_row){.feed = 0})

/* The view's table, as people_store fills it. */
static view_member table[32];
static char table_names[32][NAME_MAX_BYTES + 1];
static size_t table_rows;

err_t view_db_set_members(view_db *db, const view_member *rows, size_t n)
{
    (void)db;
    cr_assert_leq(n, 32);
    for (size_t i = 0; i < n; i++) {
        snprintf(table_names[i], sizeof table_names[i], "%s", rows[i].name);
        table[i] = rows[i];
        table[i].name = table_names[i];
    }
    table_rows = n;
    return ERR_OK;
}

static const view_member *row_of(member_no number)
{
    for (size_t i = 0; i < table_rows; i++)
        if (table[i].number == number)
            return &table[i];
    return NULL;
}

static void tell_roots(people *p, merge_node *n, feed_id feed)
{
    read_feed_request req = {.feed = feed, .from_seq = 1, .to_seq = 1, .max = PEOPLE_ROOTS_MAX};
    rows_reply reply;
    stored_row row;
    MUST(store_read_feed(n->store, &req, &reply));
    while (msg_list_next(&stored_row_desc, &reply.rows, &row))
        MUST(people_root(p, &row));
}

/* As follow_members.c reads them. */
static void read_people(people *p, merge_node *n)
{
    static uint8_t bodies[64][2048];
    people_event events[64];
    fetch_request req = {.max = 64, .category = bytes_str(ROSTER_CATEGORY)};
    rows_reply reply;
    stored_row row;
    size_t count = 0;
    MUST(store_fetch(n->store, &req, &reply));
    while (msg_list_next(&stored_row_desc, &reply.rows, &row)) {
        event_view v;
        if ((row.flags & (ROW_CHANGED | ROW_COUNTS)) != ROW_COUNTS)
            continue;
        cr_assert_leq(row.body.len, sizeof bodies[0]);
        memcpy(bodies[count], row.body.p, row.body.len);
        MUST(event_parse(bytes_of(bodies[count], row.body.len), &v));
        events[count++] = (people_event){row.feed, row.seq, row.id, v.stamp, v.kind, v.payload};
    }
    people_forget_roots(p);
    for (size_t i = 0; i < count; i++) {
        bool met = feed_member(events[i].feed) != ROSTER_FOUNDER_NUMBER;
        for (size_t k = 0; k < i; k++)
            met = met || events[k].feed == events[i].feed;
        if (!met)
            tell_roots(p, n, events[i].feed);
    }
    MUST(people_fold(p, events, count));
    MUST(people_store(p, NULL));
}

/* Same events, same verdicts as merge has. */
static void check_like_merge(merge_node *n)
{
    const roster *r = merge_core_roster(n->core);
    for (size_t i = 0; i < roster_members(r); i++) {
        const roster_member *m = roster_at(r, i);
        const view_member *shown = row_of(m->number);
        cr_assert_not_null(shown, "member %u is not shown", m->number);
        if (m->number != ROSTER_FOUNDER_NUMBER)
            cr_assert_eq(shown->removed, m->removed, "member %u", m->number);
    }
}

Test(people, founders_who_follow_each_other)
{
    merge_node founder, a, b;
    merge_node_init(&founder, 1, NULL);
    merge_node_init(&a, 2, &founder);
    merge_node_init(&b, 3, &founder);
    people *p = people_new(&founder.identity.dataset, 1);
    for (member_no k = 2; k < 8; k++)
        merge_node_add(&founder, k, ROSTER_ROLE_FIELD);
    merge_node_remove(&founder, 7);
    merge_node_pull(&a, &founder);
    read_people(p, &a);
    check_like_merge(&a);
    MUST(merge_node_replace(&a, MERGE_NODE_HEIR, 500, 600, ALL));
    merge_node_add(&a, 10, ROSTER_ROLE_FIELD);
    merge_node_remove(&a, 4);
    read_people(p, &a);
    check_like_merge(&a);
    cr_assert(row_of(4)->removed && row_of(7)->removed && !row_of(5)->removed);
    cr_assert_str_eq(row_of(1)->name, "base", "the records of number 1 are the old founder's");
    for (int round = 0; round < 3; round++)
        merge_node_pull(&b, &a);
    MUST(merge_node_replace(&b, 600, 501, 601, ALL));
    merge_node_remove(&b, 5);
    merge_node_remove(&b, 10);
    read_people(p, &b);
    check_like_merge(&b);
    cr_assert(row_of(4)->removed && row_of(5)->removed && row_of(10)->removed &&
              !row_of(6)->removed);
    people_free(&p);
    merge_node_release(&founder);
    merge_node_release(&a);
    merge_node_release(&b);
}
