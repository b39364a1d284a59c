#include "projection/fold_stream.h"

#include "pure/erasure.h"
#include "pure/value.h"

#include <stdlib.h>

#define FORM_STREAM  "form/"
#define FORM_KIND    "form.columns"
#define LINE_MAX     (256u << 20)
#define ERASURES_MAX 4096u

struct fold_stream {
    const forks *forks;
    const people *people;
    record_folder *folder;
    refs_event *events;
    uint32_t n, room;
    view_damaged *damaged;
    uint32_t n_damaged, damaged_room;
    bool hidden; /* one of the events is erased */
    arena scratch;
    buf line;
};

/* ---- rows ---- */

bool held_next(msg_list *rows, held_row *out)
{
    if (!msg_list_next(&stored_row_desc, rows, &out->row))
        return false;
    unsigned flags = out->row.flags;
    if ((flags & (ROW_CHANGED | ROW_DAMAGED)) != 0) {
        out->understood = false;
        return true;
    }
    err_t e = (flags & ROW_ERASED) != 0 ? event_parse_erased(out->row.body, &out->view)
                                        : event_parse(out->row.body, &out->view);
    out->understood = e == ERR_OK && !out->view.opaque;
    return true;
}

void kept_init(kept_rows *k)
{
    *k = (kept_rows){0};
    arena_init(&k->bodies);
}

void kept_release(kept_rows *k)
{
    arena_release(&k->bodies);
    free(k->at);
    kept_init(k);
}

void kept_clear(kept_rows *k)
{
    arena_reset(&k->bodies);
    k->n = 0;
}

err_t kept_add(kept_rows *k, const held_row *row)
{
    if (k->n == k->room) {
        uint32_t room = k->room == 0 ? 64 : k->room * 2;
        held_row *more = realloc(k->at, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        k->at = more;
        k->room = room;
    }
    held_row *to = &k->at[k->n];
    *to = *row;
    to->row.seal = bytes_of(NULL, 0);
    uint8_t *body = arena_array(&k->bodies, row->row.body.len, 1);
    if (body == NULL)
        return ERR_NO_MEMORY;
    if (row->row.body.len > 0)
        memcpy(body, row->row.body.p, row->row.body.len);
    to->row.body = bytes_of(body, row->row.body.len);
    if (row->understood && row->row.body.len > 0) {
        err_t e = row->view.erased ? event_parse_erased(to->row.body, &to->view)
                                   : event_parse(to->row.body, &to->view);
        TRY(e); /* the same bytes were read a moment ago */
    }
    k->n++;
    return ERR_OK;
}

/* ---- gathering ---- */

fold_stream *fold_stream_new(const forks *forks_, const people *people_)
{
    fold_stream *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->forks = forks_;
    f->people = people_;
    arena_init(&f->scratch);
    buf_init(&f->line, LINE_MAX);
    f->folder = record_folder_new();
    if (f->folder == NULL)
        fold_stream_free(&f);
    return f;
}

void fold_stream_free(fold_stream **at)
{
    fold_stream *f = *at;
    *at = NULL;
    if (f == NULL)
        return;
    record_folder_free(&f->folder);
    arena_release(&f->scratch);
    buf_release(&f->line);
    free(f->events);
    free(f->damaged);
    free(f);
}

void fold_stream_start(fold_stream *f)
{
    f->n = f->n_damaged = 0;
    f->hidden = false;
    arena_reset(&f->scratch);
}

static err_t add_damaged(fold_stream *f, const stored_row *row)
{
    if (f->n_damaged == f->damaged_room) {
        uint32_t room = f->damaged_room == 0 ? 16 : f->damaged_room * 2;
        view_damaged *more = realloc(f->damaged, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        f->damaged = more;
        f->damaged_room = room;
    }
    f->damaged[f->n_damaged++].ref = event_ref_of(row->feed, row->seq, &row->id);
    return ERR_OK;
}

err_t fold_stream_add(fold_stream *f, const held_row *h)
{
    if ((h->row.flags & ROW_DAMAGED) != 0)
        return add_damaged(f, &h->row);
    if (!h->understood)
        return ERR_OK;
    if (f->n == f->room) {
        uint32_t room = f->room == 0 ? 64 : f->room * 2;
        refs_event *more = realloc(f->events, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        f->events = more;
        f->room = room;
    }
    f->events[f->n++] = (refs_event){
        .feed = h->row.feed,
        .branch = forks_branch_of(f->forks, h->row.feed, h->row.seq, h->row.offset),
        .seq = h->row.seq,
        .id = &h->row.id,
        .view = &h->view,
        .counts = (h->row.flags & ROW_COUNTS) != 0 && feed_class_of(h->row.feed) != CLASS_RESERVED,
        .erased = (h->row.flags & ROW_HIDDEN) != 0,
    };
    f->hidden = f->hidden || f->events[f->n - 1].erased;
    return ERR_OK;
}

/* ---- erasures: who may, merge has judged (ROW_HIDDEN); here their keys are gathered ---- */

static err_t unite_keys(fold_stream *f, refs_event *target, const erasure *says)
{
    erasure_iter it = erasure_keys(says);
    bytes *all = arena_array(&f->scratch, (size_t)target->n_keys + it.left, sizeof *all);
    if (all == NULL)
        return ERR_NO_MEMORY;
    if (target->n_keys > 0)
        memcpy(all, target->keys, target->n_keys * sizeof *all);
    target->keys = all;
    while (erasure_next_key(&it, &all[target->n_keys]))
        target->n_keys++;
    return ERR_OK;
}

static err_t apply_erasure(fold_stream *f, const refs_event *by)
{
    erasure says;
    if (!erasure_read(by->feed, by->seq, by->view, &says))
        return ERR_OK;
    for (uint32_t i = 0; i < f->n; i++) {
        refs_event *t = &f->events[i];
        if (t->erased && event_id_eq(t->id, &says.id) &&
            people_may_erase(f->people, by->feed, t->feed))
            return unite_keys(f, t, &says);
    }
    return ERR_OK;
}

static err_t apply_erasures(fold_stream *f)
{
    uint32_t left = ERASURES_MAX;
    for (uint32_t i = 0; i < f->n && left > 0; i++)
        if (f->events[i].counts && !f->events[i].view->erased &&
            bytes_is(f->events[i].view->kind, EVENT_KIND_ERASE)) {
            TRY(apply_erasure(f, &f->events[i]));
            left--;
        }
    return ERR_OK;
}

/* ---- putting ---- */

static refs_rules rules_of(const fold_stream *f)
{
    refs_rules rules = {.barred = people_barred, .ctx = f->people};
    rules.branches = forks_branches(f->forks, &rules.n_branches);
    return rules;
}

static err_t put_record(fold_stream *f, view_db *db, bytes form, bytes record)
{
    refs_rules rules = rules_of(f);
    view_record r = {
        .form = form, .record = record, .damaged = f->damaged, .n_damaged = f->n_damaged};
    if (f->hidden)
        TRY(apply_erasures(f));
    TRY(record_fold(f->folder, f->events, f->n, &rules, &r.state));
    buf_clear(&f->line);
    TRY(record_export(r.state, form, record, &f->line));
    r.line = buf_view(&f->line);
    return view_db_put(db, &r);
}

/* The last form.columns in canonical order holds. */
static err_t put_columns(fold_stream *f, view_db *db, bytes form)
{
    refs_rules rules = rules_of(f);
    refs_stream s;
    bytes payload = bytes_of(NULL, 0);
    TRY(refs_resolve(&f->scratch, f->events, f->n, &rules, &s));
    for (uint32_t i = 0; i < s.n_counting; i++) {
        const event_view *v = s.events[s.order[i]].view;
        if (bytes_is(v->kind, FORM_KIND) && !v->erased && value_get(v->payload, "columns").len > 0)
            payload = v->payload;
    }
    return view_db_set_columns(db, form, payload);
}

err_t fold_stream_put(fold_stream *f, view_db *db, bytes category, bytes stream)
{
    size_t prefix = strlen(FORM_STREAM);
    if (!bytes_is(category, ROSTER_CATEGORY))
        return put_record(f, db, category, stream);
    if (stream.len > prefix && stream.len - prefix <= CATEGORY_MAX_BYTES &&
        memcmp(stream.p, FORM_STREAM, prefix) == 0)
        return put_columns(f, db, bytes_of(stream.p + prefix, stream.len - prefix));
    return ERR_OK;
}
