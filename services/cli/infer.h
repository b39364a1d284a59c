/* From the cells of a table to records: types, names, fields. No I/O; the same file gives the same records
 * everywhere.
 *
 * A cell becomes a number only if the number prints as the very same text again; everything else stays text:
 *  - integers -9007199254740991 … 9007199254740991 (what JSON readers and SQLite keep exact) without plus
 *    sign or leading zero: 7, -16, 358; but not 007, +46701234567, -0, 12345678901234567890;
 *  - decimals with a digit on both sides of the point whose shortest form that reads back is the text:
 *    35.182799, -16.4650238, 1.0; but not 1.50, .5, 5., 1e5, -0.0, 0.00001, nor more digits than a double
 *    holds;
 *  - dates, times, "yes", blanks around a number, digits of other scripts, formulas: text.
 *
 * A cell that equals the form's *na* text was not answered: no field. Which text that is follows from the
 * whole file (see infer_na): where NA occurs, NA is it and an empty cell is an empty text, as R writes such
 * files; else the empty cell is it. The event form.columns carries it to every node, so that an export
 * writes back cell for cell what was imported.
 *
 * Without a key column a record is named by what it says:
 *     H("cairn/1 row" || length of form u8 || form || occurrence u32 BE || payload)
 * with H = BLAKE2b-256 and payload = the canonical msgpack map of its fields; the first 50 bits as 10
 * characters of BASE32_ALPHABET, highest first. Occurrence counts equal rows of one file from 0: they stay
 * several records. */
#ifndef CAIRN_INFER_H
#define CAIRN_INFER_H

#include "base/buf.h"
#include "base/limits.h"
#include "cli/csv_read.h"

/* Appends the cell as one msgpack value. */
void infer_put(buf *out, bytes cell);

/* ---- not answered ---- */
typedef struct {
    bool met; /* NA stood somewhere */
} infer_na;
/* For every row below the header, before the first infer_row. */
void infer_na_see(infer_na *na, const csv_row *row);
const char *infer_na_text(const infer_na *na); /* "NA" or "" */

/* ---- times: the attribute `at` ---- */
typedef enum {
    INFER_ISO, /* 2019-04-07, 2019-04-07T12:30, 2019-04-07 12:30:59.5Z, …+02:00 */
    INFER_MDY, /* 4/7/2019 or 4/7/2019 12:30:59 */
    INFER_DMY  /* 7/4/2019, 7.4.2019, … */
} infer_dates;
/* Unix milliseconds; without a zone taken as UTC. ISO is understood whatever `dates` is. False for anything
 * else, and for days that do not exist or lie before 1970. */
bool infer_time(bytes cell, infer_dates dates, uint64_t *ms);

/* ---- a file ---- */
typedef struct infer_form infer_form;

typedef struct {
    bytes form;
    bytes na;
    bytes key; /* name of the column whose text names the record; len 0: none */
    bytes at;  /* name of the column that says when; len 0: none */
    infer_dates dates;
} infer_options;

typedef struct {
    char record[STREAM_MAX_BYTES + 1];
    bytes payload; /* of record.create; borrowed until the next infer_row */
    bool has_at;
    bool bad_at; /* there is a text in the `at` column that is no time: worth a warning */
    uint64_t at_ms;
} infer_record;

/* Returns owned in *out; copies what it keeps. ERR_INVALID with a sentence in `why` for: a form name that
 * cannot be one, columns without name, with the same name or an over-long one, key or at columns that are
 * not there. ERR_TOO_LARGE when the column names do not fit one event; ERR_NO_MEMORY. */
CAIRN_CHECK err_t infer_form_new(infer_form **out, const infer_options *options,
                                 const csv_row *header, char why[ERROR_TEXT_MAX_BYTES]);
void infer_form_free(infer_form **f);

/* Category `cairn`, stream `form/<form>`, kind `form.columns`, payload {columns: [name …], key?: name, na:
 * text}: the order of the columns for every export. Equal payloads of several nodes say the same; the newest
 * is used. */
void infer_put_columns(const infer_form *f, buf *out);

/* One good row to one record. ERR_INVALID with a sentence for a key that is empty, too long, has control
 * characters or stood on an earlier line; ERR_TOO_LARGE when fields and names do not fit one event;
 * ERR_NO_MEMORY. */
CAIRN_CHECK err_t infer_row(infer_form *f, const csv_row *row, infer_record *out,
                            char why[ERROR_TEXT_MAX_BYTES]);

/* A row imported again under its key: appends the payload of the field.set that makes it so, and says how
 * many fields changed; 0: nothing is appended. A field that is no longer answered becomes nil. `before` is
 * the map of what imports last wrote to each field, not what the record shows: else importing an old file
 * again would undo what people corrected since. */
CAIRN_CHECK err_t infer_changes(bytes before, bytes now, buf *out, uint32_t *changed);

#endif
