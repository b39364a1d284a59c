#include "cli/bundle_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_BYTES 262144u

static void cannot_read(const char *path, buf *why)
{
    buf_addf(why, "cannot read %s: %s", path, strerror(errno));
}

static err_t feed_all(FILE *in, const char *path, bundle_reader *r, bundle_file_seen *seen,
                      void *context, buf *why)
{
    struct stat st;
    uint64_t at = 0, size = 0;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    size_t n;
    err_t e = chunk != NULL ? ERR_OK : ERR_NO_MEMORY;
    if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode))
        size = (uint64_t)st.st_size;
    while (e == ERR_OK && (n = fread(chunk, 1, CHUNK_BYTES, in)) > 0) {
        at += n;
        e = bundle_feed(r, bytes_of(chunk, n));
        if (e == ERR_OK && seen != NULL && !seen(context, at, size))
            e = ERR_STOPPING;
    }
    if (e == ERR_OK && ferror(in)) {
        cannot_read(path, why);
        e = ERR_IO;
    }
    free(chunk);
    return e == ERR_OK ? bundle_finish(r) : e;
}

err_t bundle_file_read(const char *path, const dataset_id *dataset, bundle_run_fn take,
                       bundle_file_seen *seen, void *context, bundle_progress *got, buf *why)
{
    bundle_reader r;
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "rb");
    *got = (bundle_progress){0};
    if (in == NULL) {
        cannot_read(path, why);
        return ERR_IO;
    }
    bundle_reader_init(&r, dataset, take, context);
    err_t e = feed_all(in, path, &r, seen, context, why);
    *got = r.progress;
    bundle_reader_release(&r);
    if (!standard)
        (void)fclose(in);
    return e;
}

static void damaged_words(const char *path, const char *how, const bundle_progress *got, buf *why)
{
    buf_addf(why,
             "%s %s behind byte %llu: %llu whole run%s with %llu event%s before that were read; "
             "copy the file again and read it once more",
             path, how, (unsigned long long)got->bytes, (unsigned long long)got->runs,
             got->runs == 1 ? "" : "s", (unsigned long long)got->events,
             got->events == 1 ? "" : "s");
}

/* Whose it is, learnt by reading the header for any dataset. */
static err_t nothing(void *context, const run *r)
{
    (void)context;
    (void)r;
    return ERR_STOPPING;
}

static void foreign_words(const char *path, const dataset_id *mine, buf *why)
{
    char theirs[13] = "?", ours[13];
    bundle_progress got;
    buf ignored;
    buf_init(&ignored, 1024);
    hex_encode(ours, mine->b, 6);
    if (strcmp(path, "-") != 0 &&
        bundle_file_read(path, NULL, nothing, NULL, NULL, &got, &ignored) != ERR_IO)
        hex_encode(theirs, got.dataset.b, 6);
    buf_release(&ignored);
    buf_addf(why,
             "%s is a bundle of another dataset (%s\xe2\x80\xa6, here it is %s\xe2\x80\xa6): "
             "nothing was taken; name the right node with --home",
             path, theirs, ours);
}

void bundle_file_words(const char *path, err_t e, const bundle_progress *got,
                       const dataset_id *mine, buf *why)
{
    if (why->len > 0)
        return;
    if (e == ERR_DATASET)
        foreign_words(path, mine, why);
    else if (e == ERR_VERSION)
        buf_addf(why, "%s was written by a newer Cairn: update this one", path);
    else if (e == ERR_TRUNCATED && got->bytes == 0)
        buf_addf(why, "%s is not a Cairn bundle, or only the first bytes of one", path);
    else if (e == ERR_TRUNCATED)
        damaged_words(path, "is cut short", got, why);
    else if (got->bytes == 0 && (e == ERR_MALFORMED || e == ERR_CHECKSUM))
        buf_addf(why, "%s is not a Cairn bundle", path);
    else
        damaged_words(path, "is damaged", got, why);
}
