/* Writes the records of a form for other programs. The records come from an iterator, so that nobody holds
 * them all.
 *
 *  csv      RFC 4180 with byte order mark and CRLF. The columns in the order of the imported file, then
 *  further fields by
 *           name; a field that is not answered is written as the form's na text, so what was imported comes
 *           out cell for cell. With conflicts the newest value stands in the cell and a last column
 *           `_conflicts` names the fields. Of a form that was never imported, or when asked for, the first
 *           column `_record` holds the record ids.
 *  ndjson   one line per record: {"v":1,"form":…,"record":…,"fields":{…},"conflicts":[names]}
 *  geojson  a FeatureCollection (RFC 7946) with flat properties: a value that is a map or an array is
 *  written as its JSON
 *           text. The position is read from the fields latitude/lat and longitude/lon/lng/long (any case),
 *           or from those named; a record without a valid one is a feature with null geometry. Conflicts as
 *           in csv. */
#ifndef CAIRN_EXPORT_H
#define CAIRN_EXPORT_H

#include "base/buf.h"

typedef enum { EXPORT_CSV, EXPORT_NDJSON, EXPORT_GEOJSON } export_format;

typedef struct {
    bytes record;
    bytes fields; /* msgpack map field -> value shown first, keys sorted */
    bytes
        conflicts; /* msgpack array of the names of fields with several live values, sorted; len 0: none */
} export_record;

/* Where records come from. Views handed out are borrowed until the next call. */
typedef struct {
    void *ctx;
    /* Begins again at the first record: csv reads twice, because its header names every field. */
    err_t (*rewind)(void *ctx);
    /* ERR_OK with *out, or *end = true. */
    err_t (*next)(void *ctx, export_record *out, bool *end);
} export_source;

/* Where text goes: false stops with ERR_IO. Called with pieces of at most a few hundred KiB. */
typedef struct {
    void *ctx;
    bool (*write)(void *ctx, bytes text);
} export_sink;

typedef struct {
    export_format format;
    bytes form;
    bytes
        columns; /* payload of form.columns (cli/infer.h); len 0 or nil: the form was never imported */
    bool record_id; /* csv: the column `_record` also for an imported form */
    bytes lat, lon; /* geojson: fields to take; len 0: find them */
} export_options;

/* Writes the whole export. *records (may be NULL) says how many there were. Errors: of the source, ERR_IO of
 * the sink, ERR_MALFORMED when fields or columns are not what they should be, ERR_TOO_LARGE for a record or
 * a header beyond 4 MiB of text, ERR_NO_MEMORY. */
CAIRN_CHECK err_t export_run(const export_options *options, const export_source *source,
                             const export_sink *sink, uint64_t *records);

/* The format of that name ("csv", "ndjson", "geojson"); false for another. */
bool export_format_of(const char *name, export_format *out);

#endif
