/* Writes proto/PROTOCOL.md from the declarations, so that the page cannot drift: test_protocol.sh compares. With
 * --example it also writes, for every message, one body in hex with each field at its smallest value. */
#include "proto/msg.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const intro[] = {
    "# Messages between the processes and nodes of Cairn\n\n",
    "Generated from `proto/*.def` by `tests/golden/protocol_md.c`; do not edit. The bytes of "
    "events, seals, runs and\n",
    "bundles are in FORMAT.md.\n\n",
    "A ZeroMQ message is one frame (after the routing id on ROUTER sockets) with one to 256 "
    "messages in it, each: the length\n",
    "of what follows (u32, big-endian), the envelope `[version, type, request id, dataset id]`, "
    "and "
    "the body, the last two\n",
    "strict msgpack (shortest forms, float64 only, valid UTF-8). A body has at most 4 MiB. Who has "
    "several messages for one\n",
    "peer should send them in one frame; a lobby looks at the first of a frame only. A frame whose "
    "lengths do not add up is\n",
    "dropped. The body is an array with one element per row below, in order; elements beyond them "
    "are ignored, missing ones\n",
    "are an error. A reply carries the\n",
    "request id of its request. A request that cannot be served is answered with `error_reply`. "
    "Every request is\n",
    "idempotent: without an answer it is sent again, every two seconds until its deadline. Version "
    "is now 1; another\n",
    "version, type or dataset is answered with an error that says so.\n\n",
    "Types: `uint` and `int` with bounds, `bool`, `str` and `bin` with their largest length in "
    "bytes, `bin n` of exactly n\n",
    "bytes, `any` one msgpack value or nil for none, `[row]` an array of at most so many arrays of "
    "that row's fields.\n",
};

static void print_type(const msg_field *f)
{
    switch (f->type) {
    case MSG_UINT:
        printf("uint %llu–%llu", (unsigned long long)f->min, (unsigned long long)f->max);
        break;
    case MSG_INT:
        printf("int");
        break;
    case MSG_BOOL:
        printf("bool");
        break;
    case MSG_STR:
        printf("str ≤ %llu", (unsigned long long)f->max);
        break;
    case MSG_BIN:
        printf("bin ≤ %llu", (unsigned long long)f->max);
        break;
    case MSG_FIX:
        printf("bin %zu", f->width);
        break;
    case MSG_ANY:
        printf("any ≤ %llu", (unsigned long long)f->max);
        break;
    case MSG_LIST:
        printf("[%s] ≤ %llu", f->row->name, (unsigned long long)f->max);
        break;
    }
}

static void print_fields(const msg_desc *d)
{
    if (d->n_fields == 0) {
        printf("No fields.\n");
        return;
    }
    printf("| # | field | type | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < d->n_fields; i++) {
        printf("| %zu | %s | ", i, d->fields[i].name);
        print_type(&d->fields[i]);
        printf(" | %s |\n", d->fields[i].doc);
    }
}

/* A row is described once, where a message first needs it. */
static const msg_desc *seen[256];
static size_t n_seen;

static bool first_time(const msg_desc *row)
{
    for (size_t i = 0; i < n_seen; i++)
        if (seen[i] == row)
            return false;
    if (n_seen < sizeof seen / sizeof seen[0])
        seen[n_seen++] = row;
    return true;
}

static void print_rows(const msg_desc *d)
{
    for (size_t i = 0; i < d->n_fields; i++) {
        const msg_desc *row = d->fields[i].row;
        if (row == NULL || !first_time(row))
            continue;
        printf("\nRow `%s`: %s\n\n", row->name, row->doc);
        print_fields(row);
        print_rows(row);
    }
}

static void print_message(const msg_desc *d)
{
    static const char *const roles[] = {"request", "reply", "note", "row"};
    printf("\n## 0x%04x %s\n\n%s%s", d->id, d->name, (char[2]){(char)(roles[d->role][0] - 32), 0},
           roles[d->role] + 1);
    if (d->reply != NULL)
        printf(", answered with `%s`", d->reply->name);
    printf(". %s\n\n", d->doc);
    print_fields(d);
    print_rows(d);
}

/* The smallest legal message: what another implementation can compare its encoder with. */
static int print_example(const msg_desc *d)
{
    _Alignas(max_align_t) uint8_t msg[1024] = {0};
    buf out;
    if (d->size > sizeof msg)
        return 1;
    for (size_t i = 0; i < d->n_fields; i++) {
        const msg_field *f = &d->fields[i];
        if (f->type == MSG_UINT && f->min > 0)
            msg[f->offset] = (uint8_t)f->min; /* little-endian hosts only, and minima fit a byte */
    }
    for (size_t i = 0; i < d->n_fields; i++)
        if (d->fields[i].type == MSG_UINT && d->fields[i].min > 255) {
            uint64_t v = d->fields[i].min;
            memcpy(msg + d->fields[i].offset, &v, d->fields[i].width);
        }
    buf_init(&out, 65536);
    err_t e = msg_encode(d, msg, &out);
    char *hex = malloc(2 * out.len + 1);
    if (e == ERR_OK && hex != NULL) {
        hex_encode(hex, out.p, out.len);
        printf("%04x %s %s\n", d->id, d->name, hex);
    }
    free(hex);
    buf_release(&out);
    return e != ERR_OK;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 1 && strcmp(argv[1], "--example") == 0) {
        for (size_t i = 0; i < msg_all_count; i++)
            failed |= print_example(msg_all[i]);
        return failed;
    }
    for (size_t i = 0; i < sizeof intro / sizeof intro[0]; i++)
        fputs(intro[i], stdout);
    for (size_t i = 0; i < msg_all_count; i++)
        print_message(msg_all[i]);
    return 0;
}
