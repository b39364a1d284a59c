#include "pure/roster_event.h"

#include "proto/mp.h"

#define BIT(kind) (1u << ROSTER_EV_##kind)
#define ANY_KIND  (BIT(GENESIS) | BIT(ADD) | BIT(REMOVE) | BIT(REPLACE))

static const char *const role_names[] = {"founder", "coordinator", "field", "reader"};
static const char *const kind_names[ROSTER_EV_COUNT] = {
    [ROSTER_EV_GENESIS] = ROSTER_KIND_GENESIS,
    [ROSTER_EV_ADD] = ROSTER_KIND_ADD,
    [ROSTER_EV_REMOVE] = ROSTER_KIND_REMOVE,
    [ROSTER_EV_REPLACE] = ROSTER_KIND_REPLACE,
};

const char *roster_role_name(roster_role role)
{
    return (unsigned)role < sizeof role_names / sizeof *role_names ? role_names[role] : "unknown";
}

bool roster_role_of(bytes name, roster_role *out)
{
    for (unsigned i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (bytes_is(name, role_names[i])) {
            *out = (roster_role)i;
            return true;
        }
    return false;
}

bool roster_kind_of(bytes kind, roster_kind *out)
{
    for (unsigned i = 0; i < ROSTER_EV_COUNT; i++)
        if (bytes_is(kind, kind_names[i])) {
            *out = (roster_kind)i;
            return true;
        }
    return false;
}

/* ---- each field once: how it is read, how it is written ---- */

static uint16_t read_u16(mp_reader *r)
{
    uint64_t v = mp_uint(r);
    if (v > UINT16_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    return (uint16_t)v;
}

static size_t read_length(mp_reader *r)
{
    uint32_t n = mp_array(r);
    if (n > ROSTER_LIST_MAX)
        mp_fail(r, ERR_OUT_OF_RANGE);
    return r->err == ERR_OK ? n : 0;
}

static void read_tuple(mp_reader *r, uint32_t n)
{
    if (mp_array(r) != n)
        mp_fail(r, ERR_MALFORMED);
}

static void read_forks(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    e->forks = room->forks;
    e->n_forks = read_length(r);
    for (size_t i = 0; i < e->n_forks; i++) {
        read_tuple(r, 2);
        room->forks[i].incarnation = read_u16(r);
        room->forks[i].seq = mp_uint(r);
    }
}

static void write_forks(const roster_event *e, buf *b)
{
    mp_put_array(b, (uint32_t)e->n_forks);
    for (size_t i = 0; i < e->n_forks; i++) {
        mp_put_array(b, 2);
        mp_put_uint(b, e->forks[i].incarnation);
        mp_put_uint(b, e->forks[i].seq);
    }
}

static void read_heads(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    e->heads = room->heads;
    e->n_heads = read_length(r);
    for (size_t i = 0; i < e->n_heads; i++) {
        read_tuple(r, 3);
        room->heads[i].incarnation = read_u16(r);
        room->heads[i].seq = mp_uint(r);
        mp_fixed(r, room->heads[i].id.b, EVENT_ID_BYTES);
    }
}

static void write_heads(const roster_event *e, buf *b)
{
    mp_put_array(b, (uint32_t)e->n_heads);
    for (size_t i = 0; i < e->n_heads; i++) {
        mp_put_array(b, 3);
        mp_put_uint(b, e->heads[i].incarnation);
        mp_put_uint(b, e->heads[i].seq);
        mp_put_bin(b, bytes_of(e->heads[i].id.b, EVENT_ID_BYTES));
    }
}

static void read_supersedes(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    e->supersedes = room->supersedes;
    e->n_supersedes = read_length(r);
    for (size_t i = 0; i < e->n_supersedes; i++)
        mp_fixed(r, room->supersedes[i].b, EVENT_ID_BYTES);
}

static void write_supersedes(const roster_event *e, buf *b)
{
    mp_put_array(b, (uint32_t)e->n_supersedes);
    for (size_t i = 0; i < e->n_supersedes; i++)
        mp_put_bin(b, bytes_of(e->supersedes[i].b, EVENT_ID_BYTES));
}

/* Fields that are one fixed string of bytes. */
#define FIXED_FIELD(field, member, length)                                                         \
    static void read_##field(mp_reader *r, roster_lists_room *room, roster_event *e)               \
    {                                                                                              \
        (void)room;                                                                                \
        mp_fixed(r, e->member, length);                                                            \
    }                                                                                              \
    static void write_##field(const roster_event *e, buf *b)                                       \
    {                                                                                              \
        mp_put_bin(b, bytes_of(e->member, length));                                                \
    }
FIXED_FIELD(heir, heir.b, MEMBER_KEY_BYTES)
FIXED_FIELD(key, key.b, MEMBER_KEY_BYTES)
FIXED_FIELD(random, random, ROSTER_RANDOM_BYTES)
FIXED_FIELD(sealing, sealing, ROSTER_SEALING_BYTES)
FIXED_FIELD(transport, transport.b, TRANSPORT_KEY_BYTES)

#define TEXT_FIELD(field)                                                                          \
    static void read_##field(mp_reader *r, roster_lists_room *room, roster_event *e)               \
    {                                                                                              \
        (void)room;                                                                                \
        e->field = mp_str(r);                                                                      \
    }                                                                                              \
    static void write_##field(const roster_event *e, buf *b)                                       \
    {                                                                                              \
        mp_put_str(b, e->field);                                                                   \
    }
TEXT_FIELD(name)
TEXT_FIELD(title)

static void read_number(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    (void)room;
    e->number = read_u16(r);
}

static void write_number(const roster_event *e, buf *b)
{
    mp_put_uint(b, e->number);
}

static void read_numbers(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    (void)room;
    read_tuple(r, 2);
    e->lo = read_u16(r);
    e->hi = read_u16(r);
}

static void write_numbers(const roster_event *e, buf *b)
{
    mp_put_array(b, 2);
    mp_put_uint(b, e->lo);
    mp_put_uint(b, e->hi);
}

static void read_role(mp_reader *r, roster_lists_room *room, roster_event *e)
{
    (void)room;
    bytes name = mp_str(r);
    if (r->err == ERR_OK && !roster_role_of(name, &e->role))
        mp_fail(r, ERR_MALFORMED);
}

static void write_role(const roster_event *e, buf *b)
{
    mp_put_cstr(b, roster_role_name(e->role));
}

/* ---- which kind has which field ---- */

typedef struct {
    const char *name;
    unsigned required, optional; /* kinds */
    void (*read)(mp_reader *r, roster_lists_room *room, roster_event *e);
    void (*write)(const roster_event *e, buf *b);
} field;

/* Sorted by name, as the payload is. */
static const field fields[] = {
    {"forks", BIT(REMOVE), 0, read_forks, write_forks},
    {"heads", BIT(REMOVE) | BIT(REPLACE), 0, read_heads, write_heads},
    {"heir", BIT(GENESIS) | BIT(REPLACE), 0, read_heir, write_heir},
    {"key", BIT(GENESIS) | BIT(ADD) | BIT(REPLACE), 0, read_key, write_key},
    {"name", BIT(GENESIS) | BIT(ADD), BIT(REPLACE), read_name, write_name},
    {"number", BIT(ADD) | BIT(REMOVE), 0, read_number, write_number},
    {"numbers", 0, BIT(ADD), read_numbers, write_numbers},
    {"random", BIT(GENESIS), 0, read_random, write_random},
    {"role", BIT(ADD), 0, read_role, write_role},
    {"sealing", 0, ANY_KIND & ~BIT(REMOVE), read_sealing, write_sealing},
    {"supersedes", BIT(REMOVE), 0, read_supersedes, write_supersedes},
    {"title", BIT(GENESIS), 0, read_title, write_title},
    {"transport", BIT(GENESIS) | BIT(ADD), BIT(REPLACE), read_transport, write_transport},
};
#define FIELDS (sizeof fields / sizeof *fields)

static bool text_ok(bytes s, size_t max)
{
    return s.len > 0 && s.len <= max && memchr(s.p, 0, s.len) == NULL;
}

static bool seqs_ok(const roster_event *e)
{
    for (size_t i = 0; i < e->n_heads; i++)
        if (e->heads[i].seq == 0)
            return false;
    return true;
}

/* Bounds that hold for reader and writer alike. */
static err_t check(const roster_event *e)
{
    bool named = e->kind == ROSTER_EV_GENESIS || e->kind == ROSTER_EV_ADD || e->name.len > 0;
    bool ok = !named || text_ok(e->name, NAME_MAX_BYTES);
    if (e->kind == ROSTER_EV_GENESIS)
        ok = ok && text_ok(e->title, TITLE_MAX_BYTES);
    if (e->kind == ROSTER_EV_ADD)
        ok = ok && e->role != ROSTER_ROLE_FOUNDER && e->lo <= e->hi && (e->lo > 0 || e->hi == 0);
    if (e->kind == ROSTER_EV_ADD || e->kind == ROSTER_EV_REMOVE)
        ok = ok && e->number != 0;
    ok = ok && e->n_heads <= ROSTER_LIST_MAX && e->n_forks <= ROSTER_LIST_MAX &&
         e->n_supersedes <= ROSTER_LIST_MAX;
    return ok && seqs_ok(e) ? ERR_OK : ERR_OUT_OF_RANGE;
}

static bool is_written(const field *f, const roster_event *e)
{
    unsigned bit = 1u << e->kind;
    if (f->required & bit)
        return true;
    if (!(f->optional & bit))
        return false;
    if (f->write == write_numbers)
        return e->hi != 0;
    if (f->write == write_name)
        return e->name.len > 0;
    return f->write == write_sealing ? e->has_sealing : e->has_transport;
}

err_t roster_event_write(const roster_event *in, buf *out)
{
    TRY(check(in));
    uint32_t n = 0;
    for (size_t i = 0; i < FIELDS; i++)
        n += is_written(&fields[i], in);
    mp_put_map(out, n);
    for (size_t i = 0; i < FIELDS; i++)
        if (is_written(&fields[i], in)) {
            mp_put_cstr(out, fields[i].name);
            fields[i].write(in, out);
        }
    return out->err;
}

/* NULL for a key that this kind does not have: some later version's. */
static const field *field_of(bytes name, unsigned bit)
{
    for (size_t i = 0; i < FIELDS; i++)
        if ((fields[i].required | fields[i].optional) & bit && bytes_is(name, fields[i].name))
            return &fields[i];
    return NULL;
}

static unsigned required_count(unsigned bit)
{
    unsigned n = 0;
    for (size_t i = 0; i < FIELDS; i++)
        n += (fields[i].required & bit) != 0;
    return n;
}

err_t roster_event_read(roster_kind kind, bytes payload, roster_lists_room *room, roster_event *out)
{
    *out = (roster_event){.kind = kind};
    unsigned bit = 1u << kind, missing = required_count(bit);
    mp_reader r = mp_reader_of(payload);
    bytes before = {0};
    uint32_t n = mp_map(&r);
    for (uint32_t i = 0; i < n && r.err == ERR_OK; i++) {
        bytes name = mp_str(&r);
        if (i > 0 && bytes_cmp(before, name) >= 0)
            mp_fail(&r, ERR_KEY_ORDER);
        before = name;
        const field *f = field_of(name, bit);
        if (!f) {
            (void)mp_any(&r);
            continue;
        }
        f->read(&r, room, out);
        missing -= (f->required & bit) != 0;
        out->has_transport |= f->read == read_transport;
        out->has_sealing |= f->read == read_sealing;
    }
    TRY(mp_done(&r));
    return missing ? ERR_MALFORMED : check(out);
}
