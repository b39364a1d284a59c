#include "projection/projection.h"

#include "shell/clock.h"

#include <stdio.h>

#define BUILD_RETRY_MS 3000u
#define CHECK_MS       1000u

/* ---- showing ---- */

static void hide(projection *p)
{
    view_reader_close(&p->reader);
    follow_free(&p->live);
    p->position = (view_position){0};
    p->has_digest = false;
    view_reader_close(&p->job.reader);
}

static follow_setup setup_of(projection *p)
{
    return (follow_setup){
        .store = p->store,
        .batch = (uint32_t)config_int(service_config(p->service), "projection", "batch"),
        .seed = p->seed,
        .dataset = service_home(p->service)->dataset,
        .service = p->service};
}

static void try_later(projection *p, const char *what, err_t e)
{
    snprintf(p->trouble, sizeof p->trouble, "%s: %s", what, err_text(e));
    log_warn("%s", p->trouble);
    p->build_at.ms = clock_mono().ms + BUILD_RETRY_MS;
    service_wake(p->service, p->build_at);
}

void projection_build(projection *p)
{
    view_db *db;
    if (p->next != NULL || p->build_at.ms != 0)
        return;
    view_file_next(p->dir, random_u64(), p->next_path);
    err_t e = view_db_create(&db, p->next_path, &service_home(p->service)->dataset);
    if (e == ERR_OK) {
        follow_setup setup = setup_of(p);
        p->next = follow_new(&setup, db, true);
        e = p->next == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    p->next_counted = (follow_counts){0};
    if (e == ERR_OK)
        return;
    view_file_remove(p->next_path);
    try_later(p, "cannot make a new record view", e);
}

static err_t show(projection *p, const char *path)
{
    view_reader *fresh;
    TRY(view_reader_open(&fresh, path));
    view_reader_close(&p->reader);
    p->reader = fresh;
    snprintf(p->path, sizeof p->path, "%s", path);
    return ERR_OK;
}

static err_t open_current(projection *p)
{
    char path[VIEW_PATH_MAX];
    view_db *db;
    TRY(view_file_current(p->dir, path));
    err_t e = view_db_open(&db, path, &service_home(p->service)->dataset);
    if (e == ERR_OK)
        e = show(p, path);
    else
        db = NULL;
    if (e == ERR_OK) {
        follow_setup setup = setup_of(p);
        p->live = follow_new(&setup, db, false);
        return p->live == NULL ? ERR_NO_MEMORY : ERR_OK;
    }
    view_db_close(&db);
    if (e == ERR_DAMAGED) {
        log_warn("%s is damaged: kept as records.db.damaged, building a new one", path);
        view_file_set_aside(p->dir, path);
    }
    return e;
}

err_t projection_open(projection *p)
{
    err_t e = open_current(p);
    if (e == ERR_NO_MEMORY)
        return e;
    view_file_sweep(p->dir, p->live != NULL ? p->path : NULL, NULL);
    if (p->live == NULL)
        projection_build(p);
    return ERR_OK;
}

void projection_close(projection *p)
{
    hide(p);
    follow_free(&p->next);
    waiters_release(&p->waiters);
}

/* ---- swapping ---- */

static void answer_rebuilds(projection *p, err_t e)
{
    for (size_t i = 0; i < p->n_rebuilds; i++)
        if (e == ERR_OK)
            service_reply(p->service, &p->rebuilds[i], &(ok_reply){0});
        else
            service_fail(p->service, &p->rebuilds[i], e, "%s", p->trouble);
    if (p->n_rebuilds > 0)
        p->rebuilt = p->rebuilds[0];
    p->n_rebuilds = 0;
}

static bool next_is_ready(const projection *p)
{
    follow_end why;
    if (p->next == NULL || follow_over(p->next, &why))
        return false;
    uint64_t offset = follow_position(p->next).offset;
    if (follow_position(p->next).epoch == 0)
        return false; /* still building */
    return p->reader == NULL || offset >= p->position.offset || follow_caught_up(p->next);
}

/* The new file becomes the one that is shown; whoever reads the old one goes on. */
static void swap(projection *p)
{
    char old[VIEW_PATH_MAX];
    snprintf(old, sizeof old, "%s", p->path);
    err_t e = view_file_publish(p->dir, p->next_path);
    if (e == ERR_OK)
        e = show(p, p->next_path);
    if (e != ERR_OK) {
        follow_free(&p->next);
        view_file_remove(p->next_path);
        try_later(p, "cannot show the new record view", e);
        answer_rebuilds(p, e);
        return;
    }
    follow_free(&p->live);
    p->live = p->next;
    p->live_counted = p->next_counted;
    p->next = NULL;
    p->position = (view_position){0};
    p->trouble[0] = '\0';
    view_reader_close(&p->job.reader);
    if (old[0] != '\0' && strcmp(old, p->path) != 0)
        view_file_remove(old);
    service_count(p->service, COUNT_REBUILDS, 1);
    log_info("showing a new record view at offset %llu",
             (unsigned long long)follow_position(p->live).offset);
    answer_rebuilds(p, ERR_OK);
}

/* ---- ends ---- */

static void end_live(projection *p, follow_end why)
{
    log_info("building the record view anew: %s", follow_end_text(why));
    if (why == FOLLOW_BEHIND || why == FOLLOW_MEANING) {
        follow_free(&p->live); /* what it shows stays until the new one is there */
    } else {
        hide(p);
        if (why == FOLLOW_DAMAGED)
            view_file_set_aside(p->dir, p->path);
        else
            view_file_remove(p->path);
        p->path[0] = '\0';
    }
    projection_build(p);
}

static void end_next(projection *p, follow_end why)
{
    follow_free(&p->next);
    view_file_remove(p->next_path);
    if (why == FOLLOW_EPOCH || why == FOLLOW_BEHIND || why == FOLLOW_MEANING) {
        projection_build(p);
        return;
    }
    try_later(p, "the new record view", why == FOLLOW_DAMAGED ? ERR_DAMAGED : ERR_IO);
    answer_rebuilds(p, ERR_IO);
}

/* Somebody may take the link away, or put something else in its place. */
static bool link_is_ours(projection *p)
{
    char path[VIEW_PATH_MAX];
    mono_ms now = clock_mono();
    if (p->live == NULL || now.ms - p->checked.ms < CHECK_MS)
        return true;
    p->checked = now;
    return view_file_current(p->dir, path) == ERR_OK && strcmp(path, p->path) == 0;
}

static void look_after(projection *p)
{
    follow_end why;
    if (p->live != NULL && follow_over(p->live, &why))
        end_live(p, why);
    else if (p->unreadable && p->reader != NULL)
        end_live(p, FOLLOW_DAMAGED);
    else if (!link_is_ours(p))
        end_live(p, FOLLOW_GONE);
    p->unreadable = false;
    if (p->next != NULL && follow_over(p->next, &why))
        end_next(p, why);
    if (p->build_at.ms != 0 && clock_mono().ms >= p->build_at.ms) {
        p->build_at.ms = 0;
        if (p->reader == NULL || p->live == NULL)
            projection_build(p);
    }
}

static void count(projection *p, const follow *f, follow_counts *counted)
{
    if (f == NULL)
        return;
    follow_counts now = follow_counted(f);
    if (now.rows < counted->rows) /* a walk that began anew */
        counted->rows = 0;
    service_count(p->service, COUNT_ROWS, now.rows - counted->rows);
    service_count(p->service, COUNT_STREAMS, now.streams - counted->streams);
    service_count(p->service, COUNT_READS, now.reads - counted->reads);
    *counted = now;
}

void projection_turn(projection *p)
{
    count(p, p->live, &p->live_counted);
    count(p, p->next, &p->next_counted);
    look_after(p);
    if (next_is_ready(p))
        swap(p);
    if (p->live == NULL || p->reader == NULL)
        return;
    view_position now = follow_position(p->live);
    if (now.offset == p->position.offset && now.epoch == p->position.epoch)
        return;
    p->position = now;
    service_count(p->service, COUNT_COMMITS, 1);
    service_ring(p->service, now.offset);
    waiters_run(&p->waiters, p->service, p, now.offset, false);
    if (p->job.reader == NULL) /* of a file that was swapped away */
        waiters_run(&p->waiters, p->service, p, now.offset, true);
}

bool projection_state(const projection *p, buf *out)
{
    bool ready = false;
    if (p->live != NULL)
        ready = follow_state(p->live, out);
    if (p->next != NULL && (p->live == NULL || p->n_rebuilds > 0)) {
        buf_clear(out);
        (void)follow_state(p->next, out);
    } else if (p->live == NULL && p->next == NULL) {
        buf_add_str(out, p->trouble);
    }
    return ready && p->reader != NULL;
}
