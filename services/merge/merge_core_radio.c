/* The dataset's radio key: which ones this node can read, and giving it to members, at the founder's. */
#include "merge/merge_core_state.h"

#include "pure/radio_key.h"

#include <stdlib.h>

/* What the log says of it. */
typedef struct {
    merge_core *c;
    merge_radio_key keys[MERGE_RADIO_KEYS]; /* the newest last */
    size_t n;
    bool any;
    uint8_t newest; /* epoch, also of one that is not for us */
    buf given;      /* names of those who have a box of it */
    radio_key_box boxes[RADIO_KEY_BOXES_MAX];
    size_t n_boxes;
    err_t e;
} survey;

/* ---- reading ---- */

static void take_key(survey *s, uint8_t epoch, const uint8_t *key, uint64_t since_ms)
{
    size_t at = 0;
    while (at < s->n && s->keys[at].epoch < epoch)
        at++;
    if (at < s->n && s->keys[at].epoch == epoch) {
        merge_radio_key *k = &s->keys[at];
        if (memcmp(key, k->key, sizeof k->key) < 0)
            memcpy(k->key, key, sizeof k->key);
        k->since_ms = since_ms < k->since_ms ? since_ms : k->since_ms;
        return;
    }
    if (s->n == MERGE_RADIO_KEYS) { /* the oldest goes, which may be this one */
        if (at == 0)
            return;
        memmove(&s->keys[0], &s->keys[1], --at * sizeof s->keys[0]);
    } else {
        memmove(&s->keys[at + 1], &s->keys[at], (s->n - at) * sizeof s->keys[0]);
        s->n++;
    }
    s->keys[at] = (merge_radio_key){.epoch = epoch, .since_ms = since_ms};
    memcpy(s->keys[at].key, key, CRYPTO_KEY_BYTES);
}

static void open_boxes(survey *s, const crypto_signer *mine, uint8_t epoch, uint64_t since_ms)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    for (size_t i = 0; i < s->n_boxes; i++)
        if (memcmp(s->boxes[i].name, mine->public.b, RADIO_KEY_NAME_BYTES) == 0 &&
            crypto_key_unbox(key, s->boxes[i].box, mine) == ERR_OK)
            take_key(s, epoch, key, since_ms);
    crypto_wipe(key, sizeof key);
}

static void note_given(survey *s, uint8_t epoch)
{
    if (s->any && epoch < s->newest)
        return;
    if (!s->any || epoch > s->newest)
        buf_clear(&s->given);
    s->any = true;
    s->newest = epoch;
    for (size_t i = 0; i < s->n_boxes; i++)
        (void)buf_add(&s->given, s->boxes[i].name, RADIO_KEY_NAME_BYTES);
}

/* Any member can write into that stream with a program of his own: only a founder's word counts. */
static bool is_founders(survey *s, const stored_row *row)
{
    member_key author;
    err_t e = merge_author_of(s->c, row->feed, row->seq, &row->id, &author);
    if (e != ERR_OK && e != ERR_NOT_MEMBER && e != ERR_NOT_FOUND)
        s->e = e;
    return e == ERR_OK && roster_is_founder(s->c->roster, feed_member(row->feed), &author) &&
           roster_verdict(s->c->roster, row->feed, &author, row->seq, &row->id) == ROSTER_COUNTS;
}

static bool survey_row(void *arg, const stored_row *row)
{
    survey *s = arg;
    const merge_identity *id = &s->c->identity;
    event_view v;
    uint8_t epoch = 0;
    if ((row->flags & (ROW_CHANGED | ROW_DAMAGED)) != 0 || event_parse(row->body, &v) != ERR_OK ||
        v.opaque || !bytes_is(v.stream, RADIO_KEY_STREAM) || !bytes_is(v.kind, RADIO_KEY_KIND) ||
        radio_key_read(v.payload, &epoch, s->boxes, &s->n_boxes) != ERR_OK || !is_founders(s, row))
        return s->e == ERR_OK;
    note_given(s, epoch);
    open_boxes(s, &id->signer, epoch, v.stamp.wall_ms);
    for (unsigned i = 0; i < id->n_founder; i++)
        open_boxes(s, &id->founder[i], epoch, v.stamp.wall_ms);
    return true;
}

/* A new survey, to be ended by end_survey() in any case; NULL: no memory. */
static survey *begin_survey(merge_core *c, err_t *e)
{
    survey *s = calloc(1, sizeof *s);
    *e = ERR_NO_MEMORY;
    if (s == NULL)
        return NULL;
    s->c = c;
    buf_init(&s->given, MEMBERS_MAX * RADIO_KEY_NAME_BYTES * 4);
    *e = c->io.read_category(c->io.ctx, ROSTER_CATEGORY, survey_row, s);
    if (*e == ERR_OK)
        *e = s->e != ERR_OK ? s->e : s->given.err;
    return s;
}

static void end_survey(survey *s)
{
    if (s == NULL)
        return;
    buf_release(&s->given);
    crypto_wipe(s, sizeof *s);
    free(s);
}

err_t merge_core_radio_keys(merge_core *c, merge_radio_key out[MERGE_RADIO_KEYS], size_t *n)
{
    err_t e;
    survey *s = begin_survey(c, &e);
    *n = 0;
    if (e == ERR_OK) {
        *n = s->n;
        memcpy(out, s->keys, s->n * sizeof out[0]);
    }
    end_survey(s);
    return e;
}

/* ---- giving ---- */

static bool has_one(const survey *s, const member_key *key)
{
    for (size_t at = 0; at < s->given.len; at += RADIO_KEY_NAME_BYTES)
        if (memcmp(s->given.p + at, key->b, RADIO_KEY_NAME_BYTES) == 0)
            return true;
    return false;
}

/* A box for each member of now who has none in s->given, as many as fit one event. */
static err_t make_boxes(survey *s, const merge_radio_key *k, const uint8_t seed[CRYPTO_KEY_BYTES])
{
    const roster *r = s->c->roster;
    uint8_t own[CRYPTO_KEY_BYTES];
    s->n_boxes = 0;
    for (size_t i = 0; i < roster_members(r) && s->n_boxes < RADIO_KEY_BOXES_MAX; i++) {
        const roster_member *m = roster_at(r, i);
        radio_key_box *box = &s->boxes[s->n_boxes];
        if (m->removed || m->orphaned || has_one(s, &m->key))
            continue;
        crypto_keyed_hash(own, sizeof own, seed, bytes_of(m->key.b, sizeof m->key.b));
        if (crypto_key_box(box->box, &m->key, k->key, own) != ERR_OK)
            continue; /* no such key: nobody can have the other half of it */
        memcpy(box->name, m->key.b, sizeof box->name);
        (void)buf_add(&s->given, box->name, sizeof box->name);
        s->n_boxes++;
    }
    crypto_wipe(own, sizeof own);
    return s->n_boxes > 0 ? ERR_OK : ERR_EXISTS;
}

static err_t choose_key(survey *s, bool rotate, const uint8_t random[64], wall_ms now,
                        merge_radio_key *out, buf *why)
{
    bool fresh = rotate || !s->any;
    if (!fresh && (s->n == 0 || s->keys[s->n - 1].epoch != s->newest)) {
        buf_add_str(why, "the radio key of now is not for this node: cairn radio key --rotate");
        return ERR_NOT_FOUND;
    }
    if (fresh && s->any && s->newest == UINT8_MAX) {
        buf_add_str(why, "the radio key was changed 255 times: this dataset has no number left");
        return ERR_TOO_LARGE;
    }
    if (!fresh) {
        *out = s->keys[s->n - 1];
        return ERR_OK;
    }
    *out = (merge_radio_key){.epoch = s->any ? (uint8_t)(s->newest + 1) : 0, .since_ms = now.ms};
    memcpy(out->key, random, sizeof out->key);
    buf_clear(&s->given);
    return ERR_OK;
}

static err_t write_key(survey *s, const merge_hand *h, wall_ms now, uint8_t epoch, merge_batch *b)
{
    buf payload;
    buf_init(&payload, EVENT_MAX_BYTES);
    err_t e = radio_key_write(epoch, s->boxes, s->n_boxes, &payload);
    if (e == ERR_OK)
        e = merge_write_own(s->c, now, h->slot, RADIO_KEY_STREAM, RADIO_KEY_KIND,
                            buf_view(&payload), b);
    buf_release(&payload);
    return e;
}

/* Event after event, until all have one. */
static err_t give(survey *s, const merge_hand *h, wall_ms now, bool rotate,
                  const uint8_t random[64], merge_batch *b, uint8_t *epoch, uint16_t *boxes,
                  buf *why)
{
    merge_radio_key k;
    TRY(choose_key(s, rotate, random, now, &k, why));
    *epoch = k.epoch;
    err_t e;
    while ((e = make_boxes(s, &k, random + CRYPTO_KEY_BYTES)) == ERR_OK) {
        e = write_key(s, h, now, k.epoch, b);
        if (e != ERR_OK)
            break;
        *boxes = (uint16_t)(*boxes + s->n_boxes);
    }
    crypto_wipe(&k, sizeof k);
    return e == ERR_EXISTS && *boxes > 0 ? ERR_OK : e;
}

err_t merge_core_radio_give(merge_core *c, wall_ms now, bool rotate, const uint8_t random[64],
                            merge_batch *b, uint8_t *epoch, uint16_t *boxes, buf *why)
{
    merge_hand h;
    err_t e;
    *boxes = 0;
    *epoch = 0;
    TRY(merge_take_hand(c, &h, why));
    if (!merge_core_is_founder(c)) {
        buf_add_str(why, "only the founder gives out the radio key");
        return ERR_FORBIDDEN;
    }
    survey *s = begin_survey(c, &e);
    if (e == ERR_OK)
        e = give(s, &h, now, rotate, random, b, epoch, boxes, why);
    end_survey(s);
    return e;
}
