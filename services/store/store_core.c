#include "store/store_core_impl.h"

#include <assert.h>
#include <stdlib.h>

/* ---- meta rows ---- */

/* Two copies of each: one flipped bit does not cost the clock. */
static err_t meta_put(store_core *s, const char *const names[2], bytes content)
{
    for (size_t i = 0; i < 2; i++) {
        store_key key;
        key_text(&key, names[i]);
        TRY(table_put(s->txn, KV_META, &key, content, &s->scratch));
    }
    return ERR_OK;
}

static err_t meta_get(kv_txn *txn, const char *const names[2], bytes *content)
{
    err_t e = ERR_NOT_FOUND;
    for (size_t i = 0; i < 2; i++) {
        store_key key;
        key_text(&key, names[i]);
        err_t found = table_get(txn, KV_META, &key, content);
        if (found == ERR_OK)
            return ERR_OK;
        e = found == ERR_DAMAGED ? found : e;
    }
    return e;
}

static const char *const state_names[2] = {"state/0", "state/1"};
static const char *const identity_names[2] = {"identity/0", "identity/1"};
static const char *const format_names[2] = {"format", "format/1"};

err_t state_write(store_core *s)
{
    const store_state *st = &s->st;
    const uint64_t numbers[] = {st->head,          st->indexed,      st->changed,
                                st->clock_wall_ms, st->scrub_offset, st->scrubbed_ms,
                                st->clock_counter};
    buf_clear(&s->row);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        buf_add_u64be(&s->row, numbers[i]);
    TRY(s->row.err);
    return meta_put(s, state_names, buf_view(&s->row));
}

static err_t state_read(kv_txn *txn, store_state *st)
{
    bytes in;
    TRY(meta_get(txn, state_names, &in));
    *st = (store_state){.head = take_u64(&in)};
    st->indexed = take_u64(&in);
    st->changed = take_u64(&in);
    st->clock_wall_ms = take_u64(&in);
    st->scrub_offset = take_u64(&in);
    st->scrubbed_ms = take_u64(&in);
    st->clock_counter = (uint32_t)take_u64(&in);
    return ERR_OK;
}

static err_t identity_write(store_core *s)
{
    const store_identity *id = &s->identity;
    buf_clear(&s->row);
    buf_add_u64be(&s->row, id->epoch);
    buf_add_u32be(&s->row, id->incarnation);
    buf_add_u64be(&s->row, id->inode);
    buf_add_u64be(&s->row, id->birth_ns);
    buf_add(&s->row, id->machine, id->machine_len);
    TRY(s->row.err);
    return meta_put(s, identity_names, buf_view(&s->row));
}

static err_t identity_read(kv_txn *txn, store_identity *id)
{
    bytes in;
    TRY(meta_get(txn, identity_names, &in));
    *id = (store_identity){.epoch = take_u64(&in)};
    id->incarnation = (uint16_t)take_u32(&in);
    id->inode = take_u64(&in);
    id->birth_ns = take_u64(&in);
    if (in.len > STORE_MACHINE_MAX_BYTES)
        return ERR_DAMAGED;
    id->machine_len = (uint8_t)in.len;
    take_fixed(&in, id->machine, in.len);
    return ERR_OK;
}

/* ---- opening ---- */

static void identity_of(store_identity *id, const store_opening *how)
{
    id->inode = how->inode;
    id->birth_ns = how->birth_ns;
    id->machine_len =
        (uint8_t)(how->machine.len < sizeof id->machine ? how->machine.len : sizeof id->machine);
    if (id->machine_len != 0)
        memcpy(id->machine, how->machine.p, id->machine_len);
}

static bool differs(uint64_t a, uint64_t b)
{
    return a != 0 && b != 0 && a != b;
}

static bool is_copy(const store_identity *held, const store_opening *how)
{
    store_identity now = {0};
    identity_of(&now, how);
    bool moved = held->machine_len != 0 && now.machine_len != 0 &&
                 !bytes_eq(bytes_of(held->machine, held->machine_len),
                           bytes_of(now.machine, now.machine_len));
    return moved || differs(held->inode, now.inode) || differs(held->birth_ns, now.birth_ns);
}

static void renew_identity(store_core *s, const store_opening *how, uint16_t incarnation)
{
    identity_of(&s->identity, how);
    s->identity.epoch = how->random_epoch;
    s->identity.incarnation = incarnation;
    s->identity_kept = s->identity;
    s->identity_due = true;
}

/* ERR_NOT_FOUND: nothing there at all. */
static err_t check_format(kv_txn *txn)
{
    bytes content;
    kv_cursor c;
    err_t e = meta_get(txn, format_names, &content);
    if (e == ERR_OK)
        return bytes_is(content, STORE_FORMAT) ? ERR_OK : ERR_FOREIGN_DB;
    e = kv_first(txn, KV_META, bytes_of(NULL, 0), &c);
    kv_done(&c);
    return e == ERR_NOT_FOUND ? ERR_NOT_FOUND : ERR_FOREIGN_DB;
}

/* Both copies of the state were damaged: what can be known without them. The clock is not; the new
 * incarnation and the stamps of the own feeds make up for it. */
static err_t guess_state(store_core *s, kv_txn *txn)
{
    kv_cursor c;
    s->st = (store_state){0};
    err_t e = kv_last(txn, KV_LOG, &c);
    if (e == ERR_OK && c.key.len == 8)
        s->st.head = get_u64be(c.key.p);
    kv_done(&c);
    s->index_bad = true;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static err_t load_identity(store_core *s, kv_txn *txn, const store_opening *how)
{
    err_t state = state_read(txn, &s->st);
    if (state == ERR_DAMAGED || state == ERR_NOT_FOUND)
        TRY(guess_state(s, txn));
    else
        TRY(state);
    err_t e = identity_read(txn, &s->identity);
    if (e != ERR_OK && e != ERR_DAMAGED && e != ERR_NOT_FOUND)
        return e;
    s->identity_kept = s->identity;
    s->copied = e != ERR_OK || state != ERR_OK || how->doubtful || is_copy(&s->identity, how);
    if (s->copied)
        renew_identity(s, how, how->random_incarnation);
    return ERR_OK;
}

static err_t load_tables(store_core *s, kv_txn *txn)
{
    store_key rebuild;
    bytes content;
    s->block.valid = false;
    key_text(&rebuild, "rebuild");
    if (table_get(txn, KV_META, &rebuild, &content) != ERR_NOT_FOUND)
        s->index_bad = true;
    err_t e = damage_load(s, txn);
    if (e == ERR_OK)
        e = erase_load(s, txn);
    if (e == ERR_OK)
        e = feeds_load(s, txn);
    if (e == ERR_OK && !lag_restore(s))
        e = lag_load(s, txn);
    s->mark.valid = false;
    if (e == ERR_DAMAGED) {
        s->index_bad = true;
        e = ERR_OK;
    }
    return e;
}

static err_t create(store_core *s, const store_opening *how)
{
    renew_identity(s, how, how->first_incarnation);
    TRY(kv_begin(s->kv, true, &s->txn));
    err_t e = meta_put(s, format_names, bytes_str(STORE_FORMAT));
    if (e == ERR_OK)
        e = identity_write(s);
    if (e == ERR_OK)
        e = state_write(s);
    if (e == ERR_OK)
        e = kv_commit(s->txn);
    else
        kv_abort(s->txn);
    s->txn = NULL;
    s->identity_due = false;
    return e;
}

static err_t load(store_core *s, const store_opening *how)
{
    kv_txn *txn;
    TRY(kv_begin(s->kv, false, &txn));
    err_t e = check_format(txn);
    if (e == ERR_OK)
        e = load_identity(s, txn, how);
    if (e == ERR_OK)
        e = load_tables(s, txn);
    kv_abort(txn);
    if (e == ERR_NOT_FOUND)
        return create(s, how);
    if (e == ERR_OK && s->index_bad)
        e = core_reindex(s);
    if (e == ERR_OK && s->identity_due)
        s->state = store_probe(s); /* if that fails, it goes first into the next group */
    return e;
}

err_t core_reload(store_core *s)
{
    kv_txn *txn;
    s->stale = true;
    TRY(kv_begin(s->kv, false, &txn));
    err_t e = state_read(txn, &s->st);
    if (e == ERR_OK)
        e = load_tables(s, txn);
    kv_abort(txn);
    s->stale = e != ERR_OK;
    return e;
}

static store_core *new_core(const store_opening *how)
{
    store_core *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->lag_bytes = how->index_lag_bytes != 0 ? how->index_lag_bytes : LAG_BYTES_DEFAULT;
    s->plan = malloc(BATCH_MAX_EVENTS * sizeof *s->plan);
    buf_init(&s->row, OUT_MAX_BYTES);
    buf_init(&s->scratch, OUT_MAX_BYTES);
    buf_init(&s->out, OUT_MAX_BYTES);
    buf_init(&s->list, OUT_MAX_BYTES);
    buf_init(&s->lags[0].keys, SIZE_MAX);
    buf_init(&s->lags[1].keys, SIZE_MAX);
    return s;
}

err_t store_open(store_core **out, store_kv *kv, const store_opening *how)
{
    *out = NULL;
    store_core *s = new_core(how);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->kv = kv;
    err_t e = s->plan != NULL ? load(s, how) : ERR_NO_MEMORY;
    if (e != ERR_OK) {
        s->kv = NULL; /* stays the caller's */
        store_close(&s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

void store_close(store_core **p)
{
    store_core *s = *p;
    if (s == NULL)
        return;
    kv_abort(s->txn);
    feeds_release(s);
    lag_release(s);
    buf_release(&s->lags[0].keys);
    buf_release(&s->lags[1].keys);
    free(s->block.p);
    free(s->damage);
    free(s->plan);
    buf_release(&s->row);
    buf_release(&s->scratch);
    buf_release(&s->out);
    buf_release(&s->list);
    kv_free(s->kv);
    free(s);
    *p = NULL;
}

/* ---- groups ---- */

err_t group_fail(store_core *s, err_t e)
{
    assert(s->txn != NULL);
    if (s->group == ERR_OK)
        s->group = e;
    return e;
}

err_t store_begin(store_core *s)
{
    assert(s->txn == NULL);
    if (s->stale)
        TRY(core_reload(s));
    if (s->index_bad)
        TRY(core_reindex(s));
    err_t e = kv_begin(s->kv, true, &s->txn);
    if (e != ERR_OK) {
        s->state = e;
        return e;
    }
    s->group = ERR_OK;
    s->group_rows = 0;
    lag_remember(s);
    s->block.valid = false;
    if (s->identity_due && (e = identity_write(s)) != ERR_OK) {
        store_abort(s);
        s->state = e;
    }
    return e;
}

static err_t finish_group(store_core *s)
{
    TRY(s->group);
    TRY(feeds_write(s));
    TRY(damage_write(s));
    s->owed += s->group_rows;
    if (s->state == ERR_OK) /* a disk that is full gets no more to write than it must */
        TRY(lag_drain(s, 0));
    if (!lag_pending(s))
        s->st.indexed = s->st.head;
    return state_write(s);
}

static void drop_group(store_core *s)
{
    kv_abort(s->txn);
    s->txn = NULL;
    s->identity = s->identity_kept;
    s->block.valid = false;
}

err_t store_commit(store_core *s)
{
    assert(s->txn != NULL);
    err_t e = finish_group(s);
    if (e == ERR_OK) {
        e = kv_commit(s->txn);
        s->txn = NULL;
    }
    s->state = e;
    s->block.valid = false;
    if (e != ERR_OK) {
        drop_group(s);
        s->stale = core_reload(s) != ERR_OK;
        return e;
    }
    s->identity_kept = s->identity;
    s->identity_due = false;
    return ERR_OK;
}

void store_abort(store_core *s)
{
    if (s->txn == NULL)
        return;
    drop_group(s);
    s->stale = core_reload(s) != ERR_OK;
}

err_t read_begin(store_core *s, kv_txn **txn)
{
    assert(s->txn == NULL);
    if (s->stale)
        TRY(core_reload(s));
    if (s->index_bad)
        TRY(core_reindex(s));
    s->block.valid = false;
    return kv_begin(s->kv, false, txn);
}

err_t store_probe(store_core *s)
{
    err_t e = store_begin(s);
    return e == ERR_OK ? store_commit(s) : e;
}

bool store_tend(store_core *s, uint32_t streams)
{
    bool unwritten = false;
    for (size_t i = 0; i < s->n_damage; i++)
        unwritten |= s->damage[i].dirty;
    if ((!lag_pending(s) && !unwritten) || s->state != ERR_OK || store_begin(s) != ERR_OK)
        return false;
    err_t e = lag_drain(s, streams != 0 ? streams : 1);
    if (e != ERR_OK)
        (void)group_fail(s, e);
    return store_commit(s) == ERR_OK && lag_pending(s);
}

/* ---- small questions ---- */

bool list_take(const msg_desc *desc, msg_list *list, void *row)
{
    if (list->items == NULL)
        return msg_list_next(desc, list, row);
    if (list->n == 0)
        return false;
    memcpy(row, list->items, desc->size);
    list->items = (const uint8_t *)list->items + desc->size;
    list->n--;
    return true;
}

uint64_t store_head(const store_core *s)
{
    return s->st.head;
}

err_t store_incarnation(store_core *s, const incarnation_request *req)
{
    assert(s->txn != NULL);
    TRY(s->group);
    if (req->incarnation == 0 || (req->incarnation & 3) != 0)
        return ERR_INVALID;
    s->identity.incarnation = req->incarnation;
    err_t e = identity_write(s);
    return e == ERR_OK ? ERR_OK : group_fail(s, e);
}

err_t store_hello(store_core *s, store_hello_reply *out)
{
    kv_stats stats;
    err_t e = kv_get_stats(s->kv, &stats);
    *out = (store_hello_reply){
        .epoch = s->identity.epoch,
        .incarnation = s->identity.incarnation,
        .copied = s->copied,
        .head = s->st.head,
        .clock_wall_ms = s->st.clock_wall_ms,
        .clock_counter = s->st.clock_counter,
        .state = (uint16_t)(e == ERR_OK ? s->state : e),
        .disk_bytes = stats.used_bytes,
        .damaged = s->n_damage,
        .scrub_offset = s->st.scrub_offset,
        .scrubbed_ms = s->st.scrubbed_ms,
    };
    return ERR_OK;
}
