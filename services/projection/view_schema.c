#include "projection/view_schema.h"

#include "pure/value.h"

const char *const view_schema_tables =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE members(number INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
    " removed INTEGER NOT NULL);"
    "CREATE TABLE form_row(form TEXT PRIMARY KEY, records INTEGER NOT NULL DEFAULT 0,"
    " deleted INTEGER NOT NULL DEFAULT 0, conflicts INTEGER NOT NULL DEFAULT 0,"
    " anomalies INTEGER NOT NULL DEFAULT 0, columns BLOB, wide TEXT) WITHOUT ROWID;"
    "CREATE TABLE what(what INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "INSERT INTO what VALUES (0,'create'),(1,'field'),(2,'state'),(3,'tag'),(4,'set'),"
    "(5,'counter'),(6,'note'),(7,'attachment'),(8,'delete');"
    "CREATE TABLE thing(thing INTEGER PRIMARY KEY, form TEXT NOT NULL, what INTEGER NOT NULL,"
    " name TEXT NOT NULL, UNIQUE(form, what, name));"
    /* issues = conflicts + unseen; feed is that of the event that created it; line is the canonical
     * line, which is JSON: line ->> '$.fields.name[0].value' is the value shown first. sums: one
     * per write row, to find those that a refold changes. */
    "CREATE TABLE record_row(rec INTEGER PRIMARY KEY, form TEXT NOT NULL, record TEXT NOT NULL,"
    " events INTEGER NOT NULL, conflicts INTEGER NOT NULL, unseen INTEGER NOT NULL,"
    " issues INTEGER NOT NULL, anomalies INTEGER NOT NULL, deleted INTEGER NOT NULL,"
    " feed INTEGER NOT NULL, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL,"
    " line TEXT NOT NULL, sums BLOB);"
    /* id: see view_schema.h. rank: place in the display order of its thing, 0 shown first, NULL for
     * what is not shown. raw: the msgpack of a value that SQLite cannot hold as it is. */
    "CREATE TABLE write_row(id INTEGER PRIMARY KEY, thing INTEGER NOT NULL,"
    " what INTEGER NOT NULL, value, raw BLOB, feed INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " prefix INTEGER NOT NULL, wall_ms INTEGER NOT NULL, at_ms INTEGER, by TEXT, why TEXT,"
    " live INTEGER NOT NULL, rank INTEGER, flags INTEGER NOT NULL, issue INTEGER NOT NULL,"
    " other_feed INTEGER, other_seq INTEGER, other_ms INTEGER);"
    "CREATE TABLE anomaly_row(form TEXT NOT NULL, record TEXT NOT NULL, feed INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, prefix INTEGER NOT NULL, wall_ms INTEGER NOT NULL, text TEXT NOT NULL);"
    /* There from the beginning: a build comes in their order, so they only grow at their ends. */
    "CREATE UNIQUE INDEX record_name ON record_row(form, record);"
    "CREATE INDEX record_issues ON record_row(form, record) WHERE issues > 0;"
    "CREATE INDEX write_issues ON write_row(id) WHERE issue > 0;"
    "CREATE INDEX anomaly_record ON anomaly_row(form, record);";

/* SQL in the lines in which it is read: */
/* clang-format off */
#define ISO(ms) "strftime('%Y-%m-%dT%H:%M:%fZ', " ms " / 1000.0, 'unixepoch')"
#define WHO(feed, m)                                                                               \
    "coalesce(" m ".name, 'member ' || (" feed " & 65535))"
#define REF(feed, seq)                                                                             \
    "((" feed " & 65535) || CASE " feed " >> 16 & 3 WHEN 1 THEN '-express' WHEN 2 THEN '-bulk'"  \
    " ELSE '' END || '-' || " seq ")"

#define WRITES                                                                                     \
    " r.form, r.record, a.name AS what, t.name AS name, w.value, " WHO("w.feed", "m")              \
    " AS author, w.by, " ISO("w.wall_ms") " AS recorded_at, " ISO("w.at_ms") " AS happened_at,"    \
    " w.why"
#define WRITES_FROM                                                                                \
    " FROM write_row w JOIN record_row r ON " VIEW_WRITES_OF " JOIN thing t USING(thing)"                     \
    " JOIN what a ON a.what = w.what LEFT JOIN members m ON m.number = w.feed & 65535"             \
    " LEFT JOIN members o ON o.number = w.other_feed & 65535"

const char *const view_schema_views =
    "CREATE VIEW forms AS SELECT form, records, deleted, conflicts, anomalies, wide AS \"view\""
    " FROM form_row WHERE records + deleted + anomalies > 0;"
    "CREATE VIEW records AS SELECT form, record, deleted, conflicts, unseen, anomalies, events,"
    " " WHO("r.feed", "m") " AS created_by, " ISO("created_ms") " AS created_at,"
    " " ISO("changed_ms") " AS changed_at, created_ms, changed_ms, line"
    " FROM record_row r LEFT JOIN members m ON m.number = r.feed & 65535;"
    "CREATE VIEW fields AS SELECT r.form, r.record, t.name AS field, w.value,"
    " " WHO("w.feed", "m") " AS author, w.by, " ISO("w.wall_ms") " AS recorded_at,"
    " w.issue > 0 AS conflict FROM record_row r JOIN write_row w ON " VIEW_WRITES_OF " JOIN thing t USING(thing)"
    " LEFT JOIN members m ON m.number = w.feed & 65535 WHERE w.what = 1 AND w.rank = 0;"
    "CREATE VIEW history AS SELECT" WRITES ", w.live, CASE WHEN NOT w.flags & 1"
    " THEN 'does not count' WHEN w.flags & 2 THEN 'erased' WHEN w.flags & 16 THEN 'replaced by ' ||"
    " " WHO("w.other_feed", "o") " || ' (' || " REF("w.other_feed", "w.other_seq") " || ') ' ||"
    " " ISO("w.other_ms") " WHEN w.flags & 8 THEN 'value before the removed ' ||"
    " " REF("w.other_feed", "w.other_seq") " WHEN w.rank = 0 THEN 'shown' WHEN w.live THEN 'live'"
    " ELSE '' END AS status, " REF("w.feed", "w.seq") " AS event, w.id & 1048575 AS n, w.wall_ms, w.at_ms"
    WRITES_FROM ";"
    "CREATE VIEW conflicts AS SELECT CASE w.issue WHEN 1 THEN 'several values'"
    " WHEN 2 THEN 'created twice under one name' ELSE 'edited unseen by who deleted it' END AS issue,"
    WRITES ", w.rank = 0 AS shown, " REF("w.feed", "w.seq") " AS event" WRITES_FROM
    " WHERE w.issue > 0;"
    "CREATE VIEW anomalies AS SELECT a.form, a.record, " WHO("a.feed", "m") " AS author,"
    " " REF("a.feed", "a.seq") " AS event, " ISO("nullif(a.wall_ms, 0)") " AS recorded_at, a.text"
    " FROM anomaly_row a LEFT JOIN members m ON m.number = a.feed & 65535;";
/* clang-format on */

static void quote(buf *out, bytes s, uint8_t mark)
{
    buf_add_u8(out, mark);
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == mark)
            buf_add_u8(out, mark);
        buf_add_u8(out, s.p[i] != 0 ? s.p[i] : ' ');
    }
    buf_add_u8(out, mark);
}

void view_quote_name(buf *out, bytes name)
{
    quote(out, name, '"');
}

void view_quote_text(buf *out, bytes text)
{
    quote(out, text, '\'');
}

/* json_extract finds a key as the JSON text spells it, but its paths have no way to write a key with a quote in it:
 * those few go the long way. */
static void add_column(buf *out, bytes name)
{
    buf path;
    buf_init(&path, 8 * EVENT_MAX_BYTES);
    if (memchr(name.p, '"', name.len) == NULL) {
        buf_add_str(&path, "$.fields.");
        value_json_str(&path, name);
        buf_add_str(&path, "[0].value");
        buf_add_str(out, "json_extract(line, ");
        view_quote_text(out, buf_view(&path));
    } else {
        buf_add_str(out, "(SELECT json_extract(value, '$[0].value') FROM json_each(line, "
                         "'$.fields') WHERE key = ");
        view_quote_text(out, name);
    }
    buf_release(&path);
    buf_add_str(out, ") AS ");
    view_quote_name(out, name);
    buf_add_str(out, ", ");
}

void view_form_sql(buf *out, bytes form, bytes view, const bytes *columns, size_t n)
{
    buf_add_str(out, "CREATE VIEW ");
    view_quote_name(out, view);
    buf_add_str(out, " AS SELECT ");
    for (size_t i = 0; i < n && i < VIEW_COLUMNS_MAX; i++)
        if (columns[i].len > 0)
            add_column(out, columns[i]);
    buf_add_str(
        out,
        "record AS _record, conflicts AS _conflicts, events AS _events, " WHO(
            "r.feed",
            "m") " AS _created_by, " ISO("created_ms") " AS _created_at, " ISO("changed_ms") " AS "
                                                                                             "_chan"
                                                                                             "ged_"
                                                                                             "at "
                                                                                             "FROM "
                                                                                             "recor"
                                                                                             "d_"
                                                                                             "row r"
                                                                                             " LEFT"
                                                                                             " JOIN"
                                                                                             " memb"
                                                                                             "ers "
                                                                                             "m ON "
                                                                                             "m."
                                                                                             "numbe"
                                                                                             "r = "
                                                                                             "r."
                                                                                             "feed "
                                                                                             "& "
                                                                                             "65535"
                                                                                             " WHER"
                                                                                             "E "
                                                                                             "NOT "
                                                                                             "delet"
                                                                                             "ed "
                                                                                             "AND "
                                                                                             "form "
                                                                                             "= ");
    view_quote_text(out, form);
}
