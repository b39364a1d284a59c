/* What may happen to the projection process, to its store and to its file. */
#include "shell/clock.h"
#include "tests/service/projection_world.h"
#include "tests/unit/prop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the store ---- */

static bool ready(world *w, buf *state)
{
    health_reply h;
    rig_ask(&w->rig, &health_request_desc, &(health_request){0}, &h);
    buf_clear(state);
    buf_add_bytes(state, h.state);
    return h.ready;
}

Test(projection_life, waits_for_its_store)
{
    world w;
    buf state;
    buf_init(&state, 512);
    world_begin_alone(&w);
    rig_start(&w.rig);
    cr_assert_not(ready(&w, &state));
    assert_bytes(buf_view(&state), "waiting for store");
    w.store = fake_store_new(&w.rig.home);
    world_create(&w, 1, "flood", "a", "depth", "low");
    record_reply r;
    world_record(&w, "flood", "a", false, &r);
    cr_assert(ready(&w, &state));
    fake_store_stop(w.store);
    record_request req = {.form = bytes_str("flood"), .record = bytes_str("a")};
    rig_ask(&w.rig, &record_request_desc, &req, &r); /* what is there goes on being shown */
    world_create(&w, 1, "flood", "b", "depth", "low");
    fake_store_start(w.store);
    world_record(&w, "flood", "b", false, &r);
    world_like_fresh(&w);
    buf_release(&state);
    world_end(&w);
}

Test(projection_life, begins_anew_with_another_store)
{
    world w;
    world_begin(&w);
    record_reply r;
    for (int i = 0; i < 10; i++)
        world_create(&w, 1, "flood", "old", "depth", "low");
    world_record(&w, "flood", "old", false, &r);
    fake_store_replace(w.store);
    for (int i = 0; i < 20; i++)
        world_create(&w, 1, "flood", "new", "depth", "low");
    world_record(&w, "flood", "new", false, &r);
    record_request gone = {.record = bytes_str("old")};
    rig_ask_fails(&w.rig, &record_request_desc, &gone, ERR_NOT_FOUND, NULL);
    cr_assert_eq(world_view(&w, 0, NULL).records, 1);
    world_end(&w);
}

Test(projection_life, builds_anew_when_far_behind)
{
    world w;
    world_begin(&w);
    record_reply r;
    char name[16];
    world_create(&w, 1, "flood", "first", "depth", "low");
    world_record(&w, "flood", "first", false, &r);
    rig_stop(&w.rig);
    fake_store_begin(w.store);
    for (int i = 0; i < 70000; i++) {
        snprintf(name, sizeof name, "r%d", i / 7);
        if (i % 7 == 0)
            world_create(&w, 1, "flood", name, "depth", "low");
        else
            world_set(&w, 1, "flood", name, "depth", "high", -1);
    }
    fake_store_commit(w.store);
    uint64_t scans = fake_store_asked(w.store, scan_request_desc.id);
    uint64_t looks = fake_store_asked(w.store, store_hello_request_desc.id);
    rig_start(&w.rig);
    world_record(&w, "flood", "r9999", false, &r);
    cr_assert_eq(r.events, 7);
    cr_assert(fake_store_asked(w.store, scan_request_desc.id) > scans);
    /* Before it followed, and before it built anew, it looked twice whether the store was still being filled. */
    cr_assert_geq(fake_store_asked(w.store, store_hello_request_desc.id), looks + 4);
    world_like_fresh(&w);
    world_end(&w);
}

/* ---- its file ---- */

Test(projection_life, its_file_may_be_deleted)
{
    world w;
    world_begin(&w);
    record_reply r;
    char path[HOME_PATH_MAX], target[HOME_PATH_MAX], name[64];
    rig_path(&w.rig, path, "records.db");
    for (int i = 0; i < 3; i++) {
        world_create(&w, 1, "flood", "a", "depth", "low");
        world_record(&w, "flood", "a", false, &r);
        ssize_t n = readlink(path, name, sizeof name - 1);
        cr_assert(n > 0);
        name[n] = '\0';
        rig_path(&w.rig, target, name);
        if (i != 0)
            cr_assert_eq(unlink(target), 0);
        if (i != 1)
            cr_assert_eq(unlink(path), 0);
        world_create(&w, 1, "flood", "b", "depth", "low");
        world_record(&w, "flood", "b", false, &r);
        /* Between those two nobody may have looked yet, but soon somebody does. */
        for (uint64_t end_ms = clock_mono().ms + RIG_MS; access(path, F_OK) != 0;) {
            cr_assert(clock_mono().ms < end_ms);
            (void)world_view(&w, 0, NULL);
        }
        world_like_fresh(&w);
    }
    world_end(&w);
}

static void damage(const char *path, off_t from, size_t n)
{
    int fd = open(path, O_WRONLY);
    char rubbish[4096];
    memset(rubbish, 0xa5, sizeof rubbish);
    cr_assert(fd >= 0);
    for (; n > 0; n -= sizeof rubbish, from += (off_t)sizeof rubbish)
        cr_assert_eq(pwrite(fd, rubbish, sizeof rubbish, from), (ssize_t)sizeof rubbish);
    close(fd);
}

Test(projection_life, a_damaged_file_is_set_aside)
{
    world w;
    world_begin(&w);
    record_reply r;
    char path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
    rig_path(&w.rig, path, "records.db");
    rig_path(&w.rig, aside, "records.db.damaged");
    world_create(&w, 1, "flood", "a", "depth", "low");
    world_record(&w, "flood", "a", false, &r);
    for (off_t from = 0; from <= 4096; from += 4096) { /* the header, then the tables */
        rig_stop(&w.rig);
        (void)unlink(aside);
        damage(path, from, 4096 * 8);
        rig_start(&w.rig);
        world_record(&w, "flood", "a", false, &r);
        cr_assert_eq(access(aside, F_OK), 0);
        world_like_fresh(&w);
    }
    world_end(&w);
}

Test(projection_life, a_rebuild_does_not_disturb_readers)
{
    world w;
    world_begin(&w);
    record_reply r;
    world_create(&w, 1, "flood", "a", "depth", "low");
    world_record(&w, "flood", "a", false, &r);
    sqlite3 *db = world_sqlite(&w);
    cr_assert_eq(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM records", NULL, NULL, NULL),
                 SQLITE_OK);
    world_rebuild(&w);
    world_create(&w, 1, "flood", "b", "depth", "low");
    world_record(&w, "flood", "b", false, &r);
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM records"), "1");
    cr_assert_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    db = world_sqlite(&w);
    cr_assert_str_eq(world_sql(db, "SELECT count(*) FROM records"), "2");
    sqlite3_close(db);
    rebuild_request unknown = {.name = bytes_str("other")};
    rig_ask_fails(&w.rig, &rebuild_request_desc, &unknown, ERR_NOT_FOUND, NULL);
    world_end(&w);
}

/* ---- killed at any moment ---- */

/* One random event; numbers of events so far are 0 … n-1. */
static uint32_t write_any(world *w, prop_rng *r, uint32_t n)
{
    static const char *const kinds[] = {"record.create", "field.set", "field.set",     "field.set",
                                        "tag.add",       "note.add",  "record.delete", "set.add"};
    static const char *const forms[] = {"flood", "flood", "health"};
    char record[8];
    fake_event e = {.feed = 1 + (feed_id)prop_below(r, 3),
                    .category = forms[prop_below(r, 3)],
                    .stream = record,
                    .kind = kinds[prop_below(r, 8)],
                    .wall_ms = 1767225600000 + prop_below(r, 100000),
                    .not_counting = prop_below(r, 12) == 0};
    snprintf(record, sizeof record, "r%u", (unsigned)prop_below(r, 12));
    for (uint64_t k = n > 0 ? prop_below(r, 3) : 0; k > 0; k--)
        e.replaces[e.n_replaces++] = (uint32_t)prop_below(r, n);
    const char *value = prop_below(r, 2) ? "x" : "y";
    buf p = strcmp(e.kind, "tag.add") == 0    ? world_map("tag", value, NULL)
            : strcmp(e.kind, "note.add") == 0 ? world_map("text", value, NULL)
            : strcmp(e.kind, "set.add") == 0  ? world_map("set", "s", "value", value, NULL)
                                             : world_map(prop_below(r, 2) ? "a" : "b", value, NULL);
    return world_write(w, e, p);
}

Test(projection_life, killed_at_random_it_equals_a_fresh_build)
{
    world w;
    world_begin(&w);
    prop_rng r = prop_begin("killed_at_random");
    uint32_t n = 0;
    record_reply reply;
    for (unsigned round = 0; round < 25; round++) {
        for (uint64_t k = prop_below(&r, 40); k > 0; k--) {
            if (n > 0 && prop_below(&r, 10) == 0)
                fake_store_verdict(w.store, (uint32_t)prop_below(&r, n), prop_below(&r, 2) == 0);
            else
                n = write_any(&w, &r, n) + 1;
        }
        if (prop_below(&r, 3) == 0) {
            world_create(&w, 1, "flood", "landmark", "a", "x");
            n++;
            world_record(&w, "flood", "landmark", false, &reply);
        } else if (prop_below(&r, 4) == 0) {
            world_like_fresh(&w);
        }
        rig_kill(&w.rig);
        rig_start(&w.rig);
    }
    world_like_fresh(&w);
    sqlite3 *db = world_sqlite(&w);
    cr_assert_str_eq(world_sql(db, "PRAGMA integrity_check"), "ok");
    sqlite3_close(db);
    world_end(&w);
}
