#include "cli/export.h"

#include "cli/export_shape.h"

static const struct {
    const char *name;
    err_t (*run)(export_job *job);
} formats[] = {
    [EXPORT_CSV] = {"csv", export_csv},
    [EXPORT_NDJSON] = {"ndjson", export_ndjson},
    [EXPORT_GEOJSON] = {"geojson", export_geojson},
};

bool export_format_of(const char *name, export_format *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) {
            *out = (export_format)i;
            return true;
        }
    return false;
}

err_t export_send(export_job *job)
{
    TRY(job->out.err);
    bool sent = job->out.len == 0 || job->sink->write(job->sink->ctx, buf_view(&job->out));
    buf_clear(&job->out);
    return sent ? ERR_OK : ERR_IO;
}

err_t export_next(export_job *job, export_record *record, bool *end)
{
    *end = false;
    *record = (export_record){0};
    TRY(job->source->next(job->source->ctx, record, end));
    job->records += !*end;
    return *end || value_type(record->fields) == MP_MAP ? ERR_OK : ERR_MALFORMED;
}

err_t export_each(export_job *job, err_t (*each)(export_job *job, const export_record *record))
{
    export_record record;
    bool end;
    TRY(job->source->rewind(job->source->ctx));
    for (job->records = 0;;) {
        TRY(export_next(job, &record, &end));
        if (end)
            return ERR_OK;
        TRY(each(job, &record));
        TRY(export_send(job));
    }
}

err_t export_put_conflicts(buf *out, const export_record *record)
{
    if (record->conflicts.len == 0)
        return ERR_OK;
    mp_reader r = mp_reader_of(record->conflicts);
    uint32_t n = mp_array(&r);
    for (uint32_t i = 0; i < n && r.err == ERR_OK; i++) {
        if (i > 0)
            (void)buf_add_str(out, "; ");
        (void)buf_add_bytes(out, mp_str(&r));
    }
    return mp_done(&r);
}

err_t export_run(const export_options *options, const export_source *source,
                 const export_sink *sink, uint64_t *records)
{
    export_job job = {.options = options, .source = source, .sink = sink};
    buf_init(&job.out, EXPORT_TEXT_MAX_BYTES);
    err_t e = formats[options->format].run(&job);
    buf_release(&job.out);
    if (records != NULL)
        *records = job.records;
    return e;
}
