#include "projection/view_db_impl.h"

#include "projection/view_schema.h"

#include <stdlib.h>
#include <xxhash.h>

_Static_assert(VIEW_WHAT_FIELD == RECORD_FIELD, "write_row.what follows record_what");
#define WHAT_DELETE RECORD_WHATS /* the other face of existence */

/* ---- names of things ---- */

static uint64_t thing_hash(const view_db *db, bytes form, record_what what, bytes name)
{
    uint64_t h = XXH3_64bits_withSeed(name.p, name.len, db->salt + (uint64_t)what);
    h = XXH3_64bits_withSeed(form.p, form.len, h);
    return h != 0 ? h : 1;
}

static sqlite3_stmt *thing_statement(view_db *db, view_statement id, bytes form, record_what what,
                                     bytes name)
{
    sqlite3_stmt *st = view_st(db, id);
    if (st != NULL) {
        view_bind(st, 1, form);
        sqlite3_bind_int(st, 2, (int)what);
        view_bind(st, 3, name);
    }
    return st;
}

static err_t find_thing(view_db *db, bytes form, record_what what, bytes name, int64_t *out)
{
    sqlite3_stmt *st = thing_statement(db, ST_THING_FIND, form, what, name);
    int rc = st == NULL ? sqlite3_errcode(db->sql) : sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    if (st != NULL)
        sqlite3_reset(st);
    return rc == SQLITE_DONE ? ERR_NOT_FOUND : view_sql_err(rc);
}

/* The number of a thing. In the cache a salted hash stands for its name. */
static err_t thing_of(view_db *db, bytes form, record_what what, bytes name, int64_t *out)
{
    uint64_t h = thing_hash(db, form, what, name);
    view_thing_slot *slot = &db->things[h & (THINGS_CACHED - 1)];
    if (slot->hash == h) {
        *out = slot->thing;
        return ERR_OK;
    }
    err_t e = find_thing(db, form, what, name, out);
    if (e == ERR_NOT_FOUND) {
        e = view_run(db, thing_statement(db, ST_THING_ADD, form, what, name));
        *out = sqlite3_last_insert_rowid(db->sql);
        if (what == RECORD_FIELD)
            view_form_stale(db, form);
    }
    if (e == ERR_OK)
        *slot = (view_thing_slot){h, *out};
    return e;
}

static err_t name_things(view_db *db, const view_record *r)
{
    for (uint32_t i = 0; i < r->state->n_slots; i++) {
        const record_slot *s = &r->state->slots[i];
        TRY(thing_of(db, r->form, s->what, s->name, &db->slot_thing[i]));
    }
    return ERR_OK;
}

/* ---- scratch ---- */

static bool grow(void **p, size_t *room, size_t n, size_t size)
{
    if (n <= *room)
        return true;
    size_t want = n < 256 ? 256 : n * 2;
    void *more = realloc(*p, want * size);
    if (more == NULL)
        return false;
    *p = more;
    *room = want;
    return true;
}

static err_t make_room(view_db *db, const record_state *s)
{
    void *things = db->slot_thing, *rank = db->rank;
    bool ok = grow(&things, &db->slots_room, s->n_slots, sizeof *db->slot_thing);
    db->slot_thing = things;
    ok = ok && grow(&rank, &db->ranks_room, s->n_writes, sizeof *db->rank);
    db->rank = rank;
    return ok ? ERR_OK : ERR_NO_MEMORY;
}

static void rank_writes(view_db *db, const record_state *s)
{
    for (uint32_t i = 0; i < s->n_writes; i++)
        db->rank[i] = RECORD_NONE;
    for (uint32_t i = 0; i < s->n_slots; i++)
        for (uint32_t k = 0; k < s->slots[i].n_live; k++)
            db->rank[s->live[s->slots[i].first_live + k]] = k;
}

/* ---- writes ---- */

static bool collides(const record_state *s, uint32_t event)
{
    for (uint32_t i = 0; i < s->n_collisions; i++)
        if (s->collisions[i] == event)
            return true;
    return false;
}

static int issue_of(const record_state *s, const record_write *w, bool listed)
{
    const record_slot *slot = &s->slots[w->slot];
    if (!listed)
        return VIEW_ISSUE_NONE;
    if (slot->n_values > 1 && (slot->what == RECORD_FIELD || slot->what == RECORD_STATE))
        return VIEW_ISSUE_VALUES;
    if (slot->what == RECORD_EXISTENCE && collides(s, w->event))
        return VIEW_ISSUE_COLLISION;
    return s->deleted ? VIEW_ISSUE_UNSEEN : VIEW_ISSUE_NONE;
}

static int flags_of(const record_state *s, const record_write *w)
{
    return (s->events[w->event].counts ? VIEW_COUNTS : 0) | (w->erased ? VIEW_ERASED : 0) |
           (w->removal ? VIEW_REMOVAL : 0) |
           (w->replaced_by != RECORD_NONE ? VIEW_REPLACED
            : w->voided_by != RECORD_NONE ? VIEW_VOIDED
                                          : 0);
}

static void bind_words(sqlite3_stmt *st, int at, bytes text)
{
    if (text.len > 0)
        view_bind(st, at, text);
    else
        sqlite3_bind_null(st, at);
}

static void bind_source(sqlite3_stmt *st, const record_event *e)
{
    sqlite3_bind_int64(st, 6, e->ref.feed);
    view_bind_u64(st, 7, e->ref.seq);
    sqlite3_bind_int(st, 8, e->ref.prefix);
    view_bind_u64(st, 9, e->stamp.wall_ms);
    if (e->has_at)
        sqlite3_bind_int64(st, 10, e->at_ms);
    else
        sqlite3_bind_null(st, 10);
    bind_words(st, 11, e->by);
    bind_words(st, 12, e->why);
}

static void bind_other(sqlite3_stmt *st, const record_state *s, const record_write *w)
{
    uint32_t other = w->replaced_by != RECORD_NONE ? w->replaced_by : w->voided_by;
    for (int at = 17; at <= 19; at++)
        sqlite3_bind_null(st, at);
    if (other == RECORD_NONE)
        return;
    const record_event *o = &s->events[other];
    sqlite3_bind_int64(st, 17, o->ref.feed);
    view_bind_u64(st, 18, o->ref.seq);
    view_bind_u64(st, 19, o->stamp.wall_ms);
}

static void bind_write_value(view_db *db, sqlite3_stmt *st, record_what what, const record_write *w)
{
    sqlite3_bind_null(st, 4);
    sqlite3_bind_null(st, 5);
    /* Of a create the fields have rows of their own; a removal has no value. */
    if (what == RECORD_EXISTENCE || w->removal || w->value.len == 0)
        return;
    if (!view_bind_value(st, 4, w->value, &db->text))
        view_bind_blob(st, 5, w->value);
}

static err_t add_write(view_db *db, int64_t rec, const record_state *s, uint32_t i)
{
    const record_write *w = &s->writes[i];
    const record_event *e = &s->events[w->event];
    record_what what = s->slots[w->slot].what;
    bool listed = db->rank[i] != RECORD_NONE;
    sqlite3_stmt *st = view_st(db, ST_WRITE_ADD);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(db->sql));
    sqlite3_bind_int64(st, 1, rec << VIEW_WRITES_SHIFT | i);
    sqlite3_bind_int64(st, 2, db->slot_thing[w->slot]);
    sqlite3_bind_int(st, 3, what == RECORD_EXISTENCE && w->removal ? WHAT_DELETE : (int)what);
    bind_write_value(db, st, what, w);
    bind_source(st, e);
    sqlite3_bind_int(st, 13, e->counts && w->replaced_by == RECORD_NONE);
    if (listed)
        sqlite3_bind_int64(st, 14, db->rank[i]);
    else
        sqlite3_bind_null(st, 14);
    sqlite3_bind_int(st, 15, flags_of(s, w));
    sqlite3_bind_int(st, 16, issue_of(s, w, listed));
    bind_other(st, s, w);
    return view_run(db, st);
}

/* Everything that add_write puts into a row, in one number that is not 0. */
static uint64_t sum_of(const view_db *db, const record_state *s, uint32_t i)
{
    const record_write *w = &s->writes[i];
    const record_event *e = &s->events[w->event];
    uint32_t other = w->replaced_by != RECORD_NONE ? w->replaced_by : w->voided_by;
    const record_event *o = other != RECORD_NONE ? &s->events[other] : NULL;
    bool valued = s->slots[w->slot].what != RECORD_EXISTENCE && !w->removal;
    uint64_t key[] = {(uint64_t)db->slot_thing[w->slot],
                      (uint64_t)e->ref.feed << 32 | db->rank[i],
                      e->ref.seq,
                      (uint64_t)e->ref.prefix << 48 | e->stamp.wall_ms,
                      e->has_at ? (uint64_t)e->at_ms : UINT64_MAX,
                      (uint64_t)flags_of(s, w) << 8 |
                          (uint64_t)issue_of(s, w, db->rank[i] != RECORD_NONE),
                      o != NULL ? (uint64_t)o->ref.feed << 32 ^ o->ref.seq : 0,
                      o != NULL ? o->stamp.wall_ms : 0};
    uint64_t h = XXH3_64bits_withSeed(key, sizeof key, db->salt);
    h = XXH3_64bits_withSeed(w->value.p, valued ? w->value.len : 0, h);
    h = XXH3_64bits_withSeed(e->by.p, e->by.len, h);
    h = XXH3_64bits_withSeed(e->why.p, e->why.len, h);
    return h != 0 ? h : 1;
}

static err_t sum_writes(view_db *db, const record_state *s)
{
    buf_clear(&db->sums);
    for (uint32_t i = 0; i < s->n_writes && i < VIEW_WRITES_MAX; i++)
        buf_add_u64be(&db->sums, sum_of(db, s, i));
    return db->sums.err;
}

/* ---- anomalies ---- */

static err_t add_anomaly(view_db *db, bytes form, bytes record, const event_ref *ref, uint64_t ms,
                         bytes text)
{
    sqlite3_stmt *st = view_st(db, ST_ANOMALY_ADD);
    if (st != NULL) {
        view_bind(st, 1, form);
        view_bind(st, 2, record);
        sqlite3_bind_int64(st, 3, ref->feed);
        view_bind_u64(st, 4, ref->seq);
        sqlite3_bind_int(st, 5, ref->prefix);
        view_bind_u64(st, 6, ms);
        view_bind(st, 7, text);
    }
    return view_run(db, st);
}

static err_t add_damaged(view_db *db, bytes form, bytes record, const view_damaged *d)
{
    return add_anomaly(
        db, form, record, &d->ref, 0,
        bytes_str(
            "its bytes are damaged on this node's disk: left out until a peer sends a good copy"));
}

static err_t add_anomalies(view_db *db, const view_record *r)
{
    const record_state *s = r->state;
    for (uint32_t i = 0; i < s->n_anomalies; i++) {
        const record_anomaly *a = &s->anomalies[i];
        const record_event *e = &s->events[a->event];
        buf_clear(&db->text);
        buf_add_str(&db->text, record_anomaly_text(a->code));
        if (a->detail.len > 0 && buf_add_str(&db->text, ": "))
            buf_add_bytes(&db->text, a->detail);
        TRY(add_anomaly(db, r->form, r->record, &e->ref, e->stamp.wall_ms, buf_view(&db->text)));
    }
    for (size_t i = 0; i < r->n_damaged; i++)
        TRY(add_damaged(db, r->form, r->record, &r->damaged[i]));
    return ERR_OK;
}

static err_t drop_anomalies(view_db *db, const view_record *r, int64_t *dropped)
{
    sqlite3_stmt *st = view_st(db, ST_ANOMALIES_DROP);
    if (st != NULL) {
        view_bind(st, 1, r->form);
        view_bind(st, 2, r->record);
    }
    TRY(view_run(db, st));
    *dropped = sqlite3_changes(db->sql);
    return ERR_OK;
}

/* Rows of no record are counted under the form without a name. */
static err_t count_damaged(view_db *db, int64_t change)
{
    view_form_delta delta = {.anomalies = change};
    return view_form_count(db, bytes_of(NULL, 0), &delta);
}

err_t view_db_put_damaged(view_db *db, const view_damaged *d)
{
    TRY(view_db_drop_damaged(db, d));
    TRY(add_damaged(db, bytes_of(NULL, 0), bytes_of(NULL, 0), d));
    return count_damaged(db, 1);
}

err_t view_db_drop_damaged(view_db *db, const view_damaged *d)
{
    sqlite3_stmt *st = view_st(db, ST_DAMAGED_DROP);
    if (st != NULL) {
        sqlite3_bind_int64(st, 1, d->ref.feed);
        view_bind_u64(st, 2, d->ref.seq);
        sqlite3_bind_int(st, 3, d->ref.prefix);
    }
    TRY(view_run(db, st));
    return count_damaged(db, -sqlite3_changes(db->sql));
}

/* ---- the record ---- */

typedef struct {
    bool there, deleted, issues;
    int64_t rec;
} old_record;

static err_t find_record(view_db *db, const view_record *r, old_record *old)
{
    sqlite3_stmt *st = view_st(db, ST_RECORD_FIND);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(db->sql));
    view_bind(st, 1, r->form);
    view_bind(st, 2, r->record);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *old = (old_record){true, sqlite3_column_int(st, 3) != 0, sqlite3_column_int(st, 1) != 0,
                            sqlite3_column_int64(st, 0)};
    buf_clear(&db->old_sums);
    if (rc == SQLITE_ROW)
        buf_add_bytes(&db->old_sums, view_column(st, 4));
    sqlite3_reset(st);
    return db->old_sums.err != ERR_OK ? db->old_sums.err : view_sql_err(rc);
}

static bool is_record(const record_state *s)
{
    for (uint32_t i = 0; i < s->n_counting; i++)
        if (s->events[i].n_writes > 0)
            return true;
    return false;
}

static err_t set_record(view_db *db, const view_record *r, old_record *old)
{
    const record_state *s = r->state;
    const record_event *first = &s->events[s->created != RECORD_NONE ? s->created : 0];
    sqlite3_stmt *st = view_st(db, old->there ? ST_RECORD_SET : ST_RECORD_ADD);
    if (st == NULL)
        return view_sql_err(sqlite3_errcode(db->sql));
    if (!old->there) {
        view_bind(st, 1, r->form);
        view_bind(st, 2, r->record);
    } else
        sqlite3_bind_int64(st, 14, old->rec);
    sqlite3_bind_int64(st, 3, s->n_counting);
    sqlite3_bind_int64(st, 4, s->conflicts);
    sqlite3_bind_int64(st, 5, s->unseen);
    sqlite3_bind_int64(st, 6, (int64_t)s->conflicts + s->unseen);
    sqlite3_bind_int64(st, 7, (int64_t)(s->n_anomalies + r->n_damaged));
    sqlite3_bind_int(st, 8, s->deleted);
    sqlite3_bind_int64(st, 9, first->ref.feed);
    view_bind_u64(st, 10, first->stamp.wall_ms);
    view_bind_u64(st, 11, s->newest != RECORD_NONE ? s->events[s->newest].stamp.wall_ms : 0);
    view_bind(st, 12, r->line);
    view_bind_blob(st, 13, buf_view(&db->sums));
    TRY(view_run(db, st));
    if (!old->there)
        old->rec = sqlite3_last_insert_rowid(db->sql);
    return ERR_OK;
}

static err_t drop_record(view_db *db, int64_t rec)
{
    sqlite3_stmt *st = view_st(db, ST_RECORD_DROP);
    if (st != NULL)
        sqlite3_bind_int64(st, 1, rec);
    return view_run(db, st);
}

/* All rows of its writes from number n on. */
static err_t drop_writes(view_db *db, int64_t rec, uint32_t n)
{
    sqlite3_stmt *st = view_st(db, ST_WRITES_DROP);
    if (st != NULL) {
        sqlite3_bind_int64(st, 1, rec << VIEW_WRITES_SHIFT | n);
        sqlite3_bind_int64(st, 2, rec << VIEW_WRITES_SHIFT | (VIEW_WRITES_MAX - 1));
    }
    return view_run(db, st);
}

static uint64_t sum_at(const buf *sums, uint32_t i)
{
    return (size_t)i * 8 < sums->len ? get_u64be(sums->p + (size_t)i * 8) : 0;
}

/* Only rows that are not in the file already. */
static err_t put_writes(view_db *db, const record_state *s, int64_t rec)
{
    uint32_t n = s->n_writes < VIEW_WRITES_MAX ? s->n_writes : VIEW_WRITES_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (sum_at(&db->sums, i) != sum_at(&db->old_sums, i))
            TRY(add_write(db, rec, s, i));
    return (size_t)n * 8 < db->old_sums.len ? drop_writes(db, rec, n) : ERR_OK;
}

static err_t put_rows(view_db *db, const view_record *r, old_record *old)
{
    TRY(make_room(db, r->state));
    TRY(name_things(db, r));
    rank_writes(db, r->state);
    TRY(sum_writes(db, r->state));
    TRY(set_record(db, r, old));
    return put_writes(db, r->state, old->rec);
}

/* A build puts streams in order, so most names are known to be new without looking. */
static bool is_new(view_db *db, const view_record *r)
{
    uint8_t name[CATEGORY_MAX_BYTES + 1 + STREAM_MAX_BYTES];
    size_t n = r->form.len + 1 + r->record.len;
    if (!db->building || n > sizeof name)
        return false;
    memcpy(name, r->form.p, r->form.len);
    name[r->form.len] = 0;
    memcpy(name + r->form.len + 1, r->record.p, r->record.len);
    if (bytes_cmp(bytes_of(name, n), buf_view(&db->newest)) <= 0)
        return false;
    buf_clear(&db->newest);
    return buf_add(&db->newest, name, n);
}

err_t view_db_put(view_db *db, const view_record *r)
{
    const record_state *s = r->state;
    old_record old = {0};
    int64_t dropped = 0;
    bool now = is_record(s), issues = now && s->conflicts + s->unseen > 0, known = !is_new(db, r);
    buf_clear(&db->old_sums);
    if (known)
        TRY(find_record(db, r, &old));
    view_form_delta change = {.records = (now && !s->deleted) - (old.there && !old.deleted),
                              .deleted = (now && s->deleted) - (old.there && old.deleted),
                              .conflicts = issues - (old.there && old.issues)};
    if (now) {
        TRY(put_rows(db, r, &old));
    } else if (old.there) {
        TRY(drop_writes(db, old.rec, 0));
        TRY(drop_record(db, old.rec));
    }
    if (known)
        TRY(drop_anomalies(db, r, &dropped));
    TRY(add_anomalies(db, r));
    change.anomalies = (int64_t)(s->n_anomalies + r->n_damaged) - dropped;
    return view_form_count(db, r->form, &change);
}
