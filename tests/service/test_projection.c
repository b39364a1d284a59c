/* What the real projection process shows; the store is the test's. */
#include "pure/erasure.h"
#include "tests/service/projection_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- what a reader sees ---- */

Test(projection, follows_and_shows_conflicts)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t left = world_set(&w, 2, "flood", "a", "depth", "high", (int)made);
    world_set(&w, 3, "flood", "a", "depth", "middle", (int)made);
    world_record(&w, "", "a", true, &r);
    cr_assert_eq(r.events, 3);
    cr_assert_eq(r.conflicts, 1);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "middle"));
    cr_assert(world_row(&r, "depth", 0).shown && world_row(&r, "depth", 1).live);
    cr_assert(world_is_text(world_row(&r, "depth", 1).value, "high") &&
              !world_row(&r, "depth", 1).shown);
    write_row old = world_row(&r, "depth", 2);
    cr_assert(world_is_text(old.value, "low") && !old.live);
    assert_within(old.mark, "replaced by member 2 (2-1) 2026-01-01");
    world_set(&w, 1, "flood", "a", "depth", "settled", (int)left);
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.conflicts, 1, "it named one side only");
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, names_its_members)
{
    world w;
    record_reply r;
    world_begin(&w);
    fake_store_genesis(w.store);
    uint32_t made = world_create(&w, 2, "flood", "a", "depth", "low");
    world_record(&w, "flood", "a", false, &r);
    assert_bytes(world_row(&r, "depth", 0).author, "member 2");
    fake_store_member(w.store, 2, "team two");
    world_set(&w, 1, "flood", "a", "depth", "high", (int)made);
    world_record(&w, "flood", "a", true, &r);
    assert_bytes(world_row(&r, "depth", 0).author, "base camp");
    assert_bytes(world_row(&r, "depth", 1).author, "team two");
    assert_within(world_row(&r, "depth", 1).mark, "replaced by base camp (1-3) ");
    sqlite3 *db = world_sqlite(&w);
    cr_assert_str_eq(world_sql(db, "SELECT group_concat(number || name || role) FROM members"),
                     "1base campfounder,2team twofield");
    sqlite3_close(db);
    world_like_fresh(&w);
    world_end(&w);
}

/* Fine print 14: references by others to a fork that a removal lists count as none. */
Test(projection, folds_all_anew_when_a_removal_voids_references)
{
    world w;
    record_reply r;
    world_begin(&w);
    fake_store_genesis(w.store);
    fake_store_member(w.store, 2, "thief");
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t two = world_set(&w, 2, "flood", "a", "depth", "high", (int)made);
    world_set(&w, 1, "flood", "a", "depth", "mine", (int)two);
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.conflicts, 0);
    fake_store_remove(w.store, 2, two, 1);
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.conflicts, 1, "the reference to what the thief wrote is void");
    world_like_fresh(&w);
    rig_stop(&w.rig);
    uint64_t scans = fake_store_asked(w.store, scan_request_desc.id);
    rig_start(&w.rig);
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.conflicts, 1);
    cr_assert_eq(fake_store_asked(w.store, scan_request_desc.id), scans, "no need to build again");
    world_end(&w);
}

Test(projection, lists_page_by_page)
{
    world w;
    world_begin(&w);
    char name[16];
    for (int i = 0; i < 25; i++) {
        snprintf(name, sizeof name, "r%02d", i);
        world_create(&w, 1, i % 2 ? "b" : "a", name, "n", name);
    }
    records_request req = {.max = 10, .min_offset = fake_store_head(w.store)};
    records_reply reply;
    record_row row;
    char form[8] = "", record[16] = "";
    unsigned n = 0, pages = 0;
    do {
        req.after_form = bytes_str(form);
        req.after_record = bytes_str(record);
        rig_ask(&w.rig, &records_request_desc, &req, &reply);
        for (msg_list rows = reply.records; msg_list_next(&record_row_desc, &rows, &row); n++) {
            cr_assert(bytes_cmp(row.form, bytes_str(form)) > 0 ||
                      bytes_cmp(row.record, bytes_str(record)) > 0);
            snprintf(form, sizeof form, "%.*s", (int)row.form.len, (const char *)row.form.p);
            snprintf(record, sizeof record, "%.*s", (int)row.record.len,
                     (const char *)row.record.p);
        }
        pages++;
    } while (reply.more);
    cr_assert_eq(n, 25);
    cr_assert_eq(pages, 3);
    req = (records_request){.form = bytes_str("b"), .max = 100};
    rig_ask(&w.rig, &records_request_desc, &req, &reply);
    cr_assert_eq(reply.records.n, 12);
    req.only_conflicts = true;
    rig_ask(&w.rig, &records_request_desc, &req, &reply);
    cr_assert_eq(reply.records.n, 0);
    buf text;
    buf_init(&text, 512);
    record_request unknown = {.record = bytes_str("nothing")};
    rig_ask_fails(&w.rig, &record_request_desc, &unknown, ERR_NOT_FOUND, &text);
    assert_within(buf_view(&text), "nothing");
    world_create(&w, 1, "b", "r00", "n", "twin");
    record_request twin = {.record = bytes_str("r00"), .min_offset = fake_store_head(w.store)};
    buf_clear(&text);
    rig_ask_fails(&w.rig, &record_request_desc, &twin, ERR_CONFLICT, &text);
    assert_within(buf_view(&text), "a, b");
    buf_release(&text);
    world_end(&w);
}

static void set_flag(void *ctx, err_t e, const char *text, const void *reply)
{
    (void)text;
    (void)reply;
    cr_assert_eq(e, ERR_OK);
    *(bool *)ctx = true;
}

Test(projection, waits_for_the_offset_asked_for)
{
    world w;
    world_begin(&w);
    bool answered = false;
    world_create(&w, 1, "flood", "a", "depth", "low");
    forms_request late = {.min_offset = fake_store_head(w.store) + 1};
    cr_assert_eq(clnt_send(w.rig.clnt, &forms_request_desc, &late, RIG_MS, set_flag, &answered),
                 ERR_OK);
    /* Requests of one socket are taken in order: when these two are answered, the first has been seen. */
    bool seen = false;
    forms_request now = {.min_offset = fake_store_head(w.store)};
    cr_assert_eq(clnt_send(w.rig.clnt, &forms_request_desc, &now, RIG_MS, set_flag, &seen), ERR_OK);
    rig_await(&w.rig, &seen);
    cr_assert_not(answered);
    world_create(&w, 1, "flood", "b", "depth", "low");
    rig_await(&w.rig, &answered);
    world_end(&w);
}

typedef struct {
    unsigned refused;
    bool enough;
} refusals;

static void count_refusal(void *ctx, err_t e, const char *text, const void *reply)
{
    refusals *r = ctx;
    (void)text;
    (void)reply;
    cr_assert(e == ERR_BUSY || e == ERR_STOPPING, "%s", err_name(e));
    r->refused += e == ERR_BUSY;
    r->enough = r->refused == 44;
}

Test(projection, lets_only_so_many_wait)
{
    world w;
    world_begin(&w);
    refusals r = {0};
    forms_request never = {.min_offset = 1000000};
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(clnt_send(w.rig.clnt, &forms_request_desc, &never, RIG_MS, count_refusal, &r),
                     ERR_OK);
    rig_await(&w.rig, &r.enough);
    world_end(&w);
    cr_assert_eq(r.refused, 44);
}

/* ---- what must not stop it ---- */

Test(projection, shows_what_is_malformed_and_goes_on)
{
    world w;
    world_begin(&w);
    record_reply r;
    world_create(&w, 1, "flood", "a", "depth", "low");
    uint8_t five = 5;
    fake_store_append(w.store, &(fake_event){.feed = 2,
                                             .category = "flood",
                                             .stream = "a",
                                             .kind = "field.set",
                                             .payload = bytes_of(&five, 1)});
    fake_store_append(w.store, &(fake_event){.feed = 2,
                                             .category = "flood",
                                             .stream = "only-rubbish",
                                             .kind = "note.add",
                                             .payload = bytes_of(&five, 1)});
    fake_store_append(w.store, &(fake_event){.category = "cairn",
                                             .stream = "form/flood",
                                             .kind = "form.columns",
                                             .payload = bytes_of(&five, 1)});
    fake_store_append(w.store, &(fake_event){.category = "cairn",
                                             .stream = "members",
                                             .kind = "member.add",
                                             .payload = bytes_of(&five, 1)});
    world_create(&w, 1, "flood", "b", "depth", "low");
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.anomalies.n, 1);
    write_row row;
    cr_assert(msg_list_next(&write_row_desc, &r.anomalies, &row));
    cr_assert_eq(row.feed, 2);
    cr_assert(row.mark.len > 0);
    world_record(&w, "flood", "b", false, &r);
    view_row v = world_view(&w, 0, NULL);
    cr_assert_eq(v.records, 2);
    cr_assert_eq(v.anomalies, 2);
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, folds_late_events_anew)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    world_set(&w, 1, "flood", "a", "depth", "high", (int)made);
    world_record(&w, "flood", "a", false, &r);
    /* From another team, written before both. */
    world_write(&w,
                (fake_event){.feed = 2,
                             .category = "flood",
                             .stream = "a",
                             .kind = "field.set",
                             .wall_ms = 1767225600001},
                world_map("depth", "unknown", NULL));
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.events, 3);
    cr_assert_eq(r.conflicts, 1);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "high"));
    cr_assert(world_is_text(world_row(&r, "depth", 1).value, "unknown"));
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, takes_verdicts_of_now)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t thief = world_set(&w, 2, "flood", "a", "depth", "stolen", (int)made);
    uint32_t alone = world_create(&w, 2, "flood", "of-the-thief", "depth", "x");
    world_record(&w, "flood", "a", false, &r);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "stolen"));
    fake_store_verdict(w.store, thief, false);
    fake_store_verdict(w.store, alone, false);
    world_record(&w, "flood", "a", true, &r);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "low"));
    assert_within(world_row(&r, "depth", 0).mark,
                  "value before the removed edit of member 2 (2-1)");
    assert_within(world_row(&r, "depth", 2).mark, "does not count");
    cr_assert_eq(world_view(&w, 0, NULL).records, 1);
    world_like_fresh(&w);
    fake_store_verdict(w.store, thief, true);
    world_record(&w, "flood", "a", false, &r);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "stolen"));
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, shows_what_a_deleter_did_not_see)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    fake_store_append(w.store, &(fake_event){.feed = 1,
                                             .category = "flood",
                                             .stream = "a",
                                             .kind = "record.delete",
                                             .replaces = {made},
                                             .n_replaces = 1});
    world_set(&w, 2, "flood", "a", "depth", "high", (int)made);
    world_record(&w, "flood", "a", false, &r);
    cr_assert(r.deleted);
    assert_bytes(world_row(&r, "depth", 0).mark, "edited after, unseen by the deleter");
    records_request req = {.max = 10, .only_conflicts = true};
    records_reply list;
    rig_ask(&w.rig, &records_request_desc, &req, &list);
    cr_assert_eq(list.records.n, 1);
    cr_assert_eq(world_view(&w, 0, NULL).records, 0);
    world_end(&w);
}

Test(projection, keeps_the_branches_of_a_fork)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t one = world_set(&w, 1, "flood", "a", "depth", "one", (int)made);
    world_record(&w, "flood", "a", false, &r);
    fake_event twin = {.feed = 1,
                       .category = "flood",
                       .stream = "a",
                       .kind = "field.set",
                       .after = made + 1,
                       .replaces = {made},
                       .n_replaces = 1};
    uint32_t two = world_write(&w, twin, world_map("depth", "two", NULL));
    twin.after = two + 1;
    twin.replaces[0] = two;
    world_write(&w, twin, world_map("depth", "three", NULL));
    twin.after = one + 1;
    twin.stream = "b";
    twin.kind = "record.create";
    twin.n_replaces = 0;
    world_write(&w, twin, world_map("depth", "elsewhere", NULL));
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.events, 4);
    cr_assert_eq(r.conflicts, 1);
    world_like_fresh(&w);
    rig_kill(&w.rig);
    rig_start(&w.rig);
    world_set(&w, 2, "flood", "a", "depth", "more", -1);
    world_like_fresh(&w);
    world_end(&w);
}

/* Is it anywhere in the files of the projection? */
static bool is_on_disk(const world *w, const char *text)
{
    char path[HOME_PATH_MAX];
    static uint8_t bytes_read[4u << 20];
    bool found = false;
    rig_path(&w->rig, path, ".");
    DIR *d = opendir(path);
    for (struct dirent *row; (row = readdir(d)) != NULL;) {
        int fd = openat(dirfd(d), row->d_name, O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, bytes_read, sizeof bytes_read) : 0;
        found = found || (n > 0 && memmem(bytes_read, (size_t)n, text, strlen(text)) != NULL);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    return found;
}

static void write_erasure(world *w, feed_id feed, uint32_t target, const char *name)
{
    buf payload;
    bytes key = bytes_str(name);
    event_ref ref = fake_store_ref(w->store, target);
    event_id id = fake_store_id(w->store, target);
    buf_init(&payload, 256);
    erasure_write(&payload, ref.feed, ref.seq, &id, &key, 1);
    fake_event e = {.feed = feed, .category = "flood", .stream = "a", .kind = EVENT_KIND_ERASE};
    world_write(w, e, payload);
}

Test(projection, hides_what_was_erased)
{
    world w;
    world_begin(&w);
    record_reply r;
    fake_store_genesis(w.store);
    fake_store_member(w.store, 2, "team-2");
    fake_store_member(w.store, 3, "team-3");
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t old = world_set(&w, 2, "flood", "a", "name", "Somebody", (int)made);
    uint32_t secret = world_set(&w, 2, "flood", "a", "name", "Somebody else", (int)old);
    world_set(&w, 2, "flood", "a", "depth", "Somebody deep", (int)made);
    world_record(&w, "flood", "a", false, &r);
    cr_assert(is_on_disk(&w, "Somebody else"));
    write_erasure(&w, 3, secret, "depth"); /* by somebody who may not: merge does not hide it */
    world_record(&w, "flood", "a", false, &r);
    cr_assert(world_is_text(world_row(&r, "name", 0).value, "Somebody else"));
    write_erasure(&w, 2, secret, "name");
    fake_store_erase(w.store, secret, true, false);
    for (int gone = 0; gone < 2; gone++) {
        world_record(&w, "flood", "a", true, &r);
        cr_assert(r.anomalies.n == 0 && r.conflicts == 0);
        cr_assert(world_row(&r, "name", 0).live && !world_row(&r, "name", 1).live,
                  "it goes on replacing what it replaced");
        assert_bytes(world_row(&r, "name", 0).mark, "erased");
        cr_assert(world_is_text(world_row(&r, "depth", 0).value, "Somebody deep"));
        while (
            is_on_disk(&w, "Somebody else")) /* the file is rewritten when nothing else is to do */
            world_record(&w, "flood", "a", true, &r);
        cr_assert(is_on_disk(&w, "Somebody deep"));
        world_like_fresh(&w);
        fake_store_erase(w.store, secret, true, true);
    }
    world_end(&w);
}

Test(projection, says_that_a_tail_is_missing)
{
    world w;
    world_begin(&w);
    record_reply r;
    uint32_t made = world_create(&w, 1, "flood", "a", "depth", "low");
    uint32_t bare = world_set(&w, 2, "flood", "a", "depth", "high", (int)made);
    fake_store_erase(w.store, bare, true, true);
    fake_store_erase(w.store, bare, false, false); /* the erasure counts no more */
    world_record(&w, "flood", "a", false, &r);
    cr_assert_eq(r.anomalies.n, 1);
    cr_assert(world_is_text(world_row(&r, "depth", 0).value, "low"), "it replaces nothing either");
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, reads_streams_longer_than_an_answer)
{
    world w;
    world_begin(&w);
    record_reply r;
    int last = (int)world_create(&w, 1, "flood", "a", "depth", "0");
    world_record(&w, "flood", "a", false, &r);
    fake_store_begin(w.store);
    for (int i = 0; i < 9000; i++)
        last = (int)world_set(&w, 1, "flood", "a", "depth", i % 2 ? "odd" : "even", last);
    fake_store_commit(w.store);
    world_record(&w, "flood", "a", true, &r);
    cr_assert_eq(r.events, 9001);
    cr_assert_eq(r.conflicts, 0);
    cr_assert_eq(r.live, 2, "the create and the last value");
    world_like_fresh(&w);
    world_end(&w);
}

Test(projection, people_read_it_with_sql)
{
    world w;
    world_begin(&w);
    record_reply r;
    buf columns;
    buf_init(&columns, 1024);
    mp_put_map(&columns, 1);
    mp_put_cstr(&columns, "columns");
    mp_put_array(&columns, 3);
    mp_put_cstr(&columns, "zone");
    mp_put_cstr(&columns, "a \"quoted\" name");
    mp_put_cstr(&columns, "depth");
    fake_store_append(w.store, &(fake_event){.category = "cairn",
                                             .stream = "form/flood",
                                             .kind = "form.columns",
                                             .payload = buf_view(&columns)});
    uint32_t made =
        world_write(&w, (fake_event){.category = "flood", .stream = "a", .kind = "record.create"},
                    world_map("a \"quoted\" name", "x", "depth", "low", "zone", "A", NULL));
    world_set(&w, 2, "flood", "a", "depth", "high", (int)made);
    world_set(&w, 3, "flood", "a", "depth", "'; DROP TABLE record_row; --", (int)made);
    world_set(&w, 2, "flood", "a", "added later", "1", -1);
    world_create(&w, 1, "odd \"form'", "a", "x", "y");
    world_create(&w, 1, "records", "a", "x", "y");
    world_record(&w, "flood", "a", false, &r);
    sqlite3 *db = world_sqlite(&w);
    cr_assert_str_eq(
        world_sql(db, "SELECT group_concat(name, '|') FROM pragma_table_info('form_flood')"),
        "zone|a \"quoted\" name|depth|added "
        "later|_record|_conflicts|_events|_created_by|_created_at|"
        "_changed_at");
    cr_assert_str_eq(
        world_sql(db, "SELECT zone || \"a \"\"quoted\"\" name\" || depth FROM form_flood"),
        "Ax'; DROP TABLE record_row; --");
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM \"form_odd \"\"form'\""), "1");
    cr_assert_str_eq(world_sql(db, "SELECT x FROM form_records"), "y");
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM records"), "3");
    cr_assert_str_eq(
        world_sql(db, "SELECT created_by || ' ' || created_at FROM records WHERE form = 'flood'"),
        "member 1 2026-01-01T00:00:02.000Z");
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM conflicts WHERE name = 'depth'"), "2");
    cr_assert_str_eq(world_sql(db, "SELECT status FROM history WHERE name = 'depth' AND NOT live"),
                     "replaced by member 2 (2-1) 2026-01-01T00:00:03.000Z");
    cr_assert_str_eq(world_sql(db, "SELECT value FROM fields WHERE field = 'zone'"), "A");
    cr_assert_str_eq(world_sql(db, "SELECT records FROM forms WHERE form = 'flood'"), "1");
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM anomalies"), "0");
    cr_assert_str_eq(world_sql(db, "PRAGMA integrity_check"), "ok");
    sqlite3_close(db);
    forms_request req = {0};
    forms_reply forms;
    form_row row;
    rig_ask(&w.rig, &forms_request_desc, &req, &forms);
    cr_assert(msg_list_next(&form_row_desc, &forms.forms, &row));
    assert_bytes(row.form, "flood");
    cr_assert(bytes_eq(row.columns, buf_view(&columns)));
    buf_release(&columns);
    world_end(&w);
}
