/* The record view's file by itself: what goes in comes out, and what is wrong with a file is told apart. */
#include "projection/view_db.h"
#include "projection/view_file.h"
#include "projection/view_read.h"
#include "projection/view_sql.h"
#include "prop_event.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const dataset_id dataset = {{0xc1, 0x70}};
static char dir[96], path[VIEW_PATH_MAX];

static void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/view.XXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
    view_file_next(dir, 1, path);
}

static void remove_dir(void)
{
    char link[VIEW_PATH_MAX];
    view_file_link(dir, link);
    (void)unlink(link);
    view_file_set_aside(dir, "");
    view_file_sweep(dir, NULL, NULL);
    (void)rmdir(dir);
}

TestSuite(projection_view, .init = make_dir, .fini = remove_dir);

/* ---- one record with one event, by hand ---- */

typedef struct {
    buf body, line;
    event_view view;
    event_id id;
    refs_event event;
    record_folder *folder;
} one;

static void one_init(one *o, const char *form, const char *record, const char *kind, bytes payload)
{
    memset(o, 0, sizeof *o);
    buf_init(&o->body, EVENT_MAX_BYTES);
    buf_init(&o->line, MESSAGE_MAX_BYTES);
    event_fields fields = {.stamp = {1767225600000, 0},
                           .category = bytes_str(form),
                           .stream = bytes_str(record),
                           .kind = bytes_str(kind),
                           .payload = payload};
    cr_assert_eq(event_build(&fields, &o->body), ERR_OK);
    cr_assert_eq(event_parse(buf_view(&o->body), &o->view), ERR_OK);
    o->event = (refs_event){.feed = 3, .seq = 1, .id = &o->id, .view = &o->view, .counts = true};
    o->folder = record_folder_new();
    cr_assert_not_null(o->folder);
}

static void one_release(one *o)
{
    record_folder_free(&o->folder);
    buf_release(&o->body);
    buf_release(&o->line);
}

static err_t one_put(one *o, view_db *db)
{
    refs_rules rules = {0};
    view_record r = {.form = o->view.category, .record = o->view.stream};
    cr_assert_eq(record_fold(o->folder, &o->event, 1, &rules, &r.state), ERR_OK);
    buf_clear(&o->line);
    cr_assert_eq(record_export(r.state, r.form, r.record, &o->line), ERR_OK);
    r.line = buf_view(&o->line);
    return view_db_put(db, &r);
}

static void put_text(view_db *db, const char *form, const char *record, const char *kind,
                     const char *field, const char *value)
{
    one o;
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    mp_put_map(&payload, 1);
    mp_put_cstr(&payload, field);
    mp_put_cstr(&payload, value);
    one_init(&o, form, record, kind, buf_view(&payload));
    cr_assert_eq(one_put(&o, db), ERR_OK);
    one_release(&o);
    buf_release(&payload);
}

static view_db *create(void)
{
    view_db *db;
    cr_assert_eq(view_db_create(&db, path, &dataset), ERR_OK);
    return db;
}

static view_db *create_finished(void)
{
    view_position at = {17, 5, UINT64_MAX};
    view_db *db = create();
    cr_assert_eq(view_db_finish(db, &at), ERR_OK);
    return db;
}

static view_row totals(void)
{
    view_reader *r;
    view_row out = {0};
    cr_assert_eq(view_reader_open(&r, path), ERR_OK);
    cr_assert_eq(view_read_totals(r, &out), ERR_OK);
    view_reader_close(&r);
    return out;
}

/* ---- values ---- */

/* Field `v` of the one record that is there. */
static void assert_value(bytes value)
{
    view_reader *r;
    records_reply reply;
    record_row row;
    records_request req = {.max = 10};
    cr_assert_eq(view_reader_open(&r, path), ERR_OK);
    cr_assert_eq(view_read_records(r, &req, &reply), ERR_OK);
    cr_assert_eq(reply.records.n, 1);
    memcpy(&row, reply.records.items, sizeof row);
    mp_reader m = mp_reader_of(row.fields);
    cr_assert_eq(mp_map(&m), 1);
    cr_assert(bytes_is(mp_str(&m), "v"));
    bytes got = mp_rest(&m);
    cr_assert(bytes_eq(got, value), "%zu bytes, first %02x, instead of %zu, first %02x", got.len,
              got.p[0], value.len, value.p[0]);
    view_reader_close(&r);
}

Test(projection_view, every_value_comes_back_byte_for_byte)
{
    prop_rng rng = prop_begin("projection_view");
    view_db *db = create_finished();
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    static const double doubles[] = {0.0,    -0.0,      1.0,        -1.5,     1e300,
                                     5e-324, 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0};
    for (unsigned i = 0; i < 400; i++) {
        one o;
        buf_clear(&payload);
        mp_put_map(&payload, 1);
        mp_put_cstr(&payload, "v");
        size_t at = payload.len;
        if (i < sizeof doubles / sizeof doubles[0])
            i == 8 ? (void)buf_add(&payload, "\xcb\x7f\xf8\0\0\0\0\0\0", 9)
                   : mp_put_double(&payload, doubles[i]);
        else if (i == 20)
            mp_put_uint(&payload, UINT64_MAX);
        else if (i == 21)
            mp_put_uint(&payload, INT64_MAX);
        else if (i == 22)
            mp_put_int(&payload, INT64_MIN);
        else if (i == 23)
            mp_put_str(&payload, bytes_of("with\0nul", 8));
        else if (i == 24)
            mp_put_cstr(&payload, "");
        else
            prop_value(&rng, &payload, 13);
        bytes value = bytes_of(payload.p + at, payload.len - at);
        one_init(&o, "f", "r", "field.set", buf_view(&payload));
        cr_assert_eq(view_db_begin(db), ERR_OK);
        cr_assert_eq(one_put(&o, db), ERR_OK);
        cr_assert_eq(view_db_commit(db, &(view_position){17, 6 + i, 0}), ERR_OK);
        assert_value(value);
        one_release(&o);
    }
    buf_release(&payload);
    view_db_close(&db);
}

/* ---- transactions and counts ---- */

Test(projection_view, state_and_position_are_one)
{
    view_db *db = create_finished();
    cr_assert_eq(view_db_begin(db), ERR_OK);
    put_text(db, "f", "r", "record.create", "a", "x");
    view_db_rollback(db);
    cr_assert_eq(totals().records, 0);
    cr_assert_eq(view_db_begin(db), ERR_OK);
    put_text(db, "f", "r", "record.create", "a", "x");
    cr_assert_eq(totals().records, 0, "nobody sees half a batch");
    cr_assert_eq(view_db_commit(db, &(view_position){18, 7, 9}), ERR_OK);
    cr_assert_eq(totals().records, 1);
    view_db_close(&db);
    cr_assert_eq(view_db_open(&db, path, &dataset), ERR_OK);
    view_position at = view_db_position(db);
    cr_assert(at.epoch == 18 && at.offset == 7 && at.prefix == 9);
    cr_assert_eq(view_db_begin(db), ERR_OK);
    put_text(db, "f", "r", "record.delete", "a", "x");
    put_text(db, "f", "q", "field.set", "a", "x");
    put_text(db, "f", "bad", "note.add", "no text", "x");
    cr_assert_eq(view_db_commit(db, &at), ERR_OK);
    view_row now = totals();
    cr_assert_eq(now.records, 1);
    cr_assert_eq(now.anomalies, 1);
    cr_assert_eq(view_db_begin(db), ERR_OK);
    put_text(db, "f", "q", "unknown.kind", "a", "x");
    put_text(db, "f", "bad", "note.add", "text", "x");
    cr_assert_eq(view_db_commit(db, &at), ERR_OK);
    now = totals();
    cr_assert_eq(now.records, 1, "a stream of unknown kinds is no record");
    cr_assert_eq(now.anomalies, 0);
    view_db_close(&db);
}

Test(projection_view, damaged_rows_without_a_stream_are_on_show)
{
    view_db *db = create_finished();
    view_damaged d = {{3, 7, 0xbeef}};
    cr_assert_eq(view_db_begin(db), ERR_OK);
    cr_assert_eq(view_db_put_damaged(db, &d), ERR_OK);
    cr_assert_eq(view_db_put_damaged(db, &d), ERR_OK);
    cr_assert_eq(view_db_commit(db, &(view_position){1, 2, 3}), ERR_OK);
    cr_assert_eq(totals().anomalies, 1);
    cr_assert_eq(view_db_begin(db), ERR_OK);
    cr_assert_eq(view_db_drop_damaged(db, &d), ERR_OK);
    cr_assert_eq(view_db_commit(db, &(view_position){1, 3, 3}), ERR_OK);
    cr_assert_eq(totals().anomalies, 0);
    view_db_close(&db);
}

/* ---- names ---- */

Test(projection_view, no_name_of_form_or_field_can_break_it)
{
    static const char *const names[] = {
        "a",        "A",      "a\"b",     "a'b",     "a]b",       "[a]",  "a`b",
        "a;--",     "select", "sqlite_x", "a\\b",    "a\nb",      "a.b",  "$",
        "_created", "水",     "form_a",   "records", "a\x01\x02", "%s%n", "a\"\\\"b"};
    const size_t n = sizeof names / sizeof names[0];
    view_db *db = create_finished();
    view_position at = {1, 1, 1};
    cr_assert_eq(view_db_begin(db), ERR_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            put_text(db, names[i], names[k], "record.create", names[k], "found");
    cr_assert_eq(view_db_commit(db, &at), ERR_OK);
    cr_assert_eq(totals().records, n * n);
    sqlite3_stmt *st;
    sqlite3 *sql;
    cr_assert_eq(sqlite3_open_v2(path, &sql, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(sql, "SELECT \"view\" FROM forms", -1, &st, NULL), SQLITE_OK);
    size_t views = 0;
    while (sqlite3_step(st) == SQLITE_ROW) {
        sqlite3_stmt *wide;
        char *text = sqlite3_mprintf("SELECT * FROM \"%w\"", sqlite3_column_text(st, 0));
        cr_assert_eq(sqlite3_prepare_v2(sql, text, -1, &wide, NULL), SQLITE_OK, "%s: %s", text,
                     sqlite3_errmsg(sql));
        size_t found = 0;
        while (sqlite3_step(wide) == SQLITE_ROW)
            for (int c = 0; c < (int)n; c++)
                found += sqlite3_column_type(wide, c) == SQLITE_TEXT &&
                         strcmp((const char *)sqlite3_column_text(wide, c), "found") == 0;
        cr_assert_eq(found, n, "%s shows %zu of %zu", text, found, n);
        sqlite3_finalize(wide);
        sqlite3_free(text);
        views++;
    }
    cr_assert_eq(views, n);
    sqlite3_finalize(st);
    sqlite3_close(sql);
    view_db_close(&db);
}

/* ---- files ---- */

Test(projection_view, tells_what_is_wrong_with_a_file)
{
    view_db *db;
    dataset_id other = {{1}};
    cr_assert_eq(view_db_open(&db, path, &dataset), ERR_NOT_FOUND);
    cr_assert_null(db);
    db = create();
    put_text(db, "f", "r", "record.create", "a", "x");
    view_db_close(&db); /* killed while it was built */
    cr_assert_neq(view_db_open(&db, path, &dataset), ERR_OK);
    db = create_finished();
    cr_assert(view_db_present(db));
    view_db_close(&db);
    cr_assert_eq(view_db_open(&db, path, &other), ERR_FOREIGN_DB);
    cr_assert_eq(view_db_open(&db, path, &dataset), ERR_OK);
    cr_assert_eq(unlink(path), 0);
    cr_assert_not(view_db_present(db));
    view_db_close(&db);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(write(fd, "no database ", 12), 12);
    close(fd);
    cr_assert_eq(view_db_open(&db, path, &dataset), ERR_DAMAGED);
    view_file_set_aside(dir, path);
    cr_assert_eq(view_db_open(&db, path, &dataset), ERR_NOT_FOUND);
}

Test(projection_view, the_link_turns_in_one_step)
{
    char now[VIEW_PATH_MAX], second[VIEW_PATH_MAX], link[VIEW_PATH_MAX];
    cr_assert_eq(view_file_current(dir, now), ERR_NOT_FOUND);
    view_db *db = create_finished();
    view_db_close(&db);
    cr_assert_eq(view_file_publish(dir, path), ERR_OK);
    cr_assert_eq(view_file_current(dir, now), ERR_OK);
    cr_assert_str_eq(now, path);
    view_file_next(dir, 2, second);
    cr_assert_eq(view_db_create(&db, second, &dataset), ERR_OK);
    view_db_close(&db);
    cr_assert_eq(view_file_publish(dir, second), ERR_OK);
    cr_assert_eq(view_file_current(dir, now), ERR_OK);
    cr_assert_str_eq(now, second);
    view_file_sweep(dir, second, NULL);
    cr_assert(access(path, F_OK) != 0 && access(second, F_OK) == 0);
    /* Something else under that name is not ours, and gives way. */
    view_file_link(dir, link);
    cr_assert_eq(unlink(link), 0);
    int fd = open(link, O_WRONLY | O_CREAT, 0600);
    close(fd);
    cr_assert_eq(view_file_current(dir, now), ERR_NOT_FOUND);
    cr_assert_eq(view_file_publish(dir, second), ERR_OK);
    cr_assert_eq(view_file_current(dir, now), ERR_OK);
}

Test(projection_view, a_line_longer_than_an_answer_comes_in_pieces)
{
    view_db *db = create_finished();
    view_reader *r;
    canonical_reply reply = {.after_form = bytes_str(""), .after_record = bytes_str("")};
    char cursor[2][16];
    buf all, line;
    buf_init(&all, 64u << 20);
    buf_init(&line, 64u << 20);
    for (size_t i = 0; i < 5u << 20; i++)
        buf_add_u8(&line, (uint8_t)('a' + i % 26));
    one o;
    refs_rules rules = {0};
    one_init(&o, "f", "long", "field.set", bytes_of("\x81\xa1v\x01", 4));
    view_record v = {.form = o.view.category, .record = o.view.stream, .line = buf_view(&line)};
    cr_assert_eq(record_fold(o.folder, &o.event, 1, &rules, &v.state), ERR_OK);
    cr_assert_eq(view_db_begin(db), ERR_OK);
    put_text(db, "f", "a", "record.create", "a", "x");
    cr_assert_eq(view_db_put(db, &v), ERR_OK);
    put_text(db, "f", "z", "record.create", "a", "x");
    cr_assert_eq(view_db_commit(db, &(view_position){1, 1, 1}), ERR_OK);
    cr_assert_eq(view_reader_open(&r, path), ERR_OK);
    for (unsigned n = 0; !reply.done; n++) {
        char form[8], record[8]; /* the answer borrows what was asked */
        snprintf(form, sizeof form, "%.*s", (int)reply.after_form.len,
                 (const char *)reply.after_form.p);
        snprintf(record, sizeof record, "%.*s", (int)reply.after_record.len,
                 (const char *)reply.after_record.p);
        memcpy(cursor[n % 2], form, 8);
        memcpy(cursor[n % 2] + 8, record, 8);
        canonical_request req = {.after_form = bytes_str(cursor[n % 2]),
                                 .after_record = bytes_str(cursor[n % 2] + 8),
                                 .skip = reply.skip};
        cr_assert_eq(view_read_canonical(r, &req, &reply), ERR_OK);
        buf_add_bytes(&all, reply.lines);
        cr_assert(n < 10);
    }
    const uint8_t *at = memmem(all.p, all.len, line.p, line.len);
    cr_assert_not_null(at, "the line is whole");
    cr_assert(at > all.p && at + line.len < all.p + all.len, "and between the others");
    view_reader_close(&r);
    one_release(&o);
    buf_release(&all);
    buf_release(&line);
    view_db_close(&db);
}
