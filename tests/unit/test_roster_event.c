#include "proto/gate.h"
#include "proto/mp.h"
#include "pure/roster_event.h"
#include "tests/unit/prop.h"

#include <criterion/criterion.h>

static roster_lists_room room;

static void fill(uint8_t *p, size_t n, prop_rng *r)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)prop_u64(r);
}

/* A valid event of any kind, its lists in `lists`. */
static roster_event random_event(prop_rng *r, roster_lists_room *lists)
{
    roster_event e = {.kind = (roster_kind)prop_below(r, ROSTER_EV_COUNT)};
    bool removal = e.kind == ROSTER_EV_REMOVE, add = e.kind == ROSTER_EV_ADD;
    bool replace = e.kind == ROSTER_EV_REPLACE;
    if (!removal) {
        fill(e.key.b, sizeof e.key.b, r);
        e.has_sealing = prop_below(r, 2);
        e.has_transport = !replace || prop_below(r, 2);
        if (e.has_sealing)
            fill(e.sealing, sizeof e.sealing, r);
        if (e.has_transport)
            fill(e.transport.b, sizeof e.transport.b, r);
        if (!replace || prop_below(r, 2))
            e.name = bytes_str("Нода 3");
    }
    if (e.kind == ROSTER_EV_GENESIS || replace)
        fill(e.heir.b, sizeof e.heir.b, r);
    if (e.kind == ROSTER_EV_GENESIS) {
        fill(e.random, sizeof e.random, r);
        e.title = bytes_str("Flood survey");
    }
    if (add || removal)
        e.number = (member_no)(1 + prop_below(r, 65535));
    if (add) {
        e.role = (roster_role)(1 + prop_below(r, 3));
        e.hi = (uint16_t)(prop_below(r, 2) ? 1 + prop_below(r, 65535) : 0);
        e.lo = (uint16_t)(e.hi ? 1 + prop_below(r, e.hi) : 0);
    }
    if (removal || replace) {
        e.heads = lists->heads;
        e.n_heads = prop_below(r, 4);
        for (size_t i = 0; i < e.n_heads; i++) {
            lists->heads[i].incarnation = (uint16_t)prop_u64(r);
            lists->heads[i].seq = 1 + prop_below(r, 1ull << prop_below(r, 60));
            fill(lists->heads[i].id.b, EVENT_ID_BYTES, r);
        }
    }
    if (removal) {
        e.forks = lists->forks;
        e.n_forks = prop_below(r, 4);
        for (size_t i = 0; i < e.n_forks; i++)
            lists->forks[i] = (roster_fork){(uint16_t)prop_u64(r), prop_u64(r)};
        e.supersedes = lists->supersedes;
        e.n_supersedes = prop_below(r, 4);
        fill(lists->supersedes[0].b, e.n_supersedes * EVENT_ID_BYTES, r);
    }
    return e;
}

static void assert_same(const roster_event *a, const roster_event *b)
{
    cr_assert_eq(a->kind, b->kind);
    cr_assert_eq(a->number, b->number);
    cr_assert_eq(a->role, b->role);
    cr_assert_eq(a->lo, b->lo);
    cr_assert_eq(a->hi, b->hi);
    cr_assert_arr_eq(a->key.b, b->key.b, 32);
    cr_assert_arr_eq(a->heir.b, b->heir.b, 32);
    cr_assert_eq(a->has_transport, b->has_transport);
    cr_assert_eq(a->has_sealing, b->has_sealing);
    cr_assert_arr_eq(a->transport.b, b->transport.b, 32);
    cr_assert_arr_eq(a->sealing, b->sealing, 32);
    cr_assert_arr_eq(a->random, b->random, ROSTER_RANDOM_BYTES);
    cr_assert(bytes_eq(a->name, b->name));
    cr_assert(bytes_eq(a->title, b->title));
    cr_assert_eq(a->n_heads, b->n_heads);
    cr_assert_eq(a->n_forks, b->n_forks);
    cr_assert_eq(a->n_supersedes, b->n_supersedes);
    for (size_t i = 0; i < a->n_heads; i++) {
        cr_assert_eq(a->heads[i].incarnation, b->heads[i].incarnation);
        cr_assert_eq(a->heads[i].seq, b->heads[i].seq);
        cr_assert(event_id_eq(&a->heads[i].id, &b->heads[i].id));
    }
    for (size_t i = 0; i < a->n_forks; i++) {
        cr_assert_eq(a->forks[i].incarnation, b->forks[i].incarnation);
        cr_assert_eq(a->forks[i].seq, b->forks[i].seq);
    }
    for (size_t i = 0; i < a->n_supersedes; i++)
        cr_assert(event_id_eq(&a->supersedes[i], &b->supersedes[i]));
}

Test(roster_event, what_is_written_passes_the_gate_and_reads_back)
{
    prop_rng r = prop_begin("roster_event");
    static roster_lists_room lists;
    unsigned seen = 0;
    for (int round = 0; round < 3000; round++) {
        roster_event e = random_event(&r, &lists), back;
        buf b;
        buf_init(&b, EVENT_MAX_BYTES);
        cr_assert_eq(roster_event_write(&e, &b), ERR_OK);
        size_t used;
        cr_assert_eq(gate_value(buf_view(&b), &used, 1), ERR_OK);
        cr_assert_eq(used, b.len);
        cr_assert_eq(roster_event_read(e.kind, buf_view(&b), &room, &back), ERR_OK);
        assert_same(&e, &back);
        seen |= 1u << e.kind;
        buf_release(&b);
    }
    cr_assert_eq(seen, 15);
}

/* Cut or with a byte changed: an error or another event, never more than the bytes that are there (the sanitizers
 * look on). */
Test(roster_event, broken_payloads_are_survived)
{
    prop_rng r = prop_begin("roster_event broken");
    static roster_lists_room lists;
    for (int round = 0; round < 3000; round++) {
        roster_event e = random_event(&r, &lists), back;
        buf b;
        buf_init(&b, EVENT_MAX_BYTES);
        cr_assert_eq(roster_event_write(&e, &b), ERR_OK);
        size_t cut = prop_below(&r, b.len);
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, b.p, cut);
        cr_assert(roster_event_read(e.kind, bytes_of(copy, cut), &room, &back) != ERR_OK);
        free(copy);
        b.p[prop_below(&r, b.len)] ^= (uint8_t)(1u << prop_below(&r, 8));
        err_t err = roster_event_read(e.kind, buf_view(&b), &room, &back);
        cr_assert(err == ERR_OK || err_class_of(err) == ERR_CLASS_PEER);
        buf_release(&b);
    }
}

static roster_event an_add(void)
{
    return (roster_event){.kind = ROSTER_EV_ADD,
                          .number = 7,
                          .role = ROSTER_ROLE_FIELD,
                          .has_transport = true,
                          .name = bytes_str("tablet")};
}

static err_t writes(const roster_event *e)
{
    buf b;
    buf_init(&b, EVENT_MAX_BYTES);
    err_t err = roster_event_write(e, &b);
    buf_release(&b);
    return err;
}

Test(roster_event, bounds)
{
    static const char long_name[NAME_MAX_BYTES + 1] = "12345678901234567890123456789012"
                                                      "12345678901234567890123456789012";
    roster_event e = an_add();
    cr_assert_eq(writes(&e), ERR_OK);
    e.name = bytes_of(long_name, NAME_MAX_BYTES);
    cr_assert_eq(writes(&e), ERR_OK);
    e.name = bytes_of(long_name, NAME_MAX_BYTES + 1); /* too long, and with a NUL */
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e.name = bytes_of("a\0b", 3);
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e.name = bytes_of(NULL, 0);
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e = an_add();
    e.number = 0;
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e = an_add();
    e.role = ROSTER_ROLE_FOUNDER;
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e = an_add();
    e.lo = 9;
    e.hi = 8;
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e.lo = 0;
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    e.lo = 8;
    cr_assert_eq(writes(&e), ERR_OK);
    roster_head zero = {0, 0, {{0}}};
    e = (roster_event){.kind = ROSTER_EV_REMOVE, .number = 7, .heads = &zero, .n_heads = 1};
    cr_assert_eq(writes(&e), ERR_OUT_OF_RANGE);
    zero.seq = 1;
    cr_assert_eq(writes(&e), ERR_OK);
}

/* Puts an add together by hand, with one difference. */
static err_t reads(const char *skip, const char *extra, const char *role, bool unsorted)
{
    static const char *const keys[] = {"key", "name", "number", "role", "transport"};
    uint8_t key[32] = {1};
    buf b;
    buf_init(&b, 1000);
    mp_put_map(&b, 5u + (extra != NULL) - (skip != NULL));
    if (extra && unsorted) {
        mp_put_cstr(&b, extra);
        mp_put_uint(&b, 5);
    }
    for (int i = 0; i < 5; i++) {
        if (skip && strcmp(skip, keys[i]) == 0)
            continue;
        mp_put_cstr(&b, keys[i]);
        if (i == 0 || i == 4)
            mp_put_bin(&b, bytes_of(key, 32));
        else if (i == 2)
            mp_put_uint(&b, 7);
        else
            mp_put_cstr(&b, i == 3 ? role : "tablet");
    }
    if (extra && !unsorted) {
        mp_put_cstr(&b, extra);
        mp_put_array(&b, 1);
        mp_put_nil(&b);
    }
    cr_assert_eq(b.err, ERR_OK);
    roster_event out;
    err_t err = roster_event_read(ROSTER_EV_ADD, buf_view(&b), &room, &out);
    buf_release(&b);
    return err;
}

Test(roster_event, every_field_is_needed_and_strange_ones_are_ignored)
{
    static const char *const keys[] = {"key", "name", "number", "role", "transport"};
    cr_assert_eq(reads(NULL, NULL, "field", false), ERR_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(reads(keys[i], NULL, "field", false), ERR_MALFORMED);
    cr_assert_eq(reads(NULL, "zone", "field", false), ERR_OK);
    cr_assert_eq(reads(NULL, "zone", "field", true), ERR_KEY_ORDER);
    cr_assert_eq(reads(NULL, "transport", "field", false), ERR_KEY_ORDER);
    cr_assert_eq(reads(NULL, NULL, "king", false), ERR_MALFORMED);
    cr_assert_eq(reads(NULL, NULL, "founder", false), ERR_OUT_OF_RANGE);
}

static err_t reads_removal(uint64_t number, uint32_t n_forks)
{
    buf b;
    buf_init(&b, 100000);
    mp_put_map(&b, 4);
    mp_put_cstr(&b, "forks");
    mp_put_array(&b, n_forks);
    for (uint32_t i = 0; i < n_forks; i++) {
        mp_put_array(&b, 2);
        mp_put_uint(&b, 4);
        mp_put_uint(&b, i);
    }
    mp_put_cstr(&b, "heads");
    mp_put_array(&b, 0);
    mp_put_cstr(&b, "number");
    mp_put_uint(&b, number);
    mp_put_cstr(&b, "supersedes");
    mp_put_array(&b, 0);
    cr_assert_eq(b.err, ERR_OK);
    roster_event out;
    err_t err = roster_event_read(ROSTER_EV_REMOVE, buf_view(&b), &room, &out);
    buf_release(&b);
    return err;
}

Test(roster_event, numbers_and_lists_have_an_end)
{
    cr_assert_eq(reads_removal(65535, ROSTER_LIST_MAX), ERR_OK);
    cr_assert_eq(reads_removal(65536 + 7, 1), ERR_OUT_OF_RANGE);
    cr_assert_eq(reads_removal(0, 1), ERR_OUT_OF_RANGE);
    cr_assert_eq(reads_removal(7, ROSTER_LIST_MAX + 1), ERR_OUT_OF_RANGE);
}

Test(roster_event, names)
{
    for (unsigned i = 0; i < 4; i++) {
        roster_role role;
        cr_assert(roster_role_of(bytes_str(roster_role_name((roster_role)i)), &role));
        cr_assert_eq(role, (roster_role)i);
    }
    roster_kind kind;
    cr_assert(roster_kind_of(bytes_str("member.remove"), &kind));
    cr_assert_eq(kind, ROSTER_EV_REMOVE);
    cr_assert_not(roster_kind_of(bytes_str("member.removed"), &kind));
    cr_assert_not(roster_kind_of(bytes_str("event.erase"), &kind));
}
