#include "proto/msg.h"

#include "proto/gate.h"

static uint64_t member_uint(const void *at, size_t width)
{
    switch (width) {
    case 1:
        return *(const uint8_t *)at;
    case 2:
        return *(const uint16_t *)at;
    case 4:
        return *(const uint32_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

static void set_member_uint(void *at, size_t width, uint64_t v)
{
    switch (width) {
    case 1:
        *(uint8_t *)at = (uint8_t)v;
        break;
    case 2:
        *(uint16_t *)at = (uint16_t)v;
        break;
    case 4:
        *(uint32_t *)at = (uint32_t)v;
        break;
    default:
        *(uint64_t *)at = v;
    }
}

static err_t encode_fields(const msg_desc *desc, const void *msg, buf *out);

static err_t encode_list(const msg_field *f, const msg_list *list, buf *out)
{
    if (list->n > f->max)
        return ERR_OUT_OF_RANGE;
    mp_put_array(out, list->n);
    if (list->items == NULL) { /* passed on as it was received */
        buf_add_bytes(out, list->raw);
        return out->err;
    }
    const uint8_t *row = list->items;
    for (uint32_t i = 0; i < list->n; i++, row += f->row->size)
        TRY(encode_fields(f->row, row, out));
    return out->err;
}

static err_t encode_bytes(const msg_field *f, bytes s, buf *out)
{
    if (s.len > f->max)
        return ERR_OUT_OF_RANGE;
    if (f->type == MSG_STR)
        mp_put_str(out, s);
    else if (f->type == MSG_BIN)
        mp_put_bin(out, s);
    else if (s.len == 0)
        mp_put_nil(out);
    else
        buf_add_bytes(out, s);
    return out->err;
}

static err_t encode_field(const msg_field *f, const uint8_t *at, buf *out)
{
    switch (f->type) {
    case MSG_UINT: {
        uint64_t v = member_uint(at, f->width);
        if (v < f->min || v > f->max)
            return ERR_OUT_OF_RANGE;
        mp_put_uint(out, v);
        return out->err;
    }
    case MSG_INT:
        mp_put_int(out, *(const int64_t *)(const void *)at);
        return out->err;
    case MSG_BOOL:
        mp_put_bool(out, *(const bool *)at);
        return out->err;
    case MSG_FIX:
        mp_put_bin(out, bytes_of(at, f->width));
        return out->err;
    case MSG_LIST:
        return encode_list(f, (const msg_list *)(const void *)at, out);
    default:
        return encode_bytes(f, *(const bytes *)(const void *)at, out);
    }
}

static err_t encode_fields(const msg_desc *desc, const void *msg, buf *out)
{
    mp_put_array(out, (uint32_t)desc->n_fields);
    for (size_t i = 0; i < desc->n_fields; i++)
        TRY(encode_field(&desc->fields[i], (const uint8_t *)msg + desc->fields[i].offset, out));
    return out->err;
}

err_t msg_encode(const msg_desc *desc, const void *msg, buf *out)
{
    return encode_fields(desc, msg, out);
}

static void decode_fields(const msg_desc *desc, mp_reader *r, void *msg, const char **bad);

/* Rows are decoded once here to be checked, and once more when the caller walks them: nothing is
 * allocated. */
static void decode_list(const msg_field *f, mp_reader *r, msg_list *list, const char **bad)
{
    _Alignas(max_align_t) uint8_t row[512];
    uint32_t n = mp_array(r);
    if (n > f->max || f->row->size > sizeof row)
        mp_fail(r, ERR_TOO_LARGE);
    const uint8_t *from = r->p;
    for (uint32_t i = 0; i < n && r->err == ERR_OK; i++)
        decode_fields(f->row, r, row, bad);
    if (r->err == ERR_OK)
        *list = (msg_list){NULL, n, bytes_of(from, (size_t)(r->p - from))};
}

static bytes decode_any(mp_reader *r)
{
    if (mp_peek(r) != MP_NIL)
        return mp_any(r);
    mp_nil(r); /* nil stands for "absent" */
    return bytes_of(NULL, 0);
}

static void decode_field(const msg_field *f, mp_reader *r, uint8_t *at, const char **bad)
{
    bytes s;
    switch (f->type) {
    case MSG_UINT: {
        uint64_t v = mp_uint(r);
        if (r->err == ERR_OK && (v < f->min || v > f->max))
            mp_fail(r, ERR_OUT_OF_RANGE);
        set_member_uint(at, f->width, v);
        return;
    }
    case MSG_INT:
        *(int64_t *)(void *)at = mp_int(r);
        return;
    case MSG_BOOL:
        *(bool *)at = mp_bool(r);
        return;
    case MSG_FIX:
        mp_fixed(r, at, f->width);
        return;
    case MSG_LIST:
        decode_list(f, r, (msg_list *)(void *)at, bad);
        return;
    default:
        s = f->type == MSG_STR ? mp_str(r) : f->type == MSG_BIN ? mp_bin(r) : decode_any(r);
        if (s.len > f->max)
            mp_fail(r, ERR_TOO_LARGE);
        *(bytes *)(void *)at = s;
    }
}

static void decode_fields(const msg_desc *desc, mp_reader *r, void *msg, const char **bad)
{
    uint32_t n = mp_array(r);
    if (n < desc->n_fields)
        mp_fail(r, ERR_TRUNCATED);
    for (size_t i = 0; i < desc->n_fields && r->err == ERR_OK; i++) {
        decode_field(&desc->fields[i], r, (uint8_t *)msg + desc->fields[i].offset, bad);
        if (r->err != ERR_OK && bad != NULL && *bad == NULL)
            *bad = desc->fields[i].name;
    }
    for (uint32_t i = (uint32_t)desc->n_fields; i < n && r->err == ERR_OK; i++)
        (void)mp_any(r); /* a later version's field */
}

err_t msg_decode(const msg_desc *desc, bytes body, void *msg, const char **bad)
{
    mp_reader r = mp_reader_of(body);
    if (bad != NULL)
        *bad = NULL;
    decode_fields(desc, &r, msg, bad);
    err_t e = mp_done(&r);
    if (e != ERR_OK)
        memset(msg, 0, desc->size);
    return e;
}

bool msg_list_next(const msg_desc *desc, msg_list *list, void *row)
{
    if (list->n == 0)
        return false;
    mp_reader r = mp_reader_of(list->raw);
    decode_fields(desc, &r, row, NULL);
    if (r.err != ERR_OK)
        return false;
    list->n--;
    list->raw = mp_rest(&r);
    return true;
}

err_t msg_envelope_encode(const msg_envelope *e, buf *out)
{
    mp_put_array(out, 4);
    mp_put_uint(out, e->version);
    mp_put_uint(out, e->type);
    mp_put_uint(out, e->request);
    mp_put_bin(out, bytes_of(e->dataset.b, sizeof e->dataset.b));
    return out->err;
}

err_t msg_envelope_decode(bytes message, msg_envelope *e, bytes *body)
{
    mp_reader r = mp_reader_of(message);
    uint32_t n = mp_array(&r);
    if (n < 4)
        mp_fail(&r, ERR_TRUNCATED);
    uint64_t version = mp_uint(&r), type = mp_uint(&r);
    e->request = mp_uint(&r);
    mp_fixed(&r, e->dataset.b, sizeof e->dataset.b);
    for (uint32_t i = 4; i < n && r.err == ERR_OK; i++)
        (void)mp_any(&r);
    if (version > UINT8_MAX || type > UINT16_MAX)
        mp_fail(&r, ERR_OUT_OF_RANGE);
    e->version = (uint8_t)version;
    e->type = (uint16_t)type;
    *body = mp_rest(&r);
    return r.err;
}
