/* Laws of the record as a whole: what gathers is a CRDT, nothing vanishes unseen by an author whose screen may be
 * stale (promise 10), and large streams are folded in good time. */
#include "tale.h"

/* ---- CRDT laws over random halves of random gatherings ---- */

static void tell_random(prop_rng *r, tale *t)
{
    static const char *const kinds[] = {"set.add", "counter.add", "tag.add", "note.add"};
    char payload[64];
    unsigned kind = (unsigned)prop_below(r, 4), value = (unsigned)prop_below(r, 3);
    switch (kind) {
    case 0:
        snprintf(payload, sizeof payload, "set=s value=%u", value);
        break;
    case 1:
        snprintf(payload, sizeof payload, "counter=c delta=%d", (int)value - 1);
        break;
    case 2:
        snprintf(payload, sizeof payload, "tag=t%u", value);
        break;
    default:
        snprintf(payload, sizeof payload, "text=n%u", value);
    }
    tell(t, 1 + (feed_id)prop_below(r, 3), prop_below(r, 5), kinds[kind], payload, "");
}

typedef struct {
    uint64_t plus, minus;
    unsigned elements, tags, notes; /* elements, tags: sets of bits */
} gathering;

/* What some of the events, in some order, add up to. */
static gathering gather(tale *t, const refs_event *ev, uint32_t n)
{
    const record_state *s;
    gathering g = {0};
    cr_assert_eq(record_fold(t->folder, ev, n, NULL, &s), ERR_OK);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const record_slot *slot = &s->slots[i];
        g.plus += slot->plus;
        g.minus += slot->minus;
        g.notes += slot->what == RECORD_NOTE ? slot->n_values : 0;
        g.tags |= slot->what == RECORD_TAG && slot->n_live ? 1u << (slot->name.p[1] - '0') : 0;
        for (uint32_t k = 0; slot->what == RECORD_SET && k < slot->n_live; k++)
            g.elements |= 1u << s->writes[s->live[slot->first_live + k]].value.p[0];
    }
    return g;
}

static bool same(gathering a, gathering b)
{
    return a.plus == b.plus && a.minus == b.minus && a.elements == b.elements && a.tags == b.tags &&
           a.notes == b.notes;
}

Test(record_laws, what_gathers_is_a_crdt)
{
    prop_rng r = prop_begin("record_laws.what_gathers_is_a_crdt");
    for (int round = 0; round < 3000; round++) {
        tale t;
        refs_event a[16], b[16], all[48];
        uint32_t na = 0, nb = 0, n = 0;
        tale_begin(&t, 16);
        for (unsigned i = 0; i < 12; i++) {
            tell_random(&r, &t);
            uint64_t side = prop_below(&r, 3); /* here, there, or at both */
            if (side != 1)
                a[na++] = t.ev[i];
            if (side != 0)
                b[nb++] = t.ev[i];
        }
        gathering ga = gather(&t, a, na), gb = gather(&t, b, nb), whole = gather(&t, t.ev, t.n);
        memcpy(all, b, nb * sizeof *b);
        memcpy(all + nb, a, na * sizeof *a);
        n = na + nb;
        cr_assert(same(gather(&t, all, n), whole)); /* idempotent: what both hold counts once */
        memcpy(all, a, na * sizeof *a);
        memcpy(all + na, b, nb * sizeof *b);
        cr_assert(same(gather(&t, all, n), whole)); /* commutative */
        cr_assert_eq(whole.elements, ga.elements | gb.elements);
        cr_assert_eq(whole.tags, ga.tags | gb.tags);
        cr_assert(whole.plus >= ga.plus && whole.plus <= ga.plus + gb.plus);
        cr_assert(whole.minus >= gb.minus && whole.minus <= ga.minus + gb.minus);
        tale_end(&t);
    }
}

/* ---- stale screens ---- */

#define NODES  4
#define WRITES 24

typedef struct {
    tale t;
    bool held[NODES][WRITES];   /* what has arrived at a node */
    bool screen[NODES][WRITES]; /* what its user looked at last */
    bool saw[WRITES][WRITES];   /* per event, what its author had on screen */
} camp;

static const record_state *look(camp *c, const bool *at)
{
    refs_event ev[WRITES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->t.n; i++)
        if (at[i])
            ev[n++] = c->t.ev[i];
    cr_assert_eq(record_fold(c->t.folder, ev, n, NULL, &c->t.s), ERR_OK);
    return c->t.s;
}

/* The events of the tale that a new write of these things must name, as the screen gives them; "0 4 …". */
static void name_live(camp *c, const record_state *s, const char *kind, const char *field,
                      char *out)
{
    event_ref refs[WRITES];
    record_thing thing = {strncmp(kind, "tag", 3) == 0 ? RECORD_TAG : RECORD_FIELD,
                          bytes_str(field)};
    uint32_t n = strcmp(kind, "record.delete") == 0 ? record_all_live_refs(s, refs, WRITES)
                                                    : record_live_refs(s, &thing, 1, refs, WRITES);
    *out = 0;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < c->t.n; i++)
            if (c->t.ev[i].feed == refs[k].feed && c->t.ev[i].seq == refs[k].seq)
                (void)snprintf(out + strlen(out), 16, "%s%u", *out ? " " : "", i);
}

static void write_at(prop_rng *r, camp *c, unsigned node)
{
    static const char *const kinds[] = {"field.set", "field.set",  "field.set",
                                        "tag.add",   "tag.remove", "record.delete"};
    const char *kind = kinds[prop_below(r, 6)];
    const char *thing = prop_below(r, 2) ? "a" : "b";
    char refs[16 * WRITES], payload[32] = "";
    if (prop_below(r, 2)) /* looks first; else the form was opened long ago */
        memcpy(c->screen[node], c->held[node], sizeof c->screen[node]);
    name_live(c, look(c, c->screen[node]), kind, thing, refs);
    if (strcmp(kind, "record.delete") != 0)
        snprintf(payload, sizeof payload, strcmp(kind, "field.set") ? "tag=%s" : "%s=%u", thing,
                 c->t.n);
    memcpy(c->saw[c->t.n], c->screen[node], sizeof c->saw[0]);
    uint64_t clock = prop_below(r, 3) ? 100 + c->t.n : prop_below(r, 1000); /* or right off */
    uint32_t i = tell(&c->t, 1 + node, clock, kind, payload, refs);
    c->held[node][i] = true;
}

/* `to` hears the beginning of one feed that `from` holds. */
static void sync_some(prop_rng *r, camp *c, unsigned from, unsigned to)
{
    feed_id feed = 1 + (feed_id)prop_below(r, NODES);
    uint64_t up_to = prop_below(r, WRITES);
    for (uint32_t i = 0; i < c->t.n; i++)
        if (c->held[from][i] && c->t.ev[i].feed == feed && c->t.ev[i].seq <= up_to)
            c->held[to][i] = true;
}

/* No value ever vanishes without an edit whose author had it on screen. */
static unsigned check_deaths(camp *c)
{
    unsigned dead = 0;
    tale_fold(&c->t);
    for (uint32_t w = 0; w < c->t.s->n_writes; w++) {
        const record_write *x = &c->t.s->writes[w];
        uint32_t victim = tale_index(&c->t, x->event);
        if (x->replaced_by == RECORD_NONE)
            continue;
        cr_assert(c->saw[tale_index(&c->t, x->replaced_by)][victim]);
        dead++;
    }
    return dead;
}

Test(record_laws, no_value_vanishes_that_its_replacer_had_not_on_screen)
{
    prop_rng r = prop_begin("record_laws.no_value_vanishes_that_its_replacer_had_not_on_screen");
    unsigned dead = 0, conflicts = 0;
    for (int round = 0; round < 2000; round++) {
        static camp c;
        memset(&c, 0, sizeof c);
        tale_begin(&c.t, WRITES);
        while (c.t.n < WRITES) {
            if (prop_below(&r, 2))
                write_at(&r, &c, (unsigned)prop_below(&r, NODES));
            else
                sync_some(&r, &c, (unsigned)prop_below(&r, NODES), (unsigned)prop_below(&r, NODES));
        }
        dead += check_deaths(&c);
        conflicts += c.t.s->conflicts;
        tale_end(&c.t);
    }
    cr_assert(dead > 10000 && conflicts > 500, "%u %u", dead, conflicts);
}

/* ---- large streams: quadratic work would run into the time limit ---- */

#define MANY 10000u

Test(record_laws, ten_thousand_edits_one_after_the_other)
{
    tale t;
    uint32_t refs[REPLACES_MAX];
    buf b;
    buf_init(&b, 1000);
    tale_begin(&t, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        unsigned n = i < REPLACES_MAX ? i : REPLACES_MAX;
        for (unsigned k = 0; k < n; k++)
            refs[k] = i - 1 - k;
        buf_clear(&b);
        mp_put_map(&b, 1);
        mp_put_cstr(&b, "a");
        mp_put_uint(&b, i);
        tale_raw(&t, 1 + i % 5, MANY - i, i ? "field.set" : "record.create", buf_view(&b), refs, n);
    }
    shows(&t, RECORD_FIELD, "a", "9999"); /* although all clocks run backwards */
    cr_assert_eq(t.s->conflicts, 0);
    buf_release(&b);
    tale_end(&t);
}

Test(record_laws, ten_thousand_live_values_of_one_field)
{
    tale t;
    buf b, line;
    buf_init(&b, 1000);
    buf_init(&line, 4u << 20);
    tale_begin(&t, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        buf_clear(&b);
        mp_put_map(&b, 1);
        mp_put_cstr(&b, "a");
        mp_put_uint(&b, i / 2);
        tale_raw(&t, 1 + i % 7, i, "record.create", buf_view(&b), NULL, 0);
    }
    tale_export(&t, &line);
    uint32_t slot = record_find(t.s, RECORD_FIELD, bytes_str("a"));
    cr_assert_eq(t.s->slots[slot].n_live, MANY);
    cr_assert_eq(t.s->slots[slot].n_values, MANY / 2);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(tale_index(&t, t.s->writes[t.s->live[t.s->slots[slot].first_live + i]].event),
                     MANY - 1 - i);
    cr_assert_eq(t.s->n_collisions, RECORD_CREATES_COMPARED);
    buf_release(&b);
    buf_release(&line);
    tale_end(&t);
}

Test(record_laws, events_with_thousands_of_fields_that_name_each_other)
{
    enum { EVENTS = 300, FIELDS = 3000 };
    tale t;
    uint32_t refs[REPLACES_MAX];
    char name[16];
    buf b;
    buf_init(&b, 60000);
    tale_begin(&t, EVENTS + 1);
    for (uint32_t i = 0; i < EVENTS; i++) {
        unsigned n = i < REPLACES_MAX ? i : REPLACES_MAX;
        for (unsigned k = 0; k < n; k++)
            refs[k] = i - 1 - k;
        buf_clear(&b);
        mp_put_map(&b, FIELDS);
        for (unsigned f = 0; f < FIELDS; f++) {
            snprintf(name, sizeof name, "a-long-one-%04u", f);
            mp_put_cstr(&b, name);
            mp_put_uint(&b, i % 128);
        }
        tale_raw(&t, 1 + i % 3, i, "field.set", buf_view(&b), refs, n);
    }
    tale_fold(&t);
    cr_assert_eq(t.s->n_slots, FIELDS);
    cr_assert_eq(t.s->conflicts, 0);
    for (uint32_t i = 0; i < FIELDS; i++)
        cr_assert_eq(record_shown(t.s, i).p[0], (EVENTS - 1) % 128);
    tell(&t, 9, 1, "note.add", "text=x", ""); /* a small fold after a large one */
    refs_event small = t.ev[t.n - 1];
    cr_assert_eq(record_fold(t.folder, &small, 1, NULL, &t.s), ERR_OK);
    cr_assert_eq(t.s->n_writes, 1);
    buf_release(&b);
    tale_end(&t);
}
