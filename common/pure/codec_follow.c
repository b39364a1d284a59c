#include "pure/codec_follow.h"

#include <stddef.h>
#include <string.h>

/* How the first byte of a value goes on (MessagePack specification, "Formats"). */
typedef enum { ALONE, NUMBER, FLOATING, TEXT, EXTENSION, ARRAY, MAP } shape;

typedef struct {
    uint8_t first, last; /* of this row */
    uint8_t shape;
    uint8_t header;  /* bytes of length that follow */
    uint8_t payload; /* bytes of a number; for fix types the mask of the length in the first byte */
} type_row;

static const type_row types[] = {
    {0x00, 0x7f, ALONE, 0, 0},     {0x80, 0x8f, MAP, 0, 0x0f},    {0x90, 0x9f, ARRAY, 0, 0x0f},
    {0xa0, 0xbf, TEXT, 0, 0x1f},   {0xc0, 0xc0, ALONE, 0, 0},     {0xc1, 0xc1, FLOATING, 1, 0},
    {0xc2, 0xc3, ALONE, 0, 0},     {0xc4, 0xc4, TEXT, 1, 0},      {0xc5, 0xc5, TEXT, 2, 0},
    {0xc6, 0xc6, TEXT, 4, 0},      {0xc7, 0xc7, EXTENSION, 1, 0}, {0xc8, 0xc8, EXTENSION, 2, 0},
    {0xc9, 0xc9, EXTENSION, 4, 0}, {0xca, 0xca, NUMBER, 0, 4},    {0xcb, 0xcb, NUMBER, 0, 8},
    {0xcc, 0xcc, NUMBER, 0, 1},    {0xcd, 0xcd, NUMBER, 0, 2},    {0xce, 0xce, NUMBER, 0, 4},
    {0xcf, 0xcf, NUMBER, 0, 8},    {0xd0, 0xd0, NUMBER, 0, 1},    {0xd1, 0xd1, NUMBER, 0, 2},
    {0xd2, 0xd2, NUMBER, 0, 4},    {0xd3, 0xd3, NUMBER, 0, 8},    {0xd4, 0xd4, NUMBER, 0, 2},
    {0xd5, 0xd5, NUMBER, 0, 3},    {0xd6, 0xd6, NUMBER, 0, 5},    {0xd7, 0xd7, NUMBER, 0, 9},
    {0xd8, 0xd8, NUMBER, 0, 17},   {0xd9, 0xd9, TEXT, 1, 0},      {0xda, 0xda, TEXT, 2, 0},
    {0xdb, 0xdb, TEXT, 4, 0},      {0xdc, 0xdc, ARRAY, 2, 0},     {0xdd, 0xdd, ARRAY, 4, 0},
    {0xde, 0xde, MAP, 2, 0},       {0xdf, 0xdf, MAP, 4, 0},       {0xe0, 0xff, ALONE, 0, 0},
};

static const follow_kind payload_kinds[] = {
    [ALONE] = FOLLOW_NUMBER, [NUMBER] = FOLLOW_NUMBER,  [FLOATING] = FOLLOW_DIGITS,
    [TEXT] = FOLLOW_TEXT,    [EXTENSION] = FOLLOW_TEXT, [ARRAY] = FOLLOW_NUMBER,
    [MAP] = FOLLOW_NUMBER,
};

static const type_row *type_of(uint8_t byte)
{
    size_t i = 0;
    while (byte > types[i].last)
        i++;
    return &types[i];
}

/* ---- places ---- */

static follow_place *place_of(follow *f, uint32_t hash)
{
    follow_place *p = &f->places[hash % CODEC_PLACES];
    if (p->check != hash)
        *p = (follow_place){.check = hash};
    return p;
}

static void expect_value(follow *f)
{
    follow_level *l = &f->level[f->depth];
    f->is_key = l->map && l->index % 2 == 0;
    /* A key's place is named by the key before it: keys are sorted, so one follows another. */
    uint32_t step = l->map ? l->key * 2 + f->is_key : l->index;
    f->kind = f->depth == 0 ? FOLLOW_BODY : FOLLOW_TYPE;
    f->place = follow_mix(l->place, step);
    f->last = place_of(f, f->place);
    f->same = true;
    f->hash = f->position = 0;
    f->start = f->at;
}

static void end_container(follow *f)
{
    while (f->depth > 0 && f->level[f->depth].left == 0) {
        f->depth--;
        if (f->depth == 0)
            f->bodies++;
        else
            f->level[f->depth].index++;
    }
    expect_value(f);
}

static void remember(follow *f)
{
    follow_place *p = f->last;
    uint32_t length = f->at - f->start;
    bool again = f->same && p->length == length;
    p->repeats = (uint8_t)(!again ? 0 : p->repeats < 255 ? p->repeats + 1 : 255);
    p->before = p->hash;
    p->hash = f->hash;
    p->start = f->start;
    p->length = length;
}

static void end_value(follow *f)
{
    follow_level *l = &f->level[f->depth];
    remember(f);
    if (f->is_key) {
        l->key = f->hash;
    } else {
        f->value2 = f->value1;
        f->value1 = f->hash;
    }
    l->index++;
    end_container(f);
}

static void open_container(follow *f, bool map)
{
    uint64_t elements = (uint64_t)f->length << map;
    if (f->depth == CODEC_DEPTH_MAX || elements > UINT32_MAX) {
        f->bad = true;
        return;
    }
    remember(f);
    f->level[++f->depth] =
        (follow_level){.left = (uint32_t)elements, .place = f->place, .map = map};
    end_container(f);
}

/* ---- bytes ---- */

static void after_header(follow *f)
{
    const type_row *t = type_of(f->type);
    if (t->shape == ARRAY || t->shape == MAP) {
        open_container(f, t->shape == MAP);
        return;
    }
    f->payload_left = f->length + (t->shape == EXTENSION); /* its type is a byte more */
    f->kind = f->payload_kind;
    if (f->payload_left == 0)
        end_value(f);
}

static void first_byte(follow *f, uint8_t byte)
{
    const type_row *t = type_of(byte);
    if ((f->depth == 0 && t->shape != ARRAY) || (f->is_key && t->shape != TEXT)) {
        f->bad = true;
        return;
    }
    if (f->depth > 0)
        f->level[f->depth].left--;
    f->type = byte;
    f->header_left = t->header;
    f->payload_kind = payload_kinds[t->shape];
    f->length = t->shape == NUMBER ? t->payload : (uint32_t)(byte & t->payload);
    if (f->header_left > 0)
        f->kind = FOLLOW_LENGTH;
    else
        after_header(f);
}

void follow_byte(follow *f, uint8_t byte)
{
    if (f->bad)
        return;
    f->same = f->same && follow_expected(f) == byte;
    f->window[f->at & ((1u << CODEC_WINDOW_LOG) - 1)] = byte;
    f->at++;
    f->position++;
    f->hash = follow_mix(f->hash, byte);
    if (f->kind == FOLLOW_BODY || f->kind == FOLLOW_TYPE) {
        first_byte(f, byte);
    } else if (f->kind == FOLLOW_LENGTH) {
        f->length = f->length << 8 | byte;
        if (--f->header_left == 0)
            after_header(f);
    } else if (--f->payload_left == 0) {
        end_value(f);
    }
}

void follow_init(follow *f)
{
    memset(f, 0, sizeof *f);
    f->level[0].place = 1;
    expect_value(f);
}

void follow_moved(follow *f)
{
    f->last = place_of(f, f->place);
}
