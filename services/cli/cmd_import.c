/* cairn import: a record per row, one event per record, in the bulk feed. What is here already is left alone, so the
 * same file again, here or at another node, adds nothing; with a key column a changed row becomes an edit of the
 * changed fields. A broken row is reported with its line and the others go in. */
#include "cli/cmd.h"
#include "cli/import_batch.h"
#include "cli/out.h"
#include "cli/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const cmdline *line;
    node n;
    const char *path, *form;
    int fd;
    uint64_t size;
    infer_na na;
    infer_form *infer;
    import_batch *batch;
    progress progress;
    uint64_t rows, broken, undated;
} import;

static void complain_row(import *im, uint64_t line, const char *text)
{
    progress_clear(&im->progress);
    fprintf(stderr, "%s:%llu: %s\n", im->path, (unsigned long long)line, text);
    im->broken++;
}

/* Standard input is kept in a nameless file, because it has to be read twice. */
static bool spool(import *im)
{
    FILE *copy = tmpfile();
    uint8_t chunk[65536];
    ssize_t n;
    while (copy != NULL && (n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0)
        if (fwrite(chunk, 1, (size_t)n, copy) != (size_t)n)
            break;
    if (copy == NULL || fflush(copy) != 0) {
        node_fail("cannot keep standard input in a temporary file: %s", strerror(errno));
        return false;
    }
    im->fd = dup(fileno(copy));
    fclose(copy);
    return im->fd >= 0;
}

static bool open_file(import *im)
{
    struct stat st;
    if (strcmp(im->path, "-") == 0) {
        if (!spool(im))
            return false;
        im->path = "standard input";
    } else {
        im->fd = open(im->path, O_RDONLY | O_CLOEXEC);
    }
    if (im->fd < 0 || fstat(im->fd, &st) != 0) {
        node_fail("cannot read %s: %s", im->path, strerror(errno));
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        node_fail("%s is a directory: name a CSV file, or - for standard input", im->path);
        return false;
    }
    im->size = (uint64_t)st.st_size;
    return true;
}

/* Runs the file through a reader; `each` returns false to stop. */
static bool walk(import *im,
                 bool (*each)(import *im, csv_event event, const csv_row *row, uint64_t at))
{
    csv_reader *r = NULL;
    csv_row row;
    uint8_t chunk[CSV_FEED_MAX_BYTES];
    uint64_t at = 0;
    bool going = lseek(im->fd, 0, SEEK_SET) == 0 &&
                 csv_reader_new(&r, *cmdline_get(im->line, "delimiter")) == ERR_OK;
    while (going) {
        csv_event event = csv_next(r, &row);
        if (event == CSV_END)
            break;
        if (event != CSV_MORE) {
            going = each(im, event, &row, at);
            continue;
        }
        ssize_t n = read(im->fd, chunk, sizeof chunk);
        if (n > 0)
            for (size_t used = 0; used < (size_t)n;)
                used += csv_feed(r, bytes_of(chunk + used, (size_t)n - used));
        else
            csv_finish(r);
        at += n > 0 ? (uint64_t)n : 0;
    }
    csv_reader_free(&r);
    return going;
}

static bool see_na(import *im, csv_event event, const csv_row *row, uint64_t at)
{
    (void)at;
    if (event == CSV_ROW && row->expected > 0)
        infer_na_see(&im->na, row);
    return event != CSV_BAD || row->expected > 0;
}

static bool begin_form(import *im, const csv_row *header)
{
    static const struct {
        const char *name;
        infer_dates dates;
    } kinds[] = {{"mdy", INFER_MDY}, {"dmy", INFER_DMY}, {"iso", INFER_ISO}};
    char why[ERROR_TEXT_MAX_BYTES];
    const char *key = cmdline_get(im->line, "key"), *at = cmdline_get(im->line, "at");
    infer_options o = {.form = bytes_str(im->form),
                       .na = bytes_str(infer_na_text(&im->na)),
                       .key = bytes_str(key != NULL ? key : ""),
                       .at = bytes_str(at != NULL ? at : "")};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(cmdline_get(im->line, "dates"), kinds[i].name) == 0)
            o.dates = kinds[i].dates;
    if (infer_form_new(&im->infer, &o, header, why) != ERR_OK) {
        node_fail("%s: %s", im->path, why);
        return false;
    }
    return import_batch_columns(im->batch, im->infer);
}

static bool take_row(import *im, const csv_row *row)
{
    char why[ERROR_TEXT_MAX_BYTES];
    infer_record rec;
    err_t e = infer_row(im->infer, row, &rec, why);
    if (e != ERR_OK) {
        complain_row(im, row->line, e == ERR_NO_MEMORY ? err_text(e) : why);
        return e != ERR_NO_MEMORY;
    }
    im->undated += rec.bad_at;
    im->rows++;
    return import_batch_add(im->batch, &rec);
}

static bool import_row(import *im, csv_event event, const csv_row *row, uint64_t at)
{
    char text[ERROR_TEXT_MAX_BYTES];
    if (event == CSV_BAD) {
        csv_fault_text(text, sizeof text, row);
        complain_row(im, row->line, text);
        return row->expected > 0;
    }
    progress_show(&im->progress, at, im->rows);
    return row->expected == 0 ? begin_form(im, row) : take_row(im, row);
}

static int report(import *im, bool whole)
{
    import_counts n = import_batch_counts(im->batch);
    progress_clear(&im->progress);
    if (cmdline_has(im->line, "json")) {
        buf json;
        buf_init(&json, 65536);
        out_open(&json);
        out_cstr(&json, "form", im->form);
        out_u64(&json, "rows", im->rows);
        out_u64(&json, "added", n.added);
        out_u64(&json, "changed", n.changed);
        out_u64(&json, "unchanged", n.unchanged);
        out_u64(&json, "broken", im->broken);
        out_close(&json);
        buf_release(&json);
    } else if (!cmdline_has(im->line, "quiet")) {
        fprintf(stderr, "%llu rows: %llu records added, %llu changed, %llu here already",
                (unsigned long long)(im->rows + im->broken), (unsigned long long)n.added,
                (unsigned long long)n.changed, (unsigned long long)n.unchanged);
        fprintf(stderr, im->broken > 0 ? ", %llu broken rows left out\n" : "\n",
                (unsigned long long)im->broken);
        if (im->undated > 0)
            fprintf(stderr,
                    "%llu rows have no time that could be read in column %s (--dates mdy, dmy or "
                    "iso)\n",
                    (unsigned long long)im->undated, cmdline_get(im->line, "at"));
    }
    if (!whole)
        return node_fail("the import stopped; run it again to go on where it stopped");
    return whole && im->broken == 0 ? 0 : 1;
}

static int run(import *im)
{
    if (!open_file(im))
        return 1;
    if (!walk(im, see_na))
        return node_fail("%s: the header (first row) cannot be read as CSV in UTF-8", im->path);
    if (im->size == 0)
        return node_fail("%s is empty: there must be a header row", im->path);
    im->batch = import_batch_new(&im->n, im->form);
    if (im->batch == NULL)
        return node_fail("out of memory");
    progress_init(&im->progress, im->size, cmdline_has(im->line, "quiet"));
    bool whole = walk(im, import_row) && import_batch_flush(im->batch);
    return im->infer != NULL ? report(im, whole) : 1; /* no usable header: that has been said */
}

int cmd_import(const cmdline *c)
{
import im = {.line = c, .path = cmdline_arg(c, 0), .form = cmdline_get(c, "form"), .fd = - 1 };
    const char *delimiter = cmdline_get(c, "delimiter");
    if (strlen(delimiter) != 1 || *delimiter == '"')
        return cmdline_usage(c, "--delimiter is one character");
    int status = node_open(&im.n, cmdline_get(c, "home"), true) ? run(&im) : 1;
    if (im.fd >= 0)
        close(im.fd);
    import_batch_free(im.batch);
    infer_form_free(&im.infer);
    node_close(&im.n);
    return status;
}
