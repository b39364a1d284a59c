/* What survives a restart: HOME/gossip/state = msgpack [1, [[address, key, member, last ok ms] …], invites, joins];
 * HOME/gossip/intros, written by `cairn join`. */
#include "gossip/gossip_shell.h"

#include <stdio.h>

#define STATE_VERSION   1u
#define STATE_MAX_BYTES (1u << 20)
#define FORGET_MS       (30ull * 86400 * 1000) /* addresses that were of no use for so long */

static void path_of(const gossip_shell *g, char out[HOME_PATH_MAX + 16], const char *name)
{
    snprintf(out, HOME_PATH_MAX + 16, "%s/%s", service_dir(g->s), name);
}

/* ---- the state ---- */

static bool worth_keeping(const dial_row *d)
{
    return d->address[0] != '\0' && (d->source == DIAL_GIVEN || d->last_ok.ms != 0);
}

static void put_dials(const gossip_shell *g, buf *out)
{
    uint32_t n = 0;
    for (size_t i = 0; i < DIALS_MAX; i++)
        n += worth_keeping(&g->dials[i]);
    mp_put_array(out, n);
    for (size_t i = 0; i < DIALS_MAX; i++) {
        const dial_row *d = &g->dials[i];
        if (!worth_keeping(d))
            continue;
        mp_put_array(out, 4);
        mp_put_cstr(out, d->address);
        mp_put_bin(out, bytes_of(d->key.b, d->has_key ? sizeof d->key.b : 0));
        mp_put_uint(out, d->member);
        mp_put_uint(out, d->last_ok.ms);
    }
}

static void take_dial(gossip_shell *g, mp_reader *r)
{
    char address[ADDRESS_MAX_BYTES + 1];
    if (mp_array(r) != 4)
        mp_fail(r, ERR_MALFORMED);
    bytes text = mp_str(r), key = mp_bin(r);
    uint64_t member = mp_uint(r), last_ok = mp_uint(r);
    if (r->err != ERR_OK || !dial_address_ok(text))
        return;
    if (last_ok != 0 && last_ok + FORGET_MS < clock_wall().ms)
        return;
    snprintf(address, sizeof address, "%.*s", (int)text.len, (const char *)text.p);
    dial_row *d = dial_add(g, address, DIAL_REMEMBERED);
    if (d == NULL)
        return;
    d->member = (member_no)member;
    d->last_ok.ms = last_ok;
    d->has_key = key.len == sizeof d->key.b;
    if (d->has_key)
        memcpy(d->key.b, key.p, key.len);
}

static err_t decode_state(gossip_shell *g, bytes in)
{
    mp_reader r = mp_reader_of(in);
    uint32_t n = mp_array(&r);
    if (r.err == ERR_OK && (n < 4 || mp_uint(&r) != STATE_VERSION))
        return ERR_VERSION;
    n = mp_array(&r);
    for (uint32_t i = 0; i < n && r.err == ERR_OK; i++)
        take_dial(g, &r);
    invite_decode(&r, g->book);
    return mp_done(&r);
}

err_t keep_save(gossip_shell *g)
{
    char path[HOME_PATH_MAX + 16];
    buf out;
    if (!g->dirty)
        return ERR_OK;
    buf_init(&out, STATE_MAX_BYTES);
    mp_put_array(&out, 4);
    mp_put_uint(&out, STATE_VERSION);
    put_dials(g, &out);
    err_t e = invite_encode(g->book, &out);
    path_of(g, path, "state");
    if (e == ERR_OK)
        e = home_write_file(path, buf_view(&out));
    g->dirty = e != ERR_OK;
    buf_release(&out);
    return e;
}

/* ---- loading ---- */

/* Remembered addresses and open invitations can be spared; this node's part in the dataset cannot. */
static err_t put_aside(gossip_shell *g, const char *path, err_t e, buf *why)
{
    char aside[HOME_PATH_MAX + 32];
    snprintf(aside, sizeof aside, "%s.damaged", path);
    memset(g->dials, 0, sizeof g->dials);
    *g->book = (invite_book){0};
    if (rename(path, aside) != 0) {
        buf_addf(why, "%s is damaged (%s): remove it", path, err_text(e));
        return e;
    }
    log_error("%s is damaged (%s): kept as %s; addresses and open invitations are forgotten", path,
              err_text(e), aside);
    return ERR_OK;
}

static err_t load_state(gossip_shell *g, buf *why)
{
    char path[HOME_PATH_MAX + 16];
    buf in;
    path_of(g, path, "state");
    buf_init(&in, STATE_MAX_BYTES);
    err_t e = home_read_file(path, &in);
    if (e == ERR_OK)
        e = decode_state(g, buf_view(&in));
    buf_release(&in);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_VERSION)
        buf_addf(why, "%s was written by a newer Cairn: update this one", path);
    else if (e != ERR_OK)
        e = put_aside(g, path, e, why);
    return e;
}

static void load_intros(gossip_shell *g)
{
    char path[HOME_PATH_MAX + 16];
    path_of(g, path, "intros");
    buf_init(&g->intros_file, 65536);
    err_t e = home_read_file(path, &g->intros_file);
    if (e == ERR_OK)
        e = join_intros_decode(buf_view(&g->intros_file), g->intros, &g->n_intros);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        log_warn("%s cannot be read (%s): peers are trusted only once the roster is known", path,
                 err_text(e));
    for (size_t i = 0; i < g->n_intros; i++) {
        char address[ADDRESS_MAX_BYTES + 1];
        if (!dial_address_ok(g->intros[i].address))
            continue;
        snprintf(address, sizeof address, "%.*s", (int)g->intros[i].address.len,
                 (const char *)g->intros[i].address.p);
        dial_learnt(g, address, g->intros[i].member, &g->intros[i].transport, DIAL_INTRO);
    }
}

err_t keep_load(gossip_shell *g, buf *why)
{
    TRY(load_state(g, why));
    load_intros(g);
    g->dirty = false;
    return ERR_OK;
}
