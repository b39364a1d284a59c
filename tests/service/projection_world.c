#include "tests/service/projection_world.h"

#include "pure/crypto.h"

#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

/* Without a store. */
void world_begin_alone(world *w)
{
    dataset_id dataset;
    cr_assert_eq(crypto_start(), ERR_OK);
    fake_dataset(&dataset);
    rig_init_of(&w->rig, "projection", &dataset);
}

void world_begin(world *w)
{
    world_begin_alone(w);
    w->store = fake_store_new(&w->rig.home);
    rig_start(&w->rig);
}

void world_end(world *w)
{
    if (w->rig.pid != 0)
        rig_stop(&w->rig);
    fake_store_free(&w->store);
    rig_release(&w->rig);
}

/* ---- writing ---- */

/* A map of text to text from pairs in order of their keys, NULL at the end. */
buf world_map(const char *key, ...)
{
    buf pairs, out;
    va_list ap;
    uint32_t n = 0;
    buf_init(&pairs, EVENT_MAX_BYTES);
    buf_init(&out, EVENT_MAX_BYTES);
    va_start(ap, key);
    for (; key != NULL; key = va_arg(ap, const char *), n++) {
        mp_put_cstr(&pairs, key);
        mp_put_cstr(&pairs, va_arg(ap, const char *));
    }
    va_end(ap);
    mp_put_map(&out, n);
    buf_add_bytes(&out, buf_view(&pairs));
    buf_release(&pairs);
    return out;
}

uint32_t world_write(world *w, fake_event e, buf payload)
{
    e.payload = buf_view(&payload);
    uint32_t n = fake_store_append(w->store, &e);
    buf_release(&payload);
    return n;
}

uint32_t world_create(world *w, feed_id feed, const char *form, const char *record,
                      const char *field, const char *value)
{
    return world_write(
        w, (fake_event){.feed = feed, .category = form, .stream = record, .kind = "record.create"},
        world_map(field, value, NULL));
}

/* Replaces event number `old` (or nothing when negative). */
uint32_t world_set(world *w, feed_id feed, const char *form, const char *record, const char *field,
                   const char *value, int old)
{
    fake_event e = {.feed = feed, .category = form, .stream = record, .kind = "field.set"};
    if (old >= 0) {
        e.replaces[0] = (uint32_t)old;
        e.n_replaces = 1;
    }
    return world_write(w, e, world_map(field, value, NULL));
}

/* ---- asking ---- */

void world_record(world *w, const char *form, const char *record, bool history, record_reply *out)
{
    record_request req = {.form = bytes_str(form),
                          .record = bytes_str(record),
                          .history = history,
                          .min_offset = fake_store_head(w->store)};
    rig_ask(&w->rig, &record_request_desc, &req, out);
}

/* The i-th write with this name (NULL: any). */
write_row world_row(const record_reply *r, const char *name, unsigned i)
{
    msg_list list = r->writes;
    write_row row;
    while (msg_list_next(&write_row_desc, &list, &row))
        if ((name == NULL || bytes_is(row.name, name)) && i-- == 0)
            return row;
    cr_assert_fail("there is no such write of %s", name != NULL ? name : "anything");
    return row;
}

bool world_is_text(bytes value, const char *text)
{
    mp_reader r = mp_reader_of(value);
    return bytes_is(mp_str(&r), text) && mp_done(&r) == ERR_OK;
}

void world_dump(world *w, buf *out)
{
    canonical_request req = {.min_offset = fake_store_head(w->store)};
    char form[CATEGORY_MAX_BYTES], record[STREAM_MAX_BYTES];
    canonical_reply reply = {0};
    buf_clear(out);
    do {
        rig_ask(&w->rig, &canonical_request_desc, &req, &reply);
        buf_add_bytes(out, reply.lines);
        memcpy(form, reply.after_form.p, reply.after_form.len);
        memcpy(record, reply.after_record.p, reply.after_record.len);
        req.after_form = bytes_of(form, reply.after_form.len);
        req.after_record = bytes_of(record, reply.after_record.len);
        req.skip = reply.skip;
    } while (!reply.done);
    cr_assert_eq(out->err, ERR_OK);
}

view_row world_view(world *w, uint64_t min_offset, event_id *digest)
{
    static char state[ERROR_TEXT_MAX_BYTES + 1];
    views_request req = {.with_digest = digest != NULL, .min_offset = min_offset};
    views_reply reply;
    view_row row;
    rig_ask(&w->rig, &views_request_desc, &req, &reply);
    cr_assert(msg_list_next(&view_row_desc, &reply.views, &row));
    if (digest != NULL)
        *digest = reply.digest;
    snprintf(state, sizeof state, "%.*s", (int)row.state.len, (const char *)row.state.p);
    row.state = bytes_str(state);
    return row;
}

void world_rebuild(world *w)
{
    rebuild_request req = {.name = bytes_str("records")};
    ok_reply ok;
    rig_ask(&w->rig, &rebuild_request_desc, &req, &ok);
}

/* Everything that people read in the views, in one number. */
static uint64_t sum_views(const world *w)
{
    static const char *const texts[] = {
        "SELECT * FROM history ORDER BY form, record, n",
        "SELECT * FROM conflicts ORDER BY form, record, what, name, event",
        "SELECT * FROM anomalies ORDER BY form, record, event, text",
        "SELECT * FROM records ORDER BY form, record",
        "SELECT form, records, deleted, conflicts, anomalies FROM forms ORDER BY form",
        "SELECT * FROM members ORDER BY number",
    };
    sqlite3 *db = world_sqlite(w);
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        sqlite3_stmt *st;
        cr_assert_eq(sqlite3_prepare_v2(db, texts[i], -1, &st, NULL), SQLITE_OK, "%s",
                     sqlite3_errmsg(db));
        while (sqlite3_step(st) == SQLITE_ROW)
            for (int c = 0; c < sqlite3_column_count(st); c++) {
                const void *p = sqlite3_column_blob(st, c);
                sum = XXH3_64bits_withSeed(p, (size_t)sqlite3_column_bytes(st, c), sum + 1);
            }
        cr_assert_eq(sqlite3_finalize(st), SQLITE_OK);
    }
    sqlite3_close(db);
    return sum;
}

void world_like_fresh(world *w)
{
    buf now, fresh;
    event_id digest, of_dump;
    buf_init(&now, 64u << 20);
    buf_init(&fresh, 64u << 20);
    world_dump(w, &now);
    view_row before = world_view(w, fake_store_head(w->store), &digest);
    uint64_t sum = sum_views(w);
    crypto_digest(of_dump.b, buf_view(&now));
    cr_assert(event_id_eq(&digest, &of_dump), "the digest is not that of the dump");
    world_rebuild(w);
    world_dump(w, &fresh);
    cr_assert(bytes_eq(buf_view(&now), buf_view(&fresh)), "followed:\n%.*s\nbuilt:\n%.*s",
              (int)now.len, (const char *)now.p, (int)fresh.len, (const char *)fresh.p);
    view_row after = world_view(w, fake_store_head(w->store), &digest);
    cr_assert_eq(sum, sum_views(w), "the tables differ");
    cr_assert_eq(before.records, after.records);
    cr_assert_eq(before.conflicts, after.conflicts);
    cr_assert_eq(before.anomalies, after.anomalies);
    cr_assert(event_id_eq(&digest, &of_dump));
    buf_release(&now);
    buf_release(&fresh);
}

sqlite3 *world_sqlite(const world *w)
{
    char path[HOME_PATH_MAX];
    sqlite3 *db;
    rig_path(&w->rig, path, "records.db");
    cr_assert_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    return db;
}

/* First column of the first row; "" without one. */
const char *world_sql(sqlite3 *db, const char *text)
{
    static char out[1024];
    sqlite3_stmt *st;
    cr_assert_eq(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK, "%s: %s", text,
                 sqlite3_errmsg(db));
    int rc = sqlite3_step(st);
    const char *got = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : "";
    cr_assert(rc == SQLITE_ROW || rc == SQLITE_DONE, "%s: %s", text, sqlite3_errmsg(db));
    snprintf(out, sizeof out, "%s", got != NULL ? got : "NULL");
    sqlite3_finalize(st);
    return out;
}
