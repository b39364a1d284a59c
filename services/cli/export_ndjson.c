#include "cli/export_shape.h"

static err_t put_record(export_job *job, const export_record *record)
{
    buf *out = &job->out;
    (void)buf_add_str(out, "{\"v\":1,\"form\":");
    value_json_str(out, job->options->form);
    (void)buf_add_str(out, ",\"record\":");
    value_json_str(out, record->record);
    (void)buf_add_str(out, ",\"fields\":");
    TRY(value_json(out, record->fields));
    (void)buf_add_str(out, ",\"conflicts\":");
    if (record->conflicts.len == 0)
        (void)buf_add_str(out, "[]");
    else
        TRY(value_json(out, record->conflicts));
    (void)buf_add_str(out, "}\n");
    return ERR_OK;
}

err_t export_ndjson(export_job *job)
{
    return export_each(job, put_record);
}
