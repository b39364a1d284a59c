#include "cli/live_refs.h"

#include "cli/out.h"
#include "pure/value.h"
#include "shell/clock.h"

void live_refs_init(live_refs *l)
{
    l->n = 0;
    buf_init(&l->words, 4 * EVENT_MAX_BYTES);
}

void live_refs_release(live_refs *l)
{
    buf_release(&l->words);
}

static bool is_known(const live_refs *l, const ref_row *ref)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->refs[i].feed == ref->feed && l->refs[i].seq == ref->seq &&
            l->refs[i].prefix == ref->prefix)
            return true;
    return false;
}

static err_t add(live_refs *l, const ref_row *ref)
{
    if (is_known(l, ref))
        return ERR_OK;
    if (l->n == REPLACES_MAX)
        return ERR_TOO_LARGE;
    l->refs[l->n++] = *ref;
    return ERR_OK;
}

static void describe(live_refs *l, const write_row *w)
{
    char value[60], when[32];
    out_short(value, sizeof value, w->value);
    clock_text(when, w->wall_ms, false);
    buf_addf(&l->words, "  replaces %.*s%s\"%s\" by %.*s of %s\n", (int)w->name.len,
             (const char *)w->name.p, w->name.len > 0 ? " = " : "", value, (int)w->author.len,
             (const char *)w->author.p, when);
}

static bool is_wanted(bytes fields, const write_row *w)
{
    value_map m;
    bytes key, value;
    if (fields.len == 0)
        return true;
    if (!bytes_is(w->what, "field") || !value_map_open(fields, &m))
        return false;
    while (value_map_next(&m, &key, &value))
        if (bytes_eq(key, w->name))
            return true;
    return false;
}

err_t live_refs_take(live_refs *l, const record_reply *record, bytes fields)
{
    msg_list writes = record->writes;
    write_row w;
    while (msg_list_next(&write_row_desc, &writes, &w)) {
        if (!w.live || !is_wanted(fields, &w))
            continue;
        describe(l, &w);
        TRY(add(l, &(ref_row){.feed = w.feed, .seq = w.seq, .prefix = w.prefix}));
    }
    return ERR_OK;
}

err_t live_refs_add(live_refs *l, const char *text)
{
    ref_row ref = {0};
    if (!out_ref_parse(text, &ref.feed, &ref.seq, &ref.prefix))
        return ERR_INVALID;
    return add(l, &ref);
}
