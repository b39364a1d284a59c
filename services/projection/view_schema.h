/* What is in the view's file. Base tables hold numbers for names; the views over them are what people read. */
#ifndef CAIRN_VIEW_SCHEMA_H
#define CAIRN_VIEW_SCHEMA_H

#include "base/buf.h"

/* Grows with every change of tables, views or of what the fold means: older files are built anew. */
#define VIEW_SCHEMA_VERSION 1u
#define VIEW_COLUMNS_MAX    1900u /* SQLite allows 2000 in a view */
#define VIEW_FORMS_MAX      512u /* forms that get a wide view: each one costs every reader memory */

/* write_row.id = rec << 20 | n, where n is the write's place in canonical order: rows of one record lie together, and a
 * build only ever appends. Both conditions of the join, so that SQLite can begin at either side. */
#define VIEW_WRITES_SHIFT 20
#define VIEW_WRITES_MAX                                                                            \
    (1u << VIEW_WRITES_SHIFT) /* of one record; the rest of a longer history is left out */
#define VIEW_WRITES_OF                                                                             \
    "r.rec = w.id >> 20 AND w.id BETWEEN r.rec * 1048576 AND r.rec * 1048576 + 1048575"
#define VIEW_WRITES_RANGE "BETWEEN ?1 << 20 AND (?1 << 20) + 1048575"

/* write_row.what, in the order of record_what; create and delete are the two faces of existence. */
#define VIEW_WHAT_FIELD 1

/* write_row.flags */
enum {
    VIEW_COUNTS = 1,
    VIEW_ERASED = 2,
    VIEW_REMOVAL = 4, /* of a tag, or of the record */
    VIEW_VOIDED =
        8, /* live again, because what had replaced it does not count (other_* names it) */
    VIEW_REPLACED = 16 /* other_* names what replaced it */
};

/* write_row.issue: why it is in the view `conflicts` */
enum {
    VIEW_ISSUE_NONE,
    VIEW_ISSUE_VALUES,    /* several live values */
    VIEW_ISSUE_COLLISION, /* two different records were created under one name */
    VIEW_ISSUE_UNSEEN     /* written to a deleted record, unseen by the deleter */
};

extern const char *const view_schema_tables, *const view_schema_views;

/* "name" and 'text' with what is inside doubled; NUL, which ends SQL, becomes a space. */
void view_quote_name(buf *out, bytes name);
void view_quote_text(buf *out, bytes text);

/* CREATE VIEW for one form: its columns in this order, then ours, which begin with an underscore. Columns beyond
 * VIEW_COLUMNS_MAX are left out. */
void view_form_sql(buf *out, bytes form, bytes view, const bytes *columns, size_t n);

#endif
