#include "cli/csv_write.h"
#include "cli/export_shape.h"

#include <stdio.h>
#include <stdlib.h>

/* A set of names, kept sorted. There are few, and they come sorted: looking one up is cheap enough. */
typedef struct {
    bytes *names; /* owned, each with its own bytes */
    size_t n, capacity;
} name_set;

typedef struct {
    bytes *columns; /* borrowed from the options, in the order of the file */
    size_t n_columns;
    size_t *order; /* columns by name */
    bytes na;
    name_set extra;
    bool record_id, conflicts;
    bytes *cells; /* values of the record at hand, columns first, then extra; len 0: not answered */
    export_job *job;
} sheet;

/* ---- names ---- */

static size_t position_of(const name_set *s, bytes name)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (bytes_cmp(s->names[mid], name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static err_t add_name(name_set *s, bytes name)
{
    size_t at = position_of(s, name);
    if (at < s->n && bytes_eq(s->names[at], name))
        return ERR_OK;
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 16;
        bytes *more = realloc(s->names, capacity * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        s->names = more;
        s->capacity = capacity;
    }
    uint8_t *copy = malloc(name.len + 1);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    if (name.len)
        memcpy(copy, name.p, name.len);
    memmove(s->names + at + 1, s->names + at, (s->n - at) * sizeof *s->names);
    s->names[at] = bytes_of(copy, name.len);
    s->n++;
    return ERR_OK;
}

static void release_sheet(sheet *t)
{
    for (size_t i = 0; i < t->extra.n; i++)
        free((uint8_t *)(uintptr_t)t->extra.names[i].p);
    free(t->extra.names);
    free(t->columns);
    free(t->order);
    free(t->cells);
}

/* ---- the columns of the imported file ---- */

static int by_column_name(const void *a, const void *b, void *columns)
{
    const bytes *names = columns;
    return bytes_cmp(names[*(const size_t *)a], names[*(const size_t *)b]);
}

static err_t read_columns(sheet *t, bytes payload)
{
    bytes list = value_get(payload, "columns"), na = value_get(payload, "na");
    mp_reader r = mp_reader_of(list);
    uint32_t n = mp_array(&r);
    if (r.err != ERR_OK || (na.len > 0 && !value_str(na, &t->na)))
        return ERR_MALFORMED;
    t->columns = calloc(n + 1, sizeof *t->columns);
    t->order = calloc(n + 1, sizeof *t->order);
    if (t->columns == NULL || t->order == NULL)
        return ERR_NO_MEMORY;
    for (t->n_columns = 0; t->n_columns < n; t->n_columns++) {
        t->columns[t->n_columns] = mp_str(&r);
        t->order[t->n_columns] = t->n_columns;
    }
    qsort_r(t->order, n, sizeof *t->order, by_column_name, t->columns);
    return mp_done(&r);
}

/* Where the field stands among the columns of the file, or SIZE_MAX. */
static size_t column_of(const sheet *t, bytes name)
{
    size_t low = 0, high = t->n_columns;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = bytes_cmp(t->columns[t->order[mid]], name);
        if (c == 0)
            return t->order[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return SIZE_MAX;
}

/* ---- first reading: which further fields there are ---- */

static err_t look_at(sheet *t, const export_record *record)
{
    value_map m;
    bytes key, value;
    t->conflicts = t->conflicts || record->conflicts.len > 0;
    if (!value_map_open(record->fields, &m))
        return ERR_MALFORMED;
    while (value_map_next(&m, &key, &value))
        if (column_of(t, key) == SIZE_MAX)
            TRY(add_name(&t->extra, key));
    return ERR_OK;
}

static err_t look_at_all(sheet *t)
{
    export_job *job = t->job;
    export_record record;
    bool end;
    TRY(job->source->rewind(job->source->ctx));
    for (;;) {
        TRY(export_next(job, &record, &end));
        if (end)
            return ERR_OK;
        TRY(look_at(t, &record));
    }
}

/* ---- second reading ---- */

static bool is_field(const sheet *t, bytes name)
{
    size_t at = position_of(&t->extra, name);
    return column_of(t, name) != SIZE_MAX ||
           (at < t->extra.n && bytes_eq(t->extra.names[at], name));
}

/* A heading of ours, with underscores before it until no field has that name. */
static void put_own_heading(sheet *t, const char *name, bool first)
{
    char text[64];
    for (int more = 0; more < 16; more++) {
        snprintf(text, sizeof text, "%.*s%s", more, "________________", name);
        if (!is_field(t, bytes_str(text)))
            break;
    }
    csv_put_cell(&t->job->out, bytes_str(text), first);
}

static err_t put_header(sheet *t)
{
    buf *out = &t->job->out;
    bool first = true;
    csv_put_bom(out);
    if (t->record_id) {
        put_own_heading(t, "_record", true);
        first = false;
    }
    for (size_t i = 0; i < t->n_columns; i++, first = false)
        csv_put_cell(out, t->columns[i], first);
    for (size_t i = 0; i < t->extra.n; i++, first = false)
        csv_put_cell(out, t->extra.names[i], first);
    if (t->conflicts)
        put_own_heading(t, "_conflicts", first);
    csv_put_end(out, false);
    return export_send(t->job);
}

static err_t put_value(sheet *t, bytes value, bool first)
{
    bytes text;
    if (value.len == 0 || value_type(value) == MP_NIL)
        text = t->na;
    else if (!value_str(value, &text)) {
        buf json;
        buf_init(&json, EXPORT_TEXT_MAX_BYTES);
        err_t e = value_json(&json, value);
        if (e == ERR_OK)
            csv_put_cell(&t->job->out, buf_view(&json), first);
        buf_release(&json);
        return e;
    }
    csv_put_cell(&t->job->out, text, first);
    return ERR_OK;
}

static err_t gather_cells(sheet *t, const export_record *record)
{
    value_map m;
    bytes key, value;
    memset(t->cells, 0, (t->n_columns + t->extra.n) * sizeof *t->cells);
    if (!value_map_open(record->fields, &m))
        return ERR_MALFORMED;
    while (value_map_next(&m, &key, &value)) {
        size_t column = column_of(t, key), extra = position_of(&t->extra, key);
        if (column != SIZE_MAX)
            t->cells[column] = value;
        else if (extra < t->extra.n &&
                 bytes_eq(t->extra.names[extra], key)) /* else: written since the first reading */
            t->cells[t->n_columns + extra] = value;
    }
    return ERR_OK;
}

static err_t put_conflicts_cell(sheet *t, const export_record *record, bool first)
{
    buf names;
    buf_init(&names, EXPORT_TEXT_MAX_BYTES);
    err_t e = export_put_conflicts(&names, record);
    csv_put_cell(&t->job->out, buf_view(&names), first);
    buf_release(&names);
    return e;
}

static err_t put_row(sheet *t, const export_record *record)
{
    size_t n = t->n_columns + t->extra.n;
    size_t before = t->job->out.len;
    TRY(gather_cells(t, record));
    if (t->record_id)
        csv_put_cell(&t->job->out, record->record, true);
    for (size_t i = 0; i < n; i++)
        TRY(put_value(t, t->cells[i], i == 0 && !t->record_id));
    if (t->conflicts)
        TRY(put_conflicts_cell(t, record, n == 0 && !t->record_id));
    csv_put_end(&t->job->out, t->job->out.len == before);
    return export_send(t->job);
}

static err_t put_rows(sheet *t)
{
    export_job *job = t->job;
    export_record record;
    bool end;
    TRY(put_header(t));
    TRY(job->source->rewind(job->source->ctx));
    for (job->records = 0;;) {
        TRY(export_next(job, &record, &end));
        if (end)
            return ERR_OK;
        TRY(put_row(t, &record));
    }
}

static err_t run_sheet(sheet *t, const export_options *o)
{
    bool imported = value_type(o->columns) == MP_MAP;
    t->record_id = o->record_id || !imported;
    if (imported)
        TRY(read_columns(t, o->columns));
    TRY(look_at_all(t));
    t->cells = calloc(t->n_columns + t->extra.n + 1, sizeof *t->cells);
    return t->cells == NULL ? ERR_NO_MEMORY : put_rows(t);
}

err_t export_csv(export_job *job)
{
    sheet t = {.job = job, .na = bytes_of("", 0)};
    err_t e = run_sheet(&t, job->options);
    release_sheet(&t);
    return e;
}
