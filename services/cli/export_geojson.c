#include "cli/export_shape.h"

#include <stdlib.h>
#include <strings.h>

static const char *const lat_names[] = {"latitude", "lat", NULL};
static const char *const lon_names[] = {"longitude", "lon", "lng", "long", NULL};

/* How good a name is: 0 for the best, -1 for none of them. */
static int rank_of(bytes key, bytes wanted, const char *const *names)
{
    if (wanted.len > 0)
        return bytes_eq(key, wanted) ? 0 : -1;
    for (int i = 0; names[i] != NULL; i++)
        if (key.len == strlen(names[i]) && strncasecmp((const char *)key.p, names[i], key.len) == 0)
            return i;
    return -1;
}

/* The value under the best of the names; len 0 for none. */
static bytes find(bytes fields, bytes wanted, const char *const *names)
{
    value_map m;
    bytes key, value, best = bytes_of(NULL, 0);
    int best_rank = -1;
    if (!value_map_open(fields, &m))
        return best;
    while (value_map_next(&m, &key, &value)) {
        int rank = rank_of(key, wanted, names);
        if (rank >= 0 && (best_rank < 0 || rank < best_rank)) {
            best = value;
            best_rank = rank;
        }
    }
    return best;
}

/* A plain decimal in a text: more digits than a double holds, or a trailing zero. */
static bool text_to_double(bytes s, double *out)
{
    char text[40], *end;
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    if (text[strspn(text, "+-.0123456789")] != '\0')
        return false;
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool number_of(bytes v, double *out)
{
    mp_reader r = mp_reader_of(v);
    bytes s;
    switch (mp_peek(&r)) {
    case MP_UINT:
    case MP_INT:
        *out = (double)mp_int(&r);
        return mp_done(&r) == ERR_OK;
    case MP_FLOAT:
        *out = mp_double(&r);
        return mp_done(&r) == ERR_OK;
    case MP_STR:
        return value_str(v, &s) && text_to_double(s, out);
    default:
        return false;
    }
}

static void put_geometry(export_job *job, bytes fields)
{
    double lat = 0, lon = 0;
    bytes lat_value = find(fields, job->options->lat, lat_names);
    bytes lon_value = find(fields, job->options->lon, lon_names);
    bool there = number_of(lat_value, &lat) && number_of(lon_value, &lon);
    /* written so that NaN fails too */
    if (!there || !(lat >= -90 && lat <= 90) || !(lon >= -180 && lon <= 180)) {
        (void)buf_add_str(&job->out, "null");
        return;
    }
    (void)buf_add_str(&job->out, "{\"type\":\"Point\",\"coordinates\":[");
    value_json_double(&job->out, lon);
    (void)buf_add_u8(&job->out, ',');
    value_json_double(&job->out, lat);
    (void)buf_add_str(&job->out, "]}");
}

/* Tables have no place for what is inside a value: it becomes text. */
static err_t put_property(buf *out, bytes value)
{
    mp_type type = value_type(value);
    if (type != MP_ARRAY && type != MP_MAP && type != MP_BIN && type != MP_EXT)
        return value_json(out, value);
    buf inner;
    buf_init(&inner, EXPORT_TEXT_MAX_BYTES);
    err_t e = value_json(&inner, value);
    if (e == ERR_OK)
        value_json_str(out, buf_view(&inner));
    buf_release(&inner);
    return e;
}

static err_t put_conflicts_property(buf *out, const export_record *record, bool first)
{
    buf names;
    buf_init(&names, EXPORT_TEXT_MAX_BYTES);
    err_t e = export_put_conflicts(&names, record);
    if (e == ERR_OK && names.len > 0) {
        (void)buf_add_str(out, first ? "\"_conflicts\":" : ",\"_conflicts\":");
        value_json_str(out, buf_view(&names));
    }
    buf_release(&names);
    return e;
}

static err_t put_properties(buf *out, const export_record *record)
{
    value_map m;
    bytes key, value;
    bool first = true;
    if (!value_map_open(record->fields, &m))
        return ERR_MALFORMED;
    for (; value_map_next(&m, &key, &value); first = false) {
        if (!first)
            (void)buf_add_u8(out, ',');
        value_json_str(out, key);
        (void)buf_add_u8(out, ':');
        TRY(put_property(out, value));
    }
    return put_conflicts_property(out, record, first);
}

static err_t put_feature(export_job *job, const export_record *record)
{
    buf *out = &job->out;
    (void)buf_add_str(out, job->records == 1 ? "\n{\"type\":\"Feature\",\"id\":"
                                             : ",\n{\"type\":\"Feature\",\"id\":");
    value_json_str(out, record->record);
    (void)buf_add_str(out, ",\"geometry\":");
    put_geometry(job, record->fields);
    (void)buf_add_str(out, ",\"properties\":{");
    TRY(put_properties(out, record));
    (void)buf_add_str(out, "}}");
    return ERR_OK;
}

err_t export_geojson(export_job *job)
{
    (void)buf_add_str(&job->out, "{\"type\":\"FeatureCollection\",\"features\":[");
    TRY(export_each(job, put_feature));
    (void)buf_add_str(&job->out, "\n]}\n");
    return export_send(job);
}
